"""Each compiled kernel against its NumPy twin in `nncore.reference`, in both precisions, on every instruction set.

The twin computes in float64 from the same numbers as the kernel, so for float32 it is the true value and the
difference is the kernel's own error. It may be

    RTOL · (|true value| + terms) + UNDERFLOW · smallest number of the dtype,

where ``terms`` is the size of the terms whose sum or difference the value is: 0 where nothing cancels, and the relative
error itself is bounded. Where terms cancel, the bound is a rounding error of the terms; each case below says
which they are.
"""

from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import numpy as np
import pytest
from helpers.kernels import (
    ACTIVATION_CASES,
    ACTIVATIONS,
    EDGES,
    ELEMENTWISE,
    FEW_SIZES,
    ISAS,
    LOSS_CASES,
    LOSSES,
    MUTATION,
    SIZES,
    Output,
    activation_inputs,
    assert_near,
    dense_inputs,
    differs,
    doubles,
    each_dtype,
    each_isa,
    extremes,
    loss_inputs,
    near_targets,
    run,
    same_bits,
    twin,
    weights,
)
from helpers.twins import constants as constants_of
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import nncore as nn
from nncore import _kernels, reference
from nncore._kernels import single_ops

Array = NDArray[Any]


# Running a kernel.


# Activations.


def check_forward(
    name: str, z: Array, isa: str | None, constants: dict[str, float], twin_constants: dict[str, float] | None = None
) -> Array:
    dtype = str(z.dtype)
    (h,) = run(
        f"{name}_forward", [(z.shape, dtype)], (z,), dtype,
        sizes=(z.shape[1],), constants=tuple(constants.values()), rows=len(z), isa=isa,
    )  # fmt: skip
    (z64,) = doubles(z)
    true = twin(f"{name}_forward")(z64, **(twin_constants or constants))
    assert_near(h, true, ACTIVATIONS[name].forward(z64), f"{name}_forward {z.shape}")
    return h


def check_backward(
    name: str, dh: Array, z: Array, h: Array, isa: str | None,
    constants: dict[str, float], twin_constants: dict[str, float] | None = None,
) -> None:  # fmt: skip
    dtype = str(z.dtype)
    (dz,) = run(
        f"{name}_backward", [(z.shape, dtype)], (dh, z, h), dtype,
        sizes=(z.shape[1],), constants=tuple(constants.values()), rows=len(z), isa=isa,
    )  # fmt: skip
    given = doubles(dh, z, h)
    true = twin(f"{name}_backward")(*given, **(twin_constants or constants))
    assert_near(dz, true, ACTIVATIONS[name].backward(*given), f"{name}_backward {z.shape}")


@each_isa
@each_dtype
@pytest.mark.parametrize(("name", "constants"), ACTIVATION_CASES)
def test_activation(name: str, constants: dict[str, float], dtype: str, isa: str, rng: np.random.Generator) -> None:
    default = constants == ACTIVATION_CASES[[n for n, _ in ACTIVATION_CASES].index(name)][1]
    for rows, width in SIZES if default else FEW_SIZES:
        dh, z, _ = activation_inputs(name, rng, rows, width, dtype)
        h = check_forward(name, z, isa, constants)
        check_backward(name, dh, z, h, isa, constants)


@each_isa
@each_dtype
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_activation_of_extremes(name: str, dtype: str, isa: str, rng: np.random.Generator) -> None:
    constants = constants_of(f"{name}_forward")[0]
    values = extremes(dtype)
    z = np.stack([np.roll(values, shift) for shift in (0, 1, 5, 40)])  # each in vector bodies and in tails
    h = check_forward(name, z, isa, constants)
    # Gradients of ±1, so that only the derivative can overflow. Beyond 1e10 it must be 0 or 1.
    far = np.abs(z) > 1e10
    z[far] = np.sign(z[far]).astype(dtype) * z.dtype.type(1e10)
    h = twin(f"{name}_forward")(doubles(z)[0]).astype(dtype)
    dh = rng.choice([-1.0, 1.0], z.shape).astype(dtype)
    check_backward(name, dh, z, h, isa, constants)


@each_isa
@each_dtype
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_activation_of_infinity_and_nan(name: str, dtype: str, isa: str) -> None:
    """The limits at ±∞; NaN stays NaN, alone and beside numbers."""
    for width in (1, 3, 16, 37):
        for value in (np.inf, -np.inf, np.nan):
            z = np.ones((width + 1, width), dtype)
            np.fill_diagonal(z, value)
            h = check_forward(name, z, isa, constants_of(f"{name}_forward")[0])
            assert not np.isnan(value) or np.isnan(np.diagonal(h)).all()


