"""How far to go along a direction: Armijo's rule by halving, and SciPy's search for the strong Wolfe conditions."""

from __future__ import annotations

import warnings

import numpy as np
import scipy.optimize

from nncore.second_order.objective import Array, Evaluated, Point

__all__ = ["armijo", "strong_wolfe"]

C1 = 1e-4
HALVINGS = 40


def armijo(f: Evaluated, point: Point, direction: Array, step: float = 1.0) -> tuple[Point, float] | None:
    """The first of the steps t = step, step/2, step/4, … with f(θ + tp) ≤ f(θ) + c₁ t gᵀp, c₁ = 10⁻⁴ (Armijo 1966).

    None if there is none: at the limit of precision, or where p leads uphill.
    """
    slope = float(point.gradient @ direction)
    for _ in range(HALVINGS):
        new = f.at(point.theta + step * direction)
        if new.finite and new.value <= point.value + C1 * step * slope and new.value < point.value:
            return new, step
        step /= 2
    return None


def strong_wolfe(
    f: Evaluated, point: Point, direction: Array, *, c2: float, previous: float | None = None, longest: float = 1e10
) -> tuple[Point, float] | None:
    """A step t with f(θ + tp) ≤ f(θ) + c₁ t gᵀp and |g(θ + tp)ᵀp| ≤ c₂|gᵀp|, by `scipy.optimize.line_search`.

    (Nocedal & Wright 2006, algorithms 3.5 and 3.6.) Where SciPy finds none, `armijo`.

    Parameters
    ----------
    c2 : c₁ < c₂ < 1
    previous : the value before the last iteration, from which the first t is guessed
    longest : the longest t
    """
    seen: dict[bytes, Point] = {}

    def at(theta: Array) -> Point:
        key = theta.tobytes()
        if key not in seen:
            seen[key] = f.at(theta)
        return seen[key]

    def value(theta: Array) -> float:
        new = at(theta)
        return new.value if new.finite else np.inf

    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # that no step was found is told by None
        step = scipy.optimize.line_search(
            value, lambda theta: at(theta).gradient, point.theta, direction, point.gradient, point.value, previous,
            c1=C1, c2=c2, amax=longest,
        )[0]  # fmt: skip
    if step is not None:
        new = at(point.theta + step * direction)
        if new.finite and new.value < point.value:
            return new, float(step)
    return armijo(f, point, direction)
