/* Pearlmutter's R-operator: R{f} = d/dr f(theta + r v) at r = 0, for every kernel of the forward and backward pass.
 * The prefix t of an array denotes R{}: tz = R{z}, tdz = R{dz}.  Included twice, after losses.h.
 *
 * Forward, an activation's tangent is th = s'(z) tz: its Jacobian is symmetric (softmax's too), so this is its backward
 * kernel with tz instead of dh.  This file has the derivatives of the backward kernels and of the losses' gradients. */

/* ---- dense ------------------------------------------------------------------------------------------------------- */

/* y = x W^T + b   =>   ty = tx W^T + x V^T + v_b;   V and v_b are the direction's parts for W and b */
static void NAME(dense_tangent_forward)(real *restrict ty, const real *restrict tx, const real *restrict x,
                                        const real *restrict packed, const real *restrict packed_v, const real *restrict v_b,
                                        int64_t rows, int64_t units, int64_t inputs) {
    for (int64_t u = 0; u < units; u += PANEL) {
        const int64_t width = MIN(PANEL, units - u), stride = ROUND_UP(width, LANES);
        NAME(multiply_panel)(rows, width, inputs, x, inputs, 1, packed_v + u * inputs, stride, v_b ? v_b + u : NULL, ty + u, units);
        NAME(add_panel)(rows, width, inputs, tx, inputs, 1, packed + u * inputs, stride, ty + u, units);
    }
}

/* dx = dy W   =>   tdx = tdy W + dy V */
static void NAME(dense_tangent_backward_input)(real *restrict tdx, const real *restrict tdy, const real *restrict dy,
                                               const real *restrict w, const real *restrict v, int64_t rows, int64_t units,
                                               int64_t inputs) {
    for (int64_t j = 0; j < inputs; j += PANEL) {
        const int64_t width = MIN(PANEL, inputs - j);
        NAME(multiply_panel)(rows, width, units, tdy, units, 1, w + j, inputs, NULL, tdx + j, inputs);
        NAME(add_panel)(rows, width, units, dy, units, 1, v + j, inputs, tdx + j, inputs);
    }
}

/* dW = dy^T x   =>   tdW = tdy^T x + dy^T tx: the rectangle of units [u0, u1), inputs [j0, j1), over all rows in order */
static void NAME(dense_tangent_backward_weight)(real *restrict tdw, const real *restrict tdy, const real *restrict dy,
                                                const real *restrict x, const real *restrict tx, int64_t u0, int64_t u1,
                                                int64_t j0, int64_t j1, int64_t rows, int64_t units, int64_t inputs) {
    if (j1 - j0 > LANES / 4 || u1 - u0 < LANES / 2) {
        for (int64_t j = j0; j < j1; j += PANEL) {
            const int64_t width = MIN(PANEL, j1 - j);
            real *to = tdw + u0 * inputs + j;
            NAME(multiply_panel)(u1 - u0, width, rows, tdy + u0, 1, units, x + j, inputs, NULL, to, inputs);
            NAME(add_panel)(u1 - u0, width, rows, dy + u0, 1, units, tx + j, inputs, to, inputs);
        }
        return;
    }
    real transposed[(LANES / 4 + 1) * PANEL];    /* few inputs: as in dense_backward_weight */
    for (int64_t u = u0; u < u1; u += PANEL) {
        const int64_t width = MIN(PANEL, u1 - u);
        NAME(multiply_panel)(j1 - j0, width, rows, x + j0, 1, inputs, tdy + u, units, NULL, transposed, PANEL);
        NAME(add_panel)(j1 - j0, width, rows, tx + j0, 1, inputs, dy + u, units, transposed, PANEL);
        for (int64_t i = 0; i < width; i++)
            for (int64_t j = j0; j < j1; j++) tdw[(u + i) * inputs + j] = transposed[(j - j0) * PANEL + i];
    }
}

