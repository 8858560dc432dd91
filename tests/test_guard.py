"""No kernel reads or writes outside its operands.

Each operand ends at the beginning of a protected page, then begins at the end of one: an access one element too far, and the
process is killed. The same happens if an op writes to an operand that op_table.h declares as read: its pages are read-only.
The kernels run in a process of their own, one per instruction set, which reports its progress.
Prefetches may go anywhere; they do not fault.
"""

import contextlib
import ctypes
import mmap
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from itertools import product
from typing import Any

import numpy as np
import pytest
from helpers import kernels, recurrent
from helpers.csr import located, sparse
from helpers.kernels import ACTIVATIONS, LOSSES, activation_inputs, loss_inputs, same_bits, weights
from helpers.processes import run_python
from helpers.twins import constants as constants_of
from numpy.typing import NDArray

from nncore import _kernels
from nncore._kernels import single_ops
from nncore.optimizers import OPTIMIZERS
from nncore.optimizers.tiles import State

Array = NDArray[Any]

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs mprotect")

NO_ACCESS, READ = 0, 1
ROWS = (1, 2, 5, 12, 13, 33)
WIDTHS = (1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 65)
SHAPES = [
    *product((1, 3, 13), (1, 2, 4, 7, 9, 17, 33), (1, 3, 5, 8, 15, 33)),
    (70, 65, 129),
    (24, 300, 66),
    (7, 64, 513),
    (130, 193, 7),
]
PARAMETERS = (1, 2, 3, 5, 8, 13, 16, 17, 31, 33, 100, 16384 + 7)


@cache
def mprotect() -> Any:
    return ctypes.CDLL(None, use_errno=True).mprotect


def protect(address: int, size: int, access: int) -> None:
    """Set the protection of pages."""
    assert mprotect()(ctypes.c_void_p(address), ctypes.c_size_t(size), access) == 0, os.strerror(ctypes.get_errno())


