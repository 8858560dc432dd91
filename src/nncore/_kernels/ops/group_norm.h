/* Normalization within each example: a row is `groups` runs of `size` numbers, each normalized by its own statistics,
 * then scaled and shifted; `share` consecutive numbers share one weight and one bias.
 *     layer norm: one group, a weight for each number     group norm: a weight for each channel, share = length
 *     instance norm: a group is a channel                 rms norm: as layer norm, but nothing is subtracted
 * The backward pass uses statistics (rows, groups, 3): the mean as the sum of two reals, high and low, and rstd. */

/* SOME groups are processed in parallel, to hide the latency of the sums; the remaining groups go one by one, in the same order of
 * summation. */
#define SOME 4

/* Sums of x - origin and of (x - origin)^2 for `many` groups of n numbers, at distance `apart`.  The first additions of every four
 * vectors are made in `real`, which loses no more digits than the terms have; the others in double. */
NN_INLINE void NAME(group_moments)(const int many, double *sum, double *square, const real *restrict x, const real *origin,
                                   int64_t n, int64_t apart) {
    wide s[SOME], q[SOME];
    NN_UNROLL for (int k = 0; k < many; k++) s[k] = q[k] = (wide){0};
    int64_t j = 0;
    for (; j + 4 * DOUBLES <= n; j += 4 * DOUBLES)
        NN_UNROLL for (int k = 0; k < many; k++) {
            narrow first = {0}, second = {0};
            NN_UNROLL for (int part = 0; part < 4; part++) {
                const narrow d = NAME(load_narrow)(x + k * apart + j + part * DOUBLES) - origin[k];
                first += d, second += d * d;
            }
            s[k] += NAME(widen)(first), q[k] += NAME(widen)(second);
        }
    for (; j + DOUBLES <= n; j += DOUBLES)
        NN_UNROLL for (int k = 0; k < many; k++) {
            const wide d = NAME(widen)(NAME(load_narrow)(x + k * apart + j) - origin[k]);
            s[k] += d, q[k] += d * d;
        }
    NN_UNROLL for (int k = 0; k < many; k++) {
        sum[k] = NAME(wide_total)(s[k]), square[k] = NAME(wide_total)(q[k]);
        for (int64_t i = j; i < n; i++) {
            const double d = x[k * apart + i] - origin[k];
            sum[k] += d, square[k] += d * d;
        }
    }
}

/* The same, in double throughout, if the sums overflow: the squares or differences of finite numbers may do so in `real`. */
NN_INLINE void NAME(finite_moments)(double *sum, double *square, const real *restrict x, real origin, int64_t n) {
    if (*square < INFINITY) return;
    *sum = *square = 0;
    for (int64_t i = 0; i < n; i++) {
        const double d = (double)x[i] - (double)origin;
        *sum += d, *square += d * d;
    }
}

/* The same of g = dy w and of g (x - mean); the groups share their weights. */
NN_INLINE void NAME(group_sums)(const int many, double *sum, double *product, const real *restrict dy, const real *restrict x,
                                const real *restrict weight, const real *high, const real *low, int64_t n, int64_t share,
                                int64_t apart) {
    wide s[SOME], q[SOME];
    NN_UNROLL for (int k = 0; k < many; k++) s[k] = q[k] = (wide){0};
    int64_t j = 0;
    const int64_t end = share == 1 ? n : 0;    /* of the vectorized part */
    for (; j + 4 * DOUBLES <= end; j += 4 * DOUBLES)
        NN_UNROLL for (int k = 0; k < many; k++) {
            narrow first = {0}, second = {0};
            NN_UNROLL for (int part = 0; part < 4; part++) {
                const int64_t at = k * apart + j + part * DOUBLES;
                const narrow g = NAME(load_narrow)(dy + at) * NAME(load_narrow)(weight + j + part * DOUBLES);
                first += g, second += g * ((NAME(load_narrow)(x + at) - high[k]) - low[k]);
            }
            s[k] += NAME(widen)(first), q[k] += NAME(widen)(second);
        }
    for (; j + DOUBLES <= end; j += DOUBLES)
        NN_UNROLL for (int k = 0; k < many; k++) {
            const narrow g = NAME(load_narrow)(dy + k * apart + j) * NAME(load_narrow)(weight + j);
            const narrow u = (NAME(load_narrow)(x + k * apart + j) - high[k]) - low[k];
            s[k] += NAME(widen)(g), q[k] += NAME(widen)(g * u);
        }
    NN_UNROLL for (int k = 0; k < many; k++) {
        sum[k] = NAME(wide_total)(s[k]), product[k] = NAME(wide_total)(q[k]);
        for (int64_t i = j; i < n; i++) {
            const real g = dy[k * apart + i] * weight[i / share], u = (x[k * apart + i] - high[k]) - low[k];
            sum[k] += g, product[k] += (double)g * u;
        }
    }
}

