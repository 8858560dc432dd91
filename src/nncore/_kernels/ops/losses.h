/* Losses of an output y for a target d, and whether examples are classified correctly.  y, d, dy are (rows, width); loss, weight, correct
 * (rows,).
 *
 *     loss_i = weight_i * loss(y_i, d_i)          dy_i = scale * weight_i * d loss(y_i, d_i) / d y_i,  if dy is given
 *
 * and both are 0 where weight_i = 0, also if loss(y_i, d_i) or its gradient is infinite or NaN.
 *
 * Work is divided into chunks of rows: one flat vectorized pass over all numbers of the chunk, then sums by row, in
 * double.  The bits of a row do not depend on its chunk, nor on whether dy is computed.  Included twice, after
 * activations.h. */

/* rows of numbers *= scale * weight * share */
static inline void NAME(scale_rows)(real *restrict dy, const double *restrict weight, double scale, int64_t rows,
                                    int64_t width) {
    if (!weight)
        for (int64_t k = 0; k < rows * width; k++) dy[k] *= (real)scale;
    else
        for (int64_t i = 0; i < rows; i++)
            for (int64_t j = 0; j < width; j++) dy[i * width + j] *= (real)(scale * weight[i]);
}

/* An example of weight 0 is left out: its row of dy is 0, where 0 times infinity or NaN would be NaN.  After every loss,
 * and after every tangent of a loss. */
static inline void NAME(leave_out_rows)(real *restrict dy, const double *restrict weight, int64_t rows, int64_t width) {
    for (int64_t i = 0; i < rows; i++)
        if (weight[i] == 0) memset(dy + i * width, 0, (size_t)width * sizeof(real));
}

/* The same for loss, and for dy if it is given. */
static inline void NAME(leave_out)(double *restrict loss, real *restrict dy, const double *restrict weight, int64_t rows,
                                   int64_t width) {
    for (int64_t i = 0; i < rows; i++) loss[i] = weight[i] == 0 ? 0 : loss[i];
    if (dy) NAME(leave_out_rows)(dy, weight, rows, width);
}

/* ---- losses that are sums over the outputs: the term of one output, and its slope d term / d y ----------------- */

/* squared_error: 1/2 (y - d)^2;  slope y - d */
static inline real NAME(squared_error_term)(real *slope, real y, real d, real unused) {
    (void)unused;
    const real r = y - d;
    *slope = r;
    return REAL(0.5) * r * r;
}

/* mean_squared_error: (y - d)^2 / width;  slope 2 (y - d) / width */
static inline real NAME(mean_squared_error_term)(real *slope, real y, real d, real unused) {
    (void)unused;
    const real r = y - d;
    *slope = 2 * r;
    return r * r;
}

/* mean_absolute_error: |y - d| / width;  slope sign(y - d) / width, 0 at 0 */
static inline real NAME(mean_absolute_error_term)(real *slope, real y, real d, real unused) {
    (void)unused;
    const real r = y - d;
    *slope = r > 0 ? 1 : r < 0 ? -1 : r;
    return NAME(nn_abs)(r);
}

/* huber (1964), mean over the outputs as PyTorch's HuberLoss: with c = y - d clipped to [-delta, delta], the term
 * c (y - d - c/2) is 1/2 (y - d)^2 inside and delta (|y - d| - delta/2) outside;  slope c */
static inline real NAME(huber_term)(real *slope, real y, real d, real delta) {
    const real r = y - d;
    const real c = NAME(within)(r, delta);
    *slope = c;
    return c * (r - REAL(0.5) * c);
}

/* quantile: max(q r, (q - 1) r), r = d - y (Koenker, Bassett 1978);  slope -q for r > 0, 1 - q for r < 0, 0 at 0 */
static inline real NAME(quantile_term)(real *slope, real y, real d, real q) {
    const real r = d - y;
    const real factor = r > 0 ? q : r < 0 ? q - 1 : r;    /* NaN stays NaN */
    *slope = -factor;
    return factor * r;
}

/* poisson, y the logarithm of the rate: e^y - d y, the negative log-likelihood without log d!;  slope e^y - d */
static inline real NAME(poisson_term)(real *slope, real y, real d, real unused) {
    (void)unused;
    const real rate = NAME(nn_exp)(y);
    *slope = rate - d;
    return NAME(nn_fma)(-d, d == 0 ? 0 : y, rate);
}

