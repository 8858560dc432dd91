"""One call of ``fit`` on several ranks: the loop whose batches they share, and the epochs that they end together."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncore import _kernels
from nncore._messages import shown
from nncore._utils.fields import JSON, Configured, Value, plain
from nncore._utils.files import class_name
from nncore._utils.interrupt import Interrupt
from nncore._version import __version__
from nncore.distributed.mpi import MPI
from nncore.distributed.ranks import Ranks, checksum
from nncore.samplers import Sampler
from nncore.training.base import BATCH_SIZE, BaseTrainer
from nncore.training.dataset import Dataset
from nncore.training.exchange import Batches
from nncore.training.fit import FitCall, FitData
from nncore.training.loop import Epochs, Loop, Portion, TrainingLoop

__all__ = ["ShardedFit", "ShardedLoop", "check_distributed", "shard_rows"]

Array = NDArray[Any]

IN_ORDER = -1  # instead of the checksum of an order: that of the rows


def check_distributed(distributed: Any) -> MPI:
    """The argument of ``fit``."""
    if not isinstance(distributed, MPI):
        raise TypeError(f"distributed must be an nn.distributed.MPI or None, got {shown(distributed)}")
    return distributed


def shard_rows(shards: int, batch_size: int | None, n: int, full_batch: bool) -> int:
    """The rows of a shard of a batch of ``batch_size`` rows, by default as in `Trainer.fit`."""
    batch = batch_size or (n if full_batch else BATCH_SIZE)
    if batch < n and batch % shards:
        raise ValueError(f"batch_size must be a multiple of {shards}, the number of shards, or all {n} rows, got {batch}")
    return -(-min(batch, n) // shards)


def _parts(trainer: BaseTrainer) -> dict[str, Any]:
    """All that decides what a step does and shows, besides arrays, by its name in messages."""
    parts = ("loss", "regularizer", "clip", "constraint", "lr_factors", "decay_factors", "metrics")
    return {
        "the layers or their arguments": [trainer.model.layers, trainer.model.input_shape],
        "the model's seed": trainer.model.seed,
        "the optimizer or its arguments": trainer.optimizer,
        **{name: getattr(trainer, name) for name in parts},
    }


def _described(part: Any) -> Any:
    """Class and arguments in a JSON form that is the same on all ranks; of other objects the class."""
    if isinstance(part, Configured):
        arguments = part._held() if isinstance(part, Value) else part._arguments()
        return [class_name(type(part)), _described(arguments), part.own_description()]
    if isinstance(part, Mapping):
        return {str(name): _described(part[name]) for name in sorted(part, key=str)}
    if isinstance(part, (list, tuple)):
        return [_described(each) for each in part]
    value = plain(part)
    return value if type(value) in JSON else checksum(part) if isinstance(part, np.ndarray) else class_name(type(part))


class AgreedInterrupt(Interrupt):
    """Ctrl-C as the ranks have agreed on it when they last met: so all of them end at the same place."""

    def __init__(self, ranks: Ranks, own: Interrupt) -> None:
        super().__init__(own.tolerated)
        self._ranks, self._own_presses = ranks, own

    def pressed(self) -> bool:
        return self._ranks.stopped

    def pressed_twice(self) -> bool:
        """This rank's second press ends it at once, and with it the others."""
        return self._ranks.stopped or self._own_presses.pressed_twice()


