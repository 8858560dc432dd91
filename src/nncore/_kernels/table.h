/* One instruction set: every kernel in float and in double, and their table.  Nothing here knows of Python.
 * The includer defines NN_VECTOR_BYTES and the micro-kernel's shape MR x NV (gemm.h). */
#include <float.h>
#include <math.h>
#include <string.h>
#if NN_VECTOR_BYTES > 16
#include <immintrin.h>
#elif defined(__SSE2__)
#include <emmintrin.h>
#endif
#include "kernels.h"
#include "math/philox.h"
#include "ops/tiles.h"

#define NN_INLINE static inline __attribute__((always_inline, unused))
#define NN_UNROLL _Pragma("GCC unroll 16")
#define NN_PREFETCH(address) __builtin_prefetch(address)
#define NN_PREFETCH_FAR(address) __builtin_prefetch(address, 0, 2)    /* not into the first-level cache */
#define NN_PREFETCH_TO_WRITE(address) __builtin_prefetch(address, 1, 2)
#if NN_VECTOR_BYTES > 16 || defined(__SSE2__)
#define NN_FENCE() _mm_sfence()
#else
#define NN_FENCE() (void)0
#endif
#define NN_AHEAD 64
#define NN_NEAR 16
#define NV 2
#pragma GCC diagnostic ignored "-Wunused-function"
#ifdef __clang__
#pragma GCC diagnostic ignored "-Wpass-failed"    /* a loop that cannot be vectorized although it may be */
#else
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"    /* arrays that the micro-kernel fills through a pointer */
#endif

#include "math/random.h"

#define real float
#define integer int32_t
#define REAL(c) c##f
#define REAL_IS_FLOAT 1
#define NAME(f) f##_f32
#include "instance.h"
#undef real
#undef integer
#undef REAL
#undef REAL_IS_FLOAT
#undef NAME

#define real double
#define integer int64_t
#define REAL(c) c
#define REAL_IS_FLOAT 0
#define NAME(f) f##_f64
#include "instance.h"

#include "op_table.h"
