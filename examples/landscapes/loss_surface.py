"""Plot the loss around trained networks: in the plane of the optimization path, and in a random, filter-normalized plane.

The plots show the minimized function, the loss plus the penalty: the minimum of the loss alone lies elsewhere.

Run with ``python examples/landscapes/loss_surface.py [figure.png]`` where nncore[demo] is installed.
"""

from __future__ import annotations

import sys
from typing import NamedTuple

import matplotlib
import numpy as np

matplotlib.use("Agg")

import matplotlib.pyplot as plt

import nncore as nn
from nncore.landscapes import LossSurface, loss_surface, principal_directions

LOSS = "softmax_cross_entropy"
PENALTY = nn.L2(1e-4)
EPOCHS = 40
TITLES = {
    "L-BFGS": f"L-BFGS is at the minimum after {EPOCHS} epochs",
    "Adam": f"Adam has not converged after {EPOCHS} epochs",
}


class Run(NamedTuple):
    """A training run and the plane that contains most of its path."""

    model: nn.Sequential
    path: np.ndarray  # the parameters after each epoch
    explained: np.ndarray  # the fraction of the path's variance along each direction of the plane
    surface: LossSurface


def train(optimizer: nn.Optimizer, X: np.ndarray, y: np.ndarray) -> Run:
    model = nn.Sequential([nn.Dense(32), nn.Tanh(), nn.Dense(10)], input_shape=64, seed=1)
    points = [model.parameters.copy()]
    keep = nn.LambdaCallback(on_epoch_end=lambda trainer, epoch, row: points.append(model.parameters.copy()))
    trainer = nn.Trainer(model, LOSS, optimizer, regularizer=PENALTY)
    trainer.fit(X, y, epochs=EPOCHS, callbacks=[keep], verbose=0)
    path = np.array(points)
    directions, explained = principal_directions(path)
    coordinates = (path - path[-1]) @ directions.T
    low, high = coordinates.min(axis=0), coordinates.max(axis=0)
    margin = 0.25 * (high - low).max()
    extent = np.column_stack((low - margin, high + margin))
    surface = loss_surface(model, X, y, LOSS, directions, regularizer=PENALTY, extent=extent, points=51)
    return Run(model, path, explained, surface)


def lowest(surface: LossSurface) -> tuple[float, float]:
    """The minimum of the loss on the grid."""
    i, j = np.unravel_index(np.argmin(surface.loss), surface.loss.shape)
    return surface.a[j], surface.b[i]


def mark(ax: plt.Axes, run: Run) -> None:
    """Plot start and end of the path and the minimum in the plane, with a legend."""
    ax.plot(*run.surface.project(run.path[:1])[0], "o", color="white", markeredgecolor="black", markersize=9, label="start")
    ax.plot([], [], "*", color="white", markeredgecolor="black", markersize=14, label="end of training")
    ax.plot(*lowest(run.surface), "P", color="#56B4E9", markeredgecolor="black", markersize=9, label="minimum in the plane")
    ax.legend(loc="lower right", framealpha=0.85)


def report(name: str, run: Run, X: np.ndarray, y: np.ndarray) -> None:
    end = nn.Trainer(run.model, LOSS, regularizer=PENALTY).evaluate(X, y)
    total, penalty = end["loss"], end["penalty"]
    print(f"{name}: at the end {total:.4f} = loss {total - penalty:.4f} + penalty {penalty:.4f}")
    a, b = lowest(run.surface)
    print(f"  lowest in the drawn plane: {run.surface.loss.min():.4f} at ({a:.2f}, {b:.2f})")
    print(f"  {run.explained.sum():.0%} of the variance of the path lies in the plane")


def main(filename: str = "loss_surface.png") -> None:
    X, y = (array[:500] for array in nn.data.load_digits())
    runs = {"L-BFGS": train(nn.second_order.LBFGS(), X, y), "Adam": train(nn.Adam(lr=0.01), X, y)}
    around = loss_surface(runs["L-BFGS"].model, X, y, LOSS, regularizer=PENALTY, extent=1.0, points=51)
    losses = np.stack([around.loss, *(run.surface.loss for run in runs.values())])
    limits = losses.min(), losses.max()
    figure, axes = plt.subplots(1, 3, figsize=(16, 5.2), layout="constrained")
    title = "Final point of L-BFGS in a random plane: a bowl"
    around.plot(ax=axes[2], title=title, labels=("random direction 1", "random direction 2"), limits=limits)
    for ax, (name, run) in zip(axes, runs.items(), strict=False):
        report(name, run, X, y)
        labels = tuple(f"principal direction {i + 1} ({share:.0%} of the path)" for i, share in enumerate(run.explained))
        run.surface.plot(ax=ax, trajectory=run.path, title=TITLES[name], labels=labels, limits=limits, colorbar=False)
        mark(ax, run)
    figure.suptitle("Training converges to the minimum of the loss plus the penalty (digits, 64-32-10)", fontsize=14)
    figure.savefig(filename, dpi=110)
    print(f"figure: {filename}")


if __name__ == "__main__":
    main(*sys.argv[1:])
