"""Files of sweeps: what tells one from another, who makes a run, and what an interruption leaves."""

from __future__ import annotations

import functools
import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse
from helpers.processes import run_python

import nncore as nn
from nncore.sweeps import store
from nncore.sweeps.digest import digest

RNG = np.random.default_rng(0)
X = RNG.normal(size=(1000, 2)).astype(np.float32)
Y = (X[:, 0] * X[:, 1] > 0).astype(int)
SMALL = {"X": X[:80], "y": Y[:80]}


def make(lr: float = 0.01, seed: int = 0) -> nn.Trainer:
    model = nn.Sequential([nn.Dense(4), nn.Tanh(), nn.Dense(2)], input_shape=2, seed=seed)
    return nn.Trainer(model, "softmax_cross_entropy", nn.Adam(lr=lr), seed=seed)


def sweep(space: Any, X: Any = None, y: Any = None, **kw: Any) -> nn.SweepTable:
    return nn.sweep(kw.pop("make", make), space, X, y, verbose=0, **kw)


# What tells values apart.


def function(text: str, **variables: Any) -> Any:
    """The function ``f`` of a module of one's own."""
    own: dict[str, Any] = {"__name__": "mine", "nn": nn, "np": np, "functools": functools, **variables}
    exec(text, own)
    return own["f"]


def middle(values: np.ndarray, change: Any) -> np.ndarray:
    other = values.copy()
    other[len(other) // 2] = change
    return other


LONG = np.arange(5000)
SPARSE = scipy.sparse.csr_matrix(([1.0, 2.0], ([0, 1], [0, 1])), shape=(3, 3))
MOVED = scipy.sparse.csr_matrix(([1.0, 2.0], ([0, 1], [0, 2])), shape=(3, 3))
DIFFERENT: dict[str, tuple[Any, Any]] = {
    "constants": (function("def f(x): return x + 1"), function("def f(x): return x + 2")),
    "constants of inner functions": (function("def f(): return lambda: 1"), function("def f(): return lambda: 2")),
    "names": (function("def f(): return nn.Adam()"), function("def f(): return nn.SGD()")),
    "defaults": (function("def f(x=1): return x"), function("def f(x=2): return x")),
    "keyword defaults": (function("def f(*, x=1): return x"), function("def f(*, x=2): return x")),
    "lambdas": (lambda x: x, lambda x: -x),
    "partials": (functools.partial(make, 0.1), functools.partial(make, 0.2)),
    "keywords of partials": (functools.partial(make, lr=0.1), functools.partial(make, lr=0.2)),
    "globals": (function("def f(): return A", A=1), function("def f(): return A", A=2)),
    "called": (function("def g(): return 1\ndef f(): return g()"), function("def g(): return 2\ndef f(): return g()")),
    "called by inner functions": (
        function("def g(): return 1\ndef f(): return lambda: g()"), function("def g(): return 2\ndef f(): return lambda: g()"),
    ),
    "methods": (
        function("class C:\n    def m(self): return 1\ndef f(): return C().m()"),
        function("class C:\n    def m(self): return 2\ndef f(): return C().m()"),
    ),
    "attributes of classes": (function("class f:\n    a = 1"), function("class f:\n    a = 2")),
    "bases": (function("class f(int): pass"), function("class f(float): pass")),
    "decorated": (
        function("@functools.lru_cache\ndef f(): return 1"), function("@functools.lru_cache\ndef f(): return 2"),
    ),
    "exceptions": (
        function("def f():\n    try: g()\n    except ValueError: pass"),
        function("def f():\n    try: g()\n    except KeyError: pass"),
    ),
    "long arrays": (LONG, middle(LONG, -1)),
    "arrays of objects": (LONG.astype(object), middle(LONG.astype(object), "x")),
    "types of numbers": (LONG, LONG.astype(np.int32)),
    "shapes": (LONG, LONG.reshape(2, -1)),
    "masks": (np.ma.array([1, 2], mask=[0, 1]), np.ma.array([1, 2], mask=[1, 0])),
    "indices of sparse matrices": (SPARSE, MOVED),
    "integers and floats": (1, 1.0),
    "booleans": (True, 1),
    "lists and tuples": ([1, 2], (1, 2)),
    "nesting": ([[1], 2], [[1, 2]]),
    "entries": ({"a": 1}, {"a": 2}),
    "sets": ({1, 2}, {1, 3}),
    "arguments of objects": (nn.Adam(lr=0.1), nn.Adam(lr=0.2)),
    "schedules": (nn.Adam(nn.schedules.Cosine(0.1, 10)), nn.Adam(nn.schedules.Cosine(0.1, 20))),
    "classes of objects": (nn.SGD(lr=0.1), nn.Adam(lr=0.1)),
    "parameters of models": (make(seed=0).model, make(seed=1).model),
    "regularizers": (nn.L2(0.1), nn.L2(0.2)),
    "generators": (np.random.default_rng(0), np.random.default_rng(1)),
}  # fmt: skip


@pytest.mark.parametrize("what", DIFFERENT)
def test_different_values(what: str) -> None:
    one, other = DIFFERENT[what]
    assert digest(one, "a") == digest(one, "b") != digest(other, "a")


def test_values_that_enclose_others() -> None:
    def enclosing(value: Any) -> Callable[[], Any]:
        return lambda: value

    assert digest(enclosing([1, LONG]), "f") == digest(enclosing([1, LONG.copy()]), "f")
    assert digest(enclosing([1, LONG]), "f") != digest(enclosing([1, middle(LONG, 0)]), "f")
    assert digest(enclosing(enclosing(1)), "f") != digest(enclosing(enclosing(2)), "f")
    endless: list[Any] = [1]
    endless.append(endless)
    assert digest(endless, "a") != digest([1, [1]], "a")


def test_modules_that_a_function_imports_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the user's own count as if they were global; others are not even imported."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "own_package").mkdir()
    for name in ("own_module", "own_package/inner", "own_package/__init__"):
        (tmp_path / f"{name}.py").write_text("def g(): return 1\n")
    ways = (
        "from own_module import g; return g()",
        "import own_module as m; return m.g()",
        "import own_module; return own_module.g()",
        "from own_package.inner import g; return g()",
        "from own_package import inner; return inner.g()",
        "from .inner import g; return g()",
    )
    for way in ways:
        f = function(f"def f():\n    {way}", __package__="own_package")
        before = digest(f, "f")
        assert digest(f, "f") == before
        for name in ("own_module", "own_package.inner"):
            monkeypatch.setattr(f"{name}.g", lambda: 2)
        assert digest(f, "f") != before
        monkeypatch.undo()
        monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "raising.py").write_text("raise RuntimeError")
    rest = "def f():\n    import raising, not_there, sys, os.path, nncore.layers, this\n    from .... import g"
    assert digest(function(rest), "f") == digest(function(rest), "f")
    assert "this" not in sys.modules


