"""Draws optimizers on test functions: ways, losses, a fair comparison, the theory of momentum, a film.

Run with ``python examples/landscapes.py [folder]`` where nncore[plot] is installed; the pictures go to the folder.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")

import nncore as nn
from nncore import landscapes

OPTIMIZERS = {
    "SGD": lambda lr: nn.SGD(lr=lr),
    "Momentum": lambda lr: nn.Momentum(lr=lr, momentum=0.9),
    "Nesterov": lambda lr: nn.Nesterov(lr=lr, momentum=0.9),
    "AdaGrad": lambda lr: nn.AdaGrad(lr=lr),
    "RMSprop": lambda lr: nn.RMSprop(lr=lr, alpha=0.9),
    "Adam": lambda lr: nn.Adam(lr=lr),
}
STEPS = {"beale": 150, "long_valley": 150, "saddle": 100, "rosenbrock": 300, "himmelblau": 60, "quadratic": 60}
SADDLE_LR = 0.02  # one for all: with a higher one everybody falls faster, and there is no best


def landscape(name: str) -> landscapes.Landscape:
    """The landscape with its default values; the quadratic turned, so that no axis is an eigen-direction."""
    if name == "quadratic":
        return landscapes.Quadratic(condition=30.0, rotation=0.5)
    return landscapes.LANDSCAPES[name]()


def inside(f: landscapes.Landscape) -> Callable[[np.ndarray], tuple[float, np.ndarray]]:
    """The landscape with infinite walls around the picture: the search then takes a rate whose walk stays in it."""

    def fenced(x: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = f.value_and_gradient(x)
        return (value if (f.bounds[:, 0] <= x).all() and (x <= f.bounds[:, 1]).all() else np.inf), gradient

    return fenced


def walk(f: landscapes.Landscape, steps: int) -> dict[str, landscapes.Recording]:
    """A walk of every optimizer with a learning rate found by a search of 16 tries each."""
    walks = {}
    for name, factory in OPTIMIZERS.items():
        lr = SADDLE_LR if f.minimum is None else landscapes.search_lr(factory, inside(f), f.start, steps).lr
        walks[f"{name}, lr {lr:.2g}"] = landscapes.record(factory(lr), f, f.start, steps)
    return walks


def main(folder: str = "landscapes") -> None:
    out = Path(folder)
    out.mkdir(parents=True, exist_ok=True)
    begin = time.perf_counter()
    for name, steps in STEPS.items():
        f = landscape(name)
        walks = walk(f, steps)
        title = f"{name.replace('_', ' ').capitalize()}, {steps} steps"
        landscapes.plot_trajectories(f, walks, out / f"{name}.png", title=title)
        landscapes.plot_losses(walks, out / f"{name}_losses.png", title=title, lowest=f.lowest)
        if name == "saddle":
            landscapes.animate(f, walks, out / f"{name}.gif")
        print(f"{name}: {steps} steps")
    comparison = landscapes.compare(OPTIMIZERS, landscapes.Rosenbrock(), steps=200, budget=16, starts=11, spread=0.03)
    comparison.plot(out / "comparison.png")
    print(f"\nRosenbrock, 200 steps from 11 starts\n{comparison}\n")
    landscapes.plot_regimes(out / "momentum_regimes.png")
    landscapes.plot_rates(out / "momentum_rates.png")
    print(f"{len(list(out.iterdir()))} files in {out}, {time.perf_counter() - begin:.0f} s")


if __name__ == "__main__":
    main(*sys.argv[1:])
