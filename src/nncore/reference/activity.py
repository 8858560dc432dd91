"""An L1 penalty on activations z (rows, width)."""

import numpy as np

from ._common import Array

__all__ = ["activity_l1_backward", "activity_l1_forward"]


def activity_l1_forward(z: Array, strength: float, weight: Array | None = None) -> tuple[Array, Array]:
    """h = z and the penalty of each example i, w_i λ Σ_j |z_ij|, in float64; λ is ``strength``, w ``weight`` (rows,), else 1.

    >>> activity_l1_forward(np.array([[2.0, -1.0], [0.0, 4.0]]), 0.5)[1].tolist()
    [1.5, 2.0]
    """
    penalty = strength * np.abs(z.astype(np.float64)).sum(axis=1)
    if weight is None:
        return z.copy(), penalty
    counted = weight != 0
    return z.copy(), np.multiply(weight, penalty, out=np.zeros(len(z)), where=counted)


def activity_l1_backward(
    dh: Array, z: Array, strength: float, scale: float | None = None, weight: Array | None = None
) -> Array:
    """∂l/∂z = ∂l/∂h + s w_i λ sign(z); s is ``scale``, by default 1/rows for the mean over the batch, w 1 without ``weight``.

    >>> activity_l1_backward(np.zeros((2, 2)), np.array([[2.0, -1.0], [0.0, 4.0]]), 0.5).tolist()
    [[0.25, -0.25], [0.0, 0.25]]
    """
    slope = (1 / len(z) if scale is None else scale) * strength
    return dh + (slope if weight is None else slope * weight[:, np.newaxis]) * np.sign(z)
