"""What scikit-learn's estimators do between epochs."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import numpy as np

from nncore.callbacks import Callback
from nncore.callbacks.best import Best
from nncore.optimizers import Optimizer

__all__ = ["Begun", "BetweenEpochs", "OfOneFit"]

SMALLEST_LR = 1e-6


class OfOneFit(Callback):
    """An estimator's own callback, which its trainer keeps: copies and pickles, within fit too, are without what it holds."""

    def __getstate__(self) -> dict[str, Any]:
        return {}


class Begun(OfOneFit):
    """Keeps the attributes of an estimator until its training begins.

    Parameters
    ----------
    before : dict
    """

    every_epoch = False

    def __init__(self, before: dict[str, Any]) -> None:
        self.before = before

    def on_train_begin(self, trainer: Any) -> None:
        self.before = {}


class BetweenEpochs(OfOneFit):
    """Keeps the fitted attributes up to date, adapts the learning rate, and ends the training.

    The training ends when, in more than ``n_iter_no_change`` epochs in a row, the loss has not fallen by ``tol``, or with early
    stopping the monitored quantity has not improved by ``tol``; with ``learning_rate="adaptive"`` the learning rate is then
    divided by 5 until it is below 1e-6.

    Parameters
    ----------
    estimator : BaseMLP
    samples : int
        Per epoch.
    score : callable, optional
        Returns the validation score.
    """

    def __init__(self, estimator: Any, samples: int, score: Callable[[], float] | None) -> None:
        self.estimator, self.samples, self.score = estimator, samples, score
        self.early = estimator.early_stopping and estimator.monitor != "score"
        self.column = "val_loss" if estimator.monitor == "loss" else estimator.monitor
        larger = not self.early or Best(self.column, "auto").larger
        self.sign = 1 if larger else -1

    def check_columns(self, columns: Collection[str]) -> None:
        if self.early:
            Best(self.column, "auto").check(columns)

    def on_epoch_end(self, trainer: Any, epoch: int, row: dict[str, Any]) -> None:
        estimator = self.estimator
        estimator.n_iter_ += 1
        estimator.t_ += self.samples
        estimator.loss_ = estimator._reported_loss(row["running_loss"], row.get("running_penalty", 0.0))
        estimator.loss_curve_.append(estimator.loss_)
        self._tell(f"Iteration {estimator.n_iter_}, loss = {estimator.loss_:.8f}")
        if estimator.early_stopping:
            self._watch(trainer.model, row)
        else:
            worse = estimator.loss_ > estimator.best_loss_ - estimator.tol
            estimator._no_improvement_count = estimator._no_improvement_count + 1 if worse else 0
            estimator.best_loss_ = min(estimator.best_loss_, estimator.loss_)
        if self._scheduled("invscaling"):
            trainer.optimizer.lr = self._first_lr() / (estimator.t_ + 1) ** estimator.power_t
        if estimator._no_improvement_count > estimator.n_iter_no_change:
            self._end_or_reduce(trainer)

    def on_train_end(self, trainer: Any) -> None:
        best = self.estimator._best
        if self.estimator.early_stopping and best is not None:
            with trainer.model.lock:
                trainer.model.parameters[...], trainer.model.state[...] = best
        self.estimator = self.score = None  # the trainer keeps its callbacks

    def _watch(self, model: Any, row: dict[str, Any]) -> None:
        """The monitored quantity, and the best parameters."""
        estimator = self.estimator
        value = row[self.column] if self.early else self.score() if self.score else np.nan
        estimator.validation_scores_.append(value)
        self._tell(f"Validation score: {value:f}")
        best = -np.inf if estimator.best_validation_score_ is None else self.sign * estimator.best_validation_score_
        worse = self.sign * value < best + estimator.tol
        estimator._no_improvement_count = estimator._no_improvement_count + 1 if worse else 0
        if self.sign * value > best:
            estimator.best_validation_score_ = value
            estimator._best = model.parameters.copy(), model.state.copy()

    def _end_or_reduce(self, trainer: Any) -> None:
        estimator = self.estimator
        what = "Validation score" if estimator.early_stopping else "Training loss"
        message = f"{what} did not improve more than tol={estimator.tol:f} for {estimator.n_iter_no_change} consecutive epochs."
        if self._scheduled("adaptive") and trainer.optimizer.lr > SMALLEST_LR:
            trainer.optimizer.lr /= 5
            estimator._no_improvement_count = 0
            self._tell(f"{message} Setting learning rate to {trainer.optimizer.lr:f}")
        else:
            trainer.stop_training = True
            self._tell(f"{message} Stopping.")

    def _scheduled(self, mode: str) -> bool:
        """Whether the learning rate follows this mode: scikit-learn's Adam ignores it."""
        estimator = self.estimator
        named = estimator.solver == "sgd" or estimator.optimizer is not None
        return estimator.learning_rate == mode and named and estimator.schedule is None

    def _first_lr(self) -> float:
        given = self.estimator.optimizer
        return float(given.lr if isinstance(given, Optimizer) else self.estimator.learning_rate_init)

    def _tell(self, line: str) -> None:
        if self.estimator.verbose:
            print(line)
