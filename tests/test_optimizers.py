"""Every optimizer against its formulas, written out a second time in NumPy."""

from __future__ import annotations

import copy
import inspect
import json
import math

import numpy as np
import pytest

import nncore as nn
from nncore import _kernels, optimizers, reference
from nncore.errors import DivergenceError
from nncore.optimizers import OPTIMIZERS
from nncore.optimizers.arrays import tile_table
from nncore.schedules import Exponential, Polynomial, StepDecay

N, STEPS, ALL_STEPS = 12, 220, 1000  # to tell one formula from another, and to agree with it


# ---- the problem: an ill-conditioned quadratic with a shrinking, sign-changing disturbance


class Problem:
    def __init__(self, n=N, steps=ALL_STEPS, seed=0):
        rng = np.random.default_rng(seed)
        rotation = np.linalg.qr(rng.normal(size=(n, n)))[0]
        self.hessian = rotation @ np.diag(np.logspace(-1.5, 1.2, n)) @ rotation.T
        self.goal = rng.normal(size=n)
        self.start = self.goal + rng.normal(size=n)
        self.noise = rng.normal(size=(steps, n)) * 0.985 ** np.arange(steps)[:, None]

    def gradient(self, theta, t):
        return self.hessian @ (theta - self.goal) + self.noise[t]


PROBLEM = Problem()


# ---- the formulas: f(theta, state, gradient, constants, t) -> theta, with t = 1, 2, …; a missing state is 0


class State(dict):
    def __missing__(self, key):
        return 0.0


def sgd(theta, s, gradient, c, t):
    return theta - c["lr"] * gradient(theta)


def momentum_inside(theta, s, gradient, c, t):
    s["v"] = c["momentum"] * s["v"] - c["lr"] * gradient(theta)
    return theta + s["v"]


def momentum_outside(theta, s, gradient, c, t):
    s["v"] = c["momentum"] * s["v"] + gradient(theta)
    return theta - c["lr"] * s["v"]


def nesterov(theta, s, gradient, c, t):
    s["v"] = c["momentum"] * s["v"] - c["lr"] * gradient(theta + c["momentum"] * s["v"])
    return theta + s["v"]


def outside(r, eps):
    return np.sqrt(r) + eps


def inside(r, eps):
    return np.sqrt(r + eps)


def adagrad(root):
    def formula(theta, s, gradient, c, t):
        g = gradient(theta)
        s["r"] = s.get("r", c["initial"]) + g**2
        return theta - c["lr"] * g / root(s["r"], c["eps"])

    return formula


def rmsprop(root, centered, momentum):
    def formula(theta, s, gradient, c, t):
        g, alpha = gradient(theta), c["alpha"]
        s["r"] = alpha * s["r"] + (1 - alpha) * g**2
        s["a"] = alpha * s["a"] + (1 - alpha) * g
        step = g / root(s["r"] - s["a"] ** 2 if centered else s["r"], c["eps"])
        if momentum:
            step = s["v"] = c["momentum"] * s["v"] + step
        return theta - c["lr"] * step

    return formula


def adadelta(root):
    def formula(theta, s, gradient, c, t):
        g, rho = gradient(theta), c["rho"]
        s["r"] = rho * s["r"] + (1 - rho) * g**2
        delta = -root(s["d"], c["eps"]) / root(s["r"], c["eps"]) * g
        s["d"] = rho * s["d"] + (1 - rho) * delta**2
        return theta + c["lr"] * delta

    return formula


def adam(placement="outside", corrected=True, decoupled=False, amsgrad=False):
    def formula(theta, s, gradient, c, t):
        g = gradient(theta)
        s["m"] = c["beta1"] * s["m"] + (1 - c["beta1"]) * g
        s["v"] = c["beta2"] * s["v"] + (1 - c["beta2"]) * g**2
        s["top"] = np.maximum(s["top"], s["v"])
        s["p1"], s["p2"] = s.get("p1", 1.0) * c["beta1"], s.get("p2", 1.0) * c["beta2"]
        first, second = (1 - s["p1"], 1 - s["p2"]) if corrected else (1.0, 1.0)
        v = s["top"] if amsgrad else s["v"]
        if placement == "hat":
            step = c["lr"] * math.sqrt(second) / first * s["m"] / (np.sqrt(v) + c["eps"])
        else:
            step = c["lr"] * (s["m"] / first) / {"outside": outside, "inside": inside}[placement](v / second, c["eps"])
        return theta - (c["lr"] * c["weight_decay"] * theta if decoupled else 0) - step

    return formula


