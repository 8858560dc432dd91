/* Batch normalization of x (rows, channels, length) over rows and length; length 1 for plain features.
 *
 * Statistics are computed in two passes.  Each block of rows stores its sums, in double, while its rows are in
 * cache; then, channel by channel, the blocks are combined in order.  Blocks depend on sizes only: a block begins at a
 * multiple of NN_SLOT_ROWS, stores its sums in slot begin / NN_SLOT_ROWS, and its number of rows in counts.
 *
 * The constants of each channel are in a table (NN_TABLE, channels):
 *     high, low        the mean, as the sum of two reals: x - high is exact where it matters, so that a mean of a million
 *                      standard deviations costs no digits
 *     scale, shift     y = (x - mean) scale + shift
 *     rstd             1 / sqrt(variance + eps)
 *     r, d             y = (r (x - mean) rstd + d) weight + bias: 1 and 0 but for batch renormalization */

#define SLOT(row) ((row) / NN_SLOT_ROWS)
#define OF(column) (table + NN_##column * channels)

/* The same line for rows k = 0, 1, 2, 3 */
#define FOUR_ROWS(line)                                                                                                      \
    do {                                                                                                                     \
        { enum { k = 0 }; line; }                                                                                            \
        { enum { k = 1 }; line; }                                                                                            \
        { enum { k = 2 }; line; }                                                                                            \
        { enum { k = 3 }; line; }                                                                                            \
    } while (0)

/* For one block and each channel c: origin = the first x, sum = sum of (x - origin), square = sum of (x - origin)^2 */
static void NAME(batch_norm_sums)(double *restrict origin, double *restrict sum, double *restrict square, const real *restrict x,
                                  int64_t rows, int64_t channels, int64_t length) {
    const real *restrict first = x;
    for (int64_t c = 0; c < channels; c++) origin[c] = first[c * length], sum[c] = square[c] = 0;
    if (length > 1) {
        for (int64_t i = 0; i < rows; i++)
            for (int64_t c = 0; c < channels; c++)
                NAME(add_moments)(sum + c, square + c, x + (i * channels + c) * length, first[c * length], length);
        return;
    }
    int64_t i = 0;
    for (; i + 4 <= rows; i += 4) {
        const real *restrict row = x + i * channels;
        for (int64_t c = 0; c < channels; c++) {
            double d[4];
            FOUR_ROWS(d[k] = row[k * channels + c] - first[c]);
            sum[c] += (d[0] + d[1]) + (d[2] + d[3]);
            square[c] += (d[0] * d[0] + d[1] * d[1]) + (d[2] * d[2] + d[3] * d[3]);
        }
    }
    for (; i < rows; i++)
        for (int64_t c = 0; c < channels; c++) {
            const double d = x[i * channels + c] - first[c];
            sum[c] += d, square[c] += d * d;
        }
}

/* Combine all blocks, for channels [begin, end), at most NN_CHANNELS:  mean = origin of the first block + offset,
 *     offset = sum over blocks of n_b (mean_b - origin) / m,   variance = sum of (square_b - sum_b^2 / n_b + n_b (mean_b - mean)^2) / m */
static void NAME(combine_blocks)(double *restrict offset, double *restrict variance, const double *restrict partials,
                                 const double *restrict counts, int64_t begin, int64_t end, int64_t rows, int64_t channels,
                                 int64_t length) {
    const double m = (double)rows * (double)length;
    const int64_t chunk = end - begin;
    const double *restrict zero = partials + begin;
    for (int64_t c = 0; c < chunk; c++) offset[c] = variance[c] = 0;
    for (int64_t row = 0; row < rows; row += (int64_t)counts[SLOT(row)]) {
        const double *restrict origin = partials + NN_MOMENTS * SLOT(row) * channels + begin, *restrict sum = origin + channels;
        const double n = counts[SLOT(row)] * (double)length;
        for (int64_t c = 0; c < chunk; c++) offset[c] += n * (origin[c] - zero[c]) + sum[c];
    }
    for (int64_t c = 0; c < chunk; c++) offset[c] /= m;
    for (int64_t row = 0; row < rows; row += (int64_t)counts[SLOT(row)]) {
        const double *restrict origin = partials + NN_MOMENTS * SLOT(row) * channels + begin, *restrict sum = origin + channels,
                     *restrict square = sum + channels;
        const double n = counts[SLOT(row)] * (double)length;
        for (int64_t c = 0; c < chunk; c++) {
            const double mean = sum[c] / n, within = square[c] - sum[c] * mean, away = (origin[c] - zero[c]) + mean - offset[c];
            variance[c] += (within < 0 ? 0 : within) + n * away * away;
        }
    }
    for (int64_t c = 0; c < chunk; c++) variance[c] /= m;
}

