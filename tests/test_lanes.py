"""Many tiny networks in the lanes of vectors: each has the bits that it has alone."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from helpers import optimizers as optimizer_cases
from helpers.configuration import arguments
from numpy.typing import NDArray

import nncore as nn
from nncore import _kernels, layers, losses, optimizers, reference
from nncore._kernels import single_ops
from nncore.ensemble import cohorts

Array = NDArray[Any]
ISAS = _kernels.complete_isas()
BYTES = {"avx512bf16": 64, "avx512": 64, "avx2": 32, "baseline": 16}
TOGETHER = [5] if BYTES[_kernels.isa_name] > 16 else [4, 1]  # how many of five members a thread takes at once
each_isa = pytest.mark.parametrize("isa", ISAS)
each_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])
RNG = np.random.default_rng(0)
X = RNG.normal(size=(90, 3))
Y = RNG.integers(0, 3, 90)
SOFTMAX = "softmax_cross_entropy"


# Kernels, against those of one network.


def run(
    name: str, outputs: list[Array], inputs: list[Array | None], sizes: tuple[int, ...], isa: str, rows: int, **kw: Any
) -> None:
    dtype = next(array.dtype for array in outputs if array.dtype.kind == "f" and array.dtype.itemsize < 9)
    kw.setdefault("block_rows", rows)
    single_ops.run_op(name, [*outputs, *inputs], dtype=dtype, sizes=sizes, rows=rows, threads=1, isa=isa, **kw)


def alone(W: Array, isa: str, x: Array, b: Array | None) -> Array:
    y = np.empty((len(x), len(W)), dtype=W.dtype)
    single_ops.dense_forward(y, np.ascontiguousarray(x), np.ascontiguousarray(W), b, threads=1, isa=isa)
    return y


@each_isa
@each_dtype
@pytest.mark.parametrize("rows", [1, 3, 4, 9])
@pytest.mark.parametrize(("units", "inputs"), [(1, 1), (2, 16), (5, 3), (16, 2), (7, 33)])
def test_products(units: int, inputs: int, rows: int, dtype: str, isa: str) -> None:
    lanes = BYTES[isa] // np.dtype(dtype).itemsize
    x, W, b, dy = (
        RNG.normal(size=(*shape, lanes)).astype(dtype) for shape in ((rows, inputs), (units, inputs), (units,), (rows, units))
    )
    y, dx, dW, db = (np.empty_like(array) for array in (dy, x, W, b))
    chains = np.empty((units, 4, lanes), dtype=dtype)
    many = {"isa": isa, "rows": rows * lanes}
    run("lanes_dense_forward", [y], [x, W, b], (units, inputs), **many)
    run("lanes_dense_backward_input", [dx], [dy, W], (units, inputs), **many)
    run("lanes_dense_backward_weight", [dW], [dy, x], (units, inputs), **many)
    run("lanes_dense_backward_bias", [db, chains], [dy], (units,), **many)
    rtol = 1e-5 if dtype == "float32" else 1e-13
    for got, true in (
        (y, reference.lanes_dense_forward(x, W, b)), (dx, reference.lanes_dense_backward_input(dy, W)),
        (dW, reference.lanes_dense_backward_weight(dy, x)), (db, reference.lanes_dense_backward_bias(dy)),
    ):  # fmt: skip
        assert np.allclose(got, true, rtol=rtol, atol=10 * rtol)
    for k in range(lanes):
        mine = [np.ascontiguousarray(array[..., k]) for array in (x, W, b, dy)]
        assert np.array_equal(y[..., k], alone(mine[1], isa, mine[0], mine[2]))
        one_dx, one_dW, one_db = np.empty_like(mine[0]), np.empty_like(mine[1]), np.empty_like(mine[2])
        single_ops.dense_backward_input(one_dx, mine[3], mine[1], threads=1, isa=isa)
        single_ops.dense_backward_weight(one_dW, one_db, mine[3], mine[0], threads=1, isa=isa)
        for many_arrays, one in ((dx, one_dx), (dW, one_dW), (db, one_db)):
            assert np.array_equal(many_arrays[..., k], one)
    h, dz = np.empty_like(y), np.empty_like(x)
    run("lanes_dense_relu_forward", [h], [x, W, b], (units, inputs), **many)
    assert np.array_equal(h, np.maximum(y, 0))
    assert np.allclose(h, reference.lanes_dense_relu_forward(x, W, b), rtol=rtol, atol=10 * rtol)
    run("lanes_dense_relu_backward_input", [dz], [dy, W, x], (units, inputs), **many)
    assert np.array_equal(dz, np.where(x > 0, dx, 0))
    assert np.allclose(dz, reference.lanes_dense_relu_backward_input(dy, W, x), rtol=rtol, atol=10 * rtol)
    no_bias = np.empty_like(y)
    run("lanes_dense_forward", [no_bias], [x, W, None], (units, inputs), **many)
    assert np.allclose(no_bias, reference.lanes_dense_forward(x, W), rtol=rtol, atol=10 * rtol)


@each_isa
@each_dtype
def test_gradients_in_parts(dtype: str, isa: str) -> None:
    """Of 19 rows in parts of 8, which are in the same arrays one after the other: here alike, but the last has three."""
    units, inputs, lanes = 5, 3, BYTES[isa] // np.dtype(dtype).itemsize
    x, dy = (RNG.normal(size=(8, width, lanes)).astype(dtype) for width in (inputs, units))
    dW, db = np.empty((units, inputs, lanes), dtype=dtype), np.empty((units, lanes), dtype=dtype)
    parts = {"isa": isa, "rows": 19 * lanes, "lanes": lanes, "part_rows": 8 * lanes}
    run("lanes_dense_backward_weight", [dW], [dy, x], (units, inputs), **parts)
    run("lanes_dense_backward_bias", [db, np.empty((units, 4, lanes), dtype=dtype)], [dy], (units,), **parts)
    all_x, all_dy = (np.concatenate((array, array, array[:3])) for array in (x, dy))
    for k in range(lanes):
        one_dW, one_db = np.empty((units, inputs), dtype=dtype), np.empty(units, dtype=dtype)
        mine = [np.ascontiguousarray(array[..., k]) for array in (all_dy, all_x)]
        single_ops.dense_backward_weight(one_dW, one_db, *mine, threads=1, isa=isa)
        assert np.array_equal(dW[..., k], one_dW)
        assert np.array_equal(db[..., k], one_db)


@each_isa
@each_dtype
@pytest.mark.parametrize("rows", [1, 3, 4, 8, 19])
def test_sums(rows: int, dtype: str, isa: str) -> None:
    lanes = BYTES[isa] // np.dtype(dtype).itemsize
    record, sums, chains = RNG.normal(size=(rows, lanes)), np.empty(lanes), np.empty((4, lanes))
    single_ops.run_op(
        "lanes_sums", [sums, chains, record], dtype=dtype, rows=rows * lanes, block_rows=8 * lanes, threads=1, isa=isa
    )
    assert np.allclose(sums, reference.lanes_sums(record), rtol=1e-14, atol=1e-14)
    whole = rows // 4 * 4
    true = [record[k:whole:4].cumsum(axis=0)[-1] if whole else np.zeros(lanes) for k in range(4)]
    for row in record[whole:]:
        true[0] = true[0] + row
    assert np.array_equal(sums, (true[0] + true[1]) + (true[2] + true[3]))


@each_isa
@each_dtype
@pytest.mark.parametrize(("rows", "width"), [(1, 1), (3, 2), (8, 5), (17, 16), (4, 31)])
def test_turns(rows: int, width: int, dtype: str, isa: str) -> None:
    lanes = BYTES[isa] // np.dtype(dtype).itemsize
    given = RNG.normal(size=(rows, lanes, width)).astype(dtype)
    signal, back = np.empty((rows, width, lanes), dtype=dtype), np.empty_like(given)
    run("to_lanes", [signal], [given], (width,), isa=isa, rows=rows * lanes)
    assert np.array_equal(signal, reference.to_lanes(given))
    run("from_lanes", [back], [signal], (width,), isa=isa, rows=rows * lanes)
    assert np.array_equal(back, reference.from_lanes(signal))


@each_isa
@each_dtype
@pytest.mark.parametrize(("rows", "width"), [(1, 2), (3, 2), (8, 10), (19, 31), (5, 3)])
def test_softmax(rows: int, width: int, dtype: str, isa: str) -> None:
    lanes = BYTES[isa] // np.dtype(dtype).itemsize
    y, labels = 3 * RNG.normal(size=(rows, width, lanes)).astype(dtype), RNG.integers(0, width, (rows, lanes))
    y = np.ascontiguousarray(y.astype(dtype))
    loss, dy = np.empty((rows, lanes)), np.empty_like(y)
    single_ops.run_op(
        "lanes_softmax_cross_entropy", [loss, dy, y, labels], dtype=dtype, sizes=(width,), rows=rows * lanes, scale=0.3,
        block_rows=rows * lanes, threads=1, isa=isa,
    )  # fmt: skip
    true_loss, true_dy = reference.lanes_softmax_cross_entropy(y.astype(np.float64), labels, scale=0.3)
    tolerance = 3e-6 if dtype == "float32" else 1e-13  # of logits up to 10
    assert np.allclose(loss, true_loss, rtol=tolerance, atol=tolerance)
    assert np.allclose(dy, true_dy, atol=1e-6 if dtype == "float32" else 1e-13)
    for k in range(lanes):
        one_loss, one_dy = np.empty(rows), np.empty((rows, width), dtype=dtype)
        mine = np.ascontiguousarray(y[:, :, k])
        single_ops.run_op(
            "softmax_cross_entropy_labels", [one_loss, one_dy, mine, np.ascontiguousarray(labels[:, k]), None], dtype=dtype,
            sizes=(width,), constants=(0.0,), rows=rows, scale=0.3, isa=isa,
        )  # fmt: skip
        assert np.array_equal(loss[:, k], one_loss)
        assert np.array_equal(dy[:, :, k], one_dy)


def changed(name: str, widths: list[int], arrays: int, c: Array, lanes: int, dtype: str, isa: str, **kw: Any) -> list[Array]:
    """What an op makes of theta, gradient and slots (n, lanes), in tiles with coefficients of their own, c (columns, lanes)."""
    numbers = states(arrays, sum(widths), lanes, dtype)
    firsts, columns = np.cumsum([0, *widths[:-1]]), len(c) // len(widths)
    tiles = [(first, 1, width, width, k * columns) for k, (first, width) in enumerate(zip(firsts, widths, strict=True))]
    result = []
    for own in [slice(None)] if name.startswith("lanes") else range(lanes):
        mine, row = [np.ascontiguousarray(array[:, own]) for array in numbers], np.ascontiguousarray(c[:, own])
        count = row.size // len(row)
        table = np.array(tiles) * [count, 1, count, count, 1]
        read = mine[: 1 if name.endswith("decay") else arrays]
        flag = single_ops.run_op(
            name, [*read, table], dtype=dtype, coefficients=row, axis="tiles", pieces=len(widths), threads=1, isa=isa,
            lanes=count, rows=count, **kw,
        )  # fmt: skip
        assert not flag
        result.append(mine)
    return result[0] if len(result) == 1 else [np.stack(own, axis=1) for own in zip(*result, strict=True)]


def states(arrays: int, n: int, lanes: int, dtype: str) -> list[Array]:
    """Positive numbers, and a gradient of both signs."""
    numbers = list(np.random.default_rng(1).uniform(0.5, 1.5, (arrays, n, lanes)).astype(dtype))
    numbers[1] = numbers[1] - 1
    return numbers


@each_isa
@each_dtype
@optimizer_cases.EACH
def test_updates(case: str, dtype: str, isa: str) -> None:
    """Each lane has its own coefficients, and of each tile others."""
    build, _, constants = optimizer_cases.CASES[case]
    optimizer, lanes = build(constants), BYTES[isa] // np.dtype(dtype).itemsize
    some = optimizer.coefficients(1)[0]
    coefficients = np.concatenate((some, 0.9 * some))[:, np.newaxis] * np.linspace(1, 0.8, lanes)
    for name in {f"{optimizer.kernel}_update", optimizer.enter, optimizer.leave} - {None}:
        args = [5, 34], 2 + len(optimizer.slots), coefficients, lanes, dtype, isa
        got, true = changed(f"lanes_{name}", *args), changed(name, *args)
        assert all(map(np.array_equal, got, true))
        other = changed(name, *args[:2], coefficients[:, ::-1], *args[3:])
        assert name == optimizer.leave or not np.array_equal(true[0], other[0])


@each_isa
@each_dtype
@pytest.mark.parametrize("name", ["average", "decay"])
def test_averages_and_decays(name: str, dtype: str, isa: str) -> None:
    lanes = BYTES[isa] // np.dtype(dtype).itemsize
    coefficients = np.stack([np.full(lanes, np.nan), np.linspace(0.1, 0.9, lanes)])
    args = [39], 2, coefficients, lanes, dtype, isa
    got, true = changed(f"lanes_{name}", *args, sizes=(1,)), changed(name, *args, sizes=(1,))
    assert np.array_equal(got[0], true[0])


@each_isa
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_an_update_that_is_not_finite(bad: float, isa: str) -> None:
    """Of one number of one network: it stays what it is, and the step fails."""
    lanes = BYTES[isa] // 4
    theta, gradient = np.ones((3, lanes), dtype=np.float32), np.ones((3, lanes), dtype=np.float32)
    gradient[1, lanes - 1] = bad
    flag = single_ops.run_op(
        "lanes_sgd_update", [theta, gradient, np.array([[0, 1, 3 * lanes, 3 * lanes, 0]])], dtype="float32",
        coefficients=np.full(lanes, 0.25), axis="tiles", isa=isa, lanes=lanes, rows=lanes,
    )  # fmt: skip
    assert flag
    assert theta[1, lanes - 1] == 1
    assert (np.delete(theta.ravel(), 2 * lanes - 1) == 0.75).all()


def test_an_order_is_refused() -> None:
    """A program by itself has no room for the orders of several networks."""
    one, out = np.zeros((4, 2), dtype=np.float32), np.empty((8, 2), dtype=np.float32)
    with pytest.raises(ValueError, match="order must be None for a program of several networks"):
        run("gather_rows", [out], [one], (2,), ISAS[-1], 8, lanes=2, index=np.zeros(8, dtype=np.int64))


# Trainings.


@pytest.fixture
def in_lanes(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """For each program that was asked for: whether there is one."""
    asked: list[bool] = []

    def counted(*arguments: Any, **keywords: Any) -> Any:
        found = original(*arguments, **keywords)
        asked.append(found is not None)
        return found

    original = cohorts.in_lanes
    monkeypatch.setattr(cohorts, "in_lanes", counted)
    return asked


@pytest.fixture
def units(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Of each run: how many members a thread took at once."""
    taken: list[int] = []

    def counted(run: Any, *arguments: Any) -> Any:
        taken.extend(run.unit_sizes)
        return original(run, *arguments)

    original = _kernels.run_members
    monkeypatch.setattr(_kernels, "run_members", counted)
    return taken


