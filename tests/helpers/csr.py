"""Rows of sparse matrices for kernels, and the ops of a sparse layer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncore._kernels import single_ops

Array = NDArray[Any]


@dataclass
class Sparse:
    """A matrix in CSR, of which ``wanted`` are the rows of the batch; and those rows written out."""

    values: Array
    columns: Array
    starts: Array
    width: int
    wanted: Array
    dense: Array

    @property
    def batch(self) -> dict[str, Any]:
        """How an op is run on it."""
        return {"rows": len(self.wanted), "index": self.wanted}


def sparse(
    rng: np.random.Generator, rows: int, width: int, dtype: str, kind: Any, density: float = 0.3, examples: int = 0
) -> Sparse:
    """A batch of so many rows, some of them empty, of a matrix with a few more; some rows twice."""
    examples = examples or rows + 3
    kept = (rng.random((examples, width)) < density) & (rng.random((examples, 1)) < 0.8)
    kept[-1] = False
    dense = np.where(kept, rng.normal(size=kept.shape), 0).astype(dtype)
    numbers, columns = np.nonzero(kept)
    starts = np.searchsorted(numbers, np.arange(examples + 1))
    wanted = rng.integers(0, examples, rows)
    return Sparse(dense[numbers, columns], columns.astype(kind), starts.astype(kind), width, wanted, dense[wanted])


def all_bounds(rng: np.random.Generator, width: int) -> Iterator[Array]:
    """1, 4 and 8 shards: even ones, any, many empty ones, and all columns in the last or the first."""
    yield np.array([0, width])
    for shards in (4, 8):
        yield np.arange(shards + 1) * width // shards
        yield np.concatenate(([0], np.sort(rng.integers(0, width + 1, shards - 1)), [width]))
        yield np.array([0] * shards + [width])
        yield np.array([0] + [width] * shards)


def located(x: Sparse, bounds: Array, isa: str | None = None) -> Array:
    """The places of the batch's numbers."""
    places = np.full((len(x.wanted), len(bounds)), -1)
    single_ops.run_op("csr_locate", (places, x.values, x.columns, x.starts, bounds), dtype=x.values.dtype, isa=isa, **x.batch)
    return places
