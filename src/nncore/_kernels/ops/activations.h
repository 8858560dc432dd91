/* Activations h = s(z), elementwise but for softmax, and their backward halves dz = dh * s'(z).  Kernels see a block
 * of rows as n = rows * width consecutive numbers.  Included twice, after elementary.h. */

/* tanh: h = tanh z */
static void NAME(tanh_forward)(real *restrict h, const real *restrict z, int64_t n) {
    for (int64_t i = 0; i < n; i++) h[i] = NAME(nn_tanh)(z[i]);
}

/* h = tanh z, so h' = 1 - h^2 = (1 - h)(1 + h) */
static void NAME(tanh_backward)(real *restrict dz, const real *restrict dh, const real *restrict z,
                                const real *restrict h, int64_t n) {
    (void)z;
    for (int64_t i = 0; i < n; i++) dz[i] = dh[i] * ((1 - h[i]) * (1 + h[i]));
}

/* sigmoid: h = 1 / (1 + e^-z) */
static void NAME(sigmoid_forward)(real *restrict h, const real *restrict z, int64_t n) {
    for (int64_t i = 0; i < n; i++) h[i] = NAME(nn_sigmoid)(z[i]);
}

/* h = 1 / (1 + e^-z), so h' = h (1 - h) */
static void NAME(sigmoid_backward)(real *restrict dz, const real *restrict dh, const real *restrict z,
                                   const real *restrict h, int64_t n) {
    (void)z;
    for (int64_t i = 0; i < n; i++) dz[i] = dh[i] * (h[i] * (1 - h[i]));
}

/* relu: h = max(z, 0); NaN stays NaN */
NN_INLINE real NAME(relu_of)(real z) { return z <= 0 ? 0 : z; }

static void NAME(relu_forward)(real *restrict h, const real *restrict z, int64_t n) {
    for (int64_t i = 0; i < n; i++) h[i] = NAME(relu_of)(z[i]);
}

/* h = max(z, 0), so h' = [z > 0]: 0 at the kink.  A function, so that dh is loaded unconditionally: a conditional load would be a
 * branch. */
NN_INLINE real NAME(relu_slope)(real dh, real z) { return z > 0 ? dh : 0; }

static void NAME(relu_backward)(real *restrict dz, const real *restrict dh, const real *restrict z,
                                const real *restrict h, int64_t n) {
    (void)h;
    for (int64_t i = 0; i < n; i++) dz[i] = NAME(relu_slope)(dh[i], z[i]);
}

/* leaky_relu: h = z for z > 0, else slope z (Maas, Hannun, Ng 2013) */
static void NAME(leaky_relu_forward)(real *restrict h, const real *restrict z, real slope, int64_t n) {
    for (int64_t i = 0; i < n; i++) h[i] = z[i] > 0 ? z[i] : slope * z[i];
}

/* h = z for z > 0, else slope z, so h' = 1 or slope */
static void NAME(leaky_relu_backward)(real *restrict dz, const real *restrict dh, const real *restrict z,
                                      const real *restrict h, real slope, int64_t n) {
    (void)h;
    for (int64_t i = 0; i < n; i++) dz[i] = z[i] > 0 ? dh[i] : slope * dh[i];
}

/* elu: h = z for z > 0, else alpha (e^z - 1) (Clevert, Unterthiner, Hochreiter 2016) */
static void NAME(elu_forward)(real *restrict h, const real *restrict z, real alpha, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        const real below = alpha * NAME(nn_expm1)(z[i]);
        h[i] = z[i] > 0 ? z[i] : below;
    }
}

/* h = z for z > 0, else alpha (e^z - 1), so h' = 1 or alpha e^z; not h + alpha, which loses the digits of a small e^z
 * */
static void NAME(elu_backward)(real *restrict dz, const real *restrict dh, const real *restrict z,
                               const real *restrict h, real alpha, int64_t n) {
    (void)h;
    for (int64_t i = 0; i < n; i++) {
        const real below = dh[i] * (alpha * NAME(nn_exp)(z[i]));
        dz[i] = z[i] > 0 ? dh[i] : below;
    }
}

/* softplus: h = log(1 + e^z) */
static void NAME(softplus_forward)(real *restrict h, const real *restrict z, int64_t n) {
    for (int64_t i = 0; i < n; i++) h[i] = NAME(nn_softplus)(z[i]);
}

