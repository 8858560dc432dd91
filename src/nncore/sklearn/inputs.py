"""Data on their way in, as far as scikit-learn's validation does not check them."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from sklearn.base import clone

from nncore._messages import shown
from nncore._utils.arrays import Array, check_masks
from nncore._utils.checks import as_numbers, frame_columns, is_frame, is_sparse
from nncore.data.sparse import check_structure

__all__ = [
    "as_parameters", "as_validation_data", "check_inputs", "check_readable", "make_transformer", "repeatable", "result_rows",
]  # fmt: skip


@contextlib.contextmanager
def as_validation_data() -> Iterator[None]:
    """Errors that begin with X or y, of any origin, name X_val or y_val instead."""
    try:
        yield
    except (TypeError, ValueError) as error:
        error.args = (re.sub(r"^(Input )?([Xy])\b", r"\1\2_val", str(error)),)
        raise


@contextlib.contextmanager
def as_parameters(**names: str) -> Iterator[None]:
    """Errors that begin with an argument of a part of the network name the estimator's parameter instead."""
    try:
        yield
    except (TypeError, ValueError) as error:
        argument, _, rest = str(error).partition(" ")
        if argument in names:
            error.args = (f"{names[argument]} {rest}",)
        raise


def make_transformer(argument: str, given: Any, name: str, make: Callable[[], Any]) -> Any:
    """The transformer that a user wants: ``make()`` by its name, a clone of one, or None."""
    if isinstance(given, str) and given == name:
        return make()
    known = hasattr(given, "fit") and hasattr(given, "transform") and not isinstance(given, type)
    if given is not None and not known:
        kind = ValueError if isinstance(given, str) else TypeError
        raise kind(f"{argument} must be {name!r}, a transformer or None, got {shown(given)}")
    return clone(given, safe=False)


def result_rows(argument: str, result: Any, n: int, columns: int = 0) -> Array:
    """What a user's transformer gives as numbers: (n, columns), or of any number of columns."""
    rows = as_numbers(result.toarray() if is_sparse(result) else result, f"the result of {argument}")
    if rows.ndim != 2 or rows.shape[0] != n or rows.shape[1] != (columns or max(1, rows.shape[1])):
        raise ValueError(f"the result of {argument} must have shape ({n}, {columns or 'columns'}), got {rows.shape}")
    return rows


def repeatable(argument: str, value: Any) -> Any:
    """A parameter that every fit reads anew: raise for an iterator, of which the first leaves nothing."""
    if isinstance(value, Iterator):
        raise TypeError(f"{argument} must be a list, which every fit can read, got a {type(value).__name__}: take list(...)")
    return value


def check_readable(values: Any, argument: str) -> None:
    """Raise for what scikit-learn's validation would read wrongly: masked cells, sparse matrices whose indices do not fit."""
    if is_sparse(values):
        if values.ndim == 2:
            check_structure(values, argument)
    elif isinstance(values, (np.ma.MaskedArray, list, tuple)):
        check_masks(values, argument)


def check_inputs(X: Any) -> None:
    """As `check_readable`; raises for dates and durations too, of which scikit-learn's validation makes numbers."""
    check_readable(X, "X")
    if is_sparse(X):
        return
    if is_frame(X) and all(map(_is_numeric, getattr(X, "dtypes", [None]))):
        return  # nothing but numbers
    for name, column in frame_columns(X) if is_frame(X) else [(None, X)]:
        array = np.asarray(column)
        dtype = getattr(column, "dtype", array.dtype)  # with a time zone NumPy has objects
        kinds = {array.dtype.kind, getattr(dtype, "kind", "")}
        if array.dtype == object:
            kinds |= {value.dtype.kind for value in array.flat if isinstance(value, (np.datetime64, np.timedelta64))}
        if kinds & {"m", "M"}:
            where = "" if name is None else f" in column {shown(name)}"
            raise TypeError(f"X must hold real numbers, got dates or durations of dtype {dtype}{where}")


def _is_numeric(dtype: Any) -> bool:
    """Whether a dtype of pandas or polars is one of numbers."""
    return getattr(dtype, "kind", "none") in "fiub" or bool(hasattr(dtype, "is_numeric") and dtype.is_numeric())
