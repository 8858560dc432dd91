"""Gradient clipping: it prevents a single steep region from throwing θ far away (Pascanu, Mikolov, Bengio 2013).

The history reports the effect: ``grad_norm`` is the epoch's mean of the norm of the whole gradient before clipping, the
penalty's part included; ``clipped`` is the share of the steps in which anything was changed.

Clipping by norm works for every finite gradient: where the sum of squares overflows, it is computed again from scaled numbers.
`ClipValue` needs no norm; the ``grad_norm`` that it records is infinite there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncore._utils.fields import Number, Value
from nncore.program.ops import Op

__all__ = ["ClipGlobalNorm", "ClipNorm", "ClipValue"]

Array = NDArray[np.generic]


@dataclass
class ClipOps:
    """The ops of a clip, and the arrays in which they report each step."""

    ops: list[Op]
    squares: Array  # of each tile, before clipping
    acted: Array  # 1 for each tile or group of tiles that was changed, 0 for the others
    large_norm: Array  # (1,): the norm before clipping where its square is beyond the largest number, else 0


class Clipping(Value):
    """Base class: records the ops that change the gradient between the backward pass and the update."""

    limit: Number = Number(above=0)

    def __init__(self, limit: float) -> None:
        self.limit = limit

    def _described_by(self) -> dict[str, Any]:
        return {"limit": self.limit}

    def ops(self, gradient: Array, table: Array, arrays: Sequence[int]) -> ClipOps:
        """Ops on the tiles of ``table``; ``arrays``: the first tile of each parameter array, and last their number."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.limit})"


class ClipValue(Clipping):
    """g_i ← min(max(g_i, −limit), limit). Changes the direction. Keras's ``clipvalue``, PyTorch's ``clip_grad_value_``.

    Parameters
    ----------
    limit : float
        Positive.
    """

    def ops(self, gradient: Array, table: Array, arrays: Sequence[int]) -> ClipOps:
        squares, acted = np.zeros(len(table)), np.zeros(len(table))
        operands = (gradient, squares, acted, table)
        ops = [Op("tiles", "clip_value", operands, constants=(self.limit,), cost=[1.0] * len(table))]
        return ClipOps(ops, squares, acted, np.full(1, math.inf))


class _ByNorm(Clipping):
    def _groups(self, arrays: Sequence[int]) -> Sequence[int]:
        """The first tile of each group that has one norm, and last the number of tiles."""
        raise NotImplementedError

    def ops(self, gradient: Array, table: Array, arrays: Sequence[int]) -> ClipOps:
        groups = np.array(self._groups(arrays), dtype=np.int64)
        squares, factors, acted, large_norm = np.zeros(len(table)), np.ones(len(table)), np.zeros(len(groups) - 1), np.zeros(1)
        operands = (factors, squares, groups, acted, gradient, large_norm, table)
        ops = [
            Op("tiles", "square_sum", (squares, gradient, table), cost=[1.0] * len(table)),
            Op("serial", "clip_factor", operands, (len(groups) - 1,), (self.limit,)),
            Op("tiles", "scale_gradient", (gradient, factors, table), cost=[1.0] * len(table)),
        ]
        return ClipOps(ops, squares, acted, large_norm)


class ClipNorm(_ByNorm):
    """For each parameter array: g ← g · min(1, limit/‖g‖). Keras's ``clipnorm``.

    Parameters
    ----------
    limit : float
        Positive.
    """

    def _groups(self, arrays: Sequence[int]) -> Sequence[int]:
        return arrays


class ClipGlobalNorm(_ByNorm):
    """For the whole gradient: g ← g · min(1, limit/‖g‖). Keeps the direction. PyTorch's ``clip_grad_norm_``.

    Parameters
    ----------
    limit : float
        Positive.

    Examples
    --------
    >>> import nncore as nn
    >>> nn.ClipGlobalNorm(5.0)
    ClipGlobalNorm(5.0)
    """

    def _groups(self, arrays: Sequence[int]) -> Sequence[int]:
        return [arrays[0], arrays[-1]]
