"""A digest of any value: equal for equal contents, in other processes too, and different for different ones."""

from __future__ import annotations

import contextlib
import copyreg
import dis
import functools
import hashlib
import importlib.util
import pickle
import sys
import sysconfig
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import CellType, CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np

from nncore._messages import clipped, shown
from nncore._utils.checks import is_sparse
from nncore._utils.fields import Configured, arguments
from nncore.layers import Layer

__all__ = ["digest", "digests", "variables"]

PROTOCOL = 4  # of pickle
ATOMS = {type(None), bool, int, float, complex, str, bytes, type(...)}
BLOCK = 1 << 22  # bytes of an array that are read at a time: it may be a file
CALLED = (FunctionType, classmethod, staticmethod, property, functools.cached_property)


def digest(value: Any, what: str, advice: str = "") -> str:
    """40 hexadecimal digits that tell this value from others.

    Containers, arrays, sparse matrices and data frames count by all their contents. A function counts by its code, its
    defaults, the variables that it encloses and the global ones that it reads: the functions and classes among them in the same
    way, also in modules that it imports itself. Installed packages, the standard library and nncore itself count by names
    alone. An object of nncore counts by the arguments of its constructor, a layer or a model by its parameters too; any other
    object by what pickle would store of it.

    Raises
    ------
    TypeError
        For what pickle cannot store, such as a lock: names it, as a part of ``what``, and gives the advice.

    Examples
    --------
    >>> digest([1, 2], "a") == digest([1, 2], "b") != digest([1, 2.0], "a")
    True
    >>> first, second = ([lambda x: x + k for k in (value, value)] for value in (1, 2))
    >>> digest(first[0], "f") == digest(first[1], "f") != digest(second[0], "f")
    True
    """
    return digests({what: value}, advice)[what]


def digests(values: Mapping[str, Any], advice: str) -> dict[str, str]:
    """The digest of each of several values; what they have in common is read once."""
    walk = _Walk(advice)
    try:
        return {what: walk.of(value, what).hex() for what, value in values.items()}
    except RecursionError:
        raise TypeError(f"{', '.join(values)} must not be nested this deeply. {advice}".rstrip()) from None


def variables(function: Any) -> dict[str, Any]:
    """The variables that a function encloses; where it is not of an installed package also the global ones that it reads, and
    the modules of the user's own that it imports."""
    if not isinstance(function, FunctionType):
        return {}
    code, own = function.__code__, function.__globals__
    enclosed = dict(zip(code.co_freevars, map(_contents, function.__closure__ or ()), strict=True))
    if _is_library(own.get("__name__", "")):
        return enclosed
    imported = {f"import {name}": module for name in _imports(code, own.get("__package__")) if (module := _own_module(name))}
    return enclosed | {name: own[name] for name in _global_names(code) if name in own} | imported


