"""Stochastic gradient descent of linear models, one example after the other.

W is (inputs, classes), b (classes,); an example is a row x of the data. With z = Wᵀx + b, the slopes ∂l/∂z and the learning
rate η:

    r = −η weight ∂l/∂z,    W ← max(0, 1 − λ₂η) W + x rᵀ,    b ← b + bias_factor r

The kernels keep W divided by a scale and catch up with penalties and averages; here every step computes all of W.
"""

from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ._common import Array
from .gather import Integers

__all__ = ["Trained", "online_csr", "online_loss", "online_rows", "online_settle"]

STEEPEST = 1e12  # slopes are limited to this


class Trained(NamedTuple):
    """What an epoch makes of the weights and biases: their averages, the losses of the examples (n, classes), and for each
    class the sum of losses and penalties."""

    W: Array
    b: Array
    average: Array
    average_bias: Array
    losses: Array
    objective: Array


def online_loss(kind: str, z: Array, y: Array, epsilon: float = 0.1) -> tuple[Array, Array]:
    """Loss and slope ∂l/∂z of outputs z (classes,) for targets y; 1 or −1 where they are classes.

    >>> loss, slope = online_loss("hinge", np.array([0.25, -2.0]), np.array([1.0, -1.0]))
    >>> loss.tolist(), slope.tolist()
    ([0.75, 0.0], [-1.0, 0.0])
    """
    margin, error = y * z, z - y
    beyond = np.maximum(np.abs(error) - epsilon, 0)
    short_by = np.maximum(1 - margin, 0)
    if kind in ("hinge", "perceptron"):
        least = 1.0 if kind == "hinge" else 0.0
        return np.maximum(least - margin, 0), np.where(margin <= least, -y, 0.0)
    if kind == "softmax":
        p = np.exp(z - z.max()) / np.exp(z - z.max()).sum()
        return np.where(y > 0, -np.log(p), 0), p - (y > 0)
    pairs: dict[str, Callable[[], tuple[Array, Array]]] = {
        "squared_hinge": lambda: (short_by**2, -2 * y * short_by),
        "log_loss": lambda: (np.logaddexp(0, -margin), -y / (1 + np.exp(margin))),
        "modified_huber": lambda: (
            np.where(margin >= -1, short_by**2, -4 * margin), np.where(margin >= -1, -2 * y * short_by, -4 * y)
        ),
        "squared_error": lambda: (error**2 / 2, error),
        "huber": lambda: (
            np.where(np.abs(error) <= epsilon, error**2 / 2, epsilon * (np.abs(error) - epsilon / 2)),
            np.clip(error, -epsilon, epsilon),
        ),
        "epsilon_insensitive": lambda: (beyond, np.sign(error) * (beyond > 0)),
        "squared_epsilon_insensitive": lambda: (beyond**2, 2 * np.sign(error) * beyond),
    }  # fmt: skip
    return pairs[kind]()


def online_rows(W: Array, b: Array, X: Array, targets: Array, rates: Array, **options: Any) -> Trained:
    """The examples X (n, inputs) in their order, each with its learning rate; the options are those of `online_csr`.

    >>> W, b = np.zeros((2, 1)), np.zeros(1)
    >>> trained = online_rows(W, b, np.array([[1.0, 2.0]]), np.array([3.0]), np.array([0.1]), kind="squared_error")
    >>> trained.W.ravel().round(2).tolist(), trained.b.round(2).tolist(), trained.losses.tolist()
    ([0.3, 0.6], [0.3], [[4.5]])
    """
    columns = np.arange(X.shape[1])
    return _epoch(W, b, ((columns, x) for x in X), targets, rates, **options)


