"""Penalties by layer, the proximal step and the penalty on activations; those of all weights are in test_trainer.py."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from helpers.tiles import tile_table
from numpy.typing import NDArray

import nncore as nn
from nncore import _kernels, reference
from nncore._kernels import single_ops
from nncore.optimizers import OPTIMIZERS
from nncore.second_order import ModelObjective

Array = NDArray[Any]
each_isa = pytest.mark.parametrize("isa", _kernels.complete_isas())
each_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])


def data(n: int = 60) -> tuple[Array, Array]:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, 5))
    return X, np.argmax(X[:, :3] + 0.5 * rng.normal(size=(n, 3)), axis=1)


def make(*middle: nn.Layer, dtype: str = "float64") -> nn.Sequential:
    return nn.Sequential([nn.Dense(8), nn.Tanh(), *middle, nn.Dense(3)], input_shape=5, dtype=dtype, seed=1)


def fit(model: nn.Sequential, optimizer: Any, steps: int = 25, **kw: Any) -> nn.Trainer:
    trainer = nn.Trainer(model, "softmax_cross_entropy", optimizer, **kw)
    trainer.fit(*data(), epochs=steps, batch_size=60, verbose=0)
    return trainer


def by_hand(
    optimizer: Any, steps: int, change: Callable[[nn.Sequential, Array], None], after: Callable[[nn.Sequential, Array], None]
) -> nn.Sequential:
    """Steps along ``loss_and_gradient``; ``change`` adds to the gradient, ``after`` modifies the parameters."""
    model = make()
    for _ in range(steps):
        _, gradient = model.loss_and_gradient(*data(), "softmax_cross_entropy")
        change(model, gradient)
        optimizer.step(model.parameters, gradient)
        after(model, model.parameters)
    return model


# ---- by layer


@pytest.mark.parametrize("name", ["sgd", "adam", "nesterov"])
def test_a_penalty_of_its_own_for_each_array(name: str) -> None:
    """Weights of a layer by its name, any array by its own; arrays that are not named have no penalty."""
    penalties = {"dense_1": nn.ElasticNet(0.02, 0.3), "dense_1.bias": nn.L2(0.5), "dense_2.bias": nn.L1(0.01)}
    trainer = fit(make(), OPTIMIZERS[name](lr=0.05), regularizer=penalties)

    def change(model: nn.Sequential, gradient: Array) -> None:
        views = make()
        views.parameters[...] = 0
        first, last = views.layers[0], views.layers[-1]
        first.weight[...] = 0.02 * np.sign(model.layers[0].weight) + 0.3 * model.layers[0].weight
        first.bias[...] = 0.5 * model.layers[0].bias
        last.bias[...] = 0.01 * np.sign(model.layers[-1].bias)
        gradient += views.parameters

    opt = OPTIMIZERS[name](lr=0.05)
    expected = by_hand(opt, 25, change, lambda model, theta: None)
    opt.finish(expected.parameters)
    np.testing.assert_allclose(trainer.model.parameters, expected.parameters, rtol=1e-10, atol=1e-12)
    first, last = trainer.model.layers[0], trainer.model.layers[-1]
    penalty = 0.02 * np.abs(first.weight).sum() + 0.15 * (first.weight**2).sum() + 0.25 * (first.bias**2).sum()
    penalty += 0.01 * np.abs(last.bias).sum()
    assert trainer.evaluate(*data())["penalty"] == pytest.approx(penalty, rel=1e-12)


def test_the_name_of_an_array_takes_precedence_over_that_of_its_layer() -> None:
    trainer = nn.Trainer(make(), "softmax_cross_entropy", regularizer={"dense_1": nn.L2(9.0), "dense_1.weight": nn.L2(1.0)})
    weight = trainer.model.layers[0].weight
    assert trainer.evaluate(*data())["penalty"] == pytest.approx(0.5 * (weight**2).sum(), rel=1e-12)


def test_all_weights_one_by_one_are_all_weights() -> None:
    one = fit(make(), nn.Adam(), regularizer=nn.L2(0.1))
    each = fit(make(), nn.Adam(), regularizer={"dense_1": nn.L2(0.1), "dense_2": nn.L2(0.1)})
    assert one.model.parameters.tobytes() == each.model.parameters.tobytes()
    assert one.history == each.history


@pytest.mark.parametrize(
    ("regularizer", "error", "message"),
    [
        ({"dense_3": nn.L2(1.0)}, ValueError, "regularizer must hold names among dense_1, dense_2, .*, got 'dense_3'"),
        ({"tanh_1": nn.L2(1.0)}, ValueError, "got 'tanh_1'"),
        ({"dense_1.gamma": nn.L2(1.0)}, ValueError, "got 'dense_1.gamma'"),
        ({"dense_1": 0.1}, TypeError, r"regularizer\['dense_1'\] must be a Regularizer such as nn.L2\(1e-4\), got 0.1"),
        ("l2", TypeError, "regularizer must be a Regularizer .* or a mapping, got 'l2'"),
        ([nn.L2(1.0)], TypeError, "regularizer must be a Regularizer"),
    ],
)
def test_refused(regularizer: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        nn.Trainer(make(), "softmax_cross_entropy", regularizer=regularizer)


# ---- the proximal step


@pytest.mark.parametrize("name", [name for name in OPTIMIZERS if name not in ("rprop", "delta_bar_delta", "nesterov")])
def test_proximal_step_after_every_optimizer(name: str) -> None:
    """The optimizer's step along the gradient of the loss alone, then w ← sign(w) max(|w| − ηλ, 0) of the weights."""
    rate, strength = nn.schedules.Exponential(0.02, gamma=0.95), 1.0
    everything = {str(layer.name): 1.0 for layer in make().layers if layer.parameters}
    decays = everything if "weight_decay" in OPTIMIZERS[name].hyperparameters else None  # of biases too, as by hand
    trainer = fit(make(), OPTIMIZERS[name](lr=rate), regularizer=nn.ProximalL1(strength), decay_factors=decays)
    rates = iter(rate.values(0, 25))

    def after(model: nn.Sequential, theta: Array) -> None:
        threshold = next(rates) * strength
        for layer in (model.layers[0], model.layers[-1]):
            layer.weight[...] = np.sign(layer.weight) * np.maximum(np.abs(layer.weight) - threshold, 0)

    expected = by_hand(OPTIMIZERS[name](lr=rate), 25, lambda model, gradient: None, after)
    got = trainer.model.parameters
    assert np.array_equal(got == 0, expected.parameters == 0)
    np.testing.assert_allclose(got, expected.parameters, rtol=1e-9, atol=1e-11)
    weights = np.concatenate([trainer.model.layers[k].weight.ravel() for k in (0, -1)])
    assert (weights == 0).sum() > (0 if name != "lion" else -1)
    assert trainer.evaluate(*data())["penalty"] == pytest.approx(strength * np.abs(weights).sum(), rel=1e-12)


