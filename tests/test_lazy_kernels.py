"""Catching up weights without a gradient: the kernels, which take many steps at once, against steps taken one by one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from helpers.csr import all_bounds
from helpers.kernels import each_dtype, each_isa, same_bits
from numpy.typing import NDArray

from nncore import reference
from nncore._kernels import Program, op_table

Array = NDArray[Any]

WIDTH = 11
UNITS = (1, 2, 3, 16, 17, 65)
# A chain of some hundred operations in double precision; weights are rounded at each of some twenty occasions.
TOLERANCE = {"float64": 1e-11, "float32": 20 * 6e-8}


def run_op(
    name: str, *arrays: Any, sizes: tuple[int, ...] = (), constants: tuple[float, ...] = (), pieces: int = 1, rows: int = 1,
    coefficients: Array | None = None, ends_epoch: bool = False, dtype: str = "float64", isa: str | None = None,
    threads: int = 1,
) -> None:  # fmt: skip
    """Run an op over tiles in one step, which is the last of an epoch or not."""
    ops = [(name, arrays, sizes, constants, 0, pieces)]
    bound = Program(op_table(isa), dtype, [("tiles", pieces, None, False, ops)])
    given = None if coefficients is None else coefficients.reshape(1, -1)
    examples = rows if ends_epoch else 3 * rows
    bound.run(examples=examples, batch=rows, coefficients=given, keep_denormals=True, threads=threads)


@dataclass
class Steps:
    """(η, d, c) of each step, and how many make an epoch."""

    coefficients: Array
    l1: float = 0.0
    l2: float = 0.0
    per_epoch: int = 1000
    entries: int = 1000
    crosses: bool = False
    averages: bool = False

    def idle(self, step: int) -> tuple[float, float, float]:
        """f, s and c."""
        lr, decay, average = self.coefficients[step]
        return 1 - decay - lr * self.l2, lr * self.l1, average * self.averages


def constant(steps: int, lr: float = 0.1, decay: float = 0.0, average: float = 0.0) -> Array:
    return np.tile([lr, decay, average], (steps, 1))


def falling(steps: int, lr: float = 0.5, decay: float = 0.0, average: float = 0.0) -> Array:
    return constant(steps, lr, decay, average) / np.arange(1, steps + 1)[:, None] ** 0.5


def warming(steps: int, lr: float = 0.5, decay: float = 0.0, average: float = 0.0) -> Array:
    return constant(steps, lr, decay, average) * np.minimum(1, np.arange(steps) / 20)[:, None]


def polyak(steps: int, lr: float = 0.1) -> Array:
    """a is a copy of w for ten steps, then their mean."""
    c = 1 / np.maximum(1, np.arange(steps) - 9)
    return np.column_stack((np.full(steps, lr), np.zeros(steps), c))


def turning(steps: int) -> Array:
    """Some steps are so long that f is 0 or negative."""
    lr = np.full(steps, 0.1)
    lr[[7, 8, 30]], lr[20] = 3.0, 2.0
    return np.column_stack((lr, np.zeros(steps), np.full(steps, 0.1)))


N = 80
SCHEDULES: dict[str, Steps] = {
    "nothing": Steps(constant(N, average=0.0)),
    "decay": Steps(constant(N, decay=0.02)),
    "l2": Steps(falling(N), l2=0.1),
    "l2 of a warm-up": Steps(warming(N), l2=0.1),
    "l1": Steps(constant(N), l1=0.08, crosses=True),
    "l1 falling": Steps(falling(N), l1=0.1, crosses=True),
    "l1 and l2": Steps(constant(N), l1=0.05, l2=0.1, crosses=True),
    "proximal": Steps(constant(N), l1=0.08),
    "proximal of a warm-up": Steps(warming(N), l1=0.03, l2=0.03),
    "proximal and decay": Steps(constant(N, decay=0.03), l1=0.05),
    "average": Steps(constant(N, average=0.1), averages=True),
    "average and decay": Steps(falling(N, decay=0.1, average=0.3), averages=True),
    "average and l2": Steps(constant(N, average=0.01), l2=0.5, averages=True),
    "average and l1": Steps(constant(N, average=0.05), l1=0.08, l2=0.02, averages=True, crosses=True),
    "average and proximal": Steps(constant(N, average=0.05), l1=0.08, averages=True),
    "average of copies": Steps(polyak(N), l2=0.1, averages=True),
    "average of copies and l1": Steps(polyak(N), l1=0.05, averages=True, crosses=True),
    "average of copies and proximal": Steps(polyak(N), l1=0.05, averages=True),
    "copies alone": Steps(constant(N, average=1.0), l2=0.1, averages=True),
    "turning": Steps(turning(N), l2=0.5),
    "turning with l1": Steps(turning(N), l1=0.1, l2=0.5, crosses=True),
    "turning with proximal": Steps(turning(N), l1=0.1, l2=0.5),
    "turning average": Steps(turning(N), l2=0.5, averages=True),
    "turning average and l1": Steps(turning(N), l1=0.1, l2=0.5, averages=True, crosses=True),
    "turning average and proximal": Steps(turning(N), l1=0.1, l2=0.5, averages=True),
    "soon 0": Steps(constant(N, lr=1.0, average=0.2), l2=0.9, averages=True),
}
each_schedule = pytest.mark.parametrize("schedule", SCHEDULES)


def step_by_definition(w: Array, a: Array, f: float, s: float, c: float, *, crosses: bool) -> tuple[Array, Array]:
    """w ← f w − s sign(w), a ← a + c (w − a)."""
    if crosses:
        w = f * w - s * np.sign(w)
    else:
        w = np.sign(f * w) * np.maximum(np.abs(f * w) - s, 0)
    return w, a + c * (w - a)


@dataclass
class Lazy:
    """Weights with the arrays of the ops."""

    W: Array
    average: Array | None
    bounds: Array
    entries: int
    kw: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.last = np.full(len(self.W), 77, np.int32)
        self.whole = np.full((self.entries + 2, 9), np.nan)
        self.table, self.state = self.whole[1:-1], np.full(3, 77)
        self.arrays = (self.W, self.average, self.last, self.table, self.state)

    def run(self, name: str, *arrays: Any, **kw: Any) -> None:
        run_op(name, *arrays, self.bounds, pieces=len(self.bounds) - 1, **self.kw, **kw)


def batches(rng: np.random.Generator, steps: int) -> list[tuple[Array, list[Array]]]:
    """Of each step the columns of two rows, often none at all."""
    drawn = [[np.flatnonzero(rng.random(WIDTH) < share * (rng.random() < 0.5)) for share in (0.2, 0.1)] for _ in range(steps)]
    return [(np.concatenate(rows).astype(np.int32), rows) for rows in drawn]


def places_in(rows: list[Array], bounds: Array) -> Array:
    firsts = np.cumsum([0, *map(len, rows)])
    return np.array([first + np.searchsorted(row, bounds) for first, row in zip(firsts, rows, strict=False)])


def check(
    steps: Steps, units: int, dtype: str, bounds: Array, mutant: float = 1.0, by_twin: bool = True, **kw: Any
) -> tuple[Array, Array | None]:
    """Train: in each step the weights that are read are as by the definition, and change as they may."""
    rng = np.random.default_rng(units)
    start = rng.normal(size=(WIDTH, units)).astype(dtype)
    start[rng.random(start.shape) < 0.2] = 0
    first = rng.normal(size=start.shape).astype(dtype)
    w, a = start.astype(float), first.astype(float)
    lazy, twin = (
        Lazy(start.copy(), first.copy() if steps.averages else None, bounds, steps.entries, {"dtype": dtype, **kw})
        for _ in range(2)
    )
    suffix, tolerance = "_crossing" * steps.crosses, TOLERANCE[dtype]
    lazy.run("lazy_begin", lazy.last, lazy.table, lazy.state)
    reference.lazy_begin(twin.last, twin.table, twin.state)
    columns_of_size = (1, 0, -1, 2) if steps.averages else (1, 0, -1, -1)
    for step, (columns, rows) in enumerate(batches(rng, len(steps.coefficients))):
        places = places_in(rows, bounds)
        read = np.unique(columns)
        ends = (step + 1) % steps.per_epoch == 0
        lazy.run(f"catch_up{suffix}", *lazy.arrays, columns, places, sizes=(units, WIDTH), rows=2)
        assert (lazy.last[read] == step + 1).all()
        np.testing.assert_allclose(lazy.W[read], w[read], rtol=tolerance, atol=tolerance)
        if lazy.average is not None:
            np.testing.assert_allclose(lazy.average[read], a[read], rtol=tolerance, atol=tolerance)
        if by_twin:
            getattr(reference, f"catch_up{suffix}")(*twin.arrays, columns, places)
            assert np.array_equal(lazy.last, twin.last)
        news = rng.normal(size=(2, len(read), units)).astype(dtype)  # what the step makes of them
        w[read], a[read] = news
        for one in (lazy, twin):
            one.W[read] = news[0]
            if one.average is not None:
                one.average[read] = news[1]
        f, s, c = steps.idle(step)
        others = np.setdiff1d(np.arange(WIDTH), read)
        w[others], a[others] = step_by_definition(w[others], a[others], f, mutant * s, mutant * c, crosses=steps.crosses)
        lr, decay, average = steps.coefficients[step]
        run_op(
            "lazy_advance", lazy.table, lazy.state, sizes=(columns_of_size[0], columns_of_size[1], columns_of_size[3]),
            constants=(steps.l1, steps.l2), coefficients=np.array([decay, lr, average]), ends_epoch=ends, **lazy.kw,
        )  # fmt: skip
        if by_twin:
            reference.lazy_advance(
                twin.table, twin.state, lr, decay, average * steps.averages, steps.l1, steps.l2, ends_epoch=ends
            )
            filled = slice(0, step + 2 - int(twin.state[1]))
            np.testing.assert_allclose(lazy.table[filled], twin.table[filled], rtol=1e-13, err_msg=str(step))
            assert np.array_equal(lazy.state, twin.state)
            getattr(reference, f"catch_up{suffix}_all")(*twin.arrays)
            assert np.allclose(twin.W, w, rtol=tolerance, atol=tolerance) or not lazy.state[2]
        lazy.run(f"catch_up{suffix}_all", *lazy.arrays, sizes=(units, WIDTH))
        if lazy.state[2] or ends:
            assert (lazy.last == step + 1).all()
            np.testing.assert_allclose(lazy.W, w, rtol=tolerance, atol=tolerance)
    lazy.state[2] = 1
    lazy.run(f"catch_up{suffix}_all", *lazy.arrays, sizes=(units, WIDTH))
    np.testing.assert_allclose(lazy.W, w, rtol=tolerance, atol=tolerance)
    if lazy.average is not None:
        np.testing.assert_allclose(lazy.average, a, rtol=tolerance, atol=tolerance)
    if not steps.crosses:  # exactly 0, where the definition is
        assert np.array_equal(lazy.W == 0, w == 0)
    assert np.isnan(lazy.whole[[0, -1]]).all()
    return lazy.W, lazy.average


@each_dtype
@each_isa
@each_schedule
def test_many_steps_are_the_steps_one_by_one(schedule: str, isa: str, dtype: str) -> None:
    steps = SCHEDULES[schedule]
    for per_epoch, entries, units in ((1000, 1000, 3), (13, 1000, 1), (1000, 9, 1), (7, 2, 3), (1, 3, 1)):
        cut = Steps(**{**vars(steps), "per_epoch": per_epoch, "entries": entries})
        check(cut, units, dtype, np.array([0, WIDTH]), isa=isa)


@each_dtype
@pytest.mark.parametrize("units", UNITS)
def test_units(units: int, dtype: str) -> None:
    for schedule in ("l1 and l2", "proximal and decay", "average and l1"):
        check(SCHEDULES[schedule], units, dtype, np.array([0, WIDTH]))


@pytest.mark.parametrize("schedule", ["decay", "l1 and l2", "proximal", "average and l1", "turning average and proximal"])
def test_shards_and_threads_leave_the_bits(schedule: str) -> None:
    results = []
    for bounds in all_bounds(np.random.default_rng(0), WIDTH):
        for threads in (1, 3):
            W, average = check(SCHEDULES[schedule], 3, "float64", bounds, threads=threads, by_twin=False)
            results.append(W.tobytes() + (b"" if average is None else average.tobytes()))
    assert len(set(results)) == 1


# ---- thousands of steps


LONG = 6000
LONG_SCHEDULES: dict[str, Steps] = {
    "decay": Steps(constant(LONG, decay=0.01)),
    "l1": Steps(constant(LONG, lr=0.01), l1=0.002, l2=0.01, crosses=True),
    "proximal": Steps(falling(LONG, lr=0.5), l1=0.001),
    "average and l2": Steps(constant(LONG, lr=0.1, average=0.001), l2=0.1, averages=True),
    "average and l1": Steps(constant(LONG, lr=0.1, average=0.001), l1=1e-4, l2=0.1, averages=True, crosses=True),
    "average and proximal": Steps(falling(LONG, lr=0.5, average=0.01), l1=1e-3, l2=0.1, averages=True),
    "short average": Steps(constant(LONG, lr=0.1, average=0.3), l2=0.01, averages=True),
    "average of copies": Steps(polyak(LONG, 0.01), l1=1e-3, l2=0.1, averages=True, crosses=True),
}


@each_dtype
@pytest.mark.parametrize("schedule", LONG_SCHEDULES)
def test_thousands_of_steps(schedule: str, dtype: str) -> None:
    """Rows that occur once in some hundred or thousand steps; the table reaches over as many as it keeps digits for."""
    steps = LONG_SCHEDULES[schedule]
    rng, often = np.random.default_rng(1), np.array([1, 10, 100, 1000, 10**6])
    w, a = rng.normal(size=(2, 5, 2))
    kw = {"dtype": dtype}
    lazy = Lazy(w.astype(dtype), a.astype(dtype) if steps.averages else None, np.array([0, 5]), 1 << 14, kw)
    w, a = w.astype(dtype).astype(float), a.astype(dtype).astype(float)
    lazy.run("lazy_begin", lazy.last, lazy.table, lazy.state)
    stage = [
        (f"catch_up{'_crossing' * steps.crosses}", (*lazy.arrays, None, None, lazy.bounds), (2, 5), ()),
        ("lazy_advance", (lazy.table, lazy.state), (1, 0, 2 if steps.averages else -1), (steps.l1, steps.l2)),
        (f"catch_up{'_crossing' * steps.crosses}_all", (*lazy.arrays, lazy.bounds), (2, 5), ()),
    ]
    stages = [("tiles", 1, None, False, [(*op, 0, 1)]) for op in stage]
    program = Program(op_table(), dtype, stages)
    for step in range(LONG):
        read = np.flatnonzero((step + 1) % often == 0).astype(np.int32)
        lr, decay, average = steps.coefficients[step]
        bind = [(0, 5, read), (0, 6, np.array([[0, len(read)]]))]
        program.run(bind, examples=3, batch=1, coefficients=np.array([[decay, lr, average]]), keep_denormals=True)
        assert_caught_up(lazy, w, a, steps, step, read)
        news = rng.normal(size=(2, len(read), 2)).astype(dtype)
        lazy.W[read], w[read] = news[0], news[0]
        if lazy.average is not None:
            lazy.average[read], a[read] = news[1], news[1]
        f, s, c = steps.idle(step)
        others = np.setdiff1d(np.arange(5), read)
        w[others], a[others] = step_by_definition(w[others], a[others], f, s, c, crosses=steps.crosses)
    lazy.state[2] = 1
    lazy.run(f"catch_up{'_crossing' * steps.crosses}_all", *lazy.arrays, sizes=(2, 5))
    assert_caught_up(lazy, w, a, steps, LONG, np.arange(5))


def assert_caught_up(lazy: Lazy, w: Array, a: Array, steps: Steps, step: int, rows: Array) -> None:
    """A subgradient step beside 0 turns around: there an error keeps its size and may choose the other side of a step s."""
    double = lazy.W.dtype == np.float64
    around = steps.idle(step - 1)[1] if steps.crosses else 0.0
    near = np.abs(w[rows]) <= around
    tolerance = 1e-10 if double else 2e-6
    np.testing.assert_allclose(lazy.W[rows][~near], w[rows][~near], rtol=tolerance, atol=tolerance)
    assert (np.abs(lazy.W[rows][near]) <= around * (1 + 1e-6)).all()
    if lazy.average is not None:
        np.testing.assert_allclose(lazy.average[rows], a[rows], rtol=tolerance, atol=tolerance + around * (not double))


# ---- single ops


@each_isa
def test_begin(isa: str) -> None:
    for bounds in all_bounds(np.random.default_rng(0), WIDTH):
        lazy = Lazy(np.zeros((WIDTH, 1)), None, bounds, 4, {"isa": isa})
        lazy.run("lazy_begin", lazy.last, lazy.table, lazy.state)
        assert not lazy.last.any()
        assert not lazy.state.any()
        assert lazy.table[0].tolist() == [1, 0, 1, 0, 0, -1, 0, 0, 0]
        assert np.isnan(lazy.whole[0]).all()
        assert np.isnan(lazy.whole[2:]).all()


@each_isa
def test_no_columns_beyond_the_width_are_caught_up(isa: str) -> None:
    """Changed while they are in use: the op that reads the batch refuses them; this one leaves everything as it is."""
    whole = np.full((WIDTH + 2, 3), 1.0)
    lazy = Lazy(whole[1:-1], None, np.array([0, 4, WIDTH]), 9, {"isa": isa})
    lazy.run("lazy_begin", lazy.last, lazy.table, lazy.state)
    run_op("lazy_advance", lazy.table, lazy.state, sizes=(0, -1, -1), constants=(0.0, 1.0), coefficients=np.array([0.5]))
    columns = np.array([-1, WIDTH, 2**31 - 1, -(2**31), 6, 1], np.int32)  # the last two are in the other shard
    lazy.run("catch_up", *lazy.arrays, columns, np.array([[0, 5, 6]]), sizes=(3, WIDTH))
    assert (whole == 1).all()
    assert not lazy.last.any()
    lazy.run("catch_up", *lazy.arrays, columns, np.array([[0, 0, 5]]), sizes=(3, WIDTH))
    assert np.array_equal(np.flatnonzero((whole == 0.5).all(axis=1)), [7])
    assert np.array_equal(np.flatnonzero(lazy.last), [6])


# ---- mutants


@pytest.mark.parametrize("schedule", ["l1 and l2", "proximal", "average"])
def test_mutant_steps(schedule: str) -> None:
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        check(SCHEDULES[schedule], 3, "float64", np.array([0, WIDTH]), mutant=1 + 1e-6, by_twin=False)


def test_mutant_crossing() -> None:
    """A step that crosses 0 is not one that ends there."""
    crossing = Steps(**{**vars(SCHEDULES["l1"]), "crosses": False})
    results = [check(steps, 3, "float64", np.array([0, WIDTH]))[0] for steps in (SCHEDULES["l1"], crossing)]
    assert not same_bits(*results)
