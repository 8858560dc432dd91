"""Training with a full-batch optimizer: the loop of `Trainer.fit`, one iteration per epoch."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from nncore._messages import shown
from nncore._utils.interrupt import Interrupt
from nncore.data.sparse import SparseRows
from nncore.model import sequential as models
from nncore.samplers import Sampler, Sequential, Shuffled
from nncore.second_order.base import FullBatchOptimizer, Row
from nncore.second_order.model_objective import ModelObjective
from nncore.second_order.objective import Array, Evaluated, Point
from nncore.training.base import BaseTrainer
from nncore.training.dataset import Dataset
from nncore.training.loop import Epochs

__all__ = ["FullBatchLoop"]

ROWS_COMPARED = 1024  # rows on which training and inference passes are compared


class FullBatchLoop:
    """State of one call of ``fit``. Trial points are evaluated on a copy of the model: the model only holds accepted ones."""

    def __init__(self, trainer: BaseTrainer, data: Dataset, sampler: Sampler) -> None:
        if trainer.clip is not None:
            raise ValueError(
                f"clip must be None with {type(trainer.optimizer).__name__}, got {shown(trainer.clip)}: line searches and "
                "curvature need the gradient of the loss, which a clipped gradient is not"
            )
        assert isinstance(trainer.optimizer, FullBatchOptimizer)
        if not isinstance(sampler, (Sequential, Shuffled)):
            raise ValueError(
                f"sampler must be left out with {type(trainer.optimizer).__name__}, got {shown(sampler)}: it minimizes one "
                "function of all rows, in which sample_weight and class_weight may give some of them more weight"
            )
        X = data.of_examples(data.rows)
        if not isinstance(X, SparseRows):
            X = X.reshape(-1, *trainer.model.input_shape)
        elif not trainer.model.reads_sparse:
            raise TypeError(
                f"X must be dense with {type(trainer.optimizer).__name__}, got a sparse matrix: take X.toarray(), or begin the "
                "model with SparseDense"
            )
        y = replace(data.targets[0], array=data.of_examples(data.targets[0].array))  # converted by the loss already
        weights = None if data.weights is None else data.of_examples(data.weights)
        f = ModelObjective(trainer.model, X, y, trainer.loss, trainer.regularizer, weights)
        f.model.input_scaler = f.model.target_scaler = None  # the data have been scaled already
        _check_deterministic(f.model, X[:ROWS_COMPARED], trainer.optimizer)
        self.trainer, self.optimizer, self.data = trainer, trainer.optimizer, data
        self.objective = Evaluated(f, trainer.model.dtype)
        self.point: Point | None = None
        self.failure: Exception | None = None
        self.optimizer.stopped = ""
        self.minimized = self._function()

    @property
    def columns(self) -> list[str]:
        """The names of the columns that `run_epochs` may return."""
        return [*self.trainer.row_columns(""), *self.optimizer.columns]

    def run_epochs(self, epochs: int, interrupt: Interrupt, progress: Callable[[float], None] | None) -> Epochs:
        """One iteration, or more if the optimizer does several at once; or none and ``failure``."""
        self.trainer._check_state()
        model, optimizer = self.trainer.model, self.optimizer
        if self._function() != self.minimized:
            raise RuntimeError(
                "loss, regularizer, clip, a number of one of them or a layer's frozen was assigned during fit, which "
                f"{type(optimizer).__name__} cannot follow: assign it between two calls"
            )
        self.objective.interrupt = interrupt  # a KeyboardInterrupt ends the iteration before the model changes
        try:
            with optimizer.all_or_nothing(model.parameters, lock=model.lock):
                rows = self._iterate(epochs)
        except ArithmeticError as error:
            self.failure = error
            return Epochs(0, {}, {})
        return Epochs(len(rows), {name: np.array([row[name] for row in rows]) for name in rows[0]}, {})

    def _iterate(self, epochs: int) -> list[Row]:
        """Their rows; the model holds the last point."""
        trainer, model, optimizer = self.trainer, self.trainer.model, self.optimizer
        if self.point is None or self._has_moved():
            self.point = optimizer.begin_at(self.objective, model.parameters)
        found, rows = optimizer.next_points(self.objective, self.point, epochs), []
        for self.point, row in found:
            with model.lock:
                model.parameters[...] = self.point.theta
            rows.append(self._with_metrics(row))
        model.gradients[...] = self.point.gradient
        trainer.stop_training |= bool(optimizer.stopped)
        return rows

    def _function(self) -> tuple[Any, ...]:
        """What is minimized, apart from the data and the layers' state."""
        trainer = self.trainer
        return id(trainer.loss), id(trainer.regularizer), id(trainer.clip), trainer.spec.key

    def _has_moved(self) -> bool:
        """Whether a callback has changed parameters, or statistics of frozen layers, which the objective then takes over."""
        model, trial = self.trainer.model, self.objective.f.model
        assert self.point is not None
        same = np.array_equal(trial.state, model.state)
        trial.state[...] = model.state
        return not (same and np.array_equal(self.point.theta, model.parameters))

    def _with_metrics(self, row: Row) -> Row:
        """The row with metrics and penalty after the loss; the second Ctrl-C leaves the metrics out, as they may take long."""
        trainer, columns = self.trainer, {"loss": row["loss"]}
        if len(trainer.columns) > 1:
            measured = trainer._evaluate(self.data, stop=self.objective.interrupt.pressed_twice)
            columns |= (measured or dict.fromkeys(trainer.columns, math.nan)) | columns
        if trainer.regularizer is not None:
            columns["penalty"] = trainer.regularizer.value(trainer.model)
        return columns | row

    def close(self) -> None:
        """Release the resources of the optimizer."""
        self.optimizer.close()


def _check_deterministic(model: models.Sequential, X: Array, optimizer: FullBatchOptimizer) -> None:
    """Raise for noise and batch statistics: the loss would not be one function of θ, or not that of the trained network."""
    state = model.state.copy()
    training, inference = model.activations(X, training=True), model.activations(X)
    model.state[...] = state
    for name, values in training.items():
        if not np.array_equal(values, inference[name], equal_nan=True):
            raise ValueError(
                f"layer {name!r} differs between training and inference, as dropout, noise or batch statistics do; "
                f"{type(optimizer).__name__} needs a loss that is one function of the parameters. Train without "
                "this layer, or take a first-order optimizer such as nn.Adam()"
            )
