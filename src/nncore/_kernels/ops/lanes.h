/* Many tiny networks at once: one in each lane of a vector.  Signals and parameters have LANES numbers where those of one network
 * have one: x (rows, inputs, LANES), W (units, inputs, LANES).  Each number is the same chain of operations as in the kernels for one
 * network (dense.h), so its bits are the same.  Elementwise kernels run on such arrays as they are; kernels of whole rows, such as
 * those of losses, on the rows of all networks one after the other, (LANES, rows, width), to which `from_lanes` turns a signal.
 *
 * `context->rows` counts the rows of all networks. */

/* c_ab = first_b + sum over k of x_ak w_bk, in ascending k, for `na` times `nb` elements; strides in vectors */
NN_INLINE void NAME(lane_block)(const int na, const int nb, real *restrict c, const real *restrict x, const real *restrict w,
                                const real *restrict first, int64_t depth, int64_t c_a, int64_t c_b, int64_t x_a, int64_t x_k,
                                int64_t w_b, int64_t w_k) {
    vec sum[4][4], left[4];
    NN_UNROLL for (int a = 0; a < na; a++)
        NN_UNROLL for (int b = 0; b < nb; b++) sum[a][b] = first ? NAME(load)(first + b * LANES) : (vec){0};
    for (int64_t k = 0; k < depth; k++) {
        NN_UNROLL for (int a = 0; a < na; a++) left[a] = NAME(load)(x + (a * x_a + k * x_k) * LANES);
        NN_UNROLL for (int b = 0; b < nb; b++) {
            const vec right = NAME(load)(w + (b * w_b + k * w_k) * LANES);
            NN_UNROLL for (int a = 0; a < na; a++) sum[a][b] += left[a] * right;
        }
    }
    NN_UNROLL for (int a = 0; a < na; a++)
        NN_UNROLL for (int b = 0; b < nb; b++) NAME(store)(c + (a * c_a + b * c_b) * LANES, sum[a][b]);
}

static void NAME(lane_product)(real *restrict c, const real *restrict x, const real *restrict w, const real *restrict first,
                               int64_t as, int64_t bs, int64_t depth, int64_t c_a, int64_t c_b, int64_t x_a, int64_t x_k, int64_t w_b,
                               int64_t w_k) {
#define BLOCK(na, nb)                                                                                                          \
    NAME(lane_block)(na, nb, c + (a * c_a + b * c_b) * LANES, x + a * x_a * LANES, w + b * w_b * LANES,                        \
                     first ? first + b * LANES : NULL, depth, c_a, c_b, x_a, x_k, w_b, w_k)
    int64_t a = 0, b;
    for (; a + 4 <= as; a += 4) {
        for (b = 0; b + 4 <= bs; b += 4) BLOCK(4, 4);
        for (; b + 2 <= bs; b += 2) BLOCK(4, 2);
        for (; b < bs; b++) BLOCK(4, 1);
    }
    for (; a < as; a++) {
        for (b = 0; b + 4 <= bs; b += 4) BLOCK(1, 4);
        for (; b < bs; b++) BLOCK(1, 1);
    }
#undef BLOCK
}

/* y = x W^T + b; arrays: y, x, W, b or NULL; sizes: units, inputs */
static void NAME(op_lanes_dense_forward)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {
    const int64_t units = op->size[0], inputs = op->size[1], rows = (end - begin) / LANES;
    (void)context;
    NAME(lane_product)((real *)op->array[0] + begin * units, (const real *)op->array[1] + begin * inputs, op->array[2], op->array[3],
                       rows, units, inputs, units, 1, inputs, 1, inputs, 1);
}

/* y = x W^T + b   =>   dx = dy W */
static void NAME(op_lanes_dense_backward_input)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {
    const int64_t units = op->size[0], inputs = op->size[1], rows = (end - begin) / LANES;
    (void)context;
    NAME(lane_product)((real *)op->array[0] + begin * inputs, (const real *)op->array[1] + begin * units, op->array[2], NULL, rows,
                       inputs, units, inputs, 1, units, 1, 1, inputs);
}

/* y = x W^T + b   =>   dW = dy^T x over all rows in order; one tile */
static void NAME(op_lanes_dense_backward_weight)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {
    const int64_t units = op->size[0], inputs = op->size[1];
    if (begin == end) return;
    NAME(lane_product)(op->array[0], op->array[1], op->array[2], NULL, units, inputs, context->rows / LANES, inputs, 1, 1, units, 1,
                       inputs);
}

