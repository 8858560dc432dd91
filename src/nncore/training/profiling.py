"""Where the time of a training step goes, op by op: ``trainer.profile(X, y)``."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
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
ROUNDS = 5  # of each kind of timing: medians over them count
LEAST_COPY = 1 << 14  # bytes: of a smaller copy one would time the call

# Floating-point operations of the matrix products in an op, from its sizes, for so many rows of the batch. Of other ops the
# few operations count for nothing beside the bytes they move.
FLOPS: dict[str, Callable[[int, tuple[int, ...]], int]] = {
    **dict.fromkeys(
        [
            f"{dense}_{product}{variant}"
            for dense in ("dense", "dense_steps")
            for product in ("forward", "backward_input", "backward_weight")
            for variant in ("", "_blas")
        ],
        lambda rows, size: 2 * rows * size[0] * size[1] * (size[4:] or (1,))[0],  # units, inputs, two gaps, steps
    ),
    **dict.fromkeys(["dense_forward_direct", "dense_forward_narrow"], lambda rows, size: 2 * rows * size[0] * size[1]),
    **dict.fromkeys(["simple_rnn_forward", "simple_rnn_backward"], lambda rows, size: 2 * rows * size[1] * size[0] ** 2),
    **dict.fromkeys(["gru_forward", "gru_backward"], lambda rows, size: 6 * rows * size[1] * size[0] ** 2),  # three gates
}  # fmt: skip

# How often an op goes through each of its arrays, where that is not once; an array beyond the list counts once. A gather reads
# as many rows of its slot 1, the data, as it writes.
PASSES: dict[str, tuple[int, ...]] = {
    "gather_rows": (2, 0), "gather_labels": (2, 0), "gather_weights": (2, 0), "gather_one_hot": (1, 0),
    "penalty": (2, 1), "clip_value": (2,), "scale_gradient": (2,), "square_sum": (0, 1), "gradient_noise": (2,),
    "shrink": (2, 2), "average": (2, 1),
}  # fmt: skip
UPDATE = (2, 1, 2, 2, 2, 2, 2)  # θ, g, slots


def flops(op: Op, rows: int) -> int:
    """Of the products in an op on a batch of so many rows."""
    return FLOPS[op.kernel](rows, op.sizes) if op.kernel in FLOPS else 0


def traffic(op: Op, rows: int, capacity: int) -> int:
    """Bytes that an op reads and writes, if it takes each number from memory once."""
    if op.kernel == "python":
        return 0
    passes = UPDATE if op.kernel.endswith("_update") else PASSES.get(op.kernel, ())
    total = 0
    for slot, array in enumerate(op.arrays):
        tiles = array is not None and array.dtype == np.int64 and array.ndim == 2
        if array is not None and not tiles:
            share = rows / capacity if array.ndim and len(array) == capacity else 1.0
            total += int(array.nbytes * share) * (passes[slot] if slot < len(passes) else 1)
    return total


@dataclass(frozen=True)
class OpTime:
    """An op of the step: its kernel's name and its layer's ("" for those of no layer), and its cost.

    ``seconds`` a step, on one thread; ``flops``, the operations of matrix products in it; ``traffic``, bytes read and written;
    ``least``, the seconds it would take at the machine's limit; ``limit``, which one that is: "arithmetic" or "memory".
    """

    name: str
    layer: str
    seconds: float
    flops: int
    traffic: int
    least: float
    limit: str


@dataclass(frozen=True)
class Profile:
    """A training step, op by op: a table that prints itself.

    Each op was timed on one thread. Its limit is the longer of two times: its products at the speed of a product that stays
    in the cache, and its bytes at that of a copy of as many bytes; both measured beside it on one thread. Small arrays come
    from a cache, so their "memory" is fast; arrays of a large net may still lie in one from the op before, which is how an op
    comes to more than 100 %. Reading the clock costs some 50 ns for each op and block of rows: the sum of the
    ops may be more than the step, which was timed without.

    Attributes
    ----------
    ops : tuple of OpTime
        In the order of the step: ``name``, ``layer``, ``seconds``, ``flops``, ``traffic``, ``least``, ``limit``.
    step_seconds : dict of int to float
        A whole step, by the number of threads: one, and all that a step of this size may use.
    batch_size : int
    peak : float
        FLOP/s of the product, one thread.
    copy : float
        Bytes/s of a copy as large as the step's largest op, one thread.

    Examples
    --------
    >>> import nncore as nn
    >>> X, y = nn.data.two_spirals(400)
    >>> model = nn.Sequential([nn.Dense(32), nn.SiLU(), nn.Dense(2)], input_shape=2)
    >>> profile = nn.Trainer(model, "softmax_cross_entropy").profile(X, y, batch_size=32, steps=10)
    >>> slowest = max(profile.ops, key=lambda op: op.seconds)
    >>> 0 < slowest.seconds <= profile.seconds
    True
    >>> print(profile)  # doctest: +ELLIPSIS
    op ...
    """

    ops: tuple[OpTime, ...]
    step_seconds: dict[int, float]
    batch_size: int
    peak: float
    copy: float

    @property
    def seconds(self) -> float:
        """The sum of the ops."""
        return sum(op.seconds for op in self.ops)

    def __str__(self) -> str:
        lines = self._lines()
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        text = []
        for name, layer, *numbers, limit in lines:
            cells = [cell.rjust(width) for cell, width in zip(numbers, widths[2:], strict=False)]
            text.append("  ".join([name.ljust(widths[0]), layer.ljust(widths[1]), *cells, limit]).rstrip())
        return "\n".join([*text, *self._notes()])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        """The same table, for notebooks."""
        return html_table(self._lines(), self._notes(), text_columns=2)

    def _lines(self) -> list[tuple[str, ...]]:
        header = ("op", "layer", "us", "rate", "of step", "of limit", "limit")  # microseconds: not every stream can print µ
        return [header, *[self._line(op) for op in self.ops]]

    def _notes(self) -> list[str]:
        whole = ", ".join(f"{1e6 * s:.1f} us on {n} thread{'s' * (n > 1)}" for n, s in self.step_seconds.items())
        limits = f"limits of one thread: {self.peak / 1e9:.0f} GFLOP/s, copy {self.copy / 1e9:.0f} GB/s"
        return [limits, f"sum of the ops {1e6 * self.seconds:.1f} us; step of {self.batch_size} rows {whole}"]

    def _line(self, op: OpTime) -> tuple[str, ...]:
        work, unit = (op.flops, "GFLOP/s") if op.flops else (op.traffic, "GB/s")
        seconds = max(op.seconds, 1e-12)
        rate = f"{work / seconds / 1e9:.1f} {unit}" if work else ""
        of_limit = f"{op.least / seconds:.0%}" if work else ""
        share = f"{op.seconds / max(self.seconds, 1e-12):.1%}"
        return op.name, op.layer, f"{1e6 * op.seconds:.2f}", rate, share, of_limit, op.limit


def measure(trainer: BaseTrainer, X: Any, y: Any, batch_size: int | None, steps: int) -> Profile:
    """Train a copy of the trainer for some steps, first with a clock on each op, then on one and on all threads."""
    batch_size = None if batch_size is None else count("batch_size", batch_size)
    steps = count("steps", steps)
    if not isinstance(trainer.optimizer, GradientOptimizer):
        raise ValueError(f"profile needs an optimizer that goes by training steps, got {shown(trainer.optimizer)}")
    data = trainer._data(X, y)
    batch = min(batch_size or (len(data) if trainer.optimizer.full_batch_only else BATCH_SIZE), len(data))
    trainer._check_optimizer(len(data), batch)
    if len(data) % batch:
        data = data.take(np.arange(len(data) // batch * batch))
    twin = trainer._copy(trainer.metrics)
    twin.model.check_batches(len(data), batch, training=True)
    run = TrainingLoop(twin, data, batch, samplers.Shuffled())
    walk = _Walk(run, WARM_UP + 3 * (steps + ROUNDS))
    compiled = run.program.compiled
    walk.advance(WARM_UP, 1)
    seconds = walk.op_seconds(steps, len(compiled.program.op_names))
    limits = _Limits(twin.model.dtype)
    tape = run.program.recording.tape
    ops = [
        limits.judge(op, tape.capacity, batch, float(seconds[number]))
        for number, op in compiled.step_ops
    ]  # fmt: skip
    threads = _kernels.get_num_threads() if compiled.parallel else 1
    return Profile(tuple(ops), walk.step_seconds(steps, threads), batch, limits.peak, limits.largest_copy)


class _Limits:
    """What one thread of this machine can do, measured when it is first asked for."""

    def __init__(self, dtype: Any) -> None:
        self.dtype, self.peak = dtype, product_rate(dtype)
        self._copies: dict[int, float] = {}

    def copy(self, traffic: int) -> float:
        """Bytes/s of a copy of about so many bytes."""
        size = max(1 << max(traffic - 1, 1).bit_length(), LEAST_COPY)
        if size not in self._copies:
            self._copies[size] = copy_rate(size, self.dtype)
        return self._copies[size]

    @property
    def largest_copy(self) -> float:
        """Bytes/s of the largest copy that was asked for."""
        return self._copies[max(self._copies)]

    def judge(self, op: Op, capacity: int, rows: int, seconds: float) -> OpTime:
        """The op beside its limit."""
        work, moved = flops(op, rows), traffic(op, rows, capacity)
        least = {"arithmetic": work / self.peak, "memory": moved / self.copy(moved)}
        limit = max(least, key=least.__getitem__)
        return OpTime(op.kernel, op.layer, seconds, work, moved, least[limit], limit if work or moved else "")


class _Walk:
    """Goes on through shuffled epochs, some steps at a time."""

    def __init__(self, run: TrainingLoop, steps: int) -> None:
        self.run, self.done = run, 0
        _, self.order = run.orders(-(-steps // run.per_epoch))

    def advance(self, steps: int, threads: int, op_seconds: Array | None = None) -> float:
        """Seconds a step; raises what ended the training."""
        start = time.perf_counter()
        self.run.run_steps(self.order, self.done, steps, threads, op_seconds=op_seconds)
        seconds = (time.perf_counter() - start) / steps
        if self.run.failure:
            raise self.run.failure
        self.done += steps
        return seconds

    def op_seconds(self, steps: int, ops: int) -> Array:
        """Medians over rounds of the time of each op in a step."""
        found, some = np.zeros((ROUNDS, ops)), -(-steps // ROUNDS)
        for row in found:
            self.advance(some, 1, row)
        return np.asarray(np.median(found, axis=0) / some)

    def step_seconds(self, steps: int, threads: int) -> dict[int, float]:
        """Medians over rounds of the time of a step, on one thread and on so many."""
        times: dict[int, list[float]] = {1: [], threads: []}
        for _ in range(ROUNDS):
            for used, found in times.items():
                found.append(self.advance(-(-steps // ROUNDS), used))
        return {used: statistics.median(found) for used, found in times.items()}


def product_rate(dtype: Any) -> float:
    """FLOP/s of a forward product whose operands stay in the second-level cache, on one thread."""
    rows, units, inputs = 48, 64, 512
    x, y = np.ones((rows, inputs), dtype), np.zeros((rows, units), dtype)
    packed = np.ones(_kernels.packed_size(units, inputs), dtype)
    op = ("dense_forward", (y, x, packed, None), (units, inputs, 0), (), 0, 1)
    return 2 * rows * units * inputs / _least_seconds(op, dtype, rows, times=40)


def copy_rate(traffic: int, dtype: Any) -> float:
    """Bytes/s, read and written, of a copy that moves so many, on one thread."""
    source = np.ones((1, traffic // 2 // np.dtype(dtype).itemsize), dtype)
    target = np.zeros_like(source)
    op = ("spread_rows", (target, source), (source.size, 0, 1), (), 0, 1)
    return 2 * source.nbytes / _least_seconds(op, dtype, 1, times=max(1, (1 << 22) // traffic))


def _least_seconds(op: tuple[Any, ...], dtype: Any, rows: int, times: int) -> float:
    """Seconds of an op that is run so many times in one call; the best of a few calls."""
    program = _kernels.Program(_kernels.op_table(), dtype, [("rows", 1, None, False, [op])], block_rows=rows)
    found = []
    for _ in range(10):
        start = time.perf_counter()
        program.run(last_step=times, examples=rows, batch=rows)
        found.append(time.perf_counter() - start)
    return min(found) / times
