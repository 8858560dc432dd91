"""Batch normalization of x (rows, channels, length): mean and variance of each channel over rows and length.

With m = rows · length, μ = mean(x) and σ² = mean((x − μ)²):  x̂ = (x − μ) / √(σ² + ε),  y = γ x̂ + β.  Batch renormalization
uses r x̂ + d instead of x̂; r and d are 1 and 0 otherwise. weight is γ, bias β, rstd 1/√(σ² + ε); these and all statistics are
(channels,). The functions are in the order of the compiled program: forward, then backward.
"""

from typing import Any

import numpy as np

from ._common import Array

__all__ = [
    "batch_norm_backward", "batch_norm_backward_statistics", "batch_norm_backward_sums", "batch_norm_constants",
    "batch_norm_forward", "batch_norm_relu_backward", "batch_norm_relu_backward_sums", "batch_norm_relu_forward",
    "batch_norm_statistics", "batch_norm_sums", "batch_norm_track", "batch_renorm_statistics", "batch_renorm_track",
]  # fmt: skip

OVER = (0, 2)  # the axes of a mean


def _column(a: Array) -> Array:
    """One number per channel, shaped to broadcast against x."""
    return np.asarray(a)[..., :, None]


def batch_norm_sums(x: Array) -> tuple[Array, Array, Array]:
    """origin = x of the first row, sum = Σ (x − origin), square = Σ (x − origin)², of a block of rows.

    Differences from one of the values keep σ² = square/m − (sum/m)² exact when the mean is large.

    >>> origin, sum, square = batch_norm_sums(np.array([[[1e6]], [[1e6 + 2]]]))
    >>> sum.tolist(), square.tolist()
    ([2.0], [4.0])
    """
    origin = x[0, :, 0].copy()
    away = x - _column(origin)
    return origin, away.sum(axis=OVER), (away**2).sum(axis=OVER)


def batch_norm_statistics(x: Array, eps: float) -> tuple[Array, Array, Array]:
    """μ = mean(x), σ² = mean((x − μ)²), rstd = 1/√(σ² + ε), in two passes."""
    mean = x.mean(axis=OVER)
    variance = ((x - _column(mean)) ** 2).mean(axis=OVER)
    return mean, variance, 1 / np.sqrt(variance + eps)


def batch_renorm_statistics(
    mean: Array, rstd: Array, running_mean: Array, running_var: Array, r_max: float, d_max: float, eps: float
) -> tuple[Array, Array]:
    """r = clip(σ_B/σ, 1/r_max, r_max), d = clip((μ_B − μ)/σ, −d_max, d_max), with σ² = running_var + ε, σ_B = 1/rstd.

    Ioffe: Batch renormalization, 2017.

    >>> r, d = batch_renorm_statistics(*map(np.array, ([3.0], [0.5], [0.0], [1.0])), r_max=1.5, d_max=5.0, eps=0.0)
    >>> r.tolist(), d.tolist()
    ([1.5], [3.0])
    """
    deviation = np.sqrt(running_var + eps)
    return np.clip(1 / rstd / deviation, 1 / r_max, r_max), np.clip((mean - running_mean) / deviation, -d_max, d_max)


def batch_norm_constants(mean: Array, variance: Array, weight: Array, bias: Array, eps: float) -> tuple[Array, Array]:
    """scale = γ/√(σ² + ε), shift = β − μ scale: with constant statistics, y = scale x + shift."""
    scale = weight / np.sqrt(variance + eps)
    return scale, bias - mean * scale


def batch_norm_forward(x: Array, mean: Array, rstd: Array, weight: Array, bias: Array, r: Any = 1.0, d: Any = 0.0) -> Array:
    """y = γ (r x̂ + d) + β, x̂ = (x − μ) rstd.

    >>> x = np.array([[[1.0]], [[5.0]]])
    >>> batch_norm_forward(x, np.array([3.0]), np.array([0.5]), np.array([1.0]), np.array([0.0])).ravel().tolist()
    [-1.0, 1.0]
    """
    x_hat = (x - _column(mean)) * _column(rstd)
    return _column(weight) * (np.reshape(r, (-1, 1)) * x_hat + np.reshape(d, (-1, 1))) + _column(bias)


