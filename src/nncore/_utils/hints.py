"""Hints for unknown names: what to use instead, in particular for names of Keras and PyTorch."""

from __future__ import annotations

import difflib
import sys
import warnings
from collections.abc import Iterable
from typing import Any

from nncore._messages import shown

__all__ = ["METHODS", "PACKAGE", "hint", "missing_method", "warn"]

_AUGMENT = ", for fit(augment=nn.data.Augment([...], image_shape))"
_BETAS = "both are given together, as betas=(0.9, 0.999)"
_CLIP = "the trainer clips: Trainer(..., clip=nn.ClipGlobalNorm(5.0)), or nn.ClipNorm, nn.ClipValue"
_CROSS_ENTROPY = "'softmax_cross_entropy' takes outputs before the softmax, and integer labels as well as one-hot rows"
_FIT = "it is an argument of fit"
_INPUT = "the model knows the width of its input: Sequential(layers, input_shape=...)"
_MOMENTUM = "with momentum there are nn.Momentum and nn.Nesterov"
_RATE = "the learning rate is lr, of the optimizer"
_REGULARIZER = "the trainer has the penalties: Trainer(..., regularizer=nn.L2(1e-4)), or one for each layer by its name"

ELSEWHERE: dict[str, str] = {
    # of layers
    **dict.fromkeys(
        ("activation", "elu", "gelu", "mish", "relu", "selu", "sigmoid", "silu", "softmax", "swish", "tanh"),
        "an activation is a separate layer: nn.Dense(10), nn.ReLU()",
    ),
    "bias_initializer": "it is bias_init", "kernel_initializer": "it is weight_init", "use_bias": "it is bias",
    "kernel_regularizer": _REGULARIZER, "in_features": _INPUT, "input_dim": _INPUT, "input_shape": _INPUT,
    "num_features": _INPUT, "out_features": "it is units", "p": "it is rate", "kernel": "it is weight",
    # of optimizers
    "learning_rate": _RATE, "lr": _RATE, "epsilon": "it is eps", "beta_1": _BETAS, "beta_2": _BETAS, "beta1": _BETAS,
    "beta2": _BETAS, "momentum": _MOMENTUM, "nesterov": _MOMENTUM, "clipnorm": _CLIP, "clipvalue": _CLIP,
    "global_clipnorm": _CLIP, "weight_decay": f"{_REGULARIZER}; nn.AdamW decays by itself",
    "l1_regularization_strength": "it is l1", "l2_regularization_strength": "it is l2, twice as large",
    # of trainers and callbacks
    "batch_size": _FIT, "callbacks": _FIT, "epochs": _FIT, "criterion": "it is loss", "filepath": "it is path",
    "restore_best_weights": "it is restore_best",
    # losses and metrics
    "mse": "it is 'mean_squared_error'", "mae": "it is 'mean_absolute_error'", "l1": "it is 'mean_absolute_error'",
    "smooth_l1": "it is 'huber'", "pinball": "it is 'quantile'",
    "kld": "it is 'kl_divergence'", "ce": _CROSS_ENTROPY, "cross_entropy": _CROSS_ENTROPY,
    "crossentropy": _CROSS_ENTROPY, "categorical_crossentropy": _CROSS_ENTROPY, "nll": _CROSS_ENTROPY,
    "sparse_categorical_crossentropy": _CROSS_ENTROPY, "categorical_cross_entropy": _CROSS_ENTROPY, "acc": "it is 'accuracy'",
    **dict.fromkeys(
        ("bce", "binary_crossentropy"),
        "'sigmoid_cross_entropy' takes outputs before the sigmoid, 'binary_cross_entropy' probabilities",
    ),
}  # fmt: skip

_NO_IMAGES = "there are dense and recurrent layers only"
_NORM = "it is BatchNorm"