def net(*parts: nn.Layer, seed: int = 0, dtype: str = "float32") -> nn.Sequential:
    return nn.Sequential(copy.deepcopy(list(parts)), input_shape=3, seed=seed, dtype=dtype)


def check(
    members: int, parts: list[nn.Layer], loss: Any = SOFTMAX, y: Any = Y, make: Any = nn.Adam, metrics: Any = (),
    make_one: Any = None, **fit: Any,
) -> None:  # fmt: skip
    """Compare with trainings alone, with ``make_one(k)`` as their optimizers where members have different ones."""
    dtype = fit.pop("dtype", "float32")
    fit = {"epochs": 2, "batch_size": 16, "verbose": 0} | fit
    rows = X.astype(dtype)
    together = nn.Trainer(nn.Ensemble(net(*parts, dtype=dtype), members), loss, make(), metrics=metrics)
    together.fit(rows, y, **fit)
    for k in range(members):
        own = make_one(k) if make_one else make()
        single = nn.Trainer(net(*parts, seed=k, dtype=dtype), loss, own, metrics=metrics, seed=k)
        single.fit(rows, y, **fit)
        assert np.array_equal(single.model.parameters, together.model[k].parameters)
        assert single.history == together.history.member(k)


SMALL = [nn.Dense(5), nn.Tanh(), nn.Dense(3)]


