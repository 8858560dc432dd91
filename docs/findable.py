"""The search finds what students look for: the build fails if no page has all words of one of these.

It ranks a class above a page whose title has the word, and an entry of the index above both: `FIRST` gives pages such an entry.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

WANTED = (
    "vanishing gradient", "exploding gradient", "overfitting", "local minimum", "saddle point", "ensemble", "exercise",
    "learning rate", "early stopping", "batch size", "dropout", "optimizer",
)  # fmt: skip

FIRST = {"overfitting": "gallery/losses_and_capacity/overfitting", "ensemble": "gallery/regularization/bagging"}


def first(app: Any, doctree: Any) -> None:
    """A main entry of the index, which shows nothing in the page, for a page that is to be found first."""
    from docutils import nodes
    from sphinx.addnodes import index

    for word in (word for word, page in FIRST.items() if page == app.env.docname):
        section = next(doctree.findall(nodes.section))
        section += index(entries=[("single", word, section["ids"][0], "main", None)])


def missing(index: dict[str, Any], wanted: tuple[str, ...] = WANTED) -> list[str]:
    """What no page has, in Sphinx's search index: its words are stems, each with the number of a page or several."""
    from sphinx.search.en import SearchEnglish

    stem = SearchEnglish({}).stem

    def pages(word: str) -> set[int]:
        found = [index[table].get(stem(word.lower()), []) for table in ("terms", "titleterms")]
        return {page for pages in found for page in ([pages] if isinstance(pages, int) else pages)}

    return [phrase for phrase in wanted if not set.intersection(*map(pages, phrase.split()))]


def check(app: Any, exception: Exception | None) -> None:
    from sphinx.errors import ExtensionError

    path = Path(app.outdir) / "searchindex.js"
    if exception is not None or app.builder.name != "html":
        return
    text = path.read_text(encoding="utf-8").removeprefix("Search.setIndex(").removesuffix(")")
    if found := missing(json.loads(text)):
        raise ExtensionError(f"the search finds no page for {', '.join(found)}")


def setup(app: Any) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("doctree-read", first)
    app.connect("build-finished", check)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
