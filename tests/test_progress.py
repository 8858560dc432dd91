import codecs
import fcntl
import io
import os
import re
import struct
import subprocess
import sys
import termios
import threading

import pytest

from nncore.training import progress
from nncore.training.progress import Progress

pty = pytest.importorskip("pty")


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(progress, "_clock", clock)
    return clock


class Terminal:
    """A pseudo-terminal of 80 columns: `stream` to write to, `read` for the output so far."""

    def __init__(self):
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.stream = os.fdopen(slave, "w", encoding="utf-8")
        os.set_blocking(self.master, False)
        self.text, self.decoder = "", codecs.getincrementaldecoder("utf-8")()  # a read may end within a character

    def read(self):
        self.stream.flush()
        while True:
            try:
                piece = os.read(self.master, 65536)
            except (BlockingIOError, OSError):
                return self.text
            self.text += self.decoder.decode(piece)

    def screen(self):
        """The final content of the screen: each line after its last carriage return that is followed by text."""
        return [re.split(r"\r+(?=[^\r])", line.rstrip("\r"))[-1].rstrip() for line in self.read().split("\n")]

    def close(self):
        self.stream.close()
        os.close(self.master)


@pytest.fixture
def terminal():
    terminal = Terminal()
    yield terminal
    terminal.close()


def train(clock, stream, epochs, seconds, steps=10, verbose=1, start=0, total=None, tick=lambda: None):
    """Epochs of `steps` updates each, `seconds` long."""
    with Progress(total or epochs, verbose=verbose, stream=stream) as p:
        for epoch in range(start + 1, epochs + 1):
            for step in range(1, steps + 1):
                clock.now += seconds / steps
                p.update(epoch, step / steps, {"loss": 1 / epoch, "n": epoch - 1} if step == steps else None)
                tick()


def test_silent(clock, terminal):
    stream = io.StringIO()
    train(clock, stream, 5, 100.0, verbose=0)
    train(clock, terminal.stream, 5, 100.0, verbose=0)
    assert stream.getvalue() == terminal.read() == ""


def test_log_of_long_epochs(clock):
    stream = io.StringIO()
    train(clock, stream, 3, 10.0)
    assert stream.getvalue().splitlines() == [
        "epoch 1/3  10.0 s/epoch  loss 1.000  n 0",
        "epoch 2/3  10.0 s/epoch  loss 0.5000  n 1",
        "epoch 3/3  10.0 s/epoch  loss 0.3333  n 2",
    ]


def test_log_of_short_epochs(clock):
    stream = io.StringIO()
    train(clock, stream, 160, 0.125, steps=4)
    lines = stream.getvalue().splitlines()
    assert [int(re.match(r"epoch +(\d+)/160", line).group(1)) for line in lines] == [1, 41, 81, 121, 160]
    assert all("  125 ms/epoch  " in line for line in lines)
    assert not re.search(r"[\r\x1b\x08]", stream.getvalue())


def test_log_of_very_long_epochs(clock):
    stream = io.StringIO()
    train(clock, stream, 2, 200.0, steps=100)
    assert [line.split("  ")[0:2] for line in stream.getvalue().splitlines()] == [
        ["epoch 1/2", " 30%"], ["epoch 1/2", " 60%"], ["epoch 1/2", " 90%"], ["epoch 1/2", "200.0 s/epoch"],
        ["epoch 2/2", " 30%"], ["epoch 2/2", " 60%"], ["epoch 2/2", " 90%"], ["epoch 2/2", "200.0 s/epoch"],
    ]  # fmt: skip


def test_log_of_a_training_that_ends_early(clock):
    stream = io.StringIO()

    def interrupt():
        if clock.now > 3.2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(clock, stream, 100, 1.0, tick=interrupt)
    assert [line[:11] for line in stream.getvalue().splitlines()] == ["epoch   1/1", "epoch   3/1"]


def test_no_epoch(clock):
    stream = io.StringIO()
    with Progress(3, stream=stream):
        pass
    with Progress(3, stream=stream) as p:
        p.update(1, 0.5)
    assert stream.getvalue() == ""


