"""What the estimators do beyond scikit-learn's."""

from __future__ import annotations

import contextlib
import copy
import os
import pickle
import signal
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn", minversion="1.6")

from scipy.sparse import csr_matrix
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import mean_poisson_deviance, r2_score
from sklearn.preprocessing import StandardScaler

import nncore as nn
from nncore.sklearn import MLPClassifier, MLPRegressor, RealMLPClassifier, RealMLPRegressor, base

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

QUICK: dict[str, Any] = {"hidden_layer_sizes": (10,), "learning_rate_init": 0.02, "max_iter": 60, "random_state": 0}
IRIS = StandardScaler().fit_transform(load_iris().data), load_iris().target
X, Y = IRIS


# --- the network


def names(estimator: Any) -> list[str]:
    return [type(layer).__name__ for layer in estimator.model_.layers]


def test_layers() -> None:
    parameters = {"hidden_layer_sizes": (4, 5), "activation": ["gelu", nn.LeakyReLU(0.3)], "dropout": [0.0, 0.5]}
    estimator = MLPClassifier(**parameters, normalization="layer_norm", max_iter=1).fit(X, Y)
    assert names(estimator) == ["Dense", "LayerNorm", "GELU", "Dense", "LayerNorm", "LeakyReLU", "Dropout", "Dense"]
    assert [coef.shape for coef in estimator.coefs_] == [(4, 4), (4, 5), (5, 3)]
    assert [bias.shape for bias in estimator.intercepts_] == [(4,), (5,), (3,)]
    assert estimator.n_layers_ == 4


@pytest.mark.parametrize(("activation", "factor"), [("relu", 6), ("logistic", 2)])
def test_initial_parameters_are_glorots(activation: str, factor: int) -> None:
    estimator = MLPClassifier((300, 200), activation, max_iter=1, random_state=0).fit(X, Y)
    estimator.model_.initialize()
    for coef, bias in zip(estimator.coefs_, estimator.intercepts_, strict=True):
        bound = np.sqrt(factor / sum(coef.shape))
        assert 0.9 * bound < abs(coef).max() <= bound
        assert 0.8 * bound < abs(bias).max() <= bound or bias.size < 10
        assert coef.std() == pytest.approx(bound / np.sqrt(3), rel=0.1)


def test_weight_init_has_zero_biases() -> None:
    estimator = MLPRegressor(weight_init="he_normal", max_iter=1, random_state=0).fit(X, Y)
    estimator.model_.initialize()
    assert estimator.coefs_[0].std() == pytest.approx(np.sqrt(2 / 4), rel=0.2)
    assert not any(bias.any() for bias in estimator.intercepts_)


def test_coefs_may_be_assigned() -> None:
    estimator = MLPRegressor(hidden_layer_sizes=3, activation="identity", max_iter=1).fit(X, Y)
    estimator.coefs_ = [np.ones((4, 3)), np.full((3, 1), 2.0)]
    estimator.intercepts_ = [np.zeros(3), [1.0]]
    np.testing.assert_allclose(estimator.predict(X), 6 * X.sum(axis=1) + 1, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("loss", ["log_loss", "squared_error", "hinge", "sigmoid_cross_entropy", nn.Huber(0.5)])
def test_losses_of_a_classifier(loss: Any) -> None:
    estimator = MLPClassifier(**QUICK, loss=loss).fit(X, Y)
    assert estimator.score(X, Y) > 0.9
    if loss == "hinge":
        assert not hasattr(estimator, "predict_proba")
    else:
        probabilities = estimator.predict_proba(X)
        np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-6)
        np.testing.assert_array_equal(probabilities.argmax(axis=1), estimator.predict(X))


@pytest.mark.parametrize("loss", ["log_loss", "squared_error", "hinge"])
def test_losses_for_two_classes(loss: str) -> None:
    labels = np.array(["no", "yes"])[(Y > 0).astype(int)]
    estimator = MLPClassifier(**QUICK, loss=loss).fit(X, labels)
    assert estimator.n_outputs_ == 1
    assert estimator.score(X, labels) > 0.97


def quantile(outputs: Any, targets: Any) -> Any:
    error = targets - outputs
    return np.maximum(0.8 * error, -0.2 * error).sum(axis=1), np.where(error > 0, -0.8, 0.2)


