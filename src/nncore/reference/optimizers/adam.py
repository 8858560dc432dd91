"""Adam and its variants. m and v are running means of the gradient and of its square.

m ← β₁ m + (1 − β₁) g, v ← β₂ v + (1 − β₂) g²; corrected for the bias of their start at zero they are m̂ = m / (1 − β₁ᵗ) and
v̂ = v / (1 − β₂ᵗ). Without ``bias_correction`` m̂ = m and v̂ = v.
"""

import math
from typing import Literal

import numpy as np

from ._common import Array, Pair, placed, root, store

__all__ = [
    "adam_inside_update", "adam_update", "adamax_update", "adamw_inside_update", "adamw_update", "amsgrad_inside_update",
    "amsgrad_update", "nadam_update",
]  # fmt: skip

AdamPlacement = Literal["outside", "inside", "hat"]


def _means(grad: Array, m: Array, v: Array, betas: Pair) -> tuple[Array, Array]:
    """The new m and v."""
    beta1, beta2 = betas
    return beta1 * m + (1 - beta1) * grad, beta2 * v + (1 - beta2) * grad * grad


def _change(
    m: Array, v: Array, step: int, lr: float, betas: Pair, eps: float, eps_placement: AdamPlacement, bias_correction: bool
) -> Array:
    """η m̂ / (√v̂ + ε), from the new m and v."""
    c1, c2 = (1 - betas[0] ** step, 1 - betas[1] ** step) if bias_correction else (1.0, 1.0)
    if eps_placement == "hat":
        return lr * math.sqrt(c2) / c1 * m / (np.sqrt(v) + eps)
    return lr * (m / c1) / root(v / c2, eps, eps_placement)


def adam_update(
    theta: Array, grad: Array, m: Array, v: Array, *, step: int, lr: float = 1e-3, betas: Pair = (0.9, 0.999),
    eps: float = 1e-8, eps_placement: AdamPlacement = "outside", bias_correction: bool = True,
) -> bool:  # fmt: skip
    """m ← β₁ m + (1 − β₁) g, v ← β₂ v + (1 − β₂) g², then one of

    - ``"outside"``: θ ← θ − η m̂ / (√v̂ + ε) (Kingma and Ba, algorithm 1; PyTorch);
    - ``"inside"``: θ ← θ − η m̂ / √(v̂ + ε);
    - ``"hat"``: θ ← θ − η √c₂/c₁ · m / (√v + ε) (Kingma and Ba, end of section 2; TensorFlow),

    where m̂ = m/c₁, v̂ = v/c₂, c₁ = 1 − β₁ᵗ, c₂ = 1 − β₂ᵗ; without bias correction c₁ = c₂ = 1, and "hat" is "outside".

    Kingma, Ba: Adam, a method for stochastic optimization, 2015.

    With bias correction and a small ε, the first step has length η for any gradient.

    >>> theta, m, v = np.array([1.0]), np.zeros(1), np.zeros(1)
    >>> adam_update(theta, np.array([123.0]), m, v, step=1, lr=0.25, eps=0.0), theta.round(12).tolist()
    (False, [0.75])
    """
    new_m, new_v = _means(grad, m, v, betas)
    change = _change(new_m, new_v, step, lr, betas, eps, eps_placement, bias_correction)
    return store((theta, theta - change), (m, new_m), (v, new_v))


adam_inside_update = placed(adam_update, "inside", "θ ← θ − η m̂ / √(v̂ + ε)")


def adamw_update(
    theta: Array, grad: Array, m: Array, v: Array, *, step: int, lr: float = 1e-3, betas: Pair = (0.9, 0.999),
    eps: float = 1e-8, weight_decay: float = 0.01, eps_placement: AdamPlacement = "outside", bias_correction: bool = True,
) -> bool:  # fmt: skip
    """`adam_update` with decoupled weight decay: θ ← (1 − η λ) θ − η m̂ / (√v̂ + ε); λ is ``weight_decay``.

    Loshchilov, Hutter: Decoupled weight decay regularization, 2019.
    """
    new_m, new_v = _means(grad, m, v, betas)
    change = _change(new_m, new_v, step, lr, betas, eps, eps_placement, bias_correction)
    return store((theta, theta - lr * weight_decay * theta - change), (m, new_m), (v, new_v))


