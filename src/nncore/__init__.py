"""nncore: training fully connected networks fast, and studying how training works."""

# ruff: noqa: F403

import importlib as _importlib
import typing as _typing

from nncore import data as data
from nncore import distributed as distributed
from nncore import figures as figures
from nncore import initializers as initializers
from nncore import landscapes as landscapes
from nncore import losses as losses
from nncore import optimizers as optimizers
from nncore import samplers as samplers
from nncore import schedules as schedules
from nncore._kernels import get_num_threads as get_num_threads
from nncore._kernels import set_num_threads as set_num_threads
from nncore._messages import shown as _shown
from nncore._utils import registry as _registry
from nncore._utils.hints import PACKAGE as _PACKAGE
from nncore._utils.hints import hint as _hint
from nncore._version import __version__ as __version__
from nncore.callbacks import *
from nncore.config import *
from nncore.constraints import *
from nncore.ensemble import *
from nncore.errors import *
from nncore.history import *
from nncore.layers import *
from nncore.losses import *
from nncore.model import *
from nncore.optimizers import *
from nncore.regularizers import *  # type: ignore[assignment]  # another get
from nncore.sweeps import *
from nncore.training import *

if _typing.TYPE_CHECKING:
    from nncore import reference as reference
    from nncore import second_order as second_order
    from nncore.playground.show import playground as playground

# these are reached through their packages, as nn.losses.LOSSES
del ACTIVATIONS, CALLBACKS, LAYERS, LOSSES, NOISE, NORMALIZATIONS, OPTIMIZERS, WEIGHT_NOISE, WRAPPERS, get  # noqa: F821

_MODULES = (
    "data",
    "distributed",
    "figures",
    "initializers",
    "landscapes",
    "losses",
    "optimizers",
    "playground",
    "reference",
    "samplers",
    "schedules",
    "second_order",
)
_NAMES = globals()["__all__"] = sorted([*_registry.public_names(__name__), *_MODULES])


def __dir__() -> list[str]:
    """The public names, and none of the modules that they come from."""
    return [*_NAMES, "__version__"]


if not _typing.TYPE_CHECKING:  # for type checkers a misspelled name is an error

    def __getattr__(name: str) -> _typing.Any:
        """``reference`` and ``second_order`` on first use, as they need more of SciPy than training does; ``playground``."""
        if name in ("playground", "reference", "second_order"):
            return _importlib.import_module(f"nncore.{name}")
        meant = f": {_PACKAGE[name]}" if name in _PACKAGE else _hint(name, _NAMES)
        raise AttributeError(f"module 'nncore' has no attribute {_shown(name)}{meant}")
