"""Noise on signals, in training only: dropout and its Gaussian relatives.

The numbers come from the model's seed, the layer, the training step, and the position of the element in the batch: nothing is
stored for the backward pass, and the same seed gives the same bits on any number of threads.
"""

from __future__ import annotations

import math
from typing import ClassVar

from nncore._utils.fields import Choice, Number
from nncore._utils.registry import classes
from nncore.layers.base import Layer
from nncore.program.ops import Signal
from nncore.program.tape import Tape

__all__ = ["NOISE", "Dropout", "GaussianDropout", "GaussianNoise"]

RANDOM_FLOPS = 40  # of drawing a number, in floating-point operations of a matrix product


def drop_threshold(rate: float) -> float:
    """A 32-bit random number below it has probability ``rate``, to 2⁻³³."""
    return float(min(round(rate * 2**32), 2**32 - 1))


class Noise(Layer):
    """Base of the layers that are random in training and pass on their input otherwise."""

    kernel: ClassVar[str]
    constants: ClassVar[tuple[float, ...]]
    strength: ClassVar[str]  # the name of the argument that is 0 if there is no noise
    takes_mask = True
    needs_backward = True  # otherwise ∂l/∂x = ∂l/∂y

    def emit(self, tape: Tape, x: Signal) -> Signal:
        return self.emit_noise(tape, x) if tape.noise and getattr(self, self.strength) else self.emit_without(tape, x)

    def emit_without(self, tape: Tape, x: Signal) -> Signal:
        """Record what the layer does when it is not random: y is x."""
        return tape.add(Signal(str(self.name), x.shape, x.value, x.grad, x.tangent, x.grad_tangent))

    def emit_noise(self, tape: Tape, x: Signal) -> Signal:
        """Record the noise."""
        tape.flops_per_row += RANDOM_FLOPS * x.width
        return self.emit_pair(tape, x, self.kernel, (x.width, *tape.stream()), self.constants)

    def emit_pair(self, tape: Tape, x: Signal, kernel: str, sizes: tuple[int, ...], constants: tuple[float, ...]) -> Signal:
        """Record a forward op y of x, and a backward op if there is anything to compute."""
        backward = x.grad is not None and self.needs_backward
        grad = tape.array(x.width) if backward else x.grad
        y = tape.add(Signal(str(self.name), x.shape, tape.array(x.width), grad))
        tape.forward.rows(f"{kernel}_forward", y.value, x.value, sizes=sizes, constants=constants)
        if backward:
            tape.backward.rows(f"{kernel}_backward", x.grad, y.grad, sizes=sizes, constants=constants)
        return y


class Dropout(Noise):
    """Dropout: in training each number is 0 with probability ``rate``, otherwise h_i/α, α = 1 − rate.

    With a mask r_i ∈ {0, 1}, redrawn for each number in each step, P(r_i = 1) = α,

        training   y_i = r_i h_i / α,   ∂l/∂h_i = r_i/α ∂l/∂y_i
        inference  y_i = h_i

    and with ``scale="test"``, the original form,

        training   y_i = r_i h_i,       ∂l/∂h_i = r_i ∂l/∂y_i
        inference  y_i = α h_i          (the same as scaling the next layer's weights: W_test = αW)

    α is the probability of *keeping* a number: with ``scale="test"`` inference multiplies by α, not by ``rate``. Either way
    inference computes the mean of *this layer's output* over the masks. Through the layers above this holds only approximately,
    since the mean of f(y) is not f of the mean of y: the gallery measures the difference.
    After a layer it drops units; as the first layer, inputs.

    Source: Srivastava, Hinton, Krizhevsky, Sutskever, Salakhutdinov: Dropout: a simple way to prevent neural networks from
    overfitting (2014).

    Parameters
    ----------
    rate : float
        Probability of dropping a number, in [0, 1): PyTorch's ``p``, Keras's ``rate``. It is exact to 2⁻³³.
    scale : {"training", "test"}
        When to compensate for dropped numbers. Default ``"training"`` ("inverted" dropout), as in PyTorch and Keras.

    Examples
    --------
    >>> import numpy as np
    >>> import nncore as nn
    >>> model = nn.Sequential([nn.Dropout(0.5)], input_shape=4, seed=1)
    >>> model.forward(np.ones((2, 4)), training=True)
    array([[2., 2., 0., 2.],
           [0., 2., 0., 2.]], dtype=float32)
    >>> model.forward(np.ones((1, 4)))
    array([[1., 1., 1., 1.]], dtype=float32)
    """

    kernel, strength = "dropout", "rate"
    rate: Number = Number(0, below=1)
    scale: Choice = Choice("training", "test")

    def __init__(self, rate: float, *, scale: str = "training", name: str | None = None) -> None:
        super().__init__(name=name)
        self.rate, self.scale = rate, scale

    @property
    def constants(self) -> tuple[float, ...]:  # type: ignore[override]
        return (1 / (1 - self.rate) if self.scale == "training" else 1.0, drop_threshold(self.rate))

    def emit_without(self, tape: Tape, x: Signal) -> Signal:
        if self.scale == "test" and self.rate:
            return self.emit_pair(tape, x, "scaled", (x.width,), (1 - self.rate,))
        return super().emit_without(tape, x)


class GaussianNoise(Noise):
    """Additive noise: in training y = h + σ ε, ε ~ N(0, 1) for each number in each step; ∂l/∂h = ∂l/∂y.

    At inference y = h. As the first layer it makes every epoch's inputs different, which for a linear model and a squared loss
    is equivalent to a penalty ½σ²‖W‖² (Bishop: Training with noise is equivalent to Tikhonov regularization, 1995).

    Parameters
    ----------
    stddev : float
        σ, finite and at least 0.

    Examples
    --------
    >>> import numpy as np
    >>> import nncore as nn
    >>> model = nn.Sequential([nn.GaussianNoise(0.1)], input_shape=10_000)
    >>> y = model.forward(np.ones((1, 10_000)), training=True)
    >>> round(float(y.mean()), 2), round(float(y.std()), 2)
    (1.0, 0.1)
    """

    kernel, strength, needs_backward = "gaussian_noise", "stddev", False
    stddev: Number = Number(0)

    def __init__(self, stddev: float, *, name: str | None = None) -> None:
        super().__init__(name=name)
        self.stddev = stddev

    @property
    def constants(self) -> tuple[float, ...]:  # type: ignore[override]
        return (self.stddev,)


class GaussianDropout(Noise):
    """Multiplicative noise: in training y = h (1 + σ ε), ε ~ N(0, 1), σ² = rate/(1 − rate); ∂l/∂h = (1 + σ ε) ∂l/∂y.

    Mean and variance are those of dropout with this rate, but nothing is ever quite lost. At inference y = h.

    Source: Srivastava and others (2014), section 10; Wang, Manning: Fast dropout training (2013).

    Parameters
    ----------
    rate : float
        In [0, 1), as in Keras.
    """

    kernel, strength = "gaussian_dropout", "rate"
    rate: Number = Number(0, below=1)

    def __init__(self, rate: float, *, name: str | None = None) -> None:
        super().__init__(name=name)
        self.rate = rate

    @property
    def constants(self) -> tuple[float, ...]:  # type: ignore[override]
        return (math.sqrt(self.rate / (1 - self.rate)),)


NOISE = {cls.default_name(): cls for cls in classes(Noise, __name__)}
