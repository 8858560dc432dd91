"""Pearlmutter's R-operator: R{f}(θ) = d/dr f(θ + r v) at r = 0, applied to the kernels of `dense`, `activations`, `losses`.

Where a kernel has an array z, its tangent kernel has tz = R{z}, and so on. The product with the Hessian H of the loss is
R{∂l/∂θ} = H v: differentiate each line of forward and backward pass once more, by the product rule.

Forward, the tangent of an activation is R{h} = σ'(z) tz, which is its ``foo_backward(tz, z, h)``: the Jacobian of an
activation is symmetric, softmax's too. Backward, dz = σ'(z) dh gives ``foo_tangent_backward``:

    R{dz} = σ'(z) R{dh} + σ''(z) tz dh.

A kink has no second derivative; beside it, σ'' is what it is there. For a loss, dy = scale · weight · ∂l/∂y gives

    R{dy} = scale · weight · (∂²l/∂y²) ty.

Source: Pearlmutter, Fast exact multiplication by the Hessian (1994).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .activations import (
    GELU_CUBIC,
    GELU_FLAT,
    INV_SQRT_2PI,
    SILU_FLAT,
    SQRT_2_OVER_PI,
    elu_backward,
    gelu_backward,
    leaky_relu_backward,
    relu_backward,
    sigmoid_backward,
    sigmoid_forward,
    silu_backward,
    softmax_backward,
    softmax_forward,
    softplus_backward,
    tanh_backward,
)
from .losses import _left_out

Array = NDArray[np.floating[Any]]
Labels = NDArray[np.integer[Any]]


def dense_tangent_forward(tx: Array, x: Array, W: Array, V: Array, v_b: Array | None = None) -> Array:
    """y = x Wᵀ + b, so R{y} = tx Wᵀ + x Vᵀ + v_b, with V = R{W} and v_b = R{b} the parts of the direction v.

    Parameters
    ----------
    tx, x : arrays (rows, inputs)
    W, V : arrays (units, inputs)
    v_b : array (units,), optional

    Returns
    -------
    array (rows, units)

    Examples
    --------
    >>> one, two, three = np.array([[1.0]]), np.array([[2.0]]), np.array([[3.0]])
    >>> dense_tangent_forward(one, two, three, np.array([[5.0]]), np.array([7.0])).tolist()
    [[20.0]]
    """
    ty = tx @ W.T + x @ V.T
    return ty if v_b is None else ty + v_b


def dense_tangent_backward_input(tdy: Array, dy: Array, W: Array, V: Array) -> Array:
    """dx = dy W, so R{dx} = tdy W + dy V.

    Parameters
    ----------
    tdy, dy : arrays (rows, units)
    W, V : arrays (units, inputs)

    Returns
    -------
    array (rows, inputs)

    Examples
    --------
    >>> dense_tangent_backward_input(np.array([[1.0]]), np.array([[2.0]]), np.array([[3.0]]), np.array([[5.0]])).tolist()
    [[13.0]]
    """
    return tdy @ W + dy @ V


def dense_tangent_backward_weight(tdy: Array, dy: Array, x: Array, tx: Array) -> Array:
    """dW = dyᵀ x, so R{dW} = tdyᵀ x + dyᵀ tx.

    Parameters
    ----------
    tdy, dy : arrays (rows, units)
    x, tx : arrays (rows, inputs)

    Returns
    -------
    array (units, inputs)

    Examples
    --------
    >>> dense_tangent_backward_weight(np.array([[1.0]]), np.array([[2.0]]), np.array([[3.0]]), np.array([[5.0]])).tolist()
    [[13.0]]
    """
    return tdy.T @ x + dy.T @ tx


def identity_tangent_backward(tdh: Array, dh: Array, tz: Array, z: Array, h: Array) -> Array:
    """σ' = 1, σ'' = 0: tdz = tdh.

    Parameters
    ----------
    tdh, dh, tz, z, h : arrays (rows, width)

    Returns
    -------
    array (rows, width)

    Examples
    --------
    >>> one, z = np.ones((1, 1)), np.zeros((1, 1))
    >>> identity_tangent_backward(one, one, one, z, z).tolist()
    [[1.0]]
    """
    return tdh.copy()


def relu_tangent_backward(tdh: Array, dh: Array, tz: Array, z: Array, h: Array) -> Array:
    """σ' = [z > 0], σ'' = 0: tdz = tdh · [z > 0].

    Parameters
    ----------
    tdh, dh, tz, z, h : arrays (rows, width)

    Returns
    -------
    array (rows, width)

    Examples
    --------
    >>> one, z = np.ones((1, 1)), np.ones((1, 1))
    >>> relu_tangent_backward(one, one, one, z, z).tolist()
    [[1.0]]
    """
    return relu_backward(tdh, z, h)


def leaky_relu_tangent_backward(tdh: Array, dh: Array, tz: Array, z: Array, h: Array, negative_slope: float = 0.01) -> Array:
    """σ' = 1 or the slope, σ'' = 0.

    Parameters
    ----------
    tdh, dh, tz, z, h : arrays (rows, width)
    negative_slope : float

    Returns
    -------
    array (rows, width)

    Examples
    --------
    >>> one, z = np.ones((1, 1)), np.ones((1, 1))
    >>> leaky_relu_tangent_backward(one, one, one, z, z).tolist()
    [[1.0]]
    """
    return leaky_relu_backward(tdh, z, h, negative_slope)


def elu_tangent_backward(tdh: Array, dh: Array, tz: Array, z: Array, h: Array, alpha: float = 1.0) -> Array:
    """σ' = 1, σ'' = 0 for z > 0, otherwise σ' = σ'' = α eᶻ.

    Parameters
    ----------
    tdh, dh, tz, z, h : arrays (rows, width)
    alpha : float

    Returns
    -------
    array (rows, width)

    Examples
    --------
    >>> one, z = np.ones((1, 1)), np.zeros((1, 1))
    >>> elu_tangent_backward(one, one, one, z, z).tolist()
    [[2.0]]
    """
    curved = np.where(z > 0, 0, dh * tz)
    return elu_backward(tdh + curved, z, h, alpha)


def tanh_tangent_backward(tdh: Array, dh: Array, tz: Array, z: Array, h: Array) -> Array:
    """σ' = 1 − h², σ'' = −2h (1 − h²).

    Parameters
    ----------
    tdh, dh, tz, z, h : arrays (rows, width)

    Returns
    -------
    array (rows, width)

    Examples
    --------
    >>> one, z = np.ones((1, 1)), np.zeros((1, 1))
    >>> tanh_tangent_backward(one, one, one, z, np.tanh(z)).tolist()
    [[1.0]]
    """
    return tanh_backward(tdh - 2 * h * tz * dh, z, h)


def sigmoid_tangent_backward(tdh: Array, dh: Array, tz: Array, z: Array, h: Array) -> Array:
    """σ' = h (1 − h), σ'' = h (1 − h)(1 − 2h).

    Parameters
    ----------
    tdh, dh, tz, z, h : arrays (rows, width)

    Returns
    -------
    array (rows, width)

    Examples
    --------
    >>> one, z = np.ones((1, 1)), np.zeros((1, 1))
    >>> sigmoid_tangent_backward(one, one, one, z, sigmoid_forward(z)).tolist()
    [[0.25]]
    """
    return sigmoid_backward(tdh + (1 - 2 * h) * tz * dh, z, h)


def softplus_tangent_backward(tdh: Array, dh: Array, tz: Array, z: Array, h: Array) -> Array:
    """σ' = s, σ'' = s (1 − s), s = sigmoid(z).

    Parameters
    ----------
    tdh, dh, tz, z, h : arrays (rows, width)

    Returns
    -------
    array (rows, width)

    Examples
    --------
    >>> one, z = np.ones((1, 1)), np.zeros((1, 1))
    >>> softplus_tangent_backward(one, one, one, z, z).tolist()
    [[0.75]]
    """
    s = sigmoid_forward(z)
    return softplus_backward(tdh, z, h) + s * (1 - s) * tz * dh


def gelu_tangent_backward(tdh: Array, dh: Array, tz: Array, z: Array, h: Array) -> Array:
    """σ' = Φ + z φ, σ'' = φ (2 − z²), with φ the normal density.

    Parameters
    ----------
    tdh, dh, tz, z, h : arrays (rows, width)

    Returns
    -------
    array (rows, width)

    Examples
    --------
    >>> one, z = np.ones((1, 1)), np.zeros((1, 1))
    >>> gelu_tangent_backward(one, one, one, z, z).round(4).tolist()
    [[1.2979]]
    """
    x = np.clip(z, -GELU_FLAT, GELU_FLAT)
    density = INV_SQRT_2PI * np.exp(-0.5 * x * x)
    return gelu_backward(tdh, z, h) + density * (2 - x * x) * tz * dh


def gelu_tanh_tangent_backward(tdh: Array, dh: Array, tz: Array, z: Array, h: Array) -> Array:
    """h = z s(g), g = 2 √(2/π) (z + 0.044715 z³): σ' = s + z s' g', σ'' = 2 s' g' + z (s'' g'² + s' g'').

    Parameters
    ----------
    tdh, dh, tz, z, h : arrays (rows, width)

    Returns
    -------
    array (rows, width)

    Examples
    --------
    >>> one, z = np.ones((1, 1)), np.zeros((1, 1))
    >>> gelu_tanh_tangent_backward(one, one, one, z, z).round(4).tolist()
    [[1.2979]]
    """
    x = np.clip(z, -GELU_FLAT, GELU_FLAT)
    s = sigmoid_forward(2 * SQRT_2_OVER_PI * (x + GELU_CUBIC * x**3))
    ds, dds = s * (1 - s), s * (1 - s) * (1 - 2 * s)
    dg, ddg = 2 * SQRT_2_OVER_PI * (1 + 3 * GELU_CUBIC * x * x), 12 * SQRT_2_OVER_PI * GELU_CUBIC * x
    return (s + x * ds * dg) * tdh + (2 * ds * dg + x * (dds * dg * dg + ds * ddg)) * tz * dh


def silu_tangent_backward(tdh: Array, dh: Array, tz: Array, z: Array, h: Array) -> Array:
    """h = z s: σ' = s (1 + z (1 − s)), σ'' = s (1 − s)(2 + z (1 − 2s)), s = sigmoid(z).

    Parameters
    ----------
    tdh, dh, tz, z, h : arrays (rows, width)

    Returns
    -------
    array (rows, width)

    Examples
    --------
    >>> one, z = np.ones((1, 1)), np.zeros((1, 1))
    >>> silu_tangent_backward(one, one, one, z, z).round(4).tolist()
    [[1.0]]
    """
    x = np.clip(z, -SILU_FLAT, SILU_FLAT)
    s = sigmoid_forward(x)
    return silu_backward(tdh, z, h) + s * (1 - s) * (2 + x * (1 - 2 * s)) * tz * dh


def softmax_tangent_backward(tdh: Array, dh: Array, tz: Array, z: Array, h: Array) -> Array:
    """dz = h (dh − Σ dh h), so tdz = th (dh − Σ dh h) + h (tdh − Σ tdh h − Σ dh th), with th = h (tz − Σ tz h).

    Parameters
    ----------
    tdh, dh, tz, z, h : arrays (rows, width)

    Returns
    -------
    array (rows, width)

    Examples
    --------
    >>> one, z = np.ones((1, 1)), np.zeros((1, 1))
    >>> softmax_tangent_backward(one, one, one, z, softmax_forward(z)).tolist()
    [[0.0]]
    """
    th = softmax_backward(tz, z, h)
    mean = (dh * h).sum(axis=1, keepdims=True)
    turned = (dh * th).sum(axis=1, keepdims=True)
    return softmax_backward(tdh, z, h) + th * (dh - mean) - h * turned


def _scaled(tdy: Array, weight: Array | None, scale: float | None) -> Array:
    tdy = _left_out(tdy, weight)
    factor = np.full(len(tdy), 1 / len(tdy) if scale is None else scale)
    if weight is not None:
        factor *= weight
    return (tdy * factor[:, None]).astype(tdy.dtype)


def _ratio(a: Array, b: Array) -> Array:
    """a / b, and 0 where a is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(a == 0, 0, a / b)


