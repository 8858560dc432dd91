"""scikit-learn's own callbacks, set by ``set_callbacks``."""

from __future__ import annotations

import importlib.util
import pickle
import sys
import warnings
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn", minversion="1.9")

from sklearn.callback import ProgressBar, ScoringMonitor
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import nncore as nn
from nncore.sklearn import MLPClassifier, MLPRegressor, tasks

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X, Y = StandardScaler().fit_transform(load_iris().data), load_iris().target
QUICK: dict[str, Any] = {"hidden_layer_sizes": (10,), "learning_rate_init": 0.02, "random_state": 0}


class Recorder:
    """Keeps what its hooks are called with; the end of task ``last`` ends the training."""

    def __init__(self, last: int | None = None) -> None:
        self.last, self.events, self.ends = last, [], []

    def setup(self, estimator: Any, context: Any) -> None:
        self.events.append("setup")

    def teardown(self, estimator: Any, context: Any) -> None:
        self.events.append("teardown")

    def on_fit_task_begin(self, estimator: Any, context: Any) -> None:
        self.events.append(f"{context.task_name} {context.task_id} of {context.max_subtasks}")

    def on_fit_task_end(
        self, estimator: Any, context: Any, *, X: Any, y: Any, metadata: Any, fitted_estimator: Any
    ) -> bool:  # fmt: skip
        self.events.append(f"{context.task_name} {context.task_id} ends")
        self.ends.append((X, y, metadata, fitted_estimator))
        return context.task_name == "epoch" and context.task_id == self.last


def test_tasks() -> None:
    recorder, weights = Recorder(), np.ones(150)
    MLPClassifier(**QUICK, max_iter=2).set_callbacks(recorder).fit(X, Y, weights)
    epochs = [event for i in range(2) for event in (f"epoch {i} of 0", f"epoch {i} ends")]
    assert recorder.events == ["setup", "fit 0 of 2", *epochs, "fit 0 ends", "teardown"]
    for data, targets, metadata, _ in recorder.ends:
        assert (data is X, targets is Y, metadata["sample_weight"] is weights) == (True, True, True)


@pytest.mark.parametrize("solver", [{"solver": "adam"}, {"solver": "lbfgs"}, {"optimizer": "bfgs"}], ids=str)
@pytest.mark.filterwarnings("error::sklearn.exceptions.ConvergenceWarning")
def test_a_hook_ends_the_training(solver: dict[str, Any]) -> None:
    recorder = Recorder(last=4)
    estimator = MLPClassifier(**QUICK, **solver, dtype="float64", callbacks=[nn.LambdaCallback()]).set_callbacks(recorder)
    estimator.fit(X, Y)
    assert estimator.n_iter_ == estimator.trainer_.epochs_done == 5
    assert recorder.events[-4:] == ["epoch 4 of 0", "epoch 4 ends", "fit 0 ends", "teardown"]


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_scores_of_every_epoch(solver: str) -> None:
    """They are those of trainings that end there; data frames and names of classes are no matter."""
    frame, names = pytest.importorskip("pandas").DataFrame(X, columns=list("abcd")), np.array(["a", "b", "c"])[Y]
    monitor = ScoringMonitor(scoring=["accuracy", "neg_log_loss"])
    parameters = QUICK | {"solver": solver, "tol": 0.0, "dtype": "float64"}
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "X does not have valid feature names")
        estimator = MLPClassifier(**parameters, max_iter=4).set_callbacks(monitor).fit(frame, names)
    rows = [row for row in monitor.get_logs().data if row["task_name"] == "epoch"]
    assert len(rows) == 4
    for epoch, row in enumerate(rows, 1):
        shorter = MLPClassifier(**parameters, max_iter=epoch).fit(frame, names)
        assert row["accuracy"] == shorter.score(frame, names)
        assert -row["neg_log_loss"] == pytest.approx(_log_loss(shorter, frame), rel=1e-9)
    assert estimator.score(frame, names) == monitor.get_logs().data[0]["accuracy"]


