"""Stop the training when a column stops improving."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from nncore._messages import shown
from nncore._utils.fields import Count, Flag, Maybe, Name, Number
from nncore.callbacks.best import Best, BestCallback
from nncore.schedules import MOST_COUNTED

__all__ = ["EarlyStopping"]


class EarlyStopping(BestCallback):
    """Stop when a column has not improved for `patience` epochs in a row, and restore the best epoch.

    With v the column's value, b the best value so far and w the number of epochs since::

        v < b − min_delta    b ← v, w ← 0                    (mode "min"; v > b + min_delta in mode "max")
        otherwise            w ← w + 1; stop if w ≥ patience

    This is Keras's count: with ``patience=1`` the first epoch without improvement stops the training, and
    ``patience=0`` means the same. PyTorch has no early stopping, and the patience of its
    ``ReduceLROnPlateau`` is one epoch longer: it acts when w > patience. The first epoch of a ``fit`` never stops it. NaN
    is no improvement.

    Parameters
    ----------
    monitor : str, default "val_loss"
        A column of the history; ValueError before training if there will be none of this name.
    patience : int, default 5
    min_delta : float, default 0.0
        A smaller change is no improvement.
    mode : {"auto", "min", "max"}, default "auto"
        "auto" is "max" for accuracy, precision, recall, f1, auc and r2, and "min" for loss, penalty and the names of losses,
        each also with prefix ``val_`` or ``running_``. Other columns need "min" or "max".
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
    restore_best: Flag = Flag()
    wait: Count = Count(0, below=MOST_COUNTED)
    best_epoch: Maybe[int, int] = Maybe(Count(0, below=MOST_COUNTED))
    stopped_epoch: Maybe[int, int] = Maybe(Count(0))
    counts = ("wait", "best_epoch")
    arrays = ("best_parameters", "best_state")
    _best: Best

    def __init__(
        self, monitor: str = "val_loss", patience: int = 5, min_delta: float = 0.0, mode: str = "auto",
        restore_best: bool = True,
    ) -> None:  # fmt: skip
        self.monitor, self.patience, self.min_delta, self.mode = monitor, patience, min_delta, mode
        self.restore_best = restore_best
        self._reset()

    def _new_best(self) -> Best:
        return Best(self.monitor, self.mode, self.min_delta)

    def _reset(self) -> None:
        super()._reset()
        self._parameters: np.ndarray | None = None
        self._state: np.ndarray | None = None
        self.wait, self.best_epoch, self.stopped_epoch = 0, None, None

    def on_train_begin(self, trainer: Any) -> None:
        super().on_train_begin(trainer)
        self._check_kept(self._parameters, self._state, trainer.model)

    @staticmethod
    def _check_kept(parameters: Any, state: Any, model: Any) -> None:
        """Raise unless these are a model's best parameters and state, or None."""
        for name, best, array in (("parameters", parameters, model.parameters), ("state", state, model.state)):
            if best is not None and (best.shape, best.dtype) != (array.shape, array.dtype):
                what = f"shape {array.shape} and {array.dtype}, got {best.shape} and {best.dtype}"
                raise ValueError(f"best {name} of EarlyStopping must have {what}")

    def on_epoch_end(self, trainer: Any, epoch: int, row: dict[str, Any]) -> None:
        better, first = self._best.update(row), self.best_epoch is None
        if better or first:
            self.best_epoch = epoch
            if self.restore_best:
                self._parameters = np.array(trainer.model.parameters)
                self._state = np.array(trainer.model.state)
        self.wait = 0 if better else self.wait + 1
        if self.wait >= self.patience and not (better or first):
            self.stopped_epoch = epoch
            trainer.stop_training = True

    def on_train_end(self, trainer: Any) -> None:
        if self.restore_best and self._parameters is not None:
            with trainer.model.lock:
                trainer.model.parameters[...], trainer.model.state[...] = self._parameters, self._state

    def state_dict(self) -> dict[str, Any]:
        """The best value and epoch, the count and, with restore_best, copies of the best parameters and state."""
        state = super().state_dict()
        if self._parameters is not None and self._state is not None:
            state |= {"best_parameters": self._parameters.copy(), "best_state": self._state.copy()}
        return state

    @classmethod
    def check_state(cls, state: Mapping[str, Any], model: Any = None) -> None:
        super().check_state(state, model)
        if not set(cls.arrays) & set(state):
            return
        for name in cls.arrays:
            array = state.get(name)
            if not isinstance(array, np.ndarray) or array.ndim != 1 or array.dtype.kind != "f" or not np.isfinite(array).all():
                raise ValueError(f"{name} must be a 1-D array of finite numbers, got {shown(array)}")
        if model is not None:
            cls._check_kept(state["best_parameters"], state["best_state"], model)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict(state)
        if "best_parameters" in state:
            self._parameters, self._state = np.array(state["best_parameters"]), np.array(state["best_state"])
