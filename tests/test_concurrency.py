"""One model in several Python threads, in forked children, and in Python code that its own program calls."""

import gc
import os
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

import nncore as nn

X = np.random.default_rng(0).standard_normal((2000, 64)).astype("float32")
Y = np.arange(2000) % 10
LOSS = "softmax_cross_entropy"


def make(*layers: nn.Layer) -> nn.Trainer:
    """Large enough to run on several threads."""
    return nn.Trainer(nn.Sequential([nn.Dense(256), nn.ReLU(), *layers, nn.Dense(10)], input_shape=64), LOSS, nn.Adam())


def beside(work: Callable[[], Any], train: Callable[[], Any]) -> int:
    """Train while another thread repeats some work; returns the number of repetitions."""
    started, done, count = threading.Event(), threading.Event(), 0
    failures: list[BaseException] = []

    def loop() -> None:
        nonlocal count
        try:
            while not done.is_set():
                work()
                count += 1
                started.set()
        except BaseException as error:
            failures.append(error)
            started.set()

    thread = threading.Thread(target=loop)
    thread.start()
    started.wait(60)
    train()
    done.set()
    thread.join(60)
    assert not thread.is_alive()
    assert not failures, failures
    return count


WORK: dict[str, Callable[[nn.Trainer], Any]] = {
    "loss_and_gradient": lambda t: t.model.loss_and_gradient(X[:64], Y[:64], LOSS),
    "deltas": lambda t: t.model.deltas(X[:64], Y[:64], LOSS),
    "predict": lambda t: t.model.predict(X[:64]),
    "evaluate": lambda t: t.evaluate(X[:64], Y[:64]),
    "activations": lambda t: t.model.activations(X[:64]),
    "check_gradients": lambda t: t.model.check_gradients(X[:8], Y[:8], LOSS, samples=1),
    "copy": lambda t: t.model.copy(),
    "hessian": lambda t: t.model.hessian_vector_product(X[:8], Y[:8], LOSS, t.model.parameters.copy()),
    "jacobian": lambda t: t.model.jacobian_product(X[:8], t.model.parameters.copy()),
}


@pytest.mark.parametrize("name", WORK)
def test_training_keeps_its_bits_while_other_threads_use_its_model(name: str) -> None:
    alone, disturbed = make(), make()
    alone.fit(X, Y, epochs=8, batch_size=256, verbose=0)
    epochs = iter(range(8))

    def train() -> None:
        for _ in epochs:
            disturbed.fit(X, Y, epochs=1, batch_size=256, verbose=0)

    assert beside(lambda: WORK[name](disturbed), train) > 1
    assert disturbed.model.parameters.tobytes() == alone.model.parameters.tobytes()
    assert disturbed.history == alone.history


def test_files_and_copies_hold_whole_steps(tmp_path: Path) -> None:
    """Weights with equal gradients are equal after every step, but not in the middle of one."""
    n = 1024
    ones = np.ones((64, n), "float32")
    trainer = nn.Trainer(nn.Sequential([nn.Dense(n, weight_init="zeros")], input_shape=n), "squared_error", nn.SGD(lr=1e-6))
    torn = []

    def look() -> None:
        trainer.save(tmp_path / "trainer")
        trainer.model.save(tmp_path / "model")
        models = [trainer.model.copy(), nn.load(tmp_path / "model"), nn.load(tmp_path / "trainer")]
        torn.extend(bool(np.ptp(model["dense_1"].weight) > 0) for model in models)
        trainer.stop_training = len(torn) > 50  # enough; a sanitizer would take hours for all epochs

    assert beside(look, lambda: trainer.fit(ones, ones, epochs=1500, verbose=0)) > 3
    assert not any(torn)


def test_one_call_trains_at_a_time() -> None:
    trainer = make()
    failures = []

    def nested(trainer: nn.Trainer, epoch: int, row: dict[str, float]) -> None:
        for train in (lambda: trainer.fit(X, Y, verbose=0), lambda: trainer.partial_fit(X[:8], Y[:8])):
            with pytest.raises(RuntimeError, match="training already"):
                train()
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()

    def other() -> None:
        try:
            trainer.fit(X, Y, verbose=0)
        except RuntimeError as error:
            failures.append(str(error))

    trainer.fit(X, Y, epochs=2, verbose=0, callbacks=[nn.LambdaCallback(on_epoch_end=nested)])
    assert len(failures) == 2
    assert len(trainer.history) == 2
    trainer.fit(X, Y, verbose=0)  # free again
    assert len(trainer.history) == 3


