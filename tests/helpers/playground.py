"""A playground to talk to: its server as a process of its own, and a session that answers at once."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

import nncore as nn
from nncore.playground.arrays import message

NUMBERS = itertools.count()


class Echo:
    """A session that returns what it is asked; with arrays if it is asked for them."""

    def __init__(self) -> None:
        self.name = f"echo {next(NUMBERS)}"
        self.handled: list[dict[str, Any]] = []
        self.closed = False

    def handle(self, request: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        self.handled.append(request)
        if request["type"] == "fail":
            raise KeyError("a fault of the session")
        header = {"type": "echo", "id": request.get("id"), "session": self.name, "asked": request}
        if request["type"] == "frame":
            return message(header, {"numbers": np.arange(5, dtype=np.float32), "bytes": np.arange(3, dtype=np.uint8)})
        return header, b""

    def close(self) -> None:
        self.closed = True


class Process:
    """``nncore play --no-browser``: its address, and its end."""

    def __init__(self, *arguments: str) -> None:
        environment = {**os.environ, "PYTHONPATH": str(Path(nn.__file__).parents[1]), "PYTHONIOENCODING": "utf-8"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "nncore", "play", "--no-browser", *arguments], stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, encoding="utf-8", env=environment,
        )  # fmt: skip
        assert self.process.stdout is not None
        first = self.process.stdout.readline()  # the second line is for people
        if "http://" not in first:
            raise RuntimeError(first + self.process.communicate()[1])
        self.address = first.split()[-1]
        self.process.stdout.readline()

    @property
    def port(self) -> int:
        return int(self.address.split(":")[2].partition("/")[0])

    @property
    def token(self) -> str:
        return self.address.split("/")[3]

    def end(self, how: int = signal.SIGINT) -> tuple[str, str]:
        """What it still had to say, on stdout and stderr."""
        self.process.send_signal(how)
        try:
            return self.process.communicate(timeout=20)
        finally:
            self.process.kill()
            self.process.wait()
