"""A training taken one call at a time, in any portions, with the bits of one call of ``fit``."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from nncore import samplers
from nncore.training import Trainer
from nncore.training.loop import TrainingLoop

__all__ = ["Steps"]

Array = NDArray[Any]
AHEAD = 16  # epochs whose order is made at once


class Steps:
    """The steps of a trainer on batches of shuffled examples, from its next epoch on.

    Attributes
    ----------
    position : int
        Steps of the epoch under way; 0 between two epochs.
    per_epoch : int
    """

    def __init__(self, trainer: Trainer, X: Array, y: Array, batch_size: int) -> None:
        self.trainer, self.batch_size, self.position = trainer, batch_size, 0
        self.examples = samplers.Examples(len(X), trainer.seed)
        loop = trainer._loop(trainer._data(X, y), batch_size, samplers.Shuffled())
        assert isinstance(loop, TrainingLoop)  # the playground offers optimizers that take gradient steps only
        self.loop, self.per_epoch = loop, loop.per_epoch

    def orders(self, epochs: int) -> Array:
        """Which examples the batches of the epoch under way and of the next ones take: (epochs, n)."""
        orders = samplers.Shuffled().orders(self.examples, self.trainer.epochs_done, epochs)
        assert orders is not None
        return orders

    def next_batch(self) -> Array:
        """The rows of the examples that the next step takes."""
        first = self.position * self.batch_size
        rows: Array = self.orders(1)[0, first : first + self.batch_size]
        return rows

    def run(self, count: int) -> int:
        """Take ``count`` steps; fewer if the training diverges, with the last finite parameters in place. Returns how many.

        Raises
        ------
        DivergenceError
            If none could be taken.
        """
        done = 0
        while done < count and self.loop.failure is None:
            done += self._run_some(count - done)
        if done == 0 and self.loop.failure is not None:
            raise self.loop.failure
        return done

    def _run_some(self, count: int) -> int:
        """Steps within the next few epochs."""
        if self.position == 0:
            self.loop.optimizer.begin_epoch()
        epochs = min(AHEAD, -(-(self.position + count) // self.per_epoch))
        count = min(count, epochs * self.per_epoch - self.position)
        taken = self._run_finite(self.orders(epochs), count)
        whole, self.position = divmod(self.position + taken, self.per_epoch)
        self.trainer.epochs_done += whole
        return taken

    def _run_finite(self, orders: Array, count: int) -> int:
        """Steps, without any part of one that is not finite. Returns how many."""
        model, optimizer, threads = self.trainer.model, self.loop.optimizer, self.loop.program.tuner.next_call()[0]
        before = model.parameters.copy(), model.state.copy(), optimizer.state_dict()
        taken = len(self.loop.run_steps(orders, self.position, count, threads).sums)
        if self.loop.failure is not None:  # the step that failed may have been taken where it is finite
            model.parameters[:], model.state[:] = before[:2]
            optimizer.load_state_dict(before[2])
            if taken:
                self.loop.run_steps(orders, self.position, taken, threads)
        return taken