/* `many` groups from number `group` of a row on */
NN_INLINE void NAME(normalize_some)(const int many, real *restrict y, real *restrict statistics, const real *restrict x,
                                    const real *restrict weight, const real *restrict bias, double eps, int64_t group,
                                    int64_t groups, int64_t size, int64_t share, int centered) {
    const int64_t own = size / share;    /* weights of a group */
    double sum[SOME], square[SOME];
    real origin[SOME], high[SOME], low[SOME], rstd[SOME];
    NN_UNROLL for (int k = 0; k < many; k++) origin[k] = centered ? x[k * size] : 0;
    NAME(group_moments)(many, sum, square, x, origin, size, size);
    for (int k = 0; k < many; k++) NAME(finite_moments)(sum + k, square + k, x + k * size, origin[k], size);
    NN_UNROLL for (int k = 0; k < many; k++) {
        const double offset = centered ? sum[k] / (double)size : 0, variance = square[k] / (double)size - offset * offset;
        high[k] = (real)(origin[k] + offset), low[k] = (real)((origin[k] - high[k]) + offset);
        rstd[k] = (real)(1 / sqrt((variance < 0 ? 0 : variance) + eps));
    }
    for (int k = 0; k < many; k++, x += size, y += size, statistics += NN_GROUP_STATISTICS) {
        const real *restrict w = weight + (group + k) % groups * own, *restrict b = bias + (group + k) % groups * own;
        statistics[0] = high[k], statistics[1] = low[k], statistics[2] = rstd[k];
        if (share == 1)
            for (int64_t j = 0; j < size; j++) y[j] = ((x[j] - high[k]) - low[k]) * rstd[k] * w[j] + b[j];
        else
            for (int64_t j = 0; j < size; j++) y[j] = ((x[j] - high[k]) - low[k]) * rstd[k] * w[j / share] + b[j / share];
    }
}

/* y = (x - mean) rstd w + b, rstd = 1 / sqrt(variance + eps); not centered: mean = 0 and the mean of x^2 for the variance */
NN_INLINE void NAME(normalize_groups)(real *restrict y, real *restrict statistics, const real *restrict x,
                                      const real *restrict weight, const real *restrict bias, double eps, int64_t rows,
                                      int64_t groups, int64_t size, int64_t share, int centered) {
    int64_t i = 0;
    for (; i + SOME <= rows * groups; i += SOME)
        NAME(normalize_some)(SOME, y + i * size, statistics + NN_GROUP_STATISTICS * i, x + i * size, weight, bias, eps, i % groups,
                             groups, size, share, centered);
    for (; i < rows * groups; i++)
        NAME(normalize_some)(1, y + i * size, statistics + NN_GROUP_STATISTICS * i, x + i * size, weight, bias, eps, i % groups,
                             groups, size, share, centered);
}

/* dx of `many` rows from x on, and their contributions to dw and db */
NN_INLINE void NAME(normalize_some_backward)(const int many, real *restrict dx, double *restrict dw, double *restrict db,
                                             const real *restrict dy, const real *restrict x, const real *restrict statistics,
                                             const real *restrict w, int64_t groups, int64_t size, int64_t share, int centered) {
    const int64_t width = groups * size;
    double sum[SOME], product[SOME];
    real high[SOME], low[SOME], rstd[SOME], constant[SOME], slope[SOME];
    NN_UNROLL for (int k = 0; k < many; k++) {
        const real *s = statistics + NN_GROUP_STATISTICS * k * groups;
        high[k] = s[0], low[k] = s[1], rstd[k] = s[2];
    }
    NAME(group_sums)(many, sum, product, dy, x, w, high, low, size, share, width);
    NN_UNROLL for (int k = 0; k < many; k++) {
        constant[k] = centered ? (real)(sum[k] / (double)size) : 0;
        slope[k] = (real)((double)rstd[k] * rstd[k] * product[k] / (double)size);
    }
    int64_t done = 0;    /* the rows together: dw and db are loaded and stored once for them */
    if (share == 1 && many == SOME)
        for (; done + LANES <= size; done += LANES) {
            const vec weights = NAME(load)(w + done);
            vec of_w[SOME], of_b[SOME];
            NN_UNROLL for (int k = 0; k < SOME; k++) {
                const int64_t e = k * width + done;
                const vec d = NAME(load)(dy + e), u = (NAME(load)(x + e) - high[k]) - low[k];
                NAME(store)(dx + e, rstd[k] * (d * weights - constant[k] - u * slope[k]));
                of_b[k] = d, of_w[k] = d * (u * rstd[k]);
            }
            real to_w[LANES], to_b[LANES];
            NAME(store)(to_w, (of_w[0] + of_w[1]) + (of_w[2] + of_w[3]));
            NAME(store)(to_b, (of_b[0] + of_b[1]) + (of_b[2] + of_b[3]));
            NN_UNROLL for (int part = 0; part < LANES; part += DOUBLES) {
                *(wide *)(dw + done + part) += NAME(widen)(NAME(load_narrow)(to_w + part));
                *(wide *)(db + done + part) += NAME(widen)(NAME(load_narrow)(to_b + part));
            }
        }
    for (int k = 0; k < many; k++)
        for (int64_t c = done; c < size / share; c++) {
            double of_w = 0, of_b = 0;
            for (int64_t e = k * width + c * share; e < k * width + (c + 1) * share; e++) {
                const real d = dy[e], u = (x[e] - high[k]) - low[k];
                dx[e] = rstd[k] * (d * w[c] - constant[k] - u * slope[k]);
                of_b += d, of_w += d * (u * rstd[k]);
            }
            dw[c] += of_w, db[c] += of_b;
        }
}

