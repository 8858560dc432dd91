"""Callbacks: objects whose hooks are called at the events of a training."""

# ruff: noqa: F403, F405

from nncore._utils import registry as _registry
from nncore.callbacks.base import *
from nncore.callbacks.checkpoint import *
from nncore.callbacks.csv_log import *
from nncore.callbacks.early_stopping import *
from nncore.callbacks.plateau import *

CALLBACKS = {cls.__name__: cls for cls in _registry.classes(Callback, __name__)}
globals()["__all__"] = _registry.public_names(__name__)
