"""Trainer: whole trainings against NumPy loops, and what fit, evaluate and their columns promise."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from helpers.training import (
    ENDS,
    INPUTS,
    IS_WEIGHT,
    OPTIMIZERS,
    OUTPUTS,
    N,
    NumpyOptimizer,
    each_optimizer,
    make,
    numpy_gradient,
    numpy_training,
)
from numpy.typing import NDArray

import nncore as nn
from nncore import _kernels, schedules
from nncore.data.splits import train_validation_split

Array = NDArray[Any]
RTOL = 1e-10  # of a float64 training of some dozen steps


@pytest.fixture
def data(rng: np.random.Generator) -> tuple[Array, Array]:
    X = rng.standard_normal((N, INPUTS))
    return X, (X @ rng.standard_normal((INPUTS, OUTPUTS))).argmax(axis=1)


def fit(model: nn.Sequential, data: tuple[Array, Array], optimizer: Any = "adam", **kw: Any) -> nn.Trainer:
    """Train silently; other keyword arguments go to fit."""
    own = {name: kw.pop(name) for name in ("regularizer", "clip", "metrics", "seed") if name in kw}
    trainer = nn.Trainer(model, kw.pop("loss", "softmax_cross_entropy"), optimizer, **own)
    trainer.fit(*data, **{"verbose": 0, "epochs": 4, "batch_size": 16} | kw)
    return trainer


@each_optimizer
@pytest.mark.parametrize("batch", [1, 16, 53, 100])
def test_against_a_numpy_loop(name: str, batch: int, data: tuple[Array, Array]) -> None:
    model = make()
    want, losses = numpy_training(name, model.parameters, data, batch=batch, seed=11)
    trainer = fit(model, data, OPTIMIZERS[name](0.05), batch_size=batch, seed=11)
    assert np.allclose(model.parameters, want, rtol=RTOL, atol=RTOL)
    assert np.allclose(trainer.history["running_loss"], losses, rtol=RTOL, atol=0)
    assert np.abs(want - make().parameters).max() > 0.01


@each_optimizer
def test_in_sequence_against_a_numpy_loop(name: str, data: tuple[Array, Array]) -> None:
    model = make()
    want, losses = numpy_training(name, model.parameters, data, shuffle=False)
    trainer = fit(model, data, OPTIMIZERS[name](0.05), shuffle=False)
    assert np.allclose(model.parameters, want, rtol=RTOL, atol=RTOL)
    assert np.allclose(trainer.history["running_loss"], losses, rtol=RTOL, atol=0)


@each_optimizer
@pytest.mark.parametrize("per", ["step", "epoch"])
def test_schedule_of_the_learning_rate(name: str, per: str, data: tuple[Array, Array]) -> None:
    """Four steps per epoch (53 rows in batches of 16)."""
    unit = {"step": 1, "epoch": 4}[per]
    model = make()
    want, _ = numpy_training(name, model.parameters, data, lr=lambda t: 0.1 * 0.8 ** (t // unit))
    fit(model, data, OPTIMIZERS[name](schedules.Exponential(0.1, gamma=0.8, per=per)))
    assert np.allclose(model.parameters, want, rtol=RTOL, atol=RTOL)


def test_an_assigned_rate_takes_effect(data: tuple[Array, Array]) -> None:
    model = make()
    trainer = fit(model, data, nn.SGD(lr=0.05), epochs=2)
    trainer.optimizer.lr = 0.01
    trainer.fit(*data, epochs=2, batch_size=16, verbose=0)
    want, _ = numpy_training("sgd", make().parameters, data, lr=lambda t: 0.05 if t < 8 else 0.01)
    assert np.allclose(model.parameters, want, rtol=RTOL, atol=RTOL)


# Penalties and clipping.

REGULARIZERS = {"L2": (nn.L2(0.3), 0.0, 0.3), "L1": (nn.L1(0.02), 0.02, 0.0), "both": (nn.ElasticNet(0.02, 0.3), 0.02, 0.3)}


@pytest.mark.parametrize("name", ["sgd", "nesterov", "adam"])
@pytest.mark.parametrize("kind", REGULARIZERS)
def test_regularizers(kind: str, name: str, data: tuple[Array, Array]) -> None:
    regularizer, l1, l2 = REGULARIZERS[kind]

    def penalty(theta: Array) -> float:
        w = theta[IS_WEIGHT == 1]
        return l1 * np.abs(w).sum() + 0.5 * l2 * (w**2).sum()

    model = make()
    want, losses = numpy_training(
        name, model.parameters, data, penalty=penalty,
        gradient=lambda theta, g: g + IS_WEIGHT * (l1 * np.sign(theta) + l2 * theta),
    )  # fmt: skip
    trainer = fit(model, data, OPTIMIZERS[name](0.05), regularizer=regularizer, exact_loss=True)
    assert np.allclose(model.parameters, want, rtol=RTOL, atol=RTOL)
    history = trainer.history
    assert np.allclose(history["running_loss"], losses, rtol=RTOL, atol=0)
    end = trainer.evaluate(*data)
    assert end["penalty"] == pytest.approx(penalty(model.parameters), rel=1e-13)
    assert end["penalty"] == regularizer.value(model) > 0
    assert end["loss"] == pytest.approx(numpy_gradient(model.parameters, *data)[0] + end["penalty"], rel=1e-12)
    assert history["loss"][-1] == end["loss"]
    assert history["penalty"][-1] == end["penalty"]
    # l1 and l2 are not small compared with the loss: each affects both
    assert history["running_penalty"][0] > 0.01 * history["running_loss"][0]


def test_the_running_penalty_is_that_of_the_steps(data: tuple[Array, Array]) -> None:
    """Weights start at 0 and barely change; the penalty of the first step is that of the start."""
    model = make()
    start = nn.L2(2.0).value(model)
    trainer = fit(model, data, nn.SGD(lr=1e-300), regularizer=nn.L2(2.0), epochs=1)
    assert trainer.history["running_penalty"][0] == pytest.approx(start, rel=1e-14)
    assert start == pytest.approx((model.parameters**2 * IS_WEIGHT).sum(), rel=1e-13)


def clip_array(g: Array, limit: float) -> Array:
    return g * min(1.0, limit / np.sqrt((g**2).sum()))


CLIPS: dict[str, tuple[nn.optimizers.clipping.Clipping, Callable[[Array], Array]]] = {
    "value": (nn.ClipValue(0.02), lambda g: np.clip(g, -0.02, 0.02)),
    "norm": (nn.ClipNorm(0.1), lambda g: np.concatenate([clip_array(part, 0.1) for part in np.split(g, ENDS[:-1])])),
    "global norm": (nn.ClipGlobalNorm(0.2), lambda g: clip_array(g, 0.2)),
    "global norm, sometimes": (nn.ClipGlobalNorm(0.6), lambda g: clip_array(g, 0.6)),
    "global norm, never": (nn.ClipGlobalNorm(1e6), lambda g: g),
}


@pytest.mark.parametrize("regularized", [False, True])
@pytest.mark.parametrize("kind", CLIPS)
def test_clipping(kind: str, regularized: bool, data: tuple[Array, Array]) -> None:
    """The gradient that is clipped includes the penalty's."""
    clip, numpy_clip = CLIPS[kind]
    strength = 0.3 if regularized else 0.0
    changed = []

    def gradient(theta: Array, g: Array) -> Array:
        g = g + strength * IS_WEIGHT * theta
        changed.append(not np.array_equal(numpy_clip(g), g))
        return numpy_clip(g)

    model = make()
    want, _ = numpy_training("adam", model.parameters, data, gradient=gradient)
    fit(model, data, OPTIMIZERS["adam"](0.05), clip=clip, regularizer=nn.L2(strength) if regularized else None)
    assert np.allclose(model.parameters, want, rtol=RTOL, atol=RTOL)
    assert any(changed) == (kind != "global norm, never")
    if kind == "global norm, sometimes":
        assert not all(changed)


