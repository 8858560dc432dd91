"""The pages need no network.

MathJax is copied from an installed package; a page that loads anything from elsewhere fails the build.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

MATHJAX = "tex-svg-full.js"  # one file with all of TeX, which draws letters as paths: no fonts, which file:// may refuse

LOADING = {
    "script": "src", "img": "src", "iframe": "src", "video": "src", "audio": "src", "source": "src", "embed": "src",
    "input": "src", "track": "src", "object": "data",
}  # fmt: skip
LINKS = {"canonical", "next", "prev", "author", "license", "search"}  # the kinds of <link> that load nothing
STYLES = re.compile(r"""(?:url\(\s*|@import\s+)["']?((?:https?:)?//[^"')\s]+)""")


def is_remote(address: str) -> bool:
    return bool(re.match(r"(?:https?:|wss?:|ftp:)?//", address.strip()))


class Loads(HTMLParser):
    """Collects what a browser loads from elsewhere when it opens a page; links to click on are allowed."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.in_style = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.in_style = tag == "style"
        addresses = [values.get(LOADING.get(tag, ""), "")]
        addresses += [part.split()[0] for part in values.get("srcset", "").split(",") if part.strip()]
        if tag == "link" and not LINKS & {*values.get("rel", "").split()}:
            addresses.append(values.get("href", ""))
        self.found += [address for address in addresses if is_remote(address)]
        self.found += STYLES.findall(values.get("style", ""))

    def handle_endtag(self, tag: str) -> None:
        self.in_style = False

    def handle_data(self, data: str) -> None:
        if self.in_style:
            self.found += STYLES.findall(data)


def remote_loads(path: Path) -> list[str]:
    """The addresses in the network that a page or a style sheet loads."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".css":
        return STYLES.findall(text)
    page = Loads()
    page.feed(text)
    return page.found


def all_remote_loads(folder: Path) -> Iterator[str]:
    """A line for each thing that a file in a folder loads from the network."""
    for path in sorted([*folder.rglob("*.html"), *folder.rglob("*.css")]):
        yield from (f"{path.relative_to(folder)} loads {address}" for address in remote_loads(path))


def mathjax() -> Path:
    """The file of MathJax in the package sphinx-mathjax-offline."""
    spec = importlib.util.find_spec("sphinx-mathjax-offline")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("the formulas need the package sphinx-mathjax-offline")
    return Path(spec.origin).parent / "static" / "mathjax" / MATHJAX


def copy_mathjax(app: Any) -> None:
    if app.builder.format == "html":
        target = Path(app.outdir) / "_static"
        target.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(mathjax(), target / MATHJAX)


def check(app: Any, exception: Exception | None) -> None:
    from sphinx.errors import ExtensionError

    if exception is None and app.builder.format == "html" and (found := [*all_remote_loads(Path(app.outdir))]):
        raise ExtensionError("pages that need the network:\n" + "\n".join(found))


def setup(app: Any) -> dict[str, bool]:
    """Called by Sphinx."""
    app.config.mathjax_path = MATHJAX
    app.connect("builder-inited", copy_mathjax)
    app.connect("build-finished", check)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
