"""Programs of a single op with as many operands as it declares."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nncore._kernels import Program, op_table

Array = NDArray[Any]


class Operands(NamedTuple):
    """The arrays that an op is bound to."""

    arrays: tuple[Array | None, ...]
    sizes: tuple[int, ...]
    constants: tuple[float, ...]


def operand(argument: str) -> Array:
    """An array that fits an argument of this name."""
    return np.zeros((4, 5), np.int64) if argument == "tile_table" else np.zeros((4, 4))


def operands(name: str) -> Operands:
    """As many as are declared; their values do not matter, as the op is not run."""
    op = op_table().declaration(name)
    return Operands(tuple(map(operand, op.arrays)), (0,) * len(op.sizes), (0.0,) * len(op.constants))


def program(name: str, given: Operands | None = None) -> Program:
    stage = ("tiles", 1, None, False, [(name, *(given or operands(name)), 0, 1)])
    return Program(op_table(), "float32", [stage])
