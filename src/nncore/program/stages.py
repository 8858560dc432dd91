"""Stages: ops over the same work items, between two barriers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from nncore._utils.arrays import Array
from nncore.program.ops import Op

__all__ = ["Stage", "parameter_stages", "stages"]


@dataclass
class Stage:
    """Ops over the same work items, each with the range of items that are its own."""

    axis: str
    placed: list[tuple[Op, int, int]]
    local_sizes: Array | None = None  # of each tile, the size of its gradient if that is tile-local, else 0

    @property
    def work_items(self) -> int:
        return max(last for _, _, last in self.placed)

    @property
    def cost(self) -> Array | None:
        """The cost of each tile, all ops together; other work items cost the same."""
        if self.axis not in ("tiles", "units"):
            return None
        cost = np.zeros(self.work_items)
        for op, first, last in self.placed:
            cost[first:last] += op.cost
        return cost

    @property
    def completes_loss(self) -> bool:
        return any(op.completes_loss for op, _, _ in self.placed)


def stages(ops: Iterable[Op]) -> list[Stage]:
    """Consecutive row ops share a stage; any other op has one to itself."""
    result: list[Stage] = []
    for op in ops:
        if result and result[-1].axis == op.axis == "rows":
            result[-1].placed.append((op, 0, 1))
        else:
            result.append(Stage(op.axis, [(part, 0, len(op.cost)) for part in (op, op.then) if part]))
    return result


def parameter_stages(gradients: Iterable[Op], updates: Sequence[Op] = ()) -> list[Stage]:
    """Stages in which each tile of θ gets its gradient and then, if there are updates, all of these and the repack ops.

    All in one stage, unless an update is ``serial`` or over ``units``: it reads other tiles, so a stage ends before it. In one
    stage, tile-local gradients need not reach memory before the last step of a run.
    """
    gradients = list(gradients)
    firsts = [*accumulate((len(op.cost) for op in gradients), initial=0)]
    placed = [(op, first, first + len(op.cost)) for op, first in zip(gradients, firsts, strict=False)]
    if not placed:
        return []
    parts = [(part, first, last) for op, first, last in placed for part in (op, op.then) if part and part.kernel]
    for op, _, _ in parts if updates else ():
        op.of_parts = True
    result = [Stage("tiles", parts)]
    for op in updates:
        if op.axis in ("serial", "units"):
            result += [Stage(op.axis, [(op, 0, len(op.cost))]), Stage("tiles", [])]
        else:
            result[-1].placed.append((op, 0, firsts[-1]))
    if updates and len(result) == 1:
        sizes = [
            (math.prod(op.sizes[:2]) if rows < 0 else rows * columns)
            * (op.tile_local and not op.then)  # a list may have all rows
            for op in gradients
            for _, rows, columns, _ in op.tiles
        ]
        result[0].local_sizes = np.array(sizes, dtype=np.int64) if any(sizes) else None
    if updates:
        result[-1].placed += [(op.repack, first, last) for op, first, last in placed if op.repack]
    return [stage for stage in result if stage.placed]
