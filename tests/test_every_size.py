"""The three products of the dense layer at every size from 1 to 40 in each of rows, inputs and units.

Each element of a product is one chain of multiply-adds, independent of all others (docs/design/gemm.rst). So the product
of the largest size is compared with the NumPy twin, and every smaller one must have the same bits as that part of it.
"""

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest
from helpers.kernels import GUARD, assert_near
from numpy.typing import NDArray

from nncore import _kernels, reference
from nncore._kernels import single_ops

Array = NDArray[Any]

MOST = 40
SIZES = range(1, MOST + 1)


def numbers(rng: np.random.Generator, *shape: int) -> Array:
    return rng.normal(size=shape).astype(np.float32)


def run(name: str, out: tuple[int, int], arrays: tuple[Any, ...], sizes: tuple[int, int], rows: int, **kw: Any) -> Array:
    """The output of an op, followed by memory that must stay unchanged."""
    whole = np.full(out[0] * out[1] + GUARD, np.nan, np.float32)
    run: dict[str, Any] = {"dtype": np.float32, "threads": 1, "block_rows": MOST}
    assert single_ops.run_op(name, (whole, *arrays), sizes=sizes, rows=rows, **run, **kw) == 0
    assert np.isnan(whole[-GUARD:]).all()
    return whole[:-GUARD].reshape(out)


def check_rows(
    compute: Callable[[Array, int], Array], given: Array, twin: Callable[[Array], Array], terms: Callable[[Array], Array]
) -> None:
    """``compute(the first rows of given, how many)`` for each number of rows."""
    largest = compute(given, MOST)
    assert_near(largest, twin(given.astype(np.float64)), terms(np.abs(given).astype(np.float64)), "product")
    for rows in SIZES[:-1]:
        assert compute(given[:rows].copy(), rows).tobytes() == largest[:rows].tobytes(), rows


def test_forward(rng: np.random.Generator) -> None:
    for inputs, units in product(SIZES, SIZES):
        x, W, b = numbers(rng, MOST, inputs), numbers(rng, units, inputs), numbers(rng, units)
        tiles, packed = _kernels.weight_tiles(units, inputs), np.empty(_kernels.packed_size(units, inputs), np.float32)
        single_ops.run_op(
            "pack_weight",
            (packed, W, tiles),
            dtype=np.float32,
            sizes=(units, inputs),
            axis="tiles",
            pieces=len(tiles),
            threads=1,
        )

        def forward(x: Array, rows: int, s: tuple[int, int] = (units, inputs), packed: Array = packed, b: Array = b) -> Array:
            return run("dense_forward", (rows, s[0]), (x, packed, b), s, rows)

        W64, b64 = W.astype(np.float64), b.astype(np.float64)
        check_rows(
            forward, x, lambda x, W=W64, b=b64: reference.dense_forward(x, W, b),
            lambda x, W=W64, b=b64: reference.dense_forward(x, np.abs(W), np.abs(b)),
        )  # fmt: skip


def test_backward_input(rng: np.random.Generator) -> None:
    for inputs, units in product(SIZES, SIZES):
        dy, W = numbers(rng, MOST, units), numbers(rng, units, inputs)

        def backward(dy: Array, rows: int, s: tuple[int, int] = (units, inputs), W: Array = W) -> Array:
            return run("dense_backward_input", (rows, s[1]), (dy, W), s, rows)

        W64 = W.astype(np.float64)
        check_rows(
            backward, dy, lambda dy, W=W64: reference.dense_backward_input(dy, W),
            lambda dy, W=W64: reference.dense_backward_input(dy, np.abs(W)),
        )  # fmt: skip


def weight_gradient(dy: Array, x: Array) -> Array:
    sizes = (dy.shape[1], x.shape[1])
    tiles = _kernels.weight_tiles(*sizes)
    return run("dense_backward_weight", sizes, (dy, x, tiles), sizes, len(x), axis="tiles", pieces=len(tiles))


def test_backward_weight(rng: np.random.Generator) -> None:
    """Here every element depends on every row: all units and inputs at once are compared, for each number of rows."""
    for rows in SIZES:
        dy, x = numbers(rng, rows, MOST), numbers(rng, rows, MOST)
        largest = weight_gradient(dy, x)
        dy64, x64 = dy.astype(np.float64), x.astype(np.float64)
        terms = reference.dense_backward_weight(np.abs(dy64), np.abs(x64))
        assert_near(largest, reference.dense_backward_weight(dy64, x64), terms, f"dW, rows {rows}")
        columns = [x[:, :inputs].copy() for inputs in SIZES]
        for units in SIZES:
            part = dy[:, :units].copy()
            for inputs, some in zip(SIZES, columns, strict=True):
                assert weight_gradient(part, some).tobytes() == largest[:units, :inputs].tobytes(), (rows, units, inputs)


def test_mutant_order_of_a_sum(rng: np.random.Generator) -> None:
    """Summing the rows in another order changes bits: the comparison can fail."""
    dy, x = numbers(rng, MOST, MOST), numbers(rng, MOST, MOST)
    with pytest.raises(AssertionError):
        assert weight_gradient(dy[::-1].copy(), x[::-1].copy()).tobytes() == weight_gradient(dy, x).tobytes()
