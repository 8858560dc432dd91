"""Text and tables that read well in a notebook."""

from __future__ import annotations

__all__ = ["Table", "Text"]


class Text(str):
    """A str whose repr is its own text, so that it reads well in a notebook."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


class Table(Text):
    """A `Text` that a notebook shows as an HTML table."""

    html: str

    def _repr_html_(self) -> str:
        return self.html
