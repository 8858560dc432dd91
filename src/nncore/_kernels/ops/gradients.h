/* Ops on a gradient between backward pass and update, tile by tile: penalties and clipping; and the proximal step on the
 * parameters after the update.
 *
 * All use the tile table of the update (tiles.h); the projections use one whose tiles have whole rows. */

/* Sums over a tile use CHAINS chains: chain k sums every CHAINS-th number of a contiguous range from the k-th on.  A single chain
 * would wait for each addition.  LOOP_CHAINS runs `body` for element i, chain k. */
#define CHAINS 16
#define LOOP_CHAINS(body)                                                                                                      \
    do {                                                                                                                       \
        int64_t first = 0;                                                                                                     \
        for (; first + CHAINS <= n; first += CHAINS)                                                                           \
            for (int k = 0; k < CHAINS; k++) { const int64_t i = first + k; body }                                             \
        for (int k = 0; first + k < n; k++) { const int64_t i = first + k; body }                                              \
    } while (0)

static double NAME(total)(const double *chain) {
    double sum[4];
    for (int k = 0; k < 4; k++) sum[k] = (chain[k] + chain[k + 4]) + (chain[k + 8] + chain[k + 12]);
    return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

static void NAME(square_sum)(double *restrict square, const real *restrict grad, int64_t n) {
    LOOP_CHAINS(square[k] += (double)grad[i] * grad[i];);
}

static void NAME(magnitude_sum)(double *restrict magnitude, const real *restrict theta, int64_t n) {
    LOOP_CHAINS(magnitude[k] += NAME(nn_abs)(theta[i]););
}

/* Penalties l1 |w| and ½ l2 w²:  g += l1 sign(w) + l2 w, and the sums of |w| and w² in the same pass. */
static void NAME(penalty_l1)(real *restrict grad, double *restrict magnitude, const real *restrict theta, real l1, int64_t n) {
    LOOP_CHAINS(
        const real w = theta[i];
        grad[i] += w == 0 ? 0 : NAME(nn_with_sign)(l1, w);
        magnitude[k] += NAME(nn_abs)(w););
}

static void NAME(penalty_l2)(real *restrict grad, double *restrict square, const real *restrict theta, real l2, int64_t n) {
    LOOP_CHAINS(
        const real w = theta[i];
        grad[i] += l2 * w;
        square[k] += (double)w * w;);
}

static void NAME(penalty_both)(real *restrict grad, double *restrict magnitude, double *restrict square,
                               const real *restrict theta, real l1, real l2, int64_t n) {
    LOOP_CHAINS(
        const real w = theta[i];
        grad[i] += l2 * w + (w == 0 ? 0 : NAME(nn_with_sign)(l1, w));
        magnitude[k] += NAME(nn_abs)(w);
        square[k] += (double)w * w;);
}

/* g = min(max(g, -limit), limit); NaN stays.  In the same pass the sum of squares before clipping, and acted[k]: whether any g exceeded the limit */
static void NAME(clip_value)(real *restrict grad, double *restrict square, integer *restrict acted, real limit, int64_t n) {
    LOOP_CHAINS(
        const real g = grad[i];
        const real within = g > limit ? limit : g;
        grad[i] = within < -limit ? -limit : within;
        acted[k] |= NAME(nn_abs)(g) > limit;
        square[k] += (double)g * g;);
}

/* g *= factor, also for factors too small to be represented (see clip_factor). */
static void NAME(scale)(real *grad, double factor, int64_t n) {
#if REAL_IS_FLOAT
    if (factor < FLT_MIN)
        for (int64_t i = 0; i < n; i++) grad[i] = (real)(grad[i] * factor);
#else
    if (factor < 0)
        for (int64_t i = 0; i < n; i++) grad[i] = grad[i] * 0x1p-1000 * -factor;
#endif
    else
        for (int64_t i = 0; i < n; i++) grad[i] *= (real)factor;
}

/* As square_sum, of 2^-600 g: for sums that would overflow. */
static void NAME(small_square_sum)(double *restrict square, const real *restrict grad, int64_t n) {
    LOOP_CHAINS(const double g = 0x1p-600 * grad[i]; square[k] += g * g;);
}

/* Proximal step of a penalty threshold / lr * |w|:  w <- sign(w) max(|w| - threshold, 0), exactly 0 within the threshold.
 * If the gradient is taken at the look-ahead point `ahead` (or NULL) = w + mu v, that point is updated too, computed as the
 * optimizer computes it, so that restarting from w gives the same bits. */
static void NAME(shrink)(real *restrict theta, real *restrict ahead, const real *restrict v, real mu, real threshold, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        const real w = theta[i], less = w > 0 ? w - threshold : w + threshold;
        const real shrunk = (w > 0) == (less > 0) && less != 0 ? less : 0;
        theta[i] = shrunk;
        if (ahead) ahead[i] = shrunk + mu * v[i];
    }
}

