"""The parts of an ensemble's trainer, and what its members are compiled to."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nncore import _kernels, optimizers
from nncore._messages import shown
from nncore._utils.arrays import Array
from nncore._utils.each import Each, of_member
from nncore._utils.fields import Configured, Count, Fixed, Flag, Sealed, config_or_none
from nncore._utils.hints import missing_method
from nncore.constraints import Constraint
from nncore.ensemble.cohorts import Kind
from nncore.ensemble.ensemble import Ensemble
from nncore.ensemble.groups import Group
from nncore.ensemble.history import EnsembleHistory
from nncore.losses import Loss
from nncore.optimizers import GradientOptimizer, Optimizer
from nncore.optimizers.clipping import Clipping
from nncore.regularizers import Regularizer
from nncore.schedules import Schedule
from nncore.training.base import TRAINING
from nncore.training.last_losses import LastLosses

__all__ = ["BaseEnsembleTrainer"]

Int64 = NDArray[np.int64]


class BaseEnsembleTrainer(Sealed):
    """The base of `EnsembleTrainer`: the ensemble, what it is trained with, and its history."""

    model: Fixed[Ensemble] = Fixed()
    history: Fixed[EnsembleHistory] = Fixed()
    seed: Count = Count(0, below=2**64)
    interrupted: Flag = Flag()

    def __init__(
        self, model: Ensemble, loss: Loss | str | Callable[..., Any] | Each, optimizer: Optimizer | str | Each = "adam", *,
        regularizer: Regularizer | Mapping[str, Regularizer] | Each | None = None, clip: Clipping | Each | None = None,
        constraint: Constraint | Mapping[str, Constraint] | Each | None = None,
        lr_factors: Mapping[str, float] | Each | None = None, decay_factors: Mapping[str, float] | Each | None = None,
        metrics: str | Sequence[Any] | Each = (), seed: int = 0,
    ) -> None:  # fmt: skip
        if not isinstance(model, Ensemble):
            raise TypeError(f"model must be an Ensemble, got {shown(model)}")
        self.model, self.seed, self.interrupted = model, seed, False
        parts = {
            "loss": loss, "optimizer": optimizer, "regularizer": regularizer, "clip": clip, "constraint": constraint,
            "lr_factors": lr_factors, "decay_factors": decay_factors, "metrics": metrics,
        }  # fmt: skip
        # Read-only mappings, as those of a trainer, cannot be copied.
        self._parts = {name: dict(part) if isinstance(part, Mapping) else part for name, part in parts.items()}
        self.history = EnsembleHistory(len(model))
        self._claim = _kernels.Claim(TRAINING)
        self._optimizers: list[GradientOptimizer] = []
        self._kind_of: list[Kind] = []
        self._slots: list[dict[str, Array]] = [{} for _ in model.groups]  # of each group: the arrays of the optimizers
        self._make_kinds()
        first = {id(optimizer): config_or_none(optimizer) for optimizer in self._optimizers}
        self._first_configs = [first[id(optimizer)] for optimizer in self._optimizers]
        self._subsets: list[Int64] | None = None
        self._last_losses: dict[int, LastLosses] = {}
        self.history.labels = {"seed": list(model.seeds), **model.labels, **_labels(self._parts)}

    if not TYPE_CHECKING:  # to a type checker it would allow any name
        __getattr__ = missing_method

    def _differs(self, name: str, part: Any) -> bool:
        """Whether a part of the training is another one for each member."""
        try:
            return of_member(partial(copy.deepcopy, part), 0, len(self.model))[1]
        except (TypeError, RecursionError) as error:
            raise TypeError(
                f"{name} must be what copy.deepcopy can copy for each member, got {shown(part)}: {error}"
            ) from error

    def _make_kinds(self) -> None:
        """Divide the members by what their training compiles to."""
        model, kinds = self.model, dict[Any, Kind]()
        differing = [name for name, part in self._parts.items() if self._differs(name, part)]
        parts = copy.deepcopy({name: part for name, part in self._parts.items() if name not in differing})
        for member in range(len(model)):
            group, row = model._place[member]
            if differing:
                own, _ = of_member(
                    lambda memo: {name: copy.deepcopy(self._parts[name], memo) for name in differing}, member, len(model)
                )
                parts |= own
            key = id(group), compiled_key(parts) if differing else ()
            if made := key not in kinds:
                kinds[key] = Kind(group, dict(parts), self._slots[model.groups.index(group)])
            kind = kinds[key]
            optimizer = kind.trainers[0].optimizer
            if differing and not made:
                optimizer = _own(parts["optimizer"], group)
            shares = not (differing or made)
            self._optimizers.append(self._optimizers[kind.numbers[0]] if shares else _without_arrays(optimizer))
            kind.add(member, row, optimizer.state)
            self._kind_of.append(kind)


def compiled_key(parts: Mapping[str, Any]) -> tuple[Any, ...]:
    """Equal where the same program would be compiled for the parts of two members, and the same columns be recorded."""
    optimizer, others = parts["optimizer"], {name: part for name, part in parts.items() if name != "optimizer"}
    if not isinstance(optimizer, Optimizer):
        return optimizer, described(others)
    scheduled = [name for name in optimizer.hyperparameters if isinstance(getattr(optimizer, name), Schedule)]
    return type(optimizer), optimizer.variant, *scheduled, described(others)


def described(part: Any) -> Any:
    """Equal for parts with equal arguments; what cannot be described is equal only to itself."""
    if isinstance(part, Mapping):
        return tuple((name, described(value)) for name, value in part.items())
    if isinstance(part, (list, tuple)):
        return tuple(map(described, part))
    config = config_or_none(part) if hasattr(part, "config") else None
    own = part.own_description() if isinstance(part, Configured) else {}
    if config is not None:
        return type(part), repr((config, own))
    return part if part is None or isinstance(part, (str, int, float)) else id(part)


def _own(optimizer: Any, group: Group) -> Optimizer:
    """The optimizer of a member in its first state, as its trainer would have it."""
    own = optimizers.get(optimizer)
    own.init_state(group.template.parameters.size, group.template.dtype)
    return own


def _without_arrays(optimizer: Optimizer) -> GradientOptimizer:
    """A copy that counts steps and has hyper-parameters: the arrays are the members'."""
    assert isinstance(optimizer, GradientOptimizer)
    other = copy.copy(optimizer)
    vars(other._shared)["state"] = type(optimizer.state)()
    return other


def _labels(parts: Mapping[str, Any], place: str = "") -> dict[str, list[Any]]:
    """The values that tell members apart, by the names of the arguments that have them."""
    found: dict[str, list[Any]] = {}
    for name, part in parts.items():
        if isinstance(part, Each):
            found[f"{place}{name}"] = [value if isinstance(value, float) else shown(value) for value in part.values]
        if isinstance(part, Mapping):
            found |= _labels(part, f"{place}{name}.")
        while hasattr(part, "__dict__") and not isinstance(part, Each):
            inside = place and f"{place}{name}."
            found |= {f"{inside}{field}": list(each.values) for field, each in vars(part).items() if isinstance(each, Each)}
            part = vars(part).get("optimizer")  # of a wrapper
    return found
