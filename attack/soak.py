"""python -m attack.soak --fits 100000 --seconds 1800 --seed 0: hours of use in one process, and what it holds meanwhile.

The process fits, loads, saves, predicts, forks, trains in threads, is interrupted and gets exceptions, in random order. Its
memory, files, threads, mappings and objects are measured in between. It is flat if, after a warm-up, the median of each in the
last tenth of the time is at most 1 % above that in the first one. The resident set may shrink, since the kernel drops pages of
files, such as code, where memory is short. Anonymous memory may not.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import gc
import mmap
import os
import pickle
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

import nncore as nn

SAMPLES = 100
WARM_UP = 0.1  # of the samples
LARGEST_CHANGE = 0.01
# Other processes change pss, malloc's arenas the addresses; threads of OpenMP come and go, and their stacks are mappings.
UNJUDGED = ("seconds", "fits", "pss", "virtual", "threads")
Column = NDArray[np.int64]
Table = dict[str, Column]

LOSS = "softmax_cross_entropy"
OPTIMIZERS: list[Callable[[], nn.Optimizer]] = [nn.SGD, nn.Momentum, nn.Adam, nn.RMSprop, lambda: nn.EMA(nn.Adam())]

RNG = np.random.default_rng(0)
X = RNG.normal(size=(96, 6)).astype(np.float32)
Y = RNG.integers(0, 3, 96)
ROWS = scipy.sparse.csr_array(np.where(X > 0.5, X, 0))


class Interruption(Exception):
    """Raised by a callback."""


class Raise(nn.Callback):
    """An exception from within a fit."""

    def on_epoch_end(self, trainer: Any, epoch: int, row: dict[str, Any]) -> None:
        raise Interruption


class CtrlC(nn.Callback):
    """The signal of Ctrl-C from within a fit."""

    def on_epoch_end(self, trainer: Any, epoch: int, row: dict[str, Any]) -> None:
        signal.raise_signal(signal.SIGINT)


def model(seed: int, *inside: nn.Layer) -> nn.Sequential:
    """A small network; its width and its precision depend on the seed."""
    layers = [nn.Dense(4 + seed % 13), nn.Tanh(), *inside, nn.Dense(3)]
    return nn.Sequential(layers, input_shape=6, seed=seed, dtype=("float32", "float64")[seed % 2])


def trainer(seed: int, *inside: nn.Layer) -> nn.Trainer:
    """An optimizer for it, which depends on the seed too."""
    return nn.Trainer(model(seed, *inside), LOSS, OPTIMIZERS[seed % len(OPTIMIZERS)](), seed=seed)


class Soak:
    """A process in use; each method is one kind of it, and returns its number of fits."""

    def __init__(self, folder: Path) -> None:
        nn.set_num_threads(1)
        self.folder = folder
        self.kept = trainer(1, nn.BatchNorm())
        self.kept.save(folder / "kept.nn")

    def fit(self, seed: int) -> int:
        trainer(seed, *([nn.Dropout(0.2)] if seed % 3 else [])).fit(X, Y, epochs=1, batch_size=32, verbose=0)
        return 1

    def fit_more(self, seed: int) -> int:
        """The same trainer, for as long as the process lives; only its history would grow."""
        self.kept.fit(X, Y, epochs=1, batch_size=16, validation_data=(X[:20], Y[:20]), verbose=0)
        self.kept.partial_fit(X[:16], Y[:16])
        self.kept.restore(self.folder / "kept.nn")
        return 1

    def predict(self, seed: int) -> int:
        one = model(seed)
        one.predict(X)
        one.activations(X[:8])
        one.loss_and_gradient(X, Y, LOSS)
        self.kept.evaluate(X, Y)
        return 0

    def fit_sparse(self, seed: int) -> int:
        trainer(seed).fit(ROWS, Y, epochs=1, verbose=0)
        return 1

    def fit_large(self, seed: int) -> int:
        """Arrays of huge pages, on several threads."""
        nn.set_num_threads(2 + seed % 2)
        wide = nn.Sequential([nn.Dense(256), nn.ReLU(), nn.Dense(512), nn.ReLU(), nn.Dense(3)], input_shape=6, seed=seed)
        nn.Trainer(wide, LOSS).fit(X, Y, epochs=1, verbose=0)
        nn.set_num_threads(1)
        return 1

    def fit_full_batch(self, seed: int) -> int:
        nn.Trainer(model(seed), LOSS, nn.second_order.LBFGS()).fit(X, Y, epochs=2, verbose=0)
        return 1

    def save_and_load(self, seed: int) -> int:
        one = trainer(seed)
        one.fit(X, Y, epochs=1, verbose=0)
        one.save(self.folder / "trainer.nn")
        one.model.save(self.folder / "model.nn")
        another = trainer(seed)
        another.restore(self.folder / "trainer.nn")
        nn.load(self.folder / "model.nn").predict(X)
        return 1

    def pickle_and_copy(self, seed: int) -> int:
        pickle.loads(pickle.dumps(trainer(seed))).fit(X, Y, epochs=1, verbose=0)
        model(seed).copy().predict(X)
        return 1

    def fit_ensemble(self, seed: int) -> int:
        together = nn.Ensemble(model(seed), 5)
        nn.Trainer(together, LOSS, nn.Adam()).fit(X, Y, epochs=1, verbose=0)
        together.predict(X)
        return 5

    def sweep(self, seed: int) -> int:
        nn.sweep(lambda lr, seed: nn.Trainer(model(seed), LOSS, nn.SGD(lr=lr)), {"lr": [0.1, 0.01]}, X, Y, epochs=1, verbose=0)
        return 2

    def fit_with_an_exception(self, seed: int) -> int:
        with contextlib.suppress(Interruption):
            trainer(seed).fit(X, Y, epochs=2, verbose=0, callbacks=[Raise()])
        return 1

    def refused(self, seed: int) -> int:
        with contextlib.suppress(ValueError):
            trainer(seed).fit(X, Y[:-1], verbose=0)
        with contextlib.suppress(ValueError, OSError):
            (self.folder / "damaged.nn").write_bytes(b"PK\x03\x04 and no more")
            nn.load(self.folder / "damaged.nn")
        return 0

    def fit_interrupted(self, seed: int) -> int:
        """By Ctrl-C, which ends the fit after the epoch."""
        with contextlib.suppress(KeyboardInterrupt):
            trainer(seed).fit(X, Y, epochs=3, verbose=0, callbacks=[CtrlC()])
        return 1

    def fit_in_threads(self, seed: int) -> int:
        threads = [threading.Thread(target=self.fit, args=(seed + number,)) for number in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return 2

    def fork(self, seed: int) -> int:
        child = os.fork()
        if child == 0:
            self.fit(seed)
            os._exit(0)
        if status := os.waitpid(child, 0)[1]:
            raise RuntimeError(f"a forked child ended with status {status}")
        return 1

    def leave_a_cycle(self, seed: int) -> int:
        """A model that only the garbage collector can find."""
        one = trainer(seed)
        one.fit(X, Y, epochs=1, verbose=0)
        cycle = [one]
        cycle.append(cycle)  # type: ignore[arg-type]
        return 1

    def user_functions(self, seed: int) -> int:
        def loss(y: Any, d: Any) -> Any:
            return ((y - d) ** 2).sum(axis=1), 2 * (y - d)

        nn.Trainer(model(seed), loss).fit(X, np.eye(3)[Y], epochs=1, verbose=0)
        return 1


# How often each: some take a hundred times as long as a fit.
WEIGHTS = {
    "fit": 2000, "fit_more": 100, "predict": 50, "fit_sparse": 100, "save_and_load": 20, "pickle_and_copy": 20, "refused": 20,
    "fit_with_an_exception": 50, "fit_interrupted": 50, "leave_a_cycle": 200, "user_functions": 50, "fit_ensemble": 10,
    "fit_in_threads": 20, "fit_full_batch": 20, "fork": 4, "sweep": 4, "fit_large": 4,
}  # fmt: skip


class Heap(ctypes.Structure):
    """``struct mallinfo2`` of glibc."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in ("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost")
    ]


