"""The playground at its limits: odd data, extreme choices, divergence, requests in any order and from several threads."""

from __future__ import annotations

import copy
import json
import math
import random
import threading
import time
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import scipy.sparse
from helpers.playground_session import FRAME, ask, changed, random_run, shown, twin

import nncore as nn
from nncore.playground import datasets, spec
from nncore.playground.catalog import catalog
from nncore.playground.datasets import FEATURES, Own
from nncore.playground.frame import BINS, _range, _shares
from nncore.playground.moment import Moment
from nncore.playground.parameters import defaults
from nncore.playground.script import script
from nncore.playground.server import encoded
from nncore.playground.session import Session

RNG = np.random.default_rng(0)
POINTS = RNG.normal(size=(20, 2))
DIVERGES: dict[str, Any] = {"optimizer": {"name": "sgd", "lr": 1e9}, "loss": "squared_error"}


@pytest.fixture
def session() -> Iterator[Session]:
    made = Session()
    yield made
    made.close()


def two(*runs: dict[str, Any], **other: Any) -> dict[str, Any]:
    return {"runs": [{**spec.RUN, **run} for run in runs], **other}


# ---- data


@pytest.mark.parametrize("name", FEATURES)
def test_a_feature_is_what_the_script_says(name: str) -> None:
    P = POINTS.astype(np.float32)
    x1, x2 = P.T
    made = eval(FEATURES[name].source, {"np": np, "x1": x1, "x2": x2})
    np.testing.assert_array_equal(datasets.features(P, [name])[:, 0], made.astype(np.float32))


