"""The classifier."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils import column_or_1d
from sklearn.utils.metaestimators import available_if

from nncore import losses
from nncore._messages import shown
from nncore.layers import Layer, Sigmoid, Softmax
from nncore.losses import Hinge, Loss, Poisson
from nncore.sklearn.base import BaseMLP, _has_gradient_steps
from nncore.sklearn.estimator import Array
from nncore.sklearn.parameters import MLP, documented
from nncore.sklearn.targets import Classifier, check_labels

__all__ = ["MLPClassifier"]


def _all_classes(classes: Any) -> Array:
    given = np.asarray(classes)
    if given.ndim != 1 or not given.size:
        raise ValueError(f"classes must be one label or more, (k,), got {shown(classes)}")
    return np.unique(given)


@documented(MLP)
class MLPClassifier(Classifier, BaseMLP):
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
        Weights of the classes; they multiply ``sample_weight``. "balanced" gives every class the same total weight: an example
        of weight 2 counts as two.
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
        compute_dtype: str | None = None, callbacks: Any = None, monitor: str = "score",
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
        return self._fit(X, y, sample_weight, incremental=True, classes=None if classes is None else _all_classes(classes))

    def _later_targets(self, y: Any, classes: Array | None) -> Array:
        check_labels(y)
        if self._several:
            self._check_number(classes)
        else:
            self._check_classes(y, classes)
        return self._targets(y, warn=True)

    def _check_classes(self, y: Any, given: Array | None) -> None:
        if given is not None and not np.array_equal(given, self.classes_):
            raise ValueError(f"classes must be those of the first call, {self.classes_}, got {given}")
        if self.warm_start and set(np.unique(column_or_1d(y))) != set(self.classes_):
            raise ValueError(
                f"warm_start can only be used where y has the same classes as in the previous call to fit, {self.classes_}, "
                f"got {np.unique(column_or_1d(y))}"
            )

    def _chosen_loss(self) -> Loss:
        if isinstance(self.loss, str) and self.loss == "log_loss":
            return losses.get("sigmoid_cross_entropy" if self._several or len(self.classes_) < 3 else "softmax_cross_entropy")
        return losses.get(self.loss)

    def _output(self, y: Array) -> tuple[Loss, int, str, Layer | None]:
        k, loss = len(self.classes_), self._chosen_loss()
        if isinstance(loss, Poisson):
            raise ValueError("loss must be one for classes, got poisson, which takes logarithms of rates: see MLPRegressor")
        if loss.exclusive and self._several:
            raise ValueError(f"loss must be one for several labels for each example, got {loss.name}, for exclusive classes")
        exclusive = not self._several and (k > 2 or (k == 2 and loss.exclusive))
        outputs, link = (k, "softmax") if exclusive else (k if self._several else 1, "logistic")
        if isinstance(loss, Hinge):
            return loss, outputs, "identity", None
        if loss.fused_activation:
            return loss, outputs, {"sigmoid": "logistic"}.get(loss.fused_activation, loss.fused_activation), None
        return loss, outputs, link, Softmax() if exclusive else Sigmoid()
