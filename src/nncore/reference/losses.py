"""Losses of an output y for a target d, each with its gradient, and accuracies.

y and d are (rows, width); ``*_labels`` takes integer labels (rows,), from 0 to width − 1, instead of d; weight is (rows,).
A loss returns two arrays:

- the loss per example, (rows,), float64, multiplied by weight_i where weights are given;
- dy = scale · weight_i · ∂loss_i/∂y_i, of the shape and dtype of y. The default scale is 1/rows: the loss of a batch is
  the mean.

Cross-entropies may smooth the targets, with ``smoothing`` s in [0, 1]: t = (1 − s) d + s / classes takes the place of d.

Both are 0 where weight_i = 0, even if the loss or its gradient is infinite or NaN. Sums over a row are taken in double
precision. 0 · log 0 is 0. An accuracy returns one float64 per example, 1 or 0.

``*_tangent`` is the derivative of dy along a direction: see `tangents`.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import xlog1py, xlogy

from ._common import Array
from .activations import sigmoid_backward, sigmoid_forward, softmax_backward, softmax_forward

__all__ = [
    "accuracy_binary", "accuracy_labels", "accuracy_targets", "binary_cross_entropy", "binary_cross_entropy_tangent", "hinge",
    "hinge_tangent", "huber", "huber_tangent", "kl_divergence", "kl_divergence_tangent", "mean_absolute_error",
    "mean_absolute_error_tangent", "mean_squared_error", "mean_squared_error_tangent", "poisson", "poisson_tangent", "quantile",
    "quantile_tangent", "sigmoid_cross_entropy", "sigmoid_cross_entropy_tangent", "softmax_cross_entropy",
    "softmax_cross_entropy_labels", "softmax_cross_entropy_labels_tangent", "softmax_cross_entropy_tangent", "squared_error",
    "squared_error_tangent",
]  # fmt: skip

Labels = NDArray[np.integer[Any]]
Double = NDArray[np.float64]
Weight = Array | None
Scale = float | None


def _per_example(term: Array, dy: Array, weight: Weight, scale: Scale) -> tuple[Double, Array]:
    """weight_i Σ_j term_ij, and dy weighted and scaled."""
    loss = _masked(term, weight).sum(axis=1, dtype=np.float64)
    return (loss if weight is None else loss * weight), _scaled(dy, weight, scale)


def _scaled(dy: Array, weight: Weight, scale: Scale) -> Array:
    """scale · weight_i · dy_i."""
    dy = _masked(dy, weight)
    factor = np.full(len(dy), 1 / len(dy) if scale is None else scale)
    if weight is not None:
        factor *= weight
    return (dy * factor[:, None]).astype(dy.dtype)


def _masked(values: Array, weight: Weight) -> Array:
    """values, with rows of 0 where the weight is 0: 0 · ∞ would be NaN."""
    return values if weight is None else np.where(weight[:, None] == 0, 0, values)


def squared_error(y: Array, d: Array, weight: Weight = None, scale: Scale = None) -> tuple[Double, Array]:
    """loss = ½ Σ_j (y_j − d_j)²; ∂/∂y = y − d.

    Rumelhart, Hinton, Williams: Learning representations by back-propagating errors, 1986.

    >>> loss, dy = squared_error(np.array([[1.0, 4.0]]), np.array([[0.0, 2.0]]))
    >>> loss.tolist(), dy.tolist()
    ([2.5], [[1.0, 2.0]])
    """
    r = y - d
    return _per_example(0.5 * r * r, r, weight, scale)


def squared_error_tangent(ty: Array, y: Array, d: Array, weight: Weight = None, scale: Scale = None) -> Array:
    """½ (y − d)²: ∂² = 1."""
    return _scaled(ty, weight, scale)


def mean_squared_error(y: Array, d: Array, weight: Weight = None, scale: Scale = None) -> tuple[Double, Array]:
    """loss = 1/n Σ_j (y_j − d_j)², n = width; ∂/∂y = 2 (y − d) / n."""
    r = y - d
    n = y.shape[1]
    return _per_example(r * r / n, 2 * r / n, weight, scale)


def mean_squared_error_tangent(ty: Array, y: Array, d: Array, weight: Weight = None, scale: Scale = None) -> Array:
    """(y − d)² / n: ∂² = 2 / n."""
    return _scaled(2 * ty / ty.shape[1], weight, scale)


def mean_absolute_error(y: Array, d: Array, weight: Weight = None, scale: Scale = None) -> tuple[Double, Array]:
    """loss = 1/n Σ_j |y_j − d_j|, n = width; ∂/∂y = sign(y − d) / n, with sign 0 = 0."""
    r = y - d
    n = y.shape[1]
    return _per_example(np.abs(r) / n, np.sign(r) / n, weight, scale)


def mean_absolute_error_tangent(ty: Array, y: Array, d: Array, weight: Weight = None, scale: Scale = None) -> Array:
    """|y − d| / n: ∂² = 0 away from the kink."""
    return _scaled(0 * ty, weight, scale)


def huber(y: Array, d: Array, weight: Weight = None, scale: Scale = None, delta: float = 1.0) -> tuple[Double, Array]:
    """loss = 1/n Σ_j (½ r_j² where |r_j| ≤ δ, else δ (|r_j| − ½ δ)), r = y − d; ∂/∂y = clip(r, −δ, δ) / n.

    Huber: Robust estimation of a location parameter, 1964; the mean over outputs is PyTorch's.

    >>> loss, dy = huber(np.array([[1.0, 4.0]]), np.array([[0.0, 0.0]]), delta=2.0)
    >>> loss.tolist(), dy.tolist()
    ([3.25], [[0.5, 1.0]])
    """
    r = y - d
    n = y.shape[1]
    clipped = np.clip(r, -delta, delta)  # c (r − ½ c) is ½ r² inside and δ (|r| − ½ δ) outside
    return _per_example(clipped * (r - 0.5 * clipped) / n, clipped / n, weight, scale)


def huber_tangent(ty: Array, y: Array, d: Array, weight: Weight = None, scale: Scale = None, delta: float = 1.0) -> Array:
    """½ r² or δ (|r| − ½ δ), over n: ∂² = [|r| < δ] / n."""
    return _scaled(ty * (np.abs(y - d) < delta) / ty.shape[1], weight, scale)


def quantile(y: Array, d: Array, weight: Weight = None, scale: Scale = None, q: float | Array = 0.5) -> tuple[Double, Array]:
    """loss = Σ_j max(q_j r_j, (q_j − 1) r_j), r = d − y; ∂/∂y = −q where r > 0, 1 − q where r < 0, 0 where r = 0.

    Koenker, Bassett: Regression quantiles, 1978.

    >>> loss, dy = quantile(np.array([[1.0, 4.0]]), np.array([[2.0, 2.0]]), q=np.array([0.9, 0.25]))
    >>> loss.tolist(), dy.tolist()
    ([2.4], [[-0.9, 0.75]])
    """
    r, q = d - y, np.asarray(q, y.dtype)
    return _per_example(np.maximum(q * r, (q - 1) * r), np.where(r > 0, -q, np.where(r < 0, 1 - q, 0 * r)), weight, scale)


def quantile_tangent(
    ty: Array, y: Array, d: Array, weight: Weight = None, scale: Scale = None, q: float | Array = 0.5
) -> Array:
    """max(q r, (q − 1) r): ∂² = 0 away from the kink."""
    return _scaled(0 * ty, weight, scale)


def poisson(y: Array, d: Array, weight: Weight = None, scale: Scale = None) -> tuple[Double, Array]:
    """loss = Σ_j (exp(y_j) − d_j y_j), y the logarithm of the rate; ∂/∂y = exp(y) − d.

    The negative log-likelihood without log d!. 0 · y is 0, also where y is −∞.

    >>> loss, dy = poisson(np.array([[0.0, -np.inf]]), np.array([[3.0, 0.0]]))
    >>> loss.tolist(), dy.tolist()
    ([1.0], [[-2.0, 0.0]])
    """
    with np.errstate(over="ignore"):
        rate = np.exp(y)
    return _per_example(rate - d * np.where((d == 0) & (y < 0), 0, y), rate - d, weight, scale)


def poisson_tangent(ty: Array, y: Array, d: Array, weight: Weight = None, scale: Scale = None) -> Array:
    """eʸ − d y: ∂² = eʸ."""
    return _scaled(ty * np.exp(y), weight, scale)


def hinge(y: Array, d: Array, weight: Weight = None, scale: Scale = None) -> tuple[Double, Array]:
    """loss = Σ_j max(0, 1 − d_j y_j), d = ±1; ∂/∂y = −d where d y < 1, else 0.

    >>> loss, dy = hinge(np.array([[0.5, 3.0]]), np.array([[-1.0, 1.0]]))
    >>> loss.tolist(), dy.tolist()
    ([1.5], [[1.0, 0.0]])
    """
    margin = d * y
    return _per_example(np.maximum(1 - margin, 0), np.where(margin < 1, -d, 0), weight, scale)


def hinge_tangent(ty: Array, y: Array, d: Array, weight: Weight = None, scale: Scale = None) -> Array:
    """max(0, 1 − d y): ∂² = 0 away from the kink."""
    return _scaled(0 * ty, weight, scale)


def binary_cross_entropy(y: Array, d: Array, weight: Weight = None, scale: Scale = None) -> tuple[Double, Array]:
    """loss = Σ_j (−d_j log y_j − (1 − d_j) log(1 − y_j)); ∂/∂y = −d/y + (1 − d)/(1 − y), for y and d in [0, 1].

    If d = 0 (or 1), the term in y (or 1 − y) is 0 in the loss and in the gradient, for any y. The loss is infinite
    if y is 0 or 1 and the target is the opposite; `sigmoid_cross_entropy`, which takes logits, stays finite.

    Goodfellow, Bengio, Courville: Deep Learning, 2016, section 6.2.2.2.

    >>> loss, dy = binary_cross_entropy(np.array([[0.5, 1.0]]), np.array([[0.0, 1.0]]))
    >>> loss.round(4).tolist(), dy.tolist()
    ([0.6931], [[2.0, -1.0]])
    """
    return _per_example(-xlogy(d, y) - xlog1py(1 - d, -y), _ratio(1 - d, 1 - y) - _ratio(d, y), weight, scale)


def binary_cross_entropy_tangent(ty: Array, y: Array, d: Array, weight: Weight = None, scale: Scale = None) -> Array:
    """−d log y − (1 − d) log(1 − y): ∂² = d/y² + (1 − d)/(1 − y)².

    >>> binary_cross_entropy_tangent(np.array([[1.0, 2.0]]), np.array([[0.5, 0.5]]), np.array([[0.0, 1.0]])).tolist()
    [[4.0, 8.0]]
    """
    return _scaled(ty * (_ratio(d, y * y) + _ratio(1 - d, (1 - y) * (1 - y))), weight, scale)


def kl_divergence(y: Array, d: Array, weight: Weight = None, scale: Scale = None) -> tuple[Double, Array]:
    """loss = Σ_j d_j log d_j − Σ_j d_j log y_j; ∂/∂y = −d/y, for probabilities y and d.

    The rows of d should sum to one; those of y need not.

    Kullback, Leibler: On information and sufficiency, 1951.
    """
    return _per_example(xlogy(d, d) - xlogy(d, y), -_ratio(d, y), weight, scale)


def kl_divergence_tangent(ty: Array, y: Array, d: Array, weight: Weight = None, scale: Scale = None) -> Array:
    """d log d − d log y: ∂² = d/y²."""
    return _scaled(ty * _ratio(d, y * y), weight, scale)


def _ratio(a: Array, b: Array) -> Array:
    """a / b, and 0 where a is 0; a / 0 is infinite without a warning."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(a == 0, 0 * a, a / b)


