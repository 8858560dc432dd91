"""The loss that each example had when it was last trained on."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from nncore._utils.arrays import OwnsArrays

if TYPE_CHECKING:
    from nncore.losses import Loss
    from nncore.training.dataset import Dataset
from nncore.samplers import Float64


class LastLosses(OwnsArrays):
    """The loss that each example had when it was last trained on, for the data that a sampler last asked for.

    Attributes
    ----------
    fingerprint : int
        Of that data and of the loss: a checksum of targets, weights and some 256 of the inputs.
    values : float64 array (count,) or None
    """

    def __init__(self, fingerprint: int = 0, values: Float64 | None = None) -> None:
        self.fingerprint, self.values = fingerprint, values

    def of(self, data: Dataset, loss: Loss, evaluate: Callable[[Float64], object]) -> Float64:
        """The losses of this data, to be kept up to date in place; ``evaluate`` fills an array with them the first time."""
        parts = [data.of_examples(part) for part in (data.targets[0].array, data.weights) if part is not None]
        some = np.linspace(0, len(data) - 1, min(len(data), 256)).astype(np.int64)  # of what may be a large file
        rows = data.rows[data.row_numbers(some[None])[0]]
        parts += [rows] if isinstance(rows, np.ndarray) else [rows.values, rows.columns, rows.starts]
        fingerprint = zlib.crc32(f"{loss.name} {loss.config()}".encode(), len(data))
        for part in parts:
            fingerprint = zlib.crc32(np.ascontiguousarray(part).data.cast("B"), fingerprint)
        if self.values is None or fingerprint != self.fingerprint or len(self.values) != len(data):
            values = np.zeros(len(data))
            evaluate(values)
            if not np.isfinite(values).all():  # training will say so itself
                values[...] = 0
            self.fingerprint, self.values = fingerprint, values
        return self.values
