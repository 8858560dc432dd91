"""Ctrl-C within a call that changes a model: it takes effect between two steps, never in the middle of one."""

from __future__ import annotations

import threading
import time
from _signal import SIGINT, default_int_handler, getsignal, signal  # `signal` makes enums of what they return, in 20 µs
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["Interrupt"]

AGAIN = 2.0  # seconds: a press this soon after the last one is meant for the program, not for one call
PATIENCE = 1.0  # seconds: if nothing has ended by then, the next press raises at once


class Interrupt:
    """A block in which Ctrl-C is recorded: the work checks ``pressed`` between its steps, and ends in order.

    At the end of the block KeyboardInterrupt is raised if Ctrl-C was pressed ``tolerated`` times and once more. The first press
    within two seconds after the last one of an earlier block counts as its second: so a loop over many calls, each of which
    tolerates one press, is left by pressing twice. If code without a check hangs (a callback, for example), a press one second
    after the second raises at once.

    Where nothing is changed that must stay whole, within ``abandoning``, a press beyond those tolerated raises at once.

    Handlers that the user has installed stay in place, and other threads than the main one, which get no signals, notice
    nothing.
    """

    _last_press = -AGAIN  # when, of all blocks

    def __init__(self, tolerated: int = 1) -> None:
        self.tolerated: int = tolerated
        self.presses: int = 0
        self._second: float | None = None  # when it was pressed the second time
        self._installed = self._abandons = False

    @classmethod
    def last_press(cls) -> float:
        """When Ctrl-C was last pressed within a block, on the clock of ``time.monotonic``."""
        return cls._last_press

    def pressed(self) -> bool:
        """Whether Ctrl-C was pressed."""
        return self.presses > 0

    def pressed_twice(self) -> bool:
        """Whether it was pressed again: even a long step is not worth finishing."""
        return self.presses > 1

    @contextmanager
    def abandoning(self) -> Iterator[None]:
        """A context whose work can be abandoned once Ctrl-C was pressed more often than tolerated."""
        if self.presses > self.tolerated:
            raise KeyboardInterrupt
        self._abandons = True
        try:
            yield
        finally:
            self._abandons = False

    def __enter__(self) -> Interrupt:
        if threading.get_ident() == threading.main_thread().ident:
            self._installed = getsignal(SIGINT) is default_int_handler
        if self._installed:
            signal(SIGINT, self._press)
        return self

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        if self._installed:
            signal(SIGINT, default_int_handler)
        if error is None and self.presses > self.tolerated:
            raise KeyboardInterrupt

    def _press(self, number: int, frame: Any) -> None:
        now = time.monotonic()
        again = now - Interrupt._last_press < AGAIN
        Interrupt._last_press = now
        self.presses += 2 if again and not self.presses else 1
        if self._second is not None and now - self._second > PATIENCE:
            raise KeyboardInterrupt
        if self.presses > 1 and self._second is None:
            self._second = now
        if self._abandons and self.presses > self.tolerated:
            raise KeyboardInterrupt
