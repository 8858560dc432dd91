/* Many tiny networks at once: one in each lane of a vector.  Signals and parameters have LANES numbers where those of one network
 * have one: x (rows, inputs, LANES), W (units, inputs, LANES).  Each number is the same chain of operations as in the kernels for one
 * network (dense.h), so its bits are the same.  Elementwise kernels run on such arrays as they are; kernels of whole rows, such as
 * those of losses, on the rows of all networks side by side, (rows, LANES, width), from which `to_lanes` turns a signal.
 *
 * `context->rows` counts the rows of all networks.  A batch comes in parts, one after the other (lanes.py): a signal has the rows of a
 * part, and gradients of parameters are continued from those of the parts before. */

/* What becomes of an element of a product: itself, relu of it, or the gradient of relu's input, of which h is the output */
#if REAL_IS_FLOAT    /* the first time that this is included */
enum { NN_PLAIN, NN_RELU, NN_RELU_GRADIENT };
#endif

/* c_ab = first_ab + sum over k of x_ak w_bk, in ascending k, for `na` times `nb` elements; strides in vectors */
NN_INLINE void NAME(lane_block)(const int na, const int nb, const int ending, real *c, const real *restrict x,
                                const real *restrict w, const real *first, const real *restrict h, int64_t depth, int64_t c_a, int64_t c_b,
                                int64_t x_a, int64_t x_k, int64_t w_b, int64_t w_k, int64_t first_a, int64_t first_b) {
    vec sum[4][8], left[4];
    NN_UNROLL for (int a = 0; a < na; a++)
        NN_UNROLL for (int b = 0; b < nb; b++)
            sum[a][b] = first ? NAME(load)(first + (a * first_a + b * first_b) * LANES) : (vec){0};
    for (int64_t k = 0; k < depth; k++) {
        NN_UNROLL for (int a = 0; a < na; a++) left[a] = NAME(load)(x + (a * x_a + k * x_k) * LANES);
        NN_UNROLL for (int b = 0; b < nb; b++) {
            const vec right = NAME(load)(w + (b * w_b + k * w_k) * LANES);
            NN_UNROLL for (int a = 0; a < na; a++) sum[a][b] += left[a] * right;
        }
    }
    NN_UNROLL for (int a = 0; a < na; a++)
        NN_UNROLL for (int b = 0; b < nb; b++) {
            const int64_t at = (a * c_a + b * c_b) * LANES;
            vec result = sum[a][b];
            if (ending == NN_RELU) result = NAME(rectified)(result, result);
            if (ending == NN_RELU_GRADIENT) result = NAME(rectified)(result, NAME(load)(h + at));
            NAME(store)(c + at, result);
        }
}

NN_INLINE void NAME(lane_product)(const int ending, real *c, const real *restrict x, const real *restrict w, const real *first,
                                  const real *restrict h, int64_t as, int64_t bs, int64_t depth, int64_t c_a, int64_t c_b, int64_t x_a,
                                  int64_t x_k, int64_t w_b, int64_t w_k, int64_t first_a, int64_t first_b) {
#define BLOCK(na, nb)                                                                                                          \
    NAME(lane_block)(na, nb, ending, c + (a * c_a + b * c_b) * LANES, x + a * x_a * LANES, w + b * w_b * LANES,                \
                     first ? first + (a * first_a + b * first_b) * LANES : NULL, h ? h + (a * c_a + b * c_b) * LANES : NULL,   \
                     depth, c_a, c_b, x_a, x_k, w_b, w_k, first_a, first_b)
    int64_t a = 0, b;
    for (; a + 4 <= as; a += 4) {
        for (b = 0; b + 4 <= bs; b += 4) BLOCK(4, 4);
        for (; b + 2 <= bs; b += 2) BLOCK(4, 2);
        for (; b < bs; b++) BLOCK(4, 1);
    }
    for (; a + 2 <= as; a += 2) {
        for (b = 0; b + 8 <= bs; b += 8) BLOCK(2, 8);
        for (; b < bs; b++) BLOCK(2, 1);
    }
    for (; a < as; a++) {
        for (b = 0; b + 4 <= bs; b += 4) BLOCK(1, 4);
        for (; b < bs; b++) BLOCK(1, 1);
    }
#undef BLOCK
}

