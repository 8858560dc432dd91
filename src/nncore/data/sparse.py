"""Sparse inputs: rows of a compressed matrix, which a program expands batch by batch."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from nncore._utils.arrays import Array, for_kernels
from nncore._utils.checks import as_numbers, check_row_count, convert, shape_error

__all__ = ["SHARDS", "Rows", "SparseRows", "as_sparse_rows"]

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

    @property
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


def as_sparse_rows(X: Any, shape: tuple[int, ...], dtype: DTypeLike, argument: str = "X", *, empty: bool = False) -> SparseRows:
    """A sparse matrix of SciPy as rows in the model's dtype; ``X`` is not changed.

    A CSR matrix in canonical form, sorted and without duplicates, lends its arrays; only values of another dtype are copied.
    ``empty``: n may be 0.
    """
    if len(shape) > 1 or X.shape[1:] != shape:
        hint = "" if len(shape) == 1 else "; examples of more than one axis must be dense"
        raise shape_error(argument, shape, X.shape, hint)
    as_numbers(np.empty(0, X.dtype), argument)
    check_row_count(X, argument, empty=empty)
    matrix = X.tocsr()
    _check_structure(matrix, argument)
    if not matrix.has_canonical_format:
        matrix = matrix.copy()
        matrix.sum_duplicates()
    kind = np.result_type(matrix.indices, matrix.indptr, np.int32)
    columns, starts = (for_kernels(part, kind) for part in (matrix.indices, matrix.indptr))
    rows = SparseRows(for_kernels(convert(matrix.data, dtype)), columns, starts, shape[0])
    bad = np.flatnonzero(~np.isfinite(rows.values[: starts[-1]]))
    if len(bad):
        row, value = np.searchsorted(starts, bad[0], side="right") - 1, matrix.data[bad[0]]
        problem = f"is too large for {rows.values.dtype}" if np.isfinite(value) else "must be finite"
        raise ValueError(f"{argument} {problem}, got {value} in row {row}, column {columns[bad[0]]}")
    return rows


def _check_structure(matrix: Any, argument: str) -> None:
    """Raise unless every number has its place in the matrix: SciPy does not look when it is given the arrays."""
    starts = matrix.indptr
    good = len(starts) == matrix.shape[0] + 1 and starts[0] == 0 and (np.diff(starts) >= 0).all()
    good = good and starts[-1] <= min(len(matrix.indices), len(matrix.data))
    columns = matrix.indices[: starts[-1]]
    if not good or (columns.size and not 0 <= columns.min() <= columns.max() < matrix.shape[1]):
        raise ValueError(f"{argument} must be a valid sparse matrix: its indices do not fit its shape {matrix.shape}")
