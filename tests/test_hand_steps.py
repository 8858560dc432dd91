"""Steps by hand: ops are bound once and coefficients computed ahead, yet each step is as if nothing had been cached."""

from __future__ import annotations

import copy
import pickle
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import nncore as nn
from nncore.errors import DivergenceError
from nncore.optimizers import OPTIMIZERS, Optimizer

Array = NDArray[Any]
N = 5

MAKERS: dict[str, Callable[[], Optimizer]] = {
    **OPTIMIZERS,
    "ema": lambda: nn.EMA(nn.Adam()),
    "polyak": lambda: nn.PolyakAveraging(nn.Momentum(), start=2),
    "noise": lambda: nn.GradientNoise(nn.SGD()),
    "both": lambda: nn.EMA(nn.GradientNoise(nn.Nesterov())),
    "scheduled": lambda: nn.Adam(lr=nn.schedules.Warmup(nn.schedules.Cosine(0.1, steps=40), steps=7)),
}


def gradients(steps: int, dtype: str = "float64") -> Array:
    return np.random.default_rng(1).normal(size=(steps, N)).astype(dtype)


class Anew:
    """Takes each step with a new optimizer, from the state after the previous step."""

    def __init__(self, make: Callable[[], Optimizer]) -> None:
        self.optimizer = make()

    def step(self, theta: Array, grad: Array) -> None:
        self.optimizer = copy.deepcopy(self.optimizer)
        self.optimizer.step(theta, grad)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", MAKERS)
def test_the_same_bits_as_from_new_optimizers(name: str, dtype: str) -> None:
    kept, anew = MAKERS[name](), Anew(MAKERS[name])
    thetas = [np.ones(N, dtype), np.ones(N, dtype)]
    for grad in gradients(150, dtype):
        kept.step(thetas[0], grad)
        anew.step(thetas[1], grad.copy())
    assert thetas[0].tobytes() == thetas[1].tobytes()
    states = [{k: np.asarray(v).tolist() for k, v in o.state_dict().items()} for o in (kept, anew.optimizer)]
    assert states[0] == states[1]


def change_lr(optimizer: Optimizer) -> None:
    optimizer.lr = 0.5


def change_wrapped(optimizer: Optimizer) -> None:
    getattr(optimizer, "optimizer", optimizer).lr = 0.25


def forget(optimizer: Optimizer) -> None:
    optimizer.init_state(N, "float64")


def load(optimizer: Optimizer) -> None:
    other = copy.deepcopy(optimizer)
    other.step(np.ones(N), np.ones(N))
    optimizer.load_state_dict(other.state_dict())


def set_state(optimizer: Optimizer) -> None:
    for slot in optimizer.state:
        optimizer.state[slot] = np.full(N, 0.125)


def finish(optimizer: Optimizer) -> None:
    optimizer.finish(np.ones(N))


def count_on(optimizer: Optimizer) -> None:
    optimizer.advance(3)


CHANGES = [change_lr, change_wrapped, forget, load, set_state, finish, count_on]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
@pytest.mark.parametrize("name", ["sgd", "adam", "nesterov", "ema", "noise", "scheduled"])
def test_changes_between_two_steps_take_effect(name: str, change: Callable[[Optimizer], None]) -> None:
    kept, anew = MAKERS[name](), Anew(MAKERS[name])
    thetas = [np.ones(N), np.ones(N)]
    for at, grad in enumerate(gradients(12)):
        if at == 9:  # later coefficients have been computed by then
            change(kept)
            change(anew.optimizer)
        kept.step(thetas[0], grad)
        anew.step(thetas[1], grad)
    assert thetas[0].tobytes() == thetas[1].tobytes()


class OwnRate(nn.SGD):
    """Its coefficients depend on an attribute that is not a field."""

    def coefficients(self, steps: int, steps_per_epoch: int = 1) -> Array:
        return np.full((steps, 1), self._rate)

    _rate = 1.0


def test_coefficients_of_a_user_are_asked_for_at_each_step() -> None:
    for optimizer in (OwnRate(), nn.EMA(OwnRate())):
        theta = np.zeros(N)
        for rate in (1.0, 2.0, 4.0, 8.0):
            getattr(optimizer, "optimizer", optimizer)._rate = rate
            optimizer.step(theta, np.ones(N))
        assert theta.tolist() == [-15.0] * N


class OwnSchedule(nn.schedules.Schedule):
    """Its values depend on an attribute that is not a field."""

    name = "own"
    _rate = 1.0

    def at(self, t: Any) -> Array:
        return np.full(np.shape(t), self._rate)


