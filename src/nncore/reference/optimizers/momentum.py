"""Gradient descent, and gradient descent with a velocity v."""

import numpy as np

from ._common import Array, store

__all__ = ["momentum_outside_update", "momentum_update", "nesterov_enter", "nesterov_leave", "nesterov_update", "sgd_update"]


def sgd_update(theta: Array, grad: Array, *, lr: float) -> bool:
    """θ ← θ − η g (Robbins, Monro: A stochastic approximation method, 1951).

    >>> theta = np.array([1.0, 2.0])
    >>> sgd_update(theta, np.array([4.0, -4.0]), lr=0.25), theta.tolist()
    (False, [0.0, 3.0])
    """
    return store((theta, theta - lr * grad))


def momentum_update(theta: Array, grad: Array, v: Array, *, lr: float, momentum: float = 0.9) -> bool:
    """v ← μ v − η g, θ ← θ + v. A new η acts on later gradients only.

    Polyak: Some methods of speeding up the convergence of iteration methods, 1964; Goodfellow, Bengio, Courville: Deep
    Learning, 2016, algorithm 8.2.

    >>> theta, v = np.array([1.0]), np.array([0.5])
    >>> momentum_update(theta, np.array([2.0]), v, lr=0.25, momentum=0.5), theta.tolist(), v.tolist()
    (False, [0.75], [-0.25])
    """
    new_v = momentum * v - lr * grad
    return store((theta, theta + new_v), (v, new_v))


def momentum_outside_update(theta: Array, grad: Array, v: Array, *, lr: float, momentum: float = 0.9) -> bool:
    """v ← μ v + g, θ ← θ − η v. A new η acts on the whole sum at once; while η is constant this is `momentum_update`.

    Polyak, 1964, as PyTorch computes it.

    >>> theta, v = np.array([1.0]), np.array([-2.0])
    >>> momentum_outside_update(theta, np.array([2.0]), v, lr=0.25, momentum=0.5), theta.tolist(), v.tolist()
    (False, [0.75], [1.0])
    """
    new_v = momentum * v + grad
    return store((theta, theta - lr * new_v), (v, new_v))


def nesterov_enter(theta: Array, v: Array, origin: Array, *, momentum: float = 0.9) -> bool:
    """origin ← θ, θ ← θ + μ v: from the parameters to the look-ahead point, where Nesterov's momentum takes the gradient."""
    np.copyto(origin, theta)
    return store((theta, theta + momentum * v))


def nesterov_update(
    theta: Array, grad: Array, v: Array, origin: Array, *, lr: float, momentum: float = 0.9, next_momentum: float | None = None
) -> bool:
    """Nesterov's momentum, v ← μ v − η g(ϑ + μ v), ϑ ← ϑ + v, from one look-ahead point to the next.

    The parameters ϑ are in ``origin``; θ holds the look-ahead point, ϑ + μ v, so that the caller's gradient at θ is the
    required one (`nesterov_enter`, `nesterov_leave`). With μ′ the momentum of the next step,

        v ← μ v − η g, origin ← origin + v, θ ← origin + μ′ v.

    Nesterov: A method for solving the convex programming problem with convergence rate O(1/k²), 1983; Sutskever, Martens, Dahl,
    Hinton: On the importance of initialization and momentum in deep learning, 2013.

    >>> theta, v, origin = np.array([1.25]), np.array([0.5]), np.array([1.0])
    >>> nesterov_update(theta, np.array([2.0]), v, origin, lr=0.25, momentum=0.5)
    False
    >>> theta.tolist(), v.tolist(), origin.tolist()
    ([0.625], [-0.25], [0.75])
    """
    new_v = momentum * v - lr * grad
    new_origin = origin + new_v
    ahead = new_origin + (momentum if next_momentum is None else next_momentum) * new_v
    return store((theta, ahead), (v, new_v), (origin, new_origin))


def nesterov_leave(theta: Array, v: Array, origin: Array) -> None:
    """θ ← origin: from the look-ahead point back to the parameters."""
    np.copyto(theta, origin)
