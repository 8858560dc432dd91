/* Chosen columns of the input.  x, dx (rows, inputs); y, dy (rows, width); columns (width,) int64 from 0 to inputs - 1, of which
 * one may occur several times. */

/* y_ij = x_i,columns_j */
static void NAME(select_forward)(real *restrict y, const real *restrict x, const int64_t *restrict columns, int64_t rows,
                                 int64_t width, int64_t inputs) {
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < width; j++) y[i * width + j] = x[i * inputs + columns[j]];
}

/* dx_ic = the sum of dy_ij over all j with columns_j = c, in the order of j */
static void NAME(select_backward)(real *restrict dx, const real *restrict dy, const int64_t *restrict columns, int64_t rows,
                                  int64_t width, int64_t inputs) {
    for (int64_t i = 0; i < rows; i++) {
        for (int64_t c = 0; c < inputs; c++) dx[i * inputs + c] = 0;
        for (int64_t j = 0; j < width; j++) dx[i * inputs + columns[j]] += dy[i * width + j];
    }
}

/* ---- the ops; sizes: width, inputs */

/* arrays: y, x, columns */
static void NAME(op_select_forward)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {
    const int64_t width = op->size[0], inputs = op->size[1];
    (void)context;
    NAME(select_forward)((real *)op->array[0] + begin * width, (const real *)op->array[1] + begin * inputs, op->array[2],
                         end - begin, width, inputs);
}

/* arrays: dx, dy, columns */
static void NAME(op_select_backward)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {
    const int64_t width = op->size[0], inputs = op->size[1];
    (void)context;
    NAME(select_backward)((real *)op->array[0] + begin * inputs, (const real *)op->array[1] + begin * width, op->array[2],
                          end - begin, width, inputs);
}
