"""Sizes for recurrent kernels, and functions to run them."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import nncore as nn
from nncore import _kernels
from nncore._kernels import single_ops

Array = NDArray[Any]

RTOL = {"float32": 3e-6, "float64": 1e-13}  # of the array's largest number: errors are carried through up to 9 steps
CELLS = {"simple_rnn": nn.SimpleRNN, "gru": nn.GRU}
GATES = {"simple_rnn": 1, "gru": 3}
# rows, steps, inputs, units: each one 1, edges of vectors and panels; the last has several blocks of rows.
SIZES = [(1, 1, 1, 1), (1, 5, 3, 17), (3, 1, 2, 4), (2, 4, 1, 8), (7, 3, 5, 1), (5, 9, 4, 33), (13, 2, 16, 70), (67, 3, 7, 16)]
each_cell = pytest.mark.parametrize("cell", CELLS)
each_dtype = pytest.mark.parametrize("dtype", RTOL)
each_isa = pytest.mark.parametrize("isa", _kernels.complete_isas())


class Guarded:
    """An array inside a larger one; nothing else in the larger one may change."""

    def __init__(self, values: Array) -> None:
        self.whole = np.full(values.size + 32, 77, values.dtype)
        self.array = self.whole[16:-16].reshape(values.shape)
        self.array[...] = values

    def check(self) -> None:
        assert (self.whole[:16] == 77).all()
        assert (self.whole[-16:] == 77).all()


def run(name: str, outputs: list[Array], inputs: list[Array | None], dtype: str, rows: int, **kw: Any) -> list[Array]:
    """The outputs, which may also be inputs, asserted to have the same bits on 1, 2 and 3 threads."""
    results = []
    copies = [None if array is None else array.copy() for array in inputs]
    for threads in (1, 2, 3):
        written = [Guarded(array) for array in outputs]
        arrays = (*(guarded.array for guarded in written), *inputs)
        assert single_ops.run_op(name, arrays, dtype=np.dtype(dtype), rows=rows, threads=threads, **kw) == 0
        for guarded in written:
            guarded.check()
        results.append([guarded.array for guarded in written])
    assert all(a is None or np.array_equal(a, b) for a, b in zip(inputs, copies, strict=True))
    for other in results[1:]:
        assert all(a.tobytes() == b.tobytes() for a, b in zip(results[0], other, strict=True))
    return results[0]
