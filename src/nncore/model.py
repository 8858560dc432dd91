"""Sequential: layers in a row, their parameters in one vector θ, compiled to programs."""

from __future__ import annotations

import copy
import math
import threading
import time
import weakref
from collections.abc import Callable, Iterable
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from nncore import losses
from nncore.arrays import aligned_zeros
from nncore.data.scaler import Scaler
from nncore.data.scaling import attached
from nncore.data.validation import as_numbers, as_rows, check_lengths, check_positive_integer, check_step
from nncore.layers import Layer
from nncore.losses import Loss
from nncore.pace import Pace
from nncore.regularizers import Regularizer
from nncore.tape import Compiled, Op, Signal, Tape, parameter_stages, stages

__all__ = ["Recording", "Sequential", "Text", "unbound"]

Array = NDArray[Any]

FORWARD_ROWS = 1024  # rows that a forward pass takes at a time


class Text(str):
    """A string that shows itself as it prints."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


class Recording:
    """A tape with the ops of one model on it: the way from ``input`` to ``output``.

    ``fused``: a layer may compute the one after it in the same pass, and then has no signal of its own. ``tracking``: steps
    renew running statistics. ``optimizer_columns``: so many coefficients of a step are the optimizer's; the layers' follow.
    """

    def __init__(
        self, model: Sequential, capacity: int, *, training: bool, gradients: bool, input_gradient: bool = False,
        noise: bool | None = None, fused: bool = False, tracking: bool = False, optimizer_columns: int = 0,
        tangents: bool = False,
    ) -> None:  # fmt: skip
        width = math.prod(model.input_shape)
        numbers = width + sum(math.prod(layer.output_shape) for layer in model.layers)
        estimate = (capacity * numbers * (1 + gradients) + model.parameters.size) * (1 + tangents)
        estimate = estimate * model.dtype.itemsize * 17 // 16 + (1 << 14)
        self.tape = Tape(
            model.dtype, capacity, training=training, gradients=gradients, noise=noise, seed=model.seed, arena_bytes=estimate
        )
        self.gather = Op("rows", "gather_rows", (self.tape.array(width), None), (width, width))
        if tangents:
            self.tape.differentiate(model.parameters, model.gradients)
        grad = self.tape.array(width) if input_gradient else None
        self.input = signal = Signal("input", model.input_shape, self.gather.arrays[0], grad)
        self.tape.tracking, self.tape.optimizer_columns = tracking, optimizer_columns
        layers = list(model.layers)
        while layers:
            layer = layers.pop(0)
            self.tape.begin_layer()
            x = signal
            if fused and layers and layer.fuses(layers[0]):
                signal = layer.emit_fused(self.tape, signal, layers.pop(0))
            else:
                signal = layer.emit(self.tape, signal)
            if tangents and signal.tangent is None and (x.tangent is not None or layer.parameters):
                raise TypeError(
                    f"layer {layer.name!r} ({type(layer).__name__}) cannot be differentiated twice: it emits no tangents, as "
                    "layers written in Python and random ones do not. Take a model without it, and copy the parameters over"
                )
        self.output = signal

    def prepare(self) -> list[Any]:
        """The stage that derives, before the first step, what the kernels need from the parameters."""
        return parameter_stages(self.tape.prepare, (), {})


class Sequential:
    """A network of layers in a row.

    Parameters
    ----------
    layers : iterable of Layer
    input_shape : int or tuple of int
        Shape of one example.
    dtype : {"float32", "float64"}
        Of parameters and of all computation; default float32. Losses and metrics are summed in float64.
    seed : int
        Of the initial weights and of all that is random in the layers. The same seed gives the same bits.

    Attributes
    ----------
    parameters : ndarray
        θ, all trainable numbers: a writable 1-D array. A layer's ``weight`` and ``bias`` are views into it.
    gradients : ndarray
        ∂l/∂θ of the last backward pass, in the order of ``parameters``.
    state : ndarray
        Numbers that are kept but not trained, such as running statistics.
    layers : list of Layer
    input_scaler, target_scaler : Scaler or None
        Set to fitted scalers of ``nncore.data``, of which the model keeps copies. Wherever the model or its trainer takes X or
        y they are then scaled, and ``predict`` inverts the scaling of the targets: X, y and predictions are in the data's
        units; outputs of ``forward``, losses and metrics in scaled ones. They are saved with the model.

    Raises
    ------
    TypeError, ValueError
        For a layer that is none, a name given twice, a dtype other than the two, a shape that is not made of positive integers.

    Examples
    --------
    >>> import numpy as np
    >>> import nncore as nn
    >>> model = nn.Sequential([nn.Dense(16), nn.Tanh(), nn.Dense(2)], input_shape=2, seed=0)
    >>> model.parameters.size
    82
    >>> model.predict(np.zeros((3, 2))).shape
    (3, 2)
    """

    def __init__(
        self, layers: Iterable[Layer], input_shape: int | tuple[int, ...], *, dtype: DTypeLike = "float32", seed: int = 0
    ) -> None:
        if not isinstance(layers, Iterable):
            raise TypeError(f"layers must be a list of Layer objects, got {layers!r}")
        self.layers = list(layers)
        try:
            self.dtype = np.dtype(dtype)
        except TypeError:
            raise ValueError(f"dtype must be float32 or float64, got {dtype!r}") from None
        if self.dtype not in (np.float32, np.float64):
            raise ValueError(f"dtype must be float32 or float64, got {self.dtype}")
        if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
            raise ValueError(f"seed must be a non-negative integer, got {seed!r}")
        self.seed = int(seed)
        self.input_shape = _shape(input_shape)
        self._name_layers()
        sizes = declare(self.layers, self.input_shape)
        self.output_shape = self.layers[-1].output_shape
        self._lay_out(*sizes)
        self.initialize(self.seed)
        self._input_scaler: Scaler | None = None
        self._target_scaler: Scaler | None = None
        self._recordings: dict[Any, Any] = {}
        self._turn = threading.RLock()  # several Python threads may use one model: what they share is used in turns
        for layer in self.layers:
            layer.owner = weakref.ref(self)

    def _name_layers(self) -> None:
        if not self.layers:
            raise ValueError("layers must hold at least one layer, got none")
        counts: dict[str, int] = {}
        for position, layer in enumerate(self.layers):
            if not isinstance(layer, Layer):
                raise TypeError(f"layers[{position}] must be a Layer, got {layer!r}")
            if any(layer is other for other in self.layers[:position]):
                raise ValueError(f"layers[{position}] is the same object as an earlier one: make a layer for each place")
            if layer.owner and layer.owner():
                raise ValueError(f"layers[{position}] belongs to another model, whose parameters it holds: make a new one")
            kind = layer.default_name()
            counts[kind] = counts.get(kind, 0) + 1
            layer.name = layer.name or f"{kind}_{counts[kind]}"
        names = ["input", *[layer.name for layer in self.layers]]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice:
            raise ValueError(f"layer names must differ, got {twice!r} twice")

    def _lay_out(self, size: int, kept: int) -> None:
        """One vector for all parameters; each layer's arrays are views into it."""
        self.parameters = aligned_zeros(size, self.dtype)
        self.gradients = aligned_zeros(size, self.dtype)
        self.state = aligned_zeros(kept, self.dtype)
        for layer in self.layers:
            for name, state in layer.states.items():
                setattr(layer, name, self.state[state.offset : state.offset + state.size].reshape(state.shape))
            for name, parameter in layer.parameters.items():
                part = slice(parameter.offset, parameter.offset + parameter.size)
                setattr(layer, name, self.parameters[part].reshape(parameter.shape))
                setattr(layer, f"{name}_grad", self.gradients[part].reshape(parameter.shape))

    def initialize(self, seed: int | None = None) -> None:
        """Draw all parameters anew. Each array has a generator of its own, made from (seed, layer, array)."""
        seed = self.seed if seed is None else seed
        for number, layer in enumerate(self.layers):
            for name, state in layer.states.items():
                getattr(layer, name)[...] = state.initial
            for index, (name, parameter) in enumerate(layer.parameters.items()):
                rng = np.random.default_rng([seed, number, index])
                getattr(layer, name)[...] = parameter.initializer(parameter.shape, rng, self.dtype)

    @property
    def input_scaler(self) -> Scaler | None:
        """What scales the inputs, if anything does."""
        return self._input_scaler

    @input_scaler.setter
    def input_scaler(self, scaler: Scaler | None) -> None:
        self._input_scaler = attached(scaler, math.prod(self.input_shape), "input_scaler")

    @property
    def target_scaler(self) -> Scaler | None:
        """What scales the targets, and is inverted at prediction, if anything is."""
        return self._target_scaler

    @target_scaler.setter
    def target_scaler(self, scaler: Scaler | None) -> None:
        self._target_scaler = attached(scaler, math.prod(self.output_shape), "target_scaler")

    def scaled_rows(self, X: Any, argument: str = "X") -> Array:
        """X checked, scaled if there is an ``input_scaler``, as (n, width) in the model's dtype."""
        if self._input_scaler is None:
            return as_rows(X, self.input_shape, self.dtype, argument)
        array = as_numbers(X, argument)
        given = as_rows(array, self.input_shape, np.float32 if array.dtype == np.float32 else np.float64, argument)
        scaled = self._input_scaler.transform(given).reshape(-1, *self.input_shape)
        return as_rows(scaled, self.input_shape, self.dtype, argument)

    def scaled_targets(self, y: Any) -> Any:
        """The targets y, scaled if there is a ``target_scaler``."""
        return y if self._target_scaler is None else self._target_scaler.transform(y)

    def __getitem__(self, key: int | str) -> Layer:
        """A layer by number or by name."""
        if isinstance(key, (int, np.integer)):
            return self.layers[key]
        for layer in self.layers:
            if layer.name == key:
                return layer
        raise KeyError(f"no layer {key!r}: there are {', '.join(str(layer.name) for layer in self.layers)}")

    def _cached(self, key: tuple[Any, ...], make: Callable[[], Any]) -> Any:
        """Compiled things, the last eight kept."""
        with self._turn:
            return self._look_up((*key, self.variant), make)

    @property
    def variant(self) -> tuple[Any, ...]:
        """Of all layers, what decides which ops they record."""
        return tuple(layer.variant for layer in self.layers)

    def check_batches(self, rows: int, batch: int, *, training: bool, hint: str = "") -> None:
        """Raise if a layer cannot work on the smallest of the batches that so many rows make."""
        smallest = rows % batch or batch
        for layer in self.layers:
            if smallest < layer.smallest_batch(training):
                last = f"the last batch of {rows} rows in batches of {batch} has" if rows > batch else "the batch has"
                raise ValueError(
                    f"layer {layer.name} takes the mean and the variance of a batch and needs at least "
                    f"{layer.smallest_batch(training)} rows: {last} {smallest}{hint}"
                )

    def _look_up(self, key: tuple[Any, ...], make: Callable[[], Any]) -> Any:
        if key in self._recordings:
            self._recordings[key] = self._recordings.pop(key)
        else:
            while len(self._recordings) >= 8:
                self._recordings.pop(next(iter(self._recordings)))
            self._recordings[key] = make()
        return self._recordings[key]

    def forward(self, X: Any, *, training: bool = False, step: int = 0) -> Array:
        """The network's output for the rows of X.

        Parameters
        ----------
        X : array_like, ``(n, *input_shape)``
        training : bool
            Compute as in training (batch statistics, noise). Then all rows are one batch.
        step : int
            With ``training``: the noise is that of this training step. The same step has the same noise.

        Returns
        -------
        ndarray, (n, *output_shape)
        """
        rows = self.scaled_rows(X)
        capacity = len(rows) if training else min(1 << (len(rows) - 1).bit_length(), FORWARD_ROWS)
        return self._passes(rows, 1, capacity, training, training, step)[0]

    def predict_samples(self, X: Any, samples: int = 100, *, step: int = 0) -> Array:
        """Outputs with the noise left on (Monte-Carlo dropout), all else in inference mode.

        Each sample is the output of another network, with other units dropped; noise on weights is drawn anew for every 1024
        rows. The mean is the prediction of the average over these networks, the spread tells how far they agree (Gal,
        Ghahramani: Dropout as a Bayesian approximation, 2016).

        Parameters
        ----------
        X : array_like, ``(n, *input_shape)``
        samples : int
        step : int
            Where the noise begins: the same step has the same noise.

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
        rows = self.scaled_rows(X)
        capacity = min(1 << (len(rows) - 1).bit_length(), FORWARD_ROWS)
        outputs = self._passes(rows, check_positive_integer(samples, "samples"), capacity, False, True, step)
        return self._in_target_units(outputs)

    def _passes(self, rows: Array, count: int, capacity: int, training: bool, noise: bool, step: int) -> Array:
        """So many forward passes over the rows, a batch a step."""
        self.check_batches(len(rows), min(capacity, len(rows)), training=training)
        recording, gather, write, compiled = self._cached(
            ("forward", capacity, training, noise), lambda: self._compile_forward(capacity, training, noise)
        )
        out = np.empty((count * len(rows), recording.output.width), dtype=self.dtype)
        steps = count * -(-len(rows) // capacity)
        compiled.run(
            [(gather, 1, rows), (write, 0, out)], last_step=steps, examples=len(rows), batch=capacity,
            step_offset=check_step(step),
        )  # fmt: skip
        return out.reshape(count, len(rows), *self.output_shape)

    def _compile_forward(self, capacity: int, training: bool, noise: bool) -> tuple[Recording, Op, Op, Compiled]:
        recording = Recording(self, capacity, training=training, gradients=False, noise=noise, fused=True)
        output = recording.output
        write = Op("rows", "write_rows", (None, output.value), (output.width,))
        step = stages([recording.gather, *recording.tape.forward, write])
        return recording, recording.gather, write, Compiled(recording.tape, step, before=recording.prepare())

    def predict(self, X: Any) -> Array:
        """The output for the rows of X, in inference mode: ``forward(X)``, in the units of the targets."""
        return self._in_target_units(self.forward(X))

    def _in_target_units(self, output: Array) -> Array:
        """Outputs (..., *output_shape) as ``predict`` returns them."""
        if self._target_scaler is None:
            return output
        flat = output.reshape(-1, *self.output_shape)
        return self._target_scaler.inverse_transform(flat).reshape(output.shape)

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
        rows = self.scaled_rows(X)
        self.check_batches(len(rows), len(rows), training=training)
        recording = Recording(self, len(rows), training=training, gradients=False)
        ops = stages([recording.gather, *recording.tape.forward])
        compiled = Compiled(recording.tape, ops, before=recording.prepare())
        compiled.run([(recording.gather, 1, rows)], examples=len(rows), batch=len(rows), step_offset=check_step(step))
        signals = [recording.input, *recording.tape.signals]
        return {signal.name: signal.value.reshape(len(rows), *signal.shape) for signal in signals}

    def loss_and_gradient(self, X: Any, y: Any, loss: Loss | str | Callable[..., Any], *, step: int = 0) -> tuple[float, Array]:
        """The mean loss over the rows of X, and its gradient with respect to θ, in training mode.

        Where layers are random, the noise is that of training step ``step``: the same step has the same noise.
        What `ActivityL1` layers charge is part of it; a trainer's penalty on the weights is not.

        Returns
        -------
        loss : float
        gradient : ndarray, (parameters.size,)
            A copy; ``model.gradients`` and the layers' ``weight_grad``, ``bias_grad`` hold the same numbers.

        Raises
        ------
        ValueError, TypeError
            If X or y do not fit the network or the loss.
        """
        with self._turn:
            value, _ = self._pass(X, y, loss, step)
            return value, self.gradients.copy()

    def deltas(self, X: Any, y: Any, loss: Loss | str | Callable[..., Any], *, step: int = 0) -> dict[str, Array]:
        """Every δ: the gradient of the mean loss with respect to the output of each layer, by layer name, ``"input"`` first.

        ``step`` as for ``loss_and_gradient``.
        """
        with self._turn:
            _, recording = self._pass(X, y, loss, step, input_gradient=True)
            signals = [recording.input, *recording.tape.signals]
            return {s.name: s.grad.reshape(len(s.grad), *s.shape).copy() for s in signals if s.grad is not None}

    def _pass(
        self, X: Any, y: Any, loss: Loss | str | Callable[..., Any], step: int = 0, *, input_gradient: bool = False
    ) -> tuple[float, Recording]:
        """One forward and backward pass over all rows as one batch."""
        loss = losses.get(loss)
        rows = self.scaled_rows(X)
        targets = loss.targets(self.scaled_targets(y), math.prod(self.output_shape), self.dtype)
        check_lengths(rows, targets)
        self.check_batches(len(rows), len(rows), training=True)
        own = id(loss) if isinstance(loss, losses.PythonLoss) else None
        key = ("gradient", len(rows), repr(loss), own, targets.kind, input_gradient)
        recording, gather, gather_y, compiled, pace, _ = self._cached(
            key, lambda: self._compile_pass(len(rows), loss, targets, input_gradient)
        )
        bind, (threads, _), start = [(gather, 1, rows), (gather_y, 1, targets.array)], pace.plan(), time.perf_counter()
        _, sums = compiled.run(bind, threads=threads, examples=len(rows), batch=len(rows), step_offset=check_step(step))
        pace.record(threads, 1, time.perf_counter() - start)
        return float(sums[0].sum()) / len(rows), recording

    def _compile_pass(self, n: int, loss: Loss, targets: losses.Targets, input_gradient: bool) -> tuple[Any, ...]:
        fused = not input_gradient  # which goes with every gradient on the way
        recording = Recording(self, n, training=True, gradients=True, input_gradient=input_gradient, fused=fused)
        tape = recording.tape
        gather_y, loss_op, values = loss.emit(tape, recording.output, targets)
        step = stages([recording.gather, gather_y, *tape.forward, loss_op, *tape.backward])
        step += parameter_stages(tape.parameter_gradients, (), {})
        records = [values] if tape.activity_penalty is None else [values, tape.activity_penalty]
        compiled = Compiled(tape, step, before=recording.prepare(), records=records)
        return recording, recording.gather, gather_y, compiled, Pace(compiled.parallel), loss

    def hessian_vector_product(
        self, X: Any, y: Any, loss: Loss | str | Callable[..., Any], v: Any, *, regularizer: Regularizer | None = None
    ) -> Array:
        """H v, H = ∂²l/∂θ² of the mean loss over the rows of X; exact, at about the cost of a gradient.

        Parameters
        ----------
        X, y, loss : as for ``loss_and_gradient``
        v : array_like, (n,) or (k, n)
            A vector, or several as rows; n = ``parameters.size``.
        regularizer : Regularizer, optional

        Returns
        -------
        ndarray, of the shape of v

        Raises
        ------
        ValueError, TypeError
            As `nncore.second_order.HessianOperator`, which serves better for many products in turn at the same θ.

        Examples
        --------
        >>> import numpy as np
        >>> import nncore as nn
        >>> model = nn.Sequential([nn.Dense(1)], input_shape=2, dtype="float64")
        >>> model.hessian_vector_product(np.array([[1.0, 2.0]]), np.zeros(1), "squared_error", np.array([1.0, 1.0, 0.0]))
        array([3., 6., 3.])
        """
        from nncore.second_order import HessianOperator

        return HessianOperator(self, X, y, loss, regularizer).products(v)

    def gauss_newton_product(
        self, X: Any, y: Any, loss: Loss | str | Callable[..., Any], v: Any, *, regularizer: Regularizer | None = None
    ) -> Array:
        """G v, G = Jᵀ (∂²l/∂y²) J: as ``hessian_vector_product``, without the curvature of the network itself."""
        from nncore.second_order import GaussNewtonOperator

        return GaussNewtonOperator(self, X, y, loss, regularizer).products(v)

    def hessian(
        self, X: Any, y: Any, loss: Loss | str | Callable[..., Any], *, regularizer: Regularizer | None = None
    ) -> Array:
        """H = ∂²l/∂θ² itself, (n, n) and symmetric: for small networks, as it takes n products and n² numbers."""
        from nncore.second_order import HessianOperator

        return HessianOperator(self, X, y, loss, regularizer).matrix()

    def jacobian(self, X: Any) -> Array:
        """J = ∂y/∂θ in training mode, (rows · outputs, n): row r · outputs + j belongs to output j of row r of X."""
        from nncore.second_order import JacobianOperator

        return JacobianOperator(self, X).matrix()

    def jacobian_product(self, X: Any, v: Any, *, transposed: bool = False) -> Array:
        """J v for v (n,) or (k, n); with ``transposed`` Jᵀ v for v (rows · outputs,) or (k, rows · outputs)."""
        from nncore.second_order import JacobianOperator

        J = JacobianOperator(self, X)
        return J.transposed_products(v) if transposed else J.products(v)

    def check_gradients(
        self, X: Any, y: Any, loss: Loss | str | Callable[..., Any], *, samples: int = 50, seed: int = 0, step: int = 0
    ) -> dict[str, float]:
        """Compare the gradient with central differences, array by array.

        The comparison is made in float64, on a copy of the model, with steps of h = 6e-6 (1 + |θ_i|), near the cube root of the
        machine's precision, at which the differences are good to about 1e-10 of the loss.

        Parameters
        ----------
        X, y, loss : as for ``loss_and_gradient``
        samples : int
            So many numbers of each array are tried, chosen at random; all of a smaller array.
        seed : int
            Of that choice.
        step : int
            Where layers are random: the training step whose noise is held fast.

        At a kink (a ReLU whose input is 0 within h) there is no derivative to compare with: take inputs that avoid it.

        Returns
        -------
        dict
            Relative error ‖numeric − analytic‖ / (‖numeric‖ + ‖analytic‖) by ``"layer.array"``, and ``"input"`` for ∂l/∂X; 0
            where both are 0 to the accuracy of the differences, as of a bias before batch normalisation.

        Examples
        --------
        >>> import numpy as np
        >>> import nncore as nn
        >>> model = nn.Sequential([nn.Dense(4), nn.Tanh(), nn.Dense(2)], input_shape=3)
        >>> errors = model.check_gradients(np.ones((5, 3)), np.ones((5, 2)), "squared_error")
        >>> max(errors.values()) < 1e-6
        True
        """
        double = self.astype("float64")
        rows = double.scaled_rows(X).copy()
        y, double.input_scaler, double.target_scaler = self.scaled_targets(y), None, None
        inputs = rows.reshape(len(rows), *self.input_shape)
        value, deltas = double._pass(inputs, y, loss, step)[0], double.deltas(inputs, y, loss, step=step)
        analytic = double.gradients.copy()
        rng = np.random.default_rng(seed)

        def error(values: Array, gradient: Array) -> float:
            chosen = rng.permutation(values.size)[:samples]
            numeric = np.empty(len(chosen))
            for n, i in enumerate(chosen):
                before = values[i]
                h = 6e-6 * (1 + abs(before))
                values[i] = before + h
                above = double._pass(inputs, y, loss, step)[0]
                values[i] = before - h
                below = double._pass(inputs, y, loss, step)[0]
                values[i] = before
                numeric[n] = (above - below) / (2 * h)
            expected = gradient[chosen]
            norm = float(np.linalg.norm(numeric) + np.linalg.norm(expected))
            least = 1e-9 * abs(value) * math.sqrt(len(chosen))  # below it the differences are rounding alone
            return float(np.linalg.norm(numeric - expected)) / norm if norm > least else 0.0

        errors = {}
        for layer in double.layers:
            for name, parameter in layer.parameters.items():
                part = slice(parameter.offset, parameter.offset + parameter.size)
                errors[f"{layer.name}.{name}"] = error(double.parameters[part], analytic[part])
        errors["input"] = error(rows.reshape(-1), deltas["input"].reshape(-1))
        return errors

    def astype(self, dtype: DTypeLike) -> Sequential:
        """A copy of the model, its parameters converted."""
        layers = copy.deepcopy([unbound(layer) for layer in self.layers])
        other = Sequential(layers, self.input_shape, dtype=dtype, seed=self.seed)
        other.parameters[...] = self.parameters
        other.input_scaler, other.target_scaler = self.input_scaler, self.target_scaler
        other.state[...] = self.state
        return other

    def copy(self) -> Sequential:
        """An independent copy of the model."""
        return self.astype(self.dtype)

    def fold_batch_norm(self, X: Any = None) -> tuple[Sequential, float]:
        """Merge each `BatchNorm` into the `Dense` layer before it, with its running averages as constants.

        W' = s ⊙ W and b' = s ⊙ (b − μ) + β with s = γ / √(σ² + ε): at inference the same function in fewer layers.

        Parameters
        ----------
        X : array_like, optional
            Inputs to compare the outputs on; by default 256 rows of standard normal numbers, in the units behind an
            ``input_scaler``.

        Returns
        -------
        model : Sequential
            A new model without the normalisations.
        difference : float
            The largest difference between an output of the two models.

        Raises
        ------
        ValueError
            If a batch normalisation has no `Dense` directly before it, or there is none.

        Examples
        --------
        >>> import nncore as nn
        >>> model = nn.Sequential([nn.Dense(8), nn.BatchNorm(), nn.ReLU(), nn.Dense(2)], input_shape=3, dtype="float64")
        >>> folded, difference = model.fold_batch_norm()
        >>> len(folded.layers), difference < 1e-12
        (3, True)
        """
        from nncore import batch_statistics

        return batch_statistics.fold_batch_norm(self, X)

    def summary(self) -> Text:
        """The layers with their output shapes and numbers of parameters, as a table."""
        table = [("layer", "output", "parameters")]
        for layer in self.layers:
            count = sum(parameter.size for parameter in layer.parameters.values())
            table.append((f"{layer.name} ({type(layer).__name__})", str(layer.output_shape), f"{count:,}"))
        table.append(("total", "", f"{self.parameters.size:,}"))
        widths = [max(len(row[column]) for row in table) for column in range(3)]
        lines = [f"{a:<{widths[0]}}  {b:<{widths[1]}}  {c:>{widths[2]}}" for a, b, c in table]
        rule = "-" * len(lines[0])
        head = f"Sequential, input {self.input_shape}, {self.dtype}"
        return Text("\n".join([head, rule, lines[0], rule, *lines[1:-1], rule, lines[-1]]))

    def save(self, path: str | PathLike[str]) -> None:
        """Write structure and parameters to one safetensors file; the file is complete or not there."""
        from nncore import storage

        storage.save_model(self, path)

    def __repr__(self) -> str:
        return f"Sequential({self.layers!r}, input_shape={self.input_shape}, dtype={str(self.dtype)!r}, seed={self.seed})"


def declare(layers: Iterable[Layer], input_shape: tuple[int, ...]) -> tuple[int, int]:
    """Have each layer declare shapes, parameters and state, and give these their places; returns the sizes of θ and state."""
    shape, size, kept = input_shape, 0, 0
    for layer in layers:
        layer.parameters, layer.states = {}, {}
        layer.input_shape = shape
        layer.output_shape = shape = _shape(layer.build(shape))
        for parameter in layer.parameters.values():
            parameter.offset, size = size, size + parameter.size
        for state in layer.states.values():
            state.offset, kept = kept, kept + state.size
    return size, kept


def unbound(layer: Layer) -> Layer:
    """A shallow copy of a layer without its views into the model's arrays."""
    other = copy.copy(layer)
    other.owner = None
    for name in (*layer.parameters, *(f"{name}_grad" for name in layer.parameters), *layer.states):
        other.__dict__.pop(name, None)
    return other


def _shape(shape: Any) -> tuple[int, ...]:
    shape = (shape,) if isinstance(shape, (int, np.integer)) and not isinstance(shape, bool) else shape
    if not isinstance(shape, tuple) or not shape or not all(isinstance(n, (int, np.integer)) and n > 0 for n in shape):
        raise ValueError(f"input_shape must be a positive integer or a tuple of them, got {shape!r}")
    return tuple(int(n) for n in shape)
