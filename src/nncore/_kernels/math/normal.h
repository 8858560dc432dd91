/* N(0, 1) numbers by address (random.h), and a loop over elements that uses one number per element. */

/* Taylor series on |x| <= pi/4: float 2e-9, double 1e-18 */
NN_INLINE real NAME(sine)(real x) {
    const real z = x * x;
#if REAL_IS_FLOAT
    return x * (1 + z * (REAL(-1.0) / 6 + z * (REAL(1.0) / 120 + z * (REAL(-1.0) / 5040 + z * (REAL(1.0) / 362880)))));
#else
    real sum = REAL(1.0) / 355687428096000;
    static const double terms[] = {-1307674368000.0, 6227020800.0, -39916800.0, 362880.0, -5040.0, 120.0, -6.0, 1.0};
    NN_UNROLL for (int k = 0; k < 8; k++) sum = sum * z + 1 / terms[k];
    return x * sum;
#endif
}

NN_INLINE real NAME(cosine)(real x) {
    const real z = x * x;
#if REAL_IS_FLOAT
    return 1 + z * (REAL(-0.5) + z * (REAL(1.0) / 24 + z * (REAL(-1.0) / 720 + z * (REAL(1.0) / 40320 - z / 3628800))));
#else
    real sum = REAL(-1.0) / 6402373705728000;
    static const double terms[] = {20922789888000.0, -87178291200.0, 479001600.0, -3628800.0, 40320.0, -720.0, 24.0, -2.0, 1.0};
    NN_UNROLL for (int k = 0; k < 9; k++) sum = sum * z + 1 / terms[k];
    return sum;
#endif
}

/* 64 N(0, 1) numbers from 64 numbers of 32 bits, in pairs (Box, Muller 1958):
 *     u = (top 24 bits of the first + 1) / 2^24 in (0, 1],   r = sqrt(-2 ln u) <= 5.77,
 *     angle = 2 pi (the second / 2^32) - pi/4: the top two bits are the quadrant, the others a in [-pi/4, pi/4),
 *     z_i = r cos(angle),   z_(i + 32) = r sin(angle). */
NN_INLINE void NAME(normal_block)(real *restrict z, nn_stream stream, uint64_t block) {
    uint32_t bits[NN_RANDOM_BLOCK];
    nn_random_block(bits, stream, block);
    for (int i = 0; i < NN_RANDOM_BLOCK / 2; i++) {
        const int32_t quadrant = (int32_t)(bits[i + 32] >> 30), rest = (int32_t)(bits[i + 32] & 0x3FFFFFFFu) - (1 << 29);
        const real u = (real)((int32_t)(bits[i] >> 8) + 1) * REAL(0x1p-24);
        const real square = -2 * NAME(nn_log)(u);
        const real r = square > 0 ? (real)(REAL_IS_FLOAT ? sqrtf((float)square) : sqrt((double)square)) : 0;
        const real a = (real)rest * REAL(1.4629180792671596e-09);    /* pi/2 / 2^30 */
        const real s = NAME(sine)(a), c = NAME(cosine)(a);
        const real across = quadrant & 1 ? s : c, up = quadrant & 1 ? c : s;
        z[i] = quadrant == 1 || quadrant == 2 ? -r * across : r * across;
        z[i + 32] = quadrant >= 2 ? -r * up : r * up;
    }
}

/* `statement` for each element i of [begin, end) and its N(0, 1) number e */
#define FOR_NORMALS(stream, begin, end, statement)                                                                           \
    do {                                                                                                                     \
        real block[NN_RANDOM_BLOCK];                                                                                         \
        for (int64_t at = (begin), last = (end); at < last;) {                                                               \
            const int n = nn_in_block(at, last), from = (int)(at % NN_RANDOM_BLOCK);                                         \
            NAME(normal_block)(block, stream, (uint64_t)at / NN_RANDOM_BLOCK);                                               \
            for (int k = 0; k < n; k++) {                                                                                    \
                const int64_t i = at + k;                                                                                    \
                const real e = block[from + k];                                                                              \
                statement;                                                                                                   \
            }                                                                                                                \
            at += n;                                                                                                         \
        }                                                                                                                    \
    } while (0)
