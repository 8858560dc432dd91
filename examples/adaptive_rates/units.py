"""The effect of a change of units on Newton, AdaDelta and SGD: the same problem with parameters in other units.

With θ′ = cθ the gradient is g/c and the Hessian H/c². Newton's step has the units of θ for any c. So has AdaDelta's: it
divides by a gradient and multiplies by a step. But its first step is determined by ε, which therefore has units θ²: the figure
shows it with ε converted accordingly, and with the same number in all units. The same ε is also added to the squared gradient,
whose units are 1/θ², so no number suits both: the curves diverge once gradients are about as small as √ε. SGD's step has units
of 1/θ.

Run with ``python examples/adaptive_rates/units.py [figure.png]`` where nncore[plot] is installed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import matplotlib
import numpy as np

matplotlib.use("Agg")

import matplotlib.pyplot as plt

import nncore as nn
from nncore.errors import DivergenceError
from nncore.landscapes import Rosenbrock
from nncore.second_order import Newton

UNITS = {"in meters": 1.0, "in decimeters": 10.0, "in decameters": 0.1}


class InUnits:
    """f of θ, given θ′ = Aθ."""

    def __init__(self, f: Any, a: np.ndarray) -> None:
        self.f, self.inverse = f, np.linalg.inv(a)

    def value_and_gradient(self, theta: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = self.f.value_and_gradient(self.inverse @ theta)
        return value, self.inverse.T @ gradient

    def hessian(self, theta: np.ndarray) -> np.ndarray:
        return self.inverse.T @ self.f.hessian(self.inverse @ theta) @ self.inverse


def losses(optimizer: nn.Optimizer, f: Any, a: np.ndarray, steps: int) -> np.ndarray:
    try:
        with np.errstate(all="ignore"):
            return optimizer.minimize(InUnits(f, a), a @ f.start, steps).loss
    except DivergenceError as error:
        return error.path.loss


def main(path: str = "units.png") -> None:
    f = Rosenbrock(b=10.0)
    runs: dict[str, tuple[Callable[[float], nn.Optimizer], int]] = {
        "Newton": (lambda c: Newton(tol=0.0), 8),
        "AdaDelta, ε = 10⁻⁸ c²": (lambda c: nn.AdaDelta(lr=1.0, eps=1e-8 * c**2), 4000),
        "AdaDelta, ε = 10⁻⁸": (lambda c: nn.AdaDelta(lr=1.0, eps=1e-8), 4000),
        "SGD": (lambda c: nn.SGD(lr=5e-3), 1500),
    }
    figure, axes = plt.subplots(1, 4, figsize=(16, 4.4), layout="constrained", sharey=True)
    for ax, (name, (make, steps)) in zip(axes, runs.items(), strict=True):
        for i, (unit, c) in enumerate(UNITS.items()):
            loss = losses(make(c), f, c * np.eye(2), steps)
            label = f"{unit} (c = {c:g})" + (", diverges" if len(loss) <= steps else "")
            ax.semilogy(loss, linewidth=6 - 2 * i, color=f"C{i}", label=label)
            reached = np.flatnonzero(loss < 1e-2)
            print(f"{name}, {unit}: loss below 0.01 after {reached[0] if reached.size else '—'} steps")
        if name == "Newton":
            sheared = np.array([[3.0, 1.0], [-0.5, 0.2]])
            ax.semilogy(losses(make(1.0), f, sheared, steps), "k:", linewidth=1.5, label="in any θ′ = Aθ")
        ax.set(xlabel="step", title=name, ylim=(1e-8, 1e5))
        ax.grid(alpha=0.3)
        ax.legend(loc="upper right", fontsize=9)
    axes[0].set_ylabel("loss")
    figure.savefig(path, dpi=120)
    print(f"figure: {path}")


if __name__ == "__main__":
    main(*sys.argv[1:])
