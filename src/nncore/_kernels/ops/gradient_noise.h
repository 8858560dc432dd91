/* Noise on gradients (Neelakantan et al. 2015): g <- g + sigma n, n ~ N(0, 1), from (seed, step, position in the gradient) alone. */

static void NAME(gradient_noise)(real *restrict grad, real sigma, nn_stream stream, int64_t begin, int64_t end) {
    FOR_NORMALS(stream, begin, end, grad[i - begin] += sigma * e);
}

/* arrays: g; sizes: seed, place, column of sigma in the coefficients */
static void NAME(op_gradient_noise)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {
    const real sigma = (real)context->coefficients[op->size[2]];
    const nn_stream stream = nn_stream_of(op, context, 0);
    for (int64_t t = begin; t < end; t++)
        FOR_STRETCHES(t, NAME(gradient_noise)(STRETCH(op->array[0]), sigma, stream, at, at + n));
}
