"""Sizes for recurrent kernels, functions to run them, and what their arrays are for each cell."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import nncore as nn
from nncore import _kernels, reference
from nncore._kernels import single_ops

Array = NDArray[Any]

RTOL = {"float32": 3e-6, "float64": 1e-13}  # of the array's largest number: errors are carried through up to 9 steps
CELLS: dict[str, Any] = {"simple_rnn": nn.SimpleRNN, "gru": nn.GRU, "gru_reset_before": partial(nn.GRU, reset_after=False)}
GATES = {"simple_rnn": 1, "gru": 3, "gru_reset_before": 3}
NAMES = {"simple_rnn": "simple_rnn_1", "gru": "gru_1", "gru_reset_before": "gru_1"}  # of the layers
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


def blocks(cell: str, U: Array) -> list[Array]:
    """The rows of U of each product."""
    return np.split(U, [2 * U.shape[1]]) if cell == "gru_reset_before" else [U]


def read_backward(cell: str, saved: Sequence[Array]) -> list[Array]:
    """Of what the forward pass saves (the gates, what a GRU keeps besides, the old states), what the backward pass reads."""
    return {"simple_rnn": [saved[0]], "gru": [*saved], "gru_reset_before": [saved[0], saved[-1]]}[cell]


def twin_forward(cell: str, a: Array, U: Array, c: Array, k: Any = 0.0, initial: Array | None = None) -> list[Array]:
    """h, and what is saved."""
    bias = [c] if cell == "gru" else []
    return list(getattr(reference, f"{cell}_forward")(a, U, *bias, k, initial))


def twin_backward(cell: str, dh: Array, saved: Sequence[Array], U: Array, k: Any = 0.0) -> list[Array]:
    """delta, and the gradients of the products that differ from it."""
    deltas = getattr(reference, f"{cell}_backward")(dh, *read_backward(cell, saved), U, k)
    return [deltas] if cell == "simple_rnn" else list(deltas)


def twin_backward_bfloat16(cell: str, dh: Array, saved: Sequence[Array], U: Array) -> list[Array]:
    """The same with products of bfloat16 numbers."""
    deltas = getattr(reference, f"{cell}_backward_bfloat16")(dh, *read_backward(cell, saved), U)
    return [deltas] if cell == "simple_rnn" else list(deltas)


def run(
    name: str, outputs: list[Array], inputs: Sequence[Array | None], dtype: str, rows: int, after: Sequence[Array] = (),
    **kw: Any,
) -> list[Array]:  # fmt: skip
    """The outputs, which may also be inputs, asserted to have the same bits on 1, 2 and 3 threads.

    ``after``: outputs that are declared after the inputs.
    """
    results = []
    copies = [None if array is None else array.copy() for array in inputs]
    for threads in (1, 2, 3):
        written = [Guarded(array) for array in (*outputs, *after)]
        arrays = [guarded.array for guarded in written]
        given = (*arrays[: len(outputs)], *inputs, *arrays[len(outputs) :])
        assert single_ops.run_op(name, given, dtype=np.dtype(dtype), rows=rows, threads=threads, **kw) == 0
        for guarded in written:
            guarded.check()
        results.append(arrays)
    assert all(a is None or a.tobytes() == b.tobytes() for a, b in zip(inputs, copies, strict=True))
    for other in results[1:]:
        assert all(a.tobytes() == b.tobytes() for a, b in zip(results[0], other, strict=True))
    return results[0]
