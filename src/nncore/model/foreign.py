"""Weights and models of PyTorch and Keras."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from nncore._utils.files import Source, content, named
from nncore.interop import keras_layers, reading, weights_for
from nncore.model import layout
from nncore.model.files import check_arrays, fill
from nncore.model.network import Network

__all__ = ["load_keras", "load_weights"]

N = TypeVar("N", bound=Network)
LEAST_BYTES = 2  # of a number in a file


def load_weights(model: Network, source: Source | Mapping[str, Any], file: str) -> None:
    """Fill a model with the weights of a file: with all of them, or none if anything is wrong."""
    with model.lock:  # so that a training in another thread is between two steps
        arrays = weights_for(model, source, file)
        check_arrays(model, arrays, file)
        fill(model, arrays)


def load_keras(path: Source, make: Callable[..., N]) -> N:
    """The model in a Keras archive; ``make`` as for `load_model`."""
    data, file = content(path), named(path)
    with reading(file):
        layers, shape, dtype = keras_layers(data)
        size = sum(layout.declare(layers, layout.checked_shape(shape)))
        if size > len(data) // LEAST_BYTES:  # before anything is allocated
            raise ValueError(f"its layers need {size:,} numbers, and it has {len(data):,} bytes")
        model = make(keras_layers(data)[0], shape, dtype=dtype)
    load_weights(model, io.BytesIO(data), file)
    return model
