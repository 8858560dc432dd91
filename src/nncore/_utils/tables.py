"""Text and tables that read well in a notebook."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

__all__ = ["Table", "Text", "html_table"]


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


def html_table(rows: Sequence[Sequence[str]], notes: Sequence[str] = (), *, text_columns: int = 1) -> str:
    """The rows, the first of which is the header, and notes below. Columns of numbers, after `text_columns`, are aligned right.

    >>> html_table([("layer", "size"), ("a<b", "3")])  # doctest: +ELLIPSIS
    '<table><thead><tr>...<td style="text-align: left">a&lt;b</td><td style="text-align: right">3</td></tr></tbody></table>'
    """
    header, *body = [_row(row, "th" if number == 0 else "td", text_columns) for number, row in enumerate(rows)]
    lines = "".join(f"<div>{escape(note)}</div>" for note in notes)
    return f"<table><thead>{header}</thead><tbody>{''.join(body)}</tbody></table>{lines}"


def _row(cells: Sequence[str], tag: str, text_columns: int) -> str:
    sides = ["left"] * text_columns + ["right"] * (len(cells) - text_columns)
    parts = [f'<{tag} style="text-align: {side}">{escape(cell)}</{tag}>' for cell, side in zip(cells, sides, strict=True)]
    return f"<tr>{''.join(parts)}</tr>"
