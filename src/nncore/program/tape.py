"""Compilation: layers record their ops on a tape; the tape becomes a program.

A tape belongs to one model, one batch capacity and one mode. It owns the arena: the value and the gradient of every signal.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from nncore import _kernels
from nncore._kernels.program import LAYER_SHIFT, SLOT_ROWS, STREAM_SHIFT
from nncore._messages import shown
from nncore._utils.arrays import aligned_zeros, same_part
from nncore.program.ops import Arena, Op, Signal
from nncore.schedules import Clock, Schedule

__all__ = ["Tape"]

Array = NDArray[Any]

# A step of fewer floating-point operations runs on one thread: what a second one saves is less than what meeting it costs.
PARALLEL_FLOPS = 1_500_000
WORK_PER_NUMBER = 32  # operations that a number of a signal takes about, beside products


class Tape:
    """Records the ops of one model for batches of at most ``capacity`` rows."""

    dtype: np.dtype[Any]
    capacity: int
    training: bool
    gradients: bool
    direction_vector: Array
    product_vector: Array

    def __init__(
        self, dtype: DTypeLike, capacity: int, *, training: bool, gradients: bool, noise: bool | None = None, seed: int = 0,
        arena_bytes: int = 1 << 16,
    ) -> None:  # fmt: skip
        self.dtype, self.capacity, self.training, self.gradients = np.dtype(dtype), capacity, training, gradients
        self.noise: bool = training if noise is None else noise  # do layers draw random numbers? These come from the seed
        self.seed = seed
        self.tracking = False  # do steps renew running statistics?
        self.schedules: list[tuple[str, Schedule, float]] = []  # of layers: columns of coefficients after the optimizer's
        self.optimizer_columns = 0
        self.statistics: dict[str, Array] = {}  # of the last batch, by layer name: (2, channels) mean and variance
        self.arena: Arena = Arena(arena_bytes)
        self.signals: list[Signal] = []
        self.flops_per_row = 0
        self.activity_penalty: Array | None = None  # (capacity,): what layers charge for their outputs, example by example
        self.prepare: list[Op] = []  # once per run, before the first step: what is derived from the parameters
        self.forward: list[Op] = []
        self.parameter_gradients: list[Op] = []
        self.followers: dict[Op, Op] = {}  # gradient op → op that renews what was derived from that parameter
        self.layers: dict[Op, str] = {}  # the name of the layer that recorded an op
        self._backward: list[list[Op]] = []  # one list a layer
        self._uncharged: dict[Op, Op] = {}  # backward op that adds the gradient of a charge → the op without it
        self.tangents: bool = False  # record the R-operator's ops too
        self.tangent_preparation: list[Op] = []  # what is derived from the direction
        self.tangents_forward: list[Op] = []
        self.tangent_gradients: list[Op] = []
        self._tangent_backward: list[list[Op]] = []

    def charge(self) -> tuple[Array, bool]:
        """Where a layer leaves, or adds, its penalty on each example; and whether another layer has before."""
        again = self.activity_penalty is not None
        if self.activity_penalty is None:
            self.activity_penalty = np.zeros(self.capacity)
        return self.activity_penalty, again

    def array(self, width: int) -> Array:
        """Room in the arena for one row of ``width`` numbers an example."""
        return self.arena.take((self.capacity, width), self.dtype)

    def signal(self, name: str, shape: tuple[int, ...]) -> Signal:
        """A new signal; its gradient has room only if the tape goes backward."""
        width = math.prod(shape)
        grad = self.array(width) if self.gradients else None
        return self.add(Signal(name, shape, self.array(width), grad))

    def add(self, signal: Signal) -> Signal:
        """A signal whose arrays are there already: a layer may hand on those of its input."""
        self.signals.append(signal)
        return signal

    def stream(self, number: int = 0) -> tuple[int, int]:
        """The address of random numbers for the layer being recorded, as sizes of an op (random.h); a layer has 16 streams."""
        key = self.seed % 2**64
        return key - (key >> 63 << 64), len(self._backward) << LAYER_SHIFT | number << STREAM_SHIFT

    def begin_layer(self) -> None:
        """The backward ops recorded from here on run before those of the layers before."""
        self._backward.append([])
        self._tangent_backward.append([])

    def end_layer(self, name: str) -> None:
        """The ops recorded since `begin_layer` are this layer's."""
        completing = [op.then for op in self.parameter_gradients if op.then]
        for op in (*self.prepare, *self.forward, *self._backward[-1], *self.parameter_gradients, *completing):
            self.layers.setdefault(op, name)

    def rows(self, kernel: str, *arrays: Any, sizes: tuple[int, ...], constants: tuple[float, ...] = ()) -> None:
        """A forward op over the rows of the batch."""
        self.forward.append(Op("rows", kernel, arrays, sizes, constants))

    def tiles(
        self, kernel: str, *arrays: Any, pieces: int = 1, sizes: tuple[int, ...], constants: tuple[float, ...] = ()
    ) -> None:
        """A forward op over tiles, that is over all rows: a stage of its own."""
        self.forward.append(Op("tiles", kernel, arrays, sizes, constants, cost=[1.0] * pieces))

    def tiles_backward(
        self, kernel: str, *arrays: Any, pieces: int = 1, sizes: tuple[int, ...], constants: tuple[float, ...] = ()
    ) -> None:
        """A backward op over tiles."""
        if self.gradients:
            self._backward[-1].append(Op("tiles", kernel, arrays, sizes, constants, cost=[1.0] * pieces))

    def rows_backward(self, kernel: str, *arrays: Any, sizes: tuple[int, ...], constants: tuple[float, ...] = ()) -> None:
        """A backward op over the rows of the batch."""
        if self.gradients:
            self._backward[-1].append(Op("rows", kernel, arrays, sizes, constants))

    def charge_backward(self, kernel: str, *arrays: Any, sizes: tuple[int, ...], strength: float) -> None:
        """A backward op that adds the gradient of what the layer charges; its constant is the strength."""
        if self.gradients:
            op = Op("rows", kernel, arrays, sizes, (strength,))
            self._backward[-1].append(op)
            self._uncharged[op] = replace(op, constants=(0.0,))

    def whole(self, function: Callable[[int], None]) -> None:
        """A forward op in Python, called with the number of rows."""
        self.forward.append(Op("whole", "python", (_kernels.PythonOp(function),)))

    def whole_backward(self, function: Callable[[int], None]) -> None:
        """A backward op in Python, called with the number of rows."""
        if self.gradients:
            self._backward[-1].append(Op("whole", "python", (_kernels.PythonOp(function),)))

    def written_gradient(self, offset: int, size: int) -> None:
        """A part of the gradient that ops recorded before have written: nothing is left to do but the update."""
        self.gradient(Op("tiles", "", (), cost=(0.0,), tiles=((offset, 1, size, size),)))

    def gradient(self, op: Op, derived: Op | None = None) -> None:
        """The gradient of a parameter, tile by tile, over the whole batch; ``derived`` renews what is derived from it."""
        if derived:
            self.prepare.append(derived)
        if self.gradients:
            self.parameter_gradients.append(op)
            if derived:
                self.followers[op] = derived

    def scheduled(self, name: str, schedule: Schedule, least: float) -> int:
        """The column of the step's coefficients in which the schedule's value, at least ``least``, comes."""
        self.schedules.append((name, schedule, least))
        return self.optimizer_columns + len(self.schedules) - 1

    def scheduled_values(self, first_step: int, steps: int, clock: Clock) -> Array:
        """The coefficients of the layers, (steps, schedules); the arguments as for `Schedule.on`."""
        columns = [schedule.on(clock, first_step, steps) for _, schedule, _ in self.schedules]
        for (name, schedule, least), values in zip(self.schedules, columns, strict=True):
            if not (values >= least).all():
                raise ValueError(f"{name} must be at least {least:g}, got {values.min():g} from {shown(schedule)}")
        return np.column_stack(columns) if columns else np.empty((steps, 0))

    def differentiate(self, parameters: Array, gradients: Array) -> None:
        """From here on, record the R-operator too: derivatives along a direction v in θ, and R{∂l/∂θ} = H v."""
        self.tangents, self._parameters, self._gradients = True, parameters, gradients
        self.direction_vector, self.product_vector = aligned_zeros((2, parameters.size), self.dtype)

    def direction(self, parameter: Array) -> Array:
        """The direction's part for a parameter array."""
        return same_part(parameter, self._parameters, self.direction_vector)

    def product(self, gradient: Array) -> Array:
        """Where the derivative of a parameter's gradient goes."""
        return same_part(gradient, self._gradients, self.product_vector)

    def tangent_signal(self, y: Signal) -> tuple[Array, Array]:
        """Room for R{y} and for R{∂l/∂y}, in the arena and in the signal."""
        y.tangent, y.grad_tangent = self.array(y.width), self.array(y.width)
        return y.tangent, y.grad_tangent

    def tangent_prepare(self, op: Op) -> None:
        """An op on tiles that derives something from the direction, such as its packed copy."""
        self.tangent_preparation.append(op)

    def tangent_forward(self, kernel: str, *arrays: Any, sizes: tuple[int, ...], constants: tuple[float, ...] = ()) -> None:
        """An op over the rows that writes R{y}."""
        self.tangents_forward.append(Op("rows", kernel, arrays, sizes, constants))

    def tangent_backward(self, kernel: str, *arrays: Any, sizes: tuple[int, ...], constants: tuple[float, ...] = ()) -> None:
        """An op over the rows that writes R{∂l/∂x}."""
        self._tangent_backward[-1].append(Op("rows", kernel, arrays, sizes, constants))

    def tangent_tiles(self, kernel: str, *arrays: Any, pieces: int, sizes: tuple[int, ...]) -> None:
        """An op over tiles between those that write R{y}: a stage of its own."""
        self.tangents_forward.append(Op("tiles", kernel, arrays, sizes, cost=[1.0] * pieces))

    def tangent_tiles_backward(self, kernel: str, *arrays: Any, pieces: int, sizes: tuple[int, ...]) -> None:
        """An op over tiles between those that write R{∂l/∂x}."""
        self._tangent_backward[-1].append(Op("tiles", kernel, arrays, sizes, cost=[1.0] * pieces))

    def tangent_gradient(self, op: Op) -> None:
        """R{∂l/∂w} of a parameter, tile by tile, over the whole batch."""
        self.tangent_gradients.append(op)

    @property
    def tangents_backward(self) -> list[Op]:
        """R{} of the backward ops, the last layer's first."""
        return [op for layer in reversed(self._tangent_backward) for op in layer]

    @property
    def backward(self) -> list[Op]:
        """The backward ops of all layers, the last layer's first."""
        return [op for layer in reversed(self._backward) for op in layer]

    @property
    def pullback(self) -> list[Op]:
        """The backward ops as they carry back any vector in the place of ∂l/∂y: nothing is charged on the way."""
        return [self._uncharged.get(op, op) for op in self.backward]

    @property
    def parallel(self) -> bool:
        """Is a step enough work for several threads?"""
        return self.flops_per_row * self.capacity * (3 if self.gradients else 1) >= PARALLEL_FLOPS

    @property
    def work_per_row(self) -> int:
        """About how many floating-point operations a row takes."""
        signals = WORK_PER_NUMBER * sum(signal.width for signal in self.signals)
        return (self.flops_per_row + signals) * (3 if self.gradients else 1)

    @property
    def block_rows(self) -> int:
        """Rows of a block: all of a small batch; a large one in at least four blocks of one to four slots (layout.h)."""
        if not self.parallel:
            return min(self.capacity, 256)
        return min(max(1, -(-self.capacity // (4 * SLOT_ROWS))), 4) * SLOT_ROWS
