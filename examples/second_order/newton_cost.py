"""Measure the cost of a Newton step against the number of parameters k: H, its products, the gradient, and the solve, O(k³).

Run with ``python examples/second_order/newton_cost.py [figure.png]`` where nncore[plot] is installed.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import matplotlib
import numpy as np
from threadpoolctl import threadpool_limits

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import scipy.linalg

import nncore as nn
from nncore.second_order import HessianOperator

ROWS = 512
SIZES = (32, 64, 128, 256, 512, 1024, 2048, 3072)


def median_ms(run: Callable[[], object], repeats: int) -> float:
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        run()
        times.append(time.perf_counter() - begin)
    return 1e3 * float(np.median(times[1:] or times))


def measure(k: int) -> dict[str, float]:
    """Milliseconds for logistic regression with k parameters on 512 rows, in float64."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(ROWS, k - 1)), rng.integers(0, 2, ROWS)
    model = nn.Sequential([nn.Dense(1)], input_shape=k - 1, dtype="float64")
    operator = HessianOperator(model, X, y, "sigmoid_cross_entropy", nn.L2(1e-2))
    v, repeats = rng.normal(size=k), 3 if k > 1000 else 9
    matrix = operator.matrix() + 1e-3 * np.eye(k)
    return {
        "gradient": median_ms(lambda: model.loss_and_gradient(X, y, "sigmoid_cross_entropy"), repeats),
        "product Hv": median_ms(lambda: operator.products(v), repeats),
        "H by k products": median_ms(operator.matrix, repeats),
        "solve by Cholesky": median_ms(lambda: scipy.linalg.cho_solve(scipy.linalg.cho_factor(matrix), v), repeats),
    }


def main(path: str = "newton_cost.png") -> None:
    with threadpool_limits(1):
        table = {k: measure(k) for k in SIZES}
    names = list(table[SIZES[0]])
    print(f"{'k':>6}" + "".join(f"{name:>20}" for name in names) + "   ms")
    for k, row in table.items():
        print(f"{k:6d}" + "".join(f"{row[name]:20.3f}" for name in names))
    figure, ax = plt.subplots(figsize=(8, 5.2), layout="constrained")
    for name, marker in zip(names, "v^so", strict=True):
        ax.loglog(SIZES, [table[k][name] for k in SIZES], marker=marker, label=name)
    large = np.array([k for k in SIZES if k >= 512], float)
    end = table[SIZES[-1]]
    for power, name in ((3, "solve by Cholesky"), (2, "H by k products")):
        ax.loglog(large, end[name] * (large / large[-1]) ** power, "k:", linewidth=1)
        ax.annotate(f"∝ k{'²³'[power - 2]}", (large[-1], end[name]), textcoords="offset points", xytext=(6, -4))
    ax.set_xlim(right=1.6 * SIZES[-1])
    ax.set(xlabel="parameters k", ylabel="milliseconds", title=f"Cost of the parts of a Newton step ({ROWS} rows, one thread)")
    ax.grid(alpha=0.3, which="both")
    ax.legend(loc="upper left")
    figure.savefig(path, dpi=120)
    print(f"figure: {path}")


if __name__ == "__main__":
    main(*sys.argv[1:])
