"""Copy as Python: a script that makes the same run, bit for bit."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from nncore import layers
from nncore.landscapes import LANDSCAPES, Landscape
from nncore.playground import datasets, race, racers, spec
from nncore.playground.run import Run, Segment, same_network, same_optimizer
from nncore.schedules import Schedule
from nncore.second_order import FullBatchOptimizer

__all__ = ["race_script", "script", "source"]

RACE = """for optimizer in optimizers:
    try:
        path = optimizer.minimize(f, {start}, steps={steps})
        print(optimizer, path.theta[-1], path.loss[-1])
    except (ValueError, nn.DivergenceError) as error:
        print(optimizer, error)
"""
STEPS = '''
def steps(count):
    """The first batches of the next epoch, which counts as an epoch."""
    done = trainer.epochs_done
    order = nn.samplers.Shuffled().order(nn.samplers.Examples(len(X), trainer.seed), done + 1)
    for first in range(0, count * batch_size, batch_size):
        rows = order[first : first + batch_size]
        trainer.partial_fit(X[rows], y[rows])
    trainer.epochs_done = done + 1

'''


def source(value: Any) -> str:
    """An expression that makes an object of nncore, without arguments that have their default."""
    if isinstance(value, tuple):
        return f"({', '.join(map(source, value))})"
    if not hasattr(value, "config"):
        return repr(value)
    parameters = inspect.signature(type(value).__init__).parameters
    given: list[str] = []
    for name, kept in value.config().items():
        kept, default = _argument(kept, getattr(value, name, None)), parameters[name].default
        if name != "name" and kept != default:
            by_place = default is inspect.Parameter.empty and not given
            given.append(source(kept) if by_place else f"{name}={source(kept)}")
    return f"{_home(value)}.{type(value).__name__}({', '.join(given)})"


def _home(value: Any) -> str:
    homes = {Schedule: "nn.schedules", Landscape: "nn.landscapes", FullBatchOptimizer: "nn.second_order"}
    return next((home for base, home in homes.items() if isinstance(value, base)), "nn")


def race_script(state: Mapping[str, Any]) -> str:
    """The race on a landscape, as a program."""
    lines = ["import nncore as nn", "", f"f = nn.landscapes.{_landscape(state)}", "optimizers = ["]
    lines += [f"    {source(racers.racer(racer))}," for racer in state["racers"]]
    return "\n".join([*lines, "]", RACE.format(**state)])


def _landscape(state: Mapping[str, Any]) -> str:
    if state["name"] == "quadratic":
        return f"Quadratic({state['eigenvalues']}, rotation={race.ROTATION!r})"
    return f"{LANDSCAPES[state['name']].__name__}()"


def _argument(kept: Any, actual: Any) -> Any:
    """An entry of ``config`` as the constructor takes it: an object for a schedule, the name of an initializer, a pair."""
    if isinstance(actual, Schedule):
        return actual
    return tuple(kept) if isinstance(kept, list) else kept["name"] if isinstance(kept, dict) else kept


def script(runs: Sequence[Run], data: Mapping[str, Any]) -> str:
    """The runs up to now, as a program: the data, and one run after the other."""
    lines = ["import numpy as np", "import nncore as nn", "", *_data(runs[0].examples, data)]
    if any(segment.steps for run in runs for segment in [*run.segments, run.segment()]):
        lines += ["", *STEPS.splitlines()]
    for name, run in zip("AB", runs, strict=False):
        lines += ["", *([f"# run {name}"] if len(runs) > 1 else []), *_run(run)]
    return "\n".join(lines) + "\n"


def _run(run: Run) -> list[str]:
    segments = [*run.segments, run.segment()]
    state = segments[0].state
    lines = [*_model(run, state), *_trainer(run, state), f"batch_size = {_batch(run, state)}"]
    for before, segment in zip([None, *segments], segments, strict=False):
        if before is not None:
            lines += _changed(run, before.state, segment.state)
        lines += _steps(segment)
    return [*lines, "print(trainer.evaluate(X, y), trainer.evaluate(Xv, yv))"]


def _data(examples: datasets.Examples, data: Mapping[str, Any]) -> list[str]:
    kind, entry = data["kind"], datasets.DATASETS[data["kind"]]
    if kind == "own":
        form = ".reshape(-1).astype(np.int64)" if examples.classes else ".reshape(-1, 1).astype(np.float32)"
        lines = [f"P, y = np.asarray(X, np.float32), np.asarray(y){form}  # X and y are your data"]
    elif kind == "drawn":
        lines = [f"drawn = np.array({data['points']}, np.float32)", "P, y = drawn[:, :2], drawn[:, 2].astype(int)"]
    else:
        assert entry.make is not None
        given = ", ".join(f"{name}={value!r}" for name, value in entry.arguments(data).items())
        lines = [f"P, y = nn.data.{entry.make.__name__}({given})"]
        if kind == "digits":
            lines += [f"P, y = P[:{data['n']}], y[:{data['n']}]"]
    lines.append(f"train, validation = nn.data.train_validation_split(P, y, {data['split']}, seed={data['seed']})")
    if examples.features:
        columns = ", ".join(datasets.FEATURES[name].source for name in examples.features)
        lines += ["x1, x2 = P.T", f"X = np.column_stack([{columns}]).astype(np.float32)"]
    else:
        lines += ["X = P"]
    return [*lines, "Xv, yv = X[validation], y[validation]", "X, y = X[train], y[train]"]


def _model(run: Run, state: Mapping[str, Any]) -> list[str]:
    made = [*spec.hidden_layers(state), layers.Dense(run.examples.classes or 1)]
    return [
        "model = nn.Sequential(", "    [", *(f"        {source(layer)}," for layer in made), "    ],",
        f"    input_shape={run.examples.X.shape[1]}, seed={state['seed']},", ")",
    ]  # fmt: skip


def _trainer(run: Run, state: Mapping[str, Any]) -> list[str]:
    more = [f"{name}={source(make(state))}, " for name, make in (("regularizer", spec.regularizer), ("clip", spec.clip))
            if state[name] is not None]  # fmt: skip
    metrics = 'metrics=["accuracy"], ' if run.examples.classes else ""
    return [
        "trainer = nn.Trainer(",
        f"    model, {state['loss']!r}, {source(spec.optimizer(state))},",
        f"    {''.join(more)}{metrics}seed={state['seed']},",
        ")",
    ]


def _batch(run: Run, state: Mapping[str, Any]) -> int:
    return min(int(state["batch_size"]), len(run.examples.X))


def _changed(run: Run, before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Go on with other choices, as `Run.adopt` does."""
    lines = ["", "# changed", "epochs_done, memory = trainer.epochs_done, trainer.optimizer.state_dict()"]
    if not same_network(before, after):
        kept = "model.parameters[:], model.state[:] = old.parameters, old.state"
        lines += ["old = model", *_model(run, after), kept]
    lines += [*_trainer(run, after), "trainer.epochs_done = epochs_done"]
    if same_optimizer(before, after):
        lines.append("trainer.optimizer.load_state_dict(memory)")
    return [*lines, f"batch_size = {_batch(run, after)}"]


def _steps(segment: Segment) -> list[str]:
    lines = [f"trainer.fit(X, y, epochs={segment.epochs}, batch_size=batch_size, verbose=0)"] if segment.epochs else []
    return lines + ([f"steps({segment.steps})"] if segment.steps else [])
