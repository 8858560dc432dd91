"""Compilation: layers record their ops on a tape; the tape becomes a program.

A tape belongs to one model, one batch capacity and one mode. It owns the arena: the value and the gradient of every signal.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from nncore._kernels.program import LAYER_SHIFT, SLOT_ROWS, STREAM_SHIFT
from nncore._messages import shown
from nncore._utils.arrays import Array, aligned_zeros, same_part
from nncore.program.ops import Arena, Op, Pass, Signal, SparseWeights
from nncore.schedules import Clock, Schedule

__all__ = ["Recordable", "TangentTape", "Tape"]


# A step of fewer floating-point operations runs on one thread: a second one saves less than its synchronization costs.
PARALLEL_FLOPS = 1_500_000
WORK_PER_NUMBER = 32  # approximate operations per number of a signal, besides products


class Recordable(Protocol):
    """The attributes of a model that recording reads."""

    @property
    def layers(self) -> Sequence[Any]: ...
    @property
    def input_shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> np.dtype[Any]: ...
    @property
    def compute_dtype(self) -> str: ...
    @property
    def seed(self) -> int: ...
    @property
    def parameters(self) -> NDArray[Any]: ...
    @property
    def gradients(self) -> NDArray[Any]: ...


class Tape:
    """Records the ops of one model for batches of at most ``capacity`` rows.

    Parameters
    ----------
    training : whether layers behave as in training.
    gradients : whether there is a backward pass.
    noise : whether layers draw random numbers, from the model's seed; default: in training.
    tracking : whether steps renew running statistics.
    optimizer_columns : returns the number of coefficients of a step that are the optimizer's; the layers' follow.
    weighted : whether examples have weights, which an op gathers.
    touched_only : whether weights of sparse data get a gradient only where the batch has numbers, and no other op needs more.

    Attributes
    ----------
    reading : Op
        The first op of the forward pass, which takes the rows of a batch in.
    lock : Lock or None
        That of the model, to be held while the program runs, if a layer is written in Python.
    example_weights : ndarray float64 (capacity,), or None
        Those of the batch, for all that is part of an example's loss.
    sparse : SparseWeights or None
        The weights of sparse data.
    touched : ndarray int64 (lists, 2), or None
        Lists of the rows of weights that have a gradient, for the ops over tiles (tiles.h).
    """

    copies = 1  # of the signals and the parameters

    def __init__(
        self, model: Recordable, capacity: int, *, training: bool, gradients: bool, noise: bool | None = None,
        tracking: bool = False, optimizer_columns: Callable[[], int] = lambda: 0, touched_only: bool = False,
        weighted: bool = False,
    ) -> None:  # fmt: skip
        self.dtype, self.compute_dtype, self.seed = model.dtype, model.compute_dtype, model.seed
        self.capacity, self.training, self.gradients, self.tracking = capacity, training, gradients, tracking
        self.noise: bool = training if noise is None else noise
        self.optimizer_columns, self.touched_only = optimizer_columns, touched_only
        self.reading = Op("rows", "", ())
        self.lock: Any = None
        self.example_weights: Array | None = np.zeros(capacity) if weighted else None
        self.sparse: SparseWeights | None = None
        self.touched: Array | None = None
        self.schedules: list[tuple[str, Schedule, float]] = []  # of layers: columns of coefficients after the optimizer's
        self.statistics: dict[str, Array] = {}  # of the last batch, by layer name: (2, channels) mean and variance
        inputs = 0 if model.layers[0].reads_sparse else math.prod(model.input_shape)
        width = inputs + sum(math.prod(layer.output_shape) for layer in model.layers)
        numbers = self.copies * (capacity * width * (1 + gradients) + model.parameters.size)
        self.arena: Arena = Arena(numbers * self.dtype.itemsize * 17 // 16 + (1 << 14))
        self.signals: list[Signal] = []
        self.flops_per_row = 0
        self.activity_penalty: Array | None = None  # (capacity,): per example, the sum over layers
        self.prepare = Pass()  # once per run, before the first step: values derived from the parameters, by ops in any order
        self.settle = Pass()  # once per run, after the last step
        self.forward = Pass()
        self.backward = Pass(reverse=True, empty=not gradients)
        self.parameter_gradients = Pass(empty=not gradients)
        self._layers_begun = 0

    @property
    def passes(self) -> list[Pass]:
        """All that layers record ops in."""
        return [self.prepare, self.settle, self.forward, self.backward, self.parameter_gradients]

    def begin_layer(self, name: str) -> None:
        """Start a layer: its backward ops run before those of earlier layers."""
        self._layers_begun += 1
        for part in self.passes:
            part.begin_layer(name)

    def array(self, width: int) -> Array:
        """An array of the arena with ``width`` numbers per example."""
        return self.arena.take((self.capacity, width), self.dtype)

    def signal(self, name: str, shape: tuple[int, ...]) -> Signal:
        """A new signal; it has a gradient only if there is a backward pass."""
        width = math.prod(shape)
        grad = self.array(width) if self.gradients else None
        return self.add(Signal(name, shape, self.array(width), grad))

    def add(self, signal: Signal) -> Signal:
        """A signal whose arrays exist already: a layer may hand on those of its input."""
        self.signals.append(signal)
        return signal

    def stream(self, number: int = 0) -> tuple[int, int]:
        """The address of random numbers for the layer being recorded, as sizes of an op (random.h); a layer has 16 streams."""
        key = self.seed % 2**64
        return key - (key >> 63 << 64), self._layers_begun << LAYER_SHIFT | number << STREAM_SHIFT

    def penalize_activity(self) -> tuple[Array, bool]:
        """Where a layer writes, or adds, its penalty on each example; and whether another layer has written before."""
        again = self.activity_penalty is not None
        if self.activity_penalty is None:
            self.activity_penalty = np.zeros(self.capacity)
        return self.activity_penalty, again

    def gradient(self, op: Op, repack: Op | None = None) -> None:
        """The gradient of a parameter, tile by tile, over the whole batch; ``repack`` updates values derived from it."""
        op.repack = repack
        if repack:
            self.prepare.add(repack)
        self.parameter_gradients.add(op)

    def written_gradient(self, offset: int, size: int) -> None:
        """A part of the gradient that ops recorded before have written: nothing is left to do but the update."""
        self.gradient(Op("tiles", "", (), cost=(0.0,), tiles=((offset, 1, size, size),)))

    def scheduled(self, name: str, schedule: Schedule, least: float) -> int:
        """The column of the step's coefficients that holds the schedule's value, which must be at least ``least``."""
        self.schedules.append((name, schedule, least))
        return self.optimizer_columns() + len(self.schedules) - 1

    def scheduled_values(self, first_step: int, steps: int, clock: Clock) -> Array:
        """The coefficients of the layers, (steps, schedules); the arguments as for `Schedule.on`."""
        columns = [schedule.on(clock, first_step, steps) for _, schedule, _ in self.schedules]
        for (name, schedule, least), values in zip(self.schedules, columns, strict=True):
            if not (values >= least).all():
                raise ValueError(f"{name} must be at least {least:g}, got {values.min():g} from {shown(schedule)}")
        return np.column_stack(columns) if columns else np.empty((steps, 0))

    @property
    def parallel(self) -> bool:
        """Whether a step is enough work for several threads."""
        return self.flops_per_row * self.capacity * (3 if self.gradients else 1) >= PARALLEL_FLOPS

    @property
    def work_per_row(self) -> int:
        """The approximate number of floating-point operations per row."""
        signals = WORK_PER_NUMBER * sum(signal.width for signal in self.signals)
        return (self.flops_per_row + signals) * (3 if self.gradients else 1)

    @property
    def block_rows(self) -> int:
        """Rows of a block: all of a small batch; a large one in at least four blocks of one to four slots (layout.h)."""
        if not self.parallel:
            return min(self.capacity, 256)
        return min(max(1, -(-self.capacity // (4 * SLOT_ROWS))), 4) * SLOT_ROWS


class TangentTape(Tape):
    """Records the R-operator too: derivatives along a direction v in θ, and R{∂l/∂θ} = H v.

    ``random``: whether a layer has asked for random numbers. Each product would draw others.
    """

    copies = 2
    random = False

    def __init__(self, model: Recordable, capacity: int, *, weighted: bool = False) -> None:
        super().__init__(model, capacity, training=True, gradients=True, weighted=weighted)
        self._parameters, self._gradients = model.parameters, model.gradients
        self.direction_vector, self.product_vector = aligned_zeros((2, model.parameters.size), self.dtype)
        self.tangent_prepare = Pass()  # values derived from the direction, such as its packed copies
        self.tangent_forward = Pass()  # R{y}
        self.tangent_backward = Pass(reverse=True)  # R{∂l/∂x}
        self.tangent_gradients = Pass()  # R{∂l/∂w}, tile by tile, over the whole batch

    @property
    def passes(self) -> list[Pass]:
        return [*super().passes, self.tangent_prepare, self.tangent_forward, self.tangent_backward, self.tangent_gradients]

    def stream(self, number: int = 0) -> tuple[int, int]:
        self.random = True
        return super().stream(number)

    def direction(self, parameter: Array) -> Array:
        """The direction's part for a parameter array."""
        return same_part(parameter, self._parameters, self.direction_vector)

    def product(self, gradient: Array) -> Array:
        """The product's part for a parameter's gradient, where its derivative goes."""
        return same_part(gradient, self._gradients, self.product_vector)

    def tangent_signal(self, y: Signal) -> tuple[Array, Array]:
        """Arrays for R{y} and for R{∂l/∂y}, which the signal gets."""
        y.tangent, y.grad_tangent = self.array(y.width), self.array(y.width)
        return y.tangent, y.grad_tangent

    @property
    def vector_jacobian(self) -> list[Op]:
        """The backward ops for any vector instead of ∂l/∂y, that is without the gradients of activity penalties."""
        return [replace(op, constants=(0.0,)) if op.adds_penalty else op for op in self.backward]
