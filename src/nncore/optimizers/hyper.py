"""Hyper-parameters: the values they may have, and pairs of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from nncore.schedules import Schedule, as_schedule, number

Hyper = float | Schedule

# The values a hyper-parameter may have: at least, below, and whether the first is allowed itself.
NON_NEGATIVE = (0.0, math.inf, True)
FRACTION = (0.0, 1.0, True)
RANGES: dict[str, tuple[float, float, bool]] = {
    "lr": NON_NEGATIVE,
    "eps": NON_NEGATIVE,
    "weight_decay": NON_NEGATIVE,
    "momentum_decay": NON_NEGATIVE,
    "kappa": NON_NEGATIVE,
    "damping": NON_NEGATIVE,
    "momentum": FRACTION,
    "alpha": FRACTION,
    "rho": FRACTION,
    "beta1": FRACTION,
    "beta2": FRACTION,
    "phi": FRACTION,
    "eta_minus": (0.0, 1.0, False),
    "eta_plus": (1.0, math.inf, False),
    "step_min": NON_NEGATIVE,
    "step_max": (0.0, math.inf, False),
    "decay": FRACTION,
    "eta": NON_NEGATIVE,
    "gamma": NON_NEGATIVE,
}


def hyper(name: str, value: Any) -> Hyper:
    """`value` as the hyper-parameter `name`: a number in its range or a schedule."""
    if isinstance(value, (Schedule, dict)):
        return as_schedule(value)
    return in_range(name, number(name, value))


def in_range(name: str, value: float, source: str = "") -> float:
    """`value`, if the hyper-parameter `name` may have it; `source` ends the message if not."""
    least, bound, closed = RANGES[name]
    if least < value < bound or (closed and value == least):
        return value
    raise ValueError(f"{name}: expected a number in {'(['[closed]}{least:g}, {bound:g}), got {value!r}{source}")


def choice(name: str, value: Any, choices: Sequence[str]) -> str:
    """`value`, if it is one of `choices`."""
    if value not in choices:
        raise ValueError(f"{name}: expected one of {', '.join(map(repr, choices))}, got {value!r}")
    return str(value)


class Pair:
    """Two hyper-parameters given as one argument."""

    def __init__(self, first: str, second: str) -> None:
        self.parts = (first, second)

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self if instance is None else tuple(getattr(instance, part) for part in self.parts)

    def __set__(self, instance: Any, value: Any) -> None:
        if not isinstance(value, (tuple, list)) or len(value) != 2:
            raise ValueError(f"{self.name}: expected a pair, got {value!r}")
        for part, element in zip(self.parts, value, strict=True):
            setattr(instance, part, element)
