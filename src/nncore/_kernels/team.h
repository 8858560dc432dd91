/* The threads of a run: their barrier, and work stealing within a stage.  Included only by the executor.
 *
 * Without OpenMP there is one thread and no barrier.  Outside Linux, waiting threads yield instead of sleeping. */
#ifndef NNCORE_TEAM_H
#define NNCORE_TEAM_H

#include "kernels.h"

#ifdef _OPENMP
#include <sched.h>
#if defined(__linux__)
#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif
#endif

enum { MOST_SHARED = 0xFFFF };    /* maximum number of work items of a stage */

typedef struct {
    int waiting;                 /* threads that have arrived */
    int round;                   /* completed rounds */
    int sleeping;                /* threads that stopped spinning and sleep */
} nn_barrier;

/* A thread's remaining work items of a stage: the stage's number (32 bits), the first item and the end (16 bits each). */
typedef struct {
    uint64_t left;
    char pad[NN_CACHE_LINE - sizeof(uint64_t)];
} nn_share;

#ifdef _OPENMP
enum { SPINS = 2000 };

/* Sleep until *word is no longer `value`, and wake all sleeping threads.  A thread that only spins or yields may stay on the
 * core of the thread it waits for; a thread that is woken up is scheduled on an idle core. */
#if defined(__linux__)
static void sleep_while(int *word, int value) { syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0); }
static void wake_all(int *word) { syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0); }
#else
static void sleep_while(int *word, int value) { (void)word, (void)value, sched_yield(); }
static void wake_all(int *word) { (void)word; }
#endif

#if defined(__linux__)
static int current_core(void) { return sched_getcpu(); }
#else
static int current_core(void) { return -1; }
#endif

/* A thread that wakes up on the core of the calling thread would share it for a while: move it to another core, then restore its
 * affinity. */
static void leave_core(int home) {
#if defined(__linux__)
    cpu_set_t allowed, others;
    if (home < 0 || sched_getcpu() != home || sched_getaffinity(0, sizeof allowed, &allowed)) return;
    others = allowed;
    CPU_CLR(home, &others);
    if (CPU_COUNT(&others) && !sched_setaffinity(0, sizeof others, &others)) sched_setaffinity(0, sizeof allowed, &allowed);
#else
    (void)home;
#endif
}

/* Barrier: spin for about ten microseconds, then sleep. */
static void meet(nn_barrier *barrier, int threads) {
    if (threads == 1) return;
    const int round = __atomic_load_n(&barrier->round, __ATOMIC_RELAXED);
    if (__atomic_add_fetch(&barrier->waiting, 1, __ATOMIC_ACQ_REL) == threads) {
        __atomic_store_n(&barrier->waiting, 0, __ATOMIC_RELAXED);
        __atomic_store_n(&barrier->round, round + 1, __ATOMIC_SEQ_CST);
        if (__atomic_load_n(&barrier->sleeping, __ATOMIC_SEQ_CST)) wake_all(&barrier->round);
        return;
    }
    for (int spins = 0; spins < SPINS; spins++) {
        if (__atomic_load_n(&barrier->round, __ATOMIC_ACQUIRE) != round) return;
#if defined(__x86_64__) || defined(__i386__)
        __builtin_ia32_pause();
#endif
    }
    __atomic_add_fetch(&barrier->sleeping, 1, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(&barrier->round, __ATOMIC_SEQ_CST) == round) sleep_while(&barrier->round, round);
    __atomic_sub_fetch(&barrier->sleeping, 1, __ATOMIC_SEQ_CST);
}
#else
static void leave_core(int home) { (void)home; }
static void meet(nn_barrier *barrier, int threads) { (void)barrier, (void)threads; }
#endif

/* Take a work item from a share that was [first, last) when the stage began: the owner takes the first one, another thread the
 * last one; -1 if none is left. */
static int64_t take_piece(nn_share *share, uint64_t stage, int64_t first, int64_t last, int own) {
    uint64_t seen = __atomic_load_n(&share->left, __ATOMIC_ACQUIRE);
    for (;;) {
        const int begun = seen >> 32 == (stage & 0xFFFFFFFFu);    /* otherwise the share is still that of an earlier stage */
        const uint64_t begin = begun ? seen >> 16 & 0xFFFF : (uint64_t)first, end = begun ? seen & 0xFFFF : (uint64_t)last;
        if (begin >= end) return -1;
        const uint64_t rest = own ? (begin + 1) << 16 | end : begin << 16 | (end - 1);
        if (__atomic_compare_exchange_n(&share->left, &seen, stage << 32 | rest, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
            return (int64_t)(own ? begin : end - 1);
    }
}

#endif
