"""The networks of the training table: their sizes, data, starting weights and cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True)
class Net:
    """A ReLU network with softmax cross-entropy (inputs, hidden units, classes) and its training parameters."""

    sizes: tuple[int, ...]
    batch: int
    rows: int = 4096

    @property
    def name(self) -> str:
        """The sizes, as in 64-64-10."""
        return "-".join(map(str, self.sizes))

    @property
    def steps(self) -> int:
        """Steps per epoch."""
        return -(-self.rows // self.batch)

    @property
    def shapes(self) -> list[tuple[int, int]]:
        """(inputs, units) of each layer."""
        return list(zip(self.sizes, self.sizes[1:], strict=False))

    @property
    def flops(self) -> int:
        """FLOPs of the products of a step: 2·batch·inputs·units each, three per layer, no input gradient in the first."""
        products = sum(inputs * units for inputs, units in self.shapes)
        return 6 * self.batch * products - 2 * self.batch * self.sizes[0] * self.sizes[1]


NETS = (
    Net((2, 16, 2), 32, 2048),
    Net((64, 64, 10), 32),
    Net((64, 128, 64, 10), 64),
    Net((784, 256, 128, 10), 128),
    Net((784, 1024, 1024, 10), 256),
)


def parse(text: str) -> Net:
    """Make a net from its name: one of the table's, or any other as sizes@batch, for instance 100-50-10@64."""
    name, _, batch = text.partition("@")
    for net in NETS:
        if net.name == name and (not batch or net.batch == int(batch)):
            return net
    if not batch:
        known = ", ".join(net.name for net in NETS)
        raise ValueError(f"{name} is not in the table ({known}); give its batch size: {name}@32")
    return Net(tuple(map(int, name.split("-"))), int(batch))


def data(net: Net, dtype: str, seed: int = 0) -> tuple[Array, Array]:
    """Gaussian clouds, one per class, with integer labels.

    A tenth of the labels are drawn at random: the loss stays above zero, and gradients do not become denormal
    numbers, for which arithmetic is slow.
    """
    rng = np.random.default_rng(seed)
    centers = rng.normal(size=(net.sizes[-1], net.sizes[0]))
    centers -= centers.mean(axis=0)
    centers *= 3 / np.linalg.norm(centers, axis=1, keepdims=True)
    labels = rng.integers(0, net.sizes[-1], net.rows)
    X = centers[labels] + rng.normal(size=(net.rows, net.sizes[0]))
    noisy = rng.random(net.rows) < 0.1
    labels[noisy] = rng.integers(0, net.sizes[-1], noisy.sum())
    return X.astype(dtype), labels.astype(np.int64)


def weights(net: Net, dtype: str, seed: int = 1) -> list[Array]:
    """W of each layer as (inputs, units), from N(0, 2/inputs); every rival starts from these and from zero biases."""
    rng = np.random.default_rng(seed)
    return [rng.normal(0, np.sqrt(2 / inputs), (inputs, units)).astype(dtype) for inputs, units in net.shapes]


def mean_loss(logits: Array, labels: Array) -> float:
    """Mean softmax cross-entropy, in double precision."""
    z = np.asarray(logits, dtype=np.float64)
    z = z - z.max(axis=1, keepdims=True)
    return float(np.mean(np.log(np.exp(z).sum(axis=1)) - z[np.arange(len(z)), labels]))
