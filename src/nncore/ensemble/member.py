"""What a callback sees of an ensemble: one member."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, NoReturn

from nncore._messages import shown
from nncore._utils.fields import flag
from nncore.ensemble.base import BaseEnsembleTrainer
from nncore.history import History
from nncore.model import Sequential
from nncore.optimizers import GradientOptimizer

__all__ = ["Member"]


class Member:
    """One member of an ensemble in training, as its callbacks see it.

    Of the attributes only ``stop_training`` may be assigned; AttributeError for others.

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
    loss : Loss
        A copy.
    epochs_done, seed : int
    """

    if TYPE_CHECKING:
        _trainer: BaseEnsembleTrainer
        number: int
        stop_training: bool

    def __init__(self, trainer: BaseEnsembleTrainer, number: int) -> None:
        vars(self).update(_trainer=trainer, number=number)
        self.stop_training = False

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
        return copy.deepcopy(self._trainer._kind_of[self.number].trainers[0].loss)

    if not TYPE_CHECKING:  # for type checkers a misspelled name is an error

        def __setattr__(self, name: str, value: Any) -> None:
            if name != "stop_training":
                raise AttributeError(
                    f"{name} of a member cannot be assigned, got {shown(value)}: a callback of an ensemble may assign "
                    "stop_training, hyper-parameters of the optimizer, and numbers of the model"
                )
            vars(self)[name] = flag(name, value)

    def __getattr__(self, name: str) -> NoReturn:
        raise AttributeError(
            f"a callback of an ensemble sees one member at a time, which has no {name}: it has number, model, optimizer, "
            "history, epochs_done, seed, loss and stop_training"
        )
