"""Variance of signals and gradients by layer of a deep chain, measured on a network, and what theory says."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

import nncore as nn
from nncore import reference
from nncore._utils.fields import choice, count, number
from nncore.initializers import INITIALIZERS
from nncore.layers.activations import ACTIVATIONS, Activation

__all__ = ["answer", "mean_square_weight"]

Array = NDArray[Any]

EXAMPLES, BINS = 200, 41
MOST_LAYERS, MOST_UNITS, MOST_SCALE = 50, 512, 10.0
DEFAULT = "he_normal"  # of `Dense`
# E[w²] times the number of inputs, in a layer with as many units as inputs.
PER_INPUT = {
    "lecun_normal": 1, "lecun_uniform": 1, "fan_out_normal": 1, "glorot_normal": 1, "glorot_uniform": 1, "orthogonal": 1,
    "he_normal": 2, "he_uniform": 2, "sigmoid_uniform": 16,
}  # fmt: skip
FIXED = {"zeros": 0.0, "constant": 0.0, "normal": 0.05**2, "uniform": 0.05**2 / 3}  # E[w²] for any number of inputs
NODES = (np.arange(2000) + 0.5) / 125 - 8  # of integrals over N(0, 1): as many on both sides of the kinks at 0
WEIGHTS = np.exp(-(NODES**2) / 2) / np.exp(-(NODES**2) / 2).sum()
LARGEST = 3e38  # of float32
LIMITS = (1e-3, 0.1, 10.0, 1e3)  # variances between which there is another verb
VERBS = ("vanishes", "shrinks", "keeps its size", "grows", "explodes")


def answer(state: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Array]]:
    """Header and arrays of a reply Initialization; a ValueError or TypeError if the state is not one that a page can have."""
    depth, width = (count(name, state[name], below=most + 1) for name, most in (("depth", MOST_LAYERS), ("width", MOST_UNITS)))
    scale = number("scale", state["scale"], 0.0, most=MOST_SCALE)
    activation = ACTIVATIONS[choice("activation", state["activation"], tuple(ACTIVATIONS))]
    init = choice("init", state["init"], ("default", *INITIALIZERS))
    init = DEFAULT if init == "default" else init
    h, delta = measured(depth, width, activation, init, scale)
    with np.errstate(over="ignore", invalid="ignore"):
        forward, backward = (np.array([x.var(dtype=np.float64) for x in signals]) for signals in (h, delta))
    gain = width * scale**2 * mean_square_weight(init, width)
    theory = _theory(activation(), gain, depth)
    histograms, scales = _histograms(h)
    arrays = {"forward": forward, "backward": backward, "forward/theory": theory[0], "backward/theory": theory[1]}
    header = {"type": "initialization", "scales": scales, "message": _message(forward, backward)}
    return header, {**{name: _float32(values) for name, values in arrays.items()}, "histograms": histograms}


def measured(depth: int, width: int, activation: type[Activation], init: str, scale: float) -> tuple[list[Array], list[Array]]:
    """h and δ = ∂l/∂z of every layer, for standard normal inputs and a standard normal gradient at the output."""
    rng = np.random.default_rng(0)
    layers = [layer for _ in range(depth) for layer in (nn.Dense(width, weight_init=init), activation())]
    model = nn.Sequential(layers, input_shape=width, seed=0)
    for dense in layers[::2]:
        dense.weight *= scale
    X, upstream = rng.standard_normal((2, EXAMPLES, width)).astype(np.float32)
    with model.lock, np.errstate(over="ignore", invalid="ignore"):
        run, recording = model.gradient_pass(X, upstream, _along, input_gradient=True)  # one pass has both
        run(0)
        signals = recording.tape.signals
        h = [signal.value.copy() for signal in signals[1::2]]
        delta = [EXAMPLES * np.asarray(signal.grad) for signal in signals[::2]]  # of each example's loss, not of their mean
    return h, delta


def _along(outputs: Array, upstream: Array) -> tuple[Array, Array]:
    """A loss whose gradient is the given one."""
    return (outputs * upstream).sum(axis=1), upstream


def mean_square_weight(init: str, width: int) -> float:
    """E[w²] of the weights (width, width)."""
    return FIXED[init] if init in FIXED else PER_INPUT[init] / width


def _theory(activation: Activation, gain: float, depth: int) -> tuple[Array, Array]:
    """Var h and Var δ by layer of wide networks, where z is normally distributed with Var z = gain · E[h²].

    Var δ = E[σ'(z)²] · gain · Var δ of the next layer (Glorot & Bengio 2010; He et al. 2015).
    """
    if activation.kernel == "softmax":  # couples the units of a layer
        return np.full(depth, np.nan), np.full(depth, np.nan)
    options = [getattr(activation, name) for name in activation.options]
    square, forward, slopes = 1.0, np.empty(depth), np.empty(depth)
    with np.errstate(over="ignore", invalid="ignore"):
        for layer in range(depth):
            z = math.sqrt(gain * square) * NODES[None]
            h = getattr(reference, f"{activation.kernel}_forward")(z, *options)
            slope = getattr(reference, f"{activation.kernel}_backward")(np.ones_like(z), z, h, *options)
            square, slopes[layer] = _mean(h * h), _mean(slope * slope)
            forward[layer] = square - _mean(h) ** 2
            square = min(square, LARGEST)
        backward = np.cumprod(np.append(slopes[-1], gain * slopes[-2::-1]))[::-1]
    return np.maximum(forward, 0), backward


def _mean(values: Array) -> float:
    return float((values[0] * WEIGHTS).sum())


def _histograms(h: list[Array]) -> tuple[NDArray[np.float32], list[float]]:
    """Shares of each layer's h in bins from −1 to 1 times the layer's scale, its largest |h|."""
    shares, scales = np.zeros((len(h), BINS), np.float32), []
    for row, values in zip(shares, h, strict=True):
        values = values[np.isfinite(values)].astype(np.float64)
        scale = float(np.abs(values).max(initial=0.0)) or 1.0
        row[:] = np.histogram(values, BINS, (-scale, scale))[0] / max(values.size, 1)
        scales.append(min(scale, LARGEST))
    return shares, scales


def _message(forward: Array, backward: Array) -> str:
    after = f"after {len(forward)} layer{'s' * (len(forward) > 1)}"
    return f"{_sentence('signal', forward[-1], after)} {_sentence('gradient', backward[0], 'in the first layer')}"


def _sentence(what: str, variance: float, where: str) -> str:
    if not math.isfinite(variance):
        return f"The {what} explodes: {where} it is beyond what float32 can hold."
    if variance == 0:
        return f"The {what} is gone: {where} its variance is 0."
    verb = VERBS[sum(variance >= limit for limit in LIMITS)]
    return f"The {what} {verb}: {where} its variance is {_power(variance)}."


def _power(value: float) -> str:
    """0.37, or 10⁻¹²."""
    if LIMITS[0] <= value <= LIMITS[-1]:
        return f"{value:.3g}"
    digits = str(round(math.log10(value))).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"10{digits}"


def _float32(values: Array) -> NDArray[np.float32]:
    """Rounded, and at most what float32 can hold; infinite and not a number become that too."""
    return np.minimum(np.nan_to_num(values, nan=np.nan, posinf=LARGEST), LARGEST).astype(np.float32)
