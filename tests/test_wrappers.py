"""Optimizer wrappers: averages against means in NumPy, noise against its twin, around every optimizer."""

from __future__ import annotations

import copy
import io
import json
import pickle
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.optimizers import CASES, EACH, PROBLEM, Bowl, actual_path, distance, expected_path
from helpers.tiles import tile_table
from numpy.typing import NDArray
from scipy import stats

import nncore as nn
from nncore import _kernels, optimizers, reference
from nncore._kernels import single_ops
from nncore.landscapes import record
from nncore.optimizers import EMA, WRAPPERS, GradientNoise, PolyakAveraging
from nncore.optimizers.gradient import StepOps
from nncore.optimizers.wrapper import Wrapper
from nncore.program.ops import Op
from nncore.schedules import Polynomial

Array = NDArray[Any]
STEPS = 400  # the late average begins at 300

# The arguments of each wrapper besides the optimizer, and its own constants.
MAKE = {
    "ema": lambda opt: EMA(opt, decay=0.97),
    "ema uncorrected": lambda opt: EMA(opt, decay=0.97, bias_correction=False),
    "polyak_averaging": lambda opt: PolyakAveraging(opt),
    "polyak_averaging late": lambda opt: PolyakAveraging(opt, start=300),
    "gradient_noise": lambda opt: GradientNoise(opt, eta=0.04, gamma=0.6, seed=11),
}
each_wrapper = pytest.mark.parametrize("wrapper", MAKE)
AVERAGES = [name for name in MAKE if name.startswith(("ema", "polyak"))]
each_average = pytest.mark.parametrize("wrapper", AVERAGES)
each_isa = pytest.mark.parametrize("isa", _kernels.complete_isas())
each_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def make(case: str) -> optimizers.Optimizer:
    build, _, constants = CASES[case]
    return build(constants)


def test_every_wrapper_is_covered() -> None:
    covered = {type(wrap(nn.SGD())) for wrap in MAKE.values()}
    assert covered | {nn.WeightDecay} == set(WRAPPERS.values())  # which is in test_array_groups.py


@each_wrapper
def test_resume_without_a_state_begins_with_one(wrapper: str) -> None:
    first, second = (MAKE[wrapper](nn.SGD(lr=0.1)) for _ in range(2))
    expected = first.minimize(Bowl(), [1.0, -2.0], 5).theta
    assert np.array_equal(second.minimize(Bowl(), [1.0, -2.0], 5, resume=True).theta, expected)


# ---- averages, each as a sum with the weights that its docstring names


def weights(wrapper: str, t: int, *, decay: float = 0.97, start: int = 300) -> Array:
    """Of θ₁ … θₜ, oldest first."""
    if wrapper == "ema":
        w = decay ** np.arange(t - 1.0, -1, -1)
        return w / w.sum()
    if wrapper == "ema uncorrected":
        w = (1 - decay) * decay ** np.arange(t - 1.0, -1, -1)
        w[0] = decay ** (t - 1)
        return w
    first = min(start, t - 1) if "late" in wrapper else 0
    return (np.arange(t) >= first) / (t - first)


def averaged_path(opt: Any, steps: int) -> tuple[Array, Array]:
    theta, path, averages = PROBLEM.start.copy(), [], []
    for k in range(steps):
        opt.step(theta, PROBLEM.gradient(theta, k))
        path.append(opt.parameters(theta).copy())
        averages.append(opt.averaged_parameters.copy())
    return np.array(path), np.array(averages)


def mean_of(wrapper: str, path: Array, **constants: float) -> Array:
    return np.array([weights(wrapper, t, **constants) @ path[:t] for t in range(1, len(path) + 1)])


@cache
def own_path(case: str) -> Array:
    return actual_path(make(case), last=STEPS)


