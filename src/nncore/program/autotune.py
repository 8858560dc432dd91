"""Choose the number of threads and the steps per call by measuring; results do not depend on it."""

from __future__ import annotations

from nncore import _kernels

__all__ = ["Autotuner"]

SECONDS_PER_CALL = 0.05  # target duration of one call into C
SECONDS_PER_TRIAL = 0.003
FIRST_TRIAL = 2  # calls before it are not representative: memory is touched and threads are made for the first time
MIN_INTERVAL, MAX_INTERVAL = 0.4, 3.2  # seconds from one trial to the next
MARGIN = 1.1  # required speed-up before switching
CLEARLY_WORSE = 0.75  # after a trial slower than this, the interval grows faster
FORGET = 0.8  # decay of the best rate after a slower call


class Autotuner:
    """Steps per second of one program, on all threads and on one.

    Several threads are not always faster than one: where the cores are busy with something else, they wait for each other. So
    from time to time the other one is tried for a few steps, less often the longer the choice has been stable, but at least
    every few seconds: the speed of communication between cores may change from one second to the next.
    """

    def __init__(self, parallel: bool) -> None:
        self._parallel = parallel
        self._alone = not parallel  # the choice: whether on one thread
        self._rate = 0.0  # steps per second of the choice, lately
        self._calls, self._seconds = 0, 0.0  # so far
        self._interval, self._next_trial = MIN_INTERVAL, 0.0

    def next_call(self) -> tuple[int, int]:
        """The number of threads of the next call, and of its steps."""
        threads = _kernels.get_num_threads() if self._parallel else 1
        if threads > 1 and self._due:
            return (threads if self._alone else 1), max(1, int(SECONDS_PER_TRIAL * self._rate))
        return (1 if self._alone else threads), max(1, int(SECONDS_PER_CALL * self._rate))

    def record(self, threads: int, steps: int, seconds: float) -> None:
        """Record the duration of a call."""
        rate = steps / max(seconds, 1e-9)
        if (threads == 1) != self._alone and self._due:
            better = rate > MARGIN * self._rate
            longer = 4 if rate < CLEARLY_WORSE * self._rate else 2
            self._interval = MIN_INTERVAL if better else min(longer * self._interval, MAX_INTERVAL)
            self._next_trial = self._seconds + self._interval
            if better:
                self._alone, self._rate = not self._alone, rate
        else:
            self._rate = max(rate, FORGET * self._rate)  # one slow call is an accident
        self._calls += 1
        self._seconds += seconds

    @property
    def _due(self) -> bool:
        """Whether it is time for a trial."""
        return self._calls >= FIRST_TRIAL and self._seconds >= self._next_trial
