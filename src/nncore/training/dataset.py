"""The data of a call of ``fit`` or ``evaluate``, checked."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncore.data.sparse import Rows, SparseRows
from nncore.losses import Targets
from nncore.training.augmented import AugmentedRows

__all__ = ["Dataset"]

Array = NDArray[Any]
Int64 = NDArray[np.int64]
Names = tuple[str, ...] | None


@dataclass
class Dataset:
    """Checked inputs (n, width), and targets in the form of the loss and of each metric that has its own.

    A subset of the examples is a selection of rows of the same arrays, which are not copied (they may be memory-mapped files).
    """

    rows: Rows
    targets: list[Targets]
    weights: Array | None = None  # (n,) float64: factors on the losses of the examples
    chosen: Int64 | None = None  # the row of each example; None: all rows
    names: tuple[Names, Names] = (None, None)  # of the columns of X and of y, if they have names
    augmented: AugmentedRows | None = None  # what training sees instead of the inputs

    def __post_init__(self) -> None:
        """Set ``kinds``: the key of the ops that read inputs and targets, part of the key of compiled programs."""
        optional = ("sparse",) * self.sparse + ("weighted",) * (self.weights is not None)
        self.kinds = (*[(targets.kind, targets.thresholds) for targets in self.targets], *optional)

    def __len__(self) -> int:
        return len(self.rows) if self.chosen is None else len(self.chosen)

    @property
    def sparse(self) -> bool:
        """Whether the inputs are sparse."""
        return isinstance(self.rows, SparseRows)

    @property
    def in_training(self) -> Dataset:
        """The same examples with the inputs of the epoch under way."""
        return self if self.augmented is None else replace(self, rows=self.augmented.rows)

    def take(self, chosen: Array) -> Dataset:
        """A subset of the examples, by their indices, without a copy."""
        return replace(self, chosen=self.row_numbers(np.ascontiguousarray(chosen, dtype=np.int64)[None])[0])

    def weighted(self, factors: Array) -> Dataset:
        """The same examples with these factors on their losses."""
        if self.chosen is not None:
            factors, given = np.zeros(len(self.rows)), factors
            factors[self.chosen] = given
        with np.errstate(over="ignore"):  # the caller checks the product
            return replace(self, weights=factors if self.weights is None else factors * self.weights)

    def checksum(self, start: int = 0) -> int:
        """Of targets, weights and some 256 rows of the inputs, which may be a large file."""
        parts = [self.of_examples(part) for part in (self.targets[0].array, self.weights) if part is not None]
        rows = self.rows[self.row_numbers(np.linspace(0, len(self) - 1, min(len(self), 256)).astype(np.int64)[None])[0]]
        parts += [rows] if isinstance(rows, np.ndarray) else [rows.values, rows.columns, rows.starts]
        for part in parts:
            start = zlib.crc32(np.ascontiguousarray(part).data.cast("B"), start)
        return start

    def row_numbers(self, order: Int64) -> Int64:
        """The rows of examples (epochs, positions), given by their indices."""
        return order if self.chosen is None else self.chosen[order]

    def of_examples(self, array: Any) -> Any:
        """The entries for the examples of an array with one entry per row: the array itself, or a copy of a subset."""
        return array if self.chosen is None else array[self.chosen]
