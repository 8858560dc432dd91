"""Activations h = σ(z) and their gradients dz = dh ⊙ σ'(z).

z, h, dh and dz have one shape, (rows, width); a result has the dtype of its input, float32 or float64. ``foo_backward``
takes the gradient dh of the loss with respect to h, and z and h of the forward pass. Only softmax couples the elements of
a row. ``foo_tangent_backward`` is the derivative of the backward function along a direction: see `tangents`.

No function overflows: each exponential has a negative argument, and each product ∞ · 0 is replaced by its limit. NaN
propagates.
"""

import math

import numpy as np
from scipy.special import erfc

from ._common import Array

__all__ = [
    "elu_backward", "elu_forward", "elu_tangent_backward", "gelu_backward", "gelu_forward", "gelu_tangent_backward",
    "gelu_tanh_backward", "gelu_tanh_forward", "gelu_tanh_tangent_backward", "identity_backward", "identity_forward",
    "identity_tangent_backward", "leaky_relu_backward", "leaky_relu_forward", "leaky_relu_tangent_backward", "mish_backward",
    "mish_forward", "mish_tangent_backward", "relu_backward", "relu_forward", "relu_tangent_backward", "selu_backward",
    "selu_forward", "selu_tangent_backward", "sigmoid_backward", "sigmoid_forward", "sigmoid_tangent_backward", "silu_backward",
    "silu_forward", "silu_tangent_backward", "softmax_backward", "softmax_forward", "softmax_tangent_backward",
    "softplus_backward", "softplus_forward", "softplus_tangent_backward", "tanh_backward", "tanh_forward",
    "tanh_tangent_backward",
]  # fmt: skip


SQRT_HALF = math.sqrt(1 / 2)
SQRT_2_OVER_PI = math.sqrt(2 / math.pi)
INV_SQRT_2PI = 1 / math.sqrt(2 * math.pi)
GELU_CUBIC = 0.044715
SELU_SCALE = 1.0507009873554804934193349852946
SELU_ALPHA = 1.6732632423543772848170429916717

# For larger |z|, the gate of the function is 0 or 1 and its slope 0, also in double precision.
GELU_FLAT = 40.0
SILU_FLAT = 800.0


def identity_forward(z: Array) -> Array:
    """h = z, as a new array."""
    return z.copy()


def identity_backward(dh: Array, z: Array, h: Array) -> Array:
    """dz = dh."""
    return dh.copy()


def identity_tangent_backward(tdh: Array, dh: Array, tz: Array, z: Array, h: Array) -> Array:
    """σ' = 1, σ'' = 0: tdz = tdh."""
    return tdh.copy()


def sigmoid_forward(z: Array) -> Array:
    """h = 1 / (1 + e⁻ᶻ), from e^-|z| so that nothing overflows.

    >>> sigmoid_forward(np.array([[-1e4, 0.0, 1e4]])).tolist()
    [[0.0, 0.5, 1.0]]
    """
    e = np.exp(-np.abs(z))
    return np.where(z >= 0, 1 / (1 + e), e / (1 + e))


def sigmoid_backward(dh: Array, z: Array, h: Array) -> Array:
    """dz = dh · h (1 − h)."""
    return dh * h * (1 - h)


def sigmoid_tangent_backward(tdh: Array, dh: Array, tz: Array, z: Array, h: Array) -> Array:
    """σ' = h (1 − h), σ'' = h (1 − h)(1 − 2h)."""
    return sigmoid_backward(tdh + (1 - 2 * h) * tz * dh, z, h)


def tanh_forward(z: Array) -> Array:
    """h = tanh z = (eᶻ − e⁻ᶻ) / (eᶻ + e⁻ᶻ) = 2 sigmoid(2z) − 1."""
    return np.tanh(z)


def tanh_backward(dh: Array, z: Array, h: Array) -> Array:
    """dz = dh · (1 − h²)."""
    return dh * (1 - h) * (1 + h)


def tanh_tangent_backward(tdh: Array, dh: Array, tz: Array, z: Array, h: Array) -> Array:
    """σ' = 1 − h², σ'' = −2h (1 − h²)."""
    return tanh_backward(tdh - 2 * h * tz * dh, z, h)


