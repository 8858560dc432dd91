"""The R-operator of `tangents` through normalisation: R{} of `batch_norm` and `group_norm`, for products with the Hessian.

Mean μ and rstd = 1/√(σ² + ε) of some numbers x depend on x, so a tangent of one number changes all the others. With

    x̂ = rstd (x − μ),   y = γ x̂ + β,   dx = rstd (g − mean(g) − q x̂),   g = γ dy,   q = mean(g x̂)

and v_γ, v_β the direction's parts for γ and β, the product rule gives line by line

    R{μ} = mean(tx),   R{rstd} = −rstd² p,   p = mean(tx x̂),
    R{x̂} = rstd (tx − mean(tx) − p x̂),
    R{y} = γ R{x̂} + v_γ x̂ + v_β,
    R{g} = γ tdy + v_γ dy,   R{q} = mean(R{g} x̂ + g R{x̂}),
    R{dx} = R{rstd} (g − mean(g) − q x̂) + rstd (R{g} − mean(R{g}) − R{q} x̂ − q R{x̂}),
    R{dγ} = Σ (tdy x̂ + dy R{x̂}),   R{dβ} = Σ tdy.

R{x̂} is what ``backward`` makes of tx with γ = 1: the Jacobian of x̂ is symmetric. Where the statistics are constants,
R{x̂} = rstd tx and R{dx} = rstd R{g}.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .batch_norm import OVER, _column, batch_norm_backward
from .group_norm import group_norm_backward, group_norm_forward, rms_norm_backward, rms_norm_forward

Array = NDArray[np.floating[Any]]


def batch_norm_tangent_statistics(tx: Array, x: Array, mean: Array, rstd: Array) -> tuple[Array, Array]:
    """mean(tx) and p = mean(tx x̂): R{μ} = mean(tx), R{rstd} = −rstd² p.

    Parameters
    ----------
    tx, x : arrays (rows, channels, length)
    mean, rstd : arrays (channels,)

    Returns
    -------
    mean_tx, p : arrays (channels,)

    Examples
    --------
    >>> tx, x = np.array([[[1.0]], [[2.0]]]), np.array([[[1.0]], [[5.0]]])
    >>> [a.tolist() for a in batch_norm_tangent_statistics(tx, x, np.array([3.0]), np.array([0.5]))]
    [[1.5], [0.5]]
    """
    return tx.mean(axis=OVER), (tx * (x - _column(mean)) * _column(rstd)).mean(axis=OVER)


def batch_norm_tangent_forward(
    tx: Array, x: Array, mean: Array, rstd: Array, weight: Array, v_weight: Array, v_bias: Array, *, constant: bool = False
) -> Array:
    """R{y} = γ R{x̂} + v_γ x̂ + v_β, R{x̂} = rstd (tx − mean(tx) − p x̂), or rstd tx where mean and rstd are constants.

    Parameters
    ----------
    tx, x : arrays (rows, channels, length)
    mean, rstd, weight, v_weight, v_bias : arrays (channels,)
    constant : bool

    Returns
    -------
    array (rows, channels, length)

    Examples
    --------
    >>> tx, x = np.array([[[1.0]], [[2.0]]]), np.array([[[1.0]], [[5.0]]])
    >>> of_channel = [np.array([a]) for a in (3.0, 0.5, 1.0, 2.0, 7.0)]
    >>> batch_norm_tangent_forward(tx, x, *of_channel).ravel().tolist()  # two numbers are always normalised to −1 and 1
    [5.0, 9.0]
    """
    x_hat = (x - _column(mean)) * _column(rstd)
    tx_hat = batch_norm_backward(tx, x, mean, rstd, np.ones_like(rstd), constant=constant)
    return np.asarray(_column(weight) * tx_hat + _column(v_weight) * x_hat + _column(v_bias))


def batch_norm_tangent_backward_sums(
    tdy: Array, dy: Array, tx: Array, x: Array, mean: Array, rstd: Array, *, constant: bool = False
) -> tuple[Array, Array]:
    """R{dβ} = Σ tdy and R{dγ} = Σ (tdy x̂ + dy R{x̂}), which the compiled program makes block by block.

    Parameters
    ----------
    tdy, dy, tx, x : arrays (rows, channels, length)
    mean, rstd : arrays (channels,)
    constant : bool

    Returns
    -------
    tdbias, tdweight : arrays (channels,)

    Examples
    --------
    >>> tdy, dy, tx, x = np.array([[1.0, 4.0], [2.0, 3.0], [1.0, 2.0], [1.0, 5.0]])[:, :, None, None]
    >>> sums = batch_norm_tangent_backward_sums(tdy, dy, tx, x, np.array([3.0]), np.array([0.5]))
    >>> [a.tolist() for a in sums]
    [[5.0], [3.0]]
    """
    x_hat = (x - _column(mean)) * _column(rstd)
    tx_hat = batch_norm_backward(tx, x, mean, rstd, np.ones_like(rstd), constant=constant)
    return tdy.sum(axis=OVER), (tdy * x_hat + dy * tx_hat).sum(axis=OVER)


def batch_norm_tangent_backward_statistics(
    tdy: Array, dy: Array, tx: Array, x: Array, mean: Array, rstd: Array, weight: Array, v_weight: Array
) -> tuple[Array, Array, Array, Array]:
    """mean(g), q = mean(g x̂), and their tangents mean(R{g}), R{q} = mean(R{g} x̂ + g R{x̂}): what R{dx} needs of the batch.

    Parameters
    ----------
    tdy, dy, tx, x : arrays (rows, channels, length)
    mean, rstd, weight, v_weight : arrays (channels,)

    Returns
    -------
    mean_g, q, mean_tg, tq : arrays (channels,)

    Examples
    --------
    >>> tdy, dy, tx, x = np.array([[1.0, 4.0], [2.0, 3.0], [1.0, 2.0], [1.0, 5.0]])[:, :, None, None]
    >>> of_channel = [np.array([a]) for a in (3.0, 0.5, 1.0, 2.0)]
    >>> [a.item() for a in batch_norm_tangent_backward_statistics(tdy, dy, tx, x, *of_channel)]
    [2.5, 0.5, 7.5, 2.5]
    """
    tdbias, tdweight = batch_norm_tangent_backward_sums(tdy, dy, tx, x, mean, rstd)
    m, x_hat = x.size / x.shape[1], (x - _column(mean)) * _column(rstd)
    dbias, dweight = dy.sum(axis=OVER), (dy * x_hat).sum(axis=OVER)
    return weight * dbias / m, weight * dweight / m, (weight * tdbias + v_weight * dbias) / m, (
        weight * tdweight + v_weight * dweight
    ) / m  # fmt: skip


def batch_norm_tangent_backward(
    tdy: Array, dy: Array, tx: Array, x: Array, mean: Array, rstd: Array, weight: Array, v_weight: Array, *,
    constant: bool = False,
) -> Array:  # fmt: skip
    """R{dx} = −rstd² p (g − mean(g) − q x̂) + rstd (R{g} − mean(R{g}) − R{q} x̂ − q R{x̂}), or rstd R{g} with constants.

    Parameters
    ----------
    tdy, dy, tx, x : arrays (rows, channels, length)
    mean, rstd, weight, v_weight : arrays (channels,)
    constant : bool

    Returns
    -------
    array (rows, channels, length)

    Examples
    --------
    >>> tdy, dy, tx, x = np.array([[1.0, 4.0], [2.0, 3.0], [1.0, 2.0], [1.0, 5.0]])[:, :, None, None]
    >>> of_channel = [np.array([a]) for a in (3.0, 0.5, 1.0, 2.0)]
    >>> batch_norm_tangent_backward(tdy, dy, tx, x, *of_channel, constant=True).ravel().tolist()
    [2.5, 5.0]
    """
    g, tg = _column(weight) * dy, _column(weight) * tdy + _column(v_weight) * dy
    if constant:
        return np.asarray(_column(rstd) * tg)
    x_hat = (x - _column(mean)) * _column(rstd)
    tx_hat = batch_norm_backward(tx, x, mean, rstd, np.ones_like(rstd))
    p = batch_norm_tangent_statistics(tx, x, mean, rstd)[1]
    statistics = batch_norm_tangent_backward_statistics(tdy, dy, tx, x, mean, rstd, weight, v_weight)
    mean_g, q, mean_tg, tq = (_column(a) for a in statistics)
    return _column(-(rstd**2) * p) * (g - mean_g - q * x_hat) + _column(rstd) * (tg - mean_tg - tq * x_hat - q * tx_hat)


def _x_hat(x: Array, eps: float, centred: bool) -> Array:
    one, zero = np.ones(x.shape[1:]), np.zeros(x.shape[1:])
    return (group_norm_forward if centred else rms_norm_forward)(x, one, zero, eps)


def _tx_hat(tx: Array, x: Array, eps: float, centred: bool) -> Array:
    return (group_norm_backward if centred else rms_norm_backward)(tx, x, np.ones(x.shape[1:]), eps)


def group_norm_tangent_forward(
    tx: Array, x: Array, weight: Array, v_weight: Array, v_bias: Array, eps: float, *, centred: bool = True
) -> Array:
    """R{y} = γ R{x̂} + v_γ x̂ + v_β, R{x̂} = rstd (tx − mean(tx) − p x̂), p = mean(tx x̂), over each group of each row.

    Parameters
    ----------
    tx, x : arrays (rows, groups, size)
    weight, v_weight, v_bias : arrays (groups, size)
    eps : float
    centred : bool
        False for `rms_norm_tangent_forward`.

    Returns
    -------
    array (rows, groups, size)

    Examples
    --------
    >>> tx, x, one = np.array([[[1.0, 2.0]]]), np.array([[[1.0, 5.0]]]), np.ones((1, 2))
    >>> group_norm_tangent_forward(tx, x, one, 2 * one, 7 * one, 0.0).ravel().tolist()
    [5.0, 9.0]
    """
    return np.asarray(weight * _tx_hat(tx, x, eps, centred) + v_weight * _x_hat(x, eps, centred) + v_bias)


def group_norm_tangent_backward(
    tdy: Array, dy: Array, tx: Array, x: Array, weight: Array, v_weight: Array, eps: float, *, centred: bool = True
) -> Array:
    """R{dx} = −rstd² p (g − mean(g) − q x̂) + rstd (R{g} − mean(R{g}) − R{q} x̂ − q R{x̂}), means over each group of each row.

    Parameters
    ----------
    tdy, dy, tx, x : arrays (rows, groups, size)
    weight, v_weight : arrays (groups, size)
    eps : float
    centred : bool
        False for `rms_norm_tangent_backward`: without mean(g) and mean(R{g}).

    Returns
    -------
    array (rows, groups, size)

    Examples
    --------
    >>> tdy, dy, tx, x = np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 3.0, 3.0]])[:, None, None, :]
    >>> one = np.ones((1, 3))
    >>> (group_norm_tangent_backward(tdy, dy, tx, x, one, 0 * one, 0.0).ravel().round(4) + 0.0).tolist()
    [0.0, -0.1179, 0.1179]
    """

    def mean(a: Array) -> Array:
        return np.asarray(a.mean(axis=-1, keepdims=True))

    x_hat, tx_hat = _x_hat(x, eps, centred), _tx_hat(tx, x, eps, centred)
    variance = mean((x - mean(x)) ** 2) if centred else mean(x**2)
    rstd, p = 1 / np.sqrt(variance + eps), mean(tx * x_hat)
    g, tg = weight * dy, weight * tdy + v_weight * dy
    q, tq = mean(g * x_hat), mean(tg * x_hat + g * tx_hat)
    if centred:
        g, tg = g - mean(g), tg - mean(tg)
    return np.asarray(-(rstd**2) * p * (g - q * x_hat) + rstd * (tg - tq * x_hat - q * tx_hat))


def group_norm_tangent_backward_weight(
    tdy: Array, dy: Array, tx: Array, x: Array, eps: float, *, centred: bool = True
) -> tuple[Array, Array]:
    """R{dγ} = Σ_rows (tdy x̂ + dy R{x̂}), R{dβ} = Σ_rows tdy.

    Parameters
    ----------
    tdy, dy, tx, x : arrays (rows, groups, size)
    eps : float
    centred : bool
        False for `rms_norm_tangent_backward_weight`.

    Returns
    -------
    tdweight, tdbias : arrays (groups, size)
        To be summed over the numbers that share a weight.

    Examples
    --------
    >>> tdy, dy, tx, x = np.array([[1.0, 4.0], [2.0, 3.0], [1.0, 2.0], [1.0, 5.0]])[:, None, None, :]
    >>> [a.ravel().tolist() for a in group_norm_tangent_backward_weight(tdy, dy, tx, x, 0.0)]
    [[-1.0, 4.0], [1.0, 4.0]]
    """
    return (tdy * _x_hat(x, eps, centred) + dy * _tx_hat(tx, x, eps, centred)).sum(axis=0), tdy.sum(axis=0)


def rms_norm_tangent_forward(tx: Array, x: Array, weight: Array, v_weight: Array, v_bias: Array, eps: float) -> Array:
    """R{y} = γ R{x̂} + v_γ x̂ + v_β, R{x̂} = rstd (tx − p x̂), p = mean(tx x̂).

    Parameters
    ----------
    tx, x : arrays (rows, groups, size)
    weight, v_weight, v_bias : arrays (groups, size)
    eps : float

    Returns
    -------
    array (rows, groups, size)

    Examples
    --------
    >>> tx, x, one = np.array([[[1.0, 7.0]]]), np.array([[[1.0, 7.0]]]), np.ones((1, 2))
    >>> rms_norm_tangent_forward(tx, x, one, 0 * one, 2 * one, 0.0).ravel().round(12).tolist()  # the length of x does not count
    [2.0, 2.0]
    """
    return group_norm_tangent_forward(tx, x, weight, v_weight, v_bias, eps, centred=False)


def rms_norm_tangent_backward(tdy: Array, dy: Array, tx: Array, x: Array, weight: Array, v_weight: Array, eps: float) -> Array:
    """R{dx} = −rstd² p (g − q x̂) + rstd (R{g} − R{q} x̂ − q R{x̂}).

    Parameters
    ----------
    tdy, dy, tx, x : arrays (rows, groups, size)
    weight, v_weight : arrays (groups, size)
    eps : float

    Returns
    -------
    array (rows, groups, size)

    Examples
    --------
    >>> tdy, dy, tx, x = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 7.0], [1.0, 7.0]])[:, None, None, :]
    >>> one = np.ones((1, 2))  # dx falls with the length of x
    >>> rms_norm_tangent_backward(tdy, dy, tx, x, one, 0 * one, 0.0).ravel().round(3).tolist()
    [-0.196, 0.028]
    """
    return group_norm_tangent_backward(tdy, dy, tx, x, weight, v_weight, eps, centred=False)


def rms_norm_tangent_backward_weight(tdy: Array, dy: Array, tx: Array, x: Array, eps: float) -> tuple[Array, Array]:
    """R{dγ} = Σ_rows (tdy x̂ + dy R{x̂}), R{dβ} = Σ_rows tdy, with R{x̂} = rstd (tx − p x̂).

    Parameters
    ----------
    tdy, dy, tx, x : arrays (rows, groups, size)
    eps : float

    Returns
    -------
    tdweight, tdbias : arrays (groups, size)

    Examples
    --------
    >>> tdy, dy, tx, x = np.array([[5.0, 5.0], [1.0, 1.0], [1.0, 7.0], [1.0, 7.0]])[:, None, None, :]
    >>> [a.ravel().round(12).tolist() for a in rms_norm_tangent_backward_weight(tdy, dy, tx, x, 0.0)]
    [[1.0, 7.0], [5.0, 5.0]]
    """
    return group_norm_tangent_backward_weight(tdy, dy, tx, x, eps, centred=False)
