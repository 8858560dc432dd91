"""Write the history to a CSV file, row by row."""

from __future__ import annotations

import codecs
import csv
import io
import os
from pathlib import Path
from typing import IO, Any

import numpy as np

from nncore._messages import clipped, shown
from nncore._utils.fields import Converted, Flag, PathLike
from nncore._utils.files import append, check_target, stream, write, write_all
from nncore.callbacks.base import Callback

__all__ = ["CSVLogger"]


class CSVLogger(Callback):
    """Write the rows of the history to a CSV file, each in a single write at the end of its epoch.

    The first column is ``epoch``, counted from 1; numbers keep all their digits. When a row brings a new column the
    file is replaced by one with that column, empty in the rows before. A row that cannot be written whole, as on a full
    disk, is not written at all, and the error is raised in its epoch. A file that is removed meanwhile is begun anew. Of
    several ranks, rank 0 writes.

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
        Before training, if the folder does not exist, `path` is a folder, or the file to append to is not a CSV file with a
        column ``epoch``.

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

    of_members = False
    path: Converted[str | os.PathLike[str], Path] = Converted(lambda name, value: Path(PathLike(argument=name).check(value)))
    append: Flag = Flag()

    def __init__(self, path: str | os.PathLike[str], append: bool = False) -> None:
        self.path, self.append = path, append
        self._columns: list[str] = []
        self._mark = b""  # the file's byte order mark
        self._rest: bytes | None = None  # the complete lines of a file whose last line was cut off
        self._begins = self._writes = True
        self._stream: IO[bytes] | None = None

    def on_train_begin(self, trainer: Any) -> None:
        self._writes = not getattr(trainer, "rank", 0)
        if not self._writes:
            return
        check_target(self.path)
        self._columns, self._mark, self._rest = [], b"", None
        appends = self.append and self.path.exists() and not stream(self.path)
        if appends:
            text = self.path.read_bytes()
            lines = text[: text.rfind(b"\n") + 1]
            if lines.startswith(codecs.BOM_UTF8):
                self._mark = codecs.BOM_UTF8
            if text and not lines:
                raise ValueError(f"path must be a CSV file with whole lines to append to, got {self.path} without a line end")
            try:
                self._columns = next(iter(list(_lines(lines))), [])  # all of them: another column makes them anew
            except (UnicodeDecodeError, csv.Error) as error:
                raise ValueError(f"path must be a CSV file in UTF-8 to append to, got {self.path}: {clipped(error)}") from None
            self._rest = lines if lines != text else None
            if lines and "epoch" not in self._columns:
                found = f"{self.path} with the columns {shown(self._columns)}"
                raise ValueError(f"path must be a CSV file with a column epoch to append to, got {found}")
        self._begins = not appends  # in the first epoch: another callback may refuse the training, which keeps an older file

    def on_epoch_end(self, trainer: Any, epoch: int, row: dict[str, Any]) -> None:
        if not self._writes:
            return
        if self._begins or not (self._stream or self.path.exists()):  # or it was removed
            self._columns, self._rest = [], None
            opened = stream(self.path)
            if opened:
                self._stream = opened()
            else:
                write(self.path, b"")
            self._begins = False
        if self._rest is not None:
            write(self.path, self._rest)
            self._rest = None
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

    def on_train_end(self, trainer: Any) -> None:
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


def _lines(text: bytes) -> Any:
    """The rows of a CSV file, which may start with a byte order mark; csv.Error for one that ends within quotes."""
    return csv.reader(io.StringIO(text.decode("utf-8-sig")), strict=True)


def _text(value: Any) -> str:
    if value is None:
        return ""
    return str(int(value)) if isinstance(value, (int, np.integer)) else repr(float(value))


def _line(cells: list[str]) -> bytes:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerow(cells)
    return buffer.getvalue().encode()