@pytest.mark.parametrize("kind", CLIPS)
def test_history_of_clipping(kind: str, data: tuple[Array, Array]) -> None:
    """The mean norm before clipping, penalty included, and the fraction of steps that were clipped."""
    clip, numpy_clip = CLIPS[kind]
    norms, acted = [], []

    def gradient(theta: Array, g: Array) -> Array:
        g = g + 0.1 * IS_WEIGHT * theta
        norms.append(np.linalg.norm(g))
        acted.append(not np.array_equal(numpy_clip(g), g))
        return numpy_clip(g)

    numpy_training("sgd", make().parameters, data, gradient=gradient, epochs=15)
    history = fit(make(), data, nn.SGD(lr=0.05), clip=clip, regularizer=nn.L2(0.1), epochs=15).history
    assert history["grad_norm"] == pytest.approx(np.reshape(norms, (15, 4)).mean(axis=1), rel=1e-11)
    assert history["clipped"].tolist() == np.reshape(acted, (15, 4)).mean(axis=1).tolist()
    if kind == "global norm, sometimes":
        assert 0 < history["clipped"].mean() < 1
    partly = fit(make(), data, nn.SGD(lr=0.05), clip=clip, regularizer=nn.L2(0.1), epochs=15, validation_data=data).history
    assert all(np.array_equal(partly[name], history[name]) for name in ("grad_norm", "clipped"))


