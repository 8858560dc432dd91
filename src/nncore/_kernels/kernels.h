/* Shared declarations of kernels, executor and Cython boundary.
 *
 * A program is a list of ops.  An op is a kernel bound to its arrays.  A stage is a sequence of ops over the same
 * work items (row blocks of the batch, tiles of the parameters, or a single serial one): each work item goes through all ops of
 * the stage on one thread; a barrier ends the stage.  The boundaries of work items depend on sizes only, never on the thread count. */
#ifndef NNCORE_KERNELS_H
#define NNCORE_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#include "layout.h"

#if !defined(__GNUC__)
#error "nncore needs a compiler with GNU C's vectors and atomics: GCC or Clang, on Windows that of mingw-w64"
#endif

enum { NN_MAX_ARRAYS = 16, NN_MAX_SIZES = 8, NN_MAX_CONSTANTS = 6 };
enum { NN_TILE_TABLE = NN_MAX_ARRAYS - 1 };    /* the array that holds the tiles of an update op (tiles.h) */
enum { NN_TILE_COLUMNS = 5 };

/* Reasons why a run stopped, one bit each; 0: it did not stop. */
enum nn_failure {
    NN_NOT_FINITE = 1,           /* a parameter or its state would not be finite */
    NN_BAD_ROW = 2,              /* an example index outside the data */
    NN_BAD_LABEL = 4,            /* a label outside [0, classes) */
    NN_BAD_COLUMN = 8,           /* a column index of a sparse matrix outside [0, width) */
    NN_BAD_START = 16,           /* row pointers of a sparse matrix that decrease or lie outside its values */
    NN_ZERO_DIRECTION = 32,      /* a direction of length 0 */
    NN_STOPPED = 64              /* requested by the caller */
};

typedef struct nn_op nn_op;

/* The rows of a matrix of parameters that have a gradient in a step. */
typedef struct {
    int64_t count;
    const int32_t *rows;
} nn_touched;

/* The data of one step. */
typedef struct {
    int64_t rows;                /* rows of this step's batch; of a part of it, if it is computed in parts */
    int64_t first_row;           /* of the part in the batch */
    int partial;                 /* 1: parts follow; 0: none; -1: this process has no part of the batch, only the update */
    int ends_epoch;              /* whether the batch is the last of an epoch */
    const int64_t *index;        /* (rows,) the rows of the data in the batch; NULL: the rows start, start + 1, ... */
    int64_t start;               /* start of the batch in the epoch */
    int64_t position;            /* start of the batch in this run's sequence of examples */
    double scale;                /* of the losses' gradients: 1 / rows for the mean over the batch */
    const double *coefficients;  /* this step's row of the optimizer's coefficient table */
    uint64_t step;               /* global step number: the counter of the random numbers */
    const nn_touched *touched;   /* lists of the rows that have a gradient; NULL where no data are sparse */
    int *failed;                 /* an op sets a bit of enum nn_failure to stop the run; one per thread */
    void *tile_gradient;         /* TILES: the tile-local gradient of this tile, without gaps between its rows; NULL: write to
                                  * the full gradient array */
} nn_context;

/* Work on rows [begin, end) of the batch (ROWS), or on tiles [begin, end) of the op (TILES). */
typedef void (*nn_kernel)(const nn_op *op, const nn_context *context, int64_t begin, int64_t end);

struct nn_op {
    nn_kernel run;
    int64_t first_piece, last_piece;      /* TILES: the work items of the stage that this op processes; ROWS: all */
    int of_parts;                         /* TILES and WHOLE: whether it runs for each part of the batch, not only after the last */
    void *array[NN_MAX_ARRAYS];
    int64_t size[NN_MAX_SIZES];
    double constant[NN_MAX_CONSTANTS];
    int64_t stride[NN_MAX_ARRAYS];        /* bytes from one row of an array to the next */
    int64_t length[NN_MAX_ARRAYS];        /* rows of an array */
};

/* One entry of the op table; op_table.h explains its strings. */
typedef struct {
    const char *name;
    nn_kernel run[2];                     /* for float, for double */
    const char *arrays, *sizes, *constants;
    int coefficients;            /* how many of a step's row an update op reads, from its first on */
} nn_entry;

#endif
