"""Products of bfloat16 numbers with float32 sums (Kalamkar et al.: A study of BFLOAT16 for deep learning training, 2019).

A bfloat16 number is a float32 whose lower 16 bits are 0: 8 bits of precision and the range of float32. Here they lie in float32
arrays.
"""

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "bfloat16_product", "dense_backward_input_bfloat16", "dense_backward_weight_bfloat16", "dense_forward_bfloat16",
    "to_bfloat16",
]  # fmt: skip

Floats = NDArray[np.float32]


def to_bfloat16(x: Floats) -> Floats:
    """The nearest bfloat16 numbers, ties to even; denormal numbers become 0, NaN stays NaN.

    >>> to_bfloat16(np.array([1.0, 1.00390625, 1.01171875, 3.4e38, np.inf], np.float32)).tolist()
    [1.0, 1.0, 1.015625, inf, inf]
    """
    bits = np.asarray(x, np.float32).view(np.uint32)
    rounded = (bits + 0x7FFF + (bits >> 16 & 1)) & np.uint32(0xFFFF0000)
    quiet = (bits | 0x00400000) & np.uint32(0xFFFF0000)
    result = np.where(bits & 0x7FFFFFFF > 0x7F800000, quiet, rounded)
    return np.where(bits & 0x7FFFFFFF < 0x00800000, bits & 0x80000000, result).astype(np.uint32).view(np.float32)


def _fused(c: Floats, a: Floats, b: Floats) -> Floats:
    """c + a b, rounded once; denormal results become 0.

    The product is exact in float64, and the sum is rounded to odd there, so that rounding it again to float32 gives the nearest
    number (Boldo, Melquiond: Emulation of a FMA and correctly rounded sums, 2008).
    """
    with np.errstate(all="ignore"):
        p, d = a.astype(np.float64) * b, c.astype(np.float64)
        s = p + d
        t = s - p
        error = (p - (s - t)) + (d - t)
        bits = s.view(np.int64)
        odd = np.where((error != 0) & np.isfinite(s) & (bits & 1 == 0), np.where((error > 0) == (s > 0), 1, -1), 0)
        total = (bits + odd).view(np.float64).astype(np.float32)
    return np.where(np.abs(total) < np.finfo(np.float32).tiny, np.copysign(np.float32(0), total), total)


def bfloat16_product(a: Floats, b: Floats, init: Floats | None = None) -> Floats:
    """C = init + A B of A (n, k) and B (k, m), rounded to bfloat16; sums in float32.

    Terms are added in pairs, the odd one first: c := c + a₁ b₁, then c := c + a₀ b₀, each rounded once (Intel: Architecture
    instruction set extensions programming reference, VDPBF16PS).

    >>> bfloat16_product(np.ones((1, 3), np.float32), np.ones((3, 2), np.float32)).tolist()
    [[3.0, 3.0]]
    """
    a, b = to_bfloat16(a), to_bfloat16(b)
    if a.shape[1] % 2:
        a, b = np.pad(a, ((0, 0), (0, 1))), np.pad(b, ((0, 1), (0, 0)))
    c = np.zeros((len(a), b.shape[1]), np.float32) if init is None else np.broadcast_to(init, (len(a), b.shape[1]))
    for p in range(0, len(b), 2):
        for k in (p + 1, p):
            c = _fused(c, a[:, k, None], b[None, k])
    return c


def dense_forward_bfloat16(x: Floats, W: Floats, b: Floats | None = None) -> Floats:
    """y = x Wᵀ + b, pairs along the inputs."""
    return bfloat16_product(x, W.T, b)


def dense_backward_input_bfloat16(dy: Floats, W: Floats) -> Floats:
    """dx = dy W, pairs along the units."""
    return bfloat16_product(dy, W)


def dense_backward_weight_bfloat16(dy: Floats, x: Floats) -> Floats:
    """dW = dyᵀ x, pairs along the rows of the batch."""
    return bfloat16_product(dy.T, x)