def online_csr(
    W: Array, b: Array, values: Array, columns: Integers, starts: Integers, targets: Array, rates: Array, **options: Any
) -> Trained:
    """The same for the rows of a sparse matrix.

    Options, with their defaults: ``kind`` "hinge", the loss; ``labels`` (classes,), the class of each output, else targets
    are numbers; ``weights`` (n,); ``positive`` and ``negative`` (classes,), more weights where y > 0 and elsewhere; ``rule``
    "scheduled", "pa1" or "pa2" (passive-aggressive); ``l2``, ``l1``, ``bias_factor`` 1; ``epsilon``, ``aggressiveness``;
    ``average_from`` 1, the number of the first example that counts in the averages.

    >>> W, b = np.zeros((2, 1)), np.zeros(1)
    >>> row = np.array([2.0]), np.array([1]), np.array([0, 1])
    >>> online_csr(W, b, *row, np.array([3.0]), np.array([0.1]), kind="squared_error").W.ravel().round(2).tolist()
    [0.0, 0.6]
    """
    rows = ((columns[i:j], values[i:j]) for i, j in pairwise(starts))
    return _epoch(W, b, rows, targets, rates, **options)


def online_settle(W: Array, average: Array, scale: Array, kept: Array, divisor: Array) -> tuple[Array, Array]:
    """W and its average from what the kernels keep of them: scale W, and (average + kept W)/divisor.

    >>> W, average = online_settle(np.array([[2.0]]), np.array([[1.0]]), np.array([0.5]), np.array([3.0]), np.array([7.0]))
    >>> W.tolist(), average.tolist()
    ([[1.0]], [[1.0]])
    """
    return scale * W, (average + kept * W) / divisor


def _epoch(
    W: Array, b: Array, rows: Iterable[tuple[NDArray[Any], Array]], targets: Array, rates: Array, *, kind: str = "hinge",
    labels: Array | None = None, weights: Array | None = None, positive: Any = 1.0, negative: Any = 1.0,
    rule: str = "scheduled", l2: float = 0.0, l1: float = 0.0, epsilon: float = 0.1, aggressiveness: float = 1.0,
    bias_factor: float = 1.0, average_from: int = 1,
) -> Trained:  # fmt: skip
    W, b = W.copy(), b.copy()
    average, average_bias, lost = np.zeros_like(W), np.zeros_like(b), np.zeros_like(W)
    losses = np.zeros((len(targets), len(b)))
    shrunk, steps, objective = 0.0, 0, np.zeros_like(b)
    for i, (columns, x) in enumerate(rows):
        y = np.full(len(b), targets[i]) if labels is None else np.where(labels == targets[i], 1.0, -1.0)
        z = x @ W[columns] + b
        losses[i], slope = online_loss(kind, z, y, epsilon)
        objective += losses[i] + (l2 / 2 * (W**2).sum(axis=0) + l1 * np.abs(W).sum(axis=0) if rule == "scheduled" else 0)
        length = x @ x
        if rule == "scheduled":
            r = -rates[i] * np.clip(slope, -STEEPEST, STEEPEST)
        elif rule == "pa1" and length == 0:
            continue
        else:
            size = losses[i] / (length if rule == "pa1" else length + 0.5 / aggressiveness)
            r = -np.sign(slope) * (np.minimum(size, aggressiveness) if rule == "pa1" else size)
        r = r * np.where(y > 0, positive, negative) * (1 if weights is None else weights[i])
        W *= max(0, 1 - l2 * rates[i])
        np.add.at(W, columns, np.outer(x, r))
        b += bias_factor * r
        steps += 1
        shrunk += l1 * rates[i]
        if steps >= average_from:
            average += (W - average) / (steps - average_from + 1)
            average_bias += (b - average_bias) / (steps - average_from + 1)
        if l1:  # cumulative: on the columns of x only, each with what it has not lost yet
            before, old = W[columns], lost[columns]
            less, more = np.maximum(0, before - (shrunk + old)), np.minimum(0, before + (shrunk - old))
            W[columns] = np.where(before > 0, less, np.where(before < 0, more, 0))
            lost[columns] += W[columns] - before
    return Trained(W, b, average, average_bias, losses, objective)
