"""Dropout as an average over sub-networks, and as a regularizer.

Run with ``python examples/regularization/dropout.py [figure.png]`` where nncore[demo] is installed.

Left: a net with N = 12 hidden units has 2¹² sub-networks, few enough to compute them all. Their average, each weighted with the
probability of its mask, is compared with the mean over k random masks and with one pass through the scaled net.
Right: a net of 85 000 parameters is trained on 300 noisy digits, with and without dropout.
"""

from __future__ import annotations

import itertools
import sys

import matplotlib
import numpy as np

matplotlib.use("Agg")
import matplotlib.pyplot as plt

import nncore as nn

RATE, UNITS = 0.5, (6, 6)  # of the tiny net: 2^(6 + 6) sub-networks
SAMPLES = 1 << 16
EXAMPLES, EPOCHS, NOISE = 300, 150, 0.25
BLUE, ORANGE, GRAY = "#0072B2", "#D55E00", "0.35"


def tiny_net() -> tuple[nn.Sequential, np.ndarray]:
    """A network trained on a wave with dropout, and the points of comparison."""
    hidden = [layer for units in UNITS for layer in (nn.Dense(units), nn.Tanh(), nn.Dropout(RATE))]
    model = nn.Sequential([*hidden, nn.Dense(1)], input_shape=1, dtype="float64", seed=1)
    x = np.linspace(-2, 2, 41)[:, None]
    trainer = nn.Trainer(model, "squared_error", nn.Adam(lr=0.01))
    trainer.fit(x, np.sin(2 * x), epochs=2000, batch_size=len(x), verbose=0)
    return model, x


def enumerate_subnetworks(model: nn.Sequential, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of the output over all masks, each with its probability α^kept (1 − α)^dropped."""
    first, second, last = (layer for layer in model.layers if isinstance(layer, nn.Dense))
    alpha = 1 - RATE
    mean = np.zeros((len(x), 1))
    square = np.zeros((len(x), 1))
    for bits in itertools.product((0, 1), repeat=sum(UNITS)):
        mask = np.array(bits)
        probability = alpha ** mask.sum() * RATE ** (len(mask) - mask.sum())
        h = np.tanh(x @ first.weight.T + first.bias) * mask[: UNITS[0]] / alpha
        h = np.tanh(h @ second.weight.T + second.bias) * mask[UNITS[0] :] / alpha
        y = h @ last.weight.T + last.bias
        mean += probability * y
        square += probability * y**2
    return mean, np.sqrt(square - mean**2)


def root_mean_square(errors: np.ndarray) -> float:
    return float(np.sqrt(np.mean(errors**2)))


def draw_average(panel: plt.Axes) -> None:
    """The error of the mean over k masks, and of the scaled net, against enumeration."""
    model, x = tiny_net()
    exact, spread = enumerate_subnetworks(model, x)
    samples = model.predict_samples(x, SAMPLES)
    counts = 2 ** np.arange(17)
    errors = [
        root_mean_square(samples.reshape(-1, k, *exact.shape)[:64].mean(axis=1) - exact) for k in counts
    ]  # fmt: skip
    scaled = root_mean_square(model.predict(x) - exact)
    panel.loglog(counts, root_mean_square(spread) / np.sqrt(counts), color=GRAY, linestyle="--", label="theory: spread / √k")
    panel.loglog(counts, errors, "o", color=BLUE, markersize=4.5, label="mean over k random masks")
    panel.axhline(scaled, color=ORANGE, label="one pass through the scaled net")
    panel.set(xlabel="masks k", ylabel="distance from the mean over all sub-networks")
    panel.set_title(f"All {2 ** sum(UNITS)} sub-networks of a net of {sum(UNITS)} hidden units", fontsize=10)
    panel.legend(frameon=False, fontsize=9, loc="lower left")
    crossing = (root_mean_square(spread) / scaled) ** 2
    print(f"spread of the sub-networks      {root_mean_square(spread):.4f}")
    print(f"error of the scaled net         {scaled:.4f}, as good as the mean over {crossing:.0f} masks")
    print(f"error of the mean over {SAMPLES} masks: {errors[-1]:.5f}, expected {root_mean_square(spread) / SAMPLES**0.5:.5f}")


def noisy_digits() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """A few training digits and many for validation, with noise added to the pixels."""
    X, y = nn.data.load_digits()
    rng = np.random.default_rng(0)
    X = X + NOISE * rng.standard_normal(X.shape)
    order = rng.permutation(len(X))
    train, rest = order[:EXAMPLES], order[EXAMPLES:]
    return X[train], y[train], X[rest], y[rest]


def learn(layers: list[nn.Layer]) -> nn.History:
    X, y, X_new, y_new = noisy_digits()
    model = nn.Sequential(layers, input_shape=64, seed=0)
    trainer = nn.Trainer(model, "softmax_cross_entropy", nn.Adam(lr=1e-3), metrics=["accuracy"])
    return trainer.fit(X, y, epochs=EPOCHS, batch_size=32, validation_data=(X_new, y_new), exact_loss=True, verbose=0)


def draw_curves(panel: plt.Axes) -> None:
    """Plot the loss on the training digits and on new ones."""
    plain = [nn.Dense(256), nn.ReLU(), nn.Dense(256), nn.ReLU(), nn.Dense(10)]
    dropout = [
        nn.Dropout(0.2), nn.Dense(256), nn.ReLU(), nn.Dropout(0.5), nn.Dense(256), nn.ReLU(), nn.Dropout(0.5), nn.Dense(10),
    ]  # fmt: skip
    for name, layers, color in [("without dropout", plain, ORANGE), ("with dropout", dropout, BLUE)]:
        history = learn(layers)
        epochs = np.arange(1, len(history) + 1)
        panel.semilogy(epochs, history["loss"], color=color, linestyle=":", label=f"{name}, training")
        panel.semilogy(epochs, history["val_loss"], color=color, label=f"{name}, validation")
        print(
            f"{name:<16} validation: loss {history['val_loss'][-1]:.3f} (best {min(history['val_loss']):.3f}), "
            f"accuracy {100 * history['val_accuracy'][-1]:.1f} %"
        )
    panel.set(xlabel="epoch", ylabel="loss", ylim=(3e-5, None))
    panel.set_title(f"{EXAMPLES} noisy digits, 64-256-256-10", fontsize=10)
    panel.legend(frameon=False, fontsize=9, loc="lower left")


def main(filename: str = "dropout.png") -> None:
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained")
    draw_average(left)
    draw_curves(right)
    for panel in (left, right):
        panel.spines[["top", "right"]].set_visible(False)
    figure.savefig(filename, dpi=110)
    print(f"figure: {filename}")


if __name__ == "__main__":
    main(*sys.argv[1:])
