"""Each kernel compared with its NumPy twin and with the limits of the machine.

    python -m benchmarks.kernels [--only relu,adam] [--dtype float64]

A kernel is timed as a program runs it: bound once, then run many times in one call, without Python overhead.
An optimizer is timed by its `step(theta, grad)`, Python included. NumPy is timed by the function of the same name in
`nncore.reference`.
"""

from __future__ import annotations

import argparse
import inspect
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

import nncore as nn
from benchmarks import limits, machine, nets, table
from benchmarks.timing import seconds_per_call
from nncore import _kernels, layers, losses, reference
from nncore.optimizers import OPTIMIZERS

Array = Any

SHAPES = ((64, 256), (1024, 1024))
LOSS_SHAPES = ((64, 10), (1024, 1024))
PARAMETERS = (100_000, 20_000_000)
ACTIVATIONS = {made.kernel: made.constants for made in [*(cls() for cls in layers.ACTIVATIONS.values()), nn.GELU("tanh")]}
LOSSES = {made.name: made for made in (cls() for cls in losses.LOSSES.values())}
LOSSES["softmax_cross_entropy_labels"] = losses.SoftmaxCrossEntropy()


@dataclass
class Case:
    """A measurement: name, size, timers for nncore and NumPy, and the minimum amount of work."""

    name: str
    size: str
    own: Callable[[int], float]
    twin: Callable[[], object] | None
    flops: int = 0
    traffic: int = 0


def program_seconds(
    name: str, arrays: tuple[Any, ...], dtype: str, sizes: tuple[int, ...], constants: tuple[float, ...] = (), *,
    rows: int, axis: str = "rows", pieces: int = 1,
) -> Callable[[int], float]:  # fmt: skip
    """Seconds of an op on `threads` threads, run many times in one call."""
    ops = [(name, arrays, sizes, constants, 0, pieces)]
    program = _kernels.Program(_kernels.op_table(), dtype, [(axis, pieces, None, False, ops)], block_rows=16)

    def seconds(threads: int) -> float:
        def run(times: int) -> object:
            return program.run(last_step=times, examples=rows, batch=rows, threads=threads)

        once = seconds_per_call(lambda: run(1), 0.01, 3)
        times = max(1, int(0.02 / once))
        return seconds_per_call(lambda: run(times), 0.1) / times

    return seconds


def dense_cases(dtype: str) -> Iterator[Case]:
    """The products of each layer of the training table's nets."""
    rng = np.random.default_rng(0)
    done = set()
    for net in nets.NETS:
        for layer, (inputs, units) in enumerate(net.shapes):
            rows = net.batch
            if (rows, inputs, units) in done:
                continue
            done.add((rows, inputs, units))
            size, flops = f"{rows} × {inputs} → {units}", 2 * rows * inputs * units
            x, dy, W = (rng.normal(size=s).astype(dtype) for s in ((rows, inputs), (rows, units), (units, inputs)))
            y, dx, dW = (np.zeros_like(array) for array in (dy, x, W))
            b, db = np.zeros((2, units), dtype)
            packed = np.empty(_kernels.packed_size(units, inputs), dtype)
            tiles = _kernels.weight_tiles(units, inputs)
            tiled: dict[str, Any] = {"sizes": (units, inputs), "rows": rows, "axis": "tiles", "pieces": len(tiles)}
            pack = program_seconds("pack_weight", (packed, W, tiles), dtype, **tiled)
            yield Case("pack_weight", size, pack, None, traffic=W.nbytes + packed.nbytes)
            forward = program_seconds("dense_forward", (y, x, packed, b), dtype, (units, inputs), rows=rows)
            yield Case("dense_forward", size, forward, lambda x=x, W=W, b=b: reference.dense_forward(x, W, b), flops)
            if layer:
                backward = program_seconds("dense_backward_input", (dx, dy, W), dtype, (units, inputs), rows=rows)
                twin = lambda dy=dy, W=W: reference.dense_backward_input(dy, W)  # noqa: E731
                yield Case("dense_backward_input", size, backward, twin, flops)
            weight = program_seconds("dense_backward_weight", (dW, dy, x, tiles), dtype, **tiled)
            twin = lambda dy=dy, x=x: reference.dense_backward_weight(dy, x)  # noqa: E731
            yield Case("dense_backward_weight", size, weight, twin, flops)
            bias = program_seconds("dense_backward_bias", (db, dy), dtype, (units,), rows=rows, axis="tiles")
            twin = lambda dy=dy: reference.dense_backward_bias(dy)  # noqa: E731
            yield Case("dense_backward_bias", size, bias, twin, traffic=dy.nbytes + db.nbytes)


