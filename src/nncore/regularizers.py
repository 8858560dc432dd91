"""Penalties on the weights, added to the loss: l(θ) + Σ_W r(W). Biases are left alone."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from nncore.model import Sequential

__all__ = ["L1", "L2", "ElasticNet", "Regularizer"]


class Regularizer:
    """Penalty Σ_W l1 Σ|w| + ½ l2 Σ w² over the weight arrays W; its gradient is l1 sign(w) + l2 w.

    The loss that training reports contains it; the column ``penalty`` shows it alone. With a plain gradient step an L2 penalty
    is weight decay; with an adaptive optimizer it is not, because the step divides it as well.
    """

    l1: float = 0.0
    l2: float = 0.0

    def value(self, model: Sequential) -> float:
        """The penalty of a model's weights."""
        total = 0.0
        for layer in model.layers:
            for name, parameter in layer.parameters.items():
                if parameter.regularized:
                    w = getattr(layer, name).ravel().astype(np.float64)
                    total += self.l1 * float(np.abs(w).sum()) + 0.5 * self.l2 * float(w @ w)
        return total

    def config(self) -> dict[str, Any]:
        """The constructor's arguments, as JSON can hold them."""
        return {name: value for name, value in (("l1", self.l1), ("l2", self.l2)) if value}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{value!r}' for value in self.config().values())})"


class L2(Regularizer):
    """½ λ ‖W‖², gradient λ W: what PyTorch's ``weight_decay`` adds to the gradient. Keras's ``L2(λ)`` is λ ‖W‖², twice this.

    Parameters
    ----------
    strength : float
        λ ≥ 0.

    Examples
    --------
    >>> import nncore as nn
    >>> model = nn.Sequential([nn.Dense(2, weight_init="zeros")], input_shape=2)
    >>> model.layers[0].weight[...] = 1
    >>> nn.L2(0.1).value(model)
    0.2
    """

    def __init__(self, strength: float) -> None:
        self.l2 = _strength("strength", strength)


class L1(Regularizer):
    """λ Σ|w|, gradient λ sign(w), 0 at 0.

    Parameters
    ----------
    strength : float
        λ ≥ 0.
    """

    def __init__(self, strength: float) -> None:
        self.l1 = _strength("strength", strength)


class ElasticNet(Regularizer):
    """l1 Σ|w| + ½ l2 ‖W‖².

    Parameters
    ----------
    l1, l2 : float
        Both ≥ 0.
    """

    def __init__(self, l1: float, l2: float) -> None:
        self.l1, self.l2 = _strength("l1", l1), _strength("l2", l2)


def _strength(name: str, value: float) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < math.inf:
        raise ValueError(f"{name} must be a number of at least 0, got {value!r}")
    return float(value)
