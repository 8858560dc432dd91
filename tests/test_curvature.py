"""The curvature report against dense linear algebra, and the monitor against the actual losses."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.sparse.linalg import aslinearoperator

import nncore as nn
from nncore.model.curvature.spectrum import extremes, lanczos_quadrature
from nncore.second_order import ConditioningMonitor, Curvature, HessianOperator, curvature

Array = NDArray[Any]


def with_eigenvalues(values: Array, rng: np.random.Generator) -> Array:
    Q, _ = np.linalg.qr(rng.standard_normal((len(values), len(values))))
    return (Q * values) @ Q.T


SPECTRA = {
    "definite": np.linspace(1, 50, 120),
    "negative": np.linspace(-50, -1, 120),
    "singular": np.concatenate([np.zeros(60), np.linspace(1, 9, 60)]),
    "negative singular": np.concatenate([np.zeros(60), np.linspace(-9, -1, 60)]),
    "indefinite": np.concatenate([np.linspace(-3, 3, 118), [-7.0, 20.0]]),
    "indefinite, negative larger": np.concatenate([np.linspace(-3, 3, 118), [7.0, -20.0]]),
}


@pytest.mark.parametrize("name", SPECTRA)
def test_extremes(name: str, rng: np.random.Generator) -> None:
    values = np.sort(SPECTRA[name])
    A = with_eigenvalues(values, rng)
    smallest, largest, direction = extremes(aslinearoperator(A), k=3, tol=1e-6, seed=0)
    width = values[-1] - values[0]
    if name == "singular":  # of a degenerate eigenvalue, Lanczos finds one eigenvector per start
        smallest, values = smallest[:1], np.sort(np.append(values[:1], values[60:]))
    if name == "negative singular":
        largest, values = largest[-1:], np.sort(np.append(values[-1:], values[:60]))
    np.testing.assert_allclose(smallest, values[: len(smallest)], atol=1e-8 * width)
    np.testing.assert_allclose(largest, values[-len(largest) :], atol=1e-8 * width)
    assert np.linalg.norm(A @ direction - values[-1] * direction) < 1e-4 * width
    assert np.linalg.norm(direction) == pytest.approx(1)


def test_quadrature_is_exact_on_a_diagonal_matrix(rng: np.random.Generator) -> None:
    """vᵀ f(A) v = Σ f(a_i) for every v of signs: with all steps, nothing is random."""
    values = rng.uniform(-2, 2, 30)
    nodes, weights, traces = lanczos_quadrature(aslinearoperator(np.diag(values)), probes=3, steps=30, seed=5)
    np.testing.assert_allclose(traces, values.sum(), rtol=1e-12)
    assert weights.sum() == pytest.approx(1, rel=1e-12)
    for f in (np.exp, np.square, lambda x: x**5):
        assert weights @ f(nodes) == pytest.approx(f(values).mean(), rel=1e-10)
    few, share, _ = lanczos_quadrature(aslinearoperator(np.diag(values)), probes=1, steps=4, seed=5)
    for power in range(8):  # Gauss quadrature with m nodes is exact to degree 2m − 1
        assert share @ few**power == pytest.approx((values**power).mean(), rel=1e-10)
    assert abs(share @ few**8 - (values**8).mean()) > 1e-6 * (values**8).mean()


def test_quadrature_stops_in_an_invariant_subspace() -> None:
    nodes, weights, traces = lanczos_quadrature(aslinearoperator(np.diag([2.0] * 5 + [3.0] * 5)), probes=2, steps=10, seed=0)
    np.testing.assert_allclose(np.sort(nodes), [2, 2, 3, 3])
    np.testing.assert_allclose(weights, 0.25)
    np.testing.assert_allclose(traces, 25)


def test_hutchinson_estimates_the_trace(rng: np.random.Generator) -> None:
    A = with_eigenvalues(SPECTRA["indefinite"], rng)
    _, _, traces = lanczos_quadrature(aslinearoperator(A), probes=400, steps=1, seed=1)
    error = traces.std(ddof=1) / 20
    off_diagonal = A - np.diag(np.diag(A))
    assert error == pytest.approx(np.sqrt(2) * np.linalg.norm(off_diagonal) / 20, rel=0.2)  # its known variance
    assert abs(traces.mean() - np.trace(A)) < 3 * error


def problem(dtype: str = "float64") -> tuple[nn.Sequential, Array, Array]:
    rng = np.random.default_rng(4)
    model = nn.Sequential([nn.Dense(12), nn.Tanh(), nn.Dense(10), nn.Tanh(), nn.Dense(3)], 6, dtype=dtype, seed=1)
    return model, rng.standard_normal((80, 6)), rng.integers(0, 3, 80)


def test_exact_report(rng: np.random.Generator) -> None:
    model, X, y = problem()
    report = curvature(model, X, y, "softmax_cross_entropy", regularizer=nn.L2(0.01), radius=0.1)
    H = model.hessian(X, y, "softmax_cross_entropy", regularizer=nn.L2(0.01))
    values = np.linalg.eigvalsh(H)
    assert report.exact
    assert report.n == len(values)
    np.testing.assert_allclose(report.smallest, values, atol=1e-12)
    assert report.sharpness == pytest.approx(values[-1])
    assert report.most_negative == pytest.approx(values[0])
    assert report.trace == pytest.approx(np.trace(H))
    assert report.trace_error == 0
    assert report.negative_directions == (values < -1e-3 * values[-1]).sum() > 0
    np.testing.assert_allclose(H @ report.direction, values[-1] * report.direction, atol=1e-10)

    def loss(theta: Array) -> float:
        other = model.copy()
        other.parameters[...] = theta
        return other.loss_and_gradient(X, y, "softmax_cross_entropy")[0] + nn.L2(0.01).value(other)

    sides = [loss(model.parameters + sign * 0.1 * report.direction) for sign in (-1, 1)]
    assert report.loss == pytest.approx(loss(model.parameters), rel=1e-12)
    assert report.rise == pytest.approx(max(sides) - report.loss, rel=1e-9)
    at = np.linspace(values[0] - 1, values[-1] + 1, 20001)
    assert np.trapezoid(report.density(at, 0.01), at) == pytest.approx(1, rel=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("gauss_newton", [False, True])
def test_estimates_agree_with_the_exact_report(gauss_newton: bool, dtype: str) -> None:
    model, X, y = problem(dtype)
    how: dict[str, Any] = {"gauss_newton": gauss_newton}
    exact = curvature(model, X, y, "softmax_cross_entropy", **how)
    estimate = curvature(model, X, y, "softmax_cross_entropy", exact_up_to=0, probes=40, **how)
    assert not estimate.exact
    width = exact.largest[-1] - exact.smallest[0]
    tolerance = 1e-5 if dtype == "float32" else 2e-7
    assert estimate.smallest[0] == pytest.approx(exact.smallest[0], abs=tolerance * width)
    np.testing.assert_allclose(estimate.smallest, exact.smallest[:3], atol=1e-4 * width)  # the next may be 0 again
    np.testing.assert_allclose(estimate.largest, exact.largest[-3:], atol=tolerance * width)
    assert abs(estimate.trace - exact.trace) < 3 * estimate.trace_error
    assert abs(estimate.negative_directions - exact.negative_directions) <= 0.1 * exact.n
    assert estimate.rise == pytest.approx(exact.rise, rel=1e-3)
    assert estimate.weights @ estimate.nodes**2 == pytest.approx(exact.weights @ exact.nodes**2, rel=0.3)
    if gauss_newton:
        assert estimate.most_negative == exact.most_negative == 0
        assert exact.negative_directions == estimate.negative_directions == 0
    else:
        assert np.isnan(estimate.condition_number)
    again = curvature(model, X, y, "softmax_cross_entropy", exact_up_to=0, probes=40, **how)
    assert again.trace == estimate.trace
    assert np.array_equal(again.largest, estimate.largest)


@pytest.mark.parametrize("exponent", [-300, 300])
def test_estimates_of_a_spectrum_whose_squares_are_no_numbers(exponent: int) -> None:
    """A linear network: λ ∝ X², 10^±180 times as large, which changes nothing else."""
    X, scale = np.random.default_rng(1).standard_normal((20, 10)), 2.0**exponent
    model = nn.Sequential([nn.Dense(6, bias=False), nn.Dense(1, bias=False)], input_shape=10, dtype="float64")
    one, other = (
        curvature(model, s * X, np.zeros(20), "squared_error", exact_up_to=0, steps=20, probes=3) for s in (1.0, scale)
    )
    assert one.negative_directions > 0
    assert other.negative_directions == one.negative_directions
    assert other.trace == pytest.approx(one.trace * scale**2, rel=1e-9)
    assert other.trace_error == pytest.approx(one.trace_error * scale**2, rel=1e-9)
    np.testing.assert_allclose(other.largest, one.largest * scale**2, rtol=1e-6)
    np.testing.assert_allclose(other.smallest, one.smallest * scale**2, rtol=1e-6)


def test_condition_number_of_linear_regression() -> None:
    model = nn.Sequential([nn.Dense(1, bias=False)], 3, dtype="float64")
    scaled, singular = np.diag([1.0, 2.0, 10.0]), np.diag([1.0, 0.0, 10.0])
    report = curvature(model, scaled, np.zeros(3), "squared_error")
    assert report.condition_number == pytest.approx(100)
    np.testing.assert_allclose(report.nodes, np.array([1, 4, 100]) / 3)
    assert report.most_negative == report.negative_directions == 0
    assert curvature(model, singular, np.zeros(3), "squared_error").condition_number == np.inf
    ridge = curvature(model, singular, np.zeros(3), "squared_error", regularizer=nn.L2(1.0))
    assert ridge.condition_number == pytest.approx(100 / 3 + 1)
    wide = nn.Sequential([nn.Dense(1, bias=False)], 30, dtype="float64")
    X = np.diag(np.sqrt(30 * np.linspace(1, 5, 30)))
    assert curvature(wide, X, np.zeros(30), "squared_error", exact_up_to=0).condition_number == pytest.approx(5)


def test_report_states_its_results(tmp_path: Path) -> None:
    model, X, y = problem()
    for exact_up_to, words in [(500, "all eigenvalues"), (0, "Lanczos and random probes")]:
        report = curvature(model, X, y, "softmax_cross_entropy", exact_up_to=exact_up_to)
        text = repr(report)
        for word in (words, "largest eigenvalues", "condition number", "trace", "negative directions", "rise within 0.05"):
            assert word in text
        assert f"{report.sharpness:.6g}" in text
        assert ("+-" in text) == (not report.exact)
        pytest.importorskip("matplotlib")
        report.plot(tmp_path / "spectrum.png")
        assert (tmp_path / "spectrum.png").stat().st_size > 1000


def test_bad_arguments() -> None:
    model, X, y = problem()
    for argument, value in [("k", 0), ("probes", -1), ("steps", 1.5), ("radius", 0), ("radius", np.inf)]:
        with pytest.raises((TypeError, ValueError), match=f"{argument} must be a positive"):
            curvature(model, X, y, "softmax_cross_entropy", **{argument: value})
    for argument, value in [
        ("tol", "a"),
        ("tol", np.nan),
        ("tol", -1),
        ("seed", -1),
        ("exact_up_to", "a"),
        ("gauss_newton", 1),
    ]:
        with pytest.raises((TypeError, ValueError), match=f"{argument} must be"):
            curvature(model, X, y, "softmax_cross_entropy", **{argument: value})


@pytest.mark.parametrize("inputs", [5, 600])
def test_a_loss_without_curvature_has_a_report(inputs: int, tmp_path: Path) -> None:
    model = nn.Sequential([nn.Dense(1)], input_shape=inputs, seed=0)
    report = curvature(model, np.ones((3, inputs)), np.zeros(3), "mean_absolute_error", steps=3, probes=2)
    assert report.exact == (inputs == 5)
    assert not report.smallest.any()
    assert not report.largest.any()
    assert report.trace == 0
    assert np.isfinite(report.density([0.0, 1.0])).all()
    report.plot(tmp_path / "spectrum.png")
    with pytest.raises(ValueError, match="width must be a positive number"):
        report.density([0.0], width=0.0)


def test_mutant_report() -> None:
    """Omitting the penalty, or taking the other matrix, must change every number compared above."""
    model, X, y = problem()
    a = curvature(model, X, y, "softmax_cross_entropy", exact_up_to=0)
    for b in (
        curvature(model, X, y, "softmax_cross_entropy", exact_up_to=0, regularizer=nn.L2(0.01)),
        curvature(model, X, y, "softmax_cross_entropy", exact_up_to=0, gauss_newton=True),
    ):
        width = a.largest[-1] - a.smallest[0]
        assert abs(a.largest - b.largest).max() > 1e-4 * width
        assert abs(a.smallest - b.smallest).max() > 1e-4 * width
        assert isinstance(b, Curvature)


# The monitor.


def regression(rng: np.random.Generator) -> tuple[nn.Trainer, Array, Array]:
    X = rng.standard_normal((50, 3)) * [1, 3, 5]
    y = X @ [1.0, -1.0, 0.5] + rng.standard_normal(50)
    model = nn.Sequential([nn.Dense(1)], 3, dtype="float64", seed=0)
    return nn.Trainer(model, "squared_error", nn.SGD(lr=0.06), regularizer=nn.ElasticNet(0.0, 0.1)), X, y


def test_terms_add_up_to_the_next_loss_of_a_quadratic(rng: np.random.Generator) -> None:
    trainer, X, y = regression(rng)
    history = trainer.fit(X, y, epochs=20, batch_size=50, callbacks=[ConditioningMonitor(X, y)], verbose=0)
    loss, slope, bent = (history[f"taylor_{name}"] for name in ("loss", "slope", "curvature"))
    np.testing.assert_allclose((loss + slope + bent)[:-1], loss[1:], rtol=1e-12)
    assert (slope < 0).all()
    assert (bent > 0).all()
    assert (bent / -slope).max() > 0.3  # a rate at which the mutant without the third term would show


def test_monitor_follows_schedules_and_its_own_rate(rng: np.random.Generator) -> None:
    trainer, X, y = regression(rng)
    trainer = nn.Trainer(trainer.model, "squared_error", nn.SGD(lr=nn.schedules.Exponential(0.02, 0.8)))
    per_epoch = 5
    history = trainer.fit(X, y, epochs=4, batch_size=10, callbacks=[ConditioningMonitor(X, y)], verbose=0)
    rate = float(trainer.optimizer.hyper_values(1, per_epoch)["lr"][0])
    g = trainer.model.loss_and_gradient(X, y, "squared_error")[1]
    H = HessianOperator(trainer.model, X, y, "squared_error")
    assert rate < 0.02
    assert history["taylor_slope"][-1] == pytest.approx(-rate * g @ g, rel=1e-12)
    assert history["taylor_curvature"][-1] == pytest.approx(0.5 * rate**2 * g @ (H @ g), rel=1e-12)
    monitor = ConditioningMonitor(X, y, lr=0.5, every=2)
    history = nn.Trainer(trainer.model, "squared_error", nn.SGD(0.001)).fit(X, y, epochs=4, callbacks=[monitor], verbose=0)
    assert np.isnan(history["taylor_loss"]).tolist() == [True, False, True, False]
    g = trainer.model.loss_and_gradient(X, y, "squared_error")[1]
    assert history["taylor_slope"][-1] == pytest.approx(-0.5 * g @ g, rel=1e-12)


def test_monitor_draws_and_refuses(rng: np.random.Generator, tmp_path: Path) -> None:
    trainer, X, y = regression(rng)
    for bad in (0, -1.0, np.nan, True):
        with pytest.raises((TypeError, ValueError), match="lr must be None or a positive number"):
            ConditioningMonitor(X, y, lr=bad)
    with pytest.raises(ValueError, match="every must be a positive integer"):
        ConditioningMonitor(X, y, every=0)
    with pytest.raises(ValueError, match="same length"):
        trainer.fit(X, y, epochs=1, callbacks=[ConditioningMonitor(X, y[:-1])], verbose=0)
    history = trainer.fit(X, y, epochs=3, callbacks=[ConditioningMonitor(X, y)], verbose=0)
    pytest.importorskip("matplotlib")
    ConditioningMonitor.plot(history, tmp_path / "terms.png")
    assert (tmp_path / "terms.png").stat().st_size > 1000


def test_products_of_rows_with_conflicting_stride() -> None:
    """A first layer whose row stride is a multiple of 4096 bytes, large enough for its rows to be spread."""
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((9, 512)), rng.integers(0, 3, 9)
    model = nn.Sequential([nn.Dense(512), nn.Tanh(), nn.Dense(3)], input_shape=512, dtype="float64", seed=0)
    H = nn.second_order.HessianOperator(model, X, y, "softmax_cross_entropy")
    v, theta, step = rng.standard_normal(model.parameters.size), model.parameters.copy(), 1e-6
    gradients = []
    for sign in (1, -1):
        model.parameters[...] = theta + sign * step * v
        gradients.append(model.loss_and_gradient(X, y, "softmax_cross_entropy")[1].copy())
    model.parameters[...] = theta
    difference = (gradients[0] - gradients[1]) / (2 * step)
    np.testing.assert_allclose(H @ v, difference, atol=1e-7 * np.abs(difference).max())
