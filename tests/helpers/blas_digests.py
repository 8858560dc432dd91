"""Print a digest of every result that involves the BLAS or LAPACK of NumPy or SciPy: for test_blas_threads.py."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

import nncore as nn
from nncore import landscapes, second_order

rng = np.random.default_rng(0)
X, labels = rng.normal(size=(300, 40)), rng.integers(0, 3, 300)
Y = np.eye(3)[labels]


def small_model() -> nn.Sequential:
    return nn.Sequential([nn.Dense(12), nn.Tanh(), nn.Dense(3)], input_shape=40, dtype="float64", seed=1)


def large_model() -> nn.Sequential:
    return nn.Sequential([nn.Dense(400), nn.Tanh(), nn.Dense(3)], input_shape=40, dtype="float64", seed=1)


def fitted(optimizer: Any, model: nn.Sequential, epochs: int, **fit: Any) -> list[Any]:
    """Parameters, and all columns of the history except the time."""
    trainer = nn.Trainer(model, "squared_error", optimizer, regularizer=nn.L2(1e-3))
    history = trainer.fit(X, Y, epochs=epochs, verbose=0, **fit)
    return [model.parameters, *(history[column] for column in history if column != "seconds")]


def full_batch() -> dict[str, Callable[[], Any]]:
    """Every optimizer of nncore.second_order, with each of its options."""
    makers: dict[str, Callable[[], Any]] = dict(second_order.OPTIMIZERS)
    makers["damped_newton"] = lambda: second_order.DampedNewton(damping=30.0)
    makers["newton"] = lambda: second_order.Newton(allow_indefinite=True)
    makers["levenberg_marquardt scaled"] = lambda: second_order.LevenbergMarquardt(scaling="marquardt")
    for method in ("BFGS", "SLSQP", "trust-exact"):
        makers[f"scipy_minimize {method}"] = lambda method=method: second_order.ScipyMinimize(method)
    vectors_only = ("lbfgs", "nonlinear_cg", "truncated_newton", "scipy_minimize")
    return {
        name: lambda name=name, make=make: fitted(make(), large_model() if name in vectors_only else small_model(), 3)
        for name, make in makers.items()
    }


def first_order(regularizer: Any) -> list[Any]:
    model = large_model()
    trainer = nn.Trainer(model, "squared_error", "adam", regularizer=regularizer)
    history = trainer.fit(X, Y, epochs=2, verbose=0, exact_loss=True)
    return [model.parameters, *(history[column] for column in history), regularizer.value(model)]


def curvature(exact_up_to: int) -> list[Any]:
    report = second_order.curvature(small_model(), X, Y, "squared_error", exact_up_to=exact_up_to, probes=3, steps=30)
    return [value for value in vars(report).values() if not isinstance(value, str)]


def monitored() -> Any:
    trainer = nn.Trainer(large_model(), "squared_error", "adam")
    return trainer.fit(X, Y, epochs=2, verbose=0, callbacks=[second_order.ConditioningMonitor(X, Y)])["taylor_curvature"]


def scaled(name: str) -> list[Any]:
    wide = rng.normal(size=(600, 300))
    scaler = nn.data.scaling.SCALERS[name]().fit(wide)
    rows = scaler.transform(wide)
    return [*(getattr(scaler, attribute) for attribute in scaler.saved), rows, scaler.inverse_transform(rows)]


def surface() -> list[Any]:
    steps = np.cumsum(rng.normal(size=(30, 20_000)), axis=0)
    plane, explained = landscapes.principal_directions(steps)
    model = large_model()
    found = landscapes.loss_surface(model, X, Y, "squared_error", points=2)
    return [plane, explained, found.project(rng.normal(size=(30, model.parameters.size))), found.loss]


def quadratic() -> list[Any]:
    q = nn.initializers.Orthogonal()((300, 300), np.random.default_rng(1), "float64")
    f = landscapes.Quadratic(np.linspace(1.0, 9.0, 300), rotation=q)
    return [f.matrix, f.start, nn.Momentum(lr=0.1).minimize(f, f.start, 20).theta]


def linear_estimators() -> dict[str, Callable[[], Any]]:
    """Their outputs, where scikit-learn is there."""
    if importlib.util.find_spec("sklearn") is None:
        return {}
    from nncore.sklearn import SGDClassifier, SGDRegressor

    wide = np.random.default_rng(2).normal(size=(3001, 777))
    settings: dict[str, Any] = {"max_iter": 1, "tol": None, "random_state": 0}
    return {
        "SGDClassifier": lambda: SGDClassifier(**settings).fit(wide, np.arange(3001) % 7).decision_function(wide),
        "SGDRegressor": lambda: SGDRegressor(eta0=1e-4, **settings).fit(wide, wide[:, 0]).predict(wide),
    }


CASES: dict[str, Callable[[], Any]] = {
    **full_batch(),
    "L1": lambda: first_order(nn.L1(1e-3)),
    "L2": lambda: first_order(nn.L2(1e-3)),
    "ElasticNet": lambda: first_order(nn.ElasticNet(1e-3, 1e-3)),
    "ProximalL1": lambda: first_order(nn.ProximalL1(1e-3)),
    "PerLayer": lambda: first_order(nn.regularizers.PerLayer({"dense_1": nn.L2(1e-3)})),
    "all eigenvalues": lambda: curvature(2000),
    "Lanczos": lambda: curvature(0),
    "conditioning": monitored,
    **{name: lambda name=name: scaled(name) for name in nn.data.scaling.SCALERS},
    **linear_estimators(),
    "surface": surface,
    "quadratic": quadratic,
    "measured rate": lambda: landscapes.momentum.measured_rate([1.0, 4.0, 9.0], 0.2, 0.5),
    "gradient check": lambda: list(large_model().check_gradients(X[:9], Y[:9], "squared_error", samples=5).values()),
}  # fmt: skip


def digest(values: Any) -> str:
    sha = hashlib.sha256()
    for value in values if isinstance(values, list) else [values]:
        array: NDArray[Any] = np.ascontiguousarray(value)
        sha.update(array.tobytes())
    return sha.hexdigest()[:16]


if __name__ == "__main__":
    nn.set_num_threads(1)
    for name, case in CASES.items():
        print(f"{name}: {digest(case())}")
