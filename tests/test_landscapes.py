"""Test functions, recordings, plots and comparisons."""

from __future__ import annotations

import builtins
import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nncore as nn
from nncore.landscapes import LANDSCAPES, functions, plots, recorder
from nncore.landscapes.compare import compare, random_starts, search_lr
from nncore.landscapes.functions import Beale, Himmelblau, Landscape, LongValley, Quadratic, Rosenbrock, Saddle
from nncore.landscapes.plots import animate, plot_losses, plot_trajectories
from nncore.landscapes.recorder import record
from nncore.optimizers import OPTIMIZERS
from nncore.schedules import Schedule

ROTATION = np.linalg.qr(np.random.default_rng(5).normal(size=(4, 4)))[0]
EXTRA = {
    "long_valley(0.3, 2)": LongValley(slope=0.3, wall=2.0),
    "rosenbrock(2, 5)": Rosenbrock(a=2.0, b=5.0),
    "quadratic, turned": Quadratic(condition=50.0, rotation=0.4),
    "quadratic, 4 variables": Quadratic([1.0, 2.0, 5.0, 30.0], rotation=ROTATION),
}
FUNCTIONS = [pytest.param(f, id=name) for name, f in ({n: make() for n, make in LANDSCAPES.items()} | EXTRA).items()]
PLANE = [param for param in FUNCTIONS if param.values[0].start.size == 2]


def points(f: Landscape, n: int = 40) -> np.ndarray:
    low, high = f.bounds.T
    return np.random.default_rng(1).uniform(low, high, (n, f.start.size))


def differences(function: Any, x: np.ndarray, h: float = 1e-3) -> np.ndarray:
    """Central differences of the fourth order along each coordinate, the new axis last."""
    columns = []
    for k in range(x.size):
        e = h * np.eye(x.size)[k]
        near, far = function(x + e) - function(x - e), function(x + 2 * e) - function(x - 2 * e)
        columns.append((8 * near - far) / (12 * h))
    return np.stack(columns, axis=-1)


# ---- functions


@pytest.mark.parametrize("f", FUNCTIONS)
def test_gradient_and_hessian_are_the_derivatives(f: Landscape) -> None:
    for x in points(f):
        gradient, hessian = f.gradient(x), f.hessian(x)
        np.testing.assert_allclose(gradient, differences(f.value, x), rtol=1e-8, atol=1e-8 * (1 + abs(f.value(x))))
        np.testing.assert_allclose(hessian, differences(f.gradient, x), rtol=1e-8, atol=1e-8 * (1 + abs(gradient).max()))
        np.testing.assert_array_equal(hessian, hessian.T)
        value, same = f.value_and_gradient(x)
        assert value == f.value(x)
        np.testing.assert_array_equal(same, gradient)


@pytest.mark.parametrize("f", FUNCTIONS)
def test_many_points_at_once_equal_single_points(f: Landscape) -> None:
    grid = points(f, 12).reshape(3, 4, -1)
    values, gradients, hessians = f.value(grid), f.gradient(grid), f.hessian(grid)
    n = f.start.size
    assert (values.shape, gradients.shape, hessians.shape) == ((3, 4), (3, 4, n), (3, 4, n, n))
    for index in np.ndindex(3, 4):
        np.testing.assert_allclose(values[index], f.value(grid[index]), rtol=1e-14)
        np.testing.assert_allclose(gradients[index], f.gradient(grid[index]), rtol=1e-13, atol=1e-13)
        np.testing.assert_allclose(hessians[index], f.hessian(grid[index]), rtol=1e-13, atol=1e-13)
    assert isinstance(f.value(grid[0, 0]), float)


@pytest.mark.parametrize("f", FUNCTIONS)
def test_minima(f: Landscape) -> None:
    if f.lowest is None:
        assert f.minimum is None
        assert not len(f.minima)
        return
    assert len(f.minima) == (4 if f.name == "himmelblau" else 1)
    np.testing.assert_array_equal(f.minimum, f.minima[0])
    for x in f.minima:
        assert f.value(x) == pytest.approx(f.lowest, abs=1e-25)
        np.testing.assert_allclose(f.gradient(x), 0, atol=1e-12)
        assert np.linalg.eigvalsh(f.hessian(x)).min() > 0
    assert f.value(points(f, 500)).min() > f.lowest


