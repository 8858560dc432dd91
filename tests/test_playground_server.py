"""The playground's server: who is let in, what it survives, and how long it keeps sessions."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from helpers.playground import Echo, Process

pytest.importorskip("websockets")

from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from nncore import cli
from nncore.playground import server as module
from nncore.playground.server import Server
from nncore.playground.sessions import MOST, Sessions

HELLO = {"type": "hello", "id": 1, "session": None, "state": None}
needs_session = pytest.mark.skipif(
    importlib.util.find_spec("nncore.playground.session") is None, reason="needs the engine of the playground"
)


@pytest.fixture
def made() -> list[Echo]:
    return []


@pytest.fixture
def server(made: list[Echo]) -> Iterator[Server]:
    def make() -> Echo:
        made.append(Echo())
        return made[-1]

    running = Server(make, kept=0.5)
    yield running
    running.close()


def port(server: Server) -> int:
    return int(server.address.split(":")[2].partition("/")[0])


def get(server: Server, path: str, host: str | None = None, method: str = "GET", more: str = "") -> tuple[int, str, bytes]:
    """Status, headers and body of what the server answers; no client would send all that is sent here."""
    host = f"127.0.0.1:{port(server)}" if host is None else host
    return raw(server, f"{method} {path} HTTP/1.1\r\nHost: {host}\r\n{more}\r\n".encode())


def raw(server: Server, request: bytes) -> tuple[int, str, bytes]:
    with socket.create_connection(("127.0.0.1", port(server)), timeout=10) as connection:
        connection.sendall(request)
        answer = b"".join(iter(lambda: connection.recv(1 << 16), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]) if head else 0, head.decode(), body


def path_of(server: Server) -> str:
    return server.address[len(f"http://127.0.0.1:{port(server)}") :]


def page(server: Server, origin: str | None = "", name: str = "127.0.0.1") -> ClientConnection:
    """A page's connection."""
    address = server.address.replace("127.0.0.1", name)
    origin = re.match("(http://.*?)/", address)[1] if origin == "" else origin  # type: ignore[index]
    return connect(f"ws{address[4:]}socket", origin=origin, compression=None, proxy=None)  # type: ignore[arg-type]


def ask(connection: ClientConnection, request: Any) -> dict[str, Any]:
    connection.send(request if isinstance(request, (str, bytes)) else json.dumps(request))
    reply = connection.recv(timeout=10)
    assert isinstance(reply, str)
    return json.loads(reply)  # type: ignore[no-any-return]


def within(seconds: float, condition: Callable[[], bool]) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    return condition()


# --- who is let in


def test_the_page_and_its_modules(server: Server) -> None:
    path = path_of(server)
    status, head, body = get(server, path)
    assert status == 200
    assert b"<title>nncore playground</title>" in body
    assert "Content-Type: text/html; charset=utf-8" in head
    for name in re.findall(rb'(?:src|href)="(\w+\.\w+)"', body):
        assert get(server, path + name.decode())[0] == 200, name
    status, head, _ = get(server, f"{path}host.js?version=1")
    assert status == 200
    assert "Content-Type: text/javascript" in head
    assert get(server, path, host=f"localhost:{port(server)}")[0] == 200
    assert get(server, path, host="localhost:9000")[0] == 200, "a forwarded port"


def test_headers_of_all_responses(server: Server) -> None:
    for path in (path_of(server), f"{path_of(server)}host.js", "/", f"{path_of(server)}nothing"):
        head = get(server, path)[1]
        assert "default-src 'self'" in head
        assert "unsafe" not in head
        assert "X-Content-Type-Options: nosniff" in head
        assert "Cache-Control: no-store" in head
        assert "Referrer-Policy: no-referrer" in head
        assert "Server:" not in head


def test_the_page_has_no_scripts_of_its_own(server: Server) -> None:
    body = get(server, path_of(server))[2].decode()
    assert re.findall(r"<script[^>]*>(.*?)</script>", body, re.DOTALL) == [""]
    assert not re.search(r"\son\w+=|style=|https?:", body)


