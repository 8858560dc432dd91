"""Where the next run of a sweep comes from, and what its result leads to."""

from __future__ import annotations

import itertools
import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from nncore._messages import shown
from nncore.optimizers import GradientOptimizer
from nncore.sweeps.halving import SuccessiveHalving
from nncore.sweeps.run import Job, Run, Task, candidate_score
from nncore.sweeps.space import checked
from nncore.training.trainer import Trainer

__all__ = ["Asked", "Halved", "Plain", "Source", "Step", "tasks"]


class Step(NamedTuple):
    """A job to be run until it has so many epochs or, with None, to its end."""

    job: Job
    epochs: int | None


class Source:
    """Gives steps, and is told when they are done; ``total`` is the number of runs that there will be."""

    total: int
    ahead = False  # whether steps may wait in a queue: which come next does not depend on results

    def next(self) -> Step | None:
        """A step that can be begun now; None: wait for one under way, or there are no more."""
        raise NotImplementedError

    def done(self, step: Step) -> Iterable[Job]:
        """After a step: the jobs that have come to their end."""
        raise NotImplementedError

    def halted(self) -> Iterable[Job]:
        """When no more steps will be made: those that may have results and wait for others to go on."""
        return ()


class Plain(Source):
    """All tasks in order."""

    ahead = True

    def __init__(self, jobs: Iterable[Job]) -> None:
        self._waiting = deque(jobs)
        self.total = len(self._waiting)

    def next(self) -> Step | None:
        return Step(self._waiting.popleft(), None) if self._waiting else None

    def done(self, step: Step) -> Iterable[Job]:
        return [step.job]


class Judge(Protocol):
    """By what runs are compared."""

    @property
    def mode(self) -> str: ...

    def score(self, run: Run) -> float: ...


class Asked(Source):
    """Candidates that another program suggests, which is told their results."""

    def __init__(
        self, suggestions: Any, runs: int, each: Callable[[int, Mapping[str, Any]], Sequence[Job]], judge: Judge
    ) -> None:  # fmt: skip
        self._source, self._arguments = suggestions if isinstance(suggestions, tuple) else (suggestions, None)
        self._runs, self._each, self._judge = runs, each, judge
        self._asked, self._waiting = 0, deque[Job]()
        self._trials: dict[int, tuple[Any, list[Run], int]] = {}  # by candidate: its runs that are done, and how many it has
        self.total = runs * len(each(0, {})) if runs else 0

    def next(self) -> Step | None:
        if not self._waiting and self._asked < self._runs:
            trial = self._source.ask() if self._arguments is None else self._source.ask(self._arguments)
            jobs = self._each(self._asked, checked(trial if isinstance(trial, Mapping) else trial.params))
            self._trials[self._asked] = trial, [], len(jobs)
            self._waiting.extend(jobs)
            self._asked += 1
        return Step(self._waiting.popleft(), None) if self._waiting else None

    def done(self, step: Step) -> Iterable[Job]:
        run = step.job.run
        trial, runs, count = self._trials[run.candidate]
        runs.append(run)
        if len(runs) == count and run.ended != "interrupted":
            self._tell(trial, candidate_score(map(self._judge.score, runs)), self._judge.mode)
        return [step.job]

    def _check_direction(self, mode: str) -> None:
        """Raise if Optuna's study would look for the worst."""
        directions = [one.name.lower() for one in getattr(self._source, "directions", ())]
        wanted = {"min": "minimize", "max": "maximize"}[mode]
        if directions and directions != [wanted]:
            raise ValueError(
                f"study must {wanted} what the sweep is judged by, as optuna.create_study(direction={wanted!r}) does, got one "
                f"that is to {' and '.join(directions)}: or give the sweep another monitor or mode"
            )

    def _tell(self, trial: Any, score: float, mode: str) -> None:
        if math.isfinite(score):
            self._check_direction(mode)
            self._source.tell(trial, -score if mode == "max" else score)
        elif hasattr(trial, "params"):  # Optuna's: a trial that failed
            self._source.tell(trial, state=_failed())


def _failed() -> Any:
    from optuna.trial import TrialState

    return TrialState.FAIL


def _fails(run: Run) -> bool:
    return run.ended.startswith(("raised", "diverged", "interrupted"))


def _starts_anew(subject: Any) -> bool:
    """Whether a call of ``fit`` does not go on where the last one stopped."""
    if not isinstance(subject, Trainer) or isinstance(subject.optimizer, GradientOptimizer):
        return False
    from nncore.second_order import ScipyMinimize  # only now: it needs more of SciPy

    return isinstance(subject.optimizer, ScipyMinimize)


