/* Normalisation of each example by itself: a row is `groups` runs of `size` numbers, each normalised by its own statistics,
 * then scaled and shifted; `share` consecutive numbers share one weight and one bias.
 *     layer norm: one group, a weight for each number     group norm: a weight for each channel, share = length
 *     instance norm: a group is a channel                 rms norm: as layer norm, but nothing is subtracted
 * What backward needs is kept in statistics (rows, groups, 3): the mean as the sum of two reals, high and low, and rstd. */

/* Over a group, sum of g and sum of g (x - mean), g = dy w, in four chains of vectors */
NN_INLINE void NAME(group_sums)(double *sum, double *product, const real *restrict dy, const real *restrict x,
                                const real *restrict weight, real high, real low, int64_t n, int64_t share) {
    wide s[4] = {{0}, {0}, {0}, {0}}, q[4] = {{0}, {0}, {0}, {0}};
    double total = 0, products = 0;
    int64_t j = 0;
    if (share == 1)
        for (; j + 4 * DOUBLES <= n; j += 4 * DOUBLES)
            NN_UNROLL for (int chain = 0; chain < 4; chain++) {
                const int64_t at = j + chain * DOUBLES;
                const wide g = NAME(widen)(NAME(load_narrow)(dy + at) * NAME(load_narrow)(weight + at));
                s[chain] += g, q[chain] += g * NAME(widen)((NAME(load_narrow)(x + at) - high) - low);
            }
    for (; j < n; j++) {
        const real g = dy[j] * weight[j / share], u = (x[j] - high) - low;
        total += g, products += (double)g * u;
    }
    *sum = total + NAME(wide_sum)(s), *product = products + NAME(wide_sum)(q);
}

/* y = (x - mean) rstd w + b, rstd = 1 / sqrt(variance + eps); not centred: mean = 0 and the mean of x^2 for the variance */
NN_INLINE void NAME(normalise_groups)(real *restrict y, real *restrict statistics, const real *restrict x,
                                      const real *restrict weight, const real *restrict bias, double eps, int64_t rows,
                                      int64_t groups, int64_t size, int64_t share, int centred) {
    const int64_t own = size / share;    /* weights of a group */
    for (int64_t i = 0, group = 0; i < rows * groups; i++, x += size, y += size, statistics += 3) {
        const real *restrict w = weight + group * own, *restrict b = bias + group * own;
        group = group + 1 < groups ? group + 1 : 0;
        double sum = 0, square = 0, offset = 0;
        const real origin = centred ? x[0] : 0;
        NAME(add_moments)(&sum, &square, x, origin, size);
        double variance = square / (double)size;
        if (centred) offset = sum / (double)size, variance -= offset * offset;
        const real high = (real)(origin + offset), low = (real)((origin - high) + offset);
        const real rstd = (real)(1 / sqrt((variance < 0 ? 0 : variance) + eps));
        statistics[0] = high, statistics[1] = low, statistics[2] = rstd;
        if (share == 1)
            for (int64_t j = 0; j < size; j++) y[j] = ((x[j] - high) - low) * rstd * w[j] + b[j];
        else
            for (int64_t j = 0; j < size; j++) y[j] = ((x[j] - high) - low) * rstd * w[j / share] + b[j / share];
    }
}

/* y = x_hat w + b, x_hat = (x - mean) rstd   =>   with g = dy w, means over the group,
 *     dx = rstd (g - mean(g) - x_hat mean(g x_hat)),   dw = sum over the rows of dy x_hat,   db = sum over the rows of dy;
 * not centred: without mean(g).  dw and db of this block are added to, in double. */
NN_INLINE void NAME(normalise_groups_backward)(real *restrict dx, double *restrict dw, double *restrict db, const real *restrict dy,
                                               const real *restrict x, const real *restrict statistics,
                                               const real *restrict weight, int64_t rows, int64_t groups, int64_t size,
                                               int64_t share, int centred) {
    const int64_t width = groups * size;
    for (int64_t group = 0; group < groups; group++) {
        const real *restrict w = weight + group * size / share;
        double *restrict to_w = dw + group * size / share, *restrict to_b = db + group * size / share;
        for (int64_t i = 0; i < rows; i += 4) {
            real high[4], low[4], rstd[4], constant[4], slope[4];
            const int64_t together = MIN(4, rows - i), first = i * width + group * size;
            for (int64_t k = 0; k < together; k++) {
                const real *restrict s = statistics + 3 * ((i + k) * groups + group);
                double sum, product;
                NAME(group_sums)(&sum, &product, dy + first + k * width, x + first + k * width, w, s[0], s[1], size, share);
                high[k] = s[0], low[k] = s[1], rstd[k] = s[2];
                constant[k] = centred ? (real)(sum / (double)size) : 0;
                slope[k] = (real)((double)s[2] * s[2] * product / (double)size);
            }
            int64_t done = 0;    /* four rows at a time: the sums are loaded and stored once for them */
            if (share == 1 && together == 4)
                for (; done + DOUBLES <= size; done += DOUBLES) {
                    const narrow weights = NAME(load_narrow)(w + done);
                    narrow of_w[4], of_b[4];
                    NN_UNROLL for (int k = 0; k < 4; k++) {
                        const int64_t e = first + k * width + done;
                        const narrow d = NAME(load_narrow)(dy + e), u = (NAME(load_narrow)(x + e) - high[k]) - low[k];
                        *(narrow *)(dx + e) = rstd[k] * (d * weights - constant[k] - u * slope[k]);
                        of_b[k] = d, of_w[k] = d * (u * rstd[k]);
                    }
                    *(wide *)(to_w + done) += NAME(widen)((of_w[0] + of_w[1]) + (of_w[2] + of_w[3]));
                    *(wide *)(to_b + done) += NAME(widen)((of_b[0] + of_b[1]) + (of_b[2] + of_b[3]));
                }
            for (int64_t k = 0; k < together; k++)
                for (int64_t c = done; c < size / share; c++) {
                    double of_w = 0, of_b = 0;
                    for (int64_t e = first + k * width + c * share; e < first + k * width + (c + 1) * share; e++) {
                        const real d = dy[e], u = (x[e] - high[k]) - low[k];
                        dx[e] = rstd[k] * (d * w[c] - constant[k] - u * slope[k]);
                        of_b += d, of_w += d * (u * rstd[k]);
                    }
                    to_w[c] += of_w, to_b[c] += of_b;
                }
        }
    }
}

