"""Who may use a trainer or an optimizer: one thread at a time, and between steps; all others are refused and change nothing."""

from __future__ import annotations

import copy
import io
import os
import pickle
import signal
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import nncore as nn
from nncore import _kernels

Array = NDArray[Any]
X, Y = np.eye(4), np.arange(4.0)


def trainer_with(optimizer: Any = None, loss: Any = "squared_error", **options: Any) -> nn.Trainer:
    model = nn.Sequential([nn.Dense(1, weight_init="zeros")], input_shape=4, dtype="float64")
    return nn.Trainer(model, loss, optimizer or nn.EMA(nn.SGD(lr=0.1)), **options)


def in_a_thread(work: Callable[[], Any]) -> BaseException | None:
    """The error that the work raises in another thread."""
    errors: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(60)
    assert not thread.is_alive()
    return errors[0] if errors else None


# ---- the claim itself


def test_a_claim_is_one_threads() -> None:
    claim = _kernels.Claim("taken")
    with claim, claim:
        assert claim.depth == 2
        with pytest.raises(RuntimeError, match=r"^taken$"):
            claim.check()
        error = in_a_thread(claim.__enter__)
        assert isinstance(error, RuntimeError)
        assert str(error) == "taken"
        assert in_a_thread(claim.check) is None  # another thread has not claimed it
    assert claim.depth == 0
    claim.check()
    assert in_a_thread(claim.__enter__) is None


def test_copies_of_a_claim_are_free() -> None:
    claim = _kernels.Claim("taken")
    with claim:
        for other in (copy.copy(claim), copy.deepcopy(claim), pickle.loads(pickle.dumps(claim))):
            with other:
                assert other.depth == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore")
def test_a_forked_child_trains_within_a_callback_of_its_parent() -> None:
    trainer, codes = trainer_with(), []

    def fork(trainer: nn.Trainer, epoch: int, row: Any) -> None:
        child = os.fork()
        if not child:
            try:
                trainer.fit(X, Y, epochs=2, verbose=0)
                with trainer.averaged():
                    os._exit(trainer.epochs_done)
            finally:
                os._exit(99)
        codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))

    trainer.fit(X, Y, epochs=2, verbose=0, callbacks=[nn.LambdaCallback(on_epoch_end=fork)])
    assert codes == [3, 4]


# ---- trainers


def exchanges(trainer: nn.Trainer, checkpoint: bytes) -> dict[str, Callable[[], Any]]:
    return {
        "averaged": lambda: trainer.averaged().__enter__(), "use_averages": trainer.use_averages,
        "restore": lambda: trainer.restore(io.BytesIO(checkpoint)),
    }  # fmt: skip


def checkpoint_of(trainer: nn.Trainer) -> bytes:
    file = io.BytesIO()
    trainer.save(file)
    return file.getvalue()


@pytest.mark.parametrize("name", ["averaged", "use_averages", "restore"])
def test_parameters_are_not_exchanged_while_another_thread_trains(name: str) -> None:
    trainer, alone = trainer_with(), trainer_with()
    errors = []
    for each in (trainer, alone):
        each.fit(X, Y, verbose=0)
    exchange = exchanges(trainer, checkpoint_of(trainer))[name]

    def look(trainer: nn.Trainer, epoch: int, row: Any) -> None:
        errors.append(in_a_thread(exchange))

    trainer.fit(X, Y, epochs=3, verbose=0, callbacks=[nn.LambdaCallback(on_epoch_end=look)])
    alone.fit(X, Y, epochs=3, verbose=0)
    assert all(isinstance(error, RuntimeError) and "is training already" in str(error) for error in errors)
    assert len(errors) == 3
    assert trainer.model.parameters.tobytes() == alone.model.parameters.tobytes()
    assert trainer.optimizer.step_count == alone.optimizer.step_count
    trainer.fit(X, Y, verbose=0)  # free


def test_averages_are_held_by_one_thread() -> None:
    trainer = trainer_with()
    trainer.fit(X, Y, epochs=5, verbose=0)
    theta = trainer.model.parameters.copy()

    def hold() -> None:
        with trainer.averaged():
            pass

    with trainer.averaged(), trainer.averaged():  # may be nested
        assert isinstance(in_a_thread(hold), RuntimeError)
        assert np.array_equal(trainer.model.parameters, trainer.optimizer.averaged_parameters)
    assert np.array_equal(trainer.model.parameters, theta)
    assert in_a_thread(hold) is None
    trainer.fit(X, Y, verbose=0)


