"""The state of an optimizer while compiled programs are bound to it: assigned to, copied, replaced."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nncore as nn
from nncore import optimizers
from nncore import second_order as so
from nncore.callbacks.base import Callback

X = np.random.default_rng(0).standard_normal((12, 3))
Y = np.random.default_rng(1).integers(0, 2, 12)
FIRST: dict[str, Any] = {
    **optimizers.OPTIMIZERS, **{name: lambda cls=cls: cls("adam") for name, cls in optimizers.WRAPPERS.items()},
}  # fmt: skip
MAKERS = FIRST | {name: cls for name, cls in so.OPTIMIZERS.items() if name != "scipy_minimize"}


def make(name: str) -> nn.Trainer:
    model = nn.Sequential([nn.Dense(1)], input_shape=3, dtype="float64", seed=1)
    return nn.Trainer(model, "sigmoid_cross_entropy", MAKERS[name]())


class Change(Callback):
    """After the first epoch."""

    def __init__(self, change: Any) -> None:
        self.change = change

    def on_epoch_end(self, trainer: Any, epoch: int, row: Any) -> None:
        if epoch == 1:
            self.change(trainer)


def fitted(name: str, change: Any) -> nn.Trainer:
    trainer = make(name)
    trainer.fit(X, Y, epochs=3, batch_size=12, callbacks=[Change(change)], verbose=0)
    return trainer


def in_place(trainer: Any) -> None:
    for array in trainer.optimizer.state.values():
        array *= 0.75


def assigned(trainer: Any) -> None:
    for slot, array in trainer.optimizer.state.items():
        trainer.optimizer.state[slot] = 0.75 * array


def updated(trainer: Any) -> None:
    trainer.optimizer.state.update({slot: 0.75 * array for slot, array in trainer.optimizer.state.items()})


def united(trainer: Any) -> None:
    state = trainer.optimizer.state
    state |= {slot: 0.75 * array for slot, array in state.items()}


def loaded(trainer: Any) -> None:
    state = trainer.optimizer.state_dict()
    trainer.optimizer.load_state_dict(state | {slot: 0.75 * state[slot] for slot in trainer.optimizer.state})


@pytest.mark.parametrize("change", [assigned, updated, united, loaded])
@pytest.mark.parametrize("name", MAKERS)
def test_assignments_by_a_callback_take_effect(name: str, change: Any, tmp_path: Path) -> None:
    want, got = fitted(name, in_place), fitted(name, change)
    assert np.array_equal(got.model.parameters, want.model.parameters)
    for slot, array in want.optimizer.state.items():
        assert np.array_equal(got.optimizer.state[slot], array)
    got.save(tmp_path / "checkpoint")
    other = make(name)
    other.restore(tmp_path / "checkpoint")
    for trainer in (want, other):
        trainer.fit(X, Y, epochs=2, batch_size=12, verbose=0)
    assert np.array_equal(other.model.parameters, want.model.parameters)


@pytest.mark.parametrize("name", [name for name in MAKERS if make(name).optimizer.state])
def test_invalid_assignments_to_a_state(name: str) -> None:
    state = make(name).optimizer.state
    before = {slot: (array, array.copy()) for slot, array in state.items()}
    slot, array = next(iter(state.items()))
    for wrong in (array[:1], np.zeros((2, *array.shape))):
        with pytest.raises(ValueError, match=f"^state '{slot}' must have shape"):
            state[slot] = wrong
    with pytest.raises(KeyError, match=r"state must be assigned to one of .*, got 'another'"):
        state["another"] = array
    for change in (
        lambda: state.pop(slot), lambda: state.clear(), lambda: state.popitem(), lambda: state.setdefault("x", array),
        lambda: state.__delitem__(slot),
    ):  # fmt: skip
        with pytest.raises(TypeError, match=r"^state is fixed in its names"):
            change()
    assert list(state) == list(before)
    for slot, (array, values) in before.items():
        assert state[slot] is array
        assert np.array_equal(array, values)


@pytest.mark.parametrize("name", MAKERS)
def test_a_replaced_state_is_refused(name: str, tmp_path: Path) -> None:
    def begin_afresh(trainer: Any) -> None:
        trainer.optimizer.init_state(trainer.model.parameters.size, trainer.model.dtype)
        with pytest.raises(ValueError, match="must have the state of this trainer's model"):
            trainer.save(tmp_path / "checkpoint")
        trainer.theta = trainer.model.parameters.copy()

    class Trainer(nn.Trainer):
        theta: Any

    trainer = make(name)
    trainer.__class__ = Trainer
    with pytest.raises(ValueError, match="must have the state of this trainer's model"):
        trainer.fit(X, Y, epochs=3, batch_size=12, callbacks=[Change(begin_afresh)], verbose=0)
    assert np.array_equal(trainer.model.parameters, trainer.theta)
    assert len(trainer.history) == trainer.epochs_done == 1


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda trainer: pickle.loads(pickle.dumps(trainer))])
@pytest.mark.parametrize("name", MAKERS)
def test_copies_have_their_own_states(name: str, copied: Any) -> None:
    trainer = make(name)
    trainer.fit(X, Y, epochs=1, batch_size=12, verbose=0)
    twin = copied(trainer)
    for slot, array in trainer.optimizer.state.items():
        assert type(twin.optimizer.state) is type(trainer.optimizer.state)
        assert np.array_equal(twin.optimizer.state[slot], array)
        assert not np.shares_memory(twin.optimizer.state[slot], array)
        assert twin.optimizer.state[slot].ctypes.data % array.itemsize == 0
    for each in (trainer, twin):
        each.fit(X, Y, epochs=2, batch_size=12, verbose=0)
    assert np.array_equal(twin.model.parameters, trainer.model.parameters)
