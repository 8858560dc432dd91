/* Noise on activations.  Element i of the batch (row * width + column) uses the random number of address i (random.h); the
 * backward kernels draw the same numbers again.  Kernels process elements [begin, end) of the arrays of the whole batch. */

/* ---- dropout: y_i = 0 with probability rate, otherwise scale x_i (Srivastava et al. 2014) ---------------------- */

/* threshold = rate 2^32: a number below it drops the element.  A select instead of a product with the mask: NaN or infinity in a
 * dropped unit becomes 0. */
NN_INLINE void NAME(dropout_part)(real *restrict y, const real *restrict x, const uint32_t *restrict bits, uint32_t threshold,
                                  real scale, int n) {
    for (int i = 0; i < n; i++) {
        const real kept = scale * x[i];    /* loaded unconditionally: a conditional load would be a branch */
        y[i] = bits[i] < threshold ? 0 : kept;
    }
}

static void NAME(dropout_forward)(real *restrict y, const real *restrict x, uint32_t threshold, real scale, nn_stream stream,
                                  int64_t begin, int64_t end) {
    uint32_t bits[NN_RANDOM_BLOCK];
    for (int64_t i = begin; i < end;) {
        const int n = nn_in_block(i, end);
        nn_random_block(bits, stream, (uint64_t)i / NN_RANDOM_BLOCK);
        if (n == NN_RANDOM_BLOCK) NAME(dropout_part)(y + i, x + i, bits, threshold, scale, NN_RANDOM_BLOCK);
        else NAME(dropout_part)(y + i, x + i, bits + i % NN_RANDOM_BLOCK, threshold, scale, n);
        i += n;
    }
}

/* y_i = 0 or scale x_i   =>   dx_i = 0 or scale dy_i: the same numbers, the same kernel */
static void NAME(dropout_backward)(real *restrict dx, const real *restrict dy, uint32_t threshold, real scale, nn_stream stream,
                                   int64_t begin, int64_t end) {
    NAME(dropout_forward)(dx, dy, threshold, scale, stream, begin, end);
}

/* ---- scaled: y = factor x, what dropout without scaling in training becomes at test time ----------------------- */

static void NAME(scaled_forward)(real *restrict y, const real *restrict x, real factor, int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) y[i] = factor * x[i];
}

/* y = factor x   =>   dx = factor dy */
static void NAME(scaled_backward)(real *restrict dx, const real *restrict dy, real factor, int64_t begin, int64_t end) {
    NAME(scaled_forward)(dx, dy, factor, begin, end);
}

/* ---- gaussian noise: y_i = x_i + stddev e_i, e_i ~ N(0, 1); dx = dy ------------------------------------------- */

static void NAME(gaussian_noise_forward)(real *restrict y, const real *restrict x, real stddev, nn_stream stream, int64_t begin,
                                         int64_t end) {
    FOR_NORMALS(stream, begin, end, y[i] = x[i] + stddev * e);
}

/* ---- gaussian dropout: y_i = x_i (1 + stddev e_i) (Srivastava et al. 2014, section 10) ------------------------- */

static void NAME(gaussian_dropout_forward)(real *restrict y, const real *restrict x, real stddev, nn_stream stream, int64_t begin,
                                           int64_t end) {
    FOR_NORMALS(stream, begin, end, y[i] = x[i] * (1 + stddev * e));
}

/* y_i = x_i (1 + stddev e_i)   =>   dx_i = dy_i (1 + stddev e_i) */
static void NAME(gaussian_dropout_backward)(real *restrict dx, const real *restrict dy, real stddev, nn_stream stream,
                                            int64_t begin, int64_t end) {
    NAME(gaussian_dropout_forward)(dx, dy, stddev, stream, begin, end);
}

/* ---- the ops: arrays y, x / dx, dy (rows, width); sizes: width, key, place --------------------------------------- */

#define NN_NOISE_OP(name, ...)                                                                                               \
    static void NAME(op_##name)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {                    \
        const int64_t width = op->size[0];                                                                                   \
        const nn_stream stream = nn_stream_of(op, context, 1);                                                               \
        const real constant = (real)op->constant[0];                                                                         \
        (void)stream;                                                                                                        \
        const int64_t before = context->first_row * width;    /* the elements of the batch before this part of it */         \
        NAME(name)((real *)op->array[0] - before, (const real *)op->array[1] - before, __VA_ARGS__, before + begin * width,  \
                   before + end * width);                                                                                    \
    }

/* constants: scale, threshold */
NN_NOISE_OP(dropout_forward, (uint32_t)op->constant[1], constant, stream)
NN_NOISE_OP(dropout_backward, (uint32_t)op->constant[1], constant, stream)
/* constants: factor */
NN_NOISE_OP(scaled_forward, constant)
NN_NOISE_OP(scaled_backward, constant)
/* constants: stddev */
NN_NOISE_OP(gaussian_noise_forward, constant, stream)
NN_NOISE_OP(gaussian_dropout_forward, constant, stream)
NN_NOISE_OP(gaussian_dropout_backward, constant, stream)
#undef NN_NOISE_OP
