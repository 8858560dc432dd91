"""Whether a stream is a terminal."""

from __future__ import annotations

from typing import Any

__all__ = ["is_terminal"]


def is_terminal(stream: Any) -> bool:
    """Whether the stream is a terminal; False for an object without ``isatty``."""
    ask = getattr(stream, "isatty", None)
    return not getattr(stream, "closed", False) and ask is not None and bool(ask())
