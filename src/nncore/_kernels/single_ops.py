"""Run a single op, and the dense layer's products: for tests, benchmarks and other direct uses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nncore._kernels import Program, get_num_threads, op_table, packed_size, weight_tiles

__all__ = ["dense_backward_input", "dense_backward_weight", "dense_forward", "run_op"]


def run_op(
    name: str, arrays: Sequence[Any], *, dtype: Any, sizes: Sequence[int] = (), constants: Sequence[float] = (), rows: int = 1,
    axis: str = "rows", pieces: int = 1, index: np.ndarray | None = None, position: int = 0, scale: float = 0.0,
    coefficients: np.ndarray | None = None, step: int = 0, threads: int | None = None, isa: str | None = None,
    block_rows: int = 16, lanes: int = 1, part_rows: int = 0, keep_denormals: bool = True,
) -> int:  # fmt: skip
    """Run a single op; returns 1 if it reported a failure.

    ``scale`` multiplies gradients of losses; 0 means 1 / rows. ``part_rows``: rows that are computed together; 0: all.
    """
    ops = [(name, tuple(arrays), tuple(sizes), tuple(constants), 0, pieces)]
    stages = [(axis, pieces, None, False, ops)]
    one = Program(op_table(isa), dtype, stages, block_rows=block_rows, lanes=lanes, part_rows=part_rows)
    if coefficients is not None:
        coefficients = np.ascontiguousarray(coefficients, dtype=np.float64).reshape(1, -1)
    done, _ = one.run(
        examples=rows, batch=rows, origin=position, order=index, coefficients=coefficients, scale=scale, step_offset=step,
        threads=threads or get_num_threads(), keep_denormals=keep_denormals,
    )  # fmt: skip
    return 1 - int(done)


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