def activation_cases(dtype: str) -> Iterator[Case]:
    """Each activation, forward and backward."""
    rng = np.random.default_rng(0)
    for name, constants in ACTIVATIONS.items():
        forward, backward = getattr(reference, f"{name}_forward"), getattr(reference, f"{name}_backward")
        for rows, width in SHAPES:
            z, dh = rng.normal(size=(2, rows, width)).astype(dtype)
            h, dz = forward(z, *constants), np.empty_like(z)
            size = f"{rows} × {width}"
            out = np.empty_like(z)
            run = program_seconds(f"{name}_forward", (out, z), dtype, (width,), constants, rows=rows)
            twin = lambda f=forward, z=z, c=constants: f(z, *c)  # noqa: E731
            yield Case(f"{name}_forward", size, run, twin, traffic=2 * z.nbytes)
            run = program_seconds(f"{name}_backward", (dz, dh, z, h), dtype, (width,), constants, rows=rows)
            twin = lambda f=backward, a=(dh, z, h), c=constants: f(*a, *c)  # noqa: E731
            yield Case(f"{name}_backward", size, run, twin, traffic=3 * z.nbytes)


def _loss_data(name: str, rows: int, width: int, dtype: str) -> tuple[Array, Array]:
    """An output and a target in the range of a loss."""
    rng = np.random.default_rng(0)
    y, d = rng.normal(size=(2, rows, width)).astype(dtype)
    if name == "softmax_cross_entropy_labels":
        return y, rng.integers(0, width, rows)
    if name == "hinge":
        return y, np.sign(d)
    if name in ("binary_cross_entropy", "sigmoid_cross_entropy"):
        d = reference.sigmoid_forward(d)
    if name in ("kl_divergence", "softmax_cross_entropy"):
        d = reference.softmax_forward(d)
    if name == "binary_cross_entropy":
        y = reference.sigmoid_forward(y)
    if name == "kl_divergence":
        y = reference.softmax_forward(y)
    return y, d


def loss_cases(dtype: str) -> Iterator[Case]:
    """Each loss with its gradient."""
    for name, made in LOSSES.items():
        for rows, width in LOSS_SHAPES:
            y, d = _loss_data(name, rows, width, dtype)
            loss, dy = np.empty(rows), np.empty_like(y)
            arrays = (loss, dy, y, d, None, *made.operands(width, dtype))
            run = program_seconds(name, arrays, dtype, (width,), made.constants, rows=rows)
            function = getattr(reference, name)
            twin = lambda f=function, y=y, d=d, c=made.constants: f(y, d, None, None, *c)  # noqa: E731
            traffic = y.nbytes + d.nbytes + dy.nbytes + loss.nbytes
            yield Case(name, f"{rows} × {width}", run, twin, traffic=traffic)


def _twin_of_optimizer(name: str, theta: Array, grad: Array) -> Callable[[], object] | None:
    """The reference's update with a separate state, or None if there is none."""
    update = getattr(reference, f"{name}_update", None)
    if update is None:
        return None
    named: dict[str, Any] = {}
    slots = []
    for parameter in list(inspect.signature(update).parameters.values())[2:]:
        if parameter.kind is parameter.POSITIONAL_OR_KEYWORD and parameter.default is parameter.empty:
            slots.append(np.full_like(theta, 1e-3))
        elif parameter.name == "step":
            named["step"] = 10
        elif parameter.default is parameter.empty:
            named[parameter.name] = 1e-3
    return lambda: update(theta, grad, *slots, **named)


