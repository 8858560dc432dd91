"""Losses, gradients and norms near overflow: infinite values and NaN are reported, and nothing else is affected."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import nncore as nn
from nncore.optimizers import OPTIMIZERS

Array = NDArray[Any]

each_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])


# ---- gradients of a loss that is not finite


def logistic(dtype: str) -> nn.Sequential:
    model = nn.Sequential([nn.Dense(1), nn.Sigmoid()], 1, dtype=dtype)
    model.layers[0].weight[...], model.layers[0].bias[...] = 1, 0
    return model


@each_dtype
def test_the_gradient_of_an_infinite_loss_is_not_the_previous_one(dtype: str) -> None:
    model, X, y = logistic(dtype), np.array([[1.0]]), np.array([0.0])
    finite = model.loss_and_gradient(X, y, "binary_cross_entropy")
    assert np.allclose(finite[1], 1 / (1 + np.exp(-1.0)), rtol=1e-6)  # sigmoid(z) - d, for weight and bias alike
    loss, gradient = model.loss_and_gradient(50 * X, y, "binary_cross_entropy")
    # y = 1 in floating point: δ = 1 / (1 - y) = inf, times y (1 - y) = 0
    assert loss == np.inf
    assert np.isnan(gradient).all()
    assert np.isnan(model.gradients).all()
    deltas = model.deltas(50 * X, y, "binary_cross_entropy")
    assert deltas["sigmoid_1"] == np.inf
    assert np.isnan(deltas["dense_1"]).all()
    again = model.loss_and_gradient(X, y, "binary_cross_entropy")
    assert again[0] == finite[0]
    assert np.array_equal(again[1], finite[1])


@pytest.mark.parametrize(("dtype", "large"), [("float32", 1e25), ("float64", 1e160)])
def test_the_gradient_of_a_loss_that_overflows(dtype: str, large: float) -> None:
    model = nn.Sequential([nn.Dense(1, bias=False)], 1, dtype=dtype)
    model.layers[0].weight[...] = 1
    X, y = np.array([[1.0]]), np.array([0.0])
    assert model.loss_and_gradient(X, y, "squared_error")[1] == 1
    loss, gradient = model.loss_and_gradient(large * X, y, "squared_error")
    assert (loss, gradient) == (np.inf, np.inf)
    assert model.deltas(large * X, y, "squared_error")["dense_1"] == pytest.approx(large)  # y - d is finite


@each_dtype
def test_a_gradient_in_double_where_the_loss_alone_is_infinite(dtype: str) -> None:
    """Σ l overflows, each term of the gradient does not."""
    model = nn.Sequential([nn.Dense(2, bias=False)], 1, dtype=dtype)
    big = {"float32": 1e38, "float64": 1e308}[dtype]
    model.layers[0].weight[...] = [[big], [-big]]
    loss, gradient = model.loss_and_gradient(np.ones((1, 1)), np.array([[-big, big]]), lambda y, d: (
        np.full(len(y), np.inf), np.tile([2.0, -3.0], (len(y), 1))
    ))  # fmt: skip
    assert loss == np.inf
    assert gradient.tolist() == [2, -3]


@each_dtype
def test_curvature_where_the_loss_is_infinite_is_refused(dtype: str) -> None:
    with pytest.raises(ValueError, match="loss is not finite"):
        logistic(dtype).hessian_vector_product([[50.0]], [0.0], "binary_cross_entropy", np.ones(2))


# ---- evaluation


@each_dtype
@pytest.mark.parametrize("rows", [1000, 300])
def test_one_infinite_loss_does_not_affect_other_metrics(dtype: str, rows: int) -> None:
    X = np.linspace(-3, 3, rows)[:, None]
    y = (X[:, 0] > 0).astype(int)
    X[rows // 2], X[rows // 2 + 1] = -60, 60
    y[rows // 2], y[rows // 2 + 1] = 0, 0  # one example is misclassified with certainty
    trainer = nn.Trainer(logistic(dtype), "binary_cross_entropy", "sgd", metrics=["accuracy", "mean_absolute_error"])
    row = trainer.evaluate(X, y)
    p = 1 / (1 + np.exp(-X[:, 0]))
    assert row["loss"] == np.inf
    assert row["accuracy"] == ((p > 0.5) == y).mean() == 1 - 1 / rows
    assert row["mean_absolute_error"] == pytest.approx(np.abs(p - y).mean(), rel=1e-6)


def test_a_nan_in_a_loss_does_not_affect_the_accuracy() -> None:
    def loss(y: Array, d: Array) -> tuple[Array, Array]:
        values = np.abs(y - d).sum(axis=1)
        values[0] = np.nan
        return values, np.sign(y - d)

    trainer = nn.Trainer(logistic("float64"), loss, "sgd", metrics=["mean_absolute_error"])
    row = trainer.evaluate([[0.0], [1.0]], [0.5, 0.5])
    assert np.isnan(row["loss"])
    assert row["mean_absolute_error"] == pytest.approx((1 / (1 + np.exp(-1)) - 0.5) / 2)


def test_training_stops_at_an_infinite_loss() -> None:
    model = logistic("float64")
    trainer = nn.Trainer(model, "binary_cross_entropy", "sgd")
    before = model.parameters.copy()
    with pytest.raises(nn.DivergenceError, match="loss is inf"):
        trainer.fit([[50.0]], [0.0], verbose=0)
    assert np.array_equal(model.parameters, before)


# ---- normalization of a single number


@pytest.mark.parametrize(
    ("layer", "shape"),
    [(nn.LayerNorm(), (1,)), (nn.GroupNorm(8), (8,)), (nn.GroupNorm(4), (4, 1)), (nn.InstanceNorm(), (4, 1))],
    ids=str,
)
def test_normalization_of_one_number_is_refused(layer: nn.Layer, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"at least two numbers .* got groups of one number"):
        nn.Sequential([layer], input_shape=shape)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [(nn.LayerNorm(), (2,)), (nn.GroupNorm(4), (8,)), (nn.GroupNorm(4), (4, 2)), (nn.InstanceNorm(), (4, 2))],
    ids=str,
)
def test_normalization_of_two_numbers_is_their_order(layer: nn.Layer, shape: tuple[int, ...]) -> None:
    model = nn.Sequential([layer], input_shape=shape, dtype="float64")
    x = np.random.default_rng(0).normal(scale=100, size=(5, *shape))
    assert np.allclose(np.abs(model.predict(x)), 1, atol=1e-3)


def test_rms_norm_of_one_number_is_near_its_sign() -> None:
    model = nn.Sequential([nn.RMSNorm()], input_shape=1, dtype="float64")
    assert np.allclose(model.predict([[-3.0], [5.0]]), [[-1], [1]], atol=1e-5)


# ---- directions of length 0


@each_dtype
def test_weight_norm_without_a_direction_is_an_error(dtype: str) -> None:
    model = nn.Sequential([nn.WeightNorm(nn.Dense(40, weight_init="zeros"))], 2, dtype=dtype)
    layer, X = model.layers[0], np.ones((2, 2))
    calls: list[Callable[[], Any]] = [
        lambda: model.predict(X),
        lambda: model.activations(X),
        lambda: model.loss_and_gradient(X, np.ones((2, 40)), "squared_error"),
        lambda: model.hessian_vector_product(X, np.ones((2, 40)), "squared_error", model.parameters),
        lambda: nn.Trainer(model, "squared_error").fit(X, np.ones((2, 40)), verbose=0),
        lambda: nn.Trainer(model, "squared_error").evaluate(X, np.ones((2, 40))),
        lambda: layer.weight,
    ]
    for call in calls:
        with pytest.raises(ValueError, match="direction"):
            call()
    layer.direction[...] = 1
    layer.length[...] = 2
    assert np.allclose(model.predict(X), 2 * np.sqrt(2))
    layer.direction[33] = 0
    for call in calls:
        with pytest.raises(ValueError, match="direction"):
            call()


# ---- clipping of huge gradients

CASES = [("float32", 1e38), ("float64", 1e200), ("float64", 1e308), ("float32", 1.0), ("float64", 1e-100)]


@pytest.mark.parametrize(("dtype", "size"), CASES)
@pytest.mark.parametrize("clip", [nn.ClipGlobalNorm, nn.ClipNorm])
@pytest.mark.parametrize("share", [0.5, 1e-3, 1e-30])
def test_clipping_by_norm_of_any_finite_gradient(dtype: str, size: float, clip: Any, share: float) -> None:
    """A gradient (-0.6, -0.8) size: after a step of lr = 1 the weights are (0.6, 0.8) limit."""
    model = nn.Sequential([nn.Dense(1, bias=False, weight_init="zeros")], 2, dtype=dtype)
    limit = share * size
    trainer = nn.Trainer(model, "mean_absolute_error", nn.SGD(lr=1.0), clip=clip(limit))
    history = trainer.fit(np.array([[0.6 * size, 0.8 * size]]), [1.0], epochs=1, verbose=0)
    assert np.allclose(model.layers[0].weight.ravel() / limit, [0.6, 0.8], rtol=1e-6, atol=0)
    assert history["grad_norm"][0] == pytest.approx(size, rel=1e-6)
    assert history["clipped"][0] == 1


@pytest.mark.parametrize(
    ("dtype", "size", "limit"), [("float32", 1e38, 1.0), ("float64", 1e308, 1.0), ("float64", 1e300, 1e-30)]
)
def test_clipping_to_a_much_smaller_norm(dtype: str, size: float, limit: float) -> None:
    for clip in (nn.ClipGlobalNorm(limit), nn.ClipNorm(limit)):
        model = nn.Sequential([nn.Dense(1, bias=False, weight_init="zeros")], 2, dtype=dtype)
        trainer = nn.Trainer(model, "mean_absolute_error", nn.SGD(lr=1.0), clip=clip)
        trainer.fit(np.array([[0.6 * size, 0.8 * size]]), [1.0], epochs=1, verbose=0)
        assert np.allclose(model.layers[0].weight.ravel() / limit, [0.6, 0.8], rtol=1e-6, atol=0)


@each_dtype
def test_the_global_norm_of_several_huge_arrays(dtype: str) -> None:
    """Two arrays, the one huge and the other not: the other is scaled by the same factor, or clipped by itself."""
    big = {"float32": 1e30, "float64": 1e200}[dtype]
    for clip, expected in ((nn.ClipGlobalNorm(1.0), 1 / big), (nn.ClipNorm(1.0), 1.0)):
        model = nn.Sequential([nn.Dense(1, weight_init="zeros")], 1, dtype=dtype)
        trainer = nn.Trainer(model, "mean_absolute_error", nn.SGD(lr=1.0), clip=clip)
        history = trainer.fit([[big]], [1.0], epochs=1, verbose=0)
        assert model.layers[0].weight == pytest.approx(1)
        assert model.layers[0].bias == pytest.approx(expected, rel=1e-6)
        assert history["grad_norm"][0] == pytest.approx(big)


@each_dtype
def test_a_norm_beyond_the_largest_number(dtype: str) -> None:
    """‖g‖ of 400 numbers near the largest is 20 times as large as any number."""
    largest = float(np.finfo(dtype).max) * 0.9
    model = nn.Sequential([nn.Dense(1, bias=False, weight_init="zeros")], 400, dtype=dtype)
    trainer = nn.Trainer(model, "mean_absolute_error", nn.SGD(lr=1.0), clip=nn.ClipGlobalNorm(1.0))
    trainer.fit(np.full((1, 400), largest), [1.0], epochs=1, verbose=0)
    assert np.allclose(model.layers[0].weight, 1 / 20, rtol=1e-6)


@each_dtype
def test_an_infinite_gradient_is_still_divergence(dtype: str) -> None:
    def loss(y: Array, d: Array) -> tuple[Array, Array]:
        return np.zeros(len(y)), np.full_like(y, np.inf)

    for clip in (nn.ClipGlobalNorm(1.0), nn.ClipNorm(1.0)):
        model = nn.Sequential([nn.Dense(1)], 1, dtype=dtype)
        with pytest.raises(nn.DivergenceError):
            nn.Trainer(model, loss, nn.SGD(lr=1.0), clip=clip).fit([[1.0]], [1.0], verbose=0)
        assert np.isfinite(model.parameters).all()


# ---- an eps that rounds to 0

WITH_EPS = [name for name, make in OPTIMIZERS.items() if "eps" in make().hyperparameters]


@pytest.mark.parametrize(("dtype", "eps"), [("float32", 1e-40), ("float32", 0.0), ("float64", 0.0), ("float64", 1e-310)])
@pytest.mark.parametrize("name", WITH_EPS)
def test_a_divergence_caused_by_eps_is_named(name: str, dtype: str, eps: float) -> None:
    X, y = np.random.default_rng(0).normal(size=(6, 3)), np.arange(6) % 3
    X[:, 2] = 0  # a dead feature: its gradient is 0
    model = nn.Sequential([nn.Dense(3)], 3, dtype=dtype)
    trainer = nn.Trainer(model, "softmax_cross_entropy", OPTIMIZERS[name](eps=eps))
    with pytest.raises(nn.DivergenceError, match=rf"eps = {eps:g} is too small for {dtype}.*try a larger eps"):
        trainer.fit(X, y, epochs=3, verbose=0)
    assert np.isfinite(model.parameters).all()
    theta = np.ones(2, dtype)
    with pytest.raises(nn.DivergenceError, match=rf"eps = {eps:g} is too small for {dtype}.*a larger eps"):
        OPTIMIZERS[name](eps=eps).step(theta, np.array([0, 1], dtype))
    with pytest.raises(nn.DivergenceError, match=r"eps = .* is too small"):
        OPTIMIZERS[name](eps=eps).minimize(lambda x: (0.0, x * 0), np.ones(2, dtype), 3)


@each_dtype
@pytest.mark.parametrize("name", WITH_EPS)
def test_another_divergence_is_not_blamed_on_eps(name: str, dtype: str) -> None:
    theta = np.full(2, np.finfo(dtype).max)
    opt = OPTIMIZERS[name](lr=1e305 if dtype == "float64" else 1e38)

    def walk() -> None:
        for _ in range(1000):
            opt.step(theta, np.array([-1e3, -1e3], dtype))

    with pytest.raises(nn.DivergenceError, match="not finite") as caught:
        walk()
    assert "eps =" not in str(caught.value).replace(repr(opt), "")
