/* An L1 penalty on activations. */

/* h = z,  penalty of each row i (+)= weight_i strength sum_j |z_ij|; 0 for weight 0, whatever z is */
static void NAME(activity_l1_forward)(real *restrict h, double *restrict penalty, const real *restrict z,
                                      const double *restrict weight, double strength, int again, int64_t rows, int64_t width) {
    for (int64_t i = 0; i < rows; i++) {
        double sum = 0;
        for (int64_t j = 0; j < width; j++) {
            const real value = z[i * width + j];
            h[i * width + j] = value;
            sum += NAME(nn_abs)(value);
        }
        const double own = !weight ? strength * sum : weight[i] == 0 ? 0 : weight[i] * (strength * sum);
        penalty[i] = own + (again ? penalty[i] : 0);
    }
}

/* penalty = strength sum_j |z_j|   =>   dz = dh + slope sign(z), slope = weight of the row * strength * scale of the loss */
static void NAME(activity_l1_backward)(real *restrict dz, const real *restrict dh, const real *restrict z, real slope, int64_t n) {
    for (int64_t i = 0; i < n; i++) dz[i] = dh[i] + slope * (real)((z[i] > 0) - (z[i] < 0));
}

/* arrays: h, penalty (rows,) double, z, weight (rows,) double or NULL; sizes: width, 1 to add to the existing penalty; constants: strength */
static void NAME(op_activity_l1_forward)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {
    const int64_t width = op->size[0];
    (void)context;
    NAME(activity_l1_forward)((real *)op->array[0] + begin * width, (double *)op->array[1] + begin,
                              (const real *)op->array[2] + begin * width,
                              op->array[3] ? (const double *)op->array[3] + begin : NULL, op->constant[0], (int)op->size[1],
                              end - begin, width);
}

/* arrays: dz, dh, z, weight (rows,) double or NULL; constants: strength */
static void NAME(op_activity_l1_backward)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {
    const int64_t width = op->size[0], together = op->array[3] ? 1 : end - begin; /* rows of one slope */
    const double *weight = (const double *)op->array[3], slope = op->constant[0] * context->scale;
    for (int64_t i = begin; i < end; i += together) {
        const int64_t at = i * width;
        NAME(activity_l1_backward)((real *)op->array[0] + at, (const real *)op->array[1] + at, (const real *)op->array[2] + at,
                                   (real)(weight ? slope * weight[i] : slope), together * width);
    }
}
