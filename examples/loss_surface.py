"""Draws the loss around a trained network: on a filter-normalised random plane, and in the plane of the way that led there.

Run with ``python examples/loss_surface.py [picture.png]`` where nncore[demo] is installed.
"""

from __future__ import annotations

import sys

import matplotlib
import numpy as np

matplotlib.use("Agg")

import matplotlib.pyplot as plt

import nncore as nn
from nncore.landscapes import loss_surface, principal_directions

LOSS = "softmax_cross_entropy"


def train(optimizer: nn.Optimizer, X: np.ndarray, y: np.ndarray) -> tuple[nn.Sequential, np.ndarray]:
    """A classifier of digits, and its parameters after each of 40 epochs."""
    model = nn.Sequential([nn.Dense(32), nn.Tanh(), nn.Dense(10)], input_shape=64, seed=1)
    way = [model.parameters.copy()]
    keep = nn.LambdaCallback(on_epoch_end=lambda trainer, epoch, row: way.append(model.parameters.copy()))
    trainer = nn.Trainer(model, LOSS, optimizer, regularizer=nn.L2(1e-4))
    trainer.fit(X, y, epochs=40, callbacks=[keep], verbose=0)
    return model, np.array(way)


def main(path: str = "loss_surface.png") -> None:
    X, y = (array[:500] for array in nn.data.load_digits())
    figure, axes = plt.subplots(1, 3, figsize=(16, 4.6), layout="constrained")
    runs = {"Adam": nn.Adam(lr=0.01), "L-BFGS": nn.second_order.LBFGS()}
    for ax, (name, optimizer) in zip(axes[1:], runs.items(), strict=True):
        model, way = train(optimizer, X, y)
        directions, explained = principal_directions(way)
        coordinates = (way - way[-1]) @ directions.T
        low, high = coordinates.min(axis=0), coordinates.max(axis=0)
        margin = 0.25 * (high - low).max()
        extent = np.column_stack((low - margin, high + margin))
        surface = loss_surface(model, X, y, LOSS, directions, extent=extent, points=51)
        labels = tuple(f"{ordinal} component ({share:.0%})" for ordinal, share in zip(("1st", "2nd"), explained, strict=True))
        surface.plot(ax=ax, trajectory=way, title=f"The way of {name}, 40 epochs", labels=labels)
        print(f"{name}: final loss {surface.loss.min():.4f} at best in the plane, {explained.sum():.0%} of the way lies in it")
        if name == "Adam":
            around = loss_surface(model, X, y, LOSS, extent=1.0, points=51)
            around.plot(ax=axes[0], title="Around Adam's end: random, filter-normalised")
    figure.savefig(path, dpi=110)
    print(f"picture: {path}")


if __name__ == "__main__":
    main(*sys.argv[1:])
