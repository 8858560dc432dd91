"""What the next training steps take from hyper-parameters and schedules."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nncore._utils.fields import assignments
from nncore.optimizers import GradientOptimizer
from nncore.optimizers.gradient import MAX_AHEAD
from nncore.program.tape import Tape
from nncore.regularizers import Regularizer
from nncore.schedules import only_fields

__all__ = ["ComingSteps", "StepValues"]

Array = NDArray[Any]


class StepValues(NamedTuple):
    """Of some steps in a row."""

    coefficients: Array  # (steps, k): the optimizer's, the learning rate if a proximal step needs it, the layers' schedules
    hyper: Array  # (steps, hyper-parameters), in the optimizer's order


class ComingSteps:
    """The values of the next steps of a program, kept for the calls that follow as long as nothing changes them.

    Steps that come one call at a time, as with ``partial_fit``, are computed for up to 64 calls ahead. The optimizer's counters
    and the count of assignments tell whether the next call goes on where the last one ended.
    """

    def __init__(self, optimizer: GradientOptimizer, regularizer: Regularizer | None, tape: Tape) -> None:
        self.optimizer, self.tape = optimizer, tape
        self.proximal = regularizer is not None and regularizer.proximal
        self.place: tuple[int, ...] = ()  # where the last call ended
        self.first = self.known = 0  # of the steps computed: the next one, and their number
        self.all = StepValues(np.empty((0, 0)), np.empty((0, 0)))
        self.products: dict[str, Array] = {}

    def take(self, steps: int, steps_per_epoch: int) -> StepValues:
        """The values of the next ``steps`` steps."""
        place = self._place(steps_per_epoch)
        if place != self.place or self.first + steps > self.known:
            goes_on = place == self.place and self._knows_ahead()
            ahead = max(steps, min(2 * self.known, MAX_AHEAD)) if goes_on else steps
            try:
                self.all, self.products = self._values(ahead, steps_per_epoch)
            except ValueError:  # of a schedule, for what may be a step that will never be taken
                self.all, self.products = self._values(ahead := steps, steps_per_epoch)
            self.place, self.first, self.known = place, 0, ahead
        part = slice(self.first, self.first + steps)
        return StepValues(self.all.coefficients[part], self.all.hyper[part])

    def advance(self, done: int, steps_per_epoch: int) -> None:
        """Count ``done`` of the steps taken."""
        last = self.first + done - 1
        products = {name: float(values[last]) for name, values in self.products.items()} if done else {}
        self.optimizer.advance(done, steps_per_epoch, products)
        self.first += done
        self.place = self._place(steps_per_epoch)

    def _place(self, steps_per_epoch: int) -> tuple[int, ...]:
        optimizer = self.optimizer
        return optimizer.step_count, optimizer.epochs, optimizer.epoch_steps, steps_per_epoch, assignments.number

    def _knows_ahead(self) -> bool:
        return self.optimizer.knows_ahead() and all(only_fields(schedule) for _, schedule, _ in self.tape.schedules)

    def _values(self, steps: int, steps_per_epoch: int) -> tuple[StepValues, dict[str, Array]]:
        optimizer = self.optimizer
        hyper, clock = optimizer.hyper_values(steps, steps_per_epoch), optimizer.clock(steps_per_epoch)
        rows = [optimizer.coefficients(steps, steps_per_epoch)]
        if self.proximal:
            rows.append(hyper["lr"][:, np.newaxis])
        if self.tape.schedules:
            rows.append(self.tape.scheduled_values(optimizer.step_count, steps, clock))
        values = np.column_stack([hyper[name] for name in optimizer.hyperparameters])
        return StepValues(np.hstack(rows) if len(rows) > 1 else rows[0], values), optimizer.running_products(hyper)
