"""What each layer does at inference, as steps."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from nncore import layers as nl
from nncore._utils.own import is_own
from nncore.export.steps import Activation, Affine, Array, Bidirectional, Dense, Mask, Normalize, Recurrent, Select, Step
from nncore.layers.base import Layer
from nncore.layers.batch_norm import inference_constants
from nncore.layers.bidirectional import DIRECTIONS, FACTOR
from nncore.layers.group_norm import _RowNorm
from nncore.layers.noise import Noise
from nncore.layers.recurrent import Recurrent as RecurrentLayer

__all__ = ["steps_of_layer"]


def steps_of_layer(layer: Layer, dtype: np.dtype[Any]) -> list[Step]:
    """The steps of a layer that is part of a model; none if it passes on its input at inference."""
    if is_own(type(layer)):
        for cls, steps in STEPS.items():
            if isinstance(layer, cls):
                return steps(layer, dtype)
    raise TypeError(
        f"model must have layers of nncore only to be exported, got {layer.name} of the class {type(layer).__name__}, which is "
        "written in Python"
    )


def _dense(layer: Any, dtype: np.dtype[Any]) -> list[Step]:
    return [Dense(np.array(layer.weight), np.array(layer.bias) if layer.has_bias else np.zeros(layer.units, dtype))]


def _weight_norm(layer: Any, dtype: np.dtype[Any]) -> list[Step]:
    return [Dense(layer.weight, np.array(layer.bias) if layer.layer.has_bias else np.zeros(layer.layer.units, dtype))]


def _activation(layer: Any, dtype: np.dtype[Any]) -> list[Step]:
    constants = tuple(float(getattr(layer, option)) for option in layer.options)
    return [Activation(layer.kernel, constants, math.prod(layer.output_shape))] if layer.kernel != "identity" else []


def _batch_norm(layer: Any, dtype: np.dtype[Any]) -> list[Step]:
    if not layer.track_running_stats:
        raise ValueError(
            f"model must compute each row by itself to be exported, got the layer {layer.name} without running averages "
            "(track_running_stats=False)"
        )
    return [Affine(*(np.repeat(array, layer.length).astype(dtype) for array in inference_constants(layer)))]


def _row_norm(layer: Any, dtype: np.dtype[Any]) -> list[Step]:
    def spread(name: str, default: float) -> Array:
        """One number for each number of an example."""
        has = name in layer.parameters
        return np.repeat(getattr(layer, name).ravel() if has else np.full(layer.places, default, dtype), layer.share)

    return [Normalize(layer.groups, layer.centered, layer.eps, spread("weight", 1), spread("bias", 0))]


def _scale(layer: Any, dtype: np.dtype[Any]) -> list[Step]:
    return [_factor(np.array(layer.weight).ravel())]


def _noise(layer: Any, dtype: np.dtype[Any]) -> list[Step]:
    if isinstance(layer, nl.Dropout) and layer.scale == "test" and layer.rate:
        return [_factor(np.full(math.prod(layer.output_shape), 1 - layer.rate, dtype))]
    return []


def _factor(factor: Array) -> Affine:
    return Affine(np.zeros_like(factor), factor, np.zeros_like(factor))


def _recurrent(layer: Any, dtype: np.dtype[Any]) -> list[Step]:
    if layer.stateful:
        raise ValueError(
            f"model must begin at a state of 0 to be exported, got {layer.name}, which carries states over: make a model "
            "without stateful and give it these parameters, as in same.parameters[...] = model.parameters"
        )
    return [_cell(layer, dtype)]


def _cell(layer: Any, dtype: np.dtype[Any]) -> Recurrent:
    arrays = [np.array(layer.weight), np.array(layer.bias)]
    U = np.array(layer.recurrent_weight)
    if layer.kernel == "gru_reset_before":
        arrays += [U[: 2 * layer.units], np.zeros(2 * layer.units, dtype), U[2 * layer.units :]]
    else:
        has = "recurrent_bias" in layer.parameters
        arrays += [U, np.array(layer.recurrent_bias) if has else np.zeros_like(layer.bias)]
    return Recurrent(layer.kernel, layer.steps, layer.zoneout, layer.return_sequences, bool(layer._direction), *arrays)


def _bidirectional(layer: Any, dtype: np.dtype[Any]) -> list[Step]:
    forward, backward = (_cell(layer._of(direction), dtype) for direction in DIRECTIONS)
    return [Bidirectional(forward, backward, FACTOR.get(layer.merge))]


def _masking(layer: Any, dtype: np.dtype[Any]) -> list[Step]:
    steps, inputs = layer.input_shape
    return [Mask(steps, inputs, float(dtype.type(layer.value)))]


STEPS: dict[type[Layer], Callable[[Any, np.dtype[Any]], list[Step]]] = {
    nl.Dense: _dense,
    nl.WeightNorm: _weight_norm,
    nl.Activation: _activation,
    nl.BatchNorm: _batch_norm,
    _RowNorm: _row_norm,
    nl.Scale: _scale,
    nl.Select: lambda layer, dtype: [Select(layer._own_array.copy())],
    Noise: _noise,
    nl.ActivityL1: lambda layer, dtype: [],
    RecurrentLayer: _recurrent,
    nl.Bidirectional: _bidirectional,
    nl.Masking: _masking,
}
