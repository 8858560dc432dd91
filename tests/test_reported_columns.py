"""The reported columns and their values, with losses, weights, penalties and samplers combined."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.networks import Affine, by_hand, classes, close, half_squares, numbers, same_training, sparse_trainer

import nncore as nn
from nncore import samplers
from nncore.program import autotune
from nncore.second_order import ConditioningMonitor


@pytest.mark.parametrize("loss", ["squared_error", half_squares])
@pytest.mark.parametrize("batch", [1, 7, 40])
def test_reported_columns_equal_numpy(loss: Any, batch: int) -> None:
    rng = np.random.default_rng(1)
    X, y, w = rng.standard_normal((40, 3)), rng.standard_normal((40, 2)), rng.uniform(0, 3, 40)
    trainer = sparse_trainer(loss)
    plain, weighted = by_hand(trainer, X, y)[0], by_hand(trainer, X, y, w)[0]
    close(trainer.evaluate(X, y), plain)
    close(trainer.evaluate(X, y, sample_weight=w), weighted)
    history = trainer.fit(
        X, y, sample_weight=w, batch_size=batch, verbose=0, exact_loss=True, validation_data=(X, y, w)
    )  # fmt: skip
    row = {name: float(history[name][0]) for name in history}
    close({name: row[name] for name in weighted}, weighted)
    close({name: row[f"running_{name}"] for name in weighted}, weighted)
    close({name: row[f"val_{name}"] for name in weighted}, weighted)
    assert len(row) == 3 * len(weighted) + 1  # and lr


def test_importance_sampling_reports_its_examples() -> None:
    rng = np.random.default_rng(1)
    X, y, w = rng.standard_normal((40, 3)), rng.standard_normal((40, 2)), rng.uniform(0, 3, 40)
    trainer = sparse_trainer()
    sampler = samplers.ImportanceSampling(mix=0.4)
    row, each = by_hand(trainer, X, y, w)
    history = trainer.fit(X, y, sample_weight=w, sampler=sampler, batch_size=8, verbose=0)
    p = 0.6 * each / each.sum() + 0.4 / 40
    order = sampler.order(samplers.Examples(40, trainer.seed, losses=each), 1)
    z = X[order] @ trainer.model[0].weight.T + trainer.model[0].bias
    factors = (w / (40 * p))[order]
    activity = float((factors * (0.05 * np.abs(z).sum(axis=1) + 0.02 * np.abs(np.tanh(z)).sum(axis=1))).mean())
    expected = float((each / (40 * p))[order].mean()) + activity + row["penalty"]
    assert history["running_activity_penalty"][0] == pytest.approx(activity, rel=1e-12)
    assert history["running_penalty"][0] == pytest.approx(row["penalty"], rel=1e-12)
    assert history["running_loss"][0] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("loss", ["squared_error", half_squares])
@pytest.mark.parametrize("optimizer", ["adam", "polyak"])
def test_weights_of_one_change_no_bit(loss: Any, optimizer: str) -> None:
    X, y = numbers()
    trainers = []
    for arguments in ({}, {"sample_weight": np.ones(len(X))}):
        layers = [nn.Dense(6), nn.BatchNorm(), nn.ActivityL1(0.01), nn.Tanh(), nn.Dropout(0.3), Affine(), nn.Dense(2)]
        model = nn.Sequential(layers, input_shape=3, seed=2)
        opt = nn.Adam(lr=0.01) if optimizer == "adam" else nn.PolyakAveraging(nn.SGD(lr=0.01))
        model.input_scaler = nn.data.StandardScaler().fit(X)
        model.target_scaler = nn.data.StandardScaler().fit(y)
        trainer = nn.Trainer(model, loss, opt, regularizer=nn.L2(1e-3), clip=nn.ClipNorm(1.0))
        trainer.fit(X, y, epochs=3, batch_size=8, verbose=0, **arguments)
        trainers.append(trainer)
    same_training(*trainers)


def test_lr_find_counts_all_penalties() -> None:
    rng = np.random.default_rng(1)
    X, y = rng.standard_normal((40, 3)), rng.standard_normal((40, 2))
    trainer = sparse_trainer()
    found = trainer.lr_find(X, y, start=1e-300, end=1e-290, steps=3, batch_size=40)
    expected = by_hand(trainer, X, y)[0]["loss"]
    np.testing.assert_allclose(found.losses, np.full(3, expected), rtol=1e-12)


def test_columns_do_not_collide(tmp_path: Path) -> None:
    X, y = classes()
    layers = [nn.Dense(6), nn.Tanh(), nn.Dense(3)]
    model = nn.Sequential(layers, input_shape=5, seed=1)
    schedule = nn.schedules.Exponential
    opt = nn.GradientNoise(nn.EMA(nn.Adam(lr=schedule(0.01, 0.99)), decay=schedule(0.9, 0.999)), eta=schedule(0.1, 0.99))
    trainer = nn.Trainer(
        model, "softmax_cross_entropy", opt, regularizer={"dense_1": nn.L2(0.1)}, clip=nn.ClipGlobalNorm(1.0),
        metrics=["accuracy", "softmax_cross_entropy"],
    )  # fmt: skip
    history = trainer.fit(
        X, y, epochs=3, batch_size=16, exact_loss=True, validation_data=(X, y), verbose=0, callbacks=[ConditioningMonitor(X, y)]
    )
    measured = ["loss", "accuracy", "softmax_cross_entropy", "penalty"]
    expected = {f"{prefix}{name}" for prefix in ("", "running_", "val_") for name in measured}
    expected |= {"lr", "decay", "eta", "grad_norm", "clipped", "taylor_loss", "taylor_slope", "taylor_curvature"}
    assert set(history.columns) == expected
    assert not any(np.isnan(history[column]).any() for column in history)
    loss = history["loss"][-1]
    parts = [history[column][-1] for column in ("softmax_cross_entropy", "penalty")]
    assert loss == pytest.approx(sum(parts), rel=1e-6)
    pytest.importorskip("matplotlib")
    history.plot(tmp_path / "history.png")
    assert (tmp_path / "history.png").stat().st_size > 1000


@pytest.mark.parametrize("sampler", [None, "stratified", "importance_sampling", "largest_loss_first"])
def test_python_layer_and_loss_with_weights_and_samplers(sampler: str | None) -> None:
    """The same as with the library's own squared error."""
    rng = np.random.default_rng(5)
    X = rng.standard_normal((50, 4))
    labels = (X[:, 0] > 0.3).astype(np.int64)
    y = np.eye(2)[labels]
    histories = []
    for loss in ("squared_error", half_squares):
        layers = [nn.Dense(6), Affine(), nn.Tanh(), nn.Dense(2)]
        model = nn.Sequential(layers, input_shape=4, dtype="float64", seed=1)
        trainer = nn.Trainer(
            model, loss, nn.EMA("adam"), regularizer={"affine_1": nn.L1(0.1)}, clip=nn.ClipValue(0.1),
            metrics=["mean_absolute_error"],
        )  # fmt: skip
        history = trainer.fit(
            X, y, epochs=3, batch_size=7, last_batch="merge", sampler=sampler, class_weight={0: 1.0, 1: 3.0},
            sample_weight=np.linspace(0.1, 2, 50), validation_split=0.14, verbose=0,
        )  # fmt: skip
        histories.append(history)
    assert histories[0].columns == histories[1].columns
    for column in histories[0]:
        np.testing.assert_allclose(histories[0][column], histories[1][column], rtol=1e-10, err_msg=column)


