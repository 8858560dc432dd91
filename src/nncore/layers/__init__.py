"""Layers: what each computes, its parameters, and the ops it records."""

from __future__ import annotations

from nncore.layers.activations import (
    ACTIVATIONS,
    ELU,
    GELU,
    Activation,
    Identity,
    LeakyReLU,
    ReLU,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Tanh,
)  # fmt: skip
from nncore.layers.activity import ActivityL1
from nncore.layers.base import Layer
from nncore.layers.batch_norm import BatchNorm, BatchRenorm
from nncore.layers.dense import Dense
from nncore.layers.group_norm import GroupNorm, InstanceNorm, LayerNorm, RMSNorm
from nncore.layers.noise import NOISE, Dropout, GaussianDropout, GaussianNoise
from nncore.layers.recurrent import GRU, SimpleRNN
from nncore.layers.weight_noise import (
    WEIGHT_NOISE,
    AdditiveWhiteout,
    DropConnect,
    GaussianWeightNoise,
    MultiplicativeWhiteout,
    Shakeout,
)  # fmt: skip
from nncore.layers.weight_norm import WeightNorm

__all__ = [
    "ACTIVATIONS", "ELU", "GELU", "GRU", "LAYERS", "NOISE", "NORMALISATIONS", "WEIGHT_NOISE", "Activation", "ActivityL1",
    "AdditiveWhiteout", "BatchNorm", "BatchRenorm", "Dense", "DropConnect", "Dropout", "GaussianDropout", "GaussianNoise",
    "GaussianWeightNoise", "GroupNorm", "Identity", "InstanceNorm", "Layer", "LayerNorm", "LeakyReLU",
    "MultiplicativeWhiteout", "RMSNorm", "ReLU", "Shakeout", "SiLU", "Sigmoid", "SimpleRNN", "Softmax", "Softplus", "Tanh",
    "WeightNorm",
]  # fmt: skip

NORMALISATIONS = {
    cls.default_name(): cls for cls in (BatchNorm, BatchRenorm, LayerNorm, RMSNorm, GroupNorm, InstanceNorm, WeightNorm)
}
LAYERS: dict[str, type[Layer]] = {
    "dense": Dense, "simple_rnn": SimpleRNN, "gru": GRU, "activity_l1": ActivityL1,
    **ACTIVATIONS, **NORMALISATIONS, **NOISE, **WEIGHT_NOISE,
}  # fmt: skip
