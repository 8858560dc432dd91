/* Pearlmutter's R-operator (tangents.h) through normalization.  With mean and rstd = 1 / sqrt(variance + eps) of some numbers x,
 *     x_hat = rstd (x - mean),   y = w x_hat + b,   dx = rstd (g - mean(g) - q x_hat),   g = w dy,   q = mean(g x_hat),
 * and, as mean and rstd depend on x, with v_w and v_b the direction's parts for w and b
 *     tx_hat = rstd (tx - mean(tx) - p x_hat),   p = mean(tx x_hat),   trstd = -rstd^2 p,
 *     ty = w tx_hat + v_w x_hat + v_b,   tg = w tdy + v_w dy,   tq = mean(tg x_hat + g tx_hat),
 *     tdx = trstd (g - mean(g) - q x_hat) + rstd (tg - mean(tg) - tq x_hat - q tx_hat),
 *     tdw = sum of tdy x_hat + dy tx_hat,   tdb = sum of tdy.
 * Statistics that are constants are the same with all means 0; rms norm is the same without mean(tx), mean(g), mean(tg).
 * All is computed in double.  Included twice, after batch_norm.h and group_norm.h. */

NN_INLINE double NAME(x_hat_tangent)(double tx, double x_hat, double rstd, double mean_tx, double p) {
    return rstd * ((tx - mean_tx) - p * x_hat);
}

NN_INLINE double NAME(dx_tangent)(double g, double tg, double x_hat, double tx_hat, double rstd, double p, double mean_g, double q,
                                  double mean_tg, double tq) {
    return rstd * ((tg - mean_tg) - tq * x_hat - q * tx_hat) - rstd * rstd * p * ((g - mean_g) - q * x_hat);
}

/* ---- batch norm: w, b, mean and rstd of a channel, from its table (batch_norm.h).  The constants for R{} are in
 * tangents (NN_TANGENTS, channels) double: the first five for the forward pass, the others for the backward pass. -------------- */

#define OF(column) table[NN_##column * channels + c]
#define R_OF(column) tangents[NN_R_##column * channels + c]
#define SLOT(row) ((row) / NN_SLOT_ROWS)
#define X_HAT const double rstd = OF(RSTD), x_hat = (double)((x[j] - OF(HIGH)) - OF(LOW)) * rstd
#define TX_HAT NAME(x_hat_tangent)(tx[j], x_hat, rstd, R_OF(MEAN_TX), R_OF(P))

/* A run is a row, a channel each number (step 1), or the length of one channel (step 0): table and tangents begin there. */
#define EACH_RUN(f, ...)                                                                                                     \
    for (int64_t i = 0; i < (length == 1 ? rows : rows * channels); i++) {                                                   \
        const int64_t at = i * (length == 1 ? channels : length), c = length == 1 ? 0 : i % channels;                        \
        if (length == 1) f(__VA_ARGS__, channels, channels, 1);                                                              \
        else f(__VA_ARGS__, channels, length, 0);                                                                            \
    }

/* From the sums over blocks of tx and tx (x - mean), partials (slots, 2, channels):  mean(tx), p;  constants: 0.
 * A channel that is not normalized has w = 1 and mean 0. */
static void NAME(batch_norm_tangent_statistics)(double *restrict tangents, const double *restrict partials,
                                                const double *restrict counts, const real *restrict table,
                                                const real *restrict weight, const real *restrict v_weight,
                                                const real *restrict v_bias, const int64_t *restrict place, int64_t begin,
                                                int64_t end, int64_t rows, int64_t channels, int64_t length, int constant) {
    const double m = (double)rows * (double)length;
    for (int64_t c = begin; c < end; c++) {
        const int64_t p = place ? place[c] : c;
        double sum = 0, product = 0;
        if (!constant && p >= 0)
            for (int64_t row = 0; row < rows; row += (int64_t)counts[SLOT(row)]) {
                const double *block = partials + 2 * SLOT(row) * channels + c;
                sum += block[0], product += block[channels];
            }
        R_OF(W) = p < 0 ? 1 : weight[p], R_OF(V_W) = p < 0 ? 0 : v_weight[p], R_OF(V_B) = p < 0 ? 0 : v_bias[p];
        R_OF(MEAN_TX) = sum / m, R_OF(P) = product * OF(RSTD) / m;
    }
}

/* ty = w tx_hat + v_w x_hat + v_b */
NN_INLINE void NAME(batch_norm_tangent_run)(real *restrict ty, const real *restrict tx, const real *restrict x,
                                            const real *restrict table, const double *restrict tangents, int64_t channels,
                                            int64_t n, int64_t step) {
    for (int64_t j = 0; j < n; j++) {
        const int64_t c = j * step;
        X_HAT;
        ty[j] = (real)(R_OF(W) * TX_HAT + R_OF(V_W) * x_hat + R_OF(V_B));
    }
}

