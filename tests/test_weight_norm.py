"""Weight normalization: its twin, PyTorch, and initialization from data."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.normalization import gradients, upstream

import nncore as nn
from nncore import reference
from nncore.losses import PythonLoss


def test_weight_norm_against_pytorch(rng: np.random.Generator, torch: Any) -> None:
    model = nn.Sequential([nn.WeightNorm(nn.Dense(37))], input_shape=21, dtype="float64")
    model.parameters[...] = rng.standard_normal(model.parameters.size)
    layer = model.layers[0]
    X, r = rng.standard_normal((9, 21)), rng.standard_normal((9, 37))
    other = torch.nn.utils.parametrizations.weight_norm(torch.nn.Linear(21, 37).double())
    other.bias.data = torch.tensor(layer.bias.copy())
    original = other.parametrizations.weight
    original.original0.data, original.original1.data = (
        torch.tensor(a.copy()) for a in (layer.length[:, None], layer.direction)
    )
    (other(torch.tensor(X)) * torch.tensor(r)).sum().backward()
    model.loss_and_gradient(X, r, PythonLoss(upstream))
    np.testing.assert_allclose(model.forward(X), other(torch.tensor(X)).detach().numpy(), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(9 * layer.direction_grad, original.original1.grad.numpy(), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(9 * layer.length_grad, original.original0.grad.numpy().ravel(), rtol=1e-12, atol=1e-12)


def test_weight_norm_twin(rng: np.random.Generator) -> None:
    model = nn.Sequential([nn.WeightNorm(nn.Dense(33))], input_shape=70, dtype="float64")
    model.parameters[...] = rng.standard_normal(model.parameters.size)
    layer = model.layers[0]
    W = reference.weight_norm_weight(layer.direction, layer.length)
    X, r = rng.standard_normal((9, 70)), rng.standard_normal((9, 33))
    np.testing.assert_allclose(layer.weight, W, rtol=1e-13)
    np.testing.assert_allclose(model.forward(X), X @ W.T + layer.bias, rtol=1e-12, atol=1e-12)
    dv, dg = reference.weight_norm_backward(r.T @ X, layer.direction, layer.length)
    dx, _ = gradients(model, X, r)
    np.testing.assert_allclose(dx, r @ W, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(9 * layer.direction_grad, dv, rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(9 * layer.length_grad, dg, rtol=1e-11, atol=1e-12)


def test_weight_norm_starts_as_the_dense_layer() -> None:
    plain = nn.Sequential([nn.Dense(5)], input_shape=3, dtype="float64", seed=4)
    model = nn.Sequential([nn.WeightNorm(nn.Dense(5))], input_shape=3, dtype="float64", seed=4)
    np.testing.assert_allclose(model.layers[0].weight, plain.layers[0].weight, rtol=1e-14)


def test_weight_norm_from_data(rng: np.random.Generator) -> None:
    X = rng.normal(3, 5, (200, 6))
    model = nn.Sequential([nn.WeightNorm(nn.Dense(8)), nn.Tanh(), nn.WeightNorm(nn.Dense(2))], input_shape=6, dtype="float64")
    for name in ("weight_norm_1", "weight_norm_2"):
        model[name].initialize_from_data(X)
        z = model.activations(X)[name]
        np.testing.assert_allclose(z.mean(axis=0), 0, atol=1e-12)
        np.testing.assert_allclose(z.std(axis=0), 1, rtol=1e-12)
    with pytest.raises(ValueError, match="make every output of weight_norm_1 vary, but output 0 is constant"):
        model["weight_norm_1"].initialize_from_data(np.ones((4, 6)))


def test_weight_norm_without_weights() -> None:
    with pytest.raises(TypeError, match=r"layer must be a Dense layer, whose weights are normalized, got ReLU"):
        nn.WeightNorm(nn.ReLU())  # type: ignore[arg-type]


@pytest.mark.parametrize("scale", [1e-30, 1e25])
def test_the_scale_of_float32_directions_changes_neither_weight_nor_export(
    scale: float, rng: np.random.Generator, tmp_path: Path
) -> None:
    """Their squares are beyond float32. W = g v/‖v‖ does not see the scale of v."""
    model = nn.Sequential([nn.WeightNorm(nn.Dense(3))], input_shape=4)
    layer, X = model.layers[0], rng.standard_normal((5, 4)).astype(np.float32)
    v, g = layer.direction.astype(np.float64), layer.length.astype(np.float64)
    expected = g[:, None] * v / np.sqrt((v**2).sum(axis=1))[:, None]
    layer.direction[...] *= scale
    np.testing.assert_allclose(layer.weight, expected, rtol=1e-6)
    assert layer.weight.dtype == np.float32
    np.testing.assert_allclose(model.predict(X), X @ expected.T + layer.bias, rtol=1e-5, atol=1e-6)
    model.export(tmp_path / "net.py")
    exported = runpy.run_path(str(tmp_path / "net.py"))["predict"](X)
    np.testing.assert_allclose(exported, model.predict(X), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("scale", [1e-30, 1e25])
def test_the_first_length_is_that_of_the_direction_at_any_scale(scale: float) -> None:
    model = nn.Sequential([nn.WeightNorm(nn.Dense(3, weight_init=nn.initializers.Constant(scale)))], input_shape=4)
    np.testing.assert_allclose(model.layers[0].length, 2 * scale, rtol=1e-6)