adamw_inside_update = placed(adamw_update, "inside", "θ ← (1 − η λ) θ − η m̂ / √(v̂ + ε)")


def amsgrad_update(
    theta: Array, grad: Array, m: Array, v: Array, top: Array, *, step: int, lr: float = 1e-3, betas: Pair = (0.9, 0.999),
    eps: float = 1e-8, eps_placement: AdamPlacement = "outside", bias_correction: bool = True,
) -> bool:  # fmt: skip
    """`adam_update` with top ← max(top, v) instead of v under the root.

    The bias is corrected after the maximum, as in PyTorch; the paper corrects none.

    Reddi, Kale, Kumar: On the convergence of Adam and beyond, 2018.

    >>> theta, m, v, top = np.array([1.0]), np.zeros(1), np.zeros(1), np.array([4.0])
    >>> form = {"lr": 0.5, "betas": (0.0, 0.5), "eps": 0.0, "bias_correction": False}
    >>> amsgrad_update(theta, np.array([2.0]), m, v, top, step=1, **form), theta.tolist(), v.tolist(), top.tolist()
    (False, [0.5], [2.0], [4.0])
    """
    new_m, new_v = _means(grad, m, v, betas)
    new_top = np.maximum(top, new_v)
    change = _change(new_m, new_top, step, lr, betas, eps, eps_placement, bias_correction)
    return store((theta, theta - change), (m, new_m), (v, new_v), (top, new_top))


amsgrad_inside_update = placed(amsgrad_update, "inside", "θ ← θ − η m̂ / √(top/(1 − β₂ᵗ) + ε)")


def adamax_update(
    theta: Array, grad: Array, m: Array, u: Array, *, step: int, lr: float = 2e-3, betas: Pair = (0.9, 0.999), eps: float = 1e-8
) -> bool:
    """m ← β₁ m + (1 − β₁) g, u ← max(β₂ u, |g| + ε), θ ← θ − η m̂ / u (Kingma, Ba, 2015, section 7.1; ε as in PyTorch)."""
    beta1, beta2 = betas
    new_m = beta1 * m + (1 - beta1) * grad
    new_u = np.maximum(beta2 * u, np.abs(grad) + eps)
    return store((theta, theta - lr / (1 - beta1**step) * new_m / new_u), (m, new_m), (u, new_u))


def nadam_update(
    theta: Array, grad: Array, m: Array, v: Array, *, step: int, lr: float = 2e-3, betas: Pair = (0.9, 0.999),
    eps: float = 1e-8, momentum_decay: float = 4e-3,
) -> bool:  # fmt: skip
    """m, v as in `adam_update`; θ ← θ − η (μₜ₊₁ m / (1 − μ₁ ⋯ μₜ₊₁) + (1 − μₜ) g / (1 − μ₁ ⋯ μₜ)) / (√v̂ + ε).

    The momentum of step i is μᵢ = β₁ (1 − ½ · 0.96^(iψ)); ψ is ``momentum_decay``.

    Dozat: Incorporating Nesterov momentum into Adam, 2016.
    """
    mu = [betas[0] * (1 - 0.5 * 0.96 ** (i * momentum_decay)) for i in range(1, step + 2)]
    new_m, new_v = _means(grad, m, v, betas)
    of_m = mu[step] / (1 - math.prod(mu))
    of_g = (1 - mu[step - 1]) / (1 - math.prod(mu[:step]))
    change = lr * (of_m * new_m + of_g * grad) / (np.sqrt(new_v / (1 - betas[1] ** step)) + eps)
    return store((theta, theta - change), (m, new_m), (v, new_v))
