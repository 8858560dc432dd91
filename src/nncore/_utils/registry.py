"""Classes by name: a package exports and registers the classes in the ``__all__`` of its files."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TypeVar

__all__ = ["classes", "public_names"]

T = TypeVar("T")


def public_names(module: str) -> list[str]:
    """The names of a package that has ``from … import *`` of its files: theirs, and what it defines itself.

    It is assigned to ``globals()["__all__"]``: of ``__all__ = …`` type checkers understand lists of strings only.
    """
    space = vars(sys.modules[module])
    return [
        name for name, value in space.items()
        if not name.startswith("_") and not isinstance(value, ModuleType)
        and getattr(value, "__module__", "nncore").startswith("nncore")
    ]  # fmt: skip


def classes(base: type[T], *modules: str) -> list[type[T]]:
    """The public classes of modules or packages that derive from ``base``, in the order of their definition."""
    found = {}
    for module in modules:
        space = vars(sys.modules[module])
        for name in space.get("__all__", public_names(module)):
            if isinstance(value := space.get(name), type) and issubclass(value, base) and value is not base:
                found[value.__module__, name] = value
    order = {key: None for home, _ in found for key in ((home, name) for name in vars(sys.modules[home]))}
    return [found[key] for key in order if key in found]
