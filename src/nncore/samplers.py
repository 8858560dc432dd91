"""Samplers: choice and order of the examples in an epoch. ``trainer.fit(X, y, sampler=...)``.

An epoch over n examples always has n positions, which are divided into batches. Their examples depend only on the seed and the
number of the epoch, and for some samplers on the loss of each example when it was last trained on.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from nncore import _kernels
from nncore._messages import shown
from nncore._utils.arrays import read_only
from nncore._utils.checks import as_numbers
from nncore._utils.fields import Converted, Number, Value, flag
from nncore._utils.registry import classes
from nncore.data.example_weights import Float64, Int64, example_weights

__all__ = [
    "SAMPLERS", "Examples", "ImportanceSampling", "LargestLossFirst", "Sampler", "Sequential", "Shuffled", "Stratified",
    "Weighted", "WithReplacement",
]  # fmt: skip


@dataclass
class Examples:
    """Information about the examples that a sampler may use. Its arrays can only be read.

    Attributes
    ----------
    count : int
    seed : int
        The trainer's seed.
    labels : int64 array (count,) or None
        Classes; only for a sampler with ``uses_labels``.
    losses : float64 array (count,) or None
        Loss of each example when last trained on, sample weight included; only for a sampler with ``uses_losses``.
    """

    count: int
    seed: int
    labels: Int64 | None = None
    losses: Float64 | None = None

    def read_only(self) -> Examples:
        """The same with arrays that a sampler can only read, as training goes on with them."""
        if self.labels is None and self.losses is None:  # most often, and many members of an ensemble ask
            return self
        labels, losses = (None if array is None else read_only(array) for array in (self.labels, self.losses))
        return replace(self, labels=labels, losses=losses)


class Sampler(Value):
    """Base class: a subclass chooses the example at each position of an epoch.

    Attributes
    ----------
    uses_labels, uses_losses : bool
        Whether `Examples` must hold labels or losses. A sampler that uses losses starts with one evaluation pass over the data;
        afterwards each example keeps the loss of its last step.
    reweights : bool
        Whether the sampler multiplies the losses by factors.

    Examples
    --------
    A custom sampler:

    >>> class Backwards(Sampler):
    ...     def order(self, examples, epoch):
    ...         return np.arange(examples.count)[::-1]
    >>> Backwards().orders(Examples(count=3, seed=0), done=0, epochs=2)
    array([[2, 1, 0],
           [2, 1, 0]])
    """

    name: ClassVar[str] = "sampler"
    uses_labels: ClassVar[bool] = False
    uses_losses: ClassVar[bool] = False
    reweights: ClassVar[bool] = False

    def order(self, examples: Examples, epoch: int) -> Int64:
        """The example at each position of an epoch (counted from 1): (count,) indices from 0 to count − 1."""
        raise NotImplementedError

    def orders(self, examples: Examples, done: int, epochs: int) -> Int64 | None:
        """The orders of several epochs after the first ``done``, (epochs, count); None means 0, 1, 2, … in each."""
        each = range(done + 1, done + 1 + epochs)  # whose orders are copied one by one: they may all be the same array
        return np.concatenate([_table([self.order(examples, epoch)], self, examples.count, 1) for epoch in each])

    def factors(self, examples: Examples) -> Float64:
        """The factor (count,) on the loss of each example, for a sampler that ``reweights``."""
        return np.ones(examples.count)

    def take(self, chosen: Int64, count: int) -> Sampler:
        """The sampler restricted to some of the ``count`` examples, after a validation split."""
        return self

    def check(self, examples: Examples) -> None:
        """Raise if it cannot sample these examples."""


class Sequential(Sampler):
    """Example i at position i, in every epoch: ``fit(shuffle=False)``.

    Sorted data (for example by class) makes the parameters oscillate within each epoch.

    >>> Sequential().orders(Examples(count=3, seed=0), 0, 2) is None
    True
    """

    name = "sequential"

    def order(self, examples: Examples, epoch: int) -> Int64:
        return np.arange(examples.count)

    def orders(self, examples: Examples, done: int, epochs: int) -> Int64 | None:
        return None if _calls(self.order, Sequential.order) else super().orders(examples, done, epochs)


class Shuffled(Sampler):
    """A new permutation in every epoch, each example once: the default of ``fit``.

    >>> sorted(Shuffled().order(Examples(count=4, seed=0), epoch=7).tolist())
    [0, 1, 2, 3]
    """

    name = "shuffled"

    def order(self, examples: Examples, epoch: int) -> Int64:
        return np.asarray(_kernels.shuffled_orders(examples.count, 1, examples.seed, epoch - 1)[0])

    def orders(self, examples: Examples, done: int, epochs: int) -> Int64 | None:
        if not _calls(self.order, Shuffled.order):
            return super().orders(examples, done, epochs)
        return np.asarray(_kernels.shuffled_orders(examples.count, epochs, examples.seed, done))


class WithReplacement(Sampler):
    """Each position takes any example with probability 1/n, independently of all others: SGD as analyzed in theory.

    The gradient of a batch is an unbiased estimate regardless of previous draws. But in n draws about n/e ≈ 0.37 n examples are
    never taken, and the variance is larger than with a permutation, whose errors cancel within the epoch.

    >>> len(set(WithReplacement().order(Examples(count=1000, seed=0), epoch=1).tolist()))
    623
    """

    name = "with_replacement"

    def order(self, examples: Examples, epoch: int) -> Int64:
        return np.floor(_uniforms(examples, epoch) * examples.count).astype(np.int64)


def _weights(name: str, weights: ArrayLike) -> Float64:
    """A read-only copy of weights (n,)."""
    array = as_numbers(weights, name)
    checked = example_weights(array, array.size, name)
    checked.flags.writeable = False
    return checked


class Weighted(Sampler):
    """Each position takes example i with probability w_i / Σw, independently of all others.

    This minimizes Σ w_i l_i / Σw instead of the mean loss, without weights on the gradients: rare examples are *seen* more
    often. PyTorch's ``WeightedRandomSampler``.

    Parameters
    ----------
    weights : array_like (n,)
        Nonnegative, kept as a read-only copy. ``1 / np.bincount(y)[y]`` takes all classes equally often.

    Examples
    --------
    >>> y = np.array([0] * 90 + [1] * 10)
    >>> sampler = Weighted(1 / np.bincount(y)[y])
    >>> int(y[sampler.order(Examples(count=100, seed=0), epoch=1)].sum())
    52
    """

    name = "weighted"

    weights: Converted[ArrayLike, Float64] = Converted(_weights)

    def __init__(self, weights: ArrayLike) -> None:
        self.weights = weights

    def take(self, chosen: Int64, count: int) -> Weighted:
        weights = example_weights(self.weights, count, "weights of the sampler")[chosen]
        if not weights.any():
            raise ValueError(
                f"weights of {type(self).__name__} must have a positive number among the {len(chosen)} rows trained on"
            )
        other = copy.copy(self)
        other.weights = weights
        return other

    def check(self, examples: Examples) -> None:
        example_weights(self.weights, examples.count, "weights of the sampler")

    def order(self, examples: Examples, epoch: int) -> Int64:
        return _draw(self.weights, _uniforms(examples, epoch))

    def __repr__(self) -> str:
        return f"Weighted(<{len(self.weights)} weights>)"


class Stratified(Sampler):
    """A permutation in which every batch has nearly the class proportions of the data.

    Each class is shuffled separately and spread evenly: of the n_c examples of a class, the one of rank r = 0, 1, … is placed
    at the fraction (r + u_c)/n_c of the epoch, u_c ∈ [0, 1) drawn for each class and epoch. The number of examples of a class
    in a batch is then proportional to within one or two; in a plain permutation it varies by about its square root.

    >>> y = np.array([0] * 75 + [1] * 25)
    >>> order = Stratified().order(Examples(count=100, seed=0, labels=y), epoch=1)
    >>> y[order].reshape(10, 10).sum(axis=1).tolist()
    [3, 2, 3, 2, 3, 2, 3, 2, 3, 2]
    """

    name = "stratified"
    uses_labels = True

    def order(self, examples: Examples, epoch: int) -> Int64:
        shuffled = Shuffled().order(examples, epoch)
        assert examples.labels is not None
        _, code, count = np.unique(examples.labels[shuffled], return_inverse=True, return_counts=True)
        by_class = np.argsort(code, kind="stable")
        rank = np.empty(examples.count)
        rank[by_class] = np.arange(examples.count) - np.repeat(np.cumsum(count) - count, count)
        start = _uniforms(examples, epoch)[: len(count)]
        return np.asarray(shuffled[np.argsort((rank + start[code]) / count[code], kind="stable")])


class LargestLossFirst(Sampler):
    """Each example once per epoch, those with the largest loss first.

    l is the loss of each example when it was last trained on; ties keep their order. The batches at the beginning of an
    epoch contain only hard examples (including mislabeled ones), those at the end only easy ones. So the gradient of a batch is
    not an unbiased estimate, and the parameters oscillate within the epoch as with sorted data. The sampler is useful if steps
    on easy examples change almost nothing.

    >>> LargestLossFirst().order(Examples(count=3, seed=0, losses=np.array([0.1, 2.0, 0.5])), epoch=1)
    array([1, 2, 0])
    """

    name = "largest_loss_first"
    uses_losses = True

    def order(self, examples: Examples, epoch: int) -> Int64:
        assert examples.losses is not None
        return np.argsort(-examples.losses, kind="stable")


class ImportanceSampling(Sampler):
    """Examples with a large loss are taken more often, but with a smaller weight, so that the gradient stays unbiased.

    p_i = (1 − mix) l_i / Σl + mix / n, l the loss of each example when it was last trained on. Each position takes example i
    with probability p_i, and its loss and gradient are multiplied by 1/(n p_i) ≤ 1/mix: for any p, the expected gradient of a
    batch is that of the mean over all examples. Its variance is minimal for p ∝ ‖∇l_i‖, which the loss approximates.

    Accuracies recorded during training are those of the examples taken, which are harder than the average.

    Parameters
    ----------
    mix : float
        In (0, 1]. The fraction of uniform sampling: it bounds the factor and makes sure that low-loss examples are revisited.
        1 is `WithReplacement`.

    References
    ----------
    Needell, Srebro, Ward: Stochastic gradient descent, weighted sampling, and the randomized Kaczmarz algorithm (2014);
    Katharopoulos, Fleuret: Not all samples are created equal: deep learning with importance sampling (2018).

    >>> ImportanceSampling(mix=0.5).probabilities(np.array([0.0, 0.0, 1.0, 3.0]))
    array([0.125, 0.125, 0.25 , 0.5  ])
    """

    name = "importance_sampling"
    uses_losses = True
    reweights = True

    mix: Number = Number(above=0, most=1)

    def __init__(self, mix: float = 0.5) -> None:
        self.mix = mix

    def probabilities(self, losses: Float64) -> Float64:
        """p from the losses; negative losses count as 0."""
        losses = _without_overflow(np.maximum(losses, 0))
        total = losses.sum()
        proportional = losses / total if total > 0 else np.full(len(losses), 1 / len(losses))
        return (1 - self.mix) * proportional + self.mix / len(losses)

    def order(self, examples: Examples, epoch: int) -> Int64:
        assert examples.losses is not None
        return _draw(self.probabilities(examples.losses), _uniforms(examples, epoch))

    def factors(self, examples: Examples) -> Float64:
        assert examples.losses is not None
        return 1 / (examples.count * self.probabilities(examples.losses))


SAMPLERS = {cls.name: cls for cls in classes(Sampler, __name__)}


def get(sampler: Any, shuffle: Any = True) -> Sampler:
    """Make a sampler from an object or a name; None means the choice of ``shuffle``."""
    shuffle = flag("shuffle", shuffle)
    if sampler is None:
        return Shuffled() if shuffle else Sequential()
    if not shuffle:
        raise ValueError("shuffle=False and a sampler exclude each other, got both")
    if isinstance(sampler, Sampler):
        return sampler
    names = [name for name in SAMPLERS if name != "weighted"]  # it needs its weights
    if isinstance(sampler, str) and sampler in names:
        return SAMPLERS[sampler]()
    raise ValueError(f"sampler must be a Sampler or one of {', '.join(names)}, got {shown(sampler)}")


def checked_orders(sampler: Sampler, examples: Examples, count: int, done: int, epochs: int) -> Int64 | None:
    """The result of ``sampler.orders``, checked and in the form that a program reads."""
    orders = sampler.orders
    table = orders(examples.read_only(), done, epochs)
    own = _calls(orders, Sampler.orders, Sequential.orders, Shuffled.orders)  # already checked, and a new table each time
    if table is None or (own and table.shape == (epochs, count)):
        return table
    return _table(table, sampler, count, epochs)


def checked_factors(sampler: Sampler, examples: Examples) -> Float64:
    """The result of ``sampler.factors``, checked."""
    return example_weights(sampler.factors(examples.read_only()), examples.count, f"factors of {shown(sampler)}")


def _calls(method: Any, *functions: Any) -> bool:
    """Whether the method of an object is one of these functions; a subclass or the object itself may have another."""
    return getattr(method, "__func__", None) in functions


def _table(orders: Any, sampler: Sampler, count: int, epochs: int) -> Int64:
    """Orders as (epochs, count) int64 indices from 0 to count − 1: a copy, as the user may modify the table later."""
    expected = f"{shown(sampler)} must fill {count} places with examples from 0 to {count - 1}"
    array = as_numbers(orders, f"the orders of {shown(sampler)}")
    if array.dtype.kind not in "iu":
        raise ValueError(f"{expected}, got dtype {array.dtype}")
    if array.shape != (epochs, count):
        raise ValueError(f"{expected}, in an array of shape {(epochs, count)}, got shape {array.shape}")
    table = np.array(array, dtype=np.int64, order="C")
    if (array.dtype == np.uint64 and array.max() >= count) or table.view(np.uint64).max() >= count:  # below 0: very large
        raise ValueError(f"{expected}, got numbers from {array.min()} to {array.max()}")
    return table


def _without_overflow(weights: Float64) -> Float64:
    """Weights scaled by a power of two so that their sum is finite; this keeps their ratios to the bit."""
    return np.asarray(np.ldexp(weights, -np.frexp(weights.max())[1]))


def _uniforms(examples: Examples, epoch: int) -> Float64:
    """Numbers (count,) in [0, 1) from the counter-based Philox generator: they depend on (seed, epoch) alone."""
    raw = np.random.Philox(key=np.array([examples.seed, epoch - 1], dtype=np.uint64)).random_raw(examples.count)
    return (raw >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _draw(weights: Float64, uniforms: Float64) -> Int64:
    """The example i with w_0 + … + w_{i−1} ≤ u Σw < w_0 + … + w_i; never one of weight 0."""
    ends = np.cumsum(_without_overflow(weights))
    places = np.minimum(uniforms * ends[-1], np.nextafter(ends[-1], 0))
    return np.searchsorted(ends, places, side="right")
