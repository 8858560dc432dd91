"""Random constructor arguments, from the checks that a class makes of them.

What a field tells (a flag, a choice, a range around the default) is drawn from it; `DRAWS` has the rest by name. An argument
that neither knows raises LookupError, so a new class that needs an entry here says so in the tests.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
from helpers.configuration import attribute, default, named

import nncore as nn
from nncore._utils import fields
from nncore.initializers import INITIALIZERS
from nncore.optimizers.hyper import HyperParameter
from nncore.schedules import SCHEDULES

__all__ = ["construct", "schedule", "size"]

Draw = Callable[[np.random.Generator], Any]

SMALL = (1, 1, 2, 3, 4, 5, 7, 8, 9, 12, 15, 16, 17, 24, 31, 32, 33, 40)  # at the edges of vectors
GIVEN = 0.4  # how often an argument with a default is given
TRIES = 5
SCHEDULED = 0.15  # how often a hyper-parameter is a schedule


def size(rng: np.random.Generator) -> int:
    """A width from 1 to 40."""
    return int(rng.choice(SMALL))


def between(low: float, high: float) -> Draw:
    return lambda rng: float(rng.uniform(low, high))


def powers(low: float, high: float) -> Draw:
    """Numbers whose logarithm is uniform."""
    return lambda rng: float(np.exp(rng.uniform(np.log(low), np.log(high))))


def count(low: int, high: int) -> Draw:
    return lambda rng: int(rng.integers(low, high + 1))


def pair(first: Draw, second: Draw) -> Draw:
    return lambda rng: (first(rng), second(rng))


def initializer(rng: np.random.Generator) -> str:
    return str(rng.choice(sorted(set(INITIALIZERS) - {"zeros", "constant"})))  # equal weights would stay equal


def cell(rng: np.random.Generator) -> nn.Layer:
    """A recurrent layer."""
    return construct(rng, (nn.SimpleRNN, nn.GRU)[rng.integers(2)])


DRAWS: dict[str, Draw | None] = {  # "argument", or "Class.argument"; None: leave the default
    "name": None, "tol": None, "bias_init": None, "nan": None, "max_cg": None, "bounds": None, "constraints": None,
    "options": None, "seed": count(0, 9), "initial_accumulator_value": between(0, 0.2),
    "units": size, "BatchNorm.units": lambda rng: sorted({0, int(rng.integers(3))}),
    "BatchRenorm.units": lambda rng: sorted({0, int(rng.integers(3))}),
    "rate": between(0, 0.6), "zoneout": between(0, 0.6), "stddev": between(0, 0.5), "sigma": between(0, 0.5),
    "c": between(0, 0.3), "lam": between(0, 0.3), "strength": powers(1e-4, 0.1), "l1": powers(1e-4, 0.1),
    "l2": powers(1e-4, 0.1), "limit": powers(0.1, 3), "minimum": between(0.1, 0.5), "maximum": between(0.5, 2),
    "groups": count(1, 4), "columns": lambda rng: rng.integers(-3, 3, rng.integers(1, 9)).tolist(),
    "layer": lambda rng: nn.Dense(size(rng), bias=bool(rng.integers(2))), "Bidirectional.layer": cell, "stateful": None,
    "Masking.value": None,
    "weight_init": initializer, "recurrent_init": initializer, "momentum": between(0, 0.95),
    "negative_slope": between(-0.2, 0.6),
    "BatchNorm.momentum": lambda rng: None if rng.random() < 0.3 else float(rng.uniform(0.01, 1)),
    "BatchRenorm.momentum": lambda rng: None if rng.random() < 0.3 else float(rng.uniform(0.01, 1)),
    "betas": pair(between(0, 0.95), between(0.8, 0.9999)), "etas": pair(between(0.3, 0.9), between(1.05, 1.5)),
    "step_sizes": pair(powers(1e-6, 1e-4), powers(0.1, 50)), "q": between(0.1, 0.9), "label_smoothing": between(0, 0.5),
    "r_max": between(1, 4), "d_max": between(0, 6), "weight_decay": powers(1e-4, 0.1), "decay": between(0.3, 0.999),
    "start": count(0, 9), "lr": powers(1e-4, 0.05), "eps": powers(1e-8, 1e-3), "smooth_clip": between(1, 4),
    "feature_range": pair(between(-2, 0), between(0.5, 2)), "method": lambda rng: str(rng.choice(["L-BFGS-B", "CG", "BFGS"])),
    "degrees": between(0, 30), "factors": pair(between(0.7, 1), between(1, 1.4)), "pixels": count(0, 2), "std": between(0, 0.2),
    "Occlude.size": count(1, 1), "min_delta": between(0, 0.1), "min_lr": powers(1e-6, 1e-3),
}  # fmt: skip


def construct(rng: np.random.Generator, cls: type, **given: Any) -> Any:
    """An object of the class, with random arguments beside those given; drawn again where they exclude each other."""
    for _ in range(TRIES):
        with contextlib.suppress(ValueError):
            return cls(**(arguments(rng, cls, given) | given))
    return cls(**(arguments(rng, cls, given) | given))


def arguments(rng: np.random.Generator, cls: type, given: Any = ()) -> dict[str, Any]:
    drawn = {}
    for name in named(cls):
        before = default(cls, name)
        if name not in given and (before is inspect.Parameter.empty or rng.random() < GIVEN):
            draw = drawing(cls, name)
            if draw is not None:
                drawn[name] = draw(rng)
    return drawn


def drawing(cls: type, name: str) -> Draw | None:
    """How to draw an argument; None: not at all."""
    field = getattr(cls, attribute(cls, name), None)
    field = field.field if isinstance(field, fields.Maybe) else field
    plain = _listed(cls, name) if _is_listed(cls, name) else _of_field(cls, name, field)
    if plain is None or not isinstance(field, HyperParameter):
        return plain
    return lambda rng: schedule(rng, plain(rng)) if rng.random() < SCHEDULED else plain(rng)


def _is_listed(cls: type, name: str) -> bool:
    return f"{cls.__name__}.{name}" in DRAWS or name in DRAWS


def _listed(cls: type, name: str) -> Draw | None:
    return DRAWS.get(f"{cls.__name__}.{name}", DRAWS.get(name))


def _of_field(cls: type, name: str, field: Any) -> Draw:
    """A flag, a choice, or a number near the default that the field takes."""
    near = default(cls, name)
    if isinstance(field, fields.Flag):
        return lambda rng: bool(rng.integers(2))
    if isinstance(field, fields.Choice):
        return lambda rng: str(rng.choice(field.choices))
    if isinstance(near, int):
        return lambda rng: field.check(max(int(near * 2 ** rng.uniform(-1, 1)), 1))
    if isinstance(near, float) and near:
        number = getattr(field, "number", field)
        least, most = max(number.least, number.above, -1e30), min(number.most, number.below, 1e30)
        return lambda rng: float(np.clip(near * 2 ** rng.uniform(-1, 1), least + 1e-12, most - 1e-12))
    raise LookupError(f"no way to draw {cls.__name__}({name}=...): it needs an entry in DRAWS of {__name__}")


# ---- schedules: their values lie between 0 and a given one

PARTS: dict[str, Callable[[np.random.Generator, float], Any]] = {
    **dict.fromkeys(("value", "initial", "peak", "after", "a"), lambda rng, v: v),
    **dict.fromkeys(("final", "start"), lambda rng, v: v * float(rng.uniform(0, 1))),
    **dict.fromkeys(("factor", "gamma", "shrink"), lambda rng, v: float(rng.uniform(0.5, 0.99))),
    **dict.fromkeys(("steps", "every"), lambda rng, v: int(rng.integers(2, 30))),
    **dict.fromkeys(("growth", "cycles"), lambda rng, v: int(rng.integers(1, 4))),
    "boundaries": lambda rng, v: [2, 5], "levels": lambda rng, v: [v, v / 2, v / 3],
    "rate": lambda rng, v: float(rng.uniform(0, 1)),
    "power": lambda rng, v: float(rng.uniform(0.2, 3)), "b": lambda rng, v: float(rng.uniform(1, 5)),
    "per": lambda rng, v: str(rng.choice(["step", "epoch"])), "restarts": lambda rng, v: True,
    "fraction": lambda rng, v: float(rng.uniform(0.2, 0.4)), "three_phase": lambda rng, v: bool(rng.integers(2)),
}  # fmt: skip


def schedule(rng: np.random.Generator, value: float) -> nn.schedules.Schedule:
    """Any schedule, of a number that is at most the value."""
    cls = SCHEDULES[str(rng.choice(sorted(SCHEDULES)))]
    given = {name: PARTS[name](rng, value) for name in named(cls)}
    return cls(**given)