def guarded(array: Array, at_end: bool, written: bool = True) -> Array:
    """A copy that ends just before a protected page, or begins just after one; optionally read-only."""
    page = mmap.PAGESIZE
    inner = -(-max(array.nbytes, 1) // page) * page
    memory = np.frombuffer(mmap.mmap(-1, inner + 2 * page), np.uint8)
    address = memory.ctypes.data
    for forbidden in (address, address + page + inner):
        protect(forbidden, page, NO_ACCESS)
    first = page + (inner - array.nbytes if at_end else 0)
    copy = memory[first : first + array.nbytes].view(array.dtype).reshape(array.shape)
    copy[...] = array
    if not written:
        protect(address + page, inner, READ)
    return copy


def both_ways(call: Callable[..., Any], *arrays: Array | None) -> None:
    """Run on ordinary copies, then on guarded ones: the same bits in all arrays."""
    plain = [None if a is None else a.copy() for a in arrays]
    call(*plain)
    for at_end in (True, False):
        writes = getattr(call, "written", (True,) * len(arrays))
        fenced = [None if a is None else guarded(a, at_end, w) for a, w in zip(arrays, writes, strict=True)]
        call(*fenced)
        for a, b in zip(plain, fenced, strict=True):
            assert a is None or b is None or same_bits(a, b)


class run_op:
    """Run an op on the given arrays."""

    def __init__(self, name: str, **kw: Any) -> None:
        self.name, self.kw = name, kw
        self.written = _kernels.op_table().declaration(name).written

    def __call__(self, *arrays: Array | None) -> None:
        assert single_ops.run_op(self.name, arrays, threads=1, **self.kw) == 0


def distant(rows: Array, gap: int) -> Array:
    """Rows with a gap between them, and none after the last."""
    spread = np.zeros((len(rows), rows.shape[1] + gap), rows.dtype)
    spread[:, : rows.shape[1]] = rows
    return spread.ravel()[: spread.size - gap]


def dense_cases(dtype: str) -> Iterator[str]:
    rng = np.random.default_rng(0)
    for (rows, inputs, units), gap in product(SHAPES, (0, 16)):
        yield f"dense, rows {rows}, inputs {inputs}, units {units}, gap {gap}"
        x, W, b, dy = (
            rng.normal(size=s).astype(dtype) for s in ((rows, inputs), (units, inputs), (units,), (rows, units))
        )  # fmt: skip
        y, dx, dW, db = (np.zeros_like(a) for a in (dy, x, W, b))
        packed, tiles = np.zeros(_kernels.packed_size(units, inputs), dtype), _kernels.weight_tiles(units, inputs)
        tiled: dict[str, Any] = {"dtype": dtype, "rows": rows, "axis": "tiles", "pieces": len(tiles)}
        sizes, far_x, far_dy = (units, inputs), distant(x, gap), distant(dy, gap)
        pack = run_op("pack_weight", sizes=sizes, **tiled)
        both_ways(pack, packed, W, tiles)
        pack(packed, W, tiles)
        forward = run_op("dense_forward", dtype=dtype, sizes=(*sizes, gap), rows=rows)
        both_ways(forward, y, far_x, packed, b)
        both_ways(forward, y, far_x, packed, None)
        direct: dict[str, Any] = {"dtype": dtype, "rows": rows, "axis": "tiles", "pieces": -(-units // 32)}
        both_ways(run_op("dense_forward_direct", sizes=(*sizes, gap, 32), **direct), y, far_x, W, b)
        if units <= 16:
            both_ways(run_op("dense_forward_narrow", dtype=dtype, sizes=(*sizes, gap), rows=rows), y, far_x, W, b)
        both_ways(run_op("dense_backward_input", dtype=dtype, sizes=(*sizes, gap), rows=rows), dx, far_dy, W)
        both_ways(run_op("dense_backward_weight", sizes=(*sizes, gap, gap), **tiled), dW, far_dy, far_x, tiles)
        both_ways(run_op("dense_backward_bias", sizes=(units,), **tiled | {"pieces": 1}), db, dy)
        room = np.zeros((rows, inputs + gap), dtype)
        both_ways(run_op("spread_rows", dtype=dtype, sizes=(inputs, gap, 1), rows=rows), room, x)


def bfloat16_cases(dtype: str) -> Iterator[str]:
    """Conversion, packing and products, of a row of the batch that is one row of x and of one that is two."""
    rng = np.random.default_rng(0)
    for (rows, inputs, units), gap in product(SHAPES if dtype == "float32" else (), (0, 16)):
        yield f"bfloat16, rows {rows}, inputs {inputs}, units {units}, gap {gap}"
        for steps in (1, 2):
            many, depth, deep = rows * steps, -(-inputs // 2), -(-units // 2)
            x, W, b, dy = (
                rng.normal(size=s).astype(dtype) for s in ((many, inputs), (units, inputs), (units,), (many, units))
            )  # fmt: skip
            y, dx, dW = (np.zeros_like(a) for a in (dy, x, W))
            pairs, tiles = -(-many // 2), _kernels.weight_tiles(units, inputs)
            x16, dy16, x_pairs, dy_pairs, packed, paired = (
                np.zeros(n, np.int32)
                for n in (
                    many * (depth + gap) - gap, many * (deep + gap) - gap,
                    *(_kernels.packed_size(*s) for s in ((inputs, pairs), (units, pairs), (units, depth), (inputs, deep))),
                )
            )  # fmt: skip
            by_rows: dict[str, Any] = {"dtype": dtype, "rows": rows}
            tiled: dict[str, Any] = by_rows | {"axis": "tiles", "pieces": len(tiles)}
            for operand, own, of_pairs in ((x, x16, x_pairs), (dy, dy16, dy_pairs)):
                convert = run_op("rows_bfloat16", sizes=(operand.shape[1], gap, pairs, steps), **by_rows)
                both_ways(convert, own, None, operand)
                both_ways(convert, None, of_pairs, operand)
                convert(own, of_pairs, operand)
            pack = run_op("pack_weight_bfloat16", sizes=(units, inputs), **tiled)
            both_ways(pack, packed, None, W, tiles)
            both_ways(pack, packed, paired, W, tiles)
            pack(packed, paired, W, tiles)
            dense, last = ("dense", ()) if steps == 1 else ("dense_steps", (0, steps))
            sizes = (units, inputs, gap, *last)
            forward = run_op(f"{dense}_forward_bfloat16", sizes=sizes, **by_rows)
            both_ways(forward, y, x16, packed, b)
            both_ways(forward, y, x16, packed, None)
            both_ways(run_op(f"{dense}_backward_input_bfloat16", sizes=sizes, **by_rows), dx, dy16, paired)
            backward = run_op(f"{dense}_backward_weight_bfloat16", sizes=(units, inputs, pairs, *last), **tiled)
            both_ways(backward, dW, dy_pairs, x_pairs, tiles)


def activation_cases(dtype: str) -> Iterator[str]:
    rng = np.random.default_rng(0)
    for name, rows, width in product(ACTIVATIONS, ROWS, WIDTHS):
        yield f"{name}, {rows} × {width}"
        dh, z, h = activation_inputs(name, rng, rows, width, dtype)
        kw: dict[str, Any] = {
            "dtype": dtype, "sizes": (width,), "rows": rows, "constants": tuple(constants_of(f"{name}_forward")[0].values())
        }  # fmt: skip
        both_ways(run_op(f"{name}_forward", **kw), np.zeros_like(z), z)
        both_ways(run_op(f"{name}_backward", **kw), np.zeros_like(z), dh, z, np.asarray(h, dtype))


def loss_cases(dtype: str) -> Iterator[str]:
    rng = np.random.default_rng(0)
    for name, rows, width in product(LOSSES, ROWS, WIDTHS):
        yield f"{name}, {rows} × {width}"
        y, d = loss_inputs(name, rng, rows, width, dtype)
        constants = tuple(constants_of(name)[0].values())
        kw: dict[str, Any] = {"dtype": dtype, "sizes": (width,), "rows": rows, "constants": constants}
        both_ways(run_op(name, **kw), np.zeros(rows), np.zeros_like(y), y, d, weights(rng, rows))
        both_ways(run_op(name, **kw), np.zeros(rows), None, y, d, None)


def optimizer_cases(dtype: str) -> Iterator[str]:
    rng = np.random.default_rng(0)
    for (name, kind), n in product(OPTIMIZERS.items(), PARAMETERS):
        yield f"{name}, {n} parameters"
        theta, grads = rng.normal(size=n).astype(dtype), rng.normal(size=(3, n)).astype(dtype)

        def step(theta: Array, *grads: Array, kind: Any = kind) -> None:
            optimizer = kind()
            optimizer.init_state(theta.size, theta.dtype)
            at_end = theta.ctypes.data % mmap.PAGESIZE != 0  # the state is guarded in any case
            state = State({slot: guarded(array, at_end) for slot, array in optimizer.state.items()})
            vars(optimizer)["state"] = state
            for grad in grads:
                optimizer.step(theta, grad)
            optimizer.finish(theta)

        both_ways(step, theta, *grads)


def sparse_cases(dtype: str) -> Iterator[str]:
    rng = np.random.default_rng(0)
    for rows, width, kind in product(ROWS, WIDTHS, (np.int32, np.int64)):
        yield f"sparse, {rows} × {width}, {kind.__name__}"
        kept = rng.random((rows, width)) < 0.5
        kept[0, -1] = True
        columns, starts = np.nonzero(kept)[1].astype(kind), np.append(0, np.cumsum(kept.sum(axis=1))).astype(kind)
        values, out = rng.normal(size=len(columns)).astype(dtype), np.zeros((rows, width), dtype)
        both_ways(run_op("gather_csr", dtype=dtype, sizes=(width,), rows=rows, position=0), out, values, columns, starts)


def online_cases(dtype: str) -> Iterator[str]:
    rng = np.random.default_rng(0)
    outputs, kinds = (1, 2, 5, 16, 17, 33, 70), (None, np.int32, np.int64)
    for rows, inputs, classes, kind in product((1, 6), (1, 3, 16, 19, 35), outputs, kinds):
        yield f"online, {rows} × {inputs}, {classes} outputs, {kind and kind.__name__}"
        X = rng.normal(size=(rows, inputs)).astype(dtype)
        kept = rng.random((rows, inputs)) < 0.6
        kept[0, -1] = True
        columns, starts = (a.astype(kind or np.int32) for a in (np.nonzero(kept)[1], np.append(0, np.cumsum(kept.sum(axis=1)))))
        data = (X,) if kind is None else (X[kept], columns, starts)
        W, state = np.zeros((inputs, classes), dtype), np.ones((13, classes))
        state[[0, 5, 6, 7, 8, 9, 11]] = 0
        y = rng.integers(0, 2, rows).astype(float)
        own = (W, W, W, state, np.zeros((8, classes), dtype), np.zeros((rows, classes)))
        arrays = (*own, np.arange(float(classes)), y, y + 1, y + 0.1)
        step: dict[str, Any] = {"dtype": dtype, "axis": "tiles", "pieces": 1}
        given: dict[str, Any] = {"sizes": (classes, inputs, 3, 0), "constants": (0.1, 0.01, 0.1, 1, 1, 1), "rows": rows}
        run = run_op("online_csr" if kind else "online_rows", **given, **step)
        both_ways(run, *arrays, *data)
        both_ways(run_op("online_settle", sizes=(classes, inputs), **step), W, W, state)


def csr_cases(dtype: str) -> Iterator[str]:
    """A sparse layer, on as many numbers as there are and on columns that have been changed."""
    rng = np.random.default_rng(0)
    shapes = product((1, 2, 5, 33), (1, 3, 17, 40), (1, 2, 3, 16, 17, 65), (np.int32, np.int64), (1, 4))
    for rows, width, units, kind, shards in shapes:
        yield f"sparse layer, {rows} × {width}, units {units}, {kind.__name__}, shards {shards}"
        x, bounds = sparse(rng, rows, width, dtype, kind), np.arange(shards + 1) * width // shards
        run: dict[str, Any] = {"dtype": dtype, **x.batch}
        tiles, sizes = run | {"axis": "tiles", "pieces": shards}, (units, width)
        both_ways(run_op("csr_locate", **run), np.zeros((rows, shards + 1), int), x.values, x.columns, x.starts, bounds)
        places = located(x, bounds)
        W, b, dy = (rng.normal(size=s).astype(dtype) for s in (sizes[::-1], units, (rows, units)))
        numbers, g = (x.values, x.columns, places), np.zeros_like(W)
        place, stale = np.full(width, -1, np.int32), np.ones(width, np.uint8)
        for bias in (b, None):
            both_ways(run_op("csr_forward", sizes=sizes, **run), np.zeros_like(dy), *numbers, W, bias)
        both_ways(run_op("csr_backward_weight", sizes=sizes, **tiles), g, dy, *numbers, bounds)
        both_ways(run_op("csr_settle", sizes=(units,), **tiles), g, place, stale, bounds)

        def touch(
            g: Array, listed: Array, place: Array, stale: Array, *read: Array, units: int = units, kw: Any = tiles
        ) -> None:
            lists = np.zeros((kw["pieces"], 2), np.int64)
            run_op("csr_begin", **kw)(lists, place, stale, read[-1])
            run_op("csr_backward_touched", sizes=(units, len(g)), **kw)(g, lists, listed, place, stale, *read)

        both_ways(touch, g, np.zeros(width + shards, np.int32), place, stale, dy, *numbers, bounds)
        wrong = x.columns.copy()
        wrong[rng.random(len(wrong)) < 0.2] = rng.choice([-1, width, 2**31 - 1])
        both_ways(refused("csr_forward", sizes=sizes, **run), np.zeros_like(dy), x.values, wrong, places, W, b)
        both_ways(refused("csr_backward_weight", sizes=sizes, **tiles), g, dy, x.values, wrong, places, bounds)
        listed, none = np.zeros(width + shards, np.int32), np.full(width, -1, np.int32)
        touched = refused("csr_backward_touched", sizes=sizes, **tiles)

        def touch_wrong(g: Array, rows: Array, place: Array, stale: Array, *read: Array, touched: Any = touched) -> None:
            touched(g, np.zeros((len(read[-1]) - 1, 2), np.int64), rows, place, stale, *read)

        both_ways(touch_wrong, g, listed, none, stale, dy, x.values, wrong, places, bounds)


class refused(run_op):
    """An op that may refuse its arrays."""

    def __call__(self, *arrays: Array | None) -> None:
        with contextlib.suppress(ValueError):
            super().__call__(*arrays)


def lazy_cases(dtype: str) -> Iterator[str]:
    """Weights that are caught up, with a table that is full."""
    rng = np.random.default_rng(0)
    for units, width, crosses, averages in product((1, 2, 3, 16, 17), (1, 5, 12), (False, True), (False, True)):
        yield f"catching up, {width} × {units}, crosses {crosses}, averages {averages}"
        x, bounds = sparse(rng, 3, width, dtype, np.int32), np.array([0, width // 2, width])
        tiles: dict[str, Any] = {"dtype": dtype, "axis": "tiles", "pieces": 2, **x.batch}
        name, places = "catch_up_crossing" if crosses else "catch_up", located(x, bounds)

        def steps(
            W: Array, average: Array | None, last: Array, table: Array, state: Array, columns: Array, places: Array,
            bounds: Array, kw: Any = tiles, name: str = name,
        ) -> None:  # fmt: skip
            run_op("lazy_begin", **kw)(last, table, state, bounds)
            for _ in range(len(table) - 1):  # each ends an epoch, here without effect
                one = kw | {"pieces": 1, "coefficients": np.array([0.1, 0.01, 0.3])}
                run_op("lazy_advance", sizes=(0, 1, 2), constants=(0.05, 0.1), **one)(table, state)
                state[2] = 0
            run_op(name, sizes=W.shape[::-1], **kw)(W, average, last, table, state, columns, places, bounds)
            state[2] = 1
            run_op(f"{name}_all", sizes=W.shape[::-1], **kw)(W, average, last, table, state, bounds)

        W, average = rng.normal(size=(2, width, units)).astype(dtype)
        last, table, state = np.zeros(width, np.int32), np.zeros((7, 9)), np.zeros(3, np.int64)
        both_ways(steps, W, average if averages else None, last, table, state, x.columns, places, bounds)


def recurrent_cases(dtype: str) -> Iterator[str]:
    rng = np.random.default_rng(0)
    for cell, (rows, steps, inputs, units), full in product(recurrent.CELLS, recurrent.SIZES, (False, True)):
        gates, shape = recurrent.GATES[cell] * units, (rows, steps, units)
        a, U = (rng.normal(size=s).astype(dtype) for s in ((rows, steps, gates), (gates, units)))
        c, parts = rng.normal(size=gates).astype(dtype), recurrent.blocks(cell, U)
        mask = (rng.random((rows, steps)) < 0.7).astype(dtype) if full else None
        first, last = (np.ones((rows, units), dtype) if full else None for _ in range(2))
        y = np.zeros(shape if full else (rows, units), dtype)
        how: dict[str, Any] = {"rows": rows, "sizes": (units, steps, full, full, 1, 2, full), "constants": (0.3 * full,)}
        saved = [a, *(np.zeros(shape, dtype) for _ in recurrent.twin_forward(cell, a, U, c)[2:])]
        room, bias = np.zeros((rows, len(parts[0])), dtype), [c] if cell == "gru" else []
        deltas = [
            np.zeros_like(d) for d in recurrent.twin_backward(cell, y.reshape(rows, -1, units) + 0 * a[..., :units], saved, U)
        ]
        carry, g = np.zeros((rows, 2, units), dtype), np.zeros(shape, dtype) if full else None
        for half in (False, True) if dtype == "float32" else (False,):
            yield f"{cell}, rows {rows}, steps {steps}, units {units}, full {full}, half {half}"
            suffix, pairs = ("_bfloat16", [half_packed(part) for part in parts]) if half else ("", [])
            packed = [forward for forward, _ in pairs] or [kernels.packed(part, None) for part in parts]
            weights = [backward for _, backward in pairs] or parts
            rounded = [np.zeros((rows, -(-n // 2)), np.int32) for n in (units, len(parts[0])) if half]
            forward = run_op(f"{cell}_forward{suffix}", dtype=dtype, **how)
            both_ways(forward, y, *saved, room, *rounded[:1], *packed, *bias, mask, first, last)
            backward, read = run_op(f"{cell}_backward{suffix}", dtype=dtype, **how), recurrent.read_backward(cell, saved)
            both_ways(backward, *deltas, carry, *rounded[1:], y, *read, *weights, mask, g)
        how |= {"constants": (0.0,)}
        yield f"{cell}, rows {rows}, steps {steps}, units {units}, full {full}, tangents"
        packed = [kernels.packed(part, None) for part in parts] * 2
        both_ways(run_op(f"{cell}_tangent_forward", dtype=dtype, **how), y, *saved, room, *saved, *packed, *bias, mask)
        longer = np.zeros((rows, 1 + len(parts), units), dtype)
        given = [y, np.zeros(shape, dtype), *(deltas[1:] or deltas), *read, *read, U, U, mask]
        both_ways(run_op(f"{cell}_tangent_backward", dtype=dtype, **how), *deltas, longer, *given)
        yield f"masks and joined rows, rows {rows}, steps {steps}, widths {units}, {inputs}"
        x, b = np.zeros(shape, dtype), np.zeros((rows, steps, inputs), dtype)
        joined = {"dtype": dtype, "rows": rows, "sizes": (units, inputs, steps)}
        both_ways(run_op("join_rows", **joined), np.zeros((rows, steps, units + inputs), dtype), x, b)
        both_ways(run_op("part_rows", **joined), x, b, np.zeros((rows, steps, units + inputs), dtype))
        mask_steps = run_op("mask_steps", dtype=dtype, rows=rows, sizes=(steps, units), constants=(0.0,))
        both_ways(mask_steps, np.zeros((rows, steps), dtype), x, np.zeros((rows, steps), dtype))
        clear = run_op("clear_skipped", dtype=dtype, rows=rows, sizes=(steps, units))
        both_ways(clear, x, np.zeros((rows, steps), dtype))


def half_packed(W: Array) -> tuple[Array, Array]:
    """Both copies of W for products of bfloat16 numbers."""
    (units, inputs), tiles = W.shape, _kernels.weight_tiles(*W.shape)
    sizes = _kernels.packed_size(units, -(-inputs // 2)), _kernels.packed_size(inputs, -(-units // 2))
    forward, backward = (np.zeros(size, np.int32) for size in sizes)
    pack = run_op("pack_weight_bfloat16", dtype="float32", sizes=W.shape, axis="tiles", pieces=len(tiles))
    pack(forward, backward, W, tiles)
    return forward, backward


FAMILIES = {
    "recurrent": recurrent_cases,
    "online": online_cases,
    "sparse": sparse_cases,
    "sparse layer": csr_cases,
    "catching up": lazy_cases,
    "dense": dense_cases,
    "bfloat16": bfloat16_cases,
    "activations": activation_cases,
    "losses": loss_cases,
    "optimizers": optimizer_cases,
}


def check(families: Iterable[str]) -> None:
    """In a separate process: run all cases, and print each before it runs."""
    for family in families:
        for dtype in ("float32", "float64"):
            for case in FAMILIES[family](dtype):
                print(dtype, case, flush=True)
        print("done with", family)


@pytest.mark.parametrize("isa", _kernels.available_isas())
def test_nothing_outside_the_operands_is_accessed(isa: str) -> None:
    families = list(FAMILIES) if isa in _kernels.complete_isas() else ["bfloat16"]  # the others are those of avx512
    result = run_python(f"import test_guard; test_guard.check({families})", NNCORE_ISA=isa)
    lines = result.stdout.splitlines()
    assert result.returncode == 0, f"{result.stderr[-2000:]}\nended with {result.returncode} in {lines[-1:]}"
    ends = [lines.index(f"done with {family}") for family in families]
    assert ends[-1] == len(lines) - 1
    assert np.diff([0, *ends]).min() > 100


def one_element_short(slot: int) -> None:
    """Run a product with an operand that is one element too short."""
    arrays = [np.ones((3, 17)), np.ones((3, 5)), np.ones(_kernels.packed_size(17, 5)), np.ones(17)]
    arrays[slot] = guarded(arrays[slot].ravel()[:-1], True)
    run_op("dense_forward", dtype="float64", sizes=(17, 5), rows=3)(*arrays)


@pytest.mark.skipif(sys.platform != "linux", reason="signals differ")
@pytest.mark.parametrize("slot", [0, 1, 3])
def test_mutant_one_element_short(slot: int) -> None:
    result = run_python(f"import test_guard; test_guard.one_element_short({slot})")
    assert result.returncode == -signal.SIGSEGV, result.stderr


def a_written_operand_declared_as_read() -> None:
    """Run an op on a read-only output."""
    y, *read = [np.ones((3, 17)), np.ones((3, 5)), np.ones(_kernels.packed_size(17, 5)), np.ones(17)]
    run_op("dense_forward", dtype="float64", sizes=(17, 5), rows=3)(guarded(y, True, written=False), *read)


@pytest.mark.skipif(sys.platform != "linux", reason="signals differ")
def test_mutant_a_written_operand_declared_as_read() -> None:
    result = run_python("import test_guard; test_guard.a_written_operand_declared_as_read()")
    assert result.returncode == -signal.SIGSEGV, result.stderr
