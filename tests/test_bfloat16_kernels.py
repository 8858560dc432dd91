"""Products of bfloat16 numbers: the bits of the NumPy twin, with every instruction set and at every size."""

from functools import partial
from itertools import product
from typing import Any

import numpy as np
import pytest
from helpers import recurrent
from numpy.typing import NDArray

from nncore import _kernels, reference
from nncore._kernels import single_ops
from nncore._utils.arrays import aligned_zeros

Array = NDArray[Any]

GUARD = 40
SMALL = (1, 2, 3, 7, 15, 16, 17, 31, 33, 40)
SIZES = [*product((1, 2, 5, 13, 16, 25), SMALL, SMALL), (64, 100, 300), (130, 64, 520), (66, 784, 70), (3, 1030, 1025)]

each_isa = pytest.mark.parametrize("isa", _kernels.available_isas())


def half(n: int) -> int:
    return -(-n // 2)


def room(rows: int, width: int, dtype: Any = np.float32) -> Array:
    """An output, followed by memory that must stay unchanged: NaN, or all bits set."""
    return np.full(rows * width + GUARD, -1, np.int32).view(dtype)


def result(room: Array, rows: int, width: int) -> Array:
    assert (room[-GUARD:].view(np.int32) == -1).all()
    return room[:-GUARD].reshape(rows, width)


def numbers(rng: np.random.Generator, *shape: int) -> Array:
    return rng.normal(size=shape).astype(np.float32)


def run(name: str, arrays: tuple[Any, ...], sizes: tuple[int, ...], isa: str, **options: Any) -> None:
    assert single_ops.run_op(name, arrays, dtype=np.float32, sizes=sizes, isa=isa, threads=1, **options) == 0


def converted(x: Array, isa: str, gap: int = 0) -> tuple[Array, Array]:
    """Pairs along the rows of x and pairs of its rows, as an op writes them."""
    rows, width = x.shape
    rows16, pairs = room(rows, half(width) + gap, np.int32), np.full(_kernels.packed_size(width, half(rows)), -1, np.int32)
    run("rows_bfloat16", (rows16, pairs, x), (width, gap, half(rows), 1), isa, rows=rows)
    return result(rows16, rows, half(width) + gap), pairs


def unpaired(pairs: Array, rows: int, width: int, isa: str) -> Array:
    """The halves of the numbers in panels of pairs of rows."""
    lanes = {"baseline": 4, "avx2": 8}.get(isa, 16)
    out, at, numbers = np.empty((rows, width), np.uint16), 0, pairs.view(np.uint16)
    for first in range(0, width, 2 * lanes):
        columns = min(2 * lanes, width - first)
        stride = -(-columns // lanes) * lanes
        panel = numbers[2 * at : 2 * (at + half(rows) * stride)].reshape(half(rows), stride, 2)
        out[:, first : first + columns] = panel.transpose(0, 2, 1).reshape(-1, stride)[:rows, :columns]
        at += half(rows) * stride
    return out


def packed(W: Array, isa: str, kernel: str = "pack_weight_bfloat16") -> tuple[Array, Array]:
    """Both packed copies of W."""
    units, inputs = W.shape
    tiles = _kernels.weight_tiles(units, inputs)
    sizes = (_kernels.packed_size(units, half(inputs)), _kernels.packed_size(inputs, half(units)))
    copies = [aligned_zeros(size, np.int32) for size in sizes]
    run(kernel, (*copies, W, tiles), W.shape, isa, axis="tiles", pieces=len(tiles))
    return copies[0], copies[1]


def products(x: Array, W: Array, b: Array, dy: Array, isa: str, gap: int = 0) -> tuple[Array, Array, Array]:
    """y = x Wᵀ + b, dx = dy W and dW = dyᵀ x."""
    (rows, inputs), units = x.shape, len(W)
    (x16, x_pairs), (dy16, dy_pairs), (packed_W, paired_W) = converted(x, isa, gap), converted(dy, isa, gap), packed(W, isa)
    tiles = _kernels.weight_tiles(units, inputs)
    y, dx, dW = room(rows, units), room(rows, inputs), room(units, inputs)
    run("dense_forward_bfloat16", (y, x16, packed_W, b), (units, inputs, gap), isa, rows=rows)
    run("dense_backward_input_bfloat16", (dx, dy16, paired_W), (units, inputs, gap), isa, rows=rows)
    sizes = (units, inputs, half(rows))
    run(
        "dense_backward_weight_bfloat16", (dW, dy_pairs, x_pairs, tiles), sizes, isa, rows=rows, axis="tiles", pieces=len(tiles)
    )
    return result(y, rows, units), result(dx, rows, inputs), result(dW, units, inputs)


@each_isa
@pytest.mark.parametrize("part", range(4))
def test_products_have_the_bits_of_the_twin(isa: str, part: int, rng: np.random.Generator) -> None:
    for rows, units, inputs in SIZES[part::4]:
        x, W, b, dy = (numbers(rng, *shape) for shape in ((rows, inputs), (units, inputs), (units,), (rows, units)))
        y, dx, dW = products(x, W, b, dy, isa, gap=16 * (units % 2))
        assert y.tobytes() == reference.dense_forward_bfloat16(x, W, b).tobytes(), (rows, units, inputs)
        assert dx.tobytes() == reference.dense_backward_input_bfloat16(dy, W).tobytes(), (rows, units, inputs)
        assert dW.tobytes() == reference.dense_backward_weight_bfloat16(dy, x).tobytes(), (rows, units, inputs)


@each_isa
@pytest.mark.parametrize(("units", "inputs"), [(1, 1), (40, 70), (130, 520), (33, 1025), (1030, 600)])
def test_packing_with_non_temporal_stores(isa: str, units: int, inputs: int, rng: np.random.Generator) -> None:
    W = numbers(rng, units, inputs)
    for copy, other in zip(packed(W, isa), packed(W, isa, "pack_large_weight_bfloat16"), strict=True):
        assert np.array_equal(copy, other)


@each_isa
def test_rounding(isa: str) -> None:
    """All upper halves, with lower halves just below, at and above the tie; both layouts of the pairs."""
    upper = np.arange(1 << 16, dtype=np.uint32) << 16
    x = (upper[:, None] | np.array([0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF], np.uint32)).view(np.float32).reshape(-1, 48)
    want = (reference.to_bfloat16(x).view(np.uint32) >> 16).astype(np.uint16)
    rows16, pairs = converted(x, isa)
    assert np.array_equal(rows16.view(np.uint16).reshape(x.shape), want)
    assert np.array_equal(unpaired(pairs, len(x), 48, isa), want)


def test_the_twin_rounds_to_the_nearest(rng: np.random.Generator) -> None:
    """Of the two bfloat16 numbers around x, the nearer one; of two as near, that whose last bit is 0."""
    x = np.concatenate([numbers(rng, 10_000), np.float32([1 + 2.0**-8, 1 + 3 * 2.0**-8, -1 - 2.0**-8])])
    got = reference.to_bfloat16(x).astype(np.float64)
    exponent = np.floor(np.log2(np.abs(x.astype(np.float64))))
    assert np.array_equal(got, np.rint(x / 2.0 ** (exponent - 7)) * 2.0 ** (exponent - 7))  # rint: ties to even


@each_isa
def test_extreme_numbers(isa: str, rng: np.random.Generator) -> None:
    """Infinity, NaN, overflow within a sum and cancellation: what one rounding per term gives."""
    x = rng.choice(np.float32([0, -0.0, 1, -1, 3e38, -3e38, 1e20, -1e20, 1e-18, 7e-20]), size=(40, 6))
    W = rng.choice(np.float32([0, -0.0, 1, -1, 2, 0.5, 1e19, -1e18, 1e-18, 3e-20]), size=(33, 6))
    b = rng.choice(np.float32([0, 1, -3e38, 1e38, 2e-38, -1.2e-38]), size=33)
    x[20:] = rng.choice(np.float32([0, 1e-19, -3e-20, 1e-18, -1e-19]), size=(20, 6))  # of them some sums are hardly
    W[10:], b[10:] = rng.choice(np.float32([0, 1e-19, -3e-20, 1e-19]), size=(23, 6)), 0  # above the smallest normal number
    W[3, 2], x[7, 1], x[8, 2], x[9, 3] = np.nan, np.nan, np.inf, -np.inf
    y = room(40, 33)
    run("dense_forward_bfloat16", (y, converted(x, isa)[0], packed(W, isa)[0], b), (33, 6), isa, rows=40, keep_denormals=False)
    want = reference.dense_forward_bfloat16(x, W, b)
    assert np.array_equal(result(y, 40, 33), want, equal_nan=True)
    assert np.isfinite(want).sum() > 500
    assert np.isinf(want).sum() > 100
    assert ((want != 0) & (np.abs(want) < 1e-37)).sum() > 20


def test_sums_are_rounded_once_per_term(rng: np.random.Generator) -> None:
    """Against integers: operands of 8 bits times powers of two, whose sums Python computes exactly and rounds to 24 bits."""
    a, b = rng.integers(-255, 256, (2, 200)).astype(np.float32)
    scale = 2.0 ** rng.integers(-12, 13, 200)
    b = (b * scale).astype(np.float32)
    want = 0.0
    for p in range(0, 200, 2):
        for k in (p + 1, p):  # in float64 the sum is exact: it spans less than 2³⁶ to 2⁻¹²
            want = float(np.float32(want + float(a[k]) * float(b[k])))
    got = reference.bfloat16_product(a[None], b[:, None])
    assert got.item() == want


def test_float64_is_refused() -> None:
    x = np.zeros((2, 2))
    with pytest.raises(ValueError, match="op dense_forward_bfloat16 computes in float32, got float64"):
        single_ops.run_op("dense_forward_bfloat16", (x, x, x, None), dtype=np.float64, sizes=(2, 2), rows=2)


def half_blocks(cell: str, U: Array, isa: str) -> tuple[list[Array], list[Array]]:
    """Both packed copies of the rows of U of each product."""
    pairs = [packed(block.copy(), isa) for block in recurrent.blocks(cell, U)]
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]


@each_isa
@recurrent.each_cell
def test_products_of_recurrent_cells_have_the_bits_of_the_twin(cell: str, isa: str, rng: np.random.Generator) -> None:
    """Step by step from the states that the kernel has stored: over many steps roundings could go either way."""
    for rows, steps, _, units in recurrent.SIZES:
        outputs = recurrent.GATES[cell] * units
        a, c = numbers(rng, rows, steps, outputs), numbers(rng, outputs)
        U, first = numbers(rng, outputs, units) / np.float32(np.sqrt(units)), numbers(rng, rows, units)
        forward, backward = half_blocks(cell, U, isa)
        depth = len(recurrent.blocks(cell, U)[0])
        empty = np.full((rows, steps, units), np.nan, np.float32)
        bias, saved = ([c] if cell == "gru" else []), 1 if cell == "simple_rnn" else 2
        written = [empty, a, *[empty] * saved, np.full((rows, depth), np.nan, np.float32)]
        written += [np.full((rows, half(units)), -1, np.int32)]
        sizes = (units, steps, True, False, 1, 2)
        run_cell = partial(recurrent.run, dtype="float32", rows=rows, isa=isa, sizes=sizes, constants=(0.0,))
        h, *kept, _, _ = run_cell(f"{cell}_forward_bfloat16", written, [*forward, *bias, None, first, None])
        for t in range(steps):
            given = [kept[-1][:, t], a[:, t : t + 1], U, *bias]
            twin = list(getattr(reference, f"{cell}_forward_bfloat16")(*given[1:], 0.0, given[0]))
            if cell == "gru_reset_before":  # r ⊙ h is rounded to bfloat16 too, and of r a bit may differ: from the kernel's own
                (r, z, _), state, reset = np.split(kept[0][:, t], 3, axis=1), given[0], kept[1][:, t]
                assert reset.tobytes() == (r * state).tobytes()
                n = np.tanh(a[:, t, 2 * units :] + reference.bfloat16_product(reset, U[2 * units :].T))
                twin[0], twin[1][:, 0, 2 * units :] = ((1 - z) * n + z * state)[:, None], n
            for mine, want in zip([h, *kept], twin, strict=True):
                np.testing.assert_allclose(mine[:, t : t + 1], want, rtol=1e-5, atol=1e-6)
            if cell == "gru":  # a product and nothing else
                q = reference.bfloat16_product(given[0], U[2 * units :].T, c[2 * units :])
                assert kept[1][:, t].tobytes() == q.tobytes()

        dy = numbers(rng, rows, steps, units)
        widths = {"simple_rnn": [units], "gru": [outputs] * 2, "gru_reset_before": [outputs, 2 * units, units]}[cell]
        written = [np.full((rows, steps, width), np.nan, np.float32) for width in widths]
        written += [np.full((rows, 2, units), np.nan, np.float32), np.full((rows, half(depth)), -1, np.int32)]
        inputs = [dy, *recurrent.read_backward(cell, kept), *backward, None]
        *deltas, _, _, g = run_cell(f"{cell}_backward_bfloat16", written, inputs, after=[empty])
        assert g[:, -1].tobytes() == dy[:, -1].tobytes()
        twin = recurrent.twin_backward_bfloat16(cell, dy, kept, U)
        if cell == "gru_reset_before":  # dn is rounded before the product that dr is made of
            dreset = reference.bfloat16_product(deltas[2].reshape(-1, units), U[2 * units :]).reshape(h.shape)
            r = kept[0][..., :units]
            np.testing.assert_allclose(deltas[1][..., :units], dreset * kept[-1] * r * (1 - r), rtol=1e-5, atol=1e-6)
            twin[0][..., :units], twin[1][..., :units] = deltas[0][..., :units], deltas[0][..., :units]
        for mine, want in zip(deltas, twin, strict=True):
            np.testing.assert_allclose(mine[:, -1], want[:, -1], rtol=1e-5, atol=1e-6)
        for t in range(1, steps):
            carry = reference.bfloat16_product((deltas[1:] or deltas)[0][:, t], U[:depth])
            past = g[:, t] * kept[0][:, t, units : 2 * units] if cell != "simple_rnn" else 0
            if cell == "gru_reset_before":
                past = past + r[:, t] * dreset[:, t]
            np.testing.assert_allclose(g[:, t - 1], dy[:, t - 1] + (carry + past), rtol=1e-6, atol=1e-6)
            if cell == "simple_rnn":
                assert g[:, t - 1].tobytes() == (carry + dy[:, t - 1]).tobytes()


@each_isa
def test_products_over_steps_have_the_bits_of_the_twin(isa: str, rng: np.random.Generator) -> None:
    for rows, steps, inputs, units in recurrent.SIZES:
        x, W, b, dy = (numbers(rng, *s) for s in ((rows, steps, inputs), (units, inputs), (units,), (rows, steps, units)))
        copies, tiles, joined = packed(W, isa), _kernels.weight_tiles(units, inputs), rows * steps
        (x16, x_pairs), (dy16, dy_pairs) = (converted(a.reshape(joined, -1), isa) for a in (x, dy))
        y, dx, dW = np.empty_like(dy), np.empty_like(x), np.empty_like(W)
        sizes = (units, inputs, 0, 0, steps)
        run("dense_steps_forward_bfloat16", (y, x16, copies[0], b), sizes, isa, rows=rows)
        run("dense_steps_backward_input_bfloat16", (dx, dy16, copies[1]), sizes, isa, rows=rows)
        over = {"rows": rows, "axis": "tiles", "pieces": len(tiles)}
        arrays = (dW, dy_pairs, x_pairs, tiles)
        run("dense_steps_backward_weight_bfloat16", arrays, (units, inputs, half(joined), 0, steps), isa, **over)
        assert y.tobytes() == reference.dense_steps_forward_bfloat16(x, W, b).tobytes()
        assert dx.tobytes() == reference.dense_steps_backward_input_bfloat16(dy, W).tobytes()
        assert dW.tobytes() == reference.dense_steps_backward_weight_bfloat16(dy, x).tobytes()
