"""Dense layers whose weights are noisy in training: DropConnect, shakeout, whiteout.

The noise is drawn once per step for each weight and is the same for all rows of the batch: one matrix product with a noisy copy
W̃, where noise for each example would need a matrix for each. The papers draw it for each example; ``batch_size=1`` does so
here. At inference all are a plain `Dense`: their noise has mean 0.
"""

from __future__ import annotations

from typing import Any, ClassVar

from nncore._utils.fields import Number
from nncore._utils.registry import classes
from nncore.layers.bfloat16 import products_of
from nncore.layers.dense import Dense
from nncore.layers.noise import drop_threshold
from nncore.layers.products import PACK_COST, Products, Tiles, matrix_tiles
from nncore.program.ops import Op, Signal
from nncore.program.tape import Tape

__all__ = ["WEIGHT_NOISE", "AdditiveWhiteout", "DropConnect", "GaussianWeightNoise", "MultiplicativeWhiteout", "Shakeout"]

NOISE_COST = 60.0  # drawing a weight's noise, in multiply-adds of its gradient
UNITS = 8  # noisy biases per work item


class NoisyDense(Dense):
    """Base of the dense layers that compute with a noisy copy of W in training.

    ``kernel`` names the pair of ops, ``constants`` their parameters, ``options`` the constructor's arguments besides those of
    `Dense`, ``strengths`` those of them that are all 0 if there is no noise.
    """

    kernel: ClassVar[str]
    constants: ClassVar[tuple[float, ...]]
    options: ClassVar[tuple[str, ...]]
    strengths: ClassVar[tuple[str, ...]]

    def emit(self, tape: Tape, x: Signal) -> Signal:
        random = any(getattr(self, name) for name in self.strengths)
        return self.emit_noise(tape, x) if tape.noise and random else super().emit(tape, x)

    def emit_noise(self, tape: Tape, x: Signal) -> Signal:
        """Record: in each step W̃ and its packed copy, the products with it, the gradient of W from that of W̃."""
        products, tiles = products_of(tape, self.units, self.inputs), matrix_tiles(self.parameters["weight"])
        packed = products.room_to_pack() if products.packs else None
        noisy = tape.arena.take(self.weight.shape, tape.dtype)
        within = packed if products.packs_with_weight else None
        arrays, sizes = (within, noisy, self.weight, tiles.rectangles), (self.units, self.inputs, *tape.stream())
        cost = [(PACK_COST + NOISE_COST) * n for n in tiles.elements]
        tape.forward.add(Op("tiles", f"{self.kernel}_forward", arrays, sizes, self.constants, cost=cost))
        if not products.packs_with_weight:
            tape.forward.add(products.pack(packed, noisy, tiles))
        y = tape.signal(str(self.name), self.output_shape)
        bias = self.bias if self.has_bias else None
        gradient = products.emit(x, y, noisy, packed, bias, self.weight_grad, tiles)
        self._emit_gradients(tape, y, products, gradient, tiles)
        return y

    def _emit_gradients(
        self, tape: Tape, y: Signal, products: Products, gradient: Op, tiles: Tiles, repack: Op | None = None
    ) -> None:  # fmt: skip
        """Record the gradient of W, that of the product and then the noise, and that of b."""
        arrays, sizes = (self.weight_grad, tiles.rectangles, self.weight, y.grad), (self.units, self.inputs, *tape.stream())
        cost = [NOISE_COST * n for n in tiles.elements]
        gradient.then = Op("tiles", f"{self.kernel}_backward", arrays, sizes, self.constants, cost=cost)
        tape.gradient(gradient, repack)
        if self.has_bias:
            tape.gradient(products.bias_gradient(self.bias_grad, y.grad, self.parameters["bias"]))

    def __repr__(self) -> str:
        _, _, dense = super().__repr__().partition("(")
        units, comma, rest = dense.rstrip(")").partition(", ")
        options = ", ".join(f"{option}={getattr(self, option)!r}" for option in self.options)
        return f"{type(self).__name__}({units}, {options}{comma}{rest})"


