"""The effect of data scaling on each optimizer: logistic regression on three distributions of two features.

Run with ``python examples/data/data_scaling.py [figure.png]`` where nncore[plot] is installed.

The classes depend on the standardized features, so the three problems, and raw and scaled data, differ only in their
coordinates. Every optimizer is trained on the full batch (required by Rprop and delta-bar-delta), each time with the best of
a list of learning rates.
"""

from __future__ import annotations

import sys

import matplotlib
import numpy as np
import scipy.optimize

matplotlib.use("Agg")
import matplotlib.pyplot as plt

import nncore as nn

DISTRIBUTIONS = {  # means and standard deviations of the two features
    "N(0, 1) × N(0, 1)": ([0.0, 0.0], [1.0, 1.0]),
    "N(0, 10²) × N(0, 1)": ([0.0, 0.0], [10.0, 1.0]),
    "N(3, 1) × N(−2, 0.3²)": ([3.0, -2.0], [1.0, 0.3]),
}
OPTIMIZERS = {
    "SGD": lambda lr: nn.SGD(lr=lr),
    "Momentum": lambda lr: nn.Momentum(lr=lr, momentum=0.9),
    "Nesterov": lambda lr: nn.Nesterov(lr=lr, momentum=0.9),
    "AdaGrad": lambda lr: nn.AdaGrad(lr=lr),
    "RMSprop": lambda lr: nn.RMSprop(lr=lr, alpha=0.9),
    "AdaDelta": lambda lr: nn.AdaDelta(lr=lr, rho=0.95),
    "Adam": lambda lr: nn.Adam(lr=lr),
    "AdamW": lambda lr: nn.AdamW(lr=lr),
    "AMSGrad": lambda lr: nn.AMSGrad(lr=lr),
    "AdaMax": lambda lr: nn.AdaMax(lr=lr),
    "NAdam": lambda lr: nn.NAdam(lr=lr),
    "Lion": lambda lr: nn.Lion(lr=lr),
    "Rprop": lambda lr: nn.Rprop(lr=lr),
    "DeltaBarDelta": lambda lr: nn.DeltaBarDelta(lr=lr, kappa=lr / 10),
}
CURVES = ["SGD", "Momentum", "AdaGrad", "RMSprop", "Adam", "Rprop"]  # plotted as curves; for all others only step counts
COLORS = ["#0072B2", "#D55E00", "#CC79A7", "#000000", "#B8860B", "#009E73"]
RATES = np.geomspace(1e-3, 1e2, 26)
POINTS, EPOCHS, GOAL = 400, 200, 1e-3


def draw_data(means: list[float], deviations: list[float]) -> tuple[np.ndarray, np.ndarray]:
    """Features, and classes that follow P(1) = sigmoid(2z₁ − 1.5z₂ + 0.5), z the standardized features."""
    rng = np.random.default_rng(0)
    z = rng.normal(size=(POINTS, 2))
    y = rng.random(POINTS) < 1 / (1 + np.exp(-(z @ [2.0, -1.5] + 0.5)))
    return means + z * deviations, y.astype(np.int64)


def scaled(X: np.ndarray) -> np.ndarray:
    return (X - X.mean(axis=0)) / X.std(axis=0)


def logistic_regression() -> nn.Sequential:
    return nn.Sequential([nn.Dense(1, weight_init="zeros")], input_shape=2, dtype="float64")


def least_loss(X: np.ndarray, y: np.ndarray) -> float:
    """The minimum of the loss, found by SciPy on the model's parameters as a plain vector."""
    model = logistic_regression()

    def loss_and_gradient(theta: np.ndarray) -> tuple[float, np.ndarray]:
        model.parameters[:] = theta
        loss, gradient = model.loss_and_gradient(X, y, "sigmoid_cross_entropy")
        return loss, gradient.copy()

    return float(scipy.optimize.minimize(loss_and_gradient, np.zeros(3), jac=True, options={"gtol": 1e-10}).fun)


def train(X: np.ndarray, y: np.ndarray, optimizer: nn.Optimizer) -> np.ndarray:
    """The loss after 0, 1, … steps, one step per epoch."""
    trainer = nn.Trainer(logistic_regression(), loss="sigmoid_cross_entropy", optimizer=optimizer)
    try:
        trainer.fit(X, y, epochs=EPOCHS + 1, batch_size=len(X), shuffle=False, verbose=0)
    except nn.DivergenceError:
        return np.full(EPOCHS + 1, np.inf)
    return trainer.history["running_loss"]  # with one step per epoch: the loss before the step


