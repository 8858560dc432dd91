"""One call of ``fit``: what it trains on, and how its epochs follow each other."""

from __future__ import annotations

import functools
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncore._messages import shown
from nncore._utils.arrays import read_only
from nncore._utils.checks import check_column_names
from nncore._utils.hints import warn
from nncore._utils.interrupt import Interrupt
from nncore.callbacks.callback_list import CallbackList
from nncore.data.augmentation import Augment
from nncore.data.example_weights import class_labels, class_weights
from nncore.data.sparse import SparseRows
from nncore.data.splits import train_validation_split
from nncore.layers import Dense
from nncore.samplers import Sampler, Shuffled
from nncore.training.augmented import AugmentedRows
from nncore.training.base import BaseTrainer
from nncore.training.dataset import Dataset
from nncore.training.loop import Epochs, Loop
from nncore.training.progress import Progress

__all__ = ["FitCall", "FitData", "fit_data"]

Array = NDArray[Any]

WIDE, SPARSE = 1000, 0.05  # from this width on and below this share of numbers, a sparse layer is faster


@dataclass(frozen=True)
class FitData:
    """What a call of ``fit`` trains on, and what it evaluates."""

    train: Dataset
    measured: Dataset  # the same examples without class weights, which are for training only
    validation: Dataset | None
    sampler: Sampler
    labels: Array | None  # (n,) of the training examples, where class weights or the sampler need them


def fit_data(
    trainer: BaseTrainer, X: Any, y: Any, *, sampler: Sampler, sample_weight: Any, class_weight: Any,
    validation_data: tuple[Any, ...] | None, validation_split: float, augment: Augment | None = None,
) -> FitData:  # fmt: skip
    """The arguments of ``fit``, checked."""
    train = trainer._data(X, y, sample_weight)
    _hint_at_sparse_layer(trainer, train)
    if augment is not None:
        train = replace(train, augmented=_augmented(trainer, train, augment, X))
    validation = _validation(trainer, validation_data, train)
    labels = None
    if class_weight is not None or sampler.uses_labels:
        labels = class_labels(y, "class_weight" if class_weight is not None else f"sampler {shown(sampler)}")
    if validation_split:
        if validation is not None:
            raise ValueError("validation_split and validation_data exclude each other, got both")
        if rows := trainer.model.batch_rows:
            raise ValueError(
                f"validation_split must be 0 for a model that carries states over from batch to batch (stateful={rows}), got "
                f"{validation_split}: without rows taken at random the others would not follow on each other; pass "
                "validation_data"
            )
        kept, held_back = _split(train, validation_split, trainer.seed)
        if type(sampler) is not Shuffled:  # others may go by the order of the data
            kept = np.sort(kept)
        sampler, labels = sampler.take(read_only(kept), len(train)), None if labels is None else labels[kept]
        train, validation = train.take(kept), train.take(held_back)
    weighted = train
    if class_weight is not None and labels is not None:
        given = None if train.weights is None else train.of_examples(train.weights)
        weighted = train.weighted(class_weights(class_weight, labels, trainer._width, given))
        assert weighted.weights is not None
        if not (np.isfinite(weighted.weights).all() and np.any(weighted.of_examples(weighted.weights))):
            raise ValueError(
                "class_weight times sample_weight must be finite, with a positive number, got infinity or zeros only"
            )
    return FitData(weighted, train, validation, sampler, labels)


def _augmented(trainer: BaseTrainer, train: Dataset, augment: Augment, X: Any) -> AugmentedRows:
    if not isinstance(augment, Augment):
        raise TypeError(f"augment must be None or an nn.data.Augment, got {shown(augment)}")
    if trainer.optimizer.full_batch_only:
        raise ValueError(
            f"augment must be None with {trainer.optimizer.title}, for which the loss must stay the same function of the "
            f"parameters, got {shown(augment)}: take an optimizer for mini-batches, such as nn.Adam()"
        )
    if train.sparse:
        raise TypeError(
            "augment must be None for sparse inputs, whose zeros it would change: take X.toarray(), and Dense for SparseDense"
        )
    return AugmentedRows(augment, trainer.model, X)


def _hint_at_sparse_layer(trainer: BaseTrainer, data: Dataset) -> None:
    first, rows = trainer.model.layers[0], data.rows
    if not isinstance(rows, SparseRows) or type(first) is not Dense or rows.width < WIDE:
        return
    density = float(rows.starts[-1] - rows.starts[0]) / (len(rows) * rows.width)
    if density < SPARSE:
        warn(
            f"X has numbers in {density:.2%} of its places, and {first.name} computes with all of them: with "
            f"SparseDense({first.units}) as the first layer, training takes the time of the numbers only"
        )


def _validation(trainer: BaseTrainer, data: tuple[Any, ...] | None, trained: Dataset) -> Dataset | None:
    if data is None:
        return None
    if not isinstance(data, (tuple, list)) or len(data) not in (2, 3):
        raise ValueError(f"validation_data must be a pair (X, y) or (X, y, sample_weight), got {type(data).__name__}")
    X, y, *weights = data
    for values, names, argument in zip((X, y), trained.names, "Xy", strict=True):
        check_column_names(values, names, f"{argument} of validation_data")
    return trainer._data(X, y, *weights, suffix=" of validation_data", known=trained.targets[0].levels)


