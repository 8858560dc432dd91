"""Losses: the error of outputs against targets. The mean over the batch is minimized and reported.

A loss accepts targets in several forms (integer labels, one-hot rows, soft rows, numbers) and chooses the op and its input.
"""

from __future__ import annotations

import functools
import math
import types
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from nncore import _kernels
from nncore._kernels.program import CHUNK_BYTES
from nncore._messages import shown
from nncore._utils.arrays import Array, for_kernels, passed, read_only, returned_pair
from nncore._utils.checks import as_numbers, convert, not_finite
from nncore._utils.fields import NUMBER, Converted, ListOf, Number, Value, function_of
from nncore._utils.hints import hint
from nncore._utils.own import check_called, is_own
from nncore._utils.registry import classes
from nncore.program.ops import Op, Signal
from nncore.program.tape import Tape

__all__ = [
    "LOSSES", "BinaryCrossEntropy", "Hinge", "Huber", "KLDivergence", "Loss", "MeanAbsoluteError", "MeanSquaredError",
    "Poisson", "PythonLoss", "Quantile", "SigmoidCrossEntropy", "SoftmaxCrossEntropy", "SquaredError", "Targets",
]  # fmt: skip

Function = Callable[[Array, Array], tuple[Array, Array]]  # (outputs, targets) -> (losses, gradient)

SUM_TOLERANCE = 0.01  # probabilities may have been rounded, or stored in half precision


class Levels(NamedTuple):
    """The interpretation of rows of targets as classes."""

    no: float
    yes: float
    several: bool = False  # each output is an independent yes or no


@dataclass
class Targets:
    """Targets in the form that ops read: integer labels (n,), or rows (n, width) in the model's dtype."""

    array: Array
    one_hot: bool = False  # labels that a gather op expands to rows
    levels: Levels | None = None  # interpretation of rows as classes; see `Loss.for_accuracy`
    thresholds: tuple[float, float] | None = None  # of outputs and of targets, if each output is an independent yes or no

    @property
    def labels(self) -> bool:
        return self.array.dtype == np.int64 and self.array.ndim == 1

    @property
    def kind(self) -> str:
        """The key of the ops that read these targets."""
        return "one_hot" if self.one_hot else "labels" if self.labels else "rows"

    @property
    def single_class(self) -> bool:
        """Whether each target is one class: a label, a one-hot row, or with one output 0 or 1, or ±1."""
        if self.kind != "rows":
            return True
        one, other = self.array == 1, self.array.min()
        if other not in (-1, 0, 1) or not (one | (self.array == other)).all():
            return False
        return self.array.shape[1] == 1 or bool((one.sum(axis=1) == 1).all())

    def __len__(self) -> int:
        return len(self.array)


