"""Bad arguments for every public function, class, method and attribute: a clear error before anything has changed, or a result.

One case calls one of them with arguments that are right by their names, but for one or two. What it may raise is raised on
purpose, by a line of nncore with ``raise`` in it, or is the error of the object that was given.
"""

from __future__ import annotations

import inspect
import linecache
import os
import tempfile
import traceback
from collections.abc import Callable
from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any

import numpy as np

import nncore as nn
from attack.arguments import ATTRIBUTES, LEFT_OUT, LONG, METHODS, VALID, fitting, needed, parameters_of, swept, valid
from attack.mutate import pick
from attack.trainings import TRAININGS, X, content, restored
from attack.values import Hostile, bad
from nncore import second_order

Rng = np.random.Generator

_folder = tempfile.TemporaryDirectory(prefix="nncore-attack-")
PACKAGE, ROOT = Path(nn.__file__).parent, Path(__file__).parent
MODULES = [
    nn, nn.data, nn.figures, nn.initializers, nn.landscapes, nn.losses, nn.optimizers, nn.samplers, nn.schedules, second_order,
]  # fmt: skip

# ---- what is called


def public() -> dict[str, Any]:
    """The functions and classes by name, but for those that are left out."""
    found: dict[str, Any] = {}
    for module in MODULES:
        for name in module.__all__:
            value = getattr(module, name)
            if (isinstance(value, type) or callable(value)) and name not in LEFT_OUT:
                found[f"{name} of {module.__name__}" if name in found and found[name] is not value else name] = value
    return found


PUBLIC = public()


def instances() -> dict[str, Callable[[], Any]]:
    """What makes an object of each class, and each kind of training, before its first fit and after it."""
    found: dict[str, Callable[[], Any]] = {}
    for name, cls in PUBLIC.items():
        if isinstance(cls, type) and not inspect.isabstract(cls):
            make = lambda cls=cls: cls(**needed(cls.__name__, cls))  # noqa: E731
            try:
                make()
            except (TypeError, NotImplementedError):  # a base class
                continue
            found[name] = make
    for name in TRAININGS:
        found |= {f"trainer {name}": lambda name=name: restored(name), f"model {name}": lambda name=name: restored(name).model}
    scaler = lambda cls: lambda: cls().fit(X)  # noqa: E731
    found |= {f"fitted {name}": scaler(cls) for name, cls in nn.data.SCALERS.items()}
    found |= {
        "history": lambda: restored("scaled").history,
        "ensemble history": lambda: restored("ensemble").history,
        "table": swept,
    }
    return found


INSTANCES = instances()


# ---- a case


def case(rng: Rng) -> str:
    """One call with one or two bad arguments, or one assignment."""
    os.chdir(_folder.name)  # where files with odd names may be
    kind = rng.random()
    if kind < 0.35:
        name = pick(rng, list(PUBLIC))
        return f"call {attacked(rng, name, PUBLIC[name], lambda: '')}"
    name = pick(rng, list(INSTANCES))
    thing = INSTANCES[name]()
    if kind < 0.5:
        return f"assignment {assigned(rng, thing)}"
    names = [m for cls, found in METHODS.items() if isinstance(thing, cls) for m in found.split() if hasattr(thing, m)]
    if not names:
        return f"assignment {assigned(rng, thing)}"
    method = pick(rng, names)
    outcome = attacked(rng, f"{type(thing).__name__}.{method}", getattr(thing, method), lambda: state(thing), fitting(thing))
    works(thing)
    return f"method {outcome}"


def attacked(rng: Rng, owner: str, function: Any, look: Callable[[], Any], right: dict[str, Any] | None = None) -> str:
    """Call with right arguments but for one or two."""
    own = parameters_of(function)
    arguments = {p.name: valid(owner, p, right) for p in own if p.default is p.empty or rng.random() < 0.1}
    for p in own:
        if p.name in ("epochs", "verbose", "batch_size") and "fit" in owner:
            arguments.setdefault(p.name, VALID[p.name]())
    for _ in range(1 + int(rng.random() < 0.3)):
        name = pick(rng, [p.name for p in own]) if own and rng.random() < 0.97 else "nonsense"
        value = bad(rng)
        while name in LONG and is_large(value):
            value = bad(rng)
        arguments[name] = value
    positional = [p.name for p in own if p.kind is p.POSITIONAL_ONLY]
    first = [arguments.pop(name) for name in positional if name in arguments]
    before = look() if not owner.endswith(".minimize") else ""  # which begins, and then calls a function
    look = look if before else lambda: ""
    return judged(lambda: function(*first, **arguments), lambda: look() == before, arguments)


def is_large(value: Any) -> bool:
    try:
        return bool(np.max(np.abs(np.asarray(value, dtype=float))) > 50)
    except Exception:  # no number
        return not isinstance(value, (type(None), str, bool)) and isinstance(value, (range, np.ndarray))


