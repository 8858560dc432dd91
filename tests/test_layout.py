"""Imports go one way: from a level of the package to a lower one, including imports within functions and for types.

And test modules import from ``helpers``, not from one another.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import nncore as nn

PACKAGE = Path(str(nn.__file__)).parent

FLOORS = [  # docs/design/index.rst describes them in this order
    {"_messages", "_version", "errors"},
    {"_kernels"},
    {"_utils"},
    {"data", "distributed", "figures", "initializers", "schedules"},
    {"program"},
    {"layers", "losses", "optimizers", "samplers"},
    {"constraints", "export", "history", "interop", "regularizers"},
    {"model"},
    {"callbacks"},
    {"second_order"},
    {"training"},
    {"ensemble"},
    {"sweeps"},
    {"landscapes"},
    {"config", "reference", "sklearn"},
    {"playground"},
    {"cli"},
    {"", "__main__"},
]
HEIGHT = {name: height for height, floor in enumerate(FLOORS) for name in floor}


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in PACKAGE.rglob("*.py")}
COMPILED = {"_kernels.program"}


def imported(module: str) -> Iterator[str]:
    """The modules of the package that a module imports, at any place in it."""
    path = MODULES[module]
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.removeprefix("nncore.") for alias in node.names if alias.name.startswith("nncore."))
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else ["nncore"]
            whole = ".".join(filter(None, [*(parts if node.level else []), node.module or ""]))
            if not node.level and whole.partition(".")[0] != "nncore":
                continue
            whole = whole.removeprefix("nncore").removeprefix(".")
            for alias in node.names:
                inner = f"{whole}.{alias.name}".removeprefix(".")
                yield inner if inner in MODULES or inner in COMPILED else whole


GRAPH = {module: {other for other in imported(module) if other not in COMPILED} for module in MODULES}


def test_every_module_has_a_level() -> None:
    assert {module.partition(".")[0] for module in MODULES} == set(HEIGHT)


def test_no_import_goes_upward() -> None:
    def upward(module: str, other: str) -> bool:
        here, there = module.partition(".")[0], other.partition(".")[0]
        return here != there and HEIGHT[there] >= HEIGHT[here]

    assert [(module, other) for module, others in GRAPH.items() for other in others if upward(module, other)] == []


def test_no_circular_imports() -> None:
    try:
        TopologicalSorter(GRAPH).prepare()
    except CycleError as error:
        raise AssertionError(f"a circle of imports: {error.args[1]}") from None


def test_an_upward_import_is_detected() -> None:
    assert "training.trainer" in GRAPH["training"]
    assert "training.full_batch" in GRAPH["training.trainer"]  # within a function
    assert "losses" in GRAPH["model.network"]


def test_test_modules_share_helpers_only() -> None:
    tests = Path(__file__).parent
    found = []
    for path in [*tests.glob("*.py"), *tests.glob("helpers/*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
                found += [(path.name, module) for module in modules if (tests / f"{module.partition('.')[0]}.py").exists()]
    assert found == []


def test_importing_the_package_imports_nothing_heavy() -> None:
    """SciPy's solvers, matplotlib and tqdm are imported at their first use: importing nncore takes little longer than NumPy."""
    code = "import sys, nncore; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    paths = os.pathsep.join(filter(None, sys.path))
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": paths}, capture_output=True, text=True, check=True
    )
    assert not {"scipy", "matplotlib", "tqdm", "pandas", "sklearn", "h5py"} & set(done.stdout.split())
