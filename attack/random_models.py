"""Random configurations of everything that a training is made of, drawn from the registries.

`draw` makes a trainer, its data and the arguments of ``fit`` from a seed. The same seed gives the same configuration again,
also in another process. What does not go together is drawn too, if rarely: such a training must be refused before it has begun.
"""

from __future__ import annotations

import contextlib
import copy
import os
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse
from helpers.layers import TARGETS
from numpy.typing import NDArray

import nncore as nn
from attack.random_arguments import construct, size
from nncore import constraints, samplers, second_order
from nncore.data.scaling import SCALERS
from nncore.layers import LAYERS
from nncore.losses import LOSSES
from nncore.optimizers import OPTIMIZERS, WRAPPERS

__all__ = ["Setup", "draw"]

Array = NDArray[Any]
Random = np.random.Generator

REGULARIZERS = (nn.L1, nn.L2, nn.ElasticNet, nn.ProximalL1)
CONSTRAINTS = tuple(getattr(constraints, name) for name in constraints.__all__ if name != "Constraint")
CLIPS = (nn.ClipValue, nn.ClipNorm, nn.ClipGlobalNorm)
ROWS, MANY_ROWS = (2, 3, 8, 9, 16, 17, 33, 40, 61), (65, 97, 130, 257, 400, 600)
WIDE = (33, 47, 64, 65, 100, 129, 200, 257, 300)  # over the sizes of panels, tiles and vectors
LAYERS_MOST = 5
MOST_PARAMETERS = 1000  # of models for second-order methods, of which many solve equations of this size
METRICS = ("accuracy", "huber", "mean_absolute_error", "mean_squared_error")
OF_SEVERAL = ("softmax_cross_entropy", "kl_divergence")  # which need two outputs


class Setup(NamedTuple):
    """A training: a new trainer, its data, and the arguments of ``fit`` but ``epochs`` and ``callbacks``."""

    trainer: nn.Trainer
    X: Any
    y: Array
    fit: dict[str, Any]
    callbacks: list[nn.Callback]


def draw(
    seed: int, *, large: bool = False, dtype: str | None = None, folder: str = ".", before_output: nn.Layer | None = None
) -> Setup:  # fmt: skip
    """The configuration of this seed.

    Parameters
    ----------
    seed : int
    large : bool
        With rows and widths at which several threads, blocks and tiles are at work.
    dtype : optional
        That of the model; drawn by default.
    folder : str
        Where callbacks write.
    before_output : optional
        A layer to be put in before the output layer.
    """
    rng = np.random.default_rng(seed)
    kind = str(rng.choice(["rows", "rows", "rows", "steps", "sparse"]))
    rows = int(rng.choice(MANY_ROWS if large else ROWS))
    X = _inputs(rng, kind, rows, large)
    loss = construct(rng, LOSSES[_one(rng, LOSSES)])
    outputs = int(rng.integers(1 + (loss.name in OF_SEVERAL), 6))
    last = TARGETS[loss.name][0]
    layers = _layers(rng, kind, _shape(X), large) + [before_output] * bool(before_output)
    layers += [nn.Dense(outputs), *([last()] if last else [])]
    precision, model_seed = str(rng.choice(["float32", "float64"])), int(rng.integers(100))
    dtype = dtype or precision
    compute = _perhaps(rng, 0.15, lambda: "bfloat16") if dtype == "float32" else None
    model = nn.Sequential(layers, _shape(X), dtype=dtype, compute_dtype=compute, seed=model_seed)
    y = _targets(rng, loss.name, rows, model.output_shape[-1])
    _add_scalers(rng, model, X, y, loss.name)
    trainer = _trainer(rng, model, loss, y)
    fit = _fit(rng, trainer, X, y)
    return Setup(trainer, X, y, fit, _callbacks(rng, trainer, fit, folder))


def _one(rng: Random, names: Any) -> str:
    return str(rng.choice(sorted(names)))


def _perhaps(rng: Random, probability: float, make: Callable[[], Any], otherwise: Any = None) -> Any:
    return make() if rng.random() < probability else otherwise


# ---- data


def _width(rng: Random, large: bool) -> int:
    return int(rng.choice(WIDE)) if large and rng.random() < 0.7 else size(rng)


def _inputs(rng: Random, kind: str, rows: int, large: bool) -> Any:
    width = _width(rng, large)
    if kind == "steps":
        X = rng.standard_normal((rows, int(rng.integers(1, 6)), min(width, 40)))
        X[rng.random(X.shape[:2]) < rng.choice([0, 0.3])] = 0  # steps that `Masking` marks
        return X
    X = rng.standard_normal((rows, width))
    if kind == "sparse":
        return scipy.sparse.csr_matrix(X * (rng.random(X.shape) < 0.3))
    return X


