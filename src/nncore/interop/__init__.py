"""Weights and models of PyTorch and Keras: `nncore.load` reads them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from nncore._utils.arrays import Array
from nncore._utils.files import Source
from nncore.interop.forms import Form
from nncore.interop.keras_models import described
from nncore.interop.matching import matched
from nncore.interop.modules import Module
from nncore.interop.sources import keras_config, modules_of, reading
from nncore.layers.base import Layer

__all__ = ["keras_layers", "reading", "weights_for"]


def keras_layers(archive: bytes) -> tuple[list[Layer], tuple[int, ...], str]:
    """Layers, input shape and dtype of the model in a Keras archive."""
    return described(keras_config(archive))


def weights_for(model: Any, source: Source | Mapping[str, Any], file: str) -> dict[str, Array]:
    """The model's ``parameters`` and ``state`` with the weights of ``file``, so called in messages; the model is unchanged."""
    modules, told = modules_of(source, file)
    layers = [layer for layer in model.layers if layer.parameters or layer.states]
    result = {"parameters": model.parameters.copy(), "state": model.state.copy()}
    for layer, (module, form) in zip(layers, matched(modules, layers, told, file), strict=True):
        with reading(file), np.errstate(over="ignore", invalid="ignore"):  # what is not finite is refused below
            values = _values(module, form)
            for name, value in values.items():
                _place(layer, name, result)[...] = value
        for name, value in values.items():
            place = _place(layer, name, result)
            if not (finite := np.isfinite(place)).all():
                wrong = float(np.broadcast_to(value, place.shape)[~finite][0])
                raise ValueError(f"{file}: {layer.name}.{name} must hold finite numbers of {place.dtype}, got {wrong:g}")
    return result


def _place(layer: Layer, name: str, arrays: dict[str, Array]) -> Array:
    """The view of an array of a layer in such vectors."""
    if name in layer.parameters:
        return layer.parameters[name].of(arrays["parameters"])
    state = layer.states[name]
    return arrays["state"][state.offset : state.offset + state.size].reshape(state.shape)


def _values(module: Module, form: Form) -> dict[str, Array]:
    """The arrays of a layer, in double precision."""
    given = {name: entry.read().astype(np.float64) for name, entry in module.arrays.items()}
    return {own: recipe.make(*[given[name] for name in recipe.sources]) for own, recipe in form.items()}
