/* Recurrent layers: x (rows, steps, inputs), row-major.
 *
 * A block of rows goes through all steps on one thread.  The contribution of the input to all steps, a = x W^T + b, is one product
 * over the (row, step) pairs, computed before (dense_steps_forward); dx, dW, db and dU are computed likewise afterwards, from the
 * delta that the backward pass stores for every (row, step).  Only the product with U is computed step by step.
 *
 *     previous (rows, steps, units)   h_{t-1} of each step: the initial state, which is 0 without `initial`, h_1, h_2, ...
 *     y                               h_t of every step (rows, steps, units), or of the last one (rows, units)
 *     last (batch, units) or NULL     gets the last state; it may be the array `initial`
 *     carry (rows, 2, units)          the gradient of h_{t-1}: through the cell, and past it
 *     g (rows, steps, units) or NULL  the gradient of every h_t, for recurrent_tangents.h
 *     mask (rows, steps) or NULL      where it is 0, the step is skipped: h_t = h_{t-1}, and its delta is 0
 *
 * `backwards`, the last step is the first: t and h_t keep their place in the arrays.
 *
 * Zoneout (Krueger et al. 2016): with k from {0, 1}, P(k = 1) = rate, drawn for each row, step and unit,
 *     h_t = k h_{t-1} + (1 - k) new_t;    outside training k = rate, its mean. */

typedef struct {
    int64_t units, steps, begin;    /* begin: number of the block's first row in the batch, of which this may be a part */
    int sequences, sampled, backwards;    /* whether y holds every step; whether k is drawn; whether the last step is the first */
    real rate;
    uint32_t threshold;             /* k = 1 if the random number is below it */
    nn_stream stream;
    const real *mask;
#if REAL_IS_FLOAT
    PAIR *rounded;                  /* room for one step's operand of bfloat16 products; NULL: products are in float */
#endif
} NAME(recurrence);

/* sizes: units, steps, sequences, sampled, key, place, backwards; constants: rate; array number `mask` is the mask */
static NAME(recurrence) NAME(recurrence_of)(const nn_op *op, const nn_context *context, int64_t begin, int mask) {
    const double rate = op->constant[0];
    const real *masks = op->array[mask];
    return (NAME(recurrence)){
        .units = op->size[0], .steps = op->size[1], .begin = context->first_row + begin, .sequences = (int)op->size[2],
        .sampled = (int)op->size[3], .backwards = (int)op->size[6], .rate = (real)rate,
        .threshold = (uint32_t)(rate * 4294967296.0), .stream = nn_stream_of(op, context, 4),
        .mask = masks ? masks + begin * op->size[1] : NULL,
    };
}

/* The place of step number s, from 0 */
NN_INLINE int64_t NAME(place_of)(const NAME(recurrence) *r, int64_t s) { return r->backwards ? r->steps - 1 - s : s; }

NN_INLINE int NAME(skipped)(const NAME(recurrence) *r, int64_t row, int64_t t) {
    return r->mask && r->mask[row * r->steps + t] == 0;
}

/* k of n units from `unit` on.  The address of a random number (random.h) is the element of a (rows, steps, units) array, so that
 * the backward pass draws the same numbers again instead of storing them. */
static void NAME(zoneout_keep)(real *restrict k, const NAME(recurrence) *r, int64_t row, int64_t t, int64_t unit, int64_t n) {
    const int64_t first = ((r->begin + row) * r->steps + t) * r->units + unit;
    uint32_t bits[NN_RANDOM_BLOCK];
    if (!r->sampled) {
        for (int64_t i = 0; i < n; i++) k[i] = r->rate;
        return;
    }
    for (int64_t e = first; e < first + n;) {
        const int here = nn_in_block(e, first + n), offset = (int)(e % NN_RANDOM_BLOCK);
        nn_random_block(bits, r->stream, (uint64_t)e / NN_RANDOM_BLOCK);
        for (int i = 0; i < here; i++) k[e - first + i] = bits[offset + i] < r->threshold;
        e += here;
    }
}

enum { NAME(KEPT) = 64 };    /* block of k */