def _smoothed(d: Array, smoothing: float, classes: int) -> Array:
    """(1 − s) d + s / classes."""
    return (1 - smoothing) * d + smoothing / classes


def sigmoid_cross_entropy(
    y: Array, d: Array, weight: Weight = None, scale: Scale = None, smoothing: float = 0.0
) -> tuple[Double, Array]:
    """loss = Σ_j (−t_j log s_j − (1 − t_j) log(1 − s_j)), s = sigmoid(y); ∂/∂y = s − t, for logits y; two classes.

    −t log s − (1 − t) log(1 − s) = log(1 + eʸ) − t y = max(y, 0) − t y + log(1 + e^-|y|).

    >>> loss, dy = sigmoid_cross_entropy(np.array([[1e4, 0.0]]), np.array([[1.0, 1.0]]))
    >>> loss.round(4).tolist(), dy.tolist()
    ([0.6931], [[0.0, -0.5]])
    """
    t = _smoothed(d, smoothing, 2)
    term = np.maximum(y, 0) - t * y + np.log1p(np.exp(-np.abs(y)))
    return _per_example(term, sigmoid_forward(y) - t, weight, scale)


def sigmoid_cross_entropy_tangent(
    ty: Array, y: Array, d: Array, weight: Weight = None, scale: Scale = None, smoothing: float = 0.0
) -> Array:
    """log(1 + eʸ) − t y: ∂² = s (1 − s), s = sigmoid(y)."""
    return _scaled(sigmoid_backward(ty, y, sigmoid_forward(y)), weight, scale)


