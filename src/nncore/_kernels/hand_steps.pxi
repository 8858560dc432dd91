# Steps of an optimizer taken by hand.

cdef bint is_vector(const Py_buffer *view, char kind, int64_t n) noexcept:
    """Whether it is an aligned, contiguous vector of n floats ('f') or doubles ('d')."""
    return (view.format != NULL and view.format[0] == kind and view.format[1] == 0 and view.ndim == 1 and view.shape[0] == n
            and (n < 2 or view.strides[0] == view.itemsize) and <uint64_t>view.buf % <uint64_t>view.itemsize == 0)


cdef bint overlap(const void *a, const void *b, int64_t size) noexcept:
    """Whether two blocks of ``size`` bytes overlap."""
    cdef int64_t distance = <int64_t>a - <int64_t>b
    return -size < distance < size


cdef object ndarray = np.ndarray

cdef enum:
    MAX_POSITIONS = 8    # of θ, or of the gradient, in the ops of a step


cdef class HandSteps(KnownSteps):
    """Steps of an optimizer on vectors θ and g of the caller: one per call, bound once.

    program: one stage over the tiles of θ; arrays: those of its ops, in which ``theta`` and ``gradient`` stand for the vectors of
    a call. state: the optimizer's arrays. variant: what the ops depend on besides the arrays. copies: an op changes the gradient,
    so that ``gradient`` is a copy of it.
    """

    cdef Program program
    cdef void **thetas[MAX_POSITIONS]
    cdef void **gradients[MAX_POSITIONS]
    cdef int n_thetas, n_gradients
    cdef object copy
    cdef char kind
    cdef readonly object dtype, state, variant
    cdef readonly int64_t size

    def __cinit__(self, dict counts, Program program, list arrays, theta, gradient, *, variant, bint copies=False):
        self.program, self.size, self.dtype, self.kind = program, theta.size, theta.dtype, ord(theta.dtype.char)
        self.state, self.variant, self.copy = counts["state"], variant, gradient if copies else None
        for number, operands in enumerate(arrays):
            for slot, array in enumerate(operands):
                if array is not theta and array is not gradient:
                    continue
                if max(self.n_thetas, self.n_gradients) == MAX_POSITIONS:
                    raise ValueError(f"a step must have at most {MAX_POSITIONS} arrays of parameters or gradients")
                if array is theta:
                    self.thetas[self.n_thetas] = program.position(number, slot)
                    self.n_thetas += 1
                else:
                    self.gradients[self.n_gradients] = program.position(number, slot)
                    self.n_gradients += 1

    cdef int check_columns(self, int64_t width) except -1:
        return self.program.check_columns(width)

    cdef bint fits(self, theta, grad, void **data) except -1:
        """Whether they are vectors like those of the state, in memory of their own. Writes their addresses to ``data``.

        Other objects with a buffer, such as masked arrays, are left to the caller.
        """
        cdef Py_buffer view
        cdef int64_t bytes_ = self.size * (4 if self.kind == b'f' else 8)
        cdef bint good
        cdef int i
        if type(theta) is not ndarray or type(grad) is not ndarray:
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
        """Take a step. Returns 0 if nothing was done, as the vectors do not fit or the step is not known; 1 if it was taken; 2 if
        it would have made parameters infinite or NaN, which keep their values: it does not count."""
        cdef void *data[2]
        cdef nn_run run
        cdef int64_t done
        cdef int failure = 0, i
        cdef double sums = 0
        self.busy.take_alone()
        try:
            if self.next >= self.known or self.counts["step_count"] != self.first + self.next or not self.fits(theta, grad, data):
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
            run.coefficients = self.coefficients()
            run.step_offset = <uint64_t>(self.first + self.next)
            run.sums, run.failure = &sums, &failure
            with nogil:
                done = nn_execute(&self.program.program, &run, threads)
            self.count(done, 1)
        finally:
            self.busy.give()
        return 1 if done else 2
