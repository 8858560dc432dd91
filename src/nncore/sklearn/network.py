"""The layers of an estimator's network."""

from __future__ import annotations

import copy
import math
from itertools import pairwise
from typing import Any

import numpy as np

from nncore._messages import shown
from nncore._utils.arrays import Array, several
from nncore._utils.checks import as_numbers, check_finite
from nncore._utils.fields import choice, count
from nncore.initializers import Uniform
from nncore.layers import ACTIVATIONS, BatchNorm, Dense, Dropout, Layer, LayerNorm, SparseDense
from nncore.model import Sequential
from nncore.sklearn.inputs import as_parameters, repeatable

__all__ = ["finite_outputs", "for_each_layer", "hidden_sizes", "layers", "overwrite_all"]

NORMALIZATIONS: dict[str, type[Layer]] = {"batch_norm": BatchNorm, "layer_norm": LayerNorm}


def hidden_sizes(sizes: Any) -> list[int]:
    """The widths of the hidden layers, of which there may be none."""
    given = sizes.tolist() if isinstance(sizes, np.ndarray) else repeatable("hidden_layer_sizes", sizes)
    return [count("hidden_layer_sizes", size) for size in (given if several(given) else [given])]


def layers(
    inputs: int, sizes: list[int], outputs: int, *, activation: Any, weight_init: Any, bias_init: Any = "zeros",
    dropout: Any = 0.0, normalization: str | None = None, last: Layer | None = None, sparse: bool = False,
) -> list[Layer]:  # fmt: skip
    """A dense layer, a normalization, an activation and dropout for each hidden layer; the output layer, and ``last``.

    ``sparse``: the first one takes the rows of a sparse matrix as they are.
    """
    activations = for_each_layer("activation", activation, sizes)
    rates = for_each_layer("dropout", dropout, sizes)
    before_output = activations[-1] if activations else activation
    result: list[Layer] = []
    for fans, active, rate in zip(pairwise([inputs, *sizes]), activations, rates, strict=True):
        result.append(_dense(fans, active, weight_init, bias_init, sparse and not result))
        if normalization is not None:
            result.append(NORMALIZATIONS[choice("normalization", normalization, tuple(NORMALIZATIONS))]())
        if active != "identity":
            result.append(_activation(active))
        if rate:
            with as_parameters(rate="dropout"):
                result.append(Dropout(rate))
    result.append(_dense(([inputs, *sizes][-1], outputs), before_output, weight_init, bias_init, sparse and not result))
    return [*result, last] if last is not None else result


def for_each_layer(name: str, value: Any, sizes: list[int]) -> list[Any]:
    """A parameter that may be one value for all hidden layers."""
    value = value.tolist() if isinstance(value, np.ndarray) else value
    if not isinstance(value, (list, tuple)):
        return [value] * len(sizes)
    if len(value) != len(sizes):
        raise ValueError(f"{name} must be one value or {len(sizes)}, one for each hidden layer, got {shown(value)}")
    return list(value)


def _dense(fans: tuple[int, int], activation: Any, weight_init: Any, bias_init: Any, sparse: bool) -> Dense:
    """By default U(−s, s) as in scikit-learn, biases too: s² = 6/(n_in + n_out), or 2/(n_in + n_out) for "logistic"."""
    kind = SparseDense if sparse else Dense
    if weight_init is not None:
        return kind(fans[1], weight_init=weight_init, bias_init=bias_init)
    uniform = Uniform(math.sqrt((2 if activation == "logistic" else 6) / sum(fans)))
    return kind(fans[1], weight_init=uniform, bias_init=uniform)


def _activation(activation: Any) -> Layer:
    if isinstance(activation, Layer):
        return copy.deepcopy(activation)
    names = ("logistic", *ACTIVATIONS)
    return ACTIVATIONS["sigmoid" if activation == "logistic" else choice("activation", activation, names)]()


def finite_outputs(model: Sequential, X: Any) -> Array:
    """The outputs in float64, in which probabilities do not become 0; they overflow only for inputs that are too large."""
    outputs = model.forward(X).astype(np.float64)
    check_finite(outputs, "the network's output for X")
    return outputs


def overwrite_all(name: str, arrays: list[Array], values: Any) -> None:
    """Assign numbers to arrays: all or none."""
    numbers = [as_numbers(value, name) for value in values]
    if [given.shape for given in numbers] != [array.shape for array in arrays]:
        expected, got = ([each.shape for each in some] for some in (arrays, numbers))
        raise ValueError(f"{name} must be {len(arrays)} arrays of shapes {expected}, got {got}")
    for array, given in zip(arrays, numbers, strict=True):
        array[...] = given
