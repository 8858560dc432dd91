"""The computations of nncore in plain NumPy, name for name the twins of the compiled kernels. Read these first.

- `activations`, `losses`, `dense`, `gather`: what a network computes, forward and backward, one function per kernel;
- `optimizers`: what a step does to the parameters;
- `training`: all of it put together into a network that learns.

The tests compare each kernel with its twin, and each twin's gradient with differences of its own values; the benchmarks
compare speeds.
"""

from . import activations, dense, gather, losses, optimizers, training
from .activations import (
    elu_backward,
    elu_forward,
    gelu_backward,
    gelu_forward,
    gelu_tanh_backward,
    gelu_tanh_forward,
    identity_backward,
    identity_forward,
    leaky_relu_backward,
    leaky_relu_forward,
    relu_backward,
    relu_forward,
    sigmoid_backward,
    sigmoid_forward,
    silu_backward,
    silu_forward,
    softmax_backward,
    softmax_forward,
    softplus_backward,
    softplus_forward,
    tanh_backward,
    tanh_forward,
)
from .dense import dense_backward_bias, dense_backward_input, dense_backward_weight, dense_forward
from .gather import gather_labels, gather_one_hot, gather_rows, gather_weights, write_rows
from .losses import (
    accuracy_binary,
    accuracy_labels,
    accuracy_targets,
    binary_cross_entropy,
    hinge,
    huber,
    kl_divergence,
    mean_absolute_error,
    mean_squared_error,
    sigmoid_cross_entropy,
    softmax_cross_entropy,
    softmax_cross_entropy_labels,
    squared_error,
)
from .optimizers import adam_update, momentum_update, nesterov_update, sgd_update
from .training import MLP

__all__ = [
    "MLP",
    "accuracy_binary",
    "accuracy_labels",
    "accuracy_targets",
    "activations",
    "adam_update",
    "binary_cross_entropy",
    "dense",
    "dense_backward_bias",
    "dense_backward_input",
    "dense_backward_weight",
    "dense_forward",
    "elu_backward",
    "elu_forward",
    "gather",
    "gather_labels",
    "gather_one_hot",
    "gather_rows",
    "gather_weights",
    "gelu_backward",
    "gelu_forward",
    "gelu_tanh_backward",
    "gelu_tanh_forward",
    "hinge",
    "huber",
    "identity_backward",
    "identity_forward",
    "kl_divergence",
    "leaky_relu_backward",
    "leaky_relu_forward",
    "losses",
    "mean_absolute_error",
    "mean_squared_error",
    "momentum_update",
    "nesterov_update",
    "optimizers",
    "relu_backward",
    "relu_forward",
    "sgd_update",
    "sigmoid_backward",
    "sigmoid_cross_entropy",
    "sigmoid_forward",
    "silu_backward",
    "silu_forward",
    "softmax_backward",
    "softmax_cross_entropy",
    "softmax_cross_entropy_labels",
    "softmax_forward",
    "softplus_backward",
    "softplus_forward",
    "squared_error",
    "tanh_backward",
    "tanh_forward",
    "training",
    "write_rows",
]