/* y = x W^T + b   =>   db = sum over the rows of dy, in the four chains of sum_rows; one tile */
static void NAME(op_lanes_dense_backward_bias)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {
    const int64_t units = op->size[0], rows = context->rows / LANES;
    const real *restrict dy = op->array[1];
    (void)begin, (void)end;
    for (int64_t u = 0; u < units; u++) {
        vec sum[4] = {{0}, {0}, {0}, {0}};
        for (int64_t i = 0; i < rows; i++) sum[i % 4] += NAME(load)(dy + (i * units + u) * LANES);
        NAME(store)((real *)op->array[0] + u * LANES, (sum[0] + sum[1]) + (sum[2] + sum[3]));
    }
}

/* softmax_cross_entropy_labels (losses.h) without smoothing and weights, of few classes: y, dy in lanes; labels and losses (LANES,
 * rows).  arrays: loss, dy, y, labels; sizes: width < NN_LONG */
static void NAME(op_lanes_softmax_cross_entropy)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {
    const int64_t width = op->size[0], rows = (end - begin) / LANES;
    double *restrict loss = (double *)op->array[0] + begin;
    real *restrict dy = (real *)op->array[1] + begin * width;
    const real *restrict y = (const real *)op->array[2] + begin * width;
    const int64_t *restrict label = (const int64_t *)op->array[3] + begin;
    const double scale = context->scale;
    const real step = (real)scale;
    enum { ROWS = 8, MOST = ROWS * LANES };    /* at a time: chains of several rows overlap */
    for (int64_t row = 0; row < rows; row += ROWS, y += ROWS * width * LANES, dy += ROWS * width * LANES) {
        const int64_t height = MIN(ROWS, rows - row), n = height * LANES, all = height * width * LANES;
        real top[MOST], share[MOST], log_sum[MOST];
        double sum[MOST];
        for (int64_t i = 0; i < height; i++)
            for (int l = 0; l < LANES; l++) top[i * LANES + l] = y[i * width * LANES + l];
        for (int64_t i = 0; i < height; i++)
            for (int64_t j = 1; j < width; j++)
                for (int l = 0; l < LANES; l++) {
                    const real z = y[(i * width + j) * LANES + l];
                    top[i * LANES + l] = z > top[i * LANES + l] ? z : top[i * LANES + l];
                }
        for (int64_t i = 0; i < height; i++)
            for (int64_t j = 0; j < width; j++)
                for (int l = 0; l < LANES; l++)
                    dy[(i * width + j) * LANES + l] = y[(i * width + j) * LANES + l] - top[i * LANES + l];
        for (int64_t k = 0; k < all; k++) dy[k] = NAME(nn_exp)(dy[k]);
        for (int64_t k = 0; k < n; k++) sum[k] = 0;
        for (int64_t i = 0; i < height; i++)
            for (int64_t j = 0; j < width; j++)
                for (int l = 0; l < LANES; l++) sum[i * LANES + l] += dy[(i * width + j) * LANES + l];
        for (int64_t k = 0; k < n; k++) log_sum[k] = NAME(nn_log)((real)sum[k]);
        for (int64_t k = 0; k < n; k++) share[k] = (real)(scale / sum[k]);
        for (int64_t i = 0; i < height; i++)
            for (int64_t j = 0; j < width; j++)
                for (int l = 0; l < LANES; l++) dy[(i * width + j) * LANES + l] *= share[i * LANES + l];
        for (int64_t i = 0; i < height; i++)
            for (int l = 0; l < LANES; l++) {
                const int64_t at = l * rows + row + i, own = (i * width + label[at]) * LANES + l;
                loss[at] = log_sum[i * LANES + l] + ((double)top[i * LANES + l] - y[own]);
                dy[own] -= step;
            }
    }
}

/* out (rows * width, LANES) = in (LANES, rows * width), its transpose; sizes: width */
static void NAME(op_to_lanes)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {
    const int64_t n = (end - begin) / LANES * op->size[0];
    real *restrict out = (real *)op->array[0] + begin * op->size[0];
    const real *restrict in = (const real *)op->array[1] + begin * op->size[0];
    (void)context;
    int64_t k = 0;
    for (; k + LANES <= n; k += LANES) NAME(transpose)(out + k * LANES, LANES, in + k, n, LANES, LANES, 0);
    for (; k < n; k++)
        for (int lane = 0; lane < LANES; lane++) out[k * LANES + lane] = in[lane * n + k];
}

/* out (LANES, rows * width) = in (rows * width, LANES); sizes: width */
static void NAME(op_from_lanes)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {
    const int64_t n = (end - begin) / LANES * op->size[0];
    real *restrict out = (real *)op->array[0] + begin * op->size[0];
    const real *restrict in = (const real *)op->array[1] + begin * op->size[0];
    (void)context;
    int64_t k = 0;
    for (; k + LANES <= n; k += LANES) NAME(transpose)(out + k, n, in + k * LANES, LANES, LANES, LANES, 0);
    for (; k < n; k++)
        for (int lane = 0; lane < LANES; lane++) out[lane * n + k] = in[k * LANES + lane];
}
