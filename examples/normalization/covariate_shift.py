"""Covariate shift: distributions of the inputs of activations during training, with and without batch norm.

Run with ``python examples/normalization/covariate_shift.py [figure.png]`` where nncore[demo] is installed.

A sigmoid network of 5 hidden layers learns scikit-learn's digits by SGD from the same weights and with the same batches, once
with batch norm between each dense layer and its sigmoid. Top: the inputs of three sigmoids in the first and in the last
hidden layer, median and 15 % to 85 % quantiles over all training examples (Ioffe, Szegedy 2015, figure 1). Bottom: the shift of
the means over the last ``LAG`` steps, in units of the earlier standard deviation, averaged over the units of a layer.

Result: without batch norm the inputs of the last layer hardly differ between examples, and all of them drift
together by several of these small standard deviations, until the network begins to learn after 800 steps. With batch norm the
mean is β, a parameter, which moves by a few thousandths of the standard deviation γ in all layers. The figure does not show
that the smaller shift is *why* the network learns faster; this is disputed (Santurkar et al. 2018).
"""

from __future__ import annotations

import sys

import matplotlib
import numpy as np

matplotlib.use("Agg")
import matplotlib.pyplot as plt

import nncore as nn

DEPTH, WIDTH, LR, BATCH, STEPS, LAG = 5, 50, 0.3, 32, 2000, 20
UNITS, COLORS = (0, 1, 2), ["#0072B2", "#D55E00", "#009E73"]
NORMALIZATIONS = {"without batch norm": list, "with batch norm": lambda: [nn.BatchNorm()]}


def network(normalization: str) -> nn.Sequential:
    layers: list[nn.Layer] = []
    for _ in range(DEPTH):
        layers += [nn.Dense(WIDTH), *NORMALIZATIONS[normalization](), nn.Sigmoid()]
    return nn.Sequential([*layers, nn.Dense(10)], input_shape=64, dtype="float64", seed=0)


def inputs(model: nn.Sequential, X: np.ndarray) -> np.ndarray:
    """The inputs of the sigmoids, (layers, examples, units); a batch norm uses the statistics of X."""
    found = model.activations(X, training=True)
    before = [above for above, layer in zip(model.layers, model.layers[1:], strict=False) if isinstance(layer, nn.Sigmoid)]
    return np.array([found[str(layer.name)] for layer in before])


def train(normalization: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Quantiles (times, 3, layers, units), means and deviations (times, layers, units) every LAG steps; and the accuracy."""
    X, y = nn.data.load_digits()
    X = nn.data.StandardScaler().fit(X).transform(X)
    model = network(normalization)
    trainer = nn.Trainer(model, "softmax_cross_entropy", nn.SGD(lr=LR), metrics=["accuracy"])
    rng = np.random.default_rng(0)
    quantiles, means, deviations = [], [], []
    for step in range(STEPS + 1):
        if step % LAG == 0:
            z = inputs(model, X)
            quantiles.append(np.quantile(z, [0.15, 0.5, 0.85], axis=1))
            means.append(z.mean(axis=1))
            deviations.append(z.std(axis=1))
        batch = rng.integers(0, len(X), BATCH)
        trainer.partial_fit(X[batch], y[batch])
    return np.array(quantiles), np.array(means), np.array(deviations), trainer.evaluate(X, y)["accuracy"]


def main(filename: str = "covariate_shift.png") -> None:
    figure, axes = plt.subplots(3, 2, figsize=(11, 9), layout="constrained", sharex=True, sharey="row")
    steps = np.arange(0, STEPS + 1, LAG)
    print(f"mean shift in {LAG} steps, in standard deviations; layers 1 to {DEPTH}")
    for column, normalization in enumerate(NORMALIZATIONS):
        quantiles, means, deviations, accuracy = train(normalization)
        for ax, layer in zip(axes[:2, column], (0, DEPTH - 1), strict=True):
            for unit, color in zip(UNITS, COLORS, strict=True):
                low, middle, high = quantiles[:, :, layer, unit].T
                ax.fill_between(steps, low, high, color=color, alpha=0.07, linewidth=0)
                for quantile in (low, high):
                    ax.plot(steps, quantile, color=color, linewidth=0.8, linestyle=":")
                ax.plot(steps, middle, color=color, label=f"unit {unit + 1}")
        shift = np.mean(np.abs(np.diff(means, axis=0)) / deviations[:-1], axis=2)
        for layer in range(DEPTH):
            color = plt.colormaps["viridis"](layer / DEPTH)
            axes[2, column].plot(steps[1:], shift[:, layer], color=color, label=f"layer {layer + 1}")
        axes[0, column].set_title(f"{normalization}: {100 * accuracy:.0f} % accuracy after {STEPS} steps")
        axes[2, column].set(yscale="log", xlabel="step")
        numbers = "  ".join(f"{value:6.3f}" for value in shift.mean(axis=0))
        print(f"{normalization:<20} {numbers}   largest {shift.max():.2f}   accuracy {100 * accuracy:.0f} %")
    axes[0, 0].set_ylabel("input of 3 sigmoids,\nlayer 1")
    axes[1, 0].set_ylabel(f"input of 3 sigmoids,\nlayer {DEPTH}")
    axes[2, 0].set_ylabel(f"mean shift in {LAG} steps\n(standard deviations)")
    for ax, title in ((axes[0, 1], "median, and\n15 %, 85 % (dotted)"), (axes[2, 1], None)):
        ax.legend(loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False, title=title, alignment="left")
    for ax in axes.flat:
        ax.grid(alpha=0.25)
    figure.savefig(filename, dpi=110)
    print(filename)


if __name__ == "__main__":
    main(*sys.argv[1:])
