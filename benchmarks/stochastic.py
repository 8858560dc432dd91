"""Random layers compared with PyTorch's, and the cost of dropout and batch norm in a training step.

    python -m benchmarks.stochastic [--rounds 7]

Forward and backward of a layer on a (rows, width) batch in float32, on one thread and on all. nncore's ops are timed as a
program runs them: bound once, then run many times in one call. PyTorch's are timed in a separate process, alternating with
nncore's.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import statistics
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

import nncore as nn
from benchmarks import machine, table
from benchmarks.timing import PAUSE, seconds_per_call
from nncore import _kernels

SHAPES = ((4096, 512), (128, 256))
RATE, STDDEV = 0.5, 0.1
OPS: dict[str, tuple[tuple[str, ...], tuple[float, ...]]] = {
    "Dropout": (("dropout_forward", "dropout_backward"), (1 / (1 - RATE), RATE * 2**32)),
    "GaussianNoise": (("gaussian_noise_forward",), (STDDEV,)),
    "GaussianDropout": (
        ("gaussian_dropout_forward", "gaussian_dropout_backward"), (math.sqrt(RATE / (1 - RATE)),),
    ),
}  # fmt: skip


def own(layer: str, shape: tuple[int, int], threads: int) -> float:
    """Seconds of nncore's forward and backward ops."""
    x, y, dx = (np.ones(shape, np.float32) for _ in range(3))
    kernels, constants = OPS[layer]
    sizes = (shape[1], 0, 1 << 16)  # width, seed, layer 1
    arrays = ((y, x), (dx, y))
    ops = [(name, pair, sizes, constants, 0, 1) for name, pair in zip(kernels, arrays, strict=False)]
    program = _kernels.Program(_kernels.op_table(), np.float32, [("rows", 1, None, False, ops)], block_rows=64)

    def run(times: int) -> object:
        return program.run(last_step=times, examples=shape[0], batch=shape[0], threads=threads)

    times = max(1, int(0.02 / seconds_per_call(lambda: run(1), 0.01, 3)))
    return seconds_per_call(lambda: run(times), 0.1) / times


def torch_layer(layer: str) -> Callable[[Any], Any]:
    """The layer as written in PyTorch."""
    import torch

    return {
        "Dropout": lambda x: torch.nn.functional.dropout(x, RATE),
        "GaussianNoise": lambda x: x + STDDEV * torch.randn_like(x),
        "GaussianDropout": lambda x: x * (1 + math.sqrt(RATE / (1 - RATE)) * torch.randn_like(x)),
    }[layer]


def serve_torch(connection: Connection) -> None:
    """Answer (layer, shape, threads) with the seconds of PyTorch's forward and backward pass."""
    try:
        import torch
    except ImportError as error:
        connection.send(str(error))
        return
    connection.send(torch.__version__)
    while request := connection.recv():
        layer, shape, threads = request
        torch.set_num_threads(threads)
        function, x, dy = torch_layer(layer), torch.ones(shape, requires_grad=True), torch.ones(shape)

        def step(function: Any = function, x: Any = x, dy: Any = dy) -> None:
            x.grad = None
            function(x).backward(dy)

        connection.send(seconds_per_call(step, 0.1))


STEPS: dict[str, Callable[[int], list[nn.Layer]]] = {  # the hidden layers of 784-256-128-10
    "plain": lambda units: [nn.Dense(units), nn.ReLU()],
    "dropout": lambda units: [nn.Dense(units), nn.ReLU(), nn.Dropout(RATE)],
    "batch norm": lambda units: [nn.Dense(units), nn.BatchNorm(), nn.ReLU()],
    "batch norm and dropout": lambda units: [nn.Dense(units), nn.BatchNorm(), nn.ReLU(), nn.Dropout(RATE)],
}


def step_trainer(hidden: Callable[[int], list[nn.Layer]]) -> nn.Trainer:
    """Layers of 784-256-128-10."""
    model = nn.Sequential([*hidden(256), *hidden(128), nn.Dense(10)], 784)
    return nn.Trainer(model, "softmax_cross_entropy", nn.Adam())


def measure_steps(threads: int, rounds: int = 15, steps: int = 100) -> dict[str, float]:
    """Seconds of a training step at batch 128: medians of fits in rotation."""
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((128 * steps, 784), np.float32), rng.integers(0, 10, 128 * steps)
    trainers = {name: step_trainer(hidden) for name, hidden in STEPS.items()}
    seconds: dict[str, list[float]] = {name: [] for name in STEPS}
    before = nn.get_num_threads()
    nn.set_num_threads(threads)
    try:
        for _ in range(rounds):
            for name, trainer in trainers.items():
                start = time.perf_counter()
                trainer.fit(X, y, epochs=2, batch_size=128, verbose=0)
                seconds[name].append((time.perf_counter() - start) / (2 * steps))
    finally:
        nn.set_num_threads(before)
    return {name: statistics.median(times) for name, times in seconds.items()}


def measure(rounds: int) -> tuple[list[dict[str, Any]], str]:
    """Medians over alternating rounds of the two libraries; PyTorch's version, or why it is absent."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=serve_torch, args=(there,), daemon=True)
    process.start()
    version = here.recv()
    installed = process.is_alive() and version[0].isdigit()
    results = []
    for layer in OPS:
        for shape in SHAPES:
            for threads in sorted({1, nn.get_num_threads()}):
                seconds: dict[str, list[float]] = {"nncore": [], "torch": []}
                for _ in range(rounds):
                    seconds["nncore"].append(own(layer, shape, threads))
                    if installed:
                        time.sleep(PAUSE)
                        here.send((layer, shape, threads))
                        seconds["torch"].append(here.recv())
                        time.sleep(PAUSE)
                medians = {name: statistics.median(values) if values else None for name, values in seconds.items()}
                results.append({"layer": layer, "shape": shape, "threads": threads, **medians})
    if installed:
        here.send(None)
    return results, version


def line(result: dict[str, Any]) -> list[str]:
    """One row of the table."""
    mine, rival, numbers = result["nncore"], result["torch"], math.prod(result["shape"])
    return [
        result["layer"], " × ".join(map(str, result["shape"])), str(result["threads"]), table.number(1e6 * mine),
        table.number(rival and 1e6 * rival), table.number(rival and rival / mine), table.number(1e9 * mine / numbers),
    ]  # fmt: skip


def main(arguments: list[str] | None = None) -> None:
    """Time the random layers, and training steps with them."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stochastic", description=main.__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args(arguments).rounds
    about = machine.describe()
    results, version = measure(rounds)
    steps = {threads: measure_steps(threads) for threads in sorted({1, nn.get_num_threads()})}
    print(machine.text(about), end="\n\n")
    header = ["layer", "batch", "threads", "nncore µs", "PyTorch µs", "PyTorch ×", "ns per number"]
    print(table.render(header, [line(result) for result in results]), end="\n\n")
    print(f"µs for forward and backward, float32, {_kernels.isa_name}; PyTorch {version}.")
    print("µs for a training step of 784-256-128-10, batch 128, and the cost of these after each hidden layer:\n")
    lines = [
        [name, str(threads), table.number(1e6 * seconds), f"{100 * (seconds / medians['plain'] - 1):+.0f} %"]
        for threads, medians in steps.items()
        for name, seconds in medians.items()
    ]
    print(table.render(["after each layer", "threads", "µs", "added"], lines), end="\n\n")
    saved = {"machine": about, "torch": version, "layers": results, "steps": steps}
    print("Saved to", table.save("stochastic", saved))


if __name__ == "__main__":
    main()
