"""The products of a layer with weights, as ops: recorded here for all layers that have any."""

from __future__ import annotations

from typing import Any, NamedTuple

from nncore import _kernels
from nncore._kernels.program import CACHE_LINE, MOST_PANEL
from nncore.layers.base import Array, Parameter
from nncore.program.ops import Op, Pass, Signal
from nncore.program.tape import TangentTape, Tape

__all__ = ["Products", "Rows", "Tiles", "matrix_tiles"]

CONFLICTING_STRIDE = 4096  # bytes: rows at this stride map to the same sets of a first-level cache
SPREAD_FROM = 1 << 18  # weights; fewer read a row too seldom for a copy to pay
PACK_LARGE_FROM = 1 << 19  # weights: from this size on, the packed copy is written with non-temporal stores
TILE_LOCAL_FROM = 1 << 19  # weights: a gradient of this size, too large for the caches, is stored in the last step only
DIRECT_ROWS = 128  # with at most this many rows, if W is read only once, it is packed on the fly
NARROW_UNITS = 6  # with at most this many units, the product computes the transpose of y and needs no packed copy
PACK_COST = 6.0  # packing a weight, in multiply-adds of its gradient


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
    """Rows as products read them, and the gap between them; in bfloat16 also as pairs of rows, and room for how many."""

    array: Array | None  # None where nothing goes backward
    gap: int = 0
    pairs: Array | None = None
    row_pairs: int = 0


