/* The dense layer: x (rows, inputs), W (units, inputs), b (units,), y (rows, units).
 *
 * The forward product reads W by columns, so it works on a packed copy: panels of PANEL units, transposed,
 *     packed[panel][p][u] = W[panel * PANEL + u, p],     u < width of the panel; its rows end in zeros, to whole vectors.
 * The backward products read W, x and dy in place.
 *
 * Rows of x and dy at a stride that is a multiple of 4096 bytes map to the same few sets of the first-level cache, which
 * hold less than a micro-kernel reads at once (conflict misses).  So the strides x_row and dy_row are parameters: the layer spreads
 * such rows (layers/products.py). */

#define PANEL (NV * LANES)
_Static_assert(NN_MOST_LANES % LANES == 0 && NN_MOST_PANEL % PANEL == 0, "layout.h");
#define ROUND_UP(n, m) (((n) + (m) - 1) / (m) * (m))
#define MIN(a, b) ((a) < (b) ? (a) : (b))

/* y = x W^T + b */
static void NAME(dense_forward)(real *restrict y, const real *restrict x, const real *restrict packed, const real *restrict b,
                                int64_t rows, int64_t units, int64_t inputs, int64_t x_row) {
    for (int64_t u = 0; u < units; u += PANEL) {
        const int64_t width = MIN(PANEL, units - u);
        NAME(multiply_panel)(rows, width, inputs, x, x_row, 1, packed + u * inputs, ROUND_UP(width, LANES), b ? b + u : NULL,
                             y + u, units);
    }
}

/* The same for so few units that vectors of units would be mostly empty: the transpose, y^T = W x^T + b, which reads W in
 * place.  Each number is the same chain of multiply-adds. */
#define NARROW 16    /* maximum number of units */
#define NARROW_DEPTH 64    /* full blocks of LANES */
static void NAME(dense_forward_narrow)(real *restrict y, const real *restrict x, const real *restrict w, const real *restrict b,
                                       int64_t rows, int64_t units, int64_t inputs, int64_t x_row) {
    real turned[NARROW_DEPTH * PANEL], sum[NARROW * PANEL];
    for (int64_t i = 0; i < rows; i += PANEL) {
        const int64_t height = MIN(PANEL, rows - i);
        for (int64_t u = 0; u < units; u++)
            for (int64_t k = 0; k < PANEL; k++) sum[u * PANEL + k] = b ? b[u] : 0;
        for (int64_t p = 0; p < inputs; p += NARROW_DEPTH) {
            const int64_t depth = MIN(NARROW_DEPTH, inputs - p);
            for (int64_t k = 0; k < height; k += LANES)
                for (int64_t q = 0; q < depth; q += LANES)
                    NAME(transpose)(turned + q * PANEL + k, PANEL, x + (i + k) * x_row + p + q, x_row, (int)MIN(LANES, height - k),
                                    (int)MIN(LANES, depth - q), 0);
            NAME(add_panel)(units, height, depth, w + p, inputs, 1, turned, PANEL, sum, PANEL);
        }
        for (int64_t k = 0; k < height; k++)
            for (int64_t u = 0; u < units; u++) y[(i + k) * units + u] = sum[u * PANEL + k];
    }
}
#undef NARROW
#undef NARROW_DEPTH

#if NN_VECTOR_BYTES < 64
/* Copy n reals; if n equals the constant `usual`, which is the common case, without a call */
NN_INLINE void NAME(copy_mostly)(const int usual, real *restrict to, const real *restrict from, int64_t n) {
    if (n == usual) memcpy(to, from, (size_t)usual * sizeof(real));
    else memcpy(to, from, (size_t)n * sizeof(real));
}

/* dx = dy W, with each panel of W first copied to contiguous rows, in blocks of COPIED units.  A panel of narrow vectors uses only
 * one line of each row of W; lines so far apart leave the caches before the next group of rows of dy reads them. */
#define COPIED 1024
static void NAME(dense_backward_input_copied)(real *restrict dx, const real *restrict dy, const real *restrict w, int64_t rows,
                                              int64_t units, int64_t inputs, int64_t dy_row) {
    real panel[COPIED * PANEL];
    for (int64_t j = 0; j < inputs; j += PANEL)
        for (int64_t p = 0; p < units; p += COPIED) {
            const int64_t width = MIN(PANEL, inputs - j), steps = MIN(COPIED, units - p);
            for (int64_t k = 0; k < steps; k++) {
                const real *from = w + (p + k) * inputs + j;
                NN_PREFETCH_FAR(from + 32 * inputs);
                NAME(copy_mostly)(PANEL, panel + k * PANEL, from, width);
            }
            NAME(multiply_piece)(p, rows, width, steps, dy + p, dy_row, 1, panel, PANEL, NULL, dx + j, inputs);
        }
}
#undef COPIED
#endif

