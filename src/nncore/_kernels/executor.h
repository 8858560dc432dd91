/* Runs a program: whole training steps, without Python. */
#ifndef NNCORE_EXECUTOR_H
#define NNCORE_EXECUTOR_H

#include "kernels.h"

enum nn_axis { NN_ROWS, NN_TILES, NN_WHOLE };

enum { NN_MAX_THREADS = 256 };    /* per run */
#define NN_ALL_PARTS INT64_MAX    /* `last_part` where one process computes all parts */

/* Consecutive ops over the same work items ("pieces"). */
typedef struct {
    int axis;                    /* enum nn_axis */
    int64_t first_op, last_op;
    int64_t pieces;              /* TILES: number of work items; ROWS has one per block of the batch */
    const double *cost;          /* TILES: (pieces + 1,) cumulative cost, for load balancing; NULL: equal costs */
    const int64_t *passing;      /* TILES: (pieces,) 1 if only ops of the same tile read its gradient (tile-local), except in the last step of
                                  * a run, whose gradients the user may read; else 0; NULL: all 0 */
    int checks_loss;             /* records[0] is complete when this stage ends */
} nn_stage;

/* Stages [0, enter) run once before the first step, [enter, leave) in every step, [leave, stages) once after the last. */
typedef struct {
    const nn_op *ops;
    const nn_stage *stages;
    int64_t enter, leave, n_stages;
    int64_t part_rows;           /* rows of the batch that are computed together, whose gradients are then added up; 0: all */
    int64_t first_part, last_part; /* the parts that are computed here, where several processes share a batch */
    double *part_sums;           /* (parts computed here, n_records): sums of the records over each part, instead of over the batch; or NULL */
    int64_t block_rows;          /* rows of a ROWS work item */
    int64_t lanes;               /* networks that it runs at once, side by side in each row of a batch (lanes.h); on one thread */
    int64_t n_records;           /* per-example columns: the loss, then the metrics */
    const double *const *records; /* each (batch capacity,), written by the step; of lanes: (lanes,), the sums over the batch */
    int64_t n_partials;          /* partial sums of the penalty of a step; their sum is one more column */
    const double *partials;
    int64_t n_notes;             /* per-step statistics, each the sum of parts that the ops store */
    const double *const *notes;
    const int64_t *note_parts;   /* (n_notes,): number of parts */
    const nn_touched *touched;   /* lists of rows that the ops write, for the contexts; or NULL */
    int64_t tile_bytes;          /* of the largest tile-local gradient */
    char *state, *kept;          /* arrays that steps change before they are completed, and room for a copy of them */
    int64_t state_bytes;
    int64_t commits;             /* the first stage of a step that changes parameters: from here on a step is completed */
    int stops;                   /* whether a loss that is not finite stops the run */
} nn_program;

/* Which steps to run, and on what data. An epoch is `examples` positions of `order`, divided into batches; the last may be smaller. */
typedef struct {
    int64_t first_step, last_step;   /* counted from the start of `order` */
    int64_t examples, batch;
    int64_t merge;                   /* a last batch of at most this many rows is merged with the previous one */
    int64_t origin;                  /* added to the start of each batch */
    const int64_t *order;            /* (epochs, examples) rows of the data; NULL: in sequence. Of lanes the orders of each */
    int64_t order_stride;            /* of lanes: from the order of one to the next one's */
    int64_t *batch_order;            /* of lanes: room for the rows of a batch, (rows, lanes) */
    const double *coefficients;      /* one row per step, from first_step on; NULL: none */
    int64_t coefficient_stride;
    double scale;                    /* of the losses' gradients; 0: 1 / rows, the mean over the batch */
    int keep_denormals;              /* do not flush them to 0 */
    int prepared;                    /* skip the stages before the first step: θ has not changed since the last run */
    uint64_t step_offset;            /* added to the step number to count over the whole training */
    char *tile_gradients;            /* (threads, tile_bytes): for tile-local gradients, aligned to cache lines */
    double *sums;                    /* (steps, n_records * lanes + 1): of each batch, each record by network; the penalty */
    double *op_seconds;              /* (ops,): accumulated time of each op; on one thread only; NULL: no clock is read */
    double *examples_out;            /* (steps of the run x batch positions): per-example losses, or NULL */
    double *notes_out;               /* (steps, n_notes): the statistics of each step, or NULL */
    int (*stop)(void *);             /* called some times per second by the calling thread; nonzero: stop. NULL: never called */
    void *stop_argument;
    int *failure;                    /* why ops stopped the run: bits of enum nn_failure; 0 before */
} nn_run;

/* Runs until last_step or until a step fails, on at most NN_MAX_THREADS threads; returns the number of steps completed. */
int64_t nn_execute(const nn_program *program, const nn_run *run, int threads);

#endif
