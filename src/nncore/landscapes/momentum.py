"""Why momentum works: heavy-ball momentum on a quadratic, eigen-direction by eigen-direction.

In a direction with eigenvalue λ the step v ← μv − ηλx,  x ← x + v is linear: (v, x) ← R (v, x) with

    R = [[μ, −ηλ], [μ, 1 − ηλ]],   σ² − (1 + μ − ηλ)σ + μ = 0

for the eigenvalues σ of R. The error shrinks by max |σ| per step in the end (Polyak 1964; Goh 2017, "Why momentum really
works", Distill). Below a = ηλ.

- monotone: 0 < a <= (1 − √μ)². Both σ real and positive.
- ripples: (1 − √μ)² < a < (1 + √μ)². Both σ complex; |σ| = √μ whatever η and λ.
- one step: a = 1 and μ = 0. Both σ are 0.
- oscillation: (1 + √μ)² <= a < 2(1 + μ). Both σ real, one of them negative and the larger: x changes sign in every step.
- divergence: a >= 2(1 + μ), or a <= 0, or μ >= 1. Not both |σ| < 1.

On the borders (1 ± √μ)² the two σ are equal, and the error goes like t σᵗ.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nncore._kernels.blas import one_blas_thread
from nncore._messages import shown
from nncore._utils.checks import as_floats
from nncore._utils.fields import count, flag, number
from nncore.landscapes.functions import Array, Quadratic
from nncore.optimizers import Momentum

__all__ = [
    "REGIMES", "Optimum", "convergence_rate", "iteration_eigenvalues", "iteration_matrix", "measured_rate", "optimal",
    "predicted_rate", "regime",
]  # fmt: skip

REGIMES = ("monotone", "ripples", "one step", "oscillation", "divergence")
_STRETCH = 40  # steps between two rescalings of a measured run


class Optimum(NamedTuple):
    """The best constants for a range of eigenvalues, and the factor by which the error then shrinks per step."""

    lr: float
    momentum: float
    rate: float


def iteration_matrix(eta_lambda: float, mu: float) -> Array:
    """R, which takes (v, x) to the next (v, x).

    Examples
    --------
    >>> iteration_matrix(0.1, 0.9).tolist()
    [[0.9, -0.1], [0.9, 0.9]]
    """
    a, m = number("eta_lambda", eta_lambda), number("mu", mu)
    return np.array([[m, -a], [m, 1 - a]])


def _pair(eta_lambda: ArrayLike, mu: ArrayLike) -> tuple[Array, ...]:
    """Both as arrays of one shape."""
    a, m = as_floats(eta_lambda, "eta_lambda"), as_floats(mu, "mu")
    for name, array in (("eta_lambda", a), ("mu", m)):
        if not np.isfinite(array).all():
            raise ValueError(f"{name} must be finite, got {shown(array)}")
    try:
        return np.broadcast_arrays(a, m)
    except ValueError:
        raise ValueError(f"mu must have the shape of eta_lambda, {a.shape}, or one that fits it, got {m.shape}") from None


def iteration_eigenvalues(eta_lambda: ArrayLike, mu: ArrayLike) -> NDArray[np.complex128]:
    """The two eigenvalues of R, in closed form: complex (…, 2) for arrays (…), the larger in modulus first.

    σ = ½(s ± √(s² − 4μ)),  s = 1 + μ − ηλ. The smaller is μ divided by the larger, so that nothing cancels.

    Examples
    --------
    >>> iteration_eigenvalues(0.5, 0.0).real.tolist()
    [0.5, 0.0]
    >>> abs(iteration_eigenvalues([0.5, 1.0, 2.0], 0.81)).round(12).tolist()   # ripples: √μ
    [[0.9, 0.9], [0.9, 0.9], [0.9, 0.9]]
    """
    a, m = _pair(eta_lambda, mu)
    with np.errstate(over="ignore", invalid="ignore"):  # of the largest numbers
        s = 1 + m - a
        root = np.sqrt((s * s - 4 * m).astype(np.complex128))
        larger = (s + np.where(s < 0, -root, root)) / 2
        smaller = np.divide(m, larger, out=np.zeros_like(larger), where=larger != 0)
    return np.stack((larger, smaller), axis=-1)


def convergence_rate(eta_lambda: ArrayLike, mu: ArrayLike) -> Any:
    """max |σ|, the factor by which the error shrinks per step in the end: a float, or an array like the arguments.

    √μ where s² < 4μ, and ½(|s| + √(s² − 4μ)) elsewhere, s = 1 + μ − ηλ.

    Examples
    --------
    >>> convergence_rate(1.0, 0.25), convergence_rate([0.5, 2.5], 0.0)
    (0.5, array([0.5, 1.5]))
    """
    a, m = _pair(eta_lambda, mu)
    with np.errstate(over="ignore", invalid="ignore"):
        square = (1 + m - a) ** 2 - 4 * m
    rate = np.where(square < 0, np.sqrt(np.maximum(m, 0)), (np.abs(1 + m - a) + np.sqrt(np.maximum(square, 0))) / 2)
    return float(rate) if rate.ndim == 0 else rate


def regime(eta_lambda: float, mu: float) -> str:
    """Which of ``REGIMES`` the point (ηλ, μ) belongs to; the module documents their borders.

    Examples
    --------
    >>> [regime(a, 0.25) for a in (0.2, 1.0, 2.4, 2.6)], regime(1.0, 0.0)
    (['monotone', 'ripples', 'oscillation', 'divergence'], 'one step')
    """
    eta_lambda, mu = number("eta_lambda", eta_lambda), number("mu", mu, 0.0)
    if mu >= 1 or eta_lambda <= 0 or eta_lambda >= 2 * (1 + mu):
        return "divergence"
    if mu == 0 and math.isclose(eta_lambda, 1, rel_tol=1e-12):
        return "one step"
    if eta_lambda <= (1 - math.sqrt(mu)) ** 2:
        return "monotone"
    return "ripples" if eta_lambda < (1 + math.sqrt(mu)) ** 2 else "oscillation"


def optimal(lambda_min: float, lambda_max: float, momentum: bool = True) -> Optimum:
    """The η and μ with the best rate for all eigenvalues between the two, κ = λₙ/λ₁.

    - with momentum: η = (2/(√λ₁ + √λₙ))²,  μ = ((√λₙ − √λ₁)/(√λₙ + √λ₁))²,  rate (√κ − 1)/(√κ + 1)
    - without: η = 2/(λ₁ + λₙ),  rate (κ − 1)/(κ + 1)

    Polyak (1964). At the optimum both ends of the range are on a border, where the error goes like t·rateᵗ.

    Examples
    --------
    >>> optimal(1.0, 9.0)
    Optimum(lr=0.25, momentum=0.25, rate=0.5)
    >>> optimal(1.0, 9.0, momentum=False)
    Optimum(lr=0.2, momentum=0.0, rate=0.8)
    """
    low = number("lambda_min", lambda_min, above=0)
    high = number("lambda_max", lambda_max, low)
    if not flag("momentum", momentum):
        return Optimum(2 / (low + high), 0.0, (high - low) / (high + low))
    rate = (math.sqrt(high) - math.sqrt(low)) / (math.sqrt(high) + math.sqrt(low))
    return Optimum((2 / (math.sqrt(low) + math.sqrt(high))) ** 2, rate**2, rate)


def predicted_rate(eigenvalues: ArrayLike, lr: float, momentum: float) -> float:
    """The rate of the slowest eigen-direction: max over λ of max |σ|.

    Examples
    --------
    >>> predicted_rate([1.0, 4.0, 9.0], lr=0.2, momentum=0.0)
    0.8
    """
    values = np.atleast_1d(as_floats(eigenvalues, "eigenvalues"))
    if not values.size:
        raise ValueError("eigenvalues must be at least one number, got none")
    return float(np.max(convergence_rate(number("lr", lr) * values, number("momentum", momentum))))


def measured_rate(eigenvalues: ArrayLike, lr: float, momentum: float, steps: int = 4000) -> float:
    """The rate of `Momentum` on a `Quadratic` with these eigenvalues, measured in the second half of a run.

    The slope of log √(‖θₜ‖² + ‖θₜ₊₁‖²) over the second half of the steps, by least squares. Two successive θ, because
    one alone passes through 0 in a ripple. θ and v are multiplied by the same power of two every few steps, which
    changes no digit and lets the run continue indefinitely; so a rate above 1 can be measured too. A run that reaches the
    minimum exactly has rate 0, and so have all below 3·10⁻⁴, which come too near to it within those few steps.

    Parameters
    ----------
    eigenvalues : all positive
    lr, momentum : η and μ
    steps : default 4000. After t steps a double eigenvalue still errs by about 1.4/t.

    Examples
    --------
    >>> round(measured_rate([1.0, 4.0, 9.0], lr=0.2, momentum=0.0), 6)
    0.8
    """
    f, optimizer = Quadratic(np.atleast_1d(as_floats(eigenvalues, "eigenvalues"))), Momentum(lr=lr, momentum=momentum)
    theta, exponent, logs = f.start, 0, []
    for _ in range(0, count("steps", steps), _STRETCH):
        path = optimizer.minimize(f, theta, _STRETCH, resume=True).theta
        squares = (path * path).sum(axis=1)
        squares = squares[:-1] + squares[1:]
        if squares[-1] < 1e-280:  # below that v and θ lose digits
            return 0.0
        logs.append(np.log(squares) / 2 + exponent * math.log(2))
        shift = math.frexp(math.sqrt(squares[-1]))[1]
        optimizer.state["v"][...] = np.ldexp(optimizer.state["v"], -shift)
        theta, exponent = np.ldexp(path[-1], -shift), exponent + shift
    late = np.concatenate(logs)
    late = late[late.size // 2 :]
    with one_blas_thread():
        return float(np.exp(np.polyfit(np.arange(late.size), late, 1)[0]))
