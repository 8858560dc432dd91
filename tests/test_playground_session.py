"""The engine of the playground: states, runs, frames, and the script that makes the same run."""

from __future__ import annotations

import copy
import random
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from helpers.playground_session import FRAME, ask, changed, random_run, shown, twin

import nncore as nn
from nncore.playground import catalog, datasets, spec
from nncore.playground.datasets import Own
from nncore.playground.lessons import LESSONS
from nncore.playground.parameters import defaults
from nncore.playground.run import Run
from nncore.playground.session import Session


@pytest.fixture
def session() -> Iterator[Session]:
    made = Session()
    yield made
    made.close()


# ---- data


@pytest.mark.parametrize("kind", [d.name for d in datasets.DATASETS.values() if d.name not in ("own", "drawn")])
def test_each_data_set_is_split_and_shown(session: Session, kind: str) -> None:
    state = changed(session)
    state["data"] |= {"kind": kind, "n": 60, "split": 0.25}
    assert ask(session, "state", state=state)[0]["type"] == "adopted"
    header, arrays = ask(session, "points")
    assert len(arrays["train/x"]) == len(arrays["train/y"]) == 45
    assert len(arrays["validation/x"]) == 15
    if header["plane"]:
        left, right, bottom, top = header["box"]
        P = arrays["train/x"]
        assert (np.abs(P - [(left + right) / 2, (bottom + top) / 2]) < [(right - left) / 2, (top - bottom) / 2]).mean() > 0.9
    frame, pictures = ask(session, "frame", **FRAME)
    assert frame["runs"][0]["loss"] > 0
    if header["plane"]:
        assert pictures["0/map"].shape == (header["classes"] or 1, 16, 16)


def test_drawn_points(session: Session) -> None:
    state = changed(session)
    state["data"] |= {"kind": "drawn", "points": [[-0.5, 0, 0], [-0.6, 0, 0], [0.5, 0, 1], [0.6, 0, 1], [0, 0.9, 2]]}
    assert ask(session, "state", state=state)[0]["type"] == "adopted"
    assert ask(session, "points")[0]["classes"] == 3
    state["data"]["points"] = []
    header, _ = ask(session, "state", state=state)
    assert header["type"] == "refused"
    assert "draw some points" in header["message"]


@pytest.mark.parametrize(("y", "task"), [([0, 1, 1, 0, 1, 2, 0, 1], "classification"), (np.arange(8) / 3, "regression")])
def test_own_data(y: Any, task: str) -> None:
    X = np.random.default_rng(0).normal(size=(8, 3))
    own = Own.of(X, y)
    session = Session(own)
    try:
        assert session.state["data"]["kind"] == "own"
        header, _ = ask(session, "points")
        assert (header["task"], header["inputs"]) == (task, ["x1", "x2", "x3"])
        ask(session, "step", steps=3)
        assert shown(session, axes=[2, 0])["runs"][0]["step"] == 3
    finally:
        session.close()


@pytest.mark.parametrize(("X", "y"), [([1.0, 2.0], [0, 1]), (np.zeros((3, 2)), [0, 1]), (np.zeros((0, 2)), [])])
def test_own_data_that_do_not_fit(X: Any, y: Any) -> None:
    with pytest.raises(ValueError, match=r"^[Xy] must"):
        Own.of(X, y)


# ---- the state


def test_the_default_state_is_complete(session: Session) -> None:
    assert spec.completed(session.state) == session.state
    assert spec.completed({}) == session.state


def test_every_choice_of_the_catalog_can_be_chosen(session: Session) -> None:
    known = catalog.catalog()
    adam = {"name": "adam", "lr": 0.01}
    single = [("optimizer", known["optimizers"]), ("schedule", known["schedules"]), ("regularizer", known["regularizers"])]
    for field, choices in [*single, ("clip", known["clips"])]:
        for choice in choices:
            given = defaults(choice)
            header, _ = ask(session, "state", state=changed(session, **{"optimizer": adam, field: given}))
            assert header["type"] == "adopted", (given, header)
            assert header["state"]["runs"][0][field] == given
            ask(session, "step", steps=2)
            if field != "optimizer":
                ask(session, "state", state=changed(session, optimizer=adam, **{field: None}))


