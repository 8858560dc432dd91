"""Small batches end in flatter minima: the largest eigenvalue of the Hessian after training to the same loss.

500 digits, once with correct labels and once with a tenth of them wrong, which keeps the gradients of small batches noisy to
the end. Two measures of sharpness: the largest eigenvalue, and the loss along its eigenvector. The third panel shows the
accuracy on unseen digits: with wrong labels small batches are slightly more accurate, with correct ones
slightly less, and both differences are smaller than those between seeds. Keskar et al. (2017) found that flatter minima
generalize better; flatness alone does not imply this (Dinh et al. 2017).

Run with ``python examples/gradient/sharpness.py [figure.png]`` where nncore[demo] is installed; it takes a quarter of a minute.
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

EXAMPLES = 500
WRONG = (0.1, 0.0)  # fractions of wrong labels
BATCHES = (4, 16, 64, EXAMPLES)
SEEDS = range(5)
TARGET = 0.05  # the training loss at which every run stops
LR = 0.3
LOSS = "softmax_cross_entropy"
DISTANCES = np.linspace(-1.5, 1.5, 61)
COLORS = dict(zip(BATCHES, ("#0072B2", "#56B4E9", "#E69F00", "#D55E00"), strict=True))  # blue: small, orange: large


class Run(NamedTuple):
    """The result of a training run."""

    top: float  # the largest eigenvalue
    valley: np.ndarray  # the training loss along its eigenvector
    accuracy: float  # on unseen digits
    epochs: int


class StopAt(nn.Callback):
    """End the training once the loss over all training data is small enough."""

    def on_epoch_end(self, trainer: nn.Trainer, epoch: int, row: dict[str, float]) -> None:
        trainer.stop_training = row["loss"] < TARGET


def load(wrong: float) -> tuple[np.ndarray, ...]:
    """500 training digits, some with the label of another class, and all others for testing."""
    X, y = nn.data.load_digits()
    rng = np.random.default_rng(0)
    order = rng.permutation(len(X))
    train, test = order[:EXAMPLES], order[EXAMPLES:]
    labels = y[train].copy()
    other = rng.choice(EXAMPLES, int(wrong * EXAMPLES), replace=False)
    labels[other] = (labels[other] + rng.integers(1, 10, len(other))) % 10
    return X[train], labels, X[test], y[test]


def run(batch: int, seed: int, data: tuple[np.ndarray, ...]) -> Run:
    X, y, X_test, y_test = data
    model = nn.Sequential([nn.Dense(32), nn.Tanh(), nn.Dense(10)], input_shape=64, seed=seed)
    trainer = nn.Trainer(model, LOSS, nn.SGD(lr=LR), metrics=["accuracy"], seed=seed)
    trainer.fit(X, y, epochs=30_000, batch_size=batch, exact_loss=True, callbacks=[StopAt()], verbose=0)
    accuracy = trainer.evaluate(X_test, y_test)["accuracy"]
    exact = model.astype("float64")
    values, vectors = eigsh(HessianOperator(exact, X, y, trainer.loss), k=1, which="LA")
    vectors *= np.sign(vectors[np.argmax(np.abs(vectors))])  # fix the sign of the eigenvector
    evaluator, end = nn.Trainer(exact, LOSS), exact.parameters.copy()
    valley = np.empty(DISTANCES.size)
    for i, distance in enumerate(DISTANCES):
        exact.parameters[...] = end + distance * vectors[:, 0]
        valley[i] = evaluator.evaluate(X, y)["loss"]
    return Run(float(values[0]), valley, accuracy, trainer.epochs_done)


def draw_valleys(ax: plt.Axes, runs: dict[int, list[Run]]) -> None:
    for batch, label in ((EXAMPLES, f"full batch ({EXAMPLES})"), (BATCHES[0], f"batches of {BATCHES[0]}")):
        for i, result in enumerate(runs[batch]):
            ax.plot(DISTANCES, result.valley, color=COLORS[batch], linewidth=1.5, label=None if i else label)
    ax.set(xlabel="distance along the top eigenvector", ylabel="training loss", ylim=(0, None), xlim=DISTANCES[[0, -1]])
    ax.legend(loc="upper center", frameon=False, title="a tenth of the labels wrong")


def draw_points(ax: plt.Axes, runs: dict[float, dict[int, list[Run]]], field: str) -> None:
    for wrong, by_batch in runs.items():
        values = {batch: [getattr(result, field) for result in results] for batch, results in by_batch.items()}
        ax.plot(BATCHES, [np.median(of_batch) for of_batch in values.values()], color="0.5", zorder=1)
        for batch, of_batch in values.items():
            color = COLORS[batch]
            look = {"markerfacecolor": color, "markeredgecolor": "white"} if wrong else {"markerfacecolor": "white"}
            ax.plot([batch] * len(of_batch), of_batch, "o", color=color, markersize=8, **look)
    ax.set(xscale="log", xlabel="batch size", xticks=BATCHES, xticklabels=map(str, BATCHES), xlim=(2.8, 720))
    ax.minorticks_off()


def label_series(ax: plt.Axes, wrong: tuple[float, float], right: tuple[float, float]) -> None:
    ax.text(*wrong, "a tenth of the labels wrong\n(filled)", transform=ax.transAxes)
    ax.text(*right, "all labels correct\n(hollow)", transform=ax.transAxes)


def main(path: str = "sharpness.png") -> None:
    runs = {}
    for wrong in WRONG:
        data = load(wrong)
        runs[wrong] = {batch: [run(batch, seed, data) for seed in SEEDS] for batch in BATCHES}
    print("wrong labels   batch   top eigenvalue: median, min–max   test accuracy: median, min–max   epochs")
    for wrong, batch in ((wrong, batch) for wrong in WRONG for batch in BATCHES):
        results = runs[wrong][batch]
        top, accuracy = (np.array([getattr(result, field) for result in results]) for field in ("top", "accuracy"))
        print(
            f"{wrong:12.0%}   {batch:5d}   {np.median(top):18.2f}, {top.min():.2f}–{top.max():.2f}   "
            f"{np.median(accuracy):16.3f}, {accuracy.min():.3f}–{accuracy.max():.3f}   "
            f"{np.median([result.epochs for result in results]):6.0f}"
        )
    figure, axes = plt.subplots(1, 3, figsize=(15, 5.2), layout="constrained")
    draw_points(axes[0], runs, "top")
    axes[0].set(ylabel="largest eigenvalue of the Hessian", ylim=(0, 2.6), title="Sharpness grows with the batch size")
    label_series(axes[0], (0.28, 0.78), (0.7, 0.47))
    draw_valleys(axes[1], runs[WRONG[0]])
    axes[1].set_title("The minima in which the runs end")
    draw_points(axes[2], runs, "accuracy")
    axes[2].set(ylabel="accuracy on unseen digits", ylim=(0.8, 1.0), title="The accuracy hardly changes")
    label_series(axes[2], (0.04, 0.08), (0.04, 0.85))
    for ax in axes:
        ax.grid(alpha=0.3)
    figure.suptitle(
        f"Small batches end in flatter minima (SGD, lr {LR}; each run ends at a training loss of {TARGET}; "
        f"{len(SEEDS)} seeds, gray: median)",
        fontsize=14,
    )
    figure.savefig(path, dpi=110)
    print(f"figure: {path}")


if __name__ == "__main__":
    main(*sys.argv[1:])
