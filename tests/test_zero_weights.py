"""``sample_weight=0`` excludes an example from the loss, its gradient and its curvature, also where 0 · ∞ would be NaN."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from helpers import kernels
from numpy.typing import NDArray

import nncore as nn
from nncore import reference
from nncore.losses import LOSSES
from nncore.second_order import GaussNewtonOperator, HessianOperator

Array = NDArray[Any]
each_isa, each_dtype = kernels.each_isa, kernels.each_dtype
each_bad = pytest.mark.parametrize("bad", ["inf", "-inf", "nan"])
each_loss = pytest.mark.parametrize("loss", LOSSES)
each_kind = pytest.mark.parametrize("kind", ["labels", "one-hot"])

OUTPUTS = 3
ROWS, LEFT_OUT = 11, [0, 4, 5, 10]
KEPT = [i for i in range(ROWS) if i not in LEFT_OUT]

# The kernels and their twins: rows of weight 0 are 0, the others as if all rows were finite.

SHAPES = [(1, 1), (5, 2), (70, 3), (70, 10), (3, 1100)]  # several threads; the two widths compiled as constants; a long row


def assert_left_out(run: Callable[[Array], list[Array]], y: Array, weight: Array, bad: float) -> None:
    spoiled = y.copy()
    spoiled[weight == 0] = bad
    with np.errstate(all="ignore"):
        results = run(spoiled)
    for got, want in zip(results, run(y), strict=True):
        assert got.dtype == want.dtype
        assert (got[weight == 0] == 0).all()
        assert kernels.same_bits(got[weight > 0], want[weight > 0])


def spoiled_like(y: Array, ty: Array) -> Array:
    return np.where(np.isfinite(y), ty, y)


def zero_every_third(rng: np.random.Generator, rows: int) -> Array:
    weight = rng.uniform(0.5, 3, rows)
    weight[::3] = 0
    return weight


@each_bad
@each_isa
@each_dtype
@pytest.mark.parametrize(("name", "kw"), kernels.LOSS_CASES)
def test_kernels(name: str, kw: dict[str, float], dtype: str, isa: str, bad: str, rng: np.random.Generator) -> None:
    for rows, width in SHAPES:
        y, d = kernels.loss_inputs(name, rng, rows, width, dtype)
        ty, weight = rng.standard_normal(y.shape).astype(dtype), zero_every_third(rng, rows)
        given: dict[str, Any] = {"sizes": (width,), "constants": tuple(kw.values()), "rows": rows, "isa": isa}

        def loss(y: Array, d: Array = d, weight: Array = weight, given: dict[str, Any] = given) -> list[Array]:
            values: list[tuple[Any, Any] | None] = [(len(y), np.float64), (y.shape, dtype)]
            alone = kernels.run(name, [values[0], None], (y, d, weight), dtype, **given)
            return alone + kernels.run(name, values, (y, d, weight), dtype, **given)

        def tangent(
            y: Array, d: Array = d, ty: Array = ty, weight: Array = weight, given: dict[str, Any] = given
        ) -> list[Array]:
            return kernels.run(f"{name}_tangent", [(y.shape, dtype)], (spoiled_like(y, ty), y, d, weight), dtype, **given)

        assert_left_out(loss, y, weight, float(bad))
        assert_left_out(tangent, y, weight, float(bad))


@each_bad
@each_dtype
@pytest.mark.parametrize(("name", "kw"), kernels.LOSS_CASES)
def test_twins(name: str, kw: dict[str, float], dtype: str, bad: str, rng: np.random.Generator) -> None:
    y, d = kernels.loss_inputs(name, rng, 7, 3, dtype)
    ty, weight = rng.standard_normal(y.shape).astype(dtype), zero_every_third(rng, 7)
    tangent = getattr(reference, f"{name}_tangent")
    assert_left_out(lambda y: list(getattr(reference, name)(y, d, weight, **kw)), y, weight, float(bad))
    assert_left_out(lambda y: [tangent(spoiled_like(y, ty), y, d, weight, **kw)], y, weight, float(bad))


# Models: an example of weight 0 counts as a row, and otherwise has no effect.


class InfinityToNaN(nn.Layer):
    """Passes finite numbers on."""

    def forward(self, x: Array, training: bool) -> Array:
        return np.where(np.isinf(x), np.nan, x)

    def backward(self, dy: Array) -> Array:
        return dy


def make(dtype: str, bad: str = "") -> nn.Sequential:
    """Outputs in (0.2, 0.8) for small inputs; infinite, or NaN if that is what is bad, for rows of the largest numbers."""
    layers: list[nn.Layer] = [nn.Dense(OUTPUTS), *([InfinityToNaN()] if bad == "nan" else [])]
    model = nn.Sequential(layers, input_shape=2, dtype=dtype)
    model.layers[0].weight[...] = [[2, 2], [2, 1.5], [1.5, 2]]
    model.layers[0].bias[...] = 0.5
    return model


def examples(bad: str, kind: str, dtype: str, rng: np.random.Generator) -> tuple[Array, Array, Array]:
    """X, y and weights, 0 for the examples whose outputs are ``bad``."""
    X, labels, w = rng.uniform(-0.07, 0.07, (ROWS, 2)).astype(dtype), rng.integers(0, OUTPUTS, ROWS), rng.uniform(0.5, 2, ROWS)
    largest = 0.9 * np.finfo(dtype).max
    X[LEFT_OUT] = -largest if bad == "-inf" else largest
    w[LEFT_OUT] = 0
    outputs = make(dtype, bad).predict(X)
    assert np.array_equal(outputs[LEFT_OUT], np.full((len(LEFT_OUT), OUTPUTS), float(bad)), equal_nan=True)
    assert ((outputs[KEPT] > 0.2) & (outputs[KEPT] < 0.8)).all()
    return X, np.eye(OUTPUTS)[labels] if kind == "one-hot" else labels, w


def log_cosh(y: Array, d: Array) -> tuple[Array, Array]:
    with np.errstate(all="ignore"):
        return np.log(np.cosh(y - d)).sum(axis=1), np.tanh(y - d) + 0 * y  # NaN where y is infinite


KINDS: dict[str, Any] = {**{name: name for name in LOSSES}, "python": log_cosh}
RTOL = {"float32": 1e-5, "float64": 1e-12}


@each_bad
@each_kind
@each_dtype
@pytest.mark.parametrize("loss", KINDS)
@pytest.mark.filterwarnings("error")
def test_training_and_evaluation(loss: str, dtype: str, kind: str, bad: str, rng: np.random.Generator) -> None:
    X, y, w = examples(bad, kind, dtype, rng)
    model, share, near = make(dtype, bad), len(KEPT) / ROWS, {"rtol": RTOL[dtype], "atol": RTOL[dtype]}
    value, gradient = model.loss_and_gradient(X[KEPT], y[KEPT], KINDS[loss], sample_weight=w[KEPT])
    assert math.isfinite(value)
    assert np.abs(gradient).max() > 0
    value, gradient = share * value, share * gradient
    stepped = model.parameters - 0.1 * gradient

    got, got_gradient = model.loss_and_gradient(X, y, KINDS[loss], sample_weight=w)
    np.testing.assert_allclose(got, value, **near)
    np.testing.assert_allclose(got_gradient, gradient, **near)

    trainer = nn.Trainer(model, KINDS[loss], nn.SGD(lr=0.1))
    np.testing.assert_allclose(trainer.evaluate(X, y, sample_weight=w)["loss"], value, **near)
    history = trainer.fit(
        X, y, epochs=1, batch_size=ROWS, sample_weight=w, validation_data=(X, y, w), shuffle=False, verbose=0
    )  # fmt: skip
    np.testing.assert_allclose(history["running_loss"], [value], **near)
    assert np.isfinite(history["val_loss"]).all()
    np.testing.assert_allclose(model.parameters, stepped, **near)


@pytest.mark.parametrize("bad", ["inf", "-inf"])
@each_kind
@each_dtype
@each_loss
@pytest.mark.parametrize("operator", [HessianOperator, GaussNewtonOperator])
def test_curvature(operator: Any, loss: str, dtype: str, kind: str, bad: str, rng: np.random.Generator) -> None:
    X, y, w = examples(bad, kind, dtype, rng)
    model = make(dtype)
    v = rng.standard_normal(model.parameters.size).astype(dtype)
    want = operator(model, X[KEPT], y[KEPT], loss, sample_weight=w[KEPT]).products(v) * (len(KEPT) / ROWS)
    assert np.isfinite(want).all()
    got = operator(model, X, y, loss, sample_weight=w).products(v)
    np.testing.assert_allclose(got, want, rtol=RTOL[dtype], atol=10 * RTOL[dtype])


@each_dtype
def test_an_infinite_cross_entropy_of_a_saturated_sigmoid(dtype: str) -> None:
    """sigmoid(200) is 1 for a target of 0. The others: −log σ(1) twice, and the gradient (σ(1) − 1) x of each."""
    model = nn.Sequential([nn.Dense(1), nn.Sigmoid()], input_shape=1, dtype=dtype)
    model.parameters[...] = [1, 0]
    X, y, w = np.array([[200.0], [1.0], [-1.0]]), [0, 1, 0], [0, 1, 1]
    value, slope = 2 * math.log1p(math.exp(-1)) / 3, 2 * (1 / (1 + math.exp(-1)) - 1) / 3
    got, gradient = model.loss_and_gradient(X, y, "binary_cross_entropy", sample_weight=w)
    np.testing.assert_allclose(got, value, rtol=1e-6)
    np.testing.assert_allclose(gradient, [slope, 0], rtol=1e-6, atol=1e-7)
    trainer = nn.Trainer(model, "binary_cross_entropy", "sgd")
    np.testing.assert_allclose(trainer.evaluate(X, y, sample_weight=w)["loss"], value, rtol=1e-6)
    trainer.fit(X, y, epochs=3, sample_weight=w, verbose=0)
    assert np.isfinite(model.parameters).all()
    assert math.isinf(trainer.evaluate(X, y, sample_weight=[1e-300, 1, 1])["loss"])  # only a weight of 0 excludes an example


@each_dtype
def test_an_infinite_divergence_of_a_saturated_softmax(dtype: str) -> None:
    """softmax(2000, 0) is (1, 0) for a target of (0, 1), whose class has weight 0."""
    model = nn.Sequential([nn.Dense(2), nn.Softmax()], input_shape=1, dtype=dtype)
    model.layers[0].weight[...] = [[1], [0]]
    X, y = np.array([[2000.0], [1.0], [-1.0]]), [1, 0, 0]
    losses = -np.log([1 / (1 + math.exp(-1)), 1 / (1 + math.exp(1))])
    got, gradient = model.loss_and_gradient(X, y, "kl_divergence", sample_weight=[0, 1, 1])
    np.testing.assert_allclose(got, losses.sum() / 3, rtol=1e-6)
    assert np.isfinite(gradient).all()
    trainer = nn.Trainer(model, "kl_divergence", nn.SGD(lr=0.01))
    history = trainer.fit(X, y, batch_size=3, class_weight={1: 0}, verbose=0)
    np.testing.assert_allclose(history["running_loss"], [losses.sum() / 3], rtol=1e-6)
    np.testing.assert_allclose(model.layers[0].weight[:, 0], [1 - 0.01 * gradient[0], -0.01 * gradient[1]], rtol=1e-5)