@pytest.mark.parametrize(
    "path", ["/", "/host.js", "/{}", "/x{}/", "/{}x/", "/{}/types.d.ts", "/{}/../server.py", "/{}/%2e%2e/"]
)
def test_other_addresses_are_not_found(server: Server, path: str) -> None:
    token = path_of(server).strip("/")
    status, _, body = get(server, path.format(token))
    assert (status, body) == (404, b"Not Found\n")
    wrong = token[:-1] + ("A" if token[-1] != "A" else "B")
    assert get(server, f"/{wrong}/")[::2] == (404, b"Not Found\n")


@pytest.mark.parametrize("host", ["", "evil.example", "evil.example:80", "127.0.0.1.evil.example", "127.0.0.2", "[::1]:80"])
def test_other_names_of_this_machine_are_forbidden(server: Server, host: str) -> None:
    assert get(server, path_of(server), host)[0] == 403
    assert get(server, "/", host)[0] == 403


def test_two_hosts_are_forbidden(server: Server) -> None:
    assert get(server, path_of(server), more="Host: evil.example\r\n")[0] == 403


@pytest.mark.parametrize(
    "origin", [None, "null", "http://evil.example", "http://127.0.0.1:1", "https://127.0.0.1", "http://localhost"]
)
def test_no_socket_for_other_sites(server: Server, made: list[Echo], origin: str | None) -> None:
    with pytest.raises(InvalidStatus, match="403"):
        page(server, origin)
    assert made == []


def test_a_page_of_localhost(server: Server) -> None:
    with page(server, name="localhost") as connection:
        assert ask(connection, HELLO)["type"] == "echo"


def test_the_token_differs_from_server_to_server(server: Server) -> None:
    other = Server(Echo)
    other.close()
    assert path_of(other) != path_of(server)
    assert len(path_of(server)) > 20


# --- what it survives


@pytest.mark.parametrize("method", ["HEAD", "POST", "PUT", "OPTIONS", "TRACE", "hello"])
def test_other_methods(server: Server, method: str) -> None:
    status, head, body = get(server, path_of(server), method=method)
    assert status in (0, 405)  # older versions of websockets close the connection
    assert not status or "Allow: GET" in head
    assert body == b""
    assert get(server, path_of(server))[0] == 200


@pytest.mark.parametrize(
    "request_",
    [
        b"\r\n\r\n", b"GET\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00", b"GET / HTTP/9\r\n\r\n", b"GET /" + b"a" * 100_000,
        b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 1000 + b"\r\n", "GET /ü HTTP/1.1\r\n\r\n".encode(), b"\xff" * 10_000,
        b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello", b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
    ],
    ids=range(10),
)  # fmt: skip
def test_garbage_over_http(server: Server, request_: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    with contextlib.suppress(ConnectionError):
        raw(server, request_)
    assert get(server, path_of(server))[0] == 200
    assert capfd.readouterr() == ("", "")


def test_a_socket_without_a_handshake(server: Server) -> None:
    path = f"{path_of(server)}socket"
    assert get(server, path)[0] == 403
    assert get(server, path, more=f"Origin: http://127.0.0.1:{port(server)}\r\n")[0] == 426


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "Expecting value"),
        ("{", "Expecting property name"),
        ("[1]", r"a request must be a JSON object with a type, got \[1\]"),
        ('{"type": 1}', "a request must be a JSON object with a type"),
        ('{"id": 3}', "a request must be a JSON object with a type"),
        ('{"type": "hello", "state": NaN}', "numbers must be finite, got NaN"),
        ('{"type": "hello", "state": -Infinity}', "numbers must be finite, got -Infinity"),
        (b"\x00\x01", "a request must be text"),
        ("[" * 200_000, "RecursionError"),
        ("9" * 10_000, "Exceeds the limit"),
        ('{"type": "fail"}', "'a fault of the session' is missing"),
    ],
)
def test_garbage_over_the_socket(server: Server, text: str | bytes, message: str, capfd: pytest.CaptureFixture[str]) -> None:
    with page(server) as connection:
        ask(connection, HELLO)
        reply = ask(connection, text)
        assert reply["type"] == "refused"
        assert re.match(message, reply["message"])
        assert len(reply["message"]) <= 200
        assert ask(connection, {"type": "step", "id": 7})["id"] == 7
    assert capfd.readouterr() == ("", "")