/* Where h_t is written: in y, or for the next step */
NN_INLINE real *NAME(state_after)(real *y, real *previous, const NAME(recurrence) *r, int64_t row, int64_t t) {
    const int64_t units = r->units, here = (row * r->steps + t) * units;
    if (t != NAME(place_of)(r, r->steps - 1)) return previous + here + (r->backwards ? -units : units);
    return y + (r->sequences ? here : row * units);
}

/* h = k h_{t-1} + (1 - k) h where the step is not plain: h holds new_t */
static void NAME(keep_state)(real *restrict h, const real *restrict before, const NAME(recurrence) *r, int64_t row, int64_t t) {
    real k[NAME(KEPT)];
    if (NAME(skipped)(r, row, t)) memcpy(h, before, (size_t)r->units * sizeof(real));
    else if (r->rate != 0)
        for (int64_t u = 0; u < r->units; u += NAME(KEPT)) {
            const int64_t n = MIN(NAME(KEPT), r->units - u);
            NAME(zoneout_keep)(k, r, row, t, u, n);
            for (int64_t j = 0; j < n; j++) h[u + j] = k[j] * before[u + j] + (1 - k[j]) * h[u + j];
        }
}

/* Makes h_t of new_t, which h, the result of `state_after`, holds; and it leaves it in y */
NN_INLINE void NAME(leave_state)(real *y, real *h, const real *previous, const NAME(recurrence) *r, int64_t row, int64_t t) {
    const int64_t here = (row * r->steps + t) * r->units;
    if (r->mask || r->rate != 0) NAME(keep_state)(h, previous + here, r, row, t);
    if (r->sequences && h != y + here) memcpy(y + here, h, (size_t)r->units * sizeof(real));
}

/* h_t = k h_{t-1} + (1 - k) new_t   =>   dnew = (1 - k) dh, past = k dh; dnew replaces the gradient through the cell */
static void NAME(enter_state)(real *restrict carry, real *restrict g, const real *restrict dy, const NAME(recurrence) *r,
                              int64_t row, int64_t t) {
    const int64_t units = r->units;
    real *restrict dnew = carry + row * 2 * units, *restrict past = dnew + units, k[NAME(KEPT)];
    for (int64_t j = 0; j < units; j++) dnew[j] += past[j];
    if (r->sequences || t == NAME(place_of)(r, r->steps - 1)) {
        const real *restrict from = dy + (r->sequences ? row * r->steps + t : row) * units;
        for (int64_t j = 0; j < units; j++) dnew[j] += from[j];
    }
    const int skipped = NAME(skipped)(r, row, t);
    if (skipped) {
        memcpy(past, dnew, (size_t)units * sizeof(real));
        memset(dnew, 0, (size_t)units * sizeof(real));
    }
    if (g) memcpy(g + (row * r->steps + t) * units, dnew, (size_t)units * sizeof(real));
    if (skipped) return;
    if (r->rate == 0) {
        memset(past, 0, (size_t)units * sizeof(real));
        return;
    }
    for (int64_t u = 0; u < units; u += NAME(KEPT)) {
        const int64_t n = units - u < NAME(KEPT) ? units - u : NAME(KEPT);
        NAME(zoneout_keep)(k, r, row, t, u, n);
        for (int64_t j = 0; j < n; j++) {
            past[u + j] = k[j] * dnew[u + j];
            dnew[u + j] *= 1 - k[j];
        }
    }
}

/* In long sequences the rows of a step lie so far apart that no hardware prefetcher finds those of the next one.  A backward pass fetches
 * them, and what it will write, while the product of its step runs.  `array` is at this step, (rows, steps, width). */
#define FETCHED 1024    /* numbers in the states of a row, from which on it pays */
NN_INLINE void NAME(fetch_next)(const int written, const real *array, int64_t width, const NAME(recurrence) *r, int64_t s) {
    if (s == 0 || r->steps * r->units < FETCHED) return;
    const real *next = r->backwards ? array + width : array - width;
    for (int64_t j = 0; j < width; j += 64 / (int64_t)sizeof(real)) {
        if (written) NN_PREFETCH_TO_WRITE(next + j);
        else NN_PREFETCH_FAR(next + j);
    }
}
#undef FETCHED

