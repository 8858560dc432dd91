"""Run cases in processes of their own, so that a crash, a hang or an exit belongs to one case and the others go on.

A case is a function of a random generator. It does one attack and returns a short name of what came of it. An exception that
leaves it is a failure, and so are a warning, a signal, an exit, and more than `MEMORY` bytes above what this process has. Case
``i`` draws from ``generator(seed, i)`` and from nothing else, so that its number repeats it.

A fork of a process that has imported everything takes some 10 ms, a case often less than one. So a process runs `BATCH` cases,
one after the other, and sends what came of each: the case that it was at when it died is the one after the last that it sent.
"""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import itertools
import os
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import IO, Any

import numpy as np
from tqdm import tqdm

Case = Callable[[np.random.Generator], str]

BATCH = 100
MEMORY = 2**30
SHOWN = 20  # failures in a report
DETAIL = 4000  # characters of a traceback

tqdm.monitor_interval = 0  # a fork copies no threads


@dataclass(frozen=True)
class Failure:
    """A case that failed. ``alone``: it also fails as the only case of its process."""

    number: int
    kind: str
    detail: str
    alone: bool = True


@dataclass
class Report:
    """What came of the cases: ``outcomes`` and ``failures`` count, ``first`` has the first failure of each kind."""

    name: str
    seed: int
    processes: int
    seconds: float = 0.0
    outcomes: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    first: dict[str, Failure] = field(default_factory=dict)

    @property
    def cases(self) -> int:
        return self.outcomes.total() + self.failures.total()

    def add(self, failure: Failure) -> None:
        self.failures[failure.kind] += 1
        self.first.setdefault(failure.kind, failure)

    def __str__(self) -> str:
        rate = self.cases / self.seconds if self.seconds else 0.0
        lines = [
            f"{self.name}: {self.cases:,} cases of seed {self.seed} in {self.seconds:.0f} s and {self.processes} processes, "
            f"{rate:.0f} a second; {self.failures.total():,} failed"
        ]
        lines += [f"  {count:>9,}  {outcome}" for outcome, count in self.outcomes.most_common()]
        lines += [f"  {count:>9,}  FAILED: {kind}" for kind, count in self.failures.most_common()]
        for failure in list(self.first.values())[:SHOWN]:
            alone = "" if failure.alone else ", which passes alone: run those before it in its process, too"
            lines += ["", f"case {failure.number}{alone}: {failure.kind}", failure.detail.rstrip()]
        return "\n".join(lines)


def generator(seed: int, number: int) -> np.random.Generator:
    """What case ``number`` draws from."""
    return np.random.default_rng([seed, number])


def once(case: Case, seed: int, number: int) -> str:
    """Run one case in this process. A warning is an error, and so is an exception that Python would only print."""
    unraisable: list[BaseException | None] = []
    before, sys.unraisablehook = sys.unraisablehook, lambda args: unraisable.append(args.exc_value)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            outcome = case(generator(seed, number))
    finally:
        sys.unraisablehook = before
    for error in unraisable:
        raise error or RuntimeError("an exception without a value was ignored")
    if not isinstance(outcome, str):
        raise TypeError(f"a case must return the name of an outcome, got {outcome!r}")
    return outcome


