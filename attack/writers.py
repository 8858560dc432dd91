"""Everything in nncore that writes files, in one table: `WRITERS`. Each writes the contents 0, 1, 2, … one after the other."""

from __future__ import annotations

import functools
import json
import os
import sqlite3
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

import nncore as nn
from nncore import landscapes
from nncore._utils import archive, figures
from nncore.export import WRITERS as FORMATS

NUMBERS = 6  # contents, after which a folder is begun anew

X = np.random.default_rng(0).normal(size=(24, 3))
Y = np.arange(24) % 2
Content = Any  # of a file: None if there is none


class Writer(NamedTuple):
    """Writes the content with a number into a folder that holds the one before.

    ``module`` is where nncore writes, ``files`` are the names. One that adds to a file may leave a part of its last line.
    """

    module: str
    files: tuple[str, ...]
    write: Callable[[Path, int], object]
    adds: bool = False


def content(path: Path) -> Content:
    """What a file holds, the same for the same content. Raises if it is not whole."""
    if not path.exists():
        return None
    data = path.read_bytes()
    if path.suffix == ".safetensors":  # its header may be in any order, and names the folder in the state of callbacks
        size = int.from_bytes(data[:8], "little")
        header = json.loads(data[8 : 8 + size])
        archive.read(path)
        return json.dumps(header, sort_keys=True).replace(str(path.parent), ""), data[8 + size :]
    if path.suffix == ".db":
        return runs(path)
    return data


def runs(path: Path) -> Content:
    """The results in the file of a sweep."""
    connection = sqlite3.connect(path)
    try:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        if not connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'runs'").fetchone()[0]:
            return None  # begun, no more
        rows = connection.execute('SELECT what, ended, epochs, "values" FROM runs WHERE ended IS NOT NULL').fetchall()
        return sorted(rows) or None
    finally:
        connection.close()


def network(seed: int = 0) -> nn.Sequential:
    return nn.Sequential([nn.Dense(40), nn.Tanh(), nn.Dense(2)], input_shape=3, dtype="float64", seed=seed)


def trainer(seed: int = 0) -> nn.Trainer:
    return nn.Trainer(network(seed), "softmax_cross_entropy", nn.Adam(lr=0.01), seed=seed)


@functools.cache
def _wide() -> nn.Sequential:
    """A file of many pages, so that a kill finds it half written."""
    return nn.Sequential([nn.Dense(150)], input_shape=400, dtype="float64", seed=0)


@functools.cache
def _fitted() -> nn.Trainer:
    fitted = trainer()
    fitted.fit(X, Y, epochs=2, verbose=0)
    return fitted


@functools.cache
def _ensemble_trainer() -> nn.EnsembleTrainer:
    fitted = nn.EnsembleTrainer(nn.Ensemble([network(seed) for seed in range(3)]), "softmax_cross_entropy", nn.Adam(lr=0.01))
    fitted.fit(X, Y, epochs=2, verbose=0)
    return fitted


def _save_model(folder: Path, number: int) -> None:
    _wide().parameters.fill(number)
    _wide().save(folder / "model.safetensors")


def _save_trainer(folder: Path, number: int) -> None:
    _fitted().model.parameters.fill(number)
    _fitted().save(folder / "trainer.safetensors")


def _save_ensemble(folder: Path, number: int) -> None:
    _ensemble_trainer().model[0].parameters.fill(number)
    _ensemble_trainer().model.save(folder / "ensemble.safetensors")


def _save_ensemble_trainer(folder: Path, number: int) -> None:
    _ensemble_trainer().model[0].parameters.fill(number)
    _ensemble_trainer().save(folder / "training.safetensors")


def _export(name: str) -> Callable[[Path, int], None]:
    def write(folder: Path, number: int) -> None:
        _fitted().model.parameters.fill(number)
        _fitted().model.export(folder / name)

    return write


@functools.cache
def _figure() -> Any:
    """Drawn by Pillow and by matplotlib's own code only: no fonts are read."""
    figure = figures.new_figure("attack", (1, 1), "figure.png")
    figure.set_layout_engine("none")
    return figure