def test_every_number_of_the_catalog_can_be_moved_to_both_ends() -> None:
    """The ranges that the page offers are valid."""
    known = catalog.catalog()
    for field in ("optimizer", "schedule", "regularizer", "clip"):
        for choice in known[f"{field}s"]:
            for parameter in choice["parameters"]:
                ends = parameter.get("choices") or [parameter[end] for end in ("minimum", "maximum") if end in parameter]
                for value in ends:
                    run = {**spec.RUN, field: {**defaults(choice), parameter["name"]: value}}
                    spec.completed({"runs": [run]})


BAD: list[tuple[Any, str]] = [
    (None, "state must be an object"),
    ({"views": 1}, "has no field 'views'"),
    ({"view": "x"}, "view must be one of"),
    ({"speed": -1}, "speed must be"),
    ({"speed": float("nan")}, "speed must be"),
    ({"runs": []}, "runs must have from 1 to 2"),
    ({"runs": [{}, {}, {}]}, "runs must have from 1 to 2"),
    ({"runs": [{"layers": [{"units": 0}]}]}, "units must be"),
    ({"runs": [{"layers": [{"units": 10**6}]}]}, "units must be"),
    ({"runs": [{"layers": [{}] * 9}]}, "layers must have from 0 to 8"),
    ({"runs": [{"layers": [{"activation": "step"}]}]}, "activation must be"),
    ({"runs": [{"layers": [{"dropout": 1}]}]}, "dropout must be"),
    ({"runs": [{"optimizer": {"name": "adam", "lr": -1}}]}, "lr must be"),
    ({"runs": [{"optimizer": {"name": "adam", "lr": "fast"}}]}, "lr must be"),
    ({"runs": [{"optimizer": {"name": "adam", "rate": 1}}]}, "has no field 'rate'"),
    ({"runs": [{"optimizer": {"name": "newton"}}]}, "optimizer must be one of"),
    ({"runs": [{"optimizer": "adam"}]}, "optimizer must be an object with a name"),
    ({"runs": [{"batch_size": 0}]}, "batch_size must be"),
    ({"data": {"kind": "own"}}, r"nn\.playground"),
    ({"data": {"kind": "iris"}}, "data.kind must be one of"),
    ({"data": {"n": 1}}, "data.n must be"),
    ({"data": {"n": 10**9}}, "data.n must be"),
    ({"data": {"split": 1.0}}, "data.split must be"),
    ({"data": {"features": []}}, "data.features must have"),
    ({"data": {"features": ["__import__"]}}, "data.features must be one of"),
    ({"data": {"points": [[0, 0]]}}, "data.points must have"),
    ({"data": {"points": [[0, 5, 0]]}}, "data.points must be"),
    ({"lesson": 3}, "lesson must be"),
]  # fmt: skip


@pytest.mark.parametrize(("state", "message"), BAD)
def test_a_bad_state_is_refused_and_changes_nothing(session: Session, state: Any, message: str) -> None:
    ask(session, "step", steps=5)
    before, theta, start = copy.deepcopy(session.state), session.runs[0].model.parameters.copy(), session.start
    header, _ = ask(session, "state", state=state)
    assert header["type"] == "refused"
    with pytest.raises(ValueError, match=message):
        raise ValueError(header["message"])
    assert (session.state, session.start) == (before, start)
    assert (session.runs[0].model.parameters == theta).all()


