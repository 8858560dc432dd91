"""Epochs whose length changes often: schedules count correctly, in a time that does not grow with the number of changes."""

from __future__ import annotations

import itertools
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

import nncore as nn
from nncore import schedules
from nncore.schedules import Clock


def drawn(seed: int, n: int = 60) -> list[tuple[int, int]]:
    """The lengths of epochs and the steps taken of each: usually all, some were interrupted and restarted."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, 5, n)
    return [(int(length), int(length if rng.random() < 0.8 else rng.integers(0, length))) for length in lengths]


def walked(optimizer: nn.optimizers.Optimizer, epochs: list[tuple[int, int]]) -> tuple[list[Fraction], list[int]]:
    """Let the optimizer count these epochs; returns the time in epochs at each step, counted one by one, and its step."""
    times: list[Fraction] = []
    begins, whole = [], 0
    for length, taken in epochs:
        optimizer.begin_epoch()
        begins.append(len(times))
        times += [whole + Fraction(step, length) for step in range(taken)]
        whole += taken == length
        for _ in range(taken):
            optimizer.advance(1, length)
    return times, begins


@pytest.mark.parametrize("seed", range(8))
def test_the_clock_against_counting(seed: int) -> None:
    optimizer = nn.SGD()
    times, _ = walked(optimizer, drawn(seed))
    optimizer.begin_epoch()
    now, whole = len(times), optimizer.epochs
    expected = [*times, *(whole + Fraction(step, 3) for step in range(7))]
    clock = optimizer.clock(3)
    assert clock.time("epoch", 0, now + 7).tolist() == [int(time) for time in expected]
    for first, steps in itertools.product(range(0, now + 5, 3), (1, 2)):
        assert clock.time("epoch", first, steps).tolist() == [int(time) for time in expected[first : first + steps]]
    for epoch in range(whole + 2):
        assert clock.step_of("epoch", epoch) == next(step for step, time in enumerate(expected) if time >= epoch)
    for begin in range(0, now + 5, 4):  # the schedule's own epochs, from the middle of one
        restarted = clock.restarted(begin)
        assert restarted.time("epoch", begin, now + 7 - begin).tolist() == [
            max(int((time - expected[begin]) // 1), 0) for time in expected[begin:]
        ]


@pytest.mark.parametrize("wrap", [lambda lr: nn.SGD(lr=lr), lambda lr: nn.EMA(nn.Adam(lr=lr))])
@pytest.mark.parametrize(
    "schedule",
    [
        schedules.StepDecay(0.1, every=7, per="epoch"),
        schedules.Warmup(schedules.StepDecay(0.1, every=5, per="epoch"), steps=9),
        schedules.Warmup(schedules.Exponential(0.1, 0.9), steps=4, per="epoch"),
    ],
)
def test_the_cost_of_a_search_does_not_grow(wrap: Any, schedule: schedules.Schedule) -> None:
    class Counted(list[Any]):
        looked = 0

        def __getitem__(self, key: Any) -> Any:
            Counted.looked += len(range(len(self))[key]) if isinstance(key, slice) else 1
            return super().__getitem__(key)

        def __iter__(self) -> Any:
            Counted.looked += len(self)
            return super().__iter__()

    X, y = np.ones((8, 2)), np.ones(8)
    trainer = nn.Trainer(nn.Sequential([nn.Dense(1)], input_shape=2), "squared_error", wrap(schedule))
    looked = []
    for changes in (30, 30_000):
        vars(trainer.optimizer._shared)["stretches"] = Counted((2 * epoch, epoch, 2 + epoch % 2) for epoch in range(changes))
        trainer.optimizer.step_count, trainer.optimizer.epochs = 2 * changes, changes
        for batch in (4, 2, 4, 2):
            before = Counted.looked
            trainer.partial_fit(X, y, batch_size=batch)
            looked.append(Counted.looked - before)
        assert len(trainer.optimizer.stretches) == changes + 4
    assert max(looked[4:]) <= 4 * max(looked[:4])  # a thousand times as many: a search takes ten more comparisons


def test_old_clocks_are_unchanged() -> None:
    clock = Clock([(0, 0, 2), (4, 2, 3)], last=(4, 2, 5))
    assert clock.time("epoch", 0, 10).tolist() == [0, 0, 1, 1, 2, 2, 2, 2, 2, 3]
