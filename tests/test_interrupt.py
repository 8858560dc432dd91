"""Ctrl-C during fit, in a real terminal session and by signal."""

import os
import signal
import sys
import threading
import time
from typing import Any

import numpy as np
import pytest

import nncore as nn
from nncore.interrupt import Interrupt

pexpect = pytest.importorskip("pexpect")
pytestmark = pytest.mark.skipif(os.name == "nt", reason="needs a pseudo-terminal")


@pytest.fixture(autouse=True)
def _long_after_the_last_press(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Interrupt, "_last_press", -1e9)


SETUP = """
import numpy as np, nncore as nn
rng = np.random.default_rng(0)
X, y = rng.standard_normal((5000, 20)).astype('float32'), rng.integers(0, 3, 5000)
model = nn.Sequential([nn.Dense(32), nn.ReLU(), nn.Dense(3)], input_shape=20)
trainer = nn.Trainer(model, loss='softmax_cross_entropy')
start = model.parameters.copy()
"""
PROMPT = ">>> "
TIMEOUT = 30


class Session:
    """An interactive Python in a terminal."""

    def __init__(self) -> None:
        env = os.environ | {"TERM": "dumb", "PYTHON_BASIC_REPL": "1", "NO_COLOR": "1"}
        env["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
        self.child = pexpect.spawn(
            sys.executable, ["-q", "-i"], env=env, encoding="utf-8", timeout=TIMEOUT, dimensions=(40, 200)
        )
        self.child.expect_exact(PROMPT)
        for line in SETUP.strip().splitlines():
            self.run(line)

    def run(self, line: str) -> str:
        """What a line prints, up to the next prompt."""
        self.child.sendline(line)
        self.child.expect_exact(PROMPT)
        _, _, output = self.child.before.partition("\n")
        return output.strip()

    def interrupt_when(self, line: str, running: str) -> str:
        """Start a line, wait for it to show that it runs, press Ctrl-C, and wait for the prompt."""
        self.child.sendline(line)
        self.child.expect(running)
        self.child.sendintr()
        self.child.expect_exact(PROMPT)
        return str(self.child.before)


@pytest.fixture
def session() -> Any:
    session = Session()
    yield session
    session.child.close(force=True)


def test_in_a_terminal(session: Session) -> None:
    """The progress line of the terminal runs; Ctrl-C; history, model and prompt are as they should be."""
    begin = time.monotonic()
    output = session.interrupt_when("history = trainer.fit(X, y, epochs=10**7)", r"loss[= ]\d")
    assert time.monotonic() - begin < TIMEOUT
    assert "Traceback" not in output
    assert "KeyboardInterrupt" not in output
    assert session.run("trainer.interrupted") == "True"
    rows = int(session.run("len(history)"))
    assert 1 <= rows < 10**7
    assert session.run("history is trainer.history, trainer.epochs_done == len(history)") == "(True, True)"
    assert session.run("bool(np.isfinite(history['running_loss']).all())") == "True"
    assert session.run("model.predict(X[:5]).shape, bool(np.isfinite(model.parameters).all())") == "((5, 3), True)"
    assert session.run("np.array_equal(model.parameters, start)") == "False"
    session.run("history = trainer.fit(X, y, epochs=2, verbose=0)")
    assert session.run("len(history), trainer.interrupted") == f"({rows + 2}, False)"
    assert session.run("6 * 7") == "42"


def test_between_epochs_with_validation_and_callbacks(session: Session) -> None:
    session.run("log = nn.LambdaCallback(on_train_end=lambda t: print('train', 'end'))")
    session.run("stop = nn.EarlyStopping(patience=10**8)")
    line = "h = trainer.fit(X, y, epochs=10**7, validation_split=0.2, callbacks=[log, stop], verbose=2)"
    output = session.interrupt_when(line, r"epoch +3/")
    assert "Traceback" not in output
    assert output.count("train end") == 1
    assert int(session.run("len(h)")) >= 3
    assert session.run("bool(np.isfinite(h['val_loss']).all()), trainer.interrupted") == "(True, True)"
    assert session.run("model.predict(X[:5]).shape") == "(5, 3)"


def test_a_long_epoch_is_interrupted_within_it(session: Session) -> None:
    session.run("big = nn.Sequential([nn.Dense(256), nn.ReLU(), nn.Dense(3)], input_shape=20)")
    session.run("slow = nn.Trainer(big, loss='softmax_cross_entropy')")
    session.run("running = nn.LambdaCallback(on_epoch_begin=lambda *_: print('go'))")
    session.run("Xs, ys = np.tile(X, (100, 1)), np.tile(y, 100)")
    output = session.interrupt_when("h = slow.fit(Xs, ys, epochs=9, batch_size=1, callbacks=[running], verbose=0)", r"go\r\n")
    assert "Traceback" not in output
    assert session.run("slow.interrupted, len(h), slow.epochs_done") == "(True, 0, 0)"
    assert session.run("slow.optimizer.step_count < 500_000, bool(np.isfinite(big.parameters).all())") == "(True, True)"
    assert session.run("big.predict(X[:2]).shape") == "(2, 3)"


def test_ctrl_c_outside_fit_is_python_s_own(session: Session) -> None:
    """The handler that fit installs is gone afterwards."""
    session.run("h = trainer.fit(X, y, verbose=0)")
    output = session.interrupt_when("import time; print('wa' + 'iting'); time.sleep(100)", "waiting")
    assert "KeyboardInterrupt" in output
    assert session.run("6 * 7") == "42"


# By signal, in this process.


class Press(nn.Callback):
    """Ctrl-C at the end of an epoch."""

    def __init__(self, at: int, times: int = 1) -> None:
        self.at, self.times = at, times

    def on_epoch_end(self, trainer: Any, epoch: int, row: dict[str, Any]) -> None:
        if epoch == self.at:
            for _ in range(self.times):
                signal.raise_signal(signal.SIGINT)


def make() -> tuple[nn.Trainer, np.ndarray, np.ndarray]:
    X = np.random.default_rng(0).standard_normal((50, 4))
    model = nn.Sequential([nn.Dense(3), nn.Tanh(), nn.Dense(2)], input_shape=4, dtype="float64")
    return nn.Trainer(model, "softmax_cross_entropy"), X, (X[:, 0] > 0).astype(int)


def test_what_is_left_is_a_whole_number_of_epochs_and_goes_on_with_the_same_bits() -> None:
    trainer, X, y = make()
    handler = signal.getsignal(signal.SIGINT)
    trainer.fit(X, y, epochs=9, callbacks=[Press(4)], verbose=0)
    assert signal.getsignal(signal.SIGINT) is handler
    assert trainer.interrupted
    assert len(trainer.history) == trainer.epochs_done == 4
    trainer.fit(X, y, epochs=5, verbose=0)
    assert not trainer.interrupted
    whole, *_ = make()
    whole.fit(X, y, epochs=9, verbose=0)
    assert whole.model.parameters.tobytes() == trainer.model.parameters.tobytes()
    assert whole.history == trainer.history


def test_a_second_ctrl_c_raises_after_the_epoch() -> None:
    trainer, X, y = make()
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(X, y, epochs=9, callbacks=[Press(4, times=2)], verbose=0)
    assert signal.getsignal(signal.SIGINT) is handler
    assert len(trainer.history) == 4
    assert np.isfinite(trainer.model.predict(X)).all()


def test_a_handler_of_the_user_s_own_stays() -> None:
    trainer, X, y = make()
    seen: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: seen.append(number))
    try:
        trainer.fit(X, y, epochs=3, callbacks=[Press(2)], verbose=0)
    finally:
        signal.signal(signal.SIGINT, before)
    assert seen == [signal.SIGINT]
    assert len(trainer.history) == 3


