"""The dense layer y = x Wᵀ + b and its three gradients (Rumelhart, Hinton, Williams: Learning representations by
back-propagating errors, 1986; Goodfellow, Bengio, Courville: Deep Learning, 2016, section 6.5).

x is (rows, inputs), W (units, inputs), b (units,), y and dy (rows, units). dy is the gradient of the loss with respect
to y; where the loss is a mean over the batch, the factor 1/rows is in dy already, so that the gradients of W and b are
plain sums over the rows.
"""

import numpy as np

from ._common import Array

__all__ = ["dense_backward_bias", "dense_backward_input", "dense_backward_weight", "dense_forward", "pack_weight"]


def dense_forward(x: Array, W: Array, b: Array | None = None) -> Array:
    """y = x Wᵀ + b, that is y_ru = Σ_i x_ri W_ui + b_u.

    >>> dense_forward(np.array([[1.0, 2.0]]), np.array([[3.0, 4.0], [5.0, 6.0]]), np.array([0.5, 0.0])).tolist()
    [[11.5, 17.0]]
    """
    y = x @ W.T
    return y if b is None else y + b


def dense_backward_input(dy: Array, W: Array) -> Array:
    """dx = dy W, that is dx_ri = Σ_u dy_ru W_ui."""
    return dy @ W


def dense_backward_weight(dy: Array, x: Array) -> Array:
    """dW = dyᵀ x, that is dW_ui = Σ_r dy_ru x_ri.

    >>> dense_backward_weight(np.array([[1.0], [2.0]]), np.array([[3.0, 4.0], [5.0, 6.0]])).tolist()
    [[13.0, 16.0]]
    """
    return dy.T @ x


def dense_backward_bias(dy: Array) -> Array:
    """db_u = Σ_r dy_ru."""
    return np.asarray(dy.sum(axis=0))


def pack_weight(W: Array, panel: int, lanes: int) -> Array:
    """packed[k][i][u] = W_{k · panel + u, i}: W in panels of ``panel`` units, each transposed; its rows end in zeros.

    The compiled forward product reads W in this order: for one input the weights of all units of a panel, in whole
    vectors of ``lanes`` numbers; ``panel`` is a multiple of ``lanes``. The last panel may be narrower than the others.

    Goto, van de Geijn: Anatomy of high-performance matrix multiplication, 2008.

    >>> W = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    >>> pack_weight(W, panel=2, lanes=2).tolist()
    [1.0, 3.0, 2.0, 4.0, 5.0, 0.0, 6.0, 0.0]
    """
    units, inputs = W.shape
    panels = []
    for first in range(0, units, panel):
        part = W[first : first + panel]
        packed = np.zeros((inputs, -(-len(part) // lanes) * lanes), W.dtype)
        packed[:, : len(part)] = part.T
        panels.append(packed.ravel())
    return np.concatenate(panels)
