"""Cases for the NumPy twins of activations and losses, and their comparison with central differences."""

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncore import reference
from nncore._kernels import op_names, op_table

Array = NDArray[Any]


def declared_like(example: str) -> list[str]:
    """The ops with the arrays of another: all activations, or all losses."""
    table = op_table()
    return [name for name in op_names() if table.declaration(name).arrays == table.declaration(example).arrays]


def constants(name: str) -> list[dict[str, float]]:
    """The constants of a twin, at their defaults, and if there are any at other values."""
    parameters = list(inspect.signature(getattr(reference, name)).parameters.values())
    own = {p.name: p.default for p in parameters if isinstance(p.default, float)}
    return [own, {key: value + 0.3 for key, value in own.items()}] if own else [{}]


ACTIVATIONS = [name.removesuffix("_tangent_backward") for name in declared_like("relu_tangent_backward")]
LOSSES = declared_like("squared_error")
ACTIVATION_CASES = [(name, kw) for name in ACTIVATIONS for kw in constants(f"{name}_forward")]
LOSS_CASES = [(name, kw) for name in LOSSES for kw in constants(name)]


def central_differences(f: Callable[[Array], float], x: Array, eps: float = 1e-5) -> Array:
    """∂f/∂x_i by (f(x + ε e_i) − f(x − ε e_i)) / 2ε, which errs by O(ε²) + O(10⁻¹⁶/ε)."""
    gradient = np.empty_like(x)
    for i in np.ndindex(x.shape):
        up, down = x.copy(), x.copy()
        up[i] += eps
        down[i] -= eps
        gradient[i] = (f(up) - f(down)) / (up[i] - down[i])
    return gradient


def assert_gradient(got: Array, want: Array) -> None:
    np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-8 * (1 + np.abs(want).max()))


def off_the_kinks(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Normal numbers not nearer to 0 than 0.001."""
    x = rng.normal(0, 2, shape)
    return x + np.copysign(1e-3, x)


def loss_inputs(name: str, rng: np.random.Generator, rows: int, width: int) -> tuple[Array, Array]:
    """Outputs y and targets d of the kind the loss takes, off its kinks."""
    if name == "softmax_cross_entropy_labels":
        return rng.normal(0, 2, (rows, width)), rng.integers(0, width, rows)
    if name == "hinge":
        d = rng.choice([-1.0, 1.0], (rows, width))
        return d * (1 + off_the_kinks(rng, (rows, width))), d
    if name in ("binary_cross_entropy", "kl_divergence"):
        return rng.uniform(0.05, 0.95, (rows, width)), rng.uniform(0, 1, (rows, width)).round(1)
    if name == "poisson":
        return rng.normal(0, 1, (rows, width)), rng.poisson(2, (rows, width)).astype(np.float64)
    if name in ("sigmoid_cross_entropy", "softmax_cross_entropy"):
        return rng.normal(0, 2, (rows, width)), rng.uniform(0, 1, (rows, width))
    d = rng.normal(size=(rows, width))
    return d + off_the_kinks(rng, (rows, width)), d
