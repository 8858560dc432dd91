"""Loss and metrics of what members predict together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncore import losses
from nncore._utils.arrays import Array
from nncore.ensemble.ensemble import Ensemble, activated
from nncore.layers import Dense
from nncore.model import Sequential
from nncore.training.metrics import LossMetric
from nncore.training.trainer import Trainer

__all__ = ["evaluate_together"]

Int64 = NDArray[np.int64]


def evaluate_together(
    ensemble: Ensemble, trainer: Trainer, X: Any, y: Any, weights: Any, subsets: Sequence[Int64] | None = None
) -> tuple[dict[str, float], float]:
    """The row of `Trainer.evaluate` for the mean over the members, for each example over those that do not have it in their
    ``subsets``.

    The mean is that of the outputs in the units of y, as in `Ensemble.predict`, or, if the loss applies a softmax or a sigmoid
    to them, of the probabilities. Also the fraction of the examples of which there is one: the others do not count.
    """
    first, loss = ensemble.groups[0].template, trainer.loss
    n, width = len(trainer._data(X, y, weights)), math.prod(first.output_shape)  # checked
    targets = np.asarray(first.scaled_targets(y))
    for form in (loss, *(metric.loss for metric in trainer.metrics if isinstance(metric, LossMetric))):
        losses.targets_of(form, targets, width, first.dtype)  # raises for rows that no member would be trained on
    used = np.ones((len(ensemble), n), dtype=bool) if subsets is None else _unseen(subsets, n)
    counts = used.sum(axis=0)
    rows = np.flatnonzero(counts)
    if not len(rows):
        raise ValueError("each example is in the subsets of all members: there is no out-of-bag prediction")
    outputs = _outputs(ensemble, X, loss.fused_activation)
    mean = (outputs * used[:, :, None]).sum(axis=0)[rows] / counts[rows, None]
    identity = Sequential([Dense(width, bias=False)], input_shape=width, dtype="float64")
    identity.parameters[...] = np.eye(width).ravel()
    evaluation = Trainer(identity, loss, "sgd", metrics=trainer.metrics)
    evaluation._levels = trainer._levels
    if loss.fused_activation:
        final = _logits(mean, loss.fused_activation)
    else:
        final = first.target_scaler.transformed(mean, "the mean of the outputs") if first.target_scaler else mean
    given = None if weights is None else np.asarray(weights)[rows]
    row = evaluation.evaluate(final, targets[rows], sample_weight=given)
    return row, len(rows) / n


def _unseen(subsets: Sequence[Int64], n: int) -> NDArray[np.bool_]:
    """Which members have not been trained on which examples, (members, n)."""
    unseen = np.ones((len(subsets), n), dtype=bool)
    for own, rows in zip(unseen, subsets, strict=True):
        if rows.max() >= n:
            raise ValueError(f"X and y must be those of the last fit, with more than {rows.max()} rows, got {n}")
        own[rows] = False
    return unseen


def _outputs(ensemble: Ensemble, X: Any, activation: str) -> Array:
    """What is averaged: probabilities by this activation, or outputs in the units of y: (members, n, outputs) in float64."""
    if activation and len(ensemble.groups) > 1 and any(group.template.target_scaler for group in ensemble.groups):
        raise ValueError(
            f"members with several target scalers have no common probabilities, which a loss with {activation} needs"
        )
    parts, width = ensemble._outputs(X), math.prod(ensemble.groups[0].template.output_shape)
    result = np.empty((len(ensemble), parts[0][1].shape[1], width))
    for group, part in parts:
        own = part.astype(np.float64)
        own = activated(own, activation) if activation else group.template._in_target_units(own)
        result[group.numbers] = own.reshape(*own.shape[:2], width)
    return result


def _logits(means: Array, activation: str) -> Array:
    """Outputs that have these probabilities."""
    tiny = np.finfo(np.float64).tiny
    if activation == "softmax":
        return np.log(np.maximum(means, tiny))
    if activation == "sigmoid":
        return np.log(np.maximum(means, tiny)) - np.log(np.maximum(1 - means, 2**-54))
    return means