/* arrays: g, theta, penalty of each tile (double), strengths (tiles, 2) double: l1, l2; and NULL or
 * (tiles,) double: an l1 that `shrink` applies */
static void NAME(op_penalty)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; t++) {
        const double *strength = (const double *)op->array[3] + 2 * t;
        const double left = op->array[4] ? ((const double *)op->array[4])[t] : 0;
        double magnitude[CHAINS] = {0}, square[CHAINS] = {0};
        const real l1 = (real)strength[0], l2 = (real)strength[1];
        const real *theta = op->array[1];
        if (l1 != 0 && l2 != 0)
            FOR_STRETCHES(t, NAME(penalty_both)(STRETCH(op->array[0]), magnitude, square, theta + at, l1, l2, n));
        else if (l1 != 0)
            FOR_STRETCHES(t, NAME(penalty_l1)(STRETCH(op->array[0]), magnitude, theta + at, l1, n));
        else if (l2 != 0)
            FOR_STRETCHES(t, NAME(penalty_l2)(STRETCH(op->array[0]), square, theta + at, l2, n));
        if (left != 0 && l1 == 0) FOR_STRETCHES(t, NAME(magnitude_sum)(magnitude, theta + at, n));
        ((double *)op->array[2])[t] = (l1 + left) * NAME(total)(magnitude) + 0.5 * l2 * NAME(total)(square);
    }
}

/* arrays: theta, ahead or NULL, strength of each tile (double), v or NULL; sizes: columns of the learning rate and of mu in the
 * coefficients */
static void NAME(op_shrink)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {
    real *ahead = op->array[1];
    const real *v = op->array[3], mu = ahead ? (real)context->coefficients[op->size[1]] : 0;
    for (int64_t t = begin; t < end; t++) {
        const double strength = ((const double *)op->array[2])[t];
        if (strength != 0)
            FOR_STRETCHES(t, NAME(shrink)((real *)op->array[0] + at, ahead ? ahead + at : NULL, ahead ? v + at : NULL, mu,
                                          (real)(TILE_COEFFICIENTS[op->size[0]] * strength), n));
    }
}

/* Batches in parts: sum <- the gradients of the parts so far; after the last part g <- sum + g.  Without other parts nothing is
 * left to do. */
static void NAME(accumulate)(real *restrict sum, real *restrict grad, const nn_context *context, int64_t n) {
    if (!context->partial)
        for (int64_t i = 0; i < n; i++) grad[i] += sum[i];
    else if (context->first_row)
        for (int64_t i = 0; i < n; i++) sum[i] += grad[i];
    else memcpy(sum, grad, (size_t)n * sizeof(real));
}

/* arrays: sum, g */
static void NAME(op_accumulate)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {
    if (!context->partial && !context->first_row) return;
    for (int64_t t = begin; t < end; t++)
        FOR_STRETCHES(t, NAME(accumulate)((real *)op->array[0] + at, STRETCH(op->array[1]), context, n));
}

/* Parts of a batch that several processes share: gradients are added along a binary tree over the parts.  Those that have no
 * sibling yet lie on a stack of `nodes`.  A part's gradient is added to as many as it completes:
 * g <- node + g for the `joins` nodes below `top`, from the last; and is then put in their place, unless it is all there is. */
static void NAME(join_parts)(real *restrict nodes, real *restrict grad, int64_t size, int64_t top, int64_t joins, int keep, int64_t n) {
    for (int64_t node = top - 1; node >= top - joins; node--)
        for (int64_t i = 0; i < n; i++) grad[i] = nodes[node * size + i] + grad[i];
    if (keep) memcpy(nodes + (top - joins) * size, grad, (size_t)n * sizeof(real));
}

