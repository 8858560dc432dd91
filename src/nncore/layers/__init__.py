"""Layers: what each computes, its parameters, and the ops it records."""

# ruff: noqa: F403, F405, I001  (the order of the imports is that of LAYERS)

from nncore._utils import registry as _registry
from nncore.layers.base import *
from nncore.layers.dense import *
from nncore.layers.sparse_dense import *
from nncore.layers.recurrent import *
from nncore.layers.bidirectional import *
from nncore.layers.masking import *
from nncore.layers.activity import *
from nncore.layers.activations import *
from nncore.layers.scale import *
from nncore.layers.select import *
from nncore.layers.batch_norm import *
from nncore.layers.group_norm import *
from nncore.layers.weight_norm import *
from nncore.layers.noise import *
from nncore.layers.weight_noise import *

_NORMALIZING = [f"{__name__}.{file}" for file in ("batch_norm", "group_norm", "weight_norm")]

NORMALIZATIONS = {cls.default_name(): cls for cls in _registry.classes(Layer, *_NORMALIZING)}
LAYERS = {cls.default_name(): cls for cls in _registry.classes(Layer, __name__) if cls is not Activation}
globals()["__all__"] = _registry.public_names(__name__)
