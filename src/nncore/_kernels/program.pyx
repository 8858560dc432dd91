# cython: language_level=3, boundscheck=False, wraparound=False, freethreading_compatible=True
"""The boundary to C: binds ops by name to NumPy arrays and runs programs without the GIL.

Bindings are checked against the declarations of op_table.h: names, counts, required arrays, and that an array is aligned, and
writeable unless the op only reads it. The caller checks shapes and dtypes.
"""

import os
import sys
import traceback
from _thread import RLock, get_ident

import numpy as np

cimport cython
from cpython.buffer cimport PyBUF_RECORDS, PyBUF_RECORDS_RO, PyBUF_STRIDED, PyBUF_STRIDED_RO, Py_buffer, PyBuffer_Release, PyObject_GetBuffer
from cpython.exc cimport PyErr_CheckSignals
from cpython.pycapsule cimport PyCapsule_GetPointer
from cpython.pythread cimport PyThread_get_thread_ident
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset
from posix.unistd cimport getpid

cdef extern from "layout.h" nogil:
    enum: NN_CACHE_LINE, NN_MOST_LANES, NN_MOST_PANEL, NN_LAYER_SHIFT, NN_STREAM_SHIFT
    enum: NN_SLOT_ROWS, NN_CHANNELS, NN_MOMENTS, NN_TABLE, NN_TANGENTS, NN_GROUP_STATISTICS

cdef extern from "kernels.h" nogil:
    enum: NN_MAX_ARRAYS, NN_MAX_SIZES, NN_MAX_CONSTANTS, NN_TILE_TABLE
    enum: NN_NOT_FINITE, NN_BAD_ROW, NN_BAD_LABEL, NN_BAD_COLUMN, NN_BAD_START, NN_ZERO_DIRECTION
    ctypedef struct nn_context:
        int64_t rows, start, position
        int *failed
    ctypedef struct nn_op
    ctypedef void (*nn_kernel)(const nn_op *, const nn_context *, int64_t, int64_t) noexcept nogil
    ctypedef struct nn_op:
        nn_kernel run
        int64_t first_piece, last_piece
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

cdef extern from "executor.h" nogil:
    enum: NN_ROWS, NN_TILES, NN_WHOLE
    enum: NN_MAX_THREADS
    ctypedef struct nn_stage:
        int axis
        int64_t first_op, last_op, pieces
        const double *cost
        const int64_t *passing
        int checks_loss
    ctypedef struct nn_program:
        const nn_op *ops
        const nn_stage *stages
        int64_t enter, leave, n_stages, block_rows, n_records
        const double **records
        int64_t n_partials
        const double *partials
        int64_t n_notes
        const double **notes
        const int64_t *note_parts
        int64_t tile_bytes
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
    void nn_shuffled_orders(int64_t *, int64_t, int64_t, uint64_t, uint64_t)

cdef extern from "math/denormals.h" nogil:
    uint64_t nn_keep_denormals()
    void nn_set_denormals(uint64_t)

cdef extern from "math/cpu.h" nogil:
    int nn_cpu_has_avx2()
    int nn_cpu_has_avx512()

AXES = {"rows": NN_ROWS, "tiles": NN_TILES, "serial": NN_WHOLE}
MAX_THREADS = NN_MAX_THREADS  # per run

# Constants documented in layout.h.
CACHE_LINE, MOST_LANES, MOST_PANEL = NN_CACHE_LINE, NN_MOST_LANES, NN_MOST_PANEL
LAYER_SHIFT, STREAM_SHIFT = NN_LAYER_SHIFT, NN_STREAM_SHIFT
SLOT_ROWS, CHANNELS, MOMENTS, TABLE, TANGENTS = NN_SLOT_ROWS, NN_CHANNELS, NN_MOMENTS, NN_TABLE, NN_TANGENTS
GROUP_STATISTICS = NN_GROUP_STATISTICS

# Errors that ops find in their data. The data were valid before the run; the user has modified them since.
FAULTS = {
    NN_BAD_ROW: "the order of the examples must hold row indices of the data, got one out of range",
    NN_BAD_LABEL: "y must be labels of the network's outputs, got one out of range: it was changed while it was in use",
    NN_BAD_COLUMN: "X must be a valid sparse matrix, got a column beyond its width: its indices were changed while it was in use",
    NN_BAD_START: "X must be a valid sparse matrix, got a row outside its numbers: its indptr was changed while it was in use",
    NN_ZERO_DIRECTION: "weight normalization needs directions of nonzero length, got a unit whose direction is all zeros",
}


