"""Resume is never stopped: a random training that ends anywhere and is continued elsewhere has the bits of one that did not.

`attack.resume` draws the trainings and says what is compared; ``python -m attack resume`` runs any number. What is documented
not to continue with the same bits is stated here, one test for each.
"""

from __future__ import annotations

import contextlib
import signal
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.networks import classes, everything

import nncore as nn
from attack import pool, random_models, resume
from attack.bits import bits_of

WITHIN = resume.Plan(seed=178, way=resume.WITHIN, epochs=4, stop=1)  # Adam, in batches of one row


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("number", range(60))
def test_stopped_anywhere_and_continued(number: int) -> None:
    pool.once(resume.case, 0, number)


@pytest.mark.parametrize("way", resume.WAYS)
def test_each_way_stops_and_continues_in_another_process(way: str) -> None:
    with resume.ctrl_c():
        assert resume.resume(WITHIN._replace(way=way), at=0.4, elsewhere=True) == f"{way}, elsewhere"


def test_ctrl_c_comes_within_an_epoch() -> None:
    setup = resume.setup_of(WITHIN)
    with resume.ctrl_c():
        resume.stop(WITHIN, setup, at=5)
    trainer = setup.trainer
    assert trainer.interrupted
    assert trainer.optimizer.step_count == 4
    assert trainer.epochs_done == 0


# ---- the comparison can fail


def test_a_state_that_is_not_restored_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Here the optimizer's, and the counts of callbacks."""

    def told(way: str) -> bool:
        try:
            for seed in range(24):
                with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder), resume.ctrl_c():
                    resume.resume(resume.Plan(seed, way, 5, 2), at=0.5, elsewhere=False)
        except AssertionError as error:
            return "different bits" in str(error)
        return False

    assert not told("saved after fit")
    restore = nn.Trainer.restore

    def without(self: nn.Trainer, path: Any) -> None:
        restore(self, path)
        for array in self.optimizer.state.values():
            array[...] = 0

    monkeypatch.setattr(nn.Trainer, "restore", without)
    assert told("saved after fit")
    monkeypatch.setattr(nn.Trainer, "restore", restore)
    for callback in (nn.EarlyStopping, nn.ReduceLROnPlateau):
        monkeypatch.setattr(callback, "load_state_dict", lambda self, state: None)
    assert told("saved by a callback")


# ---- what does not continue with the same bits, as documented


def test_early_stopping_that_restores_the_best_epoch_ends_fit_with_other_parameters() -> None:
    """A trainer saved after ``fit`` has the best parameters, `ModelCheckpoint` those that training goes on from."""
    X, y = classes()
    trainer = everything("ema", "batch norm", clip=None)
    trainer.optimizer.lr = 0.5
    stopping = nn.EarlyStopping("loss", patience=20)
    history = trainer.fit(
        X, y, epochs=12, batch_size=16, exact_loss=True, callbacks=[stopping, nn.ModelCheckpoint("last")], verbose=0
    )
    assert stopping.best_epoch is not None
    assert stopping.best_epoch < len(history)
    trainer.save("best")
    best, last = (everything("ema", "batch norm", clip=None) for _ in range(2))
    for other in (best, last):
        other.optimizer.lr = 0.5
    best.restore("best")
    last.restore("last")
    assert best.evaluate(X, y)["loss"] == history.row(stopping.best_epoch)["loss"]
    assert last.evaluate(X, y)["loss"] == history.row(len(history))["loss"] != best.evaluate(X, y)["loss"]


def test_an_epoch_that_ctrl_c_ends_is_begun_anew() -> None:
    """Its steps stay; with them the training is not that without Ctrl-C."""
    interrupted, through = resume.setup_of(WITHIN), resume.setup_of(WITHIN)
    with resume.ctrl_c():
        resume.stop(WITHIN, interrupted, at=5)
    for setup, epochs in ((interrupted, 1), (through, 1)):
        setup.trainer.fit(setup.X, setup.y, epochs=epochs, **setup.fit, callbacks=setup.callbacks)
    assert interrupted.trainer.epochs_done == through.trainer.epochs_done == 1
    assert interrupted.trainer.optimizer.step_count == through.trainer.optimizer.step_count + 4
    assert bits_of(interrupted.trainer, interrupted.X)["parameters"] != bits_of(through.trainer, through.X)["parameters"]


def test_scipy_begins_anew_in_every_fit() -> None:
    X, y = np.random.default_rng(0).standard_normal((2, 30, 3))

    def trainer() -> nn.Trainer:
        model = nn.Sequential([nn.Dense(4), nn.Tanh(), nn.Dense(3)], input_shape=3, dtype="float64", seed=0)
        return nn.Trainer(model, "squared_error", nn.second_order.ScipyMinimize("BFGS"))

    through, first, second = (trainer() for _ in range(3))
    through.fit(X, y, epochs=8, verbose=0)
    first.fit(X, y, epochs=4, verbose=0)
    first.save("four")
    second.restore("four")
    for each in (first, second):
        each.fit(X, y, epochs=4, verbose=0)
    assert np.array_equal(first.model.parameters, second.model.parameters)
    assert not np.array_equal(through.model.parameters, second.model.parameters)


def test_attributes_of_a_layer_written_in_python_are_not_saved() -> None:
    """Only what `add_parameter` and `add_state` declare is."""

    class Growing(nn.Layer):
        calls = 0

        def forward(self, x: Any, training: bool) -> Any:
            self.calls += training
            return x * (1 + 0.01 * self.calls)

        def backward(self, dy: Any) -> Any:
            return dy * (1 + 0.01 * self.calls)

    def setup() -> random_models.Setup:
        return random_models.draw(4, before_output=Growing())

    def calls(trained: random_models.Setup) -> list[int]:
        return [layer.calls for layer in trained.trainer.model.layers if isinstance(layer, Growing)]

    first, second = setup(), setup()
    first.trainer.fit(first.X, first.y, **first.fit)
    first.trainer.save("one")
    second.trainer.restore("one")
    assert calls(first) != [0]
    assert calls(second) == [0]


def test_the_handler_of_ctrl_c_is_put_back() -> None:
    before = signal.getsignal(signal.SIGINT)
    with resume.ctrl_c():
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert signal.getsignal(signal.SIGINT) is before