def _log_loss(estimator: Any, data: Any) -> float:
    return float(-np.log(estimator.predict_proba(data)[np.arange(150), Y]).mean())


def test_a_fitted_estimator_does_not_change_later() -> None:
    recorder = Recorder()
    estimator = MLPRegressor(**QUICK, max_iter=3).set_callbacks(recorder).fit(X, X[:, 0])
    *parts, whole = [fitted for *_, fitted in recorder.ends]
    assert [len(part.loss_curve_) for part in parts] == [1, 2, 3]
    assert parts[0].score(X, X[:, 0]) < parts[1].score(X, X[:, 0]) < estimator.score(X, X[:, 0])
    np.testing.assert_array_equal(whole.predict(X), estimator.predict(X))


def test_a_task_ends_also_if_nothing_was_trained_in_it() -> None:
    recorder = Recorder()
    estimator = MLPClassifier(**QUICK, solver="lbfgs", max_iter=3).set_callbacks(recorder).fit(X, Y)
    assert estimator.n_iter_ == 3
    assert [fitted is None for *_, fitted in recorder.ends] == [False, False, False, True, False]


def test_in_a_search_of_pipelines() -> None:
    monitor = ScoringMonitor(scoring="accuracy")
    pipeline = make_pipeline(StandardScaler(), MLPClassifier(**QUICK, max_iter=3).set_callbacks(monitor))
    search = GridSearchCV(pipeline, {"mlpclassifier__alpha": [0.0, 1.0]}, cv=2).fit(X, Y)
    epochs = [row for row in monitor.get_logs().data if row["task_name"] == "epoch"]
    assert len(epochs) == (2 * 2 + 1) * 3
    assert search.best_estimator_[-1].n_iter_ == 3


def test_progress_bar(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("rich")
    make_pipeline(StandardScaler(), MLPClassifier(**QUICK, max_iter=3)).set_callbacks(ProgressBar()).fit(X, Y)
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "MLPClass" in line]
    assert "100%" in line


def test_copies() -> None:
    estimator = MLPClassifier(**QUICK, max_iter=2).set_callbacks(ScoringMonitor(scoring="accuracy")).fit(X, Y)
    copy = pickle.loads(pickle.dumps(estimator))
    np.testing.assert_array_equal(copy.predict(X), estimator.predict(X))
    assert not any("X" in vars(callback).get("arguments", ()) for callback in estimator.trainer_._callbacks)


def test_an_error_in_a_hook_is_raised_after_the_teardown() -> None:
    class Failing(Recorder):
        def on_fit_task_end(self, estimator: Any, context: Any) -> bool:  # type: ignore[override]
            raise OSError("full")

    recorder = Failing()
    with pytest.raises(OSError, match="full"):
        MLPClassifier(**QUICK).set_callbacks(recorder).fit(X, Y)
    assert recorder.events[-1] == "teardown"


@pytest.mark.parametrize("cls", [MLPClassifier, MLPRegressor])
@pytest.mark.parametrize(("name", "value"), [("max_iter", None), ("max_iter", 2.5), ("solver", 3), ("learning_rate_init", -1)])
def test_wrong_parameters_are_named_as_without_callbacks(cls: Any, name: str, value: Any) -> None:
    with pytest.raises((TypeError, ValueError), match=f"{name} must be"):
        cls(**{name: value}).set_callbacks(Recorder()).fit(X, Y)


def test_older_versions_have_no_callbacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.callback", None)  # type: ignore[arg-type]
    spec = importlib.util.spec_from_file_location("old", str(tasks.__file__))
    assert spec is not None
    assert spec.loader is not None
    old = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(old)
    assert old.with_callbacks(len) is len
    assert not hasattr(old.CallbackSupportMixin, "set_callbacks")
