"""Which model a sweep keeps that keeps the best one only."""

from __future__ import annotations

import math
from collections.abc import Callable

from nncore.sweeps.run import Run, candidate_score

__all__ = ["BestModel"]


class BestModel:
    """Drops models as soon as `SweepTable.best` cannot choose them, in whatever order runs end.

    That chooses a run of the candidate with the best median, which is known once all its runs have ended. Until then the best
    of these runs has its model, beside that of the best candidate among those that are complete.

    Parameters
    ----------
    count : int
        Runs of each candidate.
    score : function
        Of a run, the smaller the better.
    """

    def __init__(self, count: int, score: Callable[[Run], float]) -> None:
        self._count, self._score = count, score
        self._candidates: dict[int, list[Run]] = {}  # those under way, and the best of the others

    def take(self, run: Run) -> None:
        """A run that has ended."""
        runs = self._candidates.setdefault(run.candidate, [])
        runs.append(run)
        best = min(runs, key=lambda one: (self._score(one), one.number))
        for other in runs:
            if other is not best:
                other.model = None
        if len(runs) == self._count:
            self._keep_one([candidate for candidate, runs in self._candidates.items() if len(runs) == self._count])

    def close(self) -> None:
        """No other run will end: candidates of which some are missing are judged by those that there are."""
        self._keep_one(list(self._candidates))
        for candidate, runs in self._candidates.items():
            if not math.isfinite(self._median(candidate)):
                _drop(runs)

    def _keep_one(self, candidates: list[int]) -> None:
        """Of several candidates: the first of those with the best median."""
        for candidate in sorted(candidates, key=lambda one: (self._median(one), one))[1:]:
            _drop(self._candidates.pop(candidate))

    def _median(self, candidate: int) -> float:
        return candidate_score([self._score(run) for run in self._candidates[candidate]])


def _drop(runs: list[Run]) -> None:
    for run in runs:
        run.model = None
