/* The forward product for few rows, which reads W only once, as in a prediction: y = x W^T + b without a persistent packed
 * copy. */

/* For at most this many rows and at least this many inputs, packing W costs more than the product, and the horizontal sum at the
 * end is cheap. */
#define FEW_ROWS 8
#define FEW_INPUTS 256

/* y = x W^T + b for `mr` rows and `nu` units, as dot products with one chain per lane.  W is read in place, along its rows. */
NN_INLINE void NAME(dot_rows)(const int mr, const int nu, real *restrict y, const real *restrict x, const real *restrict w,
                              const real *restrict b, int64_t inputs, int64_t y_row, int64_t x_row) {
    vec sum[4][4], row[4];
    NN_UNROLL for (int i = 0; i < mr; i++)
        NN_UNROLL for (int k = 0; k < nu; k++) sum[i][k] = (vec){0};
#define ADD_PRODUCTS(load)                                                                                                     \
    NN_UNROLL for (int i = 0; i < mr; i++) row[i] = load(x + i * x_row + p);                                                   \
    NN_UNROLL for (int k = 0; k < nu; k++) {                                                                                   \
        const vec weights = load(w + k * inputs + p);                                                                          \
        NN_UNROLL for (int i = 0; i < mr; i++) sum[i][k] += row[i] * weights;                                                  \
    }
#define LOAD_REST(from) NAME(load_part)(from, (int)(inputs - p))
    int64_t p = 0;
    for (; p + LANES <= inputs; p += LANES) { ADD_PRODUCTS(NAME(load)) }
    if (p < inputs) { ADD_PRODUCTS(LOAD_REST) }
#undef ADD_PRODUCTS
#undef LOAD_REST
    NN_UNROLL for (int i = 0; i < mr; i++)
        NN_UNROLL for (int k = 0; k < nu; k++) y[i * y_row + k] = NAME(sum_lanes)(sum[i][k]) + (b ? b[k] : 0);
}

/* Four units at a time: their rows of W stay in the first-level cache while the rows of x go by, four at a time too. */
static void NAME(dense_forward_few)(real *restrict y, const real *restrict x, const real *restrict w, const real *restrict b,
                                    int64_t rows, int64_t units, int64_t inputs, int64_t y_row, int64_t x_row) {
#define DOT_ROWS(mr, nu)                                                                                                       \
    NAME(dot_rows)(mr, nu, y + i * y_row + u, x + i * x_row, w + u * inputs, b ? b + u : NULL, inputs, y_row, x_row)
#define DOT_UNITS(nu)                                                                                                          \
    do {                                                                                                                       \
        int64_t i = 0;                                                                                                         \
        for (; i + 4 <= rows; i += 4) DOT_ROWS(4, nu);                                                                         \
        if (rows - i == 3) DOT_ROWS(3, nu);                                                                                    \
        else if (rows - i == 2) DOT_ROWS(2, nu);                                                                               \
        else if (rows - i == 1) DOT_ROWS(1, nu);                                                                               \
    } while (0)
    int64_t u = 0;
    for (; u + 4 <= units; u += 4) DOT_UNITS(4);
    for (; u < units; u++) DOT_UNITS(1);
#undef DOT_ROWS
#undef DOT_UNITS
}

/* y = x W^T + b, reading W only once: each panel is packed in blocks of DEPTH inputs, which stay in the first-level cache and
 * are used at once.  The sums continue in y, so they are those of dense_forward.  y, W and b point to the first unit. */
#define DEPTH 256
static void NAME(dense_forward_direct)(real *restrict y, const real *restrict x, const real *restrict w, const real *restrict b,
                                       int64_t rows, int64_t units, int64_t inputs, int64_t y_row, int64_t x_row) {
    real packed[PANEL * DEPTH];
    for (int64_t u = 0; u < units; u += PANEL) {
        const int64_t width = MIN(PANEL, units - u), stride = ROUND_UP(width, LANES);
        for (int64_t p = 0; p < inputs; p += DEPTH) {
            const int64_t depth = MIN(DEPTH, inputs - p);
            NAME(pack_blocks)(0, packed, w + u * inputs + p, 0, width, 0, depth, width, inputs);
            NAME(multiply_piece)(p, rows, width, depth, x + p, x_row, 1, packed, stride, b ? b + u : NULL, y + u, y_row);
        }
    }
}
#undef DEPTH

static void NAME(op_dense_forward_direct)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {
    const int64_t units = op->size[0], inputs = op->size[1], from = begin * op->size[3], to = MIN(end * op->size[3], units);
    const real *b = op->array[3];
    const int few = context->rows <= FEW_ROWS && inputs >= FEW_INPUTS;
    (few ? NAME(dense_forward_few) : NAME(dense_forward_direct))(
        (real *)op->array[0] + from, op->array[1], (const real *)op->array[2] + from * inputs, b ? b + from : NULL,
        context->rows, to - from, inputs, units, inputs + op->size[2]);
}
#undef FEW_ROWS
#undef FEW_INPUTS
