/* What every kernel, the executor and the Cython boundary share.
 *
 * A program is a list of ops.  An op is a kernel bound to the arrays it works on.  A stage is a run of ops over the same
 * pieces of work (row blocks of the batch, tiles of the parameters, or the one whole): each piece goes through all ops of
 * the stage on one thread; a barrier ends the stage.  Piece boundaries depend on sizes only, never on the thread count. */
#ifndef NNCORE_KERNELS_H
#define NNCORE_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#include "layout.h"

#if !defined(__GNUC__) || defined(_WIN32)
#error "nncore needs a compiler with GNU C's vectors and atomics, and POSIX"
#endif

enum { NN_MAX_ARRAYS = 16, NN_MAX_SIZES = 8, NN_MAX_CONSTANTS = 6 };
enum { NN_TILE_TABLE = NN_MAX_ARRAYS - 1 };    /* which array has the tiles of an op of the update (tiles.h) */

/* Why a run stopped, one bit each; 0: it did not. */
enum nn_failure {
    NN_NOT_FINITE = 1,           /* a parameter or its state would not be finite */
    NN_BAD_ROW = 2,              /* an example that the data do not have */
    NN_BAD_LABEL = 4,            /* a label outside [0, classes) */
    NN_BAD_COLUMN = 8,           /* a column index of a sparse matrix outside [0, width) */
    NN_BAD_START = 16,           /* row pointers of a sparse matrix that decrease or lie outside its values */
    NN_ZERO_DIRECTION = 32,      /* a direction of length 0 */
    NN_STOPPED = 64              /* the caller wanted it */
};

typedef struct nn_op nn_op;

/* What changes from step to step. */
typedef struct {
    int64_t rows;                /* rows of this step's batch */
    const int64_t *index;        /* (rows,) which rows of the data are in it; NULL: the rows start, start + 1, ... */
    int64_t start;               /* where the batch starts in the epoch */
    int64_t position;            /* where it starts in this run's sequence of examples */
    double scale;                /* of the losses' gradients: 1 / rows for the mean over the batch */
    const double *coefficients;  /* this step's row of the optimizer's coefficient table */
    uint64_t step;               /* global step number: the counter of the random numbers */
    int *failed;                 /* an op sets a bit of enum nn_failure to stop the run; each thread has its own */
    void *tile_gradient;         /* TILES: the gradient of this tile alone, without gaps between its rows; NULL: it belongs into
                                  * the array of all gradients */
} nn_context;

/* Work on rows [begin, end) of the batch (ROWS), or on tiles [begin, end) of the op (TILES). */
typedef void (*nn_kernel)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end);

struct nn_op {
    nn_kernel run;
    int64_t first_piece, last_piece;      /* TILES: which pieces of the stage are this op's; ROWS: all */
    void *array[NN_MAX_ARRAYS];
    int64_t size[NN_MAX_SIZES];
    double constant[NN_MAX_CONSTANTS];
    int64_t stride[NN_MAX_ARRAYS];        /* bytes from one row of an array to the next */
    int64_t length[NN_MAX_ARRAYS];        /* rows of an array */
};

/* One line of the table of ops, op_table.h, which explains its strings. */
typedef struct {
    const char *name;
    nn_kernel run[2];                     /* for float, for double */
    const char *arrays, *sizes, *constants;
} nn_entry;

#endif