def test_frames() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"a": LONG, "b": "x"})
    assert digest(frame, "a") == digest(frame.copy(), "a")
    assert digest(frame, "a") != digest(frame.assign(a=middle(LONG, 0)), "a")
    assert digest(frame, "a") != digest(frame.rename(columns={"a": "c"}), "a")


def test_equal_values() -> None:
    """Neither lines nor comments, the state of a training, or equal objects instead of the same one make a difference."""
    assert digest(function("def f(x): return x + A", A=[1]), "f") == digest(
        function("# more\n\n\ndef f(x): return x + A", A=[1]), "f"
    )
    text = "ab"
    assert digest([text, text], "a") == digest(["".join("ab"), "".join(["a", "b"])], "a")
    trainer = make()
    before = digest([trainer.optimizer, trainer.loss], "a")
    trainer.fit(**SMALL, verbose=0)
    assert digest([trainer.optimizer, trainer.loss], "a") == before
    assert digest(np.asfortranarray(np.ones((3, 4))), "a") == digest(np.ones((3, 4)), "a")


def test_the_same_in_every_process() -> None:
    program = """
import numpy as np, nncore as nn
from nncore.sweeps.digest import digest
K = {"a", "b", "c"}
def helper(x): return sorted(K) + [x]
class Own:
    def __init__(self): self.names = {"x", "y", "z"}
    def method(self): return helper(1)
def f(): return Own().method(), nn.Sequential([nn.Dense(3)], input_shape=2, seed=0)
print(digest([f, Own(), f(), {1: K}, nn.EarlyStopping("loss")], "a"))
"""
    found = {run_python(program, PYTHONHASHSEED=str(seed)).stdout for seed in (1, 2)}
    assert len(found) == 1
    assert len(found.pop()) == 41


