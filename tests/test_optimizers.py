"""Every optimizer against its formulas, implemented again in NumPy."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest
from helpers.optimizers import (
    ALL_STEPS,
    CASES,
    EACH,
    HYPERS,
    PROBLEM,
    STEPS,
    Bowl,
    N,
    Problem,
    actual_path,
    distance,
    expected_path,
)

import nncore as nn
from nncore import _kernels, optimizers
from nncore.errors import DivergenceError
from nncore.optimizers import OPTIMIZERS
from nncore.optimizers.tiles import tile_table
from nncore.schedules import Exponential, Polynomial, Schedule, StepDecay

# ---- the formulas


def test_every_optimizer_and_every_kernel_has_a_case():
    made = [build(c) for build, _, c in CASES.values()]
    assert {type(opt) for opt in made} == set(OPTIMIZERS.values())
    updates = {name for name in _kernels.op_names() if name.endswith("_update")}
    kernels = {*(opt.kernel for opt in made), "path_sgd"}  # which a network is needed for: it has tests of its own
    assert {f"{form}{kernel}_update" for kernel in kernels for form in ("", "lanes_")} == updates


@EACH
def test_formula(case):
    build, formula, constants = CASES[case]
    expected = expected_path(formula, lambda k: constants, steps=ALL_STEPS)
    assert distance(actual_path(build(constants), last=ALL_STEPS), expected) < 1e-12


@EACH
def test_formula_float32(case):
    """With given gradients: feedback would amplify rounding errors."""
    build, formula, constants = CASES[case]
    problem = Problem(steps=40)
    problem.hessian = np.zeros((N, N))
    problem.noise = problem.noise.astype(np.float32).astype(np.float64)
    opt, theta = build(constants), problem.start.astype(np.float32)
    for k in range(40):
        opt.step(theta, problem.gradient(theta, k).astype(np.float32))
    assert all(array.dtype == np.float32 for array in opt.state.values())
    expected = expected_path(formula, lambda k: constants, problem, 40)[-1]
    np.testing.assert_allclose(opt.parameters(theta), expected, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize(("case", "name"), [(case, name) for case, (_, _, c) in CASES.items() for name in c])
def test_every_constant_matters(case, name):
    """The comparison fails if any constant of the formula is off by one percent."""
    build, formula, constants = CASES[case]
    mutant = {**constants, name: constants[name] * 1.01}
    assert distance(actual_path(build(constants)), expected_path(formula, lambda k: mutant)) > 1e-9


@pytest.mark.parametrize(("case", "name"), HYPERS)
def test_every_hyperparameter_takes_a_schedule(case, name):
    build, formula, constants = CASES[case]
    value = constants[name]
    opt = build({**constants, name: Polynomial(value, steps=150, final=0.9 * value)})
    falling = [{**constants, name: value * (1 - 0.1 * min(k, 150) / 150)} for k in range(STEPS + 1)]
    expected = expected_path(formula, lambda k: falling[k])
    assert distance(actual_path(opt), expected) < 1e-12
    assert distance(expected, expected_path(formula, lambda k: constants)) > 1e-9


def test_schedules_by_epoch():
    falling = Exponential(0.99, gamma=0.5, per="epoch")
    opt = optimizers.Adam(lr=StepDecay(0.1, every=1, per="epoch"), betas=(0.9, falling))
    opt.advance(3, steps_per_epoch=2)
    values = opt.hyper_values(3, steps_per_epoch=2)
    np.testing.assert_allclose(values["lr"], [0.01, 0.001, 0.001])
    np.testing.assert_allclose(values["beta2"], [0.495, 0.2475, 0.2475])
    assert opt.products["beta2"] == pytest.approx(0.99 * 0.99 * 0.495)
    assert opt.step_count == 3


# ---- the same formulas, training a small network in the compiled loop


class Network:
    """Its gradient written out: h = tanh(x W₁ᵀ + b₁), y = h W₂ᵀ + b₂, the mean over the rows of ½‖y − d‖²."""

    X, d = np.random.default_rng(4).normal(size=(9, 3)), np.random.default_rng(5).normal(size=(9, 2))

    def __init__(self):
        self.model = nn.Sequential([nn.Dense(4), nn.Tanh(), nn.Dense(2)], input_shape=3, dtype="float64", seed=6)
        self.start = self.model.parameters.copy()

    def gradient(self, theta, t):
        W1, b1, W2, b2 = theta[:12].reshape(4, 3), theta[12:16], theta[16:24].reshape(2, 4), theta[24:]
        h = np.tanh(self.X @ W1.T + b1)
        delta = (h @ W2.T + b2 - self.d) / len(self.X)
        back = delta @ W2 * (1 - h**2)
        return np.concatenate([(back.T @ self.X).ravel(), back.sum(0), (delta.T @ h).ravel(), delta.sum(0)])


@EACH
def test_formula_in_training(case):
    build, formula, constants = CASES[case]
    network = Network()
    everything = {str(layer.name): 1.0 for layer in network.model.layers if layer.parameters}
    decays = everything if "weight_decay" in constants else None  # of biases too, as in the formula
    trainer = nn.Trainer(network.model, "squared_error", build(constants), decay_factors=decays)
    trainer.fit(network.X, network.d, epochs=ALL_STEPS, batch_size=9, shuffle=False, verbose=0)
    expected = expected_path(formula, lambda k: constants, network, ALL_STEPS)
    assert distance(network.model.parameters[None], expected[-1:]) < 1e-12
    assert np.abs(expected[-1] - network.start).max() > 0.1


# ---- against PyTorch


def torch_cases():
    betas, common = (0.8, 0.95), {"lr": 0.02, "eps": 0.2}
    return {
        "SGD": (optimizers.SGD(0.03), {"lr": 0.03}),
        "SGD momentum": (optimizers.Momentum(0.02, 0.8, "outside"), {"lr": 0.02, "momentum": 0.8}),
        "SGD nesterov": (optimizers.Nesterov(0.02, 0.8), {"lr": 0.02, "momentum": 0.8, "nesterov": True}),
        "Adagrad": (
            optimizers.AdaGrad(**common, initial_accumulator_value=0.1),
            {**common, "initial_accumulator_value": 0.1},
        ),
        "RMSprop": (optimizers.RMSprop(**common, alpha=0.9), {**common, "alpha": 0.9}),
        "RMSprop both": (
            optimizers.RMSprop(**common, alpha=0.9, centered=True, momentum=0.7),
            {**common, "alpha": 0.9, "centered": True, "momentum": 0.7},
        ),
        "Adadelta": (optimizers.AdaDelta(0.7, 0.9, 1e-2), {"lr": 0.7, "rho": 0.9, "eps": 1e-2}),
        "Adam": (optimizers.Adam(**common, betas=betas), {**common, "betas": betas}),
        "Adam amsgrad": (optimizers.AMSGrad(**common, betas=betas), {**common, "betas": betas, "amsgrad": True}),
        "AdamW": (
            optimizers.AdamW(**common, betas=betas, weight_decay=0.3),
            {**common, "betas": betas, "weight_decay": 0.3},
        ),
        "Adamax": (optimizers.AdaMax(**common, betas=betas), {**common, "betas": betas}),
        "NAdam": (
            optimizers.NAdam(**common, betas=betas, momentum_decay=0.1),
            {**common, "betas": betas, "momentum_decay": 0.1},
        ),
        "Rprop": (
            optimizers.Rprop(0.01, (0.5, 1.2), (4e-3, 0.05)),
            {"lr": 0.01, "etas": (0.5, 1.2), "step_sizes": (4e-3, 0.05)},
        ),
    }  # fmt: skip


@pytest.fixture
def torch(torch):
    """PyTorch in float64: NAdam keeps its product of momenta in the default precision."""
    torch.set_default_dtype(torch.float64)
    yield torch
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("case", torch_cases())
def test_pytorch_agrees(case, torch):
    opt, arguments = torch_cases()[case]
    theta = PROBLEM.start.copy()
    parameter = torch.nn.Parameter(torch.tensor(PROBLEM.start))
    peer = getattr(torch.optim, case.split()[0])([parameter], **arguments)
    for k in range(ALL_STEPS):
        opt.step(theta, PROBLEM.gradient(theta, k))
        parameter.grad = torch.tensor(PROBLEM.gradient(parameter.detach().numpy(), k))
        peer.step()
        assert distance(theta[None], parameter.detach().numpy()[None]) < 1e-10


@pytest.mark.parametrize(
    "name", ["AdaGrad", "RMSprop", "AdaDelta", "Adam", "AdamW", "AMSGrad", "AdaMax", "NAdam", "Rprop"]
)  # fmt: skip
def test_defaults_are_pytorch_s(name, torch):
    peer = {"AMSGrad": "Adam", "AdaGrad": "Adagrad", "AdaDelta": "Adadelta", "AdaMax": "Adamax"}.get(name, name)
    theirs = getattr(torch.optim, peer)([torch.nn.Parameter(torch.zeros(1))]).defaults
    ours = getattr(optimizers, name)().config()
    shared = set(ours) & set(theirs)
    assert "lr" in shared
    assert {k: ours[k] for k in shared} == {k: list(v) if isinstance(v := theirs[k], tuple) else v for k in shared}


# ---- state


@EACH
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_resuming_gives_the_same_bits(case, dtype):
    build, _, constants = CASES[case]
    theta = PROBLEM.start.astype(dtype)
    grads = PROBLEM.noise.astype(dtype)
    opt = build(constants)
    for grad in grads[:50]:
        opt.step(theta, grad)
    state = opt.state_dict()
    numbers = json.loads(json.dumps({k: v for k, v in state.items() if not isinstance(v, np.ndarray)}))
    saved = {**numbers, **{k: v.copy() for k, v in state.items() if isinstance(v, np.ndarray)}}
    resumed, other = build(constants), theta.copy()
    resumed.load_state_dict(saved)
    for grad in grads[50:100]:
        opt.step(theta, grad)
        resumed.step(other, grad)
    assert theta.tobytes() == other.tobytes()
    for name, value in opt.state_dict().items():
        assert np.asarray(value).tobytes() == np.asarray(resumed.state_dict()[name]).tobytes()


@pytest.mark.parametrize(("case", "name"), HYPERS)
def test_coefficients_do_not_depend_on_how_steps_are_grouped(case, name):
    build, _, constants = CASES[case]
    value = constants[name]
    scheduled = {**constants, name: Polynomial(value, steps=70, final=0.95 * value, power=1.7)}
    whole = build(scheduled).coefficients(100)
    opt, rows = build(scheduled), []
    for steps in (1, 1, 2, 3, 5, 0, 7, 81):
        rows.append(opt.coefficients(steps))
        assert np.array_equal(opt.coefficients(steps), rows[-1])  # reading changes nothing
        opt.advance(steps)
    assert np.array_equal(np.concatenate(rows), whole)


def test_load_state_dict_names_the_difference():
    theta = np.ones(3)
    adam_, top = optimizers.Adam(), optimizers.AMSGrad()
    adam_.step(theta, theta + 1)
    top.step(theta, theta + 1)
    for opt, state, message in (
        (optimizers.Adam(), top.state_dict(), "unexpected.*top"),
        (optimizers.AMSGrad(), adam_.state_dict(), "missing.*top"),
        (top, {**top.state_dict(), "m": np.zeros(4)}, r"m must have shape \(3,\).*\(4,\)"),
        (top, {**top.state_dict(), "m": np.zeros(3, np.float32)}, "m must.*float64.*float32"),
        (optimizers.Adam(), {**adam_.state_dict(), "m": np.zeros(3, int), "v": np.zeros(3, int)}, "float32 or float64"),
        (top, {**top.state_dict(), "step_count": -1}, "step_count"),
    ):
        before = copy.deepcopy(opt.state_dict())
        with pytest.raises(ValueError, match=message):
            opt.load_state_dict(state)
        assert all(np.array_equal(value, opt.state_dict()[name]) for name, value in before.items())


@EACH
def test_config_makes_the_same_optimizer(case):
    build, _, constants = CASES[case]
    opt = build({**constants, **({"lr": Exponential(0.1, 0.9)} if "lr" in build(constants).hyperparameters else {})})
    again = type(opt)(**json.loads(json.dumps(opt.config())))
    assert again.config() == opt.config()
    assert again.kernel == opt.kernel
    assert np.array_equal(again.coefficients(5), opt.coefficients(5))
    assert repr(again) == repr(opt)
    assert type(opt).__name__ in repr(opt)


def test_slots_are_aligned():
    opt = optimizers.AMSGrad()
    for dtype in (np.float32, np.float64):
        opt.init_state(13, dtype)
        assert all(array.ctypes.data % 64 == 0 and array.dtype == dtype for array in opt.state.values())


@EACH
def test_minimize(case):
    build, formula, constants = CASES[case]
    steps, bowl = 100, Bowl()
    problem = Problem(2, steps)
    problem.hessian, problem.goal, problem.start = np.diag(Bowl.h), np.zeros(2), np.array([1.0, -2.0])
    problem.noise[:] = 0
    opt = build(constants)
    path = opt.minimize(bowl, problem.start, steps)
    expected = np.vstack((problem.start, expected_path(formula, lambda k: constants, problem, steps)))
    assert np.max(np.abs(path.theta - expected)) < 1e-12
    np.testing.assert_array_equal(path.loss, [bowl.value_and_gradient(x)[0] for x in path.theta])
    plain = build(constants).minimize(bowl.value_and_gradient, problem.start, steps)
    np.testing.assert_array_equal(plain.theta, path.theta)
    half = opt.minimize(bowl, problem.start, 40)  # from a new state
    rest = opt.minimize(bowl, half.theta[-1], 60, resume=True)
    assert np.array_equal(np.vstack((half.theta, rest.theta[1:])), path.theta)


@EACH
def test_minimize_binds_its_ops_once(case, monkeypatch):
    """For any number of steps: the op of the step, and Nesterov's at the beginning and at the end."""
    build, _, constants = CASES[case]
    bind, bound = _kernels.tile_program, []
    monkeypatch.setattr(_kernels, "tile_program", lambda *a, **k: bound.append(a) or bind(*a, **k))
    build(constants).minimize(Bowl(), np.full(2, 0.5), 40)
    assert len(bound) == (3 if "nesterov" in case else 1)


