"""Memory for the kernels."""

from __future__ import annotations

import os
import pickle

import numpy as np
import pytest

from nncore._utils.arrays import HUGE_PAGE, aligned_zeros, same_part

SIZES = (1, 3, HUGE_PAGE // 8 - 1, HUGE_PAGE // 8, HUGE_PAGE // 4, HUGE_PAGE + 1)  # float32: on both sides of half a page


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
def test_zeros_are_aligned_to_a_cache_line(size: int, dtype: str) -> None:
    for _ in range(3):  # their offsets differ
        array = aligned_zeros(size, dtype)
        assert array.shape == (size,)
        assert array.dtype == dtype
        assert array.__array_interface__["data"][0] % 64 == 0
        assert not array.any()
        array[:] = 1  # all of it is ours
        assert array.sum() == size


def test_shapes_parts_and_copies() -> None:
    source, target = aligned_zeros((2, 400_000), "float32")
    source[:] = np.arange(400_000)
    part = same_part(source[10:22].reshape(3, 4), source, target)
    part[...] = 7
    assert np.flatnonzero(target).tolist() == list(range(10, 22))
    again = pickle.loads(pickle.dumps(source))
    assert np.array_equal(again, source)
    assert not np.shares_memory(again, source)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_forked_child_has_its_own() -> None:
    array = aligned_zeros(HUGE_PAGE, "float64")
    child = os.fork()
    if child == 0:
        array[:] = 1
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert not array.any()
