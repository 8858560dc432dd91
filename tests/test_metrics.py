"""Metrics in training and evaluation."""

import numpy as np
import pytest
from helpers.training import INPUTS, OUTPUTS, make

import nncore as nn


def test_accuracy_of_labels_one_hot_and_soft(rng: np.random.Generator) -> None:
    model, X, labels = make(), rng.standard_normal((200, INPUTS)), rng.integers(0, OUTPUTS, 200)
    want = (model.predict(X).argmax(axis=1) == labels).mean()
    assert 0 < want < 1
    soft = 0.1 + 0.7 * np.eye(OUTPUTS)[labels]
    for loss in ("softmax_cross_entropy", "squared_error", "hinge"):
        trainer = nn.Trainer(model, loss, metrics=["accuracy"])
        for y in [labels, np.eye(OUTPUTS)[labels]] + ([soft] if loss != "hinge" else []):
            assert trainer.evaluate(X, y)["accuracy"] == want, loss


THRESHOLDS = {"sigmoid_cross_entropy": 0.0, "hinge": 0.0, "binary_cross_entropy": 0.5, "squared_error": 0.5}


@pytest.mark.parametrize(
    ("loss", "signs"),
    [(loss, signs) for loss in THRESHOLDS for signs in (False, True) if not (signs and loss == "squared_error")],
)
def test_accuracy_of_two_classes(loss: str, signs: bool, rng: np.random.Generator) -> None:
    layers: list[nn.Layer] = [nn.Dense(1)] + ([nn.Sigmoid()] if loss == "binary_cross_entropy" else [])
    model = nn.Sequential(layers, input_shape=INPUTS, dtype="float64", seed=1)
    X, y = rng.standard_normal((200, INPUTS)), rng.integers(0, 2, 200)
    want = ((model.predict(X)[:, 0] > THRESHOLDS[loss]) == y).mean()
    assert 0.2 < want < 0.8
    got = nn.Trainer(model, loss, metrics=["accuracy"]).evaluate(X, 2 * y - 1 if signs else y)
    assert got["accuracy"] == pytest.approx(want, abs=1e-15)


@pytest.mark.parametrize("loss", ["sigmoid_cross_entropy", "squared_error"])
@pytest.mark.parametrize("targets", [[0, 1, 0, 1], np.eye(2)[[0, 1, 0, 1]], [[0, 0], [1, 1], [1, 0], [0, 0]]])
def test_nan_is_never_correct(targets: list[int], loss: str) -> None:
    """Neither for one output, nor for classes, nor for several labels; without it each example would be correct."""
    y = np.asarray(targets, dtype=float).reshape(4, -1)
    trainer = nn.Trainer(nn.Sequential([nn.Dense(y.shape[1])], input_shape=4, dtype="float64"), loss, metrics=["accuracy"])
    weight = trainer.model.layers[0].weight
    weight[...] = 2 * y.T - 1
    X = np.eye(4)
    assert trainer.evaluate(X, targets)["accuracy"] == 1
    weight[-1] = np.nan
    row = trainer.evaluate(X, targets)
    assert row["accuracy"] == 0
    assert np.isnan(row["loss"])


def test_metrics_by_the_name_of_a_loss(rng: np.random.Generator) -> None:
    model, X, y = make(), rng.standard_normal((60, INPUTS)), rng.standard_normal((60, OUTPUTS))
    e = model.predict(X) - y
    names = ["squared_error", "mean_squared_error", "mean_absolute_error", "huber"]
    want = [0.5 * (e**2).sum(axis=1), (e**2).mean(axis=1), np.abs(e).mean(axis=1)]
    want.append(np.where(np.abs(e) < 1, 0.5 * e**2, np.abs(e) - 0.5).mean(axis=1))
    trainer = nn.Trainer(model, "mean_squared_error", metrics=names)
    got = trainer.evaluate(X, y)
    assert list(got) == ["loss", *names]
    assert got == pytest.approx(dict(zip(got, [e.var() + e.mean() ** 2, *(w.mean() for w in want)], strict=True)), rel=1e-12)
    history = trainer.fit(X, y, epochs=1, batch_size=60, verbose=0)
    assert [history[f"running_{name}"][0] for name in names] == pytest.approx([w.mean() for w in want], rel=1e-12)


def test_a_metric_may_be_an_object(rng: np.random.Generator) -> None:
    model, X, y = make(), rng.standard_normal((60, INPUTS)), rng.standard_normal((60, OUTPUTS))
    got = nn.Trainer(model, nn.Huber(0.5), metrics=[nn.Huber(0.5)]).evaluate(X, y)
    assert got["huber"] == got["loss"]
    assert got["loss"] != nn.Trainer(model, nn.Huber(1.0)).evaluate(X, y)["loss"]


@pytest.mark.parametrize("metric", ["hinge", "sigmoid_cross_entropy"])
@pytest.mark.parametrize("loss", ["hinge", "sigmoid_cross_entropy"])
@pytest.mark.parametrize("signs", [False, True])
def test_a_metric_is_that_loss_of_the_same_targets(loss: str, metric: str, signs: bool, rng: np.random.Generator) -> None:
    """Hinge reads ±1 and cross-entropy 0/1: each has the same value as a metric and as the loss."""
    model = nn.Sequential([nn.Dense(1)], input_shape=INPUTS, dtype="float64", seed=1)
    X, y = rng.standard_normal((60, INPUTS)), rng.integers(0, 2, 60)
    y = 2 * y - 1 if signs else y
    as_loss = nn.Trainer(model, metric).evaluate(X, y)["loss"]
    assert nn.Trainer(model, loss, metrics=[metric]).evaluate(X, y)[metric] == pytest.approx(as_loss, rel=1e-13)
