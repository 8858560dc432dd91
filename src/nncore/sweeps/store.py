"""The runs of a sweep in a SQLite file, which several processes may share."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import sqlite3
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from nncore._messages import clipped, shown
from nncore._utils.archive import DAMAGE
from nncore._utils.fields import PathLike
from nncore._utils.files import check_target
from nncore.history import History
from nncore.sweeps.digest import digests, variables
from nncore.sweeps.run import Run, Task, Work

__all__ = ["Store", "fingerprint"]

APPLICATION = 0x6E6E7377  # "nnsw": SQLite's mark of whose file it is
VERSION = 2
STALE = 60.0  # seconds without a sign of life after which the runs of a process may be taken over
BEAT = 10.0  # seconds between two signs of life
WAIT = 60.0  # seconds to wait for another process that writes
LOCAL = {"btrfs", "ext2", "ext3", "ext4", "f2fs", "overlay", "ramfs", "tmpfs", "xfs", "zfs"}  # file systems
OF_THE_PLACE = {  # errors that say nothing of the content of the file
    sqlite3.SQLITE_PERM, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_INTERRUPT, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PROTOCOL,
}  # fmt: skip
SYSTEM = {  # the operating system's numbers for errors of SQLite
    sqlite3.SQLITE_BUSY: errno.EBUSY, sqlite3.SQLITE_FULL: errno.ENOSPC, sqlite3.SQLITE_READONLY: errno.EACCES,
}  # fmt: skip
ENDS = ("finished", "stopped", "halted", "diverged", "raised")
TABLES = (
    "CREATE TABLE sweep (part TEXT PRIMARY KEY, digest TEXT NOT NULL)",
    'CREATE TABLE runs (key TEXT PRIMARY KEY, what TEXT, ended TEXT, epochs INTEGER, seconds REAL, "values" TEXT, '
    "history BLOB, owner TEXT, beat REAL)",
)
ADVICE = "Give something that pickle can store, or the sweep a name=..., which stands for make and callbacks"


_at_work: set[str] = set()  # the owners of this process whose sweeps have not ended


class Store:
    """Results by task, as they come: a run is stored whole or not at all, of a halved one the epochs so far.

    A row has an owner while a process makes the run. A process that dies loses the runs that it had under way: others, or the
    next call, take them over.
    """

    def __init__(self, path: Any, parts: Mapping[str, str]) -> None:
        self.path = Path(PathLike(argument="file").check(path))
        self.owner = json.dumps([_place(), os.getpid(), _started(os.getpid()), uuid.uuid4().hex])
        self._lock, self._closing = threading.Lock(), threading.Event()
        check_target(self.path)
        with self._naming():
            path = self.path.absolute()  # to SQLite ":memory:" is no file
            self._connection = sqlite3.connect(path, timeout=WAIT, isolation_level=None, check_same_thread=False)
            self._connection.text_factory = lambda text: text.decode(errors="replace")  # refused as what it says
            try:
                self._open(parts)
            except BaseException:
                self._connection.close()
                raise
        _at_work.add(self.owner)
        threading.Thread(target=self._beats, name="nncore-sweep-file", daemon=True).start()

    def _open(self, parts: Mapping[str, str]) -> None:
        """Look whose file it is, before anything is written to it."""
        with self._transaction(""):
            self._check_application()
        journal = "WAL" if _is_local(self.path) else "DELETE"  # a write-ahead log is for processes of one machine only
        self._set_journal(journal)
        self._connection.execute("PRAGMA synchronous=NORMAL")  # a killed process loses nothing; a power cut the last moment
        with self._transaction():
            if not self._check_application():  # no other process has begun the file meanwhile
                self._connection.execute(f"PRAGMA application_id={APPLICATION}")
                self._connection.execute(f"PRAGMA user_version={VERSION}")
                for table in TABLES:
                    self._connection.execute(table)
                self._connection.executemany("INSERT INTO sweep VALUES (?, ?)", parts.items())
            there = dict(self._connection.execute("SELECT part, digest FROM sweep"))
        if different := sorted(name for name in there.keys() | parts.keys() if there.get(name) != parts.get(name)):
            raise ValueError(
                f"file {shown(str(self.path))} is of another sweep, which differs in: {', '.join(different)}. Take another "
                "file, or the same sweep. If the results are the same nevertheless, a name=... stands for make and callbacks"
            )

    def _set_journal(self, journal: str) -> None:
        """Ask until no other connection writes: to this one request SQLite says "locked" at once, whatever its timeout."""
        until = time.monotonic() + WAIT
        while True:
            try:
                self._connection.execute(f"PRAGMA journal_mode={journal}")
                return
            except sqlite3.OperationalError as error:
                if _code(error) not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED) or time.monotonic() > until:
                    raise
                time.sleep(0.01)

    def _check_application(self) -> bool:
        """Whether the file has been begun; refuses one of another program."""
        application = self._connection.execute("PRAGMA application_id").fetchone()[0]
        version = self._connection.execute("PRAGMA user_version").fetchone()[0]
        schema = self._connection.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
        if application == APPLICATION and version != VERSION:
            newer = ", written by a newer nncore" if version > VERSION else ""
            self._refuse(f" of version {version} of the format, not {VERSION}{newer}")
        if application == APPLICATION:
            if sorted(sql for (sql,) in schema) != sorted(TABLES):  # a view or a trigger would compute within each request
                self._refuse(" with other tables")
            return True
        if application or version or schema:
            self._refuse(" of another program")
        return False

    def _refuse(self, what: str, error: Exception | None = None) -> None:
        text = f"file must be a SQLite file of a sweep, or a new one, got {shown(str(self.path))}{what}"
        raise ValueError(text) from error

    @contextlib.contextmanager
    def _naming(self) -> Iterator[None]:
        """Errors name the file; those of its place, as a full disk, are an OSError."""
        try:
            yield
        except sqlite3.DatabaseError as error:
            code = _code(error)
            if not code:  # a mistake of the caller's, not of the file
                raise
            if code in OF_THE_PLACE:
                raise OSError(SYSTEM.get(code, errno.EIO), str(error), str(self.path)) from error
            self._refuse(f": {clipped(error)}", error)
        except UnicodeDecodeError as error:  # in a message of SQLite that repeats what it has found
            self._refuse(" with text that is not UTF-8", error)

    @contextlib.contextmanager
    def _transaction(self, kind: str = "IMMEDIATE") -> Iterator[None]:
        with self._lock, self._naming():
            self._connection.execute(f"BEGIN {kind}")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:  # of itself SQLite has ended the one that found the disk full
                    self._connection.execute("ROLLBACK")
                raise

    def close(self) -> None:
        """Give back what this sweep has claimed and not completed."""
        self._closing.set()
        try:
            with self._transaction():
                self._give_back("owner = ?", self.owner)
        finally:
            _at_work.discard(self.owner)  # a full disk may have kept its claims in the file
            with self._lock:
                self._connection.close()

    def _give_back(self, which: str, value: str) -> None:
        """Rows without an owner; those without a result go."""
        self._connection.execute(f"DELETE FROM runs WHERE ended IS NULL AND {which}", (value,))
        self._connection.execute(f"UPDATE runs SET owner = NULL, beat = NULL WHERE {which}", (value,))

    def claim(self, task: Task, epochs: int | None) -> Run | bool | None:
        """The result up to this epoch, or with None to the end, if there is one.

        Else True if the run is this call's to make, and None if it is being made already.
        """
        key, now = task.key, time.time()
        with self._transaction():
            row = self._connection.execute(
                'SELECT ended, epochs, seconds, "values", history, owner, beat FROM runs WHERE key = ?', (key,)
            ).fetchone()
            if row is not None and row[0] is not None:
                run = self._run(task, row)
                if run.reaches(epochs):
                    return run.after(epochs)
            if row is not None and row[5] is not None:
                with self._damage(task):
                    if _lives(row[5], row[6], now):
                        return None
            self._connection.execute(
                "INSERT INTO runs (key, what, owner, beat) VALUES (?, ?, ?, ?) "
                "ON CONFLICT (key) DO UPDATE SET owner = excluded.owner, beat = excluded.beat",
                (key, _described(task), self.owner, now),
            )
        return True

    def put(self, task: Task, run: Run) -> None:
        """Store a result; a run that was interrupted is given back."""
        with self._transaction():
            if run.ended == "interrupted":
                self._give_back("key = ?", task.key)
                return
            self._connection.execute(
                "INSERT OR REPLACE INTO runs VALUES (?, ?, ?, ?, ?, ?, ?, NULL, NULL)",
                (
                    task.key, _described(task), run.ended, run.epochs, run.seconds,
                    json.dumps({name: repr(value) for name, value in run.values.items()}), _packed(run.history),
                ),
            )  # fmt: skip

    def _beats(self) -> None:
        """Signs of life, on a thread of their own: a run may take long."""
        while not self._closing.wait(BEAT):
            # if others write for long the next one will do; that a file is damaged is told where a run is claimed
            with contextlib.suppress(sqlite3.Error, OSError, ValueError), self._transaction():
                self._connection.execute("UPDATE runs SET beat = ? WHERE owner = ?", (time.time(), self.owner))

    def _run(self, task: Task, row: Any) -> Run:
        ended, epochs, seconds, values, packed = row[:5]
        with self._damage(task):
            history = None if packed is None else _unpacked(packed)
            numbers = {str(name): float(value) for name, value in json.loads(values).items()}
            epochs, seconds = int(epochs), float(seconds)
            if not ended.startswith(ENDS):
                raise ValueError(f"ended is {shown(ended)}")
        return Run(task.number, task.candidate, task.parameters, task.seed, task.fold, ended, epochs, seconds, numbers, history)

    @contextlib.contextmanager
    def _damage(self, task: Task) -> Iterator[None]:
        """Says in which row it is."""
        try:
            yield
        except DAMAGE as error:
            raise ValueError(
                f"file {shown(str(self.path))} is damaged in the row of {clipped(_described(task))}, key {task.key}: "
                f"{clipped(error)}. Delete the row, and the run is made again"
            ) from error


def fingerprint(work: Work, name: str | None, more: Mapping[str, Any]) -> dict[str, str]:
    """What tells a sweep from others, a digest for each part: what is trained, on what data, and how."""
    named = {"name": name} if name is not None else {"make": work.make, "callbacks": work.callbacks}
    read = {  # by themselves too, for the message
        f"{variable} in {part}": value for part, function in named.items()
        for variable, value in variables(function).items() if not isinstance(value, ModuleType)
    }  # fmt: skip
    return digests({**named, **read, "data": work.folds, **work.fit, **more}, ADVICE)


def _described(task: Task) -> str:
    """For those who read the file."""
    parameters = ", ".join(f"{name}={shown(value)}" for name, value in task.parameters.items())
    return f"{parameters}; seed {task.seed}" + (f", fold {task.fold}" if task.fold is not None else "")


def _code(error: sqlite3.Error) -> int:
    """What SQLite has found, without the details in its upper bits; 0 for what Python has found."""
    return (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF


def _is_local(path: Path) -> bool:
    """Whether a file lies on a disk of this machine, as far as is known."""
    folder, best, found = path.resolve().parent, -1, ""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/mounts").read_text().splitlines():
            _, mounted, kind, *_ = line.split()
            depth = len(Path(mounted).parts)
            if depth >= best and folder.is_relative_to(mounted):  # of several on one folder the last one counts
                best, found = depth, kind
    return found in LOCAL


def _place() -> str:
    """Where the number of a process has a meaning: this start of this machine, of Linux this container."""
    place = socket.gethostname()
    with contextlib.suppress(OSError):
        place += " " + Path("/proc/sys/kernel/random/boot_id").read_text().strip() + " " + os.readlink("/proc/self/ns/pid")
    return place


def _started(pid: int) -> str | None:
    """When a process began, which tells it from a later one with the same number; None where only signs of life can tell."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return None


def _lives(owner: str, beat: float, now: float) -> bool:
    """Whether the sweep that has claimed a run may still be at work."""
    place, pid, started, _ = json.loads(owner)
    if place == _place() and started is not None:
        if _started(pid) != started:
            return False
        if pid == os.getpid():
            return owner in _at_work
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
