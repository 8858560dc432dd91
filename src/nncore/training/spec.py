"""All that a training program is compiled from, apart from the kind of its data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from nncore import constraints
from nncore._utils.fields import only_fields
from nncore.constraints import Constraint
from nncore.losses import Loss
from nncore.model import Sequential
from nncore.optimizers import GradientOptimizer, Optimizer
from nncore.optimizers.clipping import Clipping
from nncore.regularizers import Regularizer
from nncore.training.array_groups import ArrayGroups, array_groups
from nncore.training.metrics import LossMetric

__all__ = ["TrainingSpec"]


@dataclass(frozen=True)
class TrainingSpec:
    """All that a training program is compiled from, apart from the kind of its data."""

    model: Sequential
    loss: Loss
    metrics: tuple[Any, ...]
    optimizer: Optimizer
    regularizer: Regularizer | None
    clip: Clipping | None
    constraint: Constraint | Mapping[str, Constraint] | None
    lr_factors: Mapping[str, float]
    decay_factors: Mapping[str, float]

    @property
    def gradient_optimizer(self) -> GradientOptimizer:
        """The optimizer, in training by gradient steps."""
        assert isinstance(self.optimizer, GradientOptimizer)
        return self.optimizer

    @property
    def is_own(self) -> bool:
        """Whether all parts are nncore's: then their keys change only with an assignment to a field."""
        return self.optimizer.knows_ahead() and only_fields(
            (self.loss, self.metrics, self.model.layers, self.regularizer, self.clip, self.constraint)
        )

    @cached_property
    def groups(self) -> ArrayGroups:
        """The parameter arrays by the factors of their hyper-parameters."""
        return array_groups(self.model, self.optimizer, self.lr_factors, self.decay_factors)

    @property
    def key(self) -> tuple[Any, ...]:
        """Equal where the same program would be compiled."""
        metrics = tuple([metric.loss.key() for metric in self.metrics if isinstance(metric, LossMetric)])
        parts = self.regularizer.parts(self.model) if self.regularizer else ()
        penalties = tuple([(parameter.offset, part.l1, part.l2, part.proximal) for parameter, _, part in parts])
        regularizer = self.regularizer and (bool(self.regularizer.proximal), penalties)
        clip = self.clip and self.clip.key()
        projections = tuple(
            [(named.parameter.offset, part.key()) for named, part in constraints.parts(self.constraint, self.model)]
        )
        groups, variant = self.groups, self.optimizer.variant
        return self.loss.key(), metrics, regularizer, clip, projections, groups, variant, self.model.variant
