"""Losses with arguments: quantiles, rates, smoothed labels."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.layers import loss_model
from numpy.typing import NDArray
from scipy import special, stats
from sklearn import metrics

import nncore as nn
from nncore.losses import LOSSES

Array = NDArray[Any]
ROWS = 40


def constant(outputs: list[float], dtype: str = "float64") -> nn.Sequential:
    """A model with the same outputs for every input."""
    model = nn.Sequential([nn.Dense(len(outputs), weight_init="zeros")], input_shape=1, dtype=dtype)
    model["dense_1"].bias[...] = outputs
    return model


# Quantile.

LEVELS = [0.1, 0.5, 0.6, 0.95]


def test_quantile_against_scikit_learn(rng: np.random.Generator) -> None:
    X, y = rng.standard_normal((ROWS, 3)), rng.standard_normal((ROWS, 4))
    model = loss_model("quantile")
    for q in (0.5, 0.1, 0.95):
        want = 4 * metrics.mean_pinball_loss(y, model.predict(X), alpha=q)
        assert model.loss_and_gradient(X, y, nn.Quantile(q))[0] == pytest.approx(want, rel=1e-14)
    want = sum(metrics.mean_pinball_loss(y[:, j], model.predict(X)[:, j], alpha=q) for j, q in enumerate(LEVELS))
    assert model.loss_and_gradient(X, y, nn.Quantile(LEVELS))[0] == pytest.approx(want, rel=1e-14)
    assert nn.Trainer(model, nn.Quantile(LEVELS)).evaluate(X, y)["loss"] == pytest.approx(want, rel=1e-14)


def test_quantiles_by_differences(rng: np.random.Generator) -> None:
    X, y, loss = rng.standard_normal((ROWS, 3)), 3 * rng.standard_normal((ROWS, 4)), nn.Quantile(LEVELS)
    model = loss_model("quantile")
    assert max(model.check_gradients(X, y, loss).values()) < 1e-6
    v, eps, theta, ends = rng.standard_normal(model.parameters.size), 1e-6, model.parameters.copy(), []
    for step in (eps, -eps):
        model.parameters[...] = theta + step * v
        ends.append(model.loss_and_gradient(X, y, loss)[1].copy())
    model.parameters[...] = theta
    want = (ends[0] - ends[1]) / (2 * eps)
    np.testing.assert_allclose(model.hessian_vector_product(X, y, loss, v), want, rtol=1e-5, atol=1e-7)


def test_biases_become_the_quantiles(rng: np.random.Generator) -> None:
    y, model, q = rng.exponential(size=999), constant([0.0, 0.0, 0.0]), [0.1, 0.5, 0.9]
    trainer = nn.Trainer(model, nn.Quantile(q), nn.SGD(lr=nn.schedules.Polynomial(0.05, 3000)))
    trainer.fit(np.zeros((999, 1)), np.repeat(y[:, None], 3, axis=1), epochs=3000, batch_size=999, verbose=0)
    np.testing.assert_allclose(model["dense_1"].bias, np.quantile(y, q), atol=0.02)


def test_the_subgradient_at_the_target_is_0() -> None:
    loss = nn.Quantile([0.2, 0.3, 0.4])
    _, gradient = constant([1.0, 1.0, 1.0]).loss_and_gradient(np.zeros((1, 1)), np.array([[1.0, 2.0, 0.0]]), loss)
    np.testing.assert_allclose(gradient[-3:], [0, -0.3, 0.6], rtol=1e-15)


def test_config_and_messages_of_quantile(tmp_path: Path) -> None:
    loss = nn.Quantile(np.array([0.1, 0.9]))
    assert (repr(loss), loss.config()) == ("Quantile(q=(0.1, 0.9))", {"q": [0.1, 0.9]})
    assert nn.Quantile(**loss.config()) == loss
    assert loss != nn.Quantile(0.1)
    assert nn.Quantile([0.1, 0.9]).key() == loss.key() != nn.Quantile([0.1, 0.8]).key()
    trainer, X, y = nn.Trainer(constant([0.0, 0.0]), loss), np.zeros((4, 1)), np.ones((4, 2))
    trainer.fit(X, y, epochs=2, verbose=0)
    trainer.save(tmp_path / "run")
    with pytest.raises(ValueError, match=r"loss.q\[1\] must be 0.8, got 0.9"):
        nn.Trainer(constant([0.0, 0.0]), nn.Quantile([0.1, 0.8])).restore(tmp_path / "run")
    other = nn.Trainer(constant([0.0, 0.0]), nn.Quantile([0.1, 0.9]))
    other.restore(tmp_path / "run")
    assert other.evaluate(X, y) == trainer.evaluate(X, y)
    with pytest.raises(ValueError, match=r"q must be a number or have one for each output, 3, got \(0\.1, 0\.9\)"):
        nn.Trainer(constant([0.0, 0.0, 0.0]), loss).evaluate(X, np.ones((4, 3)))
    for bad in (0, 1.0, "a", [0.5, 2], [True], [], np.array(0.5), np.full((1, 2), 0.5), None, {0.5: 0.5}):
        with pytest.raises((TypeError, ValueError), match=r"q must be (a list, each element )?a number in \(0, 1\)"):
            nn.Quantile(bad)  # type: ignore[arg-type]


def test_several_quantiles_need_a_column_each() -> None:
    """Whole numbers (n,) are not taken for labels, from which one q for all outputs makes rows of 0 and 1."""
    X, y, model = np.zeros((6, 1)), np.arange(6) % 3, constant([0.0, 0.0, 0.0])
    for targets in (y, y + 0.5):
        with pytest.raises(ValueError, match=r"^y must have a column for each of the 3 numbers of q, got shape \(6,\)"):
            model.loss_and_gradient(X, targets, nn.Quantile([0.1, 0.5, 0.9]))
    repeated = np.repeat(y[:, np.newaxis], 3, axis=1)
    assert model.loss_and_gradient(X, repeated, nn.Quantile([0.1, 0.5, 0.9]))[0] == pytest.approx(1.5)  # Σ q · mean y
    assert model.loss_and_gradient(X, y, nn.Quantile(0.5))[0] == pytest.approx(0.5)  # of one-hot rows


def test_a_quantile_that_rounds_to_one_is_refused() -> None:
    """Its loss would be 0 for every output above the target, in that precision."""
    loss, X, y = nn.Quantile(1 - 1e-9), np.zeros((2, 1)), np.ones((2, 1))
    with pytest.raises(ValueError, match=r"^q must be in \(0, 1\) when rounded to float32 too, got 0\.999999999"):
        nn.Trainer(nn.Sequential([nn.Dense(1)], 1), loss).evaluate(X, y)
    assert nn.Trainer(nn.Sequential([nn.Dense(1)], 1, dtype="float64"), loss).evaluate(X, -y)["loss"] == pytest.approx(1e-9)


def test_quantiles_of_another_number_are_refused_in_training() -> None:
    """Assigned by a callback: the outputs would get each other's."""
    loss = nn.Quantile([0.1, 0.9])
    trainer = nn.Trainer(constant([0.0, 0.0]), loss, "sgd")
    assign = nn.LambdaCallback(on_epoch_end=lambda *_: setattr(loss, "q", [0.1, 0.5, 0.9]))
    with pytest.raises(ValueError, match=r"q must be a number or have one for each output, 2, got \(0\.1, 0\.5, 0\.9\)"):
        trainer.fit(np.zeros((4, 1)), np.ones((4, 2)), epochs=2, verbose=0, callbacks=[assign])
    assert trainer.epochs_done == 1