@pytest.mark.parametrize("name", sorted(name for name, make in OPTIMIZERS.items() if "lr" in make().hyperparameters))
def test_what_f_assigns_holds_from_the_next_step_on(name):
    """In `minimize` as in steps by hand: the learning rate, a schedule of it, and what the ops depend on."""
    make, bowl = OPTIMIZERS[name], Bowl()

    def assign(opt, evaluations):
        if evaluations == 3:
            opt.lr = opt.lr / 8
        if evaluations == 6:
            opt.lr = Exponential(0.5 * float(opt.lr), 0.5)
        if evaluations == 9 and hasattr(opt, "eps_placement"):
            opt.eps_placement = "inside"

    opt, twin, evaluations = make(), make(), [0]

    def f(x):
        evaluations[0] += 1
        assign(opt, evaluations[0] / (2 if opt.enter else 1))  # Nesterov's is also evaluated at the parameters
        return bowl.value_and_gradient(x)

    path = opt.minimize(f, [1.0, -2.0], 12)
    theta = np.array([1.0, -2.0])
    twin.begin(theta)
    for step in range(1, 13):
        assign(twin, step)
        twin.step(theta, bowl.value_and_gradient(theta)[1])
    twin.finish(theta)
    np.testing.assert_array_equal(path.theta[-1], theta)


