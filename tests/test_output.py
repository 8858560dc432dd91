"""Sharing the screen: output that is printed, logged or drawn by tqdm while a training shows its live line."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import nncore as nn
from nncore.training.progress import Progress

pexpect = pytest.importorskip("pexpect")
if not hasattr(pexpect, "spawn"):
    pytest.skip("no pseudo-terminals here", allow_module_level=True)

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(nn.__file__).parents[1]), "NNCORE_NUM_THREADS": "1"}

SETUP = """
import logging, sys, warnings
import nncore as nn
from nncore.training import progress
from tqdm import tqdm
progress._LIVE_INTERVAL = 0.0  # each epoch is drawn
X, y = nn.data.two_spirals(40, noise=0.02)
logging.basicConfig(format="%(message)s")
class Tell(nn.Callback):
    def __init__(self, tell): self.tell = tell
    def on_epoch_end(self, trainer, epoch, row): self.tell(epoch)
def fit(epochs, *callbacks):
    trainer = nn.Trainer(nn.Sequential([nn.Dense(2)], input_shape=2, seed=0), loss="softmax_cross_entropy")
    trainer.fit(X, y, epochs=epochs, callbacks=callbacks)
"""


def screen(text: str) -> list[str]:
    """The final content of a terminal: its lines, without empty ones at the bottom."""
    lines, row, column = [""], 0, 0
    for token in re.findall(r"\x1b\[A|\x1b\[[\d;]*m|[\r\n]|[^\r\n\x1b]+", text):
        if token == "\n":
            row += 1
            lines += [""] * (row + 1 - len(lines))
        elif token == "\r":
            column = 0
        elif token == "\x1b[A":
            row -= 1
            assert row >= 0
        elif token[0] != "\x1b":
            line = lines[row].ljust(column)
            lines[row] = line[:column] + token + line[column + len(token) :]
            column += len(token)
    lines = [line.rstrip() for line in lines]
    while lines and not lines[-1]:
        lines.pop()
    return lines


def on_terminal(code: str, *, directory: Path | None = None) -> str:
    """The output of a program to a pseudo-terminal, which is its stdin, stdout and stderr."""
    child = pexpect.spawn(
        sys.executable, ["-c", SETUP + textwrap.dedent(code)], env=ENVIRONMENT, dimensions=(24, 100), encoding="utf-8",
        timeout=60, cwd=directory,
    )  # fmt: skip
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0, child.before
    return str(child.before)


LAST = r"epoch +(\d+)/\1  \S+ m?s/epoch  running_loss \S+  lr \S+"


@pytest.mark.parametrize(
    ("tell", "expected"),
    [
        ("print('epoch', epoch, 'ended')", ["epoch {} ended"]),
        ("print('a'); print('b', epoch)", ["a", "b {}"]),
        ("print('one\\ntwo', epoch)", ["one", "two {}"]),
        ("print(epoch, end=' ', flush=True); print('done')", ["{} done"]),
        ("print(epoch, file=sys.stderr)", ["{}"]),
        ("logging.warning('epoch %d', epoch)", ["epoch {}"]),
        ("sys.stdout.writelines(['no ', str(epoch), '\\n'])", ["no {}"]),
        ("print('\\x1b[31mred', epoch, '\\x1b[0m')", ["red {}"]),
        ("tqdm.write(str(epoch))", ["{}"]),
    ],
)
def test_lines_appear_above_the_live_line(tell: str, expected: list[str]) -> None:
    """Each on a separate line, complete, in order; in the end the live line is gone."""
    text = on_terminal(f"fit(6, Tell(lambda epoch: [{tell.replace('; ', ', ')}]))")
    assert "%|" in text  # there was a live line
    *lines, last = screen(text)
    assert lines == [line.format(epoch) for epoch in range(1, 7) for line in expected]
    assert re.fullmatch(LAST, last)


def test_an_empty_line_is_kept() -> None:
    lines = screen(on_terminal("fit(4, Tell(lambda epoch: [print(), print(epoch)]))"))
    assert lines[:-1] == ["", "1", "", "2", "", "3", "", "4"]


def test_lines_of_long_epochs_and_printed_ones() -> None:
    code = "progress._LONG_EPOCH = 0.0\nfit(3, Tell(lambda epoch: print('printed', epoch)))"
    lines = screen(on_terminal(code))
    assert [line.split("  ")[0] for line in lines] == [
        "printed 1", "epoch 1/3", "printed 2", "epoch 2/3", "printed 3", "epoch 3/3"
    ]  # fmt: skip


def test_trainings_within_a_bar_of_the_user() -> None:
    """Each leaves its line above the bar, which ends complete, at the bottom."""
    *lines, bar = screen(on_terminal("for i in tqdm(range(3), desc='outer'): fit(5)"))
    assert len(lines) == 3
    assert all(re.fullmatch(LAST, line) for line in lines)
    assert re.match(r"outer: 100%\|.*\| 3/3 ", bar)


def test_a_training_that_is_too_short_for_a_live_line_within_a_bar_of_the_user() -> None:
    code = "progress._LIVE_INTERVAL = 100.0\nfor i in tqdm(range(3), desc='outer'): fit(2)"
    text = on_terminal(code)
    *lines, bar = screen(text)
    assert len(lines) == 3
    assert all(re.fullmatch(LAST, line) for line in lines)
    assert re.match(r"outer: 100%\|.*\| 3/3 ", bar)


def test_lines_within_both_bars() -> None:
    code = "for i in tqdm(range(2), desc='outer'): fit(3, Tell(lambda epoch: print('epoch', epoch)))"
    *lines, bar = screen(on_terminal(code))
    assert [line.split("  ")[0] for line in lines] == ["epoch 1", "epoch 2", "epoch 3", "epoch 3/3"] * 2
    assert re.match(r"outer: 100%\|.*\| 2/2 ", bar)


def test_a_bar_of_the_user_within_a_callback() -> None:
    code = "fit(3, Tell(lambda epoch: [None for _ in tqdm(range(4), desc='inner', leave=False, mininterval=0)]))"
    text = on_terminal(code)
    assert "inner: 100%|" in text
    (last,) = screen(text)
    assert re.fullmatch(LAST, last)


def test_the_streams_are_restored() -> None:
    code = """
    before = sys.stdout, sys.stderr, logging.root.handlers[0].stream
    seen = []
    fit(3, Tell(lambda epoch: seen.append((sys.stdout, sys.stderr))))
    assert seen[-1][0] is not before[0], "not redirected"
    try: fit(3, Tell(lambda epoch: 1 // (epoch - 3)))
    except ZeroDivisionError: pass
    assert before == (sys.stdout, sys.stderr, logging.root.handlers[0].stream)
    assert all(a is b for a, b in zip(before, (sys.stdout, sys.stderr, logging.root.handlers[0].stream)))
    print("kept", file=seen[-1][0], end="")  # by someone who has kept it
    """
    assert screen(on_terminal(code))[-1] == "kept"


def test_an_unfinished_line_is_not_lost() -> None:
    lines = screen(on_terminal("fit(3, Tell(lambda epoch: print(epoch, end='.')))"))
    assert "1.2.3." in "".join(lines)


def test_stdout_that_is_a_file_is_not_redirected(tmp_path: Path) -> None:
    code = """
    sys.stdout = open("out.txt", "w")
    fit(4, Tell(lambda epoch: print(type(sys.stdout).__name__, epoch)))
    sys.stdout.close()
    sys.stdout = sys.__stdout__
    """
    (last,) = screen(on_terminal(code, directory=tmp_path))
    assert re.fullmatch(LAST, last)
    assert (tmp_path / "out.txt").read_text() == "".join(f"TextIOWrapper {epoch}\n" for epoch in range(1, 5))


NOTEBOOK = """
import sys, types, io
sys.modules["ipykernel.zmqshell"] = types.ModuleType("ipykernel.zmqshell")  # no ipywidgets: tqdm draws its bar as text
import warnings; warnings.simplefilter("ignore")
fit(4, Tell(lambda epoch: print("epoch", epoch)))
print("end")
"""


def test_a_notebook_without_widgets() -> None:
    """Its output behaves like a terminal, but isatty() is false."""
    environment = {**ENVIRONMENT, "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run([sys.executable, "-c", SETUP + NOTEBOOK], env=environment, capture_output=True, check=True)
    *lines, bar, end = screen(done.stdout.decode("utf-8").replace("\n", "\r\n"))
    assert lines == ["epoch 1", "epoch 2", "epoch 3", "epoch 4"]
    assert re.match(r"epoch 4/4 100%\|", bar)
    assert end == "end"


# No stream.


@pytest.mark.parametrize("how", ["sys.stderr = None", "sys.stderr.close()", "sys.stdout = sys.stderr = None"])
@pytest.mark.parametrize("verbose", [0, 1, 2])
def test_without_a_stream(how: str, verbose: int) -> None:
    code = f"""
import os, sys
import nncore as nn
{how}
t = nn.Trainer(nn.Sequential([nn.Dense(2)], input_shape=2), loss="softmax_cross_entropy")
t.fit(*nn.data.two_spirals(100), epochs=2, verbose={verbose})
os._exit(t.epochs_done)
"""
    assert subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT, check=False).returncode == 2


def test_a_program_started_without_stderr() -> None:
    code = (
        "import nncore as nn\n"
        "t = nn.Trainer(nn.Sequential([nn.Dense(2)], input_shape=2), loss='softmax_cross_entropy')\n"
        "t.fit(*nn.data.two_spirals(100), epochs=2)\n"
        "print(t.epochs_done)\n"
    )
    done = subprocess.run(
        ["sh", "-c", 'exec "$0" -c "$1" 2>&-', sys.executable, code], env=ENVIRONMENT, capture_output=True, check=False
    )
    assert done.stdout.split() == [b"2"]
    assert done.returncode == 0


def test_an_explicit_stream_is_used_without_stderr(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    stream = io.StringIO()
    with Progress(1, stream=stream) as progress:
        progress.update(1, 1.0, {"loss": 1.0})
    assert "epoch 1/1" in stream.getvalue()


class Failing(io.StringIO):
    """A stream that takes one line and then fails: its terminal is gone, its disk is full, or it was closed."""

    def __init__(self, error: Exception, terminal: bool) -> None:
        super().__init__()
        self.error, self.terminal = error, terminal

    def isatty(self) -> bool:
        return self.terminal

    def write(self, text: str) -> int:
        if self.getvalue():
            raise self.error
        return super().write(text)


@pytest.mark.parametrize("terminal", [False, True])
@pytest.mark.parametrize("verbose", [1, 2])
@pytest.mark.parametrize("error", [OSError(5, "gone"), BrokenPipeError(), ValueError("I/O operation on closed file")])
def test_a_training_outlives_its_stream(
    error: Exception, verbose: int, terminal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nncore.training.progress._LIVE_INTERVAL", 0.0)  # the live line from the first epoch on
    monkeypatch.setattr("nncore.training.progress._LOG_INTERVAL", 0.0)
    stream = Failing(error, terminal)
    monkeypatch.setattr(sys, "stderr", stream)
    trainer = nn.Trainer(nn.Sequential([nn.Dense(2)], input_shape=2), loss="softmax_cross_entropy")
    history = trainer.fit(*nn.data.two_spirals(100), epochs=5, verbose=verbose)
    assert len(history) == trainer.epochs_done == 5
    assert sys.stderr is stream
    assert stream.getvalue()