def test_values_of_a_schedule_of_a_user_are_asked_for_at_each_step() -> None:
    rate = OwnSchedule()
    for schedule, first in ((rate, 1.0), (nn.schedules.Warmup(rate, steps=1), 0.5)):  # a warmup that starts at half the rate
        optimizer, theta = nn.SGD(lr=schedule), np.zeros(N)
        for rate._rate in (1.0, 2.0, 4.0, 8.0):
            optimizer.step(theta, np.ones(N))
        assert theta.tolist() == [-first - 14.0] * N


def test_copies_and_pickles_count_independently() -> None:
    optimizer, theta = nn.Adam(), np.ones(N)
    for grad in gradients(5):
        optimizer.step(theta, grad)
    for other in (copy.deepcopy(optimizer), pickle.loads(pickle.dumps(optimizer))):
        other.step(theta.copy(), np.ones(N))
        assert (other.step_count, optimizer.step_count) == (6, 5)
        assert other.state["m"].tolist() != optimizer.state["m"].tolist()
    shallow = copy.copy(optimizer)  # shares the arrays, but counts independently
    shallow.step(theta.copy(), np.ones(N))
    assert (shallow.step_count, optimizer.step_count) == (6, 5)
    assert shallow.state["m"] is optimizer.state["m"]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", MAKERS)
def test_a_gradient_that_is_not_finite(name: str, bad: float) -> None:
    """Its parameter and state are unchanged, the step does not count, and the optimizer can continue."""
    optimizer, theta = MAKERS[name](), np.ones(N)
    for grad in gradients(4):
        optimizer.step(theta, grad)
    before, states = theta.copy(), {slot: array.copy() for slot, array in optimizer.state.items()}
    grad = np.ones(N)
    grad[3] = bad
    with pytest.raises(DivergenceError, match=rf"grad: 1 of {N} values are not finite, the first at 3: {bad}"):
        optimizer.step(theta, grad)
    assert theta[3] == before[3]
    own = [slot for slot in states if slot != "average"]  # an average includes the unchanged θ
    assert all(optimizer.state[slot][3] == states[slot][3] for slot in own)
    assert np.isfinite(theta).all()
    assert all(np.isfinite(array).all() for array in optimizer.state.values())
    assert optimizer.step_count == 4
    optimizer.step(theta, np.ones(N))
    assert optimizer.step_count == 5


@pytest.mark.parametrize(
    "change",
    [
        lambda theta, grad: (theta[::2], grad[:3]), lambda theta, grad: (theta, grad[::-1]),
        lambda theta, grad: (theta, grad.astype("float32")), lambda theta, grad: (theta, theta),
        lambda theta, grad: (theta, grad[:-1]), lambda theta, grad: (theta.reshape(1, -1), grad),
        lambda theta, grad: (theta, grad.astype(">f8")), lambda theta, grad: (theta, grad.tolist()),
        lambda theta, grad: (np.frombuffer(bytes(8 * N)), grad),
        lambda theta, grad: (theta, np.frombuffer(bytes(8 * N + 1), np.uint8)[1:].view("float64")),
    ],
)  # fmt: skip
def test_mismatched_arrays_are_refused_at_every_step(change: Callable[[Any, Any], tuple[Any, Any]]) -> None:
    optimizer, theta = nn.Adam(), np.ones(N)
    for grad in gradients(6):
        optimizer.step(theta, grad)
    before = theta.copy()
    with pytest.raises((TypeError, ValueError)):
        optimizer.step(*change(theta, np.ones(N)))
    assert np.array_equal(theta, before)
    assert optimizer.step_count == 6


def test_state_arrays_are_refused_as_parameters() -> None:
    optimizer, theta = nn.Adam(), np.ones(N)
    for grad in gradients(4):
        optimizer.step(theta, grad)
    with pytest.raises(ValueError, match="must have memory of its own"):
        optimizer.step(optimizer.state["m"], np.ones(N))


class Subclass(np.ndarray[Any, Any]):
    pass


@pytest.mark.parametrize("which", ["theta", "grad"])
def test_subclasses_of_arrays_are_stepped_on(which: str) -> None:
    vectors = {"theta": np.zeros(N), "grad": np.ones(N)}
    vectors[which] = vectors[which].view(Subclass)
    optimizer = nn.SGD(lr=0.5)
    for _ in range(4):
        optimizer.step(**vectors)
    assert optimizer.step_count == 4
    assert vectors["theta"].tolist() == [-2.0] * N


def test_masked_arrays_are_refused() -> None:
    with pytest.raises(TypeError, match="theta must be a NumPy array, got MaskedArray"):
        nn.SGD().step(np.ma.masked_equal(np.ones(N), 0), np.ones(N))