def test_the_refusal_has_the_id_of_the_request(server: Server) -> None:
    with page(server) as connection:
        reply = ask(connection, {"type": "step", "id": 5})
        assert reply == {"type": "refused", "id": 5, "message": "the first request must be hello"}
        ask(connection, HELLO)
        assert ask(connection, {"type": "fail", "id": 6})["id"] == 6


def test_a_request_that_is_too_large(server: Server, made: list[Echo]) -> None:
    with page(server) as connection:
        ask(connection, HELLO)
        connection.send(json.dumps({"type": "state", "state": "x" * (1 << 20)}))
        with pytest.raises(ConnectionClosed, match="1009"):
            connection.recv(timeout=10)
    assert [request["type"] for request in made[0].handled] == ["hello"]
    with page(server) as connection:
        assert ask(connection, HELLO)["type"] == "echo"


def test_replies_with_arrays(server: Server) -> None:
    with page(server) as connection:
        ask(connection, HELLO)
        connection.send(json.dumps({"type": "frame", "id": 2}))
        reply = connection.recv(timeout=10)
    assert isinstance(reply, bytes)
    (length,) = struct.unpack("<I", reply[:4])
    assert (4 + length) % 8 == 0
    header, data = json.loads(reply[4 : 4 + length]), reply[4 + length :]
    arrays = {a["name"]: np.frombuffer(data, a["dtype"], np.prod(a["shape"]), a["offset"]) for a in header["arrays"]}
    assert header["id"] == 2
    assert arrays["numbers"].tolist() == [0, 1, 2, 3, 4]
    assert arrays["bytes"].tolist() == [0, 1, 2]


def test_requests_of_a_page_in_their_order(server: Server, made: list[Echo]) -> None:
    with page(server) as connection:
        for number in range(200):
            connection.send(json.dumps({**HELLO, "id": number}))
        assert [json.loads(connection.recv(timeout=10))["id"] for _ in range(200)] == [*range(200)]
    assert [request["id"] for request in made[0].handled] == [*range(200)]


def test_a_page_that_dies_in_the_middle_of_a_message(
    server: Server, made: list[Echo], capfd: pytest.CaptureFixture[str]
) -> None:
    with page(server) as connection:
        ask(connection, HELLO)
        connection.socket.sendall(b"\x81\xfe\x10\x00mask{")  # a frame of 4096 bytes, of which one is sent
        connection.socket.shutdown(socket.SHUT_RDWR)
    with page(server) as other:
        assert ask(other, {**HELLO, "session": made[0].name})["session"] == made[0].name
    assert capfd.readouterr() == ("", "")


