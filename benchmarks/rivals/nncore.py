"""nncore, through its public interface."""

from __future__ import annotations

from typing import Any

import nncore as nn
from benchmarks.nets import Net
from benchmarks.worker import Rival


class Trainer(Rival):
    """`Sequential` of `Dense` and `ReLU`, `Trainer.fit`."""

    def __init__(self, net: Net, X: Any, y: Any, dtype: str, options: dict[str, Any]) -> None:
        if "threads" in options:
            nn.set_num_threads(options["threads"])
        layers: list[Any] = []
        for units in net.sizes[1:]:
            layers += [nn.Dense(units), nn.ReLU()]
        compute_dtype = options.get("compute_dtype")
        self.model = nn.Sequential(layers[:-1], input_shape=net.sizes[0], dtype=dtype, compute_dtype=compute_dtype, seed=0)
        self.trainer = nn.Trainer(self.model, loss="softmax_cross_entropy", optimizer=nn.Adam(lr=1e-3))
        self.X, self.y, self.batch = X, y, net.batch
        self.version, self.note = nn.__version__, f"{nn.get_num_threads()} threads at most"

    def load(self, weights: list[Any]) -> None:
        """See `Rival.load`."""
        dense = [layer for layer in self.model.layers if isinstance(layer, nn.Dense)]
        for layer, W in zip(dense, weights, strict=True):
            layer.weight[:] = W.T
            layer.bias[:] = 0

    def train(self, epochs: int) -> None:
        """See `Rival.train`."""
        self.trainer.fit(self.X, self.y, epochs=epochs, batch_size=self.batch, verbose=0)

    def logits(self, X: Any) -> Any:
        """See `Rival.logits`."""
        return self.model.predict(X)