@pytest.mark.parametrize("f", FUNCTIONS)
def test_start_and_minima_are_in_the_plot(f: Landscape) -> None:
    low, high = f.bounds.T
    inside = [f.start, *f.minima] if f is not EXTRA["rosenbrock(2, 5)"] else [f.start]
    assert all(((low < x) & (x < high)).all() for x in inside)


@pytest.mark.parametrize("f", FUNCTIONS)
def test_repr_and_config_reconstruct_it(f: Landscape) -> None:
    again = type(f)(**f.config())
    np.testing.assert_array_equal(again.value(points(f)), f.value(points(f)))
    assert type(f).__name__ in repr(f)


def test_known_values() -> None:
    assert Beale().value([0.0, 0.0]) == 1.5**2 + 2.25**2 + 2.625**2 == 14.203125
    assert Himmelblau().value([0.0, 0.0]) == 170
    assert Rosenbrock().value([-1.2, 1.0]) == pytest.approx(24.2, rel=1e-15)
    assert Saddle().value([3.0, 2.0]) == 5
    assert np.linalg.eigvalsh(Saddle().hessian([0.0, 0.0])).tolist() == [-2, 2]
    assert LongValley(slope=0.5, wall=2.0).value([math.sqrt(3), 1.0]) == pytest.approx(0.5 + 1, rel=1e-15)


