"""Samplers: which examples an epoch takes, and in which order. ``trainer.fit(X, y, sampler=...)``.

An epoch over n examples always has n places, which are cut into batches. What fills them depends on the seed and the number of
the epoch alone, and for some samplers on the loss that each example had when it was last trained on.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nncore import _kernels
from nncore._messages import shown
from nncore._utils.checks import as_numbers
from nncore._utils.fields import Number, Value, flag
from nncore._utils.registry import classes
from nncore.data.example_weights import example_weights

__all__ = [
    "SAMPLERS", "Examples", "ImportanceSampling", "LargestLossFirst", "Sampler", "Sequential", "Shuffled", "Stratified",
    "Weighted", "WithReplacement",
]  # fmt: skip

Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]


@dataclass
class Examples:
    """What a sampler may know of the examples that there are.

    Attributes
    ----------
    count : int
    seed : int
        The trainer's.
    labels : int64 array (count,) or None
        Classes; only for a sampler with ``uses_labels``.
    losses : float64 array (count,) or None
        The loss of each when it was last trained on, its sample weight included; only for one with ``uses_losses``.
    """

    count: int
    seed: int
    labels: Int64 | None = None
    losses: Float64 | None = None


class Sampler(Value):
    """Base: a subclass says with which examples the places of an epoch are filled.

    Attributes
    ----------
    uses_labels, uses_losses : bool
        What `Examples` must hold. A sampler that uses the losses begins with one pass of evaluation over the data; then each
        example keeps the loss of the last step that it was in.
    weighs : bool
        Does it give the examples weights of its own?

    Examples
    --------
    A sampler of your own:

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
    weighs: ClassVar[bool] = False

    def order(self, examples: Examples, epoch: int) -> Int64:
        """Which example each place of an epoch, from 1, takes: (count,) numbers from 0 to count − 1."""
        raise NotImplementedError

    def orders(self, examples: Examples, done: int, epochs: int) -> Int64 | None:
        """The same for some epochs after those ``done``, (epochs, count); None stands for 0, 1, 2, … in each."""
        rows = [self.order(examples, epoch) for epoch in range(done + 1, done + 1 + epochs)]
        return _table(rows, self, examples.count, epochs)

    def factors(self, examples: Examples) -> Float64:
        """The factor (count,) on the loss of each example, for a sampler that ``weighs``."""
        return np.ones(examples.count)

    def take(self, chosen: Int64, count: int) -> Sampler:
        """The sampler for some of the examples, of which there are so many: what a validation split leaves."""
        return self

    def check(self, examples: Examples) -> None:
        """Raise if it cannot sample these."""


class Sequential(Sampler):
    """Example i in place i, in every epoch: ``fit(shuffle=False)``.

    Data in an order of its own (all of one class first) makes the parameters swing to and fro in each epoch.

    >>> Sequential().orders(Examples(count=3, seed=0), 0, 2) is None
    True
    """

    name = "sequential"

    def order(self, examples: Examples, epoch: int) -> Int64:
        return np.arange(examples.count)

    def orders(self, examples: Examples, done: int, epochs: int) -> Int64 | None:
        return None if type(self).order is Sequential.order else super().orders(examples, done, epochs)


class Shuffled(Sampler):
    """A new permutation in every epoch, each example once: what ``fit`` does by default.

    >>> sorted(Shuffled().order(Examples(count=4, seed=0), epoch=7).tolist())
    [0, 1, 2, 3]
    """

    name = "shuffled"

    def order(self, examples: Examples, epoch: int) -> Int64:
        return np.asarray(_kernels.shuffled_orders(examples.count, 1, examples.seed, epoch - 1)[0])

    def orders(self, examples: Examples, done: int, epochs: int) -> Int64 | None:
        if type(self).order is not Shuffled.order:
            return super().orders(examples, done, epochs)
        return np.asarray(_kernels.shuffled_orders(examples.count, epochs, examples.seed, done))


class WithReplacement(Sampler):
    """Each place takes any example with probability 1/n, independently of all others: the SGD of the theorems.

    The gradient of a batch is an unbiased estimate whatever came before; but of n draws about n/e ≈ 0.37 n examples are never
    taken, and the estimate varies more than that of a permutation, whose errors cancel within the epoch.

    >>> len(set(WithReplacement().order(Examples(count=1000, seed=0), epoch=1).tolist()))
    623
    """

    name = "with_replacement"

    def order(self, examples: Examples, epoch: int) -> Int64:
        return np.floor(_uniforms(examples, epoch) * examples.count).astype(np.int64)


class Weighted(Sampler):
    """Each place takes example i with probability w_i / Σw, independently of all others.

    Minimises Σ w_i l_i / Σw, another loss than the mean, without a weight on any gradient: rare examples are *seen* more often.
    PyTorch's ``WeightedRandomSampler``.

    Parameters
    ----------
    weights : array_like (n,)
        At least 0. ``1 / np.bincount(y)[y]`` takes all classes equally often.

    >>> y = np.array([0] * 90 + [1] * 10)
    >>> sampler = Weighted(1 / np.bincount(y)[y])
    >>> int(y[sampler.order(Examples(count=100, seed=0), epoch=1)].sum())
    52
    """

    name = "weighted"

    def __init__(self, weights: ArrayLike) -> None:
        self.weights = weights

    @property
    def weights(self) -> Float64:
        """Of each example; a copy that is read-only. Others may be assigned."""
        return self._weights

    @weights.setter
    def weights(self, weights: ArrayLike) -> None:
        array = as_numbers(weights, "weights")
        self._weights = example_weights(array, array.size, "weights")
        self._weights.flags.writeable = False

    def take(self, chosen: Int64, count: int) -> Weighted:
        weights = example_weights(self._weights, count, "weights of the sampler")[chosen]
        if not weights.any():
            raise ValueError(
                f"weights of {type(self).__name__} must have a positive number among the {len(chosen)} rows trained on"
            )
        other = copy.copy(self)
        other._weights = weights
        return other

    def check(self, examples: Examples) -> None:
        example_weights(self._weights, examples.count, "weights of the sampler")

    def order(self, examples: Examples, epoch: int) -> Int64:
        return _draw(self._weights, _uniforms(examples, epoch))

    def config(self) -> dict[str, Any]:
        """The constructor's arguments, ready for JSON."""
        return {"weights": self._weights.tolist()}

    def __repr__(self) -> str:
        return f"Weighted(<{len(self._weights)} weights>)"