def test_a_network_that_does_not_fit_is_refused(session: Session) -> None:
    layer = {**spec.LAYER, "norm": "batch_norm"}
    before = copy.deepcopy(session.state)
    header, _ = ask(session, "state", state=changed(session, layers=[layer], batch_size=1))
    assert (header["type"], session.state) == ("refused", before)
    assert "at least 2 rows" in header["message"]


@pytest.mark.parametrize("request_", [None, 3, "frame", {}, {"type": "eval"}, {"type": "step"}, {"type": "step", "steps": -1}])
def test_bad_requests_are_refused(session: Session, request_: Any) -> None:
    assert session.handle(request_)[0]["type"] == "refused"


@pytest.mark.parametrize(
    "wanted", [{"grid": 0}, {"grid": 10**6}, {"example": 10**6}, {"example": -1}, {"axes": [0, 9]}, {"axes": [0]}, {"axes": 1},
               {"inspect": 3}, {"inspect": {"kind": "net"}}, {"inspect": {"who": 0}}, {"fine": True},
               {"inspect": {"run": 0, "kind": "unit", "layer": -1, "unit": 0, "input": 0}}]
)  # fmt: skip
def test_bad_frames_are_refused(session: Session, wanted: Any) -> None:
    assert ask(session, "frame", **{**FRAME, **wanted})[0]["type"] == "refused"


# ---- training


def test_steps_are_those_of_fit(session: Session) -> None:
    """In whatever portions: the same bits as one call of ``fit``."""
    run, data = session.state["runs"][0], session.examples
    for steps in (1, 20, 3, 18):
        ask(session, "step", steps=steps)
    assert session.runs[0].steps.per_epoch == 21
    model = spec.build(run, data)
    trainer = nn.Trainer(model, run["loss"], nn.Adam(lr=0.01), metrics=["accuracy"])
    trainer.fit(data.X, data.y, epochs=2, batch_size=10, verbose=0)
    assert (session.runs[0].model.parameters == model.parameters).all()
    assert session.runs[0].trainer.epochs_done == 2


def test_playing_and_stepping_reach_the_same_bits(session: Session) -> None:
    state = copy.deepcopy(session.state)
    state["speed"] = 0
    ask(session, "state", state=state)
    ask(session, "play")
    deadline = time.monotonic() + 20
    while session.runs[0].step < 2000 and time.monotonic() < deadline:
        shown(session)
    ask(session, "pause")
    with session.lock:
        run = session.runs[0]
    alone = Run(state["runs"][0], session.examples)
    while alone.step < run.step:
        alone.take(min(run.step - alone.step, 7))
    assert (alone.model.parameters == run.model.parameters).all()
    np.testing.assert_array_equal(alone.points, run.points)


def test_reset_returns_to_the_seed(session: Session) -> None:
    theta = session.runs[0].model.parameters.copy()
    ask(session, "step", steps=50)
    assert (session.runs[0].model.parameters != theta).any()
    ask(session, "reset")
    assert (session.runs[0].model.parameters == theta).all()
    assert shown(session)["runs"][0]["step"] == 0


def test_two_runs_see_the_same_examples(session: Session) -> None:
    state = copy.deepcopy(session.state)
    state["runs"] = [{**spec.RUN, "batch_size": 10}, {**spec.RUN, "batch_size": 210}]
    ask(session, "state", state=state)
    for _ in range(3):
        ask(session, "epoch")
    assert [run.step for run in session.runs] == [63, 3]
    assert [run.trainer.epochs_done for run in session.runs] == [3, 3]


def test_a_diverging_run_ends_and_says_why(session: Session) -> None:
    layers = [{**spec.LAYER, "activation": "relu"}] * 2
    state = changed(session, optimizer={"name": "sgd", "lr": 1e6}, layers=layers, loss="squared_error")
    ask(session, "state", state=state)
    ask(session, "step", steps=1000)
    run = shown(session)["runs"][0]
    assert "diverged" in run["ended"]
    assert np.isfinite(session.runs[0].model.parameters).all()
    ask(session, "state", state=changed(session, optimizer={"name": "sgd", "lr": 0.01}))
    assert shown(session)["runs"][0]["ended"] is None


