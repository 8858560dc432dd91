"""What a sweep costs for each run, on threads, in processes and with a scheduler.

    python -m benchmarks.sweeps [--rounds 3]

Microseconds for each run that does nothing, and for each training of a 2-8-2 network on 64 rows for one epoch: in a loop, in a
sweep on threads, in one with a file, and through joblib with processes (loky) and with Dask on this machine, if they are
installed. The best of several rounds, in which all take turns; processes are started before.
"""

from __future__ import annotations

import argparse
import contextlib
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import nncore as nn
from benchmarks import machine, table

RUNS = 400
X = np.random.default_rng(0).normal(size=(64, 2)).astype(np.float32)
Y = (X[:, 0] > 0).astype(int)


def nothing(a: int) -> dict[str, float]:
    return {"loss": float(a)}


def trainer(a: int) -> nn.Trainer:
    model = nn.Sequential([nn.Dense(8), nn.Tanh(), nn.Dense(2)], input_shape=2, seed=a)
    return nn.Trainer(model, "softmax_cross_entropy", nn.Adam(lr=0.01))


def seconds(act: Callable[[], Any]) -> float:
    start = time.perf_counter()
    act()
    return time.perf_counter() - start


def loop() -> None:
    for a in range(RUNS):
        trainer(a).fit(X, Y, verbose=0)


def ensemble() -> None:
    model = nn.Sequential([nn.Dense(8), nn.Tanh(), nn.Dense(2)], input_shape=2)
    nn.Trainer(nn.Ensemble(model, RUNS), "softmax_cross_entropy", nn.Adam(lr=0.01)).fit(X, Y, verbose=0)


def ways() -> dict[str, tuple[Callable[[], Any], Callable[[], Any]]]:
    """For each way the runs that do nothing and the trainings."""
    space = {"a": list(range(RUNS))}

    def both(**options: Any) -> tuple[Callable[[], Any], Callable[[], Any]]:
        return (
            lambda: nn.sweep(nothing, space, verbose=0, **options),
            lambda: nn.sweep(trainer, space, X, Y, verbose=0, **options),
        )

    def in_file() -> tuple[Callable[[], Any], Callable[[], Any]]:
        def run(*arguments: Any) -> None:
            with tempfile.TemporaryDirectory() as folder:
                nn.sweep(*arguments, verbose=0, threads=2, file=Path(folder) / "sweep.db")

        return lambda: run(nothing, space), lambda: run(trainer, space, X, Y)

    found = {
        "loop": (lambda: [nothing(a) for a in range(RUNS)], loop), "members of an ensemble": (lambda: None, ensemble),
        "threads, 1": both(threads=1),
        "threads, 2": both(threads=2), "threads, 2, with a file": in_file(), "loky, 2": both(threads=2, backend="loky"),
    }  # fmt: skip
    with contextlib.suppress(ImportError):
        import distributed

        distributed.Client(n_workers=2, threads_per_worker=1, dashboard_address=None)
        found["dask, 2"] = both(threads=2, backend="dask")
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    about = machine.describe()
    print(machine.text(about), end="\n\n")
    all_ways = ways()
    best = {name: [np.inf, np.inf] for name in all_ways}
    for _ in range(rounds + 1):  # the first one starts processes
        for name, pair in all_ways.items():
            best[name] = [min(known, seconds(act)) for known, act in zip(best[name], pair, strict=True)]
    lines = [(name, *(f"{1e6 * each / RUNS:.0f}" for each in both)) for name, both in best.items()]
    print(table.render(("µs a run", "that does nothing", "a small training"), lines))
    print("\nSaved to", table.save("sweeps", {"machine": about, "results": best}))


if __name__ == "__main__":
    main()
