"""User-defined subclasses that keep an argument of their constructor under no name: they work, and are not stored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nncore as nn

X = np.random.default_rng(0).normal(size=(40, 3))
Y = X[:, 0]


class Fast(nn.Adam):
    def __init__(self, rate: float = 0.01) -> None:
        super().__init__(lr=rate)


class Decay(nn.L2):
    def __init__(self, weight: float) -> None:
        super().__init__(2 * weight)


class Wide(nn.Huber):
    def __init__(self, width: float) -> None:
        super().__init__(delta=width)


class Private(nn.schedules.Schedule):
    def __init__(self, start: float) -> None:
        super().__init__()
        self._start = start

    def at(self, t: Any) -> Any:
        return self._start / (1 + t)


class Spread(nn.initializers.Initializer):
    def __init__(self, width: float) -> None:
        self._width = width

    def sample(self, shape: tuple[int, ...], rng: np.random.Generator) -> Any:
        return rng.uniform(-self._width, self._width, shape)


def make(**parts: Any) -> nn.Trainer:
    made: dict[str, Any] = {"loss": "squared_error", "optimizer": "adam"} | parts
    return nn.Trainer(nn.Sequential([nn.Dense(1)], 3), **made)


UNKEPT = {"rate": Fast(), "weight": Decay(1.0), "width": Wide(1.0), "start": Private(0.5)}


@pytest.mark.parametrize("cls", [Decay, Wide, Private])
def test_values_are_compared_by_what_they_hold(cls: Any) -> None:
    assert cls(1.0) == cls(1.0)
    assert cls(1.0) != cls(2.0)


@pytest.mark.parametrize("name", UNKEPT)
def test_there_is_no_configuration(name: str) -> None:
    with pytest.raises(TypeError, match=rf"must return all arguments of its constructor.*; {name} is missing: keep it as an"):
        UNKEPT[name].config()  # type: ignore[attr-defined]
    assert repr(UNKEPT[name])


@pytest.mark.parametrize(
    "parts",
    [
        {"optimizer": Fast()}, {"optimizer": nn.EMA(Fast())}, {"optimizer": nn.SGD(Private(0.1))}, {"regularizer": Decay(1e-3)},
        {"loss": Wide(1.0)},
    ],
)  # fmt: skip
def test_they_train_and_are_not_stored(parts: dict[str, Any], tmp_path: Path) -> None:
    trainer = make(**parts)
    trainer.fit(X, Y, epochs=2, verbose=0, sampler="largest_loss_first")
    assert trainer.history["running_loss"][1] < trainer.history["running_loss"][0]
    with pytest.raises(TypeError, match="must return all arguments of its constructor"):
        trainer.save(tmp_path / "c")
    assert not list(tmp_path.iterdir())


def test_an_initializer_is_not_stored(tmp_path: Path) -> None:
    model = nn.Sequential([nn.Dense(2, weight_init=Spread(0.5))], 3)
    assert np.abs(model.parameters).max() <= 0.5
    assert "Spread object" in repr(model[0])
    with pytest.raises(
        TypeError, match=r"config\(\) of Spread must return all arguments of its constructor.*; width is missing"
    ):
        model.save(tmp_path / "m")


def test_restoring_into_one_is_refused(tmp_path: Path) -> None:
    make(regularizer=nn.L2(1.0)).save(tmp_path / "c")
    with pytest.raises((TypeError, ValueError), match="weight is missing"):
        make(regularizer=Decay(1.0)).restore(tmp_path / "c")
