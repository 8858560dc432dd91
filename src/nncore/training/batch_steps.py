"""Steps of ``partial_fit``, one in each call."""

from __future__ import annotations

import time

import numpy as np

from nncore._utils.interrupt import Interrupt
from nncore.samplers import Sequential
from nncore.training.dataset import Dataset
from nncore.training.loop import TrainingLoop

__all__ = ["BatchSteps"]


class BatchSteps:
    """Steps on batches of one kind and size. What was looked up for the first one is kept, but none of the data."""

    def __init__(self, loop: TrainingLoop) -> None:
        self.trainer, self.batch, self.program = loop.trainer, loop.batch, loop.program
        self.columns, self.clips = loop.means, loop.clips

    def run(self, data: Dataset, interrupt: Interrupt) -> dict[str, float]:
        """Take a step; returns the row of losses and metrics. Nothing if Ctrl-C was pressed twice: the step is not taken."""
        program, optimizer = self.program, self.trainer.optimizer
        optimizer.begin_epoch()
        program.coming.take(1, 1)
        threads, _ = program.tuner.next_call()
        start = time.perf_counter()
        with self.trainer.model.lock:
            done, sums = program.run(
                data, examples=self.batch, batch=self.batch, order=data.chosen, known=program.coming.known,
                step_offset=optimizer.step_count, threads=threads, notes_out=np.empty((1, 3)) if self.clips else None,
                stop=interrupt.pressed_twice,
            )  # fmt: skip
        program.tuner.record(threads, done, time.perf_counter() - start)
        if not done and interrupt.pressed_twice():
            return {}
        if not done:
            raise TrainingLoop(self.trainer, data, self.batch, Sequential()).diverged(0, sums[0])
        *means, penalty = sums[0].tolist()
        if program.late:
            penalty = program.late.value(self.trainer.model)
        return self.trainer.named(self.columns, [*[mean / self.batch for mean in means], penalty])
