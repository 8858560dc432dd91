"""The directive ``.. registry:: nncore.layers.ACTIVATIONS``: an entry for each class of a registry, or of a module.

Those that the page has above are left out, so that a page can begin with families and end with all the rest::

    .. registry:: nncore.layers.LAYERS
       :rubric: Others
       :members: initialize_from_data

A rubric stands above them if there are any; members are shown of the classes that have them.
"""

from __future__ import annotations

import pkgutil
from typing import Any

from nncore._utils import registry


def classes(path: str) -> list[type]:
    """The classes of a registry, or the public ones of a module, in their order."""
    found = pkgutil.resolve_name(path)
    return list(found.values()) if isinstance(found, dict) else registry.classes(object, path)


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

    app.add_directive("registry", Registry)
    return {"parallel_read_safe": True}