@pytest.mark.parametrize("members", [4, 5, 15, 16, 17, 37])
def test_numbers_of_members(members: int, in_lanes: list[bool]) -> None:
    check(members, SMALL)
    assert in_lanes
    assert all(in_lanes)


@pytest.mark.parametrize("width", [1, 2, 3, 6, 7, 17])
@pytest.mark.parametrize("batch", [1, 7, 8, 16, 90])
def test_widths_and_batches(width: int, batch: int, in_lanes: list[bool]) -> None:
    check(5, [nn.Dense(width), nn.ReLU(), nn.Dense(3)], make=lambda: nn.Nesterov(0.05), metrics=["accuracy"], batch_size=batch)
    assert all(in_lanes)


@pytest.mark.parametrize("name", optimizers.OPTIMIZERS)
def test_optimizers(name: str, in_lanes: list[bool]) -> None:
    cls = optimizers.OPTIMIZERS[name]
    if cls.lazy:
        pytest.skip("for sparse data")
    check(5, SMALL, make=lambda: cls(**arguments(cls)), **({"batch_size": 90} if cls.full_batch_only else {}))
    assert all(in_lanes)


@pytest.mark.parametrize("scheduled", [False, True])
@pytest.mark.parametrize("name", optimizers.OPTIMIZERS)
def test_coefficients_of_each_member(name: str, scheduled: bool, in_lanes: list[bool], units: list[int]) -> None:
    """Every hyper-parameter, numbers or schedules of the rate."""
    cls = optimizers.OPTIMIZERS[name]
    if cls.lazy:
        pytest.skip("for sparse data")
    first = cls(**arguments(cls))
    values = {
        own: [0.97**k * getattr(first, own) + (0.01 * k if own in ("l1", "l2", "weight_decay") else 0) for k in range(5)]
        for own in first.hyperparameters
    }
    if "lr" in values and scheduled:
        values["lr"] = [nn.schedules.Cosine(0.02 * 0.9**k, 8) for k in range(5)]

    def made(value: Any) -> Any:
        optimizer = cls(**arguments(cls))
        for own, each in values.items():
            setattr(optimizer, own, value(each))
        return optimizer

    size = {"batch_size": 90} if cls.full_batch_only else {}
    check(5, SMALL, make=lambda: made(nn.Each), make_one=lambda k: made(lambda each: each[k]), **size)
    assert all(in_lanes)
    assert units == TOGETHER


