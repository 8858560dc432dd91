"""Live lines by tqdm, and redirection of other output while one is shown. Imported with the first live line."""

from __future__ import annotations

import logging
import re
import sys
from typing import Any, TextIO

from tqdm import tqdm

from nncore.training.terminal import is_terminal

__all__ = ["AboveBars", "make_bar", "redirect", "restore"]

_MOVES_CURSOR = re.compile(r"\r(?!\n)|\x1b\[[\d;]*[A-HJKSTf]")
_NAMES = ("stdout", "stderr")


def make_bar(notebook: bool, stream: TextIO, total: int, initial: int) -> Any:
    """A tqdm bar that is drawn only on request and starts no monitor thread."""
    bar = type("Bar", (_notebook_tqdm() if notebook else tqdm,), {"monitor_interval": 0})(
        total=total,
        initial=initial,
        file=stream,
        leave=notebook,
        dynamic_ncols=True,
        bar_format="{desc} {percentage:3.0f}%|{bar}| {elapsed}<{remaining}{postfix}",
        smoothing=0,  # remaining time from the mean speed
        delay=0 if notebook else 1,  # do not draw yet
    )
    bar.delay = 0
    return bar


def _notebook_tqdm() -> Any:
    """tqdm's widget if ipywidgets are installed."""
    from tqdm.auto import tqdm

    return tqdm


class AboveBars:
    """A standard stream that shares a screen with tqdm's bars: each complete line is written above them.

    An incomplete line is held back until it is completed. Text that moves the cursor is passed on unchanged: it comes from
    another live display, such as a bar of the user, which keeps track of the cursor.
    """

    def __init__(self, wrapped: TextIO, screen: TextIO, passes_empty_lines: bool) -> None:
        self._wrapped, self._screen = wrapped, screen
        self._passes_empty_lines = passes_empty_lines  # tqdm moves down by line feeds
        self._rest = ""
        self._live = True

    def __getattr__(self, name: str) -> Any:
        return getattr(self._wrapped, name)

    def __eq__(self, other: object) -> bool:
        """Equality as tqdm uses it to find the bars on a stream."""
        return self._wrapped == getattr(other, "_wrapped", other)

    def __hash__(self) -> int:
        return hash(self._wrapped)

    def write(self, text: str) -> int:
        """Write the complete lines, keep the rest."""
        empty = self._passes_empty_lines and not self._rest and not text.strip("\n")
        if not self._live or empty or _MOVES_CURSOR.search(text):
            self._release()
            self._wrapped.write(text)
            return len(text)
        lines, newline, self._rest = (self._rest + text).rpartition("\n")
        if newline:
            with tqdm.external_write_mode(file=self._screen):
                self._wrapped.write(lines + newline)
                self._wrapped.flush()
        return len(text)

    def writelines(self, lines: Any) -> None:
        """Write each line."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Flush the wrapped stream. An incomplete line is held back: a bar would be drawn over it."""
        self._wrapped.flush()

    def detach_from_bars(self) -> None:
        """Pass everything on from now on, as someone may have kept a reference to the stream."""
        self._live = False
        self._release()

    def _release(self) -> None:
        rest, self._rest = self._rest, ""
        if rest:
            self._wrapped.write(rest)


def redirect(screen: TextIO, notebook: bool) -> list[tuple[str, AboveBars]]:
    """Make printed and logged lines appear above the bars on `screen`, if they go to the same screen."""
    streams = []
    for name in _NAMES:
        stream = getattr(sys, name)
        if stream is not None and (notebook or is_terminal(stream)):
            above = AboveBars(stream, screen, passes_empty_lines=name == "stderr")
            _replace(name, stream, above)
            streams.append((name, above))
    return streams


def restore(streams: list[tuple[str, AboveBars]]) -> None:
    """Undo `redirect`, except for streams that someone else has replaced since then."""
    for name, above in streams:
        _replace(name, above, above._wrapped)
    for _, above in streams:  # afterwards: what it has held back may not be writable
        above.detach_from_bars()


def _replace(name: str, old: Any, new: Any) -> None:
    """Replace a standard stream where it is in use, including the handlers of the root logger."""
    if getattr(sys, name) is old:
        setattr(sys, name, new)
    for handler in logging.root.handlers:
        if isinstance(handler, logging.StreamHandler) and handler.stream is old:
            handler.setStream(new)
