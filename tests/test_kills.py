"""Kills, full disks and every failing call: a file is the old one or the new one, errors name it, and nothing else is left."""

from __future__ import annotations

import ast
import contextlib
import errno
import os
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers.processes import run_python

import nncore as nn
from attack import traced
from attack.kills import Attack, check_whole
from attack.writers import WRITERS, X, Y, contents, left_over, trainer

FAST = [name for name in WRITERS if name != "animation"]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """A forked child has no others."""
    before = nn.get_num_threads()
    nn.set_num_threads(1)
    yield
    nn.set_num_threads(before)


def can_trace() -> bool:
    try:
        return traced.SUPPORTED and traced.run(os.getpid, traced.every_call).error is None
    except (OSError, RuntimeError):
        return False


needs_trace = pytest.mark.skipif(not can_trace(), reason="needs ptrace on Linux, x86-64")


FUNCTIONS = {"append", "write", "write_all", "write_to", "sqlite3.connect", "files.append", "files.write", "files.write_to"}
METHODS = {"write_text", "write_bytes", "tofile", "savetxt", "savez", "to_csv", "mkdir"}


def writes(call: ast.Call) -> bool:
    """Whether it is one of `_utils.files` that writes, or writes without them."""
    name = ast.unparse(call.func)
    mode = next((ast.unparse(argument) for argument in call.args[1:2]), "'r'")
    return name in FUNCTIONS or name.rpartition(".")[2] in METHODS or (name == "open" and mode not in ("'r'", "'rb'"))


def test_every_module_that_writes_has_a_writer() -> None:
    package = Path(str(nn.__file__)).parent
    found = set()
    for path in sorted(package.rglob("*.py")):
        if any(isinstance(node, ast.Call) and writes(node) for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))):
            found.add(".".join(path.relative_to(package).with_suffix("").parts).removesuffix(".__init__"))
    assert found - {"_utils.files"} == {writer.module for writer in WRITERS.values()}


# Every call of the system fails in turn.


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "files").mkdir()
    return tmp_path / "files"


