/* The rate of an instruction: float multiply-adds of vectors, in as many independent chains as keep the units busy.  Each chain is a
 * variable of its own: GCC keeps the elements of an array in memory. */
#include <stdint.h>

#define EIGHT(f, n) f(n##0) f(n##1) f(n##2) f(n##3) f(n##4) f(n##5) f(n##6) f(n##7)
#if defined(__AVX512F__)
#define BYTES 64
#define CHAINS 24
#define EACH(f) EIGHT(f, 1) EIGHT(f, 2) EIGHT(f, 3)
#else
#ifdef __AVX__
#define BYTES 32
#else
#define BYTES 16
#endif
#define CHAINS 8
#define EACH(f) EIGHT(f, 1)
#endif

typedef float vec __attribute__((vector_size(BYTES)));

#define START(n) vec sum##n = (vec){0} + n;
#define ADD(n) total += sum##n;
#define MULTIPLY_ADD(n) sum##n += a * b;
#define PAIRS(n) __asm__ volatile("vdpbf16ps %2, %1, %0" : "+v"(sum##n) : "v"(a), "v"(b));

/* Each function returns the floating-point operations of `count` steps; out has the factors, and gets the sum. */
int64_t float32(int64_t count, float *out) {
    vec a = (vec){0} + out[0], b = (vec){0} + out[1], total = {0};
    EACH(START)
    for (int64_t step = 0; step < count; step++) {
        __asm__ volatile("" : "+x"(a));    /* a may have changed: a b is not computed once for all steps */
        EACH(MULTIPLY_ADD)
    }
    EACH(ADD)
    out[0] = total[0];
    return count * CHAINS * (BYTES / 4) * 2;
}

/* Pairs of bfloat16 numbers; 0 where there is no such instruction */
int64_t bfloat16(int64_t count, float *out) {
#ifdef __AVX512BF16__
    vec a = (vec){0} + out[0], b = (vec){0} + out[1], total = {0};
    EACH(START)
    for (int64_t step = 0; step < count; step++) { EACH(PAIRS) }
    EACH(ADD)
    out[0] = total[0];
    return count * CHAINS * (BYTES / 4) * 4;
#else
    (void)count, (void)out;
    return 0;
#endif
}
