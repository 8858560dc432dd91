/* Stochastic gradient descent of linear models, one example after the other: z = W^T x + b of a row x of the data, the loss and its
 * slope at z, and at once the update of W on the columns that x has.
 *
 *     w <- max(0, 1 - l2 eta) w + r x,    b <- b + bias_factor r,    r = -eta slope weight
 *
 * W is (inputs, classes): an output is a column.  Each output is trained for itself, one against all, by its own row of the state
 * (layout.h); only softmax couples them.  An L1 penalty is the cumulative one of Tsuruoka, Tsujii and Ananiadou (2009): `shrunk` is
 * what each weight should have lost so far, `penalty` what it did lose, and a weight catches up when a row has its column.
 *
 * A step takes no longer than the row has numbers: W is stored divided by its scale, and the average of the weights as two sums,
 * (average + kept W) / divisor.  Both are folded back where the scale gets small, and by online_settle.
 *
 * The sums of a single output are CHAINS chains, whatever the instruction set; those of several outputs are one chain for each.  In
 * random order the rows are what the caches miss: those of the next examples are prefetched.  Never a scatter: a scalar
 * read, add and write of each number is faster. */

#define CHAINS 16
#define PARTS (CHAINS / LANES)
#define WIDE_PARTS 4                                         /* vectors of outputs that are summed together */
#define LINE_REALS ((int)(NN_CACHE_LINE / sizeof(real)))
#define LEAST_SCALE (REAL_IS_FLOAT ? 1e-6 : 1e-9)
#define LEAST_AVERAGED 1e-2                                  /* the two sums of an average lose 1/scale of their precision */
#define SETTLED 64                                           /* outputs whose scales are folded back together */
#define STEEPEST 1e12                                        /* slopes are limited to this, as in scikit-learn */
enum { NAME(NEXT_ROW) = 4, NAME(NEXT_START) = 10, NAME(MOST_LINES) = 16 };

/* A row of the data: its numbers, and their columns; the columns of the next row, whose weights are prefetched. */
typedef struct {
    const real *values;
    const char *columns, *next_columns;
    int64_t count, next_count;
} NAME(example);

/* Where the examples come from, and what W is made of. */
typedef struct {
    real *W, *average, *penalty, *signals;
    double *state;
    const double *labels;
    int64_t inputs, kind, rule;
    double l2, l1, epsilon, aggressiveness, bias_factor, average_from;
    int *failed;
} NAME(online);

/* The rows of the state do not overlap. */
#if defined(__clang__)
#define IVDEP _Pragma("clang loop vectorize(assume_safety)")
#else
#define IVDEP _Pragma("GCC ivdep")
#endif
#define STATE(row) (m->state + (row) * classes)

/* Column k of a row; `bytes` of an index, 0 for a dense row.  0, and a failure, if it is out of range. */
NN_INLINE int64_t NAME(column)(const NAME(online) *m, const NAME(example) *x, const int bytes, int64_t k) {
    if (bytes == 0) return k;
    const int64_t column = NAME(integer)(x->columns, bytes, k);
    if ((uint64_t)column < (uint64_t)m->inputs) return column;
    *m->failed |= NN_BAD_COLUMN;
    return 0;
}

/* Columns k, ... k + n - 1 of a sparse row, n <= CHAINS, then zeros. */
NN_INLINE void NAME(some_columns)(int32_t *to, const NAME(online) *m, const NAME(example) *x, const int bytes, int64_t k, int n) {
#if NN_VECTOR_BYTES == 64
    if (bytes == 4) {
        const __mmask16 mask = (__mmask16)((1u << n) - 1);
        const __m512i read = _mm512_maskz_loadu_epi32(mask, x->columns + 4 * k);
        const __mmask16 good = _mm512_cmplt_epu32_mask(read, _mm512_set1_epi32((int)m->inputs));
        if (good != 0xFFFF) *m->failed |= NN_BAD_COLUMN;
        _mm512_storeu_si512(to, _mm512_maskz_mov_epi32(good, read));
        return;
    }
#endif
    for (int j = 0; j < n; j++) to[j] = (int32_t)NAME(column)(m, x, bytes, k + j);
    for (int j = n; j < CHAINS; j++) to[j] = 0;
}

