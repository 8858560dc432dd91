"""An L1 penalty on activations z (rows, width)."""

import numpy as np

from ._common import Array

__all__ = ["activity_l1_backward", "activity_l1_forward"]


def activity_l1_forward(z: Array, strength: float) -> tuple[Array, Array]:
    """h = z and the penalty of each example, λ Σ_j |z_j|, in float64; λ is ``strength``.

    >>> activity_l1_forward(np.array([[2.0, -1.0], [0.0, 4.0]]), 0.5)[1].tolist()
    [1.5, 2.0]
    """
    return z.copy(), strength * np.abs(z.astype(np.float64)).sum(axis=1)


def activity_l1_backward(dh: Array, z: Array, strength: float, scale: float | None = None) -> Array:
    """∂l/∂z = ∂l/∂h + s λ sign(z); s is ``scale``, by default 1/rows for the mean over the batch.

    >>> activity_l1_backward(np.zeros((2, 2)), np.array([[2.0, -1.0], [0.0, 4.0]]), 0.5).tolist()
    [[0.25, -0.25], [0.0, 0.25]]
    """
    return dh + (1 / len(z) if scale is None else scale) * strength * np.sign(z)