def squared_error_tangent(ty: Array, y: Array, d: Array, weight: Array | None = None, scale: float | None = None) -> Array:
    """½ (y − d)²: ∂² = 1.

    Parameters
    ----------
    ty, y : arrays (rows, width)
    d : array (rows, width)
    weight : array (rows,), optional
    scale : float, default 1/rows

    Returns
    -------
    array (rows, width)

    Examples
    --------
    >>> squared_error_tangent(np.array([[1.0, 2.0]]), np.array([[0.5, 0.5]]), np.array([[0.0, 1.0]])).tolist()
    [[1.0, 2.0]]
    """
    return _scaled(ty, weight, scale)


def mean_squared_error_tangent(ty: Array, y: Array, d: Array, weight: Array | None = None, scale: float | None = None) -> Array:
    """(y − d)² / n: ∂² = 2 / n.

    Parameters
    ----------
    ty, y : arrays (rows, width)
    d : array (rows, width)
    weight : array (rows,), optional
    scale : float, default 1/rows

    Returns
    -------
    array (rows, width)

    Examples
    --------
    >>> mean_squared_error_tangent(np.array([[1.0, 2.0]]), np.array([[0.5, 0.5]]), np.array([[0.0, 1.0]])).tolist()
    [[1.0, 2.0]]
    """
    return _scaled(2 * ty / ty.shape[1], weight, scale)


