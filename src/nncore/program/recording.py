"""A model on tape: the ops of its layers in order."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from nncore.program.ops import CSR, Op, Signal
from nncore.program.stages import Stage, parameter_stages
from nncore.program.tape import Recordable, TangentTape, Tape

__all__ = ["ModelTape"]


class ModelTape:
    """A tape with the ops of one model on it, from ``input`` to ``output``.

    ``fused``: a layer may compute the one after it in the same pass, and then has no separate signal. ``sparse``: the data
    are rows of a sparse matrix: they are written out densely, unless the first layer takes them as they are.
    """

    def __init__(
        self, model: Recordable, tape: Tape, *, fused: bool = True, sparse: bool = False, input_gradient: bool = False
    ) -> None:
        self.tape = tape
        width = math.prod(model.input_shape)
        if model.layers[0].reads_sparse:
            value = np.empty((0, width), tape.dtype)
        else:
            value = tape.array(width)
            kernel, arrays = ("gather_csr", CSR) if sparse else ("gather_rows", (lambda rows: rows,))
            data = tuple(enumerate(arrays, 1))
            tape.reading = Op("rows", kernel, (value, *[None] * len(arrays)), (width,), data=data)
        grad = tape.array(width) if input_gradient else None
        self.input = self.output = Signal("input", model.input_shape, value, grad)
        layers = list(model.layers)
        while layers:
            layer = layers.pop(0)
            following = layers.pop(0) if fused and layers and layer.fuses(layers[0]) else None
            self._record(layer, following)

    @classmethod
    def forward(
        cls, model: Recordable, capacity: int, *, training: bool = False, noise: bool | None = None, fused: bool = True,
        sparse: bool = False, weighted: bool = False,
    ) -> ModelTape:  # fmt: skip
        """The forward pass alone."""
        tape = Tape(model, capacity, training=training, gradients=False, noise=noise, weighted=weighted)
        return cls(model, tape, fused=fused, sparse=sparse)

    @classmethod
    def gradient(
        cls, model: Recordable, capacity: int, *, input_gradient: bool = False, fused: bool = True, sparse: bool = False,
        weighted: bool = False,
    ) -> ModelTape:  # fmt: skip
        """Forward and backward pass in training mode, which do not change the model's state."""
        tape = Tape(model, capacity, training=True, gradients=True, weighted=weighted)
        return cls(model, tape, fused=fused, sparse=sparse, input_gradient=input_gradient)

    @classmethod
    def training(
        cls, model: Recordable, capacity: int, *, optimizer_columns: Callable[[], int], sparse: bool = False,
        touched_only: bool = False, weighted: bool = False,
    ) -> ModelTape:  # fmt: skip
        """Forward and backward pass of a training step, which renew running statistics."""
        tape = Tape(
            model, capacity, training=True, gradients=True, tracking=True, optimizer_columns=optimizer_columns,
            touched_only=touched_only, weighted=weighted,
        )  # fmt: skip
        return cls(model, tape, sparse=sparse)

    def _record(self, layer: Any, following: Any) -> None:
        """Record a layer, with the one after it if they are computed together."""
        x, tape = self.output, self.tape
        tape.begin_layer(f"{layer.name}, {following.name}" if following else str(layer.name))
        self.output = y = layer.emit_fused(tape, x, following) if following else layer.emit(tape, x)
        if layer.takes_mask and y.mask is None and y.shape == x.shape:
            y.mask = x.mask
        depends = x.tangent is not None or layer.parameters
        if isinstance(tape, TangentTape) and (tape.random or (y.tangent is None and depends)):
            reason = (
                "its random numbers are drawn anew in each pass, so that no two passes are those of one function"
                if tape.random
                else "it emits no tangents, as layers written in Python, and BatchRenorm unless frozen, do not"
            )
            raise TypeError(
                f"layer {layer.name!r} ({type(layer).__name__}) cannot be differentiated along a direction, for products with "
                f"the Hessian, the Gauss-Newton matrix or the Jacobian: {reason}. Take a model without it, and copy the "
                "parameters over"
            )

    @property
    def gather(self) -> Op:
        """The op that takes the rows of a batch in."""
        return self.tape.reading

    def prepare(self) -> list[Stage]:
        """The stage that derives, before the first step, what the kernels need from the parameters."""
        return parameter_stages(self.tape.prepare)
