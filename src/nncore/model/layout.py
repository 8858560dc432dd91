"""Memory layout of a model: names and shapes of its layers, and their arrays within the vectors θ, ∂l/∂θ and state."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from nncore import _kernels
from nncore._messages import shown
from nncore._utils.arrays import Array, returned
from nncore._utils.each import Each
from nncore._utils.hints import warn
from nncore._utils.own import is_own, replaced
from nncore.initializers import Zeros
from nncore.layers import Layer, Masking

__all__ = [
    "check_layers", "check_sequences", "checked_compute_dtype", "checked_shape", "declare", "draw", "name_layers",
    "place_arrays",
]  # fmt: skip


LARGEST_BFLOAT16 = (2 - 2.0**-7) * 2.0**127


def checked_compute_dtype(compute_dtype: Any, dtype: np.dtype[Any]) -> str:
    """The type of the operands of products, checked; None: the dtype of the network."""
    if compute_dtype is None or (isinstance(compute_dtype, str) and compute_dtype == str(dtype)):
        return str(dtype)
    if not (isinstance(compute_dtype, str) and compute_dtype == "bfloat16"):
        raise ValueError(f"compute_dtype must be bfloat16, or None for the dtype {dtype}, got {shown(compute_dtype)}")
    if dtype != np.float32:
        raise ValueError(f"compute_dtype bfloat16 needs the dtype float32, got {dtype}")
    if not _kernels.has_bfloat16():
        warn(
            f"{_kernels.isa_name} has no products of bfloat16 numbers: they are computed in float32, with the same bits, "
            "and take longer than those of compute_dtype=None",
            RuntimeWarning,
        )
    return "bfloat16"


def check_layers(layers: Sequence[Any]) -> None:
    """Raise unless all are layers, each occurs once and none belongs to another model."""
    if not layers:
        raise ValueError("layers must hold at least one layer, got none")
    earlier: set[int] = set()
    for position, layer in enumerate(layers):
        if not isinstance(layer, Layer):
            raise TypeError(f"layers[{position}] must be a Layer, got {shown(layer)}")
        cls = type(layer)
        if cls.emit is not Layer.emit and not replaced(cls, "emit") and (name := replaced(cls, "forward", "backward")):
            compiled = next(base.__name__ for base in cls.__mro__ if is_own(base))
            raise TypeError(
                f"layers[{position}], {cls.__name__}, defines {name}, which would not be called: {compiled}, from which it "
                "derives, is compiled. Derive it from nn.Layer"
            )
        if layer.reads_sparse and position:
            raise ValueError(f"layers[{position}], {type(layer).__name__}, must be the first layer, which reads the data")
        parts = [id(part) for part in layer.parts]
        if not earlier.isdisjoint(parts):
            raise ValueError(f"layers[{position}] is the same object as an earlier one: make a layer for each position")
        if any(part.owner and part.owner() for part in layer.parts):
            raise ValueError(f"layers[{position}] belongs to another model, whose parameters it holds: make a new one")
        earlier.update(parts)


def name_layers(layers: Iterable[Layer]) -> None:
    """Give unnamed layers a name such as ``dense_2``."""
    counts: Counter[str] = Counter()
    for layer in layers:
        kind = layer.default_name()
        counts[kind] += 1
        vars(layer)["name"] = layer.name or f"{kind}_{counts[kind]}"
    names = ["input", *[layer.name for layer in layers]]
    if len(set(names)) < len(names):
        raise ValueError(f"layer names must differ, got {shown(Counter(names).most_common(1)[0][0])} twice")


def declare(layers: Iterable[Layer], input_shape: tuple[int, ...]) -> tuple[int, int]:
    """Let each layer declare shapes, parameters and state, and assign offsets; returns the sizes of θ and state."""
    shape, size, kept = input_shape, 0, 0
    for layer in layers:
        own = vars(layer)
        own.update(parameters={}, states={}, input_shape=shape)
        own["output_shape"] = shape = checked_shape(layer._declare(shape), f"{layer.label}.build must return")
        own["parameters"], size = _with_offsets(layer.parameters, size)
        own["states"], kept = _with_offsets(layer.states, kept)
    return size, kept


def check_sequences(layers: Sequence[Layer], dtype: np.dtype[Any], compute_dtype: str) -> None:
    """Raise if a layer would read steps that are to be skipped, or layers carry over states of different numbers of rows."""
    largest = LARGEST_BFLOAT16 if compute_dtype == "bfloat16" else float(np.finfo(dtype).max)
    if len(rows := {layer.batch_rows for layer in layers} - {None}) > 1:
        raise ValueError(f"layers must be stateful for the same number of rows, got {sorted(rows)}")  # type: ignore[type-var]
    masking: Layer | None = None
    for layer in layers:
        if isinstance(layer, Masking):
            masking = layer
            if np.abs(layer.value.values if isinstance(layer.value, Each) else layer.value).max() > largest:
                raise ValueError(f"value of {layer.name} must be finite in {compute_dtype}, got {shown(layer.value)}")
        elif masking and not layer.takes_mask:
            raise ValueError(
                f"layer {layer.name} must not read the steps that {masking.name} marks to be skipped: take a recurrent layer "
                f"without return_sequences before it, or {masking.name} away"
            )
        elif len(layer.output_shape) != 2:  # the last state
            masking = None


def _with_offsets(arrays: Mapping[str, Any], first: int) -> tuple[Mapping[str, Any], int]:
    """Place parameters or states consecutively from offset ``first`` on; returns a read-only mapping and the end offset."""
    placed = {}
    for name, array in arrays.items():
        placed[name], first = array._replace(offset=first), first + array.size
    return MappingProxyType(placed), first


def place_arrays(layers: Iterable[Layer], parameters: Array, gradients: Array, state: Array) -> None:
    """Make each layer's arrays views into the vectors."""
    for layer in layers:
        for name, kept in layer.states.items():
            layer.__dict__[name] = state[kept.offset : kept.offset + kept.size].reshape(kept.shape)
        for name, parameter in layer.parameters.items():
            layer.__dict__[name] = parameter.of(parameters)
            layer.__dict__[f"{name}_grad"] = parameter.of(gradients)


