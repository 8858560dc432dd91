"""Cost of products with second derivatives, in units of a gradient.

    python -m benchmarks.curvature [--rounds 15] [--dtype float64]

Everything is measured in one process, in rotation; the table has medians. "New θ" includes the forward and backward pass, as
for an optimizer's first product at a point; "same θ" is every further product, as in Lanczos' method or conjugate gradients.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import nncore as nn
from benchmarks import machine, table
from nncore.second_order import GaussNewtonOperator, HessianOperator, JacobianOperator

NETS = {
    "784-256-128-10, batch 1024": ((784, 256, 128, 10), 1024, "softmax_cross_entropy"),
    "64-64-10, batch 256": ((64, 64, 10), 256, "softmax_cross_entropy"),
    "1-20-1, batch 100": ((1, 20, 1), 100, "squared_error"),
}


def network(widths: tuple[int, ...], dtype: str) -> nn.Sequential:
    """A tanh network."""
    layers: list[nn.Layer] = []
    for width in widths[1:]:
        layers += [nn.Dense(width, weight_init="lecun_normal"), nn.Tanh()]
    return nn.Sequential(layers[:-1], input_shape=widths[0], dtype=dtype)


def medians(calls: dict[str, Callable[[], object]], rounds: int, seconds: float = 0.02) -> dict[str, float]:
    """The median time of each call; every round measures each once."""
    repeats = {}
    for name, call in calls.items():
        call()
        start = time.perf_counter()
        call()
        repeats[name] = max(1, int(seconds / (time.perf_counter() - start)))
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            start = time.perf_counter()
            for _ in range(repeats[name]):
                call()
            times[name].append((time.perf_counter() - start) / repeats[name])
    return {name: statistics.median(values) for name, values in times.items()}


def measure(widths: tuple[int, ...], rows: int, loss: str, dtype: str, rounds: int) -> dict[str, float]:
    """Seconds of a gradient and of each kind of product, and of matrices if the network is small."""
    rng = np.random.default_rng(0)
    model, X = network(widths, dtype), rng.standard_normal((rows, widths[0])).astype(dtype)
    y = rng.integers(0, widths[-1], rows) if widths[-1] > 1 else np.sin(3 * X)
    v = rng.standard_normal(model.parameters.size).astype(dtype)
    H, G, J = HessianOperator(model, X, y, loss), GaussNewtonOperator(model, X, y, loss), JacobianOperator(model, X)

    def elsewhere(operator: Any) -> Callable[[], object]:
        own = type(operator)(model, X, *((y, loss) if operator is not J else ()))

        def product() -> object:
            model.parameters[0] += model.dtype.type(1e-5)
            return own.products(v)

        return product

    def again(operator: Any) -> Callable[[], object]:
        own = type(operator)(network(widths, dtype), X, *((y, loss) if operator is not J else ()))
        return lambda: own.products(v)

    calls: dict[str, Callable[[], object]] = {"gradient": lambda: model.loss_and_gradient(X, y, loss)}
    for name, operator in (("Hessian", H), ("Gauss-Newton", G), ("Jacobian", J)):
        calls[f"{name} product, new θ"] = elsewhere(operator)
        calls[f"{name} product, same θ"] = again(operator)
    if model.parameters.size < 1000:
        calls[f"Hessian, all {model.parameters.size} columns"] = lambda: model.hessian(X, y, loss)
        calls["Jacobian, whole"] = lambda: model.jacobian(X)
    return medians(calls, rounds)


def main(arguments: list[str] | None = None) -> None:
    """Time products with second derivatives against the gradient."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.curvature", description=main.__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--dtype", choices=["float32", "float64"], default="float32")
    asked = parser.parse_args(arguments)
    about, threads = machine.describe(), nn.get_num_threads()
    print(machine.text(about), end="\n\n")
    print(f"{asked.dtype}, {threads} threads at most")
    results = {}
    for name, (widths, rows, loss) in NETS.items():
        results[name] = times = measure(widths, rows, loss, asked.dtype, asked.rounds)
        print(f"\n{name}, {loss}\n")
        lines = [[what, table.number(t * 1e6), table.number(t / times["gradient"])] for what, t in times.items()]
        print(table.render(["what", "µs", "gradients"], lines))
    print("\nSaved to", table.save("curvature", {"machine": about, "dtype": asked.dtype, "nets": results}))


if __name__ == "__main__":
    main()
