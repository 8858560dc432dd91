"""Linear classifiers and regressors trained one example after the other: scikit-learn's SGDClassifier and SGDRegressor."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from scipy import sparse
from scipy.special import expit, softmax
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, is_classifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import r2_score
from sklearn.model_selection import ShuffleSplit, StratifiedShuffleSplit
from sklearn.utils import check_random_state, column_or_1d
from sklearn.utils.extmath import safe_sparse_dot
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets, unique_labels
from sklearn.utils.validation import check_is_fitted, validate_data

from nncore._kernels import get_num_threads
from nncore._kernels.blas import one_blas_thread
from nncore._messages import shown
from nncore._utils.arrays import Array
from nncore._utils.checks import as_numbers
from nncore._utils.fields import choice, count, flag, number
from nncore.data.example_weights import summable_weights
from nncore.data.sparse import canonical
from nncore.sklearn.estimator import SEEDS, unchanged_if_refused
from nncore.sklearn.inputs import check_inputs, check_readable
from nncore.sklearn.online import Descent, Examples, Plan, Weights
from nncore.sklearn.parameters import documented
from nncore.sklearn.targets import weighted_by_class, weights_of_classes

__all__ = ["SGDClassifier", "SGDRegressor"]

REGRESSION_LOSSES = ("squared_error", "huber", "epsilon_insensitive", "squared_epsilon_insensitive")
CLASSIFICATION_LOSSES = ("hinge", "log_loss", "modified_huber", "squared_hinge", "perceptron", "softmax", *REGRESSION_LOSSES)
L1_SHARES = {"l2": 0.0, "l1": 1.0}  # "elasticnet": l1_ratio
LEARNING_RATES = ("constant", "optimal", "invscaling", "adaptive", "pa1", "pa2")
SPARSE_INTERCEPT_DECAY = 0.01  # so that the intercept does not oscillate: its input is never 0
MOST_COLUMNS = 2**31 - 1
FLOATS = [np.float64, np.float32]  # of X: others become the first

PARAMETERS = {
    "penalty": """\
penalty : {"l2", "l1", "elasticnet", None}, default "l2"
    α ‖w‖²/2; α ‖w‖₁, by the cumulative penalty of Tsuruoka, Tsujii and Ananiadou (2009); a part ``l1_ratio`` of the second
    and the rest of the first. The intercept has none.
alpha : float, default 0.0001
    α, also in the learning rate "optimal".
l1_ratio : float, default 0.15
fit_intercept : bool, default True
max_iter : int, default 1000
    Most epochs.
tol : float or None, default 1e-3
    The training ends where the mean of loss and penalty has not fallen by this much below the best one in
    ``n_iter_no_change`` epochs in a row; with early stopping where the score has not risen. None: after ``max_iter`` epochs.
shuffle : bool, default True
    A random order in every epoch, the same for all classes.
verbose : int, default 0
    Print a line for each epoch.
epsilon : float, default 0.1
    Of "huber": from where the loss is linear; of the insensitive losses: below it errors are ignored.""",
    "schedule": """\
eta0 : float, default 0.01
    Of "pa1" and "pa2": the aggressiveness C.
power_t : float, default {power_t}
early_stopping : bool, default False
    Hold back a part ``validation_fraction`` of the examples, and watch the score on it.
validation_fraction : float, default 0.1
n_iter_no_change : int, default 5""",
    "last": """\
warm_start : bool, default False
    Start from the present coefficients.
average : bool or int, default False
    ``coef_`` and ``intercept_`` are averages of all steps; an integer: from this example on.""",
    "rates": """\
