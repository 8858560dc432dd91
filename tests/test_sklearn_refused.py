"""Fits that are refused leave an estimator as it was, and say why in the terms of its parameters."""

from __future__ import annotations

import copy
import pickle
import threading
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn", minversion="1.6")

from sklearn.base import clone
from sklearn.exceptions import NotFittedError

import nncore as nn
from nncore.sklearn import (
    MLPClassifier,
    MLPRegressor,
    RealMLPClassifier,
    RealMLPRegressor,
    SGDClassifier,
    SGDRegressor,
    TabularEncoder,
)

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X = np.random.default_rng(0).normal(size=(60, 4))
Y = X[:, :2]
CLASSES = (X[:, 0] > 0).astype(int)
THREE = CLASSES + (X[:, 1] > 0.5)
QUICK: dict[str, Any] = {"hidden_layer_sizes": (5,), "random_state": 0}
MANY = np.column_stack([CLASSES, X[:, 1] > 0, X[:, 2] > 0]).astype(int)  # several labels
ESTIMATORS = {
    "MLPClassifier": MLPClassifier(max_iter=3, **QUICK),
    "MLPRegressor": MLPRegressor(max_iter=3, **QUICK),
    "RealMLPClassifier": RealMLPClassifier(n_epochs=2, encoder=None, **QUICK),
    "RealMLPRegressor": RealMLPRegressor(n_epochs=2, encoder=None, **QUICK),
}
each = pytest.mark.parametrize("estimator", ESTIMATORS.values(), ids=ESTIMATORS)
classifiers = pytest.mark.parametrize("estimator", [ESTIMATORS[name] for name in ESTIMATORS if "Classifier" in name])


def fitted(estimator: Any) -> dict[str, Any]:
    """The fitted attributes: the network and the trainer themselves, all others as they are now."""
    kept = {name: value for name, value in vars(estimator).items() if name.endswith("_") or name.startswith("_")}
    return {
        name: value if name in ("model_", "trainer_", "models_", "trainers_") else pickle.dumps(value)
        for name, value in kept.items()
    }


def settings(estimator: Any) -> str:
    """What the next call of `partial_fit` trains with."""
    trainer = estimator.trainer_
    return repr((trainer.loss, trainer.clip, trainer.regularizer, trainer.optimizer))


def refused(
    estimator: Any, message: str | None, *data: Any, error: type[Exception] = ValueError, method: str = "fit", **named: Any
) -> None:
    before, parameters = fitted(estimator), estimator.model_.parameters.copy()
    predictions, trained_with = estimator.predict(X), settings(estimator)
    with pytest.raises(error, match=message):
        getattr(estimator, method)(*data, **named)
    assert fitted(estimator) == before
    assert np.array_equal(estimator.model_.parameters, parameters)
    assert np.array_equal(estimator.predict(X), predictions)
    assert settings(estimator) == trained_with
    assert estimator.trainer_.model is estimator.model_


# --- what a refused fit leaves

WRONG: list[tuple[dict[str, Any], str]] = [
    ({"clip": 0}, "clip must be a positive number"),
    ({"batch_size": 0}, "batch_size must be"),
    ({"solver": "lbfgs", "dropout": 0.5}, "differs between training"),
    ({"regularizer": {"nothing": nn.L2(1e-3)}}, "nothing"),
    ({"loss": "hinges"}, "loss must be"),
    ({"early_stopping": True, "monitor": "nothing"}, "nothing"),
    ({"callbacks": [nn.callbacks.ModelCheckpoint("no/such/folder/x")]}, "in a folder that exists"),
]


@pytest.mark.parametrize(("parameters", "message"), WRONG)
@pytest.mark.parametrize("warm_start", [False, True])
@pytest.mark.parametrize("cls", [MLPClassifier, MLPRegressor])
def test_a_refused_fit_changes_nothing(cls: Any, warm_start: bool, parameters: dict[str, Any], message: str) -> None:
    estimator = cls(max_iter=5, warm_start=warm_start, **QUICK).fit(X, CLASSES)
    before = estimator.get_params()
    error = FileNotFoundError if "callbacks" in parameters else ValueError
    if warm_start and "dropout" in parameters:
        message = "dropout must be as in the first fit"
    refused(estimator.set_params(**parameters), message, X, CLASSES, error=error)
    estimator.set_params(**before).fit(X, CLASSES)  # one network is trained and used
    assert estimator.trainer_.model is estimator.model_


CHANGED: list[dict[str, Any]] = [
    {"learning_rate_init": 0.5}, {"momentum": 0.1}, {"clip": 1e-9}, {"alpha": 50.0}, {"regularizer": nn.L1(3.0)},
    {"loss": "huber"}, {"schedule": nn.schedules.Cosine(0.5, 9)}, {"optimizer": nn.EMA(nn.SGD(0.5), 0.5)},
]  # fmt: skip
REFUSED: list[tuple[str, dict[str, Any]]] = [
    ("fit", {"early_stopping": True, "monitor": "val_los"}),
    ("fit", {"early_stopping": True, "monitor": "val_nothing_loss"}),
    *(
        (method, {"callbacks": [one]})
        for method in ("fit", "partial_fit")
        for one in (3, nn.ModelCheckpoint("no/such/folder/x"))
    ),
]


