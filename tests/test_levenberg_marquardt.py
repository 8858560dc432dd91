"""Levenberg-Marquardt on curves whose parameters differ by orders of magnitude: NIST's problems, and SciPy's MINPACK.

The data, starts and certified values are those of the Statistical Reference Datasets of the National Institute of Standards and
Technology, https://www.itl.nist.gov/div898/strd/nls/nls_main.shtml, in the public domain.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
    """f = ½‖model(θ) − y‖², with the Jacobian of the model, and what NIST certifies of its minimum."""

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
