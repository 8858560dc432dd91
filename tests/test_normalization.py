"""Normalization layers: against their NumPy twins, PyTorch and central differences; use of their statistics."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.normalization import data, gradients, normalized, upstream
from numpy.typing import NDArray

import nncore as nn
from nncore import _kernels, reference
from nncore.losses import PythonLoss

Array = NDArray[Any]
RTOL = {"float32": 2e-5, "float64": 1e-12}
EPS = 1e-5
SHAPES = [(1,), (2,), (5,), (17,), (64,), (65,), (130,), (6, 5), (4, 33)]
ROWS = [2, 3, 5, 16, 31, 257]
# Each shape with a few numbers of rows and each number of rows with a few shapes; the last is work enough for several threads.
SIZES = [(rows, shape) for (i, rows), (j, shape) in itertools.product(enumerate(ROWS), enumerate(SHAPES)) if (i + j) % 3 == 0]
SIZES += [(700, (65,)), (300, (6, 33))]
MAKE: dict[str, Callable[[tuple[int, ...]], nn.Layer]] = {
    "batch_norm": lambda shape: nn.BatchNorm(),
    "batch_norm_plain": lambda shape: nn.BatchNorm(affine=False),
    "batch_norm_units": lambda shape: nn.BatchNorm(units=range(0, shape[0], 2)),
    "layer_norm": lambda shape: nn.LayerNorm(),
    "layer_norm_plain": lambda shape: nn.LayerNorm(affine=False),
    "rms_norm": lambda shape: nn.RMSNorm(),
    "group_norm": lambda shape: nn.GroupNorm(2 if shape[0] % 2 == 0 and math.prod(shape) > 2 else 1),
    "instance_norm": lambda shape: nn.InstanceNorm(affine=True),
}


def make(name: str, shape: tuple[int, ...], dtype: str, rng: np.random.Generator, *after: nn.Layer) -> nn.Sequential:
    model = nn.Sequential([MAKE[name](shape), *after], input_shape=shape, dtype=dtype)
    model.parameters[...] = rng.normal(0.5, 1, model.parameters.size)
    return model


# --- the twins


def batch_norm_twin(layer: nn.BatchNorm, x: Array, dy: Array, relu: bool) -> tuple[Array, Array, Array]:
    x, dy = (a.reshape(len(a), layer.channels, -1).astype(np.float64) for a in (x, dy))
    chosen = list(range(layer.channels)) if layer.units is None else list(layer.units)
    weight, bias = np.ones(layer.channels), np.zeros(layer.channels)
    mean, _, rstd = reference.batch_norm_statistics(x, EPS)
    for array, constant in ((mean, 0.0), (rstd, 1.0)):
        array[[c for c in range(layer.channels) if c not in chosen]] = constant
    if layer.affine:
        weight[chosen], bias[chosen] = layer.weight, layer.bias
    y = (reference.batch_norm_relu_forward if relu else reference.batch_norm_forward)(x, mean, rstd, weight, bias)
    if relu:
        dx = reference.batch_norm_relu_backward(dy, y, x, mean, rstd, weight)
        dy = dy * (y > 0)
    else:
        dx = reference.batch_norm_backward(dy, x, mean, rstd, weight)
    others = [c for c in range(layer.channels) if c not in chosen]
    dx[:, others] = dy[:, others]
    dweight, dbias = reference.batch_norm_backward_statistics(dy, x, mean, rstd)
    return y, dx, np.concatenate([dweight[chosen], dbias[chosen]]) if layer.affine else np.zeros(0)


def row_norm_twin(layer: Any, x: Array, dy: Array) -> tuple[Array, Array, Array]:
    x, dy = (a.reshape(len(a), layer.groups, -1).astype(np.float64) for a in (x, dy))
    shape = x.shape[1:]
    weight, bias = np.ones(shape), np.zeros(shape)
    if layer.affine:
        weight = np.repeat(layer.weight.ravel(), layer.share).reshape(shape)
        bias = np.repeat(layer.bias.ravel(), layer.share).reshape(shape) if layer.has_bias else bias
    forward, backward = (getattr(reference, f"{layer.kernel}_{way}") for way in ("forward", "backward"))
    x_hat = forward(x, np.ones(shape), np.zeros(shape), EPS)
    each = [a.reshape(-1, layer.share).sum(axis=1) for a in reference.group_norm_backward_weight(dy, x_hat)]
    by_parameter = np.concatenate(each[: 1 + layer.has_bias]) if layer.affine else np.zeros(0)
    return forward(x, weight, bias, EPS), backward(dy, x, weight, EPS), by_parameter


def assert_near(got: Array, want: Array, dtype: str, terms: float = 1.0) -> None:
    """Relative to the largest number of the array, and to the size of the terms of which it is a sum."""
    assert got.size == want.size
    if got.size:
        np.testing.assert_allclose(got.ravel(), want.ravel(), rtol=0, atol=RTOL[dtype] * (np.abs(want).max() + terms))


def fits(name: str, shape: tuple[int, ...]) -> bool:
    if name.startswith(("layer_norm", "group_norm")):
        return math.prod(shape) > 1  # or a group would be a single number
    return len(shape) == 2 or name != "instance_norm"


@pytest.fixture(params=_kernels.complete_isas())
def isa(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(_kernels, "isa_name", request.param)
    return str(request.param)


@pytest.mark.parametrize("dtype", RTOL)
@pytest.mark.parametrize("name", MAKE)
def test_against_the_twin(name: str, dtype: str, isa: str, rng: np.random.Generator) -> None:
    for rows, shape in SIZES:
        if not fits(name, shape):
            continue
        model = make(name, shape, dtype, rng)
        X, r = data(rows, shape, dtype, rng)
        layer = model.layers[0]
        if isinstance(layer, nn.BatchNorm):
            y, dx, dtheta = batch_norm_twin(layer, X, r, relu=False)
        else:
            y, dx, dtheta = row_norm_twin(layer, X, r)
        got_dx, got_dtheta = gradients(model, X, r)
        # Of two rows that nearly agree the statistics are ill-conditioned: errors grow with 1/√(σ² + ε).
        stretch = 1 / np.sqrt(X.reshape(rows, shape[0], -1).var(axis=(0, 2)).min() + EPS) if "batch" in name else 1.0
        if "batch" not in name and dx.size:
            groups = X.reshape(rows, layer.groups, -1)
            stretch = 1 / np.sqrt(
                (groups.var(axis=2) if layer.kernel == "group_norm" else (groups**2).mean(axis=2)).min() + EPS
            )
        assert_near(model.forward(X, training=True), y, dtype, 1 + stretch)
        assert_near(got_dx, dx, dtype, 1 + stretch**2)
        assert_near(got_dtheta, dtheta, dtype, np.sqrt(X.size) * (1 + stretch))


@pytest.mark.parametrize("dtype", RTOL)
def test_batch_norm_with_relu_against_the_twin(dtype: str, isa: str, rng: np.random.Generator) -> None:
    for rows, shape in [(3, (2,)), (31, (65,)), (257, (17,)), (16, (6, 5)), (700, (65,))]:
        model = make("batch_norm", shape, dtype, rng, nn.ReLU())
        X, r = data(rows, shape, dtype, rng)
        y, dx, dtheta = batch_norm_twin(model.layers[0], X, r, relu=True)
        assert_near(model.forward(X, training=True), y, dtype, 10)
        got_dx, got_dtheta = gradients(model, X, r)
        assert_near(got_dx, dx, dtype, 10)
        assert_near(got_dtheta, dtheta, dtype, 10 * np.sqrt(X.size))


@pytest.mark.parametrize("dtype", RTOL)
@pytest.mark.parametrize("shape", [(1,), (17,), (64,), (6, 5)])
def test_fusing_changes_no_bit(shape: tuple[int, ...], dtype: str, isa: str, rng: np.random.Generator) -> None:
    """`forward` and `loss_and_gradient` compute both layers in one pass, `activations` and `deltas` do not."""
    model = make("batch_norm", shape, dtype, rng, nn.ReLU())
    X, r = data(33, shape, dtype, rng)
    for training in (False, True):
        shown = model.activations(X, training=training)
        assert list(shown) == ["input", "batch_norm_1", "relu_1"]
        assert np.array_equal(np.maximum(shown["batch_norm_1"], 0), shown["relu_1"])
        assert shown["relu_1"].tobytes() == model.forward(X, training=training).tobytes()
    fused = model.loss_and_gradient(X, r, PythonLoss(upstream))[1]
    model.deltas(X, r, PythonLoss(upstream))
    assert fused.tobytes() == model.gradients.tobytes()


def test_the_comparison_can_fail(rng: np.random.Generator) -> None:
    """A twin with another ε, and a gradient that treats the statistics as constants, are detected."""
    model = make("batch_norm", (5,), "float64", rng)
    X, r = data(9, (5,), "float64", rng)
    x, mean, layer = X[:, :, None], X.mean(axis=0), model.layers[0]
    rstd = reference.batch_norm_statistics(x, 1.001 * EPS)[2]
    y = reference.batch_norm_forward(x, mean, rstd, layer.weight, layer.bias)
    with pytest.raises(AssertionError):
        assert_near(model.forward(X, training=True), y, "float64")
    rstd = reference.batch_norm_statistics(x, EPS)[2]
    dx = reference.batch_norm_backward(r[:, :, None], x, mean, rstd, layer.weight, constant=True)
    with pytest.raises(AssertionError):
        assert_near(gradients(model, X, r)[0], dx, "float64")


# --- gradients by differences


@pytest.mark.parametrize("shape", [(1,), (6,), (4, 3)])
@pytest.mark.parametrize("name", MAKE)
def test_gradients_by_differences(name: str, shape: tuple[int, ...], rng: np.random.Generator) -> None:
    if not fits(name, shape):
        return
    if shape == (1,) and "batch" not in name and "rms" not in name:
        return  # the output is β for every x: both gradients are 0 up to rounding
    model = make(name, shape, "float64", rng)
    X, r = data(9, shape, "float64", rng)
    errors = model.check_gradients(X, r, PythonLoss(upstream))
    assert max(errors.values()) < 1e-6, errors


@pytest.mark.parametrize("frozen", [False, True])
def test_gradients_in_a_network(frozen: bool, rng: np.random.Generator) -> None:
    layers = [nn.Dense(7, bias=frozen), nn.BatchNorm(frozen=frozen), nn.Tanh(), nn.LayerNorm(), nn.WeightNorm(nn.Dense(40)),
              nn.RMSNorm(), nn.GroupNorm(4), nn.WeightNorm(nn.Dense(3, bias=False))]  # fmt: skip
    model = nn.Sequential(layers, input_shape=70, dtype="float64")
    model.parameters[...] = rng.normal(0.3, 0.7, model.parameters.size)
    model.state[...] = rng.uniform(0.5, 2, model.state.size)
    errors = model.check_gradients(rng.standard_normal((9, 70)), rng.standard_normal((9, 3)), PythonLoss(upstream))
    assert max(errors.values()) < 1e-6, errors


@pytest.mark.parametrize("limits", [(1.0, 0.0), (1.2, 0.3)])
def test_gradients_of_batch_renorm_at_its_limits(limits: tuple[float, float], rng: np.random.Generator) -> None:
    """Where r and d are clipped, they are constants for differences too."""
    model = nn.Sequential([nn.BatchRenorm(r_max=limits[0], d_max=limits[1])], input_shape=3, dtype="float64")
    model.parameters[...] = rng.normal(0, 1, model.parameters.size)
    X = rng.normal(0, 1, (9, 3)) * [10, 10, 0.1] + [30, -30, 3]
    errors = model.check_gradients(X, rng.standard_normal(X.shape), PythonLoss(upstream))
    assert max(errors.values()) < 1e-6, errors


# --- PyTorch


def torch_layer(torch: Any, name: str, shape: tuple[int, ...], layer: Any) -> Any:
    kinds = {
        "batch_norm": lambda: torch.nn.BatchNorm1d(shape[0]),
        "layer_norm": lambda: torch.nn.LayerNorm(shape),
        "rms_norm": lambda: torch.nn.RMSNorm(shape, eps=EPS),
        "group_norm": lambda: torch.nn.GroupNorm(layer.groups, shape[0]),
        "instance_norm": lambda: torch.nn.InstanceNorm1d(shape[0], affine=True),
    }
    other = kinds[name]().double()
    other.weight.data = torch.tensor(layer.weight.copy())
    if hasattr(layer, "bias"):
        other.bias.data = torch.tensor(layer.bias.copy())
    return other


@pytest.mark.parametrize(("rows", "shape"), [(9, (6,)), (70, (40,)), (300, (64,)), (50, (4, 7)), (3, (2, 40))])
@pytest.mark.parametrize("name", ["batch_norm", "layer_norm", "rms_norm", "group_norm", "instance_norm"])
def test_against_pytorch(name: str, rows: int, shape: tuple[int, ...], rng: np.random.Generator, torch: Any) -> None:
    if not fits(name, shape):
        return
    model = make(name, shape, "float64", rng)
    X, r = data(rows, shape, "float64", rng)
    other = torch_layer(torch, name, shape, model.layers[0])
    x = torch.tensor(X, requires_grad=True)
    y = other(x)
    (y * torch.tensor(r)).sum().backward()
    dx, dtheta = gradients(model, X, r)
    want = np.concatenate([parameter.grad.numpy().ravel() for parameter in other.parameters()])
    np.testing.assert_allclose(model.forward(X, training=True), y.detach().numpy(), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(dx, x.grad.numpy(), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(dtheta, want, rtol=1e-12, atol=1e-12 * np.sqrt(X.size))


@pytest.mark.parametrize("momentum", [0.1, 0.37, None])
def test_training_against_pytorch(momentum: float | None, rng: np.random.Generator, torch: Any) -> None:
    """100 steps with batch norm: parameters, running statistics and the output at inference."""
    X, y = rng.normal(1, 2, (80, 5)), rng.standard_normal((80, 3))
    layers = [nn.Dense(6), nn.BatchNorm(momentum=momentum, eps=1e-2), nn.ReLU(), nn.Dense(3)]
    model = nn.Sequential(layers, input_shape=5, dtype="float64")
    other = torch.nn.Sequential(
        torch.nn.Linear(5, 6), torch.nn.BatchNorm1d(6, momentum=momentum, eps=1e-2), torch.nn.ReLU(), torch.nn.Linear(6, 3)
    ).double()
    for own, parameter in zip(_arrays(model), other.parameters(), strict=True):
        parameter.data = torch.tensor(own.copy())
    nn.Trainer(model, "mean_squared_error", nn.SGD(lr=0.05)).fit(X, y, epochs=20, batch_size=16, shuffle=False, verbose=0)
    optimizer = torch.optim.SGD(other.parameters(), lr=0.05)
    for step in range(100):
        rows = slice(16 * (step % 5), 16 * (step % 5) + 16)
        optimizer.zero_grad()
        torch.nn.functional.mse_loss(other(torch.tensor(X[rows])), torch.tensor(y[rows])).backward()
        optimizer.step()
    for own, parameter in zip(_arrays(model), other.parameters(), strict=True):
        np.testing.assert_allclose(own, parameter.detach().numpy(), rtol=1e-10, atol=1e-12)
    norm = model["batch_norm_1"]
    np.testing.assert_allclose(norm.running_mean, other[1].running_mean.numpy(), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(norm.running_var, other[1].running_var.numpy(), rtol=1e-10, atol=1e-12)
    assert norm.batches[0] == 100
    other.eval()
    np.testing.assert_allclose(model.predict(X), other(torch.tensor(X)).detach().numpy(), rtol=1e-10, atol=1e-10)


def _arrays(model: nn.Sequential) -> list[Array]:
    return [getattr(layer, name) for layer in model.layers for name in layer.parameters]


# --- exactness and determinism


@pytest.mark.parametrize("dtype", RTOL)
@pytest.mark.parametrize("name", ["batch_norm", "layer_norm", "group_norm"])
def test_a_mean_of_a_million_standard_deviations(name: str, dtype: str, isa: str, rng: np.random.Generator) -> None:
    """The differences x − mean are then few-digit numbers, exact in the dtype, and so are statistics: nothing may be lost."""
    X = 2.0**20 + rng.integers(-8, 9, (257, 64)) / 8
    model = nn.Sequential([MAKE[name]((64,))], input_shape=64, dtype=dtype)
    axis = 0 if name == "batch_norm" else -1
    groups = X if name == "batch_norm" else X.reshape(257, -1, 64 // (2 if name == "group_norm" else 1))
    away = groups - groups.mean(axis=axis, keepdims=True)  # in float64: exact to 1e-10
    want = (away / np.sqrt((away**2).mean(axis=axis, keepdims=True) + EPS)).reshape(X.shape)
    np.testing.assert_allclose(model.forward(X, training=True), want, rtol=0, atol=3e-6 if dtype == "float32" else 1e-8)


@pytest.mark.parametrize("dtype", RTOL)
def test_bits_do_not_depend_on_threads(dtype: str, rng: np.random.Generator) -> None:
    X, y = rng.standard_normal((500, 40)), rng.integers(0, 5, 500)
    results = []
    before = nn.get_num_threads()
    try:
        for threads in (1, 2, 3):
            nn.set_num_threads(threads)
            layers = [nn.Dense(130), nn.BatchNorm(), nn.ReLU(), nn.WeightNorm(nn.Dense(96)), nn.LayerNorm(), nn.Tanh(),
                      nn.BatchRenorm(momentum=0.3), nn.GroupNorm(3), nn.Dense(5)]  # fmt: skip
            model = nn.Sequential(layers, input_shape=40, dtype=dtype)
            trainer = nn.Trainer(model, "softmax_cross_entropy", nn.Adam(lr=0.01))
            trainer.fit(X, y, epochs=2, batch_size=166, last_batch="merge", verbose=0)
            trainer.update_batch_statistics(X, batch_size=100)
            results.append((model.parameters.tobytes(), model.state.tobytes(), model.forward(X, training=True).tobytes()))
    finally:
        nn.set_num_threads(before)
    assert trainer._program.__self__ is trainer
    assert results[0] == results[1] == results[2]


# --- batch renormalization


def test_batch_renorm_against_its_formulas(rng: np.random.Generator) -> None:
    """A whole training, r and d from schedules, against NumPy."""
    r_max, d_max = nn.schedules.Polynomial(1.0, 6, 3.0), nn.schedules.Polynomial(0.0, 6, 1.0)
    layer = nn.BatchRenorm(r_max=r_max, d_max=d_max, momentum=0.3)
    model = nn.Sequential([layer], input_shape=4, dtype="float64")
    X, target = rng.normal(1, 3, (48, 4)), rng.standard_normal((48, 4))
    nn.Trainer(model, "squared_error", nn.SGD(lr=0.05)).fit(X, target, epochs=2, batch_size=8, shuffle=False, verbose=0)
    weight, bias, mean, variance = np.ones(4), np.zeros(4), np.zeros(4), np.ones(4)
    seen = set()
    for step in range(12):
        x, d = (a[8 * (step % 6) : 8 * (step % 6) + 8, :, None] for a in (X, target))
        mu, var, rstd = reference.batch_norm_statistics(x, EPS)
        limits = float(r_max.values(step, 1)[0]), float(d_max.values(step, 1)[0])
        r, shift = reference.batch_renorm_statistics(mu, rstd, mean, variance, *limits, EPS)
        seen |= set(np.isin(r, [limits[0], 1 / limits[0]]).tolist())
        dy = (reference.batch_norm_forward(x, mu, rstd, weight, bias, r, shift) - d) / 8
        dweight, dbias = reference.batch_norm_backward_statistics(dy, x, mu, rstd, r, shift)
        weight, bias = weight - 0.05 * dweight, bias - 0.05 * dbias
        mean = reference.batch_norm_track(mean, mu, 0.3, step + 1)
        variance = reference.batch_renorm_track(variance, var * 8 / 7, 0.3, step + 1, EPS)
    assert seen == {True, False}  # within the limits and at them
    for got, want in ((layer.weight, weight), (layer.bias, bias), (layer.running_mean, mean), (layer.running_var, variance)):
        np.testing.assert_allclose(got, want, rtol=1e-11, atol=1e-12)


@pytest.mark.filterwarnings("ignore")  # TensorFlow's own
def test_batch_renorm_against_keras(rng: np.random.Generator, keras: Any) -> None:
    """Keras 2 has the layer: outputs, gradients and running averages of several steps, some at the limits."""
    import tensorflow as tf

    rows, channels, eps, limits = 16, 5, 1e-3, {"rmin": 1 / 1.3, "rmax": 1.3, "dmax": 0.5}
    theirs = keras.layers.BatchNormalization(  # 0.75: float32, in which Keras computes 1 - it, holds that
        epsilon=eps, renorm=True, renorm_momentum=0.75, dtype="float64",
        renorm_clipping={name: tf.constant(value, tf.float64) for name, value in limits.items()},
    )  # fmt: skip
    theirs.build((None, channels))
    theirs.epsilon = tf.constant(eps, tf.float64)
    layer = nn.BatchRenorm(r_max=1.3, d_max=0.5, momentum=0.25, eps=eps, unbiased_running_var=False)
    model = nn.Sequential([layer], input_shape=channels, dtype="float64")
    layer.weight, layer.bias = rng.uniform(0.5, 1.5, channels), rng.standard_normal(channels)
    theirs.gamma.assign(layer.weight)
    theirs.beta.assign(layer.bias)
    theirs.renorm_stddev.assign(np.sqrt(layer.running_var + eps))  # or Keras starts without eps
    trainer = nn.Trainer(model, "squared_error", nn.SGD(lr=1e-300))  # which does not move
    for _ in range(8):
        x, target = rng.normal(0.5, 2, (rows, channels)), rng.standard_normal((rows, channels))
        with tf.GradientTape() as tape:
            given = tf.constant(x)
            tape.watch(given)
            y = theirs(given, training=True)
            loss = tf.reduce_mean(tf.reduce_sum(0.5 * (y - target) ** 2, axis=1))
        dx, dweight, dbias = (part.numpy() for part in tape.gradient(loss, [given, theirs.gamma, theirs.beta]))
        np.testing.assert_allclose(model.forward(x, training=True), y.numpy(), rtol=1e-12, atol=1e-12)
        deltas = model.deltas(x, target, "squared_error")
        np.testing.assert_allclose(layer.weight_grad, dweight, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(layer.bias_grad, dbias, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(deltas["input"], dx, rtol=1e-12, atol=1e-12)
        trainer.fit(x, target, batch_size=rows, verbose=0)
        np.testing.assert_allclose(layer.running_mean, theirs.renorm_mean.numpy(), rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(np.sqrt(layer.running_var + eps), theirs.renorm_stddev.numpy(), rtol=1e-12)


def test_batch_renorm_backward(rng: np.random.Generator) -> None:
    layer = nn.BatchRenorm()
    model = nn.Sequential([layer], input_shape=4, dtype="float64")
    model.parameters[...] = rng.standard_normal(8)
    model.state[...] = rng.uniform(0.5, 2, model.state.size)
    X, r_up = data(9, (4,), "float64", rng)
    x, dy = X[:, :, None], r_up[:, :, None]
    mu, _, rstd = reference.batch_norm_statistics(x, EPS)
    r, d = reference.batch_renorm_statistics(mu, rstd, layer.running_mean, layer.running_var, 3, 5, EPS)
    dx, dtheta = gradients(model, X, r_up)
    np.testing.assert_allclose(
        dx, reference.batch_norm_backward(dy, x, mu, rstd, layer.weight, r)[:, :, 0], rtol=1e-11, atol=1e-12
    )
    np.testing.assert_allclose(
        dtheta, np.concatenate(reference.batch_norm_backward_statistics(dy, x, mu, rstd, r, d)), rtol=1e-11
    )


def test_batch_renorm_between_its_extremes(rng: np.random.Generator) -> None:
    """r_max = 1, d_max = 0 is batch norm; without limits training and inference agree."""
    X = rng.normal(2, 3, (24, 3))
    plain = nn.Sequential([nn.BatchNorm()], input_shape=3, dtype="float64")
    tied = nn.Sequential([nn.BatchRenorm(r_max=1, d_max=0)], input_shape=3, dtype="float64")
    free = nn.Sequential([nn.BatchRenorm(r_max=1e9, d_max=1e9)], input_shape=3, dtype="float64")
    assert np.array_equal(plain.forward(X, training=True), tied.forward(X, training=True))
    free.state[...] = rng.uniform(0.5, 2, free.state.size)
    np.testing.assert_allclose(free.forward(X, training=True), free.forward(X), rtol=1e-11, atol=1e-11)


def test_a_schedule_below_its_limit_is_refused(rng: np.random.Generator) -> None:
    layer = nn.BatchRenorm(r_max=nn.schedules.Polynomial(0.5, 4, 3.0))
    model = nn.Sequential([layer, nn.Dense(1)], input_shape=3)
    before = model.parameters.copy()
    with pytest.raises(ValueError, match="r_max must be at least 1, got"):
        nn.Trainer(model, "squared_error").fit(rng.standard_normal((64, 3)), np.zeros(64), batch_size=8, verbose=0)
    assert np.array_equal(model.parameters, before)


# --- the last batch


def test_a_last_batch_of_one_row_is_refused_or_merged(rng: np.random.Generator) -> None:
    X, y = rng.standard_normal((17, 3)), rng.standard_normal((17, 1))
    model, _ = normalized(rng)
    trainer = nn.Trainer(model, "squared_error")
    before = model.parameters.copy(), model.state.copy()
    with pytest.raises(ValueError, match="17 rows in batches of 8 has 1; last_batch='merge' joins it"):
        trainer.fit(X, y, batch_size=8, verbose=0)
    with pytest.raises(ValueError, match="last_batch must be one of 'keep', 'merge', 'drop', got 'split'"):
        trainer.fit(X, y, last_batch="split", verbose=0)
    with pytest.raises(ValueError, match="at least 2 rows: the batch has 1"):
        trainer.partial_fit(X[:1], y[:1])
    with pytest.raises(ValueError, match=r"at least 2 rows: .* has 1"):
        trainer.fit(X, y, batch_size=1, last_batch="merge", verbose=0)
    assert np.array_equal(model.parameters, before[0])
    assert np.array_equal(model.state, before[1])
    trainer.fit(X, y, batch_size=8, last_batch="merge", verbose=0)
    assert trainer.optimizer.step_count == 2
    trainer.fit(X, y, batch_size=8, last_batch="drop", verbose=0)
    assert trainer.optimizer.step_count == 4


def test_a_merged_batch_is_the_same_step(rng: np.random.Generator) -> None:
    """17 rows in batches of 8: steps on rows 0–7 and 8–16."""
    X, y = rng.standard_normal((17, 3)), rng.standard_normal((17, 1))
    (merged, _), (apart, _) = normalized(rng), normalized(rng)
    trainer = nn.Trainer(merged, "squared_error", nn.SGD(lr=0.1))
    history = trainer.fit(X, y, epochs=3, batch_size=8, last_batch="merge", shuffle=False, verbose=0)
    other = nn.Trainer(apart, "squared_error", nn.SGD(lr=0.1))
    for epoch in range(3):
        losses = [other.partial_fit(X[rows], y[rows])["running_loss"] for rows in (slice(0, 8), slice(8, 17))]
        assert history["running_loss"][epoch] == pytest.approx((8 * losses[0] + 9 * losses[1]) / 17, rel=1e-13)
    np.testing.assert_allclose(merged.parameters, apart.parameters, rtol=1e-13)
    np.testing.assert_allclose(merged.state, apart.state, rtol=1e-13)


# --- files, copies, the best epoch


def every_layer() -> nn.Sequential:
    layers = [nn.Dense(6), nn.BatchNorm(momentum=None, units=[0, 2]), nn.ReLU(), nn.WeightNorm(nn.Dense(6, bias=False)),
              nn.BatchRenorm(r_max=nn.schedules.Polynomial(1.0, 50, 3.0)), nn.LayerNorm(eps=1e-3), nn.RMSNorm(),
              nn.GroupNorm(3), nn.Dense(2)]  # fmt: skip
    return nn.Sequential(layers, input_shape=4, seed=2)


def test_saving_copying_resuming(tmp_path: Path, rng: np.random.Generator) -> None:
    X, y = rng.standard_normal((40, 4)), rng.standard_normal((40, 2))
    model = every_layer()
    trainer = nn.Trainer(model, "squared_error", nn.Adam(lr=0.01))
    trainer.fit(X, y, epochs=2, batch_size=8, verbose=0)
    model.save(tmp_path / "model")
    trainer.save(tmp_path / "trainer")
    loaded = nn.load(tmp_path / "model")
    for other in (loaded, model.copy()):
        assert np.array_equal(other.state, model.state)
        assert other.predict(X).tobytes() == model.predict(X).tobytes()
    assert repr(loaded.layers[1]) == repr(model.layers[1])
    resumed = every_layer()
    again = nn.Trainer(resumed, "squared_error", nn.Adam(lr=0.01))
    again.restore(tmp_path / "trainer")
    for each in (trainer, again):
        each.fit(X, y, epochs=2, batch_size=8, verbose=0)
    assert resumed.parameters.tobytes() == model.parameters.tobytes()
    assert resumed.state.tobytes() == model.state.tobytes()


def test_instance_norm_is_saved(tmp_path: Path, rng: np.random.Generator) -> None:
    model = nn.Sequential([nn.InstanceNorm(affine=True, eps=1e-3)], input_shape=(3, 4))
    model.parameters[...] = rng.standard_normal(6)
    model.save(tmp_path / "model")
    X = rng.standard_normal((5, 3, 4))
    assert np.array_equal(nn.load(tmp_path / "model").predict(X), model.predict(X))


def test_the_best_epoch_restores_its_statistics(rng: np.random.Generator) -> None:
    model, _ = normalized(rng)
    X, y = rng.normal(2, 3, (24, 3)), rng.standard_normal((24, 1))
    states = []
    keep = nn.LambdaCallback(on_epoch_end=lambda trainer, epoch, row: states.append(trainer.model.state.copy()))
    stop = nn.EarlyStopping(monitor="loss", patience=100)
    history = nn.Trainer(model, "squared_error", nn.SGD(lr=0.3)).fit(
        X, y, epochs=6, batch_size=8, exact_loss=True, callbacks=[keep, stop], verbose=0
    )
    assert np.array_equal(model.state, states[int(np.argmin(history["loss"]))])


def test_initialize_resets_statistics(rng: np.random.Generator) -> None:
    model, layer = normalized(rng)
    nn.Trainer(model, "squared_error").fit(rng.normal(2, 3, (24, 3)), np.zeros(24), verbose=0)
    model.initialize()
    assert np.array_equal(layer.running_mean, np.zeros(3))
    assert np.array_equal(layer.running_var, np.ones(3))


def test_penalties_do_not_affect_norms() -> None:
    for layer in every_layer().layers:
        regularized = {name for name, parameter in layer.parameters.items() if parameter.regularized}
        assert regularized == ({"weight"} if isinstance(layer, nn.Dense) else set())


def test_divergence_leaves_finite_statistics(rng: np.random.Generator) -> None:
    model = nn.Sequential([nn.Dense(4), nn.BatchNorm(), nn.Dense(1)], input_shape=3)
    with pytest.raises(nn.DivergenceError):
        nn.Trainer(model, "mean_squared_error", nn.SGD(lr=1e30)).fit(
            rng.standard_normal((64, 3)), rng.standard_normal(64), epochs=20, verbose=0
        )
    assert np.isfinite(model.state).all()
    assert np.isfinite(model.parameters).all()


@pytest.mark.parametrize("momentum", [0.1, 1.0, None])
@pytest.mark.parametrize("layer", [nn.BatchNorm, nn.BatchRenorm])
def test_a_variance_that_float32_cannot_hold(
    layer: type[nn.BatchNorm], momentum: float | None, rng: np.random.Generator
) -> None:
    """The batch is normalized well, but the running variance, which inference needs, would not be that of the data."""
    X, y = 1e20 * rng.standard_normal((64, 3)), rng.standard_normal(64)
    for dtype in ("float32", "float64"):
        model = nn.Sequential([layer(momentum=momentum), nn.Dense(1)], input_shape=3, dtype=dtype)
        trainer = nn.Trainer(model, "mean_squared_error", nn.SGD(lr=0.01))
        before = model.state.copy()
        if dtype == "float64":
            trainer.fit(X, y, batch_size=32, verbose=0)
            assert (model.layers[0].running_var > 1e38).all()
            continue
        with pytest.raises(nn.DivergenceError, match=r"a variance of the batch in layer batch_.* is too large for float32"):
            trainer.fit(X, y, batch_size=32, verbose=0)
        assert np.array_equal(model.state, before)
        with pytest.raises(nn.DivergenceError, match="too large for float32"):
            trainer.partial_fit(X, y)


def test_a_variance_that_float32_cannot_hold_without_running_averages(rng: np.random.Generator) -> None:
    X, y = 1e20 * rng.standard_normal((64, 3)), rng.standard_normal(64)
    model = nn.Sequential([nn.BatchNorm(track_running_stats=False), nn.Dense(1)], input_shape=3)
    nn.Trainer(model, "mean_squared_error", nn.SGD(lr=0.01)).fit(X, y, batch_size=32, verbose=0)
    wide = nn.Sequential([nn.BatchNorm(units=[0]), nn.Dense(1, weight_init="zeros")], input_shape=3)
    X[:, 0] /= 1e20
    nn.Trainer(wide, "mean_squared_error", nn.SGD(lr=1e-45)).fit(X, 0 * y, batch_size=32, verbose=0)


@pytest.mark.parametrize("size", [8, 20, 64, 132])
@pytest.mark.parametrize("layer", [nn.LayerNorm, nn.RMSNorm, lambda: nn.GroupNorm(2)])
def test_rows_whose_squares_float32_cannot_hold(layer: Callable[[], nn.Layer], size: int, rng: np.random.Generator) -> None:
    """A row of any width is normalized, with its gradient, as one 1e18 times smaller: ε is small beside both."""
    X = rng.standard_normal((9, size)).astype(np.float32)
    small, large = (nn.Sequential([layer()], input_shape=size) for _ in range(2))
    scale = np.float32(2.0**67)  # 1.5e20
    np.testing.assert_allclose(large.predict(scale * X), small.predict(2.0**7 * X), rtol=1e-5, atol=1e-6)
    y = rng.standard_normal((9, size))
    got = large.deltas(scale * X, y, "squared_error")["input"]
    expected = small.deltas(2.0**7 * X, y, "squared_error")["input"]
    np.testing.assert_allclose(got * 2.0**60, expected, rtol=1e-4, atol=1e-6 * np.abs(expected).max())


# --- invalid arguments


@pytest.mark.parametrize(
    ("layer", "shape", "message"),
    [
        (lambda: nn.GroupNorm(3), 4, "groups must divide the number of channels, 4, got 3"),
        (lambda: nn.GroupNorm(1), (2, 3, 4), r"group_norm_1: its input shape must be \(channels,\) or \(channels, length\)"),
        (lambda: nn.InstanceNorm(), 4, r"instance_norm_1: its input shape must be \(channels, length\), got \(4,\)"),
        (lambda: nn.InstanceNorm(), (4, 1), "at least two numbers to take the mean"),
        (lambda: nn.BatchNorm(), (2, 3, 4), r"batch_norm_1: its input shape must be .*got \(2, 3, 4\)"),
        (lambda: nn.BatchNorm(units=[0, 4]), 4, "units must be channels from 0 to 3, got 4"),
        (lambda: nn.BatchNorm(units=[1, 1]), 4, "units must be different channel numbers"),
        (lambda: nn.BatchNorm(units=[]), 4, "units must be different channel numbers, at least one"),
        (lambda: nn.BatchNorm(momentum=0), 4, "momentum must be None or a number in"),
        (lambda: nn.BatchNorm(momentum=1.5), 4, "momentum must be None or a number in"),
        (lambda: nn.BatchNorm(eps=0.0), 4, "eps must be a positive number"),
        (lambda: nn.BatchNorm(frozen=True, track_running_stats=False), 4, "frozen=True needs running averages"),
        (lambda: nn.BatchRenorm(r_max=0.5), 4, "r_max must be a finite number of at least 1"),
        (lambda: nn.BatchRenorm(d_max=-1), 4, "d_max must be a finite number of at least 0"),
        (lambda: nn.LayerNorm(eps=-1.0), 4, "eps must be a positive number"),
        (lambda: nn.GroupNorm(0), 4, "groups must be a positive integer"),
    ],
)
def test_bad_layers(layer: Callable[[], nn.Layer], shape: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        nn.Sequential([layer()], input_shape=shape)