static void NAME(op_dense_tangent_forward)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {
    const int64_t units = op->size[0], inputs = op->size[1];
    (void)context;
    NAME(dense_tangent_forward)((real *)op->array[0] + begin * units, (const real *)op->array[1] + begin * inputs,
                                (const real *)op->array[2] + begin * inputs, op->array[3], op->array[4], op->array[5],
                                end - begin, units, inputs);
}

static void NAME(op_dense_tangent_backward_input)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {
    const int64_t units = op->size[0], inputs = op->size[1];
    (void)context;
    NAME(dense_tangent_backward_input)((real *)op->array[0] + begin * inputs, (const real *)op->array[1] + begin * units,
                                       (const real *)op->array[2] + begin * units, op->array[3], op->array[4], end - begin, units,
                                       inputs);
}

/* arrays: tdW, tdy, dy, x, tx, tiles (tiles, 4) int64; sizes: units, inputs */
static void NAME(op_dense_tangent_backward_weight)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {
    const NAME(rectangle) *tiles = op->array[5];
    for (int64_t t = begin; t < end; t++)
        NAME(dense_tangent_backward_weight)(op->array[0], op->array[1], op->array[2], op->array[3], op->array[4], tiles[t].u0,
                                            tiles[t].u1, tiles[t].j0, tiles[t].j1, context->rows, op->size[0], op->size[1]);
}

/* ---- activations: dz = s'(z) dh   =>   tdz = s'(z) tdh + s''(z) tz dh ---------------------------------------------- */

/* `first` and `second` are s' and s'' at z[i], h[i] */
#define NN_TANGENT(name, first, second, ...)                                                                                 \
    static void NAME(name##_tangent_backward)(real *restrict tdz, const real *restrict tdh, const real *restrict dh,         \
                                              const real *restrict tz, const real *restrict z, const real *restrict h,       \
                                              real parameter, int64_t n) {                                                   \
        (void)z, (void)h, (void)parameter;                                                                                   \
        for (int64_t i = 0; i < n; i++) {                                                                                    \
            __VA_ARGS__                                                                                                      \
            tdz[i] = (first) * tdh[i] + (second) * tz[i] * dh[i];                                                            \
        }                                                                                                                    \
    }                                                                                                                        \
    static void NAME(op_##name##_tangent_backward)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) { \
        const int64_t at = begin * op->size[0];                                                                              \
        (void)context;                                                                                                       \
        NAME(name##_tangent_backward)((real *)op->array[0] + at, (const real *)op->array[1] + at,                            \
                                      (const real *)op->array[2] + at, (const real *)op->array[3] + at,                      \
                                      (const real *)op->array[4] + at, (const real *)op->array[5] + at,                      \
                                      (real)op->constant[0], (end - begin) * op->size[0]);                                   \
    }

/* h = z:  1, 0 */
NN_TANGENT(identity, 1, 0)

/* h = max(z, 0), and z or slope z:  the kink at 0 has no second derivative; everywhere else it is 0 */
NN_TANGENT(relu, z[i] > 0 ? 1 : 0, 0)
NN_TANGENT(leaky_relu, z[i] > 0 ? 1 : parameter, 0)

/* h = z for z > 0, else alpha (e^z - 1):  1, 0  or  alpha e^z twice */
NN_TANGENT(elu, z[i] > 0 ? 1 : e, z[i] > 0 ? 0 : e, const real e = parameter * NAME(nn_exp)(z[i] > 0 ? 0 : z[i]);)

/* h = tanh z:  1 - h^2, -2 h (1 - h^2) */
NN_TANGENT(tanh, slope, -2 * h[i] * slope, const real slope = (1 - h[i]) * (1 + h[i]);)

/* h = 1 / (1 + e^-z):  h (1 - h), h (1 - h) (1 - 2h) */
NN_TANGENT(sigmoid, slope, slope * (1 - 2 * h[i]), const real slope = h[i] * (1 - h[i]);)

/* h = log(1 + e^z):  s, s (1 - s) with s = sigmoid(z) */
NN_TANGENT(softplus, s, s * (1 - s), const real s = NAME(nn_sigmoid)(z[i]);)

