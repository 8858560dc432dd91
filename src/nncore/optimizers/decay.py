"""Decoupled weight decay, around any optimizer."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncore._messages import shown
from nncore.optimizers.gradient import StepOps
from nncore.optimizers.hyper import Hyper, HyperParameter
from nncore.optimizers.tiles import Real
from nncore.optimizers.wrapper import Wrapper
from nncore.program.ops import Op
from nncore.schedules import Array

__all__ = ["WeightDecay"]


class WeightDecay(Wrapper):
    """Decoupled weight decay (Loshchilov & Hutter 2019), around any optimizer with a learning rate.

    Before each step of the wrapped optimizer, whose state it has, with its learning rate η

        θ ← θ − η λ θ

    λθ is part of neither the loss nor the gradient: momentum does not collect it, and Adam does not divide it by √v̂.
    ``WeightDecay(Adam(), λ)`` is `AdamW`, ``WeightDecay(Lion(weight_decay=0), λ)`` cannot be made, as `Lion` decays by itself.

    In a `Trainer` only weights decay, neither biases nor parameters of normalizations, unless its ``decay_factors`` name
    them. By hand, all of θ decays.

    Parameters
    ----------
    optimizer : Optimizer or str
    weight_decay : float or Schedule, default 0.01
        λ ≥ 0 (AdamW in PyTorch; Keras's AdamW 0.004).

    Notes
    -----
    Around `Nesterov` the parameters decay, not the point ahead at which the gradient is taken. PyTorch's SGD and Adam have a
    ``weight_decay`` that is a penalty (`L2`); Keras's ``weight_decay`` of any optimizer is this.

    Examples
    --------
    >>> import numpy as np
    >>> from nncore.optimizers import SGD, WeightDecay
    >>> theta, opt = np.array([4.0]), WeightDecay(SGD(lr=0.5), weight_decay=0.1)
    >>> opt.step(theta, np.array([1.0]))  # 4 (1 − 0.05) − 0.5
    >>> theta.round(6)
    array([3.3])
    """

    name = "weight_decay"
    weight_decay: HyperParameter = HyperParameter()

    def __init__(self, optimizer: Any, weight_decay: Hyper = 0.01) -> None:
        self.weight_decay = weight_decay
        super().__init__(optimizer)
        if "lr" not in self.optimizer.hyperparameters:
            raise ValueError(f"optimizer must be one with a learning rate for WeightDecay, got {shown(self.optimizer)}")

    def weights(self, steps: int, steps_per_epoch: int) -> Array:
        values = self.hyper_values(steps, steps_per_epoch)
        return values["lr"] * values["weight_decay"]

    def ops(self, theta: Real, grad: Real, table: NDArray[np.int64]) -> StepOps:
        step = super().ops(theta, grad, table)
        decay = Op("tiles", "decay", (self.iterate(theta), table), (self.column,))
        return step._replace(update=[decay, *step.update])