/* hinge: max(0, 1 - d y), d = +-1;  slope -d where d y < 1, else 0 */
static inline real NAME(hinge_term)(real *slope, real y, real d, real unused) {
    (void)unused;
    const real margin = 1 - d * y;
    *slope = margin <= 0 ? 0 : -d;
    return margin <= 0 ? 0 : margin;
}

/* binary_cross_entropy, y a probability: -d log y - (1 - d) log(1 - y);  slope -d / y + (1 - d) / (1 - y)
 *
 * A part whose target is exactly 0 is 0, in term and slope, for any y: y = 0 and y = 1 can be correct.  If y assigns
 * probability 0 to the target, the loss is infinite and reported as such (the caller stops and names the step).  A clamp,
 * like PyTorch's at -100, would continue with a different function and with a gradient that is not its gradient.
 * sigmoid_cross_entropy avoids the problem. */
static inline real NAME(binary_cross_entropy_term)(real *slope, real y, real d, real unused) {
    (void)unused;
    const real not_d = 1 - d;
    const real log_y = NAME(nn_log)(y), log_not_y = NAME(nn_log1p)(-y);
    const real yes = d / y, no = not_d / (1 - y);
    *slope = (not_d == 0 ? 0 : no) - (d == 0 ? 0 : yes);
    return NAME(nn_fma)(-d, d == 0 ? 0 : log_y, -not_d * (not_d == 0 ? 0 : log_not_y));
}

/* kl_divergence, y and d probabilities: d log d - d log y;  slope -d / y.  0 where d = 0; infinite where y = 0 < d,
 * as above. */
static inline real NAME(kl_divergence_term)(real *slope, real y, real d, real unused) {
    (void)unused;
    const real term = d * (NAME(nn_log)(d) - NAME(nn_log)(y)), ratio = d / y;
    const int nothing = (d == 0) & (y == y);    /* a NaN is passed on */
    *slope = nothing ? 0 : -ratio;
    return nothing ? 0 : term;
}

/* sigmoid_cross_entropy, y a logit z, s = sigmoid(z): -t log s - (1 - t) log(1 - s) = max(z, 0) - z t + log1p(e^-|z|);
 * slope s - t, with the target t = (1 - smoothing) d + smoothing / 2.  max(z, 0) - z t is written as |z| times the target's probability of the other class, 0 if that is 0. */
static inline real NAME(sigmoid_cross_entropy_term)(real *slope, real y, real d, real smoothing) {
    const real t = NAME(nn_fma)(1 - smoothing, d, REAL(0.5) * smoothing);
    const real a = NAME(nn_abs)(y);
    const real e = NAME(nn_exp)(-a);
    const real other = y > 0 ? 1 - t : t;
    *slope = NAME(nn_sigmoid_from)(y, e) - t;
    return NAME(nn_fma)(other == 0 ? 0 : a, other, NAME(nn_log1p_unit)(e));
}

/* loss_i = share weight_i sum_j term_ij.  `parameter` is a constant, or an array by column + k: of quantile the columns' q,
 * repeated so that every row of a chunk finds its own.  A chunk is several short rows, or a range of one long row. */
