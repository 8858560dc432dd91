"""The ranking of `compare`: fewer steps to a goal, not differences below rounding; the first steps of optimizers."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest

import nncore as nn
from nncore import cli
from nncore.landscapes import LANDSCAPES, Comparison, Quadratic, Saddle, Search, compare, random_starts, record, steps_to
from nncore.landscapes.functions import Landscape
from nncore.optimizers import OPTIMIZERS

# ---- steps to a loss


def test_steps_to_by_a_loop() -> None:
    losses = np.random.default_rng(0).exponential(size=(200, 12)) * np.linspace(2, 0.1, 12)
    goals = np.random.default_rng(1).uniform(0.1, 1.0, 200)
    wanted = []
    for goal, run in zip(goals, losses, strict=True):
        above = [step for step, loss in enumerate(run) if loss > goal]
        wanted.append(0 if not above else math.inf if above[-1] == 11 else above[-1] + 1)
    assert steps_to(goals, losses).tolist() == wanted
    assert len(set(wanted)) > 5
    assert math.inf in wanted


@pytest.mark.parametrize(
    ("losses", "steps"),
    [
        ([1.0, math.inf, math.inf], math.inf),
        ([1.0, 0.0, math.nan], math.inf),
        ([0.1], 0),
        ([1.0, -1e300], 1),
    ],
)
def test_steps_to_of_one_run(losses: list[float], steps: float) -> None:
    assert steps_to(0.1, losses) == steps


# ---- ranking


def comparison(goal: float | None, **runs: Any) -> Comparison:
    losses = {name: np.array(run, np.float64) for name, run in runs.items()}
    search = Search(1.0, np.array([0.1, 1.0, 10.0]), np.zeros(3))
    names = losses.keys()
    return Comparison(dict.fromkeys(names, 1.0), losses, dict.fromkeys(names, search), (0.1, 0.9), "Test", goal=goal)


def test_losses_below_the_goal_do_not_matter() -> None:
    deep = [[1.0, 0.5, 0.5, 3.8e-183]] * 3
    early = [[1.0, 0.5, 1e-7, 1e-7]] * 3
    tied = [[1.0, 0.5, 1e-9, 1e-30]] * 3
    result = comparison(1e-6, deep=deep, early=early, tied=tied)
    assert result.ranking == ["early", "tied", "deep"]  # ties keep the given order
    assert result.steps("early").tolist() == [2, 2, 2]
    assert "e-183" not in repr(result)
    assert "e-30" not in repr(result)
    assert comparison(None, deep=deep, early=early).ranking == ["deep", "early"]


def test_runs_that_miss_the_goal_are_ranked_by_the_fraction_of_the_starting_loss() -> None:
    once = [[100.0, 0.1], [1.0, 0.9], [0.01, 0.009]]  # fractions 0.001, 0.9, 0.9; the median loss is 0.1
    even = [[100.0, 50.0], [1.0, 0.5], [0.01, 0.005]]
    assert comparison(1e-6, once=once, even=even).ranking == ["even", "once"]
    assert comparison(None, once=once, even=even).ranking == ["once", "even"]
    gone = [[1.0, math.inf]] * 3
    assert comparison(1e-6, gone=gone, even=even).ranking == ["even", "gone"]


def test_runs_that_pass_the_goal_and_leave_it_have_not_reached_it() -> None:
    jumps = [[1.0, 1e-9, 1e-2, 1e-3]] * 3
    result = comparison(1e-6, jumps=jumps, slow=[[1.0, 0.1, 0.01, 1e-6]] * 3)
    assert result.ranking == ["slow", "jumps"]
    assert np.isinf(result.steps("jumps")).all()


@pytest.mark.parametrize("name", [name for name, f in LANDSCAPES.items() if f.lowest is not None])
def test_compare_counts_the_steps_of_its_own_losses(name: str) -> None:
    f = LANDSCAPES[name]()  # type: ignore[call-arg]
    result = compare({"Adam": lambda lr: nn.Adam(lr=lr), "SGD": lambda lr: nn.SGD(lr=lr)}, f, 150, 6, 5, goal=1e-2)
    for optimizer, losses in result.losses.items():
        for run, steps in zip(losses, result.steps(optimizer), strict=True):
            above = np.flatnonzero(~(run <= 1e-2 * run[0]))
            assert steps == (math.inf if above[-1] == 150 else above[-1] + 1)
    medians = [np.median(result.steps(optimizer)) for optimizer in result.ranking]
    assert medians == sorted(medians)


def test_the_search_minimizes_the_number_of_steps() -> None:
    """Half the curvature's inverse is reached in one step; every other rate takes longer, and ends as low after 400 steps."""
    result = compare({"SGD": lambda lr: nn.SGD(lr=lr)}, Quadratic([4.0]), 400, 24, 5, low=0.01, high=0.45)
    search = result.searches["SGD"]
    shrink = np.abs(1 - 4 * search.rates)
    np.testing.assert_array_equal(search.scores, np.ceil(math.log(1e-6) / (2 * np.log(shrink)) - 1e-9))
    assert np.array_equal(search.lr, search.rates[search.scores.argmin()])


