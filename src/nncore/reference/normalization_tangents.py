"""The R-operator of `tangents` through normalization: R{} of `batch_norm` and `group_norm`, for products with the Hessian.

Mean μ and rstd = 1/√(σ² + ε) depend on x, so the tangent of one element changes all outputs of its channel or group. With

    x̂ = rstd (x − μ),   y = γ x̂ + β,   dx = rstd (g − mean(g) − q x̂),   g = γ dy,   q = mean(g x̂)

and v_γ, v_β the direction's parts for γ and β, the product rule gives line by line

    R{μ} = mean(tx),   R{rstd} = −rstd² p,   p = mean(tx x̂),
    R{x̂} = rstd (tx − mean(tx) − p x̂),
    R{y} = γ R{x̂} + v_γ x̂ + v_β,
    R{g} = γ tdy + v_γ dy,   R{q} = mean(R{g} x̂ + g R{x̂}),
    R{dx} = R{rstd} (g − mean(g) − q x̂) + rstd (R{g} − mean(R{g}) − R{q} x̂ − q R{x̂}),
    R{dγ} = Σ (tdy x̂ + dy R{x̂}),   R{dβ} = Σ tdy.

R{x̂} is ``backward`` of tx with γ = 1: the Jacobian of x̂ is symmetric. Where the statistics are constants, R{x̂} = rstd tx and
R{dx} = rstd R{g}. RMS normalization (``centered=False``) has no mean(x), mean(tx), mean(g) and mean(R{g}). Shapes are those of
`batch_norm` and `group_norm`.
"""

import numpy as np

from ._common import Array
from .batch_norm import OVER, _column, batch_norm_backward
from .group_norm import group_norm_backward, group_norm_forward, rms_norm_backward, rms_norm_forward

__all__ = [
    "batch_norm_tangent_backward", "batch_norm_tangent_backward_statistics", "batch_norm_tangent_backward_sums",
    "batch_norm_tangent_forward", "batch_norm_tangent_statistics", "group_norm_tangent_backward",
    "group_norm_tangent_backward_weight", "group_norm_tangent_forward", "rms_norm_tangent_backward",
    "rms_norm_tangent_backward_weight", "rms_norm_tangent_forward",
]  # fmt: skip


def batch_norm_tangent_statistics(tx: Array, x: Array, mean: Array, rstd: Array) -> tuple[Array, Array]:
    """mean(tx) and p = mean(tx x̂): R{μ} = mean(tx), R{rstd} = −rstd² p."""
    return tx.mean(axis=OVER), (tx * (x - _column(mean)) * _column(rstd)).mean(axis=OVER)


def batch_norm_tangent_forward(
    tx: Array, x: Array, mean: Array, rstd: Array, weight: Array, v_weight: Array, v_bias: Array, *, constant: bool = False
) -> Array:
    """R{y} = γ R{x̂} + v_γ x̂ + v_β, R{x̂} = rstd (tx − mean(tx) − p x̂), or rstd tx where mean and rstd are constants.

    >>> tx, x = np.array([[[1.0]], [[2.0]]]), np.array([[[1.0]], [[5.0]]])
    >>> of_channel = [np.array([a]) for a in (3.0, 0.5, 1.0, 2.0, 7.0)]
    >>> batch_norm_tangent_forward(tx, x, *of_channel).ravel().tolist()  # two numbers are always normalized to −1 and 1
    [5.0, 9.0]
    """
    x_hat = (x - _column(mean)) * _column(rstd)
    tx_hat = batch_norm_backward(tx, x, mean, rstd, np.ones_like(rstd), constant=constant)
    return np.asarray(_column(weight) * tx_hat + _column(v_weight) * x_hat + _column(v_bias))


def batch_norm_tangent_backward_sums(
    tdy: Array, dy: Array, tx: Array, x: Array, mean: Array, rstd: Array, *, constant: bool = False
) -> tuple[Array, Array]:
    """R{dβ} = Σ tdy and R{dγ} = Σ (tdy x̂ + dy R{x̂})."""
    x_hat = (x - _column(mean)) * _column(rstd)
    tx_hat = batch_norm_backward(tx, x, mean, rstd, np.ones_like(rstd), constant=constant)
    return tdy.sum(axis=OVER), (tdy * x_hat + dy * tx_hat).sum(axis=OVER)


def batch_norm_tangent_backward_statistics(
    tdy: Array, dy: Array, tx: Array, x: Array, mean: Array, rstd: Array, weight: Array, v_weight: Array
) -> tuple[Array, Array, Array, Array]:
    """mean(g), q = mean(g x̂) and their tangents mean(R{g}), R{q} = mean(R{g} x̂ + g R{x̂})."""
    tdbias, tdweight = batch_norm_tangent_backward_sums(tdy, dy, tx, x, mean, rstd)
    m, x_hat = x.size / x.shape[1], (x - _column(mean)) * _column(rstd)
    dbias, dweight = dy.sum(axis=OVER), (dy * x_hat).sum(axis=OVER)
    mean_tg, tq = (weight * tdbias + v_weight * dbias) / m, (weight * tdweight + v_weight * dweight) / m
    return weight * dbias / m, weight * dweight / m, mean_tg, tq