def wanted(name: str, folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The files of the contents 0 and 1."""
    folder.mkdir()
    found = []
    for number in (0, 1):
        WRITERS[name].write(folder, number)
        found.append(contents(WRITERS[name], folder))
    return found[0], found[1]


def renew(folder: Path, files: dict[str, bytes]) -> None:
    """These files and no others."""
    for path in folder.iterdir():
        path.unlink()
    for name, held in files.items():
        (folder / name).write_bytes(held)


def first(name: str, folder: Path) -> dict[str, bytes]:
    """Content 0, written there."""
    WRITERS[name].write(folder, 0)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


class Failing:
    """Tells the n-th call that changes a disk an error; ``on``: and all that follow."""

    def __init__(self, number: int, error: int, on: bool = False, calls: frozenset[str] = traced.CHANGING) -> None:
        self.number, self.error, self.on, self.calls = number, error, on, calls
        self.reached: list[str] = []

    def __call__(self, number: int, call: str) -> int:
        if call not in self.calls:
            return 0
        self.reached.append(call)
        place = len(self.reached) - 1
        return self.error if place == self.number or (self.on and place > self.number) else 0


def outcomes(name: str, folder: Path, error: int, on: bool = False) -> Iterator[tuple[list[str], BaseException | None]]:
    """Write content 1 over content 0 with each call failing in turn: the calls until then, and the error that is raised."""
    files = first(name, folder)
    for number in range(1000):
        renew(folder, files)
        failing = Failing(number, error, on)
        outcome = traced.run(lambda: WRITERS[name].write(folder, 1), failing)
        if len(failing.reached) <= number:
            assert outcome.error is None
            return
        yield failing.reached[: number + 1], outcome.error


@needs_trace
@pytest.mark.parametrize("name", FAST)
def test_every_call_that_fails(name: str, folder: Path, tmp_path: Path) -> None:
    """On a full disk: the error names the file, which is as before, or, where the error came late, the new one."""
    before, after = wanted(name, tmp_path / "wanted")
    writer, errors = WRITERS[name], 0
    for calls, error in outcomes(name, folder, errno.ENOSPC):
        found = contents(writer, folder)
        check_whole(writer, found, before, after)
        assert left_over(writer, folder) == set(), calls
        if error is None:
            assert found == after, calls
            continue
        errors += 1
        assert isinstance(error, OSError), calls
        assert str(folder) in str(error), calls
        assert ".nncore-" not in str(error), calls
        if len(writer.files) == 1 and calls[-1] != "close":
            assert found == before, calls
        assert traced.run(lambda: writer.write(folder, 1)).error is None  # on a disk with room again
        assert contents(writer, folder) == after, calls
    assert errors >= 3


@needs_trace
@pytest.mark.parametrize("name", ["model", "rows", "sweep"])
def test_a_disk_that_fails_for_good(name: str, folder: Path, tmp_path: Path) -> None:
    """From some call on: what could not even be removed is removed by the next write."""
    before, after = wanted(name, tmp_path / "wanted")
    writer = WRITERS[name]
    for calls, error in outcomes(name, folder, errno.EIO, on=True):
        check_whole(writer, contents(writer, folder), before, after)
        assert error is None or (isinstance(error, OSError) and str(folder) in str(error)), calls
        assert traced.run(lambda: writer.write(folder, 1)).error is None
        assert contents(writer, folder) == after, calls
        assert left_over(writer, folder) == set(), calls


@needs_trace
@pytest.mark.parametrize("call", ["fchmod", "fchown", "flock", "fsync"])
@pytest.mark.parametrize("error", [errno.EINVAL, errno.ENOTSUP, errno.EPERM, errno.ENOSYS])
def test_file_systems_that_lack_something(call: str, error: int, folder: Path, tmp_path: Path) -> None:
    """As network file systems, and those of cards and of Windows."""
    _, after = wanted("model", tmp_path / "wanted")
    writer = WRITERS["model"]
    writer.write(folder, 0)
    if os.getuid() == 0:
        os.chown(folder / "model.safetensors", 1234, 1234)  # so that there is an owner to keep
    failing = Failing(0, error, on=True, calls=frozenset({call}))
    assert traced.run(lambda: writer.write(folder, 1), failing).error is None
    assert failing.reached or (call == "fchown" and os.getuid())
    assert contents(writer, folder) == after
    assert left_over(writer, folder) == set()


@needs_trace
@pytest.mark.parametrize("call", ["flock", "fsync", "openat", "read", "write"])
def test_interrupted_calls_are_made_again(call: str, folder: Path, tmp_path: Path) -> None:
    for name in ("model", "rows"):
        _, after = wanted(name, tmp_path / f"wanted {name}")
        renew(folder, {})
        first(name, folder)
        failing = Failing(0, errno.EINTR, calls=frozenset({call}))
        assert traced.run(lambda name=name: WRITERS[name].write(folder, 1), failing).error is None  # type: ignore[misc]
        assert contents(WRITERS[name], folder) == after


@needs_trace
@pytest.mark.parametrize("error", [errno.EACCES, errno.EMFILE])
def test_a_file_that_cannot_be_opened_is_not_taken_for_one_that_is_not_there(error: int, folder: Path) -> None:
    """Else a training would begin anew, over its own checkpoint."""
    path = folder / "net.safetensors"
    trainer().save(path)
    for read in (lambda: nn.load(path), lambda: trainer().restore(path)):
        outcome = traced.run(read, Failing(0, error, calls=frozenset({"openat", "open"})))
        assert isinstance(outcome.error, OSError)
        assert (outcome.error.errno, outcome.error.filename) == (error, str(path))


# Kills.


@needs_trace
@pytest.mark.parametrize("name", FAST)
def test_kills(name: str, folder: Path) -> None:
    """Six of each writer: at random times, and before calls of the system spread over the write."""
    attack = Attack(name, folder / "killed", random.Random(0))
    for turn in range(6):
        attack._place = attack.calls * turn // 6
        attack.kill()
    assert attack.faults == []
    assert attack.counts["kills"] == 6
    assert attack.counts["at a call"] == 3


# Real disks and limits.


def mounted(folder: Path, options: str) -> Iterator[Path]:
    """A small disk of its own, where root may mount one."""
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], capture_output=True, check=False)
    if done.returncode:
        pytest.skip("needs the right to mount a disk")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
def small(folder: Path) -> Iterator[Path]:
    """A disk with room for some small files."""
    if sys.platform != "linux":
        pytest.skip("needs Linux")
    yield from mounted(folder, "size=100k")


def fill(folder: Path, leave: int = 0) -> None:
    """Until there is no room but for some bytes."""
    with contextlib.suppress(OSError), open(folder / "ballast", "wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass
    if leave:
        os.truncate(folder / "ballast", (folder / "ballast").stat().st_size - leave)


def resize(disk: Path, size: str) -> None:
    subprocess.run(["mount", "-o", f"remount,size={size}", str(disk)], check=True)


def big() -> nn.Sequential:
    return nn.Sequential([nn.Dense(100)], input_shape=100, dtype="float64", seed=0)


def assert_kept(folder: Path, error: type[OSError] = OSError, number: int | None = None) -> None:
    """A model cannot be saved over an older one, which stays as it is."""
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(error, match=re.escape(str(folder / "net"))) as raised:
        big().save(folder / "net")
    assert number is None or raised.value.errno == number
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_full_disk(small: Path) -> None:
    big().save(small / "net")
    assert_kept(small, number=errno.ENOSPC)  # there is no room for a second one
    fill(small)
    assert_kept(small, number=errno.ENOSPC)
    with pytest.raises(OSError, match=r"No space left.*new"):
        big().save(small / "new")
    assert sorted(os.listdir(small)) == ["ballast", "net"]
    (small / "ballast").unlink()
    (small / "net").unlink()
    big().save(small / "net")
    assert nn.load(small / "net").output_shape == (100,)


def test_a_disk_without_inodes(folder: Path) -> None:
    if sys.platform != "linux":
        pytest.skip("needs Linux")
    for disk in mounted(folder, "nr_inodes=2"):  # the folder and a file
        trainer().save(disk / "net")
        assert_kept(disk, number=errno.ENOSPC)


def test_a_disk_that_is_read_only(small: Path) -> None:
    trainer().save(small / "net")
    subprocess.run(["mount", "-o", "remount,ro", str(small)], check=True)
    assert_kept(small, number=errno.EROFS)
    with pytest.raises(OSError, match=r"sweep\.db"):
        nn.sweep(lambda a: {"loss": a}, {"a": [1]}, file=small / "sweep.db", verbose=0)
    with pytest.raises(OSError, match=r"log\.csv"):
        trainer().fit(X, Y, callbacks=[nn.CSVLogger(small / "log.csv")], verbose=0)


IN_A_CHILD = """
import errno, os, resource, signal, sys
from pathlib import Path
import nncore as nn
folder = Path(sys.argv[1])
model = nn.Sequential([nn.Dense(100)], input_shape=100, dtype="float64", seed=0)
model.save(folder / "net")
before = (folder / "net").read_bytes()
{limit}
try:
    model.save(folder / "net")
except OSError as error:
    print(errno.errorcode[error.errno], error.filename == str(folder / "net"), ".nncore" in str(error))
{free}
print((folder / "net").read_bytes() == before, os.listdir(folder))
"""
LIMITS = {
    "EFBIG": ("resource.setrlimit(resource.RLIMIT_FSIZE, (25_000, resource.RLIM_INFINITY))", ""),
    "EMFILE": (
        "soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE); resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))",
        "resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))",
    ),
    "EACCES": ("os.chmod(folder, 0o555); os.geteuid() or os.setresuid(1234, 1234, 0)", "os.seteuid(os.getresuid()[2])"),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(LIMITS))
def test_limits_of_a_process(name: str, folder: Path) -> None:
    """The longest file (also how a quota of some systems shows), the number of open files, a folder of others."""
    pytest.importorskip("resource")
    if name == "EACCES":
        for parent in [*folder.parents][:3]:
            with contextlib.suppress(PermissionError):
                parent.chmod(0o755)
    limit, free = LIMITS[name]
    code = IN_A_CHILD.replace("{limit}", limit).replace("{free}", free).replace("sys.argv[1]", repr(str(folder)))
    done = run_python(code)
    folder.chmod(0o755)
    assert done.stdout == f"{name} True False\nTrue ['net']\n", done.stderr


# What a training and a sweep lose.


class At(nn.Callback):
    """Does something in an epoch."""

    def __init__(self, epoch: int, do: Callable[[], object]) -> None:
        self.epoch, self.do = epoch, do

    def on_epoch_end(self, trainer: Any, epoch: int, row: Any) -> None:
        if epoch == self.epoch:
            self.do()


def through(epochs: int = 6) -> nn.Trainer:
    whole = trainer()
    whole.fit(X, Y, batch_size=8, epochs=epochs, verbose=0)
    return whole


def assert_same(one: nn.Trainer, other: nn.Trainer) -> None:
    assert one.model.parameters.tobytes() == other.model.parameters.tobytes()
    assert one.history == other.history


def logged(folder: Path, then: Callable[[], object]) -> list[nn.Callback]:
    return [At(4, then), nn.CSVLogger(folder / "log.csv"), nn.ModelCheckpoint(folder / "net")]


def test_a_training_on_a_disk_that_gets_full(small: Path) -> None:
    """The error ends ``fit`` in that epoch, with the model and the history after it; both can go on, here and from the file."""
    own = trainer()
    with pytest.raises(OSError, match=r"No space left.*net") as raised:
        own.fit(X, Y, batch_size=8, epochs=6, callbacks=logged(small, lambda: fill(small)), verbose=0)
    assert raised.value.errno == errno.ENOSPC
    assert own.epochs_done == len(own.history) == 4
    assert_same(own, through(4))
    from_file = trainer()
    from_file.restore(small / "net")
    assert from_file.epochs_done == 3
    (small / "ballast").unlink()
    assert sorted(os.listdir(small)) == ["log.csv", "net"]
    own.fit(X, Y, batch_size=8, epochs=2, callbacks=[nn.ModelCheckpoint(small / "net")], verbose=0)
    assert_same(own, through())
    log = nn.CSVLogger(small / "log.csv", append=True)
    from_file.fit(X, Y, batch_size=8, epochs=3, callbacks=[log], verbose=0)
    assert_same(from_file, through())
    epochs = [line.partition(",")[0] for line in (small / "log.csv").read_text().splitlines()]
    assert epochs == ["epoch", "1", "2", "3", "4", "5", "6"]


def test_a_training_whose_folder_goes(folder: Path) -> None:
    own = trainer()
    with pytest.raises(FileNotFoundError, match=re.escape(str(folder / "log.csv"))):
        own.fit(X, Y, batch_size=8, epochs=6, callbacks=logged(folder, lambda: shutil.rmtree(folder)), verbose=0)
    assert_same(own, through(4))
    own.fit(X, Y, batch_size=8, epochs=2, verbose=0)
    assert_same(own, through())


def test_the_last_path_of_a_checkpoint_is_of_a_file_that_is_there(folder: Path) -> None:
    saver, own = nn.ModelCheckpoint(folder / "net-{epoch}"), trainer()
    callbacks = [At(3, lambda: (folder / "net-3").mkdir()), saver]
    with pytest.raises(IsADirectoryError):
        own.fit(X, Y, epochs=6, callbacks=callbacks, verbose=0)
    assert saver.last_path == str(folder / "net-2")
    other = trainer()
    other.restore(saver.last_path)
    assert other._callback_states[0]["state"]["last_path"] == saver.last_path


def test_a_log_goes_on_without_epochs_twice(folder: Path) -> None:
    """After a kill the log may be ahead of the checkpoint; a training that begins keeps what is there."""
    log, net = folder / "log.csv", folder / "net"
    own = trainer()
    own.fit(X, Y, batch_size=8, epochs=2, callbacks=[nn.CSVLogger(log), nn.ModelCheckpoint(net)], verbose=0)
    own.fit(X, Y, batch_size=8, epochs=3, callbacks=[nn.CSVLogger(log, append=True)], verbose=0)
    whole = log.read_bytes()
    assert whole.count(b"\n") == 6
    for more in (b"", b"6,0.1", b"6,0.1,0.2\n7,"):  # what was cut short counts as little
        log.write_bytes(whole + more)
        again = trainer()
        again.restore(net)
        again.fit(X, Y, batch_size=8, epochs=3, callbacks=[nn.CSVLogger(log, append=True)], verbose=0)
        assert log.read_bytes() == whole
    trainer().fit(X, Y, batch_size=8, epochs=1, callbacks=[nn.CSVLogger(log, append=True)], verbose=0)
    assert log.read_bytes()[: len(whole)] == whole
    assert log.read_bytes().count(b"\n") == 7


def test_a_sweep_on_a_disk_that_gets_full(small: Path) -> None:
    """It ends with an error that names the file; with more room it goes on where it was."""
    made: list[int] = []

    def make(a: int) -> dict[str, float]:
        made.append(a)
        return {"loss": float(a), **{f"value {i}": a / 7 for i in range(200)}}  # a row of several pages

    options: dict[str, Any] = {"space": {"a": list(range(10))}, "file": small / "sweep.db", "threads": 1, "verbose": 0}
    resize(small, "200k")
    with pytest.raises(OSError, match=r"full.*sweep\.db") as raised:
        nn.sweep(make, name="x", **options)
    assert raised.value.errno == errno.ENOSPC
    resize(small, "2m")
    before = len(made)
    assert 1 < before < 10, before
    assert [run.values["loss"] for run in nn.sweep(make, name="x", **options)] == list(range(10))
    assert len(made) <= 10 + 2  # those under way are made again


def test_a_silent_sweep_takes_no_lock_of_other_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """tqdm's is shared by forked processes: one that was killed with it would stop the others for ever."""
    monkeypatch.setattr("tqdm.std.tqdm.get_lock", classmethod(lambda cls: pytest.fail("taken")))
    assert len(nn.sweep(lambda a: {"loss": a}, {"a": [1, 2]}, verbose=0)) == 2


COMPARE = "compare beale --optimizers sgd --steps 5 --budget 4 --starts 1 --quiet --out"


def test_a_comparison_is_printed_although_its_plot_cannot_be_written(small: Path) -> None:
    path = small / "figure.png"
    fill(small)
    done = run_python(f"import sys; from nncore import cli; sys.exit(cli.main([*{COMPARE!r}.split(), {str(path)!r}]))")
    assert done.returncode == 2
    assert re.fullmatch(rf"nncore compare: .*No space left on device: '{re.escape(str(path))}'\n", done.stderr)
    assert done.stdout.startswith("optimizer")
    assert not path.exists()
