"""Normalisation over the batch: each channel by its own mean and variance."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nncore._kernels.program import CHANNELS, MOMENTS, SLOT_ROWS, TABLE, TANGENTS
from nncore._messages import shown
from nncore._utils.fields import Converted, Flag, Maybe, Number, number
from nncore.initializers import Constant
from nncore.layers.activations import ReLU
from nncore.layers.base import Array, Layer
from nncore.program.ops import Op, Signal
from nncore.program.tape import Tape
from nncore.schedules import Schedule, as_schedule

__all__ = ["BatchNorm", "BatchRenorm"]

FLOPS = 20  # an element costs as much as so many floating-point operations of a matrix product


class BatchNorm(Layer):
    """Batch normalisation: x̂ = (x − μ) / √(σ² + ε), y = γ x̂ + β, for each channel.

    In training μ and σ² are the mean and the variance (divided by m) of the batch, over its rows and, for inputs
    (rows, channels, length), over the length: m numbers a channel. They depend on x, so the backward pass is

        ∂l/∂β = Σ δ,   ∂l/∂γ = Σ δ x̂,   ∂l/∂x = γ/√(σ² + ε) (δ − mean(δ) − x̂ mean(δ x̂)),

    with δ = ∂l/∂y and sums and means over the m numbers. At inference running averages take their place, renewed in each step
    of a `Trainer` (and only there: ``model.forward(X, training=True)`` and ``loss_and_gradient`` change nothing):

        running ← running + momentum (batch − running).

    Statistics are accumulated in double precision from differences to a number of the batch, so that a mean of 10⁶ standard
    deviations costs no digits. A `ReLU` that follows directly is computed in the same pass over memory; ``model.activations``
    shows both outputs nevertheless.

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
        Normalise only these channels; the others are passed on as they are. Then γ and β have one number for each of these.
    frozen : bool
        Use the running averages in training too, as constants: for fine-tuning. May be assigned at any time.
    name : str, optional

    Attributes
    ----------
    weight, bias : views into ``model.parameters``: γ and β. A regularizer leaves them alone.
    running_mean, running_var, batches : views into ``model.state``.

    Raises
    ------
    ValueError
        For an input that is not (channels,) or (channels, length), units that are not channels, constants out of range; in
        training for a batch of one row, whose variance would be 0.

    Notes
    -----
    Source: Ioffe, Szegedy (2015). ``trainer.update_batch_statistics(X)`` replaces the running averages by the exact means over
    X, ``model.fold_batch_norm()`` merges the layer into the `Dense` before it.

    Examples
    --------
    >>> import numpy as np
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
            self.add_state("running_mean", (self.places,), 0.0)
            self.add_state("running_var", (self.places,), 1.0)
            self.add_state("batches", (1,), 0.0)
        return input_shape

    assignable = ("frozen",)

    @property
    def variant(self) -> bool:
        return self.frozen

    @property
    def couples_rows(self) -> bool:
        return self._of_batch(True)

    def smallest_batch(self, training: bool) -> int:
        return 2 if self.length == 1 and self._of_batch(training) else 1

    def _of_batch(self, training: bool) -> bool:
        """Are the statistics those of the batch?"""
        return not self.track_running_stats or (training and not self.frozen)

    def fuses(self, following: Layer) -> bool:
        return type(following) is ReLU

    def emit(self, tape: Tape, x: Signal) -> Signal:
        return self._emit(tape, x, str(self.name), "batch_norm")

    def emit_fused(self, tape: Tape, x: Signal, following: Layer) -> Signal:
        return self._emit(tape, x, str(following.name), "batch_norm_relu")

    def _emit(self, tape: Tape, x: Signal, name: str, kernel: str) -> Signal:
        y = tape.signal(name, self.output_shape)
        channels, sizes = self.channels, (self.channels, self.length, self.places)
        slots, pieces = -(-tape.capacity // SLOT_ROWS), -(-channels // CHANNELS)
        table, batch = tape.arena.take((TABLE, channels), tape.dtype), tape.arena.take((2, channels), tape.dtype)
        counts = tape.arena.take(slots, np.float64)
        place = self._place()
        weight, bias = self._affine(tape)
        of_batch = self._of_batch(tape.training)
        tape.flops_per_row += FLOPS * y.width

        if of_batch:
            partials = tape.arena.take((slots, MOMENTS, channels), np.float64)
            tape.rows("batch_norm_sums", partials, counts, x.value, sizes=sizes)
            self._statistics(tape, (table, batch, partials, counts, weight, bias, place), sizes, pieces)
            tape.statistics[str(self.name)] = batch
        else:
            arrays = (table, self._running(), weight, bias, place)
            constants = Op("tiles", "batch_norm_constants", arrays, sizes, (self.eps,))
            (tape.forward if tape.training else tape.prepare).append(constants)
        tape.rows(f"{kernel}_forward", y.value, x.value, table, sizes=sizes)
        if tape.gradients:
            sums = self._emit_backward(tape, x, y, kernel, table, batch, counts, place, pieces)
            if tape.tangents and (self.affine or x.tangent is not None) and self.twice_differentiable:
                self._emit_tangent(tape, x, y, (weight, sums, counts, table, place), pieces)
        return y

    @property
    def twice_differentiable(self) -> bool:
        """Is there an R-operator?"""
        return True

    def _statistics(self, tape: Tape, arrays: tuple[Any, ...], sizes: tuple[int, ...], pieces: int) -> None:
        """From the sums of the blocks, the table of all that the rows need."""
        tape.tiles("batch_norm_statistics", *arrays, pieces=pieces, sizes=sizes, constants=(self.eps,))

    def _emit_backward(
        self, tape: Tape, x: Signal, y: Signal, kernel: str, table: Array, batch: Array, counts: Array, place: Array | None,
        pieces: int,
    ) -> Array:  # fmt: skip
        """Record the way back; where it leaves the sums of the blocks."""
        sizes, of_batch = (self.channels, self.length, self.places), self._of_batch(True)
        partials = tape.arena.take((len(counts), 2, self.channels), np.float64)
        factors = tape.arena.take((2, self.channels), tape.dtype)
        scratch = tape.arena.take((2, self.places), tape.dtype)
        weight_grad, bias_grad = (self.weight_grad, self.bias_grad) if self.affine else scratch
        tape.rows_backward(f"{kernel}_backward_sums", partials, counts, y.grad, x.value, table, sizes=sizes)
        arrays = (weight_grad, bias_grad, factors, partials, counts, table, place)
        tape.tiles_backward("batch_norm_backward_statistics", *arrays, pieces=pieces, sizes=(*sizes, not of_batch))
        if x.grad is not None:
            tape.rows_backward(f"{kernel}_backward", x.grad, y.grad, x.value, table, factors, sizes=sizes)
        for parameter in self.parameters.values():
            tape.written_gradient(parameter.offset, parameter.size)
        if tape.tracking and self.track_running_stats and of_batch:  # after the loss is known to be finite
            constants = (self.momentum or 0.0, float(self.unbiased_running_var), self.eps)
            track = (self._running(), self.batches, batch, place)
            cost = (float(self.channels),)
            tape.gradient(Op("tiles", self._track, track, sizes, constants, cost, tiles=((0, 0, 0, 0),)))
        return partials

    def _emit_tangent(self, tape: Tape, x: Signal, y: Signal, of: tuple[Any, ...], pieces: int) -> None:
        """R{x̂} = (R{x} − mean(R{x}) − x̂ mean(R{x} x̂)) / √(σ² + ε), and so on: the formulas are in normalization_tangents.h."""
        weight, sums, counts, table, place = of
        of_batch, sizes = self._of_batch(True), (self.channels, self.length, self.places)
        tangents, partials = tape.arena.take((TANGENTS, self.channels), np.float64), tape.arena.take(sums.shape, np.float64)
        scratch, zeros = tape.arena.take((2, self.places), tape.dtype), tape.arena.take(self.places, tape.dtype)
        v = [tape.direction(self.weight), tape.direction(self.bias)] if self.affine else [zeros, zeros]
        product = [tape.product(self.weight_grad), tape.product(self.bias_grad)] if self.affine else list(scratch)
        tx = tape.array(x.width) if x.tangent is None else x.tangent  # of the data: 0
        ty, tdy = tape.tangent_signal(y)
        by_channel: dict[str, Any] = {"pieces": pieces, "sizes": (*sizes, not of_batch)}
        if of_batch:  # Σ R{x} and Σ R{x} (x − μ), as of δ on the way back
            tape.tangent_forward("batch_norm_backward_sums", partials, counts, tx, x.value, table, sizes=sizes)
        tape.tangent_tiles("batch_norm_tangent_statistics", tangents, partials, counts, table, weight, *v, place, **by_channel)
        tape.tangent_forward("batch_norm_tangent_forward", ty, tx, x.value, table, tangents, sizes=sizes)
        rows = (tdy, y.grad, tx, x.value, table, tangents)
        tape.tangent_backward("batch_norm_tangent_backward_sums", partials, *rows, sizes=sizes)
        arrays = (*product, tangents, partials, sums, counts, table, place)
        tape.tangent_tiles_backward("batch_norm_tangent_backward_statistics", *arrays, **by_channel)
        if x.grad_tangent is not None:
            tape.tangent_backward("batch_norm_tangent_backward", x.grad_tangent, *rows, sizes=sizes)

    def _place(self) -> Array | None:
        """Which parameter each channel has, -1 for none."""
        if self.units is None:
            return None
        place = np.full(self.channels, -1, dtype=np.int64)
        place[list(self.units)] = np.arange(self.places)
        return place

    def _affine(self, tape: Tape) -> tuple[Array, Array]:
        """γ and β; without them ones and zeros."""
        if self.affine:
            return self.weight, self.bias
        weight, bias = tape.arena.take((2, self.places), tape.dtype)
        weight[...] = 1
        return weight, bias

    def _running(self) -> Array:
        """Running mean and variance, (2, parameters): they lie side by side in the state."""
        return self.running_mean  # the variance follows it


class BatchRenorm(BatchNorm):
    """Batch renormalisation: x̂ = r (x − μ)/√(σ² + ε) + d, y = γ x̂ + β, which ties the batch to the running averages.

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

    Examples
    --------
    >>> import nncore as nn
    >>> model = nn.Sequential([nn.BatchRenorm(r_max=1, d_max=0)], input_shape=1, dtype="float64")
    >>> model.forward([[1.0], [3.0]], training=True).round(3)
    array([[-1.],
           [ 1.]])
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

    def _statistics(self, tape: Tape, arrays: tuple[Any, ...], sizes: tuple[int, ...], pieces: int) -> None:
        columns = tape.scheduled("r_max", self.r_max, 1.0), tape.scheduled("d_max", self.d_max, 0.0)
        first = [float(schedule.values(0, 1)[0]) for schedule in (self.r_max, self.d_max)]
        tape.tiles(
            "batch_renorm_statistics", *arrays, self._running(), pieces=pieces, sizes=(*sizes, *columns),
            constants=(self.eps, *first),
        )  # fmt: skip

    @property
    def twice_differentiable(self) -> bool:
        return self.frozen  # r and d count as constants, so the gradient is not that of a function


def _units(units: Sequence[int]) -> tuple[int, ...]:
    if isinstance(units, (str, Mapping)) or not isinstance(units, (Sequence, np.ndarray)):
        raise TypeError(f"units must be a list of channel numbers, got {shown(units)}")
    array = np.asarray(units)
    if (
        array.ndim != 1
        or array.dtype.kind not in "iu"
        or not array.size
        or array.min() < 0
        or len(set(array.tolist())) < array.size
    ):
        raise ValueError(f"units must be different channel numbers, at least one, got {shown(units)}")
    return tuple(sorted(array.tolist()))


def _limit(name: str, value: float | Schedule | dict[str, Any], least: float) -> Schedule:
    if isinstance(value, (Schedule, dict)):
        return as_schedule(value)
    return as_schedule(number(name, value, least))
