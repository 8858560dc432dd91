"""Penalties on the weights, added to the loss: l(θ) + Σ_W r(W). Biases have none unless they are named.

Coupled and decoupled weight decay differ. An `L2` penalty is *coupled*: its gradient λw is part of the gradient, so
it enters momentum, and Adam divides it by √v̂ like the rest: weights with large gradients decay less. *Decoupled* decay,
the ``weight_decay`` of `AdamW`, `Lion` and `WeightDecay`, shrinks weights by ηλθ in addition to the step and is not part of the
loss. The two are the same only for plain `SGD`. `L1` is coupled; `ProximalL1` is decoupled.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from nncore._messages import shown
from nncore._utils.arrays import Array
from nncore._utils.fields import Fixed, Number, Value
from nncore._utils.own import check_called
from nncore.layers.array_names import check_names, named_arrays
from nncore.layers.base import Layer, Parameter

__all__ = ["L1", "L2", "ElasticNet", "PerLayer", "ProximalL1", "Regularizer", "get"]


class Layered(Protocol):
    """The attributes of a model that penalties read."""

    @property
    def layers(self) -> Sequence[Layer]: ...
    @property
    def parameters(self) -> Array: ...


class Regularizer(Value):
    """Penalty Σ_W (l1 + proximal) Σ|w| + ½ l2 Σ w² over the weight arrays W; its gradient is l1 sign(w) + l2 w.

    The loss is the mean over the batch plus the penalty, so that a step of `SGD` on a batch of b examples with losses lᵢ is
    w ← w − η((1/b) Σᵢ ∂lᵢ/∂w + l1 sign(w) + l2 w): with the sum of the gradients instead of their mean, the strength of
    the penalty would depend on b. The reported loss includes the penalty; the column ``penalty`` shows it separately.
    ``proximal`` is applied in a separate step after the optimizer's: see `ProximalL1`.
    """

    if TYPE_CHECKING:  # at run time the annotations would make them assignable for every regularizer
        l1: float
        l2: float
        proximal: float
    l1, l2, proximal = 0.0, 0.0, 0.0  # a subclass has fields for the ones it accepts

    def _described_by(self) -> dict[str, Any]:
        return {"l1": self.l1, "l2": self.l2, "proximal": self.proximal}

    def parts(self, model: Layered) -> Iterator[tuple[Parameter, Array, Regularizer]]:
        """The arrays of the model that have a penalty, with their penalties."""
        for _, parameter, array in named_arrays(model, weights_only=True):
            if parameter.regularized:
                yield parameter, array, self

    def value(self, model: Layered) -> float:
        """The penalty of a model's parameters."""
        total = 0.0
        for _, array, part in self.parts(model):
            w = array.ravel().astype(np.float64)
            total += (part.l1 + part.proximal) * float(np.abs(w).sum()) if part.l1 or part.proximal else 0.0
            total += 0.5 * part.l2 * float(np.square(w).sum()) if part.l2 else 0.0  # may overflow for finite w
        return total

    def gradient(self, model: Layered) -> Array:
        """The penalty's gradient (n,): (l1 + proximal) sign(w) + l2 w for weights, 0 elsewhere."""
        parts = list(self.parts(model))  # which checks the model
        gradient = np.zeros_like(model.parameters)
        for parameter, array, part in parts:
            w = parameter.in_order(array)
            own = slice(parameter.offset, parameter.offset + parameter.size)
            if part.l1 or part.proximal:
                gradient[own] += (part.l1 + part.proximal) * np.sign(w)
            gradient[own] += part.l2 * w
        return gradient

    def curvature(self, model: Layered) -> Array:
        """The diagonal of its second derivatives (n,): l2 for weights, 0 elsewhere."""
        curvature = np.zeros_like(model.parameters)
        for parameter, _, part in self.parts(model):
            curvature[parameter.offset : parameter.offset + parameter.size] += part.l2
        return curvature

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self._arguments().values()))})"


class L2(Regularizer):
    """½ λ ‖W‖², gradient λ W: what PyTorch's ``weight_decay`` adds to the gradient. Keras's ``L2(λ)`` is λ ‖W‖², twice this.

    With `SGD` it is weight decay, w ← (1 − ηλ)w − ηg. With an optimizer that divides gradients it is not, because the step
    divides λw as well: for uniform decay use `AdamW`. λ ≥ 0 is ``strength``.

    Examples
    --------
    >>> import nncore as nn
    >>> model = nn.Sequential([nn.Dense(2, weight_init="zeros")], input_shape=2)
    >>> model.layers[0].weight[...] = 1
    >>> nn.L2(0.1).value(model)
    0.2
    """

    l2: Number = Number(0, argument="strength")

    def __init__(self, strength: float) -> None:
        self.l2 = strength


class L1(Regularizer):
    """λ Σ|w|, gradient λ sign(w), 0 at 0.

    Weights oscillate around 0 by up to a step length instead of reaching it; `ProximalL1` makes them exactly 0.
    λ ≥ 0 is ``strength``.
    """

    l1: Number = Number(0, argument="strength")

    def __init__(self, strength: float) -> None:
        self.l1 = strength


