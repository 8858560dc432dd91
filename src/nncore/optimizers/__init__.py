"""Optimizers, the simplest first."""

from __future__ import annotations

from nncore.optimizers.adam import Adam, AdaMax, AdamW, AMSGrad, NAdam
from nncore.optimizers.adaptive import AdaDelta, AdaGrad, RMSprop
from nncore.optimizers.averaging import EMA, PolyakAveraging
from nncore.optimizers.base import Optimizer
from nncore.optimizers.clipping import ClipGlobalNorm, ClipNorm, ClipValue
from nncore.optimizers.momentum import Momentum, Nesterov
from nncore.optimizers.noise import GradientNoise
from nncore.optimizers.registry import OPTIMIZERS, WRAPPERS, get
from nncore.optimizers.sgd import SGD
from nncore.optimizers.sign import DeltaBarDelta, Lion, Rprop

__all__ = [
    "EMA", "OPTIMIZERS", "SGD", "WRAPPERS", "AMSGrad", "AdaDelta", "AdaGrad", "AdaMax", "Adam", "AdamW", "ClipGlobalNorm",
    "ClipNorm", "ClipValue", "DeltaBarDelta", "GradientNoise", "Lion", "Momentum", "NAdam", "Nesterov", "Optimizer",
    "PolyakAveraging", "RMSprop", "Rprop", "get",
]  # fmt: skip

OPTIMIZERS.update(
    (cls.name, cls) for cls in (
        SGD, Momentum, Nesterov, AdaGrad, RMSprop, AdaDelta, Adam, AdamW, AMSGrad, AdaMax, NAdam, Lion, Rprop, DeltaBarDelta,
    )
)  # fmt: skip
WRAPPERS.update((cls.name, cls) for cls in (EMA, PolyakAveraging, GradientNoise))