def steps_to_goal(losses: np.ndarray) -> int:
    """The first step from which on the loss stays within the goal; EPOCHS + 1 if none."""
    above = np.flatnonzero(~(losses < GOAL))
    return int(above[-1]) + 1 if above.size else 0


def best(X: np.ndarray, y: np.ndarray, least: float) -> dict[str, np.ndarray]:
    """Loss − minimum for every optimizer, with the learning rate that reaches the goal first or comes nearest."""
    curves = {}
    for name, factory in OPTIMIZERS.items():
        runs = [train(X, y, factory(float(lr))) - least for lr in RATES]
        curves[name] = min(runs, key=lambda run: (steps_to_goal(run), run[-1]))
    return curves


def plot(results: dict[str, dict[str, dict[str, np.ndarray]]], path: str) -> None:
    """Plot losses (top) and steps to the goal (bottom), one column per distribution."""
    figure, axes = plt.subplots(
        3, len(results), figsize=(12, 10.5), layout="constrained", height_ratios=[1, 1, 1.25], sharey="row"
    )  # fmt: skip
    for column, (distribution, cases) in enumerate(results.items()):
        for ax, (case, curves) in zip(axes[:, column], cases.items(), strict=False):
            for i, name in enumerate(CURVES):
                ax.plot(
                    np.maximum(curves[name], 1e-12), color=COLORS[i], linestyle="--" if i % 2 else "-", marker="os^DvP"[i],
                    markersize=6, markeredgecolor="white", markeredgewidth=0.6, markevery=(3 * i, 20), label=name,
                )  # fmt: skip
            ax.axhline(GOAL, color="0.4", linewidth=1.0, linestyle=":", label="goal")
            ax.set(yscale="log", ylim=(1e-8, 2), title=f"{distribution}, {case}", xlabel="step")
            ax.grid(alpha=0.25)
        dumbbells(axes[2, column], cases, distribution)
    for ax in axes[:2, 0]:
        ax.set_ylabel("loss − minimum")
    axes[0, -1].legend(loc="upper left", bbox_to_anchor=(1.02, 1), frameon=False, handlelength=3.2)
    axes[2, -1].legend(loc="upper left", bbox_to_anchor=(1.02, 1), frameon=False)
    figure.suptitle(
        f"Logistic regression on {POINTS} points, each optimizer with the best of {len(RATES)} learning rates.\n"
        "Scaling makes the three problems nearly identical."
    )  # fmt: skip
    figure.savefig(path, dpi=120)


def dumbbells(ax: plt.Axes, cases: dict[str, dict[str, np.ndarray]], distribution: str) -> None:
    """Plot steps to the goal on raw and on scaled data, one optimizer per row."""
    rows = np.arange(len(OPTIMIZERS))
    raw, after = ([steps_to_goal(curves[name]) for name in OPTIMIZERS] for curves in cases.values())
    ax.hlines(rows, raw, after, color="0.7", linewidth=2, zorder=1)
    ax.scatter(raw, rows, color="#D55E00", marker="s", s=60, label="raw", zorder=2)
    ax.scatter(after, rows, color="#0072B2", marker="o", s=26, label="scaled", zorder=3)
    ax.axvline(EPOCHS + 1, color="0.4", linewidth=0.8, linestyle=":")
    ax.set(xlabel="steps to the goal (right edge: not reached)", xlim=(0, EPOCHS + 8), title=distribution)
    ax.set_yticks(rows, OPTIMIZERS)
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ax.grid(axis="x", alpha=0.25)


def main(filename: str = "data_scaling.png") -> None:
    results = {}
    for distribution, (means, deviations) in DISTRIBUTIONS.items():
        X, y = draw_data(means, deviations)
        least = least_loss(scaled(X), y)
        results[distribution] = {"raw": best(X, y, least), "scaled": best(scaled(X), y, least)}
        print(f"{distribution}: minimum {least:.4f}; steps to the goal, raw and scaled")
        for name in OPTIMIZERS:
            steps = [steps_to_goal(curves[name]) for curves in results[distribution].values()]
            print(f"  {name:<14}" + "".join(f"{step:>6}" if step <= EPOCHS else "     –" for step in steps))
    plot(results, filename)
    print(filename)


if __name__ == "__main__":
    main(*sys.argv[1:])
