"""The compiled core: kernels for each instruction set, the executor, and the boundary to Python."""

from __future__ import annotations

import functools
import importlib
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from nncore._kernels import program as _program
from nncore._kernels.blas import gemm_name, gemm_variant, on_one_blas_thread
from nncore._kernels.program import (
    FEW_IN_LANES,
    MOST_LANES,
    MOST_PANEL,
    Claim,
    Exclusive,
    HandSteps,
    KnownSteps,
    MemberGroup,
    Members,
    Program,
    PythonOp,
    Switch,
    advance_counts,
    all_finite,
    are_labels,
    shuffled_orders,
)
from nncore._kernels.threads import Lock, get_num_threads, one_thread, set_num_threads
from nncore._messages import shown

__all__ = [
    "FEW_IN_LANES",
    "Claim", "Exclusive", "HandSteps", "KnownSteps", "Lock", "MemberGroup", "Members", "Program", "PythonOp", "Switch",
    "advance_counts", "all_finite", "are_labels", "available_isas", "complete_isas", "gemm_name", "gemm_variant",
    "get_num_threads", "has_bfloat16", "isa_name", "lanes", "on_one_blas_thread", "one_thread", "op_names", "op_table",
    "packed_size", "run_members", "set_num_threads", "shuffled_orders", "tile_program", "weight_tiles",
]  # fmt: skip

TILE = MOST_PANEL, 256  # units and inputs of a tile of W: full panels; with its optimizer state it fits in L2
LARGE_TILE = 2 * MOST_PANEL, 1024  # for W large enough for such tiles: longer streams from memory
LARGE = 1 << 19  # weights
COMPLETED_BY = {"avx512bf16": "avx512"}  # modules with a part of the ops, and the instruction set of the others


run_members = on_one_blas_thread(Members.run)


def _load_tables() -> dict[str, _program.OpTable]:
    tables = {}
    for isa in _program.cpu_supports():
        try:
            module = importlib.import_module(f"nncore._kernels._isa_{isa}")
        except ModuleNotFoundError:  # the compiler that built the package lacks this instruction set
            continue
        if isa not in COMPLETED_BY:
            tables[isa] = _program.OpTable(module.op_table)
        elif COMPLETED_BY[isa] in tables:
            tables[isa] = _program.OpTable(module.op_table, tables[COMPLETED_BY[isa]])
    return tables


_TABLES = _load_tables()
isa_name = os.environ.get("NNCORE_ISA") or list(_TABLES)[-1]
if isa_name not in _TABLES:
    raise ImportError(f"NNCORE_ISA must be one of {', '.join(_TABLES)} on this machine, got {shown(isa_name)}")


_program.use_table(_TABLES[isa_name])


def lanes(dtype: Any) -> int:
    """Numbers in a vector of the instruction set in use."""
    return {"avx512bf16": 64, "avx512": 64, "avx2": 32}.get(isa_name, 16) // np.dtype(dtype).itemsize


def has_bfloat16() -> bool:
    """Whether the instruction set in use multiplies bfloat16 numbers."""
    return isa_name == "avx512bf16"


def available_isas() -> tuple[str, ...]:
    """The instruction sets that were built and that this processor supports, the best last."""
    return tuple(_TABLES)


def complete_isas() -> tuple[str, ...]:
    """Those of them that have kernels of their own for all ops: tests of kernels go over these."""
    return tuple(isa for isa in _TABLES if isa not in COMPLETED_BY)


def op_table(isa: str | None = None) -> _program.OpTable:
    """The kernels of an instruction set (default: the one in use)."""
    return _TABLES[isa or isa_name]


def op_names() -> tuple[str, ...]:
    """The names of all ops."""
    return tuple(op_table().names)


def tile_program(
    ops: Sequence[tuple[str, Sequence[Any], Sequence[int], Sequence[float]]], *, dtype: Any, pieces: int
) -> Program:
    """A program of ops (name, arrays, sizes, constants) that process each tile in order."""
    bound = [(name, tuple(arrays), tuple(sizes), tuple(constants), 0, pieces) for name, arrays, sizes, constants in ops]
    return Program(op_table(), dtype, [("tiles", pieces, None, False, bound)])


@functools.lru_cache(maxsize=64)
def weight_tiles(units: int, inputs: int) -> np.ndarray:
    """The tiles of W, (tiles, 4) int64: units [u0, u1) by inputs [j0, j1). Full panels of units, equal parts of the inputs."""
    height, most = LARGE_TILE if units * inputs >= LARGE else TILE
    across = -(-inputs // most)
    width = -(-inputs // (MOST_LANES * across)) * MOST_LANES
    corners = [(u, j) for u in range(0, units, height) for j in range(0, inputs, width)]
    return np.array([(u, min(u + height, units), j, min(j + width, inputs)) for u, j in corners], dtype=np.int64)


def packed_size(units: int, inputs: int) -> int:
    """Size of the packed copy of W, in numbers (see dense.h)."""
    return -(-units // MOST_LANES) * MOST_LANES * inputs