/* h = z N(z):  N + z n, n (2 - z^2) with n = e^(-z^2/2) / sqrt(2 pi) */
NN_TANGENT(gelu, NAME(nn_fma)(x, density, NAME(nn_normal_cdf_from)(x, e)), density * (2 - x * x),
           const real x = NAME(within)(z[i], REAL(40.0)); const real e = NAME(nn_exp)(REAL(-0.5) * x * x);
           const real density = REAL(0.39894228040143267794) * e;)

/* h = z s, s = sigmoid(g), g = 2u:  s + z s' g', 2 s' g' + z (s'' g'^2 + s' g'') with s' = s (1 - s), s'' = s' (1 - 2s) */
NN_TANGENT(gelu_tanh, NAME(nn_fma)(x * ds, dg, s),
           ds * (2 * dg + x * ((1 - 2 * s) * dg * dg + REAL(0.42812889763560147) * x)),
           const real x = NAME(within)(z[i], REAL(40.0)); const real s = NAME(nn_sigmoid)(NAME(gelu_inner)(x));
           const real dg = NAME(gelu_inner_slope)(x); const real ds = s * (1 - s);)

/* h = z s, s = sigmoid(z):  s (1 + z (1 - s)), s (1 - s) (2 + z (1 - 2s)) */
NN_TANGENT(silu, s * (1 + x * (1 - s)), s * (1 - s) * (2 + x * (1 - 2 * s)),
           const real x = NAME(within)(z[i], REAL(800.0)); const real s = NAME(nn_sigmoid)(x);)

/* h = scale z for z > 0, else scale alpha (e^z - 1):  scale, 0  or  scale alpha e^z twice */
NN_TANGENT(selu, z[i] > 0 ? SELU_SCALE : e, z[i] > 0 ? 0 : e,
           const real e = SELU_BELOW * NAME(nn_exp)(z[i] > 0 ? 0 : z[i]);)

/* h = z w, w = tanh(log(1 + e^z)):  w + z w', 2 w' + z w'', w'' = w' (1 - s - 2 w s), s = sigmoid(z) */
NN_TANGENT(mish, NAME(nn_fma)(x, slope, w), slope * (2 + x * ((1 - s) - 2 * w * s)),
           const real x = NAME(within)(z[i], REAL(800.0)); const real e = NAME(nn_exp)(-NAME(nn_abs)(x)); real slope;
           const real w = NAME(mish_gate)(&slope, x, e); const real s = NAME(nn_sigmoid_from)(x, e);)
#undef NN_TANGENT
#undef SELU_SCALE
#undef SELU_BELOW

/* dz = h (dh - m), m = sum_k dh_k h_k   =>   tdz = th (dh - m) + h (tdh - tm),  tm = sum_k tdh_k h_k + dh_k th_k,
 * th = h (tz - sum_k tz_k h_k) */
static void NAME(softmax_tangent_backward)(real *restrict tdz, const real *restrict tdh, const real *restrict dh,
                                           const real *restrict tz, const real *restrict h, int64_t rows, int64_t width) {
    for (int64_t i = 0; i < rows * width; i += width) {
        const real m = (real)NAME(row_dot)(dh + i, h + i, width), shift = (real)NAME(row_dot)(tz + i, h + i, width);
        for (int64_t j = 0; j < width; j++) tdz[i + j] = h[i + j] * (tz[i + j] - shift);
        const real tm = (real)(NAME(row_dot)(tdh + i, h + i, width) + NAME(row_dot)(dh + i, tdz + i, width));
        for (int64_t j = 0; j < width; j++)
            tdz[i + j] = tdz[i + j] * (dh[i + j] - m) + h[i + j] * (tdh[i + j] - tm);
    }
}

static void NAME(op_softmax_tangent_backward)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {
    const int64_t width = op->size[0], at = begin * width;
    (void)context;
    NAME(softmax_tangent_backward)((real *)op->array[0] + at, (const real *)op->array[1] + at, (const real *)op->array[2] + at,
                                   (const real *)op->array[3] + at, (const real *)op->array[5] + at, end - begin, width);
}

