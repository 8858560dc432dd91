"""The classifier."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import expit, softmax
from sklearn.base import ClassifierMixin
from sklearn.utils import column_or_1d
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets, type_of_target

from nncore import losses
from nncore._messages import shown
from nncore.layers import Layer, Sigmoid, Softmax
from nncore.losses import Hinge, Loss
from nncore.sklearn.base import Array, BaseMLP, Examples, _has_gradient_steps
from nncore.sklearn.parameters import documented

__all__ = ["MLPClassifier"]


def _has_probabilities(estimator: Any) -> bool:
    if estimator.loss == "hinge" or isinstance(estimator.loss, Hinge):
        raise AttributeError("the outputs for the hinge loss are not probabilities")
    return True


@documented
class MLPClassifier(ClassifierMixin, BaseMLP):
    """Multi-layer perceptron classifier: scikit-learn's, trained by nncore.

    Every parameter and fitted attribute of ``sklearn.neural_network.MLPClassifier`` has the same meaning and default; the
    parameters from ``loss`` on are new. Labels may be of any type; rows of 0 and 1 are several labels for each example.

    Parameters
    ----------
    {parameters}
    loss : str, Loss or callable, default "log_loss"
        Minimized. "log_loss" is the cross-entropy after a softmax, or after sigmoids for two classes or several labels. Other
        losses of nncore see probabilities, "hinge" sees margins.
    class_weight : dict or "balanced", optional
        Weights of the classes; they multiply ``sample_weight``.
    {new_parameters}

    Attributes
    ----------
    classes_ : ndarray
    {attributes}

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_iris
    >>> from nncore.sklearn import MLPClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> names = np.array(["setosa", "versicolor", "virginica"])[y]
    >>> classifier = MLPClassifier(learning_rate_init=0.01, random_state=0).fit(X, names)
    >>> classifier.predict(X[:1]), classifier.score(X, names) > 0.95
    (array(['setosa'], dtype='<U10'), True)
    """

    def __init__(
        self, hidden_layer_sizes: Any = (100,), activation: Any = "relu", *, solver: str = "adam", alpha: float = 0.0001,
        batch_size: int | str = "auto", learning_rate: str = "constant", learning_rate_init: float = 0.001,
        power_t: float = 0.5, max_iter: int = 200, shuffle: bool = True, random_state: Any = None, tol: float = 1e-4,
        verbose: bool = False, warm_start: bool = False, momentum: float = 0.9, nesterovs_momentum: bool = True,
        early_stopping: bool = False, validation_fraction: float = 0.1, beta_1: float = 0.9, beta_2: float = 0.999,
        epsilon: float = 1e-8, n_iter_no_change: float = 10, max_fun: int = 15000, loss: Any = "log_loss",
        class_weight: Any = None, dropout: Any = 0.0, normalization: str | None = None, optimizer: Any = None,
        schedule: Any = None, clip: Any = None, regularizer: Any = None, weight_init: Any = None, dtype: Any = "float32",
        callbacks: Any = None, monitor: str = "score",
    ) -> None:  # fmt: skip
        self._keep(locals())

    @available_if(_has_gradient_steps)
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None, classes: Any = None) -> Any:
        """Update the network by one pass over X; the optimizer's state is kept from call to call.

        Parameters
        ----------
        X, y, sample_weight : as for ``fit``
        classes : array-like
            All classes of all calls; needed in the first one. For several labels, their number counts.
        """
        if not hasattr(self, "trainer_") and classes is None:
            raise ValueError("classes must be passed on the first call to partial_fit.")
        if self.class_weight == "balanced":
            raise ValueError("class_weight must be a dict for partial_fit, which does not see all data, got 'balanced'")
        return self._fit(X, y, sample_weight, incremental=True, classes=None if classes is None else np.unique(classes))

    # --- targets

    def _fit_targets(self, y: Any, first: bool, classes: Any) -> Array:
        kind = type_of_target(y, input_name="y")
        if kind not in ("binary", "multiclass", "multilabel-indicator"):
            check_classification_targets(y)  # which would find the kind again
        if kind == "multiclass-multioutput":
            raise ValueError("y must be labels (n,), or rows of 0 and 1 for several labels, got columns of several classes")
        if not first:
            self._check_classes(y, classes)
        else:
            self._several = kind == "multilabel-indicator"
            if self._several:
                self.classes_ = np.arange(y.shape[1])
            else:
                self.classes_ = np.unique(column_or_1d(y) if classes is None else classes)
        return self._targets(y, warn=True)

    def _check_classes(self, y: Any, given: Array | None) -> None:
        if given is not None and not self._several and not np.array_equal(given, self.classes_):
            raise ValueError(f"classes must be those of the first call, {self.classes_}, got {given}")
        if self.warm_start and not self._several and set(np.unique(column_or_1d(y))) != set(self.classes_):
            raise ValueError(
                f"warm_start can only be used where y has the same classes as in the previous call to fit, {self.classes_}, "
                f"got {np.unique(column_or_1d(y))}"
            )

    def _targets(self, y: Any, warn: bool = False) -> Array:
        """Codes (n,), the positions of the labels in ``classes_``; or rows of 0 and 1."""
        if self._several:
            rows = y.toarray() if hasattr(y, "toarray") else np.asarray(y)
            if rows.ndim != 2 or rows.shape[1] != len(self.classes_):
                raise ValueError(f"y must have {len(self.classes_)} columns, one for each label, got shape {rows.shape}")
            return rows.astype(np.int64)
        labels = column_or_1d(y, warn=warn)
        codes = np.searchsorted(self.classes_, labels)
        unknown = self.classes_[np.minimum(codes, len(self.classes_) - 1)] != labels
        if np.any(unknown):
            raise ValueError(f"y must have labels among classes_, {self.classes_}, got {shown(labels[unknown].tolist()[0])}")
        return codes.astype(np.int64)

    def _example_weights(self, y: Any, weights: Array | None) -> Array | None:
        if self.class_weight is None:
            return weights
        by_class: Array = compute_sample_weight(self.class_weight, y)
        return by_class if weights is None else by_class * weights

    def _output(self, y: Array) -> tuple[Loss, int, str, Layer | None]:
        k = len(self.classes_)
        exclusive = k > 2 and not self._several
        outputs, link = (k, "softmax") if exclusive else (k if self._several else 1, "logistic")
        if isinstance(self.loss, str) and self.loss == "log_loss":
            return losses.get("softmax_cross_entropy" if exclusive else "sigmoid_cross_entropy"), outputs, link, None
        loss = losses.get(self.loss)
        if isinstance(loss, Hinge):
            return loss, outputs, "identity", None
        if loss.fused_activation:
            return loss, outputs, {"sigmoid": "logistic"}.get(loss.fused_activation, loss.fused_activation), None
        return loss, outputs, link, Softmax() if exclusive else Sigmoid()

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
        X : array-like or sparse matrix, (n, features)
        """
        codes = self._codes(self._outputs(X))
        return codes if self._several else self.classes_[codes]

    @available_if(_has_probabilities)
    def predict_proba(self, X: Any) -> Array:
        """The probabilities of the classes, (n, classes), in the order of ``classes_``; of each label with several labels.

        Parameters
        ----------
        X : array-like or sparse matrix, (n, features)
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
        X : array-like or sparse matrix, (n, features)
        """
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags
