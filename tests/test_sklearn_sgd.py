"""SGDClassifier and SGDRegressor: scikit-learn's own checks, the same coefficients as scikit-learn's, and what is new."""

from __future__ import annotations

import itertools
import pickle
import signal
import threading
import time
import warnings
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn", minversion="1.8")  # of "pa1", and of xfail_strict

from scipy import sparse
from sklearn import linear_model
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from nncore.sklearn import SGDClassifier, SGDRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

ESTIMATORS = [
    SGDClassifier(max_iter=100),
    SGDRegressor(max_iter=100),
    SGDClassifier("softmax", penalty="elasticnet", average=True, max_iter=100),
    SGDClassifier("log_loss", learning_rate="adaptive", eta0=0.1, max_iter=100),
    SGDRegressor("huber", penalty="l1", learning_rate="constant", max_iter=100, average=5),
]
REASON = "the order of the examples is random"
DIFFERENT = {f"check_sample_weight_equivalence_on_{kind}_data": REASON for kind in ("dense", "sparse")}


@parametrize_with_checks(ESTIMATORS, expected_failed_checks=lambda _: DIFFERENT, xfail_strict=False)
def test_check(estimator: Any, check: Any) -> None:
    check(estimator)


# ---- agreement with scikit-learn: the same steps in the order of the rows

PENALTIES = ("l2", "l1", "elasticnet", None)
RATES = ("constant", "optimal", "invscaling", "adaptive", "pa1", "pa2")
REGRESSION = ("squared_error", "huber", "epsilon_insensitive", "squared_epsilon_insensitive")
CLASSIFICATION = ("hinge", "log_loss", "modified_huber", "squared_hinge", "perceptron", *REGRESSION)


@pytest.fixture(scope="module")
def data() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((120, 30)) * (rng.random((120, 30)) < 0.3)
    X[5] = 0
    outputs = X @ rng.standard_normal((30, 4)) + 0.3 * rng.standard_normal((120, 4))
    weights = rng.integers(0, 3, 120).astype(float)
    return {
        "dense": X, "sparse": sparse.csr_matrix(X), "y": outputs[:, 0], "two": outputs[:, 0] > 0,
        "four": outputs.argmax(axis=1), "weights": weights,
    }  # fmt: skip


def settings(penalty: str | None, rate: str, **others: Any) -> dict[str, Any]:
    """Steps small enough that rounding errors do not grow."""
    alpha = 0.3 if rate == "optimal" else 1e-3
    common = {"penalty": penalty, "learning_rate": rate, "alpha": alpha, "eta0": 0.02, "shuffle": False, "random_state": 0}
    return {**common, "max_iter": 7, "tol": None, **others}


def same(own: Any, theirs: Any) -> None:
    assert (own.n_iter_, own.t_) == (theirs.n_iter_, theirs.t_)
    assert own.coef_.shape == theirs.coef_.shape
    assert own.intercept_.shape == theirs.intercept_.shape
    size = max(np.abs(theirs.coef_).max(), np.abs(theirs.intercept_).max())
    np.testing.assert_allclose(own.coef_, theirs.coef_, rtol=0, atol=1e-9 * size)
    np.testing.assert_allclose(own.intercept_, theirs.intercept_, rtol=0, atol=1e-9 * size)


@pytest.mark.parametrize("kind", ["dense", "sparse"])
@pytest.mark.parametrize("average", [False, True, 50])
@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("penalty", PENALTIES)
def test_the_steps_are_those_of_scikit_learn(penalty: Any, rate: str, average: Any, kind: str, data: dict[str, Any]) -> None:
    if average and penalty in ("l1", "elasticnet"):
        pytest.skip("their average follows an L1 penalty at once; ours is the mean of the weights: test_online.py")
    kw = settings(penalty, rate, average=average)
    for loss, targets in itertools.product(CLASSIFICATION, ("two", "four")):
        if not (rate.startswith("pa") and loss != "hinge"):
            fits = [c(loss, **kw).fit(data[kind], data[targets]) for c in (SGDClassifier, linear_model.SGDClassifier)]
            same(*fits)
    for loss in REGRESSION:
        if not (rate.startswith("pa") and loss != "epsilon_insensitive"):
            same(*(c(loss, **kw).fit(data[kind], data["y"]) for c in (SGDRegressor, linear_model.SGDRegressor)))


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("penalty", ["l2", None])
def test_the_training_ends_where_theirs_does(penalty: Any, rate: str, data: dict[str, Any]) -> None:
    for targets, more in itertools.product(("two", "four"), ({}, {"fit_intercept": False}, {"class_weight": "balanced"})):
        kw = settings(penalty, rate, max_iter=200, tol=1e-3, **more)
        fits = [c("hinge", **kw).fit(data["dense"], data[targets]) for c in (SGDClassifier, linear_model.SGDClassifier)]
        assert fits[0].n_iter_ < 200
        same(*fits)


@pytest.mark.parametrize("kind", ["dense", "sparse"])
def test_weights_starts_and_portions(kind: str, data: dict[str, Any]) -> None:
    X, kw = data[kind], settings("l2", "invscaling", average=True)
    for targets in ("two", "four"):
        weighted, given = [], []
        for c in (SGDClassifier, linear_model.SGDClassifier):
            one = c("log_loss", **kw, class_weight={0: 2.0}).fit(X, data[targets], sample_weight=data["weights"])
            weighted.append(one)
            shape = one.coef_.shape
            given.append(c("hinge", **kw).fit(X, data[targets], np.full(shape, 0.1), np.full(shape[0], -0.1)))
        same(*weighted)
        same(*given)
        portions = [c("hinge", **kw) for c in (SGDClassifier, linear_model.SGDClassifier)]
        for part in (slice(0, 50), slice(50, 120), slice(10, 60)):
            for one in portions:
                one.partial_fit(X[part], data[targets][part], classes=np.unique(data[targets]))
            assert portions[0].t_ == portions[1].t_
            np.testing.assert_allclose(portions[0].coef_, portions[1].coef_, rtol=0, atol=1e-9)
    regressors = [c(**settings("l2", "invscaling")) for c in (SGDRegressor, linear_model.SGDRegressor)]
    for one in regressors:
        one.partial_fit(X, data["y"]).partial_fit(X, data["y"], sample_weight=data["weights"])
    same(*regressors)
    warm = [c(**settings("l2", "constant", warm_start=True)) for c in (SGDRegressor, linear_model.SGDRegressor)]
    for one in warm:
        one.fit(X, data["y"]).fit(X, data["y"])
    same(*warm)


BOTH = SGDClassifier, linear_model.SGDClassifier


def test_predictions_are_theirs(data: dict[str, Any]) -> None:
    for loss, targets in itertools.product(("log_loss", "modified_huber"), ("two", "four")):
        own, theirs = (c(loss, **settings("l2", "constant")).fit(data["dense"], data[targets]) for c in BOTH)
        for X in (data["dense"], data["sparse"]):
            for method in ("decision_function", "predict", "predict_proba"):
                np.testing.assert_allclose(getattr(own, method)(X), getattr(theirs, method)(X), atol=1e-9)
            np.testing.assert_allclose(own.score(X, data[targets]), theirs.score(X, data[targets]))
    assert not hasattr(SGDClassifier(), "predict_proba")


def test_parameters_are_theirs() -> None:
    for own, theirs in ((SGDClassifier, linear_model.SGDClassifier), (SGDRegressor, linear_model.SGDRegressor)):
        assert own().get_params() == theirs().get_params()


# ---- the same quality where the order differs


def documents(rng: np.random.Generator, n: int, classes: int) -> tuple[sparse.csr_matrix, Any]:
    X = sparse.random(n, 2000, density=0.02, format="csr", random_state=rng, data_rvs=lambda k: rng.random(k) + 0.5)
    X = X.multiply(1 / np.sqrt(X.multiply(X).sum(axis=1))).tocsr()
    outputs = X @ rng.standard_normal((2000, classes)) + 0.02 * rng.standard_normal((n, classes))
    return X, outputs.argmax(axis=1)