# Poisson.


def test_poisson_is_a_likelihood_up_to_its_constant(rng: np.random.Generator) -> None:
    X, y, model = rng.standard_normal((ROWS, 3)), rng.poisson(3, (ROWS, 4)), loss_model("poisson")
    z, loss = model.predict(X), model.loss_and_gradient(X, y, "poisson")[0]
    likelihood = stats.poisson.logpmf(y, np.exp(z)) + special.gammaln(y + 1.0)
    assert loss == pytest.approx(-likelihood.sum() / ROWS, rel=1e-13)
    deviance = 4 * metrics.mean_poisson_deviance(y.ravel(), np.exp(z).ravel())
    assert 2 * (loss + (special.xlogy(y, y) - y).sum() / ROWS) == pytest.approx(deviance, rel=1e-13)


@pytest.mark.parametrize(("dtype", "last"), [("float32", 88.7), ("float64", 709.7)])
def test_rates_overflow_where_the_message_says(dtype: str, last: float) -> None:
    X, y = np.zeros((1, 1)), np.ones(1)
    assert np.isfinite(nn.Trainer(constant([last], dtype), "poisson").evaluate(X, y)["loss"])
    trainer = nn.Trainer(constant([last + 0.1], dtype), "poisson", nn.SGD(lr=1e-300))
    with pytest.raises(nn.DivergenceError, match=r"though the outputs are finite: poisson takes logarithms of rates, and e\^z"):
        trainer.fit(X, y, verbose=0)


