"""What the server says over HTTP: the files of the page, to those who know the token, and to no other site."""

from __future__ import annotations

import secrets
from http import HTTPStatus

from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from nncore.playground.bundle import STATIC

__all__ = ["Site"]

KINDS = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
HOSTS = ("127.0.0.1", "localhost")
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",  # it would tell the token
    "X-Content-Type-Options": "nosniff",
    "Connection": "close",
}


class Site:
    """The answers to requests below a token; the addresses are the files of ``static``, ``socket`` and the page itself."""

    def __init__(self, token: str) -> None:
        self._token = token
        self._files = {path.name: path for path in STATIC.iterdir() if path.suffix in KINDS}

    def answer(self, request: Request) -> Response | None:
        """The response; none where a WebSocket begins."""
        host = self._host(request.headers)
        if host is None:
            return refusal(HTTPStatus.FORBIDDEN)
        token, slash, name = request.path.partition("?")[0][1:].partition("/")
        if not secrets.compare_digest(token.encode(), self._token.encode()) or not slash:
            return refusal(HTTPStatus.NOT_FOUND)
        if getattr(request, "method", "GET") != "GET":  # older versions refuse them themselves
            return response(HTTPStatus.METHOD_NOT_ALLOWED, b"", "text/plain", Allow="GET")
        if name == "socket":
            same = request.headers.get_all("Origin") == [f"http://{host}"]
            return None if same else refusal(HTTPStatus.FORBIDDEN)
        path = self._files.get(name or "index.html")
        if path is None:
            return refusal(HTTPStatus.NOT_FOUND)
        return response(HTTPStatus.OK, path.read_bytes(), f"{KINDS[path.suffix]}; charset=utf-8")

    @staticmethod
    def _host(headers: Headers) -> str | None:
        """The host that the browser asks, with its port; none if it is another name that leads to this machine.

        A forwarded port is another one than the server's.
        """
        hosts = headers.get_all("Host")
        return hosts[0] if len(hosts) == 1 and hosts[0].partition(":")[0] in HOSTS else None


def refusal(status: HTTPStatus) -> Response:
    """A response in words."""
    return response(status, f"{status.phrase}\n".encode(), "text/plain")


def response(status: HTTPStatus, body: bytes, kind: str, **headers: str) -> Response:
    """A response that no browser keeps, guesses the kind of, or shows within another site's page."""
    every = {**HEADERS, "Content-Type": kind, "Content-Length": str(len(body)), **headers}
    return Response(status.value, status.phrase, Headers(every), body)
