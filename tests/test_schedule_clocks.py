"""Schedules over calls of ``fit`` with other batch sizes: the learning rates, against clocks that tick step by step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.schedules import CASES

import nncore as nn
from nncore import schedules as s

ROWS = 60
PLANS = [
    [(3, 10), (1, 1), (2, 20)],  # (epochs, batch size)
    [(3, 1), (1, 10)],
    [(1, 60), (1, 7), (1, 60), (2, 5), (4, 30)],
    [(2, 20), (2, 20), (1, 11)],
]


class Ticking:
    """A schedule's value by two counters that advance step by step: whole steps, and sixtieths of an epoch."""

    def __init__(self, schedule: s.Schedule) -> None:
        self.schedule = schedule
        self.steps, self.epochs = 0, 0.0
        self.after = Ticking(schedule.after) if isinstance(schedule, s.Warmup) else None

    @property
    def time(self) -> int:
        return int(self.epochs + 1e-9) if self.schedule.per == "epoch" else self.steps

    @property
    def rising(self) -> bool:
        return self.after is not None and self.time < self.schedule.steps

    def value(self) -> float:
        if self.after is None:
            return float(self.schedule.at(np.array([self.time]))[0])
        if not self.rising:
            return self.after.value()
        start, goal = self.schedule.start, Ticking(self.schedule.after).value()
        return start + (goal - start) * (self.time + 1) / (self.schedule.steps + 1)

    def tick(self, steps_per_epoch: int) -> None:
        if self.after is not None and not self.rising:
            self.after.tick(steps_per_epoch)
        self.steps += 1
        self.epochs += 1 / steps_per_epoch

    def expected(self, plan: list[tuple[int, int]]) -> list[list[float]]:
        """The values of all steps, epoch by epoch."""
        rates = []
        for epochs, batch in plan:
            per_epoch = -(-ROWS // batch)
            for _ in range(epochs):
                rates.append([])
                for _ in range(per_epoch):
                    rates[-1].append(self.value())
                    self.tick(per_epoch)
        return rates


def variants() -> dict[str, s.Schedule]:
    """Every schedule by step and by epoch, also after a warmup by either; warmups of warmups."""
    found: dict[str, s.Schedule] = {}
    for case, (schedule, _) in CASES.items():
        for per in ("step", "epoch") if "per" in schedule.config() else ("step",):
            change = {"per": per} if "per" in schedule.config() else {}
            own = s.as_schedule({"schedule": schedule.name, **schedule.config(), **change})
            found[f"{case} by {per}"] = own
            for steps, by in ((2, "epoch"), (0, "epoch"), (12, "step"), (10, "step"), (1, "step")):
                found[f"{steps} {by}s up, then {case} by {per}"] = s.Warmup(own, steps=steps, per=by)
    return found


VARIANTS = variants()


def trainer_with(schedule: s.Schedule) -> nn.Trainer:
    return nn.Trainer(nn.Sequential([nn.Dense(1)], 1), "squared_error", nn.SGD(lr=schedule))


def seen(trainer: nn.Trainer, plan: list[tuple[int, int]]) -> None:
    for epochs, batch in plan:
        trainer.fit(np.zeros((ROWS, 1)), np.zeros(ROWS), epochs=epochs, batch_size=batch, verbose=0)


@pytest.mark.parametrize("plan", PLANS, ids=str)
@pytest.mark.parametrize("name", VARIANTS)
def test_rates_of_a_training(name: str, plan: list[tuple[int, int]]) -> None:
    trainer = trainer_with(VARIANTS[name])
    seen(trainer, plan)
    last = [epoch[-1] for epoch in Ticking(VARIANTS[name]).expected(plan)]
    np.testing.assert_allclose(trainer.history["lr"], last, rtol=1e-12)


def test_rates_of_every_step() -> None:
    """From the optimizer's coefficients, in portions of any length."""
    name = "10 steps up, then warmup by epoch"
    optimizer, rates = nn.SGD(lr=VARIANTS[name]), []
    for epochs, batch in PLANS[0]:
        per_epoch = ROWS // batch
        optimizer.begin_epoch()
        left = epochs * per_epoch
        while left:
            portion = min(left, 4)
            rates += optimizer.hyper_values(portion, per_epoch)["lr"].tolist()
            optimizer.advance(portion, per_epoch)
            left -= portion
    np.testing.assert_allclose(rates, np.concatenate(Ticking(VARIANTS[name]).expected(PLANS[0])), rtol=1e-12)


@pytest.mark.parametrize("wrap", [lambda optimizer: optimizer, nn.EMA], ids=["alone", "wrapped"])
def test_a_restored_training_continues_with_the_same_rates(wrap: Any, tmp_path: Path) -> None:
    schedule = VARIANTS["2 epochs up, then exponential by step"]

    def trainer() -> nn.Trainer:
        model = nn.Sequential([nn.Dense(1)], 1, seed=0)
        return nn.Trainer(model, "squared_error", wrap(nn.SGD(lr=schedule)))

    whole, first, second = trainer(), trainer(), trainer()
    seen(whole, PLANS[0])
    seen(first, PLANS[0][:1])
    first.save(tmp_path / "half")
    second.restore(tmp_path / "half")
    seen(second, PLANS[0][1:])
    assert second.history["lr"].tolist() == whole.history["lr"].tolist()


def test_an_interrupted_epoch_starts_again() -> None:
    """The steps of the interrupted epoch count as steps, but not as a part of an epoch."""
    optimizer = nn.SGD(lr=s.Warmup(s.Exponential(1.0, gamma=0.5), steps=1, per="epoch"))
    for steps in (6, 3):
        optimizer.begin_epoch()
        optimizer.advance(steps, 6)
    optimizer.begin_epoch()
    assert optimizer.hyper_values(2, 6)["lr"].tolist() == [0.5**3, 0.5**4]  # since step 6, where epoch 1 began
    optimizer.lr = s.Exponential(1.0, gamma=0.5, per="epoch")
    assert optimizer.hyper_values(7, 6)["lr"].tolist() == [0.5] * 6 + [0.25]


@pytest.mark.parametrize(
    "table",
    [np.zeros((1, 2), np.int64), np.array([[0.0, 0.0, 1.0]]), np.array([[0, 0, 0]]), np.array([[5, 1, 5], [5, 2, 5]])],
    ids=["shape", "dtype", "no steps", "not ascending"],
)
def test_damaged_state(table: Any) -> None:
    optimizer = nn.SGD()
    with pytest.raises(ValueError, match="stretches"):
        optimizer.load_state_dict({**optimizer.state_dict(), "step_count": 9, "stretches": table})
    assert optimizer.step_count == 0


def test_a_state_without_stretches() -> None:
    """As written by older versions: earlier epochs are assumed to have had the present length."""
    optimizer = nn.SGD(lr=s.Warmup(s.Exponential(1.0, gamma=0.5), steps=2, per="epoch"))
    state = {**optimizer.state_dict(), "step_count": 18, "epochs": 3}
    del state["stretches"]
    optimizer.load_state_dict(state)
    assert optimizer.hyper_values(1, 6)["lr"].tolist() == [0.5**6]