def test_history_of_hyper_parameters(data: tuple[Array, Array]) -> None:
    """Four steps per epoch: the last one is reported. Constants have no column, except the learning rate."""
    rate, beta = schedules.Exponential(0.1, gamma=0.9), schedules.PiecewiseConstant([2], [0.9, 0.95], per="epoch")
    trainer = fit(make(), data, nn.Adam(lr=rate, betas=(0.8, beta)), epochs=3)
    history = trainer.history
    assert history.columns == ["running_loss", "lr", "beta2"]
    assert history["lr"] == pytest.approx([0.1 * 0.9**t for t in (3, 7, 11)], rel=1e-14)
    assert history["beta2"].tolist() == [0.9, 0.9, 0.95]
    trainer.optimizer.lr = 0.25
    trainer.fit(*data, epochs=1, batch_size=53, verbose=0)
    assert history["lr"][-1] == 0.25
    assert fit(make(), data, nn.Rprop(), batch_size=53).history.columns == ["running_loss"]


# Assignments after a fit take effect from then on.


def test_a_loss_a_penalty_and_a_clip_may_be_assigned(data: tuple[Array, Array]) -> None:
    trainer = fit(make(), data, nn.SGD(lr=0.05), epochs=2)
    theta, _ = numpy_training("sgd", make().parameters, data, epochs=2)
    trainer.regularizer, trainer.clip = nn.L2(0.3), nn.ClipGlobalNorm(0.2)
    trainer.fit(*data, epochs=2, batch_size=16, verbose=0)
    theta, _ = numpy_training(
        "sgd", theta, data, epochs=2, first_epoch=2, gradient=lambda theta, g: clip_array(g + 0.3 * IS_WEIGHT * theta, 0.2)
    )
    assert np.allclose(trainer.model.parameters, theta, rtol=RTOL, atol=RTOL)
    assert trainer.evaluate(*data)["penalty"] > 0
    trainer.regularizer.l2, trainer.clip.limit = 0.1, 0.1
    trainer.fit(*data, epochs=2, batch_size=16, verbose=0)
    theta, _ = numpy_training(
        "sgd", theta, data, epochs=2, first_epoch=4, gradient=lambda theta, g: clip_array(g + 0.1 * IS_WEIGHT * theta, 0.1)
    )
    assert np.allclose(trainer.model.parameters, theta, rtol=RTOL, atol=RTOL)
    trainer.regularizer = trainer.clip = None
    trainer.fit(*data, epochs=2, batch_size=16, verbose=0)
    theta, _ = numpy_training("sgd", theta, data, epochs=2, first_epoch=6)
    assert np.allclose(trainer.model.parameters, theta, rtol=RTOL, atol=RTOL)
    assert set(trainer.evaluate(*data)) == {"loss"}
    trainer.loss = "squared_error"
    assert trainer.evaluate(*data)["loss"] == nn.Trainer(trainer.model, "squared_error").evaluate(*data)["loss"]
    with pytest.raises(ValueError, match="loss must be"):
        trainer.loss = "none"
    with pytest.raises(TypeError, match="regularizer must be a Regularizer"):
        trainer.regularizer = 0.1
    with pytest.raises(TypeError, match="clip must be a Clipping"):
        trainer.clip = 5.0
    assert (trainer.loss.name, trainer.regularizer, trainer.clip) == ("squared_error", None, None)


# The number of steps per call does not matter.


