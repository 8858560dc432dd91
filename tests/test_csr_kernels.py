"""The kernels of a sparse layer against their twins, and bit for bit against those of a dense layer on the rows written out."""

from __future__ import annotations

from itertools import pairwise, product
from typing import Any

import numpy as np
import pytest
from helpers.csr import Sparse, all_bounds, located, sparse
from helpers.kernels import GUARD, ISAS, MUTATION, assert_near, differs, each_dtype, each_isa, packed, run, same_bits
from numpy.typing import NDArray

from nncore import _kernels, reference
from nncore._kernels import Program, op_table, single_ops
from nncore.optimizers.tiles import tile_table

Array = NDArray[Any]

UNITS = (1, 2, 3, 15, 16, 17, 20, 64, 65, 130)
SHAPES = [(1, 1), (2, 2), (3, 17), (4, 1), (5, 40), (9, 300), (70, 33)]  # rows of the batch, width
each_kind = pytest.mark.parametrize("kind", [np.int32, np.int64])
BAD_COLUMN = "X must be a valid sparse matrix, got a column beyond its width"
BAD_START = "X must be a valid sparse matrix, got a row outside its numbers"


def floats(rng: np.random.Generator, dtype: Any, *shape: int) -> Array:
    return rng.normal(size=shape).astype(dtype)


def over_shards(name: str, arrays: tuple[Any, ...], bounds: Array, x: Sparse, sizes: tuple[int, ...] = (), **kw: Any) -> None:
    """Run an op with a tile per shard."""
    run = {"dtype": x.values.dtype, "axis": "tiles", "pieces": len(bounds) - 1, **x.batch, **kw}
    assert single_ops.run_op(name, (*arrays, bounds), sizes=sizes, **run) == 0


# ---- the twins


def test_the_twins_are_those_of_the_dense_layer(rng: np.random.Generator) -> None:
    """On the rows written out; W is transposed."""
    for rows, width in SHAPES:
        x = sparse(rng, rows, width, "float64", np.int64)
        assert np.array_equal(reference.gather_csr(x.values, x.columns, x.starts, x.wanted, width), x.dense)
        W, b, dy = floats(rng, float, width, 3), floats(rng, float, 3), floats(rng, float, rows, 3)
        for bounds in all_bounds(rng, width):
            places = reference.csr_locate(x.columns, x.starts, bounds, x.wanted)
            y, g = (
                reference.csr_forward(x.values, x.columns, places, W, b),
                reference.csr_backward_weight(dy, x.values, x.columns, places, width),
            )
            np.testing.assert_allclose(y, reference.dense_forward(x.dense, W.T, b), rtol=1e-13, atol=1e-13)
            np.testing.assert_allclose(g.T, reference.dense_backward_weight(dy, x.dense), rtol=1e-13, atol=1e-13)
            touched, lists = np.full_like(g, 9.0), [[] for _ in bounds[1:]]  # type: list[list[int]]
            reference.csr_backward_touched(
                touched, lists, np.empty(width, np.int32), np.ones(width, np.uint8), dy, x.values, x.columns, places
            )
            has = x.dense.any(axis=0)
            assert np.array_equal(touched, np.where(has[:, None], g, 9.0))
            assert [sorted(some) for some in lists] == [
                [j for j in range(first, end) if has[j]] for first, end in pairwise(bounds)
            ]


# ---- the kernels


@each_isa
@each_kind
@each_dtype
def test_locate(dtype: str, kind: Any, isa: str, rng: np.random.Generator) -> None:
    for rows, width in (*SHAPES, (3, 4000)):  # rows of more than 1000 numbers are searched
        x = sparse(rng, rows, width, dtype, kind, density=0.5 if width == 4000 else 0.3)
        for bounds in all_bounds(rng, width):
            outputs: list[Any] = [((rows, len(bounds)), np.int64)]
            (places,) = run("csr_locate", outputs, (x.values, x.columns, x.starts, bounds), dtype, isa=isa, **x.batch)
            assert np.array_equal(places, reference.csr_locate(x.columns, x.starts, bounds, x.wanted))