def test_negative_counts_are_refused() -> None:
    with pytest.raises(ValueError, match=r"y must be at least 0 for poisson, got -2\.0 in row 1"):
        nn.Trainer(constant([0.0]), "poisson").evaluate(np.zeros((2, 1)), [1, -2])


# Label smoothing.


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", ["labels", "one-hot", "soft"])
@pytest.mark.parametrize("name", ["softmax_cross_entropy", "sigmoid_cross_entropy"])
def test_smoothing_is_a_mixture_of_targets(name: str, kind: str, dtype: str, rng: np.random.Generator) -> None:
    """As if (1 − s) d + s/K were given: value, gradient, and product with the Hessian."""
    X, labels = rng.standard_normal((ROWS, 3)), rng.integers(0, 4, ROWS)
    rows = rng.dirichlet(np.ones(4), ROWS) if kind == "soft" else np.eye(4)[labels]
    y, model = labels if kind == "labels" else rows, loss_model(name, dtype=dtype)
    v, near = rng.standard_normal(model.parameters.size), 1e-12 if dtype == "float64" else 2e-5
    for s in (0.1, 0.5, 1.0):
        loss, mixed = LOSSES[name](label_smoothing=s), (1 - s) * rows + s / (4 if name == "softmax_cross_entropy" else 2)
        value, gradient = model.loss_and_gradient(X, y, loss)
        gradient = gradient.copy()
        want, want_gradient = model.loss_and_gradient(X, mixed, name)
        assert value == pytest.approx(want, rel=near)
        np.testing.assert_allclose(gradient, want_gradient, rtol=near, atol=near)
        product = model.hessian_vector_product(X, y, loss, v)
        np.testing.assert_allclose(product, model.hessian_vector_product(X, mixed, name, v), rtol=near, atol=10 * near)
        assert np.linalg.norm(gradient - model.loss_and_gradient(X, y, name)[1]) > 1e-3


def test_evaluate_counts_smoothing_and_accuracy_does_not(rng: np.random.Generator) -> None:
    X, labels = rng.standard_normal((ROWS, 3)), rng.integers(0, 4, ROWS)
    for name, y in [("softmax_cross_entropy", labels), ("sigmoid_cross_entropy", rng.integers(0, 2, (ROWS, 4)))]:
        model = loss_model(name)
        kinds = [LOSSES[name](label_smoothing=s) for s in (0.0, 0.3)]
        plain, smooth = (nn.Trainer(model, loss, metrics=["accuracy"]).evaluate(X, y) for loss in kinds)
        assert smooth["accuracy"] == plain["accuracy"]
        assert smooth["loss"] == pytest.approx(model.loss_and_gradient(X, y, kinds[1])[0], rel=1e-13)
        assert smooth["loss"] != pytest.approx(plain["loss"], rel=1e-3)


def test_config_of_smoothing(tmp_path: Path) -> None:
    loss = nn.SoftmaxCrossEntropy(label_smoothing=0.1)
    assert (repr(loss), loss.config()) == ("SoftmaxCrossEntropy(label_smoothing=0.1)", {"label_smoothing": 0.1})
    assert nn.SoftmaxCrossEntropy(0.1) == loss
    assert loss != nn.SoftmaxCrossEntropy()
    assert loss.key() != nn.SoftmaxCrossEntropy().key()
    trainer = nn.Trainer(constant([0.0, 1.0]), loss)
    trainer.fit(np.zeros((4, 1)), [0, 1, 0, 1], verbose=0)
    trainer.save(tmp_path / "run")
    with pytest.raises(ValueError, match="label_smoothing must be"):
        nn.Trainer(constant([0.0, 1.0]), "softmax_cross_entropy").restore(tmp_path / "run")
    nn.Trainer(constant([0.0, 1.0]), nn.SoftmaxCrossEntropy(0.1)).restore(tmp_path / "run")
    for bad in (-0.1, 1.1):
        with pytest.raises(ValueError, match=r"label_smoothing must be a number in \[0, 1\]"):
            nn.SigmoidCrossEntropy(bad)


@pytest.mark.parametrize("loss", ["kl_divergence", "softmax_cross_entropy"])
def test_losses_for_exclusive_classes_need_two_outputs(loss):
    trainer = nn.Trainer(nn.Sequential([nn.Dense(1), nn.Sigmoid()], 2), loss)
    for y in (np.array([0, 1]), np.array([[0.0], [1.0]])):
        with pytest.raises(ValueError, match=f"{loss} needs at least two outputs, got one; use "):
            trainer.fit(np.ones((2, 2)), y, verbose=0)