def optimizer_cases(dtype: str) -> Iterator[Case]:
    """Each optimizer's step; traffic is θ, g and the state read, θ and the state written."""
    for name, kind in OPTIMIZERS.items():
        for n in PARAMETERS:
            theta, grad = np.ones(n, dtype), np.full(n, 0.01, dtype)
            optimizer = kind()

            def seconds(threads: int, step: Any = optimizer.step, theta: Array = theta, grad: Array = grad) -> float:
                before = nn.get_num_threads()
                nn.set_num_threads(threads)
                try:
                    return seconds_per_call(lambda: step(theta, grad), 0.1)
                finally:
                    nn.set_num_threads(before)

            twin = _twin_of_optimizer(name, theta.copy(), grad)
            traffic = (3 + 2 * len(optimizer.slots)) * theta.nbytes
            yield Case(f"{kind.__name__}.step", f"{n:,}", seconds, twin, traffic=traffic)


def measure(case: Case, dtype: str, threads: int) -> dict[str, Any]:
    """The times of a case; for nncore the faster of one thread and all threads."""
    times = {count: case.own(count) for count in sorted({1, threads})}
    best = min(times, key=times.__getitem__)
    limit = case.flops / limits.peak(dtype) if case.flops else case.traffic / limits.bandwidth(case.traffic)
    return {
        "kernel": case.name,
        "size": case.size,
        "seconds": {str(count): t for count, t in times.items()},
        "threads": best,
        "numpy_seconds": seconds_per_call(case.twin, 0.1) if case.twin else None,
        "rate": (case.flops or case.traffic) / times[best],
        "unit": "FLOP/s" if case.flops else "B/s",
        "share": limit / times[best],
    }


def line(result: dict[str, Any]) -> list[str]:
    """One row of the table."""
    own, numpy = result["seconds"][str(result["threads"])], result["numpy_seconds"]
    return [
        result["kernel"], result["size"], str(result["threads"]), table.number(own * 1e6),
        table.number(numpy and numpy * 1e6), table.number(numpy and numpy / own),
        table.number(result["rate"] / 1e9) + " G" + result["unit"], f"{result['share']:.0%}",
    ]  # fmt: skip


NOTE = """µs per call; threads: the faster of one and all. NumPy: the twin in nncore.reference, which allocates its
result. Share: for a product, relative to the best product measured in this run; otherwise the time in which numpy.copyto
moves as many bytes (read and written; small arrays from the cache), divided by the time taken. The call of copyto itself is
included, so the share of a small kernel may exceed 100%. An optimizer's step includes its Python code."""


def main(arguments: list[str] | None = None) -> None:
    """Time each kernel and compare with NumPy and the machine's limits."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kernels", description=main.__doc__)
    parser.add_argument("--only", default="", help="comma-separated: kernels whose names contain any of these")
    parser.add_argument("--dtype", choices=["float32", "float64"], default="float32")
    asked = parser.parse_args(arguments)
    about, threads = machine.describe(), nn.get_num_threads()
    wanted = asked.only.split(",")
    results = []
    for cases in (dense_cases, activation_cases, loss_cases, optimizer_cases):
        print(f"{cases.__name__.replace('_', ' ')} …", file=sys.stderr)
        for case in cases(asked.dtype):
            if any(part.lower() in case.name.lower() for part in wanted):
                results.append(measure(case, asked.dtype, threads))
    about["nncore"] = {"isa": _kernels.isa_name, "threads": threads}
    print(machine.text(about), end="\n\n")
    print(f"{asked.dtype}, {_kernels.isa_name}, {threads} threads at most\n")
    header = ["kernel", "size", "threads", "nncore µs", "NumPy µs", "NumPy ×", "rate", "share"]
    print(table.render(header, [line(result) for result in results]), end="\n\n")
    print(NOTE)
    saved = {"machine": about, "dtype": asked.dtype, "peak": limits.peak(asked.dtype), "kernels": results}
    print("Saved to", table.save("kernels" if asked.dtype == "float32" else f"kernels-{asked.dtype}", saved))


if __name__ == "__main__":
    main()
