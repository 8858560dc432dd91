"""Compiled programs are cached by the loss: one for equal losses, never one for two that differ."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nncore as nn
from nncore import losses
from nncore.losses import LOSSES, Huber, PythonLoss, SquaredError
from nncore.program import compiled

X, Y = np.random.default_rng(0).normal(size=(10, 2)), np.zeros(10)


@pytest.fixture
def compilations(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    made: list[Any] = []
    init = compiled.Compiled.__init__

    def counted(self: Any, *args: Any, **kwargs: Any) -> None:
        made.append(self)
        init(self, *args, **kwargs)

    monkeypatch.setattr(compiled.Compiled, "__init__", counted)
    return lambda: len(made)


def model() -> nn.Sequential:
    return nn.Sequential([nn.Dense(1)], input_shape=2, dtype="float64", seed=0)


def square(y: Any, d: Any) -> Any:
    return ((y - d) ** 2)[:, 0], 2 * (y - d)


class Scaled(SquaredError):
    """A loss with an attribute that is not in its config."""

    def __init__(self, factor: float) -> None:
        self.factor = factor

    def emit(self, *args: Any, **kwargs: Any) -> Any:
        return PythonLoss(lambda y, d: tuple(self.factor * part for part in square(y, d))).emit(*args, **kwargs)


class Caller:
    """Callable, and equal to every other: not usable as a key."""

    def __init__(self, factor: float) -> None:
        self.factor = factor

    def __call__(self, y: Any, d: Any) -> Any:
        return tuple(self.factor * part for part in square(y, d))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Caller)

    __hash__ = None  # type: ignore[assignment]

    def method(self, y: Any, d: Any) -> Any:
        return self(y, d)


@pytest.mark.parametrize(
    "loss",
    [square, Caller(1.0), Caller(1.0).method, functools.partial(square), "squared_error", Huber(2.0), Scaled(3.0)],
    ids=["function", "object", "method", "partial", "name", "config", "subclass"],
)  # fmt: skip
def test_one_loss_is_compiled_once(loss: Any, compilations: Callable[[], int]) -> None:
    network = model()
    values = {network.loss_and_gradient(X, Y, loss)[0] for _ in range(5)}
    assert compilations() == 1
    assert len(values) == 1


def test_methods_of_two_objects_and_of_one(compilations: Callable[[], int]) -> None:
    network, one = model(), Caller(1.0)
    first = [network.loss_and_gradient(X, Y, one.method)[0] for _ in range(3)]
    assert compilations() == 1
    assert network.loss_and_gradient(X, Y, Caller(2.0).method)[0] == 2 * first[0]


@pytest.mark.parametrize("make", [Scaled, Caller], ids=["subclass", "object"])
def test_two_losses_do_not_share_a_program(make: Any) -> None:
    network = model()
    plain = network.loss_and_gradient(X, Y, square)[0]
    for factor in range(1, 20):  # some at the address of one that was deleted
        value, _ = network.loss_and_gradient(X, Y, make(float(factor)))
        assert value == pytest.approx(factor * plain)


def test_a_changed_constant_is_another_program() -> None:
    network, loss = model(), Huber(1.0)
    before = network.loss_and_gradient(100 * X, Y, loss)[0]
    loss.delta = 0.5
    assert network.loss_and_gradient(100 * X, Y, loss)[0] == network.loss_and_gradient(100 * X, Y, Huber(0.5))[0] < before


def test_keys_of_all_losses() -> None:
    keys = [loss().key() for loss in LOSSES.values()]
    assert len(set(keys)) == len(LOSSES)
    assert keys == [loss().key() for loss in LOSSES.values()]
    assert Huber(1.0).key() != Huber(2.0).key()
    assert losses.get(square).key() == losses.get(square).key()


class OwnPenalty(nn.Regularizer):
    """Its strength is no field: assignments to it are not counted."""

    def __init__(self, strength: float) -> None:
        self.l2 = strength


class OwnClip(nn.ClipValue):
    def __init__(self, scale: float) -> None:
        super().__init__(1.0)
        self.scale = scale

    def ops(self, *args: Any) -> Any:
        return nn.ClipValue(self.scale).ops(*args)

    def __repr__(self) -> str:
        return "OwnClip()"


class Settings:
    """Hashable, by its identity."""

    def __init__(self, delta: float) -> None:
        self.delta = delta


class OwnHuber(Huber):
    def __init__(self, delta: float) -> None:
        super().__init__()
        self.settings = Settings(delta)

    @property
    def constants(self) -> tuple[float, ...]:
        return (self.settings.delta,)


def per_layer(strength: float) -> dict[str, nn.Regularizer]:
    return {"dense_1": OwnPenalty(strength)}


CHANGES: dict[str, tuple[Callable[[float], dict[str, Any]], Callable[[nn.Trainer, float], None]]] = {
    "penalty": (lambda s: {"regularizer": OwnPenalty(s)}, lambda t, s: setattr(t.regularizer, "l2", s)),
    "L2": (lambda s: {"regularizer": nn.L2(s)}, lambda t, s: setattr(t.regularizer, "l2", s)),
    "by layer": (lambda s: {"regularizer": per_layer(s)}, lambda t, s: setattr(t.regularizer.penalties["dense_1"], "l2", s)),
    "clip": (lambda s: {"clip": OwnClip(s)}, lambda t, s: setattr(t.clip, "scale", s)),
    "loss": (lambda s: {"loss": OwnHuber(s)}, lambda t, s: setattr(t.loss.settings, "delta", s)),
    "metric": (lambda s: {"metrics": [OwnHuber(s)]}, lambda t, s: setattr(t.metrics[0].loss.settings, "delta", s)),
}


@pytest.mark.parametrize("call", ["fit", "evaluate"])
@pytest.mark.parametrize("part", CHANGES)
def test_programs_follow_what_changes_between_calls(part: str, call: str) -> None:
    make, change = CHANGES[part]

    def trainer(strength: float) -> nn.Trainer:
        return nn.Trainer(model(), **{"loss": "squared_error", "optimizer": nn.SGD(0.1), **make(strength)})

    def results(trainer: nn.Trainer) -> Any:
        if call == "evaluate":
            return trainer.evaluate(X, Y + 5)
        return trainer.fit(X, Y + 5, verbose=0).row(len(trainer.history)), trainer.model.parameters.tolist()

    changed, new = trainer(0.1), trainer(0.7)
    first = changed.model.parameters.copy()
    assert (results(changed) == results(new)) == ((part, call) == ("clip", "evaluate"))
    changed.model.parameters = new.model.parameters = first
    change(changed, 0.7)
    assert results(changed) == results(new)
