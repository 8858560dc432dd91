"""sample_weight and class_weight with full-batch optimizers: integer weights equal repeated examples."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import nncore as nn
from nncore import second_order
from nncore.losses import LOSSES
from nncore.second_order import GaussNewtonOperator, HessianOperator, LevenbergMarquardt, ModelObjective

rng = np.random.default_rng(0)
X = rng.normal(size=(30, 3))
TIMES = rng.integers(0, 4, size=30)
REPEATED = np.repeat(np.arange(30), TIMES)
FACTOR = len(REPEATED) / 30  # Σ w l / n of the weighted, Σ l / m of the repeated examples


def model(outputs: int, last: Any = None) -> nn.Sequential:
    layers = [nn.Dense(4), nn.Tanh(), nn.Dense(outputs), *([last] if last else [])]
    return nn.Sequential(layers, input_shape=3, dtype="float64", seed=0)


def problem(loss: str) -> tuple[nn.Sequential, Any]:
    """A network with outputs that the loss takes, and targets."""
    labels = rng.integers(0, 2, size=30)
    if loss == "binary_cross_entropy":
        return model(1, nn.Sigmoid()), labels
    if loss == "kl_divergence":
        return model(2, nn.Softmax()), np.eye(2)[labels]
    if loss in ("softmax_cross_entropy", "sigmoid_cross_entropy", "hinge"):
        return model(2), labels
    if loss == "poisson":
        return model(2), rng.poisson(2, (30, 2))
    return model(2), rng.normal(size=(30, 2))


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("regularizer", [None, nn.L2(0.1)], ids=["plain", "penalty"])
def test_value_gradient_and_curvature(loss: str, regularizer: Any) -> None:
    network, y = problem(loss)
    weighted = ModelObjective(network, X, y, loss, regularizer, sample_weight=TIMES)
    repeated = ModelObjective(network, X[REPEATED], y[REPEATED], loss)
    theta = network.parameters
    penalty = regularizer.value(network) if regularizer else 0.0
    slope = regularizer.gradient(network) if regularizer else 0.0
    bend = np.diag(regularizer.curvature(network)) if regularizer else 0.0
    value, gradient = repeated.value_and_gradient(theta)
    found, found_gradient = weighted.value_and_gradient(theta)
    assert found == pytest.approx(FACTOR * value + penalty, rel=1e-12)
    np.testing.assert_allclose(found_gradient, FACTOR * gradient + slope, rtol=1e-10, atol=1e-13)
    np.testing.assert_allclose(weighted.hessian(theta), FACTOR * repeated.hessian(theta) + bend, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(
        weighted.gauss_newton(theta), FACTOR * repeated.gauss_newton(theta) + bend, rtol=1e-9, atol=1e-12
    )  # fmt: skip
    v = rng.normal(size=theta.size)
    product = FACTOR * repeated.hessian_product(theta, v) + (bend @ v if regularizer else 0.0)
    np.testing.assert_allclose(weighted.hessian_product(theta, v), product, rtol=1e-9, atol=1e-12)


def test_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    network, y = problem("squared_error")
    whole = [
        kind(network, X, y, "squared_error", sample_weight=TIMES).matrix() for kind in (HessianOperator, GaussNewtonOperator)
    ]
    monkeypatch.setattr("nncore.model.curvature.operators.chunk_rows", lambda model, rows: 7)
    for kind, matrix in zip((HessianOperator, GaussNewtonOperator), whole, strict=True):
        chunked = kind(network, X, y, "squared_error", sample_weight=TIMES).matrix()
        np.testing.assert_allclose(chunked, matrix, rtol=1e-10, atol=1e-14)


def optimizers(scale: float = 1.0) -> dict[str, Any]:
    """Every optimizer, for a loss multiplied by a factor."""
    made: dict[str, Any] = {name: cls() for name, cls in second_order.OPTIMIZERS.items()}
    made["newton"] = second_order.Newton(allow_indefinite=True)
    made["damped_newton"] = second_order.DampedNewton(damping=0.5 * scale)
    made["levenberg_marquardt, scaled"] = LevenbergMarquardt(scaling="marquardt")
    return made


@pytest.mark.parametrize("name", optimizers())
def test_every_optimizer_uses_the_weights(name: str) -> None:
    """The minimum for weighted examples is that for repeated ones with the penalty scaled accordingly."""
    y = rng.normal(size=30)
    results = []
    for rows, weight, scale in ((np.arange(30), TIMES, 1.0), (REPEATED, None, 1 / FACTOR)):
        network = nn.Sequential([nn.Dense(1)], input_shape=3, dtype="float64", seed=0)
        network.parameters[...] = 0.5
        penalties = {"dense_1": nn.L2(0.1 * scale), "dense_1.bias": nn.L2(0.1 * scale)}
        trainer = nn.Trainer(network, "squared_error", optimizers(scale)[name], regularizer=penalties)
        history = trainer.fit(X[rows], y[rows], sample_weight=weight, epochs=40, verbose=0)
        results.append((network.parameters, history["loss"][-1] / scale))
    (theta, loss), (expected, expected_loss) = results
    np.testing.assert_allclose(theta, expected, rtol=1e-6)
    assert loss == pytest.approx(expected_loss, rel=1e-9)


def test_class_weight_is_the_weight_of_each_example() -> None:
    labels = np.arange(30) % 3 // 2
    by_class, by_example = model(2), model(2)
    for network, weights in (
        (by_class, {"class_weight": "balanced"}),
        (by_example, {"sample_weight": np.where(labels == 1, 30 / 20, 30 / 40)}),
    ):
        trainer = nn.Trainer(network, "softmax_cross_entropy", second_order.LBFGS(), metrics="accuracy")
        history = trainer.fit(X, labels, epochs=10, verbose=0, **weights)
        assert history["loss"][-1] < history["loss"][0]
    assert by_class.parameters.tobytes() == by_example.parameters.tobytes()
    plain = model(2)
    nn.Trainer(plain, "softmax_cross_entropy", second_order.LBFGS()).fit(X, labels, epochs=10, verbose=0)
    assert not np.allclose(plain.parameters, by_class.parameters)


def test_weights_of_a_call() -> None:
    network, y = problem("squared_error")
    loss, gradient = network.loss_and_gradient(X, y, "squared_error", sample_weight=TIMES)
    repeated_loss, repeated_gradient = network.loss_and_gradient(X[REPEATED], y[REPEATED], "squared_error")
    assert loss == pytest.approx(FACTOR * repeated_loss)
    np.testing.assert_allclose(gradient, FACTOR * repeated_gradient, rtol=1e-10, atol=1e-14)
    with pytest.raises(ValueError, match="sample_weight must be finite and at least 0"):
        network.loss_and_gradient(X, y, "squared_error", sample_weight=np.full(30, -1.0))
    with pytest.raises(ValueError, match="sample_weight must have shape"):
        HessianOperator(network, X, y, "squared_error", sample_weight=np.ones(3))


def test_samplers_are_refused_still() -> None:
    trainer = nn.Trainer(model(2), "softmax_cross_entropy", second_order.LBFGS())
    with pytest.raises(ValueError, match="sampler must be left out with LBFGS"):
        trainer.fit(X, np.arange(30) % 2, sampler="stratified", verbose=0)