def adamax(theta, s, gradient, c, t):
    g = gradient(theta)
    s["m"] = c["beta1"] * s["m"] + (1 - c["beta1"]) * g
    s["u"] = np.maximum(c["beta2"] * s["u"], np.abs(g) + c["eps"])
    s["p1"] = s.get("p1", 1.0) * c["beta1"]
    return theta - c["lr"] * (s["m"] / (1 - s["p1"])) / s["u"]


def nadam(theta, s, gradient, c, t, following=None):
    after = following or c
    g = gradient(theta)
    mu = c["beta1"] * (1 - c["half"] * c["base"] ** (t * c["momentum_decay"]))
    mu_next = after["beta1"] * (1 - c["half"] * c["base"] ** ((t + 1) * after["momentum_decay"]))
    s["m"] = c["beta1"] * s["m"] + (1 - c["beta1"]) * g
    s["v"] = c["beta2"] * s["v"] + (1 - c["beta2"]) * g**2
    s["p1"], s["p2"] = s.get("p1", 1.0) * mu, s.get("p2", 1.0) * c["beta2"]
    m = mu_next * s["m"] / (1 - s["p1"] * mu_next) + (1 - mu) * g / (1 - s["p1"])
    return theta - c["lr"] * m / (np.sqrt(s["v"] / (1 - s["p2"])) + c["eps"])


def lion(theta, s, gradient, c, t):
    g, m = gradient(theta), s["m"]
    s["m"] = c["beta2"] * m + (1 - c["beta2"]) * g
    return theta - c["lr"] * (np.sign(c["beta1"] * m + (1 - c["beta1"]) * g) + c["weight_decay"] * theta)


def rprop(theta, s, gradient, c, t):
    g = gradient(theta)
    product = g * s["previous"]
    factor = np.where(product > 0, c["eta_plus"], np.where(product < 0, c["eta_minus"], 1.0))
    s["size"] = np.clip(s.get("size", c["lr"]) * factor, c["step_min"], c["step_max"])
    s["previous"] = np.where(product < 0, 0.0, g)
    return theta - s["size"] * np.sign(s["previous"])


def delta_bar_delta(theta, s, gradient, c, t):
    g, eta = gradient(theta), s.get("eta", c["lr"])
    product = g * s["mean"]
    s["eta"] = np.where(product > 0, eta + c["kappa"], np.where(product < 0, (1 - c["phi"]) * eta, eta))
    s["mean"] = c["rho"] * s["mean"] + (1 - c["rho"]) * g
    return theta - s["eta"] * g


# ---- the cases: how to make the optimizer, its formula, and every constant in it


def make(name, *arguments, **options):
    """An optimizer from the constants named in `arguments`; "betas" and its like are pairs."""
    pairs = {"betas": ("beta1", "beta2"), "etas": ("eta_minus", "eta_plus"), "step_sizes": ("step_min", "step_max")}

    def build(c):
        given = {a: tuple(c[part] for part in pairs[a]) if a in pairs else c[a] for a in arguments}
        return OPTIMIZERS[name](**given, **options)

    return build