def softmax_cross_entropy(
    y: Array, d: Array, weight: Weight = None, scale: Scale = None, smoothing: float = 0.0
) -> tuple[Double, Array]:
    """loss = −Σ_j t_j log p_j, p = softmax(y); ∂/∂y = p Σ_j t_j − t, for logits y.

    −log p_j = log Σ_k exp(y_k − m) − (y_j − m), m = max_k y_k. The gradient is also right where a row of d does not sum to one.
    """
    log_p, p = _log_softmax(y)
    t = _smoothed(d, smoothing, y.shape[1])
    return _per_example(-t * log_p, p * t.sum(axis=1, keepdims=True) - t, weight, scale)


def softmax_cross_entropy_tangent(
    ty: Array, y: Array, d: Array, weight: Weight = None, scale: Scale = None, smoothing: float = 0.0
) -> Array:
    """D log Σ eʸ − Σ t y, D = Σ t: ∂² ty = D p (ty − Σ p ty), p = softmax(y)."""
    mass = _smoothed(d, smoothing, y.shape[1]).sum(axis=1, keepdims=True)
    return _scaled(mass * softmax_backward(ty, y, softmax_forward(y)), weight, scale)


def softmax_cross_entropy_labels(
    y: Array, labels: Labels, weight: Weight = None, scale: Scale = None, smoothing: float = 0.0
) -> tuple[Double, Array]:
    """loss = −log p_label, p = softmax(y); ∂/∂y_j = p_j − [j = label], for logits y; smoothed as rows of d_j = [j = label].

    Goodfellow, Bengio, Courville: Deep Learning, 2016, section 6.2.2.3.

    >>> loss, dy = softmax_cross_entropy_labels(np.array([[1e4, 1e4]]), np.array([1]))
    >>> loss.round(4).tolist(), dy.tolist()
    ([0.6931], [[0.5, -0.5]])
    """
    log_p, dy = _log_softmax(y)
    row = np.arange(len(y))
    dy -= smoothing / y.shape[1]
    dy[row, labels] -= 1 - smoothing
    loss = -(1 - smoothing) * log_p[row, labels] - smoothing * log_p.mean(axis=1)
    return _per_example(loss[:, None], dy, weight, scale)