@each_average
@EACH
def test_average_of_every_optimizer(case: str, wrapper: str) -> None:
    """θ is unchanged to the last bit; the average is its weighted mean. Nesterov's is of θ, not of the look-ahead point."""
    path, averages = averaged_path(MAKE[wrapper](make(case)), STEPS)
    assert np.array_equal(path, own_path(case))
    assert distance(averages, mean_of(wrapper, path)) < 1e-12


@pytest.mark.parametrize(
    ("wrapper", "mutant"), [("ema", {"decay": 0.9701}), ("ema uncorrected", {"decay": 0.9701}), ("polyak_averaging late",
    {"start": 301})]
)  # fmt: skip
def test_every_constant_of_an_average_matters(wrapper: str, mutant: dict[str, Any]) -> None:
    path, averages = averaged_path(MAKE[wrapper](nn.Adam(lr=0.02)), 400)
    assert distance(averages, mean_of(wrapper, path)) < 1e-12
    assert distance(averages, mean_of(wrapper, path, **mutant)) > 1e-6


def test_decay_takes_a_schedule() -> None:
    """The corrected mean has the weights (1 − dᵢ) dᵢ₊₁ … dₜ, made to add up to 1."""
    falling = Polynomial(0.9, steps=60, final=0.5)
    path, averages = averaged_path(EMA(nn.SGD(lr=0.02), decay=falling), 80)
    d = falling.values(0, 80)
    for t in (1, 2, 40, 80):
        w = np.array([(1 - d[i]) * np.prod(d[i + 1 : t]) for i in range(t)])
        np.testing.assert_allclose(averages[t - 1], w @ path[:t] / w.sum(), rtol=1e-12)


@pytest.mark.parametrize(("wrapper", "peer"), [("ema uncorrected", "ema"), ("polyak_averaging", None)])
def test_pytorch_averages_agree(wrapper: str, peer: str | None, torch: Any) -> None:
    swa = torch.optim.swa_utils
    module = torch.nn.Linear(12, 1, bias=False, dtype=torch.float64)
    averaged = swa.AveragedModel(module, multi_avg_fn=swa.get_ema_multi_avg_fn(0.97) if peer else None)
    opt, theta = MAKE[wrapper](nn.SGD(lr=0.03)), PROBLEM.start.copy()
    for k in range(200):
        opt.step(theta, PROBLEM.gradient(theta, k))
        with torch.no_grad():
            module.weight.copy_(torch.tensor(theta[None]))
        averaged.update_parameters(module)
        np.testing.assert_allclose(opt.averaged_parameters, averaged.module.weight.detach().numpy()[0], rtol=1e-10)


def test_the_mean_is_nearer_to_the_minimum() -> None:
    """With noisy gradients of a quadratic the last θ has the noise of its steps; the mean of many does not."""
    rng, theta = np.random.default_rng(3), np.ones(50)
    opt = PolyakAveraging(nn.SGD(lr=0.1), start=100)
    for _ in range(5000):
        opt.step(theta, theta + rng.normal(size=50))
    assert np.linalg.norm(opt.averaged_parameters) < 0.12 * np.linalg.norm(theta)


# ---- noise


@cache
def gradient_normal(n: int, seed: int, step: int) -> Array:
    """The noise of a step, before σ."""
    return reference.random_normal(n, seed=seed, layer=0, stream=1, step=step)


@each_isa
@each_dtype
def test_noise_is_the_twin_s(isa: str, dtype: type) -> None:
    """The same bits for any division into tiles, on 1, 2 and 3 threads; close to the twin, which computes in float64."""
    n = 60_013
    cuts = [[[0, 1, n, n]], [[k, 1, min(997, n - k), 997] for k in range(0, n, 997)]]
    cuts += [[[0, 200, 150, 300], [150, 200, 150, 300], [60_000, 13, 1, 1]]]
    results = []
    for table in cuts:
        for threads in (1, 2, 3):
            grad = np.full(n, 0.5, dtype)
            arrays = (grad, tile_table(table))
            single_ops.run_op(
                "gradient_noise", arrays, dtype=np.dtype(dtype), axis="tiles", pieces=len(table), sizes=(5, 1 << 12, 1),
                coefficients=np.array([9.0, 0.25]), step=2**33 + 7, threads=threads, isa=isa,
            )  # fmt: skip
            results.append(grad)
    assert all(result.tobytes() == results[0].tobytes() for result in results)
    expected = 0.5 + 0.25 * gradient_normal(n, 5, 2**33 + 7)
    assert np.abs(results[0] - expected).max() < (1e-6 if dtype is np.float32 else 1e-14)