class _Walk:
    """Goes through a value and all that it refers to. ``where`` is the place, for messages."""

    def __init__(self, advice: str) -> None:
        self._advice = advice
        self._known: dict[int, tuple[Any, bytes]] = {}  # by id; with the value, so that no other one gets its id
        self._open: dict[int, int] = {}  # those that are gone through now: id and depth
        self._ways: dict[Any, Callable[[Any, str], bytes]] = {
            np.ndarray: self._array, np.generic: lambda value, where: self._array(np.asarray(value), where),
            np.dtype: lambda value, where: _hash("dtype", str(value)),
            FunctionType: self._function, CodeType: self._code, type: self._class,
            ModuleType: lambda value, where: _hash("module", value.__name__),
            CellType: lambda value, where: self.of(_contents(value), where),
            property: lambda value, where: _hash("property", *self._each((value.fget, value.fset, value.fdel), where)),
            functools.cached_property: lambda value, where: _hash("cached", self.of(value.func, where)),
            (classmethod, staticmethod): lambda value, where: _hash(type(value).__name__, self.of(value.__func__, where)),
        }  # fmt: skip

    def of(self, value: Any, where: str) -> bytes:
        if type(value) in ATOMS:
            return _hash(pickle.dumps(value, PROTOCOL))
        key = id(value)
        if key in self._known:
            return self._known[key][1]
        if key in self._open:  # within itself: how many levels above
            return _hash("above", len(self._open) - self._open[key])
        self._open[key] = len(self._open)
        try:
            found = self._parts(value, where)
        finally:
            del self._open[key]
        self._known[key] = value, found
        return found

    def _each(self, values: Any, where: str) -> Iterator[bytes]:
        return (self.of(value, where) for value in values)

    def _parts(self, value: Any, where: str) -> bytes:
        kind = type(value)
        if kind in (list, tuple):
            return _hash(kind.__name__, *self._each(value, where))
        if kind is dict:
            return _hash("dict", *(part for name, held in value.items() for part in self._entry(name, held, where)))
        if kind in (set, frozenset):
            return _hash("set", *sorted(self._each(value, where)))
        for accepted, parts in self._ways.items():
            if isinstance(value, accepted):
                return parts(value, where)
        if is_sparse(value):
            coo = value.tocoo()
            return _hash("sparse", value.format, str(value.shape), *self._each((coo.row, coo.col, coo.data), where))
        if kind.__module__.startswith("pandas.") and hasattr(value, "iloc"):
            return self._frame(value, where)
        return self._object(value, where)

    def _entry(self, name: Any, value: Any, where: str) -> tuple[bytes, bytes]:
        return self.of(name, where), self.of(value, f"{name} of {where}" if isinstance(name, str) else where)

    def _array(self, array: Any, where: str) -> bytes:
        head = ("array", str(array.dtype), str(array.shape))
        if isinstance(array, np.ma.MaskedArray):
            return _hash("masked", *self._each((array.data, np.ma.getmaskarray(array)), where))
        if array.dtype.hasobject:
            return _hash(*head, self.of(array.tolist(), where))
        return _hash(*head, *map(_bytes, _blocks(np.asarray(array))))

    def _frame(self, frame: Any, where: str) -> bytes:
        """Of pandas; what pickle stores of one depends on how its columns lie in memory."""
        columns = [frame] if frame.ndim == 1 else [frame.iloc[:, place] for place in range(frame.shape[1])]
        names = [frame.name] if frame.ndim == 1 else list(frame.columns)
        kinds = [str(column.dtype) for column in columns]
        return _hash("frame", *self._each((names, kinds, np.asarray(frame.index), *map(np.asarray, columns)), where))

    def _function(self, function: FunctionType, where: str) -> bytes:
        if _has_a_name(function):
            return _hash("named", function.__module__, function.__qualname__)
        code = function.__code__
        parts = [self.of(part, where) for part in (code, function.__defaults__, function.__kwdefaults__, vars(function))]
        for name, value in sorted(variables(function).items()):
            parts += self.of(name, where), self._used(value, code, f"{name} in {where}")
        return _hash("function", *parts)

    def _used(self, value: Any, code: CodeType, where: str) -> bytes:
        """A variable of a function; of a module of the user's own the attributes that the function may read."""
        if not isinstance(value, ModuleType) or _is_library(value.__name__) or id(value) in self._open:
            return self.of(value, where)
        self._open[id(value)] = len(self._open)
        names = sorted({name for one in _codes(code) for name in one.co_names} & vars(value).keys())
        parts = [(self.of(name, where), self._used(vars(value)[name], code, f"{name} of {where}")) for name in names]
        del self._open[id(value)]
        return _hash("module", value.__name__, *(part for pair in parts for part in pair))

    def _code(self, code: CodeType, where: str) -> bytes:
        head = code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags
        names = code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars
        caught = getattr(code, "co_exceptiontable", b"")
        return _hash("code", code.co_code, caught, *self._each((head, names, code.co_consts), where))

    def _class(self, cls: type, where: str) -> bytes:
        if _has_a_name(cls):
            return _hash("named", cls.__module__, cls.__qualname__)
        attributes = {
            name: value for name, value in vars(cls).items()
            if isinstance(value, CALLED) or not (name.startswith("__") or name == "_abc_impl")
        }  # fmt: skip
        parts = (part for name, value in sorted(attributes.items()) for part in self._entry(name, value, where))
        return _hash("class", cls.__qualname__, *self._each(cls.__bases__, where), *parts)

    def _object(self, value: Any, where: str) -> bytes:
        """By the arguments of an object of nncore; by what pickle would store of another."""
        if isinstance(value, Configured) and not isinstance(value, Layer):  # a layer has numbers as well
            held = value._arguments()
            if held.keys() >= arguments(type(value)).keys():
                return _hash("configured", *self._each((type(value), held), where))
        try:
            own = copyreg.dispatch_table.get(type(value))
            parts = own(value) if own else value.__reduce_ex__(PROTOCOL)
        except Exception as error:
            text = f"{where} must be something that can be compared with what a file was made with, got {shown(value)}"
            raise TypeError(f"{text}: {clipped(error)}. {self._advice}".rstrip()) from error
        wrapped = self.of(getattr(value, "__wrapped__", None), where)
        if isinstance(parts, str):
            return _hash("global", str(getattr(value, "__module__", "")), parts, wrapped)
        function, given, state, items, pairs = (*parts, None, None, None)[:5]
        return _hash("object", *self._each((function, given, state, list(items or ()), list(pairs or ())), where), wrapped)


