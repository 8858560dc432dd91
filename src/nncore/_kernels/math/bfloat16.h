/* bfloat16: the upper half of a float, 8 exponent bits as float has, and 8 bits of precision.  For float only.
 *
 * A pair is two bfloat16 numbers in 32 bits, the even one in the lower half.  The product of two of them is exact in float, and
 *     c + a b   of pairs is   c := c + a_odd b_odd,   then   c := c + a_even b_even,
 * each rounded once to the nearest float, ties to even, and with denormal numbers as 0: what vdpbf16ps does (Intel: Architecture
 * instruction set extensions programming reference, 2018), and what fused multiply-adds do.  So the bits are the same with every
 * instruction set. */

#define PAIR int32_t
#define PAIRS NAME(integers)
typedef uint32_t NAME(words) __attribute__((vector_size(NN_VECTOR_BYTES), aligned(4), may_alias));
typedef uint16_t NAME(halves) __attribute__((vector_size(NN_VECTOR_BYTES / 2), aligned(2), may_alias));

#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
NN_INLINE vec NAME(fused_multiply_add)(vec c, vec a, vec b) { return c + a * b; }
#else
/* In double a b is exact, and the sum is rounded to odd: if it is not exact, its last bit is 1.  Rounded to float, it is then what one
 * rounding gives (Boldo, Melquiond: Emulation of a FMA and correctly rounded sums, 2008). */
NN_INLINE vec NAME(fused_multiply_add)(vec c, vec a, vec b) {
    typedef double doubles __attribute__((vector_size(2 * NN_VECTOR_BYTES)));
    typedef int64_t integers __attribute__((vector_size(2 * NN_VECTOR_BYTES)));
    const doubles d = __builtin_convertvector(c, doubles);
    const doubles p = __builtin_convertvector(a, doubles) * __builtin_convertvector(b, doubles), s = p + d, t = s - p;
    const doubles error = (p - (s - t)) + (d - t);    /* exact; NaN if s is not finite */
    const integers inexact = (integers)(error > 0) | (integers)(error < 0), even = -(1 - ((integers)s & 1));
    const integers away = (integers)(error > 0) ^ (integers)(s < 0);    /* s is too small in absolute value */
    return __builtin_convertvector((doubles)((integers)s + (inexact & even & (-2 * away - 1))), vec);
}
#endif

NN_INLINE vec NAME(multiply_add_pairs)(vec c, PAIRS a, PAIRS b) {
#ifdef __AVX512BF16__
    __asm__("vdpbf16ps %2, %1, %0" : "+v"(c) : "v"(a), "v"(b));    /* the intrinsic makes GCC store the sums in each step */
    return c;
#else
    const PAIRS upper = (PAIRS){0} - 0x10000;    /* ffff0000 in all lanes */
    c = NAME(fused_multiply_add)(c, (vec)(a & upper), (vec)(b & upper));
    return NAME(fused_multiply_add)(c, (vec)(a << 16), (vec)(b << 16));
#endif
}

/* The nearest bfloat16 numbers, ties to even, in the upper halves; denormal numbers become 0, NaN stays NaN */
NN_INLINE NAME(words) NAME(to_bfloat16)(vec x) {
#ifdef __AVX512BF16__
    return (NAME(words))_mm512_slli_epi32(_mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh((__m512)x)), 16);
#else
    const NAME(words) bits = (NAME(words))x, size = bits & 0x7fffffff, half = 0x7fff + (bits >> 16 & 1);
    const NAME(words) nan = (NAME(words))(size > 0x7f800000), small = (NAME(words))(size < 0x00800000);
    const NAME(words) rounded = (bits + (half & ~nan)) | (nan & 0x00400000);
    return (small & bits & 0x80000000) | (~small & rounded & 0xffff0000);
#endif
}

NN_INLINE void NAME(store_bfloat16)(uint16_t *p, vec x) {
#ifdef __AVX512BF16__
    _mm256_storeu_si256((__m256i *)p, (__m256i)_mm512_cvtneps_pbh((__m512)x));
#else
    *(NAME(halves) *)p = __builtin_convertvector(NAME(to_bfloat16)(x) >> 16, NAME(halves));
#endif
}

NN_INLINE PAIRS NAME(pair_up)(vec even, vec odd) {
    return (PAIRS)(NAME(to_bfloat16)(even) >> 16 | NAME(to_bfloat16)(odd));
}