def test_quadratic_has_its_eigenvalues() -> None:
    np.testing.assert_allclose(np.linalg.eigvalsh(EXTRA["quadratic, 4 variables"].matrix), [1, 2, 5, 30], rtol=1e-13)
    turned = Quadratic(condition=50.0, rotation=0.4)
    np.testing.assert_allclose(turned.matrix @ [math.cos(0.4), math.sin(0.4)], [math.cos(0.4), math.sin(0.4)], rtol=1e-13)
    assert turned.condition == 50
    assert Quadratic([3.0]).value([2.0]) == 6


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"eigenvalues": [1.0, -1.0]}, ["eigenvalues", "positive"]),
        ({"eigenvalues": []}, ["eigenvalues"]),
        ({"eigenvalues": [1.0], "condition": 2.0}, ["exclude"]),
        ({"condition": 0.5}, ["condition", "at least 1"]),
        ({"eigenvalues": [1.0, 2.0, 3.0], "rotation": 0.1}, ["rotation", "(3, 3)"]),
        ({"rotation": [[1.0, 0.0], [1.0, 1.0]]}, ["rotation", "orthogonal"]),
    ],
)
def test_quadratic_refuses(arguments: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(ValueError) as error:
        Quadratic(**arguments)
    assert all(word in str(error.value) for word in words)


def test_points_of_another_dimension_are_refused() -> None:
    with pytest.raises(ValueError, match="2 numbers along the last axis"):
        Beale().value([1.0, 2.0, 3.0])


@pytest.mark.parametrize("f", FUNCTIONS)
@pytest.mark.parametrize("call", ["value", "gradient", "hessian", "value_and_gradient"])
def test_points_are_real_numbers(call: str, f: Landscape) -> None:
    n = f.start.size
    for x in (
        f.start + 1j,
        f.start.astype(str),
        f.start.astype("timedelta64[s]"),
        np.ma.masked_array(f.start, np.arange(n) > 0),
    ):
        with pytest.raises((TypeError, ValueError), match="x must h"):
            getattr(f, call)(x)


def test_masked_starts_are_refused() -> None:
    start = np.ma.masked_array([1.0, 2.0], [False, True])
    for call in (nn.SGD(lr=0.1).minimize, nn.second_order.LBFGS().minimize):
        with pytest.raises(ValueError, match="x0 must have no masked cells"):
            call(Beale(), start, 2)
    with pytest.raises(ValueError, match="x0 must have no masked cells"):
        search_lr(lambda lr: nn.SGD(lr=lr), Beale(), start, steps=2, budget=4)


@pytest.mark.parametrize(
    ("argument", "value"), [("quantiles", (0.9, 0.1)), ("quantiles", ("a", 1)), ("quantiles", 1), ("spread", -1)]
)
def test_compare_refuses(argument: str, value: Any) -> None:
    with pytest.raises((TypeError, ValueError), match=f"{argument} must be"):
        compare({"SGD": lambda lr: nn.SGD(lr=lr)}, Beale(), steps=2, budget=4, starts=2, **{argument: value})


# ---- recordings


def make(name: str) -> nn.Optimizer:
    return OPTIMIZERS[name](lr=0.001)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_record_is_minimize(name: str, dtype: str) -> None:
    f, x0 = Rosenbrock(), np.array([-0.5, 0.8], dtype)
    schedule = nn.schedules.Exponential(0.002, gamma=0.99)
    for lr in (0.001, schedule) if "lr" in OPTIMIZERS[name].hyperparameters else (0.001,):
        one, other = OPTIMIZERS[name](lr=lr), OPTIMIZERS[name](lr=lr)
        path, recording = one.minimize(f, x0, 60), record(other, f, x0, 60)
        np.testing.assert_array_equal(recording.theta, path.theta)
        np.testing.assert_array_equal(recording.loss, path.loss)
        assert recording.theta.dtype == dtype
        left, right = one.state_dict(), other.state_dict()
        assert left.keys() == right.keys()
        assert all(np.array_equal(left[key], right[key]) for key in left)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_recording_is_consistent(name: str) -> None:
    f, optimizer, steps = Beale(), make(name), 30
    walk = record(optimizer, f, f.start, steps)
    assert walk.theta.shape == walk.gradient.shape == walk.clipped.shape == (steps + 1, 2)
    assert walk.effective_step.shape == (steps, 2)
    assert set(walk.state) == set(optimizer.slots)
    assert set(optimizer.hyperparameters) <= set(walk.hyper)
    assert all(values.shape == (steps,) for values in walk.hyper.values())
    np.testing.assert_array_equal(walk.clipped, walk.gradient)
    np.testing.assert_allclose(walk.effective_step * -walk.gradient[:-1], np.diff(walk.theta, axis=0), rtol=1e-12)
    ahead = walk.theta if name != "nesterov" else walk.theta + 0.9 * walk.state["v"]
    np.testing.assert_allclose(walk.gradient, f.gradient(ahead), rtol=1e-11)
    for slot, rows in walk.state.items():
        np.testing.assert_array_equal(rows[-1], optimizer.state[slot] if slot != "origin" else walk.theta[-1])
        assert not np.shares_memory(rows, optimizer.state[slot])


def test_effective_step_and_hyper() -> None:
    f, lr = Quadratic([1.0, 4.0]), nn.schedules.Exponential(0.1, gamma=0.5)
    walk = record(nn.SGD(lr=lr), f, [1.0, 1.0], 4)
    np.testing.assert_array_equal(walk.hyper["lr"], [0.1, 0.05, 0.025, 0.0125])
    np.testing.assert_allclose(walk.effective_step, walk.hyper["lr"][:, None] * [1, 1], rtol=1e-12)
    flat = record(nn.SGD(lr=0.1), f, [0.0, 1.0], 2)
    assert np.isnan(flat.effective_step[:, 0]).all()


@pytest.mark.parametrize(
    ("clip", "expected"),
    [
        (nn.ClipValue(2.0), [-2.0, 2.0]),
        (nn.ClipNorm(2.0), [-1.2, 1.6]),
        (nn.ClipGlobalNorm(2.0), [-1.2, 1.6]),
        (nn.ClipGlobalNorm(100.0), [-30.0, 40.0]),
    ],
)
def test_clip(clip: Any, expected: list[float]) -> None:
    walk = record(nn.SGD(lr=0.1), Quadratic([10.0, 10.0]), [-3.0, 4.0], 3, clip=clip)
    np.testing.assert_allclose(walk.gradient[0], [-30, 40])
    np.testing.assert_allclose(walk.clipped[0], expected, rtol=1e-15)
    np.testing.assert_allclose(walk.theta[1], [-3, 4] - 0.1 * np.array(expected), rtol=1e-14, atol=1e-15)
    np.testing.assert_allclose(walk.effective_step[0], 0.1 * np.array(expected) / [-30, 40], rtol=1e-12)


def test_record_refuses_and_resumes() -> None:
    f = Beale()
    with pytest.raises(TypeError, match="clip"):
        record(nn.SGD(), f, f.start, 3, clip=5.0)  # type: ignore[arg-type]
    whole, parts = nn.Adam(lr=0.1), nn.Adam(lr=0.1)
    path = record(whole, f, f.start, 20)
    first = record(parts, f, f.start, 8, resume=True)
    second = record(parts, f, first.theta[-1], 12, resume=True)
    np.testing.assert_array_equal(np.concatenate((first.theta, second.theta[1:])), path.theta)
    np.testing.assert_array_equal(second.state["m"], path.state["m"][8:])


@pytest.mark.parametrize("kind", [nn.SGD, nn.Nesterov])
def test_record_has_the_rates_that_f_assigns(kind: Any) -> None:
    """Each holds from the step on before which it was assigned."""
    optimizer, f, asked = kind(lr=1e-3), Quadratic([1.0, 2.0]), 0

    def assigns(x: Any) -> Any:
        nonlocal asked
        asked += 1
        optimizer.lr = 1e-3 * asked
        return f.value_and_gradient(x)

    rates = record(optimizer, assigns, [1.0, 1.0], 4).hyper["lr"]
    np.testing.assert_array_equal(rates, 1e-3 * (np.arange(1, 5) if kind is nn.SGD else np.arange(2, 9, 2)))


class FourSteps(Schedule):
    """A learning rate that is not allowed later."""

    def at(self, t: Any) -> Any:
        return np.where(np.asarray(t) < 4, 1e-3, -1.0)


@pytest.mark.parametrize("kind", [nn.SGD, nn.Nesterov])
def test_record_ends_where_minimize_ends(kind: Any) -> None:
    """At a rate that is not allowed: the same state, and the steps before."""
    one, other, f = kind(lr=FourSteps()), kind(lr=FourSteps()), Quadratic([1.0, 2.0])
    with pytest.raises(ValueError, match="lr must be") as expected:
        one.minimize(f, [1.0, 1.0], 8)
    with pytest.raises(ValueError, match="lr must be") as raised:
        record(other, f, [1.0, 1.0], 8)
    walk = raised.value.path  # type: ignore[attr-defined]
    np.testing.assert_array_equal(walk.theta, expected.value.path.theta)  # type: ignore[attr-defined]
    assert len(walk.gradient) == len(walk.hyper["lr"]) + 1 == one.step_count == other.step_count > 2
    four = 4 - (kind is nn.Nesterov)
    assert len(record(kind(lr=FourSteps()), f, [1.0, 1.0], four).hyper["lr"]) == four


# a learning rate with which each optimizer overflows on a function that grows fast
WILD = {"sgd": 1.0, "momentum": 1.0, "nesterov": 1.0}


@pytest.mark.parametrize("name", WILD)
@pytest.mark.parametrize("f", [param for param in FUNCTIONS if "valley" not in str(param.id)])
def test_overflow_keeps_the_trajectory(f: Landscape, name: str) -> None:
    paths = []
    for walk in (lambda o: o.minimize(f, f.start, 3000), lambda o: record(o, f, f.start, 3000)):
        with pytest.raises(nn.DivergenceError) as error:
            walk(OPTIMIZERS[name](lr=WILD[name]))
        paths.append(error.value.path)
    plain, recording = paths
    assert 1 <= len(plain.theta) < 3000
    assert np.isfinite(plain.theta).all()
    assert np.isfinite(plain.loss).all()
    np.testing.assert_array_equal(plain.theta, recording.theta)
    np.testing.assert_array_equal(plain.loss, recording.loss)
    assert len(recording.gradient) == len(recording.theta) == len(recording.effective_step) + 1
    assert all(len(rows) == len(recording.theta) for rows in recording.state.values())
    assert all(len(values) == len(recording.theta) - 1 for values in recording.hyper.values())


# ---- comparison


def test_search_spends_its_budget_and_finds_the_rate() -> None:
    f, tried = Quadratic([1.0, 9.0]), []

    def factory(lr: float) -> nn.Optimizer:
        tried.append(lr)
        return nn.SGD(lr=lr)

    for budget in (4, 7, 16, 33):
        tried.clear()
        found = search_lr(factory, f, f.start, 60, budget=budget)
        assert len(set(tried)) == len(found.rates) == len(found.scores) == budget
        assert sorted(tried) == found.rates.tolist()
        assert found.scores[found.rates.tolist().index(found.lr)] == found.scores.min()
    assert found.lr == pytest.approx(0.2, rel=0.1)
    assert not found.at_edge
    assert np.isinf(search_lr(factory, f, f.start, 2000, budget=8).scores[-1])


@pytest.mark.parametrize(("low", "high"), [(1e-6, 1e-4), (0.19, 30.0)])
def test_search_says_that_its_range_was_too_small(low: float, high: float) -> None:
    found = search_lr(lambda lr: nn.SGD(lr=lr), Quadratic([1.0, 9.0]), [1.0, 1.0], 60, budget=9, low=low, high=high)
    assert len(set(found.rates.tolist())) == 9
    assert found.at_edge


@pytest.mark.parametrize(("quantile", "start"), [(0.75, 4.0), (0.5, 3.0), (0.0, 1.0)])
def test_search_scores_by_a_quantile_of_the_starts(quantile: float, start: float) -> None:
    found = search_lr(lambda lr: nn.SGD(lr=lr), Quadratic([1.0]), [[4.0], [1.0], [3.0], [2.0]], 2, 6, 0.01, 0.9, quantile)
    np.testing.assert_allclose(found.scores, (start * (1 - found.rates) ** 2) ** 2 / 2, rtol=1e-12)


FACTORIES = {
    "SGD": lambda lr: nn.SGD(lr=lr),
    "Momentum": lambda lr: nn.Momentum(lr=lr, momentum=0.7),
    "Adam": lambda lr: nn.Adam(lr=lr),
}


def test_compare_is_fair_and_repeats() -> None:
    f = Quadratic(condition=100.0)
    one, other = (compare(FACTORIES, f, steps=80, budget=8, starts=5, seed=3) for _ in range(2))
    assert repr(one) == repr(other)
    firsts = [losses[:, 0].tolist() for losses in one.losses.values()]
    assert firsts[0] == firsts[1] == firsts[2]
    np.testing.assert_allclose(firsts[0], f.value(random_starts(f, 10, 3)[5:]), rtol=1e-15)
    assert one.ranking.index("Momentum") < one.ranking.index("SGD")
    lower, median, upper = one.band("SGD")
    assert (lower <= median).all()
    assert (median <= upper).all()
    np.testing.assert_array_equal(median, np.median(one.losses["SGD"], axis=0))
    table = repr(one).splitlines()
    assert len(table) >= 4
    assert all(name in row for name, row in zip(one.ranking, table[1:], strict=False))


def test_compare_counts_divergence() -> None:
    result = compare({"SGD": lambda lr: nn.SGD(lr=lr)}, Rosenbrock(), steps=400, budget=4, starts=4, low=1.0, high=2.0)
    assert np.isinf(result.losses["SGD"][:, -1]).all()
    seen = np.isfinite(result.losses["SGD"])
    assert (seen.sum(axis=1) > 2).all()
    assert (np.diff(seen.astype(int), axis=1) <= 0).all()  # finite first, then infinite
    assert "4/4" in repr(result)
    with pytest.raises(ValueError, match="factories"):
        compare({}, Beale())


# ---- plots


@pytest.fixture
def pyplot() -> Any:
    pytest.importorskip("matplotlib").use("Agg")
    pyplot = pytest.importorskip("matplotlib.pyplot")
    yield pyplot
    pyplot.close("all")


def walks(f: Landscape, steps: int = 25) -> dict[str, Any]:
    return {name: make(name).minimize(f, f.start, steps) for name in OPTIMIZERS}


@pytest.mark.parametrize("f", PLANE)
def test_plots_are_written(f: Landscape, pyplot: Any, tmp_path: Path) -> None:
    paths = walks(f)
    for name, figure in (
        ("way.png", plot_trajectories(f, paths, tmp_path / "way.png")),
        ("loss.svg", plot_losses(paths, tmp_path / "loss.svg", lowest=f.lowest)),
    ):
        (ax,) = figure.axes
        assert (tmp_path / name).stat().st_size > 10_000
        assert ax.get_xlabel()
        assert ax.get_ylabel()
        assert set(paths) <= {text.get_text().removesuffix(" *") for text in ax.get_legend().get_texts()}


def test_every_curve_has_its_own_style_and_the_legend_covers_nothing(pyplot: Any) -> None:
    f = Beale()
    figure = plot_trajectories(f, walks(f, 8 * len(OPTIMIZERS)))
    (ax,) = figure.axes
    figure.canvas.draw()
    curves = [line for line in ax.lines if not line.get_label().startswith("_")]
    assert len({line.get_color() for line in curves}) == len(OPTIMIZERS)
    assert {line.get_linestyle() for line in curves} == {"-"}
    assert ax.get_legend().get_window_extent().x0 >= ax.get_window_extent().x1
    assert {line.get_markevery() for line in curves} == {10}  # a dot every ten steps
    assert ax.get_aspect() == 1


def test_trajectory_that_leaves_the_plot_is_drawn_and_named(pyplot: Any, tmp_path: Path) -> None:
    f = Saddle()
    with pytest.raises(nn.DivergenceError) as error:
        nn.SGD(lr=1.0).minimize(f, f.start, 2000)
    figure = plot_trajectories(f, {"gone": error.value.path, "still": np.zeros((3, 2))}, tmp_path / "gone.png")
    assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()][:2] == ["gone *", "still"]
    plot_losses({"gone": error.value.path}, tmp_path / "loss.png", lowest=None)
    assert (tmp_path / "loss.png").stat().st_size > 5000