class ProximalL1(Regularizer):
    """λ Σ|w| with exact zeros (Langford, Li & Zhang 2009; Duchi & Singer 2009): a separate step after the optimizer's.

    w ← sign(w) max(|w| − ηλ, 0)

    with λ ≥ 0 the ``strength`` and η the learning rate of the step. A weight within ηλ of 0 becomes 0 and stays 0 until its
    gradient exceeds λ in absolute value. The penalty is reported like `L1`'s, but it is not part of the gradient: clipping does
    not affect it.

    Notes
    -----
    The threshold is ηλ for every weight and any optimizer: it is decoupled, like the decay of `AdamW`. With `SGD`,
    training converges to a minimum of l + λ Σ|w|. With momentum μ a gradient g finally moves a weight by ηg/(1−μ), but the
    threshold acts with η: the effective λ is (1−μ)λ. With an optimizer that divides gradients, λ is compared with the divided
    gradient, which is of order 1: choose a new λ, well below 1. The η of `AdaDelta` is 1 by default. `Rprop` and
    `DeltaBarDelta` have no η and are refused. With `Nesterov` the threshold is applied at θ, and the look-ahead point moves
    with it. An average over steps is not 0 if a weight was 0 only in some of them. Langford's truncated gradient is this with
    K = 1 and without an upper bound; Tsuruoka's cumulative penalty (2009) accumulates the penalty not yet applied to each
    weight, which matters for gradients that are mostly 0.

    Examples
    --------
    >>> import numpy as np
    >>> import nncore as nn
    >>> X = np.eye(3)
    >>> model = nn.Sequential([nn.Dense(1, bias=False)], input_shape=3, dtype="float64")
    >>> trainer = nn.Trainer(model, "squared_error", nn.SGD(lr=0.3), regularizer=nn.ProximalL1(0.5))
    >>> history = trainer.fit(X, [3.0, 1.0, -6.0], epochs=300, batch_size=3, verbose=0)
    >>> model.layers[0].weight.round(6)    # d less 3 · 0.5, or 0
    array([[ 1.5,  0. , -4.5]])
    """

    proximal: Number = Number(0, argument="strength")

    def __init__(self, strength: float) -> None:
        self.proximal = strength


class ElasticNet(Regularizer):
    """l1 Σ|w| + ½ l2 ‖W‖², with l1 ≥ 0 and l2 ≥ 0."""

    l1: Number = Number(0)
    l2: Number = Number(0)

    def __init__(self, l1: float, l2: float) -> None:
        self.l1, self.l2 = l1, l2


def _penalties(value: Any) -> Mapping[str, Regularizer]:
    if not isinstance(value, Mapping):
        raise TypeError(f"penalties must be a mapping of names to Regularizers, got {shown(value)}")
    for layer, penalty in value.items():
        if not isinstance(penalty, Regularizer) or isinstance(penalty, PerLayer):
            raise TypeError(f"regularizer[{shown(layer)}] must be a Regularizer such as nn.L2(1e-4), got {shown(penalty)}")
    return MappingProxyType(dict(value))


class PerLayer(Regularizer):
    """Separate penalties for layers or arrays; a trainer makes it from a mapping.

    Parameters
    ----------
    penalties : mapping of str to Regularizer
        "dense_1" stands for the weights of that layer, "dense_1.bias" for one array, which may be a bias or a parameter of
        a normalization, ``"*.bias"`` for all arrays of that name. If several stand for an array, the first in this order
        counts: array, layer, all arrays of a name. Arrays that are not named have no penalty. Read-only, as a trainer checks
        the names; the strengths of the penalties may be assigned.

    Examples
    --------
    >>> import nncore as nn
    >>> model = nn.Sequential([nn.Dense(2), nn.ReLU(), nn.Dense(1)], input_shape=2)
    >>> trainer = nn.Trainer(model, "squared_error", regularizer={"dense_1": nn.L2(1e-3), "dense_2.bias": nn.L1(0.1)})
    """

    penalties: Fixed[Mapping[str, Regularizer]] = Fixed("the regularizer is made", "assign trainer.regularizer")

    def __init__(self, penalties: Mapping[str, Regularizer]) -> None:
        self.penalties = _penalties(penalties)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({dict(self.penalties)})"

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"penalties": dict(self.penalties)}  # a read-only view cannot be pickled

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, penalties=MappingProxyType(state["penalties"]))

    @property
    def proximal(self) -> float:  # type: ignore[override]
        return max((penalty.proximal for penalty in self.penalties.values()), default=0.0)

    def parts(self, model: Layered) -> Iterator[tuple[Parameter, Array, Regularizer]]:
        for named in named_arrays(model, weights_only=True):
            penalty = named.value(self.penalties)
            if penalty is not None:
                yield named.parameter, named.array, penalty


def get(regularizer: Any, model: Layered) -> Regularizer | None:
    """Make a regularizer for a model from a Regularizer or from a mapping by names of layers and arrays."""
    if isinstance(regularizer, Mapping):
        regularizer = PerLayer(regularizer)
    if isinstance(regularizer, PerLayer):
        check_names("regularizer", regularizer.penalties, model, weights_only=True)
    if regularizer is not None and not isinstance(regularizer, Regularizer):
        raise TypeError(f"regularizer must be a Regularizer such as nn.L2(1e-4) or a mapping, got {shown(regularizer)}")
    for part in (regularizer, *getattr(regularizer, "penalties", {}).values()):
        advice = "its numbers l1, l2 and proximal say what it is. Other penalties can be part of a layer or a loss in Python"
        check_called("regularizer", part, "value", "gradient", "curvature", advice=advice)
    return regularizer
