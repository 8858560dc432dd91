"""Data: splitting it, scaling it, and small sets to try things on."""

# ruff: noqa: F403

from nncore._utils import registry as _registry
from nncore.data.augmentation import *
from nncore.data.datasets import *
from nncore.data.documents import *
from nncore.data.planes import *
from nncore.data.scaler import *
from nncore.data.scaling import *
from nncore.data.splits import *

globals()["__all__"] = _registry.public_names(__name__)
