"""What a callback sees of an ensemble: one member."""

from __future__ import annotations

from typing import Any, NoReturn

from nncore.ensemble.base import BaseEnsembleTrainer
from nncore.history import History
from nncore.model import Sequential
from nncore.optimizers import GradientOptimizer

__all__ = ["Member"]


class Member:
    """One member of an ensemble in training, as its callbacks see it.

    Attributes
    ----------
    number : int
    model : Sequential
        Its parameters are views into the ensemble's.
    optimizer : GradientOptimizer
        Its hyper-parameters may be assigned; it has no arrays.
    stop_training : bool
        Assign True to end the training of this member after the epoch.
    history : History
        A copy.
    epochs_done, seed : int
    """

    def __init__(self, trainer: BaseEnsembleTrainer, number: int) -> None:
        self._trainer, self.number, self.stop_training = trainer, number, False

    @property
    def model(self) -> Sequential:
        return self._trainer.model[self.number]

    @property
    def optimizer(self) -> GradientOptimizer:
        return self._trainer._optimizers[self.number]

    @property
    def history(self) -> History:
        return self._trainer.history.member(self.number)

    @property
    def epochs_done(self) -> int:
        return int(self._trainer.history.epochs[self.number])

    @property
    def seed(self) -> int:
        return self._trainer.seed + self.number

    @property
    def loss(self) -> Any:
        return self._trainer._kind_of[self.number].trainers[0].loss

    def __getattr__(self, name: str) -> NoReturn:
        raise AttributeError(
            f"a callback of an ensemble sees one member at a time, which has no {name}: it has number, model, optimizer, "
            "history, epochs_done, seed, loss and stop_training"
        )
