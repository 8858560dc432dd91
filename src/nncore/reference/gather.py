"""The rows of the data that make up a batch, and where its outputs go.

index is an integer array (rows,): row r of the batch is row index_r of the data. It is what a shuffled epoch is cut
into.
"""

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

Array = NDArray[np.floating[Any]]
Integers = NDArray[np.integer[Any]]


def gather_rows(data: Array, index: Integers) -> Array:
    """out_rj = data_{index_r, j}.

    Parameters
    ----------
    data : array (examples, width)
    index : integer array (rows,)

    Returns
    -------
    array (rows, width)

    Examples
    --------
    >>> gather_rows(np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([1, 1, 0])).tolist()
    [[3.0, 4.0], [3.0, 4.0], [1.0, 2.0]]
    """
    return np.take(data, index, axis=0)


def gather_csr(values: Array, columns: Integers, starts: Integers, index: Integers, width: int) -> Array:
    """out_rj = values_k where columns_k = j, starts_i ≤ k < starts_{i+1} with i = index_r; 0 where there is none.

    Rows of a sparse matrix, written out.

    Parameters
    ----------
    values : array (numbers,)
    columns : integer array (numbers,)
        Each at most once a row.
    starts : integer array (examples + 1,)
    index : integer array (rows,)
    width : int

    Returns
    -------
    array (rows, width)

    Examples
    --------
    >>> gather_csr(np.array([5.0, 6.0, 7.0]), np.array([1, 0, 2]), np.array([0, 1, 1, 3]), np.array([2, 1, 0]), 3).tolist()
    [[6.0, 0.0, 7.0], [0.0, 0.0, 0.0], [0.0, 5.0, 0.0]]
    """
    out = np.zeros((len(index), width), dtype=values.dtype)
    for row, i in zip(out, index, strict=True):
        part = slice(starts[i], starts[i + 1])
        row[columns[part]] = values[part]
    return out


def gather_labels(labels: Integers, index: Integers) -> Integers:
    """out_r = labels_{index_r}.

    Parameters
    ----------
    labels : integer array (examples,)
    index : integer array (rows,)

    Returns
    -------
    integer array (rows,)

    Examples
    --------
    >>> gather_labels(np.array([7, 8, 9]), np.array([2, 0])).tolist()
    [9, 7]
    """
    return np.take(labels, index)


def gather_one_hot(
    labels: Integers, index: Integers, width: int, off: float = 0.0, on: float = 1.0, dtype: DTypeLike = np.float64
) -> Array:
    """out_rj = on where j = labels_{index_r}, else off.

    Parameters
    ----------
    labels : integer array (examples,)
    index : integer array (rows,)
    width : int
        Number of classes.
    off, on : float
        0 and 1; −1 and 1 for the hinge loss; others smooth the labels.
    dtype : dtype

    Returns
    -------
    array (rows, width)

    Examples
    --------
    >>> gather_one_hot(np.array([0, 2]), np.array([1, 0]), 3, off=-1.0).tolist()
    [[-1.0, -1.0, 1.0], [1.0, -1.0, -1.0]]
    """
    return np.where(np.take(labels, index)[:, None] == np.arange(width), on, off).astype(dtype)


def gather_weights(weights: NDArray[np.float64], index: Integers) -> NDArray[np.float64]:
    """out_r = weights_{index_r}, the weights of the examples in the loss.

    Parameters
    ----------
    weights : float64 array (examples,)
    index : integer array (rows,)

    Returns
    -------
    float64 array (rows,)

    Examples
    --------
    >>> gather_weights(np.array([0.5, 2.0]), np.array([1, 0])).tolist()
    [2.0, 0.5]
    """
    return np.take(weights, index)


def write_rows(out: Array, y: Array, position: int) -> None:
    """out_{position + r, j} ← y_rj: the outputs of a batch among those of all examples.

    Parameters
    ----------
    out : array (examples, width)
        Changed in place.
    y : array (rows, width)
    position : int

    Examples
    --------
    >>> out = np.zeros((3, 1))
    >>> write_rows(out, np.array([[1.0], [2.0]]), 1)
    >>> out.tolist()
    [[0.0], [1.0], [2.0]]
    """
    out[position : position + len(y)] = y


def spread_rows(rows: Array, gap: int) -> Array:
    """out_{r, j} = rows_{rj} for j < width: the same rows, with ``gap`` zeros after each.

    Parameters
    ----------
    rows : array (rows, width)
    gap : int

    Returns
    -------
    array (rows, width + gap)

    Examples
    --------
    >>> spread_rows(np.array([[1.0, 2.0], [3.0, 4.0]]), 1).tolist()
    [[1.0, 2.0, 0.0], [3.0, 4.0, 0.0]]
    """
    return np.pad(rows, ((0, 0), (0, gap)))
