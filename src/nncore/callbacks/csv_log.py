"""Write the history to a CSV file, row by row."""

from __future__ import annotations

import codecs
import contextlib
import csv
import io
import os
from pathlib import Path
from typing import IO, Any

import numpy as np

from nncore._messages import clipped, shown
from nncore._utils.fields import Converted, Flag, PathLike
from nncore._utils.files import append, check_target, naming, stream, write, write_all
from nncore.callbacks.base import Callback

__all__ = ["CSVLogger"]


class CSVLogger(Callback):
    """Write the rows of the history to a CSV file, each in a single write at the end of its epoch.

    The first column is ``epoch``, counted from 1; numbers keep all their digits. The first row replaces an older file, and
    one that brings a new column replaces the file by one with that column, empty in the rows before. A row that cannot be
    written whole, as on a full disk, is not written at all, and the error is raised in its epoch, which the model and the
    history keep. A file that is removed meanwhile is begun anew. Of several ranks, rank 0 writes.

    A pipe, a device or an open file such as ``/dev/stdout`` is written into instead: it keeps what others write to it, and a
    new column brings another header.

    Parameters
    ----------
    path : path-like
    append : bool, default False
        Add to an existing file. A training that goes on, as after ``trainer.restore(path)``, drops the last rows that are of
        epochs to come, which it makes again; one that begins keeps all rows. A last line that was cut short is dropped, and a
        byte order mark, as Excel writes it, is kept.

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
        self._kept: bytes | None = None  # the lines that the first row leaves; None: all
        self._writes = True
        self._stream: IO[bytes] | None = None

    def on_train_begin(self, trainer: Any) -> None:
        self._writes = not getattr(trainer, "rank", 0)
        if not self._writes:
            return
        check_target(self.path)
        # written in the first epoch: another callback may refuse the training, which keeps an older file
        self._columns, self._mark, self._kept = [], b"", b""
        if self.append and self.path.exists() and not stream(self.path):
            self._continue(self._read(), getattr(trainer, "epochs_done", 0))

    def _read(self) -> bytes:
        with naming(self.path):
            return self.path.read_bytes()

    def _continue(self, text: bytes, epochs_done: int) -> None:
        """What the first row is added to."""
        lines = text[: text.rfind(b"\n") + 1]
        if lines.startswith(codecs.BOM_UTF8):
            self._mark = codecs.BOM_UTF8
        if text and not lines:
            raise ValueError(f"path must be a CSV file with whole lines to append to, got {self.path} without a line end")
        try:
            self._columns = next(iter([*_lines(lines)]), [])  # all of them: another column makes them anew
        except (UnicodeDecodeError, csv.Error) as error:
            raise ValueError(f"path must be a CSV file in UTF-8 to append to, got {self.path}: {clipped(error)}") from None
        if lines and "epoch" not in self._columns:
            found = f"{self.path} with the columns {shown(self._columns)}"
            raise ValueError(f"path must be a CSV file with a column epoch to append to, got {found}")
        kept = _until(lines, self._columns, epochs_done) if epochs_done else lines
        self._kept = None if kept == text else kept

    def on_epoch_end(self, trainer: Any, epoch: int, row: dict[str, Any]) -> None:
        if not self._writes:
            return
        if self._stream is None and not self._columns and (opened := stream(self.path)):
            self._stream = opened()
        if not self._stream and not self.path.exists():  # or it was removed
            self._columns, self._kept = [], b""
        values = {**row, "epoch": epoch}
        columns = list(dict.fromkeys([*self._columns, "epoch", *row]))
        header = _line(columns) if columns != self._columns else b""
        line = _line([_text(values.get(c)) for c in columns])
        if self._stream:  # what has been written stays
            write_all(self._stream, header + line)
        elif header or self._kept is not None:
            before = self._read() if self._kept is None else self._kept
            write(self.path, (self._mark + header + _padded(before, len(columns)) if header else before) + line)
        else:
            append(self.path, line)
        self._columns, self._kept = columns, None

    def on_train_end(self, trainer: Any) -> None:
        if self._stream:
            self._stream.close()
        self._stream = None


def _until(lines: bytes, columns: list[str], epoch: int) -> bytes:
    """Without the last rows if they are of later epochs."""
    rows = lines.splitlines(keepends=True)
    while len(rows) > 1 and _number(rows[-1], columns.index("epoch")) > epoch:
        rows.pop()
    return b"".join(rows)


def _number(line: bytes, place: int) -> int:
    """In this place of a row; 0 where there is none."""
    with contextlib.suppress(ValueError, IndexError, csv.Error, StopIteration):
        return int(next(_lines(line))[place])
    return 0


def _padded(lines: bytes, width: int) -> bytes:
    """The rows below the header, with empty cells at their ends."""
    return b"".join(_line(row + [""] * (width - len(row))) for row in [*_lines(lines)][1:])


def _lines(text: bytes) -> Any:
    """The rows of a CSV file, which may start with a byte order mark; csv.Error for one that ends within quotes."""
    return csv.reader(io.StringIO(text.decode("utf-8-sig")), strict=True)


def _text(value: Any) -> str:
    if value is None:
        return ""
    return str(int(value)) if isinstance(value, (int, np.integer)) else repr(float(value))


def _line(cells: list[str]) -> bytes:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\r\n").writerow(cells)  # before Python 3.13, only cells with one of these are quoted
    return buffer.getvalue().removesuffix("\r\n").encode() + b"\n"
