"""Gauge freedom: different weights that compute the same function train differently, unless the network is normalized.

Run with ``python examples/normalization/gauge.py [figure.png]`` where nncore[demo] is installed.

ReLU is positively homogeneous, so a chain of layers scaled by w = (1, 0.01, 100, 1) computes the same function as with w = (1,
1, 1, 1). Its gradients are divided by the same w: in layer 2, gradients are 100 times as large and weights a hundredth as
large. Relative to the weights, an SGD step is 10⁴ times as long in layer 2, and 10⁻⁴ times as long in layer 3. Batch norm and
weight norm do not remove this: they make the function independent of the norm of the weights, so the gradient is orthogonal to
the weights, and steps that are too long increase their norm until the steps are no longer too long.

Result: at the learning rate tuned for (1, 1, 1, 1), the scaled chain diverges in the first steps without normalization.
With batch norm or weight norm it learns nearly as well as the unscaled one: after one step the weights of layer 2 have the norm
that suits the learning rate. Layer 3 hardly changes, as nothing decreases the norm of its weights; the other layers learn
without it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import matplotlib
import numpy as np

matplotlib.use("Agg")
import matplotlib.pyplot as plt

import nncore as nn

WIDTH, LR, BATCH, STEPS, EVERY, DIVERGED = 64, 0.1, 128, 400, 1, 1e6
GAUGES = {"w = (1, 1, 1, 1)": (1, 1, 1, 1), "w = (1, 0.01, 100, 1)": (1, 0.01, 100, 1)}
COLORS, LAYERS = ["#000000", "#D55E00"], {2: ("#56B4E9", 3.0), 3: ("#009E73", 1.2)}


def dense(units: int) -> nn.Layer:
    return nn.Dense(units, weight_init="he_normal")


HIDDEN: dict[str, Callable[[], list[nn.Layer]]] = {
    "no normalization": lambda: [dense(WIDTH), nn.ReLU()],
    "batch norm": lambda: [dense(WIDTH), nn.BatchNorm(eps=1e-10), nn.ReLU()],  # ε small relative to the scaled variances
    "weight norm": lambda: [nn.WeightNorm(dense(WIDTH)), nn.ReLU()],
}


def weights(model: nn.Sequential) -> list[tuple[np.ndarray, np.ndarray]]:
    """W and ∂l/∂W of each layer; with weight norm, v and ∂l/∂v."""
    return [
        (layer.direction, layer.direction_grad) if isinstance(layer, nn.WeightNorm) else (layer.weight, layer.weight_grad)
        for layer in model.layers
        if isinstance(layer, (nn.Dense, nn.WeightNorm))
    ]


def train(name: str, gauge: tuple[float, ...], X: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The outputs before training; the loss (times,) and ‖∂l/∂W‖ / ‖W‖ (times, layers) every few steps."""
    hidden = [layer for _ in range(3) for layer in HIDDEN[name]()]
    model = nn.Sequential([*hidden, nn.Dense(10)], input_shape=64, dtype="float64", seed=0)
    for (weight, _), w in zip(weights(model), gauge, strict=True):
        weight *= w
    outputs = model.forward(X, training=True)
    trainer = nn.Trainer(model, "softmax_cross_entropy", nn.SGD(lr=LR))
    rng = np.random.default_rng(0)
    losses, ratios = [], []
    for step in range(STEPS + 1):
        if step % EVERY == 0:
            losses.append(model.loss_and_gradient(X, y, "softmax_cross_entropy")[0])
            ratios.append([np.linalg.norm(gradient) / np.linalg.norm(weight) for weight, gradient in weights(model)])
        if losses[-1] > DIVERGED:
            break
        batch = rng.integers(0, len(X), BATCH)
        trainer.partial_fit(X[batch], y[batch])
    return outputs, np.array(losses), np.array(ratios)


def main(filename: str = "gauge.png") -> None:
    X, y = nn.data.load_digits()
    X = nn.data.StandardScaler().fit(X).transform(X)
    figure, axes = plt.subplots(2, len(HIDDEN), figsize=(12, 7), layout="constrained", sharex=True, sharey="row")
    for column, name in enumerate(HIDDEN):
        outputs = []
        for (label, gauge), color, style in zip(GAUGES.items(), COLORS, ["-", "--"], strict=True):
            output, losses, ratios = train(name, gauge, X, y)
            outputs.append(output)
            steps = EVERY * np.arange(len(losses))
            axes[0, column].plot(steps, losses, color=color, linestyle=style, label=label)
            for layer, (shade, width) in LAYERS.items():
                axes[1, column].plot(
                    steps, ratios[:, layer - 1], color=shade, linewidth=width, linestyle=style, label=f"layer {layer}, {label}"
                )
            start, end = (f"layer 2 {r[1]:.1e}, layer 3 {r[2]:.1e}" for r in ratios[[0, -1]])
            print(f"{name:<17} {label:<22} loss {losses[0]:.2f} → {losses[-1]:.3g} in {len(losses) - 1} steps")
            print(f"{'':<17} {'':<22} ‖∂l/∂W‖/‖W‖: {start} → {end}")
        print(f"{'':<17} largest difference of the outputs before training: {np.abs(outputs[1] - outputs[0]).max():.0e}")
        axes[0, column].set(title=name, yscale="log", ylim=(5e-3, 20))
        axes[1, column].set(yscale="log", ylim=(1e-7, 1e4), xlabel="step")
        axes[1, column].set_xscale("symlog", linthresh=1)  # the first steps are decisive
    axes[0, 0].set_ylabel("training loss")
    axes[1, 0].set_ylabel("‖∂l/∂W‖ / ‖W‖")
    for ax in axes[:, -1]:
        ax.legend(loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False)
    for ax in axes.flat:
        ax.grid(alpha=0.25)
    figure.savefig(filename, dpi=110)
    print(filename)


if __name__ == "__main__":
    main(*sys.argv[1:])
