"""The parts of a trainer (model, loss, optimizer, …), checked, and the programs compiled from them."""

from __future__ import annotations

import copy
import math
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import starmap
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar

from numpy.typing import NDArray

from nncore import _kernels, constraints, losses, optimizers, regularizers
from nncore._messages import shown
from nncore._utils.arrays import OwnsArrays, several
from nncore._utils.checks import check_lengths, column_names
from nncore._utils.fields import Count, Fixed, Flag, Instance, Sealed, assignments, config_or_none
from nncore._utils.hints import missing_method, warn
from nncore._utils.lru import LRUCache
from nncore._utils.own import check_called
from nncore.callbacks.base import Callback
from nncore.constraints import Constraint
from nncore.data.example_weights import example_weights
from nncore.distributed.ranks import Ranks, Shares
from nncore.history import History
from nncore.losses import Levels, Loss
from nncore.model.sequential import Sequential, checked_model
from nncore.optimizers import GradientOptimizer, Optimizer
from nncore.optimizers.clipping import Clipping
from nncore.regularizers import Regularizer
from nncore.schedules import MOST_COUNTED
from nncore.training import metrics as metric_registry
from nncore.training.array_groups import checked_factors
from nncore.training.dataset import Dataset
from nncore.training.last_losses import LastLosses
from nncore.training.metrics import Accuracy, LossMetric
from nncore.training.spec import TrainingSpec
from nncore.training.step_program import StepProgram, TrainingProgram, evaluation_program, training_program

if TYPE_CHECKING:
    from typing import Self

__all__ = ["BATCH_SIZE", "BaseTrainer"]

Array = NDArray[Any]

P = TypeVar("P", bound=StepProgram)

BATCH_SIZE = 32
EVALUATION_ROWS = 512  # rows that an evaluation takes at a time
MADE = "the trainer is made", "make a new Trainer"
TRAINING = "this trainer is training already, in another thread or around this callback, or holds averages: one at a time"
WITHIN_EPOCH = (
    "this trainer is within an epoch, so that parameters, counts and history do not belong together: Python code of the "
    "network or a signal handler must not save, copy, restore or exchange them there. It may assign "
    "trainer.stop_training = True, to save after fit; callbacks such as nn.ModelCheckpoint run between two epochs"
)
LOCKED = (
    "this thread holds model.lock, for which another one that trains or saves this trainer waits: save, copy or exchange the "
    "trainer outside of `with model.lock`"
)
AVERAGED = (
    "the model of this trainer holds averages, within trainer.averaged(), not the parameters of the training: the trainer must "
    "not be saved, copied, restored or exchanged there. Take trainer.model.save for the averages, trainer.use_averages() after "
    "the block to continue from them"
)


class Many(Protocol):
    """An ensemble, for type checkers: `Trainer` makes a trainer of this class for it."""

    trainer_class: ClassVar[type]


