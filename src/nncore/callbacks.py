"""What happens between epochs: stopping early, saving, logging.

Epochs are counted from 1, as in `History` and in what training prints; a second ``fit`` goes on counting. A callback that
keeps a count has ``state_dict`` and ``load_state_dict``: a flat dict of JSON values and NumPy arrays, which ``check_state``
checks before anything changes. A callback whose state was loaded before training continues from it; otherwise it starts afresh.
"""

from __future__ import annotations

import codecs
import csv
import io
import math
import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from nncore.shown import shown

from .fields import Choice, Configured, Converted, Count, Flag, Maybe, Name, Number, PathLike
from .files import append, check_target, stream, write, write_all
from .history import larger_is_better
from .schedules import step_or_epoch

if TYPE_CHECKING:
    from .trainer import Trainer

__all__ = ["CALLBACKS", "CSVLogger", "Callback", "EarlyStopping", "LambdaCallback", "ModelCheckpoint", "end_training"]


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

    def on_train_begin(self, trainer: Trainer) -> None:
        """Before the first epoch."""

    def on_epoch_begin(self, trainer: Trainer, epoch: int) -> None:
        """Before each epoch; the first is 1."""

    def on_epoch_end(self, trainer: Trainer, epoch: int, row: dict[str, Any]) -> None:
        """After each epoch, validation included. `row` is the epoch's row of the history, and so is what is added to it."""

    def on_train_end(self, trainer: Trainer) -> None:
        """After the last epoch, also when training was stopped or diverged."""

    def state_dict(self) -> dict[str, Any]:
        """What a resumed training needs: JSON values and arrays."""
        return {}

    @classmethod
    def check_state(cls, state: Mapping[str, Any], model: Any = None) -> None:
        """Raise ValueError or TypeError if `state` is not what `state_dict` returns, in a training of `model` if given."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` returned."""


def end_training(callbacks: Iterable[Callback], trainer: Any, failure: BaseException | None = None) -> None:
    """Call ``on_train_end`` of all callbacks; then raise `failure`, or else the first error among theirs."""
    errors = [] if failure is None else [failure]
    for callback in callbacks:
        try:
            callback.on_train_end(trainer)
        except BaseException as error:
            errors.append(error)
    if len(errors) > 1 and errors[0].__context__ is None:
        errors[0].__context__ = errors[1]  # the traceback shows both
    if errors:
        raise errors[0]


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

    def on_train_begin(self, trainer: Trainer) -> None:
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

    def on_epoch_end(self, trainer: Trainer, epoch: int, row: dict[str, Any]) -> None:
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

    def on_train_end(self, trainer: Trainer) -> None:
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

    def on_train_begin(self, trainer: Trainer) -> None:
        known, brace, _ = self.path.partition("{")
        check_target(f"{known}file" if brace else self.path)
        if not self._resumed:
            self._reset()
        self._resumed = False

    def on_epoch_end(self, trainer: Trainer, epoch: int, row: dict[str, Any]) -> None:
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

    def on_train_begin(self, trainer: Trainer) -> None:
        if self._train_begin is not None:
            self._train_begin(trainer)

    def on_epoch_begin(self, trainer: Trainer, epoch: int) -> None:
        if self._epoch_begin is not None:
            self._epoch_begin(trainer, epoch)

    def on_epoch_end(self, trainer: Trainer, epoch: int, row: dict[str, Any]) -> None:
        if self._epoch_end is not None:
            self._epoch_end(trainer, epoch, row)

    def on_train_end(self, trainer: Trainer) -> None:
        if self._train_end is not None:
            self._train_end(trainer)

    def __repr__(self) -> str:
        given = [f"{name}={function!r}" for name, function in self._given.items() if function is not None]
        return f"LambdaCallback({', '.join(given)})"