class Loss(Value):
    """Base of the losses. ``kernel`` is the op; a subclass defines the valid targets.

    Every loss is one number per example; ``dy`` is its gradient divided by the number of rows. With example weights, both are
    multiplied by the weight of the example, and are 0 if it is 0, even where they would be infinite or NaN.
    """

    name: ClassVar[str]
    threshold: ClassVar[float | None] = None  # of an output, between "no" and "yes"; None: the mean of the two target values
    domain: ClassVar[str] = ""  # valid outputs, if restricted
    exclusive: ClassVar[bool] = False  # outputs are for mutually exclusive classes, and so at least two
    fused_activation: ClassVar[str] = ""  # an activation that is part of the loss and must not precede it
    one_hot_values: ClassVar[tuple[float, float]] = (0.0, 1.0)  # values of the rows made from labels

    @property
    def constants(self) -> tuple[float, ...]:
        """The constants of the op."""
        return ()

    def operands(self, width: int, dtype: DTypeLike) -> tuple[Array, ...]:
        """Further arrays that the op reads, besides outputs, targets and weights: of at least `chunk` numbers."""
        return ()

    def _checked_operands(self, width: int, dtype: DTypeLike) -> tuple[Array, ...]:
        """As `operands`, of which kernels trust those of a user's class."""
        operands, least = self.operands(width, dtype), chunk(width, dtype)
        for array in () if is_own(type(self)) else operands:
            like = isinstance(array, np.ndarray) and array.dtype == dtype and array.flags.c_contiguous
            if not (like and array.size >= least):
                got = f"{array.dtype} of shape {array.shape}" if isinstance(array, np.ndarray) else shown(array)
                raise ValueError(
                    f"{type(self).__name__}.operands must return contiguous arrays of {dtype} with at least {least} numbers, "
                    f"got {got}"
                )
        return operands

    def targets(self, y: Any, width: int, dtype: DTypeLike, argument: str = "y") -> Targets:
        """Check targets and convert them to the form that the op reads."""
        array = as_numbers(y, argument)
        given = array.shape
        if array.ndim == 1 and width > 1:
            return Targets(as_labels(array, width, argument), one_hot=True)
        if array.ndim == 1:
            array = array.reshape(-1, 1)
        if array.ndim > 2:
            array = array.reshape(len(array), math.prod(array.shape[1:]))
        if array.ndim != 2 or array.shape[1] != width:
            raise ValueError(f"{argument} must have shape (n, {width}) or be n integer labels, got shape {given}")
        rows = for_kernels(convert(array, dtype))
        if not np.isfinite(rows).all():
            raise not_finite(argument, rows, array)
        self.check_rows(rows, argument)
        return Targets(self.convert_rows(rows))

    def check_rows(self, rows: Array, argument: str) -> None:
        """Raise if a target is outside the loss's domain."""

    def for_accuracy(self, targets: Targets, argument: str, known: Levels | None = None) -> Targets:
        """The targets with the information needed for accuracy; raises if they do not determine classes.

        Labels, and rows that sum to 1 ("no" counted as 0 and "yes" as 1), name one class, the largest. In other rows each
        output is an independent yes or no. ``known``: the interpretation of the training targets, for data that happen to
        contain only one of the two numbers, or exactly one "yes" in each row.
        """
        if targets.kind != "rows":
            return targets
        rows = targets.array
        low, high = self.levels(rows, argument, known and known[:2])
        if rows.shape[1] > 1 and not (known and known.several):
            yes = (rows.astype(np.float64) / 2 - low / 2) / (high / 2 - low / 2)  # halves: the difference may overflow
            if (np.abs(yes.sum(axis=1) - 1) <= SUM_TOLERANCE).all():
                return replace(targets, levels=Levels(low, high))
        middle = min(low / 2 + high / 2, float(np.nextafter(rows.dtype.type(high), rows.dtype.type(low))))
        levels = Levels(low, high, several=rows.shape[1] > 1)
        return replace(targets, levels=levels, thresholds=(middle if self.threshold is None else self.threshold, middle))

    def levels(self, rows: Array, argument: str, known: tuple[float, float] | None) -> tuple[float, float]:
        """The values of "no" and "yes" in targets."""
        return self.one_hot_values

    def convert_rows(self, rows: Array) -> Array:
        """Convert valid targets to the form of the op."""
        return rows

    def emit(self, tape: Tape, y: Signal, targets: Targets, weight: Array | None = None) -> tuple[Op, Op, Array]:
        """Record the gather op and the loss op. Returns both and the per-example losses."""
        losses = np.zeros(tape.capacity)
        gather, d = gather_targets(tape, targets, y.width, self.one_hot_values)
        kernel = self.kernel_for(targets)
        if kernel.endswith("_labels") != (targets.kind == "labels"):
            raise TypeError(
                f"{type(self).__name__} must convert targets to the form that op {kernel} reads, got {targets.kind}"
            )
        arrays = (losses, y.grad, y.value, d, weight, *self._checked_operands(y.width, tape.dtype))
        op = Op("rows", kernel, arrays, (y.width,), self.constants, completes_loss=True)
        return gather, op, losses

    def emit_tangent(self, y: Signal, op: Op, into: Array) -> Op:
        """The op that writes R{∂l/∂y} = (∂²l/∂y²) R{y}; it follows the loss op."""
        value, d, weight = op.arrays[2:5]
        return Op("rows", f"{op.kernel}_tangent", (into, y.tangent, value, d, weight), (y.width,), op.constants)

    def kernel_for(self, targets: Targets) -> str:
        """The op for this kind of targets."""
        return self.name

    def _described_by(self) -> dict[str, Any]:
        return {"constants": list(self.constants)} if self.constants else {}

    def key(self) -> Hashable:
        """As for every value; ``constants`` may also depend on what the attributes hold."""
        return super().key(), tuple(self.constants)


