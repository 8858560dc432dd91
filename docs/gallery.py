"""The gallery: the scripts of ``examples/`` are run, and each becomes a page with its picture on top, and a notebook.

A script is described by its docstring (title, message, text) and ``# %%`` cells; a folder by its ``GALLERY_HEADER.rst``.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

from docutils import nodes

EXAMPLES = Path(__file__).parents[1] / "examples"  # the scripts beside the sections are no pages: they need several processes

# The order of a course: the folders of examples/ that are not named here come last, by name.
SECTIONS = (
    "first_hour", "gradient", "learning_rate", "momentum", "adaptive_rates", "landscapes", "data", "losses_and_capacity",
    "initialization", "normalization", "second_order", "regularization", "precision", "inside", "estimators",
)  # fmt: skip


def section_key(folder: str) -> tuple[int, str]:
    """The place of a section in the gallery."""
    name = os.path.basename(os.path.normpath(folder))
    return (SECTIONS.index(name) if name in SECTIONS else len(SECTIONS), name)


# Functions are given by name: a configuration with objects cannot be stored, and every build would read all pages again.
sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "gallery",
    "filename_pattern": r"\.py$",
    "ignore_pattern": rf"^({'|'.join(re.escape(path.name) for path in EXAMPLES.glob('*.py'))}|__init__\.py)$",
    "subsection_order": "gallery.section_key",
    "within_subsection_order": "FileNameSortKey",
    "nested_sections": True,
    "doc_module": ("nncore",),
    "backreferences_dir": "gallery/backreferences",
    "image_scrapers": ("gallery",),  # by _get_sg_image_scraper
    "matplotlib_animations": (True, "jshtml"),
    "parallel": 2,
    "show_signature": False,
    "write_computation_times": False,
    "download_all_examples": False,
    "remove_config_comments": True,
    "promote_jupyter_magic": False,
    "copyfile_regex": r"(?!GALLERY_HEADER).*\.(npz|csv|json)$",
}


def pictures(block: Any, block_vars: dict[str, Any], gallery_conf: dict[str, Any]) -> str:
    """The pictures of a block of code; an animation is also saved as a GIF to take away, which the page links to."""
    import matplotlib.pyplot as plt
    from matplotlib.animation import FuncAnimation, PillowWriter
    from sphinx_gallery.scrapers import matplotlib_scraper

    names, drawn = [], [plt.figure(number) for number in plt.get_fignums()]  # of this block: numbers are used again
    for value in block_vars["example_globals"].values():
        if isinstance(value, FuncAnimation) and value._fig in drawn:
            script = Path(block_vars["target_file"])
            (script.parent / "images").mkdir(exist_ok=True)
            names.append(f"images/{script.stem}{len(names) or ''}.gif")
            value.save(script.parent / names[-1], writer=PillowWriter(fps=round(1000 / value._interval)), dpi=72)
    links = "".join(f"\n\n:download:`The animation as a GIF <{name}>`\n\n" for name in names)
    return matplotlib_scraper(block, block_vars, gallery_conf) + links


def _get_sg_image_scraper() -> Any:
    """How Sphinx-Gallery asks for it."""
    return pictures


def is_picture(node: nodes.Node) -> bool:
    """A figure, several beside one another, or an animation."""
    kind = type(node).__name__
    if kind == "imgsgnode":
        return True
    classes = node.get("classes", []) if isinstance(node, nodes.Element) else []
    return "sphx-glr-animation" in classes or "sphx-glr-horizontal" in classes


def picture_first(app: Any, doctree: nodes.document) -> None:
    """Move the first picture of a page of the gallery below its first paragraph, which is the message of the picture."""
    if not app.env.docname.startswith("gallery/") or app.env.docname.endswith("index"):
        return
    section = next(doctree.findall(nodes.section), None)
    picture = next(doctree.findall(is_picture), None)
    message = next((node for node in section or () if isinstance(node, nodes.paragraph)), None)
    if picture is not None and message is not None:
        picture.parent.remove(picture)
        section.insert(section.index(message) + 1, picture)


def used_in(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Below a class or function of the reference, the pages of the gallery that use it, unless they are many."""
    source = Path(app.srcdir)
    index = source / sphinx_gallery_conf["backreferences_dir"] / "backreferences_all.json"
    if what not in ("class", "function") or not index.exists():
        return
    uses = json.loads(index.read_text(encoding="utf-8")).get(f"nncore.{name.rpartition('.')[2]}", [])
    pages = [f":doc:`/{(Path(folder) / script).with_suffix('').relative_to(source)}`" for script, _, folder, *_ in uses]
    if 0 < len(pages) <= 8:
        lines += ["", f"In the gallery: {', '.join(pages)}.", ""]


FONT = re.compile(r"<link[^>]*font-awesome[^>]*>")


def without_font(app: Any, doctree: nodes.document) -> None:
    """The buttons of matplotlib's animations have their icons from the network; here they are from ``nncore.css``."""
    for raw in doctree.findall(nodes.raw):
        if "font-awesome" in raw.astext():
            raw[:] = [nodes.Text(FONT.sub("", raw.astext()))]
            raw.rawsource = raw.astext()


def setup(app: Any) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("autodoc-process-docstring", used_in, priority=900)  # after everything that docstrings become
    app.connect("doctree-read", picture_first)
    app.connect("doctree-read", without_font)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
