"""Many networks at once, one in each lane of a vector: signals are (rows, width, lanes), weights (units, inputs, lanes).

Each network is on its own, so a twin is that of one network, applied lane by lane.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncore.reference.losses import softmax_cross_entropy_labels

__all__ = [
    "from_lanes", "lanes_dense_backward_bias", "lanes_dense_backward_input", "lanes_dense_backward_weight",
    "lanes_dense_forward", "lanes_dense_relu_backward_input", "lanes_dense_relu_forward", "lanes_softmax_cross_entropy",
    "lanes_sums", "to_lanes",
]  # fmt: skip

Array = NDArray[Any]


def lanes_dense_forward(x: Array, W: Array, b: Array | None = None) -> Array:
    """y = x Wᵀ + b of each network.

    >>> lanes_dense_forward(np.ones((1, 2, 3)), np.ones((1, 2, 3)), np.zeros((1, 3))).tolist()
    [[[2.0, 2.0, 2.0]]]
    """
    y = np.einsum("ipl,upl->iul", x, W)
    return y if b is None else y + b


def lanes_dense_relu_forward(x: Array, W: Array, b: Array | None = None) -> Array:
    """h = max(0, x Wᵀ + b) of each network."""
    return np.maximum(lanes_dense_forward(x, W, b), 0)


def lanes_dense_relu_backward_input(dy: Array, W: Array, h: Array) -> Array:
    """dz = (dy W) · [h > 0] of each network, for x = h = max(0, z)."""
    return np.where(h > 0, lanes_dense_backward_input(dy, W), 0)


def lanes_dense_backward_input(dy: Array, W: Array) -> Array:
    """dx = dy W of each network."""
    return np.einsum("iul,upl->ipl", dy, W)


def lanes_dense_backward_weight(dy: Array, x: Array) -> Array:
    """dW = dyᵀ x of each network."""
    return np.einsum("iul,ipl->upl", dy, x)


def lanes_dense_backward_bias(dy: Array) -> Array:
    """db = Σ dy over the rows of each network: (units, lanes)."""
    return np.asarray(dy.sum(axis=0))


def lanes_softmax_cross_entropy(y: Array, labels: Array, scale: float = 1.0) -> tuple[Array, Array]:
    """Losses (rows, lanes) and gradients (rows, width, lanes) for labels (rows, lanes)."""
    each = [softmax_cross_entropy_labels(y[:, :, lane], own, scale=scale) for lane, own in enumerate(labels.T)]
    return np.stack([loss for loss, _ in each], axis=1), np.stack([dy for _, dy in each], axis=2)


def lanes_sums(record: Array) -> Array:
    """Sums of records (rows, lanes) over the rows: (lanes,)."""
    return np.asarray(record.sum(axis=0))


def to_lanes(rows: Array) -> Array:
    """(rows, lanes, width) as (rows, width, lanes)."""
    return np.ascontiguousarray(np.swapaxes(rows, 1, 2))


def from_lanes(signal: Array) -> Array:
    """(rows, width, lanes) as (rows, lanes, width).

    >>> bool((from_lanes(to_lanes(np.arange(6).reshape(2, 3, 1))) == np.arange(6).reshape(2, 3, 1)).all())
    True
    """
    return np.ascontiguousarray(np.swapaxes(signal, 1, 2))