@pytest.mark.parametrize("changed", CHANGED, ids=lambda changed: next(iter(changed)))
@pytest.mark.parametrize(("method", "wrong"), REFUSED)
def test_a_refused_later_fit_leaves_what_the_trainer_trains_with(
    method: str, wrong: dict[str, Any], changed: dict[str, Any]
) -> None:
    """The next call trains as if there had been none."""
    optimizer = nn.EMA(nn.SGD(0.01)) if "optimizer" in changed else None
    estimator = MLPRegressor(solver="sgd", optimizer=optimizer, warm_start=True, max_iter=3, **QUICK).fit(X, CLASSES)
    before, twin = estimator.get_params(), copy.deepcopy(estimator).partial_fit(X, CLASSES)
    refused(estimator.set_params(**changed, **wrong), None, X, CLASSES, error=Exception, method=method)
    estimator.set_params(**before).partial_fit(X, CLASSES)
    assert np.array_equal(estimator.model_.parameters, twin.model_.parameters)


@pytest.mark.parametrize("cls", [MLPClassifier, RealMLPClassifier])
def test_validation_data_of_another_width_change_no_classes(cls: Any) -> None:
    estimator = cls(**QUICK, **({"max_iter": 5} if cls is MLPClassifier else {"n_epochs": 2})).fit(X, CLASSES)
    refused(estimator, "features", X, CLASSES + 1, X_val=X[:, :2], y_val=CLASSES)
    assert estimator.classes_.tolist() == [0, 1]


@pytest.mark.parametrize("parameters", [{"solver": "lbfgs", "dropout": 0.5}, {"batch_size": 0}, {"loss": "poisson"}])
def test_a_refused_first_fit_leaves_an_estimator_that_is_not_fitted(parameters: dict[str, Any]) -> None:
    estimator = MLPClassifier(**QUICK, **parameters)
    with pytest.raises(ValueError, match=r"differs|batch_size|poisson"):
        estimator.fit(X, CLASSES)
    with pytest.raises(NotFittedError):
        estimator.predict(X)


@each
def test_an_error_within_the_training_keeps_what_was_reached(estimator: Any) -> None:
    def fail(trainer: Any, epoch: int, row: dict[str, Any]) -> None:
        if epoch == 3:
            raise ZeroDivisionError

    length = {"max_iter": 9} if "max_iter" in estimator.get_params() else {"n_epochs": 9}
    failing = clone(estimator).set_params(callbacks=[nn.callbacks.LambdaCallback(on_epoch_end=fail)], **length)
    with pytest.raises(ZeroDivisionError):
        failing.fit(X, CLASSES)
    assert len(failing.history_) == 3
    assert failing.trainer_.model is failing.model_
    assert failing.predict(X).shape == (60,)
    if hasattr(failing, "n_iter_"):
        assert failing.n_iter_ == 2


@each
def test_a_training_that_diverges_keeps_the_last_finite_parameters(estimator: Any) -> None:
    rates = {"solver": "sgd"} if "solver" in estimator.get_params() else {"schedule": None, "n_members": 2}
    diverging = clone(estimator).set_params(learning_rate_init=1e37, **rates)
    with pytest.raises(nn.DivergenceError, match="The last finite parameters are in place"):
        diverging.fit(100 * X, CLASSES)
    assert np.isfinite(diverging.model_.parameters).all()
    if "Real" in type(diverging).__name__:
        assert len(diverging.best_epochs_) == len(diverging.models_)


def test_estimators_with_a_trainer_that_was_called_are_copied() -> None:
    estimator = MLPRegressor(max_iter=2, **QUICK).fit(X, CLASSES)
    for twin in (copy.deepcopy(estimator), pickle.loads(pickle.dumps(estimator))):
        assert np.array_equal(twin.predict(X), estimator.predict(X))


# --- a later fit with other parameters

OTHER: list[tuple[str, Any]] = [
    ("hidden_layer_sizes", (7,)), ("activation", "tanh"), ("dropout", 0.1), ("normalization", "layer_norm"),
    ("dtype", "float64"), ("compute_dtype", "bfloat16"), ("loss", "binary_cross_entropy"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), OTHER)
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_what_makes_the_network_is_as_in_the_first_fit(method: str, name: str, value: Any) -> None:
    estimator = MLPClassifier(max_iter=3, warm_start=True, **QUICK).fit(X, CLASSES)
    refused(estimator.set_params(**{name: value}), f"{name} must be .*as in the first fit", X, CLASSES, method=method)


@pytest.mark.parametrize("y", [CLASSES, THREE])
def test_another_loss_is_minimized_by_a_later_fit(y: Any) -> None:
    estimator = MLPClassifier(loss="hinge", warm_start=True, max_iter=20, learning_rate_init=0.01, **QUICK).fit(X, y)
    estimator.set_params(loss="log_loss")
    assert not hasattr(estimator, "predict_proba")  # the network was fitted to margins
    p = estimator.fit(X, y).predict_proba(X)
    assert p.min() >= 0
    assert np.allclose(p.sum(axis=1), 1)
    given = p[np.arange(len(y)), y]
    last = estimator.trainer_.evaluate(X, y)["loss"]
    assert np.isclose(-np.log(given).mean(), last, rtol=1e-3)


