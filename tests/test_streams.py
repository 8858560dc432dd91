"""Output to targets that are not regular files: pipes, devices, redirected streams, and streams of a limited encoding."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nncore as nn

pytestmark = pytest.mark.skipif(not os.path.exists("/dev/stdout"), reason="no such devices")

CODE = """
import os, sys
import numpy as np
import nncore as nn

path = sys.argv[1]
say = sys.stderr if "err" in path or path.endswith("2") else sys.stdout
X = np.ones((8, 2))
model = nn.Sequential([nn.Dense(1)], input_shape=2)
print("before", file=say, flush=True)
nn.Trainer(model, "squared_error", "sgd").fit(X, X[:, 0], epochs=3, verbose=0, callbacks=[nn.CSVLogger(path)])
print("between", file=say, flush=True)
model.save(path)
print("after", file=say, flush=True)
"""


def run(path: str, to: Any) -> bytes:
    """The output of the program to the stream ``path``."""
    error = "err" in path or path.endswith("2")
    streams = {"stderr" if error else "stdout": to, "stdout" if error else "stderr": subprocess.DEVNULL}
    done = subprocess.run([sys.executable, "-c", CODE, path], check=True, **streams)
    return (done.stderr if error else done.stdout) or b""


@pytest.mark.parametrize("path", ["/dev/stdout", "/dev/stderr", "/dev/fd/1", "/dev/fd/2", "/proc/self/fd/1", "link to stdout"])
def test_redirected_streams(path: str, tmp_path: Path) -> None:
    """For every kind of redirection, output before and after is kept."""
    if path.startswith("link"):
        (tmp_path / "to").symlink_to("/dev/stdout")
        (tmp_path / "link").symlink_to("to")
        path = str(tmp_path / "link")
    contents = [run(path, subprocess.PIPE)]
    for mode in ("wb", "ab"):
        target = tmp_path / "redirected"
        target.write_bytes(b"")
        with open(target, mode) as file:
            run(path, file)
        contents.append(target.read_bytes())
    for content in contents:
        assert content.startswith(b"before\n")
        assert content.endswith(b"after\n")
        rows, model = content.removeprefix(b"before\n").removesuffix(b"after\n").split(b"between\n")
        lines = rows.decode().splitlines()
        assert lines[0] == "epoch,running_loss,lr"
        assert [line.split(",")[0] for line in lines[1:]] == ["1", "2", "3"]
        assert nn.load(io.BytesIO(model)).parameters.size == 3
    assert len(os.listdir(tmp_path)) == 1 + 2 * path.startswith(str(tmp_path))  # no other file in the folder


@pytest.mark.parametrize("append", [False, True])
def test_rows_in_a_named_pipe(append: bool, tmp_path: Path) -> None:
    """One reader gets all rows; a new column causes another header, as the first cannot be rewritten."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    logger = nn.CSVLogger(pipe, append=append)
    with subprocess.Popen(["cat", str(pipe)], stdout=subprocess.PIPE) as reader:
        logger.on_train_begin(None)  # type: ignore[arg-type]
        logger.on_epoch_end(None, 1, {"loss": 0.5})  # type: ignore[arg-type]
        logger.on_epoch_end(None, 2, {"loss": 0.25, "new": 1})  # type: ignore[arg-type]
        logger.on_epoch_end(None, 3, {"new": 2})  # type: ignore[arg-type]
        logger.on_train_end(None)  # type: ignore[arg-type]
        content, _ = reader.communicate(timeout=60)
    assert content == b"epoch,loss\n1,0.5\nepoch,loss,new\n2,0.25,1\n3,,2\n"


def test_a_device_that_is_full() -> None:
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full")
    model = nn.Sequential([nn.Dense(1)], input_shape=2)
    with pytest.raises(OSError, match="No space left"):
        model.save("/dev/full")
    X = np.ones((4, 2))
    with pytest.raises(OSError, match="No space left"):
        nn.Trainer(model, "squared_error").fit(X, X[:, 0], verbose=0, callbacks=[nn.CSVLogger("/dev/full")])