def test_the_phases_of_a_step(session: Session) -> None:
    seen = []
    for _ in range(4):
        ask(session, "phase")
        run = shown(session, example=0)["runs"][0]
        seen.append((run["phase"], run["step"], run["batch"] is not None))
    assert seen == [("forward", 0, True), ("loss", 0, True), ("backward", 0, True), ("update", 1, False)]


def test_the_batch_in_step_mode_is_the_one_that_is_taken(session: Session) -> None:
    ask(session, "step", steps=4)
    ask(session, "phase")
    batch = shown(session)["runs"][0]["batch"]
    _, arrays = ask(session, "frame", **FRAME)
    data, run = session.examples, session.runs[0]
    _, gradient = run.model.copy().loss_and_gradient(data.X[batch], data.y[batch], run.trainer.loss, step=run.step)
    np.testing.assert_array_equal(arrays["0/grad"], gradient)
    optimizer = copy.deepcopy(run.trainer.optimizer)
    theta = run.model.parameters.copy()
    optimizer.step(theta, gradient)
    for _ in range(3):
        ask(session, "phase")
    np.testing.assert_allclose(run.model.parameters, theta, rtol=1e-5, atol=1e-7)  # sums in another order


# ---- numbers


def test_numbers_of_a_unit(session: Session) -> None:
    ask(session, "step", steps=10)
    inspect = {"run": 0, "kind": "unit", "layer": 1, "unit": 2, "input": 0}
    numbers = shown(session, inspect=inspect, example=5)["runs"][0]["numbers"]
    run, layer = session.runs[0], session.runs[0].model.layers[2]
    assert [row[1] for row in numbers["rows"]] == [*layer.weight[2].tolist(), float(layer.bias[2])]
    z = run.model.activations(session.examples.X[5:6])["dense_2"][0, 2]
    assert next(f["value"] for f in numbers["formulas"] if f["text"].startswith("z")).endswith(f"= {z:.4g}".replace("-", "−"))
    data = session.examples
    _, gradient = run.model.copy().loss_and_gradient(data.X, data.y, run.trainer.loss)
    place = layer.parameters["weight"].offset + 2 * layer.inputs
    column = numbers["columns"].index("∂l/∂w")
    np.testing.assert_allclose([row[column] for row in numbers["rows"]][:-1], gradient[place : place + 8], rtol=1e-5)
    theta = run.model.parameters.copy()
    copy.deepcopy(run.trainer.optimizer).step(theta, gradient)
    steps = (theta - run.model.parameters)[place : place + 8]
    np.testing.assert_allclose([row[-1] for row in numbers["rows"]][:-1], steps, rtol=1e-4, atol=1e-8)


@pytest.mark.parametrize("kind", ["unit", "weight", "layer"])
def test_numbers_of_what_is_no_longer_there(session: Session, kind: str) -> None:
    for layer, unit in ((9, 0), (0, 99)):
        inspect = {"run": 0, "kind": kind, "layer": layer, "unit": unit, "input": 0}
        assert shown(session, inspect=inspect)["runs"][0]["numbers"] is None


# ---- the script