def test_noise_is_normal_and_new_in_each_step() -> None:
    first, second = (gradient_normal(1 << 18, 0, step) for step in (0, 1))
    assert stats.kstest(first, "norm").pvalue > 0.01
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.01
    for lag in (1, 16, 32, 64):
        assert abs(np.corrcoef(first[lag:], first[:-lag])[0, 1]) < 0.01
    assert np.abs(first).max() > 4.4


@EACH
def test_noise_for_every_optimizer(case: str) -> None:
    """The formula of the optimizer along gradients with the noise of the formula σ² = η/(1+t)^γ."""
    build, formula, constants = CASES[case]

    class Noisy:
        start = PROBLEM.start

        def __init__(self, eta: float = 0.04, gamma: float = 0.6, seed: int = 11) -> None:
            self.eta, self.gamma, self.seed = eta, gamma, seed

        def gradient(self, theta: Array, t: int) -> Array:
            noise = gradient_normal(theta.size, self.seed, t)
            return PROBLEM.gradient(theta, t) + np.sqrt(self.eta / (1 + t) ** self.gamma) * noise

    actual = actual_path(GradientNoise(build(constants), eta=0.04, gamma=0.6, seed=11), last=150)
    assert distance(actual, expected_path(formula, lambda k: constants, Noisy(), 150)) < 1e-12
    for mutant in (Noisy(eta=0.06), Noisy(gamma=0.8), Noisy(seed=12)):  # enough to flip a sign, which is what Lion uses
        assert distance(actual, expected_path(formula, lambda k: constants, mutant, 150)) > 1e-9


def test_the_gradient_of_the_caller_is_unchanged() -> None:
    grad = np.arange(5.0)
    EMA(GradientNoise(nn.SGD(), eta=1.0)).step(np.zeros(5), grad)
    assert np.array_equal(grad, np.arange(5.0))


# ---- in the compiled loop


def data(n: int = 70) -> tuple[Array, Array]:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, 5))
    return X, np.argmax(X[:, :3] + 0.3 * rng.normal(size=(n, 3)), axis=1)


def small(dtype: str = "float64") -> nn.Sequential:
    return nn.Sequential([nn.Dense(9), nn.Tanh(), nn.Dense(3)], input_shape=5, dtype=dtype, seed=2)


def fit(optimizer: Any, epochs: int = 4, dtype: str = "float64", trainer: Any = None, **kw: Any) -> nn.Trainer:
    trainer = trainer or nn.Trainer(small(dtype), "softmax_cross_entropy", optimizer, **kw)
    trainer.fit(*data(), epochs=epochs, batch_size=70, verbose=0)
    return trainer


@each_wrapper
@pytest.mark.parametrize("inner", ["sgd", "nesterov", "adam", "rprop"])
def test_training_is_the_step_by_hand(wrapper: str, inner: str) -> None:
    """The compiled loop against ``step`` along ``loss_and_gradient``: the same parameters and averages."""
    settings = {"lr": 0.02} if inner != "nesterov" else {"lr": 0.02, "momentum": 0.7}
    make_inner = lambda: optimizers.OPTIMIZERS[inner](**settings)  # noqa: E731
    trained = fit(MAKE[wrapper](make_inner()), 12)
    model, opt = small(), MAKE[wrapper](make_inner())
    for _ in range(12):
        _, gradient = model.loss_and_gradient(*data(), "softmax_cross_entropy")
        opt.step(model.parameters, gradient)
    opt.finish(model.parameters)
    np.testing.assert_allclose(trained.model.parameters, model.parameters, rtol=1e-12, atol=1e-13)
    if wrapper in AVERAGES:
        np.testing.assert_allclose(trained.optimizer.averaged_parameters, opt.averaged_parameters, rtol=1e-12, atol=1e-13)


