"""Recurrent layers: the same cell at every step of a sequence."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from nncore import initializers
from nncore._utils.fields import Count, Flag, Maybe, Number
from nncore.initializers import InitializerField, InitializerLike
from nncore.layers.base import Array, Layer, Parameter
from nncore.layers.bfloat16 import PAIR, HalfProducts, products_of
from nncore.layers.products import Products, Rows, Tiles, matrix_tiles
from nncore.program.ops import Pass, Signal
from nncore.program.tape import TangentTape, Tape

__all__ = ["GRU", "SimpleRNN"]


@dataclass
class StateProduct:
    """A product with rows of U at every step: of h_{t−1}, or of what stands for it."""

    of: Products
    part: Parameter  # these rows as an array of their own
    tiles: Tiles
    weight: Array
    gradient: Array
    states: Array  # (capacity, steps · units): what is multiplied
    delta: Any  # (capacity, steps · rows): the gradient of the product; None where there are no gradients
    packed: Any


@dataclass
class CellArrays:
    """Arrays that the passes over the cell store for all rows and steps; or their tangents."""

    a: Array  # (capacity, steps · outputs): the input's part, then the gates or the candidate states
    previous: Array  # h_{t−1}
    delta: Any  # the gradient of the input's part
    extra: tuple[Array, ...] = ()  # of a GRU: q, or r ⊙ h_{t−1}
    g: Any = None  # the gradient of h_t, kept where there are tangents


class Recurrent(Layer):
    """Base of the recurrent layers: x (rows, steps, inputs) to h_t of every step, (rows, steps, units), or of the last.

    A cell computes a candidate state from x_t and h_{t−1}, which is h_t unless zoneout keeps the old one; h_0 = 0, or with
    ``stateful`` the last state of the batch before. Gradients flow back through all steps. Steps that a `Masking` layer before
    it marks are skipped, h_t = h_{t−1}; if the output is every h_t, the recurrent layers after it skip them too.

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
    stateful : int, optional
        Carry states over from batch to batch, which must have this many rows: h_0 of row i is the last state of row i of the
        batch before, 0 at first. The rows of a batch are then the next pieces of as many long sequences, so ``fit`` needs
        ``shuffle=False``, and ``predict`` takes a multiple of this many rows. No gradient flows into the batch before
        (truncated backpropagation through time). ``fit``, ``evaluate``, ``predict``, ``forward`` and ``activations`` leave the
        last state in ``state``, or if they raise the one before; gradients and curvature start from it and leave it as it is.
        So do the evaluations within ``fit``: the next epoch begins where the last batch has ended, with validation data or
        without. Second-order optimizers, which minimize one function, are refused. As Keras's ``stateful=True``, where the
        number of rows is that of the ``batch_shape``.
    weight_init, recurrent_init, bias_init : Initializer or str
        Default ``"glorot_uniform"`` for the weights of the input, ``"orthogonal"`` for those of the state and zeros, as in
        Keras. PyTorch draws all of them from U(−1/√units, 1/√units).

    Attributes
    ----------
    state : view into ``model.state``, (stateful, units)
        With ``stateful``: h_0 of the next batch. It may be assigned, is not trained, and is part of saved models.

    Raises
    ------
    ValueError
        If ``units`` or ``stateful`` is not a positive integer, ``zoneout`` not in [0, 1), or the input is not a sequence
        (steps, inputs); in any pass, if ``stateful`` and a batch does not have so many rows.
    """

    kernel: str  # the first part of the names of the cell's ops
    gates: ClassVar[int]  # the number of blocks of ``units`` rows in W and U
    takes_mask = True

    weight: Array
    recurrent_weight: Array
    bias: Array
    weight_grad: Array
    recurrent_weight_grad: Array
    bias_grad: Array
    state: Array
    units: Count = Count()
    return_sequences: Flag = Flag()
    zoneout: Number = Number(0, below=1)
    stateful: Maybe[int, int] = Maybe(Count())
    weight_init: InitializerField = initializers.field()
    recurrent_init: InitializerField = initializers.field()
    bias_init: InitializerField = initializers.field()
    _direction = 0  # 1: the last step is the first
    _options: ClassVar[dict[str, Any]] = {"return_sequences": False, "zoneout": 0, "stateful": None}  # with their defaults

    def __init__(
        self, units: int, *, return_sequences: bool = False, zoneout: float = 0.0, stateful: int | None = None,
        weight_init: InitializerLike = "glorot_uniform", recurrent_init: InitializerLike = "orthogonal",
        bias_init: InitializerLike = "zeros", name: str | None = None,
    ) -> None:  # fmt: skip
        super().__init__(name=name)
        self.units, self.return_sequences, self.zoneout, self.stateful = units, return_sequences, zoneout, stateful
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
        if self.stateful:
            self.add_state("state", (self.stateful, self.units), 0.0)
        return (self.steps, self.units) if self.return_sequences else (self.units,)

    def reset_state(self) -> None:
        """Set ``state`` to 0: the next batch begins new sequences. Without ``stateful`` there is none, a ValueError."""
        if not self.stateful:
            raise ValueError(f"reset_state of {self.label} needs a layer with stateful=…: others begin every batch at 0")
        self.state[...] = 0

    @property
    def batch_rows(self) -> int | None:
        return self.stateful

    @property
    def batch_dependent(self) -> bool:
        return self.stateful is not None

    @property
    def held(self) -> int:
        return math.prod(self.output_shape) + self.steps * 2 * self.gates * self.units  # gates and states of every step

    def emit(self, tape: Tape, x: Signal) -> Signal:
        y = tape.signal(str(self.name), self.output_shape)
        self.emit_into(tape, x, y)
        return y

    def emit_into(self, tape: Tape, x: Signal, y: Signal) -> None:
        """Record the layer's ops, whose output is the signal y."""
        if self.stateful and tape.capacity > self.stateful:  # there is no state of the other rows
            raise ValueError(f"layer {self.name} must get batches of {self.stateful} rows, got {tape.capacity}")
        outputs, steps = self.gates * self.units, self.steps
        of_x = products_of(tape, outputs, self.inputs, steps)
        cell = CellArrays(tape.array(steps * outputs), tape.array(steps * self.units), None)
        cell.delta = tape.array(steps * outputs) if tape.gradients else None
        cell.g = tape.array(steps * self.units) if isinstance(tape, TangentTape) else None
        packed, products = of_x.room_to_pack(), self._state_products(tape, cell)
        x_rows = of_x.rows(x.value, tape.forward)
        of_x.forward(cell.a, x_rows, self.weight, packed, self.bias)
        self._clear_skipped(tape.forward, cell.a, x.mask)
        self._emit_cell(tape, x.mask, y, cell, products)
        tape.flops_per_row += 2 * steps * self.recurrent_weight.size
        self._emit_gradients(tape, x, x_rows, packed, cell, of_x, products)
        if isinstance(tape, TangentTape) and not self.zoneout:  # which is random
            self._emit_tangent(tape, x, y, packed, cell, of_x, products)
        y.mask = x.mask if self.return_sequences else None

    def _clear_skipped(self, part: Pass, a: Array, mask: Any) -> None:
        """The input's part of skipped steps is padding, of which a product may overflow."""
        if mask is not None:
            part.rows("clear_skipped", a, mask, sizes=(self.steps, self.gates * self.units))

    def _state_products(self, tape: Tape, cell: CellArrays) -> list[StateProduct]:
        """The products with U, whose deltas are those that the backward pass writes."""
        raise NotImplementedError

    def _state_product(self, tape: Tape, first: int, last: int, states: Array, delta: Any = None) -> StateProduct:
        """The product with the rows of U of these gates; its delta is an array of its own if none is given."""
        whole, rows = self.parameters["recurrent_weight"], slice(first * self.units, last * self.units)
        outputs = rows.stop - rows.start
        part = whole._replace(shape=(outputs, self.units), offset=whole.offset + rows.start * self.units)
        of = products_of(tape, outputs, self.units, self.steps)
        if delta is None and tape.gradients:
            delta = tape.array(self.steps * outputs)
        weight, gradient = self.recurrent_weight[rows], self.recurrent_weight_grad[rows]
        return StateProduct(of, part, matrix_tiles(part), weight, gradient, states, delta, of.room_to_pack())

    def _emit_gradients(
        self, tape: Tape, x: Signal, x_rows: Rows, packed: Any, cell: CellArrays, of_x: Products, products: list[StateProduct]
    ) -> None:
        """∂l/∂x, and the gradients of W, U and the biases, sums over all rows and steps."""
        shared = [p.weight.size for p in products if p.delta is cell.delta and type(p.of) is type(of_x)]
        delta = of_x.rows(cell.delta, tape.backward, weights=self.weight.size + sum(shared), along=x.grad is not None)
        of_x.backward_input(x.grad, delta, self.weight, packed)
        tiles = matrix_tiles(self.parameters["weight"])
        repack = of_x.pack(packed, self.weight, tiles) if of_x.packs else None
        tape.gradient(of_x.weight_gradient(self.weight_grad, delta, x_rows, tiles), repack)
        for p in products:
            own = delta if shared else p.of.rows(p.delta, tape.backward, along=False)
            states = p.of.rows(p.states if tape.gradients else None, tape.backward, along=False)
            repack = p.of.pack(p.packed, p.weight, p.tiles)
            tape.gradient(p.of.weight_gradient(p.gradient, own, states, p.tiles), repack)
        for name, db in self._bias_deltas(cell.delta, [p.delta for p in products]):
            tape.gradient(of_x.bias_gradient(getattr(self, f"{name}_grad"), db, self.parameters[name]))

    def _bias_deltas(self, delta: Any, of_products: list[Any]) -> list[tuple[str, Any]]:
        """The biases, and what their gradients sum up."""
        return [("bias", delta)]

    def _read(self, cell: CellArrays) -> tuple[Array, ...]:
        """What the cell's backward pass reads besides ``a``."""
        return ()

    def _in_product(self, of: Callable[[Array], Any]) -> tuple[Any, ...]:
        """The bias that is added to the product with U, if any, or what belongs to it."""
        return ()

    def _emit_cell(self, tape: Tape, mask: Any, y: Signal, cell: CellArrays, products: list[StateProduct]) -> None:
        """Record the steps: from ``a``, the part of the input, to ``y``; from ``y.grad`` to the deltas."""
        options, half = self._cell_options(tape), isinstance(products[0].of, HalfProducts)
        suffix, outputs = "_bfloat16" if half else "", products[0].part.shape[0]

        def rounded(depth: int) -> list[Array]:
            """Room for one step's operands of bfloat16 products."""
            return [tape.arena.take((tape.capacity, -(-depth // 2)), PAIR)] if half else []

        initial = self.state if self.stateful else None
        last = initial if tape.tracking or not tape.gradients else None
        packed = [p.packed.packed if half else p.packed for p in products]
        arrays = [y.value, cell.a, *cell.extra, cell.previous, tape.array(outputs), *rounded(self.units), *packed]
        arrays += [*self._in_product(lambda array: array), mask, initial, last]
        tape.forward.rows(f"{self.kernel}_forward{suffix}", *arrays, **options)
        if tape.gradients:
            weights = [p.packed.paired if half else p.weight for p in products]
            deltas = [cell.delta, *(p.delta for p in products if p.delta is not cell.delta)]
            arrays = [*deltas, tape.array(2 * self.units), *rounded(outputs), y.grad, cell.a]
            arrays += [*self._read(cell), *weights, mask, cell.g]
            tape.backward.rows(f"{self.kernel}_backward{suffix}", *arrays, **options)

    def _emit_tangent(
        self, tape: TangentTape, x: Signal, y: Signal, packed: Any, cell: CellArrays, of_x: Products,
        products: list[StateProduct],
    ) -> None:  # fmt: skip
        """R{a_t} = W R{x_t} + V x_t + v_b, R{} of the cell, R{∂l/∂x_t} = Wᵀ R{δ_t} + Vᵀ δ_t, and R{δᵀ x}, R{δᵀ h_{t−1}}."""
        a, previous, delta = (tape.array(array.shape[1]) for array in (cell.a, cell.previous, cell.delta))
        t = CellArrays(a, previous, delta, tuple(tape.array(array.shape[1]) for array in cell.extra))
        tiles = matrix_tiles(self.parameters["weight"])
        v, packed_v = of_x.pack_direction(tape, self.weight, tiles)
        y.tangent = tape.array(y.width)
        if y.grad_tangent is None:
            y.grad_tangent = tape.array(y.width)
        of_x.tangent_forward(tape, t.a, x, packed, packed_v, tape.direction(self.bias))
        self._clear_skipped(tape.tangent_forward, t.a, x.mask)
        deltas = [t.delta if p.delta is cell.delta else tape.array(p.delta.shape[1]) for p in products]
        self._emit_cell_tangent(tape, x.mask, y, cell, t, products, deltas)
        of_x.tangent_backward_input(tape, x, t.delta, cell.delta, self.weight, v)
        product = tape.product(self.weight_grad)
        op = of_x.tangent_weight_gradient(product, t.delta, cell.delta, x.value, x.tangent, tiles)
        tape.tangent_gradients.add(op)
        for p, tdelta in zip(products, deltas, strict=True):
            product = tape.product(p.gradient)
            states = p.states, t.previous if p.states is cell.previous else t.extra[0]
            tape.tangent_gradients.add(p.of.tangent_weight_gradient(product, tdelta, p.delta, *states, p.tiles))
        for name, tdb in self._bias_deltas(t.delta, deltas):
            product = tape.product(getattr(self, f"{name}_grad"))
            tape.tangent_gradients.add(of_x.bias_gradient(product, tdb, self.parameters[name]))

    def _emit_cell_tangent(
        self, tape: TangentTape, mask: Any, y: Signal, cell: CellArrays, t: CellArrays, products: list[StateProduct],
        deltas: list[Array],
    ) -> None:  # fmt: skip
        """Record R{} of the steps: from ``t.a``, which is R{a}, to R{y}, and from R{∂l/∂y} to ``t.delta`` and ``deltas``."""
        options = self._cell_options(tape)
        packed_v = [p.of.pack_direction(tape, p.weight, p.tiles)[1] for p in products]
        arrays: list[Any] = [y.tangent, t.a, *t.extra, t.previous, tape.array(products[0].part.shape[0]), cell.a, *cell.extra]
        arrays += [cell.previous, *(p.packed for p in products), *packed_v, *self._in_product(tape.direction), mask]
        tape.tangent_forward.rows(f"{self.kernel}_tangent_forward", *arrays, **options)
        carry = tape.array((1 + len(products)) * self.units)  # with room for the gradient of r ⊙ h_{t−1}, if any
        arrays = [
            t.delta,
            *(delta for delta in deltas if delta is not t.delta),
            carry,
            y.grad_tangent,
            cell.g,
            *(p.delta for p in products),
            cell.a,
            *self._read(cell),
            t.a,
            *self._read(t),
        ]
        arrays += [self.recurrent_weight, tape.direction(self.recurrent_weight), mask]
        tape.tangent_backward.rows(f"{self.kernel}_tangent_backward", *arrays, **options)

    def _cell_options(self, tape: Tape) -> dict[str, Any]:
        """Sizes and constants of the cell's ops."""
        stream = tape.stream(self._direction) if self.zoneout else (0, 0)
        sizes = (self.units, self.steps, self.return_sequences, tape.noise, *stream, self._direction)
        return {"sizes": sizes, "constants": (self.zoneout,)}

    def __repr__(self) -> str:
        defaults = {"weight_init": "glorot_uniform", "recurrent_init": "orthogonal", "bias_init": "zeros"}
        options = [
            f"{name}={getattr(self, name)!r}" for name, default in self._options.items() if getattr(self, name) != default
        ]
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

    kernel = "simple_rnn"
    gates = 1

    @classmethod
    def default_name(cls) -> str:
        return "simple_rnn"

    def _state_products(self, tape: Tape, cell: CellArrays) -> list[StateProduct]:
        return [self._state_product(tape, 0, 1, cell.previous, cell.delta)]


class GRU(Recurrent):
    """Gated recurrent unit (Cho et al. 2014): gates decide how much of the old state is kept.

    In the form of cuDNN and PyTorch; W, U, b, c are stacked in the order r, z, n:

        r = s(W_r x_t + b_r + U_r h_{t−1} + c_r),   z = s(W_z x_t + b_z + U_z h_{t−1} + c_z),
        n = tanh(W_n x_t + b_n + r ⊙ (U_n h_{t−1} + c_n)),   h_t = (1 − z) ⊙ n + z ⊙ h_{t−1},   h_0 = 0,

    s the logistic function. The reset gate r multiplies the product with U_n. In the paper it multiplies the state; this form,
    ``reset_after=False``, has no c:

        n = tanh(W_n x_t + b_n + U_n (r ⊙ h_{t−1})),   the rest as above.

    (There z and 1 − z are exchanged besides, which names the gate otherwise and changes nothing.) Both forms are Keras's, under
    the same argument and default. The weights of a PyTorch ``GRU`` fit unchanged; Keras orders the gates z, r, n and holds
    transposes. With q = U_n h_{t−1} + c_n the backward pass is, for the gates' arguments,

        δn = ∂l/∂h_t (1 − z)(1 − n²),   δz = ∂l/∂h_t (h_{t−1} − n) z (1 − z),   δr = δn q r (1 − r),
        ∂l/∂h_{t−1} = (the output's part) + z ⊙ ∂l/∂h_t + Uᵀ (δr, δz, δn ⊙ r),
        ∂l/∂W = Σ (δr, δz, δn) x_tᵀ,   ∂l/∂U = Σ (δr, δz, δn ⊙ r) h_{t−1}ᵀ,   ∂l/∂b, ∂l/∂c = the same sums without x, h,

    and with ``reset_after=False``, where e = U_nᵀ δn is the gradient of r ⊙ h_{t−1},

        δr = e ⊙ h_{t−1} r (1 − r),   ∂l/∂U_n = Σ δn (r ⊙ h_{t−1})ᵀ,
        ∂l/∂h_{t−1} = (the output's part) + z ⊙ ∂l/∂h_t + r ⊙ e + U_rᵀ δr + U_zᵀ δz.

    The arguments are those of `Recurrent`, and one more. The columns of the stacked U are orthogonal, as in Keras.

    Parameters
    ----------
    reset_after : bool, default True
        Whether the reset gate multiplies the product with U_n, or before it the state.

    Attributes
    ----------
    weight, recurrent_weight, bias, recurrent_bias : views into θ
        W (3 units, inputs), U (3 units, units), b and, with ``reset_after``, c (3 units,); each with its ``…_grad``.

    Examples
    --------
    >>> import nncore as nn
    >>> model = nn.Sequential([nn.GRU(4, return_sequences=True, zoneout=0.1), nn.GRU(3, reset_after=False)], input_shape=(8, 2))
    >>> model.layers[0].recurrent_weight.shape, model.layers[0].output_shape, model.output_shape
    ((12, 4), (8, 4), (3,))
    """

    gates = 3
    _options: ClassVar[dict[str, Any]] = {"reset_after": True, **Recurrent._options}

    recurrent_bias: Array
    recurrent_bias_grad: Array
    reset_after: Flag = Flag()

    def __init__(
        self, units: int, *, return_sequences: bool = False, zoneout: float = 0.0, stateful: int | None = None,
        reset_after: bool = True, weight_init: InitializerLike = "glorot_uniform",
        recurrent_init: InitializerLike = "orthogonal", bias_init: InitializerLike = "zeros", name: str | None = None,
    ) -> None:  # fmt: skip
        super().__init__(
            units, return_sequences=return_sequences, zoneout=zoneout, stateful=stateful, weight_init=weight_init,
            recurrent_init=recurrent_init, bias_init=bias_init, name=name,
        )  # fmt: skip
        self.reset_after = reset_after

    @property
    def kernel(self) -> str:  # type: ignore[override]
        return "gru" if self.reset_after else "gru_reset_before"

    def build(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        output_shape = super().build(input_shape)
        if self.reset_after:
            self.add_parameter("recurrent_bias", (3 * self.units,), self.bias_init)
        return output_shape

    def _state_products(self, tape: Tape, cell: CellArrays) -> list[StateProduct]:
        cell.extra = (extra,) = (tape.array(self.steps * self.units),)
        if self.reset_after:
            return [self._state_product(tape, 0, 3, cell.previous)]
        return [self._state_product(tape, 0, 2, cell.previous), self._state_product(tape, 2, 3, extra)]

    def _bias_deltas(self, delta: Any, of_products: list[Any]) -> list[tuple[str, Any]]:
        return [("recurrent_bias", of_products[0])] * self.reset_after + [("bias", delta)]

    def _read(self, cell: CellArrays) -> tuple[Array, ...]:
        return (*cell.extra * self.reset_after, cell.previous)

    def _in_product(self, of: Callable[[Array], Any]) -> tuple[Any, ...]:
        return (of(self.recurrent_bias),) if self.reset_after else ()