@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        ([[0.0, math.nan]] * 4, [0, 1, 0, 1], r"X must hold finite numbers, got \[ ?0. nan\] in row 0"),
        ([[1e39]] * 4, [0, 1, 0, 1], "X must hold finite numbers"),
        (POINTS[:4], [0, 1, math.inf, 1], "y must hold finite numbers, got .* in row 2"),
        (POINTS[:4], list("abab"), "y must hold real numbers"),
        (np.zeros((4, 0)), [0, 1, 0, 1], "X must have shape"),
        (np.zeros((4, 8, 8)), [0, 1, 0, 1], "X must have shape"),
        (scipy.sparse.eye(4), [0, 1, 0, 1], "X must be dense"),
        (POINTS[:4], np.eye(4), "y must have 4 classes or numbers"),
    ],
)
def test_own_data_that_cannot_be_learned(X: Any, y: Any, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        Own.of(X, y)


OWN: dict[str, tuple[Any, Any]] = {
    "one row of each class": (POINTS[:4], [0, 1, 2, 3]),
    "constant columns": (np.ones((10, 2), np.int8), [0, 1] * 5),
    "classes that are floats": (POINTS, [0.0, 1.0, 2.0, 1.0] * 5),
    "classes that are flags": (POINTS, POINTS[:, 0] > 0),
    "a class without examples": (POINTS, [0, 3] * 10),
    "more numbers than classes": (POINTS, np.arange(20) * 2),
    "a column of numbers": (POINTS, POINTS[:, :1] / 3),
    "constant numbers": (POINTS, [3.0] * 20),
    "one input": (POINTS[:, :1], POINTS[:, 1]),
    "one input, classes": (POINTS[:, :1], [0, 1] * 10),
    "many inputs": (RNG.normal(size=(12, 1000)), [0, 1] * 6),
    "large": (1e37 * POINTS, 1e37 * POINTS[:, 0]),
    "tiny": (1e-42 * POINTS, [0, 1] * 10),
}


@pytest.mark.parametrize("name", OWN)
@pytest.mark.filterwarnings("error")
def test_odd_data_of_ones_own(name: str) -> None:
    X, y = OWN[name]
    session = Session(Own.of(X, y))
    try:
        ask(session, "step", steps=7)
        for kind in ("unit", "weight", "layer"):
            inspect = {"run": 0, "kind": kind, "layer": 0, "unit": 0, "input": 0}
            assert shown(session, inspect=inspect, example=0)["runs"][0]["numbers"]
        left, right, bottom, top = ask(session, "points")[0]["box"]
        assert left < right
        assert bottom < top
        run = session.runs[0]
        if not run.ended:
            np.testing.assert_array_equal(twin(script([run], session.state["data"]), X=X, y=y), run.model.parameters)
    finally:
        session.close()


# ---- choices


MODELS: list[tuple[list[nn.layers.Layer], str]] = [
    ([nn.Dense(8), nn.Tanh(), nn.Dense(3), nn.Softmax()], "must have layers as the playground makes them, .* got Softmax"),
    ([nn.Dense(8, bias=False), nn.BatchNorm(), nn.ReLU(), nn.Dense(1)], "got Dense"),
    ([nn.Dense(8, weight_init=nn.initializers.Normal(0.3)), nn.Dense(1)], "got Dense"),
    ([nn.Dense(8), nn.LeakyReLU(0.3), nn.Dense(1)], "got LeakyReLU"),
    ([nn.Dense(100), nn.Dense(1)], "units must be"),
    ([nn.Tanh(), nn.Dense(1)], "must begin each hidden layer with Dense, got Tanh"),
]


@pytest.mark.parametrize(("layers", "message"), MODELS)
def test_models_that_would_become_others(layers: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        spec.of_model(nn.Sequential(layers, input_shape=2), None)


def test_a_model_of_ones_own() -> None:
    layers = [nn.Dense(8), nn.BatchNorm(), nn.ReLU(), nn.Dropout(0.3), nn.Dense(5, weight_init="he_uniform"), nn.GELU(),
              nn.Dense(2)]  # fmt: skip
    model = nn.Sequential(layers, input_shape=2, seed=7)
    session = Session(None, spec.of_model(model, None))
    np.testing.assert_array_equal(session.runs[0].model.parameters, model.parameters)
    session.close()


def test_any_requests_in_any_order(session: Session) -> None:
    """Nothing but refusals where something does not fit, JSON that browsers read, no warnings, and the training goes on."""
    rng = random.Random(1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(20):
            kind = rng.choice([entry for entry in datasets.DATASETS.values() if entry.make])
            data = {"kind": kind.name, "n": rng.choice([10, 77]), "noise": 10.0, "features": rng.sample(list(FEATURES), 3)}
            run = random_run(rng, kind.task)
            run["optimizer"] |= {"lr": rng.choice([1e-4, 10.0])}
            requests: list[dict[str, Any]] = [
                {"type": "state", "state": {"data": data, "runs": [run, run], "speed": 0}},
                {"type": "play"}, {"type": "step", "steps": 50}, {"type": "phase"}, {"type": "epoch"}, {"type": "code"},
                {**FRAME, "type": "frame", "example": 5, "inspect": {"kind": rng.choice(["unit", "layer"]), "run": 1}},
            ]  # fmt: skip
            for request in rng.choices(requests, k=5):
                header, _ = ask(session, **request)
                if request["type"] not in ("state", "frame"):
                    assert header["type"] != "refused", header
            assert session._thread.is_alive()


@pytest.mark.parametrize("start", [["import os", 0], [0.0], "ab", None, [0, math.inf]])
def test_no_text_of_the_address_gets_into_a_script(session: Session, start: Any) -> None:
    landscape = {**spec.LANDSCAPE, "start": start}
    assert ask(session, "state", state={"view": "landscape", "landscape": landscape})[0]["type"] == "refused"
    assert ask(session, "landscape", landscape=landscape)[0]["type"] == "refused"


def test_a_speed_that_no_clock_can_keep(session: Session) -> None:
    header, _ = ask(session, "state", state={"speed": 5e-324})
    assert header["message"].startswith("speed must be 0, for as fast as possible, or at least 0.001")


def test_a_schedule_that_leaves_its_range_ends_the_run(session: Session) -> None:
    cyclic = next(entry for entry in catalog()["schedules"] if entry["name"] == "cyclic")
    schedule = {**defaults(cyclic), "steps": 20, "gamma": 4.0}
    ask(session, "state", state=changed(session, optimizer={"name": "sgd", "lr": 0.5}, schedule=schedule))
    ask(session, "step", steps=300)
    run = shown(session)["runs"][0]
    assert run["ended"].startswith("lr must be a finite number of at least 0")
    assert run["lr"] is None
    assert run["step"] < 300


@pytest.mark.filterwarnings("error")
def test_outputs_that_overflow(session: Session) -> None:
    layers: list[Any] = []
    ask(session, "state", state=two({"layers": layers, "loss": "sigmoid_cross_entropy"}))
    session.runs[0].model.parameters[:] = 1e6
    frame, arrays = ask(session, "frame", **FRAME)
    assert frame["type"] == "frame"
    assert set(np.unique(arrays["0/map"])) <= set(range(256))


def test_histograms_of_the_smallest_numbers() -> None:
    values = np.array([-1e-45, 0, 1e-45, 3e-45], np.float32)
    shares = _shares(values, _range(values))
    assert len(shares) == BINS
    assert shares.sum() == pytest.approx(1)


# ---- two runs


def test_a_run_goes_on_when_the_other_one_has_diverged(session: Session) -> None:
    ask(session, "state", state=two({**DIVERGES, "layers": [{"activation": "relu"}]}, {}))
    ask(session, "step", steps=100)
    first, second = shown(session)["runs"]
    assert first["ended"]
    assert first["step"] < second["step"] == 100
    ask(session, "epoch")
    assert shown(session)["runs"][1]["epoch"] == 5


def test_runs_stay_together_when_a_batch_size_changes(session: Session) -> None:
    ask(session, "state", state=two({"batch_size": 10}, {"batch_size": 10}))
    ask(session, "step", steps=210)
    ask(session, "state", state=two({"batch_size": 10}, {"batch_size": 210}))
    ask(session, "step", steps=21)
    assert [run.step for run in session.runs] == [231, 211]
    ask(session, "state", state=two({"batch_size": 210}, {"batch_size": 10}))
    ask(session, "step", steps=1)
    assert [run.step for run in session.runs] == [232, 232]


# ---- numbers


CLIPPED = {"clip": {"name": "clip_norm", "limit": 0.01}, "regularizer": {"name": "l2", "strength": 0.1}}


@pytest.mark.parametrize("optimizer", [entry["name"] for entry in catalog()["optimizers"]])
def test_the_next_step_is_the_one_that_is_taken(session: Session, optimizer: str) -> None:
    """To the bit: with penalty, clipping, dropout and the state of the optimizer."""
    chosen = next(entry for entry in catalog()["optimizers"] if entry["name"] == optimizer)
    layers = [{**spec.LAYER, "dropout": 0.3}]
    ask(session, "state", state=changed(session, optimizer=defaults(chosen), layers=layers, **CLIPPED))
    ask(session, "step", steps=5)
    ask(session, "phase")
    inspect = {"run": 0, "kind": "unit", "layer": 0, "unit": 2, "input": 0}
    numbers = shown(session, inspect=inspect)["runs"][0]["numbers"]
    for _ in range(3):
        ask(session, "phase")
    run = session.runs[0]
    assert run.step == 6
    assert [row[-1] for row in numbers["rows"]] == run.last_update.reshape(-1)[[4, 5, 18]].tolist()


def test_the_numbers_of_a_weight_that_is_not_there(session: Session) -> None:
    inspect = {"run": 0, "kind": "weight", "layer": 0, "unit": 0, "input": 1}
    assert shown(session, inspect=inspect)["runs"][0]["numbers"]["rows"][0][0] == "w of x₂"
    assert shown(session, inspect={**inspect, "input": 2})["runs"][0]["numbers"] is None
    assert shown(session, inspect={**inspect, "input": -1})["runs"][0]["numbers"]["rows"][0][0] == "b"


def test_a_landscape_of_a_large_network_takes_fewer_examples(session: Session) -> None:
    moment = Moment.of(session.runs[0], session.views[0])
    assert len(moment.network()[1]) == len(session.examples.X)
    large = {"layers": [{"units": 64}] * 8}
    ask(session, "state", state={**two(large), "data": {"n": 5000}})
    assert len(Moment.of(session.runs[0], session.views[0]).network()[1]) == 50


def test_nothing_but_json() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        encoded({"loss": math.nan}, b"")


# ---- scripts


def test_the_script_of_layers_that_were_changed(session: Session) -> None:
    """Initial weights depend on which layer they are in: with dropout they are others, but later they are kept."""
    ask(session, "state", state=changed(session, layers=[spec.LAYER] * 2))
    theta = session.runs[0].model.parameters.copy()
    ask(session, "state", state=changed(session, layers=[{**spec.LAYER, "dropout": 0.2}] * 2))
    assert (session.runs[0].model.parameters != theta).any()
    np.testing.assert_array_equal(twin(ask(session, "code")[0]["text"]), session.runs[0].model.parameters)
    ask(session, "step", steps=5)
    theta = session.runs[0].model.parameters.copy()
    ask(session, "state", state=changed(session, layers=[spec.LAYER] * 2))
    np.testing.assert_array_equal(session.runs[0].model.parameters, theta)
    np.testing.assert_array_equal(twin(ask(session, "code")[0]["text"]), theta)


def test_the_script_of_two_runs_on_ones_own_data() -> None:
    session = Session(Own.of(POINTS, POINTS[:, 0] > 0))
    try:
        ask(session, "state", state={**session.state, **two({"seed": 1}, {"seed": 2})})
        ask(session, "step", steps=7)
        text = ask(session, "code")[0]["text"]
        np.testing.assert_array_equal(twin(text, X=POINTS, y=POINTS[:, 0] > 0), session.runs[1].model.parameters)
        first = text[: text.index("# run B")]
        np.testing.assert_array_equal(twin(first, X=POINTS, y=POINTS[:, 0] > 0), session.runs[0].model.parameters)
    finally:
        session.close()


def test_the_script_of_a_run_that_diverged_and_went_on(session: Session) -> None:
    ask(session, "state", state=changed(session, **DIVERGES, layers=[{**spec.LAYER, "activation": "relu"}]))
    ask(session, "step", steps=100)
    assert session.runs[0].ended
    ask(session, "state", state=changed(session, optimizer={"name": "sgd", "lr": 1e-12}))
    ask(session, "step", steps=1)
    np.testing.assert_array_equal(twin(ask(session, "code")[0]["text"]), session.runs[0].model.parameters)


# ---- several threads


def test_frames_of_several_threads(session: Session) -> None:
    """Each one is a single moment: its map is that of its weights."""
    found: list[float] = []
    end = time.monotonic() + 1

    def look() -> None:
        while time.monotonic() < end:
            header, arrays = ask(session, "frame", **{**FRAME, "inspect": {"layer": 1}})
            layers, theta, x = header["runs"][0]["layers"], arrays["0/theta"].astype(float), np.linspace(-1.2, 1.2, 16)
            h = np.stack(np.meshgrid(x, x[::-1]), axis=-1).reshape(-1, 2)
            for layer in layers:
                end_of_weight = layer["weight"] + layer["units"] * layer["inputs"]
                W, b = theta[layer["weight"] : end_of_weight], theta[layer["bias"] : layer["bias"] + layer["units"]]
                z = h @ W.reshape(layer["units"], -1).T + b
                h = np.tanh(z)
            shares = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
            found.append(float(np.abs(255 * shares.T.reshape(-1, 16, 16) - arrays["0/map"]).max()))

    threads = [threading.Thread(target=look) for _ in range(3)]
    ask(session, "state", state={"speed": 0})
    ask(session, "play")
    for thread in threads:
        thread.start()
    while time.monotonic() < end:
        ask(session, "landscape", landscape={**spec.LANDSCAPE, "name": "beale"})
        state = copy.deepcopy(session.state)
        state["runs"][0]["layers"] = [{"units": random.randint(2, 30)}, {"units": 4}]
        assert ask(session, "state", state=state)[0]["type"] == "adopted"
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()
    assert len(found) > 3
    assert max(found) < 0.51


def test_sessions_leave_no_threads() -> None:
    before = threading.active_count()
    for _ in range(5):
        session = Session()
        ask(session, "play")
        session.close()
        assert ask(session, "frame", **FRAME)[0]["type"] == "frame"
        json.dumps(session.state)
    assert threading.active_count() == before
