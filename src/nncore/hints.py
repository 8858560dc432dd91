"""Names that do not exist here: an error says what is there instead, in particular for names of Keras and PyTorch."""

from __future__ import annotations

import difflib
import functools
import inspect
import sys
import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any

__all__ = ["PACKAGE", "Explained", "Sealed", "hint", "warn"]

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
        ("activation", "elu", "gelu", "relu", "sigmoid", "silu", "softmax", "swish", "tanh"),
        "an activation is a layer of its own: nn.Dense(10), nn.ReLU()",
    ),
    "bias_initializer": "it is bias_init", "kernel_initializer": "it is weight_init", "use_bias": "it is bias",
    "kernel_regularizer": _REGULARIZER, "in_features": _INPUT, "input_dim": _INPUT, "input_shape": _INPUT,
    "num_features": _INPUT, "out_features": "it is units", "p": "it is rate", "kernel": "it is weight",
    # of optimizers
    "learning_rate": _RATE, "lr": _RATE, "epsilon": "it is eps", "beta_1": _BETAS, "beta_2": _BETAS, "beta1": _BETAS,
    "beta2": _BETAS, "momentum": _MOMENTUM, "nesterov": _MOMENTUM, "clipnorm": _CLIP, "clipvalue": _CLIP,
    "global_clipnorm": _CLIP, "weight_decay": f"{_REGULARIZER}; nn.AdamW decays by itself",
    # of trainers and callbacks
    "batch_size": _FIT, "callbacks": _FIT, "epochs": _FIT, "criterion": "it is loss", "filepath": "it is path",
    "restore_best_weights": "it is restore_best",
    # losses and metrics
    "mse": "it is 'mean_squared_error'", "mae": "it is 'mean_absolute_error'", "l1": "it is 'mean_absolute_error'",
    "smooth_l1": "it is 'huber'", "kld": "it is 'kl_divergence'", "ce": _CROSS_ENTROPY, "cross_entropy": _CROSS_ENTROPY,
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
    **dict.fromkeys(("Conv1D", "Conv1d", "Conv2D", "Conv2d", "Embedding", "MaxPooling2D", "MaxPool2d"), _NO_IMAGES),
    "Flatten": "inputs of several axes are taken as they are: Sequential([nn.Dense(10)], input_shape=(8, 8))",
    "CrossEntropyLoss": "it is SoftmaxCrossEntropy", "MSELoss": "it is MeanSquaredError", "L1Loss": "it is MeanAbsoluteError",
    "BCEWithLogitsLoss": "it is SigmoidCrossEntropy", "BCELoss": "it is BinaryCrossEntropy", "HuberLoss": "it is Huber",
    "Model": "it is Sequential", "Module": "it is Layer", "Adagrad": "it is AdaGrad", "Adadelta": "it is AdaDelta",
    "Adamax": "it is AdaMax", "Nadam": "it is NAdam", "Swish": "it is SiLU", "optim": "it is nncore.optimizers",
    "load_model": "it is load",
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
    return f": did you mean {close[0]!r}?" if close else ""


def warn(message: str) -> None:
    """A warning that points to the line outside the package."""
    frame, level = sys._getframe(1), 2
    while frame.f_back and frame.f_globals.get("__name__", "").partition(".")[0] == "nncore":
        frame, level = frame.f_back, level + 1
    warnings.warn(message, stacklevel=level)


class Explained:
    """Base of classes that say, when an argument of the constructor is not known, what there is instead.

    >>> class Step(Explained):
    ...     def __init__(self, lr=0.1):
    ...         self.lr = lr
    >>> Step(learning_rate=0.5)
    Traceback (most recent call last):
    TypeError: Step has no argument 'learning_rate': the learning rate is lr, of the optimizer
    """

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        if "__init__" in cls.__dict__:
            cls.__init__ = _explaining(cls.__init__)  # type: ignore[method-assign]

    def _complete(self) -> None:
        """After the outermost constructor."""


def _explaining(init: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(init)
    def __init__(self: Explained, *args: Any, **kwargs: Any) -> None:
        try:
            init(self, *args, **kwargs)
        except TypeError as error:
            if complaint := _complaint(init, args, kwargs) or _misfit(error):
                raise TypeError(f"{type(self).__name__} {complaint}") from None
            raise
        if type(self).__init__ is __init__:
            self._complete()

    return __init__


def _complaint(init: Callable[..., None], args: Sequence[Any], kwargs: Iterable[str]) -> str:
    """What is wrong with arguments that a constructor cannot take; nothing if it can."""
    parameters = list(inspect.signature(init).parameters.values())[1:]
    kinds = {parameter.kind for parameter in parameters}
    known = [parameter.name for parameter in parameters]
    unknown = next((name for name in kwargs if name not in known), None)
    if unknown is not None and inspect.Parameter.VAR_KEYWORD not in kinds:
        return f"has no argument {unknown!r}" + (hint(unknown, known) or f". It has {', '.join(known) or 'none'}")
    by_place = [parameter.name for parameter in parameters if parameter.kind is not parameter.KEYWORD_ONLY]
    if len(args) > len(by_place) and inspect.Parameter.VAR_POSITIONAL not in kinds:
        extra = args[len(by_place)]
        return f"takes {', '.join(by_place) or 'nothing'} by position, all else by name, got {extra!r}{hint(extra, [])}"
    return ""


def _misfit(error: TypeError) -> str:
    """What Python says of arguments that are missing or given twice, without the name of a base class."""
    place, _, problem = str(error).partition(".__init__() ")
    here = error.__traceback__ is None or error.__traceback__.tb_next is None  # not of another constructor, called within
    return problem if here and place.isidentifier() and problem.startswith(("missing ", "got multiple ")) else ""


class Sealed(Explained):
    """Base of classes whose objects, once made, take no new public attributes: a name that was mistyped is an error.

    A subclass may set what it likes in ``__init__``, later what is there already, is annotated in the class or begins with an
    underscore.

    >>> class Step(Sealed):
    ...     def __init__(self, lr=0.1):
    ...         self.lr = lr
    >>> step = Step()
    >>> step.lr = 0.5
    >>> step.learning_rate = 0.5
    Traceback (most recent call last):
    AttributeError: Step has no attribute 'learning_rate': the learning rate is lr, of the optimizer
    """

    def _complete(self) -> None:
        self.__dict__["_made"] = True

    def _takes_no_more(self) -> bool:
        return "_made" in self.__dict__

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in self.__dict__ or name.startswith("_") or hasattr(self, name)) and self._takes_no_more():
            known = _assignable(self)
            if name not in known:
                meant = hint(name, known) or f". It has {', '.join(known)}"
                raise AttributeError(f"{type(self).__name__} has no attribute {name!r}{meant}")
        super().__setattr__(name, value)


def _assignable(instance: Any) -> list[str]:
    """Public attributes, and what the classes annotate or make with a descriptor."""
    names = list(vars(instance))
    for cls in type(instance).__mro__:
        descriptors = (name for name, value in vars(cls).items() if hasattr(value, "__set__") and getattr(value, "fset", True))
        names += [*inspect.get_annotations(cls), *descriptors]
    return [name for name in dict.fromkeys(names) if not name.startswith("_")]
