"""Noise on the weights of a dense layer: DropConnect, shakeout, whiteout.

The noise is drawn once per step for each weight, and the step computes with the noisy weights: ``z = x W̃ᵀ + b``. The forward
functions return W̃ (or, for additive whiteout, b̃). The backward functions take dW = ∂l/∂W̃ = dyᵀ x (and db = ∂l/∂b̃, the sum
of dy over the rows) and return ∂l/∂W, with the same noise.

W is (units, inputs); weight (u, j) has the random number of element u · inputs + j. ``draw`` are the keywords of `random_bits`:
``seed, layer, stream, step``.
"""

import numpy as np

from ._common import Array
from .random import random_bits, random_normal

__all__ = [
    "shakeout_backward", "shakeout_forward", "whiteout_additive_backward", "whiteout_additive_forward",
    "whiteout_multiplicative_backward", "whiteout_multiplicative_forward", "whiteout_slope", "whiteout_spread",
]  # fmt: skip


def shakeout_forward(W: Array, rate: float, c: float = 0.0, **draw: int) -> Array:
    """w̃ = −c s with probability ``rate``, otherwise (w + c · rate · s) / (1 − rate); s = sign(w).

    Unbiased: E w̃ = w; Var w̃ = rate/(1 − rate) (|w| + c)². With c = 0 it is DropConnect.

    Kang, Li, Tao: Shakeout: a new approach to regularized deep neural network training, 2018; Wan et al.: Regularization of
    neural networks using DropConnect, 2013.

    >>> shakeout_forward(np.array([[1.0, -1.0, 1.0, -1.0]]), 0.5, c=0.1, seed=1).round(2).tolist()
    [[2.1, -2.1, -0.1, -2.1]]
    """
    s = np.sign(W)
    dropped = random_bits(W.size, **draw).reshape(W.shape) < np.round(rate * 2**32)
    return np.where(dropped, -c * s, (W + c * rate * s) / (1 - rate)).astype(W.dtype)


def shakeout_backward(dW: Array, rate: float, **draw: int) -> Array:
    """w̃ = −c s or (w + c · rate · s)/(1 − rate), so ∂l/∂w = 0 or ∂l/∂w̃/(1 − rate).

    s is constant on either side of 0; its jump there has no derivative.
    """
    dropped = random_bits(dW.size, **draw).reshape(dW.shape) < np.round(rate * 2**32)
    return np.where(dropped, 0, dW / (1 - rate))


def whiteout_spread(W: Array, sigma: float, gamma: float, lam: float) -> Array:
    """Standard deviation √(σ² |w|^(2−γ) + λ w²) of w e, the noise of a connection, e ~ N(0, σ² |w|^(−γ) + λ).

    >>> whiteout_spread(np.array([[0.0, 4.0]]), sigma=0.5, gamma=1.0, lam=0.0).tolist()
    [[0.0, 1.0]]
    """
    return np.sqrt(sigma**2 * np.abs(W) ** (2 - gamma) + lam * W**2)


def whiteout_slope(W: Array, sigma: float, gamma: float, lam: float) -> Array:
    """d/dw √v = sign(w) (σ² (2 − γ) |w|^(1−γ) + 2 λ |w|) / (2 √v), v = σ² |w|^(2−γ) + λ w²; 0 where w or v is 0."""
    a, spread = np.abs(W), whiteout_spread(W, sigma, gamma, lam)
    there = (a > 0) & (spread > 0)
    a, spread = np.where(there, a, 1), np.where(there, spread, 1)
    slope = (sigma**2 * (2 - gamma) * a ** (1 - gamma) + 2 * lam * a) / (2 * spread)
    return np.where(there, np.sign(W) * slope, 0)


def whiteout_multiplicative_forward(W: Array, sigma: float, gamma: float, lam: float, **draw: int) -> Array:
    """z = Σ_j w_j x_j (1 + e_j): w̃ = w + √(σ² |w|^(2−γ) + λ w²) ε, ε ~ N(0, 1).

    Li, Liu: Whiteout: Gaussian adaptive noise regularization in deep neural networks, 2016.

    >>> whiteout_multiplicative_forward(np.array([[1.0, 4.0]]), 0.1, 1.0, 0.0, seed=1).round(3).tolist()
    [[0.899, 3.926]]
    """
    noise = random_normal(W.size, **draw).reshape(W.shape)
    return (W + whiteout_spread(W, sigma, gamma, lam) * noise).astype(W.dtype)


def whiteout_multiplicative_backward(dW: Array, W: Array, sigma: float, gamma: float, lam: float, **draw: int) -> Array:
    """w̃ = w + √v ε, so ∂l/∂w = (1 + (√v)' ε) ∂l/∂w̃ with (√v)' of `whiteout_slope`."""
    noise = random_normal(W.size, **draw).reshape(W.shape)
    return dW * (1 + whiteout_slope(W, sigma, gamma, lam) * noise)


def whiteout_additive_forward(b: Array | None, W: Array, sigma: float, gamma: float, lam: float, **draw: int) -> Array:
    """z = Σ_j w_j (x_j + e_j) + b: b̃ = b + Σ_j √(σ² |w_j|^(2−γ) + λ w_j²) ε_j, ε ~ N(0, 1) (Li, Liu)."""
    noise = random_normal(W.size, **draw).reshape(W.shape)
    shift = (whiteout_spread(W, sigma, gamma, lam) * noise).sum(axis=1)
    return (shift if b is None else b + shift).astype(W.dtype)


def whiteout_additive_backward(dW: Array, db: Array, W: Array, sigma: float, gamma: float, lam: float, **draw: int) -> Array:
    """b̃_u = b_u + Σ_j √v_uj ε_uj, so ∂l/∂w_uj = (dyᵀ x)_uj + (√v_uj)' ε_uj ∂l/∂b̃_u."""
    noise = random_normal(W.size, **draw).reshape(W.shape)
    return dW + db[:, None] * whiteout_slope(W, sigma, gamma, lam) * noise
