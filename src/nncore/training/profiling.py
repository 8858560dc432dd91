"""The time of each op of a training step: ``trainer.profile(X, y)``."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncore import _kernels, samplers
from nncore._messages import shown
from nncore._utils.fields import count
from nncore._utils.tables import html_table
from nncore.optimizers import GradientOptimizer
from nncore.program.ops import Op
from nncore.training.base import BATCH_SIZE, BaseTrainer
from nncore.training.loop import TrainingLoop

__all__ = ["OpTime", "Profile"]

Array = NDArray[Any]

WARM_UP = 3  # steps
ROUNDS = 5  # of each kind of timing, of which the median is taken
RATED = 48, 64, 512  # rows, units and inputs of the product whose rate is the limit
PAIR_OF_ONES = 0x3F803F80  # two bfloat16 numbers
MIN_COPY = 1 << 14  # bytes: the time of a smaller copy would be that of the call


def _cell_flops(gates: int, rows: int, size: tuple[int, ...]) -> int:
    units, steps = size[:2]
    return 2 * gates * rows * steps * units**2


# Floating-point operations of the matrix products in an op, from the number of rows and its sizes. Those of other ops are
# negligible compared with the bytes they move.
FLOPS: dict[str, Callable[[int, tuple[int, ...]], int]] = {
    **dict.fromkeys(
        [
            f"{dense}_{product}{variant}"
            for dense in ("dense", "dense_steps")
            for product in ("forward", "backward_input", "backward_weight")
            for variant in ("", "_blas", "_bfloat16")
        ],
        lambda rows, size: 2 * rows * size[0] * size[1] * (size[4:] or (1,))[0],  # units, inputs, two gaps, steps
    ),
    **dict.fromkeys(["dense_forward_direct", "dense_forward_narrow"], lambda rows, size: 2 * rows * size[0] * size[1]),
    **{
        f"{cell}_{part}{variant}": partial(_cell_flops, gates)
        for cell, gates in (("simple_rnn", 1), ("gru", 3), ("gru_reset_before", 3))
        for part in ("forward", "backward")
        for variant in ("", "_bfloat16")
    },
}  # fmt: skip

# How often an op passes over each of its arrays, if not once; arrays beyond the list count once. A gather reads as many rows
# of its slot 1, the data, as it writes.
PASSES: dict[str, tuple[int, ...]] = {
    "gather_rows": (2, 0), "gather_labels": (2, 0), "gather_weights": (2, 0), "gather_one_hot": (1, 0),
    "penalty": (2, 1), "clip_value": (2,), "scale_gradient": (2,), "square_sum": (0, 1), "gradient_noise": (2,),
    "shrink": (2, 2), "average": (2, 1),
}  # fmt: skip
# What such ops read depends on the numbers of sparse rows, as do updates of lists of weights: they have no limit here.
OF_NUMBERS = ("csr_", "lazy_", "catch_up")
UPDATE = (2, 1, 2, 2, 2, 2, 2)  # θ, g, slots


def flops(op: Op, rows: int) -> int:
    """Floating-point operations of the products in an op on ``rows`` rows."""
    return FLOPS[op.kernel](rows, op.sizes) if op.kernel in FLOPS else 0


def traffic(op: Op, rows: int, capacity: int) -> int:
    """Bytes that an op reads and writes if each number is read from memory once."""
    if op.kernel == "python" or op.kernel.startswith(OF_NUMBERS):
        return 0
    passes = UPDATE if op.kernel.endswith("_update") else PASSES.get(op.kernel, ())
    total = 0
    for slot, array in enumerate(op.arrays):
        tiles = array is not None and array.dtype == np.int64 and array.ndim == 2
        if tiles and (array[:, 1:2] < 0).any():
            return 0
        if array is not None and not tiles:
            fraction = rows / capacity if array.ndim and len(array) == capacity else 1.0
            total += int(array.nbytes * fraction) * (passes[slot] if slot < len(passes) else 1)
    return total


@dataclass(frozen=True)
class OpTime:
    """An op of the step: the names of its kernel and layer ("" without a layer), and its cost.

    ``seconds`` per step on one thread; ``flops``, the operations of its matrix products; ``traffic``, bytes read and written;
    ``bound``, its minimum seconds by the machine's limit; ``limit``, the kind of limit: "arithmetic" or "memory".
    """

    name: str
    layer: str
    seconds: float
    flops: int
    traffic: int
    bound: float
    limit: str


@dataclass(frozen=True)
class Profile:
    """The ops of a training step, printed as a table.

    Each op is timed on one thread. Its limit is the longer of two times: its products at the speed of a product whose operands
    stay in the cache, and its bytes at that of a copy of as many bytes; both are measured on one thread. Small arrays are read
    from a cache, so their "memory" is fast; arrays of a large network may still be cached from the previous op, so that an op
    can exceed 100 %. Reading the clock costs about 50 ns per op and block of rows: the sum of the ops may exceed the time of
    the step, which is measured separately.

    Attributes
    ----------
    ops : tuple of OpTime
        In the order of the step: ``name``, ``layer``, ``seconds``, ``flops``, ``traffic``, ``bound``, ``limit``.
    step_seconds : dict of int to float
        Time of a step by the number of threads: one, and all that a step of this size may use.
    batch_size : int
    peak : float
        FLOP/s of a product on one thread.
    copy : float
        Bytes/s of a copy with the traffic of the largest op, on one thread.
    bfloat16_peak : float, optional
        FLOP/s of a product of bfloat16 numbers on one thread, the limit of the ops named ``…_bfloat16``; None without
        ``compute_dtype="bfloat16"``.

    Examples
    --------
    >>> import nncore as nn
    >>> X, y = nn.data.two_spirals(400)
    >>> model = nn.Sequential([nn.Dense(32), nn.SiLU(), nn.Dense(2)], input_shape=2)
    >>> profile = nn.Trainer(model, "softmax_cross_entropy").profile(X, y, batch_size=32, steps=10)
    >>> slowest = max(profile.ops, key=lambda op: op.seconds)
    >>> 0 < slowest.seconds <= profile.seconds
    True
    >>> print(profile)  # doctest: +ELLIPSIS, +NORMALIZE_WHITESPACE
    op ...
    """

    ops: tuple[OpTime, ...]
    step_seconds: dict[int, float]
    batch_size: int
    peak: float
    copy: float
    bfloat16_peak: float | None = None

    @property
    def seconds(self) -> float:
        """The sum over the ops."""
        return sum(op.seconds for op in self.ops)

    def __str__(self) -> str:
        lines = self._lines()
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        text = []
        for number, name, layer, *numbers, limit in lines:
            cells = [cell.rjust(width) for cell, width in zip(numbers, widths[3:], strict=False)]
            words = number.rjust(widths[0]), name.ljust(widths[1]), layer.ljust(widths[2])
            text.append("  ".join([*words, *cells, limit]).rstrip())
        return "\n".join([*text, *self._notes()])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        """The same table, for notebooks."""
        return html_table(self._lines(), self._notes(), text_columns=3)

    def _lines(self) -> list[tuple[str, ...]]:
        header = ("", "op", "layer", "us", "rate", "of step", "of limit", "limit")  # microseconds: not every stream can print µ
        return [header, *[(str(n), *self._line(op)) for n, op in enumerate(self.ops)]]

    def _notes(self) -> list[str]:
        whole = ", ".join(f"{1e6 * s:.1f} us on {n} thread{'s' * (n > 1)}" for n, s in self.step_seconds.items())
        bfloat16 = f", in bfloat16 {self.bfloat16_peak / 1e9:.0f} GFLOP/s" if self.bfloat16_peak else ""
        limits = f"limits of one thread: {self.peak / 1e9:.0f} GFLOP/s{bfloat16}, copy {self.copy / 1e9:.0f} GB/s"
        return [limits, f"sum of the ops {1e6 * self.seconds:.1f} us; step of {self.batch_size} rows {whole}"]

    def _line(self, op: OpTime) -> tuple[str, ...]:
        work, unit = (op.flops, "GFLOP/s") if op.flops else (op.traffic, "GB/s")
        seconds = max(op.seconds, 1e-12)
        rate = f"{work / seconds / 1e9:.1f} {unit}" if work else ""
        of_limit = f"{op.bound / seconds:.0%}" if work else ""
        of_step = f"{op.seconds / max(self.seconds, 1e-12):.1%}"
        return op.name, op.layer, f"{1e6 * op.seconds:.2f}", rate, of_step, of_limit, op.limit


def measure(trainer: BaseTrainer, X: Any, y: Any, batch_size: int | None, steps: int) -> Profile:
    """Time a copy of the trainer for some steps: each op, then whole steps on one and on all threads."""
    batch_size = None if batch_size is None else count("batch_size", batch_size)
    steps = count("steps", steps)
    if not isinstance(trainer.optimizer, GradientOptimizer):
        raise ValueError(f"profile needs an optimizer that takes a step along each gradient, got {shown(trainer.optimizer)}")
    data = trainer._data(X, y)
    batch = min(batch_size or (len(data) if trainer.optimizer.full_batch_only else BATCH_SIZE), len(data))
    trainer._check_optimizer(len(data), batch)
    if len(data) % batch:
        data = data.take(np.arange(len(data) // batch * batch))
    twin = trainer._copy(trainer.metrics)
    twin.model.check_batches(len(data), batch, training=True)
    run = TrainingLoop(twin, data, batch, samplers.Shuffled())
    timer = _Timer(run, WARM_UP + 3 * (steps + ROUNDS))
    compiled = run.program.compiled
    timer.advance(WARM_UP, 1)
    seconds = timer.op_seconds(steps, len(compiled.program.op_names))
    limits = _Limits(twin.model.dtype, twin.model.compute_dtype)
    tape = run.program.recording.tape
    ops = [limits.compare(op, tape.capacity, batch, float(seconds[number])) for number, op in compiled.step_ops]
    threads = _kernels.get_num_threads() if compiled.parallel else 1
    return Profile(
        tuple(ops), timer.step_seconds(steps, threads), batch, limits.peak, limits.largest_copy, limits.bfloat16_peak
    )


class _Limits:
    """Speed limits of one thread of this machine, measured at first use."""

    def __init__(self, dtype: Any, compute_dtype: str) -> None:
        self.dtype, self.peak = dtype, product_rate(dtype)
        self.bfloat16_peak = bfloat16_rate() if compute_dtype == "bfloat16" else None
        self._copies: dict[int, float] = {}

    def copy(self, traffic: int) -> float:
        """Bytes/s of a copy with about this traffic."""
        size = max(1 << max(traffic - 1, 1).bit_length(), MIN_COPY)
        if size not in self._copies:
            self._copies[size] = copy_rate(size, self.dtype)
        return self._copies[size]

    @property
    def largest_copy(self) -> float:
        """Bytes/s of the largest copy measured."""
        return self._copies[max(self._copies)]

    def compare(self, op: Op, capacity: int, rows: int, seconds: float) -> OpTime:
        """The op with its limit."""
        work, moved = flops(op, rows), traffic(op, rows, capacity)
        peak = self.bfloat16_peak if self.bfloat16_peak and op.kernel.endswith("_bfloat16") else self.peak
        bounds = {"arithmetic": work / peak, "memory": moved / self.copy(moved)}
        limit = max(bounds, key=bounds.__getitem__)
        return OpTime(op.kernel, op.layer, seconds, work, moved, bounds[limit], limit if work or moved else "")


class _Timer:
    """Runs and times steps of shuffled epochs."""

    def __init__(self, run: TrainingLoop, steps: int) -> None:
        self.run, self.done = run, 0
        _, self.order = run.orders(-(-steps // run.per_epoch))

    def advance(self, steps: int, threads: int, op_seconds: Array | None = None) -> float:
        """Run some steps; returns seconds per step, or raises the error that ended the training."""
        start = time.perf_counter()
        self.run.run_steps(self.order, self.done, steps, threads, op_seconds=op_seconds)
        seconds = (time.perf_counter() - start) / steps
        if self.run.failure:
            raise self.run.failure
        self.done += steps
        return seconds

    def op_seconds(self, steps: int, ops: int) -> Array:
        """Medians over rounds of the time of each op in a step."""
        seconds, steps_per_round = np.zeros((ROUNDS, ops)), -(-steps // ROUNDS)
        for row in seconds:
            self.advance(steps_per_round, 1, row)
        return np.asarray(np.median(seconds, axis=0) / steps_per_round)

    def step_seconds(self, steps: int, threads: int) -> dict[int, float]:
        """Medians over rounds of the time of a step, on one thread and on ``threads``."""
        times: dict[int, list[float]] = {1: [], threads: []}
        for _ in range(ROUNDS):
            for used, found in times.items():
                found.append(self.advance(-(-steps // ROUNDS), used))
        return {used: statistics.median(found) for used, found in times.items()}


def product_rate(dtype: Any) -> float:
    """FLOP/s of a forward product whose operands stay in the second-level cache, on one thread."""
    rows, units, inputs = RATED
    x, packed = np.ones((rows, inputs), dtype), np.ones(_kernels.packed_size(units, inputs), dtype)
    return _forward_rate("dense_forward", x, packed, dtype)


def bfloat16_rate() -> float:
    """The same of bfloat16 numbers, in pairs."""
    rows, units, inputs = RATED
    x, packed = (np.full(n, PAIR_OF_ONES, np.int32) for n in (rows * inputs // 2, _kernels.packed_size(units, inputs // 2)))
    return _forward_rate("dense_forward_bfloat16", x, packed, np.float32)


def _forward_rate(kernel: str, x: Array, packed: Array, dtype: Any) -> float:
    rows, units, inputs = RATED
    op = (kernel, (np.zeros((rows, units), dtype), x, packed, None), (units, inputs, 0), (), 0, 1)
    return 2 * rows * units * inputs / _min_seconds(op, dtype, rows, times=40)


def copy_rate(traffic: int, dtype: Any) -> float:
    """Bytes/s, read and written, of a copy with this traffic, on one thread."""
    source = np.ones((1, traffic // 2 // np.dtype(dtype).itemsize), dtype)
    target = np.zeros_like(source)
    op = ("spread_rows", (target, source), (source.size, 0, 1), (), 0, 1)
    return 2 * source.nbytes / _min_seconds(op, dtype, 1, times=max(1, (1 << 22) // traffic))


def _min_seconds(op: tuple[Any, ...], dtype: Any, rows: int, times: int) -> float:
    """Seconds of an op that runs ``times`` times per call; the minimum over a few calls."""
    program = _kernels.Program(_kernels.op_table(), dtype, [("rows", 1, None, False, [op])], block_rows=rows)
    found = []
    for _ in range(10):
        start = time.perf_counter()
        program.run(last_step=times, examples=rows, batch=rows)
        found.append(time.perf_counter() - start)
    return min(found) / times
