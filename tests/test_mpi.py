"""Ranks that are processes, started by mpiexec: ``pip install '.[mpi]'`` for these tests."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("mpi4py")
HERE = Path(sys.executable).parent / "mpiexec"  # of the same environment as mpi4py
MPIEXEC = str(HERE) if HERE.exists() else shutil.which("mpiexec")
pytestmark = pytest.mark.skipif(MPIEXEC is None, reason="needs mpiexec")

PRELUDE = """
import os, signal, sys, time
from pathlib import Path
import numpy as np
import nncore as nn

rng = np.random.default_rng(0)
X, y = rng.standard_normal((203, 6)), rng.integers(0, 3, 203)
folder, ranks = Path({folder!r}), nn.distributed.MPI(shards=8)

class Watched(nn.Layer):
    during = lambda: None  # what happens in a forward pass

    def forward(self, x, training):
        Watched.during()
        return x

    def backward(self, dy):
        return dy

def make():
    layers = [nn.Dense(9), nn.BatchNorm(), Watched(), nn.Tanh(), nn.Dropout(0.1), nn.Dense(3)]
    model = nn.Sequential(layers, input_shape=6, seed=1)
    optimizer, clip = nn.EMA(nn.Nesterov(lr=0.05)), nn.ClipGlobalNorm(1.0)
    return nn.Trainer(model, "softmax_cross_entropy", optimizer, metrics="accuracy", clip=clip)

def fit(trainer, epochs, **options):
    trainer.fit(X, y, epochs=epochs, batch_size=32, last_batch="merge", validation_data=(X[:50], y[:50]), verbose=0,
                distributed=ranks, **options)

def write(trainer):
    arrays = [trainer.model.parameters, trainer.model.state, *trainer.optimizer.state.values()]
    arrays += [trainer.history[name] for name in trainer.history.columns]
    (folder / f"bits-{{ranks.size}}-{{ranks.rank}}").write_bytes(b"".join(a.tobytes() for a in arrays))