clear_caches = sys._clear_internal_caches if sys.version_info >= (3, 13) else sys._clear_type_cache
mallinfo = ctypes.CDLL(None).mallinfo2
mallinfo.restype = Heap


def held() -> dict[str, int]:
    """What the process holds: memory in KiB, files, threads, mappings, Python's objects and blocks, bytes of ``malloc``."""
    gc.collect()
    clear_caches()  # of attributes of types: they keep names, and take hundreds of fits to fill
    proc, heap = Path("/proc/self"), mallinfo()
    memory = {line.split(":")[0]: int(line.split()[1]) for line in (proc / "smaps_rollup").read_text().splitlines()[1:]}
    return {
        "rss": memory["Rss"], "pss": memory["Pss"], "anonymous": memory["Anonymous"],
        "virtual": int((proc / "statm").read_text().split()[0]) * mmap.PAGESIZE >> 10,
        "mappings": (proc / "maps").read_text().count("\n"), "files": len(os.listdir(proc / "fd")),
        "threads": len(os.listdir(proc / "task")), "objects": len(gc.get_objects()), "blocks": sys.getallocatedblocks(),
        "heap": heap.uordblks + heap.hblkhd,
    }  # fmt: skip


def use(soak: Soak, fits: int, seconds: float, seed: int) -> Table:
    """What was held over time, until there were so many fits or seconds; the table is printed meanwhile."""
    rng, start, done, sample = np.random.default_rng(seed), time.monotonic(), 0, 0
    names, weights = list(WEIGHTS), np.array(list(WEIGHTS.values())) / sum(WEIGHTS.values())
    for name in names:  # the rare ones too import their modules now
        getattr(soak, name)(0)
    table = {name: np.zeros(SAMPLES, dtype=np.int64) for name in ("seconds", "fits", *held())}  # now: a list would grow
    print("".join(f"{name:>11}" for name in table))
    while (share := max(done / fits, (time.monotonic() - start) / seconds)) < 1:
        if share >= sample / SAMPLES:
            for name, value in {"seconds": time.monotonic() - start, "fits": done, **held()}.items():
                table[name][sample] = value
            if sample % (SAMPLES // 20) == 0 or sample == SAMPLES - 1:
                print("".join(f"{column[sample]:>11}" for column in table.values()), flush=True)
            sample += 1
        done += getattr(soak, rng.choice(names, p=weights))(int(rng.integers(1 << 20)))
    print(f"{done} fits in {time.monotonic() - start:.0f} s")
    return {name: column[:sample] for name, column in table.items()}


def growth(values: Column) -> float:
    """The median of the last tenth as a ratio to that of the first, after the warm-up, minus 1."""
    values = values[round(WARM_UP * len(values)) :]
    tenth = max(1, len(values) // 10)
    return float(np.median(values[-tenth:]) / np.median(values[:tenth]) - 1)


def main() -> int:
    """Use the process, print the table; 1 if something is not flat."""
    parser = argparse.ArgumentParser(prog="python -m attack.soak", description="Use nncore for long, and watch what it holds.")
    parser.add_argument("--fits", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=1800)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        table = use(Soak(Path(folder)), options.fits, options.seconds, options.seed)
    changes = {name: growth(column) for name, column in table.items() if name not in UNJUDGED}
    print(", ".join(f"{name} {change:+.2%}" for name, change in changes.items()))
    uneven = [name for name, change in changes.items() if (abs(change) if name == "anonymous" else change) > LARGEST_CHANGE]
    print(f"not flat: {', '.join(uneven)}" if uneven else "flat")
    return bool(uneven)


if __name__ == "__main__":
    sys.exit(main())
