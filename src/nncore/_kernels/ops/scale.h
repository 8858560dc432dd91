/* One factor per feature: y = x w, and its derivatives along a direction v of w.  x, y (rows, features); w, v (features,).
 * The gradient of w is the sum of the products over the batch: dense_backward_bias. */

/* y = x w */
static void NAME(scale_forward)(real *restrict y, const real *restrict x, const real *restrict w, int64_t rows, int64_t features) {
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < features; j++) y[i * features + j] = x[i * features + j] * w[j];
}

/* dw = sum_i dy_i x_i: products dy x */
static void NAME(scale_products)(real *restrict products, const real *restrict dy, const real *restrict x, int64_t n) {
    for (int64_t k = 0; k < n; k++) products[k] = dy[k] * x[k];
}

/* y += x w */
static void NAME(add_scaled)(real *restrict y, const real *restrict x, const real *restrict w, int64_t rows, int64_t features) {
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < features; j++)
            y[i * features + j] = NAME(nn_fma)(x[i * features + j], w[j], y[i * features + j]);
}

/* products += dy x */
static void NAME(add_products)(real *restrict products, const real *restrict dy, const real *restrict x, int64_t n) {
    for (int64_t k = 0; k < n; k++) products[k] = NAME(nn_fma)(dy[k], x[k], products[k]);
}

/* ---- the ops; sizes: features */

#define ROWS_OF(k) ((real *)op->array[k] + begin * op->size[0])

/* arrays: y, x, w */
static void NAME(op_scale_forward)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {
    (void)context;
    NAME(scale_forward)(ROWS_OF(0), ROWS_OF(1), op->array[2], end - begin, op->size[0]);
}

/* dx = dy w;  arrays: dx or NULL, products, dy, x, w */
static void NAME(op_scale_backward)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {
    (void)context;
    if (op->array[0]) NAME(scale_forward)(ROWS_OF(0), ROWS_OF(2), op->array[4], end - begin, op->size[0]);
    NAME(scale_products)(ROWS_OF(1), ROWS_OF(2), ROWS_OF(3), (end - begin) * op->size[0]);
}

/* ty = x v + tx w;  arrays: ty, tx or NULL for 0, x, w, v */
static void NAME(op_scale_tangent_forward)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {
    (void)context;
    NAME(scale_forward)(ROWS_OF(0), ROWS_OF(2), op->array[4], end - begin, op->size[0]);
    if (op->array[1]) NAME(add_scaled)(ROWS_OF(0), ROWS_OF(1), op->array[3], end - begin, op->size[0]);
}

/* tdx = dy v + tdy w, tproducts = tdy x + dy tx;  arrays: tdx or NULL, tproducts, tdy, dy, tx or NULL for 0, x, w, v */
static void NAME(op_scale_tangent_backward)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {
    const int64_t rows = end - begin, features = op->size[0];
    (void)context;
    if (op->array[0]) {
        NAME(scale_forward)(ROWS_OF(0), ROWS_OF(3), op->array[7], rows, features);
        NAME(add_scaled)(ROWS_OF(0), ROWS_OF(2), op->array[6], rows, features);
    }
    NAME(scale_products)(ROWS_OF(1), ROWS_OF(2), ROWS_OF(5), rows * features);
    if (op->array[4]) NAME(add_products)(ROWS_OF(1), ROWS_OF(3), ROWS_OF(4), rows * features);
}

#undef ROWS_OF
