"""What a page asks for, checked: numbers and names of a state, or a ValueError that says what is wrong."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from nncore._messages import shown
from nncore._utils.fields import Number, count
from nncore._utils.hints import hint

__all__ = ["name_of", "pair_of", "real", "whole"]

State = Mapping[str, Any]


def real(state: State, key: str, least: float, most: float, *, above: float = float("-inf")) -> float:
    """The number ``state[key]`` in this range."""
    return _checked(Number(least, most=most, above=above, argument=key), state.get(key))


def whole(state: State, key: str, least: int, most: int) -> int:
    """The whole number ``state[key]`` in this range."""
    try:
        return count(key, state.get(key), least, below=most + 1)
    except TypeError as error:
        raise ValueError(str(error)) from None


def pair_of(state: State, key: str, least: float, most: float) -> tuple[float, float]:
    """The two numbers ``state[key]`` in this range."""
    value = state.get(key)
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        raise ValueError(f"{key} must be two numbers, got {shown(value)}")
    first, second = (_checked(Number(least, most=most, argument=key), number) for number in value)
    return first, second


def name_of(state: State, key: str, names: Iterable[str]) -> str:
    """The name ``state[key]``, one of these."""
    value, names = state.get(key), list(names)
    if not isinstance(value, str) or value not in names:
        near = hint(value, names) if isinstance(value, str) else ""
        raise ValueError(f"{key} must be one of {', '.join(names)}, got {shown(value)}{near}")
    return value


def _checked(field: Number, value: Any) -> float:
    try:
        return field.check(value)
    except TypeError as error:
        raise ValueError(str(error)) from None
