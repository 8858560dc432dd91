/* Normal random numbers from a counter, and noise on gradients.
 *
 * Element e of step s has the same number whatever tile it falls in and whichever thread computes it.  The elements go in groups
 * of 64, as 16 counters give 4 words each: element 64 g + 16 k + j is the k-th number of counter (NOISE | 16 g + j, s). */

enum { NAME(GROUP) = 64, NAME(LANE) = 16 };
#define NOISE (UINT64_C(1) << 60)    /* the order of the examples counts from 0 under the same key */
#if REAL_IS_FLOAT
#define SQRT sqrtf
#define UNIFORM_BITS 23              /* so many, and the half below, a float holds exactly */
#else
#define SQRT sqrt
#define UNIFORM_BITS 31
#endif

/* In (0, 1): the first UNIFORM_BITS bits of a word as a fraction, and half a bit more. */
#define UNIFORM(word) (((real)(int32_t)((word) >> (32 - UNIFORM_BITS)) + REAL(0.5)) / (real)(INT64_C(1) << UNIFORM_BITS))

/* sin 2 pi y for |y| <= 1/4: the series in a = 2 pi y, |a| <= pi / 2; its first term left out is below 2^-30 (float), 2^-59 */
NN_INLINE real NAME(sin_turns)(real y) {
    const real a = REAL(6.283185307179586) * y, z = a * a;
    real sum = 0;
#if !REAL_IS_FLOAT
    sum = ((((REAL(1.0) / REAL(51090942171709440000.0)) * z - REAL(1.0) / REAL(121645100408832000.0)) * z
          + REAL(1.0) / REAL(355687428096000.0)) * z - REAL(1.0) / REAL(1307674368000.0)) * z;
#endif
    sum = (((((sum + REAL(1.0) / REAL(6227020800.0)) * z - REAL(1.0) / REAL(39916800.0)) * z
            + REAL(1.0) / REAL(362880.0)) * z - REAL(1.0) / REAL(5040.0)) * z + REAL(1.0) / REAL(120.0)) * z
          - REAL(1.0) / REAL(6.0);
    return a + a * z * sum;
}

/* 64 independent N(0, 1), by Box and Muller (1958): sqrt(-2 log u) times cos and sin of 2 pi x, u in (0, 1), x in (-1/2, 1/2) */
static void NAME(normal_group)(real *restrict out, uint64_t key, uint64_t group, uint64_t step) {
    uint32_t word[4][NAME(LANE)];
    for (int j = 0; j < NAME(LANE); j++) {
        const uint64_t counter = NOISE | (group * NAME(LANE) + (uint64_t)j);
        uint32_t x0 = (uint32_t)counter, x1 = (uint32_t)(counter >> 32), x2 = (uint32_t)step, x3 = (uint32_t)(step >> 32);
        uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
        for (int round = 0; round < NN_PHILOX_ROUNDS; round++) NN_PHILOX_ROUND(x0, x1, x2, x3, k0, k1);
        word[0][j] = x0, word[1][j] = x1, word[2][j] = x2, word[3][j] = x3;
    }
    for (int pair = 0; pair < 4; pair += 2)
        for (int j = 0; j < NAME(LANE); j++) {
            const real x = UNIFORM(word[pair + 1][j]) - REAL(0.5), a = NAME(nn_abs)(x);
            const real r = SQRT(REAL(-2.0) * NAME(nn_log)(UNIFORM(word[pair][j])));
            const real turned = x < 0 ? REAL(-0.5) + a : REAL(0.5) - a;
            out[pair * NAME(LANE) + j] = r * NAME(sin_turns)(REAL(0.25) - a);
            out[(pair + 1) * NAME(LANE) + j] = r * NAME(sin_turns)(a > REAL(0.25) ? turned : x);
        }
}

/* g <- g + sigma n, n ~ N(0, 1), for the elements first, first + 1, ... of the whole gradient */
static void NAME(gradient_noise)(real *restrict grad, real sigma, uint64_t seed, uint64_t step, int64_t first, int64_t n) {
    real normal[NAME(GROUP)];
    for (int64_t i = 0; i < n;) {
        const int64_t element = first + i, from = element % NAME(GROUP);
        const int64_t left = NAME(GROUP) - from, count = n - i < left ? n - i : left;
        NAME(normal_group)(normal, seed, (uint64_t)(element / NAME(GROUP)), step);
        for (int64_t k = 0; k < count; k++) grad[i + k] += sigma * normal[from + k];
        i += count;
    }
}

/* arrays: g; sizes: seed, column of sigma in the coefficients */
static void NAME(op_gradient_noise)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) {
    const real sigma = (real)context->coefficients[op->size[1]];
    for (int64_t t = begin; t < end; t++)
        FOR_STRETCHES(t, NAME(gradient_noise)((real *)op->array[0] + at, sigma, (uint64_t)op->size[0], context->step, at, n));
}
#undef NOISE
#undef SQRT
#undef UNIFORM_BITS
#undef UNIFORM
