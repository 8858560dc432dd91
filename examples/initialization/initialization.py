"""The size of activations and gradients from layer to layer, for each initializer, compared with theory.

Run with ``python examples/initialization/initialization.py [figure.png]`` where nncore[plot] is installed; it takes a minute or two.

The theory (Glorot, Bengio 2010; He et al. 2015) assumes independent weights with mean 0 and variance s², and normally
distributed z. Then q = E[z²] in the forward pass and the mean square of δ = ∂l/∂z in the backward pass follow

    q_l = n_in s² E[φ(√q_{l−1} u)²],   E[δ_{l−1}²] = n_out s² E[δ_l²] E[φ'(√q_{l−1} u)²],   u ~ N(0, 1),

with n_in and n_out the numbers of inputs and units of layer l, and φ the activation. The network narrows from layer to layer,
so that 1/n_in, 1/n_out and 2/(n_in + n_out) differ.

With a normalization between the hidden layers and their activations, φ is applied to u itself, and s² does not accumulate:

    q_l = n_in s² E[φ(u)²],   E[δ_{l−1}²] = n_out s² E[δ_l²] E[φ'(u)²] / σ²_{l−1},

where σ² is the variance used for normalization: in layer norm, where the mean over the units is near 0, σ² = q_l; in batch
norm, which subtracts the mean of each unit, σ² = n_in s² Var φ(u). So the initializers hardly differ. The remaining factors
are the narrowing and a factor of the activation per layer: ReLU preserves δ² in layer norm, but in batch norm δ² grows toward
the input by π/(π − 1) = 1.47 per layer (Yang et al. 2019); with sigmoid, gradients pass through batch norm and vanish in layer
norm. The theory holds for wide layers: σ² differs from unit to unit or row to row, and as the mean of 1/σ² exceeds 1/mean,
measured δ² are up to 1.4 times as large.

Zeros and constants are not plotted: with all weights 0 no gradient is propagated, and with equal weights all units of a layer
remain equal.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import matplotlib
import numpy as np

matplotlib.use("Agg")
import matplotlib.pyplot as plt

import nncore as nn

Init = nn.initializers
INPUTS, ROWS, SEEDS = 512, 256, 8
WIDTHS = [round(512 * 2 ** (-layer / 5)) for layer in range(1, 16)]  # 446 … 64

# The initializer, and s² of a layer as a function of its numbers of inputs and units.
INITIALISERS: dict[str, tuple[Init.Initializer, Callable[[int, int], float]]] = {
    "N(0, 0.01²)": (Init.Normal(0.01), lambda n_in, n_out: 1e-4),
    "1/n_in (LeCun)": (Init.LecunNormal(), lambda n_in, n_out: 1 / n_in),
    "1/n_out": (Init.FanOutNormal(), lambda n_in, n_out: 1 / n_out),
    "2/(n_in + n_out) (Glorot)": (Init.GlorotUniform(), lambda n_in, n_out: 2 / (n_in + n_out)),
    "2/n_in (He)": (Init.HeNormal(), lambda n_in, n_out: 2 / n_in),
    "orthogonal": (Init.Orthogonal(), lambda n_in, n_out: 1 / max(n_in, n_out)),
    "4 × Glorot's limits": (Init.SigmoidUniform(), lambda n_in, n_out: 32 / (n_in + n_out)),
}
STYLES = {
    "N(0, 0.01²)": ("#7f7f7f", "s"), "1/n_in (LeCun)": ("#0072B2", "o"), "1/n_out": ("#56B4E9", "v"),
    "2/(n_in + n_out) (Glorot)": ("#009E73", "^"), "2/n_in (He)": ("#D55E00", "D"), "orthogonal": ("#000000", "x"),
    "4 × Glorot's limits": ("#CC79A7", "P"),
}  # fmt: skip

# The layer, φ and φ'.
ACTIVATIONS: dict[str, tuple[type[nn.Layer], Callable[[np.ndarray], np.ndarray], Callable[[np.ndarray], np.ndarray]]] = {
    "identity": (nn.Identity, lambda z: z, np.ones_like),
    "tanh": (nn.Tanh, np.tanh, lambda z: 1 - np.tanh(z) ** 2),
    "ReLU": (nn.ReLU, lambda z: np.maximum(z, 0), lambda z: (z > 0).astype(float)),
    "sigmoid": (nn.Sigmoid, lambda z: 1 / (1 + np.exp(-z)), lambda z: 0.25 / np.cosh(z / 2) ** 2),
}
LIMITS = {  # of the panels; N(0, 0.01²) and, for unbounded activations, 4 × Glorot soon leave them
    "identity": [(1e-2, 1e5), (1e-2, 1e5)], "tanh": [(1e-3, 1e2), (1e-4, 1e5)], "ReLU": [(1e-5, 1e3), (1e-6, 1e3)],
    "sigmoid": [(1e-3, 1e2), (1e-20, 1e1)],
}  # fmt: skip

# Layers between a hidden dense layer and its activation; ε is small relative to the smallest variance here.
NORMALIZATIONS: dict[str, Callable[[], list[nn.Layer]]] = {
    "no normalization": list,
    "batch norm": lambda: [nn.BatchNorm(eps=1e-12)],
    "layer norm": lambda: [nn.LayerNorm(eps=1e-12)],
}


def network(activation: str, init: Init.Initializer, normalization: str, seed: int) -> nn.Sequential:
    """A network of narrowing dense layers, each except the last with an activation."""
    layers: list[nn.Layer] = []
    for number, width in enumerate(WIDTHS, 1):
        layers += [nn.Dense(width, weight_init=init, name=f"z{number}")]
        if number < len(WIDTHS):
            layers += [*NORMALIZATIONS[normalization](), ACTIVATIONS[activation][0]()]
    return nn.Sequential(layers, input_shape=INPUTS, dtype="float64", seed=seed)


def measure(activation: str, name: str, normalization: str) -> tuple[np.ndarray, np.ndarray]:
    """Mean squares of z and δ in every layer, averaged over the seeds."""
    found = []
    for seed in range(SEEDS):
        rng = np.random.default_rng(1000 + seed)
        model = network(activation, INITIALISERS[name][0], normalization, seed)
        X, upstream = rng.standard_normal((ROWS, INPUTS)), rng.standard_normal((ROWS, WIDTHS[-1]))
        z = model.activations(X, training=True)
        deltas = model.deltas(X, upstream, lambda y, r: ((r * y).sum(axis=1), r))
        layers = [f"z{number}" for number in range(1, len(WIDTHS) + 1)]
        squares = [np.mean(z[layer] ** 2) for layer in layers]
        of_deltas = [np.mean((ROWS * deltas[layer]) ** 2) for layer in layers]  # the loss is a mean over the rows
        found.append((squares, of_deltas))
    forward, backward = np.mean(found, axis=0)
    return forward, backward


def predict(activation: str, name: str, normalization: str) -> tuple[np.ndarray, np.ndarray]:
    """Theoretical mean squares of z and δ in every layer."""
    _, phi, slope = ACTIVATIONS[activation]
    u, weights = np.polynomial.hermite_e.hermegauss(200)
    weights = weights / weights.sum()
    fans = list(zip([INPUTS, *WIDTHS], WIDTHS, strict=False))
    scales = [INITIALISERS[name][1](*fan) for fan in fans]
    q, factors = [fans[0][0] * scales[0]], []  # inputs of mean 0 and variance 1; factors: of δ² through φ and normalization
    variance = q[0]
    for (n_in, _), s2 in zip(fans[1:], scales[1:], strict=True):
        if normalization == "no normalization":
            z, factor = np.sqrt(q[-1]) * u, 1.0
        else:
            z, factor = u, 1 / variance
        factors.append(factor * (weights @ slope(z) ** 2))
        mean, square = weights @ phi(z), weights @ phi(z) ** 2
        q.append(n_in * s2 * square)
        variance = n_in * s2 * (square - mean**2 if normalization == "batch norm" else square)
    delta = [1.0]
    for (_, n_out), s2, factor in zip(fans[:0:-1], scales[:0:-1], factors[::-1], strict=True):
        delta.append(delta[-1] * n_out * s2 * factor)
    return np.array(q), np.array(delta[::-1])


def main(filename: str = "initialization.png") -> None:
    rows = 2 * len(NORMALIZATIONS)
    figure, axes = plt.subplots(
        rows, len(ACTIVATIONS), figsize=(15, 3.2 * rows), layout="constrained", sharex=True, squeeze=False
    )  # fmt: skip
    layers = np.arange(1, len(WIDTHS) + 1)
    for row, normalization in enumerate(NORMALIZATIONS):
        for column, activation in enumerate(ACTIVATIONS):
            for name, (color, marker) in STYLES.items():
                measured, theory = measure(activation, name, normalization), predict(activation, name, normalization)
                for ax, values, line in zip(axes[2 * row : 2 * row + 2, column], measured, theory, strict=True):
                    ax.plot(layers, line, color=color, linewidth=1.1)
                    ax.plot(layers, values, marker, color=color, markersize=5.5, label=name)
                errors = [np.exp(np.abs(np.log(m / t)).max()) for m, t in zip(measured, theory, strict=True)]
                print(
                    f"{normalization:<17} {activation:<9} {name:<27} largest factor to theory: "
                    f"z² {errors[0]:.2f}, δ² {errors[1]:.2f}"
                )
            axes[2 * row, column].set_title(f"{activation}, {normalization}")
            for ax, limits in zip(axes[2 * row : 2 * row + 2, column], LIMITS[activation], strict=True):
                ax.set(yscale="log", ylim=limits)
        axes[2 * row, 0].set_ylabel("mean z²")
        axes[2 * row + 1, 0].set_ylabel("mean δ², δ = ∂l/∂z")
    for ax in axes.flat:
        ax.grid(alpha=0.25)
    for ax in axes[-1]:
        ax.set_xlabel("layer")
        ax.set_xticks(layers[::2])
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(
        handles, [f"s² = {n}" if n[0] in "12" else n for n in labels], loc="outside lower center", ncols=7, frameon=False
    )
    figure.suptitle(
        f"{len(WIDTHS)} dense layers that narrow from {INPUTS} units to {WIDTHS[-1]}: measured (marks) and theory (lines)"
    )  # fmt: skip
    figure.savefig(filename, dpi=110)
    print(filename)


if __name__ == "__main__":
    main(*sys.argv[1:])
