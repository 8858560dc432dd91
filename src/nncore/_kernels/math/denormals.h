/* Denormal numbers, those below the smallest normal one (1.2e-38 in float): processors compute with them more slowly, and a
 * decaying mean, v <- 0.9 v, remains denormal forever.  A thread can switch flushing them to 0 on and off. */
#ifndef NNCORE_DENORMALS_H
#define NNCORE_DENORMALS_H

#include <stdint.h>

#if defined(__SSE2__)
#include <emmintrin.h>

/* Denormal results become 0 (bit 15), denormal operands count as 0 (bit 6). */
enum { NN_DENORMALS_ARE_ZERO = 1 << 15 | 1 << 6 };

static inline uint64_t nn_denormals(void) { return _mm_getcsr(); }
static inline void nn_set_denormals(uint64_t control) { _mm_setcsr((unsigned)control); }

#elif defined(__aarch64__)

enum { NN_DENORMALS_ARE_ZERO = 1 << 24 };

static inline uint64_t nn_denormals(void) {
    uint64_t control;
    __asm__ volatile("mrs %0, fpcr" : "=r"(control));
    return control;
}
static inline void nn_set_denormals(uint64_t control) { __asm__ volatile("msr fpcr, %0" : : "r"(control)); }

#else

enum { NN_DENORMALS_ARE_ZERO = 0 };

static inline uint64_t nn_denormals(void) { return 0; }
static inline void nn_set_denormals(uint64_t control) { (void)control; }

#endif

/* Both return the value that restores the previous state when passed to nn_set_denormals. */
static inline uint64_t nn_flush_denormals(void) {
    const uint64_t before = nn_denormals();
    nn_set_denormals(before | NN_DENORMALS_ARE_ZERO);
    return before;
}

static inline uint64_t nn_keep_denormals(void) {
    const uint64_t before = nn_denormals();
    nn_set_denormals(before & ~(uint64_t)NN_DENORMALS_ARE_ZERO);
    return before;
}

#endif