@pytest.mark.parametrize("path", ["/dev/fd/77", "/proc/self/fd/77"])
def test_a_descriptor_that_is_not_open(path: str) -> None:
    with pytest.raises(OSError, match=r"No such file|Permission|Operation not permitted") as raised:
        nn.Sequential([nn.Dense(1)], input_shape=2).save(path)
    assert "None" not in str(raised.value)


COMMANDS = {
    "version": ["--version"],
    "help": ["--help"],
    "none": [],
    "help of compare": ["compare", "--help"],
    "landscape": ["compare", "rosenbrock", "--optimizers", "sgd", "adam", "--steps", "5", "--budget", "4", "--starts", "2"],
    "reached": ["compare", "quadratic", "--optimizers", "momentum", "sgd", "--steps", "150", "--budget", "5", "--starts", "3"],
    "digits": ["compare", "digits", "--optimizers", "sgd", "--epochs", "1", "--budget", "4", "--starts", "1"],
    "picture": ["compare", "beale", "--optimizers", "sgd", "--steps", "5", "--budget", "4", "--starts", "1", "--out", "π.png"],
    "unknown": ["compare", "π"],
    "optimizer": ["compare", "beale", "--optimizers", "π"],
    "folder": ["compare", "beale", "--out", "π/π.png"],
}
FAIL = ("unknown", "optimizer", "folder")


# Each command in a child of a process that has imported everything, as `python -m nncore` would run it.
RUN_COMMANDS = """
import json, os, sys
from nncore.cli import main

for name, arguments in json.loads(sys.argv[1]).items():
    child = os.fork()
    if child == 0:
        for stream, descriptor in (("out", 1), ("err", 2)):
            os.dup2(os.open(f"{name}.{stream}", os.O_WRONLY | os.O_CREAT), descriptor)
        sys.argv[0] = "nncore"
        try:
            code = main(arguments)
        except SystemExit as end:
            code = end.code or 0
        sys.stderr.flush()
        os._exit(code)
    with open(f"{name}.code", "w") as file:
        file.write(str(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])))
"""


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], tuple[int, str, str]]:
    """The exit code and what was written to both streams, of a command in an encoding."""

    @cache
    def folder(encoding: str) -> Path:
        path = tmp_path_factory.mktemp(encoding)
        source = str(Path(nn.__file__).parents[1])
        environment = {**os.environ, "PYTHONPATH": source, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0", "LC_ALL": "C.UTF-8"}
        subprocess.run([sys.executable, "-c", RUN_COMMANDS, json.dumps(COMMANDS)], env=environment, cwd=path, check=True)
        return path

    def output(command: str, encoding: str) -> tuple[int, str, str]:
        code, out, error = (folder(encoding).joinpath(f"{command}.{part}").read_bytes() for part in ("code", "out", "err"))
        return int(code), out.decode(encoding), error.decode(encoding)

    return output


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
@pytest.mark.parametrize("command", COMMANDS)
def test_commands_in_a_narrow_encoding(
    command: str, encoding: str, outputs: Callable[[str, str], tuple[int, str, str]]
) -> None:
    if command in ("picture", "folder"):
        pytest.importorskip("matplotlib")
    if command == "digits":
        pytest.importorskip("sklearn")
    code, out, error = outputs(command, encoding)
    assert code == (2 if command in FAIL else 0), error
    # Characters that cannot be encoded are question marks; all others are as in UTF-8.
    _, wide, wide_error = outputs(command, "utf-8")
    assert out == wide.encode(encoding, "replace").decode(encoding)
    assert error == wide_error.encode(encoding, "replace").decode(encoding)
    assert out or command in FAIL
    if command in ("landscape", "reached", "digits"):
        assert "?" not in out
