"""Recurrent layers: the same cell at every step of a sequence."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

from nncore import initializers
from nncore._utils.fields import Count, Flag, Number
from nncore.initializers import InitializerField, InitializerLike
from nncore.layers.base import Array, Layer
from nncore.layers.bfloat16 import products_of
from nncore.layers.products import Products, Rows, matrix_tiles
from nncore.program.ops import Signal
from nncore.program.tape import TangentTape, Tape

__all__ = ["GRU", "SimpleRNN"]


@dataclass
class CellArrays:
    """Arrays that the passes over the cell store for all rows and steps; or their tangents."""

    a: Array  # (capacity, steps · outputs): the input's part, then the gates or the candidate states
    previous: Array  # h_{t−1}
    delta: Any = None  # the gradient of the input's part
    recurrent_delta: Any = None  # the gradient of U h_{t−1} + c
    q: Any = None  # of a GRU
    g: Any = None  # the gradient of h_t, kept where there are tangents
    packed: Any = None  # W
    recurrent_packed: Any = None  # U


class Recurrent(Layer):
    """Base of the recurrent layers: x (rows, steps, inputs) to h_t of every step, (rows, steps, units), or of the last.

    A cell computes a candidate state from x_t and h_{t−1}, which is h_t unless zoneout keeps the old one; h_0 = 0. Gradients
    flow back through all steps.

    Parameters
    ----------
    units : int
        Width of the state.
    return_sequences : bool
        Whether the output is every h_t or, by default, the last. (The name is Keras's; PyTorch returns both.)
    zoneout : float
        Rate of zoneout, 0 ≤ rate < 1 (Krueger et al. 2016): each unit keeps its old value with this probability,

            h_t = k ⊙ h_{t−1} + (1 − k) ⊙ candidate_t,   P(k = 1) = rate,

        redrawn for every example, step and unit. At inference k is its mean, the rate. Unlike
        dropout it keeps old values instead of zeros, and gradients flow through them undiminished.
    weight_init, recurrent_init, bias_init : Initializer or str
        Default ``"glorot_uniform"`` for the weights of the input, ``"orthogonal"`` for those of the state and zeros, as in
        Keras. PyTorch draws all of them from U(−1/√units, 1/√units).

    Raises
    ------
    ValueError
        If ``units`` is not a positive integer, ``zoneout`` not in [0, 1), or the input is not a sequence (steps, inputs).
    """

    gates: ClassVar[int]  # the number of blocks of ``units`` rows in W and U

    weight: Array
    recurrent_weight: Array
    bias: Array
    weight_grad: Array
    recurrent_weight_grad: Array
    bias_grad: Array
    units: Count = Count()
    return_sequences: Flag = Flag()
    zoneout: Number = Number(0, below=1)
    weight_init: InitializerField = initializers.field()
    recurrent_init: InitializerField = initializers.field()
    bias_init: InitializerField = initializers.field()

    def __init__(
        self, units: int, *, return_sequences: bool = False, zoneout: float = 0.0,
        weight_init: InitializerLike = "glorot_uniform", recurrent_init: InitializerLike = "orthogonal",
        bias_init: InitializerLike = "zeros", name: str | None = None,
    ) -> None:  # fmt: skip
        super().__init__(name=name)
        self.units, self.return_sequences, self.zoneout = units, return_sequences, zoneout
        self.weight_init, self.recurrent_init, self.bias_init = weight_init, recurrent_init, bias_init

    def build(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        if len(input_shape) != 2:
            raise ValueError(
                f"{self.default_name()} needs sequences: its input shape must be (steps, inputs), got {input_shape}"
            )
        self.steps, self.inputs = input_shape
        outputs = self.gates * self.units
        self.add_parameter("weight", (outputs, self.inputs), self.weight_init, regularized=True)
        self.add_parameter("recurrent_weight", (outputs, self.units), self.recurrent_init, regularized=True)
        self.add_parameter("bias", (outputs,), self.bias_init)
        return (self.steps, self.units) if self.return_sequences else (self.units,)

    @property
    def held(self) -> int:
        return math.prod(self.output_shape) + self.steps * 2 * self.gates * self.units  # gates and states of every step

    def emit(self, tape: Tape, x: Signal) -> Signal:
        outputs, steps = self.gates * self.units, self.steps
        y = tape.signal(str(self.name), self.output_shape)
        of_x, of_h = products_of(tape, outputs, self.inputs, steps), Products(tape, outputs, self.units, steps)
        cell = CellArrays(tape.array(steps * outputs), tape.array(steps * self.units))
        cell.packed, cell.recurrent_packed = of_x.room_to_pack(), of_h.room_to_pack()
        cell.delta = tape.array(steps * outputs) if tape.gradients else None
        cell.g = tape.array(steps * self.units) if isinstance(tape, TangentTape) else None
        x_rows = of_x.rows(x.value, tape.forward)
        of_x.forward(cell.a, x_rows, self.weight, cell.packed, self.bias)
        self._emit_cell(tape, y, cell)
        tape.flops_per_row += 2 * steps * self.recurrent_weight.size
        self._emit_gradients(tape, x, x_rows, cell, of_x, of_h)
        if isinstance(tape, TangentTape) and not self.zoneout:  # which is random
            self._emit_tangent(tape, x, y, cell, of_x, of_h)
        return y

    def _emit_gradients(self, tape: Tape, x: Signal, x_rows: Rows, cell: CellArrays, of_x: Products, of_h: Products) -> None:
        """∂l/∂x, and the gradients of W, U and the biases, sums over all rows and steps."""
        same = cell.recurrent_delta is cell.delta and type(of_x) is type(of_h)
        delta = of_x.rows(cell.delta, tape.backward, weights=self.weight.size + same * self.recurrent_weight.size)
        recurrent_delta = delta if same else of_h.rows(cell.recurrent_delta, tape.backward)
        h = of_h.rows(cell.previous if tape.gradients else None, tape.backward)
        of_x.backward_input(x.grad, delta, self.weight, cell.packed)
        tiles = matrix_tiles(self.parameters["weight"])
        repack = of_x.pack(cell.packed, self.weight, tiles) if of_x.packs else None
        tape.gradient(of_x.weight_gradient(self.weight_grad, delta, x_rows, tiles), repack)
        tiles = matrix_tiles(self.parameters["recurrent_weight"])
        repack = of_h.pack(cell.recurrent_packed, self.recurrent_weight, tiles)
        tape.gradient(of_h.weight_gradient(self.recurrent_weight_grad, recurrent_delta, h, tiles), repack)
        for name, db in (("recurrent_bias", cell.recurrent_delta), ("bias", cell.delta)):
            if name in self.parameters:
                tape.gradient(of_h.bias_gradient(getattr(self, f"{name}_grad"), db, self.parameters[name]))

    def _emit_cell(self, tape: Tape, y: Signal, cell: CellArrays) -> None:
        """Record the steps: from ``a``, the part of the input, to ``y``; from ``y.grad`` to ``delta``, the gradient of ``a``.

        ``previous`` gets h_{t−1} of every step, ``recurrent_delta`` the gradient of U h_{t−1} + c.
        """
        raise NotImplementedError

    def _emit_cell_tangent(self, tape: TangentTape, y: Signal, cell: CellArrays, tangents: CellArrays) -> None:
        """Record R{} of the steps: from ``tangents.a``, which is R{a}, to R{y}, and from R{∂l/∂y} to ``tangents.delta``."""
        raise NotImplementedError

    def _emit_tangent(self, tape: TangentTape, x: Signal, y: Signal, cell: CellArrays, of_x: Products, of_h: Products) -> None:
        """R{a_t} = W R{x_t} + V x_t + v_b, R{} of the cell, R{∂l/∂x_t} = Wᵀ R{δ_t} + Vᵀ δ_t, and R{δᵀ x}, R{δᵀ h_{t−1}}."""
        tangents = CellArrays(*(tape.array(array.shape[1]) for array in (cell.a, cell.previous, cell.delta)))
        tiles, recurrent_tiles = (matrix_tiles(self.parameters[name]) for name in ("weight", "recurrent_weight"))
        v, tangents.packed = of_x.pack_direction(tape, self.weight, tiles)
        _, tangents.recurrent_packed = of_h.pack_direction(tape, self.recurrent_weight, recurrent_tiles)
        tape.tangent_signal(y)
        of_x.tangent_forward(tape, tangents.a, x, cell.packed, tangents.packed, tape.direction(self.bias))
        self._emit_cell_tangent(tape, y, cell, tangents)
        of_x.tangent_backward_input(tape, x, tangents.delta, cell.delta, self.weight, v)
        product = tape.product(self.weight_grad)
        op = of_x.tangent_weight_gradient(product, tangents.delta, cell.delta, x.value, x.tangent, tiles)
        tape.tangent_gradients.add(op)
        product, deltas = tape.product(self.recurrent_weight_grad), (tangents.recurrent_delta, cell.recurrent_delta)
        op = of_h.tangent_weight_gradient(product, *deltas, cell.previous, tangents.previous, recurrent_tiles)
        tape.tangent_gradients.add(op)
        for name, tdb in (("recurrent_bias", tangents.recurrent_delta), ("bias", tangents.delta)):
            if name in self.parameters:
                product = tape.product(getattr(self, f"{name}_grad"))
                tape.tangent_gradients.add(of_h.bias_gradient(product, tdb, self.parameters[name]))

    def _cell_options(self, tape: Tape) -> dict[str, Any]:
        """Sizes and constants of the cell's ops."""
        place = tape.stream() if self.zoneout else (0, 0)
        sizes = (self.units, self.steps, self.return_sequences, tape.noise, *place)
        return {"sizes": sizes, "constants": (self.zoneout,)}

    def __repr__(self) -> str:
        defaults = {"weight_init": "glorot_uniform", "recurrent_init": "orthogonal", "bias_init": "zeros"}
        options = ["return_sequences=True"] * self.return_sequences + [f"zoneout={self.zoneout}"] * (self.zoneout != 0)
        for name, default in defaults.items():
            options += [f"{name}={getattr(self, name)!r}"] * (getattr(self, name) != initializers.get(default))
        return f"{type(self).__name__}({', '.join([str(self.units), *options])})"


class SimpleRNN(Recurrent):
    """Simple recurrent layer (Elman 1990): the new state is a function of the input and the old state.

        h_t = tanh(W x_t + U h_{t−1} + b),   h_0 = 0

    With δ_t the gradient of the argument of tanh, the backward pass goes through all steps, last first (Werbos 1990):

        ∂l/∂h_t = (the output's part) + Uᵀ δ_{t+1},   δ_t = ∂l/∂h_t ⊙ (1 − h_t²),
        ∂l/∂W = Σ δ_t x_tᵀ,   ∂l/∂U = Σ δ_t h_{t−1}ᵀ,   ∂l/∂b = Σ δ_t,   ∂l/∂x_t = Wᵀ δ_t,

    the sums over all examples and steps. PyTorch's ``RNN`` has two biases, whose sum is b; Keras's ``SimpleRNN`` has one. The
    arguments are those of `Recurrent`.

    Attributes
    ----------
    weight, recurrent_weight, bias : views into θ
        W (units, inputs), U (units, units), b (units,); each with its ``…_grad``.

    Examples
    --------
    >>> import numpy as np
    >>> import nncore as nn
    >>> model = nn.Sequential([nn.SimpleRNN(4), nn.Dense(2)], input_shape=(8, 3))
    >>> model.predict(np.ones((5, 8, 3))).shape
    (5, 2)
    """

    gates = 1

    @classmethod
    def default_name(cls) -> str:
        return "simple_rnn"

    def _emit_cell(self, tape: Tape, y: Signal, cell: CellArrays) -> None:
        options = self._cell_options(tape)
        cell.recurrent_delta = cell.delta
        arrays = (cell.a, cell.previous, tape.array(self.units), cell.recurrent_packed)
        tape.forward.rows("simple_rnn_forward", y.value, *arrays, **options)
        if tape.gradients:
            backward = (cell.delta, tape.array(2 * self.units), y.grad, cell.a, self.recurrent_weight, cell.g)
            tape.backward.rows("simple_rnn_backward", *backward, **options)

    def _emit_cell_tangent(self, tape: TangentTape, y: Signal, cell: CellArrays, tangents: CellArrays) -> None:
        options, tangents.recurrent_delta = self._cell_options(tape), tangents.delta
        arrays: tuple[Any, ...] = (tangents.a, tangents.previous, tape.array(self.units), cell.a, cell.previous)
        packed = cell.recurrent_packed, tangents.recurrent_packed
        tape.tangent_forward.rows("simple_rnn_tangent_forward", y.tangent, *arrays, *packed, **options)
        arrays = (tangents.delta, tape.array(2 * self.units), y.grad_tangent, cell.g, cell.delta, cell.a, tangents.a)
        weights = self.recurrent_weight, tape.direction(self.recurrent_weight)
        tape.tangent_backward.rows("simple_rnn_tangent_backward", *arrays, *weights, **options)


class GRU(Recurrent):
    """Gated recurrent unit (Cho et al. 2014): gates decide how much of the old state is kept.

    In the form of cuDNN and PyTorch; W, U, b, c are stacked in the order r, z, n:

        r = s(W_r x_t + b_r + U_r h_{t−1} + c_r),   z = s(W_z x_t + b_z + U_z h_{t−1} + c_z),
        n = tanh(W_n x_t + b_n + r ⊙ (U_n h_{t−1} + c_n)),   h_t = (1 − z) ⊙ n + z ⊙ h_{t−1},   h_0 = 0,

    s the logistic function. The reset gate r multiplies the product with U_n, which is also Keras's default (``reset_after``);
    in the paper it multiplies h_{t−1}, and z and 1 − z are exchanged. The weights of a PyTorch ``GRU`` fit unchanged; Keras
    orders the gates z, r, n and holds transposes. With q = U_n h_{t−1} + c_n the backward pass is, for the gates' arguments,

        δn = ∂l/∂h_t (1 − z)(1 − n²),   δz = ∂l/∂h_t (h_{t−1} − n) z (1 − z),   δr = δn q r (1 − r),
        ∂l/∂h_{t−1} = (the output's part) + z ⊙ ∂l/∂h_t + Uᵀ (δr, δz, δn ⊙ r),
        ∂l/∂W = Σ (δr, δz, δn) x_tᵀ,   ∂l/∂U = Σ (δr, δz, δn ⊙ r) h_{t−1}ᵀ,   ∂l/∂b, ∂l/∂c = the same sums without x, h.

    The arguments are those of `Recurrent`. The columns of the stacked U are orthogonal, as in Keras.

    Attributes
    ----------
    weight, recurrent_weight, bias, recurrent_bias : views into θ
        W (3 units, inputs), U (3 units, units), b and c (3 units,); each with its ``…_grad``.

    Examples
    --------
    >>> import nncore as nn
    >>> model = nn.Sequential([nn.GRU(4, return_sequences=True, zoneout=0.1), nn.GRU(3)], input_shape=(8, 2))
    >>> model.layers[0].recurrent_weight.shape, model.layers[0].output_shape, model.output_shape
    ((12, 4), (8, 4), (3,))
    """

    gates = 3

    recurrent_bias: Array
    recurrent_bias_grad: Array

    def build(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        output_shape = super().build(input_shape)
        self.add_parameter("recurrent_bias", (3 * self.units,), self.bias_init)
        return output_shape

    def _emit_cell(self, tape: Tape, y: Signal, cell: CellArrays) -> None:
        options = self._cell_options(tape)
        cell.q, product = tape.array(self.steps * self.units), tape.array(3 * self.units)
        cell.recurrent_delta = tape.array(self.steps * 3 * self.units) if tape.gradients else None
        arrays: tuple[Any, ...] = (cell.a, cell.q, cell.previous, product, cell.recurrent_packed, self.recurrent_bias)
        tape.forward.rows("gru_forward", y.value, *arrays, **options)
        if tape.gradients:
            arrays = (cell.delta, cell.recurrent_delta, tape.array(2 * self.units), y.grad, cell.a, cell.q, cell.previous)
            tape.backward.rows("gru_backward", *arrays, self.recurrent_weight, cell.g, **options)

    def _emit_cell_tangent(self, tape: TangentTape, y: Signal, cell: CellArrays, tangents: CellArrays) -> None:
        options, tangents.q = self._cell_options(tape), tape.array(self.steps * self.units)
        tangents.recurrent_delta = tape.array(self.steps * 3 * self.units)
        weight, bias, states = self.recurrent_weight, self.recurrent_bias, (cell.a, cell.q, cell.previous)
        arrays: tuple[Any, ...] = (tangents.a, tangents.q, tangents.previous, tape.array(3 * self.units), *states)
        packed = cell.recurrent_packed, tangents.recurrent_packed
        tape.tangent_forward.rows("gru_tangent_forward", y.tangent, *arrays, *packed, tape.direction(bias), **options)
        arrays = (tangents.delta, tangents.recurrent_delta, tape.array(2 * self.units), y.grad_tangent, cell.g)
        arrays = (*arrays, cell.recurrent_delta, *states, tangents.a, tangents.q, tangents.previous)
        tape.tangent_backward.rows("gru_tangent_backward", *arrays, weight, tape.direction(weight), **options)
