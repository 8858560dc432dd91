"""Recurrent layers: the same cell at every step of a sequence."""

from __future__ import annotations

from typing import Any, ClassVar

from nncore import initializers
from nncore.data.validation import check_positive_integer
from nncore.initializers import Initializer
from nncore.layers.base import Array, Layer
from nncore.layers.products import Products, Rows, matrix_tiles, spread
from nncore.tape import Signal, Tape

__all__ = ["GRU", "Recurrent", "SimpleRNN"]


class Recurrent(Layer):
    """Base of the recurrent layers: x (rows, steps, inputs) to h_t of every step, (rows, steps, units), or of the last.

    A cell makes of x_t and h_{t−1} a candidate state, which is h_t unless zoneout keeps the old one; h_0 = 0. Gradients flow
    back through all steps.

    Parameters
    ----------
    units : int
        Width of the state.
    return_sequences : bool
        Is the output every h_t, or, by default, the last? (The name is Keras's; PyTorch returns both.)
    zoneout : float
        Rate of zoneout, 0 ≤ rate < 1 (Krueger et al. 2016): each unit keeps its old value with this probability,

            h_t = k ⊙ h_{t−1} + (1 − k) ⊙ candidate_t,   P(k = 1) = rate,

        drawn anew for every example, step and unit. Where the network is not trained, k is its mean, the rate. Other than
        dropout it takes nothing from the state: what is kept is the past, and gradients flow through it undiminished.
    weight_init, recurrent_init, bias_init : Initializer or str
        Default ``"glorot_uniform"`` for the weights of the input, ``"orthogonal"`` for those of the state and zeros, as in
        Keras. PyTorch draws all of them from U(−1/√units, 1/√units).
    name : str, optional
    """

    gates: ClassVar[int]  # how many blocks of ``units`` rows W and U have

    weight: Array
    recurrent_weight: Array
    bias: Array
    weight_grad: Array
    recurrent_weight_grad: Array
    bias_grad: Array

    def __init__(
        self, units: int, *, return_sequences: bool = False, zoneout: float = 0.0,
        weight_init: Initializer | str = "glorot_uniform", recurrent_init: Initializer | str = "orthogonal",
        bias_init: Initializer | str = "zeros", name: str | None = None,
    ) -> None:  # fmt: skip
        super().__init__(name=name)
        self.units, self.return_sequences = check_positive_integer(units, "units"), bool(return_sequences)
        if isinstance(zoneout, bool) or not isinstance(zoneout, (int, float)) or not 0 <= zoneout < 1:
            raise ValueError(f"zoneout must be a number from 0 to below 1, got {zoneout!r}")
        self.zoneout = float(zoneout)
        self.weight_init, self.recurrent_init = initializers.get(weight_init), initializers.get(recurrent_init)
        self.bias_init = initializers.get(bias_init)

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

    def emit(self, tape: Tape, x: Signal) -> Signal:
        outputs, steps = self.gates * self.units, self.steps
        y = tape.signal(str(self.name), self.output_shape)
        a, previous = tape.array(steps * outputs), tape.array(steps * self.units)
        delta = tape.array(steps * outputs) if tape.gradients else None
        of_x, of_h = Products(tape, outputs, self.inputs, steps), Products(tape, outputs, self.units, steps)
        packed, recurrent_packed = of_x.room_to_pack(), of_h.room_to_pack()
        tiles, recurrent_tiles = (matrix_tiles(self.parameters[name]) for name in ("weight", "recurrent_weight"))

        x_rows = spread(tape, x.value, tape.rows, self.weight.size, steps)
        of_x.forward(a, x_rows, self.weight, packed, self.bias)
        recurrent_delta = self._emit_cell(tape, y, a, delta, previous, recurrent_packed)
        tape.flops_per_row += 2 * steps * self.recurrent_weight.size

        delta_rows, recurrent_rows, h_rows = self._rows_back(tape, delta, recurrent_delta, previous)
        of_x.backward_input(x.grad, delta_rows, self.weight)
        gradient = of_x.weight_gradient(self.weight_grad, delta_rows, x_rows, tiles)
        tape.gradient(gradient, derived=of_x.pack(packed, self.weight, tiles) if of_x.reads_packed else None)
        gradient = of_h.weight_gradient(self.recurrent_weight_grad, recurrent_rows, h_rows, recurrent_tiles)
        tape.gradient(gradient, derived=of_h.pack(recurrent_packed, self.recurrent_weight, recurrent_tiles))
        for name, db in (("recurrent_bias", recurrent_delta), ("bias", delta)):
            if name in self.parameters:
                tape.gradient(of_h.bias_gradient(getattr(self, f"{name}_grad"), db, self.parameters[name]))
        return y

    def _rows_back(self, tape: Tape, delta: Array | None, recurrent_delta: Array | None, previous: Array) -> tuple[Rows, ...]:
        """What the products of the way back read: the two deltas, which may be one, and h_{t−1}."""
        if delta is None:
            return (Rows(None),) * 3
        back, shared = tape.rows_backward, recurrent_delta is delta
        weights, recurrent_weights = self.weight.size, self.recurrent_weight.size
        delta_rows = spread(tape, delta, back, weights + shared * recurrent_weights, self.steps)
        recurrent_rows = delta_rows if shared else spread(tape, recurrent_delta, back, recurrent_weights, self.steps)
        return delta_rows, recurrent_rows, spread(tape, previous, back, recurrent_weights, self.steps)

    def _emit_cell(
        self, tape: Tape, y: Signal, a: Array, delta: Array | None, previous: Array, packed: Array
    ) -> Array | None:  # fmt: skip
        """The steps in time: from ``a``, the input's part, to ``y``; from ``y.grad`` to ``delta``, the gradient of ``a``.

        ``previous`` is to hold h_{t−1} of every step; ``packed`` is the packed copy of U. Returned is where the gradient of
        U h_{t−1} + c goes.
        """
        raise NotImplementedError

    def _cell_options(self, tape: Tape) -> dict[str, Any]:
        """Sizes and constants of the cell's ops."""
        sizes = (self.units, self.steps, self.return_sequences, tape.noise, *tape.stream())
        return {"sizes": sizes, "constants": (self.zoneout,)}

    def config(self) -> dict[str, Any]:
        return {
            "units": self.units, "return_sequences": self.return_sequences, "zoneout": self.zoneout,
            "weight_init": initializers.config(self.weight_init), "recurrent_init": initializers.config(self.recurrent_init),
            "bias_init": initializers.config(self.bias_init), "name": self.name,
        }  # fmt: skip

    def __repr__(self) -> str:
        defaults = {"weight_init": "glorot_uniform", "recurrent_init": "orthogonal", "bias_init": "zeros"}
        given = ["return_sequences=True"] * self.return_sequences + [f"zoneout={self.zoneout}"] * (self.zoneout > 0)
        for name, default in defaults.items():
            given += [f"{name}={getattr(self, name)!r}"] * (getattr(self, name) != initializers.get(default))
        return f"{type(self).__name__}({', '.join([str(self.units), *given])})"


