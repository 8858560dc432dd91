"""The arrays of a file by the layers that they belong to, before any of them is read."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import numpy as np

from nncore._messages import shown
from nncore._utils.arrays import Array, check_masks

__all__ = ["Entry", "Module", "Told", "checked_array", "grouped", "of_bfloat16"]

Told = Literal["by place", "by name", "by class and number"]  # what tells which layer a module of a file is


class Entry(NamedTuple):
    """An array of a file: its shape, and a function that reads it."""

    shape: tuple[int, ...]
    read: Callable[[], Array]


class Module(NamedTuple):
    """A layer of a file; the numbers in ``order`` tell which of two comes first."""

    path: str
    order: str
    arrays: dict[str, Entry]

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {name: entry.shape for name, entry in self.arrays.items()}


def grouped(entries: Mapping[str, Entry]) -> list[Module]:
    """Modules from arrays with names such as ``net.0.weight`` or ``model/dense/kernel``, in the order of their first ones."""
    modules: dict[str, dict[str, Entry]] = {}
    for key, entry in entries.items():
        path, name = _split(key)
        if name != "seed_generator_state":  # of Keras's random layers
            modules.setdefault(path, {})[name] = entry
    return [Module(path, path, arrays) for path, arrays in _joined(modules).items()]


def _joined(modules: Mapping[str, dict[str, Entry]]) -> dict[str, dict[str, Entry]]:
    """Both directions as one module where a folder has nothing else, as Keras's ``bidirectional/forward_gru/gru_cell``."""
    paths, result = sorted(modules), dict[str, dict[str, Entry]]()
    for path, arrays in modules.items():
        folder, direction = _direction(path)
        first = bisect_left(paths, f"{folder}/")
        inside = [_direction(other) for other in paths[first : first + 3] if other.startswith(f"{folder}/")]
        if direction and inside == [(folder, "backward"), (folder, "forward")]:
            result.setdefault(folder, {}).update({f"{direction}_{name}": entry for name, entry in arrays.items()})
        else:
            result[path] = arrays
    return result


def _direction(path: str) -> tuple[str, str]:
    """The folder of a direction, and which one it is; nothing for other modules."""
    part = re.fullmatch(r"(.+)/(forward|backward)_[^/]+/[^/]+_cell", path)
    return (part[1], part[2]) if part else ("", "")


def _split(key: str) -> tuple[str, str]:
    """The module and the name of an array, which for PyTorch's weight normalization and recurrent layers is part of a key."""
    path, _, name = key.rpartition("/" if "/" in key else ".")
    path = path.removesuffix("parametrizations.weight").removesuffix(".")
    if layer := re.fullmatch(r"((?:weight|bias)_(?:ih|hh))_(l\d+)(_reverse)?", name):
        return f"{path}.{layer[2]}".removeprefix("."), layer[1] + (layer[3] or "")
    return path, {"weight_g": "original0", "weight_v": "original1"}.get(name, name)


def checked_array(name: str, array: Any) -> Array:
    """An array of real numbers, ml_dtypes.bfloat16 included."""
    check_masks(array, name)
    array = np.asarray(array)
    if array.dtype.kind not in "fiu" and array.dtype.name != "bfloat16":
        raise ValueError(f"{name} must be an array of real numbers, got {shown(array)}")
    return array


def of_bfloat16(data: Array) -> Array:
    """float32 numbers from the bits of bfloat16, which are their upper halves."""
    return (data.astype(np.uint32) << 16).view(np.float32)