def test_callbacks_exchange_parameters() -> None:
    trainer, seen = trainer_with(), []

    def look(trainer: nn.Trainer, epoch: int, row: Any) -> None:
        with trainer.averaged():
            seen.append(np.array_equal(trainer.model.parameters, trainer.optimizer.averaged_parameters))
        trainer.restore(io.BytesIO(checkpoint_of(trainer)))

    trainer.fit(X, Y, epochs=2, verbose=0, callbacks=[nn.LambdaCallback(on_epoch_end=look)])
    assert seen == [True, True]
    assert trainer.epochs_done == 2


# ---- the middle of an epoch


def restored(trainer: nn.Trainer) -> nn.Trainer:
    """A new trainer that continues from a checkpoint of this one."""
    checkpoint = checkpoint_of(trainer)
    model = nn.load(io.BytesIO(checkpoint))
    other = nn.Trainer(model, trainer.loss, type(trainer.optimizer)(**trainer.optimizer.config()))
    other.restore(io.BytesIO(checkpoint))
    return other


COPIES: dict[str, Callable[[nn.Trainer], nn.Trainer]] = {
    "save": restored, "pickle": lambda trainer: pickle.loads(pickle.dumps(trainer)), "deepcopy": copy.deepcopy,
    "copy": copy.copy, "lr_find": lambda trainer: trainer._copy(),
}  # fmt: skip


WITHIN: list[Callable[[], Any]] = []


def watched(y: Array, d: Array) -> tuple[Array, Array]:
    """A metric that calls what is in the list, in the evaluation at the end of an epoch."""
    for call in WITHIN:
        call()
    return y[:, 0] - d[:, 0], np.ones_like(y)


def fit_with_evaluation(trainer: nn.Trainer, call: Callable[[], Any], **options: Any) -> None:
    """An epoch at the end of which, the steps taken and not yet counted, this is called once."""
    left = [call]

    def once() -> None:
        if left and trainer.model.lock.holder != threading.get_ident():  # not in a step
            left.pop()()

    WITHIN.append(once)
    try:
        trainer.fit(X, Y, verbose=0, validation_data=(X, Y), **options)
    finally:
        WITHIN.remove(once)
    assert not left


@pytest.mark.parametrize("optimizer", ["adam", "bfgs"])
@pytest.mark.parametrize("name", [name for name in COPIES if name != "copy"])  # which shares the model
def test_copies_by_another_thread_are_of_whole_epochs(name: str, optimizer: str) -> None:
    """They begin in the middle of an epoch, wait for its end, and continue with the same bits."""
    layers = [nn.Dense(3), nn.Tanh(), nn.Dense(1)]
    model = nn.Sequential(layers, input_shape=4, dtype="float64", seed=1)
    trainer = nn.Trainer(model, "squared_error", optimizer, metrics=[nn.losses.PythonLoss(watched)])
    batch = {} if optimizer == "bfgs" else {"batch_size": 2}
    trainer.fit(X, Y, epochs=2, verbose=0, **batch)
    others: list[nn.Trainer] = []
    thread = threading.Thread(target=lambda: others.append(COPIES[name](trainer)))

    def copy_meanwhile() -> None:
        thread.start()
        thread.join(0.3)

    fit_with_evaluation(trainer, copy_meanwhile, **batch)
    thread.join(60)
    (other,) = others
    assert other.epochs_done == other.optimizer.epochs == 3
    for each in (trainer, other):
        each.fit(X, Y, epochs=3, verbose=0, **batch)
    assert other.model.parameters.tobytes() == trainer.model.parameters.tobytes()
    assert other.optimizer.step_count == trainer.optimizer.step_count


def test_callbacks_wait_for_a_thread_that_saves() -> None:
    trainer = trainer_with(nn.SGD(lr=0.1))

    def wait(trainer: nn.Trainer, *epoch: Any) -> None:
        assert in_a_thread(lambda: checkpoint_of(trainer)) is None

    trainer.fit(X, Y, epochs=3, verbose=0, callbacks=[nn.LambdaCallback(on_epoch_begin=wait, on_epoch_end=wait)])
    assert trainer.epochs_done == 3


