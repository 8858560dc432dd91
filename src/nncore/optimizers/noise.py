"""Noise on gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncore._kernels.program import STREAM_SHIFT
from nncore._utils.fields import Count
from nncore.optimizers.gradient import StepOps
from nncore.optimizers.hyper import Hyper, HyperParameter
from nncore.optimizers.tiles import Real
from nncore.optimizers.wrapper import Wrapper
from nncore.program.ops import Op
from nncore.schedules import Array

__all__ = ["GradientNoise"]

NOISE_PLACE = 1 << STREAM_SHIFT  # layer 0, which does not exist, stream 1; the order of the examples has stream 0


class GradientNoise(Wrapper):
    """Gaussian noise on the gradient (Neelakantan et al. 2015), around any optimizer.

    In step t = 0, 1, …, after clipping and before the wrapped optimizer sees it

        g ← g + σₜ n,   n ~ N(0, 1) for each parameter,   σₜ² = η/(1+t)^γ

    and then ``θ ←`` is the wrapped optimizer's. n depends only on (seed, t, the parameter's position in θ): it is the same
    for any number of threads, and after a restart.

    Parameters
    ----------
    optimizer : Optimizer or str
    eta : float, default 0.3
        η, the initial variance (the paper tries 0.01, 0.3 and 1).
    gamma : float, default 0.55
        γ (the paper).
    seed : int, default 0

    Notes
    -----
    float32 noise ends at 5.8 σ, float64 noise at 6.7. The gradient given to `step` is not changed; ``model.gradients``
    contains the noise after training. PyTorch and Keras have none.

    Examples
    --------
    >>> import numpy as np
    >>> from nncore.optimizers import SGD, GradientNoise
    >>> theta, opt = np.zeros(100_000), GradientNoise(SGD(lr=1.0), eta=4.0)
    >>> opt.step(theta, np.full(100_000, -1.0))
    >>> theta.mean().round(1), theta.std().round(1)
    (np.float64(1.0), np.float64(2.0))
    """

    name = "gradient_noise"
    eta: HyperParameter = HyperParameter()
    gamma: HyperParameter = HyperParameter()
    seed: Count = Count(0, below=2**63)
    changes_gradient = True

    def __init__(self, optimizer: Any, eta: Hyper = 0.3, gamma: Hyper = 0.55, seed: int = 0) -> None:
        self.eta, self.gamma, self.seed = eta, gamma, seed
        super().__init__(optimizer)

    @property
    def variant(self) -> Any:
        return super().variant, self.seed  # a constant of the op

    def weights(self, steps: int, steps_per_epoch: int) -> Array:
        values = self.hyper_values(steps, steps_per_epoch)
        t = self.step_count + np.arange(steps)
        with np.errstate(over="ignore"):  # where the power overflows, the noise is 0
            return np.asarray(np.sqrt(values["eta"] / (1.0 + t) ** values["gamma"]))

    def ops(self, theta: Real, grad: Real, table: NDArray[np.int64]) -> StepOps:
        step, arrays = super().ops(theta, grad, table), (grad, table)
        noise = Op("tiles", "gradient_noise", arrays, (self.seed, NOISE_PLACE, self.column))
        return step._replace(update=[noise, *step.update])
