"""Checks of user data: errors name the argument, the requirement and the value."""

from __future__ import annotations

import decimal
import itertools
import math
import numbers
import sys
from collections.abc import Hashable, Iterator
from types import NoneType
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from nncore import _kernels
from nncore._messages import shown
from nncore._utils.arrays import NOT_CONVERTED, Array, check_masks, for_kernels, not_converted, several
from nncore._utils.fields import count

__all__ = [
    "as_floats", "as_numbers", "as_rows", "check_column_names", "check_finite", "check_lengths", "check_row_count",
    "check_step", "chunks", "column_names", "column_numbers", "convert", "float_dtype", "frame_columns",
    "is_frame", "is_missing", "is_sparse", "names_of_columns", "not_finite", "real_dtype", "row_count", "shape_error",
]  # fmt: skip

MAX_DENSE = 20_000  # parameters: a matrix with a row and a column for each takes 3.2 GB
SINGLE_ROW = "; a single row is {}[np.newaxis]"
CHUNK = 1 << 20  # numbers processed together: a memory-mapped array is never held whole


def as_rows(X: Any, shape: tuple[int, ...], dtype: DTypeLike, argument: str = "X", *, empty: bool = False) -> Array:
    """X as a (n, width) array of the model's dtype whose rows are contiguous; a copy only if dtype or layout do not fit.

    ``empty``: n may be 0.
    """
    array = as_numbers(X, argument)
    if array.shape[1:] != shape and not (array.ndim == 1 and shape == (1,)):
        raise shape_error(argument, shape, array.shape, SINGLE_ROW.format(argument) if array.shape == shape else "")
    check_row_count(array, argument, empty=empty)
    rows = convert(array, dtype)
    if rows.ndim != 2:
        rows = rows.reshape(len(array), math.prod(shape))
    row_stride, stride = rows.strides
    if stride != rows.itemsize or row_stride % rows.itemsize or not rows.flags.aligned:
        rows = for_kernels(rows)
    if not _kernels.all_finite(rows):
        raise not_finite(argument, rows, array.reshape(rows.shape))
    return rows


def shape_error(argument: str, expected: tuple[int, ...], got: tuple[int, ...], hint: str = "") -> ValueError:
    """The error for examples of another shape."""
    return ValueError(f"{argument} must have shape (n, {', '.join(map(str, expected))}), got {got}{hint}")


def check_row_count(array: Any, argument: str, *, empty: bool) -> None:
    """Raise if there are no rows, unless ``empty``."""
    if array.shape[0] == 0 and not empty:
        raise ValueError(f"{argument} must have at least one row, got shape {array.shape}")


def is_sparse(values: Any) -> bool:
    """Whether it is a sparse matrix or array of SciPy, which is not imported: the caller has imported it."""
    if isinstance(values, np.ndarray):
        return False
    sparse = sys.modules.get("scipy.sparse")
    return sparse is not None and bool(sparse.issparse(values))


def column_names(values: Any) -> tuple[str, ...] | None:
    """The names of the columns of a data frame (pandas, polars, a table of pyarrow) if all are strings, as in scikit-learn."""
    if type(values) is np.ndarray or not is_frame(values):
        return None
    names = tuple(getattr(values, "column_names", values.columns))
    return names if names and all(isinstance(name, str) for name in names) else None


def check_column_names(values: Any, known: tuple[str, ...] | None, argument: str, during: str = "fit") -> None:
    """Raise if the columns of ``values`` have names that are not those known from ``during``, in the same order."""
    if known is None:
        return
    names = column_names(values)
    if names is None or names == known:
        return
    differences = {"unseen": [n for n in names if n not in set(known)], "missing": [n for n in known if n not in set(names)]}
    problems = [f"{kind}: {shown(list_)[1:-1]}" for kind, list_ in differences.items() if list_]
    pairs = enumerate(itertools.zip_longest(known, names))
    column, (expected, got) = next((column, pair) for column, pair in pairs if pair[0] != pair[1])
    kind = "target" if argument.startswith("y") else "feature"
    raise ValueError(
        f"The {kind} names of {argument} should match those that were passed during {during}, in the same order. "
        + ("; ".join(problems) or f"Expected {shown(expected)} as column {column}, got {shown(got)}")
    )


def names_of_columns(argument: str, names: Any, width: int = 0) -> tuple[str, ...] | None:
    """The names of ``width`` columns, or of any number, that a user or a file gives, or None."""
    if names is None:
        return None
    given = (names,) if isinstance(names, str) else tuple(names) if several(names) else ()
    if len(given) != (width or max(len(given), 1)) or not all(isinstance(name, str) for name in given):
        number = f"{width} " if width else ""
        raise ValueError(f"{argument} must be {number}strings, one for each column, or None, got {shown(names)}")
    return tuple(map(str, given))