def softmax_cross_entropy_labels_tangent(
    ty: Array, y: Array, labels: Labels, weight: Weight = None, scale: Scale = None, smoothing: float = 0.0
) -> Array:
    """As ``softmax_cross_entropy_tangent`` with D = 1: the second derivative does not depend on the label."""
    return _scaled(softmax_backward(ty, y, softmax_forward(y)), weight, scale)


def _log_softmax(y: Array) -> tuple[Array, Array]:
    """log softmax(y) and softmax(y) along each row."""
    shifted = y - y.max(axis=1, keepdims=True)
    e = np.exp(shifted)
    total = e.sum(axis=1, keepdims=True)
    return shifted - np.log(total), e / total


def accuracy_labels(y: Array, labels: Labels) -> Double:
    """correct = [argmax_j y_j = label]; of equal outputs the first is used, and a row with NaN is never correct.

    >>> accuracy_labels(np.array([[1.0, 2.0], [3.0, 3.0]]), np.array([1, 1])).tolist()
    [1.0, 0.0]
    """
    return ((y.argmax(axis=1) == labels) & ~np.isnan(y).any(axis=1)).astype(np.float64)


def accuracy_targets(y: Array, d: Array) -> Double:
    """correct = [argmax_j y_j = argmax_j d_j]; of equal elements the first is used."""
    return accuracy_labels(y, d.argmax(axis=1))


def accuracy_binary(y: Array, d: Array, threshold: float = 0.5, middle: float = 0.5) -> Double:
    """correct = [(y_j > threshold) = (d_j > middle) for every j]; NaN is never correct.

    The threshold is ½ for probabilities and 0 for logits; the middle is the mean of the two values of the targets, ½ for 0
    and 1, 0 for −1 and 1.

    >>> accuracy_binary(np.array([[0.7, 0.7], [0.2, 0.3]]), np.array([[1.0, 0.0], [0.0, 0.0]])).tolist()
    [0.0, 1.0]
    """
    right = np.where(d > middle, y > threshold, y <= threshold)
    return np.asarray(right.all(axis=1), dtype=np.float64)
