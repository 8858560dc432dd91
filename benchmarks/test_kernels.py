"""Each kernel beside its NumPy twin: the same numbers, and both times.

    python -m pytest benchmarks/test_kernels.py [-k adam]

A group is one kernel, size and dtype; ``nncore`` in it is one run of a bound program, and its numbers are first compared with
those of the twin in float64.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from helpers import kernels, recurrent, twins
from helpers.optimizers import call_twin
from numpy.typing import NDArray

import nncore as nn
from benchmarks.normalization import compiled_passes
from nncore import _kernels, reference
from nncore.optimizers import OPTIMIZERS

Array = NDArray[Any]
EPS = 1e-5
DRAW = {"seed": 0, "layer": 1}  # where the random numbers of a noise kernel come from
STREAM = (0, 1 << 16)  # the same, as its op takes it


@dataclass
class Pair:
    """A kernel bound to its arrays, what it writes, and its twin with what that takes."""

    run: Callable[[], object]
    outputs: list[Array]
    twin: Callable[..., Any]
    given: tuple[Any, ...]

    def check(self) -> None:
        """Run once: the difference is at most some roundings of the largest number."""
        true = self.twin(*kernels.doubles(*self.given))
        self.run()
        for got, want in zip(self.outputs, true if isinstance(true, tuple) else (true,), strict=True):
            kernels.assert_near(got.astype(self.given[0].dtype), want.reshape(got.shape), np.abs(want).max(), "kernel")


def bound(
    name: str, outputs: list[Array], inputs: tuple[Array | None, ...], *, rows: int, sizes: tuple[int, ...],
    constants: tuple[float, ...] = (), axis: str = "rows", pieces: int = 1,
) -> Callable[[], object]:  # fmt: skip
    """One run of one op."""
    ops = [(name, (*outputs, *inputs), sizes, constants, 0, pieces)]
    stages = [(axis, pieces, None, False, ops)]
    program = _kernels.Program(_kernels.op_table(), outputs[-1].dtype, stages, block_rows=16)
    threads = nn.get_num_threads()
    return lambda: program.run(examples=rows, batch=rows, threads=threads)


Make = Callable[[tuple[int, ...], str, np.random.Generator], Pair]
CASES: dict[str, tuple[Make, tuple[tuple[int, ...], tuple[int, ...]]]] = {}


def cases(names: Any, small: tuple[int, ...], large: tuple[int, ...]) -> Callable[[Callable[..., Pair]], Callable[..., Pair]]:
    """Register a function that makes the pair of each of the names, at two sizes."""

    def register(make: Callable[..., Pair]) -> Callable[..., Pair]:
        for name in names:
            CASES[name] = (lambda *given, name=name: make(name, *given)), (small, large)
        return make

    return register


DENSE = ["dense_forward", "dense_backward_input", "dense_backward_weight", "dense_backward_bias"]


@cases(DENSE, (32, 64, 64), (128, 784, 256))
def dense(name: str, size: tuple[int, ...], dtype: str, rng: np.random.Generator) -> Pair:
    """The products of a dense layer of (rows, inputs, units)."""
    rows, inputs, units = size
    x, W, b, dy = kernels.dense_inputs(rng, rows, inputs, units, dtype)
    tiles = _kernels.weight_tiles(units, inputs)
    tiled: dict[str, Any] = {"axis": "tiles", "pieces": len(tiles)}
    out, arrays, given, how = {
        "dense_forward": (dy, (kernels.packed(W, None), b), (x, W, b), {}),
        "dense_backward_input": (x, (W,), (dy, W), {}),
        "dense_backward_weight": (W, (x, tiles), (dy, x), tiled),
        "dense_backward_bias": (b, (), (dy,), {"axis": "tiles"}),
    }[name]
    written, sizes = [np.empty_like(out)], (units,) if name == "dense_backward_bias" else (units, inputs)
    run = bound(name, written, (given[0], *arrays), rows=rows, sizes=sizes, **how)
    return Pair(run, written, getattr(reference, name), given)


@cases([f"{name}_{way}" for name in kernels.ACTIVATIONS for way in ("forward", "backward")], (64, 256), (512, 512))
def activation(name: str, size: tuple[int, ...], dtype: str, rng: np.random.Generator) -> Pair:
    """An activation of (rows, width)."""
    kind, _, way = name.rpartition("_")
    dh, z, h = kernels.activation_inputs(kind, rng, *size, dtype)
    given, written = (z,) if way == "forward" else (dh, z, h), [np.empty_like(z)]
    constants = twins.constants(f"{kind}_forward")[0]
    run = bound(name, written, given, rows=size[0], sizes=size[1:], constants=tuple(constants.values()))
    return Pair(run, written, lambda *a: kernels.twin(name)(*a, **constants), given)


@cases(kernels.LOSSES, (64, 10), (512, 256))
def loss(name: str, size: tuple[int, ...], dtype: str, rng: np.random.Generator) -> Pair:
    """A loss of (rows, width) with its gradient."""
    y, d = kernels.loss_inputs(name, rng, *size, dtype)
    written, constants = [np.empty(size[0]), np.empty_like(y)], twins.constants(name)[0]
    run = bound(name, written, (y, d, None), rows=size[0], sizes=size[1:], constants=tuple(constants.values()))
    return Pair(run, written, lambda y, d: kernels.twin(name)(y, d, **constants), (y, d))


NORMS: dict[str, Callable[[], nn.Layer]] = {
    "batch_norm": nn.BatchNorm, "layer_norm": nn.LayerNorm, "rms_norm": nn.RMSNorm, "group_norm": lambda: nn.GroupNorm(8),
}  # fmt: skip


@cases(NORMS, (32, 64), (512, 512))
def normalization(name: str, size: tuple[int, ...], dtype: str, rng: np.random.Generator) -> Pair:
    """Forward and backward pass of a normalization layer on (rows, width)."""
    x, dy = rng.normal(1, 2, size).astype(dtype), rng.normal(size=size).astype(dtype)
    compiled, tape = compiled_passes([NORMS[name]()], x, dy)
    shape = {"batch_norm": (size[0], size[1], 1), "group_norm": (size[0], 8, -1)}.get(name, (size[0], 1, -1))
    kernel = name.replace("layer", "group")

    def twin(x: Array, dy: Array) -> tuple[Array, Array]:
        x, dy = x.reshape(shape), dy.reshape(shape)
        if name == "batch_norm":
            one = np.ones(size[1], x.dtype)
            mean, _, rstd = reference.batch_norm_statistics(x, EPS)
            reference.batch_norm_backward_statistics(dy, x, mean, rstd)
            y = reference.batch_norm_forward(x, mean, rstd, one, 0 * one)
            return y, reference.batch_norm_backward(dy, x, mean, rstd, one)
        forward, backward = (getattr(reference, f"{kernel}_{way}") for way in ("forward", "backward"))
        one = np.ones(x.shape[1:], x.dtype)
        y = forward(x, one, 0 * one, EPS)
        reference.group_norm_backward_weight(dy, y)
        return y, backward(dy, x, one, EPS)

    threads = nn.get_num_threads()
    assert tape.input.grad is not None
    run = lambda: compiled.run(examples=size[0], batch=size[0], threads=threads)  # noqa: E731
    return Pair(run, [tape.output.value, tape.input.grad], twin, (x, dy))


NOISE: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {  # constants of the kernel, and of its twin
    "dropout_forward": ((1 / 0.7, round(0.3 * 2**32)), (0.3, 1 / 0.7)),
    "dropout_backward": ((1 / 0.7, round(0.3 * 2**32)), (0.3, 1 / 0.7)),
    "gaussian_noise_forward": ((0.5,), (0.5,)),
    "gaussian_dropout_forward": ((0.5,), (0.5,)),
    "gaussian_dropout_backward": ((0.5,), (0.5,)),
}


@cases(NOISE, (32, 64), (256, 256))
def noise(name: str, size: tuple[int, ...], dtype: str, rng: np.random.Generator) -> Pair:
    """Random numbers, and what they do to (rows, width)."""
    x, (constants, of_twin) = rng.normal(size=size).astype(dtype), NOISE[name]
    written = [np.empty_like(x)]
    run = bound(name, written, (x,), rows=size[0], sizes=(size[1], *STREAM), constants=constants)
    return Pair(run, written, lambda x: getattr(reference, name)(x, *of_twin, **DRAW), (x,))


CELLS = [f"{cell}_{part}" for cell in recurrent.CELLS for part in ("forward", "backward")]


@cases(CELLS, (8, 5, 16), (64, 20, 64))
def cells(name: str, size: tuple[int, ...], dtype: str, rng: np.random.Generator) -> Pair:
    """A recurrent layer of (rows, steps, units), from the inputs' part of the sums a on."""
    (rows, steps, units), (cell, _, part) = size, name.rpartition("_")
    gates = recurrent.GATES[cell] * units
    a = rng.normal(size=(rows, steps, gates)).astype(dtype)
    U = (rng.normal(size=(gates, units)) / np.sqrt(units)).astype(dtype)
    dh, c = rng.normal(size=size).astype(dtype), rng.normal(size=gates).astype(dtype)
    how: dict[str, Any] = {"rows": rows, "sizes": (units, steps, True, False, *STREAM), "constants": (0.0,)}
    bias, parts = [c] if cell == "gru" else [], recurrent.blocks(cell, U)
    h, *saved = recurrent.twin_forward(cell, a, U, c)
    if part == "forward":
        written = [np.empty_like(h), a.copy(), *(np.empty_like(h) for _ in saved[1:])]
        product, packed = np.empty((rows, len(parts[0])), dtype), [kernels.packed(block, None) for block in parts]
        run = bound(name, [*written, product], (*packed, *bias, None, None, None), **how)
        return Pair(run, written, getattr(reference, name), (a, U, *bias))
    read = recurrent.read_backward(cell, saved)
    written = [np.empty_like(delta) for delta in recurrent.twin_backward(cell, dh, saved, U)]
    run = bound(name, [*written, np.empty((rows, 2, units), dtype)], (dh, *read, *parts, None, None), **how)
    return Pair(run, written, getattr(reference, name), (dh, *read, U))


