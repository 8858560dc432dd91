"""How many threads a program may use, and the locks of Python threads that use the same things."""

from __future__ import annotations

import os
import threading
import weakref
from numbers import Integral

from nncore._kernels import program

_threads = 1
_forked = False  # libgomp's pool of threads does not survive a fork: a child that opened a parallel region would hang


def _available_cores() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on Linux
        return os.cpu_count() or 1


def set_num_threads(n: int) -> None:
    """Use at most ``n`` threads in each call from now on.

    The results do not depend on it: the same seed gives the same bits for any number of threads.

    Parameters
    ----------
    n : int
        At least 1; more than 256 count as 256, the most that a call can use. Without OpenMP, and in a forked child, every call
        runs on one thread whatever ``n`` is.

    Examples
    --------
    >>> import nncore as nn
    >>> before = nn.get_num_threads()
    >>> nn.set_num_threads(1)
    >>> nn.get_num_threads()
    1
    >>> nn.set_num_threads(before)
    """
    global _threads
    if isinstance(n, bool) or not isinstance(n, Integral) or n < 1:
        raise ValueError(f"n must be a positive integer, got {n!r}")
    _threads = min(int(n), program.MAX_THREADS) if program.has_openmp() and not _forked else 1


def get_num_threads() -> int:
    """The number of threads a call may use."""
    return _threads


class Lock:
    """A reentrant lock that a forked child finds free, unless the thread that forked has it.

    Of the threads of the parent only the one that forked exists in the child: what another one holds would never be released.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        _locks.add(self)

    def acquire(self, blocking: bool = True) -> bool:
        return self._lock.acquire(blocking)

    def release(self) -> None:
        self._lock.release()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *failure: object) -> None:
        self._lock.release()

    def renew(self) -> None:
        """In a forked child: free, or held by this thread as before."""
        if self._lock.acquire(blocking=False):
            self._lock.release()
        else:
            self._lock = threading.RLock()

    def __reduce__(self) -> tuple[type[Lock], tuple[()]]:  # a copy is another lock
        return Lock, ()


_locks: weakref.WeakSet[Lock] = weakref.WeakSet()


def _after_fork() -> None:
    global _forked, _threads
    _forked, _threads = True, 1
    for lock in list(_locks):
        lock.renew()


def _from_environment() -> int:
    text = os.environ.get("NNCORE_NUM_THREADS")
    if text is None:
        return _available_cores()
    if not (text.isdecimal() and text.lstrip("0")):
        raise ImportError(f"NNCORE_NUM_THREADS must be a positive integer, got {text!r}")
    return int(text) if len(text) < 10 else program.MAX_THREADS


set_num_threads(_from_environment())
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
