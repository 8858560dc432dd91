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
from nncore.training.loop import Portion, TrainingLoop

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["LearningRates"]

Array = NDArray[np.float64]


@dataclass
class LearningRates:
    """The result of a learning-rate range test.

    Attributes
    ----------
    lrs : array (steps,)
        Learning rates, increasing exponentially, up to the end of the sweep.
    losses : array (steps,)
        The mean loss of the batch of each step, penalty included, before the step.
    smoothed : array (steps,)
        Exponentially weighted mean of the losses, corrected for its start.
    """

    lrs: Array
    losses: Array
    smoothed: Array

    @property
    def suggestion(self) -> float | None:
        """A tenth of the rate with the smallest smoothed loss; None if that is in the first tenth of the sweep.

        At the minimum the rate is barely stable; a tenth of it is safe. It is a good initial rate, not the best one, which
        depends on batch size, schedule and length of the training.
        """
        lowest = int(self.smoothed.argmin())
        return float(self.lrs[lowest]) / 10 if lowest > len(self.lrs) // 10 else None

    @property
    def steepest(self) -> float | None:
        """The rate at which the smoothed loss falls fastest over log lr, before its minimum; None if it never falls.

        Often close to `suggestion`, but from the derivative of a noisy curve. The first tenth of the sweep is excluded, where
        the mean is over few losses.
        """
        first, lowest = len(self.lrs) // 10, int(self.smoothed.argmin())
        if lowest < first + 2:
            return None
        slope = np.gradient(self.smoothed[first : lowest + 1], np.log(self.lrs[first : lowest + 1]))
        return float(self.lrs[first + slope.argmin()])

    def _repr_html_(self) -> str:
        """The results without the arrays, for notebooks."""
        found = [("suggestion", self.suggestion), ("steepest", self.steepest)]
        rows = [(name, "none" if rate is None else f"{rate:.3g}") for name, rate in found]
        reach = f"{len(self.lrs)} steps, from {self.lrs[0]:.3g} to {self.lrs[-1]:.3g}"
        return html_table([("", "learning rate"), *rows], [reach])

    def plot(self, path: str | os.PathLike[str] | None = None, ax: Axes | None = None) -> Figure:
        """Draw the losses over the rates, with the two suggestions.

        Parameters
        ----------
        path : path-like, optional
            Save the figure there.
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
        low, high = self.smoothed.min(), self.smoothed[: self.smoothed.argmin() + 1].max()
        margin = 0.4 * (high - low) or 1.0
        ax.plot(self.lrs, self.losses, color="0.75", linewidth=0.8, label="loss of a batch")
        ax.plot(self.lrs, self.smoothed, color="C0", linewidth=1.8, label="smoothed")
        for name, rate, color, style in (("suggestion", self.suggestion, "C1", "--"), ("steepest", self.steepest, "C2", ":")):
            if rate is not None:
                ax.axvline(rate, color=color, linestyle=style, label=f"{name} {rate:.2g}")
        ax.set(xscale="log", xlabel="learning rate", ylabel="loss", ylim=(low - margin, high + margin))
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
    sample_weight: Any,
    start: float,
    end: float,
    steps: int,
    batch_size: int,
    smoothing: float,
    divergence: float,
) -> LearningRates:
    """Train a copy of the trainer with an increasing rate until the steps are done or the loss explodes."""
    start = number("start", start, above=0)
    end, steps = number("end", end, above=start), count("steps", steps, 2)
    number("smoothing", smoothing, 0.0, below=1)
    number("divergence", divergence, above=1)
    if "lr" not in trainer.optimizer.hyperparameters:
        raise ValueError(f"lr_find needs an optimizer with a learning rate, got {shown(trainer.optimizer)}")
    twin = trainer._copy()
    twin.optimizer.lr = _Sweep(twin.optimizer.step_count, start, end, steps)
    data = twin._data(X, y, sample_weight)
    batch = min(count("batch_size", batch_size), len(data))
    twin._check_optimizer(len(data), batch)
    twin.model.check_batches(len(data), batch, training=True, hint="; take another batch_size")
    run = TrainingLoop(twin, data, batch, samplers.Sequential() if twin.model.batch_rows else samplers.Shuffled())
    losses, curve = _losses(run, steps, smoothing, divergence)
    return LearningRates(start * (end / start) ** (np.arange(len(losses)) / (steps - 1)), losses, curve)


def _losses(run: TrainingLoop, steps: int, smoothing: float, divergence: float) -> tuple[Array, Array]:
    """The loss of each step and the smoothed curve, up to where it explodes."""
    n, per_epoch = len(run.data), run.per_epoch
    run.optimizer.begin_epoch()
    _, order = run.orders(-(-steps // per_epoch))
    rows = np.minimum(n - np.arange(per_epoch) * run.batch, run.batch)
    losses: list[float] = []
    curve: list[float] = []
    mean = 0.0
    while len(losses) < steps and not run.failure:
        first = len(losses)
        portion = _portion(run, order, first, steps)
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
        raise run.failure or ValueError("the loss of the first step of lr_find must be finite")
    return np.array(losses), np.array(curve)


def _portion(run: TrainingLoop, order: Any, first: int, steps: int) -> Portion:
    """The next steps; one where weights of sparse data are caught up later, for a penalty that is that of all weights."""
    program = run.program
    threads, most = program.tuner.next_call()
    if program.rest is None:
        return run.run_steps(order, first, min(steps - first, most), threads)
    penalty = program.late and program.late.value(run.trainer.model)
    portion = run.run_steps(order, first, 1, threads)
    program.rest.run(run.data.rows)
    if penalty is not None:
        portion.sums[:, -1] = penalty
    return portion
