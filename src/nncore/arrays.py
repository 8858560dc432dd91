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
    try:
        buffer, first, unit = _zeros(size)
    except (MemoryError, OSError, OverflowError, ValueError):  # mmap and NumPy have a word each for it
        raise MemoryError(f"cannot allocate {_size(size)} for an array of shape {shape} and {np.dtype(dtype)}") from None
    start = -buffer.__array_interface__["data"][0] % unit + first
    return buffer[start : start + size].view(dtype).reshape(shape)


def _zeros(size: int) -> tuple[NDArray[np.uint8], int, int]:
    """Zeros with room for so many bytes, and how these have to be aligned: the offset and the unit it is counted from."""
    if size >= HUGE_PAGE // 2 and hasattr(mmap, "MADV_HUGEPAGE"):
        first = next(_starts)
        room = (first + size + HUGE_PAGE - 1) // HUGE_PAGE * HUGE_PAGE + HUGE_PAGE
        region = mmap.mmap(-1, room, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)  # private: a forked child has its own
        with contextlib.suppress(OSError):  # of a kernel that has none
            region.madvise(mmap.MADV_HUGEPAGE)
        return np.frombuffer(region, dtype=np.uint8), first, HUGE_PAGE
    return np.zeros(size + 64, dtype=np.uint8), 0, 64


def _size(size: int) -> str:
    """Bytes in the largest unit of which there is one at least."""
    power = min(max(size.bit_length() - 1, 0) // 10, 6)
    return f"{size / 1024**power:.3g} {('bytes', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB')[power]}"


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
