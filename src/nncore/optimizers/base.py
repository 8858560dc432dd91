"""The part that all optimizers share: configuration, counts, and the values of hyper-parameters."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from nncore._messages import shown
from nncore._utils.arrays import OwnsArrays
from nncore._utils.fields import Configured, Field, Pair, assign, count, mapping, only_fields
from nncore._utils.own import is_own
from nncore.optimizers.hyper import Hyper, HyperParameter
from nncore.optimizers.path import Path
from nncore.optimizers.shared_state import SharedState, of_shared
from nncore.optimizers.tiles import State
from nncore.schedules import MOST_COUNTED, Array, Clock, Schedule, Stretch

__all__ = ["Optimizer"]


class Optimizer(Configured, OwnsArrays):
    """An algorithm that minimizes a function of a parameter vector θ.

    `GradientOptimizer` takes one step along each gradient that it is given, `second_order.FullBatchOptimizer` evaluates a
    function at points of its choice. This class has what both share: arguments, state and counts.

    Attributes
    ----------
    name : str
        The algorithm's name in the registry and in files: "adam".
    hyperparameters : tuple of str
        Names of the fields that are numbers or schedules. They may be assigned at any time.
    seeds : tuple of str
        Fields that only set the initial state: they cannot be assigned after the first step.
    full_batch_only : bool
        Whether the gradients of successive steps must come from the same data.
    full_batch_reason : str
        The reason, for the error message.
    """

    state: State = of_shared(
        "state", "The arrays by name; empty until the first step or `init_state`. An assignment copies numbers into the array."
    )
    step_count: int = of_shared("step_count", "Number of steps taken.")
    epochs: int = of_shared("epochs", 'Number of completed epochs, the time of schedules with ``per="epoch"``.')
    epoch_steps: int = of_shared("epoch_steps", "Number of steps taken in the current epoch.")
    steps_per_epoch: int = of_shared("steps_per_epoch", "Number of steps per epoch, as of the last step.")
    stretches: list[Stretch] = of_shared("stretches", "The runs of epochs of one length so far, which warmups look back on.")

    _own: bool = True  # whether the class is nncore's, and that of a wrapped optimizer: what it returns is not checked

    name: ClassVar[str]
    hyperparameters: ClassVar[tuple[str, ...]] = ()
    seeds: ClassVar[tuple[str, ...]] = ()
    full_batch_only: ClassVar[bool] = False
    full_batch_reason: ClassVar[str] = "it compares gradients of successive steps"

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        cls._own = is_own(cls)
        own = tuple(name for name, field in vars(cls).items() if isinstance(field, HyperParameter))
        cls._add_hyperparameters(own)

    @classmethod
    def _add_hyperparameters(cls, names: tuple[str, ...]) -> None:
        cls.hyperparameters = tuple(dict.fromkeys((*cls.hyperparameters, *names)))

    if TYPE_CHECKING:  # most optimizers have it; a number unless it was given a schedule: `float | Any` lets both be used

        @property
        def lr(self) -> float | Any: ...

        @lr.setter
        def lr(self, lr: Hyper) -> None: ...

    def __init__(self) -> None:
        self._shared = SharedState()

    @property
    def variant(self) -> Any:
        """A key of the compiled ops, apart from the arrays: programs are compiled again when it changes."""
        return self.name

    @property
    def title(self) -> str:
        """The name of the class; for a wrapper, with that of the wrapped optimizer."""
        return type(self).__name__

    def takes(self, name: str) -> bool:
        """Whether `name` is a field or a pair of fields."""
        return isinstance(getattr(type(self), name, None), (Field, Pair))

    def configure(self, config: Mapping[str, Any]) -> None:
        """Assign arguments in the form in which `config` returns them: all or none."""
        assign(self, mapping("config", config))

    def check_fields(self, assigned: Mapping[str, Any]) -> None:
        """Raise if the state does not fit the fields; fill it again if it has not been used."""
        if seeding := [name for name in assigned if name in self.seeds]:
            if self.step_count:
                raise ValueError(
                    f"{seeding[0]} is fixed once a step was taken, as it only sets the initial state of {self.title}, "
                    f"got {shown(assigned[seeding[0]])}: make a new {self.title}"
                )
            self.fill_state()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in ("_hand_steps", "_room")}

    def __copy__(self) -> Any:
        """A shallow copy shares the arrays and counts for itself."""
        other = object.__new__(type(self))
        other.__dict__.update(self.__getstate__(), _shared=copy.copy(self._shared))
        return other

    # ---- hyper-parameters and counts

    def hyper_values(self, steps: int, steps_per_epoch: int = 1) -> dict[str, Array]:
        """The hyper-parameters of the next `steps` steps by name, an array (steps,) each."""
        steps, steps_per_epoch = count("steps", steps, 0), count("steps_per_epoch", steps_per_epoch, below=MOST_COUNTED)
        return {name: self._values(name, steps, steps_per_epoch) for name in self.hyperparameters}

    def _values(self, name: str, steps: int, steps_per_epoch: int) -> Array:
        value, factor = getattr(self, name), self._shared.factors.get(name, 1.0)
        if not isinstance(value, Schedule):
            constant = np.empty(steps)
            constant.fill(value * factor)  # np.full takes three times as long
            return constant
        values = value.on(self.clock(steps_per_epoch), self.step_count, steps)
        getattr(type(self), name).check_values(values, value)
        return values * factor

    def knows_ahead(self) -> bool:
        """Whether only assignments to fields change the coefficients of later steps."""
        values = [getattr(self, name) for name in self.hyperparameters]
        return self._own and all(only_fields(value) for value in values if isinstance(value, Schedule))

    def clock(self, steps_per_epoch: int) -> Clock:
        """The time of schedules, if the current epoch has this many steps."""
        return self._shared.clock(count("steps_per_epoch", steps_per_epoch, below=MOST_COUNTED))

    def advance(self, steps: int, steps_per_epoch: int = 1) -> None:
        """Count `steps` steps as taken."""
        self._shared.advance(count("steps", steps, 0), count("steps_per_epoch", steps_per_epoch, below=MOST_COUNTED), {})

    def begin_epoch(self) -> None:
        """Begin an epoch, whether or not the last one was completed."""
        vars(self._shared)["epoch_steps"] = 0

    # ---- implemented by the two kinds of optimizers

    def minimize(self, f: Any, x0: ArrayLike, steps: int, *, resume: bool = False) -> Path:
        """Minimize `f` from `x0` by `steps` steps."""
        raise NotImplementedError

    def close(self) -> None:
        """End work on a function. Only `ScipyMinimize` has resources to release."""

    def init_state(self, n: int, dtype: DTypeLike) -> None:
        """Reset the state for `n` parameters."""
        raise NotImplementedError

    def fill_state(self) -> None:
        """Set the existing state to its initial values."""
        raise NotImplementedError

    def state_dict(self) -> dict[str, Any]:
        """Numbers and arrays from which a later `load_state_dict` continues with the same bits."""
        raise NotImplementedError

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore exactly what `state_dict` returned. Everything is checked before anything changes."""
        raise NotImplementedError
