"""The function interface of second-order optimizers: value and gradient, and curvature in one of several forms."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray

from nncore._utils.arrays import returned, returned_pair
from nncore._utils.checks import check_dense
from nncore._utils.interrupt import Interrupt
from nncore.errors import DivergenceError
from nncore.optimizers.path import value_and_gradient

__all__ = ["Objective"]

Array = NDArray[Any]

VECTORS_ONLY = "Take LBFGS, NonlinearCG or TruncatedNewton, which store only vectors"


class Objective(Protocol):
    """A function f of one vector θ (n,). Only the first method is required; an optimizer's error names any other it needs.

    - ``value_and_gradient(theta)``: f and g = ∂f/∂θ (n,)
    - ``hessian(theta)``: H = ∂²f/∂θ² (n, n)
    - ``hessian_product(theta, v)``: Hv (n,); computed from ``hessian`` if it is missing, and vice versa
    - ``residuals_and_jacobian(theta)``: for f = ½‖r‖², the residuals r (m,) and J = ∂r/∂θ (m, n)
    - ``gauss_newton(theta)``: the Gauss-Newton matrix (n, n); by default JᵀJ

    Examples
    --------
    >>> import numpy as np
    >>> from nncore.second_order import Newton
    >>> class Bowl:
    ...     def value_and_gradient(self, theta):
    ...         return 2.0 * theta @ theta, 4.0 * theta
    ...     def hessian_product(self, theta, v):
    ...         return 4.0 * v
    >>> Newton().minimize(Bowl(), [3.0, -1.0], steps=1).theta[-1]
    array([0., 0.])
    """

    def value_and_gradient(self, theta: Array) -> tuple[float, Array]: ...


@dataclass(frozen=True)
class Point:
    """A point θ, with f and its gradient there."""

    theta: Array
    value: float
    gradient: Array

    @property
    def finite(self) -> bool:
        return bool(np.isfinite(self.value) and np.isfinite(self.gradient).all() and np.isfinite(self.theta).all())


class Evaluated:
    """Wrap an objective: double precision, counts of evaluations, and conversion between forms of curvature.

    The objective gets copies: it may change them, as differences in place do.

    Parameters
    ----------
    f : Objective, or a callable that returns value and gradient
    dtype : float32 or float64
        Precision of the points: each θ is rounded to it before evaluation.
    interrupt : Interrupt, optional
        Handler of Ctrl-C: more presses than it tolerates end an evaluation at once. An iteration changes the state of its
        optimizer only between evaluations.

    Attributes
    ----------
    evaluations : int
        Number of evaluations of value and gradient.
    products : int
        Number of products of the Hessian with a vector.
    """

    def __init__(self, f: Any, dtype: DTypeLike = np.float64, interrupt: Interrupt | None = None) -> None:
        self.f: Any = f
        self.dtype: np.dtype[Any] = np.dtype(dtype)
        self.interrupt: Interrupt = interrupt or Interrupt()
        self.value_and_gradient: Callable[[Array], tuple[float, Array]] = getattr(f, "value_and_gradient", f)
        if not callable(self.value_and_gradient):
            raise TypeError(f"f must be a callable or an object with value_and_gradient, got {type(f).__name__}")
        self.evaluations: int = 0
        self.products: int = 0

    def at(self, theta: Array) -> Point:
        """Evaluate the point θ. If f overflows, its value is infinite."""
        with np.errstate(all="ignore"), self.interrupt.abandoning():
            theta = theta.astype(self.dtype).astype(np.float64)
            value, gradient = value_and_gradient(self.value_and_gradient(theta.copy()), theta.shape)
            point = Point(theta, value, np.array(gradient, np.float64))
        self.evaluations += 1
        return point

    def step(self, point: Point, step: Array) -> Point:
        """The point θ + step, which must be finite."""
        new = self.at(point.theta + step)
        if not new.finite:
            raise DivergenceError(
                f"loss or gradient is not finite after a step of length {np.linalg.norm(step):.3g}. The last finite "
                "parameters are in place; try AdaptiveDampedNewton, which accepts only descent steps"
            )
        return new

    def hessian(self, theta: Array) -> Array:
        """H (n, n), symmetric and finite."""
        check_dense("the Hessian", theta.size, 8, VECTORS_ONLY)
        if hasattr(self.f, "hessian"):
            with self.interrupt.abandoning():
                return _curvature(self._matrix("hessian", theta), "Hessian")
        columns = [self.product(theta, unit) for unit in np.eye(theta.size)]
        return _curvature(np.stack(columns, axis=1), "Hessian")

    def _matrix(self, method: str, theta: Array) -> Array:
        """The matrix (n, n) that a method of the objective returns."""
        return returned(f"f.{method}", getattr(self.f, method)(theta.copy()), (theta.size, theta.size))

    def product(self, theta: Array, v: Array) -> Array:
        """Hv (n,)."""
        self.products += 1
        with self.interrupt.abandoning():
            if hasattr(self.f, "hessian_product"):
                product = returned("f.hessian_product", self.f.hessian_product(theta.copy(), v.copy()), theta.shape)
            elif hasattr(self.f, "hessian"):
                product = self._matrix("hessian", theta) @ v
            else:
                raise TypeError(
                    f"f must have hessian(theta) or hessian_product(theta, v), got {type(self.f).__name__} without them. "
                    "BFGS, LBFGS and NonlinearCG need gradients only"
                )
        if not np.isfinite(product).all():
            raise DivergenceError("the product of the Hessian is not finite. The last finite parameters are in place")
        return np.asarray(product, np.float64)

    def gauss_newton(self, theta: Array) -> Array:
        """The Gauss-Newton matrix (n, n), positive semi-definite and finite."""
        check_dense("the Gauss-Newton matrix", theta.size, 8, VECTORS_ONLY)
        with self.interrupt.abandoning():
            if hasattr(self.f, "gauss_newton"):
                return _curvature(self._matrix("gauss_newton", theta), "Gauss-Newton matrix")
            if hasattr(self.f, "residuals_and_jacobian"):
                what, result = "f.residuals_and_jacobian", self.f.residuals_and_jacobian(theta.copy())
                residuals, jacobian = returned_pair(f"{what} must return r and J", result)
                J = np.asarray(returned(f"{what}, second J,", jacobian, (np.size(residuals), theta.size)), np.float64)
                return _curvature(J.T @ J, "Gauss-Newton matrix")
        raise TypeError(
            f"f must have residuals_and_jacobian(theta), as a sum of squares, or gauss_newton(theta), got "
            f"{type(self.f).__name__} without them. Newton methods need a Hessian instead"
        )


def _curvature(matrix: Array, what: str) -> Array:
    matrix = np.asarray(matrix, np.float64)
    if not np.isfinite(matrix).all():
        raise DivergenceError(f"the {what} is not finite. The last finite parameters are in place")
    symmetric: Array = (matrix + matrix.T) / 2
    return symmetric
