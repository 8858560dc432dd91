"""Gathering the rows of a batch from the data, and writing its outputs back.

index is an integer array (rows,), a part of a shuffled epoch: row r of the batch is row index_r of the data.
"""

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ._common import Array

__all__ = ["gather_csr", "gather_labels", "gather_one_hot", "gather_rows", "gather_weights", "spread_rows", "write_rows"]

Integers = NDArray[np.integer[Any]]


def gather_rows(data: Array, index: Integers) -> Array:
    """out_rj = data_{index_r, j}.

    >>> gather_rows(np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([1, 1, 0])).tolist()
    [[3.0, 4.0], [3.0, 4.0], [1.0, 2.0]]
    """
    return np.take(data, index, axis=0)


def gather_csr(values: Array, columns: Integers, starts: Integers, index: Integers, width: int) -> Array:
    """out_rj = values_k where columns_k = j, starts_i ≤ k < starts_{i+1} with i = index_r; 0 where there is none.

    Rows of a sparse matrix made dense. A column occurs at most once per row.

    >>> gather_csr(np.array([5.0, 6.0, 7.0]), np.array([1, 0, 2]), np.array([0, 1, 1, 3]), np.array([2, 1, 0]), 3).tolist()
    [[6.0, 0.0, 7.0], [0.0, 0.0, 0.0], [0.0, 5.0, 0.0]]
    """
    out = np.zeros((len(index), width), dtype=values.dtype)
    for row, i in zip(out, index, strict=True):
        part = slice(starts[i], starts[i + 1])
        row[columns[part]] = values[part]
    return out


def gather_labels(labels: Integers, index: Integers) -> Integers:
    """out_r = labels_{index_r}."""
    return np.take(labels, index)


def gather_one_hot(
    labels: Integers, index: Integers, width: int, off: float = 0.0, on: float = 1.0, dtype: DTypeLike = np.float64
) -> Array:
    """out_rj = on where j = labels_{index_r}, else off; width is the number of classes.

    >>> gather_one_hot(np.array([0, 2]), np.array([1, 0]), 3, off=-1.0).tolist()
    [[-1.0, -1.0, 1.0], [1.0, -1.0, -1.0]]
    """
    return np.where(np.take(labels, index)[:, None] == np.arange(width), on, off).astype(dtype)


def gather_weights(weights: NDArray[np.float64], index: Integers) -> NDArray[np.float64]:
    """out_r = weights_{index_r}, the weights of the examples in the loss."""
    return np.take(weights, index)


def write_rows(out: Array, y: Array, position: int) -> None:
    """out_{position + r, j} ← y_rj: the outputs of a batch into those of all examples.

    >>> out = np.zeros((3, 1))
    >>> write_rows(out, np.array([[1.0], [2.0]]), 1)
    >>> out.tolist()
    [[0.0], [1.0], [2.0]]
    """
    out[position : position + len(y)] = y


def spread_rows(rows: Array, gap: int) -> Array:
    """out_{r, j} = rows_{rj} for j < width: the same rows, with ``gap`` zeros after each.

    >>> spread_rows(np.array([[1.0, 2.0], [3.0, 4.0]]), 1).tolist()
    [[1.0, 2.0, 0.0], [3.0, 4.0, 0.0]]
    """
    return np.pad(rows, ((0, 0), (0, gap)))
