"""Stochastic gradient descent."""

from __future__ import annotations

from nncore.optimizers.gradient import GradientOptimizer
from nncore.optimizers.hyper import Hyper, HyperParameter

__all__ = ["SGD"]


class SGD(GradientOptimizer):
    """Stochastic gradient descent (Robbins & Monro 1951): one step against the gradient.

    θ ← θ − η g

    Parameters
    ----------
    lr : η, default 0.01, as in Keras; PyTorch's is 0.001.

    Notes
    -----
    PyTorch's and Keras's SGD take momentum as an option; here that is `Momentum` and `Nesterov`. Their
    ``weight_decay`` adds λθ to the gradient; here that is a regularizer.

    Examples
    --------
    >>> import numpy as np
    >>> from nncore.optimizers import SGD
    >>> theta = np.array([1.0, 2.0])
    >>> SGD(lr=0.5).step(theta, np.array([1.0, -1.0]))
    >>> theta
    array([0.5, 2.5])
    """

    name = "sgd"
    lr: HyperParameter = HyperParameter()

    def __init__(self, lr: Hyper = 0.01) -> None:
        self.lr = lr
        super().__init__()
