"""Path-SGD: gradient descent for networks of rectifiers that does not depend on the scale of their units."""

import numpy as np

from ._common import Array, store

__all__ = ["path_sgd_update"]


def path_sgd_update(theta: Array, grad: Array, gamma: Array, *, lr: float) -> bool:
    """θ ← θ − η g/γ; where γ = 0 no path leads through the weight, and θ stays. γ: `nncore.reference.paths`.

    Neyshabur, Salakhutdinov, Srebro: Path-SGD: path-normalized optimization in deep neural networks, 2015.

    >>> theta = np.array([1.0, 2.0, 3.0])
    >>> path_sgd_update(theta, np.array([4.0, -4.0, 0.0]), np.array([1.0, 2.0, 0.0]), lr=0.25), theta.tolist()
    (False, [0.0, 2.5, 3.0])
    """
    step = np.divide(lr * grad, gamma, out=0 * grad, where=gamma != 0)
    return store((theta, theta - step))