/* y = x_hat w + b, x_hat = (x - mean) rstd   =>   with g = dy w, means over the group,
 *     dx = rstd (g - mean(g) - x_hat mean(g x_hat)),   dw = sum over the rows of dy x_hat,   db = sum over the rows of dy;
 * not centered: without mean(g).  dw and db of this block are added to, in double. */
NN_INLINE void NAME(normalize_groups_backward)(real *restrict dx, double *restrict dw, double *restrict db, const real *restrict dy,
                                               const real *restrict x, const real *restrict statistics,
                                               const real *restrict weight, int64_t rows, int64_t groups, int64_t size,
                                               int64_t share, int centered) {
    for (int64_t group = 0; group < groups; group++) {
        const int64_t own = group * size / share;
        int64_t i = 0;
#define FROM (i * groups + group)
        for (; i + SOME <= rows; i += SOME)
            NAME(normalize_some_backward)(SOME, dx + FROM * size, dw + own, db + own, dy + FROM * size, x + FROM * size,
                                          statistics + NN_GROUP_STATISTICS * FROM, weight + own, groups, size, share, centered);
        for (; i < rows; i++)
            NAME(normalize_some_backward)(1, dx + FROM * size, dw + own, db + own, dy + FROM * size, x + FROM * size,
                                          statistics + NN_GROUP_STATISTICS * FROM, weight + own, groups, size, share, centered);
#undef FROM
    }
}

static void NAME(group_norm_forward)(real *y, real *statistics, const real *x, const real *weight, const real *bias, double eps,
                                     int64_t rows, int64_t groups, int64_t size, int64_t share) {
    NAME(normalize_groups)(y, statistics, x, weight, bias, eps, rows, groups, size, share, 1);
}

static void NAME(group_norm_backward)(real *dx, double *dw, double *db, const real *dy, const real *x, const real *statistics,
                                      const real *weight, int64_t rows, int64_t groups, int64_t size, int64_t share) {
    NAME(normalize_groups_backward)(dx, dw, db, dy, x, statistics, weight, rows, groups, size, share, 1);
}

static void NAME(rms_norm_forward)(real *y, real *statistics, const real *x, const real *weight, const real *bias, double eps,
                                   int64_t rows, int64_t groups, int64_t size, int64_t share) {
    NAME(normalize_groups)(y, statistics, x, weight, bias, eps, rows, groups, size, share, 0);
}

static void NAME(rms_norm_backward)(real *dx, double *dw, double *db, const real *dy, const real *x, const real *statistics,
                                    const real *weight, int64_t rows, int64_t groups, int64_t size, int64_t share) {
    NAME(normalize_groups_backward)(dx, dw, db, dy, x, statistics, weight, rows, groups, size, share, 0);
}

/* Sum the blocks' parts of dw and db in order: partials (slots, 2, parameters) */
static void NAME(group_norm_backward_weight)(real *restrict dweight, real *restrict dbias, const double *restrict partials,
                                             const double *restrict counts, int64_t begin, int64_t end, int64_t rows,
                                             int64_t parameters) {
    double dw[NN_CHANNELS] = {0}, db[NN_CHANNELS] = {0};
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
        NAME(name##_forward)((real *)op->array[0] + first, (real *)op->array[1] + NN_GROUP_STATISTICS * begin * groups,      \
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
                              (const real *)op->array[4] + first,                                                            \
                              (const real *)op->array[5] + NN_GROUP_STATISTICS * begin * groups, op->array[6], end - begin,  \
                              groups, size, op->size[2]);                                                                    \
    }

NN_GROUP_NORM_OPS(group_norm)
NN_GROUP_NORM_OPS(rms_norm)

/* arrays: dweight, dbias, partials, counts; sizes: places; a tile is a chunk of NN_CHANNELS of them */
static void NAME(op_group_norm_backward_weight)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {
    const int64_t from = begin * NN_CHANNELS, to = MIN(from + NN_CHANNELS, op->size[0]);
    (void)end;
    NAME(group_norm_backward_weight)(op->array[0], op->array[1], op->array[2], op->array[3], from, to, context->rows, op->size[0]);
}

#undef NN_GROUP_NORM_OPS
#undef SOME
#undef SLOT
#undef FOUR_ROWS
