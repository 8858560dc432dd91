"""Functions shared by the optimizers."""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]
Pair = tuple[float, float]
Placement = Literal["outside", "inside"]


def store(*changes: tuple[Array, Array]) -> bool:
    """array ← new for each (array, new), at elements where all new values are finite; True if some were kept."""
    finite = np.logical_and.reduce([np.isfinite(new) for _, new in changes])
    for array, new in changes:
        np.copyto(array, new, where=finite)
    return not finite.all()


def root(r: Array, eps: float, eps_placement: Placement) -> Array:
    """√r + ε (outside) or √(r + ε) (inside)."""
    if eps_placement == "outside":
        return np.sqrt(r) + eps
    if eps_placement == "inside":
        return np.sqrt(r + eps)
    raise ValueError(f'eps_placement must be "outside" or "inside", got {eps_placement!r}')
