"""Damaged files: each is refused with a ValueError that names it, before anything has changed, or what it holds works.

One case damages the file of a model, an ensemble, a training, a sweep or a log, and reads it. A model that was read predicts,
and gives the same bytes when it is saved, read and saved again; a training that was restored goes on.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import math
import os
import sqlite3
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

import nncore as nn
from attack.mutate import mutated, pick
from attack.trainings import CONTENTS, TRAININGS, Own, content, data_of, restored

Rng = np.random.Generator

_folder = tempfile.TemporaryDirectory(prefix="nncore-attack-")
CUSTOM = {"Own": Own}
LARGEST = 1 << 24  # numbers in a row of data that is made here

_models = {name: restored(name).model for name in TRAININGS}
MODELS = {name: content(model) for name, model in _models.items() if isinstance(model, nn.Sequential)}
ENSEMBLES = {name: content(model) for name, model in _models.items() if isinstance(model, nn.Ensemble)}
EVERYTHING = [*CONTENTS.values(), *MODELS.values(), *ENSEMBLES.values()]


def case(rng: Rng) -> str:
    """One damaged file."""
    kind = pick(rng, KINDS)
    return f"{kind.__name__} {kind(rng)}"


# ---- what may be


@contextlib.contextmanager
def refusal(name: str) -> Iterator[list[str]]:
    """Records a refusal: a ValueError of this class itself, with a message of some length that names the file."""
    outcome: list[str] = []
    try:
        yield outcome
    except ValueError as error:
        text = str(error)
        if type(error) is not ValueError or len(text) > 2000 or name not in text or not text.isprintable():
            raise AssertionError(f"a refusal must be a short ValueError that names {name}") from error
        outcome.append("refused")


@contextlib.contextmanager
def source(rng: Rng, data: bytes) -> Iterator[Callable[[], Any]]:
    """Makes a file object, or gives the path of a file, with these bytes."""
    if rng.random() < 0.8:
        yield lambda: io.BytesIO(data)
        return
    path = Path(_folder.name, str(os.getpid()))
    path.write_bytes(data)
    yield lambda: path
    path.unlink()


def name_of(file: Any) -> str:
    return str(file) if isinstance(file, Path) else "_io.BytesIO"


# ---- models, ensembles, trainings


def model(rng: Rng) -> str:
    name = pick(rng, sorted(MODELS))
    with source(rng, mutated(rng, MODELS[name], pick(rng, EVERYTHING))) as opened:
        file = opened()
        with refusal(name_of(file)) as outcome:
            loaded = nn.load(file, custom_layers=CUSTOM)
    if outcome:
        return outcome[0]
    check_model(loaded)
    saved = content(loaded)
    if content(nn.load(io.BytesIO(saved), custom_layers=CUSTOM)) != saved:
        raise AssertionError("read and saved again, the bytes are others")
    return "loaded"


def check_model(loaded: nn.Sequential) -> None:
    """It predicts, from zeros and from large numbers."""
    if math.prod(loaded.input_shape) > LARGEST:  # of a scaler or an activation, which have no parameters that size
        return
    for value in (0.0, 1e30):
        try:
            outputs = loaded.predict(np.full((3, *loaded.input_shape), value, loaded.dtype))
        except ValueError as error:  # by a scaler of targets, by weight normalization without a direction
            if not str(error).startswith(("the output of the model must be finite", "weight normalization needs directions")):
                raise
            continue
        if outputs.shape != (3, *loaded.output_shape) or outputs.dtype != loaded.dtype:
            raise AssertionError(f"outputs must be {loaded.output_shape}, got {outputs.shape} of {outputs.dtype}")


def ensemble(rng: Rng) -> str:
    name = pick(rng, sorted(ENSEMBLES))
    with source(rng, mutated(rng, ENSEMBLES[name], pick(rng, EVERYTHING))) as opened:
        file = opened()
        with refusal(name_of(file)) as outcome:
            loaded = nn.Ensemble.load(file, custom_layers=CUSTOM)
    if outcome:
        return outcome[0]
    for member in range(len(loaded)):
        check_model(loaded[member])
    inputs = {group.template.input_shape for group in loaded.groups}
    if len(inputs) == 1:
        loaded.predict(np.zeros((3, *inputs.pop())))
    saved = content(loaded)
    if content(nn.Ensemble.load(io.BytesIO(saved), custom_layers=CUSTOM)) != saved:
        raise AssertionError("read and saved again, the bytes are others")
    return "loaded"


def training(rng: Rng) -> str:
    name = pick(rng, sorted(CONTENTS))
    make, arguments = TRAININGS[name]
    trainer = make()
    if rng.random() < 0.2:
        trainer.restore(io.BytesIO(CONTENTS[name]))
    before = content(trainer)
    with source(rng, mutated(rng, CONTENTS[name], pick(rng, EVERYTHING))) as opened:
        file = opened()
        with refusal(name_of(file)) as outcome:
            trainer.restore(file)
    if outcome:
        if content(trainer) != before:
            raise AssertionError("a file that was refused has changed the trainer")
        return outcome[0]
    saved, other = content(trainer), make()
    other.restore(io.BytesIO(saved))
    if content(other) != saved:
        raise AssertionError("read and saved again, the bytes are others")
    if rng.random() < 0.3:
        size = None if name in ("lbfgs", "marquardt", "newton", "scipy") else 8
        # valid numbers too large for a step, also of some members, an optimizer that takes all rows
        with contextlib.suppress(ArithmeticError, ValueError), warnings.catch_warnings(action="ignore", category=UserWarning):
            trainer.fit(*data_of(trainer), epochs=1, batch_size=size, verbose=0, **arguments())
    return "loaded"


# ---- the file of a sweep


def _swept(path: Path) -> nn.SweepTable:
    return nn.sweep(lambda a: {"loss": a}, {"a": [1.0, 2.0, 3.0]}, file=path, name="attack", verbose=0)


def _sweep_file() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "sweep")
        _swept(path)
        return path.read_bytes()


SWEEP = _sweep_file()
COLUMNS = ["key", "what", "ended", "epochs", "seconds", '"values"', "history", "owner", "beat"]
CELLS: list[Any] = [
    None, 0, -1, 1.5, 2**62, 1e308, float("nan"), "", "x", "finished", "raised", "NaN", "[]", "{}", "[1]", '{"loss": 1}',
    '{"loss": "nan"}', '{"loss": [1]}', '{"a": {}}', '{"loss": "9e999"}', "[" * 5000, b"", b"\n", b"[]\n",
    b'["loss"]\n' + bytes(8), b'["loss"]\n' + bytes(7), b'["loss", "loss"]\n' + bytes(16), b'[1]\n' + bytes(8),
    b'{"a": 1}\n' + bytes(8), b'["epoch"]\n' + bytes(8), b"null\n", b"[[]]\n" + bytes(8), b"\xff\n", b"[" * 5000 + b"\n",
    "\ud7ff", "é", '["h", 1, null, "x"]', '["h", [], {}, 1]',
]  # fmt: skip


def sweep(rng: Rng) -> str:
    path = Path(_folder.name, f"{os.getpid()}.sweep")
    if rng.random() < 0.4:
        path.write_bytes(mutated_pages(rng, SWEEP))
    else:
        path.write_bytes(SWEEP)
        connection = sqlite3.connect(path)
        for _ in range(int(rng.geometric(0.7))):
            with contextlib.suppress(sqlite3.IntegrityError):
                connection.execute(
                    f"UPDATE runs SET {pick(rng, COLUMNS)} = ? WHERE rowid = ?", (pick(rng, CELLS), int(rng.integers(4)))
                )
        if rng.random() < 0.1:
            connection.execute(pick(rng, ["DROP TABLE sweep", "DROP TABLE runs", "ALTER TABLE runs DROP COLUMN history"]))
        connection.commit()
        connection.close()
    try:
        try:
            with refusal(str(path)) as outcome:
                table = _swept(path)
        except OSError as error:  # a file of a later version can only be read
            if not str(error).endswith(f"readonly database: {str(path)!r}"):
                raise
            return "refused by SQLite"
        if outcome:
            return outcome[0]
        if len(table) != 3:
            raise AssertionError(f"a table of 3 runs must have 3, got {len(table)}")
        str(table)
        return "read"
    finally:
        for each in path.parent.glob(f"{path.name}*"):
            each.unlink()


def mutated_pages(rng: Rng, data: bytes) -> bytes:
    """Some bytes of the pages of a database, most often at their beginnings; or less or more of it."""
    pages = bytearray(data)
    for _ in range(int(rng.geometric(0.2))):
        place = int(rng.integers(len(pages) // 4096)) * 4096 + int(rng.integers(100 if rng.random() < 0.7 else 4096))
        pages[place] = int(rng.integers(256))
    return bytes(pages) if rng.random() < 0.9 else bytes(pages[: int(rng.integers(len(pages)))])


# ---- a log that is appended to

LOGS = [
    b"epoch,loss\n1,0.5\n2,0.25\n", b"\xef\xbb\xbfepoch,loss\r\n1,0.5\r\n", b'"epoch","a,b"\n1,"x\ny"\n', b"epoch\n",
    b"loss,epoch\n", b"", b"\n", b"epoch,epoch\n1,1\n", b'epoch,"loss\n', b"epoch,loss\n1,0.5\n2,0.2",
    "epoch,Verlust,é\n1,2,3\n".encode("utf-16"),
]  # fmt: skip


def log(rng: Rng) -> str:
    path = Path(_folder.name, f"{os.getpid()}.csv")
    before = pick(rng, LOGS)
    for _ in range(int(rng.integers(4))):
        place = int(rng.integers(len(before) + 1))
        before = (
            before[:place]
            + pick(rng, [b"\n", b"\r", b'"', b",", b"\0", b"\xff", b"epoch", b"x" * 200_000, b"", rng.bytes(3)])
            + before[place:]
        )
    path.write_bytes(before)
    logger = nn.CSVLogger(path, append=True)
    try:
        with refusal(str(path)) as outcome:
            logger.on_train_begin(None)
        if outcome:
            if path.read_bytes() != before:
                raise AssertionError("a file that was refused has changed")
            return outcome[0]
        rows = [{"loss": 0.5}, {"loss": float("nan"), "val_loss": 1e300}][: int(rng.integers(1, 3))]
        for epoch, row in enumerate(rows, 7):
            logger.on_epoch_end(None, epoch, row)
        logger.on_train_end(None)
        _check_log(before, path.read_bytes(), rows)
        return "appended"
    finally:
        path.unlink()


def _check_log(before: bytes, after: bytes, rows: list[dict[str, float]]) -> None:
    """The rows that were there are there, and then the new ones."""
    whole = before[: before.rfind(b"\n") + 1]
    old = [line for line in csv.reader(io.StringIO(whole.decode("utf-8-sig"), newline="")) if any(line)][1:]
    columns, *new = csv.reader(io.StringIO(after.decode("utf-8-sig"), newline=""))
    new = [line for line in new if any(line)]  # an empty line has got cells, if there is a new column
    if [line[: len(own)] for line, own in zip(new, old, strict=False)] != old or len(new) != len(old) + len(rows):
        raise AssertionError(f"rows must be those before and {len(rows)} more, got {json.dumps(new)}")
    for row, line in zip(rows, new[len(old) :], strict=True):
        if repr(float(dict(zip(columns, line, strict=True))["loss"])) != repr(row["loss"]):
            raise AssertionError(f"a row must be {row}, got {line}")


KINDS: list[Callable[[Rng], str]] = [*[model] * 6, *[ensemble] * 3, *[training] * 9, log, *[sweep] * 1]
