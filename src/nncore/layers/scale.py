"""One learned factor per feature."""

from __future__ import annotations

from nncore.initializers import Constant
from nncore.layers.base import Array, Layer
from nncore.program.ops import Op, Signal
from nncore.program.tape import TangentTape, Tape

__all__ = ["Scale"]


class Scale(Layer):
    """One learned factor per feature: y = γ ⊙ x, γ = 1 at first.

    With δ = ∂l/∂y the backward pass is ∂l/∂γ = Σ_rows δ ⊙ x, ∂l/∂x = γ ⊙ δ. As the first layer it learns a scale for each
    input; regularizers do not apply to γ.

    Attributes
    ----------
    weight, weight_grad : views into ``model.parameters`` and ``model.gradients``: γ, of the shape of an example.

    Notes
    -----
    Source: Holzmüller, Grinsztajn, Steinwart (2024), the "scaling layer" in front of an MLP for tables.

    Examples
    --------
    >>> import nncore as nn
    >>> model = nn.Sequential([nn.Scale()], input_shape=2)
    >>> model.layers[0].weight[...] = [1, 10]
    >>> model.forward([[2.0, 3.0]])
    array([[ 2., 30.]], dtype=float32)
    """

    takes_mask = True
    weight: Array
    weight_grad: Array

    def build(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        self.add_parameter("weight", input_shape, Constant(1.0))
        return input_shape

    @property
    def held(self) -> int:
        return 2 * super().held  # outputs, and products for the gradient of γ

    def emit(self, tape: Tape, x: Signal) -> Signal:
        y, sizes = tape.signal(str(self.name), self.output_shape), (x.width,)
        tape.forward.rows("scale_forward", y.value, x.value, self.weight, sizes=sizes)
        if not tape.gradients:
            return y
        products = tape.array(x.width)  # one row per example, summed for γ
        tape.backward.rows("scale_backward", x.grad, products, y.grad, x.value, self.weight, sizes=sizes)
        tape.gradient(self._sum(tape, self.weight_grad, products))
        if isinstance(tape, TangentTape):
            (ty, tdy), v, products = tape.tangent_signal(y), tape.direction(self.weight), tape.array(x.width)
            weights = (x.value, self.weight, v)
            tape.tangent_forward.rows("scale_tangent_forward", ty, x.tangent, *weights, sizes=sizes)
            rows = (x.grad_tangent, products, tdy, y.grad, x.tangent)
            tape.tangent_backward.rows("scale_tangent_backward", *rows, *weights, sizes=sizes)
            tape.tangent_gradients.add(self._sum(tape, tape.product(self.weight_grad), products))
        return y

    def _sum(self, tape: Tape, gradient: Array, products: Array) -> Op:
        """The sum over the batch, as one tile."""
        parameter, width = self.parameters["weight"], products.shape[1]
        cost, tiles = [float(width * tape.capacity)], [(parameter.offset, 1, width, width)]
        return Op("tiles", "dense_backward_bias", (gradient, products), (width,), cost=cost, tiles=tiles)
