"""The part of a training step in which ranks exchange losses and gradients."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nncore._kernels import PythonOp
from nncore._utils.arrays import aligned_zeros
from nncore.distributed import tree
from nncore.distributed.ranks import Ranks, Shares
from nncore.model import Sequential
from nncore.program.compiled import Compiled
from nncore.program.ops import Op
from nncore.program.stages import stages
from nncore.program.tape import Tape

__all__ = ["Batches", "Exchange"]

Array = NDArray[Any]

CHUNK = 4096  # numbers of a work item of sum_nodes
Message = tuple[Array, int, Array, int]  # what is sent, to whom; where to receive, from whom

LINE = 16  # slices of the gradient are whole cache lines


class Batches(NamedTuple):
    """How the examples of an epoch are cut into batches and shards, as executor.c does."""

    examples: int
    batch: int
    part: int  # rows of a shard
    merge: int  # rows that are no batch and no shard of their own

    @property
    def per_epoch(self) -> int:
        return -(-self.examples // self.batch) - self._merged(self.examples, self.batch)

    def rows(self, step: int) -> int:
        """Of the batch of a step."""
        step %= self.per_epoch
        return self.batch if step < self.per_epoch - 1 else self.examples - step * self.batch

    def starts(self, rows: int) -> list[int]:
        """The first row of each shard of a batch, and last the number of rows."""
        shards = -(-rows // self.part) - (rows > self.batch or self._merged(rows, self.part))
        return [*(shard * self.part for shard in range(shards)), rows]

    def _merged(self, number: int, size: int) -> int:
        return int(0 < number % size <= self.merge and number > size)


class Exchange:
    """Adds up the gradients of the shards of a batch, on all ranks, along the tree of ``distributed/tree.py``.

    Each rank adds up the gradients of its own shards tile by tile, as they are computed, as far as the tree allows; what is
    left are one or a few nodes. Then each rank receives one slice of θ of the nodes of all, adds these, and sends
    the sum to all.

    Parameters
    ----------
    model : Sequential
    tape : Tape
        Of the training step; its running statistics are brought up to date shard by shard, in order, on every rank.
    table : ndarray int64
        The tile table of the gradient.
    part : int
        Rows of a shard.
    shares : Shares
    records : int
        Losses and metrics of a step.
    tracks : sequence of Op
        Those that update running statistics.

    Attributes
    ----------
    ops : list of Op
        After the gradient's.
    part_sums : float64 array (own shards, records)
        Where the executor leaves the sums of losses and metrics over each shard.
    sums : list of lists (records,)
        Of the batches of this run, so far.
    """

    def __init__(
        self, model: Sequential, tape: Tape, table: Array, part: int, shares: Shares, records: int, tracks: Sequence[Op]
    ) -> None:
        self.model, self.shares, self.part = model, shares, part
        self.first, self.last = shares.bounds[shares.rank : shares.rank + 2]
        self.part_sums: Array = np.zeros((self.last - self.first, records))
        self.sums: list[list[float]] = []
        n, dtype = model.gradients.size, model.dtype
        lines = -(-n // LINE)
        starts = [min(n, lines * rank // shares.size * LINE) for rank in range(shares.size + 1)]
        self.slices = [slice(*pair) for pair in itertools.pairwise(starts)]  # of each rank
        gradient = model.gradients[self.slices[shares.rank]]
        self.length = own = len(gradient)
        joins = tree.joins(self.first, self.last)
        self.stack = aligned_zeros((int(joins[:, 0].max()) + 1 if len(joins) > 1 else 1, n), dtype)
        most = sum(tree.most_nodes(*pair) for pair in itertools.pairwise(shares.bounds))
        self.nodes = aligned_zeros((most, max(own, 1)), dtype)
        self.additions = np.full(2 * most, -1, dtype=np.int64)
        self.plans: dict[int, Plan] = {}  # by the number of shards
        others = [((shares.rank + k) % shares.size, (shares.rank - k) % shares.size) for k in range(1, shares.size)]
        self.results: list[Message] = [(gradient, to, model.gradients[self.slices[source]], source) for to, source in others]
        join, of_slice = (self.stack, model.gradients, joins, table), [float(CHUNK)] * -(-own // CHUNK)
        self.ops = [
            Op("tiles", "join_parts", join, (part, self.first), cost=_cost(table), of_parts=True),
            Op("serial", "python", (PythonOp(self._send),)),
            *([Op("units", "sum_nodes", (gradient, self.nodes, self.additions), (CHUNK,), cost=of_slice)] if own else []),
            Op("serial", "python", (PythonOp(self._share),)),
        ]  # fmt: skip
        self.statistics = _Statistics(tape, tracks, self.last - self.first) if tracks else None
        if self.statistics:
            self.ops.insert(0, Op("serial", "python", (PythonOp(self._keep_statistics),), of_parts=True))

    def begin(self, ranks: Ranks, batches: Batches, first_step: int) -> None:
        """Before a run from this step on."""
        self.ranks, self.step, self.sums = ranks, first_step, []
        steps = 0, batches.per_epoch - 1  # all but the last one are like the first
        self._starts = [batches.starts(batches.rows(step)) for step in steps]
        self._per_epoch = batches.per_epoch
        if self.statistics:
            self.statistics.forget()

    def _plan(self, shards: int) -> Plan:
        """What is sent for a batch of so many shards: the last one of an epoch may have fewer."""
        if shards in self.plans:
            return self.plans[shards]
        rank, size, bounds = self.shares.rank, self.shares.size, [min(bound, shards) for bound in self.shares.bounds]
        nodes = [tree.nodes(*pair) for pair in itertools.pairwise(bounds)]  # of each rank
        counts = [len(each) for each in nodes]
        firsts = [0, *itertools.accumulate(counts)]  # place of the first node of each rank
        own: list[Array] = [self.model.gradients] if counts[rank] == 1 else list(self.stack[: counts[rank]])
        nothing = self.stack[0, :0]
        messages = []
        alone = size == 1 and counts == [1]
        for number in range(0 if alone else max(counts)):  # a node of each rank that has so many
            node = own[number] if number < len(own) else None
            for distance in range(size):
                to, source = (rank + distance) % size, (rank - distance) % size
                sent = nothing if node is None else node[self.slices[to]]
                place = firsts[source] + number
                received = self.nodes[place, : self.length] if number < counts[source] else nothing
                messages.append((sent, to, received, source))
        pairs = tree.additions(itertools.chain.from_iterable(nodes))
        numbers = [-1 if alone else len(pairs), *itertools.chain.from_iterable(pairs)]
        plan = Plan(np.array(numbers, dtype=np.int64), messages, np.diff(bounds).tolist())
        return self.plans.setdefault(shards, plan)

    # --- the ops in Python, called with the rows of the last shard

    def _send(self, _: int) -> bool:
        """Losses to all, then the gradients, a slice of θ to each. False: the step must not be taken, on no rank.

        Lists instead of arrays: after a large step no code is in cache, and NumPy's functions take longer than what they do.
        """
        ranks, starts = self.ranks, self._starts[(self.step + 1) % self._per_epoch == 0]
        self.now = plan = self._plan(len(starts) - 1)
        told = ranks.meet(self.part_sums)[1]
        if ranks.stopped:
            return False
        sums = [0.0] * told.shape[2]
        for of_rank, count in zip(told.tolist(), plan.shards, strict=True):
            for shard in of_rank[:count]:
                sums = [total + one for total, one in zip(sums, shard, strict=True)]
        self.sums.append(sums)
        if not math.isfinite(sums[0]):
            return False
        self._exchange(plan.messages)
        self.additions[: len(plan.additions)] = plan.additions
        if self.statistics:
            self.statistics.track(ranks, plan.shards, np.diff(starts))
        return True

    def _share(self, _: int) -> None:
        """The slices of the sum to all."""
        self.step += 1
        self._exchange(self.results)

    def _exchange(self, messages: list[Message]) -> None:
        """One after the other, by Sendrecv: in shared memory several times as fast as Alltoallv and Allgatherv of MPICH."""
        send = self.ranks.comm.Sendrecv
        for sent, to, received, source in messages:
            if to == self.shares.rank:
                received[...] = sent
            else:
                send(sent, to, 0, received, source, 0)

    def _keep_statistics(self, rows: int) -> None:
        assert self.statistics
        self.statistics.keep()


class Plan(NamedTuple):
    """What is sent for a batch."""

    additions: Array  # for sum_nodes
    messages: list[Message]
    shards: list[int]  # of each rank


class _Statistics:
    """The statistics of the shards of a batch, with which every rank brings the running averages up to date."""

    def __init__(self, tape: Tape, tracks: Sequence[Op], parts: int) -> None:
        self._compiled = Compiled(tape, stages(tracks))
        self._arrays = [array.reshape(-1) for array in tape.statistics.values()]
        self._own = np.zeros((parts, sum(array.size for array in self._arrays)), tape.dtype)
        self._kept = 0

    def keep(self) -> None:
        """Those of the next of the own shards."""
        np.concatenate(self._arrays, out=self._own[self._kept])
        self._kept += 1

    def forget(self) -> None:
        """Those of a step that was not completed."""
        self._kept = 0

    def track(self, ranks: Ranks, shards: list[int], rows: Array) -> None:
        """Those of all shards, in order. ``shards``: how many each rank has; ``rows``: of each shard."""
        every = ranks.collect(self._own[: self._kept], shards)
        self._kept = 0
        for statistics, count in zip(every, rows.tolist(), strict=True):
            first = 0
            for array in self._arrays:
                array[...] = statistics[first : first + array.size]
                first += array.size
            self._compiled.run(examples=count, batch=count, threads=1)


def _cost(table: Array) -> Sequence[float]:
    cost: list[float] = (4.0 * np.maximum(table[:, 1], 0) * table[:, 2]).tolist()
    return cost
