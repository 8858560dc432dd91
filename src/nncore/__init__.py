"""nncore: training fully connected networks fast, and studying how training works."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from nncore import data, initializers, landscapes, losses, optimizers, samplers, schedules
from nncore._kernels import get_num_threads, set_num_threads
from nncore._messages import shown as _shown
from nncore._utils.hints import PACKAGE as _PACKAGE
from nncore._utils.hints import hint as _hint
from nncore._version import __version__ as __version__
from nncore.callbacks import (
    Callback,
    CSVLogger,
    EarlyStopping,
    LambdaCallback,
    ModelCheckpoint,
    ReduceLROnPlateau,
)  # fmt: skip
from nncore.config import show_config
from nncore.errors import DivergenceError
from nncore.history import History
from nncore.layers import (
    ELU,
    GELU,
    GRU,
    ActivityL1,
    AdditiveWhiteout,
    BatchNorm,
    BatchRenorm,
    Dense,
    DropConnect,
    Dropout,
    GaussianDropout,
    GaussianNoise,
    GaussianWeightNoise,
    GroupNorm,
    Identity,
    InstanceNorm,
    Layer,
    LayerNorm,
    LeakyReLU,
    MultiplicativeWhiteout,
    ReLU,
    RMSNorm,
    Shakeout,
    Sigmoid,
    SiLU,
    SimpleRNN,
    Softmax,
    Softplus,
    Tanh,
    WeightNorm,
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
from nncore.model import Sequential, load
from nncore.optimizers import (
    EMA,
    SGD,
    AdaDelta,
    AdaGrad,
    Adam,
    AdaMax,
    AdamW,
    AMSGrad,
    ClipGlobalNorm,
    ClipNorm,
    ClipValue,
    DeltaBarDelta,
    GradientNoise,
    Lion,
    Momentum,
    NAdam,
    Nesterov,
    Optimizer,
    PolyakAveraging,
    RMSprop,
    Rprop,
)  # fmt: skip
from nncore.regularizers import L1, L2, ElasticNet, PerLayer, ProximalL1
from nncore.training import LearningRates, Profile, Trainer

if TYPE_CHECKING:
    from nncore import reference, second_order

__all__ = [
    "ELU", "EMA", "GELU", "GRU", "L1", "L2", "SGD", "AMSGrad", "ActivityL1", "AdaDelta", "AdaGrad", "AdaMax", "Adam", "AdamW",
    "AdditiveWhiteout", "BatchNorm", "BatchRenorm", "BinaryCrossEntropy", "CSVLogger", "Callback", "ClipGlobalNorm", "ClipNorm",
    "ClipValue", "DeltaBarDelta", "Dense", "DivergenceError", "DropConnect", "Dropout", "EarlyStopping", "ElasticNet",
    "GaussianDropout", "GaussianNoise", "GaussianWeightNoise", "GradientNoise", "GroupNorm", "Hinge", "History", "Huber",
    "Identity", "InstanceNorm", "KLDivergence", "LambdaCallback", "Layer", "LayerNorm", "LeakyReLU", "LearningRates", "Lion",
    "Loss", "MeanAbsoluteError", "MeanSquaredError", "ModelCheckpoint", "Momentum", "MultiplicativeWhiteout", "NAdam",
    "Nesterov", "Optimizer", "PerLayer", "PolyakAveraging", "Profile", "ProximalL1", "RMSNorm", "RMSprop", "ReLU",
    "ReduceLROnPlateau", "Rprop", "Sequential", "Shakeout", "SiLU", "Sigmoid", "SigmoidCrossEntropy", "SimpleRNN", "Softmax",
    "SoftmaxCrossEntropy", "Softplus", "SquaredError", "Tanh", "Trainer", "WeightNorm", "data", "get_num_threads",
    "initializers", "landscapes", "load", "losses", "optimizers", "reference", "samplers", "schedules", "second_order",
    "set_num_threads", "show_config",
]  # fmt: skip


def __dir__() -> list[str]:
    """The public names, and none of the modules that they come from."""
    return [*__all__, "__version__"]


if not TYPE_CHECKING:  # for type checkers a misspelled name is an error

    def __getattr__(name: str) -> Any:
        """``nncore.reference`` and ``nncore.second_order`` on first use: they need more of SciPy than training does."""
        if name in ("reference", "second_order"):
            return importlib.import_module(f"nncore.{name}")
        meant = f": {_PACKAGE[name]}" if name in _PACKAGE else _hint(name, __all__)
        raise AttributeError(f"module 'nncore' has no attribute {_shown(name)}{meant}")
