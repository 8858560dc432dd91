"""Parts of the library together: what each does alone is tested beside it, here what they do to one another."""

from __future__ import annotations

import copy
import itertools
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import nncore as nn
from nncore import samplers
from nncore.layers import LAYERS
from nncore.optimizers import OPTIMIZERS
from nncore.second_order import OPTIMIZERS as SECOND_ORDER
from nncore.second_order import ConditioningMonitor, HessianOperator, LevenbergMarquardt, curvature

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
    """Inputs and targets far from 0, in unlike units."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, 3)) * [1.0, 20.0, 0.1] + [5.0, -100.0, 3.0]
    z = (X - [5.0, -100.0, 3.0]) / [1.0, 20.0, 0.1]
    return X, np.column_stack([1000 + 50 * np.tanh(z[:, 0]), -3 + 0.1 * z[:, 1] * z[:, 2]])


# ---- averages, normalisation, noise, clip, penalty and schedule: saved midway

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


@pytest.mark.parametrize("wrap", WRAPS)
@pytest.mark.parametrize("norm", NORMS)
def test_saved_midway_gives_the_same_bits(wrap: str, norm: str, tmp_path: Path) -> None:
    X, y = classes()
    weights = np.random.default_rng(0).uniform(0.5, 2, len(X))
    fit = {"batch_size": 16, "verbose": 0, "validation_data": (X, y), "sample_weight": weights, "class_weight": "balanced"}
    through, first, second = (everything(wrap, norm) for _ in range(3))
    through.fit(X, y, epochs=5, **fit)
    first.fit(X, y, epochs=2, **fit)
    first.save(tmp_path / "midway")
    second.restore(tmp_path / "midway")
    second.fit(X, y, epochs=3, **fit)
    same_training(through, second)
    with through.averaged(), second.averaged():
        assert np.array_equal(through.model.parameters, through.optimizer.averaged_parameters)
        assert through.evaluate(X, y) == second.evaluate(X, y)
    same_training(through, second)


def test_early_stopping_restores_the_running_statistics_and_averaged_evaluates() -> None:
    X, y = classes()
    kept: dict[int, tuple[Array, Array]] = {}

    def keep(trainer: Any, epoch: int, row: Any) -> None:
        kept[epoch] = trainer.model.parameters.copy(), trainer.model.state.copy()

    trainer = everything("ema", "batch norm")
    trainer.optimizer.lr = 0.3  # too much: the best epoch is not the last
    stop = nn.EarlyStopping("val_loss", patience=4)
    fit = {"epochs": 30, "batch_size": 16, "verbose": 0}
    history = trainer.fit(X, y, validation_data=(X[:30], y[:30]), callbacks=[nn.LambdaCallback(on_epoch_end=keep), stop], **fit)
    best = history.best("val_loss")
    assert best == stop.best_epoch < len(history)
    assert np.array_equal(trainer.model.parameters, kept[best][0])
    assert np.array_equal(trainer.model.state, kept[best][1])
    assert trainer.evaluate(X[:30], y[:30])["loss"] == history.row(best)["val_loss"]
    state = trainer.model.state.copy()
    with trainer.averaged():
        assert np.array_equal(trainer.model.parameters, trainer.optimizer.averaged_parameters)
        assert np.array_equal(trainer.model.state, state)
        trainer.evaluate(X, y)
    assert np.array_equal(trainer.model.parameters, kept[best][0])


# ---- weights, penalties, samplers


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
    each = 0.5 * ((out - y) ** 2).sum(axis=1) * (1 if w is None else w)
    activity = float((0.05 * np.abs(z).sum(axis=1) + 0.02 * np.abs(h).sum(axis=1)).mean())
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


def test_importance_sampling_reports_what_it_takes() -> None:
    rng = np.random.default_rng(1)
    X, y, w = rng.standard_normal((40, 3)), rng.standard_normal((40, 2)), rng.uniform(0, 3, 40)
    trainer = sparse_trainer()
    sampler = samplers.ImportanceSampling(mix=0.4)
    row, each = by_hand(trainer, X, y, w)
    history = trainer.fit(X, y, sample_weight=w, sampler=sampler, batch_size=8, verbose=0)
    p = 0.6 * each / each.sum() + 0.4 / 40
    order = sampler.order(samplers.Examples(40, trainer.seed, losses=each), 1)
    z = X[order] @ trainer.model[0].weight.T + trainer.model[0].bias
    activity = float((0.05 * np.abs(z).sum(axis=1) + 0.02 * np.abs(np.tanh(z)).sum(axis=1)).mean())
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


# ---- scalers inside the model, with everything that takes X and y


def scaled_pair(layers: Callable[[], list[nn.Layer]], **trainer: Any) -> tuple[nn.Trainer, nn.Trainer, Callable[..., Any]]:
    """Two trainers of one network, the first of which scales for itself; and what scales for the second."""
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


def test_scalers_with_every_way_to_look_at_the_model(tmp_path: Path) -> None:
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


# ---- recurrent layers among the others


def recurrent_trainer(dtype: str = "float32") -> nn.Trainer:
    layers = [
        nn.GRU(8, return_sequences=True, zoneout=0.2), nn.LayerNorm(), nn.Dropout(0.2),
        nn.SimpleRNN(12, zoneout=0.1), nn.GroupNorm(3), nn.GaussianDropout(0.1), nn.Dense(3),
    ]  # fmt: skip
    model = nn.Sequential(layers, input_shape=(6, 4), dtype=dtype, seed=1)
    opt = nn.GradientNoise(nn.EMA(nn.RMSprop(lr=0.003), decay=0.9), eta=0.001)
    return nn.Trainer(model, "softmax_cross_entropy", opt, clip=nn.ClipGlobalNorm(1.0), regularizer={"gru_1": nn.L2(0.01)})


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_recurrent_layers_in_company(dtype: str, tmp_path: Path) -> None:
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


# ---- second order: what it cannot take is refused by name


@pytest.mark.parametrize("name", SECOND_ORDER)
def test_wrappers_refuse_second_order(name: str) -> None:
    for wrap in (nn.EMA, nn.PolyakAveraging, nn.GradientNoise):
        for inner in (name, SECOND_ORDER[name]()):
            with pytest.raises((TypeError, ValueError), match=rf"optimizer.*{SECOND_ORDER[name].__name__}"):
                wrap(inner)


@pytest.mark.parametrize("name", SECOND_ORDER)
def test_second_order_refuses_by_name(name: str) -> None:
    X, y = classes()

    def trainer(extra: nn.Layer | None = None, **arguments: Any) -> nn.Trainer:
        layers = [nn.Dense(4), *([extra] if extra else []), nn.Tanh(), nn.Dense(3)]
        return nn.Trainer(nn.Sequential(layers, input_shape=5, seed=0), "softmax_cross_entropy", name, **arguments)

    ones = np.ones(len(X))
    for argument, value in (("sample_weight", ones), ("class_weight", "balanced"), ("sampler", "importance_sampling")):
        refusing = trainer()
        theta = refusing.model.parameters.copy()
        with pytest.raises(ValueError, match=argument):
            refusing.fit(X, y, verbose=0, **{argument: value})
        assert np.array_equal(refusing.model.parameters, theta)
    with pytest.raises(ValueError, match="batch_size"):
        trainer().fit(X, y, batch_size=10, verbose=0)
    with pytest.raises(ValueError, match="clip"):
        trainer(clip=nn.ClipValue(1.0)).fit(X, y, verbose=0)
    with pytest.raises(ValueError, match="lr_find"):
        trainer().lr_find(X, y)
    extras = [nn.BatchNorm(), nn.BatchRenorm(r_max=1.0, d_max=0.0), nn.Dropout(0.5), nn.GaussianNoise(0.1), nn.DropConnect(4)]
    for extra in extras:
        refusing = trainer(extra)
        theta, state = refusing.model.parameters.copy(), refusing.model.state.copy()
        with pytest.raises(ValueError, match=rf"{extra.name}.*{SECOND_ORDER[name].__name__}"):
            refusing.fit(X, y, verbose=0)
        assert np.array_equal(refusing.model.parameters, theta)
        assert np.array_equal(refusing.model.state, state)
    with pytest.raises(ValueError, match="averages"), trainer().averaged():
        pass


@pytest.mark.parametrize("name", ["bfgs", "lbfgs", "nonlinear_cg"])
def test_second_order_by_gradients_takes_layers_and_losses_in_python(name: str) -> None:
    X, y = numbers()
    rows = []
    for layer, loss in ((Affine(), half_squares), (None, "squared_error")):
        layers = [nn.Dense(5), *([layer] if layer else []), nn.ActivityL1(0.01), nn.Tanh(), nn.Dense(2)]
        model = nn.Sequential(layers, input_shape=3, dtype="float64", seed=6)
        model.input_scaler, model.target_scaler = nn.data.StandardScaler().fit(X), nn.data.StandardScaler().fit(y)
        trainer = nn.Trainer(model, loss, name, regularizer={"dense_1": nn.L2(0.1)})
        history = trainer.fit(X, y, epochs=15, verbose=0)
        assert history["loss"][-1] < 0.7 * history["loss"][0]
        result = trainer.evaluate(X, y)
        rows.append(result)
        for column in ("loss", "penalty", "activity_penalty"):
            assert history[column][-1] == pytest.approx(result[column], rel=1e-10), column
    assert rows[0]["loss"] == pytest.approx(rows[1]["loss"], rel=0.5)


@pytest.mark.parametrize("name", ["newton", "damped_newton", "gauss_newton", "levenberg_marquardt", "truncated_newton"])
def test_curvature_of_python_layers_is_refused_by_name(name: str) -> None:
    X, y = numbers()
    trainer = nn.Trainer(nn.Sequential([Affine(name="mine"), nn.Dense(2)], input_shape=3), "squared_error", name)
    theta = trainer.model.parameters.copy()
    with pytest.raises(TypeError, match="mine"):
        trainer.fit(X, y, verbose=0)
    assert np.array_equal(trainer.model.parameters, theta)


def test_levenberg_marquardt_counts_penalties_as_evaluate_does() -> None:
    options: dict[str, Any] = {"regularizer": {"dense_1": nn.L2(0.1)}, "metrics": ["squared_error"]}
    inside, _, _ = scaled_pair(smooth, optimizer=LevenbergMarquardt, **options)
    X, y = numbers()
    history = inside.fit(X, y, epochs=5, verbose=0)
    row = inside.evaluate(X, y)
    for column in row:
        assert history[column][-1] == pytest.approx(row[column], rel=1e-12), column


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


# ---- lr_find


def test_lr_find_counts_all_penalties() -> None:
    rng = np.random.default_rng(1)
    X, y = rng.standard_normal((40, 3)), rng.standard_normal((40, 2))
    trainer = sparse_trainer()
    found = trainer.lr_find(X, y, start=1e-300, end=1e-290, steps=3, batch_size=40)
    expected = by_hand(trainer, X, y)[0]["loss"]
    np.testing.assert_allclose(found.losses, np.full(3, expected), rtol=1e-12)


@pytest.mark.parametrize("wrap", WRAPS)
def test_lr_find_leaves_everything_alone(wrap: str) -> None:
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


# ---- every layer, every optimizer

ARGUMENTS: dict[str, tuple[Any, ...]] = {
    "dense": (4,), "simple_rnn": (4,), "gru": (4,), "activity_l1": (0.1,), "group_norm": (2,), "weight_norm": (nn.Dense(4),),
    "dropout": (0.3,), "gaussian_dropout": (0.3,), "gaussian_noise": (0.3,), "drop_connect": (4, 0.3), "shakeout": (4, 0.3),
    "gaussian_weight_noise": (4, 0.1), "additive_whiteout": (4, 0.1), "multiplicative_whiteout": (4, 0.1),
}  # fmt: skip
SEQUENCES = {"simple_rnn", "gru", "instance_norm"}


def test_registered_under_their_default_names() -> None:
    assert [cls.default_name() for cls in LAYERS.values()] == list(LAYERS)


def example(kind: str) -> nn.Layer:
    return LAYERS[kind](*copy.deepcopy(ARGUMENTS.get(kind, ())))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", LAYERS)
def test_every_layer_is_saved_shown_and_trained(kind: str, dtype: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    shape = (6, 4) if kind in SEQUENCES else (6,)
    X, y = rng.standard_normal((30, *shape)), rng.integers(0, 3, 30)

    def trainer() -> nn.Trainer:
        layers = [*([] if kind in SEQUENCES else [nn.Dense(6)]), example(kind), nn.Dense(3)]
        if kind == "instance_norm":
            layers[1:] = [nn.GRU(4), nn.Dense(3)]
        model = nn.Sequential(layers, input_shape=shape, dtype=dtype, seed=1)
        model.input_scaler = nn.data.MinMaxScaler().fit(X.reshape(len(X), -1))
        return nn.Trainer(model, "softmax_cross_entropy", nn.EMA(nn.NAdam(lr=0.01)), regularizer=nn.ElasticNet(0.0, 0.01))

    through, first, second = trainer(), trainer(), trainer()
    fit = {"batch_size": 7, "sampler": "importance_sampling", "class_weight": {1: 2.0}, "verbose": 0}
    through.fit(X, y, epochs=4, **fit)
    first.fit(X, y, epochs=2, **fit)
    first.save(tmp_path / "two")
    second.restore(tmp_path / "two")
    second.fit(X, y, epochs=2, **fit)
    same_training(through, second)
    second.model.save(tmp_path / "model")
    loaded = nn.load(tmp_path / "model")
    assert repr(loaded) == repr(second.model)
    assert np.array_equal(loaded.predict(X), second.model.predict(X))
    table = str(loaded.summary()).splitlines()
    for layer in loaded.layers:
        size = sum(parameter.size for parameter in layer.parameters.values())
        line = next(line for line in table if line.startswith(f"{layer.name} ({type(layer).__name__})"))
        assert line.endswith(f" {size:,}")
        assert str(layer.output_shape) in line


WRAPPED = {f"{wrap} around {name}": (wrap, name) for wrap in WRAPS for name in OPTIMIZERS}


def optimizer_of(name: str) -> Any:
    if name in WRAPPED:
        wrap, inner = WRAPPED[name]
        return WRAPS[wrap](OPTIMIZERS[inner]())
    return (OPTIMIZERS | SECOND_ORDER)[name]()


CONVEX = {name: nn.L2(2.0) for name in ("dense_1", "dense_1.bias", "dense_2", "dense_2.bias")}  # enough for plain Newton


@pytest.mark.parametrize("name", [*OPTIMIZERS, *WRAPPED, *SECOND_ORDER])
def test_every_optimizer_is_saved(name: str, tmp_path: Path) -> None:
    X, y = numbers()

    def trainer() -> nn.Trainer:
        model = nn.Sequential(smooth(), input_shape=3, dtype="float64", seed=6)
        model.input_scaler, model.target_scaler = nn.data.StandardScaler().fit(X), nn.data.StandardScaler().fit(y)
        return nn.Trainer(model, "squared_error", optimizer_of(name), regularizer=CONVEX)

    through, first, second = trainer(), trainer(), trainer()
    fit = {"verbose": 0, "batch_size": 40}
    history = through.fit(X, y, epochs=4, **fit)
    first.fit(X, y, epochs=2, **fit)
    first.save(tmp_path / "two")
    second.restore(tmp_path / "two")
    if "lr" in second.optimizer.hyperparameters and not hasattr(second.optimizer, "training_run"):
        first.optimizer.lr = 0.007
        first.save(tmp_path / "set")
        other = trainer()
        other.restore(tmp_path / "set")
        assert other.optimizer.lr == 0.007
        assert other.optimizer.config() == first.optimizer.config()
    second.fit(X, y, epochs=2, **fit)
    if name == "scipy_minimize":  # begins afresh in every call
        return
    for column in history:
        if column != "seconds":
            assert np.array_equal(history[column], second.history[column], equal_nan=True), column
    assert np.array_equal(through.model.parameters, second.model.parameters)


def test_a_wrapped_optimizer_that_cannot_be_set_changes_nothing(tmp_path: Path) -> None:
    X, y = classes()
    first, second = everything("ema", "layer norm"), everything("ema", "layer norm")
    first.fit(X, y, verbose=0)
    first.optimizer.lr = 0.125
    first.save(tmp_path / "set")
    damaged = (tmp_path / "set").read_bytes().replace(b"0.125", b"-12.5")
    (tmp_path / "damaged").write_bytes(damaged)
    before = repr(second.optimizer)
    with pytest.raises(ValueError, match="cannot be set"):
        second.restore(tmp_path / "damaged")
    assert repr(second.optimizer) == before
    second.restore(tmp_path / "set")
    assert second.optimizer.lr == second.optimizer.optimizer.lr == 0.125


def public() -> dict[str, Any]:
    """Objects of every public kind that has arguments, by name."""
    r = nn.schedules
    objects: list[Any] = [
        nn.L1(0.1), nn.L2(0.0), nn.L2(0.5), nn.ProximalL1(0.2), nn.ElasticNet(0.0, 0.3), nn.ElasticNet(0.3, 0.0),
        nn.PerLayer({"dense_1": nn.L2(0.1)}), nn.ClipNorm(1.0), nn.ClipGlobalNorm(2.0), nn.ClipValue(3.0),
        r.Constant(0.1), r.PiecewiseConstant([3], [0.1, 0.2]), r.StepDecay(0.1, 3), r.Harmonic(0.1), r.InverseTime(0.1, 0.2),
        r.Exponential(0.1, 0.9), r.Polynomial(0.1, steps=7), r.Cosine(0.1, 7), r.Warmup(0.1, steps=3),
    ]  # fmt: skip
    objects += [wrap(nn.Adam(lr=r.Cosine(0.1, 7))) for wrap in WRAPS.values()]
    objects += [cls() for cls in (*OPTIMIZERS.values(), *SECOND_ORDER.values())]
    objects += [cls() for cls in samplers.SAMPLERS.values() if cls is not samplers.Weighted]
    objects += [cls() for cls in nn.losses.LOSSES.values()]
    objects += [cls() for cls in (nn.initializers.Zeros, nn.initializers.Orthogonal, nn.initializers.HeNormal)]
    objects += [example(kind) for kind in LAYERS]
    return {f"{number} {type(item).__name__}": item for number, item in enumerate(objects)}


@pytest.mark.parametrize("name", public())
def test_repr_makes_the_same_again(name: str) -> None:
    thing = public()[name]
    places = vars(nn) | vars(nn.second_order) | vars(nn.schedules) | vars(samplers) | vars(nn.initializers) | vars(nn.layers)
    if isinstance(thing, nn.schedules.Schedule):
        places |= vars(nn.schedules)
    again = eval(repr(thing), {"__builtins__": {}, "inf": float("inf"), "array": np.array}, places)
    assert type(again) is type(thing)
    assert repr(again) == repr(thing)
    if hasattr(thing, "config"):
        assert again.config() == thing.config() or repr(again.config()) == repr(thing.config())


# ---- the columns of the history


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


@pytest.mark.parametrize("name", SECOND_ORDER)
def test_second_order_columns_and_plot(name: str, tmp_path: Path) -> None:
    X, y = numbers()
    inside, _, _ = scaled_pair(smooth, optimizer=SECOND_ORDER[name], metrics=["mean_absolute_error"], regularizer=CONVEX)
    history = inside.fit(X, y, epochs=3, validation_data=(X, y), exact_loss=True, verbose=0)
    row = inside.evaluate(X, y)
    for column, value in row.items():
        assert history[column][-1] == pytest.approx(value, rel=1e-10), column
        assert history[f"val_{column}"][-1] == pytest.approx(value, rel=1e-10), column
    pytest.importorskip("matplotlib")
    history.plot(tmp_path / "history.png")
    assert (tmp_path / "history.png").stat().st_size > 1000


# ---- what wraps an optimizer leaves its way alone


@pytest.mark.parametrize("regularizer", [nn.ProximalL1(0.01), nn.ElasticNet(0.01, 0.02), {"dense_1": nn.ProximalL1(0.02)}])
@pytest.mark.parametrize("inner", ["nesterov", "adam", "momentum", "adagrad"])
def test_averages_change_no_bit_of_the_way(regularizer: Any, inner: str) -> None:
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


def test_ema_is_the_mean_of_what_steps_left() -> None:
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
    message = f"EMA.{OPTIMIZERS[name].__name__}. needs the gradient of the full batch.*batch_size=16"
    with pytest.raises(ValueError, match=message):
        trainer.fit(X, y, batch_size=16, verbose=0)
    with pytest.raises(ValueError, match="lr_find"):
        trainer.lr_find(X, y)
    history = trainer.fit(X, y, epochs=20, verbose=0)
    assert history["running_loss"][-1] < history["running_loss"][0]


# ---- divergence elsewhere


@pytest.mark.parametrize("name", SECOND_ORDER)
def test_second_order_divergence_leaves_finite_numbers(name: str) -> None:
    X, y = numbers()
    model = nn.Sequential(smooth(), input_shape=3, dtype="float64", seed=6)
    trainer = nn.Trainer(model, "squared_error", name, regularizer=nn.L2(0.1))
    theta = model.parameters.copy()
    with pytest.raises(nn.DivergenceError):
        trainer.fit(X, y * 1e200, epochs=5, verbose=0)
    assert np.array_equal(model.parameters, theta)
    assert len(trainer.history) == trainer.epochs_done == 0


@pytest.mark.parametrize("sampler", [None, "importance_sampling", "largest_loss_first"])
def test_recurrent_divergence_and_going_on(sampler: str | None, tmp_path: Path) -> None:
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


# ---- a split, weights by class and a loss of one's own


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