/* The products of one step: c (rows, columns), its rows `c_row` apart, = b + a B.  a is step t of an array (rows, steps, depth); B
 * (depth, columns) in panels, whose rows are `b_row` apart, 0: padded to whole vectors.  With `rounded`, of bfloat16 numbers. */
static void NAME(step_product)(real *restrict c, int64_t c_row, const real *restrict a, const void *restrict panels, int64_t b_row,
                               const real *restrict b, const NAME(recurrence) *r, int64_t rows, int64_t columns, int64_t depth,
                               int64_t t) {
    const int64_t a_row = r->steps * depth;
#if REAL_IS_FLOAT
    const int64_t pairs = HALF(depth);
    for (int64_t i = 0; r->rounded && i < rows; i++)
        NAME(row_to_bfloat16)((uint16_t *)(r->rounded + i * pairs), a + i * a_row + t * depth, depth);
#endif
    for (int64_t j = 0; j < columns; j += PANEL) {
        const int64_t width = MIN(PANEL, columns - j);
        const real *init = b ? b + j : NULL;
#if REAL_IS_FLOAT
        if (r->rounded) {
            multiply_panel_bfloat16(rows, width, pairs, r->rounded, pairs, 1, (const PAIR *)panels + j * pairs,
                                    ROUND_UP(width, LANES), init, c + j, c_row);
            continue;
        }
#endif
        NAME(multiply_panel)(rows, width, depth, a + t * depth, a_row, 1, (const real *)panels + (b_row ? j : j * depth),
                             b_row ? b_row : ROUND_UP(width, LANES), init, c + j, c_row);
    }
}

/* product = h_{t-1} U^T + b for one step: U (outputs, units) packed, product (rows, outputs) */
static void NAME(recurrent_product)(real *restrict product, const real *restrict previous, const void *restrict packed,
                                    const real *restrict b, const NAME(recurrence) *r, int64_t rows, int64_t outputs, int64_t t) {
    NAME(step_product)(product, outputs, previous, packed, 0, b, r, rows, outputs, r->units, t);
}

/* product = h_{t-1} U^T   =>   the gradient of h_{t-1} through the cell: delta_t U, delta (rows, steps, outputs) */
static void NAME(recurrent_carry)(real *restrict carry, const real *restrict delta, const void *restrict w,
                                  const NAME(recurrence) *r, int64_t rows, int64_t outputs, int64_t t) {
    NAME(step_product)(carry, 2 * r->units, delta, w, r->units, NULL, r, rows, r->units, outputs, t);
}

/* The state before the first step: a row of `initial`, a state for each row of the batch, or 0 */
static void NAME(first_state)(real *previous, const real *initial, const NAME(recurrence) *r, int64_t rows) {
    const int64_t units = r->units;
    for (int64_t i = 0; i < rows; i++) {
        real *to = previous + (i * r->steps + NAME(place_of)(r, 0)) * units;
        if (initial) memcpy(to, initial + (r->begin + i) * units, (size_t)units * sizeof(real));
        else memset(to, 0, (size_t)units * sizeof(real));
    }
}

static void NAME(last_state)(real *last, real *y, real *previous, const NAME(recurrence) *r, int64_t rows) {
    const int64_t t = NAME(place_of)(r, r->steps - 1);
    for (int64_t i = 0; last && i < rows; i++)
        memcpy(last + (r->begin + i) * r->units, NAME(state_after)(y, previous, r, i, t), (size_t)r->units * sizeof(real));
}

/* ---- the simple cell: new_t = tanh(a_t + U h_{t-1}) (Elman 1990) */

