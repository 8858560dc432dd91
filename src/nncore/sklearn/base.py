"""The base of the estimators: from data and parameters to a trained network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted, validate_data

from nncore._kernels import all_finite
from nncore._messages import shown
from nncore._utils.checks import convert, float_dtype, is_sparse
from nncore._utils.fields import Name, choice, count, flag, number
from nncore._utils.hints import warn
from nncore.callbacks import Callback
from nncore.layers import Dense, Layer
from nncore.losses import Loss
from nncore.model import Sequential
from nncore.optimizers import GradientOptimizer, Optimizer
from nncore.optimizers.clipping import ClipGlobalNorm, Clipping
from nncore.regularizers import L2
from nncore.sklearn.epochs import BetweenEpochs
from nncore.sklearn.estimator import SEEDS, Array, Examples, NetworkEstimator, unchanged_if_refused
from nncore.sklearn.inputs import as_parameters, check_inputs, check_readable
from nncore.sklearn.network import finite_outputs, for_each_layer, hidden_sizes, layers, overwrite_all
from nncore.sklearn.solvers import adopt, check_learning_rate, kinds, make_optimizer
from nncore.sklearn.tasks import CallbackSupportMixin, Tasks, with_callbacks
from nncore.training import Trainer

__all__ = ["BaseMLP"]

FLOATS = (np.dtype(np.float32), np.dtype(np.float64))


def _has_gradient_steps(estimator: Any) -> bool:
    """Whether there are steps along gradients, so that `partial_fit` makes sense."""
    if not isinstance(make_optimizer(estimator), GradientOptimizer):
        solver = estimator.solver if estimator.optimizer is None else estimator.optimizer
        raise AttributeError(f"partial_fit needs a stochastic solver, and {solver} is not")
    return True


class BaseMLP(CallbackSupportMixin, NetworkEstimator):
    """Base of `MLPClassifier` and `MLPRegressor`: they define the loss and the layers of the output."""

    model_: Sequential
    trainer_: Trainer
    _watched: str  # by early stopping

    def _later_targets(self, y: Any, classes: Any) -> Array:
        """The targets of a fit that continues."""
        raise NotImplementedError

    def _output(self, y: Array) -> tuple[Loss, int, str, Layer | None]:
        """The loss, the number of outputs, the activation of the outputs, and a last layer if that belongs to the network."""
        raise NotImplementedError

    def _reported_loss(self, loss: float, penalty: float) -> float:
        """The loss in scikit-learn's definition."""
        return loss

    # --- fitting

    @with_callbacks
    def fit(
        self, X: Any, y: Any, sample_weight: Any = None, *, X_val: Any = None, y_val: Any = None, sample_weight_val: Any = None
    ) -> Any:
        self._check_parameters()  # which the number of tasks depends on
        tasks = [Tasks(self, X, y, sample_weight)] if hasattr(self, "_skl_callbacks") else []
        self._fit(X, y, sample_weight, (X_val, y_val, sample_weight_val), tasks=tasks)
        for task in tasks:
            task.end()
        return self

    fit.__doc__ = NetworkEstimator.fit.__doc__

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
        with unchanged_if_refused(self) as begun:
            self._check_parameters()
            if incremental and self.early_stopping:
                raise ValueError("partial_fit does not support early_stopping=True")
            first = not hasattr(self, "trainer_") or not (self.warm_start or incremental)
            X, y = self._validated(X, y, reset=first)
            targets = self._first_targets(y, classes) if first else self._later_targets(y, classes)
            train, held_back = self._examples(X, y, targets, sample_weight), self._given_validation(targets, *validation)
            random, optimizer = check_random_state(self.random_state), make_optimizer(self)
            check_learning_rate(self, optimizer)
            seeds = random.randint(SEEDS), random.randint(SEEDS)
            if held_back is None and self.early_stopping and isinstance(optimizer, GradientOptimizer):
                train, held_back = self._hold_back(train, random.randint(SEEDS))
            if first:
                self._initialize(train, optimizer, seeds)
            else:
                self._continue(train, optimizer, seeds[1], incremental)
            self._train(self.trainer_, train, held_back, incremental, [*tasks, begun])
        return self

    def _check_parameters(self) -> None:
        """Check what neither the network nor the optimizer checks."""
        float_dtype(self.dtype)
        Name(argument="monitor").check(self.monitor)
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
        check_inputs(X)
        check_readable(y, "y")
        result: tuple[Any, Any] = validate_data(
            self, X, y, accept_sparse="csr", multi_output=True, dtype=np.dtype(self.dtype), reset=reset
        )
        return result

    def _hold_back(self, examples: Examples, seed: int) -> tuple[Examples, Examples]:
        number("validation_fraction", self.validation_fraction, above=0, below=1)
        train, held_back = super()._hold_back(examples, seed)
        if len(held_back.y) < 2:
            got = f"at least 2 of {len(examples.y)} examples, got {self.validation_fraction}"
            raise ValueError(f"validation_fraction must hold back {got}")
        return train, held_back

    def _initialize(self, train: Examples, optimizer: Optimizer, seeds: tuple[int, int]) -> None:
        """A new network and its trainer, and the attributes that describe the training."""
        loss, outputs, self.out_activation_, last = self._output(train.y)
        sizes = hidden_sizes(self.hidden_layer_sizes)
        stack = layers(
            self.n_features_in_, sizes, outputs, activation=self.activation, dropout=self.dropout,
            normalization=self.normalization, weight_init=self.weight_init, last=last, sparse=is_sparse(train.X),
        )  # fmt: skip
        compute = self.compute_dtype
        model = Sequential(stack, self.n_features_in_, dtype=self.dtype, compute_dtype=compute, seed=seeds[0])
        self.model_, self.trainer_ = model, Trainer(model, loss, optimizer, clip=self._clipping(), seed=seeds[1])
        self._loss, self.n_outputs_, self.n_layers_ = loss, outputs, len(sizes) + 2
        self._network = self._made_from(outputs, last)
        self.n_iter_ = self.t_ = self._no_improvement_count = 0
        self._best: tuple[Array, Array] | None = None
        for name in ("loss_curve_", "best_loss_", "validation_scores_", "best_validation_score_"):
            if hasattr(self, name):
                delattr(self, name)

    def _made_from(self, outputs: int, last: Layer | None) -> dict[str, Any]:
        """What makes the network, by parameter; ``weight_init`` does nothing later."""
        sizes = hidden_sizes(self.hidden_layer_sizes)
        each = {name: repr(for_each_layer(name, getattr(self, name), sizes)) for name in ("activation", "dropout")}
        types = {"dtype": np.dtype(self.dtype), "compute_dtype": self.compute_dtype}
        fixed = {"normalization": self.normalization, "loss": (outputs, type(last).__name__)}
        return {"hidden_layer_sizes": sizes, **each, **types, **fixed}

    def _continue(self, train: Examples, optimizer: Optimizer, seed: int, incremental: bool) -> None:
        """The network of the last fit with the present parameters; the optimizer keeps its state if it is of the same kind."""
        loss, outputs, link, last = self._output(train.y)
        for name, value in self._made_from(outputs, last).items():
            if value != self._network[name]:
                needed = "the same outputs as" if name == "loss" else "as"
                raise ValueError(
                    f"{name} must be {needed} in the first fit, which has made the network, got {shown(getattr(self, name))}; "
                    "fit makes a new network without warm_start"
                )
        self._loss, self.out_activation_ = loss, link
        trainer, clip = self.trainer_, self._clipping()
        if not isinstance(optimizer, GradientOptimizer) or kinds(trainer.optimizer) != kinds(optimizer):
            self.trainer_ = Trainer(self.model_, loss, optimizer, clip=clip, seed=seed)
            return
        if not incremental:
            adopt(trainer.optimizer, optimizer)
        if trainer.clip != clip:
            trainer.clip = clip
        if trainer.loss != loss:
            trainer.loss = loss

    def _clipping(self) -> Clipping | None:
        if self.clip is None or isinstance(self.clip, Clipping):
            return self.clip
        with as_parameters(limit="clip"):
            return ClipGlobalNorm(self.clip)

    def _train(
        self, trainer: Trainer, train: Examples, held_back: Examples | None, incremental: bool, last: Sequence[Callback]
    ) -> None:
        n = len(train.y)
        train, mean_weight = train.normalized()
        batch = n if trainer.optimizer.full_batch_only else self._batch(n)
        penalty = self.regularizer
        if penalty is None and self.alpha:  # scikit-learn's reported loss has alpha · batches / n
            penalty = L2(self.alpha * -(-n // batch) / (n * mean_weight))
        if trainer.regularizer != penalty:
            trainer.regularizer = penalty
        callbacks = self._own_callbacks()
        stochastic, epochs_before = isinstance(trainer.optimizer, GradientOptimizer), trainer.epochs_done
        self.n_iter_ = 0
        if stochastic:
            callbacks.append(self._between_epochs(n, held_back))
        elif is_sparse(train.X) and not self.model_.reads_sparse:
            train = train._replace(X=train.X.toarray())
        try:
            trainer.fit(
                train.X, train.y, epochs=1 if incremental else self._max_epochs(), batch_size=batch, shuffle=self.shuffle,
                sample_weight=train.weights, callbacks=[*callbacks, *last], verbose=0,
                last_batch="merge" if self.normalization == "batch_norm" else "keep",
                validation_data=None if held_back is None else held_back.given(),
            )  # fmt: skip
        finally:  # an error, as of a callback, leaves what was reached
            if not stochastic and trainer.epochs_done > epochs_before:
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

    def _between_epochs(self, n: int, held_back: Examples | None) -> BetweenEpochs:
        watched = self.monitor if self.early_stopping else ""
        if not hasattr(self, "loss_curve_") or self._watched != watched:  # what was best is not comparable
            self._watched, self._no_improvement_count, self._best = watched, 0, None
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
        return finite_outputs(self.model_, self._inputs(X))

    def _inputs(self, X: Any) -> Any:
        """X as the network takes it. A plain array needs no `validate_data`, which takes ten times as long as the network."""
        if type(X) is np.ndarray and X.dtype in FLOATS and X.shape[1:] == (self.n_features_in_,) and len(X):
            rows = convert(X, self.model_.dtype)
            if not hasattr(self, "feature_names_in_") and all_finite(rows):
                return rows
        check_inputs(X)
        return validate_data(self, X, accept_sparse="csr", dtype=self.model_.dtype, reset=False)

    def _dense(self) -> list[Dense]:
        return [layer for layer in self.model_.layers if isinstance(layer, Dense)]

    @property
    def coefs_(self) -> list[Array]:
        """The weights (inputs, units) of each layer, as views, which may be changed in place."""
        return [layer.weight.T for layer in self._dense()]

    @coefs_.setter
    def coefs_(self, values: Any) -> None:
        overwrite_all("coefs_", [layer.weight.T for layer in self._dense()], values)

    @property
    def intercepts_(self) -> list[Array]:
        """The biases of each layer, as views."""
        return [layer.bias for layer in self._dense()]

    @intercepts_.setter
    def intercepts_(self, values: Any) -> None:
        overwrite_all("intercepts_", [layer.bias for layer in self._dense()], values)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


def _converged(trainer: Trainer) -> bool:
    stopped = getattr(trainer.optimizer, "stopped", "").upper()
    return trainer.stop_training and not ("LIMIT" in stopped or "ABNORMAL" in stopped)