def relu_forward(z: Array) -> Array:
    """h = max(z, 0)."""
    return np.maximum(z, 0)


def relu_backward(dh: Array, z: Array, h: Array) -> Array:
    """dz = dh · [z > 0]; the derivative at the kink is defined as 0.

    >>> z = np.array([[-1.0, 0.0, 2.0]])
    >>> relu_backward(np.array([[3.0, 5.0, 7.0]]), z, relu_forward(z)).tolist()
    [[0.0, 0.0, 7.0]]
    """
    return np.where(z > 0, dh, 0)


def relu_tangent_backward(tdh: Array, dh: Array, tz: Array, z: Array, h: Array) -> Array:
    """σ' = [z > 0], σ'' = 0: tdz = tdh · [z > 0]."""
    return relu_backward(tdh, z, h)


def leaky_relu_forward(z: Array, negative_slope: float = 0.01) -> Array:
    """h = z for z > 0, else negative_slope · z.

    Maas, Hannun, Ng: Rectifier nonlinearities improve neural network acoustic models, 2013.
    """
    return np.where(z > 0, z, negative_slope * z)


def leaky_relu_backward(dh: Array, z: Array, h: Array, negative_slope: float = 0.01) -> Array:
    """dz = dh for z > 0, else negative_slope · dh."""
    return np.where(z > 0, dh, negative_slope * dh)


def leaky_relu_tangent_backward(tdh: Array, dh: Array, tz: Array, z: Array, h: Array, negative_slope: float = 0.01) -> Array:
    """σ' = 1 for z > 0, else negative_slope; σ'' = 0."""
    return leaky_relu_backward(tdh, z, h, negative_slope)


def elu_forward(z: Array, alpha: float = 1.0) -> Array:
    """h = z for z > 0, else α (eᶻ − 1).

    Clevert, Unterthiner, Hochreiter: Fast and accurate deep network learning by exponential linear units, 2016.
    """
    return np.where(z > 0, z, alpha * np.expm1(np.minimum(z, 0)))


def elu_backward(dh: Array, z: Array, h: Array, alpha: float = 1.0) -> Array:
    """dz = dh for z > 0, else dh · α eᶻ (= dh · (h + α))."""
    return np.where(z > 0, dh, dh * (alpha * np.exp(np.minimum(z, 0))))


def elu_tangent_backward(tdh: Array, dh: Array, tz: Array, z: Array, h: Array, alpha: float = 1.0) -> Array:
    """σ' = 1, σ'' = 0 for z > 0, otherwise σ' = σ'' = α eᶻ."""
    curved = np.where(z > 0, 0, dh * tz)
    return elu_backward(tdh + curved, z, h, alpha)


def selu_forward(z: Array) -> Array:
    """h = λ z for z > 0, else λ α (eᶻ − 1), λ and α such that mean 0 and variance 1 are a fixed point.

    Klambauer, Unterthiner, Mayr, Hochreiter: Self-normalizing neural networks, 2017.

    >>> selu_forward(np.array([[-1e4, 0.0, 1.0]])).round(4).tolist()
    [[-1.7581, 0.0, 1.0507]]
    """
    with np.errstate(over="ignore"):
        return SELU_SCALE * elu_forward(z, SELU_ALPHA)


def selu_backward(dh: Array, z: Array, h: Array) -> Array:
    """dz = λ dh for z > 0, else dh · λ α eᶻ."""
    return SELU_SCALE * elu_backward(dh, z, h, SELU_ALPHA)


def selu_tangent_backward(tdh: Array, dh: Array, tz: Array, z: Array, h: Array) -> Array:
    """σ' = λ, σ'' = 0 for z > 0, otherwise σ' = σ'' = λ α eᶻ."""
    return SELU_SCALE * elu_tangent_backward(tdh, dh, tz, z, h, SELU_ALPHA)


def softplus_forward(z: Array) -> Array:
    """h = log(1 + eᶻ) = max(z, 0) + log(1 + e^-|z|).

    >>> softplus_forward(np.array([[-1e4, 0.0, 1e4]])).round(4).tolist()
    [[0.0, 0.6931, 10000.0]]
    """
    return np.maximum(z, 0) + np.log1p(np.exp(-np.abs(z)))


