"""Tile-local gradients of large weights: results are unchanged, and the gradient of the last step is stored."""

from typing import Any

import numpy as np
import pytest

import nncore as nn
from nncore.layers import products
from nncore.optimizers import OPTIMIZERS

OPTIONS: dict[str, dict[str, Any]] = {"rprop": {"allow_mini_batches": True}, "delta_bar_delta": {"allow_mini_batches": True}}
CASES: dict[str, dict[str, Any]] = {name: {"optimizer": kind(**OPTIONS.get(name, {}))} for name, kind in OPTIMIZERS.items()}
CASES |= {
    "l2": {"regularizer": nn.L2(1e-2)},
    "l1": {"regularizer": nn.L1(1e-3)},
    "elastic net": {"regularizer": nn.ElasticNet(1e-3, 1e-3)},
    "proximal": {"regularizer": nn.ProximalL1(1e-3), "optimizer": "nesterov"},
    "clip value": {"clip": nn.ClipValue(1e-3)},
    "clip norm": {"clip": nn.ClipNorm(1e-2)},
    "ema": {"optimizer": nn.EMA("adam")},
    "noise": {"optimizer": nn.GradientNoise("adam", eta=1e-4, seed=3)},
}


def passing(monkeypatch: pytest.MonkeyPatch, passes: bool) -> None:
    """Make the gradients of all dense weights tile-local, or none; and `fit` run an epoch in one call."""
    monkeypatch.setattr(products, "TILE_LOCAL_FROM", 0 if passes else 1 << 60)
    monkeypatch.setattr("nncore.program.tape.PARALLEL_FLOPS", 0)
    monkeypatch.setattr("nncore.program.autotune.Autotuner.next_call", lambda pace: (2, 4))


def train(dtype: str, **options: Any) -> list[bytes]:
    """Six steps, of odd sizes, whose tiles are narrower than W and have rows and columns left over."""
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((43, 301)).astype(dtype), rng.integers(0, 5, 43)
    layers = [nn.Dense(37), nn.Tanh(), nn.WeightNorm(nn.Dense(9)), nn.Dense(33), nn.BatchNorm(), nn.ReLU(), nn.Dense(5)]
    model = nn.Sequential(layers, input_shape=301, dtype=dtype, seed=0)
    trainer = nn.Trainer(model, "softmax_cross_entropy", **{"optimizer": "adam", **options})
    trainer.fit(X, y, epochs=2, batch_size=15, verbose=0)
    return [array.tobytes() for array in (model.parameters, model.gradients, trainer.history["running_loss"])]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", CASES)
def test_tile_local_gradients_change_no_bit(monkeypatch: pytest.MonkeyPatch, case: str, dtype: str) -> None:
    passing(monkeypatch, False)
    kept = train(dtype, **CASES[case])
    passing(monkeypatch, True)
    assert train(dtype, **CASES[case]) == kept


class Watch(nn.Layer):
    """The identity; records the gradients at each forward pass."""

    seen: list[np.ndarray]

    def forward(self, x: np.ndarray, training: bool) -> np.ndarray:
        if training:
            self.seen.append(self.model.gradients.copy())
        return x.copy()

    def backward(self, dy: np.ndarray) -> np.ndarray:
        return dy.copy()


@pytest.mark.parametrize("passes", [False, True])
def test_a_tile_local_gradient_is_stored_in_the_last_step_only(monkeypatch: pytest.MonkeyPatch, passes: bool) -> None:
    passing(monkeypatch, passes)
    watch, first = Watch(), nn.Dense(20)
    watch.seen = []
    watch.model = model = nn.Sequential([first, watch, nn.Dense(3)], input_shape=40, seed=0)
    X, y = np.random.default_rng(0).standard_normal((64, 40)), np.arange(64) % 3
    nn.Trainer(model, "softmax_cross_entropy", "sgd").fit(X, y, epochs=1, batch_size=16, verbose=0)
    before = [part.any() for grad in watch.seen[1:4] for part in (grad[:800], grad[800:820])]
    kept_from = {False: 1, True: 4}[passes]  # the gradient of W is stored from this step on, that of b from the first
    assert before == [flag for step in (1, 2, 3) for flag in (step >= kept_from, True)]
    assert first.weight_grad.any()


def test_a_non_finite_tile_local_gradient_is_stored() -> None:
    model = nn.Sequential([nn.Dense(1024)], input_shape=512, seed=0)
    trainer = nn.Trainer(model, "squared_error", nn.SGD(lr=1e-30))
    X, y = np.ones((96, 512), dtype=np.float32), np.zeros((96, 1024), dtype=np.float32)
    model.parameters[:] *= 1e-8
    X[40] = 1e25  # outputs of 1e17, a loss of 1e37, but gradients of 1e41
    with pytest.raises(nn.DivergenceError, match=r"step 2.*gradient of dense_1\.weight is not finite"):
        trainer.fit(X, y, epochs=1, batch_size=32, shuffle=False, verbose=0)
    assert np.isfinite(model.parameters).all()
