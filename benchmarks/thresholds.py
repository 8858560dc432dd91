"""The sizes at which a training step changes its ways, measured: python -m benchmarks.thresholds [threads|tiles|…]

Seven decisions are made from sizes alone, so that the bits do not depend on them by accident; each has a constant:

- ``PARALLEL_FLOPS`` (tape.py): from how many operations a step runs on several threads;
- ``TILE``, ``LARGE_TILE`` and ``LARGE`` (_kernels/__init__.py): how W is cut, and from how many weights in larger tiles;
- ``SPREAD_FROM`` (layers/products.py): from how many weights crowded rows are copied further apart;
- ``PACK_LARGE_FROM`` (layers/products.py): from how many weights the packed copy goes past the caches;
- ``PASS_FROM`` (layers/products.py): from how many weights a gradient is kept in the last step of a call only;
- ``NARROW_UNITS`` (layers/products.py): up to how many units the forward product computes the transpose of y;
- ``DIRECT_ROWS`` (layers/products.py): up to how many rows a prediction packs W in passing.

For each, networks of rising size take real training steps (float32, ReLU, softmax cross-entropy, Adam) both ways, in turn, or
predict for the last; the table has the medians over the rounds, and last what they say beside the value in the code.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np

import nncore as nn
from benchmarks import machine, nets, table
from benchmarks.timing import seconds_per_call
from nncore import _kernels, samplers
from nncore.layers import products
from nncore.program import tape
from nncore.training.loop import TrainingLoop

NEVER = 1 << 62
SIZES = (  # of networks for the first decision, as sizes@batch
    "8-16-4@32", "16-24-4@32", "16-32-8@32", "32-32-10@32", "32-48-10@32", "48-64-10@32", "64-64-10@32", "64-96-10@32",
    "64-128-10@32", "96-128-10@32", "64-128-64-10@32", "64-128-64-10@64", "128-128-64-10@64", "128-256-64-10@64",
)  # fmt: skip
TILED = (
    "64-128-10@64", "256-256-10@64", "784-256-10@128", "1024-256-10@128", "784-512-10@128", "784-1024-10@256",
    "1000-1000-10@256", "784-2048-10@256",
)  # fmt: skip
TILES = ((16, 256), (32, 128), (32, 256), (32, 512), (64, 256), (64, 1024), (128, 1024))
OUTPUTS = (2, 3, 4, 5, 6, 7, 8, 10, 12)
PREDICTED = (8, 16, 32, 64, 128, 256, 512)  # rows
CROWDED = tuple(f"1024-{units}-10@128" for units in (64, 128, 256, 512, 1024))  # rows of 4096 bytes


@contextmanager
def setting(module: Any, **values: Any) -> Iterator[None]:
    """Constants of a module have other values within."""
    before = {name: getattr(module, name) for name in values}
    try:
        for name, value in values.items():
            setattr(module, name, value)
        _kernels.weight_tiles.cache_clear()
        yield
    finally:
        for name, value in before.items():
            setattr(module, name, value)
        _kernels.weight_tiles.cache_clear()


class Timed(Protocol):
    """What is timed again and again."""

    def seconds(self, budget: float) -> float:
        """How long it takes, from about so much time of trying."""


class Steps:
    """Training steps of a network, compiled with the constants as they are now."""

    def __init__(self, name: str, threads: int) -> None:
        net = nets.parse(name)
        layers = [layer for units in net.sizes[1:] for layer in (nn.Dense(units), nn.ReLU())][:-1]
        model = nn.Sequential(layers, input_shape=net.sizes[0], seed=0)
        trainer = nn.Trainer(model, "softmax_cross_entropy", nn.Adam(lr=1e-4))
        self.run = TrainingLoop(trainer, trainer._data(*nets.data(net, "float32")), net.batch, samplers.Shuffled())
        self.order, _ = self.run.orders(1)
        self.threads, self.flops = threads, 0
        recorded = self.run.program.recording.tape
        self.flops = recorded.flops_per_row * recorded.capacity * 3
        self.seconds(0.0)

    def seconds(self, budget: float) -> float:
        """Of a step: the mean over about so much time."""
        steps, start = 0, time.perf_counter()
        while not steps or time.perf_counter() - start < budget:
            self.run.run_steps(self.order, 0, self.run.per_epoch, self.threads)
            steps += self.run.per_epoch
        return (time.perf_counter() - start) / steps


def medians(ways: Sequence[Timed], rounds: int, budget: float) -> list[float]:
    """Microseconds a step of each, taken in turn."""
    found: list[list[float]] = [[] for _ in ways]
    for turn in range(rounds):
        for place in range(len(ways)):
            number = (turn + place) % len(ways)
            found[number].append(1e6 * ways[number].seconds(budget))
    return [statistics.median(times) for times in found]


def pays_from(sizes: Sequence[int], ratios: Sequence[float]) -> int | None:
    """The least size from which on every ratio of the old time to the new is above 1."""
    least = None
    for size, ratio in sorted(zip(sizes, ratios, strict=True), reverse=True):
        if ratio <= 1:
            break
        least = size
    return least


def threads(rounds: int, budget: float) -> None:
    """Serial program against the one for several threads."""
    rows, sizes, ratios, all_threads = [], [], [], nn.get_num_threads()
    for name in SIZES:
        with setting(tape, PARALLEL_FLOPS=NEVER):
            serial = Steps(name, 1)
        with setting(tape, PARALLEL_FLOPS=0):
            parallel = Steps(name, all_threads)
        one, several = medians([serial, parallel], rounds, budget)
        sizes.append(serial.flops)
        ratios.append(one / several)
        rows.append([name, f"{serial.flops:,}", table.number(one), table.number(several), f"{one / several:.2f}"])
    print(table.render(["net", "operations", "1 thread µs", f"{all_threads} threads µs", "ratio"], rows))
    print(
        f"several threads pay from {_text(pays_from(sizes, ratios))} operations on; PARALLEL_FLOPS = {tape.PARALLEL_FLOPS:,}\n"
    )


def tiles(rounds: int, budget: float) -> None:
    """Shapes of tiles of W."""
    rows = []
    for name in TILED:
        ways = []
        for shape in TILES:
            with setting(_kernels, TILE=shape, LARGE_TILE=shape):
                ways.append(Steps(name, nn.get_num_threads()))
        times = medians(ways, rounds, budget)
        net = nets.parse(name)
        weights = net.sizes[0] * net.sizes[1]
        own = _kernels.LARGE_TILE if weights >= _kernels.LARGE else _kernels.TILE
        cells = [table.number(t) + "*" * (t == min(times)) for t in times]
        rows.append([name, f"{weights:,}", *cells, "{}×{}".format(*own)])
    print(table.render(["net", "weights", *[f"{u}×{j}" for u, j in TILES], "code takes"], rows))
    print(
        f"µs a step, * the least; TILE = {_kernels.TILE}, LARGE_TILE = {_kernels.LARGE_TILE} from LARGE = {_kernels.LARGE:,} "
        "weights on\n"
    )


def _both(constant: str, values: tuple[int, int], make: Callable[[], Timed], rounds: int, budget: float) -> list[float]:
    """Microseconds of what is made while a constant of the products has either value."""
    ways = []
    for value in values:
        with setting(products, **{constant: value}):
            ways.append(make())
    return medians(ways, rounds, budget)


def _layer_constant(constant: str, names: Sequence[str], way: str, rounds: int, budget: float) -> None:
    """A constant of the dense layer that says from how many weights on a way pays."""
    rows, sizes, ratios = [], [], []
    for name in names:
        without, with_it = _both(constant, (NEVER, 0), lambda name=name: Steps(name, nn.get_num_threads()), rounds, budget)
        net = nets.parse(name)
        sizes.append(net.sizes[0] * net.sizes[1])
        ratios.append(without / with_it)
        rows.append([name, f"{sizes[-1]:,}", table.number(without), table.number(with_it), f"{ratios[-1]:.3f}"])
    print(table.render(["net", "weights", f"not {way} µs", f"{way} µs", "ratio"], rows))
    print(f"pays from {_text(pays_from(sizes, ratios))} weights on; {constant} = {getattr(products, constant):,}\n")


def spread(rounds: int, budget: float) -> None:
    """Rows 4096 bytes apart read where they lie, or copied further apart."""
    _layer_constant("SPREAD_FROM", CROWDED, "spread", rounds, budget)


def pack(rounds: int, budget: float) -> None:
    """The packed copy of W left in the caches, or past them."""
    _layer_constant("PACK_LARGE_FROM", TILED, "past the caches", rounds, budget)


def passing(rounds: int, budget: float) -> None:
    """The gradient of W kept in each step, or only in the last step of a call."""
    _layer_constant("PASS_FROM", TILED, "passing", rounds, budget)


def _limit(constant: str, what: str, sizes: Sequence[int], make: Callable[[int], Timed], rounds: int, budget: float) -> None:
    """A constant of the products that says up to which size a way pays."""
    rows, ratios = [], []
    for size in sizes:
        without, with_it = _both(constant, (0, max(sizes)), lambda size=size: make(size), rounds, budget)
        ratios.append(without / with_it)
        rows.append([str(size), table.number(without), table.number(with_it), f"{ratios[-1]:.3f}"])
    print(table.render([what, "without µs", "with µs", "ratio"], rows))
    paying = list(itertools.takewhile(lambda pair: pair[1] > 1, zip(sizes, ratios, strict=True)))
    most = f"up to {paying[-1][0]}" if paying else "for no number of"
    print(f"pays {most} {what}; {constant} = {getattr(products, constant)}\n")


def narrow(rounds: int, budget: float) -> None:
    """The forward product of the last layer, or its transpose without a packed copy."""
    _limit("NARROW_UNITS", "units", OUTPUTS, lambda units: Steps(f"64-64-{units}@64", 1), rounds, budget)


class Predictions:
    """Predictions of 784-256-128-10, compiled with the constants as they are now."""

    def __init__(self, rows: int) -> None:
        layers = [nn.Dense(256), nn.ReLU(), nn.Dense(128), nn.ReLU(), nn.Dense(10)]
        self.model = nn.Sequential(layers, input_shape=784, seed=0)
        self.X = np.random.default_rng(0).standard_normal((rows, 784)).astype(np.float32)
        self.seconds(0.0)

    def seconds(self, budget: float) -> float:
        """Of a call."""
        return seconds_per_call(lambda: self.model.predict(self.X), budget)


def direct(rounds: int, budget: float) -> None:
    """W packed before a prediction, or in passing."""
    _limit("DIRECT_ROWS", "rows", PREDICTED, Predictions, rounds, budget)


def _text(size: int | None) -> str:
    return "no size" if size is None else f"{size:,}"


_ALL = (threads, tiles, spread, pack, passing, narrow, direct)
PARTS: dict[str, Callable[[int, float], None]] = {part.__name__: part for part in _ALL}


def main(arguments: list[str] | None = None) -> None:
    """Measure one of the decisions, or all."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.thresholds", description=main.__doc__)
    parser.add_argument("part", nargs="*", help=f"of {', '.join(PARTS)}; default: all")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=0.03, help="of each measurement, at least one pass over 4096 rows")
    asked = parser.parse_args(arguments)
    unknown = set(asked.part) - set(PARTS)
    if unknown:
        parser.error(f"unknown part {sorted(unknown)[0]!r}; there are {', '.join(PARTS)}")
    print(machine.text(machine.describe()), end="\n\n")
    for part in asked.part or PARTS:
        PARTS[part](asked.rounds, asked.seconds)


if __name__ == "__main__":
    main()