def draw(layers: Iterable[Layer], seed: int) -> None:
    """Set initial values. Each array has a separate generator, seeded with (seed, layer, array).

    None of them equals ``default_rng(seed)``, which may have generated the user's data.
    """
    for number, layer in enumerate(layers):
        for name, state in layer.states.items():
            getattr(layer, name)[...] = state.initial
        for index, (name, parameter) in enumerate(layer.parameters.items()):
            view, initializer = getattr(layer, name), parameter.initializer
            if type(initializer) is Zeros:  # as of most biases: no generator is made
                view[...] = 0
                continue
            rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(number, index)))
            values = initializer(parameter.shape, rng, view.dtype)
            if type(values) is not np.ndarray or values.shape != parameter.shape or values.dtype != view.dtype:
                with np.errstate(over="ignore"):
                    values = returned(_what(layer, name), values, parameter.shape).astype(view.dtype)
            view[...] = values
            if not _kernels.all_finite(view):
                raise ValueError(
                    f"{_what(layer, name)} must return finite numbers, got NaN, or a number too large for {view.dtype}"
                )


def _what(layer: Layer, name: str) -> str:
    return f"initializer {shown(layer.parameters[name].initializer)} of {layer.name}.{name}"


def checked_shape(shape: Any, what: str = "input_shape must be") -> tuple[int, ...]:
    """A shape, or the one axis of it, as a tuple."""
    axes = shape if isinstance(shape, tuple) else (shape,)
    whole = all(isinstance(n, (int, np.integer)) and not isinstance(n, bool) for n in axes)
    if not axes or not whole or not all(0 < n < 2**63 for n in axes):
        raise ValueError(f"{what} a positive integer or a tuple of them, got {shown(shape)}")
    return tuple(map(int, axes))
