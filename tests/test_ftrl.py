"""FTRL-Proximal: the paper's algorithm, parameter by parameter, and what it must leave alone."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import nncore as nn
from nncore.errors import DivergenceError
from nncore.schedules import Exponential, Polynomial

Array = NDArray[Any]
each_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])


def algorithm_1(gradients: Array, alpha: float, beta: float, l1: float, l2: float) -> list[float]:
    """The weights of one coordinate before each of these gradients, and after the last: the paper's, line by line."""
    z, n, weights = 0.0, 0.0, []
    for g in [*gradients.tolist(), None]:
        sign = -1.0 if z < 0 else 1.0
        weights.append(0.0 if abs(z) <= l1 else -1 / ((beta + math.sqrt(n)) / alpha + l2) * (z - sign * l1))
        if g is not None:
            sigma = (math.sqrt(n + g * g) - math.sqrt(n)) / alpha
            z, n = z + g - sigma * weights[-1], n + g * g
    return weights


@pytest.mark.parametrize("l1", [0.0, 0.5, 20.0])
@pytest.mark.parametrize("l2", [0.0, 1.5])
def test_the_paper_s_algorithm(l1: float, l2: float) -> None:
    """From 0, as the paper starts; half of the gradients are 0, which it does not visit."""
    rng = np.random.default_rng(0)
    gradients = rng.normal(0.2, 1, (200, 30)) * (rng.random((200, 30)) < 0.5)
    theta, opt, path = np.zeros(30), nn.FTRL(lr=0.3, beta=0.7, l1=l1, l2=l2), [np.zeros(30)]
    for g in gradients:
        opt.step(theta, g)
        path.append(theta.copy())
    expected = np.array([algorithm_1(column, 0.3, 0.7, l1, l2) for column in gradients.T]).T
    np.testing.assert_allclose(path, expected, rtol=1e-11, atol=1e-14)
    assert np.array_equal(np.array(path) == 0, expected == 0)
    np.testing.assert_allclose(opt.state["n"], np.square(gradients).sum(axis=0), rtol=1e-13)
    assert (expected[150:] == 0).any() == (l1 > 0)


@each_dtype
def test_without_penalties_it_is_adagrad(dtype: str) -> None:
    """From any start, with β for ε: the same step, computed as a product with a reciprocal."""
    rng = np.random.default_rng(1)
    theta = rng.normal(size=50).astype(dtype)
    other, ftrl, adagrad = theta.copy(), nn.FTRL(lr=0.3, beta=0.7), nn.AdaGrad(lr=0.3, eps=0.7)
    for _ in range(100):
        g = rng.normal(size=50).astype(dtype)
        ftrl.step(theta, g)
        adagrad.step(other, g)
    np.testing.assert_allclose(theta, other, rtol=0, atol=300 * np.finfo(dtype).eps)
    assert np.array_equal(ftrl.state["n"], adagrad.state["r"])


@each_dtype
@pytest.mark.parametrize("start", [0.0, 1.0])
@pytest.mark.parametrize(
    "arguments", [{}, {"l1": 0.5, "l2": 0.1}, {"beta": 0.0}, {"lr": Exponential(0.5, 0.9), "l1": Polynomial(1.0, steps=3)}]
)  # fmt: skip
def test_a_gradient_of_zero_changes_nothing(arguments: dict[str, Any], start: float, dtype: str) -> None:
    """Before the first gradient, where z does not fit θ yet, and later; alone and among others."""
    rng = np.random.default_rng(2)
    theta, opt = (start * rng.normal(size=40)).astype(dtype), nn.FTRL(**arguments)
    opt.init_state(40, dtype)
    for step in range(6):
        g = rng.normal(size=40).astype(dtype)
        g[rng.random(40) < (1.0 if step in (0, 3) else 0.5)] = 0
        g[:2] = 0, -0.0
        before = [array.copy() for array in (theta, opt.state["z"], opt.state["n"])]
        opt.step(theta, g)
        for array, old in zip((theta, opt.state["z"], opt.state["n"]), before, strict=True):
            assert array[g == 0].tobytes() == old[g == 0].tobytes()
        assert (opt.state["n"] > before[2])[g != 0].all()