/* `new` (rows, steps, units) holds a on entry */
static void NAME(simple_rnn_forward)(real *restrict y, real *restrict new, real *restrict previous, real *restrict product,
                                     const void *restrict packed, const NAME(recurrence) *r, int64_t rows) {
    const int64_t units = r->units, steps = r->steps;
    for (int64_t s = 0; s < steps; s++) {
        const int64_t t = NAME(place_of)(r, s);
        NAME(recurrent_product)(product, previous, packed, NULL, r, rows, units, t);
        for (int64_t i = 0; i < rows; i++) {
            real *restrict a = new + (i * steps + t) * units;
            const real *restrict p = product + i * units;
            real *restrict h = NAME(state_after)(y, previous, r, i, t);
            for (int64_t j = 0; j < units; j++) h[j] = a[j] = NAME(nn_tanh)(a[j] + p[j]);
            NAME(leave_state)(y, h, previous, r, i, t);
        }
    }
}

/* new_t = tanh(a_t + U h_{t-1})   =>   delta_t = dnew_t (1 - new_t^2), dh_{t-1} = U^T delta_t + past */
static void NAME(simple_rnn_backward)(real *restrict delta, real *restrict carry, real *restrict g,
                                      const real *restrict dy, const real *restrict new, const void *restrict w,
                                      const NAME(recurrence) *r, int64_t rows) {
    const int64_t units = r->units, steps = r->steps;
    memset(carry, 0, (size_t)(rows * 2 * units) * sizeof(real));
    for (int64_t s = steps - 1; s >= 0; s--) {
        const int64_t t = NAME(place_of)(r, s);
        for (int64_t i = 0; i < rows; i++) {
            NAME(enter_state)(carry, g, dy, r, i, t);
            const real *restrict dnew = carry + i * 2 * units, *restrict h = new + (i * steps + t) * units;
            real *restrict to = delta + (i * steps + t) * units;
            for (int64_t j = 0; j < units; j++) to[j] = dnew[j] * ((1 - h[j]) * (1 + h[j]));
            NAME(fetch_next)(0, h, units, r, s);
            NAME(fetch_next)(1, to, units, r, s);
        }
        if (s > 0) NAME(recurrent_carry)(carry, delta, w, r, rows, units, t);
    }
}

/* ---- the gated recurrent unit, in the form of cuDNN and PyTorch: the reset gate multiplies the product with U.
 * U h_{t-1} + c has three parts, p_r, p_z and q:
 *     r = sigmoid(a_r + p_r)    z = sigmoid(a_z + p_z)    n = tanh(a_n + r q)    new_t = (1 - z) n + z h_{t-1} */

/* `gates` (rows, steps, 3 units) holds a on entry, and r, z, n on return; q (rows, steps, units) */
static void NAME(gru_forward)(real *restrict y, real *restrict gates, real *restrict q, real *restrict previous,
                              real *restrict product, const void *restrict packed, const real *restrict c,
                              const NAME(recurrence) *s, int64_t rows) {
    const int64_t units = s->units, steps = s->steps;
    for (int64_t step = 0; step < steps; step++) {
        const int64_t t = NAME(place_of)(s, step);
        NAME(recurrent_product)(product, previous, packed, c, s, rows, 3 * units, t);
        for (int64_t i = 0; i < rows; i++) {
            real *restrict r = gates + (i * steps + t) * 3 * units, *restrict z = r + units, *restrict n = z + units;
            real *restrict qt = q + (i * steps + t) * units, *restrict next = NAME(state_after)(y, previous, s, i, t);
            const real *restrict p = product + i * 3 * units, *restrict p_n = p + 2 * units;
            const real *restrict h = previous + (i * steps + t) * units;
            for (int64_t j = 0; j < 2 * units; j++) r[j] = NAME(nn_sigmoid)(r[j] + p[j]);
            for (int64_t j = 0; j < units; j++) {
                qt[j] = p_n[j];
                n[j] = NAME(nn_tanh)(n[j] + r[j] * p_n[j]);
                next[j] = (1 - z[j]) * n[j] + z[j] * h[j];
            }
            NAME(leave_state)(y, next, previous, s, i, t);
        }
    }
}

/* new_t = (1 - z) n + z h_{t-1}, n = tanh(a_n + r q)   =>   past += z dnew, and of the arguments of n, z, r and of q
 *     dn = dnew (1 - z) (1 - n^2)    dz = dnew (h_{t-1} - n) z (1 - z)    dr = dn q r (1 - r)    dq = dn r
 * delta = (dr, dz, dn) is the gradient of a; delta_recurrent = (dr, dz, dq) that of U h_{t-1} + c */