BETAS = {"beta1": 0.8, "beta2": 0.95}
# ε is as large as many gradients; and η/ε, the rate when they have shrunk, is one at which every direction converges:
# otherwise the walk is chaotic in the end, and roundings grow without bound.
MEAN = {"lr": 0.02, "alpha": 0.9, "eps": 0.2}
ADAM = {"lr": 0.02, **BETAS, "eps": 0.2}
CASES = {
    "sgd": (make("sgd", "lr"), sgd, {"lr": 0.03}),
    "momentum": (make("momentum", "lr", "momentum"), momentum_inside, {"lr": 0.02, "momentum": 0.8}),
    "momentum outside": (
        make("momentum", "lr", "momentum", lr_placement="outside"), momentum_outside, {"lr": 0.02, "momentum": 0.8},
    ),
    "nesterov": (make("nesterov", "lr", "momentum"), nesterov, {"lr": 0.02, "momentum": 0.8}),
    "lion": (make("lion", "lr", "betas", "weight_decay"), lion, {"lr": 0.01, **BETAS, "weight_decay": 0.1}),
    "adamax": (make("adamax", "lr", "betas", "eps"), adamax, ADAM),
    "nadam": (
        make("nadam", "lr", "betas", "eps", "momentum_decay"), nadam,
        {**ADAM, "momentum_decay": 0.1, "half": 0.5, "base": 0.96},
    ),
    "rprop": (
        make("rprop", "lr", "etas", "step_sizes"), rprop,
        {"lr": 0.01, "eta_minus": 0.5, "eta_plus": 1.2, "step_min": 4e-3, "step_max": 0.05},
    ),
    "delta_bar_delta": (
        make("delta_bar_delta", "lr", "kappa", "phi", "rho"), delta_bar_delta,
        {"lr": 0.01, "kappa": 1e-3, "phi": 0.2, "rho": 0.7},
    ),
}  # fmt: skip
for place, root in (("outside", outside), ("inside", inside)):
    CASES[f"adagrad {place}"] = (
        lambda c, place=place: optimizers.AdaGrad(c["lr"], c["eps"], place, c["initial"]),
        adagrad(root), {"lr": 0.1, "eps": 1e-2, "initial": 0.1},
    )  # fmt: skip
    CASES[f"adadelta {place}"] = (
        make("adadelta", "lr", "rho", "eps", eps_placement=place), adadelta(root), {"lr": 0.1, "rho": 0.9, "eps": 0.1},
    )  # fmt: skip
    for centered in (False, True):
        for moving in (False, True):
            form = {"centered": centered, "eps_placement": place}
            CASES[f"rmsprop {place}{' centered' * centered}{' momentum' * moving}"] = (
                make("rmsprop", "lr", "alpha", "eps", *["momentum"] * moving, **form),
                rmsprop(root, centered, moving), {**MEAN, **({"momentum": 0.7} if moving else {})},
            )  # fmt: skip
for place in ("outside", "inside", "hat"):
    for corrected in (True, False):
        form = {"eps_placement": place, "bias_correction": corrected}
        label = f"{place}{' uncorrected' * (not corrected)}"
        CASES[f"adam {label}"] = (make("adam", "lr", "betas", "eps", **form), adam(place, corrected), ADAM)
        CASES[f"amsgrad {label}"] = (
            make("amsgrad", "lr", "betas", "eps", **form), adam(place, corrected, amsgrad=True), ADAM,
        )  # fmt: skip
        CASES[f"adamw {label}"] = (
            make("adamw", "lr", "betas", "eps", "weight_decay", **form), adam(place, corrected, decoupled=True),
            {**ADAM, "weight_decay": 0.3},
        )  # fmt: skip
EACH = pytest.mark.parametrize("case", CASES)
HYPERS = [(case, h) for case, (build, _, c) in CASES.items() for h in build(c).hyperparameters if h in c]


def expected_path(formula, constants, problem=PROBLEM, steps=STEPS):
    """The formula's way; `constants` maps the step (from 0) to their values."""
    theta, s, path = problem.start, State(), []
    for k in range(steps):
        extra = {"following": constants(k + 1)} if formula is nadam else {}
        theta = formula(theta, s, lambda x, k=k: problem.gradient(x, k), constants(k), k + 1, **extra)
        path.append(theta)
    return np.array(path)


def actual_path(opt, problem=PROBLEM, first=0, last=STEPS, theta=None):
    theta = problem.start.copy() if theta is None else theta
    path = []
    for k in range(first, last):
        opt.step(theta, problem.gradient(theta, k))
        path.append(opt.parameters(theta).copy())
    return np.array(path)


def distance(actual, expected):
    """The largest difference, relative to the size of the whole point."""
    return np.max(np.abs(actual - expected).max(axis=1) / np.abs(expected).max(axis=1))


# ---- the formulas


