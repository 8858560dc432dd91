"""Accuracy of every kind of targets under every loss, against scikit-learn and NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import nncore as nn
from nncore import losses, reference
from nncore.losses import LOSSES

metrics = pytest.importorskip("sklearn.metrics")

Array = NDArray[Any]


def evaluator(outputs: Array, loss: Any) -> nn.Trainer:
    """A trainer whose model has these outputs for the rows of the identity."""
    model = nn.Sequential([nn.Dense(outputs.shape[1], bias=False)], len(outputs), dtype="float64")
    model.parameters[...] = outputs.T.ravel()
    return nn.Trainer(model, loss, "sgd", metrics="accuracy")


def accuracy(outputs: Array, y: Any, loss: Any) -> float:
    return evaluator(outputs, loss).evaluate(np.eye(len(outputs)), y)["accuracy"]


def own_loss(y: Array, d: Array) -> tuple[Array, Array]:
    return ((y - d) ** 2).sum(axis=1), 2 * (y - d)


N = 60
PROBABILITIES = ("binary_cross_entropy", "kl_divergence")
ANY = [*LOSSES, own_loss]
SEVERAL = ["sigmoid_cross_entropy", "binary_cross_entropy", "hinge", "squared_error", "mean_absolute_error", own_loss]


def scores(loss: Any, width: int, rng: np.random.Generator) -> tuple[Array, float]:
    """Outputs in the loss's domain, and the threshold of "yes" for targets 0 and 1."""
    if loss in PROBABILITIES:
        return rng.uniform(0.05, 0.95, (N, width)), 0.5
    threshold = 0.0 if loss in ("sigmoid_cross_entropy", "hinge") else np.log(0.5) if loss == "poisson" else 0.5
    return rng.normal(threshold, 1, (N, width)), threshold


@pytest.mark.parametrize("loss", ANY)
def test_one_class_of_several(loss: Any, rng: np.random.Generator) -> None:
    z, labels = scores(loss, 3, rng)[0], rng.integers(0, 3, N)
    if loss == "kl_divergence":
        z /= z.sum(axis=1, keepdims=True)
    want = metrics.accuracy_score(labels, z.argmax(axis=1))
    one_hot = np.eye(3)[labels]
    forms = [labels, one_hot, 0.1 + 0.7 * one_hot] if loss != "hinge" else [labels, one_hot, 2 * one_hot - 1]
    for y in forms:
        assert accuracy(z, y, loss) == pytest.approx(want, abs=1e-15)
    assert 0.1 < want < 0.9


@pytest.mark.parametrize("loss", SEVERAL)
@pytest.mark.parametrize("width", [2, 3])
def test_several_labels_at_once(loss: Any, width: int, rng: np.random.Generator) -> None:
    z, threshold = scores(loss, width, rng)
    Y = (z > threshold) ^ (rng.random((N, width)) < 0.2)
    Y[0], Y[1] = False, True  # rows that are not one-hot
    want = metrics.accuracy_score(Y, z > threshold)
    assert 0.2 < want < 0.9
    assert accuracy(z, Y.astype(float), loss) == pytest.approx(want, abs=1e-15)
    assert accuracy(z, Y, loss) == pytest.approx(want, abs=1e-15)
    signs = np.where(Y, 1.0, -1.0)
    middle = 0.0 if loss in ("squared_error", "mean_absolute_error", own_loss) else threshold
    assert accuracy(z, signs, loss) == pytest.approx(metrics.accuracy_score(Y, z > middle), abs=1e-15)
    if loss not in ("hinge",):  # smoothed: each value still rounds to its label
        assert accuracy(z, 0.1 + 0.8 * Y, loss) == pytest.approx(want, abs=1e-15)


@pytest.mark.parametrize("loss", [name for name in ANY if name not in ("softmax_cross_entropy", "kl_divergence")])
def test_one_output(loss: Any, rng: np.random.Generator) -> None:
    z, threshold = scores(loss, 1, rng)
    y = (z[:, 0] > threshold) ^ (rng.random(N) < 0.3)
    assert accuracy(z, y, loss) == pytest.approx(metrics.accuracy_score(y, z[:, 0] > threshold), abs=1e-15)
    if loss == "poisson":
        return  # it takes no negative targets
    middle = threshold if not (loss is own_loss or loss in REGRESSION) else 0.0
    signs = np.where(y, 1, -1)
    assert accuracy(z, signs, loss) == pytest.approx(metrics.accuracy_score(y, z[:, 0] > middle), abs=1e-15)


