/* Queries of OpenMP. */
#ifndef NNCORE_OPENMP_H
#define NNCORE_OPENMP_H

#ifdef _OPENMP
#include <omp.h>
#endif

/* Whether this was compiled with OpenMP. */
static inline int nn_has_openmp(void) {
#ifdef _OPENMP
    return 1;
#else
    return 0;
#endif
}

/* Number of threads it would use now: OMP_NUM_THREADS, OMP_THREAD_LIMIT, omp_set_num_threads; 1 without OpenMP. */
static inline int nn_openmp_threads(void) {
#ifdef _OPENMP
    const int most = omp_get_max_threads(), limit = omp_get_thread_limit();
    return limit < most ? limit : most;
#else
    return 1;
#endif
}

#endif
