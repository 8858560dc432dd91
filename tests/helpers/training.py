"""A training in NumPy, from the functions of `nncore.reference`: one hidden layer of tanh, softmax cross-entropy.

test_reference.py compares these functions with differences, sums and PyTorch.
"""

import hashlib
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import nncore as nn
from nncore import _kernels, reference

Array = NDArray[Any]
N, INPUTS, HIDDEN, OUTPUTS = 53, 4, 7, 3


def numpy_gradient(theta: Array, X: Array, labels: Array) -> tuple[float, Array]:
    """Mean loss and gradient; θ is W1, b1, W2, b2."""
    net = reference.MLP([INPUTS, HIDDEN, OUTPUTS], "tanh", dtype="float64")
    net.theta[:] = theta
    return net.loss_and_gradient(X, labels), net.gradient


SHAPES = [(HIDDEN, INPUTS), (HIDDEN,), (OUTPUTS, HIDDEN), (OUTPUTS,)]
ENDS = np.cumsum([int(np.prod(shape)) for shape in SHAPES])
IS_WEIGHT = np.repeat([1.0, 0.0, 1.0, 0.0], np.diff([0, *ENDS]))


UPDATES: dict[str, tuple[int, Callable[..., bool]]] = {  # the number of state vectors, and the update
    "sgd": (0, reference.sgd_update),
    "momentum": (1, partial(reference.momentum_update, momentum=0.8)),
    "nesterov": (2, partial(reference.nesterov_update, momentum=0.8)),
    "adam": (2, partial(reference.adam_update, betas=(0.7, 0.95), eps=0.01)),
}


class NumpyOptimizer:
    """The parameters θ under one of the four updates; ``lr(t)`` is the rate of step t = 0, 1, …

    ``point`` is where the next gradient is evaluated: θ, or with Nesterov's momentum the look-ahead point.
    """

    def __init__(self, name: str, theta: Array, lr: Callable[[int], float]) -> None:
        self.name, self.point, self.lr, self.t = name, theta.copy(), lr, 0
        slots, self.update = UPDATES[name]
        self.state = [np.zeros(theta.size) for _ in range(slots)]
        if name == "nesterov":
            reference.nesterov_enter(self.point, *self.state, momentum=0.8)

    @property
    def theta(self) -> Array:
        return self.state[1] if self.name == "nesterov" else self.point

    def step(self, g: Array) -> None:
        lr, self.t = self.lr(self.t), self.t + 1
        assert not self.update(self.point, g, *self.state, lr=lr, **({"step": self.t} if self.name == "adam" else {}))


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
            loss, g = numpy_gradient(optimizer.point, X[rows], labels[rows])
            total += loss * len(rows)
            penalties.append(penalty(optimizer.point))
            optimizer.step(gradient(optimizer.point, g))
        losses.append(total / len(X) + float(np.mean(penalties)))
    return optimizer.theta, losses


def train(dtype: str, seed: int = 0, optimizer: str = "adam", epochs: int = 3) -> tuple[str, nn.Trainer]:
    """Five batches of 96 and one of 20; 1.2 million operations a step: several row blocks and tiles, enough for threads."""
    rng = np.random.default_rng(seed)
    X, y = rng.standard_normal((500, 70)).astype(dtype), rng.integers(0, 5, 500)
    layers = [nn.Dense(65), nn.ReLU(), nn.Dense(40), nn.GELU(), nn.Dense(5)]
    model = nn.Sequential(layers, input_shape=70, dtype=dtype, seed=seed)
    trainer = nn.Trainer(
        model, "softmax_cross_entropy", optimizer, regularizer=nn.L2(1e-3), clip=nn.ClipGlobalNorm(0.5), metrics=["accuracy"]
    )  # fmt: skip
    trainer.fit(X, y, epochs=epochs, batch_size=96, validation_data=(X[::3], y[::3]), exact_loss=True, verbose=0)
    digest = hashlib.sha256(model.parameters.tobytes())
    digest.update(model.predict(X).tobytes())
    digest.update(model.loss_and_gradient(X, y, "softmax_cross_entropy")[1].tobytes())
    for column in trainer.history:
        digest.update(trainer.history[column].tobytes())
    return digest.hexdigest(), trainer


def make(dtype: str = "float64", seed: int = 2) -> nn.Sequential:
    return nn.Sequential([nn.Dense(HIDDEN), nn.Tanh(), nn.Dense(OUTPUTS)], input_shape=INPUTS, dtype=dtype, seed=seed)
