"""The regressor."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import xlogy

from nncore import losses
from nncore.layers import Layer
from nncore.losses import Loss, Poisson, SquaredError
from nncore.sklearn.base import BaseMLP
from nncore.sklearn.estimator import Array, Examples
from nncore.sklearn.parameters import MLP, documented
from nncore.sklearn.targets import Regressor
from nncore.training import Trainer

__all__ = ["MLPRegressor"]


def _deviance_constant(train: Examples) -> float:
    """The mean of y log y − y: half the deviance, y log(y/μ) − y + μ, is the Poisson loss plus this."""
    y, weights = train.y, train.normalized()[0].weights
    constants = (xlogy(y, y) - y).reshape(len(y), -1).sum(axis=1)
    return float(np.mean(constants if weights is None else weights * constants))


@documented(MLP)
class MLPRegressor(Regressor, BaseMLP):
    """Multi-layer perceptron regressor: scikit-learn's, trained by nncore.

    Every parameter and fitted attribute of ``sklearn.neural_network.MLPRegressor`` has the same meaning and default; the
    parameters from ``dropout`` on are new.

    Parameters
    ----------
    loss : str, Loss or callable, default "squared_error"
        Minimized: "squared_error", "poisson" (half the deviance, with an exponential output and y >= 0), or any loss of nncore.
    {parameters}
    {new_parameters}

    Attributes
    ----------
    {attributes}

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from nncore.sklearn import MLPRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> regressor = MLPRegressor(loss="huber", learning_rate_init=0.05, tol=0.1, random_state=0).fit(X, y)
    >>> regressor.score(X, y) > 0.4
    True
    """

    def __init__(
        self, loss: Any = "squared_error", hidden_layer_sizes: Any = (100,), activation: Any = "relu", *, solver: str = "adam",
        alpha: float = 0.0001, batch_size: int | str = "auto", learning_rate: str = "constant",
        learning_rate_init: float = 0.001, power_t: float = 0.5, max_iter: int = 200, shuffle: bool = True,
        random_state: Any = None, tol: float = 1e-4, verbose: bool = False, warm_start: bool = False, momentum: float = 0.9,
        nesterovs_momentum: bool = True, early_stopping: bool = False, validation_fraction: float = 0.1, beta_1: float = 0.9,
        beta_2: float = 0.999, epsilon: float = 1e-8, n_iter_no_change: float = 10, max_fun: int = 15000,
        dropout: Any = 0.0, normalization: str | None = None, optimizer: Any = None, schedule: Any = None, clip: Any = None,
        regularizer: Any = None, weight_init: Any = None, dtype: Any = "float32", compute_dtype: str | None = None,
        callbacks: Any = None, monitor: str = "score",
    ) -> None:  # fmt: skip
        self._keep(locals())

    # --- targets

    def _later_targets(self, y: Any, classes: Any) -> Array:
        targets = self._targets(y, warn=True)
        width = 1 if targets.ndim == 1 else targets.shape[1]
        if width != self.n_outputs_:
            raise ValueError(f"y must have {self.n_outputs_} targets for each row, as before, got {width}")
        return targets

    def _targets(self, y: Any, warn: bool = False) -> Array:
        targets = super()._targets(y, warn)
        if self._is_poisson() and targets.min() < 0:
            raise ValueError(f"y must be at least 0 for the poisson loss, got {targets.min()}")
        return targets

    def _is_poisson(self) -> bool:
        return isinstance(losses.get(self.loss), Poisson)

    def _output(self, y: Array) -> tuple[Loss, int, str, Layer | None]:
        outputs = 1 if y.ndim == 1 else y.shape[1]
        return losses.get(self.loss), outputs, "exp" if self._is_poisson() else "identity", None

    def _train(self, trainer: Trainer, train: Examples, *arguments: Any) -> None:
        self._loss_constant = _deviance_constant(train) if self._is_poisson() else 0.0
        super()._train(trainer, train, *arguments)

    def _reported_loss(self, loss: float, penalty: float) -> float:
        """scikit-learn reports the squared error as a mean over the outputs, and descends along the gradient of its sum."""
        if isinstance(self._loss, SquaredError):
            return (loss - penalty) / self.n_outputs_ + penalty
        return loss + self._loss_constant

    # --- predictions

    def _predictions(self, outputs: Array) -> Array:
        means = np.exp(outputs) if self.out_activation_ == "exp" else outputs
        return means[:, 0] if self.n_outputs_ == 1 else means
