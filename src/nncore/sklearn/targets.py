"""What classifiers share, and what regressors: their targets, and predictions from the outputs of a network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.special import expit, softmax
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.utils import column_or_1d
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets, type_of_target

from nncore._messages import shown
from nncore._utils.checks import as_numbers
from nncore._utils.fields import choice, number
from nncore.data.example_weights import balanced, check_sum
from nncore.losses import Hinge, Loss
from nncore.sklearn.estimator import Array, Examples

__all__ = ["Classifier", "Regressor", "check_labels", "weighted_by_class", "weights_of_classes"]


def _has_probabilities(estimator: Any) -> bool:
    loss = getattr(estimator, "_loss", getattr(estimator, "loss", None))  # fitted, or to be fitted
    if (isinstance(loss, str) and loss == "hinge") or isinstance(loss, Hinge):
        raise AttributeError("the outputs for the hinge loss are not probabilities")
    return True


def check_labels(y: Any) -> bool:
    """Whether there are several labels for each example."""
    kind = type_of_target(y, input_name="y")
    if kind not in ("binary", "multiclass", "multilabel-indicator"):
        check_classification_targets(y)  # which would find the kind again
    if kind == "multiclass-multioutput":
        raise ValueError("y must be labels (n,), or rows of 0 and 1 for several labels, got columns of several classes")
    return bool(kind == "multilabel-indicator")


def weights_of_classes(class_weight: Any, classes: Array, codes: Array, weights: Array | None) -> Array:
    """The weight of each class, (classes,): of a mapping, "balanced" or None. ``codes`` (n,): the classes of the examples."""
    if class_weight is None:
        return np.ones(len(classes))
    if not isinstance(class_weight, Mapping):
        choice("class_weight", class_weight, ("balanced",))
        return balanced(codes, len(classes), weights)
    given = {label: number(f"class_weight[{shown(label)}]", weight, 0) for label, weight in class_weight.items()}
    known = classes.tolist()
    unknown = [label for label in given if label not in known]
    if unknown and not given.keys() >= set(known):  # as in scikit-learn: labels that do not occur may be known in advance
        raise ValueError(f"class_weight must have labels among classes_, {classes}, as its keys, got {shown(unknown[0])}")
    return np.array([given.get(label, 1.0) for label in known])


def weighted_by_class(class_weight: Any, by_class: Array, weights: Array | None) -> Array:
    """Weights of examples by their classes, (n,), times their own weights: with a sum, and not all 0."""
    with np.errstate(over="ignore"):
        product = by_class if weights is None else by_class * weights
    check_sum(product, "class_weight" if weights is None else "class_weight times sample_weight")
    if not product.any():
        raise ValueError(f"class_weight must leave an example with a positive weight, got {class_weight}")
    return product


class Classifier(ClassifierMixin):
    """Mixin of the classifiers; the estimator has ``class_weight``, and defines the loss and the outputs of its network."""

    classes_: Array
    n_outputs_: int
    out_activation_: str
    class_weight: Any
    _loss: Loss
    _several: bool

    # --- targets

    def _first_targets(self, y: Any, classes: Any = None) -> Array:
        several = check_labels(y)
        if several:
            self.classes_ = np.arange(y.shape[1])
            self._check_number(classes)
        else:
            self.classes_ = np.unique(column_or_1d(y) if classes is None else classes)
        self._several = several
        return self._targets(y, warn=True)

    def _check_number(self, classes: Any) -> None:
        """Raise if several labels are not as many as the ``classes`` of `partial_fit`."""
        if classes is not None and len(classes) != len(self.classes_):
            raise ValueError(f"classes must be {len(self.classes_)}, one for each column of y, got {len(classes)}")

    def _targets(self, y: Any, warn: bool = False) -> Array:
        """Codes (n,), the positions of the labels in ``classes_``; or rows of 0 and 1."""
        if self._several:
            rows = y.toarray() if hasattr(y, "toarray") else np.asarray(y)
            if rows.ndim != 2 or rows.shape[1] != len(self.classes_):
                raise ValueError(f"y must have {len(self.classes_)} columns, one for each label, got shape {rows.shape}")
            wrong = rows[(rows != 0) & (rows != 1)]
            if wrong.size:
                raise ValueError(f"y must have rows of 0 and 1 for several labels, got {wrong[0]}")
            return rows.astype(np.int64)
        labels = column_or_1d(y, warn=warn)
        codes = np.searchsorted(self.classes_, labels)
        unknown = self.classes_[np.minimum(codes, len(self.classes_) - 1)] != labels
        if np.any(unknown):
            raise ValueError(f"y must have labels among classes_, {self.classes_}, got {shown(labels[unknown].tolist()[0])}")
        return codes.astype(np.int64)

    def _example_weights(self, targets: Array, weights: Array | None) -> Array | None:
        if self.class_weight is None:
            return weights
        by_class = self._weights_by_class(targets, weights)
        if not (np.isfinite(by_class) & (by_class >= 0)).all():
            raise ValueError(f"class_weight must have finite numbers of at least 0, got {self.class_weight}")
        return weighted_by_class(self.class_weight, by_class, weights)

    def _weights_by_class(self, targets: Array, weights: Array | None) -> Array:
        if not self._several:
            return weights_of_classes(self.class_weight, self.classes_, targets, weights)[targets]
        if isinstance(self.class_weight, str):
            choice("class_weight", self.class_weight, ("balanced",))
            return np.prod([balanced(column, 2, weights)[column] for column in targets.T.astype(np.int64)], axis=0)
        by_labels: Array = compute_sample_weight(self.class_weight, targets)
        return by_labels

    # --- predictions

    def _codes(self, outputs: Array) -> Array:
        """The classes by their codes, or rows of 0 and 1."""
        if self.n_outputs_ > 1 and not self._several:
            return outputs.argmax(axis=1)
        threshold = 0.0 if self._loss.fused_activation or isinstance(self._loss, Hinge) else 0.5
        yes = (outputs > threshold).astype(np.int64)
        return yes if self._several else np.minimum(yes[:, 0], len(self.classes_) - 1)

    def _score_outputs(self, outputs: Array, validation: Examples) -> float:
        """The accuracy, as `accuracy_score` has it in ten times the time of an epoch of a small network."""
        right = (self._codes(outputs) == validation.y).reshape(len(outputs), -1).all(axis=1)
        return float(np.average(right, weights=validation.weights))

    def predict(self, X: Any) -> Array:
        """The classes of the rows of X, (n,), or (n, labels) of 0 and 1.

        Parameters
        ----------
        X : as for ``fit``
        """
        codes = self._codes(self._outputs(X))
        return codes if self._several else self.classes_[codes]

    @available_if(_has_probabilities)
    def predict_proba(self, X: Any) -> Array:
        """The probabilities of the classes, (n, classes), in the order of ``classes_``; of each label with several labels.

        Parameters
        ----------
        X : as for ``fit``
        """
        p = self._outputs(X)
        if self._loss.fused_activation:
            p = softmax(p, axis=1) if self.out_activation_ == "softmax" else expit(p)
        if self._several:
            return p
        if self.n_outputs_ == 1:
            return np.hstack([1 - p, p]) if len(self.classes_) == 2 else np.ones_like(p)
        return p if self.out_activation_ == "softmax" else p / p.sum(axis=1, keepdims=True)

    @available_if(_has_probabilities)
    def predict_log_proba(self, X: Any) -> Array:
        """The logarithms of ``predict_proba``.

        Parameters
        ----------
        X : as for ``fit``
        """
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


class Regressor(RegressorMixin):
    """Mixin of the regressors; the estimator defines ``_predictions`` from the outputs of its network."""

    n_outputs_: int

    def _first_targets(self, y: Any, classes: Any = None) -> Array:
        return self._targets(y, warn=True)

    def _targets(self, y: Any, warn: bool = False) -> Array:
        targets = as_numbers(y, "y")
        return targets if targets.ndim == 2 and targets.shape[1] > 1 else np.asarray(column_or_1d(targets, warn=warn))

    def _predictions(self, outputs: Array) -> Array:
        raise NotImplementedError

    def _score_outputs(self, outputs: Array, validation: Examples) -> float:
        """R², the mean over the outputs, as of `r2_score`; of a constant target it is 1 or 0."""
        y, weights = validation.y.astype(np.float64), validation.weights  # squares of float16 overflow from 256 on
        error = np.average(np.square(y - self._predictions(outputs)), axis=0, weights=weights)
        variance = np.average(np.square(y - np.average(y, axis=0, weights=weights)), axis=0, weights=weights)
        return float(np.mean(np.where(variance > 0, 1 - error / np.where(variance > 0, variance, 1), error == 0)))

    def predict(self, X: Any) -> Array:
        """The predictions for the rows of X, (n,) or (n, outputs).

        Parameters
        ----------
        X : as for ``fit``
        """
        return self._predictions(self._outputs(X))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