static void NAME(batch_norm_tangent_forward)(real *ty, const real *tx, const real *x, const real *table, const double *tangents,
                                             int64_t rows, int64_t channels, int64_t length) {
    EACH_RUN(NAME(batch_norm_tangent_run), ty + at, tx + at, x + at, table + c, tangents + c)
}

/* Per block, sum += tdy and product += tdy x_hat + dy tx_hat */
NN_INLINE void NAME(batch_norm_tangent_sums_run)(double *restrict sum, double *restrict product, const real *restrict tdy,
                                                 const real *restrict dy, const real *restrict tx, const real *restrict x,
                                                 const real *restrict table, const double *restrict tangents,
                                                 int64_t channels, int64_t n, int64_t step) {
    for (int64_t j = 0; j < n; j++) {
        const int64_t c = j * step;
        X_HAT;
        sum[c] += tdy[j], product[c] += tdy[j] * x_hat + dy[j] * TX_HAT;
    }
}

static void NAME(batch_norm_tangent_backward_sums)(double *sum, double *product, const real *tdy, const real *dy, const real *tx,
                                                   const real *x, const real *table, const double *tangents, int64_t rows,
                                                   int64_t channels, int64_t length) {
    for (int64_t c = 0; c < channels; c++) sum[c] = product[c] = 0;
    EACH_RUN(NAME(batch_norm_tangent_sums_run), sum + c, product + c, tdy + at, dy + at, tx + at, x + at, table + c, tangents + c)
}

/* dw = sum of dy x_hat, db = sum of dy   =>   tdw, tdb from the blocks' sums of the above; and, with `plain` the blocks' sums of
 * dy and dy (x - mean), the constants for tdx: mean(g), q, mean(tg), tq */
static void NAME(batch_norm_tangent_backward_statistics)(real *restrict tdweight, real *restrict tdbias, double *restrict tangents,
                                                         const double *restrict partials, const double *restrict plain,
                                                         const double *restrict counts, const real *restrict table,
                                                         const int64_t *restrict place, int64_t begin, int64_t end, int64_t rows,
                                                         int64_t channels, int64_t length, int constant) {
    const double m = (double)rows * (double)length;
    for (int64_t c = begin; c < end; c++) {
        const int64_t p = place ? place[c] : c;
        double tdy = 0, t_product = 0, dy = 0, product = 0;
        for (int64_t row = 0; row < rows; row += (int64_t)counts[SLOT(row)]) {
            const int64_t block = 2 * SLOT(row) * channels + c;
            tdy += partials[block], t_product += partials[block + channels];
            dy += plain[block], product += plain[block + channels] * OF(RSTD);
        }
        if (p >= 0) tdweight[p] = (real)t_product, tdbias[p] = (real)tdy;
        const double share = constant || p < 0 ? 0 : 1 / m, w = R_OF(W), v_w = R_OF(V_W);
        R_OF(MEAN_G) = share * w * dy, R_OF(Q) = share * w * product;
        R_OF(MEAN_TG) = share * (w * tdy + v_w * dy), R_OF(TQ) = share * (w * t_product + v_w * product);
    }
}

/* dx = rstd (g - mean(g) - q x_hat)   =>   tdx */
NN_INLINE void NAME(batch_norm_tangent_backward_run)(real *restrict tdx, const real *restrict tdy, const real *restrict dy,
                                                     const real *restrict tx, const real *restrict x, const real *restrict table,
                                                     const double *restrict tangents, int64_t channels, int64_t n, int64_t step) {
    for (int64_t j = 0; j < n; j++) {
        const int64_t c = j * step;
        X_HAT;
        const double g = R_OF(W) * dy[j], tg = R_OF(W) * tdy[j] + R_OF(V_W) * dy[j];
        tdx[j] = (real)NAME(dx_tangent)(g, tg, x_hat, TX_HAT, rstd, R_OF(P), R_OF(MEAN_G), R_OF(Q), R_OF(MEAN_TG), R_OF(TQ));
    }
}

static void NAME(batch_norm_tangent_backward)(real *tdx, const real *tdy, const real *dy, const real *tx, const real *x,
                                              const real *table, const double *tangents, int64_t rows, int64_t channels,
                                              int64_t length) {
    EACH_RUN(NAME(batch_norm_tangent_backward_run), tdx + at, tdy + at, dy + at, tx + at, x + at, table + c, tangents + c)
}

/* ---- the ops of batch norm; sizes: channels, length, parameters, and of the tiles: 1 if the statistics are constants */

