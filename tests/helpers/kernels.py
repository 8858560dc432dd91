"""Running a kernel, its cases, and the comparison with its NumPy twin."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import xlogy

from helpers import twins
from nncore import _kernels, reference
from nncore._kernels import single_ops

Array = NDArray[Any]

Inputs = tuple[Array, ...]
RTOL = {"float32": 1e-5, "float64": 1e-13}
UNDERFLOW = 2048  # smallest numbers: a subnormal rounded to one or two of them, times a factor |z| up to 745 (silu)
ROWS = (1, 2, 3, 7, 8, 9, 12, 13, 31, 33, 64, 65)
WIDTHS = (1, 2, 3, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 64, 65, 100)
# Each of both with one and with every third of the other; the last is work enough for several threads.
SIZES = [(r, w) for r, w in product(ROWS, WIDTHS) if min(r, w) == 1 or (ROWS.index(r) + WIDTHS.index(w)) % 3 == 0]
SIZES += [(700, 65)]
FEW_SIZES = [(1, 1), (2, 17), (3, 7), (9, 33), (65, 5), (700, 65)]
GUARD = 16  # guard elements on either side of an output, which must stay unchanged
ISAS = _kernels.complete_isas()
each_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])
each_isa = pytest.mark.parametrize("isa", ISAS)


class Output:
    """An array to be written, inside a larger one that must stay as it is."""

    def __init__(self, shape: int | tuple[int, ...], dtype: Any) -> None:
        self.dtype = np.dtype(dtype)
        self.untouched = 77 if self.dtype.kind == "i" else np.nan
        self.whole = np.full(int(np.prod(shape)) + 2 * GUARD, self.untouched, dtype)
        self.array = self.whole[GUARD:-GUARD].reshape(shape)

    def check(self) -> None:
        border = np.concatenate([self.whole[:GUARD], self.whole[-GUARD:]])
        expected = np.full_like(border, self.untouched)
        assert same_bits(border, expected), "written outside the output"


def same_bits(a: Array, b: Array) -> bool:
    return a.shape == b.shape and a.tobytes() == b.tobytes()


def run(
    name: str, outputs: list[tuple[Any, Any] | None], inputs: tuple[Array | None, ...], dtype: str, **kw: Any
) -> list[Array]:
    """Run an op on 1, 2 and 3 threads; the outputs, the same bits from all three.

    Fewer than 64 rows are too few work items to tell three threads from one.
    """
    results: list[list[Array]] = []
    copies = [None if a is None else a.copy() for a in inputs]
    for threads in (1, 2, 3) if kw["rows"] >= 64 else (1,):
        written = [None if spec is None else Output(*spec) for spec in outputs]
        arrays = (*(None if w is None else w.array for w in written), *inputs)
        failed = single_ops.run_op(name, arrays, dtype=np.dtype(dtype), threads=threads, **kw)
        assert failed == 0, f"{name} failed"
        for w in written:
            if w is not None:
                w.check()
        results.append([w.array for w in written if w is not None])
    for a, b in zip(inputs, copies, strict=True):
        assert a is None or b is None or same_bits(a, b), f"{name} changed an input"
    for other in results[1:]:
        assert all(map(same_bits, results[0], other)), f"{name}: bits depend on the number of threads"
    return results[0]


def assert_near(got: Array, true: Array, terms: Array | float, what: str) -> None:
    """Assert |got − true| ≤ RTOL (|true| + terms) + underflow error; infinities and NaN in the same places."""
    limit = np.finfo(got.dtype)
    with np.errstate(over="ignore"):
        rounded = true.astype(got.dtype)
    finite = np.isfinite(rounded)
    assert np.array_equal(got[~finite], rounded[~finite], equal_nan=True), f"{what}: infinities or NaN differ"
    terms = np.broadcast_to(terms, true.shape)[finite]
    with np.errstate(invalid="ignore"):
        error = np.abs(got[finite].astype(np.float64) - true[finite])
    rtol = RTOL[str(got.dtype)]
    allowed = rtol * np.abs(true[finite]) + rtol * terms + UNDERFLOW * float(limit.smallest_subnormal)
    bad = ~(error <= allowed)
    assert not bad.any(), (
        f"{what}: {bad.sum()} of {bad.size} values differ, "
        f"by up to {np.max(error[bad] / allowed[bad]):.3g} times what is allowed; "
        f"first {got[finite][bad][0]!r}, not {true[finite][bad][0]!r}"
    )


def doubles(*arrays: Array) -> Inputs:
    """The same numbers in float64; labels as they are."""
    return tuple(a.astype(np.float64) if a.dtype.kind == "f" else a for a in arrays)


def nothing(*arrays: Array) -> float:
    return 0.0


@dataclass(frozen=True)
class Activation:
    """``forward(z)`` and ``backward(dh, z, h)`` are the terms that cancel."""

    forward: Callable[..., Array | float] = nothing
    backward: Callable[..., Array | float] = nothing


def upstream(dh: Array, z: Array, h: Array) -> Array:
    """σ' is formed as 1 − h², h (1 − h), h + α, …: terms of size 1, times dh."""
    return np.abs(dh)


