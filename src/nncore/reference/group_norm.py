"""Normalisation of each example by itself, x (rows, groups, size), and of the weights of a dense layer.

weight and bias are (groups, size): a number for each number of a row. Where a channel shares one, it is repeated.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]


def group_norm_forward(x: Array, weight: Array, bias: Array, eps: float) -> Array:
    """y = γ x̂ + β, x̂ = (x − μ)/√(σ² + ε), with μ = mean(x) and σ² = mean((x − μ)²) over each group of each row.

    Parameters
    ----------
    x : array (rows, groups, size)
    weight, bias : arrays (groups, size)
    eps : float

    Returns
    -------
    array (rows, groups, size)

    Examples
    --------
    >>> group_norm_forward(np.array([[[1.0, 5.0]]]), np.ones((1, 2)), np.zeros((1, 2)), 0.0).ravel().tolist()
    [-1.0, 1.0]
    """
    away = x - x.mean(axis=-1, keepdims=True)
    return weight * (away / np.sqrt((away**2).mean(axis=-1, keepdims=True) + eps)) + bias


def group_norm_backward(dy: Array, x: Array, weight: Array, eps: float) -> Array:
    """dx = (g − mean(g) − x̂ mean(g x̂)) / √(σ² + ε), g = γ dy.

    Parameters
    ----------
    dy, x : arrays (rows, groups, size)
    weight : array (groups, size)
    eps : float

    Returns
    -------
    array (rows, groups, size)

    Examples
    --------
    >>> x, dy = np.array([[[0.0, 3.0, 3.0]]]), np.array([[[0.0, 0.0, 1.0]]])
    >>> (group_norm_backward(dy, x, np.ones((1, 3)), 0.0).ravel().round(4) + 0.0).tolist()
    [0.0, -0.3536, 0.3536]
    """
    away = x - x.mean(axis=-1, keepdims=True)
    rstd = 1 / np.sqrt((away**2).mean(axis=-1, keepdims=True) + eps)
    g, x_hat = weight * dy, away * rstd
    return np.asarray(rstd * (g - g.mean(axis=-1, keepdims=True) - x_hat * (g * x_hat).mean(axis=-1, keepdims=True)))


def rms_norm_forward(x: Array, weight: Array, bias: Array, eps: float) -> Array:
    """y = γ x̂ + β, x̂ = x/√(mean(x²) + ε).

    Parameters
    ----------
    x : array (rows, groups, size)
    weight, bias : arrays (groups, size)
    eps : float

    Returns
    -------
    array (rows, groups, size)

    Examples
    --------
    >>> rms_norm_forward(np.array([[[1.0, 7.0]]]), np.ones((1, 2)), np.zeros((1, 2)), 0.0).ravel().round(3).tolist()
    [0.2, 1.4]
    """
    return weight * (x / np.sqrt((x**2).mean(axis=-1, keepdims=True) + eps)) + bias


def rms_norm_backward(dy: Array, x: Array, weight: Array, eps: float) -> Array:
    """dx = (g − x̂ mean(g x̂)) / √(mean(x²) + ε), g = γ dy.

    Parameters
    ----------
    dy, x : arrays (rows, groups, size)
    weight : array (groups, size)
    eps : float

    Returns
    -------
    array (rows, groups, size)

    Examples
    --------
    >>> rms_norm_backward(np.array([[[1.0, 0.0]]]), np.array([[[1.0, 7.0]]]), np.ones((1, 2)), 0.0).ravel().round(3).tolist()
    [0.196, -0.028]
    """
    rstd = 1 / np.sqrt((x**2).mean(axis=-1, keepdims=True) + eps)
    g, x_hat = weight * dy, x * rstd
    return np.asarray(rstd * (g - x_hat * (g * x_hat).mean(axis=-1, keepdims=True)))


def group_norm_backward_weight(dy: Array, x_hat: Array) -> tuple[Array, Array]:
    """∂l/∂γ = Σ_rows dy x̂, ∂l/∂β = Σ_rows dy.

    Parameters
    ----------
    dy, x_hat : arrays (rows, groups, size)

    Returns
    -------
    dweight, dbias : arrays (groups, size)
        To be summed over the numbers that share a weight.

    Examples
    --------
    >>> dweight, dbias = group_norm_backward_weight(np.array([[[2.0]], [[3.0]]]), np.array([[[1.0]], [[-1.0]]]))
    >>> dweight.item(), dbias.item()
    (-1.0, 5.0)
    """
    return (dy * x_hat).sum(axis=0), dy.sum(axis=0)


def weight_norm_weight(direction: Array, length: Array) -> Array:
    """W_u = g_u v_u / ‖v_u‖ for each unit u.

    Parameters
    ----------
    direction : array (units, inputs)
    length : array (units,)

    Returns
    -------
    array (units, inputs)

    Examples
    --------
    >>> weight_norm_weight(np.array([[3.0, 4.0]]), np.array([10.0])).tolist()
    [[6.0, 8.0]]
    """
    return np.asarray(length[:, None] * direction / np.linalg.norm(direction, axis=1)[:, None])


def weight_norm_backward(dW: Array, direction: Array, length: Array) -> tuple[Array, Array]:
    """dg = dW · v/‖v‖, dv = g/‖v‖ (dW − dg v/‖v‖), for each unit.

    Parameters
    ----------
    dW, direction : arrays (units, inputs)
    length : array (units,)

    Returns
    -------
    ddirection : array (units, inputs)
    dlength : array (units,)

    References
    ----------
    Salimans, Kingma: Weight normalization (2016).

    Examples
    --------
    >>> dv, dg = weight_norm_backward(np.array([[1.0, 0.0]]), np.array([[3.0, 4.0]]), np.array([10.0]))
    >>> dv.round(3).tolist(), dg.round(3).tolist()
    ([[1.28, -0.96]], [0.6])
    """
    norm = np.linalg.norm(direction, axis=1)
    dlength = (dW * direction).sum(axis=1) / norm
    return (length / norm)[:, None] * (dW - (dlength / norm)[:, None] * direction), dlength
