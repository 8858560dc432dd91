"""Learning rates and decays by parameter array, decoupled decay around any optimizer, and constraints on weights."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.tiles import tile_table
from numpy.typing import NDArray

import nncore as nn
from nncore import _kernels, reference
from nncore._kernels import single_ops
from nncore.optimizers import OPTIMIZERS, GradientOptimizer

Array = NDArray[Any]

WITH_LR = sorted(name for name, cls in OPTIMIZERS.items() if "lr" in cls.hyperparameters)
FACTORS = {"dense_1": 0.5, "*.bias": 3.0, "dense_2.weight": 0.0}
OF_ARRAYS = {"dense_1.weight": 0.5, "dense_1.bias": 1.5, "dense_2.weight": 0.0, "dense_2.bias": 3.0}  # the products
LARGE = 300  # units: enough work for several threads


def make(units: int = 7) -> nn.Sequential:
    return nn.Sequential([nn.Dense(units), nn.Tanh(), nn.Dense(2)], input_shape=5, seed=3, dtype="float64")


@pytest.fixture(scope="module")
def data() -> tuple[Array, Array]:
    rng = np.random.default_rng(1)
    return rng.standard_normal((400, 5)), rng.standard_normal((400, 2))


def fit(model: nn.Sequential, data: tuple[Array, Array], optimizer: Any, epochs: int = 6, **options: Any) -> nn.Trainer:
    trainer = nn.Trainer(model, "squared_error", optimizer, **options)
    trainer.fit(*data, epochs=epochs, batch_size=len(data[0]), shuffle=False, verbose=0)
    return trainer


def slices(model: nn.Sequential) -> dict[str, slice]:
    """The part of θ of each array."""
    return {
        f"{layer.name}.{name}": slice(parameter.offset, parameter.offset + parameter.size)
        for layer in model.layers
        for name, parameter in layer.parameters.items()
    }


def by_hand(
    model: nn.Sequential, data: tuple[Array, Array], optimizers: dict[str, GradientOptimizer], epochs: int = 6
) -> Array:
    """Each array has an optimizer of its own."""
    parts = slices(model)
    thetas = {name: model.parameters[own].copy() for name, own in parts.items()}
    for _ in range(epochs):
        for name, own in parts.items():
            model.parameters[own] = thetas[name]
        _, gradient = model.loss_and_gradient(*data, "squared_error")
        for name, own in parts.items():
            optimizers[name].step(thetas[name], gradient[own].copy())
    for name, optimizer in optimizers.items():
        optimizer.finish(thetas[name])
    return np.concatenate(list(thetas.values()))


@pytest.mark.parametrize("units", [7, LARGE])
@pytest.mark.parametrize("name", WITH_LR)
def test_factors_of_the_learning_rate(name: str, units: int, data: tuple[Array, Array]) -> None:
    """As an optimizer for each array with a learning rate of its own; the same bits on two threads."""
    base = OPTIMIZERS[name]()
    base.lr = 0.01
    optimizers = {}
    for array, factor in OF_ARRAYS.items():
        optimizers[array] = copy.deepcopy(base)
        optimizers[array].lr = 0.01 * factor
        if "weight_decay" in base.hyperparameters and array.endswith("bias"):
            optimizers[array].weight_decay = 0.0
    expected = by_hand(make(units), data, optimizers)
    trainer = fit(make(units), data, copy.deepcopy(base), lr_factors=FACTORS)
    np.testing.assert_allclose(trainer.model.parameters, expected, rtol=1e-9, atol=1e-12)
    frozen = slices(trainer.model)["dense_2.weight"]
    assert np.array_equal(trainer.model.parameters[frozen], make(units).parameters[frozen])
    assert trainer.history["lr"].tolist() == [0.01] * 6
    if units == LARGE:
        threads = nn.get_num_threads()
        nn.set_num_threads(3 - min(threads, 2))
        other = fit(make(units), data, copy.deepcopy(base), lr_factors=FACTORS).model.parameters
        nn.set_num_threads(threads)
        assert np.array_equal(other, trainer.model.parameters)


def test_schedules_and_wrappers_and_clips_go_with_factors(data: tuple[Array, Array]) -> None:
    """The factor multiplies the schedule's values; the average is of all parameters; the limit is of the whole gradient."""
    schedule = nn.schedules.Exponential(0.05, gamma=0.8)
    trainer = fit(
        make(), data, nn.EMA(nn.Adam(lr=schedule), decay=0.5), lr_factors=FACTORS, clip=nn.ClipGlobalNorm(0.1),
    )  # fmt: skip
    model, parts, averages = make(), slices(make()), None
    own = {name: nn.Adam(lr=nn.schedules.Exponential(0.05 * factor, gamma=0.8)) for name, factor in OF_ARRAYS.items()}
    for t in range(6):
        _, gradient = model.loss_and_gradient(*data, "squared_error")
        gradient *= min(1, 0.1 / np.linalg.norm(gradient))
        for name, part in parts.items():
            theta = model.parameters[part].copy()
            own[name].step(theta, gradient[part].copy())
            model.parameters[part] = theta
        weight = 0.5 / (1 - 0.5 ** (t + 1))
        averages = model.parameters.copy() if averages is None else averages + weight * (model.parameters - averages)
    np.testing.assert_allclose(trainer.model.parameters, model.parameters, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(trainer.optimizer.averaged_parameters, averages, rtol=1e-9, atol=1e-12)


def test_the_threshold_of_a_proximal_penalty_has_the_array_s_learning_rate(data: tuple[Array, Array]) -> None:
    """A weight of gradient 0 and factor f shrinks by fηλ in each step."""
    model = nn.Sequential([nn.Dense(1), nn.Dense(1)], input_shape=2, dtype="float64")
    model.parameters[...] = [1.0, -1.0, 0.0, 0.0, 0.0]  # dense_2 multiplies by 0: no gradient reaches dense_1
    trainer = nn.Trainer(
        model, "squared_error", nn.SGD(lr=0.1), regularizer={"dense_1": nn.ProximalL1(0.5)}, lr_factors={"dense_1": 3.0}
    )
    trainer.fit(np.ones((4, 2)), np.zeros(4), epochs=2, batch_size=4, verbose=0)
    np.testing.assert_allclose(model["dense_1"].weight, [[1 - 2 * 3 * 0.1 * 0.5, -1 + 2 * 3 * 0.1 * 0.5]], rtol=1e-12)


@pytest.mark.parametrize("factors", [{}, {"*.bias": 1.0, "dense_1": 0.5}])
@pytest.mark.parametrize("make_optimizer", [nn.AdamW, nn.Lion, lambda **o: nn.WeightDecay("sgd", **o)])
def test_only_weights_decay_unless_others_are_named(make_optimizer: Any, factors: dict[str, float]) -> None:
    """With a gradient of 0: θ ← θ (1 − ηλ) for what decays."""
    X, y = np.zeros((4, 5)), np.zeros((4, 2))
    model = make()
    model.parameters[...] = 1.0
    model["dense_2"].weight[...] = 0
    model["dense_2"].bias[...] = 0
    optimizer = make_optimizer(weight_decay=0.1)
    optimizer.lr = 0.5
    fit(model, (X, y), optimizer, epochs=1, decay_factors=factors)
    assert np.allclose(model["dense_1"].weight, 1 - 0.05 * (0.5 if factors else 1), rtol=1e-12)
    assert np.allclose(model["dense_1"].bias, 1 - 0.05 * 0.5 if factors else 1, rtol=1e-12)


def test_parameters_of_normalizations_do_not_decay() -> None:
    model = nn.Sequential([nn.Dense(3), nn.LayerNorm(), nn.Dense(1)], input_shape=2, dtype="float64")
    model["dense_2"].weight[...] = 0
    fit(model, (np.ones((4, 2)), np.zeros(4)), nn.AdamW(lr=0.1, weight_decay=1.0), epochs=3)
    assert model["layer_norm_1"].weight.tolist() == [1.0] * 3


def test_decoupled_decay_of_adam_is_adamw(data: tuple[Array, Array]) -> None:
    """As a wrapper's op or within the kernel: the same formula."""
    one = fit(make(), data, nn.AdamW(lr=0.01, weight_decay=0.3))
    other = fit(make(), data, nn.WeightDecay(nn.Adam(lr=0.01), 0.3))
    np.testing.assert_allclose(one.model.parameters, other.model.parameters, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("name", WITH_LR)
def test_decoupled_decay_around_every_optimizer(name: str) -> None:
    """By hand: a step from θ (1 − ηλ), where the step itself does not depend on θ; the decay is a schedule."""
    if "weight_decay" in OPTIMIZERS[name].hyperparameters:
        with pytest.raises(ValueError, match="optimizer must be one without weight_decay"):
            nn.WeightDecay(name)
        return
    rng = np.random.default_rng(2)
    theta, gradients = rng.standard_normal(9), rng.standard_normal((5, 9))
    plain, own = OPTIMIZERS[name](), OPTIMIZERS[name]()
    plain.lr = own.lr = 0.25
    wrapper = nn.WeightDecay(own, nn.schedules.Exponential(0.2, gamma=0.5))
    moved, expected, before = theta.copy(), theta.copy(), theta.copy()
    for t, gradient in enumerate(gradients):
        wrapper.step(moved, gradient)
        start = before.copy()
        plain.step(before, gradient)
        plain.finish(before)
        expected = expected * (1 - 0.25 * 0.2 * 0.5**t) + before - start
    wrapper.finish(moved)
    np.testing.assert_allclose(moved, expected, rtol=1e-10, atol=1e-12)


# Constraints


def project(constraint: nn.Constraint, W: Array) -> Array:
    """The formula for each row."""
    if isinstance(constraint, nn.NonNegative):
        return np.where(W > 0, W, 0)
    low, high = {
        nn.MaxNorm: lambda c: (0, c.limit), nn.MinMaxNorm: lambda c: (c.minimum, c.maximum), nn.UnitNorm: lambda c: (1, 1),
    }[type(constraint)](constraint)  # fmt: skip
    rows = []
    for w in W:
        norm = float(np.sqrt(sum(x * x for x in w)))
        rows.append(w * min(max(norm, low), high) / norm if norm else w)
    return np.array(rows)


CONSTRAINTS = [nn.MaxNorm(0.4), nn.MinMaxNorm(0.7, 0.9), nn.UnitNorm(), nn.NonNegative()]


@pytest.mark.parametrize("units", [7, LARGE])
@pytest.mark.parametrize("constraint", CONSTRAINTS, ids=repr)
def test_projection_after_each_step(constraint: nn.Constraint, units: int, data: tuple[Array, Array]) -> None:
    model = make(units)
    for _ in range(4):
        _, gradient = model.loss_and_gradient(*data, "squared_error")
        model.parameters -= 0.1 * gradient
        for layer in model["dense_1"], model["dense_2"]:
            layer.weight[...] = project(constraint, layer.weight)
    trainer = fit(make(units), data, nn.SGD(lr=0.1), epochs=4, constraint=constraint)
    np.testing.assert_allclose(trainer.model.parameters, model.parameters, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(constraint.project(model["dense_1"].weight), model["dense_1"].weight, rtol=1e-12)
    first, second = fit(make(units), data, nn.SGD(lr=0.1), epochs=1, constraint=constraint), trainer.model
    for _ in range(3):
        first.fit(*data, epochs=1, batch_size=len(data[0]), shuffle=False, verbose=0)
    assert np.array_equal(first.model.parameters, second.parameters)


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_constraints_hold_with_every_optimizer(name: str, data: tuple[Array, Array]) -> None:
    """And a look-ahead point follows: four steps of one call have the bits of four calls, each of which begins at θ."""
    X, y = data
    together, single = (
        nn.Trainer(make(), "squared_error", name, constraint={"dense_1": nn.MaxNorm(0.3), "dense_2.bias": nn.NonNegative()})
        for _ in range(2)
    )
    batch = len(X) if together.optimizer.full_batch_only else len(X) // 4
    together.fit(X, y, epochs=2, batch_size=batch, shuffle=False, verbose=0)
    for _ in range(2):
        for first in range(0, len(X), batch):
            single.partial_fit(X[first : first + batch], y[first : first + batch])
    model = together.model
    assert np.array_equal(single.model.parameters, model.parameters)
    assert np.linalg.norm(model["dense_1"].weight, axis=1).max() <= 0.3 * (1 + 1e-15)
    assert (model["dense_2"].bias >= 0).all()


def test_norms_of_extreme_weights() -> None:
    """Squares that overflow or vanish, and rows of zeros."""
    for dtype, large in (("float32", 1e30), ("float64", 1e250)):
        model = nn.Sequential([nn.Dense(3, bias=False)], input_shape=2, dtype=dtype)
        model.layers[0].weight[...] = [[3 * large, 4 * large], [3 / large, 4 / large], [0, 0]]
        trainer = nn.Trainer(model, "squared_error", nn.SGD(lr=0.1), constraint=nn.UnitNorm())
        trainer.fit(np.zeros((2, 2)), np.zeros((2, 3)), verbose=0)
        np.testing.assert_allclose(model.layers[0].weight, [[0.6, 0.8], [0.6, 0.8], [0, 0]], rtol=1e-6)


# Kernels and their twins


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("isa", _kernels.complete_isas())
@pytest.mark.parametrize("inputs", [1, 2, 15, 16, 17, 70])
def test_projections_are_their_twins(inputs: int, isa: str, dtype: str) -> None:
    """Of rows in several work items; the look-ahead point follows; the same bits on 1, 2 and 3 threads."""
    rng = np.random.default_rng(inputs)
    W, v = rng.standard_normal((2, 9, inputs)).astype(dtype)
    W[3] = 0
    table = tile_table([(0, 4, inputs, inputs), (4 * inputs, 5, inputs, inputs)])
    twins = {
        "project_norm": lambda W: reference.project_norm(W, 0.5, 0.75),
        "project_non_negative": reference.project_non_negative,
    }
    for kernel, twin in twins.items():
        results = []
        for threads in (1, 2, 3):
            got, ahead = W.copy(), np.full_like(W, np.nan)
            single_ops.run_op(
                kernel, (got.ravel(), ahead.ravel(), v.ravel(), table), dtype=dtype, axis="tiles", pieces=2, sizes=(1,),
                constants=(0.5, 0.75), coefficients=np.array([9.0, 0.9]), isa=isa, threads=threads,
            )  # fmt: skip
            results.append(got.tobytes() + ahead.tobytes())
        assert len(set(results)) == 1
        expected = W.astype(np.float64)
        twin(expected)
        tolerance = 4 * np.finfo(dtype).eps
        np.testing.assert_allclose(got, expected, rtol=tolerance, atol=0)
        np.testing.assert_allclose(ahead, got + np.asarray(0.9, dtype) * v, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("isa", _kernels.complete_isas())
def test_decay_reads_the_coefficients_of_its_tile(isa: str, dtype: str) -> None:
    theta = np.linspace(-1, 1, 50).astype(dtype)
    got, expected = theta.copy(), theta.astype(np.float64)
    table = tile_table([(0, 1, 20, 20), (20, 3, 5, 10)], [0, 2])
    coefficients = np.array([9.0, 0.25, 9.0, 0.5])
    single_ops.run_op(
        "decay", (got, table), dtype=dtype, axis="tiles", pieces=2, sizes=(1,), coefficients=coefficients, isa=isa
    )
    assert not reference.optimizers.decay(expected[:20], 0.25)
    for first in (20, 30, 40):
        assert not reference.optimizers.decay(expected[first : first + 5], 0.5)
    np.testing.assert_allclose(got, expected, rtol=2 * np.finfo(dtype).eps)


@pytest.mark.parametrize("table", [np.zeros((1, 4), np.int64), np.zeros((1, 5), np.int32), np.zeros(5, np.int64)])
def test_tile_tables_of_another_form_are_refused(table: Array) -> None:
    with pytest.raises(ValueError, match=r"op decay: tile_table must be int64 of shape \(tiles, 5\), got"):
        single_ops.run_op("decay", (np.ones(3), table), dtype="float64", axis="tiles", sizes=(0,))


# Checks, files, copies


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lr_factors": {"dense_9": 1.0}}, "lr_factors must hold names among dense_1, dense_2, .*, got 'dense_9'"),
        ({"lr_factors": {"dense_1": -1.0}}, r"lr_factors\['dense_1'\] must be"),
        ({"lr_factors": 2.0}, "lr_factors must be a mapping of names of layers and arrays to factors, got 2.0"),
        ({"lr_factors": {"dense_1": 1}, "optimizer": "rprop"}, "lr_factors needs an optimizer that takes gradient steps"),
        ({"lr_factors": {"dense_1": 1}, "optimizer": "lbfgs"}, "lr_factors needs an optimizer that takes gradient steps"),
        ({"decay_factors": {"dense_1": 1}, "optimizer": "adam"}, "decay_factors needs an optimizer .* with weight_decay"),
        ({"constraint": 3.0}, "constraint must be a Constraint such as"),
        ({"constraint": {"dense_1": 3.0}}, r"constraint\['dense_1'\] must be a Constraint"),
        ({"constraint": {"dense_1.bias": nn.MaxNorm(1.0)}}, "constraint must be one of single numbers, .* for dense_1.bias"),
        ({"constraint": nn.UnitNorm(), "optimizer": "lbfgs"}, "constraint needs an optimizer that takes gradient steps"),
    ],
)  # fmt: skip
def test_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        nn.Trainer(make(), "squared_error", **options)


def test_bounds_are_checked_on_assignment() -> None:
    bounds = nn.MinMaxNorm(0.5, 1.0)
    with pytest.raises(ValueError, match=r"minimum must be at most maximum, which is 1.0, got 2.0"):
        bounds.minimum = 2.0
    assert bounds.minimum == 0.5
    with pytest.raises(ValueError, match="limit must be"):
        nn.MaxNorm(0.0)
    with pytest.raises(ValueError, match="optimizer must be one with a learning rate for WeightDecay"):
        nn.WeightDecay("rprop")


def test_assigned_within_a_training(data: tuple[Array, Array]) -> None:
    """From then on, also for partial_fit, which keeps what it has compiled."""
    trainer = nn.Trainer(make(), "squared_error", nn.SGD(lr=0.1))
    trainer.partial_fit(*data)
    before = trainer.model.parameters.copy()
    trainer.lr_factors = {"dense_1": 0.0, "dense_2": 0.0}
    trainer.partial_fit(*data)
    assert np.array_equal(trainer.model.parameters, before)
    trainer.constraint = nn.MaxNorm(0.2)
    trainer.partial_fit(*data)
    assert np.array_equal(trainer.model.parameters, before)  # frozen arrays are not projected either
    trainer.lr_factors = None
    trainer.partial_fit(*data)
    assert np.linalg.norm(trainer.model["dense_1"].weight, axis=1).max() <= 0.2 * (1 + 1e-15)
    with pytest.raises(TypeError):
        trainer.lr_factors["dense_1"] = 1.0
    trainer.lr_factors, trainer.constraint = None, None
    assert dict(trainer.lr_factors) == {}
    trainer.partial_fit(*data)
    assert not np.array_equal(trainer.model.parameters, before)


# ---- a factor of 0


@pytest.mark.parametrize("units", [7, LARGE])
@pytest.mark.parametrize("name", WITH_LR)
def test_a_factor_of_0_freezes(name: str, units: int, data: tuple[Array, Array]) -> None:
    """Whatever velocity an array has, and whatever would shrink, decay or project it; the others train on."""
    optimizer = nn.EMA(nn.WeightDecay(nn.Nesterov(lr=1e-3), 0.1) if name == "nesterov" else OPTIMIZERS[name]())
    trainer = fit(make(units), data, optimizer, 3, regularizer=nn.ProximalL1(1e-2), constraint=nn.MaxNorm(3.0))
    model = trainer.model
    parts, before = slices(model), model.parameters.copy()
    trainer.lr_factors, trainer.constraint = {"dense_1": 0.0, "dense_2.bias": 0.0}, nn.MaxNorm(0.1)
    state = {slot: array.copy() for slot, array in optimizer.state.items() if slot not in ("average", "origin")}
    trainer.fit(*data, epochs=3, batch_size=100, verbose=0)
    frozen = np.concatenate([np.arange(model.parameters.size)[parts[n]] for n in parts if n != "dense_2.weight"])
    assert np.array_equal(model.parameters[frozen], before[frozen])
    assert not np.array_equal(model.parameters[parts["dense_2.weight"]], before[parts["dense_2.weight"]])
    for slot, array in state.items():
        assert np.array_equal(optimizer.state[slot][frozen], array[frozen]), slot
    trainer.lr_factors = None
    trainer.fit(*data, epochs=1, batch_size=100, verbose=0)
    assert (np.linalg.norm(model["dense_1"].weight, axis=1) <= 0.1 * (1 + 1e-12)).all()


def test_averages_of_frozen_arrays_are_the_arrays(data: tuple[Array, Array]) -> None:
    model = make()
    before = model["dense_1"].weight.copy()
    trainer = fit(model, data, nn.EMA(nn.Nesterov(lr=0.01), decay=0.5), lr_factors={"dense_1": 0.0})
    with trainer.averaged():
        np.testing.assert_allclose(model["dense_1"].weight, before, rtol=1e-12)
        assert np.array_equal(model["dense_1"].bias, np.zeros(7))


def test_frozen_arrays_have_no_point_ahead(data: tuple[Array, Array]) -> None:
    """The gradient of the others is taken where they are, not where their velocity would take them."""
    first = fit(make(), data, nn.Nesterov(lr=0.01, momentum=0.9), 3)
    model = first.model.copy()
    first.lr_factors = {"dense_1": 0.0}
    other = nn.Trainer(model, "squared_error", nn.Nesterov(lr=0.01, momentum=0.9), lr_factors={"dense_1": 0.0})
    other.optimizer.load_state_dict(first.optimizer.state_dict())
    v = other.optimizer.state["v"]
    for part in ("dense_1.weight", "dense_1.bias"):
        v[slices(model)[part]] = 0
    for each in (first, other):
        each.fit(*data, epochs=3, batch_size=100, shuffle=False, verbose=0)
    assert np.array_equal(first.model.parameters, other.model.parameters)


class DirectDecay(nn.AdamW):
    """Decays biases too."""

    def coefficients(self, steps: int, steps_per_epoch: int = 1) -> Array:
        return nn.AdamW(weight_decay=self.weight_decay).coefficients(steps, steps_per_epoch)


class Direct(nn.SGD):
    """Reads its learning rate where it should call `hyper_values`."""

    def coefficients(self, steps: int, steps_per_epoch: int = 1) -> Array:
        return np.full((steps, 1), self.lr)


def test_coefficients_that_do_not_depend_on_factors_are_refused(data: tuple[Array, Array]) -> None:
    for factors in ({"dense_1": 0.5}, {"*.bias": 2.0, "dense_1.weight": 0.0}):
        model = make()
        before = model.parameters.copy()
        trainer = nn.Trainer(model, "squared_error", Direct(lr=0.01), lr_factors=factors)
        with pytest.raises(
            ValueError, match=r"Direct\.coefficients must take lr from hyper_values.* with the factor (0\.5|2)$"
        ):
            trainer.fit(*data, verbose=0)
        assert np.array_equal(model.parameters, before)
    with pytest.raises(ValueError, match=r"must take weight_decay from hyper_values.* with the factor 0"):
        fit(make(), data, DirectDecay())
    fit(make(), data, Direct(lr=0.0), lr_factors={"dense_1": 0.5})  # 0 in any case
    fit(make(), data, Direct(lr=0.01))

    class Good(nn.SGD):
        def coefficients(self, steps: int, steps_per_epoch: int = 1) -> Array:
            return 1.0 * super().coefficients(steps, steps_per_epoch)

    own, right = (fit(make(), data, cls(lr=0.01), lr_factors=FACTORS) for cls in (Good, nn.SGD))
    assert np.array_equal(own.model.parameters, right.model.parameters)


@pytest.mark.parametrize(("name", "key"), [("*", "*.bias"), ("*.bias", "*.bias"), ("dense_2.bias", "dense_2.bias")])
@pytest.mark.parametrize("argument", ["lr_factors", "constraint", "regularizer"])
def test_names_with_two_meanings_are_refused(name: str, key: str, argument: str) -> None:
    value = {"lr_factors": 0.5, "constraint": nn.NonNegative(), "regularizer": nn.L2(0.1)}[argument]
    model = nn.Sequential([nn.Dense(2, name=name), nn.Dense(1, name="dense_2")], input_shape=3)
    with pytest.raises(ValueError, match=r"must hold unique names, got .*, which names .* and a"):
        nn.Trainer(model, "squared_error", nn.SGD(), **{argument: {key: value}})
    nn.Trainer(model, "squared_error", nn.SGD(), **{argument: {name if name == "*" else "dense_2": value}})


def test_checkpoints_hold_them_by_name(data: tuple[Array, Array], tmp_path: Path) -> None:
    """The order of the names does not matter."""
    options: dict[str, Any] = {
        "lr_factors": {"dense_1": 0.5, "dense_2": 0.1}, "decay_factors": {"dense_1": 2.0, "*.bias": 1.0},
        "constraint": {"dense_1": nn.MaxNorm(0.5), "dense_2.weight": nn.NonNegative()},
    }  # fmt: skip
    trainer = fit(make(), data, nn.AdamW(lr=0.01), **options)
    trainer.save(tmp_path / "t.safetensors")
    backward = {name: dict(reversed(values.items())) for name, values in options.items()}
    other = nn.Trainer(make(), "squared_error", nn.AdamW(lr=0.01), **backward)
    other.restore(tmp_path / "t.safetensors")
    for each in trainer, other:
        each.fit(*data, epochs=2, verbose=0)
    assert np.array_equal(trainer.model.parameters, other.model.parameters)
    for name, values in options.items():
        changed = {**values, "dense_1": nn.MaxNorm(0.6) if name == "constraint" else 0.7}
        another = nn.Trainer(make(), "squared_error", nn.AdamW(lr=0.01), **options | {name: changed})
        with pytest.raises(ValueError, match=rf"holds another training: {name}\.dense_1.* must be 0\.[67], got"):
            another.restore(tmp_path / "t.safetensors")


def test_checkpoints_hold_them(data: tuple[Array, Array], tmp_path: Path) -> None:
    options: dict[str, Any] = {"lr_factors": {"*.bias": 0.5}, "decay_factors": {"dense_1": 2.0}, "constraint": nn.MaxNorm(0.5)}
    trainer = fit(make(), data, nn.AdamW(lr=0.01), **options)
    trainer.save(tmp_path / "t.safetensors")
    other = nn.Trainer(make(), "squared_error", nn.AdamW(lr=0.01), **options)
    other.restore(tmp_path / "t.safetensors")
    for each in trainer, other:
        each.fit(*data, epochs=2, verbose=0)
    assert np.array_equal(trainer.model.parameters, other.model.parameters)
    for name in options:
        another = nn.Trainer(make(), "squared_error", nn.AdamW(lr=0.01), **{k: v for k, v in options.items() if k != name})
        with pytest.raises(ValueError, match=f"holds another training: .*{name}"):
            another.restore(tmp_path / "t.safetensors")