class Halved(Source):
    """Rung after rung: candidates that are not among the best of their rung are halted."""

    def __init__(self, jobs: Iterable[Job], halving: SuccessiveHalving, epochs: int, monitor: str, mode: str) -> None:
        self._halving, self._ends, self._monitor, self._mode = halving, halving.rungs(epochs), monitor, mode
        self._jobs: dict[int, list[Job]] = {}
        for job in jobs:
            self._jobs.setdefault(job.task.candidate, []).append(job)
        self.total = sum(map(len, self._jobs.values()))
        self._rung = dict.fromkeys(self._jobs, 0)  # of each candidate
        self._left: dict[int, int] = {}  # runs of a candidate's rung that are not done
        self._scores: list[dict[int, float]] = [{} for _ in self._ends]  # of each rung, by candidate
        self._gone: list[set[int]] = [set() for _ in self._ends]  # those that went on from a rung
        self._steps = deque[Step]()
        self._fresh = deque(self._jobs)
        self._returned: set[int] = set()

    def next(self) -> Step | None:
        if not self._steps and not self._halving.waits:
            self._promote_early()
        if not self._steps and self._fresh:
            self._begin(self._fresh.popleft())
        return self._steps.popleft() if self._steps else None

    def _begin(self, candidate: int) -> None:
        """The steps of the candidate's rung."""
        rung = self._rung[candidate]
        end = None if rung + 1 == len(self._ends) else self._ends[rung]
        self._left[candidate] = len(self._jobs[candidate])
        self._steps.extend(Step(job, end) for job in self._jobs[candidate])

    def done(self, step: Step) -> Iterable[Job]:
        candidate, rung = step.job.task.candidate, self._rung[step.job.task.candidate]
        self._check(step.job)
        self._left[candidate] -= 1
        if self._left[candidate]:
            return []
        self._scores[rung][candidate] = self._score(candidate)
        over = rung + 1 == len(self._ends) or all(_fails(job.run) for job in self._jobs[candidate])
        ended = self._ended(candidate) if over else []
        if self._halving.waits:
            ended += self._close_rung(rung)
        elif not self._fresh and not self._under_way() and not self._can_go_on():
            ended += self.halted()
        return ended

    def halted(self) -> list[Job]:
        return [job for candidate in self._jobs for job in self._ended(candidate)]

    def _check(self, job: Job) -> None:
        """The first result tells whether there is anything to choose by, and to go on with."""
        run = job.run
        if len(self._ends) > 1 and _starts_anew(job.subject):
            raise TypeError(
                f"halving needs optimizers that go on where they were halted, got {shown(job.subject.optimizer)}, which starts "
                "from scratch in every call of fit: take another one, as LBFGS(), or no halving"
            )
        if _fails(run):
            return
        if run.history is None:
            raise TypeError(f"halving needs a make that returns a Trainer, got one that gives {', '.join(run.values)} only")
        if self._monitor not in run.history:
            columns = ", ".join(run.history.columns)
            raise ValueError(f"monitor must be a column of the history, {columns}, got {shown(self._monitor)}")

    def _under_way(self) -> bool:
        return bool(self._steps) or any(self._left.values())

    def _score(self, candidate: int) -> float:
        """The median of the candidate's runs so far, the smaller the better."""
        return candidate_score(self._so_far(job.run) for job in self._jobs[candidate])

    def _so_far(self, run: Run) -> float:
        if run.history is None or _fails(run):
            return math.inf
        values = run.history[self._monitor][len(run.history) - run.epochs :]  # not those before this run
        values = values[np.isfinite(values)]
        if not len(values):
            return math.inf
        return float(-values.max() if self._mode == "max" else values.min())

    def _close_rung(self, rung: int) -> list[Job]:
        """When all candidates of a rung are done: the best of them begin the next one."""
        there = [candidate for candidate, at in self._rung.items() if at == rung]
        if self._fresh or any(candidate not in self._scores[rung] for candidate in there) or rung + 1 == len(self._ends):
            return []
        going = self._halving.promoted(self._scores[rung])
        halted = [candidate for candidate in there if candidate not in going]
        for candidate in going:
            self._rung[candidate] += 1
            self._begin(candidate)
        # of several processes each goes on first with the trainers that it has: the others must train theirs from the start
        self._steps = deque(sorted(self._steps, key=lambda step: step.job.subject is None))
        return [job for candidate in halted for job in self._ended(candidate)]

    def _can_go_on(self) -> bool:
        return any(self._promotable(rung) for rung in range(len(self._ends) - 1))

    def _promotable(self, rung: int) -> list[int]:
        return [candidate for candidate in self._halving.promoted(self._scores[rung]) if candidate not in self._gone[rung]]

    def _promote_early(self) -> None:
        """The best candidate of the highest rung that may go on."""
        for rung in range(len(self._ends) - 2, -1, -1):
            for candidate in self._promotable(rung):
                self._gone[rung].add(candidate)
                self._rung[candidate] = rung + 1
                self._begin(candidate)
                return

    def _ended(self, candidate: int) -> list[Job]:
        """The candidate's jobs that have not been returned before."""
        jobs = [job for job in self._jobs[candidate] if job.task.number not in self._returned]
        self._returned.update(job.task.number for job in jobs)
        return jobs


def tasks(candidates: Sequence[Mapping[str, Any]], seeds: Sequence[int], folds: int | None, first: int = 0) -> list[Task]:
    """Each candidate with each seed on each fold."""
    ways = list(itertools.product(seeds, range(folds) if folds else [None]))
    return [
        Task((first + number) * len(ways) + place, first + number, dict(candidate), seed, fold)
        for number, candidate in enumerate(candidates)
        for place, (seed, fold) in enumerate(ways)
    ]
