"""The optimizers that race on a landscape: what there is to choose, and one made from a choice."""

from __future__ import annotations

import functools
from typing import Any

from nncore.optimizers import Optimizer
from nncore.optimizers.registry import OPTIMIZERS
from nncore.playground.parameters import choice, chosen, made
from nncore.second_order import OPTIMIZERS as SECOND_ORDER

__all__ = ["racer", "racers"]

CLASSES: dict[str, type[Optimizer]] = {**OPTIMIZERS, **SECOND_ORDER}
# Learning rates for functions of two variables: networks need other ones, which are the defaults.
RATES = {"sgd": 1e-3, "momentum": 1e-3, "nesterov": 1e-3, "adagrad": 0.3, "rmsprop": 0.02, "ftrl": 0.3, "lion": 0.02,
         "adam": 0.1, "lazy_adam": 0.1, "adamw": 0.1, "amsgrad": 0.1, "adamax": 0.1, "nadam": 0.1}  # fmt: skip
LEFT_OUT = ("allow_mini_batches",)  # means nothing on a landscape


@functools.cache
def racers() -> list[dict[str, Any]]:
    """Every optimizer that can minimize a function, with its arguments, as a catalog lists them."""
    rates = {name: {"lr": rate} for name, rate in RATES.items()}
    return [choice(cls, name, LEFT_OUT, rates.get(name, {})) for name, cls in CLASSES.items()]


def racer(given: Any) -> Optimizer:
    """The optimizer of a choice such as ``{"name": "adam", "lr": 0.1}``; a ValueError or TypeError if there is none.

    >>> racer({"name": "momentum", "lr": 0.1}).lr
    0.1
    """
    optimizer: Optimizer = made(CLASSES, chosen("racer", given, racers()))
    return optimizer