def test_no_step_of_two_threads_is_lost() -> None:
    optimizer, refused = nn.SGD(lr=1.0), [0, 0]
    thetas = np.zeros((2, 1 << 18))

    def work(number: int) -> None:
        for _ in range(50):
            try:
                optimizer.step(thetas[number], np.ones(1 << 18))
            except RuntimeError:  # another thread is taking a step
                refused[number] += 1

    threads = [threading.Thread(target=work, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    taken = [50 - each for each in refused]
    assert thetas[:, 0].tolist() == [-float(each) for each in taken]
    assert optimizer.step_count == sum(taken)


def test_a_schedule_that_ends_badly_raises_when_it_does() -> None:
    optimizer, theta = nn.SGD(lr=nn.schedules.Polynomial(0.1, steps=10, final=-0.05)), np.zeros(N)
    for _ in range(7):
        optimizer.step(theta, np.ones(N))
    with pytest.raises(ValueError, match="lr must be a finite number of at least 0"):
        optimizer.step(theta, np.ones(N))  # 0.1 − 0.015 t is negative from there on
    assert optimizer.step_count == 7


class Strided(nn.SGD):
    """Its coefficients lie in another form than kernels take."""

    def coefficients(self, steps: int, steps_per_epoch: int = 1) -> Array:
        return np.tile(super().coefficients(steps, steps_per_epoch), (1, 3)).astype(np.float32)[:, ::3]


def test_coefficients_of_a_user_in_any_form() -> None:
    optimizer, theta = Strided(lr=0.5), np.zeros(N)
    for _ in range(8):
        optimizer.step(theta, np.ones(N))
    assert theta.tolist() == [-4.0] * N
    model = nn.Sequential([nn.Dense(1, weight_init="zeros", bias=False)], input_shape=1, dtype="float64")
    nn.Trainer(model, "squared_error", Strided(lr=0.5)).fit(np.ones((8, 1)), np.ones(8), epochs=1, batch_size=1, verbose=0)
    assert model.parameters.tolist() == [1 - 0.5**8]


# ---- what users' optimizers return


class Returns(nn.Adam):
    """Adam with another result of one of its methods."""

    _wrong = "", None

    def _result(self, method: str, result: Any) -> Any:
        name, change = self._wrong
        return change(result) if change and name == method else result

    def coefficients(self, steps: int, steps_per_epoch: int = 1) -> Any:
        own = super().coefficients(steps, steps_per_epoch) if self._wrong[0] == "coefficients" else np.full((steps, 4), 0.5)
        return self._result("coefficients", own)

    def hyper_values(self, steps: int, steps_per_epoch: int = 1) -> Any:
        return self._result("hyper_values", super().hyper_values(steps, steps_per_epoch))

    def running_products(self, values: Any) -> Any:
        return self._result("running_products", super().running_products(values))


WRONG: dict[str, tuple[str, Callable[[Any], Any], str]] = {
    "1-D": ("coefficients", lambda c: c[:, 0], r"must return an array of real numbers of shape \(1, k\), got shape \(1,\)"),
    "3-D": ("coefficients", lambda c: c[..., None], r"of shape \(1, k\), got shape \(1, 4, 1\)"),
    "no rows": ("coefficients", lambda c: c[:0], r"of shape \(1, k\), got shape \(0, 4\)"),
    "more rows": ("coefficients", lambda c: np.repeat(c, 2, axis=0), r"of shape \(1, k\), got shape \(2, 4\)"),
    "few columns": ("coefficients", lambda c: c[:, :3], "must return 4 columns, which the kernel adam reads, got 3"),
    "complex": ("coefficients", lambda c: c + 0j, "must return an array of real numbers .* complex128"),
    "None": ("coefficients", lambda c: None, "must return an array of real numbers .*, got None"),
    "no products": ("running_products", lambda p: {}, "must return values of beta1, beta2(, decay)?, got none of beta1"),
    "short product": ("running_products", lambda p: {**p, "beta2": np.empty(0)}, r"beta2, must return .* \(1,\), got shape"),
    "no values": ("hyper_values", lambda v: {"other": v["lr"]}, "must return values of lr, .*, got none of lr"),
    "long values": ("hyper_values", lambda v: {**v, "lr": np.ones(9)}, r"lr, must return .* \(1,\), got shape \(9,\)"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
@pytest.mark.parametrize("after", [0, 3])
@pytest.mark.parametrize("how", ["step", "partial_fit", "wrapped"])
def test_wrong_results_of_a_users_optimizer_are_named(how: str, after: int, case: str) -> None:
    method, change, message = WRONG[case]
    if how == "wrapped" and method == "running_products":
        pytest.skip("the wrapper computes those of both")
    inner = Returns()
    optimizer = nn.PolyakAveraging(inner) if how == "wrapped" else inner
    named = type(optimizer if method != "coefficients" else inner).__name__
    trainer = nn.Trainer(nn.Sequential([nn.Dense(1)], input_shape=N - 1, dtype="float64"), "squared_error", optimizer)
    theta = np.zeros(N)

    def step() -> None:
        if how == "partial_fit":
            trainer.partial_fit(np.ones((2, N - 1)), np.ones(2))
        else:
            optimizer.step(theta, np.ones(N))

    for _ in range(after):
        step()
    inner._wrong = method, change
    before, parameters = theta.copy(), trainer.model.parameters.copy()
    with pytest.raises((TypeError, ValueError), match=rf"^({named}|Returns)\.{method}\b.*{message}"):
        step()
    assert optimizer.step_count == after
    assert np.array_equal(theta, before)
    assert np.array_equal(trainer.model.parameters, parameters)


class Weighs(nn.EMA):
    """EMA with wrong weights."""

    _weights: Any = None

    def weights(self, steps: int, steps_per_epoch: int) -> Any:
        result = super().weights(steps, steps_per_epoch)
        return self._weights(result) if self._weights else result


@pytest.mark.parametrize("change", [lambda w: w[0], lambda w: w[:, None], lambda w: w + 0j, lambda w: np.repeat(w, 2)])
def test_wrong_weights_of_a_users_wrapper_are_named(change: Any) -> None:
    optimizer = Weighs(nn.SGD())
    optimizer._weights = change
    with pytest.raises(
        (TypeError, ValueError), match=r"Weighs\.weights must return an array of real numbers of shape \(1,\), got"
    ):
        optimizer.step(np.zeros(N), np.ones(N))


def test_the_number_of_columns_must_not_change_in_training() -> None:
    optimizer = Returns()
    trainer = nn.Trainer(nn.Sequential([nn.Dense(1)], input_shape=2), "squared_error", optimizer)
    trainer.partial_fit(np.ones((2, 2)), np.ones(2))
    optimizer._wrong = "coefficients", lambda c: np.hstack((c, c))
    with pytest.raises(ValueError, match=r"Returns\.coefficients must always return as many columns, first 4, got 8"):
        trainer.partial_fit(np.ones((2, 2)), np.ones(2))
    inner = Returns()
    wrapped = nn.EMA(inner)
    inner._wrong = "coefficients", lambda c: np.hstack((c, c))
    with pytest.raises(ValueError, match=r"Returns\.coefficients must always return as many columns, first 4, got 8"):
        wrapped.step(np.zeros(N), np.ones(N))


# ---- what each call checks


@pytest.mark.parametrize("which", ["theta", "grad"])
@pytest.mark.parametrize(
    ("wrong", "got"),
    [
        (np.ma.masked_array(np.ones(N), [1, 0, 0, 0, 0]), "MaskedArray"), ([1.0] * N, "list"),
        (memoryview(np.ones(N)), "memoryview"), (None, "NoneType"),
    ],
)  # fmt: skip
def test_every_call_refuses_what_the_first_one_does(wrong: Any, got: str, which: str) -> None:
    optimizer = nn.SGD(lr=1.0)
    vectors: dict[str, Any] = {"theta": np.zeros(N), "grad": np.ones(N)}
    for _ in range(4):
        with pytest.raises(TypeError, match=f"^{which} must be a NumPy array, got {got}$"):
            optimizer.step(**(vectors | {which: wrong}))
        optimizer.step(**vectors)
    assert vectors["theta"].tolist() == [-4.0] * N


def test_a_failed_step_is_tried_again_with_new_values_of_a_users_schedule() -> None:
    schedule = OwnSchedule()
    optimizer, theta = nn.SGD(lr=schedule), np.zeros(1)
    with pytest.raises(DivergenceError):
        optimizer.step(theta, np.array([np.inf]))
    schedule._rate = 0.125
    optimizer.step(theta, np.ones(1))
    assert theta.tolist() == [-0.125]


def test_running_products_are_counted_with_the_steps() -> None:
    stepped, advanced = nn.Adam(betas=(0.5, 0.25)), nn.Adam(betas=(0.5, 0.25))
    for _ in range(3):
        stepped.step(np.ones(N), np.ones(N))
    advanced.advance(3)
    assert advanced.products == stepped.products == {"beta1": 0.125, "beta2": 0.015625}
    assert advanced.step_count == stepped.step_count == 3
