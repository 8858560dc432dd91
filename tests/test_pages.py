"""The extensions that build the pages: formulas, links, tables, the gallery, and what a page may load."""

from __future__ import annotations

import inspect
import json
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]

pytest.importorskip("sphinx")


@pytest.fixture(autouse=True)
def extensions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "docs"))


def module(name: str) -> ModuleType:
    __import__(name)
    return sys.modules[name]


# --- formulas


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("v ← β₂ v + (1−β₂) g²", r"v \leftarrow  β_{2} v + (1-β_{2}) g^{2}"),
        ("m̂ = m/(1−β₁ᵗ)", r"\hat{m} = m/(1-β_{1}^{t})"),
        ("√(v̂ + ε) + √r", r"\sqrt{\hat{v} + ε} + \sqrt{r}"),
        ("√(a + √b)", r"\sqrt{a + \sqrt{b}}"),
        ("h_{t−1}ᵀ W_r", r"h_{t-1}^{\mathsf{T}} W_{r}"),
        ("σ²/(1+t)^γ  e^(1−γ)", r"σ^{2}/(1+t)^{γ}\quad e^{1-γ}"),
        ("Σ_rows δ ⊙ x̂", r"\sum\nolimits _{\text{rows}} δ \odot  \hat{x}"),
        ("max(β, |g|) where min_lr > 0", r"\max (β, |g|) \text{ where min\_lr } > 0"),
    ],
)
def test_formula(text: str, expected: str) -> None:
    assert module("formulas").tex(text) == expected


def test_formulas_of_a_docstring() -> None:
    """Indented paragraphs above the sections; no examples, no lists, no code."""
    lines = inspect.cleandoc(
        """
        Text.

            θ ← θ − η g
            v ← 0

        Text, then

            otherwise  "min"

        - a list
            goes on

        Parameters
        ----------
        lr : float

            η ← 1
        """
    ).splitlines()
    assert module("formulas").blocks(lines) == [(2, 4)]
    shown = module("formulas").with_formulas(lines)
    assert shown[:4] == ["Text.", "", ".. math::", ""]
    assert shown[5:] == ["", *lines[4:]]


def test_indices_in_prose() -> None:
    prepared = module("docstrings").prepared
    (line,) = prepared(None, ["|h_{t−1}| is `h_t`, ``a_b``, r_max."])
    assert line == r"\|\ :math:`h_{t-1}`\ \| is `h_t`, ``a_b``, r_max."
    (line,) = prepared(None, ["h_j² + e^{−|z_j|}"])
    assert line == r"\ :math:`h_{j}^{2}`\  + \ :math:`e^{-|z_{j}|}`\ "


def test_docstrings_are_prepared_before_sections_lose_their_underlines() -> None:
    """A block within a parameter's description is no formula of the docstring; napoleon (priority 500) removes the section."""
    priorities = {}

    class App:
        def connect(self, event: str, function: Any, priority: int = 500) -> None:
            priorities[function.__name__] = priority

    module("docstrings").setup(App())
    assert priorities["process"] < 500


def test_every_docstring_of_a_registry_has_a_formula_that_can_be_set() -> None:
    """No sign of a formula in TeX's source that TeX would not know."""
    import nncore as nn

    tex = "".join(
        module("registry").formula(cls)
        for registry in (nn.optimizers.OPTIMIZERS, nn.layers.LAYERS, nn.losses.LOSSES)
        for cls in registry.values()
    )
    assert r"\sqrt{\hat{v}} + ε" in tex
    assert not set(tex) & set("√←²ᵀ₁ₜ−⊙Σ∂‖\u0302")


# --- tables


def test_table_of_optimizers() -> None:
    registry = module("registry")
    lines = registry.table(registry.classes("nncore.optimizers.OPTIMIZERS"), "the step")
    assert sum(line.startswith("   * - `") for line in lines) == len(registry.classes("nncore.optimizers.OPTIMIZERS"))
    at = lines.index("   * - `SGD`")
    assert "Robbins" in lines[at + 1]
    assert r"θ \leftarrow" in lines[at + 2]


def test_a_class_is_a_table_too() -> None:
    assert [cls.__name__ for cls in module("registry").classes("nncore.L2")] == ["L2"]


# --- what a page loads


@pytest.mark.parametrize(
    "text",
    [
        '<script src="https://cdn.example/x.js"></script>',
        '<script src="//cdn.example/x.js"></script>',
        '<link rel="stylesheet" href="https://x.example/a.css">',
        '<link href="http://x.example/a.woff" rel="preload" as="font">',
        '<img src="https://x.example/a.png">',
        '<img src="a.png" srcset="a.png 1x, https://x.example/b.png 2x">',
        '<p style="background: url(https://x.example/a.png)">',
        '<style>@import "https://x.example/a.css";</style>',
        '<iframe src="https://x.example"></iframe>',
    ],
)
def test_what_is_loaded_from_the_network_is_found(tmp_path: Path, text: str) -> None:
    (tmp_path / "page.html").write_text(text)
    assert len([*module("offline").all_remote_loads(tmp_path)]) == 1