class _Regression(Loss):
    """Targets are numbers, one per output; labels denote rows of 0 and 1."""

    def targets(self, y: Any, width: int, dtype: DTypeLike, argument: str = "y") -> Targets:
        array = as_numbers(y, argument)
        targets, outputs = ("1 target", "1 output") if width == 1 else (f"{width} targets", f"{width} outputs")
        wanted = f"{argument} must have {targets} for each row, shape (n, {width}), as the network has {outputs}"
        if array.ndim == 1 and width > 1 and not _are_labels(array, width, argument):
            values = f"{array.min():g} to {array.max():g}"
            raise ValueError(f"{wanted}, or be labels from 0 to {width - 1}; got numbers from {values}, shape {array.shape}")
        if array.ndim != 1 and (array.ndim == 0 or math.prod(array.shape[1:]) != width):
            got = f"{math.prod(array.shape[1:])} for each row, " if array.ndim else ""
            raise ValueError(f"{wanted}; got {got}shape {array.shape}")
        return super().targets(array, width, dtype, argument)

    def levels(self, rows: Array, argument: str, known: tuple[float, float] | None) -> tuple[float, float]:
        return _two_levels(rows, argument, known, fractions=rows.shape[1] > 1)


class SquaredError(_Regression):
    """½ ‖y − d‖² per example (Rumelhart, Hinton, Williams 1986); ∂/∂y = y − d."""

    name = "squared_error"


class MeanSquaredError(_Regression):
    """Σ_j (y_j − d_j)² / n per example, n outputs: PyTorch's ``MSELoss``, Keras's ``MeanSquaredError``; ∂/∂y = 2 (y − d)/n."""

    name = "mean_squared_error"


class MeanAbsoluteError(_Regression):
    """Σ_j |y_j − d_j| / n per example; ∂/∂y = sign(y − d)/n, 0 at 0."""

    name = "mean_absolute_error"


class Huber(_Regression):
    """½ e² for |e| ≤ δ, otherwise δ (|e| − ½ δ), e = y − d; the mean over the outputs, as PyTorch's ``HuberLoss``.

    Parameters
    ----------
    delta : float
        δ > 0; default 1.
    """

    name = "huber"
    delta: Number = Number(above=0)

    def __init__(self, delta: float = 1.0) -> None:
        self.delta = delta

    @property
    def constants(self) -> tuple[float, ...]:
        return (self.delta,)