def check_forward(x: Sparse, W: Array, b: Array | None, bounds: Array, isa: str | None, mutant: float = 1.0) -> Array:
    """Against the twin in double precision, and the dense kernel."""
    rows, units, dtype = len(x.wanted), W.shape[1], str(W.dtype)
    places, kw = located(x, bounds, isa), {"isa": isa, **x.batch}
    arrays = (x.values, x.columns, places, W, b)
    (y,) = run("csr_forward", [((rows, units), dtype)], arrays, dtype, sizes=(units, x.width), **kw)
    W64, b64, values = W.astype(float), None if b is None else b.astype(float), x.values.astype(float) * mutant
    true = reference.csr_forward(values, x.columns, places, W64, b64)
    terms = reference.csr_forward(np.abs(values), x.columns, places, np.abs(W64), None if b64 is None else np.abs(b64))
    assert_near(y, true, terms, f"{rows} × {x.width}, units {units}")
    plain = np.ascontiguousarray(W.T)
    arrays = (x.dense, packed(plain, isa), b)
    (dense,) = run("dense_forward", [((rows, units), dtype)], arrays, dtype, sizes=plain.shape, rows=rows, isa=isa)
    assert np.array_equal(y, dense), (rows, x.width, units)
    return y


@each_isa
@each_kind
@each_dtype
def test_forward(dtype: str, kind: Any, isa: str, rng: np.random.Generator) -> None:
    for (rows, width), units in product(SHAPES, UNITS):
        x, W, b = sparse(rng, rows, width, dtype, kind), floats(rng, dtype, width, units), floats(rng, dtype, units)
        one, *others = all_bounds(rng, width)
        y = check_forward(x, W, b, one, isa)
        assert same_bits(check_forward(x, W, b, others[rows % len(others)], isa), y)
        check_forward(x, W, None, one, isa)


@each_isa
@each_dtype
def test_numbers_of_a_row_from_none_to_many(dtype: str, isa: str, rng: np.random.Generator) -> None:
    """For one unit, four rows at a time go as far as the shortest."""
    numbers = [0, 1, 2, 3, 4, 5, 30, 0, 0, 1]
    starts = np.cumsum([0, *numbers]).astype(np.int32)
    columns = np.concatenate([np.sort(rng.permutation(30)[:n]) for n in numbers]).astype(np.int32)
    values = floats(rng, dtype, len(columns))
    dense = np.zeros((len(numbers), 30), dtype)
    dense[np.repeat(np.arange(len(numbers)), numbers), columns] = values
    for units, rows in product((1, 2), range(1, len(numbers) + 1)):
        order = rng.permutation(len(numbers))[:rows]
        x = Sparse(values, columns, starts, 30, order, dense[order])
        check_forward(x, floats(rng, dtype, 30, units), floats(rng, dtype, units), np.array([0, 30]), isa)


def check_backward(x: Sparse, dy: Array, isa: str | None, rng: np.random.Generator, mutant: float = 1.0) -> Array:
    rows, units, width, dtype = *dy.shape, x.width, str(dy.dtype)
    (dense,) = run(
        "dense_backward_weight", [((units, width), dtype)], (dy, x.dense, _kernels.weight_tiles(units, width)), dtype,
        sizes=(units, width), rows=rows, axis="tiles", pieces=len(_kernels.weight_tiles(units, width)), isa=isa,
    )  # fmt: skip
    for bounds in all_bounds(rng, width):
        places = located(x, bounds, isa)
        arrays = (dy, x.values, x.columns, places, bounds)
        kw: dict[str, Any] = {"axis": "tiles", "pieces": len(bounds) - 1, "isa": isa, **x.batch}
        (g,) = run("csr_backward_weight", [((width, units), dtype)], arrays, dtype, sizes=(units, width), **kw)
        assert np.array_equal(g.T, dense), (rows, width, units, bounds)
    dy64, values = dy.astype(float), x.values.astype(float) * mutant
    true = reference.csr_backward_weight(dy64, values, x.columns, places, width)
    terms = reference.csr_backward_weight(np.abs(dy64), np.abs(values), x.columns, places, width)
    assert_near(g, true, terms, f"g, {rows} × {width}, units {units}")
    return g