def test_a_schedule_that_becomes_invalid_leaves_the_path():
    opt = optimizers.SGD(Polynomial(0.5, steps=4, final=-0.5))
    with pytest.raises(ValueError, match="lr must be") as caught:
        opt.minimize(Bowl(), [1.0, 1.0], 10)
    assert opt.step_count == len(caught.value.path.theta) == 3


def test_minimize_refuses_an_f_that_takes_steps():
    opt = optimizers.Adam()

    def f(x):
        opt.step(x.copy(), np.ones(2))
        return 0.0, np.ones(2)

    with pytest.raises(RuntimeError, match="f must not take steps with the optimizer that minimizes it"):
        opt.minimize(f, np.zeros(2), 3)


def test_minimize_keeps_float32_and_the_start():
    x0 = np.array([1, -2], np.float32)
    path = optimizers.Adam(0.1).minimize(Bowl(), x0, 3)
    assert path.theta.dtype == np.float32
    assert path.theta.shape == (4, 2)
    assert np.array_equal(path.theta[0], x0)
    assert np.array_equal(x0, [1, -2])
    assert optimizers.SGD().minimize(Bowl(), [1, 2], 0).theta.shape == (1, 2)


@pytest.mark.parametrize("opt", [optimizers.SGD(1.0), optimizers.Nesterov(1.0, 0.5), optimizers.Momentum(1.0)], ids=str)
@pytest.mark.filterwarnings("ignore:overflow")
def test_divergence_carries_the_path(opt):
    with pytest.raises(DivergenceError, match="not finite after") as caught:
        opt.minimize(Bowl(), [1.0, 1.0], 2000)
    path = caught.value.path
    assert 10 < len(path.theta) == len(path.loss) < 2000
    assert np.isfinite(path.theta).all()
    assert np.isfinite(path.loss).all()


