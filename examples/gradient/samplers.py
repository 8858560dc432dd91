"""Sampling examples by their loss: a problem where it helps, and one where it does not.

Run with ``python examples/gradient/samplers.py [figure.png]`` where nncore[plot] is installed.

Two problems in the plane and one small network. In the first, one example in fifty belongs to the rare class, and the remaining
errors lie around it. In the second, one label in ten is wrong, and the mislabeled examples have the largest loss. Each
sampler is run with four learning rates; its curve is that of the rate with the lowest median loss at the end.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import matplotlib
import numpy as np

matplotlib.use("Agg")
import matplotlib.pyplot as plt

import nncore as nn

Problem = Callable[[int], tuple[np.ndarray, np.ndarray, np.ndarray]]  # seed → X, training labels, true labels

SAMPLERS: dict[str, nn.samplers.Sampler] = {
    "shuffled": nn.samplers.Shuffled(),
    "importance sampling": nn.samplers.ImportanceSampling(mix=0.5),
    "largest loss first": nn.samplers.LargestLossFirst(),
}
STYLES = {"shuffled": ("#000000", "-"), "importance sampling": ("#0072B2", "--"), "largest loss first": ("#D55E00", "-.")}
RATES = [0.1, 0.3, 1.0, 3.0]
POINTS, EPOCHS, SEEDS = 2000, 60, 7


def rare_class(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Data with one example in fifty in a disc, of class 1."""
    X = np.random.default_rng(seed).uniform(-1, 1, (POINTS, 2))
    y = (np.hypot(X[:, 0] - 0.4, X[:, 1] + 0.3) < 0.16).astype(np.int64)
    return X, y, y


def wrong_labels(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two classes on either side of a wave; one label in ten is flipped."""
    rng = np.random.default_rng(seed)
    X = rng.uniform(-1, 1, (POINTS, 2))
    y = (np.sin(3 * X[:, 0]) > X[:, 1]).astype(np.int64)
    return X, np.where(rng.random(POINTS) < 0.1, 1 - y, y), y


PROBLEMS: dict[str, Problem] = {"A rare class": rare_class, "One wrong label in ten": wrong_labels}


def train(problem: Problem, sampler: nn.samplers.Sampler, lr: float, seed: int) -> tuple[np.ndarray, np.ndarray, nn.Sequential]:
    """Loss of all examples and error rate on new ones with true labels, after each epoch; and the trained model."""
    X, y, _ = problem(seed)
    X_new, _, y_new = problem(seed + 100)
    model = nn.Sequential([nn.Dense(32), nn.Tanh(), nn.Dense(2)], input_shape=2, seed=seed)
    trainer = nn.Trainer(model, loss="softmax_cross_entropy", optimizer=nn.SGD(lr=lr), metrics=["accuracy"], seed=seed)
    try:
        history = trainer.fit(
            X, y, epochs=EPOCHS, batch_size=32, sampler=sampler, validation_data=(X_new, y_new), exact_loss=True, verbose=0
        )
    except nn.DivergenceError:
        return np.full(EPOCHS, np.inf), np.ones(EPOCHS), model
    return history["loss"], 1 - history["val_accuracy"], model


def best_rate(problem: Problem, sampler: nn.samplers.Sampler) -> tuple[float, np.ndarray, np.ndarray]:
    """The rate with the lowest median loss at the end; its losses and error rates, one row per seed."""
    runs = {}
    for lr in RATES:
        results = [train(problem, sampler, lr, seed)[:2] for seed in range(SEEDS)]
        runs[lr] = np.array([loss for loss, _ in results]), np.array([error for _, error in results])
    lr = min(runs, key=lambda lr: np.median(runs[lr][0][:, -1]))
    return lr, *runs[lr]


def draw_points(ax: plt.Axes, problem: Problem, model: nn.Sequential) -> None:
    """Plot the examples; the size shows how often importance sampling takes them."""
    X, y, truth = problem(0)
    z = model.predict(X).astype(np.float64)
    losses = np.logaddexp(z[:, 0], z[:, 1]) - z[np.arange(len(y)), y]
    often = SAMPLERS["importance sampling"].probabilities(losses) * len(y)
    ax.scatter(*X.T, s=2 + 9 * np.minimum(often - often.min(), 12), c=np.where(y == 1, "#CC79A7", "#56B4E9"), linewidths=0)
    wrong = y != truth
    if wrong.any():
        ax.scatter(*X[wrong].T, s=34, facecolors="none", edgecolors="black", linewidths=0.5, label="wrong label")
        ax.legend(loc="lower left", bbox_to_anchor=(0, 1), frameon=False, borderaxespad=0.1)
    ax.set(xticks=[], yticks=[], aspect="equal")


def draw_curves(ax: plt.Axes, scale: str, results: dict[str, tuple[float, np.ndarray, np.ndarray]]) -> None:
    """Plot the median over the seeds, and the range from minimum to maximum."""
    epochs = np.arange(1, EPOCHS + 1)
    for name, (lr, losses, _) in results.items():
        color, style = STYLES[name]
        ax.fill_between(epochs, losses.min(axis=0), losses.max(axis=0), color=color, alpha=0.12, linewidth=0)
        ax.plot(epochs, np.median(losses, axis=0), color=color, linestyle=style, linewidth=1.8, label=f"{name} (η = {lr:g})")
    ax.set(yscale=scale, xlabel="epoch", ylabel="loss of all examples")
    ax.grid(alpha=0.25, which="both")
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1), frameon=False, borderaxespad=0.1)


def main(filename: str = "samplers.png") -> None:
    figure, axes = plt.subplots(2, len(PROBLEMS), figsize=(10, 9.2), layout="constrained", height_ratios=[1.1, 1])
    for column, (title, problem) in enumerate(PROBLEMS.items()):
        results = {name: best_rate(problem, sampler) for name, sampler in SAMPLERS.items()}
        print(f"{title}: loss of all examples and error rate on new ones after {EPOCHS} epochs, medians of {SEEDS} seeds")
        for name, (lr, losses, errors) in results.items():
            error = 100 * np.median(errors[:, -1])
            print(f"  {name:<20} lr {lr:<4g}  loss {np.median(losses[:, -1]):.4f}  error {error:5.2f} %")
        draw_curves(axes[1, column], ["log", "linear"][column], results)
        _, _, model = train(problem, SAMPLERS["importance sampling"], results["importance sampling"][0], 0)
        draw_points(axes[0, column], problem, model)
        axes[0, column].set_title(title, pad=24)
    figure.suptitle(
        "Top: larger examples are taken more often by importance sampling at the end of training.\n"
        f"Bottom: median and range of {SEEDS} seeds, each sampler with the best of {len(RATES)} learning rates."
    )  # fmt: skip
    figure.savefig(filename, dpi=110)
    print(filename)


if __name__ == "__main__":
    main(*sys.argv[1:])
