/* Recurrent layers: x (rows, steps, inputs), row-major; the state before the first step is 0.
 *
 * A block of rows goes through all steps on one thread.  The contribution of the input to all steps, a = x W^T + b, is one product
 * over the (row, step) pairs, computed before (dense_steps_forward); dx, dW, db and dU are computed likewise afterwards, from the
 * delta that the backward pass stores for every (row, step).  Only the product with U is computed step by step.
 *
 *     previous (rows, steps, units)   h_{t-1} of each step: 0, h_1, h_2, ...
 *     y                               h_t of every step (rows, steps, units), or of the last one (rows, units)
 *     carry (rows, 2, units)          the gradient of h_{t-1}: through the cell, and past it
 *     g (rows, steps, units) or NULL  the gradient of every h_t, for recurrent_tangents.h
 *
 * Zoneout (Krueger et al. 2016): with k from {0, 1}, P(k = 1) = rate, drawn for each row, step and unit,
 *     h_t = k h_{t-1} + (1 - k) new_t;    outside training k = rate, its mean. */

typedef struct {
    int64_t units, steps, begin;    /* begin: number of the block's first row in the batch, of which this may be a part */
    int sequences, sampled;         /* whether y holds every step; whether k is drawn */
    real rate;
    uint32_t threshold;             /* k = 1 if the random number is below it */
    nn_stream stream;
} NAME(recurrence);