class Quantile(_Regression):
    """Σ_j max(q (d_j − y_j), (q − 1)(d_j − y_j)) per example, the pinball loss: y becomes the q-quantile of d.

    ∂/∂y = −q where d > y, 1 − q where d < y, 0 at the kink. q = ½ is half the sum of the absolute errors; scikit-learn's
    ``mean_pinball_loss`` is the mean over the outputs.

    Parameters
    ----------
    q : float or sequence of float
        In (0, 1), one for all outputs or one for each; default ½, the median. For several quantiles of one number, repeat the
        target in each column: with one q for each output, targets (n,) are refused instead of taken for labels.

    Notes
    -----
    Source: Koenker, Bassett: Regression quantiles (1978).

    Examples
    --------
    >>> import numpy as np
    >>> import nncore as nn
    >>> model = nn.Sequential([nn.Dense(2, weight_init="zeros")], input_shape=1)
    >>> loss, _ = model.loss_and_gradient(np.ones((1, 1)), np.full((1, 2), 4.0), nn.Quantile([0.25, 0.75]))
    >>> loss
    4.0
    """

    name = "quantile"
    q: Converted[float | Sequence[float], float | tuple[float, ...]] = Converted(lambda name, value: _quantiles(name, value))

    def __init__(self, q: float | Sequence[float] = 0.5) -> None:
        self.q = q

    def targets(self, y: Any, width: int, dtype: DTypeLike, argument: str = "y") -> Targets:
        self._of_outputs(width, dtype)
        array = as_numbers(y, argument)
        if isinstance(self.q, tuple) and array.ndim == 1 and width > 1:  # which would else be taken for labels, if whole
            raise ValueError(
                f"{argument} must have a column for each of the {width} numbers of q, got shape {array.shape}: for several "
                "quantiles of one number, repeat it in each column"
            )
        return super().targets(array, width, dtype, argument)

    def _of_outputs(self, width: int, dtype: DTypeLike) -> Array:
        """The q of each output in this precision, or the one of all."""
        if isinstance(self.q, tuple) and len(self.q) != width:
            raise ValueError(f"q must be a number or have one for each output, {width}, got {shown(self.q)}")
        q = np.asarray(self.q, dtype)
        if not ((q > 0) & (q < 1)).all():
            raise ValueError(f"q must be in (0, 1) when rounded to {np.dtype(dtype)} too, got {shown(self.q)}")
        return q

    def operands(self, width: int, dtype: DTypeLike) -> tuple[Array, ...]:
        """The q of each output, repeated as often as a chunk of the op has rows."""
        return (np.resize(self._of_outputs(width, dtype), chunk(width, dtype)),)


class Poisson(_Regression):
    """Σ_j e^{z_j} − d_j z_j per example, z the logarithm of the rate, d ≥ 0 a count; ∂/∂z = eᶻ − d.

    The negative log-likelihood of the Poisson distribution without its constant log d!, which does not depend on z. PyTorch's
    ``PoissonNLLLoss()`` is the mean over the outputs instead of the sum, Keras's ``Poisson`` also takes rates instead of their
    logarithms; scikit-learn's ``mean_poisson_deviance`` of rates eᶻ is 2 (eᶻ − d z + d log d − d), 0 where eᶻ = d. For
    accuracy, an output says yes where eᶻ is above the mean of the two target values.

    Examples
    --------
    >>> import numpy as np
    >>> import nncore as nn
    >>> model = nn.Sequential([nn.Dense(1, weight_init="zeros")], input_shape=1)
    >>> model.loss_and_gradient(np.ones((2, 1)), np.array([0, 3]), "poisson")[0]
    1.0
    """

    name = "poisson"
    domain = "takes logarithms of rates, and e^z is infinite for z > 88.7 in float32, z > 709.7 in float64"

    def check_rows(self, rows: Array, argument: str) -> None:
        for row, column in np.argwhere(rows < 0)[:1]:
            raise ValueError(f"{argument} must be at least 0 for poisson, got {rows[row, column]} in row {row}")

    def for_accuracy(self, targets: Targets, argument: str, known: Levels | None = None) -> Targets:
        targets = super().for_accuracy(targets, argument, known)
        if targets.thresholds is None:
            return targets
        middle = targets.thresholds[1]
        return replace(targets, thresholds=(math.log(middle) if middle > 0 else -math.inf, middle))


