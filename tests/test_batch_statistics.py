"""Batch statistics: running averages, population statistics, frozen ones, and folding of batch norm."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from helpers.normalization import data, gradients, normalized

import nncore as nn
from nncore import reference


@pytest.mark.parametrize("unbiased", [True, False])
def test_running_averages(unbiased: bool, rng: np.random.Generator) -> None:
    model, layer = normalized(rng, momentum=0.25, unbiased_running_var=unbiased)
    X, y = rng.normal(2, 3, (24, 3)), np.zeros((24, 1))
    mean, variance = np.zeros(3), np.ones(3)
    for batch in (X[:16], X[16:]):
        mean = reference.batch_norm_track(mean, batch.mean(axis=0), 0.25, 1)
        variance = reference.batch_norm_track(variance, batch.var(axis=0, ddof=int(unbiased)), 0.25, 1)
    nn.Trainer(model, "squared_error").fit(X, y, batch_size=16, shuffle=False, verbose=0)
    np.testing.assert_allclose(layer.running_mean, mean, rtol=1e-13)
    np.testing.assert_allclose(layer.running_var, variance, rtol=1e-13)
    scale, shift = reference.batch_norm_constants(mean, variance, layer.weight, layer.bias, layer.eps)
    np.testing.assert_allclose(model.activations(X)["batch_norm_1"], scale * X + shift, rtol=1e-12, atol=1e-12)


def test_cumulative_mean(rng: np.random.Generator) -> None:
    model, layer = normalized(rng, momentum=None)
    X = rng.normal(2, 3, (32, 3))
    nn.Trainer(model, "squared_error").fit(X, np.zeros((32, 1)), batch_size=8, shuffle=False, verbose=0)
    parts = X.reshape(4, 8, 3)
    np.testing.assert_allclose(layer.running_mean, parts.mean(axis=1).mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(layer.running_var, parts.var(axis=1, ddof=1).mean(axis=0), rtol=1e-12)


def test_inspection_changes_no_statistics(rng: np.random.Generator) -> None:
    model, _ = normalized(rng)
    X, y = rng.normal(2, 3, (24, 3)), np.zeros((24, 1))
    before = model.state.copy()
    model.forward(X, training=True)
    model.activations(X, training=True)
    model.loss_and_gradient(X, y, "squared_error")
    model.check_gradients(X, y, "squared_error")
    nn.Trainer(model, "squared_error").evaluate(X, y)
    assert np.array_equal(model.state, before)


@pytest.mark.parametrize(("rows", "shape"), [(40, (3,)), (41, (3,)), (44, (3,)), (21, (3, 4)), (7, (3,))])
def test_population_statistics(rows: int, shape: tuple[int, ...], rng: np.random.Generator) -> None:
    """E[μ_B] and E[m/(m − 1) σ²_B]; a single row left over joins the batch before."""
    layer = nn.BatchNorm()
    model = nn.Sequential([layer, nn.Dense(1)], input_shape=shape, dtype="float64")
    X = rng.normal(2, 3, (rows, *shape))
    nn.Trainer(model, "squared_error").update_batch_statistics(X, batch_size=10)
    starts = list(range(0, rows, 10))
    if rows % 10 == 1:
        starts.pop()
    parts = np.split(X, starts[1:])
    axes = (0,) if len(shape) == 1 else (0, 2)
    weights = [len(part) / rows for part in parts]
    mean = sum(w * part.mean(axis=axes) for w, part in zip(weights, parts, strict=True))
    variance = sum(w * part.var(axis=axes, ddof=1) for w, part in zip(weights, parts, strict=True))
    np.testing.assert_allclose(layer.running_mean, mean, rtol=1e-12)
    np.testing.assert_allclose(layer.running_var, variance, rtol=1e-12)


def test_frozen_statistics(rng: np.random.Generator) -> None:
    """Fine-tuning: γ and β learn, the running averages stay and are constants of the gradient."""
    model, layer = normalized(rng)
    X, y = rng.normal(2, 3, (24, 3)), rng.standard_normal((24, 1))
    trainer = nn.Trainer(model, "squared_error", nn.SGD(lr=0.01))
    trainer.fit(X, y, verbose=0)
    layer.frozen = True
    state, weight = model.state.copy(), layer.weight.copy()
    assert np.array_equal(model.forward(X, training=True), model.forward(X))
    trainer.fit(X[:1], y[:1], verbose=0)  # a single row is valid
    assert np.array_equal(model.state, state)
    assert not np.array_equal(layer.weight, weight)
    layer.frozen = False
    trainer.fit(X, y, verbose=0)
    assert not np.array_equal(model.state, state)


def test_batch_statistics_at_inference(rng: np.random.Generator) -> None:
    model, layer = normalized(rng, track_running_stats=False)
    X = rng.normal(2, 3, (24, 3))
    assert not layer.states
    assert np.array_equal(model.forward(X), model.forward(X, training=True))
    with pytest.raises(ValueError, match=r"batch_norm_1 takes the mean.*at least 2 rows: the batch has 1"):
        model.predict(X[:1])


def test_batch_statistics_at_inference_are_those_of_1024_rows(rng: np.random.Generator) -> None:
    """Whatever the number of parameters, and for the members of an ensemble as for a model alone."""
    model = nn.Sequential([nn.BatchNorm(track_running_stats=False)], input_shape=3, dtype="float64")
    X = rng.normal(2, 3, (3000, 3))
    expected = [(rows - rows.mean(axis=0)) / np.sqrt(rows.var(axis=0) + 1e-5) for rows in (X[:1024], X[1024:2048], X[2048:])]
    np.testing.assert_allclose(model.predict(X), np.concatenate(expected), rtol=1e-9, atol=1e-12)
    assert np.array_equal(nn.Ensemble([model]).predict_members(X)[0], model.predict(X))


@pytest.mark.parametrize(
    "work",
    [
        lambda trainer, X, y: trainer.model.predict(X),
        lambda trainer, X, y: trainer.evaluate(X, y),
        lambda trainer, X, y: trainer.fit(np.eye(4, 3), np.eye(4, 1), validation_data=(X, y), verbose=0),
    ],
    ids=["predict", "evaluate", "validation"],
)
@pytest.mark.parametrize("together", [False, True])
def test_one_row_at_inference_is_refused(work: Callable[..., Any], together: bool, rng: np.random.Generator) -> None:
    """Its variance would be 0, and every output the same. Before anything has changed."""
    model = nn.Sequential([nn.BatchNorm(track_running_stats=False), nn.Dense(1)], input_shape=3)
    trainer = nn.Trainer(nn.Ensemble([model, model]) if together else model, "squared_error")
    member = trainer.model[0] if together else model
    before = member.parameters.copy()
    with pytest.raises(ValueError, match="takes the mean and the variance of a batch and needs at least 2 rows"):
        work(trainer, rng.normal(size=(1, 3)), np.zeros((1, 1)))
    assert np.array_equal(member.parameters, before)


def test_selected_units(rng: np.random.Generator) -> None:
    layer = nn.BatchNorm(units=[4, 1])
    model = nn.Sequential([layer], input_shape=5, dtype="float64")
    X, r = data(9, (5,), "float64", rng)
    y = model.forward(X, training=True)
    dx, dtheta = gradients(model, X, r)
    others = [0, 2, 3]
    assert layer.weight.shape == layer.running_mean.shape == (2,)
    assert np.array_equal(y[:, others], X[:, others])
    np.testing.assert_allclose(dx[:, others], r[:, others], rtol=1e-14)
    alone = nn.Sequential([nn.BatchNorm()], input_shape=2, dtype="float64")
    np.testing.assert_allclose(y[:, [1, 4]], alone.forward(X[:, [1, 4]], training=True), rtol=1e-13)
    np.testing.assert_allclose(dtheta, gradients(alone, X[:, [1, 4]], r[:, [1, 4]])[1], rtol=1e-12)


# --- folding


@pytest.mark.parametrize("options", [{}, {"affine": False}, {"units": [0, 3]}])
def test_folding(options: dict[str, Any], rng: np.random.Generator) -> None:
    layers = [
        nn.Dense(8, bias=False),
        nn.BatchNorm(**options),
        nn.ReLU(),
        nn.Dense(4),
        nn.BatchNorm(),
        nn.LayerNorm(),
        nn.Dense(2),
    ]
    model = nn.Sequential(layers, input_shape=5, dtype="float64")
    X = rng.normal(1, 2, (64, 5))
    nn.Trainer(model, "squared_error", nn.Adam(lr=0.05)).fit(X, X[:, :2], epochs=5, batch_size=16, verbose=0)
    folded, difference = model.fold_batch_norm(X)
    assert [type(layer).__name__ for layer in folded.layers] == ["Dense", "ReLU", "Dense", "LayerNorm", "Dense"]
    assert difference == np.abs(model.predict(X) - folded.predict(X)).max() < 1e-12
    assert model.fold_batch_norm()[1] < 1e-12
    model.layers[0].weight[...] = 0  # a copy
    assert np.abs(folded.layers[0].weight).max() > 0


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([nn.BatchNorm], "batch_norm_1 cannot be folded.*got the input"),
        ([lambda: nn.Dense(3), nn.ReLU, nn.BatchNorm], r"batch_norm_1 cannot be folded.*got relu_1 \(ReLU\)"),
        ([lambda: nn.WeightNorm(nn.Dense(3)), nn.BatchNorm], "needs a Dense layer directly before it"),
        ([lambda: nn.Dense(3), lambda: nn.BatchNorm(track_running_stats=False)], "has no running averages"),
        ([lambda: nn.Dense(3)], "must have a batch normalization to fold"),
    ],
)
def test_folding_refused(layers: list[Callable[[], nn.Layer]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        nn.Sequential([layer() for layer in layers], input_shape=3).fold_batch_norm()


def test_statistics_of_one_row(rng: np.random.Generator) -> None:
    model, _ = normalized(rng)
    for call in (
        lambda: model.forward(np.ones((1, 3)), training=True),
        lambda: model.activations(np.ones((1, 3)), training=True),
        lambda: model.loss_and_gradient(np.ones((1, 3)), np.ones((1, 1)), "squared_error"),
    ):
        with pytest.raises(ValueError, match=r"layer batch_norm_1 takes the mean and the variance of a batch.*the batch has 1"):
            call()
    assert model.predict(np.ones((1, 3))).shape == (1, 1)
    with pytest.raises(ValueError, match="must have a batch normalization"):
        nn.Trainer(nn.Sequential([nn.Dense(1)], input_shape=3), "squared_error").update_batch_statistics(np.ones((4, 3)))


def test_statistics_that_the_dtype_cannot_hold() -> None:
    """σ² is a number in float32, σ² m/(m − 1) is not."""
    X = np.float32(1.8e19) * np.array([[-1, 0], [1, 1]], dtype=np.float32)
    model = nn.Sequential([nn.BatchNorm(units=[0])], input_shape=2)
    trainer, before = nn.Trainer(model, "squared_error"), model.state.copy()
    with pytest.raises(ValueError, match="statistics of layer batch_norm_1 are not finite: nothing was changed"):
        trainer.update_batch_statistics(X)
    assert np.array_equal(model.state, before)
    trainer.update_batch_statistics(X[:, ::-1])  # the channel that is not normalized has no running average
    assert model.layers[0].running_mean == np.float32(0.9e19)
