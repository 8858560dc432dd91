"""How the runs of a sweep are made: on threads, or by joblib."""

from __future__ import annotations

import contextlib
import math
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any

from nncore._messages import shown
from nncore._utils.fields import count
from nncore._utils.interrupt import Interrupt
from nncore.sweeps.best_model import BestModel
from nncore.sweeps.run import Job, Run
from nncore.sweeps.sources import Source, Step
from nncore.sweeps.store import Store

__all__ = ["Feed", "Sink", "run_by_joblib", "run_in_threads"]

PATIENCE = 0.05  # seconds between two looks at Ctrl-C
LOOK = 0.2  # seconds between two looks at the runs of other processes


class Sink:
    """Collects the runs that have ended: for the table and the progress line.

    ``value`` is what a run has come to, ``score`` the smaller the better. ``models``: drops those that are not kept.
    """

    def __init__(
        self, total: int, value: Callable[[Run], float], score: Callable[[Run], float], models: BestModel | None, verbose: int
    ) -> None:  # fmt: skip
        self.runs: list[Run] = []
        self._value, self._score, self._models = value, score, models
        self._best = math.inf
        self._bar = _bar(total) if count("verbose", verbose, 0, below=2) and sys.stderr else None

    def take(self, run: Run) -> None:
        self.runs.append(run)
        if self._models is not None:
            self._models.take(run)
        if self._bar is not None:
            self._bar.update()
            if not run.failed and self._score(run) < self._best:
                self._best = self._score(run)
                self._bar.set_postfix_str(f"best {self._value(run):.4g}", refresh=False)

    def look(self) -> None:
        """Between two results."""
        if self._bar is not None and not self._bar.disable:
            self._bar.refresh()

    def close(self) -> None:
        if self._models is not None:
            self._models.close()
        if self._bar is not None:
            self._bar.close()


def _bar(total: int) -> Any:
    """A line on a terminal. Not made at all where none is wanted: a bar, even a hidden one, takes a lock that forked processes
    share, and one that is killed with it would stop the others for ever.
    """
    from tqdm.auto import tqdm  # only now: it is not needed to import nncore

    return tqdm(total=total, unit="run", leave=False, disable=None)


class Feed:
    """The steps of a source that are to be made here; what a file has, or others make for it, is taken from there."""

    def __init__(self, source: Source, sink: Sink, store: Store | None) -> None:
        self._source, self._sink, self._store = source, sink, store
        self.ahead = source.ahead
        self._elsewhere: list[Step] = []
        self._looked = 0.0

    @property
    def waits(self) -> bool:
        """Whether others make steps."""
        return bool(self._elsewhere)

    def next(self) -> Step | None:
        """A step to be made here; None: wait for one under way, here or elsewhere, or there are no more."""
        return self._given_up() or self._new()

    def _new(self) -> Step | None:
        while (step := self._source.next()) is not None:
            known = self._claimed(step)
            if known is True:
                return step
            if known is None:
                self._elsewhere.append(step)
        return None

    def _given_up(self) -> Step | None:
        """Look at the steps that others make: one that has to be made here after all."""
        if time.monotonic() < self._looked + LOOK:
            return None
        for step in list(self._elsewhere):
            known = self._claimed(step)
            if known is not None:
                self._elsewhere.remove(step)
            if known is True:
                return step
        self._looked = time.monotonic()
        return None

    def _claimed(self, step: Step) -> Run | bool | None:
        """As `Store.claim`; a result is reported."""
        known = True if self._store is None else self._store.claim(step.job.task, step.epochs)
        if isinstance(known, Run):
            step.job.run = known
            self._done(step)
        return known

    def report(self, step: Step) -> None:
        """A step has been made here."""
        self._keep(step)
        self._done(step)

    def leave(self, step: Step) -> None:
        """A step has been made, or was interrupted, after which no other will be."""
        self._keep(step)
        self._sink.take(step.job.run)

    def close(self) -> None:
        """No other step will be made: runs that wait for others to go on are results too."""
        there = {run.number for run in self._sink.runs}
        for job in self._source.halted():
            if job.run.ended and job.run.number not in there:
                self._sink.take(job.run)

    def look(self) -> None:
        self._sink.look()

    def _keep(self, step: Step) -> None:
        if self._store is not None:
            self._store.put(step.job.task, step.job.run)

    def _done(self, step: Step) -> None:
        for job in self._source.done(step):
            job.subject = None  # its memory is free for others
            self._sink.take(job.run)


