"""Why momentum works: the regimes over ηλ and μ, and the run of a chosen point, as `nncore.landscapes` has the theory."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncore._utils.fields import number
from nncore.landscapes import REGIMES, Quadratic, convergence_rate, iteration_eigenvalues, regime
from nncore.optimizers import Momentum

__all__ = ["answer"]

BOX = (0.0, 4.0, 0.0, 1.0)  # ηλ from and to, μ from and to
GRID = 160  # cells on each side of the map
STEPS = 60  # of the run
TINY = 1e-250  # below it a power of the rate says nothing


def answer(state: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Header and arrays of a reply Momentum; a ValueError or TypeError unless 0 < ηλ ≤ 4 and 0 ≤ μ < 1."""
    a = number("rate", state["rate"], above=0.0, most=BOX[1])
    mu = number("momentum", state["momentum"], 0.0, most=1 - 1e-9)
    rate = convergence_rate(a, mu)
    regimes, rates = _map()
    header = {
        "type": "momentum", "box": list(BOX), "regimes": list(REGIMES), "regime": regime(a, mu), "root": rate,
        "formula": _formula(a, mu, rate), "optimum": list(_optimum(a)),
    }  # fmt: skip
    run = Momentum(lr=a, momentum=mu).minimize(Quadratic([1.0]), [1.0], STEPS).theta[:, 0]
    arrays = {"run": run, "theory": _envelope(run, rate)}
    return header, {"map": regimes, "rate": rates, **{name: x.astype(np.float32) for name, x in arrays.items()}}


@functools.cache
def _map() -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Regime and rate in the middle of each cell, rows from the top."""
    middle = (np.arange(GRID) + 0.5) / GRID
    a, mu = np.meshgrid(middle * BOX[1], middle[::-1] * BOX[3])
    regimes = np.vectorize(lambda *point: REGIMES.index(regime(*point)), otypes=[np.uint8])(a, mu)
    return regimes, convergence_rate(a, mu).astype(np.float32)


def _envelope(run: NDArray[Any], rate: float) -> NDArray[Any]:
    """C·rateᵗ, C the lowest that no step so far exceeds: constant in the end, but growing like t where the roots are equal."""
    powers = rate ** np.arange(len(run))
    seen = powers > TINY
    factors = np.divide(np.abs(run), powers, out=np.zeros_like(run), where=seen)
    return powers * np.maximum.accumulate(factors)


def _optimum(a: float) -> tuple[float, float]:
    """The best μ for this ηλ, where both roots are equal, and their size: for larger μ they are complex, and |σ| = √μ grows."""
    root = abs(1 - a**0.5)
    return root**2, root


def _formula(a: float, mu: float, rate: float) -> str:
    """The largest root with its numbers."""
    s, square = 1 + mu - a, (1 + mu - a) ** 2 - 4 * mu
    if iteration_eigenvalues(a, mu)[0].imag:
        return f"s = 1 + μ − ηλ = {s:.3g},  s² < 4μ:  |σ| = √μ = √{mu:.3g} = {rate:.4f}".replace("-", "−")
    root = f"½({abs(s):.3g} + √{max(square, 0.0):.3g})"
    return f"s = 1 + μ − ηλ = {s:.3g},  s² ≥ 4μ:  |σ| = ½(|s| + √(s² − 4μ)) = {root} = {rate:.4f}".replace("-", "−")
