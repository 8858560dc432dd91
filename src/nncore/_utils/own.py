"""Which classes are nncore's own, and which methods of a user's class take the place of one of nncore's."""

from __future__ import annotations

from typing import Any

from nncore._messages import shown

__all__ = ["check_called", "is_own", "replaced"]

PACKAGE = __name__.partition(".")[0] + "."


def is_own(cls: type) -> bool:
    """Whether a class is nncore's own."""
    return f"{cls.__module__}.".startswith(PACKAGE)


def replaced(cls: type, *names: str) -> str | None:
    """The first of these methods that a user's class has in the place of nncore's own, or where that has none."""
    definers = {name: next((base for base in cls.__mro__ if name in vars(base)), None) for name in names}
    return next((name for name, base in definers.items() if base is not None and not is_own(base)), None)


def check_called(argument: str, part: Any, *names: str, advice: str) -> None:
    """Raise for an object whose class defines one of these methods, which compiled steps do not call."""
    if name := replaced(type(part), *names):
        raise TypeError(
            f"{argument}, {shown(part)}, is of a class that defines {name}, which would not be called, as the steps of a "
            f"training are compiled: {advice}"
        )
