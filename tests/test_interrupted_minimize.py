"""Ctrl-C during `minimize` and during a second-order iteration: the steps counted are the steps taken."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

import nncore as nn
from nncore import optimizers
from nncore import second_order as so
from nncore.landscapes import Rosenbrock
from nncore.optimizers import gradient as gradient_module
from nncore.training.full_batch import FullBatchLoop

pytestmark = pytest.mark.skipif(os.name == "nt", reason="needs signals")
OPTIMIZERS = {**optimizers.OPTIMIZERS, "ema": lambda: nn.EMA("adam"), "polyak": lambda: nn.PolyakAveraging("sgd")}
X0 = np.array([0.3, -0.4])
SECOND_ORDER = [name for name in so.OPTIMIZERS if name != "scipy_minimize"]


def gradient(theta: Any) -> Any:
    return float(theta @ theta) / 2, theta


@contextmanager
def at_line(line: int, files: tuple[str | None, ...], act: Callable[[], Any]) -> Iterator[None]:
    """Act as the line-th line of some files begins."""
    seen = 0

    def trace(frame: Any, event: str, argument: Any) -> Any:
        nonlocal seen
        if frame.f_code.co_filename not in files:
            return None
        if event == "line":
            seen += 1
            if seen == line:
                act()
        return trace

    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(None)


def press() -> None:
    """Press Ctrl-C."""
    signal.raise_signal(signal.SIGINT)


def time_out() -> None:
    """What a signal handler may do."""
    raise TimeoutError


def after(make: Any, steps: int) -> dict[str, Any]:
    optimizer = make()
    optimizer.minimize(gradient, X0, steps)
    return dict(optimizer.state_dict())


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_minimize_counts_the_steps_that_its_state_has_taken(name: str) -> None:
    """At any moment, the state is that after the number of steps counted."""
    make, interrupted = OPTIMIZERS[name], 0
    for line in range(1, 140):
        optimizer = make()
        try:
            with at_line(line, (gradient_module.__file__,), press):
                optimizer.minimize(gradient, X0, 3)
        except KeyboardInterrupt:
            interrupted += 1
        steps = optimizer.step_count
        if steps:
            for key, want in after(make, steps).items():
                assert np.array_equal(optimizer.state_dict()[key], want), (line, key)
    assert interrupted > 20


class Slow(Rosenbrock):  # type: ignore[misc]
    """A function with slow evaluations; Ctrl-C is pressed during one of them."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self.left, self.asked = at, 0

    def during(self) -> None:
        signal.raise_signal(signal.SIGINT)

    def __getattribute__(self, name: str) -> Any:
        if name in ("value_and_gradient", "hessian", "hessian_product", "residuals_and_jacobian"):
            method = super().__getattribute__(name)

            def asked(*given: Any) -> Any:
                self.asked += 1
                if self.left == self.asked:
                    self.during()
                return method(*given)

            return asked
        return super().__getattribute__(name)


@pytest.mark.parametrize("name", SECOND_ORDER)
def test_second_order_minimize_stops_at_once_and_resumes(name: str) -> None:
    """Within an evaluation; the state is that of the iterations counted."""
    counts = set()
    for at in range(1, 30):
        optimizer, f = so.OPTIMIZERS[name](), Slow(at)
        try:
            optimizer.minimize(f, f.start, 6)
        except KeyboardInterrupt:
            assert f.asked == at
        steps = optimizer.step_count
        counts.add(steps)
        twin = so.OPTIMIZERS[name]()
        walk = twin.minimize(Rosenbrock(), f.start, steps)
        rest, want = (each.minimize(Rosenbrock(), walk.theta[-1], 5, resume=True) for each in (optimizer, twin))
        assert np.array_equal(rest.theta, want.theta), at
        assert optimizer.step_count == twin.step_count
    assert len(counts) > 2


def trained(name: str, method: str | None = None) -> nn.Trainer:
    model = nn.Sequential([nn.Dense(1)], input_shape=3, dtype="float64", seed=1)
    optimizer = so.OPTIMIZERS[name](method) if method else so.OPTIMIZERS[name]()
    return nn.Trainer(model, "sigmoid_cross_entropy", optimizer)


DATA = np.random.default_rng(0).standard_normal((20, 3)), np.random.default_rng(1).integers(0, 2, 20)


class Keep(nn.callbacks.Callback):
    """Records the state after each epoch."""

    def __init__(self) -> None:
        self.whole: list[Any] = []

    def on_epoch_end(self, trainer: Any, epoch: int, row: Any) -> None:
        self.whole.append((trainer.model.parameters.copy(), epoch, trainer.optimizer.step_count))