/* h = log(1 + e^z), so h' = sigmoid(z) */
static void NAME(softplus_backward)(real *restrict dz, const real *restrict dh, const real *restrict z,
                                    const real *restrict h, int64_t n) {
    (void)h;
    for (int64_t i = 0; i < n; i++) dz[i] = dh[i] * NAME(nn_sigmoid)(z[i]);
}

/* z clipped to [-limit, limit], where a gate is 0 or 1 to the last bit; NaN stays NaN.  Prevents inf * 0 = NaN. */
static inline real NAME(at_least)(real z, real limit) { return z < limit ? limit : z; }
static inline real NAME(within)(real z, real limit) { return NAME(at_least)(z > limit ? limit : z, -limit); }

/* gelu: h = z N(z), N(z) = 1/2 (1 + erf(z / sqrt 2)) the normal distribution function (Hendrycks, Gimpel 2016) */
static void NAME(gelu_forward)(real *restrict h, const real *restrict z, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        const real x = NAME(at_least)(z[i], REAL(-40.0));
        h[i] = x * NAME(nn_normal_cdf)(x);
    }
}

/* h = z N(z), so h' = N(z) + z e^(-z^2/2) / sqrt(2 pi) */
static void NAME(gelu_backward)(real *restrict dz, const real *restrict dh, const real *restrict z,
                                const real *restrict h, int64_t n) {
    (void)h;
    for (int64_t i = 0; i < n; i++) {
        const real x = NAME(within)(z[i], REAL(40.0));
        const real e = NAME(nn_exp)(REAL(-0.5) * x * x);
        dz[i] = dh[i] * NAME(nn_fma)(REAL(0.39894228040143267794) * x, e, NAME(nn_normal_cdf_from)(x, e));
    }
}

/* 2u = 2 sqrt(2/pi) (z + 0.044715 z^3) of gelu_tanh, and its derivative */
static inline real NAME(gelu_inner)(real z) {
    return REAL(1.5957691216057307117) * z * (1 + REAL(0.044715) * (z * z));
}

static inline real NAME(gelu_inner_slope)(real z) {
    return REAL(1.5957691216057307117) * (1 + REAL(0.134145) * (z * z));
}

/* gelu_tanh: h = 1/2 z (1 + tanh u) = z sigmoid(2u), the approximation of gelu in the same paper */
static void NAME(gelu_tanh_forward)(real *restrict h, const real *restrict z, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        const real x = NAME(at_least)(z[i], REAL(-40.0));
        h[i] = x * NAME(nn_sigmoid)(NAME(gelu_inner)(NAME(within)(x, REAL(40.0))));
    }
}

/* h = z s, s = sigmoid(2u), so h' = s + z s (1 - s) (2u)' */
static void NAME(gelu_tanh_backward)(real *restrict dz, const real *restrict dh, const real *restrict z,
                                     const real *restrict h, int64_t n) {
    (void)h;
    for (int64_t i = 0; i < n; i++) {
        const real x = NAME(within)(z[i], REAL(40.0));
        const real s = NAME(nn_sigmoid)(NAME(gelu_inner)(x));
        dz[i] = dh[i] * NAME(nn_fma)(x * s * (1 - s), NAME(gelu_inner_slope)(x), s);
    }
}

/* silu: h = z sigmoid(z) (Elfwing, Uchibe, Doya 2018) */
static void NAME(silu_forward)(real *restrict h, const real *restrict z, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        const real x = NAME(at_least)(z[i], REAL(-800.0));
        h[i] = x * NAME(nn_sigmoid)(x);
    }
}

/* h = z s, s = sigmoid(z), so h' = s + z s (1 - s) = s (1 + z (1 - s)) */
static void NAME(silu_backward)(real *restrict dz, const real *restrict dh, const real *restrict z,
                                const real *restrict h, int64_t n) {
    (void)h;
    for (int64_t i = 0; i < n; i++) {
        const real x = NAME(within)(z[i], REAL(800.0));
        const real s = NAME(nn_sigmoid)(x);
        dz[i] = dh[i] * (s * (1 + x * (1 - s)));
    }
}

/* selu: h = scale z for z > 0, else scale alpha (e^z - 1), with the two constants of Klambauer et al. 2017 */
#define SELU_SCALE REAL(1.0507009873554804934)
#define SELU_BELOW REAL(1.7580993408473768600)    /* scale alpha */