/* arrays: nodes (nodes, n), g, plan int64 (parts, 2): top and joins of each part; sizes: rows of a part, number of the first part */
static void NAME(op_join_parts)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {
    const int64_t part = context->first_row / op->size[0] - op->size[1], size = op->stride[0] / (int64_t)sizeof(real);
    const int64_t *plan = (const int64_t *)op->array[2] + 2 * part, top = plan[0], joins = plan[1];
    const int keep = context->partial || top > joins;
    for (int64_t t = begin; t < end; t++)
        FOR_STRETCHES(t, NAME(join_parts)((real *)op->array[0] + at, STRETCH(op->array[1]), size, top, joins, keep, n));
}

/* The rest of the tree, on a slice of the gradient: nodes[left] += nodes[right] in the order of the plan; then g <- nodes[0].
 * arrays: g, nodes (nodes, n), plan int64: number of additions, -1: g is complete already; then left and right of each;
 * sizes: numbers of a tile */
static void NAME(op_sum_nodes)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {
    const int64_t *plan = op->array[2], size = op->stride[1] / (int64_t)sizeof(real), first = begin * op->size[0];
    const int64_t last = end * op->size[0] < op->length[0] ? end * op->size[0] : op->length[0];
    (void)context;
    if (plan[0] < 0) return;
    real *nodes = op->array[1];
    for (int64_t k = 0; k < plan[0]; k++) {
        real *restrict left = nodes + plan[2 * k + 1] * size;
        const real *restrict right = nodes + plan[2 * k + 2] * size;
        for (int64_t i = first; i < last; i++) left[i] += right[i];
    }
    if (first < last) memcpy((real *)op->array[0] + first, nodes + first, (size_t)(last - first) * sizeof(real));
}

/* ||w||, without overflow where w^2 has one */
static double NAME(norm)(const real *restrict w, int64_t n) {
    double largest = 0, square[CHAINS] = {0};
    for (int64_t i = 0; i < n; i++) {
        const double size = NAME(nn_abs)(w[i]);
        largest = size > largest ? size : largest;
    }
    if (largest == 0) return 0;
    LOOP_CHAINS(const double share = w[i] / largest; square[k] += share * share;);
    return largest * sqrt(NAME(total)(square));
}

/* Projections of the weights w of a unit onto a set, after the update:
 *     norm in [lower, upper]     w <- w min(max(||w||, lower), upper) / ||w||;  w = 0 stays
 *     at least 0                 w <- max(w, 0)
 * As in `shrink`, a look-ahead point follows. */
static void NAME(project_norm)(real *restrict w, int64_t n, double lower, double upper) {
    const double norm = NAME(norm)(w, n), target = norm < lower ? lower : norm > upper ? upper : norm;
    if (norm > 0 && norm != target)
        for (int64_t i = 0; i < n; i++) w[i] = (real)(w[i] / norm * target);
}

static void NAME(project_non_negative)(real *restrict w, int64_t n, double lower, double upper) {
    (void)lower, (void)upper;
    for (int64_t i = 0; i < n; i++) w[i] = w[i] > 0 ? w[i] : 0;
}

static void NAME(follow)(real *restrict ahead, const real *restrict theta, const real *restrict v, real mu, int64_t n) {
    for (int64_t i = 0; i < n; i++) ahead[i] = theta[i] + mu * v[i];
}

/* arrays: theta, ahead or NULL, v or NULL; sizes: column of mu in the coefficients; constants: bounds of the norm */
#define PROJECTION(name)                                                                                                       \
    static void NAME(op_##name)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {                      \
        real *theta = op->array[0], *ahead = op->array[1];                                                                     \
        const real *v = op->array[2], mu = ahead ? (real)context->coefficients[op->size[0]] : 0;                               \
        for (int64_t t = begin; t < end; t++) {                                                                                \
            const int64_t *tile = (const int64_t *)op->array[NN_TILE_TABLE] + NN_TILE_COLUMNS * t;                             \
            for (int64_t row = 0; row < tile[1]; row++) {                                                                      \
                const int64_t at = tile[0] + row * tile[3];                                                                    \
                NAME(name)(theta + at, tile[2], op->constant[0], op->constant[1]);                                             \
                if (ahead) NAME(follow)(ahead + at, theta + at, v + at, mu, tile[2]);                                          \
            }                                                                                                                  \
        }                                                                                                                      \
    }