/* y = x W^T + b   =>   dx = dy W */
static void NAME(dense_backward_input)(real *restrict dx, const real *restrict dy, const real *restrict w, int64_t rows,
                                       int64_t units, int64_t inputs, int64_t dy_row) {
#if NN_VECTOR_BYTES < 64
    if (units >= 256 && rows > 4 * MR) {    /* otherwise a panel stays in the first-level cache, or is read too rarely */
        NAME(dense_backward_input_copied)(dx, dy, w, rows, units, inputs, dy_row);
        return;
    }
#endif
    for (int64_t j = 0; j < inputs; j += PANEL)
        NAME(multiply_far_panel)(rows, MIN(PANEL, inputs - j), units, dy, dy_row, 1, w + j, inputs,
                                 w + (j + PANEL < inputs ? j + PANEL : 0), dx + j, inputs);
}

#if NN_VECTOR_BYTES < 64
/* dW, with the columns of dy of each group of MR units first copied to contiguous memory.  Without the copy, a group reads a part
 * of a line of each row, and narrow vectors use it for few inputs before the next group evicts it from the first-level cache. */
#define COPIED_INPUTS 192    /* fewer do not pay for the copying, unless rows of dy share few sets of the cache: */
#define CROWDED_INPUTS 128
#define CROWDED_ROWS 64
#define CROWDED_STRIDE (512 / (int64_t)sizeof(real))
#define COPIED_UNITS ROUND_UP(64, MR)
#define COPIED_ROWS (1024 / (int)sizeof(real))
static void NAME(dense_backward_weight_copied)(real *restrict dw, const real *restrict dy, const real *restrict x, int64_t units,
                                               int64_t inputs, int64_t rows, int64_t dw_row, int64_t dy_row, int64_t x_row) {
    real copy[COPIED_UNITS * COPIED_ROWS];    /* (groups, rows, units of a group) */
    for (int64_t p = 0; p < rows; p += COPIED_ROWS) {
        const int64_t depth = MIN(COPIED_ROWS, rows - p);
        for (int64_t u = 0; u < units; u += MR) {
            const int64_t width = MIN(MR, units - u);
            for (int64_t k = 0; k < depth; k++)
                NAME(copy_mostly)(MR, copy + u * depth + k * width, dy + (p + k) * dy_row + u, width);
        }
        for (int64_t j = 0; j < inputs; j += PANEL)
            for (int64_t u = 0; u < units; u += MR) {
                const int64_t width = MIN(MR, units - u), columns = MIN(PANEL, inputs - j);
                NAME(multiply_piece)(p, width, columns, depth, copy + u * depth, 1, width, x + p * x_row + j, x_row, NULL,
                                     dw + u * dw_row + j, dw_row);
            }
    }
}
#endif

/* dW of so many rows that a panel of x, and the columns of dy that go with it, would leave the caches before they are read again: DEEP
 * rows at a time.  Meanwhile it fetches these columns of the next DEEP rows, parts of lines far apart, a share with each panel. */
#define DEEP 256
#define DEEP_FROM 1024    /* rows, if those of dy are this far apart: */
#define FAR_APART (512 / (int64_t)sizeof(real))
static void NAME(dense_backward_weight_deep)(real *restrict dw, const real *restrict dy, const real *restrict x, int64_t units,
                                             int64_t inputs, int64_t rows, int64_t dw_row, int64_t dy_row, int64_t x_row) {
    const int64_t panels = ROUND_UP(inputs, PANEL) / PANEL, share = ROUND_UP(DEEP, panels) / panels;
    for (int64_t p = 0, next = DEEP; p < rows; p += DEEP, next = p + DEEP)
        for (int64_t j = 0; j < inputs; j += PANEL) {
            for (const int64_t stop = MIN(next + share, rows); next < stop; next++)
                for (int64_t u = 0; u < units; u += 64 / (int64_t)sizeof(real)) NN_PREFETCH_FAR(dy + next * dy_row + u);
            NAME(multiply_piece)(p, units, MIN(PANEL, inputs - j), MIN(DEEP, rows - p), dy + p * dy_row, 1, dy_row,
                                 x + p * x_row + j, x_row, NULL, dw + j, dw_row);
        }
}

/* y = x W^T + b   =>   dW = dy^T x over all rows in order, for the rectangle at dw; dy and x point to its first unit and
 * input */
