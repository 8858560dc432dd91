"""Adam and its variants: running means of the gradient and of its square."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from nncore._utils.fields import Choice, Flag
from nncore.optimizers.gradient import GradientOptimizer
from nncore.optimizers.hyper import Fraction, Hyper, HyperParameter, Pair
from nncore.schedules import Array

__all__ = ["AMSGrad", "AdaMax", "Adam", "AdamW", "LazyAdam", "NAdam"]


class Adam(GradientOptimizer):
    """Adam (Kingma & Ba 2015): RMSProp with momentum and corrected bias.

    State m, v, initially 0. In step t = 1, 2, …

        m ← β₁ m + (1−β₁) g,   m̂ = m/(1−β₁ᵗ)
        v ← β₂ v + (1−β₂) g²,   v̂ = v/(1−β₂ᵗ)
        θ ← θ − η m̂/(√v̂ + ε)

    With ``eps_placement="inside"`` the denominator is √(v̂ + ε). With "hat", the order of computation at the end of section 2
    of the paper, ε is not corrected:

        ηₜ = η √(1−β₂ᵗ)/(1−β₁ᵗ),   θ ← θ − ηₜ m/(√v + ε)

    ``bias_correction=False`` replaces both corrections by 1. Where β₁ or β₂ is a schedule, βᵗ is the product over the
    steps.

    The root matters, as in `AdaGrad`: divided by v̂ + ε instead, as is sometimes printed, the step would be longer for smaller
    gradients.

    Parameters
    ----------
    lr : float or Schedule, default 0.001
        η (the paper, PyTorch, Keras).
    betas : pair of float or Schedule, default (0.9, 0.999)
        (β₁, β₂), each in [0, 1).
    eps : float or Schedule, default 1e-8
        ε (the paper, PyTorch; Keras 1e-7).
    eps_placement : {"outside", "inside", "hat"}, default "outside"
        "outside" (the paper, PyTorch), "inside" or "hat" (Keras).
    bias_correction : bool, default True

    Notes
    -----
    PyTorch's ``weight_decay`` adds λθ to the gradient: here that is a regularizer; `AdamW` decays by itself.

    Examples
    --------
    >>> import numpy as np
    >>> from nncore.optimizers import Adam
    >>> theta, opt = np.array([1.0, 1.0]), Adam(lr=0.1)
    >>> opt.step(theta, np.array([100.0, -0.01]))  # m̂ = g, v̂ = g²: the first step is η sign(g)
    >>> theta.round(5)
    array([0.9, 1.1])
    """

    name = "adam"
    slots: ClassVar[tuple[str, ...]] = ("m", "v")
    non_negative: ClassVar[tuple[str, ...]] = ("v",)
    running: ClassVar[tuple[str, ...]] = ("beta1", "beta2")
    lr: HyperParameter = HyperParameter()
    beta1: Fraction = Fraction()
    beta2: Fraction = Fraction()
    betas: Pair[Hyper] = Pair("beta1", "beta2")
    eps: HyperParameter = HyperParameter()
    eps_placement: Choice = Choice("outside", "inside", "hat")
    bias_correction: Flag = Flag()

    def __init__(
        self, lr: Hyper = 1e-3, betas: tuple[Hyper, Hyper] = (0.9, 0.999), eps: Hyper = 1e-8, eps_placement: str = "outside",
        bias_correction: bool = True,
    ) -> None:  # fmt: skip
        self.lr, self.betas, self.eps = lr, betas, eps
        self.eps_placement, self.bias_correction = eps_placement, bias_correction
        super().__init__()

    @property
    def kernel(self) -> str:
        return f"{self.name}_inside" if self.eps_placement == "inside" else self.name

    def coefficients(self, steps: int, steps_per_epoch: int = 1) -> Array:
        values = self.hyper_values(steps, steps_per_epoch)
        first, second = (1 - product for product in self.running_products(values).values())
        if not self.bias_correction:
            first, second = np.ones(steps), np.ones(steps)
        root = np.sqrt(second)
        eps = values["eps"] * {"outside": root, "inside": second, "hat": np.ones(steps)}[self.eps_placement]
        return np.column_stack((values["lr"] * root / first, values["beta1"], values["beta2"], eps))


class LazyAdam(Adam):
    """Adam (Kingma & Ba 2015) that, on sparse data, changes only the parameters that have a gradient in the batch.

    TensorFlow's ``LazyAdam``, PyTorch's ``SparseAdam``.

    State, arguments and formulas are those of `Adam`, t counts all steps. In weights of a `SparseDense` layer, m, v and θ of
    inputs that no row of the batch has stay as they are, where `Adam` goes on with them: m ← β₁m, v ← β₂v,
    θ ← θ − η m̂/(√v̂ + ε). So a step costs the numbers of the batch and not all weights, and **it is another algorithm**: rare
    inputs keep their momentum until the next time. In other layers it is `Adam`. L1 and L2 penalties, which would give every
    weight a gradient, are refused with a `SparseDense` layer; `ProximalL1` and `WeightDecay` are not.

    Parameters
    ----------
    lr, betas, eps, eps_placement, bias_correction
        As for `Adam`.

    Examples
    --------
    >>> import numpy as np
    >>> import scipy.sparse
    >>> import nncore as nn
    >>> model = nn.Sequential([nn.SparseDense(1, weight_init="zeros")], input_shape=3)
    >>> trainer = nn.Trainer(model, "squared_error", nn.LazyAdam(lr=0.1))
    >>> history = trainer.fit(scipy.sparse.csr_array([[1.0, 0.0, 0.0]]), [5.0], epochs=10, verbose=0)
    >>> (model.layers[0].weight != 0).tolist()
    [[True, False, False]]
    """

    name = "lazy_adam"
    skips_zeros = lazy = True

    @property
    def kernel(self) -> str:
        return "adam_inside" if self.eps_placement == "inside" else "adam"


class AdamW(Adam):
    """AdamW (Loshchilov & Hutter 2019): Adam with decoupled weight decay, which is not part of the gradient.

    As `Adam`, with (1 − ηλ) θ instead of θ on the right:

        θ ← (1 − η λ) θ − η m̂/(√v̂ + ε)

    Parameters
    ----------
    lr, betas, eps, eps_placement, bias_correction
        As in `Adam`.
    weight_decay : float or Schedule, default 0.01
        λ (PyTorch; Keras 0.004).

    Notes
    -----
    By hand all parameters decay, as in PyTorch without parameter groups. In a `Trainer` biases and parameters of normalizations
    do not, unless its ``decay_factors`` name them.

    Examples
    --------
    >>> import numpy as np
    >>> from nncore.optimizers import AdamW
    >>> theta, opt = np.array([1.0]), AdamW(lr=0.5, weight_decay=0.5)
    >>> opt.step(theta, np.array([0.0]))
    >>> theta
    array([0.75])
    """

    name = "adamw"
    weight_decay: HyperParameter = HyperParameter()

    def __init__(
        self, lr: Hyper = 1e-3, betas: tuple[Hyper, Hyper] = (0.9, 0.999), eps: Hyper = 1e-8, weight_decay: Hyper = 0.01,
        eps_placement: str = "outside", bias_correction: bool = True,
    ) -> None:  # fmt: skip
        self.weight_decay = weight_decay
        super().__init__(lr, betas, eps, eps_placement, bias_correction)

    def coefficients(self, steps: int, steps_per_epoch: int = 1) -> Array:
        values = self.hyper_values(steps, steps_per_epoch)
        return np.column_stack((super().coefficients(steps, steps_per_epoch), values["lr"] * values["weight_decay"]))


class AMSGrad(Adam):
    """AMSGrad (Reddi, Kale & Kumar 2018): Adam whose second moment under the root never decreases.

    As `Adam`, with a third state top, initially 0, instead of v under the root:

        top ← max(top, v)
        θ ← θ − η m̂/(√(top/(1−β₂ᵗ)) + ε)

    In PyTorch and here the bias is corrected after the maximum, so that the step can still grow in the first steps, in which
    the correction 1/(1−β₂ᵗ) falls; the paper corrects none (``bias_correction=False``).

    Parameters
    ----------
    lr, betas, eps, eps_placement, bias_correction
        As in `Adam`. PyTorch's and Keras's ``Adam(amsgrad=True)``.

    Examples
    --------
    >>> import numpy as np
    >>> from nncore.optimizers import AMSGrad
    >>> theta, opt = np.array([1.0]), AMSGrad(betas=(0.0, 0.5))
    >>> for gradient in (2.0, 0.0):
    ...     opt.step(theta, np.array([gradient]))
    >>> opt.state["v"], opt.state["top"]
    (array([1.]), array([2.]))

    With bias correction η/√(top/(1−β₂ᵗ)), the effective learning rate, grows at first; without it, it never does:

    >>> from nncore.landscapes import record
    >>> gradients = iter([1.0, 0.1, 0.1])
    >>> f = lambda x: (0.0, np.array([next(gradients, 0.1)]))
    >>> record(AMSGrad(lr=1.0, betas=(0.0, 0.999)), f, [0.0], steps=3).effective_step.ravel().round(2)
    array([1.  , 1.41, 1.72])
    """

    name = "amsgrad"
    slots: ClassVar[tuple[str, ...]] = ("m", "v", "top")
    non_negative: ClassVar[tuple[str, ...]] = ("v", "top")


class AdaMax(GradientOptimizer):
    """AdaMax (Kingma & Ba 2015, section 7.1): Adam with a decaying maximum of |g| instead of the root.

    State m, u, initially 0.

        m ← β₁ m + (1−β₁) g
        u ← max(β₂ u, |g| + ε)
        θ ← θ − η/(1−β₁ᵗ) · m/u

    Parameters
    ----------
    lr : float or Schedule, default 0.002
        η (the paper, PyTorch; Keras 0.001).
    betas : pair of float or Schedule, default (0.9, 0.999)
        (β₁, β₂), each in [0, 1).
    eps : float or Schedule, default 1e-8
        ε (PyTorch). The paper has none; Keras divides by u + ε (1e-7).

    Examples
    --------
    >>> import numpy as np
    >>> from nncore.optimizers import AdaMax
    >>> theta, opt = np.array([1.0]), AdaMax(lr=0.5)
    >>> opt.step(theta, np.array([3.0]))
    >>> theta.round(6)
    array([0.5])
    """

    name = "adamax"
    slots: ClassVar[tuple[str, ...]] = ("m", "u")
    non_negative: ClassVar[tuple[str, ...]] = ("u",)
    running: ClassVar[tuple[str, ...]] = ("beta1",)
    lr: HyperParameter = HyperParameter()
    beta1: Fraction = Fraction()
    beta2: Fraction = Fraction()
    betas: Pair[Hyper] = Pair("beta1", "beta2")
    eps: HyperParameter = HyperParameter()

    def __init__(self, lr: Hyper = 2e-3, betas: tuple[Hyper, Hyper] = (0.9, 0.999), eps: Hyper = 1e-8) -> None:
        self.lr, self.betas, self.eps = lr, betas, eps
        super().__init__()

    def coefficients(self, steps: int, steps_per_epoch: int = 1) -> Array:
        values = self.hyper_values(steps, steps_per_epoch)
        lr = values["lr"] / (1 - self.running_products(values)["beta1"])
        return np.column_stack((lr, values["beta1"], values["beta2"], values["eps"]))


class NAdam(GradientOptimizer):
    """NAdam (Dozat 2016): Adam with Nesterov momentum.

    State m, v, initially 0. In step t = 1, 2, …, with μₜ = β₁(1 − ½·0.96^(tψ))

        m ← β₁ m + (1−β₁) g
        v ← β₂ v + (1−β₂) g²,   v̂ = v/(1−β₂ᵗ)
        θ ← θ − η (μₜ₊₁ m/(1−μ₁…μₜ₊₁) + (1−μₜ) g/(1−μ₁…μₜ)) / (√v̂ + ε)

    Parameters
    ----------
    lr : float or Schedule, default 0.002
        η (PyTorch; Keras 0.001).
    betas : pair of float or Schedule, default (0.9, 0.999)
        (β₁, β₂), each in [0, 1).
    eps : float or Schedule, default 1e-8
        ε (PyTorch; Keras 1e-7).
    momentum_decay : float or Schedule, default 0.004
        ψ (Dozat, PyTorch). Keras's formula is that with ψ = 1.

    Examples
    --------
    >>> import numpy as np
    >>> from nncore.optimizers import NAdam
    >>> theta, opt = np.array([1.0]), NAdam(lr=0.1, betas=(0.0, 0.999))
    >>> opt.step(theta, np.array([5.0]))  # without momentum η g/√v̂
    >>> theta.round(6)
    array([0.9])
    """

    name = "nadam"
    slots: ClassVar[tuple[str, ...]] = ("m", "v")
    non_negative: ClassVar[tuple[str, ...]] = ("v",)
    running: ClassVar[tuple[str, ...]] = ("mu", "beta2")
    lr: HyperParameter = HyperParameter()
    beta1: Fraction = Fraction()
    beta2: Fraction = Fraction()
    betas: Pair[Hyper] = Pair("beta1", "beta2")
    eps: HyperParameter = HyperParameter()
    momentum_decay: HyperParameter = HyperParameter()

    def __init__(
        self, lr: Hyper = 2e-3, betas: tuple[Hyper, Hyper] = (0.9, 0.999), eps: Hyper = 1e-8, momentum_decay: Hyper = 4e-3
    ) -> None:
        self.lr, self.betas, self.eps, self.momentum_decay = lr, betas, eps, momentum_decay
        super().__init__()

    def hyper_values(self, steps: int, steps_per_epoch: int = 1) -> dict[str, Array]:
        values = super().hyper_values(steps, steps_per_epoch)
        t = self.step_count + 1.0 + np.arange(steps)
        return {**values, "mu": values["beta1"] * (1 - 0.5 * np.power(0.96, t * values["momentum_decay"]))}

    def coefficients(self, steps: int, steps_per_epoch: int = 1) -> Array:
        ahead = self.hyper_values(steps + 1, steps_per_epoch)
        products = self.running_products(ahead)
        values = {name: value[:-1] for name, value in ahead.items()}
        root = np.sqrt(1 - products["beta2"][:-1])
        of_m = ahead["mu"][1:] / (1 - products["mu"][1:])
        of_g = (1 - values["mu"]) / (1 - products["mu"][:-1])
        lr = values["lr"] * root
        return np.column_stack((lr * of_m, lr * of_g, values["beta1"], values["beta2"], values["eps"] * root))
