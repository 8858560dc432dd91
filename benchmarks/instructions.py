"""The most that the processor can multiply and add: the rate of the instruction itself, by ``instructions.c``.

    python -m benchmarks.instructions

float32: fused multiply-adds; bfloat16: ``vdpbf16ps``, two multiply-adds of pairs. Needs a C compiler, ``cc`` or ``CC``.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

from benchmarks import machine, table

TYPES = ("float32", "bfloat16")
STEPS = 1 << 19  # some milliseconds
SOURCE = Path(__file__).with_suffix(".c")


@cache
def _library() -> ctypes.CDLL | None:
    """The compiled functions; None without a compiler."""
    compiler = os.environ.get("CC") or shutil.which("cc")
    if compiler is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "instructions.so"
        command = [compiler, "-O2", "-march=native", "-ffp-contract=fast", "-shared", "-fPIC", str(SOURCE), "-o", str(target)]
        subprocess.run(command, check=True)
        library = ctypes.CDLL(str(target))
    for name in TYPES:
        getattr(library, name).argtypes, getattr(library, name).restype = (ctypes.c_int64, ctypes.c_void_p), ctypes.c_int64
    return library


def rate(name: str, threads: int) -> float:
    """FLOP/s of an instruction on so many threads; 0 where the processor lacks it, or there is no compiler."""
    library = _library()
    if library is None:
        return 0.0

    def work(_: int) -> int:
        out = (ctypes.c_float * 2)(1e-30, 1e-3)
        return int(getattr(library, name)(STEPS, ctypes.byref(out)))

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, range(threads)))
        start = time.perf_counter()
        done = sum(pool.map(work, range(threads)))
        return done / (time.perf_counter() - start)


def rates(threads: int) -> dict[str, float]:
    """One measurement of each, in turn."""
    return {name: rate(name, threads) for name in TYPES}


def medians(rounds: Iterable[dict[str, float]]) -> dict[str, float]:
    """Of several measurements."""
    found = list(rounds)
    return {name: statistics.median(one[name] for one in found) for name in TYPES}


def main(arguments: list[str] | None = None) -> None:
    """Print the rates of the instructions, on one thread and on all."""
    argparse.ArgumentParser(prog="python -m benchmarks.instructions", description=main.__doc__).parse_args(arguments)
    print(machine.text(machine.describe()), end="\n\n")
    rows = []
    for threads in sorted({1, machine.cores()}):
        found = medians(rates(threads) for _ in range(15))
        rows += [[name, str(threads), table.number(found[name] / 1e9) if found[name] else "–"] for name in TYPES]
    print(table.render(["factors", "threads", "GFLOP/s"], rows))


if __name__ == "__main__":
    main()
