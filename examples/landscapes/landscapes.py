"""Plot optimizers on test functions: trajectories, losses, a fair comparison, the theory of momentum, an animation.

Run with ``python examples/landscapes/landscapes.py [folder]`` where nncore[plot] is installed; the figures are saved in the folder.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")

from matplotlib.figure import Figure

import nncore as nn
from nncore import landscapes

OPTIMIZERS = {
    "SGD": lambda lr: nn.SGD(lr=lr),
    "Momentum": lambda lr: nn.Momentum(lr=lr, momentum=0.9),
    "Nesterov": lambda lr: nn.Nesterov(lr=lr, momentum=0.9),
    "AdaGrad": lambda lr: nn.AdaGrad(lr=lr),
    "RMSprop": lambda lr: nn.RMSprop(lr=lr, alpha=0.9),
    "Adam": lambda lr: nn.Adam(lr=lr),
}
STEPS = {"beale": 150, "long_valley": 150, "saddle": 100, "rosenbrock": 300, "himmelblau": 60, "quadratic": 60}
SADDLE_LR = 0.02  # the same for all: with a higher one all leave sooner, so there is no best rate
LEFT = -1.0  # an optimizer has left the saddle below this loss (1 at the start, 0 on the saddle)


def landscape(name: str) -> landscapes.Landscape:
    """The landscape with its default values; the quadratic is rotated, so that no axis is an eigenvector."""
    if name == "quadratic":
        return landscapes.Quadratic(condition=30.0, rotation=0.5)
    return landscapes.LANDSCAPES[name]()


def inside(f: landscapes.Landscape) -> Callable[[np.ndarray], tuple[float, np.ndarray]]:
    """The landscape with infinite walls around the plot: the search then finds a rate whose trajectory stays inside."""

    def fenced(x: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = f.value_and_gradient(x)
        return (value if (f.bounds[:, 0] <= x).all() and (x <= f.bounds[:, 1]).all() else np.inf), gradient

    return fenced


def tuned_runs(f: landscapes.Landscape, steps: int) -> dict[str, landscapes.Recording]:
    """One run per optimizer, with a learning rate found by a search of 16 trials each."""
    runs = {}
    for name, factory in OPTIMIZERS.items():
        lr = landscapes.search_lr(factory, inside(f), f.start, steps).lr
        runs[f"{name}, lr {lr:.2g}"] = landscapes.record(factory(lr), f, f.start, steps)
    return runs


def saddle_runs(f: landscapes.Landscape, steps: int) -> dict[str, landscapes.Recording]:
    """One run per optimizer from near the saddle's ridge, with the same learning rate except for AdaDelta, which needs none."""
    optimizers = {name: factory(SADDLE_LR) for name, factory in OPTIMIZERS.items()} | {"AdaDelta": nn.AdaDelta(lr=1.0)}
    return {name: landscapes.record(optimizer, f, f.start, steps) for name, optimizer in optimizers.items()}


def draw_saddle_steps(path: Path) -> None:
    """Number of steps that every optimizer needs to leave the saddle; without a minimum, final losses are not comparable."""
    runs = saddle_runs(landscapes.Saddle(), 600)
    steps = {name: float(landscapes.steps_to(LEFT, run.loss)) for name, run in runs.items()}
    order = sorted(steps, key=lambda name: steps[name])
    print("steps to leave the saddle: " + ", ".join(f"{name} {steps[name]:.0f}" for name in order))
    figure = Figure(figsize=(8.4, 4.4), layout="constrained")
    ax = figure.add_subplot()
    inside = [steps[name] > STEPS["saddle"] for name in order]  # still there at the end of saddle.png
    colors = np.where(inside, "#D55E00", "#0072B2")
    bars = ax.barh(order, [steps[name] for name in order], color=colors)
    ax.bar_label(bars, fmt="%.0f", padding=4)
    ax.invert_yaxis()
    ax.set(xlabel=f"steps to a loss below −{-LEFT:.0f} (1 at the start, 0 on the saddle)", xlim=(0, 1.1 * max(steps.values())))
    ax.set_title(f"{order[0]} and {order[1]} leave the saddle first, {order[-2]} and {order[-1]} last", fontsize=12)
    note = f"learning rate {SADDLE_LR} (AdaDelta: 1);\nwith a higher one all leave sooner,\nAdaGrad above all"
    ax.text(0.98, 0.95, note, ha="right", va="top", transform=ax.transAxes, color="0.3")
    ax.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)


def main(folder: str = "landscapes") -> None:
    out = Path(folder)
    out.mkdir(parents=True, exist_ok=True)
    begin = time.perf_counter()
    for name, steps in STEPS.items():
        f = landscape(name)
        runs = saddle_runs(f, steps) if f.minimum is None else tuned_runs(f, steps)
        title = f"{name.replace('_', ' ').capitalize()}, {steps} steps"
        landscapes.plot_trajectories(f, runs, out / f"{name}.png", title=title)
        if f.minimum is None:
            landscapes.animate(f, runs, out / f"{name}.gif")
            draw_saddle_steps(out / f"{name}_steps.png")
        else:
            landscapes.plot_losses(runs, out / f"{name}_losses.png", title=title, lowest=f.lowest)
        print(f"{name}: {steps} steps")
    comparison = landscapes.compare(OPTIMIZERS, landscapes.Rosenbrock(), steps=200, budget=16, starts=11, spread=0.03)
    comparison.plot(out / "comparison.png")
    print(f"\nRosenbrock, 200 steps from 11 starts\n{comparison}\n")
    landscapes.plot_regimes(out / "momentum_regimes.png")
    landscapes.plot_rates(out / "momentum_rates.png")
    print(f"{len(list(out.iterdir()))} files in {out}, {time.perf_counter() - begin:.0f} s")


if __name__ == "__main__":
    main(*sys.argv[1:])
