/* Features of this processor. */
#ifndef NNCORE_CPU_H
#define NNCORE_CPU_H

static inline int nn_cpu_has_avx2(void) {
#if defined(__x86_64__) || defined(__i386__)
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#else
    return 0;
#endif
}

static inline int nn_cpu_has_avx512(void) {
#if defined(__x86_64__) || defined(__i386__)
    return nn_cpu_has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
#else
    return 0;
#endif
}

static inline int nn_cpu_has_avx512bf16(void) {
#if defined(__x86_64__) || defined(__i386__)
    return nn_cpu_has_avx512() && __builtin_cpu_supports("avx512bf16");
#else
    return 0;
#endif
}

#endif