def test_a_regressor_takes_another_loss() -> None:
    estimator = MLPRegressor(warm_start=True, max_iter=2, **QUICK).fit(X, CLASSES)
    estimator.set_params(loss=nn.Huber(0.5)).fit(X, CLASSES)
    assert estimator.trainer_.loss == nn.Huber(0.5)
    assert np.all(estimator.set_params(loss="poisson").fit(X, CLASSES).predict(X) > 0)


class Fast(nn.Adam):
    def __init__(self, rate: float = 0.01) -> None:
        super().__init__(lr=rate)


class Decay(nn.L2):
    def __init__(self, weight: float) -> None:
        super().__init__(2 * weight)


@pytest.mark.parametrize("wrap", [lambda inner: inner, nn.EMA])
def test_a_later_fit_takes_arguments_that_are_no_attributes(wrap: Any) -> None:
    estimator = MLPRegressor(optimizer=wrap(Fast(0.001)), warm_start=True, max_iter=3, regularizer=Decay(1e-9), **QUICK)
    estimator.fit(X, CLASSES).set_params(optimizer=wrap(Fast(0.5)), regularizer=Decay(10.0)).fit(X, CLASSES)
    assert estimator.history_["lr"][-1] == 0.5
    assert estimator.trainer_.regularizer.l2 == 20.0
    assert len(estimator.history_) == 6


@pytest.mark.parametrize("name", ["adagrad", "rprop", "delta_bar_delta"])
def test_a_later_fit_with_an_optimizer_whose_state_depends_on_an_argument(name: str) -> None:
    estimator = MLPRegressor(optimizer=name, warm_start=True, max_iter=3, batch_size=60, **QUICK).fit(X, CLASSES)
    assert len(estimator.fit(X, CLASSES).history_) == 6


def test_a_later_fit_with_another_wrapped_optimizer() -> None:
    estimator = MLPRegressor(optimizer=nn.EMA(nn.SGD(0.1)), warm_start=True, max_iter=3, **QUICK).fit(X, CLASSES)
    assert estimator.set_params(optimizer=nn.EMA(nn.Adam())).fit(X, CLASSES).trainer_.optimizer.title == "EMA(Adam)"


# --- targets and inputs


def as_sparse(rows: Any) -> Any:
    return pytest.importorskip("scipy.sparse").csr_matrix(rows)


@pytest.mark.parametrize("form", [np.asarray, as_sparse])
@pytest.mark.parametrize(("codes", "got"), [((-1, 1), -1), ((0, 2), 2), ((1.0, 7.0), 7)])
@pytest.mark.parametrize("loss", ["log_loss", "squared_error"])
def test_several_labels_are_0_and_1(loss: str, codes: tuple[Any, Any], got: int, form: Any) -> None:
    y = form(np.array(codes)[MANY])
    message = f"y must .*rows of 0 and 1 for several labels, got ({got}|columns of several classes)"
    for estimator in (MLPClassifier(loss=loss, early_stopping=True, **QUICK), RealMLPClassifier(**QUICK)):
        with pytest.raises(ValueError, match=message):
            estimator.fit(X, y)
    fitted = MLPClassifier(loss=loss, max_iter=2, **QUICK).fit(X, MANY)
    refused(fitted, message, X, y, method="partial_fit")


@classifiers
@pytest.mark.parametrize(("factor", "got"), [(0.9, 0.9), (2, 2)])
def test_several_labels_of_validation_data_are_0_and_1(estimator: Any, factor: float, got: float) -> None:
    fitted = clone(estimator).fit(X, MANY)
    refused(fitted, f"must have rows of 0 and 1 for several labels, got {got}", X, MANY, X_val=X, y_val=MANY * factor)


def test_the_number_of_classes_is_that_of_the_columns() -> None:
    estimator = MLPClassifier(**QUICK)
    with pytest.raises(ValueError, match="classes must be 3, one for each column of y, got 7"):
        estimator.partial_fit(X, MANY, classes=range(7))
    estimator.partial_fit(X, MANY, classes=range(3))
    refused(estimator, "classes must be 3, one for each column of y, got 2", X, MANY, classes=[0, 1], method="partial_fit")


@pytest.mark.parametrize("estimator", [*ESTIMATORS.values(), SGDClassifier(), TabularEncoder()], ids=lambda e: type(e).__name__)
@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_a_series_is_no_table(estimator: Any, library: str) -> None:
    with pytest.raises(ValueError, match=r"Expected (a 2-dimensional container|2D array)"):
        clone(estimator).fit(pytest.importorskip(library).Series(X[:, 0]), CLASSES)


DAYS = np.array("2020-01-01", dtype="datetime64[ns]") + np.arange(60).astype("timedelta64[D]")


def frames(values: Any) -> list[Any]:
    """Data frames of a column of numbers and one of these values."""
    columns = {"a": X[:, 0], "b": values}
    libraries = [pytest.importorskip(name) for name in ("pandas", "polars", "pyarrow")]
    pandas, polars, pyarrow = libraries
    zoned = pandas.DataFrame({"b": pandas.Series(DAYS).dt.tz_localize("UTC")})
    return [pandas.DataFrame(columns), polars.DataFrame(columns), pyarrow.table(columns), zoned]