@each_isa
@each_dtype
def test_softmax_of_extremes(dtype: str, isa: str) -> None:
    for width in (2, 3, 8, 16, 17, 40):
        z = np.linspace(-3, 3, 11 * width).reshape(11, width).astype(dtype)
        z[0, 0], z[1, -1], z[2, :] = 1e4, 1e4, -1e4
        z[3, :] += z.dtype.type(1e4)
        z[4, -1] = -np.inf
        z[5, 0] = -100
        z[6, 0] = np.nan
        z[7, -1] = np.nan
        z[8, :] = 0
        z[9, :-1] = -95
        with np.errstate(invalid="ignore"):
            h = check_forward("softmax", z, isa, {})
        assert np.isnan(h[6:8]).all()
        assert h[4, -1] == 0
        z[:, 0] = np.inf
        (h,) = run(
            "softmax_forward", [(z.shape, dtype)], (z,), dtype, sizes=(width,), rows=11, isa=isa
        )  # ∞ − ∞ makes the whole row NaN, as in NumPy
        assert np.isnan(h).all()


# Losses.


def check_loss(
    name: str,
    y: Array,
    d: Array,
    weight: Array | None,
    isa: str | None,
    constants: dict[str, float],
    *,
    twin_constants: dict[str, float] | None = None,
    twin_scale: float | None = None,
    twin_weight: Array | None = None,
) -> None:
    """The mutants change what the twin is given: its constants, its scale (1/rows, as in a program), its weights."""
    rows, width = y.shape
    dtype = str(y.dtype)
    kw: dict[str, Any] = {"sizes": (width,), "constants": tuple(constants.values()), "rows": rows, "isa": isa}
    loss, dy = run(name, [(rows, np.float64), (y.shape, dtype)], (y, d, weight), dtype, **kw)
    (alone,) = run(name, [(rows, np.float64), None], (y, d, weight), dtype, **kw)

    y64, d64 = doubles(y, d)
    twin_weight = weight if twin_weight is None else twin_weight
    true_loss, true_dy = twin(name)(y64, d64, twin_weight, twin_scale, **(twin_constants or constants))
    factor = np.ones(rows) if weight is None else weight
    case = LOSSES[name]
    loss_terms = factor * np.broadcast_to(case.loss(y64, d64), y.shape).sum(axis=1)
    for value, what in [(loss, "loss"), (alone, "loss without gradient")]:
        # The loss is a double, but may come from terms in the dtype of y.
        assert value.dtype == np.float64
        with np.errstate(over="ignore"):
            assert_near(value.astype(dtype), true_loss, loss_terms, f"{name} {y.shape}: {what}")
    dy_terms = factor[:, None] / rows * case.gradient(y64, d64)
    assert_near(dy, true_dy, dy_terms, f"{name} {y.shape}: gradient")


@each_isa
@each_dtype
@pytest.mark.parametrize(("name", "constants"), LOSS_CASES)
def test_loss(name: str, constants: dict[str, float], dtype: str, isa: str, rng: np.random.Generator) -> None:
    default = constants == constants_of(name)[0]
    for i, (rows, width) in enumerate(SIZES if default else FEW_SIZES):
        y, d = loss_inputs(name, rng, rows, width, dtype)
        check_loss(name, y, d, weights(rng, rows) if i % 2 else None, isa, constants)


@each_isa
@each_dtype
def test_cross_entropy_of_extreme_logits(dtype: str, isa: str) -> None:
    """Logits of ±10⁴, targets with and against them; the losses are 0, 10⁴, 2·10⁴, and nothing is NaN."""
    for width in (2, 3, 8, 17):
        y = np.linspace(-1, 1, 5 * width).reshape(5, width)
        y[0, 0], y[0, -1], y[1, -1], y[2, :] = 1e4, -1e4, 1e4, -1e4
        y[3, :], y[4, :] = 1e4, 90 * y[4, :]
        y = y.astype(dtype)
        for label in (0, width - 1):
            labels = np.full(5, label)
            d = np.eye(width, dtype=dtype)[labels]
            for smoothing in ({"smoothing": 0.0}, {"smoothing": 0.25}):
                check_loss("softmax_cross_entropy_labels", y, labels, None, isa, smoothing)
                check_loss("softmax_cross_entropy", y, d, None, isa, smoothing)
                check_loss("sigmoid_cross_entropy", y, d, None, isa, smoothing)


@each_isa
@each_dtype
@pytest.mark.parametrize("name", ["binary_cross_entropy", "kl_divergence"])
def test_certain_probabilities(name: str, dtype: str, isa: str) -> None:
    """0 · log 0 is 0, in loss and gradient; certainty of the contrary costs ∞."""
    for width in (1, 3, 16, 21):
        for d_value, y_value in product((0.0, 1.0), repeat=2):
            y, d = np.full((width, width), 0.25, dtype), np.full((width, width), 0.25, dtype)
            np.fill_diagonal(d, d_value)
            np.fill_diagonal(y, y_value)
            check_loss(name, y, d, None, isa, {})


