"""Adaptive learning rates: a step length per parameter, from its past gradients. r is a sum or a running mean of g²."""

import numpy as np

from ._common import Array, Placement, placed, root, store

__all__ = [
    "adadelta_outside_update", "adadelta_update", "adagrad_inside_update", "adagrad_update", "ftrl_update",
    "rmsprop_centered_inside_update", "rmsprop_centered_momentum_inside_update", "rmsprop_centered_momentum_update",
    "rmsprop_centered_update", "rmsprop_inside_update", "rmsprop_momentum_inside_update", "rmsprop_momentum_update",
    "rmsprop_update",
]  # fmt: skip


def adagrad_update(
    theta: Array, grad: Array, r: Array, *, lr: float = 0.01, eps: float = 1e-10, eps_placement: Placement = "outside"
) -> bool:
    """r ← r + g², θ ← θ − η g / (√r + ε); or, ``"inside"``, θ ← θ − η g / √(r + ε).

    Duchi, Hazan, Singer: Adaptive subgradient methods for online learning and stochastic optimization, 2011.

    >>> theta, r = np.array([1.0]), np.array([16.0])
    >>> adagrad_update(theta, np.array([3.0]), r, lr=0.5, eps=1.0), theta.tolist(), r.tolist()
    (False, [0.75], [25.0])
    """
    new_r = r + grad * grad
    return store((theta, theta - lr * grad / root(new_r, eps, eps_placement)), (r, new_r))


adagrad_inside_update = placed(adagrad_update, "inside", "θ ← θ − η g / √(r + ε)")


def _mean(alpha: float, mean: Array, x: Array) -> Array:
    """α mean + (1 − α) x."""
    return alpha * mean + (1 - alpha) * x


def rmsprop_update(
    theta: Array, grad: Array, r: Array, *, lr: float = 0.01, alpha: float = 0.99, eps: float = 1e-8,
    eps_placement: Placement = "outside",
) -> bool:  # fmt: skip
    """r ← α r + (1 − α) g², θ ← θ − η g / (√r + ε); or, ``"inside"``, θ ← θ − η g / √(r + ε).

    Hinton, Srivastava, Swersky: Neural networks for machine learning, lecture 6e, 2012.

    >>> theta, r = np.array([1.0]), np.zeros(1)
    >>> rmsprop_update(theta, np.array([4.0]), r, lr=0.75, alpha=0.75, eps=1.0), theta.tolist(), r.tolist()
    (False, [0.0], [4.0])
    """
    new_r = _mean(alpha, r, grad * grad)
    return store((theta, theta - lr * grad / root(new_r, eps, eps_placement)), (r, new_r))


rmsprop_inside_update = placed(rmsprop_update, "inside", "θ ← θ − η g / √(r + ε)")


def rmsprop_momentum_update(
    theta: Array, grad: Array, r: Array, v: Array, *, lr: float = 0.01, alpha: float = 0.99, eps: float = 1e-8,
    momentum: float = 0.9, eps_placement: Placement = "outside",
) -> bool:  # fmt: skip
    """r ← α r + (1 − α) g², v ← μ v + g / (√r + ε), θ ← θ − η v.

    Hinton, Srivastava, Swersky, 2012; with momentum as PyTorch computes it.
    """
    new_r = _mean(alpha, r, grad * grad)
    new_v = momentum * v + grad / root(new_r, eps, eps_placement)
    return store((theta, theta - lr * new_v), (r, new_r), (v, new_v))


rmsprop_momentum_inside_update = placed(rmsprop_momentum_update, "inside", "v ← μ v + g / √(r + ε)")


def _variance(r: Array, a: Array) -> Array:
    """max(r − a², 0): rounding can make the difference negative."""
    return np.maximum(r - a * a, 0)


def rmsprop_centered_update(
    theta: Array, grad: Array, r: Array, a: Array, *, lr: float = 0.01, alpha: float = 0.99, eps: float = 1e-8,
    eps_placement: Placement = "outside",
) -> bool:  # fmt: skip
    """r ← α r + (1 − α) g², a ← α a + (1 − α) g, θ ← θ − η g / (√(r − a²) + ε).

    Graves: Generating sequences with recurrent neural networks, 2013.

    >>> theta, r, a = np.array([1.0]), np.zeros(1), np.zeros(1)
    >>> rmsprop_centered_update(theta, np.array([4.0]), r, a, lr=0.75, alpha=0.5, eps=1.0)
    False
    >>> theta.tolist(), r.tolist(), a.tolist()
    ([0.0], [8.0], [2.0])
    """
    new_r, new_a = _mean(alpha, r, grad * grad), _mean(alpha, a, grad)
    new_theta = theta - lr * grad / root(_variance(new_r, new_a), eps, eps_placement)
    return store((theta, new_theta), (r, new_r), (a, new_a))