/* The table's entries of channel c, with mean = origin + offset */
NN_INLINE void NAME(fill_table)(real *table, int64_t channels, int64_t c, double origin, double offset, double rstd, double weight,
                                double bias, double r, double d) {
    const real high = (real)(origin + offset);
    OF(HIGH)[c] = high;
    OF(LOW)[c] = (real)((origin - high) + offset);
    OF(SCALE)[c] = (real)(weight * r * rstd);
    OF(SHIFT)[c] = (real)(bias + weight * d);
    OF(RSTD)[c] = (real)rstd;
    OF(R)[c] = (real)r;
    OF(D)[c] = (real)d;
}

NN_INLINE double NAME(limited)(double a, double least, double most) { return a < least ? least : a > most ? most : a; }

/* table and batch (2, channels): mean and variance (divided by m), of channels [begin, end).
 * place[c]: index of the parameter and running average of channel c, -1 for a channel that is not normalized; NULL: c.
 * limits: NULL, or r_max and d_max of batch renormalization with running averages (mean, variance) from before this batch:
 *     r = clip(sigma / sigma_running, 1 / r_max, r_max),   d = clip((mean - mean_running) / sigma_running, -d_max, d_max) */
static void NAME(batch_norm_statistics)(real *restrict table, real *restrict batch, const double *restrict partials,
                                        const double *restrict counts, const real *restrict weight, const real *restrict bias,
                                        const int64_t *restrict place, const real *restrict running, const double *limits,
                                        double eps, int64_t begin, int64_t end, int64_t rows, int64_t channels, int64_t length,
                                        int64_t places) {
    double offset[NN_CHANNELS], variance[NN_CHANNELS];
    NAME(combine_blocks)(offset, variance, partials, counts, begin, end, rows, channels, length);
    for (int64_t c = begin; c < end; c++) {
        const int64_t p = place ? place[c] : c;
        const double mean = partials[c] + offset[c - begin], rstd = 1 / sqrt(variance[c - begin] + eps);
        batch[c] = (real)mean, batch[channels + c] = (real)variance[c - begin];
        if (p < 0) {
            NAME(fill_table)(table, channels, c, 0, 0, 1, 1, 0, 1, 0);
            continue;
        }
        double r = 1, d = 0;
        if (limits) {
            const double rstd_running = 1 / sqrt((double)running[places + p] + eps);
            r = NAME(limited)(rstd_running / rstd, 1 / limits[0], limits[0]);
            d = NAME(limited)(((partials[c] - running[p]) + offset[c - begin]) * rstd_running, -limits[1], limits[1]);
        }
        NAME(fill_table)(table, channels, c, partials[c], offset[c - begin], rstd, weight[p], bias[p], r, d);
    }
}

/* The table from running averages: y = (x - mean) / sqrt(variance + eps) weight + bias */
static void NAME(batch_norm_constants)(real *restrict table, const real *restrict running, const real *restrict weight,
                                       const real *restrict bias, const int64_t *restrict place, double eps, int64_t channels,
                                       int64_t places) {
    for (int64_t c = 0; c < channels; c++) {
        const int64_t p = place ? place[c] : c;
        if (p < 0) NAME(fill_table)(table, channels, c, 0, 0, 1, 1, 0, 1, 0);
        else NAME(fill_table)(table, channels, c, running[p], 0, 1 / sqrt((double)running[places + p] + eps), weight[p], bias[p], 1, 0);
    }
}

