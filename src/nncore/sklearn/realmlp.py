"""RealMLP: a perceptron with the parts that make it good on tables without tuning."""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from scipy.special import expit, logit, softmax
from sklearn.utils import _safe_indexing, check_consistent_length, check_random_state, get_tags
from sklearn.utils.validation import _num_samples, check_array, check_is_fitted, validate_data

from nncore._utils.checks import convert, float_dtype
from nncore._utils.fields import choice, count, flag, number
from nncore.callbacks import Callback
from nncore.data import StandardScaler
from nncore.initializers import Normal
from nncore.layers import Dense, Layer, Scale
from nncore.losses import Loss, MeanSquaredError, SigmoidCrossEntropy, SoftmaxCrossEntropy
from nncore.model import Sequential
from nncore.optimizers import Adam
from nncore.schedules import CosLog, Schedule
from nncore.sklearn.encoder import TabularEncoder
from nncore.sklearn.epochs import OfOneFit
from nncore.sklearn.estimator import SEEDS, Array, Examples, NetworkEstimator, unchanged_if_refused
from nncore.sklearn.inputs import as_parameters, check_inputs, check_readable, make_transformer, result_rows
from nncore.sklearn.network import finite_outputs, hidden_sizes, layers
from nncore.sklearn.parameters import REAL_MLP, documented
from nncore.sklearn.targets import Classifier, Regressor
from nncore.training import Trainer

__all__ = ["RealMLPClassifier", "RealMLPRegressor"]


class BestEpoch(OfOneFit):
    """Keeps the parameters of the epoch with the best score, the last one of several, until they are put back.

    Parameters
    ----------
    score : callable
        Of the row of the epoch; larger is better.
    """

    columns = ("val_score",)

    def __init__(self, score: Callable[[Mapping[str, Any]], float] | None) -> None:
        self.score, self.best, self.epoch = score, -math.inf, 0
        self.kept: tuple[Array, Array] | None = None

    def on_epoch_end(self, trainer: Any, epoch: int, row: dict[str, Any]) -> None:
        row["val_score"] = self.score(row) if self.score else math.nan
        if row["val_score"] >= self.best:
            self.best, self.epoch = row["val_score"], epoch
            self.kept = trainer.model.parameters.copy(), trainer.model.state.copy()

    def put_back(self, model: Sequential) -> int:
        """Put the parameters back, and return their epoch."""
        if self.kept is not None:
            with model.lock:
                model.parameters[...], model.state[...] = self.kept
        self.score = self.kept = None  # the trainer keeps its callbacks
        return self.epoch


def _weighted(examples: Examples) -> Examples:
    """Those of a weight above 0: the others would change the scale of inputs and targets, the categories and the range."""
    if examples.weights is None or examples.weights.all():
        return examples
    rows = np.flatnonzero(examples.weights)
    return Examples(_safe_indexing(examples.X, rows), examples.y[rows], examples.weights[rows])


