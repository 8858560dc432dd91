"""A small LRU cache."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

__all__ = ["LRUCache"]


class LRUCache:
    """A cache of at most ``most`` values by key, which evicts the least recently used.

    Copies and pickles are empty, as values can be recomputed.

    >>> squares = LRUCache(2)
    >>> squares.get(3, lambda: 9), squares.get(3, lambda: 0)
    (9, 9)
    """

    def __init__(self, most: int = 8) -> None:
        self.most = most
        self._kept: dict[Hashable, Any] = {}  # the one used last is the last
        self.last: tuple[Any, Any] = None, None  # what the user of the cache last asked for, and got

    def get(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """The value of the key; if it is missing, the result of ``make``, which is stored."""
        found = self._kept.pop(key, None)
        if found is None:
            found = make()
            while len(self._kept) >= self.most:
                self._kept.pop(next(iter(self._kept)))
        self._kept[key] = found
        return found

    def clear(self) -> None:
        """Forget all."""
        self._kept.clear()
        self.last = None, None

    def values(self) -> list[Any]:
        """All that is kept, the one used last at the end."""
        return list(self._kept.values())

    def __reduce__(self) -> tuple[Any, ...]:
        return LRUCache, (self.most,)
