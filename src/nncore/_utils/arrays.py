"""Arrays laid out for the kernels."""

from __future__ import annotations

import contextlib
import itertools
import math
import mmap
from collections.abc import Iterable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import DTypeLike, NDArray

from nncore._kernels.program import CACHE_LINE
from nncore._messages import clipped, shown

__all__ = [
    "NOT_CONVERTED", "Array", "OwnsArrays", "aligned_zeros", "check_masks", "for_kernels", "not_converted", "overwrite",
    "own_arrays", "passed", "read_only", "returned", "returned_pair", "same_part", "several",
]  # fmt: skip

Array: TypeAlias = NDArray[Any]

HUGE_PAGE = 1 << 21  # bytes

# Offset of the next large array in its first huge page. Arrays are read in parallel: if all had the same offset, they
# would compete for the same sets of a cache.
_starts = itertools.cycle(range(CACHE_LINE, 1 << 16, 85 * CACHE_LINE))


def aligned_zeros(shape: int | tuple[int, ...], dtype: DTypeLike) -> Array:
    """Zeros aligned to a cache line; from half a huge page on in huge pages, if available."""
    size = (math.prod(shape) if isinstance(shape, tuple) else shape) * np.dtype(dtype).itemsize
    try:
        memory = _zeros(size)
    except (MemoryError, OSError, OverflowError, ValueError):  # mmap and NumPy refuse in different ways
        raise MemoryError(f"cannot allocate {size:,} bytes ({size / 2**30:,.1f} GiB) for an array of shape {shape}") from None
    return memory.view(dtype).reshape(shape)


def _zeros(size: int) -> NDArray[np.uint8]:
    """An array of ``size`` bytes."""
    if size >= HUGE_PAGE // 2 and hasattr(mmap, "MADV_HUGEPAGE"):
        first = next(_starts)
        room = (first + size + HUGE_PAGE - 1) // HUGE_PAGE * HUGE_PAGE + HUGE_PAGE
        region = mmap.mmap(-1, room, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)  # private: a forked child has its own
        with contextlib.suppress(OSError):  # of a kernel that has none
            region.madvise(mmap.MADV_HUGEPAGE)
        buffer, unit = np.frombuffer(region, dtype=np.uint8), HUGE_PAGE
    else:
        first, unit = 0, CACHE_LINE
        buffer = np.zeros(size + unit, dtype=np.uint8)
    start = -buffer.__array_interface__["data"][0] % unit + first
    return buffer[start : start + size]


def for_kernels(array: Array, dtype: DTypeLike | None = None) -> Array:
    """The array as kernels take it, C-contiguous and aligned; a copy only if it is not, or has another dtype."""
    flags = array.flags
    if flags.c_contiguous and flags.aligned and (dtype is None or array.dtype == dtype):
        return array
    return np.require(array, dtype, ["C", "A"])


def own_arrays(value: Any) -> Any:
    """The unpickled value, with arrays that it shares with no other object.

    An array that comes out of a pickle may be memory-mapped, lie in a buffer that others use too, be read-only or unaligned. A
    dict keeps its identity: its arrays are exchanged in place.
    """
    if isinstance(value, np.ndarray):
        if value.dtype not in (np.float32, np.float64):
            return np.array(value)
        copy = aligned_zeros(value.shape, value.dtype)
        copy[...] = value
        return copy
    if isinstance(value, dict):
        dict.update(value, {key: own_arrays(part) for key, part in value.items()})
    elif type(value) in (list, tuple):
        return type(value)(own_arrays(part) for part in value)
    return value


class OwnsArrays:
    """Base of classes whose objects hold arrays that are written to: an unpickled object shares no memory."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(own_arrays(state))

    def __copy__(self) -> Any:
        """A shallow copy shares the arrays: it is not made from `__setstate__`."""
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        return other


def read_only(view: Array) -> Array:
    """A read-only view, for arrays of the library that are passed to a user's function."""
    view = view.view()
    view.flags.writeable = False
    return view


