"""Features combined in one training; each has its own tests elsewhere."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.networks import WRAPS, Affine, classes, everything, recurrent_trainer, same_training
from numpy.typing import NDArray

import nncore as nn
from nncore import samplers
from nncore.optimizers import OPTIMIZERS

Array = NDArray[Any]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_recurrent_layers_combined_with_others(dtype: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((201, 6, 4)), rng.integers(0, 3, 201)
    fit = {"batch_size": 100, "last_batch": "merge", "verbose": 0}
    before, trainers = nn.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            nn.set_num_threads(threads)
            trainer = recurrent_trainer(dtype)
            trainer.fit(X, y, epochs=4, **fit)
            trainers.append(trainer)
    finally:
        nn.set_num_threads(before)
    same_training(trainers[0], trainers[1])
    same_training(trainers[0], trainers[2])
    first, second = recurrent_trainer(dtype), recurrent_trainer(dtype)
    first.fit(X, y, epochs=1, **fit)
    first.save(tmp_path / "one")
    second.restore(tmp_path / "one")
    second.fit(X, y, epochs=3, **fit)
    same_training(trainers[0], second)
    assert max(second.model.check_gradients(X[:9], y[:9], "softmax_cross_entropy", samples=10).values()) < 1e-6


# ---- batches


@pytest.mark.parametrize("sampler", [None, *(name for name in samplers.SAMPLERS if name != "weighted")])
@pytest.mark.parametrize("norm", ["batch norm", "batch renorm"])
def test_merged_batches_with_samplers_weights_and_plateau(sampler: str | None, norm: str, tmp_path: Path) -> None:
    X, y = classes(81)
    weights = np.linspace(0.5, 2, 81)
    fit = {"batch_size": 16, "last_batch": "merge", "sampler": sampler, "sample_weight": weights, "verbose": 0}
    with pytest.raises(ValueError, match="last_batch='merge'"):
        everything("ema", norm).fit(X, y, **(fit | {"last_batch": "keep"}))
    trainers = [everything("ema", norm) for _ in range(3)]
    for trainer in trainers:
        trainer.optimizer.lr = 0.02

    def plateau() -> nn.ReduceLROnPlateau:
        return nn.ReduceLROnPlateau("running_loss", patience=1, threshold=0.3)

    through, first, second = trainers
    through.fit(X, y, epochs=6, callbacks=[plateau()], **fit)
    first.fit(X, y, epochs=3, callbacks=[plateau()], **fit)
    first.save(tmp_path / "three")
    second.restore(tmp_path / "three")
    second.fit(X, y, epochs=3, callbacks=[plateau()], **fit)
    same_training(through, second)
    assert through.optimizer.step_count == 30
    assert through.history["lr"][-1] < 0.02


@pytest.mark.parametrize("batch", [1, 83, 1000])
@pytest.mark.parametrize("sampler", [None, "importance_sampling", "stratified"])
def test_smallest_and_largest_batches(batch: int, sampler: str | None) -> None:
    X, y = classes()
    trainer = everything("polyak", "layer norm")
    trainer.fit(X, y, batch_size=batch, sampler=sampler, last_batch="merge", verbose=0, epochs=2)
    assert trainer.optimizer.step_count == 2 * (83 if batch == 1 else 1)
    assert np.isfinite(trainer.model.parameters).all()


def test_one_row_batches_and_batch_norm_are_refused() -> None:
    X, y = classes(33)
    trainer = everything("ema", "batch norm")
    theta = trainer.model.parameters.copy()
    refused: list[Callable[[], Any]] = [
        lambda: trainer.fit(X, y, batch_size=1, verbose=0),
        lambda: trainer.fit(X, y, batch_size=1, last_batch="merge", verbose=0),
        lambda: trainer.fit(X, y, batch_size=32, verbose=0),
        lambda: trainer.fit(X, y, batch_size=32, sampler="importance_sampling", verbose=0),
        lambda: trainer.partial_fit(X[:1], y[:1]),
        lambda: trainer.partial_fit(X, y, batch_size=16),
        lambda: trainer.lr_find(X, y, batch_size=32),
        lambda: trainer.lr_find(X, y, batch_size=1),
        lambda: trainer.model.loss_and_gradient(X[:1], y[:1], "softmax_cross_entropy"),
        lambda: trainer.model.check_gradients(X[:1], y[:1], "softmax_cross_entropy"),
    ]
    for call in refused:
        with pytest.raises(ValueError, match=r"batch_norm_1.*at least 2"):
            call()
    assert np.array_equal(trainer.model.parameters, theta)
    assert trainer.epochs_done == trainer.optimizer.step_count == 0


def test_partial_fit_is_a_step_of_fit() -> None:
    X, y = classes()
    weights = np.linspace(0.5, 2, len(X))
    a, b = everything("ema", "batch norm"), everything("ema", "batch norm")
    b.fit(X, y, epochs=4, batch_size=len(X), shuffle=False, sample_weight=weights, verbose=0)
    for epoch in range(4):
        row = a.partial_fit(X, y, sample_weight=weights)
        assert row["running_loss"] == b.history["running_loss"][epoch]
    assert np.array_equal(a.model.parameters, b.model.parameters)
    assert np.array_equal(a.model.state, b.model.state)


def test_two_models_in_two_threads() -> None:
    X, y = classes(200)
    alone = [everything(wrap, "batch norm", dtype) for wrap, dtype in (("ema", "float32"), ("noise in ema", "float64"))]
    together = [everything(wrap, "batch norm", dtype) for wrap, dtype in (("ema", "float32"), ("noise in ema", "float64"))]
    for trainer in alone:
        trainer.fit(X, y, epochs=8, batch_size=16, verbose=0)
    errors: list[BaseException] = []

    def train(trainer: nn.Trainer) -> None:
        try:
            trainer.fit(X, y, epochs=8, batch_size=16, verbose=0)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=train, args=(trainer,)) for trainer in together]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    for a, b in zip(alone, together, strict=True):
        same_training(a, b)


@pytest.mark.parametrize("wrap", WRAPS)
def test_lr_find_changes_nothing(wrap: str) -> None:
    X, y = classes()
    trainer, other = everything(wrap, "batch norm"), everything(wrap, "batch norm")
    for t in (trainer, other):
        t.fit(X, y, epochs=1, batch_size=16, verbose=0)
    assert len(trainer.lr_find(X, y, steps=40, batch_size=20).lrs) > 5
    same_training(trainer, other)


# ---- divergence

DIVERGING: dict[str, Callable[[], list[nn.Layer]]] = {
    "plain": lambda: [nn.Dense(4), nn.ReLU(), nn.Dense(2)],
    "batch norm": lambda: [nn.Dense(4), nn.BatchNorm(), nn.ReLU(), nn.Dense(2)],
    "batch renorm": lambda: [nn.Dense(4), nn.BatchRenorm(), nn.ReLU(), nn.Dense(2)],
    "batch norm first": lambda: [nn.BatchNorm(), nn.Dense(4), nn.ReLU(), nn.Dense(2)],
    "weight norm": lambda: [nn.WeightNorm(nn.Dense(4)), nn.ReLU(), nn.Dense(2)],
    "noise": lambda: [nn.Dense(4), nn.GaussianNoise(0.1), nn.ReLU(), nn.Dropout(0.1), nn.Shakeout(2)],
    "python": lambda: [nn.Dense(4), Affine(), nn.ReLU(), nn.Dense(2)],
    "activity": lambda: [nn.Dense(4), nn.ActivityL1(0.1), nn.Dense(2)],
}


@pytest.mark.parametrize("weights", [False, True])
@pytest.mark.parametrize("wrap", ["adam", "sgd", "nesterov", *WRAPS])
@pytest.mark.parametrize("layers", DIVERGING)
def test_divergence_leaves_finite_numbers(layers: str, wrap: str, weights: bool) -> None:
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((32, 3)), rng.standard_normal((32, 2))
    y[29] = 3e30  # whose square float32 cannot hold
    model = nn.Sequential(DIVERGING[layers](), input_shape=3, seed=0)
    optimizer = WRAPS[wrap](nn.Adam(lr=0.01)) if wrap in WRAPS else OPTIMIZERS[wrap](lr=0.01)  # type: ignore[call-arg]
    trainer = nn.Trainer(model, "squared_error", optimizer, regularizer=nn.L2(1e-3))
    arguments = {"sample_weight": np.linspace(1, 2, 32)} if weights else {}
    with pytest.raises(nn.DivergenceError, match="epoch 1, step 4"):
        trainer.fit(X, y, epochs=3, batch_size=8, shuffle=False, verbose=0, **arguments)
    assert np.isfinite(model.parameters).all()
    assert np.isfinite(model.state).all()
    for name, value in trainer.optimizer.state_dict().items():
        assert np.isfinite(value).all(), name
    assert np.isfinite(model.forward(X)).all()


# ---- wrappers do not change the trajectory of an optimizer


@pytest.mark.parametrize("regularizer", [nn.ProximalL1(0.01), nn.ElasticNet(0.01, 0.02), {"dense_1": nn.ProximalL1(0.02)}])
@pytest.mark.parametrize("inner", ["nesterov", "adam", "momentum", "adagrad"])
def test_averages_change_no_bit_of_the_trajectory(regularizer: Any, inner: str) -> None:
    X, y = classes()
    wraps: list[Callable[[Any], Any]] = [lambda opt: opt, WRAPS["ema"], WRAPS["polyak"]]
    trainers = []
    for wrap in wraps:
        model = everything("ema", "batch renorm").model
        optimizer = wrap(OPTIMIZERS[inner](lr=nn.schedules.Exponential(0.05, 0.99)))  # type: ignore[call-arg]
        arguments: dict[str, Any] = {"regularizer": regularizer, "clip": nn.ClipNorm(0.5), "seed": 3}
        trainer = nn.Trainer(model, "softmax_cross_entropy", optimizer, **arguments)
        trainer.fit(X, y, epochs=4, batch_size=16, verbose=0, sampler="with_replacement")
        trainers.append(trainer)
    plain, *others = trainers
    for averaged in others:
        same_way(plain, averaged)


def same_way(plain: nn.Trainer, averaged: nn.Trainer) -> None:
    assert np.array_equal(plain.model.parameters, averaged.model.parameters)
    assert np.array_equal(plain.model.state, averaged.model.state)
    assert plain.history == averaged.history


def test_ema_is_the_mean_of_the_iterates() -> None:
    X, y = classes(80)
    trainer = nn.Trainer(
        everything("ema", "batch renorm", "float64").model, "softmax_cross_entropy", nn.EMA(nn.Nesterov(lr=0.05), decay=0.8),
        regularizer=nn.ProximalL1(0.01), clip=nn.ClipNorm(0.5),
    )  # fmt: skip
    thetas = []
    for _ in range(12):
        trainer.partial_fit(X, y)
        thetas.append(trainer.model.parameters.copy())
    w = 0.8 ** np.arange(11.0, -1, -1)
    np.testing.assert_allclose(trainer.optimizer.averaged_parameters, w @ np.array(thetas) / w.sum(), rtol=1e-12, atol=1e-15)


def test_batch_statistics_of_the_averages() -> None:
    X, y = classes()
    trainer = everything("ema", "batch norm")
    trainer.fit(X, y, epochs=3, batch_size=16, verbose=0)
    theta, state = trainer.model.parameters.copy(), trainer.model.state.copy()
    with trainer.averaged():
        trainer.update_batch_statistics(X, batch_size=len(X))
        z = trainer.model.activations(X)["dense_1"]
        norm = trainer.model["batch_norm_1"]
        np.testing.assert_allclose(norm.running_mean, z.mean(axis=0), rtol=1e-5, atol=1e-6)  # type: ignore[attr-defined]
        np.testing.assert_allclose(norm.running_var, z.var(axis=0, ddof=1), rtol=1e-5)  # type: ignore[attr-defined]
    assert np.array_equal(trainer.model.parameters, theta)
    assert np.array_equal(trainer.model.state, state)


@pytest.mark.parametrize("name", ["rprop", "delta_bar_delta"])
def test_wrapped_full_batch_optimizers_say_what_they_need(name: str) -> None:
    X, y = classes()
    model = nn.Sequential([nn.Dense(3)], input_shape=5)
    trainer = nn.Trainer(model, "softmax_cross_entropy", nn.EMA(name))
    title = f"EMA.{OPTIMIZERS[name].__name__}."
    message = rf"batch_size must be \d+, all rows, as {title} needs the gradient of the full batch.*got 16"
    with pytest.raises(ValueError, match=message):
        trainer.fit(X, y, batch_size=16, verbose=0)
    with pytest.raises(ValueError, match="lr_find"):
        trainer.lr_find(X, y)
    history = trainer.fit(X, y, epochs=20, verbose=0)
    assert history["running_loss"][-1] < history["running_loss"][0]


@pytest.mark.parametrize("sampler", [None, "importance_sampling", "largest_loss_first"])
def test_recurrent_divergence_and_continuing(sampler: str | None, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((40, 6, 4)), rng.integers(0, 3, 40)
    trainer = recurrent_trainer()
    trainer.clip = None
    trainer.fit(X, y, epochs=2, batch_size=8, sampler=sampler, verbose=0)
    trainer.optimizer.lr = 1e38
    with pytest.raises(nn.DivergenceError, match="epoch"):
        trainer.fit(X, y, epochs=20, batch_size=8, sampler=sampler, verbose=0)
    for values in (trainer.model.parameters, trainer.model.state, *trainer.optimizer.state.values()):
        assert np.isfinite(values).all()
    trainer.save(tmp_path / "after")
    again = recurrent_trainer()
    again.clip = None
    again.restore(tmp_path / "after")
    assert np.array_equal(again.model.parameters, trainer.model.parameters)
    assert again.optimizer.lr == 1e38