/* running += a (batch - running), with a = momentum, or 1 / batches for the plain mean of all batches if momentum is 0; the
 * variance times `correction`.  With `deviations`, sqrt(variance + eps) is averaged, and the corresponding variance is
 * stored.  A statistic that this precision cannot hold is left as it was; 0 if there is one. */
NN_INLINE int NAME(track)(const int deviations, real *restrict running, real *restrict batches, const real *restrict batch,
                          const int64_t *restrict place, double momentum, double correction, double eps, int64_t channels,
                          int64_t places) {
    *batches += 1;
    const double a = momentum > 0 ? momentum : 1 / (double)*batches;
    int good = 1;
    for (int64_t c = 0; c < channels; c++) {
        const int64_t p = place ? place[c] : c;
        const double mean = batch[c], variance = batch[channels + c] * correction;
        if (p < 0) continue;
        if (!isfinite((real)mean) || !isfinite((real)variance)) {
            good = 0;
            continue;
        }
        const double before = running[places + p];
        double after = before + a * (variance - before);
        if (deviations) {
            const double old = sqrt(before + eps), deviation = old + a * (sqrt(variance + eps) - old);
            after = deviation * deviation > eps ? deviation * deviation - eps : 0;
        }
        running[p] = (real)(running[p] + a * (mean - running[p]));
        running[places + p] = (real)after;
    }
    return good;
}

static int NAME(batch_norm_track)(real *running, real *batches, const real *batch, const int64_t *place, double momentum,
                                  double correction, double eps, int64_t channels, int64_t places) {
    return NAME(track)(0, running, batches, batch, place, momentum, correction, eps, channels, places);
}

static int NAME(batch_renorm_track)(real *running, real *batches, const real *batch, const int64_t *place, double momentum,
                                    double correction, double eps, int64_t channels, int64_t places) {
    return NAME(track)(1, running, batches, batch, place, momentum, correction, eps, channels, places);
}

