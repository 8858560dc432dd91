"""One run of a sweep: a trainer or an estimator is made, trained and judged."""

from __future__ import annotations

import inspect
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncore import _kernels
from nncore._messages import shown
from nncore.errors import DivergenceError
from nncore.history import History, larger_is_better
from nncore.training.trainer import Trainer

__all__ = ["Job", "Run", "Task", "Work"]

Array = NDArray[Any]


@dataclass(frozen=True)
class Task:
    """What is to be run: a candidate, with a seed, on a fold."""

    number: int
    candidate: int
    parameters: dict[str, Any]
    seed: int
    fold: int | None


@dataclass
class Run:
    """A row of a sweep's table.

    Attributes
    ----------
    number, candidate : int
        Of the run, and of its parameters.
    parameters : dict
    seed : int
    fold : int or None
    ended : str
        "finished", "stopped" (by a callback), "halted at …", "diverged: …", "raised …", "interrupted".
    epochs : int
    seconds : float
    values : dict of str to float
        The columns of the last epoch; of an estimator its score, of a function what it returned.
    history : History or None
    model : object or None
        The trained model or estimator, if the sweep keeps it.
    error : Exception or None
        What it raised.
    """

    number: int
    candidate: int
    parameters: dict[str, Any]
    seed: int
    fold: int | None
    ended: str = ""
    epochs: int = 0
    seconds: float = 0.0
    values: dict[str, float] = field(default_factory=dict)
    history: History | None = field(default=None, repr=False)
    model: Any = field(default=None, repr=False)
    error: Exception | None = field(default=None, repr=False)  # that it raised; not stored in files

    @property
    def failed(self) -> bool:
        """Whether it came to no result."""
        return self.ended.startswith(("raised", "interrupted")) or not self.values

    def best(self, column: str, mode: str = "auto") -> float:
        """The best value of a column over the epochs; NaN without one."""
        values = self.values.get(column, math.nan)
        if self.history is None or column not in self.history or not len(self.history):
            return values
        rows = self.history[column]
        if np.isnan(rows).all():
            return math.nan
        return float(np.nanmax(rows) if larger_is_better(column, mode) else np.nanmin(rows))


@dataclass
class Work:
    """What all runs of a sweep have in common."""

    make: Callable[..., Any]
    folds: list[tuple[Any, Any, Any]] | None  # X, y and validation data (or None) of each; None: a function is called
    fit: Mapping[str, Any]
    callbacks: Callable[[], Any] | None
    keep: bool

    def takes_seed(self) -> bool:
        try:
            parameters = inspect.signature(self.make).parameters.values()
        except (TypeError, ValueError):  # of a function in C
            return True
        return any(p.kind is p.VAR_KEYWORD or p.name == "seed" for p in parameters)


class Job:
    """A run under way, which may be continued."""

    def __init__(self, work: Work, task: Task, seeded: bool) -> None:
        self.work, self.task, self.seeded = work, task, seeded
        self.run = Run(task.number, task.candidate, task.parameters, task.seed, task.fold)
        self.subject: Any = None  # the trainer or estimator
        self.stopped = False  # asked to stop, by another thread
        self.known = False  # the run is from a file

    def stop(self) -> None:
        """Ask it to end after the epoch under way; another thread runs it."""
        self.stopped = True
        if isinstance(self.subject, Trainer):
            self.subject.stop_training = True

    def __call__(self, epochs: int | None = None) -> Run:
        """Train, with ``epochs`` instead of those of the sweep; an error is the reason why the run ended."""
        start = time.perf_counter()
        try:
            with _kernels.one_thread():
                self._go(epochs)
            self.run.ended = "finished"
        except DivergenceError as error:
            self.run.ended, self.run.error = f"diverged: {error}", error
        except Exception as error:
            self.run.ended, self.run.error = f"raised {type(error).__name__}: {error}", error
        self.run.seconds += time.perf_counter() - start
        if isinstance(self.subject, Trainer):
            self._read_history()
        if self.stopped and self.run.ended == "finished":
            self.run.ended = "interrupted"
        if self.work.keep and not self.run.failed:
            self.run.model = self.subject.model if isinstance(self.subject, Trainer) else self.subject
        return self.run

    def _go(self, epochs: int | None) -> None:
        work, task = self.work, self.task
        if self.subject is None:
            made = work.make(**task.parameters, **({"seed": task.seed} if self.seeded else {}))
            if work.folds is None or isinstance(made, Mapping):
                self.run.values = _numbers(made)
                return
            self.subject = made
        assert work.folds is not None
        X, y, validation = work.folds[task.fold or 0]
        if not isinstance(self.subject, Trainer):
            self._fit_estimator(X, y, validation)
            return
        options = dict(work.fit) | ({} if validation is None else {"validation_data": validation})
        if epochs is not None:
            options["epochs"] = epochs
        if work.callbacks is not None:
            options["callbacks"] = work.callbacks()
        self.subject.fit(X, y, **options, verbose=0)

    def _fit_estimator(self, X: Any, y: Any, validation: Any) -> None:
        estimator = self.subject
        if not (hasattr(estimator, "fit") and hasattr(estimator, "score")):
            raise TypeError(f"make must return a Trainer, an estimator or a mapping of numbers, got {shown(estimator)}")
        estimator.fit(X, y, **self.work.fit)
        judged = (X, y) if validation is None else validation
        name = "train_score" if validation is None else "score"
        self.run.values = {name: float(estimator.score(*judged))}
        self.run.epochs = int(getattr(estimator, "n_iter_", 0) or 0) if np.ndim(getattr(estimator, "n_iter_", 0)) == 0 else 0

    def _read_history(self) -> None:
        trainer, run = self.subject, self.run
        history: History = trainer.history
        run.history, run.epochs = history, trainer.epochs_done
        if len(history):
            run.values = {name: float(values[-1]) for name, values in history.items()}
        if trainer.stop_training and run.ended == "finished" and not self.stopped:
            run.ended = "stopped"


def _numbers(values: Any) -> dict[str, float]:
    if not isinstance(values, Mapping):
        raise TypeError(f"make must return a mapping of names to numbers where there are no data, got {shown(values)}")
    return {str(name): float(value) for name, value in values.items()}
