"""Networks, data and comparisons for the tests of combined features."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import nncore as nn

Array = NDArray[Any]


class Affine(nn.Layer):
    """A layer written in Python: s ⊙ x + t."""

    def build(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        self.add_parameter("scale", input_shape, nn.initializers.Constant(1.0), regularized=True)
        self.add_parameter("shift", input_shape, "zeros")
        return input_shape

    def forward(self, x: Array, training: bool) -> Array:
        self.x = x.copy()
        return self.scale * x + self.shift  # type: ignore[attr-defined]

    def backward(self, dy: Array) -> Array:
        self.scale_grad[...] = (dy * self.x).sum(axis=0)  # type: ignore[attr-defined]
        self.shift_grad[...] = dy.sum(axis=0)  # type: ignore[attr-defined]
        return np.asarray(self.scale * dy)  # type: ignore[attr-defined]


def half_squares(outputs: Array, targets: Array) -> tuple[Array, Array]:
    """A loss written in Python: ½‖y − d‖² of each example."""
    targets = targets.reshape(outputs.shape)
    return 0.5 * ((outputs - targets) ** 2).sum(axis=1), outputs - targets


def classes(n: int = 83, seed: int = 3) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, 5))
    return X, (X[:, 0] + X[:, 1] ** 2 > 1).astype(np.int64) + (X[:, 2] > 0.5)


def numbers(n: int = 40, seed: int = 4) -> tuple[Array, Array]:
    """Inputs and targets far from 0, in different units."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, 3)) * [1.0, 20.0, 0.1] + [5.0, -100.0, 3.0]
    z = (X - [5.0, -100.0, 3.0]) / [1.0, 20.0, 0.1]
    return X, np.column_stack([1000 + 50 * np.tanh(z[:, 0]), -3 + 0.1 * z[:, 1] * z[:, 2]])


# ---- averages, normalization, noise, clip, penalty and schedule

WRAPS: dict[str, Callable[[Any], Any]] = {
    "ema": lambda opt: nn.EMA(opt, decay=0.9),
    "ema uncorrected": lambda opt: nn.EMA(opt, decay=0.9, bias_correction=False),
    "polyak": lambda opt: nn.PolyakAveraging(opt, start=5),
    "noise in ema": lambda opt: nn.EMA(nn.GradientNoise(opt, eta=0.01, seed=2), decay=0.9),
    "ema in noise": lambda opt: nn.GradientNoise(nn.EMA(opt, decay=0.9), eta=0.01, seed=2),
}
NORMS: dict[str, Callable[[], nn.Layer]] = {
    "batch norm": nn.BatchNorm,
    "batch renorm": lambda: nn.BatchRenorm(r_max=nn.schedules.Polynomial(1.0, steps=20, final=3.0), d_max=2.0),
    "layer norm": nn.LayerNorm,
    "python": Affine,
}


def everything(wrap: str, norm: str, dtype: str = "float32", **more: Any) -> nn.Trainer:
    layers = [
        nn.Dense(12), NORMS[norm](), nn.ReLU(), nn.ActivityL1(1e-3), nn.Dropout(0.2), nn.WeightNorm(nn.Dense(8)), nn.Tanh(),
        nn.GaussianNoise(0.1), nn.DropConnect(3, rate=0.3),
    ]  # fmt: skip
    model = nn.Sequential(layers, input_shape=5, dtype=dtype, seed=1)
    adam = nn.Adam(lr=nn.schedules.Cosine(0.02, 60), betas=(0.8, 0.99))
    arguments: dict[str, Any] = {"regularizer": nn.L2(1e-3), "clip": nn.ClipGlobalNorm(0.5), "metrics": ["accuracy"], "seed": 5}
    return nn.Trainer(model, "softmax_cross_entropy", WRAPS[wrap](adam), **(arguments | more))


def same_training(a: nn.Trainer, b: nn.Trainer) -> None:
    assert a.history == b.history
    assert np.array_equal(a.model.parameters, b.model.parameters)
    assert np.array_equal(a.model.state, b.model.state)
    mine, theirs = a.optimizer.state_dict(), b.optimizer.state_dict()
    assert mine.keys() == theirs.keys()
    for name, value in mine.items():
        assert np.array_equal(value, theirs[name]), name


