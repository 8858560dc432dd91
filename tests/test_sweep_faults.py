"""What sweeps once did wrong: ends of a program within a run, arguments without a use, columns that only some runs have."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nncore as nn
from nncore import second_order

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 3))
Y = (X[:, 0] > 0).astype(int)


def make(optimizer: Any, seed: int = 0) -> nn.Trainer:
    model = nn.Sequential([nn.Dense(4), nn.Tanh(), nn.Dense(2)], input_shape=3, seed=seed)
    return nn.Trainer(model, "softmax_cross_entropy", optimizer, seed=seed)


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, GeneratorExit])
@pytest.mark.parametrize("threads", [1, 3])
def test_what_ends_a_program_ends_the_sweep(error: type[BaseException], threads: int, tmp_path: Path) -> None:
    """It is no result: the next call with the same file makes the run again."""
    breaks = [True]

    def run(a: int) -> dict[str, float]:
        if a == 2 and breaks:
            raise error("here")
        return {"loss": float(a)}

    def sweep() -> nn.SweepTable:
        return nn.sweep(run, {"a": [1, 2, 3]}, file=tmp_path / "sweep.db", name="one", threads=threads, verbose=0)

    with pytest.raises(error, match="here"):
        sweep()
    breaks.clear()
    table = sweep()
    assert [run.ended for run in table] == ["finished"] * 3
    assert table.column("loss").tolist() == [1, 2, 3]


def test_functions_are_checked_before_anything_is_run() -> None:
    stopping: Any = [nn.EarlyStopping("running_loss")]
    with pytest.raises(TypeError, match=r"callbacks must be callable, got \[EarlyStopping"):
        nn.sweep(make, {"optimizer": ["sgd"]}, X, Y, callbacks=stopping, verbose=0)
    wrong: Any = 3
    with pytest.raises(TypeError, match="make must be callable, got 3"):
        nn.sweep(wrong, {"optimizer": ["sgd"]}, X, Y, verbose=0)


@pytest.mark.parametrize(
    "given", [{"y": Y}, {"folds": 3}, {"validation_data": (X, Y)}, {"callbacks": list}, {"epochs": 3}, {"sample_weight": Y}]
)
def test_arguments_for_data_need_data(given: dict[str, Any]) -> None:
    made: list[int] = []
    with pytest.raises(ValueError, match=f"{next(iter(given))} needs X, got none"):
        nn.sweep(lambda a: made.append(a) or {"loss": a}, {"a": [1]}, verbose=0, **given)  # type: ignore[func-returns-value]
    assert not made


BOTH = {"optimizer": [nn.Adam(lr=0.01), second_order.LBFGS(), nn.Adam(lr=0.02)]}


@pytest.mark.parametrize("threads", [1, 2])
def test_runs_are_compared_by_a_column_that_all_have(threads: int) -> None:
    """Gradient steps report a running loss, L-BFGS the loss, and with ``exact_loss`` both do."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table = nn.sweep(make, BOTH, X, Y, epochs=5, exact_loss=True, keep="best", threads=threads, verbose=0)
    assert table.monitor == "loss"
    assert np.isfinite(table.scores()).all()
    best = table.best()
    assert best.number == np.argmin([run.history["loss"].min() for run in table if run.history is not None])
    assert [run.model is not None for run in table] == [run is best for run in table]


@pytest.mark.parametrize("threads", [1, 2])
def test_runs_that_cannot_be_compared(threads: int) -> None:
    with pytest.warns(UserWarning, match="no column in common to be judged by: 2 have no loss, the first running_loss, lr"):
        table = nn.sweep(make, BOTH, X, Y, epochs=5, keep="best", threads=threads, verbose=0)
    assert table.monitor == "loss"
    assert [run.model is not None for run in table] == [False, True, False]  # that of best(), whatever ended first
    assert table.best().number == 1


def test_halving_refuses_an_optimizer_that_cannot_go_on() -> None:
    """SciPy's state ends with a call of ``fit``: what a rung leads to would depend on where the one before ended."""
    halving, space = nn.SuccessiveHalving(2, 2), {"optimizer": [second_order.ScipyMinimize("BFGS")]}
    with pytest.raises(TypeError, match=r"halving needs optimizers that go on where they were halted, got ScipyMinimize"):
        nn.sweep(make, space, X, Y, epochs=8, monitor="loss", halving=halving, verbose=0)
    assert nn.sweep(make, space, X, Y, epochs=2, monitor="loss", halving=halving, verbose=0)[0].ended == "finished"


def fair(candidates: Any, **options: Any) -> nn.FairComparison:
    given = {"test": (X[40:], Y[40:]), "budget": 2, "seeds": 2, "epochs": 2, "verbose": 0}
    return nn.fair_comparison(candidates, X[:40], Y[:40], **given, **options)


def test_comparisons_without_a_measured_result_say_why() -> None:
    """With folds only the search has validation data."""
    stop = {"callbacks": lambda: [nn.EarlyStopping("val_loss")]}
    space = {"optimizer": ["sgd", "adam"]}
    with pytest.raises(
        RuntimeError, match=r"no run of A that is measured came to a result: .*monitor must be a reported column"
    ):
        fair({"A": (make, space)}, folds=2, **stop)
    assert np.isfinite(fair({"A": (make, space)}, validation_split=0.3, **stop).results("A")).all()


@pytest.mark.parametrize(
    ("candidate", "error", "message"),
    [
        (make, TypeError, r"candidates must be pairs \(make, space\), got .*make.* for A"),
        ((3, {"optimizer": ["sgd", "adam"]}), TypeError, "make of A must be callable, got 3"),
        ((lambda optimizer: make(optimizer), {"optimizer": ["sgd", "adam"]}), ValueError, "make of A must take seed"),
    ],
)
def test_candidates_are_checked_before_the_search(candidate: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        fair({"A": candidate}, validation_split=0.3)