/* A loop over two products, of points in the plane or of two classes, is compiled as such. */
#define OF_TWO(product, ending, depth)                                                                                         \
    if ((depth) == 2) product(ending, op, begin, end, 2);                                                                      \
    else product(ending, op, begin, end, depth)

/* y = x W^T + b; arrays: y, x, W, b or NULL; sizes: units, inputs */
NN_INLINE void NAME(lanes_forward)(const int ending, const nn_op *op, int64_t begin, int64_t end, int64_t inputs) {
    const int64_t units = op->size[0], rows = (end - begin) / LANES;
    NAME(lane_product)(ending, (real *)op->array[0] + begin * units, (const real *)op->array[1] + begin * inputs, op->array[2],
                       op->array[3], NULL, rows, units, inputs, units, 1, inputs, 1, inputs, 1, 0, 1);
}

static void NAME(op_lanes_dense_forward)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {
    (void)context;
    OF_TWO(NAME(lanes_forward), NN_PLAIN, op->size[1]);
}

/* h = relu(x W^T + b) */
static void NAME(op_lanes_dense_relu_forward)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {
    (void)context;
    OF_TWO(NAME(lanes_forward), NN_RELU, op->size[1]);
}

/* y = x W^T + b   =>   dx = dy W; arrays: dx, dy, W, and h where x = h = relu(z) and dz is wanted instead */
NN_INLINE void NAME(lanes_backward_input)(const int ending, const nn_op *op, int64_t begin, int64_t end, int64_t units) {
    const int64_t inputs = op->size[1], rows = (end - begin) / LANES;
    NAME(lane_product)(ending, (real *)op->array[0] + begin * inputs, (const real *)op->array[1] + begin * units, op->array[2], NULL,
                       ending == NN_PLAIN ? NULL : (const real *)op->array[3] + begin * inputs, rows, inputs, units, inputs, 1,
                       units, 1, 1, inputs, 0, 0);
}

static void NAME(op_lanes_dense_backward_input)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {
    (void)context;
    OF_TWO(NAME(lanes_backward_input), NN_PLAIN, op->size[0]);
}

static void NAME(op_lanes_dense_relu_backward_input)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {
    (void)context;
    OF_TWO(NAME(lanes_backward_input), NN_RELU_GRADIENT, op->size[0]);
}

#undef OF_TWO

/* y = x W^T + b   =>   dW = dy^T x, of the rows up to these, in order */
static void NAME(op_lanes_dense_backward_weight)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {
    const int64_t units = op->size[0], inputs = op->size[1];
    real *dW = op->array[0];
    NAME(lane_product)(NN_PLAIN, dW, (const real *)op->array[1] + begin * units, (const real *)op->array[2] + begin * inputs,
                       context->first_row + begin ? dW : NULL, NULL, units, inputs, (end - begin) / LANES, inputs, 1, 1, units, 1,
                       inputs, inputs, 1);
}

/* y = x W^T + b   =>   db = sum of dy, of the rows up to these, in the four chains of sum_rows.  Rows that are not the last of a batch
 * come in multiples of four.  arrays: db, chains (units, 4, LANES), dy */
static void NAME(op_lanes_dense_backward_bias)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {
    const int64_t units = op->size[0], rows = (end - begin) / LANES;
    real *restrict db = op->array[0], *restrict chain = op->array[1];
    const real *restrict dy = (const real *)op->array[2] + begin * units;
    for (int64_t u = 0; u < units; u++, chain += 4 * LANES) {
        vec sum[4];
        NN_UNROLL for (int k = 0; k < 4; k++) sum[k] = context->first_row + begin ? NAME(load)(chain + k * LANES) : (vec){0};
        int64_t i = 0;
        for (; i + 4 <= rows; i += 4)
            NN_UNROLL for (int k = 0; k < 4; k++) sum[k] += NAME(load)(dy + ((i + k) * units + u) * LANES);
        NN_UNROLL for (int k = 0; k < 3; k++)
            if (i + k < rows) sum[k] += NAME(load)(dy + ((i + k) * units + u) * LANES);
        NN_UNROLL for (int k = 0; k < 4; k++) NAME(store)(chain + k * LANES, sum[k]);
        NAME(store)(db + u * LANES, (sum[0] + sum[1]) + (sum[2] + sum[3]));
    }
}

