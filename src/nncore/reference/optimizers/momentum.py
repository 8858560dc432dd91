"""Gradient descent, and gradient descent with a velocity v."""

import numpy as np

from ._common import Array, store


def sgd_update(theta: Array, grad: Array, *, lr: float) -> bool:
    """θ ← θ − η g.

    Parameters
    ----------
    theta, grad : arrays (n,)
    lr : float

    Returns
    -------
    bool
        True if some parameter was kept back.

    References
    ----------
    Robbins, Monro: A stochastic approximation method (1951).

    Examples
    --------
    >>> theta = np.array([1.0, 2.0])
    >>> sgd_update(theta, np.array([4.0, -4.0]), lr=0.25), theta.tolist()
    (False, [0.0, 3.0])
    """
    return store((theta, theta - lr * grad))


def momentum_update(theta: Array, grad: Array, v: Array, *, lr: float, momentum: float = 0.9) -> bool:
    """v ← μ v − η g, θ ← θ + v. A new η acts on later gradients only.

    Parameters
    ----------
    theta, grad, v : arrays (n,)
    lr, momentum : float

    Returns
    -------
    bool
        True if some parameter was kept back.

    References
    ----------
    Polyak: Some methods of speeding up the convergence of iteration methods (1964); Goodfellow, Bengio, Courville: Deep
    Learning (2016), algorithm 8.2.

    Examples
    --------
    >>> theta, v = np.array([1.0]), np.array([0.5])
    >>> momentum_update(theta, np.array([2.0]), v, lr=0.25, momentum=0.5), theta.tolist(), v.tolist()
    (False, [0.75], [-0.25])
    """
    new_v = momentum * v - lr * grad
    return store((theta, theta + new_v), (v, new_v))


def momentum_outside_update(theta: Array, grad: Array, v: Array, *, lr: float, momentum: float = 0.9) -> bool:
    """v ← μ v + g, θ ← θ − η v. A new η acts on the whole sum at once; while η is constant this is `momentum_update`.

    Parameters
    ----------
    theta, grad, v : arrays (n,)
    lr, momentum : float

    Returns
    -------
    bool
        True if some parameter was kept back.

    References
    ----------
    Polyak (1964), as PyTorch computes it.

    Examples
    --------
    >>> theta, v = np.array([1.0]), np.array([-2.0])
    >>> momentum_outside_update(theta, np.array([2.0]), v, lr=0.25, momentum=0.5), theta.tolist(), v.tolist()
    (False, [0.75], [1.0])
    """
    new_v = momentum * v + grad
    return store((theta, theta - lr * new_v), (v, new_v))


def nesterov_enter(theta: Array, v: Array, origin: Array, *, momentum: float = 0.9) -> bool:
    """origin ← θ, θ ← θ + μ v: from the parameters to the point ahead, where Nesterov's momentum takes the gradient.

    Parameters
    ----------
    theta, v, origin : arrays (n,)
    momentum : float
        μ of the step that follows.

    Returns
    -------
    bool
        True if some parameter was kept back.

    Examples
    --------
    >>> theta, v, origin = np.array([1.0]), np.array([-0.5]), np.zeros(1)
    >>> nesterov_enter(theta, v, origin, momentum=0.5), theta.tolist(), origin.tolist()
    (False, [0.75], [1.0])
    """
    np.copyto(origin, theta)
    return store((theta, theta + momentum * v))


def nesterov_update(
    theta: Array,
    grad: Array,
    v: Array,
    origin: Array,
    *,
    lr: float,
    momentum: float = 0.9,
    next_momentum: float | None = None,
) -> bool:
    """Nesterov's momentum, v ← μ v − η g(ϑ + μ v), ϑ ← ϑ + v, from one point ahead to the next.

    The parameters ϑ are in ``origin``; θ holds the point ahead, ϑ + μ v, so that the caller's gradient at θ is the one
    wanted (`nesterov_enter`, `nesterov_leave`). With μ′ the momentum of the next step,

        v ← μ v − η g, origin ← origin + v, θ ← origin + μ′ v.

    Parameters
    ----------
    theta, grad, v, origin : arrays (n,)
    lr, momentum : float
    next_momentum : float, optional
        μ′; μ if not given.

    Returns
    -------
    bool
        True if some parameter was kept back.

    References
    ----------
    Nesterov: A method for solving the convex programming problem with convergence rate O(1/k²) (1983); Sutskever,
    Martens, Dahl, Hinton: On the importance of initialization and momentum in deep learning (2013).

    Examples
    --------
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
    """θ ← origin: from the point ahead back to the parameters.

    Parameters
    ----------
    theta, v, origin : arrays (n,)
        v is not read.

    Examples
    --------
    >>> theta = np.array([0.75])
    >>> nesterov_leave(theta, np.array([-0.5]), np.array([1.0]))
    >>> theta.tolist()
    [1.0]
    """
    np.copyto(theta, origin)
