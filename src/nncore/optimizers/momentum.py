"""Gradient descent, and gradient descent with a velocity."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from nncore._utils.fields import Choice
from nncore.optimizers.gradient import GradientOptimizer
from nncore.optimizers.hyper import Fraction, Hyper, HyperParameter
from nncore.optimizers.tiles import Real
from nncore.schedules import Array

__all__ = ["SGD", "Momentum", "Nesterov"]


class SGD(GradientOptimizer):
    """Stochastic gradient descent (Robbins & Monro 1951): one step against the gradient.

        θ ← θ − η g

    Parameters
    ----------
    lr : float or Schedule, default 0.01
        η. The default is Keras's; PyTorch's is 0.001.

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
    skips_zeros = True
    lr: HyperParameter = HyperParameter()

    def __init__(self, lr: Hyper = 0.01) -> None:
        self.lr = lr
        super().__init__()


class Momentum(GradientOptimizer):
    """Momentum (Polyak 1964): past gradients keep contributing, with decaying weight.

    State v, initially 0.

        v ← μ v − η g,   θ ← θ + v

    With ``lr_placement="outside"``, η is not part of v:

        v ← μ v + g,   θ ← θ − η v

    Both are the same as long as η is constant. When η falls, the velocity of "inside" keeps the old η.

    Parameters
    ----------
    lr : float or Schedule, default 0.01
        η. The default is Keras's; PyTorch's is 0.001.
    momentum : float or Schedule, default 0.9
        μ in [0, 1). PyTorch's and Keras's default is 0.
    lr_placement : {"inside", "outside"}, default "inside"
        Keras and Goodfellow et al., algorithm 8.2, have η inside, PyTorch (with ``dampening=0``) outside.

    Examples
    --------
    >>> import numpy as np
    >>> from nncore.optimizers import Momentum
    >>> theta, opt = np.array([1.0]), Momentum(lr=0.1, momentum=0.5)
    >>> for _ in range(2):
    ...     opt.step(theta, np.array([1.0]))
    >>> theta, opt.state["v"]
    (array([0.75]), array([-0.15]))
    """

    name = "momentum"
    slots: ClassVar[tuple[str, ...]] = ("v",)
    lr: HyperParameter = HyperParameter()
    momentum: Fraction = Fraction()
    lr_placement: Choice = Choice("inside", "outside")

    def __init__(self, lr: Hyper = 0.01, momentum: Hyper = 0.9, lr_placement: str = "inside") -> None:
        self.lr, self.momentum, self.lr_placement = lr, momentum, lr_placement
        super().__init__()

    @property
    def kernel(self) -> str:
        return "momentum_outside" if self.lr_placement == "outside" else "momentum"


class Nesterov(GradientOptimizer):
    """Nesterov's accelerated gradient (Nesterov 1983; Sutskever et al. 2013): momentum with the gradient at the point ahead.

        v ← μ v − η g(θ + μ v),   θ ← θ + v

    State v, initially 0, and origin.

    Between the first step and `finish` the array given to `step` holds the point ahead, θ + μv, where the next gradient
    is taken, and ``state["origin"]`` holds θ: v ← μv − ηg,  origin ← origin + v,  array ← origin + μ′v, with μ′ the
    momentum of the next step. `minimize` and training call `begin` and `finish` themselves; their results are θ.

    Parameters
    ----------
    lr : float or Schedule, default 0.01
        η. The default is Keras's; PyTorch's is 0.001.
    momentum : float or Schedule, default 0.9
        μ in [0, 1).

    Notes
    -----
    PyTorch's and Keras's ``SGD(nesterov=True)`` keep the point ahead as the parameters, with the μ of this
    step instead of that of the next: their parameters are the array here before `finish` (PyTorch's as long as η is constant).

    Examples
    --------
    >>> import numpy as np
    >>> from nncore.optimizers import Nesterov
    >>> theta, opt = np.array([1.0]), Nesterov(lr=0.1, momentum=0.5)
    >>> opt.step(theta, theta.copy())  # gradient of θ²/2
    >>> theta                          # 0.9 + 0.5 (−0.1), the point ahead
    array([0.85])
    >>> opt.finish(theta)
    >>> theta
    array([0.9])
    """

    name = "nesterov"
    slots: ClassVar[tuple[str, ...]] = ("v", "origin")
    lr: HyperParameter = HyperParameter()
    momentum: Fraction = Fraction()
    enter = "nesterov_enter"
    leave = "nesterov_leave"

    def __init__(self, lr: Hyper = 0.01, momentum: Hyper = 0.9) -> None:
        self.lr, self.momentum = lr, momentum
        super().__init__()

    def coefficients(self, steps: int, steps_per_epoch: int = 1) -> Array:
        values = self.hyper_values(steps + 1, steps_per_epoch)
        return np.column_stack((values["lr"][:-1], values["momentum"][:-1], values["momentum"][1:]))

    def iterate(self, theta: Real) -> Real:
        return self.state["origin"]

    def lookahead(self) -> tuple[Real, int]:
        return self.state["v"], 2
