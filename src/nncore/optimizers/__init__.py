"""Optimizers, the simplest first."""

# ruff: noqa: F403, F405, I001  (the order of the imports is that of OPTIMIZERS)

from nncore._utils import registry as _registry
from nncore.optimizers.base import *
from nncore.optimizers.gradient import *
from nncore.optimizers.momentum import *
from nncore.optimizers.adaptive import *
from nncore.optimizers.ftrl import *
from nncore.optimizers.adam import *
from nncore.optimizers.sign import *
from nncore.optimizers.averaging import *
from nncore.optimizers.noise import *
from nncore.optimizers.decay import *
from nncore.optimizers.clipping import *
from nncore.optimizers.registry import *
from nncore.optimizers.wrapper import Wrapper as _Wrapper

WRAPPERS.update((cls.name, cls) for cls in _registry.classes(_Wrapper, __name__))
OPTIMIZERS.update((cls.name, cls) for cls in _registry.classes(GradientOptimizer, __name__) if not issubclass(cls, _Wrapper))
globals()["__all__"] = _registry.public_names(__name__)
