"""The writer of Python modules: one function, which needs NumPy only."""

from __future__ import annotations

from typing import Any

from nncore.export.plan import Plan
from nncore.export.steps import (
    Activation,
    Affine,
    Bidirectional,
    Cast,
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
from nncore.export.text import about, numbers, wrapped

__all__ = ["write"]

SIGMOID = "np.where({0} >= 0, 1 / (1 + np.exp(-np.abs({0}))), np.exp(-np.abs({0})) / (1 + np.exp(-np.abs({0}))))"
SOFTPLUS = "np.maximum(h, 0) + np.log1p(np.exp(-np.abs(h)))"
FORMULAS = {  # h is the input, {0} the first constant. No result is NaN, nor a warning given, where an exponential overflows.
    "sigmoid": SIGMOID.format("h"),
    "tanh": "np.tanh(h)",
    "relu": "np.maximum(h, 0)",
    "softplus": SOFTPLUS,
    "silu": f"h * {SIGMOID.format('h')}",
    "mish": f"h * np.tanh({SOFTPLUS})",
    "selu": "1.0507009873554805 * np.where(h > 0, h, 1.6732632423543772 * np.expm1(np.minimum(h, 0)))",
    "leaky_relu": "np.where(h > 0, h, {0} * h)",
    "elu": "np.where(h > 0, h, {0} * np.expm1(np.minimum(h, 0)))",
    "gelu": "(0.5 * h * np.vectorize(math.erfc, otypes=[float])(-math.sqrt(0.5) * h)).astype(h.dtype)",
    "gelu_tanh": "0.5 * h * (1 + np.tanh(0.7978845608028654 * (h + 0.044715 * h**3)))",
}


def write(plan: Plan, stem: str) -> bytes:
    """The module, as UTF-8."""
    arrays: list[str] = []
    first = next(iter(plan.steps), None)
    dtype = first.dtype if isinstance(first, Cast) else plan.dtype  # scalers take the numbers as they are given
    body = [f"h = np.asarray(X, dtype=np.{dtype}).reshape(len(X), {plan.inputs})"]
    skip = ""  # the name of the latest mask
    for number, step in enumerate(plan.steps[isinstance(first, Cast) :], 1):
        body += _lines(step, number, arrays, skip)
        skip = f"skip{number}" if isinstance(step, Mask) else skip
    shape = ", ".join(map(str, plan.output_shape))
    body.append("return h" if len(plan.output_shape) == 1 else f"return h.reshape(len(h), {shape})")
    shapes = [f"(n, {', '.join(map(str, shape))})" for shape in (plan.input_shape, plan.output_shape)]
    head = "".join(f"# {line}\n" for line in about(plan))
    imports = "import math\n\n" * any("math." in line for line in body) + "import numpy as np\n"
    doc = f'    """The outputs {shapes[1]} for the rows of X {shapes[0]}."""\n'
    text = f"{head}\n{imports}\n{''.join(arrays)}\n\ndef predict(X):\n{doc}" + "".join(f"    {line}\n" for line in body)
    return text.encode()


def _lines(step: Step, number: int, arrays: list[str], skip: str) -> list[str]:
    """The statements that replace h by the step's result; its constants are added to ``arrays``."""

    def constant(name: str, array: Any) -> str:
        shape = f".reshape{array.shape}" if array.ndim > 1 else ""
        text = wrapped(numbers(array)).replace(",", "")  # which Python reads ten times as fast as a list
        arrays.append(f'{name}{number} = np.array("""\n{text}\n""".split(), dtype=np.{array.dtype}){shape}\n')
        return f"{name}{number}"

    if isinstance(step, Dense):
        return [f"h = h @ {constant('W', step.weight)}.T + {constant('b', step.bias)}"]
    if isinstance(step, Affine):
        center, factor, offset = (constant(name, array) for name, array in step._asdict().items())
        return [f"h = (h - {center}) * {factor} + {offset}"]
    if isinstance(step, Divide):
        return [f"h = (h - {constant('center', step.center)}) / {constant('divisor', step.divisor)}"]
    if isinstance(step, Activation):
        return _activation(step)
    if isinstance(step, Normalize):
        return _normalize(step, constant)
    if isinstance(step, Mask):
        equal = f"(h.reshape(len(h), {step.steps}, {step.inputs}) == {step.value!r}).all(axis=2)"
        return [f"skip{number} = {equal}" + f" | {skip}" * bool(skip)]
    if isinstance(step, (Recurrent, Bidirectional)):
        return _sequence(step, constant, skip)
    if isinstance(step, Select):
        return [f"h = h[:, {constant('columns', step.columns)}]"]
    if isinstance(step, Clip):
        return [f"share = np.clip(h / {step.limit!r}, -1e150, 1e150)", f"h = {step.limit!r} * share / np.sqrt(1 + share**2)"]
    if isinstance(step, Unclip):
        root = "np.sqrt((1 - share) * (1 + share))"  # 0 from the limit on
        return [f"share = np.clip(h / {step.limit!r}, -1, 1)", 'with np.errstate(divide="ignore"):', f"    h = h / {root}"]
    return [f"h = h.astype(np.{step.dtype})"]


def _activation(step: Activation) -> list[str]:
    if step.kernel == "softmax":
        return ["h = np.exp(h - h.max(axis=1, keepdims=True))", "h = h / h.sum(axis=1, keepdims=True)"]
    return [f"h = {FORMULAS[step.kernel].format(*(repr(constant) for constant in step.constants))}"]


def _normalize(step: Normalize, constant: Any) -> list[str]:
    return [
        f"groups = h.astype(np.float64).reshape(len(h), {step.groups}, {step.width // step.groups})",
        *["groups = groups - groups.mean(axis=2, keepdims=True)"] * step.centered,
        f"groups = groups / np.sqrt((groups**2).mean(axis=2, keepdims=True) + {step.eps!r})",
        f"h = groups.reshape(h.shape).astype(h.dtype) * {constant('weight', step.weight)} + {constant('bias', step.bias)}",
    ]


def _sequence(step: Recurrent | Bidirectional, constant: Any, skip: str) -> list[str]:
    one = step.forward if isinstance(step, Bidirectional) else step
    lines = [f"x = h.reshape(len(h), {one.steps}, {one.weight.shape[1]})"]
    if isinstance(step, Bidirectional):
        for direction, part in step.parts.items():
            lines += _recurrent(part, lambda name, array, of=direction: constant(f"{of}_{name}", array), skip)
            lines += ["first = h"] * (direction == "forward")
        merged = "np.concatenate([first, h], axis=-1)" if step.factor is None else f"{step.factor!r} * (first + h)"
        lines.append(f"h = {merged}")
    else:
        lines += _recurrent(step, constant, skip)
    return [*lines, *[f"h = h.reshape(len(h), {step.width})"] * one.sequences]


def _recurrent(step: Recurrent, constant: Any, skip: str) -> list[str]:
    """Statements that make h the states of all steps, or the last, from x."""
    W, b = constant("W", step.weight), constant("b", step.bias)
    U, c = constant("U", step.recurrent_weight), constant("c", step.recurrent_bias)
    order = f"reversed(range({step.steps}))" if step.reverse else f"range({step.steps})"
    new = f"{step.keep!r} * h + {1 - step.keep!r} * new" if step.keep else "new"
    lines = [
        f"h, states = np.zeros((len(x), {step.units}), x.dtype), []",
        f"for t in {order}:",
        f"    a, p = x[:, t] @ {W}.T + {b}, h @ {U}.T + {c}",
        *([f"    V = {constant('V', step.reset_weight)}"] if step.reset_weight is not None else []),
        *CELLS[step.cell],
        f"    h = np.where({skip}[:, t, None], h, {new})" if skip else f"    h = {new}",
        "    states.append(h)",
    ]
    return [*lines, *[f"h = np.stack(states{'[::-1]' * step.reverse}, axis=1)"] * step.sequences]


CELLS = {
    "simple_rnn": ["    new = np.tanh(a + p)"],
    "gru": [
        "    (a_r, a_z, a_n), (p_r, p_z, p_n) = np.split(a, 3, axis=1), np.split(p, 3, axis=1)",
        "    r, z = 0.5 + 0.5 * np.tanh(0.5 * (a_r + p_r)), 0.5 + 0.5 * np.tanh(0.5 * (a_z + p_z))",
        "    new = (1 - z) * np.tanh(a_n + r * p_n) + z * h",
    ],
    "gru_reset_before": [
        "    (a_r, a_z, a_n), (p_r, p_z) = np.split(a, 3, axis=1), np.split(p, 2, axis=1)",
        "    r, z = 0.5 + 0.5 * np.tanh(0.5 * (a_r + p_r)), 0.5 + 0.5 * np.tanh(0.5 * (a_z + p_z))",
        "    new = (1 - z) * np.tanh(a_n + (r * h) @ V.T) + z * h",
    ],
}
