"""The parameters and attributes that several estimators have, as their docstrings describe them."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable
from typing import TypeVar

__all__ = ["MLP", "REAL_MLP", "documented"]

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
    ``fit`` continues from the last one, with the optimizer's state. Parameters that make the network must not change.
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
compute_dtype : {"bfloat16"}, optional
    Type of the operands of products (:doc:`/guide/precision`). Default: ``dtype``.
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


REAL_PARAMETERS = """\
hidden_layer_sizes : int or sequence of int, default (256, 256, 256)
activation : str, Layer or sequence of them, default "selu", for regression "mish"
encoder : "tabular", transformer or None, default "tabular"
    Makes numbers of the columns of X. "tabular" is ``TabularEncoder()``; a transformer is cloned.
scale_lr_factor : float or None, default 6
    The factor of the learning rate of the scales; None for a network without scales.
ntk : bool, default True
    The neural tangent parametrization. Otherwise W is Glorot's, b = 0, and all layers have the same learning rate.
zero_output : bool, default True
    The outputs are 0 at first.
bias_lr_factor : float, default 0.1
    The factor of the learning rate of the biases."""

REAL_TRAINING = """\
learning_rate_init : float, default 0.04, for regression 0.07
    The largest learning rate.
schedule : "cos_log", Schedule or None, default "cos_log"
    Of the learning rate; None for a constant one, and ``learning_rate_init`` does not change a Schedule.
beta_1, beta_2, epsilon : float, default 0.9, 0.95, 1e-8
    Of Adam.
n_epochs : int, default 256
batch_size : int, default 256
    Or all examples, if there are fewer.
last_batch : {"drop", "keep", "merge"}, default "drop"
    What happens to a last batch that is smaller.
validation_fraction : float, default 0.2
    Held back to find the best epoch, unless ``fit`` is given X_val. 0: train on all examples, and take the last epoch.
n_members : int, default 1
    The number of networks, whose predictions are averaged; each holds back other examples.
random_state : int, RandomState or None
    Of the initial parameters, the order of the examples and what is held back.
verbose : bool or int, default False
    True for a progress line, 2 for a line for each epoch.
dtype : {"float32", "float64"}, default "float32"
compute_dtype : {"bfloat16"}, optional
    Type of the operands of products (:doc:`/guide/precision`). Default: ``dtype``.
callbacks : sequence of Callback, optional
    Callbacks of nncore."""

REAL_ATTRIBUTES = """\
encoder_ : transformer or None
models_, trainers_ : list of Sequential, list of Trainer
    One for each member.
best_epochs_ : list of int
    The epochs that the parameters are of.
model_, trainer_, history_ : Sequential, Trainer, History
    Of the first member. ``history_["val_score"]`` is what the best epoch is best in; callbacks may watch it too.
n_features_in_, n_outputs_ : int
feature_names_in_ : ndarray of str
    If X has column names.
out_activation_ : str"""

MLP = {"parameters": PARAMETERS, "new_parameters": NEW_PARAMETERS, "attributes": ATTRIBUTES}
REAL_MLP = {"parameters": REAL_PARAMETERS, "training": REAL_TRAINING, "attributes": REAL_ATTRIBUTES}


def documented(texts: dict[str, str]) -> Callable[[C], C]:
    """Insert the descriptions at their places in the docstring of a class."""

    def insert(cls: C) -> C:
        if cls.__doc__:
            doc = inspect.cleandoc(cls.__doc__)
            for name, text in texts.items():
                doc = doc.replace(f"{{{name}}}", text)
            cls.__doc__ = textwrap.indent(doc, "    ").strip() + "\n"
        return cls

    return insert
