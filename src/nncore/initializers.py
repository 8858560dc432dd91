"""Initial values of parameters.

An initializer is a function of a shape: ``initializer(shape, rng, dtype)`` returns a new array. A Dense weight has the
shape ``(units, inputs)``, so ``n_out = shape[0]`` and ``n_in = shape[1]``. Random values are drawn in float64 and then
rounded, so a float32 network starts from the rounded weights of the float64 network with the same seed.

Why the scale matters: with independent weights of variance s², Var(zᵢ) = n_in s² E[h²] in the forward pass and
Var(∂l/∂hⱼ) = n_out s² Var(δ) in the backward pass. s² = 1/n_in preserves the first, s² = 1/n_out the second, s² = 2/(n_in +
n_out) balances both, and ReLU, which halves E[h²], requires s² = 2/n_in.

The bare name "xavier" is refused: in some texts it means N(0, 1/n_in) (here ``lecun_normal``); in Glorot and Bengio's
paper, PyTorch and Keras it means a variance of 2/(n_in + n_out) (here ``glorot_uniform`` and ``glorot_normal``).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, is_dataclass
from typing import Any, ClassVar, TypeAlias

import numpy as np
from numpy.typing import DTypeLike

from nncore._kernels.blas import one_blas_thread
from nncore._messages import clipped, shown
from nncore._utils.arrays import Array
from nncore._utils.checks import as_numbers, real_dtype
from nncore._utils.fields import Converted, complete, function_of, keywords, number, plain
from nncore._utils.files import class_name
from nncore._utils.own import is_own
from nncore._utils.registry import classes

__all__ = [
    "INITIALIZERS", "Constant", "FanOutNormal", "GlorotNormal", "GlorotUniform", "HeNormal", "HeUniform", "Initializer",
    "LecunNormal", "LecunUniform", "Normal", "Orthogonal", "SigmoidUniform", "Uniform", "Zeros", "get",
]  # fmt: skip

Shape: TypeAlias = tuple[int, ...]


class Initializer:
    """Base class: a subclass writes ``sample(shape, rng)``, which returns float64 values.

    Subclasses are frozen dataclasses, so that ``repr``, ``==`` and ``config`` follow from their fields.
    """

    @classmethod
    def name(cls) -> str:
        """The snake_case name: ``HeNormal.name()`` is ``"he_normal"``."""
        return re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower()

    def sample(self, shape: Shape, rng: np.random.Generator) -> Array:
        """Float64 values of the given shape."""
        raise NotImplementedError

    def __call__(self, shape: int | Shape, rng: np.random.Generator, dtype: DTypeLike = "float32") -> Array:
        """A new C-contiguous array of initial values.

        Parameters
        ----------
        shape : int or tuple of int
            ``(units, inputs)`` for a weight. Initializers that scale with the fan, and `Orthogonal`, require two
            dimensions.
        rng : numpy.random.Generator
            Source of randomness; not used by deterministic initializers.
        dtype : {"float32", "float64"}, default "float32"

        Raises
        ------
        ValueError
            For a shape with a size below 1, or with the wrong number of dimensions.
        TypeError
            For another dtype, or an `rng` that is not a Generator.
        """
        sizes = np.atleast_1d(as_numbers(shape, "shape"))
        if sizes.size and sizes.dtype.kind not in "iu":
            raise TypeError(f"shape must be a whole number or a tuple of such, got {shown(shape)}")
        shape = tuple(sizes.tolist())
        if sizes.ndim != 1 or not shape or min(shape) < 1:
            raise ValueError(f"shape must have sizes of at least 1, got {shown(shape)}")
        if not isinstance(rng, np.random.Generator):
            raise TypeError(f"rng must be a Generator, np.random.default_rng(seed), got {type(rng).__name__}")
        dtype = real_dtype("dtype", dtype)
        return np.ascontiguousarray(self.sample(shape, rng), dtype=dtype)

    def config(self) -> dict[str, Any]:
        """The name and the arguments, ready for JSON; ``get(config)`` makes an equal initializer.

        >>> Normal(std=0.1).config()
        {'name': 'normal', 'std': 0.1}
        """
        fields = asdict(self) if is_dataclass(self) else vars(self)
        return {"name": self.name(), **plain(fields)}

    def entry(self) -> dict[str, Any]:
        """`config` as stored in files, where user-defined classes are marked and never confused with nncore's own."""
        config = self.config()
        return config if is_own(type(self)) else {**complete(type(self), config), "name": class_name(type(self))}


