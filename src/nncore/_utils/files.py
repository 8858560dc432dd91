"""Files: how they are written, so that a reader sees the old content or the new, and how they name classes."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import os
import stat
import uuid
from collections.abc import Callable, Iterator
from os import PathLike
from pathlib import Path
from typing import IO, Any, Protocol

from nncore._messages import shown
from nncore._utils.own import is_own

try:
    import fcntl
except ImportError:  # Windows, where a file that is open cannot be removed
    fcntl = None  # type: ignore[assignment]

__all__ = [
    "Readable", "Source", "Target", "Writable", "append", "check_target", "class_name", "content", "file_name",
    "named", "naming", "regular", "stream", "write", "write_all", "write_to",
]  # fmt: skip


class Readable(Protocol):
    """A file object opened for reading in binary mode."""

    def read(self) -> bytes: ...


class Writable(Protocol):
    """A file object opened for writing in binary mode."""

    def write(self, data: memoryview, /) -> int | None: ...


Source = str | bytes | PathLike[str] | Readable
Target = str | bytes | PathLike[str] | Writable
CUSTOM = "custom."  # in front of the name of a class that is not nncore's own
NOT_SUPPORTED = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EPERM}


def named(file: Any) -> str:
    """A path or file object, for messages."""
    return os.fsdecode(file) if isinstance(file, (str, bytes, PathLike)) else str(getattr(file, "name", shown(file)))


def file_name(path: str | bytes | PathLike[str]) -> str:
    """A path as a string, which a file may have as its name."""
    name = os.fsdecode(path)
    try:
        possible = b"\0" not in os.fsencode(name)
    except UnicodeEncodeError:
        possible = False
    if not possible:
        raise ValueError(f"path must be the name of a file, got {shown(name)}")
    return name


def regular(path: str | bytes | PathLike[str]) -> str:
    """The path of a regular file."""
    name = file_name(path)
    if not stat.S_ISREG(os.stat(name).st_mode):
        raise ValueError(f"{name} is a folder, a pipe or a device, not a file; read a pipe through a file object")
    return name


def content(file: Source) -> bytes:
    """The bytes of a regular file, or of a file object from its position on."""
    if isinstance(file, (str, bytes, PathLike)):
        return Path(regular(file)).read_bytes()
    try:
        data = file.read() if callable(getattr(file, "read", None)) else None
    except UnicodeDecodeError:  # opened as text
        data = None
    if not isinstance(data, bytes):
        raise TypeError(f"path must be a path or a file object opened for reading in binary mode, got {shown(file)}")
    return data


def class_name(cls: type) -> str:
    """The name of a class in files: one that is not nncore's own is marked, so that it is never taken for one that is.

    >>> import nncore as nn
    >>> class_name(nn.Tanh), class_name(dict)
    ('Tanh', 'custom.dict')
    """
    return cls.__name__ if is_own(cls) else CUSTOM + cls.__name__


def check_target(path: str | bytes | PathLike[str]) -> Path:
    """The path, if a file may be written there."""
    target = Path(file_name(path))
    if target.is_dir():
        raise IsADirectoryError(f"path must be a file, got the folder {target}")
    if not target.parent.is_dir():
        raise FileNotFoundError(f"path must be in a folder that exists, got {target}")
    return target


def write_to(file: Target, data: bytes) -> None:
    """Write to a path or to a binary file object."""
    if isinstance(file, (str, bytes, PathLike)):
        write(file, data)
    elif callable(getattr(file, "write", None)) and not isinstance(file, io.TextIOBase):
        write_all(file, data)
    else:
        raise TypeError(f"path must be a path or a file object opened for writing in binary mode, got {shown(file)}")


def write(path: str | bytes | PathLike[str], data: bytes) -> None:
    """Write a regular file through a temporary file in the same folder, which then replaces it.

    A symbolic link stays, and the file it points to is written; an existing file keeps its mode and, where permitted, its
    owner; other hard links to it keep the old content. Streams are written into: see `stream`. A temporary file that was
    left by a process that was killed is removed by the next call with the same path.

    The content is on the disk before the name points to it: after a power cut the file is the old one or the new one.
    """
    target = check_target(path)
    with naming(target):
        if opened := stream(target):
            with opened() as file:
                write_all(file, data)
            return
        before = _stat(target)
        target = Path(os.path.realpath(target))
        _remove_abandoned(target)
        with _temporary(target, before) as (file, temporary):
            write_all(file, data)
            file.flush()
            with _where_supported():
                os.fsync(file.fileno())
            os.replace(temporary, target)


@contextlib.contextmanager
def naming(path: str | bytes | PathLike[str]) -> Iterator[None]:
    """Errors name the path: those of reads and writes name nothing, others a temporary file that the caller does not know."""
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, os.fsdecode(path)) from error


@contextlib.contextmanager
def _where_supported() -> Iterator[None]:
    """File systems without owners, modes or fsync say so by an error; their files are as good as they can be."""
    try:
        yield
    except OSError as error:
        if error.errno not in NOT_SUPPORTED:
            raise


def stream(path: Path) -> Callable[[], IO[bytes]] | None:
    """A function that opens a pipe, a device or a file that this process has open; None for files to be replaced.

    /dev/stdout, /dev/stderr and /dev/fd/N may have been redirected to a file: what others write to it stays.
    """
    status = _stat(path)
    if status is None:
        return None
    if (descriptor := _descriptor(path)) is not None:
        return lambda: open(os.dup(descriptor), "wb", buffering=0)
    return None if stat.S_ISREG(status.st_mode) else lambda: open(path, "wb", buffering=0)


def _descriptor(path: Path) -> int | None:
    """The descriptor that a path such as /dev/stdout denotes."""
    for _ in range(40):  # links, as many as Linux follows
        folder = os.path.realpath(path.parent)
        if folder in ("/dev/fd", f"/proc/{os.getpid()}/fd") and path.name.isdecimal():
            return int(path.name)
        if folder == "/dev" and path.name in ("stdout", "stderr"):
            return 1 if path.name == "stdout" else 2
        if not path.is_symlink():
            return None
        path = Path(folder, os.readlink(path))
    return None


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except FileNotFoundError:
        return None


def append(path: Path, data: bytes) -> None:
    """Add to the end of a file all of the data, or nothing if that fails."""
    with naming(path), open(path, "ab", buffering=0) as file:
        end = file.seek(0, os.SEEK_END)
        try:
            write_all(file, data)
        except BaseException:
            with contextlib.suppress(OSError):  # the first error says what happened
                file.truncate(end)
            raise


def write_all(file: Any, data: bytes) -> None:
    """Write all of the data: an unbuffered file may take a part at a time, as on a disk that is full."""
    rest = memoryview(data)
    while rest:
        taken = file.write(rest)
        so_far = f"only {len(data) - len(rest)} of {len(data)} bytes could be written"
        if taken is None and isinstance(file, io.RawIOBase):  # it would block
            raise BlockingIOError(errno.EAGAIN, so_far, named(file))
        if taken is not None and not 0 < taken <= len(rest):
            raise OSError(errno.EIO, so_far, named(file))
        rest = rest[len(rest) if taken is None else taken :]


@contextlib.contextmanager
def _temporary(target: Path, before: os.stat_result | None) -> Iterator[tuple[Any, Path]]:
    """A new file in the folder of the target, locked while in use; removed unless it was renamed."""
    # without access for others: the file gets the mode of the one it replaces before anything is written
    opener = None if before is None else (lambda path, flags: os.open(path, flags, 0o600))
    while True:
        temporary = target.with_name(f"{_prefix(target)}{uuid.uuid4().hex}")
        with open(temporary, "xb", opener=opener) as file:
            try:
                _lock(file, wait=True)
                if not os.fstat(file.fileno()).st_nlink:  # another process took it for abandoned before it was locked
                    continue
                if before is not None:
                    _take_over(before, file.fileno())
                yield file, temporary
                return
            except BaseException:
                with contextlib.suppress(OSError):  # the first error says what happened
                    temporary.unlink(missing_ok=True)
                raise


def _take_over(before: os.stat_result, file: int) -> None:
    """Owner, as far as permitted, and mode of the file before; the mode last, as a new owner resets parts of it."""
    if not hasattr(os, "fchown"):  # Windows
        return
    now = os.fstat(file)
    if (now.st_uid, now.st_gid) != (before.st_uid, before.st_gid):
        with _where_supported():
            os.fchown(file, before.st_uid, before.st_gid)
    with _where_supported():
        os.fchmod(file, stat.S_IMODE(before.st_mode))


def _prefix(target: Path) -> str:
    """The prefix of temporary files for this target: short, however long its name is."""
    return f".nncore-{hashlib.sha256(os.fsencode(target.name)).hexdigest()[:16]}-"


def _lock(file: Any, *, wait: bool = False) -> bool:
    """Lock an open file; whether it is locked now. A file system may have no locks."""
    if fcntl is None:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        return False
    return True


def _remove_abandoned(target: Path) -> None:
    """Remove the temporary files of killed processes, which are no longer locked."""
    prefix, paths = _prefix(target), []
    with contextlib.suppress(OSError), os.scandir(target.parent) as entries:
        paths = [entry.path for entry in entries if entry.name.startswith(prefix) and entry.is_file(follow_symlinks=False)]
    for path in paths:
        with contextlib.suppress(OSError), open(path, "rb") as file:
            if _lock(file):
                os.unlink(path)
