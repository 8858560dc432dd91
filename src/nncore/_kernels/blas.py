"""The BLAS and LAPACK of NumPy and SciPy: limit them to one thread where they compute results, or use them for dense products.

A BLAS divides a product by the number of its threads, by default the number of cores, and its rounding depends on that number.
So any code that affects a result and uses ``@``, ``dot``, ``np.linalg``, ``scipy.linalg``, ``scipy.optimize`` or
``scipy.sparse.linalg`` runs within `one_blas_thread`, or avoids them (``np.square(w).sum()`` for ``w @ w``).

With ``NNCORE_GEMM=blas`` the products of dense layers are computed by SciPy's BLAS.
"""

from __future__ import annotations

import ctypes
import functools
import os
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from nncore._kernels.threads import Lock
from nncore._messages import shown

__all__ = ["gemm", "gemm_name", "gemm_variant", "on_one_blas_thread", "one_blas_thread"]

T = TypeVar("T")

NAMES = ("own", "blas")
gemm_name = os.environ.get("NNCORE_GEMM") or "own"
if gemm_name not in NAMES:
    raise ImportError(f"NNCORE_GEMM must be one of {', '.join(NAMES)}, got {shown(gemm_name)}")


def gemm_variant(dtype: Any) -> tuple[str, tuple[NDArray[np.uintp], ...]]:
    """The suffix of op names and the extra arrays of a dense layer's products."""
    return ("_blas", (gemm(np.dtype(dtype).char),)) if gemm_name == "blas" else ("", ())


@functools.cache
def gemm(char: str) -> NDArray[np.uintp]:
    """The address of sgemm ("f") or dgemm ("d"), in an array of one element."""
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
    import scipy.linalg  # noqa: F401  SciPy may have a separate BLAS, and only loaded libraries are found
    from threadpoolctl import ThreadpoolController

    return [pool for pool in ThreadpoolController().lib_controllers if pool.user_api == "blas"]


class _Holder:
    """A holder of the limit. It is weakly referenced, so that one interrupted by Ctrl-C is released."""


_lock, _holders = Lock(), weakref.WeakSet[_Holder]()
_before: list[tuple[Any, int]] | None = None  # the pools, and the number of threads each had


def on_one_blas_thread(run: Callable[..., T]) -> Callable[..., T]:
    """The function with each call of a BLAS used for dense products on one thread: nncore's threads divide the work."""
    return run if gemm_name == "own" else one_blas_thread()(run)


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Context or decorator in which BLAS and LAPACK run on one thread: the same bits on any number of cores.

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
    """Set the number of threads of each pool; None restores the previous numbers.

    From version 3.8 on threadpoolctl ignores all Python threads but the first that has set the number of an OpenBLAS.
    `_holders` counts those of all threads, so each of them may.
    """
    for pool, before in _before or ():
        give_up = getattr(pool, "clear_controlling_thread", lambda force: None)
        give_up(force=True)
        pool.set_num_threads(before if threads is None else threads)
        give_up(force=True)
