/* The dense layer's three products by a BLAS, for comparison: NNCORE_GEMM=blas.  The address of its gemm is the last array of an
 * op (blas.py), so nothing is linked.  Work items are those of nncore's kernels, and each call runs on one thread.
 *
 * A BLAS stores matrices by columns: the row-major C = A B is computed as C^T = B^T A^T. */

typedef void (*NAME(gemm))(char *transpose_b, char *transpose_a, int *columns, int *rows, int *depth, real *alpha, real *b,
                           int *b_row, real *a, int *a_row, real *beta, real *c, int *c_row);

/* C (rows, columns) = A B + add C, where A or B is the transpose of the stored matrix if its letter is 'T'. */
static void NAME(blas_product)(const void *gemm, char transpose_a, char transpose_b, int64_t rows, int64_t columns,
                               int64_t depth, const real *a, int64_t a_row, const real *b, int64_t b_row, int add, real *c,
                               int64_t c_row) {
    int m = (int)rows, n = (int)columns, k = (int)depth, lda = (int)a_row, ldb = (int)b_row, ldc = (int)c_row;
    real one = 1, beta = (real)add;
    (*(const NAME(gemm) *)gemm)(&transpose_b, &transpose_a, &n, &m, &k, &one, (real *)b, &ldb, (real *)a, &lda, &beta, c, &ldc);
}

/* y = x W^T + b; arrays: y, x, W, b or NULL, gemm; sizes: units, inputs, gap between rows of x */
static void NAME(op_dense_forward_blas)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {
    const int64_t units = op->size[0], inputs = op->size[1], x_row = inputs + op->size[2];
    real *y = (real *)op->array[0] + begin * units;
    (void)context;
    for (int64_t i = 0; op->array[3] && i < end - begin; i++) memcpy(y + i * units, op->array[3], (size_t)units * sizeof(real));
    NAME(blas_product)(op->array[4], 'N', 'T', end - begin, units, inputs, (const real *)op->array[1] + begin * x_row, x_row,
                       op->array[2], inputs, op->array[3] != NULL, y, units);
}

/* dx = dy W; arrays: dx, dy, W, gemm; sizes: units, inputs, gap between rows of dy */
static void NAME(op_dense_backward_input_blas)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {
    const int64_t units = op->size[0], inputs = op->size[1], dy_row = units + op->size[2];
    (void)context;
    NAME(blas_product)(op->array[3], 'N', 'N', end - begin, inputs, units, (const real *)op->array[1] + begin * dy_row, dy_row,
                       op->array[2], inputs, 0, (real *)op->array[0] + begin * inputs, inputs);
}

/* dW = dy^T x; arrays: dW, dy, x, tiles, gemm; sizes: units, inputs, gap between rows of dy, of x */
static void NAME(op_dense_backward_weight_blas)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {
    const int64_t inputs = op->size[1], dy_row = op->size[0] + op->size[2], x_row = inputs + op->size[3];
    const NAME(rectangle) *tile = op->array[3];
    for (int64_t t = begin; t < end; t++)
        NAME(blas_product)(op->array[4], 'T', 'N', tile[t].u1 - tile[t].u0, tile[t].j1 - tile[t].j0, context->rows,
                           (const real *)op->array[1] + tile[t].u0, dy_row, (const real *)op->array[2] + tile[t].j0, x_row, 0,
                           (real *)op->array[0] + tile[t].u0 * inputs + tile[t].j0, inputs);
}
