"""One run of a sweep: a trainer or an estimator is made, trained and judged."""

from __future__ import annotations

import contextlib
import copy
import functools
import inspect
import math
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nncore import _kernels
from nncore._messages import shown
from nncore._utils.interrupt import Interrupt
from nncore.errors import DivergenceError
from nncore.history import History, larger_is_better
from nncore.sweeps.digest import digest
from nncore.training.trainer import Trainer

__all__ = ["Fold", "Job", "Run", "Task", "Work", "candidate_score", "own_copy", "takes_seed"]

Array = NDArray[Any]


@dataclass(frozen=True)
class Task:
    """What is to be run: a candidate, with a seed, on a fold."""

    number: int
    candidate: int
    parameters: dict[str, Any]
    seed: int
    fold: int | None

    @functools.cached_property
    def key(self) -> str:
        """The name of the run in a file."""
        advice = "Let the space name such values by texts, which make looks up"
        parts = [digest(value, name, advice) for name, value in sorted(self.parameters.items())]
        return digest([sorted(self.parameters), parts, self.seed, self.fold], "run")


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
        "finished", "stopped" (by a callback), "halted after …", "diverged: …", "raised …", "interrupted".
    epochs : int
        Trained in this run.
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

    def reaches(self, epochs: int | None) -> bool:
        """Whether it has come to this epoch, or to an end from which it cannot go on."""
        if not self.ended or self.ended.startswith(("halted", "interrupted")):
            return epochs is not None and self.ended != "interrupted" and self.epochs >= epochs
        return True

    def after(self, epochs: int | None) -> Run:
        """The run as it was after so many epochs, if it has gone on since."""
        if epochs is None or self.epochs <= epochs or self.history is None:
            return self
        rows = len(self.history) - self.epochs + epochs  # a trainer may have had some before
        history = History.from_columns({name: values[:rows] for name, values in self.history.items()})
        seconds = self.seconds * epochs / self.epochs  # about
        return replace(self, ended=halted(epochs), epochs=epochs, seconds=seconds, values=history.row(rows), history=history)

    def best(self, column: str, mode: str = "auto") -> float:
        """The best value of a column over the epochs; NaN without one."""
        values = self.values.get(column, math.nan)
        if self.history is None or column not in self.history or not len(self.history):
            return values
        rows = self.history[column]
        if np.isnan(rows).all():
            return math.nan
        return float(np.nanmax(rows) if larger_is_better(column, mode) else np.nanmin(rows))


