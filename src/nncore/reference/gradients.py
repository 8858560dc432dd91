"""Penalties, clipping and noise, between the backward pass and the update; the proximal step and projections after it.

The gradient g is changed in place; g and θ have one shape.
"""

import math

import numpy as np
from numpy.typing import ArrayLike

from ._common import Array
from .random import random_normal

__all__ = [
    "accumulate", "clip_factor", "clip_value", "gradient_noise", "join_parts", "penalty", "project_non_negative",
    "project_norm", "scale_gradient", "shrink", "square_sum", "sum_nodes",
]  # fmt: skip


def accumulate(total: Array, grad: Array, *, first: bool, last: bool) -> None:
    """total ← total + g, from 0 at the first part of a batch; at the last one g ← total + g, the gradient of the batch.

    >>> total, parts = np.empty(1), [np.array([1.0]), np.array([2.0]), np.array([4.0])]
    >>> for k, g in enumerate(parts):
    ...     accumulate(total, g, first=k == 0, last=k == 2)
    >>> parts[2].tolist()
    [7.0]
    """
    if not first:
        grad += total
    if not last:
        total[...] = grad


def join_parts(nodes: Array, grad: Array, top: int, joins: int, *, keep: bool) -> None:
    """g ← node + g for the ``joins`` nodes below ``top``, from the last; with ``keep`` the first of their places gets g.

    So the gradients of the parts of a batch are added along a binary tree: ((g₀ + g₁) + (g₂ + g₃)) + …

    >>> nodes, parts = np.zeros((2, 1)), [np.array([2.0**k]) for k in range(4)]
    >>> for g, (top, joins) in zip(parts, [(0, 0), (1, 1), (1, 0), (2, 2)]):
    ...     join_parts(nodes, g, top, joins, keep=True)
    >>> parts[3].tolist(), nodes[0].tolist()
    ([15.0], [15.0])
    """
    for node in nodes[top - joins : top][::-1]:
        grad += node
    if keep:
        nodes[top - joins] = grad


def sum_nodes(grad: Array, nodes: Array, additions: ArrayLike) -> None:
    """nodes[left] += nodes[right] for each pair; then g ← nodes[0].

    >>> g = np.zeros(1)
    >>> sum_nodes(g, np.array([[1.0], [2.0], [4.0]]), [(1, 2), (0, 1)])
    >>> g.tolist()
    [7.0]
    """
    for left, right in np.asarray(additions, dtype=int).reshape(-1, 2):
        nodes[left] += nodes[right]
    grad[...] = nodes[0]


def penalty(grad: Array, theta: Array, l1: float = 0.0, l2: float = 0.0) -> float:
    """g ← g + λ₁ sign(θ) + λ₂ θ, the gradient of the penalty λ₁ Σ |θ_i| + ½ λ₂ Σ θ_i², which is returned.

    Goodfellow, Bengio, Courville: Deep Learning, 2016, section 7.1.

    >>> g = np.zeros(3)
    >>> penalty(g, np.array([2.0, 0.0, -4.0]), l1=0.5, l2=0.25), g.tolist()
    (5.5, [1.0, 0.0, -1.5])
    """
    grad += l1 * np.sign(theta) + l2 * theta
    w = theta.astype(np.float64)
    return float(l1 * np.abs(w).sum() + 0.5 * l2 * (w * w).sum())


def shrink(theta: Array, threshold: float, ahead: Array | None = None, v: Array | None = None, mu: float = 0.0) -> None:
    """θ ← sign(θ) max(|θ| − threshold, 0): exactly 0 within the threshold.

    The proximal step of an L1 penalty, the θ′ that minimizes ½ (θ′ − θ)² + threshold |θ′|; threshold = η λ. ``ahead``, if
    given, becomes θ + μ v.

    Langford, Li, Zhang: Sparse online learning via truncated gradient, 2009; Duchi, Singer: Efficient online and batch learning
    using forward backward splitting, 2009.

    >>> w = np.array([3.0, -0.5, 1.0, -2.0])
    >>> shrink(w, 1.0)
    >>> w.tolist()
    [2.0, 0.0, 0.0, -1.0]
    """
    before = theta.copy()
    theta[...] = np.where(np.abs(before) > threshold, before - np.sign(before) * threshold, 0)
    if ahead is not None and v is not None:
        ahead[...] = theta + mu * v


def project_norm(W: Array, lower: float, upper: float) -> None:
    """w ← w min(max(‖w‖, lower), upper)/‖w‖ for each row w of W (units, inputs); w = 0 stays.

    Srebro, Shraibman: Rank, trace-norm and max-norm, 2005; Srivastava et al.: Dropout, 2014.

    >>> W = np.array([[3.0, 4.0], [0.3, 0.4], [0.0, 0.0]])
    >>> project_norm(W, 1.0, 2.0)
    >>> W.round(12).tolist()
    [[1.2, 1.6], [0.6, 0.8], [0.0, 0.0]]
    """
    norm = np.hypot.reduce(W.astype(np.float64), axis=1, keepdims=True)
    W[...] = W / np.where(norm > 0, norm, 1) * np.clip(norm, lower, upper)


def project_non_negative(W: Array) -> None:
    """w ← max(w, 0)."""
    np.maximum(W, 0, out=W)


def clip_value(grad: Array, limit: float) -> None:
    """g_i ← min(max(g_i, −limit), limit); NaN stays."""
    np.clip(grad, -limit, limit, out=grad)


def square_sum(grad: Array) -> float:
    """Σ g_i², in double precision."""
    return float(np.square(grad, dtype=np.float64).sum())


def clip_factor(squares: ArrayLike, limit: float) -> float:
    """min(1, limit / ‖g‖), the factor of `scale_gradient` that clips the norm; squares are the `square_sum` of g's parts.

    Pascanu, Mikolov, Bengio: On the difficulty of training recurrent neural networks, 2013.

    >>> clip_factor([9.0, 16.0], limit=2.5), clip_factor([9.0, 16.0], limit=10.0)
    (0.5, 1.0)
    """
    norm = math.sqrt(np.sum(squares))
    return limit / norm if norm > limit else 1.0


def scale_gradient(grad: Array, factor: float) -> None:
    """g ← factor · g.

    >>> g = np.array([3.0, -4.0])
    >>> scale_gradient(g, clip_factor([square_sum(g)], limit=2.5))
    >>> g.tolist()
    [1.5, -2.0]
    """
    grad *= factor


def gradient_noise(grad: Array, step: int, sigma: float, seed: int = 0) -> None:
    """g ← g + σ n, n ~ N(0, 1) for each element: `random_normal` of layer 0, stream 1, a function of (seed, step, index).

    σ = √(η/(1+t)^γ) in Neelakantan et al.: Adding gradient noise improves learning for very deep networks, 2015.

    >>> g = np.zeros(3)
    >>> gradient_noise(g, step=0, sigma=0.1)
    >>> g.round(3).tolist()
    [0.109, 0.091, 0.188]
    """
    grad += (sigma * random_normal(grad.size, seed=seed, layer=0, stream=1, step=step)).astype(grad.dtype)