def test_values_without_a_digest(tmp_path: Path) -> None:
    lock, path = threading.Lock(), tmp_path / "sweep.db"

    def locked(a: Any) -> dict[str, float]:
        with lock:
            return {"loss": 1.0}

    with pytest.raises(
        TypeError, match=r"lock in make must be something that can be compared .*name=\.\.\., which stands for make"
    ):
        sweep({"a": [1]}, make=locked, file=path)
    with pytest.raises(TypeError, match=r"a must be something that can be compared .* name such values by texts"):
        sweep({"a": [1, lock]}, make=lambda a: {"loss": 1.0}, file=path)
    assert not path.exists()
    assert len(sweep({"a": [1]}, make=locked, file=path, name="locked")) == 1


# What tells sweeps apart.


def test_another_sweep_is_refused(tmp_path: Path) -> None:
    path, weights = tmp_path / "sweep.db", np.ones(len(X))
    base: dict[str, Any] = {"X": X, "y": Y, "sample_weight": weights, "batch_size": 500}

    def refused(what: str, **changed: Any) -> None:
        with pytest.raises(ValueError, match=f"is of another sweep, which differs in: {what}"):
            sweep({"lr": [0.1]}, file=path, **{**base, **changed})

    sweep({"lr": [0.1]}, file=path, **base)
    refused("sample_weight", sample_weight=middle(weights, 2))
    refused("data", X=middle(X, 0))  # a single row
    refused("data", y=middle(Y, 1 - Y[500]))
    refused("callbacks", callbacks=lambda: [nn.EarlyStopping("running_loss")])
    refused("make", make=functools.partial(make, seed=1))
    refused("epochs", epochs=2)
    refused("X in make, callbacks, make, name|callbacks, .*make, name", name="named")
    assert len(sweep({"lr": [0.1]}, file=path, monitor="lr", **base)) == 1  # of runs without halving it changes nothing


def test_the_variable_that_differs_is_named(tmp_path: Path) -> None:
    def closed(k: int) -> Any:
        return lambda a: {"loss": a * k}

    sweep({"a": [1]}, make=closed(1), file=tmp_path / "sweep.db")
    with pytest.raises(ValueError, match="differs in: k in make, make"):
        sweep({"a": [1]}, make=closed(2), file=tmp_path / "sweep.db")


def test_runs_of_values_that_read_alike(tmp_path: Path) -> None:
    functions = [lambda: 1.0, lambda: 2.0]
    values = [*functions, LONG, middle(LONG, -1)]

    def result(a: Any) -> dict[str, float]:
        return {"loss": a() if callable(a) else float(a.sum())}

    for _ in range(2):
        table = sweep({"a": values}, make=result, file=tmp_path / "sweep.db")
        assert [run.values["loss"] for run in table] == [1, 2, LONG.sum(), middle(LONG, -1).sum()]


def test_equal_candidates_are_run_once(tmp_path: Path) -> None:
    log = tmp_path / "log"

    def logged(a: int) -> dict[str, float]:
        with log.open("a") as file:
            file.write("x")
        time.sleep(0.05)
        return {"loss": a}

    assert len(sweep([{"a": 1}, {"a": 1}, {"a": 2}], make=logged, file=tmp_path / "sweep.db", threads=2)) == 3
    assert log.read_text() == "xx"


def test_files_of_others_stay_as_they_are(tmp_path: Path) -> None:
    foreign = tmp_path / "other.db"
    for statement in ("CREATE TABLE runs (key TEXT)", "PRAGMA user_version=5", "PRAGMA application_id=7"):
        foreign.unlink(missing_ok=True)
        with sqlite3.connect(foreign) as connection:
            connection.execute(statement)
        connection.close()
        before = foreign.read_bytes()
        with pytest.raises(
            ValueError, match=r"file must be a SQLite file of a sweep, or a new one, got .*other.db' of another"
        ):
            sweep({"lr": [0.1]}, file=foreign, **SMALL)
        assert foreign.read_bytes() == before
        assert [path.name for path in tmp_path.iterdir()] == ["other.db"]
    empty = tmp_path / "empty.db"
    empty.touch()
    assert len(sweep({"lr": [0.1]}, file=empty, **SMALL)) == 1
    with sqlite3.connect(empty) as connection:
        connection.execute("PRAGMA user_version=99")
    with pytest.raises(ValueError, match="of version 99 of the format, not 2, written by a newer nncore"):
        sweep({"lr": [0.1]}, file=empty, **SMALL)


