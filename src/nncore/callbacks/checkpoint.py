"""Save the trainer after epochs."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from nncore._messages import shown
from nncore._utils.fields import Choice, Flag, Maybe, Name, PathLike
from nncore._utils.files import check_target
from nncore.callbacks.base import Callback, _Best, _check_best, _check_names

__all__ = ["ModelCheckpoint"]


class ModelCheckpoint(Callback):
    """Save the trainer after epochs: ``trainer.save(path)``.

    Give it last among the callbacks, so that what it saves includes what the others made of the epoch.

    Parameters
    ----------
    path : path-like
        May contain ``{epoch}`` and columns of the history:
        ``"net-{epoch:03d}-{val_loss:.3f}"``.
    monitor : str, optional
        The column that says which epoch is best.
    save_best_only : bool, optional
        Save only when `monitor` improves. Default: True if there is a `monitor`.
    mode : {"auto", "min", "max"}, default "auto"
        As in `EarlyStopping`.

    Attributes
    ----------
    best : float or None
        The best value of `monitor` so far.
    last_path : str or None
        Where the last save went.

    Raises
    ------
    ValueError
        For ``save_best_only`` without a `monitor`; before training, if `monitor` or `path` names a column that there will
        not be.
    FileNotFoundError, IsADirectoryError
        Before training, if the folder of `path` does not exist or `path` is a folder.

    Examples
    --------
    >>> ModelCheckpoint("net-{epoch:03d}-{loss:.2f}").filename(5, {"loss": 0.123})
    'net-005-0.12'
    """

    path: PathLike = PathLike()
    monitor: Maybe[str, str] = Maybe(Name())
    save_best_only: Maybe[bool, bool] = Maybe(Flag())
    last_path: Maybe[str | os.PathLike[str], str] = Maybe(PathLike())
    _best: _Best | None
    mode: Choice = Choice("auto", "min", "max")

    def __init__(
        self,
        path: str | os.PathLike[str],
        monitor: str | None = None,
        save_best_only: bool | None = None,
        mode: str = "auto",
    ) -> None:
        self.path, self.monitor, self.save_best_only, self.mode = path, monitor, save_best_only, mode
        self._resumed = False
        self._reset()

    def check_fields(self, assigned: Mapping[str, Any]) -> None:
        if self.save_best_only and self.monitor is None:
            raise ValueError("save_best_only=True needs a monitor, for example monitor='val_loss'")
        if assigned:
            best, self._best = self._best, None if self.monitor is None else _Best(self.monitor, self.mode)
            if best and self._best and best.column == self.monitor:
                self._best.value = best.value

    def _reset(self) -> None:
        self._best = None if self.monitor is None else _Best(self.monitor, self.mode)
        self.last_path = None

    @property
    def best(self) -> float | None:
        return None if self._best is None else self._best.value

    def filename(self, epoch: int, row: Mapping[str, Any]) -> str:
        """`path` with the numbers filled in."""
        try:
            return self.path.format(**{**row, "epoch": epoch})
        except (KeyError, IndexError, ValueError, TypeError, AttributeError) as error:
            names = ", ".join(dict.fromkeys(["epoch", *row]))
            raise ValueError(f"path {shown(self.path)} cannot be filled in ({error}); there are {names}") from None

    def check_columns(self, columns: Sequence[str]) -> None:
        self.filename(1, dict.fromkeys(columns, 0.0))
        if self._best is not None:
            self._best.check(columns)

    def on_train_begin(self, trainer: Any) -> None:
        known, brace, _ = self.path.partition("{")
        check_target(f"{known}file" if brace else self.path)
        if not self._resumed:
            self._reset()
        self._resumed = False

    def on_epoch_end(self, trainer: Any, epoch: int, row: dict[str, Any]) -> None:
        path = self.filename(epoch, row)
        better = self._best is not None and self._best.update(row)
        if better or not (self.monitor if self.save_best_only is None else self.save_best_only):
            self.last_path = path
            trainer.save(path)

    def state_dict(self) -> dict[str, Any]:
        """The best value and the last path."""
        return {"best": self.best, "last_path": self.last_path}

    @classmethod
    def check_state(cls, state: Mapping[str, Any], model: Any = None) -> None:
        _check_names(cls, state, ("best", "last_path"))
        _check_best(state["best"])
        if not isinstance(state["last_path"], (str, type(None))):
            raise ValueError(f"last_path must be a path or None, got {shown(state['last_path'])}")

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.check_state(state)
        self._reset()
        if self._best is not None:
            self._best.value = state["best"]
        self.last_path = state["last_path"]
        self._resumed = True
