"""On how many threads a program runs, and for how many steps at a time: found by trying; the results do not depend on it."""

from __future__ import annotations

from nncore import _kernels

__all__ = ["Pace"]

SECONDS_PER_CALL = 0.05  # how long a program runs before Python looks
SECONDS_PER_TRIAL = 0.003
FIRST_TRIAL = 2  # calls before it tell little: memory is touched and threads are made for the first time
LEAST_INTERVAL, MOST_INTERVAL = 16, 512  # calls from one trial to the next


class Pace:
    """Steps per second of one program, on all threads and on one.

    Several threads are not always faster than one: where the cores are busy with something else, they wait for each other. So
    now and then a few steps are tried the other way, the more rarely the longer the choice has stood.
    """

    def __init__(self, parallel: bool) -> None:
        self._parallel = parallel
        self._rates: dict[int, float] = {}  # steps per second when last tried, by number of threads
        self._calls, self._interval, self._next_trial = 0, LEAST_INTERVAL, FIRST_TRIAL

    def _best(self) -> int:
        most = _kernels.get_num_threads() if self._parallel else 1
        return 1 if self._rates.get(1, 0.0) > self._rates.get(most, float("inf")) else most

    def plan(self) -> tuple[int, int]:
        """Threads of the next call, and how many steps it should take."""
        most, best = _kernels.get_num_threads() if self._parallel else 1, self._best()
        rate = self._rates.get(best, 0.0)
        if most > 1 and self._calls >= self._next_trial:
            return (1 if best == most else most), max(1, int(SECONDS_PER_TRIAL * rate))
        return best, max(1, int(SECONDS_PER_CALL * rate))

    def record(self, threads: int, steps: int, seconds: float) -> None:
        """Tell how long a call took."""
        best = self._best()
        self._rates[threads] = steps / max(seconds, 1e-9)
        self._calls += 1
        if threads != best:
            self._interval = min(2 * self._interval, MOST_INTERVAL) if self._best() == best else LEAST_INTERVAL
            self._next_trial = self._calls + self._interval
