"""Plot Newton's method: one step on a quadratic, uphill to a saddle, damping, logistic regression and its convexity.

Run with ``python examples/second_order/second_order.py [figure.png]`` where nncore[demo] is installed.
"""

from __future__ import annotations

import sys

import matplotlib
import numpy as np

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression

import nncore as nn
from nncore.landscapes import Quadratic, Saddle, plot_trajectories
from nncore.second_order import LBFGS, DampedNewton, ModelObjective, ModifiedNewton, Newton

STRENGTH = 1e-2


def breast_cancer() -> tuple[np.ndarray, np.ndarray]:
    X, y = load_breast_cancer(return_X_y=True)
    return (X - X.mean(axis=0)) / X.std(axis=0), y


def draw_quadratic(ax: Axes) -> None:
    f = Quadratic(condition=30.0, rotation=0.5)
    runs = {
        "SGD, 60 steps": nn.SGD(lr=0.06).minimize(f, f.start, 60),
        "L-BFGS, 6 steps": LBFGS().minimize(f, f.start, 6),
        "Newton, 1 step": Newton().minimize(f, f.start, 1),
    }
    plot_trajectories(f, runs, ax=ax, title="A quadratic: one step suffices")
    ax.legend(loc="lower right", fontsize=8)


def draw_saddle(ax: Axes) -> None:
    f, start = Saddle(), [0.5, 0.7]
    runs = {
        "Newton": Newton(allow_indefinite=True).minimize(f, start, 3),
        "damped, α = 6": DampedNewton(damping=6.0).minimize(f, start, 4),
        "on |H|": ModifiedNewton().minimize(f, start, 2),
    }
    plot_trajectories(f, runs, ax=ax, title="A saddle: Newton climbs to it")
    ax.legend(loc="lower right", fontsize=8, title="* leaves the plot", title_fontsize=8)
    for name, run in runs.items():
        print(f"saddle, {name}: losses {np.round(run.loss, 3)}")


def draw_damping(ax: Axes) -> None:
    """Plot θ − (H + αI)⁻¹g for all α: a curve from the start, initially along −g, to Newton's step."""
    f = Quadratic(condition=30.0, rotation=0.5)
    ends = {a: DampedNewton(damping=a).minimize(f, f.start, 1).theta[1] for a in (0.0, *np.geomspace(1e-2, 1e4, 200))}
    plot_trajectories(f, {"all α": np.array([ends[a] for a in sorted(ends, reverse=True)])}, ax=ax)
    along = f.start - np.linspace(0, 0.12, 2)[:, None] * f.gradient(f.start)
    ax.plot(*along.T, color="#D55E00", linestyle="--", zorder=4)
    ax.annotate("−g", along[1], color="#D55E00", fontsize=11, textcoords="offset points", xytext=(-16, -4))
    for alpha in (0, 1, 5, 30, 200):
        point = DampedNewton(damping=alpha).minimize(f, f.start, 1).theta[1]
        ax.plot(*point, marker="o", color="black", markersize=5, zorder=6)
        ax.annotate(f"α = {alpha}", point, textcoords="offset points", xytext=(8, -4), fontsize=9, zorder=7)
    ax.get_legend().remove()
    ax.set_title("One step with damping α: from Newton to −g/α")


def draw_logistic(ax: Axes, X: np.ndarray, y: np.ndarray) -> None:
    theirs = LogisticRegression(C=1 / (STRENGTH * len(X)), tol=1e-12, max_iter=1000, solver="newton-cholesky").fit(X, y)
    optimizers = {"SGD, full batch": nn.SGD(lr=0.5), "L-BFGS": LBFGS(tol=1e-12), "Newton": Newton(tol=1e-12)}
    for (name, optimizer), marker in zip(optimizers.items(), "^so", strict=True):
        model = nn.Sequential([nn.Dense(1, weight_init="zeros")], input_shape=30, dtype="float64")
        away: list[float] = []
        keep = nn.LambdaCallback(
            on_epoch_end=lambda t, e, row, m=model, a=away: a.append(np.abs(m.layers[0].weight - theirs.coef_).max())
        )
        trainer = nn.Trainer(model, "sigmoid_cross_entropy", optimizer, regularizer=nn.L2(STRENGTH))
        trainer.fit(X, y, epochs=60, batch_size=len(X), callbacks=[keep], verbose=0)
        ax.semilogy(range(1, len(away) + 1), away, marker=marker, markersize=4, label=name)
        print(f"logistic regression, {name}: {len(away)} iterations, largest difference to scikit-learn {away[-1]:.1e}")
    ax.set(xlabel="iteration", ylabel="largest |w − w of scikit-learn|", title="Logistic regression, 569 × 30, L2")
    ax.legend(loc="center right")
    ax.grid(alpha=0.3)


def draw_convexity(ax: Axes, X: np.ndarray, y: np.ndarray) -> None:
    """Plot the smallest eigenvalue of H at random points: never negative for logistic regression."""
    rng = np.random.default_rng(0)
    scales = np.geomspace(0.03, 10, 40)
    for name, layers, marker in (
        ("logistic regression", [nn.Dense(1)], "o"),
        ("a hidden layer of 3 tanh", [nn.Dense(3), nn.Tanh(), nn.Dense(1)], "^"),
    ):
        f = ModelObjective(nn.Sequential(layers, input_shape=30, dtype="float64"), X, y, "sigmoid_cross_entropy")
        n = f.model.parameters.size
        lowest = [np.linalg.eigvalsh(f.hessian(scale * rng.normal(size=n)))[0] for scale in scales]
        ax.plot(scales, lowest, marker, markersize=5, label=name)
        print(f"{name}: smallest eigenvalue over {len(scales)} points {min(lowest):.2e}")
    ax.axhline(0, color="black", linewidth=0.8)
    ax.set_xscale("log")
    ax.set_yscale("symlog", linthresh=1e-3)
    ax.set_ylim(-5, 1)
    ax.set(xlabel="standard deviation of random θ", ylabel="smallest eigenvalue of H", title="Convex and nonconvex")
    ax.legend(loc="upper right")
    ax.grid(alpha=0.3)


def main(path: str = "second_order.png") -> None:
    figure = plt.figure(figsize=(15, 9), layout="constrained")
    axes = figure.subplot_mosaic("ABC;DDE")
    draw_quadratic(axes["A"])
    draw_saddle(axes["B"])
    draw_damping(axes["C"])
    X, y = breast_cancer()
    draw_logistic(axes["D"], X, y)
    draw_convexity(axes["E"], X, y)
    figure.savefig(path, dpi=110)
    print(f"figure: {path}")


if __name__ == "__main__":
    main(*sys.argv[1:])