class DropConnect(NoisyDense):
    """Dense layer that drops connections: z = h W̃ᵀ + b, w̃ = 0 with probability ``rate``, otherwise w/(1 − rate).

    With r ∈ {0, 1} drawn for each weight in each step, P(r = 1) = α = 1 − rate, and δ = ∂l/∂z,

        W̃ = r ⊙ W/α,   ∂l/∂W = r/α ⊙ δᵀ h,   ∂l/∂b = Σ_rows δ,   ∂l/∂h = δ W̃.

    E z = h Wᵀ + b, which is what inference computes (the paper samples z from a normal distribution with the moments of the
    noise instead: ``model.predict_samples`` averages over the noise itself), and Var z = rate/(1 − rate) Σ_j h_j² w_j².

    Parameters
    ----------
    units, **dense : as for `Dense`
    rate : float
        Probability of dropping a connection, in [0, 1). Default 0.5, the paper's.

    Notes
    -----
    One draw per step, not one per example as in the paper: all rows of a batch see the same W̃, so that the product stays one
    matrix product. Biases are never dropped (the paper drops them too).
    Source: Wan, Zeiler, Zhang, LeCun, Fergus: Regularization of neural networks using DropConnect (2013).

    Examples
    --------
    >>> import numpy as np
    >>> import nncore as nn
    >>> model = nn.Sequential([nn.DropConnect(3, rate=0.5, weight_init="zeros")], input_shape=4)
    >>> model.layers[0].weight[...] = 1
    >>> model.forward(np.ones((2, 4)), training=True)
    array([[4., 2., 4.],
           [4., 2., 4.]], dtype=float32)
    >>> model.forward(np.ones((1, 4)))
    array([[4., 4., 4.]], dtype=float32)
    """

    kernel, options, strengths = "shakeout", ("rate",), ("rate",)
    rate: Number = Number(0, below=1)

    def __init__(self, units: int, rate: float = 0.5, **dense: Any) -> None:
        super().__init__(units, **dense)
        self.rate = rate

    @property
    def constants(self) -> tuple[float, ...]:  # type: ignore[override]
        return (1 / (1 - self.rate), drop_threshold(self.rate), 0.0, self.rate)


class Shakeout(NoisyDense):
    """Dense layer that enhances or reverses connections: w̃ = −c s or (w + c τ s)/(1 − τ), s = sign(w).

    z = h W̃ᵀ + b, where in each step each weight is reversed with probability τ = ``rate``, otherwise enhanced:

        reversed   w̃ = −c s                                            ∂l/∂w = 0
        enhanced   w̃ = (w + c τ s)/(1 − τ), that is |w̃| = a|w| + (a − 1)c   ∂l/∂w = a ∂l/∂w̃,   a = 1/(1 − τ)

    with ∂l/∂W̃ = δᵀ h, ∂l/∂h = δ W̃. Unbiased: E w̃ = w, so inference computes with W; Var z = τ/(1 − τ) Σ_j h_j² (|w_j| + c)².
    The variance acts as a penalty on |w| too, not on w² alone as dropout's, and makes weights sparse. With c = 0 it is
    `DropConnect`. A weight of exactly 0 has s = 0.

    Parameters
    ----------
    units, **dense : as for `Dense`
    rate : float
        τ, in [0, 1). Default 0.5.
    c : float
        At least 0, default 0.1; at most about the size of the weights.

    Notes
    -----
    The paper draws one r for each unit h_j and example; here it is one for each weight and step (see `DropConnect`), with the
    same mean and variance of each z.
    Source: Kang, Li, Tao: Shakeout: a new approach to regularized deep neural network training (AAAI 2016; TPAMI 2018).

    Examples
    --------
    >>> import nncore as nn
    >>> model = nn.Sequential([nn.Shakeout(1, rate=0.5, c=0.25, weight_init="zeros")], input_shape=1)
    >>> model.layers[0].weight[...] = 1
    >>> sorted({float(z) for z in model.predict_samples([[1.0]], samples=20).ravel()})
    [-0.25, 2.25]
    """

    kernel, options, strengths = "shakeout", ("rate", "c"), ("rate",)
    rate: Number = Number(0, below=1)
    c: Number = Number(0)

    def __init__(self, units: int, rate: float = 0.5, c: float = 0.1, **dense: Any) -> None:
        super().__init__(units, **dense)
        self.rate, self.c = rate, c

    @property
    def constants(self) -> tuple[float, ...]:  # type: ignore[override]
        return (1 / (1 - self.rate), drop_threshold(self.rate), self.c, self.rate)


class _Whiteout(NoisyDense):
    """The noise that both kinds of whiteout have: e ~ N(0, σ² |w|^(−γ) + λ) on the signal of each connection."""

    options, strengths = ("sigma", "gamma", "lam"), ("sigma", "lam")
    sigma: Number = Number(0)
    gamma: Number = Number(0, most=2)
    lam: Number = Number(0)

    def __init__(self, units: int, sigma: float, gamma: float = 1.0, lam: float = 0.0, **dense: Any) -> None:
        super().__init__(units, **dense)
        self.sigma, self.gamma, self.lam = sigma, gamma, lam

    @property
    def constants(self) -> tuple[float, ...]:  # type: ignore[override]
        return (self.sigma**2, 2 - self.gamma, self.lam)


