"""Data that change over time: SGD on new examples follows the change, full-batch training on all past examples lags behind.

Run with ``python examples/gradient/drift.py [figure.png]`` where nncore[plot] is installed.

The slope of a line oscillates; in every step, 16 new noisy points of the line arrive. Three models with one weight are
compared: one takes a step on the new points only (``partial_fit``); one keeps all points and takes a step on all of them
(``fit`` with one batch); one does so with the last 20 batches. The learning rate of SGD trades lag against noise.
"""

from __future__ import annotations

import sys

import matplotlib
import numpy as np

matplotlib.use("Agg")
import matplotlib.pyplot as plt

import nncore as nn

STEPS, POINTS, NOISE, WINDOW = 400, 16, 0.5, 20
MODELS = {"SGD on new points": 1, "last 20 batches": WINDOW, "full batch of all points so far": STEPS}  # batches kept
COLORS = ["#0072B2", "#D55E00", "#009E73"]
RATES = np.geomspace(0.01, 1.0, 9)
LR = 0.2


def target() -> np.ndarray:
    """The true slope at each step: a wave, with a jump after three quarters of the steps."""
    t = np.arange(STEPS)
    return np.where(t < 3 * STEPS // 4, np.sin(2 * np.pi * t / 200), 1.5)


def arrivals(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """x and y (steps, points)."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((STEPS, POINTS))
    return x, target()[:, None] * x + NOISE * rng.standard_normal(x.shape)


def follow(kept: int, lr: float, seed: int = 0) -> np.ndarray:
    """The model's slope after each step, if it trains on the last ``kept`` batches."""
    x, y = arrivals(seed)
    model = nn.Sequential([nn.Dense(1, bias=False, weight_init="zeros")], input_shape=1, dtype="float64")
    trainer = nn.Trainer(model, loss="squared_error", optimizer=nn.SGD(lr=lr))
    slopes = np.empty(STEPS)
    for t in range(STEPS):
        if kept == 1:
            trainer.partial_fit(x[t], y[t])
        else:
            X, d = (values[max(0, t + 1 - kept) : t + 1].ravel() for values in (x, y))
            trainer.fit(X, d, batch_size=len(X), verbose=0)
        slopes[t] = model.parameters[0]
    return slopes


def error(slopes: np.ndarray) -> float:
    """Root mean square distance from the true slope."""
    return float(np.sqrt(np.mean((slopes - target()) ** 2)))


def main(filename: str = "drift.png") -> None:
    figure, (above, below) = plt.subplots(2, 1, figsize=(9, 7.6), layout="constrained", height_ratios=[1.5, 1])
    above.plot(target(), color="black", linewidth=3.5, alpha=0.3, label="target")
    print(f"distance from the target, root mean square over {STEPS} steps, learning rate {LR}")
    for (name, kept), color, style in zip(MODELS.items(), COLORS, ["-", "--", "-."], strict=True):
        slopes = follow(kept, LR)
        print(f"  {name:<32} {error(slopes):.3f}")
        above.plot(slopes, color=color, linestyle=style, linewidth=1.4, label=name)
        errors = [[error(follow(kept, lr, seed)) for seed in range(3)] for lr in RATES]
        below.plot(RATES, np.median(errors, axis=1), color=color, linestyle=style, marker="o", markersize=4, label=name)
    above.set(xlabel="step", ylabel="slope", title=f"{POINTS} new points per step, learning rate {LR}")
    below.set(xscale="log", ylim=(0, None), xlabel="learning rate", ylabel="distance from the target\n(root mean square)")
    above.legend(loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False)
    for ax in (above, below):
        ax.grid(alpha=0.25)
    figure.savefig(filename, dpi=110)
    print(filename)


if __name__ == "__main__":
    main(*sys.argv[1:])
