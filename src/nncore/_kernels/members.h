/* Trains many members of an ensemble: each as a whole on one thread, without barriers, with the bits that it has alone. */
#ifndef NNCORE_MEMBERS_H
#define NNCORE_MEMBERS_H

#include "executor.h"

/* A recorded program of a group of members of the same architecture, which runs one of them at a time.  There are as many of a group as
 * threads may train its members at the same time. */
typedef struct {
    const nn_program *program;
    const nn_program *rest;      /* catches up weights of sparse data at the end of a turn (lazy.h); or NULL */
    int64_t *whole;              /* set to 1 for `rest` */
    char **arrays;               /* (n_kept,) θ, state and the optimizer's arrays, which the program's ops work on */
    void ***places;              /* (n_bound,) where the ops have the addresses of the arrays that are each member's own */
    int64_t **seeds;             /* (n_seeds,) where the ops have the seeds of their random numbers */
    int64_t *order;              /* room for the order of the examples of a turn, of each lane */
    int64_t *batch_order;        /* as in nn_run */
    char *tile_gradients;        /* as in nn_run */
    const nn_program *lanes;     /* the same for as many members as a vector has lanes; or NULL */
    char **lane_arrays;          /* (n_kept,) its arrays, of all lanes: (n, lanes) */
    double *lane_sums;           /* room for the sums of a turn */
    double *lane_coefficients;   /* room for the coefficients of a turn, those of all lanes side by side: (steps, columns, lanes) */
    int busy;                    /* whether a thread runs it */
} nn_slot;

typedef struct {
    nn_slot *slots;
    int64_t n_slots, n_kept, n_bound, n_seeds;
    const int64_t *bytes;        /* (n_kept,) of each array */
    int64_t number_bytes;        /* of a real */
} nn_group;

/* A member's part in a run.  Its epochs are run in turns of several; after each turn its arrays are those of whole epochs. */
typedef struct {
    int64_t group;
    nn_run run;                  /* for all epochs; without `order`: `chosen`, in a new order in every epoch if `shuffled` */
    char **kept;                 /* (n_kept,) its numbers, copied into the arrays of a program before and back after each turn */
    void **bound;                /* (n_bound,) its arrays that the ops use in place */
    int stores;                  /* whether they are copied back */
    int shuffled;
    const int64_t *chosen;       /* (run.examples,) its rows of the data; NULL: all */
    uint64_t seed, order_seed;   /* of random layers, of the order */
    uint64_t first_epoch;        /* epochs before this run */
    int64_t epochs, turn;        /* epochs of this run, of a turn */
    int64_t steps;               /* out: steps completed, of whole turns, or of the turn in which a step failed */
    int failure;                 /* out: as in nn_run */
    int failed;                  /* out: whether the step after them failed */
} nn_member;

/* What a thread takes: a member, or several at once that run in lanes. */
typedef struct {
    int64_t first, count;
} nn_unit;

typedef struct {
    nn_group *groups;
    nn_member *members;
    const nn_unit *units;
    int64_t n_units;
    nn_kernel random_words;      /* of draw.h, for the orders */
    int (*stop)(void *);         /* called some times per second by the calling thread; nonzero: turns under way are given up */
    void *stop_argument;
    int64_t next;                /* the first unit that no thread has taken */
    int64_t running;             /* threads at work */
    int stopped;
    double asked;
} nn_members;

/* The first unit that no thread has taken, also during the run. */
static inline int64_t nn_next_unit(const nn_members *members) { return __atomic_load_n(&members->next, __ATOMIC_RELAXED); }

/* Runs all members on at most this many threads; the members say how far they came. */
void nn_execute_members(nn_members *members, int threads);

#endif
