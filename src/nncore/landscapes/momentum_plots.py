"""The figures of the momentum theory."""

from __future__ import annotations

from typing import Any

import numpy as np

from nncore._utils.figures import COLORS, Axes, Figure, SavePath, finish, new_figure
from nncore.landscapes.functions import Quadratic
from nncore.landscapes.momentum import convergence_rate, measured_rate, optimal, regime
from nncore.optimizers import Momentum

__all__ = ["plot_rates", "plot_regimes"]

# One run in each regime, drawn completely: ηλ, μ.
RUNS = {
    "monotone": (0.12, 0.2), "ripples": (0.5, 0.85), "one step": (1.0, 0.0), "oscillation": (2.15, 0.15),
    "divergence": (3.05, 0.5),
}  # fmt: skip
# More runs, of which only the measured rate is drawn.
GRID = [(a, m) for m in (0.1, 0.3, 0.5, 0.7, 0.9) for a in (0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3.25, 3.75)]
NAMES = {"monotone": (0.04, 0.035), "ripples": (1.35, 0.6), "oscillation": (1.53, 0.035), "divergence": (3.05, 0.2)}
STEPS = 24


def plot_regimes(path: SavePath = None) -> Figure:
    """The map of the regimes over (ηλ, μ), with a measured run of `Momentum` in each.

    The background is the predicted rate. Each dot on it is a run, filled with its measured rate: where theory and measurement
    agree, the filling matches the background. Beside the map, the trajectory of x in one run of each regime.

    Parameters
    ----------
    path : path-like, optional
        Save the figure there; the suffix determines the format.
    """
    figure = new_figure("plot_regimes", (11.5, 6.0), path)
    left, right = np.asarray(figure.subfigures(1, 2, width_ratios=[1.75, 1]))
    _map(left, left.add_subplot())
    panels = right.subplots(len(RUNS), 1, sharex=True)
    for panel, letter, (name, run) in zip(panels, "abcde", RUNS.items(), strict=True):
        _run(panel, f"{letter}  {name}", *run)
    panels[-1].set_xlabel("step")
    return finish(figure, path)


def _map(figure: Any, ax: Axes) -> None:
    from matplotlib.colors import TwoSlopeNorm

    a, mu = np.meshgrid(np.linspace(1e-6, 4, 401), np.linspace(0, 1, 201))
    style: dict[str, Any] = {"cmap": "RdBu_r", "norm": TwoSlopeNorm(1, 0, 3)}
    background = ax.pcolormesh(a, mu, convergence_rate(a, mu), shading="gouraud", rasterized=True, **style)
    mu = np.linspace(0, 1, 201)
    for border in ((1 - np.sqrt(mu)) ** 2, (1 + np.sqrt(mu)) ** 2, 2 * (1 + mu)):
        ax.plot(border, mu, color="black", linewidth=1.4)
    points = np.array(GRID + list(RUNS.values()))
    rates = [measured_rate(1.0, a, m, steps=800) for a, m in points.tolist()]
    sizes = [50] * len(GRID) + [230] * len(RUNS)
    style |= {"edgecolors": "black", "linewidths": 0.9, "zorder": 3, "clip_on": False}
    ax.scatter(points[:, 0], points[:, 1], s=sizes, c=rates, **style)
    for letter, point in zip("abcde", RUNS.values(), strict=True):
        color = "white" if convergence_rate(*point) < 0.3 else "black"
        ax.text(*point, letter, ha="center", va="center_baseline", color=color, weight="bold", zorder=4)
    box = {"facecolor": "white", "alpha": 0.85, "edgecolor": "none", "boxstyle": "round,pad=0.25"}
    for name, where in NAMES.items():
        ax.text(*where, name, bbox=box, fontsize=9, zorder=5)
    ax.annotate("one step", (1, 0.02), (0.78, 0.17), bbox=box, fontsize=9, arrowprops={"arrowstyle": "-"}, zorder=5)
    ax.set(xlim=(0, 4), ylim=(0, 1), xlabel="ηλ", ylabel="momentum μ")
    ax.set_title("Predicted rate (background), measured runs (dots)", fontsize=11)
    ticks = [0, 0.2, 0.4, 0.6, 0.8, 1, 1.5, 2, 2.5, 3]
    figure.colorbar(background, ax=ax, ticks=ticks, label="rate: factor on the error per step")


def _run(ax: Axes, title: str, eta_lambda: float, mu: float) -> None:
    """Draw a run from x = 1, and the envelope predicted by the rate."""
    x = Momentum(lr=eta_lambda, momentum=mu).minimize(Quadratic([1.0]), [1.0], STEPS).theta[:, 0]
    rate, name = convergence_rate(eta_lambda, mu), regime(eta_lambda, mu)
    steps = np.arange(STEPS + 1)
    envelope = rate**steps * max(np.abs(x[1:]) / rate ** steps[1:]) if rate > 0 else 0.0 * steps
    if name != "one step":
        ax.fill_between(steps, -envelope, envelope, color=COLORS[6], alpha=0.25, linewidth=0)
    ax.axhline(0, color="0.6", linewidth=0.8)
    ax.plot(steps, x, color=COLORS[0], marker="o", markersize=3, linewidth=1.2)
    limit = 1.15 * np.abs(x).max()
    ax.set(ylim=(-limit, limit), ylabel="x")
    ax.ticklabel_format(axis="y", style="sci", scilimits=(-2, 3))
    measured = measured_rate(1.0, eta_lambda, mu)
    ax.set_title(f"{title}: rate {rate:.3f}, measured {measured:.3f}", fontsize=9.5, loc="left")


def plot_rates(path: SavePath = None) -> Figure:
    """Best rate against condition number, with momentum and without: the formulas of `optimal` and measured runs.

    The ``path`` is as in `plot_regimes`.
    """
    figure = new_figure("plot_rates", (6.4, 4.4), path)
    ax = figure.add_subplot()
    kappas = np.geomspace(1.2, 1000, 200)
    rows = ((False, "gradient descent: (κ − 1)/(κ + 1)", 1, "s"), (True, "momentum: (√κ − 1)/(√κ + 1)", 0, "o"))
    for momentum, label, color, marker in rows:
        ax.plot(kappas, [1 - optimal(1, k, momentum).rate for k in kappas], color=COLORS[color], label=label)
        for kappa in (2, 5, 10, 30, 100, 300, 1000):
            best = optimal(1, kappa, momentum)
            measured = measured_rate(np.geomspace(1, kappa, 5), best.lr, best.momentum)
            name = f"measured, {'with' if momentum else 'without'} momentum" if kappa == 2 else None
            ax.plot(
                kappa, 1 - measured, marker, color=COLORS[color], markerfacecolor="white", markersize=7, label=name,
                linestyle="none",
            )  # fmt: skip
    ax.set(xscale="log", yscale="log", xlabel="condition number κ = λₙ/λ₁", ylabel="1 − rate")
    ax.set_title("The best rate that constant η and μ can give")
    ax.grid(alpha=0.25)
    ax.legend(loc="lower left", frameon=False)
    return finish(figure, path)
