"""Network: a sequence of layers, their parameters in one vector θ, and the compiled passes."""

from __future__ import annotations

import copy
import math
import time
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike

from nncore import _kernels, losses
from nncore._messages import shown
from nncore._utils.arrays import Array, aligned_zeros, overwrite, same_part, several
from nncore._utils.checks import (
    as_numbers,
    as_rows,
    check_column_names,
    check_lengths,
    check_step,
    float_dtype,
    is_sparse,
    names_of_columns,
)
from nncore._utils.fields import Fixed, Sealed, count, flag
from nncore._utils.hints import missing_method
from nncore._utils.interrupt import Interrupt
from nncore._utils.lru import LRUCache
from nncore.data.example_weights import example_weights
from nncore.data.scaler import Scaler
from nncore.data.scaling import attached
from nncore.data.sparse import Rows, SparseRows, as_sparse_rows
from nncore.layers import Layer
from nncore.layers.base import copy_unbound
from nncore.losses import Loss
from nncore.model import layout
from nncore.program.autotune import Autotuner
from nncore.program.compiled import Compiled
from nncore.program.ops import Op
from nncore.program.recording import ModelTape
from nncore.program.stages import parameter_stages, stages
from nncore.program.tape import PARALLEL_FLOPS

if TYPE_CHECKING:
    from typing import Self

__all__ = ["Network"]

FORWARD_ROWS = 1024  # rows per batch of a forward pass,
MOST_FORWARD_ROWS = 16384  # or up to this many if they are too little work for several threads


COPYING: ContextVar[dict[int, Any] | None] = ContextVar("memo", default=None)  # of the copy that is being made
NOTHING = nullcontext()
VECTORS = ("parameters", "gradients", "state")  # of which the layers' arrays are views
MADE = "the model is made", "make a new model"
WITHIN_GRADIENTS = (
    "Python code within a training step or a gradient, such as a layer or a loss, must not compute gradients of the same "
    "model: they are being computed"
)


