"""A model on tape: the ops of its layers in order."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from nncore.data.sparse import Rows, SparseRows
from nncore.program.ops import Op, Signal
from nncore.program.stages import Stage, parameter_stages
from nncore.program.tape import Recordable, TangentTape, Tape

__all__ = ["ModelTape"]


class ModelTape:
    """A tape with the ops of one model on it, from ``input`` to ``output``.

    ``fused``: a layer may compute the one after it in the same pass, and then has no separate signal. ``sparse``: the data
    are rows of a sparse matrix.
    """

    def __init__(
        self, model: Recordable, tape: Tape, *, fused: bool = True, sparse: bool = False, input_gradient: bool = False
    ) -> None:
        self.tape = tape
        width = math.prod(model.input_shape)
        kernel, arrays = ("gather_csr", 3) if sparse else ("gather_rows", 1)
        self.gather = Op("rows", kernel, (tape.array(width), *[None] * arrays), (width,))
        grad = tape.array(width) if input_gradient else None
        self.input = self.output = Signal("input", model.input_shape, self.gather.arrays[0], grad)
        layers = list(model.layers)
        while layers:
            layer = layers.pop(0)
            following = layers.pop(0) if fused and layers and layer.fuses(layers[0]) else None
            self._record(layer, following)

    @classmethod
    def forward(
        cls, model: Recordable, capacity: int, *, training: bool = False, noise: bool | None = None, fused: bool = True,
        sparse: bool = False,
    ) -> ModelTape:  # fmt: skip
        """The forward pass alone."""
        tape = Tape(model, capacity, training=training, gradients=False, noise=noise)
        return cls(model, tape, fused=fused, sparse=sparse)

    @classmethod
    def gradient(
        cls, model: Recordable, capacity: int, *, input_gradient: bool = False, fused: bool = True, sparse: bool = False
    ) -> ModelTape:
        """Forward and backward pass in training mode, which do not change the model's state."""
        tape = Tape(model, capacity, training=True, gradients=True)
        return cls(model, tape, fused=fused, sparse=sparse, input_gradient=input_gradient)

    @classmethod
    def training(
        cls, model: Recordable, capacity: int, *, optimizer_columns: Callable[[], int], sparse: bool = False
    ) -> ModelTape:
        """Forward and backward pass of a training step, which renew running statistics."""
        tape = Tape(model, capacity, training=True, gradients=True, tracking=True, optimizer_columns=optimizer_columns)
        return cls(model, tape, sparse=sparse)

    def _record(self, layer: Any, following: Any) -> None:
        """Record a layer, with the one after it if they are computed together."""
        x, tape = self.output, self.tape
        tape.begin_layer(f"{layer.name}, {following.name}" if following else str(layer.name))
        self.output = y = layer.emit_fused(tape, x, following) if following else layer.emit(tape, x)
        depends = x.tangent is not None or layer.parameters
        if isinstance(tape, TangentTape) and y.tangent is None and depends:
            raise TypeError(
                f"layer {layer.name!r} ({type(layer).__name__}) cannot be differentiated twice: it emits no tangents, as "
                "layers written in Python, random ones (noise, dropout, zoneout), and BatchRenorm unless frozen do not. "
                "Take a model without it, and copy the parameters over"
            )

    def bind(self, rows: Rows) -> list[tuple[Op, int, Any]]:
        """The arrays of the data in the slots of the op that gathers them."""
        if isinstance(rows, SparseRows):
            return [(self.gather, 1, rows.values), (self.gather, 2, rows.columns), (self.gather, 3, rows.starts)]
        return [(self.gather, 1, rows)]

    def prepare(self) -> list[Stage]:
        """The stage that derives, before the first step, what the kernels need from the parameters."""
        return parameter_stages(self.tape.prepare)
