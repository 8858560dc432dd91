"""Number of threads that a program may use, and locks for Python threads."""

from __future__ import annotations

import math
import os
import re
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from numbers import Integral

from nncore._kernels import program
from nncore._kernels.cpus import affinity, cgroup_quota
from nncore._messages import shown

MAX_THREADS = program.MAX_THREADS

_cpus, _quota = affinity(), cgroup_quota()  # read once: get_num_threads is called before every call of a program
_default = min(_cpus, max(1, math.ceil(min(_quota, MAX_THREADS))), MAX_THREADS)
_asked = 0  # set by set_num_threads or NNCORE_NUM_THREADS; 0: not set
_source = ""  # of _asked
_single: set[int] = set()  # Python threads within `one_thread`
_forked = False  # libgomp's pool of threads does not survive a fork: a child that opened a parallel region would hang


def set_num_threads(n: int) -> None:
    """Use at most ``n`` threads in each call from now on, regardless of OpenMP, affinity and CPU quota.

    The results do not depend on it: the same seed gives the same bits for any number of threads.

    Parameters
    ----------
    n : int
        From 1 to 256. Without OpenMP, and in a forked child, every call runs on one thread regardless of ``n``.

    Examples
    --------
    >>> import nncore as nn
    >>> before = nn.get_num_threads()
    >>> nn.set_num_threads(1)
    >>> nn.get_num_threads()
    1
    >>> nn.set_num_threads(before)
    """
    if isinstance(n, bool) or not isinstance(n, Integral) or not 1 <= n <= MAX_THREADS:
        raise ValueError(f"n must be a positive integer of at most {MAX_THREADS}, got {shown(n)}")
    _ask(int(n), "set_num_threads")


def get_num_threads() -> int:
    """The number of threads a call may use.

    The value set by ``set_num_threads`` or ``NNCORE_NUM_THREADS``. Otherwise the minimum of

    - the number of CPUs in the affinity of the process, as it was at import,
    - the CPU quota of its cgroup (a container's limit), rounded up, as it was at import,
    - the number of threads that OpenMP would use in the calling Python thread: ``OMP_NUM_THREADS``, ``OMP_THREAD_LIMIT`` or
      ``threadpoolctl.threadpool_limits``.

    `show_config` shows which of these applies.
    """
    if _single and threading.get_ident() in _single:
        return 1
    return _asked or min(_default, program.openmp_threads())


@contextmanager
def one_thread() -> Iterator[None]:
    """A context in which the calls of this Python thread run on one thread: others work beside it."""
    me = threading.get_ident()
    outer = me in _single
    _single.add(me)
    try:
        yield
    finally:
        if not outer:
            _single.discard(me)


def source_of_threads() -> str:
    """The origin of the number of threads."""
    if _forked:
        return "a forked child cannot use OpenMP"
    if not program.has_openmp():
        return "built without OpenMP"
    if _asked:
        return _source
    if program.openmp_threads() < _default:
        return "limit of OpenMP: OMP_NUM_THREADS, OMP_THREAD_LIMIT or threadpool_limits"
    if _default < min(_cpus, MAX_THREADS):
        return "CPU quota of the cgroup"
    return "CPUs that the process may use" if _cpus <= MAX_THREADS else "the maximum"


def _ask(n: int, source: str) -> None:
    global _asked, _source
    _asked, _source = n if program.has_openmp() and not _forked else 1, source


class Lock(program.WatchedLock):
    """A reentrant lock that is free in a forked child, unless the forking thread holds it.

    Only the forking thread exists in the child: a lock held by another thread would never be released.
    """

    def __init__(self) -> None:
        super().__init__()
        _locks.add(self)

    def __reduce__(self) -> tuple[type[Lock], tuple[()]]:  # a copy is another lock
        return Lock, ()

    @property
    def held(self) -> bool:
        """Whether this thread holds it."""
        return self.holder == threading.get_ident()

    def give_way(self) -> None:
        """Let the threads that wait for the lock have it, before this thread, which has just released it, takes it again.

        Each gets a quarter of a second at most: it may be in a signal handler that waits for this thread.
        """
        if not program.waiting:
            return
        for thread in [thread for thread, lock in list(program.waiting.items()) if lock is self]:
            end = time.monotonic() + program.LOOK
            while program.waiting.get(thread) is self and time.monotonic() < end:
                time.sleep(1e-4)


_locks: weakref.WeakSet[Lock] = weakref.WeakSet()


def _after_fork() -> None:
    global _forked, _asked
    _forked, _asked = True, 1
    _single.clear()
    program.after_fork()
    for lock in list(_locks):
        lock.renew()


def _read_environment() -> None:
    text = os.environ.get("NNCORE_NUM_THREADS")
    if text is None:
        return
    if not re.fullmatch("0*[1-9][0-9]{0,3}", text) or int(text) > MAX_THREADS:
        raise ImportError(f"NNCORE_NUM_THREADS must be a positive integer of at most {MAX_THREADS}, got {shown(text)}")
    _ask(int(text), "NNCORE_NUM_THREADS")


_read_environment()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