def batch_norm_tangent_backward(
    tdy: Array, dy: Array, tx: Array, x: Array, mean: Array, rstd: Array, weight: Array, v_weight: Array, *,
    constant: bool = False,
) -> Array:  # fmt: skip
    """R{dx} = −rstd² p (g − mean(g) − q x̂) + rstd (R{g} − mean(R{g}) − R{q} x̂ − q R{x̂}), or rstd R{g} with constants."""
    g, tg = _column(weight) * dy, _column(weight) * tdy + _column(v_weight) * dy
    if constant:
        return np.asarray(_column(rstd) * tg)
    x_hat = (x - _column(mean)) * _column(rstd)
    tx_hat = batch_norm_backward(tx, x, mean, rstd, np.ones_like(rstd))
    p = batch_norm_tangent_statistics(tx, x, mean, rstd)[1]
    statistics = batch_norm_tangent_backward_statistics(tdy, dy, tx, x, mean, rstd, weight, v_weight)
    mean_g, q, mean_tg, tq = (_column(a) for a in statistics)
    return _column(-(rstd**2) * p) * (g - mean_g - q * x_hat) + _column(rstd) * (tg - mean_tg - tq * x_hat - q * tx_hat)


def _x_hat(x: Array, eps: float, centered: bool) -> Array:
    one, zero = np.ones(x.shape[1:]), np.zeros(x.shape[1:])
    return (group_norm_forward if centered else rms_norm_forward)(x, one, zero, eps)


def _tx_hat(tx: Array, x: Array, eps: float, centered: bool) -> Array:
    return (group_norm_backward if centered else rms_norm_backward)(tx, x, np.ones(x.shape[1:]), eps)


def group_norm_tangent_forward(
    tx: Array, x: Array, weight: Array, v_weight: Array, v_bias: Array, eps: float, *, centered: bool = True
) -> Array:
    """R{y} = γ R{x̂} + v_γ x̂ + v_β, R{x̂} = rstd (tx − mean(tx) − p x̂), p = mean(tx x̂), over each group of each row."""
    return np.asarray(weight * _tx_hat(tx, x, eps, centered) + v_weight * _x_hat(x, eps, centered) + v_bias)


def group_norm_tangent_backward(
    tdy: Array, dy: Array, tx: Array, x: Array, weight: Array, v_weight: Array, eps: float, *, centered: bool = True
) -> Array:
    """R{dx} = −rstd² p (g − mean(g) − q x̂) + rstd (R{g} − mean(R{g}) − R{q} x̂ − q R{x̂}), means over each group of each row."""

    def mean(a: Array) -> Array:
        return np.asarray(a.mean(axis=-1, keepdims=True))

    x_hat, tx_hat = _x_hat(x, eps, centered), _tx_hat(tx, x, eps, centered)
    variance = mean((x - mean(x)) ** 2) if centered else mean(x**2)
    rstd, p = 1 / np.sqrt(variance + eps), mean(tx * x_hat)
    g, tg = weight * dy, weight * tdy + v_weight * dy
    q, tq = mean(g * x_hat), mean(tg * x_hat + g * tx_hat)
    if centered:
        g, tg = g - mean(g), tg - mean(tg)
    return np.asarray(-(rstd**2) * p * (g - q * x_hat) + rstd * (tg - tq * x_hat - q * tx_hat))


def group_norm_tangent_backward_weight(
    tdy: Array, dy: Array, tx: Array, x: Array, eps: float, *, centered: bool = True
) -> tuple[Array, Array]:
    """R{dγ} = Σ_rows (tdy x̂ + dy R{x̂}), R{dβ} = Σ_rows tdy."""
    return (tdy * _x_hat(x, eps, centered) + dy * _tx_hat(tx, x, eps, centered)).sum(axis=0), tdy.sum(axis=0)


def rms_norm_tangent_forward(tx: Array, x: Array, weight: Array, v_weight: Array, v_bias: Array, eps: float) -> Array:
    """R{y} = γ R{x̂} + v_γ x̂ + v_β, R{x̂} = rstd (tx − p x̂), p = mean(tx x̂).

    >>> tx, x, one = np.array([[[1.0, 7.0]]]), np.array([[[1.0, 7.0]]]), np.ones((1, 2))
    >>> rms_norm_tangent_forward(tx, x, one, 0 * one, 2 * one, 0.0).ravel().round(12).tolist()  # independent of ‖x‖
    [2.0, 2.0]
    """
    return group_norm_tangent_forward(tx, x, weight, v_weight, v_bias, eps, centered=False)


def rms_norm_tangent_backward(tdy: Array, dy: Array, tx: Array, x: Array, weight: Array, v_weight: Array, eps: float) -> Array:
    """R{dx} = −rstd² p (g − q x̂) + rstd (R{g} − R{q} x̂ − q R{x̂}).

    >>> tdy, dy, tx, x = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 7.0], [1.0, 7.0]])[:, None, None, :]
    >>> one = np.ones((1, 2))  # dx is proportional to 1/‖x‖
    >>> rms_norm_tangent_backward(tdy, dy, tx, x, one, 0 * one, 0.0).ravel().round(3).tolist()
    [-0.196, 0.028]
    """
    return group_norm_tangent_backward(tdy, dy, tx, x, weight, v_weight, eps, centered=False)


def rms_norm_tangent_backward_weight(tdy: Array, dy: Array, tx: Array, x: Array, eps: float) -> tuple[Array, Array]:
    """R{dγ} = Σ_rows (tdy x̂ + dy R{x̂}), R{dβ} = Σ_rows tdy, with R{x̂} = rstd (tx − p x̂)."""
    return group_norm_tangent_backward_weight(tdy, dy, tx, x, eps, centered=False)