/* base[places_j] for the lanes j */
NN_INLINE vec NAME(gather)(const real *base, const int32_t *places) {
#if NN_VECTOR_BYTES == 64 && REAL_IS_FLOAT
    return (vec)_mm512_i32gather_ps(_mm512_loadu_si512(places), base, 4);
#elif NN_VECTOR_BYTES == 64
    return (vec)_mm512_i32gather_pd(_mm256_loadu_si256((const __m256i *)places), base, 8);
#elif NN_VECTOR_BYTES == 32 && REAL_IS_FLOAT
    return (vec)_mm256_i32gather_ps(base, _mm256_loadu_si256((const __m256i *)places), 4);
#elif NN_VECTOR_BYTES == 32
    return (vec)_mm256_i32gather_pd(base, _mm_loadu_si128((const __m128i *)places), 8);
#else
    vec v;
    for (int j = 0; j < LANES; j++) v[j] = base[places[j]];
    return v;
#endif
}

/* The sum of all chains, added in halves. */
NN_INLINE real NAME(sum_chains)(vec *sum) {
    for (int half = PARTS / 2; half; half /= 2)
        NN_UNROLL for (int p = 0; p < half; p++) sum[p] += sum[p + half];
#if NN_VECTOR_BYTES == 64 && REAL_IS_FLOAT
    return _mm512_reduce_add_ps((__m512)sum[0]);
#elif NN_VECTOR_BYTES == 64
    return _mm512_reduce_add_pd((__m512d)sum[0]);
#else
    return NAME(sum_lanes)(sum[0]);
#endif
}

/* x^T x */
NN_INLINE real NAME(squared_length)(const NAME(example) *x) {
    vec sum[PARTS] = {{0}};
    for (int64_t k = 0; k < x->count; k += CHAINS)
        NN_UNROLL for (int p = 0; p < PARTS; p++) {
            const int64_t left = x->count - k - p * LANES;
            const vec v = NAME(load_some)(x->values + k + p * LANES, left < 0 ? 0 : left < LANES ? (int)left : LANES);
            sum[p] += v * v;
        }
    return NAME(sum_chains)(sum);
}

/* z = w^T x of a single output; *length = x^T x */
NN_INLINE real NAME(single_output)(const NAME(online) *m, const NAME(example) *x, const int bytes, real *length) {
    vec sum[PARTS] = {{0}}, squares[PARTS] = {{0}};
    for (int64_t k = 0; k < x->count; k += CHAINS) {
        const int n = x->count - k < CHAINS ? (int)(x->count - k) : CHAINS;
        int32_t places[CHAINS];
        if (bytes) NAME(some_columns)(places, m, x, bytes, k, n);
        NN_UNROLL for (int p = 0; p < PARTS; p++) {
            const int left = n - p * LANES < 0 ? 0 : n - p * LANES;
            const vec v = NAME(load_some)(x->values + k + p * LANES, left);
            sum[p] += v * (bytes ? NAME(gather)(m->W, places + p * LANES) : NAME(load_some)(m->W + k + p * LANES, left));
            squares[p] += v * v;
        }
    }
    *length = NAME(sum_chains)(squares);
    return NAME(sum_chains)(sum);
}