def as_numbers(values: Any, argument: str) -> Array:
    """An array of real numbers from any container: all user data enters the package here.

    Arrays of real numbers are themselves, without a copy. Arrays of objects, series and data frames with columns of several
    dtypes are converted, missing values (None, pandas.NA) to NaN. Refused are text, complex numbers, sparse matrices, masked
    arrays with masked cells, and iterators.
    """
    if type(values) is np.ndarray and values.dtype.kind in "fiub":
        return values
    _check_container(values, argument)
    if is_frame(values):
        return _frame_numbers(values, argument)
    return _real(_array(values, argument), argument)


def as_floats(values: Any, argument: str) -> Array:
    """As `as_numbers`, in float64."""
    return convert(as_numbers(values, argument), np.float64)


def _check_container(values: Any, argument: str) -> None:
    """Raise for containers that NumPy would convert to something wrong."""
    if is_sparse(values):
        raise TypeError(f"{argument} must be dense here, got a sparse {type(values).__name__}: take {argument}.toarray()")
    if values is None:
        raise TypeError(f"{argument} must hold real numbers, got None")
    if isinstance(values, Iterator):
        raise TypeError(f"{argument} must be an array, got a {type(values).__name__}: take list({argument})")
    check_masks(values, argument)


def _array(values: Any, argument: str) -> Array:
    kind = getattr(values, "type", None)
    if hasattr(kind, "index_type") and hasattr(values, "cast"):  # a dictionary of pyarrow: NumPy may get a number for a null
        values = values.cast(kind.value_type)  # type: ignore[union-attr]
    try:
        return np.asarray(values)
    except ValueError:  # rows of different lengths
        raise ValueError(f"{argument} must be an array, whose rows all have one shape, got {shown(values)}") from None
    except NOT_CONVERTED as error:
        raise not_converted(argument, error) from error


def is_frame(values: Any) -> bool:
    shape = getattr(values, "shape", None)
    return hasattr(values, "columns") and isinstance(shape, tuple) and len(shape) == 2


def _frame_numbers(frame: Any, argument: str) -> Array:
    """Columns of one dtype as the frame itself converts them, which may need no copy; others one by one."""
    if len(set(getattr(frame, "dtypes", ()))) == 1:
        array = _array(frame, argument)
        if array.dtype.kind in "fiub" and array.ndim == 2 and array.shape[1] == frame.shape[1]:  # the rows may be lazy
            return array
    columns = frame_columns(frame)
    if not columns:
        return np.empty(frame.shape)
    return np.column_stack([column_numbers(column, argument, name) for name, column in columns])


def frame_columns(frame: Any) -> list[tuple[Any, Any]]:
    """The columns of a data frame with their names."""
    if hasattr(frame, "iloc"):
        return [(name, frame.iloc[:, place]) for place, name in enumerate(frame.columns)]
    columns = getattr(frame, "get_columns", lambda: frame.columns)()  # polars, pyarrow
    if columns and isinstance(columns[0], str):  # those of others are names
        return [(name, frame[name]) for name in columns]
    return list(zip(column_names(frame) or (), columns, strict=True))


def column_numbers(column: Any, argument: str, name: Any) -> Array:
    """A column's numbers (n,)."""
    array = _array(column, argument)
    parts = (list, tuple, np.ndarray)
    if array.ndim != 1 or array.dtype.names or any(isinstance(value, parts) for value in array[:1]):
        raise TypeError(
            f"{argument} must have a number in each cell, got several in column {shown(name)}: give them separate columns, "
            "or an array of more axes"
        )
    return _real(array, argument, f" in column {shown(name)}")


def _real(array: Array, argument: str, where: str = "") -> Array:
    """The array if it holds real numbers, or those that its objects are."""
    if array.dtype.kind in "fiub":
        return array
    text, got = array.dtype.kind in "SUT", f"dtype {array.dtype}"
    if array.dtype.kind == "O":
        types = set(map(type, array.flat))
        strange = next((kind for kind in types if not (_is_no_value(kind) or _is_number(kind))), None)
        if strange is None and any(_is_number(kind) for kind in types):
            return _from_objects(array, types, argument)
        if strange is not None:
            text = issubclass(strange, (str, bytes))
            place, value = next((place, value) for place, value in np.ndenumerate(array) if type(value) is strange)
            got += f" with a {strange.__name__}, {value!r:.40}{f' in row {place[0]}' if place else ''}"
        elif types:
            got += " with nothing but missing values"
    hint = _text_hint(array, argument) if text else ""
    if array.dtype.kind == "V" and array.dtype.type is not np.void:  # bfloat16 and others of ml_dtypes
        hint = "; .astype(np.float32) makes NumPy's numbers of them"
    raise TypeError(f"{argument} must hold real numbers, got {got}{where}{hint}")


def is_missing(value: Any) -> bool:
    """Whether an object stands for a value that is not there: None, pandas.NA, NaT, or NaN of any type."""
    return _is_no_value(type(value)) or (isinstance(value, Hashable) and bool(value != value))  # arrays are not hashable


def _is_no_value(kind: type) -> bool:
    return kind is NoneType or kind.__name__ == "NAType"


