"""ReduceLROnPlateau: counts like PyTorch and like Keras, is restored from a checkpoint, and works in a training."""

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import nncore as nn

X = np.random.default_rng(0).standard_normal((60, 3))
Y = (X.sum(axis=1) + np.random.default_rng(1).standard_normal(60) > 0).astype(int)


def rates(plateau: nn.ReduceLROnPlateau, values: list[float], lr: float = 1.0) -> list[float]:
    """The rate after each epoch."""
    trainer: Any = SimpleNamespace(optimizer=nn.SGD(lr=lr))
    plateau.on_train_begin(trainer)
    result = []
    for epoch, value in enumerate(values, 1):
        plateau.on_epoch_end(trainer, epoch, {plateau.monitor: value})
        result.append(trainer.optimizer.lr)
    return result


def curves() -> list[list[float]]:
    rng = np.random.default_rng(7)
    falling = [np.round(1 / np.arange(1, 41) + 0.1 * rng.random(40), 2).tolist() for _ in range(20)]
    return [*falling, [1.0] * 40, np.linspace(1, 2, 40).tolist()]


def keras_rates(
    values: list[float], factor: float, patience: int, min_delta: float, cooldown: int, min_lr: float
) -> list[float]:
    """The loop of Keras 3 for mode "min", according to its documentation and source."""
    lr, best, wait, cooldown_counter, result = 1.0, math.inf, 0, 0, []
    for value in values:
        if cooldown_counter > 0:
            cooldown_counter -= 1
            wait = 0
        if value < best - min_delta:
            best, wait = value, 0
        elif cooldown_counter <= 0:
            wait += 1
            if wait >= patience and lr > min_lr:
                lr = max(lr * factor, min_lr)
                cooldown_counter, wait = cooldown, 0
        result.append(lr)
    return result


@pytest.mark.parametrize("cooldown", [0, 1, 3])
@pytest.mark.parametrize("patience", [0, 1, 2, 5])
def test_counts_like_keras(patience: int, cooldown: int) -> None:
    reduced = 0
    for values in curves():
        kw: dict[str, Any] = {"factor": 0.5, "patience": patience, "cooldown": cooldown, "min_lr": 0.01}
        got = rates(nn.ReduceLROnPlateau("loss", threshold=0.031, threshold_mode="abs", **kw), values)
        assert got == keras_rates(values, min_delta=0.031, **kw)
        reduced += got[-1] < 1
    assert reduced == len(curves())


@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize("threshold_mode", ["rel", "abs"])
@pytest.mark.parametrize("cooldown", [0, 1, 3])
@pytest.mark.parametrize("patience", [0, 1, 2, 5])
def test_counts_like_torch(patience: int, cooldown: int, threshold_mode: Any, mode: Any, torch: Any) -> None:
    for values in curves():
        kw: dict[str, Any] = {
            "factor": 0.5, "patience": patience, "cooldown": cooldown, "min_lr": 0.01, "threshold": 0.031,
            "threshold_mode": threshold_mode, "mode": mode,
        }  # fmt: skip
        optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
        theirs, want = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, **kw), []
        for value in values:
            theirs.step(value)
            want.append(optimizer.param_groups[0]["lr"])
        assert rates(nn.ReduceLROnPlateau("loss", counting="pytorch", **kw), values) == want


def test_the_two_counts_differ_by_one() -> None:
    flat = [1.0] * 9
    assert rates(nn.ReduceLROnPlateau("loss", patience=3), flat).index(0.1) == 3
    assert rates(nn.ReduceLROnPlateau("loss", patience=3, counting="pytorch"), flat).index(0.1) == 4


def test_the_threshold_is_relative_to_the_size_of_a_negative_best() -> None:
    plateau = nn.ReduceLROnPlateau("score", patience=1, threshold=0.1, mode="min")
    assert rates(plateau, [-1.0, -1.05, -1.2]) == [1.0, 0.1, 0.1]
    assert plateau.best == -1.2
    assert plateau.reductions == [2]


def test_nan_is_no_improvement_and_a_small_rate_is_not_raised() -> None:
    assert rates(nn.ReduceLROnPlateau("loss", patience=1), [math.nan, math.nan])[-1] == pytest.approx(0.01)
    assert rates(nn.ReduceLROnPlateau("loss", patience=1, min_lr=0.5), [1.0, 1.0, 1.0], lr=0.2) == [0.2] * 3


def make(lr: float = 2.0) -> nn.Trainer:
    return nn.Trainer(nn.Sequential([nn.Dense(1)], input_shape=3, seed=2), "sigmoid_cross_entropy", nn.SGD(lr=lr))


