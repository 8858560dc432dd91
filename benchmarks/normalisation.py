"""Normalisation layers, forward and backward, beside PyTorch's.

    python -m benchmarks.normalisation

Both have their input and the gradient that arrives from above in place, and write the output, the gradient with respect to the
input, and those of γ and β. nncore runs many passes in one call of its program, as a training does. Rounds of both take turns.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import nncore as nn
from benchmarks import machine, table
from benchmarks.timing import PAUSE
from nncore import _kernels
from nncore.program.compiled import Compiled
from nncore.program.recording import ModelTape
from nncore.program.stages import parameter_stages, stages

SHAPES = ((4096, 512), (128, 256))
LAYERS: dict[str, Callable[[], list[nn.Layer]]] = {
    "BatchNorm": lambda: [nn.BatchNorm()],
    "BatchNorm + ReLU": lambda: [nn.BatchNorm(), nn.ReLU()],
    "LayerNorm": lambda: [nn.LayerNorm()],
    "RMSNorm": lambda: [nn.RMSNorm()],
    "GroupNorm(8)": lambda: [nn.GroupNorm(8)],
}


def compiled_passes(layers: list[nn.Layer], X: Any, dy: Any) -> tuple[Compiled, ModelTape]:
    """A program of the forward and the backward pass of these layers, and the tape with its arrays."""
    model = nn.Sequential(layers, input_shape=X.shape[1:], dtype=X.dtype)
    recording = ModelTape(model, len(X), training=True, gradients=True, input_gradient=True, fused=True, tracking=True)
    tape, output = recording.tape, recording.output
    recording.input.value[...] = X
    assert output.grad is not None
    output.grad[...] = dy
    passes = stages([*tape.forward, *tape.backward]) + parameter_stages(tape.parameter_gradients, (), {})
    return Compiled(tape, passes), recording


def own(layers: list[nn.Layer], X: Any, dy: Any) -> Callable[[int], float]:
    """Seconds of so many passes."""
    compiled, _ = compiled_passes(layers, X, dy)

    def run(passes: int) -> float:
        start = time.perf_counter()
        compiled.run(last_step=passes, examples=len(X), batch=len(X))
        return time.perf_counter() - start

    return run


def pytorch(name: str, X: Any, dy: Any) -> Callable[[int], float]:
    """Seconds of so many passes."""
    import torch

    torch.set_num_threads(nn.get_num_threads())
    width = X.shape[1]
    layers: dict[str, Callable[[], Any]] = {
        "BatchNorm": lambda: torch.nn.BatchNorm1d(width),
        "BatchNorm + ReLU": lambda: torch.nn.Sequential(torch.nn.BatchNorm1d(width), torch.nn.ReLU()),
        "LayerNorm": lambda: torch.nn.LayerNorm(width),
        "RMSNorm": lambda: torch.nn.RMSNorm(width),
        "GroupNorm(8)": lambda: torch.nn.GroupNorm(8, width),
    }
    layer = layers[name]()
    x, up = torch.from_numpy(X).requires_grad_(), torch.from_numpy(dy)

    def run(passes: int) -> float:
        start = time.perf_counter()
        for _ in range(passes):
            x.grad = None
            for parameter in layer.parameters():
                parameter.grad = None
            layer(x).backward(up)
        return time.perf_counter() - start

    return run


def compare(name: str, rows: int, width: int, rounds: int = 9, seconds: float = 0.05) -> dict[str, Any]:
    """Medians over rounds that take turns, of the seconds of a pass."""
    rng = np.random.default_rng(0)
    X, dy = rng.standard_normal((2, rows, width), dtype=np.float32)
    runs = {"nncore": own(LAYERS[name](), X, dy), "PyTorch": pytorch(name, X, dy)}
    passes = {}
    for rival, run in runs.items():
        run(3)
        passes[rival] = max(1, int(seconds / (run(3) / 3)))
    times: dict[str, list[float]] = {rival: [] for rival in runs}
    for _ in range(rounds):
        for rival, run in runs.items():
            time.sleep(PAUSE)
            times[rival].append(run(passes[rival]) / passes[rival])
    return {"layer": name, "size": f"{rows} × {width}", **{rival: statistics.median(t) for rival, t in times.items()}}


def main(arguments: list[str] | None = None) -> None:
    """Time each layer beside PyTorch's."""
    argparse.ArgumentParser(prog="python -m benchmarks.normalisation", description=main.__doc__).parse_args(arguments)
    about = machine.describe()
    results = [compare(name, *shape) for shape in SHAPES for name in LAYERS]
    print(machine.text(about), end="\n\n")
    print(f"float32, {_kernels.isa_name}, {nn.get_num_threads()} threads; µs forward and backward\n")
    rows = [
        [
            r["layer"],
            r["size"],
            *(table.number(value) for value in (r["nncore"] * 1e6, r["PyTorch"] * 1e6, r["PyTorch"] / r["nncore"])),
        ]
        for r in results
    ]
    print(table.render(["layer", "size", "nncore µs", "PyTorch µs", "PyTorch ×"], rows))
    print("\nSaved to", table.save("normalisation", {"machine": about, "results": results}))


if __name__ == "__main__":
    main()
