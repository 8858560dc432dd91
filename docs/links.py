"""Every `name` leads somewhere: a name that is not found fails the build.

A name is looked for as Sphinx does, in the class and the module of its page; then among the members of the bases of that
class; then, if it stands for one documented object alone, among all: `ConditioningMonitor` is found from any page.
"""

from __future__ import annotations

import re
import sys
from typing import Any

from docutils import nodes

# Names of others, which have no page here: they are printed as code.
ELSEWHERE = (
    "numpy.", "np.", "scipy.", "sklearn.", "matplotlib.", "tqdm.", "pandas.", "torch.", "joblib.", "mpi4py.", "optuna.",
)  # fmt: skip


def insist(app: Any, doctree: nodes.document) -> None:
    """Warn of each unresolved Python name in a text, as ``nitpicky`` does, but not of what Sphinx itself takes for one."""
    from sphinx import addnodes

    for node in doctree.findall(addnodes.pending_xref):
        if node.get("refdomain") == "py" and "refwarn" in node:  # made by a role
            node["refwarn"] = True


def bases(module: str | None, cls: str | None) -> list[str]:
    """The names of a class and its bases, as a page's context names them."""
    found = getattr(sys.modules.get(module or ""), cls or "", None)
    return [base.__name__ for base in found.__mro__] if isinstance(found, type) else []


def candidates(objects: dict[str, Any], suffix: str) -> dict[tuple[str, str], str]:
    """The documented objects whose full name ends so: their place and name."""
    return {(entry.docname, entry.node_id): name for name, entry in objects.items() if f".{name}".endswith(suffix)}


def resolve(app: Any, env: Any, node: Any, contnode: nodes.TextElement) -> nodes.Node | None:
    """A link to the object that is meant; the text alone for objects of others."""
    from sphinx.util.nodes import make_refnode

    if node.get("refdomain") != "py":
        return None
    target = node["reftarget"]
    if target.startswith(ELSEWHERE):
        return contnode
    target, objects = re.sub(r"^nn\.", "nncore.", target), env.domains["py"].objects
    members = [f".{base}.{target}" for base in bases(node.get("py:module"), node.get("py:class"))]
    for suffix in (*members, f".nncore.{target}", f".{target}"):
        if len(found := candidates(objects, suffix)) == 1:
            (((page, place), name),) = found.items()
            return make_refnode(app.builder, node.get("refdoc", env.docname), page, place, contnode, name)
    return None


def setup(app: Any) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("doctree-read", insist)
    app.connect("missing-reference", resolve)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
