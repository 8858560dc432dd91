"""Small data sets: X float32, one row per example; y int64 where it holds classes, else float32."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncore._utils.fields import count, generator, number

__all__ = ["load_digits", "ordered_lines", "two_spirals", "xor"]

Float32 = NDArray[np.float32]
Int64 = NDArray[np.int64]


def load_digits(flat: bool = True, scale: bool = True) -> tuple[Float32, Int64]:
    """1797 handwritten digits of 8 × 8 pixels, and which ones they are: y (1797,), 0–9.

    From scikit-learn, which must be installed: the test part of UCI's "Optical recognition of handwritten digits".

    Parameters
    ----------
    flat : bool, default True
        X of shape (1797, 64); otherwise (1797, 8, 8).
    scale : bool, default True
        Gray values in [0, 1]; otherwise 0, 1, …, 16.

    Examples
    --------
    >>> X, y = load_digits()
    >>> X.shape, float(X.max()), y[:5].tolist()
    ((1797, 64), 1.0, [0, 1, 2, 3, 4])
    """
    try:
        from sklearn import datasets
    except ImportError:
        raise ImportError("load_digits needs scikit-learn: pip install scikit-learn") from None
    digits: Any = datasets.load_digits()
    X = digits.data if flat else digits.images
    return np.asarray(X / 16 if scale else X, dtype=np.float32), np.asarray(digits.target, dtype=np.int64)


def xor() -> tuple[Float32, Int64]:
    """The four points that no single linear unit separates: y = x₁ xor x₂, X of shape (4, 2).

    Examples
    --------
    >>> X, y = xor()
    >>> X.tolist(), y.tolist()
    ([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], [0, 1, 1, 0])
    """
    X = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], dtype=np.float32)
    return X, np.array([0, 1, 1, 0], dtype=np.int64)


def two_spirals(n: int = 194, noise: float = 0.0, seed: int | np.random.Generator = 0) -> tuple[Float32, Int64]:
    """Two spirals wound around each other, three turns each, in the square [−1, 1]²: X of shape (n, 2), y of shape (n,).

    Spiral 0 is (r sin φ, r cos φ) with φ from 0 to 6π and r = 1 − φ / 6.5π; spiral 1 is its mirror image −(r sin φ, r
    cos φ). At n = 194 these are the points of Lang and Witbrock, "Learning to tell two spirals apart", 1988, divided by
    6.5.

    Parameters
    ----------
    n : int, default 194
        Number of points, at least 2; they belong to the spirals in turn.
    noise : float, default 0.0
        Standard deviation of the Gaussian noise added to each coordinate, at least 0.
    seed : int or numpy.random.Generator, default 0
        Of the noise.

    Examples
    --------
    >>> X, y = two_spirals(4)
    >>> X.round(2).tolist()[:2], y.tolist()
    ([[0.0, 1.0], [0.0, -1.0]], [0, 1, 0, 1])
    """
    n, noise = count("n", n, 2), number("noise", noise, 0.0, below=1e30)
    y = np.arange(n) % 2
    phi = 6 * np.pi * (np.arange(n) // 2) / max((n + 1) // 2 - 1, 1)
    r = (1 - 2 * y) * (1 - phi / (6.5 * np.pi))
    X = np.column_stack([r * np.sin(phi), r * np.cos(phi)])
    X += noise * generator("seed", seed).standard_normal(X.shape)
    return X.astype(np.float32), y.astype(np.int64)


def ordered_lines(points: int = 10) -> tuple[Float32, Float32]:
    """First y = 2x, then y = −x, both at x = 1, 2, …, points: X and y of shape (2 · points, 1).

    Taken in this order, mini-batches pull a linear model toward 2x and then toward −x in each epoch; shuffled, it
    settles near the least-squares line y = x/2.

    Parameters
    ----------
    points : int, default 10
        Points on each line, at least 1.

    Examples
    --------
    >>> X, y = ordered_lines(2)
    >>> X.ravel().tolist(), y.ravel().tolist()
    ([1.0, 2.0, 1.0, 2.0], [2.0, 4.0, -1.0, -2.0])
    """
    x = np.arange(1, count("points", points) + 1, dtype=np.float32)[:, None]
    return np.concatenate([x, x]), np.concatenate([2 * x, -x])