def test_a_handler_that_waits_for_the_training_while_its_thread_waits_to_save() -> None:
    """The training neither waits for the thread that is in the handler, nor does the handler wait in vain."""
    if not hasattr(signal, "setitimer"):
        pytest.skip("no timers here")
    started = threading.Event()

    def loss(y: Array, d: Array) -> tuple[Array, Array]:
        started.set()
        time.sleep(0.1)
        return (y - d)[:, 0], np.ones_like(y)

    trainer = trainer_with(nn.SGD(lr=0.1), loss)
    callback = nn.LambdaCallback(on_epoch_end=lambda trainer, epoch, row: None)
    thread = threading.Thread(target=lambda: trainer.fit(X, Y, epochs=4, verbose=0, callbacks=[callback]))
    ended: list[bool] = []

    def handle(number: int, frame: Any) -> None:
        thread.join(30)
        ended.append(not thread.is_alive())

    before = signal.signal(signal.SIGALRM, handle)
    try:
        thread.start()
        started.wait(60)
        signal.setitimer(signal.ITIMER_REAL, 0.02)
        assert checkpoint_of(trainer)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    thread.join(60)
    assert ended == [True]
    assert trainer.epochs_done == 4


@pytest.mark.parametrize("name", COPIES)
def test_one_that_holds_the_lock_of_the_model_does_not_wait_for_the_training(name: str) -> None:
    """Which waits for this lock: it goes on."""
    errors: list[BaseException | None] = []
    trainer = trainer_with(nn.SGD(lr=0.1), metrics=[nn.losses.PythonLoss(watched)])

    def save() -> None:
        with trainer.model.lock:
            COPIES[name](trainer)

    fit_with_evaluation(trainer, lambda: errors.append(in_a_thread(save)))
    assert len(errors) == 1
    assert isinstance(errors[0], RuntimeError)
    assert "this thread holds model.lock" in str(errors[0])
    save()  # nobody trains


# ---- averages in place

REFUSED = {**COPIES, "restore": lambda trainer: trainer.restore(io.BytesIO(b"")), "use_averages": nn.Trainer.use_averages}
OF_OPTIMIZER: dict[str, Callable[[nn.Trainer], Any]] = {
    "step": lambda trainer: trainer.optimizer.step(trainer.model.parameters, np.ones(5)),
    "load_state_dict": lambda trainer: trainer.optimizer.load_state_dict({}),
    "init_state": lambda trainer: trainer.optimizer.init_state(5, "float64"),
}


@pytest.mark.parametrize("name", [*REFUSED, *OF_OPTIMIZER, "profile"])
def test_a_training_is_not_taken_apart_while_the_model_holds_averages(name: str) -> None:
    trainer, alone = trainer_with(), trainer_with()
    for each in (trainer, alone):
        each.fit(X, Y, epochs=3, verbose=0)
    work = {**REFUSED, "profile": lambda trainer: trainer.profile(X, Y, steps=2)}.get(name) or OF_OPTIMIZER[name]
    if name == "load_state_dict":
        state = trainer.optimizer.state_dict()
        work = lambda trainer: trainer.optimizer.load_state_dict(state)  # noqa: E731
    elif name == "restore":
        checkpoint = checkpoint_of(trainer)
        work = lambda trainer: trainer.restore(io.BytesIO(checkpoint))  # noqa: E731
    file = io.BytesIO()
    with trainer.averaged(), trainer.averaged():
        with pytest.raises(RuntimeError, match=r"holds averages"):
            work(trainer)
        if name not in OF_OPTIMIZER:
            assert "holds averages" in str(in_a_thread(lambda: work(trainer)))
        trainer.evaluate(X, Y)
        trainer.model.save(file)
    file.seek(0)
    assert np.array_equal(nn.load(file).parameters, trainer.optimizer.averaged_parameters)
    for each in (trainer, alone):
        each.fit(X, Y, epochs=3, verbose=0)
    assert trainer.model.parameters.tobytes() == alone.model.parameters.tobytes()
    work(trainer)  # allowed here


# ---- signal handlers within an epoch