REGRESSION = [name for name, cls in LOSSES.items() if issubclass(cls, losses._Regression) and name != "poisson"]


@pytest.mark.parametrize("loss", [*REGRESSION, own_loss])
@pytest.mark.parametrize(
    ("low", "high"), [(-1, 1), (0, 1), (1, 2), (-5, -3), (0, 1e30), (-1e150, 1e150), (1, np.nextafter(1, 2))]
)
def test_two_numbers(loss: Any, low: float, high: float, rng: np.random.Generator) -> None:
    """The nearer of the two values, by exact fractions; constant predictions are correct for examples of their class."""
    y = np.where(rng.random(N) < 0.4, low, high)
    share = rng.uniform(-0.5, 1.5, N)
    z = low * (1 - share) + high * share if np.isfinite(high - low) else np.where(share < 0.5, low, high)
    if high - low < 1e-9:
        z = np.where(share < 0.5, low, high)
    got = np.where(abs(z / 2 - low / 2) < abs(high / 2 - z / 2), low, high)
    assert accuracy(z[:, None], y, loss) == (got == y).mean()
    assert accuracy(np.full((N, 1), low), y, loss) == (y == low).mean()
    assert accuracy(np.full((N, 1), high), y, loss) == (y == high).mean()


@pytest.mark.parametrize(("low", "high", "width"), [(-1.5e308, 1.5e308, 1), (-1.5e308, 1.5e308, 3), (-3e38, 3e38, 3)])
def test_two_numbers_whose_difference_overflows(low: float, high: float, width: int) -> None:
    loss = nn.losses.SquaredError()
    rows = np.array([[low] * width, [high] * width], dtype="float32" if high < 1e300 else "float64")
    assert loss.for_accuracy(loss.targets(rows, width, rows.dtype), "y").thresholds == (0, 0)


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0, 6), (2, 3)])
def test_rates_are_compared_with_the_middle_of_the_targets(low: float, high: float, rng: np.random.Generator) -> None:
    y, rates = rng.choice([low, high], N), rng.uniform(0.5 * low, 1.5 * high, N)
    want = ((rates > (low + high) / 2) == (y == high)).mean()
    assert accuracy(np.log(rates)[:, None], y, "poisson") == want
    assert 0.2 < want < 0.8


def test_a_constant_prediction_below_the_middle() -> None:
    assert accuracy(np.full((4, 1), 1.4), [1.0, 1, 2, 2], "mean_squared_error") == 0.5


def test_data_with_one_class_use_the_two_values_of_training() -> None:
    trainer = evaluator(np.array([[0.2], [0.7], [1.4], [1.6]]), "squared_error")
    X = np.eye(4)
    assert trainer.evaluate(X, np.ones(4))["accuracy"] == 0.75  # 0 and 1
    assert trainer.evaluate(X, -np.ones(4))["accuracy"] == 0  # −1 and 1
    with pytest.raises(ValueError, match=r"accuracy needs two classes to find the threshold.*y must not be 2 alone"):
        trainer.evaluate(X, np.full(4, 2.0))
    trainer.optimizer.lr = 1e-300
    trainer.fit(X, [1, 1, 2, 2], verbose=0)
    assert trainer.evaluate(X, np.full(4, 2.0))["accuracy"] == 0.25
    history = trainer.fit(X, [-1, -1, 1, 1], validation_data=(X, np.ones(4)), verbose=0)
    assert history["val_accuracy"][-1] == 1
    trainer.partial_fit(X[:1], [1.0])
    assert trainer.evaluate(X, np.ones(4))["accuracy"] == 1


@pytest.mark.parametrize("width", [1, 2])
def test_numbers_that_are_not_classes(width: int, rng: np.random.Generator) -> None:
    for loss in (*REGRESSION, own_loss):
        with pytest.raises(ValueError, match="accuracy needs classes: y must be labels, 0 and 1 or ±1, got"):
            accuracy(np.zeros((N, width)), rng.normal(size=(N, width)), loss)


def test_the_number_that_is_not_a_class_is_named() -> None:
    with pytest.raises(ValueError, match=r"must be labels, 0 and 1 or ±1, got 0\.5 between 0 and 1$"):
        accuracy(np.zeros((3, 1)), np.array([0.0, 0.5, 1.0]), "squared_error")
    with pytest.raises(ValueError, match=r"must be ±1 or 0/1 for hinge, got 0\.5 in row 1$"):
        accuracy(np.zeros((3, 1)), np.array([0.0, 0.5, 1.0]), "hinge")


