"""The writer of JavaScript modules."""

from __future__ import annotations

import numpy as np

from nncore.export.calls import CELLS, call_of, merge_of
from nncore.export.formulas import expression
from nncore.export.js_helpers import HELPERS
from nncore.export.plan import Plan
from nncore.export.steps import Activation, Array, Bidirectional, Cast, Mask, Recurrent, Step
from nncore.export.text import about, numbers, wrapped

__all__ = ["write"]

ARRAYS = {"float32": "Float32Array", "float64": "Float64Array", "int64": "Int32Array"}
CALLED = {**dict.fromkeys(CELLS, ("dense", "recurrent")), "gelu": ("erfc",)}  # by other functions
SIZED = {"dense", "normalize", *CELLS}  # the others see the number of numbers, which comes first, from x
PRECISION = {
    "float32": "All computation is in double precision: results differ by the rounding of the float32 model, about 1e-6.",
    "float64": "All computation is in double precision, as in the model.",
}


def write(plan: Plan, stem: str) -> bytes:
    """The module, as UTF-8. ``stem`` is not used: a module has the name by which it is imported."""
    module = _Module()
    for number, step in enumerate(plan.steps, 1):
        if not isinstance(step, Cast):  # there is one precision
            module.add(str(number), step, plan)
    head = "".join(f"// {line}\n" for line in [*about(plan), PRECISION[str(plan.dtype)]])
    check = f"if (h.length !== {plan.inputs}) throw new RangeError({_refused(plan)});"
    body = "".join(f"  {line}\n" for line in ["let h = Array.from(x, Number);", check, *module.lines, "return h;"])
    doc = "/** The outputs for one example.\n * @param {ArrayLike<number>} x\n * @returns {number[]} */\n"
    parts = [head, *module.arrays, *module.functions.values(), f"{doc}export function predict(x) {{\n{body}}}\n"]
    return "\n".join(parts).encode()


class _Module:
    """The parts of a module that is being written: constants, functions, and the lines of ``predict``."""

    def __init__(self) -> None:
        self.arrays: list[str] = []
        self.functions: dict[str, str] = {}
        self.lines: list[str] = []
        self.skip = "[]"  # the latest mask, at first without any step

    def add(self, label: str, step: Step, plan: Plan) -> None:
        """Add what computes a step; names of its arrays end with ``label``."""
        if isinstance(step, Bidirectional):
            call = merge_of(step)
            ends = [self._result(f"{label}_{direction}", part) for direction, part in step.parts.items()]
            self.functions[call.helper] = HELPERS[call.helper]
            self.lines.append(f"h = {call.helper}({', '.join([*ends, repr(call.numbers[1])])});")
        elif isinstance(step, Mask):
            x = "h.map(Math.fround)" if plan.dtype == np.float32 else "h"  # equal in the precision of the model
            self.lines.append(f"const skip{label} = {self._result(label, step, x)};")
            self.skip = f"skip{label}"
        else:
            self.lines.append(f"h = {self._result(label, step)};")

    def _result(self, label: str, step: Step, x: str = "h") -> str:
        """The call that computes a step of x."""
        call = call_of(step)
        for helper in CALLED.get(call.helper, ()):
            self.functions[helper] = HELPERS[helper]
        name = _function(step, call.helper, label, self.functions)
        self.arrays += [_array(f"{key}{label}", array) for key, array in call.arrays.items()]
        sizes = call.numbers[call.helper not in SIZED :]
        skip = [self.skip] if isinstance(step, (Mask, Recurrent)) else []
        return f"{name}({', '.join([*(f'{key}{label}' for key in call.arrays), x, *skip, *map(repr, sizes)])})"


def _refused(plan: Plan) -> str:
    return f"`x must have {plan.inputs} numbers, got ${{h.length}}`"


def _array(name: str, array: Array) -> str:
    return f"const {name} = new {ARRAYS[str(array.dtype)]}([\n{wrapped(numbers(array), '  ')},\n]);\n"


def _function(step: Step, helper: str, label: str, functions: dict[str, str]) -> str:
    """The name of the function that computes a step, which is added to ``functions``."""
    if isinstance(step, Activation) and helper not in HELPERS:
        name = f"{helper}{label}" if step.constants else helper
        formula = expression(step, lambda function: function if function == "erfc" else f"Math.{function}", str)
        functions[name] = f"const {name} = (x) => x.map((z) => {formula});\n"
        return name
    functions[helper] = HELPERS[helper]
    return helper