@pytest.mark.parametrize("estimator", [*ESTIMATORS.values(), SGDClassifier(), SGDRegressor()], ids=lambda e: type(e).__name__)
@pytest.mark.parametrize("values", [DAYS, DAYS - DAYS[0]], ids=["dates", "durations"])
def test_dates_are_no_inputs(estimator: Any, values: Any) -> None:
    column = values[:, np.newaxis]
    given: list[Any] = [column, list(column), np.array([[day] for day in values], dtype=object)]
    for data in [*given, *frames(values)]:
        with pytest.raises(TypeError, match="X must hold real numbers, got dates or durations"):
            clone(estimator).fit(data, CLASSES)
    for data in given:
        with pytest.raises(TypeError, match="X must hold real numbers, got dates or durations"):
            TabularEncoder().fit(data)
    fitted = clone(estimator).fit(X[:, :1], CLASSES)
    for data in given:
        with pytest.raises(TypeError, match="X must hold real numbers, got dates or durations"):
            fitted.predict(data)


@pytest.mark.parametrize(
    "estimator", [ESTIMATORS["MLPRegressor"], ESTIMATORS["RealMLPRegressor"], SGDRegressor()], ids=lambda e: type(e).__name__
)
@pytest.mark.parametrize(
    ("y", "got"),
    [
        (DAYS, "datetime64"),
        (np.where(CLASSES, DAYS, np.datetime64("NaT")), "datetime64"),
        (DAYS - DAYS[0], "timedelta64"),
        (np.array(["1.5", "2"])[CLASSES], "<U3"),
        (np.array(["1.5", "2"], dtype=object)[CLASSES], "dtype object with a str"),
    ],
    ids=["dates", "NaT", "durations", "text", "objects"],
)
def test_dates_and_text_are_no_targets(estimator: Any, y: Any, got: str) -> None:
    with pytest.raises(TypeError, match=f"y must hold real numbers, got .*{got}"):
        clone(estimator).fit(X, y)


