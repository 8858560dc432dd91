"""Gradients accumulated over several batches: ``fit(accumulate=...)``."""

from __future__ import annotations

import copy
import os
import signal
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import nncore as nn
from nncore.optimizers import OPTIMIZERS

Array = NDArray[Any]

N = 103  # batches of 8 in steps of 3: four of 24 rows, and one of 7


@pytest.fixture(scope="module")
def data() -> tuple[Array, Array]:
    rng = np.random.default_rng(0)
    return rng.standard_normal((N, 6)), rng.integers(0, 3, N)


def dense(*between: nn.Layer, units: int = 9) -> Callable[[], nn.Sequential]:
    layers = [nn.Dense(units), *between, nn.Tanh(), nn.Dense(3)]
    return lambda: nn.Sequential(copy.deepcopy(layers), input_shape=6, dtype="float64", seed=1)


class Doubled(nn.Layer):
    """Written in Python."""

    def forward(self, x: Array, training: bool) -> Array:
        return 2 * x

    def backward(self, dy: Array) -> Array:
        return 2 * dy


MODELS: dict[str, Callable[[], nn.Sequential]] = {
    "dense": dense(), "dropout": dense(nn.Dropout(0.3)), "noise": dense(nn.GaussianNoise(0.5), nn.GaussianDropout(0.2)),
    "weight noise": lambda: nn.Sequential(
        [nn.DropConnect(9, rate=0.2), nn.Tanh(), nn.Dense(3)], input_shape=6, dtype="float64", seed=1
    ),
    "layer norm": dense(nn.LayerNorm()), "activity": dense(nn.ActivityL1(1e-3)), "python": dense(Doubled()),
    "recurrent": lambda: nn.Sequential(
        [nn.GRU(5, zoneout=0.3), nn.Dense(3)], input_shape=(3, 2), dtype="float64", seed=1
    ),
    "large": dense(units=400),
}  # fmt: skip


def fit(model: nn.Sequential, data: tuple[Array, Array], optimizer: Any = "adam", **options: Any) -> nn.Trainer:
    made = {name: options.pop(name) for name in ("clip", "regularizer", "constraint") if name in options}
    trainer = nn.Trainer(model, "softmax_cross_entropy", optimizer, metrics="accuracy", **made)
    X = data[0].reshape(-1, *model.input_shape)
    trainer.fit(X, data[1], **{"epochs": 3, "verbose": 0, **options})
    return trainer


def assert_alike(one: nn.Trainer, other: nn.Trainer) -> None:
    """Equal up to the order in which gradients are added up."""
    np.testing.assert_allclose(one.model.parameters, other.model.parameters, rtol=1e-8, atol=1e-11)
    assert one.history.columns == other.history.columns
    for name in one.history.columns:
        np.testing.assert_allclose(one.history[name], other.history[name], rtol=1e-9, atol=1e-12)
    assert one.optimizer.step_count == other.optimizer.step_count


@pytest.mark.parametrize("name", MODELS)
def test_steps_are_those_of_larger_batches(name: str, data: tuple[Array, Array]) -> None:
    """Also with noise, whose numbers belong to the rows of the step."""
    assert_alike(fit(MODELS[name](), data, batch_size=8, accumulate=3), fit(MODELS[name](), data, batch_size=24))


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_with_every_optimizer(name: str, data: tuple[Array, Array]) -> None:
    whole = OPTIMIZERS[name].full_batch_only
    one = fit(dense()(), data, name, batch_size=8, accumulate=13 if whole else 3)
    assert_alike(one, fit(dense()(), data, name, batch_size=N if whole else 24))


@pytest.mark.parametrize("last_batch", ["keep", "merge", "drop"])
@pytest.mark.parametrize("n", [1, 7, 8, 9, 23, 24, 25, 33, 49, 97, N])
def test_last_batches(n: int, last_batch: str, data: tuple[Array, Array]) -> None:
    some = data[0][:n], data[1][:n]
    if last_batch == "drop":
        some = (some[0][: n - n % min(8, n)], some[1][: n - n % min(8, n)])
    one = fit(dense()(), (data[0][:n], data[1][:n]), batch_size=8, accumulate=3, last_batch=last_batch, shuffle=False)
    merge = {"last_batch": "merge"} if last_batch == "merge" else {}
    assert_alike(one, fit(dense()(), some, batch_size=24, shuffle=False, **merge))