@each_wrapper
@each_dtype
def test_training_has_the_same_bits_on_any_number_of_threads(wrapper: str, dtype: type) -> None:
    X, y = np.random.default_rng(0).normal(size=(300, 120)), np.arange(300) % 10
    before, results = nn.get_num_threads(), []
    for threads in (1, 2, 3):
        nn.set_num_threads(threads)
        model = nn.Sequential([nn.Dense(130), nn.ReLU(), nn.Dense(10)], input_shape=120, dtype=dtype, seed=0)
        trainer = nn.Trainer(model, "softmax_cross_entropy", MAKE[wrapper](nn.Adam()), clip=nn.ClipGlobalNorm(1.0))
        trainer.fit(X, y, epochs=3, batch_size=100, verbose=0)
        results.append(b"".join(array.tobytes() for array in (model.parameters, *trainer.optimizer.state.values())))
    nn.set_num_threads(before)
    assert results[0] == results[1] == results[2]


@each_wrapper
@pytest.mark.parametrize("inner", ["nesterov", "nadam"])
def test_resuming_training_gives_the_same_bits(wrapper: str, inner: str, tmp_path: Path) -> None:
    def wrapped() -> Any:
        return MAKE[wrapper](EMA(inner, decay=0.9) if "noise" in wrapper else GradientNoise(inner, eta=0.01))

    whole, half = fit(wrapped(), 8), fit(wrapped(), 5)
    half.save(tmp_path / "half")
    rest = nn.Trainer(small(), "softmax_cross_entropy", wrapped())
    rest.restore(tmp_path / "half")
    fit(None, 3, trainer=rest)
    assert rest.model.parameters.tobytes() == whole.model.parameters.tobytes()
    assert rest.optimizer.averaged_parameters.tobytes() == whole.optimizer.averaged_parameters.tobytes()
    other = nn.Trainer(small(), "softmax_cross_entropy", EMA(nn.Momentum()))
    with pytest.raises(ValueError, match=r"must hold the state of EMA\(Momentum\), got"):
        other.restore(tmp_path / "half")


class SquaredNorm(Wrapper):
    """Computes ‖θ‖² after each step: a wrapper that the package does not know."""

    squares: Array  # of each tile

    def weights(self, steps: int, steps_per_epoch: int) -> Array:
        return np.zeros(steps)

    def ops(self, theta: Array, grad: Array, table: Array) -> StepOps:
        step, self.squares = super().ops(theta, grad, table), np.zeros(len(table))
        arrays = (self.squares, self.iterate(theta), table)
        return step._replace(after=[*step.after, Op("tiles", "square_sum", arrays)])


@pytest.mark.parametrize("inner", [nn.SGD, nn.Nesterov])
@pytest.mark.parametrize("units", [3, 600])  # one tile, and several
def test_a_wrapper_sees_the_result_of_the_proximal_step(units: int, inner: type, rng: np.random.Generator) -> None:
    model = nn.Sequential([nn.Dense(units), nn.Tanh(), nn.Dense(1)], input_shape=40, dtype="float64")
    optimizer = SquaredNorm(inner(lr=0.1))
    trainer = nn.Trainer(model, "squared_error", optimizer, regularizer=nn.ProximalL1(0.5))
    trainer.fit(rng.standard_normal((64, 40)), rng.standard_normal((64, 1)), epochs=3, batch_size=64, verbose=0)
    assert (model.parameters == 0).any()
    assert optimizer.squares.sum() == pytest.approx(model.parameters @ model.parameters, rel=1e-12)


