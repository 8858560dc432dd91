"""The values of parameters: of any type, put in order and told apart for tables and plots."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable
from typing import Any

import numpy as np

from nncore._messages import clipped

__all__ = ["is_missing", "is_number", "kinds", "label", "sort_key"]


def is_number(value: Any) -> bool:
    """Whether it has a place on an axis: a finite real number."""
    real = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    return real and math.isfinite(value)


def is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, (float, np.floating)) and math.isnan(value))


def sort_key(value: Any) -> tuple[Any, ...]:
    """For sorting and comparing: numbers by size, then texts, then others, then what is missing.

    >>> sorted([None, "b", 2, (1, 2), 0.5, "a"], key=sort_key)
    [0.5, 2, 'a', 'b', (1, 2), None]
    """
    if is_missing(value):
        return (3,)
    if isinstance(value, (bool, int, float, np.bool_, np.integer, np.floating)):
        return 0, value, isinstance(value, (bool, np.bool_))  # True is not 1
    if isinstance(value, str):
        return 1, value
    with np.printoptions(threshold=sys.maxsize, floatmode="unique"):
        return 2, type(value).__name__, repr(value)


def kinds(values: Iterable[Any]) -> list[Any]:
    """The different ones, in order."""
    found = {sort_key(value): value for value in values}
    return [found[one] for one in sorted(found)]


def label(value: Any, length: int) -> str:
    """For an axis or a cell."""
    if is_missing(value):
        return "-"
    if isinstance(value, (float, np.floating)):
        return f"{value:.4g}"
    text = getattr(value, "__name__", None) if callable(value) else None
    return clipped(text if isinstance(text, str) else value, length)