def softplus_backward(dh: Array, z: Array, h: Array) -> Array:
    """dz = dh · sigmoid(z)."""
    return dh * sigmoid_forward(z)


def softplus_tangent_backward(tdh: Array, dh: Array, tz: Array, z: Array, h: Array) -> Array:
    """σ' = s, σ'' = s (1 − s), s = sigmoid(z).

    >>> one, z = np.ones((1, 1)), np.zeros((1, 1))
    >>> softplus_tangent_backward(one, one, one, z, z).tolist()
    [[0.75]]
    """
    s = sigmoid_forward(z)
    return softplus_backward(tdh, z, h) + s * (1 - s) * tz * dh


def gelu_forward(z: Array) -> Array:
    """h = z Φ(z), Φ(z) = ½ (1 + erf(z/√2)) = ½ erfc(−z/√2) the normal distribution function; −∞ gives the limit 0.

    Hendrycks, Gimpel: Gaussian error linear units, 2016.

    >>> gelu_forward(np.array([[-1.0, 0.0, 1.0]])).round(4).tolist()
    [[-0.1587, 0.0, 0.8413]]
    """
    z = np.maximum(z, -GELU_FLAT)
    return z * (0.5 * erfc(-SQRT_HALF * z))


def gelu_backward(dh: Array, z: Array, h: Array) -> Array:
    """dz = dh · (Φ(z) + z φ(z)), φ(z) = exp(−z²/2) / √(2π)."""
    z = np.clip(z, -GELU_FLAT, GELU_FLAT)
    return dh * (0.5 * erfc(-SQRT_HALF * z) + z * (INV_SQRT_2PI * np.exp(-0.5 * z * z)))


def gelu_tangent_backward(tdh: Array, dh: Array, tz: Array, z: Array, h: Array) -> Array:
    """σ' = Φ + z φ, σ'' = φ (2 − z²), with φ the normal density."""
    x = np.clip(z, -GELU_FLAT, GELU_FLAT)
    density = INV_SQRT_2PI * np.exp(-0.5 * x * x)
    return gelu_backward(tdh, z, h) + density * (2 - x * x) * tz * dh


def gelu_tanh_forward(z: Array) -> Array:
    """h = ½ z (1 + tanh u) = z sigmoid(2u), u = √(2/π) (z + 0.044715 z³): approximate GELU; −∞ gives the limit 0.

    Hendrycks, Gimpel: Gaussian error linear units, 2016.
    """
    z, gate, _ = _gelu_tanh_gate(z)
    return z * gate


def gelu_tanh_backward(dh: Array, z: Array, h: Array) -> Array:
    """dz = dh · (s + z s (1 − s) · 2u'), s = sigmoid(2u), u' = √(2/π) (1 + 3 · 0.044715 z²)."""
    _, gate, slope = _gelu_tanh_gate(z)
    z = np.clip(z, -GELU_FLAT, GELU_FLAT)
    return dh * (gate + z * gate * (1 - gate) * slope)


def gelu_tanh_tangent_backward(tdh: Array, dh: Array, tz: Array, z: Array, h: Array) -> Array:
    """h = z s(g), g = 2 √(2/π) (z + 0.044715 z³): σ' = s + z s' g', σ'' = 2 s' g' + z (s'' g'² + s' g'')."""
    x = np.clip(z, -GELU_FLAT, GELU_FLAT)
    s = sigmoid_forward(2 * SQRT_2_OVER_PI * (x + GELU_CUBIC * x**3))
    ds, dds = s * (1 - s), s * (1 - s) * (1 - 2 * s)
    dg, ddg = 2 * SQRT_2_OVER_PI * (1 + 3 * GELU_CUBIC * x * x), 12 * SQRT_2_OVER_PI * GELU_CUBIC * x
    return (s + x * ds * dg) * tdh + (2 * ds * dg + x * (dds * dg * dg + ds * ddg)) * tz * dh


def _gelu_tanh_gate(z: Array) -> tuple[Array, Array, Array]:
    """max(z, −40), sigmoid(2u) and 2u'."""
    flat = np.clip(z, -GELU_FLAT, GELU_FLAT)
    square = flat * flat
    gate = sigmoid_forward(2 * SQRT_2_OVER_PI * flat * (1 + GELU_CUBIC * square))
    return np.maximum(z, -GELU_FLAT), gate, 2 * SQRT_2_OVER_PI * (1 + 3 * GELU_CUBIC * square)