static void NAME(selu_forward)(real *restrict h, const real *restrict z, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        const real below = SELU_BELOW * NAME(nn_expm1)(z[i]);
        h[i] = z[i] > 0 ? SELU_SCALE * z[i] : below;
    }
}

/* h' = scale or scale alpha e^z */
static void NAME(selu_backward)(real *restrict dz, const real *restrict dh, const real *restrict z,
                                const real *restrict h, int64_t n) {
    (void)h;
    for (int64_t i = 0; i < n; i++) {
        const real below = SELU_BELOW * NAME(nn_exp)(z[i]);
        dz[i] = dh[i] * (z[i] > 0 ? SELU_SCALE : below);
    }
}

/* The gate w = tanh(log(1 + e^z)) of mish, and w', given e = e^-|z|: with e^z = a / b and D = a^2 + 2 a b + 2 b^2,
 * w = a (a + 2b) / D, w' = 4 a b^2 (a + b) / D^2, where nothing cancels. */
static inline real NAME(mish_gate)(real *slope, real z, real e) {
    const real a = z > 0 ? 1 : e, b = z > 0 ? e : 1;
    const real above = a * (a + 2 * b), over = 1 / (above + 2 * (b * b));
    *slope = 4 * (a * over) * (b * b * over) * (a + b);
    return above * over;
}

/* mish: h = z tanh(log(1 + e^z)) (Misra 2019) */
static void NAME(mish_forward)(real *restrict h, const real *restrict z, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        const real x = NAME(at_least)(z[i], REAL(-800.0));
        real slope;
        h[i] = x * NAME(mish_gate)(&slope, x, NAME(nn_exp)(-NAME(nn_abs)(x)));
    }
}

/* h = z w, so h' = w + z w' */
static void NAME(mish_backward)(real *restrict dz, const real *restrict dh, const real *restrict z,
                                const real *restrict h, int64_t n) {
    (void)h;
    for (int64_t i = 0; i < n; i++) {
        const real x = NAME(within)(z[i], REAL(800.0));
        real slope;
        const real gate = NAME(mish_gate)(&slope, x, NAME(nn_exp)(-NAME(nn_abs)(x)));
        dz[i] = dh[i] * NAME(nn_fma)(x, slope, gate);
    }
}

/* identity: h = z */
static void NAME(identity_forward)(real *restrict h, const real *restrict z, int64_t n) {
    for (int64_t i = 0; i < n; i++) h[i] = z[i];
}

/* h = z, so h' = 1 */
static void NAME(identity_backward)(real *restrict dz, const real *restrict dh, const real *restrict z,
                                    const real *restrict h, int64_t n) {
    (void)z, (void)h;
    for (int64_t i = 0; i < n; i++) dz[i] = dh[i];
}

/* ---- softmax: rows of any width, best when short --------------------------------------------------------------- */

static inline int64_t NAME(chunk_rows)(int64_t width) {
    const int64_t rows = NN_CHUNK / (width > 0 ? width : 1);
    return rows < 1 ? 1 : rows > NN_CHUNK_ROWS ? NN_CHUNK_ROWS : rows;
}

/* Sums and maxima of a row: long ones in 16 lanes (which vectorize), folded at the end; short ones in order. */
#define NN_LANES 16
#define NN_LONG 32

NN_INLINE real NAME(row_max)(const real *z, int64_t width) {
    real lane[NN_LANES], m = z[0];
    int64_t j = 1;
    if (width >= NN_LONG) {
        for (int l = 0; l < NN_LANES; l++) lane[l] = z[l];
        for (j = NN_LANES; j + NN_LANES <= width; j += NN_LANES)
            for (int l = 0; l < NN_LANES; l++) lane[l] = z[j + l] > lane[l] ? z[j + l] : lane[l];
        for (int l = 0; l < NN_LANES; l++) m = lane[l] > m ? lane[l] : m;
    }
    for (; j < width; j++) m = z[j] > m ? z[j] : m;
    return m;
}

NN_INLINE double NAME(row_sum)(const real *a, int64_t width) {
    double lane[NN_LANES], sum = 0;
    int64_t j = 0;
    if (width >= NN_LONG) {
        for (int l = 0; l < NN_LANES; l++) lane[l] = 0;
        for (; j + NN_LANES <= width; j += NN_LANES)
            for (int l = 0; l < NN_LANES; l++) lane[l] += a[j + l];
        for (int l = 0; l < NN_LANES; l++) sum += lane[l];
    }
    for (; j < width; j++) sum += a[j];
    return sum;
}

