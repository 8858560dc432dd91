"""Methods that scale the step of each parameter by the size of its past gradients."""

from __future__ import annotations

from typing import ClassVar

from nncore._utils.fields import Choice, Flag, Number
from nncore.optimizers.gradient import GradientOptimizer
from nncore.optimizers.hyper import Fraction, Hyper, HyperParameter

__all__ = ["AdaDelta", "AdaGrad", "RMSprop"]

PLACEMENTS = ("outside", "inside")


class AdaGrad(GradientOptimizer):
    """AdaGrad (Duchi, Hazan & Singer 2011): divide by the root of the sum of all squared gradients.

    State r, initially `initial_accumulator_value`.

        r ← r + g²
        θ ← θ − η g/(√r + ε)

    With ``eps_placement="inside"`` the denominator is √(r + ε).

    The root matters: divided by r + ε instead, as is sometimes printed, the step would be longer for smaller gradients.

    Parameters
    ----------
    lr : float or Schedule, default 0.01
        η (PyTorch; Keras 0.001).
    eps : float or Schedule, default 1e-10
        ε (PyTorch; Keras 1e-7).
    eps_placement : {"outside", "inside"}, default "outside"
        "outside" (PyTorch, Goodfellow et al. algorithm 8.4) or "inside" (Keras).
    initial_accumulator_value : float, default 0
        The initial r (PyTorch; Keras 0.1).

    Notes
    -----
    PyTorch's ``lr_decay`` is ``lr=InverseTime(lr, rate=lr_decay)``. With eps = 0 a zero first gradient is 0/0:
    divergence.

    Examples
    --------
    >>> import numpy as np
    >>> from nncore.optimizers import AdaGrad
    >>> theta, opt = np.array([1.0, 1.0]), AdaGrad(lr=0.5)
    >>> opt.step(theta, np.array([100.0, 0.01]))  # the first step is η whatever the gradient's size
    >>> theta.round(6)
    array([0.5, 0.5])
    """

    name = "adagrad"
    skips_zeros = True
    slots: ClassVar[tuple[str, ...]] = ("r",)
    seeds: ClassVar[tuple[str, ...]] = ("initial_accumulator_value",)
    non_negative: ClassVar[tuple[str, ...]] = ("r",)
    lr: HyperParameter = HyperParameter()
    eps: HyperParameter = HyperParameter()
    eps_placement: Choice = Choice(*PLACEMENTS)
    initial_accumulator_value: Number = Number(0)

    def __init__(
        self, lr: Hyper = 0.01, eps: Hyper = 1e-10, eps_placement: str = "outside", initial_accumulator_value: float = 0.0
    ) -> None:
        self.lr, self.eps, self.eps_placement = lr, eps, eps_placement
        self.initial_accumulator_value = initial_accumulator_value
        super().__init__()

    @property
    def kernel(self) -> str:
        return "adagrad_inside" if self.eps_placement == "inside" else "adagrad"

    def initial_value(self, slot: str) -> float:
        return self.initial_accumulator_value