def has_openmp():
    return bool(nn_has_openmp())


def openmp_threads():
    """Number of threads that OpenMP would use in the calling thread; 1 without OpenMP."""
    return nn_openmp_threads()


def cpu_supports():
    """The instruction sets of this processor, the best last."""
    return ("baseline",) + ("avx2",) * bool(nn_cpu_has_avx2()) + ("avx512",) * bool(nn_cpu_has_avx512())


cdef tuple words(const char *text):
    """The names in a declaration, without their marks."""
    return tuple([word.rstrip("=?") for word in text.decode().split()])


cdef class Declaration:
    """The declaration of an op in op_table.h: the names of its arrays, sizes and constants, in order.

    ``written`` and ``optional`` have one bool per array: whether the op writes to it, whether it may be None. Sizes beyond the
    first ``least_sizes`` may be omitted.
    """

    cdef const nn_entry *entry
    cdef readonly str name
    cdef readonly tuple arrays, written, optional, sizes, constants
    cdef readonly int least_sizes
    cdef int n_arrays
    cdef unsigned writes, needs    # bit k: array k is written, is required
    cdef int places[NN_MAX_ARRAYS]    # index of each array in nn_op

    cdef int read(self, const nn_entry *entry) except -1:
        cdef list arrays = entry.arrays.decode().split()
        self.entry, self.name = entry, entry.name.decode()
        self.arrays, self.sizes, self.constants = words(entry.arrays), words(entry.sizes), words(entry.constants)
        self.written = tuple(["=" in word for word in arrays])
        self.optional = tuple(["?" in word for word in arrays])
        self.least_sizes = sum(["?" not in word for word in entry.sizes.decode().split()])
        if len(arrays) > NN_MAX_ARRAYS or len(self.sizes) > NN_MAX_SIZES or len(self.constants) > NN_MAX_CONSTANTS:
            raise ValueError(f"op {self.name}: too many arrays, sizes or constants are declared")
        self.n_arrays, self.writes, self.needs = len(arrays), 0, 0
        for i, name in enumerate(self.arrays):
            self.places[i] = NN_TILE_TABLE if name == "tile_table" else i
            self.writes |= <unsigned>self.written[i] << <int>i
            self.needs |= <unsigned>(not self.optional[i]) << <int>i
        return 0

    cdef int check_counts(self, arrays, sizes, constants) except -1:
        """Raise unless the numbers of arrays, sizes and constants are as declared."""
        for kind, names, least, given in (("arrays", self.arrays, len(self.arrays), arrays), ("sizes", self.sizes, self.least_sizes, sizes),
                                          ("constants", self.constants, len(self.constants), constants)):
            if not least <= len(given) <= len(names):
                count = len(names) if least == len(names) else f"{least} to {len(names)}"
                raise ValueError(f"op {self.name} must have {count} {kind} ({', '.join(names)}), got {len(given)}")
        return 0

    cdef int bind(self, nn_op *op, int slot, array) except -1:
        """Bind an array to the op."""
        cdef int place = self.places[slot]
        try:
            op.array[place] = address(array, &op.stride[place], &op.length[place], self.writes >> slot & 1)
        except ValueError as error:
            raise ValueError(f"op {self.name}: array {self.arrays[slot]}: {error}") from None
        return 0

    cdef bint lacks(self, const nn_op *op, int slot) noexcept:
        """Whether a required array is missing."""
        return op.array[self.places[slot]] == NULL and self.needs >> slot & 1


cdef class OpTable:
    """The kernels of one instruction set, by name."""

    cdef dict index

    def __init__(self, capsule):
        cdef const nn_entry *entry = <const nn_entry *>PyCapsule_GetPointer(capsule, "nncore.op_table")
        cdef Declaration declaration
        self.index = {}
        while entry.name != NULL:
            declaration = Declaration.__new__(Declaration)
            declaration.read(entry)
            self.index[declaration.name] = declaration
            entry += 1

    @property
    def names(self):
        return tuple(self.index)

    def declaration(self, str name) -> Declaration:
        """The declaration of an op."""
        if name not in self.index:
            raise ValueError(f"unknown op {name!r}")
        return self.index[name]


