"""The fully connected layer."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from nncore import _kernels, initializers
from nncore.data.validation import check_positive_integer
from nncore.initializers import Initializer
from nncore.layers.base import Array, Layer, Parameter
from nncore.tape import Op, Signal, Tape

__all__ = ["Dense"]

SPREAD_FROM = 1 << 18  # weights; a smaller layer reads its rows too seldom for a copy to pay
PACK_LARGE_FROM = 1 << 19  # weights, whose packed copy goes past the caches, as it would not stay there until it is read
PACK_COST = 30.0  # packing a weight takes as long as so many multiply-adds of its gradient


def matrix_tiles(parameter: Parameter) -> tuple[Array, list[float], list[tuple[int, int, int, int]]]:
    """The tiles of a matrix (units, inputs) as the kernels take them, their sizes, and where they lie in θ."""
    units, inputs = parameter.shape
    rectangles = _kernels.weight_tiles(units, inputs)
    places = [(parameter.offset + u0 * inputs + j0, u1 - u0, j1 - j0, inputs) for u0, u1, j0, j1 in rectangles.tolist()]
    return rectangles, [float(rows * columns) for _, rows, columns, _ in places], places


class Dense(Layer):
    """Fully connected layer: z = h Wᵀ + b.

    With the input h (rows, inputs), W (units, inputs), b (units,), and δ = ∂l/∂z (rows, units), the backward pass is

        ∂l/∂W = δᵀ h,   ∂l/∂b = Σ_rows δ,   ∂l/∂h = δ W.

    Parameters
    ----------
    units : int
        Width of the output.
    weight_init, bias_init : Initializer or str
        Default: ``"he_normal"`` for W (N(0, 2/inputs), made for ReLU; take ``"lecun_normal"`` with tanh) and zeros for b.
        PyTorch's ``Linear`` draws both from U(−1/√inputs, 1/√inputs); Keras's ``Dense`` takes ``"glorot_uniform"`` and zeros.
    bias : bool
        Without it z = h Wᵀ.
    name : str, optional

    Attributes
    ----------
    weight, bias, weight_grad, bias_grad : views into the model's ``parameters`` and ``gradients``, once it is built.

    Raises
    ------
    ValueError
        If ``units`` is not a positive integer.

    Examples
    --------
    >>> import nncore as nn
    >>> model = nn.Sequential([nn.Dense(3)], input_shape=2)
    >>> model.layers[0].weight.shape, model.layers[0].bias.shape
    ((3, 2), (3,))
    """

    weight: Array
    bias: Array
    weight_grad: Array
    bias_grad: Array

    def __init__(
        self, units: int, *, weight_init: Initializer | str = "he_normal", bias_init: Initializer | str = "zeros",
        bias: bool = True, name: str | None = None,
    ) -> None:  # fmt: skip
        super().__init__(name=name)
        self.units, self.has_bias = check_positive_integer(units, "units"), bool(bias)
        self.weight_init, self.bias_init = initializers.get(weight_init), initializers.get(bias_init)

    def build(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        self.inputs = math.prod(input_shape)
        self.add_parameter("weight", (self.units, self.inputs), self.weight_init, regularized=True)
        if self.has_bias:
            self.add_parameter("bias", (self.units,), self.bias_init)
        return (self.units,)

    def emit(self, tape: Tape, x: Signal) -> Signal:
        units, inputs = self.units, self.inputs
        y = tape.signal(str(self.name), self.output_shape)
        packed = tape.arena.take(_kernels.packed_size(units, inputs), tape.dtype)
        rectangles, elements, tiles = matrix_tiles(self.parameters["weight"])
        tape.flops_per_row += 2 * units * inputs
        large = units * inputs >= SPREAD_FROM

        x_rows, x_gap = tape.spread(x.value, tape.rows) if large else (x.value, 0)
        bias = self.bias if self.has_bias else None
        variant, gemm = _kernels.gemm_variant(tape.dtype)
        source = self.weight if gemm else packed
        tape.rows(f"dense_forward{variant}", y.value, x_rows, source, bias, *gemm, sizes=(units, inputs, x_gap))
        dy_rows, dy_gap = tape.spread(y.grad, tape.rows_backward) if large and y.grad is not None else (y.grad, 0)
        if x.grad is not None:
            arrays = (x.grad, dy_rows, self.weight, *gemm)
            tape.rows_backward(f"dense_backward_input{variant}", *arrays, sizes=(units, inputs, dy_gap))
        cost = [n * tape.capacity for n in elements]
        arrays = (self.weight_grad, dy_rows, x_rows, rectangles, *gemm)
        gradient = Op(
            "tiles", f"dense_backward_weight{variant}", arrays, (units, inputs, dy_gap, x_gap), cost=cost, tiles=tiles
        )
        cost = [PACK_COST * n for n in elements]
        kernel = "pack_large_weight" if units * inputs >= PACK_LARGE_FROM else "pack_weight"
        pack = Op("tiles", kernel, (packed, self.weight, rectangles), (units, inputs), cost=cost)
        tape.gradient(gradient, derived=pack if tape.tangents or not gemm else None)
        if self.has_bias:
            bias_tile = (self.parameters["bias"].offset, 1, units, units)
            cost = [float(units * tape.capacity)]
            tape.gradient(Op("tiles", "dense_backward_bias", (self.bias_grad, y.grad), (units,), cost=cost, tiles=[bias_tile]))
        if tape.tangents:
            self._emit_tangent(tape, x, y, gradient, pack)
        return y

    def _emit_tangent(self, tape: Tape, x: Signal, y: Signal, gradient: Op, pack: Op) -> None:
        """R{y} = R{x} Wᵀ + x Vᵀ + v_b,  R{dW} = R{dy}ᵀ x + dyᵀ R{x},  R{dx} = R{dy} W + dy V; V, v_b: the direction's parts."""
        sizes, (packed, _, rectangles) = pack.sizes, pack.arrays
        v, v_b = tape.direction(self.weight), tape.direction(self.bias) if self.has_bias else None
        packed_v = tape.arena.take(packed.size, tape.dtype)
        ty, tdy = tape.tangent_signal(y)
        tdw = tape.product(self.weight_grad)
        tape.tangent_prepare(replace(pack, arrays=(packed_v, v, rectangles)))
        if x.tangent is None:  # the data: R{x} = 0
            tape.tangent_forward("dense_forward", ty, x.value, packed_v, v_b, sizes=sizes)
            own = replace(gradient, kernel="dense_backward_weight", sizes=sizes)  # of rows that lie without gaps
            tape.tangent_gradient(replace(own, arrays=(tdw, tdy, x.value, rectangles)))
        else:
            tape.tangent_forward("dense_tangent_forward", ty, x.tangent, x.value, packed, packed_v, v_b, sizes=sizes)
            tape.tangent_backward("dense_tangent_backward_input", x.grad_tangent, tdy, y.grad, self.weight, v, sizes=sizes)
            arrays, cost = (tdw, tdy, y.grad, x.value, x.tangent, rectangles), [2 * c for c in gradient.cost]
            tape.tangent_gradient(replace(gradient, kernel="dense_tangent_backward_weight", arrays=arrays, cost=cost))
        if self.has_bias:
            cost = [float(self.units * tape.capacity)]
            tdb = tape.product(self.bias_grad)
            tape.tangent_gradient(Op("tiles", "dense_backward_bias", (tdb, tdy), (self.units,), cost=cost))

    def config(self) -> dict[str, Any]:
        return {
            "units": self.units, "weight_init": initializers.config(self.weight_init),
            "bias_init": initializers.config(self.bias_init), "bias": self.has_bias, "name": self.name,
        }  # fmt: skip

    def __repr__(self) -> str:
        given = [f"weight_init={self.weight_init!r}"] * (self.weight_init != initializers.get("he_normal"))
        given += [f"bias_init={self.bias_init!r}"] * (self.bias_init != initializers.get("zeros"))
        return f"Dense({', '.join([str(self.units), *given, *['bias=False'] * (not self.has_bias)])})"