class BaseRealMLP(NetworkEstimator):
    """Base of `RealMLPClassifier` and `RealMLPRegressor`: they define the loss and what becomes of the outputs."""

    models_: list[Sequential]
    trainers_: list[Trainer]
    best_epochs_: list[int]

    # --- defined by a subclass

    def _output(self, y: Array) -> tuple[Loss, int, str]:
        """The loss, the number of outputs and their activation."""
        raise NotImplementedError

    def _target_scaler(self, y: Array) -> StandardScaler | None:
        """What scales the targets."""
        return None

    def _epoch_score(self, row: Mapping[str, Any], held_back: Examples) -> float:
        """What the best epoch is best in."""
        return -float(row["val_loss"])

    def _mean(self, outputs: Array) -> Array:
        """The outputs of the ensemble for those of its members, (members, n, outputs)."""
        raise NotImplementedError

    # --- fitting

    def _fit(self, X: Any, y: Any, sample_weight: Any, validation: tuple[Any, ...]) -> Any:
        with unchanged_if_refused(self) as begun:
            self._check_parameters()
            X, y = self._checked(X, y, reset=True)
            examples = _weighted(self._examples(X, y, self._first_targets(y), sample_weight))
            examples = examples._replace(X=self._encoded(examples.X, reset=True))
            given = self._given_validation(examples.y, *validation)
            self._loss, self.n_outputs_, self.out_activation_ = self._output(examples.y)
            self.models_, self.trainers_, self.best_epochs_ = [], [], []
            random, scaler = check_random_state(self.random_state), self._target_scaler(examples.y)
            for _ in range(self.n_members):
                seed = random.randint(SEEDS)
                train, held_back = (
                    (examples, given) if given or not self.validation_fraction else self._hold_back(examples, seed)
                )
                self.models_.append(self._network(examples.X.shape[1], seed))
                self.models_[-1].target_scaler = scaler
                self._train(self.models_[-1], train.normalized()[0], held_back, seed, begun)
                if self.trainers_[-1].interrupted:
                    warnings.warn("Training interrupted by user.", stacklevel=3)
                    break
        return self

    def _check_parameters(self) -> None:
        """Check what neither the network nor the optimizer checks."""
        float_dtype(self.dtype)
        for name in ("n_epochs", "batch_size", "n_members"):
            count(name, getattr(self, name))
        for name in ("ntk", "zero_output"):
            flag(name, getattr(self, name))
        if self.scale_lr_factor is not None:
            number("scale_lr_factor", self.scale_lr_factor, 0)
        if not isinstance(self.verbose, (bool, np.bool_)):
            count("verbose", self.verbose, 0, below=3)
        number("bias_lr_factor", self.bias_lr_factor, 0)
        number("learning_rate_init", self.learning_rate_init, above=0)
        number("validation_fraction", self.validation_fraction, 0, below=1)
        if isinstance(self.schedule, str):
            choice("schedule", self.schedule, ("cos_log",))

    def _validated(self, X: Any, y: Any, reset: bool) -> tuple[Any, Any]:
        X, y = self._checked(X, y, reset)
        return self._encoded(X, reset), y

    def _checked(self, X: Any, y: Any, reset: bool) -> tuple[Any, Any]:
        """X as it is, which the encoder checks, and y."""
        check_readable(y, "y")
        validate_data(self, X, y, skip_check_array=True, reset=reset)
        y = check_array(y, accept_sparse="csr", ensure_2d=False, dtype=None, input_name="y")
        check_consistent_length(X, y)
        return X, y

    def _encoded(self, X: Any, reset: bool) -> Array:
        """X as the network takes it."""
        if reset:
            self.encoder_ = make_transformer("encoder", self.encoder, "tabular", TabularEncoder)
        if self.encoder_ is None:
            check_inputs(X)
            encoded: Array = validate_data(self, X, dtype=np.dtype(self.dtype), reset=reset)
            return encoded
        encode = self.encoder_.fit_transform if reset else self.encoder_.transform
        return convert(result_rows("encoder", encode(X), _num_samples(X)), np.dtype(self.dtype))

    def _network(self, inputs: int, seed: int) -> Sequential:
        """The scale of each input, hidden layers, and outputs that are 0 at first."""
        parts = layers(
            inputs, hidden_sizes(self.hidden_layer_sizes), self.n_outputs_, activation=self.activation,
            weight_init="lecun_normal" if self.ntk else "glorot_uniform",
            bias_init=Normal(1.0) if self.ntk else "zeros",
        )  # fmt: skip
        if self.zero_output:
            parts[-1] = Dense(self.n_outputs_, weight_init="zeros")
        scale: list[Layer] = [] if self.scale_lr_factor is None else [Scale()]
        return Sequential([*scale, *parts], inputs, dtype=self.dtype, compute_dtype=self.compute_dtype, seed=seed)

    def _train(self, model: Sequential, train: Examples, held_back: Examples | None, seed: int, last: Callback) -> None:
        n = len(train.y)
        batch = min(self.batch_size, n)
        steps = n // batch if self.last_batch == "drop" else -(-n // batch)
        with as_parameters(lr="schedule", beta1="beta_1", beta2="beta_2", eps="epsilon"):
            adam = Adam(self._learning_rate(steps), (self.beta_1, self.beta_2), self.epsilon)
        callbacks = self._own_callbacks()
        self.trainers_.append(Trainer(model, self._loss, adam, lr_factors=self._lr_factors(model), seed=seed))
        best = BestEpoch(lambda row: self._epoch_score(row, held_back)) if held_back else None
        try:
            self.trainers_[-1].fit(
                train.X, train.y, epochs=self.n_epochs, batch_size=batch, last_batch=self.last_batch,
                sample_weight=train.weights, callbacks=[*([best] if best else []), *callbacks, last],
                verbose=int(self.verbose), validation_data=held_back.given() if held_back else None,
            )  # fmt: skip
        finally:  # after other callbacks may have put other parameters back
            self.best_epochs_.append(best.put_back(model) if best else self.trainers_[-1].epochs_done)

    def _learning_rate(self, steps: int) -> float | Schedule:
        """The learning rate, or its schedule, for an epoch of so many steps."""
        if self.schedule is None:
            return float(self.learning_rate_init)
        if isinstance(self.schedule, str):
            return CosLog(self.learning_rate_init, self.n_epochs * steps)
        schedule: Schedule = copy.deepcopy(self.schedule)
        return schedule

    def _lr_factors(self, model: Sequential) -> dict[str, float]:
        """The factors of the learning rate of each array.

        In z = hW/√d + b with d inputs, Adam moves a weight by η, so W/√d by η/√d: the neural tangent parametrization is an
        ordinary layer with another learning rate.
        """
        factors = {"*.bias": float(self.bias_lr_factor)}
        for layer in model.layers:
            if isinstance(layer, Scale):
                factors[f"{layer.name}.weight"] = float(self.scale_lr_factor)
            elif isinstance(layer, Dense) and self.ntk:
                factors[f"{layer.name}.weight"] = 1 / math.sqrt(layer.weight.shape[1])
        return factors

    # --- what was fitted

    @property
    def model_(self) -> Sequential:
        """The network, the first one of several."""
        return self.models_[0]

    @property
    def trainer_(self) -> Trainer:
        """The trainer of ``model_``."""
        return self.trainers_[0]

    def _outputs(self, X: Any) -> Array:
        """The outputs of the network, or of the ensemble."""
        check_is_fitted(self, "models_")
        X = self._encoded(X, reset=False)
        outputs = np.stack([finite_outputs(model, X) for model in self.models_])
        return outputs[0] if len(outputs) == 1 else self._mean(outputs)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        if hasattr(self.encoder, "__sklearn_tags__"):
            tags.input_tags.allow_nan = get_tags(self.encoder).input_tags.allow_nan
        return tags


