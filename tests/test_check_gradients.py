"""``check_gradients`` where losses are not finite, at exact minima, at kinks, and with wrong gradients."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import nncore as nn

X = np.random.default_rng(0).normal(size=(20, 2))


def network(dtype: str = "float64", activation: Any = nn.Tanh, seed: int = 0) -> nn.Sequential:
    return nn.Sequential([nn.Dense(3), activation(), nn.Dense(1)], input_shape=2, dtype=dtype, seed=seed)


def test_an_infinite_loss_is_refused() -> None:
    model = nn.Sequential([nn.Dense(1), nn.Sigmoid()], input_shape=1, dtype="float64")
    model.parameters[...] = 1, 0  # sigmoid(50) rounds to 1
    with pytest.raises(ValueError, match=r"the loss must be finite .* got inf at the model's parameters"):
        model.check_gradients(np.array([[50.0], [1.0]]), np.array([0.0, 1.0]), "binary_cross_entropy")


def test_a_loss_of_nan_is_refused() -> None:
    with pytest.raises(ValueError, match=r"the loss must be finite .* got nan"):
        network().check_gradients(X, np.zeros(20), lambda y, d: (np.full(len(y), np.nan), np.full_like(y, 1e6)))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_non_finite_gradient_has_an_infinite_error(bad: float) -> None:
    errors = network().check_gradients(X, np.zeros(20), lambda y, d: (y[:, 0] ** 2, np.full_like(y, bad)))
    assert set(errors.values()) == {np.inf}


def test_a_loss_that_is_undefined_near_the_parameters_is_refused() -> None:
    """log y, with y within a step of the difference from 0."""
    model = nn.Sequential([nn.Dense(1)], input_shape=1, dtype="float64")
    model.parameters[...] = 1e-6, 0

    def log(y: Any, d: Any) -> Any:
        return np.log(y)[:, 0], 1 / y

    with (
        np.errstate(invalid="ignore"),
        pytest.raises(ValueError, match=r"got nan with dense_1.weight, number 0, changed from 1e-06"),
    ):
        model.check_gradients(np.ones((1, 1)), np.zeros(1), log)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("loss", ["squared_error", "mean_squared_error", "huber"])
@pytest.mark.parametrize("activation", [nn.Tanh, nn.Sigmoid, nn.SiLU])
@pytest.mark.parametrize("away", [0.0, 1e-8, 1e-4, 0.7])  # Huber's second derivative jumps at 1
def test_correct_gradients_at_and_near_an_exact_minimum(dtype: str, loss: str, activation: Any, away: float) -> None:
    for seed in range(3):
        model = network(dtype, activation, seed)
        assert max(model.check_gradients(X, model.predict(X) + away, loss).values()) < 1e-6


@pytest.mark.parametrize("away", [1e-3, 1.0])
@pytest.mark.parametrize("factor", [0.0, 1.001, -1.0])
def test_the_error_of_wrong_gradients_is_their_relative_error(away: float, factor: float) -> None:
    model = network()
    errors = model.check_gradients(X, model.predict(X) + away, lambda y, d: ((y - d)[:, 0] ** 2, 2 * factor * (y - d)))
    np.testing.assert_allclose(list(errors.values()), abs(factor - 1) / (abs(factor) + 1), rtol=1e-3)


def test_a_kink_is_named() -> None:
    """All inputs of one row are 0, and so are the biases: every ReLU is at its kink."""
    rows = X.copy()
    rows[0] = 0
    model = network(activation=nn.ReLU)
    with pytest.warns(UserWarning, match=r"the loss has a kink at (dense_1.bias|input), number \d: its slope is") as found:
        errors = model.check_gradients(rows, np.ones(20), "squared_error")
    assert len(found) == 2  # one for each array: dense_1.bias and the input
    assert errors["dense_1.bias"] > 1e-3
    assert errors["dense_2.weight"] < 1e-6


@pytest.mark.parametrize("activation", [nn.ReLU, nn.Tanh])
def test_no_kink_where_gradients_are_wrong_but_smooth(activation: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        errors = network(activation=activation).check_gradients(X, np.ones(20), lambda y, d: ((y - d)[:, 0] ** 2, y - d))
    assert min(errors.values()) > 0.3


@pytest.mark.parametrize("samples", [-1, 0, 2.5, True])
def test_samples_must_be_positive(samples: Any) -> None:
    with pytest.raises((ValueError, TypeError), match="samples must be a positive integer"):
        network().check_gradients(X, np.zeros(20), "squared_error", samples=samples)


@pytest.mark.parametrize("scale", [1e-300, 1e-200, 1e-155, 1.0, 1e155, 1e200, 1e300])
def test_the_error_does_not_depend_on_the_scale_of_the_loss(scale: float) -> None:
    """Squares of differences overflow or become 0; 5 times the gradient is wrong by 4/6 at any scale."""
    for factor, error in ((5.0, 2 / 3), (1.0, 0.0)):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            errors = network().check_gradients(
                X, np.zeros(20), lambda y, d, factor=factor: (scale * y[:, 0] ** 2 / 2, factor * scale * y)
            )
        assert errors == pytest.approx(dict.fromkeys(errors, error), rel=1e-6)


def test_a_loss_whose_differences_overflow_is_refused() -> None:
    model = nn.Sequential([nn.Dense(1, bias=False, weight_init="zeros")], input_shape=1, dtype="float64")

    def steep(y: Any, d: Any) -> Any:
        return 1e308 * np.clip(y[:, 0] * 1e5, -1, 1), np.full_like(y, 1e300)

    with pytest.raises(ValueError, match=r"the loss is too large for its differences by dense_1\.weight to be finite"):
        model.check_gradients(np.full((1, 1), 1e3), np.zeros(1), steep)
