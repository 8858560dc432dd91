"""Steps on sparse data that change only the weights for which the batch has numbers.

What a step does to the other weights, whose gradient is 0, is done later and at once (``lazy.h``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncore import constraints
from nncore._utils.arrays import same_part
from nncore.data.sparse import Rows
from nncore.optimizers import EMA, SGD, GradientOptimizer, PolyakAveraging, WeightDecay
from nncore.optimizers.wrapper import Wrapper
from nncore.program.compiled import Compiled
from nncore.program.ops import Op
from nncore.program.stages import stages
from nncore.program.tape import Tape
from nncore.training.spec import TrainingSpec

__all__ = ["IdleStep", "LazyOps", "Rest", "idle_step", "lazy_ops"]

WEIGHTS_PER_ROW = 1400  # with fewer weights per row of a batch, it is faster to update all; their bits are the same
ENTRIES = 1 << 14  # steps that the table of catch_up holds
ENTRY = 9  # numbers of each
WHOLE = 2  # the number in the state that asks for all weights
COST = 1000.0  # of a shard, in multiply-adds


@dataclass(frozen=True)
class IdleStep:
    """A step of weights w without a gradient, with averages a: w ← (1 − d − η l2) w − η l1 sign(w),  a ← a + c (w − a).

    ``decay`` and ``average`` are the columns of d and c in the optimizer's coefficients; -1: none, as if they were 0.
    ``proximal``: an l1 whose steps end at 0 instead of crossing it.
    """

    l1: float = 0.0
    l2: float = 0.0
    proximal: float = 0.0
    decay: int = -1
    average: int = -1

    @property
    def changes(self) -> bool:
        """Whether the weights change at all."""
        return self != IdleStep()

    @property
    def penalized(self) -> bool:
        return bool(self.l1 or self.l2 or self.proximal)


def idle_step(spec: TrainingSpec, capacity: int, part_rows: int = 0) -> IdleStep | None:
    """What a step does to weights of sparse data without a gradient. None: it computes the whole gradient, or there are none.

    Raises
    ------
    ValueError
        For an optimizer that is defined for weights with a gradient only, if others must change in each step.
    """
    layer, optimizer, columns = spec.model.layers[0], spec.gradient_optimizer, {"decay": -1, "average": -1}
    if not layer.reads_sparse:
        return None
    while type(optimizer) in (EMA, PolyakAveraging, WeightDecay):
        assert isinstance(optimizer, Wrapper)
        columns["decay" if type(optimizer) is WeightDecay else "average"] = optimizer.column
        optimizer = optimizer.optimizer
    weight = layer.parameters["weight"]
    parts = spec.regularizer.parts(spec.model) if spec.regularizer else ()
    penalty: Any = next((part for parameter, _, part in parts if parameter is weight), IdleStep())
    constrained = any(named.parameter is weight for named, _ in constraints.parts(spec.constraint, spec.model))
    in_gradient = bool(penalty.l1 or penalty.l2)  # it then must change no state, and is not clipped
    linear = not in_gradient or (type(optimizer) is SGD and spec.clip is None)
    one_l1 = not (penalty.l1 and penalty.proximal)
    few = weight.size < WEIGHTS_PER_ROW * capacity and not optimizer.lazy
    if skips_zeros(optimizer) and linear and one_l1 and not (constrained or part_rows or few):
        return IdleStep(penalty.l1, penalty.l2, penalty.proximal, **columns)
    if optimizer.lazy:
        raise ValueError(
            f"{optimizer.title} changes only weights that have a gradient: with {layer.name} it cannot be combined with L1 or "
            "L2 penalties, constraints, noise on gradients or accumulate; take another optimizer, or ProximalL1 or WeightDecay"
        )
    return None


def skips_zeros(optimizer: GradientOptimizer) -> bool:
    """Whether a gradient of 0 changes nothing. A class says so for itself: those derived from it may be different."""
    return bool(vars(type(optimizer)).get("skips_zeros", False))


@dataclass
class LazyOps:
    """The ops by which weights are caught up, and the state that they share (``lazy.h``)."""

    state: NDArray[np.int64]
    begin: list[Op]  # before the first step
    before: list[Op]  # in a step before the forward pass
    after: list[Op]  # in a step after all else


class Rest:
    """Catches up all weights after steps that may have ended within an epoch."""

    def __init__(self, tape: Tape, ops: LazyOps) -> None:
        self._compiled, self._state = Compiled(tape, stages(ops.after)), ops.state

    def run(self, rows: Rows) -> None:
        self._state[WHOLE] = 1
        self._compiled.run(self._compiled.bind(rows), examples=1, batch=1)


def lazy_ops(tape: Tape, idle: IdleStep | None, spec: TrainingSpec, place: int, lr_column: int) -> LazyOps | None:
    """Record the op of each step on the tape, and return the others. ``place``: of the weights' coefficients in a row."""
    W = tape.sparse
    if W is None or idle is None or not idle.changes:
        return None
    (inputs, units), cost = W.weight.shape, [COST] * W.shards
    last, table, state = (
        tape.arena.take(shape, dtype) for shape, dtype in ((inputs, np.int32), ((ENTRIES, ENTRY), np.float64), (3, np.int64))
    )
    averages = spec.optimizer.state.get("average")
    average = None if averages is None else same_part(W.weight, spec.model.parameters, averages)
    columns = [place + lr_column, *(place + column if column >= 0 else -1 for column in (idle.decay, idle.average))]
    constants = (idle.l1 + idle.proximal, idle.l2)
    no_weights = ((W.offset, 1, 0, 0),)
    tape.gradient(Op("tiles", "lazy_advance", (table, state), tuple(columns), constants, tiles=no_weights))
    kernel, arrays = "catch_up_crossing" if idle.l1 else "catch_up", (W.weight, average, last, table, state)

    def over_shards(kernel: str, *arrays: Any, **op: Any) -> list[Op]:
        data = (*op.pop("data", ()), (len(arrays), W.bounds))
        return [Op("tiles", kernel, (*arrays, None), cost=cost, data=data, **op)]

    columns_of = ((len(arrays), lambda rows: rows.columns),)
    return LazyOps(
        state,
        over_shards("lazy_begin", last, table, state),
        over_shards(kernel, *arrays, None, W.places, sizes=(units, inputs), data=columns_of),
        over_shards(f"{kernel}_all", *arrays, sizes=(units, inputs)),
    )