def test_penalty_clip_constraint_weights_and_samplers_see_the_step(data: tuple[Array, Array]) -> None:
    """A clip acts on the accumulated gradient, a penalty counts once."""
    options: dict[str, Any] = {
        "clip": nn.ClipGlobalNorm(0.5), "regularizer": nn.ElasticNet(1e-3, 1e-2), "constraint": nn.MaxNorm(0.8),
        "sample_weight": np.linspace(0, 2, N), "sampler": "importance_sampling",
    }  # fmt: skip
    one = fit(dense()(), data, nn.Nesterov(lr=0.1), batch_size=8, accumulate=3, **options)
    assert_alike(one, fit(dense()(), data, nn.Nesterov(lr=0.1), batch_size=24, **options))
    assert 0 < one.history["clipped"].mean() < 1


@pytest.mark.parametrize("units", [9, 400])
def test_the_same_bits_for_any_number_of_threads_and_portions(
    units: int, data: tuple[Array, Array], monkeypatch: pytest.MonkeyPatch
) -> None:
    results, before = [], nn.get_num_threads()
    try:
        for threads in (1, 2, 3):
            for seconds in (0.0, 1e3):
                nn.set_num_threads(threads)
                monkeypatch.setattr("nncore.program.autotune.SECONDS_PER_CALL", seconds)
                results.append(fit(dense(units=units)(), data, batch_size=32, accumulate=2).model.parameters.tobytes())
    finally:
        nn.set_num_threads(before)
    assert len(set(results)) == 1


def test_batch_normalization_has_the_statistics_of_each_batch(data: tuple[Array, Array]) -> None:
    """Two batches: the mean of the gradients of each, and the running averages move twice."""
    X, y = data[0][:16], data[1][:16]

    def make() -> nn.Sequential:
        layers = [nn.Dense(4), nn.BatchNorm(momentum=0.5), nn.Tanh(), nn.Dense(3)]
        return nn.Sequential(layers, input_shape=6, dtype="float64", seed=2)

    model, gradients = make(), []
    for part in (slice(0, 8), slice(8, 16)):
        gradients.append(model.loss_and_gradient(X[part], y[part], "softmax_cross_entropy")[1])
    trainer = fit(make(), (X, y), nn.SGD(lr=0.1), batch_size=8, accumulate=2, shuffle=False, epochs=1)
    np.testing.assert_allclose(
        trainer.model.parameters, model.parameters - 0.1 * np.mean(gradients, axis=0), rtol=1e-10, atol=1e-13
    )
    z = X @ model.layers[0].weight.T + model.layers[0].bias
    expected = 0.25 * 0 + 0.25 * z[:8].mean(axis=0) + 0.5 * z[8:].mean(axis=0)
    np.testing.assert_allclose(trainer.model.layers[1].running_mean, expected, rtol=1e-10, atol=1e-13)


def test_refused(data: tuple[Array, Array]) -> None:
    with pytest.raises(ValueError, match="accumulate must be"):
        fit(dense()(), data, accumulate=0)
    with pytest.raises(ValueError, match="accumulate must be 1 for LBFGS, which takes no batches, got 2"):
        fit(dense()(), data, "lbfgs", accumulate=2)
    with pytest.raises(ValueError, match="the last batch of 17 rows in batches of 8 has 1"):
        fit(dense(nn.BatchNorm())(), (data[0][:17], data[1][:17]), batch_size=8, accumulate=2)


@pytest.mark.parametrize("name", sorted(name for name, cls in OPTIMIZERS.items() if cls.full_batch_only))
def test_optimizers_of_the_full_batch_take_all_rows(name: str, data: tuple[Array, Array]) -> None:
    X, y = data[0][:10], data[1][:10]
    with pytest.raises(ValueError, match=r"batch_size must be 10, all rows, .* got 8: take batch_size=10"):
        fit(dense()(), (X, y), name, accumulate=3, last_batch="drop")
    for options in ({"accumulate": 3}, {"accumulate": 5, "last_batch": "drop"}, {"last_batch": "drop"}):
        fit(dense()(), (X, y), name, **options)


