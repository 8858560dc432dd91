"""Runs that see the same examples at the same time, whatever the sizes of their batches."""

from __future__ import annotations

from collections.abc import Sequence

from nncore.playground.run import Run

__all__ = ["advance", "leader"]


def leader(runs: Sequence[Run]) -> Run:
    """The first run that can go on; the others follow it."""
    return next((run for run in runs if not run.ended), runs[0])


def advance(runs: Sequence[Run], steps: int) -> int:
    """Take steps with the leader, and bring the others to the examples that it has seen. Returns the steps of all."""
    taken = 0
    while steps > 0 and not (first := leader(runs)).ended:
        done = first.take_all(steps)
        steps, taken = steps - done, taken + done
        for run in runs:
            taken += run.take_all(_behind(run, first))
    return taken


def _behind(run: Run, first: Run) -> int:
    """Steps until a run has seen as many examples as the first one; negative if it is ahead."""
    to, of = run.steps, first.steps
    epochs = first.trainer.epochs_done - run.trainer.epochs_done
    return epochs * to.per_epoch + of.position * to.per_epoch // of.per_epoch - to.position
