"""A program that trains as many tiny networks at once as a vector has lanes.

Recorded from the program for one network: products of dense layers get kernels over vectors of networks (``lanes.h``),
updates get kernels that read coefficients of each network, other elementwise ops run as they are on longer arrays, and ops on
whole rows (data, losses, metrics) run on the rows of all networks side by side. A batch goes through the layers in parts of
16 rows, whose signals stay in the nearest cache. Each number is the same chain of operations, so each network has the bits
that it has alone.
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
PART = 16  # rows of each network that go through the layers together: a multiple of the four chains of sums
ELEMENTWISE = re.compile(
    "(sigmoid|tanh|relu|leaky_relu|elu|softplus|gelu|gelu_tanh|silu|selu|mish|identity)_(forward|backward)|scaled_(forward|backward)"
)
ROWWISE = re.compile("gather_(rows|labels|one_hot|weights)|accuracy_(labels|targets|binary)")
UPDATES = re.compile("[a-z]+(_[a-z]+)*_(update|enter|leave)|average|decay")
LONG = 32  # classes from which a row is summed in another order
FORWARD = ("dense_forward", "dense_forward_direct", "dense_forward_narrow")
GRADIENTS = ("dense_backward_weight", "dense_backward_bias")
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


Placed = tuple[Op, int, int]  # with the first and the last of its work items


class _Tape(NamedTuple):
    """What a compiled program reads of a tape."""

    dtype: np.dtype[Any]
    block_rows: int
    work_per_row: int
    parallel: bool = False
    touched: None = None
    lock: None = None


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
    if step[0].axis != "rows" or any(stage.axis == "rows" for stage in step[1:]):
        return None
    records = [made.sums(record) for record in parts.records]
    commits = sum(bool(stage.placed) for stage in step[: parts.commits])
    step[0].placed += [(op, 0, 1) for op in made.of_parts]
    before, step, after = ([stage for stage in part if stage.placed] for part in (before, step, after))
    tape = _Tape(kept[0].dtype, PART * lanes, lanes * compiled.work_per_row)
    program = Compiled(
        tape, step, before=before, after=after, commits=commits, records=records,
        stops=True, lanes=lanes, part_rows=PART * lanes,
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
        self.of_parts: list[Op] = []  # gradients of parameters, and sums, continued part by part

    def stage(self, stage: Stage) -> Stage:
        placed = [(op, first, last) for given, first, last in stage.placed for op in self._ops(given)]
        return Stage(stage.axis, _with_relu(placed))

    def _ops(self, op: Op) -> list[Op]:
        kernel, arrays = op.kernel, op.arrays
        if kernel in PACKING:
            self._packed[arrays[0].ctypes.data] = arrays[1]
            return []
        if kernel in FORWARD:
            return [self._dense_forward(op)]
        if kernel == "dense_backward_input":
            return [self._dense_backward(op)]
        if kernel in GRADIENTS:
            self.of_parts.append(self._dense_backward(op))
            return []
        if kernel == "softmax_cross_entropy_labels" and self._few_classes(op):
            loss, dy, y, labels = arrays[:4]
            wide = self.rows(loss), self._numbers(dy), self._numbers(y), self.rows(labels)
            return [self._as(op, wide, op.sizes, "lanes_softmax_cross_entropy")]
        if ROWWISE.fullmatch(kernel) or self._losses(kernel):
            return self._on_rows(op)
        if kernel == "relu_backward":  # z > 0 where h > 0: z is not needed
            op = replace(op, arrays=(*arrays[:2], arrays[3], arrays[3]))
        if ELEMENTWISE.fullmatch(kernel):
            return [self._as(op, tuple(map(self._numbers, op.arrays)), op.sizes)]
        if UPDATES.fullmatch(kernel):
            numbers = *map(self._numbers, arrays[:-1]), self._table(arrays[-1])
            return [self._as(op, numbers, op.sizes, f"lanes_{kernel}")]
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
        arrays = [self._numbers(array) for array in op.arrays[: 2 if sizes == 1 else 3]]
        if sizes == 1:
            arrays.insert(1, aligned_zeros(4 * op.sizes[0] * self.lanes, op.arrays[0].dtype))
        return self._as(op, tuple(arrays), op.sizes[:sizes], f"lanes_{op.kernel}")

    def _on_rows(self, op: Op) -> list[Op]:
        """An op on the rows of all networks; what it reads is turned before it, what it writes after it."""
        declared_writes = 2 if self._losses(op.kernel) else 1
        arrays = tuple(None if array is None else self.rows(array) for array in op.arrays)
        here = self._as(op, arrays, op.sizes)
        ops = [here]
        if op is self._reading:
            ops += self._turn("to_lanes", op.arrays[0], op.sizes[0])
        if declared_writes == 2 or op.kernel.startswith("accuracy"):
            y = op.arrays[2 if declared_writes == 2 else 1]
            if y.ctypes.data not in self._row_major:
                self._row_major.add(y.ctypes.data)
                ops = [*self._turn("from_lanes", y, op.sizes[0]), *ops]
        if declared_writes == 2 and op.arrays[1] is not None:
            ops += self._turn("to_lanes", op.arrays[1], op.sizes[0])
        return ops

    def _turn(self, kernel: str, array: Array, width: int) -> list[Op]:
        wide, rows = self._numbers(array), self.rows(array)
        if wide is rows:
            return []
        return [Op("rows", kernel, (wide, rows) if kernel == "to_lanes" else (rows, wide), (width,))]

    def sums(self, record: Array) -> Array:
        """Where the sums of the networks' records over a batch are left."""
        sums, chains = np.zeros(self.lanes), np.zeros((4, self.lanes))
        self.of_parts.append(Op("rows", "lanes_sums", (sums, chains, self.rows(record))))
        return sums

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
        if array.size == len(array):  # where both are the same
            kind = "rows"
        key = kind, array.ctypes.data
        if key not in self._wide:
            self._keep.append(array)
            self._wide[key] = aligned_zeros((PART * self.lanes, *array.shape[1:]), array.dtype)
        return self._wide[key]

    def _table(self, table: Array) -> Array:
        """The tiles of θ (offset, rows, columns, row stride, …) in arrays of all networks."""
        wide = np.array(table)
        wide[:, [0, 2, 3]] *= self.lanes
        return wide


def _with_relu(placed: list[Placed]) -> list[Placed]:
    """With relu, and its backward pass, in the products before them."""
    result: list[Placed] = []
    for op, first, last in placed:
        before = result[-1][0] if result else op
        product = before.kernel.removeprefix("lanes_dense_")
        if op.kernel.startswith("relu_") and product in ("forward", "backward_input") and op.arrays[1] is before.arrays[0]:
            arrays = (op.arrays[0], *before.arrays[1:], *op.arrays[3:])
            op = replace(before, kernel=f"lanes_dense_relu_{product}", arrays=arrays)
            result.pop()
        result.append((op, first, last))
    return result