@pytest.mark.parametrize(("name", "method"), [*((name, None) for name in SECOND_ORDER), ("scipy_minimize", "L-BFGS-B")])
def test_two_presses_leave_an_iteration_and_a_loop(name: str, method: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """During an evaluation of the first epochs; model and history are those of the completed epochs."""
    evaluate = so.ModelObjective.value_and_gradient
    for at in (2, 3, 4):
        trainer, asked = trained(name, method), 0
        keep = Keep()

        def pressed(self: Any, theta: Any, at: int = at) -> Any:
            nonlocal asked
            asked += 1
            if asked == at:
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(0.01)
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(0.01)
            assert asked <= at, "evaluated after Ctrl-C was pressed twice"
            return evaluate(self, theta)

        monkeypatch.setattr(so.ModelObjective, "value_and_gradient", pressed)
        with pytest.raises(KeyboardInterrupt):
            trainer.fit(*DATA, epochs=50, callbacks=[keep], verbose=0)
        monkeypatch.undo()
        assert trainer.interrupted
        parameters, epochs, steps = keep.whole[-1] if keep.whole else (trained(name).model.parameters, 0, 0)
        assert np.array_equal(trainer.model.parameters, parameters)
        assert epochs == trainer.epochs_done == len(trainer.history) == steps == trainer.optimizer.step_count
        trainer.fit(*DATA, epochs=2, verbose=0)
        assert len(trainer.history) > epochs or trainer.optimizer.stopped


def held(trainer: nn.Trainer) -> dict[str, Any]:
    """The parameters, and the optimizer's state, copied."""
    return {"theta": trainer.model.parameters.copy(), **trainer.optimizer.state_dict()}


@pytest.mark.parametrize("name", SECOND_ORDER)
def test_an_iteration_counts_whole_or_not_at_all(name: str) -> None:
    """A signal handler that raises leaves parameters and state of the same iteration, wherever it comes."""
    files = tuple(str(sys.modules[module].__file__) for module in {FullBatchLoop.__module__, *modules_of(so.OPTIMIZERS[name])})
    twin, whole = trained(name), []
    for _ in range(6):
        whole.append(held(twin))
        twin.fit(*DATA, epochs=1, verbose=0)
    counts: list[int] = []
    for line in range(1, 2000, 3):
        trainer = trained(name)
        trainer.fit(*DATA, epochs=2, verbose=0)
        try:
            with at_line(line, files, time_out):
                trainer.fit(*DATA, epochs=2, verbose=0)
            break
        except TimeoutError:
            counts.append(trainer.optimizer.step_count)
        found, want = held(trainer), whole[counts[-1]]
        assert found.keys() == want.keys()
        assert all(np.array_equal(found[key], want[key]) for key in want), line
    assert set(counts) >= {2, 3}


def modules_of(kind: type) -> list[str]:
    """Those of a class of optimizers and of its bases in nncore.second_order."""
    return [base.__module__ for base in kind.__mro__ if base.__module__.startswith(so.__name__)]


class Fails(Slow):
    """One of its evaluations raises instead."""

    def during(self) -> None:
        raise ZeroDivisionError


@pytest.mark.parametrize("name", SECOND_ORDER)
def test_a_function_that_raises_leaves_the_state_of_the_last_iteration(name: str) -> None:
    """In a step by hand, at any evaluation; θ and the state are as before it."""
    raised = 0
    for at in range(1, 60):
        optimizer, f = so.OPTIMIZERS[name](), Fails(at)
        if name == "levenberg_marquardt":
            optimizer.scaling = "marquardt"
        theta = np.array(f.start)
        optimizer.init_state(theta.size, theta.dtype)
        for _ in range(8):
            before = {"theta": theta.copy(), **optimizer.state_dict()}
            try:
                optimizer.step(theta, f)
            except ZeroDivisionError:
                raised += 1
                after = {"theta": theta, **optimizer.state_dict()}
                assert after.keys() == before.keys()
                assert all(np.array_equal(after[key], before[key]) for key in before), at
                break
    assert raised > 10


def test_two_presses_leave_a_hessian_that_takes_long() -> None:
    """A matrix of many products, in one call of the objective."""
    rng = np.random.default_rng(0)
    model = nn.Sequential([nn.Dense(60), nn.Tanh(), nn.Dense(60), nn.Tanh(), nn.Dense(1)], input_shape=40, seed=1)
    trainer = nn.Trainer(model, "squared_error", so.AdaptiveDampedNewton())
    before = model.parameters.copy()
    X, y = rng.standard_normal((20_000, 40)), rng.standard_normal(20_000)
    pressed: list[float] = []

    def press() -> None:
        for _ in range(2):
            pressed.append(time.monotonic())
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.2)

    timer = threading.Timer(1.5, press)
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(X, y, epochs=3, verbose=0)
    left = time.monotonic() - pressed[-1]
    timer.join()
    assert left < 5  # of minutes
    assert np.array_equal(model.parameters, before)
    assert len(trainer.history) == trainer.epochs_done == trainer.optimizer.step_count == 0