def upstream_times_z(dh: Array, z: Array, h: Array) -> Array:
    """Φ(z) + z φ(z) and s + z s (1 − s): terms of size up to 1 and |z|, times dh."""
    return np.abs(dh) * (1 + np.abs(z))


def size_of_z(z: Array) -> Array:
    """z · ½ (1 + erf) and its like: 1 + erf cancels where z < 0."""
    return np.where(np.isfinite(z), np.abs(z), 0)


# For activations without an entry, σ' may cancel as those above do, and σ does not.
ACTIVATIONS = {name: Activation(backward=upstream_times_z) for name in twins.ACTIVATIONS} | {
    "identity": Activation(),
    "sigmoid": Activation(backward=upstream),
    "tanh": Activation(backward=upstream),
    "relu": Activation(),
    "leaky_relu": Activation(),
    # α (eᶻ − 1): two terms of size up to 1 where z < 0.
    "elu": Activation(lambda z: np.where(z < 0, 1.0, 0.0), upstream),
    "softplus": Activation(backward=upstream),
    "gelu": Activation(size_of_z, upstream_times_z),
    "gelu_tanh": Activation(size_of_z, upstream_times_z),
    "silu": Activation(backward=upstream_times_z),
    # h_j (dh_j − Σ_k dh_k h_k)
    "softmax": Activation(backward=lambda dh, z, h: h * (np.abs(dh) + (np.abs(dh) * h).sum(axis=1, keepdims=True))),
}
ACTIVATION_CASES = [(name, kw) for name in ACTIVATIONS for kw in twins.constants(f"{name}_forward")]


def twin(name: str) -> Callable[..., Any]:
    return getattr(reference, name)  # type: ignore[no-any-return]


def activation_inputs(name: str, rng: np.random.Generator, rows: int, width: int, dtype: str) -> Inputs:
    """dh, z and h; z is normal, with a few exact zeros."""
    z = rng.normal(0, 4, (rows, width)).astype(dtype)
    z[rng.uniform(size=z.shape) < 0.03] = 0
    dh = rng.normal(size=z.shape).astype(dtype)
    return dh, z, twin(f"{name}_forward")(z)


def extremes(dtype: str) -> Array:
    """Zeros, subnormals, numbers where an exponential saturates or leaves the normal range, and the largest ones."""
    limit = np.finfo(dtype)
    small = [limit.smallest_subnormal, 7 * limit.smallest_subnormal, limit.tiny / 3, limit.tiny, limit.eps, 1e-3, 0.5]
    middle = [1, 5.5, 9, 17.3, 20, 30, 37, 40, 80, 86, 87, 88, 88.8, 90, 95, 100, 103, 104, 110, 700, 708, 709.5, 730]
    large = [744, 745, 746, 1e4, 1e5, 1e10, 1e18, 1e30, limit.max]
    positive = np.array([0.0, *map(float, [*small, *middle, *large])])
    return np.concatenate([positive, -positive]).astype(dtype)


ELEMENTWISE = [name for name in ACTIVATIONS if name != "softmax"]


@dataclass(frozen=True)
class Loss:
    """``draw(rng, rows, width)`` makes y and d; ``loss(y, d)`` and ``gradient(y, d)`` are the terms that cancel."""

    draw: Callable[[np.random.Generator, int, int], Inputs]
    loss: Callable[[Array, Array], Array | float] = nothing
    gradient: Callable[[Array, Array], Array | float] = nothing


def near_targets(rng: np.random.Generator, rows: int, width: int) -> Inputs:
    d = rng.normal(size=(rows, width))
    y = d + rng.normal(0, 2, d.shape)
    hit = rng.uniform(size=d.shape) < 0.05
    y[hit] = d[hit]
    return y, d


def signs(rng: np.random.Generator, rows: int, width: int) -> Inputs:
    return rng.normal(0, 2, (rows, width)), rng.choice([-1.0, 1.0], (rows, width))


def probabilities(rng: np.random.Generator, rows: int, width: int) -> Inputs:
    """y and d in [0, 1]; d is 0 or 1 in about half the places, and there y is sometimes equal to it."""
    y, d = rng.uniform(1e-3, 1 - 1e-3, (rows, width)), rng.uniform(-0.5, 1.5, (rows, width)).clip(0, 1)
    sure = (rng.uniform(size=y.shape) < 0.1) & ((d == 0) | (d == 1))
    return np.where(sure, d, y), d


