/* Noise on signals.  Element i of the batch (row * width + column) takes the random number of address i (random.h); the
 * backward kernels draw the same numbers again.  Kernels work on elements [begin, end) of the whole batch's arrays. */

/* ---- dropout: y_i = 0 with probability rate, otherwise scale x_i (Srivastava et al. 2014) ---------------------- */

/* threshold = rate 2^32: a number below it drops the element.  No product with the mask: NaN or infinity in a dropped unit
 * is gone with it. */
NN_INLINE void NAME(dropout_part)(real *restrict y, const real *restrict x, const uint32_t *restrict bits, uint32_t threshold,
                                  real scale, int n) {
    for (int i = 0; i < n; i++) y[i] = bits[i] < threshold ? 0 : scale * x[i];
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

/* ---- normal numbers -------------------------------------------------------------------------------------------- */

/* Taylor series on |x| <= pi/4: float 2e-9, double 1e-18 */
NN_INLINE real NAME(sine)(real x) {
    const real z = x * x;
#if REAL_IS_FLOAT
    return x * (1 + z * (REAL(-1.0) / 6 + z * (REAL(1.0) / 120 + z * (REAL(-1.0) / 5040 + z * (REAL(1.0) / 362880)))));
#else
    real sum = REAL(1.0) / 355687428096000;
    static const double terms[] = {-1307674368000.0, 6227020800.0, -39916800.0, 362880.0, -5040.0, 120.0, -6.0, 1.0};
    NN_UNROLL for (int k = 0; k < 8; k++) sum = sum * z + 1 / terms[k];
    return x * sum;
#endif
}

NN_INLINE real NAME(cosine)(real x) {
    const real z = x * x;
#if REAL_IS_FLOAT
    return 1 + z * (REAL(-0.5) + z * (REAL(1.0) / 24 + z * (REAL(-1.0) / 720 + z * (REAL(1.0) / 40320 - z / 3628800))));
#else
    real sum = REAL(-1.0) / 6402373705728000;
    static const double terms[] = {20922789888000.0, -87178291200.0, 479001600.0, -3628800.0, 40320.0, -720.0, 24.0, -2.0, 1.0};
    NN_UNROLL for (int k = 0; k < 9; k++) sum = sum * z + 1 / terms[k];
    return sum;
#endif
}

/* 64 numbers of N(0, 1) from 64 of 32 bits, two by two (Box, Muller 1958):
 *     u = (top 24 bits of the one + 1) / 2^24 in (0, 1],   r = sqrt(-2 ln u) <= 5.77,
 *     angle = 2 pi (the other / 2^32) - pi/4: the two top bits are the quadrant, the others a in [-pi/4, pi/4),
 *     z_i = r cos(angle),   z_(i + 32) = r sin(angle). */
NN_INLINE void NAME(normal_block)(real *restrict z, nn_stream stream, uint64_t block) {
    uint32_t bits[NN_RANDOM_BLOCK];
    nn_random_block(bits, stream, block);
    for (int i = 0; i < NN_RANDOM_BLOCK / 2; i++) {
        const int32_t quadrant = (int32_t)(bits[i + 32] >> 30), rest = (int32_t)(bits[i + 32] & 0x3FFFFFFFu) - (1 << 29);
        const real u = (real)((int32_t)(bits[i] >> 8) + 1) * REAL(0x1p-24);
        const real square = -2 * NAME(nn_log)(u);
        const real r = square > 0 ? (real)(REAL_IS_FLOAT ? sqrtf((float)square) : sqrt((double)square)) : 0;
        const real a = (real)rest * REAL(1.4629180792671596e-09);    /* pi/2 / 2^30 */
        const real s = NAME(sine)(a), c = NAME(cosine)(a);
        const real across = quadrant & 1 ? s : c, up = quadrant & 1 ? c : s;
        z[i] = quadrant == 1 || quadrant == 2 ? -r * across : r * across;
        z[i + 32] = quadrant >= 2 ? -r * up : r * up;
    }
}

/* ---- gaussian noise: y_i = x_i + stddev e_i, e_i ~ N(0, 1); dx = dy ------------------------------------------- */

static void NAME(gaussian_noise_forward)(real *restrict y, const real *restrict x, real stddev, nn_stream stream, int64_t begin,
                                         int64_t end) {
    real e[NN_RANDOM_BLOCK];
    for (int64_t i = begin; i < end;) {
        const int n = nn_in_block(i, end), from = (int)(i % NN_RANDOM_BLOCK);
        NAME(normal_block)(e, stream, (uint64_t)i / NN_RANDOM_BLOCK);
        for (int k = 0; k < n; k++) y[i + k] = x[i + k] + stddev * e[from + k];
        i += n;
    }
}

/* ---- gaussian dropout: y_i = x_i (1 + stddev e_i) (Srivastava et al. 2014, section 10) ------------------------- */

static void NAME(gaussian_dropout_forward)(real *restrict y, const real *restrict x, real stddev, nn_stream stream, int64_t begin,
                                           int64_t end) {
    real e[NN_RANDOM_BLOCK];
    for (int64_t i = begin; i < end;) {
        const int n = nn_in_block(i, end), from = (int)(i % NN_RANDOM_BLOCK);
        NAME(normal_block)(e, stream, (uint64_t)i / NN_RANDOM_BLOCK);
        for (int k = 0; k < n; k++) y[i + k] = x[i + k] * (1 + stddev * e[from + k]);
        i += n;
    }
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
        NAME(name)((real *)op->array[0], (const real *)op->array[1], __VA_ARGS__, begin * width, end * width);               \
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
