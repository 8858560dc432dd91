"""Arguments that are checked at every assignment, and the base of the classes that have such.

A class declares its arguments as fields; its constructor assigns them. A later assignment is checked in the same way, so that
an object never holds a value that its constructor would have refused. ``config``, ``repr`` and ``==`` follow from the same
attributes. A field stores its value in the instance under its own name and has no ``__get__``: reading costs nothing.
"""

from __future__ import annotations

import functools
import inspect
import math
import os
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Generic, NoReturn, TypeVar, overload

import numpy as np

from nncore._messages import clipped, shown
from nncore._utils.each import Each
from nncore._utils.files import class_name
from nncore._utils.hints import hint
from nncore._utils.own import is_own

if TYPE_CHECKING:
    from typing import Self

__all__ = [
    "DESCRIBED", "Choice", "Configured", "Converted", "Count", "Field", "Fixed", "Flag", "Instance", "ListOf", "Maybe", "Name",
    "Number", "PathLike", "Sealed", "Value", "arguments", "assign", "assignments", "choice", "complete",
    "config_or_none", "count", "flag", "function", "function_of", "generator", "mapping", "number", "only_fields",
    "with_defaults",
]  # fmt: skip

G = TypeVar("G")  # type of the value given
T = TypeVar("T")  # type of the value stored
NUMBER = (int, float, np.integer, np.floating)  # and bool, which is an int
INTEGER = (int, np.integer)
BOOL = (bool, np.bool_)
JSON = {type(None), bool, int, float, str}  # types of values that have a JSON form as they are
DESCRIBED = "described_by"  # in an entry: see `Configured.own_description`
MAX_BITS = 128  # of an integer: NumPy's own seeds have as many


class Assignments:
    """Number of assignments to fields of existing objects; values computed from fields before one may be out of date."""

    number = 0


assignments = Assignments()


class Field(Generic[G, T]):
    """A checked attribute: takes a G and keeps a T. ``argument`` is the constructor's name for it if it is another one."""

    name: str
    argument: str
    requirement = "a value"  # for messages: "<argument> must be <requirement>"
    alternative = ""  # put before it: "None or "

    def __init__(self, *, argument: str = "") -> None:
        self.name = self.argument = argument

    def __set_name__(self, owner: type, name: str) -> None:
        self.name, self.argument = name, self.argument or name

    if TYPE_CHECKING:  # at run time the instance's dictionary is read

        @overload
        def __get__(self, instance: None, owner: type) -> Self: ...
        @overload
        def __get__(self, instance: Any, owner: type | None = None) -> T: ...
        def __get__(self, instance: Any, owner: type | None = None) -> Any: ...

    def __set__(self, instance: Any, value: G) -> None:
        values, kept = instance.__dict__, self.check(value)
        before, values[self.name] = values.get(self.name), kept
        if "_made" in values:
            assignments.number += 1
            try:
                instance._check_all({self.name: kept})
            except BaseException:
                values[self.name] = before
                raise

    def check(self, value: Any) -> T:
        """``value`` in the form in which it is kept; raises TypeError or ValueError."""
        return value

    def refuse(self, error: type[Exception], value: Any) -> NoReturn:
        raise error(f"{clipped(self.argument)} must be {self.alternative}{self.requirement}, got {shown(value)}") from None


def assign(instance: Any, values: Mapping[str, Any]) -> None:
    """Assign several attributes, all or none; conditions on more than one are checked when all are assigned."""
    attributes: dict[str, Any] = {}
    for name, value in values.items():
        field = getattr(type(instance), name, None) if isinstance(name, str) else None
        attributes |= field.parts_of(value) if isinstance(field, Pair) else {name: value}
    if unknown := [name for name in attributes if not (isinstance(name, str) and hasattr(instance, name))]:
        meant = hint(unknown[0], arguments(type(instance)))
        raise TypeError(f"{type(instance).__name__} has no argument {shown(unknown[0])}{meant}")
    fields: dict[str, Any] = {name: getattr(type(instance), name, None) for name in attributes}
    if not all(isinstance(field, Field) for field in fields.values()):
        for name, value in attributes.items():
            setattr(instance, name, value)
        return
    before = {name: instance.__dict__.get(name) for name in attributes}
    instance.__dict__.update({name: field.check(attributes[name]) for name, field in fields.items()})
    if "_made" in instance.__dict__:
        assignments.number += 1
        try:
            instance._check_all(attributes)
        except BaseException:
            instance.__dict__.update(before)
            raise


