"""Optimizers by name, the second-order ones too."""

from __future__ import annotations

from nncore._messages import shown
from nncore._utils.hints import hint
from nncore.optimizers import Optimizer, registry
from nncore.second_order.base import FullBatchOptimizer

__all__ = ["OPTIMIZERS", "get"]

OPTIMIZERS: dict[str, type[FullBatchOptimizer]] = {}  # filled by the package


def get(name: str) -> Optimizer:
    """An optimizer with its default values from its name: one of this package, or of `nncore.optimizers`.

    >>> get("lbfgs").title
    'LBFGS'
    """
    if not isinstance(name, str):
        raise TypeError(f"optimizer must be a name, got {shown(name)}")
    names = [*registry.OPTIMIZERS, *OPTIMIZERS]
    if name not in names:
        raise ValueError(f"optimizer must be one of {', '.join(names)}, got {shown(name)}{hint(name, names)}")
    return OPTIMIZERS[name]() if name in OPTIMIZERS else registry.get(name)
