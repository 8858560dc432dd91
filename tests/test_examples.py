"""Every example runs, with small constants where the full ones take long, and its page has all parts."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest
from helpers.small_examples import SMALL

pytest.importorskip("matplotlib")
pytest.importorskip("sklearn")

import matplotlib

FOLDER = Path(__file__).parents[1] / "examples"
PAGES = {str(path.relative_to(FOLDER).with_suffix("")): path for path in sorted(FOLDER.glob("*/*.py"))}


def with_constants(name: str, path: Path) -> ast.Module:
    """The script with other values for its constants; each must be there."""
    tree, wanted = ast.parse(path.read_text(encoding="utf-8")), dict(SMALL.get(name, {}))
    for node in tree.body:
        if not isinstance(node, ast.Assign) or len(node.targets) != 1:
            continue
        target, value = node.targets[0], node.value
        if isinstance(target, ast.Name) and target.id in wanted:
            node.value = _literal(wanted.pop(target.id), value)
        elif isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
            for i, part in enumerate(target.elts):
                if isinstance(part, ast.Name) and part.id in wanted:
                    value.elts[i] = _literal(wanted.pop(part.id), value.elts[i])
    assert not wanted, f"{name} has no constants {', '.join(wanted)}"
    return tree


def _literal(value: object, where: ast.expr) -> ast.expr:
    tree = ast.parse(repr(value), mode="eval").body
    for node in ast.walk(tree):
        ast.copy_location(node, where)
    return tree


@pytest.fixture(autouse=True)
def _clean_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    monkeypatch.chdir(tmp_path)
    with matplotlib.rc_context():
        plt.show = lambda *args, **kw: None  # type: ignore[assignment]  # figures stay open, as in the gallery
        yield
        plt.close("all")


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.filterwarnings("ignore:Animation was deleted")
def test_example_runs_and_draws(name: str) -> None:
    import matplotlib.pyplot as plt

    path = PAGES[name]
    exec(compile(with_constants(name, path), str(path), "exec"), {"__name__": "__main__", "__file__": str(path)})
    assert plt.get_fignums() or name == "inside/hundred_lines", "it draws nothing"
    for number in plt.get_fignums():
        plt.figure(number).canvas.draw()


@pytest.mark.parametrize("name", PAGES)
def test_page_has_all_parts(name: str) -> None:
    text = ast.get_docstring(ast.parse(PAGES[name].read_text(encoding="utf-8"))) or ""
    title, underline = text.splitlines()[:2]
    assert len(underline) >= len(title)
    assert set(underline) == {"="}, "the first line is the message, underlined with ="
    assert len(title.split()) >= 4, f"a title that is a message, not a topic: {title}"
    parts = re.findall(r"^\*\*(.+?)\.\*\*|^:(Slide):", text, re.MULTILINE)
    assert [a or b for a, b in parts] == ["What you see", "What to conclude", "Try next", "Slide"]


def test_small_constants_belong_to_examples() -> None:
    assert set(SMALL) <= set(PAGES)


@pytest.mark.parametrize("name", PAGES)
def test_a_figure_is_drawn_in_one_cell(name: str) -> None:
    """The gallery, and a notebook, show a figure at the end of the cell that makes it: what is drawn later is not seen."""
    *cells, _ = re.split(r"^# %%", PAGES[name].read_text(encoding="utf-8"), flags=re.MULTILINE)
    made = re.compile(r"plt\.(subplots|figure)\(|nn\.landscapes\.animate\(")
    assert not [cell for cell in cells if made.search(cell) and not made.search(cell.rpartition("plt.show()")[0])]
    assert not [cell for cell in cells if made.search(cell.rpartition("plt.show()")[2])]