class Number(Field[float, float]):
    """A finite number, kept as a float: ``least <= x <= most``, ``above < x < below``."""

    def __init__(
        self, least: float = -math.inf, *, above: float = -math.inf, below: float = math.inf, most: float = math.inf,
        argument: str = "",
    ) -> None:  # fmt: skip
        super().__init__(argument=argument)
        self.least: float = least
        self.above: float = above
        self.below: float = below
        self.most: float = most

    @property
    def requirement(self) -> str:  # type: ignore[override]
        low, high = max(self.least, self.above), min(self.below, self.most)
        if low > -math.inf and high < math.inf:
            return f"a number in {'(' if self.above == low else '['}{low:g}, {high:g}{']' if self.most == high else ')'}"
        if low > -math.inf:
            return (
                "a positive number"
                if self.above == 0
                else f"a finite number {'above' if self.above == low else 'of at least'} {low:g}"
            )
        return "a finite number"

    def check(self, value: Any) -> float:
        if not isinstance(value, NUMBER) or isinstance(value, bool):
            if isinstance(value, Each):
                return value.checked(self.check)
            self.refuse(TypeError, value)
        try:
            number = float(value)
        except OverflowError:  # an int that no float can hold
            self.refuse(ValueError, value)
        if not (self.least <= number <= self.most and self.above < number < self.below and math.isfinite(number)):
            self.refuse(ValueError, value)
        return number


class Count(Field[int, int]):
    """A whole number, kept as an int: ``least <= n < below``."""

    def __init__(self, least: int = 1, *, below: int | None = None, argument: str = "") -> None:
        super().__init__(argument=argument)
        self.least: int = least
        self.below: int | None = below

    @property
    def requirement(self) -> str:  # type: ignore[override]
        if self.below is None:
            return "a positive integer" if self.least == 1 else f"an integer of at least {self.least}"
        power = self.below.bit_length() - 1
        return f"an integer from {self.least} to {f'2**{power} - 1' if self.below == 1 << power else self.below - 1}"

    def check(self, value: Any) -> int:
        if not isinstance(value, INTEGER) or isinstance(value, bool):
            self.refuse(TypeError, value)
        if value < self.least or (self.below is not None and value >= self.below):
            self.refuse(ValueError, value)
        if int(value).bit_length() > MAX_BITS:
            raise ValueError(f"{self.argument} must be an integer of at most {MAX_BITS} bits, got {shown(value)}")
        return int(value)


class Flag(Field[bool, bool]):
    """True or False, and no value that is merely truthy or falsy."""

    requirement = "True or False"

    def check(self, value: Any) -> bool:
        if not isinstance(value, BOOL):
            self.refuse(TypeError, value)
        return bool(value)


class Choice(Field[str, str]):
    """One of several strings."""

    def __init__(self, *choices: str, argument: str = "") -> None:
        super().__init__(argument=argument)
        self.choices = choices

    @property
    def requirement(self) -> str:  # type: ignore[override]
        names = list(map(repr, self.choices))
        return " or ".join(names) if len(names) == 2 else f"one of {', '.join(names)}"

    def check(self, value: Any) -> str:
        if not isinstance(value, str):
            self.refuse(TypeError, value)
        if value not in self.choices:
            self.refuse(ValueError, value)
        return str(value)


