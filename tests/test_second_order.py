"""Second-order optimizers on functions whose derivatives are known: their defining equations, along the whole trajectory."""

from __future__ import annotations

import inspect
import re
import threading
from typing import Any

import numpy as np
import pytest
import scipy.linalg
import scipy.optimize
from numpy.typing import NDArray

import nncore as nn
from nncore import optimizers
from nncore._kernels.blas import one_blas_thread
from nncore.errors import DivergenceError
from nncore.landscapes import LANDSCAPES, Beale, Himmelblau, Quadratic, Rosenbrock, Saddle, record
from nncore.second_order import (
    BFGS,
    LBFGS,
    OPTIMIZERS,
    AdaptiveDampedNewton,
    DampedNewton,
    FullBatchOptimizer,
    GaussNewton,
    LevenbergMarquardt,
    ModifiedNewton,
    Newton,
    NonlinearCG,
    ScipyMinimize,
    SingularError,
    TruncatedNewton,
)
from nncore.second_order.adaptive import adapted
from nncore.second_order.conjugate import BETAS
from nncore.second_order.scipy_minimize import METHODS

Array = NDArray[Any]

SQUARES = ("gauss_newton", "levenberg_marquardt")
GLOBAL = sorted(set(OPTIMIZERS) - {"newton", "damped_newton", "gauss_newton"})  # converge from any start
GRADIENTS_ONLY = ("nonlinear_cg", "bfgs", "lbfgs")


