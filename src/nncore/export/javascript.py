"""The writer of JavaScript modules."""

from __future__ import annotations

from nncore.export.calls import CELLS, call_of
from nncore.export.formulas import expression
from nncore.export.js_helpers import HELPERS
from nncore.export.plan import Plan
from nncore.export.steps import Activation, Array, Cast, Step
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
    arrays: list[str] = []
    functions: dict[str, str] = {}
    lines = ["let h = Array.from(x, Number);", f"if (h.length !== {plan.inputs}) throw new RangeError({_refused(plan)});"]
    for number, step in enumerate(plan.steps, 1):
        if isinstance(step, Cast):  # there is one precision
            continue
        call = call_of(step)
        for helper in CALLED.get(call.helper, ()):
            functions[helper] = HELPERS[helper]
        name = _function(step, call.helper, number, functions)
        arrays += [_array(f"{key}{number}", array) for key, array in call.arrays.items()]
        sizes = call.numbers[call.helper not in SIZED :]
        arguments = [*(f"{key}{number}" for key in call.arrays), "h", *map(repr, sizes)]
        lines.append(f"h = {name}({', '.join(arguments)});")
    head = "".join(f"// {line}\n" for line in [*about(plan), PRECISION[str(plan.dtype)]])
    body = "".join(f"  {line}\n" for line in [*lines, "return h;"])
    doc = "/** The outputs for one example.\n * @param {ArrayLike<number>} x\n * @returns {number[]} */\n"
    return "\n".join([head, *arrays, *functions.values(), f"{doc}export function predict(x) {{\n{body}}}\n"]).encode()


def _refused(plan: Plan) -> str:
    return f"`x must have {plan.inputs} numbers, got ${{h.length}}`"


def _array(name: str, array: Array) -> str:
    return f"const {name} = new {ARRAYS[str(array.dtype)]}([\n{wrapped(numbers(array), '  ')},\n]);\n"


def _function(step: Step, helper: str, number: int, functions: dict[str, str]) -> str:
    """The name of the function that computes a step, which is added to ``functions``."""
    if isinstance(step, Activation) and helper not in HELPERS:
        name = f"{helper}{number}" if step.constants else helper
        formula = expression(step, lambda function: function if function == "erfc" else f"Math.{function}", str)
        functions[name] = f"const {name} = (x) => x.map((z) => {formula});\n"
        return name
    functions[helper] = HELPERS[helper]
    return helper
