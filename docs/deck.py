"""The directive ``.. deck:: 001``: rows of the tables in ``course/slides/``, as they stand there, for the page of a deck.

A row is named by its file and its place in it, the first after the header being 1::

    .. deck:: 001
       :rows: a14 a15 b20
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

SLIDES = Path(__file__).parent / "course" / "slides"


class Row(NamedTuple):
    """A row of ``course/slides/``: the decks it belongs to, what their slide shows, and where to see it."""

    decks: tuple[str, ...]
    slide: str
    here: str


def rows(letter: str) -> list[Row]:
    """The rows of a file, without its header."""
    text = (SLIDES / f"{letter}.rst").read_text(encoding="utf-8")
    found = []
    for row in re.split(r"^   \* - ", text, flags=re.MULTILINE)[2:]:
        deck, slide, here = (" ".join(cell.split()) for cell in re.split(r"^     - ", row, flags=re.MULTILINE))
        found.append(Row(tuple(re.findall(r"\d{3}", deck)), slide, here))
    return found


def all_rows() -> dict[str, Row]:
    """The rows of all files by their names: a1, a2, …"""
    letters = sorted(path.stem for path in SLIDES.glob("*.rst"))
    return {f"{letter}{place}": row for letter in letters for place, row in enumerate(rows(letter), 1)}


def table(deck: str, names: str) -> list[str]:
    """A table of these rows in reStructuredText."""
    found, wanted = all_rows(), names.split()
    for name in wanted:
        if name not in found or deck not in found[name].decks:
            raise ValueError(f"course/slides/ has no row {name} of deck {deck}")
    lines = [".. list-table::", "   :header-rows: 1", "   :widths: 55 45", "", "   * - On the slide", "     - Here"]
    for name in wanted:
        lines += [f"   * - {found[name].slide}", f"     - {found[name].here}"]
    return lines


def setup(app: Any) -> dict[str, bool]:
    """Register the directive with Sphinx; the tables are parts of pages, not pages."""
    from docutils import nodes
    from docutils.parsers.rst import directives
    from docutils.statemachine import StringList
    from sphinx.util.docutils import SphinxDirective

    class Deck(SphinxDirective):
        required_arguments = 1
        option_spec = {"rows": directives.unchanged_required}  # noqa: RUF012

        def run(self) -> list[nodes.Node]:
            for path in SLIDES.glob("*.rst"):
                self.env.note_dependency(str(path))
            try:
                lines = table(self.arguments[0], self.options["rows"])
            except ValueError as error:
                raise self.error(str(error)) from error
            parent = nodes.section()
            self.state.nested_parse(StringList(lines, "course/slides"), 0, parent)
            return parent.children

    app.add_directive("deck", Deck)
    app.config.exclude_patterns += ["course/slides", "course/differences"]
    return {"parallel_read_safe": True}
