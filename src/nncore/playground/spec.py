"""The state of the playground: what the page sends, checked and completed; and the objects that it stands for."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from nncore import layers, optimizers, schedules
from nncore._messages import shown
from nncore._utils.fields import choice, count, number
from nncore.model import Sequential
from nncore.model.sequential import checked_model
from nncore.optimizers import GradientOptimizer
from nncore.optimizers.clipping import Clipping
from nncore.playground import catalog, datasets, race
from nncore.playground.datasets import Examples, Own
from nncore.playground.parameters import chosen, filled, made
from nncore.regularizers import Regularizer
from nncore.training import Trainer

__all__ = ["build", "clip", "completed", "default", "hidden_layers", "of_model", "optimizer", "regularizer", "trainer"]

State = dict[str, Any]

LAYER = {"units": 8, "activation": "tanh", "norm": None, "dropout": 0.0, "init": "default"}
RUN: State = {
    "layers": [LAYER, LAYER], "loss": "softmax_cross_entropy", "optimizer": {"name": "adam", "lr": 0.01}, "schedule": None,
    "regularizer": None, "clip": None, "batch_size": 10, "seed": 0,
}  # fmt: skip
DATA: State = {
    "kind": "circles", "n": 300, "noise": 0.05, "split": 0.3, "seed": 0, "features": ["x1", "x2"], "points": [],
}  # fmt: skip
LANDSCAPE: State = {
    "name": "beale", "eigenvalues": [1.0, 20.0], "start": [0.3, -1.2], "steps": 300,
    "racers": [
        {"name": "sgd", "lr": 0.02}, {"name": "momentum", "lr": 0.01}, {"name": "rmsprop", "lr": 0.02},
        {"name": "adam", "lr": 0.1},
    ],
}  # fmt: skip
STATE: State = {
    "view": "network", "lesson": None, "data": DATA, "runs": [RUN], "speed": 300.0, "landscape": LANDSCAPE,
    "momentum": {"rate": 1.0, "momentum": 0.8},
    "initialization": {"depth": 10, "width": 100, "activation": "tanh", "init": "lecun_normal", "scale": 1.0},
}  # fmt: skip
VIEWS = ("network", "landscape", "momentum", "initialization", "lessons")
POINTS = 2000  # drawn by hand
SLOWEST, FASTEST = 0.001, 1e7  # steps per second


def default(own: Own | None = None) -> State:
    """The first state, complete."""
    state = copy.deepcopy(STATE)
    if own is not None:
        state["data"] |= {"kind": "own", "split": 0.2}
        state["runs"][0]["loss"] = "softmax_cross_entropy" if own.task == "classification" else "squared_error"
    return completed(state, own)


def completed(given: Any, own: Own | None = None) -> State:
    """The state that the page has sent, all of its fields there and in range.

    Raises
    ------
    ValueError, TypeError
        If it is not a state; names the field.
    """
    state = filled("state", given, STATE)
    data = _data(filled("data", state["data"], DATA), own)
    task = own.task if own and data["kind"] == "own" else datasets.DATASETS[data["kind"]].task
    runs = [_run(filled("runs", run, RUN), task) for run in _list("runs", state["runs"], catalog.LIMITS["runs"], 1)]
    lesson = state["lesson"]
    if not (lesson is None or isinstance(lesson, str)):
        raise TypeError(f"lesson must be None or a name, got {shown(lesson)}")
    return {
        **state, "view": choice("view", state["view"], VIEWS), "data": data, "runs": runs,
        "speed": _speed(state["speed"]),
        "landscape": race.checked(filled("landscape", state["landscape"], LANDSCAPE)),
        "momentum": filled("momentum", state["momentum"], STATE["momentum"]),
        "initialization": filled("initialization", state["initialization"], STATE["initialization"]),
    }  # fmt: skip


def _speed(given: Any) -> float:
    speed = number("speed", given, 0.0, most=FASTEST)
    if 0 < speed < SLOWEST:
        raise ValueError(f"speed must be 0, for as fast as possible, or at least {SLOWEST}, got {shown(given)}")
    return speed


def _list(name: str, given: Any, most: int, least: int = 0) -> list[Any]:
    if not isinstance(given, Sequence) or isinstance(given, str):
        raise TypeError(f"{name} must be a list, got {shown(given)}")
    if not least <= len(given) <= most:
        raise ValueError(f"{name} must have from {least} to {most} elements, got {len(given)}")
    return list(given)


def _data(data: State, own: Own | None) -> State:
    choice("data.kind", data["kind"], tuple(datasets.DATASETS))
    if data["kind"] == "own" and own is None:
        raise ValueError("data.kind 'own' needs data: nn.playground(model, X, y)")
    count("data.n", data["n"], 10, below=catalog.LIMITS["examples"] + 1)
    count("data.seed", data["seed"], 0, below=2**32)
    number("data.noise", data["noise"], 0.0, most=10.0)
    number("data.split", data["split"], 0.05, most=0.95)
    for feature in _list("data.features", data["features"], len(datasets.FEATURES), 1):
        choice("data.features", feature, tuple(datasets.FEATURES))
    for point in _list("data.points", data["points"], POINTS):
        _list("data.points", point, 3, 3)
        for coordinate in point[:2]:
            number("data.points", coordinate, -1.5, most=1.5)
        count("data.points", point[2], 0, below=3)
    return data


def _run(run: State, task: str) -> State:
    layers = _list("layers", run["layers"], catalog.LIMITS["layers"])
    run["layers"] = [_layer(filled("layers", layer, LAYER)) for layer in layers]
    if run["loss"] not in catalog.TASKS[task]:  # the data have changed
        run["loss"] = catalog.TASKS[task][0]
    run["optimizer"] = _named("optimizer", run["optimizer"])
    for kind in ("schedule", "regularizer", "clip"):
        run[kind] = None if run[kind] is None else _named(kind, run[kind])
    count("batch_size", run["batch_size"], 1, below=catalog.LIMITS["examples"] + 1)
    count("seed", run["seed"], 0, below=2**32)
    for make in (optimizer, regularizer, clip):
        make(run)  # raises for what does not fit together
    return run


def _layer(layer: State) -> State:
    known = catalog.catalog()
    count("layers.units", layer["units"], 1, below=catalog.LIMITS["units"] + 1)
    choice("layers.activation", layer["activation"], _names(known["activations"]))
    choice("layers.init", layer["init"], _names(known["initializers"]))
    if layer["norm"] is not None:
        choice("layers.norm", layer["norm"], catalog.NORMS)
    number("layers.dropout", layer["dropout"], 0.0, below=1.0)
    return layer


def _names(choices: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    return tuple(entry["name"] for entry in choices)


def _named(kind: str, given: Any) -> State:
    return chosen(kind, given, catalog.catalog()[f"{kind}s"])


# ---- the objects


def optimizer(run: Mapping[str, Any]) -> GradientOptimizer:
    """The optimizer, with the schedule of its learning rate."""
    given, schedule, lr = run["optimizer"], run["schedule"], run["optimizer"]["lr"]
    if schedule is not None:
        lr = made(schedules.SCHEDULES, schedule, **{catalog.SCHEDULED[schedule["name"]]: lr})
    found: GradientOptimizer = made(optimizers.OPTIMIZERS, given, lr=lr)
    return found


def regularizer(run: Mapping[str, Any]) -> Regularizer | None:
    return None if run["regularizer"] is None else made(catalog.REGULARIZERS, run["regularizer"])


def clip(run: Mapping[str, Any]) -> Clipping | None:
    return None if run["clip"] is None else made(catalog.CLIPS, run["clip"])


def trainer(model: Sequential, run: Mapping[str, Any], metrics: Sequence[str] = ()) -> Trainer:
    """A new trainer of a network."""
    return Trainer(
        model, run["loss"], optimizer(run), regularizer=regularizer(run), clip=clip(run), metrics=metrics, seed=run["seed"]
    )


def hidden_layers(run: Mapping[str, Any]) -> list[layers.Layer]:
    """Dense, normalization, activation and dropout of each hidden layer, new ones."""
    made: list[layers.Layer] = []
    for layer in run["layers"]:
        init = {} if layer["init"] == "default" else {"weight_init": layer["init"]}
        made.append(layers.Dense(layer["units"], **init))
        if layer["norm"] is not None:
            made.append(layers.NORMALIZATIONS[layer["norm"]]())
        made.append(layers.ACTIVATIONS[layer["activation"]]())
        if layer["dropout"]:
            made.append(layers.Dropout(layer["dropout"]))
    return made


def build(run: Mapping[str, Any], examples: Examples) -> Sequential:
    """The network: the hidden layers, and an output for each class or one for the number."""
    output = layers.Dense(examples.classes or 1)
    return Sequential([*hidden_layers(run), output], input_shape=examples.X.shape[1], seed=run["seed"])


def of_model(model: Any, own: Own | None) -> State:
    """The state whose network has the layers of a model.

    Raises
    ------
    TypeError, ValueError
        If it is no Sequential, or has layers, or arguments of layers, that a state does not.
    """
    checked_model(model)
    hidden, found = list(model.layers[:-1]), []
    names: dict[str, dict[type, str]] = {kind: {cls: name for name, cls in table.items()} for kind, table in _KINDS.items()}
    while hidden:
        dense = hidden.pop(0)
        if type(dense) is not layers.Dense:
            raise ValueError(f"model must begin each hidden layer with Dense, got {shown(dense)}")
        layer = {**LAYER, "units": dense.units, "activation": "identity", "init": dense.config()["weight_init"]["name"]}
        for kind in ("norm", "activation"):
            if hidden and type(hidden[0]) in names[kind]:
                layer[kind] = names[kind][type(hidden.pop(0))]
        if hidden and type(hidden[0]) is layers.Dropout:
            layer["dropout"] = hidden.pop(0).config()["rate"]
        found.append(layer)
    state = default(own)
    state["runs"][0] |= {"layers": found, "seed": model.seed}
    state = completed(state, own)
    _check_kept(model.layers, [*hidden_layers(state["runs"][0]), layers.Dense(1)])
    return state


def _check_kept(given: Sequence[layers.Layer], made: Sequence[layers.Layer]) -> None:
    """Raise if layers would lose something: of the output, units and initial weights are free."""
    identity = layers.ACTIVATIONS["identity"]  # what follows a layer without activation
    pairs = zip(*([layer for layer in each if type(layer) is not identity] for each in (given, made)), strict=True)
    for layer, other in pairs:
        free = {"name", "units", "weight_init"} if other is made[-1] else {"name"}
        wanted, kept = ({key: x for key, x in each.config().items() if key not in free} for each in (layer, other))
        if type(layer) is not type(other) or wanted != kept:
            raise ValueError(f"model must have layers as the playground makes them, such as {shown(other)}, got {shown(layer)}")


_KINDS: dict[str, Mapping[str, type]] = {
    "norm": {name: layers.NORMALIZATIONS[name] for name in catalog.NORMS},
    "activation": layers.ACTIVATIONS,
}
