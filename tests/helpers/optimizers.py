"""Every first-order optimizer's formula, written out in NumPy, and the problem on which the tests compare.

The formulas share nothing with `nncore.reference`: one function per family, which takes the gradient as a function, as in the
papers. They are the independent check of the compiled optimizers and their classes where PyTorch is missing or has no such
form. test_optimizer_kernels.py compares kernels with twins.
"""

from __future__ import annotations

import inspect
import math

import numpy as np
import pytest

from nncore import optimizers, reference
from nncore.optimizers import OPTIMIZERS

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


def ftrl(theta, s, gradient, c, t):
    """The z of θ, where the derivative of the linearized losses, proximal terms and penalty is 0; then θ of the new z."""
    g, n, l1 = gradient(theta), s.get("n", c["initial"]), c["l1"]
    s["n"] = n + g**2
    before, after = ((c["beta"] + np.sqrt(squares)) / c["lr"] + c["l2"] for squares in (n, s["n"]))
    z = np.where(theta == 0, np.clip(s["z"], -l1, l1), -theta * before - l1 * np.sign(theta))
    s["z"] = z + g - (np.sqrt(s["n"]) - np.sqrt(n)) / c["lr"] * theta
    return np.where(np.abs(s["z"]) <= l1, 0.0, (l1 * np.sign(s["z"]) - s["z"]) / after)


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
# otherwise the iteration becomes chaotic, and rounding errors grow without bound.
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
    "lazy_adam": (make("lazy_adam", "lr", "betas", "eps"), adam(), ADAM),
    "adamax": (make("adamax", "lr", "betas", "eps"), adamax, ADAM),
    "nadam": (
        make("nadam", "lr", "betas", "eps", "momentum_decay"), nadam,
        {**ADAM, "momentum_decay": 0.1, "half": 0.5, "base": 0.96},
    ),
    "ftrl": (
        lambda c: optimizers.FTRL(c["lr"], c["beta"], c["l1"], c["l2"], c["initial"]), ftrl,
        {"lr": 0.1, "beta": 0.5, "l1": 0.3, "l2": 0.7, "initial": 0.1},
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


def by_twin(name):
    """The case of an optimizer without an entry above: its formula is its twin in `nncore.reference`, at the defaults."""
    defaults = OPTIMIZERS[name]()
    constants = {h: value for h, value in defaults.config().items() if isinstance(value, float)}

    def formula(theta, s, gradient, c, t):
        opt, theta = OPTIMIZERS[name](**c), theta.copy()
        slots = [s.setdefault(slot, np.full_like(theta, opt.initial_value(slot))) for slot in opt.slots]
        call_twin(f"{opt.kernel}_update", opt, theta, gradient(theta), *slots, step=t)
        return theta

    return (lambda c: OPTIMIZERS[name](**c)), formula, constants


def call_twin(op, opt, *arrays, **extra):
    """nncore.reference's function for the op, with those hyper-parameters of the optimizer that it takes."""
    twin = getattr(reference, op)
    known = {**opt.config(), **extra}
    return twin(*arrays, **{name: known[name] for name in inspect.signature(twin).parameters if name in known})


CASES |= {name: by_twin(name) for name, cls in OPTIMIZERS.items() if cls not in {type(b(c)) for b, _, c in CASES.values()}}
EACH = pytest.mark.parametrize("case", CASES)
HYPERS = [(case, h) for case, (build, _, c) in CASES.items() for h in build(c).hyperparameters if h in c]


def expected_path(formula, constants, problem=PROBLEM, steps=STEPS):
    """The trajectory by the formula; `constants` maps the step (from 0) to their values."""
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


class Bowl:
    """½ Σ hᵢxᵢ²"""

    h = np.array([1.0, 10.0])

    def value_and_gradient(self, x):
        return 0.5 * float(self.h @ x**2), self.h * x
