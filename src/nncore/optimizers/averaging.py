"""Averages of the parameters over the steps, which have less noise than the last parameters."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from nncore._utils.fields import Count, Flag
from nncore.optimizers.gradient import StepOps
from nncore.optimizers.hyper import Fraction, Hyper
from nncore.optimizers.tiles import Real
from nncore.optimizers.wrapper import Wrapper
from nncore.program.ops import Op
from nncore.schedules import Array

__all__ = ["EMA", "PolyakAveraging"]


class Averaging(Wrapper):
    """Base class of averages: after each step of the wrapped optimizer a ← a + w(θ − a), with a weight w for each step."""

    own_slots: ClassVar[tuple[str, ...]] = ("average",)

    @property
    def averaged_parameters(self) -> Real:
        """a, the averaged parameters, 1-D, in the order of θ. ``trainer.averaged()`` puts them into the model temporarily."""
        if not self.step_count or "average" not in self.state:
            raise ValueError(f"{type(self).__name__}: there are no averaged parameters before the first step")
        return self.state["average"]

    def ops(self, theta: Real, grad: Real, table: NDArray[np.int64]) -> StepOps:
        step, arrays = super().ops(theta, grad, table), (self.state["average"], self.iterate(theta))
        average = Op("tiles", "average", (*arrays, table), (self.column,))
        return step._replace(after=[*step.after, average])


class EMA(Averaging):
    """Exponential moving average of the parameters (Tarvainen & Valpola 2017), around any optimizer.

    State average, and that of the wrapped optimizer. After its step t = 1, 2, …, which leaves θₜ, with d the decay

    - ``bias_correction=True``: a ← a + (1−d)/(1−dᵗ) (θₜ − a), the mean of θ₁ … θₜ with weights ∝ dᵗ⁻ⁱ: that is m/(1−dᵗ) for
      m ← dm + (1−d)θₜ from m = 0
    - ``bias_correction=False``: a ← θ₁ in the first step, then a ← a + (1−d)(θₜ − a): θ₁ keeps the weight dᵗ⁻¹

    θ itself is not affected: ``θ ←`` is the wrapped optimizer's. Around `Nesterov` the average is of θ, not of the
    point ahead.

    Parameters
    ----------
    optimizer : Optimizer or str
    decay : float or Schedule, default 0.999
        d in [0, 1): the last 1/(1−d) steps count (PyTorch's ``get_ema_multi_avg_fn`` 0.999, Keras 0.99).
    bias_correction : bool, default True
        As ``optax.ema(debias=True)``. Without it as Keras's ``use_ema`` and PyTorch's
        ``AveragedModel(multi_avg_fn=get_ema_multi_avg_fn(decay))``, updated after every step, which both begin at θ₁.

    See Also
    --------
    Trainer.averaged : evaluate with the averages.

    Examples
    --------
    >>> import numpy as np
    >>> from nncore.optimizers import EMA, SGD
    >>> theta, opt = np.array([4.0]), EMA(SGD(lr=1.0), decay=0.5)
    >>> for _ in range(2):
    ...     opt.step(theta, np.array([1.0]))  # θ₁ = 3, θ₂ = 2
    >>> opt.averaged_parameters               # (0.5 · 3 + 1 · 2) / 1.5
    array([2.33333333])
    """

    name = "ema"
    decay: Fraction = Fraction()
    bias_correction: Flag = Flag()

    def __init__(self, optimizer: Any, decay: Hyper = 0.999, bias_correction: bool = True) -> None:
        self.decay, self.bias_correction = decay, bias_correction
        super().__init__(optimizer)

    @property
    def own_running(self) -> tuple[str, ...]:  # type: ignore[override]
        return ("decay",) if self.bias_correction else ()

    def weights(self, steps: int, steps_per_epoch: int) -> Array:
        values = self.hyper_values(steps, steps_per_epoch)
        if self.bias_correction:
            return (1 - values["decay"]) / (1 - self.running_products(values)["decay"])
        return np.where(self.step_count + np.arange(steps) == 0, 1.0, 1 - values["decay"])


class PolyakAveraging(Averaging):
    """The mean of the parameters after each step (Ruppert 1988; Polyak & Juditsky 1992), around any optimizer.

    State average, and that of the wrapped optimizer. After its step t = 1, 2, …, which leaves θₜ, with s = ``start``

    - t ≤ s: a ← θₜ
    - t > s: a ← a + (θₜ − a)/(t − s), so that a is the mean of θₛ₊₁ … θₜ

    θ itself is not affected: ``θ ←`` is the wrapped optimizer's. With a learning rate that falls more slowly than 1/t
    the mean converges as fast as any method with the same gradients can; with a constant one it is at least free of
    most of the noise.

    Parameters
    ----------
    optimizer : Optimizer or str
    start : int, default 0
        s: number of steps before the mean begins, best as many as it takes to come near the minimum.

    Notes
    -----
    PyTorch's ``AveragedModel`` without an averaging function, updated after every step, is this with ``start=0``; its
    stochastic weight averaging takes one θ per epoch. Keras has no uniform mean.

    Examples
    --------
    >>> import numpy as np
    >>> from nncore.optimizers import PolyakAveraging, SGD
    >>> theta, opt = np.array([4.0]), PolyakAveraging(SGD(lr=1.0), start=1)
    >>> for _ in range(3):
    ...     opt.step(theta, np.array([1.0]))  # 3, 2, 1
    >>> opt.averaged_parameters               # of 2 and 1
    array([1.5])
    """

    name = "polyak_averaging"
    start: Count = Count(0)

    def __init__(self, optimizer: Any, start: int = 0) -> None:
        self.start = start
        super().__init__(optimizer)

    def weights(self, steps: int, steps_per_epoch: int) -> Array:
        t = self.step_count + 1.0 + np.arange(steps)
        return np.asarray(1 / np.maximum(t - self.start, 1.0))
