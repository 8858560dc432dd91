"""Logistic regression: the loss of every optimizer over the epochs, and its positive semidefinite Hessian.

Run with ``python examples/adaptive_rates/logistic_regression.py [figure.png]`` where nncore[demo] is installed.

P(y = 1) = sigmoid(wᵀx + b) on scikit-learn's breast cancer data, scaled. Each optimizer uses the best of a list of
learning rates, and batches of 32. The loss is convex: its Hessian is the mean of P(1−P) x xᵀ, whose eigenvalues cannot
be negative.
"""

from __future__ import annotations

import sys

import matplotlib
import numpy as np
from sklearn.datasets import load_breast_cancer

matplotlib.use("Agg")
import matplotlib.pyplot as plt

import nncore as nn
from nncore._utils.figures import curve_style

FAMILIES = {
    "one rate for all parameters": {
        "SGD": lambda lr: nn.SGD(lr=lr), "Momentum": lambda lr: nn.Momentum(lr=lr), "Nesterov": lambda lr: nn.Nesterov(lr=lr),
        "Lion": lambda lr: nn.Lion(lr=lr),
    },
    "a rate for each": {
        "AdaGrad": lambda lr: nn.AdaGrad(lr=lr), "RMSprop": lambda lr: nn.RMSprop(lr=lr),
        "AdaDelta": lambda lr: nn.AdaDelta(lr=lr),
    },
    "Adam's family": {
        "Adam": lambda lr: nn.Adam(lr=lr), "AdamW": lambda lr: nn.AdamW(lr=lr), "AMSGrad": lambda lr: nn.AMSGrad(lr=lr),
        "AdaMax": lambda lr: nn.AdaMax(lr=lr), "NAdam": lambda lr: nn.NAdam(lr=lr),
    },
}  # fmt: skip
RATES = np.geomspace(1e-4, 10, 16)
EPOCHS, BATCH = 40, 32


def data() -> tuple[np.ndarray, np.ndarray]:
    X, y = load_breast_cancer(return_X_y=True)
    return (X - X.mean(axis=0)) / X.std(axis=0), y


def curve(optimizer: nn.Optimizer, X: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The loss on all data at the start and after every epoch."""
    model = nn.Sequential([nn.Dense(1, weight_init="zeros")], input_shape=X.shape[1], dtype="float64")
    trainer = nn.Trainer(model, "sigmoid_cross_entropy", optimizer)
    start = trainer.evaluate(X, y)["loss"]
    trainer.fit(X, y, epochs=EPOCHS, batch_size=BATCH, exact_loss=True, verbose=0)
    return np.append(start, trainer.history["loss"])


def best(factory, X: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray]:
    """The learning rate with the smallest mean loss over the epochs, and its curve."""
    curves = {}
    for lr in RATES:
        try:
            curves[float(lr)] = curve(factory(float(lr)), X, y)
        except nn.DivergenceError:
            continue
    lr = min(curves, key=lambda lr: curves[lr].mean())
    return lr, curves[lr]


def hessian_eigenvalues(X: np.ndarray, w: np.ndarray) -> np.ndarray:
    """The Hessian of the mean loss at the weights w, which include the bias."""
    X = np.column_stack((X, np.ones(len(X))))
    P = 1 / (1 + np.exp(-X @ w))
    return np.linalg.eigvalsh((X * (P * (1 - P))[:, None]).T @ X / len(X))


def main(filename: str = "logistic_regression.png") -> None:
    X, y = data()
    figure, axes = plt.subplots(1, 3, figsize=(14, 4.4), layout="constrained", sharey=True)
    for ax, (family, factories) in zip(axes, FAMILIES.items(), strict=True):
        for i, (name, factory) in enumerate(factories.items()):
            lr, losses = best(factory, X, y)
            print(f"{name:<9} lr {lr:<8.2g} loss after {EPOCHS} epochs {losses[-1]:.4f}")
            ax.plot(losses, label=f"{name}, lr {lr:.2g}", markevery=(2 * i, 8), **curve_style(i, len(factories)))
        ax.set(yscale="log", ylim=(0.037, 0.2), xlabel="epoch", title=family)
        ax.grid(alpha=0.25, which="both")
        ax.legend(frameon=False, loc="upper right")
    axes[0].set_ylabel("loss on all data (0.69 at the start)")
    figure.suptitle(
        f"Logistic regression on breast cancer data, batches of {BATCH}, each with the best of {len(RATES)} learning rates"
    )
    figure.savefig(filename, dpi=120)
    rng = np.random.default_rng(0)
    least = min(hessian_eigenvalues(X, rng.normal(size=X.shape[1] + 1)).min() for _ in range(100))
    print(f"smallest eigenvalue of the Hessian at 100 random points: {least:.2g}")
    print(filename)


if __name__ == "__main__":
    main(*sys.argv[1:])