/* z_c = sum_k x_k W_kc for the outputs of `parts` vectors, the last of them of `last` outputs */
NN_INLINE void NAME(some_outputs)(real *z, const NAME(online) *m, const NAME(example) *x, const int bytes, int64_t classes,
                                  int64_t from, const int parts, int last) {
    vec sum[WIDE_PARTS] = {{0}};
    for (int64_t k = 0; k < x->count; k++) {
        const vec v = NAME(broadcast)(x->values[k]);
        const real *w = m->W + NAME(column)(m, x, bytes, k) * classes + from;
        if (bytes && k < x->next_count) {
            const uint64_t skipped = (uint64_t)NAME(integer)(x->next_columns, bytes, k) * (uint64_t)classes + (uint64_t)from;
            const uint64_t next = (uint64_t)(uintptr_t)m->W + skipped * sizeof(real);    /* the column is not checked yet */
            NN_UNROLL for (int j = 0; j < parts * LANES; j += LINE_REALS) NN_PREFETCH((void *)(next + j * sizeof(real)));
            NN_PREFETCH((void *)(next + ((parts - 1) * LANES + last - 1) * sizeof(real)));
        }
        NN_UNROLL for (int p = 0; p < parts - 1; p++) sum[p] += v * NAME(load)(w + p * LANES);
        sum[parts - 1] += v * NAME(load_some)(w + (parts - 1) * LANES, last);
    }
    NN_UNROLL for (int p = 0; p < parts - 1; p++) NAME(store)(z + p * LANES, sum[p]);
    if (last < LANES) NAME(store_part)(z + (parts - 1) * LANES, sum[parts - 1], last);
    else NAME(store)(z + (parts - 1) * LANES, sum[parts - 1]);
}

/* z = W^T x of several outputs; *length = x^T x */
NN_INLINE void NAME(outputs)(real *z, const NAME(online) *m, const NAME(example) *x, const int bytes, int64_t classes,
                             real *length) {
    *length = NAME(squared_length)(x);
    for (int64_t from = 0; from < classes; from += WIDE_PARTS * LANES) {
        const int64_t left = classes - from;
        const int parts = left > 3 * LANES ? 4 : (int)((left + LANES - 1) / LANES);
        const int last = left > 4 * LANES ? LANES : (int)(left - (parts - 1) * LANES);
        if (parts == 1) NAME(some_outputs)(z + from, m, x, bytes, classes, from, 1, last);
        else if (parts == 2) NAME(some_outputs)(z + from, m, x, bytes, classes, from, 2, last);
        else if (parts == 3) NAME(some_outputs)(z + from, m, x, bytes, classes, from, 3, last);
        else NAME(some_outputs)(z + from, m, x, bytes, classes, from, 4, last);
    }
}

/* W_k += f x_k on the columns of x, for a single output */
NN_INLINE void NAME(add_single)(const NAME(online) *m, real *W, const real f, const NAME(example) *x, const int bytes) {
    const real *values = x->values;
    const uint64_t inputs = (uint64_t)m->inputs;
    int bad = 0;
    if (bytes == 0)
        for (int64_t k = 0; k < x->count; k++) W[k] += f * values[k];
    else
        _Pragma("GCC unroll 4") for (int64_t k = 0; k < x->count; k++) {
            const uint64_t column = (uint64_t)NAME(integer)(x->columns, bytes, k);
            if (__builtin_expect(column >= inputs, 0)) bad = NN_BAD_COLUMN;
            else W[column] += f * values[k];
        }
    *m->failed |= bad;
}

/* W_kc += f_c x_k on the columns of x */
NN_INLINE void NAME(add_example)(const NAME(online) *m, real *W, const real *f, const NAME(example) *x, const int bytes,
                                 int64_t classes) {
    if (classes == 1) NAME(add_single)(m, W, f[0], x, bytes);
    else
        for (int64_t from = 0; from < classes; from += LANES) {
            const int n = classes - from < LANES ? (int)(classes - from) : LANES;
            const vec part = NAME(load_some)(f + from, n);
            int moves = 0;
            for (int j = 0; j < n; j++) moves |= f[from + j] != 0;
            if (!moves) continue;
            for (int64_t k = 0; k < x->count; k++) {
                real *w = W + NAME(column)(m, x, bytes, k) * classes + from;
                const vec sum = NAME(load_some)(w, n) + part * NAME(broadcast)(x->values[k]);
                if (n < LANES) NAME(store_part)(w, sum, n);
                else NAME(store)(w, sum);
            }
        }
}