class CSVLogger(Callback):
    """Write the rows of the history to a CSV file, each in a single write at the end of its epoch.

    The first column is ``epoch``, counted from 1; numbers keep all their digits. When a row brings a new column the
    file is replaced by one with that column, empty in the rows before. A row that cannot be written whole, as on a full
    disk, is not written at all, and the error is raised in its epoch.

    A pipe, a device or an open file such as ``/dev/stdout`` is written into instead: it keeps what others write to it, and a
    new column brings another header.

    Parameters
    ----------
    path : path-like
    append : bool, default False
        Add to an existing file, as a resumed training would; a last line that was cut short is dropped, and a byte order
        mark, as Excel writes it, is kept.

    Raises
    ------
    FileNotFoundError, IsADirectoryError, ValueError
        Before training, if the folder does not exist, `path` is a folder, or what is to be appended to is no CSV file.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp(), "log.csv")
    >>> logger = CSVLogger(path)
    >>> logger.on_train_begin(None)
    >>> logger.on_epoch_end(None, 1, {"loss": 0.5})
    >>> logger.on_epoch_end(None, 2, {"loss": 0.25, "val_loss": 0.3})
    >>> print(path.read_text(), end="")
    epoch,loss,val_loss
    1,0.5,
    2,0.25,0.3
    """

    path: Converted[str | os.PathLike[str], Path] = Converted(lambda name, value: Path(PathLike(argument=name).check(value)))
    append: Flag = Flag()

    def __init__(self, path: str | os.PathLike[str], append: bool = False) -> None:
        self.path, self.append = path, append
        self._columns: list[str] = []
        self._mark = b""  # the file's byte order mark
        self._whole: bytes | None = None  # what is kept of a file whose last line was cut off
        self._begins = True
        self._stream: IO[bytes] | None = None

    def on_train_begin(self, trainer: Trainer) -> None:
        check_target(self.path)
        self._columns, self._mark, self._whole = [], b"", None
        goes_on = self.append and self.path.exists() and not stream(self.path)
        if goes_on:
            text = self.path.read_bytes()
            whole = text[: text.rfind(b"\n") + 1]
            if whole.startswith(codecs.BOM_UTF8):
                self._mark = codecs.BOM_UTF8
            if text and not whole:
                raise ValueError(f"path must be a CSV file with whole lines to append to, got {self.path} without a line end")
            try:
                self._columns = next(_lines(whole), [])
            except (UnicodeDecodeError, csv.Error) as error:
                raise ValueError(f"path must be a CSV file in UTF-8 to append to, got {self.path}: {error}") from None
            self._whole = whole if whole != text else None
        self._begins = not goes_on

    def on_epoch_end(self, trainer: Trainer, epoch: int, row: dict[str, Any]) -> None:
        if self._begins:  # not before: another callback may refuse the training, and an older file should stay
            opened = stream(self.path)
            if opened:
                self._stream = opened()
            else:
                write(self.path, b"")
            self._begins = False
        if self._whole is not None:
            write(self.path, self._whole)
            self._whole = None
        values = {**row, "epoch": epoch}
        new = [c for c in dict.fromkeys(["epoch", *row]) if c not in self._columns]
        if new:
            self._columns = [*self._columns, *new]
            self._write_header()
        line = _line([_text(values.get(c)) for c in self._columns])
        if self._stream:
            write_all(self._stream, line)
        else:
            append(self.path, line)

    def on_train_end(self, trainer: Trainer) -> None:
        if self._stream:
            self._stream.close()
        self._stream = None

    def _write_header(self) -> None:
        """The present columns; those that are new are empty in the rows before."""
        if self._stream:  # what has been written stays
            write_all(self._stream, _line(self._columns))
            return
        old = list(_lines(self.path.read_bytes()))[1:]
        padded = [line + [""] * (len(self._columns) - len(line)) for line in old]
        write(self.path, self._mark + b"".join(map(_line, [self._columns, *padded])))


CALLBACKS: dict[str, type[Callback]] = {
    cls.__name__: cls for cls in (EarlyStopping, ModelCheckpoint, LambdaCallback, CSVLogger)
}


def _lines(text: bytes) -> Any:
    """The rows of a CSV file, which may begin with a byte order mark."""
    return csv.reader(io.StringIO(text.decode("utf-8-sig")))


def _text(value: Any) -> str:
    if value is None:
        return ""
    return str(int(value)) if isinstance(value, (int, np.integer)) else repr(float(value))


def _line(cells: list[str]) -> bytes:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerow(cells)
    return buffer.getvalue().encode()
