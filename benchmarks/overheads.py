"""Cost of a schedule, clipping, a penalty, weights or a sampler in a training step: python -m benchmarks.overheads

All in one process, in rotating order, many short fits of each. The table has the median and the minimum over the rounds, the
median of the ratios to the plain step of the same round, and the ratio of the minima, which is more reliable on a machine with
other load. The plain step is measured three times, and the middle one counts: the addresses of its arrays make a
difference too, and smaller differences are not significant. ``--net 784-256-128-10@128`` sets network and batch.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import nncore as nn

ROWS = 4096
Case = tuple[dict[str, Any], dict[str, Any]]  # arguments of the trainer, of fit


def cases(y: np.ndarray) -> dict[str, Callable[[], Case]]:
    """The plain step first."""
    rate, rising = nn.schedules.Cosine(1e-3, steps=100_000), nn.schedules.Warmup(0.9, steps=1000, start=0.5)
    weights = np.random.default_rng(0).uniform(0.5, 1.5, len(y))
    return {
        "plain": lambda: ({}, {}),
        "plain, made anew": lambda: ({}, {}),
        "schedule of lr": lambda: ({"optimizer": nn.Adam(lr=rate)}, {}),
        "schedules of lr and beta1": lambda: ({"optimizer": nn.Adam(lr=rate, betas=(rising, 0.999))}, {}),
        "ClipValue": lambda: ({"clip": nn.ClipValue(1e-3)}, {}),
        "ClipNorm, acting": lambda: ({"clip": nn.ClipNorm(1e-3)}, {}),
        "ClipGlobalNorm, acting": lambda: ({"clip": nn.ClipGlobalNorm(1e-3)}, {}),
        "ClipGlobalNorm, idle": lambda: ({"clip": nn.ClipGlobalNorm(1e3)}, {}),
        "L2": lambda: ({"regularizer": nn.L2(1e-5)}, {}),
        "L1": lambda: ({"regularizer": nn.L1(1e-6)}, {}),
        "ElasticNet": lambda: ({"regularizer": nn.ElasticNet(1e-6, 1e-5)}, {}),
        "plain, made anew again": lambda: ({}, {}),
        "sample_weight": lambda: ({}, {"sample_weight": weights}),
        "WithReplacement": lambda: ({}, {"sampler": "with_replacement"}),
        "Stratified": lambda: ({}, {"sampler": "stratified"}),
        "ImportanceSampling": lambda: ({}, {"sampler": "importance_sampling"}),
    }


def build(sizes: list[int], case: Case) -> nn.Trainer:
    layers: list[nn.Layer] = []
    for units in sizes[1:]:
        layers += [nn.Dense(units), nn.ReLU()]
    model = nn.Sequential(layers[:-1], input_shape=sizes[0], seed=0)
    return nn.Trainer(model, "softmax_cross_entropy", **{"optimizer": nn.Adam(lr=1e-3)} | case[0])


def measure(sizes: list[int], batch: int, rounds: int, seconds: float) -> dict[str, list[float]]:
    """Microseconds per step of each case, one number per round."""
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((ROWS, sizes[0])).astype(np.float32), rng.integers(0, sizes[-1], ROWS)
    chosen = {name: make() for name, make in cases(y).items()}
    trainers = {name: build(sizes, case) for name, case in chosen.items()}
    steps = -(-ROWS // batch)
    epochs = 1
    times: dict[str, list[float]] = {name: [] for name in trainers}
    for turn in range(-1, rounds):  # the first one warms up
        names = list(trainers)
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            trainers[name].model.initialize(0)  # otherwise gradients become denormal numbers
            start = time.perf_counter()
            trainers[name].fit(X, y, epochs=epochs, batch_size=batch, verbose=0, **chosen[name][1])
            times[name].append((time.perf_counter() - start) / (epochs * steps) * 1e6)
        if turn < 0:
            epochs = max(1, int(seconds / (min(map(min, times.values())) * steps * 1e-6)))
            times = {name: [] for name in trainers}
    return times


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--net", default="784-256-128-10@128", help="sizes, and the batch behind an @")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--seconds", type=float, default=0.03, help="of each fit, at least an epoch")
    options = parser.parse_args(arguments)
    net, _, batch = options.net.partition("@")
    times = measure([int(size) for size in net.split("-")], int(batch or 128), options.rounds, options.seconds)
    print(f"{net}, batch {batch or 128}, float32, Adam, {nn.get_num_threads()} threads, {options.rounds} rounds\n")
    print(f"{'':<28}{'µs/step':>9}{'to plain':>12}{'minimum':>9}{'to plain':>12}")
    same = [values for name, values in times.items() if name.startswith("plain")]
    least, plain_steps = min(map(min, same)), [statistics.median(turn) for turn in zip(*same, strict=True)]
    for name, values in times.items():
        ratio = statistics.median(value / plain for value, plain in zip(values, plain_steps, strict=True))
        print(
            f"{name:<28}{statistics.median(values):9.1f}{100 * (ratio - 1):+10.1f} %"
            f"{min(values):9.1f}{100 * (min(values) / least - 1):+10.1f} %"
        )


if __name__ == "__main__":
    main()
