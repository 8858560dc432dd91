"""A program that trains as many tiny networks at once as a vector has lanes.

Recorded from the program for one network: products of dense layers get kernels over vectors of networks (``lanes.h``),
updates get kernels that read coefficients of each network, other elementwise ops run as they are on longer arrays, and ops on
whole rows (data, losses, metrics) run on the rows of all networks, one network after the other. Each number is the same chain of operations, so each network has the bits that it has alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from nncore._utils.arrays import Array, aligned_zeros
from nncore.program.compiled import Compiled
from nncore.program.ops import Op
from nncore.program.stages import Stage

__all__ = ["Lanes", "in_lanes"]

MOST_PARAMETERS = 1500  # of a network: those of all lanes then stay in the caches near the core
BLOCK = 8  # rows of each network that go through the layers together: a multiple of the four chains of sums
ELEMENTWISE = re.compile(
    "(sigmoid|tanh|relu|leaky_relu|elu|softplus|gelu|gelu_tanh|silu|selu|mish|identity)_(forward|backward)|scaled_(forward|backward)"
)
ROWWISE = re.compile("gather_(rows|labels|one_hot|weights)|accuracy_(labels|targets|binary)")
UPDATES = re.compile("[a-z]+(_[a-z]+)*_(update|enter|leave)|average|decay")
LONG = 32  # classes from which a row is summed in another order
FORWARD = ("dense_forward", "dense_forward_direct", "dense_forward_narrow")
BACKWARD = ("dense_backward_input", "dense_backward_weight", "dense_backward_bias")
PACKING = ("pack_weight", "pack_large_weight")


class Lanes(NamedTuple):
    """A program for several networks.

    Attributes
    ----------
    compiled : Compiled
    of : dict of Op to Op
        Its ops, by those of the program for one.
    kept : list of ndarray (n, lanes)
        The arrays that hold the networks' numbers, by those of one.
    """

    compiled: Compiled
    of: dict[Op, Op]
    kept: list[Array]


class _Tape(NamedTuple):
    """What a compiled program reads of a tape."""

    dtype: np.dtype[Any]
    block_rows: int
    work_per_row: int
    parallel: bool = False
    touched: None = None


def in_lanes(
    compiled: Compiled, lanes: int, reading: Op, kept: Sequence[Array], gradients: Array, losses: Callable[[str], bool]
) -> Lanes | None:
    """The program for ``lanes`` networks; None if it has an op without such a form, or the network is not tiny.

    Parameters
    ----------
    reading : the op that takes the inputs in.
    kept : θ, state, the optimizer's arrays.
    losses : whether a kernel is that of a loss, whose rows are independent of each other.
    """
    if kept[0].size > MOST_PARAMETERS or compiled.parallel:
        return None
    made = _Lanes(lanes, reading, kept, gradients, losses)
    parts = compiled.parts
    try:
        before, step, after = ([made.stage(stage) for stage in part] for part in (parts.before, parts.step, parts.after))
    except _Refused:
        return None
    commits = sum(bool(stage.placed) for stage in step[: parts.commits])
    before, step, after = ([stage for stage in part if stage.placed] for part in (before, step, after))
    tape = _Tape(kept[0].dtype, BLOCK * lanes, lanes * compiled.work_per_row)
    program = Compiled(
        tape, step, before=before, after=after, commits=commits, records=[made.rows(record) for record in parts.records],
        stops=True, lanes=lanes,
    )  # fmt: skip
    return Lanes(program, made.of, made.kept[: len(kept)])


class _Refused(Exception):
    """An op that has no form for several networks."""


class _Lanes:
    """Arrays and ops of several networks, by those of one."""

    def __init__(
        self, lanes: int, reading: Op, kept: Sequence[Array], gradients: Array, losses: Callable[[str], bool]
    ) -> None:  # fmt: skip
        self.lanes, self._reading, self._losses, self._one = lanes, reading, losses, [*kept, gradients]
        self.kept = [aligned_zeros(array.size * lanes, array.dtype) for array in self._one]
        self._packed: dict[int, Array] = {}  # the weights, by addresses of their packed copies
        self._wide: dict[tuple[str, int], Array] = {}
        self._keep: list[Array] = []  # the arrays whose addresses are keys
        self._row_major: set[int] = set()  # addresses of arrays that exist as rows of all networks
        self.of: dict[Op, Op] = {}

    def stage(self, stage: Stage) -> Stage:
        placed = [(op, first, last) for given, first, last in stage.placed for op in self._ops(given)]
        return Stage(stage.axis, placed)

    def _ops(self, op: Op) -> list[Op]:
        kernel, arrays = op.kernel, op.arrays
        if kernel in PACKING:
            self._packed[arrays[0].ctypes.data] = arrays[1]
            return []
        if kernel in FORWARD:
            return [self._dense_forward(op)]
        if kernel in BACKWARD:
            return [self._dense_backward(op)]
        if kernel == "softmax_cross_entropy_labels" and self._few_classes(op):
            loss, dy, y, labels = arrays[:4]
            wide = self.rows(loss), self._numbers(dy), self._numbers(y), self.rows(labels)
            return [self._as(op, wide, op.sizes, "lanes_softmax_cross_entropy")]
        if ROWWISE.fullmatch(kernel) or self._losses(kernel):
            return self._on_rows(op)
        if ELEMENTWISE.fullmatch(kernel):
            return [self._as(op, tuple(self._numbers(array) for array in arrays), op.sizes)]
        if UPDATES.fullmatch(kernel):
            wide = *map(self._numbers, arrays[:-1]), self._table(arrays[-1])
            return [self._as(op, wide, op.sizes, f"lanes_{kernel}")]
        raise _Refused

    @staticmethod
    def _few_classes(op: Op) -> bool:
        """Whether it is a loss as the kernel over vectors of networks has it."""
        return op.arrays[1] is not None and op.arrays[4] is None and op.constants == (0.0,) and op.sizes[0] < LONG

    def _as(self, op: Op, arrays: tuple[Any, ...], sizes: tuple[int, ...], kernel: str = "") -> Op:
        constants = () if kernel else op.constants
        self.of[op] = replace(
            op, kernel=kernel or op.kernel, arrays=arrays, sizes=sizes, constants=constants, then=None, repack=None
        )
        return self.of[op]

    def _dense_forward(self, op: Op) -> Op:
        y, x, W, b = op.arrays[:4]
        if any(op.sizes[2:3]):  # gaps between rows
            raise _Refused
        if op.kernel == "dense_forward":  # W is packed: from the op that packs it
            W = self._packed[W.ctypes.data]
        return self._as(op, tuple(map(self._numbers, (y, x, W, b))), op.sizes[:2], "lanes_dense_forward")

    def _dense_backward(self, op: Op) -> Op:
        sizes = 1 if op.kernel == "dense_backward_bias" else 2
        if any(op.sizes[sizes:]) or len(op.cost) > 1:
            raise _Refused
        arrays = op.arrays[: 2 if sizes == 1 else 3]
        return self._as(op, tuple(map(self._numbers, arrays)), op.sizes[:sizes], f"lanes_{op.kernel}")

    def _on_rows(self, op: Op) -> list[Op]:
        """An op on the rows of all networks; what it reads is turned before it, what it writes after it."""
        declared_writes = 2 if self._losses(op.kernel) else 1
        arrays = tuple(None if array is None else self.rows(array) for array in op.arrays)
        here = self._as(op, arrays, op.sizes)
        ops = [here]
        if op is self._reading:
            ops.append(self._turn("to_lanes", op.arrays[0], op.sizes[0]))
        if declared_writes == 2 or op.kernel.startswith("accuracy"):
            y = op.arrays[2 if declared_writes == 2 else 1]
            if y.ctypes.data not in self._row_major:
                self._row_major.add(y.ctypes.data)
                ops.insert(0, self._turn("from_lanes", y, op.sizes[0]))
        if declared_writes == 2 and op.arrays[1] is not None:
            ops.append(self._turn("to_lanes", op.arrays[1], op.sizes[0]))
        return ops

    def _turn(self, kernel: str, array: Array, width: int) -> Op:
        wide, rows = self._numbers(array), self.rows(array)
        return Op("rows", kernel, (wide, rows) if kernel == "to_lanes" else (rows, wide), (width,))

    def rows(self, array: Array) -> Array:
        """Rows of all networks."""
        return self._of("rows", array)

    def _numbers(self, array: Array | None) -> Array | None:
        """A number of each network for each of one."""
        if array is None:
            return None
        for one, wide in zip(self._one, self.kept, strict=True):
            first = (array.ctypes.data - one.ctypes.data) // one.itemsize
            if 0 <= first < one.size:
                return wide[first * self.lanes : (first + array.size) * self.lanes]
        return self._of("numbers", array)

    def _of(self, kind: str, array: Array) -> Array:
        key = kind, array.ctypes.data
        if key not in self._wide:
            self._keep.append(array)
            shape = (len(array) * self.lanes, *array.shape[1:])
            self._wide[key] = aligned_zeros(shape, array.dtype)
        return self._wide[key]

    def _table(self, table: Array) -> Array:
        """The tiles of θ (offset, rows, columns, row stride, …) in arrays of all networks."""
        wide = np.array(table)
        wide[:, [0, 2, 3]] *= self.lanes
        return wide
