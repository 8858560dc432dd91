"""What there is to choose from in the playground, read from the registries."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Iterable, Mapping
from typing import Any

from nncore import figures, initializers, layers, losses, optimizers, regularizers, schedules
from nncore._utils.fields import Choice, Count, Flag, Number
from nncore.optimizers import clipping
from nncore.optimizers.hyper import HyperParameter, Pair
from nncore.playground import datasets

__all__ = ["CLIPS", "LIMITS", "NORMS", "REGULARIZERS", "SCHEDULED", "TASKS", "catalog", "choice", "choices", "defaults"]

LIMITS = {"layers": 8, "units": 64, "examples": 5000, "runs": 2}
NORMS = ("batch_norm", "batch_renorm", "layer_norm", "rmsnorm")
REGULARIZERS = {"l2": regularizers.L2, "l1": regularizers.L1, "proximal_l1": regularizers.ProximalL1}
REGULARIZERS |= {"elastic_net": regularizers.ElasticNet}  # type: ignore[dict-item]  # they share a base
CLIPS = {
    "clip_global_norm": clipping.ClipGlobalNorm,
    "clip_norm": clipping.ClipNorm,
    "clip_value": clipping.ClipValue,
}
SCHEDULED = {  # the argument that is the learning rate
    "step_decay": "initial", "exponential": "initial", "harmonic": "a", "inverse_time": "initial", "inverse_power": "initial",
    "polynomial": "initial", "cosine": "initial", "cos_log": "initial", "cyclic": "initial", "warmup": "after",
    "one_cycle": "peak",
}  # fmt: skip
TASKS = {
    "classification": ("softmax_cross_entropy", "sigmoid_cross_entropy", "squared_error", "mean_squared_error", "hinge"),
    "regression": ("squared_error", "mean_squared_error", "mean_absolute_error", "huber"),
}
GREEK = {
    "lr": "η", "momentum": "μ", "beta1": "β₁", "beta2": "β₂", "beta": "β", "eps": "ε", "rho": "ρ", "alpha": "α",
    "weight_decay": "λ", "strength": "λ", "limit": "θ", "kappa": "κ", "phi": "φ", "delta": "δ", "gamma": "γ",
}  # fmt: skip
LEFT_OUT = {"per", "name", "three_phase", "initial_accumulator_value", "lr_placement"}
GIVEN: dict[str, Any] = {  # where the class has no default, or one that shows nothing in a minute
    "strength": 0.001, "limit": 1.0, "every": 500, "rate": 0.01, "gamma": 0.999, "steps": 2000, "peak": 0.1, "b": 100.0,
    "l1": 0.0, "l2": 0.0, "allow_mini_batches": True,
}  # fmt: skip
LEAST = {"steps": 10, "fraction": 0.05}
WIDEST = {"lr": 10.0, "eps": 1.0, "strength": 1.0, "limit": 100.0, "steps": 100_000, "every": 100_000, "weight_decay": 1.0}


def label(name: str) -> str:
    """``"softmax_cross_entropy"`` → ``"softmax cross entropy"``."""
    return name.replace("_", " ")


def _parameter(name: str, field: Any, default: Any) -> dict[str, Any] | None:
    """A field as the page shows it; None for one that is neither a number, a flag nor a choice."""
    default = GIVEN.get(name, None if default is inspect.Parameter.empty else default)
    entry = {"name": name, "label": GREEK.get(name, label(name)), "default": default}
    if isinstance(field, Flag):
        return {**entry, "kind": "flag", "default": bool(default)}
    if isinstance(field, Choice):
        return {**entry, "kind": "choice", "choices": list(field.choices)}
    if isinstance(field, Count):
        most = min(WIDEST.get(name, 1000), (field.below or 1001) - 1)
        return {**entry, "kind": "integer", "minimum": LEAST.get(name, field.least), "maximum": most, "scale": "log"}
    number = field.number if isinstance(field, HyperParameter) else field
    if not isinstance(number, Number) or not isinstance(default, (int, float)):
        return None
    return entry | _range(name, number, float(default))


def _range(name: str, number: Number, default: float) -> dict[str, Any]:
    low, high = max(number.least, number.above), min(number.below, number.most)
    if low >= 0 and high == 1:
        return {
            "kind": "fraction",
            "minimum": LEAST.get(name, 1e-4 if number.above == 0 else 0.0),
            "maximum": 0.9999,
            "scale": "linear",
        }
    widest = WIDEST.get(name, max(10 * abs(default), 1.0))
    least = 1e-10 if name == "eps" else 1e-5 * widest
    if low > 0:
        least = low * 1.001
    return {"kind": "number", "minimum": least, "maximum": min(widest, high), "scale": "log"}


def choice(cls: type, name: str, left_out: Iterable[str] = ()) -> dict[str, Any]:
    """A class, and those of its arguments that the page offers."""
    found = []
    for argument in list(inspect.signature(cls.__init__).parameters.values())[1:]:  # type: ignore[misc]
        if argument.name in {*LEFT_OUT, *left_out}:
            continue
        field = _field(cls, argument.name)
        if isinstance(field, Pair):
            pairs = zip(field.names, argument.default, strict=True)
            found += [_parameter(part, getattr(cls, part), default) for part, default in pairs]
        else:
            found.append(_parameter(argument.name, field, argument.default))
    return {"name": name, "label": _title(cls, name), "parameters": [entry for entry in found if entry]}


def _field(cls: type, argument: str) -> Any:
    """The field that checks an argument."""
    named = (value for base in cls.__mro__ for value in vars(base).values() if getattr(value, "argument", None) == argument)
    return getattr(cls, argument, None) or next(named, None)


def _title(cls: type, name: str) -> str:
    own = {"l1": "L1", "l2": "L2", "proximal_l1": "L1, proximal", "elastic_net": "L1 and L2"}
    return own.get(name) or (cls.__name__ if issubclass(cls, optimizers.Optimizer) else label(name))


def choices(classes: Mapping[str, type], left_out: Mapping[str, str] | None = None) -> list[dict[str, Any]]:
    return [choice(cls, name, [left_out[name]] if left_out else ()) for name, cls in classes.items()]


def plain(names: Iterable[str]) -> list[dict[str, Any]]:
    """Choices without arguments."""
    return [{"name": name, "label": label(name), "parameters": []} for name in names]


@functools.cache
def catalog() -> dict[str, Any]:
    """``Catalog`` of ``types.d.ts``."""
    from nncore.playground import race

    activations = [name for name in layers.ACTIVATIONS if name not in ("identity", "softmax")]
    by_name = {re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower(): color for name, color in figures.OPTIMIZER_COLORS.items()}
    return {
        "datasets": [
            {"name": d.name, "label": d.label, "task": d.task, "plane": d.plane} for d in datasets.DATASETS.values()
        ],
        "features": [{"name": name, "label": text} for name, (text, _) in datasets.FEATURES.items()],
        "activations": plain(["identity", *activations]),
        "norms": plain(NORMS),
        "initializers": plain(["default", *(name for name in initializers.INITIALIZERS if name != "uniform")]),
        "losses": {task: choices({name: losses.LOSSES[name] for name in names}) for task, names in TASKS.items()},
        "optimizers": choices(optimizers.OPTIMIZERS),
        "racers": race.racers(),
        "schedules": choices({name: schedules.SCHEDULES[name] for name in SCHEDULED}, SCHEDULED),
        "regularizers": choices(REGULARIZERS),
        "clips": choices(CLIPS),
        "landscapes": race.landscapes(),
        "limits": LIMITS,
        "colors": {name: by_name.get(name, figures.OPTIMIZER_COLORS.get(cls.__name__, "#4D4D4D"))
                   for name, cls in optimizers.OPTIMIZERS.items()} | by_name,
    }  # fmt: skip


def defaults(entry: Mapping[str, Any]) -> dict[str, Any]:
    """The choice with the default of each of its arguments."""
    return {"name": entry["name"], **{parameter["name"]: parameter["default"] for parameter in entry["parameters"]}}