@each
@pytest.mark.parametrize(
    ("named", "message"),
    [
        ({"X_val": X[:, :2], "y_val": CLASSES}, "^X_val has 2 features"),
        ({"X_val": np.full((2, 4), np.nan), "y_val": [0, 1]}, "^Input X_val contains NaN"),
        ({"X_val": X, "y_val": np.full(60, np.nan)}, "^(Input )?y_val (contains NaN|must)"),
        ({"X_val": X, "y_val": np.full((60, 3), 7.0)}, "^y_val (should|must|has)"),
        ({"X_val": DAYS[:, np.newaxis], "y_val": CLASSES}, "^X_val must hold real numbers|^X_val has 1 features"),
    ],
    ids=["features", "NaN", "NaN targets", "columns", "dates"],
)
def test_errors_name_the_validation_data(estimator: Any, named: dict[str, Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        clone(estimator).fit(X, CLASSES, **named)


def test_labels_in_messages_stay_as_they_are() -> None:
    names = np.array(["X", "y"])[CLASSES]
    with pytest.raises(ValueError, match=r"^y_val must have labels among classes_, \['X' 'y'\], got 'X y'$"):
        MLPClassifier(**QUICK).fit(X, names, X_val=X, y_val=np.full(60, "X y"))


@each
@pytest.mark.parametrize("size", [3e38, -3e38])
def test_outputs_that_overflow(estimator: Any, size: float) -> None:
    """Of finite inputs: no probability or prediction is NaN."""
    fitted = clone(estimator).fit(X, CLASSES)
    for name in ("predict", "predict_proba"):
        if hasattr(fitted, name):
            with pytest.raises(ValueError, match="the network's output for X must be finite, got"):
                getattr(fitted, name)(np.full((2, 4), size))


@pytest.mark.parametrize("scaled", [True, False])
def test_targets_that_are_too_large(scaled: bool) -> None:
    with pytest.raises(ValueError, match=r"^y is too large"):
        RealMLPRegressor(standardize=scaled, **QUICK).fit(X, X[:, 0] * 1e200)


@each
@pytest.mark.parametrize("name", ["sample_weight", "sample_weight_val"])
def test_weights_whose_sum_overflows(estimator: Any, name: str) -> None:
    validation = {"X_val": X, "y_val": CLASSES}
    with pytest.raises(ValueError, match=f"^{name} is too large: its sum overflows in float64"):
        clone(estimator).fit(X, CLASSES, **{name: np.full(60, 1e307)}, **validation)


@classifiers
def test_class_weights_whose_sum_overflows(estimator: Any) -> None:
    with pytest.raises(ValueError, match=r"^class_weight is too large: its sum overflows"):
        clone(estimator).set_params(class_weight={0: 1e307, 1: 1e307}).fit(X, CLASSES)
    with pytest.raises(ValueError, match=r"^class_weight times sample_weight is too large: its sum overflows"):
        clone(estimator).set_params(class_weight={0: 1e200, 1: 1e200}).fit(X, CLASSES, np.full(60, 1e200))


# --- parameters

LOGGER = nn.CSVLogger("nowhere.csv")
PARAMETERS: list[tuple[dict[str, Any], str]] = [
    ({"callbacks": LOGGER}, "callbacks must be a list of Callback objects, got CSVLogger"),
    ({"callbacks": 0}, "callbacks must be a list of Callback objects, got 0"),
    ({"callbacks": [3]}, "callbacks must be a list of Callback objects, got 3 in it"),
    ({"dtype": "x"}, "dtype must be float32 or float64, got 'x'"),
    ({"dtype": 3}, "dtype must be float32 or float64, got 3"),
    ({"dtype": "int64"}, "dtype must be float32 or float64, got int64"),
    ({"class_weight": [1]}, r"class_weight must be .*'balanced', got \[1\]"),
    ({"monitor": 3}, "monitor must be .*, got 3"),
    ({"max_iter": None}, "max_iter must be a positive integer, got None"),
    ({"n_epochs": None}, "n_epochs must be a positive integer, got None"),
    ({"hidden_layer_sizes": np.array(0)}, "hidden_layer_sizes must be a positive integer, got 0"),
    ({"hidden_layer_sizes": np.array([3, 0])}, "hidden_layer_sizes must be a positive integer, got 0"),
    ({"encoder": 3}, "encoder must be 'tabular', a transformer or None, got 3"),
    ({"encoder": "onehot"}, "encoder must be 'tabular', a transformer or None, got 'onehot'"),
    ({"encoder": MLPRegressor()}, "encoder must be 'tabular', a transformer or None, got MLPRegressor"),
    ({"encoder": TabularEncoder(scaler="standard")}, "scaler must be 'robust', a transformer or None, got 'standard'"),
    ({"verbose": 3}, "verbose must be .*, got 3"),
    ({"verbose": "a"}, "verbose must be .*, got 'a'"),
]


@each
def test_wrong_parameters_are_named(estimator: Any) -> None:
    of_realmlp = isinstance(estimator, (RealMLPClassifier, RealMLPRegressor))
    for parameters, message in PARAMETERS:
        if parameters.keys() <= estimator.get_params().keys() and (of_realmlp or "verbose" not in parameters):
            with pytest.raises((TypeError, ValueError), match=message):
                clone(estimator).set_params(**parameters).fit(X, CLASSES)


@each
@pytest.mark.parametrize("sizes", [np.array(3), np.array([3]), [3], np.int64(3)])
def test_sizes_of_arrays(estimator: Any, sizes: Any) -> None:
    assert clone(estimator).set_params(hidden_layer_sizes=sizes).fit(X, CLASSES).model_.layers[-1].weight.shape[1] == 3


# --- losses for exclusive classes


@pytest.mark.parametrize("loss", ["kl_divergence", "softmax_cross_entropy", nn.SoftmaxCrossEntropy(label_smoothing=0.1)])
def test_losses_for_exclusive_classes_have_an_output_for_each_of_two(loss: Any) -> None:
    estimator = MLPClassifier(loss=loss, max_iter=100, learning_rate_init=0.05, **QUICK).fit(X, CLASSES)
    assert estimator.n_outputs_ == 2
    assert estimator.score(X, CLASSES) > 0.95
    assert np.allclose(estimator.predict_proba(X).sum(axis=1), 1)
    with pytest.raises(ValueError, match="loss must be one for several labels"):
        MLPClassifier(loss=loss).fit(X, np.column_stack((CLASSES, 1 - CLASSES)))


@pytest.mark.parametrize("loss", ["poisson", nn.Poisson()])
def test_a_classifier_refuses_the_poisson_loss(loss: Any) -> None:
    with pytest.raises(ValueError, match="loss must be one for classes, got poisson"):
        MLPClassifier(loss=loss).fit(X, CLASSES)


# --- class weights


def test_a_batch_without_a_class_that_has_a_weight() -> None:
    y = np.arange(60) % 3
    estimator = MLPClassifier(class_weight={0: 5.0, 1: 2.0}, **QUICK).partial_fit(X, y, classes=[0, 1, 2])
    batch = y != 1
    twin = copy.deepcopy(estimator).set_params(class_weight=None)
    estimator.partial_fit(X[batch], y[batch])
    twin.partial_fit(X[batch], y[batch], sample_weight=np.where(y[batch] == 0, 5.0, 1.0))
    assert np.array_equal(estimator.model_.parameters, twin.model_.parameters)


@pytest.mark.parametrize(
    "estimator",
    [ESTIMATORS["MLPClassifier"], ESTIMATORS["RealMLPClassifier"], SGDClassifier("log_loss", max_iter=3, random_state=0)],
    ids=["MLPClassifier", "RealMLPClassifier", "SGDClassifier"],
)
def test_balanced_classes_by_weights(estimator: Any) -> None:
    """Examples count by their weights: those of weight 0 not at all."""
    weights = np.where(THREE == 2, 0.25, np.arange(60) % 3)
    total = np.bincount(THREE, weights)
    by_hand = dict(enumerate(total.sum() / (3 * total)))
    balanced, twin = (
        clone(estimator).set_params(class_weight=given).fit(X, THREE, sample_weight=weights) for given in ("balanced", by_hand)
    )
    assert np.array_equal(balanced.predict_proba(X), twin.predict_proba(X))


def test_balanced_labels_by_weights() -> None:
    """Of several labels: the product of the weights of each."""
    weights = np.arange(60) % 3
    factors = np.ones(60)
    for column in MANY.T:
        total = np.bincount(column, weights)
        factors *= (total.sum() / (2 * total))[column]
    balanced = clone(ESTIMATORS["MLPClassifier"]).set_params(class_weight="balanced").fit(X, MANY, sample_weight=weights)
    twin = clone(ESTIMATORS["MLPClassifier"]).fit(X, MANY, sample_weight=weights * factors)
    assert np.allclose(balanced.predict_proba(X), twin.predict_proba(X), rtol=1e-6)


@pytest.mark.parametrize("cls", [MLPClassifier, RealMLPClassifier])
@pytest.mark.parametrize(
    ("class_weight", "message"),
    [
        ({0: -1, 1: 1}, r"class_weight\[0\] must be a finite number of at least 0, got -1"),
        ({0: np.inf}, r"class_weight\[0\] must be a finite number"),
        ({0: 0, 1: 0}, "class_weight must leave an example with a positive weight"),
        ({0: 1, 7: 1}, r"class_weight must have labels among classes_, \[0 1\], as its keys, got 7"),
    ],
)
def test_wrong_class_weights(cls: Any, class_weight: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        cls(class_weight=class_weight).fit(X, CLASSES)


def test_class_weights_of_text() -> None:
    names = np.array(["no", "yes"])[CLASSES]
    weighted = MLPClassifier(class_weight={"no": 3.0, "yes": 1.0, "perhaps": 9.0}, max_iter=5, **QUICK).fit(X, names)
    twin = MLPClassifier(max_iter=5, **QUICK).fit(X, names, sample_weight=np.where(CLASSES == 0, 3.0, 1.0))
    assert np.array_equal(weighted.model_.parameters, twin.model_.parameters)


# --- data held back


@pytest.mark.parametrize("y", [np.arange(40) % 10, np.r_[2, np.arange(39) % 2]])
def test_early_stopping_with_many_or_rare_classes(y: Any) -> None:
    estimator = MLPClassifier(early_stopping=True, max_iter=3, **QUICK).fit(X[:40], y)
    assert len(estimator.validation_scores_) == 3
    assert estimator.classes_.tolist() == sorted(set(y.tolist()))


def test_early_stopping_needs_a_validation_fraction() -> None:
    with pytest.raises(ValueError, match=r"validation_fraction must be a number in \(0, 1\), got 0"):
        MLPClassifier(early_stopping=True, validation_fraction=0).fit(X, CLASSES)


def all_weights_on_one_side(estimator: Any, held_back: bool, draws: int) -> Any:
    """Weights of 0 in one part of the examples; ``draws``: the seeds up to that of the split."""
    random, examples = np.random.RandomState(0), estimator._examples(X, CLASSES, np.arange(60), None)
    seed = [random.randint(2**31 - 1) for _ in range(draws)][-1]
    weights = np.ones(60)
    weights[estimator._hold_back(examples, seed)[int(held_back)].y] = 0
    return weights


@pytest.mark.parametrize(("held_back", "use"), [(True, "held back for validation"), (False, "left for training")])
def test_weights_of_zero_on_one_side(held_back: bool, use: str) -> None:
    estimator = MLPRegressor(early_stopping=True, **QUICK)
    weights = all_weights_on_one_side(estimator, held_back, draws=3)
    with pytest.raises(ValueError, match=f"sample_weight must have a positive number among the .* of 60 examples {use}"):
        estimator.fit(X, CLASSES, sample_weight=weights)


@pytest.mark.parametrize("held_back", [True, False])
def test_real_mlp_holds_back_weighted_examples(held_back: bool) -> None:
    estimator = RealMLPRegressor(n_epochs=2, **QUICK)
    weights = all_weights_on_one_side(estimator, held_back, draws=1)
    estimator.fit(X, CLASSES, sample_weight=weights)
    assert np.isfinite(estimator.history_["val_loss"]).all()
    assert (np.asarray(estimator.history_["val_loss"]) > 0).all()


@pytest.mark.parametrize("cls", [MLPRegressor, RealMLPRegressor])
def test_validation_targets_have_as_many_columns_as_those_of_the_training(cls: Any) -> None:
    for y, other in ((Y, CLASSES.astype(float)), (Y[:, 0], Y)):
        with pytest.raises(ValueError, match="y_val must have shape"):
            cls(**QUICK).fit(X, y, X_val=X, y_val=other)


# --- learning rates


@pytest.mark.parametrize("learning_rate", ["adaptive", "invscaling"])
@pytest.mark.parametrize(
    "optimizer", [nn.SGD(nn.schedules.Cosine(0.1, 100)), nn.EMA(nn.SGD(nn.schedules.Cosine(0.1, 9))), "rprop", "bfgs"]
)
def test_learning_rates_that_cannot_be_adapted(optimizer: Any, learning_rate: str) -> None:
    estimator = MLPClassifier(optimizer=optimizer, learning_rate=learning_rate, batch_size=60, max_iter=2, **QUICK)
    with pytest.raises(ValueError, match=f"learning_rate='{learning_rate}' needs an optimizer whose lr is a number"):
        estimator.fit(X, CLASSES)


@pytest.mark.parametrize("parameters", [{"optimizer": "bfgs"}, {"optimizer": "rprop", "batch_size": 60}, {"solver": "lbfgs"}])
def test_a_schedule_needs_a_learning_rate(parameters: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="schedule needs an optimizer with a learning rate, got"):
        MLPClassifier(schedule=nn.schedules.Cosine(0.1, 100), max_iter=2, **parameters).fit(X, CLASSES)


# --- assigned coefficients


@pytest.mark.parametrize("name", ["coefs_", "intercepts_"])
def test_assigned_coefficients_are_checked_first(name: str) -> None:
    estimator = MLPRegressor(max_iter=2, **QUICK).fit(X, CLASSES)
    before = estimator.model_.parameters.copy()
    good = [np.zeros(array.shape) for array in getattr(estimator, name)]
    for values in ([good[0], good[1][..., :0]], good[:1], [*good, good[0]], [good[0], 0.0]):
        with pytest.raises(ValueError, match=f"{name} must be 2 arrays of shapes"):
            setattr(estimator, name, values)
        assert np.array_equal(estimator.model_.parameters, before)
    setattr(estimator, name, good)
    assert all(not array.any() for array in getattr(estimator, name))


def test_a_refused_encoder_is_as_before() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"a": [1.0, 2, 4], "b": ["x", "y", "x"]})
    encoder = TabularEncoder().fit(frame)
    before, encoded = fitted(encoder), encoder.transform(frame)
    for other in (
        pandas.DataFrame({"c": [np.nan] * 3, "d": list("pqr")}),
        pandas.DataFrame({"c": [1.0, np.nan], "d": list("pq")}),
    ):
        with pytest.raises(ValueError, match="X must"):
            encoder.fit(other)
        assert fitted(encoder) == before
        assert np.array_equal(encoder.transform(frame), encoded)


# --- data that scikit-learn's validation would read wrongly

ALL = {**ESTIMATORS, "SGDClassifier": SGDClassifier(), "SGDRegressor": SGDRegressor(), "TabularEncoder": TabularEncoder()}
all_estimators = pytest.mark.parametrize("estimator", ALL.values(), ids=ALL)
sparse_estimators = pytest.mark.parametrize("name", [name for name in ALL if name.startswith(("MLP", "SGD"))])


@sparse_estimators
@pytest.mark.parametrize("part", ["indices", "indptr"])
def test_a_damaged_sparse_matrix_is_refused_before_it_is_converted(name: str, part: str) -> None:
    sparse = pytest.importorskip("scipy.sparse")
    fit, damaged = clone(ALL[name]).fit(sparse.csr_matrix(X), CLASSES), sparse.csr_matrix(X)
    getattr(damaged, part)[30] = 10**6  # SciPy would write beyond its arrays
    calls: list[tuple[Any, ...]] = [(fit.fit, damaged, CLASSES), (fit.partial_fit, damaged, CLASSES), (fit.predict, damaged)]
    for call, *data in calls:
        with pytest.raises(ValueError, match="X must be a valid sparse matrix: its indices do not fit"):
            call(*data)
    if name.startswith("MLP"):
        with pytest.raises(ValueError, match="X_val must be a valid sparse matrix"):
            fit.fit(X, CLASSES, X_val=damaged, y_val=CLASSES)


def test_damaged_sparse_labels_are_refused() -> None:
    sparse = pytest.importorskip("scipy.sparse")
    labels = sparse.csr_matrix(MANY)
    labels.indices[3] = 10**6
    for name in ("MLPClassifier", "RealMLPClassifier"):
        with pytest.raises(ValueError, match="y must be a valid sparse matrix"):
            clone(ALL[name]).fit(X, labels)


@all_estimators
def test_masked_cells_are_no_numbers(estimator: Any) -> None:
    masked, labels = np.ma.masked_array(X, X > 1), np.ma.masked_array(CLASSES, CLASSES > 0)
    fit, without = clone(estimator).fit(X, CLASSES), np.ma.masked_array(X)
    apply = fit.predict if hasattr(fit, "predict") else fit.transform
    assert np.array_equal(apply(without), apply(X))
    calls: list[tuple[Any, ...]] = [("X", fit.fit, masked, CLASSES), ("X", apply, masked)]
    calls += [] if isinstance(fit, TabularEncoder) else [("y", fit.fit, X, labels)]
    for argument, call, *data in calls:
        with pytest.raises(ValueError, match=f"{argument} must have no masked cells"):
            call(*data)


# --- class weights, classes, parameters that can be read once


@pytest.mark.parametrize("cls", [MLPClassifier, RealMLPClassifier, SGDClassifier])
@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({0: -1}, "at least 0"), ({0: np.nan}, "at least 0"), ({0: 0, 1: 0}, "a positive weight"), ({"a": 1}, "labels among"),
        ({0: 1e308, 1: 1e308}, "class_weight is too large"), ("equal", "balanced"), ([1, 2], "balanced"),
        ({0: "1"}, "at least 0"),
    ],
)  # fmt: skip
def test_class_weights_are_checked(cls: Any, weights: Any, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        cls(class_weight=weights).fit(X, CLASSES)


@pytest.mark.parametrize("classes", [[], [[0, 1]], 3])
def test_classes_are_a_list(classes: Any) -> None:
    with pytest.raises(ValueError, match="classes must be one label or more"):
        MLPClassifier(**QUICK).partial_fit(X, CLASSES, classes=classes)


@pytest.mark.parametrize(
    ("estimator", "name", "values"),
    [
        (MLPClassifier(max_iter=1), "hidden_layer_sizes", (5,)), (MLPRegressor(max_iter=1), "callbacks", []),
        (RealMLPClassifier(n_epochs=1), "callbacks", []), (TabularEncoder(), "categorical_features", [0]),
    ],
)  # fmt: skip
def test_a_parameter_that_can_be_read_once_is_refused(estimator: Any, name: str, values: Any) -> None:
    with pytest.raises(TypeError, match=f"{name} must be a list, which every fit can read, got a tuple_iterator"):
        estimator.set_params(**{name: iter(tuple(values))}).fit(X, CLASSES)


def test_values_by_layer_may_be_arrays() -> None:
    fits = [MLPClassifier((5, 3), dropout=rates, max_iter=2, random_state=0) for rates in ([0.1, 0.2], np.array([0.1, 0.2]))]
    first, second = (fit.fit(X, CLASSES).model_ for fit in fits)
    assert np.array_equal(first.parameters, second.parameters)


def test_a_warm_start_that_watches_another_quantity_forgets_the_best_one() -> None:
    fit = MLPClassifier(early_stopping=True, warm_start=True, max_iter=5, learning_rate_init=1e-5, **QUICK).fit(X, CLASSES)
    assert fit.best_validation_score_ is not None
    assert fit.best_validation_score_ <= 1  # an accuracy
    fit.set_params(monitor="loss").fit(X, 1 - CLASSES)
    assert fit.best_validation_score_ == min(fit.validation_scores_)
    assert len(fit.validation_scores_) == fit.n_iter_


# --- one call at a time


@pytest.mark.parametrize("name", [name for name in ESTIMATORS if "MLP" in name])
@pytest.mark.parametrize("elsewhere", [False, True])
def test_an_estimator_is_fitted_by_one_call_at_a_time(name: str, elsewhere: bool) -> None:
    errors: list[Exception] = []

    def again() -> None:
        try:
            estimator.fit(X, CLASSES)
        except RuntimeError as error:
            errors.append(error)

    def on_epoch_end(trainer: Any, epoch: int, row: dict[str, Any]) -> None:
        if elsewhere:
            thread = threading.Thread(target=again)
            thread.start()
            thread.join()
        else:
            again()

    estimator = clone(ESTIMATORS[name])
    estimator.set_params(callbacks=[nn.callbacks.LambdaCallback(on_epoch_end=on_epoch_end)])
    estimator.fit(X, CLASSES)
    assert {str(error) for error in errors} == {str(errors[0])}
    assert "this estimator is being fitted already" in str(errors[0])
    alone = clone(ESTIMATORS[name]).fit(X, CLASSES)
    assert np.array_equal(estimator.model_.parameters, alone.model_.parameters)
    assert estimator.history_ == alone.history_
    seen = len(errors)
    estimator.set_params(callbacks=None)
    again()  # afterwards it may be fitted
    assert len(errors) == seen == len(alone.history_)


# --- the parameter's name, where a part of the network has another


WRONG: dict[str, Any] = {
    "beta_1": 1, "beta_2": "0.9", "epsilon": -1, "dropout": 5, "clip": -1, "optimizer": ["adam"], "schedule": "slow",
    "hidden_layer_sizes": "10",
}  # fmt: skip


@pytest.mark.parametrize("name", [name for name in ESTIMATORS if "MLP" in name])
@pytest.mark.parametrize("parameter", sorted(WRONG))
def test_the_message_names_the_parameter(name: str, parameter: str) -> None:
    estimator = clone(ESTIMATORS[name])
    if parameter not in estimator.get_params() or isinstance(estimator.get_params()[parameter], bool):
        pytest.skip("no such parameter")
    estimator.set_params(**{parameter: WRONG[parameter]})
    with pytest.raises((TypeError, ValueError), match=f"^{parameter} must be "):
        estimator.fit(X, CLASSES)


def test_a_text_is_one_size() -> None:
    with pytest.raises(TypeError, match=r"^hidden_layer_sizes must be a positive integer, got '10'"):
        MLPClassifier(hidden_layer_sizes="10").fit(X, CLASSES)


@pytest.mark.parametrize("name", [name for name in ESTIMATORS if "MLP" in name])
def test_validation_data_need_targets(name: str) -> None:
    with pytest.raises(ValueError, match=r"^X_val needs y_val, got None"):
        clone(ESTIMATORS[name]).fit(X, CLASSES, X_val=X)
