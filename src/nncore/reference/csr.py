"""The dense layer on rows of a sparse matrix: x (rows, inputs), of which only some numbers are kept.

Row r of the batch has values_k in column columns_k for places_r0 ≤ k < places_rS, and 0 elsewhere; a column occurs at most once
per row, in ascending order. W and its gradient g are stored by input, (inputs, units), y and dy are (rows, units).

The columns are cut into S shards: shard s has the columns bounds_s ≤ j < bounds_{s+1}, and in row r of the batch the numbers
places_rs ≤ k < places_r,s+1. Threads share the gradient by shards; no result depends on where the cuts are.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._common import Array

__all__ = ["csr_backward_touched", "csr_backward_weight", "csr_begin", "csr_forward", "csr_locate", "csr_settle"]

Integers = NDArray[np.integer[Any]]


def csr_locate(columns: Integers, starts: Integers, bounds: Integers, index: Integers) -> Integers:
    """places_rs = starts_i + |{k: starts_i ≤ k < starts_{i+1}, columns_k < bounds_s}| with i = index_r.

    >>> columns, starts = np.array([1, 3, 0, 1, 2]), np.array([0, 2, 2, 5])
    >>> csr_locate(columns, starts, bounds=np.array([0, 2, 4]), index=np.array([2, 1, 0])).tolist()
    [[2, 4, 5], [2, 2, 2], [0, 1, 2]]
    """
    ranges = [(starts[i], starts[i + 1]) for i in index]
    places = [[first + (columns[first:last] < bound).sum() for bound in bounds] for first, last in ranges]
    return np.array(places, dtype=np.int64).reshape(len(index), len(bounds))


def csr_forward(values: Array, columns: Integers, places: Integers, W: Array, b: Array | None = None) -> Array:
    """y_ru = Σ_k values_k W_{columns_k, u} + b_u over the numbers k of row r: the y = x W + b of `dense_forward`.

    >>> W = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    >>> places = np.array([[0, 2], [2, 2]])
    >>> csr_forward(np.array([10.0, 1.0]), np.array([0, 2]), places, W, np.array([0.5, 0.0])).tolist()
    [[15.5, 26.0], [0.5, 0.0]]
    """
    y = np.zeros((len(places), W.shape[1]), W.dtype)
    for row, (first, *_, last) in zip(y, places, strict=True):
        row += values[first:last] @ W[columns[first:last]]
    return y if b is None else y + b


def csr_backward_weight(dy: Array, values: Array, columns: Integers, places: Integers, inputs: int) -> Array:
    """g_ju = Σ_r dy_ru x_rj, that is g = xᵀ dy, in all rows j of W.

    >>> dy, places = np.array([[1.0], [2.0]]), np.array([[0, 1], [1, 2]])
    >>> csr_backward_weight(dy, np.array([3.0, 4.0]), np.array([2, 0]), places, 3).tolist()
    [[8.0], [0.0], [3.0]]
    """
    g = np.zeros((inputs, dy.shape[1]), dy.dtype)
    for delta, (first, *_, last) in zip(dy, places, strict=True):
        g[columns[first:last]] += np.outer(values[first:last], delta)
    return g


def csr_begin(lists: list[list[int]], place: NDArray[np.int32], stale: NDArray[np.uint8]) -> None:
    """Before the first step: no row has a gradient, and any may hold numbers of something else."""
    place[:], stale[:] = -1, 1
    for touched in lists:
        touched.clear()


def csr_backward_touched(
    g: Array, lists: list[list[int]], place: NDArray[np.int32], stale: NDArray[np.uint8], dy: Array, values: Array,
    columns: Integers, places: Integers,
) -> None:  # fmt: skip
    """g_ju ← Σ_r dy_ru x_rj in the rows j of W for which the batch has numbers; the others keep what they hold.

    lists_s becomes the list of these rows in shard s, in the order in which they occur, and place_j where row j stands in it,
    or −1. stale_j is 1 for rows that hold the gradient of this step or of an earlier one.

    >>> g, lists, place, stale = np.full((3, 1), 9.0), [[]], np.full(3, -1, np.int32), np.zeros(3, np.uint8)
    >>> dy, places = np.array([[1.0], [2.0]]), np.array([[0, 1], [1, 2]])
    >>> csr_backward_touched(g, lists, place, stale, dy, np.array([3.0, 4.0]), np.array([2, 0]), places)
    >>> g.tolist(), lists, place.tolist(), stale.tolist()
    ([[8.0], [9.0], [3.0]], [[2, 0]], [1, -1, 0], [1, 0, 1])
    """
    place[:] = -1
    whole = csr_backward_weight(dy, values, columns, places, len(g))
    for s, touched in enumerate(lists):
        in_order = [int(j) for row in places for j in columns[row[s] : row[s + 1]]]
        touched[:] = dict.fromkeys(in_order)
        g[touched], place[touched], stale[touched] = whole[touched], range(len(touched)), 1


def csr_settle(g: Array, place: NDArray[np.int32], stale: NDArray[np.uint8]) -> None:
    """After the last step: the gradient is 0 where that step had no numbers.

    >>> g, place, stale = np.full((3, 1), 9.0), np.array([0, -1, -1], np.int32), np.array([1, 1, 0], np.uint8)
    >>> csr_settle(g, place, stale)
    >>> g.tolist(), stale.tolist()
    ([[9.0], [0.0], [9.0]], [1, 0, 0])
    """
    old = (stale != 0) & (place < 0)
    g[old], stale[old] = 0, 0
