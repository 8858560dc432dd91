"""Networks with every activation and every loss."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import nncore as nn
from helpers.configuration import arguments
from nncore.layers import ACTIVATIONS
from nncore.losses import LOSSES

Array = NDArray[Any]

# Every activation, and each of its options once more.
MAKE: dict[str, Callable[[], nn.Layer]] = dict(ACTIVATIONS)
MAKE |= {
    "leaky_relu_0.3": lambda: nn.LeakyReLU(0.3),
    "elu_0.7": lambda: nn.ELU(0.7),
    "gelu_tanh": lambda: nn.GELU("tanh"),
}
each_activation = pytest.mark.parametrize("activation", MAKE)
NEIGHBORS: dict[str, Callable[[Callable[[], nn.Layer]], list[nn.Layer]]] = {
    "between two dense": lambda act: [nn.Dense(6), act(), nn.Dense(3)],
    "first": lambda act: [act(), nn.Dense(3)],
    "last": lambda act: [nn.Dense(5), act()],
    "alone": lambda act: [act()],
    "twice": lambda act: [nn.Dense(6), act(), act(), nn.Dense(3, bias=False)],
    "beside a dense without bias": lambda act: [nn.Dense(6, bias=False), act(), nn.Dense(1)],
}


def soft(rng: np.random.Generator, rows: int, width: int) -> Array:
    return rng.dirichlet(np.ones(width), rows)


def classes(rng: np.random.Generator, rows: int, width: int) -> Array:
    return rng.permutation(np.arange(rows) % max(width, 2))


# name of the loss: (last layer, {kind of target: targets of (rows, width)})
TARGETS: dict[str, tuple[Callable[[], nn.Layer] | None, dict[str, Callable[..., Array]]]] = {}
numbers = {
    "numbers": lambda rng, n, w: rng.standard_normal((n, w)),
    "labels": classes,
    "one-hot": lambda rng, n, w: np.eye(w)[classes(rng, n, w)],
}
two_sided = {
    "labels": classes,
    "one-hot": lambda rng, n, w: np.eye(w)[classes(rng, n, w)],
    "±1": lambda rng, n, w: rng.choice([-1, 1], (n, w)),
    "0/1": lambda rng, n, w: rng.choice([0, 1], (n, w)),
}
probabilities = {**two_sided, "soft": lambda rng, n, w: rng.uniform(0.05, 0.95, (n, w))}
distributions = {"labels": classes, "one-hot": two_sided["one-hot"], "soft": soft}
TARGETS = {
    **dict.fromkeys(LOSSES, (None, numbers)),  # for losses without an entry below
    "poisson": (None, {"counts": lambda rng, n, w: rng.poisson(2, (n, w)), **{k: two_sided[k] for k in ("labels", "0/1")}}),
    "hinge": (None, two_sided),
    "binary_cross_entropy": (nn.Sigmoid, probabilities),
    "kl_divergence": (nn.Softmax, distributions),
    "sigmoid_cross_entropy": (None, probabilities),
    "softmax_cross_entropy": (None, distributions),
}
CASES = [(loss, kind) for loss, (_, kinds) in TARGETS.items() for kind in kinds]


def loss_model(loss: str, width: int = 4, dtype: str = "float64") -> nn.Sequential:
    last = TARGETS[loss][0]
    layers: list[nn.Layer] = [nn.Dense(6), nn.Tanh(), nn.Dense(width)] + ([last()] if last else [])
    return nn.Sequential(layers, input_shape=3, dtype=dtype, seed=8)


# Layers whose input must be sequences, or channels and positions.
OF_SEQUENCES = (nn.SimpleRNN, nn.GRU, nn.Bidirectional, nn.Masking, nn.InstanceNorm)


def followed(layer: nn.Layer) -> list[nn.Layer]:
    """The layer, and if it marks steps to be skipped one that skips them."""
    return [layer, nn.SimpleRNN(4)] if isinstance(layer, nn.Masking) else [layer]


def input_shape(cls: type[nn.Layer]) -> tuple[int, ...]:
    """(4,), or (4, 3) for a layer that takes steps or positions."""
    try:
        return nn.Sequential([cls(**arguments(cls))], input_shape=4).input_shape
    except ValueError:
        return (4, 3)
