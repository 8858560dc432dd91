"""The exceptions of the library that Python does not already have."""

from __future__ import annotations

from typing import Any

__all__ = ["DivergenceError"]


class DivergenceError(ArithmeticError):
    """A loss, a gradient or a step stopped being finite. The last finite parameters are still in place.

    Attributes
    ----------
    path : object or None
        What was recorded before the error, if anything.
    """

    path: Any = None
