"""Optimizers, the simplest first."""

from __future__ import annotations

from typing import Any

from nncore.optimizers.adam import Adam, AdaMax, AdamW, AMSGrad, NAdam
from nncore.optimizers.adaptive import AdaDelta, AdaGrad, RMSprop
from nncore.optimizers.base import Optimizer
from nncore.optimizers.momentum import Momentum, Nesterov
from nncore.optimizers.sgd import SGD
from nncore.optimizers.sign import DeltaBarDelta, Lion, Rprop

__all__ = [
    "OPTIMIZERS", "SGD", "AMSGrad", "AdaDelta", "AdaGrad", "AdaMax", "Adam", "AdamW", "DeltaBarDelta", "Lion",
    "Momentum", "NAdam", "Nesterov", "Optimizer", "RMSprop", "Rprop",
]  # fmt: skip

_ALL: tuple[type[Optimizer], ...] = (
    SGD, Momentum, Nesterov, AdaGrad, RMSprop, AdaDelta, Adam, AdamW, AMSGrad, AdaMax, NAdam, Lion, Rprop,
    DeltaBarDelta,
)  # fmt: skip
OPTIMIZERS: dict[str, type[Optimizer]] = {optimizer.kernel: optimizer for optimizer in _ALL}


def get(optimizer: Any) -> Optimizer:
    """An optimizer from itself, or with its default values from its name.

    >>> get("adam")
    Adam(lr=0.001, betas=(0.9, 0.999), eps=1e-08, eps_placement='outside', bias_correction=True)
    """
    if isinstance(optimizer, Optimizer):
        return optimizer
    if not isinstance(optimizer, str):
        raise TypeError(f"optimizer: expected an Optimizer or a name, got {optimizer!r}")
    if optimizer in OPTIMIZERS:
        return OPTIMIZERS[optimizer]()
    from nncore import second_order  # only now: it needs more of SciPy

    if optimizer not in second_order.OPTIMIZERS:
        names = ", ".join([*OPTIMIZERS, *second_order.OPTIMIZERS])
        raise ValueError(f"optimizer: expected one of {names}, got {optimizer!r}")
    return second_order.OPTIMIZERS[optimizer]()
