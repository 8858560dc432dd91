"""The sessions of a server: each belongs to one page at a time, and waits for it a while when it is gone."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Protocol

__all__ = ["Session", "Sessions"]

MOST = 16
KEPT = 600.0  # seconds without a page
PATIENCE = 0.5  # seconds: on a reload the new page may be there before the old one is gone


class Session(Protocol):
    """What a host needs of a session."""

    name: str

    def handle(self, request: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        """The reply: its header, and the bytes of its arrays."""

    def close(self) -> None:
        """End its training."""


class Sessions:
    """At most 16 sessions; the one that has been without a page for the longest makes room for a new one."""

    def __init__(self, make: Callable[[], Session], kept: float = KEPT) -> None:
        self._make, self._kept = make, kept
        self._changed = threading.Condition()
        self._used: dict[str, Session] = {}
        self._idle: dict[str, tuple[Session, threading.Timer]] = {}  # the oldest first

    def claim(self, name: Any) -> Session:
        """The session of that name for a page, or a new one: another page has it, or there is none."""
        with self._changed:
            if isinstance(name, str):
                self._changed.wait_for(lambda: name not in self._used, PATIENCE)
                if name in self._idle:
                    return self._use(self._take(name))
            while len(self._used) + len(self._idle) >= MOST:
                if not self._idle:
                    raise ValueError(f"{MOST} pages are open: close one of them and reload this one")
                self._take(next(iter(self._idle))).close()
            return self._use(self._make())

    def release(self, session: Session) -> None:
        """Its page is gone."""
        with self._changed:
            if self._used.pop(session.name, None) is not None:
                timer = threading.Timer(self._kept, self._expire, [session])
                timer.daemon = True
                timer.start()
                self._idle[session.name] = session, timer
                self._changed.notify_all()

    def close(self) -> None:
        """End all training."""
        with self._changed:
            for name in [*self._idle]:
                self._take(name).close()
            for session in self._used.values():
                session.close()
            self._used.clear()

    def _use(self, session: Session) -> Session:
        self._used[session.name] = session
        return session

    def _take(self, name: str) -> Session:
        session, timer = self._idle.pop(name)
        timer.cancel()
        return session

    def _expire(self, session: Session) -> None:
        with self._changed:
            _, timer = self._idle.get(session.name, (None, None))
            if timer is threading.current_thread():  # and it has not been claimed and released since
                self._take(session.name).close()
