"""The loss of a network as a function of its parameter vector."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from nncore import regularizers
from nncore._utils.checks import as_floats
from nncore.losses import Loss
from nncore.model.curvature.operators import GaussNewtonOperator, HessianOperator
from nncore.model.sequential import Sequential, checked_model
from nncore.regularizers import Regularizer
from nncore.second_order.objective import Array

__all__ = ["ModelObjective"]


class ModelObjective:
    """f(θ) = mean loss over the rows of X + penalty, as an `Objective`: with gradient, Hessian and Gauss-Newton matrix.

    It uses a copy of the model; the model itself is not changed.

    Parameters
    ----------
    model : nncore.Sequential
    X, y, loss : as for ``Sequential.loss_and_gradient``
    regularizer : Regularizer, optional
    sample_weight : array_like (n,), optional
        w ≥ 0: Σ w_i l_i / n instead of the mean, as in ``Trainer.fit``.

    Examples
    --------
    >>> import numpy as np
    >>> import nncore as nn
    >>> from nncore.second_order import Newton
    >>> model = nn.Sequential([nn.Dense(1)], input_shape=1, dtype="float64")
    >>> f = ModelObjective(model, np.array([[0.0], [1.0]]), np.array([1.0, 3.0]), "squared_error")
    >>> Newton().minimize(f, model.parameters, steps=1).theta[-1].round(12)  # the line through both points
    array([2., 1.])
    """

    def __init__(
        self, model: Sequential, X: Any, y: Any, loss: Loss | str | Callable[..., Any], regularizer: Regularizer | None = None,
        sample_weight: Any = None,
    ) -> None:  # fmt: skip
        self.model, self.X, self.y, self.loss, self.sample_weight = checked_model(model).copy(), X, y, loss, sample_weight
        self.regularizer = regularizers.get(regularizer, self.model)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_loss"}  # which is bound to this model

    def _move(self, theta: Array) -> None:
        """Put the model's parameters there."""
        numbers = as_floats(theta, "theta")
        if numbers.shape != self.model.parameters.shape:
            raise ValueError(f"theta must have shape {self.model.parameters.shape}, got {numbers.shape}")
        self.model.parameters[...] = numbers

    def value_and_gradient(self, theta: Array) -> tuple[float, Array]:
        """f and ∂f/∂θ (n,)."""
        self._move(theta)
        value, gradient = self._loss(0), self.model.gradients.copy()
        if self.regularizer is not None:
            value += self.regularizer.value(self.model)
            gradient += self.regularizer.gradient(self.model)
        return value, gradient

    def hessian_product(self, theta: Array, v: Array) -> Array:
        """Hv (n,), without forming H."""
        self._move(theta)
        return self._hessian.products(v)

    def hessian(self, theta: Array) -> Array:
        """H (n, n)."""
        self._move(theta)
        return self._hessian.matrix()

    def gauss_newton(self, theta: Array) -> Array:
        """Jᵀ (∂²l/∂y²) J (n, n), y the outputs; for ``squared_error`` that is JᵀJ / rows."""
        self._move(theta)
        return self._gauss_newton.matrix()

    @functools.cached_property
    def _loss(self) -> Callable[[int], float]:
        """The loss by the step; the gradient is then in the model."""
        return self.model.gradient_pass(self.X, self.y, self.loss, weights=self.sample_weight)[0]

    @functools.cached_property
    def _hessian(self) -> HessianOperator:
        return HessianOperator(self.model, self.X, self.y, self.loss, self.regularizer, self.sample_weight)

    @functools.cached_property
    def _gauss_newton(self) -> GaussNewtonOperator:
        return GaussNewtonOperator(self.model, self.X, self.y, self.loss, self.regularizer, self.sample_weight)