@pytest.mark.parametrize(("suffix", "start"), [(".gif", b"GIF8"), (".html", b"\n<link")])
def test_animation(suffix: str, start: bytes, pyplot: Any, tmp_path: Path) -> None:
    f, path = Beale(), tmp_path / f"film{suffix}"
    paths = {"short": nn.SGD(lr=0.01).minimize(f, f.start, 3), "long": nn.Adam(lr=0.1).minimize(f, f.start, 9)}
    film = animate(f, paths, path, frames=4)
    assert path.read_bytes().startswith(start)
    assert path.stat().st_size > 10_000
    assert film.to_jshtml
    legend = [text.get_text() for text in film._fig.axes[0].get_legend().get_texts()]  # type: ignore[attr-defined]
    values = dict(entry.rsplit("  ", 1) for entry in legend[:2])  # of the frame drawn last
    for name, value in values.items():
        assert float(value) == pytest.approx(paths[name].loss[-1], rel=0.05)
    if suffix == ".gif":
        with pytest.importorskip("PIL.Image").open(path) as image:
            assert image.n_frames == 4


@pytest.mark.parametrize("f", [LongValley(), Beale(), Saddle()])
def test_an_animation_is_as_flat_as_its_landscape_and_shows_all_of_the_legend(f: Landscape, pyplot: Any) -> None:
    film = animate(f, {"Momentum, outside": [f.start] * 2}, frames=1)
    figure: Any = film._fig  # type: ignore[attr-defined]
    film._draw_frame(0)  # type: ignore[attr-defined]
    figure.draw_without_rendering()
    ax, page = figure.axes[0], figure.bbox
    wide, high = np.ptp(f.bounds, axis=1)
    assert ax.get_window_extent().width / ax.get_window_extent().height == pytest.approx(wide / high, rel=0.01)
    for part in (ax.get_legend(), ax.yaxis.label, ax.xaxis.label, ax.title):
        box = part.get_window_extent()
        assert page.x0 <= box.x0
        assert box.x1 <= page.x1
        assert page.y0 <= box.y0
        assert box.y1 <= page.y1
    assert ax.get_window_extent().width > 0.45 * page.width


