"""Newton's method: plain, with constant damping, and with modified eigenvalues."""

from __future__ import annotations

import numpy as np

from nncore._utils.fields import Flag, Number
from nncore.optimizers.hyper import Hyper, HyperParameter
from nncore.second_order.base import FullBatchOptimizer, Row
from nncore.second_order.line_search import armijo, why_no_step
from nncore.second_order.objective import Evaluated, Point
from nncore.second_order.solve import positive_definite_solve, symmetric_solve

__all__ = ["DampedNewton", "ModifiedNewton", "Newton"]

ADVICE = "Take AdaptiveDampedNewton, ModifiedNewton or TruncatedNewton, or put an L2 penalty on the weights"


class Newton(FullBatchOptimizer):
    """Newton's method (Nocedal & Wright 2006, section 3.3): step to the stationary point of the quadratic model of f.

    θ ← θ − H⁻¹g. Stateless. On a quadratic with positive definite H one step suffices; near a minimum the number of correct
    digits doubles with each step. The solve takes ⅙k³ multiply-adds for k parameters (Cholesky).

    Parameters
    ----------
    allow_indefinite : also step to stationary points that are not minima, default False.
        If H has a negative eigenvalue, the step leads *up* along its eigenvector. With False such an H raises
        `SingularError`.
    tol : the gradient norm at which the iteration stops, default 1e-10.

    Notes
    -----
    A Newton step is invariant under linear changes of coordinates: θ′ = Aθ gives g′ = A⁻ᵀg, H′ = A⁻ᵀHA⁻¹, and the step
    −H′⁻¹g′ = A(−H⁻¹g). PyTorch and Keras have no Newton.

    Examples
    --------
    >>> from nncore.landscapes import Quadratic, Saddle
    >>> Newton().minimize(Quadratic([1.0, 1e6]), [1.0, 1.0], steps=1).theta[-1]
    array([0., 0.])
    >>> Newton(allow_indefinite=True).minimize(Saddle(), [0.0, 0.5], steps=1).loss  # x² − y²: up, to the saddle point
    array([-0.25,  0.  ])
    """

    name = "newton"
    allow_indefinite: Flag = Flag()

    def __init__(self, allow_indefinite: bool = False, tol: float = 1e-10) -> None:
        self.allow_indefinite = allow_indefinite
        super().__init__(tol)

    def iteration(self, f: Evaluated, point: Point) -> tuple[Point, Row]:
        solve = symmetric_solve if self.allow_indefinite else positive_definite_solve
        return f.step(point, -solve(f.hessian(point.theta), point.gradient, "the Hessian", ADVICE)), {}


class DampedNewton(FullBatchOptimizer):
    """Newton's method with a constant damping α (Goodfellow et al. 2016, equation 8.28).

    θ ← θ − (H + αI)⁻¹ g. Stateless. α = 0 is `Newton`; for large α the step approaches −g/α, gradient descent with a small
    learning rate. α must exceed −λ, where λ is the most negative eigenvalue of H.

    Parameters
    ----------
    damping : α ≥ 0, default 1.
    tol : the gradient norm at which the iteration stops, default 1e-10.

    Examples
    --------
    >>> from nncore.landscapes import Saddle
    >>> DampedNewton(damping=4.0).minimize(Saddle(), [1.0, 0.5], steps=1).theta[-1]  # λ = 2 and −2
    array([0.66666667, 1.        ])
    """

    name = "damped_newton"
    damping: HyperParameter = HyperParameter()

    def __init__(self, damping: Hyper = 1.0, tol: float = 1e-10) -> None:
        self.damping = damping
        super().__init__(tol)

    def iteration(self, f: Evaluated, point: Point) -> tuple[Point, Row]:
        damping = float(self.hyper_values(1)["damping"][0])
        matrix = f.hessian(point.theta)
        matrix[np.diag_indices_from(matrix)] += damping
        what, advice = f"the Hessian + {damping:g} I", "A damping above minus the lowest eigenvalue of H is needed. " + ADVICE
        return f.step(point, -positive_definite_solve(matrix, point.gradient, what, advice)), {"damping": damping}


class ModifiedNewton(FullBatchOptimizer):
    """Newton's method on |H| (Dauphin et al. 2014, saddle-free Newton; Nocedal & Wright 2006, section 3.4).

    With H = QΛQᵀ: p = −Q max(|Λ|, δ)⁻¹ Qᵀ g, δ = floor · max|λ|; θ ← θ + tp. Stateless. Negative eigenvalues are replaced by
    their absolute value, so the step moves away from a saddle as fast as a Newton step would approach it. t is the first of
    1, ½, ¼, … that satisfies Armijo's rule.

    Parameters
    ----------
    floor : δ as a fraction of the largest |λ|, in (0, 1), default 1e-8.
    tol : the gradient norm at which the iteration stops, default 1e-10.

    Examples
    --------
    >>> from nncore.landscapes import Saddle
    >>> ModifiedNewton().minimize(Saddle(), [1.0, 0.5], steps=2).theta
    array([[1. , 0.5],
           [0. , 1. ],
           [0. , 2. ]])
    """

    name = "modified_newton"
    floor: Number = Number(above=0.0, below=1.0)

    def __init__(self, floor: float = 1e-8, tol: float = 1e-10) -> None:
        self.floor = floor
        super().__init__(tol)

    def iteration(self, f: Evaluated, point: Point) -> tuple[Point, Row]:
        values, vectors = np.linalg.eigh(f.hessian(point.theta))
        size = np.maximum(np.abs(values), self.floor * np.abs(values).max() or 1.0)
        direction = -vectors @ ((vectors.T @ point.gradient) / size)
        found = armijo(f, point, direction)
        columns = {"negative_curvature": float((values < 0).sum())}
        if found is None:
            self.stopped = why_no_step(f, point, direction)
            return point, columns
        return found[0], {**columns, "step_size": found[1]}