def test_a_loss_in_python() -> None:
    y = np.random.default_rng(0).standard_normal(1000)
    estimator = MLPRegressor(quantile, (), learning_rate_init=0.01, random_state=0).fit(np.zeros((1000, 1)), y)
    assert estimator.predict([[0.0]])[0] == pytest.approx(np.quantile(y, 0.8), abs=0.05)


# --- the optimizer


def test_optimizer_by_name_and_object() -> None:
    named = MLPClassifier(**QUICK, optimizer="adamw").fit(X, Y)
    assert repr(named.trainer_.optimizer) == repr(nn.AdamW(lr=0.02))
    given = nn.Lion(lr=0.003)
    estimator = MLPClassifier(**QUICK, optimizer=given, clip=0.5, regularizer=nn.L1(1e-3)).fit(X, Y)
    assert estimator.trainer_.optimizer.lr == 0.003
    assert given.step_count == 0
    assert repr(estimator.trainer_.clip) == "ClipGlobalNorm(0.5)"
    assert "clipped" in estimator.history_
    assert repr(estimator.trainer_.regularizer) == "L1(0.001)"


def test_second_order_optimizer_by_name() -> None:
    estimator = MLPClassifier((5,), "tanh", optimizer="lbfgs", max_iter=30, dtype="float64", random_state=0).fit(X, Y)
    assert estimator.score(X, Y) > 0.97
    assert estimator.n_iter_ == 30
    assert estimator.loss_ == estimator.history_.row(30)["loss"]


def test_schedule() -> None:
    schedule = nn.schedules.Exponential(0.1, 0.5, per="epoch")
    estimator = MLPClassifier(**QUICK | {"max_iter": 4, "tol": 0}, schedule=schedule).fit(X, Y)
    np.testing.assert_allclose(estimator.history_["lr"], [0.1, 0.05, 0.025, 0.0125])


def test_warm_start_keeps_the_state_of_the_optimizer() -> None:
    """Two fits of 5 epochs are one of 10, to the bit."""
    once = MLPClassifier(**QUICK | {"max_iter": 10}).fit(X, Y)
    twice = MLPClassifier(**QUICK | {"max_iter": 5}, warm_start=True).fit(X, Y).fit(X, Y)
    np.testing.assert_array_equal(once.model_.parameters, twice.model_.parameters)
    assert once.loss_curve_ == twice.loss_curve_
    assert (once.t_, once.n_iter_, twice.t_, twice.n_iter_) == (1500, 10, 1500, 5)


def test_warm_start_takes_changed_parameters() -> None:
    estimator = MLPClassifier(**QUICK, warm_start=True).fit(X, Y)
    before, trainer = estimator.coefs_[0].copy(), estimator.trainer_
    estimator.set_params(learning_rate_init=1e-9, alpha=0.0).fit(X, Y)
    assert estimator.trainer_ is trainer
    np.testing.assert_allclose(estimator.coefs_[0], before, atol=1e-6)
    estimator.set_params(solver="sgd", max_iter=2).fit(X, Y)
    assert type(estimator.trainer_.optimizer).__name__ == "Nesterov"
    np.testing.assert_allclose(estimator.coefs_[0], before, atol=1e-6)
    with pytest.raises(ValueError, match="same classes"):
        estimator.fit(X, Y + 1)


# --- the data


@pytest.mark.parametrize("labels", [["a", "b", "c"], [False, True, True], [-3, 7, 9], [1.0, 2.0, 5.0]])
@pytest.mark.parametrize("early_stopping", [False, True])
def test_labels_of_any_type(labels: list[Any], early_stopping: bool) -> None:
    y = np.array(labels)[Y]
    estimator = MLPClassifier(**QUICK, early_stopping=early_stopping, n_iter_no_change=60).fit(X, y)
    np.testing.assert_array_equal(estimator.classes_, np.unique(y))
    assert estimator.predict(X).dtype == y.dtype
    assert (estimator.predict(X) == y).mean() > 0.85