class Network(Sealed):
    """Base of `Sequential`: θ, scaling, and the compiled forward and backward passes."""

    layers: Fixed[tuple[Layer, ...]] = Fixed(*MADE)  # compiled programs hold their arrays: no layer can be replaced
    dtype: Fixed[np.dtype[Any]] = Fixed(advice="astype returns a converted copy")
    compute_dtype: Fixed[str] = Fixed(*MADE)
    seed: Fixed[int] = Fixed(*MADE)
    input_shape: Fixed[tuple[int, ...]] = Fixed(*MADE)
    output_shape: Fixed[tuple[int, ...]] = Fixed(*MADE)
    lock: Fixed[_kernels.Lock] = Fixed()
    gradients_in_use: Fixed[_kernels.Exclusive] = Fixed()
    parameters: Array
    gradients: Array
    state: Array

    def __init__(
        self, layers: Iterable[Layer], input_shape: int | tuple[int, ...], *, dtype: DTypeLike = "float32",
        compute_dtype: str | None = None, seed: int = 0,
    ) -> None:  # fmt: skip
        if not several(layers):
            raise TypeError(f"layers must be a list of Layer objects, got {shown(layers)}")
        self.layers: tuple[Layer, ...] = tuple(layers)
        self.dtype: np.dtype[Any] = float_dtype(dtype)
        self.compute_dtype: str = layout.checked_compute_dtype(compute_dtype, self.dtype)
        self.seed: int = count("seed", seed, 0)
        self.input_shape: tuple[int, ...] = layout.checked_shape(input_shape)
        layout.check_layers(self.layers)
        layout.name_layers(self.layers)
        size, kept = layout.declare(self.layers, self.input_shape)
        layout.check_sequences(self.layers, self.dtype, self.compute_dtype)
        self.output_shape: tuple[int, ...] = self.layers[-1].output_shape
        for name, numbers in zip(VECTORS, (size, size, kept), strict=True):
            if name not in vars(self):  # a copy has them already
                vars(self)[name] = aligned_zeros(numbers, self.dtype)
        layout.place_arrays(self.layers, self.parameters, self.gradients, self.state)
        layout.draw(self.layers, self.seed)
        self._input_scaler: Scaler | None = None
        self._target_scaler: Scaler | None = None
        self._feature_names: tuple[str, ...] | None = None
        self._target_names: tuple[str, ...] | None = None
        self._recordings = LRUCache()
        mixed = any(layer.batch_dependent_at_inference for layer in self.layers)
        self._most_forward_rows: int = FORWARD_ROWS if mixed else most_forward_rows(size)
        self._cache_lock = _kernels.Lock()
        # Held while code changes parameters, gradients or state (for a few steps at a time) or copies them.
        self.lock: _kernels.Lock = _kernels.Lock()
        self.gradients_in_use: _kernels.Exclusive = _kernels.Exclusive(WITHIN_GRADIENTS)
        for part in (part for layer in self.layers for part in layer.parts):
            vars(part)["owner"] = weakref.ref(self)
        self._basic = frozenset([*vars(self), "_basic", "_made"])  # other attributes belong to a subclass

    if not TYPE_CHECKING:  # for type checkers a misspelled name is an error

        def __setattr__(self, name: str, value: Any) -> None:
            """Copy numbers assigned to a vector into it: the layers' arrays are views into the vectors."""
            if name in VECTORS and name in self.__dict__:
                overwrite(name, self.__dict__[name], value)
            elif "_made" not in self.__dict__:
                object.__setattr__(self, name, value)
            else:
                super().__setattr__(name, value)

    if not TYPE_CHECKING:  # to a type checker it would allow any name
        __getattr__ = missing_method

    def initialize(self, seed: int | None = None) -> None:
        """Draw new initial parameters, from ``seed`` or the model's seed. Each array has a separate generator."""
        seed = self.seed if seed is None else count("seed", seed, 0)
        with self.lock:
            kept = self.parameters.copy(), self.state.copy()
            try:
                layout.draw(self.layers, seed)
            except BaseException:  # raised by a user-defined initializer: nothing has changed
                self.parameters[...], self.state[...] = kept
                raise

    @property
    def input_scaler(self) -> Scaler | None:
        """The scaler of the inputs, or None."""
        return self._input_scaler

    @input_scaler.setter
    def input_scaler(self, scaler: Scaler | None) -> None:
        self._assign("input_scaler", attached(scaler, math.prod(self.input_shape), "input_scaler"))

    @property
    def target_scaler(self) -> Scaler | None:
        """The scaler of the targets, inverted at prediction, or None."""
        return self._target_scaler

    @target_scaler.setter
    def target_scaler(self, scaler: Scaler | None) -> None:
        self._assign("target_scaler", attached(scaler, math.prod(self.output_shape), "target_scaler"))

    @property
    def feature_names(self) -> tuple[str, ...] | None:
        """The names of the columns of the data frame that the model was first trained on, or None.

        From then on, data frames with other names or in another order are refused; arrays, which have no names, are accepted.
        Assign None to forget the names, or assign other names. An ``input_scaler`` also keeps the names that it was fitted on,
        as its ``feature_names_in_``, and a ``target_scaler`` those of the targets.
        """
        return self._feature_names

    @feature_names.setter
    def feature_names(self, names: Iterable[str] | None) -> None:
        self._assign("feature_names", names_of_columns("feature_names", names, math.prod(self.input_shape)))

    @property
    def target_names(self) -> tuple[str, ...] | None:
        """As ``feature_names``, of the columns of y."""
        return self._target_names

    @target_names.setter
    def target_names(self, names: Iterable[str] | None) -> None:
        self._assign("target_names", names_of_columns("target_names", names))

    def _assign(self, name: str, value: Any) -> None:
        """Keep a scaler or names of columns; a member of an ensemble has those of all members like it."""
        of_all = vars(self).get("_in_ensemble")
        if of_all is None:
            vars(self)[f"_{name}"] = value
        elif name.endswith("_scaler"):
            raise AttributeError(
                f"{name} of a member is fixed once it is in an ensemble, got {shown(value)}: assign it to the models of which "
                "the ensemble is made, or to a copy of the member"
            )
        else:
            of_all({f"_{name}": value})

    def scaled_rows(self, X: Any, argument: str = "X", *, empty: bool = False) -> Array:
        """Check X and scale it by the ``input_scaler``, if any: (n, width) in the model's dtype; n may be 0 if ``empty``."""
        check_column_names(X, self._feature_names, argument)
        if self._input_scaler is None:
            return as_rows(X, self.input_shape, self.dtype, argument, empty=empty)
        self._input_scaler.check_names(X, argument)
        array = as_numbers(X, argument)
        if empty and array.shape[:1] == (0,):
            return as_rows(array, self.input_shape, self.dtype, argument, empty=True)
        given = as_rows(array, self.input_shape, array.dtype if array.dtype == self.dtype else np.float64, argument)
        scaled = self._input_scaler.transformed(given, argument).reshape(-1, *self.input_shape)
        return as_rows(scaled, self.input_shape, self.dtype, f"{argument}, scaled by the input_scaler,")

    @property
    def reads_sparse(self) -> bool:
        """Whether the first layer takes the rows of a sparse matrix as they are."""
        return self.layers[0].reads_sparse

    def input_rows(self, X: Any, argument: str = "X", *, empty: bool = False) -> Rows:
        """As `scaled_rows`; a sparse matrix stays sparse, and a first layer that reads sparse rows gets nothing else."""
        if isinstance(X, SparseRows):  # checked before
            return X
        if not is_sparse(X):
            rows = self.scaled_rows(X, argument, empty=empty)
            return SparseRows.of(rows) if self.reads_sparse else rows
        if self._input_scaler is not None:
            raise TypeError(
                f"{argument} must be dense for a model with an input_scaler, which would change its zeros, got a sparse "
                f"{type(X).__name__}: use {argument}.toarray(), or scale it beforehand in a way that keeps zeros"
            )
        return as_sparse_rows(X, self.input_shape, self.dtype, argument, empty=empty)

    def scaled_targets(self, y: Any, argument: str = "y") -> Any:
        """Check the names of the columns of y, and scale it by the ``target_scaler``, if any."""
        check_column_names(y, self._target_names, argument)
        if self._target_scaler is None:
            return y
        self._target_scaler.check_names(y, argument)
        array = as_numbers(y, argument)
        if array.dtype != self.dtype:  # a scaler's result has the dtype of its input
            array = array.astype(np.promote_types(array.dtype, np.float64))
        return self._target_scaler.transformed(array, argument)

    def __getitem__(self, key: int | str) -> Layer:
        """A layer by position or name."""
        if isinstance(key, (int, np.integer)):
            if not -len(self.layers) <= key < len(self.layers):
                raise IndexError(f"no layer {shown(key)}: there are {len(self.layers)}")
            return self.layers[key]
        for layer in self.layers:
            if isinstance(key, str) and layer.name == key:
                return layer
        raise KeyError(f"no layer {shown(key)}: there are {', '.join(str(layer.name) for layer in self.layers)}")

    def _ipython_key_completions_(self) -> list[str]:
        """Completions of ``model["``."""
        return [str(layer.name) for layer in self.layers]

    def copy(self) -> Self:
        """An independent copy of the model."""
        return self.astype(self.dtype, self.compute_dtype)

    def astype(self, dtype: DTypeLike, compute_dtype: str | None = None) -> Self:
        """A copy of the model with converted parameters, whose products are in ``compute_dtype`` (default: ``dtype``).

        ValueError if a number is too large for ``dtype``.
        """
        with np.errstate(over="ignore"):
            other = self._copied(float_dtype(dtype), compute_dtype, {})
        for name in ("parameters", "state") if other.dtype != self.dtype else ():
            numbers = getattr(self, name)
            if (np.isinf(getattr(other, name)) & np.isfinite(numbers)).any():
                largest = np.abs(numbers[np.isfinite(numbers)]).max()
                raise ValueError(f"dtype must hold all {name} of the model, got {other.dtype} for numbers up to {largest:.3g}")
        return other

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return self._copied(self.dtype, self.compute_dtype, memo)

    def _copied(self, dtype: np.dtype[Any], compute_dtype: str | None, memo: dict[int, Any]) -> Self:
        """A deep copy. What refers to this model, its layers or their arrays refers to those of the copy in it."""
        other = memo[id(self)] = object.__new__(type(self))
        for name in VECTORS:
            source = getattr(self, name)
            vector = vars(other)[name] = memo[id(source)] = aligned_zeros(source.size, dtype)
            views = [vars(layer)[view] for layer in self.layers for view in layer._views]
            memo.update({id(view): same_part(view, source, vector) for view in views if np.may_share_memory(view, source)})
        other.__setstate__(self._state(memo) | {"dtype": dtype, "compute_dtype": compute_dtype})
        for layer, twin in zip(self.layers, other.layers, strict=True):
            vars(twin).update({view: memo[id(vars(layer)[view])] for view in layer._views})
        return other

    def __getstate__(self) -> dict[str, Any]:
        """The layers, the numbers, the scalers, the column names, and the attributes of a subclass.

        It is for passing models between processes. For permanent files use ``save``.
        """
        memo = COPYING.get()
        if memo is None or id(self) not in memo:
            memo = {id(self): self}
        names = (
            "input_shape",
            "dtype",
            "compute_dtype",
            "seed",
            "input_scaler",
            "target_scaler",
            "feature_names",
            "target_names",
        )
        layers = copy_unbound(self.layers, memo)
        own = {name: getattr(self, name) for name in names} | {n: v for n, v in vars(self).items() if n not in self._basic}
        with self.lock:
            arrays = {"parameters": self.parameters.copy(), "state": self.state.copy()}
        return {"layers": layers} | arrays | copy.deepcopy(own, memo)

    def _state(self, memo: dict[int, Any]) -> dict[str, Any]:
        """The state of a copy; ``memo``, that of `copy.deepcopy`, has what takes this model's place in it."""
        token = COPYING.set(memo)
        try:
            return self.__getstate__()
        finally:
            COPYING.reset(token)

    def __setstate__(self, state: dict[str, Any]) -> None:
        made = {name: state.pop(name) for name in ("layers", "input_shape", "dtype", "compute_dtype", "seed")}
        Network.__init__(self, **made)  # without calling the constructor of a subclass
        for name, value in state.items():
            setattr(self, name, value)
        self._complete()

    def _cached(self, key: tuple[Any, ...], make: Callable[[], Any]) -> Any:
        """A compiled object from the cache; made if missing."""
        with self._cache_lock:
            return self._recordings.get((*key, self.variant), make)

    @property
    def variant(self) -> tuple[Any, ...]:
        """The properties of all layers that determine which ops they record."""
        return tuple([layer.variant for layer in self.layers])

    @property
    def batch_rows(self) -> int | None:
        """The number of rows that every batch must have, if any."""
        return next((layer.batch_rows for layer in self.layers if layer.batch_rows), None)

    def check_batches(self, rows: int, batch: int, *, training: bool, hint: str = "") -> None:
        """Raise if a layer cannot work on the smallest batch that this number of rows gives."""
        smallest = rows % batch or batch
        for layer in self.layers:
            if layer.batch_rows and not smallest == batch == layer.batch_rows:
                raise ValueError(
                    f"layer {layer.name}, with stateful={layer.batch_rows}, needs batches of {layer.batch_rows} rows, whose "
                    f"states it carries over: got {rows} rows in batches of {batch}{hint}"
                )
            if smallest < layer.smallest_batch(training):
                last = f"the last batch of {rows} rows in batches of {batch} has" if rows > batch else "the batch has"
                raise ValueError(
                    f"layer {layer.name} takes the mean and the variance of a batch and needs at least "
                    f"{layer.smallest_batch(training)} rows: {last} {smallest}{hint}"
                )

    def forward(self, X: Any, *, training: bool = False, step: int = 0) -> Array:
        """The network's output for the rows of X.

        Parameters
        ----------
        X : array_like, ``(n, *input_shape)``, or a sparse matrix of SciPy, (n, inputs)
        training : bool
            Compute as in training (batch statistics, noise), with all rows as one batch.
        step : int
            With ``training``: the training step whose noise is used. The same step has the same noise.

        Returns
        -------
        ndarray, (n, *output_shape)
        """
        rows = self.input_rows(X, empty=not flag("training", training))
        # a power of two, so that few programs serve all numbers of rows
        some = self.batch_rows or min(1 << (len(rows) - 1).bit_length(), self._most_forward_rows)
        capacity = len(rows) if training else some
        return self._passes(rows, 1, capacity, training, training, step)[0]

    def predict(self, X: Any) -> Array:
        """The output for the rows of X in inference mode: ``forward(X)``, in the units of the targets. X may be empty."""
        return self._in_target_units(self.forward(X))

    def predict_samples(self, X: Any, samples: int = 100, *, step: int = 0) -> Array:
        """Outputs with the noise left on (Monte-Carlo dropout), otherwise in inference mode.

        Each sample is the output of a different network, with different units dropped; noise on weights is redrawn for every
        1024 rows. The mean is the average prediction of these networks, the spread shows how much they disagree (Gal,
        Ghahramani: Dropout as a Bayesian approximation, 2016).

        Parameters
        ----------
        X : array_like, ``(n, *input_shape)``
        samples : int
        step : int
            First step of the noise: the same step has the same noise.

        Returns
        -------
        ndarray, (samples, n, *output_shape)

        Examples
        --------
        >>> import numpy as np
        >>> import nncore as nn
        >>> model = nn.Sequential([nn.Dense(50), nn.ReLU(), nn.Dropout(0.5), nn.Dense(1)], input_shape=3)
        >>> y = model.predict_samples(np.ones((4, 3)), samples=1000)
        >>> mean, spread = y.mean(axis=0), y.std(axis=0)
        >>> mean.shape, bool((spread > 0).all())
        ((4, 1), True)
        """
        rows = self.input_rows(X, empty=True)
        if self.batch_rows:
            raise ValueError("predict_samples needs a model that carries no states over: one sample would continue the other")
        capacity = min(1 << (len(rows) - 1).bit_length(), FORWARD_ROWS)
        outputs = self._passes(rows, count("samples", samples), capacity, False, True, step)
        return self._in_target_units(outputs)

    def activations(self, X: Any, *, training: bool = False, step: int = 0) -> dict[str, Array]:
        """Every z and every h: the output of each layer for the rows of X, by layer name, ``"input"`` first.

        ``training`` and ``step`` as for ``forward``.

        Examples
        --------
        >>> import numpy as np
        >>> import nncore as nn
        >>> model = nn.Sequential([nn.Dense(4), nn.ReLU(), nn.Dense(1)], input_shape=2)
        >>> list(model.activations(np.ones((5, 2))))
        ['input', 'dense_1', 'relu_1', 'dense_2']
        """
        rows = self.input_rows(X)
        self.check_batches(len(rows), len(rows), training=flag("training", training))
        recording = ModelTape.forward(self, len(rows), training=training, fused=False, sparse=isinstance(rows, SparseRows))
        ops = stages([recording.gather, *recording.tape.forward])
        compiled = Compiled(recording.tape, ops, before=recording.prepare())
        with self._carrying():
            compiled.run(compiled.bind(rows), examples=len(rows), batch=len(rows), step_offset=check_step(step))
        signals = [recording.input] * (not self.reads_sparse) + recording.tape.signals
        return {signal.name: signal.value.reshape(len(rows), *signal.shape) for signal in signals}

    def _passes(self, rows: Rows, count: int, capacity: int, training: bool, noise: bool, step: int) -> Array:
        """Run several forward passes over the rows, one batch per step."""
        n = len(rows)
        if not n:
            return np.empty((count, 0, *self.output_shape), dtype=self.dtype)
        self.check_batches(n, min(capacity, n), training=training)
        sparse = isinstance(rows, SparseRows)
        _, write, compiled = self._cached(
            ("forward", capacity, training, noise, sparse), lambda: self._compile_forward(capacity, training, noise, sparse)
        )
        out = np.empty((count * n, *write.sizes), dtype=self.dtype)
        bind, steps = [*compiled.bind(rows), (write, 0, out)], count * -(-n // capacity)
        with self._carrying():
            compiled.run(bind, last_step=steps, examples=n, batch=capacity, step_offset=check_step(step))
        return out.reshape(count, n, *self.output_shape)

    def _carrying(self) -> AbstractContextManager[None]:
        """A block of passes that leave the last states of recurrent layers in ``state``, or, if they raise, none of them."""
        return self._putting_back(always=False) if self.batch_rows else NOTHING

    def _measuring(self) -> AbstractContextManager[None]:
        """A block of passes that begin at the states which recurrent layers carry over, and leave those as they are."""
        return self._putting_back(always=True) if self.batch_rows else NOTHING

    @contextmanager
    def _putting_back(self, *, always: bool) -> Iterator[None]:
        """A block after which ``state`` is as before: always, or if it raises."""
        with self.lock:
            kept, complete = self.state.copy(), False
            try:
                yield
                complete = True
            finally:
                if always or not complete:
                    with Interrupt(tolerated=0):
                        self.state[...] = kept

    def _compile_forward(self, capacity: int, training: bool, noise: bool, sparse: bool) -> tuple[ModelTape, Op, Compiled]:
        recording = ModelTape.forward(self, capacity, training=training, noise=noise, sparse=sparse)
        output = recording.output
        write = Op("rows", "write_rows", (None, output.value), (output.width,))
        step = stages([recording.gather, *recording.tape.forward, write])
        return recording, write, Compiled(recording.tape, step, before=recording.prepare())

    def _in_target_units(self, output: Array) -> Array:
        """Outputs (..., *output_shape) as ``predict`` returns them."""
        if self._target_scaler is None or not output.size:
            return output
        flat = output.reshape(-1, *self.output_shape)
        return self._target_scaler.inverse_transformed(flat, "the output of the model").reshape(output.shape)

    def loss_and_gradient(
        self, X: Any, y: Any, loss: Loss | str | Callable[..., Any], *, step: int = 0, sample_weight: Any = None
    ) -> tuple[float, Array]:
        """The mean loss over the rows of X, and its gradient with respect to θ, in training mode.

        Random layers use the noise of training step ``step``: the same step has the same noise.
        The loss includes the penalties of `ActivityL1` layers, but not a trainer's penalty on the weights. With
        ``sample_weight`` (n,), as for ``Trainer.fit``, it is Σ w_i l_i divided by the number of rows; examples of weight 0 are
        left out.

        Returns
        -------
        loss : float
        gradient : ndarray, (parameters.size,)
            A copy; ``model.gradients`` and the layers' ``weight_grad``, ``bias_grad`` hold the same numbers.

        Raises
        ------
        ValueError, TypeError
            If X or y do not fit the network or the loss.

        Notes
        -----
        Where the loss is infinite or NaN, the gradient is what the formulas give there.
        """
        with self.lock:
            value = self.gradient_pass(X, y, loss, weights=sample_weight)[0](step)
            return value, self.gradients.copy()

    def deltas(self, X: Any, y: Any, loss: Loss | str | Callable[..., Any], *, step: int = 0) -> dict[str, Array]:
        """Every δ: the gradient of the mean loss with respect to the output of each layer, by layer name, ``"input"`` first.

        ``step`` as for ``loss_and_gradient``.
        """
        with self.lock:
            run, recording = self.gradient_pass(X, y, loss, input_gradient=True)
            run(step)
            signals = [recording.input, *recording.tape.signals]
            return {s.name: s.grad.reshape(len(s.grad), *s.shape).copy() for s in signals if s.grad is not None}

    def gradient_pass(
        self, X: Any, y: Any, loss: Loss | str | Callable[..., Any], *, input_gradient: bool = False, weights: Any = None
    ) -> tuple[Callable[[int], float], ModelTape]:
        """A forward and backward pass over all rows as one batch, with checked data: a function of the step, and its recording.

        The function returns the mean loss and fills the gradients; the caller holds the lock until it has read them.
        """
        loss = losses.get(loss)
        rows = self.input_rows(X)
        targets = losses.targets_of(loss, self.scaled_targets(y), math.prod(self.output_shape), self.dtype)
        check_lengths(rows, targets)
        n = len(rows)
        self.check_batches(n, n, training=True)
        arrays = [targets.array] if weights is None else [targets.array, example_weights(weights, n)]
        sparse, weighted = isinstance(rows, SparseRows), weights is not None
        key = ("gradient", n, loss.key(), targets.kind, input_gradient, sparse, weighted)
        recording, gathers, compiled, tuner, _ = self._cached(
            key, lambda: self._compile_pass(n, loss, targets, input_gradient, sparse, weighted)
        )
        bind = compiled.bind(rows) + [(op, 1, array) for op, array in zip(gathers, arrays, strict=True)]

        def run(step: int) -> float:
            (threads, _), start = tuner.next_call(), time.perf_counter()
            with self.lock:
                _, sums = compiled.run(bind, threads=threads, examples=n, batch=n, step_offset=check_step(step))
            tuner.record(threads, 1, time.perf_counter() - start)
            return float(sums[0].sum()) / n

        return run, recording

    def _compile_pass(
        self, n: int, loss: Loss, targets: losses.Targets, input_gradient: bool, sparse: bool, weighted: bool
    ) -> tuple[Any, ...]:  # fmt: skip
        fused = not input_gradient  # fused ops do not store every intermediate gradient
        recording = ModelTape.gradient(self, n, input_gradient=input_gradient, fused=fused, sparse=sparse, weighted=weighted)
        tape = recording.tape
        gathers, loss_op, values = losses.emit_weighted(loss, tape, recording.output, targets)
        step = stages([recording.gather, *gathers, *tape.forward, loss_op, *tape.backward])
        step += parameter_stages(tape.parameter_gradients)
        records = [values] if tape.activity_penalty is None else [values, tape.activity_penalty]
        compiled = Compiled(tape, step, before=recording.prepare(), records=records, exclusive=self.gradients_in_use)
        return recording, gathers, compiled, Autotuner(compiled.parallel), loss


def most_forward_rows(parameters: int) -> int:
    """The largest batch of a forward pass: larger for small networks, where few rows are too little work for two threads."""
    rows = FORWARD_ROWS
    while rows < MOST_FORWARD_ROWS and 2 * parameters * rows < PARALLEL_FLOPS:
        rows *= 2
    return rows
