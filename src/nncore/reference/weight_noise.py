"""Noise on the weights of a dense layer: DropConnect, shakeout, whiteout.

The noise is drawn once a step for each weight, and the step computes with the noisy weights: ``z = x W̃ᵀ + b``. The forward
functions make W̃ (or, for additive whiteout, b̃), the backward functions of its gradient, with the same noise, that of W.

W is (units, inputs); weight (u, j) has the random number of element u · inputs + j. ``draw`` are the keywords of `random_bits`:
``seed, layer, stream, step``.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .random import random_bits, random_normal

Array = NDArray[np.floating[Any]]


def shakeout_forward(W: Array, rate: float, c: float = 0.0, **draw: int) -> Array:
    """w̃ = −c s with probability ``rate``, otherwise (w + c · rate · s) / (1 − rate); s = sign(w).

    Unbiased: E w̃ = w; Var w̃ = rate/(1 − rate) (|w| + c)². With c = 0 it is DropConnect.

    Parameters
    ----------
    W : array (units, inputs)
    rate : float
        In [0, 1).
    c : float
    **draw : int
        seed, layer, stream, step.

    Returns
    -------
    array (units, inputs)

    References
    ----------
    Kang, Li, Tao: Shakeout: a new approach to regularized deep neural network training (2018).
    Wan, Zeiler, Zhang, LeCun, Fergus: Regularization of neural networks using DropConnect (2013).

    Examples
    --------
    >>> shakeout_forward(np.array([[1.0, -1.0, 1.0, -1.0]]), 0.5, c=0.1, seed=1).round(2).tolist()
    [[2.1, -2.1, -0.1, -2.1]]
    """
    s = np.sign(W)
    dropped = random_bits(W.size, **draw).reshape(W.shape) < np.round(rate * 2**32)
    return np.where(dropped, -c * s, (W + c * rate * s) / (1 - rate)).astype(W.dtype)


def shakeout_backward(dW: Array, rate: float, **draw: int) -> Array:
    """w̃ = −c s or (w + c · rate · s)/(1 − rate), so ∂l/∂w = 0 or ∂l/∂w̃/(1 − rate).

    s is constant on either side of 0; its jump there has no derivative.

    Parameters
    ----------
    dW : array (units, inputs)
        ∂l/∂W̃, which is dyᵀ x.
    rate, **draw
        As for `shakeout_forward`.

    Returns
    -------
    array (units, inputs)

    Examples
    --------
    >>> shakeout_backward(np.array([[1.0, 2.0, 3.0, 4.0]]), 0.5, seed=1).tolist()
    [[2.0, 4.0, 0.0, 8.0]]
    """
    dropped = random_bits(dW.size, **draw).reshape(dW.shape) < np.round(rate * 2**32)
    return np.where(dropped, 0, dW / (1 - rate))


def whiteout_spread(W: Array, sigma: float, gamma: float, lam: float) -> Array:
    """Standard deviation √(σ² |w|^(2−γ) + λ w²) of what the noise e ~ N(0, σ² |w|^(−γ) + λ) of a connection adds: w e.

    Parameters
    ----------
    W : array (units, inputs)
    sigma, gamma, lam : float

    Returns
    -------
    array (units, inputs)

    Examples
    --------
    >>> whiteout_spread(np.array([[0.0, 4.0]]), sigma=0.5, gamma=1.0, lam=0.0).tolist()
    [[0.0, 1.0]]
    """
    return np.sqrt(sigma**2 * np.abs(W) ** (2 - gamma) + lam * W**2)


def whiteout_slope(W: Array, sigma: float, gamma: float, lam: float) -> Array:
    """d/dw √v = sign(w) (σ² (2 − γ) |w|^(1−γ) + 2 λ |w|) / (2 √v), v = σ² |w|^(2−γ) + λ w²; 0 where w or v is.

    Parameters
    ----------
    W : array (units, inputs)
    sigma, gamma, lam : float

    Returns
    -------
    array (units, inputs)

    Examples
    --------
    >>> whiteout_slope(np.array([[0.0, 4.0, -4.0]]), sigma=0.5, gamma=1.0, lam=0.0).tolist()
    [[0.0, 0.125, -0.125]]
    """
    a, spread = np.abs(W), whiteout_spread(W, sigma, gamma, lam)
    there = (a > 0) & (spread > 0)
    a, spread = np.where(there, a, 1), np.where(there, spread, 1)
    slope = (sigma**2 * (2 - gamma) * a ** (1 - gamma) + 2 * lam * a) / (2 * spread)
    return np.where(there, np.sign(W) * slope, 0)


def whiteout_multiplicative_forward(W: Array, sigma: float, gamma: float, lam: float, **draw: int) -> Array:
    """z = Σ_j w_j x_j (1 + e_j): w̃ = w + √(σ² |w|^(2−γ) + λ w²) ε, ε ~ N(0, 1).

    Parameters
    ----------
    W : array (units, inputs)
    sigma, gamma, lam : float
    **draw : int
        seed, layer, stream, step.

    Returns
    -------
    array (units, inputs)

    References
    ----------
    Li, Liu: Whiteout: Gaussian adaptive noise regularization in deep neural networks (2016).

    Examples
    --------
    >>> whiteout_multiplicative_forward(np.array([[1.0, 4.0]]), 0.1, 1.0, 0.0, seed=1).round(3).tolist()
    [[0.899, 3.926]]
    """
    noise = random_normal(W.size, **draw).reshape(W.shape)
    return (W + whiteout_spread(W, sigma, gamma, lam) * noise).astype(W.dtype)


def whiteout_multiplicative_backward(
    dW: Array, W: Array, sigma: float, gamma: float, lam: float, **draw: int
) -> Array:  # fmt: skip
    """w̃ = w + √v ε, so ∂l/∂w = (1 + (√v)' ε) ∂l/∂w̃ with (√v)' of `whiteout_slope`.

    Parameters
    ----------
    dW : array (units, inputs)
        ∂l/∂W̃, which is dyᵀ x.
    W : array (units, inputs)
    sigma, gamma, lam, **draw
        As for `whiteout_multiplicative_forward`.

    Returns
    -------
    array (units, inputs)

    Examples
    --------
    >>> dW, W = np.array([[1.0, 2.0]]), np.array([[1.0, 4.0]])
    >>> whiteout_multiplicative_backward(dW, W, 0.1, 1.0, 0.0, seed=1).round(3).tolist()
    [[0.949, 1.981]]
    """
    noise = random_normal(W.size, **draw).reshape(W.shape)
    return dW * (1 + whiteout_slope(W, sigma, gamma, lam) * noise)


def whiteout_additive_forward(b: Array | None, W: Array, sigma: float, gamma: float, lam: float, **draw: int) -> Array:
    """z = Σ_j w_j (x_j + e_j) + b: b̃ = b + Σ_j √(σ² |w_j|^(2−γ) + λ w_j²) ε_j, ε ~ N(0, 1).

    Parameters
    ----------
    b : array (units,), optional
    W : array (units, inputs)
    sigma, gamma, lam : float
    **draw : int
        seed, layer, stream, step.

    Returns
    -------
    array (units,)

    References
    ----------
    Li, Liu: Whiteout: Gaussian adaptive noise regularization in deep neural networks (2016).

    Examples
    --------
    >>> whiteout_additive_forward(np.array([1.0]), np.array([[1.0, 4.0]]), 0.1, 1.0, 0.0, seed=1).round(3).tolist()
    [0.825]
    """
    noise = random_normal(W.size, **draw).reshape(W.shape)
    shift = (whiteout_spread(W, sigma, gamma, lam) * noise).sum(axis=1)
    return (shift if b is None else b + shift).astype(W.dtype)


def whiteout_additive_backward(
    dW: Array, db: Array, W: Array, sigma: float, gamma: float, lam: float, **draw: int
) -> Array:  # fmt: skip
    """b̃_u = b_u + Σ_j √v_uj ε_uj, so ∂l/∂w_uj = (dyᵀ x)_uj + (√v_uj)' ε_uj ∂l/∂b̃_u.

    Parameters
    ----------
    dW : array (units, inputs)
        dyᵀ x, what W has of the product.
    db : array (units,)
        ∂l/∂b̃, which is the sum of dy over the rows.
    W : array (units, inputs)
    sigma, gamma, lam, **draw
        As for `whiteout_additive_forward`.

    Returns
    -------
    array (units, inputs)

    Examples
    --------
    >>> dW, db, W = np.array([[1.0, 2.0]]), np.array([1.0]), np.array([[1.0, 4.0]])
    >>> whiteout_additive_backward(dW, db, W, 0.1, 1.0, 0.0, seed=1).round(3).tolist()
    [[0.949, 1.991]]
    """
    noise = random_normal(W.size, **draw).reshape(W.shape)
    return dW + db[:, None] * whiteout_slope(W, sigma, gamma, lam) * noise
