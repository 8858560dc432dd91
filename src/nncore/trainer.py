"""The training loop: programs for many steps at a time, and Python between them."""

from __future__ import annotations

import functools
import math
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nncore import losses, optimizers, regularizers, samplers
from nncore import metrics as metric_registry
from nncore.callbacks import Callback
from nncore.clipping import Clipping
from nncore.data.splits import train_validation_split
from nncore.data.validation import check_lengths, check_positive_integer
from nncore.errors import DivergenceError
from nncore.history import History
from nncore.losses import Loss
from nncore.metrics import LossMetric
from nncore.model import Sequential
from nncore.optimizers import Optimizer
from nncore.programs import Dataset, StepProgram, coefficients, evaluation_program, training_program
from nncore.progress import Progress
from nncore.regularizers import Regularizer
from nncore.samplers import Examples, LastLosses, Sampler
from nncore.schedules import Schedule
from nncore.weights import class_labels, class_weights, example_weights

if TYPE_CHECKING:
    from nncore.lr_find import LearningRates

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
    regularizer : Regularizer or mapping, optional
        Of all weights; or a mapping of the names of layers ("dense_1": its weights) and arrays ("dense_1.bias") to a
        Regularizer each. The penalty is part of the loss; the column ``penalty`` shows it alone, ``activity_penalty`` that
        of `ActivityL1` layers.
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
        regularizer: Regularizer | Mapping[str, Regularizer] | None = None, clip: Clipping | None = None,
        metrics: str | Sequence[Any] = (), seed: int = 0,
    ) -> None:  # fmt: skip
        if not isinstance(model, Sequential):
            raise TypeError(f"model must be a Sequential, got {model!r}")
        if not model.parameters.size:
            raise ValueError("model must have parameters to train, got none")
        if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or not 0 <= seed < 2**64:
            raise ValueError(f"seed must be an integer from 0 to 2**64 - 1, got {seed!r}")
        self._compiled: dict[Any, Any] = {}
        self.model, self.loss, self.optimizer = model, loss, optimizers.get(optimizer)
        self.metrics = [metric_registry.get(metric) for metric in ([metrics] if isinstance(metrics, str) else metrics)]
        self.regularizer, self.clip = regularizer, clip
        self.columns = ["loss", *metric_registry.names(self.metrics)]
        self.columns += ["activity_penalty"] * any(layer.penalizes_activity for layer in model.layers)
        self.seed = int(seed)
        self.history = History()
        self.epochs_done = 0
        self.stop_training = self.interrupted = False
        self._width = math.prod(model.output_shape)
        self._last_losses = LastLosses()
        self._callbacks: list[Callback] = []
        self._callback_states: list[dict[str, Any]] = []  # of a checkpoint, for the callbacks of the next fit
        self.optimizer.init_state(model.parameters.size, model.dtype)
        self._optimizer_state = self.optimizer.state
        self._first_config = self.optimizer.config()

    # --- what may be given anew at any time

    @property
    def loss(self) -> Loss:
        """What is minimised. Like ``regularizer`` and ``clip`` it may be assigned: it counts from the next step on."""
        return self._loss

    @loss.setter
    def loss(self, loss: Loss | str | Callable[..., Any]) -> None:
        self._loss = losses.get(loss)
        self._compiled.clear()

    @property
    def regularizer(self) -> Regularizer | None:
        """The penalty, or None."""
        return self._regularizer

    @regularizer.setter
    def regularizer(self, regularizer: Regularizer | Mapping[str, Regularizer] | None) -> None:
        regularizer = regularizers.get(regularizer, self.model)
        if regularizer and regularizer.proximal and "lr" not in self.optimizer.hyperparameters:
            raise ValueError(f"regularizer {regularizer!r} needs an optimizer with a learning rate, got {self.optimizer!r}")
        self._regularizer = regularizer
        self._compiled.clear()

    @property
    def clip(self) -> Clipping | None:
        """How the gradient is clipped, or None."""
        return self._clip

    @clip.setter
    def clip(self, clip: Clipping | None) -> None:
        if clip is not None and not isinstance(clip, Clipping):
            raise TypeError(f"clip must be a Clipping such as nn.ClipGlobalNorm(5.0), got {clip!r}")
        self._clip = clip
        self._compiled.clear()

    # --- the public loop

    def fit(
        self, X: Any, y: Any, *, epochs: int = 1, batch_size: int | None = None, last_batch: str = "keep", shuffle: bool = True,
        sampler: Sampler | str | None = None, sample_weight: Any = None, class_weight: Any = None,
        validation_data: tuple[Any, ...] | None = None, validation_split: float = 0.0, exact_loss: bool = False,
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
        last_batch : {"keep", "merge"}
            What becomes of a last batch of a single row, of which batch normalisation cannot take a variance: a step of its
            own, refused if a layer needs more rows; or it joins the batch before.
        shuffle : bool
            A new order every epoch; otherwise the rows are taken as they come.
        sampler : Sampler or str, optional
            Another choice of examples: see ``nncore.samplers``.
        sample_weight : array_like (n,), optional
            w_i ≥ 0: the loss of a batch is Σ w_i l_i divided by its number of *rows*, as in Keras and as
            ``(w * loss).mean()`` in PyTorch. So weights whose mean is not 1 also scale the steps. Metrics count every
            example alike.
        class_weight : mapping of label to number, or "balanced", optional
            Weights by class, in training only; they multiply ``sample_weight``. Labels that are left out have weight 1;
            "balanced" is n / (k n_c) for a class with n_c of the n examples of k classes, as in scikit-learn.
        validation_data : (X, y) or (X, y, sample_weight), optional
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
            Beside losses and metrics: ``lr`` and each hyper-parameter that has a schedule, as they were in the epoch's last
            step; with a clip ``grad_norm``, the mean norm of the gradient before it, and ``clipped``, the share of the steps
            in which it acted.

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
        chosen = samplers.get(sampler, shuffle)
        data, validation = self._data(X, y, sample_weight), self._validation_data(validation_data)
        labels = None
        if class_weight is not None or chosen.uses_labels:
            labels = class_labels(y, "class_weight" if class_weight is not None else f"sampler {chosen!r}")
        if validation_split != 0:
            if validation is not None:
                raise ValueError("validation_split and validation_data exclude each other, got both")
            train, held_back = self._split(data, validation_split)
            data, validation, labels = data.take(train), data.take(held_back), None if labels is None else labels[train]
        if class_weight is not None and labels is not None:
            data = data.weighted(class_weights(class_weight, labels, self._width))
        if last_batch not in ("keep", "merge"):
            raise ValueError(f"last_batch must be 'keep' or 'merge', got {last_batch!r}")
        batch_size = batch_size or (len(data) if self.optimizer.full_batch_only else BATCH_SIZE)
        each_epoch = bool(validation or exact_loss or verbose == 2) or any(c.every_epoch for c in callbacks)
        run = self._run(data, batch_size, chosen, labels, merge_last=last_batch == "merge")
        self._take_up(callbacks)
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
                for row, notes in run.advance(1 if each_epoch else last - self.epochs_done, interrupted, within):
                    if exact_loss:
                        row |= self._evaluate(data)
                    if validation is not None:
                        row |= {f"val_{name}": value for name, value in self._evaluate(validation).items()}
                    row |= notes
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

    def partial_fit(self, X: Any, y: Any, *, batch_size: int | None = None, sample_weight: Any = None) -> dict[str, float]:
        """One pass over X in the order given; by default as a single batch. Returns the running loss and metrics.

        For data that arrives or changes over time: the optimizer's state carries over from call to call.
        """
        data = self._data(X, y, sample_weight)
        batch = len(data) if batch_size is None else check_positive_integer(batch_size, "batch_size")
        with closing(self._run(data, batch, samplers.Sequential())) as run:
            rows = run.advance(1, lambda: False, None)
        if run.failure:
            raise run.failure
        self.epochs_done += 1
        return rows[0][0]

    def lr_find(
        self, X: Any, y: Any, *, start: float = 1e-6, end: float = 10.0, steps: int = 200, batch_size: int = 32,
        smoothing: float = 0.9, divergence: float = 4.0,
    ) -> LearningRates:  # fmt: skip
        """Sweep the learning rate over one short training and see where the loss falls and where it explodes.

        Step t = 0, 1, … of the sweep is taken with the rate start · (end/start)^(t/(steps − 1)), on shuffled batches, from the
        parameters and with the optimizer's state as they are. It runs on a copy: this trainer, its model, its optimizer and
        its history stay as they are, to the bit.

        Parameters
        ----------
        X, y, batch_size : as for ``fit``
        start, end : float
            The rates, 0 < start < end.
        steps : int
            At most so many.
        smoothing : float
            β ∈ [0, 1) of s ← β s + (1 − β) l; the curve that is judged is s/(1 − β^(t+1)), in which the start at 0 is
            corrected.
        divergence : float
            Stop when that curve is above so many times its least value, or when the loss is not finite.

        Returns
        -------
        LearningRates
            ``lrs``, ``losses``, ``smoothed``, ``suggestion``, ``steepest``, ``plot()``.

        References
        ----------
        Smith: Cyclical learning rates for training neural networks (2017).

        Examples
        --------
        >>> import nncore as nn
        >>> X, y = nn.data.two_spirals(400)
        >>> model = nn.Sequential([nn.Dense(32), nn.SiLU(), nn.Dense(2)], input_shape=2)
        >>> trainer = nn.Trainer(model, loss="softmax_cross_entropy", optimizer="adam")
        >>> found = trainer.lr_find(X, y)
        >>> 1e-4 < found.suggestion < 0.1
        True
        """
        from nncore import lr_find

        return lr_find.sweep(self, X, y, start, end, steps, batch_size, smoothing, divergence)

    def evaluate(self, X: Any, y: Any, *, sample_weight: Any = None) -> dict[str, float]:
        """Loss and metrics of the rows of X, in inference mode: the mean over the examples.

        With ``sample_weight`` the loss is Σ w_i l_i / n, as in ``fit``; metrics count every example alike.

        Examples
        --------
        >>> import numpy as np
        >>> import nncore as nn
        >>> trainer = nn.Trainer(nn.Sequential([nn.Dense(1, weight_init="zeros")], input_shape=3), loss="mean_squared_error")
        >>> trainer.evaluate(np.ones((5, 3)), np.full(5, 2.0))
        {'loss': 4.0}
        """
        return self._evaluate(self._data(X, y, sample_weight))

    # --- averaged parameters

    @contextmanager
    def averaged(self) -> Iterator[Trainer]:
        """Within, the model holds the averaged parameters of an optimizer such as `EMA`; afterwards its own again.

        Do not train within. Running statistics are at first those of the parameters' own way; `update_batch_statistics` makes
        them those of the averages, until the end.

        Examples
        --------
        >>> import numpy as np
        >>> import nncore as nn
        >>> X, y = np.eye(4), np.arange(4.0)
        >>> model = nn.Sequential([nn.Dense(1)], input_shape=4)
        >>> trainer = nn.Trainer(model, "squared_error", nn.EMA(nn.SGD(lr=0.5), decay=0.9))
        >>> history = trainer.fit(X, y, epochs=50, batch_size=1, verbose=0)
        >>> with trainer.averaged():
        ...     result = trainer.evaluate(X, y)
        """
        theta, state, steps = self.model.parameters, self.model.state, self.optimizer.step_count
        kept = theta.copy(), state.copy()
        self.use_averages()
        try:
            yield self
        finally:
            theta[...], state[...] = kept
        if self.optimizer.step_count != steps:
            raise RuntimeError("averaged: the model was trained within, on the averages; that training is undone")

    def use_averages(self) -> None:
        """Give the model the averaged parameters of an optimizer such as `EMA`, for good. Training would go on from them."""
        averages = getattr(self.optimizer, "averaged_parameters", None)
        if averages is None:
            raise ValueError(f"optimizer must keep averages, such as nn.EMA(nn.Adam()), got {self.optimizer!r}")
        self.model.parameters[...] = averages

    def update_batch_statistics(self, X: Any, *, batch_size: int = 32) -> None:
        """Replace the running averages of batch normalisation by the population statistics of X.

        Of the network as it is, over the batches of X in the order given, with m numbers a channel in a batch,

            running_mean = E[μ_B],   running_var = E[m/(m − 1) σ²_B],

        each batch weighted by its rows. A last batch of one row joins the batch before. Frozen layers are left alone.

        Parameters
        ----------
        X : array_like, ``(n, *input_shape)``
        batch_size : int

        Raises
        ------
        ValueError
            If there is no such layer, X does not fit, or a statistic is not finite; then nothing has changed.

        Notes
        -----
        Source: Ioffe, Szegedy (2015), algorithm 2.

        Examples
        --------
        >>> import numpy as np
        >>> import nncore as nn
        >>> model = nn.Sequential([nn.BatchNorm(), nn.Dense(1)], input_shape=1)
        >>> nn.Trainer(model, "squared_error").update_batch_statistics([[1.0], [3.0]])
        >>> model.layers[0].running_mean, model.layers[0].running_var
        (array([2.], dtype=float32), array([2.], dtype=float32))
        """
        from nncore import batch_statistics

        batch_statistics.update_batch_statistics(self.model, X, batch_size)

    # --- saving

    def save(self, path: str | PathLike[str]) -> None:
        """Write a checkpoint: the model, the optimizer and its state, the history and where the training stands.

        The callbacks of the ``fit`` under way, or of the last one, are in it with what they have counted and kept.
        """
        from nncore import storage

        storage.save_trainer(self, path)

    def restore(self, path: str | PathLike[str]) -> None:
        """Go on from a checkpoint of a trainer of the same kind: the same bits as if training had never stopped.

        Model, loss, regularizer, clip and optimizer must be those of the checkpoint. Numbers and schedules of the optimizer
        must be those with which either trainer began or which the checkpoint has now, as they may have been assigned since, by
        `ReduceLROnPlateau` for instance; they become the checkpoint's. To go on with others assign them afterwards. Callbacks
        of the next ``fit`` go on counting where those of the same class stopped.

        Raises
        ------
        ValueError
            If the file is no checkpoint or one of another training; says what differs. Nothing is changed.
        """
        from nncore import storage

        storage.restore_trainer(self, path)

    def __repr__(self) -> str:
        return f"Trainer({self.model!r}, loss={self.loss!r}, optimizer={self.optimizer!r}, epochs_done={self.epochs_done})"

    # --- inside

    def _data(self, X: Any, y: Any, weights: Any = None, *, suffix: str = "") -> Dataset:
        rows, y = self.model.scaled_rows(X, f"X{suffix}"), self.model.scaled_targets(y)
        forms = [self.loss, *[metric.loss for metric in self.metrics if isinstance(metric, LossMetric)]]
        targets = [form.targets(y, self._width, self.model.dtype, f"y{suffix}") for form in forms]
        check_lengths(rows, targets[0], f"X{suffix}", f"y{suffix}")
        if weights is not None:
            weights = example_weights(weights, len(rows), f"sample_weight{suffix}")
        return Dataset(rows, targets, weights)

    def _validation_data(self, data: tuple[Any, ...] | None) -> Dataset | None:
        if data is None:
            return None
        if not isinstance(data, (tuple, list)) or len(data) not in (2, 3):
            raise ValueError(f"validation_data must be a pair (X, y) or (X, y, sample_weight), got {type(data).__name__}")
        X, y, *weights = data
        return self._data(X, y, *weights, suffix=" of validation_data")

    def _split(self, data: Dataset, fraction: float) -> tuple[Array, Array]:
        """Numbers of the training and of the validation examples, in shares of each class where there are classes."""
        if isinstance(fraction, bool) or not isinstance(fraction, (int, float)) or not 0 < fraction < 1:
            raise ValueError(f"validation_split must be a number between 0 and 1, got {fraction!r}")
        y = data.targets[0].array
        classes = y.dtype == np.int64 or bool(np.isin(y, (-1.0, 0.0, 1.0)).all())
        return train_validation_split(data.rows, y, fraction, seed=self.seed, stratify=classes)

    def _take_up(self, callbacks: list[Callback]) -> None:
        """The callbacks of this fit; each goes on with the first state of its class that a checkpoint brought."""
        waiting, self._callback_states = self._callback_states, []
        for callback in callbacks:
            mine = next((entry for entry in waiting if entry["class"] == type(callback).__name__), None)
            if mine:
                waiting.remove(mine)
                try:
                    callback.load_state_dict(mine["state"])
                except (KeyError, TypeError) as error:
                    raise ValueError(f"the checkpoint holds no state that {mine['class']} can take up: {error!r}") from error
        self._callbacks = callbacks

    def _run(
        self, data: Dataset, batch: int, sampler: Sampler, labels: Array | None = None, *, merge_last: bool = False
    ) -> Any:  # fmt: skip
        """What a call of ``fit`` goes through: steps along gradients, or what the optimizer brings along instead."""
        self._check_optimizer(len(data), batch)
        if hasattr(self.optimizer, "training_run"):
            return self.optimizer.training_run(self, data, sampler)
        batch = min(batch, len(data))
        merge = merge_last and batch > 1 and len(data) % batch == 1
        if not merge:
            hint = "; last_batch='merge' joins it to the batch before" if 1 < batch < len(data) else ""
            self.model.check_batches(len(data), batch, training=True, hint=hint)
        return Run(self, data, batch, sampler, labels, merge=merge)

    def _check_optimizer(self, n: int, batch: int) -> None:
        if self.optimizer.state is not self._optimizer_state:
            raise ValueError(
                f"optimizer has begun something else since this trainer was made: its state is no longer this model's. Give "
                f"each trainer a {self.optimizer.title} of its own"
            )
        if self.optimizer.full_batch_only and batch < n:
            can = hasattr(self.optimizer, "allow_mini_batches")
            go_on = ", or tell the optimizer to go on with allow_mini_batches=True" if can else ""
            raise ValueError(
                f"{self.optimizer.title} needs the gradient of the full batch: {self.optimizer.full_batch_reason}. "
                f"Got batch_size={batch} for {n} rows; take batch_size={n}{go_on}"
            )

    def _evaluate(self, data: Dataset, losses: Array | None = None) -> dict[str, float]:
        """The row of ``evaluate``; the loss of each example in ``losses``."""
        capacity = min(1 << (len(data) - 1).bit_length(), EVALUATION_ROWS)
        self.model.check_batches(len(data), min(capacity, len(data)), training=False)
        program = self._program(evaluation_program, capacity, data)
        steps = -(-len(data) // capacity)
        done, sums = program.run(data, last_step=steps, batch=capacity, examples_out=losses)
        means = sums.sum(axis=0) / len(data) if done == steps else np.full(len(self.columns) + 1, math.nan)
        if self.regularizer:
            means[-1] = self.regularizer.value(self.model)
        return self._row("", means)

    def _row(self, prefix: str, means: Array) -> dict[str, float]:
        """Named columns: loss, metrics, and the penalties, which are also part of the loss."""
        row = dict(zip([f"{prefix}{name}" for name in self.columns], means.tolist(), strict=False))
        row[f"{prefix}loss"] += row.get(f"{prefix}activity_penalty", 0.0)
        if self.regularizer:
            row[f"{prefix}loss"] += float(means[-1])
            row[f"{prefix}penalty"] = float(means[-1])
        return row

    def _program(self, compile: Callable[[Trainer, int, Dataset], StepProgram], capacity: int, data: Dataset) -> StepProgram:
        """Compiled for batches of at most ``capacity`` and this kind of targets; once."""
        key = (compile, capacity, data.kinds, repr(self.loss), repr(self.regularizer), repr(self.clip), self.model.variant)
        if key not in self._compiled:
            self._compiled[key] = compile(self, capacity, data)
        return self._compiled[key]


class Run:
    """One call of ``fit``: knows where in which epoch it stands, and runs the steps in portions of about 50 ms."""

    def __init__(
        self, trainer: Trainer, data: Dataset, batch: int, sampler: Sampler, labels: Array | None = None,
        merge: bool = False,
    ) -> None:  # fmt: skip
        self.trainer, self.batch, self.sampler, self.merge = trainer, batch, sampler, merge
        self.examples = Examples(len(data), trainer.seed, labels)
        sampler.check(self.examples)
        if sampler.uses_losses:
            self.examples.losses = trainer._last_losses.of(data, lambda losses: trainer._evaluate(data, losses))
        self.unweighted = data  # by the sampler
        self.data = data.weighted(np.ones(len(data))) if sampler.weighs else data
        self.per_epoch = -(-len(data) // batch) - merge
        self.program = trainer._program(training_program, batch + merge, self.data)
        self.failure: DivergenceError | None = None

    def advance(
        self, epochs: int, interrupted: Callable[[], bool], progress: Callable[[float], None] | None
    ) -> list[tuple[dict[str, float], dict[str, float]]]:
        """Run at most ``epochs`` epochs, one at least; of each that was finished the running means, and what else is noted.

        Fewer if interrupted, or if the training diverged: then ``failure`` says so.
        """
        trainer, pace = self.trainer, self.program.pace
        _, wanted = pace.plan()
        epochs = 1 if self.sampler.uses_losses else max(1, min(epochs, wanted // self.per_epoch))
        steps = epochs * self.per_epoch
        order = self.sampler.orders(self.examples, trainer.epochs_done, epochs)
        factors = None
        if self.sampler.weighs:
            factors = example_weights(self.sampler.weights(self.examples), len(self.data), f"weights of {self.sampler!r}")
            self.data = self.unweighted.weighted(factors)
        losses = np.empty(len(self.data)) if self.sampler.uses_losses else None
        hyper = self._hyper_values(steps)
        sums, norms, done = [], [], 0
        while done < steps and not self.failure and not (done and interrupted()):
            threads, wanted = pace.plan()
            some, norm = self.steps(order, done, min(steps - done, wanted), threads, losses)
            sums.append(some)
            norms.append(norm)
            done += len(some)
            if progress and epochs == 1:
                progress(done / steps)
        whole = done // self.per_epoch
        if losses is not None and order is not None and whole:
            self._keep_losses(order[0], losses, factors)
        table = np.concatenate(sums)[: whole * self.per_epoch].reshape(whole, self.per_epoch, len(trainer.columns) + 1)
        means = table.sum(axis=1) / len(self.data)
        means[:, -1] = table[:, :, -1].mean(axis=1)  # the penalty is no mean over examples
        notes = hyper
        if trainer.clip:
            squares, acted = (
                np.concatenate(norms)[: whole * self.per_epoch].reshape(whole, self.per_epoch, 2).transpose(2, 0, 1)
            )
            notes |= {"grad_norm": np.sqrt(squares).mean(axis=1), "clipped": (acted > 0).mean(axis=1)}
        rows = [trainer._row("running_", row) for row in means]
        return [(row, {name: float(values[epoch]) for name, values in notes.items()}) for epoch, row in enumerate(rows)]

    def _hyper_values(self, steps: int) -> dict[str, Array]:
        """``lr`` and all that has a schedule, in the last step of each epoch."""
        optimizer = self.trainer.optimizer
        names = [name for name in optimizer.hyperparameters if name == "lr" or isinstance(getattr(optimizer, name), Schedule)]
        values = optimizer.hyper_values(steps, self.per_epoch)
        return {name: values[name][self.per_epoch - 1 :: self.per_epoch] for name in names}

    def _keep_losses(self, order: Array, losses: Array, factors: Array | None) -> None:
        """The loss of each example that the epoch took, without the sampler's factor; the last one of several."""
        known = self.examples.losses
        assert known is not None
        if factors is not None:
            counted = factors[order] > 0
            order, losses = order[counted], losses[counted] / factors[order[counted]]
        known[order] = losses

    def steps(
        self, order: Array | None, first: int, count: int, threads: int, losses: Array | None = None
    ) -> tuple[Array, Array]:  # fmt: skip
        """Run ``count`` steps; of those that were completed the sums, and the square of the norm and whether the clip acted."""
        optimizer = self.trainer.optimizer
        layers = self.program.recording.tape.scheduled_values(optimizer.step_count, count, self.per_epoch)
        table = np.hstack([coefficients(self.trainer, count, self.per_epoch), layers])
        offset = optimizer.step_count - first
        norms = np.empty((count, 2 if self.trainer.clip else 0))
        start = time.perf_counter()
        try:
            done, sums = self.program.run(
                self.data, first_step=first, last_step=first + count, batch=self.batch, merge=self.merge, order=order,
                coefficients=table, prepared=first > 0 and not optimizer.enter, step_offset=offset, threads=threads,
                examples_out=losses, notes_out=norms if norms.size else None,
            )  # fmt: skip
        except BaseException:  # from Python code in the network: the steps before it count
            optimizer.advance(self.program.compiled.steps_done, self.per_epoch)
            raise
        self.program.pace.record(threads, done, time.perf_counter() - start)
        optimizer.advance(done, self.per_epoch)
        if done < count:
            self.failure = self._diverged(first + done, sums[done])
        return sums[:done], norms[:done]

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
