"""Snapshots of one training as the members of an ensemble."""

from __future__ import annotations

from typing import Any

import numpy as np

from nncore._utils.arrays import Array
from nncore._utils.fields import Count
from nncore.callbacks import Callback
from nncore.ensemble.ensemble import Ensemble
from nncore.ensemble.groups import Group

__all__ = ["Snapshots"]


class Snapshots(Callback):
    """Keep the network as it is after every ``every``-th epoch: members of an ensemble for the price of one training.

    With a learning rate that falls to 0 and starts again, as `schedules.Cosine` in cycles, each is near another minimum.

    Parameters
    ----------
    every : int
        Epochs between two snapshots.
    skip : int, default 0
        Epochs before the first one counts.

    Notes
    -----
    Source: Huang, Li, Pleiss, Liu, Hopcroft, Weinberger: Snapshot ensembles: train 1, get M for free (2017).

    Examples
    --------
    >>> import nncore as nn
    >>> model = nn.Sequential([nn.Dense(1)], input_shape=1)
    >>> snapshots = nn.Snapshots(every=2)
    >>> trainer = nn.Trainer(model, "squared_error", nn.SGD(lr=0.1))
    >>> history = trainer.fit([[1.0]], [[2.0]], epochs=6, callbacks=[snapshots], verbose=0)
    >>> ensemble = snapshots.ensemble()
    >>> len(ensemble), bool((ensemble[2].parameters == model.parameters).all())
    (3, True)
    """

    of_members = False
    every: Count = Count()
    skip: Count = Count(0)

    def __init__(self, every: int, skip: int = 0) -> None:
        self.every, self.skip = every, skip
        self._model: Any = None
        self._kept: list[tuple[Array, Array]] = []

    def on_train_begin(self, trainer: Any) -> None:
        self._model, self._kept = trainer.model, []

    def on_epoch_end(self, trainer: Any, epoch: int, row: dict[str, Any]) -> None:
        if epoch > self.skip and (epoch - self.skip) % self.every == 0:
            self._kept.append((np.array(trainer.model.parameters), np.array(trainer.model.state)))

    def ensemble(self) -> Ensemble:
        """The snapshots as members, the first one first. ValueError if there are none."""
        if not self._kept:
            raise ValueError(f"there must be a snapshot, which is taken after every {self.every} epochs of fit, got none")
        group = Group(self._model.copy(), range(len(self._kept)), [self._model.seed] * len(self._kept))
        for row, (parameters, state) in enumerate(self._kept):
            group.parameters[row], group.state[row] = parameters, state
        return Ensemble._of_groups([group])
