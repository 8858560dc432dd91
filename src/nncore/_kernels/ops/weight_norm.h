/* Weight normalization: W = length v / |v| for each unit, v its direction (inputs,).  The squares are summed in double. */

/* 1 if a direction has length 0: then the weight is undefined */
static int NAME(weight_norm_weight)(real *restrict w, const real *restrict direction, const real *restrict length, int64_t units,
                                    int64_t inputs) {
    int zero = 0;
    for (int64_t u = 0; u < units; u++, w += inputs, direction += inputs) {
        double sum = 0, square = 0;
        NAME(add_moments)(&sum, &square, direction, 0, inputs);
        const real factor = (real)(length[u] / sqrt(square));
        for (int64_t j = 0; j < inputs; j++) w[j] = factor * direction[j];
        zero |= square == 0;
    }
    return zero;
}

/* W = g v / |v|   =>   dg = dW . v / |v|,   dv = g / |v| (dW - dg v / |v|) */
static void NAME(weight_norm_backward)(real *restrict ddirection, real *restrict dlength, const real *restrict dw,
                                       const real *restrict direction, const real *restrict length, int64_t units,
                                       int64_t inputs) {
    for (int64_t u = 0; u < units; u++, ddirection += inputs, dw += inputs, direction += inputs) {
        double sum = 0, square = 0;
        NAME(add_moments)(&sum, &square, direction, 0, inputs);
        const double product = NAME(row_dot)(dw, direction, inputs);
        const real a = (real)(length[u] / sqrt(square)), b = (real)(product / square);
        for (int64_t j = 0; j < inputs; j++) ddirection[j] = a * (dw[j] - b * direction[j]);
        dlength[u] = (real)(product / sqrt(square));
    }
}

/* A tile is a run of units [u0, u1): arrays: W, direction, length, tiles (tiles, 4) int64, packed W; sizes: units, inputs */
static void NAME(op_weight_norm_weight)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {
    const NAME(rectangle) *tile = (const NAME(rectangle) *)op->array[3] + begin;
    const int64_t inputs = op->size[1], at = tile->u0 * inputs;
    (void)end;
    if (NAME(weight_norm_weight)((real *)op->array[0] + at, (const real *)op->array[1] + at,
                                 (const real *)op->array[2] + tile->u0, tile->u1 - tile->u0, inputs))
        *context->failed |= NN_ZERO_DIRECTION;
    if (op->array[4]) NAME(pack_weight)(op->array[4], op->array[0], tile->u0, tile->u1, 0, inputs, op->size[0], inputs);
}

static void NAME(op_weight_norm_backward)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {
    const NAME(rectangle) *tile = (const NAME(rectangle) *)op->array[5] + begin;
    const int64_t inputs = op->size[1], at = tile->u0 * inputs, u = tile->u0;
    (void)context, (void)end;
    NAME(weight_norm_backward)((real *)op->array[0] + at, (real *)op->array[1] + u, (const real *)op->array[2] + at,
                               (const real *)op->array[3] + at, (const real *)op->array[4] + u, tile->u1 - u, inputs);
}

/* of moments.h, which ends here */
#undef DOUBLES
#undef wide
#undef narrow