/* The passes over rows, alone and fused with the following activation: ACTIVE(z) and SLOPE(dy, z) = dy ACTIVE'(z) */
#define NN_BATCH_NORM(name, ACTIVE, SLOPE)                                                                                   \
    /* y = ACTIVE((x - mean) scale + shift) */                                                                               \
    static void NAME(name##_forward)(real *restrict y, const real *restrict x, const real *restrict table, int64_t rows,     \
                                     int64_t channels, int64_t length) {                                                     \
        const real *restrict high = OF(HIGH), *restrict low = OF(LOW), *restrict scale = OF(SCALE), *restrict shift = OF(SHIFT); \
        if (length > 1) {                                                                                                    \
            for (int64_t i = 0; i < rows * channels; i++) {                                                                  \
                const int64_t c = i % channels;                                                                              \
                const real h = high[c], l = low[c], a = scale[c], b = shift[c];                                              \
                for (int64_t j = i * length; j < (i + 1) * length; j++) {                                                    \
                    const real z = ((x[j] - h) - l) * a + b;                                                                 \
                    y[j] = ACTIVE(z);                                                                                        \
                }                                                                                                            \
            }                                                                                                                \
            return;                                                                                                          \
        }                                                                                                                    \
        int64_t i = 0;                                                                                                       \
        for (; i + 4 <= rows; i += 4, x += 4 * channels, y += 4 * channels)                                                  \
            for (int64_t c = 0; c < channels; c++) {                                                                         \
                const real h = high[c], l = low[c], a = scale[c], b = shift[c];                                              \
                FOUR_ROWS(const real z = ((x[k * channels + c] - h) - l) * a + b; y[k * channels + c] = ACTIVE(z));          \
            }                                                                                                                \
        for (; i < rows; i++, x += channels, y += channels)                                                                  \
            for (int64_t c = 0; c < channels; c++) {                                                                         \
                const real z = ((x[c] - high[c]) - low[c]) * scale[c] + shift[c];                                            \
                y[c] = ACTIVE(z);                                                                                            \
            }                                                                                                                \
    }                                                                                                                        \
    /* y = ACTIVE((x - mean) scale + shift): per block, sum = sum of dz, product = sum of dz (x - mean), dz = dy ACTIVE' */ \
    static void NAME(name##_backward_sums)(double *restrict sum, double *restrict product, const real *restrict dy,          \
                                           const real *restrict x, const real *restrict table, int64_t rows, int64_t channels, \
                                           int64_t length) {                                                                 \
        const real *restrict high = OF(HIGH), *restrict low = OF(LOW), *restrict scale = OF(SCALE), *restrict shift = OF(SHIFT); \
        (void)scale, (void)shift;                                                                                            \
        for (int64_t c = 0; c < channels; c++) sum[c] = product[c] = 0;                                                      \
        if (length > 1) {                                                                                                    \
            for (int64_t i = 0; i < rows * channels; i++) {                                                                  \
                const int64_t c = i % channels;                                                                              \
                double s = 0, p = 0;                                                                                         \
                for (int64_t j = i * length; j < (i + 1) * length; j++) {                                                    \
                    const real u = (x[j] - high[c]) - low[c], dz = SLOPE(dy[j], u * scale[c] + shift[c]);                    \
                    s += dz, p += (double)dz * u;                                                                            \
                }                                                                                                            \
                sum[c] += s, product[c] += p;                                                                                \
            }                                                                                                                \
            return;                                                                                                          \
        }                                                                                                                    \
        int64_t i = 0;                                                                                                       \
        for (; i + 4 <= rows; i += 4, x += 4 * channels, dy += 4 * channels)                                                 \
            for (int64_t c = 0; c < channels; c++) {                                                                         \
                double u[4], dz[4];                                                                                          \
                FOUR_ROWS(const real v = (x[k * channels + c] - high[c]) - low[c]; u[k] = v;                                 \
                          dz[k] = SLOPE(dy[k * channels + c], v * scale[c] + shift[c]));                                     \
                sum[c] += (dz[0] + dz[1]) + (dz[2] + dz[3]);                                                                 \
                product[c] += (dz[0] * u[0] + dz[1] * u[1]) + (dz[2] * u[2] + dz[3] * u[3]);                                 \
            }                                                                                                                \
        for (; i < rows; i++, x += channels, dy += channels)                                                                 \
            for (int64_t c = 0; c < channels; c++) {                                                                         \
                const real u = (x[c] - high[c]) - low[c], dz = SLOPE(dy[c], u * scale[c] + shift[c]);                        \
                sum[c] += dz, product[c] += (double)dz * u;                                                                  \
            }                                                                                                                \
    }                                                                                                                        \
    /* mean and rstd depend on x too   =>   dx = scale (dz - mean(dz) - x_hat mean(dz x_hat)) = scale dz - constant - (x - mean) slope */ \
    static void NAME(name##_backward)(real *restrict dx, const real *restrict dy, const real *restrict x,                    \
                                      const real *restrict table, const real *restrict constant, const real *restrict slope, \
                                      int64_t rows, int64_t channels, int64_t length) {                                      \
        const real *restrict high = OF(HIGH), *restrict low = OF(LOW), *restrict scale = OF(SCALE), *restrict shift = OF(SHIFT); \
        (void)shift;                                                                                                         \
        if (length > 1) {                                                                                                    \
            for (int64_t i = 0; i < rows * channels; i++) {                                                                  \
                const int64_t c = i % channels;                                                                              \
                const real h = high[c], l = low[c], a = scale[c], b = shift[c], k0 = constant[c], k1 = slope[c];             \
                (void)b;                                                                                                     \
                for (int64_t j = i * length; j < (i + 1) * length; j++) {                                                    \
                    const real u = (x[j] - h) - l;                                                                           \
                    dx[j] = a * SLOPE(dy[j], u * a + b) - k0 - u * k1;                                                       \
                }                                                                                                            \
            }                                                                                                                \
            return;                                                                                                          \
        }                                                                                                                    \
        int64_t i = 0;                                                                                                       \
        for (; i + 4 <= rows; i += 4, x += 4 * channels, dy += 4 * channels, dx += 4 * channels)                             \
            for (int64_t c = 0; c < channels; c++)                                                                           \
                FOUR_ROWS(const real u = (x[k * channels + c] - high[c]) - low[c]; dx[k * channels + c] =                    \
                          scale[c] * SLOPE(dy[k * channels + c], u * scale[c] + shift[c]) - constant[c] - u * slope[c]);     \
        for (; i < rows; i++, x += channels, dy += channels, dx += channels)                                                 \
            for (int64_t c = 0; c < channels; c++) {                                                                         \
                const real u = (x[c] - high[c]) - low[c];                                                                    \
                dx[c] = scale[c] * SLOPE(dy[c], u * scale[c] + shift[c]) - constant[c] - u * slope[c];                       \
            }                                                                                                                \
    }