def test_steps_that_were_not_taken_are_extrapolated() -> None:
    result = compare({"SGD": lambda lr: nn.SGD(lr=lr)}, Quadratic([1.0]), 10, 8, 5, low=1e-3, high=1e-1)
    search = result.searches["SGD"]
    np.testing.assert_allclose(search.scores, math.log(1e-6) / (2 * np.log(1 - search.rates)), rtol=1e-9)


class Raised(Quadratic):
    """A quadratic whose values are so large that a millionth of the decrease cannot be resolved."""

    lowest = 1e12

    def _value(self, points: Any) -> Any:
        return super()._value(points) + self.lowest


def test_the_goal_is_not_below_rounding() -> None:
    f = Raised([1.0, 1.0])
    result = compare({"SGD": lambda lr: nn.SGD(lr=lr)}, f, 60, 6, 5)
    excess = float(np.median(f.value(random_starts(f, 10)[:5]) - 1e12))
    assert result.goal == pytest.approx(4 * 2**-52 * 1e12 / excess)
    assert np.isfinite(result.steps("SGD")).all()


# ---- invalid arguments


def test_a_function_without_a_minimum_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    def never(lr: float) -> nn.Optimizer:
        raise AssertionError("ran before the check")

    with pytest.raises(ValueError, match=r"f must be a function with a minimum, got Saddle\(\)"):
        compare({"SGD": never}, Saddle())
    assert cli.main(["compare", "saddle", "--quiet"]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "must be a function with a minimum" in printed.err


@pytest.mark.parametrize("goal", [0.0, -1.0, 1.0, 2.0, math.nan, math.inf])
def test_a_goal_is_a_fraction(goal: float) -> None:
    with pytest.raises(ValueError, match="goal"):
        compare({"SGD": lambda lr: nn.SGD(lr=lr)}, Quadratic(), goal=goal)


# ---- output


@pytest.mark.parametrize(("runs", "names"), [(1, {"min", "max"}), (5, {"min", "max"}), (15, {"10 %", "90 %"})])
@pytest.mark.parametrize("goal", [None, 1e-6])
def test_the_band_of_few_runs_is_labeled_min_to_max(runs: int, names: set[str], goal: float | None) -> None:
    result = comparison(goal, one=np.linspace(1, 2, runs)[:, None] * [1.0, 0.1])
    head = repr(result).splitlines()[0]
    assert {name for name in ("min", "max", "10 %", "90 %") if name in head} == names
    lower, _, upper = result.band("one")
    final = result.losses["one"][:, -1]
    assert (lower[-1] == final.min() and upper[-1] == final.max()) == (names == {"min", "max"})


def test_a_rate_at_the_edge_is_reported_in_table_and_plot() -> None:
    pytest.importorskip("matplotlib").use("Agg")
    result = compare({"SGD": lambda lr: nn.SGD(lr=lr)}, Quadratic([1.0]), 20, 4, 3, low=1e-4, high=1e-2)
    assert "0.01*" in repr(result)
    assert "a better one may lie beyond" in repr(result)
    for shown in (result, dataclasses.replace(result, goal=None)):
        assert "edge of the search" in shown.plot().axes[0].get_title(loc="left")


@pytest.mark.parametrize("name", [name for name, f in LANDSCAPES.items() if f.lowest is not None])
def test_no_number_in_the_table_is_below_the_goal(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        cli.main(["compare", name, "--quiet", "--starts", "3", "--budget", "6", "--optimizers", "sgd", "adagrad", "rmsprop"])
        == 0
    )
    lines = [line for line in capsys.readouterr().out.splitlines() if line.split()[0] in OPTIMIZERS]
    assert len(lines) == 3
    for line in lines:
        assert float(line.split()[-2]) >= 1e-6


# ---- the quadratic


def test_no_coordinate_of_the_default_quadratic_is_an_eigenvector() -> None:
    for f in (Quadratic(), Quadratic(condition=100.0), LANDSCAPES["quadratic"]()):  # type: ignore[call-arg]
        assert isinstance(f, Landscape)
        matrix = f.hessian(f.start)
        assert abs(matrix[0, 1]) > 0.3 * math.sqrt(matrix[0, 0] * matrix[1, 1])
    assert np.array_equal(Quadratic([1.0, 20.0]).matrix, np.diag([1.0, 20.0]))
    assert np.array_equal(Quadratic(condition=20.0, rotation=0.0).matrix, np.diag([1.0, 20.0]))


def test_adagrad_does_not_solve_the_default_quadratic_by_its_axes() -> None:
    """Axis-parallel it scales the condition number away, and ends at exactly 0."""
    ends = {}
    for rotation in (0.0, None):
        f = Quadratic(condition=20.0, rotation=rotation)
        result = compare({"AdaGrad": lambda lr: nn.AdaGrad(lr=lr)}, f, 200, 16, 5)
        ends[rotation] = float(np.median(result.steps("AdaGrad")))
    assert ends[None] > 4 * ends[0.0]


# ---- statements of docstrings of optimizers


def constant_gradients(*gradients: float) -> Any:
    """A function with these gradients, one after the other, independent of x."""
    left = iter([*gradients, 0.0])
    return lambda x: (0.0, np.array([next(left)]))


def test_the_step_of_amsgrad_can_grow_in_the_first_steps() -> None:
    gradients = (1.0, 0.1, 0.1)
    steps = record(nn.AMSGrad(lr=1.0, betas=(0.0, 0.999)), constant_gradients(*gradients), [0.0], 3).effective_step[:, 0]
    second = [0.001, 0.999 * 0.001 + 0.001 * 0.01, 0.999**2 * 0.001 + 0.999 * 0.001 * 0.01 + 0.001 * 0.01]  # each the largest
    assert second == sorted(second)
    np.testing.assert_allclose(steps, [math.sqrt((1 - 0.999**t) / v) for t, v in enumerate(second, 1)], rtol=1e-6)
    assert (np.diff(steps) > 0).all()
    plain = nn.AMSGrad(lr=1.0, betas=(0.0, 0.999), bias_correction=False)
    assert (np.diff(record(plain, constant_gradients(*gradients), [0.0], 3).effective_step[:, 0]) <= 0).all()


@pytest.mark.parametrize("rho", [0.0, 0.75, 0.9, 0.95])
@pytest.mark.parametrize("eps", [1e-8, 1e-6])
def test_the_first_step_of_adadelta(rho: float, eps: float) -> None:
    for gradient in (1.0, -1e3):
        theta = np.zeros(1)
        nn.AdaDelta(rho=rho, eps=eps).step(theta, np.array([gradient]))
        assert theta[0] == pytest.approx(-math.copysign(math.sqrt(eps / (1 - rho)), gradient), rel=1e-4)
    theta = np.zeros(1)
    nn.AdaDelta(rho=rho, eps=eps).step(theta, np.array([1e-6]))  # a smaller gradient: a shorter step
    assert abs(theta[0]) < 0.02 * math.sqrt(eps / (1 - rho))


def test_lion_moves_by_the_sign_of_an_average() -> None:
    theta, lion = np.zeros(3), nn.Lion(lr=0.5, betas=(0.9, 0.99))
    for gradient in ([1.0, 1.0, 0.0], [-5.0, -0.01, 0.0]):  # averages 0.9·0.01 ± : the large one turns the sign, the small not
        before = theta.copy()
        lion.step(theta, np.array(gradient))
    assert (theta - before).tolist() == [0.5, -0.5, 0.0]
    decayed = np.ones(1)
    nn.Lion(lr=0.5, weight_decay=0.1).step(decayed, np.array([1.0]))
    assert decayed[0] == pytest.approx(1 - 0.5 - 0.5 * 0.1)


@pytest.mark.parametrize("batch", [1, 4, 20])
def test_the_penalty_of_a_step_does_not_depend_on_the_batch(batch: int) -> None:
    model = nn.Sequential([nn.Dense(1)], input_shape=2, dtype="float64", seed=0)
    X, y = np.zeros((batch, 2)), np.zeros(batch)
    before = model.layers[0].weight.copy()
    nn.Trainer(model, "squared_error", nn.SGD(lr=0.1), regularizer=nn.L2(0.5)).fit(X, y, batch_size=batch, verbose=0)
    np.testing.assert_allclose(model.layers[0].weight, (1 - 0.1 * 0.5) * before, rtol=1e-12)


def test_dropout_by_test_time_scaling_multiplies_by_the_probability_of_keeping() -> None:
    model = nn.Sequential([nn.Dropout(0.2, scale="test")], input_shape=3, dtype="float64")
    np.testing.assert_allclose(model.predict(np.ones((1, 3))), 0.8, rtol=1e-15)
    inverted = nn.Sequential([nn.Dropout(0.2)], input_shape=3, dtype="float64")
    assert inverted.predict(np.ones((1, 3))).tolist() == [[1.0, 1.0, 1.0]]