# ---- invalid input


@pytest.mark.parametrize(
    ("theta", "grad", "error", "message"),
    [
        ([1.0], np.ones(1), TypeError, "theta must be a NumPy array, got list"),
        (np.ones(2, int), np.ones(2), TypeError, "theta must be float32 or float64, got int64"),
        (np.ones((2, 2)), np.ones((2, 2)), ValueError, r"theta must be a 1-D.*\(2, 2\)"),
        (np.ones(0), np.ones(0), ValueError, "theta must be a 1-D"),
        (np.ones(4)[::2], np.ones(2), ValueError, "theta must be a contiguous array"),
        (np.ones(2), np.ones(2, np.float32), TypeError, "grad must be float64 as theta, got float32"),
        (np.ones(2), np.ones(3), ValueError, r"grad must have shape \(2,\) as theta, got \(3,\)"),
        (np.ones(2), None, TypeError, "grad must be a NumPy array, got NoneType"),
        (np.ones(2), np.array([1, np.nan]), DivergenceError, "grad: 1 of 2 values are not finite, the first at 1: nan"),
    ],
)  # fmt: skip
def test_step_refuses(theta, grad, error, message):
    opt, before = optimizers.Adam(), copy.deepcopy(theta)
    with pytest.raises(error, match=message):
        opt.step(theta, grad)
    kept = ~np.isfinite(grad) if error is DivergenceError else slice(None)  # the finite part of a gradient is applied
    assert np.array_equal(theta[kept], before[kept])
    assert opt.step_count == 0
    assert opt.state == {} or error is DivergenceError


