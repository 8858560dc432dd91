"""Levenberg-Marquardt on curves whose parameters differ by orders of magnitude: NIST's problems, and SciPy's MINPACK.

The data, starts and certified values are those of the Statistical Reference Datasets of the National Institute of Standards and
Technology, https://www.itl.nist.gov/div898/strd/nls/nls_main.shtml, in the public domain.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import scipy.optimize
from numpy.typing import NDArray

import nncore as nn
from nncore.second_order import LevenbergMarquardt

Array = NDArray[np.float64]
HERE = Path(__file__).parent / "nist"


@dataclass(frozen=True)
class Curve:
    """f = ½‖model(θ) − y‖², with the Jacobian of the model, and the certified values of its minimum."""

    file: str
    model: Callable[[Array, Array], tuple[Array, list[Array]]]  # values and the columns of the Jacobian
    starts: tuple[list[float], list[float]]
    theta: list[float]
    squares: float
    logarithm: bool = False

    def residuals_and_jacobian(self, theta: Array) -> tuple[Array, Array]:
        table = np.genfromtxt(HERE / self.file, delimiter=",", skip_header=1)
        y = np.log(table[:, 0]) if self.logarithm else table[:, 0]
        values, columns = self.model(theta, table[:, 1:].T)
        return values - y, np.column_stack(columns)

    def value_and_gradient(self, theta: Array) -> tuple[float, Array]:
        r, J = self.residuals_and_jacobian(theta)
        return float(r @ r) / 2, J.T @ r


def hahn1(b: Array, x: Array) -> tuple[Array, list[Array]]:
    (x,) = x
    powers = [np.ones_like(x), x, x**2, x**3]
    above = sum(b[i] * powers[i] for i in range(4))
    below = 1 + sum(b[3 + i] * powers[i] for i in range(1, 4))
    return above / below, [*(p / below for p in powers), *(-above / below**2 * p for p in powers[1:])]


def mgh10(b: Array, x: Array) -> tuple[Array, list[Array]]:
    (x,) = x
    e = np.exp(b[1] / (x + b[2]))
    return b[0] * e, [e, b[0] * e / (x + b[2]), -b[0] * b[1] * e / (x + b[2]) ** 2]


def nelson(b: Array, x: Array) -> tuple[Array, list[Array]]:
    e = np.exp(-b[2] * x[1])
    return b[0] - b[1] * x[0] * e, [np.ones_like(e), -x[0] * e, b[1] * x[0] * x[1] * e]


CURVES = {
    "Hahn1": Curve(
        "hahn1.csv", hahn1,
        ([10, -1, 0.05, -0.00001, -0.05, 0.001, -0.000001], [1, -0.1, 0.005, -0.000001, -0.005, 0.0001, -0.0000001]),
        [1.0776351733e00, -1.2269296921e-01, 4.0863750610e-03, -1.4262662514e-06, -5.7609940901e-03, 2.4053735503e-04,
         -1.2314450199e-07],
        1.5324382854e00,
    ),
    "MGH10": Curve(
        "mgh10.csv", mgh10, ([2, 400000, 25000], [0.02, 4000, 250]),
        [5.6096364710e-03, 6.1813463463e03, 3.4522363462e02], 8.7945855171e01,
    ),
    "Nelson": Curve(
        "nelson.csv", nelson, ([2, 0.0001, -0.01], [2.5, 0.000000005, -0.05]),
        [2.5906836021e00, 5.6177717026e-09, -5.7701013174e-02], 3.7976833176e00, logarithm=True,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CURVES)
def test_the_data_are_nists(name: str) -> None:
    """The certified parameters have the certified sum of squares, and the Jacobian is that of the residuals."""
    curve, theta = CURVES[name], np.array(CURVES[name].theta)
    residuals, jacobian = curve.residuals_and_jacobian(theta)
    assert np.square(residuals).sum() == pytest.approx(curve.squares, rel=1e-9)
    for j, column in enumerate(jacobian.T):
        h = np.zeros_like(theta)
        h[j] = 1e-6 * abs(theta[j])
        change = curve.residuals_and_jacobian(theta + h)[0] - curve.residuals_and_jacobian(theta - h)[0]
        np.testing.assert_allclose(change / (2 * h[j]), column, rtol=1e-4, atol=1e-6 * np.abs(column).max())


# Not MGH10 from its farther start: the matrix JᵀJ has the square of J's condition number, too much for float64
@pytest.mark.parametrize(("name", "start"), [("Hahn1", 0), ("Hahn1", 1), ("MGH10", 1), ("Nelson", 0), ("Nelson", 1)])
def test_certified_values(name: str, start: int) -> None:
    curve = CURVES[name]
    walk = LevenbergMarquardt(scaling="marquardt", tol=0.0).minimize(curve, curve.starts[start], steps=200)
    np.testing.assert_allclose(walk.theta[-1], curve.theta, rtol=1e-8)
    assert 2 * walk.loss[-1] == pytest.approx(curve.squares, rel=1e-9)


@pytest.mark.parametrize(("name", "start"), [("Hahn1", 0), ("Hahn1", 1), ("Nelson", 0)])
def test_without_scaling_they_are_not_found(name: str, start: int) -> None:
    curve = CURVES[name]
    theta = LevenbergMarquardt(tol=0.0).minimize(curve, curve.starts[start], steps=200).theta[-1]
    assert not np.allclose(theta, curve.theta, rtol=1e-3)


@pytest.mark.parametrize("name", CURVES)
def test_agrees_with_minpack(name: str) -> None:
    curve = CURVES[name]
    theirs = scipy.optimize.least_squares(
        lambda theta: curve.residuals_and_jacobian(theta)[0], curve.starts[1], method="lm", x_scale="jac",
        jac=lambda theta: curve.residuals_and_jacobian(theta)[1], xtol=1e-14, ftol=1e-14, gtol=1e-14, max_nfev=2000,
    )  # fmt: skip
    ours = LevenbergMarquardt(scaling="marquardt", tol=0.0).minimize(curve, curve.starts[1], steps=200).theta[-1]
    np.testing.assert_allclose(ours, theirs.x, rtol=1e-6)


def test_scaling_does_not_depend_on_units() -> None:
    """With other units, powers of two, every step is the same to the last bit."""

    class Converted:
        units = np.array([2.0**-40, 2.0**30, 8.0])

        def residuals_and_jacobian(self, theta: Array) -> tuple[Array, Array]:
            residuals, jacobian = CURVES["Nelson"].residuals_and_jacobian(theta * self.units)
            return residuals, jacobian * self.units

        def value_and_gradient(self, theta: Array) -> tuple[float, Array]:
            value, gradient = CURVES["Nelson"].value_and_gradient(theta * self.units)
            return value, gradient * self.units

    start = np.array(CURVES["Nelson"].starts[0])
    plain = LevenbergMarquardt(scaling="marquardt").minimize(CURVES["Nelson"], start, steps=15).theta
    converted = LevenbergMarquardt(scaling="marquardt").minimize(Converted(), start / Converted.units, steps=15).theta
    np.testing.assert_allclose(converted * Converted.units, plain, rtol=1e-12)


def test_scale_is_the_largest_norm_so_far_and_part_of_the_state() -> None:
    curve, optimizer = CURVES["Nelson"], LevenbergMarquardt(scaling="marquardt")
    theta = np.array(curve.starts[0])
    largest = np.zeros(3)
    for _ in range(5):
        largest = np.maximum(largest, np.sqrt(np.square(curve.residuals_and_jacobian(theta)[1]).sum(axis=0)))
        optimizer.step(theta, curve)
        np.testing.assert_allclose(optimizer.state["scale"], largest, rtol=1e-12)
    other = LevenbergMarquardt(scaling="marquardt")
    other.load_state_dict(optimizer.state_dict())
    here, there = theta.copy(), theta.copy()
    optimizer.step(here, curve)
    other.step(there, curve)
    assert here.tobytes() == there.tobytes()


def test_scaling_may_be_assigned_and_must_be_known() -> None:
    curve, optimizer = CURVES["Nelson"], LevenbergMarquardt()
    optimizer.scaling = "marquardt"
    given = LevenbergMarquardt(scaling="marquardt")
    start = curve.starts[0]
    assert optimizer.minimize(curve, start, 9).theta.tobytes() == given.minimize(curve, start, 9).theta.tobytes()
    with pytest.raises(ValueError, match="scaling must be 'identity' or 'marquardt', got 'jac'"):
        LevenbergMarquardt(scaling="jac")


def test_a_parameter_without_effect_has_scale_one() -> None:
    model = nn.Sequential([nn.Dense(3), nn.Tanh(), nn.Dense(1)], input_shape=2, dtype="float64", seed=0)
    X = np.random.default_rng(0).normal(size=(30, 2)) * [1.0, 0.0]
    before = model["dense_1"].weight[:, 1].copy()
    trainer = nn.Trainer(model, "squared_error", LevenbergMarquardt(scaling="marquardt"))
    history = trainer.fit(X, np.sin(X[:, 0]), epochs=30, verbose=0)
    assert history["loss"][-1] < 1e-4 * history["loss"][0]
    assert np.array_equal(model["dense_1"].weight[:, 1], before)
