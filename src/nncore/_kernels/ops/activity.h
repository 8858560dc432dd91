/* An L1 penalty on activations. */

/* h = z,  penalty of each row (+)= strength sum_j |z_j| */
static void NAME(activity_l1_forward)(real *restrict h, double *restrict penalty, const real *restrict z, double strength,
                                      int again, int64_t rows, int64_t width) {
    for (int64_t i = 0; i < rows; i++) {
        double sum = 0;
        for (int64_t j = 0; j < width; j++) {
            const real value = z[i * width + j];
            h[i * width + j] = value;
            sum += NAME(nn_abs)(value);
        }
        penalty[i] = strength * sum + (again ? penalty[i] : 0);
    }
}

/* penalty = strength sum_j |z_j|   =>   dz = dh + weight sign(z), weight = strength * scale of the loss */
static void NAME(activity_l1_backward)(real *restrict dz, const real *restrict dh, const real *restrict z, real weight, int64_t n) {
    for (int64_t i = 0; i < n; i++) dz[i] = dh[i] + weight * (real)((z[i] > 0) - (z[i] < 0));
}

/* arrays: h, penalty (rows,) double, z; sizes: width, 1 to add to the existing penalty; constants: strength */
static void NAME(op_activity_l1_forward)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {
    const int64_t width = op->size[0];
    (void)context;
    NAME(activity_l1_forward)((real *)op->array[0] + begin * width, (double *)op->array[1] + begin,
                              (const real *)op->array[2] + begin * width, op->constant[0], (int)op->size[1], end - begin, width);
}

static void NAME(op_activity_l1_backward)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {
    const int64_t width = op->size[0], at = begin * width;
    NAME(activity_l1_backward)((real *)op->array[0] + at, (const real *)op->array[1] + at, (const real *)op->array[2] + at,
                               (real)(op->constant[0] * context->scale), (end - begin) * width);
}