def test_step_refuses_more():
    theta, opt = np.ones(3), optimizers.Adam()
    with pytest.raises(ValueError, match="memory of its own"):
        opt.step(theta, theta)
    opt.step(theta, np.ones(3))
    with pytest.raises(ValueError, match=r"theta must have shape \(3,\) as the optimizer's state 'm', got \(4,\)"):
        opt.step(np.ones(4), np.ones(4))
    with pytest.raises(TypeError, match="theta must be float64 as the optimizer's state"):
        opt.step(np.ones(3, np.float32), np.ones(3, np.float32))
    theta.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        opt.step(theta, np.ones(3))
    assert opt.step_count == 1
    opt.step(np.ones(3), np.full(3, 1e308) / 1e160)  # large, its sum too, but finite
    with pytest.raises(ValueError, match="init_state first"):
        optimizers.Adam().arrays(np.ones(3), np.ones(3), tile_table(3))


@EACH
def test_constructor_refuses(case):
    build, _, constants = CASES[case]
    opt = build(constants)
    names = [name for name in (*opt.hyperparameters, "lr") if name in constants]
    for name in names:
        below_one = name in ("momentum", "alpha", "rho", "beta1", "beta2", "phi", "eta_minus")
        for value in (-0.1, np.nan, np.inf, *[1.0] * below_one):
            with pytest.raises(ValueError, match=f"{name} must be"):
                build({**constants, name: value})
        for value in ("0.1", None, True):
            with pytest.raises(TypeError, match=f"{name} must be"):
                build({**constants, name: value})


