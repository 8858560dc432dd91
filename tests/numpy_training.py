"""A training in NumPy, independent of the library: one hidden layer of tanh, softmax cross-entropy."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import nncore as nn
from nncore import _kernels

Array = NDArray[Any]
N, INPUTS, HIDDEN, OUTPUTS = 53, 4, 7, 3


def numpy_gradient(theta: Array, X: Array, labels: Array) -> tuple[float, Array]:
    """Mean loss and gradient; θ is W1, b1, W2, b2."""
    W1, b1, W2, b2 = unpack(theta)
    h = np.tanh(X @ W1.T + b1)
    z = h @ W2.T + b2
    p = np.exp(z - z.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    rows = np.arange(len(X))
    loss = -np.log(p[rows, labels]).mean()
    p[rows, labels] -= 1
    dz = p / len(X)
    da = (dz @ W2) * (1 - h**2)
    return loss, np.concatenate([(da.T @ X).ravel(), da.sum(axis=0), (dz.T @ h).ravel(), dz.sum(axis=0)])


SHAPES = [(HIDDEN, INPUTS), (HIDDEN,), (OUTPUTS, HIDDEN), (OUTPUTS,)]
ENDS = np.cumsum([int(np.prod(shape)) for shape in SHAPES])


def unpack(theta: Array) -> list[Array]:
    return [part.reshape(shape) for part, shape in zip(np.split(theta, ENDS[:-1]), SHAPES, strict=True)]


IS_WEIGHT = np.repeat([1.0, 0.0, 1.0, 0.0], np.diff([0, *ENDS]))


class NumpyOptimizer:
    """θ and one of the four recurrences; ``lr(t)`` is the rate of step t = 0, 1, …"""

    def __init__(self, name: str, theta: Array, lr: Callable[[int], float]) -> None:
        self.name, self.theta, self.lr = name, theta.copy(), lr
        self.m, self.v, self.t = np.zeros(theta.size), np.zeros(theta.size), 0

    def point(self) -> Array:
        return self.theta + 0.8 * self.m if self.name == "nesterov" else self.theta

    def step(self, g: Array) -> None:
        lr, self.t = self.lr(self.t), self.t + 1
        if self.name == "sgd":
            self.theta = self.theta - lr * g
        elif self.name in ("momentum", "nesterov"):
            self.m = 0.8 * self.m - lr * g
            self.theta = self.theta + self.m
        elif self.name == "adam":
            self.m = 0.7 * self.m + 0.3 * g
            self.v = 0.95 * self.v + 0.05 * g**2
            corrected = np.sqrt(self.v / (1 - 0.95**self.t))
            self.theta = self.theta - lr * self.m / (1 - 0.7**self.t) / (corrected + 0.01)


OPTIMIZERS: dict[str, Callable[[Any], nn.Optimizer]] = {
    "sgd": lambda lr: nn.SGD(lr=lr),
    "momentum": lambda lr: nn.Momentum(lr=lr, momentum=0.8),
    "nesterov": lambda lr: nn.Nesterov(lr=lr, momentum=0.8),
    "adam": lambda lr: nn.Adam(lr=lr, betas=(0.7, 0.95), eps=0.01),
}
each_optimizer = pytest.mark.parametrize("name", OPTIMIZERS)


def numpy_training(
    name: str, theta: Array, data: tuple[Array, Array], *, lr: Callable[[int], float] = lambda t: 0.05, epochs: int = 4,
    batch: int = 16, shuffle: bool = True, seed: int = 0, first_epoch: int = 0,
    gradient: Callable[[Array, Array], Array] = lambda theta, g: g, penalty: Callable[[Array], float] = lambda theta: 0.0,
) -> tuple[Array, list[float]]:  # fmt: skip
    """θ after the training, and the running losses of the epochs."""
    X, labels = data
    optimizer, losses = NumpyOptimizer(name, theta, lr), []
    orders = _kernels.shuffled_orders(len(X), epochs, seed, first_epoch)
    for epoch in range(epochs):
        total, penalties = 0.0, []
        for start in range(0, len(X), batch):
            rows = orders[epoch, start : start + batch] if shuffle else np.arange(len(X))[start : start + batch]
            point = optimizer.point()
            loss, g = numpy_gradient(point, X[rows], labels[rows])
            total += loss * len(rows)
            penalties.append(penalty(point))
            optimizer.step(gradient(point, g))
        losses.append(total / len(X) + float(np.mean(penalties)))
    return optimizer.theta, losses
