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

__all__ = [
    "ACTIVATIONS", "ELU", "GELU", "LAYERS", "Activation", "BatchNorm", "BatchRenorm", "Dense", "Identity", "Layer", "LeakyReLU", "ReLU", "SiLU", "Sigmoid",
    "Softmax", "Softplus", "Tanh",
]  # fmt: skip

LAYERS: dict[str, type[Layer]] = {"dense": Dense, **ACTIVATIONS, **{cls.default_name(): cls for cls in (BatchNorm, BatchRenorm)}}