class _Scaled(Initializer):
    """Base of the initializers whose only argument is a number."""

    least: ClassVar[float] = -math.inf

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            object.__setattr__(self, name, number(name, value, self.least))


def _fans(shape: Shape) -> tuple[int, int]:
    """(n_in, n_out) of a weight of shape (units, inputs)."""
    if len(shape) != 2:
        raise ValueError(f"shape must be (units, inputs) for this initializer, got {shape}")
    return shape[1], shape[0]


@dataclass(frozen=True)
class Zeros(Initializer):
    """W = 0.

    Suitable for a bias. For the weights of a multilayer network it prevents learning: ∂l/∂h = δ W = 0 and z = h Wᵀ = 0,
    so only the last bias changes. PyTorch ``zeros_``, Keras ``Zeros``.

    >>> Zeros()((1, 3), np.random.default_rng(0))
    array([[0., 0., 0.]], dtype=float32)
    """

    def sample(self, shape: Shape, rng: np.random.Generator) -> Array:
        return np.zeros(shape)


@dataclass(frozen=True)
class Constant(_Scaled):
    """W = c.

    The hidden units of a layer start equal, get equal gradients and stay equal. PyTorch ``constant_``, Keras ``Constant``.

    Parameters
    ----------
    c : float, default 0.0 (as in Keras)

    Examples
    --------
    >>> Constant(0.5)((1, 3), np.random.default_rng(0))
    array([[0.5, 0.5, 0.5]], dtype=float32)
    """

    c: float = 0.0

    def sample(self, shape: Shape, rng: np.random.Generator) -> Array:
        return np.full(shape, self.c)


@dataclass(frozen=True)
class Normal(_Scaled):
    """W ~ N(0, std²).

    PyTorch ``normal_`` (default std 1), Keras ``RandomNormal`` (default stddev 0.05).

    Parameters
    ----------
    std : float, default 0.05

    Examples
    --------
    >>> round(float(Normal(0.1)((200, 300), np.random.default_rng(0)).std()), 2)
    0.1
    """

    std: float = 0.05
    least = 0.0

    def sample(self, shape: Shape, rng: np.random.Generator) -> Array:
        return self.std * rng.standard_normal(shape)


@dataclass(frozen=True)
class Uniform(_Scaled):
    """W ~ U(−s, s), variance s²/3.

    PyTorch ``uniform_`` (default U(0, 1)), Keras ``RandomUniform`` (default s = 0.05).

    Parameters
    ----------
    s : float, default 0.05

    Examples
    --------
    >>> bool(abs(Uniform(0.1)((20, 30), np.random.default_rng(0))).max() < 0.1)
    True
    """

    s: float = 0.05
    least = 0.0

    def sample(self, shape: Shape, rng: np.random.Generator) -> Array:
        return _uniform(self.s, shape, rng)


def _uniform(s: float, shape: Shape, rng: np.random.Generator) -> Array:
    """U(−s, s) as s(2u − 1), u ~ U[0, 1)."""
    return s * (2.0 * rng.random(shape) - 1.0)


@dataclass(frozen=True)
class LecunNormal(Initializer):
    """W ~ N(0, 1/n_in): activations keep their variance from layer to layer if σ(z) ≈ z, like tanh near 0.

    LeCun, Bottou, Orr, Müller, "Efficient BackProp", 1998, §4.6. Some call it Xavier initialization. Keras
    ``LecunNormal`` has the same variance but a normal distribution truncated at two standard deviations; PyTorch:
    ``kaiming_normal_(nonlinearity="linear")``.

    >>> round(float(LecunNormal()((300, 400), np.random.default_rng(0), "float64").var() * 400), 2)
    1.0
    """

    def sample(self, shape: Shape, rng: np.random.Generator) -> Array:
        n_in, _ = _fans(shape)
        return math.sqrt(1 / n_in) * rng.standard_normal(shape)