static void NAME(dense_backward_weight)(real *restrict dw, const real *restrict dy, const real *restrict x, int64_t units,
                                        int64_t inputs, int64_t rows, int64_t dw_row, int64_t dy_row, int64_t x_row) {
#if NN_VECTOR_BYTES < 64
    if (inputs >= COPIED_INPUTS || (inputs >= CROWDED_INPUTS && rows >= CROWDED_ROWS && dy_row % CROWDED_STRIDE == 0)) {
        for (int64_t u = 0; u < units; u += COPIED_UNITS)
            NAME(dense_backward_weight_copied)(dw + u * dw_row, dy + u, x, MIN(COPIED_UNITS, units - u), inputs, rows, dw_row, dy_row,
                                               x_row);
        return;
    }
#endif
    if (inputs > LANES / 4 || units < LANES / 2) {
        if (rows > DEEP_FROM && dy_row >= FAR_APART) {
            NAME(dense_backward_weight_deep)(dw, dy, x, units, inputs, rows, dw_row, dy_row, x_row);
            return;
        }
        for (int64_t j = 0; j < inputs; j += PANEL) {    /* prefetching the next panel of x: 8 % faster in double, 2 % slower in float */
            const int64_t width = MIN(PANEL, inputs - j), next = j + PANEL < inputs ? j + PANEL : 0;
            if (REAL_IS_FLOAT) NAME(multiply_panel)(units, width, rows, dy, 1, dy_row, x + j, x_row, NULL, dw + j, dw_row);
            else NAME(multiply_far_panel)(units, width, rows, dy, 1, dy_row, x + j, x_row, x + next, dw + j, dw_row);
        }
        return;
    }
    /* Vectors of so few inputs would be mostly empty: compute x^T dy and transpose it. */
    real transposed[(LANES / 4 + 1) * PANEL];
    for (int64_t u = 0; u < units; u += PANEL) {
        const int64_t width = MIN(PANEL, units - u);
        NAME(multiply_panel)(inputs, width, rows, x, 1, x_row, dy + u, dy_row, NULL, transposed, PANEL);
        for (int64_t i = 0; i < width; i++)
            for (int64_t j = 0; j < inputs; j++) dw[(u + i) * dw_row + j] = transposed[j * PANEL + i];
    }
}
#undef COPIED_INPUTS
#undef CROWDED_INPUTS
#undef CROWDED_ROWS
#undef CROWDED_STRIDE
#undef COPIED_UNITS
#undef COPIED_ROWS
#undef DEEP
#undef DEEP_FROM
#undef FAR_APART

/* Sums over the rows for `count` vectors of columns, the last with only `last` columns, in four chains: rows 0, 4, 8, ...;
 * 1, 5, 9, ...; and so on */
NN_INLINE void NAME(sum_rows)(const int count, real *restrict db, const real *restrict dy, int64_t rows, int64_t units, int last) {
    vec sum[4][4];
    NN_UNROLL for (int k = 0; k < count; k++) sum[0][k] = sum[1][k] = sum[2][k] = sum[3][k] = (vec){0};
#define COLUMNS(k) NAME(load_some)(row + (k) * LANES, (k) == count - 1 ? last : LANES)
    int64_t i = 0;
    for (; i + 4 <= rows; i += 4)
        NN_UNROLL for (int chain = 0; chain < 4; chain++) {
            const real *row = dy + (i + chain) * units;
            NN_UNROLL for (int k = 0; k < count; k++) sum[chain][k] += COLUMNS(k);
        }
    for (; i < rows; i++) {
        const real *row = dy + i * units;
        NN_UNROLL for (int k = 0; k < count; k++) sum[i % 4][k] += COLUMNS(k);
    }
#undef COLUMNS
    NN_UNROLL for (int k = 0; k < count; k++) {
        const vec total = (sum[0][k] + sum[1][k]) + (sum[2][k] + sum[3][k]);
        if (k == count - 1 && last < LANES) NAME(store_part)(db + k * LANES, total, last);
        else NAME(store)(db + k * LANES, total);
    }
}

/* y = x W^T + b   =>   db = sum over the rows of dy; four vectors of columns at a time, so that each row is read in long contiguous
 * ranges */
static void NAME(dense_backward_bias)(real *restrict db, const real *restrict dy, int64_t rows, int64_t units) {
    int64_t u = 0;
    for (; u + 4 * LANES <= units; u += 4 * LANES) NAME(sum_rows)(4, db + u, dy + u, rows, units, LANES);
    for (; u < units; u += LANES) NAME(sum_rows)(1, db + u, dy + u, rows, units, (int)MIN(LANES, units - u));
}

/* The part of the packed copy that holds units [u0, u1), inputs [j0, j1); u0 is the start of a panel.
 * Blocks of LANES inputs are transposed in registers, those of a panel side by side. */
