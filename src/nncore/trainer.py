"""The training loop: programs for many steps at a time, and Python between them."""

from __future__ import annotations

import functools
import math
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
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
from nncore.losses import Loss
from nncore.metrics import LossMetric
from nncore.model import Sequential
from nncore.optimizers import Optimizer
from nncore.programs import Dataset, StepProgram, evaluation_program, training_program
from nncore.progress import Progress
from nncore.regularizers import Regularizer

__all__ = ["Trainer"]

Array = NDArray[Any]

BATCH_SIZE = 32
EVALUATION_ROWS = 512  # rows that an evaluation takes at a time


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
        if not model.parameters.size:
            raise ValueError("model must have parameters to train, got none")
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
        self._compiled: dict[Any, Any] = {}
        self.optimizer.init_state(model.parameters.size, model.dtype)
        self._optimizer_state = self.optimizer.state

    # --- the public loop

    def fit(
        self, X: Any, y: Any, *, epochs: int = 1, batch_size: int | None = None, shuffle: bool = True,
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
            ``batch_size=1`` is stochastic gradient descent, ``batch_size=len(X)`` batch gradient descent. Default 32; all rows
            for optimizers that need the full batch. For those of `nncore.second_order` an epoch is an iteration.
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
        batch_size = None if batch_size is None else check_positive_integer(batch_size, "batch_size")
        callbacks = _callbacks(callbacks)
        data, validation = self._data(X, y), self._validation_data(validation_data)
        if validation_split != 0:
            if validation is not None:
                raise ValueError("validation_split and validation_data exclude each other, got both")
            data, validation = self._split(data, validation_split)
        batch = batch_size or (len(data) if self.optimizer.full_batch_only else BATCH_SIZE)
        each_epoch = bool(validation or exact_loss or verbose == 2) or any(c.every_epoch for c in callbacks)
        run = self._run(data, batch, shuffle)
        self.stop_training = self.interrupted = False
        first, last = self.epochs_done, self.epochs_done + epochs
        for callback in callbacks:
            callback.on_train_begin(self)
        with _deferred_interrupt() as interrupted, Progress(epochs, verbose) as progress, closing(run):
            while self.epochs_done < last and not (self.stop_training or interrupted()):
                if each_epoch:
                    for callback in callbacks:
                        callback.on_epoch_begin(self, self.epochs_done)
                within = functools.partial(progress.update, self.epochs_done - first)
                for row in run.advance(1 if each_epoch else last - self.epochs_done, interrupted, within):
                    if exact_loss:
                        row |= self._evaluate(data)
                    if validation is not None:
                        row |= {f"val_{name}": value for name, value in self._evaluate(validation).items()}
                    self.epochs_done += 1
                    self.history.append(row)
                    for callback in callbacks if each_epoch else ():
                        callback.on_epoch_end(self, self.epochs_done - 1, row)
                    progress.update(self.epochs_done - 1 - first, 1.0, row)
                if run.failure:
                    raise run.failure
            self.interrupted = interrupted()
        for callback in callbacks:
            callback.on_train_end(self)
        return self.history

    def partial_fit(self, X: Any, y: Any, *, batch_size: int | None = None) -> dict[str, float]:
        """One pass over X in the order given; by default as a single batch. Returns the running loss and metrics.

        For data that arrives or changes over time: the optimizer's state carries over from call to call.
        """
        data = self._data(X, y)
        batch = len(data) if batch_size is None else check_positive_integer(batch_size, "batch_size")
        with closing(self._run(data, batch, shuffle=False)) as run:
            rows = run.advance(1, lambda: False, None)
        if run.failure:
            raise run.failure
        self.epochs_done += 1
        return rows[0]

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
        return self._evaluate(self._data(X, y))

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

    def _data(self, X: Any, y: Any, suffix: str = "") -> Dataset:
        rows = as_rows(X, self.model.input_shape, self.model.dtype, f"X{suffix}")
        forms = [self.loss, *[metric.loss for metric in self.metrics if isinstance(metric, LossMetric)]]
        targets = [form.targets(y, self._width, self.model.dtype, f"y{suffix}") for form in forms]
        check_lengths(rows, targets[0], f"X{suffix}", f"y{suffix}")
        return Dataset(rows, targets)

    def _validation_data(self, data: tuple[Any, Any] | None) -> Dataset | None:
        if data is None:
            return None
        if not isinstance(data, (tuple, list)) or len(data) != 2:
            raise ValueError(f"validation_data must be a pair (X, y), got {type(data).__name__}")
        return self._data(*data, suffix=" of validation_data")

    def _split(self, data: Dataset, fraction: float) -> tuple[Dataset, Dataset]:
        """Training and validation examples, in shares of each class where there are classes."""
        if isinstance(fraction, bool) or not isinstance(fraction, (int, float)) or not 0 < fraction < 1:
            raise ValueError(f"validation_split must be a number between 0 and 1, got {fraction!r}")
        y = data.targets[0].array
        classes = y.dtype == np.int64 or bool(np.isin(y, (-1.0, 0.0, 1.0)).all())
        train, held_back = train_validation_split(data.rows, y, fraction, seed=self.seed, stratify=classes)
        return data.take(train), data.take(held_back)

    def _run(self, data: Dataset, batch: int, shuffle: bool) -> Any:
        """What a call of ``fit`` goes through: steps along gradients, or what the optimizer brings along instead."""
        self._check_optimizer(len(data), batch)
        return getattr(self.optimizer, "training_run", _Run)(self, data, min(batch, len(data)), shuffle)

    def _check_optimizer(self, n: int, batch: int) -> None:
        if self.optimizer.state is not self._optimizer_state:
            raise ValueError(
                f"optimizer has begun something else since this trainer was made: its state is no longer this model's. Give "
                f"each trainer a {type(self.optimizer).__name__} of its own"
            )
        if self.optimizer.full_batch_only and batch < n:
            can = hasattr(self.optimizer, "allow_mini_batches")
            go_on = ", or tell the optimizer to go on with allow_mini_batches=True" if can else ""
            raise ValueError(
                f"{type(self.optimizer).__name__} needs the gradient of the full batch: {self.optimizer.full_batch_reason}. "
                f"Got batch_size={batch} for {n} rows; take batch_size={n}{go_on}"
            )

    def _evaluate(self, data: Dataset) -> dict[str, float]:
        capacity = min(1 << (len(data) - 1).bit_length(), EVALUATION_ROWS)
        program = self._program(evaluation_program, capacity, data)
        steps = -(-len(data) // capacity)
        done, sums = program.run(data, last_step=steps, batch=capacity)
        means = sums.sum(axis=0) / len(data) if done == steps else np.full(len(self.columns) + 1, math.nan)
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

    def _program(self, compile: Callable[[Trainer, int, Dataset], StepProgram], capacity: int, data: Dataset) -> StepProgram:
        """Compiled for batches of at most ``capacity`` and this kind of targets; once."""
        key = (compile, capacity, data.kinds)
        if key not in self._compiled:
            self._compiled[key] = compile(self, capacity, data)
        return self._compiled[key]


class _Run:
    """One call of ``fit``: knows where in which epoch it stands, and runs the steps in portions of about 50 ms."""

    def __init__(self, trainer: Trainer, data: Dataset, batch: int, shuffle: bool) -> None:
        self.trainer, self.data, self.batch, self.shuffle = trainer, data, batch, shuffle
        self.per_epoch = -(-len(data) // batch)
        self.program = trainer._program(training_program, batch, data)
        self.failure: DivergenceError | None = None

    def advance(
        self, epochs: int, interrupted: Callable[[], bool], progress: Callable[[float], None] | None
    ) -> list[dict[str, float]]:
        """Run at most ``epochs`` epochs, one at least; the running means of each that was finished.

        Fewer if interrupted, or if the training diverged: then ``failure`` says so.
        """
        trainer, pace = self.trainer, self.program.pace
        _, wanted = pace.plan()
        epochs = max(1, min(epochs, wanted // self.per_epoch))
        steps = epochs * self.per_epoch
        order = None
        if self.shuffle:
            order = _kernels.shuffled_orders(len(self.data), epochs, trainer.seed, trainer.epochs_done)
        sums, done = [], 0
        while done < steps and not self.failure and not (done and interrupted()):
            threads, wanted = pace.plan()
            sums.append(self._steps(order, done, min(steps - done, wanted), threads))
            done += len(sums[-1])
            if progress and epochs == 1:
                progress(done / steps)
        whole = done // self.per_epoch
        table = np.concatenate(sums)[: whole * self.per_epoch].reshape(whole, self.per_epoch, len(trainer.columns) + 1)
        means = table.sum(axis=1) / len(self.data)
        means[:, -1] = table[:, :, -1].mean(axis=1)  # the penalty is no mean over examples
        return [trainer._row("running_", row) for row in means]

    def _steps(self, order: Array | None, first: int, count: int, threads: int) -> Array:
        """Run ``count`` steps; the sums of those that were completed."""
        optimizer = self.trainer.optimizer
        coefficients = optimizer.coefficients(count, self.per_epoch)
        offset = optimizer.step_count - first
        start = time.perf_counter()
        try:
            done, sums = self.program.run(
                self.data, first_step=first, last_step=first + count, batch=self.batch, order=order,
                coefficients=coefficients, step_offset=offset, threads=threads,
            )  # fmt: skip
        except BaseException:  # from Python code in the network: the steps before it count
            optimizer.advance(self.program.compiled.steps_done, self.per_epoch)
            raise
        self.program.pace.record(threads, done, time.perf_counter() - start)
        optimizer.advance(done, self.per_epoch)
        if done < count:
            self.failure = self._diverged(first + done, sums[done])
        return sums[:done]

    def close(self) -> None:
        """At the end of ``fit``: nothing to do."""

    def _diverged(self, step: int, sums: Array) -> DivergenceError:
        """Says where the first number that is not finite appeared."""
        trainer = self.trainer
        epoch, step = trainer.epochs_done + step // self.per_epoch + 1, step % self.per_epoch + 1
        lr = trainer.optimizer.hyper_values(1, self.per_epoch).get("lr")
        rate = "" if lr is None else f" with lr = {float(lr[0]):g}"
        return DivergenceError(
            f"training diverged in epoch {epoch}, step {step}{rate}: {self._place(sums)}. "
            "The last finite parameters are in place; try a smaller learning rate, scaled data or gradient clipping"
        )

    def _place(self, sums: Array) -> str:
        if not math.isfinite(sums[0]):
            bad = [signal.name for signal in self.program.recording.tape.signals if not np.isfinite(signal.value).all()]
            return f"the loss is {sums[0]}" + (f", first in the output of layer {bad[0]}" if bad else "")
        if not math.isfinite(sums[-1]):
            return f"the penalty is {sums[-1]}"
        for layer in self.trainer.model.layers:
            for name in layer.parameters:
                if not np.isfinite(getattr(layer, f"{name}_grad")).all():
                    return f"the gradient of {layer.name}.{name} is not finite"
        return "the step of the optimizer is not finite"


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


def _callbacks(callbacks: Any) -> list[Callback]:
    if not isinstance(callbacks, Iterable):
        raise TypeError(f"callbacks must be a list of Callback objects, got {callbacks!r}")
    result = list(callbacks)
    for callback in result:
        if not isinstance(callback, Callback):
            raise TypeError(f"callbacks must be a list of Callback objects, got {callback!r} in it")
    return result