"constant" is η₀, "optimal" 1/(α(t₀ + t)) with Bottou's t₀, "invscaling" η₀/t^power_t, "adaptive" η₀, divided by 5 wherever
    the training would end, until it is below 1e-6; "pa1" and "pa2" are the passive-aggressive steps min(C, loss/‖x‖²) and
    loss/(‖x‖² + 1/(2C)),""",
}


@one_blas_thread()
def _linear(X: Any, W: Any, bias: Array) -> Array:
    """XW + b, either of X and W sparse or dense."""
    outputs: Array = safe_sparse_dot(X, W, dense_output=True) + bias
    return outputs


class BaseSGD(BaseEstimator):
    """What both have in common; a subclass knows the targets."""

    _doc_link_module = "nncore"
    _doc_link_template = "api/sklearn.html#nncore.sklearn.{estimator_name}"
    _losses: tuple[str, ...] = ()
    _passive_loss = ""  # of "pa1" and "pa2"
    penalty: str | None
    l1_ratio: Any  # a number, or None where it is not used
    coef_: Any
    intercept_: Array
    n_iter_: int
    t_: float

    def _keep(self, arguments: dict[str, Any]) -> None:
        for name, value in arguments.items():
            if name != "self":
                setattr(self, name, value)

    # --- checks

    def _check_parameters(self, incremental: bool) -> None:
        choice("loss", self.loss, self._losses)
        if self.penalty is not None:
            choice("penalty", self.penalty, ("l2", "l1", "elasticnet"))
        choice("learning_rate", self.learning_rate, LEARNING_RATES)
        for name in ("fit_intercept", "shuffle", "warm_start", "early_stopping"):
            flag(name, getattr(self, name))
        number("alpha", self.alpha, 0)
        number("eta0", self.eta0, above=0)
        number("epsilon", self.epsilon, 0)
        number("power_t", self.power_t)
        number("validation_fraction", self.validation_fraction, above=0, below=1)
        count("max_iter", self.max_iter)
        count("n_iter_no_change", self.n_iter_no_change)
        if self.tol is not None:
            number("tol", self.tol, 0)
        if not isinstance(self.average, (bool, np.bool_)):
            count("average", self.average)
        jobs = getattr(self, "n_jobs", None)
        if jobs is not None and (isinstance(jobs, bool) or not isinstance(jobs, (int, np.integer))):
            raise TypeError(f"n_jobs must be an integer or None, got {shown(jobs)}")
        if self.l1_ratio is not None or self.penalty == "elasticnet":
            number("l1_ratio", self.l1_ratio, 0, most=1)
        if self.early_stopping and incremental and not hasattr(self, "coef_"):
            raise ValueError("early_stopping must be False for a first partial_fit, which is one epoch, got True")
        if self.learning_rate == "optimal" and self.alpha == 0:
            raise ValueError("alpha must be > 0 for learning_rate='optimal', which divides by it, got 0")
        if self.learning_rate in ("pa1", "pa2") and self.loss != self._passive_loss:
            raise ValueError(
                f"loss must be {self._passive_loss!r} for learning_rate={self.learning_rate!r}, a passive-aggressive step, "
                f"got {self.loss!r}"
            )

    def _validated(self, X: Any, y: Any, reset: bool) -> tuple[Any, Any]:
        check_inputs(X)
        check_readable(y, "y")
        X, y = validate_data(self, X, y, accept_sparse="csr", dtype=FLOATS, order="C", reset=reset, multi_output=False)
        if X.shape[1] > MOST_COLUMNS:
            raise ValueError(f"X must have at most {MOST_COLUMNS} columns, got {X.shape[1]}")
        return canonical(X) if sparse.issparse(X) else X, y  # the norm of a row counts a number given in parts once

    # --- weights

    def _first_weights(self, outputs: int, X: Any, coef: Any, intercept: Any) -> Weights:
        """Given ones, or zeros."""
        shapes = {"coef_init": (coef, (outputs, X.shape[1])), "intercept_init": (intercept, (outputs,))}
        parts = []
        for name, (given, shape) in shapes.items():
            dense = given.toarray() if sparse.issparse(given) else given  # after sparsify
            part = np.zeros(shape, X.dtype) if dense is None else np.array(dense, dtype=X.dtype)
            if part.shape != shape and not (outputs == 1 and part.size == np.prod(shape)):
                raise ValueError(f"{name} must have shape {shape}, does not match dataset: got {part.shape}")
            parts.append(part.reshape(shape))
        return self._averaged(Weights(parts[0], parts[1].astype(np.float64)))

    def _averaged(self, weights: Weights) -> Weights:
        """With an average, if there is to be one."""
        if self.average and weights.average is None:
            weights.average, weights.average_bias = np.zeros_like(weights.coef), np.zeros_like(weights.bias)
        return weights

    def _last_weights(self, outputs: int, X: Any) -> Weights:
        """Those of the previous call: the steps, not their average."""
        kept = getattr(self, "_steps", None)
        if self.average and kept is not None:
            kept = kept.copy()
            kept.coef = kept.coef.astype(X.dtype)
            kept.average = None if kept.average is None else kept.average.astype(X.dtype)
            return self._averaged(kept)
        return self._first_weights(outputs, X, self.coef_, self.intercept_)

    # --- training

    def fit(self, X: Any, y: Any, coef_init: Any = None, intercept_init: Any = None, sample_weight: Any = None) -> Any:
        """Fit the model.

        Parameters
        ----------
        X : array-like or sparse matrix, (n, features)
        y : array-like, (n,)
        coef_init, intercept_init : array-like, optional
            Where the training starts.
        sample_weight : array-like (n,), optional
            At least 0.

        Returns
        -------
        self
        """
        self._check_parameters(incremental=False)
        with unchanged_if_refused(self):
            X, y = self._validated(X, y, reset=True)
            outputs = self._begin(y)
            if self.warm_start and hasattr(self, "coef_"):
                coef_init = self.coef_ if coef_init is None else coef_init
                intercept_init = self.intercept_ if intercept_init is None else intercept_init
            self._fit(X, y, sample_weight, self._first_weights(outputs, X, coef_init, intercept_init), self.max_iter, 1.0)
        self._warn_if_unfinished()
        return self

    def _begin(self, y: Any) -> int:
        """The number of outputs for these targets, which are all that there are."""
        return 1

    def _fit(self, X: Any, y: Any, sample_weight: Any, start: Weights, epochs: int, t: float) -> None:
        """Train from there, on targets as scikit-learn takes them."""
        raise NotImplementedError

    def _train(
        self, X: Any, targets: Array, weights: Array, start: Weights, *, labels: Array | None, by_class: tuple[Array, Array],
        kind: str, epochs: int, t: float,
    ) -> None:  # fmt: skip
        """Train, then set the fitted attributes."""
        random = check_random_state(self.random_state)
        rows, held_back = self._split(targets, weights, random)
        score = self._scorer(X[held_back], targets[held_back], weights[held_back], labels, kind) if len(held_back) else None
        data = Examples(X, targets.astype(np.float64), weights, labels)
        if start.average_from >= t:  # there is no average yet
            start.average_from = max(int(self.average), t)
        plan = self._plan(X, kind, epochs, random.randint(SEEDS) if self.shuffle else None, score, start.average_from)
        jobs = getattr(self, "n_jobs", None)
        threads = get_num_threads() if jobs is None or jobs < 1 else jobs
        descent = Descent(data, start, plan, *by_class, t, threads)
        self.n_iter_ = descent.run(rows)
        self.t_ = t + self.n_iter_ * X.shape[0]  # more than the steps, where rows are held back or a class converges first
        self._steps = start if self.average else None
        coef, bias = start.settled_average(descent["steps"] - 1) if self.average else (start.coef, start.bias)
        self._set_coefficients(coef, bias.astype(X.dtype))

    def _plan(self, X: Any, kind: str, epochs: int, seed: int | None, score: Any, average_from: float) -> Plan:
        l1 = l2 = 0.0
        if self.penalty is not None:
            share = L1_SHARES.get(self.penalty, self.l1_ratio)
            l1, l2 = share * self.alpha, (1 - share) * self.alpha
        decay = SPARSE_INTERCEPT_DECAY if sparse.issparse(X) else 1.0
        return Plan(
            kind=kind, rule=self.learning_rate if self.learning_rate in ("pa1", "pa2") else "scheduled", l2=l2, l1=l1,
            epsilon=self.epsilon, aggressiveness=self.eta0, bias_factor=decay if self.fit_intercept else 0.0,
            average_from=average_from, rates=self._rates, shuffle_seed=seed, epochs=epochs, tol=self.tol,
            patience=self.n_iter_no_change, adaptive_rate=self.eta0 if self.learning_rate == "adaptive" else None,
            verbose=bool(self.verbose), score=score,
        )  # fmt: skip

    def _rates(self, t: float, n: int) -> Array:
        """The learning rates of the examples t, t + 1, ..."""
        if self.learning_rate == "optimal":
            first = np.sqrt(1 / np.sqrt(self.alpha))  # Bottou's: a typical weight, from where a step leads to 0
            rates: Array = 1 / (self.alpha * (1 / (first * self.alpha) + t - 1 + np.arange(n)))
        elif self.learning_rate == "invscaling":
            rates = self.eta0 / np.power(t + np.arange(n), self.power_t)
        else:
            rates = np.full(n, float(self.eta0))
        return rates

    def _split(self, targets: Array, weights: Array, random: Any) -> tuple[Array, Array]:
        """The rows that are trained on, and those held back."""
        n = len(targets)
        if not self.early_stopping:
            return np.arange(n), np.arange(0)
        splitter = StratifiedShuffleSplit if is_classifier(self) else ShuffleSplit
        rows, held_back = next(
            splitter(test_size=self.validation_fraction, random_state=random).split(np.zeros((n, 1)), targets)
        )
        for part, use in ((rows, "left for training"), (held_back, "held back for validation")):
            if not weights[part].any():
                raise ValueError(
                    f"sample_weight must have a positive number among the {len(part)} of {n} examples {use}, got zeros only: "
                    "choose another random_state or validation_fraction"
                )
        return np.sort(rows), held_back  # with shuffle=False the rows are taken in their order

    def _scorer(self, X: Any, targets: Array, weights: Array, labels: Array | None, kind: str) -> Any:
        """The validation scores of some outputs."""
        raise NotImplementedError

    def _set_coefficients(self, coef: Array, bias: Array) -> None:
        self.coef_, self.intercept_ = coef, bias

    def _warn_if_unfinished(self) -> None:
        if self.tol is not None and self.n_iter_ == self.max_iter:
            warnings.warn(
                "Maximum number of iteration reached before convergence. Consider increasing max_iter to improve the fit.",
                ConvergenceWarning,
                stacklevel=3,
            )

    # --- predictions

    def _outputs(self, X: Any) -> Array:
        check_is_fitted(self)
        check_inputs(X)
        X = validate_data(self, X, accept_sparse="csr", dtype=FLOATS, reset=False)
        outputs = _linear(X, self.coef_.T, self.intercept_)
        return outputs.ravel() if outputs.ndim > 1 and outputs.shape[1] == 1 else outputs

    def densify(self) -> Any:
        """Make ``coef_`` an array again, if it was sparse.

        Returns
        -------
        self
        """
        check_is_fitted(self)
        if sparse.issparse(self.coef_):
            self.coef_ = self.coef_.toarray()
        return self

    def sparsify(self) -> Any:
        """Make ``coef_`` a sparse matrix: smaller, where an L1 penalty has left few coefficients.

        Returns
        -------
        self
        """
        check_is_fitted(self)
        self.coef_ = sparse.csr_matrix(self.coef_)
        return self

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


def _has_probabilities(estimator: Any) -> bool:
    if estimator.loss not in ("log_loss", "modified_huber", "softmax"):
        raise AttributeError(f"probability estimates are not available for loss={estimator.loss!r}")
    return True


@documented(PARAMETERS)
class SGDClassifier(ClassifierMixin, BaseSGD):
    """Linear classifier trained by stochastic gradient descent, one example after the other: scikit-learn's, in less time.

    Every parameter and fitted attribute of ``sklearn.linear_model.SGDClassifier`` has the same meaning and default. X may be a
    sparse matrix. All classes are trained in one pass over the data, each against all others.

    Parameters
    ----------
    loss : str, default "hinge"
        "hinge", "log_loss", "modified_huber", "squared_hinge", "perceptron", a loss of `SGDRegressor`; new: "softmax", the
        cross-entropy of all classes together.
    {penalty}
    n_jobs : int, optional
        Threads, which divide the classes among them; the result is the same. Default: those of nncore.
    random_state : int, RandomState or None
        Of the order of the examples, and what is held back.
    learning_rate : str, default "optimal"
        {rates} with loss="hinge".
    {schedule}
    class_weight : dict or "balanced", optional
        Weights of the classes; they multiply ``sample_weight``. "balanced" gives every class the same total weight: an example
        of weight 2 counts as two.
    {last}

    Attributes
    ----------
    coef_ : ndarray, (1, features) for two classes, else (classes, features)
    intercept_ : ndarray, (1,) or (classes,)
    classes_ : ndarray
    n_iter_ : int
        Epochs until the last class has converged.
    t_ : float
        1 + the number of examples that the training has seen.
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        If X has column names.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from nncore.sklearn import SGDClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> classifier = make_pipeline(StandardScaler(), SGDClassifier(loss="log_loss", random_state=0)).fit(X, y)
    >>> classifier.score(X, y) > 0.9
    True
    """

    _losses, _passive_loss = CLASSIFICATION_LOSSES, "hinge"

    def __init__(
        self, loss: str = "hinge", *, penalty: str | None = "l2", alpha: float = 0.0001, l1_ratio: float = 0.15,
        fit_intercept: bool = True, max_iter: int = 1000, tol: float | None = 1e-3, shuffle: bool = True, verbose: int = 0,
        epsilon: float = 0.1, n_jobs: int | None = None, random_state: Any = None, learning_rate: str = "optimal",
        eta0: float = 0.01, power_t: float = 0.5, early_stopping: bool = False, validation_fraction: float = 0.1,
        n_iter_no_change: int = 5, class_weight: Any = None, warm_start: bool = False, average: bool | int = False,
    ) -> None:  # fmt: skip
        self._keep(locals())

    def _begin(self, y: Any) -> int:
        check_classification_targets(y)
        self.classes_ = np.unique(y)
        return self._n_outputs()

    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> Any:
        """One more epoch on these examples.

        Parameters
        ----------
        X, y, sample_weight : as for ``fit``
        classes : array-like
            All classes of all calls; needed in the first one.

        Returns
        -------
        self
        """
        self._check_parameters(incremental=True)
        first = not hasattr(self, "classes_")
        if first and classes is None:
            raise ValueError("classes must be passed on the first call to partial_fit.")
        if self.class_weight == "balanced":
            raise ValueError("class_weight must be a dict for partial_fit, which does not see all data, got 'balanced'")
        if not first and classes is not None and not np.array_equal(unique_labels(classes), self.classes_):
            raise ValueError(f"`classes={classes!r}` is not the same as on last call to partial_fit, was: {self.classes_!r}")
        with unchanged_if_refused(self):
            X, y = self._validated(X, y, reset=first)
            if first:
                self.classes_ = unique_labels(classes)
            outputs = self._n_outputs()
            start = self._last_weights(outputs, X) if hasattr(self, "coef_") else self._first_weights(outputs, X, None, None)
            self._fit(X, y, sample_weight, start, 1, getattr(self, "t_", 1.0))
        return self

    def _n_outputs(self) -> int:
        if len(self.classes_) < 2:
            raise ValueError(f"The number of classes has to be greater than one; got {len(self.classes_)} class")
        return 1 if len(self.classes_) == 2 else len(self.classes_)

    def _fit(self, X: Any, y: Any, sample_weight: Any, start: Weights, epochs: int, t: float) -> None:
        codes = self._codes(y)
        weights = np.ones(len(codes)) if sample_weight is None else summable_weights(sample_weight, len(codes), "sample_weight")
        given = None if sample_weight is None else weights
        by_class = weights_of_classes(self.class_weight, self.classes_, codes, given)
        product = weighted_by_class(self.class_weight, by_class[codes], given)
        outputs = len(start.coef)
        kind = "log_loss" if self.loss == "softmax" and outputs == 1 else self.loss
        if outputs == 1:
            labels, shares = np.ones(1), (by_class[1:], by_class[:1])
        elif kind == "softmax":
            weights = product
            labels, shares = np.arange(float(outputs)), (np.ones(outputs), np.ones(outputs))
        else:
            labels, shares = np.arange(float(outputs)), (by_class, np.ones(outputs))
        self._train(X, codes, weights, start, labels=labels, by_class=shares, kind=kind, epochs=epochs, t=t)

    def _codes(self, y: Any) -> Array:
        """The positions of the labels in ``classes_``."""
        labels = column_or_1d(y, warn=True)
        codes = np.minimum(np.searchsorted(self.classes_, labels), len(self.classes_) - 1)
        unknown = self.classes_[codes] != labels
        if np.any(unknown):
            raise ValueError(f"y must have labels among classes_, {self.classes_}, got {shown(labels[unknown].tolist()[0])}")
        return codes

    def _scorer(self, X: Any, targets: Array, weights: Array, labels: Array | None, kind: str) -> Any:
        """The accuracies of the outputs, each against all; of "softmax" that of all together."""

        def score(W: Array, bias: Array, outputs: Array) -> Array:
            z = _linear(X, W, bias)
            if kind == "softmax":
                right = np.repeat((z.argmax(axis=1) == targets)[:, None], len(outputs), axis=1)
            else:
                right = (z > 0) == (targets[:, None] == np.asarray(labels)[outputs])
            accuracies: Array = np.average(right, axis=0, weights=weights)
            return accuracies

        return score

    # --- predictions

    def decision_function(self, X: Any) -> Array:
        """The outputs, (n,) for two classes, where a positive one stands for the second, else (n, classes).

        Parameters
        ----------
        X : as for ``fit``
        """
        return self._outputs(X)

    def predict(self, X: Any) -> Array:
        """The classes of the rows of X.

        Parameters
        ----------
        X : as for ``fit``
        """
        outputs = self._outputs(X)
        labels: Array = self.classes_[(outputs > 0).astype(int) if outputs.ndim == 1 else outputs.argmax(axis=1)]
        return labels

    @available_if(_has_probabilities)
    def predict_proba(self, X: Any) -> Array:
        """The probabilities of the classes, (n, classes): of the logistic function or, for "modified_huber",
        (clip(z, −1, 1) + 1)/2; those of several classes are divided by their sum.

        Parameters
        ----------
        X : as for ``fit``
        """
        z = self._outputs(X)
        if z.ndim > 1 and self.loss == "softmax":
            return np.asarray(softmax(z, axis=1))
        p = (np.clip(z, -1, 1) + 1) / 2 if self.loss == "modified_huber" else expit(z)
        if p.ndim == 1:
            return np.column_stack([1 - p, p])
        p[p.sum(axis=1) == 0] = 1
        return p / p.sum(axis=1, keepdims=True)

    @available_if(_has_probabilities)
    def predict_log_proba(self, X: Any) -> Array:
        """The logarithms of ``predict_proba``.

        Parameters
        ----------
        X : as for ``fit``
        """
        return np.log(self.predict_proba(X))


@documented(PARAMETERS)
class SGDRegressor(RegressorMixin, BaseSGD):
    """Linear regressor trained by stochastic gradient descent, one example after the other: scikit-learn's, in less time.

    Every parameter and fitted attribute of ``sklearn.linear_model.SGDRegressor`` has the same meaning and default. X may be a
    sparse matrix.

    Parameters
    ----------
    loss : str, default "squared_error"
        "squared_error" (z − y)²/2, "huber", "epsilon_insensitive" max(0, |z − y| − ε), or its square,
        "squared_epsilon_insensitive".
    {penalty}
    random_state : int, RandomState or None
        Of the order of the examples, and what is held back.
    learning_rate : str, default "invscaling"
        {rates} with loss="epsilon_insensitive".
    {schedule}
    {last}

    Attributes
    ----------
    coef_ : ndarray, (features,)
    intercept_ : ndarray, (1,)
    n_iter_ : int
        Epochs.
    t_ : float
        1 + the number of examples that the training has seen.
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        If X has column names.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from nncore.sklearn import SGDRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> regressor = make_pipeline(StandardScaler(), SGDRegressor(random_state=0)).fit(X, y)
    >>> regressor.score(X, y) > 0.5
    True
    """

    _losses, _passive_loss = REGRESSION_LOSSES, "epsilon_insensitive"

    def __init__(
        self, loss: str = "squared_error", *, penalty: str | None = "l2", alpha: float = 0.0001, l1_ratio: float = 0.15,
        fit_intercept: bool = True, max_iter: int = 1000, tol: float | None = 1e-3, shuffle: bool = True, verbose: int = 0,
        epsilon: float = 0.1, random_state: Any = None, learning_rate: str = "invscaling", eta0: float = 0.01,
        power_t: float = 0.25, early_stopping: bool = False, validation_fraction: float = 0.1, n_iter_no_change: int = 5,
        warm_start: bool = False, average: bool | int = False,
    ) -> None:  # fmt: skip
        self._keep(locals())

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
        """One more epoch on these examples.

        Parameters
        ----------
        X, y, sample_weight : as for ``fit``

        Returns
        -------
        self
        """
        self._check_parameters(incremental=True)
        with unchanged_if_refused(self):
            fitted = hasattr(self, "coef_")
            X, y = self._validated(X, y, reset=not fitted)
            start = self._last_weights(1, X) if fitted else self._first_weights(1, X, None, None)
            self._fit(X, y, sample_weight, start, 1, getattr(self, "t_", 1.0))
        return self

    def _fit(self, X: Any, y: Any, sample_weight: Any, start: Weights, epochs: int, t: float) -> None:
        weights = np.ones(len(y)) if sample_weight is None else summable_weights(sample_weight, len(y), "sample_weight")
        targets, ones = as_numbers(y, "y").astype(X.dtype), (np.ones(1), np.ones(1))
        self._train(X, targets, weights, start, labels=None, by_class=ones, kind=self.loss, epochs=epochs, t=t)

    def _scorer(self, X: Any, targets: Array, weights: Array, labels: Array | None, kind: str) -> Any:
        """R²."""

        def score(W: Array, bias: Array, outputs: Array) -> Array:
            z = _linear(X, W, bias)
            return np.array([r2_score(targets, z[:, 0], sample_weight=weights)])

        return score

    def _set_coefficients(self, coef: Array, bias: Array) -> None:
        self.coef_, self.intercept_ = coef[0], bias

    def predict(self, X: Any) -> Array:
        """The targets of the rows of X, (n,).

        Parameters
        ----------
        X : as for ``fit``
        """
        return self._outputs(X).ravel()
