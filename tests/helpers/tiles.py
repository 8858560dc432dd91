"""Tile tables for kernels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


def tile_table(tiles: ArrayLike, coefficients: ArrayLike = 0) -> NDArray[Any]:
    """The table (tiles.h) of tiles (offset, rows, columns, row stride), and where the coefficients of each begin."""
    rows = np.asarray(tiles, dtype=np.int64)
    return np.column_stack((rows, np.broadcast_to(coefficients, len(rows)).astype(np.int64)))
