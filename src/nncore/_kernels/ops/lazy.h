/* Weights whose gradient is 0 in most steps, but which penalties and averages change in every one: they are caught up with all the steps
 * that they missed just before a step reads them (Lipton & Elkan, "Efficient elastic net regularization for sparse linear models", 2015).
 *
 * Step i without a gradient:   w <- f w - s sign(w),   then   a <- a + c (w - a),   with f = 1 - eta (decay + l2), s = eta l1.
 * A proximal step ends at 0 where it would cross it, and 0 stays 0.  A subgradient crosses it: from there on w changes its sign in every
 * step, and two steps of the same f and s take |w| to s / (1 + f) + f^2 (|w| - s / (1 + f)); where they differ, or there is an average,
 * every step is computed.
 * As long as w keeps its sign, with the prefix table
 *     P' = f P        U' = U + s / P'        Q' = (1 - c) Q        A' = A + c P' / Q'        B' = B + c P' U' / Q'
 * from P = Q = 1 and U = A = B = 0 on, step x to step t take
 *     |w_t| = P_t (r - U_t)  with  r = |w_x| / P_x + U_x
 *     a_t = Q_t (a_x / Q_x + sign(w) (r (A_t - A_x) - (B_t - B_x)))
 * c = 1, a copy, leaves Q, A and B as they are, and is remembered in Z. */
enum { NAME(lazy_P), NAME(lazy_U), NAME(lazy_Q), NAME(lazy_A), NAME(lazy_B), NAME(lazy_Z), NAME(lazy_f), NAME(lazy_s), NAME(lazy_c), NAME(lazy_width) };
#define AT(name) [NAME(lazy_##name)]
#define ENTRY(step) (table + ((step) - origin) * NAME(lazy_width))
#define LEAST_P 1e-4    /* a smaller one begins the table again: 1 / P times the difference of two A would lose digits */
#define LEAST_Q 1e-100

/* Where the steps are: `now` is the number of steps taken since `lazy_begin`, `origin` that of the table's first entry.  With `whole`, all
 * weights are caught up after this step, and the table begins again: at the end of an epoch, or where the table does not reach further.
 * These places depend on the steps alone, so that the bits do too. */
typedef struct { int64_t now, origin, whole; } NAME(lazy_state);

/* arrays: last (inputs,) int32: the step that each row of W has been caught up to; table (entries, 9), state (3,) int64, bounds; one tile
 * per shard */
static void NAME(op_lazy_begin)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {
    const int64_t *bounds = op->array[3];
    double *table = op->array[1];
    (void)context;
    for (int64_t s = begin; s < end; s++) {
        memset((int32_t *)op->array[0] + bounds[s], 0, (size_t)(bounds[s + 1] - bounds[s]) * sizeof(int32_t));
        if (s) continue;
        *(NAME(lazy_state) *)op->array[2] = (NAME(lazy_state)){0, 0, 0};
        memset(table, 0, NAME(lazy_width) * sizeof(double));
        table AT(P) = table AT(Q) = 1, table AT(Z) = -1;
    }
}

/* The entry that follows a step.
 * arrays: table, state; sizes: columns of the learning rate, of the decay and of the average's weight, or -1; constants: l1, l2 */