@pytest.mark.parametrize("wrapper", [nn.EMA, nn.WeightDecay])
def test_wrappers_of_each_member(wrapper: Any, in_lanes: list[bool], units: list[int]) -> None:
    values = [0.1, 0.4, 0.5, 0.6, 0.9]
    check(5, SMALL, make=lambda: wrapper(nn.Adam(), nn.Each(values)), make_one=lambda k: wrapper(nn.Adam(), values[k]))
    assert all(in_lanes)
    assert units == TOGETHER


@pytest.mark.parametrize("wrapper", [nn.EMA, nn.PolyakAveraging, nn.WeightDecay])
def test_wrappers(wrapper: Any, in_lanes: list[bool]) -> None:
    check(5, SMALL, make=lambda: wrapper(nn.SGD(0.1)))
    assert all(in_lanes)


@each_dtype
@pytest.mark.parametrize("name", layers.ACTIVATIONS)
def test_activations(name: str, dtype: str, in_lanes: list[bool]) -> None:
    cls = layers.ACTIVATIONS[name]
    check(5, [nn.Dense(4), cls(**arguments(cls)), nn.Dense(3)], dtype=dtype)
    assert all(in_lanes) == (name != "softmax")


@each_dtype
@pytest.mark.parametrize("name", losses.LOSSES)
def test_losses(name: str, dtype: str, in_lanes: list[bool]) -> None:
    targets: Any = np.abs(RNG.normal(size=(90, 3)))
    if name in ("softmax_cross_entropy", "kl_divergence", "binary_cross_entropy", "sigmoid_cross_entropy"):
        targets /= targets.sum(axis=1, keepdims=True)
    if name == "hinge":
        targets = np.sign(RNG.normal(size=(90, 3)))
    last = [nn.Sigmoid()] * (name in ("kl_divergence", "binary_cross_entropy"))
    check(5, [*SMALL, *last], name, targets, lambda: nn.SGD(0.01), ["squared_error"], dtype=dtype)
    assert all(in_lanes) == (name != "quantile")


