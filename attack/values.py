"""Values that nobody should give, and some that are odd but right: numbers, arrays of every kind, objects that raise or lie."""

from __future__ import annotations

import datetime
import decimal
import fractions
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse


class Hostile(Exception):
    """What the objects of this module raise: an error of the user's own, which may get through."""


class Raises:
    """Raises at whatever one does with it."""

    def _raise(self, *args: Any) -> Any:
        raise Hostile("of the user's object")

    __len__ = __iter__ = __getitem__ = __array__ = __float__ = __int__ = __index__ = __bool__ = __call__ = __eq__ = (
        __fspath__
    ) = _raise
    __hash__ = object.__hash__


class NoRepr:
    """An object that cannot be shown."""

    def __repr__(self) -> str:
        raise Hostile("no repr")


class AnyAttribute:
    """Has whatever is asked of it, and it is None."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return None


class NoAttribute:
    """Raises an error of its own when asked for an attribute."""

    def __getattr__(self, name: str) -> Any:
        raise Hostile(name)


class Lies:
    """A sequence with another length than it says, whose array is a list, and which equals nothing and everything."""

    def __init__(self, length: int, items: int) -> None:
        self.length, self.items = length, items

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, key: Any) -> Any:
        if not isinstance(key, int) or key >= self.items:
            raise IndexError(key)
        return 0.5

    def __eq__(self, other: object) -> Any:
        return np.array([True, False])

    __hash__ = object.__hash__


class ArrayOf:
    """An object with an ``__array__`` that returns this, whatever it is."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return self.value


class NumberOf:
    """An object that converts itself to a number, or to what is none."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __float__(self) -> Any:
        return self.value

    __int__ = __index__ = __float__


class Long:
    """An object whose repr is long."""

    def __repr__(self) -> str:
        return "long " * 100_000


class Text(str):
    """A text that equals nothing."""

    def __eq__(self, other: object) -> bool:
        raise Hostile("compared")

    __hash__ = str.__hash__


class Subclass(np.ndarray):
    """An array of a class of the user's."""


def fails(*args: Any, **kwargs: Any) -> Any:
    raise Hostile("of the user's function")


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


def circular() -> list[Any]:
    value: list[Any] = [1]
    value.append(value)
    return value


def unaligned(shape: tuple[int, ...]) -> Any:
    size = int(np.prod(shape)) * 8
    return np.ones(size + 1, np.uint8)[1:].view(np.float64).reshape(shape)