@pytest.mark.parametrize("strength", [0.25, 1.0, 1.75])
def test_schedules_of_layers_beside_a_proximal_step(strength: float) -> None:
    """Both read the coefficients of a step: the limits of BatchRenorm as schedules are those given as numbers."""
    rng, results = np.random.default_rng(3), []
    X = rng.standard_normal((64, 3))
    for r_max, d_max in ((1.5, 0.5), (nn.schedules.Constant(1.5), nn.schedules.Constant(0.5))):
        layers = [nn.Dense(4), nn.BatchRenorm(r_max=r_max, d_max=d_max), nn.Dense(1)]
        model = nn.Sequential(layers, input_shape=3, dtype="float64", seed=1)
        trainer = nn.Trainer(model, "squared_error", nn.SGD(lr=0.01), regularizer=nn.ProximalL1(strength))
        trainer.fit(X, X[:, 0], epochs=3, verbose=0)
        results.append(model.parameters.tobytes())
    assert results[0] == results[1]


def lasso(optimizer: nn.Optimizer, strength: float, steps: int = 4000) -> tuple[Array, Array, Array]:
    """Weights, X and y of a linear model trained with the proximal penalty on all its data."""
    rng = np.random.default_rng(1)
    X = rng.normal(size=(40, 12))
    y = X @ np.r_[2.0, -1.0, 0.5, np.zeros(9)] + 0.1 * rng.normal(size=40)
    model = nn.Sequential([nn.Dense(1, bias=False)], input_shape=12, dtype="float64", seed=0)
    trainer = nn.Trainer(model, "squared_error", optimizer, regularizer=nn.ProximalL1(strength))
    trainer.fit(X, y, epochs=steps, batch_size=40, verbose=0)
    return model.layers[0].weight[0], X, y


