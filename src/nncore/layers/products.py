"""The products of a layer with weights, as ops: recorded here for all layers that have any."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from nncore import _kernels
from nncore._kernels.program import CACHE_LINE, MOST_PANEL
from nncore.layers.base import Array, Parameter
from nncore.program.ops import Op, Signal
from nncore.program.tape import Tape

__all__ = ["Products", "Rows", "Tiles", "matrix_tiles", "spread"]

CROWDED = 4096  # bytes: rows so far apart fall into the same sets of a first-level cache
SPREAD_FROM = 1 << 18  # weights; fewer read a row too seldom for a copy to pay
PACK_LARGE_FROM = 1 << 19  # weights, whose packed copy goes past the caches, as it would not stay there until it is read
PASS_FROM = 1 << 19  # weights, whose gradient would not stay in the caches: but for a run's last step it need not be kept
DIRECT_ROWS = 128  # of at most so many rows, whose W is read once only, the product packs it in passing
NARROW_UNITS = 6  # of so few units the product computes the transpose of y and needs no packed copy
PACK_COST = 6.0  # packing a weight takes as long as so many multiply-adds of its gradient


class Tiles(NamedTuple):
    """The tiles of a matrix (units, inputs): rectangles as the kernels take them, their sizes, and where they lie in θ."""

    rectangles: Array
    elements: list[float]
    places: list[tuple[int, int, int, int]]


def matrix_tiles(parameter: Parameter) -> Tiles:
    """The tiles of a matrix among a layer's parameters."""
    units, inputs = parameter.shape
    rectangles = _kernels.weight_tiles(units, inputs)
    places = [(parameter.offset + u0 * inputs + j0, u1 - u0, j1 - j0, inputs) for u0, u1, j0, j1 in rectangles.tolist()]
    return Tiles(rectangles, [float(rows * columns) for _, rows, columns, _ in places], places)


class Rows(NamedTuple):
    """Rows as a product reads them, and the gap between them."""

    array: Array | None  # None where nothing goes backward
    gap: int = 0


def spread(tape: Tape, array: Array | None, record: Callable[..., None], weights: int, steps: int = 1) -> Rows:
    """The same rows where products with so many weights read them fast.

    Rows whose distance is a multiple of 4096 bytes compete for the same few sets of a cache: those are copied one cache
    line further apart, by an op that goes to ``record``. A row of the batch holds ``steps`` of them.
    """
    if array is None or weights < SPREAD_FROM or array.shape[1] // steps * tape.dtype.itemsize % CROWDED:
        return Rows(array)
    width, line = array.shape[1] // steps, CACHE_LINE // tape.dtype.itemsize
    copy = tape.array(steps * (width + line))
    record("spread_rows", copy, array, sizes=(width, line, steps))
    return Rows(copy, line)


