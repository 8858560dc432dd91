"""The base of the estimators: from data and parameters to a trained network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted, validate_data

from nncore._kernels import all_finite
from nncore._utils.checks import convert, is_sparse
from nncore._utils.fields import choice, count, flag, number
from nncore._utils.hints import warn
from nncore.callbacks import Callback
from nncore.data.example_weights import example_weights
from nncore.history import History
from nncore.layers import Dense, Layer
from nncore.losses import Loss
from nncore.model import Sequential
from nncore.optimizers import GradientOptimizer, Optimizer
from nncore.optimizers.clipping import ClipGlobalNorm, Clipping
from nncore.regularizers import L2
from nncore.sklearn.epochs import BetweenEpochs
from nncore.sklearn.network import hidden_sizes, layers
from nncore.sklearn.solvers import make_optimizer
from nncore.sklearn.tasks import CallbackSupportMixin, Tasks, with_callbacks
from nncore.training import Trainer

__all__ = ["BaseMLP", "normalized"]

Array = NDArray[Any]
FLOATS = (np.dtype(np.float32), np.dtype(np.float64))
SEEDS = 2**31 - 1


class Examples(NamedTuple):
    """Checked inputs, targets as the loss takes them, and weights."""

    X: Any
    y: Array
    weights: Array | None

    def take(self, rows: Array) -> Examples:
        """Some of the examples."""
        return Examples(self.X[rows], self.y[rows], None if self.weights is None else self.weights[rows])


def _has_gradient_steps(estimator: Any) -> bool:
    """Whether there are steps along gradients, so that `partial_fit` makes sense."""
    if not isinstance(make_optimizer(estimator), GradientOptimizer):
        solver = estimator.solver if estimator.optimizer is None else estimator.optimizer
        raise AttributeError(f"partial_fit needs a stochastic solver, and {solver} is not")
    return True


class BaseMLP(CallbackSupportMixin, BaseEstimator):
    """Base of `MLPClassifier` and `MLPRegressor`: they define the targets, the loss, and what becomes of the outputs."""

    model_: Sequential
    trainer_: Trainer
    _doc_link_module = "nncore"
    _doc_link_template = "api/sklearn.html#nncore.sklearn.{estimator_name}"

    def _keep(self, arguments: dict[str, Any]) -> None:
        """Store the arguments of the constructor as they are."""
        for name, value in arguments.items():
            if name != "self":
                setattr(self, name, value)

    # --- defined by a subclass

    def _fit_targets(self, y: Any, first: bool, classes: Any) -> Array:
        """The targets of a first fit, or of a later one; ``classes`` as for ``partial_fit``."""
        raise NotImplementedError

    def _targets(self, y: Any) -> Array:
        """Targets of a fitted estimator, as the loss takes them."""
        raise NotImplementedError

    def _output(self, y: Array) -> tuple[Loss, int, str, Layer | None]:
        """The loss, the number of outputs, the activation of the outputs, and a last layer if that belongs to the network."""
        raise NotImplementedError

    def _example_weights(self, y: Any, weights: Array | None) -> Array | None:
        """Weights by example and by class."""
        return weights

    def _reported_loss(self, loss: float, penalty: float) -> float:
        """The loss in scikit-learn's definition."""
        return loss

    def _score_outputs(self, outputs: Array, validation: Examples) -> float:
        """The validation score."""
        raise NotImplementedError

    # --- fitting

    @with_callbacks
    def fit(
        self, X: Any, y: Any, sample_weight: Any = None, *, X_val: Any = None, y_val: Any = None, sample_weight_val: Any = None
    ) -> Any:
        """Fit the network.

        Parameters
        ----------
        X : array-like or sparse matrix, (n, features)
        y : array-like, (n,) or (n, outputs)
        sample_weight : array-like (n,), optional
            At least 0. The loss of a batch is a mean weighted by them.
        X_val, y_val, sample_weight_val : optional
            Evaluated after every epoch (``history_.val_loss``), and with early stopping in place of a part of X.
        """
        tasks = [Tasks(self, X, y, sample_weight)] if hasattr(self, "_skl_callbacks") else []
        self._fit(X, y, sample_weight, (X_val, y_val, sample_weight_val), tasks=tasks)
        for task in tasks:
            task.end()
        return self

    @available_if(_has_gradient_steps)
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
        """Update the network by one pass over X; the optimizer's state is kept from call to call.

        Parameters
        ----------
        X, y, sample_weight : as for ``fit``
        """
        return self._fit(X, y, sample_weight, incremental=True)

    def _fit(
        self, X: Any, y: Any, sample_weight: Any, validation: tuple[Any, ...] = (None, None, None), *,
        incremental: bool = False, classes: Any = None, tasks: Sequence[Callback] = (),
    ) -> Any:  # fmt: skip
        self._check_parameters()
        if incremental and self.early_stopping:
            raise ValueError("partial_fit does not support early_stopping=True")
        first = not hasattr(self, "trainer_") or not (self.warm_start or incremental)
        X, y = self._validated(X, y, reset=first)
        targets = self._fit_targets(y, first, classes)
        weights = None if sample_weight is None else example_weights(sample_weight, len(targets))
        train, held_back = Examples(X, targets, self._example_weights(y, weights)), self._given_validation(*validation)
        random, optimizer = check_random_state(self.random_state), make_optimizer(self)
        seeds = random.randint(SEEDS), random.randint(SEEDS)
        if held_back is None and self.early_stopping and isinstance(optimizer, GradientOptimizer):
            train, held_back = self._hold_back(train, random)
        if first:
            self._initialize(train, seeds[0])
        trainer = self._trainer(optimizer, first, incremental, seeds[1])
        self._train(trainer, train, held_back, incremental, tasks)
        return self

    def _check_parameters(self) -> None:
        """Check what neither the network nor the optimizer checks."""
        choice("learning_rate", self.learning_rate, ("constant", "invscaling", "adaptive"))
        for name in ("max_iter", "max_fun"):
            count(name, getattr(self, name))
        for name in ("shuffle", "warm_start", "early_stopping", "nesterovs_momentum"):
            flag(name, getattr(self, name))
        for name in ("alpha", "power_t", "tol"):
            number(name, getattr(self, name), 0)
        number("learning_rate_init", self.learning_rate_init, above=0)
        number("validation_fraction", self.validation_fraction, 0, below=1)
        if self.n_iter_no_change != np.inf:
            count("n_iter_no_change", self.n_iter_no_change)
        if not isinstance(self.batch_size, str) or self.batch_size != "auto":
            count("batch_size", self.batch_size)

    def _validated(self, X: Any, y: Any, reset: bool) -> tuple[Any, Any]:
        numeric = isinstance(self, RegressorMixin)
        result: tuple[Any, Any] = validate_data(
            self, X, y, accept_sparse="csr", multi_output=True, y_numeric=numeric, dtype=np.dtype(self.dtype), reset=reset
        )
        return result

    def _given_validation(self, X: Any, y: Any, weights: Any) -> Examples | None:
        """The data that are evaluated after every epoch, if some are given for it."""
        if X is None:
            if y is not None or weights is not None:
                raise ValueError("y_val and sample_weight_val need X_val, got None")
            return None
        X, y = self._validated(X, y, reset=False)
        y = self._targets(y)
        return Examples(X, y, None if weights is None else example_weights(weights, len(y), "sample_weight_val"))

    def _hold_back(self, train: Examples, random: np.random.RandomState) -> tuple[Examples, Examples]:
        """What is trained on, and what is held back for early stopping."""
        stratified = train.y if train.y.ndim == 1 and hasattr(self, "classes_") else None
        rows = np.arange(len(train.y))
        parts = train_test_split(rows, random_state=random, test_size=self.validation_fraction, stratify=stratified)
        if len(parts[1]) < 2:
            raise ValueError(
                f"validation_fraction must hold back at least 2 of {len(rows)} examples, got {self.validation_fraction}"
            )
        return train.take(parts[0]), train.take(parts[1])

    def _initialize(self, train: Examples, seed: int) -> None:
        """A new network, and the attributes that describe its training."""
        loss, outputs, self.out_activation_, last = self._output(train.y)
        sizes = hidden_sizes(self.hidden_layer_sizes)
        stack = layers(
            self.n_features_in_, sizes, outputs, activation=self.activation, dropout=self.dropout,
            normalization=self.normalization, weight_init=self.weight_init, last=last,
        )  # fmt: skip
        self.model_ = Sequential(stack, self.n_features_in_, dtype=self.dtype, seed=seed)
        self._loss, self.n_outputs_, self.n_layers_ = loss, outputs, len(sizes) + 2
        self.n_iter_ = self.t_ = self._no_improvement_count = 0
        self._best: tuple[Array, Array] | None = None
        for name in ("loss_curve_", "best_loss_", "validation_scores_", "best_validation_score_"):
            if hasattr(self, name):
                delattr(self, name)

    def _train(
        self, trainer: Trainer, train: Examples, held_back: Examples | None, incremental: bool, tasks: Sequence[Callback]
    ) -> None:
        n = len(train.y)
        train, mean_weight = normalized(train)
        batch = n if trainer.optimizer.full_batch_only else self._batch(n)
        penalty = self.regularizer
        if penalty is None and self.alpha:  # scikit-learn's reported loss has alpha · batches / n
            penalty = L2(self.alpha * -(-n // batch) / (n * mean_weight))
        if trainer.regularizer != penalty:
            trainer.regularizer = penalty
        callbacks: list[Callback] = list(self.callbacks or ())
        stochastic, epochs_before = isinstance(trainer.optimizer, GradientOptimizer), trainer.epochs_done
        self.n_iter_ = 0
        if stochastic:
            callbacks.append(self._between_epochs(n, held_back))
        elif is_sparse(train.X):
            train = train._replace(X=train.X.toarray())
        trainer.fit(
            train.X, train.y, epochs=1 if incremental else self._max_epochs(), batch_size=batch, shuffle=self.shuffle,
            sample_weight=train.weights, callbacks=[*callbacks, *tasks], verbose=0,
            last_batch="merge" if self.normalization == "batch_norm" else "keep",
            validation_data=None if held_back is None else tuple(part for part in held_back if part is not None),
        )  # fmt: skip
        if not stochastic:
            self._describe_full_batch(trainer, trainer.epochs_done - epochs_before)
        self._warn(trainer, incremental)

    def _max_epochs(self) -> int:
        """The maximum number of epochs of the trainer: of SciPy's L-BFGS one more, in which it says why it has ended."""
        return self.max_iter + (self.optimizer is None and self.solver == "lbfgs")

    def _is_scipys_report(self, trainer: Trainer) -> bool:
        """Whether the last epoch of the trainer was no iteration."""
        return self._max_epochs() > self.max_iter and bool(getattr(trainer.optimizer, "stopped", ""))

    def _warn(self, trainer: Trainer, incremental: bool) -> None:
        """Tell the user why the training has ended, if it is not for convergence."""
        if trainer.interrupted:
            warn("Training interrupted by user.")
        elif not incremental and not _converged(trainer):
            message = f"Maximum iterations ({self.max_iter}) reached, and the optimization has not converged."
            warn(message, ConvergenceWarning)

    def _batch(self, n: int) -> int:
        if isinstance(self.batch_size, str):
            return min(200, n)
        if self.batch_size > n:
            warn(f"batch_size is larger than the number of examples, {n}, got {self.batch_size}")
        return min(self.batch_size, n)

    def _trainer(self, optimizer: Optimizer, first: bool, incremental: bool, seed: int) -> Trainer:
        """The trainer of the last fit, whose optimizer keeps its state; a new one if the optimizer is of another kind."""
        clip = self.clip if self.clip is None or isinstance(self.clip, Clipping) else ClipGlobalNorm(self.clip)
        if not first and type(self.trainer_.optimizer) is type(optimizer) and isinstance(optimizer, GradientOptimizer):
            if not incremental:
                self.trainer_.optimizer.configure(optimizer.config())
            if self.trainer_.clip != clip:
                self.trainer_.clip = clip
        else:
            self.trainer_ = Trainer(self.model_, self._loss, optimizer, clip=clip, seed=seed)
        return self.trainer_

    def _between_epochs(self, n: int, held_back: Examples | None) -> BetweenEpochs:
        if not hasattr(self, "loss_curve_") or (self.validation_scores_ is not None) is not self.early_stopping:
            self.loss_curve_: list[float] = []
            self.validation_scores_: list[float] | None = [] if self.early_stopping else None
            self.best_loss_ = None if self.early_stopping else np.inf
            self.best_validation_score_: float | None = None
        if held_back is None:
            return BetweenEpochs(self, n, None)
        return BetweenEpochs(self, n, lambda: self._score_outputs(self.model_.forward(held_back.X), held_back))

    def _describe_full_batch(self, trainer: Trainer, epochs: int) -> None:
        """The attributes after a solver of the full batch."""
        row = trainer.history.row(len(trainer.history))
        self.loss_ = self._reported_loss(row["loss"], row.get("penalty", 0.0))
        self.n_iter_ = max(1, epochs - self._is_scipys_report(trainer))

    # --- what was fitted

    def _outputs(self, X: Any) -> Array:
        """The outputs of the network, in float64, in which probabilities do not become 0."""
        if not hasattr(self, "model_"):
            check_is_fitted(self, "model_")  # which raises, but is slow
        return self.model_.forward(self._inputs(X)).astype(np.float64)

    def _inputs(self, X: Any) -> Any:
        """X as the network takes it. A plain array needs no `validate_data`, which takes ten times as long as the network."""
        if type(X) is np.ndarray and X.dtype in FLOATS and X.shape[1:] == (self.n_features_in_,) and len(X):
            rows = convert(X, self.model_.dtype)
            if not hasattr(self, "feature_names_in_") and all_finite(rows):
                return rows
        return validate_data(self, X, accept_sparse="csr", dtype=self.model_.dtype, reset=False)

    @property
    def history_(self) -> History:
        """The history of the training, a row for each epoch."""
        history: History = self.trainer_.history
        return history

    def _dense(self) -> list[Dense]:
        return [layer for layer in self.model_.layers if isinstance(layer, Dense)]

    @property
    def coefs_(self) -> list[Array]:
        """The weights (inputs, units) of each layer: views, which may be changed in place."""
        return [layer.weight.T for layer in self._dense()]

    @coefs_.setter
    def coefs_(self, values: Any) -> None:
        for layer, value in zip(self._dense(), values, strict=True):
            layer.weight[...] = np.transpose(value)

    @property
    def intercepts_(self) -> list[Array]:
        """The biases of each layer: views."""
        return [layer.bias for layer in self._dense()]

    @intercepts_.setter
    def intercepts_(self, values: Any) -> None:
        for layer, value in zip(self._dense(), values, strict=True):
            layer.bias[...] = value

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


def normalized(train: Examples) -> tuple[Examples, float]:
    """The examples with weights of mean 1, and their mean before: the loss is Σ w_i l_i / Σ w_i."""
    if train.weights is None:
        return train, 1.0
    mean = float(train.weights.mean())
    return train._replace(weights=train.weights / mean if mean else train.weights), mean or 1.0


def _converged(trainer: Trainer) -> bool:
    stopped = getattr(trainer.optimizer, "stopped", "").upper()
    return trainer.stop_training and not ("LIMIT" in stopped or "ABNORMAL" in stopped)