/* The weights on the columns of x catch up with their L1 penalty; f as it was added to them, for the norms; inverse: 1/scale. */
NN_INLINE void NAME(catch_up)(const NAME(online) *m, const real *f, const real *inverse, const NAME(example) *x, const int bytes,
                              int64_t classes) {
    const double *scale = STATE(NN_ONLINE_SCALE), *shrunk = STATE(NN_SHRUNK), *kept = STATE(NN_KEPT);
    double *square = STATE(NN_SQUARE), *absolute = STATE(NN_ABSOLUTE);
    for (int64_t k = 0; k < x->count; k++) {
        const int64_t first = NAME(column)(m, x, bytes, k) * classes;
        const double value = x->values[k];
        real *w = m->W + first, *lost = m->penalty + first, *average = m->average + first;
        IVDEP for (int64_t c = 0; c < classes; c++) {
            const double s = scale[c], was = w[c], sign = copysign(1, was), before = was - f[c] * value;
            const double due = (shrunk[c] + sign * lost[c]) * inverse[c], rest = sign * was - (due > 0 ? due : 0);
            const real is = rest > 0 ? (real)(sign * rest) : 0;    /* never -0, which a step of 0 would make 0 */
            lost[c] += (real)(s * (is - was));
            square[c] += s * s * ((double)is * is - was * was);
            absolute[c] += s * (fabs(is) - fabs(before));
            if (m->average) average[c] -= (real)(kept[c] * (is - was));
            w[c] = is;
        }
    }
}

/* For the outputs whose scale is below `least`: W and the average as they are, scales and sums as at the start, norms anew.  The
 * others stay as they are: what becomes of an output does not depend on those that a thread trains with it. */
static void NAME(settle)(const NAME(online) *m, int64_t classes, double least) {
    double *scale = STATE(NN_ONLINE_SCALE), *kept = STATE(NN_KEPT), *divisor = STATE(NN_DIVISOR);
    double *square = STATE(NN_SQUARE), *absolute = STATE(NN_ABSOLUTE);
    for (int64_t from = 0; from < classes; from += SETTLED) {
        const int n = classes - from < SETTLED ? (int)(classes - from) : SETTLED;
        double by[SETTLED], share[SETTLED], over[SETTLED], squares[SETTLED] = {0}, sums[SETTLED] = {0};
        for (int c = 0; c < n; c++) {
            const int chosen = scale[from + c] < least;
            by[c] = chosen ? scale[from + c] : 1, share[c] = chosen ? kept[from + c] : 0, over[c] = chosen ? divisor[from + c] : 1;
        }
        for (int64_t j = 0; j < m->inputs; j++) {
            real *w = m->W + j * classes + from, *a = m->average + j * classes + from;
            if (m->average)
                for (int c = 0; c < n; c++) a[c] = (real)((a[c] + share[c] * w[c]) / over[c]) + 0;    /* never -0 */
            for (int c = 0; c < n; c++) {
                const double value = w[c] = (real)(by[c] * w[c]) + 0;
                squares[c] += value * value;
                sums[c] += fabs(value);
            }
        }
        for (int c = 0; c < n; c++)
            if (scale[from + c] < least) {
                square[from + c] = squares[c], absolute[from + c] = sums[c];
                scale[from + c] = divisor[from + c] = 1, kept[from + c] = 0;
            }
    }
}

/* ---- losses of an output z for the target y, which is 1 or -1 for a class; all as in scikit-learn ---------------- */

NN_INLINE real NAME(margin_term)(real *slope, real z, real y, real least) {    /* hinge: least = 1, perceptron: 0 */
    const real short_by = least - z * y;
    *slope = short_by >= 0 ? -y : 0;
    return short_by >= 0 ? short_by : 0;
}

NN_INLINE real NAME(squared_hinge_term)(real *slope, real z, real y, real unused) {
    const real short_by = 1 - z * y, positive = short_by > 0 ? short_by : 0;
    (void)unused;
    *slope = -2 * y * positive;
    return positive * positive;
}

NN_INLINE real NAME(log_term)(real *slope, real z, real y, real unused) {
    const real margin = z * y, e = NAME(nn_exp)(-NAME(nn_abs)(margin));
    (void)unused;
    *slope = -y * ((margin < 0 ? 1 : e) / (1 + e));
    return NAME(nn_log1p)(e) + (margin < 0 ? -margin : 0);
}