static void NAME(op_lazy_advance)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {
    NAME(lazy_state) *state = op->array[1];
    double *table = op->array[0];
    const double *c = context->coefficients, eta = c[op->size[0]], decay = op->size[1] < 0 ? 0 : c[op->size[1]];
    (void)begin, (void)end;
    if (state->whole) {
        memset(table, 0, NAME(lazy_width) * sizeof(double));
        table AT(P) = table AT(Q) = 1, table AT(Z) = -1;
        table AT(f) = (double)state->now;
        state->origin = state->now, state->whole = 0;
    }
    double *now = table + (state->now - state->origin) * NAME(lazy_width), *next = now + NAME(lazy_width);
    const double f = 1 - decay - eta * op->constant[1], s = eta * op->constant[0], w = op->size[2] < 0 ? 0 : c[op->size[2]];
    const double *before = now - NAME(lazy_width), since = now AT(f);
    const int same = state->now > state->origin && before AT(f) == f && before AT(s) == s;
    now AT(f) = f, now AT(s) = s, now AT(c) = w;
    next AT(f) = same ? since : (double)state->now;    /* the first of the steps that are alike, until the next one has its own f */
    next AT(P) = now AT(P) * f;
    next AT(U) = now AT(U) + s / next AT(P);
    next AT(Q) = w < 1 ? now AT(Q) * (1 - w) : now AT(Q);
    const double share = w < 1 ? w * next AT(P) / next AT(Q) : 0;
    next AT(A) = now AT(A) + share;
    next AT(B) = now AT(B) + share * next AT(U);
    next AT(Z) = w < 1 ? now AT(Z) : (double)(state->now + 1);
    state->now++;
    const int64_t entries = op->length[0];
    state->whole = context->ends_epoch || !(next AT(P) > LEAST_P && next AT(P) < 1 / LEAST_P && next AT(Q) > LEAST_Q) || state->now - state->origin == entries - 1;
}

/* A step by its definition */
NN_INLINE void NAME(lazy_step)(double *w, double *mean, const double *step, const int crosses) {
    const double kept = *w * step AT(f), direction = crosses ? *w : kept, sign = (direction > 0) - (direction < 0);
    *w = kept - sign * step AT(s);
    if (!crosses && *w * sign <= 0) *w = 0;
    *mean += step AT(c) * (*w - *mean);
}

/* The mean after steps [x, t), in which the weight keeps its sign; r as above */
NN_INLINE double NAME(lazy_mean)(double mean, double sign, double r, const double *table, int64_t origin, int64_t x, int64_t t) {
    const double *to = ENTRY(t), *from = ENTRY(x);
    if (to AT(Z) > (double)x) {
        from = ENTRY((int64_t)to AT(Z));
        mean = sign * from AT(P) * (r - from AT(U));
    }
    return to AT(Q) * (mean / from AT(Q) + sign * (r * (to AT(A) - from AT(A)) - (to AT(B) - from AT(B))));
}

/* One weight and its mean after steps [x, t) */
static void NAME(lazy_weight)(real *weight, real *average, const double *table, int64_t origin, int64_t x, int64_t t, const int crosses) {
    double w = *weight, mean = average ? *average : 0;
    const int64_t last = t - !(ENTRY(t - 1) AT(f) > 0);    /* the step after it changes the sign: only the last one of a table can */
    const double sign = (w > 0) - (w < 0), r = fabs(w) / ENTRY(x) AT(P) + ENTRY(x) AT(U);
    int64_t low = x, high = last + 1;    /* it reaches 0 in (low, high] */
    if (w == 0) {    /* and stays 0 */
        mean = NAME(lazy_mean)(mean, 0, 0, table, origin, x, last);
        low = last;
    } else if (ENTRY(last) AT(U) < r) low = last;
    else
        while (high - low > 1) {
            const int64_t middle = (low + high) / 2;
            if (ENTRY(middle) AT(U) < r) low = middle;
            else high = middle;
        }
    if (low > x && w != 0) {
        mean = NAME(lazy_mean)(mean, sign, r, table, origin, x, low);
        w = sign * ENTRY(low) AT(P) * (r - ENTRY(low) AT(U));
    }
    if (!crosses && low < last) {    /* 0 from the next step on */
        w = 0;
        mean = NAME(lazy_mean)(mean, 0, 0, table, origin, low, last);
        low = last;
    }
    const double f = ENTRY(t - 1) AT(f), s = ENTRY(t - 1) AT(s);
    const int64_t pairs = (last - low) / 2;
    if (pairs > 0 && !average && ENTRY(t) AT(f) <= (double)low && f * fabs(w) < s) {
        const double middle = s / (1 + f);
        w = sign * (middle + (fabs(w) - middle) * (ENTRY(low + 2 * pairs) AT(P) / ENTRY(low) AT(P)));
        low += 2 * pairs;
    }
    for (; low < t; low++) NAME(lazy_step)(&w, &mean, ENTRY(low), crosses);
    *weight = (real)w;
    if (average) *average = (real)mean;
}