/* ---- losses: dy = scale weight d loss / d y   =>   tdy = scale weight (d^2 loss / d y^2) ty,  0 where weight = 0 ------- */

/* A sum over the outputs: `second` is the second derivative of the term of output y = y[k], target d = d[k]. */
#define NN_LOSS_TANGENT(name, share, second, ...)                                                                            \
    static void NAME(name##_tangent)(real *restrict tdy, const real *restrict ty, const real *restrict y_,                   \
                                     const real *restrict d_, const double *restrict weight, real parameter, double scale,   \
                                     int64_t rows, int64_t width) {                                                          \
        (void)parameter;                                                                                                     \
        for (int64_t i = 0; i < rows; i++) {                                                                                 \
            const real factor = (real)(scale * (share) * (weight ? weight[i] : 1.0));                                        \
            for (int64_t k = i * width; k < (i + 1) * width; k++) {                                                          \
                const real y = y_[k], d = d_[k];                                                                             \
                (void)y, (void)d;                                                                                            \
                __VA_ARGS__                                                                                                  \
                tdy[k] = factor * (second) * ty[k];                                                                          \
            }                                                                                                                \
        }                                                                                                                    \
    }

#define NN_LOSS_TANGENT_OP(name, target, target_width, parameter)                                                            \
    static void NAME(op_##name##_tangent)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {          \
        const int64_t width = op->size[0], at = begin * width;                                                               \
        const double *weight = op->array[4];                                                                                 \
        NAME(name##_tangent)((real *)op->array[0] + at, (const real *)op->array[1] + at, (const real *)op->array[2] + at,    \
                             (const target *)op->array[3] + begin * (target_width), weight ? weight + begin : NULL,          \
                             parameter context->scale, end - begin, width);                                                  \
        if (weight) NAME(leave_out_rows)((real *)op->array[0] + at, weight + begin, end - begin, width);                     \
    }
#define NN_PARAMETER (real)op->constant[0],
#define NN_SMOOTHING op->constant[0],

/* 1/2 (y - d)^2:  1.   (y - d)^2 / width:  2 / width */
NN_LOSS_TANGENT(squared_error, 1.0, 1)
NN_LOSS_TANGENT(mean_squared_error, 2.0 / (double)width, 1)

/* |y - d|, max(q (d - y), (q - 1)(d - y)), and max(0, 1 - d y):  no second derivative at the kink, 0 everywhere else */
NN_LOSS_TANGENT(mean_absolute_error, 1.0, 0)
NN_LOSS_TANGENT(quantile, 1.0, 0)
NN_LOSS_TANGENT(hinge, 1.0, 0)

/* 1/2 (y - d)^2 inside, straight outside:  1 or 0, over width */
NN_LOSS_TANGENT(huber, 1.0 / (double)width, NAME(nn_abs)(y - d) < parameter ? 1 : 0)

/* -d log y - (1 - d) log(1 - y):  d / y^2 + (1 - d) / (1 - y)^2, a part whose target is 0 being 0 */
NN_LOSS_TANGENT(binary_cross_entropy, 1.0, (d == 0 ? 0 : yes) + (d == 1 ? 0 : no), const real yes = d / (y * y);
                const real no = (1 - d) / ((1 - y) * (1 - y));)

/* d log d - d log y:  d / y^2 */
NN_LOSS_TANGENT(kl_divergence, 1.0, d == 0 ? 0 : ratio, const real ratio = d / (y * y);)

/* e^y - d y:  e^y */
NN_LOSS_TANGENT(poisson, 1.0, NAME(nn_exp)(y))

/* log(1 + e^y) - d y:  s (1 - s), s = sigmoid(y) */
NN_LOSS_TANGENT(sigmoid_cross_entropy, 1.0, s * (1 - s), const real s = NAME(nn_sigmoid)(y);)