@pytest.mark.parametrize(("optimizer", "factor"), [(nn.SGD(lr=0.1), 1.0), (nn.Momentum(lr=0.05, momentum=0.5), 0.5)])
def test_the_minimum_is_the_lasso_s(optimizer: nn.Optimizer, factor: float) -> None:
    """SGD converges to scikit-learn's solution, zeros included; with momentum the effective λ is (1 − μ)λ, as documented."""
    linear_model = pytest.importorskip("sklearn.linear_model")
    w, X, y = lasso(optimizer, 0.2)
    peer = linear_model.Lasso(alpha=0.2 * factor, fit_intercept=False, tol=1e-14, max_iter=100_000).fit(X, y)
    np.testing.assert_allclose(w, peer.coef_, atol=1e-8)
    assert np.array_equal(w == 0, peer.coef_ == 0)
    assert 3 < (w == 0).sum() < 12


def test_nesterov_looks_ahead_of_the_shrunk_parameters() -> None:
    """v ← μv − ηg(θ + μv), θ ← shrink(θ + v), written out."""
    model, opt = make(), nn.Nesterov(lr=0.05, momentum=0.6)
    trainer = fit(model, opt, 25, regularizer=nn.ProximalL1(0.3))
    other, v = make(), 0.0
    theta = other.parameters.copy()
    mask = make()
    mask.parameters[...] = 0
    for layer in (mask.layers[0], mask.layers[-1]):
        layer.weight[...] = 1
    for _ in range(25):
        other.parameters[...] = theta + 0.6 * v
        _, gradient = other.loss_and_gradient(*data(), "softmax_cross_entropy")
        v = 0.6 * v - 0.05 * gradient
        theta = theta + v
        theta = np.where(mask.parameters == 1, np.sign(theta) * np.maximum(np.abs(theta) - 0.05 * 0.3, 0), theta)
    np.testing.assert_allclose(trainer.model.parameters, theta, rtol=1e-10, atol=1e-12)
    assert (theta == 0).sum() > 0


def test_plain_l1_has_no_exact_zeros() -> None:
    model = fit(make(), nn.SGD(lr=0.1), 400, regularizer=nn.L1(0.05)).model
    sparse = fit(make(), nn.SGD(lr=0.1), 400, regularizer=nn.ProximalL1(0.05)).model
    assert (model.layers[0].weight == 0).sum() == 0
    assert (sparse.layers[0].weight == 0).sum() > 10


def test_the_average_is_of_what_was_shrunk() -> None:
    trainer = fit(make(), nn.EMA(nn.SGD(lr=0.1), decay=0.0), 40, regularizer=nn.ProximalL1(0.2))
    assert np.array_equal(trainer.optimizer.averaged_parameters, trainer.model.parameters)


@pytest.mark.parametrize("name", ["rprop", "delta_bar_delta"])
def test_an_optimizer_without_a_learning_rate_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"ProximalL1\(0.1\) needs an optimizer with a learning rate, got"):
        nn.Trainer(make(), "softmax_cross_entropy", name, regularizer=nn.ProximalL1(0.1))