@each_isa
@each_dtype
@pytest.mark.parametrize("name", LOSSES)
def test_loss_of_nan_is_nan(name: str, dtype: str, isa: str, rng: np.random.Generator) -> None:
    """A NaN at any position makes the loss of its row NaN, and of no other."""
    for width in (1, 2, 9, 16, 33):
        y, d = loss_inputs(name, rng, width + 1, width, dtype)
        np.fill_diagonal(y, np.nan)
        constants = tuple(constants_of(name)[0].values())
        loss, _ = run(
            name, [(width + 1, np.float64), (y.shape, dtype)], (y, d, None), dtype,
            sizes=(width,), constants=constants, rows=width + 1, isa=isa,
        )  # fmt: skip
        assert np.isnan(loss[:-1]).all()
        assert np.isfinite(loss[-1])


def check_quantile(q: Any, y: Array, d: Array, weight: Array | None, isa: str | None, twin_q: Any = None) -> None:
    (rows, width), dtype = y.shape, str(y.dtype)
    (levels,) = nn.Quantile(q).operands(width, dtype)
    given = (y, d, weight, levels)
    kw: dict[str, Any] = {"sizes": (width,), "rows": rows, "isa": isa}
    loss, dy = run("quantile", [(rows, np.float64), (y.shape, dtype)], given, dtype, **kw)
    (alone,) = run("quantile", [(rows, np.float64), None], given, dtype, **kw)
    assert same_bits(loss, alone)
    true_loss, true_dy = reference.quantile(*doubles(y, d), weight, q=np.asarray(q if twin_q is None else twin_q, dtype))
    assert_near(loss.astype(dtype), true_loss, 0.0, f"quantile {y.shape}: loss")
    assert_near(dy, true_dy, 0.0, f"quantile {y.shape}: gradient")
    zeros = run("quantile_tangent", [(y.shape, dtype)], (dy, y, d, weight), dtype, **kw)[0]
    assert not zeros.any()


@each_isa
@each_dtype
def test_quantile(dtype: str, isa: str, rng: np.random.Generator) -> None:
    """One q for all outputs and one for each, in rows shorter and longer than a chunk."""
    for i, (rows, width) in enumerate([*SIZES, (5, 513), (3, 1100)]):
        y, d = (a.astype(dtype) for a in near_targets(rng, rows, width))
        for q in (0.3, rng.uniform(0.01, 0.99, width)):
            check_quantile(q, y, d, weights(rng, rows) if i % 2 else None, isa)
    differs(lambda: check_quantile(q, y, d, None, isa, q * MUTATION))
    y[1, 7] = np.nan
    (loss,) = run("quantile", [(3, np.float64), None], (y, d, None, nn.Quantile(q).operands(1100, dtype)[0]), dtype,
                  sizes=(1100,), rows=3, isa=isa)  # fmt: skip
    assert np.isnan(loss).tolist() == [False, True, False]


# Chosen columns.


@each_isa
@each_dtype
def test_select(dtype: str, isa: str, rng: np.random.Generator) -> None:
    """The twins add the gradients of a column that occurs several times in the same order: the same bits."""
    for rows, inputs in SIZES:
        for width in (1, inputs, 2 * inputs + 1):
            columns, kw = rng.integers(0, inputs, width), {"sizes": (width, inputs), "rows": rows, "isa": isa}
            x, dy = rng.standard_normal((rows, inputs)).astype(dtype), rng.standard_normal((rows, width)).astype(dtype)
            (y,) = run("select_forward", [((rows, width), dtype)], (x, columns), dtype, **kw)
            (dx,) = run("select_backward", [((rows, inputs), dtype)], (dy, columns), dtype, **kw)
            assert same_bits(y, reference.select_forward(x, columns))
            assert same_bits(dx, reference.select_backward(dy, columns, inputs))
            assert inputs == 1 or not same_bits(y, reference.select_forward(x, (columns + 1) % inputs))


# One factor per feature.


def scale_cases(
    x: Array, dy: Array, tx: Array, tdy: Array, w: Array, v: Array
) -> list[tuple[str, list[bool], tuple[Array, ...]]]:
    """Ops, which of their outputs there are, and the arrays that they read."""
    none: Any = None
    return [
        ("scale_forward", [True], (x, w)),
        ("scale_backward", [True, True], (dy, x, w)),
        ("scale_backward", [False, True], (dy, x, w)),
        ("scale_tangent_forward", [True], (tx, x, w, v)),
        ("scale_tangent_forward", [True], (none, x, w, v)),
        ("scale_tangent_backward", [True, True], (tdy, dy, tx, x, w, v)),
        ("scale_tangent_backward", [False, True], (tdy, dy, none, x, w, v)),
    ]


