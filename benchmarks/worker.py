"""A rival in a separate process, and its protocol with the parent.

One JSON object per line in each direction. The worker first identifies itself, or gives the reason why it cannot run:

    {"ready": true, "version": "2.0", "note": "…"}     {"absent": "No module named 'torch'"}     {"error": "…"}

and then answers commands:

    {"do": "measure", "seconds": 0.3}  →  {"seconds": 0.31, "steps": 6400, "idle": 0.01}
    {"do": "check", "epochs": 5}       →  {"before": 2.4, "after": 0.9}
    {"do": "predict", "rows": 100, "seconds": 0.1}  →  {"seconds": 0.1, "calls": 640}

``idle`` is the processor time in seconds that the worker used between its last answer and this command.
"""

from __future__ import annotations

import abc
import argparse
import contextlib
import importlib
import json
import os
import subprocess
import sys
import time
from typing import Any

CHUNK = 6400  # steps after which a measurement restarts from the initial weights


class Rival(abc.ABC):
    """A library that trains a net. Each module of ``benchmarks.rivals`` has one of these, named ``Trainer``."""

    version: str
    note: str = ""

    @abc.abstractmethod
    def __init__(self, net: Any, X: Any, y: Any, dtype: str, options: dict[str, Any]) -> None:
        """Build the net and store the data; work outside the steps (such as conversion of the data) is done here."""

    @abc.abstractmethod
    def load(self, weights: list[Any]) -> None:
        """Set the weights, each (inputs, units), and zero the biases."""

    @abc.abstractmethod
    def train(self, epochs: int) -> None:
        """Train this many epochs, reshuffled each time, and return when they are done."""

    @abc.abstractmethod
    def logits(self, X: Any) -> Any:
        """The net's output before softmax (or any array whose softmax is the probabilities)."""


class _Server:
    def __init__(self, rival: Rival, net: Any, X: Any, y: Any, dtype: str) -> None:
        from benchmarks import nets

        self.rival, self.net, self.X, self.y = rival, net, X, y
        self.weights = nets.weights(net, dtype)
        self.mean_loss = nets.mean_loss
        self.seconds_per_epoch: float | None = None

    def _time(self, epochs: int) -> float:
        self.rival.load(self.weights)
        start = time.perf_counter()
        self.rival.train(epochs)
        return time.perf_counter() - start

    def measure(self, seconds: float) -> dict[str, Any]:
        """Train for about this many seconds, in chunks that each start from the initial weights, whose loading is not timed."""
        if self.seconds_per_epoch is None:
            self._time(1)  # compiles, allocates
            self.seconds_per_epoch = self._time(1)
        self._time(1)  # fills the caches, wakes the threads
        epochs = int(seconds / self.seconds_per_epoch)
        epochs = max(1, min(epochs, CHUNK // self.net.steps))
        total, done = 0.0, 0
        while total < 0.8 * seconds:
            total += self._time(epochs)
            done += epochs
        self.seconds_per_epoch = total / done
        return {"seconds": total, "steps": done * self.net.steps}

    def predict(self, rows: int, seconds: float) -> dict[str, Any]:
        """Predict this many rows repeatedly for about this many seconds."""
        import numpy as np

        X = np.resize(self.X, (rows, self.X.shape[1]))
        self.rival.load(self.weights)
        self.rival.logits(X)  # compiles
        start = time.perf_counter()
        self.rival.logits(X)
        once, start = time.perf_counter() - start, time.perf_counter()
        calls = max(1, int(seconds / once))
        for _ in range(calls):
            self.rival.logits(X)
        return {"seconds": time.perf_counter() - start, "calls": calls}

    def check(self, epochs: int) -> dict[str, Any]:
        """Mean loss over all data for the initial weights, and after this many epochs."""
        self.rival.load(self.weights)
        before = self.mean_loss(self.rival.logits(self.X), self.y)
        self.rival.train(epochs)
        return {"before": before, "after": self.mean_loss(self.rival.logits(self.X), self.y)}


def serve(arguments: list[str] | None = None) -> None:
    """Run a worker: read commands until the input ends."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.worker", description=serve.__doc__)
    parser.add_argument("rival")
    parser.add_argument("--net", required=True, help="sizes@batch")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--options", type=json.loads, default={}, help="JSON, for the rival")
    asked = parser.parse_args(arguments)

    channel = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # output of the library goes to stderr

    def say(message: dict[str, Any]) -> None:
        channel.write(json.dumps(message) + "\n")

    try:
        trainer = importlib.import_module(f"benchmarks.rivals.{asked.rival}").Trainer
        from benchmarks import nets

        net = nets.parse(asked.net)
        X, y = nets.data(net, asked.dtype)
        server = _Server(trainer(net, X, y, asked.dtype, asked.options), net, X, y, asked.dtype)
    except ImportError as error:
        say({"absent": str(error)})
        return
    except Exception as error:
        say({"error": f"{type(error).__name__}: {error}"})
        raise
    say({"ready": True, "version": server.rival.version, "note": server.rival.note})

    used = time.process_time()
    for line in sys.stdin:
        idle = time.process_time() - used
        command = json.loads(line)
        try:
            answer = getattr(server, command.pop("do"))(**command)
        except Exception as error:
            say({"error": f"{type(error).__name__}: {error}"})
            raise
        say({**answer, "idle": idle})
        used = time.process_time()


class Worker:
    """The parent's end: starts the process, sends commands, receives answers."""

    def __init__(self, rival: str, net: Any, dtype: str, options: dict[str, Any]) -> None:
        command = [sys.executable, "-m", "benchmarks.worker", rival, "--net", f"{net.name}@{net.batch}"]
        command += ["--dtype", dtype, "--options", json.dumps(options)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        self.problem: str | None = None
        self.about = self._hear()

    def _hear(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        answer = json.loads(line) if line else {"error": "the process ended"}
        if "absent" in answer:
            self.problem = "absent: " + answer["absent"]
        elif "error" in answer:
            self.problem = answer["error"]
        return answer

    def ask(self, do: str, **arguments: Any) -> dict[str, Any] | None:
        """The answer to a command, or None if the worker cannot give one (``problem`` says why)."""
        if self.problem:
            return None
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
        answer = self._hear()
        return None if self.problem else answer

    def close(self) -> None:
        """End the process."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()


if __name__ == "__main__":
    serve()