class ShardedLoop(TrainingLoop):
    """The steps of one call of ``fit`` on several ranks."""

    def __init__(
        self, trainer: BaseTrainer, data: Dataset, batch: int, sampler: Sampler, labels: Array | None, *, part: int,
        merge: bool, dropped: int, ranks: Ranks,
    ) -> None:  # fmt: skip
        self.ranks = ranks
        self.shares = ranks.shares
        super().__init__(trainer, data, batch, sampler, labels, part=part, merge=merge, dropped=dropped)
        self.batches = Batches(self.taken, batch, part, int(merge))

    def run_epochs(self, epochs: int, interrupt: Interrupt, progress: Callable[[float], None] | None) -> Epochs:
        """One epoch, with which all begin from the same parameters."""
        self.check_parameters()
        return super().run_epochs(1, interrupt, progress)

    def check_parameters(self) -> None:
        """Raise unless they are the same on all ranks."""
        self.ranks.agree("model.parameters", checksum(self.trainer.model.parameters, self.trainer.model.state))

    def check_state(self) -> None:
        """Raise unless the optimizers have the same state on all ranks."""
        optimizer = self.trainer.optimizer
        counts = np.array([optimizer.step_count, optimizer.epochs], dtype=np.int64)
        self.ranks.agree("the optimizer's state", checksum(counts, *(array for _, array in sorted(optimizer.state.items()))))

    def orders(self, epochs: int) -> tuple[Array | None, Array | None]:
        order, numbers = super().orders(epochs)
        value = IN_ORDER if order is None else checksum(order)
        self.ranks.agree(f"the order of the examples, from {shown(self.sampler)},", value)
        return order, numbers

    def run_steps(self, order: Array | None, first: int, count: int, threads: int, *rest: Any, **options: Any) -> Portion:
        exchange = self.program.exchange
        assert exchange
        exchange.begin(self.ranks, self.batches, first)
        return super().run_steps(order, first, count, threads, *rest, **options)

    def _taken(self, done: int, sums: Array, wanted: int) -> None:
        """The sums over the batches, of all ranks, for those of this one."""
        exchange = self.program.exchange
        assert exchange
        if done < wanted and len(exchange.sums) == done and not self.ranks.stopped:
            raise KeyboardInterrupt  # pressed twice on this rank: it has left the step
        if exchange.sums:
            sums[: len(exchange.sums), :-1] = exchange.sums

    def _keep_losses(self, order: Array, losses: Array) -> None:
        """Each rank has the losses of its own rows."""
        owner = self._owners()
        self.ranks.meet()
        every = self.ranks.collect(losses[owner == self.ranks.rank], np.bincount(owner, minlength=self.ranks.size).tolist())
        losses[np.argsort(owner, kind="stable")] = every
        super()._keep_losses(order, losses)

    def _owners(self) -> Array:
        """The rank that computes each example of an epoch (taken,)."""
        owners = []
        for step in range(self.per_epoch):
            lengths = np.diff(self.batches.starts(self.batches.rows(step)))
            shards = np.searchsorted(self.ranks.shares.bounds, np.arange(len(lengths)), side="right") - 1
            owners.append(np.repeat(shards, lengths))
        return np.concatenate(owners)


class ShardedFit(FitCall):
    """One call of ``fit`` on several ranks: they evaluate a share each, and have the same rows of the history."""

    loop: ShardedLoop

    def __init__(self, trainer: BaseTrainer, data: FitData, loop: Loop, *rest: Any, ranks: Ranks) -> None:
        assert isinstance(loop, ShardedLoop)
        super().__init__(trainer, data, loop, *rest)
        self.ranks = ranks

    def run(self, epochs: int) -> None:
        trainer = self.trainer
        self._agree(epochs)
        vars(trainer)["_rank"] = self.ranks.rank
        try:
            super().run(epochs)
        finally:
            del vars(trainer)["_rank"]

    def _agree(self, epochs: int) -> None:
        """All that makes the steps what they are, as far as numbers say it."""
        augmented = self.data.train.augmented
        trainer, loop, agree, shares = self.trainer, self.loop, self.ranks.agree, self.ranks.shares
        numbers = repr((shares.shards, loop.batches, epochs, [*self.evaluated], loop.columns))
        sampler = repr((class_name(type(loop.sampler)), loop.uses_losses, loop.reweights))
        kernels = f"{__version__} {_kernels.isa_name} {_kernels.gemm_name} {trainer.model.dtype} {trainer.model.compute_dtype}"
        agree("shards, batch_size, epochs, last_batch or what is evaluated", zlib.crc32(numbers.encode()))
        agree("sampler or shuffle", zlib.crc32(sampler.encode()))
        agree("nncore's version, the dtype or the instruction set (see NNCORE_ISA)", zlib.crc32(kernels.encode()))
        agree("seed or epochs_done of the trainer", checksum(np.array([trainer.seed, trainer.epochs_done], dtype=np.uint64)))
        loop.check_parameters()
        for what, part in _parts(trainer).items():
            agree(what, zlib.crc32(json.dumps(_described(part)).encode()))
        loop.check_state()
        agree("X, y, sample_weight or class_weight", self.data.train.checksum(len(self.data.train)))
        agree("augment", zlib.crc32(json.dumps(_described(augmented and augmented.augment)).encode()))
        if (validation := self.data.validation) is not None:
            agree("validation_data", validation.checksum(len(validation)))
        self.ranks.share_sums(-(-shares.shards // shares.size), len(trainer.columns))

    def _run_epochs(self, interrupt: Interrupt) -> None:
        self.ranks.asks_to_stop = self._own = interrupt.pressed
        super()._run_epochs(AgreedInterrupt(self.ranks, interrupt))
        self.loop.check_parameters()
        self.loop.check_state()  # a hyper-parameter of averages, assigned on one rank, has changed only these
        if self.ranks.stopped and not interrupt.presses:
            interrupt.presses = 1  # the training was interrupted here too

    def _ends(self, interrupt: Interrupt) -> bool:
        """As on one rank; ``stop_training`` may have been assigned on one of them, by a signal handler."""
        trainer = self.trainer
        if self.ranks.meet(value=trainer.stop_training)[0].any():
            trainer.stop_training = True
        return super()._ends(interrupt)

    def _evaluate(self, data: Dataset, interrupt: Interrupt) -> dict[str, float]:
        return self.trainer._evaluate(data, stop=self._own, ranks=self.ranks)
