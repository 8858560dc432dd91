"""nncore: training fully connected networks fast, and studying how training works."""

from __future__ import annotations

from nncore import data, errors, initializers, losses, metrics, optimizers, schedules
from nncore._kernels import get_num_threads, set_num_threads
from nncore.callbacks import *  # noqa: F403
from nncore.clipping import ClipGlobalNorm, ClipNorm, ClipValue
from nncore.config import show_config
from nncore.errors import DivergenceError
from nncore.history import History
from nncore.layers import *  # noqa: F403
from nncore.losses import *  # noqa: F403
from nncore.model import Sequential
from nncore.optimizers import *  # noqa: F403
from nncore.regularizers import L1, L2, ElasticNet
from nncore.storage import load
from nncore.trainer import Trainer

__version__ = "0.1.0"
