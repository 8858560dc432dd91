/* What happens to a gradient between backward pass and update, tile by tile: penalties and clipping; and after the update the
 * penalty that works on the parameters themselves.
 *
 * All take the tile table of the update (optimizers.h): array[7], rows of (offset into theta, rows, columns, row stride). */

/* Sums go by 16 chains: chain k adds up every sixteenth number from the k-th on. A single one would wait for each addition. */
static double NAME(chains)(const double *chain) {
    double sum[4];
    for (int k = 0; k < 4; k++) sum[k] = (chain[k] + chain[k + 4]) + (chain[k + 8] + chain[k + 12]);
    return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

static double NAME(square_sum)(const real *grad, int64_t n) {
    double chain[16] = {0};
    int64_t i = 0;
    for (; i + 16 <= n; i += 16)
        for (int k = 0; k < 16; k++) chain[k] += (double)grad[i + k] * grad[i + k];
    for (int k = 0; i < n; i++, k++) chain[k] += (double)grad[i] * grad[i];
    return NAME(chains)(chain);
}

static double NAME(magnitude_sum)(const real *theta, int64_t n) {
    double chain[16] = {0};
    int64_t i = 0;
    for (; i + 16 <= n; i += 16)
        for (int k = 0; k < 16; k++) chain[k] += NAME(nn_abs)(theta[i + k]);
    for (int k = 0; i < n; i++, k++) chain[k] += NAME(nn_abs)(theta[i]);
    return NAME(chains)(chain);
}

/* Penalty l1 |w| + ½ l2 w²:  g += l1 sign(w) + l2 w; returns the penalty of this stretch.  One pass; of the sums only those that
 * count. */
NN_INLINE double NAME(penalize)(real *restrict grad, const real *restrict theta, real l1, real l2, int64_t n, const int absolute,
                                const int squared) {
    double magnitude[16] = {0}, square[16] = {0};
    int64_t i = 0;
    for (; i + 16 <= n; i += 16)
        for (int k = 0; k < 16; k++) {
            const real w = theta[i + k];
            grad[i + k] += (squared ? l2 * w : 0) + (absolute ? (w > 0 ? l1 : 0) - (w < 0 ? l1 : 0) : 0);
            if (absolute) magnitude[k] += NAME(nn_abs)(w);
            if (squared) square[k] += (double)w * w;
        }
    for (int k = 0; i < n; i++, k++) {
        const real w = theta[i];
        grad[i] += (squared ? l2 * w : 0) + (absolute ? (w > 0 ? l1 : 0) - (w < 0 ? l1 : 0) : 0);
        if (absolute) magnitude[k] += NAME(nn_abs)(w);
        if (squared) square[k] += (double)w * w;
    }
    return (absolute ? l1 * NAME(chains)(magnitude) : 0) + (squared ? 0.5 * l2 * NAME(chains)(square) : 0);
}

static double NAME(penalty)(real *restrict grad, const real *restrict theta, real l1, real l2, int64_t n) {
    if (l1 == 0) return NAME(penalize)(grad, theta, l1, l2, n, 0, 1);
    return l2 == 0 ? NAME(penalize)(grad, theta, l1, l2, n, 1, 0) : NAME(penalize)(grad, theta, l1, l2, n, 1, 1);
}

/* g = min(max(g, -limit), limit); NaN stays. */
static int NAME(clip_value)(real *grad, real limit, int64_t n) {
    int acted = 0;    /* was a g beyond the limit? */
    for (int64_t i = 0; i < n; i++) {
        const real g = grad[i];
        acted |= (g > limit) | (g < -limit);
        grad[i] = g > limit ? limit : g < -limit ? -limit : g;
    }
    return acted;
}

static void NAME(scale)(real *grad, real factor, int64_t n) {
    for (int64_t i = 0; i < n; i++) grad[i] *= factor;
}

/* Proximal step of a penalty threshold / lr * |w|:  w <- sign(w) max(|w| - threshold, 0), exactly 0 within the threshold.
 * Where the gradient is taken elsewhere, at `ahead` (or NULL) = w + mu v, this moves along: computed as the optimizer computes it,
 * so that nothing is lost when it begins anew from w. */
static void NAME(shrink)(real *restrict theta, real *restrict ahead, const real *restrict v, real mu, real threshold, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        const real w = theta[i], less = w > 0 ? w - threshold : w + threshold;
        const real shrunk = (w > 0) == (less > 0) && less != 0 ? less : 0;
        theta[i] = shrunk;
        if (ahead) ahead[i] = shrunk + mu * v[i];
    }
}

