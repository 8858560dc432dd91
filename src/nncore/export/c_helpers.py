"""The functions of a C header: TYPE is the type of the numbers, EXP and TANH the functions for it.

No function allocates; x and y may be the same array where a function works number by number.
"""

__all__ = ["HELPERS"]

HELPERS = {
    "cast": """\
/* y = x */
static inline void cast(const FROM *x, TYPE *y, int n) {
    for (int i = 0; i < n; i++) y[i] = (TYPE)x[i];
}
""",
    "dense": """\
/* y = W x + b */
static inline void dense(const TYPE *W, const TYPE *b, const TYPE *x, TYPE *y, int units, int inputs) {
    for (int u = 0; u < units; u++) {
        TYPE sum = b[u];
        for (int i = 0; i < inputs; i++) sum += *W++ * x[i];
        y[u] = sum;
    }
}
""",
    "affine": """\
/* y = (x - center) * factor + offset */
static inline void affine(const TYPE *center, const TYPE *factor, const TYPE *offset, const TYPE *x, TYPE *y, int n) {
    for (int i = 0; i < n; i++) y[i] = (x[i] - center[i]) * factor[i] + offset[i];
}
""",
    "softmax": """\
/* y_j = exp(x_j - m) / sum_k exp(x_k - m), m = max_k x_k */
static inline void softmax(const TYPE *x, TYPE *y, int n) {
    TYPE m = x[0], sum = 0;
    for (int j = 1; j < n; j++) if (x[j] > m) m = x[j];
    for (int j = 0; j < n; j++) sum += y[j] = EXP(x[j] - m);
    for (int j = 0; j < n; j++) y[j] /= sum;
}
""",
    "normalize": """\
/* y = (x - mean) / sqrt(mean of (x - mean)^2 + eps) * weight + bias within each group; the mean is 0 if not centered */
static inline void normalize(const TYPE *weight, const TYPE *bias, const TYPE *x, TYPE *y, int groups, int size, int centered,
                             double eps) {
    for (int first = 0; first < groups * size; first += size) {
        double mean = 0, square = 0;
        for (int i = first; centered && i < first + size; i++) mean += x[i];
        mean /= size;
        for (int i = first; i < first + size; i++) square += (x[i] - mean) * (x[i] - mean);
        const double factor = 1 / sqrt(square / size + eps);
        for (int i = first; i < first + size; i++) y[i] = (TYPE)((x[i] - mean) * factor) * weight[i] + bias[i];
    }
}
""",
    "select": """\
/* y_i = x_(columns_i) */
static inline void select(const int *columns, const TYPE *x, TYPE *y, int n) {
    for (int i = 0; i < n; i++) y[i] = x[columns[i]];
}
""",
    "simple_rnn": """\
/* h_t = keep * h_(t-1) + (1 - keep) * tanh(W x_t + b + U h_(t-1) + c), h_0 = 0; y is every h_t if `sequences`, else the last */
static inline void simple_rnn(const TYPE *W, const TYPE *b, const TYPE *U, const TYPE *c, const TYPE *x, TYPE *y,
                              TYPE *room, int steps, int inputs, int units, int sequences, TYPE keep) {
    TYPE *a = room, *p = room + units, *previous = y;
    for (int i = 0; i < units; i++) y[i] = 0;
    for (int t = 0; t < steps; t++) {
        TYPE *h = y + (sequences ? t * units : 0);
        dense(W, b, x + t * inputs, a, units, inputs);
        dense(U, c, previous, p, units, units);
        for (int i = 0; i < units; i++) h[i] = keep * previous[i] + (1 - keep) * TANH(a[i] + p[i]);
        previous = h;
    }
}
""",
    "gru": """\
/* a = W x_t + b and p = U h_(t-1) + c, in blocks r, z, n: r = s(a_r + p_r), z = s(a_z + p_z), n = tanh(a_n + r p_n),
 * h_t = keep * h_(t-1) + (1 - keep) * ((1 - z) n + z h_(t-1)), h_0 = 0, s(v) = 1 / (1 + exp(-v)); y as for simple_rnn */
static inline void gru(const TYPE *W, const TYPE *b, const TYPE *U, const TYPE *c, const TYPE *x, TYPE *y,
                       TYPE *room, int steps, int inputs, int units, int sequences, TYPE keep) {
    TYPE *a = room, *p = room + 3 * units, *previous = y;
    for (int i = 0; i < units; i++) y[i] = 0;
    for (int t = 0; t < steps; t++) {
        TYPE *h = y + (sequences ? t * units : 0);
        dense(W, b, x + t * inputs, a, 3 * units, inputs);
        dense(U, c, previous, p, 3 * units, units);
        for (int i = 0; i < units; i++) {
            const TYPE r = 1 / (1 + EXP(-a[i] - p[i])), z = 1 / (1 + EXP(-a[units + i] - p[units + i]));
            const TYPE n = TANH(a[2 * units + i] + r * p[2 * units + i]);
            h[i] = keep * previous[i] + (1 - keep) * ((1 - z) * n + z * previous[i]);
        }
        previous = h;
    }
}
""",
    "gru_reset_before": """\
/* as gru, but n = tanh(a_n + V (r h_(t-1))), and U and p = U h_(t-1) + c have the blocks r and z */
static inline void gru_reset_before(const TYPE *W, const TYPE *b, const TYPE *U, const TYPE *c, const TYPE *V, const TYPE *x,
                                    TYPE *y, TYPE *room, int steps, int inputs, int units, int sequences, TYPE keep) {
    TYPE *a = room, *p = room + 3 * units, *reset = room + 5 * units, *previous = y;
    for (int i = 0; i < units; i++) y[i] = 0;
    for (int t = 0; t < steps; t++) {
        TYPE *h = y + (sequences ? t * units : 0);
        dense(W, b, x + t * inputs, a, 3 * units, inputs);
        dense(U, c, previous, p, 2 * units, units);
        for (int i = 0; i < 2 * units; i++) p[i] = 1 / (1 + EXP(-a[i] - p[i]));
        for (int i = 0; i < units; i++) reset[i] = p[i] * previous[i];
        dense(V, a + 2 * units, reset, a, units, units);
        for (int i = 0; i < units; i++) {
            const TYPE z = p[units + i];
            h[i] = keep * previous[i] + (1 - keep) * ((1 - z) * TANH(a[i]) + z * previous[i]);
        }
        previous = h;
    }
}
""",
    "clip": """\
/* y = x / sqrt(1 + (x / limit)^2) */
static inline void clip(const TYPE *x, TYPE *y, int n, TYPE limit) {
    for (int i = 0; i < n; i++) y[i] = fabs(x[i] / limit) > 1e150 ? (x[i] > 0 ? limit : -limit)
                                                                   : x[i] / sqrt(1 + x[i] / limit * (x[i] / limit));
}
""",
    "unclip": """\
/* y = x / sqrt(1 - (x / limit)^2), infinite from the limit on */
static inline void unclip(const TYPE *x, TYPE *y, int n, TYPE limit) {
    for (int i = 0; i < n; i++) {
        const TYPE share = x[i] > limit ? 1 : x[i] < -limit ? -1 : x[i] / limit;
        y[i] = x[i] / sqrt((1 - share) * (1 + share));
    }
}
""",
}