NN_INLINE real NAME(modified_huber_term)(real *slope, real z, real y, real unused) {
    const real margin = z * y, short_by = 1 - margin, near = short_by > 0 ? short_by : 0;
    (void)unused;
    *slope = margin >= -1 ? -2 * y * near : -4 * y;
    return margin >= -1 ? near * near : -4 * margin;
}

NN_INLINE real NAME(half_square_term)(real *slope, real z, real y, real unused) {
    const real error = z - y;
    (void)unused;
    *slope = error;
    return REAL(0.5) * error * error;
}

NN_INLINE real NAME(online_huber_term)(real *slope, real z, real y, real delta) {
    const real error = z - y, size = NAME(nn_abs)(error);
    *slope = size <= delta ? error : error > 0 ? delta : -delta;
    return size <= delta ? REAL(0.5) * error * error : delta * (size - REAL(0.5) * delta);
}

NN_INLINE real NAME(insensitive_term)(real *slope, real z, real y, real epsilon) {
    const real error = z - y, beyond = NAME(nn_abs)(error) - epsilon;
    *slope = beyond > 0 ? (error > 0 ? 1 : -1) : 0;
    return beyond > 0 ? beyond : 0;
}

NN_INLINE real NAME(squared_insensitive_term)(real *slope, real z, real y, real epsilon) {
    const real error = z - y, beyond = NAME(nn_abs)(error) - epsilon, positive = beyond > 0 ? beyond : 0;
    *slope = (error > 0 ? 2 : -2) * positive;
    return positive * positive;
}

/* The only loss of all outputs together: log sum_c exp z_c - z_y, counted at the output of the class. */
NN_INLINE void NAME(online_softmax)(real *loss, real *slope, const real *z, const real *y, int64_t classes) {
    real top = z[0], sum = 0;
    for (int64_t c = 1; c < classes; c++) top = z[c] > top ? z[c] : top;
    for (int64_t c = 0; c < classes; c++) slope[c] = NAME(nn_exp)(z[c] - top);
    for (int64_t c = 0; c < classes; c++) sum += slope[c];
    const real logarithm = NAME(nn_log)(sum);
    for (int64_t c = 0; c < classes; c++) {
        loss[c] = y[c] > 0 ? logarithm - (z[c] - top) : 0;
        slope[c] = slope[c] / sum - (y[c] > 0 ? 1 : 0);
    }
}

#define EACH_OUTPUT(term, constant)                                                                                            \
    for (int64_t c = 0; c < classes; c++) loss[c] = NAME(term)(slope + c, z[c], y[c], constant);                               \
    break;

/* Losses and slopes of the outputs of an example. */
NN_INLINE void NAME(online_losses)(int64_t kind, real epsilon, real *restrict loss, real *restrict slope, const real *restrict z,
                                   const real *restrict y, int64_t classes) {
    switch (kind) {
        case NN_HINGE: EACH_OUTPUT(margin_term, 1)
        case NN_PERCEPTRON: EACH_OUTPUT(margin_term, 0)
        case NN_SQUARED_HINGE: EACH_OUTPUT(squared_hinge_term, 0)
        case NN_LOG_LOSS: EACH_OUTPUT(log_term, 0)
        case NN_MODIFIED_HUBER: EACH_OUTPUT(modified_huber_term, 0)
        case NN_SQUARED_ERROR: EACH_OUTPUT(half_square_term, 0)
        case NN_HUBER: EACH_OUTPUT(online_huber_term, epsilon)
        case NN_INSENSITIVE: EACH_OUTPUT(insensitive_term, epsilon)
        case NN_SQUARED_INSENSITIVE: EACH_OUTPUT(squared_insensitive_term, epsilon)
        case NN_SOFTMAX: NAME(online_softmax)(loss, slope, z, y, classes);
    }
}
#undef EACH_OUTPUT

/* ---- a step ---------------------------------------------------------------------------------------------------- */

