"""Sweeps: which runs there are, what they come to, and what survives."""

from __future__ import annotations

import json
import math
import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats

import nncore as nn
from nncore.sweeps import store
from nncore.sweeps.best_model import BestModel
from nncore.sweeps.run import Run
from nncore.sweeps.space import parameters_of

RNG = np.random.default_rng(0)
X = RNG.normal(size=(80, 2)).astype(np.float32)
Y = (X[:, 0] * X[:, 1] > 0).astype(int)
XV, YV = X[::3], Y[::3]


def make(lr: float = 0.01, units: int = 4, seed: int = 0) -> nn.Trainer:
    model = nn.Sequential([nn.Dense(units), nn.Tanh(), nn.Dense(2)], input_shape=2, seed=seed)
    return nn.Trainer(model, "softmax_cross_entropy", nn.Adam(lr=lr), metrics=["accuracy"], seed=seed)


def sweep(space: Any, X: Any = X, y: Any = Y, **kw: Any) -> nn.SweepTable:
    return nn.sweep(kw.pop("make", make), space, X, y, verbose=0, **kw)


# What is run.


def test_grids_and_draws() -> None:
    grid = {"a": [1, 2], "b": np.array([0.5, 1.5]), "c": ["x"]}
    assert parameters_of(grid, None, 0) == [
        {"a": 1, "b": 0.5, "c": "x"}, {"a": 1, "b": 1.5, "c": "x"}, {"a": 2, "b": 0.5, "c": "x"}, {"a": 2, "b": 1.5, "c": "x"},
    ]  # fmt: skip
    part = parameters_of(grid, 3, 1)
    assert len({json.dumps(one) for one in part}) == 3
    assert all(one in parameters_of(grid, None, 0) for one in part)
    assert parameters_of([{"a": 1}, {"b": 2}], None, 0) == [{"a": 1}, {"b": 2}]
    space = {"lr": scipy.stats.loguniform(1e-3, 1), "units": scipy.stats.randint(2, 9), "c": ["x", "y"]}
    drawn = parameters_of(space, 200, 5)
    assert drawn[:7] == parameters_of(
        {"lr": scipy.stats.loguniform(1e-3, 1), "units": scipy.stats.randint(2, 9), "c": ["x", "y"]}, 7, 5
    )
    assert {one["units"] for one in drawn} == set(range(2, 9))
    assert {type(one["units"]) for one in drawn} == {int}
    assert abs(np.mean(np.log10([one["lr"] for one in drawn])) + 1.5) < 4 * 0.87 / math.sqrt(200)  # ±: 3/√12 = 0.87


SPACES: list[tuple[Any, Any, str]] = [
    ({"a": []}, None, "a of space must have at least one value, got none"),
    ({"a": "xy"}, None, "a of space must be a list of values or a distribution with rvs, got 'xy'"),
    ({"a": 3}, None, "a of space must be a list of values"),
    ({"seed": [1]}, None, "names of parameters other than seed and fold, got 'seed'"),
    ({"a": scipy.stats.uniform()}, None, "runs must be the number of candidates to draw"),
    ([{"a": 1}], 3, "runs must be left out"),
    ([], None, "space must have at least one candidate, got none"),
    ([3], None, "space must be a list of mappings"),
    (3, None, "space must be a mapping of names to values, or a list of mappings, got 3"),
    ({"a": [1]}, 0, "runs must be a positive integer, got 0"),
]