def test_initial_parameters_are_where_training_starts() -> None:
    """No step is longer than α, and without a gradient none is taken at all."""
    model = nn.Sequential([nn.Dense(30), nn.ReLU(), nn.Dense(1)], input_shape=20, seed=1)
    rng, start = np.random.default_rng(3), model.parameters.copy()
    X = rng.normal(size=(64, 20)).astype(np.float32)
    X[:, 5] = 0
    nn.Trainer(model, "squared_error", nn.FTRL(lr=0.01)).fit(X, X[:, :1], epochs=1, batch_size=64, verbose=0)
    assert 0 < np.abs(model.parameters - start).max() < 0.01
    assert np.array_equal(model.layers[0].weight[:, 5], start[:600].reshape(30, 20)[:, 5])


def test_a_parameter_set_to_zero_by_hand_does_not_jump_back() -> None:
    theta, opt = np.array([0.0, 0.0]), nn.FTRL(lr=0.5, beta=1.0, l1=0.25)
    opt.step(theta, np.array([-4.0, 4.0]))
    assert (theta != 0).all()
    theta[:] = 0
    opt.step(theta, np.array([-3.0, 3.0]))  # n = 25; z is cut to ∓¼: −(z + g + λ₁)/((1 + 5)/½)
    np.testing.assert_allclose(theta, [0.25, -0.25])


def test_l1_selects_the_words_that_matter() -> None:
    """Of 200 words, 5 matter: those have weights, most others are exactly 0, and a linear model without L1 has none."""
    rng = np.random.default_rng(4)
    X = (rng.random((3000, 200)) < 0.05).astype(np.float32)
    y = (X[:, :5] @ np.array([3, -3, 3, -3, 3]) + rng.normal(0, 0.1, 3000) > 0).astype(np.float32)
    weights = {}
    for l1 in (0.0, 15.0):
        model = nn.Sequential([nn.Dense(1)], input_shape=200, seed=0)
        model.layers[0].weight[...] = 0
        trainer = nn.Trainer(model, "sigmoid_cross_entropy", nn.FTRL(lr=0.5, l1=l1))
        trainer.fit(X, y, epochs=20, batch_size=16, verbose=0)
        weights[l1] = model.layers[0].weight[0].copy()
    assert (weights[0.0] != 0).all()
    assert (np.abs(weights[15.0][:5]) > 0.5).all()
    assert (weights[15.0][5:] == 0).mean() > 0.9


def test_a_learning_rate_of_zero_changes_nothing() -> None:
    model = nn.Sequential([nn.Dense(4), nn.ReLU(), nn.Dense(1)], input_shape=3, seed=1)
    X, start = np.random.default_rng(5).normal(size=(32, 3)), model.parameters.copy()
    trainer = nn.Trainer(model, "squared_error", nn.FTRL(l1=0.01), lr_factors={"dense_1": 0.0})
    trainer.fit(X, X[:, :1], epochs=2, verbose=0)
    assert np.array_equal(model.parameters[:16], start[:16])
    assert (model.parameters[16:] != start[16:]).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e-30])
def test_a_step_that_is_not_finite_is_refused(bad: float) -> None:
    """Also 1e-30: with β = n = 0 its square is 0 in float32, and so is the divisor."""
    theta, opt = np.array([0.5, 0.5], np.float32), nn.FTRL(beta=0.0, l1=0.1)
    opt.init_state(2, "float32")
    with pytest.raises(DivergenceError):
        opt.step(theta, np.array([bad, 1.0], np.float32))
    assert (theta[0], opt.state["z"][0], opt.state["n"][0], opt.step_count) == (0.5, 0, 0, 0)
    assert theta[1] != 0.5


def test_arguments() -> None:
    for name in ("lr", "beta", "l1", "l2", "initial_accumulator_value"):
        with pytest.raises(ValueError, match=f"{name} must be a finite number of at least 0, got -1"):
            nn.FTRL(**{name: -1.0})
    opt = nn.FTRL(initial_accumulator_value=0.5)
    opt.init_state(3, "float64")
    assert opt.state["n"].tolist() == [0.5] * 3
    opt.initial_accumulator_value = 0.25
    assert opt.state["n"].tolist() == [0.25] * 3
    opt.step(np.zeros(3), np.ones(3))
    with pytest.raises(ValueError, match="initial_accumulator_value is fixed once a step was taken"):
        opt.initial_accumulator_value = 1.0
