"""Chosen columns of the input; columns is an integer array (width,), in which a number may occur several times."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._common import Array

__all__ = ["select_backward", "select_forward"]


def select_forward(x: Array, columns: NDArray[np.integer[Any]]) -> Array:
    """y_ij = x_{i, columns_j}.

    >>> select_forward(np.array([[1.0, 2.0, 3.0]]), np.array([2, 0, 2])).tolist()
    [[3.0, 1.0, 3.0]]
    """
    return x[:, columns]


def select_backward(dy: Array, columns: NDArray[np.integer[Any]], inputs: int) -> Array:
    """dx_ic = Σ_j dy_ij over all j with columns_j = c.

    >>> select_backward(np.array([[5.0, 6.0, 7.0]]), np.array([2, 0, 2]), 4).tolist()
    [[6.0, 0.0, 12.0, 0.0]]
    """
    dx = np.zeros((len(dy), inputs), dtype=dy.dtype)
    np.add.at(dx.T, columns, dy.T)
    return dx
