"""Constraints on the weights: after each step of the optimizer they are projected onto a set.

The norm is that of the weights of one unit, a row of W (units, inputs): those through which its inputs come. Penalties pull
weights back in proportion to a strength; a constraint leaves them alone within its set and stops them exactly at its boundary.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import numpy as np

from nncore._messages import shown
from nncore._utils.arrays import Array
from nncore._utils.fields import Number, Value
from nncore._utils.own import check_called
from nncore.layers.array_names import NamedArray, check_names, named_arrays

__all__ = ["Constraint", "MaxNorm", "MinMaxNorm", "NonNegative", "UnitNorm"]


class Constraint(Value):
    """Base class of the constraints: projections of the weights of one unit at a time, each computed by an op.

    Attributes
    ----------
    kernel : str
        The op that projects.
    rows_only : bool
        Whether it acts on the norm of a row, so that arrays of one axis have none.
    """

    kernel: ClassVar[str]
    rows_only: ClassVar[bool] = True

    @property
    def bounds(self) -> tuple[float, float]:
        """The constants of the op."""
        return 0.0, math.inf

    def _described_by(self) -> dict[str, Any]:
        return {"kernel": self.kernel, "bounds": list(self.bounds), "rows_only": self.rows_only}

    def project(self, W: Any) -> Array:
        """W (units, inputs) after the projection, in float64."""
        W = np.asarray(W, dtype=np.float64)
        norm = np.linalg.norm(W, axis=-1, keepdims=True)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(np.where(norm > 0, W / norm * np.clip(norm, *self.bounds), W))


class MaxNorm(Constraint):
    """‖w‖ ≤ c for the weights w of each unit (Srebro & Shraibman 2005; Srivastava et al. 2014): w ← w min(‖w‖, c)/‖w‖.

    The dropout papers use it with c from 3 to 4 beside dropout and large learning rates, which would otherwise let the weights
    grow without limit. Keras's ``MaxNorm`` with ``axis=0``, its W being (inputs, units). c > 0 is ``limit``.

    Examples
    --------
    >>> import numpy as np
    >>> import nncore as nn
    >>> model = nn.Sequential([nn.Dense(8), nn.ReLU(), nn.Dense(1)], input_shape=2)
    >>> trainer = nn.Trainer(model, "squared_error", nn.SGD(lr=0.1), constraint={"dense_1": nn.MaxNorm(0.5)})
    >>> history = trainer.fit(np.eye(2), [1.0, -1.0], epochs=50, verbose=0)
    >>> bool(np.linalg.norm(model["dense_1"].weight, axis=1).max() <= 0.5 + 1e-6)
    True
    """

    kernel = "project_norm"
    limit: Number = Number(above=0)

    def __init__(self, limit: float) -> None:
        self.limit = limit

    @property
    def bounds(self) -> tuple[float, float]:
        return 0.0, self.limit


class MinMaxNorm(Constraint):
    """``minimum`` ≤ ‖w‖ ≤ ``maximum`` for the weights w of each unit: w ← w min(max(‖w‖, minimum), maximum)/‖w‖.

    w = 0 has no direction and stays. Keras's ``MinMaxNorm`` with ``rate=1``.
    """

    kernel = "project_norm"
    minimum: Number = Number(0)
    maximum: Number = Number(above=0)

    def __init__(self, minimum: float, maximum: float) -> None:
        self.minimum, self.maximum = minimum, maximum

    def check_fields(self, assigned: Mapping[str, Any]) -> None:
        if self.minimum > self.maximum:
            raise ValueError(f"minimum must be at most maximum, which is {self.maximum}, got {self.minimum}")

    @property
    def bounds(self) -> tuple[float, float]:
        return self.minimum, self.maximum


class UnitNorm(Constraint):
    """‖w‖ = 1 for the weights w of each unit: w ← w/‖w‖; w = 0 stays."""

    kernel = "project_norm"

    @property
    def bounds(self) -> tuple[float, float]:
        return 1.0, 1.0


class NonNegative(Constraint):
    """Each weight ≥ 0: w ← max(w, 0). The outputs of layers with monotone activations then never fall as an input rises."""

    kernel = "project_non_negative"
    rows_only = False

    def project(self, W: Any) -> Array:
        return np.maximum(np.asarray(W, dtype=np.float64), 0.0)


def get(constraint: Any, model: Any) -> Constraint | dict[str, Constraint] | None:
    """A checked constraint of a model's weights, or constraints by names of layers and arrays."""
    if constraint is not None and not isinstance(constraint, (Constraint, Mapping)):
        raise TypeError(f"constraint must be a Constraint such as nn.MaxNorm(3.0) or a mapping, got {shown(constraint)}")
    by_name = constraint if isinstance(constraint, Mapping) else {}
    for name, own in by_name.items():
        if not isinstance(own, Constraint):
            raise TypeError(f"constraint[{shown(name)}] must be a Constraint such as nn.MaxNorm(3.0), got {shown(own)}")
    for own in (constraint, *by_name.values()):
        check_called("constraint", own, "project", advice="its kernel and bounds say what it is; a callback can change weights")
    check_names("constraint", by_name, model, weights_only=True)
    for named, own in parts(constraint, model):
        together = len(named.parameter.shape) > 1 and not named.parameter.by_column
        if own.rows_only and not together:
            why = "do not lie together by unit" if named.parameter.by_column else "do not belong to units"
            raise ValueError(
                f"constraint must be one of single numbers, such as nn.NonNegative(), for {named.keys[0]}, whose numbers "
                f"{why}, got {shown(own)}"
            )
    return dict(constraint) if isinstance(constraint, Mapping) else constraint


def parts(constraint: Constraint | Mapping[str, Constraint] | None, model: Any) -> Iterator[tuple[NamedArray, Constraint]]:
    """The arrays of the model that have a constraint; a single one is that of all weights."""
    for named in () if constraint is None else named_arrays(model, weights_only=True):
        everywhere = isinstance(constraint, Constraint) and named.parameter.regularized
        own = constraint if everywhere else named.value(constraint) if isinstance(constraint, Mapping) else None
        if isinstance(own, Constraint):
            yield named, own
