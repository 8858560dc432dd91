"""The arrays and counts of an optimizer: one object, which a wrapper and the optimizer that it wraps share."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from nncore import _kernels
from nncore._messages import shown
from nncore._utils.arrays import OwnsArrays
from nncore._utils.fields import Count, Fixed, Flag, Sealed, assignments
from nncore.optimizers.tiles import State
from nncore.schedules import MOST_COUNTED, Clock, Stretch

BUSY = (
    "this optimizer is taking a step, in another thread or around this code, or its trainer holds averages: its state must not "
    "be used meanwhile. Give each thread an optimizer of its own"
)


class SharedState(Sealed, OwnsArrays):
    """What an optimizer keeps from step to step. `nncore._kernels.HandSteps` counts in its ``__dict__``."""

    state: Fixed[State] = Fixed(advice="assign to its arrays, or call init_state")
    step_count: Count = Count(0, below=MOST_COUNTED)
    epochs: Count = Count(0, below=MOST_COUNTED)
    epoch_steps: Count = Count(0, below=MOST_COUNTED)
    steps_per_epoch: Count = Count(below=MOST_COUNTED)
    stretches: Fixed[list[Stretch]] = Fixed()
    products: Fixed[dict[str, float]] = Fixed()
    entered: Flag = Flag()
    factors: Fixed[dict[str, float]] = Fixed()  # of hyper-parameters, while the coefficients of some arrays are computed

    busy: Fixed[_kernels.Claim] = Fixed()  # by the thread that takes steps

    def __init__(self) -> None:
        self.factors, self.busy = {}, _kernels.Claim(BUSY)
        self.reset()

    def __getstate__(self) -> dict[str, Any]:
        """With a plain dict of the arrays, as other formats than pickle need it."""
        return vars(self) | {"state": dict(self.state)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        vars(self)["state"] = State(self.state)

    def __copy__(self) -> SharedState:
        """Counts of its own, the same arrays."""
        other: SharedState = super().__copy__()
        vars(other).update(stretches=[*self.stretches], busy=copy.copy(self.busy))
        return other

    def reset(self, state: State | None = None) -> None:
        """Set the counts to 0, with new arrays."""
        assignments.number += 1
        vars(self).update(state=State() if state is None else state, products={}, entered=False)
        vars(self).update(step_count=0, epochs=0, epoch_steps=0, steps_per_epoch=1, stretches=[])

    def clock(self, steps_per_epoch: int) -> Clock:
        """The time of schedules, if the current epoch has this many steps."""
        return Clock(self.stretches, last=self.stretch(steps_per_epoch))

    def stretch(self, steps_per_epoch: int) -> Stretch | None:
        """The stretch that begins with the current epoch; None if the last one continues."""
        step, epoch = self.step_count - self.epoch_steps, self.epochs
        if self.stretches:
            first, before, length = self.stretches[-1]
            if length == steps_per_epoch and step - first == (epoch - before) * length:
                return None
        return step, epoch, steps_per_epoch

    def advance(self, steps: int, steps_per_epoch: int, products: dict[str, float]) -> None:
        """Count `steps` steps as taken, after which these are the running products."""
        stretch = self.stretch(steps_per_epoch) if steps else None
        _kernels.advance_counts(vars(self), steps, steps_per_epoch, stretch, products)

    def at_rest(self) -> _kernels.Claim:
        """The claim to the state, between two steps: raises within one."""
        self.busy.check()
        return self.busy


def of_shared(name: str, doc: str) -> Any:
    """An attribute of an optimizer that is stored in its `SharedState`."""
    return property(lambda self: getattr(self._shared, name), lambda self, value: setattr(self._shared, name, value), doc=doc)


def read_stretches(value: Any) -> list[Stretch]:
    """The stretches of a clock from their array in a state."""
    table = np.asarray(value)
    fits = table.ndim == 2 and table.shape[1] == 3 and table.dtype == np.int64
    if (
        not fits or (table < (0, 0, 1)).any() or (table >= MOST_COUNTED).any() or (np.diff(table[:, 0]) <= 0).any()
    ):  # fmt: skip
        raise ValueError(
            f"state stretches must have rows (step, epoch, steps per epoch) of int64, steps ascending, "
            f"got {shown(table.tolist())}"
        )
    return [(step, epoch, length) for step, epoch, length in table.tolist()]