def test_refusals():
    for make_, message in (
        (lambda: optimizers.Adam(eps_placement="under"), "eps_placement must be one of 'outside', 'inside', 'hat'"),
        (lambda: optimizers.AdaGrad(eps_placement="hat"), "eps_placement"),
        (lambda: optimizers.Momentum(lr_placement="hat"), "lr_placement"),
        (lambda: optimizers.Adam(betas=(0.9,)), "betas must be a pair"),
        (lambda: optimizers.Rprop(etas=(0.5, 1.0)), r"eta_plus must be a finite number above 1"),
        (lambda: optimizers.Rprop(step_sizes=(2.0, 1.0)), "step_sizes"),
        (lambda: optimizers.get("adm"), "optimizer must be one of sgd, .*, got 'adm'"),
        (lambda: optimizers.SGD(Polynomial(0.1, steps=2, final=-1)).coefficients(5), "lr must be .* from Polynomial"),
        (lambda: optimizers.SGD().minimize(Bowl(), [[1.0]], 3), "x0"),
        (lambda: optimizers.SGD().minimize(Bowl(), [np.nan, 1], 3), "x0"),
        (
            lambda: optimizers.SGD().minimize(lambda x: (0.0, np.ones(3)), [1.0], 3),
            r"f, second its gradient, must return .* \(1,\)",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            make_()
    with pytest.raises(TypeError, match="optimizer must"):
        optimizers.get(3)
    with pytest.raises(TypeError, match="f must be a callable"):
        optimizers.SGD().minimize(3, [1.0], 3)
    opt = optimizers.RMSprop()
    opt.init_state(2, "float64")
    with pytest.raises(ValueError, match="momentum is fixed once there is a state"):
        opt.momentum = 0.9


def test_registry():
    opt = optimizers.Adam()
    assert optimizers.get(opt) is opt
    assert all(type(optimizers.get(name)) is cls for name, cls in OPTIMIZERS.items())
    full = {name for name in OPTIMIZERS if optimizers.get(name).full_batch_only}
    assert full == {"rprop", "delta_bar_delta"}
    assert not optimizers.Rprop(allow_mini_batches=True).full_batch_only


def test_hyperparameters_may_be_assigned():
    opt = optimizers.Adam(lr=0.1)
    opt.lr = 0.2
    opt.betas = (0.5, 0.6)
    assert opt.hyper_values(1) == {"lr": [0.2], "beta1": [0.5], "beta2": [0.6], "eps": [1e-8]}
    with pytest.raises(ValueError, match="lr must"):
        opt.lr = -1
    assert opt.lr == 0.2


def test_nesterov_by_hand():
    """`begin` and `finish` in the middle change nothing."""
    whole, parts = optimizers.Nesterov(0.02, 0.8), optimizers.Nesterov(0.02, 0.8)
    theta, other = PROBLEM.start.copy(), PROBLEM.start.copy()
    for k in range(30):
        whole.step(theta, PROBLEM.gradient(theta, k))
        parts.begin(other)
        parts.step(other, PROBLEM.gradient(other, k))
        parts.finish(other)
    whole.finish(theta)
    assert np.array_equal(theta, other)


class ThreeSteps(Schedule):
    """A learning rate that is allowed for four steps: three of Nesterov's, which looks one ahead."""

    def at(self, t):
        return np.where(np.asarray(t) < 4, 0.02, -1.0)


@pytest.mark.parametrize("wrap", [lambda optimizer: optimizer, nn.EMA], ids=["alone", "averaged"])
def test_nesterov_goes_back_where_no_next_step_is_allowed(wrap):
    """The parameters are those after the last step, with the trajectory so far, and the optimizer is at rest."""
    twin, optimizer = (wrap(optimizers.Nesterov(lr, 0.8)) for lr in (0.02, ThreeSteps()))
    want = twin.minimize(lambda x: (float(x @ x), 2 * x), [1.0, -2.0], 3)
    with pytest.raises(ValueError, match="lr must be") as raised:
        optimizer.minimize(lambda x: (float(x @ x), 2 * x), [1.0, -2.0], 8)
    assert np.array_equal(raised.value.path.theta, want.theta[:3])
    assert not optimizer.entered
    theta = np.array([1.0, -2.0])
    optimizer.init_state(2, theta.dtype)
    for _ in range(3):
        optimizer.step(theta, 2 * theta)
    optimizer.finish(theta)
    assert np.array_equal(theta, want.theta[3])