def run(
    case: Case, *, seed: int, cases: int | None = None, seconds: float | None = None, processes: int = 2, limit: float = 20.0
) -> Report:  # fmt: skip
    """Run the first ``cases`` cases, or as many as begin and end within ``seconds``; Ctrl-C ends it, too.

    Parameters
    ----------
    case : function of a numpy.random.Generator
        Returns a short name of what came of the attack.
    seed : int
        All cases depend on it.
    cases, seconds : optional
        One of them, or both: what is reached first.
    processes : int
        How many cases run at the same time.
    limit : float
        Seconds after which a case hangs, and is a failure.
    """
    report = Report(case.__module__.rpartition(".")[2], seed, processes)
    begin = time.monotonic()
    end = begin + (seconds if seconds is not None else float("inf"))
    numbers = iter(range(cases)) if cases is not None else itertools.count()
    batch = BATCH if cases is None else max(1, min(BATCH, -(-cases // processes)))
    gc.collect()
    gc.freeze()  # else a collection in a child copies every page
    with (
        tqdm(total=cases, desc=report.name, unit="case", smoothing=0, mininterval=0.5) as bar,
        contextlib.suppress(KeyboardInterrupt),
    ):
        for result in _results(case, seed, numbers, batch, processes, limit, end):
            if isinstance(result, Failure):
                report.add(result)
                bar.set_postfix(failed=report.failures.total(), refresh=False)
            else:
                report.outcomes[result] += 1
            bar.update()
    report.seconds = time.monotonic() - begin
    for kind, failure in list(report.first.items())[:SHOWN]:
        again = next(_results(case, seed, iter([failure.number]), 1, 1, limit, float("inf")))
        if not isinstance(again, Failure):
            report.first[kind] = Failure(failure.number, kind, failure.detail, alone=False)
    gc.unfreeze()
    return report


def _results(
    case: Case, seed: int, numbers: Iterator[int], batch: int, processes: int, limit: float, end: float
) -> Iterator[str | Failure]:  # fmt: skip
    """The outcome or failure of each case, as they come, until the numbers or the time are used up."""
    workers: list[_Worker] = []
    try:
        while True:
            while len(workers) < processes and (own := list(itertools.islice(numbers, batch))):
                workers.append(_Worker(case, seed, own))
            if not workers or time.monotonic() >= end:
                return
            until = min(end, *(worker.since + limit for worker in workers))
            ready = wait([worker.results for worker in workers], max(0.0, until - time.monotonic()))
            for worker in list(workers):
                if worker.results in ready:
                    result = worker.result()
                elif time.monotonic() > worker.since + limit and time.monotonic() < end:
                    result = worker.abort(limit)
                else:
                    continue
                if worker.dead:
                    workers.remove(worker)
                    if worker.numbers:
                        workers.append(_Worker(case, seed, worker.numbers))
                if result is not None:
                    yield result
    finally:
        for worker in workers:
            worker.kill()


class _Worker:
    """A process that runs cases one after the other, and what is left for it to do."""

    def __init__(self, case: Case, seed: int, numbers: list[int]) -> None:
        self.numbers = numbers  # those without a result
        self.log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115
        self.results, sender = Pipe(duplex=False)
        self.since = time.monotonic()  # the case under way began, or a little before
        self.dead = False
        self.pid = os.fork()
        if not self.pid:
            self.results.close()
            _work(case, seed, numbers, sender, self.log)
        sender.close()

    def result(self) -> str | Failure | None:
        """The next result; None at the end of the process if it has done all it had to."""
        self.since = time.monotonic()
        try:
            result: str | Failure = self.results.recv()
        except EOFError:
            how, output = self._ended()
            return Failure(self.numbers.pop(0), how, output) if self.numbers else None
        self.numbers.pop(0)
        return result

    def abort(self, limit: float) -> Failure:
        """End a case that hangs; the traceback is written by `faulthandler`."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGABRT)
        return Failure(self.numbers.pop(0), f"hang of more than {limit:g} s", self._ended()[1])

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        self._ended()

    def _ended(self) -> tuple[str, str]:
        """Wait for the end of the process. What ended it, and the end of what it has printed."""
        self.dead = True
        self.results.close()
        how = self._end()
        with self.log:
            self.log.seek(0)
            return how, _ends(self.log.read().decode(errors="replace"))

    def _end(self) -> str:
        for attempt in range(100):
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                code = os.waitstatus_to_exitcode(status)
                return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit {code}"
            time.sleep(0.001 * attempt)
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        return "no end after its pipe was closed"


def _work(case: Case, seed: int, numbers: list[int], sender: Connection, log: IO[Any]) -> None:
    """What a process does. It never returns: nothing of this process is to be ended twice."""
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the parent, which ends this
        for descriptor in (1, 2):
            os.dup2(log.fileno(), descriptor)
        faulthandler.enable(file=log)
        _limit_memory()
        for number in list(numbers):
            try:
                sender.send(once(case, seed, number))
            except BrokenPipeError:
                break
            except BaseException as error:
                sender.send(Failure(number, _kind(error), _traceback(error)))
        os._exit(0)
    finally:
        os._exit(70)


def _limit_memory() -> None:
    """At most `MEMORY` more than now, where the system says how much that is; no core files."""
    import resource  # not on Windows, which has no fork either

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    pages = Path("/proc/self/statm")
    if pages.exists():
        now = int(pages.read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (now + MEMORY, now + MEMORY))


def _kind(error: BaseException) -> str:
    """The class of an exception, and where it was raised."""
    places = traceback.extract_tb(error.__traceback__)
    return f"{type(error).__name__} at {Path(places[-1].filename).name}:{places[-1].lineno}"


def _traceback(error: BaseException) -> str:
    """The traceback from the case on."""
    own = error.__traceback__
    while own is not None and own.tb_frame.f_code.co_filename == __file__:
        own = own.tb_next
    error = error.with_traceback(own)
    return _ends("".join(traceback.format_exception(error)))


def _ends(text: str) -> str:
    """A text without its middle, if it is long."""
    return text if len(text) <= DETAIL else f"{text[: DETAIL // 2]}\n[…]\n{text[-DETAIL // 2 :]}"
