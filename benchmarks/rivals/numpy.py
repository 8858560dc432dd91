"""NumPy: the library's own reference network."""

from __future__ import annotations

from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.nets import Net
from benchmarks.worker import Rival
from nncore.reference.training import MLP


class Trainer(Rival):
    """`nncore.reference.training.MLP`: everything preallocated, in place."""

    def __init__(self, net: Net, X: Any, y: Any, dtype: str, options: dict[str, Any]) -> None:
        self.limits = threadpool_limits(options.get("threads"), user_api="blas")
        self.net = MLP(net.sizes, activation="relu", seed=0, dtype=dtype)
        self.X, self.y, self.batch = X, y, net.batch
        self.version = np.__version__

    def load(self, weights: list[Any]) -> None:
        """See `Rival.load`."""
        for own, W in zip(self.net.W, weights, strict=True):
            own[...] = W.T
        for b in self.net.b:
            b[...] = 0

    def train(self, epochs: int) -> None:
        """See `Rival.train`."""
        self.net.train(self.X, self.y, epochs, self.batch, 1e-3)

    def logits(self, X: Any) -> Any:
        """See `Rival.logits`."""
        return self.net.predict(X)