@pytest.mark.parametrize("kind", ["labels", "several", "one", "regression", "outputs"])
def test_partial_fit(kind: str) -> None:
    """Passes over parts; the first may lack classes. The state of the optimizer is kept."""
    several = np.column_stack([Y > 0, Y > 1, Y == 1]).astype(int)
    y = {"labels": Y, "several": several, "one": Y > 0, "regression": X @ [1, 2, 0, 0], "outputs": X @ np.eye(4)[:, :2]}[kind]
    regression = kind in ("regression", "outputs")
    estimator = (MLPRegressor if regression else MLPClassifier)(**QUICK)
    classes = {} if regression else {"classes": {"several": [0, 1, 2]}.get(kind, np.unique(Y if kind == "labels" else Y > 0))}
    rows = np.arange(150).reshape(3, 50)
    for epoch in range(60):
        for part in rows:
            estimator.partial_fit(X[part], y[part], **(classes if epoch == 0 else {}))
    assert estimator.score(X, y) > 0.9
    assert estimator.predict(X).shape == y.shape
    assert estimator.trainer_.optimizer.step_count == 180
    assert (estimator.t_, estimator.n_iter_, len(estimator.loss_curve_)) == (9000, 1, 180)


def test_partial_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="early_stopping"):
        MLPClassifier(early_stopping=True).partial_fit(X, Y, classes=[0, 1, 2])
    with pytest.raises(ValueError, match="classes must be passed"):
        MLPClassifier().partial_fit(X, Y)
    with pytest.raises(ValueError, match=r"among classes_.*got 2"):
        MLPClassifier().partial_fit(X, Y, classes=[0, 1])
    with pytest.raises(ValueError, match="balanced"):
        MLPClassifier(class_weight="balanced").partial_fit(X, Y, classes=[0, 1, 2])
    assert not hasattr(MLPRegressor(solver="lbfgs"), "partial_fit")


@pytest.mark.parametrize("cls", [MLPClassifier, MLPRegressor, RealMLPClassifier, RealMLPRegressor])
def test_products_in_bfloat16(cls: Any) -> None:
    """The estimator's network rounds the products of its second layer: the same weights give other outputs without."""
    length: dict[str, Any] = {"n_epochs": 2} if cls.__name__.startswith("Real") else {"max_iter": 2}
    estimator = cls(hidden_layer_sizes=(64, 64), compute_dtype="bfloat16", random_state=0, **length).fit(X, Y)
    model = estimator.models_[0] if cls.__name__.startswith("Real") else estimator.model_
    assert model.compute_dtype == "bfloat16"
    exact = nn.Sequential(copy.deepcopy(model).layers, model.input_shape)
    exact.parameters = model.parameters
    inputs = X.astype(np.float32)
    assert 1e-5 < np.abs(exact.forward(inputs) - model.forward(inputs)).max() < 0.05


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_sparse_input_gives_the_same_network(solver: str) -> None:
    """L-BFGS sums over θ, whose order is another one with a sparse layer: in float32 its steps would soon differ."""
    thinned = np.where(X > 0, X, 0)
    settings = QUICK | {"max_iter": 5, "solver": solver, "dtype": "float64" if solver == "lbfgs" else "float32"}
    dense = MLPClassifier(**settings).fit(thinned, Y)
    sparse = MLPClassifier(**settings, early_stopping=False).fit(csr_matrix(thinned), Y)
    np.testing.assert_allclose(sparse.predict_proba(csr_matrix(thinned)), dense.predict_proba(thinned), rtol=1e-6)


def test_sparse_targets() -> None:
    several = np.column_stack([Y > 0, Y > 1]).astype(int)
    predictions = [MLPClassifier(**QUICK).fit(X, y).predict(X) for y in (several, csr_matrix(several))]
    np.testing.assert_array_equal(*predictions)


def test_class_weights_multiply_sample_weights() -> None:
    weights = np.random.default_rng(0).uniform(0.5, 2, 150)
    by_class = {"a": 1, "b": 5, "c": 0.5}
    y = np.array(["a", "b", "c"])[Y]
    one = MLPClassifier(**QUICK | {"max_iter": 5}, class_weight=by_class).fit(X, y, weights)
    other = MLPClassifier(**QUICK | {"max_iter": 5}).fit(X, y, weights * [by_class[label] for label in y])
    np.testing.assert_array_equal(one.model_.parameters, other.model_.parameters)


def test_balanced_classes_are_found() -> None:
    rng = np.random.default_rng(0)
    y = np.r_[np.zeros(950, int), np.ones(50, int)]
    data = rng.standard_normal((1000, 1)) + 1.5 * y[:, None]
    plain, balanced = (MLPClassifier(**QUICK, class_weight=weight).fit(data, y).predict(data) for weight in (None, "balanced"))
    assert plain[y == 1].mean() < 0.5 < 0.7 < balanced[y == 1].mean()


# --- early stopping