class RMSprop(GradientOptimizer):
    """RMSProp (Hinton 2012): divide by the root of the running mean of the squared gradients.

    State r, and a if centered, and v with momentum, initially 0.

        r ← α r + (1−α) g²
        θ ← θ − η g/(√r + ε)

    With ``eps_placement="inside"`` the denominator is √(r + ε). ``centered`` puts the variance r − a² in place of r, where

        a ← α a + (1−α) g

    With ``momentum`` μ, and d the denominator,

        v ← μ v + g/d
        θ ← θ − η v

    The root matters, as in `AdaGrad`: divided by s + ε instead, as is sometimes printed, the step would be longer for smaller
    gradients.

    Parameters
    ----------
    lr : float or Schedule, default 0.01
        η (PyTorch; Hinton and Keras 0.001).
    alpha : float or Schedule, default 0.99
        α in [0, 1) (PyTorch; Hinton and Keras 0.9, and Keras's name is ``rho``).
    eps : float or Schedule, default 1e-8
        ε (PyTorch; Keras 1e-7).
    momentum : float or Schedule, default 0
        μ in [0, 1).
    centered : bool, default False
        Divide by the standard deviation instead (Graves 2013).
    eps_placement : {"outside", "inside"}, default "outside"
        "outside" (PyTorch) or "inside" (Keras, Goodfellow et al. algorithm 8.5).

    Notes
    -----
    Keras has η inside the velocity: v ← μv + ηg/d,  θ ← θ − v. PyTorch takes the root of a variance that rounding has
    made negative and gets NaN; here it counts as 0.

    Examples
    --------
    >>> import numpy as np
    >>> from nncore.optimizers import RMSprop
    >>> theta, opt = np.array([1.0]), RMSprop(lr=0.1, alpha=0.75)
    >>> opt.step(theta, np.array([3.0]))  # r = 9/4, the step 0.1 · 3/1.5
    >>> theta.round(6)
    array([0.8])
    """

    name = "rmsprop"
    non_negative: ClassVar[tuple[str, ...]] = ("r",)
    lr: HyperParameter = HyperParameter()
    alpha: Fraction = Fraction()
    eps: HyperParameter = HyperParameter()
    momentum: Fraction = Fraction()
    centered: Flag = Flag()
    eps_placement: Choice = Choice(*PLACEMENTS)

    def __init__(
        self, lr: Hyper = 0.01, alpha: Hyper = 0.99, eps: Hyper = 1e-8, momentum: Hyper = 0.0, centered: bool = False,
        eps_placement: str = "outside",
    ) -> None:  # fmt: skip
        self.lr, self.alpha, self.eps, self.momentum = lr, alpha, eps, momentum
        self.centered, self.eps_placement = centered, eps_placement
        super().__init__()

    @property
    def kernel(self) -> str:
        form = "_centered" * self.centered + "_momentum" * (self.momentum != 0) + "_inside" * (self.eps_placement == "inside")
        return f"rmsprop{form}"

    @property
    def slots(self) -> tuple[str, ...]:  # type: ignore[override]
        return ("r", *("a" if self.centered else ""), *("v" if self.momentum != 0 else ""))


class AdaDelta(GradientOptimizer):
    """AdaDelta (Zeiler 2012): a step in the units of θ, without a learning rate.

    State r, d, initially 0.

        r ← ρ r + (1−ρ) g²
        Δ = g √(d + ε)/√(r + ε)
        d ← ρ d + (1−ρ) Δ²
        θ ← θ − η Δ

    With ``eps_placement="outside"`` Δ = g (√d + ε)/(√r + ε).

    Parameters
    ----------
    lr : float or Schedule, default 1
        η. 1 is Zeiler's algorithm (PyTorch; Keras 0.001).
    rho : float or Schedule, default 0.9
        ρ in [0, 1) (PyTorch; Zeiler and Keras 0.95).
    eps : float or Schedule, default 1e-6
        ε (Zeiler, PyTorch; Keras 1e-7). It sets the first step, about √(ε/(1−ρ)) long unless the gradient is smaller
        than that: with 0 nothing ever moves.
    eps_placement : {"inside", "outside"}, default "inside"
        "inside" (Zeiler, PyTorch, Keras) or "outside".

    Examples
    --------
    >>> import numpy as np
    >>> from nncore.optimizers import AdaDelta
    >>> theta, opt = np.array([1.0]), AdaDelta(rho=0.75, eps=1.0)
    >>> opt.step(theta, np.array([2.0]))  # r = 1, Δ = 2 · 1/√2
    >>> (1 - theta).round(6), opt.state["d"].round(6)
    (array([1.414214]), array([0.5]))
    >>> theta = np.array([0.0])
    >>> AdaDelta(rho=0.75, eps=1e-6).step(theta, np.array([-10.0]))
    >>> theta.round(6)                    # √(1e-6/0.25)
    array([0.002])
    """

    name = "adadelta"
    slots: ClassVar[tuple[str, ...]] = ("r", "d")
    non_negative: ClassVar[tuple[str, ...]] = ("r", "d")
    lr: HyperParameter = HyperParameter()
    rho: Fraction = Fraction()
    eps: HyperParameter = HyperParameter()
    eps_placement: Choice = Choice(*PLACEMENTS)

    def __init__(self, lr: Hyper = 1.0, rho: Hyper = 0.9, eps: Hyper = 1e-6, eps_placement: str = "inside") -> None:
        self.lr, self.rho, self.eps, self.eps_placement = lr, rho, eps, eps_placement
        super().__init__()

    @property
    def kernel(self) -> str:
        return "adadelta_outside" if self.eps_placement == "outside" else "adadelta"
