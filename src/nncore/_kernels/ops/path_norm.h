/* Path-SGD: gamma of each weight of a network of rectifiers, the sum over the paths through it of the products of the squares of all
 * other weights.  A bias is the weight of an input that is 1.
 *
 * z of a unit is the sum over the paths that lead to it, 1 for an input; d the sum over those that lead from it to an output, 1 for an
 * output.  Both are double, as products over many layers are very large or small.  gamma = d of the unit times z of the input. */

/* z = b^2 + sum_j w_j^2 z_j of one unit */
static double NAME(path_sum)(const real *restrict w, const double *restrict z_before, int64_t n) {
    double chain[CHAINS] = {0};
    LOOP_CHAINS(chain[k] += (double)w[i] * w[i] * z_before[i];);
    return NAME(total)(chain);
}

/* gamma_j = d z_j of one unit; 1 if one is too large, instead of which the largest number is stored.  The step g / gamma, which
 * may well be an ordinary one, would count as 0. */
static int NAME(path_gamma)(real *restrict gamma, double d, const double *restrict z_before, int64_t n) {
    const double most = REAL_IS_FLOAT ? FLT_MAX : DBL_MAX;
    int large = 0;
    for (int64_t j = 0; j < n; j++) {
        const double sum = d * z_before[j];
        large |= !(sum <= most);
        gamma[j] = (real)(sum <= most ? sum : most);
    }
    return large;
}

/* d_before_j += d w_j^2 */
static void NAME(add_paths)(double *restrict d_before, const real *restrict w, double d, int64_t n) {
    for (int64_t j = 0; j < n; j++) d_before[j] += d * ((double)w[j] * w[j]);
}

/* A tile is a run of `piece` units.  arrays: z, W, b or NULL, z of the inputs; sizes: units, inputs, piece */
static void NAME(op_path_forward)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {
    const int64_t inputs = op->size[1], first = begin * op->size[2], most = end * op->size[2];
    const real *w = op->array[1], *b = op->array[2];
    (void)context;
    for (int64_t u = first; u < most && u < op->size[0]; u++)
        ((double *)op->array[0])[u] = NAME(path_sum)(w + u * inputs, op->array[3], inputs) + (b ? (double)b[u] * b[u] : 0);
}

/* A tile is a run of `piece` inputs.  arrays: gamma of W, gamma of b or NULL, d of the inputs or NULL, W, d, z of the inputs; sizes: units,
 * inputs, piece */
static void NAME(op_path_backward)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {
    const int64_t units = op->size[0], inputs = op->size[1], first = begin * op->size[2];
    const int64_t most = end * op->size[2], n = (most < inputs ? most : inputs) - first;
    real *gamma = op->array[0], *gamma_b = begin ? NULL : op->array[1];    /* the first tile has the biases */
    const real *w = op->array[3];
    const double *d = op->array[4], *z_before = op->array[5];
    double *d_before = op->array[2];
    static const double one = 1;    /* the input of a bias */
    int large = 0;
    if (d_before) memset(d_before + first, 0, n * sizeof *d_before);
    for (int64_t u = 0; u < units; u++) {
        large |= NAME(path_gamma)(gamma + u * inputs + first, d[u], z_before + first, n);
        if (d_before) NAME(add_paths)(d_before + first, w + u * inputs + first, d[u], n);
        if (gamma_b) large |= NAME(path_gamma)(gamma_b + u, d[u], &one, 1);
    }
    if (large) *context->failed |= NN_NOT_FINITE;
}

/* of gradients.h, which end here */
#undef CHAINS
#undef LOOP_CHAINS
