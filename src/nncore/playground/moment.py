"""A moment of a training: copies, from which pictures are computed while it goes on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nncore import reference
from nncore.errors import DivergenceError
from nncore.layers import Dense
from nncore.model import Sequential
from nncore.playground import spec
from nncore.playground.datasets import Examples
from nncore.playground.run import Run

__all__ = ["NONE", "Block", "Moment", "probabilities"]

Array = NDArray[Any]
NONE = np.float32(np.nan)  # a number that there is not
WORK, FEWEST = 200_000, 50  # parameters times examples of a landscape; examples
MEASURED = 1000  # training examples of which z and δ are shown, at most


class Block(NamedTuple):
    """A dense layer and what follows it, up to its activation: names in ``model.activations``."""

    dense: Dense
    z: str
    h: str
    activation: str
    norm: str | None
    dropout: float


def blocks(model: Sequential, state: Any) -> list[Block]:
    """The hidden layers and the output layer."""
    dense = [number for number, layer in enumerate(model.layers) if isinstance(layer, Dense)]
    found = []
    for first, layer in zip(dense, state["layers"], strict=False):
        h = first + 1 + (layer["norm"] is not None)
        block = _dense(model, first)
        names = str(block.name), str(model.layers[h].name)
        found.append(Block(block, names[0], names[1], layer["activation"], layer["norm"], layer["dropout"]))
    last = _dense(model, dense[-1])
    return [*found, Block(last, str(last.name), str(last.name), "identity", None, 0.0)]


def _dense(model: Sequential, number: int) -> Dense:
    layer = model.layers[number]
    assert isinstance(layer, Dense)
    return layer


def probabilities(outputs: Array, loss: str) -> Array:
    """(n, classes): what the outputs say of the classes, each in [0, 1]."""
    if loss == "softmax_cross_entropy":
        return reference.softmax_forward(outputs)
    if loss == "sigmoid_cross_entropy":
        shares = reference.sigmoid_forward(outputs)
    else:
        shares = np.clip((outputs + 1) / 2 if loss == "hinge" else outputs, 0, 1)
    return np.asarray(shares / np.maximum(shares.sum(axis=1, keepdims=True), 1e-6))


@dataclass
class Moment:
    """Copies of what changes while a run trains.

    ``view`` is a second network with the parameters of the moment; ``memory`` the optimizer's state.
    """

    run: Run
    view: Sequential
    blocks: list[Block]
    state: Any
    step: int
    epoch: int
    phase: str
    ended: str | None
    update: Array
    curve: Array
    memory: dict[str, Any]
    batch: Array | None
    lr: float
    penalty: float

    @classmethod
    def of(cls, run: Run, view: Sequential) -> Moment:
        """The present one. Whoever calls keeps the run from training meanwhile."""
        view.parameters[:] = run.model.parameters
        if view.state.size:
            view.state[:] = run.model.state
        optimizer = run.steps.loop.optimizer
        batch = None if run.phase == "update" else run.steps.next_batch()
        return cls(
            run, view, blocks(view, run.state), run.state, run.step, run.trainer.epochs_done, run.phase, run.ended,
            run.last_update, run.points, optimizer.state_dict(), batch, run.lr(), run.penalty,
        )  # fmt: skip

    @property
    def examples(self) -> Examples:
        return self.run.examples

    def rows(self) -> tuple[Array, Array]:
        """The examples whose z and δ are shown: the batch in step mode, else training examples."""
        rows = slice(MEASURED) if self.batch is None else self.batch
        return np.ascontiguousarray(self.examples.X[rows]), self.examples.y[rows]

    def passes(self) -> tuple[dict[str, Array], dict[str, Array], Array]:
        """Of those examples z and h of each layer, δ of each example, and the gradient of the mean loss."""
        X, y = self.rows()
        training = len(X) > 1
        activations = self.view.activations(X, training=training, step=self.step)
        deltas = self.view.deltas(X, y, self.run.trainer.loss, step=self.step)
        return activations, {name: delta * len(X) for name, delta in deltas.items()}, self.view.gradients.copy()

    def slots(self) -> dict[str, Array]:
        """The optimizer's state with a number for each parameter."""
        return {name: self.memory[name] for name in self.run.steps.loop.optimizer.slots}

    def next_update(self) -> Array:
        """Δθ of an update with the examples shown: in step mode of the one that comes, to the bit; NaN if it would diverge."""
        trainer = spec.trainer(self.view.copy(), self.state)
        trainer.optimizer.load_state_dict(self.memory)
        try:
            trainer.partial_fit(*self.rows())
        except DivergenceError:
            return np.full_like(self.view.parameters, NONE)
        return trainer.model.parameters - self.view.parameters

    def network(self) -> tuple[Any, ...]:
        """Model, X, y, loss and regularizer for a landscape: no more training examples than take about a second."""
        rows = slice(max(FEWEST, WORK // self.view.parameters.size))
        trainer = self.run.trainer
        return self.view, self.examples.X[rows], self.examples.y[rows], trainer.loss, trainer.regularizer

    def now(self) -> list[float]:
        """Loss, validation loss, accuracy, validation accuracy; the losses without the penalty."""
        return [float(value) for value in self.curve[-1, 1:]]
