"""Arguments of classes as the page offers them, and objects made from what was chosen."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from nncore import optimizers
from nncore._messages import shown
from nncore._utils import fields
from nncore._utils.fields import Choice, Count, Flag, Number
from nncore.optimizers.hyper import HyperParameter, Pair

__all__ = ["choice", "chosen", "defaults", "filled", "made", "plain"]

Entry = dict[str, Any]

GREEK = {
    "lr": "η", "momentum": "μ", "beta1": "β₁", "beta2": "β₂", "beta": "β", "eps": "ε", "rho": "ρ", "alpha": "α",
    "weight_decay": "λ", "strength": "λ", "limit": "θ", "kappa": "κ", "phi": "φ", "delta": "δ", "gamma": "γ",
    "eta_minus": "η₋", "eta_plus": "η₊", "damping": "λ", "l1": "λ₁", "l2": "λ₂",
}  # fmt: skip
LEFT_OUT = {"per", "name", "three_phase", "initial_accumulator_value", "lr_placement"}
GIVEN: dict[str, Any] = {  # where the class has no default, or one that shows nothing in a minute
    "strength": 0.001, "limit": 1.0, "every": 500, "rate": 0.01, "gamma": 0.999, "steps": 2000, "peak": 0.1, "b": 100.0,
    "l1": 0.0, "l2": 0.0, "allow_mini_batches": True,
}  # fmt: skip
LEAST = {"steps": 10, "fraction": 0.05}
TINY = 1e-4  # a smaller default needs a logarithmic scale
WIDEST = {"lr": 10.0, "eps": 1.0, "strength": 1.0, "limit": 100.0, "steps": 100_000, "every": 100_000, "weight_decay": 1.0}


def label(name: str) -> str:
    """``"softmax_cross_entropy"`` → ``"softmax cross entropy"``."""
    return name.replace("_", " ")


def _parameter(name: str, field: Any, default: Any) -> Entry | None:
    """A field as the page shows it; None for one that is neither a number, a flag nor a choice."""
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


def _range(name: str, number: Number, default: float) -> Entry:
    """Kind and range: fractions on a linear scale, tiny numbers and those without an upper limit on a logarithmic one."""
    low, high = max(number.least, number.above), min(number.below, number.most)
    if low >= 0 and high == 1 and (default >= TINY or default == 0):
        least = LEAST.get(name, 1e-4 if number.above == 0 else 0.0)
        return {"kind": "fraction", "minimum": least, "maximum": 0.9999, "scale": "linear"}
    widest = WIDEST.get(name, max(10 * abs(default), 1.0))
    least = low * 1.001 if low > 0 else 1e-5 * widest
    if low <= 0 < default < 10 * least:
        least = default / 1000
    return {"kind": "number", "minimum": least, "maximum": min(widest, high), "scale": "log"}


def choice(cls: type, name: str, left_out: Iterable[str] = (), given: Mapping[str, Any] = GIVEN) -> Entry:
    """A class, and those of its arguments that the page offers; ``given`` are defaults instead of its own."""
    found = []
    for argument in list(inspect.signature(cls.__init__).parameters.values())[1:]:  # type: ignore[misc]
        if argument.name in {*LEFT_OUT, *left_out}:
            continue
        field = _field(cls, argument.name)
        if isinstance(field, Pair):
            pairs = zip(field.names, argument.default, strict=True)
            found += [_parameter(part, getattr(cls, part), default) for part, default in pairs]
        else:
            found.append(_parameter(argument.name, field, given.get(argument.name, argument.default)))
    return {"name": name, "label": _title(cls, name), "parameters": [entry for entry in found if entry]}


def _field(cls: type, argument: str) -> Any:
    """The field that checks an argument."""
    named = (value for base in cls.__mro__ for value in vars(base).values() if getattr(value, "argument", None) == argument)
    return getattr(cls, argument, None) or next(named, None)


def _title(cls: type, name: str) -> str:
    own = {"l1": "L1", "l2": "L2", "proximal_l1": "L1, proximal", "elastic_net": "L1 and L2"}
    return own.get(name) or (cls.__name__ if issubclass(cls, optimizers.Optimizer) else label(name))


def plain(names: Iterable[str]) -> list[Entry]:
    """Choices without arguments."""
    return [{"name": name, "label": label(name), "parameters": []} for name in names]


def defaults(entry: Mapping[str, Any]) -> dict[str, Any]:
    """The choice with the default of each of its arguments."""
    return {"name": entry["name"], **{parameter["name"]: parameter["default"] for parameter in entry["parameters"]}}


def filled(name: str, given: Any, defaults: Mapping[str, Any]) -> dict[str, Any]:
    """An object of the page, with defaults for the fields that it lacks; a ValueError or TypeError if it is not one."""
    if not isinstance(given, Mapping):
        raise TypeError(f"{name} must be an object with {', '.join(defaults)}, got {shown(given)}")
    if unknown := [key for key in given if key not in defaults]:
        raise ValueError(f"{name} has no field {shown(unknown[0])}: it has {', '.join(defaults)}")
    return copy.deepcopy({**defaults, **given})


def chosen(kind: str, given: Any, entries: Sequence[Entry]) -> dict[str, Any]:
    """One of the choices, with all of its arguments."""
    by_name = {entry["name"]: entry for entry in entries}
    if not isinstance(given, Mapping) or not isinstance(given.get("name"), str):
        raise TypeError(f"{kind} must be an object with a name, got {shown(given)}")
    fields.choice(kind, given["name"], tuple(by_name))
    return filled(kind, given, defaults(by_name[given["name"]]))


def made(classes: Mapping[str, Any], given: Mapping[str, Any], **more: Any) -> Any:
    """The object that a choice stands for, with these arguments besides or instead."""
    arguments = {**given, **more}
    cls = classes[arguments.pop("name")]
    for pair in (name for name in ("betas", "etas", "step_sizes") if hasattr(cls, name)):
        arguments[pair] = tuple(arguments.pop(part) for part in getattr(cls, pair).names)
    return cls(**arguments)
