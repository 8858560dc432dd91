"""Why full-batch optimizers stop: precision at minima of smooth functions, kinks, non-finite values."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import nncore as nn
from nncore.errors import DivergenceError
from nncore.landscapes import Beale, Himmelblau, Rosenbrock
from nncore.second_order import OPTIMIZERS, LevenbergMarquardt, ScipyMinimize, TruncatedNewton

Array = NDArray[np.float64]

SEARCHING = (
    "adaptive_damped_newton", "levenberg_marquardt", "modified_newton", "nonlinear_cg", "bfgs", "lbfgs", "truncated_newton",
)  # fmt: skip
EACH = pytest.mark.parametrize("name", SEARCHING)


class Roof:
    """½(x − 3)² + ½(y − 2)² + 4|x − 2y|, with its curvature away from the kink; its minimum (3.2, 1.6) is on it."""

    def value_and_gradient(self, theta: Array) -> tuple[float, Array]:
        x, y = theta
        side = np.sign(x - 2 * y)
        value = 0.5 * (x - 3) ** 2 + 0.5 * (y - 2) ** 2 + 4 * abs(x - 2 * y)
        return value, np.array([x - 3 + 4 * side, y - 2 - 8 * side])

    def hessian(self, theta: Array) -> Array:
        return np.eye(2)

    gauss_newton = hessian


class Raised:
    """The function plus 7.3: its value at the minimum is not exact."""

    def __init__(self, f: Any) -> None:
        self.f, self.start = f, f.start
        self.hessian, self.residuals_and_jacobian = f.hessian, f.residuals_and_jacobian

    def __repr__(self) -> str:  # part of the test names
        return f"Raised({self.f!r})"

    def value_and_gradient(self, theta: Array) -> tuple[float, Array]:
        value, gradient = self.f.value_and_gradient(theta)
        return value + 7.3, gradient


@EACH
@pytest.mark.parametrize("start", [(5.0, -1.0), (-2.0, 3.0), (0.3, 0.9)])
def test_kink(name: str, start: tuple[float, float]) -> None:
    optimizer = OPTIMIZERS[name](tol=0.0)
    walk = optimizer.minimize(Roof(), start, steps=300)
    assert "kink" in optimizer.stopped
    x, y = walk.theta[-1]
    assert abs(x - 2 * y) < 1e-6


@EACH
@pytest.mark.parametrize("f", [Rosenbrock(), Beale(), Himmelblau(), Raised(Rosenbrock()), Raised(Himmelblau())], ids=repr)
def test_no_kink_in_smooth_functions(name: str, f: Any) -> None:
    optimizer = OPTIMIZERS[name](tol=0.0)
    optimizer.minimize(f, f.start, steps=500)
    assert "kink" not in optimizer.stopped
    assert optimizer.stopped or name == "levenberg_marquardt"  # which converges slowly where the residuals are not small


def test_levenberg_marquardt_on_a_relu_network() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 2))
    model = nn.Sequential(
        [nn.Dense(32), nn.ReLU(), nn.Dense(16), nn.ReLU(), nn.Dense(1)], input_shape=2, dtype="float64", seed=0
    )  # fmt: skip
    trainer = nn.Trainer(model, "squared_error", LevenbergMarquardt())
    trainer.fit(X, np.sin(X[:, 0]) + X[:, 1] ** 2, epochs=300, verbose=0)
    assert "kink" in trainer.optimizer.stopped


def test_lbfgs_and_bfgs_stop_at_a_minimum_of_zero() -> None:
    """Where the square of sᵀy underflows to 0."""
    from nncore.landscapes import Quadratic

    for name in ("bfgs", "lbfgs"):
        optimizer = OPTIMIZERS[name](tol=0.0)
        walk = optimizer.minimize(Quadratic(condition=1e6, rotation=0.3), [1.0, 1.0], steps=500)
        assert walk.loss[-1] < 1e-100


class Bent(Roof):
    """Its Hessian has no finite product."""

    def hessian_product(self, theta: Array, v: Array) -> Array:
        return np.full(2, np.nan)


def test_a_non_finite_product_is_an_error() -> None:
    optimizer = TruncatedNewton()
    with pytest.raises(DivergenceError, match="product of the Hessian is not finite"):
        optimizer.minimize(Bent(), [5.0, -1.0], steps=3)
    assert np.isfinite(optimizer.numbers["radius"])


def test_scipy_does_not_return_non_finite_points(monkeypatch: pytest.MonkeyPatch) -> None:
    import scipy.optimize

    def astray(fun: Any, x0: Array, **given: Any) -> scipy.optimize.OptimizeResult:
        given["callback"](np.full_like(x0, np.nan))
        return scipy.optimize.OptimizeResult(x=x0, message="")

    monkeypatch.setattr(scipy.optimize, "minimize", astray)
    model = nn.Sequential([nn.Dense(1)], input_shape=1, seed=0)
    before = model.parameters.copy()
    with pytest.raises(DivergenceError, match="L-BFGS-B reached a point where the loss or the gradient is not finite"):
        nn.Trainer(model, "squared_error", ScipyMinimize()).fit(np.eye(1), np.ones(1), verbose=0)
    assert np.array_equal(model.parameters, before)
