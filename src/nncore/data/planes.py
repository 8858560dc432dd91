"""Points of the plane, or of a line, to watch a network learn: X float32 (n, 2); y int64 classes, or float32 (n, 1)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncore._utils.fields import count, flag, generator, number

__all__ = ["bumps", "circles", "gaussians", "moons", "quadrants", "sine", "waves"]

Float32 = NDArray[np.float32]
Int64 = NDArray[np.int64]
Seed = int | np.random.Generator

CENTERS = np.array([[-0.5, -0.4], [0.5, -0.4], [0.0, 0.5]])  # of three Gaussians
PEAKS = np.array([[-0.5, 0.5, 1.0], [0.5, 0.5, -1.0], [-0.5, -0.5, -1.0], [0.5, -0.5, 1.0], [0.0, 0.0, 0.6]])  # x₁, x₂, height
WIDTH = 0.25  # of the bumps


def _start(n: int, noise: float, seed: Seed) -> tuple[int, float, np.random.Generator]:
    return count("n", n, 2), number("noise", noise, 0.0, below=1e30), generator("seed", seed)


def moons(n: int = 300, noise: float = 0.1, seed: Seed = 0) -> tuple[Float32, Int64]:
    """Two half circles that reach into each other, in [−1, 1]².

    Half circle 0 is (cos φ − ½, sin φ − ¼)/1.5 with φ from 0 to π, half circle 1 its mirror image −(cos φ − ½, sin φ − ¼)/1.5:
    scikit-learn's ``make_moons``, moved to the origin.

    Parameters
    ----------
    n : int, default 300
        Number of points, at least 2; they belong to the classes in turn.
    noise : float, default 0.1
        Standard deviation of the Gaussian noise added to each coordinate, at least 0.
    seed : int or numpy.random.Generator, default 0

    Examples
    --------
    >>> X, y = moons(4, noise=0)
    >>> X.astype(float).round(2).tolist(), y.tolist()
    ([[0.33, -0.17], [-0.33, 0.17], [-1.0, -0.17], [1.0, 0.17]], [0, 1, 0, 1])
    """
    n, noise, rng = _start(n, noise, seed)
    y = np.arange(n) % 2
    phi = np.pi * (np.arange(n) // 2) / max((n + 1) // 2 - 1, 1)
    X = (1 - 2 * y)[:, np.newaxis] * np.column_stack([np.cos(phi) - 0.5, np.sin(phi) - 0.25]) / 1.5
    return _noisy(X, noise, rng), y.astype(np.int64)


def circles(n: int = 300, noise: float = 0.05, seed: Seed = 0) -> tuple[Float32, Int64]:
    """A disk of radius 0.5, class 1, in a ring from 0.7 to 1, class 0; uniform in the area.

    Parameters
    ----------
    n : int, default 300
        Number of points, at least 2; they belong to the classes in turn.
    noise : float, default 0.05
        Standard deviation of the Gaussian noise added to each coordinate, at least 0.
    seed : int or numpy.random.Generator, default 0

    Examples
    --------
    >>> X, y = circles(1000, noise=0)
    >>> r = np.linalg.norm(X, axis=1)
    >>> bool((r[y == 1] <= 0.5).all()), bool((r[y == 0] >= 0.7).all())
    (True, True)
    """
    n, noise, rng = _start(n, noise, seed)
    y = np.arange(n) % 2
    low, high = np.where(y, 0.0, 0.7), np.where(y, 0.5, 1.0)
    r, phi = np.sqrt(rng.uniform(low**2, high**2)), rng.uniform(0, 2 * np.pi, n)
    return _noisy(np.column_stack([r * np.cos(phi), r * np.sin(phi)]), noise, rng), y.astype(np.int64)


def quadrants(n: int = 300, noise: float = 0.05, seed: Seed = 0) -> tuple[Float32, Int64]:
    """Exclusive or with room: points of [−1, 1]², class 1 where x₁ and x₂ have different signs.

    Parameters
    ----------
    n : int, default 300
        Number of points, at least 2.
    noise : float, default 0.05
        Standard deviation of the Gaussian noise added to each coordinate after the class is known, at least 0.
    seed : int or numpy.random.Generator, default 0

    Examples
    --------
    >>> X, y = quadrants(100, noise=0)
    >>> bool(((X[:, 0] * X[:, 1] < 0) == y).all())
    True
    """
    n, noise, rng = _start(n, noise, seed)
    X = rng.uniform(-1, 1, (n, 2))
    return _noisy(X, noise, rng), (X[:, 0] * X[:, 1] < 0).astype(np.int64)


def gaussians(n: int = 300, noise: float = 0.2, seed: Seed = 0, scale: bool = True) -> tuple[Float32, Int64]:
    """Three Gaussian clouds, three classes.

    Parameters
    ----------
    n : int, default 300
        Number of points, at least 2; they belong to the classes in turn.
    noise : float, default 0.2
        Standard deviation of the clouds, at least 0.
    seed : int or numpy.random.Generator, default 0
    scale : bool, default True
        False: the same points as 100 + 100 x₁ and 10 + x₂, as tables come: far from 0, and in units of different size.

    Examples
    --------
    >>> X, y = gaussians(3, noise=0)
    >>> X.astype(float).round(1).tolist(), y.tolist()
    ([[-0.5, -0.4], [0.5, -0.4], [0.0, 0.5]], [0, 1, 2])
    """
    n, noise, rng = _start(n, noise, seed)
    y = np.arange(n) % 3
    X = CENTERS[y] + noise * rng.standard_normal((n, 2))
    if not flag("scale", scale):
        X = X * [100.0, 1.0] + [100.0, 10.0]
    return X.astype(np.float32), y.astype(np.int64)


def bumps(n: int = 300, noise: float = 0.05, seed: Seed = 0) -> tuple[Float32, Float32]:
    """A regression over [−1, 1]²: y = Σ_k a_k exp(−‖x − c_k‖²/2σ²), five bumps up and down, σ = 0.25.

    Parameters
    ----------
    n : int, default 300
        Number of points, at least 2.
    noise : float, default 0.05
        Standard deviation of the Gaussian noise added to y, at least 0.
    seed : int or numpy.random.Generator, default 0

    Examples
    --------
    >>> X, y = bumps(5)
    >>> X.shape, y.shape
    ((5, 2), (5, 1))
    """
    n, noise, rng = _start(n, noise, seed)
    X = rng.uniform(-1, 1, (n, 2))
    squared = ((X[:, np.newaxis] - PEAKS[:, :2]) ** 2).sum(axis=2)
    y = (np.exp(-squared / (2 * WIDTH**2)) * PEAKS[:, 2]).sum(axis=1, keepdims=True)
    return X.astype(np.float32), _noisy(y, noise, rng)


def sine(n: int = 100, noise: float = 0.1, seed: Seed = 0) -> tuple[Float32, Float32]:
    """A regression of one input: y = sin(2πx) at random x in [−1, 1], X and y of shape (n, 1).

    Parameters
    ----------
    n : int, default 100
        Number of points, at least 2.
    noise : float, default 0.1
        Standard deviation of the Gaussian noise added to y, at least 0.
    seed : int or numpy.random.Generator, default 0

    Examples
    --------
    >>> X, y = sine(5, noise=0)
    >>> bool(np.allclose(y, np.sin(2 * np.pi * X), atol=1e-6))
    True
    """
    n, noise, rng = _start(n, noise, seed)
    x = rng.uniform(-1, 1, (n, 1))
    return x.astype(np.float32), _noisy(np.sin(2 * np.pi * x), noise, rng)


def waves(n: int = 300, noise: float = 0.05, seed: Seed = 0) -> tuple[Float32, Float32]:
    """A regression over [−1, 1]²: y = sin(πx₁) cos(πx₂).

    Parameters
    ----------
    n : int, default 300
        Number of points, at least 2.
    noise : float, default 0.05
        Standard deviation of the Gaussian noise added to y, at least 0.
    seed : int or numpy.random.Generator, default 0

    Examples
    --------
    >>> X, y = waves(5)
    >>> X.shape, y.shape
    ((5, 2), (5, 1))
    """
    n, noise, rng = _start(n, noise, seed)
    X = rng.uniform(-1, 1, (n, 2))
    y = np.sin(np.pi * X[:, :1]) * np.cos(np.pi * X[:, 1:])
    return X.astype(np.float32), _noisy(y, noise, rng)


def _noisy(values: NDArray[Any], noise: float, rng: np.random.Generator) -> Float32:
    return (values + noise * rng.standard_normal(values.shape)).astype(np.float32)
