"""Training steps of recurrent layers, compared with the time that their products alone would take.

    python -m benchmarks.recurrent

A step is the forward pass, the backward pass and the update of one layer. Its products are x Wᵀ and dW, each as many terms as
W has numbers per row and step, and U h, δ U and dU, as many as U has. At the highest rate measured for products of this type
they would take the time of the column "products".
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import nncore as nn
from benchmarks import limits, machine, table
from benchmarks.timing import PAUSE
from nncore import _kernels

SIZES = ((64, 50, 64, 256), (64, 50, 32, 64), (32, 20, 8, 16))  # rows, steps, inputs, units
LAYERS: dict[str, Callable[[int], nn.Layer]] = {
    "SimpleRNN": nn.SimpleRNN,
    "GRU": nn.GRU,
    "GRU, reset before": lambda units: nn.GRU(units, reset_after=False),
}


def steps_of(name: str, size: tuple[int, int, int, int]) -> tuple[Callable[[int], float], int]:
    """Seconds of this many training steps, and the floating-point operations of the products of one."""
    rows, steps, inputs, units = size
    layer: Any = LAYERS[name](units)
    model = nn.Sequential([layer], input_shape=(steps, inputs))
    trainer = nn.Trainer(model, "mean_squared_error", nn.SGD(lr=1e-3))
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((rows, steps, inputs), np.float32), rng.standard_normal((rows, units), np.float32)

    def run(count: int) -> float:
        start = time.perf_counter()
        trainer.fit(X, y, epochs=count, batch_size=rows, shuffle=False, verbose=0)
        return time.perf_counter() - start

    return run, 2 * rows * steps * layer.gates * units * (2 * inputs + 3 * units)


def measure(name: str, size: tuple[int, int, int, int], rounds: int = 9, seconds: float = 0.1) -> dict[str, Any]:
    """Median seconds of a step, and the operations of its products."""
    run, flops = steps_of(name, size)
    run(3)
    count, times = max(1, int(seconds / (run(3) / 3))), []
    for _ in range(rounds):
        time.sleep(PAUSE)
        times.append(run(count) / count)
    return {"layer": name, "size": size, "seconds": statistics.median(times), "flops": flops}


def main(arguments: list[str] | None = None) -> None:
    """Time each layer and compare with its products."""
    argparse.ArgumentParser(prog="python -m benchmarks.recurrent", description=main.__doc__).parse_args(arguments)
    about = machine.describe()
    results = [measure(name, size) for size in SIZES for name in LAYERS]
    peak = max(limits.peak("float32"), *(r["flops"] / r["seconds"] for r in results))
    print(machine.text(about), end="\n\n")
    print(f"float32, {_kernels.isa_name}, {nn.get_num_threads()} threads; rows × steps × inputs → units, µs per step\n")
    rows = []
    for r in results:
        *given, units = r["size"]
        shape, products = f"{' × '.join(map(str, given))} → {units}", r["flops"] / peak
        numbers = r["seconds"] * 1e6, products * 1e6, r["seconds"] / products
        rows.append([r["layer"], shape, *map(table.number, numbers)])
    print(table.render(["layer", "size", "step", "products", "step / products"], rows))
    print("\nSaved to", table.save("recurrent", {"machine": about, "results": results, "peak": peak}))


if __name__ == "__main__":
    main()