class Hinge(Loss):
    """Σ_j max(0, 1 − d_j y_j) per example with targets d = ±1; labels and 0/1 targets become ±1."""

    name = "hinge"
    threshold = 0.0
    one_hot_values = (-1.0, 1.0)

    def check_rows(self, rows: Array, argument: str) -> None:
        for row, column in np.argwhere(~np.isin(rows, (-1.0, 0.0, 1.0)))[:1]:
            raise ValueError(f"{argument} must be ±1 or 0/1 for hinge, got {rows[row, column]} in row {row}")
        if (rows == 0).any() and (rows == -1).any():
            raise ValueError(f"{argument} must be either ±1 or 0/1 for hinge, got -1, 0 and 1 together")

    def convert_rows(self, rows: Array) -> Array:
        return 2 * rows - 1 if (rows == 0).any() else rows


class _Probability(Loss):
    """Targets in [0, 1]; ±1 is accepted for two classes."""

    def check_rows(self, rows: Array, argument: str) -> None:
        if rows.size and np.isin(rows, (-1.0, 1.0)).all():
            return
        for row, column in np.argwhere((rows < 0) | (rows > 1))[:1]:
            raise ValueError(f"{argument} must be in [0, 1] for {self.name}, got {rows[row, column]} in row {row}")

    def convert_rows(self, rows: Array) -> Array:
        return (rows + 1) / 2 if (rows < 0).any() else rows


class BinaryCrossEntropy(_Probability):
    """Σ_j −d_j log y_j − (1 − d_j) log(1 − y_j) per example, on probabilities y (after a sigmoid).

    ``sigmoid_cross_entropy`` is the same loss as a function of the sigmoid's input; it never takes the logarithm of 0.
    """

    name = "binary_cross_entropy"
    threshold = 0.5
    domain = "takes outputs in (0, 1), for example of a Sigmoid layer; for logits use sigmoid_cross_entropy"


class _Distribution(_Probability):
    """Targets are probabilities of mutually exclusive classes, one per output."""

    exclusive = True
    for_one_output: ClassVar[str]  # the loss to use instead

    def targets(self, y: Any, width: int, dtype: DTypeLike, argument: str = "y") -> Targets:
        if width == 1:
            raise ValueError(f"{self.name} needs at least two outputs, got one; use {self.for_one_output}")
        return super().targets(y, width, dtype, argument)

    def check_rows(self, rows: Array, argument: str) -> None:
        super().check_rows(rows, argument)
        sums = self.convert_rows(rows).sum(axis=1, dtype=np.float64)
        bad = np.flatnonzero(np.abs(sums - 1) > SUM_TOLERANCE)
        if len(bad):
            advice = "sample_weight=0 leaves an example out"
            if sums[bad[0]] > 1:
                advice = "for several labels per example use sigmoid_cross_entropy"
            got = f"a sum of {sums[bad[0]]:g} in row {bad[0]}"
            raise ValueError(f"{argument} must have rows that sum to 1 for {self.name}, got {got}; {advice}")


class KLDivergence(_Distribution):
    """Σ_j d_j log d_j − d_j log y_j per example, on probabilities y (after a softmax), soft targets d; 0 log 0 = 0.

    Rows of targets must sum to 1 ± 0.01.
    """

    name = "kl_divergence"
    for_one_output = "binary_cross_entropy"
    threshold = 0.5
    domain = "takes probabilities, for example of a Softmax layer; for logits use softmax_cross_entropy"


class _Smoothed(_Probability):
    """Targets that are mixed with the uniform distribution, in the loss only: accuracy uses them as given."""

    label_smoothing: Number = Number(0, most=1)

    def __init__(self, label_smoothing: float = 0.0) -> None:
        self.label_smoothing = label_smoothing

    @property
    def constants(self) -> tuple[float, ...]:
        return (self.label_smoothing,)