static void NAME(gru_backward)(real *restrict delta, real *restrict delta_recurrent, real *restrict carry,
                               real *restrict g, const real *restrict dy, const real *restrict gates, const real *restrict q,
                               const real *restrict previous, const void *restrict w, const NAME(recurrence) *s, int64_t rows) {
    const int64_t units = s->units, steps = s->steps;
    memset(carry, 0, (size_t)(rows * 2 * units) * sizeof(real));
    for (int64_t step = steps - 1; step >= 0; step--) {
        const int64_t t = NAME(place_of)(s, step);
        for (int64_t i = 0; i < rows; i++) {
            NAME(enter_state)(carry, g, dy, s, i, t);
            const int64_t here = (i * steps + t) * units;
            const real *restrict dnew = carry + i * 2 * units, *restrict h = previous + here, *restrict qt = q + here;
            const real *restrict r = gates + 3 * here, *restrict z = r + units, *restrict n = z + units;
            real *restrict past = carry + (i * 2 + 1) * units, *restrict to = delta + 3 * here;
            real *restrict to_recurrent = delta_recurrent + 3 * here;
            for (int64_t j = 0; j < units; j++) {
                const real dn = dnew[j] * (1 - z[j]) * ((1 - n[j]) * (1 + n[j]));
                const real dz = dnew[j] * (h[j] - n[j]) * (z[j] * (1 - z[j]));
                const real dr = dn * qt[j] * (r[j] * (1 - r[j]));
                past[j] += dnew[j] * z[j];
                to[j] = to_recurrent[j] = dr;
                to[units + j] = to_recurrent[units + j] = dz;
                to[2 * units + j] = dn;
                to_recurrent[2 * units + j] = dn * r[j];
            }
            NAME(fetch_next)(0, r, 3 * units, s, step);
            NAME(fetch_next)(0, qt, units, s, step);
            NAME(fetch_next)(0, h, units, s, step);
            NAME(fetch_next)(1, to, 3 * units, s, step);
            NAME(fetch_next)(1, to_recurrent, 3 * units, s, step);
        }
        if (step > 0) NAME(recurrent_carry)(carry, delta_recurrent, w, s, rows, 3 * units, t);
    }
}

/* ---- the gated recurrent unit of Cho et al. 2014: the reset gate multiplies the state.  U has two parts, of r, z and of n:
 *     (p_r, p_z) = U_rz h_{t-1}    r = sigmoid(a_r + p_r)    z = sigmoid(a_z + p_z)
 *     reset = r h_{t-1}    n = tanh(a_n + U_n reset)    new_t = (1 - z) n + z h_{t-1} */

/* `gates` (rows, steps, 3 units) holds a on entry, and r, z, n on return; reset (rows, steps, units), product (rows, 2 units) */
static void NAME(gru_reset_before_forward)(real *restrict y, real *restrict gates, real *restrict reset, real *restrict previous,
                                           real *restrict product, const void *restrict packed, const void *restrict packed_n,
                                           const NAME(recurrence) *s, int64_t rows) {
    const int64_t units = s->units, steps = s->steps;
    for (int64_t step = 0; step < steps; step++) {
        const int64_t t = NAME(place_of)(s, step);
        NAME(recurrent_product)(product, previous, packed, NULL, s, rows, 2 * units, t);
        for (int64_t i = 0; i < rows; i++) {
            const int64_t here = (i * steps + t) * units;
            real *restrict r = gates + 3 * here, *restrict to = reset + here;
            const real *restrict p = product + i * 2 * units, *restrict h = previous + here;
            for (int64_t j = 0; j < 2 * units; j++) r[j] = NAME(nn_sigmoid)(r[j] + p[j]);
            for (int64_t j = 0; j < units; j++) to[j] = r[j] * h[j];
        }
        NAME(recurrent_product)(product, reset, packed_n, NULL, s, rows, units, t);
        for (int64_t i = 0; i < rows; i++) {
            const int64_t here = (i * steps + t) * units;
            const real *restrict z = gates + 3 * here + units, *restrict p = product + i * units, *restrict h = previous + here;
            real *restrict n = gates + 3 * here + 2 * units, *restrict next = NAME(state_after)(y, previous, s, i, t);
            for (int64_t j = 0; j < units; j++) {
                n[j] = NAME(nn_tanh)(n[j] + p[j]);
                next[j] = (1 - z[j]) * n[j] + z[j] * h[j];
            }
            NAME(leave_state)(y, next, previous, s, i, t);
        }
    }
}

