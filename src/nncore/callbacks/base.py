"""Callbacks, called between epochs: for stopping early, saving, logging.

Epochs are counted from 1, as in `History` and the progress output; a second ``fit`` continues the count. A callback that
keeps a count has ``state_dict`` and ``load_state_dict``: a flat dict of JSON values and NumPy arrays, which ``check_state``
checks before anything changes. A callback whose state was loaded before training continues from it; otherwise it starts anew.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from nncore._messages import shown
from nncore._utils.fields import Configured, Converted, Maybe, function_of

__all__ = ["Callback", "LambdaCallback"]


class Callback(Configured):
    """Base class: override the hooks you need. To end the training, set ``trainer.stop_training = True``.

    Attributes
    ----------
    every_epoch : bool, default True
        Whether control must return to Python after each epoch. A callback that overrides neither epoch hook may
        set it to False; short epochs then run faster.
    columns : sequence of str, default ()
        Columns that it adds to each row in ``on_epoch_end``, so that later callbacks may use them.
    of_members : bool, default True
        Whether a copy for each member of an ensemble makes sense: not for one that writes a file.

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
    of_members: ClassVar[bool] = True

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
        """After each epoch, validation included; `row` is its row of the history, and values may be added to it."""

    def on_train_end(self, trainer: Any) -> None:
        """After the last epoch, also when training was stopped or diverged."""

    def state_dict(self) -> dict[str, Any]:
        """The state that a resumed training needs: JSON values and arrays."""
        return {}

    @classmethod
    def check_state(cls, state: Mapping[str, Any], model: Any = None) -> None:
        """Raise ValueError or TypeError if `state` is not what `state_dict` returns, in a training of `model` if given."""

    def continues(self, state: Mapping[str, Any]) -> bool:
        """Whether a state that a callback of this class has left is one that this callback continues."""
        return True

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""


class LambdaCallback(Callback):
    """Call functions as callbacks.

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

    _train_begin = Maybe(Converted(function_of("trainer"), argument="on_train_begin"))
    _epoch_begin = Maybe(Converted(function_of("trainer", "epoch"), argument="on_epoch_begin"))
    _epoch_end = Maybe(Converted(function_of("trainer", "epoch", "row"), argument="on_epoch_end"))
    _train_end = Maybe(Converted(function_of("trainer"), argument="on_train_end"))

    def __init__(
        self, on_train_begin: Callable[[Any], Any] | None = None, on_epoch_begin: Callable[[Any, int], Any] | None = None,
        on_epoch_end: Callable[[Any, int, dict[str, Any]], Any] | None = None, on_train_end: Callable[[Any], Any] | None = None,
    ) -> None:  # fmt: skip
        self._train_begin, self._epoch_begin = on_train_begin, on_epoch_begin
        self._epoch_end, self._train_end = on_epoch_end, on_train_end

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
        hooks = [f"{name}={function!r}" for name, function in self._arguments().items() if function is not None]
        return f"LambdaCallback({', '.join(hooks)})"
