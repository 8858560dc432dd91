# cython: language_level=3, boundscheck=False, wraparound=False, freethreading_compatible=True
"""The boundary to C: binds ops by name to NumPy arrays and runs programs without the GIL.

Bindings are checked against the declarations of op_table.h: names, counts, required arrays, and that an array is aligned, and
writeable unless the op only reads it. The caller checks shapes and dtypes.
"""

import os
import sys
import traceback
from time import monotonic

import numpy as np

cimport cython
from cpython.buffer cimport PyBUF_RECORDS, PyBUF_RECORDS_RO, PyBUF_STRIDED, PyBUF_STRIDED_RO, Py_buffer, PyBuffer_Release, PyObject_GetBuffer
from cpython.exc cimport PyErr_CheckSignals
from cpython.pycapsule cimport PyCapsule_GetPointer
from cpython.pythread cimport (
    NOWAIT_LOCK,
    PY_LOCK_ACQUIRED,
    PyLockStatus,
    PyThread_acquire_lock,
    PyThread_allocate_lock,
    PyThread_free_lock,
    PyThread_get_thread_ident,
    PyThread_release_lock,
    PyThread_type_lock,
)
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset
from posix.unistd cimport getpid

include "c_core.pxi"
include "op_table.pxi"
include "python_code.pxi"
include "locks.pxi"
include "known_steps.pxi"

# Errors that ops find in their data. The data were valid before the run; the user has modified them since.
FAULTS = {
    NN_BAD_ROW: "the order of the examples must hold row indices of the data, got one out of range",
    NN_BAD_LABEL: "y must be labels of the network's outputs, got one out of range: it was changed while it was in use",
    NN_BAD_COLUMN: "X must be a valid sparse matrix, got a column beyond its width: its indices were changed while it was in use",
    NN_BAD_START: "X must be a valid sparse matrix, got a row outside its numbers: its indptr was changed while it was in use",
    NN_ZERO_DIRECTION: "weight normalization needs directions of nonzero length, got a unit whose direction is all zeros",
}

WITHIN_ITSELF = "Python code within a program, such as a loss, a layer or a signal handler, must not run the same program again"


