"""One factor per feature, y = x w, and its derivatives along a direction v of w; w and v are (features,)."""

from ._common import Array

__all__ = ["scale_backward", "scale_forward", "scale_tangent_backward", "scale_tangent_forward"]


def scale_forward(x: Array, weight: Array) -> Array:
    """y = x w.

    >>> import numpy as np
    >>> scale_forward(np.array([[2.0, 3.0]]), np.array([1.0, 10.0])).tolist()
    [[2.0, 30.0]]
    """
    return x * weight


def scale_backward(dy: Array, x: Array, weight: Array) -> tuple[Array, Array]:
    """dx = dy w, and the products dy x, whose sum over the rows is dw."""
    return dy * weight, dy * x


def scale_tangent_forward(tx: Array, x: Array, weight: Array, v: Array) -> Array:
    """R{y} = x v + R{x} w."""
    return x * v + tx * weight


def scale_tangent_backward(tdy: Array, dy: Array, tx: Array, x: Array, weight: Array, v: Array) -> tuple[Array, Array]:
    """R{dx} = dy v + R{dy} w, and R{dy x} = R{dy} x + dy R{x}."""
    return dy * v + tdy * weight, tdy * x + dy * tx
