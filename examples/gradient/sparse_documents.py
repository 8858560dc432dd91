"""Documents by the hundred thousand: which method reaches a small test error first (L. Bottou's comparison on RCV1).

Logistic regression on tf-idf vectors of 75 words out of 47,152, with an L2 penalty: methods that read the documents one by
one or in small batches against those that read them all for each step. The first picture shows the test error over the seconds
of training; the second how long each takes to come within 0.3 points of the error at the minimum of the penalized loss, for
more and more documents; the third how many words a proximal L1 penalty leaves, and at what error. AdaGrad and FTRL have no
penalty.

Run with ``python examples/gradient/sparse_documents.py [figure.png] [--rows 50000]`` where nncore[demo] is installed. With
``--rows 781265``, the size of the lecture's set, it takes some minutes and 2 GB.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import matplotlib
import numpy as np

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from sklearn.linear_model import LogisticRegression
from sklearn.linear_model import SGDClassifier as ScikitSGD

import nncore as nn
from nncore.sklearn import SGDClassifier

PENALTY = 1e-5  # λ: the penalty is ½ λ ‖w‖²
CLOSE = 0.003  # to the test error at the minimum of the penalized loss, where L-BFGS ends
SLOW = 0.02  # factor of the bias's learning rate: its input is never 0
Measured = Iterator[tuple[float, float]]  # seconds of training so far, test error


def trained(optimizer: Callable[[int], nn.Optimizer], batch: int | None, epochs: int) -> Callable[..., Measured]:
    """A network of one unit, epoch by epoch; ``optimizer`` of the number of documents, ``batch`` None: all of them."""

    def run(X: Any, y: Any, X_test: Any, y_test: Any) -> Measured:
        model = nn.Sequential([nn.SparseDense(1, weight_init="zeros")], input_shape=X.shape[1])
        own = optimizer(len(y))
        slow = {"*.bias": SLOW} if isinstance(own, nn.GradientOptimizer) else None
        penalty = None if isinstance(own, (nn.AdaGrad, nn.FTRL)) else nn.L2(PENALTY)
        trainer = nn.Trainer(model, "sigmoid_cross_entropy", own, regularizer=penalty, lr_factors=slow, metrics=["accuracy"])
        seconds, averages = 0.0, isinstance(trainer.optimizer, nn.PolyakAveraging)
        for _ in range(epochs):
            start = time.perf_counter()
            trainer.fit(X, y, epochs=1, batch_size=batch or len(y), verbose=0)
            seconds += time.perf_counter() - start
            if averages:
                with trainer.averaged():
                    yield seconds, 1 - trainer.evaluate(X_test, y_test)["accuracy"]
            else:
                yield seconds, 1 - trainer.evaluate(X_test, y_test)["accuracy"]
            if trainer.stop_training:
                return

    return run


def one_by_one(kind: type, average: bool = False) -> Callable[..., Measured]:
    """A step for every document, with scikit-learn's interface; fitted anew with more and more epochs."""

    def run(X: Any, y: Any, X_test: Any, y_test: Any) -> Measured:
        for epochs in range(1, 6):
            model = kind("log_loss", alpha=PENALTY, max_iter=epochs, tol=None, average=average, random_state=0)
            start = time.perf_counter()
            model.fit(X, y)
            seconds = time.perf_counter() - start
            yield seconds, 1 - model.score(X_test, y_test)

    return run


def all_at_once(solver: str) -> Callable[..., Measured]:
    """scikit-learn's logistic regression with the same penalty."""

    def run(X: Any, y: Any, X_test: Any, y_test: Any) -> Measured:
        for iterations in (2, 4, 8, 16, 32):
            model = LogisticRegression(solver=solver, C=1 / (PENALTY * len(y)), max_iter=iterations, tol=1e-10)
            start = time.perf_counter()
            with warnings.catch_warnings(action="ignore"):  # it has not converged
                model.fit(X, y)
            seconds = time.perf_counter() - start
            yield seconds, 1 - model.score(X_test, y_test)

    return run


def falling(n: int) -> nn.schedules.InverseTime:
    """The learning rate of SGD in batches of 16: half of the first one after an epoch."""
    return nn.schedules.InverseTime(16.0, rate=16 / n)