def test_a_resumed_training_counts_only_its_own_epochs(clock):
    stream = io.StringIO()
    train(clock, stream, 12, 1.0, start=10)
    assert stream.getvalue().splitlines()[0].startswith("epoch 11/12  1.00 s/epoch")


def test_verbose_2_prints_each_epoch_everywhere(clock, terminal):
    stream = io.StringIO()
    train(clock, stream, 20, 0.001, verbose=2)
    train(clock, terminal.stream, 20, 0.001, verbose=2)
    assert stream.getvalue().count("\n") == 20
    assert stream.getvalue().splitlines()[6] == "epoch  7/20  1 ms/epoch  loss 0.1429  n 6"
    assert terminal.read() == stream.getvalue().replace("\n", "\r\n")


def test_terminal_with_long_epochs(clock, terminal):
    train(clock, terminal.stream, 3, 1.0)
    assert terminal.screen() == [
        "epoch 1/3  1.00 s/epoch  loss 1.000  n 0",
        "epoch 2/3  1.00 s/epoch  loss 0.5000  n 1",
        "epoch 3/3  1.00 s/epoch  loss 0.3333  n 2",
        "",
    ]
    assert "epoch 2/3  50%|" in terminal.read()
    assert "\x1b" not in terminal.read()


def test_terminal_with_short_epochs_has_one_live_line(clock, terminal):
    train(clock, terminal.stream, 2000, 0.001, steps=1)
    text = terminal.read()
    assert text.count("\n") == 1
    assert terminal.screen()[0].startswith("epoch 2000/2000  1 ms/epoch  loss 0.0005000")
    drawn = re.findall(r"epoch +\d+/2000 +\d+%\|", text)
    assert 18 <= len(drawn) <= 21  # two seconds at ten a second
    assert "loss 0.001" in text
    assert all(len(line) <= 80 for line in re.split(r"[\r\n]", text))


def test_a_training_too_short_for_the_live_line(clock, terminal):
    train(clock, terminal.stream, 50, 0.001)
    assert terminal.read() == "epoch 50/50  1 ms/epoch  loss 0.02000  n 49\r\n"


def test_terminal_is_clean_after_an_error(clock, terminal):
    def fail():
        if clock.now > 3:
            raise RuntimeError

    with pytest.raises(RuntimeError):
        train(clock, terminal.stream, 10, 10.0, tick=fail)
    assert "%|" in terminal.read()
    assert terminal.screen() == [""]


def test_no_thread_is_started(clock, terminal):
    before = threading.active_count()
    seen = []
    train(clock, terminal.stream, 3, 1.0, tick=lambda: seen.append(threading.active_count()))
    assert max(seen) == before


def test_values(clock):
    stream = io.StringIO()
    with Progress(1, stream=stream) as p:
        p.update(1, 1, {"a": float("nan"), "b": float("inf"), "c": 1e-9, "d": 123456.0, "e": 7})
    assert stream.getvalue().endswith("  a nan  b inf  c 1.000e-09  d 1.235e+05  e 7\n")


def test_bad_arguments():
    with pytest.raises(ValueError, match="total_epochs"):
        Progress(-1)
    with pytest.raises(ValueError, match="verbose"):
        Progress(1, verbose=3)


def test_default_stream_is_stderr_and_a_log_needs_no_tqdm():
    code = (
        "import sys\n"
        "from nncore.training.progress import Progress\n"
        "with Progress(2) as p:\n"
        "    p.update(1, 1.0, {'loss': 0.5})\n"
        "assert 'tqdm' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == ""
    assert re.fullmatch(r"epoch 1/2  \S+ ms/epoch  loss 0\.5000\n", done.stderr)


def test_nothing_due_costs_one_clock_read(clock, terminal, monkeypatch):
    reads = []
    monkeypatch.setattr(progress, "_clock", lambda: reads.append(1) or 0.0)
    with Progress(10, stream=terminal.stream) as p:
        for _ in range(100):
            p.update(1, 0.5)
    assert len(reads) == 101
    assert terminal.read() == ""
