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
from nncore.layers.recurrent import GRU, SimpleRNN

__all__ = [
    "ACTIVATIONS", "ELU", "GELU", "GRU", "LAYERS", "Activation", "Dense", "Identity", "Layer", "LeakyReLU", "ReLU", "SiLU",
    "Sigmoid", "SimpleRNN", "Softmax", "Softplus", "Tanh",
]  # fmt: skip

LAYERS: dict[str, type[Layer]] = {"dense": Dense, "simple_rnn": SimpleRNN, "gru": GRU, **ACTIVATIONS}
