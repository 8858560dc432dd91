/* What OpenMP says. */
#ifndef NNCORE_OPENMP_H
#define NNCORE_OPENMP_H

#ifdef _OPENMP
#include <omp.h>
#endif

/* Was it there when this was compiled? */
static inline int nn_has_openmp(void) {
#ifdef _OPENMP
    return 1;
#else
    return 0;
#endif
}

/* How many threads it would use now: OMP_NUM_THREADS, OMP_THREAD_LIMIT, omp_set_num_threads; 1 without it. */
static inline int nn_openmp_threads(void) {
#ifdef _OPENMP
    const int most = omp_get_max_threads(), limit = omp_get_thread_limit();
    return limit < most ? limit : most;
#else
    return 1;
#endif
}

#endif
