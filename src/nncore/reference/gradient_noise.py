"""Gaussian noise on a gradient g, which is changed in place."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .random import random_normal

Array = NDArray[np.floating[Any]]


def gradient_noise(grad: Array, step: int, sigma: float, seed: int = 0) -> None:
    """g ← g + σ n, n ~ N(0, 1) for each element, from (seed, step, place in g) alone: `random_normal` of layer 0, stream 1.

    Parameters
    ----------
    grad : array (n,)
    step : int
    sigma : float
        √(η/(1+t)^γ) with Neelakantan et al.
    seed : int

    References
    ----------
    Neelakantan, Vilnis, Le, Sutskever, Kaiser, Kurach, Martens: Adding gradient noise improves learning for very deep
    networks (2015).

    Examples
    --------
    >>> g = np.zeros(3)
    >>> gradient_noise(g, step=0, sigma=0.0)
    >>> g.tolist()
    [0.0, 0.0, 0.0]
    """
    grad += (sigma * random_normal(grad.size, seed=seed, layer=0, stream=1, step=step)).astype(grad.dtype)