@each_isa
@each_kind
@each_dtype
def test_backward_weight(dtype: str, kind: Any, isa: str, rng: np.random.Generator) -> None:
    for (rows, width), units in product(SHAPES, UNITS):
        x, dy = sparse(rng, rows, width, dtype, kind), floats(rng, dtype, rows, units)
        check_backward(x, dy, isa, rng)


def lists_of(lists: Array, rows: Array, bounds: Array) -> list[list[int]]:
    """What an op over tiles reads: count and address; the rows of shard s begin at bounds[s] + s."""
    firsts = bounds[:-1] + np.arange(len(bounds) - 1)
    assert [address for count, address in lists if count] == [
        rows.ctypes.data + 4 * first for first, (count, _) in zip(firsts.tolist(), lists, strict=True) if count
    ]
    return [rows[first : first + count].tolist() for first, (count, _) in zip(firsts, lists, strict=True)]


def check_touched(
    rng: np.random.Generator, rows: int, width: int, units: int, dtype: str, kind: Any, isa: str | None, bounds: Array,
    threads: int = 1,
) -> Array:  # fmt: skip
    """Several batches one after the other. The gradient is at first what no number should be, and has memory around it."""
    shards = len(bounds) - 1
    whole = np.full(width * units + 2 * GUARD, np.nan, dtype)
    g = whole[GUARD:-GUARD].reshape(width, units)
    place, stale = np.full(width, 7, np.int32), np.full(width, 7, np.uint8)
    lists, listed = np.full((shards, 2), 5), np.full(width + shards + GUARD, -9, np.int32)
    true, true_place, true_stale, true_lists = g.copy(), place.copy(), stale.copy(), [[3] for _ in range(shards)]
    kw: dict[str, Any] = {"isa": isa, "threads": threads}
    for step in range(4):
        x = sparse(rng, rows, width, dtype, kind, density=(0.3, 0.1, 0.0, 0.5)[step])
        dy, places = floats(rng, dtype, rows, units), located(x, bounds, isa)
        if step == 0:
            over_shards("csr_begin", (lists, place, stale), bounds, x, **kw)
            reference.csr_begin(true_lists, true_place, true_stale)
        arrays = (g, lists, listed[: width + shards], place, stale, dy, x.values, x.columns, places)
        over_shards("csr_backward_touched", arrays, bounds, x, (units, width), **kw)
        reference.csr_backward_touched(true, true_lists, true_place, true_stale, dy, x.values, x.columns, places)
        assert lists_of(lists, listed, bounds) == true_lists
        assert np.array_equal(place, true_place)
        assert np.array_equal(stale, true_stale)
        plain = np.empty((width, units), dtype)
        over_shards("csr_backward_weight", (plain, dy, x.values, x.columns, places), bounds, x, (units, width), **kw)
        has = place >= 0
        assert same_bits(g[has], plain[has])
        assert np.isnan(g[np.isnan(true)]).all()
        assert not np.isnan(g[~np.isnan(true)]).any()
        if step % 2:  # as at the end of a portion of steps
            over_shards("csr_settle", (g, place, stale), bounds, x, (units,), **kw)
            reference.csr_settle(true, true_place, true_stale)
            assert np.array_equal(stale, true_stale)
            assert same_bits(g, plain)
    assert np.isnan(whole[:GUARD]).all()
    assert np.isnan(whole[-GUARD:]).all()
    assert (listed[width + shards :] == -9).all()
    return g


@each_isa
@each_kind
@each_dtype
def test_backward_touched(dtype: str, kind: Any, isa: str, rng: np.random.Generator) -> None:
    for (rows, width), units in product(SHAPES, UNITS):
        for number, bounds in enumerate(all_bounds(rng, width)):
            if number % 3 == (rows + units) % 3:
                check_touched(rng, rows, width, units, dtype, kind, isa, bounds)


@each_dtype
def test_threads_and_bounds_leave_the_bits(dtype: str) -> None:
    results = [
        check_touched(np.random.default_rng(1), 70, 33, 20, dtype, np.int32, None, bounds, threads)
        for bounds in all_bounds(np.random.default_rng(2), 33)
        for threads in (1, 2, 4)
    ]
    assert len({result.tobytes() for result in results}) == 1


