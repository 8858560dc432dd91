"""Ctrl-C during fit, in a real terminal session and by signal."""

import os
import signal
import subprocess
import sys
import threading
import time
from typing import Any

import numpy as np
import pytest

import nncore as nn
from nncore.optimizers.tiles import State
from nncore.training import checkpoint

pexpect = pytest.importorskip("pexpect")
pytestmark = pytest.mark.skipif(os.name == "nt", reason="needs a pseudo-terminal")

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
        """The output of a line, up to the next prompt."""
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
    """The progress line is drawn; after Ctrl-C, history, model and prompt are intact."""
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


def test_whole_epochs_remain_and_training_continues_with_the_same_bits() -> None:
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


def test_a_user_defined_handler_is_kept() -> None:
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
    """Only the main thread may handle signals; fit works without a handler."""
    trainer, X, y = make()
    worker = threading.Thread(target=trainer.fit, args=(X, y), kwargs={"epochs": 3, "verbose": 0})
    worker.start()
    worker.join()
    assert len(trainer.history) == 3


class PressWithin(nn.Layer):
    """Ctrl-C in the training pass of the given number."""

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
    """Ten steps per epoch, each its own call: the current step is completed, and whole epochs are in the history."""
    monkeypatch.setattr("nncore.program.autotune.SECONDS_PER_CALL", 0.0)
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


# Pressed again.


def test_a_loop_over_fits_is_left_by_pressing_twice() -> None:
    """The first press ends a fit, the second, in the next one, the loop; models and histories are whole."""
    trainers = [make()[0] for _ in range(4)]
    _, X, y = make()

    def loop() -> None:
        for trainer in trainers:
            trainer.fit(X, y, epochs=5, callbacks=[Press(3)], verbose=0)

    with pytest.raises(KeyboardInterrupt):
        loop()
    assert [len(trainer.history) for trainer in trainers] == [3, 3, 0, 0]
    assert [trainer.interrupted for trainer in trainers] == [True, True, False, False]


def test_two_presses_far_apart_end_two_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nncore._utils.interrupt.AGAIN", 0.0)
    for _ in range(2):
        trainer, X, y = make()
        trainer.fit(X, y, epochs=5, callbacks=[Press(3)], verbose=0)
        assert len(trainer.history) == 3


def test_on_train_end_is_called_after_a_second_press() -> None:
    trainer, X, y = make()
    ended: list[int] = []
    end = nn.LambdaCallback(on_train_end=lambda trainer: ended.append(trainer.epochs_done))
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(X, y, epochs=9, callbacks=[Press(4, times=2), end], verbose=0)
    assert ended == [4]


