"""Test functions for optimizers, recordings and plots of trajectories, fair comparison, and the theory of momentum.

The optimizers are those that train networks.
"""

# ruff: noqa: F403

from nncore._utils import registry as _registry
from nncore.landscapes.compare import *
from nncore.landscapes.functions import *
from nncore.landscapes.momentum import *
from nncore.landscapes.momentum_plots import *
from nncore.landscapes.plots import *
from nncore.landscapes.recorder import *
from nncore.landscapes.surface import *

globals()["__all__"] = _registry.public_names(__name__)