class SigmoidCrossEntropy(_Smoothed):
    """Σ_j max(z_j, 0) − z_j d_j + log(1 + e^{−|z_j|}) per example, on logits z; ∂/∂z = sigmoid(z) − d.

    With one output and labels 0/1 or ±1 this is logistic regression: log(1 + e^{−y z}) for y = ±1.
    PyTorch's ``BCEWithLogitsLoss`` and Keras's ``BinaryCrossentropy`` are the mean over the outputs instead of the sum.

    Parameters
    ----------
    label_smoothing : float
        s in [0, 1], default 0: (1 − s) d + s/2 takes the place of d, in training and in ``evaluate``; accuracy does not depend
        on it. As in Keras's ``BinaryCrossentropy``.
    """

    name = "sigmoid_cross_entropy"
    fused_activation = "sigmoid"
    threshold = 0.0


class SoftmaxCrossEntropy(_Smoothed, _Distribution):
    """−Σ_j d_j log p_j per example, p = softmax(z) of logits z; ∂/∂z = p Σ_j d_j − d.

    Integer labels c denote d_j = [j = c]: −z_c + log Σ_j e^{z_j}. Soft rows must sum to 1 ± 0.01, which allows for
    rounding; PyTorch's ``CrossEntropyLoss``, otherwise the same, accepts any rows.

    Parameters
    ----------
    label_smoothing : float
        s in [0, 1], default 0: (1 − s) d + s/K takes the place of d, K the number of classes, in training and in ``evaluate``;
        accuracy does not depend on it. As in PyTorch and Keras (Szegedy et al. 2016).

    Examples
    --------
    >>> import numpy as np
    >>> import nncore as nn
    >>> model = nn.Sequential([nn.Dense(3, weight_init="zeros")], input_shape=2)
    >>> loss, gradient = model.loss_and_gradient(np.ones((4, 2)), np.array([0, 1, 2, 0]), "softmax_cross_entropy")
    >>> bool(abs(loss - np.log(3)) < 1e-6)
    True
    """

    name = "softmax_cross_entropy"
    for_one_output = "sigmoid_cross_entropy"
    fused_activation = "softmax"

    def targets(self, y: Any, width: int, dtype: DTypeLike, argument: str = "y") -> Targets:
        array = as_numbers(y, argument)
        if array.ndim == 1 and width > 1:
            return Targets(as_labels(array, width, argument))
        return super().targets(array, width, dtype, argument)

    def kernel_for(self, targets: Targets) -> str:
        return "softmax_cross_entropy_labels" if targets.labels else "softmax_cross_entropy"


FUNCTIONS = (types.FunctionType, types.MethodType)  # equal only if they do the same; other callables are compared by identity


