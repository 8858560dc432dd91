"""The functions of a C header: TYPE is the type of the numbers, EXP and TANH the functions for it.

No function allocates; x and y may be the same array where a function works number by number.
"""

__all__ = ["HELPERS"]


def _recurrent(name: str, formula: str, gates: int, body: str, more: str = "") -> str:
    """A function that goes through the steps of a sequence; ``body`` computes h from a and ``previous``."""
    return f"""\
/* {formula}; h_0 = 0.
 * y is every h_t if `sequences`, else the last. Where skip_t, h_t = h_(t-1). In `reverse` the last x_t comes first. */
static inline void {name}(const TYPE *W, const TYPE *b, const TYPE *U, const TYPE *c, {more}const TYPE *x, TYPE *y, TYPE *room,
    const int *skip, int steps, int inputs, int units, int sequences, int reverse, TYPE keep) {{
    TYPE *a = room, *p = room + {gates} * units, *h = y;
    for (int i = 0; i < units; i++) h[i] = 0;
    for (int step = 0; step < steps; step++) {{
        const int t = reverse ? steps - 1 - step : step;
        const TYPE *previous = h;
        if (sequences) h = y + t * units;
        if (skip && skip[t]) {{
            for (int i = 0; i < units; i++) h[i] = previous[i];
            continue;
        }}
        dense(W, b, x + t * inputs, a, {gates} * units, inputs);
{body}    }}
}}
"""


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
    "divide": """\
/* y = (x - center) / divisor */
static inline void divide(const TYPE *center, const TYPE *divisor, const TYPE *x, TYPE *y, int n) {
    for (int i = 0; i < n; i++) y[i] = (x[i] - center[i]) / divisor[i];
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
    "mask": """\
/* skip_t = 1 where all numbers of x_t equal value or before_t, if there is one, is 1; else 0 */
static inline void mask(const TYPE *x, const int *before, int *skip, int steps, int inputs, TYPE value) {
    for (int t = 0; t < steps; t++) {
        skip[t] = 1;
        for (int i = 0; i < inputs; i++) skip[t] &= *x++ == value;
        if (before) skip[t] |= before[t];
    }
}
""",
    "simple_rnn": _recurrent(
        "simple_rnn",
        "h_t = keep * h_(t-1) + (1 - keep) * tanh(a + p), a = W x_t + b, p = U h_(t-1) + c",
        gates=1,
        body="""\
        dense(U, c, previous, p, units, units);
        for (int i = 0; i < units; i++) h[i] = keep * previous[i] + (1 - keep) * TANH(a[i] + p[i]);
""",
    ),
    "gru": _recurrent(
        "gru",
        "a = W x_t + b and p = U h_(t-1) + c, in blocks r, z, n: r = s(a_r + p_r), z = s(a_z + p_z), n = tanh(a_n + r p_n),\n"
        " * h_t = keep * h_(t-1) + (1 - keep) * ((1 - z) n + z h_(t-1)), s(v) = 1 / (1 + exp(-v))",
        gates=3,
        body="""\
        dense(U, c, previous, p, 3 * units, units);
        for (int i = 0; i < units; i++) {
            const TYPE r = 1 / (1 + EXP(-a[i] - p[i])), z = 1 / (1 + EXP(-a[units + i] - p[units + i]));
            const TYPE n = TANH(a[2 * units + i] + r * p[2 * units + i]);
            h[i] = keep * previous[i] + (1 - keep) * ((1 - z) * n + z * previous[i]);
        }
""",
    ),
    "gru_reset_before": _recurrent(
        "gru_reset_before",
        "a = W x_t + b in blocks r, z, n and p = U h_(t-1) + c in blocks r, z: r = s(a_r + p_r), z = s(a_z + p_z),\n"
        " * n = tanh(a_n + V (r h_(t-1))), h_t = keep * h_(t-1) + (1 - keep) * ((1 - z) n + z h_(t-1)), s as in gru",
        gates=3,
        more="const TYPE *V, ",
        body="""\
        TYPE *reset = p + 2 * units;
        dense(U, c, previous, p, 2 * units, units);
        for (int i = 0; i < 2 * units; i++) p[i] = 1 / (1 + EXP(-a[i] - p[i]));
        for (int i = 0; i < units; i++) reset[i] = p[i] * previous[i];
        dense(V, a + 2 * units, reset, a, units, units);
        for (int i = 0; i < units; i++) {
            const TYPE z = p[units + i];
            h[i] = keep * previous[i] + (1 - keep) * ((1 - z) * TANH(a[i]) + z * previous[i]);
        }
""",
    ),
    "join": """\
/* y_t = (first_t, second_t), of so many units each */
static inline void join(const TYPE *first, const TYPE *second, TYPE *y, int n, int units) {
    for (int i = 0; i < n; i += units, y += 2 * units) {
        for (int j = 0; j < units; j++) {
            y[j] = first[i + j];
            y[units + j] = second[i + j];
        }
    }
}
""",
    "add": """\
/* y = factor * (first + second) */
static inline void add(const TYPE *first, const TYPE *second, TYPE *y, int n, TYPE factor) {
    for (int i = 0; i < n; i++) y[i] = factor * (first[i] + second[i]);
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
