"""What happens between epochs: stopping early, saving, logging.

Epochs are counted from 1, as in `History` and in what training prints; a second ``fit`` goes on counting. A callback that
keeps a count has ``state_dict`` and ``load_state_dict``: a flat dict of JSON values and NumPy arrays, which ``check_state``
checks before anything changes. A callback whose state was loaded before training continues from it; otherwise it starts afresh.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np

from nncore._messages import shown
from nncore._utils.fields import Configured, Converted, Maybe
from nncore.history import larger_is_better

__all__ = ["Callback", "LambdaCallback"]


class Callback(Configured):
    """Base class: override the hooks you need. To end the training, set ``trainer.stop_training = True``.

    Attributes
    ----------
    every_epoch : bool, default True
        Whether the trainer must come back to Python after each epoch. A callback that overrides neither epoch hook may
        set it to False; short epochs then run faster.
    columns : sequence of str, default ()
        Columns that it adds to each row in ``on_epoch_end``, so that the callbacks behind it may look at them.

    Examples
    --------
    >>> class Announce(Callback):
    ...     def on_epoch_end(self, trainer, epoch, row):
    ...         print(f"epoch {epoch}: loss {row['loss']}")
    >>> Announce().on_epoch_end(None, 1, {"loss": 0.5})
    epoch 1: loss 0.5
    """

    every_epoch: bool = True
    columns: Sequence[str] = ()

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        hooks = [name for name in vars(Callback) if name.startswith("on_")]
        unknown = [name for name in vars(cls) if name.startswith("on_") and name not in hooks]
        if unknown:
            there = f"there are {', '.join(hooks)}; within an epoch no Python runs"
            raise TypeError(f"{cls.__name__} has a hook {shown(unknown[0])} that is never called: {there}")

    _takes_no_more = Configured._takes_no_more_here

    def check_columns(self, columns: Sequence[str]) -> None:
        """Before anything else: raise if a column that is needed is not among those that the rows will have."""

    def on_train_begin(self, trainer: Any) -> None:
        """Before the first epoch."""

    def on_epoch_begin(self, trainer: Any, epoch: int) -> None:
        """Before each epoch; the first is 1."""

    def on_epoch_end(self, trainer: Any, epoch: int, row: dict[str, Any]) -> None:
        """After each epoch, validation included. `row` is the epoch's row of the history, and so is what is added to it."""

    def on_train_end(self, trainer: Any) -> None:
        """After the last epoch, also when training was stopped or diverged."""

    def state_dict(self) -> dict[str, Any]:
        """What a resumed training needs: JSON values and arrays."""
        return {}

    @classmethod
    def check_state(cls, state: Mapping[str, Any], model: Any = None) -> None:
        """Raise ValueError or TypeError if `state` is not what `state_dict` returns, in a training of `model` if given."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` returned."""


def _check_names(kind: type, state: Any, names: Collection[str], optional: Collection[str] = ()) -> None:
    if not isinstance(state, Mapping):
        raise TypeError(f"state of {kind.__name__} must be a mapping, got {shown(state)}")
    missing, unexpected = sorted(set(names) - set(state)), sorted(set(state) - {*names, *optional})
    if missing or unexpected:
        raise ValueError(f"state of {kind.__name__}: missing {missing}, unexpected {unexpected}")


def _check_best(value: Any) -> None:
    real = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    if value is not None and not (real and not math.isnan(value)):
        raise ValueError(f"best must be a number or None, got {shown(value)}")


class _Best:
    """The best value of a column so far: v replaces b if it is better by more than min_delta (or, if that is relative,
    min_delta·|b|); NaN never does.
    """

    def __init__(self, column: str, mode: str, min_delta: float = 0.0, relative: bool = False) -> None:
        if not isinstance(column, str):
            raise TypeError(f"monitor must be the name of a column, got {shown(column)}")
        self.column = column
        self.min_delta, self.relative = min_delta, relative
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
            hint = f". Of the training data {self.column!r} needs exact_loss=True; 'running_{self.column}' is there without it"
        raise ValueError(f"monitor: there is no column {shown(self.column)}; there are {', '.join(columns) or 'none'}{hint}")

    def update(self, row: Mapping[str, Any]) -> bool:
        """Look at a row; whether it holds the best value so far."""
        self.check(row)
        value = float(row[self.column])
        best = (-math.inf if self.larger else math.inf) if self.value is None else self.value
        margin = self.min_delta * (abs(best) if self.relative and math.isfinite(best) else 1)
        better = value - margin > best if self.larger else value + margin < best
        if better:
            self.value = value
        return better


def _hook(name: str, value: Any) -> Callable[..., Any]:
    if not callable(value):
        raise TypeError(f"{name} must be callable, got {shown(value)}")
    return value


class LambdaCallback(Callback):
    """A callback made of functions.

    Parameters
    ----------
    on_train_begin, on_train_end : callable of (trainer), optional
    on_epoch_begin : callable of (trainer, epoch), optional
    on_epoch_end : callable of (trainer, epoch, row), optional

    Examples
    --------
    >>> LambdaCallback(on_epoch_end=lambda trainer, epoch, row: print(row["loss"])).on_epoch_end(None, 1, {"loss": 0.5})
    0.5
    """

    _train_begin = Maybe(Converted(_hook, argument="on_train_begin"))
    _epoch_begin = Maybe(Converted(_hook, argument="on_epoch_begin"))
    _epoch_end = Maybe(Converted(_hook, argument="on_epoch_end"))
    _train_end = Maybe(Converted(_hook, argument="on_train_end"))

    def __init__(
        self,
        on_train_begin: Callable[[Any], Any] | None = None,
        on_epoch_begin: Callable[[Any, int], Any] | None = None,
        on_epoch_end: Callable[[Any, int, dict[str, Any]], Any] | None = None,
        on_train_end: Callable[[Any], Any] | None = None,
    ) -> None:
        self._train_begin, self._epoch_begin = on_train_begin, on_epoch_begin
        self._epoch_end, self._train_end = on_epoch_end, on_train_end
        self._given = {
            "on_train_begin": on_train_begin, "on_epoch_begin": on_epoch_begin, "on_epoch_end": on_epoch_end,
            "on_train_end": on_train_end,
        }  # fmt: skip

    @property
    def every_epoch(self) -> bool:  # type: ignore[override]
        return self._epoch_begin is not None or self._epoch_end is not None

    def on_train_begin(self, trainer: Any) -> None:
        if self._train_begin is not None:
            self._train_begin(trainer)

    def on_epoch_begin(self, trainer: Any, epoch: int) -> None:
        if self._epoch_begin is not None:
            self._epoch_begin(trainer, epoch)

    def on_epoch_end(self, trainer: Any, epoch: int, row: dict[str, Any]) -> None:
        if self._epoch_end is not None:
            self._epoch_end(trainer, epoch, row)

    def on_train_end(self, trainer: Any) -> None:
        if self._train_end is not None:
            self._train_end(trainer)

    def __repr__(self) -> str:
        given = [f"{name}={function!r}" for name, function in self._given.items() if function is not None]
        return f"LambdaCallback({', '.join(given)})"