class Bowl:
    """½ (θ − c)ᵀA(θ − c) in n dimensions, as ½‖R(θ − c)‖² too."""

    def __init__(self, n: int, condition: float = 100.0, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        q = np.linalg.qr(rng.normal(size=(n, n)))[0]
        values = np.geomspace(1, condition, n)
        self.matrix, self.root = (q * values) @ q.T, np.sqrt(values)[:, None] * q.T
        self.center, self.start = rng.normal(size=n), rng.normal(size=n)

    def value_and_gradient(self, theta: Array) -> tuple[float, Array]:
        away = theta - self.center
        return 0.5 * away @ self.matrix @ away, self.matrix @ away

    def hessian(self, theta: Array) -> Array:
        return self.matrix

    def residuals_and_jacobian(self, theta: Array) -> tuple[Array, Array]:
        return self.root @ (theta - self.center), self.root


class Products:
    """The same function with Hessian products instead of a Hessian."""

    def __init__(self, f: Any) -> None:
        self.f, self.value_and_gradient = f, f.value_and_gradient

    def hessian_product(self, theta: Array, v: Array) -> Array:
        return self.f.hessian(theta) @ v


# --- convergence


@pytest.mark.parametrize("name", GLOBAL)
@pytest.mark.parametrize("f", [Rosenbrock(), Beale(), Himmelblau()], ids=lambda f: f.name)
def test_converges(name: str, f: Any) -> None:
    start = {"beale": [1.0, 0.2]}.get(f.name, f.start)
    optimizer = ScipyMinimize("BFGS", gtol=1e-9) if name == "scipy_minimize" else OPTIMIZERS[name]()
    walk = optimizer.minimize(f, start, steps=120)
    assert np.abs(f.minima - walk.theta[-1]).max(axis=1).min() < 1e-6
    assert walk.loss[-1] < 1e-12
    assert walk.theta.shape == (121, 2)
    assert walk.loss.shape == (121,)
    assert walk.loss.tolist() == [f.value(point) for point in walk.theta]
    assert (np.diff(walk.loss) <= 0).all()  # all are descent methods
    assert 3 < len(walk.history) < 120
    assert optimizer.stopped


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
@pytest.mark.parametrize("n", [1, 2, 30])
def test_converges_on_a_convex_function(name: str, n: int) -> None:
    f = Bowl(n)
    walk = OPTIMIZERS[name]().minimize(f, f.start, steps=300)
    # SciPy's criterion stops L-BFGS-B at a relative reduction of 2e-9; damping of 1 shrinks the error by half a step at least
    assert np.abs(walk.theta[-1] - f.center).max() < (1e-3 if name == "scipy_minimize" else 1e-9)


@pytest.mark.parametrize("name", GRADIENTS_ONLY)
def test_gradients_suffice(name: str) -> None:
    walk = OPTIMIZERS[name]().minimize(Rosenbrock().value_and_gradient, [-1.2, 1.0], steps=80)
    assert walk.theta[-1] == pytest.approx([1, 1], abs=1e-8)


@pytest.mark.parametrize("name", sorted(set(OPTIMIZERS) - set(GRADIENTS_ONLY) - set(SQUARES) - {"scipy_minimize"}))
def test_products_suffice(name: str) -> None:
    f = Bowl(6)
    dense, hidden = (OPTIMIZERS[name]().minimize(g, f.start, steps=5) for g in (f, Products(f)))
    assert np.allclose(dense.theta, hidden.theta, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["adaptive_damped_newton", "modified_newton", "truncated_newton", *GRADIENTS_ONLY])
def test_leaves_a_saddle(name: str) -> None:
    walk = OPTIMIZERS[name]().minimize(Saddle(), [1.0, 1e-3], steps=30)
    assert walk.loss[-1] < -10
    assert (np.diff(walk.loss) < 0).all()


# --- Newton


@pytest.mark.parametrize("n", [1, 3, 50])
@pytest.mark.parametrize("seed", range(3))
def test_newton_takes_one_step_on_a_quadratic(n: int, seed: int) -> None:
    f = Bowl(n, condition=50.0, seed=seed)
    walk = Newton().minimize(f, f.start, steps=1)
    assert np.abs(walk.theta[-1] - f.center).max() < 1e-12


def test_newton_doubles_the_digits() -> None:
    f = Rosenbrock()
    error = np.linalg.norm(Newton().minimize(f, [0.9, 0.8], steps=6).theta - f.minimum, axis=1)
    small = error[(error < 0.02) & (error > 1e-8)]
    assert (error[np.flatnonzero(np.isin(error, small)) + 1] < 300 * small**2).all()
    assert error[-1] < 1e-11  # the gradient is below 1e-10


class Turned:
    """A landscape in the coordinates θ′ = Aθ."""

    def __init__(self, f: Any, a: Array) -> None:
        self.f, self.inverse = f, np.linalg.inv(a)

    def value_and_gradient(self, theta: Array) -> tuple[float, Array]:
        value, gradient = self.f.value_and_gradient(self.inverse @ theta)
        return value, self.inverse.T @ gradient

    def hessian(self, theta: Array) -> Array:
        return self.inverse.T @ self.f.hessian(self.inverse @ theta) @ self.inverse


def test_newton_is_independent_of_units() -> None:
    f, a = Rosenbrock(), np.array([[30.0, 2.0], [-1.0, 0.05]])
    walk, turned = Newton().minimize(f, f.start, 5), Newton().minimize(Turned(f, a), a @ f.start, 5)
    assert np.allclose(turned.theta, walk.theta @ a.T, rtol=1e-9)
    damped, turned = (
        DampedNewton(5.0).minimize(f, f.start, 5),
        DampedNewton(5.0).minimize(Turned(f, a), a @ f.start, 5),
    )  # fmt: skip
    assert not np.allclose(turned.theta, damped.theta @ a.T, rtol=0.01)


def test_newton_converges_to_a_saddle_only_if_allowed() -> None:
    with pytest.raises(SingularError, match=r"not positive definite: its eigenvalues run from -2 to 2.*AdaptiveDampedNewton"):
        Newton().minimize(Saddle(), [0.3, 0.5], steps=1)
    walk = Newton(allow_indefinite=True).minimize(Saddle(), [0.3, 0.5], steps=1)
    assert np.array_equal(walk.theta[-1], [0, 0])
    assert walk.loss[-1] > walk.loss[0]


@pytest.mark.parametrize("damping", [0.5, 7.0, 1e8])
def test_damped_newton_solves_its_equation(damping: float) -> None:
    f = Bowl(9)
    walk = DampedNewton(damping).minimize(f, f.start, steps=3)
    for before, step in zip(walk.theta, np.diff(walk.theta, axis=0), strict=False):
        gradient = f.value_and_gradient(before)[1]
        # the step is a difference of numbers near 1
        assert np.allclose(f.matrix @ step + damping * step, -gradient, rtol=1e-9, atol=1e-15 * (100 + damping))
    if damping == 1e8:
        assert np.allclose(np.diff(walk.theta, axis=0)[0], -f.value_and_gradient(f.start)[1] / damping, rtol=1e-4)
    assert (walk.history["damping"] == damping).all()


def test_damping_follows_a_schedule() -> None:
    walk = DampedNewton(optimizers_schedule()).minimize(Bowl(4), np.zeros(4), steps=3)
    assert walk.history["damping"] == pytest.approx([4, 2, 1])


def optimizers_schedule() -> Any:
    from nncore.schedules import Exponential

    return Exponential(4.0, gamma=0.5)


def test_damping_must_exceed_negative_curvature() -> None:
    with pytest.raises(SingularError, match=r"Hessian \+ 1 I is not positive definite.*A damping above"):
        DampedNewton(1.0).minimize(Saddle(), [1.0, 0.1], steps=1)
    assert DampedNewton(2.5).minimize(Saddle(), [1.0, 0.1], steps=1).loss[-1] < 0.99 - 0.5


def test_modified_newton_flips_negative_eigenvalues() -> None:
    f = Himmelblau()
    start = np.array([0.1, 0.2])  # both eigenvalues negative
    values, vectors = np.linalg.eigh(f.hessian(start))
    assert (values < 0).all()
    walk = ModifiedNewton().minimize(f, start, steps=1)
    step = walk.theta[1] - start
    full = -vectors @ np.diag(1 / np.abs(values)) @ vectors.T @ f.gradient(start)
    assert np.allclose(step, walk.history["step_size"][0] * full, rtol=1e-12)
    assert walk.history["negative_curvature"][0] == 2


# --- adaptive damping


def test_trust_ratio_by_hand() -> None:
    """f(x) = x⁴/4 from x = 2 with H = 12, g = 8, and α = 12 · 1e-3: numbers from a pocket calculator."""

    class Quartic:
        def value_and_gradient(self, x: Array) -> tuple[float, Array]:
            return float(x[0] ** 4) / 4, x**3

        def hessian(self, x: Array) -> Array:
            return 3 * x[:, None] ** 2

    optimizer = AdaptiveDampedNewton(damping=1e-3)
    walk = optimizer.minimize(Quartic(), [2.0], steps=1)
    p = -8 / 12.012  # −0.6660
    predicted = 8 * 8 / 12.012 - 0.5 * 12 * (8 / 12.012) ** 2  # 2.66666
    ratio = (4 - (2 + p) ** 4 / 4) / predicted  # (4 − 0.79171)/2.66666 = 1.2031
    assert ratio == pytest.approx(1.2031, abs=1e-4)
    assert walk.theta[-1][0] == pytest.approx(2 + p, rel=1e-14)
    assert walk.history["trust_ratio"][0] == pytest.approx(ratio, rel=1e-12)
    assert walk.history["damping"][0] == pytest.approx(0.012, rel=1e-14)
    assert optimizer.numbers["damping"] == pytest.approx(0.004, rel=1e-12)  # 1 − 1.4062³ < ⅓


@pytest.mark.parametrize(
    ("ratio", "damping", "growth"),
    [(1.0, 1 / 3, 2), (0.75, 0.875, 2), (0.5, 1, 2), (0.25, 1.125, 2), (1e-9, 2, 2), (0.0, 8, 16), (-5.0, 8, 16)],
)
def test_rule_of_nielsen(ratio: float, damping: float, growth: float) -> None:
    assert adapted(1.0, 8.0, ratio) == pytest.approx((damping, growth), rel=1e-7)


@pytest.mark.parametrize("kind", [AdaptiveDampedNewton, LevenbergMarquardt])
def test_damping_follows_the_trust_ratio(kind: Any) -> None:
    f = Rosenbrock()
    walk = kind(damping=1e-6).minimize(f, f.start, steps=12)
    h = walk.history
    repeated = 0
    for t, (theta, step) in enumerate(zip(walk.theta, np.diff(walk.theta, axis=0), strict=False)):
        jacobian = f.residuals_and_jacobian(theta)[1]
        matrix = f.hessian(theta) if kind is AdaptiveDampedNewton else jacobian.T @ jacobian
        gradient = f.gradient(theta)
        predicted = -gradient @ step - 0.5 * step @ matrix @ step
        assert h["trust_ratio"][t] == pytest.approx((walk.loss[t] - walk.loss[t + 1]) / predicted, rel=1e-6)
        assert np.allclose((matrix + h["damping"][t] * np.eye(2)) @ step, -gradient, rtol=1e-6, atol=1e-9)
        rejected = int(h["evaluations"][t]) - 1
        repeated += rejected
        if t:
            after = h["damping"][t - 1] * max(1 / 3, 1 - (2 * h["trust_ratio"][t - 1] - 1) ** 3)
            assert h["damping"][t] == pytest.approx(after * 2 ** (rejected * (rejected + 1) // 2), rel=1e-12)  # ·2 ·4 ·8 …
    assert repeated > 1


# --- conjugate gradients


@pytest.mark.parametrize("beta", BETAS)
def test_conjugate_directions(beta: str) -> None:
    """At each step: the strong Wolfe conditions, and a direction −g + β (the previous direction), with β by its formula."""
    f = Rosenbrock()
    walk = NonlinearCG(beta).minimize(f, f.start, steps=12)
    theta, g, t = walk.theta, f.gradient(walk.theta), walk.history["step_size"]
    d = np.diff(theta, axis=0) / t[:, None]
    assert np.allclose(d[0], -g[0], rtol=1e-10)
    restarts = 0
    for k in range(11):
        assert walk.loss[k + 1] <= walk.loss[k] + 1e-4 * t[k] * g[k] @ d[k]
        assert abs(g[k + 1] @ d[k]) <= 0.1 * abs(g[k] @ d[k]) * (1 + 1e-6)
        change = g[k + 1] - g[k]
        wanted = {
            "fletcher_reeves": g[k + 1] @ g[k + 1] / (g[k] @ g[k]),
            "polak_ribiere": max(g[k + 1] @ change / (g[k] @ g[k]), 0),
            "hestenes_stiefel": g[k + 1] @ change / (d[k] @ change),
        }[beta]
        assert walk.history["beta"][k] == pytest.approx(wanted, rel=1e-6, abs=1e-9)
        direction = -g[k + 1] + wanted * d[k]
        if direction @ g[k + 1] >= 0:
            restarts, direction = restarts + 1, -g[k + 1]
        assert np.allclose(d[k + 1], direction, rtol=1e-5, atol=1e-5 * np.abs(direction).max())
    assert restarts <= 2


@pytest.mark.parametrize("beta", ["fletcher_reeves", "polak_ribiere", "hestenes_stiefel"])
def test_conjugate_gradients_on_a_linear_function(beta: str) -> None:
    """The gradient does not change, so the denominator of Hestenes and Stiefel is 0: the next direction is −g."""
    walk = NonlinearCG(beta).minimize(lambda x: (x[0] + 2 * x[1], np.array([1.0, 2.0])), [0.0, 0.0], steps=3)
    assert (np.diff(walk.loss) < 0).all()
    assert np.allclose(walk.theta, np.outer(walk.loss / 5, [1, 2]), rtol=1e-12)


def test_as_many_steps_as_eigenvalues() -> None:
    """On a quadratic with three different eigenvalues conjugate gradients need three exact steps, here a few more."""
    f = Quadratic([1.0] * 10 + [5.0] * 10 + [20.0] * 10)
    start = np.random.default_rng(0).normal(size=30)
    loss = NonlinearCG(tol=1e-8).minimize(f, start, steps=40).loss
    assert (loss < 1e-10 * loss[0]).argmax() <= 16
    steepest = optimizers.SGD(lr=2 / 21).minimize(f, start, steps=16)
    assert steepest.loss[-1] > 1e-3 * loss[0]


# --- quasi-Newton


def test_bfgs_learns_the_inverse_hessian() -> None:
    f = Bowl(5, condition=30.0)
    optimizer = BFGS()
    optimizer.init_state(5, "float64")
    theta, secants = f.start.copy(), 0
    while np.linalg.norm(theta - f.center) > 1e-8:
        before = theta.copy()
        optimizer.step(theta, f)
        inverse, y = optimizer.state["inverse"], f.matrix @ (theta - before)
        assert np.allclose(inverse @ y, theta - before, rtol=1e-9, atol=1e-12 * np.abs(theta - before).max())
        assert np.linalg.eigvalsh(inverse).min() > 0
        secants += 1
    assert 5 < secants < 30
    exact = np.linalg.inv(f.matrix)
    assert np.linalg.norm(inverse - exact) < 0.2 * np.linalg.norm(exact)  # inexact line searches leave an error


def test_bfgs_converges_as_fast_as_scipy() -> None:
    f = Rosenbrock()
    for start in ([-1.2, 1.0], [1.5, -0.5], [-0.5, 2.0]):
        theirs = scipy.optimize.minimize(f.value_and_gradient, start, jac=True, method="BFGS", options={"gtol": 1e-7})
        walk = BFGS(tol=1e-7).minimize(f, start, steps=100)
        assert np.allclose(walk.theta[-1], theirs.x, atol=1e-6)
        assert len(walk.history) < 1.5 * theirs.nit
        assert walk.history["evaluations"].sum() < 1.6 * theirs.nfev


def test_lbfgs_direction_is_that_of_the_matrix(rng: np.random.Generator) -> None:
    """The two loops against B ← VᵀBV + r s sᵀ, V = I − r y sᵀ, from (sᵀy/yᵀy) I."""
    optimizer = LBFGS(memory=4)
    optimizer.init_state(7, "float64")
    pairs = []
    while len(pairs) < 6:
        s, y = rng.normal(size=(2, 7))
        if s @ y > 0:
            pairs.append((s, y))
            optimizer.learn(s, y)
            optimizer.numbers["pairs"] += 1
    s, y = pairs[-1]
    matrix = np.eye(7) * (s @ y) / (y @ y)
    for s, y in pairs[-4:]:
        v = np.eye(7) - np.outer(y, s) / (s @ y)
        matrix = v.T @ matrix @ v + np.outer(s, s) / (s @ y)
    g = rng.normal(size=7)
    assert np.allclose(optimizer.direction(g), -matrix @ g, rtol=1e-12)


# --- truncated Newton


def test_truncated_newton_is_newton_where_the_region_is_wide() -> None:
    f = Bowl(20, condition=30.0)
    # the forcing term makes the solve inexact; near the center it is ever more exact
    walk = TruncatedNewton(radius=100.0).minimize(f, f.start, steps=14)
    assert np.abs(walk.theta[-1] - f.center).max() < 1e-9
    assert (walk.history["hessian_products"] <= 20).all()
    assert not walk.history["negative_curvature"].any()


def test_truncated_newton_finds_negative_curvature_and_stays_within_the_region() -> None:
    walk = TruncatedNewton(radius=0.5).minimize(Saddle(), [0.1, 0.3], steps=4)
    h = walk.history
    assert h["negative_curvature"].all()
    assert h["step_length"] == pytest.approx([0.5, 1, 2, 4])  # a quadratic model of a quadratic: ρ = 1, and Δ doubles
    assert h["radius"] == pytest.approx([0.5, 1, 2, 4])
    assert h["trust_ratio"] == pytest.approx(np.ones(4))


def test_radius_follows_the_trust_ratio() -> None:
    f = Rosenbrock()
    h = TruncatedNewton(radius=1.0).minimize(f, f.start, steps=15).history
    shrunk = grown = 0
    for t in range(14):
        ratio, border = h["trust_ratio"][t], h["step_length"][t] > 0.999 * h["radius"][t]
        rejected = int(h["evaluations"][t + 1]) - 1
        wanted = h["radius"][t] * (2 if ratio > 0.75 and border else 1)
        wanted = h["step_length"][t] / 4 if ratio < 0.25 else wanted
        if not rejected:
            assert h["radius"][t + 1] == pytest.approx(wanted, rel=1e-9)
        shrunk, grown = shrunk + (rejected > 0), grown + (wanted > h["radius"][t])
        assert h["step_length"][t] <= h["radius"][t] * (1 + 1e-9)
    assert shrunk


# --- least squares


def test_gauss_newton_solves_linear_least_squares(rng: np.random.Generator) -> None:
    a, b = rng.normal(size=(12, 4)), rng.normal(size=12)

    class Linear:
        def value_and_gradient(self, theta: Array) -> tuple[float, Array]:
            r = a @ theta - b
            return 0.5 * r @ r, a.T @ r

        def residuals_and_jacobian(self, theta: Array) -> tuple[Array, Array]:
            return a @ theta - b, a

    walk = GaussNewton().minimize(Linear(), np.zeros(4), steps=1)
    assert np.allclose(walk.theta[-1], scipy.linalg.lstsq(a, b)[0], rtol=1e-12)


@pytest.mark.parametrize("f", [Rosenbrock(), Beale(), Himmelblau()], ids=lambda f: f.name)
def test_residuals_make_the_landscape(f: Any) -> None:
    x = np.array([0.7, -0.4])
    r, jacobian = f.residuals_and_jacobian(x)
    assert 0.5 * r @ r == pytest.approx(f.value(x), rel=1e-13)
    assert jacobian.T @ r == pytest.approx(f.gradient(x), rel=1e-12)
    theirs = scipy.optimize.least_squares(
        lambda z: f.residuals_and_jacobian(z)[0], x, lambda z: f.residuals_and_jacobian(z)[1], method="lm", xtol=1e-12
    )
    ours = LevenbergMarquardt().minimize(f, x, steps=60).theta[-1]  # of Himmelblau's four minima SciPy may find another
    assert f.value(ours) == pytest.approx(f.value(theirs.x), abs=1e-20)


class Exponentials:
    """Σᵢ exp(−aᵢt) fitted to data: with two equal rates J has two equal columns."""

    t = np.linspace(0, 3, 30)
    d = np.exp(-0.5 * t) + np.exp(-2 * t)

    def residuals_and_jacobian(self, theta: Array) -> tuple[Array, Array]:
        e = np.exp(-np.outer(self.t, theta))
        return e.sum(axis=1) - self.d, -self.t[:, None] * e

    def value_and_gradient(self, theta: Array) -> tuple[float, Array]:
        r, jacobian = self.residuals_and_jacobian(theta)
        return 0.5 * r @ r, jacobian.T @ r


def test_gauss_newton_refuses_a_singular_matrix() -> None:
    with pytest.raises(SingularError, match=r"Gauss-Newton matrix is singular.*LevenbergMarquardt") as raised:
        GaussNewton().minimize(Exponentials(), [1.0, 1.0], steps=5)
    assert raised.value.path.theta.tolist() == [[1, 1]]
    near = LevenbergMarquardt().minimize(Exponentials(), [1.0, 1.0 + 1e-6], steps=100)
    assert np.sort(near.theta[-1]) == pytest.approx([0.5, 2.0], abs=1e-6)


# --- SciPy's own


@pytest.mark.parametrize("method", METHODS)
def test_same_iterates_as_scipy(method: str) -> None:
    f, start, iterates = Rosenbrock(), np.array([1.3, 1.6]), []
    curvature: dict[str, Any] = {}
    if method in ("Newton-CG", "trust-ncg", "trust-krylov", "trust-constr"):
        curvature = {"hessp": lambda x, p: f.hessian(x) @ p}
    if method in ("dogleg", "trust-exact"):
        curvature = {"hess": f.hessian}
    free = method in ("Nelder-Mead", "Powell", "COBYLA", "COBYQA")
    with one_blas_thread():  # otherwise the iterates of SLSQP depend on the number of cores
        scipy.optimize.minimize(
            f.value if free else f.value_and_gradient, start, jac=None if free else True, method=method,
            callback=lambda x, *more: iterates.append(np.array(x)), **curvature,
        )  # fmt: skip
    optimizer = ScipyMinimize(method, tol=0.0)
    steps = min(len(iterates), 12)
    walk = optimizer.minimize(f, start, steps=steps)
    assert np.array_equal(walk.theta[1:], iterates[:steps])
    assert steps > 3
    assert not [thread for thread in threading.enumerate() if thread.name == "nncore-scipy-minimize"]


def test_scipy_stops_with_a_reason() -> None:
    optimizer = ScipyMinimize("BFGS", gtol=1e-3)
    walk = optimizer.minimize(Rosenbrock(), [-1.2, 1.0], steps=100)
    assert "BFGS: Optimization terminated successfully" in optimizer.stopped
    assert 10 < len(walk.history) < 60
    assert (walk.loss[len(walk.history) :] == walk.loss[-1]).all()


def test_scipy_within_bounds() -> None:
    walk = ScipyMinimize("L-BFGS-B", bounds=[(None, 0.5), (None, None)]).minimize(Rosenbrock(), [-1.2, 1.0], steps=60)
    assert walk.theta[-1] == pytest.approx([0.5, 0.25], abs=1e-4)
    assert repr(ScipyMinimize("CG", gtol=0.5)) == "ScipyMinimize('CG', tol=1e-10, gtol=0.5)"
    with pytest.raises(ValueError, match=r"method must be one of 'Nelder-Mead'.*got 'simplex'"):
        ScipyMinimize("simplex")


def test_an_error_in_the_function_is_raised() -> None:
    def broken(theta: Array) -> tuple[float, Array]:
        if theta[0] != 1:
            raise RuntimeError("out of order")
        return 1.0, np.ones(2)

    with pytest.raises(RuntimeError, match="out of order"):
        ScipyMinimize("BFGS").minimize(broken, [1.0, 1.0], steps=3)


# --- common behavior


@pytest.mark.parametrize("name", sorted(set(OPTIMIZERS) - {"scipy_minimize"}))
def test_continues_from_its_state_with_the_same_bits(name: str) -> None:
    f, start = (Rosenbrock(), [-1.2, 1.0]) if name != "damped_newton" else (Bowl(4), np.ones(4))
    whole = OPTIMIZERS[name]().minimize(f, start, steps=9)
    first, second = OPTIMIZERS[name](), OPTIMIZERS[name]()
    half = first.minimize(f, start, steps=4)
    second.load_state_dict(first.state_dict())
    rest = second.minimize(f, half.theta[-1], steps=5, resume=True)
    assert np.array_equal(np.concatenate((half.theta[:-1], rest.theta)), whole.theta)
    if OPTIMIZERS[name]().initial_numbers() or OPTIMIZERS[name]().initial_state(2):
        forgot = OPTIMIZERS[name]().minimize(f, half.theta[-1], steps=5)
        assert not np.array_equal(forgot.theta, rest.theta)
    assert all(value.dtype == np.float64 for value in first.state.values())


@pytest.mark.parametrize("name", sorted(set(OPTIMIZERS) - {"scipy_minimize"}))
def test_steps_by_hand_are_those_of_minimize(name: str) -> None:
    f, start = (Rosenbrock(), [-1.2, 1.0]) if name != "damped_newton" else (Bowl(4), np.ones(4))
    walk = OPTIMIZERS[name]().minimize(f, start, steps=4)
    theta, optimizer = np.array(start), OPTIMIZERS[name]()
    for t in range(4):
        row = optimizer.step(theta, f)
        assert np.array_equal(theta, walk.theta[t + 1])
        assert row["loss"] == walk.loss[t + 1]
    assert optimizer.step_count == 4


def test_state_must_fit() -> None:
    optimizer, other = BFGS(), BFGS()
    optimizer.minimize(Rosenbrock(), [0.0, 0.0], steps=3)
    state = optimizer.state_dict()
    assert set(state) == {"step_count", "parameters", "pairs", "inverse"}
    with pytest.raises(ValueError, match=r"missing \['inverse'\]"):
        other.load_state_dict({name: value for name, value in state.items() if name != "inverse"})
    with pytest.raises(ValueError, match=r"state inverse must have shape \(2, 2\) and float64, got \(3, 2\)"):
        other.load_state_dict(state | {"inverse": np.ones((3, 2))})
    with pytest.raises(ValueError, match="state inverse must hold finite numbers"):
        other.load_state_dict(state | {"inverse": np.full((2, 2), np.nan)})
    other.init_state(3, "float64")
    with pytest.raises(ValueError, match="must have 3 parameters, got 2"):
        other.load_state_dict(state)


def test_history_and_stopping() -> None:
    f = Rosenbrock()
    optimizer = BFGS(tol=1e-3)
    walk = optimizer.minimize(f, f.start, steps=60)
    h = walk.history
    done = len(h)
    assert h.columns == ["loss", "gradient_norm", "step_length", "step_size", "evaluations", "seconds"]
    assert np.array_equal(h["loss"], walk.loss[1 : done + 1])
    assert h["gradient_norm"] == pytest.approx(np.linalg.norm(f.gradient(walk.theta[1 : done + 1]), axis=1))
    assert h["step_length"] == pytest.approx(np.linalg.norm(np.diff(walk.theta[: done + 1], axis=0), axis=1))
    assert (h["evaluations"] >= 1).all()
    assert (h["seconds"] > 0).all()
    assert h["gradient_norm"][-1] <= 1e-3 < h["gradient_norm"][-2]
    assert (walk.theta[done:] == walk.theta[-1]).all()
    assert "at most tol = 0.001" in optimizer.stopped


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_single_precision_points(name: str) -> None:
    """float32 is kept: every point is in float32, and the values are those at exactly these points."""
    f = Rosenbrock()
    walk = OPTIMIZERS[name](**({"damping": 300.0} if name == "damped_newton" else {})).minimize(
        f, np.array([-1.2, 1.0], np.float32), steps=30
    )
    assert walk.theta.dtype == np.float32
    assert walk.loss.tolist() == [f.value(point) for point in walk.theta.astype(np.float64)]
    assert walk.loss[-1] < walk.loss[0]


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_names(name: str) -> None:
    optimizer = nn.Trainer(nn.Sequential([nn.Dense(1)], input_shape=1), "squared_error", name).optimizer
    assert type(optimizer) is OPTIMIZERS[name]
    assert isinstance(optimizer, FullBatchOptimizer)
    assert optimizer.full_batch_only
    assert name not in optimizers.OPTIMIZERS


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_nothing_of_gradient_steps_is_inherited(name: str) -> None:
    """What takes a gradient or belongs to such steps does not exist, so that nothing has to be refused."""
    optimizer = OPTIMIZERS[name]()
    assert isinstance(optimizer, nn.Optimizer)
    assert not isinstance(optimizer, nn.GradientOptimizer)
    for attribute in ("begin", "finish", "ops", "coefficients", "slots", "kernel", "lookahead"):
        assert not hasattr(optimizer, attribute)
    with pytest.raises(TypeError, match=f"f must be an object with value_and_gradient, as {type(optimizer).__name__} needs"):
        optimizer.step(np.zeros(2), np.ones(2))


def test_unknown_name() -> None:
    with pytest.raises(ValueError, match=r"one of sgd.*lbfgs.*got 'quasi'"):
        nn.second_order.get("quasi")


def test_bad_input() -> None:
    with pytest.raises(TypeError, match="f must have hessian"):
        Newton().minimize(Rosenbrock().value_and_gradient, [0.0, 0.0], 1)
    with pytest.raises(TypeError, match="f must have residuals_and_jacobian"):
        LevenbergMarquardt().minimize(Saddle(), [0.0, 1.0], 1)
    with pytest.raises(TypeError, match="f must be a callable"):
        BFGS().minimize(3, [0.0, 0.0], 1)
    with pytest.raises(TypeError, match=r"f must be an object.*got an array"):
        BFGS().step(np.zeros(2), np.ones(2))
    with pytest.raises(TypeError, match="BFGS takes no steps along gradients alone: use minimize"):
        record(BFGS(), Rosenbrock(), [0.0, 0.0], 3)
    optimizer = BFGS()
    optimizer.step(np.zeros(2), Rosenbrock())
    with pytest.raises(ValueError, match=r"theta must have 2 numbers as the optimizer's state, got 3"):
        optimizer.step(np.zeros(3), Rosenbrock())
    with pytest.raises(ValueError, match=r"f, second its gradient, must return an array .* shape \(2,\), got shape \(3,\)"):
        BFGS().minimize(lambda x: (0.0, np.zeros(3)), [0.0, 0.0], 1)
    with pytest.raises(DivergenceError, match="not finite at the start"):
        BFGS().minimize(lambda x: (np.nan, np.zeros(2)), [0.0, 0.0], 1)
    with pytest.raises(ValueError, match=r"at most 20,000 parameters, got 50,000, for which it would take 20 GB. Take LBFGS"):
        BFGS().init_state(50_000, "float64")
    with pytest.raises(ValueError, match=r"Hessian must have .* got 30,000, for which it would take 7 GB.*LBFGS"):
        Newton().minimize(lambda x: (float(x @ x), 2 * x), np.ones(30_000), 1)
    for wrong in ({"tol": -1.0}, {"tol": "small"}):
        with pytest.raises((ValueError, TypeError), match="tol"):
            Newton(**wrong)
    with pytest.raises(ValueError, match="beta must be one of 'fletcher_reeves'"):
        NonlinearCG("dai_yuan")


def test_a_step_outside_the_domain() -> None:
    """log x from 3: Newton's step leads to negative x, where log x is undefined. The trajectory so far is kept."""

    class Log:
        def value_and_gradient(self, x: Array) -> tuple[float, Array]:
            return float(x[0] - np.log(x[0])), 1 - 1 / x

        def hessian(self, x: Array) -> Array:
            return 1 / x[:, None] ** 2

    with pytest.raises(DivergenceError, match=r"not finite after a step of length 6.*AdaptiveDampedNewton") as raised:
        Newton().minimize(Log(), [3.0], steps=5)
    assert raised.value.path.theta.tolist() == [[3]]
    for name in ("adaptive_damped_newton", "modified_newton", "truncated_newton", "bfgs", "nonlinear_cg"):
        assert OPTIMIZERS[name]().minimize(Log(), [3.0], steps=50).theta[-1][0] == pytest.approx(1, abs=1e-8)


def test_landscapes_are_all_covered() -> None:
    """Each landscape goes through an adaptive method without an error."""
    for name, landscape in LANDSCAPES.items():
        walk = AdaptiveDampedNewton().minimize(landscape(), landscape().start, steps=40)
        assert np.isfinite(walk.loss).all(), name


@pytest.mark.parametrize("cls", OPTIMIZERS.values(), ids=lambda cls: cls.__name__)
def test_docstring_has_recurrence_source_and_defaults(cls: type) -> None:
    doc = inspect.getdoc(cls) or ""
    assert "θ ←" in doc
    assert re.search(r"\b(18|19|20)\d\d\b", doc.partition("\n")[0]), "the summary names the source"
    names = [name for name, parameter in inspect.signature(cls).parameters.items()]
    for name in names:
        assert re.search(rf"^\s*(\w+, )*{name}\b", doc.partition("Parameters\n")[2], re.MULTILINE), f"{name} is not explained"


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_resume_without_a_state_begins_with_one(name: str) -> None:
    f = Beale()
    fresh, resumed = OPTIMIZERS[name](), OPTIMIZERS[name]()
    walk = fresh.minimize(f, [3.1, 0.6], steps=3)
    assert np.array_equal(resumed.minimize(f, [3.1, 0.6], steps=3, resume=True).theta, walk.theta)
    with pytest.raises(ValueError, match=r"theta must have 2 numbers as the optimizer's state, got 3"):
        resumed.minimize(lambda x: (x @ x, 2 * x), [1.0, 1.0, 1.0], steps=3, resume=True)


@pytest.mark.parametrize("make", [BFGS, LBFGS, NonlinearCG])
def test_a_loss_far_from_the_scale_of_its_parameters(make: Any) -> None:
    X = np.random.default_rng(0).normal(size=(100, 3)) * 1e7  # raw data, and so weights of about 1e-7
    model = nn.Sequential([nn.Dense(1, bias=False, weight_init="zeros")], 3, dtype="float64")
    trainer = nn.Trainer(model, "squared_error", make())
    trainer.fit(X, X @ [1e-7, 2e-7, -1e-7], epochs=30, verbose=0)
    assert np.allclose(model["dense_1"].weight, [[1e-7, 2e-7, -1e-7]], rtol=1e-6, atol=0)
