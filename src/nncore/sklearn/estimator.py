"""The base of all estimators: what they do with data, and what they tell of their network."""

from __future__ import annotations

from typing import Any, NamedTuple

from numpy.typing import NDArray
from sklearn.base import BaseEstimator

from nncore.data.example_weights import example_weights
from nncore.history import History

__all__ = ["SEEDS", "Array", "Examples", "NetworkEstimator"]

Array = NDArray[Any]
SEEDS = 2**31 - 1


class Examples(NamedTuple):
    """Checked inputs, targets as the loss takes them, and weights."""

    X: Any
    y: Array
    weights: Array | None

    def take(self, rows: Array) -> Examples:
        """Some of the examples."""
        return Examples(self.X[rows], self.y[rows], None if self.weights is None else self.weights[rows])

    def given(self) -> tuple[Any, ...]:
        """As ``validation_data``."""
        return tuple(part for part in self if part is not None)

    def normalized(self) -> tuple[Examples, float]:
        """With weights of mean 1, and their mean before: the loss is Σ w_i l_i / Σ w_i."""
        if self.weights is None:
            return self, 1.0
        mean = float(self.weights.mean())
        return self._replace(weights=self.weights / mean if mean else self.weights), mean or 1.0


class NetworkEstimator(BaseEstimator):
    """Base of the estimators; `Classifier` and `Regressor` are mixins that know the targets."""

    _doc_link_module = "nncore"
    _doc_link_template = "api/sklearn.html#nncore.sklearn.{estimator_name}"

    def _keep(self, arguments: dict[str, Any]) -> None:
        """Store the arguments of the constructor as they are."""
        for name, value in arguments.items():
            if name != "self":
                setattr(self, name, value)

    # --- defined by a mixin

    def _first_targets(self, y: Any, classes: Any = None) -> Array:
        """The targets of a first fit; ``classes`` as for ``partial_fit``."""
        raise NotImplementedError

    def _targets(self, y: Any) -> Array:
        """Targets of a fitted estimator, as the loss takes them."""
        raise NotImplementedError

    def _example_weights(self, y: Any, weights: Array | None) -> Array | None:
        """Weights by example and by class."""
        return weights

    def _score_outputs(self, outputs: Array, validation: Examples) -> float:
        """The validation score."""
        raise NotImplementedError

    # --- defined by a subclass

    def _validated(self, X: Any, y: Any, reset: bool) -> tuple[Any, Any]:
        """Checked data; ``reset``: to be fitted to."""
        raise NotImplementedError

    def _fit(self, X: Any, y: Any, sample_weight: Any, validation: tuple[Any, ...]) -> Any:
        raise NotImplementedError

    # --- for all

    def fit(
        self, X: Any, y: Any, sample_weight: Any = None, *, X_val: Any = None, y_val: Any = None, sample_weight_val: Any = None
    ) -> Any:
        """Fit the network.

        Parameters
        ----------
        X : array-like, (n, features)
            Or a sparse matrix for `MLPClassifier` and `MLPRegressor`, a data frame with columns of any kind for RealMLP.
        y : array-like, (n,) or (n, outputs)
        sample_weight : array-like (n,), optional
            At least 0. The loss of a batch is a mean weighted by them.
        X_val, y_val, sample_weight_val : optional
            Evaluated after every epoch (``history_["val_loss"]``), and used where a part of X would be held back.
        """
        return self._fit(X, y, sample_weight, (X_val, y_val, sample_weight_val))

    def _examples(self, X: Any, y: Any, targets: Array, sample_weight: Any) -> Examples:
        weights = None if sample_weight is None else example_weights(sample_weight, len(targets))
        return Examples(X, targets, self._example_weights(y, weights))

    def _given_validation(self, X: Any, y: Any, weights: Any) -> Examples | None:
        """The data that are evaluated after every epoch, if some are given for it."""
        if X is None:
            if y is not None or weights is not None:
                raise ValueError("y_val and sample_weight_val need X_val, got None")
            return None
        X, y = self._validated(X, y, reset=False)
        y = self._targets(y)
        return Examples(X, y, None if weights is None else example_weights(weights, len(y), "sample_weight_val"))

    @property
    def history_(self) -> History:
        """The history of the training, a row for each epoch."""
        history: History = self.trainer_.history
        return history