def logits(rng: np.random.Generator, rows: int, width: int) -> Inputs:
    return rng.normal(0, 5, (rows, width)), rng.uniform(-0.5, 1.5, (rows, width)).clip(0, 1)


def logits_and_labels(rng: np.random.Generator, rows: int, width: int) -> Inputs:
    return rng.normal(0, 5, (rows, width)), rng.integers(0, width, rows)


def log_rates_and_counts(rng: np.random.Generator, rows: int, width: int) -> Inputs:
    return rng.normal(0, 2, (rows, width)), rng.poisson(2, (rows, width)).astype(np.float64)


def cross_entropy_gradient(y: Array, d: Array) -> Array:
    d_y = np.divide(d, y, out=np.zeros_like(y), where=y > 0)
    return d_y + np.divide(1 - d, 1 - y, out=np.zeros_like(y), where=y < 1)


def kl_terms(y: Array, d: Array) -> Array:
    return np.abs(xlogy(d, d)) + np.abs(xlogy(d, y))


# For losses without an entry, the terms have size 1.
LOSSES = {name: Loss(near_targets, lambda y, d: 1.0, lambda y, d: 1.0) for name in twins.LOSSES} | {
    "squared_error": Loss(near_targets),
    "mean_squared_error": Loss(near_targets),
    "mean_absolute_error": Loss(near_targets),
    "huber": Loss(near_targets),
    # eʸ − d y
    "poisson": Loss(log_rates_and_counts, lambda y, d: np.exp(y) + np.abs(d * y), lambda y, d: np.exp(y) + d),
    # 1 − d y
    "hinge": Loss(signs, loss=lambda y, d: 1 + np.abs(y)),
    # log(1 − y), where 1 − y rounds; −d/y + (1 − d)/(1 − y)
    "binary_cross_entropy": Loss(probabilities, lambda y, d: 1.0, cross_entropy_gradient),
    # d log d − d log y
    "kl_divergence": Loss(probabilities, kl_terms),
    # log(1 + e^-|y|), where 1 + e rounds, and max(y, 0) − d y; s − d
    "sigmoid_cross_entropy": Loss(logits, lambda y, d: 1 + np.abs(d * y), lambda y, d: 1.0),
    # log Σ_k exp(y_k − m), near 0 where one logit stands out; p Σd − d
    "softmax_cross_entropy": Loss(logits, lambda y, d: d, lambda y, d: d.sum(axis=1, keepdims=True)),
    "softmax_cross_entropy_labels": Loss(logits_and_labels, lambda y, d: 1.0, lambda y, d: 1.0),
}
LOSS_CASES = [(name, constants) for name in LOSSES for constants in twins.constants(name)]


def loss_inputs(name: str, rng: np.random.Generator, rows: int, width: int, dtype: str) -> tuple[Array, Array]:
    y, d = (a.astype(dtype) if a.dtype.kind == "f" else a for a in LOSSES[name].draw(rng, rows, width))
    return y, d


def weights(rng: np.random.Generator, rows: int) -> Array:
    w = rng.uniform(0, 3, rows)
    w[rng.uniform(size=rows) < 0.1] = 0
    return w


def dense_inputs(rng: np.random.Generator, rows: int, inputs: int, units: int, dtype: str) -> Inputs:
    """x, W, b, dy"""
    shapes = [(rows, inputs), (units, inputs), (units,), (rows, units)]
    return tuple(rng.normal(size=shape).astype(dtype) for shape in shapes)


# Either side of multiples of vector lengths and of likely block heights and widths.
EDGES = (7, 8, 9, 12, 13, 15, 16, 17, 24, 25, 31, 32, 33, 47, 48, 49, 63, 64, 65, 127, 128, 129)
MUTATION = 1 + 1e-3


def differs(check: Callable[[], Any]) -> None:
    with pytest.raises(AssertionError, match=r"values differ, by up to|Not equal to tolerance|array_equal"):
        check()


def packed(W: Array, isa: str | None) -> Array:
    tiles, out = _kernels.weight_tiles(*W.shape), np.zeros(_kernels.packed_size(*W.shape), W.dtype)
    run = {"axis": "tiles", "pieces": len(tiles), "threads": 1, "isa": isa}
    single_ops.run_op("pack_weight", (out, W, tiles), dtype=W.dtype, sizes=W.shape, **run)
    return out


def distant(rows: Array, gap: int) -> Array:
    return np.pad(rows, ((0, 0), (0, gap)), constant_values=np.nan)
