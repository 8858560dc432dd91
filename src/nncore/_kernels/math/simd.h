/* The one vector type of this instruction set and precision: LANES reals, loaded and stored at any address.
 * NN_VECTOR_BYTES is set by the isa_*.c that includes us.  Included twice, for float and for double. */

#define LANES (NN_VECTOR_BYTES / (int)sizeof(real))
#define vec NAME(vector)

/* Row-wise work is divided into chunks of about CHUNK numbers, which stay in the first-level cache, and at most this many rows. */
#define NN_CHUNK ((int64_t)(NN_CHUNK_BYTES / sizeof(real)))
#define NN_CHUNK_ROWS 64

typedef real vec __attribute__((vector_size(NN_VECTOR_BYTES), aligned(sizeof(real)), may_alias));

#define ivec NAME(integers)
typedef integer ivec __attribute__((vector_size(NN_VECTOR_BYTES), aligned(sizeof(integer)), may_alias));

/* a where all bits are set, b where none is: what a comparison of vectors results in */
NN_INLINE vec NAME(choose)(ivec where, vec a, vec b) { return (vec)(((ivec)a & where) | ((ivec)b & ~where)); }

/* value, but 0 where test <= 0 */
#if NN_VECTOR_BYTES == 64 && REAL_IS_FLOAT
NN_INLINE vec NAME(rectified)(vec value, vec test) {
    return (vec)_mm512_maskz_mov_ps(_mm512_cmp_ps_mask((__m512)test, _mm512_setzero_ps(), _CMP_NLE_UQ), (__m512)value);
}
#else
NN_INLINE vec NAME(rectified)(vec value, vec test) { return (vec)((ivec)value & ~(ivec)(test <= 0)); }
#endif

NN_INLINE vec NAME(load)(const real *p) { return *(const vec *)p; }
NN_INLINE void NAME(store)(real *p, vec v) { *(vec *)p = v; }
NN_INLINE vec NAME(broadcast)(real a) { return a - (vec){0}; }

