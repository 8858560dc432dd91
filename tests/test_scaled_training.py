"""Training with scalers inside the model, and everything else that takes X and y."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.networks import noisy, numbers, scaled_pair, smooth

import nncore as nn
from nncore.second_order import OPTIMIZERS as SECOND_ORDER
from nncore.second_order import HessianOperator, curvature


@pytest.mark.parametrize("name", ["adam", "ema", *SECOND_ORDER])
def test_scalers_inside_and_outside_are_the_same_training(name: str, tmp_path: Path) -> None:
    second = name in SECOND_ORDER
    make = (lambda: nn.EMA(nn.Adam(lr=0.01))) if name == "ema" else SECOND_ORDER.get(name, lambda: nn.Adam(lr=0.01))
    regularizer = {"dense_1": nn.L2(0.1), "dense_2.bias": nn.L2(0.2)}
    layers = smooth if second else noisy
    inside, outside, scale = scaled_pair(layers, optimizer=make, regularizer=regularizer, metrics=["mean_absolute_error"])
    X, y = numbers()
    Xv, yv = numbers(21, seed=9)
    failures = []
    for trainer, data, validation in ((inside, (X, y), (Xv, yv)), (outside, scale(X, y), scale(Xv, yv))):
        try:
            trainer.fit(*data, validation_data=validation, epochs=4, batch_size=None if second else 8, verbose=0)
        except (nn.DivergenceError, ValueError) as error:  # plain Newton may meet a singular or indefinite matrix
            failures.append(str(error))
        assert np.isfinite(trainer.model.parameters).all()
    assert len(failures) in (0, 2)
    assert np.array_equal(inside.model.parameters, outside.model.parameters)
    for column in inside.history:
        if column != "seconds":
            assert np.array_equal(inside.history[column], outside.history[column]), column
    assert inside.evaluate(Xv, yv) == outside.evaluate(*scale(Xv, yv))
    inside.save(tmp_path / "scaled")
    again = nn.load(tmp_path / "scaled")
    assert np.array_equal(again.predict(Xv), inside.model.predict(Xv))


def test_scalers_with_every_method_of_inspection(tmp_path: Path) -> None:
    inside, outside, scale = scaled_pair(noisy, optimizer=lambda: nn.Adam(lr=0.01))
    X, y = numbers()
    sX, sy = scale(X, y)
    inside.fit(X, y, epochs=2, batch_size=8, verbose=0)
    outside.fit(sX, sy, epochs=2, batch_size=8, verbose=0)
    found, expected = (t.lr_find(*d, steps=30, batch_size=8) for t, d in ((inside, (X, y)), (outside, (sX, sy))))
    assert np.array_equal(found.losses, expected.losses)
    assert np.array_equal(inside.model.parameters, outside.model.parameters)
    a, b = inside.model, outside.model
    assert np.array_equal(a.forward(X), b.forward(sX))
    assert np.array_equal(a.predict(X), a.target_scaler.inverse_transform(b.predict(sX)))
    samples = b.predict_samples(sX, samples=4)
    back = a.target_scaler.inverse_transform(samples.reshape(-1, 2)).reshape(samples.shape)
    assert np.array_equal(a.predict_samples(X, samples=4), back)
    assert a.check_gradients(X, y, "squared_error") == b.check_gradients(sX, sy, "squared_error")
    assert max(a.check_gradients(X, y, "squared_error").values()) < 1e-6
    deltas = a.deltas(X, y, "squared_error"), b.deltas(sX, sy, "squared_error")
    for mine, theirs in (deltas, (a.activations(X), b.activations(sX))):
        assert mine.keys() == theirs.keys()
        assert all(np.array_equal(mine[name], theirs[name]) for name in mine)
    folded, difference = a.fold_batch_norm(X)
    assert difference < 1e-12
    np.testing.assert_allclose(folded.predict(X), a.predict(X), rtol=1e-12)
    a.save(tmp_path / "model")
    again = nn.load(tmp_path / "model")
    assert np.array_equal(again.predict(X), a.predict(X))
    assert np.array_equal(again.predict_samples(X, samples=2), a.predict_samples(X, samples=2))


def test_scalers_and_curvature() -> None:
    inside, outside, scale = scaled_pair(smooth, optimizer=lambda: nn.Adam(lr=0.01))
    X, y = numbers()
    a, b, (sX, sy) = inside.model, outside.model, scale(X, y)
    assert np.array_equal(a.hessian(X, y, "squared_error"), b.hessian(sX, sy, "squared_error"))
    assert np.array_equal(a.jacobian(X), b.jacobian(sX))
    regularizer: Any = {"dense_1": nn.L2(0.1)}
    reports = [
        curvature(model, *data, "squared_error", regularizer=regularizer, exact_up_to=limit)
        for (model, data), limit in itertools.product(((a, (X, y)), (b, (sX, sy))), (500, 10))
    ]  # fmt: skip
    assert repr(reports[0]) == repr(reports[2])
    assert repr(reports[1]) == repr(reports[3])
    assert np.array_equal(a.hessian(X, y, "squared_error", regularizer=regularizer),
                          HessianOperator(a, X, y, "squared_error", regularizer).matrix())  # fmt: skip


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_scaled_data_keep_the_digits_of_the_model(dtype: Any) -> None:
    """Data in few digits are scaled in float64, not rounded to their own dtype afterwards."""
    inside, _, _ = scaled_pair(smooth, optimizer=lambda: nn.Adam(lr=0.01))
    X, y = (part.astype(dtype) for part in numbers())
    wide = X.astype(np.float64), y.astype(np.float64)
    assert inside.model.dtype == np.float64
    assert inside.evaluate(X, y) == inside.evaluate(*wide)
    assert np.array_equal(inside.model.predict(X), inside.model.predict(wide[0]))
    inside.model.target_scaler = nn.data.StandardScaler().fit([[0.0, 0.0], [1e-3, 1e-3]])
    assert inside.evaluate(X, y) == inside.evaluate(*wide)  # the scaled targets are beyond float16
