"""Values of coming steps are kept from call to call; and yet each call is as if nothing had been kept from the one before."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nncore as nn
from nncore.optimizers import OPTIMIZERS, Optimizer
from nncore.training.coming import ComingSteps

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(12, 3)), RNG.integers(0, 2, 12)
EPOCHS = nn.schedules.StepDecay(0.1, every=2, factor=0.5, per="epoch")

MAKERS: dict[str, Callable[[], Optimizer]] = {
    **OPTIMIZERS,
    "ema": lambda: nn.EMA(nn.Adam()),
    "noise": lambda: nn.GradientNoise(nn.Nesterov()),
    "scheduled": lambda: nn.Adam(lr=nn.schedules.Warmup(nn.schedules.Cosine(0.1, steps=40), steps=7)),
    "scheduled per epoch": lambda: nn.NAdam(lr=EPOCHS, betas=(nn.schedules.Polynomial(0.9, steps=30, final=0.5), 0.99)),
}


def trainer_with(optimizer: Optimizer) -> nn.Trainer:
    r_max = nn.schedules.Polynomial(1.0, steps=25, final=3.0)
    layers = [nn.Dense(4), nn.BatchRenorm(r_max=r_max), nn.Tanh(), nn.Dropout(0.2), nn.Dense(2)]
    model = nn.Sequential(layers, input_shape=3, dtype="float64", seed=1)
    penalty = nn.L1(1e-3) if "lr" in optimizer.hyperparameters else None
    return nn.Trainer(model, "softmax_cross_entropy", optimizer, regularizer=penalty)


def change_lr(trainer: nn.Trainer) -> None:
    trainer.optimizer.lr = 0.0625


def change_loss(trainer: nn.Trainer) -> None:
    trainer.loss = "mean_squared_error"


def clip(trainer: nn.Trainer) -> None:
    trainer.clip = nn.ClipGlobalNorm(0.5)


def without_penalty(trainer: nn.Trainer) -> None:
    trainer.regularizer = None


def step_by_hand(trainer: nn.Trainer) -> None:
    trainer.optimizer.step(trainer.model.parameters, np.full(trainer.model.parameters.size, 0.5))
    if isinstance(trainer.optimizer, nn.optimizers.GradientOptimizer):
        trainer.optimizer.finish(trainer.model.parameters)


def fit(trainer: nn.Trainer) -> None:
    trainer.fit(X, Y, epochs=3, batch_size=5, verbose=0)


def other_batches(trainer: nn.Trainer) -> None:
    trainer.partial_fit(X, Y, batch_size=4)


def nothing(trainer: nn.Trainer) -> None:
    pass


CHANGES = [nothing, change_lr, change_loss, clip, without_penalty, step_by_hand, fit, other_batches]


def everything(trainer: nn.Trainer) -> tuple[Any, ...]:
    state = {name: np.asarray(value).tolist() for name, value in trainer.optimizer.state_dict().items()}
    return trainer.model.parameters.tobytes(), state, trainer.epochs_done


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
@pytest.mark.parametrize("name", MAKERS)
def test_the_same_bits_as_from_trainers_made_anew(name: str, change: Callable[[nn.Trainer], None]) -> None:
    kept, anew = trainer_with(MAKERS[name]()), trainer_with(MAKERS[name]())
    if kept.optimizer.full_batch_only and change in (fit, other_batches):
        pytest.skip("takes the full batch only")
    if change is change_lr and "lr" not in kept.optimizer.hyperparameters:
        pytest.skip("has no learning rate")
    rows: list[dict[str, float]] = []
    for call in range(24):
        if call == 17:  # coming steps are known by then
            change(kept)
        rows.append(kept.partial_fit(X, Y))
    for call in range(24):  # not in turn with the other: copying counts as assignments, after which nothing is known
        if call == 17:
            change(anew)
        anew = copy.deepcopy(anew)
        assert rows[call] == anew.partial_fit(X, Y)
    assert everything(kept) == everything(anew)


def test_coming_steps_are_computed_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    computed: list[int] = []
    compute = ComingSteps._compute

    def counting(self: ComingSteps, steps: int, steps_per_epoch: int) -> None:
        computed.append(steps)
        compute(self, steps, steps_per_epoch)

    monkeypatch.setattr(ComingSteps, "_compute", counting)
    trainer = trainer_with(nn.Adam())
    for _ in range(200):
        trainer.partial_fit(X, Y)
    assert computed == [1, 2, 4, 8, 16, 32, 64, 64, 64]


class OwnSchedule(nn.schedules.Schedule):
    """Its values depend on something that is no field."""

    name = "own"
    rate = 0.5

    def at(self, t: Any) -> Any:
        return np.full(len(t), self.rate)


def test_a_schedule_of_the_users_is_asked_in_each_call() -> None:
    schedule = OwnSchedule()
    model = nn.Sequential([nn.Dense(1, weight_init="zeros")], input_shape=1, dtype="float64")
    trainer = nn.Trainer(model, "squared_error", nn.SGD(lr=schedule))
    for rate in (0.5, 0.25, 0.125, 0.0625):
        OwnSchedule.rate = rate
        w, b = float(model.layers[0].weight[0, 0]), float(model.layers[0].bias[0])
        trainer.partial_fit([[1.0]], [1.0])
        expected = w - rate * (w + b - 1)
        assert model.layers[0].weight[0, 0] == pytest.approx(expected, abs=1e-15)
    OwnSchedule.rate = 0.5


def test_a_schedule_that_ends_badly_raises_when_it_does() -> None:
    trainer = trainer_with(nn.Momentum(lr=nn.schedules.Polynomial(0.1, steps=10, final=-0.05)))
    trainer.regularizer = None
    for _ in range(7):
        trainer.partial_fit(X, Y)
    with pytest.raises(ValueError, match="lr must be a finite number of at least 0"):
        trainer.partial_fit(X, Y)  # 0.1 − 0.015 t is negative from there on
    assert trainer.optimizer.step_count == 7


class Ends(nn.schedules.Schedule):
    """NaN from some step on."""

    name = "ends"
    last = 3000

    def at(self, t: Any) -> Any:
        return np.where(np.asarray(t) < self.last, 1e-3, np.nan)


@pytest.mark.parametrize("last", [0, 1, 7, 8, 3000, 3001])
def test_training_goes_on_until_a_schedule_is_invalid(last: int) -> None:
    schedule = Ends("step")
    schedule.last = last
    model = nn.Sequential([nn.Dense(1)], input_shape=3, dtype="float64", seed=0)
    trainer = nn.Trainer(model, "squared_error", nn.SGD(lr=schedule))
    with pytest.raises(ValueError, match="lr must be a finite number of at least 0, got nan"):
        trainer.fit(X, Y, epochs=2000, batch_size=3, verbose=0)  # of 4 steps
    assert trainer.optimizer.step_count == last
    assert trainer.epochs_done == len(trainer.history) == last // 4


def test_a_failed_step_of_training_is_tried_again_with_new_values_of_a_users_schedule() -> None:
    schedule = OwnSchedule()
    model = nn.Sequential([nn.Dense(1, weight_init="zeros")], input_shape=1, dtype="float64")
    trainer = nn.Trainer(model, "squared_error", nn.SGD(lr=schedule))
    model.parameters[...] = 1e200
    with pytest.raises(nn.DivergenceError):
        trainer.partial_fit([[1.0]], [-1.0])
    model.parameters[...] = 0
    schedule.rate = 0.125
    trainer.partial_fit([[1.0]], [-1.0])
    assert model.parameters.tolist() == [-0.125, -0.125]  # the loss is (y - d)^2 / 2
