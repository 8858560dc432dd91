"""The playground outside notebooks: a server on this machine, and a page in the browser."""

from __future__ import annotations

import json
import logging
import secrets
import socket
import threading
import webbrowser
from collections.abc import Callable
from typing import Any

from nncore._messages import shown
from nncore.playground.arrays import packed, refused
from nncore.playground.sessions import KEPT, Session, Sessions

try:
    from websockets.exceptions import ConnectionClosed
    from websockets.frames import CloseCode
    from websockets.sync.server import ServerConnection, serve
except ImportError:
    raise ImportError('the playground needs websockets: pip install "nncore-learn[play]"') from None

from nncore.playground.site import Site

__all__ = ["Server", "run"]

HOST = "127.0.0.1"
LARGEST = 1 << 20  # bytes of a request
OPENING = 2.0  # seconds for a request to be complete; browsers also open connections on which they never ask
CLOSING = 1.0

_log = logging.getLogger("nncore.playground")
_log.addHandler(logging.NullHandler())
_log.propagate = False  # what a broken request does to its own connection is no one's concern


class Server:
    """Answers in threads of its own, from its beginning until ``close``.

    Parameters
    ----------
    make : function
        Returns a new session.
    port : int
        0: any free one.
    token : str, optional
        The secret part of the address; by default a new one.
    kept : float
        Seconds for which a session waits for its page.
    """

    def __init__(self, make: Callable[[], Session], port: int = 0, token: str | None = None, kept: float = KEPT) -> None:
        self.sessions = Sessions(make, kept)
        self._pages: set[ServerConnection] = set()
        self._closing = False
        token = token or secrets.token_urlsafe(16)
        listening = _listen(port)
        self.address = f"http://{HOST}:{listening.getsockname()[1]}/{token}/"
        site = Site(token)
        self._server = serve(
            self._serve_page, sock=listening, process_request=lambda _, request: site.answer(request), compression=None,
            max_size=LARGEST, open_timeout=OPENING, close_timeout=CLOSING, server_header=None, logger=_log,
        )  # fmt: skip
        self._thread = threading.Thread(target=self._server.serve_forever, name="nncore playground", daemon=True)
        self._thread.start()

    def wait(self) -> None:
        """Until Ctrl-C."""
        self._thread.join()

    def close(self) -> None:
        """End all connections, and all training."""
        self._closing = True
        self._server.shutdown()
        for page in [*self._pages]:  # before version 17 they stay open
            page.close(CloseCode.GOING_AWAY)
        self._thread.join()
        self.sessions.close()

    def _serve_page(self, page: ServerConnection) -> None:
        """In a thread of its own: the requests of a page, one after the other."""
        session = None
        self._pages.add(page)
        try:
            while not self._closing:
                session, message = self._reply(session, page.recv())
                page.send(message)
        except ConnectionClosed:
            pass
        finally:
            self._pages.discard(page)
            if session is not None:
                self.sessions.release(session)

    def _reply(self, session: Session | None, text: str | bytes) -> tuple[Session | None, str | bytes]:
        """The page's session, and the reply to a request; whatever fails, the page is told, and can go on."""
        request: dict[str, Any] = {}
        try:
            request = parsed(text)
            if session is None:
                if request["type"] != "hello":
                    raise ValueError("the first request must be hello")
                session = self.sessions.claim(request.get("session"))
            return session, encoded(*session.handle(request))
        except Exception as error:
            return session, encoded({**refused(error), "id": request.get("id")}, b"")


def parsed(text: str | bytes) -> dict[str, Any]:
    """A request: a JSON object with a ``type``."""
    if isinstance(text, bytes):
        raise ValueError("a request must be text")
    request = json.loads(text, parse_constant=_no_constant)
    if not isinstance(request, dict) or not isinstance(request.get("type"), str):
        raise ValueError(f"a request must be a JSON object with a type, got {shown(request)}")
    return request


def encoded(header: dict[str, Any], data: bytes) -> str | bytes:
    """A reply as a message: text, or binary with arrays."""
    return packed(header, data) if header.get("arrays") else json.dumps(header, allow_nan=False)


def run(make: Callable[[], Session], port: int = 0, token: str | None = None, browser: bool = True) -> None:
    """Serve until Ctrl-C."""
    server = Server(make, port, token)
    try:
        print(f"nncore playground: {server.address}\nCtrl-C stops it.", flush=True)
        if browser:  # in a thread, as a browser in the terminal does not return
            threading.Thread(target=webbrowser.open, args=[server.address], daemon=True).start()
        server.wait()
    except KeyboardInterrupt:
        pass
    finally:
        server.close()
    print("stopped", flush=True)


def _listen(port: int) -> socket.socket:
    try:
        return socket.create_server((HOST, port))
    except OSError as error:
        raise OSError(f"port {port} cannot be used: {error.strerror}") from None


def _no_constant(name: str) -> float:
    raise ValueError(f"numbers must be finite, got {name}")