class Name(Field[str, str]):
    """A string that is not empty."""

    requirement = "a non-empty string"

    def check(self, value: Any) -> str:
        if not isinstance(value, str):
            self.refuse(TypeError, value)
        return value or self.refuse(ValueError, value)


class PathLike(Field[str | os.PathLike[str], str]):
    """A path, kept as a string."""

    requirement = "a path"

    def check(self, value: Any) -> str:
        return os.fspath(value) if isinstance(value, (str, os.PathLike)) else self.refuse(TypeError, value)


class Converted(Field[G, T]):
    """A value converted, or refused, by a function of the argument's name and the value."""

    def __init__(self, convert: Callable[[str, G], T], *, argument: str = "") -> None:
        super().__init__(argument=argument)
        self.convert = convert

    def check(self, value: Any) -> T:
        return self.convert(self.argument, value)


class Instance(Field[T, T]):
    """An object of a class."""

    def __init__(self, cls: type[T], *, argument: str = "") -> None:
        super().__init__(argument=argument)
        self.cls = cls

    @property
    def requirement(self) -> str:  # type: ignore[override]
        return f"a{'n' if self.cls.__name__[0] in 'AEIOUaeiou' else ''} {self.cls.__name__}"

    def check(self, value: Any) -> T:
        return value if isinstance(value, self.cls) else self.refuse(TypeError, value)


class Fixed(Field[T, T]):
    """An attribute that cannot be reassigned: it is set before the object is made, or in its ``__dict__``."""

    def __init__(self, once: str = "", advice: str = "") -> None:
        super().__init__()
        self.once, self.advice = once and f" once {once}", advice and f": {advice}"

    def __set__(self, instance: Any, value: Any) -> None:
        instance.__dict__[self.name] = self.check(value) if "_made" in instance.__dict__ else value

    def check(self, value: Any) -> T:
        raise AttributeError(f"{self.name} is fixed{self.once}, got {shown(value)}{self.advice}")


class _Of(Field[G, T]):
    """A field whose values, or their elements, are checked by another one."""

    def __init__(self, field: Field[Any, Any]) -> None:
        super().__init__(argument=field.argument)
        self.field = field

    def __set_name__(self, owner: type, name: str) -> None:
        super().__set_name__(owner, name)
        self.field.argument = self.argument


class Maybe(_Of[G | None, T | None], Generic[G, T]):
    """None, or what another field takes."""

    def __init__(self, field: Field[G, T]) -> None:
        super().__init__(field)
        field.alternative = "None or "

    def check(self, value: Any) -> T | None:
        if isinstance(value, Each) and (given := [own for own in value.values if own is not None]):
            self.field.check(Each(given))  # whether it takes one for each member, too
            return value.checked(self.check)
        return None if value is None else self.field.check(value)


class ListOf(_Of[Sequence[G], tuple[T, ...]], Generic[G, T]):
    """A tuple of what another field takes."""

    def __init__(self, field: Field[G, T]) -> None:
        super().__init__(field)

    @property
    def requirement(self) -> str:  # type: ignore[override]
        return f"a list, each element {self.field.requirement}"

    def check(self, value: Any) -> tuple[T, ...]:
        several = isinstance(value, Sequence) or (isinstance(value, np.ndarray) and value.ndim)
        if isinstance(value, (str, bytes, bytearray, Mapping)) or not several:
            self.refuse(TypeError, value)
        return tuple(map(self.field.check, value))


class Pair(Generic[T]):
    """Two fields given as one argument."""

    def __init__(self, first: str, second: str) -> None:
        self.names: tuple[str, str] = (first, second)

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...
    @overload
    def __get__(self, instance: Any, owner: type | None = None) -> tuple[T, T]: ...
    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self if instance is None else tuple(getattr(instance, name) for name in self.names)

    def __set__(self, instance: Any, value: tuple[T, T]) -> None:
        assign(instance, self.parts_of(value))

    def parts_of(self, value: Any) -> dict[str, Any]:
        """The fields by name."""
        if not isinstance(value, (tuple, list)) or len(value) != 2:
            error = ValueError if isinstance(value, (tuple, list)) else TypeError
            raise error(f"{self.name} must be a pair ({', '.join(self.names)}), got {shown(value)}")
        return dict(zip(self.names, value, strict=True))


