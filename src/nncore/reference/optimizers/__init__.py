"""Optimizer steps over θ, its gradient g and the optimizer's state: vectors of one length and dtype, changed in place.

η is ``lr``, μ is ``momentum``, ε is ``eps``; t is ``step``, from 1. State starts at zero where nothing else is said. As
in the kernels, a parameter and its state keep their values where one of them would not be finite, and the step returns
True to say so. Where ε can stand beside the root or under it, or η inside the velocity or outside, each form has the
name of its kernel.
"""

from .adam import (
    adam_inside_update,
    adam_update,
    adamax_update,
    adamw_inside_update,
    adamw_update,
    amsgrad_inside_update,
    amsgrad_update,
    nadam_update,
)
from .adaptive import (
    adadelta_outside_update,
    adadelta_update,
    adagrad_inside_update,
    adagrad_update,
    rmsprop_centered_inside_update,
    rmsprop_centered_momentum_inside_update,
    rmsprop_centered_momentum_update,
    rmsprop_centered_update,
    rmsprop_inside_update,
    rmsprop_momentum_inside_update,
    rmsprop_momentum_update,
    rmsprop_update,
)
from .averaging import average
from .momentum import (
    momentum_outside_update,
    momentum_update,
    nesterov_enter,
    nesterov_leave,
    nesterov_update,
    sgd_update,
)
from .sign import delta_bar_delta_update, lion_update, rprop_update

__all__ = [
    "adadelta_outside_update",
    "adadelta_update",
    "adagrad_inside_update",
    "adagrad_update",
    "adam_inside_update",
    "adam_update",
    "adamax_update",
    "adamw_inside_update",
    "adamw_update",
    "amsgrad_inside_update",
    "amsgrad_update",
    "average",
    "delta_bar_delta_update",
    "lion_update",
    "momentum_outside_update",
    "momentum_update",
    "nadam_update",
    "nesterov_enter",
    "nesterov_leave",
    "nesterov_update",
    "rmsprop_centered_inside_update",
    "rmsprop_centered_momentum_inside_update",
    "rmsprop_centered_momentum_update",
    "rmsprop_centered_update",
    "rmsprop_inside_update",
    "rmsprop_momentum_inside_update",
    "rmsprop_momentum_update",
    "rmsprop_update",
    "rprop_update",
    "sgd_update",
]
