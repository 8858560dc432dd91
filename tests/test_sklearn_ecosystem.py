"""The estimators within scikit-learn's tools, and those of others."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn", minversion="1.6")

import joblib
import sklearn
from scipy.stats import loguniform
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import TransformedTargetRegressor, make_column_transformer
from sklearn.datasets import load_iris
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    BaggingRegressor,
    StackingClassifier,
    StackingRegressor,
    VotingClassifier,
)
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.feature_selection import RFE
from sklearn.inspection import partial_dependence, permutation_importance
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    HalvingRandomSearchCV,
    TunedThresholdClassifierCV,
    cross_validate,
    learning_curve,
)
from sklearn.multioutput import ClassifierChain, MultiOutputClassifier, MultiOutputRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import nncore as nn
from nncore.data.scaling import SCALERS
from nncore.sklearn import MLPClassifier, MLPRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

QUICK: dict[str, Any] = {"hidden_layer_sizes": (10,), "learning_rate_init": 0.02, "max_iter": 40, "random_state": 0}
X, Y = StandardScaler().fit_transform(load_iris().data), load_iris().target
NAMES = np.array(["a", "b", "c"])[Y]
DATA = np.random.default_rng(0).standard_normal((200, 4))
LINEAR = DATA @ [2.0, 0.0, 0.0, 1.0]
CLASSIFIER, REGRESSOR = MLPClassifier(**QUICK), MLPRegressor(**QUICK)


# --- pipelines and tables


def test_the_validation_data_of_a_pipeline_are_transformed() -> None:
    """With metadata routing, as of the boosted trees of scikit-learn."""
    far = 1000 + 50 * X
    weights = np.r_[np.ones(100), np.zeros(50)]
    with sklearn.config_context(enable_metadata_routing=True):
        estimator = MLPClassifier(**QUICK, early_stopping=True)
        estimator.set_fit_request(sample_weight=True, X_val=True, y_val=True, sample_weight_val=True)
        pipeline = make_pipeline(StandardScaler().set_fit_request(sample_weight=False), estimator, transform_input=["X_val"])
        pipeline.fit(far, NAMES, sample_weight=weights, X_val=far[::2], y_val=NAMES[::2], sample_weight_val=weights[::2])
    network = pipeline[-1]
    best = int(np.argmax(network.validation_scores_))
    log_loss = -np.log(pipeline.predict_proba(far[:100:2])[np.arange(50), Y[:100:2]]).mean()
    assert network.history_["val_loss"][best] == pytest.approx(log_loss, rel=1e-3)  # of the rows with a weight
    assert "c" not in pipeline.predict(far)


def table(library: str) -> Any:
    """Two columns of numbers and one of text, as a data frame of pandas or polars."""
    columns = {"long": X[:, 2], "wide": X[:, 3], "kind": np.where(X[:, 0] > 0, "large", "small")}
    return pytest.importorskip(library).DataFrame(columns)


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_columns_of_a_table(library: str) -> None:
    frame = table(library)
    transformer = make_column_transformer((StandardScaler(), ["long", "wide"]), (OneHotEncoder(sparse_output=False), ["kind"]))
    plain = make_pipeline(transformer, CLASSIFIER).fit(frame, NAMES)
    named = make_pipeline(transformer, CLASSIFIER).set_output(transform=library).fit(frame, NAMES)
    array = np.column_stack([X[:, 2:], X[:, 0] > 0, X[:, 0] <= 0])
    expected = MLPClassifier(**QUICK).fit(array, NAMES).predict_proba(array)
    for pipeline in (plain, named):
        np.testing.assert_allclose(pipeline.predict_proba(frame), expected, rtol=1e-5)
    assert list(named[-1].feature_names_in_) == [
        "standardscaler__long", "standardscaler__wide", "onehotencoder__kind_large", "onehotencoder__kind_small"
    ]  # fmt: skip


@pytest.mark.parametrize("library", ["pandas", "polars"])
@pytest.mark.parametrize("name", sorted(SCALERS))
def test_scalers_of_nncore_in_a_column_transformer(name: str, library: str) -> None:
    """Names and numbers are those of the scaler of scikit-learn, or of the class where columns are mixed."""
    frame, own = table(library), SCALERS[name]()
    transformer = make_column_transformer((own, ["long", "wide"]), ("passthrough", ["kind"]))
    expected = ["decorrelate0", "decorrelate1"] if name == "Decorrelate" else ["long", "wide"]
    stem = name.lower()
    result = clone(transformer).set_output(transform=library).fit_transform(frame)
    assert list(result.columns) == [*(f"{stem}__{column}" for column in expected), "passthrough__kind"]
    assert list(transformer.fit(frame).get_feature_names_out()) == list(result.columns)
    array = SCALERS[name]().fit_transform(X[:, 2:])
    np.testing.assert_array_equal(np.asarray(result[:, :2] if library == "polars" else result.iloc[:, :2], float), array)
    scaler = clone(SCALERS[name]().set_output(transform=library)).fit(frame[["long", "wide"]])
    assert type(scaler.transform(frame[["long", "wide"]])) is type(frame)
    assert type(scaler.set_output(transform="default").transform(X[:, 2:])) is np.ndarray


def test_rows_of_a_scaled_table_keep_their_index() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"a": [1.0, 2.0, 4.0]}, index=["x", "y", "z"])
    scaled = SCALERS["StandardScaler"]().set_output(transform="pandas").fit_transform(frame)
    assert scaled.index.tolist() == ["x", "y", "z"]


def test_names_of_scaled_columns() -> None:
    scaler = SCALERS["StandardScaler"]()
    with pytest.raises(ValueError, match="not fitted"):
        scaler.get_feature_names_out()
    assert scaler.fit(X[:, 2:]).get_feature_names_out().tolist() == ["x0", "x1"]
    assert scaler.get_feature_names_out(["a", "b"]).tolist() == ["a", "b"]
    with pytest.raises(ValueError, match="input_features must be 2 strings"):
        scaler.get_feature_names_out(["a"])
    scaler.feature_names_in_ = ["a", "b"]
    with pytest.raises(ValueError, match="input_features must be those of fit"):
        scaler.get_feature_names_out(["a", "c"])
    with pytest.raises(ValueError, match=r"transform must be .*'polars', got 'arrow'"):
        scaler.set_output(transform="arrow")


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_a_table_as_it_is(library: str) -> None:
    """Inputs, labels of text, validation data and several targets."""
    frame = table(library)
    numbers, kinds = frame[["long", "wide"]], frame["kind"]
    classifier = MLPClassifier(**QUICK, early_stopping=True).fit(numbers, kinds, X_val=numbers, y_val=kinds)
    assert list(classifier.feature_names_in_) == ["long", "wide"]
    assert list(classifier.classes_) == ["large", "small"]
    assert classifier.score(numbers, kinds) > 0.85
    regressor = MLPRegressor(**QUICK).fit(numbers, numbers)
    np.testing.assert_array_equal(regressor.predict(numbers), MLPRegressor(**QUICK).fit(X[:, 2:], X[:, 2:]).predict(X[:, 2:]))


def test_scaled_targets() -> None:
    y = 1e6 + 1e4 * LINEAR
    estimator = TransformedTargetRegressor(REGRESSOR, transformer=StandardScaler()).fit(DATA, y)
    assert estimator.score(DATA, y) > 0.9
    assert REGRESSOR.fit(DATA, y).score(DATA, y) < 0


# --- searches


@pytest.fixture(scope="module")
def search_results() -> dict[str, Any]:
    """Mean scores of the searches, one at a time."""
    return {name: make().fit(X, NAMES).cv_results_["mean_test_score"] for name, make in SEARCHES.items()}


def halving() -> Any:
    distributions = {"mlpclassifier__alpha": loguniform(1e-6, 1e-2), "mlpclassifier__activation": ["relu", "tanh"]}
    pipeline = make_pipeline(StandardScaler(), MLPClassifier(**QUICK))
    return HalvingRandomSearchCV(
        pipeline, distributions, resource="mlpclassifier__max_iter", max_resources=20, min_resources=5, cv=2, random_state=0
    )


def grid() -> Any:
    values = {"mlpclassifier__dropout": [0.0, 0.2], "mlpclassifier__optimizer": [None, nn.AdamW(0.02)]}
    return GridSearchCV(make_pipeline(StandardScaler(), MLPClassifier(**QUICK)), values, cv=2)


SEARCHES = {"grid": grid, "halving": halving}


@pytest.mark.parametrize("name", SEARCHES)
@pytest.mark.parametrize("backend", ["threading", "loky"])
def test_searches(name: str, backend: str, search_results: dict[str, Any]) -> None:
    """In threads and in processes they find the same, to the bit."""
    search = SEARCHES[name]().set_params(n_jobs=2)
    with joblib.parallel_config(backend=backend):
        search.fit(X, NAMES)
    np.testing.assert_array_equal(search.cv_results_["mean_test_score"], search_results[name])
    assert search.score(X, NAMES) > (0.85 if name == "grid" else 0.3)
    if name == "halving":
        assert search.best_estimator_[-1].n_iter_ <= 20


def test_optuna(monkeypatch: pytest.MonkeyPatch) -> None:
    """A trial may be pruned within a training, by a callback."""
    optuna = pytest.importorskip("optuna")
    optuna.logging.set_verbosity(optuna.logging.ERROR)

    def objective(trial: Any) -> float:
        def report(trainer: Any, epoch: int, row: Any) -> None:
            trial.report(row["val_loss"], epoch)
            if trial.should_prune():
                raise optuna.TrialPruned

        parameters = QUICK | {"learning_rate_init": trial.suggest_float("lr", 1e-5, 1e-1, log=True), "max_iter": 20}
        parameters["activation"] = trial.suggest_categorical("activation", ["relu", "tanh"])
        estimator = MLPClassifier(**parameters, callbacks=[nn.LambdaCallback(on_epoch_end=report)])
        return float(estimator.fit(X[::2], Y[::2], X_val=X[1::2], y_val=Y[1::2]).history_["val_loss"][-1])

    study = optuna.create_study(
        sampler=optuna.samplers.RandomSampler(seed=0), pruner=optuna.pruners.MedianPruner(n_startup_trials=3)
    )
    study.optimize(objective, n_trials=10)
    states = [trial.state.name for trial in study.trials]
    assert set(states) == {"COMPLETE", "PRUNED"}
    assert study.best_value < 0.3


# --- ensembles and other estimators around them


@pytest.mark.parametrize(
    "tool",
    [
        BaggingClassifier(CLASSIFIER, n_estimators=4, max_features=0.75, random_state=0),
        VotingClassifier([("a", CLASSIFIER), ("b", MLPClassifier(**QUICK, activation="tanh"))], voting="soft"),
        StackingClassifier([("a", CLASSIFIER), ("b", LogisticRegression())], cv=3),
        AdaBoostClassifier(CLASSIFIER, n_estimators=3, random_state=0),
        CalibratedClassifierCV(CLASSIFIER, cv=3),
        CalibratedClassifierCV(CLASSIFIER, cv=3, ensemble=False, method="isotonic"),
    ],
    ids=lambda tool: type(tool).__name__,
)
def test_around_a_classifier(tool: Any) -> None:
    assert tool.fit(X, NAMES).score(X, NAMES) > 0.9
    assert tool.predict_proba(X).shape == (150, 3)


@pytest.mark.parametrize(
    "tool",
    [
        BaggingRegressor(REGRESSOR, n_estimators=4, random_state=0),
        StackingRegressor([("a", REGRESSOR), ("b", MLPRegressor(**QUICK, activation="tanh"))], REGRESSOR, cv=3),
        MultiOutputRegressor(REGRESSOR),
        RFE(REGRESSOR, n_features_to_select=2, importance_getter=lambda fitted: abs(fitted.coefs_[0]).sum(axis=1)),
    ],
    ids=lambda tool: type(tool).__name__,
)
def test_around_a_regressor(tool: Any) -> None:
    y = np.column_stack([LINEAR, -LINEAR]) if isinstance(tool, MultiOutputRegressor) else LINEAR
    assert tool.fit(DATA, y).score(DATA, y) > 0.9


@pytest.mark.parametrize(
    "tool", [MultiOutputClassifier(CLASSIFIER), ClassifierChain(CLASSIFIER)], ids=lambda t: type(t).__name__
)
def test_several_labels(tool: Any) -> None:
    labels = np.column_stack([Y > 0, Y > 1]).astype(int)
    assert (tool.fit(X, labels).predict(X) == labels).mean() > 0.9


def test_threshold() -> None:
    tool = TunedThresholdClassifierCV(CLASSIFIER, scoring="f1", cv=2, thresholds=20).fit(X, Y == 1)
    assert 0 <= tool.best_threshold_ <= 1
    assert tool.score(X, Y == 1) > 0.8


# --- inspection


def test_permutation_importance() -> None:
    fitted = MLPRegressor(**QUICK).fit(DATA, LINEAR)
    importance = permutation_importance(fitted, DATA, LINEAR, n_repeats=3, random_state=0).importances_mean
    assert importance.argmax() == 0
    assert importance[[1, 2]].max() < 0.1 < importance[3]


def test_partial_dependence() -> None:
    """Of the mean prediction on one feature of a sum: a line of its slope."""
    result = partial_dependence(MLPRegressor(**QUICK).fit(DATA, LINEAR), DATA, [0], grid_resolution=10)
    slope = np.polyfit(result["grid_values"][0], result["average"][0], 1)[0]
    assert slope == pytest.approx(2, abs=0.2)
    assert partial_dependence(CLASSIFIER.fit(X, NAMES), X, [2], grid_resolution=5)["average"].shape == (3, 5)


@pytest.mark.parametrize("incremental", [False, True])
def test_learning_curve(incremental: bool) -> None:
    """More examples, higher scores; or by ``partial_fit`` of one part after the other."""
    estimator = MLPClassifier(**QUICK | {"learning_rate_init": 0.1})
    labels = Y if incremental else NAMES
    sizes, train, test = learning_curve(
        estimator,
        X,
        labels,
        cv=3,
        train_sizes=[0.1, 1.0],
        shuffle=True,
        random_state=0,
        exploit_incremental_learning=incremental,
    )
    assert list(sizes) == [10, 100]
    assert train.shape == test.shape == (2, 3)
    assert test[1].mean() > max(test[0].mean(), 0.6)


def test_several_scores() -> None:
    scoring = ["accuracy", "neg_log_loss", "roc_auc_ovr"]
    found = cross_validate(CLASSIFIER, X, NAMES, cv=3, scoring=scoring, return_estimator=True)
    assert found["test_roc_auc_ovr"].min() > 0.95
    assert all(estimator.n_iter_ == 40 for estimator in found["estimator"])


# --- storage


def test_joblib(tmp_path: Any) -> None:
    """Memory-mapped arrays, too."""
    fitted = MLPClassifier(**QUICK).fit(X, NAMES)
    joblib.dump(fitted, tmp_path / "model.joblib")
    for mode in (None, "r"):
        loaded = joblib.load(tmp_path / "model.joblib", mmap_mode=mode)
        np.testing.assert_array_equal(loaded.predict_proba(X), fitted.predict_proba(X))
        loaded.partial_fit(X, NAMES)
    assert pickle.loads(pickle.dumps(fitted)).get_params() == fitted.get_params()


@pytest.mark.parametrize(
    "estimator",
    [
        MLPClassifier(**QUICK, early_stopping=True, normalization="batch_norm", dropout=0.1),
        MLPClassifier(**QUICK, optimizer=nn.EMA(nn.AdamW(0.01)), schedule=nn.schedules.Cosine(0.01, steps=40, per="epoch")),
        MLPClassifier(**QUICK, solver="lbfgs", class_weight="balanced", activation=[nn.LeakyReLU(0.2)]),
        MLPClassifier(**QUICK, loss=nn.losses.Hinge(), regularizer=nn.L1(1e-4), clip=1.0, solver="sgd"),
    ],
    ids=["early", "ema", "lbfgs", "hinge"],
)
def test_skops(estimator: Any) -> None:
    """Files without pickles: predictions and a continued training are the same, to the bit."""
    skops = pytest.importorskip("skops.io")
    fitted = estimator.fit(X, NAMES)
    data = skops.dumps(fitted)
    types = skops.get_untrusted_types(data=data)
    assert all(name.startswith("nncore.") or name == "numpy.dtype" for name in types), types
    loaded = skops.loads(data, trusted=types)
    assert repr(loaded.history_) == repr(fitted.history_)
    for _ in range(2):
        np.testing.assert_array_equal(loaded.predict(X), fitted.predict(X))
        np.testing.assert_array_equal(loaded.coefs_[0], fitted.coefs_[0])
        for one in (loaded, fitted):
            one.set_params(warm_start=True).fit(X, NAMES)