@documented(REAL_MLP)
class RealMLPClassifier(Classifier, BaseRealMLP):
    """Multi-layer perceptron for tables that needs no tuning: RealMLP-TD-S (Holzmüller, Grinsztajn, Steinwart 2024).

    Data frames may have columns of numbers, text, categories and truth values (`TabularEncoder`). Each input is multiplied by
    a learned scale, each layer is z = hW/√d + b with W, b ~ N(0, 1) and d inputs, the last one 0 at first; Adam follows the
    learning rate η/2 (1 − cos(2π log₂(1 + 15t))), t from 0 to 1, times 6 for scales and 0.1 for biases; the epoch with the
    best validation score counts. Each of these parts has a parameter that switches it off.

    Parameters
    ----------
    {parameters}
    label_smoothing : float, default 0.1
        Better for accuracy; 0 is better where probabilities count (log-loss, area under the curve).
    class_weight : dict or "balanced", optional
        Weights of the classes; they multiply ``sample_weight``. "balanced" gives every class the same total weight: an example
        of weight 2 counts as two.
    monitor : {"score", "loss"}, default "score"
        What the best epoch is best in: the accuracy on the validation data, or their loss.
    {training}

    Attributes
    ----------
    classes_ : ndarray
    {attributes}

    Examples
    --------
    >>> import pandas
    >>> from nncore.sklearn import RealMLPClassifier
    >>> X = pandas.DataFrame({"size": [3.0, 1, 2, 5] * 20, "color": ["red", "blue", "red", "blue"] * 20})
    >>> y = ["no", "no", "no", "yes"] * 20
    >>> classifier = RealMLPClassifier(n_epochs=20, random_state=0).fit(X, y)
    >>> classifier.predict(X[:4])
    array(['no', 'no', 'no', 'yes'], dtype='<U3')
    """

    def __init__(
        self, hidden_layer_sizes: Any = (256, 256, 256), activation: Any = "selu", *, encoder: Any = "tabular",
        scale_lr_factor: float | None = 6.0, ntk: bool = True, zero_output: bool = True, bias_lr_factor: float = 0.1,
        label_smoothing: float = 0.1, learning_rate_init: float = 0.04, schedule: Any = "cos_log", beta_1: float = 0.9,
        beta_2: float = 0.95, epsilon: float = 1e-8, n_epochs: int = 256, batch_size: int = 256, last_batch: str = "drop",
        validation_fraction: float = 0.2, monitor: str = "score", n_members: int = 1, class_weight: Any = None,
        random_state: Any = None, verbose: Any = False, dtype: Any = "float32", compute_dtype: str | None = None,
        callbacks: Any = None,
    ) -> None:  # fmt: skip
        self._keep(locals())

    def _check_parameters(self) -> None:
        super()._check_parameters()
        choice("monitor", self.monitor, ("score", "loss"))

    def _output(self, y: Array) -> tuple[Loss, int, str]:
        k = len(self.classes_)
        if self._several or k == 1:
            return SigmoidCrossEntropy(self.label_smoothing), k, "logistic"
        return SoftmaxCrossEntropy(self.label_smoothing), k, "softmax"

    def _epoch_score(self, row: Mapping[str, Any], held_back: Examples) -> float:
        if self.monitor == "loss":
            return super()._epoch_score(row, held_back)
        return self._score_outputs(self.models_[-1].forward(held_back.X), held_back)

    def _mean(self, outputs: Array) -> Array:
        """The logits of the mean probabilities."""
        with np.errstate(divide="ignore"):
            if self.out_activation_ == "softmax":
                return np.log(softmax(outputs, axis=2).mean(axis=0))
            return np.asarray(logit(expit(outputs).mean(axis=0)))


