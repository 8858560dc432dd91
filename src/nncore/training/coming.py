"""Coefficients of the next training steps, from hyper-parameters and schedules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncore import _kernels
from nncore._utils.arrays import for_kernels
from nncore._utils.fields import assignments, only_fields
from nncore.optimizers import GradientOptimizer
from nncore.optimizers.gradient import MAX_AHEAD
from nncore.program.tape import Tape
from nncore.regularizers import Regularizer

__all__ = ["ComingSteps"]

Array = NDArray[Any]


class ComingSteps:
    """The values of the next steps of a program, kept for later calls as long as nothing changes them.

    Steps that come one call at a time, as with ``partial_fit``, are computed for up to 64 calls ahead. The optimizer's counts
    and the number of assignments tell whether a call continues where the last one ended.

    Attributes
    ----------
    known : nncore._kernels.KnownSteps
        Their coefficients (steps, k): the optimizer's, the learning rate if a proximal step needs it, the layers' schedules;
        then, for each group of parameter arrays with factors, the optimizer's and the learning rate of that group.
    places : ndarray int64
        Where in a row the coefficients of each group begin; the first group's are the first.
    hyper : ndarray (steps, hyper-parameters)
        In the optimizer's order.
    """

    def __init__(
        self, optimizer: GradientOptimizer, regularizer: Regularizer | None, tape: Tape,
        factors: Sequence[Sequence[tuple[str, float]]],
    ) -> None:  # fmt: skip
        self.optimizer, self.tape, self.factors = optimizer, tape, [dict(own) for own in factors]
        self.proximal = regularizer is not None and regularizer.proximal > 0
        self.columns = 0  # of the optimizer's coefficients; 0: not yet known
        columns = tape.optimizer_columns() if len(factors) > 1 else 0
        self.places = np.array([0, *(k * columns + len(tape.schedules) for k in range(1, len(factors)))])
        self.known = _kernels.KnownSteps(vars(optimizer._shared))
        self.hyper = np.empty((0, 0))

    def take(self, steps: int, steps_per_epoch: int) -> Array:
        """Have the next ``steps`` steps known, or those before a schedule becomes invalid; returns their hyper-parameters."""
        known = self.known
        continues = known.continues(assignments.number, steps_per_epoch)
        if not continues or known.next + steps > known.known:
            ahead = max(steps, min(2 * known.known, MAX_AHEAD)) if continues and self._knows_ahead() else steps
            try:
                self._compute(ahead, steps_per_epoch)
            except ValueError as error:  # of a schedule, at what may be a step that will never be taken
                self._compute_valid(steps, steps_per_epoch, error)
        return self.hyper[known.next : known.next + steps]

    def _knows_ahead(self) -> bool:
        return self.optimizer.knows_ahead() and all(only_fields(schedule) for _, schedule, _ in self.tape.schedules)

    def _compute_valid(self, steps: int, steps_per_epoch: int, error: ValueError) -> None:
        """Compute as many of the next steps as are valid, found by bisection; raises if the next one is not."""
        valid, invalid = 0, steps + 1
        while invalid - valid > 1:
            tried = (valid + invalid) // 2
            try:
                self._compute(tried, steps_per_epoch)
                valid = tried
            except ValueError as new:
                error, invalid = new, tried
        if not valid:
            raise error
        self._compute(valid, steps_per_epoch)

    def _compute(self, steps: int, steps_per_epoch: int) -> None:
        optimizer = self.optimizer
        hyper, products = optimizer.checked_values(steps, steps_per_epoch)
        rows = []
        for factors in self.factors:
            rows.append(self._own(optimizer.scaled_coefficients(factors, steps, steps_per_epoch)))
            if self.proximal:
                rows.append((hyper["lr"] * factors.get("lr", 1.0))[:, np.newaxis])
            if not factors and self.tape.schedules:
                clock = optimizer.clock(steps_per_epoch)
                rows.append(self.tape.scheduled_values(optimizer.step_count, steps, clock))
        self.hyper = np.array([hyper[name] for name in optimizer.hyperparameters]).T
        self.known.know(
            for_kernels(np.concatenate(rows, axis=1), np.float64), products, optimizer._shared.stretch(steps_per_epoch),
            assignments.number, steps_per_epoch,
        )  # fmt: skip

    def _own(self, coefficients: Array) -> Array:
        """The optimizer's coefficients, as many as the first time."""
        self.columns = self.columns or coefficients.shape[1]
        return self.optimizer.with_columns(coefficients, self.columns)
