"""Second-order optimizers combined with other features: what they accept, and what they refuse by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.networks import CONVEX, Affine, classes, half_squares, numbers, scaled_pair, smooth

import nncore as nn
from nncore import second_order as so
from nncore.second_order import OPTIMIZERS as SECOND_ORDER
from nncore.second_order import LevenbergMarquardt


@pytest.mark.parametrize("name", SECOND_ORDER)
def test_wrappers_refuse_second_order(name: str) -> None:
    for wrap in (nn.EMA, nn.PolyakAveraging, nn.GradientNoise):
        with pytest.raises(TypeError, match=rf"optimizer.*{SECOND_ORDER[name].__name__}"):
            wrap(SECOND_ORDER[name]())
        with pytest.raises(ValueError, match=rf"optimizer must be one of sgd.*got '{name}'"):
            wrap(name)


@pytest.mark.parametrize("name", SECOND_ORDER)
def test_second_order_refuses_by_name(name: str) -> None:
    X, y = classes()

    def trainer(extra: nn.Layer | None = None, **arguments: Any) -> nn.Trainer:
        layers = [nn.Dense(4), *([extra] if extra else []), nn.Tanh(), nn.Dense(3)]
        return nn.Trainer(nn.Sequential(layers, input_shape=5, seed=0), "softmax_cross_entropy", name, **arguments)

    refusing = trainer()
    theta = refusing.model.parameters.copy()
    with pytest.raises(ValueError, match="sampler"):
        refusing.fit(X, y, verbose=0, sampler="importance_sampling")
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
def test_second_order_by_gradients_accepts_layers_and_losses_in_python(name: str) -> None:
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


# ---- what a callback changes, and monitors


@pytest.mark.parametrize(
    "change",
    [
        lambda trainer: setattr(trainer.loss, "delta", 0.1), lambda trainer: setattr(trainer.regularizer, "l2", 0.5),
        lambda trainer: setattr(trainer, "regularizer", None), lambda trainer: setattr(trainer, "loss", "squared_error"),
        lambda trainer: setattr(trainer.model[1], "frozen", False),
    ],
)  # fmt: skip
def test_another_function_during_fit_is_refused(change: Any) -> None:
    """Also where a number of the same loss or penalty is assigned, or a layer released."""
    X, y = np.random.default_rng(0).standard_normal((2, 30, 2))
    model = nn.Sequential([nn.Dense(3), nn.BatchNorm(frozen=True), nn.Tanh(), nn.Dense(2)], input_shape=2, dtype="float64")
    trainer = nn.Trainer(model, nn.Huber(1.0), so.BFGS(), regularizer=nn.L2(0.1))
    assign = nn.LambdaCallback(on_epoch_end=lambda trainer, epoch, row: change(trainer))
    with pytest.raises(RuntimeError, match="was assigned during fit, which BFGS cannot follow"):
        trainer.fit(X, y, epochs=3, verbose=0, callbacks=[assign])
    assert trainer.epochs_done == 1


def test_statistics_of_frozen_layers_that_a_callback_changes_count() -> None:
    X, y = np.random.default_rng(0).standard_normal((2, 30, 2))
    model = nn.Sequential([nn.Dense(3), nn.BatchNorm(frozen=True), nn.Tanh(), nn.Dense(2)], input_shape=2, dtype="float64")
    trainer = nn.Trainer(model, "squared_error", so.BFGS())

    def scale(trainer: nn.Trainer, epoch: int, row: Any) -> None:
        if epoch == 2:
            trainer.model[1].running_var[...] = 4.0

    trainer.fit(X, y, epochs=4, verbose=0, callbacks=[nn.LambdaCallback(on_epoch_end=scale)])
    assert trainer.history["loss"][-1] == pytest.approx(trainer.evaluate(X, y)["loss"], rel=1e-12)


def test_the_conditioning_monitor_describes_the_step_that_is_taken() -> None:
    """Of SGD with weights, a penalty that a callback replaces, and factors, of which one freezes a layer."""
    rng = np.random.default_rng(0)
    X, y, w = rng.standard_normal((20, 3)), rng.standard_normal((20, 2)), rng.uniform(0, 3, 20)
    model = nn.Sequential([nn.Dense(4), nn.Tanh(), nn.ActivityL1(0.1), nn.Dense(2)], input_shape=3, dtype="float64", seed=1)
    factors, rate, thetas = {"dense_1": 0.0, "dense_2.bias": 0.5}, 1e-4, []
    trainer = nn.Trainer(model, "squared_error", nn.SGD(lr=rate), regularizer=nn.L2(0.5), lr_factors=factors)

    def note(trainer: nn.Trainer, epoch: int, row: Any) -> None:
        if epoch == 1:
            trainer.regularizer = nn.L2(3.0)
        thetas.append(trainer.model.parameters.copy())

    callbacks = [nn.LambdaCallback(on_epoch_end=note), so.ConditioningMonitor(X, y, sample_weight=w)]
    trainer.fit(X, y, sample_weight=w, epochs=2, batch_size=20, verbose=0, callbacks=callbacks)
    loss, slope, curvature = (trainer.history[f"taylor_{name}"] for name in ("loss", "slope", "curvature"))
    after = trainer.evaluate(X, y, sample_weight=w)["loss"]
    assert loss[1] == pytest.approx(after, rel=1e-12)
    assert loss[1] - loss[0] == pytest.approx(slope[0] + curvature[0], rel=1e-6)
    f = so.ModelObjective(model, X, y, "squared_error", trainer.regularizer, w)
    step = (thetas[1] - thetas[0]) / rate  # −F g
    gradient = f.value_and_gradient(thetas[0])[1]
    assert slope[0] == pytest.approx(rate * gradient @ step, rel=1e-9)
    assert curvature[0] == pytest.approx(0.5 * rate**2 * step @ f.hessian_product(thetas[0], step), rel=1e-6)
    assert not step[: model[0].weight.size].any()
