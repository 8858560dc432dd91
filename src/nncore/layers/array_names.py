"""Names of a model's parameter arrays as keys of mappings: "dense_1", "dense_1.bias", "*.bias"."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from nncore._messages import shown
from nncore._utils.arrays import Array
from nncore.layers.base import Parameter

__all__ = ["NamedArray", "check_names", "named_arrays"]


class NamedArray(NamedTuple):
    """A parameter array of a model, and the keys that stand for it, the most specific first."""

    keys: tuple[str, ...]
    parameter: Parameter
    array: Array

    def value(self, mapping: Any) -> Any:
        """The value of the most specific key that the mapping has, or None."""
        return next((mapping[key] for key in self.keys if key in mapping), None)


def named_arrays(model: Any, *, weights_only: bool) -> Iterator[NamedArray]:
    """The parameter arrays of a model in the order of θ.

    ``weights_only``: the name of a layer stands for its weights alone, not for biases and parameters of normalizations.
    """
    if not isinstance(getattr(model, "layers", None), tuple):
        raise TypeError(f"model must be a Sequential, got {shown(model)}")
    for layer in model.layers:
        for name, parameter in layer.parameters.items():
            of_layer = (str(layer.name),) if parameter.regularized or not weights_only else ()
            yield NamedArray((f"{layer.name}.{name}", *of_layer, f"*.{name}"), parameter, getattr(layer, name))


def check_names(argument: str, names: Iterable[str], model: Any, *, weights_only: bool) -> None:
    """Raise if a name stands for no array of the model, or for a layer and another array."""
    keys = [array.keys for array in named_arrays(model, weights_only=weights_only)]
    arrays, layers = {own[0]: "an array" for own in keys}, {name: "a layer" for own in keys for name in own[1:-1]}
    everywhere = {own[-1]: "arrays of all layers" for own in keys}
    known = {**layers, **arrays, **everywhere}
    for name in names:
        if len(meant := [kind[name] for kind in (layers, arrays, everywhere) if name in kind]) > 1:
            raise ValueError(f"{argument} must hold unique names, got {shown(name)}, which names {' and '.join(meant)}")
        if name not in known:
            raise ValueError(f"{argument} must hold names among {', '.join(known)}, got {shown(name)}")
