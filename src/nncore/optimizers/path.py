"""The trajectory of an optimizer on a function, and the checks of its arguments."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nncore._utils.arrays import aligned_zeros, returned, returned_pair
from nncore._utils.checks import as_numbers
from nncore.optimizers.tiles import Real
from nncore.schedules import Array


@dataclass(frozen=True)
class Path:
    """The trajectory of `Optimizer.minimize` with its start: ``theta`` (steps + 1, n) and ``loss`` (steps + 1,)."""

    theta: Real
    loss: Array


def start(x0: ArrayLike) -> Real:
    """`x0` as a new aligned vector, float32 if it is that and float64 otherwise."""
    x0 = as_numbers(x0, "x0")
    if x0.dtype.kind not in "fiu" or x0.ndim != 1 or x0.size == 0:
        raise ValueError(f"x0 must be a 1-D array of numbers that is not empty, got {x0.dtype} of shape {x0.shape}")
    theta = aligned_zeros(x0.size, np.float32 if x0.dtype == np.float32 else np.float64)
    theta[...] = x0
    if not np.isfinite(theta).all():
        raise ValueError(f"x0 must be finite numbers, got {theta}")
    return theta


def evaluator(f: Any, theta: Real) -> Callable[[Real], tuple[float, Real]]:
    """`f` as a function of a point that returns a float and a fresh, checked gradient."""
    call = getattr(f, "value_and_gradient", f)
    if not callable(call):
        raise TypeError(f"f must be a callable or an object with value_and_gradient, got {type(f).__name__}")

    def evaluate(x: Real) -> tuple[float, Real]:
        value, gradient = value_and_gradient(call(x.copy()), theta.shape)
        with np.errstate(over="ignore"):  # a gradient too large for float32 becomes infinite, which is divergence
            return value, np.array(gradient, dtype=theta.dtype, order="C")

    return evaluate


def value_and_gradient(result: Any, shape: tuple[int, ...]) -> tuple[float, NDArray[Any]]:
    """What a user's f returned, checked."""
    value, gradient = returned_pair("f must return its value and its gradient", result)
    return float(returned("f, first its value,", value, ())), returned("f, second its gradient,", gradient, shape)
