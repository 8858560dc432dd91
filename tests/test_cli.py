"""The command line, run as a shell runs it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import nncore as nn
from nncore import cli
from nncore.optimizers import OPTIMIZERS


def run(*arguments: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run ``python -m nncore``, which is the command ``nncore`` of an installation."""
    source = str(Path(nn.__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": source, "PYTHONIOENCODING": "utf-8"}
    return subprocess.run(
        [sys.executable, "-m", "nncore", *arguments], capture_output=True, text=True, encoding="utf-8", env=environment,
        cwd=folder, check=False,
    )  # fmt: skip


def rows(text: str) -> dict[str, list[str]]:
    """The lines of the table by their first word."""
    return {line.split()[0]: line.split()[1:] for line in text.splitlines() if line and line.split()[0] in OPTIMIZERS}


SHORT = ("--steps", "30", "--budget", "4", "--starts", "3")


def test_comparison_on_a_landscape(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    arguments = ("compare", "beale", "--optimizers", "adam", "rprop", *SHORT, "--seed", "3", "--out", "comparison.png")
    done = run(*arguments, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert set(rows(done.stdout)) == {"adam", "rprop"}
    assert "plot: comparison.png" in done.stdout
    assert (tmp_path / "comparison.png").read_bytes().startswith(b"\x89PNG")
    assert done.stderr == ""  # progress is for terminals
    again = run(*arguments, "--quiet", folder=tmp_path)
    assert again.stdout == done.stdout
    other = run(*arguments[:-4], "--quiet", "--seed", "4", folder=tmp_path)
    assert rows(other.stdout) != rows(done.stdout)


def test_comparison_on_digits(tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    done = run("compare", "digits", "--optimizers", "sgd", "adam", "--epochs", "2", "--budget", "4", "--starts", "2", "--quiet")
    assert done.returncode == 0, done.stderr
    table = rows(done.stdout)
    assert set(table) == {"sgd", "adam"}
    assert float(table["adam"][1]) < 1.0  # the median loss; 2.3 before training
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("digits", "--optimizers", "adm"), "--optimizers must be some of sgd, momentum, .*, got 'adm'"),
        (("beale", "--epochs", "3"), "--epochs must be left out, beale takes --steps"),
        (("digits", "--steps", "3"), "--steps must be left out, digits takes --epochs"),
        (("beale", "--steps", "0"), "--steps must be a positive integer, got 0"),
        (("beale", "--budget", "3"), "--budget must be an integer of at least 4, got 3"),
        (("beale", "--starts", "0"), "--starts must be a positive integer, got 0"),
        (("beale", "--steps", "99999999999"), r"--steps must be an integer from 1 to 2\*\*31 - 1, got 99999999999"),
        (("digits", "--epochs", str(10**30)), r"--epochs must be an integer from 1 to 2\*\*31 - 1"),
        (("beale", "--seed", "-1"), "--seed must be an integer of at least 0, got -1"),
        (
            ("digits", "--seed", str(2**64 - 3)),
            "--seed must be an integer from 0 to 18446744073709551612, got 1844",
        ),
        (("beale", "--out", ""), "--out must be a file .*in an existing folder, got ''"),
    ],
)
def test_refused(arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["compare", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert re.search(message, captured.err)


def test_runs_that_do_not_fit_into_memory(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def compare(*arguments: Any, **named: Any) -> Any:
        raise MemoryError("Unable to allocate 10.9 TiB")

    monkeypatch.setattr("nncore.cli.compare_runs", compare)
    monkeypatch.setattr("nncore.landscapes.compare", compare)
    for problem in ("digits", "beale"):
        assert cli.main(["compare", problem]) == 2
        assert (
            "the runs must fit into memory (Unable to allocate 10.9 TiB): fewer steps, epochs or starts"
            in capsys.readouterr().err
        )


def test_a_plot_that_cannot_be_written(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    path = str(tmp_path / "none" / "comparison.png")
    assert cli.main(["compare", "beale", "--optimizers", "sgd", *SHORT, "--quiet", "--out", path]) == 2
    assert "nncore compare:" in capsys.readouterr().err


def test_usage() -> None:
    assert run("compare", "nowhere").returncode == 2
    assert "invalid choice: 'nowhere'" in run("compare", "nowhere").stderr
    assert run("--version").stdout.strip() == f"nncore {nn.__version__}"
    helped = run("compare", "--help").stdout
    assert "delta_bar_delta" in helped
    assert "rosenbrock" in helped
    assert run().stdout.startswith("usage: nncore")


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_can_be_compared(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("sklearn")
    for problem in (("quadratic", *SHORT), ("digits", "--epochs", "1", "--budget", "4", "--starts", "1")):
        assert cli.main(["compare", *problem, "--optimizers", name, "--quiet"]) == 0
        assert name in rows(capsys.readouterr().out)


@pytest.mark.parametrize("quiet", [False, True])
def test_progress_on_a_terminal(quiet: bool) -> None:
    pexpect = pytest.importorskip("pexpect")
    source = str(Path(nn.__file__).parents[1])
    arguments = ["-m", "nncore", "compare", "beale", "--optimizers", "adam", "rprop", *SHORT, *["--quiet"] * quiet]
    child = pexpect.spawn(sys.executable, arguments, env={**os.environ, "PYTHONPATH": source}, encoding="utf-8", timeout=60)
    child.expect(pexpect.EOF)
    assert ("rprop:" in child.before) is not quiet
    assert "final loss" in child.before


@pytest.mark.skipif(os.name == "nt", reason="needs a shell")
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("arguments", [("compare", "beale", "--optimizers", "sgd", "adam", *SHORT), ("--help",), ()])
def test_a_closed_output_pipe(arguments: tuple[str, ...], unbuffered: str) -> None:
    """The reader is gone before anything is written: no traceback, whether Python keeps output in a buffer or not."""
    source = str(Path(nn.__file__).parents[1])
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb") as pipe:
        done = subprocess.run(
            [sys.executable, "-m", "nncore", *arguments], stdout=pipe, stderr=subprocess.PIPE, check=False,
            env={**os.environ, "PYTHONPATH": source, "PYTHONUNBUFFERED": unbuffered},
        )  # fmt: skip
    assert done.stderr == b""
    assert done.returncode == 1 or (unbuffered and "compare" not in arguments)  # argparse ignores the error


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is full")
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_an_output_that_is_full(unbuffered: str) -> None:
    source = str(Path(nn.__file__).parents[1])
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "nncore", "compare", "beale", "--optimizers", "sgd", *SHORT], stdout=full, text=True,
            env={**os.environ, "PYTHONPATH": source, "PYTHONUNBUFFERED": unbuffered}, stderr=subprocess.PIPE, check=False,
        )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.startswith("nncore: the output cannot be written: [Errno 28]")
    assert done.stderr.count("\n") == 1


def test_a_missing_stderr() -> None:
    source = str(Path(nn.__file__).parents[1])
    done = subprocess.run(
        ["sh", "-c", 'exec "$@" 2>&-', "sh", sys.executable, "-m", "nncore", "compare", "beale", "--optimizers", "sgd", *SHORT],
        env={**os.environ, "PYTHONPATH": source}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0
    assert set(rows(done.stdout)) == {"sgd"}
