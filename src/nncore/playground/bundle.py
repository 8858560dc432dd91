"""The modules of the page as one module, for notebooks, which take a single text."""

from __future__ import annotations

import re
from pathlib import Path

__all__ = ["STATIC", "bundle", "styles"]

STATIC = Path(__file__).parent / "static"

STYLES = "style", "views", "explore"  # those of the page outside notebooks are not among them
IMPORT = re.compile(r'^import \{ \w+(?:, \w+)* \} from "\./(\w+)\.js";\n', re.MULTILINE)
TOP_LEVEL = re.compile(r"^(?:export )?(?:async )?(?:function\*?|class|const|let|var) (\w+)", re.MULTILINE)
OTHER = re.compile(r"^(?:import\b|export (?!(?:async )?(?:function|const|class)\b)|(?:const|let|var) [\[{]).*", re.MULTILINE)


def bundle(folder: Path, entry: str = "main", exported: str = "render") -> str:
    """The module ``entry`` and all that it imports, in the order in which they need each other; one function is exported.

    Top-level names must differ, as all are in one module.
    """
    texts = _texts(folder, entry, {})
    owners: dict[str, str] = {}
    for module, text in texts.items():
        for name in TOP_LEVEL.findall(text):
            if name in owners:
                raise ValueError(f"{name} is a top-level name in {owners[name]}.js and in {module}.js")
            owners[name] = module
    joined = "\n".join(texts.values())
    return re.sub(rf"^export (?!(?:async )?function {exported}\b)", "", joined, flags=re.MULTILINE)


def _texts(folder: Path, module: str, seen: dict[str, str]) -> dict[str, str]:
    """The texts without imports, those first that others need."""
    text = (folder / f"{module}.js").read_text(encoding="utf-8")
    seen[module] = ""  # on its way: modules may import each other
    for needed in IMPORT.findall(text):
        if needed not in seen:
            _texts(folder, needed, seen)
    del seen[module]
    seen[module] = IMPORT.sub("", text)
    if other := OTHER.search(seen[module]):
        raise ValueError(f"{module}.js cannot be bundled: {other[0]}")
    return seen


def styles(folder: Path) -> str:
    """The rules of the style sheets."""
    return "\n".join((folder / f"{name}.css").read_text(encoding="utf-8") for name in STYLES)