@dataclass(frozen=True)
class LecunUniform(Initializer):
    """W ~ U(−s, s), s = √(3/n_in): the variance of `LecunNormal`, 1/n_in.

    Keras ``LecunUniform``; PyTorch: ``kaiming_uniform_(nonlinearity="linear")``. (``torch.nn.Linear`` starts with s =
    √(1/n_in).)
    """

    def sample(self, shape: Shape, rng: np.random.Generator) -> Array:
        n_in, _ = _fans(shape)
        return _uniform(math.sqrt(3 / n_in), shape, rng)


@dataclass(frozen=True)
class FanOutNormal(Initializer):
    """W ~ N(0, 1/n_out): gradients keep their variance from layer to layer if σ(z) ≈ z.

    PyTorch: ``kaiming_normal_(mode="fan_out", nonlinearity="linear")``; Keras: ``VarianceScaling(1, "fan_out",
    "untruncated_normal")``.

    >>> round(float(FanOutNormal()((300, 400), np.random.default_rng(0), "float64").var() * 300), 2)
    1.0
    """

    def sample(self, shape: Shape, rng: np.random.Generator) -> Array:
        _, n_out = _fans(shape)
        return math.sqrt(1 / n_out) * rng.standard_normal(shape)


@dataclass(frozen=True)
class GlorotNormal(Initializer):
    """W ~ N(0, 2/(n_in + n_out)): a balance of `LecunNormal` and `FanOutNormal`.

    Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural networks", 2010, eq. 12.
    PyTorch ``xavier_normal_``; Keras ``GlorotNormal`` (truncated at two standard deviations).

    >>> round(float(GlorotNormal()((300, 500), np.random.default_rng(0), "float64").var() * 400), 2)
    1.0
    """

    def sample(self, shape: Shape, rng: np.random.Generator) -> Array:
        return math.sqrt(2 / sum(_fans(shape))) * rng.standard_normal(shape)


@dataclass(frozen=True)
class GlorotUniform(Initializer):
    """W ~ U(−s, s), s = √(6/(n_in + n_out)): the variance of `GlorotNormal`, 2/(n_in + n_out).

    Glorot and Bengio, 2010, eq. 16, for tanh. PyTorch ``xavier_uniform_``; Keras ``GlorotUniform``, the default of its
    Dense layer.
    """

    def sample(self, shape: Shape, rng: np.random.Generator) -> Array:
        return _uniform(math.sqrt(6 / sum(_fans(shape))), shape, rng)


@dataclass(frozen=True)
class SigmoidUniform(Initializer):
    """W ~ U(−s, s), s = 4√(6/(n_in + n_out)): `GlorotUniform` for the logistic sigmoid, variance 32/(n_in + n_out).

    The slope of the sigmoid at 0 is 1/4, that of tanh is 1. PyTorch: ``xavier_uniform_(gain=4)``; Keras:
    ``VarianceScaling(16, "fan_avg", "uniform")``.

    >>> round(float(SigmoidUniform()((300, 500), np.random.default_rng(0), "float64").var() * 400 / 16), 2)
    1.0
    """

    def sample(self, shape: Shape, rng: np.random.Generator) -> Array:
        return _uniform(4 * math.sqrt(6 / sum(_fans(shape))), shape, rng)


@dataclass(frozen=True)
class HeNormal(Initializer):
    """W ~ N(0, 2/n_in): `LecunNormal` for ReLU, which halves E[h²].

    2/n_in is the variance, √(2/n_in) the standard deviation; texts sometimes confuse the two.

    He, Zhang, Ren, Sun, "Delving deep into rectifiers", 2015, eq. 10. PyTorch ``kaiming_normal_``; Keras ``HeNormal``
    (truncated at two standard deviations).

    >>> round(float(HeNormal()((300, 400), np.random.default_rng(0), "float64").var() * 400), 2)
    2.0
    """

    def sample(self, shape: Shape, rng: np.random.Generator) -> Array:
        n_in, _ = _fans(shape)
        return math.sqrt(2 / n_in) * rng.standard_normal(shape)


@dataclass(frozen=True)
class HeUniform(Initializer):
    """W ~ U(−s, s), s = √(6/n_in): the variance of `HeNormal`, 2/n_in.

    PyTorch ``kaiming_uniform_`` with its default ``a=0``; Keras ``HeUniform``.
    """

    def sample(self, shape: Shape, rng: np.random.Generator) -> Array:
        n_in, _ = _fans(shape)
        return _uniform(math.sqrt(6 / n_in), shape, rng)