def silu_forward(z: Array) -> Array:
    """h = z sigmoid(z), also called swish; −∞ gives the limit 0.

    Elfwing, Uchibe, Doya: Sigmoid-weighted linear units, 2018.
    """
    z = np.maximum(z, -SILU_FLAT)
    return z * sigmoid_forward(z)


def silu_backward(dh: Array, z: Array, h: Array) -> Array:
    """dz = dh · s (1 + z (1 − s)), s = sigmoid(z)."""
    z = np.clip(z, -SILU_FLAT, SILU_FLAT)
    s = sigmoid_forward(z)
    return dh * (s * (1 + z * (1 - s)))


def silu_tangent_backward(tdh: Array, dh: Array, tz: Array, z: Array, h: Array) -> Array:
    """h = z s: σ' = s (1 + z (1 − s)), σ'' = s (1 − s)(2 + z (1 − 2s)), s = sigmoid(z)."""
    x = np.clip(z, -SILU_FLAT, SILU_FLAT)
    s = sigmoid_forward(x)
    return silu_backward(tdh, z, h) + s * (1 - s) * (2 + x * (1 - 2 * s)) * tz * dh


def mish_forward(z: Array) -> Array:
    """h = z w, w = tanh(log(1 + eᶻ)); −∞ gives the limit 0.

    Misra: Mish: a self regularized non-monotonic activation function, 2019.

    >>> mish_forward(np.array([[-1.0, 0.0, 1.0]])).round(4).tolist()
    [[-0.3034, 0.0, 0.8651]]
    """
    z = np.maximum(z, -SILU_FLAT)
    return z * np.tanh(softplus_forward(z))


def mish_backward(dh: Array, z: Array, h: Array) -> Array:
    """dz = dh · (w + z w'), w' = (1 − w²) s, s = sigmoid(z)."""
    z = np.clip(z, -SILU_FLAT, SILU_FLAT)
    w = np.tanh(softplus_forward(z))
    return dh * (w + z * ((1 - w * w) * sigmoid_forward(z)))


def mish_tangent_backward(tdh: Array, dh: Array, tz: Array, z: Array, h: Array) -> Array:
    """h = z w: σ' = w + z w', σ'' = 2 w' + z w'', w'' = w' (1 − s − 2 w s), s = sigmoid(z)."""
    x = np.clip(z, -SILU_FLAT, SILU_FLAT)
    w, s = np.tanh(softplus_forward(x)), sigmoid_forward(x)
    dw = (1 - w * w) * s
    return mish_backward(tdh, z, h) + dw * (2 + x * (1 - s - 2 * w * s)) * tz * dh


def softmax_forward(z: Array) -> Array:
    """h_j = exp(z_j − m) / Σ_k exp(z_k − m) along each row, m = max_k z_k.

    >>> softmax_forward(np.array([[1e4, 1e4], [-1e4, 1e4]])).tolist()
    [[0.5, 0.5], [0.0, 1.0]]
    """
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def softmax_backward(dh: Array, z: Array, h: Array) -> Array:
    """dz_j = h_j (dh_j − Σ_k dh_k h_k), from ∂h_k/∂z_j = h_k ([j = k] − h_j).

    >>> z = np.array([[0.0, 0.0]])
    >>> softmax_backward(np.array([[1.0, 0.0]]), z, softmax_forward(z)).tolist()
    [[0.25, -0.25]]
    """
    return h * (dh - (dh * h).sum(axis=1, keepdims=True))


def softmax_tangent_backward(tdh: Array, dh: Array, tz: Array, z: Array, h: Array) -> Array:
    """dz = h (dh − Σ dh h), so tdz = th (dh − Σ dh h) + h (tdh − Σ tdh h − Σ dh th), with th = h (tz − Σ tz h)."""
    th = softmax_backward(tz, z, h)
    mean = (dh * h).sum(axis=1, keepdims=True)
    mean_t = (dh * th).sum(axis=1, keepdims=True)
    return softmax_backward(tdh, z, h) + th * (dh - mean) - h * mean_t
