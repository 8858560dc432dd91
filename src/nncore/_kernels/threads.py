"""How many threads a program may use."""

from __future__ import annotations

import os

from nncore._kernels import program

_threads = 1


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
        At least 1. Without OpenMP every call runs on one thread whatever ``n`` is.

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
    if isinstance(n, bool) or not isinstance(n, int) or n < 1:
        raise ValueError(f"n must be a positive integer, got {n!r}")
    _threads = n if program.has_openmp() else 1


def get_num_threads() -> int:
    """The number of threads a call may use."""
    return _threads


def _from_environment() -> int:
    text = os.environ.get("NNCORE_NUM_THREADS")
    if text is None:
        return _available_cores()
    if not text.isdecimal() or int(text) < 1:
        raise ImportError(f"NNCORE_NUM_THREADS must be a positive integer, got {text!r}")
    return int(text)


set_num_threads(_from_environment())
if hasattr(os, "register_at_fork"):
    # libgomp's pool of threads does not survive a fork: a child that opened a parallel region would hang.
    os.register_at_fork(after_in_child=lambda: set_num_threads(1))