# Python code that the model's program calls: a layer, a loss.


class Peek(nn.Layer):
    """The identity; calls a function in its passes."""

    def __init__(self, forward: Callable[[], Any] | None = None, backward: Callable[[], Any] | None = None) -> None:
        super().__init__()
        self._in_forward, self._in_backward, self._inside = forward, backward, False

    def _do(self, what: Callable[[], Any] | None) -> None:
        if what and not self._inside:
            self._inside = True
            try:
                what()
            finally:
                self._inside = False

    def forward(self, x: np.ndarray, training: bool) -> np.ndarray:
        if training:
            self._do(self._in_forward)
        return x.copy()

    def backward(self, dy: np.ndarray) -> np.ndarray:
        self._do(self._in_backward)
        return dy.copy()


CALLS: dict[str, Callable[[nn.Trainer], Any]] = {
    "loss_and_gradient": lambda t: t.model.loss_and_gradient(X, Y, LOSS),
    "deltas": lambda t: t.model.deltas(X, Y, LOSS),
    "fit": lambda t: t.fit(X, Y, batch_size=500, verbose=0),
}


@pytest.mark.parametrize("where", ["forward", "backward"])
@pytest.mark.parametrize("name", CALLS)
def test_layers_may_inspect_their_own_model(name: str, where: str) -> None:
    """On the calling thread, which holds the locks: on a thread of OpenMP the first call would deadlock."""
    seen = []

    def look() -> None:
        seen.append(threading.current_thread())
        trainer.model.predict(X[:10])
        trainer.model.copy()
        trainer.evaluate(X[:10], Y[:10])

    trainer = make(Peek(**{where: look}))
    for _ in range(3):
        CALLS[name](trainer)
    assert seen
    assert set(seen) == {threading.current_thread()}


ENSEMBLE_CALLS: dict[str, Callable[[nn.EnsembleTrainer], Any]] = {
    "predict": lambda t: t.model.predict_members(X[:100]),
    "evaluate": lambda t: t.evaluate(X[:100], Y[:100]),
    "fit": lambda t: t.fit(X[:100], Y[:100], verbose=0),
}


@pytest.mark.parametrize(
    ("outer", "inner", "refused"),
    [
        ("predict", "predict", True), ("evaluate", "evaluate", True), ("predict", "evaluate", True),
        ("fit", "predict", False), ("fit", "evaluate", False),
    ],
)  # fmt: skip
def test_layers_may_use_their_ensemble_but_not_the_same_program(outer: str, inner: str, refused: bool) -> None:
    """The run within would take the programs' arrays from the one around it."""
    inside: list[Any] = []

    class Use(nn.Layer):
        def forward(self, x: np.ndarray, training: bool) -> np.ndarray:
            if not inside:
                inside.append(None)
                inside[0] = ENSEMBLE_CALLS[inner](trainer)
            return x.copy()

        def backward(self, dy: np.ndarray) -> np.ndarray:
            return dy.copy()

    inside.append(None)
    ensemble = nn.Ensemble(nn.Sequential([nn.Dense(5), Use(), nn.Dense(10)], X.shape[1], seed=0), 3)
    trainer = cast(nn.EnsembleTrainer, nn.Trainer(ensemble, LOSS, "sgd"))
    before = ensemble.predict_members(X[:100])
    inside.clear()
    if refused:
        with pytest.raises(RuntimeError, match="must not run the same program again"):
            ENSEMBLE_CALLS[outer](trainer)
        assert np.array_equal(ensemble.predict_members(X[:100]), before)
    else:
        ENSEMBLE_CALLS[outer](trainer)
        assert inner != "predict" or np.array_equal(inside[0], before)


