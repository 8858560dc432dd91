/* Noise on the weights of a dense layer, drawn once per step for each weight: weight (u, j) uses the random number of address
 * u * inputs + j (random.h).  The forward ops make the noisy copy of W, or of b, that the step uses; the backward ops
 * draw the same numbers again and convert the gradient of the copy, which a product of dense.h has stored in dW, to that of W.
 * Work items are tiles of W, as in dense.h. */

/* ---- shakeout (Kang, Li, Tao 2018; c = 0: DropConnect, Wan et al. 2013), s = sign(w) -------------------------------------- */

/* noisy = -c s with probability rate, otherwise (w + c rate s) scale, scale = 1 / (1 - rate) */
NN_INLINE void NAME(shakeout_part)(real *restrict noisy, const real *restrict w, const uint32_t *restrict bits,
                                   uint32_t threshold, real scale, real c, real rate, int n) {
    for (int i = 0; i < n; i++) {
        const real s = (real)((w[i] > 0) - (w[i] < 0));
        noisy[i] = bits[i] < threshold ? -c * s : (w[i] + c * rate * s) * scale;
    }
}

static void NAME(shakeout_forward)(real *restrict noisy, const real *restrict w, uint32_t threshold, real scale, real c, real rate,
                                   nn_stream stream, int64_t begin, int64_t end) {
    uint32_t bits[NN_RANDOM_BLOCK];
    for (int64_t i = begin; i < end;) {
        const int n = nn_in_block(i, end);
        nn_random_block(bits, stream, (uint64_t)i / NN_RANDOM_BLOCK);
        NAME(shakeout_part)(noisy + i, w + i, bits + i % NN_RANDOM_BLOCK, threshold, scale, c, rate, n);
        i += n;
    }
}

/* noisy = -c s or (w + c rate s) scale   =>   dw = 0 or scale dnoisy (s is constant except for the jump at 0): in place */
static void NAME(shakeout_backward)(real *restrict dw, uint32_t threshold, real scale, nn_stream stream, int64_t begin,
                                    int64_t end) {
    uint32_t bits[NN_RANDOM_BLOCK];
    for (int64_t i = begin; i < end;) {
        const int n = nn_in_block(i, end), from = (int)(i % NN_RANDOM_BLOCK);
        nn_random_block(bits, stream, (uint64_t)i / NN_RANDOM_BLOCK);
        for (int k = 0; k < n; k++) dw[i + k] = bits[from + k] < threshold ? 0 : scale * dw[i + k];
        i += n;
    }
}

/* ---- whiteout (Li, Liu 2016): each connection's signal x gets noise e ~ N(0, variance |w|^-gamma + lam) ------------------- */

/* The noise at the unit is w e = spread(w) N(0, 1), spread = sqrt(variance |w|^power + lam w^2), power = 2 - gamma. */
NN_INLINE real NAME(whiteout_power)(real a, real power) {
    const real smallest = REAL_IS_FLOAT ? (real)FLT_MIN : (real)DBL_MIN;
    const real least = a < smallest ? smallest : a;
    const real result = NAME(nn_exp)(power * NAME(nn_log)(least));
    return a < smallest ? (real)(power == 0) : result;
}

NN_INLINE real NAME(whiteout_root)(real square) {
    return square > 0 ? (real)(REAL_IS_FLOAT ? sqrtf((float)square) : sqrt((double)square)) : 0;
}

NN_INLINE real NAME(whiteout_spread)(real w, real variance, real power, real lam) {
    return NAME(whiteout_root)(variance * NAME(whiteout_power)(NAME(nn_abs)(w), power) + lam * w * w);
}

/* spread^2 = variance |w|^power + lam w^2   =>   spread' = sign(w) (variance power |w|^power / |w| + 2 lam |w|) / (2 spread);
 * 0 where w or the spread is 0 */
NN_INLINE real NAME(whiteout_slope)(real w, real variance, real power, real lam) {
    const real smallest = REAL_IS_FLOAT ? (real)FLT_MIN : (real)DBL_MIN;
    const real a = NAME(nn_abs)(w), least = a < smallest ? smallest : a, raised = NAME(whiteout_power)(a, power);
    const real spread = NAME(whiteout_root)(variance * raised + lam * a * a);
    const real slope = (variance * power * raised / least + 2 * lam * a) / (2 * (spread > 0 ? spread : 1));
    return spread > 0 ? NAME(nn_with_sign)(slope, w) : 0;
}

/* multiplicative, z = sum_j w_j x_j (1 + e_j):  noisy = w + spread(w) e, e ~ N(0, 1) */
static void NAME(whiteout_multiplicative_forward)(real *restrict noisy, const real *restrict w, real variance, real power,
                                                  real lam, nn_stream stream, int64_t begin, int64_t end) {
    FOR_NORMALS(stream, begin, end, noisy[i] = w[i] + NAME(whiteout_spread)(w[i], variance, power, lam) * e);
}

/* noisy = w + spread(w) e   =>   dw = dnoisy (1 + spread'(w) e): in place */
static void NAME(whiteout_multiplicative_backward)(real *restrict dw, const real *restrict w, real variance, real power,
                                                   real lam, nn_stream stream, int64_t begin, int64_t end) {
    FOR_NORMALS(stream, begin, end, dw[i] *= 1 + NAME(whiteout_slope)(w[i], variance, power, lam) * e);
}

