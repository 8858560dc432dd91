"""Pearlmutter's R-operator: R{f}(θ) = d/dr f(θ + r v) at r = 0, applied to the kernels of `dense`, `activations`, `losses`.

For each array z of a kernel, the tangent kernel has tz = R{z}, of the same shape. The product with the Hessian
H of the loss is R{∂l/∂θ} = H v: differentiate each line of forward and backward pass once more, by the product rule.

Forward, the tangent of an activation is R{h} = σ'(z) tz, which is its ``foo_backward(tz, z, h)``: the Jacobian of an
activation is symmetric, softmax's too. Backward, dz = σ'(z) dh gives ``foo_tangent_backward``:

    R{dz} = σ'(z) R{dh} + σ''(z) tz dh.

A kink has no second derivative; σ'' is that of the smooth parts next to it. For a loss, dy = scale · weight · ∂l/∂y
gives

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
from .losses import _ratio, _scaled

__all__ = [
    "add_product", "binary_cross_entropy_tangent", "dense_tangent_backward_input", "dense_tangent_backward_weight",
    "dense_tangent_forward", "elu_tangent_backward", "gelu_tangent_backward", "gelu_tanh_tangent_backward", "hinge_tangent",
    "huber_tangent", "identity_tangent_backward", "kl_divergence_tangent", "leaky_relu_tangent_backward", "load_direction",
    "mean_absolute_error_tangent", "mean_squared_error_tangent", "relu_tangent_backward", "sigmoid_cross_entropy_tangent",
    "sigmoid_tangent_backward", "silu_tangent_backward", "softmax_cross_entropy_labels_tangent",
    "softmax_cross_entropy_tangent", "softmax_tangent_backward", "softplus_tangent_backward", "squared_error_tangent",
    "tanh_tangent_backward",
]  # fmt: skip

Array = NDArray[np.floating[Any]]
Labels = NDArray[np.integer[Any]]


def dense_tangent_forward(tx: Array, x: Array, W: Array, V: Array, v_b: Array | None = None) -> Array:
    """y = x Wᵀ + b, so R{y} = tx Wᵀ + x Vᵀ + v_b, with V = R{W} and v_b = R{b} the parts of the direction v.

    >>> one, two, three = np.array([[1.0]]), np.array([[2.0]]), np.array([[3.0]])
    >>> dense_tangent_forward(one, two, three, np.array([[5.0]]), np.array([7.0])).tolist()
    [[20.0]]
    """
    ty = tx @ W.T + x @ V.T
    return ty if v_b is None else ty + v_b


def dense_tangent_backward_input(tdy: Array, dy: Array, W: Array, V: Array) -> Array:
    """dx = dy W, so R{dx} = tdy W + dy V."""
    return tdy @ W + dy @ V


def dense_tangent_backward_weight(tdy: Array, dy: Array, x: Array, tx: Array) -> Array:
    """dW = dyᵀ x, so R{dW} = tdyᵀ x + dyᵀ tx."""
    return tdy.T @ x + dy.T @ tx


def identity_tangent_backward(tdh: Array, dh: Array, tz: Array, z: Array, h: Array) -> Array:
    """σ' = 1, σ'' = 0: tdz = tdh."""
    return tdh.copy()


def relu_tangent_backward(tdh: Array, dh: Array, tz: Array, z: Array, h: Array) -> Array:
    """σ' = [z > 0], σ'' = 0: tdz = tdh · [z > 0]."""
    return relu_backward(tdh, z, h)


def leaky_relu_tangent_backward(tdh: Array, dh: Array, tz: Array, z: Array, h: Array, negative_slope: float = 0.01) -> Array:
    """σ' = 1 for z > 0, else negative_slope; σ'' = 0."""
    return leaky_relu_backward(tdh, z, h, negative_slope)


def elu_tangent_backward(tdh: Array, dh: Array, tz: Array, z: Array, h: Array, alpha: float = 1.0) -> Array:
    """σ' = 1, σ'' = 0 for z > 0, otherwise σ' = σ'' = α eᶻ."""
    curved = np.where(z > 0, 0, dh * tz)
    return elu_backward(tdh + curved, z, h, alpha)


def tanh_tangent_backward(tdh: Array, dh: Array, tz: Array, z: Array, h: Array) -> Array:
    """σ' = 1 − h², σ'' = −2h (1 − h²)."""
    return tanh_backward(tdh - 2 * h * tz * dh, z, h)


def sigmoid_tangent_backward(tdh: Array, dh: Array, tz: Array, z: Array, h: Array) -> Array:
    """σ' = h (1 − h), σ'' = h (1 − h)(1 − 2h)."""
    return sigmoid_backward(tdh + (1 - 2 * h) * tz * dh, z, h)


def softplus_tangent_backward(tdh: Array, dh: Array, tz: Array, z: Array, h: Array) -> Array:
    """σ' = s, σ'' = s (1 − s), s = sigmoid(z).

    >>> one, z = np.ones((1, 1)), np.zeros((1, 1))
    >>> softplus_tangent_backward(one, one, one, z, z).tolist()
    [[0.75]]
    """
    s = sigmoid_forward(z)
    return softplus_backward(tdh, z, h) + s * (1 - s) * tz * dh


def gelu_tangent_backward(tdh: Array, dh: Array, tz: Array, z: Array, h: Array) -> Array:
    """σ' = Φ + z φ, σ'' = φ (2 − z²), with φ the normal density."""
    x = np.clip(z, -GELU_FLAT, GELU_FLAT)
    density = INV_SQRT_2PI * np.exp(-0.5 * x * x)
    return gelu_backward(tdh, z, h) + density * (2 - x * x) * tz * dh


