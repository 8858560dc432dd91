"""A model on tape: its layers' ops in a row."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from nncore.data.sparse import Rows, SparseRows
from nncore.program.ops import Op, Signal
from nncore.program.stages import parameter_stages
from nncore.program.tape import Tape

__all__ = ["ModelTape", "Recordable"]


class Recordable(Protocol):
    """What is read of a model: layers with ``emit``, shapes, and the vectors that their arrays are views into."""

    @property
    def layers(self) -> Sequence[Any]: ...
    @property
    def input_shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> np.dtype[Any]: ...
    @property
    def seed(self) -> int: ...
    @property
    def parameters(self) -> NDArray[Any]: ...
    @property
    def gradients(self) -> NDArray[Any]: ...


class ModelTape:
    """A tape with the ops of one model on it: the way from ``input`` to ``output``.

    ``fused``: a layer may compute the one after it in the same pass, and then has no signal of its own. ``tracking``: steps
    renew running statistics. ``sparse``: the data are rows of a sparse matrix. ``optimizer_columns``: so many coefficients of
    a step are the optimizer's; the layers' follow.
    """

    def __init__(
        self, model: Recordable, capacity: int, *, training: bool, gradients: bool, input_gradient: bool = False,
        noise: bool | None = None, fused: bool = False, tracking: bool = False, optimizer_columns: int = 0,
        tangents: bool = False, sparse: bool = False,
    ) -> None:  # fmt: skip
        width = math.prod(model.input_shape)
        numbers = width + sum(math.prod(layer.output_shape) for layer in model.layers)
        estimate = (capacity * numbers * (1 + gradients) + model.parameters.size) * (1 + tangents)
        estimate = estimate * model.dtype.itemsize * 17 // 16 + (1 << 14)
        self.tape = Tape(
            model.dtype, capacity, training=training, gradients=gradients, noise=noise, seed=model.seed, arena_bytes=estimate
        )
        kernel, arrays = ("gather_csr", 3) if sparse else ("gather_rows", 1)
        self.gather = Op("rows", kernel, (self.tape.array(width), *[None] * arrays), (width,))
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
                signal = layer.emit_fused(self.tape, signal, layers[0])
                self.tape.end_layer(f"{layer.name}, {layers.pop(0).name}")
            else:
                signal = layer.emit(self.tape, signal)
                self.tape.end_layer(str(layer.name))
            if tangents and signal.tangent is None and (x.tangent is not None or layer.parameters):
                raise TypeError(
                    f"layer {layer.name!r} ({type(layer).__name__}) cannot be differentiated twice: it emits no tangents, as "
                    "layers written in Python, random ones (noise, dropout, zoneout), and BatchRenorm unless frozen do not. "
                    "Take a model without it, and copy the parameters over"
                )
        self.output = signal

    def bind(self, rows: Rows) -> list[tuple[Op, int, Any]]:
        """The arrays of the data in the slots of the op that gathers them."""
        if isinstance(rows, SparseRows):
            return [(self.gather, 1, rows.values), (self.gather, 2, rows.columns), (self.gather, 3, rows.starts)]
        return [(self.gather, 1, rows)]

    def prepare(self) -> list[Any]:
        """The stage that derives, before the first step, what the kernels need from the parameters."""
        return parameter_stages(self.tape.prepare, (), {})
