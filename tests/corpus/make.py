"""Write files of the installed version: ``PYTHONPATH=tests python tests/corpus/make.py tests/corpus/VERSION [names ...]``.

Once for each instruction set (``NNCORE_ISA``): the files are the same except for last bits, so only the first run writes them.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import sys
import tempfile
from pathlib import Path
from typing import Any

from helpers import corpus

import nncore as nn
from nncore import _kernels


def shortest(values: corpus.Array) -> list[float]:
    """All in a row, each with the fewest digits from which its precision gives the same number again."""
    return [float(str(value)) for value in values.ravel()]


def write_models(folder: Path, names: set[str]) -> dict[str, Any]:
    """The files that are not there yet; predictions of all."""
    expected = {}
    for name in sorted(names & {*corpus.MODELS}):
        path = folder / f"model-{name}.safetensors"
        if not path.exists():
            corpus.MODELS[name]().save(path)
        read = nn.Ensemble.load if name == "ensemble" else nn.load
        expected[path.name] = shortest(corpus.predictions(read(path)))
    return expected


def write_checkpoints(folder: Path, names: set[str]) -> dict[str, Any]:
    """The files that are not there yet; parameters after two more epochs."""
    expected = {}
    for name in sorted(names & {*corpus.CHECKPOINTS}):
        path = folder / f"checkpoint-{name}.safetensors"
        trainer, arguments = corpus.CHECKPOINTS[name]()
        if path.exists():
            trainer.restore(path)
        else:
            corpus.fit(trainer, arguments)
            trainer.save(path)
        corpus.fit(trainer, arguments)
        expected[path.name] = shortest(corpus.parameters(trainer))
    return expected


def write_sweep(path: Path) -> None:
    """A database as SQL, with SQLite's two marks of its kind."""
    with tempfile.TemporaryDirectory() as folder:
        database = Path(folder, "sweep.db")
        corpus.sweep(corpus.made, database)
        with contextlib.closing(sqlite3.connect(database)) as connection:
            marks = [(mark, connection.execute(f"PRAGMA {mark}").fetchone()[0]) for mark in ("application_id", "user_version")]
            lines = [*connection.iterdump(), *(f"PRAGMA {mark}={value};" for mark, value in marks)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def main(folder: Path, names: set[str]) -> None:
    folder.mkdir(exist_ok=True)
    expected = write_models(folder, names) | write_checkpoints(folder, names)
    text = ",\n".join(f"{json.dumps(name)}: {json.dumps(values)}" for name, values in expected.items())
    (folder / f"expected-{_kernels.isa_name}.json").write_text(f"{{\n{text}\n}}\n", encoding="utf-8")
    if "log" in names and not (folder / "log.csv").exists():
        corpus.log(folder / "log.csv")
    if "sweep" in names and not (folder / "sweep.sql").exists():
        write_sweep(folder / "sweep.sql")


if __name__ == "__main__":
    main(Path(sys.argv[1]), {*sys.argv[2:]} or {*corpus.MODELS, *corpus.CHECKPOINTS, "log", "sweep"})
