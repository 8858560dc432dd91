"""What the playground answers about landscapes, momentum and initialization, against independent computations."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

import nncore as nn
from nncore.initializers import INITIALIZERS
from nncore.landscapes import LANDSCAPES, Beale, Himmelblau, regime
from nncore.layers.activations import ACTIVATIONS
from nncore.playground import initialization, momentum, race
from nncore.playground.arrays import message
from nncore.playground.racers import racer
from nncore.playground.racers import racers as all_racers

START = [-1.0, 1.5]


def landscape(name: str = "himmelblau", racers: Any = (), **other: Any) -> dict[str, Any]:
    return {"name": name, "eigenvalues": [1.0, 30.0], "start": START, "steps": 50, "racers": list(racers), **other}


def network() -> tuple[Any, ...]:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 2))
    model = nn.Sequential([nn.Dense(5), nn.Tanh(), nn.Dense(2)], input_shape=2, seed=1)
    return model, X, (X[:, 0] > X[:, 1]).astype(int), "softmax_cross_entropy", nn.L2(0.01)


def sendable(header: dict[str, Any], arrays: dict[str, Any]) -> bool:
    """Whether it is JSON and arrays of the kinds that the page reads."""
    json.dumps(message(header, arrays)[0], allow_nan=False)
    return {str(array.dtype) for array in arrays.values()} <= {"float32", "uint8"}


# ---- landscapes


def test_path_of_momentum_is_that_of_a_loop() -> None:
    header, arrays = race.answer(landscape(racers=[{"name": "momentum", "lr": 0.004, "momentum": 0.8}]))
    f, x, v = Himmelblau(), np.array(START), np.zeros(2)
    path = [x]
    for _ in range(50):
        v = 0.8 * v - 0.004 * f.gradient(x)
        x = x + v
        path.append(x)
    assert np.allclose(arrays["0/path"], path, rtol=1e-6)
    assert np.allclose(arrays["0/loss"], f.value(path), rtol=1e-5)
    below = f.value(path) <= header["threshold"]
    assert header["threshold"] == pytest.approx(1e-6 * f.value(START))
    assert header["racers"][0]["steps"] == (int(np.argmax(below)) if below.any() else None)


def test_quadratic_has_the_eigenvalues_and_is_rotated() -> None:
    state = landscape("quadratic", [{"name": "sgd", "lr": 0.01}], steps=1, eigenvalues=[2.0, 50.0])
    _, arrays = race.answer(state)
    c, s = math.cos(math.pi / 6), math.sin(math.pi / 6)
    A = np.array([[c, -s], [s, c]]) @ np.diag([2.0, 50.0]) @ np.array([[c, s], [-s, c]])
    assert np.allclose(arrays["0/path"][1], START - 0.01 * A @ START, rtol=1e-6)


def test_network_races_on_its_own_loss() -> None:
    model, X, y, loss, penalty = network()
    start = np.array([0.3, -0.4])
    state = landscape("network", [{"name": "sgd", "lr": 0.1}, {"name": "newton"}], start=start.tolist(), steps=5)
    header, arrays = race.answer(state, (model, X, y, loss, penalty))
    plane = nn.landscapes.filter_normalized_directions(model, seed=0)
    copy = model.astype("float64")

    def value(x: np.ndarray) -> float:
        copy.parameters[...] = model.parameters + x @ plane
        return float(nn.Trainer(copy, loss, regularizer=penalty).evaluate(X, y)["loss"])

    step = 1e-5 * np.eye(2)
    gradient = [(value(start + e) - value(start - e)) / 2e-5 for e in step]
    assert arrays["0/loss"][0] == pytest.approx(value(start), rel=1e-6)
    assert np.allclose(arrays["0/path"][1], start - 0.1 * np.array(gradient), atol=1e-6)
    assert header["threshold"] is None
    assert header["racers"][1]["ended"] or len(arrays["1/path"]) == 6


def test_surface_is_log_of_the_function_rows_from_the_top() -> None:
    header, arrays = race.answer(landscape("beale"))
    surface, box = arrays["surface"], header["box"]
    count = len(surface)
    x = box[0] + (box[1] - box[0]) * (np.arange(count) + 0.5) / count
    y = box[3] - (box[3] - box[2]) * (np.arange(count) + 0.5) / count
    points = [(5, 7), (60, 60), (100, 20)]
    heights = np.log([Beale().value([x[j], y[i]]) for i, j in points])
    drawn = [surface[point] for point in points]
    assert (drawn[0] - drawn[1]) / (drawn[1] - drawn[2]) == pytest.approx(
        (heights[0] - heights[1]) / (heights[1] - heights[2]), rel=1e-4
    )
    assert surface.min() == 0
    assert surface.max() == 1


@pytest.mark.parametrize("name", [*LANDSCAPES, "network"])
def test_every_racer_on_every_landscape(name: str) -> None:
    names = [choice["name"] for choice in all_racers()]
    start = next(entry["start"] for entry in race.landscapes() if entry["name"] == name)
    for first in range(0, len(names), 6):
        racers = [{"name": other} for other in names[first : first + 6]]
        header, arrays = race.answer(landscape(name, racers, start=start, steps=30), network())
        assert sendable(header, arrays)
        for i, entry in enumerate(header["racers"]):
            path, losses = arrays[f"{i}/path"], arrays[f"{i}/loss"]
            assert path.shape == (len(losses), 2)
            assert len(losses) == 31 or entry["ended"]
            assert np.isfinite(path).all()
            assert entry["color"].startswith("#")
            assert np.allclose(path[0], start)


def test_divergence_ends_a_path_with_its_reason() -> None:
    header, arrays = race.answer(landscape("beale", [{"name": "sgd", "lr": 1.0}, {"name": "sgd", "lr": 0.001}]))
    assert "not finite" in header["racers"][0]["ended"]
    assert len(arrays["0/path"]) < 51 == len(arrays["1/path"])
    assert [entry["label"] for entry in header["racers"]] == ["SGD, η 1", "SGD, η 0.001"]


def test_second_order_methods_say_why_they_end() -> None:
    header, arrays = race.answer(landscape("saddle", [{"name": "newton"}, {"name": "gauss_newton"}, {"name": "bfgs"}]))
    reasons = [entry["ended"] for entry in header["racers"][:2]]
    assert "not positive definite" in reasons[0]
    assert reasons[1] == "it needs a sum of squares, which this landscape is not"
    assert len(arrays["0/path"]) == 1
    assert header["threshold"] is None is header["racers"][2]["steps"]


def test_minimum_as_a_start() -> None:
    header, _ = race.answer(landscape(racers=[{"name": "sgd"}, {"name": "bfgs"}], start=[3.0, 2.0]))
    assert [entry["steps"] for entry in header["racers"]] == [0, 0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "alps"}, "name must be one of 'beale'"),
        ({"name": "network"}, "no network"),
        ({"start": [0.0]}, "two numbers"),
        ({"start": ["a", 0.0]}, "start must be"),
        ({"start": [math.nan, 0.0]}, "start must be"),
        ({"steps": 0}, "steps must be"),
        ({"steps": 1e9}, "steps must be"),
        ({"steps": None}, "steps must be"),
        ({"racers": [{"name": "sgd"}] * 7}, "at most 6"),
        ({"racers": "sgd"}, "at most 6"),
        ({"racers": ["sgd"]}, "racer must be an object"),
        ({"racers": [{"name": "sgdd"}]}, "racer must be one of 'sgd'"),
        ({"racers": [{"name": "sgd", "lr": -1}]}, "lr must be"),
        ({"racers": [{"name": "sgd", "lr": "fast"}]}, "lr must be"),
        ({"racers": [{"name": "sgd", "state": {}}]}, "racer has no field 'state'"),
        ({"name": "quadratic", "eigenvalues": [1.0, -1.0]}, "eigenvalues must be"),
    ],
)
def test_bad_landscapes_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        race.answer({**landscape(), **change})


def test_catalog_of_racers_makes_each_of_them() -> None:
    json.dumps(race.landscapes(), allow_nan=False)
    for choice in all_racers():
        chosen = {parameter["name"]: parameter["default"] for parameter in choice["parameters"]}
        optimizer = racer({"name": choice["name"], **chosen})
        assert optimizer.title == choice["label"]
        for parameter in choice["parameters"]:
            if parameter["kind"] == "number" and parameter["default"]:
                assert parameter["minimum"] <= parameter["default"] <= parameter["maximum"]


# ---- momentum


@pytest.mark.parametrize(
    ("a", "mu"), [(0.1, 0.1), (0.5, 0.85), (1.0, 0.0), (2.15, 0.15), (3.05, 0.5), (4.0, 0.99), (0.25, 0.25), (1.0, 1e-6)]
)
def test_momentum_is_that_of_the_roots(a: float, mu: float) -> None:
    header, arrays = momentum.answer({"rate": a, "momentum": mu})
    root = np.abs(np.roots([1.0, -(1 + mu - a), mu])).max()
    assert header["root"] == pytest.approx(root, abs=1e-7)
    assert header["regime"] == regime(a, mu)
    x, v, run = 1.0, 0.0, [1.0]
    for _ in range(len(arrays["run"]) - 1):
        v = mu * v - a * x
        x += v
        run.append(x)
    assert np.allclose(arrays["run"], run, rtol=1e-5, atol=1e-12)
    shown = arrays["theory"] > 0
    assert (np.abs(run)[shown] <= arrays["theory"][shown] * (1 + 1e-5) + 1e-30).all()
    assert sendable(header, arrays)


@pytest.mark.parametrize("a", [0.2, 0.9, 1.7, 3.5])
def test_best_momentum_for_a_rate(a: float) -> None:
    best, root = momentum.answer({"rate": a, "momentum": 0.5})[0]["optimum"]
    others = [np.abs(np.roots([1.0, -(1 + mu - a), mu])).max() for mu in np.linspace(0, 1, 2001)]
    assert root == pytest.approx(min(others), abs=2e-2)
    assert root <= min(others) + 1e-9
    assert np.abs(np.roots([1.0, -(1 + best - a), best])).max() == pytest.approx(root, abs=1e-7)


def test_map_of_regimes() -> None:
    header, arrays = momentum.answer({"rate": 1.0, "momentum": 0.5})
    count = len(arrays["map"])
    for i, j in ((0, 0), (10, 30), (150, 10), (80, 150), (120, 159), (159, 60)):
        a, mu = 4 * (j + 0.5) / count, 1 - (i + 0.5) / count
        assert header["regimes"][arrays["map"][i, j]] == regime(a, mu)
        assert arrays["rate"][i, j] == pytest.approx(np.abs(np.roots([1.0, -(1 + mu - a), mu])).max(), rel=1e-5)


@pytest.mark.parametrize("change", [{"rate": 0.0}, {"rate": 4.1}, {"rate": "x"}, {"momentum": 1.0}, {"momentum": None}])
def test_bad_momentum_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError), match=f"{next(iter(change))} must be"):
        momentum.answer({"rate": 1.0, "momentum": 0.5, **change})


# ---- initialization


def chain(**change: Any) -> dict[str, Any]:
    return {"depth": 6, "width": 60, "activation": "tanh", "init": "lecun_normal", "scale": 1.0, **change}


def test_signals_are_those_of_the_model() -> None:
    h, delta = initialization.measured(3, 20, nn.Tanh, "glorot_uniform", 1.5)
    layers = [layer for _ in range(3) for layer in (nn.Dense(20, weight_init="glorot_uniform"), nn.Tanh())]
    model = nn.Sequential(layers, input_shape=20, seed=0)
    X, g = np.random.default_rng(0).standard_normal((2, 200, 20))
    weights = [1.5 * layer.weight for layer in layers[::2]]
    signal = X
    for W, got in zip(weights, h, strict=True):
        signal = np.tanh(signal @ W.T)
        assert np.allclose(got, signal, rtol=1e-4, atol=1e-5)
    for k in (2, 1, 0):
        g = g * (1 - h[k] ** 2)
        assert np.allclose(delta[k], g, rtol=1e-4, atol=1e-5)
        g = g @ weights[k]
    assert len(model.layers) == 6


def test_variances_and_histograms_are_those_of_the_signals() -> None:
    header, arrays = initialization.answer(chain())
    h, delta = initialization.measured(6, 60, nn.Tanh, "lecun_normal", 1.0)
    assert np.allclose(arrays["forward"], [values.var() for values in h], rtol=1e-4)
    assert np.allclose(arrays["backward"], [values.var() for values in delta], rtol=1e-4)
    assert np.allclose(header["scales"], [np.abs(values).max() for values in h])
    assert np.allclose(arrays["histograms"].sum(axis=1), 1)
    assert arrays["histograms"].shape == (6, initialization.BINS)
    assert sendable(header, arrays)


@pytest.mark.parametrize("init", INITIALIZERS)
def test_mean_square_of_the_weights(init: str) -> None:
    W = INITIALIZERS[init]()((300, 300), np.random.default_rng(0), "float64")
    assert (W**2).mean() == pytest.approx(initialization.mean_square_weight(init, 300), rel=0.02)


@pytest.mark.parametrize("activation", sorted(set(ACTIVATIONS) - {"softmax"}))
def test_theory_of_a_wide_network(activation: str) -> None:
    _, arrays = initialization.answer(chain(width=400, depth=4, activation=activation))
    assert np.allclose(arrays["forward"], arrays["forward/theory"], rtol=0.25)
    assert np.allclose(arrays["backward"], arrays["backward/theory"], rtol=0.25)


def test_he_keeps_relu_and_the_message_says_so() -> None:
    kept, _ = initialization.answer(chain(activation="relu", init="default", depth=20, width=200))
    lost, arrays = initialization.answer(chain(activation="relu", init="lecun_normal", depth=20, width=200))
    grown, huge = initialization.answer(chain(activation="relu", depth=50, scale=8.0))
    assert kept["message"].count("keeps its size") == 2
    assert lost["message"].startswith("The signal vanishes: after 20 layers its variance is 10⁻⁶.")
    assert arrays["forward/theory"][-1] / arrays["forward/theory"][0] == pytest.approx(0.5**19, rel=1e-3)
    assert grown["message"].startswith("The signal explodes")
    assert sendable(grown, huge)
    assert np.isfinite(huge["forward"]).all()


def test_chains_without_a_theory_or_a_signal() -> None:
    _, arrays = initialization.answer(chain(activation="softmax"))
    header, dead = initialization.answer(chain(init="zeros", depth=1, width=1))
    assert np.isnan(arrays["forward/theory"]).all()
    assert header["message"].startswith("The signal is gone: after 1 layer its variance is 0.")
    assert not dead["forward"].any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"depth": 0}, "depth must be"),
        ({"depth": 51}, "depth must be"),
        ({"width": 2.5}, "width must be"),
        ({"width": 513}, "width must be"),
        ({"scale": -1.0}, "scale must be"),
        ({"activation": "step"}, "activation must be one of"),
        ({"init": "xavier"}, "init must be one of"),
    ],
)
def test_bad_chains_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        initialization.answer(chain(**change))