@each_optimizer
@pytest.mark.parametrize("seconds", [0.0, 1e-4, 10.0])
def test_same_bits_however_the_steps_are_grouped(
    name: str, seconds: float, data: tuple[Array, Array], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One step per call, a few, or the whole training."""
    lr = schedules.Exponential(0.1, gamma=0.97)
    kw: dict[str, Any] = {"regularizer": nn.L2(1e-3), "clip": nn.ClipGlobalNorm(0.3), "epochs": 12, "batch_size": 5}
    want = fit(make(), data, OPTIMIZERS[name](lr), exact_loss=True, **kw)
    monkeypatch.setattr("nncore.program.autotune.SECONDS_PER_CALL", seconds)
    got = fit(make(), data, OPTIMIZERS[name](lr), **kw)
    assert got.model.parameters.tobytes() == want.model.parameters.tobytes()
    assert np.array_equal(got.history["running_loss"], want.history["running_loss"])
    assert got.epochs_done == want.epochs_done == len(got.history) == 12
    assert got.optimizer.step_count == want.optimizer.step_count == 12 * 11


@each_optimizer
def test_fit_twice_continues(name: str, data: tuple[Array, Array]) -> None:
    lr = schedules.Exponential(0.1, gamma=0.97)
    once = fit(make(), data, OPTIMIZERS[name](lr), epochs=7)
    twice = fit(make(), data, OPTIMIZERS[name](lr), epochs=3)
    twice.fit(*data, epochs=4, batch_size=16, verbose=0)
    assert once.model.parameters.tobytes() == twice.model.parameters.tobytes()
    assert once.history == twice.history
    assert len(once.history) == once.epochs_done == 7


def test_what_the_bits_depend_on(data: tuple[Array, Array]) -> None:
    bits = {
        (seed, shuffle): fit(make(), data, seed=seed, shuffle=shuffle).model.parameters.tobytes()
        for seed in (0, 1)
        for shuffle in (True, False)
    }
    assert bits[0, True] == fit(make(), data).model.parameters.tobytes()
    assert bits[0, False] == bits[1, False]
    assert len(set(bits.values())) == 3


# A last batch that is left out.


@pytest.mark.parametrize("split", [0.0, 0.2])
@pytest.mark.parametrize("shuffle", [False, True])
def test_a_dropped_batch_is_not_there(shuffle: bool, split: float, data: tuple[Array, Array]) -> None:
    """As steps on the first whole batches of each order; the columns are means over the rows of these."""
    X, y = data
    trainer = nn.Trainer(make("float64"), "softmax_cross_entropy", "adam", metrics=["accuracy"], seed=3)
    kw: dict[str, Any] = {"batch_size": 9, "shuffle": shuffle, "validation_split": split, "verbose": 0}
    history = trainer.fit(X, y, epochs=3, last_batch="drop", **kw)
    rows = train_validation_split(X, y, split, seed=3, stratify=True)[0] if split else np.arange(len(X))
    assert len(rows) % 9
    steps = len(rows) // 9
    assert trainer.optimizer.step_count == 3 * steps
    orders = _kernels.shuffled_orders(len(rows), 3, 3, 0) if shuffle else np.tile(np.argsort(rows), (3, 1))
    other = nn.Trainer(make("float64"), "softmax_cross_entropy", "adam", metrics=["accuracy"], seed=3)
    for epoch, order in enumerate(orders):
        taken = rows[order[: 9 * steps]]
        row = other.partial_fit(X[taken], y[taken], batch_size=9)
        for name in ("running_loss", "running_accuracy"):
            assert history[name][epoch] == pytest.approx(row[name], rel=1e-13)
    np.testing.assert_allclose(trainer.model.parameters, other.model.parameters, rtol=1e-12)


class InOrder(nn.samplers.Sampler):
    """As they come, of which the losses are noted."""

    uses_losses = True

    def orders(self, examples: Any, first_epoch: int, epochs: int) -> None:
        return None


def test_examples_of_a_dropped_batch_keep_their_loss(data: tuple[Array, Array]) -> None:
    X, y = data
    trainer = nn.Trainer(make("float64"), "softmax_cross_entropy", nn.SGD(lr=0.1))
    losses = [trainer.evaluate(X[[i]], y[[i]])["loss"] for i in range(len(X))]
    rest = len(X) % 9
    trainer.fit(X, y, batch_size=9, sampler="largest_loss_first", last_batch="drop", verbose=0)
    last = np.argsort(losses)[:rest]
    np.testing.assert_allclose(trainer._last_losses.values[last], np.asarray(losses)[last], rtol=1e-12)
    before = trainer._last_losses.values.copy()
    trainer.fit(X, y, batch_size=9, sampler=InOrder(), last_batch="drop", verbose=0)
    assert np.array_equal(trainer._last_losses.values[-rest:], before[-rest:])
    assert (trainer._last_losses.values[:-rest] != before[:-rest]).all()


def test_nothing_is_dropped_of_a_single_batch(data: tuple[Array, Array]) -> None:
    models = [fit(make("float64"), data, batch_size=10 * N, last_batch=kind) for kind in ("keep", "drop")]
    assert np.array_equal(models[0].model.parameters, models[1].model.parameters)


# Learning.


@pytest.mark.parametrize(("loss", "outputs"), [("softmax_cross_entropy", 2), ("sigmoid_cross_entropy", 1), ("hinge", 1)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_xor_is_solved(loss: str, outputs: int, dtype: str) -> None:
    X, y = nn.data.xor()
    model = nn.Sequential([nn.Dense(8), nn.Tanh(), nn.Dense(outputs)], input_shape=2, dtype=dtype, seed=1)
    trainer = nn.Trainer(model, loss, nn.Adam(lr=0.05), metrics=["accuracy"])
    assert trainer.evaluate(X, y)["accuracy"] < 1
    trainer.fit(X, y, epochs=300, batch_size=4, verbose=0)
    end = trainer.evaluate(X, y)
    assert end["accuracy"] == 1
    assert end["loss"] < 0.05


def slopes(shuffle: bool) -> Array:
    """The slope of y = w x in the middle and at the end of each of 60 epochs of the data of B2, the first 20 left out."""
    X, y = nn.data.ordered_lines(10)
    X, y = X / 10, y / 10
    model = nn.Sequential([nn.Dense(1, bias=False, weight_init="zeros")], input_shape=1)
    trainer = nn.Trainer(model, "squared_error", nn.SGD(lr=0.1))
    way = []
    for epoch in range(60):
        order = _kernels.shuffled_orders(20, 1, 0, epoch)[0] if shuffle else np.arange(20)
        for half in order[:10], order[10:]:
            trainer.partial_fit(X[half], y[half], batch_size=2)
            way.append(model.parameters[0])
    return np.array(way[40:]).reshape(40, 2)


def test_ordered_data_oscillates_unless_shuffled() -> None:
    """B2: in sequence the slope swings between the lines 2x and −x; shuffled it stays near the least-squares line x/2."""
    sequential, shuffled = slopes(False), slopes(True)
    assert (sequential[:, 0] > 0.6).all()
    assert (sequential[:, 1] < 0.4).all()
    assert np.abs(shuffled - 0.5).mean() < 0.1
    assert abs(shuffled.mean() - 0.5) < 0.02
    assert np.ptp(sequential[:, 1]) < 1e-4 < np.ptp(shuffled[:, 1])


@pytest.mark.parametrize("shuffle", [True, False])
def test_ordered_data_in_fit(shuffle: bool) -> None:
    """After each epoch in sequence the slope is too near that of the second line."""
    X, y = nn.data.ordered_lines(10)
    model = nn.Sequential([nn.Dense(1, bias=False, weight_init="zeros")], input_shape=1)
    ends: list[float] = []
    keep = nn.LambdaCallback(on_epoch_end=lambda *_: ends.append(float(model.parameters[0])))
    trainer = nn.Trainer(model, "squared_error", nn.SGD(lr=0.1))
    trainer.fit(X / 10, y / 10, epochs=60, batch_size=2, shuffle=shuffle, callbacks=[keep], verbose=0)
    distances = np.abs(np.array(ends[20:]) - 0.5)
    if shuffle:
        assert distances.mean() < 0.05
    else:
        assert distances.min() > 0.14


# Columns.


def test_validation_and_exact_loss_are_those_of_evaluate(data: tuple[Array, Array], rng: np.random.Generator) -> None:
    held_out = rng.standard_normal((1100, INPUTS)), rng.integers(0, OUTPUTS, 1100)
    seen: list[dict[str, float]] = []

    def look(trainer: nn.Trainer, epoch: int, row: dict[str, float]) -> None:
        validation = {f"val_{name}": value for name, value in trainer.evaluate(*held_out).items()}
        seen.append(trainer.evaluate(*data) | validation)

    trainer = fit(
        make("float32"), data, regularizer=nn.L2(0.1), metrics=["accuracy"], validation_data=held_out,
        exact_loss=True, callbacks=[nn.LambdaCallback(on_epoch_end=look)],
    )  # fmt: skip
    history = trainer.history
    for name in ("loss", "accuracy", "penalty", "val_loss", "val_accuracy", "val_penalty"):
        assert history[name].tolist() == [row[name] for row in seen]
    assert history["val_loss"][-1] == trainer.evaluate(*held_out)["loss"]
    assert len(set(history["val_loss"])) == 4


def test_columns(data: tuple[Array, Array]) -> None:
    history = fit(make(), data).history
    assert history.columns == ["running_loss", "lr"]
    assert len(history) == 4
    history = fit(make(), data, metrics=["accuracy"], exact_loss=True, validation_data=data, regularizer=nn.L1(0.1)).history
    measures = ["loss", "accuracy", "penalty"]
    expected = [*(f"running_{name}" for name in measures), *measures, *(f"val_{name}" for name in measures)]
    assert sorted(history.columns) == sorted([*expected, "lr"])
    assert np.array_equal(history["loss"], history["val_loss"])


def test_running_columns_are_means_while_the_parameters_change(data: tuple[Array, Array]) -> None:
    trainer = fit(make(), data, nn.SGD(lr=1e-300), metrics=["accuracy"], exact_loss=True)
    history = trainer.history
    assert np.allclose(history["running_loss"], history["loss"], rtol=1e-13)
    assert np.allclose(history["running_accuracy"], history["accuracy"], rtol=1e-14)
    trained = fit(make(), data, nn.SGD(lr=0.1), exact_loss=True).history
    assert (trained["running_loss"] > trained["loss"]).all()


def test_evaluate_is_the_mean_over_the_examples(rng: np.random.Generator) -> None:
    """Also over more rows than one pass takes, the last part being small."""
    model = make()
    X, labels = rng.standard_normal((1100, INPUTS)), rng.integers(0, OUTPUTS, 1100)
    trainer = nn.Trainer(model, "softmax_cross_entropy", metrics=["accuracy"])
    got = trainer.evaluate(X, labels)
    assert got["loss"] == pytest.approx(numpy_gradient(model.parameters, X, labels)[0], rel=1e-13)
    assert got["accuracy"] == (model.predict(X).argmax(axis=1) == labels).mean()
    assert trainer.epochs_done == trainer.optimizer.step_count == len(trainer.history) == 0


def test_evaluate_changes_nothing(data: tuple[Array, Array]) -> None:
    trainer = fit(make(), data)
    theta, gradient, state = trainer.model.parameters.copy(), trainer.model.gradients.copy(), trainer.optimizer.state_dict()
    trainer.evaluate(*data)
    trainer.model.predict(data[0])
    assert np.array_equal(trainer.model.parameters, theta)
    assert np.array_equal(trainer.model.gradients, gradient)
    assert all(np.array_equal(value, state[name]) for name, value in trainer.optimizer.state_dict().items())


# Callbacks.


def test_early_stopping_restores_the_best(rng: np.random.Generator) -> None:
    """Targets are noise: learning it makes the validation loss worse."""
    X, y = rng.standard_normal((30, INPUTS)), rng.standard_normal((30, OUTPUTS))
    held_out = rng.standard_normal((200, INPUTS)), rng.standard_normal((200, OUTPUTS))
    trainer = nn.Trainer(make(), "squared_error", nn.Adam(lr=0.05))
    ways: list[Array] = []
    keep = nn.LambdaCallback(on_epoch_end=lambda trainer, *_: ways.append(trainer.model.parameters.copy()))
    stopping = nn.EarlyStopping(patience=4)
    history = trainer.fit(X, y, epochs=200, validation_data=held_out, callbacks=[keep, stopping], verbose=0)
    best = history.best("val_loss")
    assert len(history) == best + 4 < 200
    assert trainer.stop_training
    assert np.array_equal(trainer.model.parameters, ways[best - 1])
    assert not np.array_equal(ways[best - 1], ways[-1])
    assert trainer.evaluate(*held_out)["loss"] == history["val_loss"].min()


def test_callbacks_are_called_in_order(data: tuple[Array, Array]) -> None:
    calls: list[tuple[Any, ...]] = []

    class Log(nn.Callback):
        def __init__(self, name: str) -> None:
            self.name = name

        def on_train_begin(self, trainer: Any) -> None:
            calls.append((self.name, "begin"))

        def on_epoch_begin(self, trainer: Any, epoch: int) -> None:
            calls.append((self.name, "epoch begin", epoch, len(trainer.history)))

        def on_epoch_end(self, trainer: Any, epoch: int, row: dict[str, float]) -> None:
            assert row["running_loss"] == trainer.history["running_loss"][-1]
            assert "val_loss" in row
            calls.append((self.name, "epoch end", epoch, len(trainer.history)))

        def on_train_end(self, trainer: Any) -> None:
            calls.append((self.name, "end"))

    trainer = fit(make(), data, epochs=2, callbacks=[Log("a"), Log("b")], validation_data=data)
    want: list[tuple[Any, ...]] = [("begin",)]
    for epoch in (1, 2):
        want += [("epoch begin", epoch, epoch - 1), ("epoch end", epoch, epoch)]
    want.append(("end",))
    assert calls == [(name, *event) for event in want for name in "ab"]
    calls.clear()
    trainer.fit(*data, callbacks=[Log("a")], validation_data=data, verbose=0)
    assert [call[2] for call in calls if len(call) > 2] == [3, 3]  # epochs are counted over all calls


def test_a_callback_ends_the_training(data: tuple[Array, Array]) -> None:
    def stop(trainer: nn.Trainer, epoch: int, row: dict[str, float]) -> None:
        trainer.stop_training = epoch == 3

    trainer = fit(make(), data, epochs=10, callbacks=[nn.LambdaCallback(on_epoch_end=stop)])
    assert len(trainer.history) == trainer.epochs_done == 3
    assert trainer.model.parameters.tobytes() == fit(make(), data, epochs=3).model.parameters.tobytes()
    trainer.fit(*data, epochs=2, verbose=0)
    assert len(trainer.history) == 5


def test_callbacks_do_not_change_the_bits(data: tuple[Array, Array]) -> None:
    plain = fit(make(), data)
    watched = fit(make(), data, callbacks=[nn.Callback()], validation_data=data, exact_loss=True)
    assert plain.model.parameters.tobytes() == watched.model.parameters.tobytes()


# partial_fit.


def test_partial_fit_is_a_step(data: tuple[Array, Array]) -> None:
    X, labels = data
    model = make()
    trainer = nn.Trainer(model, "softmax_cross_entropy", OPTIMIZERS["adam"](0.05), metrics=["accuracy"])
    optimizer = NumpyOptimizer("adam", model.parameters, lambda t: 0.05)
    for start in range(0, N, 10):
        rows = slice(start, start + 10)
        accuracy = (model.predict(X[rows]).argmax(axis=1) == labels[rows]).mean()
        loss, g = numpy_gradient(optimizer.theta, X[rows], labels[rows])
        optimizer.step(g)
        row = trainer.partial_fit(X[rows], labels[rows])
        assert row == pytest.approx({"running_loss": loss, "running_accuracy": accuracy}, rel=1e-11)
    assert np.allclose(model.parameters, optimizer.theta, rtol=RTOL, atol=RTOL)


@each_optimizer
def test_partial_fit_in_batches_is_an_epoch_in_sequence(name: str, data: tuple[Array, Array]) -> None:
    trainer = nn.Trainer(make(), "softmax_cross_entropy", OPTIMIZERS[name](0.05))
    for _ in range(3):
        trainer.partial_fit(*data, batch_size=16)
    want = fit(make(), data, OPTIMIZERS[name](0.05), epochs=3, shuffle=False)
    assert trainer.model.parameters.tobytes() == want.model.parameters.tobytes()


def test_partial_fit_follows_a_drifting_target(rng: np.random.Generator) -> None:
    """B4: the slope changes from 1 to −1; a model trained on the newest data follows it."""
    model = nn.Sequential([nn.Dense(1)], input_shape=1, dtype="float64", seed=0)
    trainer = nn.Trainer(model, "squared_error", nn.SGD(lr=0.2))
    errors = []
    for slope in np.linspace(1, -1, 400):
        x = rng.standard_normal((16, 1))
        trainer.partial_fit(x, slope * x)
        errors.append(abs(model.layers[0].weight.item() - slope))
    assert max(errors[50:]) < 0.1


# Verbosity.


def test_progress_goes_to_stderr_unless_silent(data: tuple[Array, Array], capsys: pytest.CaptureFixture[str]) -> None:
    fit(make(), data, verbose=0)
    out, err = capsys.readouterr()
    assert out == err == ""
    fit(make(), data, verbose=2)
    out, err = capsys.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert [line.split()[:2] for line in lines] == [["epoch", f"{n}/4"] for n in (1, 2, 3, 4)]
    assert all("running_loss" in line for line in lines)
