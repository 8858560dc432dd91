"""The products of a layer with weights on bfloat16 operands: the same three as those of `Products`, with sums in float32."""

from __future__ import annotations

from typing import Any, NamedTuple

from nncore import _kernels
from nncore._kernels.program import CACHE_LINE
from nncore.layers.base import Array
from nncore.layers.products import CONFLICTING_STRIDE, PACK_COST, PACK_LARGE_FROM, TILE_LOCAL_FROM, Products, Rows, Tiles
from nncore.program.ops import Op, Pass
from nncore.program.tape import TangentTape, Tape

__all__ = ["HalfProducts", "products_of"]

SMALLEST = 64  # with fewer units or inputs, converting costs as much as the faster products save
PAIR = "int32"  # two bfloat16 numbers


def products_of(tape: Tape, units: int, inputs: int, steps: int = 1) -> Products:
    """The products of a layer with W (units, inputs), in the model's ``compute_dtype``; for curvature, in its ``dtype``."""
    half = tape.compute_dtype == "bfloat16" and min(units, inputs) >= SMALLEST and not isinstance(tape, TangentTape)
    return (HalfProducts if half else Products)(tape, units, inputs, steps)


class HalfWeights(NamedTuple):
    """The copies of W that products read: pairs along the inputs, and pairs of two units."""

    packed: Array
    paired: Array | None


class HalfProducts(Products):
    """The products of `Products` with operands rounded to bfloat16: 8 bits of precision, the range of float32.

    x and dy are rounded once, block by block, before the first product that reads them; W once a step, after its update.
    """

    packs_with_weight = False

    def __init__(self, tape: Tape, units: int, inputs: int, steps: int = 1) -> None:
        super().__init__(tape, units, inputs, steps)
        self.product_name, self.gemm = self.name + "_bfloat16", ()
        self.direct, self.narrow, self.packs = False, False, True

    def room_to_pack(self) -> HalfWeights:
        arena, depth = self.tape.arena, -(-self.inputs // 2)
        packed = arena.take(_kernels.packed_size(self.units, depth), PAIR)
        backward = self.tape.gradients
        return HalfWeights(
            packed, arena.take(_kernels.packed_size(self.inputs, -(-self.units // 2)), PAIR) if backward else None
        )

    def pack(self, packed: Any, weight: Array, tiles: Tiles) -> Op:
        cost = [PACK_COST * n for n in tiles.elements]
        kernel = f"pack_{'large_' * (self.units * self.inputs >= PACK_LARGE_FROM)}weight_bfloat16"
        return Op("tiles", kernel, (*packed, weight, tiles.rectangles), (self.units, self.inputs), cost=cost)

    def rows(self, array: Array | None, part: Pass, *, weights: int | None = None, along: bool = True) -> Rows:
        """The rows of an array in bfloat16, by an op of the pass ``part``: pairs along each row, and pairs of two rows, as
        far as products read them."""
        if array is None:
            return Rows(None)
        tape, width = self.tape, array.shape[1] // self.steps
        depth, row_pairs = -(-width // 2), -(-tape.capacity * self.steps // 2)
        gap = 0 if 4 * depth % (CONFLICTING_STRIDE // 2) else CACHE_LINE // 4
        rows = tape.arena.take((tape.capacity, self.steps * (depth + gap)), PAIR) if along else None
        pairs = tape.arena.take(_kernels.packed_size(width, row_pairs), PAIR) if tape.gradients else None
        part.rows("rows_bfloat16", rows, pairs, array, sizes=(width, gap, row_pairs, self.steps))
        return Rows(rows, gap, pairs, row_pairs)

    def forward(self, y: Array, x: Rows, weight: Array, packed: Any, bias: Array | None) -> None:
        self.tape.forward.rows(self.product_name.format("forward"), y, x.array, packed.packed, bias, sizes=self._sizes(x.gap))
        self.tape.flops_per_row += 2 * self.steps * self.units * self.inputs

    def backward_input(self, dx: Array | None, dy: Rows, weight: Array, packed: Any) -> None:
        if dx is not None:
            self.tape.backward.rows(
                self.product_name.format("backward_input"), dx, dy.array, packed.paired, sizes=self._sizes(dy.gap)
            )

    def weight_gradient(self, dW: Array, dy: Rows, x: Rows, tiles: Tiles) -> Op:
        cost = [n * self.tape.capacity * self.steps for n in tiles.elements]
        local = self.steps == 1 and self.units * self.inputs >= TILE_LOCAL_FROM
        arrays, sizes = (dW, dy.pairs, x.pairs, tiles.rectangles), self._sizes(dy.row_pairs)
        return Op(
            "tiles", self.product_name.format("backward_weight"), arrays, sizes, cost=cost, tiles=tiles.places, tile_local=local
        )
