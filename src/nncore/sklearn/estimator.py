"""The base of all estimators: what they do with data, and what they tell of their network."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import BaseEstimator

from nncore._kernels import Claim
from nncore._utils.arrays import Array
from nncore.callbacks import Callback
from nncore.callbacks.callback_list import CallbackList
from nncore.data import train_validation_split
from nncore.data.example_weights import summable_weights
from nncore.history import History
from nncore.sklearn.epochs import Begun
from nncore.sklearn.inputs import as_validation_data, repeatable
from nncore.sklearn.solvers import settings

__all__ = ["SEEDS", "Array", "Examples", "NetworkEstimator", "unchanged_if_refused"]

SEEDS = 2**31 - 1
FITTING = "this estimator is being fitted already, in another thread or around this callback: one call at a time"


class Examples(NamedTuple):
    """Checked inputs, targets as the loss takes them, and weights."""

    X: Any
    y: Array
    weights: Array | None

    def take(self, rows: Array) -> Examples:
        """Some of the examples."""
        return Examples(self.X[rows], self.y[rows], None if self.weights is None else self.weights[rows])

    def given(self) -> tuple[Any, ...]:
        """As ``validation_data``, for a loss that the scale of the weights does not change."""
        return tuple(part for part in self.normalized()[0] if part is not None)

    def normalized(self) -> tuple[Examples, float]:
        """With weights of mean 1, and their mean before: the loss is Σ w_i l_i / Σ w_i."""
        if self.weights is None:
            return self, 1.0
        mean = float(self.weights.mean())
        return self._replace(weights=self.weights / mean if mean else self.weights), mean or 1.0


@contextlib.contextmanager
def unchanged_if_refused(estimator: Any) -> Iterator[Begun]:
    """Restore the attributes if there is an error before the training begins; the trainer calls what this gives.

    Refused while another call fits the same estimator: both would write to its attributes.
    """
    claim = vars(estimator).setdefault("_claim", Claim(FITTING))
    claim.check()
    with claim:
        begun = Begun(dict(vars(estimator)))
        put_back = settings(estimator.trainer_) if "trainer_" in begun.before else None  # of a warm start
        try:
            yield begun
        except BaseException:
            if begun.before:
                estimator.__dict__.clear()
                estimator.__dict__.update(begun.before)
                if put_back:
                    put_back()
            raise


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

    def _example_weights(self, targets: Array, weights: Array | None) -> Array | None:
        """Weights by example and by class."""
        return weights

    def _score_outputs(self, outputs: Array, validation: Examples) -> float:
        """The validation score."""
        raise NotImplementedError

    # --- defined by a subclass

    def _validated(self, X: Any, y: Any, reset: bool) -> tuple[Any, Any]:
        """Checked data; ``reset``: to be fitted to."""
        raise NotImplementedError

    validation_fraction: float
    callbacks: Any
    shuffle = True  # where it is no argument

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
            At least 0. The loss of a batch is Σ w_i l_i, divided by its number of examples and the mean weight of all examples;
            scikit-learn divides by Σ w_i of the batch instead. RealMLP leaves out examples of weight 0; other weights do not
            change the scale of inputs and targets.
        X_val, y_val, sample_weight_val : optional
            Evaluated after every epoch (``history_["val_loss"]``), and used where a part of X would be held back.
        """
        return self._fit(X, y, sample_weight, (X_val, y_val, sample_weight_val))

    def _examples(self, X: Any, y: Any, targets: Array, sample_weight: Any) -> Examples:
        weights = None if sample_weight is None else summable_weights(sample_weight, len(targets), "sample_weight")
        return Examples(X, targets, self._example_weights(targets, weights))

    def _given_validation(self, targets: Array, X: Any, y: Any, weights: Any) -> Examples | None:
        """The data that are evaluated after every epoch, if some are given for it; ``targets`` are those of the training."""
        if X is None:
            if y is not None or weights is not None:
                raise ValueError("y_val and sample_weight_val need X_val, got None")
            return None
        if y is None:
            raise ValueError("X_val needs y_val, got None")
        with as_validation_data():
            X, y = self._validated(X, y, reset=False)
            y = self._targets(y)
        if y.shape[1:] != targets.shape[1:]:
            raise ValueError(f"y_val must have shape {('n', *targets.shape[1:])}, as y has, got {y.shape}".replace("'n'", "n"))
        return Examples(X, y, None if weights is None else summable_weights(weights, len(y), "sample_weight_val"))

    def _hold_back(self, examples: Examples, seed: int) -> tuple[Examples, Examples]:
        """What is trained on, and what is held back."""
        n = len(examples.y)
        if n < 2:
            raise ValueError(f"nothing can be held back for validation where n_samples={n}: pass X_val")
        classes = hasattr(self, "classes_") and examples.y.ndim == 1
        rows, rest = train_validation_split(examples.X, examples.y, self.validation_fraction, seed, stratify=classes)
        train, held_back = map(examples.take, (rows if self.shuffle else np.sort(rows), rest))
        for part, use in ((train, "left for training"), (held_back, "held back for validation")):
            if part.weights is not None and not part.weights.any():
                raise ValueError(
                    f"sample_weight must have a positive number among the {len(part.y)} of {n} examples {use}, got zeros only: "
                    "pass X_val, or another validation_fraction"
                )
        return train, held_back

    def _own_callbacks(self) -> list[Callback]:
        """Those that the user gave, checked."""
        return CallbackList(repeatable("callbacks", self.callbacks)).callbacks

    @property
    def history_(self) -> History:
        """The history of the training, a row for each epoch."""
        history: History = self.trainer_.history
        return history
