"""What the writers of program text share: numbers, names, and the lines that say what a file is."""

from __future__ import annotations

import json
import math
import re
from typing import Any

from nncore._version import __version__
from nncore.export.plan import Plan
from nncore.export.steps import Array

__all__ = ["about", "identifier", "numbers", "wrapped"]

DIGITS = {4: ".9g", 8: ".17g"}  # of a number of this many bytes: read again, they give the same number


def numbers(array: Array, suffix: str = "") -> list[str]:
    """The numbers of an array, row by row, so that they are read as they were."""
    if array.dtype.kind == "i":
        return [str(value) for value in array.ravel().tolist()]
    form = DIGITS[array.dtype.itemsize]
    texts = [format(value, form) for value in array.ravel().tolist()]
    return [(text if "." in text or "e" in text else f"{text}.0") + suffix for text in texts]


def wrapped(texts: list[str], indent: str = "    ") -> str:
    """A list over indented lines, of equally many each."""
    many = max(1, 112 // (max(map(len, texts)) + 2))
    return ",\n".join(indent + ", ".join(texts[first : first + many]) for first in range(0, len(texts), many))


def identifier(stem: str) -> str:
    """The name of a file as a name in a program: letters, digits and _."""
    name = re.sub(r"[^0-9A-Za-z_]", "_", stem)
    return name if re.match("[A-Za-z_]", name) else f"net_{name}"


def about(plan: Plan) -> list[str]:
    """What the file is, for its comments: one line each, in ASCII, whatever the names of columns are."""
    lines = [f"Written by nncore {__version__}: what model.predict computes, for a network of {plan.dtype} numbers."]
    for what, shape, names in (
        ("input", plan.input_shape, plan.feature_names),
        ("output", plan.output_shape, plan.target_names),
    ):
        order = "" if len(shape) == 1 else f", of shape {shape}, row by row"
        many = math.prod(shape)
        lines.append(f"{what}: {many} number{'s' * (many > 1)}{order}" + (f": {_listed(names)}" if names else ""))
    return lines


def _listed(names: Any) -> str:
    return json.dumps([str(name) for name in names])
