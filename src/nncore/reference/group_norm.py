"""Group and RMS normalization, which treat each example separately, and weight normalization of a dense layer.

x is (rows, groups, size); weight γ and bias β are (groups, size): one number per element of a row, repeated where a channel
shares one.
"""

import numpy as np

from ._common import Array

__all__ = [
    "group_norm_backward", "group_norm_backward_weight", "group_norm_forward", "rms_norm_backward", "rms_norm_forward",
    "weight_norm_backward", "weight_norm_weight",
]  # fmt: skip


def group_norm_forward(x: Array, weight: Array, bias: Array, eps: float) -> Array:
    """y = γ x̂ + β, x̂ = (x − μ)/√(σ² + ε), with μ = mean(x) and σ² = mean((x − μ)²) over each group of each row.

    >>> group_norm_forward(np.array([[[1.0, 5.0]]]), np.ones((1, 2)), np.zeros((1, 2)), 0.0).ravel().tolist()
    [-1.0, 1.0]
    """
    away = x - x.mean(axis=-1, keepdims=True)
    return weight * (away / np.sqrt((away**2).mean(axis=-1, keepdims=True) + eps)) + bias


def group_norm_backward(dy: Array, x: Array, weight: Array, eps: float) -> Array:
    """dx = (g − mean(g) − x̂ mean(g x̂)) / √(σ² + ε), g = γ dy."""
    away = x - x.mean(axis=-1, keepdims=True)
    rstd = 1 / np.sqrt((away**2).mean(axis=-1, keepdims=True) + eps)
    g, x_hat = weight * dy, away * rstd
    return np.asarray(rstd * (g - g.mean(axis=-1, keepdims=True) - x_hat * (g * x_hat).mean(axis=-1, keepdims=True)))


def rms_norm_forward(x: Array, weight: Array, bias: Array, eps: float) -> Array:
    """y = γ x̂ + β, x̂ = x/√(mean(x²) + ε).

    >>> rms_norm_forward(np.array([[[1.0, 7.0]]]), np.ones((1, 2)), np.zeros((1, 2)), 0.0).ravel().round(3).tolist()
    [0.2, 1.4]
    """
    return weight * (x / np.sqrt((x**2).mean(axis=-1, keepdims=True) + eps)) + bias


def rms_norm_backward(dy: Array, x: Array, weight: Array, eps: float) -> Array:
    """dx = (g − x̂ mean(g x̂)) / √(mean(x²) + ε), g = γ dy."""
    rstd = 1 / np.sqrt((x**2).mean(axis=-1, keepdims=True) + eps)
    g, x_hat = weight * dy, x * rstd
    return np.asarray(rstd * (g - x_hat * (g * x_hat).mean(axis=-1, keepdims=True)))


def group_norm_backward_weight(dy: Array, x_hat: Array) -> tuple[Array, Array]:
    """∂l/∂γ = Σ_rows dy x̂, ∂l/∂β = Σ_rows dy, still to be summed over elements that share a weight."""
    return (dy * x_hat).sum(axis=0), dy.sum(axis=0)


def weight_norm_weight(direction: Array, length: Array) -> Array:
    """W_u = g_u v_u / ‖v_u‖ for each unit u; v is ``direction`` (units, inputs), g ``length`` (units,).

    >>> weight_norm_weight(np.array([[3.0, 4.0]]), np.array([10.0])).tolist()
    [[6.0, 8.0]]
    """
    return np.asarray(length[:, None] * direction / np.linalg.norm(direction, axis=1)[:, None])


def weight_norm_backward(dW: Array, direction: Array, length: Array) -> tuple[Array, Array]:
    """dv = g/‖v‖ (dW − dg v/‖v‖) and dg = dW · v/‖v‖, for each unit (Salimans, Kingma: Weight normalization, 2016)."""
    norm = np.linalg.norm(direction, axis=1)
    dlength = (dW * direction).sum(axis=1) / norm
    return (length / norm)[:, None] * (dW - (dlength / norm)[:, None] * direction), dlength
