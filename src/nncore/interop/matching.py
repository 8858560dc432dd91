"""Which layer of a file belongs to which layer of a model."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise, takewhile, zip_longest

from nncore._messages import clipped
from nncore.interop.forms import Form, forms_of, shapes_in
from nncore.interop.modules import Module, Told
from nncore.layers.base import Layer

__all__ = ["matched"]

Pair = tuple[Layer | None, Module | None]
MOST_SHOWN = 5


def matched(modules: Sequence[Module], layers: Sequence[Layer], told: Told, file: str) -> list[tuple[Module, Form]]:
    """The module of each layer and the form that it has; raises unless all fit, and no module is left over.

    ``told`` says what identifies a module. Names decide if they are those of the layers; otherwise numbers in the names do, and
    if these do not tell the order of all, shapes, and numbers among modules of the same shapes.
    """
    if told == "by place":
        pairs: list[Pair] = list(zip_longest(layers, modules))
    elif told == "by name" and (by_name := _by_name(modules)).keys() == {layer.name for layer in layers}:
        pairs = [(layer, by_name[str(layer.name)]) for layer in layers]
    elif (numbered := _numbered(modules)) is not None:
        pairs = list(zip_longest(layers, numbered))
    else:
        pairs = _by_shapes(modules, layers, file)
    names = {name for module in modules for name in module.arrays}
    if problems := [text for pair in pairs if (text := _problem(*pair, names))]:
        more = f"; and {len(problems) - MOST_SHOWN} more" if len(problems) > MOST_SHOWN else ""
        raise ValueError(f"{file} does not fit the model: {'; '.join(problems[:MOST_SHOWN])}{more}")
    return [(module, form) for layer, module in pairs if layer and module and (form := _form(layer, module))]


def _by_name(modules: Sequence[Module]) -> dict[str, Module]:
    """The modules by their paths without the folders that all have in common, such as ``module.``"""
    paths = [re.split(r"[./]", module.path) for module in modules]
    folders = zip(*(path[:-1] for path in paths), strict=False)
    common = len(list(takewhile(lambda names: len(set(names)) == 1, folders)))
    return {".".join(path[common:]): module for path, module in zip(paths, modules, strict=True)}


def _numbered(modules: Sequence[Module]) -> list[Module] | None:
    """The modules sorted by the numbers in their names, or None if two names differ in something else first."""
    keys = {module.order: re.split(r"(\d{1,18})", module.order) for module in modules}

    def key(module: Module) -> list[str | int]:
        return [int(part) if place % 2 else part for place, part in enumerate(keys[module.order])]

    result = sorted(modules, key=key)
    for a, b in pairwise(key(module) for module in result):
        first = next((place for place, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), 0)
        if first % 2 == 0:
            return None
    return result


def _by_shapes(modules: Iterable[Module], layers: Iterable[Layer], file: str) -> list[Pair]:
    groups: dict[frozenset[tuple[str, tuple[int, ...]]], list[Module]] = {}
    for module in modules:
        groups.setdefault(frozenset(module.shapes.items()), []).append(module)
    for arrays, group in groups.items():
        if (numbered := _numbered(group)) is None:
            paths = ", ".join(module.path for module in group)
            raise ValueError(
                f"{file} does not tell the order of {clipped(paths)}, whose shapes are the same: give the layers of the model "
                f"these names, as in nn.Dense(4, name={group[0].path!r}), or pass the state_dict itself"
            )
        groups[arrays] = numbered
    pairs: list[Pair] = []
    for layer in layers:
        keys = [frozenset(shapes_in(form).items()) for form in forms_of(layer)]
        group = next((groups[key] for key in keys if groups.get(key)), [])
        pairs.append((layer, group.pop(0) if group else None))
    return pairs + [(None, module) for group in groups.values() for module in group]


def _form(layer: Layer, module: Module) -> Form | None:
    return next((form for form in forms_of(layer) if shapes_in(form) == module.shapes), None)


def _problem(layer: Layer | None, module: Module | None, names: set[str]) -> str:
    """What is wrong with a pair, or nothing. ``names``: of the arrays in the file, which tell the library."""
    part = "" if module is None else f"its {module.path or 'top level'}"
    if layer is None or module is None:
        if module is not None:
            return f"nothing takes {part} with {_listed(module.shapes)}"
        return f"it has nothing for {layer.name}, which takes {_listed(_expected(layer, names))}" if layer else ""
    if _form(layer, module) is not None:
        return ""
    return f"{part} has {_listed(module.shapes)}, and {layer.name} takes {_listed(_expected(layer, names))}"


def _expected(layer: Layer, names: set[str]) -> dict[str, tuple[int, ...]]:
    """The arrays that a layer takes, in the form of the library whose names these are."""
    return shapes_in(forms_of(layer)[-1 if names & {"kernel", "gamma", "forward_kernel"} else 0])


def _listed(shapes: Mapping[str, tuple[int, ...]]) -> str:
    return clipped(", ".join(f"{name} {shape}" for name, shape in shapes.items()))