def several(value: Any) -> bool:
    """Whether it is a number of things: an iterable, but no text, and no array without axes, which cannot be iterated over."""
    shape = getattr(value, "shape", None)
    no_axes = isinstance(shape, tuple) and not shape
    return isinstance(value, Iterable) and not isinstance(value, (str, bytes, bytearray)) and not no_axes


def check_masks(values: Any, argument: str) -> None:
    """Raise for a masked array, or a list of such, with masked cells: as an array it has numbers in them."""
    several = isinstance(values, (list, tuple))
    masks = [np.ma.getmaskarray(part) for part in (values if several else [values]) if isinstance(part, np.ma.MaskedArray)]
    if masked := sum(int(mask.sum()) for mask in masks):
        where = "" if several or not values.ndim else f", the first in row {np.argwhere(masks[0])[0][0]}"
        raise ValueError(f"{argument} must have no masked cells, got {masked}{where}: fill them, or leave their rows out")


NOT_CONVERTED = (TypeError, RuntimeError, AttributeError)  # what other libraries raise, as PyTorch for a tensor with gradients


def not_converted(argument: str, error: Exception) -> TypeError:
    """The error for an object that refuses to become an array."""
    return TypeError(f"{argument} must be an array of numbers, or convertible to one: {clipped(error)}")


def returned(what: str, value: Any, shape: tuple[int, ...]) -> Array:
    """As `passed`, to be kept: a copy, as the function may return the same array each time, with other numbers in it."""
    return np.array(passed(what, value, shape))


def passed(what: str, value: Any, shape: tuple[int, ...]) -> Array:
    """The result of a user's function as an array of real numbers of this shape, in which -1 stands for any number."""
    size = str(shape).replace("-1", "k")
    wanted = f"{what} must return {f'an array of real numbers of shape {size}' if shape else 'a real number'}"
    check_masks(value, f"what {what} returns")
    try:
        array = np.asarray(value)
    except ValueError as error:  # rows of different lengths
        raise ValueError(f"{wanted}: {error}") from None
    except NOT_CONVERTED as error:
        raise TypeError(f"{wanted}: {clipped(error)}") from error
    if array.dtype.kind not in "fiub":
        got = "None" if value is None else f"{type(value).__name__} of dtype {array.dtype}"
        raise TypeError(f"{wanted}, got {got}")
    if array.ndim != len(shape) or any(n not in (-1, own) for n, own in zip(shape, array.shape, strict=True)):
        raise ValueError(f"{wanted}, got shape {array.shape}")
    return array


def returned_pair(what: str, value: Any) -> tuple[Any, Any]:
    """The result of a user's function that must be a tuple of two."""
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        raise TypeError(f"{what}, got {type(value).__name__}")
    return value[0], value[1]


def same_part(view: Array, source: Array, target: Array) -> Array:
    """The part of ``target`` (n,) that a view into ``source`` (n,) is of it; both are contiguous, by rows or by columns."""
    if view.flags.f_contiguous and not view.flags.c_contiguous:
        return same_part(view.T, source, target).T
    offset = (view.__array_interface__["data"][0] - source.__array_interface__["data"][0]) // source.itemsize
    return target[offset : offset + view.size].reshape(view.shape)


def overwrite(name: str, array: Array, value: Any) -> None:
    """Assign to an array that others hold views of: its numbers change, the array stays."""
    if value is array:  # as after array *= 2
        return
    check_masks(value, name)
    try:
        given = np.asarray(value)
    except ValueError as error:  # rows of different lengths, more axes than NumPy has
        raise ValueError(f"{name} must be an array of shape {array.shape}, got {shown(value)}") from error
    except NOT_CONVERTED as error:
        raise not_converted(name, error) from error
    if given.dtype.kind not in "fiubO":
        raise TypeError(f"{name} must be an array of real numbers, got {shown(value)}")
    if given.shape != array.shape:
        raise ValueError(f"{name} must have shape {array.shape}, got {given.shape}")
    array[...] = given
