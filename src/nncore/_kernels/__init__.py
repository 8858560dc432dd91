"""The compiled core: kernels for each instruction set, the executor, and the boundary between them and Python."""

from __future__ import annotations

import importlib
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from nncore._kernels import program as _program
from nncore._kernels.program import Program, PythonOp, shuffled_orders
from nncore._kernels.threads import get_num_threads, set_num_threads

__all__ = [
    "Program", "PythonOp", "available_isas", "dense_backward_input", "dense_backward_weight", "dense_forward",
    "get_num_threads", "isa_name", "op_names", "op_table", "packed_size", "run_op", "set_num_threads", "shuffled_orders",
    "weight_tile",
]  # fmt: skip

PACK_UNITS = 16  # the packed copy of W rounds its units up to whole vectors, of 16 reals at most
TILE_UNITS, TILE_INPUTS = 32, 256  # a tile of W: whole panels of units; with its optimizer state it stays in L2


def _load_tables() -> dict[str, _program.OpTable]:
    tables = {}
    for isa in _program.cpu_supports():
        try:
            module = importlib.import_module(f"nncore._kernels._isa_{isa}")
        except ModuleNotFoundError:  # the compiler that built the package lacks this instruction set
            continue
        tables[isa] = _program.OpTable(module.op_table)
    return tables


_TABLES = _load_tables()
isa_name = os.environ.get("NNCORE_ISA") or list(_TABLES)[-1]
if isa_name not in _TABLES:
    raise ImportError(f"NNCORE_ISA must be one of {', '.join(_TABLES)} on this machine, got {isa_name!r}")


def available_isas() -> tuple[str, ...]:
    """The instruction sets that are built in and that this processor has, the best last."""
    return tuple(_TABLES)


def op_table(isa: str | None = None) -> _program.OpTable:
    """The kernels of an instruction set (default: the one in use)."""
    return _TABLES[isa or isa_name]


def op_names() -> tuple[str, ...]:
    """The names of all ops."""
    return tuple(op_table().names)


def run_op(
    name: str, arrays: Sequence[Any], *, dtype: Any, sizes: Sequence[int] = (), constants: Sequence[float] = (), rows: int = 1,
    axis: str = "rows", pieces: int = 1, index: np.ndarray | None = None, position: int = 0, scale: float = 0.0,
    coefficients: np.ndarray | None = None, step: int = 0, threads: int | None = None, isa: str | None = None,
    block_rows: int = 16,
) -> int:  # fmt: skip
    """Run one op by itself; returns 1 if it reported a failure. ``scale`` is that of the losses' gradients, 0 for 1 / rows."""
    ops = [(name, tuple(arrays), tuple(sizes), tuple(constants), 0, pieces)]
    one = Program(op_table(isa), dtype, [(axis, pieces, None, False, ops)], block_rows=block_rows)
    if coefficients is not None:
        coefficients = np.ascontiguousarray(coefficients, dtype=np.float64).reshape(1, -1)
    done, _ = one.run(
        examples=rows, batch=rows, origin=position, order=index, coefficients=coefficients, scale=scale, step_offset=step,
        threads=threads or get_num_threads(),
    )  # fmt: skip
    return 1 - int(done)


def weight_tile(units: int, inputs: int) -> tuple[int, int]:
    """Units and inputs of a tile of W: whole panels, and even shares of the inputs."""
    across = -(-inputs // TILE_INPUTS)
    return TILE_UNITS, -(-inputs // (16 * across)) * 16


def packed_size(units: int, inputs: int) -> int:
    """How many numbers the packed copy of W takes (see dense.h)."""
    return -(-units // PACK_UNITS) * PACK_UNITS * inputs


def _tile_sizes(units: int, inputs: int) -> tuple[tuple[int, ...], int]:
    """The sizes of an op over the tiles of W, and how many there are."""
    tile_units, tile_inputs = weight_tile(units, inputs)
    return (units, inputs, tile_units, tile_inputs), -(-units // tile_units) * -(-inputs // tile_inputs)


def dense_forward(
    y: np.ndarray, x: np.ndarray, W: np.ndarray, b: np.ndarray | None, *, threads: int | None = None, isa: str | None = None
) -> None:
    """y = x Wᵀ + b, packing W first."""
    sizes, tiles = _tile_sizes(*W.shape)
    packed = np.empty(packed_size(*W.shape), dtype=W.dtype)
    run_op("pack_weight", (packed, W), dtype=W.dtype, sizes=sizes, axis="tiles", pieces=tiles, threads=threads, isa=isa)
    run_op("dense_forward", (y, x, packed, b), dtype=W.dtype, sizes=W.shape, rows=len(x), threads=threads, isa=isa)


def dense_backward_input(
    dx: np.ndarray, dy: np.ndarray, W: np.ndarray, *, threads: int | None = None, isa: str | None = None
) -> None:
    """dx = dy W."""
    run_op("dense_backward_input", (dx, dy, W), dtype=W.dtype, sizes=W.shape, rows=len(dy), threads=threads, isa=isa)


def dense_backward_weight(
    dW: np.ndarray, db: np.ndarray | None, dy: np.ndarray, x: np.ndarray, *, threads: int | None = None, isa: str | None = None
) -> None:
    """dW = dyᵀ x and, unless ``db`` is None, db = Σ dy."""
    sizes, tiles = _tile_sizes(*dW.shape)
    run: dict[str, Any] = {"dtype": dW.dtype, "rows": len(x), "axis": "tiles", "threads": threads, "isa": isa}
    run_op("dense_backward_weight", (dW, dy, x), sizes=sizes, pieces=tiles, **run)
    if db is not None:
        run_op("dense_backward_bias", (db, dy), sizes=db.shape, **run)
