# The C core: its types and functions, and the constants that Python shares with it.

cdef extern from "layout.h" nogil:
    enum: NN_CACHE_LINE, NN_MOST_LANES, NN_MOST_PANEL, NN_LAYER_SHIFT, NN_STREAM_SHIFT
    enum: NN_SLOT_ROWS, NN_CHANNELS, NN_MOMENTS, NN_TABLE, NN_TANGENTS, NN_GROUP_STATISTICS, NN_CHUNK_BYTES

cdef extern from "kernels.h" nogil:
    enum: NN_MAX_ARRAYS, NN_MAX_SIZES, NN_MAX_CONSTANTS, NN_TILE_TABLE, NN_TILE_COLUMNS
    enum: NN_NOT_FINITE, NN_BAD_ROW, NN_BAD_LABEL, NN_BAD_COLUMN, NN_BAD_START, NN_ZERO_DIRECTION
    ctypedef struct nn_context:
        int64_t rows, start, position
        int *failed
    ctypedef struct nn_touched:
        pass
    ctypedef struct nn_op
    ctypedef void (*nn_kernel)(const nn_op *, const nn_context *, int64_t, int64_t) noexcept nogil
    ctypedef struct nn_op:
        nn_kernel run
        int64_t first_piece, last_piece
        int of_parts
        void **array
        int64_t *size
        double *constant
        int64_t *stride
        int64_t *length
    ctypedef struct nn_entry:
        const char *name
        nn_kernel *run
        const char *arrays
        const char *sizes
        const char *constants
        int coefficients

cdef extern from "executor.h" nogil:
    enum: NN_ROWS, NN_TILES, NN_WHOLE
    enum: NN_MAX_THREADS
    int64_t NN_ALL_PARTS
    ctypedef struct nn_stage:
        int axis
        int64_t first_op, last_op, pieces
        const double *cost
        const int64_t *passing
        int checks_loss
    ctypedef struct nn_program:
        const nn_op *ops
        const nn_stage *stages
        int64_t enter, leave, n_stages, part_rows, first_part, last_part, block_rows, lanes, n_records
        double *part_sums
        const double **records
        int64_t n_partials
        const double *partials
        int64_t n_notes
        const double **notes
        const int64_t *note_parts
        const nn_touched *touched
        int64_t tile_bytes
        char *state
        char *kept
        int64_t state_bytes
        int64_t commits
        int stops
    ctypedef struct nn_run:
        int64_t first_step, last_step, examples, batch, merge, origin
        const int64_t *order
        const double *coefficients
        int64_t coefficient_stride
        double scale
        int keep_denormals
        int prepared
        uint64_t step_offset
        char *tile_gradients
        double *sums
        double *op_seconds
        double *examples_out
        double *notes_out
        int (*stop)(void *) noexcept nogil
        void *stop_argument
        int *failure
    int64_t nn_execute(const nn_program *, const nn_run *, int)

cdef extern from "openmp.h" nogil:
    int nn_has_openmp()
    int nn_openmp_threads()

cdef extern from "shuffle.h" nogil:
    void nn_shuffled_orders(nn_kernel, int64_t *, int64_t, int64_t, uint64_t, uint64_t)

cdef extern from "math/denormals.h" nogil:
    uint64_t nn_keep_denormals()
    void nn_set_denormals(uint64_t)

cdef extern from "math/cpu.h" nogil:
    int nn_cpu_has_avx2()
    int nn_cpu_has_avx512()
    int nn_cpu_has_avx512bf16()

AXES = {"rows": NN_ROWS, "tiles": NN_TILES, "units": NN_TILES, "serial": NN_WHOLE}
MAX_THREADS = NN_MAX_THREADS  # per run

# Constants documented in layout.h.
CACHE_LINE, MOST_LANES, MOST_PANEL = NN_CACHE_LINE, NN_MOST_LANES, NN_MOST_PANEL
LAYER_SHIFT, STREAM_SHIFT = NN_LAYER_SHIFT, NN_STREAM_SHIFT
SLOT_ROWS, CHANNELS, MOMENTS, TABLE, TANGENTS = NN_SLOT_ROWS, NN_CHANNELS, NN_MOMENTS, NN_TABLE, NN_TANGENTS
GROUP_STATISTICS, CHUNK_BYTES = NN_GROUP_STATISTICS, NN_CHUNK_BYTES


def has_openmp():
    return bool(nn_has_openmp())


def openmp_threads():
    """Number of threads that OpenMP would use in the calling thread; 1 without OpenMP."""
    return nn_openmp_threads()


def cpu_supports():
    """The instruction sets of this processor, the best last."""
    supported = nn_cpu_has_avx2(), nn_cpu_has_avx512(), nn_cpu_has_avx512bf16()
    return ("baseline", *(isa for isa, has in zip(("avx2", "avx512", "avx512bf16"), supported) if has))
