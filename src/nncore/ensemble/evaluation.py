"""Loss and metrics of what members predict together."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nncore._utils.arrays import Array
from nncore.ensemble.ensemble import Ensemble
from nncore.layers import Dense
from nncore.model import Sequential
from nncore.training.trainer import Trainer

__all__ = ["evaluate_together"]


def evaluate_together(
    ensemble: Ensemble, trainer: Trainer, X: Any, y: Any, weights: Any, used: Array | None = None
) -> tuple[dict[str, float], float]:
    """The row of `Trainer.evaluate` for the mean over the members, or over those ``used`` (members, n) for each example.

    The mean is that of the outputs or, if the loss applies a softmax or a sigmoid to them, of the probabilities. Also the
    fraction of the examples for which a member is used: the others do not count.
    """
    first, loss = ensemble.groups[0].template, trainer.loss
    outputs = _outputs(ensemble, X)
    members, n = outputs.shape[:2]
    mask = np.ones((members, n), dtype=bool) if used is None else used
    counts = mask.sum(axis=0)
    rows = np.flatnonzero(counts)
    if not len(rows):
        raise ValueError("each example is in the subsets of all members: there is no out-of-bag prediction")
    values = _probabilities(outputs, loss.fused_activation)
    mean = (values * mask[:, :, None]).sum(axis=0)[rows] / counts[rows, None]
    width = outputs.shape[2]
    identity = Sequential([Dense(width, bias=False)], input_shape=width, dtype="float64")
    identity.parameters[...] = np.eye(width).ravel()
    evaluation = Trainer(identity, loss, "sgd", metrics=trainer.metrics)
    targets = np.asarray(first.scaled_targets(y))[rows]
    given = None if weights is None else np.asarray(weights)[rows]
    row = evaluation.evaluate(_logits(mean, loss.fused_activation), targets, sample_weight=given)
    return row, len(rows) / n


def _outputs(ensemble: Ensemble, X: Any) -> Array:
    """The outputs in the units of the networks, (members, n, outputs), in float64."""
    parts = ensemble._outputs(X)
    n, width = parts[0][1].shape[1], math.prod(ensemble.groups[0].template.output_shape)
    result = np.empty((len(ensemble), n, width))
    for group, part in parts:
        result[group.numbers] = part.reshape(len(part), n, width)
    return result


def _probabilities(outputs: Array, activation: str) -> Array:
    if activation == "softmax":
        powers = np.exp(outputs - outputs.max(axis=-1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=-1, keepdims=True))
    return 0.5 + 0.5 * np.tanh(0.5 * outputs) if activation == "sigmoid" else outputs


def _logits(means: Array, activation: str) -> Array:
    """Outputs that have these probabilities."""
    tiny = np.finfo(np.float64).tiny
    if activation == "softmax":
        return np.log(np.maximum(means, tiny))
    if activation == "sigmoid":
        return np.log(np.maximum(means, tiny)) - np.log(np.maximum(1 - means, 2**-54))
    return means
