"""A recurrent layer in both directions."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from nncore._messages import shown
from nncore._utils.fields import Choice, Converted
from nncore.layers.base import Layer, inner_layer
from nncore.layers.recurrent import GRU, Recurrent, SimpleRNN
from nncore.program.ops import Pass, Signal
from nncore.program.tape import TangentTape, Tape

__all__ = ["Bidirectional"]

CELLS = [SimpleRNN, GRU]
DIRECTIONS = "forward", "backward"
FACTOR = {"sum": 1.0, "mean": 0.5}


def _recurrent(name: str, layer: Any) -> Recurrent:
    return inner_layer(name, layer, CELLS, "a SimpleRNN or GRU")


class Bidirectional(Layer):
    """A recurrent layer and a second one like it that begins at the last step: y_t = (h_t, g_t).

    h is the state of the first, g that of the second, which goes from the last step to the first. With ``return_sequences`` h_t
    and g_t belong to the same step t: h_t has seen the steps up to t, g_t those from t on. Otherwise y has the last state of
    each, after all steps. Both directions have weights of their own, and skip the steps that a `Masking` layer marks: there
    each repeats its state, where Keras's ``Bidirectional`` and PyTorch's ``bidirectional=True`` give 0. Source: Schuster,
    Paliwal: Bidirectional recurrent neural networks (1997).

    Parameters
    ----------
    layer : SimpleRNN or GRU
        Its arguments are those of both directions.
    merge : {"concat", "sum", "mean"}, default "concat"
        How both are merged: y = (h, g) of 2 units, h + g, or (h + g)/2. Keras calls it ``merge_mode``, and the mean ``"ave"``;
        PyTorch has the first.

    Attributes
    ----------
    forward_weight, backward_weight, … : views into θ
        The arrays of the layer, for each direction; each with its ``…_grad``.

    Raises
    ------
    TypeError
        If ``layer`` is another layer.
    ValueError
        If it is ``stateful``: the second direction begins where the next batch would continue.

    Examples
    --------
    >>> import nncore as nn
    >>> model = nn.Sequential([nn.Bidirectional(nn.GRU(4, return_sequences=True)), nn.GRU(3)], input_shape=(8, 2))
    >>> model.layers[0].output_shape, model.layers[0].backward_weight.shape
    ((8, 8), (12, 2))
    """

    takes_mask = True
    layer: Converted[Recurrent | Mapping[str, Any], Recurrent] = Converted(_recurrent)
    merge: Choice = Choice("concat", "sum", "mean")

    def __init__(self, layer: Recurrent | Mapping[str, Any], *, merge: str = "concat", name: str | None = None) -> None:
        super().__init__(name=name)
        self.layer, self.merge = layer, merge

    def __copy__(self) -> Bidirectional:
        other = object.__new__(type(self))
        other.__dict__.update(self.__getstate__(), layer=copy.copy(self.layer))  # otherwise the copies would share it
        return other

    def build(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        if self.layer.stateful:
            raise ValueError(f"layer of {self.label} must not be stateful, got {shown(self.layer)}")
        *steps, units = self.layer._declare(input_shape)
        for direction in DIRECTIONS:
            for name, shape, initializer, regularized, *_ in self.layer.parameters.values():
                self.add_parameter(f"{direction}_{name}", shape, initializer, regularized=regularized)
        vars(self.layer)["parameters"] = {}  # it has none of its own
        return (*steps, units * (2 if self.merge == "concat" else 1))

    @property
    def parts(self) -> tuple[Layer, ...]:
        return (self, self.layer)

    @property
    def held(self) -> int:
        return 2 * self.layer.held + super().held

    def __repr__(self) -> str:
        merge = f", merge={self.merge!r}" if self.merge != "concat" else ""
        return f"{type(self).__name__}({self.layer!r}{merge})"

    def _of(self, direction: str) -> Recurrent:
        """The layer of one direction, with its arrays."""
        layer, prefix = object.__new__(type(self.layer)), f"{direction}_"
        own = {name.removeprefix(prefix): array for name, array in self.parameters.items() if name.startswith(prefix)}
        views = {f"{name}{of}": getattr(self, f"{prefix}{name}{of}") for name in own for of in ("", "_grad")}
        vars(layer).update(vars(self.layer), parameters=own, _direction=DIRECTIONS.index(direction), **views)
        return layer

    def emit(self, tape: Tape, x: Signal) -> Signal:
        y = tape.signal(str(self.name), self.output_shape)
        shape = (*self.output_shape[:-1], self.layer.units)
        width, tangents = math.prod(shape), isinstance(tape, TangentTape) and not self.layer.zoneout
        starts = [self._start(tape, x) for _ in DIRECTIONS]
        ends = [Signal(y.name, shape, tape.array(width), None) for _ in DIRECTIONS]
        if tape.gradients:
            self._part(tape, tape.backward, "grad", ends, y)
        if tangents:
            assert isinstance(tape, TangentTape)
            tape.tangent_signal(y)
            self._part(tape, tape.tangent_backward, "grad_tangent", ends, y)
        for direction, start, end in zip(DIRECTIONS, starts, ends, strict=True):
            self._of(direction).emit_into(tape, start, end)
        self._merge(tape.forward, y.value, [end.value for end in ends])
        if x.grad is not None:
            tape.backward.rows("add_rows", x.grad, *(s.grad for s in starts), sizes=(x.width,), constants=(1.0,))
        if tangents:
            assert isinstance(tape, TangentTape)
            self._merge(tape.tangent_forward, y.tangent, [end.tangent for end in ends])
            if x.tangent is not None:
                arrays = [x.grad_tangent, *(s.grad_tangent for s in starts)]
                tape.tangent_backward.rows("add_rows", *arrays, sizes=(x.width,), constants=(1.0,))
        y.mask = ends[0].mask
        return y

    def _start(self, tape: Tape, x: Signal) -> Signal:
        """The input, with a gradient of its own."""
        return replace(
            x,
            grad=None if x.grad is None else tape.array(x.width),
            grad_tangent=None if x.grad_tangent is None else tape.array(x.width),
        )

    def _merge(self, part: Pass, y: Any, ends: list[Any]) -> None:
        """y, or R{y}, of both directions' outputs."""
        width = ends[0].shape[1]
        if self.merge == "concat":
            units = self.layer.units
            part.rows("join_rows", y, *ends, sizes=(units, units, width // units))
        else:
            part.rows("add_rows", y, *ends, sizes=(width,), constants=(FACTOR[self.merge],))

    def _part(self, tape: Tape, part: Pass, kind: str, ends: list[Signal], y: Signal) -> None:
        """Give both outputs their gradients, or R{} of these, from that of y; after an addition they have the same."""
        units, width, given = self.layer.units, ends[0].width, getattr(y, kind)
        first = tape.array(width)
        second = tape.array(width) if self.merge == "concat" else first
        if self.merge == "concat":
            part.rows("part_rows", first, second, given, sizes=(units, units, width // units))
        else:
            part.rows("scaled_forward", first, given, sizes=(width,), constants=(FACTOR[self.merge],))
        for end, array in zip(ends, (first, second), strict=True):
            setattr(end, kind, array)