def _shape(X: Any) -> tuple[int, ...]:
    return tuple(int(n) for n in X.shape[1:])


def _targets(rng: Random, loss: str, rows: int, width: int) -> Array:
    kinds = TARGETS[loss][1]
    names = [name for name in kinds if width > 1 or name != "one-hot"]
    return np.asarray(kinds[_one(rng, names)](rng, rows, width))


def _add_scalers(rng: Random, model: nn.Sequential, X: Any, y: Array, loss: str) -> None:
    if not scipy.sparse.issparse(X) and rng.random() < 0.3:
        model.input_scaler = construct(rng, SCALERS[_one(rng, SCALERS)]).fit(X.reshape(len(X), -1))
    if "numbers" in TARGETS[loss][1] and y.ndim == 2 and rng.random() < 0.15:
        model.target_scaler = construct(rng, SCALERS[_one(rng, SCALERS)]).fit(y)


# ---- the network


def _layers(rng: Random, kind: str, shape: tuple[int, ...], large: bool) -> list[nn.Layer]:
    """Layers that fit on each other. One that does not fit is left out."""
    layers: list[nn.Layer] = []
    if kind == "sparse":
        layers = _extended(rng, layers, shape, nn.SparseDense, large)
    for _ in range(int(rng.integers(0, LAYERS_MOST + 1))):
        layers = _extended(rng, layers, shape, LAYERS[_one(rng, LAYERS)], large)
    return layers


def _extended(rng: Random, layers: list[nn.Layer], shape: tuple[int, ...], cls: type, large: bool) -> list[nn.Layer]:
    width = {"units": _width(rng, large)} if large and issubclass(cls, nn.Dense) else {}
    more = [*layers, construct(rng, cls, **width), *([construct(rng, nn.GRU)] if cls is nn.Masking else [])]
    try:
        nn.Sequential([nn.layers.base.copy_unbound([layer], {})[0] for layer in [*more, nn.Dense(1)]], shape)
    except ValueError:
        return layers
    return more


# ---- the training


def _trainer(rng: Random, model: nn.Sequential, loss: nn.losses.Loss, y: Array) -> nn.Trainer:
    """An argument that does not go with the others is left out, and an optimizer that does not go with the model replaced."""
    optimizer, taken = _optimizer(rng), {"seed": int(rng.integers(100))}
    slow = isinstance(optimizer, second_order.FullBatchOptimizer) and model.parameters.size > MOST_PARAMETERS
    if slow or not _takes(model, loss, optimizer):
        optimizer = nn.SGD(lr=0.01)
    for name, value in _arguments(rng, model, y).items():
        if _takes(model, loss, optimizer, **taken, **{name: value}):
            taken[name] = value
    return nn.Trainer(model, loss, optimizer, **taken)


def _takes(model: nn.Sequential, loss: nn.losses.Loss, optimizer: Any, **arguments: Any) -> bool:
    try:
        nn.Trainer(model, loss, copy.deepcopy(optimizer), **arguments)
    except ValueError:
        return False
    return True


def _optimizer(rng: Random) -> Any:
    if rng.random() < 0.1:
        return construct(rng, second_order.OPTIMIZERS[_one(rng, second_order.OPTIMIZERS)])
    if rng.random() < 0.05:
        return construct(rng, nn.PathSGD)
    optimizer = construct(rng, OPTIMIZERS[_one(rng, OPTIMIZERS)])
    for _ in range(int(rng.choice([0, 0, 1, 2]))):
        with contextlib.suppress(ValueError):  # one around another of its kind
            optimizer = construct(rng, WRAPPERS[_one(rng, WRAPPERS)], optimizer=optimizer)
    return optimizer


def _arguments(rng: Random, model: nn.Sequential, y: Array) -> dict[str, Any]:
    layers = [str(layer.name) for layer in model.layers if any(p.regularized for p in layer.parameters.values())]

    def everywhere_or_by_name(classes: Any) -> Any:
        own = construct(rng, classes[rng.integers(len(classes))])
        return own if rng.random() < 0.6 else {str(rng.choice(layers)): own}

    def factors() -> dict[str, float]:
        return {str(rng.choice(layers)): float(rng.choice([0.0, 0.5, 2.0]))}

    drawn = {
        "regularizer": _perhaps(rng, 0.4, lambda: everywhere_or_by_name(REGULARIZERS)),
        "constraint": _perhaps(rng, 0.2, lambda: everywhere_or_by_name(CONSTRAINTS)),
        "clip": _perhaps(rng, 0.3, lambda: construct(rng, CLIPS[rng.integers(len(CLIPS))])),
        "lr_factors": _perhaps(rng, 0.2, factors), "decay_factors": _perhaps(rng, 0.3, factors),
        "metrics": _perhaps(rng, 0.6, lambda: [_one(rng, METRICS if y.dtype.kind == "i" else METRICS[1:])]),
    }  # fmt: skip
    return {name: value for name, value in drawn.items() if value is not None}


