"""Limits of this machine: arithmetic and memory bandwidth.

    python -m benchmarks.limits

Each number is the best of several measurements, so a lower bound of the machine's limit:

- arithmetic: square matrix products, by NumPy's BLAS at several sizes and, where it is built, by nncore;
- memory: `numpy.copyto`; each copied byte counts as one read and one written; with all threads, each copies a part.
"""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import numpy as np

from benchmarks import machine, table
from benchmarks.timing import seconds_per_call

SIZES = (512, 1024, 2048)
LARGE = 256 << 20  # bytes of an array larger than any cache


def _blas_product(n: int, dtype: str, threads: int) -> float:
    """FLOP/s of NumPy's matmul of n × n matrices."""
    from threadpoolctl import threadpool_limits

    a, b = np.random.default_rng(0).normal(size=(2, n, n)).astype(dtype)
    out = np.empty_like(a)
    with threadpool_limits(threads, user_api="blas"):
        return 2 * n**3 / seconds_per_call(lambda: np.matmul(a, b, out=out), 0.2)


def _own_product(n: int, dtype: str, threads: int) -> float:
    """FLOP/s of nncore's product dx = dy W of n × n matrices."""
    from nncore._kernels import single_ops

    dy, W = np.random.default_rng(0).normal(size=(2, n, n)).astype(dtype)
    dx = np.empty_like(dy)
    return 2 * n**3 / seconds_per_call(lambda: single_ops.dense_backward_input(dx, dy, W, threads=threads), 0.2)


@cache
def products(dtype: str, threads: int) -> dict[str, float]:
    """FLOP/s by kind of product."""
    found = {f"NumPy {n}²": _blas_product(n, dtype, threads) for n in SIZES}
    with contextlib.suppress(ImportError, AttributeError):
        found |= {f"nncore {n}²": _own_product(n, dtype, threads) for n in SIZES[:2]}
    return found


def peak(dtype: str) -> float:
    """The maximum FLOP/s measured, on one core or all."""
    return max(rate for threads in (1, machine.cores()) for rate in products(dtype, threads).values())


def _copier(source: Any, target: Any, pool: ThreadPoolExecutor | None, threads: int) -> Callable[[], object]:
    if pool is None:
        return lambda: np.copyto(target, source)
    parts = list(zip(np.array_split(target, threads), np.array_split(source, threads), strict=True))
    return lambda: list(pool.map(lambda pair: np.copyto(*pair), parts))


@cache
def bandwidth(traffic: int = 2 * LARGE, threads: int | None = None) -> float:
    """Bytes/s of a copy that moves ``traffic`` bytes; by default the faster of one thread or all."""
    if threads is None:
        return max(bandwidth(traffic, 1), bandwidth(traffic, machine.cores()))
    source = np.ones(max(traffic // 2, 64), np.uint8)
    target = np.zeros_like(source)
    with ThreadPoolExecutor(threads) if threads > 1 else contextlib.nullcontext() as pool:
        return 2 * source.nbytes / seconds_per_call(_copier(source, target, pool, threads), 0.1)


def measure() -> dict[str, Any]:
    """All limits."""
    all_threads = machine.cores()
    return {
        "flops": {dtype: {str(t): products(dtype, t) for t in (1, all_threads)} for dtype in ("float32", "float64")},
        "bandwidth": {str(t): bandwidth(threads=t) for t in (1, all_threads)},
    }


def main(arguments: list[str] | None = None) -> None:
    """Print the limits of this machine."""
    argparse.ArgumentParser(prog="python -m benchmarks.limits", description=main.__doc__).parse_args(arguments)
    about, found = machine.describe(), measure()
    print(machine.text(about), end="\n\n")
    rows = []
    for dtype, by_threads in found["flops"].items():
        for threads, rates in by_threads.items():
            best = max(rates, key=rates.__getitem__)
            rows.append([f"product, {dtype}", threads, table.number(rates[best] / 1e9), "GFLOP/s", best])
    size = f"{LARGE >> 20} MiB"
    rows += [["copy", threads, table.number(rate / 1e9), "GB/s", size] for threads, rate in found["bandwidth"].items()]
    print(table.render(["limit", "threads", "measured", "unit", "best of"], rows))
    print("\nSaved to", table.save("limits", {"machine": about, **found}))


if __name__ == "__main__":
    main()