def batch_norm_relu_forward(
    x: Array, mean: Array, rstd: Array, weight: Array, bias: Array, r: Any = 1.0, d: Any = 0.0
) -> Array:
    """h = max(y, 0), y = `batch_norm_forward`."""
    return np.maximum(batch_norm_forward(x, mean, rstd, weight, bias, r, d), 0)


def batch_norm_track(running: Array, batch: Array, momentum: float | None, batches: int) -> Array:
    """running + a (batch − running), a = momentum, or 1/batches for the mean of all batches so far.

    The statistics are means or variances; for unbiased variances, ``batch`` is the batch variance times m/(m − 1).
    """
    return running + (momentum if momentum is not None else 1 / batches) * (batch - running)


def batch_renorm_track(running_var: Array, var: Array, momentum: float | None, batches: int, eps: float) -> Array:
    """s² − ε, s = `batch_norm_track` of √(σ² + ε), of which batch renormalization takes the running average."""
    return np.maximum(batch_norm_track(np.sqrt(running_var + eps), np.sqrt(var + eps), momentum, batches) ** 2 - eps, 0)


def batch_norm_backward_sums(dy: Array, x: Array, mean: Array) -> tuple[Array, Array]:
    """Σ dy and Σ dy (x − μ), of a block of rows."""
    return dy.sum(axis=OVER), (dy * (x - _column(mean))).sum(axis=OVER)


def batch_norm_relu_backward_sums(dh: Array, h: Array, x: Array, mean: Array) -> tuple[Array, Array]:
    """`batch_norm_backward_sums` of dy = dh [h > 0]."""
    return batch_norm_backward_sums(dh * (h > 0), x, mean)


def batch_norm_backward_statistics(
    dy: Array, x: Array, mean: Array, rstd: Array, r: Any = 1.0, d: Any = 0.0
) -> tuple[Array, Array]:
    """∂l/∂γ = Σ dy (r x̂ + d), ∂l/∂β = Σ dy."""
    normalized = batch_norm_forward(x, mean, rstd, np.ones_like(mean), np.zeros_like(mean), r, d)
    return (dy * normalized).sum(axis=OVER), dy.sum(axis=OVER)


def batch_norm_backward(
    dy: Array, x: Array, mean: Array, rstd: Array, weight: Array, r: Any = 1.0, *, constant: bool = False
) -> Array:
    """dx = γ r rstd (dy − mean(dy) − x̂ mean(dy x̂)), as μ and σ² depend on x; with ``constant`` ones, dx = γ r rstd dy.

    >>> x, dy = np.array([[[0.0]], [[3.0]], [[3.0]]]), np.array([[[0.0]], [[0.0]], [[1.0]]])
    >>> mean, variance, rstd = batch_norm_statistics(x, 0.0)
    >>> (batch_norm_backward(dy, x, mean, rstd, np.array([1.0])).ravel().round(4) + 0.0).tolist()
    [0.0, -0.3536, 0.3536]
    """
    scale = _column(weight * r * rstd)
    if constant:
        return np.asarray(scale * dy)
    x_hat = (x - _column(mean)) * _column(rstd)
    mean_dy, mean_dy_x = (_column(a.mean(axis=OVER)) for a in (dy, dy * x_hat))
    return np.asarray(scale * (dy - mean_dy - x_hat * mean_dy_x))


def batch_norm_relu_backward(
    dh: Array, h: Array, x: Array, mean: Array, rstd: Array, weight: Array, r: Any = 1.0, *, constant: bool = False
) -> Array:
    """`batch_norm_backward` of dy = dh [h > 0]."""
    return batch_norm_backward(dh * (h > 0), x, mean, rstd, weight, r, constant=constant)
