"""Programs: ops in order, batches and their remainder, epochs in one call, and the ops between backward pass and update."""

from typing import Any

import numpy as np
import pytest
from helpers.tiles import tile_table
from numpy.typing import NDArray
from scipy import stats

import nncore as nn
from nncore import _kernels
from nncore._kernels import Program, PythonOp, op_table, shuffled_orders
from nncore._kernels.single_ops import run_op
from nncore.optimizers import OPTIMIZERS, WRAPPERS
from nncore.program.recording import ModelTape

Array = NDArray[Any]

each_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])
each_threads = pytest.mark.parametrize("threads", [1, 2, 3])


def python(call: Any) -> tuple[Any, ...]:
    """A stage of one op in Python, called with the number of rows."""
    return "serial", 1, None, False, [("python", (PythonOp(call),), (), (), 0, 1)]


def rows_stage(*ops: tuple[Any, ...], checks_loss: bool = False) -> tuple[Any, ...]:
    return "rows", 1, None, checks_loss, [(*op, 0, 1) for op in ops]


# Order of stages.


@each_threads
def test_order_of_stages(threads: int) -> None:
    """Prologue stages run once, step stages in each step with its rows, epilogue stages once."""
    calls: list[tuple[str, int]] = []
    stages = [python(lambda rows, name=name: calls.append((name, rows))) for name in "abcde"]
    program = Program(op_table(), "float32", stages, enter=2, leave=4)
    done, sums = program.run(last_step=3, examples=10, batch=4, threads=threads)
    assert calls == [("a", 4), ("b", 4), ("c", 4), ("d", 4), ("c", 4), ("d", 4), ("c", 2), ("d", 2), ("e", 2)]
    assert done == 3
    assert sums.shape == (3, 1)