def mean_absolute_error_tangent(
    ty: Array, y: Array, d: Array, weight: Array | None = None, scale: float | None = None
) -> Array:
    """|y − d| / n: ∂² = 0 beside the kink.

    Parameters
    ----------
    ty, y : arrays (rows, width)
    d : array (rows, width)
    weight : array (rows,), optional
    scale : float, default 1/rows

    Returns
    -------
    array (rows, width)

    Examples
    --------
    >>> mean_absolute_error_tangent(np.array([[1.0, 2.0]]), np.array([[0.5, 0.5]]), np.array([[0.0, 1.0]])).tolist()
    [[0.0, 0.0]]
    """
    return _scaled(0 * ty, weight, scale)


def huber_tangent(
    ty: Array, y: Array, d: Array, weight: Array | None = None, scale: float | None = None, delta: float = 1.0
) -> Array:
    """½ r² or δ (|r| − ½ δ), over n: ∂² = [|r| < δ] / n.

    Parameters
    ----------
    ty, y : arrays (rows, width)
    d : array (rows, width)
    weight : array (rows,), optional
    scale : float, default 1/rows
    delta : float

    Returns
    -------
    array (rows, width)

    Examples
    --------
    >>> huber_tangent(np.array([[1.0, 2.0]]), np.array([[0.5, 0.5]]), np.array([[0.0, 1.0]])).tolist()
    [[0.5, 1.0]]
    """
    return _scaled(ty * (np.abs(y - d) < delta) / ty.shape[1], weight, scale)