def test_losses_may_inspect_their_own_model() -> None:
    trainer = make()
    d = np.zeros((2000, 10))

    def loss(y: np.ndarray, d: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        trainer.model.predict(X[:10])
        return ((y - d) ** 2).sum(axis=1), 2 * (y - d)

    for _ in range(10):
        trainer.model.loss_and_gradient(X, d, loss)


class Square(nn.Layer):
    """x², which keeps x for its backward pass."""

    def forward(self, x: np.ndarray, training: bool) -> np.ndarray:
        self.x, self.training, self.rows = x.copy(), training, len(x)
        return x**2

    def backward(self, dy: np.ndarray) -> np.ndarray:
        assert self.training
        return 2 * self.x * dy


@pytest.mark.parametrize("name", ["predict", "evaluate", "activations"])
def test_what_a_layer_keeps_is_not_replaced_by_other_threads(name: str) -> None:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        alone, disturbed = make(Square()), make(Square())
        for trainer in (alone, disturbed):
            trainer.optimizer.lr = 1e-4
        alone.fit(X, Y, epochs=4, batch_size=64, verbose=0)
        work = WORK[name]
        beside(lambda: work(disturbed), lambda: disturbed.fit(X, Y, epochs=4, batch_size=64, verbose=0))
    finally:
        sys.setswitchinterval(before)
    assert disturbed.model.parameters.tobytes() == alone.model.parameters.tobytes()


@pytest.mark.parametrize("name", ["predict", "evaluate", "activations"])
def test_what_a_layer_keeps_is_not_replaced_by_its_own_loss(name: str) -> None:
    """After the pass the layer has what a prediction leaves, as ever."""
    d = np.zeros((len(X), 10))
    gradients = []
    for looks in (False, True):
        trainer = make(Square())

        def loss(y: np.ndarray, d: np.ndarray, trainer: nn.Trainer = trainer, looks: bool = looks) -> Any:
            if looks:
                WORK[name](trainer)
            return ((y - d) ** 2).sum(axis=1), 2 * (y - d)

        gradients.append(trainer.model.loss_and_gradient(X, d, loss)[1])
        trainer.model.predict(X[:10])
        assert vars(trainer.model.layers[2])["rows"] == 10
    assert gradients[0].tobytes() == gradients[1].tobytes()


@pytest.mark.parametrize("name", CALLS)
def test_gradients_within_gradients_are_refused(name: str) -> None:
    """They would overwrite the values that later layers have written."""
    trainer = make(Peek(backward=lambda: trainer.model.loss_and_gradient(X[:10], Y[:10], LOSS)))
    with pytest.raises(RuntimeError, match="must not compute gradients of the same model"):
        CALLS[name](trainer)
    trainer.model.layers[2]._in_backward = None
    CALLS[name](trainer)  # nothing is locked


# Forks.

FORK = """
import os, signal, threading, time
import numpy as np, nncore as nn
import test_concurrency as tc
trainer = tc.make()
trainer.fit(tc.X, tc.Y, verbose=0)
threading.Thread(target=lambda: trainer.fit(tc.X, tc.Y, epochs=10**6, verbose=0), daemon=True).start()
time.sleep(0.3)
for call in {
    "fit": lambda: trainer.fit(tc.X, tc.Y, verbose=0), "partial_fit": lambda: trainer.partial_fit(tc.X, tc.Y),
    "save": lambda: trainer.save(os.devnull), "copy": lambda: trainer.model.copy(),
    "curvature": lambda: nn.second_order.LBFGS().minimize(nn.landscapes.Beale(), [1.0, 1.0], steps=3),
    **{name: (lambda work=work: work(trainer)) for name, work in tc.WORK.items()},
}.items():
    child = os.fork()
    if not child:
        signal.alarm(20)
        call[1]()
        os._exit(0)
    print(call[0], os.waitpid(child, 0)[1])
os._exit(0)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore")
def test_a_child_forked_beside_a_training_works() -> None:
    """A lock that another thread held at the fork would never be released."""
    paths = [os.path.dirname(__file__), *filter(None, sys.path)]
    result = subprocess.run(
        [sys.executable, "-c", FORK], env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)}, capture_output=True, text=True,
        timeout=300, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert [line.split()[1] for line in result.stdout.splitlines()] == ["0"] * (4 + len(WORK)), result.stdout


# Arguments of a call.


@pytest.mark.parametrize("name", ["fit", "partial_fit", "evaluate", "predict", "loss_and_gradient", "hessian", "validation"])
def test_data_are_released_after_the_call(name: str) -> None:
    trainer = make()
    rows, labels = X.copy(), Y.copy()
    result: Any = None
    if name == "fit":
        trainer.fit(rows, labels, verbose=0)
    elif name == "validation":
        trainer.fit(X, Y, verbose=0, validation_data=(rows, labels))
    elif name == "predict":
        result = trainer.model.predict(rows)
    elif name == "loss_and_gradient":
        trainer.model.loss_and_gradient(rows, labels, LOSS)
    elif name == "hessian":
        trainer.model.hessian_vector_product(rows, labels, LOSS, trainer.model.parameters.copy())
    else:
        getattr(trainer, name)(rows, labels)
    kept = [weakref.ref(rows), weakref.ref(labels)] + ([] if result is None else [weakref.ref(result)])
    del rows, labels, result
    gc.collect()
    assert [reference() is None for reference in kept] == [True] * len(kept)