def _is_number(kind: type) -> bool:
    return issubclass(kind, (numbers.Real, np.bool_, decimal.Decimal))


def _from_objects(array: Array, types: set[type], argument: str) -> Array:
    """Objects that are numbers or missing values: integers stay integers, if they fit."""
    if all(issubclass(kind, (bool, np.bool_)) for kind in types):
        return array.astype(bool)
    if all(issubclass(kind, (numbers.Integral, np.bool_)) for kind in types):
        try:
            return array.astype(np.int64)
        except OverflowError:
            pass
    filled = [math.nan if _is_no_value(type(value)) else value for value in array.flat]
    try:
        return np.array(filled, dtype=np.float64).reshape(array.shape)
    except OverflowError:  # an integer that no float can hold
        raise ValueError(f"{argument} is too large for float64") from None
    except ValueError:  # a decimal.Decimal("sNaN"), which no conversion takes
        raise ValueError(f"{argument} must hold real numbers, got a signaling NaN") from None


def _text_hint(array: Array, argument: str) -> str:
    try:
        array.astype(np.float64)
    except (ValueError, TypeError):
        if argument.startswith("y"):
            return f"; np.unique({argument}, return_inverse=True) numbers labels that are text"
        return "; encode categories as numbers first, for instance one-hot"
    return "; .astype(float) converts text that holds numbers"


def convert(array: Array, dtype: DTypeLike) -> Array:
    """The array in another dtype, itself if it has it; too large numbers become infinite, without a warning."""
    if array.dtype == dtype:
        return array
    with np.errstate(over="ignore"):
        return np.asarray(array, dtype=dtype)


def check_finite(rows: Array, argument: str) -> None:
    """Raise if a number of the (n, width) array, of any dtype and layout, is NaN or infinite."""
    if not _kernels.all_finite(rows):
        raise not_finite(argument, rows, rows)


def chunks(rows: Array) -> Iterator[slice]:
    """Slices of rows (n, ...) that hold a limited number of numbers each."""
    step = max(1, CHUNK // math.prod(rows.shape[1:]))
    return (slice(start, start + step) for start in range(0, len(rows), step))


def not_finite(argument: str, rows: Array, given: Array) -> ValueError:
    """The error for rows (n, ...) that are not all finite; ``given``: the values before conversion."""
    for part in chunks(rows):
        bad = np.argwhere(~np.isfinite(rows[part]))
        if len(bad):
            position = (part.start + int(bad[0][0]), *bad[0][1:].tolist())
            where = ", ".join(f"{name} {number}" for name, number in zip(("row", "column"), position, strict=False))
            value = given[position]
            if np.isfinite(value):
                return ValueError(f"{argument} is too large for {rows.dtype}, got {value!s} in {where}")
            return ValueError(f"{argument} must be finite, got {value!s} in {where}")
    raise AssertionError("all are finite")


def real_dtype(name: str, dtype: DTypeLike) -> np.dtype[Any]:
    """The dtype float32 or float64; TypeError for others."""
    try:
        if dtype is None:  # NumPy interprets None as float64
            raise TypeError
        result = np.dtype(dtype)
    except (TypeError, ValueError, DeprecationWarning):  # which is an error where warnings are: of "a", bytes
        raise TypeError(f"{name} must be float32 or float64, got {shown(dtype)}") from None
    if result not in (np.float32, np.float64):
        raise TypeError(f"{name} must be float32 or float64, got {result}")
    return result


def float_dtype(dtype: DTypeLike) -> np.dtype[Any]:
    """The dtype of a network, checked."""
    try:
        return real_dtype("dtype", dtype)
    except TypeError as error:
        raise ValueError(str(error)) from None


def row_count(argument: str, values: Any) -> int:
    """The number of rows of an array, a sparse matrix, a data frame or a sequence."""
    shape = getattr(values, "shape", None)
    try:
        return int(shape[0]) if isinstance(shape, tuple) else len(values)
    except (TypeError, ValueError, IndexError, OverflowError):  # a length that there is not, or that cannot be
        raise TypeError(f"{argument} must be an array of rows, got {shown(values)}") from None


def check_lengths(X: Any, y: Any, argument_x: str = "X", argument_y: str = "y") -> None:
    """Raise unless both have the same number of examples."""
    if len(X) != len(y):
        raise ValueError(f"{argument_x} and {argument_y} must have the same length, got {len(X)} and {len(y)}")


def check_step(value: Any) -> int:
    """``value`` as the number of a training step, which is part of the address of a random number."""
    return count("step", value, 0, below=2**44)


def check_dense(what: str, n: int, itemsize: int, advice: str) -> None:
    """Raise if a matrix with a row and a column for each of n parameters would be too large."""
    if n > MAX_DENSE:
        raise ValueError(
            f"{what} must have at most {MAX_DENSE:,} parameters, got {n:,}, for which it would take "
            f"{itemsize * n * n / 1e9:,.0f} GB. {advice}"
        )