def hinge_tangent(ty: Array, y: Array, d: Array, weight: Array | None = None, scale: float | None = None) -> Array:
    """max(0, 1 − d y): ∂² = 0 beside the kink.

    Parameters
    ----------
    ty, y : arrays (rows, width)
    d : array (rows, width)
    weight : array (rows,), optional
    scale : float, default 1/rows

    Returns
    -------
    array (rows, width)

    Examples
    --------
    >>> hinge_tangent(np.array([[1.0, 2.0]]), np.array([[0.5, 0.5]]), np.array([[0.0, 1.0]])).tolist()
    [[0.0, 0.0]]
    """
    return _scaled(0 * ty, weight, scale)


def binary_cross_entropy_tangent(
    ty: Array, y: Array, d: Array, weight: Array | None = None, scale: float | None = None
) -> Array:
    """−d log y − (1 − d) log(1 − y): ∂² = d/y² + (1 − d)/(1 − y)².

    Parameters
    ----------
    ty, y : arrays (rows, width)
    d : array (rows, width)
    weight : array (rows,), optional
    scale : float, default 1/rows

    Returns
    -------
    array (rows, width)

    Examples
    --------
    >>> binary_cross_entropy_tangent(np.array([[1.0, 2.0]]), np.array([[0.5, 0.5]]), np.array([[0.0, 1.0]])).tolist()
    [[4.0, 8.0]]
    """
    return _scaled(ty * (_ratio(d, y * y) + _ratio(1 - d, (1 - y) * (1 - y))), weight, scale)