def test_evaluating_with_the_averages() -> None:
    trainer = fit(EMA(nn.SGD(lr=0.5), decay=0.8), 20)
    model, own = trainer.model, trainer.model.parameters.copy()
    averages = trainer.optimizer.averaged_parameters.copy()
    plain = trainer.evaluate(*data())
    with trainer.averaged() as same:
        assert same is trainer
        assert np.array_equal(model.parameters, averages)
        assert trainer.evaluate(*data()) != plain
    assert np.array_equal(model.parameters, own)
    assert trainer.evaluate(*data()) == plain
    with pytest.raises(KeyError), trainer.averaged():
        raise KeyError
    assert np.array_equal(model.parameters, own)
    with pytest.raises(RuntimeError, match="holds averages"), trainer.averaged():
        fit(None, 1, trainer=trainer)
    assert np.array_equal(model.parameters, own)
    trainer.use_averages()
    assert np.array_equal(model.parameters, trainer.optimizer.averaged_parameters)


def test_missing_averages() -> None:
    trainer = nn.Trainer(small(), "softmax_cross_entropy", nn.SGD())
    with pytest.raises(ValueError, match=r"optimizer must keep averages, such as nn.EMA\(nn.Adam\(\)\), got SGD"):
        trainer.use_averages()
    trainer = nn.Trainer(small(), "softmax_cross_entropy", GradientNoise(EMA("sgd")))
    with pytest.raises(ValueError, match="no averaged parameters before the first step"):
        trainer.use_averages()


# ---- minimize, records, state, configuration


def assert_one_state(opt: Any, steps: int) -> None:
    """Of the wrapper, the wrapper that it wraps, and the optimizer within."""
    levels = [opt, opt.optimizer, opt.optimizer.optimizer]
    assert [level.step_count for level in levels] == [steps] * 3
    assert all(level.state is opt.state and level.stretches is opt.stretches for level in levels)
    assert [level.products["beta2"] for level in levels] == [pytest.approx(0.9**steps)] * 3


def test_a_wrapper_and_the_wrapped_share_one_state() -> None:
    opt, theta = EMA(GradientNoise(nn.Adam(betas=(0.8, 0.9)))), np.ones(5)
    for _ in range(5):
        opt.step(theta, np.ones(5))
    assert_one_state(opt, 5)
    assert set(opt.optimizer.optimizer.state) == {"m", "v", "average"}
    for other in (copy.copy(opt), copy.deepcopy(opt), pickle.loads(pickle.dumps(opt))):
        other.step(theta.copy(), np.ones(5))
        assert_one_state(other, 6)
        assert_one_state(opt, 5)
    opt.optimizer.optimizer.step_count = 4  # wherever it is assigned
    assert opt.step_count == 4
    opt.minimize(lambda x: (float(x @ x) / 2, x), np.ones(5), 7)
    assert_one_state(opt, 7)
    opt.load_state_dict(other.state_dict())
    assert_one_state(opt, 6)
    trainer = fit(opt, 3)
    assert_one_state(opt, 3)
    trainer.save(buffer := io.BytesIO())
    buffer.seek(0)
    again = nn.Trainer(small(), "softmax_cross_entropy", EMA(GradientNoise(nn.Adam(betas=(0.8, 0.9)))))
    again.restore(buffer)
    assert_one_state(again.optimizer, 3)


@each_wrapper
def test_minimize_and_record(wrapper: str) -> None:
    opt = MAKE[wrapper](nn.Nesterov(lr=0.02, momentum=0.8))
    path = opt.minimize(Bowl(), [1.0, -2.0], 60)
    half = opt.minimize(Bowl(), [1.0, -2.0], 25)
    rest = opt.minimize(Bowl(), half.theta[-1], 35, resume=True)
    assert np.array_equal(np.vstack((half.theta, rest.theta[1:])), path.theta)
    recording = record(MAKE[wrapper](nn.Nesterov(lr=0.02, momentum=0.8)), Bowl(), [1.0, -2.0], 60)
    assert np.array_equal(recording.theta, path.theta)
    assert set(recording.state) == set(opt.slots)
    if wrapper in AVERAGES:
        np.testing.assert_allclose(opt.averaged_parameters, weights(wrapper, 60) @ path.theta[1:], rtol=1e-12)


