"""Base of the wrappers: something done before or after each step of an optimizer."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from nncore._messages import shown
from nncore._utils.arrays import returned
from nncore._utils.each import has_each, of_member
from nncore._utils.fields import Fixed, mapping
from nncore._utils.files import class_name
from nncore.optimizers.gradient import GradientOptimizer
from nncore.optimizers.registry import get
from nncore.schedules import Array


def _of_wrapped(name: str) -> Any:
    """An attribute or a method of the wrapped optimizer."""
    return property(lambda self: getattr(self.optimizer, name))


def _of_both(name: str) -> Any:
    """The names of the wrapped optimizer, and then the wrapper's own."""
    return property(lambda self: (*getattr(self.optimizer, name), *getattr(self, f"own_{name}")))


class Wrapper(GradientOptimizer):
    """Base class of what wraps an optimizer.

    Both share one state and one count of steps, and the wrapper has the attributes of the wrapped optimizer: ``EMA(Adam()).lr``
    is Adam's. Wrappers may be wrapped. Take steps with the outermost wrapper only. Type checkers know ``lr``; other attributes
    of the wrapped optimizer are found at run time, so that a type checker reports them as it does misspelled names.

    A subclass declares its hyper-parameters as fields, names its `own_slots` and `own_running`, returns from `weights` what its
    op needs at each step, and adds the op in `ops`: to the update, or to what comes after it.

    Attributes
    ----------
    optimizer : GradientOptimizer
        The wrapped optimizer.
    column : int
        The column of the subclass's number in `coefficients`: the one after those of the wrapped optimizer.
    """

    own_hyperparameters: ClassVar[tuple[str, ...]] = ()
    own_slots: ClassVar[tuple[str, ...]] = ()
    own_running: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def _add_hyperparameters(cls, names: tuple[str, ...]) -> None:
        cls.own_hyperparameters = tuple(dict.fromkeys((*cls.own_hyperparameters, *names)))

    optimizer: GradientOptimizer
    column: Fixed[int] = Fixed()
    kernel, enter, leave = _of_wrapped("kernel"), _of_wrapped("enter"), _of_wrapped("leave")
    full_batch_only, non_negative = _of_wrapped("full_batch_only"), _of_wrapped("non_negative")
    changes_gradient, lazy = _of_wrapped("changes_gradient"), _of_wrapped("lazy")
    needs_network, check_network = _of_wrapped("needs_network"), _of_wrapped("check_network")
    network_ops, network_failure = _of_wrapped("network_ops"), _of_wrapped("network_failure")
    arrays, ops, iterate, lookahead = map(_of_wrapped, ("arrays", "ops", "iterate", "lookahead"))
    hyperparameters, slots, running = _of_both("hyperparameters"), _of_both("slots"), _of_both("running")

    def __init__(self, optimizer: Any) -> None:
        inner = get(optimizer)
        if not isinstance(inner, GradientOptimizer):
            raise TypeError(
                f"optimizer must be one that takes a step along each gradient for {type(self).__name__}, such as nn.Adam(), "
                f"got {shown(inner)}"
            )
        twice = sorted(set(inner.slots) & set(self.own_slots) | set(inner.hyperparameters) & set(self.own_hyperparameters))
        if twice:
            raise ValueError(f"optimizer must be one without {', '.join(twice)} for {type(self).__name__}, got {shown(inner)}")
        vars(self).update(optimizer=inner, _shared=inner._shared, _own=self._own and inner._own)
        self._shared.reset()
        one, _ = of_member(lambda memo: copy.deepcopy(inner, memo), 0, None) if has_each(inner) else (inner, False)
        self.column = one.checked_coefficients(1).shape[1]

    @property
    def variant(self) -> Any:
        return type(self), self.optimizer.variant

    def knows_ahead(self) -> bool:
        return super().knows_ahead() and self.optimizer.knows_ahead()

    if not TYPE_CHECKING:  # for type checkers a misspelled name is an error

        def __getattr__(self, name: str) -> Any:
            if name.startswith("__") or "optimizer" not in self.__dict__:
                raise AttributeError(name)
            return getattr(self.optimizer, name)

        def __setattr__(self, name: str, value: Any) -> None:
            if super().takes(name) or not (inner := self.__dict__.get("optimizer")):
                super().__setattr__(name, value)
            elif name == "optimizer":
                raise AttributeError(
                    f"optimizer is fixed once the wrapper is made, got {shown(value)}: make a new {type(self).__name__}"
                )
            elif inner.takes(name):
                setattr(inner, name, value)
                self._check_all({name: value})
            else:
                super().__setattr__(name, value)

    def takes(self, name: str) -> bool:
        return super().takes(name) or self.optimizer.takes(name)

    @property
    def title(self) -> str:
        return f"{type(self).__name__}({self.optimizer.title})"

    def configure(self, config: Mapping[str, Any]) -> None:
        own = dict(mapping("config", config))
        inner = own.pop("optimizer", {})
        name = class_name(type(self.optimizer))
        if not isinstance(inner, Mapping) or inner.get("class", name) != name:
            raise ValueError(f"optimizer must hold the arguments of {self.optimizer.title}, got {shown(inner)}")
        arguments = {name: value for name, value in inner.items() if name != "class"}
        copy.copy(self.optimizer).configure(arguments)  # raises before anything has changed
        super().configure(own)
        self.optimizer.configure(arguments)

    def __copy__(self) -> Wrapper:
        other: Wrapper = super().__copy__()
        inner = copy.copy(self.optimizer)
        vars(other).update(optimizer=inner, _shared=inner._shared)
        return other

    def hyper_values(self, steps: int, steps_per_epoch: int = 1) -> dict[str, Array]:
        inner = self.optimizer.hyper_values(steps, steps_per_epoch)  # which checks both numbers
        return {**inner, **{name: self._values(name, steps, steps_per_epoch) for name in self.own_hyperparameters}}

    def coefficients(self, steps: int, steps_per_epoch: int = 1) -> Array:
        own = returned(f"{type(self).__name__}.weights", self.weights(steps, steps_per_epoch), (steps,))
        inner = self.optimizer.checked_coefficients(steps, steps_per_epoch)
        return np.column_stack((self.optimizer.with_columns(inner, self.column), own))

    def weights(self, steps: int, steps_per_epoch: int) -> Array:
        """The number of this wrapper's op for each of the next `steps` steps: (steps,)."""
        raise NotImplementedError

    def initial_value(self, slot: str) -> float:
        return self.optimizer.initial_value(slot) if slot in self.optimizer.slots else 0.0
