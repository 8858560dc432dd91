"""One network of the playground in training."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nncore.errors import DivergenceError
from nncore.playground import spec
from nncore.playground.datasets import Examples
from nncore.playground.steps import Steps

__all__ = ["PHASES", "Run", "Segment", "same_network", "same_optimizer", "same_weights"]

Array = NDArray[Any]
State = Mapping[str, Any]

PHASES = ("update", "forward", "loss", "backward")
PER_DOUBLING = 32  # points of the curves for each doubling of the steps


class Segment(NamedTuple):
    """Steps that were taken with the same choices: whole epochs, then steps of one that was not completed."""

    state: State
    epochs: int
    steps: int


def same_network(before: State, after: State) -> bool:
    """Whether the layers are the same, so that the model is kept."""
    return bool(before["layers"] == after["layers"])


def same_weights(before: State, after: State) -> bool:
    """Whether another network has the same weights, so that they are kept: activations and dropout may differ."""

    def weights(state: State) -> Any:
        return state["seed"], [(layer["units"], layer["norm"], layer["init"]) for layer in state["layers"]]

    return bool(weights(before) == weights(after))


def same_optimizer(before: State, after: State) -> bool:
    """Whether the optimizer goes on with its state: it is of the same class, and has the same state."""
    old, new = spec.optimizer(before), spec.optimizer(after)
    return type(old) is type(new) and old.slots == new.slots


class Run:
    """Model, trainer, curves, and what was changed on the way.

    Attributes
    ----------
    step : int
    ended : str or None
        Why no further step can be taken.
    phase : str
        What was done last: "update", or in step mode the "forward", "loss" or "backward" pass of the next step.
    last_update : ndarray (parameters,)
        Δθ of the last step.
    curve : list of (step, loss, validation loss, accuracy, validation accuracy)
        The losses without the penalty; the accuracies are NaN in a regression.
    segments : list of Segment
        Those that are over.
    """

    def __init__(self, state: State, examples: Examples) -> None:
        self.state, self.examples = state, examples
        self.model = spec.build(state, examples)
        self.step, self.phase = 0, PHASES[0]
        self.ended: str | None = None
        self.last_update: Array = np.zeros_like(self.model.parameters)
        self.curve: list[tuple[float, ...]] = []
        self.segments: list[Segment] = []
        self.penalty = 0.0
        self._train(0)
        self._measure()

    def _train(self, epochs: int) -> None:
        """A trainer for the network as it is, which has seen some epochs."""
        state, examples = self.state, self.examples
        self.trainer = spec.trainer(self.model, state, ["accuracy"] if examples.classes else [])
        self.trainer.epochs_done = self.first_epoch = epochs
        self.steps = Steps(self.trainer, examples.X, examples.y, min(state["batch_size"], len(examples.X)))

    # ---- changes

    def adopt(self, state: State) -> Run:
        """Go on with other choices, from the next epoch on; the weights are kept, and the state of the same optimizer."""
        if state == self.state:
            return self
        before, trainer, epochs = self.state, self.trainer, self.trainer.epochs_done + (self.steps.position > 0)
        past = [*self.segments, *([self.segment()] if any(self.segment()[1:]) else [])]
        self.state, self.ended, self.phase, self.segments = state, None, PHASES[0], past
        if not same_network(before, state):
            old, self.model = self.model, spec.build(state, self.examples)
            self.model.parameters[:], self.model.state[:] = old.parameters, old.state
        self._train(epochs)
        if same_optimizer(before, state):
            self.trainer.optimizer.load_state_dict(trainer.optimizer.state_dict())
        return self

    def segment(self) -> Segment:
        """The steps since the last change."""
        return Segment(self.state, self.trainer.epochs_done - self.first_epoch, self.steps.position)

    # ---- steps

    def take(self, count: int) -> int:
        """Take steps, at most to the next point of the curves. Returns how many."""
        if self.ended:
            return 0
        count, done = min(count, self.next_point() - self.step), 0
        self.phase = PHASES[0]
        try:
            done = self.steps.run(count - 1) if count > 1 else 0
            before = self.model.parameters.copy()
            done += self.steps.run(count - done)
            self.last_update = self.model.parameters - before
        except (DivergenceError, ValueError) as error:  # ValueError: of a schedule, from this step on
            self.ended = str(error)
        if self.steps.loop.failure is not None:
            self.ended = str(self.steps.loop.failure)
        self.step += done
        if self.step == self.next_point(self.step - done) or self.ended:
            self._measure()
        return done

    def take_all(self, count: int) -> int:
        """Take steps, as many as can be taken. Returns how many."""
        first = self.step
        while self.step < first + count and not self.ended:
            self.take(first + count - self.step)
        return self.step - first

    def next_point(self, step: int | None = None) -> int:
        """The step of the next point of the curves."""
        step = self.step if step is None else step
        spacing = max(1, 1 << max(0, step.bit_length() - PER_DOUBLING.bit_length()))
        return (step // spacing + 1) * spacing

    def next_phase(self) -> None:
        """In step mode: forward, loss, backward, then the update."""
        if self.ended:
            return
        phase = PHASES[(PHASES.index(self.phase) + 1) % len(PHASES)]
        if phase == PHASES[0]:
            self.take(1)
        else:
            self.phase = phase

    def _measure(self) -> None:
        """A point of the curves."""
        examples, row = self.examples, [float(self.step)]
        rows = [self.trainer.evaluate(examples.X, examples.y)]
        rows.append(self.trainer.evaluate(examples.X_validation, examples.y_validation))
        self.penalty = rows[0].get("penalty", 0.0)
        row += [values["loss"] - self.penalty for values in rows] + [values.get("accuracy", np.nan) for values in rows]
        self.curve.append(tuple(row))

    def lr(self) -> float:
        """In the next step; NaN if the schedule has left the valid range."""
        optimizer = self.steps.loop.optimizer
        try:
            values = optimizer.hyper_values(1, self.steps.per_epoch)
        except ValueError:
            return math.nan
        return float(values["lr"][0] if "lr" in values else vars(optimizer)["lr"])  # Rprop's is its first step

    @property
    def points(self) -> Array:
        """The curves, float32 (points, 5); the last one is of this moment only if a point is due."""
        return np.array(self.curve, np.float32)
