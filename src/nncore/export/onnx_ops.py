"""The activations and the recurrent cells as operators of ONNX: functions that add nodes to a graph and return a name."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from nncore.export.steps import Recurrent

__all__ = ["ACTIVATIONS", "CELLS"]

# The `Graph` has a method op(name, *inputs, **attributes); inputs that are numbers become constants.


def _softplus(g: Any, z: str) -> str:
    """max(z, 0) + log(1 + e^-|z|): runtimes have no Softplus in double precision."""
    e = g.op("Exp", g.op("Neg", g.op("Abs", z)))
    return str(g.op("Add", g.op("Relu", z), g.op("Log", g.op("Add", 1.0, e))))


def _expm1(g: Any, z: str, alpha: float) -> str:
    """z for z > 0, otherwise α (eᶻ − 1), as eᶻ − 1 = 2 t / (1 − t), t = tanh(z/2), which loses no digits near 0."""
    t = g.op("Tanh", g.op("Mul", 0.5, g.op("Min", z, 0.0)))
    below = g.op("Mul", 2 * alpha, g.op("Div", t, g.op("Sub", 1.0, t)))
    return str(g.op("Where", g.op("Greater", z, 0.0), z, below))


def _leaky_relu(g: Any, z: str, slope: float) -> str:
    return str(g.op("Where", g.op("Greater", z, 0.0), z, g.op("Mul", slope, z)))


def _gelu(g: Any, z: str) -> str:
    half = g.op("Mul", 0.5, g.op("Add", 1.0, g.op("Erf", g.op("Mul", math.sqrt(0.5), z))))
    return str(g.op("Mul", z, half))


def _gelu_tanh(g: Any, z: str) -> str:
    cubic = g.op("Add", 1.0, g.op("Mul", 0.044715, g.op("Mul", z, z)))
    tanh = g.op("Tanh", g.op("Mul", g.op("Mul", math.sqrt(2 / math.pi), z), cubic))
    return str(g.op("Mul", z, g.op("Mul", 0.5, g.op("Add", 1.0, tanh))))


ACTIVATIONS: dict[str, Callable[..., str]] = {
    "sigmoid": lambda g, z: g.op("Sigmoid", z),
    "tanh": lambda g, z: g.op("Tanh", z),
    "relu": lambda g, z: g.op("Relu", z),
    "softmax": lambda g, z: g.op("Softmax", z, axis=1),
    "softplus": _softplus,
    "silu": lambda g, z: g.op("Mul", z, g.op("Sigmoid", z)),
    "mish": lambda g, z: g.op("Mul", z, g.op("Tanh", _softplus(g, z))),
    "selu": lambda g, z: g.op("Mul", 1.0507009873554805, _expm1(g, z, 1.6732632423543772)),
    "elu": _expm1,
    "leaky_relu": _leaky_relu,
    "gelu": _gelu,
    "gelu_tanh": _gelu_tanh,
}


def _block(g: Any, name: str, number: int, units: int) -> str:
    """The columns of one gate."""
    ends = (g.constant([units * (number + end)], "int64") for end in (0, 1))
    return str(g.op("Slice", name, *ends, g.constant([1], "int64")))


def _simple_rnn(g: Any, a: str, p: str, h: str, step: Recurrent) -> str:
    return str(g.op("Tanh", g.op("Add", a, p)))


def _gru(g: Any, a: str, p: str, h: str, step: Recurrent) -> str:
    """r, z = sigmoid(a + p) of the first two blocks, n = tanh(a + r p) of the third; (1 − z) n + z h."""
    r, z = (g.op("Sigmoid", g.op("Add", _block(g, a, i, step.units), _block(g, p, i, step.units))) for i in (0, 1))
    n = g.op("Tanh", g.op("Add", _block(g, a, 2, step.units), g.op("Mul", r, _block(g, p, 2, step.units))))
    return str(g.op("Add", g.op("Mul", g.op("Sub", 1.0, z), n), g.op("Mul", z, h)))


def _gru_reset_before(g: Any, a: str, p: str, h: str, step: Recurrent) -> str:
    """r, z = sigmoid(a + p) of the first two blocks, n = tanh(a + V (r h)) of the third; (1 − z) n + z h."""
    assert step.reset_weight is not None
    r, z = (g.op("Sigmoid", g.op("Add", _block(g, a, i, step.units), _block(g, p, i, step.units))) for i in (0, 1))
    q = g.op("MatMul", g.op("Mul", r, h), g.constant(step.reset_weight.T))
    n = g.op("Tanh", g.op("Add", _block(g, a, 2, step.units), q))
    return str(g.op("Add", g.op("Mul", g.op("Sub", 1.0, z), n), g.op("Mul", z, h)))


CELLS: dict[str, Callable[[Any, str, str, str, Recurrent], str]] = {
    "simple_rnn": _simple_rnn, "gru": _gru, "gru_reset_before": _gru_reset_before,
}  # fmt: skip
