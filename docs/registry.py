"""The reference from the registries: ``.. summary::`` is a table of their classes, ``.. registry::`` has an entry for each.

``.. registry:: nncore.layers.ACTIVATIONS`` documents each class of a registry, or of a module.

Those that the page has above are left out, so that a page can begin with families and end with all the rest::

    .. registry:: nncore.layers.LAYERS
       :rubric: Others
       :members: initialize_from_data

A rubric stands above them if there are any; members are shown of the classes that have them.

``.. summary:: nncore.losses.LOSSES`` is a table with the first line of each docstring; ``:formula: the update`` adds a column
of that name with the first formula of each docstring. Several registries or classes may be named.
"""

from __future__ import annotations

import inspect
import pkgutil
from typing import Any

from docstrings import prepared
from formulas import blocks, display

from nncore._utils import registry


def classes(path: str) -> list[type]:
    """The classes of a registry, or the public ones of a module, in their order; or the class of that name."""
    found = pkgutil.resolve_name(path)
    if isinstance(found, type):
        return [found]
    return list(found.values()) if isinstance(found, dict) else registry.classes(object, path)


def first_line(cls: type) -> str:
    """The first line of a docstring, as the pages show it."""
    return prepared(cls, (inspect.getdoc(cls) or "").splitlines()[:1])[0]


def formula(cls: type) -> str:
    """The first formula of a docstring, in TeX; nothing if there is none."""
    lines = (inspect.getdoc(cls) or "").splitlines()
    return next((f":math:`{display(lines[start:end])}`" for start, end in blocks(lines)), "")


def table(found: list[type], column: str | None) -> list[str]:
    """The table of classes in reStructuredText."""
    widths = "15 37 48" if column else "22 78"
    lines = [".. list-table::", "   :header-rows: 1", f"   :widths: {widths}", "   :class: summary", ""]
    rows = [(f"`{cls.__name__}`", first_line(cls), *([formula(cls)] if column else [])) for cls in found]
    for row in [("name", "in one line", *([column] if column else [])), *rows]:
        lines += [f"   {'* -' if n == 0 else '  -'} {cell}".rstrip() for n, cell in enumerate(row)]
    return lines


def setup(app: Any) -> dict[str, bool]:
    """Called by Sphinx."""
    from docutils import nodes
    from docutils.parsers.rst import directives
    from docutils.statemachine import StringList
    from sphinx.util.docutils import SphinxDirective

    class Registry(SphinxDirective):
        required_arguments = 1
        option_spec = {"rubric": directives.unchanged, "members": directives.unchanged}  # noqa: RUF012

        def run(self) -> list[nodes.Node]:
            module, above = self.env.ref_context["py:module"], self.env.domains["py"].objects
            found = [cls for cls in classes(self.arguments[0]) if f"{module}.{cls.__name__}" not in above]
            lines = [f".. rubric:: {self.options['rubric']}"] if found and "rubric" in self.options else []
            for cls in found:
                members = [name for name in self.options.get("members", "").split() if hasattr(cls, name)]
                lines += ["", f".. autoclass:: {cls.__name__}"] + [f"   :members: {', '.join(members)}"] * bool(members)
            parent = nodes.section()
            self.state.nested_parse(StringList(lines, self.arguments[0]), 0, parent)
            return parent.children

    class Summary(SphinxDirective):
        required_arguments = 1
        final_argument_whitespace = True
        option_spec = {"formula": directives.unchanged}  # noqa: RUF012

        def run(self) -> list[nodes.Node]:
            found = [cls for path in self.arguments[0].split() for cls in classes(path)]
            parent = nodes.section()
            self.state.nested_parse(StringList(table(found, self.options.get("formula")), "summary"), 0, parent)
            return parent.children

    app.add_directive("registry", Registry)
    app.add_directive("summary", Summary)
    return {"parallel_read_safe": True}
