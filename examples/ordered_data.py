"""Why examples are shuffled: the first half of the data follows f(x) = 2x, the second half f(x) = −x.

Run with ``python examples/ordered_data.py [figure.png]`` where nncore[plot] is installed.

No line fits both halves; the best slope is 1/2. Without shuffling, every epoch moves the slope toward 2 and then toward
−1: it oscillates forever. With shuffling, the slope stays near 1/2.
"""

from __future__ import annotations

import sys

import matplotlib
import numpy as np

matplotlib.use("Agg")
import matplotlib.pyplot as plt

import nncore as nn

HALF, EPOCHS, LR = 100, 12, 0.05
ORDERS = {"sequential": False, "shuffled": True}
COLORS = {"sequential": "#D55E00", "shuffled": "#0072B2"}


def data() -> tuple[np.ndarray, np.ndarray]:
    """Data of f(x) = 2x, followed by data of f(x) = −x."""
    x = np.random.default_rng(0).uniform(-1, 1, size=2 * HALF)
    return x[:, None], np.concatenate([2 * x[:HALF], -x[HALF:]])


def slopes(shuffle: bool) -> tuple[np.ndarray, np.ndarray]:
    """The slope after every step of SGD, and the loss over all data after every epoch."""
    X, y = data()
    model = nn.Sequential([nn.Dense(1, bias=False, weight_init="zeros")], input_shape=1, dtype="float64")
    trainer = nn.Trainer(model, "squared_error", nn.SGD(lr=LR))
    way, losses = [model.parameters[0]], [trainer.evaluate(X, y)["loss"]]
    rng = np.random.default_rng(1)
    for _ in range(EPOCHS):
        order = rng.permutation(len(X)) if shuffle else np.arange(len(X))
        for i in order:
            trainer.partial_fit(X[i : i + 1], y[i : i + 1])  # a step on one example
            way.append(model.parameters[0])
        losses.append(trainer.evaluate(X, y)["loss"])
    return np.array(way), np.array(losses)


def main(filename: str = "ordered_data.png") -> None:
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained", width_ratios=[1.6, 1])
    X, y = data()
    best = float((X[:, 0] @ y) / (X[:, 0] @ X[:, 0]))
    least = 0.5 * float(np.mean((y - best * X[:, 0]) ** 2))
    for name, shuffle in ORDERS.items():
        way, losses = slopes(shuffle)
        epochs = np.arange(len(way)) / len(X)
        left.plot(epochs, way, color=COLORS[name], label=name, linewidth=1.3)
        right.plot(losses, color=COLORS[name], marker="o", markersize=4, label=name)
        swing = way[len(way) // 2 :]
        print(f"{name:<11} slope from {swing.min():5.2f} to {swing.max():5.2f} in the second half; last loss {losses[-1]:.3f}")
    left.axhline(best, color="0.3", linewidth=1, linestyle=":", label=f"best slope, {best:.2f}")
    right.axhline(least, color="0.3", linewidth=1, linestyle=":", label=f"minimum, {least:.2f}")
    left.set(xlabel="epoch", ylabel="slope after every step", ylim=(-1.4, 2.4), title="SGD, one example per step")
    right.set(xlabel="epoch", ylabel="loss on all data", title="after every epoch")
    left.legend(loc="upper center", ncols=3, frameon=False)
    right.legend(frameon=False, loc="center right")
    for ax in (left, right):
        ax.grid(alpha=0.25)
    figure.suptitle("First f(x) = 2x, then f(x) = −x")
    figure.savefig(filename, dpi=120)
    print(filename)


if __name__ == "__main__":
    main(*sys.argv[1:])