/* A row of weights after steps [x, t) */
NN_INLINE void NAME(lazy_row)(real *restrict w, real *restrict average, const double *table, int64_t origin, int64_t x, int64_t t,
                              int64_t units, const int crosses) {
    if (x >= t) return;
    const double *from = ENTRY(x), *to = ENTRY(t), share = to AT(P) / from AT(P), less = to AT(P) * (to AT(U) - from AT(U));
    const int regular = ENTRY(t - 1) AT(f) > 0;
    if (regular && !average && less == 0)
        for (int64_t u = 0; u < units; u++) w[u] = (real)(share * w[u]);
    else if (regular && !average && !crosses)
        for (int64_t u = 0; u < units; u++) {
            const double size = share * fabs((double)w[u]) - less;
            w[u] = (real)(size > 0 ? w[u] > 0 ? size : -size : 0);
        }
    else
        for (int64_t u = 0; u < units; u++) NAME(lazy_weight)(w + u, average ? average + u : NULL, table, origin, x, t, crosses);
}

#define CATCH_UP_ROW(j)                                                                                                        \
    NAME(lazy_row)(w + (j) * units, average ? average + (j) * units : NULL, table, state->origin, last[j], state->now, units, crosses)

/* Catch up the rows of W that the batch will read.  In the step itself they are changed as any others: they are then one step ahead. */
NN_INLINE void NAME(catch_up_batch)(const nn_op *op, const nn_context *context, int64_t s, const int crosses) {
    const int64_t units = op->size[0], bytes = op->stride[5], stride = op->stride[6] / (int64_t)sizeof(int64_t);
    const int64_t *places = op->array[6], first = ((const int64_t *)op->array[7])[s], end = ((const int64_t *)op->array[7])[s + 1];
    const NAME(lazy_state) *state = op->array[4];
    const double *table = op->array[3];
    real *w = op->array[0], *average = op->array[1];
    int32_t *last = op->array[2];
    for (int64_t i = 0; i < context->rows; i++)
        for (int64_t k = places[i * stride + s]; k < places[i * stride + s + 1]; k++) {
            const int64_t j = NAME(integer)(op->array[5], bytes, k);
            if (j < first || j >= end || last[j] > state->now) continue;
            CATCH_UP_ROW(j);
            last[j] = (int32_t)(state->now + 1);
        }
}

/* Catch up all rows, where the state asks for it. */
NN_INLINE void NAME(catch_up_all)(const nn_op *op, int64_t s, const int crosses) {
    const int64_t units = op->size[0], *bounds = op->array[5];
    const NAME(lazy_state) *state = op->array[4];
    const double *table = op->array[3];
    real *w = op->array[0], *average = op->array[1];
    int32_t *last = op->array[2];
    if (!state->whole) return;
    for (int64_t j = bounds[s]; j < bounds[s + 1]; j++) {
        CATCH_UP_ROW(j);
        last[j] = (int32_t)state->now;
    }
}

/* arrays: W (inputs, units), average or NULL, last, table, state, columns, places, bounds; sizes: units, inputs; one tile per shard.
 * _all: without columns and places */
#define CATCH_UP(name, crosses)                                                                                                \
    static void NAME(op_##name)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {                     \
        for (int64_t s = begin; s < end; s++) NAME(catch_up_batch)(op, context, s, crosses);                                        \
    }                                                                                                                          \
    static void NAME(op_##name##_all)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {               \
        (void)context;                                                                                                         \
        for (int64_t s = begin; s < end; s++) NAME(catch_up_all)(op, s, crosses);                                             \
    }
CATCH_UP(catch_up, 0)
CATCH_UP(catch_up_crossing, 1)

#undef CATCH_UP_ROW
#undef CATCH_UP
#undef AT
#undef ENTRY
#undef LEAST_P
#undef LEAST_Q
