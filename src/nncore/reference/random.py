"""Counter-based random numbers: Philox4x32-10, and uniform and normal numbers from it (Salmon, Moraes, Dror, Shaw: Parallel
random numbers: as easy as 1, 2, 3, 2011).

A conventional generator has a state, so a number depends on how many were drawn before it. Philox is a function: it
scrambles a counter of four 32-bit words with a key of two. Here the key is the model's seed, and the counter is made of the
index of the element, the step, the layer (from 1) and the stream (0 to 15, one of several sequences of a layer). So the
backward pass draws the numbers of the forward pass again instead of storing them, and the order of threads does not matter.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["philox", "random_bits", "random_normal", "random_words", "shuffled_order"]

Words = NDArray[np.uint32]

LOW = np.uint64(0xFFFFFFFF)
BLOCK = 64  # elements whose numbers are computed together, from 16 counters


def philox(counter: NDArray[Any], key: int) -> Words:
    """Ten rounds of (x₀, x₁, x₂, x₃) ← (high(M₁ x₂) ⊕ x₁ ⊕ k₀, low(M₁ x₂), high(M₀ x₀) ⊕ x₃ ⊕ k₁, low(M₀ x₀)).

    ``high`` and ``low`` are the halves of a 64-bit product; after each round k₀ and k₁ grow by constants, modulo 2³².

    >>> [hex(word) for word in philox(np.zeros((1, 4)), key=0)[0].tolist()]
    ['0x6627e8d5', '0xe169c58d', '0xbc57ac4c', '0x9b00dbd8']
    """
    x = np.array(counter, dtype=np.uint64)
    k0, k1 = key & 0xFFFFFFFF, (key >> 32) & 0xFFFFFFFF
    for _ in range(10):
        p0, p1 = x[:, 0] * np.uint64(0xD2511F53), x[:, 2] * np.uint64(0xCD9E8D57)
        high0, high1 = p0 >> np.uint64(32), p1 >> np.uint64(32)
        x = np.stack([high1 ^ x[:, 1] ^ np.uint64(k0), p1 & LOW, high0 ^ x[:, 3] ^ np.uint64(k1), p0 & LOW], axis=1)
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return x.astype(np.uint32)


def random_bits(n: int, *, seed: int = 0, layer: int = 1, stream: int = 0, step: int = 0) -> Words:
    """n numbers of 32 bits: element e = 64 b + 16 w + l of an array has word w of counter 16 b + l. step is below 2⁴⁴.

    >>> random_bits(3, seed=1, step=7).tolist()
    [2334694756, 2528880216, 1796703563]
    >>> np.array_equal(random_bits(1000)[:5], random_bits(5))
    True
    """
    blocks = -(-n // BLOCK)
    number = np.arange(16 * blocks, dtype=np.uint64)
    counter = np.empty((16 * blocks, 4), dtype=np.uint64)
    counter[:, 0], counter[:, 1] = number & LOW, number >> np.uint64(32)
    counter[:, 2], counter[:, 3] = step & 0xFFFFFFFF, layer << 16 | stream << 12 | step >> 32
    return philox(counter, seed).reshape(blocks, 16, 4).transpose(0, 2, 1).reshape(-1)[:n]


def random_words(n: int, *, seed: int = 0, epoch: int = 0) -> Words:
    """The n numbers of 32 bits that shuffle an epoch: element 4 c + w has word w of counter c, whose high half is the epoch.

    >>> random_words(3, seed=1).tolist()
    [3823634032, 3842641596, 2515673792]
    """
    number = np.arange(-(-n // 4), dtype=np.uint64)
    counter = np.stack([number & LOW, number >> np.uint64(32), *np.full((2, len(number)), epoch, dtype=np.uint64)], axis=1)
    counter[:, 2], counter[:, 3] = counter[:, 2] & LOW, counter[:, 3] >> np.uint64(32)
    return philox(counter, seed).reshape(-1)[:n]


def shuffled_order(n: int, *, seed: int = 0, epoch: int = 0) -> NDArray[np.int64]:
    """A permutation of 0 … n − 1: element i goes to a random position j ≤ i, and the one that was there to position i.

    j = ⌊(i + 1) r / 2³²⌋ for the number r of 32 bits, of which the few that would favor some positions are drawn again
    (Lemire: Fast random integer generation in an interval, 2019). The shuffle is Fisher and Yates's, inside out.

    >>> shuffled_order(5, seed=1).tolist()
    [0, 2, 3, 4, 1]
    """
    order = np.empty(n, dtype=np.int64)
    for i, r in enumerate(random_words(n, seed=seed, epoch=epoch).tolist()):
        again = 0
        while (r * (i + 1)) % 2**32 < 2**32 % (i + 1):
            again += 1
            r = int(philox(np.array([[i + 1, again, epoch % 2**32, epoch >> 32]], dtype=np.uint64), seed)[0, 0])
        j = r * (i + 1) >> 32
        order[i], order[j] = order[j], i
    return order


def random_normal(n: int, *, seed: int = 0, layer: int = 1, stream: int = 0, step: int = 0) -> NDArray[np.float64]:
    """n numbers of N(0, 1), two from each two of `random_bits`: √(−2 ln u) cos φ and √(−2 ln u) sin φ (Box, Muller 1958).

    u = (⌊bits / 2⁸⌋ + 1) / 2²⁴ lies in (0, 1], so the largest number is 5.77; φ = 2π bits' / 2³² − π/4. In each block of 64
    elements, i and i + 32 are a pair.

    >>> z = random_normal(100_000)
    >>> bool(abs(z.mean()) < 0.01), bool(abs(z.std() - 1) < 0.01)
    (True, True)
    """
    blocks = -(-n // BLOCK)
    bits = random_bits(BLOCK * blocks, seed=seed, layer=layer, stream=stream, step=step).reshape(blocks, 2, 32)
    u = ((bits[:, 0] >> np.uint32(8)) + 1.0) / 2**24
    angle = 2 * np.pi * (bits[:, 1] / 2**32) - np.pi / 4
    r = np.sqrt(-2 * np.log(u))
    return np.stack([r * np.cos(angle), r * np.sin(angle)], axis=1).reshape(-1)[:n]