/* additive, z = sum_j w_j (x_j + e_j) + b:  noisy b = b + sum_j spread(w_j) e_j, the sum over weights [begin, end) in order */
static double NAME(whiteout_additive_forward)(const real *restrict w, real variance, real power, real lam, nn_stream stream,
                                              int64_t begin, int64_t end) {
    real e[NN_RANDOM_BLOCK], product[NN_RANDOM_BLOCK];
    double sum = 0;
    for (int64_t i = begin; i < end;) {
        const int n = nn_in_block(i, end), from = (int)(i % NN_RANDOM_BLOCK);
        NAME(normal_block)(e, stream, (uint64_t)i / NN_RANDOM_BLOCK);
        for (int k = 0; k < n; k++) product[k] = NAME(whiteout_spread)(w[i + k], variance, power, lam) * e[from + k];
        for (int k = 0; k < n; k++) sum += product[k];
        i += n;
    }
    return sum;
}

/* noisy b = b + sum_j spread(w_j) e_j   =>   dw += db spread'(w) e */
static void NAME(whiteout_additive_backward)(real *restrict dw, real db, const real *restrict w, real variance, real power,
                                             real lam, nn_stream stream, int64_t begin, int64_t end) {
    FOR_NORMALS(stream, begin, end, dw[i] += db * (NAME(whiteout_slope)(w[i], variance, power, lam) * e));
}

/* ---- the ops: sizes: units, inputs, key, place; tiles as in dense.h -------------------------------------------------------- */

#define SHAKEOUT (uint32_t)op->constant[1], (real)op->constant[0]
#define WHITEOUT (real)op->constant[0], (real)op->constant[1], (real)op->constant[2]

/* `call` for the weights [first, last) of each row of each of the op's tiles `tile` */
#define FOR_WEIGHTS(tile, call)                                                                                              \
    for (int64_t u = (tile).u0; u < (tile).u1; u++) {                                                                        \
        const int64_t first = u * inputs + (tile).j0, last = u * inputs + (tile).j1;                                         \
        call;                                                                                                                \
    }

#define NN_NOISY_WEIGHT(name, ...)                                                                                           \
    static void NAME(op_##name##_forward)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {          \
        const int64_t units = op->size[0], inputs = op->size[1];                                                             \
        const nn_stream stream = nn_stream_of(op, context, 2);                                                               \
        const NAME(rectangle) *tiles = op->array[3];                                                                         \
        for (int64_t t = begin; t < end; t++) {                                                                              \
            FOR_WEIGHTS(tiles[t], NAME(name##_forward)(op->array[1], op->array[2], __VA_ARGS__, stream, first, last))        \
            if (op->array[0])                                                                                                \
                NAME(pack_weight)(op->array[0], op->array[1], tiles[t].u0, tiles[t].u1, tiles[t].j0, tiles[t].j1, units,     \
                                  inputs);                                                                                   \
        }                                                                                                                    \
    }

/* constants: scale, threshold, c, rate */
NN_NOISY_WEIGHT(shakeout, SHAKEOUT, (real)op->constant[2], (real)op->constant[3])
/* constants: variance, power, lam */
NN_NOISY_WEIGHT(whiteout_multiplicative, WHITEOUT)
#undef NN_NOISY_WEIGHT

static void NAME(op_whiteout_additive_forward)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {
    const int64_t units = op->size[0], inputs = op->size[1], piece = op->size[4];
    const nn_stream stream = nn_stream_of(op, context, 2);
    const real *b = op->array[1];
    for (int64_t u = begin * piece; u < MIN(end * piece, units); u++) {
        const double noise = NAME(whiteout_additive_forward)(op->array[2], WHITEOUT, stream, u * inputs, (u + 1) * inputs);
        ((real *)op->array[0])[u] = (real)((b ? b[u] : 0) + noise);
    }
}

/* arrays: dW, tiles, W, dy (additive); constants as in the forward op */
#define NN_NOISY_GRADIENT(name, call)                                                                                        \
    static void NAME(op_##name##_backward)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {         \
        const int64_t inputs = op->size[1];                                                                                  \
        const nn_stream stream = nn_stream_of(op, context, 2);                                                               \
        const NAME(rectangle) *tiles = op->array[1];                                                                         \
        for (int64_t t = begin; t < end; t++) FOR_WEIGHTS(tiles[t], call)                                                    \
    }

/* db_u: the sum of dy over the rows */
static real NAME(column_sum)(const real *dy, int64_t rows, int64_t units, int64_t u) {
    double sum = 0;
    for (int64_t i = 0; i < rows; i++) sum += dy[i * units + u];
    return (real)sum;
}

NN_NOISY_GRADIENT(shakeout, NAME(shakeout_backward)(op->array[0], SHAKEOUT, stream, first, last))
NN_NOISY_GRADIENT(whiteout_multiplicative,
                  NAME(whiteout_multiplicative_backward)(op->array[0], op->array[2], WHITEOUT, stream, first, last))
NN_NOISY_GRADIENT(whiteout_additive,
                  NAME(whiteout_additive_backward)(op->array[0], NAME(column_sum)(op->array[3], context->rows, op->size[0], u),
                                                   op->array[2], WHITEOUT, stream, first, last))
#undef NN_NOISY_GRADIENT
#undef FOR_WEIGHTS
#undef SHAKEOUT
#undef WHITEOUT