class Stratified(Sampler):
    """A permutation in which every batch has nearly the classes' shares of the whole.

    Each class is shuffled by itself and spread evenly: of n_c examples of a class the one of rank r = 0, 1, … comes to
    (r + u_c)/n_c of the epoch, u_c ∈ [0, 1) drawn for each class and epoch. A batch then holds of each class what its share
    is, to within one or two examples; in a plain permutation the number varies by about its square root.

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
    """Each example once an epoch, those with the largest loss first.

    l is the loss each example had when it was last trained on; equals keep their order. The batches at the beginning of an
    epoch are all hard examples (wrong labels among them), those at the end all easy ones: a batch's gradient is no longer an
    estimate of the whole one, and the parameters swing within the epoch as with data in order. It pays where a step on an easy
    example changes next to nothing.

    >>> LargestLossFirst().order(Examples(count=3, seed=0, losses=np.array([0.1, 2.0, 0.5])), epoch=1)
    array([1, 2, 0])
    """

    name = "largest_loss_first"
    uses_losses = True

    def order(self, examples: Examples, epoch: int) -> Int64:
        assert examples.losses is not None
        return np.argsort(-examples.losses, kind="stable")


class ImportanceSampling(Sampler):
    """Examples with a large loss are taken more often, and count less each time, so that the gradient stays unbiased.

    p_i = (1 − mix) l_i / Σl + mix / n, l the loss each example had when it was last trained on. Each place takes example i
    with probability p_i, and its loss and gradient are multiplied by 1/(n p_i) ≤ 1/mix: the expected gradient of a batch is
    that of the mean over all examples, whatever p is. Its variance is least for p ∝ ‖∇l_i‖, for which the loss stands in.

    Accuracies that are recorded while training are those of the examples taken, so of harder ones than the average.

    Parameters
    ----------
    mix : float
        In (0, 1]. The share of uniform sampling: what bounds the factor, and brings round examples whose loss was small. 1 is
        `WithReplacement`.

    References
    ----------
    Needell, Srebro, Ward: Stochastic gradient descent, weighted sampling, and the randomized Kaczmarz algorithm (2014);
    Katharopoulos, Fleuret: Not all samples are created equal: deep learning with importance sampling (2018).

    >>> ImportanceSampling(mix=0.5).probabilities(np.array([0.0, 0.0, 1.0, 3.0]))
    array([0.125, 0.125, 0.25 , 0.5  ])
    """

    name = "importance_sampling"
    uses_losses = True
    weighs = True

    mix: Number = Number(above=0, most=1)

    def __init__(self, mix: float = 0.5) -> None:
        self.mix = mix

    def probabilities(self, losses: Float64) -> Float64:
        """p from the losses; a loss below 0 counts as 0."""
        losses = _without_overflow(np.maximum(losses, 0))
        total = losses.sum()
        share = losses / total if total > 0 else np.full(len(losses), 1 / len(losses))
        return (1 - self.mix) * share + self.mix / len(losses)

    def order(self, examples: Examples, epoch: int) -> Int64:
        assert examples.losses is not None
        return _draw(self.probabilities(examples.losses), _uniforms(examples, epoch))

    def factors(self, examples: Examples) -> Float64:
        assert examples.losses is not None
        return 1 / (examples.count * self.probabilities(examples.losses))


SAMPLERS = {cls.name: cls for cls in classes(Sampler, __name__)}


def get(sampler: Any, shuffle: Any = True) -> Sampler:
    """A sampler from itself or its name; None stands for what ``shuffle`` says."""
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
    """What ``sampler.orders`` says, in a form that a program can take."""
    table = sampler.orders(examples, done, epochs)
    own = type(sampler).orders.__module__ == __name__  # which check what a subclass draws, and make a new table each time
    if table is None or (own and table.shape == (epochs, count)):
        return table
    return _table(table, sampler, count, epochs)


def _table(orders: Any, sampler: Sampler, count: int, epochs: int) -> Int64:
    """Orders as (epochs, count) int64 numbers from 0 to count − 1: a copy, as the user may go on writing into the table."""
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
    """Weights whose sum is finite: times a power of two, which leaves their ratios as they are, to the bit."""
    return np.asarray(np.ldexp(weights, -np.frexp(weights.max())[1]))


def _uniforms(examples: Examples, epoch: int) -> Float64:
    """Numbers (count,) in [0, 1) from the counter-based Philox generator: they depend on (seed, epoch) alone."""
    raw = np.random.Philox(key=np.array([examples.seed, epoch - 1], dtype=np.uint64)).random_raw(examples.count)
    return (raw >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _draw(weights: Float64, uniforms: Float64) -> Int64:
    """Example i where u Σw falls between w_0 + … + w_{i−1} and w_0 + … + w_i; never one of weight 0."""
    ends = np.cumsum(_without_overflow(weights))
    places = np.minimum(uniforms * ends[-1], np.nextafter(ends[-1], 0))
    return np.searchsorted(ends, places, side="right")
