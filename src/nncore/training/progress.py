"""Progress output of a training."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType
from typing import Any, TextIO

import numpy as np

from nncore._messages import shown
from nncore._utils.fields import count
from nncore.training.terminal import is_terminal

__all__ = ["Progress"]

_LIVE_INTERVAL = 0.1  # s between updates of the live line
_LONG_EPOCH = 0.2  # s; an epoch at least this long gets a permanent line on a terminal
_LOG_INTERVAL = 5.0  # s between lines of a log
_LOG_INTERVAL_WITHIN_EPOCH = 60.0  # s without output after which a log gets a line within an epoch

_clock = time.perf_counter


class Progress:
    """Show the progress of a training in the form that suits the output.

    - On a terminal: one live line (tqdm), drawn at most ten times per second, and a permanent line per epoch of 0.2 s or more.
    - In a notebook: one tqdm widget.
    - Otherwise, for example in a log file: plain lines for the first epoch, at most one every five seconds, and for the last.

    A training that ends before the live line is due prints its last epoch only. Without a stream, as under ``pythonw``, or with
    a closed one, nothing is shown; once a stream cannot be written to, as a terminal that is gone or a log on a full disk,
    nothing more is shown, and the training goes on.

    While the live line is shown, printed or logged lines appear above it, and lines of this class appear above tqdm bars of the
    user, such as that of a loop over several trainings: ``sys.stdout``, ``sys.stderr`` and the streams of the root logger's
    handlers are redirected if they are the same terminal or notebook. An incomplete line appears when it is completed. Other
    output to the terminal (other loggers' handlers, other processes) is not redirected; use ``tqdm.write`` for it.

    Parameters
    ----------
    total_epochs : int
    verbose : {0, 1, 2}, default 1
        0 prints nothing; 1 is as above; 2 prints one plain line per epoch on any output.
    stream : text stream, optional
        Default: ``sys.stderr`` (in a notebook ``sys.stdout``).

    Raises
    ------
    ValueError
        For a negative `total_epochs` or an invalid `verbose`.

    Examples
    --------
    >>> import sys
    >>> with Progress(2, verbose=2, stream=sys.stdout) as progress:
    ...     for epoch in (1, 2):
    ...         progress.update(epoch, 0.5)
    ...         progress.update(epoch, 1.0, {"loss": 0.5 / epoch})  # doctest: +ELLIPSIS
    epoch 1/2  ... ms/epoch  loss 0.5000
    epoch 2/2  ... ms/epoch  loss 0.2500
    """

    def __init__(self, total_epochs: int, verbose: int = 1, stream: TextIO | None = None) -> None:
        self.total_epochs = count("total_epochs", total_epochs, 0)
        if not isinstance(verbose, (int, np.integer)) or verbose not in (0, 1, 2):
            raise ValueError(f"verbose must be 0, 1 or 2, got {shown(verbose)}")
        self._notebook = stream is None and "ipykernel.zmqshell" in sys.modules
        self._stream: TextIO = stream if stream is not None else sys.stdout if self._notebook else sys.stderr
        usable = self._stream is not None and not getattr(self._stream, "closed", False)
        self.verbose: int = int(verbose) if usable else 0
        self._live = self.verbose == 1 and (self._notebook or is_terminal(self._stream))
        self._bar: Any = None
        self._redirected: Any = []  # the standard streams, while a bar is shown
        self._row: dict[str, Any] = {}  # of the last epoch that ended
        self._ended = 0  # epochs that ended
        self._printed: int | None = None  # the value of `_ended` at the last line; None before the first update
        self._first_line_due = True

    def __enter__(self) -> Progress:
        now = _clock()
        self._start = self._epoch_start = self._since = self._last_line = now
        self._next_draw = now + _LIVE_INTERVAL
        return self

    def update(self, epoch: int, fraction_of_epoch: float, row: Mapping[str, Any] | None = None) -> None:
        """Report the position of the training. Costs one read of the clock when no output is due.

        Parameters
        ----------
        epoch : int
            The current epoch, from 1.
        fraction_of_epoch : float
            Between 0 and 1.
        row : mapping of str to number, optional
            The values of the epoch. With ``fraction_of_epoch=1`` the epoch has ended.
        """
        if not self.verbose:
            return
        now = _clock()
        if self._printed is None:
            self._first = self._printed = self._ended = epoch - 1
        if row is not None and fraction_of_epoch >= 1:
            self._row, self._ended = dict(row), epoch
            if self._epoch_line_due(now):
                self._print_epoch(now)
            self._epoch_start = now
        elif not self._live and self.verbose == 1 and now - self._last_line >= _LOG_INTERVAL_WITHIN_EPOCH:
            self._print(f"{self._epoch(epoch)}  {fraction_of_epoch:4.0%}{_numbers(row or {})}", now)
        if self._live and now >= self._next_draw:
            self._draw(epoch, fraction_of_epoch, row, now)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if self.verbose and self._notebook and self._bar is not None:
            self._draw(max(self._ended, 1), min(self._ended, 1), None, _clock())
            self._close_bar()
            return
        self._close_bar()
        if self.verbose and self._printed is not None and self._ended > self._printed:
            self._print_epoch(_clock())

    def tell(self, line: str) -> None:
        """Print a separate line, unless output is off."""
        if self.verbose:
            self._print(line, _clock())

    def _close_bar(self) -> None:
        if self._bar is not None:
            from nncore.training import bars

            with self._while_writable():
                self._bar.close()
            with self._while_writable():
                bars.restore(self._redirected)

    def _epoch_line_due(self, now: float) -> bool:
        if self.verbose == 2:
            return True
        if self._live:
            return not self._notebook and now - self._epoch_start >= _LONG_EPOCH
        return self._first_line_due or now - self._last_line >= _LOG_INTERVAL

    def _print_epoch(self, now: float) -> None:
        """Print a permanent line: the last epoch that ended, and the mean time per epoch since the previous line."""
        seconds = (now - self._since) / max(1, self._ended - (self._printed or 0))
        self._printed, self._since, self._first_line_due = self._ended, now, False
        self._print(f"{self._epoch(self._ended)}  {_duration(seconds)}/epoch{_numbers(self._row)}", now)

    def _print(self, line: str, now: float) -> None:
        self._last_line = now
        with self._while_writable(), _bars_cleared(self._stream):
            self._stream.write(line + "\n")
            getattr(self._stream, "flush", lambda: None)()

    @contextlib.contextmanager
    def _while_writable(self) -> Iterator[None]:
        """The output ends where the stream fails; the training does not."""
        try:
            yield
        except (OSError, ValueError):  # ValueError: it was closed meanwhile
            self.verbose = 0

    def _draw(self, epoch: int, fraction: float, row: Mapping[str, Any] | None, now: float) -> None:
        with self._while_writable():
            self._draw_bar(epoch, fraction, row, now)

    def _draw_bar(self, epoch: int, fraction: float, row: Mapping[str, Any] | None, now: float) -> None:
        self._next_draw = now + _LIVE_INTERVAL
        if self._bar is None:
            from nncore.training import bars

            self._bar = bars.make_bar(self._notebook, self._stream, self.total_epochs, initial=self._first)
            self._bar.start_t -= now - self._start
            self._redirected = bars.redirect(self._stream, self._notebook)
        self._bar.n = min(epoch - 1 + fraction, self.total_epochs)
        self._bar.set_description_str(self._epoch(min(epoch, self.total_epochs)), refresh=False)
        self._bar.set_postfix_str(_numbers(row or self._row).strip(), refresh=False)
        self._bar.refresh()

    def _epoch(self, epoch: int) -> str:
        return f"epoch {epoch:{len(str(self.total_epochs))}d}/{self.total_epochs}"


def _bars_cleared(stream: TextIO) -> AbstractContextManager[None]:
    """A context without tqdm bars on the stream; they are redrawn afterwards."""
    tqdm = getattr(sys.modules.get("tqdm"), "tqdm", None)  # not imported: there are no bars
    return nullcontext() if tqdm is None else tqdm.external_write_mode(file=stream)


def _numbers(row: Mapping[str, Any]) -> str:
    """``  loss 0.1234  accuracy 0.9000``: four significant digits."""
    return "".join(f"  {name} {v}" if isinstance(v, int) else f"  {name} {v:#.4g}" for name, v in row.items())


def _duration(seconds: float) -> str:
    if seconds < 0.9995:
        return f"{1e3 * seconds:.3g} ms"
    return f"{seconds:.2f} s" if seconds < 9.995 else f"{seconds:.1f} s"