class PythonLoss(Loss):
    """A loss written in Python.

    Parameters
    ----------
    function : callable
        ``function(y, d)`` with outputs and targets (rows, width) returns the per-example losses (rows,) and the gradient of
        each with respect to its outputs (rows, width). nncore takes the mean over the batch of both. Both arguments are
        read-only.

    Examples
    --------
    >>> import numpy as np
    >>> import nncore as nn
    >>> def log_cosh(y, d):
    ...     return np.log(np.cosh(y - d)).sum(axis=1), np.tanh(y - d)
    >>> model = nn.Sequential([nn.Dense(1)], input_shape=2)
    >>> trainer = nn.Trainer(model, loss=log_cosh, optimizer="sgd")
    """

    function: Converted[Function, Function] = Converted(function_of("outputs", "targets"))

    def __init__(self, function: Function) -> None:
        self.function = function

    @property
    def name(self) -> str:  # type: ignore[override]
        """The name of the function."""
        return str(getattr(self.function, "__name__", "python_loss"))

    def config(self) -> dict[str, Any]:
        """Empty: a file holds only the name of the function."""
        return {}

    def key(self) -> Hashable:
        function = self.function
        return type(self), function if isinstance(function, FUNCTIONS) else id(function)

    def emit(self, tape: Tape, y: Signal, targets: Targets, weight: Array | None = None) -> tuple[Op, Op, Array]:
        losses = np.zeros(tape.capacity)
        gather, d = gather_targets(tape, targets, y.width, self.one_hot_values)

        def loss(rows: int) -> None:
            result = self.function(read_only(y.value[:rows]), read_only(d[:rows]))
            value, gradient = returned_pair(f"loss {self.name} must return per-example losses and their gradient", result)
            value = passed(f"loss {self.name}, first its {rows} per-example losses,", value, (rows,))
            gradient = passed(f"loss {self.name}, second a gradient,", gradient, (rows, y.width))
            if weight is not None:  # an example of weight 0 is left out, even if 0 times its loss would be NaN
                left_out = weight[:rows] == 0
                value, gradient = np.where(left_out, 0, value), np.where(left_out[:, None], 0, gradient)
            losses[:rows] = value if weight is None else value * weight[:rows]
            if y.grad is not None:
                scale = 1.0 / rows if weight is None else weight[:rows, None] / rows
                y.grad[:rows] = gradient * scale

        return gather, Op("serial", "python", (_kernels.PythonOp(loss),), completes_loss=True), losses

    def levels(self, rows: Array, argument: str, known: tuple[float, float] | None) -> tuple[float, float]:
        return _two_levels(rows, argument, known, fractions=True)

    def emit_tangent(self, y: Signal, op: Op, into: Array) -> Op:
        raise TypeError(
            f"loss {self.name} is written in Python and has no second derivative: curvature needs one of {', '.join(LOSSES)}"
        )


LOSSES = {cls.name: cls for cls in classes(Loss, __name__) if cls is not PythonLoss}


@functools.cache
def _defaults(name: str) -> dict[str, Any]:
    """The attributes of a loss that was made without arguments."""
    return vars(LOSSES[name]())


def get(loss: Loss | str | Callable[..., Any]) -> Loss:
    """Make a loss from an object, a name or a Python function."""
    if isinstance(loss, Loss):
        check_called("loss", loss, "__call__", advice="pass a function of outputs and targets instead")
        return loss
    if isinstance(loss, str) and loss in LOSSES:
        made = object.__new__(LOSSES[loss])
        vars(made).update(_defaults(loss))  # a tenth of the time of the constructor
        return made
    if callable(loss) and not isinstance(loss, type):
        return PythonLoss(loss)
    raise ValueError(f"loss must be a Loss, a function or one of {', '.join(LOSSES)}, got {shown(loss)}{hint(loss, LOSSES)}")


def targets_of(loss: Loss, y: Any, width: int, dtype: DTypeLike, argument: str = "y") -> Targets:
    """Call ``loss.targets`` and convert the result to arrays for the ops: a user-defined loss may return rows of any form.

    `Targets`, which the loss has converted before, are not converted again.
    """
    targets = y if isinstance(y, Targets) else loss.targets(y, width, dtype, argument)
    array = targets.array if isinstance(targets, Targets) else None
    if isinstance(array, np.ndarray) and array.dtype.kind in "fiub":
        labels = array.ndim == 1 and array.dtype.kind in "iu"
        if labels or (array.ndim == 2 and array.shape[1] == width and not targets.one_hot):  # which turns labels into rows
            fitting = for_kernels(convert(array, np.int64 if labels else dtype))
            return targets if fitting is array else replace(targets, array=fitting)
    got = f"{array.dtype} of shape {array.shape}" if isinstance(array, np.ndarray) else shown(targets)
    raise ValueError(
        f"{type(loss).__name__} must convert {argument} to integer labels (n,), or rows of numbers (n, {width}) that are not "
        f"one_hot labels, got {got}"
    )


def emit_weighted(loss: Loss, tape: Tape, y: Signal, targets: Targets) -> tuple[list[Op], Op, Array]:
    """As `Loss.emit`, and also gather the tape's example weights if there are any."""
    weight = tape.example_weights
    gather, op, values = loss.emit(tape, y, targets, weight)
    return [gather] if weight is None else [gather, Op("rows", "gather_weights", (weight, None))], op, values


