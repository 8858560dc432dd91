"""The last loss of each example in training."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any

import numpy as np

from nncore._utils.arrays import OwnsArrays
from nncore._utils.fields import config_or_none

if TYPE_CHECKING:
    from nncore.losses import Loss
    from nncore.training.dataset import Dataset
from nncore.samplers import Float64


class LastLosses(OwnsArrays):
    """The last loss of each example in training, for the data that a sampler last requested.

    Attributes
    ----------
    fingerprint : int
        Of that data and of the loss: a checksum of targets, weights and some 256 of the inputs.
    values : float64 array (count,) or None
    key : hashable
        ``loss.key()``, as the configuration does not say what a loss written in Python does; None after unpickling.
    """

    def __init__(self, fingerprint: int = 0, values: Float64 | None = None, key: Hashable = None) -> None:
        self.fingerprint, self.values, self.key = fingerprint, values, key

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"key": None}

    def of(self, data: Dataset, loss: Loss, evaluate: Callable[[Float64], object]) -> Float64:
        """The losses of this data, an array to be updated in place; ``evaluate`` fills it the first time."""
        fingerprint = data.checksum(zlib.crc32(f"{loss.name} {config_or_none(loss)}".encode(), len(data)))
        same = fingerprint == self.fingerprint and self.key in (None, loss.key())
        if self.values is None or not same or len(self.values) != len(data):
            values = np.zeros(len(data))
            evaluate(values)
            if not np.isfinite(values).all():  # training will raise
                values[...] = 0
            self.fingerprint, self.values = fingerprint, values
        self.key = loss.key()
        return self.values