class Products:
    """y = x Wᵀ + b, and on the way back dx = dy W, dW = dyᵀ x, db = Σ dy.

    x is (rows, inputs), W (units, inputs), dy (rows, units). Our own kernels read a packed copy of W on the way forward, unless
    it has few units, and tangents; the BLAS (``NNCORE_GEMM``) needs none. Where rows are sequences, a row of the batch holds
    ``steps`` of x and dy.
    """

    def __init__(self, tape: Tape, units: int, inputs: int, steps: int = 1) -> None:
        self.tape, self.units, self.inputs, self.steps = tape, units, inputs, steps
        variant, self.gemm = _kernels.gemm_variant(tape.dtype)
        self.name = "dense_steps_{}" if steps > 1 else "dense_{}"
        self.product_name = self.name + variant
        once = not (tape.gradients or tape.tangents or self.gemm) and steps == 1
        self.direct = once and tape.capacity <= DIRECT_ROWS
        self.narrow = units <= NARROW_UNITS and steps == 1 and not (self.gemm or self.direct or tape.tangents)
        self.packs = not (self.gemm or self.direct or self.narrow) or tape.tangents  # do any ops read the packed copy?

    def room_to_pack(self) -> Array:
        """For a packed copy of W."""
        return self.tape.arena.take(_kernels.packed_size(self.units, self.inputs), self.tape.dtype)

    def pack(self, packed: Array | None, weight: Array, tiles: Tiles) -> Op:
        """The op that renews the packed copy."""
        kernel = "pack_large_weight" if self.units * self.inputs >= PACK_LARGE_FROM else "pack_weight"
        cost = [PACK_COST * n for n in tiles.elements]
        return Op("tiles", kernel, (packed, weight, tiles.rectangles), (self.units, self.inputs), cost=cost)

    def emit(
        self, x: Signal, y: Signal, weight: Array, packed: Array | None, bias: Array | None, weight_grad: Array, tiles: Tiles
    ) -> Op:
        """Record the way from x to y and back; the op of dW is left to the caller."""
        tape, weights = self.tape, self.units * self.inputs
        x_rows = spread(tape, x.value, tape.rows, weights)
        self.forward(y.value, x_rows, weight, packed, bias)
        dy_rows = spread(tape, y.grad, tape.rows_backward, weights)
        self.backward_input(x.grad, dy_rows, weight)
        return self.weight_gradient(weight_grad, dy_rows, x_rows, tiles)

    def forward(self, y: Array, x: Rows, weight: Array, packed: Array | None, bias: Array | None) -> None:
        """y = x Wᵀ + b."""
        if self.direct:
            sizes, tiles = (self.units, self.inputs, x.gap, MOST_PANEL), -(-self.units // MOST_PANEL)
            self.tape.tiles("dense_forward_direct", y, x.array, weight, bias, sizes=sizes, pieces=tiles)
        else:
            kernel = "dense_forward_narrow" if self.narrow else self.product_name.format("forward")
            arrays = (y, x.array, weight if self.gemm or self.narrow else packed, bias, *self.gemm)
            self.tape.rows(kernel, *arrays, sizes=self._sizes(x.gap))
        self.tape.flops_per_row += 2 * self.steps * self.units * self.inputs

    def backward_input(self, dx: Array | None, dy: Rows, weight: Array) -> None:
        """dx = dy W, where anything needs it."""
        if dx is not None:
            arrays = (dx, dy.array, weight, *self.gemm)
            self.tape.rows_backward(self.product_name.format("backward_input"), *arrays, sizes=self._sizes(dy.gap))

    def weight_gradient(self, dW: Array, dy: Rows, x: Rows, tiles: Tiles) -> Op:
        """dW = dyᵀ x."""
        arrays = (dW, dy.array, x.array, tiles.rectangles, *self.gemm)
        cost = [n * self.tape.capacity * self.steps for n in tiles.elements]
        kernel = self.product_name.format("backward_weight")
        passes = kernel == "dense_backward_weight" and self.units * self.inputs >= PASS_FROM
        return Op("tiles", kernel, arrays, self._sizes(dy.gap, x.gap), cost=cost, tiles=tiles.places, passes=passes)

    def bias_gradient(self, db: Array, dy: Array | None, parameter: Parameter) -> Op:
        """db = Σ dy, as one tile."""
        size = parameter.size
        sizes = self._sizes() if self.steps > 1 else (self.units,)
        cost, tiles = [float(size * self.tape.capacity * self.steps)], [(parameter.offset, 1, size, size)]
        return Op("tiles", self.name.format("backward_bias"), (db, dy), sizes, cost=cost, tiles=tiles)

    def _sizes(self, *gaps: int) -> tuple[int, ...]:
        """Of an op: units, inputs and the gaps between the rows it reads; of sequences always two gaps, and steps."""
        steps = (*(0,) * (2 - len(gaps)), self.steps) if self.steps > 1 else ()
        return (self.units, self.inputs, *gaps, *steps)
