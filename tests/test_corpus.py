"""Files that earlier versions wrote are read, give the numbers that they gave, and can be continued: tests/corpus/README.md."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import platform
import re
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import corpus
from numpy.typing import NDArray

import nncore as nn
from nncore import _kernels
from nncore._kernels import program
from nncore._utils.archive import VERSION

FOLDERS = sorted(path for path in (Path(__file__).parent / "corpus").iterdir() if (path / "log.csv").exists())
MODELS, CHECKPOINTS = (
    [
        pytest.param(path, id=f"{path.parent.name}-{path.stem}")
        for folder in FOLDERS
        for path in sorted(folder.glob(f"{kind}-*"))
    ]
    for kind in ("model", "checkpoint")
)
SWEEPS = [path for folder in FOLDERS for path in sorted(folder.glob("*.sql"))]


def title(path: Path) -> str:
    return path.stem.partition("-")[2]


def read(source: Any, name: str) -> Any:
    return nn.Ensemble.load(source) if name == "ensemble" else nn.load(source)


def expected(path: Path) -> list[float]:
    """The numbers of this instruction set, or where it has none those of another one."""
    own, *others = path.parent / f"expected-{_kernels.isa_name}.json", *sorted(path.parent.glob("expected-*.json"))
    numbers: list[float] = json.loads((own if own.exists() else others[0]).read_text())[path.name]
    return numbers


def same_bits(path: Path) -> bool:
    """Whether these kernels must give the bits of the file: this version's, compiled by GCC for the same instructions."""
    built_by_gcc = b"GCC: (" in Path(str(program.__file__)).read_bytes()
    return path.parent.name == nn.__version__ and platform.machine() in ("x86_64", "AMD64") and built_by_gcc


def assert_equal(got: NDArray[Any], path: Path, tolerance: float) -> None:
    wanted = np.array(expected(path), dtype=got.dtype)
    if same_bits(path):
        assert got.tobytes() == wanted.tobytes()
    np.testing.assert_allclose(got.ravel(), wanted, rtol=0, atol=tolerance)


def test_this_version_has_its_files() -> None:
    """When it has become another one: python tests/corpus/make.py writes them."""
    folder = Path(__file__).parent / "corpus" / nn.__version__
    there = {path.name for path in folder.iterdir()}
    names = {f"{kind}-{name}.safetensors" for kind in ("model", "checkpoint") for name in getattr(corpus, f"{kind.upper()}S")}
    assert there == names | {"log.csv", "sweep.sql", *(f"expected-{isa}.json" for isa in ("baseline", "avx2", "avx512"))}
    assert all(path.stat().st_size <= 4096 for path in folder.iterdir())


def test_formats_in_the_corpus() -> None:
    """All that are claimed to be read."""
    formats = {re.search(rb"nncore-(\d+)", each.values[0].read_bytes())[1] for each in MODELS + CHECKPOINTS}  # type: ignore[index, union-attr]
    assert formats == {str(version).encode() for version in range(1, VERSION + 1)}


@pytest.mark.parametrize("path", MODELS)
def test_a_model_predicts_what_it_did(path: Path) -> None:
    assert_equal(corpus.predictions(read(path, title(path))), path, 1e-6)


@pytest.mark.parametrize("path", CHECKPOINTS)
def test_a_training_goes_on_as_it_did(path: Path) -> None:
    trainer, arguments = corpus.CHECKPOINTS[title(path)]()
    trainer.restore(path)
    corpus.fit(trainer, arguments)
    assert len(trainer.history) == 4
    assert np.isfinite(corpus.parameters(trainer)).all()
    if "sampler" not in arguments or not path.parent.name.endswith("format-1"):  # by losses: format 1 has them of other data
        assert_equal(corpus.parameters(trainer), path, 1e-4)


@pytest.mark.parametrize("path", [case for case in CHECKPOINTS if title(case.values[0]) != "together"])
def test_a_checkpoint_is_a_model_too(path: Path) -> None:
    trainer, _ = corpus.CHECKPOINTS[title(path)]()
    trainer.restore(path)
    assert nn.load(path).predict(corpus.X).tobytes() == trainer.model.predict(corpus.X).tobytes()


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_log_is_continued(folder: Path, tmp_path: Path) -> None:
    shutil.copy(folder / "log.csv", path := tmp_path / "log.csv")
    before = path.read_text()
    corpus.log(path)
    assert path.read_text().startswith(before)
    rows = [*csv.DictReader(io.StringIO(path.read_text()))]
    assert [row["epoch"] for row in rows] == ["1", "2", "1", "2"]
    np.testing.assert_allclose(*([float(row["running_loss"]) for row in part] for part in (rows[:2], rows[2:])), atol=1e-6)


def database(path: Path, folder: Path) -> Path:
    with contextlib.closing(sqlite3.connect(made := folder / "sweep.db")) as connection:
        connection.executescript(path.read_text(encoding="utf-8"))
    return made


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.parent.name)
def test_a_sweep_has_its_results(path: Path, tmp_path: Path) -> None:
    there = corpus.sweep(lambda lr, seed: pytest.fail("made again"), database(path, tmp_path))
    anew = corpus.sweep(corpus.made, tmp_path / "new.db")
    assert len(there) == 4
    for old, new in zip(there, anew, strict=True):
        assert (old.parameters, old.seed, old.ended, old.epochs) == (new.parameters, new.seed, new.ended, new.epochs)
        np.testing.assert_allclose(old.values["running_loss"], new.values["running_loss"], atol=1e-6)


# --- newer formats


@pytest.mark.parametrize("path", MODELS + CHECKPOINTS)
def test_a_newer_format_is_refused_as_newer(path: Path) -> None:
    newer = re.sub(rb"nncore-\d", b"nncore-%d" % (VERSION + 1), path.read_bytes())
    words = f"was written by a newer nncore: format must be at most 'nncore-{VERSION}', got 'nncore-{VERSION + 1}'"
    with pytest.raises(ValueError, match=words):
        read(io.BytesIO(newer), title(path))
    if path.name.startswith("checkpoint"):
        trainer, _ = corpus.CHECKPOINTS[title(path)]()
        with pytest.raises(ValueError, match=words):
            trainer.restore(io.BytesIO(newer))


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.parent.name)
def test_a_newer_sweep_is_refused_as_newer(path: Path, tmp_path: Path) -> None:
    with contextlib.closing(sqlite3.connect(made := database(path, tmp_path))) as connection:
        connection.execute("PRAGMA user_version=3")
    with pytest.raises(ValueError, match="of version 3 of the format, not 2, written by a newer nncore"):
        corpus.sweep(corpus.made, made)