/* new_t = (1 - z) n + z h_{t-1}, n = tanh(a_n + U_n reset), reset = r h_{t-1}   =>   of the arguments of n, z and r
 *     dn = dnew (1 - z) (1 - n^2)    dz = dnew (h_{t-1} - n) z (1 - z)    dreset = U_n^T dn    dr = dreset h_{t-1} r (1 - r)
 * past += z dnew + r dreset; delta = (dr, dz, dn) is the gradient of a; delta_rz = (dr, dz) and
 * delta_n = dn are those of the products */
static void NAME(gru_reset_before_backward)(real *restrict delta, real *restrict delta_rz, real *restrict delta_n,
                                            real *restrict carry, real *restrict g, const real *restrict dy,
                                            const real *restrict gates, const real *restrict previous, const void *restrict w,
                                            const void *restrict w_n, const NAME(recurrence) *s, int64_t rows) {
    const int64_t units = s->units, steps = s->steps;
    memset(carry, 0, (size_t)(rows * 2 * units) * sizeof(real));
    for (int64_t step = steps - 1; step >= 0; step--) {
        const int64_t t = NAME(place_of)(s, step);
        for (int64_t i = 0; i < rows; i++) {
            NAME(enter_state)(carry, g, dy, s, i, t);
            const int64_t here = (i * steps + t) * units;
            const real *restrict dnew = carry + i * 2 * units, *restrict h = previous + here;
            const real *restrict z = gates + 3 * here + units, *restrict n = z + units;
            real *restrict past = carry + (i * 2 + 1) * units, *restrict to = delta + 3 * here;
            for (int64_t j = 0; j < units; j++) {
                const real dn = dnew[j] * (1 - z[j]) * ((1 - n[j]) * (1 + n[j]));
                const real dz = dnew[j] * (h[j] - n[j]) * (z[j] * (1 - z[j]));
                past[j] += dnew[j] * z[j];
                to[units + j] = delta_rz[2 * here + units + j] = dz;
                to[2 * units + j] = delta_n[here + j] = dn;
            }
        }
        NAME(recurrent_carry)(carry, delta_n, w_n, s, rows, units, t);
        for (int64_t i = 0; i < rows; i++) {
            const int64_t here = (i * steps + t) * units;
            const real *restrict dreset = carry + i * 2 * units, *restrict h = previous + here, *restrict r = gates + 3 * here;
            real *restrict past = carry + (i * 2 + 1) * units, *restrict to = delta + 3 * here;
            for (int64_t j = 0; j < units; j++) {
                past[j] += dreset[j] * r[j];
                to[j] = delta_rz[2 * here + j] = dreset[j] * h[j] * (r[j] * (1 - r[j]));
            }
            NAME(fetch_next)(0, r, 3 * units, s, step);
            NAME(fetch_next)(0, h, units, s, step);
            NAME(fetch_next)(1, to, 3 * units, s, step);
            NAME(fetch_next)(1, delta_rz + 2 * here, 2 * units, s, step);
            NAME(fetch_next)(1, delta_n + here, units, s, step);
        }
        if (step > 0) NAME(recurrent_carry)(carry, delta_rz, w, s, rows, 2 * units, t);
    }
}

/* ---- the ops of all cells; sizes: units, steps, sequences, sampled, key, place, backwards; constants: rate.  Those with `half`,
 * of bfloat16 products, have the array `rounded` after what they write, and U, or its parts, is packed for such products in
 * backward ops too. */

