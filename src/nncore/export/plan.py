"""What is exported: the steps of a model with its scalers, and examples to test a file with."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from nncore.export.of_layers import steps_of_layer
from nncore.export.of_scalers import steps_backward, steps_forward
from nncore.export.steps import Array, Cast, Mask, Step, folded

__all__ = ["Plan", "plan_of"]

EXAMPLES = 5


class Plan(NamedTuple):
    """All that a writer needs."""

    steps: list[Step]
    dtype: np.dtype[Any]
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    feature_names: tuple[str, ...] | None
    target_names: tuple[str, ...] | None
    examples: Array  # (EXAMPLES, inputs)
    expected: Array  # (EXAMPLES, outputs): what predict returns for them, without the rounding of a compute_dtype

    @property
    def inputs(self) -> int:
        return math.prod(self.input_shape)

    @property
    def outputs(self) -> int:
        return math.prod(self.output_shape)


def plan_of(model: Any) -> Plan:
    """The plan of a `Sequential`."""
    model = model.astype(model.dtype)  # a copy, as a training may go on meanwhile
    if not (np.isfinite(model.parameters).all() and np.isfinite(model.state).all()):
        raise ValueError("model must have finite parameters to be exported: some are infinite or NaN")
    inputs, outputs = math.prod(model.input_shape), math.prod(model.output_shape)
    steps = folded([step for layer in model.layers for step in steps_of_layer(layer, model.dtype)])
    if model.input_scaler is not None:
        steps = [*_in_double(steps_forward(model.input_scaler), model.dtype, inputs), *steps]
    if model.target_scaler is not None:
        steps = [*steps, *_in_double(steps_backward(model.target_scaler), model.dtype, outputs)]
    X = _examples(model.input_scaler, inputs, model.dtype)
    if steps and isinstance(first := steps[0], Mask):
        X.reshape(EXAMPLES, first.steps, first.inputs)[1, first.steps // 2 :] = first.value
    expected = model.predict(X.reshape(-1, *model.input_shape)).reshape(len(X), outputs)
    names = (model.feature_names or getattr(model.input_scaler, "feature_names_in_", None), model.target_names)
    return Plan(steps, model.dtype, model.input_shape, model.output_shape, *names, X, expected)


def _in_double(steps: list[Step], dtype: np.dtype[Any], width: int) -> list[Step]:
    """The steps of a scaler, between casts unless the model is in double precision itself."""
    double = np.dtype(np.float64)
    return steps if dtype == double else [Cast(double, width), *steps, Cast(dtype, width)]


def _examples(scaler: Any, inputs: int, dtype: np.dtype[Any]) -> Array:
    """Rows in the units of the data, which scaled lie between −1 and 1."""
    rows = np.random.default_rng(0).uniform(-0.9, 0.9, (EXAMPLES, inputs))
    if scaler is not None:
        rows = scaler.inverse_transform(rows * min(1.0, getattr(scaler, "smooth_clip", None) or 1.0))
    return rows.astype(dtype)