@cases([f"{name}_update" for name in OPTIMIZERS], (1_000,), (300_000,))
def optimizer(name: str, size: tuple[int, ...], dtype: str, rng: np.random.Generator) -> Pair:
    """A step of an optimizer on n parameters, Python and all."""
    opt = OPTIMIZERS[name.removesuffix("_update")]()
    theta, grad = rng.normal(size=(2, *size)).astype(dtype)
    opt.init_state(theta.size, theta.dtype)
    given = (theta.copy(), grad, *(array.copy() for array in opt.state.values()))
    if opt.enter:  # which the first step does by itself
        call_twin(opt.enter, opt, given[0], *given[2:])

    def twin(*arrays: Array) -> tuple[Array, ...]:
        call_twin(name, opt, *arrays, step=1)
        return arrays[0], *arrays[2:]

    return Pair(lambda: opt.step(theta, grad), [theta, *opt.state.values()], twin, given)


def entries() -> Iterator[Any]:
    """Each kernel at each size in each dtype."""
    for name, (_, sizes) in CASES.items():
        for size in sizes:
            for dtype in ("float32", "float64"):
                yield pytest.param(name, size, dtype, id=f"{name}-{'x'.join(map(str, size))}-{dtype}")


@pytest.mark.benchmark(min_time=1e-4, max_time=0.05, min_rounds=5)
@pytest.mark.parametrize("side", ["nncore", "NumPy"])
@pytest.mark.parametrize(("name", "size", "dtype"), list(entries()))
def test_kernel(name: str, size: tuple[int, ...], dtype: str, side: str, benchmark: Any) -> None:
    """See the top."""
    pair = CASES[name][0](size, dtype, np.random.default_rng(0))
    benchmark.group, benchmark.name = f"{name} {' × '.join(map(str, size))} {dtype}", side
    if side == "nncore":
        pair.check()
        pair.run()  # the first run wakes threads, and the timer is set by a run
        benchmark(pair.run)
    else:
        benchmark(pair.twin, *pair.given)
