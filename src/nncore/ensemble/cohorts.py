"""Cohorts: members that are trained by the same compiled program on the same number of examples."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nncore import _kernels
from nncore._utils.arrays import Array
from nncore.ensemble.groups import Group, member_rows
from nncore.losses import LOSSES, Levels
from nncore.model import Sequential
from nncore.optimizers import GradientOptimizer
from nncore.program.lanes import Lanes, in_lanes
from nncore.samplers import Examples, Sampler, Shuffled, checked_factors, checked_orders
from nncore.training.base import BaseTrainer
from nncore.training.checkpoint import RESTORED
from nncore.training.coming import ComingSteps
from nncore.training.dataset import Dataset
from nncore.training.loop import TrainingLoop
from nncore.training.step_program import evaluation_program
from nncore.training.trainer import Trainer

__all__ = ["Cohort", "Coming", "Kind", "Round", "evaluate_members"]

Int64 = NDArray[np.int64]

ROW_LOSSES = {*LOSSES, "softmax_cross_entropy_labels"} - {"quantile"}  # which reads an array that is not one of rows
TURN = 64  # steps of a member after which it can be left, with its numbers put back


class Kind:
    """Members of a group whose training differs in nothing that is compiled: only in numbers of the optimizer.

    Attributes
    ----------
    rows : ndarray (members,)
        Of its members, in the arrays of the group.
    slots : dict of str to ndarray (members of the group, n)
        The arrays of the optimizer, shared by the kinds of the group.
    trainers : list of Trainer
        One for each thread, of models of their own: into these the numbers of the member at work are copied.
    """

    def __init__(self, group: Group, parts: dict[str, Any], slots: dict[str, Array]) -> None:
        self.group, self.parts, self.slots = group, parts, slots
        self.trainers = [self.trainer_of(parts)]
        self._others: dict[int, list[Trainer]] = {}  # by the number of examples, of members that have fewer or more
        self.numbers: list[int] = []
        if not isinstance(self.trainers[0].optimizer, GradientOptimizer):
            optimizer = self.trainers[0].optimizer
            raise ValueError(f"optimizer of an ensemble must take gradient steps, as nn.Adam() does, got {optimizer!r}")

    def trainer_of(self, parts: Mapping[str, Any]) -> Trainer:
        """A trainer of a model of its own with these parts."""
        return Trainer(self.group.template.copy(), **{name: copy.deepcopy(part) for name, part in parts.items()})

    def add(self, number: int, row: int, state: Mapping[str, Array]) -> None:
        """Add a member, whose optimizer has this first state."""
        self.numbers.append(number)
        for name, array in state.items():
            if name not in self.slots:
                self.slots[name] = member_rows(len(self.group.numbers), array.size, array.dtype)
            self.slots[name][row] = array

    def workers(self, count: int, examples: int | None = None) -> list[Trainer]:
        """So many trainers; others for members that have another number of examples, which may run at the same time."""
        trainers = self.trainers if examples is None else self._others.setdefault(examples, [])
        trainers += [self.trainer_of(self.parts) for _ in range(count - len(trainers))]
        return trainers[:count]

    def follow(self) -> None:
        """Take the scalers and the names of columns of the members, which other trainers may have changed."""
        attributes = {name: vars(self.group.template)[name] for name in RESTORED}
        for trainer in (*self.trainers, *(own for several in self._others.values() for own in several)):
            vars(trainer.model).update(attributes)

    def remember(self, data: Dataset, trainer: BaseTrainer) -> None:
        """As `BaseTrainer._remember`: the members are trained on this data, by ``trainer`` and others like it."""
        for own in {trainer, self.trainers[0]}:
            own._remember(data)
        self.group.assign({name: vars(trainer.model)[name] for name in ("_feature_names", "_target_names")})

    def restore(self, levels: Levels | None, model: Sequential) -> None:
        """Take what the targets say of classes, and the scalers and column names of a model."""
        self.group.assign({name: vars(model)[name] for name in RESTORED})
        self._others.clear()
        for trainer in self.trainers:
            vars(trainer)["_levels"] = levels
        self.follow()


class Coming(NamedTuple):
    """The next steps of members that have the same optimizer."""

    optimizer: GradientOptimizer
    coefficients: Array  # (steps, k)
    hyper: dict[str, Array]  # (epochs,) of the columns of the history that show hyper-parameters


class Round:
    """What one run of a cohort has come to.

    Attributes
    ----------
    numbers : the members.
    steps, failed : (members,) the steps that each completed, and whether the next one failed.
    columns : (members, epochs) of each column of the history.
    """

    def __init__(self, numbers: Int64, steps: Int64, failed: Any, columns: dict[str, Array], sums: Array) -> None:
        self.numbers, self.steps, self.failed, self.columns, self.sums = numbers, steps, failed, columns, sums

    @classmethod
    def none(cls, numbers: Int64) -> Round:
        """Of members that have not begun."""
        return cls(numbers, np.zeros_like(numbers), np.zeros(len(numbers), dtype=bool), {}, np.empty(0))


class Cohort:
    """Members that are trained by the same program on the same number of examples, in one call of ``fit``.

    Parameters
    ----------
    kind : Kind
    numbers : sequence of int
        The members.
    chosen : list of ndarray, or None
        The rows of the data that each is trained on.
    loops : list of TrainingLoop
        One for each thread.
    weights : list of ndarray (rows of the data,), or None
        Of the examples of each, if they have weights of their own.
    """

    def __init__(
        self, kind: Kind, numbers: Sequence[int], chosen: list[Int64] | None, examples: list[Examples], samplers: list[Sampler],
        loops: list[TrainingLoop], weights: list[Array] | None = None,
    ) -> None:  # fmt: skip
        self.kind, self.loops, self.examples, self.samplers = kind, loops, examples, samplers
        self.numbers = np.array(numbers)
        self.index = {number: place for place, number in enumerate(numbers)}
        rows = {number: row for row, number in enumerate(kind.group.numbers)}
        self.rows = np.array([rows[number] for number in numbers])
        self.chosen = chosen
        loop = loops[0]
        self.per_epoch, self.program, self.factors = loop.per_epoch, loop.program, loop.trainer.spec.groups.factors
        self.given = weights
        self.weights = None if weights is None else np.array(weights)  # (members, rows of the data): those at work
        if loop.reweights:
            self.weights = np.zeros((len(numbers), len(loop.data.rows)))
            if chosen is not None and any(len(np.unique(own)) < len(own) for own in chosen):
                raise ValueError(
                    f"{samplers[0]!r} weighs examples one by one and needs subsets in which a row occurs once, as nn.Bags("
                    "replace=False) draws them, got some that have a row twice"
                )
        self.ordered = self._ordered()
        self.lanes = self._in_lanes()
        self.group = self._member_group()

    # --- training

    def _member_group(self) -> Any:
        programs = [loop.program for loop in self.loops]
        rests = [(p.rest._compiled.program, p.rest._state) for p in programs if p.rest]
        places = programs[0].compiled.places([(programs[0].gathers[-1], 1)] if self.weights is not None else [])
        lanes = [(own.compiled.program, own.kept) for own in self.lanes]
        arrays = [self._arrays(loop) for loop in self.loops]
        return _kernels.MemberGroup([p.compiled.program for p in programs], arrays, rests=rests, places=places, lanes=lanes)

    def _arrays(self, loop: TrainingLoop) -> list[Array]:
        """Those into which the numbers of the member at work are copied."""
        return [*self.kind.group.arrays(loop.trainer.model), *loop.optimizer.state.values()]

    def _in_lanes(self) -> list[Lanes]:
        """The programs of all workers for as many members as a vector has lanes, if their steps have such a form."""
        loop, program = self.loops[0], self.program
        other = loop.clips or loop.part or loop.merge or loop.uses_losses or program.rest or loop.penalized
        if other or self.weights is not None or len(self.numbers) < _kernels.FEW_IN_LANES:
            return []
        found = [
            in_lanes(
                own.program.compiled, _kernels.lanes(own.trainer.model.dtype), own.program.recording.gather,
                self._arrays(own), own.trainer.model.gradients, _is_loss,
            )
            for own in self.loops
        ]  # fmt: skip
        return [lanes for lanes in found if lanes is not None]

    @property
    def one_epoch(self) -> bool:
        """Whether something must be done after each epoch."""
        return self.loops[0].uses_losses or self.program.late is not None

    def add(
        self, members: Any, group: int, active: Int64, epochs: int, first_epochs: Int64, coming: Sequence[Coming]
    ) -> Callable[[Int64, Any], Round]:
        """Add the ``active`` members, given by their places, to a run; returns what makes its result of steps and failures."""
        loop, kind = self.loops[0], self.kind
        positions = self._positions(active, epochs, first_epochs) if self.ordered else None
        orders = None if positions is None else self._row_numbers(active, positions)
        if loop.reweights:
            self._reweight(active)
        rows = self.rows[active]
        kept = kind.group.kept(rows) + [(kind.slots[name], rows) for name in loop.optimizer.state]
        shuffled = not self.ordered and type(self.samplers[0]) is Shuffled
        seeds = np.array([kind.group.seeds[row] for row in rows], dtype=np.uint64)
        order_seeds = np.array([self.examples[place].seed for place in active], dtype=np.uint64)
        sums, notes, losses = members.add(
            group, kept=kept, bound=[] if self.weights is None else [(self.weights, active)], binds=self._binds(),
            examples=np.full(len(active), loop.taken), seeds=seeds, orders=orders,
            order_seeds=order_seeds if shuffled else None,
            first_epochs=first_epochs, chosen=None if self.chosen is None else [self.chosen[place] for place in active],
            batch=loop.batch, merge=loop.merge, epochs=epochs, turn=max(1, TURN // self.per_epoch),
            keep_examples=loop.uses_losses,
            coefficients=[own.coefficients for own in coming],
            step_offsets=np.array([own.optimizer.step_count for own in coming]),
        )  # fmt: skip

        def result(done: Int64, failed: Any) -> Round:
            if loop.uses_losses:
                assert positions is not None
                self._keep_losses(active, positions, losses, done)
            if self.program.late:
                self._late_penalties(sums, active)
            return Round(self.numbers[active], done, failed, self._columns(sums, notes, coming, epochs), sums)

        return result

    def _binds(self) -> list[Any]:
        binds, rests = [], []
        for loop in self.loops:
            data, program = loop._weighted_data() if self.weights is None else loop.data, loop.program
            bind = program.binds(data)
            if self.weights is not None:
                bind.append((program.gathers[-1], 1, self.weights[0]))
            binds.append(program.compiled.numbered(bind))
            if program.rest:
                rests.append(program.rest._compiled.numbered(program.rest._compiled.bind(data.rows)))
        return binds + rests + [self._lane_binds(*pair) for pair in zip(self.loops, self.lanes, strict=False)]

    def _lane_binds(self, loop: TrainingLoop, lanes: Lanes) -> list[Any]:
        program, data = loop.program, loop._weighted_data()
        return lanes.compiled.numbered([(lanes.of[op], slot, array) for op, slot, array in program.binds(data)])

    def coming(self, optimizer: GradientOptimizer, epochs: int) -> Coming:
        """The next epochs of an optimizer's coefficients."""
        loop, steps = self.loops[0], epochs * self.per_epoch
        optimizer.begin_epoch()
        coming = ComingSteps(optimizer, loop.trainer.regularizer, self.program.recording.tape, self.factors)
        hyper = coming.take(steps, self.per_epoch)
        if len(hyper) < steps:  # a schedule becomes invalid: this says why
            coming._compute(steps, self.per_epoch)
        return Coming(optimizer, coming.known.rows[:steps], loop._hyper(hyper))

    def _ordered(self) -> bool:
        """Whether each epoch's order is made here, and not by the kernels."""
        loop, count = self.loops[0], self.examples[0].count
        plain = type(self.samplers[0]) is Shuffled or checked_orders(self.samplers[0], self.examples[0], count, 0, 1) is None
        return not plain or loop.taken < count

    def _positions(self, active: Int64, epochs: int, first_epochs: Int64) -> list[Int64]:
        """The examples in the order of each member's epochs: (epochs, taken) for each."""
        count, taken, positions = self.examples[0].count, self.loops[0].taken, []
        for place, first in zip(active, first_epochs, strict=True):
            order = checked_orders(self.samplers[place], self.examples[place], count, int(first), epochs)
            positions.append(np.tile(np.arange(taken), (epochs, 1)) if order is None else order[:, :taken])
        return positions

    def _row_numbers(self, active: Int64, positions: Sequence[Int64]) -> list[Int64]:
        """Which rows of the data they are."""
        rows = positions
        if self.chosen is not None:
            rows = [self.chosen[place][own] for place, own in zip(active, positions, strict=True)]
        return [np.ascontiguousarray(own, dtype=np.int64) for own in rows]

    def _reweight(self, active: Int64) -> None:
        assert self.weights is not None
        for place in active:
            given = self.loops[0].data.weights if self.given is None else self.given[place]
            factors = checked_factors(self.samplers[place], self.examples[place])
            rows = slice(None) if self.chosen is None else self.chosen[place]
            self.weights[place] = 0
            self.weights[place][rows] = factors if given is None else factors * given[rows]

    def _keep_losses(self, active: Int64, positions: Sequence[Int64], losses: Array, done: Int64) -> None:
        """Of a round of one epoch: the last loss of each example."""
        for place, order, own, steps in zip(active, positions, losses, done, strict=True):
            if steps == self.per_epoch:
                examples, taken, values = self.examples[place], order[0], own[: order.shape[1]]
                if self.weights is not None:
                    factors = checked_factors(self.samplers[place], examples)[taken]
                    taken, values = taken[factors > 0], values[factors > 0] / factors[factors > 0]
                examples.losses[taken] = values

    def _late_penalties(self, sums: Array, active: Int64) -> None:
        regularizer = self.program.late
        assert regularizer is not None
        for place, row in enumerate(self.rows[active]):
            sums[place, :, -1] = regularizer.value(self.kind.group.loaded(self.loops[0].trainer.model, row))

    def _columns(self, sums: Array, notes: Array, coming: Sequence[Coming], epochs: int) -> dict[str, Array]:
        """The columns (members, epochs) of the history."""
        loop, members = self.loops[0], len(sums)
        table = sums.reshape(members, epochs, self.per_epoch, sums.shape[2])
        means = np.einsum("mesc->mec", table) / loop.taken  # step by step, as table.sum(axis=2), in less time
        if loop.penalized:
            means[:, :, -1] = table[:, :, :, -1].mean(axis=2)
        columns = dict(loop.trainer.named(loop.means, np.moveaxis(means, 2, 0)))
        columns |= {name: np.array([own.hyper[name] for own in coming]) for name in coming[0].hyper}
        if loop.clips:
            norms = loop._norms(notes.reshape(-1, notes.shape[2]), members * epochs)
            columns |= {name: values.reshape(members, epochs) for name, values in norms.items()}
        return columns


