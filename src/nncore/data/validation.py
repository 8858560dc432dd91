"""Checks on what a user hands in: they name the argument, what was expected and what came."""

from __future__ import annotations

import math
import sys
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from nncore import _kernels

__all__ = [
    "NUMBER", "as_numbers", "as_rows", "check_at_least_zero", "check_finite", "check_lengths",
    "check_positive_integer", "check_rate", "check_row_count", "check_step", "convert", "is_sparse", "shape_error",
]  # fmt: skip

Array = NDArray[Any]
NUMBER = (int, float, np.integer, np.floating)  # and bool, which is an int
CHUNK = 1 << 20  # numbers looked at together: a memory-mapped array is never held whole


def as_rows(X: Any, shape: tuple[int, ...], dtype: DTypeLike, argument: str = "X", *, empty: bool = False) -> Array:
    """X as a (n, width) array of the model's dtype whose rows are contiguous; a copy only if dtype or layout do not fit.

    ``empty``: n may be 0.
    """
    array = as_numbers(X, argument)
    if array.shape[1:] != shape and not (array.ndim == 1 and shape == (1,)):
        raise shape_error(argument, shape, array.shape)
    check_row_count(array, argument, empty=empty)
    rows = convert(array, dtype)
    if rows.ndim != 2:
        rows = rows.reshape(len(array), math.prod(shape))
    between, within = rows.strides
    if within != rows.itemsize or between % rows.itemsize:
        rows = np.ascontiguousarray(rows)
    check_finite(rows, argument)
    return rows


def shape_error(argument: str, expected: tuple[int, ...], got: tuple[int, ...], hint: str = "") -> ValueError:
    """What to raise for examples of another shape."""
    return ValueError(f"{argument} must have shape (n, {', '.join(map(str, expected))}), got {got}{hint}")


def check_row_count(array: Any, argument: str, *, empty: bool) -> None:
    """Raise if there are no rows, unless there may be none."""
    if array.shape[0] == 0 and not empty:
        raise ValueError(f"{argument} must have at least one row, got shape {array.shape}")


def is_sparse(values: Any) -> bool:
    """Is it a sparse matrix or array of SciPy? Without importing it: who has one has imported it."""
    if isinstance(values, np.ndarray):
        return False
    sparse = sys.modules.get("scipy.sparse")
    return sparse is not None and bool(sparse.issparse(values))


def as_numbers(values: Any, argument: str) -> Array:
    """An array of real numbers."""
    try:
        array = np.asarray(values)
    except ValueError as error:  # rows of different lengths
        raise ValueError(f"{argument} must be an array: {error}") from None
    if array.dtype.kind not in "fiub":
        if is_sparse(values):
            raise TypeError(f"{argument} must be dense here, got a sparse {type(values).__name__}: take {argument}.toarray()")
        text = array.dtype.kind in "SUT" or any(isinstance(value, str) for value in array.flat[:1])
        hint = f"; np.unique({argument}, return_inverse=True) numbers labels that are text" if text else ""
        raise TypeError(f"{argument} must hold real numbers, got dtype {array.dtype}{hint}")
    return array


def convert(array: Array, dtype: DTypeLike) -> Array:
    """The array in another dtype, itself if it has it; what is too large for it becomes infinite, without a warning."""
    if array.dtype == dtype:
        return array
    with np.errstate(over="ignore"):
        return np.asarray(array, dtype=dtype)


def check_finite(rows: Array, argument: str) -> None:
    """Raise if a number of the (n, width) array, float32 or float64 with contiguous rows, is NaN or infinite."""
    if _kernels.all_finite(rows):
        return
    step = max(1, CHUNK // rows.shape[1])
    for start in range(0, len(rows), step):
        chunk = rows[start : start + step]
        if not np.isfinite(chunk).all():
            row, column = np.argwhere(~np.isfinite(chunk))[0]
            raise ValueError(f"{argument} must be finite, got {chunk[row, column]} in row {start + row}, column {column}")


def check_lengths(X: Any, y: Any, argument_x: str = "X", argument_y: str = "y") -> None:
    """Raise unless both have the same number of examples."""
    if len(X) != len(y):
        raise ValueError(f"{argument_x} and {argument_y} must have the same length, got {len(X)} and {len(y)}")


def check_positive_integer(value: Any, argument: str) -> int:
    """``value`` as an int of at least 1."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise ValueError(f"{argument} must be a positive integer, got {value!r}")
    return int(value)


def check_rate(value: Any, argument: str = "rate") -> float:
    """``value`` as a probability of dropping something: at least 0, below 1."""
    if isinstance(value, bool) or not isinstance(value, NUMBER) or not 0 <= value < 1:
        raise ValueError(f"{argument} must be a number of at least 0 and below 1, got {value!r}")
    return float(value)


def check_at_least_zero(value: Any, argument: str) -> float:
    """``value`` as a finite float of at least 0."""
    good = isinstance(value, NUMBER) and not isinstance(value, bool)
    if not good or not 0 <= value < math.inf:
        raise ValueError(f"{argument} must be a finite number of at least 0, got {value!r}")
    return float(value)


def check_step(value: Any) -> int:
    """``value`` as the number of a training step: what the address of a random number has room for."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or not 0 <= value < 2**44:
        raise ValueError(f"step must be an integer from 0 to 2**44 - 1, got {value!r}")
    return int(value)
