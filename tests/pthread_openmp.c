/* The entry points of OpenMP that nncore calls, on POSIX threads: for ThreadSanitizer, which knows the order of these.
 *
 * libgomp is not compiled with it: it starts and ends a parallel region by futexes, which the sanitizer does not see, so that all that
 * is handed from the calling thread to the others and back would be reported as a race.  Here every region has threads of its own. */
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

enum { MOST_THREADS = 256 };

typedef struct {
    void (*body)(void *);
    void *argument;
    int count, singles;          /* threads; `single` blocks that a thread has entered */
    pthread_barrier_t barrier;
} region;

typedef struct {
    region *region;              /* NULL: outside of a parallel region */
    int number, singles;         /* of the thread; `single` blocks that it has come to */
} member;

static _Thread_local member me;

static void *run(void *argument) {
    me = *(const member *)argument;
    me.region->body(me.region->argument);
    return NULL;
}

void GOMP_parallel(void (*body)(void *), void *argument, unsigned count, unsigned flags) {
    (void)flags;
    region all = {.body = body, .argument = argument, .count = (int)count};
    const member outer = me;
    member members[MOST_THREADS];
    pthread_t threads[MOST_THREADS];
    if (count < 1 || count > MOST_THREADS || pthread_barrier_init(&all.barrier, NULL, count)) abort();
    for (int t = 0; t < all.count; t++) members[t] = (member){.region = &all, .number = t};
    for (int t = 1; t < all.count; t++)
        if (pthread_create(threads + t, NULL, run, members + t)) abort();
    run(members);
    for (int t = 1; t < all.count; t++) pthread_join(threads[t], NULL);
    pthread_barrier_destroy(&all.barrier);
    me = outer;
}

void GOMP_barrier(void) { pthread_barrier_wait(&me.region->barrier); }

/* Whether this thread is the first one to come to a `single` block. */
_Bool GOMP_single_start(void) {
    int entered = me.singles++;
    return __atomic_compare_exchange_n(&me.region->singles, &entered, entered + 1, 0, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
}

int omp_get_thread_num(void) { return me.number; }
int omp_get_num_threads(void) { return me.region ? me.region->count : 1; }
int omp_get_max_threads(void) { return (int)sysconf(_SC_NPROCESSORS_ONLN); }
int omp_get_thread_limit(void) { return MOST_THREADS; }