# names in the package
PACKAGE: dict[str, str] = {
    "Linear": "it is Dense", "BatchNorm1d": _NORM, "BatchNorm2d": _NORM, "BatchNormalization": _NORM,
    "LayerNormalization": "it is LayerNorm", "LSTM": "there are SimpleRNN and GRU", "RNN": "it is SimpleRNN",
    "pack_padded_sequence": "pad the sequences and put Masking before the recurrent layers",
    **dict.fromkeys(("Conv1D", "Conv1d", "Conv2D", "Conv2d", "Embedding", "MaxPooling2D", "MaxPool2d"), _NO_IMAGES),
    "Flatten": "inputs of several axes are accepted: Sequential([nn.Dense(10)], input_shape=(8, 8))",
    "CrossEntropyLoss": "it is SoftmaxCrossEntropy", "MSELoss": "it is MeanSquaredError", "L1Loss": "it is MeanAbsoluteError",
    "BCEWithLogitsLoss": "it is SigmoidCrossEntropy", "BCELoss": "it is BinaryCrossEntropy", "HuberLoss": "it is Huber",
    "PoissonNLLLoss": "it is Poisson",
    "Model": "it is Sequential", "Module": "it is Layer", "Adagrad": "it is AdaGrad", "Adadelta": "it is AdaDelta",
    "Adamax": "it is AdaMax", "Nadam": "it is NAdam", "Ftrl": "it is FTRL", "Swish": "it is SiLU",
    "RandomRotation": f"it is nn.data.Rotate{_AUGMENT}", "RandomTranslation": f"it is nn.data.Shift{_AUGMENT}",
    "RandomZoom": f"it is nn.data.Stretch{_AUGMENT}", "RandomErasing": f"it is nn.data.Occlude{_AUGMENT}",
    "optim": "it is nncore.optimizers", "load_model": "it is load",
}  # fmt: skip

_TRAINER = "a trainer does this: nn.Trainer(model, loss, optimizer)"

# methods that only the model or only the trainer has, or neither
METHODS: dict[str, str] = {
    "add": "a model is made of all its layers: nn.Sequential(layers, input_shape)",
    "compile": f"{_TRAINER} holds loss, optimizer and metrics",
    "evaluate": f"{_TRAINER}.evaluate(X, y)", "fit": f"{_TRAINER}.fit(X, y)", "fit_generator": f"{_TRAINER}.partial_fit(X, y)",
    "partial_fit": f"{_TRAINER}.partial_fit(X, y)", "train_on_batch": f"{_TRAINER}.partial_fit(X, y)",
    "predict": "the model does this: trainer.model.predict(X)", "score": f"{_TRAINER}.evaluate(X, y) has loss and metrics",
    "predict_proba": "predict returns what the last layer does: nn.Softmax or nn.Sigmoid makes probabilities of it; "
    "nn.Ensemble has probabilities(X)",
    "predict_classes": "predict(X).argmax(axis=1) are the classes, of nn.Ensemble vote(X)",
    "get_weights": "they are model.parameters, or an array of a layer such as model['dense_1'].weight",
    "set_weights": "assign to model.parameters, or to an array of a layer such as model['dense_1'].weight",
    **dict.fromkeys(("load_weights", "load_state_dict"), "nn.load(path, into=model) does this, nn.load(path) makes a model"),
    "state_dict": "model.save(path) and nn.load(path) keep a model",
}  # fmt: skip


def hint(name: Any, known: Iterable[str]) -> str:
    """The end of an error message: what may have been meant by a name that is not among those known.

    >>> hint("epsilon", ["lr", "eps"])
    ': it is eps'
    >>> hint("mometum", ["lr", "momentum"])
    ": did you mean 'momentum'?"
    >>> hint("x", ["lr", "momentum"])
    ''
    """
    if not isinstance(name, str):
        return ""
    if name.lower() in ELSEWHERE:
        return f": {ELSEWHERE[name.lower()]}"
    close = difflib.get_close_matches(name, sorted(known), 1, cutoff=0.75)
    return f": did you mean {shown(close[0])}?" if close else ""


def missing_method(self: Any, name: str) -> Any:
    """``__getattr__`` of models and trainers: where Keras and scikit-learn have a method that these do not."""
    if name in METHODS and not hasattr(type(self), name):
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}: {METHODS[name]}")
    return object.__getattribute__(self, name)  # which raises the original error


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """A warning that points to the line outside the package, and outside scikit-learn if that has called it."""
    frame, level = sys._getframe(1), 2
    while frame.f_back and frame.f_globals.get("__name__", "").partition(".")[0] in ("nncore", "sklearn"):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)
