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
from nncore.layers.dense import Dense
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

__all__ = [
    "ACTIVATIONS", "ELU", "GELU", "GRU", "LAYERS", "NOISE", "WEIGHT_NOISE", "Activation", "ActivityL1", "AdditiveWhiteout",
    "Dense", "DropConnect", "Dropout", "GaussianDropout", "GaussianNoise", "GaussianWeightNoise", "Identity", "Layer",
    "LeakyReLU", "MultiplicativeWhiteout", "ReLU", "Shakeout", "SiLU", "Sigmoid", "SimpleRNN", "Softmax", "Softplus", "Tanh",
]  # fmt: skip

LAYERS: dict[str, type[Layer]] = {
    "dense": Dense, "simple_rnn": SimpleRNN, "gru": GRU, "activity_l1": ActivityL1, **ACTIVATIONS, **NOISE, **WEIGHT_NOISE,
}  # fmt: skip
