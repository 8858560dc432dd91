/* The products of dense.h on bfloat16 operands, with float sums.  A pair (bfloat16.h) is two neighbors along the sum:
 *
 *     x, dy    rows16[row][j / 2]           pairs along a row, for y = x W^T + b and dx = dy W
 *              pairs[panel][row / 2][j]     pairs of two rows, for dW = dy^T x
 *     W        packed[panel][j / 2][u]      pairs along the inputs, for y
 *              paired[panel][u / 2][j]      pairs of two units, for dx
 *
 * Panels have PANEL columns, u or j, the last one fewer.  An odd length is rounded up, with zeros. */

#define GEMM(f) f##_bfloat16
#define factor PAIR
#define factors PAIRS
#define MULTIPLY_ADD(c, a, b) NAME(multiply_add_pairs)(c, a, b)
#define PLAIN_ONLY
#include "../math/gemm.h"
#undef GEMM
#undef factor
#undef factors
#undef MULTIPLY_ADD
#undef PLAIN_ONLY

#define HALF(n) (((n) + 1) / 2)

/* One row as bfloat16, to a whole number of pairs */
NN_INLINE void NAME(row_to_bfloat16)(uint16_t *restrict to, const real *restrict from, int64_t n) {
    int64_t j = 0;
    for (; j + LANES <= n; j += LANES) NAME(store_bfloat16)(to + j, NAME(load)(from + j));
    if (j < n) {
        uint16_t rest[LANES];
        NAME(store_bfloat16)(rest, NAME(load_part)(from + j, (int)(n - j)));
        memcpy(to + j, rest, (size_t)(2 * HALF(n - j)) * sizeof(uint16_t));
    }
}

/* Pairs of columns [j, j + LANES) of two rows; `odd` may be missing, and columns from n on are 0 */
NN_INLINE vec NAME(pairs_of)(const real *restrict even, const real *restrict odd, int64_t j, int64_t n) {
    const int count = (int)MIN(LANES, n - j);
    return (vec)NAME(pair_up)(NAME(load_some)(even + j, count), odd ? NAME(load_some)(odd + j, count) : (vec){0});
}

/* Where pair k, column j is, of `depth` pairs in panels of columns, whose rows end in zeros, to whole vectors */
NN_INLINE PAIR *NAME(in_panel)(const PAIR *panels, int64_t k, int64_t j, int64_t depth, int64_t width) {
    const int64_t panel = j / PANEL * PANEL;
    return (PAIR *)panels + panel * depth + k * ROUND_UP(MIN(PANEL, width - panel), LANES) + j - panel;
}

/* Columns [j, j + PANEL) of rows [begin, end), begin even, to both forms; a panel at a time, so that few streams of memory are written */
NN_INLINE void NAME(rows_to_panel)(PAIR *restrict rows16, PAIR *restrict pairs, const real *restrict rows, int64_t begin, int64_t end,
                                   int64_t j, int64_t width, int64_t row16, int64_t room) {
    const int64_t count = MIN(PANEL, width - j);
    for (int64_t i = begin; i < end; i += 2) {
        const real *even = rows + i * width, *odd = i + 1 < end ? even + width : NULL;
        if (rows16) NAME(row_to_bfloat16)((uint16_t *)(rows16 + i * row16) + j, even + j, count);
        if (rows16 && odd) NAME(row_to_bfloat16)((uint16_t *)(rows16 + (i + 1) * row16) + j, odd + j, count);
        for (int64_t k = j; pairs && k < j + count; k += LANES)
            NAME(store)((real *)NAME(in_panel)(pairs, i / 2, k, room, width), NAME(pairs_of)(even, odd, k, width));
    }
}

#define TURN 8    /* rows that go through all panels together */

/* arrays: rows16 (rows, width / 2 + gap) or NULL, pairs or NULL, rows (rows, width); sizes: width, gap, pairs of rows that there is room for,
 * steps: a row of the batch is so many rows.  Blocks begin at even rows. */
static void NAME(op_rows_bfloat16)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {
    const int64_t width = op->size[0], row16 = HALF(width) + op->size[1], room = op->size[2], last = end * op->size[3];
    (void)context;
    for (int64_t i = begin * op->size[3]; i < last; i += TURN)
        for (int64_t j = 0; j < width; j += PANEL)
            NAME(rows_to_panel)(op->array[0], op->array[1], op->array[2], i, MIN(i + TURN, last), j, width, row16, room);
}
#undef TURN

/* packed, for units [u0, u1), inputs [j0, j1): blocks of LANES units and pairs are transposed in registers */
NN_INLINE void NAME(pack_pairs)(const int past, PAIR *restrict packed, const real *restrict w, int64_t u0, int64_t u1, int64_t j0,
                                int64_t j1, int64_t units, int64_t inputs) {
    PAIR rows[LANES * LANES], turned[LANES * LANES];
    for (int64_t panel = u0; panel < u1; panel += PANEL) {
        const int64_t width = MIN(PANEL, units - panel), stride = ROUND_UP(width, LANES);
        for (int64_t u = 0; u < width; u += LANES)
            for (int64_t j = j0; j < j1; j += 2 * LANES) {
                const int64_t height = MIN(LANES, width - u), count = MIN(2 * LANES, j1 - j), depth = HALF(count);
                PAIR *to = packed + panel * HALF(inputs) + j / 2 * stride + u;
                for (int64_t i = 0; i < height; i++)
                    NAME(row_to_bfloat16)((uint16_t *)(rows + i * LANES), w + (panel + u + i) * inputs + j, count);
                const int whole = depth == LANES;
                if (whole) NAME(transpose)((real *)to, stride, (const real *)rows, LANES, (int)height, LANES, past);
                else NAME(transpose)((real *)turned, LANES, (const real *)rows, LANES, (int)height, (int)depth, 0);
                for (int64_t p = 0; !whole && p < depth; p++) memcpy(to + p * stride, turned + p * LANES, LANES * sizeof(PAIR));
            }
    }
}

