"""Cases for the NumPy twins of activations and losses, and their comparison with central differences."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

ACTIVATIONS: dict[str, list[dict[str, float]]] = {
    "identity": [{}],
    "sigmoid": [{}],
    "tanh": [{}],
    "relu": [{}],
    "leaky_relu": [{}, {"negative_slope": 0.3}],
    "elu": [{}, {"alpha": 0.6}],
    "softplus": [{}],
    "gelu": [{}],
    "gelu_tanh": [{}],
    "silu": [{}],
    "softmax": [{}],
}
LOSSES: dict[str, list[dict[str, float]]] = {
    "squared_error": [{}],
    "mean_squared_error": [{}],
    "mean_absolute_error": [{}],
    "huber": [{}, {"delta": 0.4}],
    "hinge": [{}],
    "binary_cross_entropy": [{}],
    "kl_divergence": [{}],
    "sigmoid_cross_entropy": [{}],
    "softmax_cross_entropy": [{}],
    "softmax_cross_entropy_labels": [{}],
}
ACTIVATION_CASES = [(name, kw) for name, each in ACTIVATIONS.items() for kw in each]
LOSS_CASES = [(name, kw) for name, each in LOSSES.items() for kw in each]


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
    if name in ("sigmoid_cross_entropy", "softmax_cross_entropy"):
        return rng.normal(0, 2, (rows, width)), rng.uniform(0, 1, (rows, width))
    d = rng.normal(size=(rows, width))
    return d + off_the_kinks(rng, (rows, width)), d