def test_every_optimizer_and_every_kernel_has_a_case():
    made = [build(c) for build, _, c in CASES.values()]
    assert {type(opt) for opt in made} == set(OPTIMIZERS.values())
    updates = {name for name in _kernels.op_names() if name.endswith("_update")}
    assert {f"{opt.kernel}_update" for opt in made} == updates


@EACH
def test_formula(case):
    build, formula, constants = CASES[case]
    expected = expected_path(formula, lambda k: constants, steps=ALL_STEPS)
    assert distance(actual_path(build(constants), last=ALL_STEPS), expected) < 1e-12


@EACH
def test_formula_float32(case):
    """Along given gradients: a feedback would let roundings grow."""
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


def call_twin(op, opt, *arrays, **extra):
    """nncore.reference's function for the op, with those hyper-parameters of the optimizer that it takes."""
    twin = getattr(reference, op)
    known = {**opt.config(), **extra}
    return twin(*arrays, **{name: known[name] for name in inspect.signature(twin).parameters if name in known})


@EACH
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-12), (np.float32, 1e-5)])
def test_twin(case, dtype, tolerance):
    """50 steps of the compiled optimizer and of nncore.reference: parameters and state.

    In float32 along given gradients: a feedback would let roundings grow.
    """
    build, _, constants = CASES[case]
    opt, theta, other = build(constants), PROBLEM.start.astype(dtype), PROBLEM.start.astype(dtype)
    slots = [np.full_like(other, opt.initial_value(slot)) for slot in opt.slots]
    if opt.enter:
        assert not call_twin(opt.enter, opt, other, *slots)
    for k in range(50):
        mine, twin_s = (PROBLEM.gradient(x, k) if dtype == np.float64 else PROBLEM.noise[k] for x in (theta, other))
        opt.step(theta, mine.astype(dtype))
        assert not call_twin(f"{opt.kernel}_update", opt, other, twin_s.astype(dtype), *slots, step=k + 1)
        arrays, twins = [theta, *opt.state.values()], [other, *slots]
        assert all(twin.dtype == dtype for twin in twins)
        assert max(distance(a[None], b[None]) for a, b in zip(arrays, twins, strict=True)) < tolerance
    if opt.leave:
        opt.finish(theta)
        call_twin(opt.leave, opt, other, *slots)
        assert distance(theta[None], other[None]) < tolerance


@EACH
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_twin_keeps_back_what_would_not_be_finite(case, value):
    build, _, constants = CASES[case]
    opt, (theta, *slots) = build(constants), np.random.default_rng(0).uniform(0.5, 1.5, (6, 4))
    arrays = [theta, *slots[: len(opt.slots)]]
    before, grad = [array.copy() for array in arrays], np.array([1.0, value, 1.0, 1.0])
    with np.errstate(invalid="ignore"):
        assert call_twin(f"{opt.kernel}_update", opt, arrays[0], grad, *arrays[1:], step=3)
    assert all(new[1] == old[1] for new, old in zip(arrays, before, strict=True))
    assert (np.delete(arrays[0], 1) != np.delete(before[0], 1)).all()


@pytest.mark.parametrize(("case", "name"), [(case, name) for case, (_, _, c) in CASES.items() for name in c])
def test_every_constant_matters(case, name):
    """The comparison fails if any constant of the formula is one per cent off."""
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
    trainer = nn.Trainer(network.model, "squared_error", build(constants))
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
def torch():
    """PyTorch in float64: NAdam keeps its product of momenta in the default precision."""
    module = pytest.importorskip("torch")
    module.set_default_dtype(module.float64)
    yield module
    module.set_default_dtype(module.float32)


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
        assert np.array_equal(opt.coefficients(steps), rows[-1])  # asking changes nothing
        opt.advance(steps)
    assert np.array_equal(np.concatenate(rows), whole)


