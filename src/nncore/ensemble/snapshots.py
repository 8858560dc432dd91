"""Snapshots of one training as the members of an ensemble."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from nncore._messages import shown
from nncore._utils.arrays import Array
from nncore._utils.fields import Count
from nncore.callbacks import Callback
from nncore.ensemble.ensemble import Ensemble
from nncore.ensemble.groups import Group
from nncore.optimizers.tiles import check_names

Snapshot = tuple[Array, Array]  # parameters and state

__all__ = ["Snapshots"]


class Snapshots(Callback):
    """Keep the network as it is after every ``every``-th epoch: members of an ensemble for the price of one training.

    With a learning rate that falls to 0 and starts again, as `schedules.Cosine` in cycles, each is near another minimum. A new
    ``fit`` begins anew; one that goes on from a checkpoint goes on with the snapshots that the checkpoint holds.

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
        self._kept: list[Snapshot] = []
        self._resumed = False

    def on_train_begin(self, trainer: Any) -> None:
        if not self._resumed:
            self._kept = []
        self._check_kept(self._kept, trainer.model)
        self._model, self._resumed = trainer.model, False

    @staticmethod
    def _check_kept(kept: list[Snapshot], model: Any) -> None:
        """Raise unless these are parameters and states of such a model."""
        for snapshot in kept:
            for name, array, own in zip(("parameters", "state"), snapshot, (model.parameters, model.state), strict=True):
                if (array.shape, array.dtype) != (own.shape, own.dtype):
                    what = f"shape {own.shape} and {own.dtype}, got {array.shape} and {array.dtype}"
                    raise ValueError(f"{name} of Snapshots must have {what}")

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

    def state_dict(self) -> dict[str, Any]:
        """Copies of the parameters and states kept so far, one row each."""
        if not self._kept:
            return {}
        parameters, states = zip(*self._kept, strict=True)
        return {"parameters": np.array(parameters), "states": np.array(states)}

    @classmethod
    def check_state(cls, state: Mapping[str, Any], model: Any = None) -> None:
        if not isinstance(state, Mapping):
            raise TypeError(f"state of Snapshots must be a mapping, got {shown(state)}")
        check_names(cls.__name__, state, {"parameters", "states"})
        for name, rows in state.items():
            if not isinstance(rows, np.ndarray) or rows.ndim != 2 or rows.dtype.kind != "f" or not np.isfinite(rows).all():
                raise ValueError(f"{name} of Snapshots must be a 2-D array of finite numbers, got {shown(rows)}")
        if len(state["parameters"]) != len(state["states"]):
            lengths = f"{len(state['parameters'])} and {len(state['states'])}"
            raise ValueError(f"parameters and states of Snapshots must have the same length, got {lengths}")
        if model is not None:
            cls._check_kept(_pairs(state), model)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.check_state(state)
        self._kept, self._resumed = _pairs(state), True


def _pairs(state: Mapping[str, Any]) -> list[Snapshot]:
    return [(parameters.copy(), own.copy()) for parameters, own in zip(state["parameters"], state["states"], strict=True)]
