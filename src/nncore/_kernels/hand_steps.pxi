# Steps of an optimizer taken by hand.

cdef bint is_vector(const Py_buffer *view, char kind, int64_t n) noexcept:
    """Whether it is an aligned, contiguous vector of n floats ('f') or doubles ('d')."""
    return (view.format != NULL and view.format[0] == kind and view.format[1] == 0 and view.ndim == 1 and view.shape[0] == n
            and (n < 2 or view.strides[0] == view.itemsize) and <uint64_t>view.buf % <uint64_t>view.itemsize == 0)


cdef bint overlap(const void *a, const void *b, int64_t size) noexcept:
    """Whether two blocks of ``size`` bytes overlap."""
    cdef int64_t distance = <int64_t>a - <int64_t>b
    return -size < distance < size


cdef enum:
    MAX_POSITIONS = 8    # of θ, or of the gradient, in the ops of a step


cdef class HandSteps:
    """Steps of an optimizer on vectors θ and g of the caller: one per call, bound once.

    program: one stage over the tiles of θ; arrays: those of its ops, in which ``theta`` and ``gradient`` stand for the vectors of
    a call. shared: has the optimizer's ``state`` and its counts; a step is counted in C, where no Python signal handler runs.
    variant: what the ops depend on besides the arrays. copies: an op changes the gradient, so that ``gradient`` is a copy of it.
    known: the number of steps whose coefficients were computed together; known_at: the number of assignments at that time.
    """

    cdef Program program
    cdef void **thetas[MAX_POSITIONS]
    cdef void **gradients[MAX_POSITIONS]
    cdef int n_thetas, n_gradients
    cdef dict counts
    cdef object copy
    cdef char kind
    cdef bint busy
    cdef object rows, stretch    # of the steps that are known
    cdef dict products
    cdef int64_t first, next
    cdef readonly object dtype, state, variant
    cdef readonly int64_t size, known, known_at

    def __cinit__(self, Program program, list arrays, theta, gradient, *, shared, variant, bint copies=False):
        self.program, self.size, self.dtype, self.kind = program, theta.size, theta.dtype, ord(theta.dtype.char)
        self.state, self.counts, self.variant = shared.state, vars(shared), variant
        self.copy, self.known_at = gradient if copies else None, -1
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

    def know(self, rows, dict products, stretch, int64_t known_at):
        """The next steps: their coefficients (steps, k), the optimizer's running products after each, and the run of epochs of one
        step each that begins with them, None if one continues."""
        self.first, self.rows, self.products, self.stretch = self.counts["step_count"], rows, products, stretch
        self.next, self.known, self.known_at = 0, rows.shape[0], known_at

    cdef bint fits(self, theta, grad, void **data) except -1:
        """Whether they are vectors like those of the state, in memory of their own. Writes their addresses to ``data``."""
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
        """Take a step. Returns 0 if nothing was done, as the vectors do not fit or the step is not known; 1 if it was taken; 2 if
        it would have made parameters infinite or NaN, which keep their values: it does not count."""
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
        """Count a step, which by hand is an epoch."""
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
