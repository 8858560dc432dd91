"""The data of a call of ``fit`` or ``evaluate``, checked."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncore.data.sparse import Rows, SparseRows
from nncore.losses import Targets

__all__ = ["Dataset"]

Array = NDArray[Any]
Int64 = NDArray[np.int64]


@dataclass
class Dataset:
    """Checked inputs (n, width), and targets in the form of the loss and of each metric that has its own.

    Some of the examples are a choice of rows of the same arrays, which stay where they are: a memory-mapped file on disk.
    """

    rows: Rows
    targets: list[Targets]
    weights: Array | None = None  # (n,) float64: factors of the examples' losses
    chosen: Int64 | None = None  # the row of each example; None: every row is one

    def __post_init__(self) -> None:
        """``kinds``: which ops read inputs and targets, and their thresholds; programs are compiled for these."""
        optional = ("sparse",) * self.sparse + ("weighted",) * (self.weights is not None)
        self.kinds = (*[(targets.kind, targets.thresholds) for targets in self.targets], *optional)

    def __len__(self) -> int:
        return len(self.rows) if self.chosen is None else len(self.chosen)

    @property
    def sparse(self) -> bool:
        """Are the inputs?"""
        return isinstance(self.rows, SparseRows)

    def take(self, chosen: Array) -> Dataset:
        """Some of the examples, by their numbers; nothing is copied."""
        return replace(self, chosen=self.row_numbers(np.ascontiguousarray(chosen, dtype=np.int64)[None])[0])

    def weighted(self, factors: Array) -> Dataset:
        """The same examples, each with another factor on its loss."""
        if self.chosen is not None:
            factors, given = np.zeros(len(self.rows)), factors
            factors[self.chosen] = given
        with np.errstate(over="ignore"):  # whoever multiplies weights of the user looks at the product
            return replace(self, weights=factors if self.weights is None else factors * self.weights)

    def row_numbers(self, order: Int64) -> Int64:
        """The rows of examples (epochs, places), given by their numbers."""
        return order if self.chosen is None else self.chosen[order]

    def of_examples(self, array: Any) -> Any:
        """What of an array with an entry for each row belongs to the examples: itself, or a copy of some entries."""
        return array if self.chosen is None else array[self.chosen]