def test_links_and_local_files_are_allowed(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(
        '<a href="https://x.example">x</a><link rel="canonical" href="https://x.example"><img src="data:image/png;base64,AA">'
        '<script src="_static/a.js">load("https://x.example")</script><svg xmlns="http://www.w3.org/2000/svg"></svg>'
    )
    (tmp_path / "a.css").write_text('a { background: url("b.png") } /* https://x.example */')
    assert [*module("offline").all_remote_loads(tmp_path)] == []
    (tmp_path / "a.css").write_text("@font-face { src: url(https://x.example/f.woff2) }")
    assert [*module("offline").all_remote_loads(tmp_path)] == ["a.css loads https://x.example/f.woff2"]


# --- the gallery


def test_sections_are_in_the_order_of_the_course() -> None:
    gallery = module("gallery")
    folders = [str(path) for path in (ROOT / "examples").iterdir() if path.is_dir() and path.name != "__pycache__"]
    known = [name for name in gallery.SECTIONS if str(ROOT / "examples" / name) in folders]
    assert [Path(path).name for path in sorted(folders, key=gallery.section_key)] == known
    assert gallery.section_key("../examples/other") > gallery.section_key("../examples/estimators/")


def test_scripts_beside_the_sections_are_no_pages() -> None:
    ignored = re.compile(module("gallery").sphinx_gallery_conf["ignore_pattern"])
    assert all(ignored.search(path.name) for path in (ROOT / "examples").glob("*.py"))
    assert not any(ignored.search(path.name) for path in (ROOT / "examples").glob("*/*.py"))


def test_the_thumbnails_of_the_first_page_are_of_scripts_that_exist() -> None:
    scripts = re.findall(r"^   (\.\./examples/\S+)$", (ROOT / "docs/index.rst").read_text(encoding="utf-8"), re.MULTILINE)
    assert len(scripts) > 5
    assert all((ROOT / "docs" / script).exists() for script in scripts)


def test_the_configuration_of_the_gallery_can_be_stored() -> None:
    json.dumps(module("gallery").sphinx_gallery_conf)


def test_the_picture_is_below_the_message() -> None:
    from docutils import nodes

    class App:
        env = type("Env", (), {"docname": "gallery/gradient/ordered_data"})

    def page() -> tuple[Any, list[Any]]:
        picture = nodes.container(classes=["sphx-glr-animation"])
        message, text, code = nodes.paragraph("", "message"), nodes.paragraph("", "text"), nodes.literal_block("", "code")
        section = nodes.section("", nodes.title("", "Title"), message, text, nodes.section("", code, picture))
        document = nodes.document("", "")
        document += section
        return document, [message, picture, text]

    document, expected = page()
    module("gallery").picture_first(App, document)
    assert [*document[0]][1:4] == expected
    App.env.docname = "guide/data"
    document, (message, _, text) = page()
    module("gallery").picture_first(App, document)
    assert [*document[0]][1:3] == [message, text]


def test_buttons_of_an_animation_need_no_font_from_the_network() -> None:
    from docutils import nodes
    from matplotlib._animation_data import JS_INCLUDE

    document = nodes.document("", "")
    document += nodes.raw("", JS_INCLUDE, format="html")
    assert "https://" in document.astext()
    module("gallery").without_font(None, document)
    assert "stylesheet" not in document.astext()
    assert "function Animation" in document.astext()


# --- links


def test_names_are_found_from_the_ends() -> None:
    links = module("links")
    entry = type("Entry", (), {"docname": "api/x", "node_id": "y"})
    objects = {"nncore.Adam": entry, "nncore.reference.adam.adam_update": entry}
    assert [*links.candidates(objects, ".Adam").values()] == ["nncore.Adam"]
    assert links.candidates(objects, ".dam") == {}
    assert links.bases("nncore", "Adam")[:2] == ["Adam", "GradientOptimizer"]


# --- search


def test_what_the_search_does_not_find() -> None:
    index = {"terms": {"vanish": 3, "gradient": [1, 3], "local": [1], "minimum": [2]}, "titleterms": {"overfit": [0]}}
    wanted = ("vanishing gradient", "local minimum", "overfitting", "ensemble")
    assert module("findable").missing(index, wanted) == ["local minimum", "ensemble"]


def test_pages_that_are_found_first_have_an_entry_of_the_index() -> None:
    from docutils import nodes
    from sphinx.addnodes import index

    for word, page in module("findable").FIRST.items():
        assert (ROOT / f"examples/{page.removeprefix('gallery/')}.py").exists()
        app = type("App", (), {"env": type("Env", (), {"docname": page})})
        document = nodes.document("", "")
        document += nodes.section("", ids=["top"])
        module("findable").first(app, document)
        assert next(document.findall(index))["entries"] == [("single", word, "top", "main", None)]
