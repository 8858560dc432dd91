"""The optimizers that race on a landscape: what there is to choose, and one made from a choice."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from nncore._utils.fields import Choice, Count, Field, Flag, Number
from nncore.optimizers import Optimizer
from nncore.optimizers.hyper import Fraction, HyperParameter
from nncore.optimizers.registry import OPTIMIZERS
from nncore.playground.asked import name_of
from nncore.second_order import OPTIMIZERS as SECOND_ORDER

__all__ = ["racer", "racers"]

CLASSES: dict[str, type[Optimizer]] = {**OPTIMIZERS, **SECOND_ORDER}
# Learning rates for functions of two variables: networks need other ones, which are the defaults.
RATES = {"sgd": 1e-3, "momentum": 1e-3, "nesterov": 1e-3, "adagrad": 0.3, "rmsprop": 0.02, "ftrl": 0.3, "lion": 0.02,
         "adam": 0.1, "lazy_adam": 0.1, "adamw": 0.1, "amsgrad": 0.1, "adamax": 0.1, "nadam": 0.1}  # fmt: skip
LABELS = {"lr": "η", "momentum": "μ", "beta1": "β₁", "beta2": "β₂", "beta": "β", "eps": "ε", "alpha": "α", "rho": "ρ",
          "weight_decay": "λ", "l1": "λ₁", "l2": "λ₂", "kappa": "κ", "phi": "φ", "eta_minus": "η₋", "eta_plus": "η₊",
          "damping": "λ"}  # fmt: skip
LEFT_OUT = {"allow_mini_batches"}  # means nothing on a landscape


def racers() -> list[dict[str, Any]]:
    """Every optimizer that can minimize a function, with its parameters, as a catalog lists them."""
    return [{"name": name, "label": cls.__name__, "parameters": _parameters(name)} for name, cls in CLASSES.items()]


def racer(named: Any) -> Optimizer:
    """The optimizer of a choice such as ``{"name": "adam", "lr": 0.1}``.

    >>> racer({"name": "momentum", "lr": 0.1}).lr
    0.1
    """
    if not isinstance(named, Mapping):
        raise ValueError(f"a racer must be an optimizer with its name and numbers, got {named!r}")
    name = name_of(named, "name", CLASSES)
    given = {key: value for key, value in named.items() if key != "name"}
    if unknown := set(given) - set(_fields(CLASSES[name])):
        raise ValueError(f"{CLASSES[name].__name__} has no parameter {', '.join(sorted(map(str, unknown)))}")
    optimizer = CLASSES[name]()
    if name in RATES:
        optimizer.lr = RATES[name]
    try:
        optimizer.configure(given)
    except TypeError as error:
        raise ValueError(str(error)) from None
    return optimizer


def _fields(cls: type[Optimizer]) -> dict[str, Field[Any, Any]]:
    """The arguments of a class that a page can show: numbers, flags and choices."""
    kinds = (Number, HyperParameter, Count, Flag, Choice)
    found = {name: field for base in reversed(cls.__mro__) for name, field in vars(base).items() if isinstance(field, kinds)}
    return {name: field for name, field in found.items() if name not in LEFT_OUT}


def _parameters(name: str) -> list[dict[str, Any]]:
    optimizer = racer({"name": name})
    return [
        {
            "name": key,
            "label": LABELS.get(key, key.replace("_", " ")),
            "default": getattr(optimizer, key),
            **_range(field, optimizer),
        }
        for key, field in _fields(CLASSES[name]).items()
    ]


def _range(field: Field[Any, Any], optimizer: Optimizer) -> dict[str, Any]:
    """Kind and range of a parameter; numbers without an upper limit lie on a logarithmic scale around their default."""
    if isinstance(field, Flag):
        return {"kind": "flag"}
    if isinstance(field, Choice):
        return {"kind": "choice", "choices": list(field.choices)}
    if isinstance(field, Count):
        return {"kind": "integer", "minimum": field.least, "maximum": 100, "scale": "linear"}
    if isinstance(field, Fraction):
        return {"kind": "fraction", "minimum": 0.0, "maximum": 0.9999, "scale": "linear"}
    limits = field.number if isinstance(field, HyperParameter) else field
    assert isinstance(limits, Number)
    middle = abs(getattr(optimizer, field.name))
    if not middle:
        return {"kind": "number", "minimum": 0.0, "maximum": 1.0, "scale": "linear"}
    low, high = max(limits.least, limits.above, middle / 1e3), min(limits.most, limits.below, middle * 1e3)
    return {"kind": "number", "minimum": low, "maximum": high if math.isfinite(high) else middle * 1e3, "scale": "log"}