def run_in_threads(feed: Feed, threads: int, backend: str) -> None:
    """Steps on threads of Python, of which each leaves the lock of Python while it runs compiled steps."""
    running: dict[Future[Run], Step] = {}
    places = 2 * threads if feed.ahead else threads  # so that no thread waits for this one
    with Interrupt() as interrupt:
        executor = ThreadPoolExecutor(threads, thread_name_prefix="nncore-sweep")
        try:
            while not interrupt.pressed():
                while len(running) < places and (step := feed.next()) is not None:
                    running[executor.submit(step.job, step.epochs)] = step
                if not running and not feed.waits:
                    return
                for step in _ended(running):
                    feed.report(step)
                feed.look()
            while running and not interrupt.pressed_twice():
                _stop(running)
                for step in _ended(running):
                    feed.leave(step)
            feed.close()
        finally:
            _stop(running)
            executor.shutdown(wait=not running, cancel_futures=True)


def _ended(running: dict[Future[Run], Step]) -> Iterator[Step]:
    """The steps that have ended, after some patience. Then raises what ends a program, as SystemExit, and is no result."""
    if not running:
        time.sleep(PATIENCE)
    done, _ = wait(running, timeout=PATIENCE, return_when=FIRST_COMPLETED)
    for future in sorted(done, key=lambda one: one.exception() is not None):
        step = running.pop(future)
        future.result()
        yield step


def _stop(running: dict[Future[Run], Step]) -> None:
    """Ask all to end; those that have not begun never will."""
    for future, step in list(running.items()):
        if future.cancel():
            del running[future]
        step.job.stop()


def run_by_joblib(feed: Feed, threads: int, backend: str) -> None:
    """Runs in processes or on other machines: all that no other process has claimed, and later those that it has given up."""
    while True:
        steps = {step.job.task.number: step for step in iter(feed.next, None)}
        try:
            if steps:
                _run_all(feed, steps, threads, backend)
            elif feed.waits:
                time.sleep(PATIENCE)
            else:
                return
        except KeyboardInterrupt:
            for step in steps.values():
                step.job.stop()
            return


def _run_all(feed: Feed, waiting: dict[int, Step], threads: int, backend: str) -> None:
    """Take these steps out of ``waiting`` one after the other."""
    import joblib

    lost: Exception | None = None
    for _ in range(2):
        if not waiting:
            return
        calls = [joblib.delayed(_remote)(step.job) for step in waiting.values()]
        try:
            config = joblib.parallel_config(backend=backend, n_jobs=threads)
        except ValueError as error:
            known = "'threads' or the name of a backend of joblib"
            raise ValueError(f"backend must be {known}, got {shown(backend)}: {error}") from None
        with config:
            results = joblib.Parallel(return_as="generator_unordered")(calls)
        with contextlib.closing(results):
            while waiting:
                try:
                    run = next(results)
                except Exception as error:  # a process that was killed takes the others of its pool with it
                    lost = error
                    break
                step = waiting.pop(run.number)
                step.job.run = run
                if run.ended == "interrupted":
                    feed.leave(step)
                    raise KeyboardInterrupt
                feed.report(step)
                feed.look()
    for number, step in list(waiting.items()):
        run = step.job.run
        run.ended, run.error = f"raised {type(lost).__name__}: {lost}", lost
        feed.report(waiting.pop(number))


def _remote(job: Job) -> Run:
    """In another process."""
    run = job()
    run.error = None  # which may not be picklable; `ended` says what it was
    return run
