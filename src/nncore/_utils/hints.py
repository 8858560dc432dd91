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
_RATE = "the learning rate is lr, of first-order optimizers such as nn.Adam"
_REGULARIZER = "the trainer has the penalties: Trainer(..., regularizer=nn.L2(1e-4)), or one for each layer by its name"

ELSEWHERE: dict[str, str] = {
    **dict.fromkeys(
        ("activation", "elu", "gelu", "mish", "relu", "selu", "sigmoid", "silu", "softmax", "swish", "tanh"),
        "an activation is a separate layer: nn.Dense(10), nn.ReLU()",
    ),
    "kernel_regularizer": _REGULARIZER, "in_features": _INPUT, "input_dim": _INPUT, "input_shape": _INPUT,
    "num_features": _INPUT, "learning_rate": _RATE, "lr": _RATE, "clipnorm": _CLIP, "clipvalue": _CLIP,
    "global_clipnorm": _CLIP, "weight_decay": f"{_REGULARIZER}; nn.AdamW decays by itself",
}  # fmt: skip

# what is meant only where this name is among those known, and the hint
HERE: dict[str, tuple[str, str]] = {
    **{name: (own, f"it is {own}") for name, own in {
        "bias_initializer": "bias_init", "kernel_initializer": "weight_init", "use_bias": "bias", "out_features": "units",
        "p": "rate", "kernel": "weight", "learning_rate": "lr", "epsilon": "eps", "l1_regularization_strength": "l1",
        "criterion": "loss", "filepath": "path", "restore_best_weights": "restore_best", "hidden_size": "units",
        "elementwise_affine": "affine", "num_groups": "groups", "rho": "alpha", "max_norm": "limit", "std": "stddev",
        "merge_mode": "merge", "step_size": "every", "gamma": "factor", "t_max": "steps",
        "decay_steps": "steps", "warmup_steps": "steps", "t_mul": "growth", "m_mul": "shrink",
    }.items()},
    "min_delta": ("threshold", "it is threshold, with threshold_mode='abs'"),
    "amsgrad": ("bias_correction", "nn.AMSGrad is this"),
    "bidirectional": ("return_sequences", "nn.Bidirectional(layer) is this"),
    "l2_regularization_strength": ("l2", "it is l2, twice as large"),
    **dict.fromkeys(("beta_1", "beta_2", "beta1", "beta2"), ("betas", _BETAS)),
    **dict.fromkeys(("momentum", "nesterov"), ("lr", _MOMENTUM)),
    **dict.fromkeys(("batch_size", "callbacks", "epochs"), ("metrics", _FIT)),
    # losses and metrics
    **{name: (own, f"it is '{own}'") for name, own in {
        "mse": "mean_squared_error", "mae": "mean_absolute_error", "l1": "mean_absolute_error", "smooth_l1": "huber",
        "pinball": "quantile", "kld": "kl_divergence", "acc": "accuracy",
    }.items()},
    **dict.fromkeys(
        ("ce", "cross_entropy", "crossentropy", "categorical_crossentropy", "nll", "sparse_categorical_crossentropy",
         "categorical_cross_entropy"),
        ("softmax_cross_entropy", _CROSS_ENTROPY),
    ),
    **dict.fromkeys(
        ("bce", "binary_crossentropy"),
        ("sigmoid_cross_entropy",
         "'sigmoid_cross_entropy' takes outputs before the sigmoid, 'binary_cross_entropy' probabilities"),
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
    >>> hint("epsilon", ["lr", "momentum"])
    ''
    """
    if not isinstance(name, str):
        return ""
    known = list(known)
    needed, meant = HERE.get(name.lower(), ("", ""))
    if needed in known:
        return f": {meant}"
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
