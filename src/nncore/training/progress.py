"""What training shows while it runs."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType
from typing import Any, TextIO

from nncore._messages import shown
from nncore.training.terminal import is_terminal

__all__ = ["Progress"]

_LIVE_INTERVAL = 0.1  # s between two drawings of the live line
_LONG_EPOCH = 0.2  # s; an epoch at least this long leaves a line of its own on a terminal
_LOG_INTERVAL = 5.0  # s between two lines of a log
_LOG_INTERVAL_WITHIN_EPOCH = 60.0  # s of silence after which a log tells how far an epoch is

_clock = time.perf_counter


class Progress:
    """The progress of a training, as its output is best read.

    - On a terminal: one live line (tqdm), drawn at most ten times a second; an epoch of 0.2 s or more leaves a line.
    - In a notebook: one tqdm widget.
    - Anywhere else, as in a log file: plain lines for the first epoch, at most one each five seconds, and the last.

    A training that is over before the live line was due prints its last epoch only. Where there is no stream, as under
    ``pythonw``, or a closed one, nothing is shown.

    While the live line is there, lines that are printed or logged appear above it, and so does a line of this class above bars
    that the user has made with tqdm, such as that of a loop over several trainings: ``sys.stdout``, ``sys.stderr`` and the
    streams of the root logger's handlers are redirected, if they lead to the same terminal or notebook. A line that is not
    ended appears with its end. What writes to the terminal in other ways (other loggers' handlers, other processes) is not
    redirected: ``tqdm.write`` is for that.

    Parameters
    ----------
    total_epochs : int
    verbose : {0, 1, 2}, default 1
        0 prints nothing; 1 is as above; 2 prints one plain line for each epoch, everywhere.
    stream : text stream, optional
        Default: ``sys.stderr`` (in a notebook ``sys.stdout``). None where there is none.

    Raises
    ------
    ValueError
        For a negative `total_epochs` or another `verbose`.

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
        if total_epochs < 0:
            raise ValueError(f"total_epochs must be at least 0, got {shown(total_epochs)}")
        if verbose not in (0, 1, 2):
            raise ValueError(f"verbose must be 0, 1 or 2, got {shown(verbose)}")
        self.total_epochs = total_epochs
        self._notebook = stream is None and "ipykernel.zmqshell" in sys.modules
        self._stream: TextIO = stream if stream is not None else sys.stdout if self._notebook else sys.stderr
        there = self._stream is not None and not getattr(self._stream, "closed", False)
        self.verbose = int(verbose) if there else 0
        self._live = self.verbose == 1 and (self._notebook or is_terminal(self._stream))
        self._bar: Any = None
        self._redirected: Any = []  # the standard streams, while there is a bar
        self._row: dict[str, Any] = {}  # of the last epoch that ended
        self._ended = 0  # epochs that ended
        self._printed: int | None = None  # epochs that had ended at the last line; None before the first update
        self._first_line_due = True

    def __enter__(self) -> Progress:
        now = _clock()
        self._start = self._epoch_start = self._since = self._last_line = now
        self._next_draw = now + _LIVE_INTERVAL
        return self

    def update(self, epoch: int, fraction_of_epoch: float, row: Mapping[str, Any] | None = None) -> None:
        """Tell how far training is. Costs a clock read when nothing is due.

        Parameters
        ----------
        epoch : int
            The current epoch, from 1.
        fraction_of_epoch : float
            Between 0 and 1.
        row : mapping of str to number, optional
            The epoch's numbers. With ``fraction_of_epoch=1`` the epoch has ended.
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
        if not self.verbose:
            return
        if self._notebook and self._bar is not None:
            self._draw(max(self._ended, 1), min(self._ended, 1), None, _clock())
            self._close_bar()
            return
        self._close_bar()
        if self._printed is not None and self._ended > self._printed:
            self._print_epoch(_clock())

    def tell(self, line: str) -> None:
        """Print a line of its own, if anything is shown at all."""
        if self.verbose:
            self._print(line, _clock())

    def _close_bar(self) -> None:
        if self._bar is not None:
            from nncore.training import bars

            self._bar.close()
            bars.restore(self._redirected)

    def _epoch_line_due(self, now: float) -> bool:
        if self.verbose == 2:
            return True
        if self._live:
            return not self._notebook and now - self._epoch_start >= _LONG_EPOCH
        return self._first_line_due or now - self._last_line >= _LOG_INTERVAL

    def _print_epoch(self, now: float) -> None:
        """A permanent line: the last epoch that ended, and the mean time of the epochs since the line before."""
        seconds = (now - self._since) / max(1, self._ended - (self._printed or 0))
        self._printed, self._since, self._first_line_due = self._ended, now, False
        self._print(f"{self._epoch(self._ended)}  {_duration(seconds)}/epoch{_numbers(self._row)}", now)

    def _print(self, line: str, now: float) -> None:
        self._last_line = now
        with _bars_cleared(self._stream):
            self._stream.write(line + "\n")
            getattr(self._stream, "flush", lambda: None)()

    def _draw(self, epoch: int, fraction: float, row: Mapping[str, Any] | None, now: float) -> None:
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
    """Within, no bar of tqdm is on the stream, ours or the user's; afterwards they are drawn again."""
    tqdm = getattr(sys.modules.get("tqdm"), "tqdm", None)  # not imported: there is none
    return nullcontext() if tqdm is None else tqdm.external_write_mode(file=stream)


def _numbers(row: Mapping[str, Any]) -> str:
    """``  loss 0.1234  accuracy 0.9000``: four significant digits."""
    return "".join(f"  {name} {v}" if isinstance(v, int) else f"  {name} {v:#.4g}" for name, v in row.items())


def _duration(seconds: float) -> str:
    if seconds < 0.9995:
        return f"{1e3 * seconds:.3g} ms"
    return f"{seconds:.2f} s" if seconds < 9.995 else f"{seconds:.1f} s"
