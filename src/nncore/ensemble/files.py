"""Files of ensembles: one description of each architecture, and the numbers of all its members."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nncore._messages import clipped, shown
from nncore._utils import archive
from nncore._utils.archive import DAMAGE
from nncore._utils.arrays import Array
from nncore._utils.fields import count
from nncore._utils.files import Source, Target, named, write_to
from nncore.ensemble.groups import Group
from nncore.model import Sequential, files

__all__ = ["described_groups", "load_groups", "read_groups", "save_groups"]


def save_groups(groups: Sequence[Group], lock: Any, path: Target) -> None:
    """Write the groups of an ensemble."""
    with lock:
        arrays, about = described_groups(groups, path)
        data = archive.pack(path, arrays, {"kind": "ensemble", "groups": about})
    write_to(path, data)


def described_groups(groups: Sequence[Group], path: Target) -> tuple[dict[str, Array], list[dict[str, Any]]]:
    """Their arrays and descriptions. ValueError if a number is not finite."""
    arrays: dict[str, Array] = {}
    about = []
    for place, group in enumerate(groups):
        for row in range(len(group.numbers)):
            numbers = {"parameters": group.parameters[row], "state": group.state[row]}
            files.check_arrays(group.template, numbers, named(path))
        own = files.all_arrays(group.template) | {"parameters": group.parameters, "state": group.state}
        arrays |= {f"{place}.{name}": array for name, array in own.items()}
        config = {"model": files.model_config(group.template), **files.column_names_of(group.template)}
        about.append({**config, "numbers": group.numbers, "seeds": group.seeds, "own": group.own_values})
    return arrays, about


def load_groups(path: Source, custom_layers: Mapping[str, files.Custom] | None) -> list[Group]:
    """Read them."""
    return read_groups(path, files.checked_custom(custom_layers), "ensemble", "ensemble_trainer")[2]


def read_groups(
    path: Source, custom: Mapping[str, files.Custom], *kinds: str
) -> tuple[dict[str, Array], dict[str, Any], list[Group]]:
    """The arrays, the description and the groups of a file of one of these kinds."""
    arrays, about = files.read(path, custom)
    if about.get("kind") not in kinds:
        raise ValueError(f"{named(path)} must be a file of kind {kinds[0]}, got one of kind {shown(about.get('kind'))}")
    groups = []
    try:
        of_group = archive.by_place(arrays)
        for place, own in enumerate(about["groups"]):
            groups.append(_group(own, of_group.get(str(place), {}), custom, named(path)))
        numbers = sorted(number for group in groups for number in group.numbers)
        if not numbers or numbers != list(range(len(numbers))):
            raise ValueError(f"its members must have the numbers from 0 on, got {shown(numbers)}")
    except DAMAGE as error:
        raise ValueError(f"{named(path)} holds no ensemble that can be built: {clipped(error)}") from error
    return arrays, about, groups


def _group(about: Mapping[str, Any], arrays: Mapping[str, Array], custom: Mapping[str, files.Custom], path: str) -> Group:
    parameters, state = arrays["parameters"], arrays["state"]
    numbers = [count("numbers", number, 0) for number in about["numbers"]]
    seeds = [count("seeds", seed, 0) for seed in about["seeds"]]
    if not parameters.ndim == state.ndim == 2 or not len(numbers) == len(seeds) == len(parameters) == len(state) > 0:
        raise ValueError(f"parameters and state must have a row for each of {len(numbers)} members, got {parameters.shape}")
    template = files.build(about, {**arrays, "parameters": parameters[0], "state": state[0]}, custom, path, Sequential)
    group = Group(template, numbers, seeds)
    for row in range(len(numbers)):
        own = {"parameters": parameters[row], "state": state[row]}
        files.check_arrays(template, own, path)
        group.parameters[row], group.state[row] = own["parameters"], own["state"]
        group.take_own(row, about["own"][row])
    return group
