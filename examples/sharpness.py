"""Shows that small batches end in flatter minima: the top Hessian eigenvalue after training to the same loss.

Keskar et al. (2017). Run with ``python examples/sharpness.py [picture.png]`` where nncore[demo] is installed.
"""

from __future__ import annotations

import sys

import matplotlib
import numpy as np
from scipy.sparse.linalg import eigsh

matplotlib.use("Agg")

import matplotlib.pyplot as plt

import nncore as nn
from nncore.second_order import HessianOperator

BATCHES = (8, 32, 128, 512)  # and the full batch
SEEDS = range(5)
TARGET = 0.02  # the training loss at which everyone stops
LR = 0.1


class StopAt(nn.Callback):
    """Ends the training once the loss over all training data is small enough."""

    def on_epoch_end(self, trainer: nn.Trainer, epoch: int, row: dict[str, float]) -> None:
        trainer.stop_training = row["loss"] < TARGET


def run(batch: int, seed: int, data: tuple[np.ndarray, ...]) -> tuple[float, float, int]:
    """Top eigenvalue, test accuracy and epochs of one training."""
    X, y, X_test, y_test = data
    model = nn.Sequential([nn.Dense(32), nn.Tanh(), nn.Dense(10)], input_shape=64, seed=seed)
    trainer = nn.Trainer(model, "softmax_cross_entropy", nn.SGD(lr=LR), metrics=["accuracy"], seed=seed)
    trainer.fit(X, y, epochs=30_000, batch_size=batch, exact_loss=True, callbacks=[StopAt()], verbose=0)
    top = eigsh(HessianOperator(model.astype("float64"), X, y, trainer.loss), k=1, which="LA", return_eigenvectors=False)[0]
    return float(top), trainer.evaluate(X_test, y_test)["accuracy"], trainer.epochs_done


def main(path: str = "sharpness.png") -> None:
    X, y = nn.data.load_digits()
    train, test = nn.data.train_validation_split(X, y, 0.25, seed=0)
    data = X[train], y[train], X[test], y[test]
    batches = (*BATCHES, len(train))
    results = {batch: np.array([run(batch, seed, data) for seed in SEEDS]) for batch in batches}
    print("batch   top eigenvalue   test accuracy   epochs")
    for batch, rows in results.items():
        top, accuracy, epochs = np.median(rows, axis=0)
        print(f"{batch:5d}   {top:14.2f}   {accuracy:13.3f}   {epochs:6.0f}")
    figure, axes = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained")
    for column, (ax, label) in enumerate(zip(axes, ("top eigenvalue of the Hessian", "test accuracy"), strict=True)):
        for batch, rows in results.items():
            ax.plot([batch] * len(rows), rows[:, column], "o", color="C0", alpha=0.6)
        ax.plot(batches, [np.median(rows[:, column]) for rows in results.values()], "k-", label=f"median of {len(SEEDS)} seeds")
        ax.set(xscale="log", xlabel="batch size", ylabel=label, xticks=batches, xticklabels=map(str, batches))
        ax.minorticks_off()
        ax.grid(alpha=0.3)
        ax.legend(loc="lower right" if column == 0 else "center right")
    figure.suptitle(f"Digits, 64-32-10, SGD with lr {LR}, all trained to a loss of {TARGET}")
    figure.savefig(path, dpi=120)
    print(f"picture: {path}")


if __name__ == "__main__":
    main(*sys.argv[1:])
