"""The fully connected layer."""

from __future__ import annotations

import math
from dataclasses import replace

from nncore import initializers
from nncore._utils.fields import Count, Flag
from nncore.initializers import InitializerField, InitializerLike
from nncore.layers.base import Array, Layer
from nncore.layers.products import Products, matrix_tiles
from nncore.program.ops import Op, Signal
from nncore.program.tape import Tape

__all__ = ["Dense"]


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
    units: Count = Count()
    has_bias: Flag = Flag(argument="bias")
    weight_init: InitializerField = initializers.field()
    bias_init: InitializerField = initializers.field()

    def __init__(
        self, units: int, *, weight_init: InitializerLike = "he_normal", bias_init: InitializerLike = "zeros",
        bias: bool = True, name: str | None = None,
    ) -> None:  # fmt: skip
        super().__init__(name=name)
        self.units, self.has_bias = units, bias
        self.weight_init, self.bias_init = weight_init, bias_init

    def build(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        self.inputs: int = math.prod(input_shape)
        self.add_parameter("weight", (self.units, self.inputs), self.weight_init, regularized=True)
        if self.has_bias:
            self.add_parameter("bias", (self.units,), self.bias_init)
        return (self.units,)

    def emit(self, tape: Tape, x: Signal) -> Signal:
        y = tape.signal(str(self.name), self.output_shape)
        products, tiles = Products(tape, self.units, self.inputs), matrix_tiles(self.parameters["weight"])
        packed, bias = products.room_to_pack() if products.packs else None, self.bias if self.has_bias else None
        gradient = products.emit(x, y, self.weight, packed, bias, self.weight_grad, tiles)
        pack = products.pack(packed, self.weight, tiles)
        tape.gradient(gradient, derived=pack if products.packs else None)
        if self.has_bias:
            tape.gradient(products.bias_gradient(self.bias_grad, y.grad, self.parameters["bias"]))
        if tape.tangents:
            self._emit_tangent(tape, x, y, products, gradient, pack)
        return y

    def _emit_tangent(self, tape: Tape, x: Signal, y: Signal, products: Products, gradient: Op, pack: Op) -> None:
        """R{y} = R{x} Wᵀ + x Vᵀ + v_b,  R{dW} = R{dy}ᵀ x + dyᵀ R{x},  R{dx} = R{dy} W + dy V; V, v_b: the direction's parts."""
        sizes, (packed, _, rectangles) = pack.sizes, pack.arrays
        v, v_b = tape.direction(self.weight), tape.direction(self.bias) if self.has_bias else None
        packed_v = products.room_to_pack()
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
            own = replace(gradient, kernel="dense_tangent_backward_weight", sizes=sizes)
            tape.tangent_gradient(replace(own, arrays=arrays, cost=cost))
        if self.has_bias:
            tape.tangent_gradient(products.bias_gradient(tape.product(self.bias_grad), tdy, self.parameters["bias"]))

    def __repr__(self) -> str:
        given = [f"weight_init={self.weight_init!r}"] * (self.weight_init != initializers.get("he_normal"))
        given += [f"bias_init={self.bias_init!r}"] * (self.bias_init != initializers.get("zeros"))
        return f"Dense({', '.join([str(self.units), *given, *['bias=False'] * (not self.has_bias)])})"