# ---- the same checks for arguments of functions


def number(
    name: str,
    value: Any,
    least: float = -math.inf,
    *,
    above: float = -math.inf,
    below: float = math.inf,
    most: float = math.inf,
) -> float:
    """`value` as a float, if it is a finite number in this range."""
    if type(value) is float and least <= value <= most and above < value < below:  # and so neither NaN nor infinite
        return value
    field = Number(least, above=above, below=below, most=most, argument=name)
    return field.refuse(TypeError, value) if isinstance(value, Each) else field.check(value)


def count(name: str, value: Any, least: int = 1, *, below: int | None = None) -> int:
    """`value` as an int, if it is a whole number in this range."""
    if type(value) is int and value >= least and value < (1 << MAX_BITS if below is None else below):
        return value
    return Count(least, below=below, argument=name).check(value)


def flag(name: str, value: Any) -> bool:
    """`value` as a bool, if it is True or False."""
    return value if type(value) is bool else Flag(argument=name).check(value)


def function(name: str, value: Any) -> Callable[..., Any]:
    """`value`, if it is callable."""
    if not callable(value):
        raise TypeError(f"{name} must be callable, got {shown(value)}")
    return value


def function_of(*arguments: str) -> Callable[[str, Any], Callable[..., Any]]:
    """As `function`, for one that is called with these arguments by position.

    >>> function_of("trainer", "epoch")("on_epoch_begin", lambda epoch: None)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    TypeError: on_epoch_begin must take (trainer, epoch), got <function ...>, which takes (epoch)
    """

    def check(name: str, value: Any) -> Callable[..., Any]:
        made = function(name, value)
        try:
            signature = inspect.signature(made)
        except ValueError:  # some functions in C do not tell
            return made
        try:
            signature.bind(*arguments)
        except TypeError:
            wanted = f"{name} must take ({', '.join(arguments)})"
            raise TypeError(f"{wanted}, got {shown(value)}, which takes {signature}") from None
        return made

    return check


def mapping(name: str, value: Any) -> Mapping[Any, Any]:
    """`value`, if it is a mapping."""
    if not isinstance(value, Mapping):
        raise TypeError(f"{name} must be a mapping, got {shown(value)}")
    return value


def keywords(name: str, value: Mapping[Any, Any]) -> dict[str, Any]:
    """The entries of a configuration, as keyword arguments."""
    for key in value:
        if not isinstance(key, str):
            raise TypeError(f"{name} must have names as keys, got {shown(key)}")
    return dict(value)


def generator(name: str, value: Any) -> np.random.Generator:
    """A generator itself, or one seeded with a whole number from 0 on."""
    return value if isinstance(value, np.random.Generator) else np.random.default_rng(count(name, value, 0))


def choice(name: str, value: Any, choices: Sequence[str]) -> str:
    """`value`, if it is one of `choices`."""
    return value if type(value) is str and value in choices else Choice(*choices, argument=name).check(value)


# ---- the classes that have fields


