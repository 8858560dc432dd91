"""What a trainer compiles: a training step and an evaluation, and the data they are bound to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nncore.losses import Targets
from nncore.metrics import LossMetric
from nncore.model import Recording
from nncore.pace import Pace
from nncore.tape import Compiled, Op, Tape, parameter_stages, stages

if TYPE_CHECKING:
    from nncore.trainer import Trainer

__all__ = ["Dataset", "StepProgram", "evaluation_program", "training_program"]

Array = NDArray[Any]

UPDATE_COST = 50.0  # updating a parameter takes as long as so many multiply-adds of its gradient
PENALTY_COST = 10.0


@dataclass
class Dataset:
    """Checked inputs (n, width), and targets in the form of the loss and of each metric that has its own."""

    rows: Array
    targets: list[Targets]

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def kinds(self) -> tuple[str, ...]:
        """Which ops read the targets: programs are compiled for these."""
        return tuple(targets.kind for targets in self.targets)

    def take(self, chosen: Array) -> Dataset:
        """Some of the examples."""
        return Dataset(self.rows[chosen], [targets.take(chosen) for targets in self.targets])


@dataclass
class StepProgram:
    """A program over batches, and the ops that take its data in."""

    recording: Recording
    compiled: Compiled
    gathers: list[Op]  # of the inputs, of the loss's targets, of the metrics'
    pace: Pace

    def run(self, data: Dataset, **run: Any) -> tuple[int, Array]:
        """Run steps on this data: see ``Compiled.run``."""
        arrays = [data.rows, *[targets.array for targets in data.targets]]
        bind = [(op, 1, array) for op, array in zip(self.gathers, arrays, strict=True)]
        return self.compiled.run(bind, examples=len(data), **run)


def _loss_ops(trainer: Trainer, recording: Recording, data: Dataset) -> tuple[list[Op], list[Op], list[Array]]:
    """Gathering of targets; metrics and, last, the loss; the per-example columns that they write, the loss first."""
    tape, output = recording.tape, recording.output
    gather, loss_op, losses = trainer.loss.emit(tape, output, data.targets[0])
    gathers, ops, records = [gather], [], [losses]
    own_targets = iter(data.targets[1:])
    for metric in trainer.metrics:
        if isinstance(metric, LossMetric):
            metric_gather, op, record = metric.emit_own(tape, output, next(own_targets))
            gathers.append(metric_gather)
        else:
            op, record = metric.emit(tape, output, gather.arrays[0], data.targets[0], trainer.loss)
        ops.append(op)
        records.append(record)
    return gathers, [*ops, loss_op], records


def evaluation_program(trainer: Trainer, capacity: int, data: Dataset) -> StepProgram:
    """Gather, forward in inference mode, metrics and loss."""
    recording = Recording(trainer.model, capacity, training=False, gradients=False, fused=True)
    gathers, ops, records = _loss_ops(trainer, recording, data)
    step = stages([recording.gather, *gathers, *recording.tape.forward, *ops])
    compiled = Compiled(recording.tape, step, before=recording.prepare(), records=records)
    return StepProgram(recording, compiled, [recording.gather, *gathers], Pace(recording.tape.parallel))


def training_program(trainer: Trainer, capacity: int, data: Dataset) -> StepProgram:
    """Gather, forward, loss, δ chain; then, tile by tile of θ, its gradient, penalty, clipping, update."""
    columns = trainer.optimizer.coefficients(1).shape[1]
    recording = Recording(
        trainer.model, capacity, training=True, gradients=True, fused=True, tracking=True, optimizer_columns=columns
    )
    tape, model, optimizer = recording.tape, trainer.model, trainer.optimizer
    gathers, ops, records = _loss_ops(trainer, recording, data)
    table = np.array([tile for op in tape.parameter_gradients for tile in op.tiles], dtype=np.int64).reshape(-1, 4)
    penalty, partials = _penalty_op(trainer, table)
    clip = trainer.clip.ops(model.gradients, table, _first_tiles(tape)) if trainer.clip else []
    arrays, cost = optimizer.arrays(model.parameters, model.gradients, table), _cost(UPDATE_COST, table)

    def optimizer_ops(kernel: str | None) -> list[Op]:
        return [Op("tiles", kernel, arrays, cost=cost)] if kernel else []

    step = stages([recording.gather, *gathers, *tape.forward, *ops, *tape.backward])
    everywhere = [*penalty, *clip, *optimizer_ops(f"{optimizer.kernel}_update")]
    step += parameter_stages(tape.parameter_gradients, everywhere, tape.followers)
    enter, leave = stages(optimizer_ops(optimizer.enter)), stages(optimizer_ops(optimizer.leave))
    before = enter + recording.prepare()
    compiled = Compiled(tape, step, before=before, after=leave, records=records, partials=partials)
    return StepProgram(recording, compiled, [recording.gather, *gathers], Pace(recording.tape.parallel))


def _penalty_op(trainer: Trainer, table: Array) -> tuple[list[Op], Array | None]:
    """The op that adds the penalty's gradient, and where it leaves the penalty of each tile."""
    if not trainer.regularizer:
        return [], None
    model = trainer.model
    regularized = np.zeros(model.parameters.size, dtype=bool)
    for layer in model.layers:
        for parameter in layer.parameters.values():
            regularized[parameter.offset : parameter.offset + parameter.size] = parameter.regularized
    strengths = np.outer(regularized[table[:, 0]], [trainer.regularizer.l1, trainer.regularizer.l2])
    partials = np.zeros(len(table))
    arrays = (model.gradients, model.parameters, partials, strengths, None, None, None, table)
    return [Op("tiles", "penalty", arrays, cost=_cost(PENALTY_COST, table))], partials


def _first_tiles(tape: Tape) -> list[int]:
    """The first tile of each parameter array, and last the number of tiles."""
    firsts: list[int] = np.cumsum([0] + [len(op.tiles) for op in tape.parameter_gradients]).tolist()
    return firsts


def _cost(each: float, table: Array) -> Sequence[float]:
    cost: list[float] = (each * table[:, 1] * table[:, 2]).tolist()
    return cost
