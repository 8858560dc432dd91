"""What a trainer compiles: a training step and an evaluation, and the data they are bound to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nncore.data.sparse import Rows, SparseRows
from nncore.losses import Targets
from nncore.metrics import LossMetric
from nncore.pace import Pace
from nncore.recording import Recording
from nncore.tape import Compiled, Op, Tape, parameter_stages, stages

if TYPE_CHECKING:
    from nncore.training import Training

__all__ = ["Dataset", "StepProgram", "coefficients", "evaluation_program", "training_program"]

Array = NDArray[Any]
Int64 = NDArray[np.int64]

UPDATE_COST = 30.0  # updating a parameter takes as long as so many multiply-adds of its gradient
PENALTY_COST = 10.0


@dataclass
class Dataset:
    """Checked inputs (n, width), and targets in the form of the loss and of each metric that has its own.

    Some of the examples are a choice of rows of the same arrays, which stay where they are: a memory-mapped file on disk.
    """

    rows: Rows
    targets: list[Targets]
    weights: Array | None = None  # (n,) float64: factors of the examples' losses
    chosen: Int64 | None = None  # the row of each example; None: every row is one

    def __len__(self) -> int:
        return len(self.rows) if self.chosen is None else len(self.chosen)

    @property
    def kinds(self) -> tuple[Any, ...]:
        """Which ops read inputs and targets, and their thresholds: programs are compiled for these."""
        optional = ["sparse"] * self.sparse + ["weighted"] * (self.weights is not None)
        return (*((targets.kind, targets.thresholds) for targets in self.targets), *optional)

    @property
    def sparse(self) -> bool:
        """Are the inputs?"""
        return isinstance(self.rows, SparseRows)

    def take(self, chosen: Array) -> Dataset:
        """Some of the examples, by their numbers; nothing is copied."""
        return replace(self, chosen=self.row_numbers(np.ascontiguousarray(chosen, dtype=np.int64)[None])[0])

    def weighted(self, factors: Array) -> Dataset:
        """The same examples, each with another factor on its loss."""
        if self.chosen is not None:
            factors, given = np.zeros(len(self.rows)), factors
            factors[self.chosen] = given
        with np.errstate(over="ignore"):  # whoever multiplies weights of the user looks at the product
            return replace(self, weights=factors if self.weights is None else factors * self.weights)

    def row_numbers(self, order: Int64) -> Int64:
        """The rows of examples (epochs, places), given by their numbers."""
        return order if self.chosen is None else self.chosen[order]

    def of_examples(self, array: Any) -> Any:
        """What of an array with an entry for each row belongs to the examples: itself, or a copy of some entries."""
        return array if self.chosen is None else array[self.chosen]


@dataclass
class StepProgram:
    """A program over batches, and the ops that take its data in."""

    recording: Recording
    compiled: Compiled
    gathers: list[Op]  # of the loss's targets, of the metrics', of the weights
    pace: Pace

    def run(self, data: Dataset, **run: Any) -> tuple[int, Array]:
        """Run steps on this data: see ``Compiled.run``."""
        arrays = [*[targets.array for targets in data.targets], *([] if data.weights is None else [data.weights])]
        bind = self.recording.bind(data.rows) + [(op, 1, array) for op, array in zip(self.gathers, arrays, strict=True)]
        return self.compiled.run(bind, examples=len(data), **run)


def _loss_ops(trainer: Training, recording: Recording, data: Dataset) -> tuple[list[Op], list[Op], list[Array]]:
    """Gathering of targets; metrics and, last, the loss; the per-example columns that they write, the loss first."""
    tape, output = recording.tape, recording.output
    weight = None if data.weights is None else np.zeros(tape.capacity)
    gather, loss_op, losses = trainer.loss.emit(tape, output, data.targets[0], weight)
    gathers, ops, records = [gather], [], [losses]
    own_targets = iter(data.targets[1:])
    for metric in trainer.metrics:
        if isinstance(metric, LossMetric):
            metric_gather, op, record = metric.emit_own(tape, output, next(own_targets))
            gathers.append(metric_gather)
        else:
            op, record = metric.emit(tape, output, gather.arrays[0], data.targets[0])
        ops.append(op)
        records.append(record)
    if weight is not None:
        gathers.append(Op("rows", "gather_weights", (weight, None)))
    if tape.activity_penalty is not None:
        records.append(tape.activity_penalty)
    return gathers, [*ops, loss_op], records


def evaluation_program(trainer: Training, capacity: int, data: Dataset) -> StepProgram:
    """Gather, forward in inference mode, metrics and loss."""
    recording = Recording(trainer.model, capacity, training=False, gradients=False, fused=True, sparse=data.sparse)
    gathers, ops, records = _loss_ops(trainer, recording, data)
    step = stages([recording.gather, *gathers, *recording.tape.forward, *ops])
    compiled = Compiled(recording.tape, step, before=recording.prepare(), records=records)
    return StepProgram(recording, compiled, gathers, Pace(recording.tape.parallel))


def training_program(trainer: Training, capacity: int, data: Dataset) -> StepProgram:
    """Gather, forward, loss, δ chain; then, tile by tile of θ, its gradient, penalty, clipping, update."""
    columns = coefficients(trainer, 1, 1).shape[1]
    recording = Recording(
        trainer.model, capacity, training=True, gradients=True, fused=True, tracking=True, optimizer_columns=columns,
        sparse=data.sparse,
    )  # fmt: skip
    tape, model, optimizer = recording.tape, trainer.model, trainer.optimizer
    gathers, ops, records = _loss_ops(trainer, recording, data)
    table = np.array([tile for op in tape.parameter_gradients for tile in op.tiles], dtype=np.int64).reshape(-1, 4)
    penalty, shrink, partials = _penalty_ops(trainer, table)
    clip = trainer.clip.ops(model.gradients, table, _first_tiles(tape)) if trainer.clip else None
    axis, tiles = "tiles", table
    if not tape.parallel:  # one thread: no reason to cut θ into tiles
        axis, tiles = "whole", np.array([[0, 1, model.parameters.size, model.parameters.size]])
    own = optimizer.ops(model.parameters, model.gradients, tiles)
    for op in own.all:
        op.axis, op.cost = axis, _cost(UPDATE_COST, tiles)

    def moving_ops(kernel: str | None) -> list[Op]:
        arrays = optimizer.arrays(model.parameters, model.gradients, tiles)
        return [Op(axis, kernel, arrays, cost=_cost(UPDATE_COST, tiles))] if kernel else []

    step = stages([recording.gather, *gathers, *tape.forward, *ops, *tape.backward])
    everywhere = [*penalty, *(clip.ops if clip else []), *own.update, *shrink, *own.after]
    commits = len(step)
    step += parameter_stages(tape.parameter_gradients, everywhere, tape.followers)
    enter, leave = stages(moving_ops(optimizer.enter)), stages(moving_ops(optimizer.leave))
    before = enter + recording.prepare()
    notes = [clip.squares, clip.acted, clip.large_norm] if clip else []
    compiled = Compiled(
        tape,
        step,
        before=before,
        after=leave,
        commits=commits,
        records=records,
        partials=partials,
        notes=notes,
        stops=True,
        exclusive=model.gradients_in_use,
    )
    return StepProgram(recording, compiled, gathers, Pace(recording.tape.parallel))


def coefficients(trainer: Training, steps: int, steps_per_epoch: int) -> Array:
    """The numbers of the next `steps` steps, a row each: the optimizer's, and last the learning rate if `shrink` needs it."""
    optimizer, table = trainer.optimizer, trainer.optimizer.coefficients(steps, steps_per_epoch)
    if trainer.regularizer and trainer.regularizer.proximal:
        table = np.column_stack((table, optimizer.hyper_values(steps, steps_per_epoch)["lr"]))
    return table


