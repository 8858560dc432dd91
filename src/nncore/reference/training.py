"""A multilayer perceptron and its training, in NumPy from beginning to end.

The whole of it: gather a batch, forward, loss, backward, update; once around is `MLP.step`. The formulas are those of
`activations`, `losses`, `dense` and `optimizers`, written in place here: all arrays are allocated once, and no step
makes one of the size of a batch.
"""

import math
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

Array = NDArray[np.floating[Any]]

CHUNK = 1 << 15  # parameters that Adam goes through at a time, so that they stay in the cache


class MLP:
    """Dense layers with an activation between them, trained by Adam or SGD.

    Parameters
    ----------
    sizes : sequence of int
        Inputs, units of each hidden layer, outputs.
    activation : {"relu", "tanh", "sigmoid", "identity"}
        Of the hidden layers; the last layer has none.
    seed : int
        Of the initial weights and the shuffling.
    dtype : dtype
        float32 or float64.
    loss : {"softmax_cross_entropy", "squared_error"}
        The first takes integer labels (rows,), or targets (rows, outputs) whose rows sum to one.
    optimizer : {"adam", "sgd"}
        Adam with the paper's constants, ε outside the root.

    Attributes
    ----------
    theta, gradient : arrays (n,)
        All parameters in one vector, and the gradient of the last batch.
    W, b, dW, db : lists of arrays
        Views into them, one (units, inputs) or (units,) for each layer.

    Notes
    -----
    Weights start from N(0, 2/inputs) for relu (He 2015), from N(0, 1/inputs) otherwise (LeCun 1998); biases from zero.

    Examples
    --------
    >>> X, y = np.array([[0, 0], [0, 1], [1, 0], [1, 1]]), np.array([0, 1, 1, 0])
    >>> net = MLP([2, 8, 2], activation="tanh", seed=0)
    >>> losses = net.train(X, y, epochs=300, batch_size=4, lr=0.03)
    >>> losses[-1] < 0.05, net.predict(X).argmax(axis=1).tolist()
    (True, [0, 1, 1, 0])
    """

    def __init__(
        self,
        sizes: list[int] | tuple[int, ...],
        activation: str = "relu",
        seed: int = 0,
        dtype: DTypeLike = "float32",
        *,
        loss: Literal["softmax_cross_entropy", "squared_error"] = "softmax_cross_entropy",
        optimizer: Literal["adam", "sgd"] = "adam",
    ) -> None:
        if activation not in ("relu", "tanh", "sigmoid", "identity"):
            raise ValueError(f"activation must be relu, tanh, sigmoid or identity, not {activation!r}")
        if loss not in ("softmax_cross_entropy", "squared_error"):
            raise ValueError(f"loss must be softmax_cross_entropy or squared_error, not {loss!r}")
        if optimizer not in ("adam", "sgd"):
            raise ValueError(f"optimizer must be adam or sgd, not {optimizer!r}")
        self.sizes, self.activation, self.loss, self.optimizer = tuple(sizes), activation, loss, optimizer
        self.dtype = np.dtype(dtype)
        self.rng = np.random.default_rng(seed)

        shapes = list(zip(self.sizes[1:], self.sizes[:-1], strict=True))
        n = sum(units * inputs + units for units, inputs in shapes)
        self.theta, self.gradient, self._m, self._v = (np.zeros(n, self.dtype) for _ in range(4))
        self.W, self.b = _layer_views(self.theta, shapes)
        self.dW, self.db = _layer_views(self.gradient, shapes)
        for W in self.W:
            variance = (2 if activation == "relu" else 1) / W.shape[1]
            W[...] = self.rng.normal(0, math.sqrt(variance), W.shape)

        self.steps = 0
        self._scratch = np.empty(min(CHUNK, n), self.dtype)
        self._chunks = [
            (*(a[i : i + CHUNK] for a in (self.theta, self.gradient, self._m, self._v)), self._scratch[: n - i])
            for i in range(0, n, CHUNK)
        ]
        self._unit_vectors = np.eye(self.sizes[-1], dtype=self.dtype)
        self._buffers: dict[int, _Buffers] = {}

    def train(self, X: ArrayLike, y: ArrayLike, epochs: int = 10, batch_size: int = 32, lr: float = 1e-3) -> list[float]:
        """Run whole epochs in shuffled mini-batches; the last batch may be smaller.

        Parameters
        ----------
        X : array (examples, inputs)
        y : array (examples,) of labels, or (examples, outputs) of targets
        epochs, batch_size : int
        lr : float

        Returns
        -------
        list of float
            For each epoch, the mean loss of its examples, each under the parameters its batch was computed with.
        """
        X = np.asarray(X, self.dtype)
        y = self._targets(y)
        history = []
        for _ in range(epochs):
            order = self.rng.permutation(len(X))
            total = 0.0
            for start in range(0, len(X), batch_size):
                index = order[start : start + batch_size]
                buffers = self._buffers_for(len(index))
                np.take(X, index, axis=0, out=buffers.x, mode="clip")
                if y.ndim == 1:
                    np.take(self._unit_vectors, y[index], axis=0, out=buffers.d, mode="clip")
                else:
                    np.take(y, index, axis=0, out=buffers.d, mode="clip")
                total += self._gradient(buffers, buffers.x, buffers.d) * len(index)
                self._update(lr)
            history.append(total / len(X))
        return history

    def step(self, xb: ArrayLike, yb: ArrayLike, lr: float = 1e-3) -> float:
        """One training step on one batch; returns the mean loss before the update."""
        loss = self.loss_and_gradient(xb, yb)
        self._update(lr)
        return loss

    def loss_and_gradient(self, xb: ArrayLike, yb: ArrayLike) -> float:
        """Mean loss of a batch; its gradient is left in ``gradient``, and so in ``dW`` and ``db``."""
        xb, yb = np.asarray(xb, self.dtype), self._targets(yb)
        buffers = self._buffers_for(len(xb))
        if yb.ndim == 1:
            np.take(self._unit_vectors, yb, axis=0, out=buffers.d, mode="clip")
            yb = buffers.d
        return self._gradient(buffers, xb, yb)

    def predict(self, X: ArrayLike) -> Array:
        """The output of the last layer, (rows, outputs): logits under softmax cross-entropy."""
        X = np.asarray(X, self.dtype)
        return self._forward(_Buffers(len(X), self.sizes, self.dtype), X)

    def _targets(self, y: ArrayLike) -> NDArray[Any]:
        """Integer labels as they are, targets in our dtype."""
        y = np.asarray(y)
        if y.ndim == 2:
            return y.astype(self.dtype, copy=False)
        if self.loss != "softmax_cross_entropy" or y.dtype.kind not in "iu":
            raise ValueError(
                "y must be integer labels (rows,), with softmax_cross_entropy, or targets (rows, outputs), "
                f"not {y.dtype} {y.shape}"
            )
        if y.size and (y.min() < 0 or y.max() >= self.sizes[-1]):
            raise ValueError(f"labels must be in 0 … {self.sizes[-1] - 1}, not {y.min()} … {y.max()}")
        return y

    def _buffers_for(self, rows: int) -> "_Buffers":
        if rows not in self._buffers:
            self._buffers[rows] = _Buffers(rows, self.sizes, self.dtype)
        return self._buffers[rows]

    def _forward(self, buffers: "_Buffers", x: Array) -> Array:
        """z = h Wᵀ + b, h = σ(z), in the same array, layer by layer."""
        h, last = x, len(self.W) - 1
        for i, z in enumerate(buffers.h):
            np.matmul(h, self.W[i].T, out=z)
            z += self.b[i]
            if i < last:
                if self.activation == "relu":
                    np.maximum(z, 0, out=z)
                elif self.activation == "tanh":
                    np.tanh(z, out=z)
                elif self.activation == "sigmoid":  # ½ (1 + tanh(z/2))
                    z *= 0.5
                    np.tanh(z, out=z)
                    z += 1
                    z *= 0.5
            h = z
        return h

    def _gradient(self, buffers: "_Buffers", x: Array, d: Array) -> float:
        y = self._forward(buffers, x)
        if self.loss == "softmax_cross_entropy":
            loss = self._softmax_cross_entropy(buffers, y, d)
        else:
            y -= d
            loss = 0.5 * float(np.vdot(y, y)) / len(y)
        y *= 1 / len(y)
        dz = y
        for i in reversed(range(len(self.W))):
            h = buffers.h[i - 1] if i else x
            np.matmul(dz.T, h, out=self.dW[i])
            np.matmul(buffers.ones, dz, out=self.db[i])  # the sum over rows
            if i:
                dh = buffers.dh[i - 1]
                np.matmul(dz, self.W[i], out=dh)
                self._activation_backward(dh, h)
                dz = dh
        return loss

    @staticmethod
    def _softmax_cross_entropy(buffers: "_Buffers", y: Array, d: Array) -> float:
        """y becomes softmax(y) − d; returns the mean loss, log Σ_k exp(y_k − m) − Σ_j d_j (y_j − m) in each row."""
        column = buffers.column
        np.maximum.reduce(y, axis=1, keepdims=True, out=column)
        y -= column
        dot = float(np.vdot(d, y))
        np.exp(y, out=y)
        np.matmul(y, buffers.ones_column, out=column)  # the sum of each row, faster than np.sum on short ones
        y /= column
        y -= d
        np.log(column, out=column)
        return (float(column.sum()) - dot) / len(y)

    def _activation_backward(self, dh: Array, h: Array) -> None:
        """dh becomes dz = dh ⊙ σ'(z); h is used up."""
        if self.activation == "relu":
            np.greater(h, 0, out=h)
            dh *= h
        elif self.activation == "tanh":
            h *= h
            np.subtract(1, h, out=h)
            dh *= h
        elif self.activation == "sigmoid":
            dh *= h
            np.subtract(1, h, out=h)
            dh *= h

    def _update(self, lr: float) -> None:
        self.steps += 1
        if self.optimizer == "sgd":
            for theta, grad, _, _, s in self._chunks:
                np.multiply(grad, lr, out=s)
                theta -= s
            return
        beta1, beta2, eps = 0.9, 0.999, 1e-8
        root = math.sqrt(1 - beta2**self.steps)
        rate = lr * root / (1 - beta1**self.steps)
        for theta, grad, m, v, s in self._chunks:
            # m ← β₁ m + (1 − β₁) g
            np.subtract(grad, m, out=s)
            s *= 1 - beta1
            m += s
            # v ← β₂ v + (1 − β₂) g²
            np.multiply(grad, grad, out=s)
            s -= v
            s *= 1 - beta2
            v += s
            # θ ← θ − η m̂ / (√v̂ + ε) = θ − (η √c₂ / c₁) m / (√v + ε √c₂)
            np.sqrt(v, out=s)
            s += eps * root
            np.divide(m, s, out=s)
            s *= rate
            theta -= s


class _Buffers:
    """What a step on a batch of this many rows writes to."""

    def __init__(self, rows: int, sizes: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self.x = np.empty((rows, sizes[0]), dtype)
        self.d = np.empty((rows, sizes[-1]), dtype)
        self.h = [np.empty((rows, size), dtype) for size in sizes[1:]]
        self.dh = [np.empty((rows, size), dtype) for size in sizes[1:-1]]
        self.column = np.empty((rows, 1), dtype)
        self.ones = np.ones(rows, dtype)
        self.ones_column = np.ones((sizes[-1], 1), dtype)


def _layer_views(vector: Array, shapes: list[tuple[int, int]]) -> tuple[list[Array], list[Array]]:
    """The stretches of a parameter vector that are the layers' weights and biases."""
    weights, biases, start = [], [], 0
    for units, inputs in shapes:
        weights.append(vector[start : start + units * inputs].reshape(units, inputs))
        start += units * inputs
        biases.append(vector[start : start + units])
        start += units
    return weights, biases
