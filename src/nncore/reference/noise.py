"""Noise on activations: dropout, Gaussian noise, Gaussian dropout.

All are functions of an array (rows, width) and of the numbers of `random_bits` or `random_normal` for its elements, in
row-major order; ``draw`` are their keywords ``seed, layer, stream, step``. The backward functions draw the same numbers again.
"""

import numpy as np

from ._common import Array
from .random import random_bits, random_normal

__all__ = [
    "dropout_backward", "dropout_forward", "gaussian_dropout_backward", "gaussian_dropout_forward", "gaussian_noise_forward",
    "scaled_backward", "scaled_forward",
]  # fmt: skip


def dropout_forward(x: Array, rate: float, scale: float = 1.0, **draw: int) -> Array:
    """y_i = 0 with probability ``rate``, otherwise scale · x_i.

    An element is dropped if its 32-bit number is below rate · 2³², rounded to an integer: the probability is exact to 2⁻³³.
    scale = 1/(1 − rate) keeps the mean ("inverted" dropout).

    Srivastava et al.: Dropout: a simple way to prevent neural networks from overfitting, 2014.

    >>> dropout_forward(np.ones((2, 4)), 0.5, 2.0, seed=1).tolist()
    [[2.0, 2.0, 0.0, 2.0], [0.0, 2.0, 0.0, 2.0]]
    """
    bits = random_bits(x.size, **draw).reshape(x.shape)
    return np.where(bits < np.round(rate * 2**32), 0, x * x.dtype.type(scale))


def dropout_backward(dy: Array, rate: float, scale: float = 1.0, **draw: int) -> Array:
    """y_i = 0 or scale · x_i, so ∂l/∂x_i = 0 or scale · ∂l/∂y_i, with the same mask."""
    return dropout_forward(dy, rate, scale, **draw)


def scaled_forward(x: Array, factor: float) -> Array:
    """y = factor · x: unscaled dropout at test time, with factor = 1 − rate."""
    return x * x.dtype.type(factor)


def scaled_backward(dy: Array, factor: float) -> Array:
    """y = factor · x, so ∂l/∂x = factor · ∂l/∂y."""
    return scaled_forward(dy, factor)


def gaussian_noise_forward(x: Array, stddev: float, **draw: int) -> Array:
    """y_i = x_i + stddev · ε_i, ε_i ~ N(0, 1). Backward: ∂l/∂x = ∂l/∂y, nothing to compute.

    >>> gaussian_noise_forward(np.zeros((1, 3)), 0.1, seed=1).round(3).tolist()
    [[-0.101, -0.037, 0.146]]
    """
    noise = random_normal(x.size, **draw).reshape(x.shape)
    return (x + stddev * noise).astype(x.dtype)


def gaussian_dropout_forward(x: Array, stddev: float, **draw: int) -> Array:
    """y_i = x_i (1 + stddev · ε_i), ε_i ~ N(0, 1); stddev = √(rate/(1 − rate)) has dropout's mean and variance.

    Srivastava et al., 2014, section 10.
    """
    noise = random_normal(x.size, **draw).reshape(x.shape)
    return (x * (1 + stddev * noise)).astype(x.dtype)


def gaussian_dropout_backward(dy: Array, stddev: float, **draw: int) -> Array:
    """y_i = x_i (1 + stddev · ε_i), so ∂l/∂x_i = (1 + stddev · ε_i) ∂l/∂y_i, with the same ε."""
    return gaussian_dropout_forward(dy, stddev, **draw)