#define SAME(z) (z)
#define SAME_SLOPE(dy, z) (dy)
NN_BATCH_NORM(batch_norm, SAME, SAME_SLOPE)
NN_BATCH_NORM(batch_norm_relu, NAME(relu_of), NAME(relu_slope))

/* y = (r x_hat + d) weight + bias, x_hat = (x - mean) rstd   =>   dbias = sum of dy, dweight = r sum of dy x_hat + d dbias,
 * and the factors for dx: constant = scale mean(dy), slope = scale rstd mean(dy x_hat); both 0 where the statistics are constants */
static void NAME(batch_norm_backward_statistics)(real *restrict dweight, real *restrict dbias, real *restrict constant,
                                                 real *restrict slope, const double *restrict partials,
                                                 const double *restrict counts, const real *restrict table,
                                                 const int64_t *restrict place, int64_t begin, int64_t end, int64_t rows,
                                                 int64_t channels, int64_t length, int frozen) {
    const double m = (double)rows * (double)length;
    double dz[NN_CHANNELS] = {0}, dz_u[NN_CHANNELS] = {0};
    for (int64_t row = 0; row < rows; row += (int64_t)counts[SLOT(row)]) {
        const double *restrict sum = partials + 2 * SLOT(row) * channels + begin, *restrict product = sum + channels;
        for (int64_t c = 0; c < end - begin; c++) dz[c] += sum[c], dz_u[c] += product[c];
    }
    for (int64_t c = begin; c < end; c++) {
        const int64_t p = place ? place[c] : c;
        const double sum = dz[c - begin], product = dz_u[c - begin] * OF(RSTD)[c];
        constant[c] = p < 0 || frozen ? 0 : (real)(OF(SCALE)[c] * sum / m);
        slope[c] = p < 0 || frozen ? 0 : (real)(OF(SCALE)[c] * OF(RSTD)[c] * product / m);
        if (p < 0) continue;
        dbias[p] = (real)sum;
        dweight[p] = (real)(OF(R)[c] * product + OF(D)[c] * sum);
    }
}

/* ---- the ops; sizes: channels, length, parameters (fewer than channels if only some are normalized)
 * partials are (slots, 3 or 2, channels) double, counts (slots,) double, running (2, parameters) */

#define BLOCK(number, width) ((double *)op->array[number] + SLOT(begin) * (width) * channels)
#define SIZES const int64_t channels = op->size[0], length = op->size[1], first = begin * channels * length
#define CHUNK const int64_t from = begin * NN_CHANNELS, to = MIN(from + NN_CHANNELS, op->size[0])

static void NAME(op_batch_norm_sums)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {
    SIZES;
    (void)context;
    double *origin = BLOCK(0, NN_MOMENTS);
    ((double *)op->array[1])[SLOT(begin)] = (double)(end - begin);
    NAME(batch_norm_sums)(origin, origin + channels, origin + 2 * channels, (const real *)op->array[2] + first, end - begin,
                          channels, length);
}

/* arrays: table, batch, partials, counts, weight, bias, place or NULL; constants: eps; a tile is a chunk of channels */
static void NAME(op_batch_norm_statistics)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {
    CHUNK;
    (void)end;
    NAME(batch_norm_statistics)(op->array[0], op->array[1], op->array[2], op->array[3], op->array[4], op->array[5], op->array[6],
                                NULL, NULL, op->constant[0], from, to, context->rows, op->size[0], op->size[1], op->size[2]);
}