METHODS: dict[str, Callable[..., Measured]] = {
    "SGD, batches of 16": trained(lambda n: nn.SGD(lr=falling(n)), 16, 8),
    "averaged SGD, batches of 16": trained(lambda n: nn.PolyakAveraging(nn.SGD(lr=16.0), start=n // 16), 16, 8),
    "AdaGrad, batches of 16": trained(lambda n: nn.AdaGrad(lr=1.0), 16, 8),
    "FTRL, batches of 16": trained(lambda n: nn.FTRL(lr=10.0), 16, 8),
    "SGDClassifier": one_by_one(SGDClassifier),
    "SGDClassifier, averaged": one_by_one(SGDClassifier, average=True),
    "scikit-learn: SGDClassifier": one_by_one(ScikitSGD),
    "scikit-learn: liblinear": all_at_once("liblinear"),
    "L-BFGS": trained(lambda n: nn.second_order.LBFGS(), None, 40),
    "truncated Newton": trained(lambda n: nn.second_order.TruncatedNewton(), None, 12),
    "gradient descent": trained(lambda n: nn.SGD(lr=64.0), None, 60),
}


def data(rows: int) -> tuple[Any, ...]:
    X, y = nn.data.make_documents(rows + rows // 4)
    return X[:rows], y[:rows], X[rows:], y[rows:]


def compare(rows: int) -> dict[str, np.ndarray]:
    """For each method (evaluations, 2): seconds and test errors."""
    sets = data(rows)
    return {name: np.array(list(run(*sets))) for name, run in METHODS.items()}


def time_to(curve: np.ndarray, goal: float) -> float:
    """Seconds until the test error is at most the goal; NaN if it never is."""
    reached = curve[curve[:, 1] <= goal, 0]
    return float(reached[0]) if len(reached) else float("nan")


def sparsity(rows: int, strengths: np.ndarray) -> np.ndarray:
    """For each strength of a proximal L1 penalty: the number of words with a weight, and the test error."""
    X, y, X_test, y_test = data(rows)
    found = []
    for strength in strengths:
        model = nn.Sequential([nn.SparseDense(1, weight_init="zeros")], input_shape=X.shape[1])
        trainer = nn.Trainer(
            model, "sigmoid_cross_entropy", nn.SGD(lr=falling(rows)), regularizer=nn.ProximalL1(float(strength)),
            lr_factors={"*.bias": SLOW}, metrics=["accuracy"],
        )  # fmt: skip
        trainer.fit(X, y, epochs=8, batch_size=16, verbose=0)
        found.append((np.count_nonzero(model.layers[0].weight), 1 - trainer.evaluate(X_test, y_test)["accuracy"]))
    return np.array(found)


def draw(path: str, rows: int) -> None:
    curves = compare(rows)
    goal = curves["L-BFGS"][-1, 1] + CLOSE
    colors = {name: f"C{k}" if k < 10 else "black" for k, name in enumerate(METHODS)}
    figure, axes = plt.subplots(1, 3, figsize=(17, 5), layout="constrained")
    for name, curve in curves.items():
        axes[0].plot(curve[:, 0], 100 * curve[:, 1], ".--" if ":" in name else ".-", color=colors[name], label=name)
        print(f"{name:32}  {100 * curve[-1, 1]:6.2f} %   {time_to(curve, goal):8.3f} s to {100 * goal:.2f} %")
    axes[0].set(xscale="log", xlabel="seconds of training", ylabel="test error, %", ylim=(90 * goal, 300 * goal))
    axes[0].set_title(f"{rows:,} documents: few at a time are there first")
    axes[0].legend(fontsize=8)

    sizes = [n for n in (10_000, 30_000, 100_000, 300_000, 781_265) if n < rows] + [rows]
    times = {name: [] for name in METHODS}
    for n in sizes:
        found = curves if n == rows else compare(n)
        close = found["L-BFGS"][-1, 1] + CLOSE
        for name, curve in found.items():
            times[name].append(time_to(curve, close))
    for name, seconds in times.items():
        axes[1].plot(sizes, seconds, ".--" if ":" in name else ".-", color=colors[name])
    axes[1].set(xscale="log", yscale="log", xlabel="documents", ylabel="seconds to 0.3 points from the error at the minimum")
    axes[1].set_title("How the time grows with the data")

    strengths = np.geomspace(3e-7, 1e-4, 7)
    words, errors = sparsity(min(rows, 50_000), strengths).T
    axes[2].plot(words, 100 * errors, "o-", color="C3")
    for count, error, strength in zip(words, errors, strengths, strict=True):
        axes[2].annotate(f"{strength:.0e}", (count, 100 * error), textcoords="offset points", xytext=(4, 6), fontsize=8)
        print(f"L1 {strength:.1e}: {count:6.0f} words, test error {100 * error:.2f} %")
    axes[2].set(xscale="log", xlabel="words with a weight that is not 0", ylabel="test error, %")
    axes[2].set_title("Words that a proximal L1 penalty leaves")
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("figure", nargs="?", default="sparse_documents.png")
    parser.add_argument("--rows", type=int, default=50_000)
    arguments = parser.parse_args()
    draw(arguments.figure, arguments.rows)


if __name__ == "__main__":
    main()
