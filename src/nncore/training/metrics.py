"""Metrics: what is reported beside the loss. Each is a mean over examples of a per-example number, kept by the program."""

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
    """Share of examples that are classified right.

    One output says yes or no: it is compared with the threshold of the loss (0 on logits and for hinge, ½ on probabilities).
    For a regression loss, or one written in Python, the threshold lies in the middle between the two numbers that the targets
    consist of: ½ for 0 and 1, 0 for −1 and 1. Data with one of the numbers only are judged by the two of the last training,
    and without those 1 belongs to 0 and 1.

    With several outputs the largest one decides (the first of equals) and is compared with the label, or with the largest
    target, if the targets are labels or rows that sum to 1, as one-hot rows do. Other rows tell several labels at once: then
    every output says yes or no by itself, and an example is right only if all of its outputs are. This is subset accuracy,
    scikit-learn's ``accuracy_score`` of a multilabel indicator matrix; Keras's ``"accuracy"`` takes the largest output there.
    """

    name = "accuracy"

    def __repr__(self) -> str:
        return "Accuracy()"

    def emit(self, tape: Tape, y: Signal, d: Array, targets: Targets) -> tuple[Op, Array]:
        """Record the op, on the targets of the loss, judged by it; returns it and the per-example column that it writes."""
        correct = np.zeros(tape.capacity)
        if targets.thresholds is not None:
            return Op("rows", "accuracy_binary", (correct, y.value, d), (y.width,), targets.thresholds), correct
        kernel = "accuracy_labels" if targets.kind == "labels" else "accuracy_targets"
        return Op("rows", kernel, (correct, y.value, d), (y.width,)), correct


class LossMetric(Value):
    """A loss reported as a metric, without its gradient, on targets in its own form."""

    loss: Converted[Loss | str, Loss] = Converted(lambda name, value: losses.get(value))

    def __init__(self, loss: Loss) -> None:
        self.loss = loss

    def check_fields(self, assigned: Mapping[str, Any]) -> None:
        name = self.__dict__.setdefault("_name", self.name)
        if name != self.name:
            raise ValueError(f"loss of a metric must stay {name}, as its column is named, got {shown(self.loss)}")

    @property
    def name(self) -> str:
        """The loss's."""
        return str(self.loss.name)

    def __repr__(self) -> str:
        return f"LossMetric({self.loss!r})"

    def emit_own(self, tape: Tape, y: Signal, targets: Targets) -> tuple[Op, Op, Array]:
        """Record the ops; returns the one that gathers the targets, the metric's, and the per-example column it writes."""
        gather, op, values = self.loss.emit(tape, replace(y, grad=None), targets)
        op.completes_loss = False
        return gather, op, values


def get(metric: Any) -> Accuracy | LossMetric:
    """A metric from an object or a name: ``"accuracy"`` or a loss's."""
    if isinstance(metric, (Accuracy, LossMetric)):
        return metric
    if metric == "accuracy":
        return Accuracy()
    try:
        return LossMetric(losses.get(metric))
    except ValueError:
        known = ["accuracy", *losses.LOSSES]
        raise ValueError(f"metric must be one of {', '.join(known)}, got {shown(metric)}{hint(metric, known)}") from None


def names(metrics: Sequence[Any]) -> list[str]:
    """The column names of metrics; two of one name are refused."""
    result = [metric.name for metric in metrics]
    if len(set(result)) < len(result):
        raise ValueError(f"metrics must differ, got {result}")
    return result
