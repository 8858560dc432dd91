"""Shows that small batches end in flatter minima: the largest eigenvalue of the Hessian after training to the same loss.

500 digits, a tenth of them with a wrong label, so that the gradients of small batches are noisy up to the end. Two pictures of
sharpness: the largest eigenvalue, and the loss along its eigenvector. A third panel shows what flatness does to the accuracy
on unseen digits: next to nothing here. Keskar et al. (2017) found that flatter minima generalize better; this does not follow
from flatness alone (Dinh et al. 2017).

Run with ``python examples/sharpness.py [picture.png]`` where nncore[demo] is installed; it takes half a minute.
"""

from __future__ import annotations

import sys
from typing import NamedTuple

import matplotlib
import numpy as np
from scipy.sparse.linalg import eigsh

matplotlib.use("Agg")

import matplotlib.pyplot as plt

import nncore as nn
from nncore.second_order import HessianOperator

EXAMPLES, WRONG = 500, 0.1
BATCHES = (4, 16, 64, EXAMPLES)
SEEDS = range(5)
TARGET = 0.05  # the training loss at which every run stops
LR = 0.3
LOSS = "softmax_cross_entropy"
DISTANCES = np.linspace(-1.5, 1.5, 61)
COLORS = dict(zip(BATCHES, ("#0072B2", "#56B4E9", "#E69F00", "#D55E00"), strict=True))  # blue: small, orange: large


class Run(NamedTuple):
    """What one training ends in."""

    top: float  # the largest eigenvalue
    valley: np.ndarray  # the training loss along its eigenvector
    accuracy: float  # on unseen digits
    epochs: int


class StopAt(nn.Callback):
    """Ends the training once the loss over all training data is small enough."""

    def on_epoch_end(self, trainer: nn.Trainer, epoch: int, row: dict[str, float]) -> None:
        trainer.stop_training = row["loss"] < TARGET


def load() -> tuple[np.ndarray, ...]:
    """500 digits to train on, some with the label of another class, and all others to test on."""
    X, y = nn.data.load_digits()
    rng = np.random.default_rng(0)
    order = rng.permutation(len(X))
    train, test = order[:EXAMPLES], order[EXAMPLES:]
    labels = y[train].copy()
    wrong = rng.choice(EXAMPLES, int(WRONG * EXAMPLES), replace=False)
    labels[wrong] = (labels[wrong] + rng.integers(1, 10, len(wrong))) % 10
    return X[train], labels, X[test], y[test]


def run(batch: int, seed: int, data: tuple[np.ndarray, ...]) -> Run:
    X, y, X_test, y_test = data
    model = nn.Sequential([nn.Dense(32), nn.Tanh(), nn.Dense(10)], input_shape=64, seed=seed)
    trainer = nn.Trainer(model, LOSS, nn.SGD(lr=LR), metrics=["accuracy"], seed=seed)
    trainer.fit(X, y, epochs=30_000, batch_size=batch, exact_loss=True, callbacks=[StopAt()], verbose=0)
    accuracy = trainer.evaluate(X_test, y_test)["accuracy"]
    exact = model.astype("float64")
    values, vectors = eigsh(HessianOperator(exact, X, y, trainer.loss), k=1, which="LA")
    evaluator, end = nn.Trainer(exact, LOSS), exact.parameters.copy()
    valley = np.empty(DISTANCES.size)
    for i, distance in enumerate(DISTANCES):
        exact.parameters[...] = end + distance * vectors[:, 0]
        valley[i] = evaluator.evaluate(X, y)["loss"]
    return Run(float(values[0]), valley, accuracy, trainer.epochs_done)


def draw_valleys(ax: plt.Axes, runs: dict[int, list[Run]]) -> None:
    for batch in (BATCHES[-1], BATCHES[0]):
        for i, result in enumerate(runs[batch]):
            label = f"batches of {batch}" if batch < EXAMPLES else f"full batch ({EXAMPLES})"
            ax.plot(DISTANCES, result.valley, color=COLORS[batch], linewidth=1.5, label=None if i else label)
    ax.set(xlabel="distance along the top eigenvector", ylabel="training loss", ylim=(0, None), xlim=DISTANCES[[0, -1]])
    ax.set_title("The valleys: loss around each end point")
    ax.legend(loc="upper center", frameon=False)


def draw_points(ax: plt.Axes, runs: dict[int, list[Run]], field: str) -> None:
    medians = [np.median([getattr(result, field) for result in results]) for results in runs.values()]
    ax.plot(BATCHES, medians, color="0.5", zorder=1, label=f"median of {len(SEEDS)} runs")
    for batch, results in runs.items():
        values = [getattr(result, field) for result in results]
        ax.plot([batch] * len(values), values, "o", color=COLORS[batch], markeredgecolor="white", markersize=8)
    ax.set(xscale="log", xlabel="batch size", xticks=BATCHES, xticklabels=map(str, BATCHES), xlim=(2.8, 720))
    ax.minorticks_off()
    ax.legend(loc="best", frameon=False)


def main(path: str = "sharpness.png") -> None:
    data = load()
    runs = {batch: [run(batch, seed, data) for seed in SEEDS] for batch in BATCHES}
    print("batch   top eigenvalue: median, min–max   test accuracy: median, min–max   epochs")
    for batch, results in runs.items():
        top, accuracy = (np.array([getattr(result, field) for result in results]) for field in ("top", "accuracy"))
        epochs = np.median([result.epochs for result in results])
        print(
            f"{batch:5d}   {np.median(top):14.2f}, {top.min():.2f}–{top.max():.2f}          "
            f"{np.median(accuracy):13.3f}, {accuracy.min():.3f}–{accuracy.max():.3f}     {epochs:10.0f}"
        )
    figure, axes = plt.subplots(1, 3, figsize=(15, 4.8), layout="constrained")
    draw_points(axes[0], runs, "top")
    axes[0].set(ylabel="largest eigenvalue of the Hessian", ylim=(0, None), title="Sharpness grows with the batch size")
    draw_valleys(axes[1], runs)
    draw_points(axes[2], runs, "accuracy")
    axes[2].set(ylabel="accuracy on unseen digits", title="")
    for ax in axes:
        ax.grid(alpha=0.3)
    figure.suptitle(f"Small batches end in flatter minima (SGD, lr {LR}, every run stopped at a training loss of {TARGET})")
    figure.savefig(path, dpi=110)
    print(f"picture: {path}")


if __name__ == "__main__":
    main(*sys.argv[1:])
