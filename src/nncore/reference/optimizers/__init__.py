"""Optimizer steps over θ, its gradient g and the optimizer's state: vectors of one length and dtype, changed in place.

η is ``lr``, μ is ``momentum``, ε is ``eps``; t is ``step``, from 1. State starts at zero unless stated otherwise. As
in the kernels, a parameter and its state keep their values if one of them would not be finite, and the step then returns
True. ε can be outside the root or inside it, η inside the velocity or outside; each form has the name of its
kernel.
"""

# ruff: noqa: F403

from . import adam, adaptive, averaging, momentum, path, sign
from .adam import *
from .adaptive import *
from .averaging import *
from .momentum import *
from .path import *
from .sign import *

# Not an assignment to __all__: type checkers would take an expression for an empty list.
globals()["__all__"] = sorted(
    adam.__all__ + adaptive.__all__ + averaging.__all__ + momentum.__all__ + path.__all__ + sign.__all__
)
