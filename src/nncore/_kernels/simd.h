/* The one vector type of this instruction set and precision: LANES reals, loaded and stored at any address.
 * NN_VECTOR_BYTES is set by the isa_*.c that includes us.  Included twice, for float and for double. */

#define LANES (NN_VECTOR_BYTES / (int)sizeof(real))
#define vec NAME(vector)

typedef real vec __attribute__((vector_size(NN_VECTOR_BYTES), aligned(sizeof(real)), may_alias));

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

/* Store past the caches, at a whole vector's address.  Such stores may overtake others until there is a fence. */
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

/* A LANES x LANES block the other way round: out[j][i] = in[i][j].  Row strides in reals; in and out do not overlap.  `past`:
 * past the caches.
 * Step s swaps, for rows i and i + s, the halves of every 2 s columns that lie off the diagonal; s = 1, 2, 4, ... */
#if defined(__GNUC__) && !defined(__clang__)
NN_INLINE void NAME(transpose)(real *restrict out, int64_t out_row, const real *restrict in, int64_t in_row, const int past) {
    typedef integer index __attribute__((vector_size(NN_VECTOR_BYTES)));
    vec row[LANES];
    NN_UNROLL for (int i = 0; i < LANES; i++) row[i] = NAME(load)(in + i * in_row);
    NN_UNROLL for (int s = 1; s < LANES; s *= 2) {
        index low, high;
        NN_UNROLL for (int k = 0; k < LANES; k++) {
            low[k] = k & s ? LANES + (k ^ s) : k;
            high[k] = k & s ? LANES + k : k ^ s;
        }
        NN_UNROLL for (int i = 0; i < LANES; i++) {
            if (i & s) continue;
            const vec a = row[i], b = row[i + s];
            row[i] = __builtin_shuffle(a, b, low);
            row[i + s] = __builtin_shuffle(a, b, high);
        }
    }
    if (past) NN_UNROLL for (int i = 0; i < LANES; i++) NAME(stream)(out + i * out_row, row[i]);
    else NN_UNROLL for (int i = 0; i < LANES; i++) NAME(store)(out + i * out_row, row[i]);
}
#else
NN_INLINE void NAME(transpose)(real *restrict out, int64_t out_row, const real *restrict in, int64_t in_row, const int past) {
    (void)past;
    for (int i = 0; i < LANES; i++)
        for (int j = 0; j < LANES; j++) out[j * out_row + i] = in[i * in_row + j];
}
#endif
