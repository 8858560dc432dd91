"""Optimizers by name."""

from __future__ import annotations

from typing import Any

from nncore._messages import shown
from nncore._utils.fields import keywords
from nncore._utils.hints import hint
from nncore.optimizers.base import Optimizer
from nncore.optimizers.gradient import GradientOptimizer

__all__ = ["OPTIMIZERS", "WRAPPERS", "get"]

OPTIMIZERS: dict[str, type[GradientOptimizer]] = {}  # filled by the package, simplest first
WRAPPERS: dict[str, type[GradientOptimizer]] = {}


def get(optimizer: Any) -> Optimizer:
    """The optimizer itself, or one made from its name, with default values, or from ``{"class": name, **config}``.

    Raises
    ------
    ValueError, TypeError
        For an unknown name, or an argument of another type.

    Examples
    --------
    >>> get("adam")
    Adam(lr=0.001, betas=(0.9, 0.999), eps=1e-08, eps_placement='outside', bias_correction=True)
    """
    if isinstance(optimizer, Optimizer):
        return optimizer
    if isinstance(optimizer, dict) and "class" in optimizer:
        classes = {cls.__name__: cls for cls in (*OPTIMIZERS.values(), *WRAPPERS.values())}
        arguments = keywords("optimizer", optimizer)
        name = arguments.pop("class")
        if not isinstance(name, str) or name not in classes:
            raise ValueError(f"optimizer must be one of {', '.join(classes)}, got {shown(name)}")
        return classes[name](**arguments)
    if not isinstance(optimizer, str):
        raise TypeError(f"optimizer must be an Optimizer or a name, got {shown(optimizer)}")
    if optimizer not in OPTIMIZERS:
        raise ValueError(
            f"optimizer must be one of {', '.join(OPTIMIZERS)}, got {shown(optimizer)}{hint(optimizer, OPTIMIZERS)}"
        )
    return OPTIMIZERS[optimizer]()