@pytest.mark.parametrize("classes", [2, 6])
def test_as_good_as_theirs_in_random_order(classes: int, rng: np.random.Generator) -> None:
    X, y = documents(rng, 6000, classes)
    for kw in ({"loss": "hinge"}, {"loss": "log_loss", "alpha": 1e-5}, {"loss": "hinge", "average": True}):
        own, theirs = (c(random_state=0, **kw).fit(X[:4000], y[:4000]).score(X[4000:], y[4000:]) for c in BOTH)
        assert own > theirs - 0.025  # 2000 examples: three standard deviations of a difference


def test_softmax_is_multinomial_regression(data: dict[str, Any]) -> None:
    X, y = data["dense"], data["four"]
    kw: dict[str, Any] = {"alpha": 0.01, "max_iter": 3000, "tol": None, "random_state": 0}
    own = SGDClassifier("softmax", **kw, learning_rate="invscaling", eta0=0.5, power_t=0.6).fit(X, y)
    theirs = LogisticRegression(C=1 / (0.01 * len(y)), tol=1e-8).fit(X, y)

    def objective(fit: Any) -> float:
        return float(-fit.predict_log_proba(X)[np.arange(len(y)), y].mean() + 0.005 * np.square(fit.coef_).sum())

    assert objective(theirs) <= objective(own) < objective(theirs) * (1 + 1e-4)
    np.testing.assert_allclose(own.predict_proba(X), theirs.predict_proba(X), atol=0.01)
    two = [SGDClassifier(loss, random_state=0).fit(X, data["two"]).coef_ for loss in ("softmax", "log_loss")]
    assert np.array_equal(*two)


# ---- what an estimator must do


@pytest.mark.parametrize("loss", ["hinge", "softmax"])
def test_threads_do_not_change_a_bit(loss: str, rng: np.random.Generator) -> None:
    X, y = documents(rng, 300, 13)
    fits = [SGDClassifier(loss, random_state=0, n_jobs=jobs, max_iter=30).fit(X, y) for jobs in (1, 2, 3)]
    assert len({fit.coef_.tobytes() + fit.intercept_.tobytes() for fit in fits}) == 1


@pytest.mark.parametrize("average", [False, True])
@pytest.mark.parametrize("penalty", ["l2", "l1", "elasticnet"])
def test_threads_do_not_change_a_bit_with_rates_by_class(penalty: str, average: bool, rng: np.random.Generator) -> None:
    """Classes that would have converged go on with smaller steps, so that their scales become small at other times."""
    X, y = rng.standard_normal((150, 20)), rng.integers(0, 11, 150)
    kw: dict[str, Any] = {"penalty": penalty, "alpha": 0.5 if penalty == "l2" else 0.05, "average": average, "random_state": 0}
    kw |= {"learning_rate": "adaptive", "eta0": 0.1, "max_iter": 40, "n_iter_no_change": 2}
    start = np.full((11, 20), -0.0)
    fits = [SGDClassifier("modified_huber", n_jobs=jobs, **kw).fit(X, y, coef_init=start) for jobs in (1, 2)]
    assert len({fit.coef_.tobytes() + fit.intercept_.tobytes() for fit in fits}) == 1


def test_a_class_is_trained_as_if_alone(rng: np.random.Generator) -> None:
    X, y = documents(rng, 300, 5)
    fit = SGDClassifier(random_state=0).fit(X, y)
    for c in range(5):
        alone = SGDClassifier(random_state=0).fit(X, y == c)
        np.testing.assert_allclose(alone.coef_[0], fit.coef_[c], atol=1e-10)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_index_types_and_precision(dtype: str, data: dict[str, Any]) -> None:
    X = data["sparse"].astype(dtype)
    wide = X.copy()
    wide.indices, wide.indptr = wide.indices.astype(np.int64), wide.indptr.astype(np.int64)
    mixed = X.copy()
    mixed.indptr = mixed.indptr.astype(np.int64)
    fits = [SGDClassifier(random_state=0).fit(one, data["four"]) for one in (X, wide, mixed)]
    assert fits[0].coef_.dtype == dtype
    assert len({fit.coef_.tobytes() for fit in fits}) == 1
    precise = SGDClassifier(random_state=0, max_iter=5).fit(data["sparse"], data["four"])
    single = SGDClassifier(random_state=0, max_iter=5).fit(X, data["four"])
    np.testing.assert_allclose(single.coef_, precise.coef_, rtol=1e-2, atol=1e-2 * np.abs(precise.coef_).max())


