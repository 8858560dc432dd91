"""Steps that depend on the sign of the gradient."""

import numpy as np

from ._common import Array, Pair, store

__all__ = ["delta_bar_delta_update", "lion_update", "rprop_update"]


def lion_update(
    theta: Array, grad: Array, m: Array, *, lr: float = 1e-4, betas: Pair = (0.9, 0.99), weight_decay: float = 0.0
) -> bool:
    """θ ← θ − η (sign(β₁ m + (1 − β₁) g) + λ θ), then m ← β₂ m + (1 − β₂) g; λ is ``weight_decay``.

    Chen et al.: Symbolic discovery of optimization algorithms, 2023.

    >>> theta, m = np.array([1.0, 1.0]), np.zeros(2)
    >>> lion_update(theta, np.array([1e-3, -1e3]), m, lr=0.25), theta.tolist()
    (False, [0.75, 1.25])
    """
    beta1, beta2 = betas
    direction = np.sign(beta1 * m + (1 - beta1) * grad)
    return store((theta, theta - lr * (direction + weight_decay * theta)), (m, beta2 * m + (1 - beta2) * grad))


def rprop_update(
    theta: Array, grad: Array, previous: Array, size: Array, *, etas: Pair = (0.5, 1.2), step_sizes: Pair = (1e-6, 50.0)
) -> bool:
    """Resilient propagation: each parameter has a step length, ``size``, and moves by it against the sign of g.

    - g and ``previous`` of one sign: size ← min(η⁺ size, largest);
    - of opposite signs: size ← max(η⁻ size, smallest), and g counts as 0;
    - θ ← θ − size · sign(g), previous ← g. η⁻, η⁺ are ``etas``; smallest, largest are ``step_sizes``.

    Riedmiller, Braun: A direct adaptive method for faster backpropagation learning, the RPROP algorithm, 1993; this form,
    iRprop−: Igel, Hüsken: Improving the Rprop learning algorithm, 2000.

    >>> theta, previous, size = np.zeros(2), np.array([3.0, 3.0]), np.ones(2)
    >>> rprop_update(theta, np.array([1.0, -1.0]), previous, size), theta.tolist(), previous.tolist(), size.tolist()
    (False, [-1.2, 0.0], [1.0, -0.0], [1.2, 0.5])
    """
    minus, plus = etas
    agree = np.sign(grad) * np.sign(previous)
    scaled = np.where(agree > 0, plus * size, np.where(agree < 0, minus * size, size))
    new_size = np.clip(scaled, *step_sizes)
    new_previous = grad * (agree >= 0)
    return store((theta, theta - new_size * np.sign(new_previous)), (previous, new_previous), (size, new_size))


def delta_bar_delta_update(
    theta: Array, grad: Array, mean: Array, eta: Array, *, kappa: float = 1e-3, phi: float = 0.1, rho: float = 0.7
) -> bool:
    """θ ← θ − eta · g, with a learning rate ``eta`` per parameter that grows while g keeps its sign.

    - g and ``mean`` of one sign: eta ← eta + κ;
    - of opposite signs: eta ← (1 − φ) eta;
    - then θ ← θ − eta · g and mean ← ρ mean + (1 − ρ) g.

    Jacobs: Increased rates of convergence through learning rate adaptation, 1988.

    >>> theta, mean, eta = np.zeros(2), np.array([1.0, 1.0]), np.array([0.5, 0.5])
    >>> delta_bar_delta_update(theta, np.array([2.0, -2.0]), mean, eta, kappa=0.25, phi=0.5, rho=0.5)
    False
    >>> theta.tolist(), mean.tolist(), eta.tolist()
    ([-1.5, 0.5], [1.5, -0.5], [0.75, 0.25])
    """
    agree = np.sign(grad) * np.sign(mean)
    new_eta = np.where(agree > 0, eta + kappa, np.where(agree < 0, (1 - phi) * eta, eta))
    return store((theta, theta - new_eta * grad), (mean, rho * mean + (1 - rho) * grad), (eta, new_eta))
