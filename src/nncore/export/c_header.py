"""The writer of C headers: one file of C99, which is also C++, without allocation."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np

from nncore.export.c_helpers import HELPERS
from nncore.export.calls import CELLS, Call, call_of, merge_of
from nncore.export.formulas import expression
from nncore.export.plan import Plan
from nncore.export.steps import Activation, Bidirectional, Cast, Dense, Mask, Recurrent, Select, Step
from nncore.export.text import about, identifier, numbers, wrapped

__all__ = ["write"]

TYPES = {4: "float", 8: "double"}
SUFFIX = {"float": "f", "double": "", "int": ""}  # of literals and of the functions of math.h


def write(plan: Plan, stem: str) -> bytes:
    """The header, as UTF-8."""
    name, header = identifier(stem), _Header(plan, identifier(stem))
    for number, step in enumerate(plan.steps, 1):
        header.add(str(number), step)
    guard, functions = f"{name.upper()}_H", "\n".join(header.functions.values())
    math_h = "#include <math.h>\n\n" if re.search(r"\b(sqrt|exp|tanh|log1p|expm1|erfc|fabs|fmax)f?\(", functions) else ""
    lines = [*about(plan), *_usage(header)]
    parts = [
        "\n".join(f"// {line}".rstrip() for line in lines) + "\n",
        f"#ifndef {guard}\n#define {guard}\n",
        math_h + "\n".join([*header.arrays, functions]),
        header.predict(),
        _self_test(plan, name, header.type),
        "#endif\n",
    ]
    return "\n".join(parts).encode()


def _usage(header: _Header) -> list[str]:
    name, sizes = header.name, {"int": 4, "float": 4, "double": 8}
    room = sum(size * sizes[kind] for kind, size in header.room.values())
    return [
        f"{name}_predict(x, y) computes one example. It needs {room} bytes of the stack, and no memory besides the constants.",
        f"cc -std=c99 -D{name.upper()}_SELF_TEST -x c THIS_FILE -lm makes a program that returns 0 if it computes rightly.",
    ]


class _Header:
    """The parts of a header that is being written: constants, functions, and the lines of ``predict``."""

    def __init__(self, plan: Plan, name: str) -> None:
        self.plan, self.name = plan, name
        self.type = self.current = TYPES[plan.dtype.itemsize]  # of the model, and of the numbers at hand
        self.arrays: list[str] = []
        self.functions: dict[str, str] = {}
        self.calls: list[str] = []
        self.room: dict[str, tuple[str, int]] = {}  # the arrays of predict: type and size
        self.value = "x"  # the array at hand
        self.skip = "0"  # the latest mask; no address, at first

    def add(self, label: str, step: Step) -> None:
        """Add what computes a step; names of its arrays end with ``label``."""
        if isinstance(step, Bidirectional):
            self._add_both(label, step)
            return
        call, before = call_of(step), self.current
        if isinstance(step, Cast):
            self.current = TYPES[step.dtype.itemsize]
        names = [self._array(f"{self.name}_{name}{label}", array) for name, array in call.arrays.items()]
        function = self._function(step, call.helper, label, before)
        if isinstance(step, Mask):
            before, self.skip = self.skip, self._room(f"skip{label}", "int", step.steps)
            self._call(function, [self.value, before, self.skip], call)
            return
        result = self.value
        if result == "x" or isinstance(step, (Cast, Dense, Recurrent, Select)):  # which do not work number by number
            result = self._room(f"h{label}", self.current, step.width)
        arrays = [*names, self.value, result]
        if isinstance(step, Recurrent):
            arrays += [self._room(f"room{label}", self.current, call.room), self.skip]
        self._call(function, arrays, call)
        self.value = result

    def _add_both(self, label: str, step: Bidirectional) -> None:
        """Add both directions, which read the same array, and what makes one of their results."""
        x, ends, call = self.value, [], merge_of(step)
        for direction, part in step.parts.items():
            self.value = x
            self.add(f"{label}_{direction}", part)
            ends.append(self.value)
        self.value = self._room(f"h{label}", self.current, step.width)
        self._call(self._helper(call.helper, HELPERS[call.helper], self.current), [*ends, self.value], call)

    def _room(self, name: str, kind: str, size: int) -> str:
        """An array of ``predict``."""
        self.room[name] = kind, size
        return name

    def _call(self, function: str, arrays: list[str], call: Call) -> None:
        self.calls.append(f"{function}({', '.join([*arrays, *map(repr, call.numbers)])});")

    def _array(self, name: str, array: Any) -> str:
        kind = "int" if array.dtype.kind == "i" else self.current
        self.arrays.append(f"static const {kind} {name}[{array.size}] = {{\n{wrapped(numbers(array, SUFFIX[kind]))}\n}};\n")
        return name

    def _function(self, step: Step, helper: str, label: str, before: str) -> str:
        """The name of the function for a step, added with those that it calls if it is new."""
        if helper in CELLS:
            self._helper("dense", HELPERS["dense"], before)
        if helper in HELPERS:
            return self._helper(helper, HELPERS[helper], before)
        assert isinstance(step, Activation)
        suffix = SUFFIX[self.current]
        rename = {"abs": "fabs", "max": "fmax"}
        formula = expression(step, lambda name: rename.get(name, name) + suffix, lambda text: _literal(text, suffix))
        own = f"{helper}{label}" if step.constants else helper
        return self._helper(own, ACTIVATION.replace("KERNEL", own).replace("FORMULA", formula), before)

    def _helper(self, helper: str, text: str, before: str) -> str:
        """A function in the type at hand, added once."""
        suffix = SUFFIX[self.current]
        last = "" if self.current == self.type and helper != "cast" else f"_{self.current}"
        words = {"FROM": before, "TYPE": self.current, "EXP": f"exp{suffix}", "TANH": f"tanh{suffix}"}
        for word, replacement in words.items():
            text = re.sub(rf"\b{word}\b", replacement, text)
        text = text.replace(f"void {helper}(", f"void {self.name}_{helper}{last}(")
        text = text.replace("  dense(", f"  {self.name}_dense{last}(")  # the one that others call
        self.functions[helper + last] = text
        return f"{self.name}_{helper}{last}"

    def predict(self) -> str:
        """The function that makes a prediction."""
        room = [f"{kind} {name}[{size}];" for name, (kind, size) in self.room.items()]
        copy = f"for (int i = 0; i < {self.plan.outputs}; i++) y[i] = {self.value}[i];"
        head = f"static inline void {self.name}_predict(const {self.type} *x, {self.type} *y) {{\n"
        return head + "".join(f"    {line}\n" for line in [*room, *self.calls, copy]) + "}\n"


ACTIVATION = """\
/* y = FORMULA, z = x */
static inline void KERNEL(const TYPE *x, TYPE *y, int n) {
    for (int i = 0; i < n; i++) {
        const TYPE z = x[i];
        y[i] = FORMULA;
    }
}
"""


def _literal(text: str, suffix: str) -> str:
    return text + suffix if "." in text or "e" in text else text


def _self_test(plan: Plan, name: str, kind: str) -> str:
    """A main that computes the examples: 0 if each is as expected, to rounding."""
    widths = [step.weight.shape[1] if isinstance(step, (Dense, Recurrent)) else step.width for step in plan.steps]
    finite = np.abs(plan.expected[np.isfinite(plan.expected)])
    tolerance = 64 * np.finfo(plan.dtype).eps * math.sqrt(max(widths, default=1)) * finite.max(initial=0)
    values = {"X": plan.examples, "Y": plan.expected}
    arrays = "".join(
        f"    static const {kind} {key}[{array.size}] = {{\n{_expected(array, SUFFIX[kind])}\n    }};\n"
        for key, array in values.items()
    )
    return SELF_TEST.format(
        guard=f"{name.upper()}_SELF_TEST", name=name, kind=kind, arrays=arrays, rows=len(plan.examples), inputs=plan.inputs,
        outputs=plan.outputs, tolerance=repr(float(tolerance)),
    )  # fmt: skip


def _expected(array: Any, suffix: str) -> str:
    """Numbers, which are infinite where the inverse of a scaler is."""
    return wrapped([re.sub(r"inf.*", "INFINITY", text) for text in numbers(array, suffix)], " " * 8)


SELF_TEST = """\
#ifdef {guard}
int main(void) {{
{arrays}\
    {kind} y[{outputs}];
    for (int row = 0; row < {rows}; row++) {{
        {name}_predict(X + row * {inputs}, y);
        for (int i = 0; i < {outputs}; i++) {{
            const double difference = (double)y[i] - (double)Y[row * {outputs} + i];
            if (y[i] != Y[row * {outputs} + i] && !(difference <= {tolerance} && difference >= -{tolerance})) return 1;
        }}
    }}
    return 0;
}}
#endif
"""