/* How far an output goes along x: -eta slope; or passive-aggressive, as far as the loss asks for (Crammer et al., 2006). */
NN_INLINE double NAME(reach)(const NAME(online) *m, double eta, double loss, double slope, double square) {
    if (m->rule == NN_SCHEDULED) {
        if (__builtin_expect(fabs(slope) > STEEPEST, 0)) slope = slope > 0 ? STEEPEST : -STEEPEST;
        return -eta * slope;
    }
    double size = m->rule == NN_PASSIVE_1 ? loss / square : loss / (square + 0.5 / m->aggressiveness);
    if (m->rule == NN_PASSIVE_1 && size > m->aggressiveness) size = m->aggressiveness;
    return slope > 0 ? -size : size;
}

/* One example: 0 if an output is not finite.
 * signals: z, y, loss, slope, f and the same for the average, w^T x, 1/scale, (classes,) each */
NN_INLINE int NAME(online_step)(const NAME(online) *m, const NAME(example) *x, const int bytes, int64_t classes,
                                double target, double weight, double rate, double *losses) {
    const double l2 = m->l2, l1 = m->l1, *label = m->labels, *factor = STATE(NN_FACTOR);
    const double *positive = STATE(NN_POSITIVE), *negative = STATE(NN_NEGATIVE);
    real alone[8], *z = classes == 1 ? alone : m->signals;
    real *y = z + classes, *loss = y + classes, *slope = loss + classes, *f = slope + classes,
         *back = f + classes, *inner = back + classes, *inverse = inner + classes;
    double *bias = STATE(NN_BIAS), *scale = STATE(NN_ONLINE_SCALE), *square = STATE(NN_SQUARE), *absolute = STATE(NN_ABSOLUTE);
    double *shrunk = STATE(NN_SHRUNK), *kept = STATE(NN_KEPT), *divisor = STATE(NN_DIVISOR), *average_bias = STATE(NN_AVERAGE_BIAS);
    real length;
    if (classes == 1) z[0] = NAME(single_output)(m, x, bytes, &length);
    else NAME(outputs)(z, m, x, bytes, classes, &length);
    const double least = m->average ? LEAST_AVERAGED : LEAST_SCALE;
    int finite = 1, small = 0, moves = 0;
    IVDEP for (int64_t c = 0; c < classes; c++) {
        y[c] = label ? (target == label[c] ? 1 : -1) : (real)target;
        inner[c] = (real)(z[c] * scale[c]);
        z[c] = (real)(inner[c] + bias[c]);
        finite &= isfinite(z[c]) != 0;
    }
    if (!finite) return 0;
    NAME(online_losses)(m->kind, (real)m->epsilon, loss, slope, z, y, classes);
    if (losses)
        for (int64_t c = 0; c < classes; c++) losses[c] = loss[c];
    IVDEP for (int64_t c = 0; c < classes; c++)
        STATE(NN_OBJECTIVE)[c] += loss[c] + (m->rule == NN_SCHEDULED ? 0.5 * l2 * square[c] + l1 * absolute[c] : 0);
    if (length == 0 && m->rule == NN_PASSIVE_1) return 1;    /* nowhere to go */
    IVDEP for (int64_t c = 0; c < classes; c++) {
        const double left = 1 - l2 * rate * factor[c], shrink = left > 0 ? left : 0;
        scale[c] *= shrink;
        square[c] *= shrink * shrink;
        absolute[c] *= shrink;
        small |= scale[c] < least;
        inner[c] = (real)(inner[c] * shrink);
    }
    if (small) NAME(settle)(m, classes, least);
    IVDEP for (int64_t c = 0; c < classes; c++) {
        const double eta = rate * factor[c];
        const double share = weight * (y[c] > 0 ? positive[c] : negative[c]), part = 1 / scale[c];
        const double way = NAME(reach)(m, eta, loss[c], slope[c], length), r = way * share;
        f[c] = (real)(way * (share * part));    /* the quotient does not wait for z */
        inverse[c] = (real)part;
        moves |= f[c] != 0;
        square[c] += r * (2 * (double)inner[c] + r * length);
        bias[c] += m->bias_factor * r;
        shrunk[c] += l1 * eta;
    }
    const double n = ++*STATE(NN_STEPS) - m->average_from;
    if (m->average && n >= 1)
        IVDEP for (int64_t c = 0; c < classes; c++) {
            back[c] = (real)(-kept[c] * f[c]);
            if (n > 1) divisor[c] *= n / (n - 1);
            kept[c] += divisor[c] * scale[c] / n;
            average_bias[c] += (bias[c] - average_bias[c]) / n;
        }
    if (moves) NAME(add_example)(m, m->W, f, x, bytes, classes);
    if (moves && m->average && n >= 1) NAME(add_example)(m, m->average, back, x, bytes, classes);
    if (m->penalty) NAME(catch_up)(m, f, inverse, x, bytes, classes);
    return 1;
}
#undef STATE
#undef IVDEP

