"""Cost of the exchange between ranks in a training step: python -m benchmarks.distributed (needs mpi4py and mpiexec)

Starts itself by mpiexec on 1, 2 and 4 ranks of this machine, one thread each, for networks with some 20 KB, 1 MB and 8 MB of
parameters. A step is that of the whole batch, in as many shards as ranks, so that each rank has one. The table has, as minima
over the rounds and of the slowest rank, the time of a step; that of the exchange in it (losses, gradients, their sum), which
contains the wait for the other ranks; and that of the exchange alone, repeated without the rest of the step. Beside them stands
the step of an ordinary ``fit``, on one thread and on all. ``--batch`` sets rows per step.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

import nncore as nn
from benchmarks.machine import cores, cpu_model
from nncore import samplers
from nncore.distributed.ranks import Ranks
from nncore.program.compiled import Compiled
from nncore.program.stages import stages
from nncore.training.sharded import ShardedLoop

NETS = {"64-64-10": (1024, 40), "784-256-128-10": (1024, 4), "784-1024-1024-10": (512, 2)}  # rows of a batch, steps of a round
EXCHANGE = ("python", "sum_nodes")
ROUNDS, REPEATED = 30, 300


def trainer(net: str) -> nn.Trainer:
    inputs, *units = map(int, net.split("-"))
    layers: list[nn.Layer] = []
    for width in units:
        layers += [nn.Dense(width), nn.ReLU()]
    return nn.Trainer(nn.Sequential(layers[:-1], input_shape=inputs, seed=0), "softmax_cross_entropy", nn.Adam(lr=1e-4))


def data(net: str, batch: int) -> tuple[np.ndarray, np.ndarray]:
    inputs, *_, classes = map(int, net.split("-"))
    rng = np.random.default_rng(0)
    return rng.standard_normal((2 * batch, inputs)).astype(np.float32), rng.integers(0, classes, 2 * batch)


def steps_by_op(run: ShardedLoop, steps: int) -> tuple[float, float]:
    """Seconds of a step, and of the exchange in it."""
    names = run.program.compiled.program.op_names
    seconds = np.zeros(len(names))
    _, order = run.orders(-(-steps // run.per_epoch))
    start = time.perf_counter()
    run.run_steps(order, 0, steps, 1, op_seconds=seconds)
    total = time.perf_counter() - start
    exchange = sum(float(each) for name, each in zip(names, seconds, strict=True) if name in EXCHANGE)
    return total / steps, exchange / steps


def exchanges(run: ShardedLoop, times: int) -> list[float]:
    """Seconds of each of some exchanges, one after the other."""
    exchange, tape = run.program.exchange, run.program.recording.tape
    assert exchange
    exchange.begin(run.ranks, run.batches, 0)
    total = Compiled(tape, stages([op for op in exchange.ops if op.kernel == "sum_nodes"]))
    found = []
    for _ in range(times):
        start = time.perf_counter()
        exchange._send(0)
        total.run(examples=1, batch=1, threads=1)
        exchange._share(0)
        found.append(time.perf_counter() - start)
    return found


def work(net: str, batch: int, steps: int) -> None:
    """On a rank: the table's numbers, printed by rank 0."""
    own, (X, y) = trainer(net), data(net, batch)
    distributed = nn.distributed.MPI(shards=int(os.environ["RANKS"]))
    with Ranks(distributed) as ranks:
        run = own._loop(own._data(X, y), batch, samplers.Shuffled(), ranks=ranks)
        assert isinstance(run, ShardedLoop)
        ranks.share_sums(1, 1)
        steps_by_op(run, 5)
        found = np.array([steps_by_op(run, steps) for _ in range(ROUNDS)])
        every = ranks.collect(found[None], [1] * ranks.size)  # (ranks, rounds, 2)
        repeated = ranks.collect(np.array(exchanges(run, REPEATED))[None], [1] * ranks.size)  # (ranks, times)
    if distributed.rank == 0:
        print(json.dumps([*every.max(axis=0).min(axis=0).tolist(), float(repeated.max(axis=0).min())]))


def alone(net: str, batch: int, steps: int, threads: int) -> float:
    """Seconds of a step of an ordinary fit."""
    own, (X, y) = trainer(net), data(net, batch)
    nn.set_num_threads(threads)
    own.fit(X, y, epochs=4, batch_size=batch, verbose=0)
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        own.fit(X, y, epochs=steps // 2, batch_size=batch, verbose=0)
        times.append((time.perf_counter() - start) / steps)
    return min(times)


def on_ranks(net: str, batch: int, steps: int, size: int) -> list[float]:
    beside = Path(sys.executable).parent / "mpiexec"
    mpiexec = str(beside) if beside.exists() else shutil.which("mpiexec")
    if mpiexec is None:
        sys.exit("benchmarks.distributed needs mpiexec: pip install mpi4py mpich")
    command = [mpiexec, "--map-by", ":OVERSUBSCRIBE", "-n", str(size), sys.executable, "-m", "benchmarks.distributed"]
    environment = os.environ | {"NNCORE_NUM_THREADS": "1", "RANKS": str(size)}
    command += ["--work", net, "--batch", str(batch), "--steps", str(steps)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=600)
    numbers: list[float] = json.loads(done.stdout)
    return numbers


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--nets", default=",".join(NETS), help="sizes of layers, as in 64-64-10,784-256-128-10")
    parser.add_argument("--ranks", default="1,2,4")
    parser.add_argument("--batch", type=int, default=0, help="rows of a batch")
    parser.add_argument("--steps", type=int, default=0, help="steps of a round")
    parser.add_argument("--work", default="", help=argparse.SUPPRESS)
    options: Any = parser.parse_args(arguments)
    if options.work:
        work(options.work, options.batch, options.steps)
        return
    print(f"{cpu_model()}, {cores()} cores, load {os.getloadavg()[0]:.1f}")
    print(f"{'network':18}{'theta':>9}{'rows':>6}  {'':14}{'step':>10}{'exchange':>10}{'alone':>10}")
    for net in options.nets.split(","):
        batch, steps = NETS.get(net, (1024, 4))
        batch, steps = options.batch or batch, options.steps or steps
        size = trainer(net).model.parameters.nbytes
        head = f"{net:18}{size / 1e3:6.0f} KB{batch:6}  "
        for threads in dict.fromkeys((1, cores())):
            print(f"{head}{f'threads: {threads}':14}{1e6 * alone(net, batch, steps, threads):7.0f} us", flush=True)
        for ranks in map(int, options.ranks.split(",")):
            times = "".join(f"{1e6 * seconds:7.0f} us" for seconds in on_ranks(net, batch, steps, ranks))
            print(f"{head}{f'ranks: {ranks}':14}{times}", flush=True)


if __name__ == "__main__":
    main()
