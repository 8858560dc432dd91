"""Comparisons for products with Hessian, Gauss-Newton matrix and Jacobian."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

import nncore as nn
from nncore.second_order import GaussNewtonOperator, HessianOperator

Array = NDArray[Any]

DIFFERENCES = 1e-6  # relative error of central differences in float64


def normal(rng: np.random.Generator, shape: tuple[int, ...], count: int, dtype: str) -> tuple[Array, ...]:
    return tuple(rng.standard_normal((count, *shape)).astype(dtype))


def derivative(f: Callable[..., Array], values: tuple[Array, ...], tangents: tuple[Array, ...], eps: float = 1e-5) -> Array:
    """d/dr f(values + r tangents) at r = 0, by central differences."""
    up, down = (f(*(v + e * t for v, t in zip(values, tangents, strict=True))) for e in (eps, -eps))
    return (up - down) / (2 * eps)


def differences(model: nn.Sequential, f: Callable[[], Array], v: Array) -> Array:
    """d/dr f at θ + r v."""
    theta = model.parameters.copy()

    def at(theta: Array) -> Array:
        model.parameters[...] = theta
        return f()

    result = derivative(at, (theta,), (v,))
    model.parameters[...] = theta
    return result


def assert_relative(got: Array, want: Array, tolerance: float) -> None:
    assert got.shape == want.shape
    assert np.linalg.norm(got - want) <= tolerance * np.linalg.norm(want)


def check_products(model: nn.Sequential, X: Array, y: Array, rng: np.random.Generator) -> None:
    """Hv and Jv against differences; Gv, Jv and Jᵀu against the whole J; gradients and running statistics stay as they are."""
    v, u = rng.standard_normal(model.parameters.size), rng.standard_normal(y.size)
    model.gradients[...], state = 7, model.state.copy()
    H, G, J = (model.hessian_vector_product(X, y, "squared_error", v), model.gauss_newton_product(X, y, "squared_error", v),
               model.jacobian(X))  # fmt: skip
    assert np.array_equal(model.state, state), "running statistics moved"
    assert (model.gradients == 7).all()
    want = differences(model, lambda: model.loss_and_gradient(X, y, "squared_error")[1], v)
    assert_relative(H, want, DIFFERENCES)
    want = differences(model, lambda: model.forward(X, training=True).ravel(), v)
    assert_relative(J @ v, want, DIFFERENCES)
    assert_relative(model.jacobian_product(X, v), J @ v, 1e-12)
    assert_relative(model.jacobian_product(X, u, transposed=True), J.T @ u, 1e-12)
    assert_relative(G, J.T @ (J @ v) / len(X), 1e-12)


def check_symmetric_and_linear(model: nn.Sequential, X: Array, y: Array, rng: np.random.Generator) -> None:
    """uᵀHv = vᵀHu and H(2u − 0.3v) = 2Hu − 0.3Hv, of the Hessian and of the Gauss-Newton matrix."""
    for operator in (HessianOperator, GaussNewtonOperator):
        H = operator(model, X, y, "squared_error", nn.L2(0.1))
        u, v = rng.standard_normal((2, model.parameters.size))
        Hu, Hv = H @ u, H @ v
        assert abs(u @ Hv - v @ Hu) <= 1e-12 * np.linalg.norm(u) * np.linalg.norm(Hv)
        assert_relative(H @ (2 * u - 0.3 * v), 2 * Hu - 0.3 * Hv, 1e-12)


def check_threads(model: nn.Sequential, X: Array, y: Array, V: Array, U: Array) -> None:
    """Assert that all products have the same bits on 1, 2 and 3 threads, and agree with float64 up to rounding."""

    def products(model: nn.Sequential) -> list[Array]:
        model._recordings.clear()
        return [
            model.hessian_vector_product(X, y, "softmax_cross_entropy", V),
            model.gauss_newton_product(X, y, "softmax_cross_entropy", V),
            model.jacobian_product(X, V), model.jacobian_product(X, U, transposed=True),
        ]  # fmt: skip

    before, results = nn.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            nn.set_num_threads(threads)
            results.append(products(model))
    finally:
        nn.set_num_threads(before)
    for other in results[1:]:
        assert all(np.array_equal(a, b) for a, b in zip(results[0], other, strict=True))
    for got, want in zip(results[0], products(model.astype("float64")), strict=True):
        assert got.dtype == model.dtype
        assert_relative(got.astype(np.float64), want, 1e-5 if model.dtype == np.float32 else 1e-13)
