"""Every class with checked fields, and the arguments it needs."""

from __future__ import annotations

import copy
import inspect
from typing import Any

import numpy as np
import pytest

import nncore as nn
from nncore import callbacks, initializers, layers, losses, optimizers, samplers, schedules
from nncore import second_order as so
from nncore._utils import fields
from nncore.data.scaling import SCALERS
from nncore.landscapes import functions
from nncore.training import metrics

X = np.random.default_rng(0).standard_normal((12, 4))
y = np.random.default_rng(1).standard_normal((12, 3))
USUAL: dict[str, Any] = {  # arguments without a default, by their names
    "units": 3, "rate": 0.5, "stddev": 0.5, "sigma": 0.5, "strength": 0.1, "limit": 0.1, "groups": 2, "optimizer": "adam",
    "columns": [2, 0, 2, -1],
    "degrees": 10.0, "factors": (0.8, 1.25), "pixels": 1, "std": 0.1, "size": 2,
}  # fmt: skip
NEEDED: dict[str, dict[str, Any]] = {  # where a class needs other values, or arguments without which the others have no effect
    "Constant": {"value": 0.5}, "PiecewiseConstant": {"boundaries": [2, 3], "levels": [0.5, 0.9, 0.99]},
    "StepDecay": {"initial": 1.0, "every": 2}, "Harmonic": {"a": 0.5}, "InverseTime": {"initial": 1.0, "rate": 0.5},
    "Exponential": {"initial": 1.0, "gamma": 0.5}, "Polynomial": {"initial": 1.0, "steps": 4},
    "Cosine": {"initial": 1.0, "steps": 4}, "Warmup": {"after": 0.4, "steps": 3}, "OneCycle": {"peak": 1.0, "steps": 10},
    "CosLog": {"initial": 1.0, "steps": 4}, "Cyclic": {"initial": 0.0, "peak": 1.0, "steps": 2},
    "InversePower": {"initial": 1.0},
    "Augment": {"transforms": [nn.data.Shift(1), nn.data.Occlude(2)], "image_shape": (4, 4)},
    "ElasticNet": {"l1": 0.1, "l2": 0.2}, "PerLayer": {"penalties": {"dense_1": nn.L2(0.1)}},
    "ModelCheckpoint": {"path": "net", "monitor": "loss"}, "CSVLogger": {"path": "log.csv"},
    "MinMaxNorm": {"minimum": 0.2, "maximum": 0.5},
    "ConditioningMonitor": {"X": X, "y": y}, "WeightNorm": {"layer": nn.Dense(3)},
    "Bidirectional": {"layer": nn.GRU(3)}, "LossMetric": {"loss": losses.Huber(2.0)},
}  # fmt: skip
FREE = {"X", "y", "sample_weight", "bounds", "constraints", "options"}  # data, and SciPy's: checked where they are used
CLASSES: list[type] = [
    *optimizers.OPTIMIZERS.values(), nn.PathSGD, *optimizers.WRAPPERS.values(), *so.OPTIMIZERS.values(),
    *schedules.SCHEDULES.values(),
    *(sampler for name, sampler in samplers.SAMPLERS.items() if name != "weighted"),
    nn.L1, nn.L2, nn.ProximalL1, nn.ElasticNet, nn.regularizers.PerLayer, nn.ClipValue, nn.ClipNorm, nn.ClipGlobalNorm,
    *losses.LOSSES.values(), *layers.LAYERS.values(), callbacks.Callback, *callbacks.CALLBACKS.values(),
    so.ConditioningMonitor, *SCALERS.values(), nn.data.Augment, *nn.data.TRANSFORMS.values(),
    *initializers.INITIALIZERS.values(),
    *functions.LANDSCAPES.values(), metrics.Accuracy, metrics.LossMetric,
]  # fmt: skip
EACH = pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: f"{cls.__module__.split('.')[1]}-{cls.__name__}")


def arguments(cls: type) -> dict[str, Any]:
    """The arguments that the constructor requires."""
    if cls is initializers.Constant:
        return {}
    required = [p.name for p in inspect.signature(cls).parameters.values() if p.default is p.empty]
    return copy.deepcopy({name: USUAL[name] for name in required if name in USUAL} | NEEDED.get(cls.__name__, {}))


def named(cls: type) -> list[str]:
    """The names of all keyword arguments, including those passed on to a base class."""
    names = list(inspect.signature(cls).parameters)
    if "dense" in names:
        names = [name for name in names if name != "dense"] + ["weight_init", "bias_init", "bias", "name"]
    return [name for name in names if name not in FREE]


def default(cls: type, name: str) -> Any:
    for base in cls.__mro__:
        if "__init__" in vars(base):
            parameter = inspect.signature(vars(base)["__init__"]).parameters.get(name)
            if parameter is not None:
                return parameter.default
    return inspect.Parameter.empty


def attribute(cls: type, name: str) -> str:
    return fields.arguments(cls).get(name, name) if issubclass(cls, fields.Sealed) else name


def other_values(cls: type, name: str) -> list[Any]:
    """The other values of a flag or a choice, and another number."""
    given = arguments(cls).get(name, default(cls, name))
    field = getattr(cls, attribute(cls, name), None)
    field = field.field if isinstance(field, fields.Maybe) else field
    if isinstance(field, fields.Choice):
        return [choice for choice in field.choices if choice != given]
    if isinstance(given, bool):
        return [not given]
    if isinstance(given, float):
        return [given * 0.5] if given else [0.25]
    return []


def outcome(act: Any) -> Any:
    """The result, or the error that is raised."""
    try:
        return act()
    except Exception as error:
        return type(error), str(error)


def described(instance: Any) -> Any:
    return repr(instance), outcome(lambda: instance.config() if hasattr(instance, "config") else None)