def evaluate_members(
    trainers: Sequence[BaseTrainer],
    group: Group,
    members: Int64,
    data: Dataset,
    chosen: Sequence[Any] | None,
    threads: int,
    stop: Any,
) -> tuple[dict[str, Array], NDArray[np.bool_]]:
    """The columns (members,) of an evaluation of members, given by their rows in the arrays of the group.

    ``chosen``: the rows of the data of each, None: those of ``data``. Also which members ``stop`` has not left out: the values
    of others are NaN.
    """
    rows: list[Any] = [data.chosen] * len(members) if chosen is None else list(chosen)
    lengths = np.array([len(data) if own is None else len(own) for own in rows])
    capacities = np.array([trainers[0]._evaluation_rows(int(n)) for n in lengths])
    names = trainers[0].row_columns("")
    result, complete = {name: np.full(len(members), np.nan) for name in names}, np.zeros(len(members), dtype=bool)
    for capacity in np.unique(capacities).tolist():
        places = np.flatnonzero(capacities == capacity)
        programs = [trainer._program(evaluation_program, capacity, data) for trainer in trainers]
        arrays = [group.arrays(trainer.model) for trainer in trainers]
        run = _kernels.Members([_kernels.MemberGroup([p.compiled.program for p in programs], arrays)], len(places))
        sums, _, _ = run.add(
            0, kept=group.kept(members[places]), binds=[p.compiled.numbered(p.binds(data)) for p in programs], stores=False,
            examples=lengths[places], chosen=[rows[place] for place in places.tolist()], batch=capacity,
        )  # fmt: skip
        steps, _ = _kernels.run_members(run, threads, stop)
        for place, own, done in zip(places, sums, steps, strict=True):
            complete[place] = done == -(-lengths[place] // capacity)
            if complete[place]:
                means = own[:done].sum(axis=0) / lengths[place]
                if regularizer := trainers[0].regularizer:
                    means[-1] = regularizer.value(group.loaded(trainers[0].model, members[place]))
                for name, value in trainers[0].named(names, means.tolist()).items():
                    result[name][place] = value
    return result, complete


def _is_loss(kernel: str) -> bool:
    return kernel in ROW_LOSSES
