"""nncore: training fully connected networks fast, and studying how training works."""

from __future__ import annotations

import importlib
from typing import Any

from nncore import data, initializers, landscapes, losses, optimizers, schedules
from nncore._kernels import get_num_threads, set_num_threads
from nncore.callbacks import Callback, CSVLogger, EarlyStopping, LambdaCallback, ModelCheckpoint
from nncore.clipping import ClipGlobalNorm, ClipNorm, ClipValue
from nncore.config import show_config
from nncore.errors import DivergenceError
from nncore.history import History
from nncore.layers import (
    ELU,
    GELU,
    Dense,
    Identity,
    Layer,
    LeakyReLU,
    ReLU,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Tanh,
)  # fmt: skip
from nncore.losses import (
    BinaryCrossEntropy,
    Hinge,
    Huber,
    KLDivergence,
    Loss,
    MeanAbsoluteError,
    MeanSquaredError,
    SigmoidCrossEntropy,
    SoftmaxCrossEntropy,
    SquaredError,
)  # fmt: skip
from nncore.model import Sequential
from nncore.optimizers import (
    SGD,
    AdaDelta,
    AdaGrad,
    Adam,
    AdaMax,
    AdamW,
    AMSGrad,
    DeltaBarDelta,
    Lion,
    Momentum,
    NAdam,
    Nesterov,
    Optimizer,
    RMSprop,
    Rprop,
)  # fmt: skip
from nncore.regularizers import L1, L2, ElasticNet
from nncore.storage import load
from nncore.trainer import Trainer

__version__ = "0.1.0"

__all__ = [
    "ELU", "GELU", "L1", "L2", "SGD", "AMSGrad", "AdaDelta", "AdaGrad", "AdaMax", "Adam", "AdamW", "BinaryCrossEntropy",
    "CSVLogger", "Callback", "ClipGlobalNorm", "ClipNorm", "ClipValue", "DeltaBarDelta", "Dense", "DivergenceError",
    "EarlyStopping", "ElasticNet", "Hinge", "History", "Huber", "Identity", "KLDivergence", "LambdaCallback", "Layer",
    "LeakyReLU", "Lion", "Loss", "MeanAbsoluteError", "MeanSquaredError", "ModelCheckpoint", "Momentum", "NAdam", "Nesterov",
    "Optimizer", "RMSprop", "ReLU", "Rprop", "Sequential", "SiLU", "Sigmoid", "SigmoidCrossEntropy", "Softmax",
    "SoftmaxCrossEntropy", "Softplus", "SquaredError", "Tanh", "Trainer", "data", "get_num_threads", "initializers",
    "landscapes", "load", "losses", "optimizers", "reference", "schedules", "second_order",
    "set_num_threads", "show_config",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """``nncore.reference`` and ``nncore.second_order`` on first use: they need more of SciPy than training does."""
    if name in ("reference", "second_order"):
        return importlib.import_module(f"nncore.{name}")
    raise AttributeError(f"module 'nncore' has no attribute {name!r}")
