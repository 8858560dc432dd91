"""How many steps are due, at a wanted rate or as fast as possible."""

from __future__ import annotations

import time
from collections import deque

__all__ = ["Clock"]

MOST = 1 << 20  # steps at once
LAG = 0.25  # seconds that a training may be behind before they are forgotten
WINDOW = 1.0  # seconds over which the rate is measured


class Clock:
    """Tells how many steps to take next.

    Parameters
    ----------
    rate : float
        Steps per second; 0: as many as possible.
    """

    def __init__(self, rate: float) -> None:
        self.rate, self.cost = rate, 1e-4  # cost: seconds per step, as measured
        self.history: deque[tuple[float, int]] = deque()  # when how many steps were taken
        self.restart()

    def restart(self) -> None:
        """Nothing is due from before."""
        self.last = time.perf_counter() - (1 / self.rate if self.rate else 0)
        self.history.clear()

    def due(self, seconds: float) -> int:
        """Steps to take now, no more than fit into some seconds."""
        most = max(1, min(MOST, int(seconds / self.cost)))
        if not self.rate:
            return most
        now = time.perf_counter()
        self.last = max(self.last, now - LAG - 1 / self.rate)
        due = min(most, int((now - self.last) * self.rate))
        self.last += due / self.rate
        return due

    def wait(self) -> float:
        """Seconds until the next step is due."""
        return max(0.0, self.last + 1 / self.rate - time.perf_counter()) if self.rate else 0.0

    def took(self, due: int, taken: int, seconds: float) -> None:
        """Learn from a portion: its steps of the first run, and of all runs."""
        self.cost = 0.5 * (self.cost + seconds / max(due, 1))
        self.history.append((time.perf_counter(), taken))

    def measured(self) -> float:
        """Steps per second of the last second, of all runs."""
        now = time.perf_counter()
        while self.history and self.history[0][0] < now - WINDOW:
            self.history.popleft()
        return sum(taken for _, taken in self.history) / WINDOW