@dataclass(frozen=True)
class Orthogonal(_Scaled):
    """W = gain · Q, Q uniform (Haar) among matrices with orthonormal rows (n_out ≤ n_in) or columns (n_out ≥ n_in).

    So W Wᵀ = gain² I for a wide or square W, Wᵀ W = gain² I for a tall or square one. Q comes from A = Q R, A Gaussian,
    with the columns of Q multiplied by the signs of the diagonal of R; without the signs Q would not be uniform
    (Mezzadri, "How to generate random matrices from the classical compact groups", 2007). Saxe, McClelland, Ganguli,
    2014. PyTorch ``orthogonal_``, Keras ``Orthogonal``.

    The factorization runs on one thread, so that the bits do not depend on the number of threads.

    Parameters
    ----------
    gain : float, default 1.0

    Examples
    --------
    >>> W = Orthogonal()((3, 5), np.random.default_rng(0), "float64")
    >>> np.allclose(W @ W.T, np.eye(3))
    True
    """

    gain: float = 1.0

    def sample(self, shape: Shape, rng: np.random.Generator) -> Array:
        n_in, n_out = _fans(shape)
        a = rng.standard_normal((max(n_in, n_out), min(n_in, n_out)))
        with one_blas_thread():
            q, r = np.linalg.qr(a)
        q = q * (self.gain * np.where(np.diagonal(r) < 0, -1.0, 1.0))
        return q if n_out >= n_in else q.T


INITIALIZERS = {cls.name(): cls for cls in classes(Initializer, __name__)}
"""The initializers by name."""

_ALIASES = {
    "xavier_normal": "glorot_normal", "xavier_uniform": "glorot_uniform", "kaiming_normal": "he_normal",
    "kaiming_uniform": "he_uniform",
}  # fmt: skip

InitializerLike = str | Mapping[str, Any] | Callable[..., Array]  # what `get` takes
InitializerField = Converted[InitializerLike, Callable[..., Array]]


def field() -> InitializerField:
    """A field for an argument that is an initializer."""
    return Converted(lambda name, value: get(value, name))


def get(initializer: InitializerLike, argument: str = "initializer") -> Callable[..., Array]:
    """Make an initializer from a name, a configuration or an object.

    Parameters
    ----------
    initializer : str, mapping or callable
        A key of ``INITIALIZERS`` (arguments at their defaults) or PyTorch's ``xavier_normal``, ``xavier_uniform``,
        ``kaiming_normal``, ``kaiming_uniform``; the result of ``config()``; or any ``f(shape, rng, dtype)``, which is
        returned unchanged.

    Raises
    ------
    ValueError
        For an unknown name or arguments that do not belong to it.
    TypeError
        For anything else.

    Examples
    --------
    >>> get("he_normal")
    HeNormal()
    >>> get({"name": "uniform", "s": 0.1})
    Uniform(s=0.1)
    """
    argument = clipped(argument)
    if isinstance(initializer, str):
        return _class(initializer, argument)()
    if isinstance(initializer, Mapping):
        arguments = keywords(argument, initializer)
        cls = _class(arguments.pop("name", None), argument)
        try:
            return cls(**arguments)
        except TypeError as error:
            raise ValueError(
                f"{argument} must be the configuration of an initializer, got {shown(initializer)}: {error}"
            ) from None
    if isinstance(initializer, type) or not callable(initializer):
        raise TypeError(f"{argument} must be a name, a configuration or an initializer object, got {shown(initializer)}")
    return initializer if isinstance(initializer, Initializer) else function_of("shape", "rng", "dtype")(argument, initializer)


def _class(name: Any, argument: str) -> type[Initializer]:
    if isinstance(name, str) and name == "xavier":
        raise ValueError(
            f"{argument} 'xavier' is ambiguous: use 'lecun_normal' for a variance of 1/n_in, "
            "'glorot_normal' or 'glorot_uniform' for 2/(n_in + n_out)"
        )
    cls = INITIALIZERS.get(_ALIASES.get(name, name)) if isinstance(name, str) else None
    if cls is None:
        raise ValueError(f"{argument} must be one of {', '.join(sorted(INITIALIZERS))}, got {shown(name)}")
    return cls
