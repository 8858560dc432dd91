"""The fully connected layer."""

from __future__ import annotations

import math

from nncore import initializers
from nncore._utils.fields import Count, Flag
from nncore.initializers import InitializerField, InitializerLike
from nncore.layers.base import Array, Layer
from nncore.layers.bfloat16 import products_of
from nncore.layers.products import Products, Tiles, matrix_tiles
from nncore.program.ops import Signal
from nncore.program.tape import TangentTape, Tape

__all__ = ["Dense"]


class Dense(Layer):
    """Fully connected layer: z = h Wᵀ + b.

    With the input h (rows, inputs), W (units, inputs), b (units,), and δ = ∂l/∂z (rows, units), the backward pass is

        ∂l/∂W = δᵀ h,   ∂l/∂b = Σ_rows δ,   ∂l/∂h = δ W.

    Parameters
    ----------
    units : int
        Width of the output, at least 1.
    weight_init : Initializer or str, default "he_normal"
        For W: N(0, 2/inputs), made for ReLU; take ``"lecun_normal"`` with tanh. PyTorch's ``Linear`` draws from
        U(−1/√inputs, 1/√inputs), Keras's ``Dense`` takes ``"glorot_uniform"``.
    bias_init : Initializer or str, default "zeros"
        For b. PyTorch's ``Linear`` draws it as W; Keras's ``Dense`` takes zeros.
    bias : bool, default True
        Without it z = h Wᵀ.

    Attributes
    ----------
    weight, bias, weight_grad, bias_grad : views into the model's ``parameters`` and ``gradients``, once it is built.

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
        products, tiles = products_of(tape, self.units, self.inputs), matrix_tiles(self.parameters["weight"])
        packed, bias = products.room_to_pack() if products.packs else None, self.bias if self.has_bias else None
        gradient = products.emit(x, y, self.weight, packed, bias, self.weight_grad, tiles)
        tape.gradient(gradient, repack=products.pack(packed, self.weight, tiles) if products.packs else None)
        if self.has_bias:
            tape.gradient(products.bias_gradient(self.bias_grad, y.grad, self.parameters["bias"]))
        if isinstance(tape, TangentTape):
            self._emit_tangent(tape, x, y, products, tiles, packed)
        return y

    def _emit_tangent(
        self, tape: TangentTape, x: Signal, y: Signal, products: Products, tiles: Tiles, packed: Array | None
    ) -> None:
        (ty, tdy), dy = tape.tangent_signal(y), y.grad
        v, packed_v = products.pack_direction(tape, self.weight, tiles)
        products.tangent_forward(tape, ty, x, packed, packed_v, tape.direction(self.bias) if self.has_bias else None)
        products.tangent_backward_input(tape, x, tdy, dy, self.weight, v)
        product = tape.product(self.weight_grad)
        tape.tangent_gradients.add(products.tangent_weight_gradient(product, tdy, dy, x.value, x.tangent, tiles))
        if self.has_bias:
            tape.tangent_gradients.add(products.bias_gradient(tape.product(self.bias_grad), tdy, self.parameters["bias"]))

    def __repr__(self) -> str:
        options = [f"weight_init={self.weight_init!r}"] * (self.weight_init != initializers.get("he_normal"))
        options += [f"bias_init={self.bias_init!r}"] * (self.bias_init != initializers.get("zeros"))
        return f"{type(self).__name__}({', '.join([str(self.units), *options, *['bias=False'] * (not self.has_bias)])})"