#define OF_STEPS(number) ((real *)op->array[number] + all)
#define OF_GATES(number) ((real *)op->array[number] + 3 * all)
#define OF_OUTPUT(number) ((real *)op->array[number] + (r.sequences ? all : begin * r.units))
#define OF_ROWS(number, width) ((real *)op->array[number] + begin * (width))
#define OF_G(number) (op->array[number] ? OF_STEPS(number) : NULL)
#if REAL_IS_FLOAT
#define ROUND(number, width) if (half) r.rounded = (PAIR *)op->array[number] + begin * HALF(width)
#else
#define ROUND(number, width) (void)half
#endif

/* arrays: y, new (a on entry), previous, product (rows, units), packed U, mask, initial, last */
NN_INLINE void NAME(simple_rnn_forward_op)(const int half, const nn_op *op, const nn_context *context, int64_t begin,
                                           int64_t end) {
    NAME(recurrence) r = NAME(recurrence_of)(op, context, begin, 5 + half);
    const int64_t all = begin * r.steps * r.units;
    ROUND(4, r.units);
    NAME(first_state)(OF_STEPS(2), op->array[6 + half], &r, end - begin);
    NAME(simple_rnn_forward)(OF_OUTPUT(0), OF_STEPS(1), OF_STEPS(2), OF_ROWS(3, r.units), op->array[4 + half], &r, end - begin);
    NAME(last_state)(op->array[7 + half], OF_OUTPUT(0), OF_STEPS(2), &r, end - begin);
}

/* arrays: delta, carry, dy, new, U, mask, g */
NN_INLINE void NAME(simple_rnn_backward_op)(const int half, const nn_op *op, const nn_context *context, int64_t begin,
                                            int64_t end) {
    NAME(recurrence) r = NAME(recurrence_of)(op, context, begin, 5 + half);
    const int64_t all = begin * r.steps * r.units;
    ROUND(2, r.units);
    NAME(simple_rnn_backward)(OF_STEPS(0), OF_ROWS(1, 2 * r.units), OF_G(6 + half), OF_OUTPUT(2 + half), OF_STEPS(3 + half),
                              op->array[4 + half], &r, end - begin);
}

/* arrays: y, gates (a on entry), q, previous, product (rows, 3 units), packed U, c, mask, initial, last */
NN_INLINE void NAME(gru_forward_op)(const int half, const nn_op *op, const nn_context *context, int64_t begin,
                                    int64_t end) {
    NAME(recurrence) r = NAME(recurrence_of)(op, context, begin, 7 + half);
    const int64_t all = begin * r.steps * r.units;
    ROUND(5, r.units);
    NAME(first_state)(OF_STEPS(3), op->array[8 + half], &r, end - begin);
    NAME(gru_forward)(OF_OUTPUT(0), OF_GATES(1), OF_STEPS(2), OF_STEPS(3), OF_ROWS(4, 3 * r.units), op->array[5 + half],
                      op->array[6 + half], &r, end - begin);
    NAME(last_state)(op->array[9 + half], OF_OUTPUT(0), OF_STEPS(3), &r, end - begin);
}

/* arrays: delta, delta_recurrent, carry, dy, gates, q, previous, U, mask, g */
NN_INLINE void NAME(gru_backward_op)(const int half, const nn_op *op, const nn_context *context, int64_t begin,
                                     int64_t end) {
    NAME(recurrence) r = NAME(recurrence_of)(op, context, begin, 8 + half);
    const int64_t all = begin * r.steps * r.units;
    ROUND(3, 3 * r.units);
    NAME(gru_backward)(OF_GATES(0), OF_GATES(1), OF_ROWS(2, 2 * r.units), OF_G(9 + half), OF_OUTPUT(3 + half), OF_GATES(4 + half),
                       OF_STEPS(5 + half), OF_STEPS(6 + half), op->array[7 + half], &r, end - begin);
}

