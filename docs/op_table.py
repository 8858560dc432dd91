"""The directive ``.. op-table::``: all ops with their arrays, sizes and constants, as op_table.h declares them."""

from __future__ import annotations

from typing import Any

from nncore import _kernels


def rows() -> list[tuple[str, str, str, str, str]]:
    """One row per op: its name, its arrays (outputs in bold), its sizes, its constants, and how many coefficients it reads."""
    table = _kernels.op_table()
    result = []
    for name in table.names:
        op = table.declaration(name)
        arrays = [
            (f"**{array}**" if written else array) + " or None" * optional
            for array, written, optional in zip(op.arrays, op.written, op.optional, strict=True)
        ]
        sizes = [size + " = 0" * (n >= op.least_sizes) for n, size in enumerate(op.sizes)]
        result.append((f"``{name}``", ", ".join(arrays), ", ".join(sizes), ", ".join(op.constants), str(op.coefficients or "")))
    return result


def text() -> list[str]:
    """The table in reStructuredText."""
    lines = [".. list-table::", "   :header-rows: 1", "   :widths: 26 36 20 10 8", ""]
    for row in [("name", "arrays", "sizes", "constants", "coefficients"), *rows()]:
        lines += [f"   {'* -' if n == 0 else '  -'} {cell}".rstrip() for n, cell in enumerate(row)]
    return lines


def setup(app: Any) -> dict[str, bool]:
    """Register the directive with Sphinx."""
    from docutils import nodes
    from docutils.parsers.rst import Directive
    from docutils.statemachine import StringList

    class OpTable(Directive):
        def run(self) -> list[nodes.Node]:
            parent = nodes.section()
            self.state.nested_parse(StringList(text(), "op_table"), 0, parent)
            return parent.children

    app.add_directive("op-table", OpTable)
    return {"parallel_read_safe": True}
