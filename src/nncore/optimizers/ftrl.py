"""Follow the regularized leader: AdaGrad's rates, with L1 and L2 penalties on all gradients so far."""

from __future__ import annotations

from typing import ClassVar

from nncore._utils.fields import Number
from nncore.optimizers.gradient import GradientOptimizer
from nncore.optimizers.hyper import Hyper, HyperParameter

__all__ = ["FTRL"]


class FTRL(GradientOptimizer):
    """FTRL-Proximal (McMahan et al. 2013, algorithm 1): rates as AdaGrad's, and exact zeros by L1, for sparse linear models.

    State z, initially 0, and n, initially `initial_accumulator_value`.

        σ = (√(n + g²) − √n)/α
        z ← z + g − σ θ
        n ← n + g²
        θ ← 0  where |z| ≤ λ₁
        θ ← −(z − λ₁ sign z)/((β + √n)/α + λ₂)  elsewhere

    - Where g = 0 nothing changes: neither θ nor the state.
    - Where θ ≠ 0, z is taken from θ by solving the last line for it, and where θ = 0 it is cut to [−λ₁, λ₁]. With constant
      hyper-parameters these are the values that it has anyway, but for two cases: initial parameters that are not 0 are where
      training starts (z = 0 would move all that have a gradient to about 0, and with them the random weights of hidden layers),
      and a schedule, a loaded model or a projection does not make θ jump.
    - As long as θ keeps its sign, the step is −g/((β + √n)/α + λ₂): with λ₂ = 0 that of `AdaGrad` with eps = β.

    Parameters
    ----------
    lr : float or Schedule, default 0.1
        α. With 0 nothing changes.
    beta : float or Schedule, default 1
        β (the paper; Vowpal Wabbit 0.1, Keras 0).
    l1 : float or Schedule, default 0
        λ₁: a parameter is 0 as long as |z| ≤ λ₁.
    l2 : float or Schedule, default 0
        λ₂. Keras's ``l2_regularization_strength`` is half of it.
    initial_accumulator_value : float, default 0
        The initial n (the paper; Keras 0.1).

    Notes
    -----
    λ₁‖θ‖₁ + ½λ₂‖θ‖² is added *once* to the sum of the losses of all steps, so that its share in the mean loss falls as 1/t, and
    it acts on all parameters, biases too. The penalty of a `Trainer`'s ``regularizer`` is added in every step instead, to
    weights alone. PyTorch has no FTRL.

    The gradients are means over a batch, in the paper those of single examples. As long as √n is small against β, the step is
    about αg/β: for small gradients, such as those of batches of documents with rows of unit norm, take a larger α or a
    smaller β.

    Examples
    --------
    >>> import numpy as np
    >>> from nncore.optimizers import FTRL
    >>> theta, opt = np.array([0.0, 0.0, 0.5]), FTRL(lr=0.5, beta=1.0, l1=2.0)
    >>> opt.step(theta, np.array([1.0, 3.0, 0.0]))  # n = 1, 9, 0:  |z| ≤ 2;  −(3 − 2)/((1 + 3)/0.5);  no gradient
    >>> theta
    array([ 0.   , -0.125,  0.5  ])
    >>> opt.state["z"], opt.state["n"]
    (array([1., 3., 0.]), array([1., 9., 0.]))
    """

    name = "ftrl"
    slots: ClassVar[tuple[str, ...]] = ("z", "n")
    seeds: ClassVar[tuple[str, ...]] = ("initial_accumulator_value",)
    non_negative: ClassVar[tuple[str, ...]] = ("n",)
    skips_zeros: ClassVar[bool] = True  # a gradient of 0 changes nothing
    lr: HyperParameter = HyperParameter()
    beta: HyperParameter = HyperParameter()
    l1: HyperParameter = HyperParameter()
    l2: HyperParameter = HyperParameter()
    initial_accumulator_value: Number = Number(0)

    def __init__(
        self, lr: Hyper = 0.1, beta: Hyper = 1.0, l1: Hyper = 0.0, l2: Hyper = 0.0, initial_accumulator_value: float = 0.0
    ) -> None:
        self.lr, self.beta, self.l1, self.l2 = lr, beta, l1, l2
        self.initial_accumulator_value = initial_accumulator_value
        super().__init__()

    def initial_value(self, slot: str) -> float:
        return self.initial_accumulator_value if slot == "n" else 0.0
