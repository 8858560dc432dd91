"""Weights of examples: given one by one, or by class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncore._messages import shown
from nncore._utils.checks import as_numbers
from nncore._utils.fields import number

__all__ = ["balanced", "check_sum", "class_labels", "class_weights", "example_weights", "summable_weights"]

Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]


def example_weights(weights: Any, n: int, argument: str = "sample_weight") -> Float64:
    """Weights (n,) in float64: finite, at least 0, and not all 0."""
    if isinstance(weights, (str, Mapping)):
        raise TypeError(
            f"{argument} must be an array with a number for each example, got {shown(weights)}: weights by class, a mapping or "
            "'balanced', are class_weight, an argument of fit"
        )
    with np.errstate(over="ignore"):  # what is too large becomes infinite, which is refused
        array = as_numbers(weights, argument).astype(np.float64)
    if array.shape != (n,):
        raise ValueError(f"{argument} must have shape ({n},), one number for each example, got {array.shape}")
    bad = np.flatnonzero(~(np.isfinite(array) & (array >= 0)))
    if len(bad):
        raise ValueError(f"{argument} must be finite and at least 0, got {array[bad[0]]} for example {bad[0]}")
    if not array.any():
        raise ValueError(f"{argument} must have a positive number, got zeros only")
    return array


def summable_weights(weights: Any, n: int, argument: str) -> Float64:
    """As `example_weights`, with a mean."""
    array = example_weights(weights, n, argument)
    check_sum(array, argument)
    return array


def check_sum(weights: Float64, argument: str) -> None:
    """Raise if there is no mean of the weights."""
    with np.errstate(over="ignore"):
        if not np.isfinite(weights.sum()):
            raise ValueError(f"{argument} is too large: its sum overflows in float64")


def class_labels(y: Any, argument: str) -> Int64:
    """The class of each example as an integer: labels unchanged, the position of the 1 in one-hot rows of 0 or −1 and 1.

    >>> class_labels([[0, 1], [1, 0]], "class_weight")
    array([1, 0])
    """
    array = as_numbers(y, "y")
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim == 2 and ((array == 1).sum(axis=1) == 1).all() and np.unique(array[array != 1]).tolist() in ([0], [-1]):
        return array.argmax(axis=1).astype(np.int64)
    if array.ndim != 1 or not (np.isfinite(array) & (array == np.floor(array))).all():
        raise ValueError(f"{argument} needs classes: y must be integer labels or one-hot rows, got shape {array.shape}")
    return array.astype(np.int64)


def class_weights(class_weight: Any, labels: Int64, outputs: int, weights: Float64 | None = None) -> Float64:
    """The weight of each example by its class.

    Parameters
    ----------
    class_weight : mapping of label to number, or "balanced"
        Other labels have weight 1. "balanced": see `balanced`.
    labels : array (n,)
    outputs : int
        Of the network. With one output the labels are 0 and 1, or −1 and 1.
    weights : array (n,), optional
        Of the examples, where "balanced" counts them.

    Examples
    --------
    >>> class_weights("balanced", np.array([0, 0, 0, 1]), outputs=2)
    array([0.66666667, 0.66666667, 0.66666667, 2.        ])
    >>> class_weights({1: 5}, np.array([0, 0, 0, 1]), outputs=2)
    array([1., 1., 1., 5.])
    """
    if isinstance(class_weight, str) and class_weight == "balanced":
        classes, codes = np.unique(labels, return_inverse=True)
        return balanced(codes, len(classes), weights)[codes]
    if not isinstance(class_weight, Mapping):
        meant = "; dict(enumerate(weights)) makes one" if isinstance(class_weight, (list, tuple, np.ndarray)) else ""
        raise ValueError(f"class_weight must be a mapping of labels to numbers or 'balanced', got {shown(class_weight)}{meant}")
    names = _names(labels, outputs)
    by_label = np.ones(len(labels))
    for name, value in class_weight.items():
        if isinstance(name, (bool, np.bool_)) or not isinstance(name, (int, np.integer)) or name not in names:
            raise ValueError(f"class_weight must have labels from {min(names)} to {max(names)} as its keys, got {shown(name)}")
        by_label[labels == name] = number(f"class_weight[{name}]", value, 0.0)
    if not by_label.any():
        raise ValueError("class_weight must leave an example with a positive weight, got zeros only")
    return by_label


def balanced(codes: Int64, classes: int, weights: Float64 | None) -> Float64:
    """The weights W / (k W_c) of classes, (classes,): each class has the same total weight, and that of all stays W.

    W_c is the sum of the weights wᵢ of the examples of class c (without weights their number), W that of all, and k the number
    of classes with W_c > 0; the others, which weigh nothing, get 1. As in scikit-learn, an example of weight 2 counts as two,
    one of weight 0 not at all.

    Parameters
    ----------
    codes : array (n,)
        The classes of the examples, from 0 to ``classes`` − 1.
    classes : int
    weights : array (n,), optional

    Examples
    --------
    >>> balanced(np.array([0, 0, 0, 1]), 2, None)
    array([0.66666667, 2.        ])
    >>> balanced(np.array([0, 0, 0, 1]), 2, np.array([1.0, 0.0, 0.0, 1.0]))
    array([1., 1.])
    """
    totals = np.bincount(codes, weights, minlength=classes).astype(np.float64)
    found = totals > 0
    by_class = np.ones(classes)
    by_class[found] = totals.sum() / (found.sum() * totals[found])
    return by_class


def _names(labels: Int64, outputs: int) -> set[int]:
    if outputs > 1:
        return set(range(outputs))
    for names in ({0, 1}, {-1, 1}):
        if np.isin(labels, list(names)).all():
            return names
    raise ValueError(f"class_weight needs labels 0 and 1, or -1 and 1, with one output, got {np.unique(labels)[:5].tolist()}")
