"""Short representations of values in error messages."""

from __future__ import annotations

import reprlib
from typing import Any

__all__ = ["clipped", "shown"]

MAX_LENGTH = 200  # characters


class _Repr(reprlib.Repr):
    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxother = self.maxlong = MAX_LENGTH
        self.maxlist = self.maxtuple = self.maxset = self.maxfrozenset = self.maxdict = self.maxarray = 10

    def repr_int(self, x: int, level: int) -> str:
        try:
            return super().repr_int(x, level)
        except ValueError:  # more digits than Python converts
            return f"an integer of {x.bit_length():,} bits"

    def repr_instance(self, x: Any, level: int) -> str:
        shape, kind = getattr(x, "shape", None), type(x).__name__
        if isinstance(shape, tuple) and len(shape) and getattr(x, "size", self.maxlist + 1) != 1:
            dtype = getattr(x, "dtype", None)
            return f"{kind} of shape {shape}" + (f", dtype {dtype}" if dtype else "")
        return super().repr_instance(x, level)


_repr = _Repr()


def shown(value: Any) -> str:
    """The value for a message: its ``repr``, shortened; of a larger array only type, shape and dtype.

    >>> shown("a"), shown(0.5), shown(None)
    ("'a'", '0.5', 'None')
    >>> len(shown("x" * 100_000)), shown(list(range(100_000)))
    (200, '[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, ...]')
    >>> import numpy as np
    >>> shown(np.zeros((1000, 3)))
    'ndarray of shape (1000, 3), dtype float64'
    """
    return clipped(_repr.repr(value))


def clipped(text: Any, length: int = MAX_LENGTH) -> str:
    """A text without its middle, if it is longer than ``length`` characters; of an error its message.

    What a terminal would obey instead of showing it is escaped: a file that is damaged may hold anything.

    >>> print(clipped("a" + chr(27)))
    a\\x1b
    """
    text = str(text)
    text = text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
    return text if len(text) <= length else f"{text[: length // 2 - 2]}...{text[len(text) - (length - length // 2 - 1) :]}"