def test_load_state_dict_names_what_differs():
    theta = np.ones(3)
    adam_, top = optimizers.Adam(), optimizers.AMSGrad()
    adam_.step(theta, theta + 1)
    top.step(theta, theta + 1)
    for opt, state, message in (
        (optimizers.Adam(), top.state_dict(), "unexpected.*top"),
        (optimizers.AMSGrad(), adam_.state_dict(), "missing.*top"),
        (top, {**top.state_dict(), "m": np.zeros(4)}, r"m: expected shape \(3,\).*\(4,\)"),
        (top, {**top.state_dict(), "m": np.zeros(3, np.float32)}, "m: expected.*float64.*float32"),
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


# ---- the kernels


def run(opt, n, dtype, table, isa, threads=1, bad=None):
    """One update, of a state as after many steps: theta, the slots, the flag."""
    rng = np.random.default_rng(1)
    opt.init_state(n, dtype)
    for array in opt.state.values():
        array[...] = rng.uniform(0.5, 1.5, n)
    theta, grad = rng.normal(size=(2, n)).astype(dtype)
    if bad is not None:
        grad[bad[0]] = bad[1]
    before = [theta.copy(), *(array.copy() for array in opt.state.values())]
    flag = _kernels.run_op(
        f"{opt.kernel}_update", opt.arrays(theta, grad, table), dtype=np.dtype(dtype), axis="tiles", pieces=len(table),
        coefficients=opt.coefficients(1)[0], threads=threads, isa=isa,
    )  # fmt: skip
    return before, [theta, *opt.state.values()], flag


@EACH
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("isa", _kernels.available_isas())
def test_bits_do_not_depend_on_threads_or_tiles(case, dtype, isa):
    build, _, constants = CASES[case]
    n = 60_013
    _, reference, _ = run(build(constants), n, dtype, np.array([[0, 1, n, n]]), isa)
    pieces = np.array([[k, 1, min(997, n - k), 997] for k in range(0, n, 997)])
    rectangles = np.array([[0, 200, 150, 300], [150, 200, 150, 300], [60_000, 13, 1, 1]])
    for table in (tile_table(n), pieces, rectangles):
        for threads in (1, 2, 3):
            _, arrays, flag = run(build(constants), n, dtype, table.astype(np.int64), isa, threads)
            assert flag == 0
            assert [array.tobytes() for array in arrays] == [array.tobytes() for array in reference]


@EACH
@pytest.mark.parametrize("isa", _kernels.available_isas())
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_would_not_be_finite_is_kept_back(case, isa, value):
    build, _, constants = CASES[case]
    for dtype in (np.float32, np.float64):
        for n in (1, 7, 40):
            table = tile_table(n)
            _, good, flag = run(build(constants), n, dtype, table, isa)
            assert flag == 0
            for i in {0, n // 2, n - 1}:
                before, after, flag = run(build(constants), n, dtype, table, isa, bad=(i, value))
                assert flag == 1
                for old, new, other in zip(before, after, good, strict=True):
                    assert new[i] == old[i]
                    assert np.array_equal(np.delete(new, i), np.delete(other, i))


def test_state_that_would_overflow_is_kept_back():
    theta, opt = np.ones(2, np.float32), optimizers.Adam()
    with pytest.raises(DivergenceError, match="not finite after step 0"):
        opt.step(theta, np.array([1e30, 1.0], np.float32))
    assert theta[0] == 1
    assert theta[1] < 1
    assert opt.state["v"][0] == 0


def test_centred_variance_below_zero_counts_as_zero():
    opt, theta = optimizers.RMSprop(alpha=0.9, centered=True, eps=1e-3), np.zeros(100)
    grad = np.random.default_rng(0).normal(size=100)
    for _ in range(2000):  # constant gradients: r and a² meet
        opt.step(theta, grad)
    assert np.isfinite(theta).all()


# ---- minimize


class Bowl:
    """½ Σ hᵢxᵢ²"""

    h = np.array([1.0, 10.0])

    def value_and_gradient(self, x):
        return 0.5 * float(self.h @ x**2), self.h * x


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
    half = opt.minimize(bowl, problem.start, 40)  # afresh
    rest = opt.minimize(bowl, half.theta[-1], 60, resume=True)
    assert np.array_equal(np.vstack((half.theta, rest.theta[1:])), path.theta)


@EACH
def test_minimize_binds_its_ops_once(case, monkeypatch):
    """However many steps there are: the step's, and Nesterov's at the beginning and at the end."""
    build, _, constants = CASES[case]
    bind, bound = _kernels.bind_tiles, []
    monkeypatch.setattr(_kernels, "bind_tiles", lambda *a, **k: bound.append(a) or bind(*a, **k))
    build(constants).minimize(Bowl(), np.full(2, 0.5), 40)
    assert len(bound) == (3 if "nesterov" in case else 1)


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


# ---- bad input


@pytest.mark.parametrize(
    ("theta", "grad", "error", "message"),
    [
        ([1.0], np.ones(1), TypeError, "theta: expected a NumPy array, got list"),
        (np.ones(2, int), np.ones(2), TypeError, "theta: expected float32 or float64, got int64"),
        (np.ones((2, 2)), np.ones((2, 2)), ValueError, r"theta: expected a 1-D.*\(2, 2\)"),
        (np.ones(0), np.ones(0), ValueError, "theta: expected a 1-D"),
        (np.ones(4)[::2], np.ones(2), ValueError, "theta: expected a contiguous array"),
        (np.ones(2), np.ones(2, np.float32), TypeError, "grad: expected float64 as theta, got float32"),
        (np.ones(2), np.ones(3), ValueError, r"grad: expected shape \(2,\) as theta, got \(3,\)"),
        (np.ones(2), None, TypeError, "grad: expected a NumPy array, got NoneType"),
        (np.ones(2), np.array([1, np.nan]), DivergenceError, "grad: 1 of 2 values are not finite, the first at 1: nan"),
    ],
)  # fmt: skip
def test_step_refuses(theta, grad, error, message):
    opt, before = optimizers.Adam(), copy.deepcopy(theta)
    with pytest.raises(error, match=message):
        opt.step(theta, grad)
    assert np.array_equal(theta, before)
    assert opt.state == {}


def test_step_refuses_more():
    theta, opt = np.ones(3), optimizers.Adam()
    with pytest.raises(ValueError, match="memory of its own"):
        opt.step(theta, theta)
    opt.step(theta, np.ones(3))
    with pytest.raises(ValueError, match=r"theta: expected shape \(3,\) as the optimizer's state 'm', got \(4,\)"):
        opt.step(np.ones(4), np.ones(4))
    with pytest.raises(TypeError, match="theta: expected float64 as the optimizer's state"):
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
            with pytest.raises(ValueError, match=f"{name}: expected"):
                build({**constants, name: value})
        for value in ("0.1", None, True):
            with pytest.raises(TypeError, match=f"{name}: expected a number"):
                build({**constants, name: value})


def test_refusals():
    for make_, message in (
        (lambda: optimizers.Adam(eps_placement="under"), "eps_placement: expected one of 'outside', 'inside', 'hat'"),
        (lambda: optimizers.AdaGrad(eps_placement="hat"), "eps_placement"),
        (lambda: optimizers.Momentum(lr_placement="hat"), "lr_placement"),
        (lambda: optimizers.Adam(betas=(0.9,)), "betas: expected a pair"),
        (lambda: optimizers.Rprop(etas=(0.5, 1.0)), r"eta_plus: expected a number in \(1, inf\)"),
        (lambda: optimizers.Rprop(step_sizes=(2.0, 1.0)), "step_sizes"),
        (lambda: optimizers.get("adm"), "optimizer: expected one of sgd, .*, got 'adm'"),
        (lambda: optimizers.SGD(Polynomial(0.1, steps=2, final=-1)).coefficients(5), "lr: expected .* from Polynomial"),
        (lambda: optimizers.SGD().minimize(Bowl(), [[1.0]], 3), "x0"),
        (lambda: optimizers.SGD().minimize(Bowl(), [np.nan, 1], 3), "x0"),
        (lambda: optimizers.SGD().minimize(lambda x: (0.0, np.ones(3)), [1.0], 3), "f: expected a gradient of shape"),
    ):
        with pytest.raises(ValueError, match=message):
            make_()
    with pytest.raises(TypeError, match="optimizer: expected"):
        optimizers.get(3)
    with pytest.raises(TypeError, match="f: expected a callable"):
        optimizers.SGD().minimize(3, [1.0], 3)
    opt = optimizers.RMSprop()
    opt.momentum = 0.9
    with pytest.raises(ValueError, match="momentum"):
        opt.coefficients(1)


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
    with pytest.raises(ValueError, match="lr: expected"):
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