def matrix() -> Any:
    """Of the class that NumPy advises against."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return np.asmatrix(np.ones((24, 3)))


def objects(shape: tuple[int, ...]) -> Any:
    """An array of objects that raise."""
    array = np.empty(shape, object)
    array.fill(Raises())
    return array


def read_only(array: Any) -> Any:
    array.flags.writeable = False
    return array


def csr(**parts: Any) -> Any:
    """A sparse matrix whose parts are not what they must be."""
    matrix = scipy.sparse.random(24, 3, 0.5, "csr", rng=np.random.default_rng(0))
    for name, value in parts.items():
        setattr(matrix, name, value)
    return matrix


INTEGERS = [
    0,
    -1,
    1,
    2,
    3,
    7,
    23,
    24,
    25,
    2**31 - 1,
    2**31,
    2**32,
    2**53 + 1,
    2**63 - 1,
    2**63,
    2**64,
    2**70,
    10**400,
    -(2**63),
    -(10**30),
]
FLOATS = [0.0, -0.0, 0.5, 1.0, -1.0, 1.5, 1e-320, 1e-308, 1e308, 1e30, -1e30, float("nan"), float("inf"), -float("inf")]
TEXTS = [
    "", "b", "adam", "adamm", "Adam", "é", "\ud800", "\0", "x" * 100_000, "nan", "0", "auto", "min", "dense_1",
    "dense_1.weight", "*", "[", "loss", "val_loss", "mean", "mse", "accuracy", "softmax_cross_entropy", "float32", "object",
    "O", "f8,f4", "%s {} {0}", "\x1b[31m",
]  # fmt: skip
DTYPES = [
    "bool", "int8", "uint8", "int64", "uint64", "float16", "float32", "float64", "longdouble", ">f8", ">i4", "complex64",
    "clongdouble", "O", "U3", "S3", "V5", "M8[s]", "m8[ns]", "f8,i4",
]  # fmt: skip
SHAPES: list[tuple[int, ...]] = [
    (), (0,), (1,), (2,), (3,), (24,), (0, 3), (24, 3), (24, 2), (24, 1), (24, 0), (1, 3), (3, 24), (25, 3), (24, 4, 2),
    (24, 3, 1), (1,) * 32,
]  # fmt: skip
OBJECTS: list[Callable[[], Any]] = [
    lambda: None, lambda: True, lambda: False, lambda: ..., lambda: NotImplemented, object, lambda: object, lambda: int,
    lambda: np, Raises, NoRepr, AnyAttribute, NoAttribute, Long, lambda: Text("adam"), lambda: Lies(24, 3),
    lambda: Lies(3, 100), lambda: Lies(-1, 3), lambda: Lies(2**70, 3), lambda: ArrayOf([1.0]), lambda: ArrayOf("x"),
    lambda: ArrayOf(None), lambda: ArrayOf(np.ones((24, 3))), lambda: NumberOf(0.5), lambda: NumberOf("x"),
    lambda: NumberOf(2**70), lambda: NumberOf(float("nan")), lambda: NumberOf(3), lambda: fails, lambda: lambda *args,
    **kwargs: None, lambda: lambda *args: "text", lambda: lambda *args: np.zeros(7), lambda: lambda: None, lambda: [],
    lambda: [None], lambda: [1, "a"], lambda: [[1, 2], [3]], lambda: [[]], lambda: nested(100), lambda: nested(900), circular,
    lambda: (), lambda: (1,), lambda: (1, 2), lambda: (0.9, 0.99), lambda: (1, 2, 3), lambda: {}, lambda: {"a": 1},
    lambda: {1: 2, "x": None}, lambda: {"class": "Dense"}, lambda: {"dense_1": 0.5}, lambda: {None: None}, set, lambda: {1, 2},
    lambda: frozenset("ab"), lambda: range(24), lambda: (i for i in range(3)), lambda: iter([]), lambda: b"", lambda: b"adam",
    lambda: bytearray(8), lambda: memoryview(b"ab"), lambda: 1j, lambda: complex("nan"), lambda: decimal.Decimal("0.5"),
    lambda: decimal.Decimal("sNaN"), lambda: fractions.Fraction(1, 3), lambda: datetime.date(2020, 1, 1), lambda: slice(None),
    lambda: np.float64("nan"), lambda: np.float16(0.5), lambda: np.int64(-1), lambda: np.uint64(2**64 - 1),
    lambda: np.bool_(True), lambda: np.str_("adam"), lambda: np.datetime64("NaT"), lambda: np.longdouble("1e4000"),
    lambda: np.ma.masked, lambda: np.ma.masked_all((24, 3)), lambda: np.ma.array(np.ones((24, 3)), mask=True),
    lambda: np.ones((24, 3)).view(Subclass), matrix, lambda: np.array([None, 1, "a"], object),
    lambda: np.array([[1.0, None, 2.0]] * 24, object), lambda: objects((24,)), lambda: objects(()),
    lambda: np.full((24, 3), np.nan), lambda: np.full((24, 3), np.inf), lambda: np.full((24, 3), 1e300),
    lambda: np.full((24, 3), -1.0), lambda: np.full(24, 2**60), lambda: np.full(24, -1), lambda: np.full(24, np.nan),
    lambda: np.ones((24, 3))[::-1], lambda: np.ones((48, 6))[::2, ::2], lambda: np.asfortranarray(np.ones((24, 3))),
    lambda: np.broadcast_to(1.0, (24, 3)), lambda: read_only(np.ones((24, 3))), lambda: unaligned((24, 3)),
    lambda: unaligned((24,)), lambda: np.lib.stride_tricks.as_strided(np.ones(1), (10**6, 3), (0, 0)), csr,
    lambda: csr(indices=np.full(36, 99, np.int32)), lambda: csr(indices=np.full(36, -1, np.int32)),
    lambda: csr(indptr=np.arange(25)[::-1].copy()), lambda: csr(indptr=np.full(25, 2**40)),
    lambda: csr(data=np.full(36, np.nan)), lambda: csr(data=np.ones(3)), lambda: csr(data=np.ones(36, complex)),
    lambda: csr(indices=np.ones(36)), lambda: csr().tocoo(), lambda: csr().todia(), lambda: scipy.sparse.csr_array((24, 3)),
    lambda: scipy.sparse.csr_matrix((0, 3)), lambda: scipy.sparse.eye_array(3, format="lil"),
    lambda: scipy.sparse.coo_array(np.ones(3)),
]  # fmt: skip


def bad(rng: np.random.Generator) -> Any:
    """Any value."""
    kind = rng.random()
    if kind < 0.15:
        return INTEGERS[int(rng.integers(len(INTEGERS)))]
    if kind < 0.3:
        return FLOATS[int(rng.integers(len(FLOATS)))]
    if kind < 0.4:
        return TEXTS[int(rng.integers(len(TEXTS)))]
    if kind < 0.6:
        dtype, shape = DTYPES[int(rng.integers(len(DTYPES)))], SHAPES[int(rng.integers(len(SHAPES)))]
        return np.zeros(shape, dtype) if rng.random() < 0.5 else np.ones(shape, np.int8).astype(dtype)
    return OBJECTS[int(rng.integers(len(OBJECTS)))]()