def _explaining(init: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(init)
    def __init__(self: Sealed, *args: Any, **kwargs: Any) -> None:
        try:
            init(self, *args, **kwargs)
        except TypeError as error:
            if complaint := _complaint(init, args, kwargs) or _misfit(error):
                raise TypeError(f"{type(self).__name__} {complaint}") from None
            raise
        if type(self).__init__ is __init__:
            held = vars(self)
            if missing := [name for name in self._field_names if name not in held]:
                raise TypeError(f"{type(self).__name__}.__init__ must call super().__init__(), which sets {', '.join(missing)}")
            self._check_all({})
            self._complete()

    return __init__


def _complaint(init: Callable[..., None], args: Sequence[Any], kwargs: Iterable[str]) -> str:
    """The message for arguments that a constructor cannot take; empty if it can."""
    parameters = list(inspect.signature(init).parameters.values())[1:]
    kinds = {parameter.kind for parameter in parameters}
    known = [parameter.name for parameter in parameters]
    unknown = next((name for name in kwargs if name not in known), None)
    if unknown is not None and inspect.Parameter.VAR_KEYWORD not in kinds:
        return f"has no argument {shown(unknown)}" + (hint(unknown, known) or f". It has {', '.join(known) or 'none'}")
    by_place = [parameter.name for parameter in parameters if parameter.kind is not parameter.KEYWORD_ONLY]
    if len(args) > len(by_place) and inspect.Parameter.VAR_POSITIONAL not in kinds:
        extra = args[len(by_place)]
        return f"takes {', '.join(by_place) or 'nothing'} by position, all else by name, got {shown(extra)}{hint(extra, [])}"
    return ""


def _misfit(error: TypeError) -> str:
    """Python's message for arguments that are missing or given twice, without the name of a base class."""
    name, _, problem = str(error).partition(".__init__() ")
    if error.__traceback__ is not None and error.__traceback__.tb_next is not None:  # raised by an inner constructor
        return ""
    return problem if name.isidentifier() and problem.startswith(("missing ", "got multiple ")) else ""


class Sealed:
    """Base of classes that explain unknown arguments, and whose objects, once made, take no new public attributes.

    So a name that was mistyped is an error, for type checkers too. A subclass may set any attribute in ``__init__``; later only
    existing attributes, annotated ones, fields, properties and names that start with an underscore.

    >>> class Step(Sealed):
    ...     lr = Number(0)
    ...     def __init__(self, lr=0.1):
    ...         self.lr = lr
    >>> Step(learning_rate=0.5)
    Traceback (most recent call last):
    TypeError: Step has no argument 'learning_rate': it is lr
    >>> step = Step()
    >>> step.lr = 0.5
    >>> step.lr = -0.5
    Traceback (most recent call last):
    ValueError: lr must be a finite number of at least 0, got -0.5
    >>> step.learning_rate = 0.5
    Traceback (most recent call last):
    AttributeError: Step has no attribute 'learning_rate': it is lr
    """

    _field_names: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        if "__init__" in cls.__dict__:
            cls.__init__ = _explaining(cls.__init__)  # type: ignore[method-assign]
        cls._field_names = tuple(field.name for field in _fields(cls))

    @_explaining
    def __init__(self) -> None:
        pass

    def check_fields(self, assigned: Mapping[str, Any]) -> None:
        """Raise if fields are inconsistent: after the constructor, and after an assignment, with the fields ``assigned``."""

    def _check_all(self, assigned: Mapping[str, Any]) -> None:
        """As `check_fields`, for the values of each member of an ensemble if there are such."""
        held = vars(self)
        each = {name: value.values for name, value in held.items() if type(value) is Each}
        if not each:
            self.check_fields(assigned)
            return
        for values in zip(*each.values(), strict=False):  # an Each of another length is found with the ensemble
            one = object.__new__(type(self))
            vars(one).update(held, **dict(zip(each, values, strict=True)))
            one.check_fields(assigned)
            held |= {name: value for name, value in vars(one).items() if name not in held}

    def _complete(self) -> None:
        """After the outermost constructor."""
        self.__dict__["_made"] = True

    def _takes_no_more(self) -> bool:
        return "_made" in self.__dict__

    if not TYPE_CHECKING:  # for type checkers a misspelled name is an error

        def __setattr__(self, name: str, value: Any) -> None:
            own = self.__dict__
            if "_made" in own and not (name in own or name.startswith("_")) and self._takes_no_more():
                known = _assignable(self)
                if name not in known:
                    same = next((field.name for field in _fields(type(self)) if field.argument == name), None)
                    meant = f": it is {same}" if same else hint(name, known) or f". It has {', '.join(known)}"
                    raise AttributeError(f"{type(self).__name__} has no attribute {shown(name)}{meant}")
            super().__setattr__(name, value)


def _assignable(instance: Any) -> list[str]:
    """Public attributes, and what the classes annotate or make with a descriptor."""
    names = list(vars(instance))
    for cls in type(instance).__mro__:
        descriptors = (name for name, value in vars(cls).items() if hasattr(value, "__set__") and getattr(value, "fset", True))
        annotated = (name for name, kind in inspect.get_annotations(cls).items() if "ClassVar" not in str(kind))
        names += [*annotated, *descriptors]
    return [name for name in dict.fromkeys(names) if not name.startswith("_")]


def _fields(cls: type) -> list[Field[Any, Any]]:
    """The fields of a class, those of its bases first."""
    names = dict.fromkeys(name for base in reversed(cls.__mro__) for name in vars(base))
    return [field for name in names if isinstance(field := getattr(cls, name, None), Field)]


def _parameters(cls: type) -> dict[str, inspect.Parameter]:
    """Of a class's constructor by name; ``**rest`` are those of the base class."""
    found: dict[str, inspect.Parameter] = {}
    for base in cls.__mro__:
        if "__init__" in vars(base):
            parameters = list(inspect.signature(vars(base)["__init__"]).parameters.values())[1:]
            found = {p.name: p for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)} | found
            if not any(p.kind is p.VAR_KEYWORD for p in parameters):
                break
    return found


