"""Steps that look at the sign of the gradient."""

import numpy as np

from ._common import Array, store


def lion_update(
    theta: Array,
    grad: Array,
    m: Array,
    *,
    lr: float = 1e-4,
    betas: tuple[float, float] = (0.9, 0.99),
    weight_decay: float = 0.0,
) -> bool:
    """θ ← θ − η (sign(β₁ m + (1 − β₁) g) + λ θ), then m ← β₂ m + (1 − β₂) g; λ is ``weight_decay``.

    Parameters
    ----------
    theta, grad, m : arrays (n,)
    lr : float
    betas : (float, float)
    weight_decay : float

    Returns
    -------
    bool
        True if some parameter was kept back.

    References
    ----------
    Chen et al.: Symbolic discovery of optimization algorithms (2023).

    Examples
    --------
    >>> theta, m = np.array([1.0, 1.0]), np.zeros(2)
    >>> lion_update(theta, np.array([1e-3, -1e3]), m, lr=0.25), theta.tolist()
    (False, [0.75, 1.25])
    """
    beta1, beta2 = betas
    direction = np.sign(beta1 * m + (1 - beta1) * grad)
    return store((theta, theta - lr * (direction + weight_decay * theta)), (m, beta2 * m + (1 - beta2) * grad))


def rprop_update(
    theta: Array,
    grad: Array,
    previous: Array,
    size: Array,
    *,
    etas: tuple[float, float] = (0.5, 1.2),
    step_sizes: tuple[float, float] = (1e-6, 50.0),
) -> bool:
    """Resilient propagation: each parameter has a step of its own, ``size``, and takes it against the sign of g.

    - g and ``previous`` of one sign: size ← min(η⁺ size, largest);
    - of opposite signs: size ← max(η⁻ size, smallest), and g counts as 0;
    - θ ← θ − size · sign(g), previous ← g.

    Parameters
    ----------
    theta, grad, previous, size : arrays (n,)
        ``size`` starts at the first step's length.
    etas : (float, float)
        η⁻ and η⁺.
    step_sizes : (float, float)
        The smallest and the largest size.

    Returns
    -------
    bool
        True if some parameter was kept back.

    References
    ----------
    Riedmiller, Braun: A direct adaptive method for faster backpropagation learning, the RPROP algorithm (1993); this
    form, iRprop−: Igel, Hüsken: Improving the Rprop learning algorithm (2000).

    Examples
    --------
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
    theta: Array,
    grad: Array,
    mean: Array,
    eta: Array,
    *,
    kappa: float = 1e-3,
    phi: float = 0.1,
    rho: float = 0.7,
) -> bool:
    """Each parameter has a rate of its own, ``eta``, which the gradients before this one change.

    - g and ``mean`` of one sign: eta ← eta + κ;
    - of opposite signs: eta ← (1 − φ) eta;
    - θ ← θ − eta · g, then mean ← ρ mean + (1 − ρ) g.

    Parameters
    ----------
    theta, grad, mean, eta : arrays (n,)
        ``eta`` starts at the first rate.
    kappa, phi, rho : float

    Returns
    -------
    bool
        True if some parameter was kept back.

    References
    ----------
    Jacobs: Increased rates of convergence through learning rate adaptation (1988).

    Examples
    --------
    >>> theta, mean, eta = np.zeros(2), np.array([1.0, 1.0]), np.array([0.5, 0.5])
    >>> delta_bar_delta_update(theta, np.array([2.0, -2.0]), mean, eta, kappa=0.25, phi=0.5, rho=0.5)
    False
    >>> theta.tolist(), mean.tolist(), eta.tolist()
    ([-1.5, 0.5], [1.5, -0.5], [0.75, 0.25])
    """
    agree = np.sign(grad) * np.sign(mean)
    new_eta = np.where(agree > 0, eta + kappa, np.where(agree < 0, (1 - phi) * eta, eta))
    return store((theta, theta - new_eta * grad), (mean, rho * mean + (1 - rho) * grad), (eta, new_eta))
