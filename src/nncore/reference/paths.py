"""Sums over the paths of a network of rectifiers, from which γ of Path-SGD comes.

A path has one weight of each layer and counts as the product of their squares. z of a unit is the sum over the paths that lead
to it, d that over the paths from it to the outputs. A bias is the weight of an input that is 1. All sums are float64.
"""

import numpy as np

from ._common import Array

__all__ = ["path_backward", "path_forward"]


def path_forward(W: Array, b: Array | None, z_before: Array) -> Array:
    """z = (W ∘ W) z_before + b ∘ b, (units,); at the inputs of the network z = 1.

    >>> path_forward(np.array([[1.0, 2.0], [0.0, 3.0]]), np.array([1.0, 0.0]), np.ones(2)).tolist()
    [6.0, 9.0]
    """
    z: Array = np.square(W, dtype=np.float64) @ z_before
    return z if b is None else z + np.square(b, dtype=np.float64)


def path_backward(W: Array, d: Array, z_before: Array) -> tuple[Array, Array, Array]:
    """γ of W, d z_beforeᵀ; γ of b, d; and d_before = (W ∘ W)ᵀ d. At the outputs of the network d = 1.

    Neyshabur, Salakhutdinov, Srebro: Path-SGD: path-normalized optimization in deep neural networks, 2015.

    >>> W = np.array([[1.0, 2.0], [0.0, 3.0]])
    >>> [array.tolist() for array in path_backward(W, np.array([1.0, 10.0]), np.array([1.0, 4.0]))]
    [[[1.0, 4.0], [10.0, 40.0]], [1.0, 10.0], [1.0, 94.0]]
    """
    return np.outer(d, z_before), d.copy(), np.square(W, dtype=np.float64).T @ d