/* arrays: g, theta, penalty of each tile (double), strengths (tiles, 2) double: l1, l2; and NULL or
 * (tiles,) double: an l1 that is left to `shrink` */
static void NAME(op_penalty)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {
    (void)context;
    for (int64_t t = begin; t < end; t++) {
        const double *strength = (const double *)op->array[3] + 2 * t;
        const double left = op->array[4] ? ((const double *)op->array[4])[t] : 0;
        double sum = 0;
        if (strength[0] != 0 || strength[1] != 0)
            FOR_STRETCHES(t, sum += NAME(penalty)((real *)op->array[0] + at, (const real *)op->array[1] + at, (real)strength[0],
                                                  (real)strength[1], n));
        if (left != 0) FOR_STRETCHES(t, sum += left * NAME(magnitude_sum)((const real *)op->array[1] + at, n));
        ((double *)op->array[2])[t] = sum;
    }
}

/* arrays: theta, ahead or NULL, strength of each tile (double), v or NULL; sizes: columns of the learning rate and of mu in the
 * coefficients */
static void NAME(op_shrink)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {
    const double lr = context->coefficients[op->size[0]];
    real *ahead = op->array[1];
    const real *v = op->array[3], mu = ahead ? (real)context->coefficients[op->size[1]] : 0;
    for (int64_t t = begin; t < end; t++) {
        const double strength = ((const double *)op->array[2])[t];
        if (strength != 0)
            FOR_STRETCHES(t, NAME(shrink)((real *)op->array[0] + at, ahead ? ahead + at : NULL, ahead ? v + at : NULL, mu,
                                          (real)(lr * strength), n));
    }
}

/* arrays: g, whether it acted on each tile (0 or 1, double) or NULL; constants: limit */
static void NAME(op_clip_value)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {
    (void)context;
    for (int64_t t = begin; t < end; t++) {
        int acted = 0;
        FOR_STRETCHES(t, acted |= NAME(clip_value)((real *)op->array[0] + at, (real)op->constant[0], n));
        if (op->array[1]) ((double *)op->array[1])[t] = acted;
    }
}

/* arrays: sums of squares of each tile (double), g */
static void NAME(op_square_sum)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {
    (void)context;
    for (int64_t t = begin; t < end; t++) {
        double sum = 0;
        FOR_STRETCHES(t, sum += NAME(square_sum)((const real *)op->array[1] + at, n));
        ((double *)op->array[0])[t] = sum;
    }
}

/* Per group of tiles: factor = min(1, limit / norm), norm² the sum over the group's tiles in order.
 * arrays: factor of each tile (double), sums of squares of each tile, first tile of each group (groups + 1,) int64, whether it
 * acted on each group (0 or 1, double) or NULL;  sizes: groups; constants: limit */
static void NAME(op_clip_factor)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {
    const int64_t *first = op->array[2];
    (void)context, (void)begin, (void)end;
    for (int64_t group = 0; group < op->size[0]; group++) {
        double sum = 0;
        for (int64_t t = first[group]; t < first[group + 1]; t++) sum += ((const double *)op->array[1])[t];
        const double norm = sqrt(sum), factor = norm > op->constant[0] ? op->constant[0] / norm : 1.0;
        for (int64_t t = first[group]; t < first[group + 1]; t++) ((double *)op->array[0])[t] = factor;
        if (op->array[3]) ((double *)op->array[3])[group] = factor < 1;
    }
}

/* arrays: g, factor of each tile (double) */
static void NAME(op_scale_gradient)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {
    (void)context;
    for (int64_t t = begin; t < end; t++) {
        const double factor = ((const double *)op->array[1])[t];
        if (factor != 1.0) FOR_STRETCHES(t, NAME(scale)((real *)op->array[0] + at, (real)factor, n));
    }
}
