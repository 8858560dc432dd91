"""Gaussian noise on a gradient g, which is changed in place."""

from ._common import Array
from .random import random_normal

__all__ = ["gradient_noise"]


def gradient_noise(grad: Array, step: int, sigma: float, seed: int = 0) -> None:
    """g ← g + σ n, n ~ N(0, 1) for each element: `random_normal` of layer 0, stream 1, a function of (seed, step, index).

    σ = √(η/(1+t)^γ) in Neelakantan et al.: Adding gradient noise improves learning for very deep networks, 2015.

    >>> import numpy as np
    >>> g = np.zeros(3)
    >>> gradient_noise(g, step=0, sigma=0.1)
    >>> g.round(3).tolist()
    [0.109, 0.091, 0.188]
    """
    grad += (sigma * random_normal(grad.size, seed=seed, layer=0, stream=1, step=step)).astype(grad.dtype)
