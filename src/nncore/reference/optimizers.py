"""Optimizer steps over θ, its gradient g and the optimizer's state: vectors of one length and dtype, changed in place.

η is ``lr``, μ is ``momentum``. State starts at zero. As in the kernels, a parameter whose new value would not be finite
keeps its old one, and the step returns True to say so.
"""

import math
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]


def _move(theta: Array, change: Array) -> bool:
    """θ ← θ + change where that is finite; True if it was not everywhere."""
    new = theta + change
    finite = np.isfinite(new)
    np.copyto(theta, new, where=finite)
    return not finite.all()


def sgd_update(theta: Array, grad: Array, *, lr: float) -> bool:
    """θ ← θ − η g.

    Parameters
    ----------
    theta, grad : arrays (n,)
    lr : float

    Returns
    -------
    bool
        True if some new parameter was not finite.

    Examples
    --------
    >>> theta = np.array([1.0, 2.0])
    >>> sgd_update(theta, np.array([4.0, -4.0]), lr=0.25), theta.tolist()
    (False, [0.0, 3.0])
    """
    return _move(theta, -lr * grad)


def momentum_update(
    theta: Array,
    grad: Array,
    v: Array,
    *,
    lr: float,
    momentum: float = 0.9,
    form: Literal["velocity", "gradient_sum"] = "velocity",
) -> bool:
    """Gradient descent with momentum, in one of two forms that differ once η changes.

    - ``"velocity"``: v ← μ v − η g, θ ← θ + v (lectures 001, 003, 004). A new η acts on later gradients only.
    - ``"gradient_sum"``: v ← μ v + g, θ ← θ − η v (lecture 002, PyTorch). A new η acts on the whole sum at once.

    Parameters
    ----------
    theta, grad, v : arrays (n,)
    lr, momentum : float
    form : {"velocity", "gradient_sum"}

    Returns
    -------
    bool
        True if some new parameter was not finite.

    References
    ----------
    Polyak: Some methods of speeding up the convergence of iteration methods (1964).

    Examples
    --------
    >>> theta, v = np.array([1.0]), np.array([0.5])
    >>> momentum_update(theta, np.array([2.0]), v, lr=0.25, momentum=0.5), theta.tolist(), v.tolist()
    (False, [0.75], [-0.25])
    """
    v *= momentum
    if form == "velocity":
        v -= lr * grad
        return _move(theta, v)
    if form == "gradient_sum":
        v += grad
        return _move(theta, -lr * v)
    raise ValueError(f'form must be "velocity" or "gradient_sum", not {form!r}')


def nesterov_update(theta: Array, grad: Array, v: Array, *, lr: float, momentum: float = 0.9) -> bool:
    """Nesterov's momentum: v ← μ v − η g(ϑ + μ v), ϑ ← ϑ + v, kept at the point where the gradient is taken.

    The array θ holds the look-ahead point ϑ + μ v, so that the caller's gradient at θ is the one wanted. Written for θ
    the step is

        v ← μ v − η g(θ),  θ ← θ + μ v − η g(θ),

    and ϑ = θ − μ v. At the start v = 0 and both are the same. With η constant this is PyTorch's ``nesterov=True``.

    Parameters
    ----------
    theta, grad, v : arrays (n,)
    lr, momentum : float

    Returns
    -------
    bool
        True if some new parameter was not finite.

    References
    ----------
    Nesterov (1983); Sutskever, Martens, Dahl, Hinton: On the importance of initialization and momentum (2013); lectures
    001–004.

    Examples
    --------
    >>> theta, v = np.array([1.0]), np.array([0.5])
    >>> nesterov_update(theta, np.array([2.0]), v, lr=0.25, momentum=0.5), theta.tolist(), v.tolist()
    (False, [0.375], [-0.25])
    """
    v *= momentum
    v -= lr * grad
    return _move(theta, momentum * v - lr * grad)


def adam_update(
    theta: Array,
    grad: Array,
    m: Array,
    v: Array,
    *,
    step: int,
    lr: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    eps_placement: Literal["outside", "inside", "hat"] = "outside",
    bias_correction: bool = True,
) -> bool:
    """m ← β₁ m + (1 − β₁) g, v ← β₂ v + (1 − β₂) g², then one of

    - ``"outside"``: θ ← θ − η m̂ / (√v̂ + ε) (Kingma and Ba, algorithm 1; PyTorch; lectures 000, 003);
    - ``"inside"``: θ ← θ − η m̂ / √(v̂ + ε) (lectures 000, 001, 004);
    - ``"hat"``: θ ← θ − η √c₂/c₁ · m / (√v + ε) (Kingma and Ba, end of section 2; TensorFlow),

    where m̂ = m/c₁, v̂ = v/c₂, c₁ = 1 − β₁ᵗ, c₂ = 1 − β₂ᵗ; without bias correction c₁ = c₂ = 1, and "hat" is "outside".

    Parameters
    ----------
    theta, grad, m, v : arrays (n,)
    step : int
        t, from 1.
    lr : float
    betas : (float, float)
    eps : float
    eps_placement : {"outside", "inside", "hat"}
    bias_correction : bool

    Returns
    -------
    bool
        True if some new parameter was not finite.

    References
    ----------
    Kingma, Ba: Adam, a method for stochastic optimization (2015).

    Examples
    --------
    With bias correction and a small ε the first step has the length η, whatever the gradient.

    >>> theta, m, v = np.array([1.0]), np.zeros(1), np.zeros(1)
    >>> adam_update(theta, np.array([123.0]), m, v, step=1, lr=0.25, eps=0.0), theta.round(12).tolist()
    (False, [0.75])
    """
    beta1, beta2 = betas
    m *= beta1
    m += (1 - beta1) * grad
    v *= beta2
    v += (1 - beta2) * grad * grad
    c1, c2 = (1 - beta1**step, 1 - beta2**step) if bias_correction else (1.0, 1.0)
    if eps_placement == "outside":
        return _move(theta, -lr * (m / c1) / (np.sqrt(v / c2) + eps))
    if eps_placement == "inside":
        return _move(theta, -lr * (m / c1) / np.sqrt(v / c2 + eps))
    if eps_placement == "hat":
        return _move(theta, -lr * math.sqrt(c2) / c1 * m / (np.sqrt(v) + eps))
    raise ValueError(f'eps_placement must be "outside", "inside" or "hat", not {eps_placement!r}')