cdef void call_python(const nn_op *op, const nn_context *context, int64_t begin, int64_t end) noexcept with gil:
    """A whole-batch op written in Python: array[0] is a callable of the number of rows."""
    call = <object>op.array[0]
    cdef uint64_t denormals = nn_keep_denormals()
    cdef int process = getpid()
    try:
        call.function(context.rows)
    except BaseException as error:  # stored, and raised again by the thread that runs the program
        call.error = error
        context.failed[0] = 1
    if call.threads > 1 and getpid() != process:
        leave_child(call.error)
    nn_set_denormals(denormals)


def leave_child(error):
    """End a child that was forked within a program: it would wait for the other threads of the run, which do not exist there."""
    try:
        if error is not None:
            traceback.print_exception(error)
        print(
            "nncore: a child that was forked by Python code within a program, such as a layer or a loss, cannot go on with it on "
            "one of several threads: end it with os._exit() or exec, fork outside of programs, or call nncore.set_num_threads(1)",
            file=sys.stderr, flush=True,
        )
    finally:
        os._exit(1)


class PythonOp:
    """A Python function of the number of rows as an op of a program; stores the exception it raised."""

    def __init__(self, function):
        self.function, self.error, self.threads = function, None, 1


class _Stop:
    """Whether a run is to stop: for a signal whose handler raises (kept in ``error``), or because ``wanted()`` says so."""

    def __init__(self, wanted):
        self.wanted, self.error = wanted, None

    def __call__(self):
        try:
            PyErr_CheckSignals()
            return self.wanted is not None and self.wanted()
        except BaseException as error:    # raised again by the thread that runs the program
            self.error = error
            return True


cdef int call_stop(void *stop) noexcept with gil:
    return (<object>stop)()


cdef void *address(array, int64_t *stride=NULL, int64_t *length=NULL, bint writes=True) except *:
    """The address of an array's data, its row stride and its number of rows; NULL for None.

    The array must be aligned, and writeable if it is written to: a buffer that is neither would end in undefined behavior, a
    segmentation fault or changed constants.
    """
    cdef Py_buffer view
    if array is None:
        return NULL
    if writes:
        try:
            PyObject_GetBuffer(array, &view, PyBUF_STRIDED)
        except (ValueError, BufferError) as error:
            raise ValueError(f"an array that is written to must be writeable: {error}") from None
    else:
        PyObject_GetBuffer(array, &view, PyBUF_STRIDED_RO)
    cdef void *data = view.buf
    cdef int64_t unit = min(view.itemsize, 8)
    cdef bint aligned = unit < 2 or <uint64_t>data % unit == 0
    if view.ndim > 0:
        aligned = aligned and (view.shape[0] < 2 or unit < 2 or view.strides[0] % unit == 0)
        if stride != NULL:
            stride[0] = view.strides[0]
        if length != NULL:
            length[0] = view.shape[0]
    PyBuffer_Release(&view)    # the caller that binds the array keeps it alive
    if not aligned:
        raise ValueError("an array must be aligned, got one whose elements are not")
    return data


cdef class Exclusive:
    """Prevents nested runs: a run cannot begin in Python code that another run calls on the same thread.

    It is set and cleared next to the run, where no Python signal handler can interrupt; a forked child of another thread
    finds it free.
    """

    cdef unsigned long thread
    cdef int process
    cdef str message

    def __cinit__(self, str message):
        self.message = message

    def __reduce__(self):
        return Exclusive, (self.message,)

    cdef int check(self) except -1:
        if self.thread == PyThread_get_thread_ident() and self.process == getpid():
            raise RuntimeError(self.message)
        return 0


waiting = {}    # the lock that a thread waits for, by the thread's number
LOOK = 0.25    # seconds after which a waiting thread checks for a deadlock


class WatchedLock(RLock):
    """A reentrant lock; in a deadlock, one of the threads gets an error.

    It is compiled, so that no Python signal handler runs between acquiring the lock and entering the block that releases it.
    """

    holder = 0

    def __enter__(self):
        if not self.acquire(False):
            self.wait()
        self.holder = get_ident()
        return True

    def wait(self):
        """Acquire the lock, waiting without limit. A cycle counts as a deadlock if it is seen twice: a holder is registered a
        moment after it has acquired a lock."""
        me, circles = get_ident(), 0
        waiting[me] = self
        try:
            while not self.acquire(True, LOOK):
                circles = circles + 1 if self.closes_circle(me) else 0
                if circles == 2:
                    raise RuntimeError(
                        "two threads wait for each other: Python code within a program of one model, such as a layer or a loss, "
                        "must not copy, save, train or differentiate another model that does the same with the first"
                    )
        finally:
            waiting.pop(me, None)

    def closes_circle(self, me):
        """Whether the holder waits for a lock whose holder waits, and so on, for one that this thread holds."""
        lock, seen = self, set()
        while lock is not None and lock.holder not in seen:
            if lock.holder == me:
                return True
            seen.add(lock.holder)
            lock = waiting.get(lock.holder)
        return False


