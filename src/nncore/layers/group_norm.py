"""Normalization of each example by itself: layer, instance, group and root-mean-square normalization."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nncore._kernels.program import CHANNELS, GROUP_STATISTICS, SLOT_ROWS
from nncore._utils.fields import Count, Flag, Number
from nncore.initializers import Constant
from nncore.layers.base import Array, Layer
from nncore.layers.batch_norm import FLOPS
from nncore.program.ops import Op, Signal
from nncore.program.tape import TangentTape, Tape

__all__ = ["GroupNorm", "InstanceNorm", "LayerNorm", "RMSNorm"]


class _RowNorm(Layer):
    """Base: a row is ``groups`` runs of numbers, each with its statistics; ``share`` numbers share a weight and a bias."""

    weight: Array
    bias: Array
    weight_grad: Array
    bias_grad: Array
    kernel = "group_norm"
    has_bias = True
    centered = True  # whether the mean is subtracted

    eps: Number = Number(above=0)
    affine: Flag = Flag()

    def __init__(self, *, eps: float = 1e-5, affine: bool = True, name: str | None = None) -> None:
        super().__init__(name=name)
        self.eps, self.affine = eps, affine

    def shape_of_groups(self, input_shape: tuple[int, ...]) -> tuple[int, int]:
        """(groups, share)."""
        return 1, 1

    def build(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        self.groups, self.share = self.shape_of_groups(input_shape)
        width = math.prod(input_shape)
        self.size, self.places = width // self.groups, width // self.share
        if self.size == 1 and self.centered:
            raise ValueError(
                f"{self.label} must have at least two numbers to take the mean and the variance of, or its output is constant; "
                f"got groups of one number, of input shape {input_shape}"
            )
        if self.affine:
            shape = input_shape if self.share == 1 else (self.places,)
            self.add_parameter("weight", shape, Constant(1.0))
            if self.has_bias:
                self.add_parameter("bias", shape, "zeros")
        return input_shape

    @property
    def _sizes(self) -> tuple[int, ...]:
        return self.groups, self.size, self.share

    def emit(self, tape: Tape, x: Signal) -> Signal:
        y, slots = tape.signal(str(self.name), self.output_shape), -(-tape.capacity // SLOT_ROWS)
        statistics = tape.arena.take((tape.capacity, self.groups, GROUP_STATISTICS), tape.dtype)
        ones, zeros = tape.arena.take((2, self.places), tape.dtype)
        ones[...] = 1
        weight, bias = self.weight if self.affine else ones, self.bias if self.affine and self.has_bias else zeros
        tape.flops_per_row += FLOPS * y.width
        arrays: tuple[Any, ...] = (y.value, statistics, x.value, weight, bias)
        tape.forward.rows(f"{self.kernel}_forward", *arrays, sizes=self._sizes, constants=(self.eps,))
        if not tape.gradients:
            return y
        partials, counts = tape.arena.take((slots, 2, self.places), np.float64), tape.arena.take(slots, np.float64)
        dx = tape.array(x.width) if x.grad is None else x.grad
        arrays = (dx, partials, counts, y.grad, x.value, statistics, weight)
        tape.backward.rows(f"{self.kernel}_backward", *arrays, sizes=self._sizes)
        for name in self.parameters:
            tape.gradient(self._sums(tape, name, getattr(self, f"{name}_grad"), partials, counts))
        if isinstance(tape, TangentTape) and (self.affine or x.tangent is not None):
            self._emit_tangent(tape, x, y, statistics, weight, counts)
        return y

    def _emit_tangent(self, tape: TangentTape, x: Signal, y: Signal, statistics: Array, weight: Array, counts: Array) -> None:
        """R{x̂} = (R{x} − mean(R{x}) − x̂ mean(R{x} x̂)) / √(σ² + ε), and so on: the formulas are in normalization_tangents.h."""
        sizes, kernel, zeros = self._sizes, f"{self.kernel}_tangent", tape.arena.take(self.places, tape.dtype)
        v_weight, v_bias = (tape.direction(getattr(self, p)) if p in self.parameters else zeros for p in ("weight", "bias"))
        tx = tape.array(x.width) if x.tangent is None else x.tangent  # of the data: 0
        ty, tdy = tape.tangent_signal(y)
        tape.tangent_forward.rows(f"{kernel}_forward", ty, tx, x.value, statistics, weight, v_weight, v_bias, sizes=sizes)
        rows = (tdy, y.grad, tx, x.value, statistics)
        if self.affine:
            partials = tape.arena.take((len(counts), 2, self.places), np.float64)
            tape.tangent_backward.rows(f"{kernel}_backward_weight", partials, *rows, sizes=sizes)
            for name in self.parameters:
                product = tape.product(getattr(self, f"{name}_grad"))
                tape.tangent_gradients.add(self._sums(tape, name, product, partials, counts))
        if x.grad_tangent is not None:
            tape.tangent_backward.rows(f"{kernel}_backward", x.grad_tangent, *rows, weight, v_weight, sizes=sizes)

    def _sums(self, tape: Tape, name: str, gradient: Array, partials: Array, counts: Array) -> Op:
        """The gradient of a parameter: the blocks' sums in order, chunk by chunk. The other of the two sums is not used."""
        unused, places = tape.arena.take(self.places, tape.dtype), self.places
        arrays = (gradient, unused, partials, counts) if name == "weight" else (unused, gradient, partials, counts)
        chunks = [(first, min(CHANNELS, places - first)) for first in range(0, places, CHANNELS)]
        tiles = [(self.parameters[name].offset + first, 1, size, size) for first, size in chunks]
        cost = [float(len(counts) * size) for _, size in chunks]
        return Op("tiles", "group_norm_backward_weight", arrays, (places,), cost=cost, tiles=tiles)


