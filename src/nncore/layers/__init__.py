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
from nncore.layers.base import Layer
from nncore.layers.batch_norm import BatchNorm, BatchRenorm
from nncore.layers.dense import Dense
from nncore.layers.group_norm import GroupNorm, InstanceNorm, LayerNorm, RMSNorm
from nncore.layers.weight_norm import WeightNorm

__all__ = [
    "ACTIVATIONS", "ELU", "GELU", "LAYERS", "NORMALISATIONS", "Activation", "BatchNorm", "BatchRenorm", "Dense", "GroupNorm",
    "Identity", "InstanceNorm", "Layer", "LayerNorm", "LeakyReLU", "RMSNorm", "ReLU", "SiLU", "Sigmoid", "Softmax",
    "Softplus", "Tanh", "WeightNorm",
]  # fmt: skip

NORMALISATIONS = {
    cls.default_name(): cls for cls in (BatchNorm, BatchRenorm, LayerNorm, RMSNorm, GroupNorm, InstanceNorm, WeightNorm)
}
LAYERS: dict[str, type[Layer]] = {"dense": Dense, **ACTIVATIONS, **NORMALISATIONS}