@pytest.mark.parametrize("seed", range(12))
def test_the_script_makes_the_same_bits(session: Session, seed: int) -> None:
    """Of random choices, changed several times on the way."""
    rng = random.Random(seed)
    entry = rng.choice([d for d in datasets.DATASETS.values() if d.name not in ("own", "drawn")])
    data = {"kind": entry.name, "n": rng.choice([40, 77, 200]), "split": 0.3}
    run: dict[str, Any] = random_run(rng, entry.task)
    for _ in range(4):
        header, _ = ask(session, "state", state={"data": data, "runs": [run]})
        ask(session, "step", steps=rng.randint(1, 90))
        if header["type"] == "refused":
            run = random_run(rng, entry.task)
            continue
        run = copy.deepcopy(session.state["runs"][0])
        run |= {name: value for name, value in random_run(rng, entry.task).items() if rng.random() < 0.3 and name != "layers"}
        for layer in run["layers"]:
            layer |= {"dropout": rng.choice([0, 0.2]), "activation": rng.choice(["tanh", "relu"])}
    ended = session.runs[0].ended
    text = ask(session, "code")[0]["text"]
    if ended:
        with pytest.raises(nn.DivergenceError):
            twin(text)
    else:
        np.testing.assert_array_equal(twin(text), session.runs[0].model.parameters)


@pytest.mark.parametrize("name", nn.landscapes.LANDSCAPES)
def test_the_script_of_a_race(session: Session, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    landscape = {**session.state["landscape"], "name": name, "steps": 20}
    landscape["racers"] = [{"name": "adam", "lr": 0.05}, {"name": "newton"}, {"name": "lbfgs"}]
    ask(session, "state", state={**session.state, "view": "landscape", "landscape": landscape})
    _, arrays = ask(session, "landscape", landscape=landscape)
    space: dict[str, Any] = {}
    exec(ask(session, "code")[0]["text"], space)
    assert len(capsys.readouterr().out.splitlines()) == 3
    np.testing.assert_array_equal(space["path"].theta[-1].astype(np.float32), arrays["2/path"][-1])


# ---- lessons


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson["id"])
def test_lessons(session: Session, lesson: dict[str, Any]) -> None:
    assert 0 <= lesson["right"] < len(lesson["predictions"])
    assert ask(session, "state", state=lesson["state"])[0]["type"] == "adopted"
    ask(session, "step", steps=100)
    assert [run["step"] > 0 for run in shown(session)["runs"]] == [True] * len(lesson["state"]["runs"])


def test_lessons_are_a_dozen_of_all_decks() -> None:
    assert len({lesson["id"] for lesson in LESSONS}) == len(LESSONS) >= 12
    assert {lesson["deck"] for lesson in LESSONS} == {"000", "001", "002", "003", "004"}


CLAIMS: dict[str, Any] = {  # what a lesson says: of its runs after 2000 steps
    "four-relus": lambda a: a["accuracy"] < 0.7,
    "xor": lambda a, b: a["accuracy"] < 0.7 < 0.9 < b["accuracy"],
    "zero-init": lambda a, b: a["accuracy"] == 0.5 and b["accuracy"] == 1,
    "rate": lambda a, b: a["loss"] < 0.1 < 1 < b["loss"],
    "scaling": lambda a: a["accuracy"] < 0.4,
    "vanishing": lambda a, b: a["accuracy"] == 0.5 and b["accuracy"] == 1,
    "batch-norm": lambda a, b: a["accuracy"] == 0.5 and b["accuracy"] > 0.99,
    "batch-size": lambda a, b: a["loss"] < 0.1 * b["loss"] and b["step"] < 50,
    "overfitting": lambda a, b: a["loss"] < 0.01 and a["validation_loss"] > 4 * b["validation_loss"],
    "dropout": lambda a, b: a["loss"] < 0.1 * b["loss"] and a["validation_loss"] > 2 * b["validation_loss"],
}  # fmt: skip


@pytest.mark.parametrize("name", CLAIMS)
def test_what_a_lesson_says_is_what_it_shows(session: Session, name: str) -> None:
    lesson = next(lesson for lesson in LESSONS if lesson["id"] == name)
    ask(session, "state", state=lesson["state"])
    ask(session, "step", steps=2000)
    runs = shown(session)["runs"]
    assert CLAIMS[name](*runs), runs


def test_all_lessons_with_networks_are_checked() -> None:
    assert {lesson["id"] for lesson in LESSONS if lesson["state"]["view"] == "network"} == set(CLAIMS)