def test_animation_refuses(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"\.gif or \.html"):
        animate(Beale(), {"a": np.zeros((2, 2))}, tmp_path / "film.mp4")
    with pytest.raises(ValueError, match="two variables"):
        plot_trajectories(EXTRA["quadratic, 4 variables"], {"a": np.zeros((2, 4))})
    with pytest.raises(ValueError, match="theta"):
        plot_trajectories(Beale(), {"a": np.zeros(2)})
    with pytest.raises(ValueError, match="at least one"):
        plot_trajectories(Beale(), {})
    for paths in ({}, {"a": []}, {"a": [np.nan, np.nan]}):
        with pytest.raises(ValueError, match="at least one"):
            plot_losses(paths)
    for bounds in ([1, 2], [[0, 1], [1, 1]], [[0, np.inf], [0, 1]]):
        with pytest.raises(ValueError, match="bounds must be two pairs"):
            plot_trajectories(Beale(), {"a": np.zeros((2, 2))}, bounds=bounds)
    for fps in (0, -1):
        with pytest.raises(ValueError, match=f"fps must be a positive number, got {fps}"):
            animate(Beale(), {"a": np.zeros((2, 2))}, fps=fps)


@pytest.mark.parametrize("goal", [True, False])
def test_comparison_plot_has_a_panel_for_each_the_best_first(pyplot: Any, tmp_path: Path, goal: bool) -> None:
    result = compare(FACTORIES, Quadratic(condition=10.0), steps=30, budget=6, starts=3)
    result = result if goal else dataclasses.replace(result, goal=None)
    figure = result.plot(tmp_path / "compare.png")
    assert (tmp_path / "compare.png").stat().st_size > 10_000
    panels = [ax for ax in figure.axes if ax.get_visible()]
    for place, (ax, name) in enumerate(zip(panels, result.ranking, strict=True), 1):
        title, (own,) = ax.get_title(loc="left"), [line for line in ax.get_lines() if line.get_label() == name]
        assert title.startswith(f"{place}. {name}")
        assert own.get_color() == nn.figures.colors([name])[name]
        assert len([line for line in ax.get_lines() if line.get_color() == "0.8"]) == len(FACTORIES)
        assert len(ax.collections) == 1  # the band
        steps = np.quantile(result.steps(name), 0.5, method="nearest")
        assert len(own.get_xdata()) - 1 == min(steps, 30)


def test_plots_use_the_given_axes(pyplot: Any) -> None:
    f = Beale()
    figure, axes = pyplot.subplots(1, 2)
    assert plot_trajectories(f, walks(f), ax=axes[0], title="ways") is figure
    assert plot_losses(walks(f), ax=axes[1], title="losses") is figure
    assert [ax.get_title() for ax in axes] == ["ways", "losses"]


def test_without_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def missing(name: str, *rest: Any) -> Any:
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(ImportError, match="pip install matplotlib"):
        plot_trajectories(Beale(), {"a": np.zeros((2, 2))})


def test_modules_have_an_all() -> None:
    import nncore.landscapes

    for module in (functions, plots, recorder, nncore.landscapes):
        assert all(hasattr(module, name) for name in module.__all__)
