"""The estimators agree with scikit-learn's: exactly from the same initial weights, and in their scores."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn", minversion="1.7")  # of sample_weight and loss="poisson"

from sklearn import neural_network as theirs
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_iris
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from nncore import sklearn as ours

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

EXACT: dict[str, Any] = {"shuffle": False, "random_state": 0, "max_iter": 30, "hidden_layer_sizes": (7, 5), "tol": 0.0}


def pair(kind: str, X: Any, y: Any, **parameters: Any) -> tuple[Any, Any]:
    """Both estimators, fitted in double precision from the same initial weights."""
    weights = {"sample_weight": parameters.pop("sample_weight")} if "sample_weight" in parameters else {}
    mine = getattr(ours, kind)(**EXACT | parameters, dtype="float64").fit(X, y, **weights)
    drawn = mine.model_.copy()
    drawn.initialize()
    initial: Iterator[Any] = iter([(layer.weight.T.copy(), layer.bias.copy()) for layer in drawn.layers if layer.parameters])

    class Scikit(getattr(theirs, kind)):  # type: ignore[misc]
        def _init_coef(self, *_: Any) -> Any:
            return next(initial)

    return mine, Scikit(**EXACT | parameters).fit(X, y, **weights)


def classes(k: int = 3, n: int = 120) -> tuple[Any, Any]:
    rng = np.random.default_rng(k)
    X = rng.standard_normal((n, 4))
    return X, np.digitize(X[:, 0] + 0.3 * rng.standard_normal(n), np.linspace(-1, 1, k - 1)) if k > 2 else (X[:, 0] > 0)


SETTINGS = [
    {"solver": "sgd", "batch_size": 120, "learning_rate_init": 0.1},
    {"solver": "sgd", "batch_size": 40, "learning_rate_init": 0.05, "nesterovs_momentum": False},
    {"solver": "sgd", "batch_size": 40, "learning_rate_init": 0.1, "momentum": 0.0, "alpha": 5.0},
    {"solver": "sgd", "batch_size": 40, "learning_rate_init": 0.5, "learning_rate": "invscaling"},
    {"solver": "sgd", "learning_rate_init": 0.5, "learning_rate": "adaptive", "n_iter_no_change": 1, "tol": 0.01},
    {"solver": "adam", "batch_size": 40, "learning_rate_init": 0.01, "epsilon": 1e-3, "beta_1": 0.8},
    {"solver": "adam", "batch_size": 40, "activation": "logistic", "alpha": 1.0},
    {"solver": "adam", "activation": "tanh", "tol": 1e-3, "n_iter_no_change": 3},
    {"solver": "adam", "activation": "identity", "learning_rate_init": 0.01},
]


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("k", [2, 3])
def test_the_loss_curve_of_a_classifier(k: int, settings: dict[str, Any]) -> None:
    X, y = classes(k)
    mine, scikit = pair("MLPClassifier", X, y, **settings)
    np.testing.assert_allclose(mine.loss_curve_, scikit.loss_curve_, rtol=1e-9)
    for name in ("loss_", "best_loss_", "n_iter_", "t_", "n_layers_", "n_outputs_"):
        assert getattr(mine, name) == pytest.approx(getattr(scikit, name), rel=1e-9)
    assert mine.out_activation_ == scikit.out_activation_
    if not settings.get("momentum", 0.9) or not settings.get("nesterovs_momentum", True) or settings["solver"] == "adam":
        np.testing.assert_allclose(mine.predict_proba(X), scikit.predict_proba(X), rtol=1e-6)
        for mine_coef, coef in zip(mine.coefs_ + mine.intercepts_, scikit.coefs_ + scikit.intercepts_, strict=True):
            np.testing.assert_allclose(mine_coef, coef, atol=1e-8)


def test_several_labels() -> None:
    X, y = classes(3)
    mine, scikit = pair("MLPClassifier", X, np.column_stack([y > 0, y > 1]).astype(int), batch_size=40)
    np.testing.assert_allclose(mine.loss_curve_, scikit.loss_curve_, rtol=1e-9)
    np.testing.assert_array_equal(mine.predict(X), scikit.predict(X))
    np.testing.assert_allclose(mine.predict_proba(X), scikit.predict_proba(X), rtol=1e-6)


@pytest.mark.parametrize("loss", ["squared_error", "poisson"])
@pytest.mark.parametrize("outputs", [1, 2])
def test_the_loss_curve_of_a_regressor(loss: str, outputs: int) -> None:
    X, y = classes()
    y = np.column_stack([y + X[:, 1] ** 2, 2.0 * y])[:, :outputs].squeeze()
    mine, scikit = pair("MLPRegressor", X, y, loss=loss, batch_size=40, alpha=0.5)
    np.testing.assert_allclose(mine.loss_curve_, scikit.loss_curve_, rtol=1e-9)
    np.testing.assert_allclose(mine.predict(X), scikit.predict(X), rtol=1e-6, atol=1e-8)
    assert mine.out_activation_ == scikit.out_activation_


@pytest.mark.parametrize(
    ("kind", "parameters"), [("MLPClassifier", {}), ("MLPRegressor", {}), ("MLPRegressor", {"loss": "poisson"})]
)
def test_example_weights(kind: str, parameters: dict[str, Any]) -> None:
    X, y = classes()
    weights = np.random.default_rng(0).integers(0, 4, len(y)).astype(float)
    mine, scikit = pair(kind, X, y, sample_weight=weights, alpha=1.0, **parameters)
    np.testing.assert_allclose(mine.loss_curve_, scikit.loss_curve_, rtol=1e-9)


@pytest.mark.parametrize(
    ("kind", "parameters"), [("MLPClassifier", {}), ("MLPRegressor", {}), ("MLPRegressor", {"loss": "poisson"})]
)
def test_lbfgs(kind: str, parameters: dict[str, Any]) -> None:
    """The same iterations, and an end at the same minimum."""
    X, y = classes()
    settings = {"solver": "lbfgs", "alpha": 2.0, "activation": "tanh"} | parameters
    mine, scikit = pair(kind, X, y, **settings, max_iter=10)
    assert mine.loss_ == pytest.approx(scikit.loss_, rel=1e-9)
    assert mine.n_iter_ == scikit.n_iter_ == 10
    assert not hasattr(mine, "loss_curve_")
    mine, scikit = pair(kind, X, y, **settings, max_iter=1000, tol=1e-3)
    assert mine.loss_ == pytest.approx(scikit.loss_, rel=1e-3)
    assert mine.n_iter_ < 1000


def test_early_stopping() -> None:
    """It ends once more than ten epochs in a row did not improve the score by tol."""
    X, y = classes()
    settings = {"early_stopping": True, "max_iter": 200, "learning_rate_init": 0.01, "tol": 1e-4}
    mine = ours.MLPClassifier(**EXACT | settings).fit(X, y)
    assert mine.best_loss_ is None
    assert len(mine.validation_scores_) == mine.n_iter_ < 200
    assert mine.best_validation_score_ == max(mine.validation_scores_)
    best, waited, ends = -np.inf, 0, []
    for score in mine.validation_scores_:
        waited = waited + 1 if score < best + 1e-4 else 0
        best = max(best, score)
        ends.append(waited > 10)
    assert ends == [False] * (mine.n_iter_ - 1) + [True]


SETS = {"iris": load_iris, "digits": load_digits, "cancer": load_breast_cancer, "diabetes": load_diabetes}


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_scores(name: str, solver: str) -> None:
    """Means over eight seeds differ by less than three standard errors, and what one example counts."""
    X, y = SETS[name](return_X_y=True)
    if name == "diabetes":
        y = (y - y.mean()) / y.std()
    X_train, X_test, y_train, y_test = train_test_split(StandardScaler().fit_transform(X), y, test_size=0.4, random_state=0)
    kind = "MLPRegressor" if name == "diabetes" else "MLPClassifier"
    parameters: dict[str, Any] = {"hidden_layer_sizes": 10, "solver": solver, "max_iter": 30, "learning_rate_init": 0.005}
    scores = np.array([
        [cls(**parameters, random_state=seed).fit(X_train, y_train).score(X_test, y_test) for seed in range(8)]
        for cls in (getattr(ours, kind), getattr(theirs, kind))
    ])  # fmt: skip
    error = np.sqrt((scores.var(axis=1, ddof=1) / 8).sum())
    assert abs(scores[0].mean() - scores[1].mean()) <= 3 * error + 1 / len(y_test)
