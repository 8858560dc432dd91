"""The theory of momentum against linear algebra and against runs of the real optimizer."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

import nncore as nn
from nncore.landscapes import momentum_plots
from nncore.landscapes.functions import Quadratic
from nncore.landscapes.momentum import (
    REGIMES,
    convergence_rate,
    iteration_eigenvalues,
    iteration_matrix,
    measured_rate,
    optimal,
    predicted_rate,
    regime,
)  # fmt: skip

MUS = (0.0, 0.01, 0.25, 0.5, 0.81, 0.95)
GRID = [(a, mu) for mu in MUS for a in (0.003, 0.02, 0.2, 0.7, 1.0, 1.3, 1.9, 2.1, 2.45, 3.2, 3.8, 4.5)]


def test_iteration_matrix_is_a_step_of_the_optimizer() -> None:
    f, (lr, mu) = Quadratic([3.0]), (0.2, 0.7)
    optimizer = nn.Momentum(lr=lr, momentum=mu)
    optimizer.init_state(1, "float64")
    optimizer.state["v"][0] = -0.4
    x = np.array([1.3])
    optimizer.step(x, f.gradient(x))
    np.testing.assert_allclose(iteration_matrix(lr * 3.0, mu) @ [-0.4, 1.3], [optimizer.state["v"][0], x[0]], rtol=1e-15)


@pytest.mark.parametrize(("a", "mu"), GRID)
def test_eigenvalues_are_those_of_the_matrix(a: float, mu: float) -> None:
    matrix, sigma = iteration_matrix(a, mu), iteration_eigenvalues(a, mu)
    np.testing.assert_allclose(sigma.sum(), np.trace(matrix), rtol=1e-13, atol=1e-15)
    np.testing.assert_allclose(sigma.prod(), mu, rtol=1e-13, atol=1e-15)
    np.testing.assert_allclose(np.sort(abs(sigma)), np.sort(abs(np.linalg.eigvals(matrix))), rtol=1e-6)
    assert abs(sigma[0]) >= abs(sigma[1]) * (1 - 1e-14)
    assert convergence_rate(a, mu) == pytest.approx(abs(sigma[0]), rel=1e-14)


@pytest.mark.parametrize(("a", "mu"), GRID)
def test_regime_is_what_the_eigenvalues_say(a: float, mu: float) -> None:
    sigma = np.linalg.eigvals(iteration_matrix(a, mu))
    largest = sigma[np.argmax(abs(sigma))]
    if abs(largest) < 1e-12:
        expected = "one step"
    elif abs(largest) >= 1:
        expected = "divergence"
    elif abs(largest.imag) > 1e-6:
        expected = "ripples"
    else:
        expected = "monotone" if largest.real > 0 else "oscillation"
    assert regime(a, mu) == expected


def test_grid_has_every_regime() -> None:
    assert {regime(a, mu) for a, mu in GRID} == set(REGIMES)


@pytest.mark.parametrize("mu", MUS)
def test_borders(mu: float) -> None:
    low, high, end = (1 - math.sqrt(mu)) ** 2, (1 + math.sqrt(mu)) ** 2, 2 * (1 + mu)
    assert regime(low * (1 - 1e-9), mu) == "monotone"
    assert regime(end * (1 - 1e-9), mu) == "oscillation"
    assert regime(end, mu) == regime(0.0, mu) == regime(-1.0, mu) == regime(1.0, 1.0) == "divergence"
    if mu:
        assert regime(low * (1 + 1e-9), mu) == regime(high * (1 - 1e-9), mu) == "ripples"
    assert convergence_rate(end, mu) == pytest.approx(1, rel=1e-12)
    assert convergence_rate(0.0, mu) == pytest.approx(1, rel=1e-12)
    with pytest.raises(ValueError, match="mu"):
        regime(1.0, -0.1)


# ---- measured


def same_rate(measured: float, predicted: float, tolerance: float) -> None:
    """Within 1 % of the rate; and of its logarithm, which counts steps, within `tolerance`."""
    assert measured == pytest.approx(predicted, rel=0.01)
    assert math.log(measured) == pytest.approx(math.log(predicted), rel=tolerance, abs=1e-9)


@pytest.mark.parametrize(("a", "mu"), GRID)
def test_measured_rate_is_the_predicted_one(a: float, mu: float) -> None:
    for eigenvalue in (1.0, 7.3):
        measured = measured_rate([eigenvalue], a / eigenvalue, mu, steps=1200)
        if regime(a, mu) == "one step":
            assert measured == 0
        else:
            same_rate(measured, convergence_rate(a, mu), 0.01)


@pytest.mark.parametrize("mu", [0.01, 0.25, 0.81])
@pytest.mark.parametrize("sign", [-1, 1])
def test_double_eigenvalue(mu: float, sign: int) -> None:
    """On the border the error is t rᵗ: 1.4/t too slow after t steps."""
    lr = (1 + sign * math.sqrt(mu)) ** 2
    measured = [math.log(measured_rate([1.0], lr, mu, steps=steps) / math.sqrt(mu)) for steps in (1000, 4000)]
    assert 0 < measured[1] < 1.6 / 4000
    assert measured[0] == pytest.approx(1.38 / 1000, rel=0.1)
    same_rate(measured_rate([1.0], lr, mu), math.sqrt(mu), 0.01)


@pytest.mark.parametrize("kappa", [1.5, 9.0, 100.0, 1000.0])
@pytest.mark.parametrize("with_momentum", [True, False])
def test_optimum_is_measured(kappa: float, with_momentum: bool) -> None:
    eigenvalues = 0.3 * np.geomspace(1, kappa, 6)
    best = optimal(eigenvalues[0], eigenvalues[-1], with_momentum)
    root = math.sqrt(kappa) if with_momentum else kappa
    assert best.rate == pytest.approx((root - 1) / (root + 1), rel=1e-12)
    assert predicted_rate(eigenvalues, best.lr, best.momentum) == pytest.approx(best.rate, rel=1e-6)
    same_rate(measured_rate(eigenvalues, best.lr, best.momentum), best.rate, 0.01)


@pytest.mark.parametrize("with_momentum", [True, False])
def test_optimum_is_the_best(with_momentum: bool) -> None:
    eigenvalues = np.geomspace(0.5, 40.0, 30)
    best = optimal(0.5, 40.0, with_momentum)
    for lr in best.lr * np.array([0.5, 0.9, 0.99, 1.01, 1.1, 1.5]):
        for change in (-0.1, -0.01, 0.0, 0.01, 0.1) if with_momentum else (0.0,):
            assert predicted_rate(eigenvalues, lr, best.momentum + change) > best.rate


def test_rotation_changes_nothing(rng: np.random.Generator) -> None:
    eigenvalues, q = [1.0, 3.0, 20.0], np.linalg.qr(rng.normal(size=(3, 3)))[0]
    best = optimal(1.0, 20.0)
    path = nn.Momentum(lr=best.lr, momentum=best.momentum).minimize(Quadratic(eigenvalues, rotation=q), q @ np.ones(3), 60)
    straight = nn.Momentum(lr=best.lr, momentum=best.momentum).minimize(Quadratic(eigenvalues), np.ones(3), 60)
    np.testing.assert_allclose(path.loss, straight.loss, rtol=1e-9, atol=1e-25)


def test_refuses() -> None:
    with pytest.raises(ValueError, match="lambda_min"):
        optimal(0.0, 1.0)
    with pytest.raises(ValueError, match="lambda_max"):
        optimal(2.0, 1.0)
    for point, name in (((np.nan, 0.5), "eta_lambda"), ((0.5, np.nan), "mu")):
        with pytest.raises(ValueError, match=f"{name} must be a finite number"):
            regime(*point)
    with pytest.raises(ValueError, match="eigenvalues"):
        measured_rate([1.0, -1.0], 0.1, 0.5)


# ---- plots


@pytest.mark.parametrize("plot", [momentum_plots.plot_regimes, momentum_plots.plot_rates], ids=lambda plot: plot.__name__)
def test_picture(plot, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib").use("Agg")
    figure = plot(tmp_path / "picture.png")
    assert (tmp_path / "picture.png").stat().st_size > 20_000
    text = " ".join(t.get_text() for ax in figure.axes for t in (*ax.texts, ax.title, *getattr(ax.get_legend(), "texts", ())))
    if plot is momentum_plots.plot_regimes:
        assert all(name in text for name in REGIMES)
