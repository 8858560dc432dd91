"""The pages of the course: each row of the tables of slides is on the pages of its decks, once."""

from __future__ import annotations

import ast
import importlib.util
import re
import runpy
from collections import Counter
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"
SPEC = importlib.util.spec_from_file_location("deck", DOCS / "deck.py")
assert SPEC is not None
assert SPEC.loader is not None
deck = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(deck)

DECKS = ("000", "001", "002", "003", "004")
COURSE = DOCS / "course"


def test_every_item_of_the_lectures_has_a_row() -> None:
    rows = deck.all_rows()
    letters = Counter(name[0] for name in rows)
    assert letters == dict(zip("abcdefghijk", (18, 5, 10, 17, 9, 8, 18, 10, 17, 6, 19), strict=True))
    for name, row in rows.items():
        assert row.decks, name
        assert set(row.decks) <= {*DECKS}, name
        assert row.slide, name
        assert row.here, name


@pytest.mark.parametrize("number", DECKS)
def test_page_of_a_deck_has_each_of_its_rows_once(number: str) -> None:
    page = (COURSE / f"deck-{number}.rst").read_text(encoding="utf-8")
    tables = re.findall(r"^\.\. deck:: (\d+)\n   :rows: (.*)$", page, re.MULTILINE)
    assert {of for of, names in tables} == {number}
    for _, names in tables:
        deck.table(number, names)  # raises for a row that is not of this deck
    shown = Counter(name for of, names in tables for name in names.split())
    assert shown == Counter(name for name, row in deck.all_rows().items() if number in row.decks)


def test_row_of_another_deck_is_refused() -> None:
    with pytest.raises(ValueError, match=r"course/slides/ has no row b1 of deck 000"):
        deck.table("000", "a1 b1")
    with pytest.raises(ValueError, match=r"has no row a99"):
        deck.table("000", "a99")


def test_table_repeats_a_row_as_it_stands() -> None:
    row = deck.all_rows()["a9"]
    assert deck.table("000", "a9")[-2:] == [f"   * - {row.slide}", f"     - {row.here}"]
    assert "Sorted data" in row.slide


@pytest.mark.parametrize("folder", ["slides", "differences"])
def test_parts_are_included(folder: str) -> None:
    included = re.findall(
        rf"^\.\. include:: {folder}/(\w)\.rst$", (COURSE / f"{folder}.rst").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert included == sorted(path.stem for path in (COURSE / folder).glob("*.rst")) == [*"abcdefghijk"]


@pytest.mark.parametrize("number", DECKS)
def test_exercises_are_numbered_and_solved(number: str) -> None:
    page = (COURSE / f"exercises-{number}.rst").read_text(encoding="utf-8")
    labels = [int(n) for n in re.findall(rf"^\.\. _exercise-{number}-(\d+):$", page, re.MULTILINE)]
    titles = [int(n) for n in re.findall(r"^(\d+)\. .*\n-+$", page, re.MULTILINE)]
    assert labels == titles == [*range(1, len(titles) + 1)]
    assert 5 <= len(titles) <= 8
    solutions = page.split(".. dropdown:: Solution")[1:]
    assert len(solutions) == len(titles)
    assert all("   >>> " in solution for solution in solutions)


def test_hundred_lines_of_numpy_give_the_numbers_of_nncore(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("sklearn")
    plt = pytest.importorskip("matplotlib.pyplot")
    monkeypatch.setattr(plt, "show", plt.close)
    path = DOCS.parent / "examples/inside/hundred_lines.py"
    numpy_part = path.read_text(encoding="utf-8").partition("# The same in nncore")[0].partition("# The network in NumPy")[2]
    assert len([line for line in numpy_part.splitlines() if line.strip()]) <= 100
    with plt.rc_context():
        found = runpy.run_path(str(path))
    assert max(found["differences"]) < 1e-13  # 860 steps, each with a few roundings of numbers near 1


YEAR = re.compile(r"(?<=[\w.,:”\"&] )\(?((?:18|19|20)\d\d)\b(?=[,;.)\s:])")


def bibliography() -> dict[str, set[str]]:
    """The names of the authors by year."""
    found: dict[str, set[str]] = {}
    text = (COURSE / "bibliography.rst").read_text(encoding="utf-8")
    for entry in re.findall(r"^- \*\*(.+?)\.\*\*", text, re.MULTILINE):
        for year in re.findall(r"\d{4}", entry):
            found.setdefault(year, set()).update(re.findall(r"[A-Z][\wéöü-]+", entry))
    return found


def uncited(text: str, known: dict[str, set[str]]) -> list[str]:
    """The years with an author before them that the bibliography does not have."""
    prose = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith((">>>", "...")))
    before = [(prose[max(0, year.start() - 130) : year.end()], year[1]) for year in YEAR.finditer(prose)]
    return [words for words, year in before if not any(name in words for name in known.get(year, ()))]


def test_bibliography_has_every_name_with_a_year_in_a_docstring() -> None:
    known = bibliography()
    assert uncited("Adam (Kingma & Ba 2015).", known) == []
    assert uncited("Adam (Kingma & Ba 1999).", known)
    assert uncited("Madam (Nobody 2015).", known)
    for path in (DOCS.parent / "src/nncore").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):
                assert not uncited(ast.get_docstring(node) or "", known), path.name


def test_links_to_the_gallery_lead_to_scripts() -> None:
    links = {
        link
        for path in (*COURSE.rglob("*.rst"), *DOCS.glob("guide/*.rst"), *DOCS.glob("api/*.rst"))
        for link in re.findall(r"(?<=[`<])/gallery/([\w/]+)(?=[`>])", path.read_text(encoding="utf-8"))
    }
    assert len(links) > 20
    examples = DOCS.parent / "examples"
    sections = {f"{path.parent.name}/index" for path in examples.glob("*/GALLERY_HEADER.rst")}
    assert not {link for link in links - sections if not (examples / f"{link}.py").exists()}
