"""PyTorch: eager mode, fused Adam; bfloat16 by autocast around forward pass and loss, as its documentation has it."""

from __future__ import annotations

from typing import Any

import torch

from benchmarks.nets import Net
from benchmarks.worker import Rival


class Trainer(Rival):
    """The training loop of the tutorials, each batch taken by `index_select` from an epoch's permutation."""

    def __init__(self, net: Net, X: Any, y: Any, dtype: str, options: dict[str, Any]) -> None:
        if "threads" in options:
            torch.set_num_threads(options["threads"])
        torch.manual_seed(0)
        self.autocast = options.get("autocast", False)
        layers: list[torch.nn.Module] = []
        for inputs, units in net.shapes:
            layers += [torch.nn.Linear(inputs, units, dtype=getattr(torch, dtype)), torch.nn.ReLU()]
        self.net = torch.nn.Sequential(*layers[:-1])
        self.optimizer = torch.optim.Adam(self.net.parameters(), lr=1e-3, fused=True)
        self.X, self.y, self.batch = torch.from_numpy(X), torch.from_numpy(y), net.batch
        self.version, self.note = torch.__version__, f"{torch.get_num_threads()} threads"

    @torch.no_grad()
    def load(self, weights: list[Any]) -> None:
        """See `Rival.load`."""
        linear = [layer for layer in self.net if isinstance(layer, torch.nn.Linear)]
        for layer, W in zip(linear, weights, strict=True):
            layer.weight.copy_(torch.from_numpy(W.T.copy()))
            layer.bias.zero_()

    def train(self, epochs: int) -> None:
        """See `Rival.train`."""
        net, optimizer, X, y = self.net, self.optimizer, self.X, self.y
        loss_of = torch.nn.functional.cross_entropy
        for _ in range(epochs):
            for index in torch.randperm(len(X)).split(self.batch):
                with torch.autocast("cpu", torch.bfloat16, enabled=self.autocast):
                    loss = loss_of(net(X.index_select(0, index)), y.index_select(0, index))
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()

    @torch.no_grad()
    def logits(self, X: Any) -> Any:
        """See `Rival.logits`."""
        with torch.autocast("cpu", torch.bfloat16, enabled=self.autocast):
            return self.net(torch.from_numpy(X)).float().numpy()