def arguments(cls: type) -> Mapping[str, str]:
    """The arguments of a class's constructor, and the attribute that holds each; ``**rest`` are those of the base class."""
    known: Mapping[str, str] | None = vars(cls).get("_argument_names")
    if known is not None:
        return known
    attributes = {field.argument: field.name for field in _fields(cls)}
    found = {name: attributes.get(name, name) for name in _parameters(cls)}
    type.__setattr__(cls, "_argument_names", found)
    return found


def with_defaults(made: Any, config: Any) -> Any:
    """A configuration that a file has of an object like this one, with the defaults of arguments that came later."""
    if isinstance(made, (list, tuple)) and isinstance(config, list) and len(made) == len(config):
        return [with_defaults(*each) for each in zip(made, config, strict=True)]
    if isinstance(made, Mapping) and isinstance(config, dict):
        return {name: with_defaults(made.get(name), value) for name, value in config.items()}
    if not (hasattr(made, "config") and isinstance(config, dict)):
        return config
    if "schedule" in config and not (isinstance(made, Configured) and made.entry().get("schedule") == config["schedule"]):
        return config  # of another schedule, which was assigned
    mine, parameters = made.config(), _parameters(type(made))
    held = made._arguments() if isinstance(made, Configured) else vars(made)
    fields = {field.argument: field for field in _fields(type(made))}
    filled = {name: with_defaults(held.get(name), value) for name, value in config.items()}
    for name, parameter in parameters.items():
        if name not in config and parameter.default is not parameter.empty and name in mine:
            filled[name] = plain(fields[name].check(parameter.default) if name in fields else parameter.default)
    return made.own_description() | filled if isinstance(made, Configured) else filled


def complete(cls: type, config: dict[str, Any]) -> dict[str, Any]:
    """A configuration that has all arguments of a class's constructor."""
    if missing := [name for name in arguments(cls) if name not in config]:
        raise TypeError(
            f"config() of {cls.__name__} must return all arguments of its constructor, so that it can be stored; "
            f"{', '.join(missing)} is missing: keep it as an attribute of this name"
        )
    return config


def config_or_none(made: Any) -> dict[str, Any] | None:
    """The configuration, or None of an object that cannot be stored."""
    try:
        config: dict[str, Any] = made.config()
    except TypeError:
        return None
    return config