@pytest.mark.parametrize(("examples", "batch"), [(10, 4), (8, 4), (3, 5), (1, 1), (7, 1)])
def test_remainder_batches(examples: int, batch: int) -> None:
    seen: list[int] = []
    program = Program(op_table(), "float32", [python(seen.append)])
    per_epoch = -(-examples // batch)
    done, _ = program.run(last_step=3 * per_epoch, examples=examples, batch=batch)
    assert done == 3 * per_epoch
    assert seen == 3 * [min(batch, examples - start) for start in range(0, examples, batch)]
    assert sum(seen) == 3 * examples


def test_no_step() -> None:
    seen: list[int] = []
    done, sums = Program(op_table(), "float32", [python(seen.append)]).run(first_step=2, last_step=2, examples=4, batch=2)
    assert (done, seen, sums.shape) == (0, [], (0, 1))


def test_an_exception_stops_the_run_and_is_raised() -> None:
    calls: list[str] = []

    def fail(rows: int) -> None:
        calls.append("fails")
        if len(calls) == 5:
            raise KeyError("by intent")

    stages = [python(lambda rows, name=name: calls.append(name)) for name in ("first", "after", "leave")]
    stages.insert(1, python(fail))
    program = Program(op_table(), "float32", stages, leave=3)
    with pytest.raises(KeyError, match="by intent"):
        program.run(last_step=9, examples=9, batch=1)
    assert calls == ["first", "fails", "after", "first", "fails", "leave"]


@pytest.mark.parametrize("bad", ["no_such_op", "Sigmoid_forward", ""])
def test_unknown_ops(bad: str) -> None:
    with pytest.raises(ValueError, match=f"unknown op '{bad}'"):
        Program(op_table(), "float32", [rows_stage((bad, (), (), ()))])


# Gathering and writing.


def copy_program(dtype: str, data: Array, out: Array, capacity: int, block_rows: int = 3) -> Program:
    """Gathers rows of the data into the batch and writes them out, one after the other."""
    width = data.shape[1]
    batch = np.zeros((capacity, width), dtype)
    gather = ("gather_rows", (batch, data), (width,), ())
    return Program(op_table(), dtype, [rows_stage(gather, ("write_rows", (out, batch), (width,), ()))], block_rows=block_rows)


@each_dtype
@each_threads
def test_batches_follow_the_index(dtype: str, threads: int, rng: np.random.Generator) -> None:
    data, out = rng.standard_normal((11, 5)).astype(dtype), np.full((33, 5), np.nan, dtype)
    order = shuffled_orders(11, 3, seed=1, first_epoch=0)
    program = copy_program(dtype, data, out, 4)
    done, _ = program.run(last_step=9, examples=11, batch=4, order=order, threads=threads)
    assert done == 9
    assert np.array_equal(out, data[order.ravel()])


@each_dtype
def test_batches_in_sequence_from_an_origin(dtype: str, rng: np.random.Generator) -> None:
    data = rng.standard_normal((20, 3)).astype(dtype)
    out = np.zeros((20, 3), dtype)
    copy_program(dtype, data, out, 4).run(last_step=3, examples=10, batch=4, origin=6)
    want = np.zeros((20, 3), dtype)
    want[6:16] = data[6:16]
    assert np.array_equal(out, want)


def test_rows_of_wider_data_and_backwards(rng: np.random.Generator) -> None:
    wide = rng.standard_normal((9, 8))
    for data in (wide[:, 2:5], wide[::-1, 2:5], wide[::3, 2:5]):
        out = np.zeros((len(data), 3))
        copy_program("float64", data, out, 2).run(last_step=-(-len(data) // 2), examples=len(data), batch=2)
        assert np.array_equal(out, data)


def test_a_part_of_the_steps(rng: np.random.Generator) -> None:
    """Steps are counted from the start of the order, so that a run can continue where another ended."""
    data, order = rng.standard_normal((11, 5)), shuffled_orders(11, 2, seed=1, first_epoch=0)
    out, whole = np.zeros((22, 5)), np.zeros((22, 5))
    program = copy_program("float64", data, out, 4)
    for first, last in ((0, 1), (1, 5), (5, 6)):
        program.run(first_step=first, last_step=last, examples=11, batch=4, order=order)
    copy_program("float64", data, whole, 4).run(last_step=6, examples=11, batch=4, order=order)
    assert np.array_equal(out, whole)


@each_dtype
def test_gather_labels_one_hot_and_weights(dtype: str, rng: np.random.Generator) -> None:
    labels, weights = rng.integers(0, 4, 9), rng.random(9)
    index = rng.permutation(9)[:6]
    got, rows, taken = np.zeros(6, dtype=np.int64), np.zeros((6, 4), dtype), np.zeros(6)
    run_op("gather_labels", (got, labels), dtype=dtype, sizes=(4,), rows=6, index=index)
    run_op("gather_one_hot", (rows, labels), dtype=dtype, sizes=(4,), constants=(-1.0, 2.0), rows=6, index=index)
    run_op("gather_weights", (taken, weights), dtype=dtype, rows=6, index=index)
    assert np.array_equal(got, labels[index])
    assert np.array_equal(rows, np.where(np.arange(4) == labels[index][:, None], 2, -1))
    assert np.array_equal(taken, weights[index])


@each_dtype
@each_threads
@pytest.mark.parametrize("position", [0, 3])
def test_write_rows(dtype: str, threads: int, position: int, rng: np.random.Generator) -> None:
    batch, out = rng.standard_normal((40, 5)).astype(dtype), np.zeros((50, 5), dtype)
    run_op("write_rows", (out, batch), dtype=dtype, sizes=(5,), rows=40, position=position, threads=threads, block_rows=7)
    want = np.zeros((50, 5), dtype)
    want[position : position + 40] = batch
    assert np.array_equal(out, want)


def test_bind(rng: np.random.Generator) -> None:
    data, other = rng.standard_normal((6, 3)), rng.standard_normal((6, 8))
    out = np.zeros((6, 3))
    program = copy_program("float64", data, out, 6)
    program.run(examples=6, batch=6)
    assert np.array_equal(out, data)
    program.run([(0, 1, other[:, 2:5])], examples=6, batch=6)
    assert np.array_equal(out, other[:, 2:5])
    with pytest.raises(ValueError, match="op gather_rows: array data must not be None"):  # it was bound for that run only
        program.run(examples=6, batch=6)


# Per-example values and sums.


def loss_program(y: Array, d: Array, capacity: int, *, stops: bool = False) -> tuple[Program, Array]:
    """½ ‖y − d‖² of each row of the batch, as the loss."""
    width = y.shape[1]
    losses, batch, targets = np.zeros(capacity), np.zeros((capacity, width)), np.zeros((capacity, width))
    grad = np.zeros((capacity, width))
    ops = [("gather_rows", (array, data), (width,), ()) for array, data in ((batch, y), (targets, d))]
    ops.append(("squared_error", (losses, grad, batch, targets, None), (width,), ()))
    stages = [rows_stage(*ops, checks_loss=True)]
    return Program(op_table(), "float64", stages, records=[losses], block_rows=3, stops=stops), grad


@each_threads
def test_sums_and_losses_of_the_examples(threads: int, rng: np.random.Generator) -> None:
    y, d = rng.standard_normal((2, 11, 3))
    order = shuffled_orders(11, 2, seed=3, first_epoch=0)
    program, _ = loss_program(y, d, 4)
    examples_out = np.full(22, np.nan)
    done, sums = program.run(
        last_step=6, examples=11, batch=4, order=order, examples_out=examples_out, threads=threads
    )  # fmt: skip
    want = 0.5 * ((y - d) ** 2).sum(axis=1)[order]
    assert done == 6
    assert sums.shape == (6, 2)
    parts = [want[epoch, start : start + 4].sum() for epoch in (0, 1) for start in (0, 4, 8)]
    assert np.allclose(sums[:, 0], parts, rtol=1e-14)
    assert not sums[:, 1].any()
    assert np.allclose(examples_out, want.ravel(), rtol=1e-14)


def test_the_scale_of_the_gradient(rng: np.random.Generator) -> None:
    y, d = rng.standard_normal((2, 6, 3))
    program, grad = loss_program(y, d, 6)
    program.run(examples=6, batch=6)
    assert np.allclose(grad, (y - d) / 6, rtol=1e-15)
    program.run(examples=6, batch=6, scale=0.5)
    assert np.allclose(grad, (y - d) / 2, rtol=1e-15)


@each_threads
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_loss_that_is_not_finite_stops_the_run(bad: float, threads: int, rng: np.random.Generator) -> None:
    y, d = rng.standard_normal((2, 12, 3))
    y[7, 1] = bad
    program, _ = loss_program(y, d, 3, stops=True)
    done, sums = program.run(last_step=4, examples=12, batch=3, threads=threads)
    assert done == 2
    assert np.isfinite(sums[:2]).all()
    assert not np.isfinite(sums[2, 0])
    y[7, 1] = 0
    assert program.run(last_step=4, examples=12, batch=3, threads=threads)[0] == 4


@each_threads
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_outside_training_a_loss_that_is_not_finite_stops_nothing(bad: float, threads: int, rng: np.random.Generator) -> None:
    y, d = rng.standard_normal((2, 12, 3))
    y[7, 1] = bad
    program, _ = loss_program(y, d, 3)
    done, sums = program.run(last_step=4, examples=12, batch=3, threads=threads)
    assert done == 4
    assert np.isfinite(sums[[0, 1, 3]]).all()
    assert not np.isfinite(sums[2, 0])


# Epochs in one call.


BY_BATCHES = [name for name, kind in OPTIMIZERS.items() if not (kind.full_batch_only or hasattr(kind, "training_run"))]


@pytest.mark.parametrize("optimizer", [*BY_BATCHES, *WRAPPERS])
@pytest.mark.parametrize("proximal", [False, True])
@each_dtype
def test_epochs_in_one_call_and_one_by_one(
    optimizer: str, proximal: bool, dtype: str, rng: np.random.Generator, monkeypatch: Any
) -> None:
    """The number of steps per call depends on timing: the bits must not."""
    X, y = rng.standard_normal((23, 3)), rng.integers(0, 2, 23)
    ends, calls = [], []
    for seconds in (0.0, 1e3):
        model = nn.Sequential([nn.Dense(4), nn.ReLU(), nn.Dense(2)], input_shape=3, dtype=dtype, seed=1)
        made = WRAPPERS[optimizer]("nesterov") if optimizer in WRAPPERS else OPTIMIZERS[optimizer]()
        penalty = nn.ProximalL1(0.3) if proximal else None
        trainer = nn.Trainer(model, "softmax_cross_entropy", made, regularizer=penalty)
        monkeypatch.setattr("nncore.program.autotune.SECONDS_PER_CALL", seconds)
        trainer.fit(X, y, batch_size=5, verbose=0)
        (compiled,) = [program.compiled for program in trainer._compiled.values()]
        steps: list[int] = []
        run = compiled.run
        compiled.run = lambda *a, steps=steps, run=run, **kw: steps.append(kw["last_step"] - kw["first_step"]) or run(*a, **kw)
        trainer.fit(X, y, epochs=8, batch_size=5, verbose=0)
        ends.append((model.parameters.tobytes(), trainer.history["running_loss"].tobytes()))
        calls.append(steps)
    assert calls == [[1] * 40, [40]]
    assert ends[0] == ends[1]


# The order of the examples.


@pytest.mark.parametrize("n", [1, 2, 3, 10, 1000])
def test_orders_are_permutations(n: int) -> None:
    orders = shuffled_orders(n, 5, seed=7, first_epoch=0)
    assert orders.shape == (5, n)
    assert orders.dtype == np.int64
    assert np.array_equal(np.sort(orders, axis=1), np.tile(np.arange(n), (5, 1)))


def test_an_order_depends_on_seed_and_epoch_alone() -> None:
    orders = shuffled_orders(100, 6, seed=7, first_epoch=0)
    assert np.array_equal(shuffled_orders(100, 2, seed=7, first_epoch=3), orders[3:5])
    assert np.array_equal(shuffled_orders(100, 1, seed=7, first_epoch=2**40), shuffled_orders(100, 1, 7, 2**40))
    several = [
        *orders,
        shuffled_orders(100, 1, 8, 0)[0],
        shuffled_orders(100, 1, 7 + 2**32, 0)[0],
        shuffled_orders(100, 1, 7, 2**32)[0],
    ]
    assert len({order.tobytes() for order in several}) == len(several)


def test_every_order_of_four_is_as_frequent() -> None:
    """χ² with 23 degrees of freedom; the draws are fixed, so the test cannot fail by chance."""
    orders = shuffled_orders(4, 24_000, seed=3, first_epoch=0)
    _, counts = np.unique(orders @ [64, 16, 4, 1], return_counts=True)
    assert len(counts) == 24
    assert stats.chisquare(counts).pvalue > 1e-3


@pytest.mark.parametrize("by", ["epoch", "seed"])
def test_every_position_is_as_frequent(by: str) -> None:
    """Where example i goes, for 7 examples: 49 counts of 1000 expected each, 36 degrees of freedom."""
    if by == "epoch":
        orders = shuffled_orders(7, 7000, seed=5, first_epoch=0)
    else:
        orders = np.concatenate([shuffled_orders(7, 1, seed=seed, first_epoch=0) for seed in range(7000)])
    counts = np.array([np.bincount(column, minlength=7) for column in orders.T])
    statistic = ((counts - 1000) ** 2 / 1000).sum() * 6 / 7  # rows and columns have fixed sums
    assert 1e-3 < stats.chi2(36).sf(statistic) < 1 - 1e-3


def test_neighboring_seeds_and_epochs_are_independent() -> None:
    """The number of positions at which two permutations agree has mean 1 and variance 1."""
    for other in (shuffled_orders(50, 2000, 1, 1), shuffled_orders(50, 2000, 2, 0)):
        agree = (shuffled_orders(50, 2000, 1, 0) == other).sum(axis=1)
        assert abs(agree.mean() - 1) < 4 / np.sqrt(2000)


# Between backward pass and update. Tiles are rows of (offset, rows, columns, row stride) of θ.

SIZE = 100
TABLE = tile_table([(0, 3, 5, 10), (5, 3, 5, 10), (30, 1, 40, 40), (71, 2, 7, 9), (95, 1, 1, 1)])


def elements(tile: Array) -> Array:
    offset, rows, columns, stride = tile[:4]
    return (offset + stride * np.arange(rows)[:, None] + np.arange(columns)).ravel()


def run_tiles(name: str, arrays: tuple[Any, ...], dtype: str, constants: tuple[float, ...] = (), threads: int = 1) -> None:
    failed = run_op(name, (*arrays, TABLE), dtype=dtype, axis="tiles", pieces=len(TABLE), constants=constants, threads=threads)
    assert failed == 0


def close(dtype: str, got: Array, want: Array) -> bool:
    return np.allclose(got, want, rtol={"float32": 1e-5, "float64": 1e-13}[dtype], atol=1e-7 if dtype == "float32" else 1e-15)


def test_tiles_do_not_overlap() -> None:
    covered = np.concatenate([elements(tile) for tile in TABLE])
    assert len(np.unique(covered)) == len(covered) < SIZE


@each_dtype
@each_threads
def test_penalty(dtype: str, threads: int, rng: np.random.Generator) -> None:
    grad, theta = rng.standard_normal((2, SIZE)).astype(dtype)
    theta[[2, 40]] = 0
    strengths = np.array([(0.3, 0.0), (0.0, 0.7), (0.2, 0.1), (0.0, 0.0), (1.0, 2.0)])
    penalties, got = np.full(len(TABLE), np.nan), grad.copy()
    run_tiles("penalty", (got, theta, penalties, strengths, None), dtype, threads=threads)
    want = grad.astype(np.float64)
    for tile, (l1, l2), penalty in zip(TABLE, strengths, penalties, strict=True):
        at = elements(tile)
        w = theta[at].astype(np.float64)
        want[at] += l1 * np.sign(w) + l2 * w
        l1, l2 = np.asarray([l1, l2], dtype).astype(np.float64)
        assert penalty == pytest.approx(l1 * np.abs(w).sum() + 0.5 * l2 * (w**2).sum(), rel=1e-13)
    assert close(dtype, got, want)
    untouched = np.setdiff1d(np.arange(SIZE), np.concatenate([elements(tile) for tile in TABLE[[0, 1, 2, 4]]]))
    assert np.array_equal(got[untouched], grad[untouched])


@each_dtype
@each_threads
def test_clip_value(dtype: str, threads: int, rng: np.random.Generator) -> None:
    grad = rng.standard_normal(SIZE).astype(dtype)
    grad[[0, 31, 32, 33]] = [np.inf, -np.inf, np.nan, 0.5]
    grad[elements(TABLE[3])] = np.linspace(-0.5, 0.5, 14)
    got, want, (squares, acted) = grad.copy(), grad.copy(), np.full((2, len(TABLE)), np.nan)
    run_tiles("clip_value", (got, squares, acted), dtype, (0.5,), threads)
    for tile in TABLE:
        want[elements(tile)] = np.clip(grad[elements(tile)], -0.5, 0.5)
    assert np.array_equal(got, want, equal_nan=True)
    np.testing.assert_allclose(squares, [(grad[elements(tile)].astype(np.float64) ** 2).sum() for tile in TABLE], rtol=1e-14)
    assert acted.tolist() == [(np.abs(grad[elements(tile)]) > 0.5).any() for tile in TABLE]
    assert 0 < acted.sum() < len(TABLE)
    assert np.isnan(got[32])


@each_dtype
def test_square_sum_of_every_length(dtype: str, rng: np.random.Generator) -> None:
    for n in (*range(1, 70), 1000):
        grad, sums = rng.standard_normal(n).astype(dtype), np.zeros(1)
        table = tile_table([[0, 1, n, n]])
        run_op("square_sum", (sums, grad, table), dtype=dtype, axis="tiles")
        assert sums[0] == pytest.approx((grad.astype(np.float64) ** 2).sum(), rel=1e-14)


@each_dtype
@each_threads
def test_square_sum(dtype: str, threads: int, rng: np.random.Generator) -> None:
    grad = rng.standard_normal(SIZE).astype(dtype)
    grad[elements(TABLE[3])] *= dtype == "float64" or 1e30  # whose squares are beyond float32
    squares = np.full(len(TABLE), np.nan)
    run_tiles("square_sum", (squares, grad), dtype, threads=threads)
    assert np.allclose(squares, [(grad[elements(tile)].astype(np.float64) ** 2).sum() for tile in TABLE], rtol=1e-14)


def test_clip_factor() -> None:
    squares, factors = np.array([9.0, 16.0, 4.0, 0.0, 1e4]), np.zeros(5)
    for groups, norms in (([0, 2, 3, 4, 5], [5, 5, 2, 0, 100]), ([0, 5], [np.sqrt(10029)] * 5)):
        first = np.array(groups)
        run_op(
            "clip_factor", (factors, squares, first, acted := np.full(5, 7.0), None, None, None), dtype="float32",
            axis="serial", sizes=(len(first) - 1,), constants=(2.5,),
        )  # fmt: skip
        want = np.minimum(1, 2.5 / np.maximum(norms, 1e-300))
        assert np.allclose(factors, want, rtol=1e-15)
        assert acted[: len(first) - 1].tolist() == [1 - (want[tile] == 1) for tile in first[:-1]]
        assert (acted[len(first) - 1 :] == 7).all()
    assert (factors < 1).all()


@each_dtype
@each_threads
def test_scale_gradient(dtype: str, threads: int, rng: np.random.Generator) -> None:
    grad = rng.standard_normal(SIZE).astype(dtype)
    factors = np.array([1.0, 0.25, 0.1, 1.0, 0.0])
    got, want = grad.copy(), grad.copy()
    run_tiles("scale_gradient", (got, factors), dtype, threads=threads)
    for tile, factor in zip(TABLE, factors, strict=True):
        want[elements(tile)] *= np.dtype(dtype).type(factor)
    assert np.array_equal(got, want)


def test_a_zero_gradient_is_not_clipped() -> None:
    model = nn.Sequential([nn.Dense(1, weight_init="zeros")], input_shape=2)
    trainer = nn.Trainer(model, "squared_error", nn.SGD(lr=1.0), clip=nn.ClipGlobalNorm(0.1))
    trainer.fit(np.ones((4, 2)), np.zeros(4), verbose=0)
    assert not model.parameters.any()


# Tables.


def test_weight_tiles_cover_each_weight_once() -> None:
    for units, inputs in ((1, 1), (31, 33), (33, 300), (100, 784)):
        tape = ModelTape.gradient(nn.Sequential([nn.Dense(units)], inputs), 4, fused=False).tape
        tiles = np.array([tile for op in tape.parameter_gradients for tile in op.tiles])
        covered = np.concatenate([elements(tile) for tile in tiles])
        assert np.array_equal(np.sort(covered), np.arange(units * inputs + units))


def test_available_instruction_sets() -> None:
    assert _kernels.available_isas()[0] == "baseline"
    assert _kernels.isa_name in _kernels.available_isas()
    assert all(op_table(isa).names == _kernels.op_names() for isa in _kernels.available_isas())
