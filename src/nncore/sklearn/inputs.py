"""Checks of data that scikit-learn's validation leaves out."""

from __future__ import annotations

from typing import Any

import numpy as np

from nncore._messages import shown
from nncore._utils.checks import frame_columns, is_frame

__all__ = ["refuse_dates"]

KINDS = ("f", "i", "u", "b")  # of dtypes of numbers


def refuse_dates(X: Any) -> None:
    """Raise for dates and durations, of which scikit-learn's validation makes numbers."""
    if all(getattr(dtype, "kind", "") in KINDS for dtype in getattr(X, "dtypes", [None])):
        return  # a data frame of pandas with nothing but numbers
    for name, column in frame_columns(X) if is_frame(X) else [(None, X)]:
        array = np.asarray(column)
        dtype = getattr(column, "dtype", array.dtype)  # with a time zone NumPy has objects
        kinds = {array.dtype.kind, getattr(dtype, "kind", "")}
        if array.dtype == object:
            kinds |= {value.dtype.kind for value in array.flat if isinstance(value, (np.datetime64, np.timedelta64))}
        if kinds & {"m", "M"}:
            where = "" if name is None else f" in column {shown(name)}"
            raise TypeError(f"X must hold real numbers, got dates or durations of dtype {dtype}{where}")
