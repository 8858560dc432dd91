"""The gradient of a penalty, outside of a compiled training step."""

from __future__ import annotations

import numpy as np

from nncore.model import Sequential
from nncore.regularizers import Regularizer
from nncore.second_order.objective import Array

__all__ = ["penalty_gradient"]


def penalty_gradient(model: Sequential, regularizer: Regularizer) -> Array:
    """l1 sign(w) + l2 w where weights are, 0 elsewhere: (n,)."""
    gradient = np.zeros_like(model.parameters)
    for layer in model.layers:
        for name, parameter in layer.parameters.items():
            if parameter.regularized:
                w = getattr(layer, name).ravel()
                part = slice(parameter.offset, parameter.offset + parameter.size)
                gradient[part] = regularizer.l1 * np.sign(w) + regularizer.l2 * w
    return gradient
