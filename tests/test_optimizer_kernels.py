"""Optimizer kernels: against their twins, on every instruction set, for any threads and tiles."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.optimizers import CASES, EACH, PROBLEM, call_twin, distance
from helpers.tiles import tile_table as of_tiles

from nncore import _kernels, optimizers
from nncore._kernels import single_ops
from nncore.errors import DivergenceError
from nncore.optimizers.tiles import tile_table


@EACH
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-12), (np.float32, 1e-5)])
def test_twin(case, dtype, tolerance):
    """50 steps of the compiled optimizer and of nncore.reference: parameters and state.

    In float32 with given gradients: feedback would amplify rounding errors.
    """
    build, _, constants = CASES[case]
    opt, theta, other = build(constants), PROBLEM.start.astype(dtype), PROBLEM.start.astype(dtype)
    slots = [np.full_like(other, opt.initial_value(slot)) for slot in opt.slots]
    if opt.enter:
        assert not call_twin(opt.enter, opt, other, *slots)
    for k in range(50):
        mine, twin_s = (PROBLEM.gradient(x, k) if dtype == np.float64 else PROBLEM.noise[k] for x in (theta, other))
        opt.step(theta, mine.astype(dtype))
        assert not call_twin(f"{opt.kernel}_update", opt, other, twin_s.astype(dtype), *slots, step=k + 1)
        arrays, twins = [theta, *opt.state.values()], [other, *slots]
        assert all(twin.dtype == dtype for twin in twins)
        assert max(distance(a[None], b[None]) for a, b in zip(arrays, twins, strict=True)) < tolerance
    if opt.leave:
        opt.finish(theta)
        call_twin(opt.leave, opt, other, *slots)
        assert distance(theta[None], other[None]) < tolerance


@EACH
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_twin_skips_non_finite_updates(case, value):
    build, _, constants = CASES[case]
    opt, (theta, *slots) = build(constants), np.random.default_rng(0).uniform(0.5, 1.5, (6, 4))
    arrays = [theta, *slots[: len(opt.slots)]]
    before, grad = [array.copy() for array in arrays], np.array([1.0, value, 1.0, 1.0])
    with np.errstate(invalid="ignore"):
        assert call_twin(f"{opt.kernel}_update", opt, arrays[0], grad, *arrays[1:], step=3)
    assert all(new[1] == old[1] for new, old in zip(arrays, before, strict=True))
    assert (np.delete(arrays[0], 1) != np.delete(before[0], 1)).all()


def run(opt, n, dtype, table, isa, threads=1, bad=None):
    """One update, from a state as after many steps: theta, the slots, the flag."""
    rng = np.random.default_rng(1)
    opt.init_state(n, dtype)
    for array in opt.state.values():
        array[...] = rng.uniform(0.5, 1.5, n)
    theta, grad = rng.normal(size=(2, n)).astype(dtype)
    if bad is not None:
        grad[bad[0]] = bad[1]
    before = [theta.copy(), *(array.copy() for array in opt.state.values())]
    flag = single_ops.run_op(
        f"{opt.kernel}_update", opt.arrays(theta, grad, table), dtype=np.dtype(dtype), axis="tiles", pieces=len(table),
        coefficients=opt.coefficients(1)[0], threads=threads, isa=isa,
    )  # fmt: skip
    return before, [theta, *opt.state.values()], flag


@EACH
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("isa", _kernels.complete_isas())
def test_bits_do_not_depend_on_threads_or_tiles(case, dtype, isa):
    build, _, constants = CASES[case]
    n = 60_013
    _, reference, _ = run(build(constants), n, dtype, of_tiles([[0, 1, n, n]]), isa)
    pieces = of_tiles([[k, 1, min(997, n - k), 997] for k in range(0, n, 997)])
    rectangles = of_tiles([[0, 200, 150, 300], [150, 200, 150, 300], [60_000, 13, 1, 1]])
    for table in (tile_table(n), pieces, rectangles):
        for threads in (1, 2, 3):
            _, arrays, flag = run(build(constants), n, dtype, table.astype(np.int64), isa, threads)
            assert flag == 0
            assert [array.tobytes() for array in arrays] == [array.tobytes() for array in reference]


@EACH
@pytest.mark.parametrize("isa", _kernels.complete_isas())
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_non_finite_updates_are_skipped(case, isa, value):
    build, _, constants = CASES[case]
    for dtype in (np.float32, np.float64):
        for n in (1, 7, 40):
            table = tile_table(n)
            _, good, flag = run(build(constants), n, dtype, table, isa)
            assert flag == 0
            for i in {0, n // 2, n - 1}:
                before, after, flag = run(build(constants), n, dtype, table, isa, bad=(i, value))
                assert flag == 1
                for old, new, other in zip(before, after, good, strict=True):
                    assert new[i] == old[i]
                    assert np.array_equal(np.delete(new, i), np.delete(other, i))


def test_overflow_of_the_state_is_skipped():
    theta, opt = np.ones(2, np.float32), optimizers.Adam()
    with pytest.raises(DivergenceError, match="not finite after step 0"):
        opt.step(theta, np.array([1e30, 1.0], np.float32))
    assert theta[0] == 1
    assert theta[1] < 1
    assert opt.state["v"][0] == 0


def test_negative_centered_variance_is_taken_as_zero():
    opt, theta = optimizers.RMSprop(alpha=0.9, centered=True, eps=1e-3), np.zeros(100)
    grad = np.random.default_rng(0).normal(size=100)
    for _ in range(2000):  # constant gradients: r and a² meet
        opt.step(theta, grad)
    assert np.isfinite(theta).all()
