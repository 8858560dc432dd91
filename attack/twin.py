"""The forward pass of a model in plain NumPy, from the twins of its kernels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

import nncore as nn
from nncore import reference
from nncore.export import steps
from nncore.export.of_layers import steps_of_layer

__all__ = ["forward"]

Array = NDArray[Any]


def forward(model: nn.Sequential, X: Array, dtype: str) -> Array:
    """The outputs at inference, without scalers, computed in the precision ``dtype``."""
    h, mask = np.asarray(X, dtype).reshape(len(X), -1), None
    for layer in model.layers:
        for step in steps_of_layer(layer, model.dtype):
            if isinstance(step, steps.Mask):
                mask = reference.mask_steps(h.reshape(len(h), step.steps, step.inputs), step.value, mask)
            elif isinstance(step, steps.Bidirectional):
                ends = [_recurrent(h, _converted(part, dtype), mask) for part in step.parts.values()]
                y = reference.join_rows(*ends) if step.factor is None else reference.add_rows(*ends, step.factor)
                h = y.reshape(len(h), -1)
            elif isinstance(step, steps.Recurrent):
                h = _recurrent(h, _converted(step, dtype), mask).reshape(len(h), -1)
            else:
                h = TWINS[type(step)](h, _converted(step, dtype))
    return h.reshape(len(X), *model.output_shape)


def _converted(step: Any, dtype: str) -> Any:
    arrays = {name: value for name, value in step._asdict().items() if isinstance(value, np.ndarray)}
    return step._replace(**{name: value.astype(dtype) if value.dtype.kind == "f" else value for name, value in arrays.items()})


def _activation(h: Array, step: steps.Activation) -> Array:
    return np.asarray(getattr(reference, f"{step.kernel}_forward")(h, *step.constants))


def _normalize(h: Array, step: steps.Normalize) -> Array:
    norm = reference.group_norm_forward if step.centered else reference.rms_norm_forward
    groups = h.reshape(len(h), step.groups, -1)
    return norm(groups, step.weight.reshape(step.groups, -1), step.bias.reshape(step.groups, -1), step.eps).reshape(h.shape)


def _recurrent(h: Array, step: steps.Recurrent, mask: Array | None) -> Array:
    """The states of all steps, or of the last, as (rows, steps or 1, units); steps that are skipped keep the whole state."""
    order = slice(None, None, -1 if step.reverse else 1)
    a = reference.dense_steps_forward(h.reshape(len(h), step.steps, -1), step.weight, step.bias)[:, order]
    keep = step.keep if mask is None else np.where(mask[:, order, None] == 0, 1, step.keep)
    U = step.recurrent_weight
    if step.cell == "gru":
        y = reference.gru_forward(a, U, step.recurrent_bias, keep)[0]
    elif step.cell == "gru_reset_before":
        y = reference.gru_reset_before_forward(a, np.concatenate([U, step.reset_weight]), keep)[0]
    else:
        y = reference.simple_rnn_forward(a + step.recurrent_bias, U, keep)[0]
    return y[:, order] if step.sequences else y[:, -1:]


TWINS: dict[type, Callable[[Array, Any], Array]] = {
    steps.Dense: lambda h, step: reference.dense_forward(h, step.weight, step.bias),
    steps.Affine: lambda h, step: reference.scale_forward(h - step.center, step.factor) + step.offset,
    steps.Activation: _activation,
    steps.Normalize: _normalize,
    steps.Select: lambda h, step: reference.select_forward(h, step.columns),
}