def test_smoothed_labels_and_weights(in_lanes: list[bool]) -> None:
    check(5, SMALL, losses.SoftmaxCrossEntropy(0.1))
    check(5, SMALL, sample_weight=np.linspace(0, 2, 90))
    check(5, SMALL, shuffle=False)
    check(5, SMALL, sampler="stratified", validation_data=(X, Y))
    check(5, [nn.Dense(2)], "squared_error", X[:, :2], lambda: nn.Momentum(0.01))
    check(5, [nn.Dense(1, bias=False)], "squared_error", X[:, 0], lambda: nn.SGD(0.01))
    assert all(in_lanes)


def test_subsets(in_lanes: list[bool]) -> None:
    together = nn.Trainer(nn.Ensemble(net(*SMALL), 6), SOFTMAX)
    together.fit(X, Y, epochs=2, batch_size=16, subsets=nn.Bags(0.6), verbose=0)
    for k in range(6):
        rows = nn.Bags(0.6).rows(k, 90)
        single = nn.Trainer(net(*SMALL, seed=k), SOFTMAX, seed=k)
        single.fit(X[rows], Y[rows], epochs=2, batch_size=16, verbose=0)
        assert np.array_equal(single.model.parameters, together.model[k].parameters)
    assert all(in_lanes)


OTHERS: list[list[nn.Layer]] = [
    [nn.Dense(400), nn.ReLU(), nn.Dense(3)], [nn.Dense(4), nn.Dropout(0.2), nn.Dense(3)],
    [nn.Dense(4), nn.BatchNorm(), nn.Dense(3)],
]  # fmt: skip


