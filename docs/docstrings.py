"""What the pages make of a docstring: formulas in TeX, parameters as code, each parameter's description below its type."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

from docutils import nodes
from formulas import with_formulas, with_inline_formulas

NAME = re.compile(r"(?<![`:\w])`(\w+)`(?!`)")


def parameters(value: Any) -> set[str]:
    """The names of the parameters of a function or class; none where there is no signature."""
    try:
        return {*inspect.signature(value).parameters} - {"self"}
    except (TypeError, ValueError):
        return set()


def mark_parameters(value: Any, lines: list[str]) -> list[str]:
    """The parameters of what a docstring describes, as code: they are no names to look up."""
    own = parameters(value)
    return [NAME.sub(lambda match: f"``{match[1]}``" if match[1] in own else match[0], line) for line in lines]


def prose(text: str) -> str:
    """Text between code: its indices in TeX. |x| is an absolute value, in reStructuredText a substitution: escape it."""
    return with_inline_formulas(text.replace("|", r"\|"))


def with_prose(lines: list[str]) -> Iterator[str]:
    """The lines, with what is neither code nor a formula of its own prepared by `prose`."""
    code = False
    for line in lines:
        code = line.lstrip().startswith((">>>", ".. math::", r"\begin")) or (code and bool(line.strip()))
        parts = re.split(r"(`+[^`]*`+)", line)
        yield line if code else "".join(part if n % 2 else prose(part) for n, part in enumerate(parts))


def prepared(value: Any, lines: list[str]) -> list[str]:
    """The lines of a docstring as the pages show them."""
    return [*with_prose(mark_parameters(value, with_formulas(lines)))]


def process(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    lines[:] = prepared(obj, lines)


def descriptions_below(app: Any, doctree: nodes.document) -> None:
    """In lists of parameters, **name** (*type*) -- description: a new line instead of the dashes."""
    for field in doctree.findall(nodes.field):
        for entry in field.findall(nodes.paragraph):
            dashes = next((text for text in entry.findall(nodes.Text) if re.match(r"\)? -- ", text)), None)
            if entry and isinstance(entry[0], nodes.strong) and dashes is not None:
                head, _, tail = dashes.partition(" -- ")
                where = dashes.parent
                at = where.index(dashes)
                where[at : at + 1] = [nodes.Text(head), nodes.raw("", "<br>", format="html"), nodes.Text(tail)]


def setup(app: Any) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("autodoc-process-docstring", process, priority=400)  # before napoleon, while sections have their underlines
    app.connect("doctree-read", descriptions_below)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