NN_INLINE double NAME(row_dot)(const real *a, const real *b, int64_t width) {
    double lane[NN_LANES], sum = 0;
    int64_t j = 0;
    if (width >= NN_LONG) {
        for (int l = 0; l < NN_LANES; l++) lane[l] = 0;
        for (; j + NN_LANES <= width; j += NN_LANES)
            for (int l = 0; l < NN_LANES; l++) lane[l] += (double)a[j + l] * b[j + l];
        for (int l = 0; l < NN_LANES; l++) sum += lane[l];
    }
    for (; j < width; j++) sum += (double)a[j] * b[j];
    return sum;
}

/* softmax: h_j = e^(z_j - m) / sum_k e^(z_k - m), m = max_k z_k; z, h (rows, width) */
static void NAME(softmax_forward)(real *restrict h, const real *restrict z, int64_t rows, int64_t width) {
    const int64_t block = NAME(chunk_rows)(width);
    for (int64_t from = 0; from < rows; from += block) {
        const int64_t r = rows - from < block ? rows - from : block;
        real *restrict out = h + from * width;
        const real *restrict in = z + from * width;
        for (int64_t i = 0; i < r; i++) {
            const real m = NAME(row_max)(in + i * width, width);
            for (int64_t j = 0; j < width; j++) out[i * width + j] = in[i * width + j] - m;
        }
        for (int64_t k = 0; k < r * width; k++) out[k] = NAME(nn_exp)(out[k]);
        for (int64_t i = 0; i < r; i++) {
            const real over_sum = (real)(1 / NAME(row_sum)(out + i * width, width));
            for (int64_t j = 0; j < width; j++) out[i * width + j] *= over_sum;
        }
    }
}

/* h_j = e^z_j / sum_k e^z_k, so dh_k/dz_j = h_k ([j = k] - h_j) and dz_j = h_j (dh_j - sum_k dh_k h_k) */
static void NAME(softmax_backward)(real *restrict dz, const real *restrict dh, const real *restrict z,
                                   const real *restrict h, int64_t rows, int64_t width) {
    (void)z;
    for (int64_t i = 0; i < rows * width; i += width) {
        const real mean = (real)NAME(row_dot)(dh + i, h + i, width);
        for (int64_t j = 0; j < width; j++) dz[i + j] = h[i + j] * (dh[i + j] - mean);
    }
}

/* ---- the ops: arrays h, z / dz, dh, z, h (rows, width); sizes: width; constants: the parameter, where there is one
 * --- */

#define NN_ACTIVATION_OPS(name, ...)                                                                                   \
    static void NAME(op_##name##_forward)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {    \
        const int64_t width = op->size[0], first = begin * width, rows = end - begin;                                  \
        const real parameter = (real)op->constant[0];                                                                  \
        (void)context, (void)rows, (void)parameter;                                                                    \
        NAME(name##_forward)((real *)op->array[0] + first, (const real *)op->array[1] + first, __VA_ARGS__);           \
    }                                                                                                                  \
    static void NAME(op_##name##_backward)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {   \
        const int64_t width = op->size[0], first = begin * width, rows = end - begin;                                  \
        const real parameter = (real)op->constant[0];                                                                  \
        (void)context, (void)rows, (void)parameter;                                                                    \
        NAME(name##_backward)((real *)op->array[0] + first, (const real *)op->array[1] + first,                        \
                              (const real *)op->array[2] + first, (const real *)op->array[3] + first, __VA_ARGS__);    \
    }

NN_ACTIVATION_OPS(tanh, rows * width)
NN_ACTIVATION_OPS(sigmoid, rows * width)
NN_ACTIVATION_OPS(relu, rows * width)
NN_ACTIVATION_OPS(leaky_relu, parameter, rows * width)
NN_ACTIVATION_OPS(elu, parameter, rows * width)
NN_ACTIVATION_OPS(softplus, rows * width)
NN_ACTIVATION_OPS(gelu, rows * width)
NN_ACTIVATION_OPS(gelu_tanh, rows * width)
NN_ACTIVATION_OPS(silu, rows * width)
NN_ACTIVATION_OPS(selu, rows * width)
NN_ACTIVATION_OPS(mish, rows * width)
NN_ACTIVATION_OPS(identity, rows * width)
NN_ACTIVATION_OPS(softmax, rows, width)

#undef NN_ACTIVATION_OPS
#undef NN_LANES
#undef NN_LONG