def callbacks() -> list[nn.Callback]:
    plateau = nn.ReduceLROnPlateau("running_loss", factor=0.5, patience=2, cooldown=1, threshold=0.02)
    return [plateau, nn.EarlyStopping("running_loss", patience=13, min_delta=0.02)]


def fit(trainer: nn.Trainer, epochs: int, mine: list[nn.Callback]) -> nn.Trainer:
    trainer.fit(X, Y, epochs=epochs, batch_size=8, callbacks=mine, verbose=0)
    return trainer


def test_in_a_training() -> None:
    """The learning rate in the history is halved at each reduction, and the steps use it."""
    plateau = callbacks()[0]
    assert isinstance(plateau, nn.ReduceLROnPlateau)
    trainer = fit(make(), 12, [plateau])
    assert len(plateau.reductions) >= 2
    want = [2.0 * 0.5 ** sum(r < epoch for r in plateau.reductions) for epoch in range(1, 13)]
    assert trainer.history["lr"].tolist() == want
    by_hand = make()
    for rate in want:
        by_hand.optimizer.lr = rate
        fit(by_hand, 1, [])
    assert by_hand.model.parameters.tobytes() == trainer.model.parameters.tobytes()


@pytest.mark.parametrize("cut", range(1, 12, 2))
def test_resuming_makes_the_same_decisions(cut: int, tmp_path: Path) -> None:
    """From a checkpoint that a callback wrote, in a trainer with the initial rate."""
    whole, mine = make(), callbacks()
    fit(whole, 40, [*mine, nn.ModelCheckpoint(tmp_path / "net-{epoch}")])
    assert len(mine[0].reductions) >= 2  # type: ignore[attr-defined]
    assert whole.epochs_done < 40
    resumed, others = make(), callbacks()
    resumed.restore(tmp_path / f"net-{cut}")
    resumed.save(tmp_path / "again")  # a state that no fit has used yet is kept
    resumed = make()
    resumed.restore(tmp_path / "again")
    fit(resumed, 40 - cut, others)
    assert resumed.model.parameters.tobytes() == whole.model.parameters.tobytes()
    assert resumed.history == whole.history
    assert resumed.optimizer.lr == whole.optimizer.lr
    for one, other in zip(mine, others, strict=True):
        state, want = other.state_dict(), one.state_dict()
        assert state.keys() == want.keys()
        assert all(np.array_equal(state[name], want[name]) for name in want)


def test_a_second_fit_starts_counting_anew() -> None:
    trainer, mine = make(), callbacks()
    fit(trainer, 12, mine)
    state = mine[0].state_dict()
    fit(trainer, 1, mine)
    assert mine[0].state_dict() != state
    assert mine[0].reductions == []  # type: ignore[attr-defined]


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "factor 1": ({"factor": 1.0}, "factor"), "factor 0": ({"factor": 0}, "factor"), "patience": ({"patience": -1}, "patience"),
    "patience half": ({"patience": 1.5}, "patience"), "threshold": ({"threshold": -1e-4}, "threshold"),
    "threshold mode": ({"threshold_mode": "relative"}, "threshold_mode must be 'rel' or 'abs', got 'relative'"),
    "cooldown": ({"cooldown": -1}, "cooldown"), "min_lr": ({"min_lr": -1.0}, "min_lr"), "mode": ({"mode": "least"}, "mode"),
    "counting": ({"counting": "torch"}, "counting must be 'keras' or 'pytorch', got 'torch'"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_arguments(case: str) -> None:
    arguments, message = BAD[case]
    with pytest.raises((ValueError, TypeError), match=message):
        nn.ReduceLROnPlateau(**arguments)


def test_a_scheduled_rate_is_refused() -> None:
    trainer = make()
    trainer.optimizer.lr = nn.schedules.Exponential(0.1, 0.9)
    with pytest.raises(ValueError, match=r"ReduceLROnPlateau needs an optimizer whose lr is a number.*Exponential"):
        fit(trainer, 3, [nn.ReduceLROnPlateau("running_loss")])
    assert trainer.epochs_done == 0
    for optimizer in ("rprop", "delta_bar_delta"):
        trainer = nn.Trainer(nn.Sequential([nn.Dense(1)], input_shape=3), "sigmoid_cross_entropy", optimizer)
        with pytest.raises(ValueError, match="ReduceLROnPlateau needs an optimizer whose lr"):
            trainer.fit(X, Y, batch_size=60, callbacks=[nn.ReduceLROnPlateau("running_loss")], verbose=0)
    with pytest.raises(ValueError, match="column, got 'val_loss'"):
        fit(make(), 3, [nn.ReduceLROnPlateau()])
