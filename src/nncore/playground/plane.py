"""The loss of a network on a plane through its parameters, as a function of two variables on which optimizers race."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nncore._kernels.blas import one_blas_thread
from nncore.landscapes import filter_normalized_directions
from nncore.model.curvature.operators import GaussNewtonOperator, HessianOperator
from nncore.second_order import ModelObjective

__all__ = ["NetworkPlane"]

Array = NDArray[np.float64]


class NetworkPlane:
    """f(a, b): the loss at θ + a d₁ + b d₂, θ the present parameters, both directions of `filter_normalized_directions`.

    The loss is that of training, with the penalty; gradient and curvature are those of the network, projected on the plane.
    In double precision: second-order methods go on until rounding stops them.
    """

    name = "network"
    start = np.array([-0.8, 0.7])
    bounds = np.array([[-1.0, 1.0], [-1.0, 1.0]])
    minima = np.empty((0, 2))
    lowest = None

    def __init__(self, model: Any, X: Any, y: Any, loss: Any, regularizer: Any = None) -> None:
        self.f = ModelObjective(model.astype("float64"), X, y, loss, regularizer)
        self.origin = self.f.model.parameters.astype(np.float64)
        self.directions = filter_normalized_directions(self.f.model, seed=0)

    def theta(self, x: Array) -> Array:
        """The parameters at the point x of the plane."""
        return np.asarray(self.origin + x[0] * self.directions[0] + x[1] * self.directions[1])

    def value(self, points: ArrayLike) -> Array:
        """The losses at points (…, 2)."""
        points = np.asarray(points, np.float64)
        losses = [self.f.value_and_gradient(self.theta(x))[0] for x in points.reshape(-1, 2)]
        return np.array(losses).reshape(points.shape[:-1])

    @one_blas_thread()
    def value_and_gradient(self, x: Array) -> tuple[float, Array]:
        value, gradient = self.f.value_and_gradient(self.theta(x))
        return value, self.directions @ gradient

    def hessian(self, x: Array) -> Array:
        return self._projected(HessianOperator, x)

    def gauss_newton(self, x: Array) -> Array:
        return self._projected(GaussNewtonOperator, x)

    @one_blas_thread()
    def _projected(self, operator: type[Any], x: Array) -> Array:
        f = self.f
        f.model.parameters[...] = self.theta(x)
        return np.asarray(operator(f.model, f.X, f.y, f.loss, f.regularizer).products(self.directions) @ self.directions.T)