/* sizes: units, steps, sequences, sampled, key, place; constants: rate */
static NAME(recurrence) NAME(recurrence_of)(const nn_op *op, const nn_context *context, int64_t begin) {
    const double rate = op->constant[0];
    return (NAME(recurrence)){
        .units = op->size[0], .steps = op->size[1], .begin = context->first_row + begin, .sequences = (int)op->size[2], .sampled = (int)op->size[3],
        .rate = (real)rate, .threshold = (uint32_t)(rate * 4294967296.0), .stream = nn_stream_of(op, context, 4),
    };
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

/* h_t = k h_{t-1} + (1 - k) new_t, written to the arrays that the next step and the next layer read */
static void NAME(leave_state)(real *restrict y, real *restrict previous, const real *restrict new, const NAME(recurrence) *r,
                              int64_t row, int64_t t) {
    const int64_t units = r->units, here = (row * r->steps + t) * units;
    const int last = t == r->steps - 1;
    const real *before = previous + here;
    real *h = last ? y + (r->sequences ? here : row * units) : previous + here + units, k[NAME(KEPT)];
    if (r->rate == 0) memcpy(h, new, (size_t)units * sizeof(real));
    else
        for (int64_t u = 0; u < units; u += NAME(KEPT)) {
            const int64_t n = units - u < NAME(KEPT) ? units - u : NAME(KEPT);
            NAME(zoneout_keep)(k, r, row, t, u, n);
            for (int64_t j = 0; j < n; j++) h[u + j] = k[j] * before[u + j] + (1 - k[j]) * new[u + j];
        }
    if (r->sequences && !last) memcpy(y + here, h, (size_t)units * sizeof(real));
}

/* h_t = k h_{t-1} + (1 - k) new_t   =>   dnew = (1 - k) dh, past = k dh; dnew replaces the gradient through the cell */
static void NAME(enter_state)(real *restrict carry, real *restrict g, const real *restrict dy, const NAME(recurrence) *r,
                              int64_t row, int64_t t) {
    const int64_t units = r->units;
    real *restrict dnew = carry + row * 2 * units, *restrict past = dnew + units, k[NAME(KEPT)];
    for (int64_t j = 0; j < units; j++) dnew[j] += past[j];
    if (r->sequences || t == r->steps - 1) {
        const real *restrict from = dy + (r->sequences ? row * r->steps + t : row) * units;
        for (int64_t j = 0; j < units; j++) dnew[j] += from[j];
    }
    if (g) memcpy(g + (row * r->steps + t) * units, dnew, (size_t)units * sizeof(real));
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

/* product = h_{t-1} U^T + b for one step: U (outputs, units) packed, product (rows, outputs) */
static void NAME(recurrent_product)(real *restrict product, const real *restrict previous, const real *restrict packed,
                                    const real *restrict b, int64_t rows, int64_t outputs, int64_t units, int64_t steps,
                                    int64_t t) {
    for (int64_t u = 0; u < outputs; u += PANEL) {
        const int64_t width = MIN(PANEL, outputs - u);
        NAME(multiply_panel)(rows, width, units, previous + t * units, steps * units, 1, packed + u * units,
                             ROUND_UP(width, LANES), b ? b + u : NULL, product + u, outputs);
    }
}

/* product = h_{t-1} U^T   =>   the gradient of h_{t-1} through the cell: delta_t U; none at the first step */
static void NAME(recurrent_carry)(real *restrict carry, const real *restrict delta, const real *restrict w, int64_t rows,
                                  int64_t outputs, int64_t units, int64_t steps, int64_t t) {
    for (int64_t j = 0; t > 0 && j < units; j += PANEL)
        NAME(multiply_panel)(rows, MIN(PANEL, units - j), outputs, delta + t * outputs, steps * outputs, 1, w + j, units, NULL,
                             carry + j, 2 * units);
}

static void NAME(clear_state)(real *previous, const NAME(recurrence) *r, int64_t rows) {
    for (int64_t i = 0; i < rows; i++) memset(previous + i * r->steps * r->units, 0, (size_t)r->units * sizeof(real));
}

/* ---- the simple cell: new_t = tanh(a_t + U h_{t-1}) (Elman 1990) */

/* `new` (rows, steps, units) holds a on entry */
static void NAME(simple_rnn_forward)(real *restrict y, real *restrict new, real *restrict previous, real *restrict product,
                                     const real *restrict packed, const NAME(recurrence) *r, int64_t rows) {
    const int64_t units = r->units, steps = r->steps;
    NAME(clear_state)(previous, r, rows);
    for (int64_t t = 0; t < steps; t++) {
        NAME(recurrent_product)(product, previous, packed, NULL, rows, units, units, steps, t);
        for (int64_t i = 0; i < rows; i++) {
            real *restrict a = new + (i * steps + t) * units;
            const real *restrict p = product + i * units;
            for (int64_t j = 0; j < units; j++) a[j] = NAME(nn_tanh)(a[j] + p[j]);
            NAME(leave_state)(y, previous, a, r, i, t);
        }
    }
}

/* new_t = tanh(a_t + U h_{t-1})   =>   delta_t = dnew_t (1 - new_t^2), dh_{t-1} = U^T delta_t + past */
static void NAME(simple_rnn_backward)(real *restrict delta, real *restrict carry, real *restrict g,
                                      const real *restrict dy, const real *restrict new, const real *restrict w,
                                      const NAME(recurrence) *r, int64_t rows) {
    const int64_t units = r->units, steps = r->steps;
    memset(carry, 0, (size_t)(rows * 2 * units) * sizeof(real));
    for (int64_t t = steps - 1; t >= 0; t--) {
        for (int64_t i = 0; i < rows; i++) {
            NAME(enter_state)(carry, g, dy, r, i, t);
            const real *restrict dnew = carry + i * 2 * units, *restrict h = new + (i * steps + t) * units;
            real *restrict to = delta + (i * steps + t) * units;
            for (int64_t j = 0; j < units; j++) to[j] = dnew[j] * ((1 - h[j]) * (1 + h[j]));
        }
        NAME(recurrent_carry)(carry, delta, w, rows, units, units, steps, t);
    }
}

/* ---- the gated recurrent unit, in the form of cuDNN and PyTorch: the reset gate multiplies the product with U (Cho et al.
 * 2014 has it multiply h_{t-1}).  U h_{t-1} + c has three parts, p_r, p_z and q:
 *     r = sigmoid(a_r + p_r)    z = sigmoid(a_z + p_z)    n = tanh(a_n + r q)    new_t = (1 - z) n + z h_{t-1} */

/* `gates` (rows, steps, 3 units) holds a on entry, and r, z, n on return; q (rows, steps, units) */
static void NAME(gru_forward)(real *restrict y, real *restrict gates, real *restrict q, real *restrict previous,
                              real *restrict product, const real *restrict packed, const real *restrict c,
                              const NAME(recurrence) *s, int64_t rows) {
    const int64_t units = s->units, steps = s->steps;
    NAME(clear_state)(previous, s, rows);
    for (int64_t t = 0; t < steps; t++) {
        NAME(recurrent_product)(product, previous, packed, c, rows, 3 * units, units, steps, t);
        for (int64_t i = 0; i < rows; i++) {
            real *restrict r = gates + (i * steps + t) * 3 * units, *restrict z = r + units, *restrict n = z + units;
            real *restrict p = product + i * 3 * units, *restrict qt = q + (i * steps + t) * units;
            const real *restrict h = previous + (i * steps + t) * units;
            for (int64_t j = 0; j < 2 * units; j++) r[j] = NAME(nn_sigmoid)(r[j] + p[j]);
            for (int64_t j = 0; j < units; j++) qt[j] = p[2 * units + j];
            for (int64_t j = 0; j < units; j++) n[j] = NAME(nn_tanh)(n[j] + r[j] * qt[j]);
            for (int64_t j = 0; j < units; j++) p[j] = (1 - z[j]) * n[j] + z[j] * h[j];
            NAME(leave_state)(y, previous, p, s, i, t);
        }
    }
}

/* new_t = (1 - z) n + z h_{t-1}, n = tanh(a_n + r q)   =>   past += z dnew, and of the arguments of n, z, r and of q
 *     dn = dnew (1 - z) (1 - n^2)    dz = dnew (h_{t-1} - n) z (1 - z)    dr = dn q r (1 - r)    dq = dn r
 * delta = (dr, dz, dn) is the gradient of a; delta_recurrent = (dr, dz, dq) that of U h_{t-1} + c */
static void NAME(gru_backward)(real *restrict delta, real *restrict delta_recurrent, real *restrict carry,
                               real *restrict g, const real *restrict dy, const real *restrict gates, const real *restrict q,
                               const real *restrict previous, const real *restrict w, const NAME(recurrence) *s, int64_t rows) {
    const int64_t units = s->units, steps = s->steps;
    memset(carry, 0, (size_t)(rows * 2 * units) * sizeof(real));
    for (int64_t t = steps - 1; t >= 0; t--) {
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
        }
        NAME(recurrent_carry)(carry, delta_recurrent, w, rows, 3 * units, units, steps, t);
    }
}

/* ---- the ops of both cells; sizes: units, steps, sequences, sampled, key, place; constants: rate */

/* arrays: y, new (a on entry), previous, product (rows, units), packed U */
static void NAME(op_simple_rnn_forward)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {
    const NAME(recurrence) r = NAME(recurrence_of)(op, context, begin);
    const int64_t all = begin * r.steps * r.units;
    NAME(simple_rnn_forward)((real *)op->array[0] + (r.sequences ? all : begin * r.units), (real *)op->array[1] + all,
                             (real *)op->array[2] + all, (real *)op->array[3] + begin * r.units, op->array[4], &r, end - begin);
}

static void NAME(op_simple_rnn_backward)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {
    const NAME(recurrence) r = NAME(recurrence_of)(op, context, begin);
    const int64_t all = begin * r.steps * r.units;
    real *g = op->array[5];
    NAME(simple_rnn_backward)((real *)op->array[0] + all, (real *)op->array[1] + begin * 2 * r.units, g ? g + all : NULL,
                              (const real *)op->array[2] + (r.sequences ? all : begin * r.units),
                              (const real *)op->array[3] + all, op->array[4], &r, end - begin);
}

/* arrays: y, gates (a on entry), q, previous, product (rows, 3 units), packed U, c */
static void NAME(op_gru_forward)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {
    const NAME(recurrence) r = NAME(recurrence_of)(op, context, begin);
    const int64_t all = begin * r.steps * r.units;
    NAME(gru_forward)((real *)op->array[0] + (r.sequences ? all : begin * r.units), (real *)op->array[1] + 3 * all,
                      (real *)op->array[2] + all, (real *)op->array[3] + all, (real *)op->array[4] + begin * 3 * r.units,
                      op->array[5], op->array[6], &r, end - begin);
}

static void NAME(op_gru_backward)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {
    const NAME(recurrence) r = NAME(recurrence_of)(op, context, begin);
    const int64_t all = begin * r.steps * r.units;
    real *g = op->array[8];
    NAME(gru_backward)((real *)op->array[0] + 3 * all, (real *)op->array[1] + 3 * all,
                       (real *)op->array[2] + begin * 2 * r.units, g ? g + all : NULL,
                       (const real *)op->array[3] + (r.sequences ? all : begin * r.units),
                       (const real *)op->array[4] + 3 * all, (const real *)op->array[5] + all,
                       (const real *)op->array[6] + all, op->array[7], &r, end - begin);
}

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
