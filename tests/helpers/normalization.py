"""Networks with normalization layers, and their gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

import nncore as nn
from nncore.losses import PythonLoss

Array = NDArray[Any]


def upstream(y: Array, r: Array) -> tuple[Array, Array]:
    """Σ r y per example: its gradient r is the δ that arrives from above."""
    return (r * y).reshape(len(y), -1).sum(axis=1), r


def data(rows: int, shape: tuple[int, ...], dtype: str, rng: np.random.Generator) -> tuple[Array, Array]:
    X = rng.normal(1, 2, (rows, *shape)).astype(dtype)
    return X, rng.standard_normal(X.shape).astype(dtype)


def gradients(model: nn.Sequential, X: Array, r: Array) -> tuple[Array, Array]:
    """∂Σ r y/∂x and ∂/∂θ: the loss is a mean over the rows."""
    deltas = model.deltas(X, r, PythonLoss(upstream))
    return deltas["input"] * len(X), model.loss_and_gradient(X, r, PythonLoss(upstream))[1] * len(X)


def normalized(rng: np.random.Generator, **options: Any) -> tuple[nn.Sequential, nn.BatchNorm]:
    layer = nn.BatchNorm(**options)
    return nn.Sequential([layer, nn.Dense(1)], input_shape=3, dtype="float64"), layer