@each_isa
@each_dtype
def test_scale(dtype: str, isa: str, rng: np.random.Generator) -> None:
    for rows, width in SIZES:
        x, dy, tx, tdy = rng.standard_normal((4, rows, width)).astype(dtype)
        w, v = rng.standard_normal((2, width)).astype(dtype)
        for name, there, read in scale_cases(x, dy, tx, tdy, w, v):
            outputs = [(x.shape, dtype) if part else None for part in there]
            got = run(name, outputs, read, dtype, sizes=(width,), rows=rows, isa=isa)
            given = doubles(*(np.zeros_like(x) if array is None else array for array in read))
            true, sizes = twin(name)(*given), twin(name)(*map(np.abs, given))
            true, sizes = (part if isinstance(part, tuple) else (part,) for part in (true, sizes))
            wanted = [pair for pair, part in zip(zip(true, sizes, strict=True), there, strict=True) if part]
            for result, (value, terms) in zip(got, wanted, strict=True):
                assert_near(result, value, terms, f"{name} {x.shape}")


# Accuracies: exact.

THRESHOLDS = (0.0, 0.5)


def check_accuracy_binary(
    y: Array, d: Array, isa: str | None, threshold: float, twin_threshold: float, middle: float = 0.5, twin_middle: float = 0.5
) -> None:
    rows, width = y.shape
    (hit,) = run(
        "accuracy_binary", [(rows, np.float64)], (y, d), str(y.dtype),
        sizes=(width,), constants=(threshold, middle), rows=rows, isa=isa,
    )  # fmt: skip
    np.testing.assert_allclose(hit, reference.accuracy_binary(y, d, twin_threshold, twin_middle), rtol=1e-14)


@each_isa
@each_dtype
def test_accuracies(dtype: str, isa: str, rng: np.random.Generator) -> None:
    for rows, width in SIZES:
        y = rng.integers(-4, 5, (rows, width)).astype(dtype)  # with ties: the first is used
        labels = rng.integers(0, width, rows)
        kw: dict[str, Any] = {"sizes": (width,), "rows": rows, "isa": isa}
        (hit,) = run("accuracy_labels", [(rows, np.float64)], (y, labels), dtype, **kw)
        assert np.array_equal(hit, reference.accuracy_labels(y, labels)), (rows, width)
        d = rng.integers(-4, 5, (rows, width)).astype(dtype)
        (hit,) = run("accuracy_targets", [(rows, np.float64)], (y, d), dtype, **kw)
        assert np.array_equal(hit, reference.accuracy_targets(y, d)), (rows, width)
        d = rng.integers(0, 2, (rows, width)).astype(dtype)
        for threshold in THRESHOLDS:
            check_accuracy_binary((y / 4).astype(dtype), d, isa, threshold, threshold)
        check_accuracy_binary(y, 2 * d - 1, isa, 0.0, 0.0, 0.0, 0.0)
        check_accuracy_binary(y, d + 1, isa, 0.25, 0.25, 1.5, 1.5)
        y[rng.random(y.shape) < 0.5 / width] = np.nan  # never correct
        check_accuracy_binary(y, d, isa, 0.25, 0.25)
        (hit,) = run("accuracy_labels", [(rows, np.float64)], (y, labels), dtype, **kw)
        assert np.array_equal(hit, reference.accuracy_labels(y, labels)), (rows, width)


# Gathering: exact.


def gather_cases(rng: np.random.Generator) -> Iterator[tuple[int, int, Array, int, dict[str, Any]]]:
    """rows, width, the selected rows, the number of examples, and the kind of selection: an index or a position."""
    for rows, width in SIZES:
        examples = rows + 5
        index = rng.integers(0, examples, rows)
        yield rows, width, index, examples, {"index": index}
        yield rows, width, np.arange(3, 3 + rows), examples, {"position": 3}


def check_one_hot(
    labels: Array, wanted: Array, width: int, dtype: str, kw: dict[str, Any], values: tuple[float, float],
    twin_values: tuple[float, float],
) -> None:  # fmt: skip
    kw = {**kw, "sizes": (width,), "constants": values}
    (out,) = run("gather_one_hot", [((len(wanted), width), dtype)], (labels,), dtype, **kw)
    assert np.array_equal(out, reference.gather_one_hot(labels, wanted, width, *twin_values, dtype=dtype))


@each_isa
@each_dtype
def test_gather(dtype: str, isa: str, rng: np.random.Generator) -> None:
    for rows, width, wanted, examples, how in gather_cases(rng):
        kw = {"rows": rows, "isa": isa, **how}
        data = rng.normal(size=(examples, width + 3)).astype(dtype)  # rows longer than the part that is gathered
        (out,) = run("gather_rows", [((rows, width), dtype)], (data,), dtype, sizes=(width,), **kw)
        assert np.array_equal(out, reference.gather_rows(data[:, :width], wanted)), (rows, width)
        labels = rng.integers(0, width, examples)
        (out,) = run("gather_labels", [(rows, np.int64)], (labels,), dtype, sizes=(width,), **kw)
        assert np.array_equal(out, reference.gather_labels(labels, wanted)), rows
        check_one_hot(labels, wanted, width, dtype, kw, (-0.25, 0.75), (-0.25, 0.75))
        w = rng.uniform(size=examples)
        (out,) = run("gather_weights", [(rows, np.float64)], (w,), dtype, **kw)
        assert np.array_equal(out, reference.gather_weights(w, wanted)), rows