@pytest.mark.skipif(not {"avx2", "avx512"} <= {*ISAS}, reason="needs both")
@each_dtype
def test_vectors_of_both_lengths_give_the_same_bits(dtype: str) -> None:
    """Both fuse multiplication and addition."""

    def results(isa: str) -> list[bytes]:
        rng, out = np.random.default_rng(3), []
        for (rows, width), units in product(SHAPES, UNITS):
            x, W = sparse(rng, rows, width, dtype, np.int32), floats(rng, dtype, width, units)
            out += [check_forward(x, W, None, np.array([0, width]), isa).tobytes()]
            out += [check_backward(x, floats(rng, dtype, rows, units), isa, rng).tobytes()]
        return out

    assert results("avx2") == results("avx512")


# ---- a matrix that is changed while it is in use


def with_wrong_column(x: Sparse, wrong: int) -> Sparse:
    """One number of the first row that is not empty."""
    columns = x.columns.copy()
    columns[len(columns) // 2] = wrong
    return Sparse(x.values, columns, x.starts, x.width, x.wanted, x.dense)


@pytest.mark.parametrize("wrong", [-1, 40, 41, 2**31 - 1, -(2**31)])
@pytest.mark.parametrize("units", [1, 3, 16, 70])
@each_kind
@each_isa
def test_a_column_beyond_the_width(isa: str, kind: Any, units: int, wrong: int, rng: np.random.Generator) -> None:
    """It is changed after the numbers of each row were located: every op that reads it says so and stays within its arrays."""
    x = sparse(rng, 12, 40, "float64", kind, density=0.5)
    x.wanted = np.arange(12)
    for bounds in (np.array([0, 40]), np.arange(9) * 5):
        shards, places = len(bounds) - 1, located(x, bounds)
        bad, dy, W = with_wrong_column(x, wrong), floats(rng, float, 12, units), floats(rng, float, 40, units)
        whole = np.full((40 + 2) * units, np.nan)
        g = whole[units:-units].reshape(40, units)
        place, stale = np.full(40, -1, np.int32), np.zeros(40, np.uint8)
        lists, listed = np.zeros((shards, 2), np.int64), np.full(40 + shards + GUARD, -9, np.int32)
        over = {"axis": "tiles", "pieces": shards}
        calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
            ("csr_forward", (np.zeros((12, units)), bad.values, bad.columns, places, W, None), {}),
            ("csr_backward_weight", (g, dy, bad.values, bad.columns, places, bounds), over),
            (
                "csr_backward_touched",
                (g, lists, listed[: 40 + shards], place, stale, dy, bad.values, bad.columns, places, bounds),
                over,
            ),
        ]
        for name, arrays, kw in calls:
            with pytest.raises(ValueError, match=BAD_COLUMN):
                single_ops.run_op(name, arrays, dtype="float64", sizes=(units, 40), isa=isa, threads=2, **kw, **x.batch)
        assert np.isnan(whole[:units]).all()
        assert np.isnan(whole[-units:]).all()
        assert (listed[40 + shards :] == -9).all()


@pytest.mark.parametrize("columns", ["reversed", "random"])
@each_isa
def test_columns_that_are_no_longer_in_order(isa: str, columns: str, rng: np.random.Generator) -> None:
    """`csr_locate` itself reads columns that are no longer in order."""
    x = sparse(rng, 12, 40, "float32", np.int32, density=0.5)
    other = {
        "reversed": x.columns[::-1].copy(), "random": rng.integers(-5, 50, len(x.columns)).astype(np.int32),
    }[columns]  # fmt: skip
    x.columns = other
    bounds = np.arange(9) * 5
    places = located(x, bounds, isa)
    assert (np.diff(places) >= 0).all()
    assert np.array_equal(places[:, 0], x.starts[x.wanted])
    assert np.array_equal(places[:, -1], x.starts[x.wanted + 1])
    whole, dy = np.full((42, 3), np.nan, np.float32), floats(rng, "float32", 12, 3)
    with pytest.raises(ValueError, match=BAD_COLUMN):
        over_shards("csr_backward_weight", (whole[1:-1], dy, x.values, x.columns, places), bounds, x, (3, 40), isa=isa)
    assert np.isnan(whole[[0, -1]]).all()