@pytest.mark.parametrize(
    "name", [*COPIES, "averaged", "use_averages", "restore", "state_dict", "load_state_dict", "init_state", "step"]
)
@pytest.mark.parametrize("train", ["fit", "partial_fit"])
def test_python_code_of_the_network_cannot_take_a_training_apart(name: str, train: str) -> None:
    inside: list[Callable[[], Any]] = []

    def loss(y: Array, d: Array) -> tuple[Array, Array]:
        for call in inside:
            call()
        return y[:, 0] - d[:, 0], np.ones_like(y)

    trainer = trainer_with(loss=loss)
    d = Y[:, np.newaxis]
    trainer.fit(X, d, batch_size=2, verbose=0)
    optimizer, theta = trainer.optimizer, trainer.model.parameters.copy()
    calls: dict[str, Callable[[], Any]] = {
        **exchanges(trainer, checkpoint_of(trainer)), **{name: partial(copied, trainer) for name, copied in COPIES.items()},
        "state_dict": optimizer.state_dict, "init_state": lambda: optimizer.init_state(5, "float64"),
        "step": lambda: optimizer.step(np.zeros(5), np.ones(5)),
    }  # fmt: skip
    state = optimizer.state_dict()
    calls["load_state_dict"] = lambda: optimizer.load_state_dict(state)
    calls["pickle"] = trainer.__getstate__  # the loss itself cannot be pickled
    inside.append(calls[name])
    with pytest.raises(RuntimeError, match=r"within an epoch|is taking a step"):
        getattr(trainer, train)(X, d, batch_size=2, **({"verbose": 0} if train == "fit" else {}))
    assert optimizer.step_count == 2
    assert np.array_equal(trainer.model.parameters, theta)
    inside.clear()
    trainer.fit(X, d, batch_size=2, verbose=0)
    assert optimizer.step_count == 4
    calls[name]()  # allowed here


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timers here")
def test_a_signal_handler_stops_the_training_and_it_is_saved_whole(tmp_path: Path) -> None:
    """The loss adds 1 to the bias in each step, so that the parameters say how many were taken."""
    trainer = trainer_with(nn.SGD(lr=1.0), lambda y, d: (y[:, 0].copy(), -np.ones_like(y)))
    refused = []

    def handle(number: int, frame: Any) -> None:
        try:
            trainer.save(tmp_path / "within")
        except RuntimeError as error:
            refused.append(str(error))
        trainer.stop_training = True

    before = signal.signal(signal.SIGALRM, handle)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        trainer.fit(X, Y, epochs=10**6, batch_size=1, verbose=0)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert trainer.epochs_done < 10**6
    assert all("trainer.stop_training = True" in each for each in refused)
    trainer.save(tmp_path / "after")
    other = trainer_with(nn.SGD(lr=1.0), trainer.loss)
    other.restore(tmp_path / "after")
    assert other.model["dense_1"].bias[0] == other.optimizer.step_count == 4 * other.epochs_done == 4 * len(other.history)


# ---- optimizers


def test_a_step_in_one_thread_refuses_all_others() -> None:
    """They neither exchange what the step reads nor copy their gradient over the one it takes."""
    n, optimizer, other = 1 << 20, nn.GradientNoise(nn.SGD(lr=1.0), eta=0.0), nn.SGD()
    thetas, refused, stop = np.zeros((2, n)), [0], threading.Event()
    optimizer.step(thetas[0], np.ones(n))
    thetas[:] = 0

    def disturb() -> None:
        while not stop.is_set():
            other.lr = 0.5  # an assignment: what is known of later steps is computed anew
            try:
                optimizer.step(thetas[1], np.full(n, 1000.0))
            except RuntimeError:
                refused[0] += 1

    thread = threading.Thread(target=disturb)
    thread.start()
    taken = 0
    for _ in range(60):
        try:
            optimizer.step(thetas[0], np.ones(n))
            taken += 1
        except RuntimeError:
            pass
        time.sleep(0)
    stop.set()
    thread.join()
    assert (thetas[0] == -taken).all()
    assert np.ptp(thetas[1]) == 0
    assert optimizer.step_count == 1 + taken - thetas[1, 0] / 1000