class BaseTrainer(OwnsArrays, Sealed):
    """The base of `Trainer`: model, loss, optimizer and the rest, and the programs compiled from them."""

    model: Fixed[Sequential] = Fixed(*MADE)
    optimizer: Fixed[Optimizer] = Fixed(*MADE)
    metrics: Fixed[tuple[Accuracy | LossMetric, ...]] = Fixed(*MADE)
    columns: Fixed[list[str]] = Fixed(*MADE)
    history: Instance[History] = Instance(History)
    seed: Count = Count(0, below=2**64)
    epochs_done: Count = Count(0, below=MOST_COUNTED)
    stop_training: Flag = Flag()
    interrupted: Flag = Flag()

    _rank = 0  # of this process, in a call of ``fit`` on several

    def __init__(
        self, model: Sequential | Many, loss: Loss | str | Callable[..., Any], optimizer: Optimizer | str = "adam", *,
        regularizer: Regularizer | Mapping[str, Regularizer] | None = None, clip: Clipping | None = None,
        constraint: Constraint | Mapping[str, Constraint] | None = None, lr_factors: Mapping[str, float] | None = None,
        decay_factors: Mapping[str, float] | None = None, metrics: str | Sequence[Any] = (), seed: int = 0,
    ) -> None:  # fmt: skip
        model = checked_model(model)
        if not model.parameters.size:
            raise ValueError("model must have parameters to train, got none")
        self._compiled, self._program_lock = LRUCache(), _kernels.Lock()
        self.model, self.loss, self.optimizer = model, loss, _optimizer(optimizer)
        self.metrics = tuple(metric_registry.get(metric) for metric in (metrics if several(metrics) else [metrics]))
        self.regularizer, self.clip, self.constraint = regularizer, clip, constraint
        self.lr_factors, self.decay_factors = lr_factors, decay_factors
        self.columns = ["loss", *metric_registry.names(self.metrics)]
        self.columns += ["activity_penalty"] * any(layer.penalizes_activity for layer in model.layers)
        self.seed = seed
        self.history = History()
        self.epochs_done = 0
        self.stop_training = self.interrupted = False
        self._claim = _kernels.Claim(TRAINING)  # to train: there is one call of fit at a time
        self._epoch = _kernels.Claim(WITHIN_EPOCH)  # from the first step of an epoch until it is counted
        self._helpers = Helpers()  # threads that make a part of an epoch for the one that holds the lock
        self._lock = _kernels.Lock()  # held as long, and while others copy or exchange the parts that belong together
        self._averaging = _kernels.Claim(AVERAGED)  # while the model holds averages
        self._width = math.prod(model.output_shape)
        self._last_losses = LastLosses()
        self._last_batch_steps = LRUCache()
        self._levels: Levels | None = None  # of the targets last trained on
        self._callbacks: list[Callback] = []
        self._callback_states: list[dict[str, Any]] = []  # of a checkpoint, for the callbacks of the next fit
        if isinstance(self.optimizer, GradientOptimizer):
            self.optimizer.check_network(model)
        self.optimizer.init_state(model.parameters.size, model.dtype)
        self._optimizer_state = self.optimizer.state
        self._first_config = config_or_none(self.optimizer)

    def __getstate__(self) -> dict[str, Any]:
        """With a plain dict of the history's columns, as other formats than pickle need it.

        While another thread trains it is a copy: the parts are pickled after this has returned, when they have changed.
        """
        with self._whole():
            state = vars(self) | {"history": dict(self.history), "_optimizer_state": None}
            state.pop("_rank", None)  # of the call of fit under way
            trains = self._claim.taken and not self._claim.depth
            return copy.deepcopy(state, {id(self): self}) if trains else state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        vars(self).update(history=History.from_columns(vars(self)["history"]), _optimizer_state=self.optimizer.state)

    def __copy__(self) -> Any:
        with self._whole():
            other = super().__copy__()
        vars(other).pop("_rank", None)
        return other

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        other = memo[id(self)] = object.__new__(type(self))
        with self._whole():
            other.__setstate__(copy.deepcopy(self.__getstate__(), memo))
        return other

    if not TYPE_CHECKING:  # to a type checker it would allow any name
        __getattr__ = missing_method

    @property
    def rank(self) -> int:
        """The number of this process among those that share a ``fit(distributed=...)``, for callbacks; 0 elsewhere."""
        return self._rank

    # --- what may be given anew

    @property
    def loss(self) -> Loss:
        """What is minimized. It may be assigned between two calls of ``fit``.

        A callback may also assign ``regularizer`` and ``clip``: they apply from the next epoch.
        """
        return self._loss

    @loss.setter
    def loss(self, loss: Loss | str | Callable[..., Any]) -> None:
        self._loss = losses.get(loss)
        activation, last = self._loss.fused_activation, self.model.layers[-1]
        if activation == last.default_name():
            warn(f"{self._loss.name} applies the {activation} itself, but {last.name} does so before: leave it out")
        self._compiled.clear()

    @property
    def regularizer(self) -> Regularizer | None:
        """The penalty, or None."""
        return self._regularizer

    @regularizer.setter
    def regularizer(self, regularizer: Regularizer | Mapping[str, Regularizer] | None) -> None:
        regularizer = regularizers.get(regularizer, self.model)
        self._check_proximal(regularizer)
        self._regularizer = regularizer
        self._compiled.clear()

    def _check_proximal(self, regularizer: Regularizer | None) -> None:
        if regularizer and regularizer.proximal and "lr" not in self.optimizer.hyperparameters:
            raise ValueError(
                f"regularizer {shown(regularizer)} needs an optimizer with a learning rate, got {shown(self.optimizer)}"
            )

    @property
    def clip(self) -> Clipping | None:
        """How the gradient is clipped, or None."""
        return self._clip

    @clip.setter
    def clip(self, clip: Clipping | None) -> None:
        if clip is not None and not isinstance(clip, Clipping):
            raise TypeError(f"clip must be a Clipping such as nn.ClipGlobalNorm(5.0), got {shown(clip)}")
        self._clip = clip
        self._compiled.clear()

    @property
    def constraint(self) -> Constraint | Mapping[str, Constraint] | None:
        """What the weights are projected onto after each step, or None."""
        return MappingProxyType(self._constraint) if isinstance(self._constraint, dict) else self._constraint

    @constraint.setter
    def constraint(self, constraint: Constraint | Mapping[str, Constraint] | None) -> None:
        checked = constraints.get(constraint, self.model)
        if checked is not None and not isinstance(self.optimizer, GradientOptimizer):
            raise ValueError(f"constraint needs an optimizer that takes gradient steps, got {shown(self.optimizer)}")
        self._constraint = checked
        self._programs_changed()

    @property
    def lr_factors(self) -> Mapping[str, float]:
        """Factors of the learning rate, by names of layers and arrays."""
        return MappingProxyType(self._lr_factors)

    @lr_factors.setter
    def lr_factors(self, factors: Mapping[str, float] | None) -> None:
        self._lr_factors = checked_factors("lr_factors", factors, self.model, self.optimizer)
        self._programs_changed()

    @property
    def decay_factors(self) -> Mapping[str, float]:
        """Factors of the decoupled weight decay, by names of layers and arrays."""
        return MappingProxyType(self._decay_factors)

    @decay_factors.setter
    def decay_factors(self, factors: Mapping[str, float] | None) -> None:
        self._decay_factors = checked_factors("decay_factors", factors, self.model, self.optimizer)
        self._programs_changed()

    def _programs_changed(self) -> None:
        assignments.number += 1
        self._compiled.clear()

    def _data(
        self, X: Any, y: Any, weights: Any = None, *, suffix: str = "", known: Levels | None = None
    ) -> Dataset:  # fmt: skip
        """Checked data. ``known``: what targets trained on say of classes; default: those of the last training."""
        names = column_names(y)
        rows, y = self.model.input_rows(X, f"X{suffix}"), self.model.scaled_targets(y, f"y{suffix}")
        forms = [self._loss, *[metric.loss for metric in self.metrics if isinstance(metric, LossMetric)]]
        targets = [losses.targets_of(form, y, self._width, self.model.dtype, f"y{suffix}") for form in forms]
        if len(forms) <= len(self.metrics):  # one is the accuracy
            targets[0] = self._loss.for_accuracy(targets[0], f"y{suffix}", known or self._levels)
        check_lengths(rows, targets[0], f"X{suffix}", f"y{suffix}")
        if weights is not None:
            weights = example_weights(weights, len(rows), f"sample_weight{suffix}")
        return Dataset(rows, targets, weights, names=(column_names(X), names))

    def _check_state(self) -> None:
        """Raise if the optimizer's state is not the one that this trainer gave it, to which its programs are bound."""
        if self.optimizer.state is not self._optimizer_state:
            raise ValueError(
                f"optimizer must have the state of this trainer's model, but has begun something else since: give each trainer "
                f"a {self.optimizer.title} of its own"
            )

    def _check_ready(self) -> None:
        """Raise if the optimizer cannot train the model as it is."""
        self._check_state()
        if vars(self.optimizer._shared)["entered"]:
            self.spec.gradient_optimizer.check_finished()

    def _next_epoch(self) -> _kernels.Lock:
        """The lock, for the thread that begins an epoch: those that have waited for the end of the last one have it first."""
        self._lock.give_way()
        return self._lock

    def _between_epochs(self) -> _kernels.Lock:
        """The lock, for one that waits for the end of another thread's epoch; raises where it would wait for itself."""
        self._epoch.check()
        if threading.get_ident() in self._helpers:
            raise RuntimeError(WITHIN_EPOCH)
        if self._lock.holder and not self._lock.held and self.model.lock.held:
            raise RuntimeError(LOCKED)
        return self._lock

    @contextmanager
    def _whole(self) -> Iterator[None]:
        """A block in which parameters, counts and history belong together; waits for the end of another thread's epoch."""
        with self._between_epochs():
            if self._averaging.taken:
                raise RuntimeError(AVERAGED)
            yield

    @contextmanager
    def _at_rest(self) -> Iterator[None]:
        """As `_whole`, to change them: refused while another thread trains. The thread that trains may, between two epochs."""
        with self._claim, self._whole():
            yield

    def _check_optimizer(self, n: int, batch: int) -> None:
        self._check_ready()
        self._check_proximal(self.regularizer)  # its strength may have been assigned
        if self.optimizer.full_batch_only and batch < n:
            can = hasattr(self.optimizer, "allow_mini_batches")
            allow = ", or give the optimizer allow_mini_batches=True" if can else ""
            raise ValueError(
                f"batch_size must be {n}, all rows, as {self.optimizer.title} needs the gradient of the full batch "
                f"({self.optimizer.full_batch_reason}), got {batch}: take batch_size={n}{allow}"
            )

    def _remember(self, data: Dataset) -> None:
        """The model is trained on these columns, if they have names; what the targets say of classes counts for later data."""
        inputs, targets = data.names
        if inputs and self.model.feature_names is None:
            self.model.feature_names = inputs
        if targets and self.model.target_names is None:
            self.model.target_names = targets
        self._levels = data.targets[0].levels or self._levels

    def _evaluate(
        self, data: Dataset, losses: Array | None = None, stop: Callable[[], bool] | None = None, ranks: Ranks | None = None
    ) -> dict[str, float]:  # fmt: skip
        """As `_measured`; what is measured beside a training leaves the states that recurrent layers carry over."""
        with self.model._measuring():
            return self._measured(data, losses, stop, ranks)

    def _evaluation_rows(self, n: int, evaluated: str | None = None) -> int:
        """The rows of a batch of an evaluation on n examples; raises if layers cannot work on such batches.

        ``evaluated``: the prefix of the columns, where it is one after each epoch.
        """
        rows = self.model.batch_rows or min(1 << (n - 1).bit_length(), EVALUATION_ROWS)
        hints = {None: "", "": ", in the data, for exact_loss", "val_": ", in the validation data"}
        self.model.check_batches(n, min(rows, n), training=False, hint=hints[evaluated])
        return rows

    def _measured(
        self, data: Dataset, losses: Array | None = None, stop: Callable[[], bool] | None = None, ranks: Ranks | None = None
    ) -> dict[str, float]:  # fmt: skip
        """The row of ``evaluate``; the loss of each example in ``losses``. Nothing if ``stop`` has ended it.

        With ``ranks`` each of them takes a share of the rows.
        """
        capacity = self._evaluation_rows(len(data))
        program = self._program(evaluation_program, capacity, data)
        steps = -(-len(data) // capacity)
        first, last = ranks.own_share(steps) if ranks else (0, steps)
        done, sums = program.run(
            data, order=data.chosen, first_step=first, last_step=last, batch=capacity, examples_out=losses, stop=stop
        )  # fmt: skip
        stopped = stop is not None and done < last - first and stop()
        if ranks:
            stopped, sums = ranks.collect_steps(sums, steps, stopped)
        if stopped:
            return {}
        means = sums.sum(axis=0) / len(data)
        if self.regularizer:
            means[-1] = self.regularizer.value(self.model)
        return self.named(self.row_columns(""), means.tolist())

    def row_columns(self, prefix: str) -> list[str]:
        """The names of the columns of losses and metrics."""
        return [f"{prefix}{name}" for name in (*self.columns, *["penalty"] * bool(self.regularizer))]

    @staticmethod
    def named(columns: list[str], means: Sequence[Any] | Array) -> dict[str, Any]:
        """Means by column; penalties are also part of the loss, which is the first. The last mean is the penalty's."""
        row, loss = {name: means[number] for number, name in enumerate(columns)}, columns[0]
        prefix = loss.removesuffix("loss")
        for penalty in (f"{prefix}activity_penalty", f"{prefix}penalty"):
            if penalty in row:
                row[loss] = row[loss] + row[penalty]
        return row

    def _count_epochs(self, epochs: int, rows: Mapping[str, Any]) -> None:
        """Count epochs and add their rows, given as columns, to the history: both or, if a signal handler raises, neither.

        The attributes change within one call into C, during which no handler runs. They are not assigned as a user would, after
        which programs would be looked up again.
        """
        if not rows:
            vars(self)["epochs_done"] += epochs
            return
        counted, kept = {"epochs_done": self.epochs_done + epochs}, {"_table": self.history._extended(rows)}
        list(starmap(dict.update, [(vars(self), counted), (vars(self.history), kept)]))

    @property
    def spec(self) -> TrainingSpec:
        """The current parts."""
        return TrainingSpec(
            self.model, self.loss, self.metrics, self.optimizer, self.regularizer, self.clip, self.constraint, self._lr_factors,
            self._decay_factors,
        )  # fmt: skip

    def _training_program(
        self, capacity: int, data: Dataset, part_rows: int = 0, shares: Shares | None = None
    ) -> TrainingProgram:
        """Compiled for batches, or parts of batches, of at most ``capacity`` and this kind of targets."""
        return self._program(training_program, capacity, data, part_rows, shares)

    def _program(self, compile: Callable[..., P], capacity: int, data: Dataset, *form: Any) -> P:
        asked = compile, capacity, form, data.kinds, self._loss, self._regularizer, self._clip, assignments.number
        last = self._compiled.last
        if last[0] == asked:  # nothing has been assigned since
            return last[1]
        spec = self.spec
        with self._program_lock:
            key = compile, capacity, form, data.kinds, spec.key
            program: P = self._compiled.get(key, lambda: compile(spec, capacity, data, *form))
        if spec.is_own:
            self._compiled.last = asked, program
        return program

    def _copy(self, metrics: Sequence[Any] = ()) -> Self:
        """A trainer of a copy of the model, with the same state, these metrics and no history."""
        other = object.__new__(type(self))
        with self._whole():
            BaseTrainer.__init__(  # without calling the constructor of a subclass
                other, self.model.copy(), self.loss, copy.deepcopy(self.optimizer), regularizer=self.regularizer,
                clip=self.clip, constraint=self.constraint, lr_factors=self.lr_factors, decay_factors=self.decay_factors,
                metrics=metrics, seed=self.seed,
            )  # fmt: skip
            other.optimizer.load_state_dict(self.optimizer.state_dict())
            of_subclass = {name: value for name, value in vars(self).items() if name not in vars(other)}
            of_subclass.pop("_rank", None)
            vars(other).update(of_subclass, epochs_done=self.epochs_done)
        other._complete()
        return other


class Helpers(set[int]):
    """Numbers of threads. Those of a copy are none."""

    def __reduce__(self) -> tuple[type[Helpers], tuple[()]]:
        return Helpers, ()


def _optimizer(optimizer: Optimizer | str) -> Optimizer:
    """Itself, or by name; `nncore.second_order`, which needs more of SciPy, is imported with the first one of it."""
    if isinstance(optimizer, str) and optimizer not in optimizers.OPTIMIZERS:
        from nncore import second_order

        return second_order.get(optimizer)
    made: Optimizer = optimizers.get(optimizer)
    inner: Any = made
    while inner is not None:
        check_called("optimizer", inner, "step", advice="ops and coefficients say what a step is; by hand, call step yourself")
        inner = getattr(inner, "optimizer", None)  # of a wrapper
    return made
