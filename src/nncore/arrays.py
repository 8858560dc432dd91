"""Arrays laid out for the kernels."""

from __future__ import annotations

import contextlib
import itertools
import math
import mmap
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

__all__ = ["aligned_zeros", "overwrite", "same_part"]

HUGE_PAGE = 1 << 21  # bytes

# Where in its first huge page the next large array begins. Arrays are read side by side: if all began at the same place, they
# would compete for the same sets of a cache.
_starts = itertools.cycle(range(64, 1 << 16, 85 * 64))


def aligned_zeros(shape: int | tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """Zeros that begin on a cache line (64 bytes); from half a huge page on they lie in huge pages, where there are any."""
    size = (math.prod(shape) if isinstance(shape, tuple) else shape) * np.dtype(dtype).itemsize
    if size >= HUGE_PAGE // 2 and hasattr(mmap, "MADV_HUGEPAGE"):
        first = next(_starts)
        room = (first + size + HUGE_PAGE - 1) // HUGE_PAGE * HUGE_PAGE + HUGE_PAGE
        region = mmap.mmap(-1, room, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)  # private: a forked child has its own
        with contextlib.suppress(OSError):  # of a kernel that has none
            region.madvise(mmap.MADV_HUGEPAGE)
        buffer, unit = np.frombuffer(region, dtype=np.uint8), HUGE_PAGE
    else:
        first, unit = 0, 64
        buffer = np.zeros(size + unit, dtype=np.uint8)
    start = -buffer.__array_interface__["data"][0] % unit + first
    return buffer[start : start + size].view(dtype).reshape(shape)


def same_part(view: NDArray[Any], source: NDArray[Any], target: NDArray[Any]) -> NDArray[Any]:
    """The part of ``target`` (n,) that a contiguous view into ``source`` (n,) is of it; in the view's shape."""
    offset = (view.__array_interface__["data"][0] - source.__array_interface__["data"][0]) // source.itemsize
    return target[offset : offset + view.size].reshape(view.shape)


def overwrite(name: str, array: NDArray[Any], value: Any) -> None:
    """What it means to assign to an array that others hold views of: its numbers change, the array stays."""
    if value is array:  # as after array *= 2
        return
    given = np.asarray(value)
    if given.shape != array.shape:
        raise ValueError(f"{name} must have shape {array.shape}, got {given.shape}")
    array[...] = given
