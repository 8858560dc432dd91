"""The training loop: programs for many steps at a time, and Python between them."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncore import _kernels, losses, optimizers
from nncore import metrics as metric_registry
from nncore.callbacks import Callback
from nncore.clipping import Clipping
from nncore.data.splits import train_validation_split
from nncore.data.validation import as_rows, check_lengths, check_positive_integer
from nncore.errors import DivergenceError
from nncore.history import History
from nncore.losses import Loss, Targets
from nncore.model import Recording, Sequential
from nncore.optimizers import Optimizer
from nncore.progress import Progress
from nncore.regularizers import Regularizer
from nncore.tape import Compiled, Op, Tape, parameter_stages, stages

__all__ = ["Trainer"]

Array = NDArray[Any]

EVALUATION_ROWS = 512  # rows that an evaluation takes at a time
UPDATE_COST = 50.0  # updating a parameter takes as long as so many multiply-adds of its gradient
SECONDS_PER_CALL = 0.05  # how long the program runs before Python looks


class Trainer:
    """Trains a model: loss, optimizer, metrics, and the loop that puts them together.

    A step takes the mean gradient over a batch and updates θ; an epoch is one pass over the data, in batches, the last of
    which may be smaller. Many steps run in one call of the compiled program.

    Parameters
    ----------
    model : Sequential
    loss : Loss, str or callable
        See ``nncore.losses``; a function of outputs and targets that returns per-example losses and gradients works too.
    optimizer : Optimizer or str
        Default ``"adam"``.
    regularizer : Regularizer, optional
        Its penalty is part of the loss; the column ``penalty`` shows it alone.
    clip : Clipping, optional
        Applied to the gradient, the penalty's included, before the update.
    metrics : str or sequence
        ``"accuracy"``, names of losses, or losses.
    seed : int
        Of the order of the examples: epoch e is shuffled by (seed, e) alone.

    Attributes
    ----------
    history : History
        One row an epoch, over all calls of ``fit``.
    epochs_done : int
    stop_training : bool
        A callback sets it to end ``fit`` after the epoch.
    interrupted : bool
        Did Ctrl-C end the last ``fit``?

    Examples
    --------
    >>> import numpy as np
    >>> import nncore as nn
    >>> X = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], dtype=np.float32)
    >>> y = np.array([0, 1, 1, 0])
    >>> model = nn.Sequential([nn.Dense(8), nn.Tanh(), nn.Dense(2)], input_shape=2)
    >>> trainer = nn.Trainer(model, loss="softmax_cross_entropy", optimizer=nn.Adam(lr=0.05), metrics=["accuracy"])
    >>> history = trainer.fit(X, y, epochs=200, batch_size=4, verbose=0)
    >>> trainer.evaluate(X, y)["accuracy"]
    1.0
    """

    def __init__(
        self, model: Sequential, loss: Loss | str | Callable[..., Any], optimizer: Optimizer | str = "adam", *,
        regularizer: Regularizer | None = None, clip: Clipping | None = None, metrics: str | Sequence[Any] = (),
        seed: int = 0,
    ) -> None:  # fmt: skip
        if not isinstance(model, Sequential):
            raise TypeError(f"model must be a Sequential, got {model!r}")
        if regularizer is not None and not isinstance(regularizer, Regularizer):
            raise TypeError(f"regularizer must be a Regularizer such as nn.L2(1e-4), got {regularizer!r}")
        if clip is not None and not isinstance(clip, Clipping):
            raise TypeError(f"clip must be a Clipping such as nn.ClipGlobalNorm(5.0), got {clip!r}")
        if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or not 0 <= seed < 2**64:
            raise ValueError(f"seed must be an integer from 0 to 2**64 - 1, got {seed!r}")
        self.model, self.loss, self.optimizer = model, losses.get(loss), optimizers.get(optimizer)
        self.metrics = [metric_registry.get(metric) for metric in ([metrics] if isinstance(metrics, str) else metrics)]
        self.regularizer, self.clip = regularizer, clip
        self.columns = ["loss", *metric_registry.names(self.metrics)]
        self.seed = int(seed)
        self.history = History()
        self.epochs_done = 0
        self.stop_training = self.interrupted = False
        self._width = math.prod(model.output_shape)
        self._steps_per_second = 0.0
        self._compiled: dict[Any, Any] = {}
        self.optimizer.init_state(model.parameters.size, model.dtype)
        self._optimizer_state = self.optimizer.state

    # --- the public loop

    def fit(
        self, X: Any, y: Any, *, epochs: int = 1, batch_size: int = 32, shuffle: bool = True,
        validation_data: tuple[Any, Any] | None = None, validation_split: float = 0.0, exact_loss: bool = False,
        callbacks: Iterable[Callback] = (), verbose: int = 1,
    ) -> History:  # fmt: skip
        """Train for some epochs.

        Parameters
        ----------
        X : array_like, ``(n, *input_shape)``
            May be memory-mapped; copied only if its dtype or layout does not fit.
        y : array_like
            Integer labels (n,), one-hot or soft rows (n, outputs), or numbers.
        epochs, batch_size : int
            ``batch_size=1`` is stochastic gradient descent, ``batch_size=len(X)`` batch gradient descent.
        shuffle : bool
            A new order every epoch; otherwise the rows are taken as they come.
        validation_data : (X, y), optional
            Evaluated after every epoch: columns ``val_loss`` and so on.
        validation_split : float
            Instead: this share of the data is set aside, shuffled first and stratified by label.
        exact_loss : bool
            Also evaluate the training data after every epoch: columns ``loss`` and so on, comparable with ``val_loss``. The
            columns ``running_…`` are means over the epoch while the parameters were changing.
        callbacks : iterable of Callback
        verbose : {0, 1, 2}
            Silent, a progress line, a line an epoch.

        Returns
        -------
        History

        Raises
        ------
        ValueError, TypeError
            If data and network do not fit, before any parameter has changed.
        DivergenceError
            If the loss stops being finite; the last finite parameters stay in place.

        Notes
        -----
        Ctrl-C ends the training after the steps under way; ``history`` and the model hold what was reached.
        """
        epochs = check_positive_integer(epochs, "epochs")
        batch_size = check_positive_integer(batch_size, "batch_size")
        rows, targets = self._data(X, y)
        validation = self._validation_data(validation_data)
        if validation_split:
            if validation is not None:
                raise ValueError("validation_split and validation_data exclude each other, got both")
            train, held_out = train_validation_split(rows, targets.array, validation_split, seed=self.seed)
            validation = rows[held_out], targets.take(held_out)
            rows, targets = rows[train], targets.take(train)
        callbacks = list(callbacks)
        each_epoch = bool(validation or exact_loss or verbose == 2) or any(c.every_epoch for c in callbacks)
        self._check_optimizer(len(rows), batch_size)
        run = _Run(self, rows, targets, min(batch_size, len(rows)), shuffle)
        self.stop_training = self.interrupted = False
        last = self.epochs_done + epochs
        for callback in callbacks:
            callback.on_train_begin(self)
        with _deferred_interrupt() as interrupted, Progress(epochs, verbose) as progress:
            while self.epochs_done < last and not (self.stop_training or interrupted()):
                if each_epoch:
                    for callback in callbacks:
                        callback.on_epoch_begin(self, self.epochs_done)
                finished = run.advance(1 if each_epoch else last - self.epochs_done, interrupted, progress, last - epochs)
                for row in finished:
                    if exact_loss:
                        row |= self._evaluate(rows, targets)
                    if validation is not None:
                        row |= {f"val_{name}": value for name, value in self._evaluate(*validation).items()}
                    self.epochs_done += 1
                    self.history.append(row)
                    for callback in callbacks if each_epoch else ():
                        callback.on_epoch_end(self, self.epochs_done - 1, row)
                    progress.update(self.epochs_done - 1 - last + epochs, 1.0, row)
            self.interrupted = interrupted()
        for callback in callbacks:
            callback.on_train_end(self)
        return self.history

    def partial_fit(self, X: Any, y: Any, *, batch_size: int | None = None) -> dict[str, float]:
        """One pass over X in the order given; by default as a single batch. Returns the running loss and metrics.

        For data that arrives or changes over time: the optimizer's state carries over from call to call.
        """
        rows, targets = self._data(X, y)
        batch = len(rows) if batch_size is None else check_positive_integer(batch_size, "batch_size")
        self._check_optimizer(len(rows), batch)
        run = _Run(self, rows, targets, min(batch, len(rows)), shuffle=False)
        (row,) = run.advance(1, lambda: False, None, 0)
        self.epochs_done += 1
        return row

    def evaluate(self, X: Any, y: Any) -> dict[str, float]:
        """Loss and metrics of the rows of X, in inference mode: the mean over the examples.

        Examples
        --------
        >>> import numpy as np
        >>> import nncore as nn
        >>> trainer = nn.Trainer(nn.Sequential([nn.Dense(1, weight_init="zeros")], input_shape=3), loss="mean_squared_error")
        >>> trainer.evaluate(np.ones((5, 3)), np.full(5, 2.0))
        {'loss': 4.0}
        """
        return self._evaluate(*self._data(X, y))

    # --- saving

    def save(self, path: str | PathLike[str]) -> None:
        """Write a checkpoint: the model, the optimizer's state, the history and where the training stands."""
        from nncore import storage

        storage.save_trainer(self, path)

    def restore(self, path: str | PathLike[str]) -> None:
        """Go on from a checkpoint of a trainer of the same kind: the same bits as if training had never stopped."""
        from nncore import storage

        storage.restore_trainer(self, path)

    def __repr__(self) -> str:
        return f"Trainer({self.model!r}, loss={self.loss!r}, optimizer={self.optimizer!r}, epochs_done={self.epochs_done})"

    # --- inside

    def _data(self, X: Any, y: Any, suffix: str = "") -> tuple[Array, Targets]:
        rows = as_rows(X, self.model.input_shape, self.model.dtype, f"X{suffix}")
        targets = self.loss.targets(y, self._width, self.model.dtype, f"y{suffix}")
        check_lengths(rows, targets, f"X{suffix}", f"y{suffix}")
        return rows, targets

    def _validation_data(self, data: tuple[Any, Any] | None) -> tuple[Array, Targets] | None:
        if data is None:
            return None
        if not isinstance(data, (tuple, list)) or len(data) != 2:
            raise ValueError(f"validation_data must be a pair (X, y), got {type(data).__name__}")
        return self._data(*data, suffix=" of validation_data")

    def _check_optimizer(self, n: int, batch: int) -> None:
        if self.optimizer.state is not self._optimizer_state:
            raise ValueError(
                f"optimizer has begun something else since this trainer was made: its state is no longer this model's. Give "
                f"each trainer a {type(self.optimizer).__name__} of its own"
            )
        if self.optimizer.full_batch_only and batch < n:
            raise ValueError(
                f"{type(self.optimizer).__name__} needs the gradient of the full batch: its step sizes follow the signs of "
                f"successive gradients, which noise flips. Got batch_size={batch} for {n} rows; take batch_size={n}, or tell "
                "the optimizer to go on with allow_mini_batches=True"
            )

    def _loss_ops(self, recording: Recording, targets: Targets) -> tuple[Op, Op, list[Op], list[Array]]:
        """Gathering of targets, loss, metrics; and the per-example columns that they write."""
        tape, output = recording.tape, recording.output
        gather, loss_op, values = self.loss.emit(tape, output, targets)
        metric_ops, records = [], [values]
        for metric in self.metrics:
            op, record = metric.emit(tape, output, gather.arrays[0], targets, self.loss)
            metric_ops.append(op)
            records.append(record)
        return gather, loss_op, metric_ops, records

    def _evaluate(self, rows: Array, targets: Targets) -> dict[str, float]:
        capacity = min(1 << (len(rows) - 1).bit_length(), EVALUATION_ROWS)
        key = ("evaluate", capacity, targets.kind)
        if key not in self._compiled:
            recording = Recording(self.model, capacity, training=False, gradients=False)
            gather_y, loss_op, metric_ops, records = self._loss_ops(recording, targets)
            step = stages([recording.gather, gather_y, *recording.tape.forward, *metric_ops, loss_op])
            compiled = Compiled(recording.tape, step, before=recording.prepare(), records=records)
            self._compiled[key] = recording.gather, gather_y, compiled
        gather_x, gather_y, compiled = self._compiled[key]
        compiled.bind(gather_x, 1, rows, row_stride=rows.strides[0] // rows.itemsize)
        compiled.bind(gather_y, 1, targets.array)
        steps = -(-len(rows) // capacity)
        done, sums = compiled.run(last_step=steps, examples=len(rows), batch=capacity)
        means = sums.sum(axis=0) / len(rows)
        if done < steps:
            means[:] = math.nan
        if self.regularizer:
            means[-1] = self.regularizer.value(self.model)
        return self._row("", means)

    def _row(self, prefix: str, means: Array) -> dict[str, float]:
        """Named columns: loss, metrics, and the penalty, which is also part of the loss."""
        row = dict(zip([f"{prefix}{name}" for name in self.columns], means.tolist(), strict=False))
        if self.regularizer:
            row[f"{prefix}loss"] += float(means[-1])
            row[f"{prefix}penalty"] = float(means[-1])
        return row

    def _training_program(self, capacity: int, targets: Targets) -> tuple[Recording, Op, Op, Compiled]:
        """Gather, forward, loss, δ chain; then weight gradients and update, tile by tile."""
        key = ("train", capacity, targets.kind)
        if key not in self._compiled:
            recording = Recording(self.model, capacity, training=True, gradients=True)
            tape = recording.tape
            gather_y, loss_op, metric_ops, records = self._loss_ops(recording, targets)
            table = np.array([tile for op in tape.parameter_gradients for tile in op.tiles], dtype=np.int64).reshape(-1, 4)
            before_update, partials = self._gradient_ops(tape, table)
            arrays = self.optimizer.arrays(self.model.parameters, self.model.gradients, table)
            cost = (UPDATE_COST * table[:, 1] * table[:, 2]).tolist()

            def optimizer_op(kernel: str) -> Op:
                return Op("tiles", kernel, arrays, cost=cost)

            step = stages([recording.gather, gather_y, *tape.forward, *metric_ops, loss_op, *tape.backward])
            update = optimizer_op(f"{self.optimizer.kernel}_update")
            step += parameter_stages(tape.parameter_gradients, [*before_update, update], tape.followers)
            enter = stages([optimizer_op(self.optimizer.enter)]) if self.optimizer.enter else []
            leave = stages([optimizer_op(self.optimizer.leave)]) if self.optimizer.leave else []
            before = enter + recording.prepare()
            compiled = Compiled(tape, step, before=before, after=leave, records=records, partials=partials)
            self._compiled[key] = recording, recording.gather, gather_y, compiled
        return self._compiled[key]

    def _gradient_ops(self, tape: Tape, table: Array) -> tuple[list[Op], Array | None]:
        """What happens to the gradient before the update: penalty, clipping. And the parts of the penalty, tile by tile."""
        ops: list[Op] = []
        partials = None
        if self.regularizer:
            regularized = np.zeros(self.model.parameters.size, dtype=bool)
            for layer in self.model.layers:
                for parameter in layer.parameters.values():
                    regularized[parameter.offset : parameter.offset + parameter.size] = parameter.regularized
            strengths = np.outer(regularized[table[:, 0]], [self.regularizer.l1, self.regularizer.l2])
            partials = np.zeros(len(table))
            arrays = (self.model.gradients, self.model.parameters, partials, strengths, None, None, None, table)
            ops.append(Op("tiles", "penalty", arrays, cost=(10.0 * table[:, 1] * table[:, 2]).tolist()))
        if self.clip:
            firsts = np.cumsum([0] + [len(op.tiles) for op in tape.parameter_gradients]).tolist()
            ops += self.clip.ops(self.model.gradients, table, firsts)
        return ops, partials


class _Run:
    """One call of ``fit``: knows where in which epoch it stands, and runs the steps in portions of about 50 ms."""

    def __init__(self, trainer: Trainer, rows: Array, targets: Targets, batch: int, shuffle: bool) -> None:
        self.trainer, self.examples, self.batch, self.shuffle = trainer, len(rows), batch, shuffle
        self.per_epoch = -(-self.examples // batch)
        self.recording, gather_x, gather_y, self.compiled = trainer._training_program(batch, targets)
        self.compiled.bind(gather_x, 1, rows, row_stride=rows.strides[0] // rows.itemsize)
        self.compiled.bind(gather_y, 1, targets.array)

    def advance(
        self, epochs: int, interrupted: Callable[[], bool], progress: Progress | None, first_epoch: int
    ) -> list[dict[str, float]]:
        """Run at most ``epochs`` epochs, one at least; the running means of each, none if interrupted in the first."""
        trainer = self.trainer
        wanted = int(trainer._steps_per_second * SECONDS_PER_CALL)
        epochs = max(1, min(epochs, wanted // self.per_epoch))
        steps = epochs * self.per_epoch
        order = None
        if self.shuffle:
            order = _kernels.shuffled_orders(self.examples, epochs, trainer.seed, trainer.epochs_done)
        sums, done = [], 0
        while done < steps and not (done and interrupted()):
            portion = min(steps - done, max(1, wanted)) if epochs == 1 else steps
            sums.append(self._steps(order, done, portion))
            done += portion
            wanted = int(trainer._steps_per_second * SECONDS_PER_CALL)
            if progress is not None and epochs == 1:
                progress.update(trainer.epochs_done - first_epoch, done / steps, None)
        whole = done // self.per_epoch
        table = np.concatenate(sums)[: whole * self.per_epoch].reshape(whole, self.per_epoch, -1)
        means = table.sum(axis=1) / self.examples
        means[:, -1] = table[:, :, -1].mean(axis=1)  # the penalty is no mean over examples
        return [trainer._row("running_", row) for row in means]

    def _steps(self, order: Array | None, first: int, count: int) -> Array:
        trainer = self.trainer
        coefficients = trainer.optimizer.coefficients(count, self.per_epoch)
        start = time.perf_counter()
        done, sums = self.compiled.run(
            first_step=first, last_step=first + count, examples=self.examples, batch=self.batch, order=order,
            coefficients=coefficients, step_offset=trainer.optimizer.step_count - first,
        )  # fmt: skip
        elapsed = time.perf_counter() - start
        trainer._steps_per_second = done / max(elapsed, 1e-9)
        trainer.optimizer.advance(done, self.per_epoch)
        if done < count:
            self._diverged(first + done, sums[done])
        return sums

    def _diverged(self, step: int, sums: Array) -> None:
        """Say where the first number that is not finite appeared."""
        trainer = self.trainer
        bad = [s.name for s in self.recording.tape.signals if not np.isfinite(s.value).all()]
        if not math.isfinite(sums[0]):
            where = f"the loss is {sums[0]}" + (f", first in the output of layer {bad[0]}" if bad else "")
        else:
            names = [
                f"{layer.name}.{name}"
                for layer in trainer.model.layers
                for name in layer.parameters
                if not np.isfinite(getattr(layer, f"{name}_grad")).all()
            ]
            where = f"the gradient of {names[0]} is not finite" if names else "the step of the optimizer is not finite"
        lr = trainer.optimizer.hyper_values(1, self.per_epoch).get("lr")
        rate = "" if lr is None else f" with lr = {float(np.ravel(lr)[0]):g}"
        raise DivergenceError(
            f"training diverged in epoch {trainer.epochs_done + 1}, step {step % self.per_epoch + 1}{rate}: {where}. "
            "The last finite parameters are in place; try a smaller learning rate, scaled data or gradient clipping"
        )


@contextmanager
def _deferred_interrupt() -> Iterator[Callable[[], bool]]:
    """Within, Ctrl-C only sets a flag: what is under way is brought to its end. A second Ctrl-C raises at once."""
    pressed = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield pressed.is_set
        return
    before = signal.getsignal(signal.SIGINT)
    if before is not signal.default_int_handler:
        yield pressed.is_set
        return

    def press(number: int, frame: Any) -> None:
        if pressed.is_set():
            raise KeyboardInterrupt
        pressed.set()

    signal.signal(signal.SIGINT, press)
    try:
        yield pressed.is_set
    finally:
        signal.signal(signal.SIGINT, before)
