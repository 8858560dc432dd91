"""Which runs of a sweep are worth going on with."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from nncore._utils.fields import Count, Number, Value

__all__ = ["ASHA", "SuccessiveHalving"]


class SuccessiveHalving(Value):
    """Train all candidates a little, the better part of them longer, and so on.

    With e the epochs of the sweep and η the factor, rung k ends after rₖ = r₀ ηᵏ epochs, the last one after e. For small η
    each rung is at least one epoch longer than the one before: rₖ₊₁ = max(η rₖ, round(rₖ) + 1). At the end of a rung the best
    1/η of its candidates, at least one, go on from where they are; the others are halted. A run that goes on has the bits of
    one that was never stopped. All runs of a rung are waited for, so that the result depends neither on the number of threads
    nor on their speed. Of several seeds and folds the median of the candidate's runs decides, each by its best epoch so far. A
    run that diverged or raised cannot go on, and counts as the worst of its rung.

    Parameters
    ----------
    min_epochs : int, default 1
        r₀.
    factor : float, default 3
        η > 1.

    Notes
    -----
    Source: Jamieson, Talwalkar: Non-stochastic best arm identification and hyperparameter optimization (2016).

    Examples
    --------
    >>> SuccessiveHalving(min_epochs=2, factor=3).rungs(20)
    [2, 6, 18, 20]
    """

    waits = True  # for all runs of a rung
    min_epochs: Count = Count()
    factor: Number = Number(above=1)

    def __init__(self, min_epochs: int = 1, factor: float = 3.0) -> None:
        self.min_epochs, self.factor = min_epochs, factor

    def rungs(self, epochs: int) -> list[int]:
        """The epochs after which each rung ends."""
        ends: list[int] = []
        end = float(self.min_epochs)
        while (rung := round(min(end, epochs))) < epochs:
            ends.append(rung)
            end = max(self.factor * end, rung + 1)
        return [*ends, epochs]

    def promoted(self, scores: Mapping[Any, float]) -> list[Any]:
        """Of the candidates of a rung, with their scores, those that go on: the best first."""
        count = max(1, math.floor(len(scores) / self.factor))
        order = sorted(scores, key=lambda candidate: scores[candidate])
        return [candidate for candidate in order[:count] if math.isfinite(scores[candidate])]


class ASHA(SuccessiveHalving):
    """Successive halving that waits for nothing: a candidate goes on as soon as it is in the best 1/η of those at its rung.

    No thread is ever idle, but which candidates go on depends on the order in which runs end, and so on the number of threads
    and their speed. Arguments and rungs are those of `SuccessiveHalving`.

    Notes
    -----
    Source: Li et al.: A system for massively parallel hyperparameter tuning (2020).
    """

    waits = False

    def promoted(self, scores: Mapping[Any, float]) -> list[Any]:
        """As for `SuccessiveHalving`, of those that have come to a rung so far: none of fewer than η."""
        return [] if len(scores) < self.factor else super().promoted(scores)
