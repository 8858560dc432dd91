"""A forked child under ptrace: it is killed, or told an error, at a chosen call of the system. Linux on x86-64."""

from __future__ import annotations

import ctypes
import os
import pickle
import platform
import signal
import sys
from collections.abc import Callable
from typing import NamedTuple

TRACEME, PEEKUSER, POKEUSER, DETACH, SYSCALL, SETOPTIONS = 0, 3, 6, 17, 24, 0x4200
SYSGOOD, EXITKILL = 1, 1 << 20
ORIG_RAX, RAX = 15 * 8, 10 * 8  # places of the number of a call and of its result among the registers
CALLS = {  # of files; an error of any of them may come from a disk
    0: "read", 1: "write", 2: "open", 3: "close", 4: "stat", 5: "fstat", 6: "lstat", 8: "lseek", 17: "pread64", 18: "pwrite64",
    20: "writev", 72: "fcntl", 73: "flock", 74: "fsync", 75: "fdatasync", 76: "truncate", 77: "ftruncate", 82: "rename",
    83: "mkdir", 84: "rmdir", 87: "unlink", 89: "readlink", 90: "chmod", 91: "fchmod", 92: "chown", 93: "fchown",
    217: "getdents64", 257: "openat", 262: "newfstatat", 263: "unlinkat", 264: "renameat", 267: "readlinkat", 285: "fallocate",
    316: "renameat2", 332: "statx",
}  # fmt: skip
CHANGING = frozenset(  # those that a disk refuses when it is full, has failed or may not be written
    {"write", "openat", "close", "fsync", "fdatasync", "ftruncate", "pwrite64", "rename", "unlink", "mkdir", "fchmod", "fchown"}
)
KILL = -1
LIMIT = 50  # seconds for a child
SUPPORTED = sys.platform == "linux" and platform.machine() == "x86_64"

_libc = ctypes.CDLL(None, use_errno=True)
if SUPPORTED:
    _libc.ptrace.restype = ctypes.c_long
    _libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]


class Outcome(NamedTuple):
    """The calls of files that a child made, how it ended, and the error that it raised."""

    calls: list[str]
    killed: bool
    error: BaseException | None


def _ptrace(request: int, pid: int, address: int = 0, data: int = 0) -> int:
    ctypes.set_errno(0)
    result = int(_libc.ptrace(request, pid, address, data))
    if result == -1 and (number := ctypes.get_errno()):
        raise OSError(number, os.strerror(number), "ptrace")
    return result


def run(function: Callable[[], object], decide: Callable[[int, str], int] | None = None) -> Outcome:
    """Run a function in a child. ``decide(n, name)`` says what happens to its n-th call: 0, an errno, or KILL."""
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(read)
        _child(function, write, decide is not None)
    os.close(write)
    try:
        calls, killed = ([], False) if decide is None else _follow(pid, decide)
    finally:
        with open(read, "rb") as pipe:
            answer = pipe.read()
    if not killed:
        os.waitpid(pid, 0)
    if not killed and not answer:
        raise RuntimeError(f"the child ended by itself, or was at work for longer than {LIMIT} s")
    return Outcome(calls, killed, pickle.loads(answer) if answer else None)


def every_call(number: int, call: str) -> int:
    """Follow the calls, no more."""
    return 0


def _child(function: Callable[[], object], write: int, traced: bool) -> None:
    """What is between the two stops is followed."""
    error: BaseException | None = None
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(LIMIT)
    try:
        if traced:
            _ptrace(TRACEME, 0)
            os.kill(os.getpid(), signal.SIGSTOP)
        try:
            function()
        except BaseException as raised:
            error = raised
        if traced:
            os.kill(os.getpid(), signal.SIGSTOP)
    finally:
        with open(write, "wb") as pipe:
            try:
                pickle.dump(error, pipe)
            except Exception:
                pickle.dump(RuntimeError(repr(error)), pipe)
        os._exit(0)


def _follow(pid: int, decide: Callable[[int, str], int]) -> tuple[list[str], bool]:
    calls: list[str] = []
    _, status = os.waitpid(pid, 0)
    _ptrace(SETOPTIONS, pid, 0, SYSGOOD | EXITKILL)
    entering, told = True, 0
    while True:
        _ptrace(SYSCALL, pid)
        _, status = os.waitpid(pid, 0)
        if not os.WIFSTOPPED(status):
            raise RuntimeError(f"the child ended by itself: {status}")
        if os.WSTOPSIG(status) == signal.SIGSTOP:
            break
        if os.WSTOPSIG(status) != signal.SIGTRAP | 0x80:
            continue
        if entering:
            name = CALLS.get(_ptrace(PEEKUSER, pid, ORIG_RAX))
            if name:
                told = decide(len(calls), name)
                calls.append(name)
            if told == KILL:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
                return calls, True
            if told:
                _ptrace(POKEUSER, pid, ORIG_RAX, ctypes.c_size_t(-1).value)  # there is no such call
        elif told:
            _ptrace(POKEUSER, pid, RAX, ctypes.c_size_t(-told).value)
            told = 0
        entering = not entering
    _ptrace(DETACH, pid)
    return calls, False
