"""The number of threads of a program: the faster one is soon found, and trials cost little."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from nncore.program.autotune import MAX_INTERVAL, Autotuner

Rate = Callable[[float, int], float]


@pytest.fixture(autouse=True)
def _two_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nncore._kernels.get_num_threads", lambda: 2)


def run(rate: Rate, seconds: float, *, most: float = float("inf"), parallel: bool = True) -> list[tuple[float, int, float]]:
    """A simulated training: ``rate(time, threads)`` steps per second; returns start, threads and duration of each call.

    ``most``: maximum steps per call, as with short epochs and callbacks in between.
    """
    pace, now, calls = Autotuner(parallel), 0.0, []
    while now < seconds:
        threads, wanted = pace.next_call()
        steps = int(min(wanted, most))
        took = steps / rate(now, threads)
        pace.record(threads, steps, took)
        calls.append((now, threads, took))
        now += took
    return calls


def share(calls: list[tuple[float, int, float]], threads: int, after: float = 0.0) -> float:
    """The fraction of the time after ``after`` that ran on this number of threads."""
    late = [(took, number) for begun, number, took in calls if begun >= after]
    return sum(took for took, number in late if number == threads) / sum(took for took, _ in late)


@pytest.mark.parametrize("most", [float("inf"), 10])
@pytest.mark.parametrize("faster", [1, 2])
def test_the_faster_number_of_threads_is_chosen(faster: int, most: float) -> None:
    calls = run(lambda now, threads: 20_000.0 if threads == faster else 10_000.0, 10.0, most=most)
    assert share(calls, faster, after=0.3) > 0.985


@pytest.mark.parametrize("first", [1, 2])
def test_a_change_is_noticed(first: int) -> None:
    """One is half as fast for five seconds, and the other one afterwards."""
    calls = run(lambda now, threads: 20_000.0 if (threads == first) == (now < 5) else 10_000.0, 20.0)
    assert share(calls, 3 - first, after=5 + MAX_INTERVAL + 0.2) > 0.985
    assert share([call for call in calls if call[0] < 5], first, after=0.3) > 0.97


def test_a_small_gain_does_not_cause_a_change() -> None:
    assert share(run(lambda now, threads: 10_000.0 if threads == 2 else 10_500.0, 10.0), 2) > 0.985


def test_small_programs_have_one_thread() -> None:
    assert share(run(lambda now, threads: 10_000.0, 1.0, parallel=False), 1) == 1.0