#define NN_SUM_LOSS(name, share, parameter, ...)                                                                       \
    static void NAME(name)(double *loss, real *dy, const real *y, const real *d, const double *weight, double scale,   \
                           __VA_ARGS__) {                                                                              \
        real term[NN_CHUNK], unused[NN_CHUNK];                                                                         \
        const int64_t block = NAME(chunk_rows)(width);                                                                 \
        for (int64_t row = 0; row < rows; row += block) {                                                              \
            const int64_t r = rows - row < block ? rows - row : block;                                                 \
            for (int64_t i = 0; i < r; i++) loss[row + i] = 0;                                                         \
            for (int64_t column = 0; column < width; column += NN_CHUNK) {                                             \
                const int64_t w = width - column < NN_CHUNK ? width - column : NN_CHUNK;                               \
                const int64_t at = row * width + column;                                                               \
                real *restrict slope = dy ? dy + at : unused;                                                          \
                const real *restrict yy = y + at, *restrict dd = d + at;                                               \
                for (int64_t k = 0; k < r * w; k++)                                                                    \
                    term[k] = NAME(name##_term)(&slope[k], yy[k], dd[k], parameter);                                   \
                for (int64_t i = 0; i < r; i++) loss[row + i] += NAME(row_sum)(term + i * w, w);                       \
                if (dy) NAME(scale_rows)(slope, weight ? weight + row : NULL, scale * (share), r, w);                  \
            }                                                                                                          \
            for (int64_t i = 0; i < r; i++) loss[row + i] *= weight ? (share) * weight[row + i] : (share);             \
        }                                                                                                              \
    }

NN_SUM_LOSS(squared_error, 1.0, 0, int64_t rows, int64_t width)
NN_SUM_LOSS(mean_squared_error, 1.0 / (double)width, 0, int64_t rows, int64_t width)
NN_SUM_LOSS(mean_absolute_error, 1.0 / (double)width, 0, int64_t rows, int64_t width)
NN_SUM_LOSS(huber, 1.0 / (double)width, delta, real delta, int64_t rows, int64_t width)
NN_SUM_LOSS(quantile, 1.0, q[column + k], const real *q, int64_t rows, int64_t width)
NN_SUM_LOSS(poisson, 1.0, 0, int64_t rows, int64_t width)
NN_SUM_LOSS(hinge, 1.0, 0, int64_t rows, int64_t width)
NN_SUM_LOSS(binary_cross_entropy, 1.0, 0, int64_t rows, int64_t width)
NN_SUM_LOSS(kl_divergence, 1.0, 0, int64_t rows, int64_t width)
NN_SUM_LOSS(sigmoid_cross_entropy, 1.0, smoothing, real smoothing, int64_t rows, int64_t width)

/* ---- softmax cross-entropy: softmax, loss and gradient in one pass, and no log of a softmax -------------------- */

/* loss = -sum_j t_j log p_j, p = softmax(y): -log p_j = log S - (y_j - m), S = sum_k e^(y_k - m), m = max_k y_k
 * d loss / d y_j = p_j D - t_j, p_j = e^(y_j - m) / S, D = sum_j t_j
 *
 * with t_j = (1 - smoothing) d_j + smoothing / width; of labels d_j = [j = label], D = 1.  A logit of -inf (a masked class) is valid if its target is 0. */
NN_INLINE void NAME(softmax_loss)(double *restrict loss, real *restrict dy, const real *restrict y,
                                  const real *restrict d, const int64_t *restrict label,
                                  const double *restrict weight, double smoothing, double scale, int64_t rows,
                                  int64_t width) {
    const double keep = 1 - smoothing, even = smoothing / (double)width;
    real scratch[NN_CHUNK], top[NN_CHUNK_ROWS], log_sum[NN_CHUNK_ROWS], share[NN_CHUNK_ROWS];
    double sum[NN_CHUNK_ROWS], mass[NN_CHUNK_ROWS];
    const int64_t block = NAME(chunk_rows)(width);
    for (int64_t row = 0; row < rows; row += block) {
        const int64_t r = rows - row < block ? rows - row : block;
        /* m, e = e^(y - m), S; a chunk is several short rows, or a range of one long row */
        for (int64_t i = 0; i < r; i++) top[i] = NAME(row_max)(y + i * width, width);
        for (int64_t i = 0; i < r; i++) sum[i] = 0;
        for (int64_t column = 0; column < width; column += NN_CHUNK) {
            const int64_t w = width < NN_CHUNK ? width : width - column < NN_CHUNK ? width - column : NN_CHUNK;
            real *restrict e = dy ? dy + column : scratch;
            for (int64_t i = 0; i < r; i++)
                for (int64_t j = 0; j < w; j++) e[i * w + j] = y[column + i * w + j] - top[i];
            for (int64_t k = 0; k < r * w; k++) e[k] = NAME(nn_exp)(e[k]);
            for (int64_t i = 0; i < r; i++) sum[i] += NAME(row_sum)(e + i * w, w);
        }
        for (int64_t i = 0; i < r; i++) log_sum[i] = NAME(nn_log_from_one)((real)sum[i]);    /* one e is 1 */
        /* loss and D */
        if (label) {
            for (int64_t i = 0; i < r; i++) loss[i] = log_sum[i] + ((double)top[i] - y[i * width + label[i]]);
            for (int64_t i = 0; i < r && smoothing > 0; i++) {
                double miss = 0;
                for (int64_t j = 0; j < width; j++) miss += log_sum[i] + ((double)top[i] - y[i * width + j]);
                loss[i] = keep * loss[i] + even * miss;
            }
            for (int64_t i = 0; i < r; i++) mass[i] = 1;
        } else {
            for (int64_t i = 0; i < r; i++) {
                const real *restrict target = d + i * width;
                double lost = 0;
                for (int64_t j = 0; j < width; j++) {
                    const double miss = log_sum[i] + ((double)top[i] - y[i * width + j]), t = keep * target[j] + even;
                    lost += t * (t == 0 ? 0 : miss);
                }
                loss[i] = lost;
                mass[i] = keep * NAME(row_sum)(target, width) + smoothing;
            }
        }
        if (weight)
            for (int64_t i = 0; i < r; i++) loss[i] *= weight[i];
        /* dy */
        if (dy) {
            for (int64_t i = 0; i < r; i++) share[i] = (real)(mass[i] * scale * (weight ? weight[i] : 1.0) / sum[i]);
            if (label) {
                for (int64_t i = 0; i < r; i++) {
                    const real of_all = (real)(even * scale * (weight ? weight[i] : 1.0));
                    for (int64_t j = 0; j < width; j++) dy[i * width + j] = NAME(nn_fma)(dy[i * width + j], share[i], -of_all);
                }
                for (int64_t i = 0; i < r; i++)
                    dy[i * width + label[i]] -= (real)(keep * scale * (weight ? weight[i] : 1.0));
            } else {
                for (int64_t i = 0; i < r; i++) {
                    const real c = (real)(scale * (weight ? weight[i] : 1.0));
                    for (int64_t j = 0; j < width; j++) {
                        const real t = NAME(nn_fma)((real)keep, d[i * width + j], (real)even);
                        dy[i * width + j] = NAME(nn_fma)(dy[i * width + j], share[i], -c * t);
                    }
                }
            }
            dy += r * width;
        }
        loss += r, y += r * width;
        if (d) d += r * width;
        if (label) label += r;
        if (weight) weight += r;
    }
}

/* The same arithmetic for every width; for two and ten classes it is compiled with a constant width. */
static void NAME(softmax_cross_entropy)(double *loss, real *dy, const real *y, const real *d, const double *weight,
                                        double scale, double smoothing, int64_t rows, int64_t width) {
    if (width == 2) NAME(softmax_loss)(loss, dy, y, d, NULL, weight, smoothing, scale, rows, 2);
    else if (width == 10) NAME(softmax_loss)(loss, dy, y, d, NULL, weight, smoothing, scale, rows, 10);
    else NAME(softmax_loss)(loss, dy, y, d, NULL, weight, smoothing, scale, rows, width);
}

static void NAME(softmax_cross_entropy_labels)(double *loss, real *dy, const real *y, const int64_t *label,
                                               const double *weight, double scale, double smoothing, int64_t rows,
                                               int64_t width) {
    if (width == 2) NAME(softmax_loss)(loss, dy, y, NULL, label, weight, smoothing, scale, rows, 2);
    else if (width == 10) NAME(softmax_loss)(loss, dy, y, NULL, label, weight, smoothing, scale, rows, 10);
    else NAME(softmax_loss)(loss, dy, y, NULL, label, weight, smoothing, scale, rows, width);
}

/* ---- accuracies ------------------------------------------------------------------------------------------------ */

/* 1 if argmax_j y_j is the label, else 0; of equal outputs the first counts, NaN is never correct */
static inline double NAME(is_correct)(const real *restrict y, int64_t label, int64_t width) {
    const real best = y[label];
    int miss = 0;
    for (int64_t j = 0; j < label; j++) miss |= !(y[j] < best);
    for (int64_t j = label; j < width; j++) miss |= !(y[j] <= best);
    return miss ? 0 : 1;
}

/* correct = [argmax y = label] */
static void NAME(accuracy_labels)(double *correct, const real *y, const int64_t *label, int64_t rows, int64_t width) {
    for (int64_t i = 0; i < rows; i++) correct[i] = NAME(is_correct)(y + i * width, label[i], width);
}

/* correct = [argmax y = argmax d] */
static void NAME(accuracy_targets)(double *correct, const real *y, const real *d, int64_t rows, int64_t width) {
    for (int64_t i = 0; i < rows; i++) {
        int64_t label = 0;
        for (int64_t j = 1; j < width; j++) label = d[i * width + j] > d[i * width + label] ? j : label;
        correct[i] = NAME(is_correct)(y + i * width, label, width);
    }
}

/* correct = [every (y_j > threshold) = (d_j > middle)], where middle is the mean of the target values for "no" and "yes"; NaN is
 * never correct */
static void NAME(accuracy_binary)(double *correct, const real *y, const real *d, real threshold, real middle, int64_t rows,
                                  int64_t width) {
    for (int64_t i = 0; i < rows; i++) {
        int miss = 0;
        for (int64_t j = i * width; j < (i + 1) * width; j++)
            miss |= d[j] > middle ? !(y[j] > threshold) : !(y[j] <= threshold);
        correct[i] = miss ? 0 : 1;
    }
}

/* ---- the ops: arrays loss, dy or NULL, y, d or labels, weight or NULL / correct, y, d or labels; sizes: width;
 * constants: the parameter, where there is one; quantile: a further array, q ------------------------------------------------------------------- */

#define NN_LOSS_OP(name, target, target_width, ...)                                                                    \
    static void NAME(op_##name)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {              \
        const int64_t width = op->size[0], rows = end - begin;                                                         \
        double *loss = (double *)op->array[0] + begin;                                                                 \
        real *dy = op->array[1] ? (real *)op->array[1] + begin * width : NULL;                                         \
        const double *weight = op->array[4] ? (const double *)op->array[4] + begin : NULL;                             \
        NAME(name)(loss, dy, (const real *)op->array[2] + begin * width,                                               \
                   (const target *)op->array[3] + begin * (target_width), weight, context->scale, __VA_ARGS__);        \
        if (weight) NAME(leave_out)(loss, dy, weight, rows, width);                                                    \
    }

NN_LOSS_OP(squared_error, real, width, rows, width)
NN_LOSS_OP(mean_squared_error, real, width, rows, width)
NN_LOSS_OP(mean_absolute_error, real, width, rows, width)
NN_LOSS_OP(huber, real, width, (real)op->constant[0], rows, width)
NN_LOSS_OP(quantile, real, width, (const real *)op->array[5], rows, width)
NN_LOSS_OP(poisson, real, width, rows, width)
NN_LOSS_OP(hinge, real, width, rows, width)
NN_LOSS_OP(binary_cross_entropy, real, width, rows, width)
NN_LOSS_OP(kl_divergence, real, width, rows, width)
NN_LOSS_OP(sigmoid_cross_entropy, real, width, (real)op->constant[0], rows, width)
NN_LOSS_OP(softmax_cross_entropy, real, width, op->constant[0], rows, width)
NN_LOSS_OP(softmax_cross_entropy_labels, int64_t, 1, op->constant[0], rows, width)

#define NN_ACCURACY_OP(name, target, target_width, ...)                                                                     \
    static void NAME(op_##name)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {              \
        const int64_t width = op->size[0], rows = end - begin;                                                         \
        (void)context;                                                                                                 \
        NAME(name)((double *)op->array[0] + begin, (const real *)op->array[1] + begin * width,                         \
                   (const target *)op->array[2] + begin * (target_width), __VA_ARGS__);                                \
    }

NN_ACCURACY_OP(accuracy_labels, int64_t, 1, rows, width)
NN_ACCURACY_OP(accuracy_targets, real, width, rows, width)
NN_ACCURACY_OP(accuracy_binary, real, width, (real)op->constant[0], (real)op->constant[1], rows, width)

#undef NN_ACCURACY_OP
#undef NN_LOSS_OP
#undef NN_SUM_LOSS
