"""Steps from the signs of gradients."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from nncore._messages import shown
from nncore._utils.fields import Flag, Number
from nncore.optimizers.gradient import GradientOptimizer
from nncore.optimizers.hyper import Fraction, Hyper, HyperParameter, Pair

__all__ = ["DeltaBarDelta", "Lion", "Rprop"]


class Lion(GradientOptimizer):
    """Lion (Chen et al. 2023): every parameter moves by ±η, the sign of an average of past gradients.

    State m, initially 0.

        θ ← θ − η (sign(β₁ m + (1−β₁) g) + λ θ)
        m ← β₂ m + (1−β₂) g

    The new gradient has weight 1−β₁ in the average; where the average is exactly 0, only the decay ηλθ moves θ.

    Parameters
    ----------
    lr : float or Schedule, default 1e-4
        η (the paper; Keras 0.001). A third to a tenth of Adam's.
    betas : pair of float or Schedule, default (0.9, 0.99)
        (β₁, β₂), each in [0, 1) (the paper, Keras).
    weight_decay : float or Schedule, default 0
        λ (the authors' code, Keras). In a `Trainer` of weights only, as with `AdamW`.

    Notes
    -----
    PyTorch has no Lion.

    Examples
    --------
    >>> import numpy as np
    >>> from nncore.optimizers import Lion
    >>> theta, opt = np.array([1.0, 1.0, 1.0]), Lion(lr=0.25)
    >>> opt.step(theta, np.array([1e-3, -1e3, 0.0]))
    >>> theta
    array([0.75, 1.25, 1.  ])
    """

    name = "lion"
    slots: ClassVar[tuple[str, ...]] = ("m",)
    lr: HyperParameter = HyperParameter()
    beta1: Fraction = Fraction()
    beta2: Fraction = Fraction()
    betas: Pair[Hyper] = Pair("beta1", "beta2")
    weight_decay: HyperParameter = HyperParameter()

    def __init__(self, lr: Hyper = 1e-4, betas: tuple[Hyper, Hyper] = (0.9, 0.99), weight_decay: Hyper = 0.0) -> None:
        self.lr, self.betas, self.weight_decay = lr, betas, weight_decay
        super().__init__()


class _ByAgreement(GradientOptimizer):
    """Base class of methods that adapt the second of their slots to whether successive gradients agree in sign."""

    seeds: ClassVar[tuple[str, ...]] = ("lr",)
    lr: Number = Number(0)  # type: ignore[override]
    allow_mini_batches: Flag = Flag()
    full_batch_reason = "its step sizes follow the signs of successive gradients, which noise flips"

    @property
    def full_batch_only(self) -> bool:  # type: ignore[override]
        return not self.allow_mini_batches

    def initial_value(self, slot: str) -> float:
        return self.lr if slot == self.slots[1] else 0.0


class Rprop(_ByAgreement):
    """Resilient propagation (Riedmiller & Braun 1993; here iRprop−, Igel & Hüsken 2000): only signs count, for full batches.

    State previous, initially 0, and size, initially `lr`, for every parameter.

        size ← min(size · η⁺, smax)  if g and previous have one sign
        size ← max(size · η⁻, smin),  g ← 0  if opposite signs
        θ ← θ − size · sign(g)
        previous ← g

    Parameters
    ----------
    lr : float, default 0.01
        The initial size (PyTorch; the paper 0.1).
    etas : pair of float or Schedule, default (0.5, 1.2)
        (η⁻, η⁺), 0 < η⁻ < 1 < η⁺ (the paper, PyTorch).
    step_sizes : pair of float or Schedule, default (1e-6, 50)
        (smin, smax) (the paper, PyTorch).
    allow_mini_batches : bool, default False
        Let `Trainer` use it on mini-batches.

    Notes
    -----
    With mini-batches signs change by chance and every size shrinks: use the full batch. Keras has no Rprop.

    Examples
    --------
    >>> import numpy as np
    >>> from nncore.optimizers import Rprop
    >>> theta, opt = np.array([0.0]), Rprop(lr=1.0)
    >>> for gradient in (3.0, 1.0, -5.0, -5.0):
    ...     opt.step(theta, np.array([gradient]))
    ...     print(theta, opt.state["size"])
    [-1.] [1.]
    [-2.2] [1.2]
    [-2.2] [0.6]
    [-1.6] [0.6]
    """

    name = "rprop"
    slots: ClassVar[tuple[str, ...]] = ("previous", "size")
    non_negative: ClassVar[tuple[str, ...]] = ("size",)
    eta_minus: HyperParameter = HyperParameter(above=0, below=1)
    eta_plus: HyperParameter = HyperParameter(above=1)
    etas: Pair[Hyper] = Pair("eta_minus", "eta_plus")
    step_min: HyperParameter = HyperParameter()
    step_max: HyperParameter = HyperParameter(above=0)
    step_sizes: Pair[Hyper] = Pair("step_min", "step_max")

    def __init__(
        self, lr: float = 0.01, etas: tuple[Hyper, Hyper] = (0.5, 1.2), step_sizes: tuple[Hyper, Hyper] = (1e-6, 50.0),
        allow_mini_batches: bool = False,
    ) -> None:  # fmt: skip
        self.lr, self.etas, self.step_sizes, self.allow_mini_batches = lr, etas, step_sizes, allow_mini_batches
        super().__init__()

    def check_fields(self, assigned: Mapping[str, Any]) -> None:
        smallest, largest = self.step_sizes
        if isinstance(smallest, float) and isinstance(largest, float) and smallest > largest:
            raise ValueError(f"step_sizes must be a pair smin <= smax, got {shown(self.step_sizes)}")
        super().check_fields(assigned)


class DeltaBarDelta(_ByAgreement):
    """Delta-bar-delta (Jacobs 1988): a learning rate for every parameter, for full batches.

    State mean, initially 0, and eta, initially `lr`, for every parameter.

        eta ← eta + κ  if g and mean have one sign
        eta ← (1 − φ) eta  if opposite signs
        θ ← θ − eta · g
        mean ← ρ mean + (1−ρ) g

    Parameters
    ----------
    lr : float, default 0.01
        The initial eta.
    kappa : float or Schedule, default 0.001
        κ.
    phi : float or Schedule, default 0.1
        φ in [0, 1).
    rho : float or Schedule, default 0.7
        ρ in [0, 1) (Jacobs's θ).
    allow_mini_batches : bool, default False
        Let `Trainer` use it on mini-batches.

    Notes
    -----
    With mini-batches signs change by chance, not because a minimum was passed: use the full batch. PyTorch and
    Keras do not have it.

    Examples
    --------
    >>> import numpy as np
    >>> from nncore.optimizers import DeltaBarDelta
    >>> opt = DeltaBarDelta(lr=0.5, kappa=0.1, phi=0.5)
    >>> theta = np.array([0.0])
    >>> for gradient in (1.0, 1.0, -1.0):
    ...     opt.step(theta, np.array([gradient]))
    ...     print(opt.state["eta"])
    [0.5]
    [0.6]
    [0.3]
    """

    name = "delta_bar_delta"
    slots: ClassVar[tuple[str, ...]] = ("mean", "eta")
    non_negative: ClassVar[tuple[str, ...]] = ("eta",)
    kappa: HyperParameter = HyperParameter()
    phi: Fraction = Fraction()
    rho: Fraction = Fraction()

    def __init__(
        self, lr: float = 0.01, kappa: Hyper = 1e-3, phi: Hyper = 0.1, rho: Hyper = 0.7, allow_mini_batches: bool = False
    ) -> None:
        self.lr, self.kappa, self.phi, self.rho, self.allow_mini_batches = lr, kappa, phi, rho, allow_mini_batches
        super().__init__()