"""


def start(folder: Path, size: int, code: str) -> subprocess.Popen[str]:
    script = folder / "train.py"
    script.write_text(code if code.startswith('"""') else PRELUDE.format(folder=str(folder)) + code)
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "NNCORE_NUM_THREADS": "1",
        "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    }  # fmt: skip
    assert MPIEXEC is not None
    return subprocess.Popen(
        [MPIEXEC, "--map-by", ":OVERSUBSCRIBE", "-n", str(size), sys.executable, str(script)],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip


def finish(process: subprocess.Popen[str]) -> str:
    """Its output; it is killed, with the ranks, if it does not end in a minute."""
    with process:
        try:
            return process.communicate(timeout=60)[0]
        finally:
            if process.poll() is None:
                kill(process)


def kill(process: subprocess.Popen[str]) -> None:
    os.killpg(process.pid, signal.SIGKILL)


def run(folder: Path, size: int, code: str) -> str:
    process = start(folder, size, code)
    output = finish(process)
    assert process.returncode == 0, output
    return output


def bits(folder: Path, size: int) -> set[bytes]:
    """What the ranks have written: different contents."""
    return {(folder / f"bits-{size}-{rank}").read_bytes() for rank in range(size)}


STRAIGHT = "trainer = make(); fit(trainer, 4); write(trainer)"


@pytest.fixture(scope="module")
def one_rank(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("one")
    run(folder, 1, STRAIGHT)
    (contents,) = bits(folder, 1)
    return contents


@pytest.mark.parametrize("size", [2, 3, 4])
def test_the_same_bits_on_every_rank(size: int, one_rank: bytes, tmp_path: Path) -> None:
    run(tmp_path, size, STRAIGHT)
    assert bits(tmp_path, size) == {one_rank}


def test_the_example(tmp_path: Path) -> None:
    """It ends on one rank, and goes on from its file on two: the same parameters as without a stop."""
    pytest.importorskip("sklearn")
    example = Path(__file__).parents[1] / "examples" / "distributed.py"
    code = example.read_text(encoding="utf-8")
    whole = run(tmp_path, 2, code.replace("EPOCHS = 30", "EPOCHS = 5"))
    arguments = f"sys.argv.append({str(tmp_path / 'net')!r})"
    for size, epochs in ((1, 2), (3, 5)):
        own = code.replace("EPOCHS = 30", f"EPOCHS = {epochs}").replace('if __name__ == "__main__":', arguments + "\nif True:")
        output = run(tmp_path, size, own)
    assert "3 ranks, 5 epochs, validation accuracy 0.9" in output
    (expected,), (got,) = ([line for line in text.splitlines() if line.startswith("parameters ")] for text in (whole, output))
    assert got == expected


def test_four_ranks_are_killed_and_two_go_on(one_rank: bytes, tmp_path: Path) -> None:
    """A checkpoint after each epoch; the kill comes in the middle of the third."""
    code = """
calls = [0]
def slow():
    calls[0] += trainer.epochs_done == 2
    if calls[0] == 8:
        (folder / f"ready-{ranks.rank}-{os.getpid()}").write_text("")
        time.sleep(60)

trainer, Watched.during = make(), slow
fit(trainer, 4, callbacks=[nn.ModelCheckpoint(folder / "net")])
"""
    process = start(tmp_path, 4, code)
    try:
        deadline = time.monotonic() + 60
        while len(ready := list(tmp_path.glob("ready-*"))) < 4:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        for path in ready:
            os.kill(int(path.name.rpartition("-")[2]), signal.SIGKILL)
    finally:
        finish(process)
    assert process.returncode != 0
    run(tmp_path, 2, 'trainer = make(); trainer.restore(folder / "net"); fit(trainer, 4 - trainer.epochs_done); write(trainer)')
    assert bits(tmp_path, 2) == {one_rank}


def test_ctrl_c_on_one_rank_ends_all_between_two_steps(tmp_path: Path) -> None:
    code = """
calls = [0]
def press():
    calls[0] += 1
    if ranks.rank == 1 and calls[0] == 200:
        os.kill(os.getpid(), signal.SIGINT)

trainer, Watched.during = make(), press
fit(trainer, 1000)
assert trainer.interrupted
assert trainer.epochs_done < 1000
write(trainer)
(folder / f"steps-{ranks.rank}").write_text(str(trainer.optimizer.step_count))
fit(trainer, 1)  # goes on
"""
    run(tmp_path, 3, code)
    assert len(bits(tmp_path, 3)) == 1
    assert len({(tmp_path / f"steps-{rank}").read_text() for rank in range(3)}) == 1


def test_ctrl_c_twice_leaves_a_step(tmp_path: Path) -> None:
    code = """
def press():
    if ranks.rank == 1 and trainer.optimizer.step_count > 10:
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.03)

trainer, Watched.during = make(), press
try:
    fit(trainer, 1000)
except BaseException as error:
    print(f"rank {ranks.rank}: {type(error).__name__}: {error}.", flush=True)
"""
    output = run(tmp_path, 3, code)
    assert "rank 1: KeyboardInterrupt: ." in output
    for rank in (0, 2):
        assert f"rank {rank}: RuntimeError: rank 1 ended the training: KeyboardInterrupt: ." in output


def test_an_error_on_one_rank_ends_the_job(tmp_path: Path) -> None:
    code = """
def fail():
    if ranks.rank == 1 and trainer.epochs_done == 1:
        raise OSError("no space left")

trainer, Watched.during = make(), fail
fit(trainer, 1000)
"""
    process = start(tmp_path, 3, code)
    output = finish(process)
    assert process.returncode != 0
    assert "OSError: no space left" in output
    assert "RuntimeError: rank 1 ended the training: OSError: no space left" in output


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ("fit(make(), 4, shuffle=ranks.rank != 1)", "sampler or shuffle"),
        ("fit(make(), 4 + (ranks.rank == 1))", "shards, batch_size, epochs, last_batch or what is evaluated"),
        ("trainer = make(); trainer.optimizer.lr = 0.05 + ranks.rank; fit(trainer, 4)", "the optimizer or its arguments"),
    ],
)
def test_ranks_that_differ_end_with_the_reason(change: str, what: str, tmp_path: Path) -> None:
    process = start(tmp_path, 3, change)
    output = finish(process)
    assert process.returncode != 0
    assert f"ValueError: {what} must be the same on all ranks, but rank 1 has another one than rank 0" in output
