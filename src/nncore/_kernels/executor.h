/* Runs a program: whole training steps, without Python. */
#ifndef NNCORE_EXECUTOR_H
#define NNCORE_EXECUTOR_H

#include "kernels.h"

enum nn_axis { NN_ROWS, NN_TILES, NN_WHOLE };

enum { NN_MAX_THREADS = 256 };    /* that a run can have */

/* Consecutive ops over the same pieces. */
typedef struct {
    int axis;                    /* enum nn_axis */
    int64_t first_op, last_op;
    int64_t pieces;              /* TILES; ROWS has as many as the batch has blocks */
    const double *cost;          /* TILES: (pieces + 1,) cumulative cost, to share the pieces out; NULL: all alike */
    const int64_t *passing;      /* TILES: (pieces,) 1 where only the ops of the piece need its gradient, but for the last step of
                                  * a run: what a user looks at; 0 elsewhere; NULL: all 0 */
    int checks_loss;             /* records[0] is complete when this stage ends */
} nn_stage;

/* Stages [0, enter) run once before the first step, [enter, leave) in every step, [leave, stages) once after the last. */
typedef struct {
    const nn_op *ops;
    const nn_stage *stages;
    int64_t enter, leave, n_stages;
    int64_t block_rows;          /* rows of a ROWS piece */
    int64_t n_records;           /* per-example columns kept: the loss, then the metrics */
    const double *const *records; /* each (batch capacity,), written by the step */
    int64_t n_partials;          /* parts of a penalty that the step leaves behind; their sum is one more column */
    const double *partials;
    int64_t n_notes;             /* numbers noted of a step, each the sum of parts that the step leaves behind */
    const double *const *notes;
    const int64_t *note_parts;   /* (n_notes,): how many parts */
    int64_t tile_bytes;          /* of the largest passing gradient */
    int64_t commits;             /* the first stage of a step that changes parameters: from here on a step runs to its end */
    int stops;                   /* does a loss that is not finite stop the run? */
} nn_program;

/* Which steps to run and on what. An epoch is `examples` positions of `order`, cut into batches; the last may be smaller. */
typedef struct {
    int64_t first_step, last_step;   /* counted from the start of `order` */
    int64_t examples, batch;
    int64_t merge;                   /* a last batch of at most so many rows joins the one before */
    int64_t origin;                  /* added to where each batch starts */
    const int64_t *order;            /* (epochs, examples) rows of the data; NULL: in sequence */
    const double *coefficients;      /* one row a step, from first_step on; NULL: none */
    int64_t coefficient_stride;
    double scale;                    /* of the losses' gradients; 0: 1 / rows, the mean over the batch */
    int keep_denormals;              /* do not take them for 0 */
    int prepared;                    /* the stages before the first step have nothing to do: θ is as the last run left it */
    uint64_t step_offset;            /* added to the step number to count over the whole training */
    char *tile_gradients;            /* (threads, tile_bytes): for the passing gradients, by whole cache lines */
    double *sums;                    /* (steps, n_records + 1): sums over each batch of each record; the penalty */
    double *op_seconds;              /* (ops,): adds up the time in each op; on one thread only; NULL: no clock is read */
    double *examples_out;            /* (steps of the run x batch positions): per-example losses, or NULL */
    double *notes_out;               /* (steps, n_notes): what was noted of each step, or NULL */
    int (*stop)(void *);             /* asked some times a second, by the calling thread; nonzero: stop. NULL: never asked */
    void *stop_argument;
    int *failure;                    /* why ops stopped the run: bits of enum nn_failure; 0 before */
} nn_run;

/* Runs until last_step or until a step fails, on at most NN_MAX_THREADS threads; returns the number of steps completed. */
int64_t nn_execute(const nn_program *program, const nn_run *run, int threads);

#endif
