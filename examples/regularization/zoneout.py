"""The effect of zoneout on a recurrent network with little data: digits read row by row.

Run with ``python examples/regularization/zoneout.py [figure.png]`` where nncore[demo] is installed; it takes a minute or two.

An 8 × 8 digit is a sequence of 8 rows of 8 pixels; the last state goes to a dense layer. 150 examples, 15 of each class, are
far fewer than the network's parameters, so the network memorizes them and the validation loss rises again: a regularizer can
help. Each run is repeated with 20 seeds, each with different training examples and initial weights, which are the same for all
rates. The plot shows median and quartiles; nothing was tuned for zoneout.

Result: the GRU overfits without zoneout, but not with it: its validation loss stays low, and its accuracy is two percentage
points higher. For the simple network, which is better here and overfits less, a rate of 0.1 has no effect and 0.3 is harmful,
perhaps because eight steps are few for a state that skips three of ten updates.
"""

from __future__ import annotations

import sys

import numpy as np

import nncore as nn

CELLS = {"GRU": nn.GRU, "SimpleRNN": nn.SimpleRNN}
RATES = {0.0: "#000000", 0.1: "#0072B2", 0.3: "#D55E00"}
UNITS, EXAMPLES, VALIDATION, EPOCHS, BATCH, LR, SEEDS = 64, 150, 600, 150, 32, 3e-3, 20
PANELS = {"val_loss": "validation loss", "val_accuracy": "validation accuracy (%)", "loss": "training loss"}


def train(cell: type[nn.Layer], rate: float, seed: int, X: np.ndarray, y: np.ndarray) -> nn.History:
    """One run; its examples, weights and zoneout draws depend on the seed."""
    share = EXAMPLES / len(X)
    rest, train = nn.data.train_validation_split(X, y, share, seed=seed)
    validation = rest[:VALIDATION]
    layers = [cell(UNITS, zoneout=rate), nn.Dense(10)]
    model = nn.Sequential(layers, input_shape=X.shape[1:], seed=seed)
    trainer = nn.Trainer(model, "softmax_cross_entropy", nn.Adam(lr=LR), metrics=["accuracy"], seed=seed)
    return trainer.fit(
        X[train], y[train], epochs=EPOCHS, batch_size=BATCH, validation_data=(X[validation], y[validation]), exact_loss=True,
        verbose=0,
    )  # fmt: skip


def results() -> dict[str, dict[float, dict[str, np.ndarray]]]:
    """Columns of the histories (seeds, epochs), by cell and rate."""
    X, y = nn.data.load_digits(flat=False)
    found: dict[str, dict[float, dict[str, np.ndarray]]] = {}
    for name, cell in CELLS.items():
        found[name] = {}
        for rate in RATES:
            histories = [train(cell, rate, seed, X, y) for seed in range(SEEDS)]
            found[name][rate] = {column: np.array([history[column] for history in histories]) for column in PANELS}
    return found


def report(found: dict[str, dict[float, dict[str, np.ndarray]]]) -> None:
    """Print medians at the best epoch of the median curve and at the end, and the number of seeds where zoneout ends better."""
    print(f"{'':<18}{'lowest loss':>12}{'last loss':>11}{'last accuracy':>15}   better at the end, of {SEEDS} seeds")
    for name, rates in found.items():
        for rate, columns in rates.items():
            curve, last = np.median(columns["val_loss"], axis=0), columns["val_loss"][:, -1]
            accuracy = 100 * np.median(columns["val_accuracy"][:, -1])
            better = int((last < rates[0.0]["val_loss"][:, -1]).sum()) if rate else "–"
            print(f"{name:<10}{rate:>8g}{curve.min():>12.3f}{np.median(last):>11.3f}{accuracy:>14.1f}%   {better}")


def plot(found: dict[str, dict[float, dict[str, np.ndarray]]], path: str) -> None:
    """Plot one column per cell and one row per quantity."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(
        len(PANELS), len(found), figsize=(11, 10), layout="constrained", sharex=True, sharey="row"
    )  # fmt: skip
    epochs = np.arange(1, EPOCHS + 1)
    for column, (name, rates) in enumerate(found.items()):
        for ax, (quantity, label) in zip(axes[:, column], PANELS.items(), strict=True):
            for (rate, columns), style in zip(rates.items(), ("-", "--", "-."), strict=True):
                factor = 100 if "accuracy" in quantity else 1
                low, middle, high = factor * np.quantile(columns[quantity], [0.25, 0.5, 0.75], axis=0)
                ax.fill_between(epochs, low, high, color=RATES[rate], alpha=0.13, linewidth=0)
                ax.plot(epochs, middle, color=RATES[rate], linestyle=style, linewidth=1.8, label=f"zoneout {rate:g}")
            ax.grid(alpha=0.25)
            ax.set_title(name if quantity == "val_loss" else "")
            if column == 0:
                ax.set_ylabel(label)
    axes[0, 0].set(ylim=(0.25, 1.0))
    axes[1, 0].set(ylim=(70, 95))
    axes[2, 0].set(yscale="log")
    for ax in axes[-1]:
        ax.set_xlabel("epoch")
    axes[0, 1].legend(loc="upper right", frameon=False, handlelength=3)
    figure.suptitle(
        f"Digits read row by row: {UNITS} units, {EXAMPLES} training examples; median and quartiles of {SEEDS} seeds"
    )  # fmt: skip
    figure.savefig(path, dpi=110)


def main(filename: str = "zoneout.png") -> None:
    found = results()
    report(found)
    plot(found, filename)
    print(filename)


if __name__ == "__main__":
    main(*sys.argv[1:])
