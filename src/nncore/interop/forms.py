"""How other libraries name, shape and order the arrays of each layer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from nncore import layers as nl
from nncore.layers.base import Array, Layer, Parameter, State
from nncore.layers.bidirectional import DIRECTIONS
from nncore.layers.recurrent import Recurrent

__all__ = ["KERAS_VARIABLES", "Form", "forms_of", "shapes_in"]

Shape = tuple[int, ...]


class Recipe(NamedTuple):
    """Makes an array of a layer from arrays of a file, given by name and shape."""

    sources: Mapping[str, Shape]
    make: Callable[..., Array] = np.asarray


Form = dict[str, Recipe]  # by the layer's own names


def forms_of(layer: Layer) -> list[Form]:
    """The forms in which a file may hold the arrays of a layer: PyTorch's, and Keras's if there is one."""
    keras = next((form(layer) for cls, form in KERAS.items() if type(layer) is cls), None)
    return [_pytorch(layer), *([keras] if keras else [])]


def shapes_in(form: Form) -> dict[str, Shape]:
    """All arrays that a form takes from a file."""
    return {name: shape for recipe in form.values() for name, shape in recipe.sources.items()}


def _shapes(layer: Layer) -> dict[str, Shape]:
    """The layer's own arrays. Files have no states of recurrent layers, which stay as they are."""
    states = {} if isinstance(layer, Recurrent) else layer.states
    arrays: Mapping[str, Parameter | State] = {**layer.parameters, **states}
    return {name: array.shape for name, array in arrays.items()}


def _renamed(layer: Layer, names: dict[str, str]) -> Form:
    """Arrays that only have other names."""
    return {own: Recipe({names.get(own, own): shape}) for own, shape in _shapes(layer).items()}


def _transposed(layer: Layer, own: str, name: str, make: Callable[..., Array] = np.asarray) -> Recipe:
    """A matrix that the file holds by inputs, not by outputs; ``make`` gets it by outputs."""
    return Recipe({name: layer.parameters[own].shape[::-1]}, lambda array: make(array.T))


def _in_both(layer: Any, form: Callable[[Any], Form], names: Mapping[str, str]) -> Form:
    """The form of a recurrent layer once for each direction, with names that ``names`` makes of the layer's."""
    return {
        f"{direction}_{own}": recipe._replace(sources={names[direction].format(name): s for name, s in recipe.sources.items()})
        for direction in DIRECTIONS
        for own, recipe in form(layer._of(direction)).items()
    }


# ---- PyTorch: most names and shapes are nncore's; a layer of one's own has its own names in a file too


def _pytorch(layer: Layer) -> Form:
    if type(layer) is nl.Bidirectional:
        return _in_both(layer, _pytorch, {"forward": "{}", "backward": "{}_reverse"})
    form = _renamed(layer, RECURRENT if isinstance(layer, Recurrent) else {})
    if isinstance(layer, nl.SimpleRNN):
        form["bias"] = Recipe({"bias_ih": (layer.units,), "bias_hh": (layer.units,)}, np.add)
    if isinstance(layer, nl.WeightNorm):
        form["length"] = Recipe({"original0": (layer.layer.units, 1)}, np.ravel)
        form["direction"] = Recipe({"original1": layer.parameters["direction"].shape})
    if isinstance(layer, nl.BatchNorm) and layer.track_running_stats:
        form["batches"] = Recipe({"num_batches_tracked": ()}, np.ravel)
    return form


RECURRENT = {"weight": "weight_ih", "recurrent_weight": "weight_hh", "bias": "bias_ih", "recurrent_bias": "bias_hh"}


# ---- Keras: matrices by inputs, gates in the order z, r, n


def _dense(layer: Any) -> Form:
    return _renamed(layer, {}) | {"weight": _transposed(layer, "weight", "kernel")}


def _batch_norm(layer: Any) -> Form:
    form = _renamed(layer, {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"})
    form.pop("batches", None)  # Keras does not count them
    return form


def _simple_rnn(layer: Any) -> Form:
    recurrent = _transposed(layer, "recurrent_weight", "recurrent_kernel")
    return _dense(layer) | {"recurrent_weight": recurrent}


def _gru(layer: Any) -> Form:
    form = {
        "weight": _transposed(layer, "weight", "kernel", _reset_first),
        "recurrent_weight": _transposed(layer, "recurrent_weight", "recurrent_kernel", _reset_first),
    }
    if not layer.reset_after:
        return form | {"bias": Recipe({"bias": (3 * layer.units,)}, _reset_first)}
    biases = {"bias": (2, 3 * layer.units)}
    return form | {
        "bias": Recipe(biases, lambda both: _reset_first(both[0])),
        "recurrent_bias": Recipe(biases, lambda both: _reset_first(both[1])),
    }


def _bidirectional(layer: Any) -> Form:
    return _in_both(layer, KERAS[type(layer.layer)], {direction: f"{direction}_{{}}" for direction in DIRECTIONS})


def _reset_first(gates: Array) -> Array:
    """Gates r, z, n from gates z, r, n."""
    z, r, n = np.split(gates, 3)
    return np.concatenate([r, z, n])


KERAS: dict[type[Layer], Callable[[Any], Form]] = {
    nl.Dense: _dense,
    nl.SparseDense: _dense,
    nl.BatchNorm: _batch_norm,
    nl.LayerNorm: lambda layer: _renamed(layer, {"weight": "gamma", "bias": "beta"}),
    nl.RMSNorm: lambda layer: _renamed(layer, {"weight": "scale"}),
    nl.SimpleRNN: _simple_rnn,
    nl.GRU: _gru,
    nl.Bidirectional: _bidirectional,
}

# Files number the variables of a layer: what they are follows from its class and how many there are.


def _numbered(*names: str) -> dict[str, str]:
    return {str(place): name for place, name in enumerate(names)}


OF_CELL = _numbered("kernel", "recurrent_kernel", "bias")
KERAS_VARIABLES: dict[tuple[str, int], dict[str, str]] = {
    ("dense", 1): _numbered("kernel"),
    ("dense", 2): _numbered("kernel", "bias"),
    ("batch_normalization", 2): _numbered("moving_mean", "moving_variance"),
    ("batch_normalization", 4): _numbered("gamma", "beta", "moving_mean", "moving_variance"),
    ("layer_normalization", 2): _numbered("gamma", "beta"),
    ("rms_normalization", 1): _numbered("scale"),
    ("simple_rnn", 3): OF_CELL,
    ("gru", 3): OF_CELL,
    ("bidirectional", 6): {f"{of}_{place}": f"{of}_{name}" for of in DIRECTIONS for place, name in OF_CELL.items()},
}
