"""Batch normalization: each channel by its mean and variance over the batch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nncore._kernels.program import CHANNELS, MOMENTS, SLOT_ROWS, TABLE, TANGENTS
from nncore._messages import shown
from nncore._utils.checks import as_numbers
from nncore._utils.each import Each
from nncore._utils.fields import Converted, Flag, Maybe, Number, number
from nncore.initializers import Constant
from nncore.layers.activations import ReLU
from nncore.layers.base import Array, Layer
from nncore.program.ops import Op, Signal
from nncore.program.tape import TangentTape, Tape
from nncore.schedules import Schedule, as_schedule

__all__ = ["BatchNorm", "BatchRenorm"]

FLOPS = 20  # per element, in floating-point operations of a matrix product


class BatchNorm(Layer):
    """Batch normalization: x̂ = (x − μ) / √(σ² + ε), y = γ x̂ + β, for each channel.

    In training μ and σ² are the mean and the variance (divided by m) of the batch, over its rows and, for inputs
    (rows, channels, length), over the length: m numbers a channel. They depend on x, so the backward pass is

        ∂l/∂β = Σ δ,   ∂l/∂γ = Σ δ x̂,   ∂l/∂x = γ/√(σ² + ε) (δ − mean(δ) − x̂ mean(δ x̂)),

    with δ = ∂l/∂y and sums and means over the m numbers. At inference running averages take their place, renewed in each step
    of a `Trainer` (and only there: ``model.forward(X, training=True)`` and ``loss_and_gradient`` change nothing):

        running ← running + momentum (batch − running).

    Statistics are accumulated in double precision from differences to a number of the batch, so that a mean of 10⁶ standard
    deviations costs no digits. A `ReLU` that follows directly is computed in the same pass over memory; ``model.activations``
    shows both outputs nevertheless. ``trainer.update_batch_statistics(X)`` replaces the running averages by the exact means
    over X, ``model.fold_batch_norm()`` merges the layer into the `Dense` before it. Source: Ioffe, Szegedy (2015).

    Parameters
    ----------
    momentum : float or None
        Weight of the new batch, default 0.1 as in PyTorch; Keras's is the weight of the old average, 1 − this one.
        ``None``: the plain mean over all batches so far.
    eps : float
        ε, default 1e-5 (PyTorch; Keras 1e-3).
    affine : bool
        Without it γ = 1 and β = 0.
    unbiased_running_var : bool
        The running average takes σ² m/(m − 1), as PyTorch does; Keras averages σ².
    track_running_stats : bool
        Without it the statistics are those of the rows computed together at inference too (at most 1024 in ``forward``, 512 in
        ``evaluate``).
    units : sequence of int, optional
        Normalize only these channels; the others are passed on unchanged. Then γ and β have one number for each of these.
    frozen : bool
        Use the running averages in training too, as constants: for fine-tuning. May be assigned at any time.

    Attributes
    ----------
    weight, bias : views into ``model.parameters``: γ and β. Regularizers do not apply to them.
    running_mean, running_var, batches : views into ``model.state``.

    Raises
    ------
    ValueError
        For an input that is not (channels,) or (channels, length), units that are not channels, constants out of range; in
        training for a batch of one row, whose variance would be 0.
    DivergenceError
        In training, for a variance beyond the largest number of the network's dtype: inference could not use it.

    Examples
    --------
    >>> import nncore as nn
    >>> model = nn.Sequential([nn.BatchNorm()], input_shape=1, dtype="float64")
    >>> model.forward([[1.0], [3.0]], training=True).round(3)
    array([[-1.],
           [ 1.]])
    """

    weight: Array
    bias: Array
    weight_grad: Array
    bias_grad: Array
    running_mean: Array
    running_var: Array
    batches: Array
    momentum: Maybe[float, float] = Maybe(Number(above=0, most=1))
    eps: Number = Number(above=0)
    affine: Flag = Flag()
    unbiased_running_var: Flag = Flag()
    track_running_stats: Flag = Flag()
    units: Maybe[Sequence[int], tuple[int, ...]] = Maybe(Converted(lambda name, value: _units(value)))
    frozen: Flag = Flag()
    _track = "batch_norm_track"  # the op that renews the running averages

    def __init__(
        self, *, momentum: float | None = 0.1, eps: float = 1e-5, affine: bool = True, unbiased_running_var: bool = True,
        track_running_stats: bool = True, units: Sequence[int] | None = None, frozen: bool = False, name: str | None = None,
    ) -> None:  # fmt: skip
        super().__init__(name=name)
        self.momentum, self.eps, self.affine, self.unbiased_running_var = momentum, eps, affine, unbiased_running_var
        self.track_running_stats, self.frozen, self.units = track_running_stats, frozen, units

    def check_fields(self, assigned: Mapping[str, Any]) -> None:
        if self.frozen and not self.track_running_stats:
            raise ValueError("frozen=True needs running averages, got track_running_stats=False")

    def build(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        if len(input_shape) > 2:
            raise ValueError(f"{self.label}: its input shape must be (channels,) or (channels, length), got {input_shape}")
        self.channels, self.length = input_shape[0], math.prod(input_shape[1:])
        if self.units and self.units[-1] >= self.channels:
            raise ValueError(f"{self.label}: units must be channels from 0 to {self.channels - 1}, got {self.units[-1]}")
        self.places = len(self.units) if self.units else self.channels
        if self.affine:
            self.add_parameter("weight", (self.places,), Constant(1.0))
            self.add_parameter("bias", (self.places,), "zeros")
        if self.track_running_stats:
            self.add_state("running_mean", (self.places,), 0.0)  # from which ops read the variance too, which follows it
            self.add_state("running_var", (self.places,), 1.0, minimum=0.0)
            self.add_state("batches", (1,), 0.0, minimum=0.0)
        return input_shape

    assignable = ("frozen",)

    @property
    def variant(self) -> bool:
        return self.frozen

    @property
    def batch_dependent(self) -> bool:
        return self._of_batch(True)

    @property
    def batch_dependent_at_inference(self) -> bool:
        return self._of_batch(False)

    def smallest_batch(self, training: bool) -> int:
        return 2 if self.length == 1 and self._of_batch(training) else 1

    def _of_batch(self, training: bool) -> bool:
        """Whether the statistics are those of the batch."""
        return not self.track_running_stats or (training and not self.frozen)

    def fuses(self, following: Layer) -> bool:
        return type(following) is ReLU

    def emit(self, tape: Tape, x: Signal) -> Signal:
        return self._emit(tape, x, str(self.name), "batch_norm")

    def emit_fused(self, tape: Tape, x: Signal, following: Layer) -> Signal:
        return self._emit(tape, x, str(following.name), "batch_norm_relu")

    def _emit(self, tape: Tape, x: Signal, name: str, kernel: str) -> Signal:
        y, arrays = tape.signal(name, self.output_shape), _Arrays(tape, self)
        tape.flops_per_row += FLOPS * y.width
        if self._of_batch(tape.training):
            tape.forward.rows("batch_norm_sums", arrays.moments, arrays.counts, x.value, sizes=self._sizes)
            self._emit_statistics(tape, arrays)
            tape.statistics[str(self.name)] = arrays.batch
        else:
            operands = (arrays.table, self.running_mean, arrays.weight, arrays.bias, arrays.place)
            constants = Op("tiles", "batch_norm_constants", operands, self._sizes, (self.eps,))
            (tape.forward if tape.training else tape.prepare).add(constants)
        tape.forward.rows(f"{kernel}_forward", y.value, x.value, arrays.table, sizes=self._sizes)
        if tape.gradients:
            self._emit_backward(tape, x, y, kernel, arrays)
        if isinstance(tape, TangentTape) and (self.affine or x.tangent is not None):
            self._emit_tangent(tape, x, y, arrays)
        return y

    @property
    def _sizes(self) -> tuple[int, ...]:
        return self.channels, self.length, self.places

    @property
    def _work_items(self) -> int:
        """Of the ops over channels."""
        return -(-self.channels // CHANNELS)

    def _emit_statistics(self, tape: Tape, arrays: _Arrays) -> None:
        """Record the op that computes, from the sums of the blocks, all that the rows need."""
        operands, sizes = arrays.statistics, self._sizes
        tape.forward.tiles("batch_norm_statistics", *operands, work_items=self._work_items, sizes=sizes, constants=(self.eps,))

    def _emit_backward(self, tape: Tape, x: Signal, y: Signal, kernel: str, arrays: _Arrays) -> None:
        """Record the backward pass and the update of the running averages."""
        sizes, of_batch, table, counts = self._sizes, self._of_batch(True), arrays.table, arrays.counts
        factors = tape.arena.take((2, self.channels), tape.dtype)
        scratch = tape.arena.take((2, self.places), tape.dtype)
        weight_grad, bias_grad = (self.weight_grad, self.bias_grad) if self.affine else scratch
        tape.backward.rows(f"{kernel}_backward_sums", arrays.sums, counts, y.grad, x.value, table, sizes=sizes)
        operands = (weight_grad, bias_grad, factors, arrays.sums, counts, table, arrays.place)
        per_channel: dict[str, Any] = {"work_items": self._work_items, "sizes": (*sizes, not of_batch)}
        tape.backward.tiles("batch_norm_backward_statistics", *operands, **per_channel)
        if x.grad is not None:
            tape.backward.rows(f"{kernel}_backward", x.grad, y.grad, x.value, table, factors, sizes=sizes)
        for parameter in self.parameters.values():
            tape.written_gradient(parameter.offset, parameter.size)
        if tape.tracking and self.track_running_stats and of_batch:  # after the loss is known to be finite
            constants = (self.momentum or 0.0, float(self.unbiased_running_var), self.eps)
            averages, cost = (self.running_mean, self.batches, arrays.batch, arrays.place), (float(self.channels),)
            tape.gradient(Op("tiles", self._track, averages, sizes, constants, cost, tiles=((0, 0, 0, 0),), tracks=True))

    def _emit_tangent(self, tape: TangentTape, x: Signal, y: Signal, arrays: _Arrays) -> None:
        """R{x̂} = (R{x} − mean(R{x}) − x̂ mean(R{x} x̂)) / √(σ² + ε), and so on: the formulas are in normalization_tangents.h."""
        of_batch, sizes, place, table, counts = self._of_batch(True), self._sizes, arrays.place, arrays.table, arrays.counts
        tangents, partials = (tape.arena.take(s, np.float64) for s in ((TANGENTS, self.channels), arrays.sums.shape))
        scratch, zeros = tape.arena.take((2, self.places), tape.dtype), tape.arena.take(self.places, tape.dtype)
        v = [tape.direction(self.weight), tape.direction(self.bias)] if self.affine else [zeros, zeros]
        product = [tape.product(self.weight_grad), tape.product(self.bias_grad)] if self.affine else list(scratch)
        tx = tape.array(x.width) if x.tangent is None else x.tangent  # of the data: 0
        ty, tdy = tape.tangent_signal(y)
        per_channel: dict[str, Any] = {"work_items": self._work_items, "sizes": (*sizes, not of_batch)}
        if of_batch:  # Σ R{x} and Σ R{x} (x − μ), as of δ in the backward pass
            tape.tangent_forward.rows("batch_norm_backward_sums", partials, counts, tx, x.value, table, sizes=sizes)
        operands = (tangents, partials, counts, table, arrays.weight, *v, place)
        tape.tangent_forward.tiles("batch_norm_tangent_statistics", *operands, **per_channel)
        tape.tangent_forward.rows("batch_norm_tangent_forward", ty, tx, x.value, table, tangents, sizes=sizes)
        rows = (tdy, y.grad, tx, x.value, table, tangents)
        tape.tangent_backward.rows("batch_norm_tangent_backward_sums", partials, *rows, sizes=sizes)
        operands = (*product, tangents, partials, arrays.sums, counts, table, place)
        tape.tangent_backward.tiles("batch_norm_tangent_backward_statistics", *operands, **per_channel)
        if x.grad_tangent is not None:
            tape.tangent_backward.rows("batch_norm_tangent_backward", x.grad_tangent, *rows, sizes=sizes)


class _Arrays:
    """The arrays that the ops of one layer share."""

    def __init__(self, tape: Tape, layer: BatchNorm) -> None:
        channels, slots, take = layer.channels, -(-tape.capacity // SLOT_ROWS), tape.arena.take
        self.table: Array = take((TABLE, channels), tape.dtype)
        self.batch: Array = take((2, channels), tape.dtype)  # mean and variance
        self.counts: Array = take(slots, np.float64)  # rows of each slot
        self.moments: Array = take((slots, MOMENTS, channels), np.float64)
        self.sums: Array = take((slots, 2, channels), np.float64) if tape.gradients else np.empty(0)
        self.place: Array | None = None  # of each channel its parameter, -1 for none; None: channel i has parameter i
        if layer.units is not None:
            self.place = np.full(channels, -1, dtype=np.int64)
            self.place[list(layer.units)] = np.arange(layer.places)
        if layer.affine:
            self.weight, self.bias = layer.weight, layer.bias
        else:
            self.weight, self.bias = take((2, layer.places), tape.dtype)
            self.weight[...] = 1

    @property
    def statistics(self) -> tuple[Any, ...]:
        """The operands of the ops that compute statistics."""
        return self.table, self.batch, self.moments, self.counts, self.weight, self.bias, self.place


class BatchRenorm(BatchNorm):
    """Batch renormalization: x̂ = r (x − μ)/√(σ² + ε) + d, y = γ x̂ + β, which ties the batch to the running averages.

    With the running averages μ_r, σ²_r from before this batch, and as constants of the backward pass,

        r = clip(√(σ² + ε)/√(σ_r² + ε), 1/r_max, r_max),   d = clip((μ − μ_r)/√(σ_r² + ε), −d_max, d_max).

    Without limits this is x̂ = (x − μ_r)/√(σ_r² + ε), the same as at inference; r_max = 1 and d_max = 0 is `BatchNorm`. The
    backward pass is

        ∂l/∂β = Σ δ,   ∂l/∂γ = Σ δ x̂,   ∂l/∂x = γ r/√(σ² + ε) (δ − mean(δ) − u mean(δ u)),   u = (x − μ)/√(σ² + ε).

    Parameters
    ----------
    r_max, d_max : float or Schedule
        Limits, at least 1 and at least 0; default 3 and 5, which the paper reaches after starting from 1 and 0. A schedule
        counts the steps of the trainer's optimizer; outside a trainer its value at step 0 holds.
    momentum, eps, affine, unbiased_running_var, units, frozen, name
        As for `BatchNorm`, but as in the paper it is √(σ² + ε) that is averaged; ``running_var`` is the variance that belongs
        to the average. Keras's ``renorm_stddev`` is that average, of the biased σ²: ``unbiased_running_var=False``.

    Notes
    -----
    Source: Ioffe (2017). As r and d count as constants, central differences of the loss differ from the gradient where neither
    limit holds r and d fixed.
    """

    r_max: Converted[float | Schedule, Schedule] = Converted(lambda name, value: _limit(name, value, 1.0))
    d_max: Converted[float | Schedule, Schedule] = Converted(lambda name, value: _limit(name, value, 0.0))
    _track = "batch_renorm_track"

    def __init__(
        self, *, r_max: float | Schedule = 3.0, d_max: float | Schedule = 5.0, momentum: float | None = 0.1, eps: float = 1e-5,
        affine: bool = True, unbiased_running_var: bool = True, units: Sequence[int] | None = None, frozen: bool = False,
        name: str | None = None,
    ) -> None:  # fmt: skip
        super().__init__(
            momentum=momentum, eps=eps, affine=affine, unbiased_running_var=unbiased_running_var, units=units, frozen=frozen,
            name=name,
        )  # fmt: skip
        self.r_max, self.d_max = r_max, d_max

    def _emit_statistics(self, tape: Tape, arrays: _Arrays) -> None:
        for limit in (self.r_max, self.d_max):
            if isinstance(limit, Each):
                limit._refuse()
        columns = tape.scheduled("r_max", self.r_max, 1.0), tape.scheduled("d_max", self.d_max, 0.0)
        constants = (self.eps, *(float(schedule.values(0, 1)[0]) for schedule in (self.r_max, self.d_max)))
        operands, sizes = (*arrays.statistics, self.running_mean), (*self._sizes, *columns)
        tape.forward.tiles("batch_renorm_statistics", *operands, work_items=self._work_items, sizes=sizes, constants=constants)

    def _emit_tangent(self, tape: TangentTape, x: Signal, y: Signal, arrays: _Arrays) -> None:
        if self.frozen:  # otherwise r and d count as constants, so the gradient is not that of a function
            super()._emit_tangent(tape, x, y, arrays)


def inference_constants(layer: BatchNorm) -> tuple[Array, Array, Array]:
    """Center, factor and offset of all channels at inference, y = (x − center) factor + offset, in double precision."""
    center, factor, offset = np.zeros(layer.channels), np.ones(layer.channels), np.zeros(layer.channels)
    chosen = slice(None) if layer.units is None else list(layer.units)
    center[chosen] = layer.running_mean
    factor[chosen] = (layer.weight if layer.affine else 1) / np.sqrt(layer.running_var.astype(np.float64) + layer.eps)
    offset[chosen] = layer.bias if layer.affine else 0
    return center, factor, offset


def _units(units: Sequence[int]) -> tuple[int, ...]:
    if isinstance(units, (str, Mapping)) or not isinstance(units, (Sequence, np.ndarray)):
        raise TypeError(f"units must be a list of channel numbers, got {shown(units)}")
    array = as_numbers(units, "units")
    whole = array.ndim == 1 and array.dtype.kind in "iu" and array.size
    if not whole or array.min() < 0 or len(set(array.tolist())) < array.size:
        raise ValueError(f"units must be different channel numbers, at least one, got {shown(units)}")
    return tuple(sorted(array.tolist()))


def _limit(name: str, value: float | Schedule | dict[str, Any], least: float) -> Schedule:
    if isinstance(value, Each):
        return value.checked(lambda own: _limit(name, own, least))
    if isinstance(value, (Schedule, dict)):
        return as_schedule(value)
    return as_schedule(number(name, value, least))
