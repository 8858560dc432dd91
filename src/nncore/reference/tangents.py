"""Pearlmutter's R-operator: R{f}(θ) = d/dr f(θ + r v) at r = 0, applied to the kernels of `dense`.

The tangent kernels of `nncore.reference.activations` and `nncore.reference.losses` are there, each
below the kernel that it is the derivative of.

For each array z of a kernel, the tangent kernel has tz = R{z}, of the same shape. The product with the Hessian
H of the loss is R{∂l/∂θ} = H v: differentiate each line of forward and backward pass once more, by the product rule.

Forward, the tangent of an activation is R{h} = σ'(z) tz, which is its ``foo_backward(tz, z, h)``: the Jacobian of an
activation is symmetric, softmax's too. Backward, dz = σ'(z) dh gives ``foo_tangent_backward``:

    R{dz} = σ'(z) R{dh} + σ''(z) tz dh.

A kink has no second derivative; σ'' is that of the smooth parts next to it. For a loss, dy = scale · weight · ∂l/∂y
gives

    R{dy} = scale · weight · (∂²l/∂y²) ty.

Source: Pearlmutter, Fast exact multiplication by the Hessian (1994).
"""

from ._common import Array

__all__ = [
    "add_product", "dense_tangent_backward_input", "dense_tangent_backward_weight", "dense_tangent_forward",
    "load_direction",
]  # fmt: skip


def dense_tangent_forward(tx: Array, x: Array, W: Array, V: Array, v_b: Array | None = None) -> Array:
    """y = x Wᵀ + b, so R{y} = tx Wᵀ + x Vᵀ + v_b, with V = R{W} and v_b = R{b} the parts of the direction v.

    >>> import numpy as np
    >>> one, two, three = np.array([[1.0]]), np.array([[2.0]]), np.array([[3.0]])
    >>> dense_tangent_forward(one, two, three, np.array([[5.0]]), np.array([7.0])).tolist()
    [[20.0]]
    """
    ty = tx @ W.T + x @ V.T
    return ty if v_b is None else ty + v_b


def dense_tangent_backward_input(tdy: Array, dy: Array, W: Array, V: Array) -> Array:
    """dx = dy W, so R{dx} = tdy W + dy V."""
    return tdy @ W + dy @ V


def dense_tangent_backward_weight(tdy: Array, dy: Array, x: Array, tx: Array) -> Array:
    """dW = dyᵀ x, so R{dW} = tdyᵀ x + dyᵀ tx."""
    return tdy.T @ x + dy.T @ tx


def load_direction(V: Array, step: int) -> Array:
    """v = row ``step`` of V: the direction of this step."""
    return V[step].copy()


def add_product(P: Array, p: Array, step: int) -> None:
    """Row ``step`` of P += p, in place: sums over the chunks of a batch."""
    P[step] += p