@pytest.mark.parametrize(("row", "start"), [(3, -1), (3, 10**6), (13, 10**6), (0, 5), (13, -(2**31)), (7, 2**31 - 1)], ids=str)
@each_kind
@each_isa
def test_starts_beyond_the_numbers(isa: str, kind: Any, row: int, start: int, rng: np.random.Generator) -> None:
    x = sparse(rng, 14, 9, "float32", kind, density=0.5, examples=14)
    x.wanted = np.arange(13)
    x.starts[row] = start
    if row == 0:
        x.starts[1] = 0
    with pytest.raises(ValueError, match=BAD_START):
        located(x, np.array([0, 3, 9]), isa)


@pytest.mark.parametrize("row", [-1, 5, 10**9, -(2**62)])
def test_rows_that_the_data_do_not_have(row: int, rng: np.random.Generator) -> None:
    x = sparse(rng, 3, 9, "float32", np.int32, examples=5)
    x.wanted[1] = row
    with pytest.raises(ValueError, match="the order of the examples must hold row indices of the data"):
        located(x, np.array([0, 9]))


# ---- lists of touched rows


def listed_program(name: str, arrays: tuple[Any, ...], lists: Array | None, table: Array, dtype: str) -> Program:
    ops = [(name, (*arrays, table), (), (), 0, len(table))]
    return Program(op_table(), dtype, [("tiles", len(table), None, False, ops)], touched=lists)


@each_dtype
@pytest.mark.parametrize("units", [1, 3, 16, 17])
def test_an_update_of_listed_rows_is_that_of_the_same_tiles(units: int, dtype: str, rng: np.random.Generator) -> None:
    """AdaGrad on the rows of two lists, one of them empty, and on a tile for each row of the other."""
    rows = np.array([5, 0, 7, 2], np.int32)
    lists = np.array([[0, 0], [4, rows.ctypes.data]])
    theta, g, r = floats(rng, dtype, 8, units), floats(rng, dtype, 8, units), np.ones((8, units), dtype)
    listed = np.array([[0, -1, units, units, 0], [0, -2, units, units, 0]])
    plain = np.array([[j * units, 1, units, units, 0] for j in rows])
    results = []
    for table in (listed, plain):
        arrays = theta.copy(), g, r.copy()
        listed_program("adagrad_update", arrays, lists, table, dtype).run(
            examples=1, batch=1, coefficients=np.array([[0.1, 1e-10]]), keep_denormals=True
        )
        results.append(arrays)
    assert same_bits(results[0][0], results[1][0])
    assert same_bits(results[0][2], results[1][2])
    assert np.array_equal((results[0][0] != theta).any(axis=1), np.isin(np.arange(8), rows))


def test_lists_that_a_program_does_not_have() -> None:
    table, arrays = tile_table(3).copy(), (np.zeros(3), np.zeros(3))
    table[:, 1] = -2
    for lists in (None, np.zeros((1, 2), np.int64)):
        with pytest.raises(ValueError, match="op sgd_update: tile_table must not refer to lists of rows that the program does"):
            listed_program("sgd_update", arrays, lists, table, "float64")


# ---- mutants


def test_mutant_values(rng: np.random.Generator) -> None:
    x = sparse(rng, 9, 20, "float64", np.int32)
    differs(lambda: check_forward(x, floats(rng, float, 20, 3), None, np.array([0, 20]), None, mutant=MUTATION))
    differs(lambda: check_backward(x, floats(rng, float, 9, 3), None, rng, mutant=MUTATION))


def test_mutant_order_of_the_rows(rng: np.random.Generator) -> None:
    """The bits of the gradient are those of one order."""
    x, dy = sparse(rng, 70, 20, "float32", np.int32), floats(rng, "float32", 70, 3)
    back = Sparse(x.values, x.columns, x.starts, 20, x.wanted[::-1].copy(), x.dense[::-1].copy())
    assert not same_bits(check_backward(x, dy, None, rng), check_backward(back, dy[::-1].copy(), None, rng))