/* arrays: table, batch, partials, counts, weight, bias, place or NULL, running; constants: eps, and r_max, d_max where the step
 * has no coefficients; sizes: ..., columns of the coefficients with r_max, d_max */
static void NAME(op_batch_renorm_statistics)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {
    CHUNK;
    (void)end;
    double limits[2] = {op->constant[1], op->constant[2]};
    if (context->coefficients)
        limits[0] = context->coefficients[op->size[3]], limits[1] = context->coefficients[op->size[4]];
    NAME(batch_norm_statistics)(op->array[0], op->array[1], op->array[2], op->array[3], op->array[4], op->array[5], op->array[6],
                                op->array[7], limits, op->constant[0], from, to, context->rows, op->size[0], op->size[1],
                                op->size[2]);
}

static void NAME(op_batch_norm_constants)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {
    (void)context, (void)begin, (void)end;
    NAME(batch_norm_constants)(op->array[0], op->array[1], op->array[2], op->array[3], op->array[4], op->constant[0],
                               op->size[0], op->size[2]);
}

/* arrays: running, batches, batch, place or NULL; constants: momentum or 0, 1 for the variance divided by m - 1, eps */
#define NN_TRACK_OP(kernel)                                                                                                  \
    static void NAME(op_##kernel)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {                  \
        const double m = (double)context->rows * (double)op->size[1];                                                        \
        (void)begin, (void)end;                                                                                              \
        if (!NAME(kernel)(op->array[0], op->array[1], op->array[2], op->array[3], op->constant[0],                           \
                          op->constant[1] != 0 && m > 1 ? m / (m - 1) : 1, op->constant[2], op->size[0], op->size[2]))       \
            *context->failed |= NN_NOT_FINITE;                                                                               \
    }
NN_TRACK_OP(batch_norm_track)
NN_TRACK_OP(batch_renorm_track)
#undef NN_TRACK_OP

/* arrays: dweight, dbias, factors (2, channels): constant, slope; partials, counts, table, place or NULL; sizes: ..., 1 if the
 * statistics are constants */
static void NAME(op_batch_norm_backward_statistics)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {
    CHUNK;
    real *factors = op->array[2];
    (void)end;
    NAME(batch_norm_backward_statistics)(op->array[0], op->array[1], factors, factors + op->size[0], op->array[3], op->array[4],
                                         op->array[5], op->array[6], from, to, context->rows, op->size[0], op->size[1],
                                         op->size[3] != 0);
}

#define NN_BATCH_NORM_OPS(name)                                                                                              \
    static void NAME(op_##name##_forward)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {          \
        SIZES;                                                                                                               \
        (void)context;                                                                                                       \
        NAME(name##_forward)((real *)op->array[0] + first, (const real *)op->array[1] + first, op->array[2], end - begin,    \
                             channels, length);                                                                              \
    }                                                                                                                        \
    static void NAME(op_##name##_backward_sums)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {    \
        SIZES;                                                                                                               \
        double *sum = BLOCK(0, 2);                                                                                           \
        (void)context;                                                                                                       \
        ((double *)op->array[1])[SLOT(begin)] = (double)(end - begin);                                                       \
        NAME(name##_backward_sums)(sum, sum + channels, (const real *)op->array[2] + first,                                  \
                                   (const real *)op->array[3] + first, op->array[4], end - begin, channels, length);         \
    }                                                                                                                        \
    static void NAME(op_##name##_backward)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {         \
        SIZES;                                                                                                               \
        const real *factors = op->array[4];                                                                                  \
        (void)context;                                                                                                       \
        NAME(name##_backward)((real *)op->array[0] + first, (const real *)op->array[1] + first,                              \
                              (const real *)op->array[2] + first, op->array[3], factors, factors + channels, end - begin,    \
                              channels, length);                                                                             \
    }

NN_BATCH_NORM_OPS(batch_norm)
NN_BATCH_NORM_OPS(batch_norm_relu)

#undef OF
#undef SAME
#undef SAME_SLOPE
#undef NN_BATCH_NORM
#undef NN_BATCH_NORM_OPS
#undef BLOCK
#undef SIZES
#undef CHUNK