def gelu_tanh_tangent_backward(tdh: Array, dh: Array, tz: Array, z: Array, h: Array) -> Array:
    """h = z s(g), g = 2 √(2/π) (z + 0.044715 z³): σ' = s + z s' g', σ'' = 2 s' g' + z (s'' g'² + s' g'')."""
    x = np.clip(z, -GELU_FLAT, GELU_FLAT)
    s = sigmoid_forward(2 * SQRT_2_OVER_PI * (x + GELU_CUBIC * x**3))
    ds, dds = s * (1 - s), s * (1 - s) * (1 - 2 * s)
    dg, ddg = 2 * SQRT_2_OVER_PI * (1 + 3 * GELU_CUBIC * x * x), 12 * SQRT_2_OVER_PI * GELU_CUBIC * x
    return (s + x * ds * dg) * tdh + (2 * ds * dg + x * (dds * dg * dg + ds * ddg)) * tz * dh


def silu_tangent_backward(tdh: Array, dh: Array, tz: Array, z: Array, h: Array) -> Array:
    """h = z s: σ' = s (1 + z (1 − s)), σ'' = s (1 − s)(2 + z (1 − 2s)), s = sigmoid(z)."""
    x = np.clip(z, -SILU_FLAT, SILU_FLAT)
    s = sigmoid_forward(x)
    return silu_backward(tdh, z, h) + s * (1 - s) * (2 + x * (1 - 2 * s)) * tz * dh


def softmax_tangent_backward(tdh: Array, dh: Array, tz: Array, z: Array, h: Array) -> Array:
    """dz = h (dh − Σ dh h), so tdz = th (dh − Σ dh h) + h (tdh − Σ tdh h − Σ dh th), with th = h (tz − Σ tz h)."""
    th = softmax_backward(tz, z, h)
    mean = (dh * h).sum(axis=1, keepdims=True)
    mean_t = (dh * th).sum(axis=1, keepdims=True)
    return softmax_backward(tdh, z, h) + th * (dh - mean) - h * mean_t


def squared_error_tangent(ty: Array, y: Array, d: Array, weight: Array | None = None, scale: float | None = None) -> Array:
    """½ (y − d)²: ∂² = 1."""
    return _scaled(ty, weight, scale)


def mean_squared_error_tangent(ty: Array, y: Array, d: Array, weight: Array | None = None, scale: float | None = None) -> Array:
    """(y − d)² / n: ∂² = 2 / n."""
    return _scaled(2 * ty / ty.shape[1], weight, scale)


def mean_absolute_error_tangent(
    ty: Array, y: Array, d: Array, weight: Array | None = None, scale: float | None = None
) -> Array:
    """|y − d| / n: ∂² = 0 away from the kink."""
    return _scaled(0 * ty, weight, scale)


def huber_tangent(
    ty: Array, y: Array, d: Array, weight: Array | None = None, scale: float | None = None, delta: float = 1.0
) -> Array:
    """½ r² or δ (|r| − ½ δ), over n: ∂² = [|r| < δ] / n."""
    return _scaled(ty * (np.abs(y - d) < delta) / ty.shape[1], weight, scale)


def hinge_tangent(ty: Array, y: Array, d: Array, weight: Array | None = None, scale: float | None = None) -> Array:
    """max(0, 1 − d y): ∂² = 0 away from the kink."""
    return _scaled(0 * ty, weight, scale)


def binary_cross_entropy_tangent(
    ty: Array, y: Array, d: Array, weight: Array | None = None, scale: float | None = None
) -> Array:
    """−d log y − (1 − d) log(1 − y): ∂² = d/y² + (1 − d)/(1 − y)².

    >>> binary_cross_entropy_tangent(np.array([[1.0, 2.0]]), np.array([[0.5, 0.5]]), np.array([[0.0, 1.0]])).tolist()
    [[4.0, 8.0]]
    """
    return _scaled(ty * (_ratio(d, y * y) + _ratio(1 - d, (1 - y) * (1 - y))), weight, scale)


def kl_divergence_tangent(ty: Array, y: Array, d: Array, weight: Array | None = None, scale: float | None = None) -> Array:
    """d log d − d log y: ∂² = d/y²."""
    return _scaled(ty * _ratio(d, y * y), weight, scale)


def sigmoid_cross_entropy_tangent(
    ty: Array, y: Array, d: Array, weight: Array | None = None, scale: float | None = None
) -> Array:
    """log(1 + eʸ) − d y: ∂² = s (1 − s), s = sigmoid(y)."""
    return _scaled(sigmoid_backward(ty, y, sigmoid_forward(y)), weight, scale)


def softmax_cross_entropy_tangent(
    ty: Array, y: Array, d: Array, weight: Array | None = None, scale: float | None = None
) -> Array:
    """D log Σ eʸ − Σ d y, D = Σ d: ∂² ty = D p (ty − Σ p ty), p = softmax(y)."""
    return _scaled(d.sum(axis=1, keepdims=True) * softmax_backward(ty, y, softmax_forward(y)), weight, scale)


def softmax_cross_entropy_labels_tangent(
    ty: Array, y: Array, labels: Labels, weight: Array | None = None, scale: float | None = None
) -> Array:
    """As ``softmax_cross_entropy_tangent`` with D = 1: the second derivative does not depend on the label."""
    return _scaled(softmax_backward(ty, y, softmax_forward(y)), weight, scale)


def load_direction(V: Array, step: int) -> Array:
    """v = row ``step`` of V: the direction of this step."""
    return V[step].copy()


def add_product(P: Array, p: Array, step: int) -> None:
    """Row ``step`` of P += p, in place: sums over the chunks of a batch."""
    P[step] += p