def _fit(rng: Random, trainer: nn.Trainer, X: Any, y: Array) -> dict[str, Any]:
    """The arguments of ``fit``; for the most part those that the optimizer takes."""
    rows = X.shape[0]
    fit: dict[str, Any] = {
        "exact_loss": bool(rng.random() < 0.3),
        "sample_weight": _perhaps(rng, 0.3, lambda: rng.uniform(0, 2, rows) * (rng.random(rows) < 0.9) + 1e-3), "verbose": 0,
    }  # fmt: skip
    if y.dtype.kind == "i" and y.ndim == 1 and rng.random() < 0.3:
        fit["class_weight"] = "balanced" if rng.random() < 0.5 else {int(y[0]): 2.0}
    if (share := rng.random()) < 0.25:
        fit["validation_split"] = 0.3
    elif share < 0.5:
        fit["validation_data"] = (X[: rows // 2 + 1], y[: rows // 2 + 1])
    return fit | _batches(rng, trainer, X, y) if rng.random() < 0.05 or not _of_full_batch(trainer) else fit


def _of_full_batch(trainer: nn.Trainer) -> bool:
    return isinstance(trainer.optimizer, second_order.FullBatchOptimizer)


def _batches(rng: Random, trainer: nn.Trainer, X: Any, y: Array) -> dict[str, Any]:
    rows = X.shape[0]
    batch = None if trainer.optimizer.full_batch_only and rng.random() < 0.9 else _batch(rng, rows)
    fit: dict[str, Any] = {
        "batch_size": batch, "accumulate": int(rng.choice([1, 1, 1, 2, 3])) if batch else 1,
        "last_batch": _one(rng, ["keep", "merge", "merge", "drop"]),
    }  # fmt: skip
    if rng.random() < 0.5:
        fit["shuffle"] = bool(rng.integers(2))
    else:
        name = _one(rng, [name for name, cls in samplers.SAMPLERS.items() if y.dtype.kind == "i" or not cls.uses_labels])
        given = {"weights": rng.uniform(0.1, 1, rows)} if name == "weighted" else {}
        fit["sampler"] = construct(rng, samplers.SAMPLERS[name], **given)
    if not scipy.sparse.issparse(X) and X.ndim == 2 and rng.random() < 0.15 and not trainer.optimizer.full_batch_only:
        names = [_one(rng, nn.data.TRANSFORMS) for _ in range(2)]
        fit["augment"] = nn.data.Augment([construct(rng, nn.data.TRANSFORMS[name]) for name in names], (1, X.shape[1]))
    return fit


def _batch(rng: Random, rows: int) -> int:
    """Any size; with a rest, without one, and the largest and smallest."""
    return int(max(1, rng.choice([1, 2, rows - 1, rows, rows // 2, rows // 3, 32, rng.integers(1, rows + 1)])))


def _has_rate(trainer: nn.Trainer) -> bool:
    """Whether the learning rate is a number, which a callback may reduce."""
    return "lr" in trainer.optimizer.hyperparameters and isinstance(trainer.optimizer.lr, float)


def _callbacks(rng: Random, trainer: nn.Trainer, fit: dict[str, Any], folder: str) -> list[nn.Callback]:
    """Of each kind at most one; `ModelCheckpoint` last, as it must be to save what the others have done."""
    validated = "validation_data" in fit or "validation_split" in fit
    monitor = "val_loss" if validated else "loss" if _of_full_batch(trainer) or fit["exact_loss"] else "running_loss"
    made: list[nn.Callback] = []
    if rng.random() < 0.3 and _has_rate(trainer):
        given = {"patience": int(rng.integers(0, 3)), "threshold": 0.1}
        made.append(construct(rng, nn.ReduceLROnPlateau, monitor=monitor, mode="min", **given))
    if rng.random() < 0.3:
        made.append(construct(rng, nn.EarlyStopping, monitor=monitor, mode="min", patience=int(rng.integers(1, 5))))
    if rng.random() < 0.3:
        made.append(nn.CSVLogger(os.path.join(folder, "log.csv"), append=True))
    if rng.random() < 0.3:
        monitored = {"monitor": monitor, "mode": "min"} if rng.random() < 0.5 else {}
        made.append(nn.ModelCheckpoint(os.path.join(folder, "best-{epoch}" if rng.random() < 0.5 else "best"), **monitored))
    return made
