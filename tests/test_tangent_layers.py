"""The R-operator through weight normalization and a penalty on activations; and the layers that support it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from helpers import kernels, tangent
from helpers.configuration import arguments
from helpers.layers import input_shape
from numpy.typing import NDArray

import nncore as nn
from nncore import _kernels, reference
from nncore._kernels import single_ops
from nncore._kernels.program import MOST_PANEL
from nncore.layers import LAYERS, NOISE, WEIGHT_NOISE

Array = NDArray[Any]
each_isa, each_dtype = kernels.each_isa, kernels.each_dtype
assert_relative = tangent.assert_relative

# Kernels against their twins.

SIZES = [(1, 1), (1, 17), (2, 1), (3, 8), (31, 7), (32, 16), (33, 5), (64, 33), (65, 15), (130, 64)]


def tiles_of(units: int, inputs: int) -> Array:
    firsts = range(0, units, MOST_PANEL)
    return np.array([(first, min(first + MOST_PANEL, units), 0, inputs) for first in firsts], dtype=np.int64)


def run_tiles(
    name: str, outputs: list[tuple[int, ...]], arrays: tuple[Array, ...], inputs: int, isa: str | None
) -> list[Array]:
    """The outputs, the same bits on 1, 2 and 3 threads."""
    dtype, tiles = arrays[0].dtype, arrays[-1]
    sizes, results = (int(tiles[-1, 1]), inputs), []
    for threads in (1, 2, 3):
        written = [kernels.Output(shape, dtype) for shape in outputs]
        run: dict[str, Any] = {
            "dtype": dtype,
            "sizes": sizes,
            "axis": "tiles",
            "pieces": len(tiles),
            "threads": threads,
            "isa": isa,
        }
        if name == "weight_norm_tangent_weight":
            copy = np.zeros(_kernels.packed_size(*sizes), dtype)
            single_ops.run_op(name, (written[0].array, *arrays, copy), **run)
            assert np.array_equal(copy, kernels.packed(written[0].array, isa))
        else:
            single_ops.run_op(name, (*(output.array for output in written), *arrays), **run)
        for output in written:
            output.check()
        results.append([output.array for output in written])
    for other in results[1:]:
        assert all(map(kernels.same_bits, results[0], other))
    return results[0]


def weight_terms(v: Array, g: Array, tv: Array, tg: Array) -> tuple[Array, Array, Array]:
    """The sums of the absolute terms of R{w}, R{dv}, R{dg}, for dw and tdw of size 1."""
    v, tv, g, tg = np.abs(v), np.abs(tv), np.abs(g)[:, None], np.abs(tg)[:, None]
    norm = np.linalg.norm(v, axis=1, keepdims=True)
    p = (v * tv).sum(axis=1, keepdims=True) / norm**2
    a = g / norm
    ta, b = tg / norm + a * p, v.sum(axis=1, keepdims=True) / norm**2
    tb = (v + tv).sum(axis=1, keepdims=True) / norm**2 + 2 * b * p
    return a * tv + ta * v, ta * (1 + b * v) + a * (1 + tb * v + b * tv), (norm * (tb + b * p))[:, 0]


def check_weight_norm(units: int, inputs: int, dtype: str, isa: str | None, mutation: float = 1.0) -> None:
    rng = np.random.default_rng((units, inputs))
    (v, tv), (g, tg) = tangent.normal(rng, (units, inputs), 2, dtype), tangent.normal(rng, (units,), 2, dtype)
    dW, tdW = rng.uniform(-1, 1, (2, units, inputs)).astype(dtype)
    tiles = tiles_of(units, inputs)
    (tw,) = run_tiles("weight_norm_tangent_weight", [v.shape], (v, g, tv, tg, tiles), inputs, isa)
    tdv, tdg = run_tiles("weight_norm_tangent_backward", [v.shape, g.shape], (tdW, dW, v, g, tv, tg, tiles), inputs, isa)
    v, g, tv, tg, dW, tdW = kernels.doubles(v, g, tv, tg, dW, tdW)
    of_weight, of_direction, of_length = weight_terms(v, g, tv, tg)
    kernels.assert_near(
        tw, reference.weight_norm_tangent_weight(v, g, tv, tg * mutation), of_weight, f"R{{W}} {units} {inputs}"
    )
    want = reference.weight_norm_tangent_backward(tdW * mutation, dW, v, g, tv, tg)
    kernels.assert_near(tdv, want[0], of_direction, f"R{{dv}} {units} {inputs}")
    kernels.assert_near(tdg, want[1], of_length, f"R{{dg}} {units} {inputs}")


@each_isa
@each_dtype
def test_weight_norm_kernels(dtype: str, isa: str) -> None:
    for units, inputs in SIZES:
        check_weight_norm(units, inputs, dtype, isa)


@each_dtype
def test_mutant_weight_norm_kernels(dtype: str) -> None:
    kernels.differs(lambda: check_weight_norm(33, 5, dtype, None, kernels.MUTATION))


def test_weight_norm_twins_by_differences(rng: np.random.Generator) -> None:
    (v, tv), (g, tg) = tangent.normal(rng, (5, 7), 2, "float64"), tangent.normal(rng, (5,), 2, "float64")
    dW, tdW = tangent.normal(rng, (5, 7), 2, "float64")
    near: dict[str, float] = {"rtol": 1e-6, "atol": 1e-8}
    want = tangent.derivative(reference.weight_norm_weight, (v, g), (tv, tg))
    np.testing.assert_allclose(reference.weight_norm_tangent_weight(v, g, tv, tg), want, **near)
    for i, got in enumerate(reference.weight_norm_tangent_backward(tdW, dW, v, g, tv, tg)):
        want = tangent.derivative(lambda *a, i=i: reference.weight_norm_backward(*a)[i], (dW, v, g), (tdW, tv, tg))
        np.testing.assert_allclose(got, want, **near)


# Products of whole networks.

ROWS = 12
NETS: dict[str, Callable[[], list[nn.Layer]]] = {
    "weight norm": lambda: [nn.WeightNorm(nn.Dense(8)), nn.Tanh(), nn.WeightNorm(nn.Dense(40)), nn.SiLU(), nn.Dense(3)],
    "weight norm last": lambda: [nn.Dense(5), nn.GELU(), nn.WeightNorm(nn.Dense(3, bias=False))],
    "activity": lambda: [nn.ActivityL1(0.1), nn.Dense(6), nn.ActivityL1(0.3), nn.Tanh(), nn.Dense(3), nn.ActivityL1(0.2)],
    "scale": lambda: [nn.Scale(), nn.Dense(6), nn.Tanh(), nn.Scale(), nn.Dense(3), nn.Scale()],
    "both": lambda: [nn.WeightNorm(nn.Dense(9)), nn.LayerNorm(), nn.ActivityL1(0.3), nn.Tanh(), nn.WeightNorm(nn.Dense(3))],
}
each_net = pytest.mark.parametrize("name", NETS)


def problem(name: str, rng: np.random.Generator, rows: int = ROWS) -> tuple[nn.Sequential, Array, Array]:
    model = nn.Sequential(NETS[name](), input_shape=4, dtype="float64")
    model.parameters[...] = rng.normal(0, 0.7, model.parameters.size)
    return model, rng.standard_normal((rows, 4)), rng.standard_normal((rows, 3))


@each_net
def test_products_by_differences(name: str, rng: np.random.Generator) -> None:
    model, X, y = problem(name, rng)
    tangent.check_products(model, X, y, rng)


@each_net
def test_symmetric_and_linear(name: str, rng: np.random.Generator) -> None:
    model, X, y = problem(name, rng)
    tangent.check_symmetric_and_linear(model, X, y, rng)


@each_net
def test_products_against_torch(name: str, rng: np.random.Generator, torch: Any) -> None:
    F = torch.nn.functional
    model, X, y = problem(name, rng, rows=30)
    y, v = rng.integers(0, 3, 30), rng.standard_normal(model.parameters.size)
    tX, ty, theta = torch.tensor(X), torch.tensor(y), torch.tensor(model.parameters.copy())
    activations = {nn.Tanh: torch.tanh, nn.SiLU: F.silu, nn.GELU: F.gelu}

    def outputs(theta: Any) -> tuple[Any, Any]:
        h, penalty = tX, 0.0
        for layer in model.layers:
            own = {parameter: theta[p.offset : p.offset + p.size].reshape(p.shape) for parameter, p in layer.parameters.items()}
            if isinstance(layer, nn.WeightNorm):
                direction = own["direction"]
                own["weight"] = own["length"][:, None] * direction / direction.norm(dim=1, keepdim=True)
            if isinstance(layer, nn.ActivityL1):
                penalty = penalty + layer.strength * h.abs().sum(1).mean()
            elif isinstance(layer, nn.LayerNorm):
                h = F.layer_norm(h, h.shape[1:], own["weight"], own["bias"], 1e-5)
            elif isinstance(layer, nn.Scale):
                h = h * own["weight"]
            elif type(layer) in activations:
                h = activations[type(layer)](h)
            else:
                h = F.linear(h, own["weight"], own.get("bias"))
        return h, penalty

    def loss(theta: Any) -> Any:
        z, penalty = outputs(theta)
        return F.cross_entropy(z, ty) + penalty

    _, want = torch.func.jvp(torch.func.grad(loss), (theta,), (torch.tensor(v),))
    assert_relative(model.hessian_vector_product(X, y, "softmax_cross_entropy", v), want.numpy(), 1e-10)
    z, tz = torch.func.jvp(lambda theta: outputs(theta)[0], (theta,), (torch.tensor(v),))
    assert_relative(model.jacobian_product(X, v), tz.detach().numpy().ravel(), 1e-10)
    _, curved = torch.func.jvp(torch.func.grad(lambda z: F.cross_entropy(z, ty)), (z,), (tz,))
    (want,) = torch.func.vjp(lambda theta: outputs(theta)[0], theta)[1](curved)
    assert_relative(model.gauss_newton_product(X, y, "softmax_cross_entropy", v), want.numpy(), 1e-10)


def test_the_length_of_a_direction_does_not_matter(rng: np.random.Generator) -> None:
    """l does not depend on ‖v‖: along v the gradient is 0, and R of that says H v = −∂l/∂v."""
    model = nn.Sequential([nn.WeightNorm(nn.Dense(5)), nn.Tanh(), nn.Dense(3)], input_shape=4, dtype="float64")
    X, y = rng.standard_normal((20, 4)), rng.integers(0, 3, 20)
    _, gradient = model.loss_and_gradient(X, y, "softmax_cross_entropy")
    for unit in range(5):
        own = slice(4 * unit, 4 * unit + 4)
        v, g = np.zeros((2, model.parameters.size))
        v[own], g[own] = model.parameters[own], gradient[own]
        assert_relative(model.hessian_vector_product(X, y, "softmax_cross_entropy", v), -g, 1e-12)


@each_dtype
def test_same_bits_on_any_number_of_threads(dtype: str, rng: np.random.Generator) -> None:
    layers = [nn.WeightNorm(nn.Dense(70)), nn.Tanh(), nn.ActivityL1(0.1), nn.WeightNorm(nn.Dense(66)), nn.SiLU(), nn.Dense(3)]
    model = nn.Sequential(layers, input_shape=90, dtype=dtype, seed=0)
    X, y = rng.standard_normal((300, 90)), rng.integers(0, 3, 300)
    V, U = rng.standard_normal((2, model.parameters.size)), rng.standard_normal((2, 900))
    tangent.check_threads(model, X, y, V, U)


@each_isa
def test_every_instruction_set(isa: str, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    model, X, y = problem("both", rng)
    v = rng.standard_normal(model.parameters.size)
    want = model.hessian_vector_product(X, y, "squared_error", v)
    monkeypatch.setattr(_kernels, "isa_name", isa)
    model._recordings.clear()
    assert_relative(model.hessian_vector_product(X, y, "squared_error", v), want, 1e-13)


SECOND_ORDER = [nn.second_order.AdaptiveDampedNewton, nn.second_order.TruncatedNewton, nn.second_order.LevenbergMarquardt]


@pytest.mark.parametrize("optimizer", SECOND_ORDER)
def test_second_order_training(optimizer: Callable[[], Any], rng: np.random.Generator) -> None:
    """A student initialized near its teacher converges in a few steps, unlike with first-order methods."""
    layers = [nn.WeightNorm(nn.Dense(3)), nn.Tanh(), nn.WeightNorm(nn.Dense(2))]
    model, X = nn.Sequential(layers, input_shape=3, dtype="float64", seed=1), rng.standard_normal((60, 3))
    y = model.predict(X)
    model.parameters[...] += 0.1 * rng.standard_normal(model.parameters.size)
    history = nn.Trainer(model, "squared_error", optimizer()).fit(X, y, epochs=15, batch_size=60, verbose=0)
    assert history["loss"][-1] < 1e-12 * history["loss"][0]


# Which layers have products.

RANDOM = {"batch_renorm", *NOISE, *WEIGHT_NOISE}


def check_layer(layer: nn.Layer, shape: tuple[int, ...], rng: np.random.Generator) -> None:
    before = nn.InstanceNorm(affine=True) if len(shape) == 2 else nn.Dense(4)
    layers = [layer, nn.Dense(2)] if layer.reads_sparse else [before, layer, nn.Dense(2)]
    if isinstance(layer, nn.Masking):
        layers = [layer, nn.GRU(3), nn.Dense(2)]
    model = nn.Sequential(layers, input_shape=shape, dtype="float64")
    X, y = rng.standard_normal((6, *shape)), rng.standard_normal((6, 2))
    if isinstance(layer, nn.Masking):
        X[:3, -1] = layer.value
    v = rng.standard_normal(model.parameters.size)
    got = model.hessian_vector_product(X, y, "squared_error", v)
    want = tangent.differences(model, lambda: model.loss_and_gradient(X, y, "squared_error")[1], v)
    assert_relative(got, want, tangent.DIFFERENCES)


@pytest.mark.parametrize("name", LAYERS)
def test_every_layer_has_products_unless_it_is_random(name: str, rng: np.random.Generator) -> None:
    layer = LAYERS[name](**arguments(LAYERS[name]))
    shape = input_shape(LAYERS[name])
    if name in RANDOM:
        reason = "it emits no tangents" if name == "batch_renorm" else "its random numbers are drawn anew in each pass"
        with pytest.raises(TypeError, match=rf"\({type(layer).__name__}\) cannot be differentiated .*: {reason}"):
            check_layer(layer, shape, rng)
    else:
        check_layer(layer, shape, rng)


@pytest.mark.parametrize("name", NOISE)
def test_random_layers_before_the_first_parameters_have_no_products_either(name: str) -> None:
    model = nn.Sequential([LAYERS[name](**arguments(LAYERS[name])), nn.Dense(2)], input_shape=4)
    v = np.ones(model.parameters.size)
    for product in (model.hessian_vector_product, model.gauss_newton_product):
        with pytest.raises(TypeError, match=rf"\({type(model.layers[0]).__name__}\) cannot .*: its random numbers are drawn"):
            product(np.ones((3, 4)), np.ones((3, 2)), "squared_error", v)
    with pytest.raises(TypeError, match="or the Jacobian: its random numbers are drawn anew"):
        model.jacobian_product(np.ones((3, 4)), v)


@pytest.mark.parametrize("name", [*NOISE, *WEIGHT_NOISE])
def test_noise_of_strength_0_has_no_effect(name: str, rng: np.random.Generator) -> None:
    check_layer(LAYERS[name](*([2] if name in WEIGHT_NOISE else []), 0.0), (4,), rng)
    if name == "dropout":
        check_layer(nn.Dropout(0.0, scale="test"), (4,), rng)
