"""Path-SGD: its kernels, a network's γ against the paths one by one, its invariance, and what it refuses."""

import io
import itertools
from typing import Any

import numpy as np
import pytest
from helpers.ranks import on_ranks
from numpy.typing import NDArray

import nncore as nn
from nncore import _kernels, reference
from nncore._kernels.single_ops import run_op
from nncore.optimizers.tiles import tile_table

Array = NDArray[Any]

each_isa = pytest.mark.parametrize("isa", _kernels.complete_isas())
each_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])
RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(37, 4)), RNG.integers(0, 3, 37)


def network(*between: nn.Layer, dtype: str = "float64", bias: bool = True) -> nn.Sequential:
    layers = [nn.Dense(6, bias=bias), nn.ReLU(), *between, nn.Dense(5), nn.ReLU(), nn.Dense(3, bias=bias)]
    model = nn.Sequential(layers, input_shape=4, dtype=dtype, seed=3)
    model.parameters[...] += 0.1 * np.random.default_rng(1).normal(size=model.parameters.size)  # biases that are not 0
    return model


def trained(model: nn.Sequential, optimizer: Any = None, *, epochs: int = 4, **fit: Any) -> nn.Trainer:
    made = {name: fit.pop(name) for name in ("lr_factors", "clip", "regularizer") if name in fit}
    trainer = nn.Trainer(model, "softmax_cross_entropy", optimizer or nn.PathSGD(lr=0.05), **made)
    trainer.fit(X.astype(model.dtype), Y, epochs=epochs, batch_size=8, verbose=0, **fit)
    return trainer


def dense(model: nn.Sequential) -> list[nn.Dense]:
    return [layer for layer in model.layers if isinstance(layer, nn.Dense)]


# --- kernels