@pytest.mark.parametrize(
    "change",
    [
        "epochs = NULL", "epochs = 9e999", "seconds = 'x'", "ended = 3", '"values" = NULL', "\"values\" = '3'", "history = 'x'",
        pytest.param(f"\"values\" = '{'[' * 100_000}'", id="values nested deeply"),
        "ended = NULL, owner = 'x'", "ended = NULL, owner = '[1]'", "ended = NULL, owner = '[1, 2, 3, 4]', beat = 'x'",
    ],
)  # fmt: skip
def test_damaged_rows(tmp_path: Path, change: str) -> None:
    path = tmp_path / "sweep.db"
    sweep({"lr": [0.1]}, file=path, **SMALL)
    with sqlite3.connect(path) as connection:
        connection.execute(f"UPDATE runs SET {change}")
    with pytest.raises(ValueError, match=r"file .*sweep.db' is damaged in the row of lr=0.1; seed 0, key [0-9a-f]{40}: "):
        sweep({"lr": [0.1]}, file=path, **SMALL)


COMPUTED = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 9) SELECT i AS key, i AS ended FROM n"


@pytest.mark.parametrize(
    "statements",
    [
        ["DROP TABLE runs"],
        ["ALTER TABLE runs DROP COLUMN beat"],
        ["CREATE TRIGGER mine AFTER INSERT ON runs BEGIN DELETE FROM sweep; END"],
        ["ALTER TABLE runs RENAME TO other", f"CREATE VIEW runs AS {COMPUTED}"],
    ],
)
def test_tables_of_others(tmp_path: Path, statements: list[str]) -> None:
    """What a file would compute within a request, without the LIMIT forever, is not asked for."""
    path = tmp_path / "sweep.db"
    sweep({"lr": [0.1]}, file=path, **SMALL)
    connection = sqlite3.connect(path)
    for statement in statements:
        connection.execute(statement)
    connection.close()
    with pytest.raises(ValueError, match=r"file must be a SQLite file of a sweep, .*sweep.db' with other tables"):
        sweep({"lr": [0.1]}, file=path, **SMALL)


def test_a_damaged_header_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only where another process writes it is worth waiting."""
    path = tmp_path / "sweep.db"
    sweep({"a": [1]}, make=lambda a: {"loss": a}, file=path)
    monkeypatch.setattr(store.time, "sleep", lambda seconds: pytest.fail("waits"))
    with path.open("r+b") as file:
        file.seek(44)  # the number of the schema's format
        file.write((91).to_bytes(4, "big"))
    with pytest.raises(ValueError, match=r"or a new one, got .*sweep.db': unsupported file format$"):
        sweep({"a": [1]}, make=lambda a: {"loss": a}, file=path)


@pytest.mark.parametrize("runs", [1, 2])
def test_a_file_that_can_only_be_read(tmp_path: Path, runs: int) -> None:
    """To SQLite one that a later version has written is that. The file is named, whether there is something to write or not."""
    path = tmp_path / "sweep.db"
    sweep({"a": [1]}, make=lambda a: {"loss": a}, file=path)
    with path.open("r+b") as file:
        file.seek(18)  # the version that may write
        file.write(b"\3")
    with pytest.raises(OSError, match=r"attempt to write a readonly database: '.*sweep.db'$"):
        sweep({"a": [1, 2][:runs]}, make=lambda a: {"loss": a}, file=path)


def test_a_damaged_file_does_not_write_to_the_terminal(tmp_path: Path) -> None:
    """SQLite repeats what it finds."""
    path = tmp_path / "sweep.db"
    sweep({"a": [1]}, make=lambda a: {"loss": a}, file=path)
    path.write_bytes(path.read_bytes().replace(b"TABLE runs (key TEXT", b"TABLE runs (\x1b[31 TEX"))
    with pytest.raises(ValueError, match="malformed database schema") as caught:
        sweep({"a": [1]}, make=lambda a: {"loss": a}, file=path)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(("old", "new"), [(b"ended TEXT", b"en\xf5ed TEXT"), (b"TABLE runs (key", b"TABLE runs\xf5(key")])
def test_text_that_is_not_utf8(tmp_path: Path, old: bytes, new: bytes) -> None:
    """In what SQLite reads, and in its message about it."""
    path = tmp_path / "sweep.db"
    sweep({"a": [1]}, make=lambda a: {"loss": a}, file=path)
    path.write_bytes(path.read_bytes().replace(old, new))
    with pytest.raises(ValueError, match=r"file must be a SQLite file of a sweep, or a new one, got .*sweep.db'"):
        sweep({"a": [1]}, make=lambda a: {"loss": a}, file=path)


def test_damaged_pages(tmp_path: Path) -> None:
    """Of a file that SQLite opens."""
    path = tmp_path / "sweep.db"
    sweep({"a": list(range(200))}, make=lambda a: {"loss": a}, file=path)
    with sqlite3.connect(path) as connection:
        root = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'runs'").fetchone()[0]
    connection.close()
    with path.open("r+b") as file:
        file.seek(4096 * (root - 1))
        file.write(bytes(range(100)))
    with pytest.raises(ValueError, match=r"file must be a SQLite file of a sweep, or a new one, got .*sweep.db': .*malformed"):
        sweep({"a": list(range(200))}, make=lambda a: {"loss": a}, file=path)


def test_shared_folders_have_another_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write-ahead log would not work between machines."""
    for local, journal in ((True, "wal"), (False, "delete")):
        monkeypatch.setattr(store, "_is_local", lambda path, local=local: local)
        path = tmp_path / journal
        sweep({"a": [1]}, make=lambda a: {"loss": a}, file=path)
        connection = sqlite3.connect(path)
        assert connection.execute("PRAGMA journal_mode").fetchone() == (journal,)
        connection.close()