def candidate_score(scores: Iterable[float]) -> float:
    """The median of the scores of a candidate's runs, those that failed among them as inf: of two in the middle the worse."""
    ordered = sorted(scores)
    return float(ordered[len(ordered) // 2])


class Fold(NamedTuple):
    """What the runs of a fold are trained and validated on."""

    X: Any
    y: Any
    validation: tuple[Any, ...] | None = None
    weights: Any = None  # sample_weight of its rows


@dataclass
class Work:
    """What all runs of a sweep have in common."""

    make: Callable[..., Any]
    folds: list[Fold] | None  # None: a function is called
    fit: Mapping[str, Any]
    callbacks: Callable[[], Any] | None
    keep: bool


def takes_seed(make: Callable[..., Any]) -> bool:
    """Whether a function has an argument ``seed``."""
    try:
        parameters = inspect.signature(make).parameters.values()
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
        self._first = 0  # epochs that the trainer had when it was made

    def stop(self) -> None:
        """Ask it to end after the epoch under way; another thread runs it. A call at the very start of a fit is lost."""
        self.stopped = True
        if isinstance(self.subject, Trainer):
            self.subject.stop_training = True

    def __call__(self, epochs: int | None = None) -> Run:
        """Train until the run has so many epochs, or with None to its end; an error is the reason why it ended."""
        run, start, watch = self.run, time.perf_counter(), _Presses()
        if run.reaches(epochs):
            return run
        try:
            with _kernels.one_thread():
                self._go(epochs)
            run.ended = "finished" if epochs is None else halted(epochs)
        except DivergenceError as error:
            run.ended, run.error = f"diverged: {error}", error
        except Exception as error:
            run.ended, run.error = f"raised {type(error).__name__}: {error}", error
        run.seconds += time.perf_counter() - start
        if isinstance(self.subject, Trainer):
            self._read_history()
        if watch.pressed() or self._is_cut_short(epochs):
            run.ended = "interrupted"
        if self.work.keep and run.values:  # also of one that was cut short: it may be the best of the table
            run.model = self.subject.model if isinstance(self.subject, Trainer) else self.subject
        return run

    def _go(self, epochs: int | None) -> None:
        work, task, fresh = self.work, self.task, self.subject is None
        if fresh and not self.stopped:
            made = work.make(**own_copy(task.parameters), **({"seed": task.seed} if self.seeded else {}))
            if work.folds is None or isinstance(made, Mapping):
                self.run.values = _numbers(made)
                return
            self.subject, self._first = made, made.epochs_done if isinstance(made, Trainer) else 0
        if self.stopped:
            return
        assert work.folds is not None
        X, y, validation, weights = work.folds[task.fold or 0]
        options = dict(work.fit) | ({} if weights is None else {"sample_weight": weights})
        if not isinstance(self.subject, Trainer):
            self._fit_estimator(X, y, validation, options)
            return
        if validation is not None:
            options["validation_data"] = validation
        if epochs is not None or not fresh:
            options["epochs"] = self._epochs_left(epochs)
        if work.callbacks is not None:
            options["callbacks"] = work.callbacks()
        self.subject.fit(X, y, **options, verbose=0)

    def _epochs_left(self, epochs: int | None) -> int:
        total: int = self.work.fit.get("epochs", 1) if epochs is None else epochs
        return total - (self.subject.epochs_done - self._first)

    def _is_cut_short(self, epochs: int | None) -> bool:
        """Whether another thread, or Ctrl-C within ``fit``, has ended it before its time."""
        if isinstance(self.subject, Trainer) and self.run.error is None:
            return self.subject.interrupted or (self.stopped and self._epochs_left(epochs) > 0)
        return self.stopped and not self.run.values and self.run.error is None  # before it was made

    def _fit_estimator(self, X: Any, y: Any, validation: Any, options: Mapping[str, Any]) -> None:
        estimator = self.subject
        if not (hasattr(estimator, "fit") and hasattr(estimator, "score")):
            raise TypeError(f"make must return a Trainer, an estimator or a mapping of numbers, got {shown(estimator)}")
        estimator.fit(X, y, **options)
        judged = (X, y) if validation is None else validation
        name = "train_score" if validation is None else "score"
        self.run.values = {name: float(estimator.score(*judged))}
        self.run.epochs = int(getattr(estimator, "n_iter_", 0) or 0) if np.ndim(getattr(estimator, "n_iter_", 0)) == 0 else 0

    def _read_history(self) -> None:
        trainer, run = self.subject, self.run
        history: History = trainer.history
        run.history, run.epochs = history, trainer.epochs_done - self._first
        if len(history):
            run.values = {name: float(values[-1]) for name, values in history.items()}
        if trainer.stop_training and run.error is None and not self.stopped:
            run.ended = "stopped"


def own_copy(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """For one run: a training changes an optimizer or a layer among them. What cannot be copied is the same for all."""
    copied, memo = dict(parameters), dict[int, Any]()
    for name, value in parameters.items():
        with contextlib.suppress(Exception):  # of a module, a lock and so on
            copied[name] = copy.deepcopy(value, memo)
    return copied


class _Presses:
    """Ctrl-C on this thread, which a training within `make` may have taken for its own."""

    def __init__(self) -> None:
        self._last = Interrupt.last_press()

    def pressed(self) -> bool:
        return threading.current_thread() is threading.main_thread() and Interrupt.last_press() != self._last


def halted(epochs: int) -> str:
    """Why a run has ended that is not worth going on with."""
    return f"halted after {epochs} epoch{'s' * (epochs > 1)}"


def _numbers(values: Any) -> dict[str, float]:
    if not isinstance(values, Mapping):
        raise TypeError(f"make must return a mapping of names to numbers where there are no data, got {shown(values)}")
    return {str(name): float(value) for name, value in values.items()}