def test_pickle_clone_search_and_pipeline(data: dict[str, Any]) -> None:
    texts = ["good fine nice", "bad awful", "nice good", "awful bad poor", "fine good", "poor bad"] * 5
    labels = ["yes", "no"] * 15
    pipeline = make_pipeline(TfidfVectorizer(), SGDClassifier(random_state=0))
    search = GridSearchCV(pipeline, {"sgdclassifier__alpha": [1e-4, 1e-2]}, cv=3)
    assert search.fit(texts, labels).score(texts, labels) == 1
    fit = SGDClassifier("log_loss", average=True, random_state=0).fit(data["dense"], data["four"])
    again = pickle.loads(pickle.dumps(fit))
    assert np.array_equal(again.predict_proba(data["dense"]), fit.predict_proba(data["dense"]))
    again.partial_fit(data["dense"], data["four"])
    assert clone(fit).get_params() == fit.get_params()


def test_sparse_coefficients(data: dict[str, Any]) -> None:
    kw: dict[str, Any] = {"penalty": "l1", "alpha": 0.02, "random_state": 0}
    for fit in (SGDClassifier(**kw).fit(data["sparse"], data["four"]), SGDRegressor(**kw).fit(data["sparse"], data["y"])):
        before, predictions = fit.coef_.copy(), fit.predict(data["dense"])
        assert (before == 0).any()
        assert sparse.issparse(fit.sparsify().coef_)
        np.testing.assert_allclose(fit.predict(data["sparse"]), predictions, atol=1e-12)
        assert np.array_equal(fit.densify().coef_.ravel(), before.ravel())


def test_early_stopping_holds_back(data: dict[str, Any]) -> None:
    for estimator, y in (
        (SGDClassifier("hinge"), data["four"]),
        (SGDClassifier("softmax"), data["four"]),
        (SGDRegressor(), data["y"]),
    ):
        fit = estimator.set_params(early_stopping=True, random_state=0, max_iter=500).fit(data["sparse"], y)
        assert 5 <= fit.n_iter_ < 500
    with pytest.raises(ValueError, match="early_stopping must be False for a first partial_fit"):
        SGDRegressor(early_stopping=True).partial_fit(data["sparse"], data["y"])


@pytest.mark.parametrize(
    ("ours", "theirs"), [(SGDRegressor, linear_model.SGDRegressor), (SGDClassifier, linear_model.SGDClassifier)]
)
def test_early_stopping_in_the_order_of_the_rows(ours: Any, theirs: Any, data: dict[str, Any]) -> None:
    """Without shuffling the examples that are left are taken as they come, as in scikit-learn, which holds back the same."""
    kw = {"early_stopping": True, "shuffle": False, "random_state": 3, "max_iter": 4, "tol": None, "alpha": 0.1}
    y = data["two" if ours is SGDClassifier else "y"]
    fit, expected = (kind(**kw).fit(data["dense"], y) for kind in (ours, theirs))
    np.testing.assert_allclose(fit.coef_, expected.coef_, rtol=1e-9)


