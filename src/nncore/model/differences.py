"""Compare a gradient with central differences, taking their accuracy into account."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from nncore._utils.arrays import Array
from nncore._utils.hints import warn

__all__ = ["relative_error"]

STEP = 6e-6  # near the cube root of the machine epsilon
ROUNDING = 1e-9  # rounding error of a difference relative to the loss: fifty roundings, divided by 2 STEP
TRUNCATION = 10  # truncation error h² f‴/6 of a difference, relative to the second difference h² f″
SUSPECT = 1e-4  # relative error from which on a kink is looked for


def relative_error(name: str, value: Callable[[], float], here: float, values: Array, gradient: Array, chosen: Array) -> float:
    """Relative error of the elements ``chosen`` of a gradient, as ``Sequential.check_gradients`` defines it.

    ``value()`` is the loss at the current ``values`` (n,), which are changed in place and restored; ``here`` is the loss at the
    unchanged values, finite. Messages call the array ``name``.
    """
    expected = gradient[chosen]
    numeric, accuracy, kink = np.empty(len(chosen)), np.empty(len(chosen)), False
    for n, i in enumerate(chosen):
        h = STEP * (1 + abs(values[i]))
        above, below = _sides(name, value, values, i, h)
        numeric[n] = (above - below) / (2 * h)
        accuracy[n] = ROUNDING * abs(here) + TRUNCATION * abs(above + below - 2 * here)
        bound = SUSPECT * (abs(numeric[n]) + abs(expected[n])) + accuracy[n]
        if not kink and not abs(numeric[n] - expected[n]) <= bound:
            kink = _warn_of_kink(name, value, here, values, i, h)
    if not np.isfinite(expected).all():
        return math.inf
    size = max(float(np.abs(each).max(initial=0)) for each in (numeric, expected, accuracy))
    if not math.isfinite(size):
        raise ValueError(f"the loss is too large for its differences by {name} to be finite, got {here:g}")
    numeric, expected, accuracy = (each / (size or 1.0) for each in (numeric, expected, accuracy))  # whose squares are finite
    distance = _length(numeric - expected)
    return distance / (_length(numeric) + _length(expected)) if distance > _length(accuracy) else 0.0


def _sides(name: str, value: Callable[[], float], values: Array, i: int, h: float) -> tuple[float, float]:
    """The loss with element i increased and decreased by h."""
    before, sides = values[i], []
    for moved in (before + h, before - h):
        values[i] = moved
        sides.append(value())
        values[i] = before
        if not math.isfinite(sides[-1]):
            raise ValueError(
                f"the loss must be finite for its gradient to be checked, got {sides[-1]} with {name}, number {i}, changed "
                f"from {before:g} to {moved:g}"
            )
    return sides[0], sides[1]


def _warn_of_kink(name: str, value: Callable[[], float], here: float, values: Array, i: int, h: float) -> bool:
    """Warn, and return True, if the one-sided derivatives do not approach each other as the distance shrinks.

    Those of a smooth loss do.
    """
    jumps = []
    for distance in (h, 8 * h):  # at 8 times the distance: 8 times as large for a smooth loss, about the same at a kink
        above, below = _sides(name, value, values, i, distance)
        jumps.append(abs(above + below - 2 * here) / distance)
    kink = jumps[0] > 1e3 * ROUNDING * abs(here) and jumps[1] < 4 * jumps[0]
    if kink:
        above, below = _sides(name, value, values, i, h)
        warn(
            f"check_gradients: the loss has a kink at {name}, number {i}: its slope is {(here - below) / h:.3g} on one side "
            f"and {(above - here) / h:.3g} on the other, so there is no derivative to compare with. Use inputs that avoid "
            "it, for example such that no input of a ReLU is 0"
        )
    return kink


def _length(v: Array) -> float:
    """‖v‖, summed without a BLAS."""
    return math.sqrt(float(np.square(v).sum()))
