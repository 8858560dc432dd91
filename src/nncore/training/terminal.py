"""Whether a stream is a terminal."""

from __future__ import annotations

from typing import Any

__all__ = ["is_terminal"]


def is_terminal(stream: Any) -> bool:
    """Whether what is written goes to a terminal. An object that can only write does not say so."""
    ask = getattr(stream, "isatty", None)
    return not getattr(stream, "closed", False) and ask is not None and bool(ask())
