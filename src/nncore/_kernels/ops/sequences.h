/* What recurrent layers (recurrent.h) need besides their cells: rows are sequences of `steps` times as many numbers. */

/* mask = whether any input of the step differs from the value.  arrays: mask (rows, steps), x; sizes: steps, inputs;
 * constants: value */
static void NAME(op_mask_steps)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {
    const int64_t steps = op->size[0], inputs = op->size[1];
    const real value = (real)op->constant[0];
    (void)context;
    for (int64_t i = begin * steps; i < end * steps; i++) {
        const real *x = (const real *)op->array[1] + i * inputs;
        int differs = 0;
        for (int64_t j = 0; j < inputs; j++) differs |= !(x[j] == value);
        ((real *)op->array[0])[i] = (real)differs;
    }
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
