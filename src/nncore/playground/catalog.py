"""What there is to choose from in the playground, read from the registries."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from nncore import figures, initializers, layers, losses, optimizers, regularizers, schedules
from nncore.optimizers import clipping
from nncore.playground import datasets, race, racers
from nncore.playground.parameters import choice, plain

__all__ = ["CLIPS", "LIMITS", "NORMS", "REGULARIZERS", "SCHEDULED", "TASKS", "catalog"]

LIMITS = {"layers": 8, "units": 64, "examples": 5000, "runs": 2}
NORMS = ("batch_norm", "batch_renorm", "layer_norm", "rmsnorm")
REGULARIZERS = {"l2": regularizers.L2, "l1": regularizers.L1, "proximal_l1": regularizers.ProximalL1}
REGULARIZERS |= {"elastic_net": regularizers.ElasticNet}  # type: ignore[dict-item]  # they share a base
CLIPS = {
    "clip_global_norm": clipping.ClipGlobalNorm,
    "clip_norm": clipping.ClipNorm,
    "clip_value": clipping.ClipValue,
}
SCHEDULED = {  # the argument that is the learning rate
    "step_decay": "initial", "exponential": "initial", "harmonic": "a", "inverse_time": "initial", "inverse_power": "initial",
    "polynomial": "initial", "cosine": "initial", "cos_log": "initial", "cyclic": "initial", "warmup": "after",
    "one_cycle": "peak",
}  # fmt: skip
TASKS = {
    "classification": ("softmax_cross_entropy", "sigmoid_cross_entropy", "squared_error", "mean_squared_error", "hinge"),
    "regression": ("squared_error", "mean_squared_error", "mean_absolute_error", "huber"),
}


@functools.cache
def catalog() -> dict[str, Any]:
    """``Catalog`` of ``types.d.ts``."""
    activations = [name for name in layers.ACTIVATIONS if name not in ("identity", "softmax")]
    return {
        "datasets": [
            {"name": d.name, "label": d.label, "task": d.task, "plane": d.plane} for d in datasets.DATASETS.values()
        ],
        "features": [{"name": name, "label": feature.label} for name, feature in datasets.FEATURES.items()],
        "activations": plain(["identity", *activations]),
        "norms": plain(NORMS),
        "initializers": plain(["default", *(name for name in initializers.INITIALIZERS if name != "uniform")]),
        "losses": {task: _choices({name: losses.LOSSES[name] for name in names}) for task, names in TASKS.items()},
        "optimizers": _choices(optimizers.OPTIMIZERS),
        "racers": racers.racers(),
        "schedules": [choice(schedules.SCHEDULES[name], name, [rate]) for name, rate in SCHEDULED.items()],
        "regularizers": _choices(REGULARIZERS),
        "clips": _choices(CLIPS),
        "landscapes": race.landscapes(),
        "limits": LIMITS,
        "colors": {name: figures.colors([cls.__name__])[cls.__name__] for name, cls in racers.CLASSES.items()},
    }  # fmt: skip


def _choices(classes: Mapping[str, type]) -> list[dict[str, Any]]:
    return [choice(cls, name) for name, cls in classes.items()]