def _split(data: Dataset, fraction: float, seed: int) -> tuple[Array, Array]:
    """Numbers of the training and of the validation examples, in shares of each class where there are classes."""
    y = data.targets[0]
    train, held_back = train_validation_split(data.rows, y.array, fraction, seed=seed, stratify=y.single_class)
    for rows, what in ((train, "trained on"), (held_back, "held back")):
        if data.weights is not None and not data.weights[rows].any():
            raise ValueError(
                f"sample_weight must have a positive number among the {len(rows)} rows that validation_split leaves to be "
                f"{what}, got zeros only: take a larger share, or validation_data"
            )
    return train, held_back


class FitCall:
    """Epochs of a loop, with evaluations, callbacks and progress between them."""

    def __init__(
        self, trainer: BaseTrainer, data: FitData, loop: Loop, callbacks: CallbackList, progress: Progress, exact_loss: bool
    ) -> None:
        self.trainer, self.data, self.loop, self.callbacks, self.progress = trainer, data, loop, callbacks, progress
        self.evaluated = {"": data.measured} if exact_loss else {}  # by the prefix of their columns
        if data.validation is not None:
            self.evaluated["val_"] = data.validation
        for prefix, measured in self.evaluated.items():
            trainer._evaluation_rows(len(measured), prefix)
        self.each_epoch = bool(self.evaluated) or progress.verbose == 2 or callbacks.every_epoch
        callbacks.check_columns([*loop.columns, *(name for prefix in self.evaluated for name in trainer.row_columns(prefix))])

    def run(self, epochs: int) -> None:
        """Train, and raise what ended it, after the callbacks have seen the end."""
        trainer, self.first = self.trainer, self.trainer.epochs_done
        self.last = self.first + epochs
        waiting, failure = trainer._callback_states, None
        self.callbacks.load_states(waiting)
        trainer._callbacks, trainer._callback_states = self.callbacks.callbacks, []
        vars(trainer).update(stop_training=False, interrupted=False)
        with Interrupt() as interrupt:
            try:
                self.callbacks.train_begin(trainer)
                trainer._remember(self.data.train)
                with self.progress, closing(self.loop):
                    self._run_epochs(interrupt)
            except BaseException as error:
                failure = error
                if self.callbacks.begun < len(self.callbacks.callbacks):
                    trainer._callback_states = waiting  # nothing was trained: they wait for the next call
            vars(trainer)["interrupted"] = interrupt.pressed()
            if trainer.interrupted:
                self.progress.tell(
                    f"interrupted after {trainer.epochs_done} of {self.last} epochs; fit again to continue, or press Ctrl-C "
                    "again at once to leave the program"
                )
            self.callbacks.train_end(trainer, failure or self.loop.failure)

    def _run_epochs(self, interrupt: Interrupt) -> None:
        """One at a time if something must be done after each; else as many as a portion of steps holds."""
        trainer, loop = self.trainer, self.loop
        while trainer.epochs_done < self.last and not self._ends(interrupt):
            if self.each_epoch:
                self.callbacks.epoch_begin(trainer, trainer.epochs_done + 1)
            within = functools.partial(self.progress.update, trainer.epochs_done + 1 - self.first)
            row: dict[str, float] = {}
            complete = False
            with trainer._next_epoch(), trainer._epoch:
                done = loop.run_epochs(1 if self.each_epoch else self.last - trainer.epochs_done, interrupt, within)
                if self.each_epoch and done.number:
                    row, complete = self._end_epoch(done, interrupt)
                elif done.number:
                    self._end_epochs(done)
            if complete:
                self.callbacks.epoch_end(trainer, trainer.epochs_done, row)
            if row:
                self.progress.update(trainer.epochs_done - self.first, 1.0, row)

    def _ends(self, interrupt: Interrupt) -> bool:
        """Whether there is no next epoch."""
        return bool(self.trainer.stop_training or interrupt.pressed() or self.loop.failure)

    def _evaluate(self, data: Dataset, interrupt: Interrupt) -> dict[str, float]:
        """The row of an evaluation; nothing if Ctrl-C has ended it."""
        return self.trainer._evaluate(data, stop=interrupt.pressed)

    def _end_epoch(self, done: Epochs, interrupt: Interrupt) -> tuple[dict[str, float], bool]:
        """Evaluate and count an epoch: its row, and whether that is complete. Ctrl-C leaves out an evaluation."""
        trainer, row = self.trainer, {name: float(values[0]) for name, values in done.means.items()}
        complete = True
        for prefix, data in self.evaluated.items():
            evaluation = self._evaluate(data, interrupt)
            row |= {f"{prefix}{name}": value for name, value in evaluation.items()}
            complete &= bool(evaluation)
        row |= {name: float(values[0]) for name, values in done.notes.items()}
        trainer._count_epochs(1, {name: [value] for name, value in row.items()})
        return row, complete

    def _end_epochs(self, done: Epochs) -> None:
        """Several epochs, after which there is nothing to do but to keep and show their rows."""
        columns, before = done.means | done.notes, self.trainer.epochs_done - self.first
        self.trainer._count_epochs(done.number, columns)
        for epoch in range(done.number if self.progress.verbose else 0):
            row = {name: float(values[epoch]) for name, values in columns.items()}
            self.progress.update(before + epoch + 1, 1.0, row)