/* The first n < LANES reals at p, the rest zero; nothing past p[n - 1] is touched. */
#if NN_VECTOR_BYTES == 64 && REAL_IS_FLOAT
NN_INLINE vec NAME(load_part)(const real *p, int n) { return (vec)_mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p); }
NN_INLINE void NAME(store_part)(real *p, vec v, int n) { _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), (__m512)v); }
#elif NN_VECTOR_BYTES == 64
NN_INLINE vec NAME(load_part)(const real *p, int n) { return (vec)_mm512_maskz_loadu_pd((__mmask8)((1u << n) - 1), p); }
NN_INLINE void NAME(store_part)(real *p, vec v, int n) { _mm512_mask_storeu_pd(p, (__mmask8)((1u << n) - 1), (__m512d)v); }
#elif NN_VECTOR_BYTES == 32 && REAL_IS_FLOAT
NN_INLINE __m256i NAME(mask)(int n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
NN_INLINE vec NAME(load_part)(const real *p, int n) { return (vec)_mm256_maskload_ps(p, NAME(mask)(n)); }
NN_INLINE void NAME(store_part)(real *p, vec v, int n) { _mm256_maskstore_ps(p, NAME(mask)(n), (__m256)v); }
#elif NN_VECTOR_BYTES == 32
NN_INLINE __m256i NAME(mask)(int n) {
    return _mm256_cmpgt_epi64(_mm256_set1_epi64x(n), _mm256_setr_epi64x(0, 1, 2, 3));
}
NN_INLINE vec NAME(load_part)(const real *p, int n) { return (vec)_mm256_maskload_pd(p, NAME(mask)(n)); }
NN_INLINE void NAME(store_part)(real *p, vec v, int n) { _mm256_maskstore_pd(p, NAME(mask)(n), (__m256d)v); }
#else
NN_INLINE vec NAME(load_part)(const real *p, int n) {
    vec v = {0};
    for (int j = 0; j < LANES - 1; j++)
        if (j < n) v[j] = p[j];
    return v;
}
NN_INLINE void NAME(store_part)(real *p, vec v, int n) {
    for (int j = 0; j < LANES - 1; j++)
        if (j < n) p[j] = v[j];
}
#endif

/* The first n <= LANES reals at p, the rest zero. */
NN_INLINE vec NAME(load_some)(const real *p, int n) { return n < LANES ? NAME(load_part)(p, n) : NAME(load)(p); }

NN_INLINE real NAME(sum_lanes)(vec v) {
    real lane[LANES];
    NAME(store)(lane, v);
    for (int half = LANES / 2; half; half /= 2)
        NN_UNROLL for (int k = 0; k < half; k++) lane[k] += lane[k + half];
    return lane[0];
}

/* Non-temporal store to an aligned address.  Such stores may overtake others until the next fence. */
#if NN_VECTOR_BYTES == 64
#define STREAM_(p, v) REAL_IS_FLOAT ? _mm512_stream_ps((float *)(p), (__m512)(v)) : _mm512_stream_pd((double *)(p), (__m512d)(v))
#elif NN_VECTOR_BYTES == 32
#define STREAM_(p, v) REAL_IS_FLOAT ? _mm256_stream_ps((float *)(p), (__m256)(v)) : _mm256_stream_pd((double *)(p), (__m256d)(v))
#elif defined(__SSE2__)
#define STREAM_(p, v) REAL_IS_FLOAT ? _mm_stream_ps((float *)(p), (__m128)(v)) : _mm_stream_pd((double *)(p), (__m128d)(v))
#endif
#ifdef STREAM_
NN_INLINE void NAME(stream)(real *p, vec v) { STREAM_(p, v); }
#undef STREAM_
#else
NN_INLINE void NAME(stream)(real *p, vec v) { NAME(store)(p, v); }
#endif

/* f(0, s), f(1, s), ... f(LANES - 1, s) */
#define EACH_2(f, s) f(0, s), f(1, s)
#define EACH_4(f, s) EACH_2(f, s), f(2, s), f(3, s)
#define EACH_8(f, s) EACH_4(f, s), f(4, s), f(5, s), f(6, s), f(7, s)
#define EACH_16(f, s) EACH_8(f, s), f(8, s), f(9, s), f(10, s), f(11, s), f(12, s), f(13, s), f(14, s), f(15, s)
#if NN_VECTOR_BYTES == 64 && REAL_IS_FLOAT
#define EACH EACH_16
#elif NN_VECTOR_BYTES == 64 || NN_VECTOR_BYTES == 32 && REAL_IS_FLOAT
#define EACH EACH_8
#elif NN_VECTOR_BYTES == 32 || REAL_IS_FLOAT
#define EACH EACH_4
#else
#define EACH EACH_2
#endif
#if defined(__clang__)
#define SHUFFLE(a, b, from, s) __builtin_shufflevector(a, b, EACH(from, s))
#else
typedef integer NAME(places) __attribute__((vector_size(NN_VECTOR_BYTES)));
#define SHUFFLE(a, b, from, s) __builtin_shuffle(a, b, (NAME(places)){EACH(from, s)})
#endif

/* Transpose a LANES x LANES block: out[j][i] = in[i][j], 0 beyond the last row and column of `in`.  Row strides in reals; in and
 * out do not overlap.  `past`: with non-temporal stores.
 *
 * Each step combines rows i and i + s by shuffles of a single instruction.  A quarter is 16 bytes, Q reals: within quarters,
 * rows are interleaved in chunks of s (LOWER and UPPER halves); then quarters are permuted (EVEN and ODD ones).
 * The indices must be constants for the compiler to emit these instructions. */
#define Q (16 / (int)sizeof(real))
#define LOWER(k, s) (((k) % Q / (s) % 2 ? LANES : 0) + (k) / Q * Q + (k) % Q / (2 * (s)) * (s) + (k) % (s))
#define UPPER(k, s) (LOWER(k, s) + Q / 2)
#define EVEN(k, s) (((k) >= LANES / 2 ? LANES : 0) + (k) % (LANES / 2) / Q * 2 * Q + (k) % Q)
#define ODD(k, s) (EVEN(k, s) + Q)
#define COMBINE(s, first, second)                                                                                              \
    NN_UNROLL for (int i = 0; i < LANES; i++)                                                                                  \
        if (!(i & (s))) {                                                                                                      \
            const vec a = row[i], b = row[i + (s)];                                                                            \
            row[i] = SHUFFLE(a, b, first, s);                                                                                  \
            row[i + (s)] = SHUFFLE(a, b, second, s);                                                                           \
        }

NN_INLINE void NAME(transpose)(real *restrict out, int64_t out_row, const real *restrict in, int64_t in_row, int rows,
                               int columns, const int past) {
    vec row[LANES];
    NN_UNROLL for (int i = 0; i < LANES; i++) row[i] = i < rows ? NAME(load_some)(in + i * in_row, columns) : (vec){0};
    COMBINE(1, LOWER, UPPER)
#if REAL_IS_FLOAT
    COMBINE(2, LOWER, UPPER)
#endif
#if NN_VECTOR_BYTES >= 32
    COMBINE(Q, EVEN, ODD)
#endif
#if NN_VECTOR_BYTES >= 64
    COMBINE((2 * Q), EVEN, ODD)
#endif
    NN_UNROLL for (int i = 0; i < LANES; i++) {
        const int j = REAL_IS_FLOAT && (i % 4 == 1 || i % 4 == 2) ? i ^ 3 : i;    /* interleaving leaves columns 1 and 2 swapped */
        if (past) NAME(stream)(out + j * out_row, row[i]);
        else NAME(store)(out + j * out_row, row[i]);
    }
}
#undef Q
#undef LOWER
#undef UPPER
#undef EVEN
#undef ODD
#undef COMBINE
#undef EACH
#undef EACH_2
#undef EACH_4
#undef EACH_8
#undef EACH_16
#undef SHUFFLE