def _draw(folder: Path, number: int) -> None:
    _figure().set_facecolor(str(number / 10))
    figures.finish(_figure(), folder / "figure.png")


@functools.cache
def _trajectory() -> landscapes.Recording:
    return landscapes.record(nn.SGD(lr=0.01), landscapes.Beale(), landscapes.Beale().start, steps=2)


def _animate(folder: Path, number: int) -> None:
    landscapes.animate(landscapes.Beale(), {"SGD": _trajectory()}, folder / "frames.gif", frames=1, title=str(number))


def _log(folder: Path, number: int) -> None:
    logger = nn.CSVLogger(folder / "log.csv")
    logger.on_train_begin(None)
    logger.on_epoch_end(None, 1, {"loss": float(number)})


def _add_row(folder: Path, number: int) -> None:
    """Rows of several pages."""
    logger = nn.CSVLogger(folder / "rows.csv", append=number > 0)
    logger.on_train_begin(SimpleNamespace(epochs_done=number))
    logger.on_epoch_end(None, number + 1, {f"column {i}": number / 3 for i in range(800)})


def _train(folder: Path, number: int) -> None:
    """A training that goes on from its checkpoint, if there is one, for one epoch."""
    last, own = folder / "last.safetensors", trainer()
    if last.exists():
        own.restore(last)
    if own.epochs_done <= number:
        callbacks = [
            nn.CSVLogger(folder / "train.csv", append=own.epochs_done > 0),
            nn.ModelCheckpoint(folder / "best.safetensors", monitor="running_loss"),
            nn.ModelCheckpoint(folder / "epoch-{epoch}.safetensors"),
            nn.ModelCheckpoint(last),
        ]
        own.fit(X, Y, batch_size=8, epochs=number + 1 - own.epochs_done, callbacks=callbacks, verbose=0)


def loss(a: int) -> Mapping[str, float]:
    return {"loss": a / 7}


def _sweep(folder: Path, number: int) -> None:
    table = nn.sweep(loss, {"a": list(range(number + 1))}, file=folder / "sweep.db", name="attack", threads=1, verbose=0)
    assert [run.values["loss"] for run in table] == [a / 7 for a in range(number + 1)]


WRITERS = {
    "model": Writer("model.files", ("model.safetensors",), _save_model),
    "trainer": Writer("training.checkpoint", ("trainer.safetensors",), _save_trainer),
    "ensemble": Writer("ensemble.files", ("ensemble.safetensors",), _save_ensemble),
    "ensemble trainer": Writer("ensemble.checkpoint", ("training.safetensors",), _save_ensemble_trainer),
    **{f"export{suffix}": Writer("export", (f"net{suffix}",), _export(f"net{suffix}")) for suffix in sorted(FORMATS)},
    "figure": Writer("_utils.figures", ("figure.png",), _draw),
    "animation": Writer("landscapes.plots", ("frames.gif",), _animate),
    "log": Writer("callbacks.csv_log", ("log.csv",), _log),
    "rows": Writer("callbacks.csv_log", ("rows.csv",), _add_row, adds=True),
    "training": Writer(
        "callbacks.csv_log",
        ("best.safetensors", "last.safetensors", "train.csv", *(f"epoch-{n + 1}.safetensors" for n in range(NUMBERS))),
        _train, adds=True,
    ),
    "sweep": Writer("sweeps.store", ("sweep.db",), _sweep),
}  # fmt: skip


def contents(writer: Writer, folder: Path) -> dict[str, Content]:
    """Of all its files."""
    return {name: content(folder / name) for name in writer.files}


def left_over(writer: Writer, folder: Path) -> set[str]:
    """Files that nobody asked for; those of SQLite belong to its file."""
    companions = {f"{name}{end}" for name in writer.files if name.endswith(".db") for end in ("-wal", "-shm", "-journal")}
    return set(os.listdir(folder)) - set(writer.files) - companions
