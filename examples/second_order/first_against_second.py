"""Compare first- and second-order optimizers: the loss per epoch, per gradient and per second, on four problems.

A product with the Hessian or the Gauss-Newton matrix counts as one gradient; forming the matrix for k parameters counts as k.
Run with ``python examples/second_order/first_against_second.py [figure.png]`` where nncore[demo] is installed.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import matplotlib
import numpy as np

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from sklearn.datasets import load_breast_cancer

import nncore as nn
from nncore.second_order import (
    LBFGS,
    AdaptiveDampedNewton,
    FullBatchOptimizer,
    LevenbergMarquardt,
    Newton,
    TruncatedNewton,
)

DENSE = (Newton, AdaptiveDampedNewton, LevenbergMarquardt)  # they form a matrix in every iteration
NAMES = (
    "Adam, full batch", "L-BFGS", "truncated Newton", "Newton", "damped Newton, adaptive", "Levenberg-Marquardt",
    "Adam, batches of 32",
)  # fmt: skip
COLORS = {name: f"C{i}" for i, name in enumerate(NAMES)}


@dataclass
class Problem:
    name: str
    X: np.ndarray
    y: np.ndarray
    layers: Callable[[], list[nn.Layer]]
    loss: str
    optimizers: dict[str, tuple[Callable[[], nn.Optimizer], int, int]]  # constructor, epochs, batch size
    penalty: float = 0.0
    convex: bool = False  # if True, the plot shows loss − minimum


def logistic() -> Problem:
    X, y = load_breast_cancer(return_X_y=True)
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    optimizers = {
        "Adam, full batch": (lambda: nn.Adam(lr=0.1), 1000, len(X)),
        "L-BFGS": (LBFGS, 100, len(X)),
        "truncated Newton": (TruncatedNewton, 40, len(X)),
        "Newton": (Newton, 20, len(X)),
    }
    return Problem("logistic regression, k = 31", X, y, lambda: [nn.Dense(1)], "sigmoid_cross_entropy", optimizers, 1e-2, True)


def xor() -> Problem:
    X, y = nn.data.xor()
    optimizers = {
        "Adam, full batch": (lambda: nn.Adam(lr=0.1), 1000, 4),
        "L-BFGS": (LBFGS, 100, 4),
        "damped Newton, adaptive": (AdaptiveDampedNewton, 60, 4),
        "Levenberg-Marquardt": (LevenbergMarquardt, 60, 4),
    }
    return Problem("XOR, 2-4-1, k = 17", X, y, lambda: [nn.Dense(4), nn.Tanh(), nn.Dense(1)], "squared_error", optimizers)


def sine() -> Problem:
    X = np.linspace(-np.pi, np.pi, 200)[:, None]
    optimizers = {
        "Adam, full batch": (lambda: nn.Adam(lr=0.01), 20_000, 200),
        "L-BFGS": (LBFGS, 3000, 200),
        "truncated Newton": (TruncatedNewton, 400, 200),
        "Levenberg-Marquardt": (LevenbergMarquardt, 700, 200),
    }
    layers = lambda: [nn.Dense(20), nn.Tanh(), nn.Dense(1)]  # noqa: E731
    return Problem("sine, 1-20-1, k = 61", X, np.sin(X), layers, "mean_squared_error", optimizers)


def digits() -> Problem:
    X, y = nn.data.load_digits()
    optimizers = {
        "Adam, batches of 32": (lambda: nn.Adam(lr=3e-3), 60, 32),
        "Adam, full batch": (lambda: nn.Adam(lr=0.03), 400, len(X)),
        "L-BFGS": (LBFGS, 250, len(X)),
        "truncated Newton": (TruncatedNewton, 30, len(X)),
    }
    layers = lambda: [nn.Dense(32), nn.Tanh(), nn.Dense(10)]  # noqa: E731
    return Problem("digits, 64-32-10, k = 2410", X, y, layers, "softmax_cross_entropy", optimizers, 1e-4)


def run(problem: Problem, make: Callable[[], nn.Optimizer], epochs: int, batch: int) -> dict[str, np.ndarray]:
    """Loss after each epoch, with the numbers of epochs, gradients and seconds used so far."""

    def fit(exact: bool) -> nn.History:
        model = nn.Sequential(problem.layers(), problem.X.shape[1:], dtype="float64", seed=0)
        regularizer = nn.L2(problem.penalty) if problem.penalty else None
        trainer = nn.Trainer(model, problem.loss, make(), regularizer=regularizer)
        return trainer.fit(problem.X, problem.y, epochs=epochs, batch_size=batch, exact_loss=exact, verbose=0)

    optimizer = make()
    if isinstance(optimizer, FullBatchOptimizer):
        history = fit(exact=False)
        evaluations, seconds = history["evaluations"], history["seconds"]
        if "hessian_products" in history:
            evaluations = evaluations + history["hessian_products"]
        if isinstance(optimizer, DENSE):
            evaluations = evaluations + nn.Sequential(problem.layers(), problem.X.shape[1:]).parameters.size
        gradients, times = np.cumsum(evaluations), np.cumsum(seconds)
    else:
        history = fit(exact=True)
        begin = time.perf_counter()
        fit(exact=False)  # time without evaluating the loss
        gradients = np.arange(1, epochs + 1)
        times = gradients * (time.perf_counter() - begin) / epochs
    loss = history["loss"]
    return {"epochs": np.arange(1, len(loss) + 1), "gradients": gradients, "seconds": times, "loss": loss}


def main(path: str = "first_against_second.png") -> None:
    problems = [logistic(), xor(), sine(), digits()]
    figure, axes = plt.subplots(len(problems), 3, figsize=(15, 14), layout="constrained", sharey="row")
    for problem, row in zip(problems, axes, strict=True):
        curves = {name: run(problem, *how) for name, how in problem.optimizers.items()}
        best = min(curve["loss"].min() for curve in curves.values()) if problem.convex else 0.0
        print(f"\n{problem.name}" + (f": loss above its minimum, {best:.6g}" if best else ": loss"))
        for name, curve in curves.items():
            above = np.maximum(curve["loss"] - best, 1e-15)
            print(
                f"  {name:24s} ends at {above[-1]:8.1e} after {len(above):6d} epochs, "
                f"{curve['gradients'][-1]:8.0f} gradients, {1e3 * curve['seconds'][-1]:8.1f} ms"
            )
            for ax, unit in zip(row, ("epochs", "gradients", "seconds"), strict=True):
                ax.loglog(curve[unit], above, label=name, linewidth=1.6, color=COLORS[name])
                ax.set_xlabel({"epochs": "epochs (iterations)", "gradients": "gradients and products"}.get(unit, unit))
                ax.grid(alpha=0.3)
        row[0].set_ylabel("loss − minimum" if best else "loss")
        row[1].set_title(problem.name)
        row[2].legend(loc="upper left", bbox_to_anchor=(1.02, 1), frameon=False)
    figure.savefig(path, dpi=100)
    print(f"figure: {path}")


if __name__ == "__main__":
    main(*sys.argv[1:])
