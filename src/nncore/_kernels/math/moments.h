/* Sums of many reals and of their squares in double, in full vectors. */

/* A full vector of doubles, and the same number of reals */
#define DOUBLES (NN_VECTOR_BYTES / 8)
#define wide NAME(wide_vector)
#define narrow NAME(narrow_vector)
typedef double wide __attribute__((vector_size(NN_VECTOR_BYTES), aligned(sizeof(double)), may_alias));
typedef real narrow __attribute__((vector_size(DOUBLES * sizeof(real)), aligned(sizeof(real)), may_alias));
NN_INLINE narrow NAME(load_narrow)(const real *p) { return *(const narrow *)p; }
NN_INLINE wide NAME(widen)(narrow a) { return __builtin_convertvector(a, wide); }
NN_INLINE double NAME(wide_total)(wide sum) {
#ifndef __clang__
    typedef int64_t order __attribute__((vector_size(sizeof(wide))));
    NN_UNROLL for (int half = DOUBLES / 2; half; half /= 2) {    /* the lower half plus the upper half, in full vectors */
        order other;
        NN_UNROLL for (int lane = 0; lane < DOUBLES; lane++) other[lane] = (lane + half) % DOUBLES;
        sum += __builtin_shuffle(sum, other);
    }
#else
    NN_UNROLL for (int half = DOUBLES / 2; half; half /= 2)
        NN_UNROLL for (int lane = 0; lane < half; lane++) sum[lane] += sum[lane + half];
#endif
    return sum[0];
}

NN_INLINE double NAME(wide_sum)(const wide *chain) {
    return NAME(wide_total)((chain[0] + chain[1]) + (chain[2] + chain[3]));
}

/* sum += sum of (x - origin), square += sum of (x - origin)^2, in four chains of vectors.  With one of the numbers as
 * origin, the variance square/n - (sum/n)^2 loses at most a factor n of the precision of double, for any mean. */
NN_INLINE void NAME(add_moments)(double *sum, double *square, const real *restrict x, real origin, int64_t n) {
    wide s[4] = {{0}, {0}, {0}, {0}}, q[4] = {{0}, {0}, {0}, {0}};
    double total = 0, squares = 0;
    int64_t j = 0;
    for (; j + 4 * DOUBLES <= n; j += 4 * DOUBLES)
        NN_UNROLL for (int chain = 0; chain < 4; chain++) {
            const wide d = NAME(widen)(NAME(load_narrow)(x + j + chain * DOUBLES) - origin);
            s[chain] += d, q[chain] += d * d;
        }
    for (; j < n; j++) {
        const double d = x[j] - origin;
        total += d, squares += d * d;
    }
    *sum += total + NAME(wide_sum)(s), *square += squares + NAME(wide_sum)(q);
}
