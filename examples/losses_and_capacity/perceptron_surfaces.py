"""Loss surfaces of a perceptron over its two weights: squared error and KL divergence.

Run with ``python examples/losses_and_capacity/perceptron_surfaces.py [figure.png]`` where nncore[plot] is installed.

y = sigmoid(w₁x₁ + w₂x₂) on 100 random points, whose labels are drawn from a perceptron with w = (3, −2). The
squared error is flat wherever the sigmoid is flat, also for wrong predictions, and not convex; the KL divergence is convex, and
steep for wrong predictions.
"""

from __future__ import annotations

import sys

import matplotlib
import numpy as np

matplotlib.use("Agg")
import matplotlib.pyplot as plt

import nncore as nn

LOSSES = {"squared_error": "squared error  ½(y − d)²", "binary_cross_entropy": "KL  −d log y − (1 − d) log(1 − y)"}
TRUE, POINTS, SIDE, REACH = np.array([3.0, -2.0]), 100, 81, 10.0


def data() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(POINTS, 2))
    return X, (rng.random(POINTS) < 1 / (1 + np.exp(-X @ TRUE))).astype(np.float64)[:, None]


def surface(loss: str, X: np.ndarray, d: np.ndarray, axis: np.ndarray) -> np.ndarray:
    """The mean loss on a grid of weights, indexed (w₂, w₁)."""
    model = nn.Sequential([nn.Dense(1, bias=False), nn.Sigmoid()], input_shape=2, dtype="float64")
    trainer = nn.Trainer(model, loss)
    values = np.empty((len(axis), len(axis)))
    for j, second in enumerate(axis):
        for i, first in enumerate(axis):
            model.parameters[...] = first, second
            values[j, i] = trainer.evaluate(X, d)["loss"]
    return values


def main(filename: str = "perceptron_surfaces.png") -> None:
    X, d = data()
    axis = np.linspace(-REACH, REACH, SIDE)
    figure = plt.figure(figsize=(11.5, 9.4))
    figure.subplots_adjust(left=0.07, right=0.95, bottom=0.07, top=0.9, wspace=0.3, hspace=0.18)
    for column, (loss, title) in enumerate(LOSSES.items()):
        values = surface(loss, X, d, axis)
        j, i = np.unravel_index(values.argmin(), values.shape)
        print(f"{loss:<21} minimum {values[j, i]:.3f} at w = ({axis[i]:.2f}, {axis[j]:.2f}), maximum {values.max():.3f}")
        solid = figure.add_subplot(2, 2, column + 1, projection="3d")
        solid.plot_surface(*np.meshgrid(axis, axis), values, cmap="viridis", rstride=2, cstride=2, linewidth=0.2)
        solid.view_init(elev=32, azim=-60)
        solid.set(xlabel="w₁", ylabel="w₂", zlabel="mean loss", title=title)
        flat = figure.add_subplot(2, 2, column + 3)
        filled = flat.contourf(axis, axis, values, 24, cmap="viridis")
        flat.contour(axis, axis, values, 24, colors="white", linewidths=0.3)
        flat.plot(
            axis[i],
            axis[j],
            marker="*",
            markersize=15,
            color="gold",
            markeredgecolor="black",
            linestyle="none",
            label="minimum",
        )
        flat.plot(*TRUE, marker="o", markersize=7, color="white", markeredgecolor="black", linestyle="none", label="true w")
        flat.set(xlabel="w₁", ylabel="w₂", aspect="equal")
        flat.legend(loc="lower left", framealpha=0.9)
        figure.colorbar(filled, ax=flat, label="mean loss")
    figure.suptitle(f"One perceptron, {POINTS} random points")
    figure.savefig(filename, dpi=120)
    print(filename)


if __name__ == "__main__":
    main(*sys.argv[1:])