def test_bindings_of_one_optimizer_share_the_claim() -> None:
    """Of two threads that step with one optimizer, in `minimize` and by hand, none is told that its arrays are wrong."""
    optimizer, started, errors = nn.Momentum(lr=1e-3), threading.Event(), []
    n = 1 << 17

    def f(x: Array) -> tuple[float, Array]:
        started.set()
        return 0.0, np.ones(n)

    def minimize() -> None:
        try:
            optimizer.minimize(f, np.zeros(n), 200)
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=minimize)
    thread.start()
    started.wait(60)
    theta, grad = np.zeros(n), np.ones(n)
    while thread.is_alive() and not errors:
        try:
            optimizer.step(theta, grad)
        except Exception as error:
            errors.append(error)
    thread.join(60)
    assert errors
    assert all(isinstance(error, RuntimeError) for error in errors), errors


def test_what_is_known_of_the_next_steps_is_not_exchanged_within_a_step() -> None:
    optimizer, theta = nn.SGD(lr=1.0), np.zeros(3)
    optimizer.step(theta, np.ones(3))
    with optimizer._shared.busy, pytest.raises(RuntimeError, match="is taking a step"):
        optimizer.step(theta, np.ones(3))
    other = nn.SGD()
    with optimizer._shared.busy:
        other.lr = 0.5
        with pytest.raises(RuntimeError, match="is taking a step"):
            optimizer.step(theta, np.ones(3))
    optimizer.step(theta, np.ones(3))
    assert theta.tolist() == [-2.0] * 3


# ---- Nesterov between begin and finish


def test_training_does_not_begin_at_the_point_ahead() -> None:
    trainer = trainer_with(nn.Nesterov(lr=0.1, momentum=0.5))
    theta = trainer.model.parameters
    trainer.optimizer.step(theta, np.ones(5))
    before = theta.copy()
    for train in (
        lambda: trainer.fit(X, Y, verbose=0),
        lambda: trainer.partial_fit(X, Y),
        lambda: trainer.lr_find(X, Y, steps=3),
    ):
        with pytest.raises(RuntimeError, match=r"call optimizer\.finish\(theta\)"):
            train()
    with pytest.raises(RuntimeError, match=r"call optimizer\.finish\(theta\)"):
        trainer.optimizer.minimize(lambda x: (0.0, np.ones(5)), np.zeros(5), 2, resume=True)
    assert np.array_equal(theta, before)
    trainer.optimizer.finish(theta)
    trainer.optimizer.minimize(lambda x: (0.0, np.ones(5)), np.zeros(5), 2, resume=True)
    trainer.partial_fit(X, Y)
    assert not trainer.optimizer.entered


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timers here")
@pytest.mark.parametrize("what", ["begin", "finish"])
def test_a_handler_that_raises_finds_begin_and_finish_whole(what: str) -> None:
    n = 3_000_000
    optimizer, theta = nn.Nesterov(lr=0.1, momentum=0.5), np.zeros(n)
    optimizer.step(theta, np.ones(n))  # entered; the parameters are -0.1, the point ahead is -0.15

    def handle(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, handle)
    states = []
    try:
        for trial in range(12):
            (optimizer.begin if what == "finish" else optimizer.finish)(theta)
            start = time.perf_counter()
            (optimizer.finish if what == "finish" else optimizer.begin)(theta)
            seconds = time.perf_counter() - start
            (optimizer.begin if what == "finish" else optimizer.finish)(theta)
            try:
                signal.setitimer(signal.ITIMER_REAL, seconds * (0.3 + 0.05 * trial))
                getattr(optimizer, what)(theta)
                time.sleep(seconds)
            except KeyboardInterrupt:
                pass
            signal.setitimer(signal.ITIMER_REAL, 0)
            states.append((optimizer.entered, round(float(theta[-1]), 9)))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert set(states) <= {(True, -0.15), (False, -0.1)}


@pytest.mark.parametrize("exchange", ["averaged", "use_averages"])
def test_averages_are_not_put_in_place_before_steps_by_hand_are_finished(exchange: str) -> None:
    """`finish` would put the parameters back that these steps have left."""
    trainer = trainer_with(nn.EMA(nn.Nesterov(lr=0.1, momentum=0.5)))
    theta = trainer.model.parameters
    trainer.optimizer.step(theta, np.ones(5))
    before = theta.copy()
    call = exchanges(trainer, b"")[exchange]
    with pytest.raises(RuntimeError, match=r"call optimizer\.finish\(theta\)"):
        call()
    assert np.array_equal(theta, before)
    trainer.optimizer.finish(theta)
    trainer.use_averages()
    assert np.array_equal(theta, trainer.optimizer.averaged_parameters)
