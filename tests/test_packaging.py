"""What is distributed: names, the files of both archives, and the warning if another project has written over the package."""

from __future__ import annotations

import importlib.util
import io
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path
from typing import Any

import pytest

import nncore as nn
from nncore import cli

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PLAYGROUND = ROOT / "src/nncore/playground/static"


# --- names


def test_extras_refer_to_the_distribution() -> None:
    assert PROJECT["name"] == "nncore-learn"
    own = [each for extra in PROJECT["optional-dependencies"].values() for each in extra if each.startswith("nncore")]
    assert own
    assert all(re.fullmatch(r"nncore-learn\[[\w-]+\]", each) for each in own)


def test_nothing_tells_to_install_the_other_project() -> None:
    """Except the page that explains it, and the tests."""
    pattern = re.compile(r"nncore\[\w|pip install (?:-\S+ )*[\"']?nncore(?!-)")
    for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.rst"), *ROOT.glob("src/**/*.py"), *ROOT.glob("examples/**/*.py")]:
        if path.name != "installing.rst":
            assert not pattern.search(path.read_text(encoding="utf-8")), path


# --- both installed


@pytest.fixture
def other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other project's distribution is installed too."""
    folder = tmp_path / "nncore-0.4.7.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: nncore\nVersion: 0.4.7\n")
    monkeypatch.syspath_prepend(str(tmp_path))


def test_no_warning() -> None:
    assert "warning" not in nn.show_config()


@pytest.mark.usefixtures("other")
def test_configuration_warns() -> None:
    assert "\nwarning: the distribution nncore 0.4.7 is installed over nncore-learn: uninstall both" in nn.show_config()


@pytest.mark.usefixtures("other")
def test_command_says_that_the_package_was_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(nn, "show_config")
    with pytest.raises(SystemExit, match=r"^warning: the distribution nncore 0\.4\.7 is installed over nncore-learn"):
        cli.main(["compare", "beale"])


# --- the archives


def setup(folder: Path, *arguments: str) -> None:
    command = [sys.executable, "-W", "ignore", "setup.py", "-q", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source distribution, of a copy of the sources."""
    pytest.importorskip("Cython")
    pytest.importorskip("setuptools", minversion="77")
    folder = tmp_path_factory.mktemp("packaging")
    skip = shutil.ignore_patterns(".*", "build", "dist", "_build", "gallery", "*.so", "*.egg-info", "__pycache__", "program.c")
    shutil.copytree(ROOT, folder / "source", ignore=skip)
    setup(folder / "source", "sdist", "--dist-dir", str(folder))
    name = f"nncore_learn-{nn.__version__}"
    with tarfile.open(folder / f"{name}.tar.gz") as archive:
        archive.extractall(folder, filter="data")
    return folder / name


def test_source_distribution(unpacked: Path) -> None:
    """It has what compiling, the tests and the pages need; setup.py, run below, finds each header that C includes."""
    corpus = [str(path.relative_to(ROOT)) for path in (ROOT / "tests/corpus" / nn.__version__).iterdir()]
    for name in (
        "LICENSE", "SECURITY.md", "src/nncore/_kernels/program.pyx", "packaging/smoke.py", "tests/conftest.py", "docs/conf.py",
        *corpus,
    ):  # fmt: skip
        assert (unpacked / name).is_file(), name
    assert not list(unpacked.rglob("*.so"))
    assert not list(unpacked.rglob("program.c"))


def test_package(unpacked: Path) -> None:
    """What of it is installed, besides the compiled modules: no sources in C or Cython, and all of the playground's page."""
    setup(unpacked, "build_py", "--build-lib", "installed")
    package = unpacked / "installed/nncore"
    assert sorted(path.name for path in package.parent.iterdir()) == ["nncore"]
    suffixes = {path.suffix for path in package.rglob("*") if path.is_file()}
    assert suffixes == {".py", ".pyi", ".typed", ".mplstyle", ".js", ".css", ".html", ".svg"}
    page = {path.name for path in PLAYGROUND.iterdir() if not path.name.endswith(".d.ts")}
    assert {path.name for path in (package / "playground/static").iterdir()} == page


def test_source_distributions_of_two_builds_are_the_same_bytes() -> None:
    specification = importlib.util.spec_from_file_location("same_bytes", ROOT / "packaging/same_bytes.py")
    assert specification is not None
    assert specification.loader is not None
    module: Any = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    first, second = (module.rewritten(archive(*of), 1_700_000_000) for of in ((1, "a", "b"), (2, "b", "a")))
    assert first == second
    with tarfile.open(fileobj=io.BytesIO(first)) as file:
        assert [(each.name, each.mtime, each.uid, each.mode) for each in file] == [
            ("a", 1_700_000_000, 0, 0o755), ("b", 1_700_000_000, 0, 0o644)
        ]  # fmt: skip
        assert file.extractfile("b").read() == b"b"  # type: ignore[union-attr]


def archive(person: int, *names: str) -> bytes:
    """A source distribution as setuptools writes it: with who and when."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as file:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size, member.uid, member.mtime = 1, person, 1e9 + person / 3
            member.mode = (0o700 if name == "a" else 0o600) | (0o044 if person == 1 else 0)
            file.addfile(member, io.BytesIO(name.encode()))
    return data.getvalue()