@pytest.mark.parametrize("metrics", [0.5, None, nn.Adam(), ["accuracy", 3]])
def test_invalid_metrics(metrics: Any) -> None:
    with pytest.raises((ValueError, TypeError), match="metric must be one of accuracy"):
        nn.Trainer(nn.Sequential([nn.Dense(1)], 1), "squared_error", metrics=metrics)


# Losses at extreme outputs.

EXTREME = [0.0, -0.0, 1.0, -1.0, 1e-300, -1e-300, 1e30, -1e30, 1e300, -1e300, np.inf, -np.inf, np.nan]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("width", [1, 3])
@pytest.mark.parametrize("loss", LOSSES)
def test_extreme_outputs(loss: str, width: int, dtype: str) -> None:
    """No crash; a loss of finite outputs is the one in float64, within the range of the dtype; one with NaN is not finite."""
    if loss in ("softmax_cross_entropy", "kl_divergence") and width == 1:
        return
    for target in (0, 1):
        for value in EXTREME:
            model = nn.Sequential([nn.Dense(width, weight_init="zeros")], 1, dtype=dtype)
            with np.errstate(over="ignore"):
                model["dense_1"].bias[0] = value
            out = model.predict([[0.0]])[0].astype(np.float64)
            y = np.array([target]) if width == 1 else np.eye(3)[[target]]
            got = nn.Trainer(model, loss, "sgd", metrics=["accuracy"]).evaluate([[0.0]], y)["loss"]
            with np.errstate(all="ignore"):
                want = formula(loss)(out, np.asarray(y[0] if width > 1 else [target], dtype=float))
            if np.isnan(value):
                assert not np.isfinite(got), target
            elif np.isfinite(want) and want < 1e35:
                tolerance = 3e-5 if dtype == "float32" else 1e-10
                assert got == pytest.approx(want, rel=tolerance, abs=tolerance), (target, value)


def _hinge(y: Array, d: Array) -> float:
    return float(np.maximum(0, 1 - (2 * d - 1) * y).sum())


def _binary(y: Array, d: Array) -> float:
    return float(np.where(d == 1, -np.log(y), -np.log1p(-y)).sum()) if ((y >= 0) & (y <= 1)).all() else np.nan


def _huber(y: Array, d: Array) -> float:
    e = np.abs(y - d)
    return float(np.where(e <= 1, 0.5 * e * e, e - 0.5).mean())


def formula(loss: str) -> Callable[[Array, Array], float]:
    return FORMULAS.get(loss) or (lambda y, d: float(getattr(reference, loss)(y[None], d[None])[0][0]))


FORMULAS: dict[str, Any] = {
    "squared_error": lambda y, d: 0.5 * ((y - d) ** 2).sum(),
    "mean_squared_error": lambda y, d: ((y - d) ** 2).mean(),
    "mean_absolute_error": lambda y, d: np.abs(y - d).mean(),
    "huber": _huber,
    "quantile": lambda y, d: 0.5 * np.abs(y - d).sum(),
    "poisson": lambda y, d: (np.exp(y) - np.where(d == 0, 0, y)).sum(),  # d is 0 or 1
    "hinge": _hinge,
    "binary_cross_entropy": _binary,
    "kl_divergence": lambda y, d: -np.log(y[d == 1]).sum() if (y[d == 1] > 1e-30).all() else np.nan,
    "sigmoid_cross_entropy": lambda y, d: np.logaddexp(0, np.where(d == 1, -y, y)).sum(),
    "softmax_cross_entropy": lambda y, d: (y.max() + np.log(np.exp(y - y.max()).sum())) - y[d == 1][0],
}


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e300])
def test_extreme_targets_are_refused(loss: str, bad: float) -> None:
    y = np.eye(3)[[0, 1, 2]]
    y[1, 2] = bad
    trainer = nn.Trainer(nn.Sequential([nn.Dense(3)], 2), loss)
    with pytest.raises(
        ValueError, match=rf"y (must be finite|is too large for float32), got {bad}".replace("+", r"\+") + " in row 1, column 2"
    ):
        trainer.evaluate(np.ones((3, 2)), y)