class LayerNorm(_RowNorm):
    """Layer normalization: x̂ = (x − μ) / √(σ² + ε), y = γ ⊙ x̂ + β, with mean and variance over all numbers of an example.

    The same in training and at inference (Ba, Kiros, Hinton 2016). With δ = ∂l/∂y, g = γ ⊙ δ and means over the example,

        ∂l/∂γ = Σ_rows δ ⊙ x̂,   ∂l/∂β = Σ_rows δ,   ∂l/∂x = (g − mean(g) − x̂ mean(g ⊙ x̂)) / √(σ² + ε).

    Parameters
    ----------
    eps : float
        ε, default 1e-5 (PyTorch; Keras 1e-3).
    affine : bool
        Without it γ = 1 and β = 0. PyTorch: ``elementwise_affine``.

    Raises
    ------
    ValueError
        If an example is a single number: normalized, it would always be 0.

    Examples
    --------
    >>> import nncore as nn
    >>> model = nn.Sequential([nn.LayerNorm()], input_shape=2, dtype="float64")
    >>> model.forward([[1.0, 3.0]]).round(3)
    array([[-1.,  1.]])
    """


class RMSNorm(_RowNorm):
    """Root-mean-square normalization: x̂ = x / √(mean(x²) + ε), y = γ ⊙ x̂, the mean over all numbers of an example.

    With δ = ∂l/∂y, g = γ ⊙ δ,  ∂l/∂γ = Σ_rows δ ⊙ x̂,   ∂l/∂x = (g − x̂ mean(g ⊙ x̂)) / √(mean(x²) + ε).

    Examples of a single number are taken, unlike by `LayerNorm`, whose output would be constant: x̂ is near the sign of x.
    Source: Zhang, Sennrich (2019).

    Parameters
    ----------
    eps : float
        ε, default 1e-5. PyTorch's default is the smallest number that 1 can be told from 1 + it.
    affine : bool
        Without it γ = 1.

    Examples
    --------
    >>> import nncore as nn
    >>> model = nn.Sequential([nn.RMSNorm()], input_shape=2, dtype="float64")
    >>> model.forward([[1.0, 7.0]]).round(3)
    array([[0.2, 1.4]])
    """

    kernel = "rms_norm"
    has_bias = False
    centered = False


class GroupNorm(_RowNorm):
    """Group normalization: as `LayerNorm` within each of ``groups`` equal groups of channels, y = γ_c x̂ + β_c for channel c.

    The input is (rows, channels) or (rows, channels, length); a group is a run of consecutive channels with all their length.
    One group is `LayerNorm` with one γ and β for each channel, as many groups as channels is `InstanceNorm`. The backward pass
    is that of `LayerNorm` within each group; ∂l/∂γ_c = Σ δ x̂ and ∂l/∂β_c = Σ δ also sum over the length. Source: Wu, He (2018).

    Parameters
    ----------
    groups : int
        Must divide the number of channels. PyTorch: ``num_groups``.
    eps, affine : as for `LayerNorm`.

    Raises
    ------
    ValueError
        For an input of another shape, another number of groups, or a group of only one number.

    Examples
    --------
    >>> import nncore as nn
    >>> model = nn.Sequential([nn.GroupNorm(2)], input_shape=4, dtype="float64")
    >>> model.forward([[1.0, 3.0, 10.0, 30.0]]).round(3)
    array([[-1.,  1., -1.,  1.]])
    """

    groups: Count = Count()

    def __init__(self, groups: int, *, eps: float = 1e-5, affine: bool = True, name: str | None = None) -> None:
        super().__init__(eps=eps, affine=affine, name=name)
        self.groups = groups

    def shape_of_groups(self, input_shape: tuple[int, ...]) -> tuple[int, int]:
        _check_rank(self, input_shape, (1, 2))
        if input_shape[0] % self.groups:
            raise ValueError(f"groups must divide the number of channels, {input_shape[0]}, got {self.groups}")
        return self.groups, math.prod(input_shape[1:])


class InstanceNorm(_RowNorm):
    """Instance normalization: x̂ = (x − μ) / √(σ² + ε), y = γ_c x̂ + β_c, over the length of each channel of each example.

    The input is (rows, channels, length), with a length of at least 2. The backward pass is that of `GroupNorm` with a group
    for each channel. Source: Ulyanov, Vedaldi, Lempitsky (2016).

    Parameters
    ----------
    eps : as for `LayerNorm`.
    affine : bool
        Default False: γ = 1 and β = 0, as in PyTorch.
    """

    def __init__(self, *, eps: float = 1e-5, affine: bool = False, name: str | None = None) -> None:
        super().__init__(eps=eps, affine=affine, name=name)

    def shape_of_groups(self, input_shape: tuple[int, ...]) -> tuple[int, int]:
        _check_rank(self, input_shape, (2,))
        return input_shape[0], input_shape[1]


def _check_rank(layer: Layer, input_shape: tuple[int, ...], ranks: tuple[int, ...]) -> None:
    if len(input_shape) not in ranks:
        kinds = " or ".join(["(channels,)", "(channels, length)"][rank - 1] for rank in ranks)
        raise ValueError(f"{layer.label}: its input shape must be {kinds}, got {input_shape}")