# ---- penalties, and their values


def sparse_trainer(loss: Any = "squared_error", **more: Any) -> nn.Trainer:
    layers = [nn.Dense(6), nn.ActivityL1(0.05), nn.Tanh(), nn.ActivityL1(0.02), nn.Dense(2)]
    model = nn.Sequential(layers, input_shape=3, dtype="float64", seed=2)
    arguments: dict[str, Any] = {"regularizer": nn.L2(0.3), "metrics": ["mean_absolute_error"]}
    return nn.Trainer(model, loss, nn.SGD(lr=1e-300), **(arguments | more))  # which does not move


def by_hand(trainer: nn.Trainer, X: Array, y: Array, w: Array | None = None) -> tuple[dict[str, float], Array]:
    """The row of ``evaluate``, and the weighted loss of each example."""
    z = X @ trainer.model[0].weight.T + trainer.model[0].bias
    h = np.tanh(z)
    out = h @ trainer.model[4].weight.T + trainer.model[4].bias
    w = np.ones(len(X)) if w is None else w
    each = 0.5 * ((out - y) ** 2).sum(axis=1) * w
    activity = float((w * (0.05 * np.abs(z).sum(axis=1) + 0.02 * np.abs(h).sum(axis=1))).mean())
    penalty = 0.15 * float(sum((layer.weight**2).sum() for layer in (trainer.model[0], trainer.model[4])))
    row = {
        "loss": float(each.mean()) + activity + penalty, "mean_absolute_error": float(np.abs(out - y).mean()),
        "activity_penalty": activity, "penalty": penalty,
    }  # fmt: skip
    return row, each


def close(row: dict[str, float], expected: dict[str, float]) -> None:
    assert row.keys() == expected.keys()
    for name, value in expected.items():
        assert row[name] == pytest.approx(value, rel=1e-12), name


# ---- scalers inside and outside the model


def scaled_pair(layers: Callable[[], list[nn.Layer]], **trainer: Any) -> tuple[nn.Trainer, nn.Trainer, Callable[..., Any]]:
    """Two trainers of the same network, the first with scalers in its model; and the scalers for the second."""
    X, y = numbers()
    a, b = nn.data.StandardScaler().fit(X), nn.data.StandardScaler().fit(y)
    models = [nn.Sequential(layers(), input_shape=3, dtype="float64", seed=6) for _ in range(2)]
    models[0].input_scaler, models[0].target_scaler = a, b
    make = trainer.pop("optimizer")
    inside, outside = (nn.Trainer(model, "squared_error", make(), **trainer) for model in models)
    return inside, outside, lambda X, y: (a.transform(X), b.transform(y))


def smooth() -> list[nn.Layer]:
    return [nn.Dense(5), nn.Tanh(), nn.Dense(2)]


def noisy() -> list[nn.Layer]:
    return [nn.Dense(5), nn.BatchNorm(), nn.Tanh(), nn.Dropout(0.2), nn.Dense(2)]


# ---- recurrent layers among the others


def recurrent_trainer(dtype: str = "float32") -> nn.Trainer:
    layers = [
        nn.GRU(8, return_sequences=True, zoneout=0.2), nn.LayerNorm(), nn.Dropout(0.2),
        nn.SimpleRNN(12, zoneout=0.1), nn.GroupNorm(3), nn.GaussianDropout(0.1), nn.Dense(3),
    ]  # fmt: skip
    model = nn.Sequential(layers, input_shape=(6, 4), dtype=dtype, seed=1)
    opt = nn.GradientNoise(nn.EMA(nn.RMSprop(lr=0.003), decay=0.9), eta=0.001)
    return nn.Trainer(model, "softmax_cross_entropy", opt, clip=nn.ClipGlobalNorm(1.0), regularizer={"gru_1": nn.L2(0.01)})


CONVEX = {name: nn.L2(2.0) for name in ("dense_1", "dense_1.bias", "dense_2", "dense_2.bias")}  # enough for plain Newton
