"""Parameter arrays with learning rates and weight decays of their own."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nncore._messages import shown
from nncore._utils.fields import number
from nncore.layers.array_names import check_names, named_arrays
from nncore.optimizers import GradientOptimizer, Optimizer

__all__ = ["ArrayGroups", "array_groups", "checked_factors"]

HYPER = {"lr_factors": "lr", "decay_factors": "weight_decay"}  # what the factors multiply


class ArrayGroups(NamedTuple):
    """The parameter arrays by the factors of their hyper-parameters.

    Attributes
    ----------
    factors : tuple of tuples (name of a hyper-parameter, factor)
        Of each group. The first has none: its values are those that the history reports.
    numbers : tuple of int
        The group of each parameter array, in the order of θ.
    ends : tuple of int
        Where in θ each parameter array ends.
    """

    factors: tuple[tuple[tuple[str, float], ...], ...]
    numbers: tuple[int, ...]
    ends: tuple[int, ...]

    def of_tiles(self, tiles: NDArray[np.int64]) -> NDArray[np.int64]:
        """The group of each tile (offset, …)."""
        return np.array(self.numbers)[np.searchsorted(self.ends, tiles[:, 0], side="right")]

    def of_parameters(self, name: str) -> NDArray[np.float64]:
        """The factor of this hyper-parameter for each number of θ, (n,)."""
        factors = np.array([dict(own).get(name, 1.0) for own in self.factors])
        return np.repeat(factors[list(self.numbers)], np.diff(self.ends, prepend=0))

    def frozen(self, tiles: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether each tile (offset, …) belongs to an array whose learning rate has the factor 0."""
        return np.array([dict(own).get("lr") == 0 for own in self.factors])[self.of_tiles(tiles)]

    def moving(self, table: NDArray[np.int64]) -> NDArray[np.int64]:
        """A tile table for ops that must leave frozen arrays alone: their tiles have no rows."""
        if not (frozen := self.frozen(table)).any():
            return table
        table = table.copy()
        table[frozen, 1] = 0
        return table

    def stretches(self) -> NDArray[np.int64]:
        """θ in as few tiles (offset, 1, size, size) as there are stretches of one group."""
        last = [n for n in range(len(self.numbers)) if self.numbers[n : n + 1] != self.numbers[n + 1 : n + 2]]
        ends = np.array([self.ends[n] for n in last], dtype=np.int64)
        starts = np.concatenate(([0], ends[:-1]))
        return np.column_stack((starts, np.ones_like(starts), ends - starts, ends - starts))


def checked_factors(argument: str, factors: Any, model: Any, optimizer: Optimizer) -> dict[str, float]:
    """The factors by names of layers and arrays."""
    if factors is None:
        return {}
    if not isinstance(factors, Mapping):
        raise TypeError(f"{argument} must be a mapping of names of layers and arrays to factors, got {shown(factors)}")
    check_names(argument, factors, model, weights_only=False)
    checked = {str(name): number(f"{argument}[{shown(name)}]", value, 0) for name, value in factors.items()}
    name = HYPER[argument]
    if checked and not (isinstance(optimizer, GradientOptimizer) and name in optimizer.hyperparameters):
        raise ValueError(f"{argument} needs an optimizer that takes gradient steps with {name}, got {shown(optimizer)}")
    return checked


def check_factors(optimizer: GradientOptimizer, groups: ArrayGroups) -> None:
    """Raise if a user's optimizer has coefficients that do not depend on a factor of its hyper-parameters."""
    values = {} if optimizer._own else optimizer.hyper_values(1)
    for name, factor in dict.fromkeys(each for own in groups.factors for each in own):
        if name not in HYPER.values() or not values.get(name, 0) or (name, factor) == ("lr", 0):  # whose tiles are left out
            continue
        if np.array_equal(optimizer.checked_coefficients(1), optimizer.scaled_coefficients({name: factor}, 1)):
            raise ValueError(
                f"{type(optimizer).__name__}.coefficients must take {name} from hyper_values, as arrays have factors of it, "
                f"got the same numbers with the factor {factor:g}"
            )


def array_groups(
    model: Any, optimizer: Optimizer, lr_factors: Mapping[str, float], decay_factors: Mapping[str, float]
) -> ArrayGroups:
    """Group the arrays of a model. Decoupled decay acts on weights alone, unless `decay_factors` name other arrays."""
    decays = HYPER["decay_factors"] in optimizer.hyperparameters
    groups: dict[tuple[tuple[str, float], ...], int] = {(): 0}
    numbers, ends = [], []
    for keys, parameter, _ in named_arrays(model, weights_only=False):
        lr, decay = ([factors[key] for key in keys if key in factors] for factors in (lr_factors, decay_factors))
        both = {"lr": math.prod(lr), "weight_decay": math.prod(decay) if decay else float(parameter.regularized)}
        if both["lr"] == 0 and "momentum" in optimizer.hyperparameters:
            both["momentum"] = 0.0  # of Nesterov's point ahead, where an array that does not move stays too
        own = tuple((name, factor) for name, factor in both.items() if factor != 1 and (decays or name != "weight_decay"))
        numbers.append(groups.setdefault(own, len(groups)))
        ends.append(parameter.offset + parameter.size)
    return ArrayGroups(tuple(groups), tuple(numbers), tuple(ends))