def check_gather_csr(dense: Array, wanted: Array, kind: Any, kw: dict[str, Any], shift: int = 0) -> None:
    """Rows of the matrix as it lies in CSR, the numbers of a row in any order; ``shift`` is a mutant's."""
    rows, columns = np.nonzero(dense)
    order = np.lexsort((np.random.default_rng(0).permutation(len(rows)), rows))
    values, columns = dense[rows, columns][order], columns[order].astype(kind)
    starts = np.searchsorted(rows, np.arange(len(dense) + 1)).astype(kind)
    width, dtype = dense.shape[1], dense.dtype
    (out,) = run("gather_csr", [((len(wanted), width), dtype)], (values, columns, starts), dtype, sizes=(width,), **kw)
    twin = reference.gather_csr(values, (columns + shift) % width, starts, wanted, width)
    assert np.array_equal(out, twin), (out.shape, kind)
    assert np.array_equal(out, dense[wanted])


@each_isa
@each_dtype
def test_gather_csr(dtype: str, isa: str, rng: np.random.Generator) -> None:
    """Every fraction of zeros: all, so that each row is empty; most; some rows; none."""
    for (rows, width, wanted, examples, how), kind in product(gather_cases(rng), (np.int32, np.int64)):
        for density in (0.0, 0.1, 1.0):
            dense = rng.normal(size=(examples, width)).astype(dtype) * (rng.random((examples, width)) < density)
            dense[rng.random(examples) < 0.3] = 0
            check_gather_csr(dense, wanted, kind, {"rows": rows, "isa": isa, **how})


def test_mutant_gather_csr() -> None:
    differs(lambda: check_gather_csr(np.eye(4), np.arange(4), np.int32, {"rows": 4, "position": 0}, shift=1))


@each_isa
@each_dtype
def test_write_rows(dtype: str, isa: str, rng: np.random.Generator) -> None:
    for rows, width in SIZES:
        y = rng.normal(size=(rows, width)).astype(dtype)
        for position in (0, 3):
            (out,) = run(
                "write_rows",
                [((rows + position + 2, width), dtype)],
                (y,),
                dtype,
                sizes=(width,),
                rows=rows,
                position=position,
                isa=isa,
            )
            true = np.full_like(out, np.nan)
            reference.write_rows(true, y, position)
            assert same_bits(out, true), (rows, width)


