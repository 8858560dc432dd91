"""Activations: h = σ(z), element by element (softmax: row by row)."""

from __future__ import annotations

from typing import ClassVar

from nncore._utils.fields import Choice, Number
from nncore._utils.registry import classes
from nncore.layers.base import Layer
from nncore.program.ops import Signal
from nncore.program.tape import TangentTape, Tape

__all__ = [
    "ACTIVATIONS",
    "ELU",
    "GELU",
    "SELU",
    "Activation",
    "Identity",
    "LeakyReLU",
    "Mish",
    "ReLU",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Tanh",
]  # fmt: skip


class Activation(Layer):
    """Base of the activations: ``kernel`` names the pair of ops, ``options`` the arguments that are its parameters."""

    kernel: ClassVar[str]
    options: ClassVar[tuple[str, ...]] = ()
    takes_mask = True

    def emit(self, tape: Tape, x: Signal) -> Signal:
        y = tape.signal(str(self.name), self.output_shape)
        kernel, sizes, constants = self.kernel, (x.width,), tuple(getattr(self, option) for option in self.options)
        tape.forward.rows(f"{kernel}_forward", y.value, x.value, sizes=sizes, constants=constants)
        if x.grad is not None:
            tape.backward.rows(f"{kernel}_backward", x.grad, y.grad, x.value, y.value, sizes=sizes, constants=constants)
        if isinstance(tape, TangentTape) and x.tangent is not None:
            # R{h} = σ'(z) R{z} is the backward kernel: the Jacobian is symmetric, softmax's too
            tangent, grad_tangent = tape.tangent_signal(y)
            tape.tangent_forward.rows(
                f"{kernel}_backward", tangent, x.tangent, x.value, y.value, sizes=sizes, constants=constants
            )
            arrays = (x.grad_tangent, grad_tangent, y.grad, x.tangent, x.value, y.value)
            tape.tangent_backward.rows(f"{kernel}_tangent_backward", *arrays, sizes=sizes, constants=constants)
        return y


class Identity(Activation):
    """h = z, σ'(z) = 1."""

    kernel = "identity"


class Sigmoid(Activation):
    """Logistic function: h = 1/(1 + e⁻ᶻ), σ'(z) = h (1 − h)."""

    kernel = "sigmoid"


class Tanh(Activation):
    """Hyperbolic tangent: h = tanh z, σ'(z) = 1 − h²."""

    kernel = "tanh"


class ReLU(Activation):
    """Rectifier: h = max(0, z), σ'(z) = [z > 0]; at 0 the derivative is taken as 0."""

    kernel = "relu"


class Softplus(Activation):
    """Smooth rectifier: h = log(1 + eᶻ), σ'(z) = 1/(1 + e⁻ᶻ)."""

    kernel = "softplus"


class Softmax(Activation):
    """Probabilities that sum to 1: h = eᶻ/Σeᶻ over the outputs.

        h_j = e^{z_j} / Σ_k e^{z_k},   ∂l/∂z = h ⊙ (∂l/∂h − Σ_k h_k ∂l/∂h_k)

    To train a classifier leave it out: ``loss="softmax_cross_entropy"`` takes the logits z, in one pass and without log 0.
    """

    kernel = "softmax"

    def build(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        if len(input_shape) != 1:
            raise ValueError(f"softmax works on rows of numbers: its input shape must be (n,), got {input_shape}")
        return input_shape


class SiLU(Activation):
    """Sigmoid-weighted linear unit (also swish): h = z s(z) with s the sigmoid, σ'(z) = s + z s (1 − s).

    Source: Elfwing, Uchibe, Doya (2018); Ramachandran, Zoph, Le (2017).
    """

    kernel = "silu"


class Mish(Activation):
    """h = z w with w = tanh(log(1 + eᶻ)), σ'(z) = w + z (1 − w²) s(z), s the sigmoid.

    Source: Misra (2019).
    """

    kernel = "mish"


class SELU(Activation):
    """Scaled exponential linear unit: h = λ z for z > 0, otherwise λ α (eᶻ − 1), λ ≈ 1.0507, α ≈ 1.6733.

    With ``weight_init="lecun_normal"`` in every `Dense`, activations of mean 0 and variance 1 keep both.

    Source: Klambauer, Unterthiner, Mayr, Hochreiter (2017).
    """

    kernel = "selu"


class LeakyReLU(Activation):
    """h = z for z > 0, otherwise α z.

    Parameters
    ----------
    negative_slope : float
        α; default 0.01, as in PyTorch (Keras: 0.3).
    """

    kernel, options = "leaky_relu", ("negative_slope",)
    negative_slope: Number = Number()

    def __init__(self, negative_slope: float = 0.01, *, name: str | None = None) -> None:
        super().__init__(name=name)
        self.negative_slope = negative_slope


class ELU(Activation):
    """Exponential linear unit: h = z for z > 0, otherwise α (eᶻ − 1).

    Source: Clevert, Unterthiner, Hochreiter (2016).

    Parameters
    ----------
    alpha : float
        α; default 1.
    """

    kernel, options = "elu", ("alpha",)
    alpha: Number = Number()

    def __init__(self, alpha: float = 1.0, *, name: str | None = None) -> None:
        super().__init__(name=name)
        self.alpha = alpha


class GELU(Activation):
    """Gaussian error linear unit: h = z Φ(z), σ'(z) = Φ(z) + z φ(z), Φ and φ the normal distribution and density.

    Source: Hendrycks, Gimpel (2016).

    Parameters
    ----------
    approximate : {"none", "tanh"}
        ``"tanh"``: h = ½ z (1 + tanh(√(2/π)(z + 0.044715 z³))). Names as in PyTorch.
    """

    approximate: Choice = Choice("none", "tanh")

    def __init__(self, approximate: str = "none", *, name: str | None = None) -> None:
        super().__init__(name=name)
        self.approximate = approximate

    @property
    def kernel(self) -> str:  # type: ignore[override]
        return "gelu" if self.approximate == "none" else "gelu_tanh"


ACTIVATIONS = {cls.default_name(): cls for cls in classes(Activation, __name__)}
