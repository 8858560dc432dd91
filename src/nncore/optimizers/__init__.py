"""Optimizers, the simplest first."""

from __future__ import annotations

from typing import Any

from nncore.hints import hint
from nncore.optimizers.adam import Adam, AdaMax, AdamW, AMSGrad, NAdam
from nncore.optimizers.adaptive import AdaDelta, AdaGrad, RMSprop
from nncore.optimizers.averaging import EMA, PolyakAveraging
from nncore.optimizers.base import Optimizer
from nncore.optimizers.momentum import Momentum, Nesterov
from nncore.optimizers.noise import GradientNoise
from nncore.optimizers.sgd import SGD
from nncore.optimizers.sign import DeltaBarDelta, Lion, Rprop
from nncore.optimizers.wrapper import Wrapper
from nncore.shown import shown

__all__ = [
    "EMA", "OPTIMIZERS", "SGD", "WRAPPERS", "AMSGrad", "AdaDelta", "AdaGrad", "AdaMax", "Adam", "AdamW", "DeltaBarDelta",
    "GradientNoise", "Lion", "Momentum", "NAdam", "Nesterov", "Optimizer", "PolyakAveraging", "RMSprop", "Rprop",
]  # fmt: skip

_ALL: tuple[type[Optimizer], ...] = (
    SGD, Momentum, Nesterov, AdaGrad, RMSprop, AdaDelta, Adam, AdamW, AMSGrad, AdaMax, NAdam, Lion, Rprop,
    DeltaBarDelta,
)  # fmt: skip
OPTIMIZERS: dict[str, type[Optimizer]] = {optimizer.name: optimizer for optimizer in _ALL}

WRAPPERS: dict[str, type[Wrapper]] = {wrapper.name: wrapper for wrapper in (EMA, PolyakAveraging, GradientNoise)}


def get(optimizer: Any) -> Optimizer:
    """An optimizer from itself, with its default values from its name, or from ``{"class": name, **config}``.

    >>> get("adam")
    Adam(lr=0.001, betas=(0.9, 0.999), eps=1e-08, eps_placement='outside', bias_correction=True)
    """
    if isinstance(optimizer, Optimizer):
        return optimizer
    if isinstance(optimizer, dict) and "class" in optimizer:
        classes = {cls.__name__: cls for cls in (*OPTIMIZERS.values(), *WRAPPERS.values())}
        arguments = dict(optimizer)
        name = arguments.pop("class")
        if name not in classes:
            raise ValueError(f"optimizer must be one of {', '.join(classes)}, got {shown(name)}")
        return classes[name](**arguments)
    if not isinstance(optimizer, str):
        raise TypeError(f"optimizer must be an Optimizer or a name, got {shown(optimizer)}")
    if optimizer in OPTIMIZERS:
        return OPTIMIZERS[optimizer]()
    from nncore import second_order  # only now: it needs more of SciPy

    if optimizer not in second_order.OPTIMIZERS:
        names = [*OPTIMIZERS, *second_order.OPTIMIZERS]
        raise ValueError(f"optimizer must be one of {', '.join(names)}, got {shown(optimizer)}{hint(optimizer, names)}")
    return second_order.OPTIMIZERS[optimizer]()