def _hash(*parts: Any) -> bytes:
    """Of the parts, texts, numbers or bytes, each with its length before it."""
    found = hashlib.sha256(usedforsecurity=False)
    for part in parts:
        data = memoryview(str(part).encode(errors="surrogatepass") if isinstance(part, (str, int)) else part)
        found.update(data.nbytes.to_bytes(8, "little"))
        found.update(data)
    return found.digest()[:20]


def _bytes(array: Any) -> Any:
    """The numbers of an array, not copied if they lie one after the other."""
    return array.reshape(-1).view(np.uint8) if array.flags.c_contiguous and array.size else array.tobytes()


def _blocks(array: Any) -> Iterator[Any]:
    if array.nbytes <= BLOCK:
        yield array
        return
    rows = max(1, BLOCK * len(array) // array.nbytes)
    for first in range(0, len(array), rows):
        yield array[first : first + rows]


def _contents(cell: CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return ...  # it has no value yet


def _codes(code: CodeType) -> Iterator[CodeType]:
    """The code and that of the functions defined in it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


@functools.lru_cache(maxsize=1024)
def _global_names(code: CodeType) -> frozenset[str]:
    """The names of the global variables that a function reads."""
    return frozenset(
        step.argval for one in _codes(code) for step in dis.get_instructions(one) if step.opname in ("LOAD_GLOBAL", "LOAD_NAME")
    )


@functools.lru_cache(maxsize=1024)
def _imports(code: CodeType, package: str | None) -> frozenset[str]:
    """The full names of the modules that a function imports itself. ``package``: that of the function."""
    names = set[str]()
    for one in _codes(code):
        steps = [step for step in dis.get_instructions(one) if step.opname != "EXTENDED_ARG"]
        for level, _, step in zip(steps, steps[1:], steps[2:], strict=False):  # level, names that are taken, name of the module
            if step.opname == "IMPORT_NAME":
                with contextlib.suppress(ImportError):  # of a package that there is not: the function would raise
                    names.add(importlib.util.resolve_name("." * level.argval + step.argval, package))
    return frozenset(names)


def _own_module(name: str) -> ModuleType | None:
    """A module of the user's own; None where there is none, and for those of installed packages, which are not imported."""
    package = name.partition(".")[0]
    with contextlib.suppress(Exception):  # of an import: the function would raise it, or go another way
        spec = importlib.util.find_spec(package)
        places = [spec.origin] if spec and spec.has_location else spec and spec.submodule_search_locations
        if package != "nncore" and places and not any(place and _in_library(place) for place in places):
            return importlib.import_module(name)
    return None


def _has_a_name(value: Any) -> bool:
    """Whether a function or a class is one of an installed package that its name tells from all others."""
    if not _is_library(value.__module__ or ""):
        return False
    found: Any = sys.modules.get(value.__module__)
    for name in value.__qualname__.split("."):
        found = getattr(found, name, None)
    return found is value


@functools.lru_cache(maxsize=1024)
def _is_library(module: str) -> bool:
    """Whether a module is nncore's, Python's, or of an installed package."""
    package = module.partition(".")[0]
    if package == "nncore":
        return True
    file = getattr(sys.modules.get(module), "__file__", None)
    if file is None:
        return package in sys.stdlib_module_names
    return _in_library(file)


def _in_library(file: str) -> bool:
    """Whether a file is one of Python's, or of an installed package."""
    path = Path(file).resolve()
    return path.is_relative_to(Path(sysconfig.get_path("stdlib")).resolve()) or not {
        "site-packages", "dist-packages",
    }.isdisjoint(path.parts)  # fmt: skip
