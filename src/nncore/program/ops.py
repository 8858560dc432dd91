"""What a program is made of: ops, the signals between layers, and the memory of both."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from nncore._kernels.program import CACHE_LINE
from nncore._utils.arrays import aligned_zeros

__all__ = ["Arena", "Op", "Signal"]

Array = NDArray[Any]


class Arena:
    """Memory for one program, taken from one piece where the estimate is right, so that it may lie in large pages."""

    def __init__(self, estimate: int) -> None:
        self._free = aligned_zeros(estimate, np.uint8)

    def take(self, shape: int | tuple[int, ...], dtype: DTypeLike) -> Array:
        """Zeros that begin on a cache line."""
        size = (math.prod(shape) if isinstance(shape, tuple) else shape) * np.dtype(dtype).itemsize
        room = -(-size // CACHE_LINE) * CACHE_LINE
        if room > self._free.size:
            self._free = aligned_zeros(max(room, 1 << 16), np.uint8)
        taken, self._free = self._free[:size], self._free[room:]
        return taken.view(dtype).reshape(shape)


@dataclass
class Signal:
    """What flows between two layers: one row an example, and the gradient of the loss with respect to it."""

    name: str
    shape: tuple[int, ...]
    value: Array  # (capacity, width)
    grad: Array | None  # (capacity, width); None where nothing needs it
    tangent: Array | None = None  # R{value}, its derivative along a direction in θ; None where it does not depend on θ
    grad_tangent: Array | None = None  # R{grad}

    @property
    def width(self) -> int:
        return math.prod(self.shape)


@dataclass(eq=False)
class Op:
    """A kernel by name, and what it is bound to."""

    axis: str  # "rows", "tiles" or "whole"
    kernel: str  # "": none, a place in the list of gradients that has no op
    arrays: tuple[Any, ...]
    sizes: tuple[int, ...] = ()
    constants: tuple[float, ...] = ()
    cost: Sequence[float] = (1.0,)  # of each tile
    tiles: Sequence[tuple[int, int, int, int]] | NDArray[np.int64] = ()  # of θ: offset, rows, columns, row stride
    then: Op | None = None  # of a gradient: the op that makes of what this one leaves in a tile the gradient itself
    passes: bool = False  # a gradient: can it leave that of a tile to the tile's ops alone?
    completes_loss: bool = False