def assigned(rng: Rng, thing: Any) -> str:
    """Assign something to an attribute."""
    names = [p.name for p in parameters_of(type(thing)) if hasattr(thing, p.name)] + ["nonsense"]
    names += [name for cls, found in ATTRIBUTES.items() if isinstance(thing, cls) for name in found.split()]
    name, value = pick(rng, names), bad(rng)
    before = state(thing)
    outcome = judged(lambda: setattr(thing, name, value), lambda: state(thing) == before, {name: value}, assigns=True)
    if outcome != "done":
        works(thing)
    return outcome


def state(thing: Any) -> Any:
    """All that tells whether an object has changed."""
    if isinstance(thing, (nn.Sequential, nn.Ensemble, nn.Trainer, nn.EnsembleTrainer)):
        return content(thing)
    if isinstance(thing, nn.data.Scaler):
        return repr(thing), {name: repr(value) for name, value in vars(thing).items()}
    return repr(thing), repr(thing.state_dict()) if hasattr(thing, "state_dict") else ""


def works(thing: Any) -> None:
    """What was attacked is still of use."""
    repr(thing)
    if isinstance(thing, nn.Sequential):
        thing.copy()


# ---- what may be


def judged(act: Callable[[], Any], unchanged: Callable[[], bool], arguments: dict[str, Any], *, assigns: bool = False) -> str:
    """The outcome; an error that should not be is raised."""
    try:
        act()
    except Exception as error:
        error.add_note(f"with {described(arguments)}")
        outcome = refusal(error, arguments, assigns)
        if outcome == "refused" and not unchanged():
            raise AssertionError(f"refused, and something has changed: {described(arguments)}: {error}") from error
        return outcome
    return "done"


REFUSALS = (TypeError, ValueError, NotImplementedError, KeyError, IndexError, RuntimeError)  # if nncore raises them
SYSTEM = (OSError, ImportError, MemoryError, FrozenInstanceError)  # of which the message of Python is as good
FUNCTIONS = ("f", "condition", "make", "score")  # arguments that are called
FOREIGN = ("/scipy/sparse/", "/matplotlib/", "/PIL/")  # methods of what was given, and what draws


def refusal(error: Exception, arguments: dict[str, Any], assigns: bool) -> str:
    """The name of an error that may be; others are raised."""
    frames = traceback.extract_tb(error.__traceback__)
    place = frames[-1].filename
    if own_error(error) or place == str(ROOT / "values.py") or of_a_function(error, arguments):
        return "user's error"
    if isinstance(error, SYSTEM):
        return type(error).__name__
    if any(part in place for part in FOREIGN):
        return "refused by others"
    if by_python(error, frames):
        return "refused"
    allowed = (*REFUSALS, ArithmeticError, *((AttributeError,) if assigns else ()))
    if not on_purpose(frames[-1]) or not isinstance(error, allowed) or isinstance(error, (Warning, UnicodeError)):
        raise error
    if len(str(error)) > 2000:
        raise AssertionError(f"a message of {len(str(error)):,} characters") from error
    return type(error).__name__ if isinstance(error, ArithmeticError) else "refused"


def of_a_function(error: Exception, arguments: dict[str, Any]) -> bool:
    """Whether a function that was given takes other arguments."""
    if any(isinstance(arguments.get(name), type) for name in FUNCTIONS):  # of Python's, which have no line of their own
        return isinstance(error, (TypeError, ValueError))
    names = [getattr(value, "__qualname__", None) for value in arguments.values() if callable(value)]
    return isinstance(error, TypeError) and any(isinstance(name, str) and str(error).startswith(name) for name in names)


def on_purpose(place: traceback.FrameSummary) -> bool:
    """Whether a line of nncore raises; of the compiled modules there are no lines."""
    own = place.filename.startswith(str(PACKAGE))
    return own and (place.filename.endswith(".pyx") or "raise" in linecache.getline(place.filename, place.lineno or 0))


def by_python(error: Exception, frames: traceback.StackSummary) -> bool:
    """Whether the call itself was refused: an argument that there is not, or one that is missing."""
    called = frames[-1].filename == __file__ or (len(frames) <= 4 and "()" in str(error))
    return isinstance(error, TypeError) and "argument" in str(error) and called


def own_error(error: BaseException | None) -> bool:
    """Whether it is, or comes from, an error of a given object."""
    seen = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, Hostile):
            return True
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return False


def described(arguments: dict[str, Any]) -> str:
    def text(value: Any) -> str:
        try:
            return repr(value)[:80]
        except Exception:
            return f"a {type(value).__name__}"

    return ", ".join(f"{name}={text(value)}" for name, value in arguments.items())[:600]
