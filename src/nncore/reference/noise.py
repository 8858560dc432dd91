"""Random numbers from a counter, and Gaussian noise on a gradient g, which is changed in place."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]
Words = NDArray[np.uint64]

_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)


def philox(key: int, low: Words, high: int) -> tuple[Words, Words, Words, Words]:
    """Philox4x32-10: four 32-bit words for each counter (low, high) of 2 · 64 bits, and a key of 64 bits.

    Ten rounds, in each of which two words are multiplied by constants, the halves of the products change places and are
    mixed with the other two words and the key, and the key grows.

    Parameters
    ----------
    key : int
    low : array of uint64
    high : int

    Returns
    -------
    four arrays of uint64, each below 2³²

    References
    ----------
    Salmon, Moraes, Dror, Shaw: Parallel random numbers: as easy as 1, 2, 3 (2011).

    Examples
    --------
    >>> [hex(int(word[0])) for word in philox(0, np.zeros(1, np.uint64), 0)]
    ['0x6627e8d5', '0xe169c58d', '0xbc57ac4c', '0x9b00dbd8']
    """
    x0, x1 = low & _LOW, low >> _HALF
    x2, x3 = np.full_like(low, high & 0xFFFFFFFF), np.full_like(low, high >> 32)
    k0, k1 = key & 0xFFFFFFFF, key >> 32
    for _ in range(10):
        p0, p1 = np.uint64(0xD2511F53) * x0, np.uint64(0xCD9E8D57) * x2
        x0, x1, x2, x3 = (p1 >> _HALF) ^ x1 ^ np.uint64(k0), p1 & _LOW, (p0 >> _HALF) ^ x3 ^ np.uint64(k1), p0 & _LOW
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return x0, x1, x2, x3


def normal(n: int, seed: int, step: int, bits: int = 31) -> Array:
    """N(0, 1) for the elements 0 … n−1 of a step, by Box and Muller: √(−2 log u) cos 2πx and √(−2 log u) sin 2πx.

    u in (0, 1) and x in (−½, ½) are words of a counter, cut to ``bits`` and moved by half a bit. Elements go in groups of
    64, which the four numbers of 16 counters make; element 64 g + 16 k + j is number k of counter 16 g + j.

    Parameters
    ----------
    n, seed, step : int
    bits : int
        23 for float32, 31 for float64.

    Returns
    -------
    array (n,), float64

    References
    ----------
    Box, Muller: A note on the generation of random normal deviates (1958).

    Examples
    --------
    >>> sample = normal(1 << 16, seed=0, step=0)
    >>> float(abs(sample.mean()).round(1)), float(sample.std().round(2))
    (0.0, 1.0)
    """
    groups = -(-n // 64)
    counters = np.arange(16 * groups, dtype=np.uint64) | np.uint64(1 << 60)
    u0, x0, u1, x1 = ((word >> np.uint64(32 - bits)).astype(np.float64) + 0.5 for word in philox(seed, counters, step))
    numbers = []
    for u, x in ((u0, x0), (u1, x1)):
        length, turn = np.sqrt(-2 * np.log(u / 2**bits)), 2 * np.pi * (x / 2**bits - 0.5)
        numbers += [length * np.cos(turn), length * np.sin(turn)]
    return np.stack(numbers).reshape(4, groups, 16).transpose(1, 0, 2).reshape(-1)[:n]


def gradient_noise(grad: Array, step: int, sigma: float, seed: int = 0) -> None:
    """g ← g + σ n, n ~ N(0, 1) for each element, from (seed, step, place in g) alone.

    Parameters
    ----------
    grad : array (n,)
    step : int
    sigma : float
        √(η/(1+t)^γ) with Neelakantan et al.
    seed : int

    References
    ----------
    Neelakantan, Vilnis, Le, Sutskever, Kaiser, Kurach, Martens: Adding gradient noise improves learning for very deep
    networks (2015).

    Examples
    --------
    >>> g = np.zeros(3)
    >>> gradient_noise(g, step=0, sigma=0.0)
    >>> g.tolist()
    [0.0, 0.0, 0.0]
    """
    grad += (sigma * normal(grad.size, seed, step, 23 if grad.dtype == np.float32 else 31)).astype(grad.dtype)