@each_isa
@each_dtype
def test_spread_rows(dtype: str, isa: str, rng: np.random.Generator) -> None:
    for (rows, width), gap in product(FEW_SIZES, (0, 1, 16)):
        x = rng.normal(size=(rows, width)).astype(dtype)
        out = np.zeros((rows, width + gap), dtype)
        single_ops.run_op("spread_rows", (out, x), dtype=out.dtype, sizes=(width, gap, 1), rows=rows, isa=isa)
        assert same_bits(out, reference.spread_rows(x, gap)), (rows, width, gap)
        if rows % 2 == 0:  # two in each row of the batch
            out[...] = 0
            single_ops.run_op("spread_rows", (out, x), dtype=out.dtype, sizes=(width, gap, 2), rows=rows // 2, isa=isa)
            assert same_bits(out, reference.spread_rows(x, gap)), (rows, width, gap)


# Dense products. Of a sum Σ a_i b_i + c computed in any order the error is a multiple of eps · (Σ |a_i b_i| + |c|), and
# of nothing smaller: the terms cancel. So errors are relative to that sum.


def run_dense(
    f: Callable[..., Any], outputs: list[Output], inputs: tuple[Array | None, ...], threads: int, isa: str | None
) -> None:
    copies = [None if a is None else a.copy() for a in inputs]
    f(*(o.array for o in outputs), *inputs, threads=threads, isa=isa)
    for o in outputs:
        o.check()
    for a, b in zip(inputs, copies, strict=True):
        assert a is None or b is None or same_bits(a, b), "an input was changed"


def check_dense(rows: int, inputs: int, units: int, dtype: str, isa: str | None, threads: tuple[int, ...] = (1, 2, 3)) -> None:
    x, W, b, dy = given = dense_inputs(np.random.default_rng((rows, inputs, units)), rows, inputs, units, dtype)
    x64, W64, b64, dy64 = doubles(*given)
    shape = f"rows {rows}, inputs {inputs}, units {units}"
    first: list[Array] = []
    for n in threads:
        y, y0, dx = Output((rows, units), dtype), Output((rows, units), dtype), Output((rows, inputs), dtype)
        dW, db = Output((units, inputs), dtype), Output(units, dtype)
        run_dense(single_ops.dense_forward, [y], (x, W, b), n, isa)
        run_dense(single_ops.dense_forward, [y0], (x, W, None), n, isa)
        run_dense(single_ops.dense_backward_input, [dx], (dy, W), n, isa)
        run_dense(single_ops.dense_backward_weight, [dW, db], (dy, x), n, isa)
        results = [o.array for o in (y, y0, dx, dW, db)]
        first = first or results
        assert all(map(same_bits, first, results)), f"{shape}: bits depend on the number of threads"
    absolute = [np.abs(a) for a in (x64, W64, b64, dy64)]
    ax, aW, ab, ady = absolute
    for got, name, args, sizes in [
        (first[0], "dense_forward", (x64, W64, b64), (ax, aW, ab)),
        (first[1], "dense_forward", (x64, W64), (ax, aW)),
        (first[2], "dense_backward_input", (dy64, W64), (ady, aW)),
        (first[3], "dense_backward_weight", (dy64, x64), (ady, ax)),
        (first[4], "dense_backward_bias", (dy64,), (ady,)),
    ]:
        assert_near(got, twin(name)(*args), twin(name)(*sizes), f"{name} {shape}")


@each_isa
@each_dtype
def test_dense_of_every_small_shape(dtype: str, isa: str) -> None:
    for rows, inputs, units in product(range(1, 6), repeat=3):
        check_dense(rows, inputs, units, dtype, isa, threads=(1,))


@each_isa
@each_dtype
def test_dense_at_block_edges(dtype: str, isa: str) -> None:
    """Each edge as rows, inputs and units, with small, medium and other edge sizes for the other two."""
    for i, edge in enumerate(EDGES):
        for a, b in [(1, 3), (13, 33), (EDGES[i - 1], EDGES[i - 7])]:
            for shape in [(edge, a, b), (a, edge, b), (a, b, edge), (b, a, edge)]:
                check_dense(*shape, dtype, isa, threads=(1, 3) if a == 13 else (1,))


LARGE = [(1, 1000, 1), (300, 257, 130), (1, 513, 400), (513, 2, 300), (257, 784, 10), (64, 1030, 70)]


@each_isa
@each_dtype
@pytest.mark.parametrize("shape", LARGE)
def test_dense_of_large_shapes(shape: tuple[int, int, int], dtype: str, isa: str) -> None:
    check_dense(*shape, dtype, isa)


COPIED = [(40, 37, 255), (25, 7, 256), (29, 64, 256), (64, 1024, 300), (60, 19, 1025), (33, 130, 2050)]


@each_isa
@each_dtype
@pytest.mark.parametrize("shape", COPIED)
def test_dx_of_many_rows_at_once(shape: tuple[int, int, int], dtype: str, isa: str) -> None:
    """Where panels of W are copied first: the bits of blocks of rows that are too few for it."""
    rows, inputs, units = shape
    _, W, _, dy = dense_inputs(np.random.default_rng(shape), rows, inputs, units, dtype)
    found = []
    for block in (16, 64):
        dx = np.full((rows, inputs), np.nan, dtype)
        single_ops.run_op("dense_backward_input", (dx, dy, W), dtype=dtype, sizes=W.shape, rows=rows, isa=isa, block_rows=block)
        found.append(dx)
    assert same_bits(*found)
    assert np.allclose(found[0], dy.astype(float) @ W.astype(float), rtol=1e-3, atol=1e-3)


COPIED_DY = [
    (1, 192, 1),
    (127, 192, 64),
    (128, 193, 65),
    (129, 200, 66),
    (256, 256, 67),
    (257, 191, 5),
    (300, 208, 131),
    (600, 195, 7),
]


@each_isa
@each_dtype
@pytest.mark.parametrize("shape", COPIED_DY)
def test_dW_of_many_inputs_at_once(shape: tuple[int, int, int], dtype: str, isa: str) -> None:
    """Where columns of dy are copied first: the bits of tiles of so few inputs that they are not."""
    rows, inputs, units = shape
    x, _, _, dy = dense_inputs(np.random.default_rng(shape), rows, inputs, units, dtype)
    found = []
    for width in (inputs, 48):
        tiles = np.array([(0, units, j, min(j + width, inputs)) for j in range(0, inputs, width)], dtype=np.int64)
        dW = Output((units, inputs), dtype)
        single_ops.run_op(
            "dense_backward_weight", (dW.array, dy, x, tiles), dtype=dtype, sizes=(units, inputs), rows=rows, isa=isa,
            axis="tiles", pieces=len(tiles),
        )  # fmt: skip
        dW.check()
        found.append(dW.array)
    assert same_bits(*found)
    x64, dy64 = doubles(x, dy)
    assert_near(found[0], dy64.T @ x64, np.abs(dy64).T @ np.abs(x64), f"dW {shape}")


@each_isa
@each_dtype
@settings(max_examples=20)
@given(rows=st.integers(1, 70), inputs=st.integers(1, 90), units=st.integers(1, 110))
def test_dense_of_any_shape(dtype: str, isa: str, rows: int, inputs: int, units: int) -> None:
    check_dense(rows, inputs, units, dtype, isa)


@each_isa
@each_dtype
def test_dense_keeps_infinities_and_nan_in_their_rows(dtype: str, isa: str) -> None:
    """A NaN in one row of x affects that row of y and no other row of its block."""
    rng = np.random.default_rng(0)
    for rows, inputs, units in [(13, 5, 33), (25, 17, 7)]:
        x, W, b, _ = dense_inputs(rng, rows, inputs, units, dtype)
        for row, value in product((0, 11, rows - 1), (np.nan, np.inf)):
            bad = x.copy()
            bad[row, inputs // 2] = value
            y, clean = Output((rows, units), dtype), Output((rows, units), dtype)
            run_dense(single_ops.dense_forward, [y], (bad, W, b), 1, isa)
            run_dense(single_ops.dense_forward, [clean], (x, W, b), 1, isa)
            assert not np.isfinite(y.array[row]).any()
            others = np.arange(rows) != row
            assert np.array_equal(y.array[others], clean.array[others])


# The default instruction set.


def test_default_isa(rng: np.random.Generator) -> None:
    assert ISAS
    assert ISAS[0] == "baseline"
    z = rng.normal(size=(9, 33)).astype("float32")
    check_forward("tanh", z, None, {})
    check_dense(9, 33, 17, "float32", None)


# Mutants: with a constant of the twin changed a little, each comparison must fail.


@each_dtype
@pytest.mark.parametrize("name", [name for name in ACTIVATIONS if constants_of(f"{name}_forward")[0]])
def test_mutant_activation_parameter(name: str, dtype: str, rng: np.random.Generator) -> None:
    for kw in constants_of(f"{name}_forward"):
        mutant = {key: value * MUTATION for key, value in kw.items()}
        dh, z, h = activation_inputs(name, rng, 9, 33, dtype)
        check_forward(name, z, None, kw)
        differs(lambda z=z, kw=kw, mutant=mutant: check_forward(name, z, None, kw, mutant))
        h = twin(f"{name}_forward")(z, **kw)
        check_backward(name, dh, z, h, None, kw)
        differs(lambda a=(dh, z, h), kw=kw, mutant=mutant: check_backward(name, *a, None, kw, mutant))


@each_dtype
@pytest.mark.parametrize(
    ("name", "constant"), [("gelu_tanh", "GELU_CUBIC"), ("gelu_tanh", "SQRT_2_OVER_PI"), ("gelu", "SQRT_HALF")]
)
def test_mutant_constant(
    name: str, constant: str, dtype: str, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    dh, z, h = activation_inputs(name, rng, 9, 33, dtype)
    check_forward(name, z, None, {})
    check_backward(name, dh, z, h, None, {})
    monkeypatch.setattr(reference.activations, constant, getattr(reference.activations, constant) * MUTATION)
    differs(lambda: check_forward(name, z, None, {}))
    differs(lambda: check_backward(name, dh, z, h, None, {}))


@each_dtype
def test_mutant_gelu_and_gelu_tanh_are_told_apart(
    dtype: str, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    dh, z, h = activation_inputs("gelu", rng, 9, 33, dtype)
    monkeypatch.setattr(reference, "gelu_forward", reference.gelu_tanh_forward)
    monkeypatch.setattr(reference, "gelu_backward", reference.gelu_tanh_backward)
    differs(lambda: check_forward("gelu", z, None, {}))
    differs(lambda: check_backward("gelu", dh, z, h, None, {}))


@each_dtype
@pytest.mark.parametrize("name", LOSSES)
def test_mutant_loss(name: str, dtype: str, rng: np.random.Generator) -> None:
    y, d = loss_inputs(name, rng, 13, 9, dtype)
    w = rng.uniform(0.5, 3, 13)
    constants = constants_of(name)[-1]
    check_loss(name, y, d, w, None, constants)
    differs(lambda: check_loss(name, y, d, w, None, constants, twin_scale=MUTATION / 13))
    differs(lambda: check_loss(name, y, d, w, None, constants, twin_weight=w * MUTATION))
    if constants:
        mutant = {key: value * MUTATION for key, value in constants.items()}
        differs(lambda: check_loss(name, y, d, w, None, constants, twin_constants=mutant))


@each_dtype
def test_mutant_accuracy_and_one_hot(dtype: str, rng: np.random.Generator) -> None:
    y = np.linspace(0, 1, 5001)[:, None].astype(dtype)
    check_accuracy_binary(y, np.ones_like(y), None, 0.5, 0.5)
    differs(lambda: check_accuracy_binary(y, np.ones_like(y), None, 0.5, 0.5 * MUTATION))
    differs(lambda: check_accuracy_binary(np.ones_like(y), y, None, 0.5, 0.5, 0.5, 0.5 * MUTATION))
    labels = rng.integers(0, 3, 5)
    kw = {"rows": 5, "position": 0}
    for mutant in [(-1.0 * MUTATION, 1.0), (-1.0, 1.0 * MUTATION)]:
        differs(lambda m=mutant: check_one_hot(labels, np.arange(5), 3, dtype, kw, (-1.0, 1.0), m))


# Completeness.

COVERED = {
    *(f"{name}_{way}" for name in ACTIVATIONS for way in ("forward", "backward")),
    *LOSSES,
    *("quantile", "quantile_tangent"),
    *("select_forward", "select_backward"),
    *("scale_forward", "scale_backward", "scale_tangent_forward", "scale_tangent_backward"),
    *("accuracy_labels", "accuracy_targets", "accuracy_binary"),
    *("gather_rows", "gather_csr", "gather_labels", "gather_one_hot", "gather_weights", "write_rows", "spread_rows"),
    *("pack_weight", "pack_large_weight"),
    *("dense_forward", "dense_backward_input", "dense_backward_weight", "dense_backward_bias"),
}


def untested() -> set[str]:
    """Ops that neither have an entry here nor a separate test; those of optimizers are tested with the optimizers."""
    optimizers = tuple(name.removesuffix("update") for name in _kernels.op_names() if name.endswith("_update"))
    names = {name for name in _kernels.op_names() if not name.startswith(optimizers)}
    names = {name for name in names if not name.startswith(("simple_rnn", "gru", "dense_steps"))}  # in test_recurrent.py
    normalizing = ("batch_norm", "batch_renorm", "group_norm", "rms_norm", "weight_norm")  # in test_normalization.py
    names = {name for name in names if not name.startswith(normalizing)}
    names -= {"penalty", "clip_value", "square_sum", "clip_factor", "scale_gradient"}  # in test_executor.py
    noise = ("dropout", "scaled", "gaussian", "shakeout", "whiteout")
    names -= {name for name in names if name.startswith(noise)}  # in test_stochastic.py and test_weight_noise.py
    names = {name for name in names if not name.endswith("_blas")}  # in test_blas.py
    names -= {"dense_forward_direct", "dense_forward_narrow"}  # in test_dense_direct.py
    names -= {"shrink", "activity_l1_forward", "activity_l1_backward"}  # in test_regularizers.py
    names -= {"path_forward", "path_backward"}  # in test_path_sgd.py
    names -= {"average", "gradient_noise"}  # in test_wrappers.py
    names -= {"decay", "project_norm", "project_non_negative"}  # in test_array_groups.py
    names = {name for name in names if not name.startswith("lanes_")} - {"to_lanes", "from_lanes"}  # in test_lanes.py
    names -= {"random_words"}  # in test_stochastic.py
    names -= {"mask_steps", "clear_skipped", "join_rows", "part_rows"}  # in test_recurrent.py
    names = {name for name in names if not name.endswith("_bfloat16")}  # in test_bfloat16_kernels.py
    names -= {"accumulate"}  # in test_accumulation.py
    names -= {"join_parts", "sum_nodes"}  # in test_distributed.py
    names -= {"online_csr", "online_rows", "online_settle"}  # in test_online.py
    on_sparse_data = ("csr_", "lazy_", "catch_up")  # in test_csr_kernels.py and test_lazy_kernels.py
    names = {name for name in names if not name.startswith(on_sparse_data)}
    names -= {f"{name}_tangent_backward" for name in ACTIVATIONS} | {f"{name}_tangent" for name in LOSSES}  # in test_tangent.py
    names -= {name for name in names if name.startswith("dense_tangent")} | {"load_direction", "add_product"}
    return names - COVERED


ROW_OPS = sorted(name for name in untested() if _kernels.op_table().declaration(name).sizes == ("width",))


@each_isa
@each_dtype
@pytest.mark.parametrize("name", ROW_OPS)
def test_op_on_rows_of_numbers(name: str, dtype: str, isa: str, rng: np.random.Generator) -> None:
    """An op whose arrays are all (rows, width): its twin takes those that are read, and the constants."""
    op = _kernels.op_table().declaration(name)
    for (rows, width), constants in product(SIZES, constants_of(name)):
        read = [rng.normal(size=(rows, width)).astype(dtype) for written in op.written if not written]
        outputs = [((rows, width), dtype) for written in op.written if written]
        kw: dict[str, Any] = {"sizes": (width,), "constants": tuple(constants.values()), "rows": rows, "isa": isa}
        got, true = run(name, outputs, tuple(read), dtype, **kw), twin(name)(*doubles(*read), **constants)
        for y, wanted in zip(got, true if len(got) > 1 else (true,), strict=True):
            assert_near(y, wanted, 1.0, f"{name} {y.shape}")


def test_every_op_is_covered() -> None:
    assert untested() <= {*ROW_OPS}
    assert set(_kernels.op_names()) >= COVERED
