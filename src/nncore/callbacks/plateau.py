"""Reduce the learning rate when a metric stops improving."""

from __future__ import annotations

from typing import Any, Literal

from nncore._messages import shown
from nncore._utils.fields import Choice, Converted, Count, Name, Number
from nncore.callbacks.best import Best, BestCallback
from nncore.schedules import MOST_COUNTED, Schedule, step_or_epoch

__all__ = ["ReduceLROnPlateau"]


def _epochs(name: str, value: Any) -> list[int]:
    if not isinstance(value, list):
        raise TypeError(f"{name} must be a list of epochs, got {shown(value)}")
    return [step_or_epoch(name, epoch) for epoch in value]


class ReduceLROnPlateau(BestCallback):
    """Multiply the learning rate by `factor` when a column has not improved for `patience` epochs in a row.

    With v the column's value, b the best one so far and w the number of epochs without improvement::

        v < b − threshold·|b|    b ← v, w ← 0        (mode "min"; v > b + threshold·|b| in mode "max")
        otherwise                w ← w + 1; if w ≥ patience:  lr ← max(factor·lr, min_lr), w ← 0

    This is Keras's count, and that of `EarlyStopping`: ``patience=10`` reduces after the tenth epoch without improvement.
    PyTorch reduces when w > patience, after the eleventh: ``counting="pytorch"`` does so. They also differ in the `cooldown`
    epochs after a reduction: in PyTorch w stays 0 in all of them, in Keras the last of them counts again. The threshold is
    relative as in PyTorch; in Keras it is absolute (``min_delta``), as it is with ``threshold_mode="abs"``. (Where b is
    negative PyTorch's relative threshold has the wrong sign; ours takes \\|b\\|.)

    The rate must be a number: a schedule would override it in the next step, and raises ValueError before training.

    Parameters
    ----------
    monitor : str, default "val_loss"
        A column of the history; ValueError before training if there will be none of this name.
    factor : float
        In (0, 1). Keras and PyTorch: 0.1.
    patience : int
        At least 0; in Keras's count 0 means the same as 1.
    threshold : float
        At least 0. PyTorch and Keras: 1e-4.
    threshold_mode : {"rel", "abs"}
    cooldown : int
        Epochs after a reduction that do not count.
    min_lr : float
    mode : {"auto", "min", "max"}
        "auto" knows losses and common metrics by their names, as in `EarlyStopping`.
    counting : {"keras", "pytorch"}

    Attributes
    ----------
    best : float or None
    wait : int
        w.
    reductions : list of int
        The epochs, from 1, after which the rate was reduced.

    Examples
    --------
    >>> import nncore as nn
    >>> class Trainer:
    ...     optimizer = nn.SGD(lr=0.5)
    >>> plateau = ReduceLROnPlateau("loss", patience=2)
    >>> for epoch, loss in enumerate([1.0, 0.5, 0.6, 0.55, 0.4], 1):
    ...     plateau.on_epoch_end(Trainer, epoch, {"loss": loss})
    >>> Trainer.optimizer.lr, plateau.reductions
    (0.05, [4])
    """

    monitor: Name = Name()
    factor: Number = Number(above=0, below=1)
    patience: Count = Count(0)
    threshold: Number = Number(0)
    threshold_mode: Choice = Choice("rel", "abs")
    cooldown: Count = Count(0)
    min_lr: Number = Number(0)
    counting: Choice = Choice("keras", "pytorch")
    wait: Count = Count(0, below=MOST_COUNTED)
    resting: Count = Count(0, below=MOST_COUNTED)
    reductions: Converted[list[int], list[int]] = Converted(_epochs)
    counts = ("wait", "resting", "reductions")
    _best: Best

    def __init__(
        self, monitor: str = "val_loss", factor: float = 0.1, patience: int = 10, threshold: float = 1e-4,
        threshold_mode: Literal["rel", "abs"] = "rel", cooldown: int = 0, min_lr: float = 0.0, mode: str = "auto",
        counting: Literal["keras", "pytorch"] = "keras",
    ) -> None:  # fmt: skip
        self.monitor, self.mode, self.factor, self.min_lr = monitor, mode, factor, min_lr
        self.patience, self.cooldown, self.threshold = patience, cooldown, threshold
        self.threshold_mode, self.counting = threshold_mode, counting
        self._reset()

    def _new_best(self) -> Best:
        return Best(self.monitor, self.mode, self.threshold, relative=self.threshold_mode == "rel")

    def _reset(self) -> None:
        super()._reset()
        self.wait = self.resting = 0
        self.reductions = []

    def on_train_begin(self, trainer: Any) -> None:
        optimizer = trainer.optimizer
        if "lr" not in optimizer.hyperparameters or isinstance(optimizer.lr, Schedule):
            raise ValueError(f"ReduceLROnPlateau needs an optimizer whose lr is a number, got {shown(optimizer)}")
        super().on_train_begin(trainer)

    def on_epoch_end(self, trainer: Any, epoch: int, row: dict[str, Any]) -> None:
        better = self._best.update(row)
        pytorch, before = self.counting == "pytorch", self.resting
        self.resting = max(before - 1, 0)
        exempt = before if pytorch else self.resting
        self.wait = 0 if better or exempt else self.wait + 1
        if self.wait >= max(self.patience + pytorch, 1):
            trainer.optimizer.lr = max(self.factor * trainer.optimizer.lr, min(self.min_lr, trainer.optimizer.lr))
            self.wait, self.resting = 0, self.cooldown
            self.reductions.append(epoch)
