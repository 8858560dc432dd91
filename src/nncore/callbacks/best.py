"""The best value of a column so far, and the base of the callbacks that keep one."""

from __future__ import annotations

import copy
import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from nncore._messages import shown
from nncore._utils.fields import Choice
from nncore.callbacks.base import Callback
from nncore.history import larger_is_better
from nncore.optimizers.tiles import check_names

__all__ = ["Best", "BestCallback"]


class Best:
    """The best value of a column so far: v replaces b if it is better by more than min_delta (or, if that is relative,
    min_delta·|b|); NaN never does.
    """

    def __init__(self, column: str, mode: str, min_delta: float = 0.0, relative: bool = False) -> None:
        self.column, self.min_delta, self.relative = column, min_delta, relative
        self.larger = larger_is_better(column, mode)
        self.value: float | None = None

    def check(self, columns: Collection[str]) -> None:
        """Raise unless the column is among these."""
        if self.column in columns:
            return
        hint = ""
        if self.column.startswith("val_") and not any(column.startswith("val_") for column in columns):
            hint = ". Columns val_… need validation_data or validation_split"
        elif self.column == "val_accuracy":
            hint = '. It needs Trainer(..., metrics=["accuracy"])'
        elif f"running_{self.column}" in columns:
            hint = f". For the training data {self.column!r} needs exact_loss=True; 'running_{self.column}' does not"
        known = ", ".join(columns) or "none"
        raise ValueError(f"monitor must be a reported column, got {shown(self.column)}; there are {known}{hint}")

    def update(self, row: Mapping[str, Any]) -> bool:
        """Update with a row; returns whether it is the best so far."""
        self.check(row)
        value = float(row[self.column])
        best = (-math.inf if self.larger else math.inf) if self.value is None else self.value
        margin = self.min_delta * (abs(best) if self.relative and math.isfinite(best) else 1)
        better = value - margin > best if self.larger else value + margin < best
        if better:
            self.value = value
        return better


class BestCallback(Callback):
    """Base of the callbacks that keep the best value of a column, and continue from a loaded state.

    A subclass has a field ``monitor`` and one for each of ``counts``: what it needs, besides the best value, to continue.
    """

    mode: Choice = Choice("auto", "min", "max")
    counts: ClassVar[tuple[str, ...]]
    arrays: ClassVar[tuple[str, ...]] = ()  # arrays that its state may hold besides
    _best: Best | None
    _resumed = False

    def _new_best(self) -> Best | None:
        """The initial best value; None without a column."""
        raise NotImplementedError

    def _reset(self) -> None:
        """Reset the best value and all counts."""
        self._best = self._new_best()

    def check_fields(self, assigned: Mapping[str, Any]) -> None:
        if assigned:  # keep the best value unless it is of another column
            previous, self._best = self._best, self._new_best()
            if previous and self._best and previous.column == self._best.column:
                self._best.value = previous.value

    @property
    def best(self) -> float | None:
        return self._best.value if self._best else None

    def check_columns(self, columns: Sequence[str]) -> None:
        if self._best:
            self._best.check(columns)

    def on_train_begin(self, trainer: Any) -> None:
        if not self._resumed:
            self._reset()
        self._resumed = False

    @property
    def _watched(self) -> list[Any] | None:
        """What the best value is of: the column, and whether larger is better."""
        return [self._best.column, self._best.larger] if self._best else None

    def continues(self, state: Mapping[str, Any]) -> bool:
        """Whether the state is of the same column; older versions did not say it."""
        return bool(state.get("watched", self._watched) == self._watched)

    def state_dict(self) -> dict[str, Any]:
        """The best value, of which column it is and whether larger is better, and the counts."""
        return {"best": self.best, "watched": self._watched, **{name: copy.copy(getattr(self, name)) for name in self.counts}}

    @classmethod
    def check_state(cls, state: Mapping[str, Any], model: Any = None) -> None:
        if not isinstance(state, Mapping):
            raise TypeError(f"state of {cls.__name__} must be a mapping, got {shown(state)}")
        check_names(cls.__name__, state, {"best", *cls.counts} | {"watched", *cls.arrays} & set(state))
        match state.get("watched"):
            case None | [str(), bool()]:
                pass
            case watched:
                raise ValueError(f"watched must be None or a column and whether larger is better, got {shown(watched)}")
        best = state["best"]
        real = isinstance(best, (int, float, np.integer, np.floating)) and not isinstance(best, bool)
        if best is not None and not (real and not math.isnan(best)):
            raise ValueError(f"best must be a number or None, got {shown(best)}")
        for name in cls.counts:
            getattr(cls, name).check(state[name])

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.check_state(state)
        if not self.continues(state):
            column, watched = shown(self._watched), shown(state["watched"])
            raise ValueError(f"state must be of {column}, a column and whether larger is better, got that of {watched}")
        self._reset()
        if self._best:
            self._best.value = state["best"]
        for name in self.counts:
            setattr(self, name, state[name])
        self._resumed = True