cdef class Program:
    """Stages of ops, bound and ready to run.

    stages: list of (axis, number of work items, costs or None, checks_loss, ops); an op is (name, arrays, sizes, constants, first
    work item, last work item), as declared in op_table.h. An array may be None if each run binds it. Stages [0, enter) run once
    before the first step of a run, [leave, end) once after the last.
    commits: the first stage that changes parameters, from which on a step is completed; default: no stage does.
    touched: (lists, 2) int64, lists of the rows that have a gradient, which ops write and tile tables refer to.
    passing: (work items,) int64 by index of the stage: the size of a tile's gradient if it is tile-local, that is read only by
    ops of the same tile, else 0. A tile-local gradient is written to the full gradient array in the last step of a run.
    stops: whether a loss that is not finite stops the run.
    exclusive: shared with other programs that cannot run within this one.
    part_rows: rows of a batch that are computed together, 0: all; of_parts: the numbers of the ops after ``commits`` that
    then run for each part of a batch, and not only after the last one. first_part: of those that are computed here, with a row
    each in part_sums (parts, records), where the sums of the records are stored; default: all parts, and sums over the batch.
    lanes: networks that it runs at once, side by side in each row of a batch.
    state: a contiguous array that ops of a step change before it is completed; it is put back if the step is not.
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
    cdef int64_t lists    # of rows that have a gradient
    cdef int64_t columns    # of coefficients that the ops read
    cdef bint updates    # an op needs coefficients

    def __cinit__(self, OpTable table, dtype, list stages, *, int64_t enter=0, leave=None, commits=None, int64_t block_rows=64,
                  records=(), partials=None, notes=(), passing=None, touched=None, bint stops=False, exclusive=None, int64_t part_rows=0, of_parts=(),
                  state=None, int64_t first_part=0, part_sums=None, int64_t lanes=1):
        self.alone = Exclusive(WITHIN_ITSELF)
        self.exclusive = self.alone if exclusive is None else exclusive
        self.lists = 0 if touched is None else len(touched)
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
                cumulative = np.zeros(len(costs) + 1)
                np.add.accumulate(costs, out=cumulative[1:])
                self.keep.append(cumulative)
                self.stages[s].cost = <const double *>address(cumulative)
            for name, arrays, sizes, constants, first, last in stage_ops:
                op = self.ops + o
                op.first_piece, op.last_piece, op.of_parts = first, last, commits is None or s < commits or o in of_parts
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
                self.columns = max(self.columns, <int64_t>declaration.columns(arrays, sizes))
                self.updates |= declaration.coefficients > 0
                if declaration.n_arrays and declaration.places[declaration.n_arrays - 1] == NN_TILE_TABLE:
                    self.check_lists(name, arrays[declaration.n_arrays - 1] if len(arrays) == declaration.n_arrays else None)
                op.run = declaration.entry.run[is_double]
                if op.run == NULL:
                    raise ValueError(f"op {name} computes in float32, got float64")
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
        self.program.block_rows, self.program.stops, self.program.part_rows, self.program.lanes = block_rows, stops, part_rows, lanes
        self.program.records, self.program.n_records = self.records, len(records)
        if touched is not None:
            self.keep.append(touched)
            self.program.touched = <const nn_touched *>address(touched)
        self.program.first_part, self.program.last_part = first_part, NN_ALL_PARTS
        if part_sums is not None:
            self.keep.append(part_sums)
            self.program.last_part = first_part + <int64_t>len(part_sums)
            self.program.part_sums = <double *>address(part_sums)
        if partials is not None:
            self.program.partials, self.program.n_partials = <const double *>address(partials), len(partials)
        if state is not None and state.size:
            kept = np.empty_like(state)
            self.keep += [state, kept]
            self.program.state, self.program.kept = <char *>address(state), <char *>address(kept)
            self.program.state_bytes = state.nbytes
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
            if declaration.places[slot] == NN_TILE_TABLE:
                self.check_lists(declaration.name, array)
            declaration.bind(self.ops + number, slot, array)
            self.missing += declaration.lacks(self.ops + number, slot) - lacked
        if self.missing:
            self.refuse_missing()
        return 0

    cdef int check_lists(self, name, table) except -1:
        """Raise if a tile table refers to lists of rows (tiles.h) that the program does not have."""
        if table is not None and table.ndim == 2 and table.shape[1] > 1 and table[:, 1].min(initial=0) < -self.lists:
            raise ValueError(f"op {name}: tile_table must not refer to lists of rows that the program does not have")
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

    cdef void **position(self, int64_t number, int slot) except NULL:
        """Where the address of an array of an op is stored."""
        return &self.ops[number].array[self.declaration(number, slot).places[slot]]

    cdef list seed_places(self):
        """Where the ops of random layers have their seed: (index of the op, number of the size)."""
        return [(o, declaration.sizes.index("key")) for o, declaration in enumerate(self.declarations)
                if declaration is not None and "key" in declaration.sizes]

    cdef int refuse_missing(self) except -1:
        """Name the first array that is missing."""
        cdef Declaration declaration
        for number, declaration in enumerate(self.declarations):
            for slot, name in enumerate(() if declaration is None else declaration.arrays):
                if declaration.lacks(self.ops + <int64_t>number, <int>slot):
                    raise ValueError(f"op {declaration.name}: array {name} must not be None")
        return 0

    cdef int check_lengths(self, int64_t steps, int64_t last_step, int64_t examples, int64_t batch, int64_t merge, order,
                           coefficients, KnownSteps known, examples_out, notes_out) except -1:
        """Raise unless the arrays are large enough for the steps."""
        if batch < 1 or examples < 0:
            raise ValueError(f"batch must be at least 1 and examples 0, got {batch} and {examples}")
        cdef int64_t rest = examples % batch
        cdef bint merged = rest <= merge and examples > batch
        cdef int64_t per_epoch = max(examples // batch + (rest > 0 and not merged), 1)
        cdef int64_t positions = (last_step + per_epoch - 1) // per_epoch * examples
        for name, array, needed in (("order", order, positions), ("examples_out", examples_out, positions),
                                    ("notes_out", notes_out, steps * self.program.n_notes)):
            if array is not None and (array.size < needed or array.itemsize != 8 or not array.flags.c_contiguous):
                raise ValueError(f"{name} must be at least {needed} contiguous numbers of 8 bytes, got shape {array.shape} of {array.dtype} "
                                 f"with strides {array.strides}")
        if known is not None:
            self.check_columns(known.width)
        elif coefficients is not None:
            self.check_columns(columns_of(coefficients))
            if not (coefficients.shape[0] == 1 or coefficients.shape[0] >= steps):
                raise ValueError(f"coefficients must have a row for each of {steps} steps, got {coefficients.shape[0]}")
        elif self.updates and steps > 0:
            self.check_columns(0)
        return 0

    cdef int check_columns(self, int64_t width) except -1:
        """Raise unless rows of coefficients of this length hold all that the ops read, of each network."""
        if width < self.columns * self.program.lanes:
            raise ValueError(f"coefficients must have {self.columns * self.program.lanes} columns, which the program reads, got {width}")
        return 0

    cdef int check_free(self) except -1:
        """Raise within a run of this program, or of one that excludes it, on this thread."""
        self.alone.check()
        self.exclusive.check()
        return 0

    cdef void hold(self) noexcept:
        """Before a run."""
        self.alone.hold()
        self.exclusive.hold()

    cdef void let_go(self) noexcept:
        """After a run."""
        self.alone.thread = self.exclusive.thread = 0

    cdef char *room_for_tiles(self, int threads) except? NULL:
        """A tile-local gradient for each thread, aligned to cache lines."""
        cdef int64_t size = self.program.tile_bytes * min(max(threads, 1), NN_MAX_THREADS)
        if self.tile_gradients.size < size:
            self.tile_gradients = np.empty(size + NN_CACHE_LINE, dtype=np.uint8)
        return <char *>((<uint64_t>address(self.tile_gradients) + NN_CACHE_LINE - 1) // NN_CACHE_LINE * NN_CACHE_LINE)

    def run(self, list bind=[], *, int64_t first_step=0, int64_t last_step=1, int64_t examples, int64_t batch, int64_t merge=0,
            int64_t origin=0, order=None, coefficients=None, double scale=0.0, bint keep_denormals=False, bint prepared=False,
            uint64_t step_offset=0, examples_out=None, notes_out=None, op_seconds=None, int threads=1, bint stoppable=False,
            stop=None, KnownSteps known=None):
        """Run steps [first_step, last_step); one caller at a time. Returns (steps completed, sums over each step's batch of each
        record, last the penalty). ``bind``: (index of an op, slot, array), for this run only. ``prepared``: θ has not changed
        since the last run, so data derived from it are reused. ``known``: has the coefficients of the steps, and counts them. Denormal numbers are flushed to 0 unless ``keep_denormals``, but
        not in Python ops. A ``stoppable`` run checks several times per second, before the parameters of a step change, whether
        a signal has arrived or ``stop()`` is true, and ends there."""
        self.check_free()
        if order is not None and self.program.lanes > 1:
            raise ValueError("order must be None for a program of several networks: Members has that of each")
        self.check_lengths(last_step - first_step, last_step, examples, batch, merge, order, coefficients, known, examples_out, notes_out)
        sums = np.zeros((max(last_step - first_step, 0), self.program.n_records * self.program.lanes + 1))
        cdef nn_run run
        cdef int64_t done
        cdef int failure = 0
        run.first_step, run.last_step, run.examples, run.batch, run.origin = first_step, last_step, examples, batch, origin
        run.order = <const int64_t *>address(order, NULL, NULL, False)
        run.coefficients = <const double *>address(coefficients, NULL, NULL, False)
        run.coefficient_stride = 0 if coefficients is None else coefficients.shape[1] * (coefficients.shape[0] > 1)
        if known is not None:
            if known.next + last_step - first_step > known.known:
                raise ValueError(f"{last_step - first_step} steps must be known, got {known.known - known.next}")
            run.coefficients, run.coefficient_stride = known.coefficients(), known.width
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
        if known is not None:
            known.busy.take_alone()
        try:
            self.bind(bind)
            self.hold()
            with nogil:
                done = nn_execute(&self.program, &run, threads)
            if known is not None:
                known.count(done, last_step - first_step)
        finally:
            self.let_go()
            if known is not None:
                known.busy.give()
            self.release(bind)
        errors = taken_errors(self.python_ops)
        if stoppable and asked.error is not None:
            raise asked.error
        if errors:
            raise errors[0]
        if failure:
            for fault, message in FAULTS.items():
                if failure & <int>fault:
                    raise ValueError(message)
        return done, sums


cdef nn_kernel random_words = NULL    # of the instruction set in use


def use_table(OpTable table):
    """Shuffle with the kernels of this instruction set."""
    global random_words
    cdef Declaration declaration = table.declaration("random_words")
    random_words = declaration.entry.run[0]


def shuffled_orders(int64_t n, int64_t epochs, uint64_t seed, uint64_t first_epoch):
    """(epochs, n) int64: epoch e's permutation depends on (seed, first_epoch + e) alone."""
    if n >= 2**32:
        raise ValueError(f"n must be below 2**32, got {n}")
    order = np.empty((epochs, n), dtype=np.int64)
    cdef int64_t *data = <int64_t *>address(order)
    with nogil:
        nn_shuffled_orders(random_words, data, n, epochs, seed, first_epoch)
    return order


include "hand_steps.pxi"
include "members.pxi"
include "finite.pxi"
