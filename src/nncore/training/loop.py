"""One call of ``fit``: steps in portions of about 50 ms."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from nncore._messages import shown
from nncore._utils.fields import assignments
from nncore._utils.interrupt import Interrupt
from nncore.distributed.ranks import Shares
from nncore.errors import DivergenceError
from nncore.samplers import Examples, Sampler, checked_factors, checked_orders
from nncore.schedules import Schedule
from nncore.training.base import BaseTrainer
from nncore.training.dataset import Dataset
from nncore.training.step_program import TrainingProgram

__all__ = ["TrainingLoop"]

Array = NDArray[Any]

CLIP_COLUMNS = ("grad_norm", "clipped")
STEP = "the step of the optimizer is not finite"


class Epochs(NamedTuple):
    """Results of consecutive epochs, by column: arrays (number,)."""

    number: int
    means: dict[str, Array]  # losses and metrics
    notes: dict[str, Array]  # hyper-parameters in the last step of each epoch; norms of the gradient


class Portion(NamedTuple):
    """Results of consecutive steps, one row per step."""

    sums: Array  # (steps, columns + 1): of losses and metrics over the batch, last the penalty
    norms: Array  # (steps, 3 or 0): what the clip noted
    hyper: Array  # (steps, hyper-parameters)


class Loop(Protocol):
    """The training of one call of ``fit``."""

    @property
    def failure(self) -> Exception | None: ...  # why it ended early

    @property
    def columns(self) -> list[str]: ...
    def run_epochs(self, epochs: int, interrupt: Interrupt, progress: Callable[[float], None] | None) -> Epochs: ...
    def close(self) -> None: ...


class TrainingLoop:
    """The steps of one call of ``fit``, in portions of about 50 ms.

    Parameters
    ----------
    batch : rows of a step.
    part : rows of it that are computed together, 0: all.
    merge : whether a last part of one row joins the one before.
    dropped : rows that each epoch leaves out.
    """

    shares: Shares | None = None  # of several processes

    def __init__(
        self, trainer: BaseTrainer, data: Dataset, batch: int, sampler: Sampler, labels: Array | None = None, *,
        part: int = 0, merge: bool = False, dropped: int = 0,
    ) -> None:  # fmt: skip
        self.trainer, self.data, self.batch, self.sampler, self.part, self.merge = trainer, data, batch, sampler, part, merge
        self.optimizer = trainer.spec.gradient_optimizer
        self.examples = Examples(len(data), trainer.seed, labels)
        sampler.check(self.examples.read_only())
        self.uses_losses, self.reweights = sampler.uses_losses, sampler.reweights  # as they are now, for the whole call
        self._update_examples()
        self.factors = np.ones(len(data)) if self.reweights else None  # the sampler's, on the examples' losses
        self.taken = len(data) - dropped  # examples per epoch
        self.per_epoch = -(-self.taken // batch) - (merge and self.taken % batch == 1)
        self.loss = trainer.loss
        self.failure: Exception | None = None
        self.renewed: tuple[TrainingProgram, int] | None = None  # from what, and when
        self._renew()

    def _update_examples(self) -> None:
        """Seed and losses of the trainer, for the sampler: a callback may have restored others."""
        trainer, examples, last = self.trainer, self.examples, self.trainer._last_losses
        examples.seed = trainer.seed
        if self.uses_losses and (examples.losses is None or examples.losses is not last.values):
            examples.losses = last.of(self.data, trainer.loss, lambda losses: trainer._evaluate(self.data, losses))

    def _renew(self) -> None:
        """Take the trainer as it is, until the next call: a callback may have assigned something."""
        trainer = self.trainer
        trainer._check_ready()
        if trainer.loss is not self.loss:
            raise RuntimeError(
                f"loss was assigned during fit, whose targets have the form for {shown(self.loss)}: assign it between two calls"
            )
        program = trainer._training_program(
            (self.part or self.batch) + self.merge, self._weighted_data(), self.part, self.shares
        )
        if (program, assignments.number) == self.renewed:
            return
        self.program, self.renewed = program, (program, assignments.number)
        self.penalized, self.clips = trainer.regularizer is not None, trainer.clip is not None
        self.means = trainer.row_columns("running_")
        values = [(name, getattr(self.optimizer, name)) for name in self.optimizer.hyperparameters]
        self.noted = [name for name, value in values if name == "lr" or isinstance(value, Schedule)]

    def run_epochs(self, epochs: int, interrupt: Interrupt, progress: Callable[[float], None] | None) -> Epochs:
        """Run at most ``epochs`` epochs, one at least. Fewer if interrupted, or if the training diverged: see ``failure``."""
        self._renew()
        self._update_examples()
        augmented, trainer = self.data.augmented, self.trainer
        if augmented and not augmented.make(
            self.data.chosen, trainer.seed, trainer.epochs_done + 1, interrupt.pressed, trainer._helpers
        ):
            return Epochs(0, {}, {})
        self.optimizer.begin_epoch()
        _, wanted = self.program.tuner.next_call()
        epochs = 1 if self.uses_losses or self.program.late or augmented else max(1, min(epochs, wanted // self.per_epoch))
        steps = epochs * self.per_epoch
        order, numbers = self.orders(epochs)
        if self.reweights:
            self.factors = checked_factors(self.sampler, self.examples)
        losses = np.empty(self.taken) if self.uses_losses else None
        try:
            portions = self._run_portions(numbers, steps, losses, interrupt, progress if epochs == 1 else None)
        finally:
            if self.program.rest:
                with self.trainer.model.lock:
                    self.program.rest.run(self.data.rows)
        done = sum(len(portion.sums) for portion in portions)
        whole = done // self.per_epoch
        if losses is not None and whole:
            self._keep_losses(np.arange(self.taken) if order is None else order[0], losses)
        sums, norms, hyper = portions[0] if len(portions) == 1 else map(np.concatenate, zip(*portions, strict=True))
        if self.program.late:
            sums[:, -1] = self.program.late.value(self.trainer.model)
        end = whole * self.per_epoch
        notes = self._hyper(hyper[:end]) | (self._norms(norms[:end], whole) if self.clips else {})
        return Epochs(whole, self.trainer.named(self.means, self._means(sums[:end], whole)), notes)

    def _run_portions(
        self, order: Array | None, steps: int, losses: Array | None, interrupt: Interrupt,
        progress: Callable[[float], None] | None,
    ) -> list[Portion]:  # fmt: skip
        """Run the steps in portions, until interrupted or diverged."""
        portions: list[Portion] = []
        done = 0
        while done < steps and not self.failure:
            threads, wanted = self.program.tuner.next_call()
            try:
                portions.append(self.run_steps(order, done, min(steps - done, wanted), threads, losses, interrupt=interrupt))
            except ValueError as error:  # of a schedule, from the next step on
                if not portions:
                    raise
                self.failure = error
                break
            done += len(portions[-1].sums)
            if progress:
                progress(done / steps)
            if interrupt.pressed():
                break
        return portions

    def _means(self, sums: Array, epochs: int) -> Array:
        """(columns + 1, epochs): means over the examples of what steps summed up, (steps, columns + 1); the penalty is last."""
        table = sums.reshape(epochs, self.per_epoch, sums.shape[1])
        means: Array = table.sum(axis=1) / self.taken
        if self.penalized:
            means[:, -1] = table[:, :, -1].mean(axis=1)  # the penalty is a mean over steps
        return means.T

    def _hyper(self, values: Array) -> dict[str, Array]:
        """The hyper-parameters (steps, all) that the history shows, in the last step of each epoch."""
        last, names = values[self.per_epoch - 1 :: self.per_epoch], self.optimizer.hyperparameters
        return {name: last[:, names.index(name)] for name in self.noted}

    def _norms(self, norms: Array, epochs: int) -> dict[str, Array]:
        """What the clip noted of each step, (steps, 3): the mean norm of the gradient, and the share of steps it acted in."""
        if not epochs:
            return {name: np.empty(0) for name in CLIP_COLUMNS}
        squares, acted, large = norms.reshape(epochs, self.per_epoch, 3).transpose(2, 0, 1)
        norm = np.where(np.isinf(squares), large, np.sqrt(squares))
        return dict(zip(CLIP_COLUMNS, (norm.mean(axis=1), (acted > 0).mean(axis=1)), strict=True))

    def orders(self, epochs: int) -> tuple[Array | None, Array | None]:
        """Which examples the places of the next epochs take, (epochs, taken), and which rows of the data they are.

        None stands for 0, 1, 2, … in each epoch.
        """
        order = checked_orders(self.sampler, self.examples, len(self.data), self.trainer.epochs_done, epochs)
        if order is None and self.data.chosen is not None:
            return None, np.tile(self.data.chosen[: self.taken], (epochs, 1))
        if order is not None and self.taken < len(self.data):
            order = np.ascontiguousarray(order[:, : self.taken])
        return order, None if order is None else self.data.row_numbers(order)

    def _weighted_data(self) -> Dataset:
        data = self.data.in_training
        return data if self.factors is None else data.weighted(self.factors)

    @property
    def columns(self) -> list[str]:
        """The names of the columns that `run_epochs` returns."""
        return [*self.means, *self.noted, *(CLIP_COLUMNS if self.clips else ())]

    def _keep_losses(self, order: Array, losses: Array) -> None:
        """The loss of each example that the epoch took, without the sampler's factor; the last one of several."""
        known, factors = self.examples.losses, self.factors
        assert known is not None
        if factors is not None:
            counted = factors[order] > 0
            order, losses = order[counted], losses[counted] / factors[order[counted]]
        known[order] = losses

    def run_steps(
        self, order: Array | None, first: int, count: int, threads: int, losses: Array | None = None,
        op_seconds: Array | None = None, interrupt: Interrupt | None = None,
    ) -> Portion:  # fmt: skip
        """Run ``count`` steps, or those before the first at which a schedule is invalid; of those that were completed the sums,
        what the clip noted, and the hyper-parameters."""
        optimizer, coming = self.optimizer, self.program.coming
        hyper = coming.take(count, self.per_epoch)
        count = len(hyper)
        norms = np.empty((count, 3 * self.clips))
        start = time.perf_counter()
        with self.trainer.model.lock:
            done, sums = self.program.run(
                self._weighted_data(), first_step=first, last_step=first + count, batch=self.batch, merge=self.merge,
                examples=self.taken, order=order, known=coming.known, prepared=first > 0 and not optimizer.enter,
                step_offset=optimizer.step_count - first, threads=threads, examples_out=losses,
                notes_out=norms if norms.size else None, op_seconds=op_seconds,
                stop=interrupt.pressed_twice if interrupt else None,
            )  # fmt: skip
        self.program.tuner.record(threads, done, time.perf_counter() - start)
        self._taken(done, sums, count)
        if done < count and not (interrupt and interrupt.pressed_twice()):
            self.failure = self.diverged(first + done, sums[done])
        return Portion(sums[:done], norms[:done], hyper[:done])

    def _taken(self, done: int, sums: Array, wanted: int) -> None:
        """After steps, whose sums are not yet those of the batch where other processes have a part of it."""

    def close(self) -> None:
        """At the end of ``fit``: nothing to do."""

    def diverged(self, step: int, sums: Array) -> DivergenceError:
        """Says where the first number that is not finite appeared."""
        trainer = self.trainer
        epoch, step = trainer.epochs_done + step // self.per_epoch + 1, step % self.per_epoch + 1
        lr = self.optimizer.hyper_values(1, self.per_epoch).get("lr")
        rate = "" if lr is None else f" with lr = {float(lr[0]):g}"
        place = self._place(sums)
        advice = "a smaller learning rate, scaled data or gradient clipping"
        if place == STEP and (cause := self.optimizer.vanished_eps(trainer.model.gradients)):
            place, advice = f"{place}, as {cause}", "a larger eps"
        elif place == STEP and (cause := self.optimizer.network_failure(trainer.model)):
            place, advice = cause, "dtype='float64' or other scales of the units"
        return DivergenceError(
            f"training diverged in epoch {epoch}, step {step}{rate}: {place}. "
            f"The last finite parameters are in place; try {advice}"
        )

    def _place(self, sums: Array) -> str:
        if not math.isfinite(sums[0]):
            bad = [signal.name for signal in self.program.recording.tape.signals if not np.isfinite(signal.value).all()]
            loss = self.trainer.loss
            hint = f", though the outputs are finite: {loss.name} {loss.domain}" if loss.domain else ""
            return f"the loss is {sums[0]}" + (f", first in the output of layer {bad[0]}" if bad else hint)
        if not math.isfinite(sums[-1]):
            return f"the penalty is {sums[-1]}"
        for layer in self.trainer.model.layers:
            for name in layer.parameters:
                if not np.isfinite(getattr(layer, f"{name}_grad")).all():
                    return f"the gradient of {layer.name}.{name} is not finite"
        for name, statistics in self.program.recording.tape.statistics.items():
            if not np.abs(statistics).max() < np.finfo(statistics.dtype).max / 2:  # m/(m − 1) is 2 at most
                return f"a variance of the batch in layer {name} is too large for {statistics.dtype}"
        return STEP