WITHIN_ITSELF = "Python code within a program, such as a loss or a layer, must not run the same program again"


cdef class Program:
    """Stages of ops, bound and ready to run.

    stages: list of (axis, number of work items, costs or None, checks_loss, ops); an op is (name, arrays, sizes, constants, first
    work item, last work item), as declared in op_table.h. An array may be None if each run binds it. Stages [0, enter) run once
    before the first step of a run, [leave, end) once after the last.
    commits: the first stage that changes parameters, from which on a step is completed; default: no stage does.
    passing: (work items,) int64 by index of the stage: the size of a tile's gradient if it is tile-local, that is read only by
    ops of the same tile, else 0. A tile-local gradient is written to the full gradient array in the last step of a run.
    stops: whether a loss that is not finite stops the run.
    exclusive: shared with other programs that cannot run within this one.
    """

    cdef nn_program program
    cdef nn_op *ops
    cdef nn_stage *stages
    cdef const double **records
    cdef const double **notes
    cdef list keep
    cdef list declarations    # one per op; None for an op in Python
    cdef int64_t missing    # number of arrays that a run must bind
    cdef object tile_gradients
    cdef Exclusive alone, exclusive
    cdef readonly list op_names, python_ops
    cdef readonly int64_t steps_done, runs

    def __cinit__(self, OpTable table, dtype, list stages, *, int64_t enter=0, leave=None, commits=None, int64_t block_rows=64,
                  records=(), partials=None, notes=(), passing=None, bint stops=False, exclusive=None):
        self.alone = Exclusive(WITHIN_ITSELF)
        self.exclusive = self.alone if exclusive is None else exclusive
        cdef int64_t n_ops = sum([len(stage[4]) for stage in stages]), s, o = 0, i
        cdef bint is_double = np.dtype(dtype) == np.float64
        cdef nn_op *op
        cdef Declaration declaration
        self.declarations, self.missing = [], 0
        self.ops = <nn_op *>calloc(max(n_ops, 1), sizeof(nn_op))
        self.stages = <nn_stage *>calloc(max(len(stages), 1), sizeof(nn_stage))
        self.records = <const double **>calloc(max(len(records), 1), sizeof(void *))
        self.notes = <const double **>calloc(max(len(notes), 1), sizeof(void *))
        if not (self.ops and self.stages and self.records and self.notes):
            raise MemoryError
        note_parts = np.array([len(note) for note in notes], dtype=np.int64)
        self.keep, self.python_ops, self.op_names = [list(records), partials, list(notes), note_parts], [], []
        for s, (axis, pieces, costs, checks_loss, stage_ops) in enumerate(stages):
            self.stages[s].axis = AXES[axis]
            self.stages[s].pieces = pieces
            self.stages[s].checks_loss = checks_loss
            self.stages[s].first_op = o
            if costs is not None:
                cumulative = np.concatenate([[0.0], np.cumsum(np.asarray(costs, dtype=np.float64))])
                self.keep.append(cumulative)
                self.stages[s].cost = <const double *>address(cumulative)
            for name, arrays, sizes, constants, first, last in stage_ops:
                op = self.ops + o
                op.first_piece, op.last_piece = first, last
                self.op_names.append(name)
                declaration = None if name == "python" else table.declaration(name)
                self.declarations.append(declaration)
                self.keep.append(arrays)
                if declaration is None:
                    op.run = call_python
                    op.array[0] = <void *>arrays[0]
                    self.python_ops.append(arrays[0])
                    o += 1
                    continue
                declaration.check_counts(arrays, sizes, constants)
                op.run = declaration.entry.run[is_double]
                for i, array in enumerate(arrays):
                    declaration.bind(op, i, array)
                    self.missing += declaration.lacks(op, i)
                for i, size in enumerate(sizes):
                    op.size[i] = size
                for i, constant in enumerate(constants):
                    op.constant[i] = constant
                o += 1
            self.stages[s].last_op = o
        for i, record in enumerate(records):
            self.records[i] = <const double *>address(record)
        for i, note in enumerate(notes):
            self.notes[i] = <const double *>address(note)
        self.program.notes, self.program.n_notes = self.notes, len(notes)
        self.program.note_parts = <const int64_t *>address(note_parts)
        self.program.ops, self.program.stages, self.program.n_stages = self.ops, self.stages, len(stages)
        self.program.enter, self.program.leave = enter, len(stages) if leave is None else leave
        self.program.commits = self.program.leave if commits is None else commits
        self.program.block_rows, self.program.stops = block_rows, stops
        self.program.records, self.program.n_records = self.records, len(records)
        if partials is not None:
            self.program.partials, self.program.n_partials = <const double *>address(partials), len(partials)
        for s, sizes in (passing or {}).items():
            self.keep.append(sizes)
            self.stages[s].passing = <const int64_t *>address(sizes)
            lines = -(-max(sizes) * np.dtype(dtype).itemsize // NN_CACHE_LINE)
            self.program.tile_bytes = max(self.program.tile_bytes, lines * NN_CACHE_LINE)
        self.tile_gradients = np.empty(0, dtype=np.uint8)

    def __dealloc__(self):
        free(self.ops)
        free(self.stages)
        free(self.records)
        free(self.notes)

    cdef int bind(self, list arrays) except -1:
        """Bind other arrays to ops: (index of the op, slot, array). Raise if one is missing afterwards."""
        cdef int64_t number
        cdef int slot
        cdef bint lacked
        cdef Declaration declaration
        for number, slot, array in arrays:
            declaration = self.declaration(number, slot)
            lacked = declaration.lacks(self.ops + number, slot)
            declaration.bind(self.ops + number, slot, array)
            self.missing += declaration.lacks(self.ops + number, slot) - lacked
        if self.missing:
            self.refuse_missing()
        return 0

    cdef int release(self, list arrays) except -1:
        """Release these arrays, which belong to the caller: the next run must bind the arrays that its ops need."""
        cdef int64_t number
        cdef int slot
        cdef bint lacked
        cdef Declaration declaration
        for number, slot, _ in arrays:
            declaration = self.declaration(number, slot)
            lacked = declaration.lacks(self.ops + number, slot)
            self.ops[number].array[declaration.places[slot]] = NULL
            self.missing += declaration.lacks(self.ops + number, slot) - lacked
        return 0

    cdef Declaration declaration(self, int64_t number, int slot):
        """The declaration of an op that has this slot."""
        if not 0 <= number < len(self.declarations) or self.declarations[number] is None:
            raise ValueError(f"a program must be bound by the numbers of its ops, got {number}")
        cdef Declaration declaration = <Declaration>self.declarations[number]
        if not 0 <= slot < declaration.n_arrays:
            raise ValueError(f"op {declaration.name} must have an array of number 0 to {declaration.n_arrays - 1}, got {slot}")
        return declaration

    cdef void **place(self, int64_t number, int slot) except NULL:
        """Where the address of an op's array is."""
        return &self.ops[number].array[self.declaration(number, slot).places[slot]]

    cdef int refuse_missing(self) except -1:
        """Name the first array that is missing."""
        cdef Declaration declaration
        for number, declaration in enumerate(self.declarations):
            for slot, name in enumerate(() if declaration is None else declaration.arrays):
                if declaration.lacks(self.ops + <int64_t>number, <int>slot):
                    raise ValueError(f"op {declaration.name}: array {name} must not be None")
        return 0

    cdef int check_lengths(self, int64_t steps, int64_t last_step, int64_t examples, int64_t batch, int64_t merge, order,
                           coefficients, examples_out, notes_out) except -1:
        """Raise unless the arrays are large enough for the steps."""
        if batch < 1 or examples < 0:
            raise ValueError(f"batch must be at least 1 and examples 0, got {batch} and {examples}")
        cdef int64_t rest = examples % batch
        cdef bint merged = rest <= merge and examples > batch
        cdef int64_t per_epoch = max(examples // batch + (rest > 0 and not merged), 1)
        cdef int64_t positions = (last_step + per_epoch - 1) // per_epoch * examples
        for name, array, needed in (("order", order, positions), ("examples_out", examples_out, positions),
                                    ("notes_out", notes_out, steps * self.program.n_notes)):
            if array is not None and (array.size < needed or array.itemsize != 8):
                raise ValueError(f"{name} must have at least {needed} numbers of 8 bytes, got {array.size} of {array.itemsize}")
        if coefficients is not None and not (coefficients.shape[0] == 1 or coefficients.shape[0] >= steps):
            raise ValueError(f"coefficients must have a row for each of {steps} steps, got {coefficients.shape[0]}")
        return 0

    cdef char *room_for_tiles(self, int threads) except? NULL:
        """A tile-local gradient for each thread, aligned to cache lines."""
        cdef int64_t size = self.program.tile_bytes * min(max(threads, 1), NN_MAX_THREADS)
        if self.tile_gradients.size < size:
            self.tile_gradients = np.empty(size + NN_CACHE_LINE, dtype=np.uint8)
        return <char *>((<uint64_t>address(self.tile_gradients) + NN_CACHE_LINE - 1) // NN_CACHE_LINE * NN_CACHE_LINE)

    def run(self, list bind=[], *, int64_t first_step=0, int64_t last_step=1, int64_t examples, int64_t batch, int64_t merge=0,
            int64_t origin=0, order=None, coefficients=None, double scale=0.0, bint keep_denormals=False, bint prepared=False,
            uint64_t step_offset=0, examples_out=None, notes_out=None, op_seconds=None, int threads=1, bint stoppable=False,
            stop=None):
        """Run steps [first_step, last_step); one caller at a time. Returns (steps completed, sums over each step's batch of each
        record, last the penalty). ``bind``: (index of an op, slot, array), for this run only. ``prepared``: θ has not changed
        since the last run, so data derived from it are reused. Denormal numbers are flushed to 0 unless ``keep_denormals``, but
        not in Python ops. A ``stoppable`` run checks several times per second, before the parameters of a step change, whether
        a signal has arrived or ``stop()`` is true, and ends there."""
        self.alone.check()
        self.exclusive.check()
        self.check_lengths(last_step - first_step, last_step, examples, batch, merge, order, coefficients, examples_out, notes_out)
        sums = np.zeros((max(last_step - first_step, 0), self.program.n_records + 1))
        cdef nn_run run
        cdef int64_t done
        cdef int failure = 0
        run.first_step, run.last_step, run.examples, run.batch, run.origin = first_step, last_step, examples, batch, origin
        run.order = <const int64_t *>address(order, NULL, NULL, False)
        run.coefficients = <const double *>address(coefficients, NULL, NULL, False)
        run.coefficient_stride = 0 if coefficients is None else coefficients.shape[1] * (coefficients.shape[0] > 1)
        run.merge = merge
        run.scale = scale
        run.keep_denormals, run.prepared = keep_denormals, prepared
        run.step_offset = step_offset
        run.tile_gradients = self.room_for_tiles(threads)
        run.sums = <double *>address(sums)
        run.op_seconds = <double *>address(op_seconds)
        run.examples_out = <double *>address(examples_out)
        run.notes_out = <double *>address(notes_out)
        asked = _Stop(stop) if stoppable else None
        run.stop, run.stop_argument = NULL, <void *>asked
        if stoppable:
            run.stop = call_stop
        run.failure = &failure
        for op in self.python_ops:
            op.threads = threads
        try:
            self.bind(bind)
            for exclusive in (self.alone, self.exclusive):
                (<Exclusive>exclusive).thread, (<Exclusive>exclusive).process = PyThread_get_thread_ident(), getpid()
            with nogil:
                done = nn_execute(&self.program, &run, threads)
            self.steps_done, self.runs = done, self.runs + 1
        finally:
            self.alone.thread = self.exclusive.thread = 0
            self.release(bind)
        if stoppable and asked.error is not None:
            raise asked.error
        for op in self.python_ops:
            if op.error is not None:
                error, op.error = op.error, None
                raise error
        if failure:
            for fault, message in FAULTS.items():
                if failure & <int>fault:
                    raise ValueError(message)
        return done, sums


cdef bint is_vector(const Py_buffer *view, char kind, int64_t n) noexcept:
    """Is it an aligned, contiguous vector of n floats ('f') or doubles ('d')?"""
    return (view.format != NULL and view.format[0] == kind and view.format[1] == 0 and view.ndim == 1 and view.shape[0] == n
            and (n < 2 or view.strides[0] == view.itemsize) and <uint64_t>view.buf % <uint64_t>view.itemsize == 0)


cdef bint overlap(const void *a, const void *b, int64_t size) noexcept:
    """Do two blocks of ``size`` bytes have some in common?"""
    cdef int64_t distance = <int64_t>a - <int64_t>b
    return -size < distance < size


cdef enum:
    MOST_PLACES = 8    # of θ, or of the gradient, in the ops of a step


cdef class HandSteps:
    """Steps of an optimizer on vectors θ and g of the caller: one per call, with nothing to be bound anew.

    program: one stage over the tiles of θ. thetas, gradients: where these are in it, as (number of an op, slot). state: the
    optimizer's arrays. counts: its attributes; a step is counted in C, where no signal handler of Python comes between. copy:
    for the gradient, if an op changes it.
    """

    cdef Program program
    cdef void **thetas[MOST_PLACES]
    cdef void **gradients[MOST_PLACES]
    cdef int n_thetas, n_gradients
    cdef dict counts
    cdef object copy
    cdef char kind
    cdef bint busy
    cdef object rows, stretch    # of the steps that are known
    cdef dict products
    cdef int64_t first, next, known
    cdef readonly object dtype, state, variant
    cdef readonly int64_t size

    def __cinit__(self, Program program, list thetas, list gradients, *, int64_t size, dtype, state, dict counts, variant,
                  copy=None):
        cdef int64_t number
        cdef int slot
        self.program, self.size, self.dtype, self.state, self.counts = program, size, dtype, state, counts
        self.variant, self.copy, self.kind = variant, copy, b'f' if dtype == np.float32 else b'd'
        if max(len(thetas), len(gradients)) > MOST_PLACES:
            raise ValueError(f"a step must have at most {MOST_PLACES} arrays of parameters or gradients")
        for number, slot in thetas:
            self.thetas[self.n_thetas] = program.place(number, slot)
            self.n_thetas += 1
        for number, slot in gradients:
            self.gradients[self.n_gradients] = program.place(number, slot)
            self.n_gradients += 1

    def know(self, int64_t first, rows, dict products, stretch):
        """Steps from ``first`` on: their coefficients (steps, k), the optimizer's running products after each, and the stretch
        of epochs of one step that begins with them, None if one goes on."""
        self.first, self.rows, self.products, self.stretch = first, rows, products, stretch
        self.next, self.known = 0, rows.shape[0]

    cdef bint fits(self, theta, grad, void **data) except -1:
        """Are they vectors such as the state's, in memory of their own? Their addresses in ``data``."""
        cdef Py_buffer view
        cdef int64_t bytes_ = self.size * (4 if self.kind == b'f' else 8)
        cdef bint good = type(theta) is np.ndarray and type(grad) is np.ndarray
        cdef int i
        if not good:
            return False
        for i in range(2):
            try:
                PyObject_GetBuffer(grad if i else theta, &view, PyBUF_RECORDS_RO if i else PyBUF_RECORDS)
            except (ValueError, BufferError):
                return False
            good = is_vector(&view, self.kind, self.size)
            data[i] = view.buf
            PyBuffer_Release(&view)    # the caller holds the array
            if not good:
                return False
        for array in self.state.values():
            if overlap(data[0], address(array), bytes_):
                return False
        return not overlap(data[0], data[1], bytes_)

    def step(self, theta, grad, int threads):
        """0: nothing was done, as something does not fit or the step is not known. 1: it was taken. 2: it would have made
        parameters infinite or NaN, which keep their values; it does not count."""
        cdef void *data[2]
        cdef nn_run run
        cdef int64_t done
        cdef int failure = 0, i
        cdef double sums = 0
        if self.busy or self.next >= self.known or self.counts["step_count"] != self.first + self.next:
            return 0
        if not self.fits(theta, grad, data):
            return 0
        if self.copy is not None:
            self.copy[...] = grad
            data[1] = address(self.copy)
        for i in range(self.n_thetas):
            self.thetas[i][0] = data[0]
        for i in range(self.n_gradients):
            self.gradients[i][0] = data[1]
        memset(&run, 0, sizeof(run))
        run.last_step = run.examples = run.batch = 1
        run.coefficients = <const double *>address(self.rows, NULL, NULL, False) + self.next * <int64_t>self.rows.shape[1]
        run.step_offset = <uint64_t>(self.first + self.next)
        run.sums, run.failure = &sums, &failure
        self.busy = True
        with nogil:
            done = nn_execute(&self.program.program, &run, threads)
        if done:
            self.count()
        self.busy = False
        return 1 if done else 2

    cdef int count(self) except -1:
        """A step has been taken: by hand each is an epoch."""
        cdef dict counts = self.counts
        if self.stretch is not None:
            stretches = counts["stretches"]
            while stretches and stretches[len(stretches) - 1][0] >= self.stretch[0]:
                stretches.pop()
            stretches.append(self.stretch)
            self.stretch = None
        counts["step_count"], counts["epochs"], counts["steps_per_epoch"] = counts["step_count"] + 1, counts["epochs"] + 1, 1
        if self.products:
            counts["products"] = {name: float(values[self.next]) for name, values in self.products.items()}
        self.next += 1
        return 0


cdef bint finite_floats(const uint32_t *bits, Py_ssize_t n) noexcept nogil:
    cdef uint32_t beyond = 0
    cdef Py_ssize_t i
    for i in range(n):    # 1 if the exponent is all ones: infinite or NaN
        beyond |= ((bits[i] & 0x7F800000u) + 0x00800000u) >> 31
    return not beyond


cdef bint finite_doubles(const uint64_t *bits, Py_ssize_t n) noexcept nogil:
    cdef uint64_t beyond = 0
    cdef Py_ssize_t i
    for i in range(n):
        beyond |= ((bits[i] & 0x7FF0000000000000u) + 0x0010000000000000u) >> 63
    return not beyond


cdef bint is_plain(const Py_buffer *view) noexcept:
    """Whether it is an aligned (n, width) array of float or double with contiguous rows."""
    cdef bint real = view.format != NULL and view.format[0] in (b'f', b'd') and view.format[1] == 0
    return (real and view.ndim == 2 and view.strides[1] == view.itemsize and view.strides[0] % view.itemsize == 0
            and <uint64_t>view.buf % <uint64_t>view.itemsize == 0)


cdef bint finite_rows(const Py_buffer *view) noexcept:
    cdef Py_ssize_t n = view.shape[0], width = view.shape[1], step = view.strides[0], size = view.itemsize, i
    cdef const char *data = <const char *>view.buf
    cdef bint good = True
    with nogil:
        if step == width * size:
            n, width = 1, n * width
        for i in range(n):
            good = finite_floats(<const uint32_t *>(data + i * step), width) if size == 4 else finite_doubles(
                <const uint64_t *>(data + i * step), width)
            if not good:
                break
    return good


def all_finite(array):
    """Whether all numbers of an array are finite. float32 and float64 with contiguous rows: in one pass, without a copy."""
    cdef Py_buffer view
    cdef bint plain, good = True
    if type(array) is np.ndarray:
        try:
            PyObject_GetBuffer(array, &view, PyBUF_RECORDS_RO)
        except (ValueError, BufferError):    # of a dtype that buffers do not have
            return _other_finite(array)
        plain = is_plain(&view)
        if plain:
            good = finite_rows(&view)
        PyBuffer_Release(&view)
        if plain:
            return good
    return _other_finite(np.asarray(array))


def _other_finite(array):
    """The same for any dtype and layout."""
    if array.dtype.kind in "biu" or not array.size:
        return True
    if array.dtype in (np.float32, np.float64) and array.flags.aligned:  # in the machine's byte order
        if array.ndim != 2 and array.flags.c_contiguous:
            return all_finite(array.reshape(1, -1))
        if array.ndim == 2 and (array.shape[0] == 1 or array.strides[0] == array.itemsize):
            return all_finite(np.ascontiguousarray(array.T))
    return _finite_parts(array)


def _finite_parts(array):
    """The same with NumPy, in chunks of rows."""
    array = np.atleast_1d(array)
    step = max(1, (1 << 20) // max(1, array[:1].size))
    return all(bool(np.isfinite(array[i : i + step]).all()) for i in range(0, len(array), step))


def shuffled_orders(int64_t n, int64_t epochs, uint64_t seed, uint64_t first_epoch):
    """(epochs, n) int64: epoch e's permutation depends on (seed, first_epoch + e) alone."""
    if n >= 2**32:
        raise ValueError(f"n must be below 2**32, got {n}")
    order = np.empty((epochs, n), dtype=np.int64)
    cdef int64_t *data = <int64_t *>address(order)
    with nogil:
        nn_shuffled_orders(data, n, epochs, seed, first_epoch)
    return order
