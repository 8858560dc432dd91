"""Save the trainer after epochs."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from typing import Any

from nncore._messages import shown
from nncore._utils.fields import Flag, Maybe, Name, PathLike
from nncore._utils.files import check_target
from nncore.callbacks.best import Best, BestCallback

__all__ = ["ModelCheckpoint"]


class ModelCheckpoint(BestCallback):
    """Save the trainer after epochs: ``trainer.save(path)``.

    Place it last among the callbacks, so that it saves the changes of the others in the epoch. Of several ranks, rank 0 writes.

    Parameters
    ----------
    path : path-like
        May contain ``{epoch}`` and columns of the history:
        ``"net-{epoch:03d}-{val_loss:.3f}"``.
    monitor : str, optional
        The column that determines the best epoch.
    save_best_only : bool, optional
        Save only when `monitor` improves. Default: True if there is a `monitor`.
    mode : {"auto", "min", "max"}, default "auto"
        As in `EarlyStopping`.

    Attributes
    ----------
    best : float or None
        The best value of `monitor` so far.
    last_path : str or None
        Path of the last save.

    Raises
    ------
    ValueError
        For ``save_best_only`` without a `monitor`; before training, if `monitor` or `path` names a column that there will
        not be.
    FileNotFoundError, IsADirectoryError
        Before training, if the folder of `path` does not exist, that of the first epoch if it contains ``{epoch}``, or `path`
        is a folder.

    Examples
    --------
    >>> ModelCheckpoint("net-{epoch:03d}-{loss:.2f}").filename(5, {"loss": 0.123})
    'net-005-0.12'
    """

    of_members = False
    path: PathLike = PathLike()
    monitor: Maybe[str, str] = Maybe(Name())
    save_best_only: Maybe[bool, bool] = Maybe(Flag())
    last_path: Maybe[str | os.PathLike[str], str] = Maybe(PathLike())
    counts = ("last_path",)

    def __init__(
        self, path: str | os.PathLike[str], monitor: str | None = None, save_best_only: bool | None = None, mode: str = "auto"
    ) -> None:
        self.path, self.monitor, self.save_best_only, self.mode = path, monitor, save_best_only, mode
        self._reset()

    def check_fields(self, assigned: Mapping[str, Any]) -> None:
        if self.save_best_only and self.monitor is None:
            raise ValueError("save_best_only=True needs a monitor, for example monitor='val_loss'")
        super().check_fields(assigned)

    def _new_best(self) -> Best | None:
        return None if self.monitor is None else Best(self.monitor, self.mode)

    def _reset(self) -> None:
        super()._reset()
        self.last_path = None

    def filename(self, epoch: int, row: Mapping[str, Any]) -> str:
        """`path` with the numbers filled in."""
        try:
            return self.path.format(**{**row, "epoch": epoch})
        except (KeyError, IndexError, ValueError, TypeError, AttributeError) as error:
            names = ", ".join(dict.fromkeys(["epoch", *row]))
            raise ValueError(f"path {shown(self.path)} cannot be filled in ({error}); there are {names}") from None

    def check_columns(self, columns: Sequence[str]) -> None:
        self.filename(1, dict.fromkeys(columns, 0.0))
        super().check_columns(columns)

    def on_train_begin(self, trainer: Any) -> None:
        if not getattr(trainer, "rank", 0):
            self._check_folder(trainer.epochs_done + 1)
        super().on_train_begin(trainer)

    def _check_folder(self, epoch: int) -> None:
        """Raise if the folder of the first file does not exist; one named by a column of the history is not known yet."""
        folder, name = os.path.split(self.path)
        with contextlib.suppress(KeyError):
            check_target(os.path.join(folder.format(epoch=epoch), "file" if "{" in name else name))

    def on_epoch_end(self, trainer: Any, epoch: int, row: dict[str, Any]) -> None:
        path = self.filename(epoch, row)
        better = self._best is not None and self._best.update(row)
        if better or not (self.monitor if self.save_best_only is None else self.save_best_only):
            before, self.last_path = self.last_path, path  # the file says its own name
            try:
                trainer.save(path)
            except BaseException:
                self.last_path = before
                raise
