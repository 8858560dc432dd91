"""Which rows of the data each member of an ensemble is trained on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncore._messages import shown
from nncore._utils.arrays import several
from nncore._utils.checks import as_numbers
from nncore._utils.each import for_member
from nncore._utils.fields import Count, Flag, Number, Value, count

__all__ = ["Bags", "Folds", "Subsets"]

Int64 = NDArray[np.int64]


class Subsets(Value):
    """Base class: a subclass chooses the rows of each member.

    >>> class Halves(Subsets):
    ...     def rows(self, member, examples):
    ...         return np.arange(member % 2, examples, 2)
    >>> Halves().rows(1, 6)
    array([1, 3, 5])
    """

    validates = False  # whether the rows that a member does not train on are its validation data

    def rows(self, member: int, examples: int) -> Int64:
        """The rows that a member is trained on, of this number of examples."""
        raise NotImplementedError


class Bags(Subsets):
    """Bagging: each member is trained on rows drawn at random.

    With replacement, the bootstrap, a bag as large as the data has (1 − 1/n)ⁿ ≈ 37 % of the examples not in it; what the
    members that have not seen an example say of it is the out-of-bag prediction: `EnsembleTrainer.out_of_bag`.

    Parameters
    ----------
    share : float, default 1.0
        The size of a bag: round(share · n), at least 1 and below 2³¹.
    replace : bool, default True
        Without replacement ``share`` is at most 1 (pasting).
    seed : int, default 0

    Notes
    -----
    Source: Breiman: Bagging predictors (1996).

    Examples
    --------
    >>> Bags(seed=1).rows(0, 10)
    array([0, 6, 8, 1, 8, 6, 5, 3, 3, 0])
    """

    share: Number = Number(above=0)
    replace: Flag = Flag()
    seed: Count = Count(0)

    def __init__(self, share: float = 1.0, replace: bool = True, seed: int = 0) -> None:
        self.share, self.replace, self.seed = share, replace, seed

    def check_fields(self, assigned: Any) -> None:
        if not self.replace and self.share > 1:
            raise ValueError(f"share must be at most 1 without replacement, got {self.share:g}")

    def rows(self, member: int, examples: int) -> Int64:
        member, examples = count("member", member, 0), count("examples", examples, below=2**31)
        if not self.share * examples < 2**31:
            raise ValueError(f"share must give bags of fewer than 2**31 rows, got {self.share:g} of {examples} rows")
        rng = np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(member,)))
        size = max(1, round(self.share * examples))
        return rng.choice(examples, size, replace=self.replace).astype(np.int64)


class Folds(Subsets):
    """Cross-validation: member k is trained on all but fold k mod ``folds``, and validated on that fold: columns ``val_…``.

    The folds are those of a random order of the examples; their sizes differ by at most 1.

    Parameters
    ----------
    folds : int, default 5
        At most as many as there are rows.
    seed : int, default 0

    Examples
    --------
    >>> folds = Folds(3)
    >>> [len(folds.rows(member, 10)) for member in range(4)]
    [6, 7, 7, 6]
    """

    validates = True
    folds: Count = Count(2)
    seed: Count = Count(0)

    def __init__(self, folds: int = 5, seed: int = 0) -> None:
        self.folds, self.seed = folds, seed

    def rows(self, member: int, examples: int) -> Int64:
        member, examples = count("member", member, 0), count("examples", examples, below=2**31)
        if self.folds > examples:
            raise ValueError(f"folds must be at most {examples}, the number of rows, got {self.folds}")
        order = np.random.default_rng(np.random.SeedSequence(self.seed)).permutation(examples)
        parts = np.array_split(order, self.folds)
        parts.pop(member % self.folds)
        return np.sort(np.concatenate(parts)).astype(np.int64)


class _Given(Subsets):
    """Rows given for each member."""

    def __init__(self, rows: Iterable[Any]) -> None:
        self._rows = [as_numbers(own, f"subsets[{k}]") for k, own in enumerate(rows)]

    def rows(self, member: int, examples: int) -> Int64:
        return self._rows[member]


def member_rows(subsets: Any, members: int, examples: int) -> list[Int64] | None:
    """The rows of each member, checked; None: all."""
    if subsets is None:
        return None
    if not isinstance(subsets, Subsets):
        if not several(subsets):
            raise TypeError(f"subsets must be Subsets such as nn.Bags(), or a list of row numbers, got {shown(subsets)}")
        subsets = _Given(subsets)
        if len(subsets._rows) != members:
            raise ValueError(f"subsets must have the rows of each of {members} members, got {len(subsets._rows)}")
    return [_checked(for_member(subsets, member, members), member, examples) for member in range(members)]


def _checked(subsets: Subsets, member: int, examples: int) -> Int64:
    rows = np.array(subsets.rows(member, examples))  # a copy: those of all members may be the same array
    if rows.dtype == bool and rows.shape == (examples,):
        rows = np.flatnonzero(rows)
    if rows.ndim != 1 or not len(rows) or rows.dtype.kind not in "iu" or not 0 <= rows.min() <= rows.max() < examples:
        wanted = f"row numbers from 0 to {examples - 1}, at least one"
        raise ValueError(f"subsets must give member {member} {wanted}, got {shown(rows)}")
    return np.ascontiguousarray(rows, dtype=np.int64)