class Configured(Sealed):
    """An object that is described by the arguments of its constructor, each kept as an attribute: see `arguments`.

    An object of a subclass that keeps one under no name works, but has no ``config`` and cannot be stored.
    """

    def _arguments(self) -> dict[str, Any]:
        """The values of the constructor's arguments; of a subclass that keeps them elsewhere those that can be found."""
        return {name: getattr(self, kept) for name, kept in arguments(type(self)).items() if hasattr(self, kept)}

    def config(self) -> dict[str, Any]:
        """The constructor's arguments, ready for JSON."""
        config: dict[str, Any] = plain(complete(type(self), self._arguments()))
        for name, value in config.items():
            if callable(value) or isinstance(value, Each):
                raise TypeError(f"{name} must have a JSON form to be stored, got {shown(value)}")
        return config

    def entry(self) -> dict[str, Any]:
        """The class and the configuration: its form in the configuration of another object."""
        return {"class": class_name(type(self)), **self.config(), **self.own_description()}

    def own_description(self) -> dict[str, Any]:
        """What an entry of an object of a user-defined class holds besides: nothing is made from it, it is only compared."""
        described = {} if is_own(type(self)) else self._described_by()
        return {DESCRIBED: plain(described)} if described else {}

    def _described_by(self) -> dict[str, Any]:
        """What says what an object of a user-defined class does, whose name and arguments need not: texts and numbers."""
        return {}

    def _takes_no_more_here(self) -> bool:
        """As `_takes_no_more`, but objects of user-defined classes may have any attribute."""
        return "_made" in self.__dict__ and type(self).__module__.startswith("nncore.")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self._arguments().items())})"


class Value(Configured):
    """A configured object without further state: objects with equal arguments are equal.

    Objects with state (layers, optimizers, callbacks, scalers) are equal only to themselves.
    """

    _takes_no_more = Configured._takes_no_more_here

    def __eq__(self, other: Any) -> bool:
        same = type(self) is type(other)
        return self is other or (same and plain(self._held(), Value) == plain(other._held(), Value))

    __hash__: ClassVar[None]  # type: ignore[assignment]

    def _held(self) -> dict[str, Any]:
        """The arguments, or all attributes if they do not include the arguments."""
        held = self._arguments()
        return held if held.keys() >= arguments(type(self)).keys() else vars(self)

    def key(self) -> Hashable:
        """The properties that determine the ops: values with equal keys share compiled programs.

        Two values of a class are equal if their attributes are; one with an unhashable attribute is equal only to itself.
        """
        held = tuple(vars(self).items())
        try:
            hash(held)
        except TypeError:
            return type(self), id(self)
        return type(self), held


def only_fields(value: Any) -> bool:
    """Whether an object, with all that its arguments hold, depends on fields of nncore's own classes alone.

    Then it changes only by assignments, which are counted.
    """
    if type(value) in JSON:
        return True
    if isinstance(value, Configured):
        return is_own(type(value)) and only_fields(value._arguments())
    if isinstance(value, (dict, MappingProxyType)):
        return all(map(only_fields, value.values()))
    return not isinstance(value, (tuple, list)) or all(map(only_fields, value))


def plain(value: Any, kept: tuple[type, ...] | type = ()) -> Any:
    """Lists, mappings and numbers for what has a JSON form and is not of the classes ``kept``; otherwise unchanged."""
    if type(value) in JSON or isinstance(value, kept):
        return value
    if hasattr(value, "entry"):
        return value.entry()
    if isinstance(value, (tuple, list)):
        return [plain(element, kept) for element in value]
    if isinstance(value, Mapping):
        return {name: plain(element, kept) for name, element in value.items()}
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, np.longdouble) or (isinstance(value, np.ndarray) and value.dtype == np.longdouble):
        value = np.asarray(value, np.float64)  # of which there are Python numbers
    return value.tolist() if isinstance(value, (np.ndarray, np.generic)) else value
