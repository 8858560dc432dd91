"""Test functions for optimizers, recordings and plots of trajectories, fair comparison, and the theory of momentum.

The optimizers are those that train networks.
"""

from __future__ import annotations

from nncore.landscapes.compare import Comparison, Search, compare, random_starts, search_lr, steps_to
from nncore.landscapes.functions import (
    LANDSCAPES,
    Beale,
    Himmelblau,
    Landscape,
    LongValley,
    Quadratic,
    Rosenbrock,
    Saddle,
)  # fmt: skip
from nncore.landscapes.momentum import (
    REGIMES,
    Optimum,
    convergence_rate,
    iteration_eigenvalues,
    iteration_matrix,
    measured_rate,
    optimal,
    predicted_rate,
    regime,
)  # fmt: skip
from nncore.landscapes.momentum_plots import plot_rates, plot_regimes
from nncore.landscapes.plots import animate, plot_losses, plot_trajectories
from nncore.landscapes.recorder import Recording, record
from nncore.landscapes.surface import LossSurface, filter_normalized_directions, loss_surface, principal_directions

__all__ = [
    "LANDSCAPES", "REGIMES", "Beale", "Comparison", "Himmelblau", "Landscape", "LongValley", "LossSurface", "Optimum",
    "Quadratic", "Recording", "Rosenbrock", "Saddle", "Search", "animate", "compare", "convergence_rate",
    "filter_normalized_directions", "iteration_eigenvalues", "iteration_matrix", "loss_surface", "measured_rate", "optimal",
    "plot_losses", "plot_rates", "plot_regimes", "plot_trajectories", "predicted_rate", "principal_directions",
    "random_starts", "record", "regime", "search_lr", "steps_to",
]  # fmt: skip