rmsprop_centered_inside_update = placed(rmsprop_centered_update, "inside", "θ ← θ − η g / √(r − a² + ε)")


def rmsprop_centered_momentum_update(
    theta: Array, grad: Array, r: Array, a: Array, v: Array, *, lr: float = 0.01, alpha: float = 0.99, eps: float = 1e-8,
    momentum: float = 0.9, eps_placement: Placement = "outside",
) -> bool:  # fmt: skip
    """r and a as in `rmsprop_centered_update`, v ← μ v + g / (√(r − a²) + ε), θ ← θ − η v.

    Graves, 2013, with η outside the velocity, as PyTorch computes it.
    """
    new_r, new_a = _mean(alpha, r, grad * grad), _mean(alpha, a, grad)
    new_v = momentum * v + grad / root(_variance(new_r, new_a), eps, eps_placement)
    return store((theta, theta - lr * new_v), (r, new_r), (a, new_a), (v, new_v))


rmsprop_centered_momentum_inside_update = placed(rmsprop_centered_momentum_update, "inside", "v ← μ v + g / √(r − a² + ε)")


def adadelta_update(
    theta: Array, grad: Array, r: Array, d: Array, *, lr: float = 1.0, rho: float = 0.9, eps: float = 1e-6,
    eps_placement: Placement = "inside",
) -> bool:  # fmt: skip
    """r ← ρ r + (1 − ρ) g², Δ = g √(d + ε) / √(r + ε), d ← ρ d + (1 − ρ) Δ², θ ← θ − η Δ.

    ``"outside"``: Δ = g (√d + ε) / (√r + ε). η = 1 in Zeiler: ADADELTA, an adaptive learning rate method, 2012.

    >>> theta, r, d = np.array([1.0]), np.zeros(1), np.zeros(1)
    >>> adadelta_update(theta, np.array([4.0]), r, d, rho=0.5, eps=1.0), theta.round(4).tolist(), d.round(4).tolist()
    (False, [-0.3333], [0.8889])
    """
    new_r = _mean(rho, r, grad * grad)
    delta = grad * root(d, eps, eps_placement) / root(new_r, eps, eps_placement)
    new_d = _mean(rho, d, delta * delta)
    return store((theta, theta - lr * delta), (r, new_r), (d, new_d))


adadelta_outside_update = placed(adadelta_update, "outside", "Δ = g (√d + ε) / (√r + ε)")


def ftrl_update(
    theta: Array, grad: Array, z: Array, n: Array, *, lr: float = 0.1, beta: float = 1.0, l1: float = 0.0, l2: float = 0.0
) -> bool:
    """z ← z + g − σ θ with σ = (√(n + g²) − √n) / α, n ← n + g², θ ← −(z − λ₁ sign z) / ((β + √n)/α + λ₂) or 0 if |z| ≤ λ₁.

    Where g or α is 0 nothing changes. The z on the right is the one that gives θ: −((β + √n)/α + λ₂) θ − λ₁ sign θ, or where
    θ = 0 the state, cut to [−λ₁, λ₁].

    McMahan et al.: Ad click prediction, a view from the trenches, 2013, algorithm 1.

    >>> theta, z, n = np.array([0.0, 1.0]), np.zeros(2), np.array([0.0, 9.0])
    >>> ftrl_update(theta, np.array([-3.0, 4.0]), z, n, lr=0.5, l1=1.0), theta.tolist(), z.tolist(), n.tolist()
    (False, [0.25, 0.6666666666666666], [-3.0, -9.0], [9.0, 25.0])
    """
    moves = np.flatnonzero((grad != 0) & (lr != 0))
    w, g, old_n = theta[moves], grad[moves], n[moves]
    new_n = old_n + g * g
    new_z = np.where(w == 0, np.clip(z[moves], -l1, l1), -((beta + np.sqrt(old_n)) / lr + l2) * w - l1 * np.sign(w))
    new_z = new_z + g - (np.sqrt(new_n) - np.sqrt(old_n)) / lr * w
    shrunk = new_z - np.clip(new_z, -l1, l1)
    new_theta = -shrunk / ((beta + np.sqrt(new_n)) / lr + l2)
    after = theta.copy(), z.copy(), n.copy()
    for array, new in zip(after, (new_theta, new_z, new_n), strict=True):
        array[moves] = new
    return store(*zip((theta, z, n), after, strict=True))
