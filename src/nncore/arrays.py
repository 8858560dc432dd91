"""Arrays laid out for the kernels."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

__all__ = ["aligned_zeros", "overwrite", "same_part"]


def aligned_zeros(shape: int | tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """Zeros that begin on a cache line (64 bytes)."""
    size = math.prod(shape) if isinstance(shape, tuple) else shape
    itemsize = np.dtype(dtype).itemsize
    buffer = np.zeros(size * itemsize + 64, dtype=np.uint8)
    start = -buffer.__array_interface__["data"][0] % 64
    return buffer[start : start + size * itemsize].view(dtype).reshape(shape)


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