class Assigning(nn.Layer):
    """Assigns something to a trainer in the middle of the second epoch of three steps, in a portion of steps of its own."""

    assign: Any = None
    calls = 0

    def forward(self, x: Any, training: bool) -> Any:
        self.calls += training
        if self.calls == 5 and self.assign:
            self.assign()
        return x

    def backward(self, dy: Any) -> Any:
        return dy


ASSIGNED: dict[str, tuple[dict[str, Any], Any]] = {
    "clip": ({"clip": None}, nn.ClipGlobalNorm(0.01)), "no clip": ({"clip": nn.ClipGlobalNorm(0.01)}, None),
    "regularizer": ({"regularizer": None}, nn.L2(0.5)), "no regularizer": ({"regularizer": nn.ProximalL1(0.5)}, None),
}  # fmt: skip


@pytest.mark.parametrize("case", ASSIGNED)
def test_what_is_assigned_within_an_epoch_counts_from_the_next(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(autotune, "SECONDS_PER_CALL", 0.0)  # each step is a portion
    before, value = ASSIGNED[case]
    X, y = numbers()
    layer = Assigning()
    trainers = []
    for layers in ([nn.Dense(2), layer], [nn.Dense(2), Assigning()]):
        model = nn.Sequential(layers, input_shape=3, seed=2)
        trainers.append(nn.Trainer(model, "squared_error", nn.SGD(lr=1e-4), **before))
    name = next(iter(before))
    layer.assign = lambda: setattr(trainers[0], name, value)
    trainers[0].fit(X, y, epochs=4, batch_size=-(-len(X) // 3), verbose=0)
    trainers[1].fit(X, y, epochs=2, batch_size=-(-len(X) // 3), verbose=0)
    setattr(trainers[1], name, value)
    trainers[1].fit(X, y, epochs=2, batch_size=-(-len(X) // 3), verbose=0)
    assert trainers[0].model.parameters.tobytes() == trainers[1].model.parameters.tobytes()
    for name in {*trainers[0].history, *trainers[1].history}:
        np.testing.assert_array_equal(trainers[0].history[name], trainers[1].history[name])
