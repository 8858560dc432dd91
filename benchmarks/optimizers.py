"""Every optimizer's step compared with PyTorch's, and with the time that memory needs to move the bytes of the step.

    python -m benchmarks.optimizers [--only adam,sgd] [--parameters 20000000] [--threads 2]

Both update one float32 vector, on the same number of threads, in alternation. PyTorch runs with ``fused=True`` if available,
otherwise with its defaults. The bytes of a step are θ, g and the state read, θ and the state written; an in-place addition that
moves as many bytes shows the bandwidth of this machine.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

import nncore as nn
from benchmarks import machine, table
from nncore import _kernels
from nncore._utils.arrays import aligned_zeros
from nncore.optimizers import OPTIMIZERS, WRAPPERS
from nncore.optimizers.tiles import tile_table

ROUNDS = 7
PEERS: dict[str, tuple[str, dict[str, Any]]] = {
    "sgd": ("SGD", {"fused": True}), "momentum": ("SGD", {"momentum": 0.9, "fused": True}),
    "nesterov": ("SGD", {"momentum": 0.9, "nesterov": True, "fused": True}), "adagrad": ("Adagrad", {"fused": True}),
    "adam": ("Adam", {"fused": True}), "adamw": ("AdamW", {"fused": True}),
    "amsgrad": ("Adam", {"amsgrad": True, "fused": True}),
    "rmsprop": ("RMSprop", {}), "adadelta": ("Adadelta", {}), "adamax": ("Adamax", {}), "nadam": ("NAdam", {}),
    "rprop": ("Rprop", {}),
}  # fmt: skip


def own_step(name: str, n: int) -> tuple[Callable[[], object], int]:
    """A step of nncore, and the bytes that it moves."""
    rng = np.random.default_rng(0)
    optimizer = WRAPPERS[name]("adam") if name in WRAPPERS else OPTIMIZERS[name]()
    optimizer.init_state(n, "float32")
    theta, grad = aligned_zeros(n, np.float32), aligned_zeros(n, np.float32)
    theta[...] = rng.standard_normal(n, dtype=np.float32)
    grad[...] = rng.standard_normal(n, dtype=np.float32)
    ops = optimizer.ops(theta, grad, tile_table(n)).all
    bound = [(op.kernel, op.arrays, op.sizes, op.constants, 0, len(tile_table(n))) for op in ops]
    program = _kernels.Program(_kernels.op_table(), theta.dtype, [("tiles", len(tile_table(n)), None, False, bound)])
    row = optimizer.coefficients(1)

    def step() -> object:
        return program.run(examples=1, batch=1, coefficients=row, threads=nn.get_num_threads())

    moved = 3 + 2 * len(optimizer.slots) + (name == "gradient_noise")
    return step, moved * theta.nbytes


def peer_step(name: str, n: int, threads: int) -> Callable[[], object] | None:
    """A step of PyTorch, or None if it has no such optimizer."""
    torch = None
    with contextlib.suppress(ImportError):
        import torch
    if name not in PEERS or torch is None:
        return None

    torch.set_num_threads(threads)
    kind, options = PEERS[name]
    parameter = torch.nn.Parameter(torch.randn(n))
    parameter.grad = torch.randn(n)
    return getattr(torch.optim, kind)([parameter], lr=1e-6, **options).step


def seconds_in_turn(calls: list[Callable[[], object] | None]) -> list[float | None]:
    """The median time of each, called in rotation."""
    times: list[list[float]] = [[] for _ in calls]
    for turn in range(ROUNDS + 2):
        for call, taken in zip(calls, times, strict=True):
            if call is not None:
                start = time.perf_counter()
                call()
                if turn > 1:
                    taken.append(time.perf_counter() - start)
    return [statistics.median(taken) if taken else None for taken in times]


def memory_step(moved: int, threads: int, pool: ThreadPoolExecutor) -> Callable[[], object]:
    """a += b in place, moving the same number of bytes: two arrays read, one written, by `numpy.add` on several threads."""
    n = moved // 12
    a, b = (np.array_split(np.ones(n, np.float32), threads) for _ in range(2))
    if threads == 1:
        return lambda: np.add(a[0], b[0], out=a[0])
    return lambda: list(pool.map(lambda pair: np.add(*pair, out=pair[0]), zip(a, b, strict=True)))


def measure(name: str, n: int, threads: int, pool: ThreadPoolExecutor) -> dict[str, Any]:
    """The times of nncore, PyTorch, and memory for the same number of bytes."""
    step, moved = own_step(name, n)
    ours, theirs, memory = seconds_in_turn([step, peer_step(name, n, threads), memory_step(moved, threads, pool)])
    return {
        "optimizer": name, "seconds": ours, "peer_seconds": theirs, "peer": PEERS.get(name), "bytes": moved,
        "memory_seconds": memory,
    }  # fmt: skip


def line(result: dict[str, Any], n: int) -> list[str]:
    """One row of the table."""
    own, peer, memory = result["seconds"], result["peer_seconds"], result["memory_seconds"]
    kind = "" if peer is None else "fused" if result["peer"][1].get("fused") else "default"
    return [
        result["optimizer"], table.number(1e9 * own / n), str(result["bytes"] // n), table.number(1e9 * memory / n),
        table.number(own / memory), table.number(peer and 1e9 * peer / n), kind, table.number(peer and peer / own),
    ]  # fmt: skip


NOTE = """ns per parameter, median of alternating rounds: nncore's kernel as the training loop runs it; numpy.add in place on as
many threads, moving as many bytes; PyTorch's step. A wrapper is timed around Adam, with Adam's step included."""


def main(arguments: list[str] | None = None) -> None:
    """Time every optimizer's step and compare with PyTorch's and with memory bandwidth."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.optimizers", description=main.__doc__)
    parser.add_argument("--only", default="", help="comma-separated names; default: all")
    parser.add_argument("--parameters", type=int, default=20_000_000)
    parser.add_argument("--threads", type=int, default=nn.get_num_threads())
    asked = parser.parse_args(arguments)
    about, n = machine.describe(), asked.parameters
    nn.set_num_threads(asked.threads)
    names = asked.only.split(",") if asked.only else [*OPTIMIZERS, *WRAPPERS]
    with ThreadPoolExecutor(asked.threads) as pool:
        results = [measure(name, n, asked.threads, pool) for name in names]
    print(machine.text(about), end="\n\n")
    print(f"float32, {n:,} parameters, {_kernels.isa_name}, {asked.threads} threads\n")
    header = ["optimizer", "nncore", "bytes", "memory", "nncore/memory", "PyTorch", "", "PyTorch/nncore"]
    print(table.render(header, [line(result, n) for result in results]), end="\n\n")
    print(NOTE)
    saved = {"machine": about, "parameters": n, "threads": asked.threads, "optimizers": results}
    print("Saved to", table.save("optimizers" if not asked.only else "optimizers-part", saved))


if __name__ == "__main__":
    main()
