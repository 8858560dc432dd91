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
from nncore.layers.dense import Dense
from nncore.layers.noise import NOISE, Dropout, GaussianDropout, GaussianNoise

__all__ = [
    "ACTIVATIONS", "ELU", "GELU", "LAYERS", "NOISE", "Activation", "Dense", "Dropout", "GaussianDropout", "GaussianNoise",
    "Identity", "Layer", "LeakyReLU", "ReLU", "SiLU", "Sigmoid", "Softmax", "Softplus", "Tanh",
]  # fmt: skip

LAYERS: dict[str, type[Layer]] = {"dense": Dense, **ACTIVATIONS, **NOISE}
