"""Truncated Newton: an approximate Newton step by conjugate gradients on Hessian products, with early termination."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from nncore._utils.fields import Count, Maybe, Number, number
from nncore.second_order.base import FullBatchOptimizer, Row
from nncore.second_order.line_search import why_no_step
from nncore.second_order.objective import Array, Evaluated, Point

__all__ = ["TruncatedNewton"]

TRIES = 60


class TruncatedNewton(FullBatchOptimizer):
    """Newton's method in a Krylov space with a trust region (Steihaug 1983; Nocedal & Wright 2006, algorithms 4.1 and 7.2).

    p approximately minimizes m(p) = gᵀp + ½pᵀHp over ‖p‖ ≤ Δ: conjugate gradients on Hp = −g from p = 0, which need
    only products Hd, until

    - the residual is small, ‖Hp + g‖ ≤ min(½, √‖g‖) ‖g‖, a tolerance that tightens near the minimum, or
    - a direction d has negative curvature, dᵀHd ≤ 0, or p leaves the region: then p is extended along d to ‖p‖ = Δ.

    With ρ = (f(θ) − f(θ + p)) / −m(p): Δ ← ¼‖p‖ if ρ < ¼, Δ ← min(2Δ, largest) if ρ > ¾ and ‖p‖ = Δ. θ ← θ + p if ρ > 0;
    otherwise the step is tried again with the smaller Δ. State: Δ. No matrix is formed: the memory is a few vectors of n
    numbers for n parameters. SciPy's ``minimize(method="trust-ncg")`` is the same algorithm; its "Newton-CG" searches a line.

    Parameters
    ----------
    radius : the initial Δ > 0, default 1.
    max_radius : the largest Δ, default 1000.
    max_cg : maximum number of products per iteration; default None means n.
    tol : the gradient norm at which the iteration stops, default 1e-10.

    Examples
    --------
    >>> from nncore.landscapes import Rosenbrock
    >>> TruncatedNewton().minimize(Rosenbrock(), [-1.2, 1.0], steps=40).theta[-1].round(6)
    array([1., 1.])
    """

    name = "truncated_newton"
    seeds: ClassVar[tuple[str, ...]] = ("radius",)
    radius: Number = Number(above=0.0)
    max_radius: Number = Number(above=0.0)
    max_cg: Maybe[int, int] = Maybe(Count())

    def __init__(self, radius: float = 1.0, max_radius: float = 1000.0, max_cg: int | None = None, tol: float = 1e-10) -> None:
        self.radius, self.max_radius, self.max_cg = radius, max_radius, max_cg
        super().__init__(tol)

    def check_fields(self, assigned: Mapping[str, Any]) -> None:
        if self.max_radius < self.radius:
            raise ValueError(f"max_radius must be at least radius = {self.radius:g}, got {self.max_radius:g}")
        super().check_fields(assigned)

    def initial_numbers(self) -> Row:
        return {"radius": self.radius}

    def check_state(self, step_count: int, numbers: Row, arrays: dict[str, Array]) -> None:
        number("radius", numbers["radius"], 0.0)

    def iteration(self, f: Evaluated, point: Point) -> tuple[Point, Row]:
        products, negative = f.products, False
        for _ in range(TRIES):
            radius = self.numbers["radius"]
            p, hp, indefinite = self._steihaug(f, point, radius)
            negative |= indefinite
            predicted = -float(point.gradient @ p) - 0.5 * float(p @ hp)
            new = f.at(point.theta + p)
            if predicted <= 4 * np.finfo(float).eps * abs(point.value):  # below the rounding error of f
                if new.finite and np.linalg.norm(new.gradient) < np.linalg.norm(point.gradient):
                    return new, self._columns(f.products - products, negative, radius)
                break
            ratio = (point.value - new.value) / predicted if new.finite else -1.0
            length = float(np.linalg.norm(p))
            if ratio < 0.25:
                self.numbers["radius"] = length / 4
            elif ratio > 0.75 and length > 0.999 * radius:
                self.numbers["radius"] = min(2 * radius, self.max_radius)
            if ratio > 0:
                return new, {**self._columns(f.products - products, negative, radius), "trust_ratio": ratio}
        self.stopped = why_no_step(f, point, p)
        return point, self._columns(f.products - products, negative, radius)

    def _columns(self, products: int, negative: bool, radius: float) -> Row:
        return {"hessian_products": float(products), "negative_curvature": float(negative), "radius": radius}

    def _steihaug(self, f: Evaluated, point: Point, radius: float) -> tuple[Array, Array, bool]:
        """p, Hp, and whether negative curvature was found."""
        g = point.gradient
        p, hp, r, d = np.zeros_like(g), np.zeros_like(g), g.copy(), -g
        rr = float(r @ r)
        enough = min(0.5, math.sqrt(math.sqrt(rr))) * math.sqrt(rr)
        for _ in range(self.max_cg or g.size):
            hd = f.product(point.theta, d)
            curvature = float(d @ hd)
            if curvature <= 0:
                t = _to_border(p, d, radius)
                return p + t * d, hp + t * hd, True
            a = rr / curvature
            if np.linalg.norm(p + a * d) >= radius:
                t = _to_border(p, d, radius)
                return p + t * d, hp + t * hd, False
            p, hp, r = p + a * d, hp + a * hd, r + a * hd
            before, rr = rr, float(r @ r)
            if math.sqrt(rr) <= enough:
                break
            d = -r + (rr / before) * d
        return p, hp, False


def _to_border(p: Array, d: Array, radius: float) -> float:
    """The t > 0 with ‖p + td‖ = radius."""
    a, b, c = float(d @ d), float(p @ d), float(p @ p) - radius**2
    root = math.sqrt(max(b * b - a * c, 0.0))
    return -c / (b + root) if b > 0 else (root - b) / a
