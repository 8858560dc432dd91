"""scikit-learn's MLPClassifier."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import sklearn
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier
from threadpoolctl import threadpool_limits

from benchmarks.nets import Net
from benchmarks.worker import Rival


class Trainer(Rival):
    """`fit` of a warm-started classifier with `max_iter` epochs: `partial_fit` checks the data every epoch."""

    def __init__(self, net: Net, X: Any, y: Any, dtype: str, options: dict[str, Any]) -> None:
        warnings.simplefilter("ignore", ConvergenceWarning)
        self.limits = threadpool_limits(options.get("threads"), user_api="blas")
        self.net = MLPClassifier(
            net.sizes[1:-1], activation="relu", solver="adam", alpha=0, batch_size=net.batch, learning_rate_init=1e-3,
            max_iter=1, shuffle=True, tol=0, n_iter_no_change=10**9, warm_start=True, random_state=0,
        )  # fmt: skip
        self.X, self.y = X, y
        self.train(1)  # makes the weights
        self.version = sklearn.__version__
        self.note = "two classes share one sigmoid unit" if net.sizes[-1] == 2 else ""

    def load(self, weights: list[Any]) -> None:
        """See `Rival.load`; for two classes, the single output unit gets the difference."""
        *hidden, last = weights
        if last.shape[1] == 2:
            last = last[:, 1:] - last[:, :1]
        self.net.coefs_ = [W.copy() for W in (*hidden, last)]
        self.net.intercepts_ = [np.zeros(W.shape[1], W.dtype) for W in self.net.coefs_]

    def train(self, epochs: int) -> None:
        """See `Rival.train`."""
        self.net.set_params(max_iter=epochs).fit(self.X, self.y)

    def logits(self, X: Any) -> Any:
        """See `Rival.logits`."""
        return np.log(np.maximum(self.net.predict_proba(X), np.finfo(X.dtype).tiny))