class Products:
    """y = x Wᵀ + b, in the backward pass dx = dy W, dW = dyᵀ x, db = Σ dy, and R{} of these.

    x is (rows, inputs), W (units, inputs), dy (rows, units). `products_of` makes those in bfloat16 instead, where wanted. Our
    own kernels read a packed copy of W in the forward pass, unless it has few units, and for tangents; the BLAS
    (``NNCORE_GEMM``) needs none. Where rows are sequences, a row of the batch holds ``steps`` of x and dy.
    """

    packs_with_weight = True  # whether an op that computes W from other arrays may write the packed copy too

    def __init__(self, tape: Tape, units: int, inputs: int, steps: int = 1) -> None:
        self.tape, self.units, self.inputs, self.steps = tape, units, inputs, steps
        variant, self.gemm = _kernels.gemm_variant(tape.dtype)
        self.name = "dense_steps_{}" if steps > 1 else "dense_{}"
        self.product_name = self.name + variant
        tangents = isinstance(tape, TangentTape)
        once = not (tape.gradients or self.gemm) and steps == 1
        self.direct = once and tape.capacity <= DIRECT_ROWS
        self.narrow = units <= NARROW_UNITS and steps == 1 and not (self.gemm or self.direct or tangents)
        self.packs = not (self.gemm or self.direct or self.narrow) or tangents  # whether any op reads the packed copy

    def rows(self, array: Array | None, part: Pass, *, weights: int | None = None, along: bool = True) -> Rows:
        """The same rows at a stride at which products with W, or with this many weights, read them fast.

        ``along``: whether a product sums along the rows, not only over them.

        Rows whose distance is a multiple of 4096 bytes compete for the same few sets of a cache: those are copied one cache
        line further apart, by an op of the pass ``part``.
        """
        tape, weights = self.tape, weights or self.units * self.inputs
        if array is None or weights < SPREAD_FROM or array.shape[1] // self.steps * tape.dtype.itemsize % CONFLICTING_STRIDE:
            return Rows(array)
        width, line = array.shape[1] // self.steps, CACHE_LINE // tape.dtype.itemsize
        copy = tape.array(self.steps * (width + line))
        part.rows("spread_rows", copy, array, sizes=(width, line, self.steps))
        return Rows(copy, line)

    def room_to_pack(self) -> Any:
        """Memory for the packed copy of W."""
        return self.tape.arena.take(_kernels.packed_size(self.units, self.inputs), self.tape.dtype)

    def pack(self, packed: Any, weight: Array, tiles: Tiles) -> Op:
        """The op that renews the packed copy."""
        kernel = "pack_large_weight" if self.units * self.inputs >= PACK_LARGE_FROM else "pack_weight"
        cost = [PACK_COST * n for n in tiles.elements]
        return Op("tiles", kernel, (packed, weight, tiles.rectangles), (self.units, self.inputs), cost=cost)

    def emit(
        self, x: Signal, y: Signal, weight: Array, packed: Any, bias: Array | None, weight_grad: Array, tiles: Tiles
    ) -> Op:
        """Record y and dx; returns the op of dW, which is left to the caller."""
        x_rows = self.rows(x.value, self.tape.forward)
        self.forward(y.value, x_rows, weight, packed, bias)
        dy_rows = self.rows(y.grad, self.tape.backward, along=x.grad is not None)
        self.backward_input(x.grad, dy_rows, weight, packed)
        return self.weight_gradient(weight_grad, dy_rows, x_rows, tiles)

    def forward(self, y: Array, x: Rows, weight: Array, packed: Any, bias: Array | None) -> None:
        """y = x Wᵀ + b."""
        if self.direct:
            sizes, tiles = (self.units, self.inputs, x.gap, MOST_PANEL), -(-self.units // MOST_PANEL)
            self.tape.forward.tiles("dense_forward_direct", y, x.array, weight, bias, sizes=sizes, work_items=tiles)
        else:
            kernel = "dense_forward_narrow" if self.narrow else self.product_name.format("forward")
            arrays = (y, x.array, weight if self.gemm or self.narrow else packed, bias, *self.gemm)
            self.tape.forward.rows(kernel, *arrays, sizes=self._sizes(x.gap))
        self.tape.flops_per_row += 2 * self.steps * self.units * self.inputs

    def backward_input(self, dx: Array | None, dy: Rows, weight: Array, packed: Any) -> None:
        """dx = dy W, where anything needs it."""
        if dx is not None:
            arrays = (dx, dy.array, weight, *self.gemm)
            self.tape.backward.rows(self.product_name.format("backward_input"), *arrays, sizes=self._sizes(dy.gap))

    def weight_gradient(self, dW: Array, dy: Rows, x: Rows, tiles: Tiles) -> Op:
        """dW = dyᵀ x."""
        arrays = (dW, dy.array, x.array, tiles.rectangles, *self.gemm)
        cost = [n * self.tape.capacity * self.steps for n in tiles.elements]
        kernel = self.product_name.format("backward_weight")
        local = kernel == "dense_backward_weight" and self.units * self.inputs >= TILE_LOCAL_FROM
        return Op("tiles", kernel, arrays, self._sizes(dy.gap, x.gap), cost=cost, tiles=tiles.places, tile_local=local)

    def bias_gradient(self, db: Array, dy: Array | None, parameter: Parameter) -> Op:
        """db = Σ dy, as one tile."""
        size = parameter.size
        sizes = self._sizes() if self.steps > 1 else (self.units,)
        cost, tiles = [float(size * self.tape.capacity * self.steps)], [(parameter.offset, 1, size, size)]
        return Op("tiles", self.name.format("backward_bias"), (db, dy), sizes, cost=cost, tiles=tiles)

    def pack_direction(self, tape: TangentTape, weight: Array, tiles: Tiles) -> tuple[Array, Array]:
        """V, the direction's part for W, and its packed copy."""
        v, packed = tape.direction(weight), self.room_to_pack()
        tape.tangent_prepare.add(self.pack(packed, v, tiles))
        return v, packed

    def tangent_forward(
        self, tape: TangentTape, ty: Array, x: Signal, packed: Array | None, packed_v: Array, v_b: Array | None
    ) -> None:
        """R{y} = R{x} Wᵀ + x Vᵀ + v_b; of the data R{x} = 0."""
        arrays: tuple[Any, ...]
        kernel, arrays = "forward", (ty, x.value, packed_v, v_b)
        if x.tangent is not None:
            kernel, arrays = "tangent_forward", (ty, x.tangent, x.value, packed, packed_v, v_b)
        tape.tangent_forward.rows(self.name.format(kernel), *arrays, sizes=self._sizes())

    def tangent_backward_input(
        self, tape: TangentTape, x: Signal, tdy: Array, dy: Array | None, weight: Array, v: Array
    ) -> None:
        """R{dx} = R{dy} W + dy V, where x depends on θ."""
        if x.tangent is not None:
            arrays = (x.grad_tangent, tdy, dy, weight, v)
            tape.tangent_backward.rows(self.name.format("tangent_backward_input"), *arrays, sizes=self._sizes())

    def tangent_weight_gradient(
        self, product: Array, tdy: Array, dy: Array | None, x: Array, tx: Array | None, tiles: Tiles
    ) -> Op:
        """R{dW} = R{dy}ᵀ x + dyᵀ R{x}."""
        arrays: tuple[Any, ...]
        kernel, arrays = "backward_weight", (product, tdy, x, tiles.rectangles)
        if tx is not None:
            kernel, arrays = "tangent_backward_weight", (product, tdy, dy, x, tx, tiles.rectangles)
        cost = [2 * n * self.tape.capacity * self.steps for n in tiles.elements]
        return Op("tiles", self.name.format(kernel), arrays, self._sizes(), cost=cost)

    def _sizes(self, *gaps: int) -> tuple[int, ...]:
        """Sizes of an op: units, inputs and the gaps between the rows it reads; of sequences always two gaps, and steps."""
        steps = (*(0,) * (2 - len(gaps)), self.steps) if self.steps > 1 else ()
        return (self.units, self.inputs, *gaps, *steps)
