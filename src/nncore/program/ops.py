"""The parts of a program: ops, the passes that they form, the signals between layers, and the memory of both."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from nncore import _kernels
from nncore._kernels.program import CACHE_LINE
from nncore._utils.arrays import Array, aligned_zeros

__all__ = ["CSR", "Arena", "Op", "Pass", "Signal", "SparseWeights"]


# The arrays of rows of a sparse matrix.
CSR: tuple[Callable[[Any], Array], ...] = (attrgetter("values"), attrgetter("columns"), attrgetter("starts"))


class Arena:
    """Memory for one program, in one block where the estimate is right, so that it may lie in large pages."""

    def __init__(self, estimate: int) -> None:
        self._free = aligned_zeros(estimate, np.uint8)

    def take(self, shape: int | tuple[int, ...], dtype: DTypeLike) -> Array:
        """Zeros aligned to a cache line."""
        size = (math.prod(shape) if isinstance(shape, tuple) else shape) * np.dtype(dtype).itemsize
        room = -(-size // CACHE_LINE) * CACHE_LINE
        if room > self._free.size:
            self._free = aligned_zeros(max(room, 1 << 16), np.uint8)
        taken, self._free = self._free[:size], self._free[room:]
        return taken.view(dtype).reshape(shape)


@dataclass
class Signal:
    """The activation between two layers, one row per example, and the gradient of the loss with respect to it."""

    name: str
    shape: tuple[int, ...]
    value: Array  # (capacity, width)
    grad: Array | None  # (capacity, width); None where nothing needs it
    tangent: Array | None = None  # R{value}, its derivative along a direction in θ; None where it does not depend on θ
    grad_tangent: Array | None = None  # R{grad}
    mask: Array | None = None  # (capacity, steps) of sequences: 0 where recurrent layers skip the step; None: they skip none

    @property
    def width(self) -> int:
        return math.prod(self.shape)


@dataclass(eq=False)
class Op:
    """A kernel by name, and its operands."""

    axis: str  # "rows", "tiles", "serial", or "units": tiles of its own, between barriers
    kernel: str  # "": none, an entry of the list of gradients that has no op
    arrays: tuple[Any, ...]
    sizes: tuple[int, ...] = ()
    constants: tuple[float, ...] = ()
    cost: Sequence[float] = (1.0,)  # of each tile
    tiles: Sequence[tuple[int, int, int, int]] | NDArray[np.int64] = ()  # of θ: offset, rows, columns, row stride
    then: Op | None = None  # over the same tiles: the op that goes on with what this one has written of a tile
    repack: Op | None = None  # of a gradient: the op that updates values derived from the parameter, after its update
    tile_local: bool = False  # whether the gradient of a tile need not be stored, as only ops of the same tile read it
    of_parts: bool = False  # whether it runs for each part of a batch in parts, as ops over rows do
    data: tuple[tuple[int, Callable[[Any], Array]], ...] = ()  # arrays that a run binds: their slots, as functions of its data
    adds_penalty: bool = False  # whether it adds the gradient of an activity penalty, whose strength is its constant
    completes_loss: bool = False
    tracks: bool = False  # whether it updates running statistics with those of a batch
    layer: str = ""  # the name of the layer that recorded it


class SparseWeights(NamedTuple):
    """The weights of sparse data, stored by input, and what ops on them need."""

    weight: Array  # (inputs, units)
    offset: int  # into θ
    places: Array  # (capacity, shards + 1): where the numbers of each row lie, shard by shard
    bounds: Callable[[Any], Array]  # (shards + 1,): the columns of each shard, as a function of the data

    @property
    def shards(self) -> int:
        return self.places.shape[1] - 1


class Pass:
    """The ops of one pass over a model, recorded layer by layer; iteration gives them in the order in which they run.

    ``reverse``: the last layer's ops run first. ``empty``: the tape has no such pass, and recorded ops are dropped.
    """

    def __init__(self, *, reverse: bool = False, empty: bool = False) -> None:
        self._reverse, self._empty = reverse, empty
        self._layers: list[tuple[str, list[Op]]] = [("", [])]

    def __iter__(self) -> Iterator[Op]:
        layers = reversed(self._layers) if self._reverse else self._layers
        return (op for _, ops in layers for op in ops)

    def begin_layer(self, name: str) -> None:
        """Start a layer: the ops recorded from here on belong to it."""
        self._layers.append((name, []))

    def add(self, op: Op) -> None:
        """Record an op."""
        if not self._empty:
            name, ops = self._layers[-1]
            for part in (op, op.then):
                if part:
                    part.layer = name
            ops.append(op)

    def rows(self, kernel: str, *arrays: Any, sizes: tuple[int, ...], constants: tuple[float, ...] = ()) -> None:
        """Record an op over the rows of the batch."""
        self.add(Op("rows", kernel, arrays, sizes, constants))

    def tiles(
        self, kernel: str, *arrays: Any, work_items: int = 1, sizes: tuple[int, ...], constants: tuple[float, ...] = ()
    ) -> None:
        """Record an op over tiles, that is over all rows: a separate stage."""
        self.add(Op("tiles", kernel, arrays, sizes, constants, cost=[1.0] * work_items))

    def python(self, function: Callable[[int], None]) -> None:
        """Record a function, called with the number of rows."""
        self.add(Op("serial", "python", (_kernels.PythonOp(function),)))
