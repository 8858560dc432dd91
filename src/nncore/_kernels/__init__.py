"""The compiled core: kernels for each instruction set, the executor, and the boundary between them and Python."""

from __future__ import annotations

import functools
import importlib
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from nncore._kernels import program as _program
from nncore._kernels.blas import gemm_name, gemm_variant, one_thread
from nncore._kernels.program import Exclusive, Program, PythonOp, all_finite, shuffled_orders
from nncore._kernels.threads import Lock, get_num_threads, set_num_threads
from nncore.shown import shown

__all__ = [
    "Exclusive", "Lock", "Program", "PythonOp", "TileOps", "all_finite", "available_isas", "dense_backward_input",
    "dense_backward_weight", "dense_forward", "gemm_name", "gemm_variant", "get_num_threads", "isa_name", "one_thread",
    "op_names", "op_table", "packed_size", "run_op", "set_num_threads", "shuffled_orders", "weight_tiles",
]  # fmt: skip

PACK_UNITS = 16  # the packed copy of W rounds its units up to whole vectors, of 16 reals at most
TILE = 32, 256  # units and inputs of a tile of W: whole panels; with its optimizer state it stays in L2
LARGE_TILE = 64, 1024  # of a W large enough to be shared out in such tiles: longer streams from memory
LARGE = 1 << 19  # weights


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
    raise ImportError(f"NNCORE_ISA must be one of {', '.join(_TABLES)} on this machine, got {shown(isa_name)}")


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
        threads=threads or get_num_threads(), keep_denormals=True,
    )  # fmt: skip
    return 1 - int(done)


class TileOps:
    """Ops (name, arrays, sizes, constants) that go one after another over each tile, ready to run."""

    def __init__(
        self, ops: Sequence[tuple[str, Sequence[Any], Sequence[int], Sequence[float]]], *, dtype: Any, pieces: int,
        isa: str | None = None,
    ) -> None:  # fmt: skip
        bound = [(name, tuple(arrays), tuple(sizes), tuple(constants), 0, pieces) for name, arrays, sizes, constants in ops]
        self._stage = Program(op_table(isa), dtype, [("tiles", pieces, None, False, bound)])
        self._threads = 1 if pieces == 1 else None

    def __call__(self, coefficients: np.ndarray, step: int) -> int:
        """Run once; 1 if an op reported a failure."""
        done, _ = self._stage.run(
            examples=1, batch=1, coefficients=coefficients, step_offset=step, threads=self._threads or get_num_threads()
        )  # fmt: skip
        return 1 - int(done)

    @property
    def runs(self) -> int:
        """How often they have run: no signal handler comes between a run and its being counted."""
        return int(self._stage.runs)


@functools.lru_cache(maxsize=64)
def weight_tiles(units: int, inputs: int) -> np.ndarray:
    """The tiles of W, (tiles, 4) int64: units [u0, u1) by inputs [j0, j1). Whole panels of units, even shares of the inputs."""
    height, most = LARGE_TILE if units * inputs >= LARGE else TILE
    across = -(-inputs // most)
    width = -(-inputs // (16 * across)) * 16
    corners = [(u, j) for u in range(0, units, height) for j in range(0, inputs, width)]
    return np.array([(u, min(u + height, units), j, min(j + width, inputs)) for u, j in corners], dtype=np.int64)


def packed_size(units: int, inputs: int) -> int:
    """How many numbers the packed copy of W takes (see dense.h)."""
    return -(-units // PACK_UNITS) * PACK_UNITS * inputs


def dense_forward(
    y: np.ndarray, x: np.ndarray, W: np.ndarray, b: np.ndarray | None, *, threads: int | None = None, isa: str | None = None
) -> None:
    """y = x Wᵀ + b, packing W first."""
    tiles, packed = weight_tiles(*W.shape), np.empty(packed_size(*W.shape), dtype=W.dtype)
    run: dict[str, Any] = {"axis": "tiles", "pieces": len(tiles), "threads": threads, "isa": isa}
    run_op("pack_weight", (packed, W, tiles), dtype=W.dtype, sizes=W.shape, **run)
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
    tiles = weight_tiles(*dW.shape)
    run: dict[str, Any] = {"dtype": dW.dtype, "rows": len(x), "axis": "tiles", "threads": threads, "isa": isa}
    run_op("dense_backward_weight", (dW, dy, x, tiles), sizes=dW.shape, pieces=len(tiles), **run)
    if db is not None:
        run_op("dense_backward_bias", (db, dy), sizes=db.shape, **run)