def gather_targets(tape: Tape, targets: Targets, width: int, one_hot_values: tuple[float, float]) -> tuple[Op, Array]:
    """The op that gathers the batch's targets into the arena (each run binds its targets), and its output array."""
    if targets.one_hot:
        rows = tape.array(width)
        return Op("rows", "gather_one_hot", (rows, None), (width,), one_hot_values), rows
    if targets.labels:
        labels = np.zeros(tape.capacity, dtype=np.int64)
        return Op("rows", "gather_labels", (labels, None), (width,)), labels
    rows = tape.array(width)
    return Op("rows", "gather_rows", (rows, None), (width,)), rows


def chunk(width: int, dtype: DTypeLike) -> int:
    """Numbers of an operand by column, which is repeated as often as a chunk of an op has rows."""
    return max(width, CHUNK_BYTES // np.dtype(dtype).itemsize)


def _quantiles(name: str, value: Any) -> float | tuple[float, ...]:
    """A number in (0, 1), or a tuple of such."""
    each = Number(above=0, below=1, argument=name)
    if isinstance(value, (*NUMBER, str)) or not isinstance(value, (Sequence, np.ndarray)):
        return each.check(value)
    return ListOf(each).check(value) or each.refuse(ValueError, value)


def _two_levels(rows: Array, argument: str, known: tuple[float, float] | None, *, fractions: bool) -> tuple[float, float]:
    """The two values in the targets; 0 and 1 for values in between, if they may be probabilities of classes."""
    low, high = float(rows.min()), float(rows.max())
    if low == high:  # only one class: the other is unknown
        for pair in (known, (0.0, 1.0), (-1.0, 1.0)):
            if pair is not None and low in pair:
                return pair
        raise ValueError(f"accuracy needs two classes to find the threshold between them: {argument} must not be {low:g} alone")
    if ((rows == low) | (rows == high)).all():
        return low, high
    if fractions and low >= 0 and high <= 1:
        return 0.0, 1.0
    other = rows[(rows != low) & (rows != high)][0]
    raise ValueError(
        f"accuracy needs classes: {argument} must be labels, 0 and 1 or ±1, got {other} between {low:g} and {high:g}"
    )


def _are_labels(array: Array, classes: int, argument: str) -> bool:
    """Whether these are integers from 0 to classes − 1."""
    _check_missing(array, argument)
    return bool((array == np.floor(array)).all() and (array >= 0).all() and (array < classes).all())


def as_labels(array: Array, classes: int, argument: str) -> Array:
    """Integer labels in 0 … classes − 1 as int64."""
    if array.dtype == np.int64 and array.flags.aligned and _kernels.are_labels(array, classes):
        return for_kernels(array)
    _check_missing(array, argument)
    if array.dtype.kind not in "iubf":
        raise ValueError(f"{argument} must be integer labels for {classes} outputs, got dtype {array.dtype}")
    for row in np.flatnonzero(array != np.floor(array))[:1] if array.dtype.kind == "f" else ():
        raise ValueError(f"{argument} must be integer labels for {classes} outputs, got {array[row]} in row {row}")
    for row in np.flatnonzero((array < 0) | (array >= classes))[:1]:
        raise ValueError(f"{argument} must be labels from 0 to {classes - 1}, got {array[row]} in row {row}")
    return for_kernels(array, np.int64)


def _check_missing(labels: Array, argument: str) -> None:
    """Raise if a label is NaN, which denotes a missing value, or infinite."""
    if labels.dtype.kind != "f" or np.isfinite(labels).all():
        return
    row = int(np.flatnonzero(~np.isfinite(labels))[0])
    expected = "have no missing values" if np.isnan(labels[row]) else "be finite"
    raise ValueError(f"{argument} must {expected}, got {labels[row]} in row {row}")
