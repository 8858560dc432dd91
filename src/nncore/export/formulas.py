"""The activations as expressions in C and JavaScript, which differ in the names of functions and in how numbers are written."""

from __future__ import annotations

import re
from collections.abc import Callable

from nncore.export.steps import Activation

__all__ = ["FORMULAS", "expression"]

# z is the input, {0} the first constant. No result is NaN where an exponential overflows.
FORMULAS = {
    "sigmoid": "1 / (1 + exp(-z))",
    "tanh": "tanh(z)",
    "relu": "z < 0 ? 0 : z",
    "softplus": "max(z, 0) + log1p(exp(-abs(z)))",
    "silu": "z / (1 + exp(-z))",
    "mish": "z * tanh(max(z, 0) + log1p(exp(-abs(z))))",
    "selu": "1.0507009873554805 * (z > 0 ? z : 1.6732632423543772 * expm1(z))",
    "leaky_relu": "z > 0 ? z : {0} * z",
    "elu": "z > 0 ? z : {0} * expm1(z)",
    "gelu": "0.5 * z * erfc(-0.70710678118654752 * z)",
    "gelu_tanh": "z / (1 + exp(-1.5957691216057308 * z * (1 + 0.044715 * z * z)))",
}


def expression(step: Activation, function: Callable[[str], str], number: Callable[[str], str]) -> str:
    """σ(z), with functions and numbers as a language has them."""
    text = FORMULAS[step.kernel].format(*(repr(constant) for constant in step.constants))
    text = re.sub(r"(?<![\w.])\d+(\.\d+)?(e[+-]?\d+)?", lambda match: number(match[0]), text)
    return re.sub(r"[a-z]\w*(?=\()", lambda match: function(match[0]), text)
