"""What a sweep tries: the parameters of its runs."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nncore._messages import shown
from nncore._utils.arrays import several
from nncore._utils.fields import count

__all__ = ["Parameters", "checked", "parameters_of"]

Parameters = dict[str, Any]


def parameters_of(space: Any, runs: int | None, seed: int) -> list[Parameters]:
    """The parameters of each candidate.

    Parameters
    ----------
    space : mapping or list of mappings
        A mapping of names to lists is a grid: all combinations, the last name changes fastest. A name may have a distribution
        instead, an object with ``rvs(random_state=…)`` as those of ``scipy.stats``: then ``runs`` candidates are drawn, from
        lists with equal probability. A list holds the candidates themselves.
    runs : int, optional
        Number of candidates to draw; needed if there is a distribution. Of a grid that many are drawn without replacement.
    seed : int
        Of the draws: candidate i depends on (seed, i) alone, so that more runs begin with the same candidates.

    Examples
    --------
    >>> parameters_of({"lr": [0.1, 0.2], "units": [8]}, None, 0)
    [{'lr': 0.1, 'units': 8}, {'lr': 0.2, 'units': 8}]
    """
    runs = None if runs is None else count("runs", runs)
    if not isinstance(space, Mapping):
        candidates = _given(space)
        if runs is not None:
            raise ValueError(f"runs must be left out where space is a list of candidates, got {runs}")
        return candidates
    axes = {_name(name): _axis(name, values) for name, values in space.items()}
    if any(hasattr(axis, "rvs") for axis in axes.values()):
        if runs is None:
            raise ValueError("runs must be the number of candidates to draw, as space has a distribution, got None")
        return [_drawn(axes, np.random.default_rng([seed, number])) for number in range(runs)]
    grid = [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]
    if runs is None or runs >= len(grid):
        return grid
    return [grid[number] for number in np.random.default_rng(seed).permutation(len(grid))[:runs]]


def _given(space: Any) -> list[Parameters]:
    if not several(space):
        raise TypeError(f"space must be a mapping of names to values, or a list of mappings, got {shown(space)}")
    candidates = [checked(given) for given in space]
    if not candidates:
        raise ValueError("space must have at least one candidate, got none")
    return candidates


def checked(parameters: Any) -> Parameters:
    """The parameters of one candidate, checked."""
    if not isinstance(parameters, Mapping):
        raise TypeError(f"space must be a list of mappings of names to values, got {shown(parameters)} in it")
    return {_name(name): value for name, value in parameters.items()}


def _name(name: Any) -> str:
    if not isinstance(name, str) or name in ("seed", "fold"):
        raise ValueError(f"space must have names of parameters other than seed and fold, got {shown(name)}")
    return name


def _axis(name: str, values: Any) -> Any:
    if hasattr(values, "rvs"):
        return values
    if isinstance(values, (str, bytes, Mapping)) or not isinstance(values, (Sequence, np.ndarray, range)):
        raise TypeError(f"{name} of space must be a list of values or a distribution with rvs, got {shown(values)}")
    values = values.tolist() if isinstance(values, np.ndarray) else list(values)
    if not values:
        raise ValueError(f"{name} of space must have at least one value, got none")
    return values


def _drawn(axes: Mapping[str, Any], rng: np.random.Generator) -> Parameters:
    return {name: _one(axis, rng) for name, axis in axes.items()}


def _one(axis: Any, rng: np.random.Generator) -> Any:
    if not hasattr(axis, "rvs"):
        return axis[int(rng.integers(len(axis)))]
    value = axis.rvs(random_state=rng)
    return value.item() if isinstance(value, (np.generic, np.ndarray)) and np.ndim(value) == 0 else value