PROJECTION(project_norm)
PROJECTION(project_non_negative)
#undef PROJECTION

/* arrays: g, sums of squares of each tile before (double), whether it acted on each tile (0 or 1, double); constants: limit */
static void NAME(op_clip_value)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; t++) {
        double square[CHAINS] = {0};
        integer acted[CHAINS] = {0}, any = 0;
        FOR_STRETCHES(t, NAME(clip_value)(STRETCH(op->array[0]), square, acted, (real)op->constant[0], n));
        for (int k = 0; k < CHAINS; k++) any |= acted[k];
        ((double *)op->array[1])[t] = NAME(total)(square);
        ((double *)op->array[2])[t] = (double)any;
    }
}

/* arrays: sums of squares of each tile (double), g */
static void NAME(op_square_sum)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; t++) {
        double square[CHAINS] = {0};
        FOR_STRETCHES(t, NAME(square_sum)(square, (const real *)op->array[1] + at, n));
        ((double *)op->array[0])[t] = NAME(total)(square);
    }
}

/* 2^-600 times the norm of the gradient in tiles [first, last), from the gradient itself: it neither over- nor underflows when
 * the sum of squares overflows. */
static double NAME(small_norm)(const nn_op *op, const nn_context *context, int64_t first, int64_t last) {
    double sum = 0;
    for (int64_t t = first; t < last; t++) {
        double square[CHAINS] = {0};
        FOR_STRETCHES(t, NAME(small_square_sum)(square, (const real *)op->array[4] + at, n));
        sum += NAME(total)(square);
    }
    return sqrt(sum);
}

/* min(1, limit / norm), the norm given as small = 2^-600 norm; if that is below the smallest normal double, -2^1000 limit / norm. */
NN_INLINE double NAME(small_factor)(double limit, double small) {
    if (!(small > ldexp(limit, -600))) return 1.0;
    const double ratio = limit / small, factor = ldexp(ratio, -600), rest = ldexp(ratio, 400);
    return factor >= DBL_MIN ? factor : rest > 0 ? -rest : 0;
}

/* Per group of tiles: factor = min(1, limit / norm), norm^2 the sum over the group's tiles in order.  If that overflows or
 * the factor would be denormal, which counts as 0, the factor is computed from the scaled norm.
 * arrays: factor of each tile (double), sums of squares of each tile, first tile of each group (groups + 1,) int64, whether it
 * acted on each group (0 or 1, double) or NULL; g, the norm of all groups if its square overflows, else 0 (1,) double, and
 * the tile table, or all of them NULL: then overflow is not handled; sizes: groups; constants: limit */
static void NAME(op_clip_factor)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {
    const int64_t *first = op->array[2], groups = op->size[0];
    const double limit = op->constant[0];
    double all = 0;
    (void)begin, (void)end;
    for (int64_t group = 0; group < groups; group++) {
        double sum = 0;
        for (int64_t t = first[group]; t < first[group + 1]; t++) sum += ((const double *)op->array[1])[t];
        const double norm = sqrt(sum);
        double factor = norm > limit ? limit / norm : 1.0;
        if (factor < DBL_MIN && op->array[4])
            factor = NAME(small_factor)(limit, isinf(norm) ? NAME(small_norm)(op, context, first[group], first[group + 1]) : ldexp(norm, -600));
        for (int64_t t = first[group]; t < first[group + 1]; t++) ((double *)op->array[0])[t] = factor;
        if (op->array[3]) ((double *)op->array[3])[group] = factor != 1.0;
        all += sum;
    }
    if (op->array[5]) *(double *)op->array[5] = all > DBL_MAX / 2 ? ldexp(NAME(small_norm)(op, context, first[0], first[groups]), 600) : 0;
}

/* arrays: g, factor of each tile (double) */
static void NAME(op_scale_gradient)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {
    (void)context;
    for (int64_t t = begin; t < end; t++) {
        const double factor = ((const double *)op->array[1])[t];
        if (factor != 1.0) FOR_STRETCHES(t, NAME(scale)((real *)op->array[0] + at, factor, n));
    }
}