def test_validation_data() -> None:
    train, held_back = np.arange(0, 150, 2), np.arange(1, 150, 2)
    estimator = MLPClassifier(**QUICK, early_stopping=True, n_iter_no_change=3)
    estimator.fit(X[train], Y[train], X_val=X[held_back], y_val=Y[held_back])
    best = int(np.argmax(estimator.validation_scores_))
    assert estimator.best_validation_score_ == estimator.score(X[held_back], Y[held_back])
    assert estimator.t_ == 75 * estimator.n_iter_
    assert len(estimator.history_["val_loss"]) == estimator.n_iter_ > best
    with pytest.raises(ValueError, match="X_val"):
        estimator.fit(X, Y, y_val=Y)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("columns", [1, 2])
def test_the_validation_score_of_a_regressor_is_that_of_its_targets_in_float64(dtype: str, columns: int) -> None:
    """Squares of the deviations are beyond float16, or float32."""
    size = {"float16": 3000, "float32": 3e20, "float64": 3e20}[dtype]
    targets = (size * X[:, :columns]).astype(dtype).squeeze()
    estimator = MLPRegressor(**QUICK | {"dtype": "float64", "max_iter": 3}, early_stopping=True, tol=0.0)
    estimator.fit(X, targets, X_val=X[::3], y_val=targets[::3])
    expected = r2_score(targets[::3].astype(float), estimator.predict(X[::3]))
    assert estimator.best_validation_score_ == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("estimator", [MLPClassifier, MLPRegressor])
def test_early_stopping_without_shuffling_takes_the_rows_in_their_order(estimator: Any) -> None:
    seen: list[float] = []

    def loss(outputs: Any, targets: Any) -> Any:
        seen.extend(targets[:, -1].tolist())
        return np.zeros(len(outputs)), np.zeros_like(outputs)

    targets = np.arange(150) // 75 if estimator is MLPClassifier else np.arange(150.0)
    kw = QUICK | {"max_iter": 1, "batch_size": 16}
    estimator(loss=loss, early_stopping=True, shuffle=False, **kw).fit(X, targets)
    assert seen[:135] == sorted(seen[:135])


def test_monitored_loss() -> None:
    rng = np.random.default_rng(0)
    noise, labels = rng.standard_normal((100, 5)), rng.integers(0, 2, 100)  # nothing to be learned: the loss rises
    estimator = MLPClassifier(**QUICK, early_stopping=True, monitor="loss")
    estimator.fit(noise[:50], labels[:50], X_val=noise[50:], y_val=labels[50:])
    np.testing.assert_array_equal(estimator.validation_scores_, estimator.history_["val_loss"])
    assert estimator.best_validation_score_ == min(estimator.validation_scores_)
    restored = estimator.trainer_.evaluate(noise[50:], labels[50:])["loss"]
    assert restored == pytest.approx(estimator.best_validation_score_, rel=1e-6)
    assert restored < estimator.validation_scores_[-1]
    assert estimator.n_iter_ < 60
    column = MLPClassifier(**QUICK, early_stopping=True, monitor="running_loss").fit(X, Y)
    assert column.validation_scores_ == column.loss_curve_
    with pytest.raises(ValueError, match="monitor must be a reported column"):
        MLPClassifier(early_stopping=True, monitor="val_accuracy").fit(X, Y)


