"""Stop the training when a column stops improving."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nncore._messages import shown
from nncore._utils.fields import Choice, Count, Flag, Maybe, Name, Number
from nncore.callbacks.base import Callback, _Best, _check_best, _check_names
from nncore.schedules import step_or_epoch

__all__ = ["EarlyStopping"]


class EarlyStopping(Callback):
    """Stop when a column has not improved for `patience` epochs in a row, and go back to the best epoch.

    With v the column's value, b the best value so far and w the number of epochs since::

        v < b − min_delta    b ← v, w ← 0                    (mode "min"; v > b + min_delta in mode "max")
        otherwise            w ← w + 1; stop if w ≥ patience

    This is Keras's count: with ``patience=1`` the first epoch without improvement stops the training, and
    ``patience=0`` means the same. PyTorch has no early stopping of its own, and the patience of its
    ``ReduceLROnPlateau`` is one epoch longer: it acts when w > patience. The first epoch never stops the training. NaN
    is no improvement.

    Parameters
    ----------
    monitor : str, default "val_loss"
        A column of the history.
    patience : int, default 5
    min_delta : float, default 0.0
        A smaller change is no improvement.
    mode : {"auto", "min", "max"}, default "auto"
        "auto" is "max" for accuracy, precision, recall, f1, auc and r2, and "min" for loss, penalty and the names of losses,
        each also behind ``val_`` or ``running_``. Other columns need "min" or "max".
    restore_best : bool, default True
        Put the parameters and the state (running statistics) of the best epoch back at the end of training, whether it
        was stopped or not.

    Attributes
    ----------
    stopped_epoch : int or None
        The epoch after which training stopped; None if it ran to its end.
    best_epoch : int or None
    best : float or None
        The best value.
    wait : int
        Epochs since the best one.

    Raises
    ------
    ValueError
        For a bad argument; before training, if there will be no such column.

    Examples
    --------
    >>> stopping = EarlyStopping("loss", patience=2, restore_best=False)
    >>> class Trainer:
    ...     stop_training = False
    >>> for epoch, loss in enumerate([1.0, 0.5, 0.6, 0.7], 1):
    ...     stopping.on_epoch_end(Trainer, epoch, {"loss": loss})
    >>> Trainer.stop_training, stopping.stopped_epoch, stopping.best_epoch
    (True, 4, 2)
    """

    monitor: Name = Name()
    patience: Count = Count(0)
    min_delta: Number = Number(0)
    mode: Choice = Choice("auto", "min", "max")
    restore_best: Flag = Flag()
    wait: Count = Count(0)
    best_epoch: Maybe[int, int] = Maybe(Count(0))
    stopped_epoch: Maybe[int, int] = Maybe(Count(0))
    _best: _Best

    def __init__(
        self,
        monitor: str = "val_loss",
        patience: int = 5,
        min_delta: float = 0.0,
        mode: str = "auto",
        restore_best: bool = True,
    ) -> None:
        self.monitor, self.patience, self.min_delta, self.mode = monitor, patience, min_delta, mode
        self.restore_best = restore_best
        self._resumed = False
        self._reset()

    def check_fields(self, assigned: Mapping[str, Any]) -> None:
        if assigned:  # what is best so far stays, unless it is of another column
            best, self._best = self._best, _Best(self.monitor, self.mode, self.min_delta)
            self._best.value = best.value if best.column == self.monitor else None

    def _reset(self) -> None:
        self._best = _Best(self.monitor, self.mode, self.min_delta)
        self._parameters: np.ndarray | None = None
        self._state: np.ndarray | None = None
        self.wait, self.best_epoch, self.stopped_epoch = 0, None, None

    @property
    def best(self) -> float | None:
        return self._best.value

    def check_columns(self, columns: Sequence[str]) -> None:
        self._best.check(columns)

    def on_train_begin(self, trainer: Any) -> None:
        if not self._resumed:
            self._reset()
        self._resumed = False
        self._check_kept(self._parameters, self._state, trainer.model)

    @staticmethod
    def _check_kept(parameters: Any, state: Any, model: Any) -> None:
        """Raise unless these are a model's best parameters and state, or None."""
        for name, kept, own in (("parameters", parameters, model.parameters), ("state", state, model.state)):
            if kept is not None and (kept.shape, kept.dtype) != (own.shape, own.dtype):
                what = f"shape {own.shape} and {own.dtype}, got {kept.shape} and {kept.dtype}"
                raise ValueError(f"EarlyStopping goes on with the best {name} of another model, which must have {what}")

    def on_epoch_end(self, trainer: Any, epoch: int, row: dict[str, Any]) -> None:
        better = self._best.update(row)
        if better or self.best_epoch is None:
            self.best_epoch = epoch
            if self.restore_best:
                self._parameters = np.array(trainer.model.parameters)
                self._state = np.array(trainer.model.state)
        self.wait = 0 if better else self.wait + 1
        if self.wait >= self.patience and not better and epoch > 1:
            self.stopped_epoch = epoch
            trainer.stop_training = True

    def on_train_end(self, trainer: Any) -> None:
        if self.restore_best and self._parameters is not None:
            trainer.model.parameters[...] = self._parameters
            trainer.model.state[...] = self._state

    def state_dict(self) -> dict[str, Any]:
        """The count, the best value and epoch and, with restore_best, copies of the best parameters and state."""
        state: dict[str, Any] = {"wait": self.wait, "best": self.best, "best_epoch": self.best_epoch}
        if self._parameters is not None and self._state is not None:
            state |= {"best_parameters": self._parameters.copy(), "best_state": self._state.copy()}
        return state

    @classmethod
    def check_state(cls, state: Mapping[str, Any], model: Any = None) -> None:
        kept = ("best_parameters", "best_state")
        _check_names(cls, state, ("wait", "best", "best_epoch"), kept)
        _check_best(state["best"])
        step_or_epoch("wait", state["wait"])
        if state["best_epoch"] is not None:
            step_or_epoch("best_epoch", state["best_epoch"])
        if not set(kept) & set(state):
            return
        for name in kept:
            array = state.get(name)
            if not isinstance(array, np.ndarray) or array.ndim != 1 or array.dtype.kind != "f" or not np.isfinite(array).all():
                raise ValueError(f"{name} must be a 1-D array of finite numbers, got {shown(array)}")
        if model is not None:
            cls._check_kept(state["best_parameters"], state["best_state"], model)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.check_state(state)
        self._reset()
        self.wait, self._best.value, self.best_epoch = state["wait"], state["best"], state["best_epoch"]
        if "best_parameters" in state:
            self._parameters, self._state = np.array(state["best_parameters"]), np.array(state["best_state"])
        self._resumed = True