#define ROWS_OF(number) ((real *)op->array[number] + begin * op->size[0] * op->size[1])
#define CHUNK const int64_t from = begin * NN_CHANNELS, to = MIN(from + NN_CHANNELS, op->size[0])

/* arrays: tangents, partials, counts, table, weight, v_weight, v_bias, place or NULL; a tile is a chunk of channels */
static void NAME(op_batch_norm_tangent_statistics)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {
    CHUNK;
    (void)end;
    NAME(batch_norm_tangent_statistics)(op->array[0], op->array[1], op->array[2], op->array[3], op->array[4], op->array[5],
                                        op->array[6], op->array[7], from, to, context->rows, op->size[0], op->size[1],
                                        op->size[3] != 0);
}

static void NAME(op_batch_norm_tangent_forward)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {
    (void)context;
    NAME(batch_norm_tangent_forward)(ROWS_OF(0), ROWS_OF(1), ROWS_OF(2), op->array[3], op->array[4], end - begin, op->size[0],
                                     op->size[1]);
}

static void NAME(op_batch_norm_tangent_backward_sums)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {
    double *sum = (double *)op->array[0] + 2 * SLOT(begin) * op->size[0];
    (void)context;
    NAME(batch_norm_tangent_backward_sums)(sum, sum + op->size[0], ROWS_OF(1), ROWS_OF(2), ROWS_OF(3), ROWS_OF(4), op->array[5],
                                           op->array[6], end - begin, op->size[0], op->size[1]);
}

static void NAME(op_batch_norm_tangent_backward_statistics)(const nn_op *op, const nn_context *context, int64_t begin,
                                                            int64_t end) {
    CHUNK;
    (void)end;
    NAME(batch_norm_tangent_backward_statistics)(op->array[0], op->array[1], op->array[2], op->array[3], op->array[4],
                                                 op->array[5], op->array[6], op->array[7], from, to, context->rows, op->size[0],
                                                 op->size[1], op->size[3] != 0);
}

static void NAME(op_batch_norm_tangent_backward)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {
    (void)context;
    NAME(batch_norm_tangent_backward)(ROWS_OF(0), ROWS_OF(1), ROWS_OF(2), ROWS_OF(3), ROWS_OF(4), op->array[5], op->array[6],
                                      end - begin, op->size[0], op->size[1]);
}
#undef X_HAT
#undef TX_HAT

/* ---- group, instance, layer and rms norm: statistics (rows, groups, 3) and share as in group_norm.h --------------------- */

/* mean(tx) and p of one group */
NN_INLINE void NAME(group_tangent_means)(double *mean_tx, double *p, const real *restrict tx, const real *restrict x,
                                         const real *restrict s, int64_t size, int centered) {
    double sum = 0, product = 0;
    for (int64_t j = 0; j < size; j++) sum += tx[j], product += (double)tx[j] * ((x[j] - s[0]) - s[1]);
    *mean_tx = centered ? sum / (double)size : 0, *p = product * s[2] / (double)size;
}

#define X_HAT const double x_hat = (double)((x[j] - s[0]) - s[1]) * rstd
#define TX_HAT NAME(x_hat_tangent)(tx[j], x_hat, rstd, mean_tx, p)
#define OF_GROUP                                                                                                             \
    double mean_tx, p;                                                                                                       \
    const real *restrict s = statistics + NN_GROUP_STATISTICS * i;                                                           \
    const double rstd = s[2];                                                                                                \
    const int64_t own = i % groups * (size / share); /* its first weight */                                                  \
    NAME(group_tangent_means)(&mean_tx, &p, tx, x, s, size, centered)

/* ty = w tx_hat + v_w x_hat + v_b */
NN_INLINE void NAME(normalize_groups_tangent)(real *restrict ty, const real *restrict tx, const real *restrict x,
                                              const real *restrict statistics, const real *restrict weight,
                                              const real *restrict v_weight, const real *restrict v_bias, int64_t rows,
                                              int64_t groups, int64_t size, int64_t share, int centered) {
    for (int64_t i = 0; i < rows * groups; i++, ty += size, tx += size, x += size) {
        OF_GROUP;
        for (int64_t j = 0; j < size; j++) {
            const int64_t k = own + j / share;
            X_HAT;
            ty[j] = (real)(weight[k] * TX_HAT + v_weight[k] * x_hat + v_bias[k]);
        }
    }
}