def test_a_callback_that_hangs_is_left_by_a_later_press(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C is not checked there: once the second press has waited this long, the next one raises at once."""
    monkeypatch.setattr("nncore._utils.interrupt.PATIENCE", 0.0)
    trainer, X, y = make()
    reached: list[int] = []

    def hang(trainer: nn.Trainer, epoch: int, row: dict[str, float]) -> None:
        for press in range(9):
            reached.append(press)
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        trainer.fit(X, y, epochs=9, callbacks=[nn.LambdaCallback(on_epoch_end=hang)], verbose=0)
    assert reached == [0, 1, 2]
    assert len(trainer.history) == trainer.epochs_done == 1


def test_partial_fit_ends_its_pass_and_raises() -> None:
    _, X, y = make()
    model = nn.Sequential([nn.Dense(3), PressWithin(1), nn.Dense(2)], input_shape=4, dtype="float64")
    trainer = nn.Trainer(model, "softmax_cross_entropy")
    with pytest.raises(KeyboardInterrupt):
        trainer.partial_fit(X, y)
    assert trainer.optimizer.step_count == trainer.epochs_done == 1
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


STORM = """
import _signal, os, signal, sys, threading, time
import numpy as np, nncore as nn
X, y = np.random.default_rng(0).normal(size=(200, 4)), np.arange(200) % 3
def make():
    model = nn.Sequential([nn.Dense(8), nn.BatchNorm(), nn.Tanh(), nn.Dense(3)], input_shape=4)
    return nn.Trainer(model, "softmax_cross_entropy", nn.EMA(nn.Adam()), regularizer=nn.L2(1e-3), clip=nn.ClipGlobalNorm(1.0))
rng, path, reference = np.random.default_rng(int(sys.argv[1])), sys.argv[2], make()
whole = make()
whole.fit(X, y, epochs=40, validation_data=(X, y), batch_size=50, verbose=0)
stop = threading.Event()
def press():
    while not stop.is_set():
        time.sleep(rng.exponential(0.003))
        os.kill(os.getpid(), signal.SIGINT)
trainer, storm, count = make(), threading.Thread(target=press, daemon=True), 0
signal.signal(signal.SIGINT, signal.SIG_IGN)
storm.start()
begin = time.monotonic()
while trainer.epochs_done < 30 and time.monotonic() - begin < 20:
    before = trainer.epochs_done, trainer.optimizer.step_count
    try:
        try:  # the functions in C, within which no press raises
            _signal.signal(signal.SIGINT, signal.default_int_handler)
            trainer.fit(X, y, epochs=5, validation_data=(X, y), batch_size=50, verbose=0,
                        callbacks=[nn.ModelCheckpoint(path + "{epoch}"), nn.EarlyStopping(patience=1000)])
        finally:
            _signal.signal(signal.SIGINT, _signal.SIG_IGN)
    except KeyboardInterrupt:
        count += 1
    h = trainer.history
    assert len(h) == trainer.epochs_done, (len(h), trainer.epochs_done)
    assert {len(h[c]) for c in h.columns} <= {len(h)}
    assert trainer.optimizer.step_count >= 4 * trainer.epochs_done
    assert np.isfinite(trainer.model.parameters).all()
    trainer.save(path)
    make().restore(path)
stop.set()
print(count, trainer.epochs_done, [name for name in os.listdir(os.path.dirname(path)) if "nncore" in name])
"""


def test_many_presses_leave_model_history_and_files_intact(tmp_path: Any) -> None:
    paths = os.pathsep.join(filter(None, sys.path))
    result = subprocess.run(
        [sys.executable, "-c", STORM, "0", str(tmp_path / "net")], env=os.environ | {"PYTHONPATH": paths}, capture_output=True,
        text=True, timeout=100, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    presses = int(result.stdout.split()[0])
    assert presses > 10  # the presses had an effect
    assert result.stdout.split()[-1] == "[]"  # no temporary files


# Long calls: a whole-batch pass of seconds, in a process of its own.

LONG = """
import os, signal, threading, time
import numpy as np, nncore as nn
nn.set_num_threads({threads})
X, y = np.zeros((150_000, 64), "f4"), np.zeros(150_000, int)
layers = [nn.Dense(512), nn.Tanh(), nn.Dense(512), nn.Tanh(), nn.Dense(10)]
model, loss = nn.Sequential(layers, input_shape=64), "softmax_cross_entropy"
trainer = nn.Trainer(model, loss, "sgd")
before = model.parameters.copy()
epochs = 0
def fit():
    trainer.fit(X[:64], y[:64], epochs=2, verbose=0, validation_data=(X, y))
    assert trainer.interrupted
    raise KeyboardInterrupt
def full_batch():
    threading.Timer(0.6, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    trainer.fit(X, y, epochs=2, batch_size=len(X), verbose=0)
calls = dict(
    predict=lambda: model.predict(X), evaluate=lambda: trainer.evaluate(X, y), validation=fit,
    gradient=lambda: model.loss_and_gradient(X, y, loss), deltas=lambda: model.deltas(X, y, loss),
    activations=lambda: model.activations(X), samples=lambda: model.predict_samples(X, 3),
    hessian=lambda: model.hessian_vector_product(X, y, loss, before), full_batch=full_batch,
)
model.hessian_vector_product(X[:1], y[:1], loss, before)  # imports SciPy: within an import Python may swallow Ctrl-C
call = calls["{name}"]
pressed = []
def press():
    pressed.append(time.monotonic())
    os.kill(os.getpid(), signal.SIGINT)
threading.Timer(0.15, press).start()
try:
    call()
except KeyboardInterrupt:
    late = time.monotonic() - pressed[0]
    print("interrupted", round(late, 3), len(trainer.history), np.isfinite(model.parameters).all())
else:
    print("not interrupted")
"""
CALLS = ["predict", "evaluate", "validation", "gradient", "deltas", "activations", "samples", "hessian", "full_batch"]


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("name", CALLS)
def test_a_long_call_ends_soon_after_ctrl_c(name: str, threads: int) -> None:
    """A fraction of the duration of the call; not the 0.3 s of an idle machine, as this one may be busy."""
    paths = os.pathsep.join(filter(None, sys.path))
    result = subprocess.run(
        [sys.executable, "-c", LONG.replace("{name}", name).replace("{threads}", str(threads))], capture_output=True,
        env=os.environ | {"PYTHONPATH": paths}, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert result.stdout.startswith("interrupted"), result.stdout + result.stderr
    _, late, epochs, finite = result.stdout.split()
    assert float(late) < 2.0
    assert int(epochs) == (name == "validation")
    assert finite == "True"


def test_an_interrupted_validation_leaves_the_epoch_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nncore.program.compiled.STOPPABLE_WORK", -1)

    class PressInValidation(PressWithin):
        def forward(self, x: np.ndarray, training: bool) -> np.ndarray:
            if not training:
                signal.raise_signal(signal.SIGINT)
                time.sleep(0.1)  # the run asks every 50 ms
            return x

    _, X, y = make()
    model = nn.Sequential([nn.Dense(3), PressInValidation(0), nn.Dense(2)], input_shape=4, dtype="float64")
    trainer = nn.Trainer(model, "softmax_cross_entropy")
    seen: list[int] = []
    look = nn.LambdaCallback(on_epoch_end=lambda trainer, epoch, row: seen.append(epoch))
    history = trainer.fit(X, y, epochs=3, validation_data=(X, y), callbacks=[look], verbose=0)
    assert trainer.interrupted
    assert trainer.epochs_done == len(history) == 1
    assert np.isfinite(history["running_loss"]).all()
    assert "val_loss" not in history.columns
    assert seen == []


def test_restore_is_not_left_half_done(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C while a checkpoint is restored: it is restored completely, then KeyboardInterrupt is raised."""
    trained, X, y = make()
    trained.fit(X, y, epochs=3, verbose=0)
    trained.save(tmp_path / "c")
    trainer, *_ = make()
    put = checkpoint._put

    def press(arrays: Any, attributes: Any) -> None:
        put(arrays[:1], attributes[:1])
        signal.raise_signal(signal.SIGINT)
        put(arrays[1:], attributes[1:])

    monkeypatch.setattr(checkpoint, "_put", press)
    with pytest.raises(KeyboardInterrupt):
        trainer.restore(tmp_path / "c")
    assert trainer.epochs_done == 3
    assert trainer.history == trained.history
    assert trainer.model.parameters.tobytes() == trained.model.parameters.tobytes()


@pytest.mark.parametrize("threads", [1, 2])
def test_an_abandoned_step_leaves_the_parameters_unchanged(threads: int) -> None:
    """Nesterov moves them to the look-ahead before the first step, and back after the last, even after an error."""
    code = """
import os, signal, threading, time
import numpy as np, nncore as nn
nn.set_num_threads({threads})
X = np.random.default_rng(0).normal(size=(60000, 300)).astype("f4")
y = X[:, :5].sum(1)
model = nn.Sequential([nn.Dense(300), nn.Tanh(), nn.Dense(300), nn.Tanh(), nn.Dense(1)], input_shape=300)
trainer = nn.Trainer(model, "squared_error", nn.Nesterov(lr=1e-3, momentum=0.9))
trainer.fit(X, y, epochs=1, batch_size=60000, verbose=0)
theta, steps = model.parameters.copy(), trainer.optimizer.step_count
def give_up(number, frame):
    raise TimeoutError
signal.signal(signal.SIGALRM, give_up)
signal.setitimer(signal.ITIMER_REAL, 0.3)
try:
    trainer.fit(X, y, epochs=50, batch_size=60000, verbose=0)
except TimeoutError:
    pass
if trainer.optimizer.step_count == steps:
    print(np.array_equal(model.parameters, theta))
else:
    print("steps were taken")
"""
    paths = os.pathsep.join(filter(None, sys.path))
    result = subprocess.run(
        [sys.executable, "-c", code.replace("{threads}", str(threads))], capture_output=True, text=True, timeout=100,
        env=os.environ | {"PYTHONPATH": paths}, check=False,
    )  # fmt: skip
    assert result.stdout.strip() in ("True", "steps were taken"), result.stdout + result.stderr


# Presses at any moment of short calls, in a process of its own.

ANYWHERE = """
import os, signal, threading, time
import numpy as np, nncore as nn
from threadpoolctl import threadpool_info
X, y = np.random.default_rng(0).normal(size=(8, 3)), np.zeros(8)
model = nn.Sequential([nn.Dense(4), nn.Tanh(), nn.Dense(1)], input_shape=3, dtype="float64")
trainer = nn.Trainer(model, "squared_error", nn.EMA(nn.SGD(lr=0.01), decay=0.5))
trainer.fit(X, y, epochs=3, verbose=0)
def averaged():
    with trainer.averaged():
        pass
def orthogonal():
    nn.initializers.Orthogonal()((4, 4), np.random.default_rng(0), np.float64)
optimizer, theta = nn.SGD(lr=2.0**-20), np.ones(5)
calls = dict(gradient=lambda: model.loss_and_gradient(X, y, "squared_error"), averaged=averaged, orthogonal=orthogonal,
             step=lambda: optimizer.step(theta, np.ones(5)), predict=lambda: model.predict(X))
call, before = calls["{name}"], model.parameters.copy()
call()
limits = [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]
stop, pressed = threading.Event(), 0
armed = threading.Event()  # one press at a time: another one would come while the first is being handled
def press():
    while not stop.is_set():
        time.sleep(0.0007)
        if armed.is_set():
            armed.clear()
            os.kill(os.getpid(), signal.SIGINT)
signal.signal(signal.SIGINT, signal.SIG_IGN)
thread = threading.Thread(target=press, daemon=True)
thread.start()
end = time.monotonic() + 1.5
while time.monotonic() < end:
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        armed.set()
        while True:
            call()
    except KeyboardInterrupt:
        pressed += 1
signal.signal(signal.SIGINT, signal.SIG_IGN)
stop.set()
thread.join()
for _ in range(2):
    call()
trainer.fit(X, y, epochs=1, verbose=0) if "{name}" == "averaged" else None
free = []
other = threading.Thread(target=lambda: (model.copy(), free.append(1)), daemon=True)
other.start()
other.join(10)
after = [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]
same = "{name}" == "averaged" or np.array_equal(model.parameters, before)
print(pressed > 20, bool(free), after == limits, same, (theta == 1 - optimizer.step_count * 2.0**-20).all())
"""


@pytest.mark.parametrize("name", ["gradient", "averaged", "orthogonal", "step", "predict"])
def test_a_press_at_any_moment_leaves_nothing_locked(name: str) -> None:
    paths = os.pathsep.join(filter(None, sys.path))
    result = subprocess.run(
        [sys.executable, "-c", ANYWHERE.replace("{name}", name)], capture_output=True, text=True, timeout=100,
        env=os.environ | {"PYTHONPATH": paths}, check=False,
    )  # fmt: skip
    assert result.stdout.split() == ["True"] * 5, result.stdout + result.stderr


class Raised(Exception):
    pass


@pytest.mark.parametrize("exact_loss", [False, True])
def test_a_handler_that_raises_leaves_a_row_for_each_epoch(exact_loss: bool) -> None:
    """At every line between the steps of an epoch and those of the next."""
    trainer, X, y = make()
    for at in range(1, 1000):
        trainer.evaluate(X, y)  # compiles
        lines, within = 0, False

        def trace(frame: Any, event: str, argument: Any, at: int = at) -> Any:
            nonlocal lines, within
            if frame.f_code.co_name in ("_end_epoch", "_end_epochs"):
                within = event != "return"
            lines += within and event == "line" and "nncore" in frame.f_globals["__name__"]
            if within and lines == at:
                raise Raised
            return trace

        done = trainer.epochs_done
        sys.settrace(trace)
        try:
            trainer.fit(X, y, epochs=2, exact_loss=exact_loss, verbose=0)
        except Raised:
            assert len(trainer.history) == trainer.epochs_done
            assert trainer.epochs_done in (done, done + 1, done + 2)
        else:
            break
        finally:
            sys.settrace(None)
    assert 10 < at < 999
    assert len(trainer.history) == trainer.epochs_done == done + 2


def test_two_presses_leave_the_step_of_partial_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nncore.program.compiled.STOPPABLE_WORK", -1)

    class PressTwice(PressWithin):
        presses = 2

        def forward(self, x: np.ndarray, training: bool) -> np.ndarray:
            for _ in range(self.presses):
                signal.raise_signal(signal.SIGINT)
                time.sleep(0.1)  # the run asks every 50 ms
            return x

    _, X, y = make()
    layer = PressTwice(0)
    model = nn.Sequential([nn.Dense(3), layer, nn.Dense(2)], input_shape=4, dtype="float64")
    trainer = nn.Trainer(model, "softmax_cross_entropy")
    before = model.parameters.copy()
    with pytest.raises(KeyboardInterrupt):
        trainer.partial_fit(X, y)
    assert np.array_equal(model.parameters, before)
    assert trainer.epochs_done == trainer.optimizer.step_count == 0
    layer.presses = 0
    trainer.partial_fit(X, y)
    assert trainer.epochs_done == trainer.optimizer.step_count == 1


@pytest.mark.parametrize("name", ["Adam", "EMA", "BFGS"])
def test_a_state_is_loaded_whole(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C after the arrays: the counts that go with them are loaded too, then KeyboardInterrupt is raised."""
    theta = np.ones(3)
    optimizer = {"Adam": nn.Adam, "EMA": lambda: nn.EMA(nn.Adam()), "BFGS": nn.second_order.BFGS}[name]()
    saved = []
    for _ in range(3):
        optimizer.step(theta, (lambda x: (0.5 * x @ x, x.copy())) if name == "BFGS" else np.ones(3))
        saved.append(optimizer.state_dict())
    update = State.update

    def press(self: State, *others: Any, **values: Any) -> None:
        update(self, *others, **values)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(State, "update", press)
    with pytest.raises(KeyboardInterrupt):
        optimizer.load_state_dict(saved[0])
    after = optimizer.state_dict()
    assert after.keys() == saved[0].keys()
    assert all(np.array_equal(after[key], saved[0][key]) for key in after)


def test_the_second_press_ends_the_metrics_of_an_iteration() -> None:
    """Those of a full-batch optimizer: the iteration counts, the metric that was left out is NaN."""
    rows, seen = 512 * 200, 0

    def slow(y: Any, d: Any) -> Any:
        nonlocal seen
        seen += len(y)
        if seen == len(y):
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
        time.sleep(0.01)
        return np.zeros(len(y)), np.zeros_like(y)

    model = nn.Sequential([nn.Dense(1, weight_init="zeros")], input_shape=1)
    metric = nn.losses.PythonLoss(slow)
    trainer = nn.Trainer(model, "squared_error", nn.second_order.LBFGS(), metrics=[metric])
    X = np.random.default_rng(0).standard_normal((rows, 1))
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(X, X, epochs=5, verbose=0)
    assert seen < rows
    assert trainer.epochs_done == trainer.optimizer.step_count == len(trainer.history) == 1
    assert np.isnan(trainer.history["slow"]).all()
    assert np.isfinite(trainer.history["loss"]).all()
