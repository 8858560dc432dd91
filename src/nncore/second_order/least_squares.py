"""Gauss-Newton and Levenberg-Marquardt, for sums of squares: the Jacobian gives the dominant part of the Hessian."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from nncore._messages import shown
from nncore._utils.fields import Choice
from nncore.second_order.adaptive import AdaptiveDampedNewton
from nncore.second_order.base import FullBatchOptimizer, Row
from nncore.second_order.objective import Array, Evaluated, Point
from nncore.second_order.solve import positive_definite_solve

__all__ = ["GaussNewton", "LevenbergMarquardt"]


class GaussNewton(FullBatchOptimizer):
    """Gauss-Newton (Gauss 1809; Nocedal & Wright 2006, section 10.3), for f = ½‖r(θ)‖².

    θ ← θ − (JᵀJ)⁻¹ g,  J = ∂r/∂θ, g = Jᵀr. Stateless. H = JᵀJ + Σ rᵢ∇²rᵢ: the omitted sum is small if the residuals are small
    or nearly linear. JᵀJ has no negative eigenvalues, but it is singular if some directions do not change the outputs,
    as in most networks: use `LevenbergMarquardt` then.

    For a network with another loss than squares, JᵀJ becomes Jᵀ(∂²l/∂y²)J, J = ∂y/∂θ of the outputs y (Schraudolph 2002).

    Parameters
    ----------
    tol : the gradient norm at which the iteration stops, default 1e-10.

    Examples
    --------
    >>> from nncore.landscapes import Rosenbrock
    >>> GaussNewton().minimize(Rosenbrock(), [-1.2, 1.0], steps=2).theta.round(9)
    array([[-1.2 ,  1.  ],
           [ 1.  , -3.84],
           [ 1.  ,  1.  ]])
    """

    name = "gauss_newton"

    def iteration(self, f: Evaluated, point: Point) -> tuple[Point, Row]:
        advice = "Take LevenbergMarquardt, which adds a damping, or put an L2 penalty on the weights"
        matrix = f.gauss_newton(point.theta)
        return f.step(point, -positive_definite_solve(matrix, point.gradient, "the Gauss-Newton matrix", advice)), {}


class LevenbergMarquardt(AdaptiveDampedNewton):
    """Levenberg-Marquardt (Levenberg 1944, Marquardt 1963; Madsen, Nielsen & Tingleff 2004), for f = ½‖r(θ)‖².

    p = −(JᵀJ + αD)⁻¹ g,  θ ← θ + p if the loss falls, with the α and ν of `AdaptiveDampedNewton`: Gauss-Newton steps (α → 0)
    where the model is accurate, short steps along −g where it is not. JᵀJ + αD is always positive definite.

    - ``scaling="identity"``: D = I (Levenberg). All parameters have the same scale. State: α, ν.
    - ``scaling="marquardt"``: D = diag(d²), dⱼ the largest norm so far of column j of J, or 1 while it is 0
      (Marquardt; Moré 1978, MINPACK). The steps do not depend on the units of the parameters: for curve fits whose
      parameters differ by orders of magnitude. State: α, ν, d.

    Parameters
    ----------
    damping : the initial α > 0 as a fraction of the largest diagonal element of JᵀJ, default 1e-3.
        With ``scaling="marquardt"`` these elements are at most 1 in units of d, so it is α itself.
    scaling : "identity" (default) or "marquardt".
    tol : the gradient norm at which the iteration stops, default 1e-10.

    Notes
    -----
    SciPy's ``least_squares(method="lm")`` is MINPACK's, which scales like "marquardt" with ``x_scale="jac"``. It factorizes
    J, while here JᵀJ is formed, whose condition number is the square of J's: MINPACK is more accurate for condition numbers
    of J above about 10⁸.

    Examples
    --------
    >>> from nncore.landscapes import Beale
    >>> LevenbergMarquardt().minimize(Beale(), [1.0, 1.0], steps=20).theta[-1].round(9)
    array([3. , 0.5])
    """

    name = "levenberg_marquardt"
    what = "the damped Gauss-Newton matrix"

    scaling: Choice = Choice("identity", "marquardt")

    def __init__(self, damping: float = 1e-3, scaling: str = "identity", tol: float = 1e-10) -> None:
        self.scaling = scaling
        super().__init__(damping, tol)

    def check_fields(self, assigned: Mapping[str, Any]) -> None:
        if self.step_count and ("scale" in self.state) != (self.scaling == "marquardt"):
            raise ValueError(f"scaling is fixed once there is a state, got {shown(self.scaling)}: make a new {self.title}")
        super().check_fields(assigned)

    def initial_state(self, n: int) -> dict[str, Array]:
        return {"scale": np.zeros(n)} if self.scaling == "marquardt" else {}

    def scales(self, matrix: Array) -> Array:
        if self.scaling == "identity":
            return super().scales(matrix)
        if "scale" not in self.state:
            self.state.extended({"scale": np.zeros(len(matrix))})
        scale = self.state["scale"]
        np.maximum(scale, np.sqrt(np.diag(matrix)), out=scale)
        return np.where(scale > 0, scale, 1.0)

    def curvature(self, f: Evaluated, theta: Array) -> Array:
        return f.gauss_newton(theta)