@each_wrapper
@EACH
def test_state_and_configuration(case: str, wrapper: str) -> None:
    opt = MAKE[wrapper](make(case))
    theta, other = PROBLEM.start.copy(), PROBLEM.start.copy()
    for k in range(30):
        opt.step(theta, PROBLEM.noise[k])
    again = optimizers.get(json.loads(json.dumps({"class": type(opt).__name__, **opt.config()})))
    assert repr(again) == repr(opt)
    other[...] = theta
    again.load_state_dict(copy.deepcopy(opt.state_dict()))
    for k in range(30, 60):
        opt.step(theta, PROBLEM.noise[k])
        again.step(other, PROBLEM.noise[k])
    assert theta.tobytes() == other.tobytes()
    assert all(np.array_equal(value, again.state_dict()[name]) for name, value in opt.state_dict().items())
    assert again.full_batch_only == make(case).full_batch_only


def test_hyperparameters_of_the_wrapped_optimizer() -> None:
    opt = EMA(GradientNoise(nn.Adam(lr=0.1)), decay=0.5)
    opt.lr = 0.2
    opt.betas = (0.5, 0.6)
    opt.eta = 0.7
    opt.decay = 0.8
    assert opt.optimizer.optimizer.betas == (0.5, 0.6)
    values = {name: value[0] for name, value in opt.hyper_values(1).items()}
    assert values == {"lr": 0.2, "beta1": 0.5, "beta2": 0.6, "eps": 1e-8, "eta": 0.7, "gamma": 0.55, "decay": 0.8}
    with pytest.raises(AttributeError):
        _ = opt.nothing
    assert repr(copy.deepcopy(opt)) == repr(opt)


