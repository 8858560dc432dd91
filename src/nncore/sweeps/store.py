"""The runs of a sweep in a SQLite file, which several processes may share."""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import time
import zlib
from collections.abc import Iterable, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from nncore._messages import clipped, shown
from nncore.history import History
from nncore.sweeps.run import Run, Task, Work

__all__ = ["Store", "fingerprint"]

VERSION = 1
STALE = 60.0  # seconds without a sign of life after which a run of a process on another machine may be taken over
BEAT = 10.0  # seconds between two signs of life
WAIT = 60.0  # seconds to wait for another process that writes
TABLES = (
    "CREATE TABLE IF NOT EXISTS sweep (name TEXT PRIMARY KEY, value TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS runs (key TEXT PRIMARY KEY, ended TEXT, owner TEXT, beat REAL, epochs INTEGER, seconds REAL, "
    '"values" TEXT, history BLOB)',
)


class Store:
    """Results by task, as they come: a run is stored whole or not at all.

    Used by one thread. A process that dies loses the runs that it had under way: others, or the next call, take them over.
    """

    def __init__(self, path: Any, fingerprint: str) -> None:
        self.path, self.owner = Path(path), f"{socket.gethostname()}:{os.getpid()}"
        self._last_beat = time.monotonic()
        try:
            self._connection = sqlite3.connect(self.path, timeout=WAIT, isolation_level=None)
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=NORMAL")  # a killed process loses nothing; a power cut the last moment
            with self._transaction():
                for table in TABLES:
                    self._connection.execute(table)
                self._check("version", str(VERSION))
                self._check("of", fingerprint)
        except sqlite3.DatabaseError as error:
            raise ValueError(f"file must be a SQLite file of a sweep, or a new one, got {shown(str(path))}: {error}") from error

    def _check(self, name: str, value: str) -> None:
        row = self._connection.execute("SELECT value FROM sweep WHERE name = ?", (name,)).fetchone()
        if row is None:
            self._connection.execute("INSERT INTO sweep VALUES (?, ?)", (name, value))
        elif row[0] != value:
            what = (
                "a newer nncore"
                if name == "version"
                else "another sweep: other data, arguments of fit, seeds or version of make"
            )
            raise ValueError(f"file {shown(str(self.path))} is of {what}. Take another file, or the same sweep")

    @contextmanager
    def _transaction(self) -> Any:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise

    def close(self) -> None:
        """Give back what this process has claimed and not completed."""
        with self._transaction():
            self._connection.execute("DELETE FROM runs WHERE ended IS NULL AND owner = ?", (self.owner,))
        self._connection.close()

    def claim(self, task: Task) -> Run | bool | None:
        """The result if there is one; True if the run is this process's from now on; None if another process has it."""
        key, now = _key(task), time.time()
        with self._transaction():
            row = self._connection.execute(
                'SELECT ended, owner, beat, epochs, seconds, "values", history FROM runs WHERE key = ?', (key,)
            ).fetchone()
            if row is not None and row[0] is not None:
                return _run(task, row)
            if row is not None and row[1] != self.owner and _lives(row[1], row[2], now):
                return None
            self._connection.execute("INSERT OR REPLACE INTO runs (key, owner, beat) VALUES (?, ?, ?)", (key, self.owner, now))
        return True

    def put(self, task: Task, run: Run) -> None:
        """Store a result; one that was interrupted is given back."""
        with self._transaction():
            if run.ended == "interrupted":
                self._connection.execute("DELETE FROM runs WHERE key = ?", (_key(task),))
                return
            self._connection.execute(
                "INSERT OR REPLACE INTO runs VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    _key(task), run.ended, self.owner, time.time(), run.epochs, run.seconds,
                    json.dumps({name: repr(value) for name, value in run.values.items()}), _packed(run.history),
                ),
            )  # fmt: skip

    def beat(self) -> None:
        """A sign of life, if one is due."""
        if time.monotonic() > self._last_beat + BEAT:
            self._last_beat = time.monotonic()
            with self._transaction():
                self._connection.execute(
                    "UPDATE runs SET beat = ? WHERE ended IS NULL AND owner = ?", (time.time(), self.owner)
                )


def fingerprint(work: Work, seeds: Iterable[int], folds: int | None, more: Mapping[str, Any]) -> str:
    """Tells sweeps apart: data, arguments of ``fit``, the name and the code of ``make``."""
    code = getattr(work.make, "__code__", None)
    parts = [getattr(work.make, "__qualname__", type(work.make).__name__), str(folds), repr(sorted(more.items()))]
    if code is not None:
        parts.append(f"{zlib.crc32(code.co_code):08x} {[c for c in code.co_consts if isinstance(c, (int, float, str))]}")
    parts += [f"{name}={value!r}" for name, value in sorted(work.fit.items()) if not hasattr(value, "shape")]
    parts.append(f"seeds of {type(next(iter(seeds), 0)).__name__}")
    check = 0
    for fold in work.folds or ():
        for array in (*fold[:2], *(fold[2] or ())):
            check = _checksum(array, check)
    return " ".join([*parts, f"{check:08x}"])


def _checksum(array: Any, check: int) -> int:
    """Of the shape and some numbers of an array: it may be a large file."""
    values = array if isinstance(array, np.ndarray) else getattr(array, "data", array)
    values = np.asarray(values)
    rows = values[np.linspace(0, max(len(values) - 1, 0), min(len(values), 256)).astype(np.int64)] if values.ndim else values
    data = repr(rows.tolist()).encode() if rows.dtype.hasobject else np.ascontiguousarray(rows).tobytes()
    return zlib.crc32(data, zlib.crc32(f"{np.shape(array)} {values.dtype}".encode(), check))


def _key(task: Task) -> str:
    values = {name: _text(value) for name, value in sorted(task.parameters.items())}
    return json.dumps({"parameters": values, "seed": task.seed, "fold": task.fold})


def _text(value: Any) -> str:
    if callable(value) and hasattr(value, "__qualname__"):
        return f"{value.__module__}.{value.__qualname__}"
    return repr(value)


def _lives(owner: str, beat: float, now: float) -> bool:
    """Whether the process that has claimed a run may still be at work."""
    host, _, pid = owner.rpartition(":")
    if host == socket.gethostname():
        try:
            os.kill(int(pid), 0)
        except (ProcessLookupError, ValueError):
            return False
        except OSError:  # it is another user's
            return True
        return True
    return now < beat + STALE


def _packed(history: History | None) -> bytes | None:
    """The names of the columns, and their numbers."""
    if history is None:
        return None
    return json.dumps(history.columns).encode() + b"\n" + np.array(list(history.values()), dtype="<f8").tobytes()


def _unpacked(packed: bytes) -> History:
    names, _, numbers = packed.partition(b"\n")
    columns = json.loads(names)
    table = np.frombuffer(numbers, dtype="<f8").reshape(len(columns), -1) if columns else np.empty((0, 0))
    return History.from_columns(dict(zip(columns, table, strict=True)))


def _run(task: Task, row: Any) -> Run:
    ended, _, _, epochs, seconds, values, packed = row
    try:
        history = None if packed is None else _unpacked(packed)
        numbers = {name: float(value) for name, value in json.loads(values).items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"the file of the sweep is damaged: {clipped(error)}") from error
    return Run(
        task.number, task.candidate, task.parameters, task.seed, task.fold, ended, int(epochs), float(seconds), numbers, history
    )