def test_fit_in_another_thread() -> None:
    """Only the main thread may handle signals; fit works without."""
    trainer, X, y = make()
    worker = threading.Thread(target=trainer.fit, args=(X, y), kwargs={"epochs": 3, "verbose": 0})
    worker.start()
    worker.join()
    assert len(trainer.history) == 3


class PressWithin(nn.Layer):
    """Ctrl-C in a training pass, at the given one."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self.at, self.passes = at, 0

    def forward(self, x: np.ndarray, training: bool) -> np.ndarray:
        self.passes += training
        if training and self.passes == self.at:
            signal.raise_signal(signal.SIGINT)
        return x

    def backward(self, dy: np.ndarray) -> np.ndarray:
        return dy


@pytest.mark.parametrize(("at", "epochs"), [(3, 0), (7, 0), (10, 1), (25, 2)])
def test_within_an_epoch(at: int, epochs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten steps an epoch, each a call of its own: the step under way is done, whole epochs are in the history."""
    monkeypatch.setattr("nncore.pace.SECONDS_PER_CALL", 0.0)
    _, X, y = make()
    model = nn.Sequential([nn.Dense(3), PressWithin(at), nn.Dense(2)], input_shape=4, dtype="float64")
    trainer = nn.Trainer(model, "softmax_cross_entropy")
    trainer.fit(X, y, epochs=9, batch_size=5, verbose=0)
    assert trainer.interrupted
    assert trainer.optimizer.step_count == at
    assert len(trainer.history) == trainer.epochs_done == epochs
    assert np.isfinite(model.predict(X)).all()
    trainer.fit(X, y, epochs=1, batch_size=5, verbose=0)
    assert len(trainer.history) == epochs + 1
