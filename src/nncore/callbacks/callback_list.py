"""The callbacks of one call of ``fit``, called together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from nncore._messages import shown
from nncore._utils.arrays import several
from nncore._utils.files import class_name
from nncore.callbacks.base import Callback

__all__ = ["CallbackList"]


class CallbackList:
    """Calls all callbacks at each event."""

    def __init__(self, callbacks: Any) -> None:
        if callbacks is not None and not several(callbacks):
            raise TypeError(f"callbacks must be a list of Callback objects, got {shown(callbacks)}")
        self.callbacks: list[Callback] = [] if callbacks is None else list(callbacks)
        for callback in self.callbacks:
            if not isinstance(callback, Callback):
                raise TypeError(f"callbacks must be a list of Callback objects, got {shown(callback)} in it")
        self.every_epoch = any(callback.every_epoch for callback in self.callbacks)  # whether one must see each epoch
        self.begun = 0  # callbacks whose on_train_begin was called

    def check_columns(self, columns: Iterable[str]) -> None:
        """Raise unless each finds the columns it uses among these and those that the callbacks add."""
        columns = [*columns, *(name for callback in self.callbacks for name in callback.columns)]
        for callback in self.callbacks:
            callback.check_columns(columns)

    def load_states(self, states: Iterable[Mapping[str, Any]]) -> None:
        """Load into each callback the first state among those of a checkpoint that one of its class and column left."""
        waiting = list(states)
        for callback in self.callbacks:
            name = class_name(type(callback))
            own = (entry for entry in waiting if entry["class"] == name and callback.continues(entry["state"]))
            entry = next(own, None)
            if entry:
                waiting.remove(entry)
                try:
                    callback.load_state_dict(entry["state"])
                except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
                    raise ValueError(f"the checkpoint holds no state that {name} can take up: {shown(error)}") from error

    def train_begin(self, trainer: Any) -> None:
        """Before the first epoch."""
        for callback in self.callbacks:
            callback.on_train_begin(trainer)
            self.begun += 1

    def epoch_begin(self, trainer: Any, epoch: int) -> None:
        """Before an epoch."""
        for callback in self.callbacks:
            callback.on_epoch_begin(trainer, epoch)

    def epoch_end(self, trainer: Any, epoch: int, row: dict[str, Any]) -> None:
        """After an epoch. Values that a callback adds to the row are also added to the history."""
        for callback in self.callbacks:
            known = list(row)
            callback.on_epoch_end(trainer, epoch, row)
            if added := {name: value for name, value in row.items() if name not in known}:
                trainer.history.amend(added)

    def train_end(self, trainer: Any, failure: BaseException | None = None) -> None:
        """End the training for those that began it; then raise ``failure``, or else their first error."""
        errors = [] if failure is None else [failure]
        for callback in self.callbacks[: self.begun]:
            try:
                callback.on_train_end(trainer)
            except BaseException as error:
                errors.append(error)
        if len(errors) > 1 and errors[0].__context__ is None:
            errors[0].__context__ = errors[1]  # the traceback shows both
        if errors:
            raise errors[0]