class SimpleRNN(Recurrent):
    """Simple recurrent layer: h_t = tanh(W x_t + U h_{t−1} + b), h_0 = 0 (Elman 1990).

    With δ_t the gradient of the argument of tanh, the way back goes through all steps, last first (Werbos 1990):

        ∂l/∂h_t = (the output's part) + Uᵀ δ_{t+1},   δ_t = ∂l/∂h_t ⊙ (1 − h_t²),
        ∂l/∂W = Σ δ_t x_tᵀ,   ∂l/∂U = Σ δ_t h_{t−1}ᵀ,   ∂l/∂b = Σ δ_t,   ∂l/∂x_t = Wᵀ δ_t,

    the sums over all examples and steps. PyTorch's ``RNN`` has two biases, whose sum is b; Keras's ``SimpleRNN`` has one.

    Parameters
    ----------
    units, return_sequences, zoneout, weight_init, recurrent_init, bias_init, name
        See `Recurrent`.

    Attributes
    ----------
    weight, recurrent_weight, bias : views into θ
        W (units, inputs), U (units, units), b (units,); beside each its ``…_grad``.

    Raises
    ------
    ValueError
        If ``units`` is not a positive integer, ``zoneout`` not in [0, 1), or the input no sequence (steps, inputs).

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

    def _emit_cell(
        self, tape: Tape, y: Signal, a: Array, delta: Array | None, previous: Array, packed: Array
    ) -> Array | None:  # fmt: skip
        options = self._cell_options(tape)
        tape.rows("simple_rnn_forward", y.value, a, previous, tape.array(self.units), packed, **options)
        if tape.gradients:
            carry = tape.array(2 * self.units)
            tape.rows_backward("simple_rnn_backward", delta, carry, y.grad, a, self.recurrent_weight, **options)
        return delta


class GRU(Recurrent):
    """Gated recurrent unit (Cho et al. 2014), in the form of cuDNN and PyTorch; W, U, b, c are stacked in the order r, z, n:

        r = s(W_r x_t + b_r + U_r h_{t−1} + c_r),   z = s(W_z x_t + b_z + U_z h_{t−1} + c_z),
        n = tanh(W_n x_t + b_n + r ⊙ (U_n h_{t−1} + c_n)),   h_t = (1 − z) ⊙ n + z ⊙ h_{t−1},   h_0 = 0,

    s the logistic function. The reset gate r multiplies the product with U_n, which is also Keras's default (``reset_after``);
    in the paper it multiplies h_{t−1}, and z and 1 − z change places. The weights of a PyTorch ``GRU`` fit as they are; Keras
    orders the gates z, r, n and holds transposes. With q = U_n h_{t−1} + c_n the way back is, of the arguments of the gates,

        δn = ∂l/∂h_t (1 − z)(1 − n²),   δz = ∂l/∂h_t (h_{t−1} − n) z (1 − z),   δr = δn q r (1 − r),
        ∂l/∂h_{t−1} = (the output's part) + z ⊙ ∂l/∂h_t + Uᵀ (δr, δz, δn ⊙ r),
        ∂l/∂W = Σ (δr, δz, δn) x_tᵀ,   ∂l/∂U = Σ (δr, δz, δn ⊙ r) h_{t−1}ᵀ,   ∂l/∂b, ∂l/∂c = the same sums without x, h.

    Parameters
    ----------
    units, return_sequences, zoneout, weight_init, recurrent_init, bias_init, name
        See `Recurrent`. Orthogonal are the columns of all of U, as in Keras.

    Attributes
    ----------
    weight, recurrent_weight, bias, recurrent_bias : views into θ
        W (3 units, inputs), U (3 units, units), b and c (3 units,); beside each its ``…_grad``.

    Raises
    ------
    ValueError
        If ``units`` is not a positive integer, ``zoneout`` not in [0, 1), or the input no sequence (steps, inputs).

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

    def _emit_cell(
        self, tape: Tape, y: Signal, a: Array, delta: Array | None, previous: Array, packed: Array
    ) -> Array | None:  # fmt: skip
        options = self._cell_options(tape)
        q, product = tape.array(self.steps * self.units), tape.array(3 * self.units)
        recurrent_delta = tape.array(self.steps * 3 * self.units) if tape.gradients else None
        tape.rows("gru_forward", y.value, a, q, previous, product, packed, self.recurrent_bias, **options)
        if tape.gradients:
            arrays = (delta, recurrent_delta, tape.array(2 * self.units), y.grad, a, q, previous, self.recurrent_weight)
            tape.rows_backward("gru_backward", *arrays, **options)
        return recurrent_delta