def test_a_step_that_diverges_leaves_the_parameters(data: tuple[Array, Array]) -> None:
    """In its second part: nothing of the first reaches the parameters, nor a later step."""
    X = data[0].copy()
    X[12] = 1e200
    model = dense()()
    before = model.parameters.copy()
    trainer = nn.Trainer(nn.Sequential([nn.Dense(2)], input_shape=6, dtype="float64"), "squared_error", nn.SGD(lr=1e-3))
    start = trainer.model.parameters.copy()
    with pytest.raises(nn.DivergenceError):
        trainer.fit(X, np.zeros((N, 2)), batch_size=8, accumulate=3, shuffle=False, verbose=0)
    assert np.array_equal(trainer.model.parameters, start)
    trainer.fit(data[0], np.zeros((N, 2)), batch_size=8, accumulate=3, shuffle=False, verbose=0)
    other = nn.Trainer(nn.Sequential([nn.Dense(2)], input_shape=6, dtype="float64"), "squared_error", nn.SGD(lr=1e-3))
    other.fit(data[0], np.zeros((N, 2)), batch_size=8, accumulate=3, shuffle=False, verbose=0)
    assert np.array_equal(trainer.model.parameters, other.model.parameters)
    assert np.array_equal(model.parameters, before)


class Watched(nn.Layer):
    """The identity; calls a function in each of its passes in training."""

    def __init__(self, call: Callable[[str], None], name: str | None = None) -> None:
        super().__init__(name=name)
        self.call = call

    def forward(self, x: Array, training: bool) -> Array:
        if training:
            self.call("forward")
        return x

    def backward(self, dy: Array) -> Array:
        self.call("backward")
        return dy


def normalized(call: Callable[[str], None], units: int = 4) -> nn.Trainer:
    layers = [nn.Dense(units), nn.BatchNorm(), nn.Tanh(), Watched(call), nn.Dense(1)]
    return nn.Trainer(nn.Sequential(layers, input_shape=6, dtype="float64", seed=1), "squared_error", nn.SGD(lr=0.01))


@pytest.mark.parametrize(("accumulate", "batch_size"), [(1, 16), (2, 8), (4, 4)])
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("cause", ["forward", "backward", "loss"])
def test_running_statistics_are_those_of_the_steps_that_count(
    accumulate: int, batch_size: int, threads: int, cause: str, data: tuple[Array, Array]
) -> None:
    """The second step fails: in each of its parts, or as a whole."""
    units = 400 if threads > 1 else 4  # enough work for both
    X, y, before = data[0][:48], data[0][:48].sum(axis=1), nn.get_num_threads()
    options: dict[str, Any] = {"batch_size": batch_size, "accumulate": accumulate, "shuffle": False, "verbose": 0}
    nn.set_num_threads(threads)
    try:
        right = normalized(lambda where: None, units)
        right.fit(X[:16], y[:16], **options)
        for part in range(accumulate):
            passes, targets = {"forward": 0, "backward": 0}, y.copy()

            def call(where: str, part: int = part, passes: dict[str, int] = passes) -> None:
                passes[where] += 1
                if where == cause and passes[where] == accumulate + part + 1:
                    raise OSError("on purpose")

            trainer = normalized(call, units)
            if cause == "loss":
                targets[16 + part * batch_size] = 1e200
            with pytest.raises((OSError, nn.DivergenceError)):
                trainer.fit(X, targets, **options)
            assert trainer.optimizer.step_count == 1
            assert trainer.model.parameters.tobytes() == right.model.parameters.tobytes()
            assert trainer.model.state.tobytes() == right.model.state.tobytes()
    finally:
        nn.set_num_threads(before)


@pytest.mark.skipif(os.name == "nt", reason="needs signals")
@pytest.mark.parametrize("part", [0, 1, 2])
def test_pressing_ctrl_c_twice_leaves_a_step_in_any_of_its_parts(part: int) -> None:
    rows, parts = 3000, [0]

    def press(where: str) -> None:
        if where == "forward":
            parts[0] += 1
        if where == "forward" and parts[0] == part + 1:
            for _ in range(2):
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(0.03)

    trainer = normalized(press, units=300)
    X = np.random.default_rng(0).standard_normal((rows, 6))
    theta, state = trainer.model.parameters.copy(), trainer.model.state.copy()
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(X, X.sum(axis=1), batch_size=rows // 3, accumulate=3, epochs=5, verbose=0)
    assert parts == [part + 1]
    assert trainer.optimizer.step_count == 0
    assert np.array_equal(trainer.model.parameters, theta)
    assert np.array_equal(trainer.model.state, state)
