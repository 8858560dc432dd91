"""The learning-rate range test: ``trainer.lr_find(X, y)``."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nncore import samplers
from nncore._messages import shown
from nncore._utils.fields import count, number
from nncore._utils.figures import finish, one_axes
from nncore._utils.tables import html_table
from nncore.schedules import Schedule, Times
from nncore.training.base import BaseTrainer
from nncore.training.loop import TrainingLoop

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["LearningRates"]

Array = NDArray[np.float64]


@dataclass
class LearningRates:
    """What a sweep of the learning rate found.

    Attributes
    ----------
    lrs : array (steps,)
        Rising exponentially; as far as the sweep came.
    losses : array (steps,)
        The mean loss of each step's batch, penalty included, before the step was taken.
    smoothed : array (steps,)
        Their exponentially weighted mean, corrected for its start: what is judged.
    """

    lrs: Array
    losses: Array
    smoothed: Array

    @property
    def suggestion(self) -> float | None:
        """A tenth of the rate at which the smoothed loss is least; None if it is least in the first tenth of the sweep.

        There steps only just do not do harm; a decade below, the loss falls and the rate has room to spare. A good rate to
        begin from, not the best one: that depends on batch size, schedule and length of the training.
        """
        least = int(self.smoothed.argmin())
        return float(self.lrs[least]) / 10 if least > len(self.lrs) // 10 else None

    @property
    def steepest(self) -> float | None:
        """The rate at which the smoothed loss falls fastest over log lr, before its least value; None if it never fell.

        Often close to `suggestion`, but it is the derivative of a noisy curve. The first tenth of the sweep is left out, where
        the mean is one of few losses.
        """
        first, least = len(self.lrs) // 10, int(self.smoothed.argmin())
        if least < first + 2:
            return None
        slope = np.gradient(self.smoothed[first : least + 1], np.log(self.lrs[first : least + 1]))
        return float(self.lrs[first + slope.argmin()])

    def _repr_html_(self) -> str:
        """For notebooks: what was found, without the arrays."""
        found = [("suggestion", self.suggestion), ("steepest", self.steepest)]
        rows = [(name, "none" if rate is None else f"{rate:.3g}") for name, rate in found]
        reach = f"{len(self.lrs)} steps, from {self.lrs[0]:.3g} to {self.lrs[-1]:.3g}"
        return html_table([("", "learning rate"), *rows], [reach])

    def plot(self, path: str | os.PathLike[str] | None = None, ax: Axes | None = None) -> Figure:
        """Draw the losses over the rates, with the two suggestions.

        Parameters
        ----------
        path : path-like, optional
            Save the picture there.
        ax : Axes, optional
            Draw there.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        ImportError
            Without matplotlib.
        """
        figure, ax = one_axes("LearningRates.plot", path, ax)
        least, most = self.smoothed.min(), self.smoothed[: self.smoothed.argmin() + 1].max()
        room = 0.4 * (most - least) or 1.0
        ax.plot(self.lrs, self.losses, color="0.75", linewidth=0.8, label="loss of a batch")
        ax.plot(self.lrs, self.smoothed, color="C0", linewidth=1.8, label="smoothed")
        for name, rate, color, style in (("suggestion", self.suggestion, "C1", "--"), ("steepest", self.steepest, "C2", ":")):
            if rate is not None:
                ax.axvline(rate, color=color, linestyle=style, label=f"{name} {rate:.2g}")
        ax.set(xscale="log", xlabel="learning rate", ylabel="loss", ylim=(least - room, most + room))
        ax.grid(alpha=0.3)
        ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, frameon=False, borderaxespad=0.2)
        return finish(figure, path)


class _Sweep(Schedule):
    """start · (end/start)^((t − first)/(steps − 1)) from step `first` on."""

    name = "sweep"

    def __init__(self, first: int, start: float, end: float, steps: int) -> None:
        super().__init__()
        self.first, self.start, self.end, self.steps = first, start, end, steps

    def at(self, t: Times) -> Array:
        return np.asarray(self.start * (self.end / self.start) ** ((t - self.first) / (self.steps - 1)))


def sweep(
    trainer: BaseTrainer,
    X: Any,
    y: Any,
    start: float,
    end: float,
    steps: int,
    batch_size: int,
    smoothing: float,
    divergence: float,
) -> LearningRates:
    """Train a copy of the trainer with a rising rate until the steps are done or the loss explodes."""
    start, end, steps = number("start", start, above=0), number("end", end), count("steps", steps)
    if end <= start or steps < 2:
        raise ValueError(f"lr_find needs start < end and at least 2 steps, got start={start}, end={end}, steps={steps}")
    if not 0 <= number("smoothing", smoothing, 0.0) < 1:
        raise ValueError(f"smoothing must be in [0, 1), got {shown(smoothing)}")
    number("divergence", divergence, above=1)
    if "lr" not in trainer.optimizer.hyperparameters:
        raise ValueError(f"lr_find needs an optimizer with a learning rate, got {shown(trainer.optimizer)}")
    twin = trainer._copy()
    twin.optimizer.lr = _Sweep(twin.optimizer.step_count, start, end, steps)
    data = twin._data(X, y)
    batch = min(count("batch_size", batch_size), len(data))
    twin._check_optimizer(len(data), batch)
    twin.model.check_batches(len(data), batch, training=True, hint="; take another batch_size")
    run = TrainingLoop(twin, data, batch, samplers.Shuffled())
    losses, curve = _losses(run, steps, smoothing, divergence)
    return LearningRates(start * (end / start) ** (np.arange(len(losses)) / (steps - 1)), losses, curve)


def _losses(run: TrainingLoop, steps: int, smoothing: float, divergence: float) -> tuple[Array, Array]:
    """The loss of each step and the smoothed curve, up to where it explodes."""
    n, per_epoch = len(run.data), run.per_epoch
    _, order = run.orders(-(-steps // per_epoch))
    rows = np.minimum(n - np.arange(per_epoch) * run.batch, run.batch)
    losses: list[float] = []
    curve: list[float] = []
    mean = 0.0
    while len(losses) < steps and not run.failure:
        first = len(losses)
        threads, wanted = run.program.tuner.next_call()
        portion = run.run_steps(order, first, min(steps - first, wanted), threads)
        for t, row in enumerate(portion.sums, first):
            loss = float(row[:-1].sum() / rows[t % per_epoch] + row[-1])  # the twin has no metrics: all are penalties
            mean = smoothing * mean + (1 - smoothing) * loss
            smoothed = mean / (1 - smoothing ** (t + 1))
            if not math.isfinite(smoothed) or (curve and smoothed > divergence * min(curve)):
                steps = len(losses)
                break
            losses.append(loss)
            curve.append(smoothed)
    if not losses:
        raise run.failure or ValueError("lr_find took no step")
    return np.array(losses), np.array(curve)