def kl_divergence_tangent(ty: Array, y: Array, d: Array, weight: Array | None = None, scale: float | None = None) -> Array:
    """d log d − d log y: ∂² = d/y².

    Parameters
    ----------
    ty, y : arrays (rows, width)
    d : array (rows, width)
    weight : array (rows,), optional
    scale : float, default 1/rows

    Returns
    -------
    array (rows, width)

    Examples
    --------
    >>> kl_divergence_tangent(np.array([[1.0, 2.0]]), np.array([[0.5, 0.5]]), np.array([[0.0, 1.0]])).tolist()
    [[0.0, 8.0]]
    """
    return _scaled(ty * _ratio(d, y * y), weight, scale)


def sigmoid_cross_entropy_tangent(
    ty: Array, y: Array, d: Array, weight: Array | None = None, scale: float | None = None
) -> Array:
    """log(1 + eʸ) − d y: ∂² = s (1 − s), s = sigmoid(y).

    Parameters
    ----------
    ty, y : arrays (rows, width)
    d : array (rows, width)
    weight : array (rows,), optional
    scale : float, default 1/rows

    Returns
    -------
    array (rows, width)

    Examples
    --------
    >>> sigmoid_cross_entropy_tangent(np.array([[1.0, 2.0]]), np.array([[0.0, 0.0]]), np.array([[0.0, 1.0]])).tolist()
    [[0.25, 0.5]]
    """
    return _scaled(sigmoid_backward(ty, y, sigmoid_forward(y)), weight, scale)


def softmax_cross_entropy_tangent(
    ty: Array, y: Array, d: Array, weight: Array | None = None, scale: float | None = None
) -> Array:
    """D log Σ eʸ − Σ d y, D = Σ d: ∂² ty = D p (ty − Σ p ty), p = softmax(y).

    Parameters
    ----------
    ty, y : arrays (rows, width)
    d : array (rows, width)
    weight : array (rows,), optional
    scale : float, default 1/rows

    Returns
    -------
    array (rows, width)

    Examples
    --------
    >>> softmax_cross_entropy_tangent(np.array([[1.0, 2.0]]), np.array([[0.5, 0.5]]), np.array([[0.0, 1.0]])).tolist()
    [[-0.25, 0.25]]
    """
    return _scaled(d.sum(axis=1, keepdims=True) * softmax_backward(ty, y, softmax_forward(y)), weight, scale)


def softmax_cross_entropy_labels_tangent(
    ty: Array, y: Array, labels: Labels, weight: Array | None = None, scale: float | None = None
) -> Array:
    """As ``softmax_cross_entropy_tangent`` with D = 1; the label itself is not in it.

    Parameters
    ----------
    ty, y : arrays (rows, width)
    labels : integer array (rows,)
    weight : array (rows,), optional
    scale : float, default 1/rows

    Returns
    -------
    array (rows, width)

    Examples
    --------
    >>> softmax_cross_entropy_labels_tangent(np.array([[1.0, 2.0]]), np.array([[0.5, 0.5]]), np.array([1])).tolist()
    [[-0.25, 0.25]]
    """
    return _scaled(softmax_backward(ty, y, softmax_forward(y)), weight, scale)


def load_direction(V: Array, step: int) -> Array:
    """v = row ``step`` of V: the direction that this step takes.

    Parameters
    ----------
    V : array (vectors, n)
    step : int

    Returns
    -------
    array (n,)

    Examples
    --------
    >>> load_direction(np.array([[1.0, 2.0], [3.0, 4.0]]), 1).tolist()
    [3.0, 4.0]
    """
    return V[step].copy()


def add_product(P: Array, p: Array, step: int) -> None:
    """Row ``step`` of P += p, in place: the chunks of a batch add up.

    Parameters
    ----------
    P : array (vectors, n)
    p : array (n,)
    step : int

    Examples
    --------
    >>> P = np.zeros((2, 2))
    >>> add_product(P, np.array([1.0, 2.0]), 1)
    >>> P.tolist()
    [[0.0, 0.0], [1.0, 2.0]]
    """
    P[step] += p
