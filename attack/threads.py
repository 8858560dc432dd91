"""The same training on 1 to 8 threads: the same bits of everything.

A forked process runs nncore on one thread only, as the threads of OpenMP do not survive a fork. So each process of cases has
another for its trainings that is started afresh: ``python -m attack.threads`` reads seeds, and writes what came of each.
"""

from __future__ import annotations

import contextlib
import faulthandler
import json
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

import nncore as nn
from attack.bits import Bits, assert_same, bits_of, trained
from attack.random_models import Setup, draw
from nncore.program import autotune, tape

__all__ = ["case", "run", "stop", "times_of_threads"]

THREADS = range(1, 9)
EPOCHS = 2
LIMIT = 90.0  # seconds: eight trainings, on threads that wait for each other where there are fewer cores
LONG = 0.1  # seconds: the system has then noted the times of all threads
EVERY_STEP = 0.6  # share of the models whose steps run on several threads however small they are

_runners: dict[int, subprocess.Popen[str]] = {}  # by process


def case(rng: np.random.Generator) -> str:
    """One configuration; in the runner of this process, which is made for the first."""
    seed = int(rng.integers(2**62))
    runner = _runners.get(os.getpid())
    if runner is None:
        command = [sys.executable, "-m", "attack.threads"]
        env = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [str(Path(__file__).parents[1]), *sys.path]))}
        runner = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)
        _runners[os.getpid()] = runner
    assert runner.stdin is not None
    assert runner.stdout is not None
    print(seed, file=runner.stdin, flush=True)
    answer = runner.stdout.readline()
    if not answer:
        raise RuntimeError(f"the process that trains has ended with status {_runners.pop(os.getpid()).wait()} at seed {seed}")
    outcome, failure = json.loads(answer)
    assert not failure, failure
    return str(outcome)


def stop() -> None:
    """End the runner of this process, if it has one."""
    if runner := _runners.pop(os.getpid(), None):
        runner.communicate()


def run(seed: int, epochs: int = EPOCHS) -> str:
    """Train with 1 to 8 threads and compare; whether steps ran on several threads, all of which were at work."""
    rng = np.random.default_rng(seed)
    large, flops = bool(rng.random() < 0.8), 0 if rng.random() < EVERY_STEP else tape.PARALLEL_FLOPS
    with patch.object(tape, "PARALLEL_FLOPS", flops), patch.object(autotune, "FIRST_TRIAL", sys.maxsize):  # never on one only
        results = {threads: _trained(seed, epochs, large, threads) for threads in THREADS}
    outcome, first = results[1]
    for threads, (other, bits) in results.items():
        assert other == outcome, f"{other} on {threads} threads, {outcome} on one"
        assert_same(first, bits, f"one thread and {threads}")
    return outcome


def _trained(seed: int, epochs: int, large: bool, threads: int) -> tuple[str, Bits]:
    nn.set_num_threads(threads)
    setup = draw(seed, large=large)
    before, start = times_of_threads(), time.monotonic()
    outcome = trained(setup.trainer, setup.X, setup.y, epochs=epochs, **setup.fit)
    seconds, after = time.monotonic() - start, times_of_threads()
    if any(program.compiled.parallel for program in setup.trainer._compiled.values()):
        outcome += ", parallel"
        worked = sum(nanoseconds > before.get(thread, 0) for thread, nanoseconds in after.items())
        assert not after or seconds < LONG or worked >= threads, f"{worked} threads were at work, not {threads}"
    return outcome, bits_of(setup.trainer, setup.X) | _passes(setup)


def times_of_threads() -> dict[str, int]:
    """How many nanoseconds each thread of this process has run, where the system tells it."""
    times = {}
    for task in Path("/proc/self/task").glob("*/schedstat"):
        with contextlib.suppress(OSError):  # it has just ended
            times[task.parent.name] = int(task.read_text().split()[0])
    return times


def _passes(setup: Setup) -> Bits:
    """The row of an evaluation, a gradient, and products with the Hessian where there are any."""
    trainer, X, y = setup.trainer, setup.X, setup.y
    model = trainer.model
    v = np.random.default_rng(0).standard_normal((2, model.parameters.size))
    passes: dict[str, Callable[[], Any]] = {
        "evaluate": lambda: trainer.evaluate(X, y), "gradient": lambda: model.loss_and_gradient(X, y, trainer.loss)[1].copy(),
        "Hv": lambda: model.hessian_vector_product(X, y, trainer.loss, v),
        "Gv": lambda: model.gauss_newton_product(X, y, trainer.loss, v),
    }  # fmt: skip
    results: Bits = {}
    for name, compute in passes.items():
        try:
            result = compute()
        except (ValueError, TypeError) as error:
            result = f"{type(error).__name__}: {error}"
        results[name] = result.tobytes() if isinstance(result, np.ndarray) else repr(result).encode()
    return results


def main() -> None:
    """Run the seeds that are read."""
    for line in sys.stdin:
        faulthandler.dump_traceback_later(LIMIT, exit=True)
        try:
            answer = run(int(line)), ""
        except Exception:
            answer = "", traceback.format_exc()
        faulthandler.cancel_dump_traceback_later()
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