def test_unfinished_training_warns(data: dict[str, Any]) -> None:
    with pytest.warns(ConvergenceWarning, match="Maximum number of iteration"):
        SGDClassifier(max_iter=2).fit(data["dense"], data["two"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        SGDClassifier(max_iter=2, tol=None).fit(data["dense"], data["two"])


def test_verbose_prints_a_line_for_each_epoch(data: dict[str, Any], capsys: Any) -> None:
    SGDClassifier(max_iter=3, tol=None, verbose=1).fit(data["dense"], data["four"])
    assert capsys.readouterr().out.count("-- Epoch") == 3


# ---- refused, interrupted


def test_overflow_is_an_error_and_changes_nothing(data: dict[str, Any]) -> None:
    fit = SGDRegressor(random_state=0).fit(data["dense"], data["y"])
    before = {name: np.copy(value) for name, value in vars(fit).items() if name.endswith("_")}
    for X in (data["dense"] * 1e200, data["sparse"] * 1e200):
        for call in (fit.fit, fit.partial_fit):
            with pytest.raises(ValueError, match="Floating-point under-/overflow occurred at epoch #1"):
                call(X, data["y"] * 1e200)
            assert all(np.array_equal(getattr(fit, name), value) for name, value in before.items())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"loss": "hing"}, "loss must be one of"),
        ({"penalty": "l3"}, "penalty must be"),
        ({"alpha": -1}, "alpha must be"),
        ({"alpha": 0}, "alpha must be > 0 for learning_rate='optimal'"),
        ({"learning_rate": "pa1", "loss": "log_loss"}, "loss must be 'hinge' for learning_rate='pa1'"),
        ({"l1_ratio": 2}, "l1_ratio must be"),
        ({"penalty": "elasticnet", "l1_ratio": None}, "l1_ratio must be"),
        ({"average": 0.5}, "average must be"),
        ({"max_iter": 0}, "max_iter must be"),
        ({"eta0": 0}, "eta0 must be"),
        ({"validation_fraction": 1.0}, "validation_fraction must be"),
        ({"class_weight": "balance"}, "class_weight"),
    ],
)
def test_refused_parameters(change: dict[str, Any], message: str, data: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        SGDClassifier(**change).fit(data["dense"], data["two"])


def test_refused_data(data: dict[str, Any]) -> None:
    X = data["sparse"].copy()
    X.indices[3] = 99
    fit = SGDClassifier()
    with pytest.raises(ValueError, match="indices do not fit its shape"):
        fit.fit(X, data["two"])
    assert not hasattr(fit, "coef_")
    with pytest.raises(ValueError, match="coef_init must have shape"):
        fit.fit(data["dense"], data["four"], coef_init=np.zeros((3, 30)))
    with pytest.raises(ValueError, match="y must have labels among classes_"):
        fit.partial_fit(data["dense"], data["four"], classes=[0, 1, 2])


def test_ctrl_c_is_answered(rng: np.random.Generator) -> None:
    X, y = documents(rng, 4000, 3)
    fit = SGDClassifier(random_state=0).fit(X, y)
    before, asked = fit.coef_.copy(), []

    def interrupt() -> None:
        time.sleep(0.5)
        asked.append(time.monotonic())
        signal.raise_signal(signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        fit.set_params(max_iter=10**6, tol=None).fit(X, y)
    answered = time.monotonic() - asked[0]
    thread.join()
    assert answered < 0.3
    assert np.array_equal(fit.coef_, before)


# ---- arrays and averages


@pytest.mark.parametrize("part", ["data", "indices", "indptr"])
@pytest.mark.parametrize("layout", ["every second", "reversed", "unaligned"])
@pytest.mark.parametrize("estimator", [SGDClassifier(max_iter=5, tol=None), SGDRegressor(max_iter=5, tol=None)], ids=repr)
def test_arrays_of_any_layout(estimator: Any, layout: str, part: str, data: dict[str, Any]) -> None:
    X, y = sparse.csr_matrix(data["dense"]), data["dense"].sum(axis=1)
    y = y > 0 if isinstance(estimator, SGDClassifier) else y
    given, array = X.copy(), getattr(X, part)
    if layout == "every second":
        strided = np.full(2 * len(array), 99, array.dtype)[::2]
    elif layout == "reversed":
        strided = np.empty_like(array)[::-1]
    else:
        strided = np.frombuffer(bytearray(array.nbytes + 1), np.uint8)[1:].view(array.dtype)
    strided[:] = array
    setattr(given, part, strided)
    plain, other = (clone(estimator).set_params(random_state=0).fit(rows, y) for rows in (X, given))
    assert np.array_equal(plain.coef_, other.coef_)


@pytest.mark.parametrize("estimator", [SGDClassifier(max_iter=5, tol=None), SGDRegressor(max_iter=5, tol=None)], ids=repr)
@pytest.mark.parametrize("library", ["none", "polars", "pyarrow"])
def test_decimal_numbers(estimator: Any, library: str, data: dict[str, Any]) -> None:
    X, y = data["dense"][:, :3].round(2), data["two"]
    table: Any = [[Decimal(str(value)) for value in row] for row in X]
    if library == "polars":
        table = pytest.importorskip("polars").DataFrame(table, schema=["a", "b", "c"], orient="row")
    elif library == "pyarrow":
        table = pytest.importorskip("pyarrow").table(list(map(list, zip(*table, strict=True))), names=["a", "b", "c"])
    plain, given = (clone(estimator).set_params(random_state=0).fit(rows, y) for rows in (X, table))
    assert np.array_equal(plain.predict(X), given.predict(table))


@pytest.mark.parametrize("before", [False, 10**6])
@pytest.mark.parametrize("kind", [SGDClassifier, SGDRegressor])
def test_an_average_that_begins_later(kind: Any, before: Any, data: dict[str, Any]) -> None:
    """It is that of the steps from then on: after one step, the weights of this step."""
    X, y = data["dense"], np.sign(data["dense"].sum(axis=1))
    model = kind(random_state=0, max_iter=5, tol=None, average=before, learning_rate="constant", eta0=0.01, shuffle=False).fit(
        X, y
    )
    plain = clone(model).set_params(average=False).fit(X, y)
    model.set_params(average=True if before is False else 1).partial_fit(X[:1], y[:1])
    plain.partial_fit(X[:1], y[:1])
    np.testing.assert_allclose(model.coef_, plain.coef_, rtol=1e-12)
    model.partial_fit(X[1:3], y[1:3])
    steps = [plain.coef_.copy()]
    for k in (1, 2):
        plain.partial_fit(X[k : k + 1], y[k : k + 1])
        steps.append(plain.coef_.copy())
    np.testing.assert_allclose(model.coef_, np.mean(steps, axis=0), rtol=1e-10)


@pytest.mark.parametrize("before", [81, 90, 100])
def test_rows_held_back_are_no_steps_of_an_average(before: int, data: dict[str, Any]) -> None:
    """80 steps are made: an average from a later one on has not begun, and begins with the next step."""
    X, y = data["dense"][:100], data["y"][:100]
    kw: dict[str, Any] = {"early_stopping": True, "validation_fraction": 0.2, "max_iter": 1, "tol": None, "random_state": 0}
    plain, averaged = (SGDRegressor(average=average, **kw).fit(X, y) for average in (False, before))
    assert np.abs(plain.coef_).max() > 0.01
    assert np.array_equal(averaged.coef_, plain.coef_)
    assert np.array_equal(averaged.intercept_, plain.intercept_)
    for model in (plain, averaged):
        model.set_params(early_stopping=False).partial_fit(X[:1], y[:1])
    np.testing.assert_allclose(averaged.coef_, plain.coef_, rtol=1e-12)


def test_a_class_that_converges_before_the_average_begins(data: dict[str, Any]) -> None:
    X, y, n = data["dense"], data["four"], len(data["four"])
    kw: dict[str, Any] = {"loss": "log_loss", "random_state": 0, "alpha": 0.01}
    epochs = [SGDClassifier(**kw).fit(X, y == c).n_iter_ for c in range(4)]
    first, plain = int(np.argmin(epochs)), SGDClassifier(**kw).fit(X, y)
    assert min(epochs) < max(epochs) - 1
    averaged = SGDClassifier(average=min(epochs) * n + 1, **kw).fit(X, y)
    assert np.abs(plain.coef_[first]).max() > 0.01
    assert np.array_equal(averaged.coef_[first], plain.coef_[first])
    assert averaged.intercept_[first] == plain.intercept_[first]
    assert not np.array_equal(averaged.coef_[int(np.argmax(epochs))], plain.coef_[int(np.argmax(epochs))])


@pytest.mark.parametrize("part", ["left for training", "held back for validation"])
@pytest.mark.parametrize("kind", [SGDClassifier, SGDRegressor])
def test_each_part_of_the_examples_needs_a_weight(kind: Any, part: str, data: dict[str, Any]) -> None:
    X, y = data["dense"], data["two"].astype(float)
    model = kind(early_stopping=True, random_state=0)
    trained = model._split(y, np.ones(len(y)), np.random.RandomState(0))[0]
    weights = np.isin(np.arange(len(y)), trained, invert=part == "left for training").astype(float)
    with pytest.raises(ValueError, match=f"sample_weight must have a positive number among the .* examples {part}"):
        model.fit(X, y, sample_weight=weights)
    assert not hasattr(model, "coef_")


@pytest.mark.parametrize("kind", [SGDClassifier, SGDRegressor])
def test_training_starts_from_sparse_coefficients(kind: Any, data: dict[str, Any]) -> None:
    X, y = data["dense"], data["two"].astype(float)
    model = kind(random_state=0, warm_start=True, max_iter=3, tol=None).fit(X, y)
    again = clone(model).fit(X, y).sparsify()
    given = clone(model).fit(X, y, coef_init=again.coef_, intercept_init=again.intercept_)
    again.fit(X, y)
    model.fit(X, y)
    assert np.array_equal(again.coef_, model.coef_)
    assert np.array_equal(given.coef_, model.coef_)


@pytest.mark.parametrize("jobs", ["a", 2.5, True])
def test_n_jobs_is_checked(jobs: Any) -> None:
    with pytest.raises(TypeError, match=f"n_jobs must be an integer or None, got {jobs!r}"):
        SGDClassifier(n_jobs=jobs).fit([[0.0], [1.0]], [0, 1])


@pytest.mark.parametrize("rule", ["pa1", "pa2"])
def test_numbers_given_in_parts_count_once_in_the_norm_of_a_row(rule: str, rng: np.random.Generator) -> None:
    X = rng.normal(size=(50, 6))
    values, columns = np.repeat(X / 2, 2, axis=1), np.tile(np.repeat(np.arange(6), 2), 50)
    parts = sparse.csr_matrix((values.ravel(), columns, np.arange(0, 601, 12)), shape=X.shape)
    y = X[:, 0] > 0
    fits = [SGDClassifier(learning_rate=rule, random_state=0, max_iter=3, tol=None).fit(data, y) for data in (X, parts)]
    whole = SGDClassifier(learning_rate=rule, random_state=0, max_iter=3, tol=None).fit(sparse.csr_matrix(X), y)
    assert np.array_equal(fits[1].coef_, whole.coef_)
    assert parts.nnz == 600  # left as it was


@pytest.mark.filterwarnings("ignore:Maximum number of iterations")
def test_first_coefficients_whose_squares_are_beyond_float32(rng: np.random.Generator) -> None:
    """The penalty is a double in either type; it was infinite, which counts as divergence."""
    coef = []
    for dtype in (np.float32, np.float64):
        X = (rng.normal(size=(20, 2)) * 1e-20).astype(dtype)
        model = SGDRegressor(alpha=1e-3, max_iter=3, tol=None, learning_rate="constant", eta0=1e-3, random_state=0)
        coef.append(model.fit(X, X @ np.array([1e20, 2e20], dtype), coef_init=np.array([1e20, 2e20])).coef_)
    np.testing.assert_allclose(coef, 1e20 * (1 - 1e-6) ** 60 * np.array([[1.0, 2.0]] * 2), rtol=1e-5)
