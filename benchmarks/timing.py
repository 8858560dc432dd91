"""The duration of a call."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

PAUSE = 0.15  # seconds between measurements: threads of other libraries spin for 0.1 s before they sleep


def seconds_per_call(call: Callable[[], object], seconds: float = 0.1, rounds: int = 5) -> float:
    """Median over rounds of the mean time of a call; the rounds, of one call or more, take about ``seconds``."""
    call()
    start = time.perf_counter()
    call()
    once = time.perf_counter() - start
    calls = max(1, int(seconds / rounds / max(once, 1e-7)))
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        for _ in range(calls):
            call()
        times.append((time.perf_counter() - start) / calls)
    return statistics.median(times)