@pytest.mark.parametrize(
    ("make_", "error", "message"),
    [
        (lambda: EMA("adm"), ValueError, "optimizer must be one of sgd"),
        (lambda: EMA(3), TypeError, "optimizer must be an Optimizer or a name"),
        (lambda: EMA("adam", decay=1.0), ValueError, r"decay must be a number in \[0, 1\), got 1"),
        (lambda: EMA("adam", decay=-0.1), ValueError, r"decay must be a number in \[0, 1\)"),
        (lambda: EMA("adam", decay="0.9"), TypeError, "decay must be a number in"),
        (lambda: EMA(EMA("adam")), ValueError, "optimizer must be one without average, decay for EMA"),
        (lambda: PolyakAveraging("adam", start=-1), ValueError, "start must be an integer of at least 0, got -1"),
        (lambda: PolyakAveraging("adam", start=1.5), TypeError, "start must be an integer of at least 0"),
        (lambda: GradientNoise("adam", eta=-1), ValueError, r"eta must be a finite number of at least 0"),
        (lambda: GradientNoise("adam", gamma=-1), ValueError, r"gamma must be a finite number of at least 0"),
        (lambda: GradientNoise("adam", seed=-1), ValueError, "seed must be an integer from 0"),
        (lambda: GradientNoise("adam", seed=2**63), ValueError, r"seed must be an integer from 0 to 2\*\*63 - 1"),
        (lambda: optimizers.get({"class": "Adamm"}), ValueError, "optimizer must be one of SGD"),
    ],
)
def test_refusals(make_: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make_()


def test_what_wrappers_do_beside_a_step_that_is_not_finite() -> None:
    theta, opt = np.array([4.0, 4.0]), EMA(nn.WeightDecay(nn.SGD(lr=0.5), weight_decay=0.1), decay=0.5)
    opt.step(theta, np.zeros(2))
    with pytest.raises(nn.DivergenceError):
        opt.step(theta, np.array([np.nan, 1.0]))
    decayed = 4 * 0.95**2
    assert theta.tolist() == pytest.approx([decayed, decayed - 0.5], rel=1e-14)
    assert opt.state["average"].tolist() == pytest.approx([(3.8 + 2 * decayed) / 3, (3.8 + 2 * decayed - 1) / 3], rel=1e-14)


def test_a_non_finite_average_is_skipped() -> None:
    theta, opt = np.array([1e308]), EMA(nn.SGD(lr=1.0), decay=0.3)
    opt.step(theta, np.zeros(1))
    theta[0] = -1e308
    with pytest.raises(nn.DivergenceError), np.errstate(over="ignore"):
        opt.step(theta, np.zeros(1))
    assert opt.state["average"][0] == 1e308


@each_isa
@each_dtype
def test_average_kernel_and_twin(isa: str, dtype: type) -> None:
    rng = np.random.default_rng(0)
    for n in (1, 7, 16, 33, 4097):
        for weight in (0.0, 1e-3, 0.4999, 0.5, 0.9, 1.0):
            average, theta = rng.normal(size=(2, n)).astype(dtype)
            got, twin, table = average.copy(), average.astype(np.float64), tile_table([[0, 1, n, n]])
            arrays = (got, theta, table)
            row = np.array([5.0, weight])
            assert not single_ops.run_op(
                "average", arrays, dtype=np.dtype(dtype), axis="tiles", sizes=(1,), coefficients=row, isa=isa
            )  # fmt: skip
            reference.average(twin, theta.astype(np.float64), weight)
            np.testing.assert_allclose(got, twin, rtol=0, atol=16 * np.finfo(dtype).eps)
            if weight in (0.0, 1.0):
                assert np.array_equal(got, theta if weight else average)


# ---- operands of users' classes, which kernels trust


def of_update(change: Any, slot: int = 2) -> Any:
    """A momentum whose op gets a changed array in this slot."""

    class Own(nn.Momentum):
        def arrays(self, theta: Array, grad: Array, table: Array) -> Any:
            arrays = list(super().arrays(theta, grad, table))
            arrays[slot] = change(arrays[slot])
            return tuple(arrays)

    return Own()


def of_wrapper(change: Any) -> Any:
    class Own(Wrapper):
        own_slots = ("average",)

        def weights(self, steps: int, steps_per_epoch: int) -> Array:
            return np.full(steps, 0.5)

        def ops(self, theta: Array, grad: Array, table: Array) -> StepOps:
            step = super().ops(theta, grad, table)
            average = Op("tiles", "average", (change(self.state["average"]), self.iterate(theta), table), (self.column,))
            return step._replace(after=[*step.after, average])

    return Own(nn.SGD())


def of_nesterov(change: Any) -> Any:
    class Own(nn.Nesterov):
        def arrays(self, theta: Array, grad: Array, table: Array) -> Any:
            theta, grad, v, origin, table = super().arrays(theta, grad, table)
            return theta, grad, v, change(origin), table

    return Own()


def changed_table(column: int, value: int) -> Any:
    def change(table: Array) -> Array:
        table = table.copy()
        table[-1, column] = value
        return table

    return change


OPERANDS = {
    "one number": lambda a: np.zeros(1, a.dtype), "one too few": lambda a: a[:-1].copy(),
    "another dtype": lambda a: a.astype(np.float32 if a.dtype == np.float64 else np.float64),
    "integers": lambda a: np.zeros(a.size, np.int64), "strided": lambda a: np.zeros(2 * a.size, a.dtype)[::2], "a list": list,
}  # fmt: skip
TABLES = {
    "an offset beyond the last": changed_table(0, 10**6), "a negative offset": changed_table(0, -8),
    "too many rows": changed_table(1, 10**6), "a wide tile": changed_table(2, 10**6), "a far row": changed_table(3, 2**62),
    "negative coefficients": changed_table(4, -1), "fewer tiles": lambda table: table[:-1].copy(),
    "another dtype": lambda table: table.astype(np.float64),
}  # fmt: skip


@pytest.mark.parametrize("units", [4, 400])  # one tile, and many
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("form", OPERANDS)
@pytest.mark.parametrize("make", [of_update, of_wrapper, of_nesterov])
def test_arrays_that_do_not_fit_are_refused(make: Any, form: str, dtype: str, units: int) -> None:
    refused(make(OPERANDS[form]), dtype, units, r"op \w+ of Own: array \w+ must be contiguous float\d\d of \d+ numbers, got")


@pytest.mark.parametrize("units", [4, 400])
@pytest.mark.parametrize("form", TABLES)
def test_tiles_that_do_not_fit_are_refused(form: str, units: int) -> None:
    optimizer = of_update(TABLES[form], slot=-1)
    refused(optimizer, "float64", units, r"op momentum_update of Own: tile_table must (hold tiles of \d+|be int64 of shape)")


def refused(optimizer: Any, dtype: str, units: int, message: str) -> None:
    """In training and by hand, before anything has changed."""
    X = np.random.default_rng(0).standard_normal((40, 3))
    model = nn.Sequential([nn.Dense(units), nn.Tanh(), nn.Dense(1)], input_shape=3, dtype=dtype)
    trainer, before = nn.Trainer(model, "squared_error", optimizer), model.parameters.copy()
    for work in (
        lambda: trainer.fit(X, X.sum(axis=1), verbose=0),
        lambda: optimizer.step(model.parameters, np.ones_like(model.parameters)),
    ):
        with pytest.raises(ValueError, match=message):
            work()
        assert np.array_equal(model.parameters, before)
        assert optimizer.step_count == 0


@pytest.mark.parametrize("form", OPERANDS)
@pytest.mark.parametrize("option", [{"regularizer": nn.ProximalL1(0.1)}, {"constraint": nn.MaxNorm(0.1)}], ids=str)
def test_points_that_do_not_fit_are_refused(option: dict[str, Any], form: str) -> None:
    class Iterate(nn.Nesterov):
        def iterate(self, theta: Array) -> Any:
            return OPERANDS[form](super().iterate(theta))

    class Ahead(nn.Nesterov):
        def lookahead(self) -> Any:
            v, column = super().lookahead()
            return OPERANDS[form](v), column

    class Column(nn.Nesterov):
        def lookahead(self) -> Any:
            return super().lookahead()[0], -1

    X = np.random.default_rng(0).standard_normal((40, 3))
    for cls in (Iterate, Ahead, Column):
        model = nn.Sequential([nn.Dense(400), nn.Tanh(), nn.Dense(1)], input_shape=3)
        trainer = nn.Trainer(model, "squared_error", cls(lr=0.1), **option)
        with pytest.raises(ValueError, match=rf"{cls.__name__}\.(iterate|lookahead): the (array|column) must be"):
            trainer.fit(X, X.sum(axis=1), verbose=0)


def test_columns_that_do_not_fit_are_refused() -> None:
    class Own(nn.EMA):
        def ops(self, theta: Array, grad: Array, table: Array) -> StepOps:
            step = super().ops(theta, grad, table)
            step.after[-1].sizes = (-1,)
            return step

    refused(Own(nn.SGD()), "float64", 4, r"op average of Own: column must be an integer of at least 0, got -1")


@pytest.mark.parametrize(("make", "right"), [(of_update, nn.Momentum), (of_nesterov, nn.Nesterov)])
def test_a_user_s_operands_that_fit(make: Any, right: Any) -> None:
    X = np.random.default_rng(0).standard_normal((40, 3))
    results = []
    for optimizer in (make(lambda array: array), right()):
        model = nn.Sequential([nn.Dense(4), nn.Tanh(), nn.Dense(1)], input_shape=3, seed=1)
        nn.Trainer(model, "squared_error", optimizer).fit(X, X.sum(axis=1), epochs=3, verbose=0)
        results.append(model.parameters)
    assert np.array_equal(*results)