@pytest.mark.parametrize("parts", OTHERS)
def test_what_has_no_lanes(parts: list[nn.Layer], in_lanes: list[bool]) -> None:
    check(4, parts, epochs=1)
    assert not any(in_lanes)


def test_a_member_that_diverges(in_lanes: list[bool]) -> None:
    """The others go on, and it keeps the last finite numbers, as alone."""
    starts = [1.0, 1e-3, 2.0, 1e30, 0.5]  # of which one is too large for squares in float32
    models = [nn.Sequential([nn.Dense(1)], input_shape=3, seed=k) for k in range(5)]
    for model, start in zip(models, starts, strict=True):
        model.parameters[:3] = start
    copies = [model.copy() for model in models]
    together = nn.Trainer(nn.Ensemble(models), "squared_error", nn.SGD(0.01))
    with pytest.warns(UserWarning, match=r"the training of 1 of 5 members diverged \(3\)"):
        together.fit(X, X[:, 0], epochs=3, batch_size=16, verbose=0)
    assert all(in_lanes)
    for k, model in enumerate(copies):
        single = nn.Trainer(model, "squared_error", nn.SGD(0.01), seed=k)
        try:
            single.fit(X, X[:, 0], epochs=3, batch_size=16, verbose=0)
        except nn.DivergenceError:
            assert k == 3
        assert np.array_equal(model.parameters, together.model[k].parameters)
        assert single.history == together.history.member(k)


@pytest.mark.parametrize("isa", ISAS)
def test_other_instruction_sets(isa: str) -> None:
    code = f"""
import numpy as np, nncore as nn
X, y = np.random.default_rng(0).normal(size=(50, 3)), np.arange(50) % 3
def net(seed): return nn.Sequential([nn.Dense(5), nn.Tanh(), nn.Dense(3)], input_shape=3, seed=seed)
together = nn.Trainer(nn.Ensemble(net(0), 9), {SOFTMAX!r}); together.fit(X, y, epochs=2, verbose=0)
for k in range(9):
    one = nn.Trainer(net(k), {SOFTMAX!r}, seed=k); one.fit(X, y, epochs=2, verbose=0)
    assert np.array_equal(one.model.parameters, together.model[k].parameters)
"""
    environment = os.environ | {"NNCORE_ISA": isa, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
