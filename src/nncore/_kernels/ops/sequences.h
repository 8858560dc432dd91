/* What recurrent layers (recurrent.h) need besides their cells: rows are sequences of `steps` times as many numbers. */

/* mask = whether any input of the step differs from the value, and an earlier mask has not skipped it.  arrays: mask (rows, steps), x,
 * the earlier mask or NULL; sizes: steps, inputs; constants: value */
static void NAME(op_mask_steps)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {
    const int64_t steps = op->size[0], inputs = op->size[1];
    const real value = (real)op->constant[0], *earlier = op->array[2];
    (void)context;
    for (int64_t i = begin * steps; i < end * steps; i++) {
        const real *x = (const real *)op->array[1] + i * inputs;
        int differs = 0;
        for (int64_t j = 0; j < inputs; j++) differs |= !(x[j] == value);
        ((real *)op->array[0])[i] = (real)(differs && !(earlier && earlier[i] == 0));
    }
}

/* a = 0 at steps that are skipped: what a layer computes of the padding is not used, but it may be infinite or NaN, and 0 times that is
 * NaN.  arrays: a, mask (rows, steps); sizes: steps, width */
static void NAME(op_clear_skipped)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {
    const int64_t steps = op->size[0], width = op->size[1];
    const real *mask = op->array[1];
    (void)context;
    for (int64_t i = begin * steps; i < end * steps; i++)
        if (mask[i] == 0) memset((real *)op->array[0] + i * width, 0, (size_t)width * sizeof(real));
}

/* y = (a, b) at every step.  arrays: y, a, b; sizes: width of a, width of b, steps */
static void NAME(op_join_rows)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {
    const int64_t first = op->size[0], second = op->size[1], steps = op->size[2];
    (void)context;
    for (int64_t i = begin * steps; i < end * steps; i++) {
        real *y = (real *)op->array[0] + i * (first + second);
        memcpy(y, (const real *)op->array[1] + i * first, (size_t)first * sizeof(real));
        memcpy(y + first, (const real *)op->array[2] + i * second, (size_t)second * sizeof(real));
    }
}

/* The inverse.  arrays: a, b, y; sizes as above */
static void NAME(op_part_rows)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {
    const int64_t first = op->size[0], second = op->size[1], steps = op->size[2];
    (void)context;
    for (int64_t i = begin * steps; i < end * steps; i++) {
        const real *y = (const real *)op->array[2] + i * (first + second);
        memcpy((real *)op->array[0] + i * first, y, (size_t)first * sizeof(real));
        memcpy((real *)op->array[1] + i * second, y + first, (size_t)second * sizeof(real));
    }
}

/* y = factor (a + b).  sizes: width; constants: factor */
static void NAME(op_add_rows)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {
    const int64_t width = op->size[0];
    const real factor = (real)op->constant[0];
    real *restrict y = op->array[0];
    const real *restrict a = op->array[1], *restrict b = op->array[2];
    (void)context;
    for (int64_t i = begin * width; i < end * width; i++) y[i] = factor * (a[i] + b[i]);
}
