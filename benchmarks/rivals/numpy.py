"""NumPy, written for speed: everything preallocated, each step in place.

`nncore.reference.training.MLP` is the readable form of the same training.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.nets import Net
from benchmarks.worker import Rival

CHUNK = 1 << 15  # parameters that Adam updates at a time, so that they stay in the cache
LR, BETA1, BETA2, EPS = 1e-3, 0.9, 0.999, 1e-8


class Trainer(Rival):
    """Dense layers with relu between them, softmax cross-entropy on labels, Adam."""

    def __init__(self, net: Net, X: Any, y: Any, dtype: str, options: dict[str, Any]) -> None:
        self.limits = threadpool_limits(options.get("threads"), user_api="blas")
        self.version = np.__version__
        self.sizes, self.X, self.y, self.batch, self.dtype = net.sizes, np.asarray(X, dtype), np.asarray(y), net.batch, dtype
        self.rng, self.steps = np.random.default_rng(0), 0
        shapes = list(zip(self.sizes[1:], self.sizes[:-1], strict=True))
        n = sum(units * inputs + units for units, inputs in shapes)
        vectors = [np.zeros(n, dtype) for _ in range(4)]
        (self.W, self.b), (self.dW, self.db) = (_layers(vector, shapes) for vector in vectors[:2])
        scratch = np.empty(min(CHUNK, n), dtype)
        self.chunks = [(*(a[i : i + CHUNK] for a in vectors), scratch[: n - i]) for i in range(0, n, CHUNK)]
        self.one_hot = np.eye(self.sizes[-1], dtype=dtype)
        self.buffers: dict[int, _Buffers] = {}

    def load(self, weights: list[Any]) -> None:
        """See `Rival.load`."""
        for own, W in zip(self.W, weights, strict=True):
            own[...] = W.T
        for b in self.b:
            b[...] = 0

    def train(self, epochs: int) -> None:
        """See `Rival.train`."""
        for _ in range(epochs):
            order = self.rng.permutation(len(self.X))
            for start in range(0, len(order), self.batch):
                self._step(order[start : start + self.batch])

    def logits(self, X: Any) -> Any:
        """See `Rival.logits`."""
        X = np.asarray(X, self.dtype)
        return self._forward(_Buffers(len(X), self.sizes, self.dtype), X)

    def _step(self, index: Any) -> None:
        """One batch: gather, forward, softmax cross-entropy and its gradient, backward, Adam."""
        if len(index) not in self.buffers:
            self.buffers[len(index)] = _Buffers(len(index), self.sizes, self.dtype)
        own = self.buffers[len(index)]
        np.take(self.X, index, axis=0, out=own.x, mode="clip")
        np.take(self.one_hot, self.y[index], axis=0, out=own.d, mode="clip")
        self._backward(own, self._loss_gradient(own, self._forward(own, own.x)))
        self._adam()

    def _forward(self, own: _Buffers, x: Any) -> Any:
        """z = h Wᵀ + b, h = max(z, 0), in the same array."""
        h = x
        for i, z in enumerate(own.h):
            np.matmul(h, self.W[i].T, out=z)
            z += self.b[i]
            if i < len(self.W) - 1:
                np.maximum(z, 0, out=z)
            h = z
        return h

    def _loss_gradient(self, own: _Buffers, y: Any) -> Any:
        """y becomes (softmax(y) − d) / rows; the mean loss is log Σ exp(y − m) − Σ d (y − m)."""
        np.maximum.reduce(y, axis=1, keepdims=True, out=own.column)
        y -= own.column
        dot = float(np.vdot(own.d, y))
        np.exp(y, out=y)
        np.matmul(y, own.ones_column, out=own.column)  # the sum of each row, faster than np.sum on short ones
        y /= own.column
        y -= own.d
        np.log(own.column, out=own.column)
        self.loss = (float(own.column.sum()) - dot) / len(y)
        y *= 1 / len(y)
        return y

    def _backward(self, own: _Buffers, dz: Any) -> None:
        """dW = dzᵀ h, db = Σ_rows dz, dh = dz W; h is overwritten by the derivative of relu."""
        for i in reversed(range(len(self.W))):
            h = own.h[i - 1] if i else own.x
            np.matmul(dz.T, h, out=self.dW[i])
            np.matmul(own.ones, dz, out=self.db[i])
            if i:
                dh = own.dh[i - 1]
                np.matmul(dz, self.W[i], out=dh)
                np.greater(h, 0, out=h)
                dh *= h
                dz = dh

    def _adam(self) -> None:
        """θ ← θ − η m̂ / (√v̂ + ε) = θ − (η √c₂ / c₁) m / (√v + ε √c₂)."""
        self.steps += 1
        root = math.sqrt(1 - BETA2**self.steps)
        rate = LR * root / (1 - BETA1**self.steps)
        for theta, grad, m, v, s in self.chunks:
            np.subtract(grad, m, out=s)
            s *= 1 - BETA1
            m += s
            np.multiply(grad, grad, out=s)
            s -= v
            s *= 1 - BETA2
            v += s
            np.sqrt(v, out=s)
            s += EPS * root
            np.divide(m, s, out=s)
            s *= rate
            theta -= s


class _Buffers:
    """The arrays that a step on a batch of this many rows writes to."""

    def __init__(self, rows: int, sizes: Any, dtype: str) -> None:
        self.x = np.empty((rows, sizes[0]), dtype)
        self.d = np.empty((rows, sizes[-1]), dtype)
        self.h = [np.empty((rows, size), dtype) for size in sizes[1:]]
        self.dh = [np.empty((rows, size), dtype) for size in sizes[1:-1]]
        self.column = np.empty((rows, 1), dtype)
        self.ones = np.ones(rows, dtype)
        self.ones_column = np.ones((sizes[-1], 1), dtype)


def _layers(vector: Any, shapes: list[tuple[int, int]]) -> tuple[list[Any], list[Any]]:
    """Views of a parameter vector: the layers' weights and biases."""
    weights, biases, start = [], [], 0
    for units, inputs in shapes:
        weights.append(vector[start : start + units * inputs].reshape(units, inputs))
        biases.append(vector[start + units * inputs : start + units * inputs + units])
        start += units * inputs + units
    return weights, biases