@each_isa
@each_dtype
@pytest.mark.parametrize(("units", "inputs"), [(1, 1), (3, 5), (64, 64), (65, 130), (7, 200)])
@pytest.mark.parametrize("bias", [True, False])
def test_kernels_are_their_twins(units: int, inputs: int, bias: bool, dtype: str, isa: str) -> None:
    rng = np.random.default_rng(units)
    W, z, d = rng.normal(size=(units, inputs)).astype(dtype), rng.random(inputs), rng.random(units)
    b = rng.normal(size=units).astype(dtype) if bias else None
    bits = set()
    for piece, threads in itertools.product((64, 9), (1, 2, 3)):
        options: dict[str, Any] = {"dtype": np.dtype(dtype), "axis": "tiles", "threads": threads, "isa": isa}
        after, d_before = np.full(units, np.nan), np.full(inputs, np.nan)
        gamma, gamma_b = np.full((units, inputs), np.nan, dtype), np.full(units, np.nan, dtype) if bias else None
        run_op("path_forward", (after, W, b, z), sizes=(units, inputs, piece), pieces=-(-units // piece), **options)
        arrays = gamma, gamma_b, d_before, W, d, z
        run_op("path_backward", arrays, sizes=(units, inputs, piece), pieces=-(-inputs // piece), **options)
        bits.add((after.tobytes(), gamma.tobytes(), d_before.tobytes()))
    assert len(bits) == 1
    expected, expected_b, expected_before = reference.path_backward(W, d, z)
    np.testing.assert_allclose(after, reference.path_forward(W, b, z), rtol=1e-13)
    np.testing.assert_allclose(d_before, expected_before, rtol=1e-13)
    np.testing.assert_allclose(gamma, expected, rtol=np.finfo(dtype).eps)
    if gamma_b is not None:
        np.testing.assert_allclose(gamma_b, expected_b, rtol=np.finfo(dtype).eps)


@each_isa
@each_dtype
def test_the_update_is_its_twin(dtype: str, isa: str) -> None:
    """Where γ is 0 nothing changes, but a gradient that is not finite is seen; so is a step that is not."""
    for n in (1, 7, 100):
        theta, grad = np.random.default_rng(n).normal(size=(2, n)).astype(dtype)
        gamma = np.random.default_rng(n).exponential(size=n).astype(dtype)
        gamma[::3] = 0
        for value in (None, np.nan, np.inf):
            if value is not None:
                grad[0] = value
            mine, twin = theta.copy(), theta.copy()
            failed = run_op(
                "path_sgd_update", (mine, grad, gamma, tile_table(n)), dtype=np.dtype(dtype), axis="tiles",
                coefficients=np.array([0.25]), isa=isa,
            )  # fmt: skip
            with np.errstate(invalid="ignore"):
                assert reference.path_sgd_update(twin, grad, gamma, lr=0.25) == bool(failed) == (value is not None)
            np.testing.assert_allclose(mine, twin, rtol=4 * np.finfo(dtype).eps)
            assert np.array_equal(mine[::3], theta[::3])


# --- γ


def paths(weights: list[tuple[Array, Array]]) -> list[tuple[Array, Array]]:
    """γ of each W and b by going through every path, from an input or a bias to an output."""
    gammas = [(np.zeros_like(W), np.zeros_like(b)) for W, b in weights]
    for first in range(len(weights)):
        for start in range(-1, 0 if first else weights[0][0].shape[1]):  # -1: the bias
            for units in itertools.product(*[range(len(b)) for _, b in weights[first:]]):
                edges = []  # (array, its γ, place)
                before = start
                for (W, b), (gamma, gamma_b), unit in zip(weights[first:], gammas[first:], units, strict=True):
                    edges.append((b, gamma_b, unit) if before == -1 else (W, gamma, (unit, before)))
                    before = unit
                for chosen in range(len(edges)):
                    others = np.prod([array[place] ** 2 for n, (array, _, place) in enumerate(edges) if n != chosen])
                    edges[chosen][1][edges[chosen][2]] += others
    return gammas


def test_gamma_is_the_sum_over_all_paths() -> None:
    """Of the weights before the step, which the last of one step has used."""
    model = nn.Sequential([nn.Dense(3), nn.ReLU(), nn.Dense(2), nn.ReLU(), nn.Dense(2)], input_shape=2, dtype="float64")
    model.parameters[...] = np.random.default_rng(2).normal(size=model.parameters.size)
    expected = paths([(layer.weight.copy(), layer.bias.copy()) for layer in dense(model)])
    trainer = nn.Trainer(model, "squared_error", nn.PathSGD(lr=1e-3))
    trainer.partial_fit(X[:5, :2], X[:5, 2:])
    for layer, (gamma, gamma_b) in zip(dense(model), expected, strict=True):
        state = trainer.optimizer.state["gamma"]
        np.testing.assert_allclose(layer.parameters["weight"].of(state), gamma, rtol=1e-13)
        np.testing.assert_allclose(layer.parameters["bias"].of(state), gamma_b, rtol=1e-13)


@pytest.mark.parametrize("bias", [True, False])
def test_steps_are_those_of_numpy(bias: bool) -> None:
    model = network(bias=bias)
    theta, steps = model.parameters.copy(), model.copy()
    for _ in range(3):
        layers, _ = dense(steps), steps.loss_and_gradient(X, Y, "softmax_cross_entropy")
        z, gammas = [np.ones(4)], []
        for layer in layers:
            z.append(reference.path_forward(layer.weight, layer.bias if layer.has_bias else None, z[-1]))
        d = np.ones(3)
        for layer, before in zip(reversed(layers), z[-2::-1], strict=True):
            gamma, gamma_b, d = reference.path_backward(layer.weight, d, before)
            gammas += [gamma_b] * layer.has_bias + [gamma.ravel()]
        reference.path_sgd_update(steps.parameters, steps.gradients, np.concatenate(gammas[::-1]), lr=0.05)
    trainer = nn.Trainer(model, "softmax_cross_entropy", nn.PathSGD(lr=0.05))
    for _ in range(3):
        trainer.partial_fit(X, Y)
    assert not np.array_equal(theta, model.parameters)
    np.testing.assert_allclose(model.parameters, steps.parameters, rtol=1e-10, atol=1e-12)


# --- invariance


def rescaled(model: nn.Sequential, factors: list[Array]) -> nn.Sequential:
    """The same function: the weights into each hidden unit times its factor, those out of it divided."""
    other = model.copy()
    layers = dense(other)
    for before, after, factor in zip(layers, layers[1:], factors, strict=False):
        before.weight *= factor[:, np.newaxis]
        if before.has_bias:
            before.bias *= factor
        after.weight /= factor
    return other


@each_dtype
@pytest.mark.parametrize("between", [nn.Identity, lambda: nn.Dropout(0.3), lambda: nn.LeakyReLU(0.2)])
def test_powers_of_two_change_no_bit_of_the_outputs(between: Any, dtype: str) -> None:
    """As they change no rounding: all steps are those of the same functions. SGD's are not."""
    factors = [2.0 ** np.arange(-3, 3), 2.0 ** np.array([4, 0, -2, 1, -5])]
    for optimizer, same in ((nn.PathSGD(lr=0.05), True), (nn.SGD(lr=0.05), False)):
        outputs, losses = [], []
        for scaled in (False, True):
            model = network(between(), dtype=dtype)
            trainer = trained(rescaled(model, factors) if scaled else model, type(optimizer)(lr=0.05))
            outputs.append(trainer.model.predict(X.astype(dtype)))
            losses.append(trainer.history["running_loss"])
        assert np.array_equal(*outputs) == np.array_equal(*losses) == same
        assert np.isfinite(losses).all()


def test_other_factors_change_only_roundings() -> None:
    factors = [np.random.default_rng(5).uniform(0.1, 10, n) for n in (6, 5)]
    one, other = trained(network()), trained(rescaled(network(), factors))
    assert one.history["running_loss"][-1] < 0.98 * one.history["running_loss"][0]  # it goes somewhere
    np.testing.assert_allclose(other.model.predict(X), one.model.predict(X), rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(other.model.parameters, rescaled(one.model, factors).parameters, rtol=1e-8, atol=1e-11)


def test_the_step_for_one_path() -> None:
    """z = w₂ relu(w₁ x): γ₁ = w₂², γ₂ = w₁², so that both weights move the output by the same amount."""
    model = nn.Sequential([nn.Dense(1, bias=False), nn.ReLU(), nn.Dense(1, bias=False)], input_shape=1, dtype="float64")
    model.parameters[...] = 2.0, 0.5
    nn.Trainer(model, "squared_error", nn.PathSGD(lr=0.1)).partial_fit([[1.0]], [[3.0]])
    slope = 1.0 - 3.0  # of ½ (y − 3)² at y = 1
    np.testing.assert_allclose(model.parameters, [2.0 - 0.1 * slope * 0.5 / 0.25, 0.5 - 0.1 * slope * 2.0 / 4.0])


def test_weights_without_a_path_stay() -> None:
    """With outputs of 0 the first step changes the last layer only; then there are paths."""
    model = nn.Sequential([nn.Dense(4), nn.ReLU(), nn.Dense(3, weight_init="zeros")], input_shape=4, dtype="float64")
    before = model.layers[0].weight.copy()
    trainer = nn.Trainer(model, "softmax_cross_entropy", nn.PathSGD(lr=1e-3))
    trainer.partial_fit(X, Y)
    assert np.array_equal(model.layers[0].weight, before)
    assert np.abs(model.layers[2].weight).max() > 0
    trainer.partial_fit(X, Y)
    assert not np.array_equal(model.layers[0].weight, before)


# --- in a trainer


def test_the_bits_do_not_depend_on_threads() -> None:
    """Of a network with enough work for several, and layers of more than one piece."""
    rng, before, results = np.random.default_rng(0), nn.get_num_threads(), set()
    data, targets = rng.normal(size=(128, 150)), rng.integers(0, 3, 128)
    try:
        for threads in (1, 2, 3):
            nn.set_num_threads(threads)
            layers = [nn.Dense(200), nn.ReLU(), nn.Dense(130), nn.ReLU(), nn.Dense(3)]
            model = nn.Sequential(layers, input_shape=150, seed=1)
            trainer = nn.Trainer(model, "softmax_cross_entropy", nn.PathSGD(lr=0.01))
            trainer.fit(data, targets, epochs=3, batch_size=64, verbose=0)
            results.add((model.parameters.tobytes(), trainer.optimizer.state["gamma"].tobytes()))
    finally:
        nn.set_num_threads(before)
    assert len(results) == 1


def test_accumulated_steps_are_those_of_the_batch() -> None:
    one, parts = network(), network()
    nn.Trainer(one, "softmax_cross_entropy", nn.PathSGD(lr=0.05)).fit(X, Y, epochs=3, batch_size=16, verbose=0)
    trainer = nn.Trainer(parts, "softmax_cross_entropy", nn.PathSGD(lr=0.05))
    trainer.fit(X, Y, epochs=3, batch_size=4, accumulate=4, verbose=0)
    np.testing.assert_allclose(parts.parameters, one.parameters, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("wrapper", [None, nn.EMA, nn.WeightDecay])
def test_a_checkpoint_continues_with_the_same_bits(wrapper: Any) -> None:
    def optimizer() -> Any:
        return nn.PathSGD(lr=0.05) if wrapper is None else wrapper(nn.PathSGD(lr=0.05), 0.01)

    whole, part, file = trained(network(), optimizer(), epochs=5), trained(network(), optimizer(), epochs=2), io.BytesIO()
    part.save(file)
    rest = nn.Trainer(network(), "softmax_cross_entropy", optimizer())
    rest.restore(io.BytesIO(file.getvalue()))
    rest.fit(X, Y, epochs=3, batch_size=8, verbose=0)
    assert np.array_equal(rest.model.parameters, whole.model.parameters)
    assert np.array_equal(rest.optimizer.state["gamma"], whole.optimizer.state["gamma"])


def test_members_of_an_ensemble_are_what_they_are_alone() -> None:
    ensemble = nn.Ensemble(network(), 3)
    starts = [ensemble[member].parameters.copy() for member in range(3)]
    trainer = nn.Trainer(ensemble, "softmax_cross_entropy", nn.PathSGD(lr=0.05), seed=7)
    trainer.fit(X, Y, epochs=3, batch_size=8, verbose=0)
    for member, start in enumerate(starts):
        alone = network()
        alone.parameters[...] = start
        nn.Trainer(alone, "softmax_cross_entropy", nn.PathSGD(lr=0.05), seed=7 + member).fit(
            X, Y, epochs=3, batch_size=8, verbose=0
        )
        assert np.array_equal(ensemble[member].parameters, alone.parameters)


def test_schedules_factors_and_the_rest() -> None:
    frozen = network()
    before = frozen.layers[0].weight.copy()
    trainer = trained(
        frozen, nn.PathSGD(lr=nn.schedules.Exponential(0.05, 0.9)), lr_factors={"dense_1.weight": 0.0},
        clip=nn.ClipGlobalNorm(1.0), regularizer=nn.L2(1e-3),
    )  # fmt: skip
    assert np.array_equal(frozen.layers[0].weight, before)
    assert np.isfinite(frozen.parameters).all()
    assert "lr" in trainer.history.columns
    assert {"path_forward", "path_backward", "path_sgd_update"} <= {op.name for op in trainer.profile(X, Y, steps=2).ops}


# --- refused


class Halved(nn.Dense):
    pass


@pytest.mark.parametrize(
    "layers",
    [
        [nn.Dense(3), nn.Sigmoid(), nn.Dense(3)], [nn.Dense(3), nn.BatchNorm(), nn.ReLU(), nn.Dense(3)], [nn.SparseDense(3)],
        [nn.Dense(3), nn.ReLU(), nn.LayerNorm()], [nn.Scale(), nn.Dense(3)], [nn.WeightNorm(nn.Dense(3))], [nn.DropConnect(3)],
        [nn.Dense(3), nn.GaussianNoise(0.1), nn.Dense(3)], [nn.Dense(3), nn.ELU(), nn.Dense(3)], [Halved(3)],
    ],
    ids=lambda layers: "-".join(type(layer).__name__ for layer in layers),
)  # fmt: skip
@pytest.mark.parametrize("wrap", [False, True])
def test_other_networks_are_refused(layers: list[nn.Layer], wrap: bool) -> None:
    model = nn.Sequential([layer.__class__(**layer._arguments()) for layer in layers], input_shape=4)
    with pytest.raises(ValueError, match=r"model must be made of Dense layers, with ReLU, .* for PathSGD, got "):
        nn.Trainer(model, "squared_error", nn.EMA(nn.PathSGD()) if wrap else nn.PathSGD())


def test_a_recurrent_network_is_refused() -> None:
    with pytest.raises(ValueError, match="got GRU"):
        nn.Trainer(nn.Sequential([nn.GRU(3), nn.Dense(2)], input_shape=(5, 4)), "squared_error", nn.PathSGD())


def test_layers_without_parameters_at_the_ends() -> None:
    for layers in ([nn.Tanh(), nn.Dense(3)], [nn.GaussianNoise(0.1), nn.Dense(5), nn.ReLU(), nn.Dense(3), nn.Softmax()]):
        model = nn.Sequential(layers, input_shape=4)
        nn.Trainer(model, "mean_squared_error", nn.PathSGD()).fit(X, np.eye(3)[Y], verbose=0)
        assert np.isfinite(model.parameters).all()


@pytest.mark.parametrize("make", [nn.PathSGD, lambda: nn.EMA(nn.PathSGD())], ids=["alone", "wrapped"])
def test_steps_by_hand_are_refused(make: Any) -> None:
    optimizer, theta = make(), np.ones(3)
    with pytest.raises(ValueError, match=r"PathSGD\)? reads the layers of a network in each step: take nn.Trainer"):
        optimizer.step(theta, np.ones(3))
    with pytest.raises(ValueError, match=r"PathSGD\)? reads the layers"):
        optimizer.minimize(lambda x: (0.0, x), theta, 3)
    assert not optimizer.state
    assert np.array_equal(theta, np.ones(3))


def test_an_assigned_rate_applies_from_the_next_epoch() -> None:
    trainer = trained(network())
    before, trainer.optimizer.lr = trainer.model.parameters.copy(), 0.0
    trainer.fit(X, Y, batch_size=8, verbose=0)
    assert np.array_equal(trainer.model.parameters, before)


def test_divergence_is_reported() -> None:
    with pytest.raises(nn.DivergenceError):
        trained(network(), nn.PathSGD(lr=1e200), epochs=20)


def test_the_bits_do_not_depend_on_the_number_of_ranks() -> None:
    def work(comm: Any) -> bytes:
        shared = {"batch_size": 8, "distributed": nn.distributed.MPI(4, comm)}
        trainer = nn.Trainer(network(), "softmax_cross_entropy", nn.PathSGD(lr=0.05))
        trainer.fit(X, Y, epochs=2, verbose=0, **shared)
        return bytes(trainer.model.parameters.tobytes())

    assert len({result for size in (1, 2, 3) for result in on_ranks(size, work)}) == 1


@pytest.mark.parametrize("wrap", [False, True])
@pytest.mark.parametrize(
    ("array", "powers"),
    [("dense_1.weight", (-70, 0)), ("dense_2.weight", (70, 0)), ("dense_2.bias", (-40, -66)), ("dense_3.weight", (0, 70))],
)
def test_gammas_beyond_float32_are_an_error(array: str, powers: tuple[int, int], wrap: bool) -> None:
    """The same function with units of another scale: γ of one array is beyond 2**128, and the step would count as 0."""
    model = rescaled(network(dtype="float32"), [np.full(n, 2.0**power) for n, power in zip((6, 5), powers, strict=True)])
    before = model.parameters.copy()
    optimizer = nn.EMA(nn.PathSGD(lr=0.05)) if wrap else nn.PathSGD(lr=0.05)
    trainer = nn.Trainer(model, "softmax_cross_entropy", optimizer)
    with pytest.raises(nn.DivergenceError, match=rf"step 1 .*: gamma of {array}, the sum over its paths, is beyond float32\. "):
        trainer.fit(X.astype("float32"), Y, batch_size=8, verbose=0)
    assert np.array_equal(model.parameters, before)
    assert np.isfinite(trainer.optimizer.state["gamma"]).all()


def test_gammas_beyond_float32_are_numbers_in_float64() -> None:
    model = network()
    one, other = trained(model.copy()), trained(rescaled(model, [np.full(6, 2.0**70), np.full(5, 2.0**-70)]))
    assert np.array_equal(one.history["running_loss"], other.history["running_loss"])