/* ---- the ops: arrays 0 to 8 are common to both, then come the data ----------------------------------------------- */

NN_INLINE NAME(online) NAME(online_of)(const nn_op *op, const nn_context *context) {
    const double *c = op->constant;
    return (NAME(online)){
        (real *)op->array[0], (real *)op->array[1], (real *)op->array[2], (real *)op->array[4], (double *)op->array[3],
        (const double *)op->array[6], op->size[1], op->size[2], op->size[3], c[0], c[1], c[2], c[3], c[4], c[5], context->failed};
}

/* The example at x, of this row and at this place of the epoch: its target, weight and rate, and a step; 0 if it failed. */
NN_INLINE int NAME(online_example)(const nn_op *op, const NAME(online) *m, const NAME(example) *x, const int bytes,
                                   const int64_t classes, int64_t row, int64_t place) {
    const double *weights = (const double *)op->array[8];
    const double target = ((const double *)op->array[7])[row], weight = weights ? weights[row] : 1;
    const double rate = ((const double *)op->array[9])[place];
    double *losses = op->array[5] ? (double *)op->array[5] + place * classes : NULL;
    if (!NAME(online_step)(m, x, bytes, classes, target, weight, rate, losses)) *m->failed |= NN_NOT_FINITE;
    return !*m->failed;
}

NN_INLINE void NAME(prefetch_row)(const char *from, int64_t bytes) {
    const int64_t most = NAME(MOST_LINES) * NN_CACHE_LINE;
    _Pragma("GCC unroll 1") for (int64_t k = 0; k < (bytes < most ? bytes : most); k += NN_CACHE_LINE) NN_PREFETCH(from + k);
}

/* Row r of the sparse matrix at x; 0, and a failure, if it is not within the numbers. */
NN_INLINE int NAME(csr_row)(NAME(example) *x, const nn_op *op, const int bytes, int64_t r) {
    const int64_t kept = op->length[10] < op->length[11] ? op->length[10] : op->length[11];
    const int64_t first = NAME(integer)(op->array[12], bytes, r), last = NAME(integer)(op->array[12], bytes, r + 1);
    if (first < 0 || first > last || last > kept) return 0;
    x->values = (const real *)op->array[10] + first;
    x->columns = (const char *)op->array[11] + first * bytes;
    x->count = last - first;
    return 1;
}

