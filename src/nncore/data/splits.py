"""Splitting off rows for validation."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncore._messages import shown
from nncore._utils.checks import as_numbers, row_count
from nncore._utils.fields import generator, number

__all__ = ["train_validation_split"]


def train_validation_split(
    X: Any, y: Any = None, fraction: float = 0.2, seed: int | np.random.Generator = 0, stratify: bool | str = "auto"
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Indices of training rows and of validation rows, drawn at random and without overlap: two arrays, in random order.

    Plain: round(fraction · n) rows, at least 1 and at most n − 1, are held out.

    Stratified: of a class with n_c rows, fraction · n_c are held out, rounded down or up; a class with two rows or
    more has at least one on each side. Classes with a single row are divided among the two sides as if they were one
    class. Which classes are rounded up is decided by the largest remainders, so that round(fraction · n) rows are held
    out in total, or the nearest number that leaves each class on both sides.

    Parameters
    ----------
    X : array-like or sparse matrix, shape (n, ...)
        Only its length is used, at least 2.
    y : array-like, shape (n,) or (n, k), optional
        Numbers without missing values, or text; ``stratify=True`` needs it.
    fraction : float, default 0.2
        Fraction of validation rows, 0 < fraction < 1.
    seed : int or numpy.random.Generator, default 0
    stratify : {"auto", True, False}, default "auto"
        "auto" is True for one-dimensional integer or boolean `y`. With True the classes are the distinct values of `y`,
        or its distinct rows (one-hot labels) if it has two dimensions.

    Examples
    --------
    >>> import numpy as np
    >>> y = np.repeat([0, 1], [90, 10])
    >>> train, validation = train_validation_split(np.zeros((100, 3)), y, fraction=0.2)
    >>> len(train), len(validation), np.bincount(y[validation])
    (80, 20, array([18,  2]))
    """
    fraction = number("fraction", fraction, above=0, below=1)
    if not isinstance(stratify, (bool, np.bool_)) and not (isinstance(stratify, str) and stratify == "auto"):
        labels_go = "" if isinstance(stratify, str) else "; labels to stratify by are given as y"
        raise ValueError(f"stratify must be 'auto', True or False, got {shown(stratify)}{labels_go}")
    rng = generator("seed", seed)
    n = row_count("X", X)
    if n < 2:
        raise ValueError(f"X must have at least 2 rows to be split, got {n}")
    labels = None if y is None else _labels(y)
    if labels is not None and (labels.ndim == 0 or len(labels) != n):
        raise ValueError(f"y must have as many rows as X, {n}, got shape {labels.shape}")
    if stratify == "auto":
        stratify = labels is not None and labels.ndim == 1 and labels.dtype.kind in "iub"

    order = rng.permutation(n)
    held_out = min(max(round(fraction * n), 1), n - 1)
    if stratify:
        if labels is None:
            raise ValueError("stratify=True needs y")
        validation = _stratified(labels[order], fraction, held_out)
    else:
        validation = np.arange(n) < held_out
    return order[~validation], order[validation]


def _labels(y: Any) -> NDArray[Any]:
    """The labels: numbers, or text."""
    try:
        text = None if isinstance(y, np.ma.MaskedArray) else np.asarray(y)
    except ValueError:  # rows of different lengths, of which as_numbers says so
        text = None
    if text is not None and text.ndim == 2 and text.shape[1] == 1 and text.dtype.kind in "OSUT":
        text = text[:, 0]
    if text is not None and (text.dtype.kind in "SUT" or (text.size and all(isinstance(v, str) for v in text.flat))):
        return np.array(text.tolist())  # astype(str) takes neither NumPy's StringDType nor bytes beyond ASCII
    labels = as_numbers(y, "y")
    if labels.dtype.kind == "f" and not np.isfinite(labels).all():
        raise ValueError("y must have no missing or infinite values")
    return labels


def _stratified(labels: NDArray[Any], fraction: float, held_out: int) -> NDArray[np.bool_]:
    """A mask of the rows to hold out: the first ones of each class."""
    _, code, count = np.unique(labels, axis=0 if labels.ndim > 1 else None, return_inverse=True, return_counts=True)
    code = code.reshape(-1)
    if (count == 1).any():  # classes of one row become one class, the last
        code = np.where(count[code] == 1, len(count), code)
        _, code, count = np.unique(code, return_inverse=True, return_counts=True)
        both_sides = np.arange(len(count)) < len(count) - 1
    else:
        both_sides = np.ones(len(count), dtype=bool)

    quota = np.round(fraction * count, 9)
    low = np.maximum(np.floor(quota), both_sides).astype(int)
    high = np.minimum(np.ceil(quota), count - both_sides).astype(int)
    by_remainder = np.argsort(low - quota, kind="stable")
    by_remainder = by_remainder[high[by_remainder] > low[by_remainder]]
    quantity = low.copy()
    quantity[by_remainder[: max(held_out - low.sum(), 0)]] += 1

    rows = np.argsort(code, kind="stable")
    rank = np.empty(len(rows), dtype=int)
    rank[rows] = np.arange(len(rows)) - np.repeat(np.cumsum(count) - count, count)
    return np.asarray(rank < quantity[code])