# Who makes a run.


def claimed(path: Path, owner: list[Any], beat: float) -> None:
    """The one run of the file is under way."""
    connection = sqlite3.connect(path)
    with connection:
        connection.execute("UPDATE runs SET ended = NULL, owner = ?, beat = ?", (json.dumps(owner), beat))
    connection.close()


def test_who_lives() -> None:
    place, pid, now = store._place(), os.getppid(), time.time()
    started = store._started(pid)
    assert started is not None
    assert store._lives(json.dumps([place, pid, started, "x"]), now, now)
    assert not store._lives(json.dumps([place, pid, started, "x"]), now - 100, now)  # its sweep has ended
    assert not store._lives(json.dumps([place, pid, "1", "x"]), now, now)  # a later process has the number
    assert not store._lives(json.dumps([place, 999999999, "1", "x"]), now, now)
    assert store._lives(json.dumps(["elsewhere", pid, "1", "x"]), now - 10, now)
    assert store._lives(json.dumps([place, pid, None, "x"]), now, now)  # where starts are not known
    here = json.dumps([place, os.getpid(), store._started(os.getpid()), "x"])
    assert not store._lives(here, now, now)  # its sweep has ended, on a full disk, where it could not give back its claims


def test_a_number_of_a_process_used_again(tmp_path: Path) -> None:
    path = tmp_path / "sweep.db"
    sweep({"lr": [0.1]}, file=path, **SMALL)
    claimed(path, [store._place(), os.getpid(), "1", "x"], time.time())
    assert sweep({"lr": [0.1]}, file=path, **SMALL)[0].ended == "finished"


@pytest.mark.parametrize("backend", ["threads", "threading"])
def test_what_another_gives_up_is_made(tmp_path: Path, backend: str) -> None:
    """It is in the table, and is made where other runs are."""
    if backend != "threads":
        pytest.importorskip("joblib")
    path, made = tmp_path / "sweep.db", []

    def where(a: int) -> dict[str, float]:
        made.append(threading.current_thread().name)
        return {"loss": a}

    options: dict[str, Any] = {"make": where, "file": path, "name": "x", "threads": 2, "backend": backend}
    sweep({"a": [1]}, **options)
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    claimed(path, [store._place(), other.pid, store._started(other.pid), "x"], time.time())

    def kill() -> None:
        other.kill()
        other.wait()

    threading.Timer(0.4, kill).start()
    start = time.monotonic()
    assert [run.ended for run in sweep({"a": [1, 2]}, **options)] == ["finished", "finished"]
    assert time.monotonic() - start > 0.3
    assert len(made) == 3
    if backend == "threads":
        assert all(name.startswith("nncore-sweep") for name in made)