@documented(REAL_MLP)
class RealMLPRegressor(Regressor, BaseRealMLP):
    """Multi-layer perceptron for tables that needs no tuning: RealMLP-TD-S (Holzmüller, Grinsztajn, Steinwart 2024).

    Data frames may have columns of numbers, text, categories and truth values (`TabularEncoder`). Each input is multiplied by
    a learned scale, each layer is z = hW/√d + b with W, b ~ N(0, 1) and d inputs, the last one 0 at first; Adam follows the
    learning rate η/2 (1 − cos(2π log₂(1 + 15t))), t from 0 to 1, times 6 for scales and 0.1 for biases; the epoch with the
    best validation score counts. Each of these parts has a parameter that switches it off.

    Parameters
    ----------
    {parameters}
    standardize : bool, default True
        Train on targets of mean 0 and variance 1.
    clip : bool, default True
        Predictions stay within the range of the targets of ``fit`` that have a weight above 0.
    {training}

    Attributes
    ----------
    target_range_ : tuple of ndarray
        The smallest and the largest target of each output.
    {attributes}

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from nncore.sklearn import RealMLPRegressor
    >>> X, y = load_diabetes(return_X_y=True, as_frame=True)
    >>> regressor = RealMLPRegressor(n_epochs=20, random_state=0).fit(X, y)
    >>> regressor.score(X, y) > 0.4
    True
    """

    def __init__(
        self, hidden_layer_sizes: Any = (256, 256, 256), activation: Any = "mish", *, encoder: Any = "tabular",
        scale_lr_factor: float | None = 6.0, ntk: bool = True, zero_output: bool = True, bias_lr_factor: float = 0.1,
        standardize: bool = True, clip: bool = True, learning_rate_init: float = 0.07, schedule: Any = "cos_log",
        beta_1: float = 0.9, beta_2: float = 0.95, epsilon: float = 1e-8, n_epochs: int = 256, batch_size: int = 256,
        last_batch: str = "drop", validation_fraction: float = 0.2, n_members: int = 1, random_state: Any = None,
        verbose: Any = False, dtype: Any = "float32", compute_dtype: str | None = None, callbacks: Any = None,
    ) -> None:  # fmt: skip
        self._keep(locals())

    def _check_parameters(self) -> None:
        super()._check_parameters()
        for name in ("standardize", "clip"):
            flag(name, getattr(self, name))

    def _targets(self, y: Any, warn: bool = False) -> Array:
        return super()._targets(y, warn).astype(np.float64)

    def _output(self, y: Array) -> tuple[Loss, int, str]:
        self.target_range_ = y.min(axis=0), y.max(axis=0)
        return MeanSquaredError(), 1 if y.ndim == 1 else y.shape[1], "identity"

    def _target_scaler(self, y: Array) -> StandardScaler | None:
        return StandardScaler().fitted(y, "y") if self.standardize else None

    def _mean(self, outputs: Array) -> Array:
        return np.asarray(outputs.mean(axis=0))

    def _predictions(self, outputs: Array) -> Array:
        scaler = self.model_.target_scaler
        y = outputs if scaler is None else scaler.inverse_transformed(outputs, "the outputs")
        y = y[:, 0] if self.n_outputs_ == 1 else y
        return np.clip(y, *self.target_range_) if self.clip else y
