"""Line searches: Armijo's rule by halving, and SciPy's search for the strong Wolfe conditions."""

from __future__ import annotations

import warnings

import numpy as np
import scipy.optimize

from nncore.second_order.objective import Array, Evaluated, Point

__all__ = ["armijo", "strong_wolfe", "why_no_step"]

C1 = 1e-4
HALVINGS = 40
STEEPEST = 1e6  # a kink changes the slope by less than this factor; larger changes mean badly scaled parameters
SCALES = 12  # number of distances at which a kink is looked for, each 8 times the previous one


def armijo(f: Evaluated, point: Point, direction: Array, shortest: float = 1.0) -> tuple[Point, float] | None:
    """The first of the steps t = 1, ½, ¼, …, shortest · 2⁻³⁹ with f(θ + tp) ≤ f(θ) + c₁ t gᵀp, c₁ = 10⁻⁴ (Armijo 1966).

    None if no step exists: at the limit of precision, or if p is not a descent direction.
    """
    slope, step = float(point.gradient @ direction), 1.0
    while step > shortest * 2.0**-HALVINGS:
        new = f.at(point.theta + step * direction)
        if new.finite and new.value <= point.value + C1 * step * slope and new.value < point.value:
            return new, step
        step /= 2
    return None


def strong_wolfe(
    f: Evaluated, point: Point, direction: Array, *, c2: float, previous: float | None = None, longest: float = 1e10
) -> tuple[Point, float] | None:
    """A step t with f(θ + tp) ≤ f(θ) + c₁ t gᵀp and |g(θ + tp)ᵀp| ≤ c₂|gᵀp|, by `scipy.optimize.line_search`.

    (Nocedal & Wright 2006, algorithms 3.5 and 3.6.) If SciPy finds none, `armijo` is used, down to 2⁻³⁹ of SciPy's first t.

    Parameters
    ----------
    c2 : c₁ < c₂ < 1
    previous : the value before the last iteration, from which the first t is guessed
    longest : the largest t
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
        warnings.simplefilter("ignore")  # None indicates that no step was found
        step = scipy.optimize.line_search(
            value, lambda theta: at(theta).gradient, point.theta, direction, point.gradient, point.value, previous,
            c1=C1, c2=c2, amax=longest,
        )[0]  # fmt: skip
    if step is not None:
        new = at(point.theta + step * direction)
        if new.finite and new.value < point.value:
            return new, float(step)
    return armijo(f, point, direction, _first_step(point, direction, previous))


def _first_step(point: Point, direction: Array, previous: float | None) -> float:
    """The t that SciPy tries first: 1, or a shorter one along which the tangent falls by twice as much as f has just fallen."""
    slope = float(point.gradient @ direction)
    if previous is None or not (slope < 0 and point.value < previous):
        return 1.0
    return min(1.0, 2.02 * (point.value - previous) / slope)


PRECISION = "no step lowers the loss: the limit of precision"
KINK = "no step lowers the loss: it has a kink here, for example of a ReLU, and does not follow its gradient"
CURVATURE = (
    "no step that was tried lowers the loss, although one along -g would: the loss does not follow its second derivatives "
    "here, or the scales of parameters and loss are too far apart"
)


def why_no_step(f: Evaluated, point: Point, direction: Array | None = None) -> str:
    """Diagnose why no step lowers the loss: limit of precision or kink, along the direction (if any) and along −g.

    A smooth function exceeds its tangent in proportion to the square of the distance: 64 times as much at 8 times the distance.
    Beyond a kink the excess is proportional to the distance: 8 times as much. The smallest distance tried is that at which the
    tangent falls by 1000 roundings of f. If f falls with its tangent along −g, the reason is neither of the two.
    """
    directions = [-point.gradient] if direction is None else [direction, -point.gradient]
    reasons = [_obstacle(f, point, p / np.linalg.norm(p)) for p in directions]
    return KINK if KINK in reasons else reasons[-1]


def _obstacle(f: Evaluated, point: Point, direction: Array) -> str:
    slope, limits = -float(point.gradient @ direction), np.finfo(f.dtype)
    if not slope > 0:
        return PRECISION
    rounding = limits.eps * max(abs(point.value), limits.tiny)
    distance = 1e3 * max(rounding / slope, limits.eps * float(np.abs(point.theta).max()))

    def excess(t: float) -> float:
        new = f.at(point.theta + t * direction)
        return new.value - point.value + t * slope if new.finite else np.inf

    for scale in range(SCALES):
        if excess(distance) > 0.5 * distance * slope:  # it falls by less than half as much as its tangent
            near, far = excess(8 * distance), excess(64 * distance)
            kink = 0 < far < 24 * near and near < STEEPEST * 8 * distance * slope
            return KINK if kink else PRECISION if scale == 0 else CURVATURE
        distance *= 8
    return CURVATURE
