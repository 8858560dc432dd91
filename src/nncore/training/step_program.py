"""What a trainer compiles: a training step and an evaluation, and the data they are bound to."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncore import constraints
from nncore._utils.arrays import aligned_zeros
from nncore.distributed.ranks import Shares
from nncore.model import Sequential
from nncore.program.autotune import Autotuner
from nncore.program.compiled import Compiled
from nncore.program.ops import Op
from nncore.program.recording import ModelTape
from nncore.program.stages import parameter_stages, stages
from nncore.regularizers import Regularizer
from nncore.training.array_groups import check_factors
from nncore.training.coming import ComingSteps
from nncore.training.dataset import Dataset
from nncore.training.exchange import Exchange
from nncore.training.lazy_steps import Rest, idle_step, lazy_ops
from nncore.training.metrics import LossMetric
from nncore.training.spec import TrainingSpec

__all__ = ["StepProgram", "TrainingProgram", "evaluation_program", "training_program"]

Array = NDArray[Any]
Int64 = NDArray[np.int64]

PROJECTED = 4096  # weights that a work item of a projection has at least
UPDATE_COST = 30.0  # updating a parameter takes as long as this many multiply-adds of its gradient
PENALTY_COST = 10.0
TOUCHED = 1000  # rows of a list of those with a gradient: how many it has is not known when a program is compiled


@dataclass(eq=False)
class StepProgram:
    """A program over batches, and the ops that take its data in."""

    recording: ModelTape
    compiled: Compiled
    gathers: list[Op]  # of the loss's targets, of the metrics', of the weights

    def binds(self, data: Dataset) -> list[tuple[Op, int, Array]]:
        """The arrays of this data in the slots of the ops that read them."""
        bind = self.compiled.bind(data.rows)
        bind += [(self.gathers[number], 1, targets.array) for number, targets in enumerate(data.targets)]
        if data.weights is not None:
            bind.append((self.gathers[-1], 1, data.weights))
        return bind

    def run(self, data: Dataset, *, examples: int = 0, **run: Any) -> tuple[int, Array]:
        """Run steps on this data, of which an epoch takes ``examples``, by default all: see ``Compiled.run``."""
        return self.compiled.run(self.binds(data), examples=examples or len(data), **run)


@dataclass(eq=False)
class TrainingProgram(StepProgram):
    """A program of training steps."""

    coming: ComingSteps
    tuner: Autotuner
    rest: Rest | None  # of weights of sparse data, where some are caught up later
    late: Regularizer | None  # whose value is known only when all weights are caught up: at the end of an epoch
    exchange: Exchange | None  # with other ranks


def _loss_ops(spec: TrainingSpec, recording: ModelTape, data: Dataset) -> tuple[list[Op], list[Op], list[Array]]:
    """Gathering of targets; metrics and, last, the loss; the per-example columns that they write, the loss first."""
    tape, output = recording.tape, recording.output
    weight = tape.example_weights
    gather, loss_op, losses = spec.loss.emit(tape, output, data.targets[0], weight)
    gathers, ops, records = [gather], [], [losses]
    own_targets = iter(data.targets[1:])
    for metric in spec.metrics:
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


def evaluation_program(spec: TrainingSpec, capacity: int, data: Dataset) -> StepProgram:
    """Gather, forward in inference mode, metrics and loss."""
    recording = ModelTape.forward(spec.model, capacity, sparse=data.sparse, weighted=data.weights is not None)
    gathers, ops, records = _loss_ops(spec, recording, data)
    step = stages([recording.gather, *gathers, *recording.tape.forward, *ops])
    compiled = Compiled(recording.tape, step, before=recording.prepare(), records=records)
    return StepProgram(recording, compiled, gathers)


def training_program(
    spec: TrainingSpec, capacity: int, data: Dataset, part_rows: int = 0, shares: Shares | None = None
) -> TrainingProgram:
    """Gather, forward, loss, δ chain; then, tile by tile of θ, its gradient, penalty, clipping, update.

    ``part_rows``: rows of a batch that are computed together, 0: all. The gradients of the parts add up to that of the batch.
    ``shares``: which of the parts this rank computes, if there may be several; other ranks compute the others.
    """
    model, optimizer, regularizer = spec.model, spec.gradient_optimizer, spec.regularizer

    def columns() -> int:
        return int(optimizer.checked_coefficients(1).shape[1]) + bool(regularizer and regularizer.proximal)

    idle = idle_step(spec, capacity, part_rows)
    recording = ModelTape.training(
        model, capacity, optimizer_columns=columns, sparse=data.sparse, touched_only=idle is not None,
        weighted=data.weights is not None,
    )  # fmt: skip
    tape, groups = recording.tape, spec.groups
    check_factors(optimizer, groups)
    gathers, ops, records = _loss_ops(spec, recording, data)
    coming = ComingSteps(optimizer, regularizer, tape, groups.factors)

    def with_coefficients(tiles: Int64) -> Int64:
        """The tile table (tiles.h) of tiles (offset, rows, columns, row stride)."""
        return np.concatenate((tiles, coming.places[groups.of_tiles(tiles), np.newaxis]), axis=1)

    place = int(coming.places[groups.numbers[0]])
    lazy = lazy_ops(tape, idle, spec, place, columns() - 1 if idle and idle.proximal else 0)
    tracks = [op for op in tape.parameter_gradients if shares and op.tracks]  # every rank does it for all parts
    gradients = [op for op in tape.parameter_gradients if op not in tracks]
    of_gradients = np.array([tile for op in gradients for tile in op.tiles], dtype=np.int64).reshape(-1, 4)
    table = with_coefficients(of_gradients)
    penalty, shrink, partials = _penalty_ops(spec, table)
    clip = spec.clip.ops(model.gradients, table, _first_tiles(gradients)) if spec.clip else None
    axis, tiles = "tiles", table
    if not (tape.parallel or idle):  # one thread: no reason to cut θ into tiles
        axis, tiles = "serial", with_coefficients(groups.stretches())
    own = optimizer.checked_ops(model.parameters, model.gradients, tiles)
    if (moving := groups.moving(tiles)) is not tiles:  # averages are those of all arrays
        own = own._replace(update=optimizer.checked_ops(model.parameters, model.gradients, moving).update)
    for op in own.all:
        op.axis, op.cost = axis, _cost(UPDATE_COST, tiles)

    def moving_ops(kernel: str | None) -> list[Op]:
        if kernel is None:
            return []
        op = optimizer.switch(kernel, model.parameters, model.gradients, tiles)
        op.axis, op.cost = axis, _cost(UPDATE_COST, tiles)
        return [op]

    step = stages([recording.gather, *(lazy.before if lazy else ()), *gathers, *tape.forward, *ops, *tape.backward])
    accumulation = [_accumulation(model, table)] if part_rows and not shares else []
    exchange = Exchange(model, tape, table, part_rows, shares, len(records), tracks) if shares else None
    everywhere = [
        *accumulation,
        *(exchange.ops if exchange else []),
        *penalty,
        *(clip.ops if clip else []),
        *own.update,
        *shrink,
        *_projections(spec),
        *own.after,
    ]
    commits = len(step)
    step += stages(optimizer.network_ops(model)) + parameter_stages(gradients, everywhere)
    enter, leave = stages(moving_ops(optimizer.enter)), stages([*moving_ops(optimizer.leave), *tape.settle])
    before, rest = enter + recording.prepare(), None
    if lazy:
        before, step = before + stages(lazy.begin), step + stages(lazy.after)
        rest = Rest(tape, lazy)
    notes = [clip.squares, clip.acted, clip.large_norm] if clip else []
    compiled = Compiled(
        tape, step, before=before, after=leave, commits=commits, records=records, partials=partials, notes=notes,
        stops=not exchange, part_rows=part_rows, exclusive=model.gradients_in_use, state=model.state,
        first_part=exchange.first if exchange else 0, part_sums=exchange.part_sums if exchange else None,
    )  # fmt: skip
    late = regularizer if idle and idle.penalized else None
    return TrainingProgram(recording, compiled, gathers, coming, Autotuner(tape.parallel), rest, late, exchange)


def _accumulation(model: Sequential, table: Int64) -> Op:
    arrays = aligned_zeros(model.parameters.size, model.dtype), model.gradients, table
    return Op("tiles", "accumulate", arrays, cost=_cost(PENALTY_COST, table), of_parts=True)


def _penalty_ops(spec: TrainingSpec, table: Array) -> tuple[list[Op], list[Op], Array | None]:
    """The op that adds the penalty's gradient, the one that shrinks θ, and where the penalty of each tile is left."""
    regularizer, model, optimizer = spec.regularizer, spec.model, spec.gradient_optimizer
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
    iterate, v, column = optimizer.points(model.parameters)
    moved = (iterate, None if v is None else model.parameters, proximal, v, spec.groups.moving(table))
    lr_column = optimizer.checked_coefficients(1).shape[1]  # follows the optimizer's
    return penalty, [Op("tiles", "shrink", moved, (lr_column, column), cost=_cost(PENALTY_COST, table))], partials


