"""The documentation is correct: its code runs with the output shown, and every public name is documented."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from helpers.typed_examples import PAGES, python_blocks

import nncore as nn
from nncore.initializers import INITIALIZERS
from nncore.layers import LAYERS
from nncore.losses import LOSSES
from nncore.optimizers import OPTIMIZERS
from nncore.samplers import SAMPLERS
from nncore.schedules import SCHEDULES
from nncore.second_order import OPTIMIZERS as SECOND_ORDER

ROOT = Path(__file__).parents[1]
EXTRAS = ("matplotlib", "sklearn", "torch", "jax")  # optional dependencies


def modules() -> list[str]:
    """All of nncore's modules except the compiled ones."""
    found = pkgutil.walk_packages(nn.__path__, "nncore.")
    return ["nncore", *(info.name for info in found if not info.name.startswith("nncore._kernels._isa"))]


def import_or_skip(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and error.name.split(".")[0] in EXTRAS:
            pytest.skip(f"{name} needs {error.name}")
        raise


def run_doctest(test: doctest.DocTest) -> None:
    """Run it; skip where an example stops at an extra that is not installed."""
    report: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS, verbose=False)
    threads = nn.get_num_threads()
    try:
        runner.run(test, out=report.append)
    finally:
        nn.set_num_threads(threads)
    text = "".join(report)
    missing = re.search(r"(?:Import|ModuleNotFound)Error: \S+ needs (matplotlib|scikit-learn)", text)
    if missing:
        pytest.skip(f"{test.name} needs {missing[1]}")
    assert not text, text


# --- pages


@pytest.mark.parametrize("path", [pytest.param(path, id=str(path.relative_to(ROOT / "docs"))) for path in PAGES])
def test_page(path: Path) -> None:
    test = doctest.DocTestParser().get_doctest(path.read_text(encoding="utf-8"), {}, path.name, str(path), 0)
    run_doctest(test)


BLOCKS = [
    pytest.param(block, id=f"{path.name}-{number}")
    for path in (ROOT / "README.md", *PAGES)
    for number, block in enumerate(python_blocks(path.read_text(encoding="utf-8")), 1)
]


@pytest.mark.parametrize("code", BLOCKS)
def test_code_block(code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "block", "exec"), {"__name__": "block"})


def test_there_is_something_to_test() -> None:
    assert len(PAGES) > 10
    assert len(BLOCKS) > 2


@pytest.mark.parametrize("path", [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *PAGES], ids=lambda path: path.name)
def test_files_that_are_mentioned_exist(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!https?:|#)([^)]+)\)", text) if path.suffix == ".md" else []
    images = re.findall(r"^\.\. image:: (\S+)", text, re.MULTILINE)
    sources = re.findall(r"`((?:docs|benchmarks|src|examples|tests|_kernels|reference)/[\w/.]+)`", text)
    for name in (*links, *images):
        assert (path.parent / name).exists(), name
    for name in sources:
        if name.startswith("docs/_build/"):  # made by make docs
            continue
        assert any((base / name).exists() for base in (ROOT, ROOT / "src/nncore")), name


# --- docstrings


@pytest.mark.parametrize("name", modules())
def test_docstring_examples(name: str) -> None:
    module = import_or_skip(name)
    for test in doctest.DocTestFinder(exclude_empty=True).find(module):
        if test.examples:
            run_doctest(test)


def public() -> Iterator[tuple[str, Any]]:
    """Every name that nncore and its public modules offer."""
    for module in (nn, nn.data, nn.initializers, nn.losses, nn.optimizers, nn.reference, nn.schedules):
        for name in module.__all__:
            yield f"{module.__name__}.{name}", getattr(module, name)


PUBLIC = [pytest.param(value, id=name) for name, value in public() if not isinstance(value, dict)]


@pytest.mark.parametrize("value", PUBLIC)
def test_public_name_has_a_summary(value: Any) -> None:
    summary = (value.__doc__ or "").strip().partition("\n\n")[0]
    assert len(summary) > 3
    if inspect.isclass(value):
        base_doc = [base.__doc__ for base in value.__mro__[1:]]
        assert value.__doc__ not in base_doc, "the docstring is the base class's"


@pytest.mark.parametrize(
    "cls", [nn.Sequential, nn.Trainer, nn.History, nn.Optimizer, nn.Layer, nn.Callback], ids=lambda cls: cls.__name__
)
def test_public_method_has_a_summary(cls: type) -> None:
    for name in dir(cls):
        member = inspect.getattr_static(cls, name)
        if not name.startswith("_") and (inspect.isfunction(member) or isinstance(member, (property, classmethod))):
            assert (inspect.getdoc(getattr(cls, name)) or "").strip(), f"{cls.__name__}.{name}"


FORMULA = re.compile(r"[=←~≤]|Σ|\d{4}")  # a formula, or the year of a source


@pytest.mark.parametrize(
    "cls",
    [
        pytest.param(cls, id=cls.__name__)
        for registry in (OPTIMIZERS, LOSSES, LAYERS, INITIALIZERS)
        for cls in registry.values()
    ],
)
def test_class_states_its_formula(cls: type) -> None:
    prose = (cls.__doc__ or "").partition("Examples\n")[0].partition("Parameters\n")[0]
    assert FORMULA.search(prose) or "‖" in prose, prose


@pytest.mark.parametrize("cls", OPTIMIZERS.values(), ids=lambda cls: cls.__name__)
def test_optimizer_states_recurrence_source_and_defaults(cls: type) -> None:
    doc = inspect.getdoc(cls) or ""
    assert "θ ←" in doc or "As `Adam`" in doc
    assert re.search(r"\b(19|20)\d\d\b", doc.partition("\n")[0]), "the summary names the source"
    for name in inspect.signature(cls).parameters:
        assert re.search(rf"^\s*(\w+, )*{name}\b", doc.partition("Parameters\n")[2], re.MULTILINE), f"{name} is not explained"


# --- the reference and the table of the README are complete


def script(name: str) -> ModuleType:
    """A module of docs/, which is no package."""
    sys.path.insert(0, str(ROOT / "docs"))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.pop(0)


def documented() -> str:
    """The pages of the reference, with an entry for each class that a directive stands for."""

    def entries(match: re.Match[str]) -> str:
        return "".join(f".. autoclass:: {cls.__name__}\n" for cls in script("registry").classes(match[1]))

    pages = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "docs/api").glob("*.rst"))
    return re.sub(r"\.\. registry:: (\S+)", entries, pages)