@pytest.mark.parametrize(("space", "runs", "message"), SPACES)
def test_bad_spaces(space: Any, runs: Any, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        parameters_of(space, runs, 0)


@pytest.mark.parametrize("threads", [1, 3])
def test_runs_are_what_they_are_alone(threads: int) -> None:
    table = sweep({"lr": [0.01, 0.1], "units": [3, 5]}, validation_data=(XV, YV), seeds=[4, 7], epochs=3, threads=threads)
    assert [(run.parameters["lr"], run.parameters["units"], run.seed) for run in table] == [
        (lr, units, seed) for lr in (0.01, 0.1) for units in (3, 5) for seed in (4, 7)
    ]
    for run in table:
        alone = make(**run.parameters, seed=run.seed)
        alone.fit(X, Y, epochs=3, validation_data=(XV, YV), verbose=0)
        assert run.history == alone.history
        assert run.values == alone.history.row(3)
        assert (run.ended, run.epochs) == ("finished", 3)
        assert 0 < run.seconds < 60


def test_folds() -> None:
    splitter = pytest.importorskip("sklearn.model_selection").KFold(3)
    table = sweep({"lr": [0.1]}, folds=splitter, epochs=2)
    for run, (train, held) in zip(table, splitter.split(X), strict=True):
        alone = make(0.1)
        alone.fit(X[train], Y[train], epochs=2, validation_data=(X[held], Y[held]), verbose=0)
        assert run.history == alone.history
    own = sweep({"lr": [0.1]}, folds=4, epochs=2)
    assert [run.fold for run in own] == [0, 1, 2, 3]
    rows = nn.Folds(4).rows(2, 80)
    alone = make(0.1)
    held = np.setdiff1d(np.arange(80), rows)
    alone.fit(X[rows], Y[rows], epochs=2, validation_data=(X[held], Y[held]), verbose=0)
    assert own[2].history == alone.history


def test_folds_with_weights() -> None:
    """Each fold has those of its rows, in training and in validation."""
    weights = RNG.uniform(0.1, 2, len(X))
    table = sweep({"lr": [0.1]}, folds=2, epochs=2, sample_weight=weights)
    for fold, run in enumerate(table):
        rows = nn.Folds(2).rows(fold, 80)
        held = np.setdiff1d(np.arange(80), rows)
        alone = make(0.1)
        validation = X[held], Y[held], weights[held]
        alone.fit(X[rows], Y[rows], epochs=2, sample_weight=weights[rows], validation_data=validation, verbose=0)
        assert run.history == alone.history
    given = sweep({"lr": [0.1]}, validation_data=(XV, YV, weights[::3]), sample_weight=weights)
    alone = make(0.1)
    alone.fit(X, Y, sample_weight=weights, validation_data=(XV, YV, weights[::3]), verbose=0)
    assert given[0].history == alone.history
    linear_model = pytest.importorskip("sklearn.linear_model")
    found = sweep({"C": [1.0]}, make=linear_model.LogisticRegression, folds=2, sample_weight=weights)[1].values
    fitted = linear_model.LogisticRegression(C=1.0).fit(X[rows], Y[rows], sample_weight=weights[rows])
    assert found == {"score": fitted.score(X[held], Y[held], sample_weight=weights[held])}


def test_estimators() -> None:
    linear_model = pytest.importorskip("sklearn.linear_model")
    table = sweep({"C": [0.1, 10.0]}, make=linear_model.LogisticRegression, folds=2)
    assert table.monitor == "score"
    assert table.mode == "max"
    rows = nn.Folds(2).rows(0, 80)
    held = np.setdiff1d(np.arange(80), rows)
    expected = linear_model.LogisticRegression(C=0.1).fit(X[rows], Y[rows]).score(X[held], Y[held])
    assert table[0].values == {"score": expected}
    kept = sweep({"C": [0.1]}, make=linear_model.LogisticRegression, keep="all")
    assert kept[0].model.predict(X).shape == (80,)
    assert list(kept[0].values) == ["train_score"]


def test_functions() -> None:
    table = sweep({"a": [3, 1, 2]}, None, None, make=lambda a: {"loss": a**2, "other": -a})
    assert [run.values for run in table] == [{"loss": a**2, "other": -a} for a in (3, 1, 2)]
    assert table.best().parameters == {"a": 1}
    assert sweep({"a": [3, 1]}, None, None, make=lambda a: {"other": -a}, mode="max").best().parameters == {"a": 1}


def test_callbacks_and_models() -> None:
    table = sweep(
        {"lr": [0.3, 1.0]}, validation_data=(XV, YV), epochs=60, seeds=2, keep="best",
        callbacks=lambda: [nn.EarlyStopping("val_loss", patience=2)],
    )  # fmt: skip
    assert {run.ended for run in table} == {"stopped"}
    best = table.best()
    assert [run.number for run in table if run.model is not None] == [best.number]
    assert nn.Trainer(best.model, "softmax_cross_entropy").evaluate(XV, YV)["loss"] == pytest.approx(
        best.best("val_loss"), rel=1e-12
    )


class Known:
    """An estimator whose score is given, after a wait; it counts how many there are."""

    alive = 0
    most = 0

    def __init__(self, score: float, wait: float = 0.0) -> None:
        self.given, self.wait = score, wait
        Known.alive += 1
        Known.most = max(Known.most, Known.alive)

    def __del__(self) -> None:
        Known.alive -= 1

    def fit(self, X: Any, y: Any) -> None:
        time.sleep(self.wait)

    def score(self, X: Any, y: Any) -> float:
        return self.given


def test_the_best_model_of_equal_scores() -> None:
    """The first, also where it is the last to end."""
    table = sweep({"wait": [0.3, 0.0]}, make=lambda wait: Known(1.0, wait), keep="best", threads=2)
    assert table.best().number == 0
    assert [run.model is not None for run in table] == [True, False]


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("ways", [{"seeds": 3}, {"folds": 3}], ids=["seeds", "folds"])
def test_the_best_model_of_several_seeds_or_folds(ways: dict[str, int], threads: int) -> None:
    """That of the candidate of the best median, though one with a worse median has the best run."""
    scores = np.array([[9.0, 0.0, 0.0], [5.0, 7.0, 6.0], [8.0, 4.0, 5.0], [math.inf, 9.0, -math.inf]])
    given = scores.copy()

    def build(row: int, seed: int) -> Known:
        return Known(scores[row][seed])

    def of_folds(row: int) -> Known:
        known = Known(0.0)
        known.score = lambda X, y: given[row][[int(x) for x in held].index(int(X[0, 0]))]  # type: ignore[method-assign]
        return known

    if "seeds" in ways:
        table = sweep({"row": range(4)}, make=build, keep="best", threads=threads, **ways)
    else:
        rows = np.arange(80.0).reshape(80, 1)
        held = [np.setdiff1d(np.arange(80), nn.Folds(3).rows(fold, 80))[0] for fold in range(3)]
        table = sweep({"row": range(4)}, rows, make=of_folds, keep="best", threads=threads, **ways)
    assert [run.values for run in table][:6] == [{"train_score" if "seeds" in ways else "score": x} for x in scores[:2].ravel()]
    best = table.best()
    assert (best.candidate, best.number) == (1, 4)
    assert [run.number for run in table if run.model is not None] == [4]


@pytest.mark.parametrize("threads", [1, 2])
def test_the_best_model_of_halving(threads: int) -> None:
    """Where the best run is one of a candidate that is halted, and two candidates are equal."""

    def build(rate: float, seed: int) -> nn.Trainer:
        trainer = make(0.1, seed=seed)
        if (rate, seed) == (0.0, 0):  # already good
            trainer.fit(X, Y, epochs=100, verbose=0)
        return nn.Trainer(trainer.model, "softmax_cross_entropy", nn.Adam(lr=rate), seed=seed)

    for halving in (nn.SuccessiveHalving(1, 2), nn.ASHA(1, 2)):
        table = sweep(
            {"rate": [1e-4, 0.0, 0.05, 0.05, 1e-5]}, make=build, validation_data=(XV, YV), epochs=5, seeds=3, halving=halving,
            keep="best", threads=threads,
        )  # fmt: skip
        best = table.best()
        assert table.sorted()[0].candidate == 1 != best.candidate
        assert [run.number for run in table if run.model is not None] == [best.number]
        last = nn.Trainer(best.model, "softmax_cross_entropy").evaluate(XV, YV)["loss"]
        assert last == pytest.approx(best.values["val_loss"], rel=1e-12)


@pytest.mark.parametrize("seed", range(60))
def test_the_best_model_in_any_order_of_ends(seed: int) -> None:
    """With equal scores, failures, and an end before all have been made."""
    rng = np.random.default_rng(seed)
    count = int(rng.integers(1, 5))
    scores = rng.choice([0.0, 1.0, 2.0, math.inf], 5 * count).tolist()
    runs = [Run(k, k // count, {}, k % count, None, "finished", 1, 0.0, {"loss": x}, model=k) for k, x in enumerate(scores)]
    models = BestModel(count, lambda run: run.values["loss"])
    ended = rng.permutation(len(runs))[: rng.integers(1, len(runs) + 1)]
    for place in ended:
        models.take(runs[place])
    models.close()
    table = nn.SweepTable([runs[place] for place in sorted(ended)], "loss", "min")
    expected = [table.best().number] if math.isfinite(table.groups()[0]["score"]) else []
    assert [run.number for run in table if run.model is not None] == expected


def test_few_models_are_in_memory() -> None:
    """One of each candidate under way, and that of the best one so far."""
    Known.most = Known.alive
    before = Known.alive
    sweep({"a": range(30)}, make=lambda a, seed: Known(30 * a + seed), seeds=4, keep="best", threads=1)
    assert Known.most - before <= 6  # three kept, and those of three steps: running, waiting to be taken, being made


def test_no_model_where_no_run_is_best() -> None:
    table = sweep({"a": range(2)}, make=lambda a, seed: Known(1.0 if seed else math.nan), seeds=2, keep="best")
    assert [run.model for run in table] == [None] * 4
    with pytest.raises(ValueError, match="there must be a run with a finite train_score"):
        table.best()


def test_the_best_model_of_an_interrupted_sweep() -> None:
    """Runs that were cut short, and candidates of which some runs were not made, are in the table too."""
    threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    table = sweep({"lr": [0.01, 0.02]}, epochs=10_000_000, seeds=2, keep="best", threads=2)
    assert {run.ended for run in table} == {"interrupted"}
    assert [run.number for run in table if run.model is not None] == [table.best().number]


@pytest.mark.parametrize("threads", [1, 2])
def test_each_run_has_its_own_parameters(threads: int) -> None:
    """An optimizer has a state, which a callback changes too; a layer belongs to one model. What cannot be copied is shared."""

    def build(optimizer: nn.Optimizer, layer: nn.Layer, lock: Any, seed: int) -> nn.Trainer:
        assert lock is parameters["lock"][0]
        model = nn.Sequential([nn.Dense(4), layer, nn.Dense(2)], input_shape=2, seed=seed)
        return nn.Trainer(model, "softmax_cross_entropy", optimizer, seed=seed)

    def callbacks() -> list[nn.Callback]:
        return [nn.ReduceLROnPlateau(monitor="running_loss", patience=0, threshold=10.0)]

    parameters: dict[str, Any] = {"optimizer": [nn.Adam(0.01), nn.SGD(0.1)], "layer": [nn.Tanh()], "lock": [threading.Lock()]}
    table = sweep(parameters, make=build, seeds=3, epochs=20, threads=threads, callbacks=callbacks)
    for run in table:
        trainer = build([nn.Adam(0.01), nn.SGD(0.1)][run.candidate], nn.Tanh(), parameters["lock"][0], run.seed)
        trainer.fit(X, Y, epochs=20, callbacks=callbacks(), verbose=0)
        assert run.ended == "finished"
        assert run.history == trainer.history
    assert [optimizer.lr for optimizer in parameters["optimizer"]] == [0.01, 0.1]


def test_each_run_has_one_thread() -> None:
    seen: list[int] = []

    def look(a: int) -> dict[str, float]:
        seen.append(nn.get_num_threads())
        return {"loss": a}

    before = nn.get_num_threads()
    sweep({"a": list(range(6))}, None, None, make=look, threads=3)
    assert seen == [1] * 6
    assert nn.get_num_threads() == before


# Runs that fail.


def test_failed_runs_are_rows() -> None:
    def fragile(lr: float, seed: int) -> nn.Trainer:
        if lr == 2.0:
            raise KeyError("no such rate")
        return nn.Trainer(make(seed=seed).model, "squared_error", nn.SGD(lr))

    table = sweep({"lr": [0.01, 1e8, 2.0, 0.02]}, y=np.eye(2)[Y], make=fragile, epochs=3)
    ended = [run.ended for run in table]
    assert ended[0] == ended[3] == "finished"
    assert ended[1].startswith("diverged: training diverged in epoch ")
    assert ended[2] == "raised KeyError: 'no such rate'"
    assert isinstance(table[2].error, KeyError)
    assert table[2].failed
    assert [run.parameters["lr"] for run in table.sorted()][-1] == 2.0
    assert table.best().parameters["lr"] in (0.01, 0.02)
    wrong = sweep({"lr": [1.0]}, make=lambda lr: 3)
    assert wrong[0].ended == "raised TypeError: make must return a Trainer, an estimator or a mapping of numbers, got 3"
    with pytest.raises(ValueError, match="there must be a run with a finite loss, got none"):
        wrong.best()


CALLS: list[tuple[dict[str, Any], str]] = [
    ({"seeds": 0}, "seeds must be a positive integer, got 0"),
    ({"seeds": []}, "seeds must have at least one"),
    ({"seeds": 2, "make": lambda lr: make(lr)}, "make must take seed for several seeds"),
    ({"folds": 2, "validation_data": (X, Y)}, "exclude each other, got both"),
    ({"seeds": True}, "seeds must be a positive integer, got True"),
    ({"seeds": 1.7}, "seeds must be a positive integer, got 1.7"),
    ({"seeds": [0, 1.7]}, r"seeds\[1\] must be an integer of at least 0, got 1.7"),
    ({"seeds": [True]}, r"seeds\[0\] must be an integer of at least 0, got True"),
    ({"seeds": [-1]}, r"seeds\[0\] must be an integer of at least 0, got -1"),
    ({"seeds": "12"}, "seeds must be a positive integer, got '12'"),
    ({"seed": True}, "seed must be an integer of at least 0, got True"),
    ({"folds": 2, "validation_split": 0.2}, "folds and validation_split exclude each other, got both"),
    ({"validation_data": (X, Y), "validation_split": 0.2}, "validation_data and validation_split exclude each other, got both"),
    ({"folds": 2, "sample_weight": np.ones(3)}, "sample_weight must have as many rows as X, 80, got 3"),
    ({"folds": 2, "y": np.ones(81)}, "y must have as many rows as X, 80, got 81"),
    ({"folds": 100}, "folds must be at most the number of rows, 80, got 100"),
    ({"validation_data": X}, "validation_data must be a pair"),
    ({"keep": "some"}, "keep must be one of"),
    ({"threads": 0}, "threads must be a positive integer"),
    ({"halving": 3}, "halving must be SuccessiveHalving or ASHA, got 3"),
    ({"halving": nn.ASHA(), "callbacks": list}, "halving and callbacks exclude each other"),
    ({"halving": nn.ASHA(), "backend": "loky"}, "backend must be 'threads' with halving"),
    ({"backend": 3}, "backend must be 'threads' or the name of a backend of joblib, got 3"),
    ({"backend": "auto"}, "backend must be 'threads' or the name of a backend of joblib, got 'auto'"),
    ({"mode": "most"}, "mode must be one of"),
]


@pytest.mark.parametrize(("call", "message"), CALLS, ids=lambda value: str(value)[:30])
def test_bad_arguments(call: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        sweep({"lr": [0.1]}, **call)


def test_a_condition_must_be_true_or_false() -> None:
    table = sweep({"a": [1, 2]}, None, None, make=lambda a: {"loss": a})
    assert len(table.filter(lambda run: run.parameters["a"] - 1)) == 1
    with pytest.raises(TypeError, match="condition must return True or False, got ndarray"):
        table.filter(lambda run: np.ones(2))


def test_ctrl_c_keeps_what_is_done() -> None:
    def slow(a: int) -> dict[str, float]:
        time.sleep(0.05)
        return {"loss": a}

    threading.Timer(0.4, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    start = time.monotonic()
    table = sweep({"a": list(range(1000))}, None, None, make=slow, threads=2)
    assert time.monotonic() - start < 3
    assert 2 <= len(table) < 100
    assert {run.ended for run in table} <= {"finished", "interrupted"}
    assert [run.ended for run in table].count("interrupted") <= 2


def test_ctrl_c_ends_a_long_training() -> None:
    threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    start = time.monotonic()
    table = sweep({"lr": [0.01]}, epochs=10_000_000)
    assert time.monotonic() - start < 5
    assert [run.ended for run in table] == ["interrupted"]
    assert len(table[0].history) == table[0].epochs > 0


# Halving.

RATES = np.geomspace(1e-4, 1, 9).tolist()


def halve(scores: np.ndarray, ends: list[int], factor: float) -> list[int]:
    """The epochs of each candidate; ``scores`` (candidates, epochs)."""
    alive, epochs = list(range(len(scores))), [0] * len(scores)
    for end in ends:
        for candidate in alive:
            epochs[candidate] = end
        best = scores[:, :end].min(axis=1)
        alive = sorted(alive, key=lambda candidate: best[candidate])[: max(1, int(len(alive) // factor))]
    return epochs


@pytest.mark.parametrize("threads", [1, 3])
def test_successive_halving(threads: int) -> None:
    rates = np.geomspace(1e-4, 1, 9).tolist()
    whole = sweep({"lr": rates}, validation_data=(XV, YV), epochs=12)
    table = sweep({"lr": rates}, validation_data=(XV, YV), epochs=12, halving=nn.SuccessiveHalving(2, 3), threads=threads)
    losses = np.array([run.history["val_loss"] for run in whole])
    expected = halve(losses, [2, 6, 12], 3)
    assert [run.epochs for run in table] == expected
    for run, full in zip(table, whole, strict=True):
        assert np.array_equal(run.history["val_loss"], full.history["val_loss"][: run.epochs])  # the bits of one never stopped
        assert run.ended == ("finished" if run.epochs == 12 else f"halted after {run.epochs} epochs")


def test_halving_over_seeds() -> None:
    """The median of a candidate's runs decides; all go on together."""
    table = sweep({"lr": [1e-5, 0.1, 1e-4]}, validation_data=(XV, YV), epochs=4, seeds=3, halving=nn.SuccessiveHalving(1, 3))
    assert [run.epochs for run in table] == [1] * 3 + [4] * 3 + [1] * 3


def test_rungs() -> None:
    assert nn.SuccessiveHalving(1, 2).rungs(10) == [1, 2, 4, 8, 10]
    assert nn.SuccessiveHalving(5, 3).rungs(5) == [5]
    assert nn.SuccessiveHalving(1, 1.1).rungs(4) == [1, 2, 3, 4]
    assert nn.SuccessiveHalving(2, 1.5).rungs(11) == [2, 3, 4, 7, 10, 11]  # 2, 3, 4.5, 6.75, 10.125, …
    with pytest.raises(ValueError, match="factor must be"):
        nn.SuccessiveHalving(1, 1)


def test_rungs_of_extreme_factors() -> None:
    """Each rung is at least one epoch longer than the one before."""
    program = "import nncore as nn; print(nn.SuccessiveHalving(factor=1.0000000000000002).rungs(20))"
    done = subprocess.run([sys.executable, "-c", program], env=environment(), capture_output=True, text=True, timeout=20)
    assert json.loads(done.stdout) == list(range(1, 21))
    assert nn.SuccessiveHalving(100, 1e308).rungs(1000) == [100, 1000]


def test_asha() -> None:
    rates = np.geomspace(1, 1e-4, 9).tolist()
    table = sweep({"lr": rates}, validation_data=(XV, YV), epochs=9, halving=nn.ASHA(1, 3), threads=1)
    epochs = [run.epochs for run in table]
    assert set(epochs) <= {1, 3, 9}
    assert epochs.count(1) >= 4
    first = {run.parameters["lr"]: run.history["val_loss"][0] for run in table}
    best = min(first, key=lambda lr: first[lr])
    assert next(run.epochs for run in table if run.parameters["lr"] == best) > 1


def test_halving_with_a_run_that_fails() -> None:
    def fragile(lr: float) -> nn.Trainer:
        if lr == 0:
            raise ValueError("zero")
        return make(lr)

    table = sweep({"lr": [0, 0.1, 0.01, 0.2]}, make=fragile, epochs=4, halving=nn.SuccessiveHalving(1, 2))
    assert table[0].ended == "raised ValueError: zero"
    assert [run.epochs for run in table][1:].count(4) == 1


def test_halving_by_a_column_that_there_is_not() -> None:
    trained: list[int] = []

    def counted(lr: float) -> nn.Trainer:
        trained.append(1)
        return make(lr)

    halving = nn.SuccessiveHalving(1, 3)
    with pytest.raises(ValueError, match=r"monitor must be a column of the history, running_loss, .*, got 'running_los'"):
        sweep({"lr": RATES}, make=counted, monitor="running_los", mode="min", epochs=9, halving=halving, threads=1)
    assert len(trained) <= 2  # refused after the first one
    with pytest.raises(ValueError, match="got 'val_loss'"):
        sweep({"lr": RATES}, monitor="val_loss", epochs=9, halving=halving)
    with pytest.raises(TypeError, match="halving needs a make that returns a Trainer, got one that gives loss only"):
        sweep({"a": [1, 2]}, make=lambda a: {"loss": a}, halving=halving, epochs=3)


def test_halved_runs_that_have_ended_are_left_alone() -> None:
    """A seed that has failed, or stopped, is not trained again with the others of its candidate."""
    made: list[int] = []

    def fragile(lr: float, seed: int) -> nn.Trainer:
        made.append(seed)
        if seed == 1:
            raise ValueError("one")
        return make(lr, seed=seed)

    table = sweep({"lr": [0.1]}, make=fragile, epochs=9, seeds=3, halving=nn.SuccessiveHalving(1, 3))
    assert sorted(made) == [0, 1, 2]
    assert [run.ended for run in table] == ["finished", "raised ValueError: one", "finished"]


def test_halving_of_trainers_that_have_been_trained() -> None:
    """Epochs are those of the run; what a trainer had before plays no part."""

    def trained(lr: float) -> nn.Trainer:
        trainer = make(0.1)
        trainer.fit(X, Y, epochs=5, verbose=0)
        trainer.optimizer.lr = lr
        return trainer

    table = sweep({"lr": [0.1, 0.01, 1e-7]}, make=trained, epochs=4, halving=nn.SuccessiveHalving(1, 3))
    assert sorted(run.epochs for run in table) == [1, 1, 4]
    assert sorted(len(run.history) for run in table) == [6, 6, 9]


# Suggestions.


class Bisect:
    """Asks for the middle of an interval."""

    def __init__(self) -> None:
        self.low, self.high, self.told = 0.0, 1.0, []  # type: ignore[var-annotated]

    def ask(self) -> dict[str, float]:
        return {"x": (self.low + self.high) / 2}

    def tell(self, trial: dict[str, float], value: float) -> None:
        self.told.append((trial["x"], value))
        self.low, self.high = (trial["x"], self.high) if trial["x"] < 0.3 else (self.low, trial["x"])


def test_suggestions() -> None:
    source = Bisect()
    table = sweep(source, None, None, make=lambda x: {"loss": abs(x - 0.3)}, runs=8, threads=1)
    assert [run.parameters["x"] for run in table][:4] == [0.5, 0.25, 0.375, 0.3125]
    assert source.told == [(run.parameters["x"], run.values["loss"]) for run in table]
    with pytest.raises(ValueError, match="runs must be the number of candidates to ask for"):
        sweep(source, None, None, make=lambda x: {"loss": x})


def test_suggestions_are_told_what_the_table_says() -> None:
    """Of several runs the median, those that fail among them as the worst."""

    def build(x: float, seed: int) -> dict[str, float]:
        if seed < {0.5: 1, 0.25: 4, 0.125: 0}[x]:
            raise ValueError("no result")
        return {"loss": x + seed, "score": -x - seed}

    for monitor, sign in (("loss", 1.0), ("score", -1.0)):
        source, asked = Bisect(), iter([0.5, 0.25, 0.125])
        source.ask = lambda asked=asked: {"x": next(asked)}  # type: ignore[method-assign, misc]
        table = sweep(source, None, None, make=build, runs=3, seeds=5, monitor=monitor, threads=1)
        scores = {group["candidate"]: group["score"] for group in table.groups()}
        assert scores == {0: 0.5 + 3, 1: math.inf, 2: 0.125 + 2}
        assert source.told == [(0.5, sign * 3.5), (0.125, sign * 2.125)]


def test_optuna_is_told_of_failed_candidates() -> None:
    optuna = pytest.importorskip("optuna")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))

    def build(x: float, seed: int) -> dict[str, float]:
        if seed:
            raise ValueError("no result")
        return {"loss": 0.001}

    table = sweep((study, {"x": optuna.distributions.FloatDistribution(0, 1)}), None, None, make=build, runs=2, seeds=5)
    assert [group["score"] for group in table.groups()] == [math.inf] * 2
    assert [trial.state for trial in study.trials] == [optuna.trial.TrialState.FAIL] * 2


def test_optuna() -> None:
    optuna = pytest.importorskip("optuna")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    distributions = {"lr": optuna.distributions.FloatDistribution(1e-3, 1, log=True)}
    table = sweep((study, distributions), runs=4, seeds=2, epochs=2)
    assert len(table) == 8
    assert len(study.trials) == 4
    values = [max(run.best("running_loss") for run in table if run.candidate == k) for k in range(4)]  # the worse of the two
    assert [trial.value for trial in study.trials] == values


@pytest.mark.parametrize(("direction", "monitor"), [("minimize", "running_accuracy"), ("maximize", "running_loss")])
def test_a_study_that_would_look_for_the_worst(direction: str, monitor: str) -> None:
    optuna = pytest.importorskip("optuna")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction=direction)
    suggestions = study, {"lr": optuna.distributions.FloatDistribution(1e-3, 1, log=True)}
    other = {"minimize": "maximize", "maximize": "minimize"}[direction]
    with pytest.raises(ValueError, match=f"study must {other} what the sweep is judged by, .*got one that is to {direction}:"):
        sweep(suggestions, runs=2, monitor=monitor)
    assert all(trial.value is None for trial in study.trials)
    mode = {"minimize": "min", "maximize": "max"}[direction]
    assert len(sweep(suggestions, runs=2, monitor=monitor, mode=mode)) == 2


# Files.


def test_a_file_keeps_what_was_run(tmp_path: Path) -> None:
    calls: list[Any] = []

    def counted(lr: float, seed: int) -> nn.Trainer:
        calls.append((lr, seed))
        return make(lr, seed=seed)

    options: dict[str, Any] = {"make": counted, "epochs": 2, "file": tmp_path / "sweep.db", "validation_data": (XV, YV)}
    options["name"] = "counted"  # as its code uses a list that changes
    first = sweep({"lr": [0.1, 0.01]}, seeds=2, **options)
    assert len(calls) == 4
    more = sweep({"lr": [0.1, 0.01, 0.001]}, seeds=[0, 1], **options)
    assert calls[4:] == [(0.001, 0), (0.001, 1)]
    assert len(more) == 6
    for run, again in zip(first, more, strict=False):
        assert (run.values, run.ended, run.epochs, run.seconds) == (again.values, again.ended, again.epochs, again.seconds)
        assert run.history == again.history
    with pytest.raises(ValueError, match="is of another sweep"):
        sweep({"lr": [0.1]}, **options | {"epochs": 3})
    with pytest.raises(ValueError, match="is of another sweep"):
        sweep({"lr": [0.1]}, X + 1, **options)
    with pytest.raises(ValueError, match="is of another sweep, which differs in: name"):
        sweep({"lr": [0.1]}, **options | {"name": "another"})


def test_a_file_keeps_failures_and_halving(tmp_path: Path) -> None:
    def run() -> nn.SweepTable:
        return sweep(
            {"lr": [0.1, 1e-4, 1e-5]}, epochs=4, halving=nn.SuccessiveHalving(1, 3), file=tmp_path / "half.db", seeds=2
        )

    first, second = run(), run()
    assert [(a.ended, a.epochs, a.values) for a in first] == [(b.ended, b.epochs, b.values) for b in second]
    failing: dict[str, Any] = {"make": lambda a: {"loss": 1 / a}, "file": tmp_path / "fails.db"}
    assert sweep({"a": [0, 1]}, None, None, **failing)[0].ended == "raised ZeroDivisionError: division by zero"
    again = sweep({"a": [0, 1]}, None, None, **failing)
    assert again[0].ended == "raised ZeroDivisionError: division by zero"


def test_damaged_files(tmp_path: Path) -> None:
    path = tmp_path / "sweep.db"
    path.write_bytes(b"not a database at all" * 100)
    with pytest.raises(ValueError, match="file must be a SQLite file of a sweep, or a new one"):
        sweep({"lr": [0.1]}, file=path)
    good = tmp_path / "good.db"
    sweep({"lr": [0.1]}, file=good)
    with sqlite3.connect(good) as connection:
        connection.execute("UPDATE runs SET history = X'1234'")
    with pytest.raises(ValueError, match=r"file .*good.db' is damaged in the row of lr=0.1; seed 0, key"):
        sweep({"lr": [0.1]}, file=good)


PROGRAM = """
import os, sys, time
import nncore as nn
def make(a):
    with open(sys.argv[2], "a") as file:
        file.write(f"{a}\\n")
    time.sleep(0.05)
    return {"loss": a}
table = nn.sweep(make, {"a": list(range(20))}, file=sys.argv[1], threads=1, verbose=0)
print(len(table), sorted(run.values["loss"] for run in table) == list(range(20)))
"""


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


def start(*arguments: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", PROGRAM, *map(str, arguments)]
    return subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, text=True)


def test_several_processes_share_a_file(tmp_path: Path) -> None:
    log = tmp_path / "log"
    processes = [start(tmp_path / "sweep.db", log) for _ in range(3)]
    assert [process.communicate(timeout=60)[0] for process in processes] == ["20 True\n"] * 3
    assert sorted(map(int, log.read_text().split())) == list(range(20))  # each once


def test_kill_loses_the_run_under_way_only(tmp_path: Path) -> None:
    log = tmp_path / "log"
    process = start(tmp_path / "sweep.db", log)
    while not log.exists() or len(log.read_text().split()) < 6:
        time.sleep(0.01)
    process.kill()
    process.communicate()
    before = len(log.read_text().split())
    again = start(tmp_path / "sweep.db", log)
    assert again.communicate(timeout=60)[0] == "20 True\n"
    assert len(log.read_text().split()) - before <= 20 - before + 1


def test_a_claim_of_the_dead_is_taken_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "sweep.db"
    sweep({"lr": [0.1]}, file=path)
    with sqlite3.connect(path) as connection:
        elsewhere = json.dumps(["elsewhere", 1, "1", "x"])
        connection.execute("UPDATE runs SET ended = NULL, owner = ?, beat = ?", (elsewhere, time.time() - 100))
    assert sweep({"lr": [0.1]}, file=path)[0].ended == "finished"
    assert store._lives(elsewhere, time.time() - 10, time.time())


# Other backends.


@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_joblib(backend: str) -> None:
    pytest.importorskip("joblib")
    options: dict[str, Any] = {"validation_data": (XV, YV), "epochs": 2, "seeds": 2}
    there, here = sweep({"lr": [0.1, 0.01]}, backend=backend, threads=2, **options), sweep({"lr": [0.1, 0.01]}, **options)
    assert [(a.history, a.values, a.ended) for a in there] == [(b.history, b.values, b.ended) for b in here]


def die(a: int) -> dict[str, float]:
    if a == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return {"loss": a}


def test_a_killed_worker_is_a_row() -> None:
    pytest.importorskip("joblib")
    table = sweep({"a": list(range(6))}, None, None, make=die, backend="loky", threads=2)
    assert len(table) == 6
    assert table[3].ended.startswith("raised ")
    assert sum(run.ended == "finished" for run in table) >= 2


def test_dask() -> None:
    """Several processes, of which one is killed in the middle: the results are those of threads."""
    distributed = pytest.importorskip("distributed")
    own: dict[str, Any] = {"n_workers": 2, "threads_per_worker": 1, "processes": True, "dashboard_address": None}
    with distributed.LocalCluster(**own) as cluster, distributed.Client(cluster):
        options: dict[str, Any] = {"validation_data": (XV, YV), "epochs": 300, "seeds": 4}
        pids = [worker.process.pid for worker in cluster.workers.values()]
        threading.Timer(0.5, lambda: os.kill(pids[0], signal.SIGTERM)).start()
        there = sweep({"lr": [0.1, 0.01]}, backend="dask", threads=2, **options)
    here = sweep({"lr": [0.1, 0.01]}, **options)
    assert [(a.history, a.ended) for a in there] == [(b.history, b.ended) for b in here]


# The table.


def table_of(values: list[float]) -> nn.SweepTable:
    return sweep(
        {"a": [1, 2], "b": [0.1, 0.2, 0.3]}, None, None, make=lambda a, b: {"loss": values[(a - 1) * 3 + round(10 * b) - 1]}
    )


def test_tables() -> None:
    table = table_of([5.0, 4.0, 3.0, 1.0, math.nan, 2.0])
    assert [run.values["loss"] for run in table.sorted()][:5] == [1.0, 2.0, 3.0, 4.0, 5.0]
    assert [run.parameters["b"] for run in table.sorted("b")] == [0.1, 0.1, 0.2, 0.2, 0.3, 0.3]
    assert [run.parameters["a"] for run in table.sorted("a", descending=True)] == [2, 2, 2, 1, 1, 1]
    assert len(table.filter(a=2)) == 3
    assert len(table.filter(lambda run: run.values["loss"] > 2)) == 3
    assert len(table[1:3]) == 2
    assert table.column("loss")[:4].tolist() == [5, 4, 3, 1]
    assert len(repr(table).splitlines()) == 7
    assert "<table>" in table._repr_html_()
    assert "[100 runs]" in repr(sweep({"a": list(range(100))}, None, None, make=lambda a: {"loss": a}))
    pandas = pytest.importorskip("pandas")
    assert isinstance(table.to_pandas(), pandas.DataFrame)


def test_results_with_the_names_of_parameters() -> None:
    """The parameter keeps its name."""

    def trained(lr: float, loss: str, epochs: int) -> nn.Trainer:
        return nn.Trainer(make().model, loss, nn.Adam(nn.schedules.Cosine(lr, 10)))

    table = sweep({"lr": [0.1], "loss": ["softmax_cross_entropy"], "epochs": [7]}, make=trained, epochs=2, exact_loss=True)
    row = table.rows()[0]
    assert (row["lr"], row["loss"], row["epochs"]) == (0.1, "softmax_cross_entropy", 7)
    assert (row["result_lr"], row["result_loss"], row["result_epochs"]) == (table[0].values["lr"], table[0].values["loss"], 2)
    assert table.column("lr")[0] == table[0].values["lr"] != 0.1
    assert len(repr(table).splitlines()[0].split()) == len(row)
    other = sweep({"x": [1], "result_x": [2]}, None, None, make=lambda x, result_x: {"x": 3, "ended": 4, "loss": 5})
    assert other.rows() == [{"x": 1, "result_x": 2, "ended": "finished", "result_result_x": 3, "result_ended": 4, "loss": 5}]
    pandas = pytest.importorskip("pandas")
    assert list(table.to_pandas()["lr"]) == [0.1]
    assert isinstance(table.to_pandas(), pandas.DataFrame)


def test_only_columns_that_say_something() -> None:
    """The best value is there where it is not the last, the result of a parameter's name where it is not the parameter."""
    assert "result_lr" not in sweep({"lr": [0.1, 0.2]}, epochs=2).rows()[0]
    assert list(sweep({"a": [1, 2]}, None, None, make=lambda a: {"a": 1, "loss": a}).rows()[1])[-2:] == ["result_a", "loss"]
    table = curves((0, [3.0, 1.0, 2.0]), (1, [3.0, 2.0, 1.5]))
    assert [(row["val_loss"], row["best_val_loss"]) for row in table.rows()] == [(2.0, 1.0), (1.5, 1.5)]
    assert "best_val_loss" in repr(table)
    assert [run.number for run in table.sorted("best_val_loss")] == [0, 1]
    assert "best_val_loss" not in table[1:].rows()[0]


def of_values(values: list[Any], results: list[float] | None = None) -> nn.SweepTable:
    results = [float(place) for place in range(len(values))] if results is None else results
    return sweep([{"a": value, "k": k} for k, value in enumerate(values)], None, None, make=lambda a, k: {"loss": results[k]})


def test_sorting() -> None:
    table = of_values([None, "b", 3, (1, 2), math.nan, "a", 0.5, True])
    assert [run.parameters["k"] for run in table.sorted("a")] == [6, 7, 2, 5, 1, 3, 0, 4]
    assert [run.parameters["k"] for run in table.sorted("a", descending=True)] == [3, 1, 5, 2, 7, 6, 0, 4]
    assert [run.parameters["k"] for run in table.sorted(descending=True)] == list(range(8))[::-1]
    results = of_values([1, 2, 3], [2.0, math.nan, 1.0])
    assert [run.parameters["a"] for run in results.sorted("loss")] == [3, 1, 2]
    assert [run.parameters["a"] for run in results.sorted("loss", descending=True)] == [1, 3, 2]
    assert [run.parameters["a"] for run in results.sorted(descending=True)] == [1, 3, 2]
    seeds = sweep({"a": [1]}, None, None, make=lambda a, seed: {"loss": seed}, seeds=[2, 0, 1])
    assert [run.seed for run in seeds.sorted("seed")] == [0, 1, 2]
    for call in (lambda: table.sorted("los"), lambda: table.column("los"), lambda: table.filter(los=1)):
        with pytest.raises(ValueError, match=r"got 'los'|a column 'los'"):
            call()
    mistaken = nn.SweepTable(table.runs, "los", "min")
    with pytest.raises(ValueError, match="there must be a column 'los' in the results; there are loss"):
        mistaken.best()
    assert len(table[:0].sorted("a")) == len(table[:0].sorted()) == 0


def test_filters_by_any_value() -> None:
    values = [np.arange(3), np.arange(4), math.nan, None, [8, 8], 1, True]
    for k, value in enumerate(values):
        if k not in (2, 3):
            assert [run.parameters["k"] for run in of_values(values).filter(a=value)] == [k]
    assert len(of_values([np.arange(5000), np.arange(5000) + 0.5]).filter(a=np.arange(5000))) == 1


def test_tables_without_results() -> None:
    failed = sweep({"a": [1, 2]}, None, None, make=lambda a: {"loss": 1 / 0})
    assert np.isnan(failed.column("loss")).all()
    assert len(failed.sorted()) == 2
    assert len(failed.rows()) == 2
    for draw in (failed.plot, failed[:0].plot, failed.best, failed[:0].best):
        with pytest.raises(ValueError, match="there must be a run"):
            draw()


def test_the_first_error_is_told_in_full() -> None:
    def make(a: int) -> dict[str, float]:
        if a > 1:
            raise ValueError(f"a long story, in several\nlines, of what is wrong with the number {a}{chr(27)}[0m")
        return {"loss": a}

    first = r"the first raised ValueError: a long story, in several\nlines, of what is wrong with the number 2\x1b[0m"
    table = sweep({"a": [1, 2, 3]}, None, None, make=make)
    *rows, note = repr(table).splitlines()
    assert len(rows) == 4
    assert note == f"2 of 3 runs failed, {first}"
    assert first in table._repr_html_()
    assert chr(27) not in repr(table)
    for ask in (table[1:].best, table[1:].plot):
        with pytest.raises(ValueError, match=re.escape(f"with a finite loss, got none: {first}")):
            ask()


def test_groups_over_seeds() -> None:
    values = {(1, 0): 5.0, (1, 1): 1.0, (1, 2): 3.0, (2, 0): 2.0, (2, 1): 2.5, (2, 2): math.inf}
    table = sweep({"a": [1, 2]}, None, None, make=lambda a, seed: {"loss": values[a, seed]}, seeds=3)
    best, other = table.groups()
    assert (best["parameters"], best["median"], best["failed"], best["score"]) == ({"a": 2}, 2.25, 1, 2.5)
    assert (other["lower"], other["median"], other["upper"]) == (2.0, 3.0, 4.0)
    assert table.best().parameters == {"a": 2}
    assert table.best().seed == 0


def test_pictures(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    table = table_of([5.0, 4.0, 3.0, 1.0, math.nan, 2.0])
    (axes,) = table.plot(tmp_path / "map.png").axes
    assert axes.get_title("left") == "loss: best at a = 2, b = 0.1"
    (axes,) = table.filter(a=2).plot(tmp_path / "line.png").axes
    assert axes.get_title("left") == "best loss at b = 0.1"
    (axes,) = table.plot(tmp_path / "parallel.png", "parallel").axes
    assert [label.get_text() for label in axes.get_xticklabels()] == ["a", "b", "loss"]
    trained = sweep({"lr": [0.1, 0.2]}, epochs=3)
    (axes,) = trained.plot(tmp_path / "curves.png", "curves").axes
    assert len(axes.lines) == 3  # and the median of the best candidate
    with pytest.raises(ValueError, match="x and y must be parameters, a, b, got 'c'"):
        table.plot(tmp_path / "map.png", "map", x="c")
    with pytest.raises(ValueError, match="runs must have a history to draw"):
        table.plot(tmp_path / "curves.png", "curves")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["curves.png", "line.png", "map.png", "parallel.png"]


def curves(*histories: tuple[int, list[float]]) -> nn.SweepTable:
    """Runs of candidates with these losses after each epoch."""
    return nn.SweepTable(
        (
            Run(number, candidate, {"a": candidate}, number, None, "finished", len(own), 1.0, {"val_loss": own[-1]},
                nn.History.from_columns({"val_loss": np.array(own)}))
            for number, (candidate, own) in enumerate(histories)
        ),
        "val_loss",
    )  # fmt: skip


def test_curves_show_the_best_candidate() -> None:
    """Which is the best by the median, not the one with the best run; runs that end early count with their last loss."""
    pytest.importorskip("matplotlib")
    table = curves((0, [9, 0.5]), (0, [9, 9]), (0, [9, 9]), (1, [4, 3, 2]), (1, [6, 5]), (1, [8, 7, 6]), (2, [8.0]))
    (axes,) = drawn(table, "curves").axes
    assert axes.get_title("left") == "best: a = 1; median and quartiles of 3 runs"
    assert axes.lines[-1].get_ydata().tolist() == [6, 5, 5]
    ends = [(line.get_marker() == ".", len(line.get_xdata())) for line in axes.lines[:-1]]
    assert ends == [(True, 2)] * 3 + [(False, 3), (True, 2), (False, 3), (True, 1)]


def test_drawn_values_are_points() -> None:
    pytest.importorskip("matplotlib")
    places = {"x": scipy.stats.loguniform(1e-3, 1), "y": scipy.stats.uniform(0, 1)}
    table = sweep(places, None, None, make=lambda x, y: {"loss": math.nan if y > 0.9 else x + y}, runs=30)
    axes, bar = drawn(table).axes
    points, best, failed = (part.get_offsets() for part in axes.collections)
    x, y, losses = (np.array([row.get(name) for row in table.rows()]) for name in ("x", "y", "loss"))
    there = np.isfinite(losses)
    assert 0 < len(failed) == (~there).sum()
    assert np.array_equal(points, np.column_stack((x, y))[there])
    assert np.array_equal(axes.collections[0].get_array(), losses[there])
    assert best.tolist() == [[x[np.nanargmin(losses)], y[np.nanargmin(losses)]]]
    assert (axes.get_xscale(), axes.get_yscale(), bar.get_ylabel()) == ("log", "linear", "loss")
    assert len(drawn(table_of([5.0, 4.0, 3.0, 1.0, 6.0, 2.0])).axes) == 1  # a grid is a map
    other = [("low", 1.0), ("high", 2.0), ("low", 3.0), ("middle", 4.0)]
    texts = sweep([{"y": y, "x": x} for y, x in other], None, None, make=lambda x, y: {"loss": x})
    axes = drawn(texts, "points", x="x", y="y").axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["high", "low", "middle"]
    assert axes.collections[0].get_offsets().tolist() == [[1.0, 1.0], [2.0, 0.0], [3.0, 1.0], [4.0, 2.0]]


def drawn(table: nn.SweepTable, *what: Any, **parameters: Any) -> Any:
    from matplotlib import pyplot

    figure = table.plot(None, *what, **parameters)
    pyplot.close(figure)
    return figure


@pytest.mark.parametrize(
    "values",
    [
        [[8], [8, 8], [16]], [None, 1, "x"], [math.nan, 1.0, math.inf], [np.int64(1), np.float64(10.5), np.int64(1000)],
        [np.tanh, make, math.nan], [True, False, True], [{"a": 1}, {"a": 2}, 3], [np.arange(2), np.arange(3), 1],
    ],
    ids=["lists", "text", "not finite", "NumPy", "functions", "flags", "mappings", "arrays"],
)  # fmt: skip
def test_pictures_of_any_values(tmp_path: Path, values: list[Any]) -> None:
    pytest.importorskip("matplotlib")
    table = of_values([*values, *values])
    several = len({repr(value) for value in values})
    assert len(drawn(table, "line", x="a").axes[0].lines[0].get_xdata()) == several
    for x, y in (("a", "k"), ("k", "a"), (None, "a"), (None, "k"), ("a", None)):
        (axes,) = drawn(table, "map", x=x, y=y).axes
        assert {axes.get_xlabel(), axes.get_ylabel()} == {"a", "k"}
        assert len(axes.get_xticks()) * len(axes.get_yticks()) == several * 6
    table.plot(tmp_path / "a.png", "parallel")
    drawn(table[:1], "line", x="a")


def test_pictures_of_parameters_that_some_runs_have() -> None:
    pytest.importorskip("matplotlib")
    table = sweep([{"a": 1}, {"b": 2}, {"a": 3, "b": 4}], None, None, make=lambda a=0, b=0: {"loss": a + b})
    assert drawn(table).axes[0].get_title("left") == "loss: best at a = 1, b = -"
    for kind in ("line", "parallel"):
        drawn(table, kind)
    with pytest.raises(ValueError, match="x and y must be two parameters, got 'a' twice"):
        table.plot(kind="map", x="a", y="a")
    for kind, message in (
        ("map", "there must be 2 parameters with"),
        ("line", "a parameter with"),
        ("parallel", "a parameter with"),
    ):
        with pytest.raises(ValueError, match=message):
            table[:1].plot(kind=kind)
    with pytest.raises(ValueError, match="there must be a parameter with several values to draw, got none"):
        table[:1].plot(kind="map", x="a")


def test_progress(capsys: pytest.CaptureFixture[str]) -> None:
    nn.sweep(lambda a: {"loss": a}, {"a": [1, 2]})  # no terminal: no line
    assert capsys.readouterr().err == ""


# Fair comparisons.


def candidate(optimizer: Any, rates: Any) -> tuple[Any, Any]:
    def build(lr: float, seed: int) -> nn.Trainer:
        return nn.Trainer(make(seed=seed).model, "softmax_cross_entropy", optimizer(lr=lr), metrics=["accuracy"], seed=seed)

    return build, {"lr": rates}


def test_fair_comparison() -> None:
    candidates = {"adam": candidate(nn.Adam, [0.01, 0.1]), "sgd": candidate(nn.SGD, [1e-9, 1e-8])}
    found = nn.fair_comparison(
        candidates, X[:60], Y[:60], test=(X[60:], Y[60:]), budget=2, seeds=3, folds=3, epochs=5, seed=4, verbose=0
    )
    assert found.ranking == ["adam", "sgd"]
    assert found.measure == "loss"
    chosen = found.searches["adam"].best().parameters
    assert [run.seed for run in found.finals["adam"]] == [5, 6, 7]
    for run, result in zip(found.finals["adam"], found.results("adam"), strict=True):
        alone = candidates["adam"][0](**chosen, seed=run.seed)
        alone.fit(X[:60], Y[:60], epochs=5, verbose=0)
        assert alone.evaluate(X[60:], Y[60:])["loss"] == result
        assert run.parameters == chosen
    assert {len(table) for table in found.searches.values()} == {6}
    assert repr(found).splitlines()[1].startswith("adam")
    assert nn.fair_comparison(
        candidates, X, Y, test=(XV, YV), budget=2, seeds=2, measure="accuracy", validation_split=0.3, verbose=0
    ).mode == "max"  # fmt: skip


def test_final_runs_of_a_comparison_have_their_own_parameters() -> None:
    models = []

    def build(layer: nn.Layer, seed: int) -> nn.Trainer:
        models.append(nn.Sequential([nn.Dense(4), layer, nn.Dense(2)], input_shape=2, seed=seed))
        return nn.Trainer(models[-1], "softmax_cross_entropy", seed=seed)

    common: dict[str, Any] = {"test": (XV, YV), "budget": 1, "seeds": 2, "validation_split": 0.2, "verbose": 0}
    found = nn.fair_comparison({"tanh": (build, [{"layer": nn.Tanh()}])}, X, Y, **common)
    assert np.isfinite(found.results("tanh")).all()


class Constant:
    """An estimator."""

    def __init__(self, value: int) -> None:
        self.value = value

    def fit(self, X: Any, y: Any, epochs: int = 1, validation_split: float = 0) -> Constant:
        return self

    def score(self, X: Any, y: Any) -> float:
        return float((y == self.value).mean())


def test_fair_comparisons_that_are_none() -> None:
    good: dict[str, Any] = {"test": (XV, YV), "budget": 2, "validation_split": 0.3, "verbose": 0}
    with pytest.raises(ValueError, match="the space of a must have 3 sets of parameters, the budget, got 2"):
        nn.fair_comparison({"a": candidate(nn.Adam, [0.1, 0.2])}, X, Y, **good | {"budget": 3})
    with pytest.raises(ValueError, match="must give held-out data for the choice, got none"):
        nn.fair_comparison({"a": candidate(nn.Adam, [0.1, 0.2])}, X, Y, test=(XV, YV), budget=2)
    with pytest.raises(RuntimeError, match="no run of a came to a result: raised"):
        nn.fair_comparison({"a": (lambda lr, seed: None, {"lr": [1, 2]})}, X, Y, **good)
    score = {"a": candidate(nn.Adam, [0.1, 0.2]), "b": (lambda c, seed: Constant(c), {"c": [0, 1]})}
    with pytest.raises(ValueError, match="measured by, got 'loss': of b there are score"):
        nn.fair_comparison(score, X, Y, **good | {"epochs": 1})
    with pytest.raises(ValueError, match="candidates must be a mapping"):
        nn.fair_comparison({}, X, Y, **good)


def test_picture_of_a_fair_comparison(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    found = nn.fair_comparison(
        {"a": candidate(nn.Adam, [0.1]), "b": candidate(nn.SGD, [0.1])}, X, Y, test=(XV, YV), budget=1, seeds=2,
        validation_split=0.3, verbose=0,
    )  # fmt: skip
    (axes,) = found.plot(tmp_path / "fair.png").axes
    assert axes.get_title("left") == f"{found.ranking[0]} is best in the median"


def test_folds_of_tables_of_pyarrow() -> None:
    pa = pytest.importorskip("pyarrow")
    X, y = nn.data.two_spirals(60)

    def make(lr: float) -> nn.Trainer:
        return nn.Trainer(nn.Sequential([nn.Dense(2)], input_shape=2), "softmax_cross_entropy", nn.Adam(lr=lr))

    def values(X: Any, y: Any) -> list[float]:
        return [run.values["val_loss"] for run in nn.sweep(make, {"lr": [0.1]}, X, y, folds=3, verbose=0).runs]

    assert values(pa.table({"a": X[:, 0], "b": X[:, 1]}), pa.array(y)) == values(X, y)