static void NAME(group_norm_forward)(real *y, real *statistics, const real *x, const real *weight, const real *bias, double eps,
                                     int64_t rows, int64_t groups, int64_t size, int64_t share) {
    NAME(normalise_groups)(y, statistics, x, weight, bias, eps, rows, groups, size, share, 1);
}

static void NAME(group_norm_backward)(real *dx, double *dw, double *db, const real *dy, const real *x, const real *statistics,
                                      const real *weight, int64_t rows, int64_t groups, int64_t size, int64_t share) {
    NAME(normalise_groups_backward)(dx, dw, db, dy, x, statistics, weight, rows, groups, size, share, 1);
}

static void NAME(rms_norm_forward)(real *y, real *statistics, const real *x, const real *weight, const real *bias, double eps,
                                   int64_t rows, int64_t groups, int64_t size, int64_t share) {
    NAME(normalise_groups)(y, statistics, x, weight, bias, eps, rows, groups, size, share, 0);
}

static void NAME(rms_norm_backward)(real *dx, double *dw, double *db, const real *dy, const real *x, const real *statistics,
                                    const real *weight, int64_t rows, int64_t groups, int64_t size, int64_t share) {
    NAME(normalise_groups_backward)(dx, dw, db, dy, x, statistics, weight, rows, groups, size, share, 0);
}

/* The blocks' parts of dw and db in order: partials (slots, 2, parameters) */
static void NAME(group_norm_backward_weight)(real *restrict dweight, real *restrict dbias, const double *restrict partials,
                                             const double *restrict counts, int64_t begin, int64_t end, int64_t rows,
                                             int64_t parameters) {
    double dw[64] = {0}, db[64] = {0};
    for (int64_t row = 0; row < rows; row += (int64_t)counts[SLOT(row)]) {
        const double *restrict of_w = partials + 2 * SLOT(row) * parameters + begin, *restrict of_b = of_w + parameters;
        for (int64_t p = 0; p < end - begin; p++) dw[p] += of_w[p], db[p] += of_b[p];
    }
    for (int64_t p = begin; p < end; p++) dweight[p] = (real)dw[p - begin], dbias[p] = (real)db[p - begin];
}

/* ---- the ops; sizes: groups, size of a group, share; constants: eps
 * arrays: y, statistics, x, weight, bias / dx, partials, counts, dy, x, statistics, weight */
#define NN_GROUP_NORM_OPS(name)                                                                                              \
    static void NAME(op_##name##_forward)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {          \
        const int64_t groups = op->size[0], first = begin * groups * op->size[1];                                            \
        (void)context;                                                                                                       \
        NAME(name##_forward)((real *)op->array[0] + first, (real *)op->array[1] + 3 * begin * groups,                        \
                             (const real *)op->array[2] + first, op->array[3], op->array[4], op->constant[0], end - begin,   \
                             groups, op->size[1], op->size[2]);                                                              \
    }                                                                                                                        \
    static void NAME(op_##name##_backward)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {         \
        const int64_t groups = op->size[0], size = op->size[1], first = begin * groups * size;                               \
        const int64_t parameters = groups * size / op->size[2];                                                              \
        double *dw = (double *)op->array[1] + 2 * SLOT(begin) * parameters;                                                  \
        (void)context;                                                                                                       \
        ((double *)op->array[2])[SLOT(begin)] = (double)(end - begin);                                                       \
        for (int64_t p = 0; p < 2 * parameters; p++) dw[p] = 0;                                                              \
        NAME(name##_backward)((real *)op->array[0] + first, dw, dw + parameters, (const real *)op->array[3] + first,         \
                              (const real *)op->array[4] + first, (const real *)op->array[5] + 3 * begin * groups,           \
                              op->array[6], end - begin, groups, size, op->size[2]);                                         \
    }

NN_GROUP_NORM_OPS(group_norm)
NN_GROUP_NORM_OPS(rms_norm)

/* arrays: dweight, dbias, partials, counts; sizes: parameters; a tile is a chunk of 64 of them */
static void NAME(op_group_norm_backward_weight)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {
    const int64_t from = begin * 64, to = MIN(from + 64, op->size[0]);
    (void)end;
    NAME(group_norm_backward_weight)(op->array[0], op->array[1], op->array[2], op->array[3], from, to, context->rows, op->size[0]);
}

#undef NN_GROUP_NORM_OPS
#undef SLOT
#undef FOUR_ROWS
