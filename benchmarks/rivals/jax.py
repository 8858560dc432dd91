"""JAX: a whole epoch in one jitted function."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.nets import Net
from benchmarks.worker import Rival


def _logits(layers: Any, x: Any) -> Any:
    *hidden, (W, b) = layers
    for V, c in hidden:
        x = jax.nn.relu(x @ V + c)
    return x @ W + b


_outputs = jax.jit(_logits)


def _loss(layers: Any, x: Any, labels: Any) -> Any:
    z = _logits(layers, x)
    return jnp.mean(jax.nn.logsumexp(z, axis=1) - jnp.take_along_axis(z, labels[:, None], axis=1)[:, 0])


def _step(state: Any, x: Any, labels: Any) -> Any:
    """Adam, ε outside the root, lr 1e-3."""
    layers, m, v, t = state
    grad = jax.grad(_loss)(layers, x, labels)
    t = t + 1
    c1, c2 = 1 - 0.9**t, 1 - 0.999**t
    m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, grad)
    v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, grad)
    rate, root = 1e-3 * jnp.sqrt(c2) / c1, jnp.sqrt(c2)
    layers = jax.tree.map(lambda p, m, v: p - rate * m / (jnp.sqrt(v) + 1e-8 * root), layers, m, v)
    return layers, m, v, t


@partial(jax.jit, static_argnames="batch", donate_argnums=0)
def _epoch(state: Any, X: Any, y: Any, order: Any, batch: int) -> Any:
    """The steps of an epoch; ``order`` is the permutation, or the key from which it is drawn."""
    if order.ndim == 0:
        order = jax.random.permutation(order, len(X))

    def step(state: Any, index: Any) -> Any:
        return _step(state, X[index], y[index]), None

    whole = len(X) // batch
    state, _ = jax.lax.scan(step, state, order[: whole * batch].reshape(whole, batch))
    if whole * batch < len(X):
        state, _ = step(state, order[whole * batch :])
    return state


class Trainer(Rival):
    """`lax.scan` over the batches of an epoch, gathered inside, buffers donated.

    The permutation comes from NumPy, or is drawn inside the jitted function; the latter keeps the epoch in one call,
    but JAX's permutation is a sort by random keys, and slow on a CPU.
    """

    def __init__(self, net: Net, X: Any, y: Any, dtype: str, options: dict[str, Any]) -> None:
        jax.config.update("jax_platforms", "cpu")
        jax.config.update("jax_enable_x64", dtype == "float64")
        self.X, self.y = jnp.asarray(X), jnp.asarray(y.astype(np.int32))
        self.batch, self.shuffle = net.batch, options["shuffle"]
        self.rng, self.key = np.random.default_rng(0), jax.random.key(0)
        layers = [(jnp.zeros((i, o), dtype), jnp.zeros(o, dtype)) for i, o in net.shapes]
        m, v = (jax.tree.map(jnp.zeros_like, layers) for _ in range(2))
        self.state: Any = (layers, m, v, jnp.zeros((), dtype))
        self.version = jax.__version__

    def load(self, weights: list[Any]) -> None:
        """See `Rival.load`."""
        layers = [(jnp.array(W), jnp.zeros(W.shape[1], W.dtype)) for W in weights]
        self.state = jax.block_until_ready((layers, *self.state[1:]))

    def train(self, epochs: int) -> None:
        """See `Rival.train`."""
        state = self.state
        for _ in range(epochs):
            if self.shuffle == "host":
                order: Any = self.rng.permutation(len(self.X)).astype(np.int32)
            else:
                self.key, order = jax.random.split(self.key)
            state = _epoch(state, self.X, self.y, order, self.batch)
        self.state = jax.block_until_ready(state)

    def logits(self, X: Any) -> Any:
        """See `Rival.logits`."""
        return np.asarray(_outputs(self.state[0], X))
