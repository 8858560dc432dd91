"""Sparse inputs: rows of a compressed matrix, which a program expands batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from nncore import _kernels
from nncore._utils.arrays import Array, for_kernels
from nncore._utils.checks import as_numbers, check_row_count, convert, shape_error

__all__ = ["SHARDS", "Rows", "SparseRows", "as_sparse_rows", "canonical", "check_structure", "csr_arrays"]

Int = NDArray[np.integer[Any]]

SHARDS = 8  # ranges of columns that threads share
SAMPLED = 4096  # numbers whose columns decide them


@dataclass(frozen=True)
class SparseRows:
    """Rows (n, width) of which only some numbers are kept: row i has ``values[k]`` in column ``columns[k]``, for k from
    ``starts[i]`` to ``starts[i + 1]``, and 0 elsewhere. SciPy's CSR, each column at most once a row.
    """

    values: Array
    columns: Int
    starts: Int
    width: int

    @classmethod
    def of(cls, rows: Array) -> SparseRows:
        """Dense rows (n, width), without their zeros."""
        numbers, columns = np.nonzero(rows)
        starts = np.searchsorted(numbers, np.arange(len(rows) + 1))
        return cls(rows[numbers, columns], for_kernels(columns), starts, rows.shape[1])

    def __len__(self) -> int:
        return len(self.starts) - 1

    @cached_property
    def bounds(self) -> Int:
        """The columns cut into `SHARDS` ranges that hold about as many numbers each: (SHARDS + 1,), from 0 to the width.

        Kernels rely on them, and the user may have changed the columns since they were checked.
        """
        used = self.columns[: max(0, self.starts[-1])]
        columns = np.sort(used[:: max(1, len(used) // SAMPLED)]).clip(0, self.width - 1)
        cuts = columns[np.arange(1, SHARDS) * len(columns) // SHARDS] if len(columns) else np.zeros(SHARDS - 1)
        return np.concatenate(([0], cuts, [self.width])).astype(np.int64)

    @cached_property
    def wide_bounds(self) -> Int:
        """Every second of them."""
        return self.bounds[::2].copy()

    def __getitem__(self, numbers: Int) -> SparseRows:
        """The rows with these numbers."""
        counts = np.diff(self.starts)[numbers]
        starts = np.concatenate([[0], np.cumsum(counts)]).astype(self.starts.dtype)
        places = np.repeat(self.starts[:-1][numbers] - starts[:-1], counts) + np.arange(starts[-1])
        return SparseRows(self.values[places], self.columns[places], starts, self.width)


Rows = Array | SparseRows
BLOCK = 2**18  # numbers that are checked at a time


def as_sparse_rows(X: Any, shape: tuple[int, ...], dtype: DTypeLike, argument: str = "X", *, empty: bool = False) -> SparseRows:
    """A sparse matrix of SciPy as rows in the model's dtype; ``X`` is not changed.

    A CSR matrix in canonical form, sorted and without duplicates, lends its arrays, which may be memory-mapped; only values of
    another dtype are copied. The checks need no memory that grows with the matrix. ``empty``: n may be 0.
    """
    if len(shape) > 1 or X.shape[1:] != shape:
        hint = "" if len(shape) == 1 else "; examples of more than one axis must be dense"
        raise shape_error(argument, shape, X.shape, hint)
    as_numbers(np.empty(0, X.dtype), argument)
    check_row_count(X, argument, empty=empty)
    check_structure(X, argument)
    matrix = X.tocsr()
    if matrix is not X:
        check_structure(matrix, argument)
    matrix = canonical(matrix)
    rows = SparseRows(*csr_arrays(matrix, dtype), shape[0])
    _check_finite(rows, matrix.data, argument)
    return rows


def canonical(matrix: Any) -> Any:
    """A CSR matrix with each column at most once a row, in ascending order: itself, or a copy."""
    if _is_canonical(matrix.indices, matrix.indptr):
        return matrix
    matrix = matrix.copy()
    matrix.sum_duplicates()
    return matrix


def csr_arrays(matrix: Any, dtype: DTypeLike) -> tuple[Array, Int, Int]:
    """Values, columns and starts of a CSR matrix as kernels take them: its own arrays, or copies where they must be."""
    kind = np.int32 if matrix.indices.dtype == matrix.indptr.dtype == np.int32 else np.int64
    return for_kernels(convert(matrix.data, dtype)), for_kernels(matrix.indices, kind), for_kernels(matrix.indptr, kind)


def check_structure(matrix: Any, argument: str) -> None:
    """Raise unless every number has its place in the matrix: SciPy does not look, neither when its arrays are assigned nor when
    it converts them to another format.
    """
    if not FITS.get(matrix.format, lambda matrix: True)(matrix):
        raise ValueError(f"{argument} must be a valid sparse matrix: its indices do not fit its shape {matrix.shape}")


def _starts_fit(matrix: Any) -> bool:
    rows, width = matrix.shape if matrix.format != "csc" else matrix.shape[::-1]
    starts, columns, values = matrix.indptr, matrix.indices, matrix.data
    if values.ndim != (3 if matrix.format == "bsr" else 1) or columns.ndim != 1:
        return False
    if matrix.format == "bsr":  # rows of blocks
        rows, width = rows // values.shape[1], width // values.shape[2]
    good = starts.shape == (rows + 1,) and starts.dtype.kind in "iu" and starts[0] == 0
    good = good and all((b >= a).all() for a, b in _neighbors(starts)) and starts[-1] <= min(len(columns), len(values))
    return good and _within(columns[: starts[-1]], width)


def _coordinates_fit(matrix: Any) -> bool:
    parts = zip((matrix.row, matrix.col), matrix.shape, strict=True)
    return all(index.shape == matrix.data.shape and _within(index, size) for index, size in parts)


def _lists_fit(matrix: Any) -> bool:
    """Of columns and of values: they are as long. What they hold is seen when they are arrays."""
    columns, values = ([len(row) for row in rows] for rows in (matrix.rows, matrix.data))
    return columns == values and len(columns) == matrix.shape[0]


def _diagonals_fit(matrix: Any) -> bool:
    return len(matrix.offsets) == len(matrix.data)


FITS: dict[str, Callable[[Any], bool]] = {
    "csr": _starts_fit, "csc": _starts_fit, "bsr": _starts_fit, "coo": _coordinates_fit, "lil": _lists_fit,
    "dia": _diagonals_fit,
}  # fmt: skip


def _within(index: Int, size: int) -> bool:
    return index.dtype.kind in "iu" and (index.size == 0 or bool(0 <= index.min() <= index.max() < size))


def _neighbors(array: Int) -> Iterator[tuple[Int, Int]]:
    """Each number but the last, and the one after it, in blocks."""
    for first in range(0, len(array) - 1, BLOCK):
        block = array[first : first + BLOCK + 1]
        yield block[:-1], block[1:]


def _is_canonical(columns: Int, starts: Int) -> bool:
    """Whether the columns of each row ascend. SciPy's attribute is not asked: the arrays may have been changed since."""
    for number, (a, b) in enumerate(_neighbors(columns[: starts[-1]])):
        falls = b <= a
        first = number * BLOCK + 1
        row, end = np.searchsorted(starts, np.array([first, first + len(b)], starts.dtype))
        falls[starts[row:end] - first] = False  # between two rows
        if falls.any():
            return False
    return True


def _check_finite(rows: SparseRows, given: Array, argument: str) -> None:
    """Raise if a value is NaN or infinite; ``given``: the values before conversion."""
    end = int(rows.starts[-1])
    if _kernels.all_finite(rows.values[None, :end]):
        return
    blocks = ((first, ~np.isfinite(rows.values[first : min(first + BLOCK, end)])) for first in range(0, end, BLOCK))
    at = next(first + int(bad.argmax()) for first, bad in blocks if bad.any())
    row, value = np.searchsorted(rows.starts, np.array(at, rows.starts.dtype), side="right") - 1, given[at]
    problem = f"is too large for {rows.values.dtype}" if np.isfinite(value) else "must be finite"
    raise ValueError(f"{argument} {problem}, got {value} in row {row}, column {rows.columns[at]}")