@each_dtype
@each_isa
def test_shrink_kernel_and_twin(dtype: str, isa: str, rng: np.random.Generator) -> None:
    for n in (1, 7, 16, 33, 1000):
        theta, v = rng.normal(size=(2, n)).astype(dtype)
        theta[0], theta[n // 2] = 0, 0.25
        table, results = tile_table([[0, 1, n, n]]), []
        for threads in (1, 2, 3):
            got, moved = theta.copy(), np.full_like(theta, np.nan)
            arrays = (got, moved, np.array([0.5]), v, table)
            single_ops.run_op(
                "shrink", arrays, dtype=dtype, axis="tiles", sizes=(1, 2), coefficients=np.array([9.0, 0.5, 0.9]), isa=isa,
                threads=threads
            )  # fmt: skip
            results.append(got.tobytes() + moved.tobytes())
        assert results[0] == results[1] == results[2]
        want, want_ahead = theta.copy(), np.empty_like(theta)
        reference.shrink(want, np.asarray(0.25, dtype), want_ahead, v, np.asarray(0.9, dtype))
        assert np.array_equal(got, want)
        np.testing.assert_allclose(moved, want_ahead, rtol=0, atol=4 * np.finfo(dtype).eps)
        assert got[n // 2] == 0
        assert not np.signbit(got[got == 0]).any()


# ---- activations


@each_dtype
@each_isa
def test_activity_kernels_and_twins(dtype: str, isa: str, rng: np.random.Generator) -> None:
    rtol = 1e-6 if dtype == "float32" else 1e-14
    for rows, width in [(1, 1), (3, 1), (1, 17), (9, 33), (200, 5)]:
        z, dh = rng.normal(size=(2, rows, width)).astype(dtype)
        z[0, 0] = 0
        weights = rng.integers(0, 4, rows) / 2.0
        for again, weight in itertools.product((0, 1), (None, weights)):
            results = []
            for threads in (1, 2, 3):
                h, penalty, dz = np.empty_like(z), np.full(rows, 7.0), np.empty_like(z)
                run: dict[str, Any] = {"dtype": dtype, "rows": rows, "constants": (0.3,), "isa": isa, "threads": threads}
                single_ops.run_op("activity_l1_forward", (h, penalty, z, weight), sizes=(width, again), **run)
                single_ops.run_op("activity_l1_backward", (dz, dh, z, weight), sizes=(width,), **run)
                results.append(b"".join(array.tobytes() for array in (h, penalty, dz)))
            assert results[0] == results[1] == results[2]
            want, charged = reference.activity_l1_forward(z, 0.3, weight)
            assert np.array_equal(h, want)
            np.testing.assert_allclose(penalty, charged + 7.0 * again, rtol=1e-13)
            np.testing.assert_allclose(dz, reference.activity_l1_backward(dh, z, 0.3, weight=weight), rtol=rtol, atol=rtol)


@pytest.mark.parametrize("loss", ["softmax_cross_entropy", "squared_error"])
def test_activity_gradients_by_differences(loss: str) -> None:
    """Two such layers, one of them the last: their penalties add up in the loss that is differentiated."""
    layers = [nn.Dense(8), nn.ActivityL1(0.3), nn.Tanh(), nn.ActivityL1(0.2), nn.Dense(3), nn.ActivityL1(0.1)]
    model = nn.Sequential(layers, input_shape=5, dtype="float64", seed=1)
    X, y = data(9)
    errors = model.check_gradients(X, y, loss)
    assert max(errors.values()) < 1e-6


def test_an_example_of_weight_0_has_no_activity_penalty() -> None:
    """Whatever its activations are: their sum may overflow."""
    z, h, penalty = np.array([[1e308, 1e308], [1.0, -2.0]]), np.empty((2, 2)), np.empty(2)
    single_ops.run_op(
        "activity_l1_forward", (h, penalty, z, np.array([0.0, 2.0])), sizes=(2, 0), constants=(1.0,), dtype="float64", rows=2
    )
    assert penalty.tolist() == [0.0, 6.0]


WEIGHTS = np.array([0.0, 0.5, 2.0, 3.0, 0.0, 1.0, 1.5, 0.25, 4.0])


def weighted_model() -> nn.Sequential:
    layers = [nn.Dense(8), nn.ActivityL1(0.3), nn.Tanh(), nn.ActivityL1(0.2), nn.Dense(3), nn.ActivityL1(0.1)]
    return nn.Sequential(layers, input_shape=5, dtype="float64", seed=1)


def test_weights_of_examples_are_those_of_their_activity_penalty() -> None:
    """Σ w_i (l_i + λ Σ_j |z_ij|) / n, the gradient of which is compared with differences; and its Hessian with theirs."""
    model, (X, y), w = weighted_model(), data(9), WEIGHTS
    each = np.array([model.loss_and_gradient(X[[i]], y[[i]], "squared_error")[0] for i in range(9)])
    loss, gradient = model.loss_and_gradient(X, y, "squared_error", sample_weight=w)
    assert loss == pytest.approx((w * each).sum() / 9, rel=1e-13)
    f = ModelObjective(model, X, y, "squared_error", sample_weight=w)
    theta, rng = model.parameters.copy(), np.random.default_rng(3)
    v = rng.standard_normal(theta.size)
    (above, up), (below, down) = (f.value_and_gradient(theta + step * v) for step in (1e-6, -1e-6))
    assert gradient @ v == pytest.approx((above - below) / 2e-6, rel=1e-7)
    np.testing.assert_allclose(f.hessian_product(theta, v), (up - down) / 2e-6, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("batch", [9, 4])
def test_all_passes_weigh_activities_alike(batch: int) -> None:
    """In evaluate, fit, partial_fit and passes by hand, in one batch and in several; a weight of 2 is an example twice."""
    (X, y), w = data(9), WEIGHTS

    def trainer(optimizer: Any) -> nn.Trainer:
        return nn.Trainer(weighted_model(), "squared_error", optimizer)

    still = trainer(nn.SGD(lr=0.0))
    row = still.evaluate(X, y, sample_weight=w)
    bare = nn.Sequential([nn.Dense(8), nn.Tanh(), nn.Dense(3)], input_shape=5, dtype="float64")
    bare.parameters[...] = still.model.parameters
    loss, _ = bare.loss_and_gradient(X, y, "squared_error", sample_weight=w)
    assert row["loss"] == pytest.approx(loss + row["activity_penalty"], rel=1e-13)
    assert row["loss"] == pytest.approx(still.model.loss_and_gradient(X, y, "squared_error", sample_weight=w)[0], rel=1e-13)
    history = still.fit(X, y, sample_weight=w, batch_size=batch, verbose=0, exact_loss=True, validation_data=(X, y, w))
    running = still.partial_fit(X, y, sample_weight=w, batch_size=batch)
    for name in ("loss", "activity_penalty"):
        for got in (history[name][0], history[f"running_{name}"][0], history[f"val_{name}"][0], running[f"running_{name}"]):
            assert got == pytest.approx(row[name], rel=1e-12)
    newton = trainer("lbfgs")
    newton.fit(X, y, sample_weight=w, verbose=0)
    assert newton.history["loss"][0] == pytest.approx(newton.evaluate(X, y, sample_weight=w)["loss"], rel=1e-12)
    assert newton.history["activity_penalty"][0] == newton.evaluate(X, y, sample_weight=w)["activity_penalty"]
    whole, twice = (trainer(nn.SGD(lr=0.1)) for _ in range(2))
    whole.fit(X, y, sample_weight=np.repeat([2.0, 1.0], [3, 6]) * 9 / 12, batch_size=9, verbose=0)
    rows = [0, 0, 1, 1, 2, 2, *range(3, 9)]
    twice.fit(X[rows], y[rows], batch_size=12, verbose=0)
    np.testing.assert_allclose(whole.model.parameters, twice.model.parameters, rtol=1e-12, atol=1e-14)


def test_the_activity_penalty_is_reported() -> None:
    X, y = data()
    model = make(nn.ActivityL1(0.05), nn.ActivityL1(0.01))
    charge = 0.06 * np.abs(model.activations(X)["tanh_1"]).sum(axis=1).mean()
    plain = make()
    plain.parameters[...] = model.parameters
    loss = plain.loss_and_gradient(X, y, "softmax_cross_entropy")[0]
    trainer = nn.Trainer(model, "softmax_cross_entropy", nn.Adam(lr=0.01), regularizer=nn.L2(0.1), metrics=["accuracy"])
    result = trainer.evaluate(X, y)
    assert list(result) == ["loss", "accuracy", "activity_penalty", "penalty"]
    assert result["activity_penalty"] == pytest.approx(charge, rel=1e-12)
    assert result["loss"] == pytest.approx(loss + charge + result["penalty"], rel=1e-12)
    assert model.loss_and_gradient(X, y, "softmax_cross_entropy")[0] == pytest.approx(loss + charge, rel=1e-12)
    trainer.fit(X, y, epochs=30, batch_size=16, validation_data=(X, y), exact_loss=True, verbose=0)
    history = trainer.history
    assert history["val_activity_penalty"][-1] == history["activity_penalty"][-1] == trainer.evaluate(X, y)["activity_penalty"]
    assert history["running_activity_penalty"][-1] > 0
    assert history["activity_penalty"][-1] < charge


def test_activations_become_sparse() -> None:
    X, y = data(200)
    shares = []
    for strength in (0.0, 0.02):
        layers = [nn.Dense(30), nn.ReLU(), nn.ActivityL1(strength), nn.Dense(3)]
        model = nn.Sequential(layers, input_shape=5, dtype="float64", seed=0)
        nn.Trainer(model, "softmax_cross_entropy", nn.Adam(lr=0.01)).fit(X, y, epochs=60, batch_size=20, verbose=0)
        shares.append((model.activations(X)["relu_1"] > 0).mean())
    assert shares[1] < 0.6 * shares[0]


@pytest.mark.parametrize("strength", [-1.0, np.nan, np.inf, "1", None, True])
def test_strength_is_checked(strength: Any) -> None:
    for cls in (nn.ActivityL1, nn.ProximalL1):
        with pytest.raises((TypeError, ValueError), match="strength must be a finite number of at least 0, got"):
            cls(strength)


def test_a_model_with_it_is_saved(tmp_path: Any) -> None:
    model = make(nn.ActivityL1(0.05))
    model.save(tmp_path / "model")
    again = nn.load(tmp_path / "model")
    assert again.layers[2].strength == 0.05
    assert np.array_equal(again.predict(data()[0]), model.predict(data()[0]))


def test_penalties_by_layer_cannot_change_behind_the_checks() -> None:
    trainer = nn.Trainer(make(), "softmax_cross_entropy", nn.Rprop(), regularizer={"dense_1": nn.L2(0.1)})
    assert isinstance(trainer.regularizer, nn.PerLayer)
    with pytest.raises(AttributeError, match=r"penalties is fixed once the regularizer is made.*assign trainer\.regularizer"):
        trainer.regularizer.penalties = {"typo": nn.L2(0.1)}
    with pytest.raises(TypeError, match="does not support item assignment"):
        trainer.regularizer.penalties["typo"] = nn.L2(0.1)  # type: ignore[index]
    trainer.regularizer = {"dense_1": (penalty := nn.ProximalL1(0))}
    penalty.proximal = 0.1
    with pytest.raises(ValueError, match="needs an optimizer with a learning rate"):
        trainer.fit(*data(), batch_size=60, verbose=0)