/* The sums (LANES,) of a record (rows, LANES), of the rows up to these, in the four chains of record_sum (executor.c): the last
 * rows, fewer than four, are all in the first one.  arrays: sums, chains (4, LANES), record, double */
static void NAME(op_lanes_sums)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {
    double *restrict sums = op->array[0], *restrict chains = op->array[1];
    const double *restrict record = (const double *)op->array[2] + begin;
    const int64_t n = end - begin, whole = n / (4 * LANES) * (4 * LANES);
    if (context->first_row + begin == 0)
        for (int k = 0; k < 4 * LANES; k++) chains[k] = 0;
    for (int64_t at = 0; at < whole; at += 4 * LANES)
        for (int k = 0; k < 4 * LANES; k++) chains[k] += record[at + k];
    for (int64_t at = whole; at < n; at += LANES)
        for (int l = 0; l < LANES; l++) chains[l] += record[at + l];
    for (int l = 0; l < LANES; l++) sums[l] = (chains[l] + chains[LANES + l]) + (chains[2 * LANES + l] + chains[3 * LANES + l]);
}

/* softmax_cross_entropy_labels (losses.h) without smoothing and weights, of few classes.  Passes over some rows at a time: chains of
 * several rows overlap, and no product is fused with the difference that follows it. */
NN_INLINE void NAME(lane_softmax)(double *restrict loss, real *restrict dy, const real *restrict y, const int64_t *restrict label,
                                  double scale, int64_t rows, int64_t width) {
    enum { ROWS = 8, MOST = ROWS * LANES };
    real top[MOST], share[MOST], log_sum[MOST], chosen[MOST], power[MOST];
    integer own[MOST];
    double sum[MOST];
    for (int64_t row = 0; row < rows; row += ROWS) {
        const int64_t height = MIN(ROWS, rows - row), n = height * LANES;
        for (int64_t k = 0; k < n; k++) own[k] = (integer)label[k];
        for (int64_t k = 0; k < n; k += LANES) {
            const real *z = y + k * width;
            const ivec class = *(const ivec *)(own + k);
            vec largest = NAME(load)(z), mine = largest;
            for (int64_t j = 1; j < width; j++) {
                const vec other = NAME(load)(z + j * LANES);
                largest = NAME(choose)((ivec)(other > largest), other, largest);
                mine = NAME(choose)((ivec)(class == (integer)j), other, mine);
            }
            NAME(store)(top + k, largest), NAME(store)(chosen + k, mine);
            for (int64_t j = 0; j < width; j++) NAME(store)(dy + k * width + j * LANES, NAME(load)(z + j * LANES) - largest);
        }
        if (width == 2) {    /* e^0 = 1 of the larger one */
            for (int64_t k = 0; k < n; k += LANES) NAME(store)(power + k, NAME(load)(dy + 2 * k) + NAME(load)(dy + 2 * k + LANES));
            for (int64_t k = 0; k < n; k++) power[k] = NAME(nn_exp)(power[k]);
            for (int64_t k = 0; k < n; k++) sum[k] = 1 + (double)power[k];
            for (int64_t k = 0; k < n; k += LANES) {
                const ivec rises = (ivec)(NAME(load)(dy + 2 * k) < 0);
                const vec one = NAME(broadcast)(1), e = NAME(load)(power + k);
                NAME(store)(dy + 2 * k, NAME(choose)(rises, e, one)), NAME(store)(dy + 2 * k + LANES, NAME(choose)(rises, one, e));
            }
        } else {
            for (int64_t k = 0; k < n * width; k++) dy[k] = NAME(nn_exp)(dy[k]);
            for (int64_t k = 0; k < n; k++) sum[k] = 0;
            for (int64_t k = 0; k < n; k += LANES)
                for (int64_t j = 0; j < width; j++)
                    for (int l = 0; l < LANES; l++) sum[k + l] += dy[k * width + j * LANES + l];
        }
        for (int64_t k = 0; k < n; k++) log_sum[k] = NAME(nn_log_from_one)((real)sum[k]);
        for (int64_t k = 0; k < n; k++) loss[k] = log_sum[k] + ((double)top[k] - chosen[k]);
        for (int64_t k = 0; k < n; k++) share[k] = (real)(scale / sum[k]);
        for (int64_t k = 0; k < n; k += LANES)
            for (real *out = dy + k * width; out < dy + (k + LANES) * width; out += LANES)
                NAME(store)(out, NAME(load)(out) * NAME(load)(share + k));
        for (int64_t k = 0; k < n; k += LANES)
            for (int64_t j = 0; j < width; j++) {
                real *out = dy + k * width + j * LANES;
                const ivec here = *(const ivec *)(own + k) == (integer)j;
                NAME(store)(out, NAME(load)(out) - NAME(choose)(here, NAME(broadcast)((real)scale), (vec){0}));
            }
        loss += n, label += n, y += n * width, dy += n * width;
    }
}

