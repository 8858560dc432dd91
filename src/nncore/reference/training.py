"""A multilayer perceptron and its training, from the functions of this package: all of nncore's core on one page.

`MLP.step` is one training step: forward pass, loss, backward pass, update. `MLP.train` repeats it over shuffled mini-batches.
"""

import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from . import activations
from ._common import Array
from .dense import dense_backward_bias, dense_backward_input, dense_backward_weight, dense_forward
from .losses import softmax_cross_entropy, softmax_cross_entropy_labels, squared_error
from .optimizers import adam_update, sgd_update

__all__ = ["MLP"]


class MLP:
    """Dense layers with an activation between them, trained by Adam or SGD.

    sizes are the numbers of inputs, units of each hidden layer, and outputs. The last layer has no activation. The targets are
    an array (rows, outputs); for softmax cross-entropy, rows that sum to one, or integer labels (rows,).

    theta is the vector of all parameters, gradient that of their derivatives for the last batch. W, b, dW and db are lists of
    views into them, one (units, inputs) or (units,) per layer. Weights start from N(0, 2/inputs) for relu (He, 2015), from
    N(0, 1/inputs) otherwise (LeCun, 1998); biases start from zero.

    >>> X, y = np.array([[0, 0], [0, 1], [1, 0], [1, 1]]), np.array([0, 1, 1, 0])
    >>> net = MLP([2, 8, 2], activation="tanh", seed=0)
    >>> losses = net.train(X, y, epochs=300, batch_size=4, lr=0.03)
    >>> losses[-1] < 0.05, net.predict(X).argmax(axis=1).tolist()
    (True, [0, 1, 1, 0])
    """

    def __init__(
        self, sizes: Sequence[int], activation: str = "relu", seed: int = 0, dtype: DTypeLike = "float32", *,
        loss: Literal["softmax_cross_entropy", "squared_error"] = "softmax_cross_entropy",
        optimizer: Literal["adam", "sgd"] = "adam",
    ) -> None:  # fmt: skip
        for name, value, known in (
            ("activation", activation, ("relu", "tanh", "sigmoid", "identity")),
            ("loss", loss, ("softmax_cross_entropy", "squared_error")), ("optimizer", optimizer, ("adam", "sgd")),
        ):  # fmt: skip
            if value not in known:
                raise ValueError(f"{name} must be one of {', '.join(known)}, got {value!r}")
        self.sizes, self.loss, self.optimizer = tuple(sizes), loss, optimizer
        self.dtype: np.dtype[Any] = np.dtype(dtype)
        self.activation = getattr(activations, f"{activation}_forward")
        self.activation_backward = getattr(activations, f"{activation}_backward")
        self.rng, self.steps = np.random.default_rng(seed), 0

        shapes = list(zip(self.sizes[1:], self.sizes[:-1], strict=True))
        n = sum(units * inputs + units for units, inputs in shapes)
        self.theta, self.gradient, self.m, self.v = (np.zeros(n, self.dtype) for _ in range(4))
        self.W, self.b = _views(self.theta, shapes)
        self.dW, self.db = _views(self.gradient, shapes)
        for W in self.W:
            W[...] = self.rng.normal(0, math.sqrt((2 if activation == "relu" else 1) / W.shape[1]), W.shape)

    def train(self, X: ArrayLike, y: ArrayLike, epochs: int = 10, batch_size: int = 32, lr: float = 1e-3) -> list[float]:
        """For each epoch, the mean loss of its examples, each under the parameters before the step of its batch."""
        X, y = np.asarray(X, self.dtype), np.asarray(y)
        history = []
        for _ in range(epochs):
            order = self.rng.permutation(len(X))
            batches = [order[start : start + batch_size] for start in range(0, len(X), batch_size)]
            history.append(sum(self.step(X[index], y[index], lr) * len(index) for index in batches) / len(X))
        return history

    def step(self, x: ArrayLike, y: ArrayLike, lr: float = 1e-3) -> float:
        """One update from one batch; returns the mean loss before it."""
        loss = self.loss_and_gradient(x, y)
        self.steps += 1
        if self.optimizer == "adam":
            adam_update(self.theta, self.gradient, self.m, self.v, step=self.steps, lr=lr)
        else:
            sgd_update(self.theta, self.gradient, lr=lr)
        return loss

    def loss_and_gradient(self, x: ArrayLike, y: ArrayLike) -> float:
        """Mean loss of a batch; its gradient is stored in ``gradient``, and so in ``dW`` and ``db``."""
        z, h = self._forward(x)
        losses, dz = self._losses(z[-1], np.asarray(y))
        for i in reversed(range(len(self.W))):
            self.dW[i][...] = dense_backward_weight(dz, h[i])
            self.db[i][...] = dense_backward_bias(dz)
            if i > 0:
                dz = self.activation_backward(dense_backward_input(dz, self.W[i]), z[i - 1], h[i])
        return float(losses.mean())

    def predict(self, X: ArrayLike) -> Array:
        """The output of the last layer, (rows, outputs): logits under softmax cross-entropy."""
        return self._forward(X)[0][-1]

    def _forward(self, x: ArrayLike) -> tuple[list[Array], list[Array]]:
        """z_i = h_i W_iᵀ + b_i for each layer, h_0 = x, h_{i+1} = σ(z_i)."""
        z, h = [], [np.asarray(x, self.dtype)]
        for W, b in zip(self.W, self.b, strict=True):
            z.append(dense_forward(h[-1], W, b))
            h.append(self.activation(z[-1]))
        return z, h

    def _losses(self, z: Array, y: NDArray[Any]) -> tuple[Array, Array]:
        """The loss of each example, and the gradient of their mean with respect to z."""
        if y.ndim == 2:
            d = y.astype(self.dtype, copy=False)
            return softmax_cross_entropy(z, d) if self.loss == "softmax_cross_entropy" else squared_error(z, d)
        if self.loss != "softmax_cross_entropy" or y.dtype.kind not in "iu":
            raise ValueError(
                "y must be integer labels (rows,), with softmax_cross_entropy, or targets (rows, outputs), "
                f"got {y.dtype} {y.shape}"
            )
        if y.size and (y.min() < 0 or y.max() >= self.sizes[-1]):
            raise ValueError(f"labels must be in 0 … {self.sizes[-1] - 1}, got {y.min()} … {y.max()}")
        return softmax_cross_entropy_labels(z, y)


def _views(vector: Array, shapes: list[tuple[int, int]]) -> tuple[list[Array], list[Array]]:
    """Views of a parameter vector: the layers' weights and biases."""
    weights, biases, start = [], [], 0
    for units, inputs in shapes:
        middle, end = start + units * inputs, start + units * inputs + units
        weights.append(vector[start:middle].reshape(units, inputs))
        biases.append(vector[middle:end])
        start = end
    return weights, biases
