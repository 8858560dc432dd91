"""The parameters and attributes that both estimators have, as their docstrings describe them."""

from __future__ import annotations

import inspect
import textwrap
from typing import TypeVar

__all__ = ["documented"]

C = TypeVar("C", bound=type)

PARAMETERS = """\
hidden_layer_sizes : int or sequence of int, default (100,)
    The widths of the hidden layers.
activation : str, Layer or sequence of them, default "relu"
    "identity", "logistic", "tanh", "relu", or another activation of nncore; a sequence has one for each hidden layer.
solver : {"adam", "sgd", "lbfgs"}, default "adam"
    "sgd" has momentum; "lbfgs" is SciPy's L-BFGS-B on all rows.
alpha : float, default 1e-4
    Strength of the L2 penalty on the weights, ½ alpha ‖W‖² / b with b the mean number of examples in a batch.
batch_size : int or "auto", default "auto"
    "auto" is min(200, n).
learning_rate : {"constant", "invscaling", "adaptive"}, default "constant"
    For "sgd" and ``optimizer``. "invscaling": learning_rate_init / (t + 1)^power_t, t the examples seen in earlier epochs.
    "adaptive": divided by 5 where training would otherwise end.
learning_rate_init : float, default 1e-3
power_t : float, default 0.5
max_iter : int, default 200
    The maximum number of epochs, or of iterations of "lbfgs".
shuffle : bool, default True
random_state : int, RandomState or None
    Of the initial parameters, the order of the examples and the split for early stopping.
tol : float, default 1e-4
    The improvement that counts; for "lbfgs" the largest component of the gradient at which it ends.
verbose : bool, default False
    Print a line for each epoch.
warm_start : bool, default False
    ``fit`` continues from the last one, with the optimizer's state.
momentum : float, default 0.9
    In [0, 1).
nesterovs_momentum : bool, default True
early_stopping : bool, default False
    End when ``monitor`` does not improve, and take the best parameters.
validation_fraction : float, default 0.1
    Held back for early stopping, unless ``fit`` is given X_val.
beta_1, beta_2, epsilon : float, default 0.9, 0.999, 1e-8
    Of "adam".
n_iter_no_change : int, default 10
    Training ends after more epochs than this without improvement.
max_fun : int, default 15000
    The maximum number of evaluations of "lbfgs"."""

NEW_PARAMETERS = """\
dropout : float or sequence of float, default 0
    The share of the units dropped after each hidden layer.
normalization : {"batch_norm", "layer_norm"}, optional
    Before the activation of each hidden layer.
optimizer : str or Optimizer, optional
    Instead of ``solver``. A name gives an optimizer with learning_rate_init; an object is copied and used as it is.
schedule : Schedule, optional
    Of the learning rate.
clip : float or Clipping, optional
    A number is the largest norm of the gradient.
regularizer : Regularizer or mapping, optional
    Instead of ``alpha``.
weight_init : str or Initializer, optional
    With biases of 0. Default: scikit-learn's, of weights and biases.
dtype : {"float32", "float64"}, default "float32"
callbacks : sequence of Callback, optional
    Callbacks of nncore.
monitor : str, default "score"
    What early stopping watches: "score" (accuracy or R²), "loss" of the validation data, or a column of the history."""

ATTRIBUTES = """\
coefs_, intercepts_ : list of ndarray
    Weights (inputs, units) and biases of the layers: views of the network's.
loss_, best_loss_ : float
    With early stopping ``best_loss_`` is None.
loss_curve_ : list of float
    The mean loss of each epoch, penalty included; "lbfgs" has neither this nor ``best_loss_``.
validation_scores_, best_validation_score_ : list of float, float
    With early stopping: the monitored values, and the best one.
n_iter_, t_ : int
    Epochs of the last call, and examples seen in all calls.
n_features_in_, n_layers_, n_outputs_ : int
feature_names_in_ : ndarray of str
    If X has column names.
out_activation_ : str
model_ : Sequential
trainer_ : Trainer
history_ : History"""


def documented(cls: C) -> C:
    """Insert the descriptions at their places in the docstring."""
    if cls.__doc__:
        doc = inspect.cleandoc(cls.__doc__)
        for name, text in (("parameters", PARAMETERS), ("new_parameters", NEW_PARAMETERS), ("attributes", ATTRIBUTES)):
            doc = doc.replace(f"{{{name}}}", text)
        cls.__doc__ = textwrap.indent(doc, "    ").strip() + "\n"
    return cls
