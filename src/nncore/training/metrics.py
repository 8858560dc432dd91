"""Metrics, reported besides the loss. Each is the mean over the examples of a per-example number computed by the program."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncore import losses
from nncore._messages import shown
from nncore._utils.fields import Converted, Value
from nncore._utils.hints import hint
from nncore.losses import Loss, Targets
from nncore.program.ops import Op, Signal
from nncore.program.tape import Tape

__all__ = ["Accuracy", "LossMetric", "get"]

Array = NDArray[Any]


class Accuracy(Value):
    """Fraction of correctly classified examples.

    A single output is binary: it is compared with the threshold of the loss (0 for logits and hinge, ½ for probabilities). For
    a regression loss, or one written in Python, the threshold is the mean of the two values of the targets: ½ for 0 and 1, 0
    for −1 and 1. If the data contain only one value, the two of the last training are used, or else 0 and 1 for a value of 1.

    With several outputs, if the targets are labels or rows that sum to 1, such as one-hot rows, the predicted class is that of
    the largest output (the first of equals), compared with the label or the largest target. Other rows have several labels per
    example: then every output is binary, and an example is correct only if all of its outputs are. This is subset accuracy,
    scikit-learn's ``accuracy_score`` of a multilabel indicator matrix; Keras's ``"accuracy"`` takes the largest output there.

    An example with an output that is NaN is not correct.
    """

    name = "accuracy"

    def emit(self, tape: Tape, y: Signal, d: Array, targets: Targets) -> tuple[Op, Array]:
        """Record the op on the targets of the loss; returns it and the per-example column that it writes."""
        correct = np.zeros(tape.capacity)
        if targets.thresholds is not None:
            return Op("rows", "accuracy_binary", (correct, y.value, d), (y.width,), targets.thresholds), correct
        kernel = "accuracy_labels" if targets.kind == "labels" else "accuracy_targets"
        return Op("rows", kernel, (correct, y.value, d), (y.width,)), correct


class LossMetric(Value):
    """A loss reported as a metric, without its gradient, on targets in the form it needs."""

    loss: Converted[Loss | str, Loss] = Converted(lambda name, value: losses.get(value))

    def __init__(self, loss: Loss) -> None:
        self.loss = loss

    def check_fields(self, assigned: Mapping[str, Any]) -> None:
        name = self.__dict__.setdefault("_name", self.name)
        if name != self.name:
            raise ValueError(f"loss of a metric must stay {name}, as its column is named, got {shown(self.loss)}")

    @property
    def name(self) -> str:
        """The name of the loss."""
        return str(self.loss.name)

    def __repr__(self) -> str:
        return f"LossMetric({self.loss!r})"

    def emit_own(self, tape: Tape, y: Signal, targets: Targets) -> tuple[Op, Op, Array]:
        """Record the ops; returns the gather op of the targets, the op of the metric, and the per-example column it writes."""
        gather, op, values = self.loss.emit(tape, replace(y, grad=None), targets)
        op.completes_loss = False
        return gather, op, values


def get(metric: Any) -> Accuracy | LossMetric:
    """A metric from an object or a name: ``"accuracy"`` or that of a loss."""
    if isinstance(metric, (Accuracy, LossMetric)):
        return metric
    if isinstance(metric, str) and metric == "accuracy":
        return Accuracy()
    try:
        return LossMetric(losses.get(metric))
    except ValueError:
        known = ["accuracy", *losses.LOSSES]
        raise ValueError(f"metric must be one of {', '.join(known)}, got {shown(metric)}{hint(metric, known)}") from None


def names(metrics: Sequence[Any]) -> list[str]:
    """The column names of metrics; raises if two are equal."""
    result = [metric.name for metric in metrics]
    if len(set(result)) < len(result):
        raise ValueError(f"metrics must differ, got {result}")
    return result
