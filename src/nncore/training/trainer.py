"""The training loop: programs for many steps at a time, and Python between them."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from numpy.typing import NDArray

from nncore import _kernels, samplers
from nncore._messages import shown
from nncore._utils.fields import assignments, choice, count, flag, number
from nncore._utils.files import Source, Target
from nncore._utils.interrupt import Interrupt
from nncore.callbacks import Callback
from nncore.callbacks.callback_list import CallbackList
from nncore.data.augmentation import Augment
from nncore.distributed import MPI
from nncore.distributed.ranks import Ranks
from nncore.history import History
from nncore.optimizers import GradientOptimizer
from nncore.samplers import Sampler
from nncore.training import sharded
from nncore.training.base import BATCH_SIZE, BaseTrainer
from nncore.training.batch_steps import BatchSteps
from nncore.training.checkpoint import restore_trainer, save_trainer
from nncore.training.dataset import Dataset
from nncore.training.fit import FitCall, fit_data
from nncore.training.loop import Loop, TrainingLoop
from nncore.training.progress import Progress

if TYPE_CHECKING:
    from nncore.training.lr_find import LearningRates
    from nncore.training.profiling import Profile

__all__ = ["Trainer"]

Array = NDArray[Any]
P = ParamSpec("P")
T = TypeVar("T")


def _one_at_a_time(method: Callable[P, T]) -> Callable[P, T]:
    """For a method that trains: refused, before anything has changed, while another call of this trainer does."""

    @functools.wraps(method)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        claim: _kernels.Claim = vars(args[0])["_claim"]
        claim.check()
        with claim:
            return method(*args, **kwargs)

    return call


class Trainer(BaseTrainer):
    """Trains a model: loss, optimizer, metrics, and the loop that puts them together.

    A step takes the mean gradient over a batch and updates θ; an epoch is one pass over the data, in batches, the last of
    which may be smaller. Many steps run in one call of the compiled program.

    Parameters
    ----------
    model : Sequential
        For an `Ensemble` this makes an `EnsembleTrainer`.
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
    constraint : Constraint or mapping, optional
        What the weights are projected onto after each step, such as ``nn.MaxNorm(3.0)``; by names as ``regularizer``.
    lr_factors : mapping of str to float, optional
        Factors of the learning rate for layers ("dense_1": all its arrays) and arrays ("dense_1.bias", ``"*.bias"``); those
        that stand for the same array multiply. With 0 an array is frozen, and no constraint projects it.
    decay_factors : mapping of str to float, optional
        As ``lr_factors``, of the decoupled decay of `AdamW`, `Lion` and `WeightDecay`. Arrays that are not named have 1 if they
        are weights, and 0, no decay, if they are biases or parameters of normalizations.
    metrics : str or sequence
        ``"accuracy"``, names of losses, or losses. Accuracy is the share of examples whose class is right: the largest output
        for labels and for rows that sum to 1; with one output, a threshold between the two classes. Other rows tell several
        labels at once: all of them must be right (subset accuracy, scikit-learn's ``accuracy_score``).
    seed : int
        Of the order of the examples: epoch e is shuffled by (seed, e) alone.

    Attributes
    ----------
    history : History
        One row per epoch, over all calls of ``fit``.
    epochs_done : int
    stop_training : bool
        A callback sets it to end ``fit`` after the epoch; a signal handler too, which cannot save in the middle of one.
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

    if not TYPE_CHECKING:  # type checkers read the arguments of the constructor

        def __new__(cls, model: Any = None, *args: Any, **kwargs: Any) -> Any:
            """For an `Ensemble` an `EnsembleTrainer`."""
            make = getattr(type(model), "trainer_class", None)
            return super().__new__(cls) if make is None else make(model, *args, **kwargs)

    # --- the public loop

    @_one_at_a_time
    def fit(
        self, X: Any, y: Any, *, epochs: int = 1, batch_size: int | None = None, accumulate: int = 1, last_batch: str = "keep",
        shuffle: bool = True, sampler: Sampler | str | None = None, sample_weight: Any = None, class_weight: Any = None,
        validation_data: tuple[Any, ...] | None = None, validation_split: float = 0.0, exact_loss: bool = False,
        augment: Augment | None = None, callbacks: Iterable[Callback] | None = (), verbose: int = 1,
        distributed: MPI | None = None,
    ) -> History:  # fmt: skip
        """Train for some epochs.

        Parameters
        ----------
        X : array_like, ``(n, *input_shape)``
            May be memory-mapped; copied only if its dtype or layout does not fit, for a ``validation_split`` neither. A data
            frame (pandas, polars) with numeric, boolean or nullable columns is converted; if its columns have names, the model
            keeps them as ``feature_names`` and refuses frames with others, or in another order. Or a sparse matrix of
            SciPy, (n, inputs), best in CSR, to which other formats are converted: it stays sparse. A first layer `SparseDense`
            reads its numbers only, for others the rows of a batch are written out; results are bit-identical to those of the
            dense matrix. Its arrays may be memory-mapped too. `evaluate`, `partial_fit` and the model's passes take it; scalers
            of the model do not.
        y : array_like
            Integer labels (n,), one-hot or soft rows (n, outputs), or numbers. Names of columns are kept as ``target_names``.
        epochs, batch_size : int
            ``batch_size=1`` is stochastic gradient descent, ``batch_size=len(X)`` batch gradient descent. Default 32; all rows
            for optimizers that need the full batch. For those of `nncore.second_order` an epoch is an iteration.
        accumulate : int
            Batches per step, whose gradients are accumulated: the step is that of a batch of ``accumulate * batch_size`` rows,
            in the memory of ``batch_size`` rows. Only batch normalization sees a difference: it has the statistics of each
            batch. The last step of an epoch may have fewer batches; its gradient is the mean over its rows, as always.
        last_batch : {"keep", "merge", "drop"}
            ``"keep"``: a last batch of fewer than ``batch_size`` rows is a step of its own, refused if a layer needs more
            rows. ``"merge"``: one of a single row, of which batch normalization cannot take a variance, joins the batch before.
            ``"drop"``: the epoch ends before it, as with PyTorch's ``drop_last``; losses and metrics of the epoch are means
            over the rows that were taken. With shuffling other rows are left out in each epoch.
        shuffle : bool
            A new order every epoch; otherwise the rows are taken as they come.
        sampler : Sampler or str, optional
            Another choice of examples: see ``nncore.samplers``.
        sample_weight : array_like (n,), optional
            w_i ≥ 0: the loss of a batch is Σ w_i l_i divided by its number of *rows*, as in Keras and as
            ``(w * loss).mean()`` in PyTorch. So weights whose mean is not 1 also scale the steps. Metrics count every
            example alike. An example of weight 0 is left out of the loss and its gradient, also where its own are infinite or
            NaN; what hidden layers compute for it must be finite, as their backward pass multiplies the gradient of 0 by it.
            Not all may be 0, nor all of the rows that a validation split trains on or holds back. A batch in which all are 0
            is a step along a gradient of 0: penalties, weight decay and momentum still act.
        class_weight : mapping of label to number, or "balanced", optional
            Weights by class, in training only; they multiply ``sample_weight``. Labels that are left out have weight 1;
            "balanced" is W / (k W_c) for a class whose examples have a total weight of W_c (without ``sample_weight``: their
            number) of the W of all k classes, as in scikit-learn.
        validation_data : (X, y) or (X, y, sample_weight), optional
            Evaluated after every epoch: columns ``val_loss`` and so on.
        validation_split : float
            Instead: this share of the data is set aside, drawn at random; stratified by label where the targets are classes:
            labels, one-hot rows, or with one output 0 and 1 or ±1. The other rows keep their order: with ``shuffle=False`` and
            for samplers they are taken as they come. Both parts are row numbers of the same arrays, which are not copied,
            except for optimizers of `nncore.second_order`.
        exact_loss : bool
            Also evaluate the training data after every epoch, without class weights: columns ``loss`` and so on, comparable
            with ``val_loss``. The columns ``running_…`` are means over the epoch while the parameters were changing.
        augment : data.Augment, optional
            Random changes of images, others in each epoch, which depend on the trainer's seed, the epoch and the row of X
            alone. They are made before each epoch, by all threads, in an array of the size of X, and before an ``input_scaler``
            of the model. Only training sees them: validation data, ``exact_loss`` and the first losses of a sampler do not. An
            example that a sampler takes twice is the same both times. Refused for sparse data and for optimizers that need
            the full batch.
        callbacks : iterable of Callback, optional
            If one of them raises, ``on_train_end`` of all is called before the error is raised.
        verbose : {0, 1, 2}
            Silent, a progress line, one line per epoch.
        distributed : distributed.MPI, optional
            Share each batch with other processes, on this or other machines, that make the same call on the same data: see
            `distributed.MPI`. ``batch_size`` is that of all together, a multiple of the shards or all rows. The step is that of
            one process, up to rounding; batch normalization has the statistics of each shard, and its running averages move
            once per shard, in their order. ``accumulate`` and optimizers of `nncore.second_order` are refused. All ranks have
            the same history. Callbacks run on each rank, with ``trainer.rank``; only rank 0 shows progress, and only
            there do `save` to a path, `ModelCheckpoint` and `CSVLogger` write. Ctrl-C on one rank ends all after
            the same step.

        Returns
        -------
        History
            Beside losses and metrics: ``lr`` and each hyper-parameter that has a schedule, as they were in the epoch's last
            step; with a clip ``grad_norm``, the mean norm of the gradient before it, and ``clipped``, the fraction of the steps
            in which it acted.

        Raises
        ------
        ValueError, TypeError
            If data and network do not fit, before any parameter has changed.
        DivergenceError
            If the loss stops being finite; the last finite parameters stay in place, or what callbacks put there.
        RuntimeError
            With ``distributed``, if another rank raised an error; it names the rank and the error.

        Notes
        -----
        Ctrl-C ends the training after the steps under way, or leaves out the evaluation under way; ``history`` and the model
        hold what was reached, and ``interrupted`` is True. Pressed twice within two seconds it then raises KeyboardInterrupt,
        so that a loop over many fits, or a search that calls ``fit``, can be left; even then model, history and files are
        whole. An iteration of `nncore.second_order` is then left within an evaluation of the loss or a product, and does not
        count; only a factorization of LAPACK is finished first.

        For a time limit let a signal handler, or a callback, set ``stop_training``. A handler that raises ends the training
        between two steps, all of which count, but the epochs of the last 50 ms or so have no rows in ``history``: which of
        them were complete is not known then. An iteration of `nncore.second_order` that is under way is undone.

        One call trains at a time. Other threads may predict, evaluate and multiply with curvature matrices meanwhile: they see
        the parameters as they are, perhaps in the middle of a step. Copies and files of the model wait for the end of a step,
        as does ``model.lock``, and those of the trainer for the end of an epoch; gradients take turns with the training, and
        with layers in Python so do predictions and evaluations. Where Python code in the layers or losses of two models works
        on each other's model in two threads (copies, saves, trains or differentiates it, or predicts with layers in Python),
        so that both would wait forever, RuntimeError is raised. A forked child gets the model as it was at
        that moment, in the middle of a step if another thread was training it. If Python code within a program forks and the
        program runs on several threads, the child must end by itself (``os._exit``, ``exec``): where it returns to the program
        it is ended with a message and status 1.

        Examples
        --------
        Texts as counts of words, of which each has few of the thousand:

        >>> import numpy as np, scipy.sparse
        >>> import nncore as nn
        >>> rng = np.random.default_rng(0)
        >>> X = scipy.sparse.csr_matrix(rng.poisson(0.01, (500, 1000)))
        >>> y = (X @ np.repeat([1, -1], 500) > 0).astype(int)
        >>> model = nn.Sequential([nn.SparseDense(2)], input_shape=1000)
        >>> trainer = nn.Trainer(model, "softmax_cross_entropy", nn.Adam(lr=0.05), metrics=["accuracy"])
        >>> history = trainer.fit(X, y, epochs=30, verbose=0)
        >>> trainer.evaluate(X, y)["accuracy"] > 0.95
        True
        """
        with nullcontext() if distributed is None else Ranks(sharded.check_distributed(distributed)) as ranks:
            epochs = count("epochs", epochs)
            batch_size = None if batch_size is None else count("batch_size", batch_size)
            validation_split = number("validation_split", validation_split, 0, below=1)
            callback_list, progress = CallbackList(callbacks), Progress(epochs, 0 if ranks and ranks.rank else verbose)
            data = fit_data(
                self, X, y, sampler=samplers.get(sampler, shuffle), sample_weight=sample_weight, class_weight=class_weight,
                validation_data=validation_data, validation_split=validation_split, augment=augment,
            )  # fmt: skip
            last_batch = choice("last_batch", last_batch, ("keep", "merge", "drop"))
            exact_loss = flag("exact_loss", exact_loss)
            accumulate = count("accumulate", accumulate)
            loop = self._loop(
                data.train, batch_size, data.sampler, data.labels, last_batch=last_batch, accumulate=accumulate, ranks=ranks
            )
            if ranks:
                sharded.ShardedFit(self, data, loop, callback_list, progress, exact_loss, ranks=ranks).run(epochs)
            else:
                FitCall(self, data, loop, callback_list, progress, exact_loss).run(epochs)
        return self.history

    @_one_at_a_time
    def partial_fit(self, X: Any, y: Any, *, batch_size: int | None = None, sample_weight: Any = None) -> dict[str, float]:
        """One pass over X in the order given; by default as a single batch. Returns the running loss and metrics.

        For data that arrives or changes over time: the optimizer's state carries over from call to call.
        """
        data = self._data(X, y, sample_weight)
        n = len(data)
        batch = n if batch_size is None else count("batch_size", batch_size)
        with Interrupt(tolerated=0) as interrupt, self._next_epoch(), self._epoch:
            steps = self._batch_steps(data, n) if batch >= n else None
            loop = steps or self._loop(data, batch, samplers.Sequential())
            self._remember(data)
            if isinstance(loop, BatchSteps):
                row = loop.run(data, interrupt)
                self._count_epochs(bool(row), {})
                return row
            with closing(loop):
                done = loop.run_epochs(1, interrupt, None)
                if loop.failure:
                    raise loop.failure
                self._count_epochs(done.number, {})
        return {name: float(values[0]) for name, values in done.means.items()}

    def lr_find(
        self, X: Any, y: Any, *, start: float = 1e-6, end: float = 10.0, steps: int = 200, batch_size: int = 32,
        smoothing: float = 0.9, divergence: float = 4.0, sample_weight: Any = None,
    ) -> LearningRates:  # fmt: skip
        """Sweep the learning rate over one short training and see where the loss falls and where it explodes.

        Step t = 0, 1, … of the sweep is taken with the rate start · (end/start)^(t/(steps − 1)), on shuffled batches, from the
        parameters and with the optimizer's state as they are. It runs on a copy: this trainer, its model, its optimizer and
        its history stay as they are, to the bit.

        Parameters
        ----------
        X, y, batch_size, sample_weight : as for ``fit``
            For ``fit(accumulate=k)`` take k times its batch size: the steps are the same.
        start, end : float
            The rates, 0 < start < end.
        steps : int
            The maximum number.
        smoothing : float
            β ∈ [0, 1) of s ← β s + (1 − β) l; the curve that is judged is s/(1 − β^(t+1)), in which the start at 0 is
            corrected.
        divergence : float
            Stop when that curve exceeds this multiple of its minimum, or when the loss is not finite.

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
        from nncore.training import lr_find

        return lr_find.sweep(self, X, y, sample_weight, start, end, steps, batch_size, smoothing, divergence)

    def profile(self, X: Any, y: Any, *, batch_size: int | None = None, steps: int = 50) -> Profile:
        """Where the time of a training step goes: a table of its ops.

        Parameters
        ----------
        X, y, batch_size : as for ``fit``; a last batch that is smaller is left out.
        steps : int
            How many are timed op by op, and as many again on one thread and on all, after a few that warm up.

        Returns
        -------
        Profile
            Shows itself as a table. The steps run on a copy: this trainer, its model, its optimizer and its history stay as
            they are, to the bit.

        Raises
        ------
        ValueError, TypeError
            As ``fit``; and for an optimizer that does not go by training steps, such as those of `nncore.second_order`.

        Examples
        --------
        >>> import nncore as nn
        >>> X, y = nn.data.two_spirals(400)
        >>> model = nn.Sequential([nn.Dense(32), nn.SiLU(), nn.Dense(2)], input_shape=2)
        >>> profile = nn.Trainer(model, "softmax_cross_entropy").profile(X, y, steps=10)
        >>> [op.name for op in profile.ops if op.layer == "dense_1"]
        ['dense_forward', 'dense_backward_weight', 'dense_backward_bias', 'pack_weight']
        """
        from nncore.training import profiling

        return profiling.measure(self, X, y, batch_size, steps)

    def evaluate(self, X: Any, y: Any, *, sample_weight: Any = None) -> dict[str, float]:
        """Loss and metrics of the rows of X, in inference mode: the mean over the examples.

        Penalties are part of the loss, and also in columns of their own. With ``sample_weight`` the loss is Σ w_i l_i / n plus
        these, as in ``fit``; metrics count every example alike.

        Examples
        --------
        >>> import numpy as np
        >>> import nncore as nn
        >>> trainer = nn.Trainer(nn.Sequential([nn.Dense(1, weight_init="zeros")], input_shape=3), loss="mean_squared_error")
        >>> trainer.evaluate(np.ones((5, 3)), np.full(5, 2.0))
        {'loss': 4.0}
        """
        data = self._data(X, y, sample_weight)
        with self.model._carrying():
            return self._measured(data)

    # --- averaged parameters

    @contextmanager
    def averaged(self) -> Iterator[Trainer]:
        """Within, the model holds the averaged parameters of an optimizer such as `EMA`; afterwards its own again.

        Training, `save`, `restore`, copies of the trainer and steps of its optimizer are refused within; so is this while
        another thread trains or holds averages. Save the averages with ``trainer.model.save``. Running statistics are at first
        those of the parameters themselves; `update_batch_statistics` makes them those of the averages, until the end.

        Raises
        ------
        ValueError
            If the optimizer keeps no averages, or has taken no step.
        RuntimeError
            In the middle of an epoch, or if steps by hand have not been finished.

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
        model, averages = self.model, self._averages()
        self._epoch.check()
        with self._claim, self.optimizer._shared.busy, self._averaging:
            kept = model.parameters.copy(), model.state.copy()
            try:  # Ctrl-C may come anywhere from here on
                with self._between_epochs(), model.lock:
                    model.parameters[...] = averages
                yield self
            finally:
                with Interrupt(tolerated=0), model.lock:
                    model.parameters[...], model.state[...] = kept

    def use_averages(self) -> None:
        """Replace the parameters by the averages of an optimizer such as `EMA`: training would continue from them.

        Raises as `averaged`, and also within it.
        """
        averages = self._averages()
        with self._at_rest(), self.model.lock:
            self.model.parameters[...] = averages

    def _averages(self) -> Array:
        """The averaged parameters, of steps that all have been finished."""
        averages: Array | None = getattr(self.optimizer, "averaged_parameters", None)
        if averages is None:
            raise ValueError(f"optimizer must keep averages, such as nn.EMA(nn.Adam()), got {shown(self.optimizer)}")
        self._check_ready()
        return averages

    def update_batch_statistics(self, X: Any, *, batch_size: int = 32) -> None:
        """Replace the running averages of batch normalization by the population statistics of X.

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
        from nncore.model import batch_statistics

        batch_statistics.update_batch_statistics(self.model, X, batch_size)

    # --- saving

    def save(self, path: Target) -> None:
        """Write a checkpoint: the model, the optimizer and its state, the history and where the training stands.

        The callbacks of the ``fit`` under way, or of the last one, are in it with what they have counted and kept.

        Parameters
        ----------
        path : str, path or binary file object
            A file at a path is complete or not there: it is written beside the old one and takes its place. A symbolic link
            stays and the file it points to is replaced; mode and, where permitted, owner stay those of the old file. Pipes and
            devices are written into. During ``fit(distributed=...)`` only rank 0 writes to a path.

        Raises
        ------
        ValueError
            If parameters or state of the model are not finite: such a file would not be read. If the optimizer has begun
            something else.
        RuntimeError
            In the middle of an epoch: from Python code of the network, or from a signal handler that has come there. Assign
            ``stop_training = True`` in it, and save after ``fit``. Within `averaged`. With ``model.lock``, while another thread
            trains.

        Notes
        -----
        Other threads may save at any time: they wait for the end of the epoch under way. So Python code of the network must not
        wait for them; callbacks may. Copies and pickles of the trainer wait and are refused in the same way.
        """
        if not self._rank or not isinstance(path, (str, os.PathLike)):
            save_trainer(self, path)

    def restore(self, path: Source) -> None:
        """Continue from a checkpoint of a trainer of the same kind: the same bits as if training had never stopped.

        Model, loss, regularizer, clip and optimizer must be those of the checkpoint. Numbers and schedules of the optimizer
        must be those with which either trainer began or which the checkpoint has now, as they may have been assigned since, by
        `ReduceLROnPlateau` for instance; they become the checkpoint's. To continue with others, assign them afterwards.
        Parts of your own classes are compared by name, by arguments and by what they do: schedules by some of their values,
        penalties by their strengths, constraints and losses by their constants. A loss that is a function, and layers and
        optimizers of your own, are compared by name and arguments alone. What `fit` is given (sampler, batch size, weights,
        callbacks) is not compared.
        Callbacks of the next ``fit`` continue counting where those of the same class, with the same ``monitor``, stopped;
        others begin anew. A callback may call
        ``restore`` during ``fit``, which then continues from the checkpoint; the callbacks of this ``fit`` keep their state.

        Raises
        ------
        ValueError
            If the file is no checkpoint or one of another training; says what differs. Nothing is changed.
        RuntimeError
            In the middle of an epoch and within `averaged`, as for ``save``, and while another thread trains.

        Notes
        -----
        All is read and checked before anything is put in place, and Ctrl-C waits until that is done. A signal handler of your
        own that raises meanwhile undoes it; only if a second one raises while it is being undone is a part left in place.
        """
        restore_trainer(self, path)

    def __repr__(self) -> str:
        return f"Trainer({self.model!r}, loss={self.loss!r}, optimizer={self.optimizer!r}, epochs_done={self.epochs_done})"

    # --- inside

    def _check_order(self, sampler: Sampler, accumulate: int) -> None:
        """Raise unless batch follows on batch as the data do: layers carry states over."""
        kept = f"for a model that carries states over from batch to batch (stateful={self.model.batch_rows})"
        if not isinstance(self.optimizer, GradientOptimizer):
            raise ValueError(
                f"optimizer must take gradient steps {kept}, got {shown(self.optimizer)}: each of its iterations would begin "
                "at the states that the one before has left, and minimize another function"
            )
        if not isinstance(sampler, samplers.Sequential):
            raise ValueError(f"fit needs shuffle=False {kept}, got the sampler {shown(sampler)}")
        if accumulate > 1:
            raise ValueError(f"accumulate must be 1 {kept}, got {accumulate}; a distributed fit accumulates its shards")

    def _batch_steps(self, data: Dataset, n: int) -> BatchSteps | None:
        """Steps on all n examples of such data at once; the last call's, if they would be the same. None without such steps."""
        asked = n, data.kinds, self._loss, self._regularizer, self._clip, assignments.number
        last = self._last_batch_steps.last
        if last[0] == asked:
            self._check_ready()
            return last[1]
        loop = self._loop(data, n, samplers.Sequential())
        steps = BatchSteps(loop) if isinstance(loop, TrainingLoop) else None
        if steps and self._compiled.last[1] is steps.program:  # all parts are nncore's: see `_program`
            self._last_batch_steps.last = asked, steps
        return steps

    def _loop(
        self, data: Dataset, batch: int | None, sampler: Sampler, labels: Array | None = None, *, last_batch: str = "",
        accumulate: int = 1, ranks: Ranks | None = None,
    ) -> Loop:  # fmt: skip
        """The loop for one call of ``fit``: gradient steps, or full-batch iterations."""
        if ranks:
            if accumulate > 1:
                raise ValueError(
                    f"accumulate must be 1 with distributed, whose shards are accumulated already, got {accumulate}"
                )
            batch = sharded.shard_rows(ranks.shares.shards, batch, len(data), self.optimizer.full_batch_only)
            accumulate = ranks.shares.shards
        part = min(batch or (-(-len(data) // accumulate) if self.optimizer.full_batch_only else BATCH_SIZE), len(data))
        rest = len(data) % part
        whole = min(part * accumulate, len(data)) if ranks else part  # rows of a batch, of which a rank has some shards
        dropped = len(data) % whole if last_batch == "drop" else 0
        self._check_optimizer(len(data), min(part * accumulate, len(data) - dropped))
        if self.model.batch_rows:
            self._check_order(sampler, accumulate)
            self.model.check_batches(len(data) - dropped, part, training=True)
        if not isinstance(self.optimizer, GradientOptimizer):
            from nncore.training.full_batch import FullBatchLoop  # only now: it needs more of SciPy

            if ranks:
                raise ValueError(f"distributed needs an optimizer that takes gradient steps, got {shown(self.optimizer)}")
            if accumulate > 1:
                raise ValueError(f"accumulate must be 1 for {self.optimizer.title}, which takes no batches, got {accumulate}")
            return FullBatchLoop(self, data, sampler)
        batch, merge = min(part * accumulate, len(data)), last_batch == "merge" and 1 in (rest, len(data) % whole)
        if not merge or part == 1:
            can = last_batch and 1 < part < len(data)
            hint = "; last_batch='merge' joins it to the batch before" if can else ""
            self.model.check_batches(len(data) - dropped, part, training=True, hint=hint)
        if ranks:
            return sharded.ShardedLoop(self, data, batch, sampler, labels, part=part, merge=merge, dropped=dropped, ranks=ranks)
        return TrainingLoop(
            self, data, batch, sampler, labels, part=part if part < batch else 0, merge=merge, dropped=dropped
        )  # fmt: skip