def _projections(spec: TrainingSpec) -> list[Op]:
    """The ops that project the arrays with a constraint onto it, a unit's weights (a row) at a time."""
    model, optimizer, ops = spec.model, spec.gradient_optimizer, []
    iterate, v, column = optimizer.points(model.parameters)
    moved = iterate, None if v is None else model.parameters, v
    for named, part in constraints.parts(spec.constraint, model):
        if spec.groups.frozen(np.array([[named.parameter.offset]])).any():
            continue
        units, inputs = math.prod(named.parameter.shape[:-1]), named.parameter.shape[-1]
        first = np.arange(0, units, rows := max(1, PROJECTED // inputs))
        at, count, width = named.parameter.offset + first * inputs, np.minimum(rows, units - first), np.full_like(first, inputs)
        table = np.column_stack((at, count, width, width, np.zeros_like(first)))
        ops.append(Op("units", part.kernel, (*moved, table), (column,), part.bounds, cost=_cost(PENALTY_COST, table)))
    return ops


def _first_tiles(gradients: Sequence[Op]) -> list[int]:
    """The first tile of each parameter array, and last the number of tiles."""
    firsts: list[int] = np.cumsum([0] + [len(op.tiles) for op in gradients]).tolist()
    return firsts


def _cost(each: float, table: Array) -> Sequence[float]:
    rows = np.where(table[:, 1] < 0, TOUCHED, table[:, 1])
    cost: list[float] = (each * rows * table[:, 2]).tolist()
    return cost