/* paired, for units [u0, u1), inputs [j0, j1) */
NN_INLINE void NAME(pair_units)(const int past, PAIR *restrict paired, const real *restrict w, int64_t u0, int64_t u1, int64_t j0,
                                int64_t j1, int64_t units, int64_t inputs) {
    for (int64_t u = u0; u < u1; u += 2) {
        const real *even = w + u * inputs, *odd = u + 1 < u1 ? even + inputs : NULL;
        for (int64_t j = j0; j < j1; j += LANES) {
            real *to = (real *)NAME(in_panel)(paired, u / 2, j, HALF(units), inputs);
            if (past) NAME(stream)(to, NAME(pairs_of)(even, odd, j, j1));
            else NAME(store)(to, NAME(pairs_of)(even, odd, j, j1));
        }
    }
}

/* arrays: packed, paired or NULL, W, tiles (tiles, 4) int64, whose corners are even; sizes: units, inputs.  `past`: with non-temporal stores,
 * as in pack_large_weight */
NN_INLINE void NAME(pack_tiles)(const int past, const nn_op *op, int64_t begin, int64_t end) {
    const int64_t units = op->size[0], inputs = op->size[1];
    for (int64_t t = begin; t < end; t++) {
        const NAME(rectangle) tile = ((const NAME(rectangle) *)op->array[3])[t];
        NAME(pack_pairs)(past, op->array[0], op->array[2], tile.u0, tile.u1, tile.j0, tile.j1, units, inputs);
        if (op->array[1]) NAME(pair_units)(past, op->array[1], op->array[2], tile.u0, tile.u1, tile.j0, tile.j1, units, inputs);
    }
    if (past) NN_FENCE();
}

static void NAME(op_pack_weight_bfloat16)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {
    (void)context;
    NAME(pack_tiles)(0, op, begin, end);
}

static void NAME(op_pack_large_weight_bfloat16)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {
    (void)context;
    NAME(pack_tiles)(1, op, begin, end);
}

/* y = x W^T + b.  arrays: y, x (rows16), packed, b or NULL; sizes: units, inputs, gap between rows of x */
static void NAME(op_dense_forward_bfloat16)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {
    const int64_t units = op->size[0], depth = HALF(op->size[1]), x_row = depth + op->size[2];
    const PAIR *x = (const PAIR *)op->array[1] + begin * x_row, *packed = op->array[2];
    const real *b = op->array[3];
    real *y = (real *)op->array[0] + begin * units;
    (void)context;
    for (int64_t u = 0; u < units; u += PANEL) {
        const int64_t width = MIN(PANEL, units - u);
        multiply_panel_bfloat16(end - begin, width, depth, x, x_row, 1, packed + u * depth, ROUND_UP(width, LANES), b ? b + u : NULL,
                                y + u, units);
    }
}

/* dx = dy W.  arrays: dx, dy (rows16), paired; sizes: units, inputs, gap between rows of dy */
static void NAME(op_dense_backward_input_bfloat16)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {
    const int64_t inputs = op->size[1], depth = HALF(op->size[0]), dy_row = depth + op->size[2];
    const PAIR *dy = (const PAIR *)op->array[1] + begin * dy_row, *paired = op->array[2];
    real *dx = (real *)op->array[0] + begin * inputs;
    (void)context;
    for (int64_t j = 0; j < inputs; j += PANEL) {
        const int64_t width = MIN(PANEL, inputs - j);
        multiply_panel_bfloat16(end - begin, width, depth, dy, dy_row, 1, paired + j * depth, ROUND_UP(width, LANES), NULL, dx + j,
                                inputs);
    }
}

/* dW = dy^T x.  arrays: dW, dy (pairs), x (pairs), tiles (tiles, 4) int64; sizes: units, inputs, pairs of rows that there is room for */
static void NAME(op_dense_backward_weight_bfloat16)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {
    const int64_t units = op->size[0], inputs = op->size[1], room = op->size[2];
    for (int64_t t = begin; t < end; t++) {
        const NAME(rectangle) tile = ((const NAME(rectangle) *)op->array[3])[t];
        real *all = (real *)op->array[0] + tile.u0 * inputs + tile.j0, *own = context->tile_gradient;
        const int64_t dw_row = own ? tile.j1 - tile.j0 : inputs;
        for (int64_t j = tile.j0, next; j < tile.j1; j = next) {
            next = MIN(j / PANEL * PANEL + PANEL, tile.j1);    /* a tile may begin in the middle of a panel */
            for (int64_t u = tile.u0; u < tile.u1; u += PANEL) {
                const int64_t height = MIN(PANEL, tile.u1 - u);
                multiply_panel_bfloat16(height, next - j, HALF(context->rows), NAME(in_panel)(op->array[1], 0, u, room, units), 1,
                                        ROUND_UP(MIN(PANEL, units - u), LANES), NAME(in_panel)(op->array[2], 0, j, room, inputs),
                                        ROUND_UP(MIN(PANEL, inputs - j / PANEL * PANEL), LANES), NULL,
                                        (own ? own : all) + (u - tile.u0) * dw_row + j - tile.j0, dw_row);
            }
        }
    }
}
