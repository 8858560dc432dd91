"""Damping adapted to the accuracy of the quadratic model, as by Levenberg and Marquardt, for any curvature matrix."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from nncore._utils.fields import Number, number
from nncore.second_order.base import FullBatchOptimizer, Row
from nncore.second_order.line_search import why_no_step
from nncore.second_order.objective import Array, Evaluated, Point
from nncore.second_order.solve import SingularError, positive_definite_solve

__all__ = ["AdaptiveDampedNewton"]

TRIES = 60


def adapted(damping: float, growth: float, ratio: float) -> tuple[float, float]:
    """α and ν after a step whose trust ratio was ρ (Nielsen 1999; Madsen, Nielsen & Tingleff 2004, algorithm 3.16).

    - ρ > 0, the loss fell:  α ← α max(⅓, 1 − (2ρ − 1)³),  ν ← 2
    - otherwise:             α ← αν,  ν ← 2ν

    A continuous form of Marquardt's rule: α falls to a third if the model predicts well (ρ near 1), is unchanged at ρ = ½, and
    grows faster with every consecutive failure.

    Examples
    --------
    >>> adapted(1.0, 8.0, 0.5), adapted(1.0, 2.0, 0.25), adapted(1.0, 2.0, -3.0)
    ((1.0, 2.0), (1.125, 2.0), (2.0, 4.0))
    """
    if ratio > 0:
        return damping * max(1 / 3, 1 - (2 * ratio - 1) ** 3), 2.0
    return damping * growth, 2 * growth


class AdaptiveDampedNewton(FullBatchOptimizer):
    """Newton's method with an adaptive damping α (Levenberg 1944, Marquardt 1963, applied to the Hessian).

    p = −(H + αI)⁻¹ g,  ρ = (f(θ) − f(θ + p)) / (−gᵀp − ½pᵀHp)

    ρ is the ratio of the actual decrease of f to the decrease predicted by the quadratic model. θ ← θ + p if ρ > 0; then
    α ← α max(⅓, 1 − (2ρ − 1)³), ν ← 2. If f did not fall, or H + αI is not positive definite: α ← αν, ν ← 2ν,
    and try again. State: α and ν (initially 2). The rule is Nielsen's (1999). Goodfellow et al. (2016), section 8.6.1, has the
    method with fixed α, which is `DampedNewton`. PyTorch and Keras have neither.

    Parameters
    ----------
    damping : the initial α > 0 as a fraction of the largest diagonal element of H, default 1e-3.
    tol : the gradient norm at which the iteration stops, default 1e-10.

    Examples
    --------
    >>> from nncore.landscapes import Rosenbrock
    >>> AdaptiveDampedNewton().minimize(Rosenbrock(), [-1.2, 1.0], steps=30).theta[-1].round(9)
    array([1., 1.])
    """

    name = "adaptive_damped_newton"
    seeds: ClassVar[tuple[str, ...]] = ("damping",)
    damping: Number = Number(above=0.0)
    what = "the damped Hessian"

    def __init__(self, damping: float = 1e-3, tol: float = 1e-10) -> None:
        self.damping = damping
        super().__init__(tol)

    def initial_numbers(self) -> Row:
        return {"damping": 0.0, "growth": 2.0}  # 0: not yet initialized

    def check_state(self, step_count: int, numbers: Row, arrays: dict[str, Array]) -> None:
        number("damping", numbers["damping"], 0.0)
        number("growth", numbers["growth"], 2.0)

    def curvature(self, f: Evaluated, theta: Array) -> Array:
        """The matrix to be damped."""
        return f.hessian(theta)

    def scales(self, matrix: Array) -> Array:
        """The parameter scales d (n,): the damping is α diag(d²)."""
        return np.ones(len(matrix))

    def iteration(self, f: Evaluated, point: Point) -> tuple[Point, Row]:
        matrix = self.curvature(f, point.theta)
        scales = self.scales(matrix)
        matrix, gradient = matrix / np.outer(scales, scales), point.gradient / scales  # with respect to d·θ
        damping, growth = self.numbers["damping"], self.numbers["growth"]
        damping = damping or self.damping * (float(np.abs(np.diag(matrix)).max()) or 1.0)
        for _ in range(TRIES):
            used = damping
            try:
                p = -positive_definite_solve(matrix + used * np.eye(gradient.size), gradient, self.what, "")
            except SingularError:
                ratio, new = -1.0, point
            else:
                predicted = -float(gradient @ p) - 0.5 * float(p @ matrix @ p)
                new = f.at(point.theta + p / scales)
                if predicted <= 4 * np.finfo(float).eps * abs(point.value):  # below the rounding error of f
                    if new.finite and np.linalg.norm(new.gradient) < np.linalg.norm(point.gradient):
                        return new, {"damping": used}
                    break
                ratio = (point.value - new.value) / predicted if new.finite else -1.0
            damping, growth = adapted(damping, growth, ratio)
            if ratio > 0:
                self.numbers.update(damping=max(damping, np.finfo(float).tiny), growth=growth)
                return new, {"damping": used, "trust_ratio": ratio}
            if not np.isfinite(damping):
                break
        self.stopped = why_no_step(f, point)
        return point, {"damping": used}
