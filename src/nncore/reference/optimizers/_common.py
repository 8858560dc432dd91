"""Functions shared by the optimizers."""

import functools
import inspect
from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from .._common import Array

__all__ = ["Array", "Pair", "Placement", "placed", "root", "store"]

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


def placed(update: Callable[..., bool], eps_placement: Placement, formula: str) -> Callable[..., bool]:
    """``update`` with ε outside or inside the root, as a function with the name of its kernel; ``formula`` is its step."""

    @functools.wraps(update)
    def twin(*arrays: Array, **constants: Any) -> bool:
        return update(*arrays, eps_placement=eps_placement, **constants)

    signature = inspect.signature(update)
    others = [parameter for name, parameter in signature.parameters.items() if name != "eps_placement"]
    twin.__name__ = twin.__qualname__ = update.__name__.replace("_update", f"_{eps_placement}_update")
    twin.__doc__ = f"`{update.__name__}` with ε {eps_placement} the root: {formula}."
    twin.__signature__ = signature.replace(parameters=others)  # type: ignore[attr-defined]
    return twin