/* dx = rstd (g - mean(g) - q x_hat)   =>   tdx */
NN_INLINE void NAME(normalize_groups_tangent_backward)(real *restrict tdx, const real *restrict tdy, const real *restrict dy,
                                                       const real *restrict tx, const real *restrict x,
                                                       const real *restrict statistics, const real *restrict weight,
                                                       const real *restrict v_weight, int64_t rows, int64_t groups, int64_t size,
                                                       int64_t share, int centered) {
    for (int64_t i = 0; i < rows * groups; i++, tdx += size, tdy += size, dy += size, tx += size, x += size) {
        double mean_g = 0, q = 0, mean_tg = 0, tq = 0;
        OF_GROUP;
        for (int64_t j = 0; j < size; j++) {
            const double w = weight[own + j / share], g = w * dy[j], tg = w * tdy[j] + (double)v_weight[own + j / share] * dy[j];
            X_HAT;
            mean_g += g, q += g * x_hat, mean_tg += tg, tq += tg * x_hat + g * TX_HAT;
        }
        mean_g = centered ? mean_g / (double)size : 0, mean_tg = centered ? mean_tg / (double)size : 0;
        q /= (double)size, tq /= (double)size;
        for (int64_t j = 0; j < size; j++) {
            const double w = weight[own + j / share], g = w * dy[j], tg = w * tdy[j] + (double)v_weight[own + j / share] * dy[j];
            X_HAT;
            tdx[j] = (real)NAME(dx_tangent)(g, tg, x_hat, TX_HAT, rstd, p, mean_g, q, mean_tg, tq);
        }
    }
}

/* dw = sum of dy x_hat, db = sum of dy   =>   per block, tdw = sum of tdy x_hat + dy tx_hat, tdb = sum of tdy */
NN_INLINE void NAME(normalize_groups_tangent_backward_weight)(double *restrict tdw, double *restrict tdb, const real *restrict tdy,
                                                              const real *restrict dy, const real *restrict tx,
                                                              const real *restrict x, const real *restrict statistics,
                                                              int64_t rows, int64_t groups, int64_t size, int64_t share,
                                                              int centered) {
    for (int64_t k = 0; k < groups * size / share; k++) tdw[k] = tdb[k] = 0;
    for (int64_t i = 0; i < rows * groups; i++, tdy += size, dy += size, tx += size, x += size) {
        OF_GROUP;
        for (int64_t j = 0; j < size; j++) {
            X_HAT;
            tdw[own + j / share] += tdy[j] * x_hat + dy[j] * TX_HAT, tdb[own + j / share] += tdy[j];
        }
    }
}

/* ---- the ops; sizes: groups, size of a group, share
 * arrays: ty, tx, x, statistics, weight, v_weight, v_bias / tdx, tdy, dy, tx, x, statistics, weight, v_weight /
 *         partials, tdy, dy, tx, x, statistics */
#define STATISTICS_OF(number) ((const real *)op->array[number] + NN_GROUP_STATISTICS * begin * op->size[0])
#define NN_GROUP_NORM_TANGENT(name, centered)                                                                                 \
    static void NAME(op_##name##_tangent_forward)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {  \
        (void)context;                                                                                                       \
        NAME(normalize_groups_tangent)(ROWS_OF(0), ROWS_OF(1), ROWS_OF(2), STATISTICS_OF(3), op->array[4], op->array[5],     \
                                       op->array[6], end - begin, op->size[0], op->size[1], op->size[2], centered);           \
    }                                                                                                                        \
    static void NAME(op_##name##_tangent_backward)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) { \
        (void)context;                                                                                                       \
        NAME(normalize_groups_tangent_backward)(ROWS_OF(0), ROWS_OF(1), ROWS_OF(2), ROWS_OF(3), ROWS_OF(4), STATISTICS_OF(5), \
                                                op->array[6], op->array[7], end - begin, op->size[0], op->size[1],           \
                                                op->size[2], centered);                                                       \
    }                                                                                                                        \
    static void NAME(op_##name##_tangent_backward_weight)(const nn_op *op, const nn_context *context, int64_t begin,         \
                                                          int64_t end) {                                                     \
        const int64_t parameters = op->size[0] * op->size[1] / op->size[2];                                                  \
        double *tdw = (double *)op->array[0] + 2 * SLOT(begin) * parameters;                                                 \
        (void)context;                                                                                                       \
        NAME(normalize_groups_tangent_backward_weight)(tdw, tdw + parameters, ROWS_OF(1), ROWS_OF(2), ROWS_OF(3), ROWS_OF(4), \
                                                       STATISTICS_OF(5), end - begin, op->size[0], op->size[1],              \
                                                       op->size[2], centered);                                                \
    }

NN_GROUP_NORM_TANGENT(group_norm, 1)
NN_GROUP_NORM_TANGENT(rms_norm, 0)

#undef OF
#undef R_OF
#undef SLOT
#undef X_HAT
#undef TX_HAT
#undef EACH_RUN
#undef ROWS_OF
#undef CHUNK
#undef OF_GROUP
#undef STATISTICS_OF
#undef NN_GROUP_NORM_TANGENT
