"""Hyper-parameters: numbers, or schedules of them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncore._messages import shown
from nncore._utils.each import Each
from nncore._utils.fields import Field, Number, Pair
from nncore.schedules import Schedule, as_schedule

__all__ = ["NAMES", "Fraction", "Hyper", "HyperParameter", "Pair"]

Hyper = float | Schedule
NAMES: set[str] = set()  # of all hyper-parameters: columns of a history that are not metrics


class HyperParameter(Field[Hyper, Hyper]):
    """A number in a range, or a schedule, whose values must be in it."""

    def __init__(self, least: float = 0.0, *, above: float = -math.inf, below: float = math.inf) -> None:
        super().__init__()
        self.number: Number = Number(least, above=above, below=below)

    def __set_name__(self, owner: type, name: str) -> None:
        super().__set_name__(owner, name)
        self.number.argument = name
        NAMES.add(name)

    def check(self, value: Any) -> Hyper:
        if isinstance(value, Each):
            return value.checked(self.check)
        return as_schedule(value, self.argument) if isinstance(value, (Schedule, dict)) else self.number.check(value)

    def check_values(self, values: NDArray[np.float64], schedule: Schedule) -> None:
        """Raise if a value that the schedule takes is out of range."""
        for end in (float(values.min()), float(values.max())) if values.size else ():
            try:
                self.number.check(end)
            except ValueError as error:
                raise ValueError(f"{error} from {shown(schedule)}") from None


class Fraction(HyperParameter):
    """A hyper-parameter in [0, 1)."""

    def __init__(self) -> None:
        super().__init__(below=1.0)