def test_signs_of_life(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They come while a run takes long."""
    monkeypatch.setattr(store, "BEAT", 0.02)
    path, beats = tmp_path / "sweep.db", set()

    def slow(a: int) -> dict[str, float]:
        connection = sqlite3.connect(path)
        for _ in range(10):
            time.sleep(0.03)
            beats.add(connection.execute("SELECT beat FROM runs").fetchone()[0])
        connection.close()
        return {"loss": a}

    sweep({"a": [1]}, make=slow, file=path, name="slow")
    assert len(beats) > 2


def test_sweeps_of_one_process_share_a_file(tmp_path: Path) -> None:
    made: list[int] = []

    def slow(a: int) -> dict[str, float]:
        made.append(a)
        time.sleep(0.01)
        return {"loss": a}

    tables: list[nn.SweepTable] = []
    options: dict[str, Any] = {"make": slow, "file": tmp_path / "sweep.db", "name": "slow", "threads": 1}
    threads = [threading.Thread(target=lambda: tables.append(sweep({"a": list(range(12))}, **options))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert [[run.values["loss"] for run in table] for table in tables] == [list(range(12))] * 3
    assert sorted(made) == list(range(12))


@pytest.mark.parametrize("kind", ["", "IMMEDIATE", "EXCLUSIVE"])
def test_a_file_that_another_process_begins_is_waited_for(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "sweep.db"
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute(f"BEGIN {kind}")
    other.execute("SELECT count(*) FROM sqlite_master").fetchone()  # a deferred transaction takes its lock here
    timer = threading.Timer(0.2, other.execute, ["COMMIT"])
    timer.start()
    table = sweep({"a": [1]}, make=lambda a: {"loss": a}, file=path, name="waits")
    timer.join()
    other.close()
    assert [run.values["loss"] for run in table] == [1]


# Halving with a file.

RATES = np.geomspace(1e-4, 1, 9).tolist()
HALVING: dict[str, Any] = {"epochs": 9, "halving": nn.SuccessiveHalving(1, 3), "seeds": 2, "threads": 1, **SMALL}


def facts(table: nn.SweepTable) -> list[Any]:
    return [(run.ended, run.epochs, run.values, run.history) for run in table]


def test_halted_runs_go_on(tmp_path: Path) -> None:
    """More candidates, of which more are promoted: also some that a first call has halted; and fewer candidates again."""
    file = tmp_path / "half.db"
    alone, some = sweep({"lr": RATES}, **HALVING), sweep({"lr": RATES[-3:]}, **HALVING)
    assert facts(sweep({"lr": RATES[-3:]}, file=file, **HALVING)) == facts(some)
    assert any(a.epochs < b.epochs for a, b in zip(some, alone[-6:], strict=True))
    assert facts(sweep({"lr": RATES}, file=file, **HALVING)) == facts(alone)
    assert facts(sweep({"lr": RATES}, file=file, **HALVING)) == facts(alone)
    assert facts(sweep({"lr": RATES[-3:]}, file=file, **HALVING)) == facts(some)


def test_a_later_divergence_does_not_count_earlier(tmp_path: Path) -> None:
    """A run that is promoted and diverges then stays promoted when the file is read again."""

    def fragile(lr: float) -> nn.Trainer:
        return nn.Trainer(
            make().model, "squared_error", nn.SGD(nn.schedules.PiecewiseConstant([10], [lr, 1e30])) if lr == 0.1 else nn.SGD(lr)
        )

    options = HALVING | {"y": np.eye(2)[Y[:80]], "seeds": 1, "make": fragile}
    tables = [sweep({"lr": [1e-5, 0.1, 2e-5]}, file=tmp_path / "half.db", **options) for _ in range(2)]
    assert facts(tables[0]) == facts(tables[1])
    assert tables[0][1].ended.startswith("diverged")


def test_monitor_of_halving_tells_sweeps_apart(tmp_path: Path) -> None:
    options = HALVING | {"seeds": 1, "file": tmp_path / "half.db", "validation_data": (X[:50], Y[:50])}
    sweep({"lr": [0.1]}, **options)
    with pytest.raises(ValueError, match="differs in: monitor"):
        sweep({"lr": [0.1]}, monitor="running_loss", **options)
    with pytest.raises(ValueError, match="differs in: mode"):
        sweep({"lr": [0.1]}, mode="max", **options)
    with pytest.raises(ValueError, match="differs in: halving"):
        sweep({"lr": [0.1]}, **options | {"halving": nn.SuccessiveHalving(1, 2)})


HALVED = """
import sys
import numpy as np
import nncore as nn
X = np.random.default_rng(0).normal(size=(1000, 2)).astype(np.float32)[:80]
Y = (X[:, 0] * X[:, 1] > 0).astype(int)
def make(lr, seed):
    model = nn.Sequential([nn.Dense(4), nn.Tanh(), nn.Dense(2)], input_shape=2, seed=seed)
    return nn.Trainer(model, "softmax_cross_entropy", nn.Adam(lr=lr), seed=seed)
options = {"epochs": 9, "halving": nn.SuccessiveHalving(1, 3), "seeds": 2, "threads": 1, "file": sys.argv[1], "name": "x"}
table = nn.sweep(make, {"lr": np.geomspace(1e-4, 1, 9).tolist()}, X, Y, verbose=0, **options)
print([(run.ended, run.epochs, run.values["running_loss"]) for run in table])
"""


def start(program: str, *arguments: Any) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def test_processes_share_a_halved_sweep(tmp_path: Path) -> None:
    processes = [start(HALVED, tmp_path / "half.db") for _ in range(2)]
    found = [process.communicate(timeout=60)[0] for process in processes]
    alone = [(run.ended, run.epochs, run.values["running_loss"]) for run in sweep({"lr": RATES}, **HALVING)]
    assert found == [f"{alone}\n"] * 2


def test_threads_share_an_asha(tmp_path: Path) -> None:
    tables: list[nn.SweepTable] = []
    options = HALVING | {"halving": nn.ASHA(1, 3), "file": tmp_path / "asha.db"}
    threads = [threading.Thread(target=lambda: tables.append(sweep({"lr": RATES}, **options))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert [len(table) for table in tables] == [18, 18]
    alone = sweep({"lr": RATES}, epochs=9, seeds=2, **SMALL)
    for table in tables:
        assert "finished" in {run.ended for run in table}
        for run, whole in zip(table, alone, strict=True):
            assert np.array_equal(run.history["running_loss"], whole.history["running_loss"][: run.epochs])


def test_a_killed_halved_sweep_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "half.db"
    process = start(HALVED.replace("def make(lr, seed):", "def make(lr, seed):\n    import time; time.sleep(0.05)"), path)
    while not path.exists() or not any(rows(path).values()):
        time.sleep(0.01)
    process.kill()
    process.communicate(timeout=60)
    before = rows(path)
    assert 0 < len(before) < 18
    assert set(before.values()) <= {"halted after 1 epoch", None}
    assert facts(sweep({"lr": RATES}, file=path, name="x", **HALVING)) == facts(sweep({"lr": RATES}, **HALVING))


def test_an_interrupted_halved_sweep_goes_on(tmp_path: Path) -> None:
    made: list[int] = []

    def pressing(lr: float, seed: int) -> nn.Trainer:
        made.append(seed)
        if len(made) == 5:
            press()
            time.sleep(0.2)  # while the main thread sees it
        return make(lr, seed)

    path = tmp_path / "half.db"
    table = sweep({"lr": RATES}, file=path, make=pressing, name="x", **HALVING)
    ended = [run.ended for run in table]
    assert ended[:4] == ["halted after 1 epoch"] * 4  # those that wait for the others are in the table too
    assert ended[4:] == ["interrupted"]
    assert list(rows(path).values()) == ended[:4]
    assert facts(sweep({"lr": RATES}, file=path, name="x", **HALVING)) == facts(sweep({"lr": RATES}, **HALVING))


def rows(path: Path) -> dict[str, str | None]:
    """Why the runs of a file have ended."""
    connection = sqlite3.connect(path)
    try:
        return dict(connection.execute("SELECT key, ended FROM runs"))
    except sqlite3.OperationalError:  # the file has been begun, no more
        return {}
    finally:
        connection.close()


# Ctrl-C.


def press() -> None:
    os.kill(os.getpid(), signal.SIGINT)


class Pressing(nn.Callback):
    """Ctrl-C in the third epoch."""

    def on_epoch_end(self, trainer: nn.Trainer, epoch: int, row: dict[str, float]) -> None:
        if epoch == 3:
            press()


def trained(a: int) -> dict[str, float]:
    """A training within a function takes Ctrl-C for its own."""
    trainer = make()
    trainer.fit(**SMALL, epochs=1_000_000, callbacks=[Pressing()], verbose=0)
    return {"loss": trainer.history["running_loss"][-1]}


LONG_TRAINING: dict[str, Any] = {"epochs": 1_000_000, "callbacks": lambda: [Pressing()], **SMALL}


@pytest.mark.parametrize("way", ["trainer", "function"])
def test_interrupted_runs_are_not_kept(tmp_path: Path, way: str) -> None:
    """With joblib's backends runs may be on the main thread, where a fit takes Ctrl-C for its own."""
    pytest.importorskip("joblib")
    path = tmp_path / "sweep.db"
    options: dict[str, Any] = {"backend": "loky", "threads": 1, "file": path, "name": way}
    if way == "trainer":
        table = sweep({"lr": [0.1, 0.2, 0.3]}, **LONG_TRAINING, **options)
    else:
        table = sweep({"a": [1, 2, 3]}, make=trained, **options)
    assert [run.ended for run in table] == ["interrupted"]
    assert rows(path) == {}


def test_ctrl_c_ends_trainings_on_threads_of_joblib(tmp_path: Path) -> None:
    pytest.importorskip("joblib")
    path, before = tmp_path / "sweep.db", threading.active_count()
    sweep({"lr": [0.1]}, backend="threading", threads=2, file=path, **LONG_TRAINING)
    assert rows(path) == {}
    end = time.monotonic() + 10
    while threading.active_count() > before and time.monotonic() < end:
        time.sleep(0.01)
    assert threading.active_count() <= before


def test_results_that_are_whole_are_kept(tmp_path: Path) -> None:
    """A function on a thread, that Ctrl-C does not reach, comes to its end: its result is in the file."""
    path = tmp_path / "sweep.db"

    def pressing(a: int) -> dict[str, float]:
        if a == 1:
            press()
            time.sleep(0.2)
        return {"loss": a}

    assert [run.ended for run in sweep({"a": [1, 2]}, make=pressing, file=path, threads=1)] == ["finished"]
    assert list(rows(path).values()) == ["finished"]
    assert len(sweep({"a": [1, 2]}, make=pressing, file=path, threads=1)) == 2


# Fair comparisons.


def test_a_fair_comparison_with_a_file(tmp_path: Path) -> None:
    made: list[str] = []

    def candidate(optimizer: Any) -> tuple[Any, Any]:
        def build(lr: float, seed: int) -> nn.Trainer:
            made.append(optimizer.__name__)
            return nn.Trainer(make(seed=seed).model, "softmax_cross_entropy", optimizer(lr=lr), seed=seed)

        return build, {"lr": [0.01, 0.1]}

    candidates = {"SGD": candidate(nn.SGD), "a/b": candidate(nn.Adam)}
    options: dict[str, Any] = {"test": (X[80:120], Y[80:120]), "budget": 2, "seeds": 1, "validation_split": 0.3, "verbose": 0}
    alone = nn.fair_comparison(candidates, **SMALL, **options)
    made.clear()
    for searched in (2, 0):
        found = nn.fair_comparison(candidates, **SMALL, file=tmp_path / "fair.db", name="x", **options)
        assert {name: facts(table) for name, table in found.searches.items()} == {
            name: facts(table) for name, table in alone.searches.items()
        }
        assert made == ["SGD"] * (searched + 1) + ["Adam"] * (searched + 1)
        made.clear()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fair-SGD.db", "fair-a%2Fb.db"]
    with pytest.raises(ValueError, match="measured by, got 'acuracy': of SGD there are loss"):
        nn.fair_comparison(candidates, **SMALL, measure="acuracy", **options)


def test_a_file_with_a_name_of_sqlite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To SQLite ``:memory:`` is no file."""
    monkeypatch.chdir(tmp_path)
    table = nn.sweep(make, {"lr": [0.1]}, **SMALL, file=":memory:", name="named", verbose=0)
    assert len(table) == 1
    assert (tmp_path / ":memory:").is_file()