/* arrays: y, gates (a on entry), reset, previous, product (rows, 2 units), packed U of r and z, and of n, mask, initial, last */
NN_INLINE void NAME(gru_reset_before_forward_op)(const int half, const nn_op *op, const nn_context *context, int64_t begin,
                                                 int64_t end) {
    NAME(recurrence) r = NAME(recurrence_of)(op, context, begin, 7 + half);
    const int64_t all = begin * r.steps * r.units;
    ROUND(5, r.units);
    NAME(first_state)(OF_STEPS(3), op->array[8 + half], &r, end - begin);
    NAME(gru_reset_before_forward)(OF_OUTPUT(0), OF_GATES(1), OF_STEPS(2), OF_STEPS(3), OF_ROWS(4, 2 * r.units),
                                   op->array[5 + half], op->array[6 + half], &r, end - begin);
    NAME(last_state)(op->array[9 + half], OF_OUTPUT(0), OF_STEPS(3), &r, end - begin);
}

/* arrays: delta, delta_rz, delta_n, carry, dy, gates, previous, U of r and z, U of n, mask, g */
NN_INLINE void NAME(gru_reset_before_backward_op)(const int half, const nn_op *op, const nn_context *context, int64_t begin,
                                                  int64_t end) {
    NAME(recurrence) r = NAME(recurrence_of)(op, context, begin, 9 + half);
    const int64_t all = begin * r.steps * r.units;
    ROUND(4, 2 * r.units);
    NAME(gru_reset_before_backward)(OF_GATES(0), OF_STEPS(1) + all, OF_STEPS(2), OF_ROWS(3, 2 * r.units), OF_G(10 + half),
                                    OF_OUTPUT(4 + half), OF_GATES(5 + half), OF_STEPS(6 + half), op->array[7 + half],
                                    op->array[8 + half], &r, end - begin);
}
#undef ROUND

#define NN_CELL_OP(name, suffix, half)                                                                                         \
    static void NAME(op_##name##suffix)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {              \
        NAME(name##_op)(half, op, context, begin, end);                                                                        \
    }
#define NN_CELL_OPS(suffix, half)                                                                                              \
    NN_CELL_OP(simple_rnn_forward, suffix, half)                                                                               \
    NN_CELL_OP(simple_rnn_backward, suffix, half)                                                                              \
    NN_CELL_OP(gru_forward, suffix, half)                                                                                      \
    NN_CELL_OP(gru_backward, suffix, half)                                                                                     \
    NN_CELL_OP(gru_reset_before_forward, suffix, half)                                                                         \
    NN_CELL_OP(gru_reset_before_backward, suffix, half)

NN_CELL_OPS(, 0)
#if REAL_IS_FLOAT
NN_CELL_OPS(_bfloat16, 1)
#undef HALF
#undef PAIR
#undef PAIRS
#endif
#undef NN_CELL_OPS
#undef NN_CELL_OP

/* ---- a dense layer at every step: dense.h, blas.h over rows * steps rows; arrays and sizes as there, and last: steps ---- */

#define NN_ROWS_OF_STEPS(product)                                                                                            \
    static void NAME(op_dense_steps_##product)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {     \
        NAME(op_dense_##product)(op, context, begin * op->size[4], end * op->size[4]);                                       \
    }

#define NN_SUM_OVER_STEPS(product)                                                                                           \
    static void NAME(op_dense_steps_##product)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {     \
        nn_context longer = *context;                                                                                        \
        longer.rows *= op->size[4];                                                                                          \
        NAME(op_dense_##product)(op, &longer, begin, end);                                                                   \
    }

NN_ROWS_OF_STEPS(forward)
NN_ROWS_OF_STEPS(forward_blas)
NN_ROWS_OF_STEPS(backward_input)
NN_ROWS_OF_STEPS(backward_input_blas)
NN_SUM_OVER_STEPS(backward_weight)
NN_SUM_OVER_STEPS(backward_weight_blas)
NN_SUM_OVER_STEPS(backward_bias)
#if REAL_IS_FLOAT
NN_ROWS_OF_STEPS(forward_bfloat16)
NN_ROWS_OF_STEPS(backward_input_bfloat16)
NN_SUM_OVER_STEPS(backward_weight_bfloat16)
#endif
#undef NN_ROWS_OF_STEPS
#undef NN_SUM_OVER_STEPS