def test_weights_of_the_validation_score() -> None:
    weights = np.r_[np.ones(50), np.zeros(100)]
    estimator = MLPClassifier(**QUICK, early_stopping=True)
    estimator.fit(X, Y, X_val=X, y_val=np.where(Y == 0, 0, 2 - Y // 2), sample_weight_val=weights)
    assert estimator.best_validation_score_ == 1.0


@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize("factor", [2.0**-10, 2.0**10])
def test_the_scale_of_weights_does_not_change_the_validation_loss(given: bool, factor: float) -> None:
    weights = np.arange(1.0, 151.0)
    fitted = []
    for w in (weights, factor * weights):
        validation = {"X_val": X, "y_val": Y, "sample_weight_val": w} if given else {}
        estimator = MLPClassifier(**QUICK, alpha=0, early_stopping=True, monitor="loss", n_iter_no_change=2, tol=0.01)
        fitted.append(estimator.fit(X, Y, w, **validation))
    one, other = fitted
    assert one.n_iter_ == other.n_iter_
    np.testing.assert_array_equal(one.validation_scores_, other.validation_scores_)
    if given:
        loss = -weights @ np.log(one.predict_proba(X))[np.arange(150), Y] / weights.sum()
        assert one.best_validation_score_ == pytest.approx(loss, rel=1e-5)


@pytest.mark.parametrize("weighted", [False, True])
def test_validation_score_of_a_regressor(weighted: bool) -> None:
    y = np.column_stack([X @ [1, 2, 0, 0], X[:, 0] ** 2, np.full(150, 3.0)])
    weights = np.arange(40.0) if weighted else None
    estimator = MLPRegressor(**QUICK, early_stopping=True)
    estimator.fit(X, y, X_val=X[:40], y_val=y[:40], sample_weight_val=weights)
    assert estimator.best_validation_score_ == pytest.approx(estimator.score(X[:40], y[:40], weights), rel=1e-6)
    assert MLPRegressor(early_stopping=True, max_iter=1).fit(
        X, np.zeros(150), X_val=X, y_val=np.ones(150)
    ).validation_scores_ == [0]


def test_validation_score_of_several_labels() -> None:
    labels, weights = np.column_stack([Y > 0, Y > 1]).astype(int), np.arange(150.0)
    estimator = MLPClassifier(**QUICK | {"max_iter": 10}, early_stopping=True)
    estimator.fit(X, labels, X_val=X, y_val=labels, sample_weight_val=weights)
    assert estimator.best_validation_score_ == pytest.approx(estimator.score(X, labels, weights), rel=1e-12)
    assert 0 < estimator.best_validation_score_ < 1


def test_lbfgs_trains_on_all_data_and_ignores_early_stopping() -> None:
    one, other = (MLPClassifier(**QUICK, solver="lbfgs", early_stopping=early).fit(X, Y) for early in (False, True))
    np.testing.assert_array_equal(one.model_.parameters, other.model_.parameters)


# --- around training


def test_verbose(capsys: pytest.CaptureFixture[str]) -> None:
    estimator = MLPClassifier(**QUICK | {"max_iter": 2}, verbose=True).fit(X, Y)
    lines = [f"Iteration {i}, loss = {loss:.8f}" for i, loss in enumerate(estimator.loss_curve_, 1)]
    assert capsys.readouterr().out.splitlines() == lines


@pytest.mark.filterwarnings("error::sklearn.exceptions.ConvergenceWarning")
def test_convergence_warnings() -> None:
    with pytest.warns(ConvergenceWarning, match=r"\(3\) reached") as warned:
        MLPRegressor(max_iter=3).fit(X, Y)
    assert warned[0].filename == __file__
    with pytest.warns(ConvergenceWarning, match=r"\(3\) reached"):
        MLPClassifier(max_iter=3, solver="lbfgs").fit(X, Y)
    MLPClassifier(solver="lbfgs", alpha=1.0, dtype="float64", tol=1e-2).fit(X, Y)
    MLPClassifier(tol=10.0).fit(X, Y)
    with pytest.warns(UserWarning, match="batch_size is larger"):
        MLPClassifier(batch_size=1000, tol=10.0).fit(X, Y)


def test_interruption_keeps_what_was_reached() -> None:
    def press(trainer: Any, epoch: int, row: Any) -> None:
        if epoch == 3:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.warns(UserWarning, match="interrupted"):
        estimator = MLPClassifier(callbacks=[nn.LambdaCallback(on_epoch_end=press)]).fit(X, Y)
    assert estimator.n_iter_ == 3


@pytest.mark.filterwarnings("error::sklearn.exceptions.ConvergenceWarning")
def test_callbacks_are_called_and_may_stop() -> None:
    epochs = []

    def stop(trainer: Any, epoch: int, row: Any) -> None:
        epochs.append(epoch)
        trainer.stop_training = epoch == 5

    estimator = MLPRegressor(callbacks=[nn.LambdaCallback(on_epoch_end=stop)]).fit(X, Y)
    assert epochs == [1, 2, 3, 4, 5]
    assert estimator.n_iter_ == 5
    epochs.clear()
    assert estimator.set_params(solver="lbfgs").fit(X, Y).n_iter_ == 5
    assert epochs == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"solver": "lbgfs"}, "solver must be one of"),
        ({"activation": "rely"}, "activation must be one of"),
        ({"activation": ["relu", "tanh"]}, "activation must be one value or 1"),
        ({"alpha": -1}, "alpha must be"),
        ({"max_iter": 0}, "max_iter must be"),
        ({"hidden_layer_sizes": (3, 0)}, "hidden_layer_sizes must be"),
        ({"normalization": "batch"}, "normalization must be 'batch_norm' or"),
        ({"learning_rate": "cosine"}, "learning_rate must be one of"),
        ({"batch_size": "all"}, "batch_size must be"),
        ({"loss": "log"}, "loss must be"),
        ({"momentum": 1.0, "solver": "sgd"}, "momentum must be"),
    ],
)
def test_wrong_parameters(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        MLPClassifier(**parameters).fit(X, Y)


@pytest.mark.parametrize("loss", ["poisson", nn.losses.Poisson()], ids=str)
@pytest.mark.parametrize("outputs", [1, 2])
def test_the_loss_of_poisson_regression_is_half_the_deviance(loss: Any, outputs: int) -> None:
    y = np.random.default_rng(0).poisson(np.exp([1.0, 0.5] + X[:, :2]))[:, :outputs]
    y = y[:, 0] if outputs == 1 else y
    weights = np.arange(150.0) % 3
    parameters: dict[str, Any] = {"solver": "lbfgs", "alpha": 0, "max_iter": 10, "dtype": "float64", "random_state": 0}
    estimator = MLPRegressor(loss, (5,), **parameters).fit(X, y, weights)
    assert isinstance(estimator.trainer_.loss, nn.losses.Poisson)
    means = estimator.predict(X)
    columns = zip(y.reshape(150, -1).T, means.reshape(150, -1).T, strict=True)
    deviance = sum(mean_poisson_deviance(target, mean, sample_weight=weights) for target, mean in columns)
    assert estimator.loss_ == pytest.approx(deviance / 2, rel=1e-9)


def test_poisson_refuses_negative_targets() -> None:
    with pytest.raises(ValueError, match="at least 0"):
        MLPRegressor("poisson").fit(X, Y - 1)


@pytest.mark.parametrize("estimator", [MLPClassifier(**QUICK, optimizer=nn.Adam(), early_stopping=True), MLPRegressor(**QUICK)])
def test_copies(estimator: Any) -> None:
    fitted = clone(estimator).fit(X, Y)
    copy = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(copy.predict(X), fitted.predict(X))
    assert copy.loss_curve_ == fitted.loss_curve_
    fitted.set_params(warm_start=True, early_stopping=False).fit(X, Y)
    copy.set_params(warm_start=True, early_stopping=False).fit(X, Y)
    np.testing.assert_array_equal(copy.predict(X), fitted.predict(X))
    assert not hasattr(clone(fitted), "model_")


class Pickles(nn.Callback):
    """Pickles an estimator after its second epoch, and keeps what it predicts then."""

    estimator: Any = None
    pickled, predicted = b"", np.empty(0)

    def on_epoch_end(self, trainer: Any, epoch: int, row: dict[str, Any]) -> None:
        if epoch == 2:
            Pickles.pickled, Pickles.predicted = pickle.dumps(self.estimator), self.estimator.predict(X)


@pytest.mark.parametrize(
    "estimator",
    [
        MLPClassifier(**QUICK, early_stopping=True), MLPRegressor(**QUICK),
        RealMLPClassifier((8,), n_epochs=3, n_members=2, random_state=0), RealMLPRegressor((8,), n_epochs=3, random_state=0),
    ],
    ids=lambda e: type(e).__name__,
)  # fmt: skip
def test_an_estimator_is_pickled_within_its_fit(estimator: Any) -> None:
    callback = Pickles()
    estimator.set_params(callbacks=[callback])
    callback.estimator = estimator
    estimator.fit(np.tile(X, (50, 1)), np.tile(Y, 50))
    assert len(Pickles.pickled) < np.tile(X, (50, 1)).nbytes  # without the data
    copied = pickle.loads(Pickles.pickled)
    assert np.array_equal(copied.predict(X), Pickles.predicted)
    plain = clone(estimator).set_params(callbacks=None)
    assert np.array_equal(copied.set_params(callbacks=None).fit(X, Y).predict(X), plain.fit(X, Y).predict(X))


def test_random_state() -> None:
    same = [MLPClassifier(**QUICK).fit(X, Y).coefs_[0] for _ in range(2)]
    np.testing.assert_array_equal(*same)
    random = np.random.RandomState(0)
    first, second = (MLPClassifier(**QUICK | {"random_state": random, "max_iter": 2}).fit(X, Y).coefs_[0] for _ in range(2))
    assert not np.array_equal(first, second)


def test_html_representation() -> None:
    estimator = MLPClassifier(**QUICK).fit(X, Y)
    assert "MLPClassifier" in estimator._repr_html_()
    assert estimator._get_doc_link().endswith("sklearn.html#nncore.sklearn.MLPClassifier")


# --- predictions


def test_feature_names() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=list("abcd"))
    estimator = MLPClassifier(**QUICK, early_stopping=True).fit(frame, pandas.Series(Y))
    assert list(estimator.feature_names_in_) == list("abcd")
    estimator.predict(frame)
    with pytest.raises(ValueError, match="feature names"):
        estimator.predict(frame[list("dcba")])
    with pytest.warns(UserWarning, match="X does not have valid feature names"):
        estimator.predict(X)
    with pytest.warns(UserWarning, match="X has feature names, but MLPClassifier was fitted without"):
        MLPClassifier(max_iter=1).fit(X, Y).predict(frame)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_plain_arrays_need_no_further_validation(dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    estimators = [MLPClassifier(**QUICK, dtype=dtype).fit(X, Y), MLPRegressor(**QUICK, dtype=dtype).fit(X, Y)]
    expected = [estimator.predict(X.tolist()) for estimator in estimators]  # of a list, which is validated
    monkeypatch.setattr(base, "validate_data", None)
    for estimator, predictions in zip(estimators, expected, strict=True):
        for array in (X, np.asfortranarray(X), np.repeat(X, 2, axis=0)[::2]):
            np.testing.assert_array_equal(estimator.predict(array), predictions)
        np.testing.assert_allclose(estimator.predict(X.astype(np.float32)), predictions, rtol=1e-4)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.where(X > 2, np.nan, X), "Input X contains NaN"),
        (np.where(X > 2, np.inf, X), "Input X contains infinity"),
        (np.where(X > 2, 1e300, X), r"infinity or a value too large for dtype\('float32'\)"),
        (X[:, :3], "X has 3 features, but MLPClassifier is expecting 4"),
        (X[0], "Expected 2D array, got 1D array"),
        (X[:0], "Found array with 0 sample"),
        (X[:, :, None], "Found array with dim 3"),
        (X + 1j, "Complex data not supported"),
        (csr_matrix(X[:, :3]), "X has 3 features"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.filterwarnings("ignore:overflow encountered in cast")  # scikit-learn's, of float64 to float32
def test_wrong_inputs_of_predict(array: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MLPClassifier(max_iter=1).fit(X, Y).predict(array)


def test_without_scikit_learn() -> None:
    code = (
        "import sys, nncore; assert 'sklearn' not in sys.modules; sys.modules['sklearn'] = None\n"
        "try: import nncore.sklearn\n"
        "except ImportError as error: print(error)"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "nncore.sklearn needs scikit-learn >= 1.6: pip install 'nncore-learn[sklearn]'\n"


class Ends(nn.Callback):
    """Ends the training, by an error or in order, after so many epochs."""

    def __init__(self, epochs: int, error: bool) -> None:
        self.epochs, self.error = epochs, error

    def _end(self, trainer: Any) -> None:
        if self.error:
            raise ZeroDivisionError
        trainer.stop_training = True

    def on_train_begin(self, trainer: Any) -> None:
        if not self.epochs:
            self._end(trainer)

    def on_epoch_end(self, trainer: Any, epoch: int, row: Any) -> None:
        if epoch == self.epochs:
            self._end(trainer)


@pytest.mark.parametrize("epochs", [0, 2])
@pytest.mark.parametrize("error", [False, True])
@pytest.mark.parametrize("solver", [{"solver": "lbfgs"}, {"optimizer": "bfgs"}], ids=str)
def test_a_full_batch_solver_describes_what_it_has_reached(solver: dict[str, Any], error: bool, epochs: int) -> None:
    """Also after an error, and where nothing was trained."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((30, 3))
    estimator = MLPRegressor(hidden_layer_sizes=(3,), random_state=0, callbacks=[Ends(epochs, error)], **solver)
    with pytest.raises(ZeroDivisionError) if error else contextlib.nullcontext():
        estimator.fit(X, X[:, 0])
    if epochs:
        assert estimator.n_iter_ == epochs
        assert estimator.loss_ == estimator.history_["loss"][-1]
    elif not error:
        assert estimator.n_iter_ == 0
    else:
        assert not hasattr(estimator, "model_")