def test_reference_has_every_public_name() -> None:
    text = documented()
    whole_modules = set(re.findall(r"automodule:: (\S+)", text))
    entries = {entry.rpartition(".")[2] for entry in re.findall(r"auto(?:class|function|exception):: (\S+)", text)}
    missing = [
        name for name in nn.__all__
        if name not in entries and not inspect.ismodule(getattr(nn, name))
    ]  # fmt: skip
    assert not missing
    assert {"nncore.data", "nncore.initializers", "nncore.schedules", "nncore.reference"} <= whole_modules
    assert {
        cls.__name__ for registry in (SCHEDULES, INITIALIZERS, SAMPLERS, SECOND_ORDER) for cls in registry.values()
    } <= entries


def test_reference_has_every_module_of_twins() -> None:
    pages = set(re.findall(r"automodule:: (\S+)", documented()))
    names = [name for name in modules() if name.startswith("nncore.reference.") and "._" not in name]
    assert [name for name in names if name not in pages] == []


@pytest.mark.parametrize(
    ("row", "registry"),
    [
        ("layers", LAYERS),
        ("losses", LOSSES),
        ("optimizers", OPTIMIZERS),
        ("initializers", INITIALIZERS),
        ("schedules", SCHEDULES),
        ("samplers", SAMPLERS),
        ("second-order optimizers", SECOND_ORDER),
    ],
)
def test_readme_lists_every_class(row: str, registry: dict[str, type]) -> None:
    (line,) = re.findall(rf"^\| {row} \|.*$", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    listed = re.findall(r"`(\w+)`", line)
    assert sorted(listed) == sorted(cls.__name__ for cls in registry.values()), "python docs/readme_rows.py writes the row"


def test_readme_rows_are_up_to_date() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = script("readme_rows")
    assert rows.with_rows(text) == text
    assert rows.with_rows(text.replace("`Adam`, ", "")) == text


def test_dir_shows_the_public_names_alone() -> None:
    assert set(dir(nn)) == {*nn.__all__, "__version__"}
    assert all(hasattr(nn, name) for name in dir(nn))
    shown = {name for name, value in vars(nn).items() if not name.startswith("_") and not inspect.ismodule(value)}
    assert shown <= {*nn.__all__}


def test_registries_are_in_the_order_of_the_files() -> None:
    assert [*OPTIMIZERS] == [
        "sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adadelta", "ftrl", "adam", "lazy_adam", "adamw", "amsgrad",
        "adamax", "nadam", "lion", "rprop", "delta_bar_delta",
    ]  # fmt: skip
    assert [*LAYERS][:6] == ["dense", "sparse_dense", "simple_rnn", "gru", "bidirectional", "masking"]
    assert not {"activation", "noise", "noisy_dense", "recurrent", "layer"} & {*LAYERS}