class MultiplicativeWhiteout(_Whiteout):
    """Dense layer whose signals are multiplied by 1 + e: z = Σ_j w_j h_j (1 + e_j) + b, e_j ~ N(0, σ² |w_j|^(−γ) + λ).

    That is a product with w̃ = w + √v ε, v = σ² |w|^(2−γ) + λ w², ε ~ N(0, 1) for each weight in each step:

        ∂l/∂w = (1 + (√v)' ε) ∂l/∂w̃,   ∂l/∂W̃ = δᵀ h,   ∂l/∂h = δ W̃,
        (√v)' = sign(w) (σ² (2 − γ) |w|^(1−γ) + 2 λ |w|) / (2 √v),   0 where w = 0.

    E z = h Wᵀ + b, which is what inference computes; Var z = Σ_j h_j² v_j: the noise acts as a penalty on |w|^(2−γ), from ridge
    (γ = 0) over lasso (γ = 1) toward counting weights (γ → 2). λ adds a ridge.

    Parameters
    ----------
    units, **dense : as for `Dense`
    sigma : float
        σ, at least 0.
    gamma : float
        γ, from 0 to 2. Default 1.
    lam : float
        λ, at least 0. Default 0.

    Notes
    -----
    One draw per step, see `DropConnect`. The gradient is that of the noisy loss for fixed ε, through the standard deviation;
    its mean is the gradient of the mean noisy loss. For 0 < γ < 2 it grows without bound as w → 0; clip it if training jumps.
    Source: Li, Liu: Whiteout: Gaussian adaptive noise regularization in deep neural networks (2016).

    Examples
    --------
    >>> import nncore as nn
    >>> model = nn.Sequential([nn.MultiplicativeWhiteout(1, sigma=0.5, weight_init="zeros")], input_shape=1)
    >>> model.layers[0].weight[...] = 4
    >>> z = model.predict_samples([[3.0]], samples=10_000)
    >>> round(float(z.mean())), round(float(z.std()))
    (12, 3)
    """

    kernel = "whiteout_multiplicative"


class AdditiveWhiteout(_Whiteout):
    """Dense layer whose signals get noise added: z = Σ_j w_j (h_j + e_j) + b, e_j ~ N(0, σ² |w_j|^(−γ) + λ).

    It is equivalent to a noisy bias b̃ = b + Σ_j √v_j ε_j, v = σ² |w|^(2−γ) + λ w², ε ~ N(0, 1) for each weight in each step:

        ∂l/∂w_j = (δᵀ h)_j + (√v_j)' ε_j Σ_rows δ,   ∂l/∂b = Σ_rows δ,   ∂l/∂h = δ W.

    E z = h Wᵀ + b, which is what inference computes; Var z = Σ_j v_j, independent of h. Source: Li, Liu (2016).
    The arguments are those of `MultiplicativeWhiteout`, and its notes on the gradient hold here too.
    """

    kernel = "whiteout_additive"

    def emit_noise(self, tape: Tape, x: Signal) -> Signal:
        """Record: in each step b̃; the products with W, and what b̃ adds to the gradient of W."""
        products, tiles = products_of(tape, self.units, self.inputs), matrix_tiles(self.parameters["weight"])
        packed, noisy = products.room_to_pack(), tape.arena.take(self.units, tape.dtype)
        arrays = (noisy, self.bias if self.has_bias else None, self.weight)
        sizes = (self.units, self.inputs, *tape.stream(), UNITS)
        cost = [NOISE_COST * UNITS * self.inputs] * -(-self.units // UNITS)
        tape.forward.add(Op("tiles", "whiteout_additive_forward", arrays, sizes, self.constants, cost=cost))
        y = tape.signal(str(self.name), self.output_shape)
        gradient = products.emit(x, y, self.weight, packed, noisy, self.weight_grad, tiles)
        pack = products.pack(packed, self.weight, tiles) if products.packs else None
        self._emit_gradients(tape, y, products, gradient, tiles, repack=pack)
        return y


class GaussianWeightNoise(NoisyDense):
    """Dense layer with noise on its weights: z = h W̃ᵀ + b, w̃ = w + σ ε, ε ~ N(0, 1) for each weight in each step.

    ∂l/∂W = δᵀ h, ∂l/∂h = δ W̃. E z = h Wᵀ + b, which is what inference computes; Var z = σ² ‖h‖². (It is multiplicative whiteout
    with γ = 2.) It favors flat minima, where small changes of the weights change little. One draw per step, see `DropConnect`.
    Source: Murray, Edwards: Enhanced MLP performance and fault tolerance resulting from synaptic weight noise during training
    (1994); Graves: Practical variational inference for neural networks (2011).

    Parameters
    ----------
    units, **dense : as for `Dense`
    stddev : float
        σ, at least 0.
    """

    kernel, options, strengths = "whiteout_multiplicative", ("stddev",), ("stddev",)
    stddev: Number = Number(0)

    def __init__(self, units: int, stddev: float, **dense: Any) -> None:
        super().__init__(units, **dense)
        self.stddev = stddev

    @property
    def constants(self) -> tuple[float, ...]:  # type: ignore[override]
        return (self.stddev**2, 0.0, 0.0)


WEIGHT_NOISE = {cls.default_name(): cls for cls in classes(NoisyDense, __name__)}