def test_a_connection_that_never_asks_ends(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_connection(("127.0.0.1", port(server)), timeout=10) as connection:
        assert connection.recv(1) == b""


# --- sessions


def test_two_pages_have_a_session_each(server: Server, made: list[Echo]) -> None:
    with page(server) as one, page(server) as two:
        names = {ask(connection, HELLO)["session"] for connection in (one, two)}
    assert len(names) == len(made) == 2


def test_a_reloaded_page_has_its_session_again(server: Server, made: list[Echo]) -> None:
    with page(server) as connection:
        name = ask(connection, HELLO)["session"]
    with page(server) as connection:
        assert ask(connection, {**HELLO, "session": name})["session"] == name
    assert len(made) == 1
    assert not made[0].closed


def test_a_copied_tab_gets_a_session_of_its_own(server: Server) -> None:
    """The browser copies a tab with the name of its session."""
    with page(server) as connection, page(server) as copy:
        name = ask(connection, HELLO)["session"]
        assert ask(copy, {**HELLO, "session": name})["session"] != name


def test_a_page_that_is_there_before_its_former_self_is_gone(server: Server) -> None:
    with page(server) as connection, page(server) as again:
        name = ask(connection, HELLO)["session"]
        again.send(json.dumps({**HELLO, "session": name}))
        connection.close()
        assert json.loads(again.recv(timeout=10))["session"] == name


@pytest.mark.parametrize("name", ["another", 5, None, ["a"], {"a": 1}])
def test_unknown_sessions(server: Server, made: list[Echo], name: Any) -> None:
    with page(server) as connection:
        assert ask(connection, {**HELLO, "session": name})["session"] == made[0].name


def test_a_session_ends_some_time_after_its_page(server: Server, made: list[Echo]) -> None:
    with page(server) as connection:
        name = ask(connection, HELLO)["session"]
    assert within(5, lambda: made[0].closed)
    with page(server) as connection:
        assert ask(connection, {**HELLO, "session": name})["session"] != name


def test_a_session_that_is_used_again_does_not_end(server: Server, made: list[Echo]) -> None:
    with page(server) as connection:
        name = ask(connection, HELLO)["session"]
    with page(server) as connection:
        ask(connection, {**HELLO, "session": name})
        time.sleep(1)  # twice as long as it is kept
        assert not made[0].closed
        assert ask(connection, HELLO)["session"] == name


def test_the_oldest_session_without_a_page_makes_room() -> None:
    sessions = Sessions(Echo)
    first, *others = [sessions.claim(None) for _ in range(MOST)]
    with pytest.raises(ValueError, match=f"{MOST} pages are open"):
        sessions.claim(None)
    sessions.release(others[0])
    sessions.release(first)
    sessions.claim(None)
    assert isinstance(first, Echo)
    assert isinstance(others[0], Echo)
    assert others[0].closed
    assert not first.closed
    assert sessions.claim(first.name) is first
    sessions.close()
    assert first.closed


def test_closing_the_server_closes_pages_and_sessions(made: list[Echo]) -> None:
    running = Server(Echo)
    with page(running) as connection:
        ask(connection, HELLO)
        start = time.monotonic()
        running.close()
        with pytest.raises(ConnectionClosed):
            connection.recv(timeout=10)
    assert time.monotonic() - start < 5
    with pytest.raises(OSError):
        page(running)


# --- the command


def test_refused_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, message in (
        (("--port", "65536"), "--port must be from 0 to 65535, got 65536"),
        (("--token", "a b"), "--token must be 8 to 64 letters, digits, - and _, got 'a b'"),
    ):
        assert cli.main(["play", "--no-browser", *arguments]) == 2
        assert capsys.readouterr().err == f"nncore play: {message}\n"


def test_a_port_that_is_in_use(server: Server) -> None:
    with pytest.raises(OSError, match=f"port {port(server)} cannot be used: Address already in use"):
        Server(Echo, port(server))


def test_a_closed_output_pipe() -> None:
    """The reader of the address is gone: an end without a traceback, and without a server that is left over."""
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb") as pipe:
        command = [sys.executable, "-m", "nncore", "play", "--no-browser"]
        done = subprocess.run(command, stdout=pipe, stderr=subprocess.PIPE, timeout=30, check=False)
    assert (done.returncode, done.stderr) == (1, b"")


def test_without_websockets() -> None:
    code = "import sys; sys.modules['websockets'] = None; from nncore import cli; sys.exit(cli.main(['play']))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == 'nncore play: the playground needs websockets: pip install "nncore-learn[play]"\n'


def test_the_browser_is_opened(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    opened = []
    monkeypatch.setattr(module.webbrowser, "open", opened.append)

    def wait(self: Server) -> None:
        assert within(5, lambda: opened == [self.address])
        raise KeyboardInterrupt

    monkeypatch.setattr(Server, "wait", wait)
    module.run(Echo)
    assert capsys.readouterr().out == f"nncore playground: {opened[0]}\nCtrl-C stops it.\nstopped\n"


@needs_session
def test_ctrl_c_while_a_network_trains() -> None:
    process = Process()
    with connect(f"ws{process.address[4:]}socket", origin=process.address[: -len(process.token) - 2], proxy=None) as connection:  # type: ignore[arg-type]
        assert ask(connection, HELLO)["type"] == "welcome"
        assert ask(connection, {"type": "play", "id": 2})["type"] == "done"
        start = time.monotonic()
        out, err = process.end()
    assert process.process.returncode == 0
    assert out.splitlines()[-1] == "stopped"
    assert err == ""
    assert time.monotonic() - start < 5


@needs_session
def test_the_same_address_after_a_restart() -> None:
    first = Process("--token", "a-token-of-mine")
    first.end(signal.SIGKILL)
    second = Process("--token", "a-token-of-mine", "--port", str(first.port))
    second.end()
    assert second.address == first.address