/* arrays: loss, dy, y, labels; sizes: width < NN_LONG */
static void NAME(op_lanes_softmax_cross_entropy)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {
    const int64_t width = op->size[0], rows = (end - begin) / LANES;
    double *loss = (double *)op->array[0] + begin;
    real *dy = (real *)op->array[1] + begin * width;
    const real *y = (const real *)op->array[2] + begin * width;
    const int64_t *label = (const int64_t *)op->array[3] + begin;
    if (width == 2) NAME(lane_softmax)(loss, dy, y, label, context->scale, rows, 2);
    else NAME(lane_softmax)(loss, dy, y, label, context->scale, rows, width);
}

/* out (rows, columns) = the transpose of in (columns, rows), of which one is LANES */
NN_INLINE void NAME(turn)(real *restrict out, const real *restrict in, int64_t rows, int64_t columns) {
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < columns; j++) out[i * columns + j] = in[j * rows + i];
}

/* Row by row (width, LANES) = in (LANES, width), its transpose; sizes: width */
static void NAME(op_to_lanes)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {
    const int64_t width = op->size[0];
    real *out = (real *)op->array[0] + begin * width, *stop = (real *)op->array[0] + end * width;
    const real *in = (const real *)op->array[1] + begin * width;
    (void)context;
    for (; out < stop; out += width * LANES, in += width * LANES) {
        int64_t j = 0;
        for (; j + LANES <= width; j += LANES) NAME(transpose)(out + j * LANES, LANES, in + j, width, LANES, LANES, 0);
        if (width == 2) NAME(turn)(out, in, 2, LANES);
        else
            for (; j < width; j++)
                for (int l = 0; l < LANES; l++) out[j * LANES + l] = in[l * width + j];
    }
}

/* Row by row (LANES, width) = in (width, LANES); sizes: width */
static void NAME(op_from_lanes)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {
    const int64_t width = op->size[0];
    real *out = (real *)op->array[0] + begin * width, *stop = (real *)op->array[0] + end * width;
    const real *in = (const real *)op->array[1] + begin * width;
    (void)context;
    for (; out < stop; out += width * LANES, in += width * LANES) {
        int64_t j = 0;
        for (; j + LANES <= width; j += LANES) NAME(transpose)(out + j, width, in + j * LANES, LANES, LANES, LANES, 0);
        if (width == 2) NAME(turn)(out, in, LANES, 2);
        else
            for (; j < width; j++)
                for (int l = 0; l < LANES; l++) out[l * width + j] = in[j * LANES + l];
    }
}