def _penalty_ops(trainer: Training, table: Array) -> tuple[list[Op], list[Op], Array | None]:
    """The op that adds the penalty's gradient, the one that shrinks θ, and where the penalty of each tile is left."""
    regularizer, model, optimizer = trainer.regularizer, trainer.model, trainer.optimizer
    if not regularizer:
        return [], [], None
    strengths, proximal, partials = np.zeros((len(table), 2)), np.zeros(len(table)), np.zeros(len(table))
    for parameter, _, part in regularizer.parts(model):
        own = (parameter.offset <= table[:, 0]) & (table[:, 0] < parameter.offset + parameter.size)
        strengths[own], proximal[own] = (part.l1, part.l2), part.proximal
    arrays = (model.gradients, model.parameters, partials, strengths, proximal, table)
    penalty = [Op("tiles", "penalty", arrays, cost=_cost(PENALTY_COST, table))]
    if not regularizer.proximal:
        return penalty, [], partials
    iterate, lr_column = optimizer.iterate(model.parameters), optimizer.coefficients(1).shape[1]
    v, column = optimizer.lookahead() or (None, 0)
    moved = (iterate, None if v is None else model.parameters, proximal, v, table)
    return penalty, [Op("tiles", "shrink", moved, (lr_column, column), cost=_cost(PENALTY_COST, table))], partials


def _first_tiles(tape: Tape) -> list[int]:
    """The first tile of each parameter array, and last the number of tiles."""
    firsts: list[int] = np.cumsum([0] + [len(op.tiles) for op in tape.parameter_gradients]).tolist()
    return firsts


def _cost(each: float, table: Array) -> Sequence[float]:
    cost: list[float] = (each * table[:, 1] * table[:, 2]).tolist()
    return cost
