"""The steps as calls of the helper functions that the C header and the JavaScript module have under the same names."""

from __future__ import annotations

from typing import Any, NamedTuple

from nncore.export.steps import (
    Activation,
    Affine,
    Array,
    Bidirectional,
    Clip,
    Dense,
    Divide,
    Mask,
    Normalize,
    Recurrent,
    Select,
    Step,
    Unclip,
)

__all__ = ["CELLS", "Call", "call_of", "merge_of"]

CELLS = "simple_rnn", "gru", "gru_reset_before"  # of recurrent layers, and the helpers that compute them


class Call(NamedTuple):
    """A helper, the arrays that it gets first, and the numbers that it gets last."""

    helper: str
    arrays: dict[str, Array]
    numbers: tuple[float, ...]
    room: int = 0  # numbers of scratch space


def call_of(step: Step) -> Call:
    """The call that computes a step."""
    if isinstance(step, Dense):
        return Call("dense", {"W": step.weight, "b": step.bias}, step.weight.shape)
    if isinstance(step, (Affine, Divide)):
        return Call(type(step).__name__.lower(), step._asdict(), (step.width,))
    if isinstance(step, Normalize):
        sizes = (step.groups, step.width // step.groups, int(step.centered), step.eps)
        return Call("normalize", {"weight": step.weight, "bias": step.bias}, sizes)
    if isinstance(step, Recurrent):
        return _recurrent(step)
    if isinstance(step, Mask):
        return Call("mask", {}, step)
    if isinstance(step, Select):
        return Call("select", {"columns": step.columns}, (step.width,))
    if isinstance(step, (Clip, Unclip)):
        return Call(type(step).__name__.lower(), {}, (step.width, step.limit))
    helper = step.kernel if isinstance(step, Activation) else "cast"
    return Call(helper, {}, (step.width,))


def _recurrent(step: Recurrent) -> Call:
    arrays: dict[str, Any] = {
        "W": step.weight, "b": step.bias, "U": step.recurrent_weight, "c": step.recurrent_bias,
    }  # fmt: skip
    if step.reset_weight is not None:
        arrays["V"] = step.reset_weight
    sizes = (step.steps, step.weight.shape[1], step.units, int(step.sequences), int(step.reverse), step.keep)
    return Call(step.cell, arrays, sizes, 2 * len(step.bias))


def merge_of(step: Bidirectional) -> Call:
    """The call that makes one of the results of both directions."""
    width, units = step.forward.width, step.forward.units
    return Call("join", {}, (width, units)) if step.factor is None else Call("add", {}, (width, step.factor))