NN_LOSS_TANGENT_OP(squared_error, real, width, NN_PARAMETER)
NN_LOSS_TANGENT_OP(mean_squared_error, real, width, NN_PARAMETER)
NN_LOSS_TANGENT_OP(mean_absolute_error, real, width, NN_PARAMETER)
NN_LOSS_TANGENT_OP(quantile, real, width, NN_PARAMETER)
NN_LOSS_TANGENT_OP(poisson, real, width, NN_PARAMETER)
NN_LOSS_TANGENT_OP(hinge, real, width, NN_PARAMETER)
NN_LOSS_TANGENT_OP(huber, real, width, NN_PARAMETER)
NN_LOSS_TANGENT_OP(binary_cross_entropy, real, width, NN_PARAMETER)
NN_LOSS_TANGENT_OP(kl_divergence, real, width, NN_PARAMETER)
NN_LOSS_TANGENT_OP(sigmoid_cross_entropy, real, width, NN_PARAMETER)

/* dy = p D - t, p = softmax(y), D = sum_j t_j   =>   tdy = D p (ty - sum_k p_k ty_k); D = 1 for labels, and for
 * t = (1 - s) d + s / width, with smoothing s, D = (1 - s) sum_j d_j + s */
NN_INLINE void NAME(softmax_loss_tangent)(real *restrict tdy, const real *restrict ty, const real *restrict y,
                                          const real *restrict d, const double *restrict weight, double smoothing,
                                          double scale, int64_t rows, int64_t width) {
    NAME(softmax_forward)(tdy, y, rows, width);
    for (int64_t i = 0; i < rows; i++) {
        const int64_t at = i * width;
        const real mean = (real)NAME(row_dot)(ty + at, tdy + at, width);
        const double mass = d ? (1 - smoothing) * NAME(row_sum)(d + at, width) + smoothing : 1.0;
        const real factor = (real)(scale * mass * (weight ? weight[i] : 1.0));
        for (int64_t k = at; k < at + width; k++) tdy[k] = factor * tdy[k] * (ty[k] - mean);
    }
}

static void NAME(softmax_cross_entropy_tangent)(real *tdy, const real *ty, const real *y, const real *d, const double *weight,
                                                double smoothing, double scale, int64_t rows, int64_t width) {
    NAME(softmax_loss_tangent)(tdy, ty, y, d, weight, smoothing, scale, rows, width);
}

static void NAME(softmax_cross_entropy_labels_tangent)(real *tdy, const real *ty, const real *y, const int64_t *label,
                                                       const double *weight, double scale, int64_t rows, int64_t width) {
    (void)label;
    NAME(softmax_loss_tangent)(tdy, ty, y, NULL, weight, 0, scale, rows, width);
}

NN_LOSS_TANGENT_OP(softmax_cross_entropy, real, width, NN_SMOOTHING)
NN_LOSS_TANGENT_OP(softmax_cross_entropy_labels, int64_t, 1, )
#undef NN_LOSS_TANGENT
#undef NN_LOSS_TANGENT_OP
#undef NN_PARAMETER
#undef NN_SMOOTHING

/* ---- which vector: step s of a run works on row s of a matrix of vectors --------------------------------------------- */

/* v = V[step], a contiguous range of it; arrays: v (n,), V (vectors, n); sizes: n, length of a range */
static void NAME(op_load_direction)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {
    const int64_t n = op->size[0], from = begin * op->size[1], to = MIN(end * op->size[1], n);
    memcpy((real *)op->array[0] + from, (const real *)op->array[1] + (int64_t)context->step * n + from,
           (size_t)(to - from) * sizeof(real));
}

/* P[step] += p, a contiguous range of it; arrays: P (vectors, n), p (n,); sizes: n, length of a range */
static void NAME(op_add_product)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {
    const int64_t n = op->size[0], last = MIN(end * op->size[1], n);
    real *restrict to = (real *)op->array[0] + (int64_t)context->step * n;
    const real *restrict from = op->array[1];
    for (int64_t i = begin * op->size[1]; i < last; i++) to[i] += from[i];
}