NN_INLINE void NAME(pack_blocks)(const int past, real *restrict packed, const real *restrict w, int64_t u0, int64_t u1, int64_t j0,
                                 int64_t j1, int64_t units, int64_t inputs) {
    const int64_t whole = j0 + (j1 - j0) / LANES * LANES;
    for (int64_t panel = u0; panel < u1; panel += PANEL) {
        const int64_t width = MIN(PANEL, units - panel), stride = ROUND_UP(width, LANES);
        real *to = packed + panel * inputs;
        const real *from = w + panel * inputs;
        for (int64_t j = j0; j < whole; j += LANES)
            for (int64_t u = 0; u < width; u += LANES) {
                real *block = to + j * stride + u;
                const real *rows = from + u * inputs + j;
                if (u + LANES <= width) NAME(transpose)(block, stride, rows, inputs, LANES, LANES, past);
                else NAME(transpose)(block, stride, rows, inputs, (int)(width - u), LANES, past);
            }
        for (int64_t u = 0; u < stride; u++)
            for (int64_t j = whole; j < j1; j++) to[j * stride + u] = u < width ? from[u * inputs + j] : 0;
    }
}

static void NAME(pack_weight)(real *restrict packed, const real *restrict w, int64_t u0, int64_t u1, int64_t j0, int64_t j1,
                              int64_t units, int64_t inputs) {
    NAME(pack_blocks)(0, packed, w, u0, u1, j0, j1, units, inputs);
}

/* The same with non-temporal stores, for a copy that would leave the caches before it is read; `packed` is aligned to vectors */
static void NAME(pack_large_weight)(real *restrict packed, const real *restrict w, int64_t u0, int64_t u1, int64_t j0, int64_t j1,
                                    int64_t units, int64_t inputs) {
    NAME(pack_blocks)(1, packed, w, u0, u1, j0, j1, units, inputs);
    NN_FENCE();
}

static void NAME(op_dense_forward)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {
    const int64_t units = op->size[0], inputs = op->size[1], x_row = inputs + op->size[2];
    (void)context;
    NAME(dense_forward)((real *)op->array[0] + begin * units, (const real *)op->array[1] + begin * x_row, op->array[2],
                        op->array[3], end - begin, units, inputs, x_row);
}

/* arrays: y, x, W, b or NULL; sizes: units <= NARROW, inputs, gap between rows of x */
static void NAME(op_dense_forward_narrow)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {
    const int64_t units = op->size[0], inputs = op->size[1], x_row = inputs + op->size[2];
    (void)context;
    NAME(dense_forward_narrow)((real *)op->array[0] + begin * units, (const real *)op->array[1] + begin * x_row, op->array[2],
                               op->array[3], end - begin, units, inputs, x_row);
}

static void NAME(op_dense_backward_input)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {
    const int64_t units = op->size[0], inputs = op->size[1], dy_row = units + op->size[2];
    (void)context;
    NAME(dense_backward_input)((real *)op->array[0] + begin * inputs, (const real *)op->array[1] + begin * dy_row, op->array[2],
                               end - begin, units, inputs, dy_row);
}

/* The tiles of W: a table of rectangles, units [u0, u1) by inputs [j0, j1). */
typedef struct { int64_t u0, u1, j0, j1; } NAME(rectangle);

/* arrays: dW, dy, x, tiles (tiles, 4) int64; sizes: units, inputs, gap between rows of dy, of x */
static void NAME(op_dense_backward_weight)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {
    const int64_t inputs = op->size[1], dy_row = op->size[0] + op->size[2], x_row = inputs + op->size[3];
    for (int64_t t = begin; t < end; t++) {
        const NAME(rectangle) tile = ((const NAME(rectangle) *)op->array[3])[t];
        const int64_t width = tile.j1 - tile.j0;
        real *all = (real *)op->array[0] + tile.u0 * inputs + tile.j0, *own = context->tile_gradient;
        NAME(dense_backward_weight)(own ? own : all, (const real *)op->array[1] + tile.u0, (const real *)op->array[2] + tile.j0,
                                    tile.u1 - tile.u0, width, context->rows, own ? width : inputs, dy_row, x_row);
    }
}

/* arrays: packed, W, tiles (tiles, 4) int64; sizes: units, inputs */
#define PACK_OP(kernel)                                                                                                        \
    static void NAME(op_##kernel)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {                    \
        const NAME(rectangle) *tiles = op->array[2];                                                                           \
        (void)context;                                                                                                         \
        for (int64_t t = begin; t < end; t++)                                                                                  \
            NAME(kernel)(op->array[0], op->array[1], tiles[t].u0, tiles[t].u1, tiles[t].j0, tiles[t].j1, op->size[0],          \
                         op->size[1]);                                                                                         \
    }
PACK_OP(pack_weight)
PACK_OP(pack_large_weight)
#undef PACK_OP

/* arrays: db, dy; sizes: units; one tile */
static void NAME(op_dense_backward_bias)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {
    (void)begin, (void)end;
    NAME(dense_backward_bias)(op->array[0], op->array[1], context->rows, op->size[0]);
}
