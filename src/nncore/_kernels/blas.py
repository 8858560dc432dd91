"""The BLAS and LAPACK of NumPy and SciPy: kept to one thread where they compute results, and in place of our own products.

A BLAS shares out a product by the number of its threads, by default that of the cores, and rounds differently with each number.
So whatever reaches a result and goes through ``@``, ``dot``, ``np.linalg``, ``scipy.linalg``, ``scipy.optimize`` or
``scipy.sparse.linalg`` runs within `one_blas_thread`, or is written without them (``np.square(w).sum()`` for ``w @ w``).

With ``NNCORE_GEMM=blas`` the products of dense layers go to SciPy's BLAS.
"""

from __future__ import annotations

import ctypes
import functools
import os
import weakref
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncore._kernels.threads import Lock
from nncore._messages import shown

__all__ = ["gemm", "gemm_name", "gemm_variant", "one_blas_thread", "one_thread"]

NAMES = ("own", "blas")
gemm_name = os.environ.get("NNCORE_GEMM") or "own"
if gemm_name not in NAMES:
    raise ImportError(f"NNCORE_GEMM must be one of {', '.join(NAMES)}, got {shown(gemm_name)}")


def gemm_variant(dtype: Any) -> tuple[str, tuple[NDArray[np.uintp], ...]]:
    """What to append to the names and to the arrays of a dense layer's products."""
    return ("_blas", (gemm(np.dtype(dtype).char),)) if gemm_name == "blas" else ("", ())


@functools.cache
def gemm(char: str) -> NDArray[np.uintp]:
    """The address of sgemm ("f") or dgemm ("d"), in an array of one."""
    from scipy.linalg import cython_blas

    capsule = cython_blas.__pyx_capi__[{"f": "sgemm", "d": "dgemm"}[char]]
    name_of, pointer_of = ctypes.pythonapi.PyCapsule_GetName, ctypes.pythonapi.PyCapsule_GetPointer
    name_of.restype, name_of.argtypes = ctypes.c_char_p, [ctypes.py_object]
    pointer_of.restype, pointer_of.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    signature = name_of(capsule)
    if not signature.startswith(b"void (char *, char *, int *, int *, int *,"):
        raise ImportError(f"NNCORE_GEMM=blas needs a BLAS with integers of the C type int, got {signature.decode()}")
    return np.array([pointer_of(capsule, signature)], dtype=np.uintp)


@functools.cache
def _pools() -> list[Any]:
    import scipy.linalg  # noqa: F401  SciPy may have a BLAS of its own, and only libraries that are loaded are found
    from threadpoolctl import ThreadpoolController

    return [pool for pool in ThreadpoolController().lib_controllers if pool.user_api == "blas"]


class _Holder:
    """One that wants the limit. It is known by a weak reference: one that Ctrl-C ended at a bad moment is forgotten."""


_lock, _holders = Lock(), weakref.WeakSet[_Holder]()
_before: list[tuple[Any, int]] | None = None  # the pools, and how many threads each had
_NO_LIMIT = nullcontext()


def one_thread() -> AbstractContextManager[None]:
    """Within, if products go to the BLAS, each of its calls runs on one thread: ours share out the work."""
    return _NO_LIMIT if gemm_name == "own" else one_blas_thread()


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Within, or in a function that it decorates, BLAS and LAPACK run on one thread: the same bits on any number of cores.

    The limit holds for the whole process, so the first of several Python threads sets it and the last one lifts it.
    """
    global _before
    holder = _Holder()
    try:
        with _lock:
            _holders.add(holder)
            if _before is None:
                _before = [(pool, pool.get_num_threads()) for pool in _pools()]
            if len(_holders) == 1:
                _set(1)
        yield
    finally:
        with _lock:
            _holders.discard(holder)
            if not _holders and _before is not None:
                _set(None)
                _before = None


def _set(threads: int | None) -> None:
    """The number of threads of each pool; None for what it was before."""
    for pool, before in _before or ():
        pool.set_num_threads(before if threads is None else threads)