/* `classes` is a constant where there is one. */
NN_INLINE void NAME(online_csr)(const nn_op *op, const nn_context *context, const int bytes, const int64_t classes) {
    const NAME(online) m = NAME(online_of)(op, context);
    const NAME(batch) batch = NAME(batch_of)(context, op->length[12] - 1);
    for (int64_t i = 0; i < context->rows; i++) {
        int unused = 0;
        NAME(batch) ahead = batch;
        NAME(example) x = {0}, next = {0};
        ahead.failed = &unused;
        if (i + NAME(NEXT_START) < context->rows) {
            const int64_t r = NAME(data_row)(&ahead, i + NAME(NEXT_START));
            NN_PREFETCH((const char *)op->array[12] + r * bytes);
            NN_PREFETCH((const double *)op->array[7] + r);
            if (op->array[8]) NN_PREFETCH((const double *)op->array[8] + r);
        }
        if (i + NAME(NEXT_ROW) < context->rows) {
            const int64_t r = NAME(data_row)(&ahead, i + NAME(NEXT_ROW));
            if (r >= 0 && NAME(csr_row)(&next, op, bytes, r)) {
                NAME(prefetch_row)((const char *)next.values, next.count * (int64_t)sizeof(real));
                NAME(prefetch_row)(next.columns, next.count * bytes);
            }
        }
        if (classes > 1 && i + 1 < context->rows) {
            const int64_t r = NAME(data_row)(&ahead, i + 1);
            if (r >= 0 && NAME(csr_row)(&next, op, bytes, r)) x.next_columns = next.columns, x.next_count = next.count;
        }
        const int64_t r = NAME(data_row)(&batch, i);
        if (r < 0) return;
        if (!NAME(csr_row)(&x, op, bytes, r)) {
            *context->failed |= NN_BAD_START;
            return;
        }
        if (!NAME(online_example)(op, &m, &x, bytes, classes, r, context->start + i)) return;
    }
}

/* The most frequent case is a function of its own, for its registers. */
static __attribute__((noinline)) void NAME(online_single_csr)(const nn_op *op, const nn_context *context) {
    NAME(online_csr)(op, context, 4, 1);
}

/* The examples of a batch of a sparse matrix, one after the other.  A tile is a group of outputs with all arrays of its own.
 * arrays: W, average and penalty (inputs, classes); state (NN_STATE, classes) double; signals (8, classes); loss (examples of the epoch,
 * classes) double; labels (classes,) double, the class of each output, without them targets are numbers; targets and weights double, of all rows of the
 * data; rates double, (examples of the epoch,); values, columns, starts, both of int32 or of int64
 * sizes: classes, inputs < 2^31, kind of loss, rule;  constants: l2, l1, epsilon, aggressiveness, bias_factor, average_from */
static void NAME(op_online_csr)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {
    (void)begin, (void)end;
    if (op->stride[12] != 4) NAME(online_csr)(op, context, 8, op->size[0]);
    else if (op->size[0] == 1) NAME(online_single_csr)(op, context);
    else NAME(online_csr)(op, context, 4, op->size[0]);
}

/* The same for dense rows: data (n, inputs), its rows anywhere. */
static void NAME(op_online_rows)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {
    const NAME(online) m = NAME(online_of)(op, context);
    const NAME(batch) batch = NAME(batch_of)(context, op->length[10]);
    (void)begin, (void)end;
    for (int64_t i = 0; i < context->rows; i++) {
        int unused = 0;
        NAME(batch) ahead = batch;
        ahead.failed = &unused;
        const int64_t next = i + 1 < context->rows ? NAME(data_row)(&ahead, i + 1) : -1;
        if (next >= 0) NAME(prefetch_row)((const char *)op->array[10] + next * op->stride[10], m.inputs * (int64_t)sizeof(real));
        const int64_t r = NAME(data_row)(&batch, i);
        if (r < 0) return;
        const NAME(example) x = {(const real *)((const char *)op->array[10] + r * op->stride[10]), NULL, NULL, m.inputs, 0};
        if (!NAME(online_example)(op, &m, &x, 0, op->size[0], r, context->start + i)) return;
    }
}

/* W and its average in full, scales 1: before W is read.  arrays: W, average, state;  sizes: classes, inputs */
static void NAME(op_online_settle)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {
    const NAME(online) m = {.W = (real *)op->array[0], .average = (real *)op->array[1], .state = (double *)op->array[2],
                            .inputs = op->size[1], .failed = context->failed};
    (void)begin, (void)end;
    NAME(settle)(&m, op->size[0], INFINITY);
}

#undef CHAINS
#undef PARTS
#undef WIDE_PARTS
#undef LINE_REALS
#undef LEAST_SCALE
#undef LEAST_AVERAGED
#undef SETTLED
#undef STEEPEST
